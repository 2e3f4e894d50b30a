"""Literals of scenario files: exact in, exact out, refused with both halves of the sentence."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from marketsim.money.units import ATTO
from marketsim.scenario.literals import (
    MONEY_MAX,
    Duration,
    format_money,
    parse_block_time,
    parse_coins,
    parse_cores,
    parse_duration,
    parse_millicores,
    parse_money,
    parse_rate,
    parse_size,
)


@pytest.mark.parametrize(
    ("text", "atto"),
    [
        ("0.000001uve", 10**12),
        ("0.00000001uve", 10**10),
        ("0.5VE", 500_000 * ATTO),
        ("1VE", 10**24),
        ("5000VE", 5_000_000_000 * ATTO),
        ("1_000uve", 1000 * ATTO),
        ("+3 uve", 3 * ATTO),
        (".5uve", ATTO // 2),
        ("0.000000000000000001uve", 1),
        ("0.000000000000000000000001VE", 1),
        ("1.50000000000000000000000uve", 3 * ATTO // 2),
        ("9000000000000000000uve", MONEY_MAX),
        (0, 0),
        ("0", 0),
        ("-0uve", 0),
    ],
)
def test_money(text: object, atto: int) -> None:
    assert parse_money(text) == atto


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("0.0000000000000000001uve", "19 decimals"),
        ("0.0000000000000000000000001VE", "25 decimals"),
        ("-0.1uve", "negative"),
        (-3, "negative"),
        (5, "no unit"),
        (Decimal("0.5"), "no unit"),
        ("5", "no unit"),
        ("5usd", "unknown unit 'usd'"),
        ("5UVE", "unknown unit 'UVE'"),
        ("1e-6uve", "not an amount"),
        ("uve", "not an amount"),
        ("", "not an amount"),
        (None, "not an amount"),
        (True, "not an amount"),
        ([1], "a list is not an amount"),
        ("9000000000000000000.000000000000000001uve", "too large"),
        ("9" * 5000 + "uve", "not an amount"),
    ],
)
def test_money_refused(value: object, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        parse_money(value)


@given(st.integers(min_value=0, max_value=MONEY_MAX))
def test_money_prints_round(atto: int) -> None:
    assert parse_money(format_money(atto)) == atto


@given(st.integers(0, 10**12), st.integers(0, 10**18 - 1))
def test_money_agrees_with_exact_decimals(whole: int, fraction: int) -> None:
    text = f"{whole}.{fraction:018d}"
    assert parse_money(text + "uve") == Fraction(text) * ATTO
    assert parse_money(text + "VE") == Fraction(text) * ATTO * 10**6


def test_wallets_hold_whole_uve() -> None:
    assert parse_coins("0.5VE") == 500_000 * ATTO
    with pytest.raises(ValueError, match="not a whole number of uve"):
        parse_coins("0.5uve")


@pytest.mark.parametrize(
    ("text", "duration"),
    [
        ("90s", Duration(90_000)),
        ("5m", Duration(300_000)),
        ("24h", Duration(86_400_000)),
        ("1d", Duration(86_400_000)),
        ("6117ms", Duration(6_117)),
        ("1.5s", Duration(1_500)),
        ("1h30m", Duration(5_400_000)),
        ("100 blocks", Duration(100, in_blocks=True)),
        ("1 block", Duration(1, in_blocks=True)),
        (0, Duration(0)),
        ("0", Duration(0)),
    ],
)
def test_durations(text: object, duration: Duration) -> None:
    assert parse_duration(text) == duration


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("6 parsecs", "unknown unit 'parsecs'"),
        ("3", "not a duration"),
        (90, "no unit"),
        ("-5m", "negative"),
        ("1.5 blocks", "whole number of blocks"),
        ("0.1ms", "whole number of milliseconds"),
        ("200000d", "longer than"),
        ("soon", "not a duration"),
        ("", "not a duration"),
        (None, "not a duration"),
        (True, "not a duration"),
        ({}, "a mapping is not a duration"),
    ],
)
def test_durations_refused(value: object, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        parse_duration(value)


@given(st.integers(0, 10**11), st.booleans())
def test_durations_print_round(amount: int, in_blocks: bool) -> None:
    duration = Duration(amount // 1000 if in_blocks else amount, in_blocks)
    assert parse_duration(str(duration)) == duration


def test_durations_convert_at_the_block_time() -> None:
    assert Duration(100, in_blocks=True).milliseconds(6_117) == 611_700
    assert Duration(86_400_000).blocks(6_000) == 14_400
    assert Duration(6_001).blocks(6_000) == 2
    with pytest.raises(ValueError, match="counted in blocks"):
        parse_block_time("1 block")
    with pytest.raises(ValueError, match="must be longer than 0"):
        parse_block_time("0s")


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("512Mi", 512 * 2**20),
        ("10Gi", 10 * 2**30),
        ("10G", 10 * 10**9),
        ("1k", 1000),
        ("1Ki", 1024),
        ("0.5Gi", 2**29),
        ("1.0001k", 1000),
        (4096, 4096),
        ("2GiB", 2 * 2**30),
    ],
)
def test_sizes(text: object, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("value", ["-1Gi", "10Zi", "10K", "many", "", None, True, -5, "9999999E", 10**100, "5Eib", []])
def test_sizes_refused(value: object) -> None:
    with pytest.raises(ValueError, match=r"not a size|unknown unit|negative|too large"):
        parse_size(value)


def test_cores_of_an_sdl_and_millicores_of_a_scenario() -> None:
    assert parse_cores("500m") == parse_cores(0.5) == parse_cores(Decimal("0.5")) == 500
    assert parse_cores("4") == parse_cores(4) == 4_000
    assert parse_millicores(4000) == parse_millicores("4000m") == 4_000
    for wrong in ("x", "-1", True, "1.5m"):
        with pytest.raises(ValueError, match="write cores"):
            parse_cores(wrong)
    with pytest.raises(ValueError, match="not a whole number"):
        parse_millicores("0.5")


def test_rates() -> None:
    assert parse_rate("12/h").per_millisecond == 12 / 3_600_000
    assert str(parse_rate("0.50/m")) == "0.5/m"
    for wrong in ("12", "12/w", "x/h", "-1/h", 12, None):
        with pytest.raises(ValueError, match=r"rate|negative|number"):
            parse_rate(wrong)
