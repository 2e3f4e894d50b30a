"""Makes arrays of pyarrow and reads their numbers without pandas, which pyarrow's own ways import: half a second to see whether a column is
one of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray


def numbers(column: ArrayLike, dtype: DTypeLike, valid: NDArray[np.bool_] | None = None) -> Any:
    """Return an array of pyarrow of numbers of a dtype, null where `valid` is given and False."""
    import pyarrow as pa

    plain = np.ascontiguousarray(column, dtype)
    mask = None if valid is None or valid.all() else pa.py_buffer(np.packbits(valid, bitorder="little"))
    return pa.Array.from_buffers(pa.from_numpy_dtype(plain.dtype), len(plain), [mask, pa.py_buffer(plain)])


def strings(texts: Sequence[str]) -> Any:
    """Return a string array of pyarrow."""
    encoded = np.array([*(text.encode() for text in texts), b""], object)
    return joined(encoded, np.arange(len(texts)))


def joined(texts: Any, places: Any, valid: Any = None) -> Any:
    """Return the string array of `texts[places]`; `valid` is the bit mask of the rows that are not null."""
    import pyarrow as pa

    lengths = np.array([len(text) for text in texts], np.int64)
    offsets = np.concatenate([[0], np.cumsum(lengths[places])]).astype(np.int32)
    text = b"".join(texts[places].tolist())
    return pa.StringArray.from_buffers(len(places), pa.py_buffer(offsets), pa.py_buffer(text), valid)


def values(column: Any) -> NDArray[Any]:
    """Return the numbers of an array of pyarrow. Not to_numpy, which imports pandas."""
    kind = np.dtype(str(column.type))
    return np.frombuffer(column.buffers()[1] or b"", kind)[column.offset : column.offset + len(column)]


def nulls(column: Any) -> NDArray[np.bool_]:
    """Return which rows of an array of pyarrow are null."""
    valid = column.buffers()[0]
    if valid is None:
        return np.zeros(len(column), bool)
    bits = np.unpackbits(np.frombuffer(valid, np.uint8), bitorder="little")
    missing: NDArray[np.bool_] = bits[column.offset : column.offset + len(column)] == 0
    return missing
