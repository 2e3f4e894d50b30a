"""A draw is a hash of who draws and what for: the same beside whomever, as its law says, and nothing to do with any other."""

from __future__ import annotations

import hashlib
import math
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from marketsim.agents.streams import (
    constant,
    draw,
    draw_index,
    draw_rows,
    exponential,
    key_of,
    keys_from,
    listening,
    normal,
    quantiles,
    stream,
    to_block_count,
    to_blocks,
    uniform,
)
from marketsim.experiments.difference.draws import DrawBook
from marketsim.scenario.distributions import Law
from marketsim.simulation.generic_cost import whole, whole_number

KEYS = keys_from(key_of(7, "tenant/web/day/3"), 200_000)
LAWS = {
    "constant": Law("constant", 3.0, 0.0, (), (), 0.0, math.inf, "", False),
    "uniform": Law("uniform", 2.0, 5.0, (), (), 0.0, math.inf, "", False),
    "whole": Law("uniform", 1, 6, (), (), 0.0, math.inf, "", True),
    "lognormal": Law("lognormal", 4.0, 0.5, (), (), 0.0, math.inf, "", False),
    "exponential": Law("exponential", 9.0, 0.0, (), (), 0.0, math.inf, "", False),
    "normal": Law("normal", 50.0, 4.0, (), (), 0.0, math.inf, "", False),
    "clamped": Law("normal", 1.0, 1.0, (), (), 0.5, 2.0, "", False),
    "choice": Law("choice", 0.0, 0.0, (1, 2, 8), (0.5, 0.3, 0.2), 0.0, math.inf, "", False),
}


@pytest.mark.parametrize("name", LAWS)
def test_a_draw_does_not_depend_on_who_else_draws(name: str) -> None:
    """Bit by bit, wherever in a column it stands."""
    together = draw(LAWS[name], KEYS[:1001], "size")
    assert [float(draw(LAWS[name], KEYS[at : at + 1], "size")[0]) for at in range(0, 1001, 7)] == together[::7].tolist()
    backwards = draw(LAWS[name], KEYS[:1001][::-1], "size")
    assert backwards[::-1].tolist() == together.tolist()


def test_laws_that_are_drawn_together_give_what_each_gives_alone() -> None:
    laws = {f"purpose {name}": law for name, law in LAWS.items()} | {"one": LAWS["choice"]._replace(values=(4,), weights=(1.0,))}
    rows, together = draw_rows(laws, KEYS[:999])
    assert laws.keys() - rows.keys() == {"purpose constant", "one"}
    assert {name: together[row].tolist() for name, row in rows.items()} == {
        name: draw(laws[name], KEYS[:999], name).tolist() for name in rows
    }
    with listening(DrawBook()):
        assert draw_rows(laws, KEYS[:9])[0] == {}


def test_one_number_stands_for_the_draws_of_a_law_of_one_value_unless_somebody_listens() -> None:
    law = LAWS["constant"]._replace(high=2.5)
    assert constant(law) == 2.5 == draw(law, KEYS[:1], "x")[0]
    assert all(constant(LAWS[name]) is None for name in LAWS if name != "constant")
    with listening(DrawBook()):
        assert constant(law) is None


def test_a_stream_is_philox_keyed_by_the_digest_of_seed_and_name() -> None:
    digest = hashlib.sha256(b"7/tenant/web").digest()
    wanted = np.random.Generator(np.random.Philox(key=int.from_bytes(digest[:16], "little"))).random(5).tolist()
    assert stream(7, "tenant/web").random(5).tolist() == wanted
    assert pickle.loads(pickle.dumps(stream(7, "tenant/web"))).random(5).tolist() == wanted


@pytest.mark.parametrize("name", ["uniform", "lognormal", "exponential", "normal", "clamped", "choice"])
def test_draws_follow_their_law(name: str) -> None:
    """Mean and variance against those of the law's quantiles, within five standard errors of a mean."""
    drawn, law = draw(LAWS[name], KEYS, "size"), quantiles(LAWS[name], 20_000)
    for power in (1, 2):
        error = (drawn**power).std() / math.sqrt(len(drawn))
        assert abs((drawn**power).mean() - (law**power).mean()) < 5 * error + 2e-3 * (law**power).mean()
    assert drawn.min() >= LAWS[name].low and drawn.max() <= LAWS[name].high


def test_whole_draws_take_both_ends_alike() -> None:
    counts = np.bincount(draw(LAWS["whole"], KEYS, "die").astype(int), minlength=7)
    assert counts[0] == 0 and (np.abs(counts[1:] - len(KEYS) / 6) < 5 * math.sqrt(len(KEYS) / 6)).all()


def test_purposes_and_keys_have_nothing_to_do_with_each_other() -> None:
    columns = [uniform(KEYS, "a"), uniform(KEYS, "b"), normal(KEYS, "a/b"), exponential(KEYS, "c"), np.roll(uniform(KEYS, "a"), 1)]
    columns.append(uniform(keys_from(key_of(8, "tenant/web/day/3"), len(KEYS)), "a"))
    correlations = np.corrcoef(columns) - np.eye(len(columns))
    assert np.abs(correlations).max() < 5 / math.sqrt(len(KEYS))


def test_names_and_seeds_give_keys_apart_and_longer_sequences_begin_alike() -> None:
    names = {key_of(seed, f"{part}/{number}") for seed in (1, 2) for part in ("a", "b") for number in range(50)}
    assert len(names) == 200 and all(0 <= name < 1 << 63 for name in names)
    assert len(np.unique(KEYS)) == len(KEYS) and KEYS.max() < 1 << 63
    assert keys_from(5, 10)[:4].tolist() == keys_from(5, 4).tolist()
    both = keys_from(np.asarray([5, 6], np.uint64), np.asarray([3, 2]))
    assert both.tolist() == [*keys_from(5, 3).tolist(), *keys_from(6, 2).tolist()]


def test_a_choice_of_one_draws_nothing_and_weights_are_shares() -> None:
    one = LAWS["choice"]._replace(values=(4,), weights=(1.0,))
    assert draw_index(one, KEYS[:3], "x").tolist() == [0, 0, 0]
    shares = np.bincount(draw_index(LAWS["choice"], KEYS, "x")) / len(KEYS)
    assert shares == pytest.approx([0.5, 0.3, 0.2], abs=0.005)


def test_quantiles_stand_at_the_middles_of_equal_shares() -> None:
    assert quantiles(LAWS["uniform"], 3).tolist() == pytest.approx([2.5, 3.5, 4.5])
    assert quantiles(LAWS["choice"], 10).tolist() == [1] * 5 + [2] * 3 + [8] * 2
    assert quantiles(LAWS["lognormal"], 5)[2] == pytest.approx(4.0)
    assert quantiles(LAWS["exponential"], 1)[0] == pytest.approx(9 * math.log(2))
    assert quantiles(LAWS["clamped"], 9).tolist() == sorted(np.clip(quantiles(LAWS["clamped"], 9), 0.5, 2.0).tolist())


@given(st.floats(0, 1e300), st.sampled_from(["ms", "blocks"]), st.integers(1, 60_000))
def test_one_duration_is_rounded_as_many_are(value: float, unit: str, block_ms: int) -> None:
    assert to_block_count(value, unit, block_ms) == to_blocks(np.asarray([value]), unit, block_ms)[0]
    assert whole_number(value) == whole(np.asarray([value]))[0]
