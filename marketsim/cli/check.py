"""The `marketsim check` command: a gate for CI on the outcomes of a market."""

from __future__ import annotations

import json
import re
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from marketsim.cli.memory import Memory
from marketsim.errors import InputError
from marketsim.interrupts import Unwinding

if TYPE_CHECKING:
    from marketsim.experiments.gate.baseline import Baseline
    from marketsim.experiments.gate.check import GateOutcome
    from marketsim.experiments.gate.gate_metric import GateMetric
    from marketsim.experiments.runs.variants import Runs

SELFTEST = "selftest"
_BUDGET = re.compile(r"(\d+(?:\.\d+)?)(s|m|min|h)?\Z")
_SECONDS = {None: 1.0, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("check")(check)


def check(
    files: Annotated[
        list[Path],
        typer.Argument(metavar="BASELINE.json", help="A baseline; with --update the scenarios of a new one; or `selftest [SCENARIO]`."),
    ],
    update: Annotated[bool, typer.Option("--update", help="Run the scenarios and write a baseline to --out.")] = False,
    metric: Annotated[
        list[str] | None,
        typer.Option(
            "--metric",
            metavar="NAME[:MARGIN][:AIM][:rare]",
            help="With --update: revenue.total:2%, fill_rate:0.01:equivalent, shortfall:1000:rare=5%; aims: no-lower, no-higher, "
            "equivalent (default: what is worse for the metric); margin 2% by default.",
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", metavar="FILE", help="With --update: the baseline to write.")] = None,
    reason: Annotated[
        str, typer.Option("--reason", metavar="TEXT", help="With --update: why outcomes may move; kept in the baseline.")
    ] = "",
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="PATH=VALUE", help="With --update: change the scenarios; kept in the baseline. With selftest: its scenario."
        ),
    ] = None,
    seeds: Annotated[int | None, typer.Option("--seeds", min=2, help="With --update: seeds, in place of as many as are needed.")] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="With --update: the first seed.")] = 1,
    alpha: Annotated[
        float | None, typer.Option("--alpha", help="How often a shift of the margin may pass; default: the baseline's, 0.05 in a new one.")
    ] = None,
    power: Annotated[
        float | None, typer.Option("--power", help="How often no shift must pass; default: the baseline's, 0.9 in a new one.")
    ] = None,
    budget: Annotated[
        str | None,
        typer.Option("--budget", metavar="D", help="The most time for runs: 60s, 5m; fewer pairs than planned if they do not fit."),
    ] = None,
    unpaired: Annotated[
        bool, typer.Option("--unpaired", help="Plan with the spreads of independent runs: for a change that gives seeds another meaning.")
    ] = False,
    exact: Annotated[
        bool, typer.Option("--exact", help="Fail as soon as one fingerprint differs; all seeds of the baseline are run.")
    ] = False,
    dry: Annotated[
        bool, typer.Option("--dry-run", help="Print the planned runs, what they can find, and the time; judge nothing.")
    ] = False,
    junit: Annotated[Path | None, typer.Option("--junit", metavar="FILE", help="Write the verdicts as JUnit's XML.")] = None,
    markdown: Annotated[Path | None, typer.Option("--markdown", metavar="FILE", help="Write a comment for a pull request.")] = None,
    annotations: Annotated[bool, typer.Option("--annotations", help="Print the verdicts as annotations of GitHub Actions, too.")] = False,
    fresh: Annotated[bool, typer.Option("--fresh", help="With selftest: draw its replications anew, in place of the stored ones.")] = False,
    store: Annotated[
        Path | None, typer.Option("--store", metavar="FILE", help="With selftest --fresh: keep the replications there.")
    ] = None,
    gates: Annotated[int, typer.Option("--gates", min=20, help="With selftest: gates for each of its lines.")] = 1000,
    workers: Annotated[int | None, typer.Option("--workers", min=1, help="Processes on this machine; default: its usable cores.")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress, and nothing at all where the gate passes.")] = False,
    memory: Memory = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the outcome as JSON and nothing else.")] = False,
) -> None:
    """Hold the present code and scenarios to a baseline of outcomes: exit 1 when a metric got worse by its margin, or may have."""
    from marketsim.experiments.runs.execute import usable_cores

    for name, value, low, high in (("--alpha", alpha, 0.0, 0.5), ("--power", power, 0.5, 1.0)):
        if value is not None and not low < value < high:
            raise InputError(f"{name}: {value:g} is not possible, give one between {low:g} and {high:g}")
    show = not quiet and not as_json
    count = workers or usable_cores()

    def tell(text: str) -> None:
        if show:
            print(f"check: {text}", file=sys.stderr, flush=True)

    if files[0] == Path(SELFTEST) and not files[0].exists():
        _selftest(files[1:], settings or [], fresh=fresh, store=store, gates=gates, workers=count, tell=tell, as_json=as_json)
        return
    only_new = {"--metric": metric, "--out": out, "--reason": reason, "--set": settings, "--seeds": seeds}
    if update:
        wrong = [name for name, value in {"--budget": budget, "--junit": junit, "--markdown": markdown}.items() if value is not None]
        wrong += [name for name, value in {"--exact": exact, "--dry-run": dry, "--unpaired": unpaired}.items() if value]
        if wrong:
            raise InputError(f"{wrong[0]}: judges against a baseline, leave it out with --update")
        _update(files, metric or [], out, settings or [], reason, alpha, power, seed, seeds, count, tell, quiet=quiet or as_json)
        return
    if given := [name for name, value in only_new.items() if value]:
        raise InputError(f"{given[0]}: is for a new baseline, give --update with it")
    if len(files) != 1:
        raise InputError(f"{files[1]}: one baseline at a time, call check once for each")
    outcome = _gate(files[0], alpha, power, budget, count, tell, unpaired=unpaired, exact=exact, dry=dry)
    if outcome is None:
        return
    _write(outcome, junit, markdown)
    _print(outcome, quiet=quiet, as_json=as_json, annotations=annotations)
    if not outcome.word.is_green:
        raise typer.Exit(1)


