"""Runs scenarios and holds what came out: summary, tables, series, figures, files."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

from marketsim.errors import InputError
from marketsim.face.telling import Telling, told
from marketsim.money.units import UVE_PER_VE
from marketsim.recording.record import Record
from marketsim.scenario.html_lines import html_table
from marketsim.scenario.load import Overrides, load_scenario
from marketsim.scenario.model import Scenario

if TYPE_CHECKING:
    import pandas as pd

    from marketsim.export.images import StyleLike
    from marketsim.face.plots import Plots, ReplicationPlots

ScenarioLike = str | os.PathLike[str] | Mapping[str, Any] | Scenario
"""A path, the name of a shipped scenario, a mapping with its keys, or a loaded one."""


class RunResult:
    """What one run gave.

    `summary` is the mapping that summary.json holds (money as exact decimal texts of uve with the number beside it under `…_uve`).
    `record` has the tables as numpy columns, amounts as pairs of integers. The frames `orders`, `bids`, `leases`, `declines`,
    `settlements`, `events`, `tenants`, `providers` and `timeseries` have names in place of codes and amounts as float64; `frame(name,
    exact=True)` has amounts as exact texts. `bids`, `declines` and `events` need `record="everything"`.
    """

    def __init__(
        self, summary: dict[str, Any], record: Record, folder: Path | None = None, origin: Mapping[str, str] | None = None
    ) -> None:
        self.summary = summary
        self.record = record
        self.folder = folder
        """Where the result stands on disk, None for one that was not saved."""
        self._origin = origin

    @property
    def name(self) -> str:
        """The scenario's name."""
        return str(self.record.meta["scenario"].get("name"))

    @property
    def seed(self) -> int:
        """The seed of the run."""
        return int(self.record.meta["seed"])

    @property
    def fingerprint(self) -> str:
        """32 hex digits of everything that happened: equal for equal runs."""
        return str(self.summary["fingerprint"])

    @property
    def scenario(self) -> dict[str, Any]:
        """The scenario as it was run, with every default, as plain data."""
        return dict(self.record.meta["scenario"])

    def frame(self, table: str, *, exact: bool = False) -> pd.DataFrame:
        """Return a table as a frame, a row an object, the row number its index.

        Amounts are float64 in uve (prices in uve a block), with `exact` texts of decimals that lose nothing; heights are block numbers,
        sizes millicores and bytes, `attrs["units"]` names them. Raises InputError for a table that there is not or that the run did not
        keep.

        >>> import marketsim as ms
        >>> result = ms.run("tiny")
        >>> result.frame("leases", exact=True)["price"].tolist()
        ['2.7', '1.5', '4.235']
        """
        from marketsim.export.frames import frame

        return frame(self.record, table, is_exact=exact)

    @cached_property
    def orders(self) -> pd.DataFrame:
        """Every order: its id, tenant, ceiling and value (uve a block), size, state, and why it ended without a lease (`unfilled`)."""
        return self.frame("orders")

    @cached_property
    def bids(self) -> pd.DataFrame:
        """Every bid that the chain took: order, provider, price (uve a block), height, state. Needs `record="everything"`."""
        return self.frame("bids")

    @cached_property
    def leases(self) -> pd.DataFrame:
        """Every lease: order, tenant, provider, price (uve a block), from which block to which, why it ended, what it earned (uve)."""
        return self.frame("leases")

    @cached_property
    def declines(self) -> pd.DataFrame:
        """Every order that a bid engine looked at and did not bid on, with the reason. Needs `record="everything"`."""
        return self.frame("declines")

    @cached_property
    def settlements(self) -> pd.DataFrame:
        """Every settlement of a lease: block, amount taken from the account (uve), net pay-out and take (whole uve)."""
        return self.frame("settlements")

    @cached_property
    def events(self) -> pd.DataFrame:
        """Every event on the chain's record, in order. Needs `record="everything"`."""
        return self.frame("events")

    @cached_property
    def tenants(self) -> pd.DataFrame:
        """Every tenant and its cohort."""
        return self.frame("tenants")

    @cached_property
    def providers(self) -> pd.DataFrame:
        """Every provider: cohort, capacity, bids submitted, accepted, won and lost, leases, revenue of the window (whole uve)."""
        return self.frame("providers")

    @cached_property
    def timeseries(self) -> pd.DataFrame:
        """The samples of the run: leases, use, revenue and orders so far, at rising heights."""
        return self.frame("timeseries")

    def series(self, every: str = "1h", by: str | None = None) -> pd.DataFrame:
        """Return what happened span by span.

        `every` is a length of time or of blocks (`"1h"`, `"1d"`, `"600 blocks"`); the last span may be shorter. `by` splits by
        `tenant_cohort`, `provider_cohort`, `tenant`, `provider` or `region`, which then is the first level of the index. The index is the
        moment at which a span begins. Columns: orders, leased, fill_rate (of tenants), begun, ended, active, price (uve a block),
        price_index (100 = the generic monthly targets, whatever the mix of sizes), contracted (uve), utilization_cpu … (shares) and
        revenue (uve; by group where settlements were kept). `attrs["units"]` says what each counts. Raises InputError for anything else.

        >>> import marketsim as ms
        >>> ms.run("tiny").series("15m")["orders"].tolist()
        [4, 0, 0]
        """
        from marketsim.face.series import series

        return series(self.record, every, by)

    def times(self, heights: Any) -> pd.DatetimeIndex:
        """Return the moments (UTC) of block heights, an integer or a column of them."""
        import numpy as np

        from marketsim.face.series import moments

        return moments(self.record, np.atleast_1d(np.asarray(heights)))

    @property
    def plot(self) -> Plots:
        """The figures: `result.plot.prices()` and its like return matplotlib axes; see `Plots`."""
        from marketsim.face.plots import Plots

        return Plots(self)

    def explain(self, target: str) -> Any:
        """Return everything that happened to one order (`tenant/dseq/gseq/oseq`), provider or tenant, as `marketsim explain` tells it.

        Its `str` is for people, `as_json()` plain data. More is known with `record="everything"`. Raises InputError for a name that is
        not there.
        """
        from marketsim.report import explain as stories

        return stories.explain(self.record, target)

    def save(
        self,
        folder: str | os.PathLike[str],
        *,
        report: bool = True,
        figures: bool = True,
        formats: Sequence[str] = (),
        style: StyleLike | None = None,
    ) -> Path:
        """Write a results folder as `marketsim run` does, whole or not at all, and return it.

        `report` adds report.html and report.md, `figures` their images, with `formats` as pdf or svg too (as wide as a
        column of a paper), `style` how they look (see `Plots`). Raises InputError where the folder is not new or empty.
        """
        from marketsim.export.images import look_of
        from marketsim.export.results import as_recorded, new_results
        from marketsim.report.pages import write_pages

        look = look_of(formats, style)
        target = Path(folder)
        with new_results(target, own=False) as write:
            write(self.record, self.summary, self._origin)
            if report:
                write_pages(write.folder, as_recorded(self.record), self.summary, figures=figures, look=look)
        self.folder = target
        return target

    def __repr__(self) -> str:
        fill = self.summary["fill_rate"]
        rate = "–" if fill is None else f"{100 * fill:.1f} %"
        return f"<Result of {self.name}, seed {self.seed}: {self.summary['orders']['created']:,} orders, fill rate {rate}>"

    def _repr_html_(self) -> str:
        """A few lines for notebooks."""
        summary, meta = self.summary, self.record.meta
        fill, price = summary["fill_rate"], summary["price"]["mean_won_uve"]
        rows = {
            "simulated": f"{self.record.blocks:,} blocks, seed {self.seed}, rules {meta['rules']}",
            "orders": f"{summary['orders']['created']:,} created, {summary['orders']['leased']:,} leased"
            + ("" if fill is None else f", fill rate {100 * fill:.1f} %"),
            "leases": f"{summary['leases']['active']:,} active at the end",
            "mean price": "–" if price is None else f"{price:,.6g} uve a block",
            "revenue": f"{float(summary['revenue']['total']) / UVE_PER_VE:,.2f} VE in the window",
            "fingerprint": self.fingerprint,
        }
        return html_table(f"Run of {self.name}", rows)


