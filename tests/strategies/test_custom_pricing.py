"""Users' strategies in a run: the same prices give the same run, whoever computes them; wrong answers are named."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from marketsim import cli, interrupts
from marketsim.errors import InputError
from marketsim.money.units import ATTO, GIB
from marketsim.scenario.load import load_scenario
from marketsim.simulation.run import Run, run
from marketsim.strategies.check import check_strategy, sample_requests
from marketsim.strategies.repriced_cost import RepricedCostPlus, RepricedCostPlusColumns
from marketsim.strategies.requests import NO_BID, OrderRequest, Prices, RequestBatch
from marketsim.strategies.rules import PriceRequest, Refusal, ResourceUnit, UnitPrices, Volume

PAGE = Path(__file__).parents[2] / "docs" / "strategies.md"

PROVIDER = """
bid_engine:
  enabled: true
  min_profit_margin: {margin}
  max_concurrent_bids: 20
  pricing: {{cpu_millicores: 0.001uve, memory_mb: {memory}uve, storage_mb: 0.00003uve, gpu: 200uve}}
  filters: {{max_cpu: 6000}}
"""

SDL = """
version: "2.0"
services:
  web:
    image: web
    expose: [{port: 80, as: 80, to: [{global: true}]}]
  store:
    image: store
    expose: [{port: 81, as: 81, to: [{global: true}]}]
profiles:
  compute:
    web: {resources: {cpu: {units: 1.5}, memory: {size: 512Mi}, storage: {size: 1Gi}}}
    store: {resources: {cpu: {units: 0.5}, memory: {size: 4Gi}, storage: {size: 50Gi}}}
  placement:
    here: {pricing: {web: {denom: uve, amount: 20}}}
    there: {pricing: {store: {denom: uve, amount: 40}}}
deployment:
  web: {here: {profile: web, count: 2}}
  store: {there: {profile: store, count: 1}}
"""

SCENARIO = """
name: custom
horizon: {horizon}
{more}
tenants:
  - name: web
    count: 5
    wallet: 100000VE
    demand: {{orders: {orders}}}
    order: {order}
    {ceiling}
    deposit: {{blocks: 9000}}
    duration: {{exponential: {{mean: 8h}}}}
    restart: {{probability: 0.8, delay: 5m}}
    {react}
providers:
  - name: small
    count: 2
    config: small.yaml
    spread: 0.2
    strategy: {strategy}
    leave: {{mean: 5h}}
    capacity: {{cpu: 9000, memory: 32Gi, storage: 1Ti}}
  - name: large
    config: large.yaml
    strategy: {strategy}
    leave: {{mean: 5h}}
    capacity: {{cpu: 16000, memory: 64Gi, storage: 2Ti}}
