"""Capacity: the fewest cores with which a provider serves a share of its orders, judged by running the market."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any, Final

from marketsim.errors import InputError
from marketsim.exercises.dice import Dice
from marketsim.exercises.exact_figures import figure_of
from marketsim.exercises.exercise import Chance, Judged, NearMiss, Submission, Told
from marketsim.exercises.plain_yaml import read_mapping, yaml_text
from marketsim.face.runs import run as run_whole
from marketsim.scenario.load import scenario_from_mapping
from marketsim.simulation.run import run

FILE: Final = "capacity.yaml"
MOST: Final = {"fill rate": 30.0, "no more than needed": 70.0}
RUNS: Final = 3
_DAYS: Final = 6
_AMPLE: Final = 4_000
_SIGMA: Final = 0.5
_FREE: Final = 0.05
"""By how much the fewest may be missed for nothing: a week of orders does not say more."""
_NONE: Final = 0.5
_SHORT: Final = 0.10
_SIZES: Final = ((500, 1000, 2000), (1000, 2000, 4000), (1000, 2000, 3000), (2000, 4000, 6000))


@dataclass(frozen=True)
class CapacityInstance:
    """Demand, the share to be served, and the numbers of the judged runs and of the week that is shown."""

    rate: str
    hours: str
    sizes: tuple[int, ...]
    percent: int
    judged: tuple[int, ...]
    shown: int
    found: dict[int, float] = field(default_factory=dict, compare=False, repr=False)

    def fill_rate(self, cores: int) -> float:
        """Share of orders that became a lease with so many cores, mean of the judged runs."""
        if cores not in self.found:
            scenario = scenario_from_mapping(capacity_scenario(self, cores), name="capacity")
            rates = [run(scenario, seed=number).summary["fill_rate"] for number in self.judged]
            self.found[cores] = fmean(rate or 0.0 for rate in rates)
        return self.found[cores]

    def mean_cores(self) -> float:
        """Cores that would be in use in the mean if there were no end of them: orders an hour × cores × hours, these log-normal."""
        return float(self.rate) * fmean(self.sizes) / 1000 * float(self.hours) * math.exp(_SIGMA**2 / 2)

    def fewest(self) -> int:
        """The fewest cores that reach the share, by halving."""
        high = max(2, round(self.mean_cores()))
        low = high // 2
        while self.fill_rate(high) * 100 < self.percent:
            low, high = high, high + high // 4 + 1
        while self.fill_rate(low) * 100 >= self.percent:
            low, high = low // 2, low
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self.fill_rate(middle) * 100 < self.percent else (low, middle)
        return high


class CapacityExercise:
    """Capacity planning."""

    name = "capacity"
    title = "Capacity: the fewest cores for a fill rate"
    version = 1
    minutes = 30
    needs = ""
    files = (FILE,)
    most = MOST
    chance = Chance(36.0, 29.5, "30 to 300 cores at random, on the instances of 30 learners")
    hints = (
        "`record/orders.csv` is a week with more cores than anybody needs: add up the cores in use at each moment.",
        "Mean cores in use = orders an hour × mean cores × mean hours. With just that many a good share of orders finds no room.",
        "Play the week again: give each order its cores if they are free, count those that find none, and try other sizes.",
        "Large orders are the first to find no room. The weeks that judge are others of the same market: leave a little.",
    )

    def drawn(self, dice: Dice, *, practice: bool) -> CapacityInstance:
        """Draw demand and the share."""
        return CapacityInstance(
            rate=str(dice.decimal("4", "9", "0.01")),
            hours=str(dice.decimal("3", "8", "0.1")),
            sizes=dice.pick(_SIZES),
            percent=dice.whole(96, 98),
            judged=tuple(dice.whole(1, 10**6) for _ in range(RUNS)),
            shown=dice.whole(1, 10**6),
        )

    def draw(self, dice: Dice, *, practice: bool) -> CapacityInstance:
        """Draw demand and the share."""
        return self.drawn(dice, practice=practice)

    def told(self, instance: CapacityInstance) -> Told:
        """A week of orders with more cores than anybody needs."""
        week = run_whole(capacity_scenario(instance, _AMPLE) | {"record": "orders"}, seed=instance.shown, progress=False)
        leases = week.leases[["order", "created_at", "closed_at"]]
        rows = week.orders[["order", "created_at", "cpu"]].merge(leases, on="order", how="left")
        rows.columns = ["order", "created_at", "millicores", "leased_at", "closed_at"]
        readme = f"""
A provider is to serve {instance.percent} % of its orders: the share that becomes a lease, after a first day. An order that finds no
room ends after ten minutes. `record/orders.csv` is a week with far more cores than needed: when each order came, how many millicores it
asked for, when its lease began and ended (heights; 600 blocks are an hour).

