"""The pytest plugin: runs of scenarios that tests share, and assertions on their outcomes.

pytest loads this file wherever marketsim is installed, so it imports nothing of marketsim until a fixture is used.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import pytest

if TYPE_CHECKING:
    from marketsim.experiments.gate.check import GateOutcome
    from marketsim.experiments.runs.variants import Arm, Variant

BASELINES = "baselines"
"""Folder of the baselines beside a test's file."""
_LOOK_SECONDS = 0.05
_ALPHA = 0.05


def pytest_addoption(parser: pytest.Parser) -> None:
    """The plugin's options."""
    group = parser.getgroup("marketsim", "outcomes of simulated markets")
    group.addoption("--marketsim-update", action="store_true", help="write the baselines of `outcome_baseline` anew")
    group.addoption("--marketsim-reason", metavar="TEXT", default="", help="why they move; kept in the baselines that are written")


class MarketOutcome:
    """What one seed of a scenario gave: `summary` as in summary.json, figures by dotted path."""

    def __init__(self, runs: RunCache, arm: Variant, seed: int, summary: dict[str, Any]) -> None:
        self._runs, self._arm = runs, arm
        self.seed = seed
        self.summary = summary

    @property
    def label(self) -> str:
        """The scenario with its settings, and the seed."""
        return f"{self._arm.label}, seed {self.seed}"

    @property
    def fingerprint(self) -> str:
        """The fingerprint of all that happened."""
        return str(self.summary["fingerprint"])

    def __getitem__(self, metric: str) -> float:
        """A metric by dotted path, NaN where the run has none; welfare metrics run the scenario once more. KeyError for others."""
        from marketsim.experiments.runs.metric_names import metric_value, wants_welfare
        from marketsim.experiments.runs.scenario_source import ScenarioFiles

        problem = ScenarioFiles().unknown_metric(metric, self._arm.effective())
        if problem is not None:
            raise KeyError(problem)
        summary = self._runs.summary(self._arm, self.seed, [metric]) if wants_welfare([metric]) else self.summary
        return metric_value(summary, metric)


class MarketRun(Protocol):
    """What `marketsim_run` is."""

    def __call__(
        self, scenario: str | Path, *, seed: int | None = None, settings: Sequence[str] | Mapping[str, object] = ()
    ) -> MarketOutcome:
        """Run a scenario, or find that somebody of this session did; a relative path is looked for beside the test, then at the root."""
        ...


