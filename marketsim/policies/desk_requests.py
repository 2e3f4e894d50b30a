"""What a user's strategy is handed during a run: requests one by one or as columns, and its own desk.

A strategy sees these and nothing else: no rival's price or cost, nothing of a tenant but its order. All values
are frozen; a strategy may keep them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from fractions import Fraction
from functools import cached_property
from typing import NamedTuple, Protocol, overload, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from marketsim.chain.decimals import ATTO
from marketsim.policies.strategies import Answer, PriceRequest, Refusal, RefusalCode, UnitPrices

Column = NDArray[np.int64]

NO_BID = -1
"""The whole part of an entry of `Prices` that is no price."""


class Sizes(NamedTuple):
    """Amounts of the four resources: millicores, bytes, bytes, GPUs."""

    cpu: int
    memory: int
    storage: int
    gpu: int


@dataclass(frozen=True, slots=True)
class OwnDesk:
    """What a provider knows of itself when its strategy is told (`observe`): at the start and at every day's end.

    `height` is the last executed block, 0 at the start. `prices` and `margin_ppm` are those of the provider's file
    (`config:`), the provider's own cost draw included, in units of 10^-18 uve per block and parts per million.
    """

    provider: str
    height: int
    capacity: Sizes
    leased: Sizes
    prices: UnitPrices
    margin_ppm: int

    @property
    def utilization(self) -> Fraction:
        """Leased cpu over capacity, 0 for a provider without cpu."""
        return Fraction(self.leased.cpu, self.capacity.cpu) if self.capacity.cpu > 0 else Fraction(0)


@runtime_checkable
class Observer(Protocol):
    """A strategy that wants to know how its own desk stands: a run calls this between hand-overs, once a day."""

    def observe(self, own: OwnDesk, /) -> None:
        """Take note of the provider's own capacity and use; this is where a strategy may change its prices."""
        ...


@dataclass(frozen=True, slots=True)
class OrderRequest(PriceRequest):
    """A request with its totals at hand, made once an order; `for_desk` copies it for each desk that is asked."""

    cpu: int = 0
    memory: int = 0
    storage: int = 0
    gpu: int = 0

    def total_cpu(self) -> int:
        """Millicores over all units and their counts."""
        return self.cpu

    def total_memory(self) -> int:
        """Bytes of memory over all units and their counts."""
        return self.memory

    def total_storage(self) -> int:
        """Bytes of storage over all units and their counts."""
        return self.storage

    def total_gpu(self) -> int:
        """GPUs over all units and their counts."""
        return self.gpu

    def for_desk(self, provider: str, utilization: Fraction) -> OrderRequest:
        """The same request as another provider gets it (what `dataclasses.replace` does, at a fifth of its time)."""
        copy = _new(OrderRequest)
        for write, read in _SLOTS:
            write(copy, read(self))
        _write_provider(copy, provider)
        _write_utilization(copy, utilization)
        return copy


def _slot(name: str) -> tuple[Callable[[object, object], None], Callable[[object], object]]:
    owner = PriceRequest if name in PriceRequest.__dict__ else OrderRequest
    member = owner.__dict__[name]
    return member.__set__, member.__get__


_new = object.__new__
_SLOTS = [_slot(field.name) for field in fields(OrderRequest) if field.name not in ("provider", "utilization")]
_write_provider = _slot("provider")[0]
_write_utilization = _slot("utilization")[0]


