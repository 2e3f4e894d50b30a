"""The file format of a capsule: a ZIP archive without compression, the same bytes for the same contents, that says where it is damaged.

Every member is stored as it is, with a fixed date and no attributes. The archive's comment holds the hashes of its leaves, pieces of equal
length, so that a byte that was flipped is found without knowing what stood there. Nothing in an archive is trusted: what is no plain
file of a plain name within it, what is compressed, lies over another member or says that it is larger than it is, is refused.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import stat
import struct
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from marketsim.errors import InputError

LEAF: Final = 1_024
"""Bytes of a leaf, in archives of up to LEAVES_MAX of them."""
LEAVES_MAX: Final = 3_000
SEARCHED: Final = 4_096
"""The longest leaf in which a flipped byte is searched for."""
MEMBERS_MAX: Final = 20_000
BYTES_MAX: Final = 1 << 32
_NAME = re.compile(r"[A-Za-z0-9_@+=,~-][A-Za-z0-9._@+=,~ -]*")
_DIGITS = 16
_DATE = (1980, 1, 1, 0, 0, 0)
_LOCAL = struct.Struct("<4s5H3L2H")
_LOCAL_MARK, _END_MARK, _END_BYTES = b"PK\x03\x04", b"PK\x05\x06", 22


def write_archive(members: Mapping[str, bytes]) -> bytes:
    """Return the archive of some members, in the order of their names, the first of which stands first."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, content in members.items():
            info = zipfile.ZipInfo(name, _DATE)
            info.create_system = 3
            info.external_attr = (stat.S_IFREG | 0o644) << 16
            archive.writestr(info, content)
    plain = buffer.getvalue()
    comment = json.dumps({"leaf": leaf_of(len(plain)), "hashes": "".join(leaf_hashes(plain))}).encode()
    # the end record is the last of what was written: with the comment its length changes, and nothing before it
    return plain[:-2] + struct.pack("<H", len(comment)) + comment


def leaf_of(size: int) -> int:
    """Return the length of the leaves of so many bytes: a power of two."""
    leaf = LEAF
    while leaf * LEAVES_MAX < size:
        leaf *= 2
    return leaf


def leaf_hashes(content: bytes) -> list[str]:
    """Return the hashes of the leaves, 16 hex digits each; of the end record all but the length of the comment."""
    leaf = leaf_of(len(content))
    return [_hash(content[at : at + leaf]) for at in range(0, len(content) - 2, leaf)]


def _hash(leaf: bytes) -> str:
    return hashlib.sha256(leaf).hexdigest()[:_DIGITS]


@dataclass(frozen=True)
class Damage:
    """Where an archive is not what was written: its bytes `first` to `last`, in which member, from which of its bytes on; of one flipped
    byte also what stands there and what stood there."""

    first: int
    last: int
    member: str = ""
    offset: int = 0
    now: int | None = None
    was: int | None = None

    def __str__(self) -> str:
        where = f"{self.member}, byte {self.offset:,}" if self.member else "the archive's own records"
        if self.was is not None and self.now is not None:
            return f"{where} (byte {self.first:,} of the capsule): 0x{self.now:02x}, was 0x{self.was:02x}"
        return f"bytes {self.first:,} to {self.last:,} of the capsule, from {where} on"


