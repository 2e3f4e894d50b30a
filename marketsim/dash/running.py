"""A devnet that runs in another process, as the dashboard looks at it and tells its clock."""

from __future__ import annotations

from collections.abc import Sequence

from marketsim.dash.recorded import LISTS, chain_commands
from marketsim.dash.watched import (
    BIDS_MOST,
    JOURNAL_LINES,
    LEASES_MOST,
    ORDERS_MOST,
    OrderRow,
    ProviderLine,
    Seen,
    lease_rows,
    order_rows,
    share,
)
from marketsim.devnet.client import Client
from marketsim.errors import InputError
from marketsim.scenario.literals import parse_duration

FEW = 20
"""Leases that are asked for where no table shows them."""


class RunningDevnet:
    """A devnet as `marketsim.dash.watched.Watched`."""

    speeds: Sequence[float] = (0.0, 1.0, 60.0, 600.0, 3600.0)

    def __init__(self, client: Client) -> None:
        self.client = client
        self._block_seconds = 6.0
        self._height = 0

    def look(self, provider: str | None, tab: str) -> Seen:
        """As `Watched.look`."""
        figures = self.client.dashboard(provider, LEASES_MOST if tab in ("leases", "warnings") else FEW)
        self._block_seconds, self._height = figures["block_seconds"], figures["height"]
        if tab in ("leases", "warnings"):
            return Seen(figures, lease_rows(figures, tab == "warnings"))
        if tab == "journal":
            return Seen(figures, lines=self.client.journal(n=JOURNAL_LINES))
        return Seen(figures, self._orders() if tab == "orders" else self._providers())

    def _orders(self) -> list[OrderRow]:
        orders = self.client.orders({"state": "open"}, limit=ORDERS_MOST)["orders"]
        bids = self.client.bids({"state": "open"}, limit=BIDS_MOST)["bids"]
        rows = [(each["created_at"], each["ceiling"], each["cpu"], each["id"]) for each in orders]
        return order_rows(rows, [(each["order"], each["price"]) for each in bids])

    def _providers(self) -> list[ProviderLine]:
        return [
            ProviderLine(
                each["active_leases"],
                share(each["cpu_leased"], each["cpu"]),
                share(each["memory_leased"], each["memory"]),
                each["submitted"],
                each["won"],
                share(each["won"], each["submitted"]),
                "blocked" if each["blocked"] else "up" if each["up"] else "down",
                f"{each['address']} {each['wallet']}",
            )
            for each in self.client.providers(limit=1_000)["providers"]
        ]

    # --- told ----------------------------------------------------------------------------------------------------------------------------

    def set_clock(self, *, speed: float | None = None, paused: bool | None = None) -> str:
        """As `Watched.set_clock`."""
        self.client.set_clock(speed=speed, paused=paused)
        if speed is not None:
            return f"marketsim devnet speed {speed:g}"
        return f"marketsim devnet {'pause' if paused else 'resume'}"

    def step(self, blocks: int) -> str:
        """As `Watched.step`."""
        if blocks < 0:
            raise InputError("a devnet goes on only; `marketsim devnet revert NAME` goes back to a snapshot")
        self.client.advance(blocks)
        return f"marketsim devnet advance --blocks {blocks}"

    def seek(self, where: str) -> str:
        """As `Watched.seek`."""
        text = where.strip().replace(",", "")
        try:
            if text.isascii() and text.isdigit():
                return self.step(int(text) - self._height)
            if text[:1] in ("+", "-"):
                return self.step((1 if text[0] == "+" else -1) * self._blocks(text[1:]))
            return self.step(self._blocks(text) - self._height)
        except ValueError:
            raise InputError(f"{where!r} is no place, write a block (1200), a time from the start (12h), or +2h") from None

    def _blocks(self, text: str) -> int:
        if text.isascii() and text.isdigit():
            return int(text)
        return parse_duration(text).blocks(round(self._block_seconds * 1000))

    def why(self, target: str) -> list[str]:
        """As `Watched.why`: up to the devnet's last block, and what the own provider's daemon wrote of it."""
        return self.client.explain(_bare(target)).splitlines()

    # --- the same as commands ------------------------------------------------------------------------------------------------------------

    def command(self, tab: str) -> str:
        """As `Watched.command`."""
        return LISTS[tab]

    def commands(self, target: str) -> list[str]:
        """As `Watched.commands`."""
        return chain_commands(_bare(target))


def _bare(target: str) -> str:
    """A provider's address without the name behind it."""
    return target.partition(" ")[0]


__all__ = ["RunningDevnet"]
