"""Pricing strategies against hand arithmetic, the published figures and bc; the contract; the daemon."""

from __future__ import annotations

import random
import shutil
import subprocess
from dataclasses import dataclass, field, replace
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pricing_twins import CostPlusMargin, RateLimit

from marketsim.errors import InputError
from marketsim.money.text import (
    format_amount,
    half_even,
    multiply_half_even,
    nearest_binary,
    parse_atto,
    parse_go_decimal,
    show_fixed,
    truncate,
)
from marketsim.money.units import ATTO, GIB
from marketsim.strategies.check import StrategyError, check_strategy, load_strategy, sample_requests
from marketsim.strategies.rules import (
    Answer,
    GpuModel,
    MonthlyTargets,
    MonthlyTargetScript,
    PriceRequest,
    Refusal,
    ResourceUnit,
    ScalePricing,
    UnitPrices,
    Volume,
    _Bc,
    read_gpu_mappings,
    request_from_script,
    script_document,
)
from marketsim.strategies.virtengine import (
    EngineCapacity,
    EngineConfig,
    EngineOrder,
    EnginePricing,
    bid_price,
    matches,
)

UVE = ATTO
FOUR_CORES = ResourceUnit(cpu=4_000, memory=8 * GIB, volumes=(Volume(100 * GIB),), endpoints=1)
SEED_ORDER = ResourceUnit(cpu=1_000, memory=2_048 << 20, volumes=(Volume(10_240 << 20),))
SEED_PRICES = UnitPrices(
    cpu_millicores=parse_atto("0.000001"),
    memory_mb=parse_atto("0.0000001"),
    storage_mb=parse_atto("0.00000001"),
    gpu=parse_atto("0.001"),
)
HELM_SCALES = ScalePricing(
    cpu=parse_atto("0.004"),
    memory=parse_atto("0.0016"),
    storage={"ephemeral": parse_atto("0.00016"), "beta2": parse_atto("0.0003")},
    endpoint=UVE,
    ip=60 * UVE,
)


def request(*units: ResourceUnit, ceiling: str = "1000000", **others: object) -> PriceRequest:
    return PriceRequest(resources=units, price_ceiling=parse_atto(ceiling), order="t/1/1/1", **others)  # type: ignore[arg-type]


def shown(answer: Answer) -> str:
    return str(answer.code) if isinstance(answer, Refusal) else format_amount(answer)


# ---------------------------------------------------------------------- the figures of protocol reference 4.2


@pytest.mark.parametrize(
    ("unit", "ceiling", "expected"),
    [
        (FOUR_CORES, "1000", "46.4912"),
        (FOUR_CORES, "46.4912", "46.4912"),
        (FOUR_CORES, "46.491199999999999999", "price_too_high"),
        (replace(FOUR_CORES, count=2), "1000", "91.9824"),  # the endpoint counts once
        (replace(FOUR_CORES, gpu=8), "1000", "46.4912"),  # GPUs are free
        (replace(FOUR_CORES, leased_ips=1, count=2), "1000", "151.9824"),
        (ResourceUnit(volumes=(Volume(GIB, "beta2"),)), "1000", "0.3072"),
        (ResourceUnit(volumes=(Volume(GIB, "beta3"),)), "1000", "invalid_price"),
        (ResourceUnit(), "1000", "invalid_price"),
        (ResourceUnit(memory=1), "1000", "0.000000001525878906"),
    ],
)
def test_scale(unit: ResourceUnit, ceiling: str, expected: str) -> None:
    assert shown(HELM_SCALES.price(request(unit, ceiling=ceiling))) == expected


@pytest.mark.parametrize(
    ("margin", "prices", "expected"),
    [
        ("0", SEED_PRICES, "0.0013072"),
        ("10", SEED_PRICES, "0.00143792"),
        (
            "15",
            replace(SEED_PRICES, cpu_millicores=parse_atto("0.000002"), memory_mb=parse_atto("0.0000002")),
            "0.0028888",
        ),
        ("-100", SEED_PRICES, "invalid_price"),
    ],
)
def test_training_document(margin: str, prices: UnitPrices, expected: str) -> None:
    assert shown(CostPlusMargin(prices, parse_atto(margin)).price(request(SEED_ORDER))) == expected