class ReplicatedRuns(Sequence[RunResult]):
    """Runs of one scenario with several seeds.

    >>> import marketsim as ms
    >>> len(ms.replicate("tiny", seeds=2))
    2
    """

    def __init__(self, results: Iterable[RunResult]) -> None:
        self._results = tuple(results)

    def __len__(self) -> int:
        return len(self._results)

    @overload
    def __getitem__(self, at: int) -> RunResult: ...
    @overload
    def __getitem__(self, at: slice) -> ReplicatedRuns: ...
    def __getitem__(self, at: int | slice) -> RunResult | ReplicatedRuns:
        found = self._results[at]
        return found if isinstance(found, RunResult) else ReplicatedRuns(found)

    def __iter__(self) -> Iterator[RunResult]:
        return iter(self._results)

    @cached_property
    def summaries(self) -> pd.DataFrame:
        """The numbers of every summary, a row a seed, a column a dotted path (`price.mean_won`, `revenue.total`)."""
        import pandas as pd

        from marketsim.metrics.paths import numbers_of

        rows = [dict(numbers_of(result.summary)) for result in self]
        return pd.DataFrame(rows, index=pd.Index([result.seed for result in self], name="seed"))

    def series(self, every: str = "1h", by: str | None = None, *, level: float = 0.95) -> pd.DataFrame:
        """Return `RunResult.series` across the replications: for each column mean, low, high and count.

        low and high are the ends of Student's interval for the mean at `level`, span by span (not for all spans together). Raises
        InputError as `RunResult.series`.
        """
        from marketsim.face.series import bands

        return bands([result.series(every, by) for result in self], level)

    @property
    def plot(self) -> ReplicationPlots:
        """The figures across replications; see `ReplicationPlots`."""
        from marketsim.face.plots import ReplicationPlots

        return ReplicationPlots(self)

    def __repr__(self) -> str:
        return f"<{len(self)} replications of {self[0].name}, seeds {self[0].seed} to {self[-1].seed}>" if self else "<no replications>"

    def _repr_html_(self) -> str:
        """The most asked-for metrics with their intervals, for notebooks."""
        from marketsim.experiments.compare.paired import DEFAULT_METRICS
        from marketsim.experiments.runs.metric_names import metric_value
        from marketsim.statistics.estimates import t_interval

        rows = {}
        for name in DEFAULT_METRICS:
            values = [metric_value(result.summary, name) for result in self]
            found = t_interval(values)
            mean = sum(values) / len(values)
            rows[name] = f"{mean:,.6g} ± {found.half_width:.3g}"
        return html_table(f"{len(self)} runs of {self[0].name}: means with 95 % intervals", rows)


