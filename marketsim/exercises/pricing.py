"""Exercise 1 of the training document: a provider file with the prices, the margin and the filter that are asked for.

The submission prices hidden orders through the code of `marketsim price`: random ones, ones that lie one unit on either side of a limit,
and ones with GPUs, regions and attributes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final, NamedTuple

from marketsim.exercises.dice import Dice
from marketsim.exercises.exercise import Chance, Judged, NearMiss, Submission, Told
from marketsim.exercises.plain_yaml import as_number, leaves, read_mapping
from marketsim.face.prices import engine_rules
from marketsim.money.text import format_amount
from marketsim.money.units import MIB
from marketsim.scenario.files import provider_of_text
from marketsim.scenario.provider_file import lift_filters
from marketsim.strategies.exact import EXPECTED_LIFETIME_BLOCKS, EngineRules, Request, check_filters, price_breakdown

FILE: Final = "provider-config.yaml"
MOST: Final = {"prices": 50.0, "refusals": 40.0, "file": 10.0}
_CORES: Final = (8, 12, 16, 20, 24, 28, 36, 40, 48, 56)
_MODELS: Final = ("nvidia-a100", "nvidia-h100", "nvidia-t4", "amd-mi250")
_REGIONS: Final = ("us-east-1", "us-west-2", "eu-west-1", "eu-central-1", "ap-south-1")

_FILE_TEXT: Final = """# provider-config.yaml
bid_engine:
  # Enable/disable bidding
  enabled: true

  # Minimum profit margin (percentage)
  min_profit_margin: {margin}

  # Maximum concurrent bids
  max_concurrent_bids: 50

  # Bid timeout (duration)
  bid_timeout: 5m

  # Resource pricing (per unit per block)
  pricing:
    cpu_millicores: {cpu}uve
    memory_mb: {memory}uve
    storage_mb: {storage}uve
    gpu: {gpu}uve

# Only bid on certain orders
filters:
  # Minimum order value
  min_order_value: {least}uve

  # Maximum resource request
  max_cpu: {max_cpu}
  max_memory: {max_memory}
  max_storage: {max_storage}

  # Allowed regions (if specified in order)
  allowed_regions:
    - {region}
    - {other_region}

  # Excluded attributes
  excluded_attributes:
    - gpu-type={excluded}
"""
_ASKED: Final = {
    "cpu_millicores": ("bid_engine", "pricing", "cpu_millicores"),
    "memory_mb": ("bid_engine", "pricing", "memory_mb"),
    "min_profit_margin": ("bid_engine", "min_profit_margin"),
    "max_cpu": ("filters", "max_cpu"),
}
"""The four keys that the task asks to set."""


class AskedOrder(NamedTuple):
    """A hidden order: what it asks for and its price ceiling, atto-uve a block."""

    request: Request
    ceiling: int


Verdict = tuple[int, str | None]
"""What an engine asks for an order, atto-uve a block, and the code of its refusal, None where it bids."""


@dataclass(frozen=True)
class PricingInstance:
    """What is asked, the file to begin with as its keys' texts, and the hidden orders."""

    asked: Mapping[str, Any]
    begun: Mapping[str, Any]
    orders: tuple[AskedOrder, ...] = ()
    right: tuple[Verdict, ...] = ()
    """What the file that is asked for says to each order."""
    first: tuple[Verdict, ...] = ()
    """What the file to begin with says."""

    def text(self, **changes: Any) -> str:
        """The file to begin with, with other values for some keys."""
        return _FILE_TEXT.format(**{**self.begun, **changes})

    def solved(self, **changes: Any) -> str:
        """The file that is asked for, with other values for some keys."""
        asked = self.asked
        right = {"cpu": asked["cpu"], "memory": asked["memory"], "margin": asked["margin"], "max_cpu": asked["cores"] * 1000}
        return self.text(**{**right, **changes})


