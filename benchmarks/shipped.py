"""What the runs that people make take: each shipped scenario under each rule set, part by part, and a replication of the pricing sweep.

    python benchmarks/shipped.py [--rounds 5] [--other FOLDER [--whole]] [--json]

Processor time, medians of rounds in which all rows run in turn. Beside each market stands its floor: charged by rate, no time series,
nothing recorded. Beside `small` stands a first-written SimPy model of the same draws (first_written_small.py), whose outcome is held
against marketsim's each time, every column to the last unit. Its play is SimPy's run from the first block to the last, with all that the
outcome has, time series included; making its objects out of the draws is not counted. marketsim's play is all that comes between laying
the market out and summing it up, its clock and its processes included.

`--other` names another checkout with a `.venv` of its own; its rows are timed in turn with this one's, and ratios to it are demanded as
well. With `--whole` so are the whole pricing sweep (288 runs, two workers, report included; seconds on the clock) and
the first run of `small` with nothing compiled (processor time), each in turn: some minutes more. Whether a demand is met changes no exit
status: a busy machine is no error.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parent.parent
RULES = ("seed", "virtengine", "akash")
MARKETS = ("tiny", "small", "baseline", "training", "ve-settlement")
REFERENCE = "RM-1"
MODELLED = "small"
"""The market of which there is a first-written model."""
PARTS = ("prepare", "play", "sum_up", "write", "figures")
SWEEP = ROOT / "scenarios/sweeps/pricing.yaml"
PLACES = (
    {"attempt": "runs.execute", "runner_for": "runs.simulated", "read_plan": "sweep.session"},
    {"attempt": "execute", "runner_for": "run_welfare", "read_plan": "sweep_session"},
)
"""Where a sweep's parts are, in this checkout and in ones from before its rooms."""
WORKER = "--timed-rows"
WHOLE_ROUNDS = 2
"""Whole sweeps and first runs of each checkout that are counted."""


class Row(NamedTuple):
    """What is timed as one: a scenario with settings; `floor` is without samples, `first_written` by the first-written model."""

    name: str
    scenario: str
    settings: tuple[str, ...]
    floor: bool = False
    first_written: bool = False


def rows() -> list[Row]:
    """Every row, in the order in which they run."""
    found = []
    for name in MARKETS:
        found.append(Row(f"{name} floor", name, ("charging=rate", "record=summary"), floor=True))
        found.append(Row(name, name, ()))
        if name in ("small", "baseline"):
            found.append(Row(f"{name} rate", name, ("charging=rate",)))
            found += [Row(f"{name} {rules}", name, (f"rules={rules}",)) for rules in RULES[1:]]
        if name == MODELLED:
            found.append(Row(f"{name} first-written", name, (), first_written=True))
    found += [Row(name, name, ()) for name in RULES[1:]]
    found.append(Row(REFERENCE, REFERENCE, ()))
    return found


def reference_market() -> dict[str, Any]:
    """The scenario of the reference market (docs/reference-market.md), agents that hand over a day's orders at a time."""
    return {
        "name": "rm1",
        "horizon": "432000 blocks",
        "charging": "rate",
        "take": 0,
        "bid_min_deposit": "0uve",
        "deployment_min_deposit": "0uve",
        "order_max_bids": 500,
        "reserve": "at_acceptance",
        "tie": "provider_index",
        "price_rounding": "floor",
        "record": "summary",
        "network_fees": False,
        "settle_every": "100 blocks",
        "grace": "100 blocks",
        "order_timeout": "11 blocks",
        "market": {"generator": "rm1", "orders": 50_000, "providers": 100, "tenants": 1_000, "agents": "batch"},
    }


@contextmanager
def no_samples(wanted: bool) -> Iterator[None]:
    """While it lasts, a market's time series has the horizon's sample alone."""
    from marketsim.simulation import build

    usual = build.sample_ms
    if wanted:
        build.sample_ms = lambda scenario: scenario.horizon_blocks * scenario.block_ms
    try:
        yield
    finally:
        build.sample_ms = usual