def test_margin_rounds_half_to_even_once() -> None:
    one_atto = UnitPrices(1, 0, 0, 0)
    for millicores, nearest, floor in ((1, 2, 1), (3, 4, 4), (5, 8, 7)):  # 1.5, 4.5, 7.5
        asked = request(ResourceUnit(cpu=millicores))
        assert CostPlusMargin(one_atto, 50 * UVE).price(asked) == nearest
        assert CostPlusMargin(one_atto, 50 * UVE, floor=True).price(asked) == floor


def test_started_mib_count_over_the_whole_order() -> None:
    prices = UnitPrices(0, 10, 0, 0)
    half = ResourceUnit(memory=1 << 19)
    assert CostPlusMargin(prices).price(request(half, half)) == 10
    assert CostPlusMargin(prices).price(request(replace(half, memory=(1 << 20) + 1))) == 20


GPU = replace(FOUR_CORES, gpu=1)


@pytest.mark.parametrize(
    ("unit", "ceiling", "expected"),
    [
        (FOUR_CORES, "10000", "34.542194"),
        (GPU, "10000", "267.14956"),
        (FOUR_CORES, "34.542194", "34.542194"),
        (FOUR_CORES, "34.542193", "price_too_high"),
        (ResourceUnit(volumes=(Volume(GIB, "ram"), Volume(GIB, "default"))), "1", "invalid_price"),
    ],
)
def test_monthly_script(unit: ResourceUnit, ceiling: str, expected: str) -> None:
    assert shown(MonthlyTargetScript().price(request(unit, ceiling=ceiling))) == expected


def test_monthly_script_in_another_coin_is_compared_before_it_is_rounded() -> None:
    script = MonthlyTargetScript(usd_per_coin="0.5")
    assert script.printed(request(FOUR_CORES)) == "69.084388"
    assert script.printed(request(FOUR_CORES, ceiling="69.0843")) is None
    exact = script.printed(request(FOUR_CORES, price_precision=12))
    assert exact is not None and exact.startswith("69.0843876")
    assert script.printed(request(FOUR_CORES, ceiling="69.084387")) is None


def test_counts_multiply_all_but_endpoints_and_addresses() -> None:
    one = ResourceUnit(cpu=1_000, endpoints=2, leased_ips=1)
    usd = MonthlyTargetScript().monthly_usd(request(one)).exact()
    triple = MonthlyTargetScript().monthly_usd(request(replace(one, count=3))).exact()
    assert usd == Fraction("1.6") + Fraction("0.1") + 5
    assert triple == 3 * Fraction("1.6") + Fraction("0.1") + 5


MAPPINGS = "h100.80Gi.sxm5=1600,h100.80Gi=1400,h100=1300,t4=40"


@pytest.mark.parametrize(
    ("vendor", "model", "ram", "interface", "usd"),
    [
        ("nvidia", "h100", "80Gi", "sxm5", "1600"),
        ("nvidia", "h100", "80Gi", "pcie", "1400"),
        ("nvidia", "h100", "80Gi", "", "1400"),
        ("nvidia", "h100", "40Gi", "sxm5", "1300"),
        ("nvidia", "h100", "", "sxm5", "1300"),
        ("nvidia", "h100", "", "", "1300"),
        ("nvidia", "t4", "24Gi", "pcie", "40"),
        ("nvidia", "v100", "", "", "1600"),  # unlisted: the highest configured price
        ("amd", "h100", "80Gi", "sxm5", "1300"),  # of an AMD card only the model is seen
        ("amd", "mi250", "", "", "1600"),
        ("intel", "h100", "", "", "1600"),
    ],
)
def test_gpu_price_by_model(vendor: str, model: str, ram: str, interface: str, usd: str) -> None:
    script = MonthlyTargetScript(MonthlyTargets(gpu_mappings=read_gpu_mappings(MAPPINGS)))
    assert script.gpu_usd(ResourceUnit(gpu=1, gpu_models=(GpuModel(vendor, model, ram, interface),))) == usd


def test_gpu_price_without_a_model_is_at_least_a_hundred() -> None:
    cheap = MonthlyTargetScript(MonthlyTargets(gpu_mappings=(("t4", "40"),)))
    assert cheap.gpu_usd(ResourceUnit(gpu=1)) == "100"
    both = (GpuModel("amd", "mi250"), GpuModel("nvidia", "t4"))
    assert cheap.gpu_usd(ResourceUnit(gpu=1, gpu_models=both)) == "40"