class PricingExercise:
    """Exercise 1: configure bid pricing."""

    name = "pricing"
    title = "Exercise 1: configure bid pricing"
    version = 1
    minutes = 15
    needs = ""
    files = (FILE,)
    most = MOST
    chance = Chance(16.5, 9.3, "400 guesses on the instances of 50 learners")
    hints = (
        "Base cost = CPU, memory, storage and GPUs, each times its price; bid = base cost × (1 + margin).",
        "`marketsim price submit/provider-config.yaml --cpu 1000m --memory 2048Mi --storage 10Gi` shows it line by line, and every filter.",
        "`min_profit_margin` is a percentage; the filters count CPU in millicores, and an order of exactly the maximum passes.",
        "Leave every other key as it is, and the margin out of the unit prices.",
    )

    def drawn(self, dice: Dice, *, practice: bool) -> PricingInstance:
        """Draw prices, margin, filter and the file to begin with; in practice they are the training document's."""
        asked: dict[str, Any] = {
            "cpu": dice.decimal("1.01", "4.99", "0.01") / 10**6,
            "memory": dice.decimal("1.01", "4.99", "0.01") / 10**7,
            "margin": dice.decimal("5.5", "34.5", "0.5"),
            "cores": dice.pick(_CORES),
        }
        regions = dice.sample(_REGIONS, 2)
        begun: dict[str, Any] = {
            "cpu": Decimal("0.000001"),
            "memory": Decimal("0.0000001"),
            "storage": dice.decimal("0.5", "2.5", "0.01") / 10**8,
            "gpu": dice.decimal("0.5", "2.5", "0.01") / 10**3,
            "margin": 10,
            "least": dice.decimal("5", "50", "1"),
            "max_cpu": 64000,
            "max_memory": 1024 * dice.pick((64, 96, 128, 192, 256)),
            "max_storage": 1024 * dice.pick((512, 1024, 2048, 4096)),
            "region": regions[0],
            "other_region": regions[1],
            "excluded": dice.pick(_MODELS),
        }
        if practice:
            asked = {"cpu": Decimal("0.000002"), "memory": Decimal("0.0000002"), "margin": 15, "cores": 32}
            begun |= {"storage": Decimal("0.00000001"), "gpu": Decimal("0.001"), "least": Decimal("0.01")}
            begun |= {"max_memory": 262144, "max_storage": 10485760, "excluded": "nvidia-a100"}
            begun |= {"region": "us-east-1", "other_region": "eu-west-1"}
        begun |= {key: format(value, "f") for key, value in begun.items() if isinstance(value, Decimal)}
        asked |= {key: format(value, "f") for key, value in asked.items() if isinstance(value, Decimal)}
        return PricingInstance(asked, begun)

    def draw(self, dice: Dice, *, practice: bool) -> PricingInstance:
        """Draw the figures, then the hidden orders around the limits that follow from them."""
        bare = self.drawn(dice, practice=practice)
        rules = _rules(bare.solved())
        orders = tuple(_orders(dice, rules, bare.begun))
        return PricingInstance(bare.asked, bare.begun, orders, _verdicts(rules, orders), _verdicts(_rules(bare.text()), orders))

    def told(self, instance: PricingInstance) -> Told:
        """The four wishes, and the file to begin with."""
        asked = instance.asked
        task = {
            "asked": {
                "cpu_price_uve_per_millicore_and_block": Decimal(asked["cpu"]),
                "memory_price_uve_per_mb_and_block": Decimal(asked["memory"]),
                "profit_margin_percent": Decimal(asked["margin"]),
                "most_cores_of_an_order": asked["cores"],
            }
        }
        readme = f"""
Change `submit/{FILE}` so that the provider

- asks {asked["cpu"]} uve for a millicore of CPU and block,
- asks {asked["memory"]} uve for a MB of memory and block,
- adds {asked["margin"]} % of profit margin,
- does not bid on orders that ask for more than {asked["cores"]} cores,

and leave everything else as it is. 400 orders that you do not see are then priced with your file: 50 points for bids at the exact
price, 40 for what your changes make it refuse, with the right reason, and for nothing else refused, 10 for a file in which nothing
else is changed.

`marketsim price submit/{FILE} --cpu 1000m --memory 2048Mi --storage 10Gi` shows what it asks for one order.
"""
        return Told(task, readme, {}, {FILE: instance.text()})

    def problem(self, task: Mapping[str, Any], record: Mapping[str, str], submission: Submission) -> str | None:
        """The first thing wrong: the file, a key that is still as it was, a unit that cannot be meant, a key that was to stay."""
        name = f"submit/{FILE}"
        config = provider_of_text(submission[FILE], name)
        mine = lift_filters(read_mapping(submission[FILE], name))
        if f"begun/{FILE}" not in record:
            return f"record/begun/{FILE}: is missing, begin the exercise again"
        begun = read_mapping(record[f"begun/{FILE}"], f"record/begun/{FILE}")
        for path in _ASKED.values():
            if _value(mine, path) == _value(begun, path):
                return f"{name}: {'.'.join(path)}: is still as it was, the task asks for another"
        engine, most = config.bid_engine, config.filters.max_cpu
        for key, price in (("cpu_millicores", engine.pricing.cpu_millicores), ("memory_mb", engine.pricing.memory_mb)):
            if price >= 10**15:
                return f"{name}: bid_engine.pricing.{key}: {format_amount(price)} uve for a unit and block? look at its unit"
        if 0 < engine.min_profit_margin < 1:
            return f"{name}: bid_engine.min_profit_margin: is a percentage, {engine.min_profit_margin} would be less than one percent"
        if most is not None and most < 1000:
            return f"{name}: filters.max_cpu: counts millicores, {most} would be less than a core"
        if (other := _changed(begun, mine)) is not None:
            return f"{name}: {other}: is not as it was, the task does not ask for that"
        return None

    def judge(self, instance: PricingInstance, submission: Submission) -> Mapping[str, Judged]:
        """Price the hidden orders with the file and with the one that was asked for."""
        rules = engine_rules(provider_of_text(submission[FILE], FILE))
        mine = lift_filters(read_mapping(submission[FILE], FILE))
        found = _verdicts(rules, instance.orders)
        pairs = list(zip(instance.right, found, strict=True))
        bids = [pair for pair in pairs if pair[0][1] is None]
        exact = sum(mine == asked for asked, mine in bids)
        # what the file to begin with refuses rightly is nobody's merit, only its loss counts
        open_to_change = [asked[1] != first[1] for asked, first in zip(instance.right, instance.first, strict=True)]
        same = [asked[1] == mine[1] for asked, mine in pairs]
        gained = sum(one for one, changes in zip(same, open_to_change, strict=True) if changes)
        lost = sum(not one for one, changes in zip(same, open_to_change, strict=True) if not changes)
        changing = sum(open_to_change)
        skill = max(0.0, gained / changing - lost / (len(pairs) - changing))
        asked_for = read_mapping(instance.solved(), FILE)
        set_right = sum(as_number(_value(mine, path)) == as_number(_value(asked_for, path)) for path in _ASKED.values())
        other = _changed(asked_for, mine)
        seen = f"{set_right} of 4 keys as asked, {'nothing else changed' if other is None else f'{other} is changed too'}"
        decided = f"{gained} of {changing} orders that your changes decide are right, {lost} of {len(pairs) - changing} others wrong now"
        return {
            "prices": Judged(exact / len(bids), f"{exact} of {len(bids)} bids at the exact price"),
            "refusals": Judged(skill, decided),
            "file": Judged(float(set_right == 4 and other is None), seen),
        }

    def answers(self, instance: PricingInstance) -> Sequence[str]:
        """The prices of hidden orders."""
        prices = {format_amount(price) for price, code in instance.right if code is None}
        return sorted(price for price in prices if len(price) > 8)

    def oracle(self, instance: PricingInstance) -> Submission:
        """The file that was asked for."""
        return {FILE: instance.solved()}

    def guess(self, instance: PricingInstance, dice: Dice) -> Submission:
        """The four keys drawn as an instance draws them."""
        return {
            FILE: instance.text(
                cpu=format(dice.decimal("1.01", "4.99", "0.01") / 10**6, "f"),
                memory=format(dice.decimal("1.01", "4.99", "0.01") / 10**7, "f"),
                margin=dice.decimal("5.5", "34.5", "0.5"),
                max_cpu=1000 * dice.pick(_CORES),
            )
        }

    def near_misses(self, instance: PricingInstance) -> Sequence[NearMiss]:
        """One key or one unit wrong."""
        asked, most = instance.asked, instance.asked["cores"] * 1000
        factor = 1 + Decimal(asked["margin"]) / 100

        def miss(name: str, least: float, highest: float, **changes: Any) -> NearMiss:
            return NearMiss(name, {FILE: instance.solved(**changes)}, least, highest)

        def dearer(price: str) -> str:
            return format(Decimal(price) * factor, "f")

        prices = {key: dearer(price) for key, price in (("cpu", asked["cpu"]), ("memory", asked["memory"]))}
        prices |= {key: dearer(instance.begun[key]) for key in ("storage", "gpu")}
        return [
            miss("one millicore too many pass", 60, 90, max_cpu=most + 1),
            miss("one millicore too few pass", 60, 90, max_cpu=most - 1),
            miss("CPU filter forgotten", 40, 80, max_cpu=64000),
            miss("CPU filter in cores", 0, 30, max_cpu=asked["cores"]),
            miss("margin as a fraction", 0, 45, margin=Decimal(asked["margin"]) / 100),
            miss("margin forgotten", 0, 45, margin=10),
            miss("memory price forgotten", 0, 45, memory=instance.begun["memory"]),
            miss("prices in VE", 0, 25, cpu=asked["cpu"] + "VE #", memory=asked["memory"] + "VE #"),
            miss("margin put into the prices", 90, 90, margin=0, **prices),
            miss("another key changed", 40, 90, max_memory=instance.begun["max_memory"] // 2),
        ]


def _rules(text: str) -> EngineRules:
    return engine_rules(provider_of_text(text, FILE))


def _verdict(rules: EngineRules, order: AskedOrder) -> Verdict:
    bid = price_breakdown(rules, order.request).bid
    refusal = next((found for found in check_filters(rules, order.request, bid, order.ceiling) if found.passed is False), None)
    return bid, None if refusal is None else refusal.code


def _verdicts(rules: EngineRules, orders: Sequence[AskedOrder]) -> tuple[Verdict, ...]:
    return tuple(_verdict(rules, order) for order in orders)


def _value(data: Mapping[str, Any], path: Sequence[str]) -> Any:
    for key in path:
        if not isinstance(data, Mapping) or key not in data:
            return None
        data = data[key]
    return data


def _changed(begun: Mapping[str, Any], mine: Mapping[str, Any]) -> str | None:
    """The first key besides those asked for that is not as it was: changed, added or gone."""

    def other(data: Mapping[str, Any]) -> dict[tuple[str, ...], Any]:
        return {path: value for path, value in leaves(data).items() if path not in _ASKED.values()}

    before, after = other(begun), other(mine)
    return next((".".join(path) for path in (*before, *after) if before.get(path) != after.get(path)), None)


def _orders(dice: Dice, rules: EngineRules, begun: Mapping[str, Any]) -> list[AskedOrder]:
    """400 orders: 160 random, 160 one unit on either side of a limit, 80 with GPUs, regions and attributes."""
    assert (
        rules.max_cpu is not None and rules.max_memory is not None and rules.max_storage is not None and rules.min_order_value is not None
    )
    limits = (rules.max_cpu, rules.max_memory, rules.max_storage)

    def sizes(top: float = 0.9) -> tuple[int, int, int]:
        cpu, memory, storage = (max(1, int(limit * top * dice.share() ** 2)) for limit in limits)
        return cpu, memory, storage

    def order(cpu: int, memory: int, storage: int, times: float = 3.0, **more: Any) -> AskedOrder:
        request = Request(cpu, memory * MIB, storage * MIB)._replace(**more)
        least = rules.min_order_value or 0
        return AskedOrder(request, max(int(price_breakdown(rules, request).bid * times), -(-least // EXPECTED_LIFETIME_BLOCKS)))

    found = [order(*sizes(1.4), 0.6 + 2.4 * dice.share()) for _ in range(160)]
    for number in range(160):
        side = (0, 1, -1, 1)[number // 5 % 4]
        kind, wanted = number % 5, list(sizes())
        if kind < 3:
            wanted[kind] = limits[kind] + side
            cpu, memory, storage = wanted
            found.append(order(cpu, memory, storage))
        elif kind == 3:  # the ceiling is the bid, or 10^-18 uve less
            whole = order(*sizes())
            bid = price_breakdown(rules, whole.request).bid
            found.append(AskedOrder(whole.request, bid - (side > 0)))
        else:  # small orders: their ceiling × a day is the least value, or the last unit less
            cpu, memory, storage = (max(1, int(limit * 0.001 * dice.share())) for limit in limits)
            small = order(cpu, memory, storage)
            found.append(AskedOrder(small.request, -(-rules.min_order_value // EXPECTED_LIFETIME_BLOCKS) - (side > 0)))
    for number in range(80):
        region = (None, begun["region"], begun["other_region"], dice.pick(_REGIONS))[number % 4]
        gpus = dice.whole(1, 8) if number % 2 else 0
        attributes = {"gpu-type": {dice.pick(_MODELS)}} if gpus else {}
        found.append(order(*sizes(), 3.0, gpu=gpus, region=region, attributes=attributes))
    return found


EXERCISE: Final = PricingExercise()