class Archive:
    """An archive that was read. `members` are its contents by name, `damage` is where a byte is not what was written.

    Raises InputError for what nobody here has written, and where damage leaves nothing to read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            length = path.stat().st_size
            if length == 0:
                raise InputError(f"{path}: an empty file, expected a capsule")
            if length > BYTES_MAX:
                raise InputError(f"{path}: larger than {BYTES_MAX >> 30} GiB, expected a capsule")
            self._content = path.read_bytes()
        except OSError as error:
            raise InputError(f"{path}: cannot be read ({error.strerror}), expected a capsule") from None
        self.damage = find_damage(self._content)
        try:
            with zipfile.ZipFile(io.BytesIO(self._content)) as archive:
                self._places = _places(self._content, archive.infolist())
        except (zipfile.BadZipFile, struct.error, ValueError, RuntimeError, EOFError, UnicodeDecodeError) as error:
            said = (
                f"damaged: {self.damage}"
                if self.damage is not None
                else f"not a capsule ({error}), expected what `capsule create` has written"
            )
            raise InputError(f"{path}: {said}") from None
        self.members = {name: self._content[at : at + size] for name, (at, size) in self._places.items()}
        if self.damage is not None:
            self.damage = self._in_member(self.damage)

    def _in_member(self, damage: Damage) -> Damage:
        for name, (at, size) in self._places.items():
            if at <= damage.first < at + size or damage.first <= at <= damage.last:
                return replace(damage, member=name, offset=max(damage.first - at, 0))
        return damage


def find_damage(content: bytes) -> Damage | None:
    """Return where the first leaf of an archive is not what was written, None where all are; the end where that itself cannot be read."""
    end = content.rfind(_END_MARK)
    try:
        known = json.loads(content[end + _END_BYTES :])
        leaf, hashes = int(known["leaf"]), str(known["hashes"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return Damage(max(end, 0), len(content) - 1)
    plain = content[: end + _END_BYTES - 2] + b"\0\0"
    if end < 0 or leaf != leaf_of(len(plain)):
        return Damage(max(end, 0), len(content) - 1)
    for number, found in enumerate(leaf_hashes(plain)):
        written = hashes[number * _DIGITS : (number + 1) * _DIGITS]
        if found != written:
            first = number * leaf
            return _searched(plain[first : first + leaf], written, first)
    return None


def _searched(leaf: bytes, written: str, first: int) -> Damage:
    """The one byte of a leaf that, set to another value, gives the leaf that was written; the whole leaf where there is none."""
    if len(leaf) <= SEARCHED:
        changed = bytearray(leaf)
        before = hashlib.sha256()
        for at, now in enumerate(leaf):
            rest = leaf[at + 1 :]
            for was in range(256):
                state = before.copy()
                state.update(bytes((was,)) + rest)
                if was != now and state.hexdigest()[:_DIGITS] == written:
                    return Damage(first + at, first + at, now=now, was=was)
            before.update(changed[at : at + 1])
    return Damage(first, first + len(leaf) - 1)


def _places(content: bytes, entries: list[zipfile.ZipInfo]) -> dict[str, tuple[int, int]]:
    """Where each member's bytes lie; raises ValueError for what is no plain member of an archive that was written here."""
    if not entries or len(entries) > MEMBERS_MAX:
        raise ValueError(f"{len(entries)} members")
    places: dict[str, tuple[int, int]] = {}
    behind = 0
    for entry in sorted(entries, key=lambda entry: entry.header_offset):
        name = entry.filename
        parts = name.split("/")
        if not all(_NAME.fullmatch(part) for part in parts) or len(name) > 400 or name in places:
            raise ValueError(f"a member named {name!r}")
        kind = entry.external_attr >> 16
        if stat.S_IFMT(kind) not in (0, stat.S_IFREG) or entry.flag_bits & ~0x800:
            raise ValueError(f"{name} is a link or is encrypted")
        if entry.compress_type != zipfile.ZIP_STORED or entry.compress_size != entry.file_size:
            raise ValueError(f"{name} is compressed")
        local = content[entry.header_offset : entry.header_offset + _LOCAL.size]
        fields = _LOCAL.unpack(local)
        at = entry.header_offset + _LOCAL.size + fields[9] + fields[10]
        if fields[0] != _LOCAL_MARK or entry.header_offset < behind or at + entry.file_size > len(content):
            raise ValueError(f"{name} lies over another member or beyond the end")
        if content[entry.header_offset + _LOCAL.size : entry.header_offset + _LOCAL.size + fields[9]] != name.encode():
            raise ValueError(f"{name} has another name where it lies")
        behind = at + entry.file_size
        places[name] = (at, entry.file_size)
    inner = {"/".join(name.split("/")[:depth]) for name in places for depth in range(1, name.count("/") + 1)}
    if inner & set(places):
        raise ValueError(f"{min(inner & set(places))} is a file and a folder")
    return places
