"""What a strategy that is asked in time knows beside the orders: its own desks as they stand, and what became of its bids."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from marketsim.kernel.table_set import Table
from marketsim.market.list_prices import list_price_pairs
from marketsim.market.tables import BidOutcome, Desk, Ended, OutcomeKind
from marketsim.money.units import ATTO, MIB
from marketsim.strategies.requests import Column, Prices, RequestBatch
from marketsim.strategies.rules import Answer

LOST, WON, CLOSED, ENDED = (int(kind) for kind in (OutcomeKind.LOST, OutcomeKind.WON, OutcomeKind.CLOSED, OutcomeKind.ENDED))
ENDED_FOR = {int(ended): ended.name.lower() for ended in Ended}
"""Why a lease ended, by the number in `Outcomes.why`."""


class OwnDesks:
    """A strategy's own providers, a row each, in the order of their names' numbers: columns of int64 that are read when they are asked for.

    They say how the desks stand at that moment; a column once read stays as it was. Sizes are in millicores, bytes, bytes and GPUs, money
    in whole uve and 10^-18 uve.
    """

    def __init__(self, names: Sequence[str], desks: Callable[[], Table], chain: Callable[[], Table], height: Callable[[], int]) -> None:
        """`desks` and `chain` give these desks' rows of the tables of desks and of the chain's providers, `height` the block at hand."""
        self.names = tuple(names)
        """The providers' names."""
        self._desks = desks
        self._chain = chain
        self._height = height

    def __len__(self) -> int:
        return len(self.names)

    @property
    def height(self) -> int:
        """The block at hand: the one in which the orders of `batch` came, or the last one before `hear` is called."""
        return self._height()

    def _column(self, at: int) -> Column:
        return np.array(self._desks()[:, at])

    @property
    def cpu(self) -> Column:
        """Capacity, over-commit included, in millicores."""
        return self._column(Desk.cap_cpu)

    @property
    def memory(self) -> Column:
        """Capacity in bytes."""
        return self._column(Desk.cap_memory) * MIB

    @property
    def storage(self) -> Column:
        """Capacity in bytes."""
        return self._column(Desk.cap_storage) * MIB

    @property
    def gpu(self) -> Column:
        """GPUs."""
        return self._column(Desk.cap_gpu)

    @property
    def leased_cpu(self) -> Column:
        """Millicores that are leased out."""
        return self._column(Desk.leased_cpu)

    @property
    def leased_memory(self) -> Column:
        """Bytes of memory that are leased out."""
        return self._column(Desk.leased_memory) * MIB

    @property
    def leased_storage(self) -> Column:
        """Bytes of storage that are leased out."""
        return self._column(Desk.leased_storage) * MIB

    @property
    def leased_gpu(self) -> Column:
        """GPUs that are leased out."""
        return self._column(Desk.leased_gpu)

    @property
    def utilization(self) -> NDArray[np.float64]:
        """Leased cpu over capacity, 0 for a provider without cpu: float64."""
        desks = self._desks()
        return np.asarray(desks[:, Desk.leased_cpu] / np.maximum(desks[:, Desk.cap_cpu], 1), np.float64)

    @property
    def units(self) -> Table:
        """Unit prices of the provider's file, its own cost draw included: (desks, 8), whole uve and 10^-18 uve in turn for a millicore, a
        MiB of memory, a MiB of storage and a GPU.
        """
        desks = self._desks()
        return list_price_pairs(desks).reshape(len(desks), -1)

    @property
    def margin_ppm(self) -> Column:
        """The margin of the provider's file in parts per million."""
        return self._column(Desk.margin_ppm)

    @property
    def submitted(self) -> Column:
        """Bids handed in since the start."""
        return self._column(Desk.submitted)

    @property
    def accepted(self) -> Column:
        """Bids that the chain took."""
        return self._column(Desk.accepted)

    @property
    def won(self) -> Column:
        """Bids that won."""
        return self._column(Desk.won)

    @property
    def lost(self) -> Column:
        """Bids that lost to another."""
        return self._column(Desk.lost)

    @property
    def revenue(self) -> Column:
        """Paid out since the start, net of take, in whole uve. `hear` is called after everything due is settled; between two settlements it
        stands still."""
        return np.array(self._chain()[:, 0])

    @property
    def take(self) -> Column:
        """The network's take of what was paid out since the start, in whole uve."""
        return np.array(self._chain()[:, 1])