def parse_budget(text: str) -> float:
    """`60s`, `5m`, `1h` or seconds; raises InputError."""
    found = _BUDGET.match(text.strip())
    if found is None or float(found[1]) <= 0:
        raise InputError(f"--budget: '{text}' is not a time, write 60s, 5m or 1h")
    return float(found[1]) * _SECONDS[found[2]]


def _gate(
    path: Path,
    alpha: float | None,
    power: float | None,
    budget: str | None,
    workers: int,
    tell: Callable[[str], None],
    *,
    unpaired: bool,
    exact: bool,
    dry: bool,
) -> GateOutcome | None:
    from marketsim.experiments.gate.baseline import read_baseline
    from marketsim.experiments.gate.check import plan_gate, run_gate
    from marketsim.experiments.gate.report import plan_lines

    seconds = parse_budget(budget) if budget is not None else None
    baseline = read_baseline(path)
    plan = plan_gate(baseline, path, alpha=alpha or baseline.alpha, power=power or baseline.power, unpaired=unpaired)
    with _runs([metric.name for metric in baseline.metrics], workers) as runs:
        if dry:
            print("\n".join(plan_lines(plan, _run_seconds(plan.arms[0], baseline, runs), workers)))
            return None
        return run_gate(plan, runs, at_once=workers, budget=seconds, exact=exact, tell=tell)


def _run_seconds(arm: object, baseline: Baseline, runs: Runs) -> float:
    """How long a run of the first scenario takes, once everything is loaded."""
    import time

    kept = baseline.scenarios[0]
    for seed in (kept.seeds[0], kept.seeds[-1]):
        begun = time.monotonic()
        runs.summaries([arm], [seed])  # type: ignore[list-item]
    return time.monotonic() - begun


@contextmanager
def _runs(metrics: list[str], workers: int) -> Iterator[Runs]:
    """Where runs are made; a run that fails ends the command with exit code 1."""
    from marketsim.experiments.runs.simulated import runner_for
    from marketsim.experiments.runs.variants import PooledRuns, RunFailedError

    with Unwinding(), tempfile.TemporaryDirectory(prefix="marketsim-check-") as scratch:
        runs = PooledRuns(runner_for(metrics), Path(scratch), workers)
        try:
            yield runs
        except RunFailedError as error:
            print(f"run failed: {error}", file=sys.stderr)
            raise typer.Exit(1) from None
        finally:
            runs.close()


