"""Runs the special cases whose answers are known and says which figures of the simulator agree with theory.

Every check compares the mean of a figure over independent replications with a formula, in units of the
replications' own standard error. A check fails beyond Student's quantile for a family error of 0.1 % shared
out by Bonferroni, or when its bias from whole blocks, bid windows and edges could reach a tenth of its
standard error: then it would not test what it says. `bias` of each check is a bound on what the formula
leaves out. Beside distributions it holds the rules themselves, lease by lease (`rule_markets`): those counts of broken
identities have no variance and have to be 0.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from marketsim.bench import formulas
from marketsim.bench import theory_markets as m
from marketsim.bench.rule_markets import RULE_CHECKS, RULE_MARKETS
from marketsim.bench.theory_markets import MARKETS, Planted
from marketsim.bench.waiting_room import QUEUE_BLOCKS, QUEUE_PATIENCE, QUEUE_RATE, QUEUE_SERVERS, WAITING_ROOM, queue_figures
from marketsim.errors import InputError
from marketsim.experiments.runs.execute import mapped
from marketsim.statistics.estimates import FloatArray

FAMILY_ERROR = 0.001
BIAS_SHARE = 0.1
REPLICATIONS = 20


@dataclass(frozen=True)
class Check:
    """One figure of one market, what theory says it is, and a bound on what the formula leaves out."""

    title: str
    market: str
    figure: str
    expected: float
    bias: float
    left_out: str
    exact: bool = False
    """Whether the figure has no variance: then every replication has to give what is expected."""


@dataclass(frozen=True)
class Checked:
    """A check with what the replications gave."""

    check: Check
    mean: float
    error: float
    z: float
    threshold: float

    @property
    def bias_share(self) -> float:
        """Bias ÷ standard error."""
        return self.check.bias / self.error if self.error > 0 else (0.0 if self.check.bias == 0 else math.inf)

    @property
    def agrees(self) -> bool:
        """Whether the figure agrees with theory and the check is sharp enough to say so."""
        return abs(self.z) <= self.threshold and self.bias_share < BIAS_SHARE

    def line(self) -> str:
        """One line of the report."""
        verdict = "ok" if self.agrees else "FAILED"
        return (
            f"{self.check.title:<58} theory {self.check.expected:>12.6g}  found {self.mean:>12.6g}  "
            f"se {self.error:>9.2g}  z {self.z:>+6.2f}  bias/se {self.bias_share:>6.3f}  {verdict}"
        )

    def as_json(self) -> dict[str, Any]:
        """Plain numbers."""
        return {
            "check": self.check.title,
            "market": self.check.market,
            "figure": self.check.figure,
            "expected": self.check.expected,
            "found": self.mean,
            "se": self.error,
            "z": self.z if math.isfinite(self.z) else None,
            "threshold": self.threshold,
            "bias": self.check.bias,
            "bias_over_se": self.bias_share if math.isfinite(self.bias_share) else None,
            "bias_from": self.check.left_out,
            "ok": self.agrees,
        }


@dataclass(frozen=True)
class TheoryBench:
    """All checks of one seed."""

    seed: int
    replications: int
    outcomes: tuple[Checked, ...]
    seconds: float

    @property
    def agrees(self) -> bool:
        """Whether every check is ok."""
        return all(outcome.agrees for outcome in self.outcomes)

    def lines(self) -> list[str]:
        """The report: one line a check, then what the verdicts mean."""
        failed = sum(not outcome.agrees for outcome in self.outcomes)
        threshold = self.outcomes[0].threshold
        return [
            *(outcome.line() for outcome in self.outcomes),
            f"{len(self.outcomes)} checks, {failed} failed; {self.replications} replications each, "
            f"seed {self.seed}; "
            f"|z| up to {threshold:.2f} agrees (Student's t, {self.replications - 1} degrees, family error "
            f"{100 * FAMILY_ERROR:g} % over {_random_checks()} checks), "
            f"bias below {BIAS_SHARE:g} standard errors; a count of leases that break a rule is 0 in every "
            f"replication; {self.seconds:.0f} s",
        ]

    def as_json(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "schema": "marketsim.theory/1",
            "seed": self.seed,
            "replications": self.replications,
            "family_error": FAMILY_ERROR,
            "checks": [outcome.as_json() for outcome in self.outcomes],
            "failed": sum(not outcome.agrees for outcome in self.outcomes),
            "ok": self.agrees,
            "seconds": round(self.seconds, 1),
        }


def checks() -> list[Check]:
    """Every check with its formula; nothing here is measured."""
    # An order holds its room for its life and the block between bid and choice. Whoever arrives in a block
    # sees its departures and, on average, half of its arrivals: half a block less.
    held = m.LIFE + (m.WINDOW - 1) - 0.5
    load = m.ARRIVALS * held
    blocking = formulas.erlang_b(m.SERVERS, load)
    # Lives are rounded to blocks: of an exponential that moves the mean by less than 1 / LIFE of a block; a
    # block is 1 / LIFE of the load, and what the half-block rule leaves out is of second order in that.
    second_order = formulas.erlang_b_elasticity(m.SERVERS, load) * 4 / m.LIFE**2
    busy = formulas.busy_distribution(m.SERVERS, load)
    levels = np.arange(m.SERVERS + 1)
    served = m.ARRIVALS * (1 - blocking) * m.LIFE
    erlang_bias = "blocks: second order in 1 block ÷ life"
    settled = math.exp(-m.SETTLE_LIVES)
    found = [
        Check("arrivals per block", "loss", "arrivals", m.ARRIVALS, 0.0, "none"),
        Check("dispersion of arrivals: variance ÷ mean is 1", "loss", "dispersion", 1.0, 0.0, "none"),
        Check(
            "Erlang B: orders lost, exponential lives",
            "loss",
            "blocking",
            blocking,
            blocking * second_order,
            erlang_bias,
        ),
        Check(
            "Erlang B insensitive: equal lives",
            "loss, equal lives",
            "blocking",
            blocking,
            blocking * second_order,
            erlang_bias,
        ),
        Check(
            "Erlang B insensitive: log-normal lives",
            "loss, log-normal lives",
            "blocking",
            blocking,
            blocking * (second_order + 2e-5),
            "warm-up: long lives at the start",
        ),
        Check("carried load: mean leases alive", "loss", "busy", served, served * second_order, erlang_bias),
        Check(
            "second moment of rooms held (cut-off Poisson)",
            "loss",
            "busy_squared",
            float(busy @ levels**2),
            1e-4,
            erlang_bias,
        ),
        Check(
            "time with at most half of the rooms held",
            "loss",
            "half_busy",
            float(busy[: m.SERVERS // 2 + 1].sum()),
            1e-6,
            erlang_bias,
        ),
        Check(
            "Little's law: alive ÷ (flow × life) − 1",
            "loss",
            "littles_law",
            0.0,
            settled,
            "leases alive at the end",
        ),
        Check(
            "arrivals see time averages (lost − time full)",
            "loss",
            "found_busy",
            0.0,
            blocking * second_order,
            erlang_bias,
        ),
        Check(
            "mean life, exponential",
            "loss",
            "life",
            m.LIFE,
            1 / m.LIFE + m.LIFE * settled,
            "rounding to blocks, end of run",
        ),
        Check(
            "lives longer than their mean",
            "loss",
            "long_lives",
            formulas.survival(m.LIFE, m.LIFE + 1),
            settled,
            "end of run",
        ),
        Check(
            "mean life, log-normal",
            "loss, log-normal lives",
            "life",
            m.LIFE,
            0.2,
            "end of run cuts the longest lives",
        ),
        Check("three cohorts merged: orders per block", "crowd", "merged", sum(m.CROWD_RATES), 0.0, "none"),
        Check("share of the first cohort", "crowd", "split", m.CROWD_RATES[0] / sum(m.CROWD_RATES), 0.0, "none"),
        Check(
            "M/G/∞: mean leases alive",
            "crowd",
            "alive",
            _crowd_mean(),
            _crowd_mean() / m.LIFE**2,
            "rounding to blocks",
        ),
        Check(
            "M/G/∞: variance ÷ mean of leases alive is 1",
            "crowd",
            "alive_spread",
            1.0,
            1 / m.LIFE**2,
            "rounding to blocks",
        ),
        Check("thinning: tenants that never choose", "crowd", "never", m.NEVER, 0.0, "none"),
        Check(
            "planned end against termination: terminated",
            "ends",
            "terminated",
            formulas.first_of_two(m.PLANNED, m.TERMINATED)[0],
            0.5 / (m.PLANNED + m.TERMINATED),
            "equal blocks count as planned",
        ),
        Check(
            "planned end against termination: mean life",
            "ends",
            "raced_life",
            formulas.first_of_two(m.PLANNED, m.TERMINATED)[1],
            2 / m.PLANNED + m.PLANNED * settled,
            "rounding to blocks, end of run",
        ),
        Check(
            "lowest of five uniform quotes",
            "auction",
            "lowest",
            formulas.uniform_minimum(m.QUOTE_LOW, m.QUOTE_HIGH, m.QUOTERS),
            1e-6,
            "quotes have six decimals",
        ),
        Check(
            "lowest of five above a quarter of the range",
            "auction",
            "high_lowest",
            formulas.uniform_minimum_above(0.25, m.QUOTERS),
            1e-7,
            "quotes have six decimals",
        ),
        Check("a provider wins one in five", "auction", "first_wins", 1 / m.QUOTERS, 0.0, "none"),
        Check(
            "take: lost to truncation per lease",
            "auction",
            "take_loss",
            formulas.floor_loss(2, 100),
            1e-9,
            "none known",
        ),
        Check("day profile: share of the busy hours", "auction", "busy_hours", _busy_share(), 0.0, "none"),
        Check("price formula: mean price of uniform sizes", "sizes", "price", _mean_price(), 0.0, "none"),
        Check(
            "revenue per block: arrivals × price × life",
            "sizes",
            "earned",
            0.01 * (_mean_price() * m.LIFE - 0.5),
            0.01 * _mean_price() * (2 / m.LIFE + m.LIFE * settled),
            "rounding to blocks, end of run",
        ),
        Check(
            "usage charge capped at the price",
            "metered",
            "capped_use",
            formulas.capped_uniform(m.USE_LOW, m.USE_HIGH),
            1 / (200 * m.QUOTED_LIFE),
            "whole uve",
        ),
        Check(
            "escrow: share of leases that run out of funds",
            "funded",
            "ran_out",
            formulas.survival(m.LIFE, m.FUNDED + m.GRACE + 2),
            settled,
            "end of run",
        ),
        Check(
            "escrow: mean paid by a lease with limited funds",
            "funded",
            "paid",
            m.PRICE * formulas.capped_life(m.LIFE, m.FUNDED),
            m.PRICE * settled,
            "end of run",
        ),
        Check("escrow: time to depletion and grace", "depleted", "depletion", _depletion(), 0.0, "none"),
        Check(
            "unpaid blocks against withdraw period",
            "unpaid",
            "unpaid",
            formulas.unpaid_blocks(m.DEPOSIT_LOW + 1, m.DEPOSIT_HIGH, m.PRICE, m.WITHDRAW),
            0.0,
            "none",
        ),
        Check(
            "truncation loss against touch rate",
            "truncated",
            "truncation",
            formulas.truncation_loss(m.FRACTION_PRICE, m.TOUCH, m.TOUCHED_LIFE),
            1e-4,
            "end of run",
        ),
        *_overflow_checks(),
        Check(
            "orders that find their provider down",
            "outages",
            "down",
            formulas.down_share(m.UP, m.DOWN),
            0.2 / m.DOWN**2,
            "an outage lasts at least a block",
        ),
        *_queue_checks(),
        Check("of three equal bids the first wins one in three", "rules: ties by hash", "first_of_three", 1 / 3, 0.0, "none"),
        *(Check(title, market, figure, 0.0, 0.0, "none", exact=True) for title, market, figure in RULE_CHECKS),
    ]
    return found


def bench(
    seed: int = 1,
    *,
    replications: int = REPLICATIONS,
    planted: Planted | None = None,
    workers: int = 1,
    only: Sequence[str] | None = None,
    progress: Callable[[str], None] | None = None,
) -> TheoryBench:
    """Run every market `replications` times and judge every check.

    Different seeds share no random stream. `planted` scales the markets' arrival rates, lives or prices but
    not the formulas: the bench must then fail. `only` names the markets to run (default all).
    """
    begun = time.perf_counter()
    names = [market.name for market in MARKETS] + [WAITING_ROOM] + [market.name for market in RULE_MARKETS]
    wanted = [name for name in names if only is None or name in only]
    error = planted or Planted()
    tasks = [(name, _run_seed(seed, i, k), error) for i, name in enumerate(names) if name in wanted for k in range(replications)]
    measured: dict[str, list[dict[str, float]]] = {name: [] for name in wanted}
    for (name, _, _), figures in zip(tasks, _measured(tasks, workers), strict=True):
        measured[name].append(figures)
        if progress is not None and len(measured[name]) == replications:
            progress(name)
    chosen = [check for check in checks() if check.market in wanted]
    threshold = _threshold(_random_checks(), replications)
    outcomes = tuple(judge(check, np.array([figures[check.figure] for figures in measured[check.market]]), threshold) for check in chosen)
    return TheoryBench(seed, replications, outcomes, time.perf_counter() - begun)


def parse_planted(texts: Sequence[str]) -> Planted:
    """`arrivals=1.02` and the like as the error to plant; raises InputError."""
    factors: dict[str, float] = {}
    for text in texts:
        name, _, factor = text.partition("=")
        try:
            value = float(factor)
        except ValueError:
            value = math.nan
        if name not in ("arrivals", "duration", "price") or not 0.5 <= value <= 2:
            raise InputError(f"--plant: '{text}' is not an error to plant, write arrivals=1.02, duration=1.02 or price=1.02")
        factors[name] = value
    return Planted(**factors)


def judge(check: Check, values: FloatArray, threshold: float) -> Checked:
    """The check's z-score from the replications' own standard error.

    An exact check has z 0 when every replication gave what is expected, else an infinite one; so have others without
    spread.
    """
    mean = float(values.mean())
    error = float(values.std(ddof=1)) / math.sqrt(values.size)
    distance = mean - check.expected
    if error > 0 and not check.exact:
        return Checked(check, mean, error, distance / error, threshold)
    equal = (np.abs(values - check.expected) <= 1e-9 * max(abs(check.expected), 1.0)).all()
    return Checked(check, mean, error, 0.0 if equal else math.copysign(math.inf, distance), threshold)


def _random_checks() -> int:
    """Number of checks that may fail by chance, among which the family error is shared out."""
    return sum(not check.exact for check in checks())


def _threshold(count: int, replications: int) -> float:
    from scipy import stats

    return float(stats.t.ppf(1 - FAMILY_ERROR / count / 2, replications - 1))


def _run_seed(seed: int, market: int, replication: int) -> int:
    """Seeds far apart for bench seeds, markets and replications: no two runs share a stream."""
    return (seed * 64 + market) * 4096 + replication


def _measured(tasks: list[tuple[str, int, Planted]], workers: int) -> Any:
    if workers <= 1:
        return map(_measure, tasks)
    return mapped(_measure, tasks, workers, 2, ("marketsim.experiments.runs.warm", __name__))


def _measure(task: tuple[str, int, Planted]) -> dict[str, float]:
    from marketsim.scenario import scenario_from_mapping
    from marketsim.simulation import run

    name, seed, planted = task
    if name == WAITING_ROOM:
        return queue_figures(seed, planted)
    market = next(market for market in (*MARKETS, *RULE_MARKETS) if market.name == name)
    return market.figures(run(scenario_from_mapping(market.scenario(planted)), seed=seed).record)


def _crowd_mean() -> float:
    first, second, third = m.CROWD_RATES
    return (first + second + formulas.poisson_thinned(third, m.NEVER)) * m.LIFE


def _busy_share() -> float:
    begin, end = m.BUSY_HOURS
    return sum(m.DAY_PROFILE[begin:end]) / sum(m.DAY_PROFILE)


def _mean_price() -> float:
    base = (m.CPU_LOW + m.CPU_HIGH) / 2 * m.CPU_PRICE + m.MEMORY_MIB * m.MEMORY_PRICE
    return base * (1 + m.MARGIN / 100)


def _deposits() -> Any:
    return np.arange(m.DEPOSIT_LOW + 1, m.DEPOSIT_HIGH + 1)


def _depletion() -> float:
    return float((_deposits() // m.PRICE).mean()) + 1 + m.GRACE


def _overflow_checks() -> list[Check]:
    held = m.LIFE + (m.WINDOW - 1) - 0.5
    load = m.FEW_ARRIVALS * held
    lost = formulas.erlang_b(m.FEW_SERVERS, load)
    left_out = "blocks: second order; the life of a lease is a block shorter than its hold"
    return [
        Check(
            "overflow: orders that the dear provider gets",
            "overflow",
            "overflow",
            lost,
            lost * formulas.erlang_b_elasticity(m.FEW_SERVERS, load) * 4 / m.LIFE**2,
            left_out,
        ),
        Check(
            "overflow: variance ÷ mean of its leases (Riordan)",
            "overflow",
            "peakedness",
            formulas.overflow_peakedness(m.FEW_SERVERS, m.FEW_ARRIVALS * m.LIFE),
            2 / m.LIFE,
            left_out,
        ),
    ]


def _queue_checks() -> list[Check]:
    load = QUEUE_RATE * QUEUE_BLOCKS
    gave_up, queue = formulas.impatient_queue(QUEUE_SERVERS, load, QUEUE_PATIENCE / QUEUE_BLOCKS)
    left_out = "a service holds a constant window of two blocks besides its exponential life"
    return [
        Check(
            "M/M/c with patience: tenants that give up",
            WAITING_ROOM,
            "gave_up",
            gave_up,
            gave_up * 2e-4,
            left_out,
        ),
        Check("M/M/c with patience: tenants waiting", WAITING_ROOM, "queue", queue, queue * 4e-4, left_out),
    ]