class RunCache:
    """Runs of this session by content, in a folder that the processes of xdist share: each is made once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._known: dict[str, dict[str, Any]] = {}

    def summary(self, arm: Variant, seed: int, metrics: Sequence[str] = ()) -> dict[str, Any]:
        """The summary of one run; it is known by the scenario's content, the files that it reads, the seed and marketsim's own code."""
        from marketsim.experiments.runs.execute import package_hash, run_key
        from marketsim.experiments.runs.scenario_source import ScenarioFiles
        from marketsim.experiments.runs.simulated import runner_for

        runner = runner_for(metrics)
        effective = arm.effective()
        key = run_key({**effective, "extent": runner.extent}, seed, package_hash(), ScenarioFiles().contents(effective, arm.base))
        if key not in self._known:
            with self._alone(key) as file:
                if not file.exists():
                    self._write(file, runner(arm.mapping, arm.base, seed))
                self._known[key] = json.loads(file.read_bytes())
        return self._known[key]

    def _write(self, file: Path, summary: dict[str, Any]) -> None:
        from marketsim.experiments.runs.execute import summary_bytes, write_atomically

        write_atomically(file, summary_bytes(summary))

    @contextlib.contextmanager
    def _alone(self, key: str) -> Iterator[Path]:
        """Let one process at a time make a run; who waits finds it made. A lock whose process has gone is nobody's."""
        self._folder.mkdir(parents=True, exist_ok=True)
        file, lock = self._folder / f"{key}.json", self._folder / f"{key}.lock"
        while not file.exists():
            try:
                handle = os.open(lock, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
            except FileExistsError:
                if _is_nobodys(lock):
                    lock.unlink(missing_ok=True)
                time.sleep(_LOOK_SECONDS)
                continue
            try:
                os.write(handle, str(os.getpid()).encode())
                os.close(handle)
                yield file
            finally:
                lock.unlink(missing_ok=True)
            return
        yield file


class _WithMetrics:
    """The cache as `Runs` whose summaries have what some metrics need."""

    def __init__(self, runs: RunCache, metrics: Sequence[str]) -> None:
        self._runs, self._metrics = runs, metrics

    def summaries(self, arms: Sequence[Arm], seeds: Sequence[int]) -> list[list[dict[str, Any]]]:
        from marketsim.experiments.runs.variants import Variant

        return [
            [self._runs.summary(arm, seed, self._metrics) if isinstance(arm, Variant) else arm.by_seed[seed] for seed in seeds]
            for arm in arms
        ]


def _is_nobodys(lock: Path) -> bool:
    try:
        owner = int(lock.read_text() or 0)
    except (OSError, ValueError):
        return False
    if owner == 0:  # between its creation and its number
        return False
    try:
        os.kill(owner, 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return False


@pytest.fixture(scope="session")
def marketsim_cache(tmp_path_factory: pytest.TempPathFactory) -> RunCache:
    """The runs of this session."""
    base = tmp_path_factory.getbasetemp()
    return RunCache((base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base) / "marketsim-runs")


@pytest.fixture
def marketsim_run(request: pytest.FixtureRequest, marketsim_cache: RunCache) -> MarketRun:
    """`marketsim_run("market.yaml", seed=1, settings={"providers.0.count": 5})`: a run, made once a session."""

    def run(scenario: str | Path, *, seed: int | None = None, settings: Sequence[str] | Mapping[str, object] = ()) -> MarketOutcome:
        arm = _arm(request, scenario, settings)
        number = int(arm.effective()["seed"]) if seed is None else seed
        return MarketOutcome(marketsim_cache, arm, number, marketsim_cache.summary(arm, number))

    return run


def check_outcome(
    result: MarketOutcome | Sequence[MarketOutcome],
    metric: str,
    *,
    at_least: float | None = None,
    at_most: float | None = None,
    equals: float | None = None,
    alpha: float = _ALPHA,
) -> None:
    """Assert bounds on a metric of one run, or on its mean over several, as the fixture `assert_outcome` does.

    Over several runs a bound holds when the mean's one-sided 1 − `alpha` interval (Student's) does not reach beyond it; `equals` asks
    every run for exactly this value. Raises AssertionError, and ValueError without a bound.
    """
    __tracebackhide__ = True
    results = [result] if isinstance(result, MarketOutcome) else list(result)
    if at_least is None and at_most is None and equals is None:
        raise ValueError(f"assert_outcome: nothing is asked of {metric}, give at_least, at_most or equals")
    if not results:
        raise ValueError("assert_outcome: no run is given")
    values = [one[metric] for one in results]
    where = results[0].label if len(results) == 1 else f"{results[0].label} and {len(results) - 1} more seeds"
    if any(math.isnan(value) for value in values):
        raise AssertionError(f"{metric} is undefined in {where}")
    if equals is not None and (other := [(one.seed, value) for one, value in zip(results, values, strict=True) if value != equals]):
        raise AssertionError(f"{metric} = {other[0][1]!r} with seed {other[0][0]}, {equals!r} was asked for\n  in {where}")
    low, high, interval = _bounds(values, alpha)
    mean = sum(values) / len(values)
    for bound, misses, word in (
        (at_least, at_least is not None and low < at_least, "at least"),
        (at_most, at_most is not None and high > at_most, "at most"),
    ):
        if bound is not None and misses:
            raise AssertionError(f"{metric} = {mean:.6g}, {word} {bound:.6g} was asked for ({mean - bound:+.4g})\n  in {where}{interval}")


def _bounds(values: Sequence[float], alpha: float) -> tuple[float, float, str]:
    if len(values) == 1:
        return values[0], values[0], ""
    from marketsim.statistics.estimates import t_interval

    interval = t_interval(values, 1 - 2 * alpha)
    return (
        interval.low,
        interval.high,
        f"\n  interval of the mean [{interval.low:.6g}, {interval.high:.6g}] ({100 * interval.level:g} %, n = {len(values)})",
    )


@pytest.fixture(name="assert_outcome")
def _assert_outcome() -> Any:
    """`assert_outcome(result, "fill_rate", at_least=0.8)`: of one run or a list of runs, see `check_outcome`."""
    return check_outcome


class OutcomeBaseline:
    """Compares a scenario with the baseline of a test; `--marketsim-update` writes it anew."""

    def __init__(self, request: pytest.FixtureRequest, runs: RunCache) -> None:
        self._request, self._runs = request, runs

    def __call__(
        self,
        scenario: str | Path,
        *metrics: str,
        path: str | Path | None = None,
        settings: Sequence[str] | Mapping[str, object] = (),
        exact: bool = False,
        budget: float | None = None,
        seeds: int | None = None,
    ) -> GateOutcome | None:
        """Judge a scenario as `marketsim check` does; AssertionError with the whole comparison when it is red.

        `metrics` are `NAME[:MARGIN][:AIM][:rare]`, by default those of the baseline, at first revenue.total and fill_rate. `path` is the
        baseline's, by default `baselines/<test>.json` beside the test's file. `exact` asks for equal fingerprints, `seeds` for so many in a
        new baseline, `budget` is in seconds. Returns None when the baseline was written.
        """
        __tracebackhide__ = True
        from marketsim.experiments.gate.baseline import read_baseline
        from marketsim.experiments.gate.check import plan_gate, run_gate
        from marketsim.experiments.gate.report import gate_lines

        file = self._file(path)
        if self._request.config.getoption("--marketsim-update"):
            self._write(file, scenario, metrics, settings, seeds)
            return None
        if not file.exists():
            pytest.fail(f"{file}: no baseline yet, write it with pytest --marketsim-update", pytrace=False)
        baseline = read_baseline(file)
        self._same_request(file, scenario, metrics, settings)
        plan = plan_gate(baseline, file, alpha=baseline.alpha, power=baseline.power, unpaired=False)
        runs = _WithMetrics(self._runs, [metric.name for metric in baseline.metrics])
        outcome = run_gate(plan, runs, budget=budget, exact=exact)
        if not outcome.word.is_green:
            raise AssertionError("\n".join([f"outcomes of {scenario} moved", *gate_lines(outcome)]))
        return outcome

    def _file(self, path: str | Path | None) -> Path:
        beside = self._request.path.parent
        if path is not None:
            return beside / path
        node = self._request.node
        name = f"{self._request.path.stem}-{node.name}"
        return beside / BASELINES / f"{''.join(c if c.isalnum() or c in '-_' else '-' for c in name)}.json"

    def _same_request(
        self, file: Path, scenario: str | Path, metrics: Sequence[str], settings: Sequence[str] | Mapping[str, object]
    ) -> None:
        """Refuse a baseline that answers another question than the test asks."""
        from marketsim.errors import InputError
        from marketsim.experiments.gate.baseline import read_baseline
        from marketsim.experiments.gate.gate_metric import parse_gate_metric

        kept = read_baseline(file)
        asked = [parse_gate_metric(text) for text in metrics]
        here = _found(self._request, scenario).resolve()
        wrong = [
            f"{file}: scenarios: is of {one.path}, the test asks for {scenario}"
            for one in kept.scenarios
            if (file.parent / one.path).resolve() != here
        ]
        wrong += [
            f"{file}: settings: are {' '.join(one.settings) or 'none'}, the test asks for {' '.join(_words(settings)) or 'none'}"
            for one in kept.scenarios
            if list(one.settings) != _words(settings)
        ]
        if asked and asked != kept.asked:
            wrong.append(f"{file}: metrics: are {', '.join(map(str, kept.asked))}, the test asks for {', '.join(map(str, asked))}")
        if wrong:
            raise InputError([*wrong, "write it anew with pytest --marketsim-update"])

    def _write(
        self, file: Path, scenario: str | Path, metrics: Sequence[str], settings: Sequence[str] | Mapping[str, object], seeds: int | None
    ) -> None:
        from marketsim.experiments.gate.baseline import baseline_bytes, read_baseline
        from marketsim.experiments.gate.check import changes, make_baseline, refuse_unknown
        from marketsim.experiments.gate.gate_metric import parse_gate_metric
        from marketsim.experiments.runs.execute import write_atomically

        old = read_baseline(file) if file.exists() else None
        texts = metrics or ([str(one) for one in old.asked] if old else ["revenue.total", "fill_rate"])
        asked = [parse_gate_metric(text) for text in texts]
        arm = _arm(self._request, scenario, settings)
        refuse_unknown(asked, [arm], "outcome_baseline")
        made = make_baseline(
            [(_found(self._request, scenario), tuple(_words(settings)), arm)],
            asked,
            _WithMetrics(self._runs, [one.name for one in asked]),
            file.parent,
            alpha=old.alpha if old else _ALPHA,
            power=old.power if old else 0.9,
            seeds=seeds,
            reason=str(self._request.config.getoption("--marketsim-reason")),
        )
        file.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(file, baseline_bytes(made))
        lines = ["new baseline"] if old is None else changes(old, made) or ["nothing changes"]
        self._request.node.add_report_section("call", "marketsim", "\n".join(f"{file}: {line}" for line in lines))


@pytest.fixture
def outcome_baseline(request: pytest.FixtureRequest, marketsim_cache: RunCache) -> OutcomeBaseline:
    """`outcome_baseline("market.yaml", "revenue.total:2%")`: held to a baseline beside the test, see `OutcomeBaseline`."""
    return OutcomeBaseline(request, marketsim_cache)


def _words(settings: Sequence[str] | Mapping[str, object]) -> list[str]:
    return [f"{path}={value}" for path, value in settings.items()] if isinstance(settings, Mapping) else list(settings)


def _found(request: pytest.FixtureRequest, scenario: str | Path) -> Path:
    """A scenario's file beside the test, else below the root of the tests."""
    for folder in (request.path.parent, request.config.rootpath):
        if (folder / scenario).is_file():
            return folder / scenario
    return request.path.parent / scenario


def _arm(request: pytest.FixtureRequest, scenario: str | Path, settings: Sequence[str] | Mapping[str, object]) -> Variant:
    from marketsim.experiments.gate.check import scenario_arm

    return scenario_arm(_found(request, scenario), _words(settings))