def time_row(root: Path, row: Row, scratch: Path, parts: bool) -> dict[str, float]:
    """Seconds of each part of one run, its fingerprint's first digits as a number beside them; write and figures only with `parts`."""
    from marketsim.export.results import as_recorded, new_results
    from marketsim.metrics.summary import summarize
    from marketsim.report.pages import write_pages
    from marketsim.scenario.load import load_scenario, scenario_from_mapping
    from marketsim.simulation.run import play, prepare, versions

    if row.first_written:
        return time_first_written(load_scenario(root / f"scenarios/{row.scenario}.yaml", row.settings))
    if row.name == REFERENCE:
        parts = False  # a benchmark of its own says what its results take
        scenario = scenario_from_mapping(reference_market(), Path())
    else:
        scenario = load_scenario(root / f"scenarios/{row.scenario}.yaml", row.settings)
    clock = time.process_time
    with no_samples(row.floor):
        moments = [clock()]
        market = prepare(scenario, scenario.seed)
        moments.append(clock())
        receipts: list[dict[str, Any]] = []
        blocks, collector = play(scenario, market, scenario.seed, receipts=receipts)
        moments.append(clock())
        del market
        record = collector.record(blocks, versions(), 0.0, None)
        summary = summarize(record)
        moments.append(clock())
    if parts:
        with tempfile.TemporaryDirectory(dir=scratch) as folder, new_results(Path(folder) / "out", own=False) as write:
            target = write(record, summary)
            moments.append(clock())
            write_pages(target, as_recorded(record), summary, figures=True)
            moments.append(clock())
    taken = dict(zip(PARTS, (b - a for a, b in pairwise(moments)), strict=False))
    return taken | {"fingerprint": int(summary["fingerprint"][:12], 16), "orders": summary["orders"]["created"]}


def time_first_written(scenario: Any) -> dict[str, float]:
    """Seconds of the first-written model's play of a scenario; RuntimeError where its outcome is not marketsim's."""
    from digest import digest, first_difference
    from first_written_small import run
    from small_market import play_small

    played = play_small(scenario, scenario.seed)
    model = run(played.draws)
    if (apart := first_difference(model.outcome, played.outcome)) is not None:
        raise RuntimeError(f"{scenario.name}: the first-written model ends otherwise, {apart}")
    opened = int((model.outcome.listing == 1).sum())
    return {"play": model.seconds, "fingerprint": int(digest(model.outcome)[:12], 16), "orders": opened}


def replication(root: Path) -> Callable[[], float]:
    """Return what times one replication of the pricing sweep, each of another design point."""
    found: dict[str, Any] = {}
    for names in PLACES:
        with suppress(ImportError):
            found = {name: getattr(import_module(f"marketsim.experiments.{module}"), name) for name, module in names.items()}
            break
    attempt, runner_for, read_plan = (found[name] for name in ("attempt", "runner_for", "read_plan"))
    plan = read_plan(root / SWEEP.relative_to(ROOT))
    runner = runner_for(plan.sweep.metrics)
    points = len(plan.design.points)
    made = 0

    def one() -> float:
        nonlocal made
        began = time.process_time()
        for point in range(points):
            outcome = attempt(runner, plan.task(point, made))
            if outcome.status != "ok":
                raise RuntimeError(outcome.message)
        made += 1
        return (time.process_time() - began) / points

    one()
    return one


def serve(root: Path) -> None:
    """Time what is asked on standard input, a line an answer, until it ends."""
    sys.path.insert(0, str(root))
    from marketsim.simulation.memory import keep_memory

    keep_memory()
    known = {row.name: row for row in rows()}
    sweep: Callable[[], float] | None = None
    with tempfile.TemporaryDirectory() as scratch:
        for line in sys.stdin:
            name, parts = json.loads(line)
            if name == "replication":
                sweep = sweep or replication(root)
                answer = {"run": sweep()}
            else:
                answer = time_row(root, known[name], Path(scratch), parts)
            print(json.dumps(answer), flush=True)


