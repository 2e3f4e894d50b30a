"""What can be replayed: kinds of recorded answers, how each is replayed, and what a comparison says of a file."""

from __future__ import annotations

from collections.abc import Callable

from marketsim.conformance import shapes
from marketsim.conformance.report import FileReport, Replay, Vector

UNITS = {
    "escrow": "operations",
    "market": "messages",
    "settlement": "operations",
    "price": "prices",
    "sdl": "manifests",
    "script": "requests and prices",
}
KINDS = tuple(UNITS)


def replay_of(kind: str) -> tuple[Replay, Callable[[Vector], None]]:
    """The replay and the check of a kind; imported here because the chain is heavy."""
    if kind == "escrow":
        from marketsim.conformance.escrow import replay as escrow

        return escrow, shapes.check_escrow
    if kind == "market":
        from marketsim.conformance.market import replay as market

        return market, shapes.check_market
    if kind == "settlement":
        from marketsim.conformance.settlement import replay as settlement

        return settlement, shapes.check_settlement
    if kind in ("sdl", "script"):
        from marketsim.conformance.manifests import replay_script, replay_sdl

        return (replay_sdl, shapes.check_sdl) if kind == "sdl" else (replay_script, shapes.check_script)
    from marketsim.conformance.prices import replay as prices

    return prices, shapes.check_price


def report_lines(report: FileReport, unit: str) -> list[str]:
    """The count of one file, then its first differences, one line each."""
    lines = [f"{report.file}: {report.identical}/{report.compared} identical ({unit}, {report.seconds:.1f} s)"]
    for found in report.differences:
        where = f"{found.object} {found.field}".strip()
        lines.append(f"  sequence {found.sequence}, message {found.message}: {where}: expected {found.expected}, found {found.found}")
    if report.hidden:
        lines.append(f"  and {report.hidden} more differences")
    return lines
