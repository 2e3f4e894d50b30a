"""`marketsim price`: the training document's formula and filters, exact and line by line."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pricing_twins import CostPlusMargin

from marketsim.cli import main
from marketsim.money.units import ATTO
from marketsim.strategies.exact import EngineRules, Request, check_filters, price_breakdown
from marketsim.strategies.rules import Refusal, UnitPrices

ROOT = Path(__file__).parents[2]
TRAINING = str(ROOT / "scenarios" / "providers" / "training.yaml")
SDL = ROOT / "scenarios" / "sdl"
EXAMPLE = ["--cpu", "1000m", "--memory", "2048Mi", "--storage", "10Gi"]

Shell = pytest.CaptureFixture[str]


def run(shell: Shell, *arguments: str) -> tuple[int, str, str]:
    code = main(["price", *arguments])
    out, err = shell.readouterr()
    return code, out, err


def quote(shell: Shell, *arguments: str) -> tuple[int, dict[str, Any]]:
    code, out, err = run(shell, *arguments, "--json")
    assert err == ""
    found: dict[str, Any] = json.loads(out)
    return code, found


def test_the_documents_example(capsys: Shell) -> None:
    code, out, err = run(capsys, TRAINING, *EXAMPLE)
    assert code == 0 and err == ""
    assert "cpu       1000 millicores × 0.000001   uve =     0.001 uve" in out
    assert "memory    2048 MB         × 0.0000001  uve = 0.0002048 uve" in out
    assert "storage  10240 MB         × 0.00000001 uve = 0.0001024 uve" in out
    assert "base cost = 0.0013072 uve/block\n" in out
    assert "bid = 0.0013072 × (1 + 10 %) = 0.00143792 uve/block\n" in out
    assert "as the training document prints them: 0.001307 and 0.001437\n" in out
    assert "0.00000000143792 VE/block" in out
    assert "618.17474928 uve = 0.00061817474928 VE a month (429,909 blocks)" in out
    assert out.count("not checked") == 2 and "(give --price-max)" in out
    assert out.endswith("The engine bids 0.00143792 uve/block.\n")


def test_the_documents_example_as_json(capsys: Shell) -> None:
    code, found = quote(capsys, TRAINING, *EXAMPLE, "--region", "us-east-1", "--price-max", "0.01uve")
    (order,) = found["orders"]
    assert code == 0 and found["bids"] is True
    assert (order["base"], order["bid"], order["bid_exact"]) == ("0.0013072", "0.00143792", True)
    assert order["bid_ve"] == "0.00000000143792"
    assert Fraction(order["per_month_uve"]) == Fraction("0.00143792") * 429_909
    assert [result["state"] for result in order["filters"]] == ["passes"] * 8
    assert [result["name"] for result in order["filters"]] == [
        "enabled",
        "allowed_regions",
        "excluded_attributes",
        "max_cpu",
        "max_memory",
        "max_storage",
        "min_order_value",
        "price_ceiling",
    ]


def test_exercise_1_of_the_document(capsys: Shell, tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(
        "bid_engine:\n  min_profit_margin: 15\n"
        "  pricing: {cpu_millicores: 0.000002uve, memory_mb: 0.0000002uve}\n"
        "filters: {max_cpu: 32000}\n"
    )
    code, found = quote(capsys, str(path), *EXAMPLE)
    assert code == 0 and found["orders"][0]["bid"] == "0.0028888"
    code, found = quote(capsys, str(path), "--cpu", "33", "--memory", "1Gi", "--storage", "1Gi")
    assert code == 1 and found["orders"][0]["refused_by"] == "max_cpu"


@pytest.mark.parametrize(
    ("arguments", "name", "code"),
    [
        (["--cpu", "65", "--memory", "2048Mi", "--storage", "10Gi"], "max_cpu", "insufficient_resources"),
        (["--cpu", "65000m", "--memory", "2048Mi", "--storage", "10Gi"], "max_cpu", "insufficient_resources"),
        (["--cpu", "1", "--memory", "257Gi", "--storage", "10Gi"], "max_memory", "insufficient_resources"),
        (["--cpu", "1", "--memory", "1Gi", "--storage", "11Ti"], "max_storage", "insufficient_resources"),
        ([*EXAMPLE, "--region", "ap-south-1"], "allowed_regions", "invalid_attributes"),
        ([*EXAMPLE, "--attribute", "region=ap-south-1"], "allowed_regions", "invalid_attributes"),
        (
            [*EXAMPLE, "--gpu", "1", "--attribute", "gpu-type=nvidia-a100"],
            "excluded_attributes",
            "invalid_attributes",
        ),
        ([*EXAMPLE, "--price-max", "0.00143791uve"], "price_ceiling", "price_too_high"),
        ([*EXAMPLE, "--price-max", "0.0000006uve"], "min_order_value", "below_min_order_value"),
    ],
)
def test_the_filter_that_refuses_is_named(capsys: Shell, arguments: list[str], name: str, code: str) -> None:
    status, found = quote(capsys, TRAINING, *arguments)
    assert status == 1 and found["bids"] is False
    assert (found["orders"][0]["refused_by"], found["orders"][0]["code"]) == (name, code)
    status, out, _ = run(capsys, TRAINING, *arguments)
    assert status == 1 and out.endswith(f"The engine does not bid: {name} refuses ({code}).\n")


def test_edges_of_the_filters_are_inclusive(capsys: Shell) -> None:
    edge = ["--cpu", "64", "--memory", "256Gi", "--storage", "10Ti"]
    assert quote(capsys, TRAINING, *edge)[0] == 0
    assert quote(capsys, TRAINING, *EXAMPLE, "--price-max", "0.00143792uve")[0] == 0
    # D14: the ceiling × 14,400 blocks is compared with 0.01: 0.01 ÷ 14,400 itself is not a finite decimal
    assert quote(capsys, TRAINING, *EXAMPLE, "--price-max", "0.0015uve")[0] == 0


def test_a_manifest_gives_its_own_ceiling_and_gpu_type(capsys: Shell) -> None:
    status, found = quote(capsys, TRAINING, str(SDL / "gpu-training.yaml"))
    (order,) = found["orders"]
    states = {result["name"]: result["state"] for result in order["filters"]}
    assert status == 1 and order["refused_by"] == "excluded_attributes"
    assert (states["max_memory"], states["price_ceiling"]) == ("refuses", "passes")
    status, found = quote(capsys, TRAINING, str(SDL / "multi-placement.yaml"))
    assert status == 0 and [order["order"] for order in found["orders"]] == ["east", "west"]
    assert [order["region"] for order in found["orders"]] == ["us-east-1", "eu-west-1"]
    assert quote(capsys, TRAINING, str(SDL / "web.yaml"), "--price-max", "0.000001uve")[0] == 1


def test_a_switched_off_engine_says_so_and_quiet_says_nothing(capsys: Shell, tmp_path: Path) -> None:
    path = tmp_path / "off.yaml"
    path.write_text("bid_engine: {enabled: false}\n")
    assert quote(capsys, str(path), *EXAMPLE)[1]["orders"][0]["code"] == "engine_disabled"
    assert run(capsys, str(path), *EXAMPLE, "--quiet") == (1, "", "")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "--cpu, --memory, --storage: missing"),
        (["--cpu", "x", "--memory", "2Zi", "--storage", "1Gi"], "--cpu: 'x' is not a number"),
        (["--cpu", "x", "--memory", "2Zi", "--storage", "1Gi"], "--memory: '2Zi' has the unknown unit"),
        ([*EXAMPLE, "--price-max", "3"], "--price-max: '3' has no unit"),
        ([*EXAMPLE, "--attribute", "gpu"], "--attribute: 'gpu' is not an attribute"),
        ([str(SDL / "web.yaml"), "--cpu", "1"], "stands beside --cpu"),
        (["nothing.yaml"], "nothing.yaml: does not exist"),
        ([*EXAMPLE, "--gpu", "-1"], "--gpu"),
    ],
)
def test_options_that_make_no_sense(capsys: Shell, arguments: list[str], words: str) -> None:
    status, out, err = run(capsys, TRAINING, *arguments)
    assert status == 2 and out == "" and words in err


def rules(**changes: Any) -> EngineRules:
    return EngineRules(True, 10**12, 10**11, 10**10, 10**15, 100_000, None, None, None, None, None, ())._replace(**changes)


@given(
    st.integers(0, 10**6), st.integers(0, 2**45), st.integers(0, 2**50), st.integers(0, 99),
    st.integers(0, 10**20), st.integers(0, 3_000_000),
)  # fmt: skip
def test_the_price_is_the_exact_sum_rounded_once(cpu: int, memory: int, storage: int, gpu: int, unit_price: int, margin: int) -> None:
    made = rules(cpu_price=unit_price, memory_price=unit_price // 3, margin_ppm=margin)
    request = Request(cpu, memory, storage, gpu)
    breakdown = price_breakdown(made, request)
    base = cpu * unit_price + -(-memory // 2**20) * (unit_price // 3) + -(-storage // 2**20) * 10**10 + gpu * 10**15
    exact = Fraction(base) * (1 + Fraction(margin, 10**6))
    assert breakdown.base == base == sum(line.amount for line in breakdown.lines)
    assert breakdown.bid == round(exact)  # Python rounds fractions half to even
    assert breakdown.exact == (exact.denominator == 1)
    prices = UnitPrices(unit_price, unit_price // 3, 10**10, 10**15)
    strategy = CostPlusMargin(prices, margin_percent=margin * 10**14)
    answer = strategy.price(request.as_priced(price_ceiling=2**200))
    assert answer == breakdown.bid if breakdown.bid else isinstance(answer, Refusal)


def test_a_rounded_bid_says_so(capsys: Shell, tmp_path: Path) -> None:
    path = tmp_path / "odd.yaml"
    path.write_text(
        "bid_engine:\n  min_profit_margin: 0.5\n  pricing: {cpu_millicores: 0.000000000000000001uve, memory_mb: 0, storage_mb: 0, gpu: 0}\n"
    )
    _, out, _ = run(capsys, str(path), "--cpu", "100m", "--memory", "1Mi", "--storage", "1Mi")
    assert "0.0000000000000001 uve/block (rounded half to even at 18 decimals)" in out


def test_the_first_refusal_follows_the_engines_order() -> None:
    made = rules(enabled=False, max_cpu=1, allowed_regions=("a",), excluded_attributes=("k=v",), min_order_value=ATTO)
    request = Request(5, 1, 1, 0, "b", {"k": {"v"}})
    results = check_filters(made, request, ATTO, 0)
    refused = [result.name for result in results if result.passed is False]
    assert refused == [
        "enabled",
        "allowed_regions",
        "excluded_attributes",
        "max_cpu",
        "min_order_value",
        "price_ceiling",
    ]
