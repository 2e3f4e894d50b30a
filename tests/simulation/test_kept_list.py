"""A list in a file: each copy goes its own way behind what is there."""

import os
from pathlib import Path

import pytest

from marketsim.simulation.kept_list import KeptList


def test_items_come_back_by_number_and_copies_go_their_own_ways(tmp_path: Path) -> None:
    kept = KeptList[tuple[int, str]](tmp_path)
    for number in range(100):
        kept.append((number, "x" * number))
    other = kept.copy()
    kept.append((100, "here"))
    other.append((100, "there"))
    other[103] = (103, "later")
    assert list(kept) == [*((number, "x" * number) for number in range(100)), (100, "here")]
    assert len(other) == 104 and other[100] == (100, "there") and other[99] == kept[99] and other[103] == (103, "later")
    assert other.get(102) is None and kept.get(103) is None and kept.get(-1) is None
    with pytest.raises(IndexError):
        other[102]
    assert list(tmp_path.iterdir()) == []


def test_what_a_full_disk_does_not_take_stays_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = KeptList[str](tmp_path)
    kept.append("on the disk")

    def full(descriptor: int, data: bytes, offset: int) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    kept.append("in memory")
    monkeypatch.undo()
    kept.append("on the disk again")
    assert list(kept) == list(kept.copy()) == ["on the disk", "in memory", "on the disk again"]
