"""The write-ahead log of a devnet: JSON lines, each chained to the one before by a hash, on the disk before anything is answered."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from marketsim.errors import InputError

FORMAT = 1
"""Of the lines; a log of another one is refused."""
Entry = dict[str, Any]


class DamagedLogError(InputError):
    """A log that is not what was written: where, what, and the way out."""


class Read(NamedTuple):
    """What a log holds: its entries, and the bytes of a torn tail behind them."""

    entries: list[Entry]
    torn: int


def line_hash(before: str, entry: Mapping[str, Any]) -> str:
    """Return the hash of an entry behind that of the line before it."""
    text = json.dumps({key: value for key, value in entry.items() if key != "hash"}, sort_keys=True, separators=(",", ":"))
    return hashlib.blake2b(f"{before}\n{text}".encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def read_log(path: Path, way_out: str) -> Read:
    """Return what a log holds; `way_out` is the command that starts anew. Raises DamagedLogError for a log that was changed.

    A last line without its end was being written when the machine or the process stopped: it was answered to nobody, and is told as torn.
    """
    data = path.read_bytes()
    whole, _, tail = data.rpartition(b"\n")
    if _is_whole(tail):  # all but its end, or something else in the place of its end: it was answered
        whole, tail = data, b""
    entries: list[Entry] = []
    before = ""
    for number, line in enumerate(whole.split(b"\n") if whole else [], 1):
        entry = _entry(line)
        if number == 1:
            _check_format(path, entry, way_out)
        wrong = _wrong(entry, number, before)
        if wrong or entry is None:
            good = f"the {number - 1} lines before it are as they were written" if number > 1 else "nothing of it can be used"
            keep = f"; `head -n {number - 1} {path}` prints those" if number > 1 else ""
            raise DamagedLogError(f"{path}:{number}: {wrong}, {good}{keep}; {way_out}")
        entries.append(entry)
        before = entry["hash"]
    if not entries and data:
        raise DamagedLogError(f"{path}:1: its first line is cut off, nothing of it can be used; {way_out}")
    return Read(entries, len(tail))


def _is_whole(tail: bytes) -> bool:
    try:
        found, _ = json.JSONDecoder().raw_decode(tail.decode("utf-8", "replace"))
    except ValueError:
        return False
    return isinstance(found, dict) and "hash" in found


def _entry(line: bytes) -> Entry | None:
    try:
        found = json.loads(line)
    except ValueError:
        return None
    return found if isinstance(found, dict) and isinstance(found.get("hash"), str) else None


def _wrong(entry: Entry | None, number: int, before: str) -> str:
    """What is wrong with a line, "" when it is as it was written."""
    if entry is None:
        return "damaged: it is no line of a log"
    if entry["hash"] != line_hash(str(entry.get("before")), entry):
        return "damaged: its hash says that it was changed after it was written"
    if entry.get("n") != number:
        return f"lines are missing or there twice before it: it was written as line {entry.get('n')}"
    if entry.get("before") != before:
        return "foreign: it does not follow the line before it, it is of another log"
    return ""


def _check_format(path: Path, entry: Entry | None, way_out: str) -> None:
    if entry is not None and entry.get("kind") == "begin" and entry.get("format") != FORMAT:
        raise DamagedLogError(f"{path}:1: is of format {entry.get('format')}, this version of marketsim reads format {FORMAT}; {way_out}")


class WriteAheadLog:
    """A log that is written to: `append` lines, then `sync` them together before anybody is answered."""

    def __init__(self, path: Path, entries: int, last: str) -> None:
        """Go on behind `entries` lines, the hash of the last of which is `last`."""
        self.path = path
        self._file = path.open("ab", buffering=0)
        self._count = entries
        self._last = last
        self._waiting: list[bytes] = []
        self._is_synced = True

    @classmethod
    def begin(cls, path: Path, entry: Entry) -> WriteAheadLog:
        """Return a new log, on the disk with its first line or not at all. Raises InputError when the file is there already."""
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists():
            raise InputError(f"{path}: is there already, give another name")
        aside = path.with_name(f".{path.name}")
        aside.unlink(missing_ok=True)
        first = cls(aside, 0, "")
        last = first.append(entry | {"format": FORMAT})
        first.close()
        aside.rename(path)
        sync_folder(path.parent)
        return cls(path, 1, last)

    @classmethod
    def go_on(cls, path: Path, read: Read) -> WriteAheadLog:
        """Return a log that was read, its torn tail cut off."""
        with path.open("r+b") as file:
            size = path.stat().st_size - read.torn
            file.truncate(size)
            file.seek(size - 1)
            if file.read(1) != b"\n":
                file.write(b"\n")
            os.fsync(file.fileno())
        return cls(path, len(read.entries), read.entries[-1]["hash"])

    def append(self, entry: Entry) -> str:
        """Take a line, which is on the disk after the next `sync`; return its hash."""
        line = {"n": self._count + 1, "before": self._last, **entry}
        line["hash"] = self._last = line_hash(self._last, line)
        self._count += 1
        self._waiting.append(json.dumps(line, separators=(",", ":")).encode() + b"\n")
        return self._last

    def write(self) -> None:
        """Hand every line that was taken to the machine, in one write: it outlives this process, and the machine after the next `sync`."""
        if not self._waiting:
            return
        data, self._waiting = b"".join(self._waiting), []
        self._is_synced = False
        written = 0
        while written < len(data):
            written += self._file.write(data[written:]) or 0

    def sync(self) -> None:
        """Bring every line that was taken onto the disk."""
        self.write()
        if not self._is_synced:
            self._is_synced = True
            os.fsync(self._file.fileno())

    def close(self) -> None:
        """Bring everything onto the disk and close the file."""
        self.sync()
        self._file.close()


def sync_folder(folder: Path) -> None:
    """Bring what files a folder has onto the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


__all__ = ["FORMAT", "DamagedLogError", "Entry", "Read", "WriteAheadLog", "line_hash", "read_log", "sync_folder"]
