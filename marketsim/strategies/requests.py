"""What a user's strategy is handed during a run: requests one by one or as columns, and its own desk.

A strategy sees these and nothing else: no rival's price or cost, nothing of a tenant but its order. All values
are frozen; a strategy may keep them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from fractions import Fraction
from operator import attrgetter
from typing import Any, NamedTuple, Protocol, overload, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from marketsim.kernel.table_set import Table
from marketsim.money.text import half_even
from marketsim.money.units import ATTO
from marketsim.strategies.rules import Answer, GpuModel, PriceRequest, Refusal, RefusalCode, ResourceUnit, UnitPrices

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


class ManifestOrder(NamedTuple):
    """What an engine knows of an order out of a manifest beyond what the chain keeps.

    Its resource units with every volume, endpoint and GPU, its coin and what that is worth in uve, and its ceiling in that coin and in uve
    (units of 10^-18) as the manifest has them.
    """

    units: tuple[ResourceUnit, ...]
    denom: str
    rate: Fraction
    ceiling: int
    ceiling_uve: int

    def in_coin(self, ceiling: int) -> int:
        """A ceiling in 10^-18 uve as one in the order's coin; the manifest's own comes out as it was written."""
        if ceiling == self.ceiling_uve:
            return self.ceiling
        return half_even(ceiling * self.rate.denominator, self.rate.numerator)

    def in_uve(self, price: int) -> int:
        """A price in 10^-18 of the order's coin as one in uve, rounded down so that a price within the ceiling stays within it."""
        return price * self.rate.numerator // self.rate.denominator


def allocated(units: tuple[ResourceUnit, ...], own: Sequence[GpuModel]) -> tuple[ResourceUnit, ...]:
    """The units with the GPU that a provider with the models `own` would give in place of those that would do.

    Upstream's inventory looks through the provider's GPUs for the first that is asked for by name, or by `*`, and keeps the memory and the
    interface that are asked for.
    """
    if not any(unit.gpu and _is_open(unit.gpu_models) for unit in units):
        return units
    return tuple(replace(unit, gpu_models=_given(unit.gpu_models, own)) if unit.gpu else unit for unit in units)


def _is_open(models: Sequence[GpuModel]) -> bool:
    return len(models) > 1 or any(model.model == "*" for model in models)


def _given(asked: tuple[GpuModel, ...], own: Sequence[GpuModel]) -> tuple[GpuModel, ...]:
    for gpu in own:
        alike = [model for model in asked if model.vendor == gpu.vendor and model.model in (gpu.model, "*")]
        fitting = [m for m in alike if m.ram in ("", gpu.ram or m.ram) and m.interface in ("", gpu.interface or m.interface)]
        if fitting:
            chosen = min(fitting, key=lambda model: model.model == "*")
            return (replace(chosen, model=gpu.model),)
    return asked[:1]


@dataclass(frozen=True, slots=True)
class OrderRequest(PriceRequest):
    """A request with its totals at hand, made once an order; each desk that is asked gets it by `for_desk`."""

    cpu: int = 0
    memory: int = 0
    storage: int = 0
    gpu: int = 0
    manifest: ManifestOrder | None = None

    def for_desk(self, provider: str, utilization: Fraction) -> DeskRequest:
        """The same request as one provider gets it."""
        request = _new(DeskRequest)
        _write_order(request, self)
        _write_provider(request, provider)
        _write_utilization(request, utilization)
        return request


