"""Filters: which orders to leave to others, judged by the income that they leave, relative to the best of a grid."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from statistics import fmean
from typing import Any, Final

from marketsim.errors import InputError
from marketsim.exercises.dice import Dice
from marketsim.exercises.exercise import Chance, Judged, NearMiss, Submission, Told
from marketsim.exercises.plain_yaml import as_number, leaves, read_mapping, yaml_text
from marketsim.face.runs import run as run_whole
from marketsim.scenario.files import provider_of_text
from marketsim.scenario.load import scenario_from_mapping
from marketsim.scenario.provider_file import lift_filters
from marketsim.simulation.run import run

FILE: Final = "provider-config.yaml"
MOST: Final = {"income": 100.0}
RUNS: Final = 3
_DAYS: Final = 6
MAX_CPU: Final = (2_000, 4_000, 8_000, None)
LEAST_VALUES: Final = (None, 50_000, 150_000, 400_000)
"""uve: the ceiling of an order × 14,400 blocks."""
_CALL: Final = 1.02
"""The best of the grid is to bring at least so much of what the file to begin with brings."""
_TRIES: Final = 30

Choice = tuple[int | None, int | None]


@dataclass(frozen=True)
class FiltersInstance:
    """A market of a small provider: rates of its kinds of orders, its cores, its prices, what it has promised to serve."""

    rates: tuple[str, ...]
    cores: int
    cpu_price: str
    memory_price: str
    promised: int
    """Millicores of the orders that the filters must let pass."""
    judged: tuple[int, ...]
    shown: int
    found: dict[str, float] = field(default_factory=dict, compare=False, repr=False)

    def income(self, filters: Mapping[str, Any]) -> float:
        """Income a day net of take and gas with these filters, uve, mean of the judged runs."""
        key = repr(sorted((name, str(value)) for name, value in filters.items()))
        if key not in self.found:
            scenario = scenario_from_mapping(filters_scenario(self, filters), name="filters")
            self.found[key] = fmean(_income(run(scenario, seed=number).record) for number in self.judged)
        return self.found[key]

    def grid(self) -> dict[Choice, float]:
        """Income of each choice of the grid that keeps the promise."""
        choices = [(most, least) for most, least in product(MAX_CPU, LEAST_VALUES) if most is None or most >= self.promised]
        return {choice: self.income(chosen_filters(choice)) for choice in choices}

    def best(self) -> Choice:
        """The best choice of the grid."""
        grid = self.grid()
        return max(grid, key=lambda choice: grid[choice])


class FiltersExercise:
    """Filters."""

    name = "filters"
    title = "Filters: which orders to leave to others"
    version = 1
    minutes = 40
    needs = ""
    files = (FILE,)
    most = MOST
    chance = Chance(46.5, 36.8, "a point of the grid at random, on the instances of 16 learners")
    hints = (
        "The provider is small: cores that one order takes are not there for another. Work out income a core and hour by kind of order.",
        "Orders with many cores and little memory pay least for a core; `filters.max_cpu` leaves them to others.",
        "Each lease costs gas for its bid and its withdrawals; orders that pay next to nothing do not earn it: `filters.min_order_value`.",
        "`min_order_value` compares with the order's ceiling × 14,400 blocks, `record/orders.csv` has the ceilings.",
    )

    def drawn(self, dice: Dice, *, practice: bool) -> FiltersInstance:
        """Draw a market, whether or not filters pay in it."""
        return FiltersInstance(
            rates=tuple(str(dice.decimal(low, high, "0.01")) for low, high in (("1.5", "3"), ("1", "2"), ("0.8", "1.6"))),
            cores=dice.whole(60, 110),
            cpu_price=f"{dice.decimal('0.0010', '0.0016', '0.0001')}uve",
            memory_price=f"{dice.decimal('0.0018', '0.0026', '0.0001')}uve",
            promised=dice.pick((2_000, 4_000)),
            judged=tuple(dice.whole(1, 10**6) for _ in range(RUNS)),
            shown=dice.whole(1, 10**6),
        )

    def draw(self, dice: Dice, *, practice: bool) -> FiltersInstance:
        """Draw markets until filters pay."""
        for _ in range(_TRIES):
            instance = self.drawn(dice, practice=practice)
            if max(instance.grid().values()) >= _CALL * instance.income({}):
                break
        return instance

    def told(self, instance: FiltersInstance) -> Told:
        """The file, and a week without filters."""
        week = run_whole(filters_scenario(instance, {}) | {"record": "everything"}, seed=instance.shown, progress=False)
        leases = week.leases[week.leases.provider == "trainee-0"][["order", "price", "created_at", "closed_at", "withdrawn"]]
        orders = week.orders[["order", "created_at", "cpu", "memory", "ceiling"]].rename(columns={"created_at": "ordered_at"})
        rows = orders.merge(leases, on="order", how="left")
        rows["memory"] = rows["memory"] // 2**20
        record: str = rows.rename(columns={"cpu": "millicores", "memory": "memory_mb"}).to_csv(
            index=False, lineterminator="\n", float_format="%.10g"
        )
        gas = int(week.providers.set_index("name").loc["trainee-0", "network_fees"])
        readme = f"""
