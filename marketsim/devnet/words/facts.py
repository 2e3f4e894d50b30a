"""What queries are answered from: a market, the addresses of its wallets, and the messages that a devnet has taken."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from marketsim.devnet.addresses import Addresses
from marketsim.devnet.words.answers import answer
from marketsim.devnet.words.command_line import RefusedError
from marketsim.simulation.live import LiveMarket
from marketsim.simulation.views import View

Told = tuple[Mapping[str, Any], Mapping[str, Any], str]
"""A receipt, its message, and the time of its block."""


class MarketFacts:
    """Facts (`answers.Facts`) of a market at the height where it stands."""

    def __init__(
        self,
        market: LiveMarket,
        addresses: Addresses,
        keys: Collection[str],
        tx: Callable[[str], Told | None],
        groups: Callable[[str, int], Sequence[Mapping[str, Any]]],
    ) -> None:
        """`keys` are the names of keys, `tx` finds a transaction by its hash, `groups` says those of the message that created a
        deployment, by its name and the message's height."""
        self._market = market
        self._addresses = addresses
        self._keys = keys
        self._tx = tx
        self._groups = groups

    def view(self) -> View:
        """Return what the chain would answer now."""
        return self._market.view()

    def address(self, name: str) -> str:
        """Return the address of a wallet."""
        return self._addresses.address(name)

    def name(self, address: str) -> str:
        """Return the name of the wallet of an address."""
        return self._addresses.name(address)

    def tx(self, hash: str) -> Told | None:
        """Return the receipt, the message and the time of a transaction."""
        return self._tx(hash)

    def is_key(self, text: str) -> bool:
        """Return whether a text is the name of a key, or the name or the address of a wallet."""
        return text in self._keys or self._addresses.name(text) in self._market.wallet_names

    def sent_groups(self, deployment: str, height: int) -> Sequence[Mapping[str, Any]]:
        """Return the groups of the message that created a deployment at this height, none where it was no message by hand."""
        return self._groups(deployment, height)


def chain_answer(facts: MarketFacts, what: str, asked: Mapping[str, Any]) -> dict[str, Any]:
    """Return {"answer": …} as queries are answered, or {"refused": text}, which the real command line would say."""
    try:
        return {"answer": answer(facts, what, asked)}
    except RefusedError as error:
        return {"refused": str(error)}


__all__ = ["MarketFacts", "Told", "chain_answer"]
