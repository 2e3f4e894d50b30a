"""Writes whole numbers and names as lines of CSV, in compiled code.

The text is what pyarrow's CSV writer gives with `quoting_style="needed"`: names and the header in quotes, nothing where a name is
missing, lines ended by a newline. It takes a tenth of the time, which is most of what recording every event costs.

Text is put together eight bytes at a time in a word, the first byte lowest, and stored when the word is full; eight digits are made
at once, by arithmetic on the parts of a word.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from functools import cache
from typing import IO, Final

import numpy as np

from marketsim.kernel.compiled import compiled
from marketsim.kernel.modes import COMPILING
from marketsim.kernel.table_set import Table

Word = np.uint64

IS_FAST: Final = COMPILING and sys.byteorder == "little"
"""Whether the code here is the way to write CSV: words hold their first byte lowest, and Python would take longer than pyarrow."""

_FORMULA: Final = "=+-@\t\r\n"
_NUMBER: Final = re.compile(r"[+-]?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?", re.ASCII)

LINES: Final = 8_192
"""Lines formatted at once: their text stays in the processor's cache."""
_DIGITS: Final = 21
"""The longest number, with its sign and what follows it."""

# Unsigned, because signed shifts and quotients round otherwise; in lists of one kind, because mixed kinds become floats.
_U0, _U1, _U3, _U8, _U10, _U16, _U20, _U32, _U63 = (np.uint64(x) for x in (0, 1, 3, 8, 10, 16, 20, 32, 63))
_U100, _U103, _U10486, _MYRIAD, _MOST = (np.uint64(x) for x in (100, 103, 10_486, 10**4, 10**8))
_SEVEN_BITS, _FOUR_BITS = np.uint64(0x7F_0000_007F), np.uint64(0x0F_000F_000F_000F)
_LOW = np.uint64(0xFFFF_FFFF)
_DIGIT_SIGNS, _COMMA, _NEWLINE, _MINUS = (np.uint64(x) for x in (0x3030_3030_3030_3030, 0x2C, 0x0A, 0x2D))


@cache
def small_numbers() -> Table:
    """Return the digits of every number below 10^4, and in the upper half of the word how many they are; shape (10^4,)."""
    number = np.arange(10**4)
    count = 1 + (number >= 10) + (number >= 100) + (number >= 1000)
    table = count << 32
    for place in range(4):  # from the last digit on, which stands highest
        digit = number // 10**place % 10 + ord("0")
        table += np.where(place < count, digit << 8 * np.maximum(count - 1 - place, 0), 0)
    return table.astype(np.int64)


@compiled
def append(out: Table, at: Word, text: Word, more: Word, length: Word) -> tuple[Word, Word]:
    """Append the first `length` <= 8 bytes of `more` to the text, of which the last, unfinished word is `text` and whole bytes before
    it `at`; return the same two after it. Bytes of `more` beyond its length are zero.
    """
    used = (at & np.uint64(7)) << _U3
    word = text | more << used
    out[at >> _U3] = np.int64(word)
    after = at + length
    if after >> _U3 != at >> _U3:
        word = (more >> _U1) >> (_U63 - used)
    return after, word


@compiled
def eight_digits(number: Word) -> Word:
    """Return the eight digits of a number below 10^8, zeros in front."""
    upper = number // _MYRIAD
    halves = upper | (number - upper * _MYRIAD) << _U32
    hundreds = (halves * _U10486 >> _U20) & _SEVEN_BITS
    pairs = (halves - _U100 * hundreds << _U16) + hundreds
    tens = (pairs * _U103 >> _U10) & _FOUR_BITS
    return tens + (pairs - _U10 * tens << _U8) + _DIGIT_SIGNS