A provider of {instance.cores} cores is always full. `record/orders.csv` is a week without filters: every order, its ceiling, and where
the provider won it, its price in uve a block, how long the lease lasted and what it paid. The week cost {gas} uve of gas.

Set `filters.max_cpu` and `filters.min_order_value` in `submit/{FILE}`, one or both, so that its income, net of the network's take and of
gas, is as high as you can. You have promised to serve orders of up to {instance.promised} millicores, so `max_cpu` must not be less.
Nothing else may change.

The market is run with your filters in {RUNS} other weeks. Points: how far the income comes from that without filters towards the best of
{len(MAX_CPU)} values of `max_cpu` × {len(LEAST_VALUES)} of `min_order_value`.
"""
        task = {"cores": instance.cores, "promised_millicores": instance.promised}
        return Told(task, readme, {"orders.csv": record}, {FILE: _file_text(instance, {})})

    def problem(self, task: Mapping[str, Any], record: Mapping[str, str], submission: Submission) -> str | None:
        """A file that cannot be read, a key that was not to change, a promise that is broken."""
        _filters(submission[FILE], record.get(f"begun/{FILE}", ""), int(task.get("promised_millicores", 0)), f"submit/{FILE}")
        return None

    def judge(self, instance: FiltersInstance, submission: Submission) -> Mapping[str, Judged]:
        """Run the market with the filters."""
        mine = instance.income(_filters(submission[FILE], _file_text(instance, {}), instance.promised, FILE))
        without, best = instance.income({}), max(instance.grid().values())
        share = min(1.0, max(0.0, (mine - without) / (best - without)))
        return {"income": Judged(share, f"{100 * (mine / without - 1):+.1f} % of the income without filters")}

    def answers(self, instance: FiltersInstance) -> Sequence[str]:
        """The best income, and its filters as the file has them."""
        best = instance.best()
        lines = [f"{key}: {value}" for key, value in chosen_filters(best).items()]
        return [*lines, f"{instance.grid()[best]:.0f}"]

    def oracle(self, instance: FiltersInstance) -> Submission:
        """The best of the grid."""
        return {FILE: _file_text(instance, chosen_filters(instance.best()))}

    def guess(self, instance: FiltersInstance, dice: Dice) -> Submission:
        """A point of the grid."""
        return {FILE: _file_text(instance, chosen_filters(dice.pick(list(instance.grid()))))}

    def near_misses(self, instance: FiltersInstance) -> Sequence[NearMiss]:
        """No filter, one that lets nothing pass, a broken promise, another key changed."""
        best = chosen_filters(instance.best())
        grid = instance.grid()
        worst = min(grid, key=lambda choice: grid[choice])
        changed = _file_text(instance, best).replace("min_profit_margin: 10", "min_profit_margin: 30")
        return [
            NearMiss("no filter", {FILE: _file_text(instance, {})}, 0, 0),
            NearMiss("the worst of the grid", {FILE: _file_text(instance, chosen_filters(worst))}, 0, 50),
            NearMiss("nothing passes", {FILE: _file_text(instance, {"min_order_value": "900000000uve"})}, 0, 0),
            NearMiss("a promise broken", {FILE: _file_text(instance, best | {"max_cpu": instance.promised - 1})}, 0, 0),
            NearMiss("the margin changed too", {FILE: changed}, 0, 0),
        ]


def chosen_filters(choice: Choice) -> dict[str, Any]:
    """The filters of a point of the grid, as a provider file has them."""
    most, least = choice
    return ({} if most is None else {"max_cpu": most}) | ({} if least is None else {"min_order_value": f"{least}uve"})


def filters_scenario(instance: FiltersInstance, filters: Mapping[str, Any]) -> dict[str, Any]:
    """The market: orders of three kinds, and a provider that is too small for them."""
    kinds: dict[str, dict[str, Any]] = {
        "tiny": {"cpu": {"choice": [100, 250]}, "memory": "256Mi", "storage": "1Gi"},
        "caches": {"cpu": {"choice": [1000, 2000, 4000]}, "memory": {"choice": ["16Gi", "32Gi"]}, "storage": "20Gi"},
        "crunchers": {"cpu": {"choice": [8000, 12000, 16000]}, "memory": "4Gi", "storage": "20Gi"},
    }
    tenants = [
        {
            "name": name,
            "count": 10,
            "wallet": "5000VE",
            "demand": {"arrivals": f"{rate}/h"},
            "order": order,
            "value": {"times_cost": 5},
            "ceiling": {"times_cost": {"uniform": [1.5, 4]}},
            "duration": {"lognormal": {"median": "10h", "sigma": 0.6}},
            "deposit": {"blocks": 30_000},
            "restart": {"probability": 0},
            "patience": "50 blocks",
        }
        for (name, order), rate in zip(kinds.items(), instance.rates, strict=True)
    ]
    trainee = {
        "name": "trainee",
        "config": _config(instance, filters),
        "capacity": {"cpu": instance.cores * 1000, "memory": "4Ti", "storage": "40Ti"},
        "wallet": "20000VE",
        "latency": {"lognormal": {"median": "3s", "sigma": 0.2}},
        "withdraw_every": "3h",
    }
    return {
        "name": "filters",
        "rules": "virtengine",
        "horizon": f"{_DAYS}d",
        "warm_up": "1d",
        "tenants": tenants,
        "providers": [trainee],
    }


def _income(record: Any) -> float:
    providers = record.providers
    row = providers["name"].index("trainee-0")
    days = (record.blocks - record.warm_up_blocks) / record.day_blocks
    gas = int(providers["network_fees"][row]) * days * record.day_blocks / record.blocks
    income: float = (int(providers["revenue_net"][row]) - gas) / days
    return income


def _config(instance: FiltersInstance, filters: Mapping[str, Any]) -> dict[str, Any]:
    pricing = {"cpu_millicores": instance.cpu_price, "memory_mb": instance.memory_price, "storage_mb": "0.00005uve", "gpu": "220uve"}
    engine = {"enabled": True, "min_profit_margin": 10, "max_concurrent_bids": 200, "bid_timeout": "5m", "pricing": pricing}
    return {"bid_engine": engine, "filters": {"max_storage": 10_485_760, **filters}}


def _file_text(instance: FiltersInstance, filters: Mapping[str, Any]) -> str:
    return yaml_text(_config(instance, filters))


def _filters(text: str, begun: str, promised: int, name: str) -> dict[str, Any]:
    """The two filters of a file. Raises InputError for what cannot be read, for other changes, and for a broken promise."""
    config = provider_of_text(text, name)
    mine = leaves(lift_filters(read_mapping(text, name)))
    before = leaves(read_mapping(begun, f"record/begun/{FILE}"))
    free = {("filters", "max_cpu"), ("filters", "min_order_value")}
    for path in (*before, *mine):
        if path not in free and as_number(before.get(path)) != as_number(mine.get(path)):
            raise InputError(f"{name}: {'.'.join(path)}: is not as it was, only filters.max_cpu and filters.min_order_value may be set")
    most = config.filters.max_cpu
    if most is not None and most < promised:
        raise InputError(f"{name}: filters.max_cpu: is below {promised} millicores, which you have promised to serve")
    data = lift_filters(read_mapping(text, name)).get("filters") or {}
    return {key: data[key] for key in ("max_cpu", "min_order_value") if data.get(key) is not None}


EXERCISE: Final = FiltersExercise()