Level = Literal["summary", "orders", "everything"]


def run(
    source: ScenarioLike,
    *,
    seed: int | None = None,
    overrides: Overrides = (),
    record: Level | None = None,
    audit: bool = False,
    progress: Telling = None,
    out: str | os.PathLike[str] | None = None,
) -> RunResult:
    """Run a scenario once and return what came out.

    `source` is a path, the name of a shipped scenario, a mapping, or a loaded scenario. `seed` takes the place of the scenario's.
    `overrides` change values by dotted path (see `load_scenario`). `record` says what is kept beside the summary: `"summary"`, `"orders"`
    (leases and settlements too) or `"everything"` (bids, declines, events). `audit` checks the ledger after every executed block.
    `progress` is shown in notebooks and on terminals, or called with (blocks done, blocks in all); False shows none. `out` is a new or
    empty folder for the results, written as `marketsim run` writes them.

    The same scenario, seed and version give the same bytes. The first run on a machine compiles the chain, about half a minute.

    Raises InputError for a scenario that cannot be run, InvariantError when the money does not add up (a defect of marketsim).

    >>> import marketsim as ms
    >>> ms.run("tiny", seed=1).summary["orders"]["leased"]
    3
    """
    scenario = _scenario(source, overrides, record)
    if out is None:
        return _run(scenario, seed, audit, progress)
    from marketsim.experiments.difference.origin import origin_of
    from marketsim.export.results import as_recorded, new_results
    from marketsim.report.pages import write_pages
    from marketsim.simulation.measured import MetricFailedError

    failed: MetricFailedError | None = None
    with new_results(Path(out), own=False) as write:
        try:
            result = _run(scenario, seed, audit, progress, write.folder)
        except MetricFailedError as error:  # the run itself is kept
            result, failed = RunResult(error.run.summary, error.run.record, origin=origin_of(scenario)), error
        write(result.record, result.summary, result._origin)
        write_pages(write.folder, as_recorded(result.record), result.summary, figures=scenario.report.figures)
    if failed is not None:
        raise failed
    result.folder = Path(out)
    return result