class Timed:
    """A process that times the rows of one checkout."""

    def __init__(self, root: Path) -> None:
        python = root / ".venv/bin/python"
        command = [str(python if python.exists() else sys.executable), __file__, WORKER, str(root)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=root)

    def __call__(self, name: str, parts: bool) -> dict[str, float]:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps([name, parts]) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the process that times {name} ended, status {self._process.wait()}")
        answer: dict[str, float] = json.loads(line)
        return answer

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


def measure(rounds: int, other: Path | None, say: Callable[[str], None]) -> dict[str, Any]:
    """The figures: by checkout and row, the median of each part."""
    checkouts = {"here": Timed(ROOT)} | ({} if other is None else {"other": Timed(other)})
    names = [*(row.name for row in rows()), "replication"]
    ours = {row.name for row in rows() if row.first_written}
    found: dict[str, dict[str, list[dict[str, float]]]] = {
        key: {name: [] for name in names if key == "here" or name not in ours} for key in checkouts
    }
    for name in names:
        for key, timed in checkouts.items():
            if name in found[key]:
                timed(name, False)  # loaded, imported, compiled
        say(f"{name}: ready")
    for number in range(rounds):
        for name in names:
            for key, timed in checkouts.items():
                if name in found[key]:
                    found[key][name].append(timed(name, number < 2))
        say(f"round {number + 1} of {rounds}")
    for timed in checkouts.values():
        timed.close()
    return {
        key: {
            name: {part: median(one[part] for one in taken if part in one) for part in {p for one in taken for p in one}}
            for name, taken in each.items()
        }
        for key, each in found.items()
    }


def first_run(root: Path, scratch: Path) -> float:
    """Seconds of processor time of a run of `small` with nothing compiled, less those of the same run again."""
    command = [str(root / ".venv/bin/marketsim"), "run", "scenarios/small.yaml", "--no-figures", "--quiet"]
    taken = []
    with tempfile.TemporaryDirectory(dir=scratch) as cache:
        for number in range(2):
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            out = ["--out", str(Path(cache) / f"results-{number}")]
            subprocess.run([*command, *out], cwd=root, check=True, env=os.environ | {"MARKETSIM_CACHE": str(Path(cache) / "code")})
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            taken.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return taken[0] - taken[1]


def whole_sweep(root: Path, scratch: Path) -> float:
    """Seconds on the clock of the pricing sweep with two workers, its report included."""
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        out = str(Path(folder) / "out")
        began = time.perf_counter()
        command = [str(root / ".venv/bin/marketsim"), "sweep", str(SWEEP.relative_to(ROOT)), "--workers", "2", "--quiet", "--out", out]
        subprocess.run(command, cwd=root, check=True)
        return time.perf_counter() - began


def measure_whole(other: Path, rounds: int, say: Callable[[str], None]) -> dict[str, dict[str, float]]:
    """By checkout the medians of the whole sweep, after one that is not counted, and of the first run, in turn."""
    roots = {"here": ROOT, "other": other}
    found: dict[str, dict[str, list[float]]] = {key: {"sweep": [], "first_run": []} for key in roots}
    with tempfile.TemporaryDirectory() as scratch:
        for number in range(rounds + 1):
            for key, root in roots.items():
                taken = whole_sweep(root, Path(scratch))
                if number:
                    found[key]["sweep"].append(taken)
                    found[key]["first_run"].append(first_run(root, Path(scratch)))
            say(f"whole sweeps and first runs, round {number} of {rounds}")
    return {key: {name: median(taken) for name, taken in each.items()} for key, each in found.items()}


class Demand(NamedTuple):
    """One figure that has to be at most its bound, or at least that."""

    name: str
    figure: float
    bound: float
    at_least: bool = False

    @property
    def verdict(self) -> str:
        over = self.bound / self.figure if self.at_least else self.figure / self.bound
        if over <= 1:
            return "yes"
        return "within a tenth" if over <= 1.1 else "NO"


