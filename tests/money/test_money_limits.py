"""Money at the very edges of its range: the last amount that is taken, the first that is refused, and how the
refusal reads.
"""

from __future__ import annotations

import pytest

from marketsim.money import pairs as money
from marketsim.money import text
from marketsim.money.pairs import BLOCKS_MAX, LIMB, RATE_MAX
from marketsim.money.text import AmountError
from marketsim.money.units import ATTO, WHOLE_MAX

# --- scalars ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("amount", "truncated"),
    [((-1, 0), -1), ((-1, 1), 0), ((-2, ATTO - 1), -1), ((0, 0), 0), ((0, ATTO - 1), 0), ((3, 1), 3)],
)
def test_truncation_drops_towards_zero(amount: tuple[int, int], truncated: int) -> None:
    assert money.truncate(*amount) == truncated


@pytest.mark.parametrize("count", [1, 2, 3, 7, 10, 1_000_003, LIMB, LIMB + 1, 3 * LIMB, 10**18])
def test_what_fits_a_product_fits_to_the_last_unit(count: int) -> None:
    limit = WHOLE_MAX // count
    answers = [bool(money.times_fits(whole, count)) for whole in (limit, limit - 1, -limit, -limit - 1)]
    assert answers == [False, True, True, False]
    whole, atto = map(int, money.times(limit - 1, ATTO - 1, count))
    assert whole * ATTO + atto == ((limit - 1) * ATTO + ATTO - 1) * count


def test_no_times_anything_fits() -> None:
    assert money.times_fits(WHOLE_MAX, 0)
    assert money.times_fits(-WHOLE_MAX, 0)
    assert tuple(map(int, money.times(WHOLE_MAX, 5, 0))) == (0, 0)


@pytest.mark.parametrize(
    ("a", "b", "order"),
    [((1, 0), (2, 0), -1), ((2, 0), (1, 9), 1), ((1, 1), (1, 2), -1), ((1, 2), (1, 1), 1), ((1, 1), (1, 1), 0)],
)
def test_pairs_compare_by_whole_and_then_by_atto(a: tuple[int, int], b: tuple[int, int], order: int) -> None:
    assert money.compare(*a, *b) == order
    assert bool(money.is_less(*a, *b)) == (order < 0)


@pytest.mark.parametrize(
    ("funds", "rate", "limit", "blocks"),
    [
        # 10^18 atto less one: the last of ten blocks is not covered, whatever floating point makes of it
        ((9, ATTO - 1), (1, 0), 100, 9),
        ((10, 0), (1, 0), 100, 10),
        ((10, 0), (1, 0), 10, 10),
        ((10, 0), (1, 0), 9, 9),
        ((11, 0), (1, 0), 10, 10),
        ((12, 0), (1, 0), 10, 10),
        ((0, 0), (1, 0), 10, 0),
        ((0, 2), (0, 1), 10, 2),
        ((0, 3), (0, 2), 10, 1),
        ((BLOCKS_MAX, 0), (1, 0), BLOCKS_MAX, BLOCKS_MAX),
        ((BLOCKS_MAX - 1, ATTO - 1), (1, 0), BLOCKS_MAX, BLOCKS_MAX - 1),
        ((BLOCKS_MAX + 1, 0), (1, 0), BLOCKS_MAX, BLOCKS_MAX),
        ((WHOLE_MAX, 0), (0, 1), BLOCKS_MAX, BLOCKS_MAX),
        ((0, 0), (RATE_MAX - 1, ATTO - 1), BLOCKS_MAX, 0),
        # 500,000 at the training document's rate: 347,724,490 blocks and a rest
        ((500_000, 0), (0, 1_437_920_000_000_000), BLOCKS_MAX, 347_724_490),
        # large amounts at a rate with a fraction: the estimate is off by many blocks of 10^-18
        ((LIMB * 3, 0), (3, 1), LIMB, LIMB - 1),
        ((LIMB * 3, LIMB), (3, 1), LIMB, LIMB),
        ((LIMB * 3, LIMB - 1), (3, 1), LIMB, LIMB - 1),
    ],
)
def test_blocks_that_funds_cover(funds: tuple[int, int], rate: tuple[int, int], limit: int, blocks: int) -> None:
    assert money.blocks_covered(*funds, *rate, limit) == blocks


@pytest.mark.parametrize(
    ("amount", "ppm", "share"),
    [(49, 20_000, 0), (50, 20_000, 1), (99, 20_000, 1), (5, 200_000, 1), (4, 200_000, 0), (WHOLE_MAX, 10**6, WHOLE_MAX), (7, 0, 0)],
)
def test_a_share_is_cut(amount: int, ppm: int, share: int) -> None:
    assert money.share_ppm(amount, ppm) == share


# --- columns ------------------------------------------------------------------------------------------------


# --- Python integers ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("literal", "message"),
    [
        ("1,5", "'1,5' is not an amount, expected a decimal such as 0.000001uve or 0.5VE with at most 18 decimals"),
        (
            "0." + "0" * 18 + "1",
            "'0.0000000000000000001' has 19 decimals, expected a decimal such as 0.000001uve or 0.5VE with at most 18 decimals",
        ),
        ("1" * 41, "'11111111111111111111'... is too large, expected at most 9000000000000000000uve"),
        ("1" * 40, f"'{'1' * 40}' is too large, expected at most 9000000000000000000uve"),
        ("9000000000001VE", "'9000000000001VE' is too large, expected at most 9000000000000000000uve"),
    ],
)
def test_a_refused_literal_says_what_would_be_accepted(literal: str, message: str) -> None:
    with pytest.raises(AmountError) as caught:
        text.parse_amount(literal)
    assert str(caught.value) == message


def test_a_literal_may_have_eighteen_decimals_and_leading_zeros() -> None:
    assert text.parse_amount("0." + "1" * 18) == 111_111_111_111_111_111
    assert text.parse_amount("0" * 39 + "7") == 7 * ATTO
    assert text.parse_amount("\t2.5VE\n") == 2_500_000 * ATTO


@pytest.mark.parametrize(
    ("dividend", "divisor", "even", "cut"),
    [(1, 2, 0, 0), (3, 2, 2, 1), (5, 2, 2, 2), (7, 2, 4, 3), (-1, 2, 0, 0), (-3, 2, -2, -1), (2, 3, 1, 0), (-2, 3, -1, 0), (0, 5, 0, 0)],
)
def test_ties_go_to_the_even_neighbour_and_cuts_towards_zero(dividend: int, divisor: int, even: int, cut: int) -> None:
    assert text.half_even(dividend, divisor) == even
    assert text.truncate(dividend, divisor) == cut