def replicate(
    source: ScenarioLike,
    seeds: int | Iterable[int] = 10,
    *,
    overrides: Overrides = (),
    record: Level | None = None,
    progress: Telling = None,
) -> ReplicatedRuns:
    """Run a scenario with several seeds, one after the other in this process, and return the results in the order of the seeds.

    `seeds` are the seeds, or how many, counted from the scenario's own. The rest as for `run`. For many runs of many settings, and for all
    processors, there is `sweep`. Raises InputError as `run` does, and for seeds that stand twice.

    >>> import marketsim as ms
    >>> ms.replicate("tiny", seeds=(1, 2)).summaries["orders.created"].tolist()
    [4.0, 4.0]
    """
    scenario = _scenario(source, overrides, record)
    if isinstance(seeds, int):
        if seeds < 1:
            raise InputError(f"seeds: {seeds} is no number of runs, give at least 1")
        seeds = range(scenario.seed, scenario.seed + seeds)
    numbers = list(seeds)
    if not numbers:
        raise InputError("seeds: are empty, give at least one")
    if len(set(numbers)) < len(numbers):
        raise InputError("seeds: one stands twice, a run would be counted twice")
    results = []
    with told(scenario.name, "runs", progress) as tell:
        for done, number in enumerate(numbers):
            if tell is not None:
                tell(done, len(numbers))
            results.append(_run(scenario, number, False, False))
    return ReplicatedRuns(results)


def load_result(folder: str | os.PathLike[str]) -> RunResult:
    """Return the result that stands in a folder which `run`, `RunResult.save` or `marketsim run` has written.

    Raises InputError for a folder that is none, or is damaged.

    >>> import marketsim as ms
    >>> result = ms.run("tiny", out="kept")
    >>> ms.load_result("kept").summary["orders"]["leased"]
    3
    """
    from marketsim.export.results import MANIFEST, read_json, read_record, read_summary

    place = Path(folder)
    summary, record = read_summary(place), read_record(place)
    return RunResult(summary, record, place, read_json(place, MANIFEST).get("origin"))


def _scenario(source: ScenarioLike, overrides: Overrides, record: Level | None) -> Scenario:
    scenario = load_scenario(source, overrides) if overrides or not isinstance(source, Scenario) else source
    return scenario if record is None or record == scenario.record else scenario.replace({"record": record})


def _run(scenario: Scenario, seed: int | None, audit: bool, progress: Telling, out: Path | None = None) -> RunResult:
    from marketsim.experiments.difference.origin import origin_of
    from marketsim.simulation.run import run as run_once

    if seed is not None and (isinstance(seed, bool) or not hasattr(seed, "__index__") or seed < 0):
        raise InputError(f"seed: {seed!r} is no seed, give a whole number of 0 or more")
    origin = origin_of(scenario)  # what was read, before it can change
    with told(scenario.name, "blocks", progress) as tell:
        finished = run_once(scenario, seed=None if seed is None else int(seed), audit=audit, progress=tell, out=out, trail=out is not None)
    return RunResult(finished.summary, finished.record, origin=origin)