class DeskRequest(PriceRequest):
    """An order's request with one provider's name and use: every field of PriceRequest, none of them copied.

    It reads its fields through the order's request (millions of copies are most of the time of a run that prices by
    the call). `dataclasses.replace` and pickle make a plain PriceRequest of it.
    """

    __slots__ = ("_order", "_provider", "_utilization")
    _order: OrderRequest

    def __new__(cls, *values: Any, **fields: Any) -> PriceRequest:  # type: ignore[misc]
        """A plain request: what `dataclasses.replace` asks for."""
        return PriceRequest(*values, **fields)

    def __reduce__(self) -> tuple[Any, ...]:
        return PriceRequest, tuple(getattr(self, field.name) for field in fields(PriceRequest))

    def total_cpu(self) -> int:
        """Millicores over all units and their counts."""
        return self._order.cpu

    def total_memory(self) -> int:
        """Bytes of memory over all units and their counts."""
        return self._order.memory

    def total_storage(self) -> int:
        """Bytes of storage over all units and their counts."""
        return self._order.storage

    def total_gpu(self) -> int:
        """GPUs over all units and their counts."""
        return self._order.gpu


_new: Callable[[type[DeskRequest]], DeskRequest] = object.__new__
_write_order, _write_provider, _write_utilization = (DeskRequest.__dict__[name].__set__ for name in DeskRequest.__slots__)
for _field in fields(PriceRequest):  # in place of the slots of PriceRequest, which stay empty
    _own = _field.name in ("provider", "utilization")
    setattr(DeskRequest, _field.name, property(attrgetter(f"_{_field.name}" if _own else f"_order.{_field.name}")))


class RequestBatch(Sequence[PriceRequest]):
    """What is asked at once: a sequence of requests, and their sizes and ceilings as columns. A row is an order before one provider's desk.

    Columns are int64, an entry a request, and must not be written to: `desk`, the row of the provider among the strategy's own, `order`,
    a number that is the same wherever the order is spoken of, `cpu` in millicores, `memory` and `storage` in bytes, `gpu`, and the pair
    `ceiling_whole`, `ceiling_atto` (uve per block). Requests are made when they are looked at, so that a class that reads columns alone
    pays for columns alone.
    """

    def __init__(self, columns: Table, request_at: Callable[[int], PriceRequest]) -> None:
        """`columns` is (8, requests) in the order named above; `request_at` makes one."""
        self.desk, self.order, self.cpu, self.memory, self.storage, self.gpu, self.ceiling_whole, self.ceiling_atto = columns
        self._request_at = request_at

    @classmethod
    def of(cls, requests: Sequence[PriceRequest]) -> RequestBatch:
        """A batch of requests that exist already, all of one provider's desk."""
        rows = [
            (0, at, r.total_cpu(), r.total_memory(), r.total_storage(), r.total_gpu(), *divmod(r.price_ceiling, ATTO))
            for at, r in enumerate(requests)
        ]
        return cls(np.asarray(rows, np.int64).reshape(-1, 8).T, lambda at: requests[at])

    def __len__(self) -> int:
        return len(self.cpu)

    @overload
    def __getitem__(self, at: int) -> PriceRequest: ...

    @overload
    def __getitem__(self, at: slice) -> Sequence[PriceRequest]: ...

    def __getitem__(self, at: int | slice) -> PriceRequest | Sequence[PriceRequest]:
        if isinstance(at, slice):
            return [self._request_at(one) for one in range(*at.indices(len(self)))]
        return self._request_at(range(len(self))[at])

    def __iter__(self) -> Iterator[PriceRequest]:
        return map(self._request_at, range(len(self)))


class Prices(Sequence[Answer]):
    """Answers as two int64 columns (whole uve, 10^-18 uve): what `price_many` may return in place of a list of ints.

    An entry whose whole part is NO_BID is a refusal, because the price is above the ceiling or no price at all.

    >>> import marketsim as ms
    >>> import numpy as np
    >>> len(ms.Prices(np.array([5, -1]), np.array([0, 0])))
    2
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
            return [self._at(one) for one in range(*at.indices(len(self)))]
        return self._at(at)

    def _at(self, at: int) -> Answer:
        whole = int(self.whole[at])
        price: int = whole * ATTO + int(self.atto[at])
        return price if whole != NO_BID else Refusal(RefusalCode.PRICE_TOO_HIGH, "above the order's ceiling")


def _kind(value: object) -> str:
    return f"{value.dtype} of shape {value.shape}" if isinstance(value, np.ndarray) else type(value).__name__
