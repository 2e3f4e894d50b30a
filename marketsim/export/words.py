"""Says which columns of the record are numbers of names, and puts names for numbers in files and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from marketsim.chain.columns import BidState, EventKind, LeaseState, OrderEnd, OrderState
from marketsim.export.arrow import joined, nulls, strings, values
from marketsim.export.csv_text import cell
from marketsim.market.tables import Ended
from marketsim.recording.record import DECLINE_CODES, UNFILLED


class Words:
    """The names of a column's numbers; a number without a name is null in files."""

    def __init__(self, names: Mapping[int, str] | Sequence[str]) -> None:
        """Take names by number (0 or more), or in the order of their numbers."""
        by_number = dict(names) if isinstance(names, Mapping) else dict(enumerate(names))
        numbers = sorted(by_number)
        self.texts = [by_number[number] for number in numbers]
        # The last place, which -1 also means, is for every number beyond the names.
        self._places = np.full(max(numbers, default=-1) + 2, -1, np.int32)
        self.by_number: list[str | None] = [by_number.get(number) for number in range(len(self._places) - 1)]
        self._places[numbers] = np.arange(len(numbers), dtype=np.int32)
        self._are_places = numbers == list(range(len(numbers)))
        self._numbers = dict(zip(self.texts, numbers, strict=True))
        self._dictionary: Any = None

    def places(self, column: NDArray[np.int64]) -> NDArray[np.int32]:
        """Return where in `texts` the names of the numbers stand, -1 for none."""
        low, high = column.min(initial=0), column.max(initial=-1)
        if self._are_places and low >= 0 and high < len(self.texts):
            return column.astype(np.int32)
        if low < -1 or high >= len(self._places):
            column = np.clip(column, -1, len(self._places) - 1)
        return self._places[column]

    def array(self, column: NDArray[np.int64]) -> Any:
        """Return a dictionary array of pyarrow of the names of the numbers."""
        import pyarrow as pa

        if self._dictionary is None:
            self._dictionary = strings(self.texts)
        places = self.places(column)
        valid = None
        if places.min(initial=0) < 0:
            valid = pa.py_buffer(np.packbits(places >= 0, bitorder="little"))
            places = np.maximum(places, 0)
        indices = pa.Array.from_buffers(pa.int32(), len(places), [valid, pa.py_buffer(places)])
        return pa.DictionaryArray.from_arrays(indices, self._dictionary)

    def cells(self, column: NDArray[np.int64]) -> Any:
        """Return a string array of pyarrow of the names of the numbers, as cells of CSV."""
        import pyarrow as pa

        places = self.places(column)
        texts = np.array([*(cell(text).encode() for text in self.texts), b""], object)
        return joined(texts, places, pa.py_buffer(np.packbits(places >= 0, bitorder="little")))

    def numbers(self, column: Any) -> NDArray[np.int64]:
        """Return the numbers of a dictionary array that was read, -1 for null."""
        texts = column.dictionary.to_pylist()
        table = np.array([*(self._numbers[text] for text in texts), -1], np.int64)
        places = values(column.indices)
        return table[np.where(nulls(column.indices), len(texts), places)]


def vocabulary(
    tenants: Sequence[str],
    providers: Sequence[str],
    tenant_cohorts: Sequence[str],
    provider_cohorts: Sequence[str],
    regions: Sequence[str],
) -> dict[tuple[str, str], Words]:
    """Return the words of each column (table, name) that holds numbers of names."""
    tenant, provider = Words(tenants), Words(providers)
    return {
        ("tenants", "cohort"): Words(tenant_cohorts),
        ("providers", "cohort"): Words(provider_cohorts),
        ("orders", "tenant"): tenant,
        ("orders", "state"): members(OrderState),
        ("orders", "end"): members(OrderEnd),
        ("orders", "region"): Words(regions),
        ("orders", "unfilled"): Words(UNFILLED),
        ("leases", "provider"): provider,
        ("leases", "state"): members(LeaseState),
        ("leases", "ended"): members(Ended),
        ("bids", "provider"): provider,
        ("bids", "state"): members(BidState),
        ("declines", "provider"): provider,
        ("declines", "reason"): Words(DECLINE_CODES),
        ("events", "kind"): members(EventKind),
    }


def members(enumeration: Any) -> Words:
    """Return the words of an enumeration: its members' names in lower case."""
    return Words({int(member): member.name.lower() for member in enumeration})