class RequestBatch(Sequence[PriceRequest]):
    """Requests of one hand-over to one desk: a sequence of requests, and their sizes and ceilings as columns.

    Columns are int64, an entry a request, and must not be written to: `cpu` in millicores, `memory` and `storage`
    in bytes, `gpu`, and the pair `ceiling_whole`, `ceiling_atto` (uve per block). Requests are made when they are
    looked at, so that a class that reads columns alone pays for columns alone.
    """

    def __init__(self, columns: Column, picked: Column, request_at: Callable[[int], PriceRequest]) -> None:
        """`columns` is (6, orders) in the order named above; `picked` the orders of the batch; `request_at` makes one."""
        self._columns = columns
        self._picked = picked
        self._request_at = request_at

    @classmethod
    def of(cls, requests: Sequence[PriceRequest]) -> RequestBatch:
        """A batch of requests that exist already."""
        rows = [(r.total_cpu(), r.total_memory(), r.total_storage(), r.total_gpu(), *divmod(r.price_ceiling, ATTO)) for r in requests]
        columns = np.asarray(rows, np.int64).reshape(-1, 6).T
        return cls(columns, np.arange(len(requests)), lambda at: requests[at])

    @cached_property
    def cpu(self) -> Column:
        """Millicores."""
        return self._columns[0, self._picked]

    @cached_property
    def memory(self) -> Column:
        """Bytes."""
        return self._columns[1, self._picked]

    @cached_property
    def storage(self) -> Column:
        """Bytes."""
        return self._columns[2, self._picked]

    @cached_property
    def gpu(self) -> Column:
        """GPUs."""
        return self._columns[3, self._picked]

    @cached_property
    def ceiling_whole(self) -> Column:
        """Whole uve of the most the order pays per block."""
        return self._columns[4, self._picked]

    @cached_property
    def ceiling_atto(self) -> Column:
        """The rest of it in 10^-18 uve."""
        return self._columns[5, self._picked]

    def __len__(self) -> int:
        return len(self._picked)

    @overload
    def __getitem__(self, at: int) -> PriceRequest: ...

    @overload
    def __getitem__(self, at: slice) -> Sequence[PriceRequest]: ...

    def __getitem__(self, at: int | slice) -> PriceRequest | Sequence[PriceRequest]:
        if isinstance(at, slice):
            return [self._request_at(one) for one in self._picked[at].tolist()]
        return self._request_at(int(self._picked[at]))

    def __iter__(self) -> Iterator[PriceRequest]:
        return map(self._request_at, self._picked.tolist())


class Prices(Sequence[Answer]):
    """Answers as two int64 columns (whole uve, 10^-18 uve): what `price_many` may return in place of a list of ints.

    An entry whose whole part is NO_BID is a refusal, because the price is above the ceiling or no price at all.
    """

    def __init__(self, whole: Column, atto: Column) -> None:
        """Raises ValueError unless both are int64 of one dimension and one length."""
        for name, column in (("whole", whole), ("atto", atto)):
            if not isinstance(column, np.ndarray) or column.dtype != np.int64 or column.ndim != 1:
                raise ValueError(f"Prices: {name} is {_kind(column)}, expected a column of int64")
        if len(whole) != len(atto):
            raise ValueError(f"Prices: {len(whole)} whole and {len(atto)} atto parts, expected as many of both")
        self.whole = whole
        self.atto = atto

    @classmethod
    def within_ceilings(cls, batch: RequestBatch, whole: Column, atto: Column) -> Prices:
        """The prices, refused where they are above their order's ceiling (equal is enough) or not above zero."""
        wrong = (whole > batch.ceiling_whole) | ((whole == batch.ceiling_whole) & (atto > batch.ceiling_atto))
        wrong |= (whole < 0) | ((whole == 0) & (atto <= 0))
        return cls(np.where(wrong, NO_BID, whole), np.where(wrong, 0, atto))

    def __len__(self) -> int:
        return len(self.whole)

    @overload
    def __getitem__(self, at: int) -> Answer: ...

    @overload
    def __getitem__(self, at: slice) -> Sequence[Answer]: ...

    def __getitem__(self, at: int | slice) -> Answer | Sequence[Answer]:
        if isinstance(at, slice):
            return [self[one] for one in range(*at.indices(len(self)))]
        whole = int(self.whole[at])
        if whole == NO_BID:
            return Refusal(RefusalCode.PRICE_TOO_HIGH, "the price is above the order's ceiling")
        return whole * ATTO + int(self.atto[at])


def _kind(value: object) -> str:
    return f"{value.dtype} of shape {value.shape}" if isinstance(value, np.ndarray) else type(value).__name__