def _write(outcome: GateOutcome, junit: Path | None, markdown: Path | None) -> None:
    from marketsim.experiments.gate.report import gate_junit, gate_markdown
    from marketsim.experiments.runs.execute import write_atomically

    for path, content in ((junit, gate_junit(outcome) if junit else b""), (markdown, gate_markdown(outcome).encode() if markdown else b"")):
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, content)


def _print(outcome: GateOutcome, *, quiet: bool, as_json: bool, annotations: bool) -> None:
    from marketsim.experiments.gate.report import gate_annotations, gate_lines

    if as_json:
        print(json.dumps(outcome.as_json(), indent=1))
        return
    if not quiet or not outcome.word.is_green:
        print("\n".join(gate_lines(outcome)))
    if annotations:
        print("\n".join(gate_annotations(outcome)))


def _update(
    files: list[Path],
    metric: list[str],
    out: Path | None,
    settings: list[str],
    reason: str,
    alpha: float | None,
    power: float | None,
    seed: int,
    seeds: int | None,
    workers: int,
    tell: Callable[[str], None],
    *,
    quiet: bool,
) -> None:
    from marketsim.experiments.gate.baseline import baseline_bytes, read_baseline
    from marketsim.experiments.gate.check import changes, make_baseline, refuse_unknown, scenario_arm
    from marketsim.experiments.runs.execute import write_atomically

    if out is None:
        raise InputError("--out: is missing, name the baseline's file, such as baseline.json")
    old = read_baseline(out) if out.exists() else None
    metrics = _metrics(metric, old, out)
    arms = [(path, tuple(settings), scenario_arm(path, settings)) for path in dict.fromkeys(files)]
    refuse_unknown(metrics, [arm for _, _, arm in arms], "--metric")
    with _runs([one.name for one in metrics], workers) as runs:
        made = make_baseline(
            arms,
            metrics,
            runs,
            out.parent,
            alpha=alpha or (old.alpha if old else 0.05),
            power=power or (old.power if old else 0.9),
            first_seed=seed,
            seeds=seeds,
            reason=reason,
            tell=tell,
        )
    lines = (
        ["new baseline"]
        if old is None
        else changes(old, made) or ["nothing changes but the reason" if old.reason != reason else "nothing changes"]
    )
    out.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(out, baseline_bytes(made))
    if not quiet:
        print("\n".join(f"{out}: {line}" for line in lines))


def _metrics(texts: list[str], old: Baseline | None, out: Path) -> list[GateMetric]:
    """The metrics named, or those of the baseline that is written anew."""
    from marketsim.experiments.gate.gate_metric import parse_gate_metric

    if not texts:
        if old is None:
            raise InputError(f"--metric: is missing, and there is no {out} to take the metrics from; give e.g. --metric revenue.total:2%")
        return old.asked
    found = [parse_gate_metric(text) for text in texts]
    names = [one.name for one in found]
    if twice := [name for name in names if names.count(name) > 1]:
        raise InputError(f"--metric: {twice[0]} is given twice")
    return found


def _selftest(
    files: list[Path],
    settings: list[str],
    *,
    fresh: bool,
    store: Path | None,
    gates: int,
    workers: int,
    tell: Callable[[str], None],
    as_json: bool,
) -> None:
    from marketsim.experiments.gate.selftest import METRICS, drawn, scenario_data, selftest, stored, stored_bytes
    from marketsim.experiments.runs.execute import write_atomically

    if len(files) > 1 or (files and not fresh):
        raise InputError(f"selftest: {files[-1]}: give one scenario with --fresh, or none for the stored replications")
    if settings and not files:
        raise InputError("--set: changes a scenario, give one with --fresh")
    if store is not None and not fresh:
        raise InputError("--store: keeps replications that are drawn, give --fresh with it")
    if fresh:
        if files:
            scenario, base = scenario_data(files[0], settings)
        else:
            known = stored()
            scenario, base = known.scenario, known.base
        with _runs(list(METRICS), workers) as runs:
            arms = drawn(scenario, base, runs, tell=tell)
        if store is not None:
            write_atomically(store, stored_bytes(arms))
    else:
        arms = stored()
    found = selftest(arms, gates, tell)
    if as_json:
        print(json.dumps(found.as_json(), indent=1))
    else:
        print("\n".join(found.lines()))
    if not found.holds:
        raise typer.Exit(1)