How many cores are enough, and no more? Write `submit/{FILE}`:

    cores: 123

The market is run with that many in {RUNS} other weeks. 30 points for the fill rate, none where {100 * _SHORT:.0f} points are missing;
70 for no more and no less than the fewest cores that reach it: all of them within {100 * _FREE:.0f} %, none at {100 * _NONE:.0f} %.
"""
        record: str = rows.to_csv(index=False, lineterminator="\n", float_format="%.10g")
        return Told({"fill_rate_percent": instance.percent}, readme, {"orders.csv": record}, {FILE: "cores:\n"})

    def problem(self, task: Mapping[str, Any], record: Mapping[str, str], submission: Submission) -> str | None:
        """A number of cores that is none, or no unit of cores."""
        _cores(submission[FILE], f"submit/{FILE}", 2_000)
        return None

    def judge(self, instance: CapacityInstance, submission: Submission) -> Mapping[str, Judged]:
        """Run the market with the cores, and find the fewest that would do."""
        cores = _cores(submission[FILE], FILE)
        filled = instance.fill_rate(cores)
        short = max(0.0, instance.percent / 100 - filled)
        off = abs(cores / instance.fewest() - 1)
        thrift = 1.0 if off <= _FREE else max(0.0, (_NONE - off) / (_NONE - _FREE))
        reached = max(0.0, 1 - short / _SHORT)
        return {
            "fill rate": Judged(reached, f"{100 * filled:.1f} % of orders served"),
            # nobody is thrifty who serves nobody
            "no more than needed": Judged(thrift * (reached > 0), f"{100 * off:.0f} % off the fewest"),
        }

    def answers(self, instance: CapacityInstance) -> Sequence[str]:
        """The line with the fewest cores."""
        return [f"cores: {instance.fewest()}"]

    def oracle(self, instance: CapacityInstance) -> Submission:
        """The fewest cores."""
        return _file(instance.fewest())

    def guess(self, instance: CapacityInstance, dice: Dice) -> Submission:
        """Thirty to three hundred cores."""
        return _file(dice.whole(30, 300))

    def near_misses(self, instance: CapacityInstance) -> Sequence[NearMiss]:
        """Far too many, far too few, and the mean in use."""
        fewest = instance.fewest()
        return [
            NearMiss("ten times as many", _file(10 * fewest), 30, 30),
            NearMiss("a third of them", _file(fewest // 3), 0, 10),
            NearMiss("a quarter more", _file(round(1.25 * fewest)), 60, 85),
            NearMiss("a quarter less", _file(round(0.75 * fewest)), 0, 75),
            NearMiss("as many as are in use in the mean", _file(round(instance.mean_cores())), 0, 95),
        ]


def capacity_scenario(instance: CapacityInstance, cores: int) -> dict[str, Any]:
    """The market with a provider of so many cores."""
    prices = {"cpu_millicores": "0.004uve", "memory_mb": "0.002uve", "storage_mb": "0.00005uve", "gpu": "220uve"}
    tenant = {
        "name": "web",
        "count": 20,
        "wallet": "5000VE",
        "demand": {"arrivals": f"{instance.rate}/h"},
        "order": {"cpu": {"choice": list(instance.sizes)}, "memory": "2Gi", "storage": "10Gi"},
        "value": {"times_cost": 5},
        "duration": {"lognormal": {"median": f"{instance.hours}h", "sigma": _SIGMA}},
        "deposit": {"blocks": 60_000},
        "restart": {"probability": 0},
    }
    provider = {
        "name": "edge",
        "config": {"bid_engine": {"max_concurrent_bids": 500, "pricing": prices}},
        "capacity": {"cpu": cores * 1000, "memory": "16Ti", "storage": "100Ti"},
        "wallet": "20000VE",
        "latency": {"lognormal": {"median": "3s", "sigma": 0.2}},
    }
    return {"name": "capacity", "horizon": f"{_DAYS}d", "warm_up": "1d", "tenants": [tenant], "providers": [provider]}


def _cores(text: str, name: str, most: int = 100_000) -> int:
    cores = figure_of(read_mapping(text, name).get("cores", ""))
    if cores is None or cores != int(cores) or cores < 1:
        raise InputError(f"{name}: cores: is missing or no whole number of cores")
    if cores > most:
        raise InputError(f"{name}: cores: {cores:.0f} cores? look at the unit")
    return int(cores)


def _file(cores: int) -> Submission:
    return {FILE: yaml_text({"cores": max(1, cores)})}


EXERCISE: Final = CapacityExercise()