def test_reading_of_mappings_and_targets() -> None:
    assert read_gpu_mappings("a=1,,b=2=3,a=4,c=,=5") == (("a", "4"), ("b", "2"))
    targets = MonthlyTargets.from_mapping({"cpu": ".5", "gpu_mappings": "t4=60"})
    assert (targets.cpu, targets.gpu_mappings) == (".5", (("t4", "60"),))
    for wrong in ({"cpu": "x"}, {"cpu": "1e3"}, {"disk": "1"}, {"gpu_mappings": "t4=free"}, {"ip": "-1"}):
        with pytest.raises(ValueError, match="expected"):
            MonthlyTargets.from_mapping(wrong)


def test_sizes_beyond_eight_pebibytes_round_step_by_step() -> None:
    """As recorded from jq: 50 x 976357994049772 bytes and two more units, summed in double."""
    units = tuple(ResourceUnit(memory=memory, count=50) for memory in (1, 976_357_994_049_772, 216_679_717_454))
    targets = MonthlyTargets(memory="1", cpu="0")
    usd = MonthlyTargetScript(targets).monthly_usd(request(*units)).exact()
    float_sum = 0.0
    for unit in units:
        float_sum += float(unit.memory) * unit.count
    assert usd == Fraction(Decimal(f"{float_sum / 2**30:.12f}"))


def test_script_document_round_trip() -> None:
    for asked in sample_requests():
        back = request_from_script(script_document(asked))
        assert (back.resources, back.price_ceiling, back.denom) == (
            asked.resources,
            asked.price_ceiling,
            asked.denom,
        )


# ---------------------------------------------------------------------- arithmetic

DIGITS = st.tuples(st.integers(0, 10**12), st.integers(0, 24), st.integers(0, 10**24 - 1)).map(
    lambda t: f"{t[0]}.{t[2] % 10 ** t[1]:0{t[1]}d}" if t[1] else str(t[0])
)


@pytest.mark.skipif(shutil.which("bc") is None, reason="bc is not installed")
def test_products_and_quotients_are_those_of_bc() -> None:
    draw = random.Random(5)

    def number() -> str:
        places = draw.choice([0, 1, 2, 6, 12, 18, 22])
        return f"{draw.randrange(10**6)}" + (f".{draw.randrange(10**places):0{places}d}" if places else "")

    pairs = [(number(), number()) for _ in range(400)]
    pairs = [(left, right) for left, right in pairs if Fraction(right)]
    program = "".join(f"{a}*{b}\n{a}/{b}\n" for a, b in pairs)
    run = subprocess.run(
        ["bc", "-l"],
        input=program,
        capture_output=True,
        text=True,
        check=True,
        env={"BC_LINE_LENGTH": "0", "PATH": "/usr/bin:/bin"},
    )
    printed = iter(run.stdout.split())
    for left, right in pairs:
        a, b = _Bc.read(left), _Bc.read(right)
        assert a.times(b).exact() == Fraction(next(printed)), (left, right)
        assert a.over(b).exact() == Fraction(next(printed)), (left, right)


@given(DIGITS, st.integers(0, 18))
def test_a_double_is_printed_as_c_prints_it(text: str, places: int) -> None:
    assert show_fixed(nearest_binary(Fraction(text), 53), places) == f"{float(text):.{places}f}"


@given(st.integers(-(10**40), 10**40), st.integers(1, 10**20))
def test_roundings_agree_with_decimal(numerator: int, denominator: int) -> None:
    quotient = Fraction(numerator, denominator)
    assert half_even(numerator, denominator) == round(quotient)
    assert truncate(numerator, denominator) == int(quotient)


@given(st.integers(-(10**30), 10**30))
def test_decimals_parse_and_print_round(value: int) -> None:
    assert parse_atto(format_amount(value)) == value
    assert parse_go_decimal(format_amount(value)) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", ATTO),
        ("0.000000000000000001", 1),
        ("+1.5", 15 * ATTO // 10),
        ("-1", -ATTO),
        ("--1", ATTO),
        ("-+1", -ATTO),
        ("00.50", ATTO // 2),
        ("", None),
        ("-", None),
        (".5", None),
        ("5.", None),
        ("1.2.3", None),
        ("1e3", None),
        ("abc", None),
        (" 1", None),
        ("1_0", None),
        ("1.-5", None),
        ("٣", None),
        ("0.0000000000000000001", None),
        ("9" * 77, None),
    ],
)
def test_cosmos_decimals(text: str, value: int | None) -> None:
    assert parse_go_decimal(text) == value