"""

ENGINE = '''
from marketsim.money.units import ATTO
from pricing_twins import CostPlusMargin

class Engine:
    """The file's prices and margin, rounded as the compiled engine rounds."""
    def __init__(self):
        self.rule = None
    def observe(self, own):
        self.rule = CostPlusMargin(own.prices, own.margin_ppm * (ATTO // 10_000))
    def price(self, request):
        return self.rule.price(request)

class Batches(Engine):
    def price_many(self, requests):
        return [self.price(request) for request in requests]
'''


@pytest.fixture
def folder(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """A folder with provider files; modules written into it are forgotten afterwards."""
    (tmp_path / "small.yaml").write_text(PROVIDER.format(margin=7.5, memory="0.0007"))
    (tmp_path / "large.yaml").write_text(PROVIDER.format(margin=12, memory="0.0005"))
    (tmp_path / "two.yaml").write_text(SDL)
    known = set(sys.modules)
    request.addfinalizer(lambda: [sys.modules.pop(name) for name in set(sys.modules) - known if name[:5] == "user_"])
    return tmp_path


def play(folder: Path, strategy: str, **changes: Any) -> Run:
    values: dict[str, Any] = {
        "horizon": "3d",
        "orders": 60,
        "order": "{cpu: {choice: {values: [500, 2000, 4000, 8000]}}, memory: 1Gi, storage: {uniform: [1Gi, 9Gi]}}",
        "ceiling": "ceiling: {uniform: [2uve, 9uve]}",
        "react": "",
        "more": "",
    }
    path = folder / "scenario.yaml"
    path.write_text(SCENARIO.format(strategy=strategy, **(values | changes)))
    return run(load_scenario(path))


def module(folder: Path, name: str, body: str) -> str:
    (folder / f"user_{name}.py").write_text(body)
    last = re.findall(r"class (\w+)", body)[-1]
    return f"{{python: 'user_{name}:{last}'}}"


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({}, id="by the day, with relisted orders"),
        pytest.param({"react": "react: {retry: 3, raise_ceiling: 1.3}"}, id="reacting, with repeated orders"),
        pytest.param({"more": "initial: 0.5"}, id="with orders in the first block"),
        pytest.param({"order": "{sdl: two.yaml}", "ceiling": ""}, id="groups of a manifest"),
        pytest.param({"more": "rules: akash"}, id="under another rule set"),
    ],
)
def test_a_class_with_the_engines_prices_gives_the_engines_run(folder: Path, changes: dict[str, str]) -> None:
    module(folder, "same", ENGINE)
    built_in = play(folder, "cost_plus", **changes)
    for name in ("Engine", "Batches"):
        custom = play(folder, f"{{python: 'user_same:{name}'}}", **changes)
        assert custom.summary["fingerprint"] == built_in.summary["fingerprint"]
        assert custom.summary["bids"] == built_in.summary["bids"]
        assert custom.summary["orders"] == built_in.summary["orders"]
    assert built_in.summary["orders"]["leased"] > 5
    assert built_in.summary["bids"]["won"] < built_in.summary["bids"]["accepted"]
    if not changes:
        assert built_in.summary["orders"]["relisted"] > 5


SCRIPT = """#!/bin/sh
cpu=$(sed 's/.*"cpu":\\([0-9]*\\).*/\\1/')
[ "$cpu" -gt 1000 ] || exit 1
printf '%d.%03d\\n' $((cpu / 1000)) $((cpu % 1000))
"""


def test_a_script_prices_as_a_class_does_and_exit_1_is_no_bid(folder: Path) -> None:
    (folder / "price.sh").write_text(SCRIPT)
    (folder / "price.sh").chmod(0o755)
    same = module(
        folder,
        "cores",
        "class Cores:\n    def price(self, request):\n"
        "        return request.total_cpu() * 10**15 if request.total_cpu() > 1000 else None\n",
    )
    script = play(folder, "{script: ./price.sh}", orders=12)
    python = play(folder, same, orders=12)
    for column in ("order", "provider", "created_at", "closed_at", "price_whole", "price_atto", "withdrawn"):
        assert (script.record.leases[column] == python.record.leases[column]).all()
    assert script.summary["fingerprint"] != python.summary["fingerprint"], "reasons of declines are in it"
    refused = script.summary["bids"]["declined"]["script_failed"]
    assert refused > 0 and "script_failed" not in python.summary["bids"]["declined"]
    too_high = python.summary["bids"]["declined"]["price_too_high"]
    assert too_high == refused + script.summary["bids"]["declined"]["price_too_high"]
    leases = script.record.leases
    cpu = script.record.orders["cpu"][leases["order"]]
    assert len(cpu) > 2 and (cpu > 1000).all()
    prices = leases["price_whole"] * 1000 + leases["price_atto"] // 10**15
    assert prices.tolist() == cpu.tolist()


def test_without_a_bid_from_anybody_nothing_is_leased(folder: Path) -> None:
    strategy = module(folder, "none", "class Nothing:\n    def price(self, request):\n        return None\n")
    summary = play(folder, strategy).summary
    assert summary["orders"]["leased"] == summary["bids"]["submitted"] == 0
    assert summary["orders"]["timed_out"] == summary["orders"]["created"] == 60
    assert summary["bids"]["declined"]["price_too_high"] > 0


def test_every_day_is_told_once_with_the_providers_own_figures_even_when_no_order_arrives(folder: Path) -> None:
    strategy = module(
        folder,
        "told",
        "TOLD = []\n\nclass Told:\n"
        "    def observe(self, own):\n        TOLD.append(own)\n"
        "    def price(self, request):\n        return 2 * 10**18\n",
    )
    size = "{cpu: 2000, memory: 1Gi, storage: 1Gi}"
    result = play(folder, strategy, orders=1, horizon="4d", order=size, ceiling="ceiling: 3uve")
    told = sys.modules["user_told"].TOLD
    mine = [own for own in told if own.provider == "large-0"]
    assert [own.height for own in mine] == [0, 14_399, 28_799, 43_199, 57_599]
    assert {own.provider for own in told} == {"small-0", "small-1", "large-0"}
    first = mine[0]
    assert first.capacity == (16_000, 64 * GIB, 2048 * GIB, 0)
    assert first.leased == (0, 0, 0, 0) and first.margin_ppm == 120_000
    assert first.prices == UnitPrices(10**15, 5 * 10**14, 3 * 10**13, 200 * ATTO)
    won = result.record.leases
    assert len(won["order"]) >= 1
    begun, ended = int(won["created_at"][0]), int(won["closed_at"][0])
    name = result.record.providers["name"][int(won["provider"][0])]
    for own in told:
        if own.provider == name and own.height < begun:
            assert own.utilization == 0
        if own.provider == name and begun <= own.height < ended:
            assert own.leased.cpu == result.record.orders["cpu"][0]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("raise ValueError('no such coin')", r"order web-\d+/\d+/1/1: price of (small|large)-\d raises ValueError: no such coin"),
        ("return 1.5", r"order web-\d+/\d+/1/1: small-0 answers 1.5 of type float, expected an int above 0"),
        ("return True", "answers True of type bool"),
        ("return 0", "answers 0 of type int"),
        ("return -10**18", "of type int, expected an int above 0"),
        ("return '2uve'", "answers '2uve' of type str"),
    ],
)
def test_what_is_no_price_ends_the_run_by_name(folder: Path, body: str, message: str) -> None:
    strategy = module(folder, "wrong", f"class Wrong:\n    def price(self, request):\n        {body}\n")
    with pytest.raises(InputError, match=message) as raised:
        play(folder, strategy)
    assert str(raised.value).startswith("providers.small.strategy.python: user_wrong:Wrong: ")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("return [10**18] * (len(requests) + 1)", r"price_many of \d+ orders returns \d+ answers, expected"),
        ("return None", "returns NoneType, expected"),
        ("return [0.5] * len(requests)", "answers 0.5 of type float"),
        ("1 // 0", r"order web-.*: price_many of small-0 raises ZeroDivisionError: .*user_wrong.py:7\)"),
        ("return Prices(requests.cpu, requests.cpu.astype(float))", "raises ValueError: Prices: atto is float64"),
        ("return Prices(requests.cpu, 0 * requests.cpu - 1)", "order web-.*: price_many returns"),
        ("return Prices(requests.cpu[1:], requests.cpu[1:])", r"price_many of \d+ orders returns \d+ prices"),
    ],
)
def test_batches_that_are_no_prices_are_named(folder: Path, body: str, message: str) -> None:
    strategy = module(
        folder,
        "wrong",
        "from marketsim.strategies.requests import Prices\n\nclass Wrong:\n    def price(self, request):\n"
        f"        return None\n    def price_many(self, requests):\n        {body}\n",
    )
    with pytest.raises(InputError, match=message):
        play(folder, strategy)


def test_what_cannot_be_loaded_or_told_is_named(folder: Path) -> None:
    with pytest.raises(InputError, match=r"providers\.small\.strategy\.python: module user_absent cannot be imported"):
        play(folder, "{python: 'user_absent:Any'}")
    strategy = module(folder, "needs", "class Needs:\n    def __init__(self, margin):\n        pass\n")
    with pytest.raises(InputError, match="user_needs:Needs cannot be built"):
        play(folder, strategy)
    strategy = module(
        folder,
        "deaf",
        "class Deaf:\n    def price(self, request):\n        return None\n"
        "    def observe(self, own):\n        raise KeyError(own.provider)\n",
    )
    with pytest.raises(InputError, match="observe of small-0 after block 0 raises KeyError"):
        play(folder, strategy)


QUIET = """
import sys

def fail():
    {failure}

class Quiet:
    def __init__(self):
        {built}
    def price(self, request):
        {priced}
    def observe(self, own):
        {told}
"""


@pytest.mark.parametrize("where", ["imported", "built", "priced", "told", "batched", "shown", "sized"])
@pytest.mark.parametrize(
    ("failure", "said"),
    [
        ("sys.exit(0)", "SystemExit: 0"),
        ("raise GeneratorExit", "GeneratorExit"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt"),
        ("raise type('Own', (BaseException,), {})('gone')", "Own: gone"),
        ("raise type('Mute', (Exception,), {'__str__': lambda self: 1 / 0})", "Mute"),
        ("raise ValueError('x' * 10**6)", "ValueError: x{199}…"),
    ],
)
def test_users_code_cannot_end_a_run_as_if_all_were_well(
    folder: Path, where: str, failure: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(interrupts._STATE, "has_taken_over", True)  # as in a command: a Ctrl-C would be known
    bodies = {"built": "pass", "priced": "return None", "told": "pass"}
    body = QUIET.format(failure=failure, **(bodies | {where: "fail()"} if where in bodies else bodies))
    match where:
        case "imported":
            body += "fail()\n"
        case "batched":
            body += "    def price_many(self, requests):\n        fail()\n"
        case "shown":
            body += "class Odd:\n    def __repr__(self):\n        fail()\n\n"
            body += "class Shows(Quiet):\n    def price(self, request):\n        return Odd()\n"
            said = "(something|<Odd instance at 0x.*>) of type Odd"
        case "sized":
            body += "class Odd(list):\n    def __len__(self):\n        fail()\n\n"
            body += "class Sizes(Quiet):\n    def price_many(self, requests):\n        return Odd()\n"
    with pytest.raises(InputError, match=said) as raised:
        play(folder, module(folder, "quiet", body))
    assert len(str(raised.value)) < 500


@pytest.mark.parametrize("answer", ["'x' * 10**6", "-(10**5000)", "[0] * 10**6", "b'x' * 10**6", "dict.fromkeys(range(10**5))"])
def test_large_answers_are_shown_in_short(folder: Path, answer: str) -> None:
    strategy = module(folder, "large", f"class Large:\n    def price(self, request):\n        return {answer}\n")
    with pytest.raises(InputError, match="of type") as raised:
        play(folder, strategy)
    assert len(str(raised.value)) < 500


def test_a_price_of_five_thousand_digits_is_above_every_ceiling(folder: Path) -> None:
    strategy = module(folder, "dear", "class Dear:\n    def price(self, request):\n        return 10**5000\n")
    assert play(folder, strategy).summary["leases"]["created"] == 0


def test_answers_without_end_are_read_as_far_as_was_asked(folder: Path) -> None:
    endless = "class Endless(list):\n    def __iter__(self):\n        while True:\n            yield 10**15\n\n"
    endless += "class Many:\n    def price(self, request):\n        return 10**15\n"
    endless += "    def price_many(self, requests):\n        return Endless([0] * len(requests))\n"
    assert play(folder, module(folder, "endless", endless)).summary["leases"]["created"] > 0


def test_a_strategy_that_leaves_ends_the_command_with_2(folder: Path) -> None:
    strategy = module(folder, "leaves", "import sys\n\nclass Leaves:\n    def price(self, request):\n        sys.exit(0)\n")
    with pytest.raises(InputError):
        play(folder, strategy)
    command = [sys.executable, "-m", "marketsim", "run", str(folder / "scenario.yaml"), "--no-figures", "--out", str(folder / "out")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and re.search(r"raises SystemExit: 0 \(.*user_leaves.py:5\), expected a price", done.stderr)
    assert not (folder / "out").exists()


def test_a_users_mistake_is_bad_input_on_the_command_line(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    strategy = module(folder, "wrong", "class Wrong:\n    def price(self, request):\n        return request.ceiling\n")
    with pytest.raises(InputError):
        play(folder, strategy)
    arguments = ["run", str(folder / "scenario.yaml"), "--no-figures", "--quiet", "--out", str(folder / "out")]
    assert cli.main(arguments) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "user_wrong:Wrong: order web-" in line and "AttributeError" in line
    assert not (folder / "out").exists()


def test_the_example_classes_keep_the_contract() -> None:
    check_strategy(lambda: told(RepricedCostPlus()))
    check_strategy(RepricedCostPlus)  # also before it knows its prices
    check_strategy(RepricedCostPlusColumns)


def told(strategy: RepricedCostPlus) -> RepricedCostPlus:
    from marketsim.strategies.requests import OwnDesk, Sizes

    prices = UnitPrices(10**15 + 7, 10**13 + 1, 10**12 + 3, 12 * ATTO + 11)
    own = OwnDesk("mine", 0, Sizes(1000, 0, 0, 0), Sizes(900, 0, 0, 0), prices, 123_456)
    for height in (0, 14_399):
        strategy.observe(OwnDesk("mine", height, own.capacity, own.leased, prices, own.margin_ppm))
    assert strategy.multiplier_ppm == 1_050_000
    return strategy


def test_columns_are_the_requests_totals_and_requests_are_values(folder: Path) -> None:
    from dataclasses import FrozenInstanceError, replace
    from fractions import Fraction
    from pickle import dumps, loads

    requests = sample_requests()
    batch = RequestBatch.of(requests)
    assert batch.cpu.tolist() == [r.total_cpu() for r in requests]
    assert batch.memory.tolist() == [r.total_memory() for r in requests]
    assert batch.storage.tolist() == [r.total_storage() for r in requests]
    assert batch.gpu.tolist() == [r.total_gpu() for r in requests]
    ceilings = [int(w) * ATTO + int(a) for w, a in zip(batch.ceiling_whole, batch.ceiling_atto, strict=True)]
    assert ceilings == [r.price_ceiling for r in requests]
    assert list(batch) == list(requests) == batch[:] and batch[-1] == requests[-1]
    assert len(RequestBatch.of([])) == len(RequestBatch.of([]).cpu) == 0

    unit = ResourceUnit(cpu=1500, memory=GIB, volumes=(Volume(3 * GIB),), count=2)
    order = OrderRequest((unit,), 5 * ATTO, order="a/1/1/1", cpu=3000, memory=2 * GIB, storage=6 * GIB)
    request = order.for_desk("mine", Fraction(1, 3))
    plain = PriceRequest((unit,), 5 * ATTO, order="a/1/1/1", provider="mine", utilization=Fraction(1, 3))
    assert replace(request) == plain == loads(dumps(request))
    assert replace(request, price_ceiling=1).price_ceiling == 1
    assert request == order.for_desk("mine", Fraction(1, 3)) and hash(request) == hash(plain)
    assert request.total_cpu() == plain.total_cpu() and request.total_storage() == plain.total_storage()
    with pytest.raises(FrozenInstanceError):
        request.price_ceiling = 1  # type: ignore[misc]

    whole, atto = np.array([1, 4, 5, 5, 0]), np.array([0, 7, 0, 1, 0])
    prices = Prices.within_ceilings(RequestBatch.of([plain] * 5), whole, atto)
    assert prices.whole.tolist() == [1, 4, 5, NO_BID, NO_BID]
    assert prices[1] == 4 * ATTO + 7 and isinstance(prices[3], Refusal)


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(), re.DOTALL)


def test_the_pages_examples_run(folder: Path) -> None:
    python, shell, scenario = blocks("python"), blocks("sh"), blocks("yaml")
    assert "module" not in python[0] and "strategy: {python: my_prices:NightOwl}" in scenario[0]
    strategy = module(folder, "page", python[0])
    exec(compile(python[1], str(PAGE), "exec"), {})
    result = play(folder, strategy)
    leases, orders = result.record.leases, result.record.orders
    assert len(leases["order"]) > 5
    assert (orders["gpu"][leases["order"]] == 0).all()

    (folder / "price.sh").write_text(shell[0])
    (folder / "price.sh").chmod(0o755)
    priced = play(folder, "{script: ./price.sh}", orders=6).record
    cpu = priced.orders["cpu"][priced.leases["order"]]
    prices = priced.leases["price_whole"] * 1000 + priced.leases["price_atto"] // 10**15
    assert len(cpu) and prices.tolist() == (2 * cpu).tolist() and (cpu <= 4000).all()
