"""What each upstream defect costs in a market: the baseline with each quirk against itself without, same seeds.

    python benchmarks/quirks.py [--pairs 8] [--scenario FILE] [--set PATH=VALUE] [--write docs/quirks.md]

prints Markdown tables, one a market and rule set: mean differences over paired runs (common random numbers)
with 95 % confidence intervals. With --write the tables replace what stands between the page's markers.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from statistics import fmean, stdev
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parent.parent
RULES = ("virtengine", "akash")
MARKERS = ("<!-- tables: python benchmarks/quirks.py -->", "<!-- end of tables -->")
MARKETS = {
    "one lease an account": (),
    "two leases an account": ("tenants.web.order={sdl: sdl/multi-placement.yaml}",),
}
"""The scenario as it is, and with web tenants that deploy one service on two continents from one account."""
SCALE = 1_000_000
"""uve in a VE."""


class Figures(NamedTuple):
    """One run in figures, VE unless said otherwise."""

    tenants_paid: float
    """What left the tenants' accounts for good: deposits less refunds and what is still held."""
    providers_net: float
    """Pay-outs after take."""
    fees: float
    """Network fees of both."""
    locked: float
    """Still in escrow at the end, deposits of bids among it."""
    stranded: float
    """Lost inside the escrow module."""
    leased: float
    """Orders that found a lease."""
    left_open: float
    """Orders without a lease that are still open at the end."""
    refused: float
    """Bids that the chain refused."""


COLUMNS = {
    "tenants_paid": "Tenants paid, VE",
    "providers_net": "Providers got, VE",
    "fees": "Network fees, VE",
    "locked": "Held at the end, VE",
    "stranded": "Stranded, VE",
    "leased": "Orders leased",
    "left_open": "Orders left open",
    "refused": "Bids refused",
}


def figures(summary: Mapping[str, Any]) -> Figures:
    """Return a summary's figures."""
    escrow = {key: summary["escrow"][f"{key}_uve"] / SCALE for key in ("paid", "fees", "dust", "stranded", "held")}
    return Figures(
        tenants_paid=escrow["paid"] + escrow["fees"] + escrow["dust"] + escrow["stranded"],
        providers_net=escrow["paid"],
        fees=summary["network_fees_uve"] / SCALE,
        locked=escrow["held"],
        stranded=escrow["stranded"],
        leased=float(summary["orders"]["leased"]),
        left_open=float(summary["orders"]["open"]),
        refused=float(sum(summary["bids"]["rejected"].values())),
    )


def measured(scenario: Path, rules: str, quirks: Sequence[str], seeds: Sequence[int], extra: Sequence[str]) -> list[Figures]:
    """Run the scenario under a rule set with these quirks, once a seed."""
    from marketsim import simulation
    from marketsim.scenario import load_scenario

    overrides = [f"rules={rules}", f"quirks=[{', '.join(quirks)}]", "record=summary", *extra]
    loaded = load_scenario(scenario, overrides)
    return [figures(simulation.run(loaded, seed=seed).summary) for seed in seeds]


def tables(scenario: Path, pairs: int, first_seed: int = 1, extra: Sequence[str] = (), quiet: bool = True) -> str:
    """Return the tables as Markdown."""
    from marketsim.scenario.rulesets import quirks_of

    seeds = range(first_seed, first_seed + pairs)
    lines = []
    for title, rules in product(MARKETS, RULES):
        settings = [*MARKETS[title], *extra]
        variants = [(name, [name]) for name in quirks_of(rules)] + [("all of them", ["all"])]
        plain = measured(scenario, rules, [], seeds, settings)
        lines += [f"### {rules}, {title}", ""]
        lines += ["| Quirk | " + " | ".join(COLUMNS.values()) + " |", "|---|" + "---:|" * len(COLUMNS)]
        level = " | ".join(_number(fmean(values)) for values in zip(*plain, strict=True))
        lines.append(f"| none (means) | {level} |")
        for name, quirks in variants:
            found = measured(scenario, rules, quirks, seeds, settings)
            cells = [f"`{name}`" if name != "all of them" else name]
            cells += [
                _difference([b - a for a, b in zip(before, after, strict=True)])
                for before, after in zip(zip(*plain, strict=True), zip(*found, strict=True), strict=True)
            ]
            lines.append(f"| {' | '.join(cells)} |")
            if not quiet:
                print(lines[-1], file=sys.stderr, flush=True)
        lines.append("")
    lines.append(
        f"{scenario.name}, {pairs} pairs of runs (seeds {seeds[0]} to {seeds[-1]}); differences from the first row, "
        "± half the width of their 95 % intervals; 0 means no difference in any pair."
    )
    return "\n".join(lines)


def _number(value: float) -> str:
    return f"{value:,.2f}" if abs(value) < 1000 else f"{value:,.0f}"


def _difference(values: Sequence[float]) -> str:
    if not any(values):
        return "0"
    from scipy.stats import t

    mean = fmean(values)
    half = float(t.ppf(0.975, len(values) - 1)) * stdev(values) / len(values) ** 0.5 if len(values) > 1 else 0.0
    return f"{'+' if mean > 0 else '−' if mean < 0 else ''}{_number(abs(mean))} ± {_number(half)}"


def replaced(page: str, text: str) -> str:
    """Return the page with `text` between its markers."""
    pattern = re.compile(f"({re.escape(MARKERS[0])}\n).*?({re.escape(MARKERS[1])})", re.DOTALL)
    if not pattern.search(page):
        raise ValueError(f"the page lacks the markers {MARKERS[0]} and {MARKERS[1]}")
    return pattern.sub(lambda found: f"{found[1]}\n{text}\n\n{found[2]}", page)


def main() -> None:
    """Print the tables, or write them into a page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=8)
    parser.add_argument("--scenario", type=Path, default=ROOT / "scenarios" / "baseline.yaml")
    parser.add_argument("--set", action="append", default=[], metavar="PATH=VALUE", dest="settings")
    parser.add_argument("--write", type=Path, metavar="PAGE")
    arguments = parser.parse_args()
    text = tables(arguments.scenario, arguments.pairs, extra=arguments.settings, quiet=False)
    if arguments.write is None:
        print(text)
    else:
        arguments.write.write_text(replaced(arguments.write.read_text("utf-8"), text), "utf-8")


if __name__ == "__main__":
    main()