@pytest.mark.parametrize("text", ["", "x", "1e3", ".5", "1.", "0.0000000000000000001", "1 "])
def test_our_decimals_refuse(text: str) -> None:
    with pytest.raises(ValueError, match=r"expected|decimals"):
        parse_atto(text)


def test_products_round_half_to_even() -> None:
    half = ATTO // 2
    assert [multiply_half_even(value, half) for value in (1, 3, 5, -1, -3)] == [0, 2, 2, 0, -2]


# ---------------------------------------------------------------------- the contract

BUILT_IN = [
    CostPlusMargin(SEED_PRICES, 10 * UVE),
    CostPlusMargin(SEED_PRICES, 10 * UVE, floor=True),
    replace(HELM_SCALES, storage={"ephemeral": 1, "beta2": 2, "ram": 0}),
    MonthlyTargetScript(MonthlyTargets(gpu_mappings=(("a100.80Gi", "900"),))),
    MonthlyTargetScript(usd_per_coin="2.5"),
]


@pytest.mark.parametrize("strategy", BUILT_IN, ids=lambda s: type(s).__name__)
def test_every_built_in_strategy_keeps_the_contract(strategy: object) -> None:
    check_strategy(strategy)  # type: ignore[arg-type]
    answers = [strategy.price(request) for request in sample_requests()]  # type: ignore[attr-defined]
    assert any(isinstance(answer, int) for answer in answers)


@given(
    st.sampled_from(BUILT_IN[:2] + BUILT_IN[3:]),
    st.integers(0, 10**6),
    st.integers(0, 2**42),
    st.integers(0, 9),
)
def test_more_of_anything_is_never_cheaper(strategy: object, cpu: int, memory: int, gpu: int) -> None:
    less = request(ResourceUnit(cpu=cpu, memory=memory, gpu=gpu), ceiling="999999999999")
    for more in (
        ResourceUnit(cpu=cpu + 1_000, memory=memory, gpu=gpu),
        ResourceUnit(cpu=cpu, memory=memory + GIB, gpu=gpu),
        ResourceUnit(cpu=cpu, memory=memory, gpu=gpu + 1),
    ):
        low, high = (strategy.price(r) for r in (less, replace(less, resources=(more,))))  # type: ignore[attr-defined]
        if isinstance(low, int):
            assert isinstance(high, int) and high >= low


class Answers:
    """A strategy that always gives one answer; the base of the broken ones below."""

    answer: object = UVE

    def price(self, request: PriceRequest, /) -> object:
        return self.answer


class Dear(Answers):
    answer = 10**40


class Floating(Answers):
    answer = 1.5


class Truthy(Answers):
    answer = True


class Free(Answers):
    answer = 0


class Nothing(Answers):
    answer = None


class Failing(Answers):
    def price(self, request: PriceRequest, /) -> object:
        raise KeyError("gpu")


class Counting:
    def __init__(self) -> None:
        self.asked = 0

    def price(self, request: PriceRequest, /) -> object:
        self.asked += 1
        return min(self.asked, request.price_ceiling)


@dataclass
class Remembering:
    seen: list[str] = field(default_factory=list)

    def price(self, request: PriceRequest, /) -> object:
        self.seen.append(request.order)
        return 1


class Drawing:
    def price(self, request: PriceRequest, /) -> object:
        return min(1 + random.randrange(10**6), request.price_ceiling)


class Stirring:
    def price(self, request: PriceRequest, /) -> object:
        random.random()
        return 1


class Writing:
    def price(self, request: PriceRequest, /) -> object:
        object.__setattr__(request, "height", request.height + 1)
        return 1


class Unsendable:
    def __init__(self) -> None:
        self.rule = lambda request: 1

    def price(self, request: PriceRequest, /) -> object:
        return self.rule(request)


