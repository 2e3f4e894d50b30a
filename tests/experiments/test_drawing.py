"""Figures drawn in several processes: the same files, whatever becomes of a process."""

import os
import signal
from functools import partial
from pathlib import Path
from typing import Any

import matplotlib as mpl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from queue_market import run_queue

from marketsim.experiments.runs.drawing import Drawing, DrawingPart, drawers, shared_out
from marketsim.export.images import PLAIN, STYLE, FigureLook, looking, new_figure, report_image, styled, with_copies


def one_image(bars: int) -> bytes:
    with mpl.rc_context(styled(STYLE)):
        figure = new_figure()
        figure.add_subplot().bar(range(bars), range(bars))
        return report_image(figure)


def dies_elsewhere(parent: int) -> int:
    if os.getpid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)
    return os.getpid()


def fails() -> None:
    raise ValueError("no figure of this")


def process() -> int:
    return os.getpid()


def parts(count: int, draw: Any, *of: Any) -> list[DrawingPart]:
    """Parts that take so long that it does not matter when a process begins."""
    return [DrawingPart(1000, partial(draw, *of)) for _ in range(count)]


def drawn_parts(wanted: list[DrawingPart], busy: int = 0) -> list[Any]:
    return Drawing(wanted, busy).finish()


def drawn(look: FigureLook, beside: int) -> tuple[list[bytes], dict[str, bytes]]:
    with looking(look), drawers(run_queue, beside):
        images = drawn_parts([DrawingPart(1000, partial(one_image, bars)) for bars in (1, 2, 3)])
        return images, with_copies({f"{number}.png": image for number, image in enumerate(images)})


@pytest.mark.parametrize("look", [PLAIN, FigureLook(("png", "pdf", "svg"), {"font.size": 12.0})], ids=["plain", "a look"])
def test_two_processes_draw_the_same_files_as_one(look: FigureLook) -> None:
    alone = drawn(look, 0)
    assert drawn(look, 1) == alone
    assert len(set(alone[0])) == 3
    assert len(alone[1]) == 3 * len(look.formats)


def test_parts_come_back_in_order_from_as_many_processes_as_there_are() -> None:
    with drawers(run_queue, 1):
        found = drawn_parts(parts(4, process))
    assert found.count(os.getpid()) == 2
    assert len(set(found)) == 2
    assert drawn_parts(parts(4, process)) == [os.getpid()] * 4


def test_a_process_that_is_busy_draws_less() -> None:
    with drawers(run_queue, 1):
        assert drawn_parts(parts(3, process), busy=1000).count(os.getpid()) == 1
        assert drawn_parts(parts(3, process), busy=9000).count(os.getpid()) == 0


def test_a_look_that_is_a_function_stays_in_this_process(tmp_path: Path) -> None:
    seen: list[Any] = []
    with looking(FigureLook(style=seen.append)), drawers(run_queue, 1):
        drawn_parts([DrawingPart(1000, partial(one_image, bars)) for bars in (1, 2, 3)])
    assert len(seen) == 3


def test_the_share_of_a_process_that_dies_is_drawn_here() -> None:
    with drawers(run_queue, 1):
        assert drawn_parts(parts(4, dies_elsewhere, os.getpid())) == [os.getpid()] * 4


def test_what_fails_elsewhere_fails_here() -> None:
    with drawers(run_queue, 1), pytest.raises(ValueError, match="no figure of this"):
        drawn_parts([DrawingPart(2000, process), DrawingPart(1000, fails)])


@given(st.lists(st.integers(1, 50), max_size=12), st.integers(1, 5), st.integers(0, 100))
def test_every_part_is_in_one_share_and_no_share_is_longer_than_it_must_be(lengths: list[int], count: int, busy: int) -> None:
    shares = shared_out(lengths, [busy] + [0] * (count - 1))
    assert sorted(k for share in shares for k in share) == list(range(len(lengths)))
    loads = [sum(lengths[k] for k in share) + busy * (share is shares[0]) for share in shares]
    assert max(loads) <= max(busy, (busy + sum(lengths)) / count + max(lengths, default=0))