def demands(figures: dict[str, Any]) -> list[Demand]:
    """Every demand that the figures answer."""
    here = figures["here"]
    found = [
        Demand(f"{name}: play, over charging=rate", here[name]["play"] / here[f"{name} rate"]["play"], 1.5)
        for name in ("small", "baseline")
    ]
    found += [
        Demand(f"small {rules}: play, over seed with rate", here[f"small {rules}"]["play"] / here["small rate"]["play"], 2)
        for rules in RULES[1:]
    ]
    speed = here[f"{MODELLED} first-written"]["play"] / here[MODELLED]["play"]
    found.append(Demand(f"{MODELLED}: play of its first-written SimPy model, over play", speed, 60, at_least=True))
    found.append(
        Demand("a replication of the pricing sweep, over play of small rate", here["replication"]["run"] / here["small rate"]["play"], 2.2)
    )
    if "other" in figures:
        other = figures["other"]
        ends = [sum(each["small"][part] for part in ("prepare", "sum_up")) for each in (here, other)]
        found.append(Demand("small: prepare and sum up, over the other checkout's", ends[0] / ends[1], 0.25))
        found.append(Demand("a replication, over the other checkout's", here["replication"]["run"] / other["replication"]["run"], 1 / 3))
        found.append(Demand("RM-1: play, over the other checkout's", here[REFERENCE]["play"] / other[REFERENCE]["play"], 1.05))
    if "whole" in figures:
        mine, others = figures["whole"]["here"], figures["whole"]["other"]
        found.append(Demand("the whole pricing sweep, over the other checkout's", mine["sweep"] / others["sweep"], 1 / 3))
        found.append(Demand("compiling from the source tree, over the other checkout's", mine["first_run"] / others["first_run"], 0.5))
    return found


def print_tables(figures: dict[str, Any], reached: list[Demand]) -> None:
    """Print the figures as tables."""
    from rich.console import Console
    from rich.table import Table

    console = Console(width=130, highlight=False)
    for key, each in figures.items():
        if key == "whole":
            continue
        table = Table(title=f"Milliseconds of processor time, {key}", title_justify="left")
        for number, column in enumerate(("run", "orders", *PARTS, "play, µs an order")):
            table.add_column(column, justify="right" if number else "left")
        for name, taken in each.items():
            if name == "replication":
                continue
            cells = [f"{1000 * taken[part]:.1f}" if part in taken else "" for part in PARTS]
            table.add_row(name, f"{taken['orders']:,.0f}", *cells, f"{1e6 * taken['play'] / max(1, taken['orders']):.1f}")
        console.print(table)
        console.print(f"a replication of the pricing sweep: {1000 * each['replication']['run']:.1f} ms")
    for key, taken in figures.get("whole", {}).items():
        console.print(f"{key}: pricing sweep {taken['sweep']:.1f} s on the clock, compiling {taken['first_run']:.1f} s of processor time")
    table = Table(title="What is demanded", title_justify="left")
    for number, column in enumerate(("figure", "is", "demanded", "holds")):
        table.add_column(column, justify="right" if number else "left")
    for demand in reached:
        bound = f"at {'least' if demand.at_least else 'most'} {demand.bound:.2f}"
        table.add_row(demand.name, f"{demand.figure:.2f}", bound, demand.verdict)
    console.print(table)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--other", type=Path, help="another checkout, with a .venv of its own")
    parser.add_argument("--whole", action="store_true", help="time whole sweeps and first runs as well, against the other checkout")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON and nothing else")
    options = parser.parse_args()
    if options.whole and options.other is None:
        parser.error("--whole times against another checkout, name it with --other")
    other = options.other and options.other.resolve()

    def say(text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    figures = measure(options.rounds, other, say)
    if options.whole:
        figures["whole"] = measure_whole(other, WHOLE_ROUNDS, say)
    reached = demands(figures)
    if options.json:
        listed = [{"name": d.name, "figure": d.figure, "bound": d.bound, "at_least": d.at_least, "holds": d.verdict} for d in reached]
        print(json.dumps({"seconds": figures, "demands": listed}, indent=1))
    else:
        print_tables(figures, reached)


if __name__ == "__main__":
    if sys.argv[1:2] == [WORKER]:
        serve(Path(sys.argv[2]))
    else:
        main()