class Forgetful:
    def __init__(self) -> None:
        self.base = 2

    def __setstate__(self, state: object) -> None:
        self.base = 1

    def __getstate__(self) -> object:
        return {"base": 1}

    def price(self, request: PriceRequest, /) -> object:
        return min(self.base, request.price_ceiling)


class Batching:
    def price(self, request: PriceRequest, /) -> object:
        return 1

    def price_many(self, requests: tuple[PriceRequest, ...], /) -> list[int]:
        return [2] * len(requests)


class Lonely:
    def price(self, request: PriceRequest, /) -> object:
        return 1

    def price_many(self, requests: tuple[PriceRequest, ...], /) -> list[int]:
        return [1 for _ in requests] if requests[0] else []


class Priceless:
    pass


class Unbuildable:
    def __init__(self) -> None:
        raise RuntimeError("no")

    def price(self, request: PriceRequest, /) -> object:
        return 1


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        (Dear, "above the ceiling"),
        (Floating, "of type float, expected int"),
        (Truthy, "of type bool, expected int"),
        (Nothing, "of type NoneType"),
        (Free, "expected more than 0"),
        (Failing, "price raises KeyError"),
        (Counting, "asked before"),
        (Remembering, "changes the strategy itself"),
        (Drawing, "asked before or on a global"),
        (Stirring, "draws from a global random generator"),
        (Writing, "changes its request"),
        (Unsendable, "pickle"),
        (Forgetful, "went through pickle"),
        (Batching, "price_many of 32 requests answers differently"),
        (Lonely, "price_many of 0 requests raises IndexError"),
        (Priceless, "cannot be built"),
        (Unbuildable, "cannot be built: RuntimeError: no"),
    ],
)
def test_the_battery_finds_each_breach(broken: type, said: str) -> None:
    with pytest.raises(StrategyError) as caught:
        check_strategy(broken)
    assert said in str(caught.value)


def test_the_battery_leaves_the_global_generators_as_they_were() -> None:
    random.seed(11)
    expected = random.Random(11).random()
    check_strategy(CostPlusMargin(SEED_PRICES))
    assert random.random() == expected


def test_loading_by_name(tmp_path: Path) -> None:
    (tmp_path / "my_pricing_rules.py").write_text(
        "class Flat:\n"
        "    def __init__(self, price_atto=1):\n"
        "        self.price_atto = price_atto\n"
        "    def price(self, request):\n"
        "        return min(self.price_atto, request.price_ceiling)\n"
        "class Outer:\n"
        "    Inner = Flat\n"
        "nothing = 3\n"
    )
    (tmp_path / "my_broken_rules.py").write_text("1/0\n")
    flat = load_strategy("my_pricing_rules:Flat", {"price_atto": 5}, search=[tmp_path])
    assert flat.price(sample_requests()[4]) == 5
    check_strategy(lambda: load_strategy("my_pricing_rules:Outer.Inner"))
    for spec, options, said in (
        ("Flat", {}, "names no strategy, write module:Class"),
        ("a:b:c", {}, "names no strategy"),
        ("my_absent_rules:Flat", {}, "cannot be imported"),
        ("my_broken_rules:Flat", {}, "fails on import: ZeroDivisionError"),
        ("my_pricing_rules:Round", {}, "has no Round"),
        ("my_pricing_rules:Flat", {"colour": 1}, "cannot be built: TypeError"),
        ("my_pricing_rules:nothing", {}, "has no method price"),
    ):
        with pytest.raises(InputError, match=r"s\.yaml:3:5: strategy: ") as caught:
            load_strategy(spec, options, search=[tmp_path], where="s.yaml:3:5: strategy")
        assert said in str(caught.value), spec


# ---------------------------------------------------------------------- VirtEngine's daemon

SAMPLE = EnginePricing("2.5", "1.25", "0.5", "10", "1", "10")
ORDER = EngineOrder("compute", 4, 8, 100, 1)