@compiled
def append_number(out: Table, at: Word, text: Word, value: int, following: Word, small: Table) -> tuple[Word, Word]:
    """Append a number and the byte `following`; `small` are the `small_numbers`."""
    if value < 0:
        at, text = append(out, at, text, _MINUS, _U1)
        rest = np.uint64(-(value + 1)) + _U1
    else:
        rest = np.uint64(value)
    if rest < _MYRIAD:
        known = np.uint64(small[rest])
        digits = known >> _U32
        return append(out, at, text, (known & _LOW) | following << (digits << _U3), digits + _U1)
    tail = _U0
    if rest >= _MOST:
        above = rest // _MOST
        tail = _U1
        low = rest - above * _MOST
        middle = _U0
        rest = above
        if rest >= _MOST:
            above = rest // _MOST
            tail = np.uint64(2)
            middle = rest - above * _MOST
            rest = above
    else:
        low, middle = _U0, _U0
    digits = (
        _U1
        + np.uint64(rest >= _U10)
        + np.uint64(rest >= _U100)
        + np.uint64(rest >= np.uint64(1000))
        + np.uint64(rest >= _MYRIAD)
        + np.uint64(rest >= np.uint64(10**5))
        + np.uint64(rest >= np.uint64(10**6))
        + np.uint64(rest >= np.uint64(10**7))
    )
    head = eight_digits(rest) >> (_U8 - digits << _U3)
    if tail == _U0 and digits < _U8:
        return append(out, at, text, head | following << (digits << _U3), digits + _U1)
    at, text = append(out, at, text, head, digits)
    if tail == np.uint64(2):
        at, text = append(out, at, text, eight_digits(middle), _U8)
    if tail != _U0:
        at, text = append(out, at, text, eight_digits(low), _U8)
    return append(out, at, text, following, _U1)


@compiled
def put_lines(columns: Table, begin: int, end: int, first: Table, names: Table, words: Table, small: Table, out: Table) -> int:
    """Write the lines of the rows from `begin` up to `end` into `out`; return their length in bytes.

    `columns` int64 (columns, rows). `first` (columns, 2): the rows in `names` of the name of 0 and of the number after the last one
    that may have a name, twice 0 in a column of numbers. `names` (names, 2): the length of each name with the byte that follows it, 0
    for a number without a name, and where it begins in `words`, eight bytes a word. `small` are the `small_numbers`. `out`
    has a word more than the text.
    """
    at, text = _U0, _U0
    last = columns.shape[0] - 1
    for row in range(begin, end):
        following = _COMMA
        for column in range(last + 1):
            if column == last:
                following = _NEWLINE
            value = columns[column, row]
            named = first[column]
            if named[1] == 0:
                at, text = append_number(out, at, text, value, following, small)
                continue
            length, word = _U0, 0
            if 0 <= value < named[1] - named[0]:
                name = names[named[0] + value]
                length = np.uint64(name[0])
                word = name[1]
            if length == _U0:
                at, text = append(out, at, text, following, _U1)
            else:
                while length > _U8:
                    at, text = append(out, at, text, np.uint64(words[word]), _U8)
                    length -= _U8
                    word += 1
                at, text = append(out, at, text, np.uint64(words[word]), length)
    out[at >> _U3] = np.int64(text)
    return np.int64(at)  # type: ignore[return-value]


class CsvText:
    """The lines of one table, chunk by chunk, into an open binary file."""

    def __init__(self, file: IO[bytes], names: Sequence[str], texts: Sequence[Sequence[str | None] | None]) -> None:
        """Write the header of columns called `names`; `texts` holds the names in each column by their numbers, None for a number
        without a name, or None for a column of numbers."""
        self._file = file
        self._first = np.zeros((len(names), 2), np.int64)
        rows, letters = [(0, 0)], bytearray()
        width = 0
        for column, known in enumerate(texts):
            if known is None:
                width += _DIGITS
                continue
            following = b"\n" if column == len(names) - 1 else b","
            quoted = [b"" if text is None else _quoted(text) + following for text in known]
            self._first[column] = len(rows), len(rows) + len(quoted)
            for text in quoted:
                rows.append((len(text), len(letters) // 8))
                letters += text + bytes(-len(text) % 8)
            width += max(map(len, quoted), default=1)
        self._names = np.array(rows, np.int64)
        self._words = np.frombuffer(bytes(letters) + bytes(8), np.int64)
        self._out = np.empty(LINES * width // 8 + 2, np.int64)
        file.write(b",".join(map(_quoted, names)) + b"\n")

    def write(self, columns: Table) -> None:
        """Write rows: int64 of shape (columns, rows), C-contiguous."""
        rows, small = columns.shape[1], small_numbers()
        text = self._out.view(np.uint8).data
        for begin in range(0, rows, LINES):
            end = min(begin + LINES, rows)
            length = put_lines(columns, begin, end, self._first, self._names, self._words, small, self._out)
            self._file.write(text[:length])


def cell(text: str) -> str:
    """Return a text as a cell of CSV that no spreadsheet takes for a formula: with an apostrophe before a first `=`, `+`, `-`, `@`, tab
    or line end, unless it is a number. Columns of numbers need none of this, and parquet keeps every text as it is.
    """
    return f"'{text}" if text[:1] in _FORMULA and text and _NUMBER.fullmatch(text) is None else text


def _quoted(text: str) -> bytes:
    text = cell(text)
    return b'"' + text.replace('"', '""').encode() + b'"'