class Outcomes:
    """What became of one's bids since one was last told, oldest first: columns of int64, an entry each.

    `kind` is LOST, WON, CLOSED (the bid ended without a lease: its order did, or the bid was withdrawn or timed out) or ENDED (its lease is
    over). A column is made when it is read.
    """

    LOST, WON, CLOSED, ENDED = LOST, WON, CLOSED, ENDED

    def __init__(self, rows: Table, first: int, orders: Callable[[Table], tuple[Table, Table]]) -> None:
        """`rows` are rows of `BidOutcome`; `first` is the desk that is row 0 of `own`; `orders` gives ids and sizes."""
        self._rows = rows
        self._first = first
        self._orders = orders

    def __len__(self) -> int:
        return len(self._rows)

    def _column(self, at: int) -> Column:
        return np.array(self._rows[:, at])

    @cached_property
    def kind(self) -> Column:
        """LOST, WON, CLOSED or ENDED."""
        return self._column(BidOutcome.kind)

    @cached_property
    def desk(self) -> Column:
        """The row of `own`."""
        return self._column(BidOutcome.desk) - self._first

    @cached_property
    def height(self) -> Column:
        """The block in which it happened."""
        return self._column(BidOutcome.height)

    @cached_property
    def order(self) -> Column:
        """The order's number, the same as in `batch.order`."""
        return self._orders(self._rows[:, BidOutcome.order])[0]

    @cached_property
    def cpu(self) -> Column:
        """Millicores that the order asked for."""
        return self._orders(self._rows[:, BidOutcome.order])[1]

    @cached_property
    def price_whole(self) -> Column:
        """Whole uve per block of one's own bid."""
        return self._column(BidOutcome.price)

    @cached_property
    def price_atto(self) -> Column:
        """The rest of it in 10^-18 uve."""
        return self._column(BidOutcome.price_atto)

    @cached_property
    def price(self) -> NDArray[np.float64]:
        """One's own bid in uve per block: float64."""
        return np.asarray(self.price_whole + self.price_atto / ATTO, np.float64)

    @cached_property
    def winning_whole(self) -> Column:
        """Whole uve per block of the bid that won; 0 where none did (CLOSED, ENDED)."""
        return np.where(self.kind <= WON, self._rows[:, BidOutcome.other], 0)

    @cached_property
    def winning_atto(self) -> Column:
        """The rest of it in 10^-18 uve."""
        return np.where(self.kind <= WON, self._rows[:, BidOutcome.other_atto], 0)

    @cached_property
    def winning(self) -> NDArray[np.float64]:
        """The price that won in uve per block: float64, 0 where none did."""
        return np.asarray(self.winning_whole + self.winning_atto / ATTO, np.float64)

    @cached_property
    def why(self) -> Column:
        """Of an ENDED lease its reason, a number of ENDED_FOR; 0 for the others."""
        return np.where(self.kind == ENDED, self._rows[:, BidOutcome.other], 0)


class StrategyRun:
    """What a strategy gets by `start(me)` before block 1: its random stream, its providers and a table in the results."""

    def __init__(self, name: str, own: OwnDesks, rng: np.random.Generator, write: Callable[[str, dict[str, Any]], None]) -> None:
        self.name = name
        """The cohort's name, and with `each: provider` the provider's."""
        self.own = own
        """The providers whose prices it makes."""
        self.rng = rng
        """Draws that depend on the seed and this name alone."""
        self._write = write

    def log(self, who: str = "", /, **values: Any) -> None:
        """Write a row, with the block at hand, into the results' table of the cohort's name. `who` is the provider that it is about."""
        self._write(who or self.name, values)


__all__ = ["CLOSED", "ENDED", "ENDED_FOR", "LOST", "WON", "Outcomes", "OwnDesks", "StrategyRun"]


class LearningStrategy(Protocol):
    """A pricing strategy that answers for all providers of a cohort at once and hears what became of its bids.

    A scenario names one as it names a `Strategy`; a class with `decide` is this kind. `start(me)` and `hear(own, outcomes)` are optional,
    and so is the attribute `hear_every`, a duration such as `"1h"` (a day without it). `me` is a `StrategyRun`: its name, `own`, the
    generator `rng` of a stream of the cohort's name, and `log(who, **values)`, a row in the results.

    >>> import marketsim as ms
    >>> import numpy as np
    >>> class Flat:
    ...     def decide(self, batch, own, outcomes):
    ...         return ms.Prices(np.full(len(batch), 5), np.zeros(len(batch), np.int64))
    >>> Flat().decide(range(3), None, None).whole.tolist()
    [5, 5, 5]
    """

    def decide(self, batch: RequestBatch, own: OwnDesks, outcomes: Outcomes, /) -> Prices | Sequence[Answer | None]:
        """Return the prices of a block: `Prices(whole, atto)`, int64 columns of shape (len(batch),) in uve and 10^-18 uve per block with
        NO_BID as the whole part of a refusal, or as many answers as `Strategy.price` gives.

        A row of `batch` is one order before one provider's desk; `own` has a row a provider; `outcomes` are those since it last heard.
        What is raised ends the run with file and line, and so does what is no price.
        """