@pytest.mark.parametrize(
    ("order", "pricing", "expected"),
    [
        (ORDER, SAMPLE, "88"),
        (ORDER, replace(SAMPLE, min_bid_price="100"), "100"),
        (EngineOrder("", 2, 2, 2, max_price="25"), EnginePricing("5", "5", "5", "", "1"), "price_too_high"),
        (EngineOrder("", 2, 2, 2, max_price="30"), EnginePricing("5", "5", "5", "", "1"), "30"),
        (ORDER, replace(SAMPLE, min_bid_price=""), "invalid_price"),
        (ORDER, replace(SAMPLE, min_bid_price="abc"), "invalid_price"),
        (ORDER, replace(SAMPLE, gpu_price_per_hour=""), "invalid_price"),
        (replace(ORDER, gpus=0), replace(SAMPLE, gpu_price_per_hour="-1"), "77"),
        (ORDER, replace(SAMPLE, cpu_price_per_core=""), "invalid_price"),
        (replace(ORDER, cpu_cores=0), replace(SAMPLE, cpu_price_per_core=""), "77"),
        (replace(ORDER, cpu_cores=0), replace(SAMPLE, cpu_price_per_core="1e3"), "invalid_price"),
        (ORDER, replace(SAMPLE, bid_markup_percent="-0.001"), "invalid_price"),
        (ORDER, replace(SAMPLE, bid_markup_percent="many"), "invalid_price"),
        (ORDER, replace(SAMPLE, bid_markup_percent="1e-19"), "invalid_price"),
        (ORDER, replace(SAMPLE, bid_markup_percent="1e2"), "160"),
        (ORDER, replace(SAMPLE, bid_markup_percent="0.000000000000000001"), "80"),
        (replace(ORDER, max_price="x"), SAMPLE, "invalid_price"),
        (replace(ORDER, max_price="0"), SAMPLE, "price_too_high"),
        (EngineOrder(""), EnginePricing(min_bid_price="0"), "invalid_price"),
        (EngineOrder("", 10**18), EnginePricing("9" * 70, min_bid_price="0"), "invalid_price"),
    ],
)
def test_daemon_formula(order: EngineOrder, pricing: EnginePricing, expected: str) -> None:
    assert shown(bid_price(order, pricing)) == expected


def test_markup_is_rounded_before_it_multiplies() -> None:
    pricing = EnginePricing("0.000000000000000003", min_bid_price="0", bid_markup_percent="50")
    assert bid_price(EngineOrder("", 1), pricing) == 4  # 4.5 to the even one
    assert bid_price(EngineOrder("", 3), pricing) == 14  # 13.5 to the even one


CAPACITY = EngineCapacity(128, 512, 10_240, 8, 4, 16, 100)
CONFIG = EngineConfig(("compute", "gpu"), ("us-west",), CAPACITY, SAMPLE)


@pytest.mark.parametrize(
    ("order", "said"),
    [
        (EngineOrder("compute", 124, 496, 10_140, 8, "us-west"), None),
        (EngineOrder("compute", 1), None),
        (EngineOrder("storage", 999, region="mars"), "offering"),
        (EngineOrder("compute", 999, region="mars"), "region"),
        (EngineOrder("compute", 125, 999), "cores"),
        (EngineOrder("compute", 1, 497, 99_999), "memory"),
        (EngineOrder("compute", 1, 1, 10_141, 99), "storage"),
        (EngineOrder("compute", 1, 1, 1, 9), "gpus"),
    ],
)
def test_daemon_filters_in_order(order: EngineOrder, said: str | None) -> None:
    refusal = matches(order, CONFIG)
    assert (refusal is None) == (said is None)
    assert refusal is None or said in refusal.reason  # type: ignore[operator]


def test_rate_limits_are_sliding_windows() -> None:
    limit = RateLimit(per_minute=2, per_hour=3)
    assert [limit.allow(at) for at in (0, 1_000, 59_999)] == [True, True, False]
    assert limit.allow(60_000)  # the first is exactly a minute old
    assert not limit.allow(61_000)  # the hour is full
    assert not limit.allow(3_599_999)
    assert limit.allow(3_600_000)


@given(st.lists(st.integers(0, 90_000), max_size=200), st.integers(1, 5), st.integers(1, 20))
def test_no_window_ever_holds_more_than_its_limit(gaps: list[int], minute: int, hour: int) -> None:
    limit, now, taken = RateLimit(minute, hour), 0, []
    for gap in gaps:
        now += gap
        room = sum(now - at < 60_000 for at in taken) < minute and sum(now - at < 3_600_000 for at in taken) < hour
        assert limit.allow(now) == room
        if room:
            taken.append(now)
