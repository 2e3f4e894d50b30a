"""The names of those who own deployments, by wallet."""

from __future__ import annotations

from collections.abc import Callable

from marketsim.simulation.build import MarketSetup


def owner_names(market: MarketSetup) -> Callable[[int], str]:
    """Return the function from a wallet's row to the name of who owns it: a tenant, somebody who came later, or a provider."""

    def name(wallet: int) -> str:
        if wallet in market.newcomers:
            return market.tenant_names[market.newcomers[wallet]]
        at = wallet - market.first_tenant
        if 0 <= at < len(market.tenant_names):
            return market.tenant_names[at]
        desks = market.first_tenant - len(market.book.wallets)
        return market.book.names[wallet - desks] if 0 <= wallet - desks < len(market.book.names) else f"wallet {wallet}"

    return name
