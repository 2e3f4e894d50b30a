"""Users' strategies in a run: a Python class or an operator's script behind a desk prices each order before it is sent.

The block loop knows nothing of Python: it reads the price of a custom desk from the row of `Engine.quotes` that the
order's plan names. `CustomPricing.quote` fills these rows whenever a tenant's process hands orders over, a day's at
once or one at a time, and tells the strategies at the start and at every day's end how their own desk stands. An
order's prices depend on the day's end before it and on nothing later, so that it does not matter how it is handed
over. An order that is listed again after its lease ended (StartGroup) is offered the prices of its first listing: a
provider stands by what it quoted for a deployment. A deployment that its tenant makes anew is priced anew.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from marketsim.chain.columns import Deployment, DeploymentState, Draft, Resource
from marketsim.chain.requirements import Requirements
from marketsim.errors import InputError
from marketsim.kernel.table_set import Table
from marketsim.market.clock import BlockClock
from marketsim.market.tables import Call, Desk, Kind, Plan, codes_of
from marketsim.money.units import ATTO
from marketsim.strategies.check import load_strategy
from marketsim.strategies.requests import NO_BID, OrderRequest, OwnDesk, Prices, RequestBatch, Sizes
from marketsim.strategies.rules import MIB, GpuModel, PriceRequest, Refusal, RefusalCode, ResourceUnit, Strategy, UnitPrices, Volume
from marketsim.strategies.script import OperatorScript

DAY_MS = 86_400_000
TOO_HIGH = 1 << 61
"""Whole uve above every ceiling: a strategy that refuses because of the ceiling is declined like a price above it."""
LARGEST = 1 << 62
"""Where the chain stops counting the storage of a group."""


class CustomDesk(NamedTuple):
    """A provider whose prices come from a user's code; `label` names that code in errors."""

    row: int
    provider: str
    strategy: Strategy
    label: str


class Asked(NamedTuple):
    """What the orders of a run ask for beside their size, by the chain's spec, and who asks."""

    requirements: Sequence[Requirements]
    regions: Sequence[str | None]
    tenants: Sequence[str]
    first_tenant: int
    """Wallet of the first tenant."""


def load_desk_strategy(python: str | None, script: str | None, folder: Path, where: str) -> tuple[Strategy, str]:
    """The strategy that a cohort names, and how errors call it.

    Modules are looked for in `folder`, the scenario's, before the import path; a relative script path is one in it.
    Raises InputError, beginning with `where`, for a class that is not there or cannot be built without arguments.
    """
    if script is not None:
        return OperatorScript(folder / script), f"{where}.script: {script}"
    assert python is not None
    return load_strategy(python, search=(folder,), where=f"{where}.python"), f"{where}.python: {python}"


class CustomPricing:
    """Asks the strategies of all custom desks, and keeps their answers where the block loop reads them."""

    def __init__(self, clock: BlockClock, desks: Sequence[CustomDesk], asked: Asked) -> None:
        self._clock = clock
        self._desks = [_Asking(desk) for desk in desks]
        self._rows = np.asarray([desk.row for desk in desks], np.int64)
        self._asked = asked
        self._orders = _DraftColumns()
        self._quotes = _QuoteRows(clock)
        self._told_day = -1
        clock.engine.globals.any_custom = 1

    def days(self) -> Generator[Any, Any, None]:
        """SimPy process: tell the strategies how their desks stand, at the start and at every day's end."""
        while True:
            self._tell()
            yield self._clock.env.timeout(DAY_MS - int(self._clock.env.now) % DAY_MS)

    def quote(self, calls: Table) -> None:
        """Price the orders of messages that are about to be submitted, rows of `Call`; the plans then name their quotes.

        Every custom desk that its standing filters let bid is asked for every order. Raises InputError for an
        answer that is no price, and for what the user's code raises.
        """
        self._tell()
        calls = calls[calls[:, Call.kind] == Kind.ARRIVE]
        if not len(calls):
            return
        clock = self._clock
        self._orders.read(clock)
        groups = calls[:, Call.d]
        first_rows = self._quotes.take(calls)
        clock.engine.plans[calls[:, Call.a], Plan.quote] = first_rows
        within = np.arange(int(groups.sum())) - np.repeat(np.cumsum(groups) - groups, groups)
        drafts = np.repeat(calls[:, Call.c], groups) + within
        rows = np.repeat(first_rows, groups) + within
        sizes, specs = self._orders.sizes[:, drafts], self._orders.specs[drafts]
        requests = _Requests(clock, self._asked, sizes, specs, drafts, np.repeat(calls, groups, axis=0), within)
        engine = clock.engine
        engine.quotes[rows] = NO_BID
        for at, picked in enumerate(self._may_bid(sizes, specs)):
            if len(picked):
                column = 2 * int(self._rows[at])
                whole, atto = self._desks[at].ask(requests, picked)
                engine.quotes[rows[picked], column] = whole
                engine.quotes[rows[picked], column + 1] = atto

    def _may_bid(self, sizes: Table, specs: Table) -> list[Table]:
        """Positions of the orders that each desk may bid on, as far as this is known before the order arrives."""
        engine = self._clock.engine
        desks = engine.desks[self._rows]
        fits = (codes_of(engine.fits)[specs][:, self._rows] == 0) & (desks[:, Desk.enabled] == 1)
        fits &= sizes[0][:, None] <= desks[:, Desk.max_cpu]
        fits &= -(-sizes[1] // MIB)[:, None] <= desks[:, Desk.max_memory]
        fits &= -(-sizes[2] // MIB)[:, None] <= desks[:, Desk.max_storage]
        fits &= sizes[3][:, None] <= desks[:, Desk.max_gpu]
        return [np.flatnonzero(column) for column in fits.T]

    def _tell(self) -> None:
        """Tell every strategy how its desk stands, once a day: whoever comes first at a day's end."""
        clock = self._clock
        day = int(clock.env.now) // DAY_MS
        if day == self._told_day:
            return
        self._told_day = day
        clock.look()
        height = max(0, int(clock.engine.globals.executed))
        for desk in self._desks:
            desk.tell(clock.engine.desks[desk.row], height)
        self._quotes.release()


class _Asking:
    """One strategy and the checks of what it answers."""

    def __init__(self, desk: CustomDesk) -> None:
        self.row = desk.row
        self.provider = desk.provider
        self.utilization = Fraction(0)
        self._label = desk.label
        self._price = desk.strategy.price
        self._many: Callable[[RequestBatch], Any] | None = getattr(desk.strategy, "price_many", None)
        self._observe: Callable[[OwnDesk], None] | None = getattr(desk.strategy, "observe", None)

    def tell(self, desk: Table, height: int) -> None:
        """Note the desk's use, and pass it on to a strategy that wants to know."""
        units = [int(desk[at]) * ATTO + int(desk[at + 1]) for at in range(Desk.list_cpu, Desk.list_gpu + 1, 2)]
        own = OwnDesk(
            provider=self.provider,
            height=height,
            capacity=_sizes_at(desk, Desk.cap_cpu),
            leased=_sizes_at(desk, Desk.leased_cpu),
            prices=UnitPrices(*units),
            margin_ppm=int(desk[Desk.margin_ppm]),
        )
        self.utilization = own.utilization
        if self._observe is not None:
            try:
                self._observe(own)
            except Exception as error:
                raise InputError(
                    f"{self._label}: observe of {self.provider} after block {height} raises "
                    f"{type(error).__name__}: {error}, expected it to return"
                ) from error

    def ask(self, requests: _Requests, picked: Table) -> tuple[Table, Table]:
        """Prices of the picked orders as a pair of columns, NO_BID where there is none."""

        def request_at(at: int) -> PriceRequest:
            return requests.of(at).for_desk(self.provider, self.utilization)

        if self._many is None:
            return self._one_by_one(requests, picked)
        batch = RequestBatch(requests.sizes, picked, request_at)
        try:
            answers = self._many(batch)
        except InputError:
            raise
        except Exception as error:
            first, last = requests.name(int(picked[0])), requests.name(int(picked[-1]))
            raise self._failure(f"orders {first} to {last}", "price_many", error) from error
        if isinstance(answers, Prices):
            return self._columns(answers, batch)
        answers = list(answers) if isinstance(answers, Sequence) else answers
        if not isinstance(answers, list) or len(answers) != len(picked):
            found = f"{len(answers)} answers" if isinstance(answers, list) else type(answers).__name__
            raise InputError(
                f"{self._label}: price_many of {len(picked)} orders returns {found}, expected a sequence of as many prices or refusals"
            )
        return self._pairs(answers, lambda at: batch[at])

    def _one_by_one(self, requests: _Requests, picked: Table) -> tuple[Table, Table]:
        price, order_at = self._price, requests.of
        provider, utilization = self.provider, self.utilization
        answers: list[Any] = []
        for at in picked.tolist():
            request = order_at(at).for_desk(provider, utilization)
            try:
                answers.append(price(request))
            except InputError:
                raise
            except Exception as error:
                raise self._failure(f"order {request.order}", "price", error) from error
        return self._pairs(answers, lambda at: order_at(int(picked[at])))

    def _pairs(self, answers: list[Any], request_at: Callable[[int], PriceRequest]) -> tuple[Table, Table]:
        whole: list[int] = []
        atto: list[int] = []
        for at, answer in enumerate(answers):
            if type(answer) is int and answer > 0:
                units, rest = divmod(answer, ATTO)
                whole.append(units if units < TOO_HIGH else TOO_HIGH)
                atto.append(rest)
            elif answer is None or isinstance(answer, Refusal):
                high = answer is not None and answer.code == RefusalCode.PRICE_TOO_HIGH
                whole.append(TOO_HIGH if high else NO_BID)
                atto.append(0)
            else:
                raise self._no_price(answer, request_at(at))
        return np.asarray(whole, np.int64), np.asarray(atto, np.int64)

    def _columns(self, prices: Prices, batch: RequestBatch) -> tuple[Table, Table]:
        if len(prices) != len(batch):
            raise InputError(f"{self._label}: price_many of {len(batch)} orders returns {len(prices)} prices, expected as many")
        whole, atto = prices.whole, prices.atto
        wrong = (whole != NO_BID) & ((whole < 0) | (atto < 0) | (atto >= ATTO) | ((whole == 0) & (atto == 0)))
        if wrong.any():
            at = int(np.argmax(wrong))
            raise InputError(
                f"{self._label}: order {batch[at].order}: price_many returns {int(whole[at])} whole uve and "
                f"{int(atto[at])} of 10^18, expected a price above 0 whose second part is 0 to 10^18 - 1, "
                f"or {NO_BID} as its whole part"
            )
        return np.where(whole == NO_BID, TOO_HIGH, np.minimum(whole, TOO_HIGH)), atto

    def _failure(self, orders: str, method: str, error: Exception) -> InputError:
        return InputError(
            f"{self._label}: {orders}: {method} of {self.provider} raises {type(error).__name__}: {error}, "
            "expected a price in units of 10^-18 uve or a Refusal"
        )

    def _no_price(self, answer: object, request: PriceRequest) -> InputError:
        what = f"{answer!r} of type {type(answer).__name__}"
        return InputError(
            f"{self._label}: order {request.order}: {self.provider} answers {what}, expected an int above 0 in units "
            "of 10^-18 uve, a Refusal or None"
        )


def _sizes_at(desk: Table, column: int) -> Sizes:
    cpu, memory, storage, gpu = (int(desk[column + at]) for at in range(4))
    return Sizes(cpu, memory * MIB, storage * MIB, gpu)


class _DraftColumns:
    """Size and ceiling of every group that a message can bring, kept up with the chain's drafts.

    `sizes` is int64 (6, drafts): cpu, memory and storage in bytes, gpu, ceiling whole and atto; `specs` one a draft.
    """

    def __init__(self) -> None:
        self.sizes: Table = np.zeros((6, 0), np.int64)
        self.specs: Table = np.zeros(0, np.int64)
        self._read = 0

    def read(self, clock: BlockClock) -> None:
        """Read the drafts that have come since the last time."""
        chain = clock.chain
        end = int(chain.globals.drafts)
        if end == self._read:
            return
        drafts = chain.drafts[self._read : end]
        found = np.zeros((6, len(drafts)), np.int64)
        single = drafts[:, Draft.resources] == 1
        units = chain.resources[drafts[single, Draft.first_resource]]
        plain = units[:, Resource.count] == 1
        columns = [Resource.cpu, Resource.memory, Resource.storage, Resource.gpu, Resource.price, Resource.price_atto]
        found[:, np.flatnonzero(single)[plain]] = units[plain][:, columns].T
        rest = np.ones(len(drafts), bool)
        rest[np.flatnonzero(single)[plain]] = False
        for at in np.flatnonzero(rest).tolist():
            first = int(drafts[at, Draft.first_resource])
            found[:, at] = _group_of(chain.resources[first : first + int(drafts[at, Draft.resources])])
        if end > self.sizes.shape[1]:  # orders that are made again come one at a time: grow by halves
            room = max(end, 3 * self.sizes.shape[1] // 2)
            sizes, specs = np.zeros((6, room), np.int64), np.zeros(room, np.int64)
            sizes[:, : self._read], specs[: self._read] = self.sizes[:, : self._read], self.specs[: self._read]
            self.sizes, self.specs = sizes, specs
        self.sizes[:, self._read : end] = found
        self.specs[self._read : end] = drafts[:, Draft.spec]
        self._read = end


def _group_of(units: Table) -> list[int]:
    """Totals of one group of several units as the chain makes them, ints: cpu, memory, storage, gpu, ceiling whole, atto."""
    rows = units.tolist()
    price = sum((row[Resource.price] * ATTO + row[Resource.price_atto]) * row[Resource.count] for row in rows)
    totals = [
        sum(row[column] * row[Resource.count] for row in rows) for column in (Resource.cpu, Resource.memory, Resource.storage, Resource.gpu)
    ]
    # a message with sizes that the chain will refuse is not priced for more than a column holds
    return [min(total, LARGEST) for total in (*totals, price // ATTO)] + [price % ATTO]


class _Requests:
    """The orders of one hand-over: their columns, and a request for each that some strategy looks at."""

    def __init__(self, clock: BlockClock, asked: Asked, sizes: Table, specs: Table, drafts: Table, calls: Table, within: Table) -> None:
        self.sizes = sizes
        self._clock = clock
        self._asked = asked
        self._specs = specs
        self._drafts = drafts
        self._calls = calls
        self._within = within
        self._made: list[OrderRequest | None] = [None] * len(drafts)

    def name(self, at: int) -> str:
        """Order id as people see it."""
        return f"{self._owner(at)}/{int(self._calls[at, Call.e])}/{int(self._within[at]) + 1}/1"

    def of(self, at: int) -> OrderRequest:
        """The request of one order, made when it is first looked at."""
        request = self._made[at]
        if request is None:
            request = self._made[at] = self._make(at)
        return request

    def _owner(self, at: int) -> str:
        plan = int(self._calls[at, Call.a])
        return self._asked.tenants[int(self._clock.engine.plans[plan].tenant) - self._asked.first_tenant]

    def _make(self, at: int) -> OrderRequest:
        chain = self._clock.chain
        _, _, first, units = chain.drafts[self._drafts[at], : Draft.width].tolist()
        cpu, memory, storage, gpu, whole, atto = self.sizes[:, at].tolist()
        spec = int(self._specs[at])
        requirements = self._asked.requirements[spec]
        return OrderRequest(
            resources=_units(chain.resources[first : first + units].tolist(), requirements),
            price_ceiling=whole * ATTO + atto,
            order=self.name(at),
            owner=self._owner(at),
            height=int(self._calls[at, Call.key]) // 16,
            region=self._asked.regions[spec] or "",
            attributes=requirements.attributes,
            cpu=cpu,
            memory=memory,
            storage=storage,
            gpu=gpu,
        )


def _units(rows: list[list[int]], requirements: Requirements) -> tuple[ResourceUnit, ...]:
    """Resource units out of the chain's rows; of several volumes of a unit the chain keeps the sum, shown as one."""
    models = iter(requirements.gpus)
    return tuple(
        ResourceUnit(
            cpu=row[Resource.cpu],
            memory=row[Resource.memory],
            volumes=(Volume(row[Resource.storage]),) if row[Resource.storage] else (),
            gpu=row[Resource.gpu],
            gpu_models=_models(next(models, ())) if row[Resource.gpu_attributes] else (),
            count=row[Resource.count],
            endpoints=row[Resource.endpoints],
        )
        for row in rows
    )


def _models(attributes: Sequence[tuple[str, str]]) -> tuple[GpuModel, ...]:
    """GPU models out of attributes such as `vendor/nvidia/model/a100/ram/80Gi`."""
    found = []
    for key, _ in attributes:
        parts = key.split("/")
        named = dict(zip(parts[::2], parts[1::2], strict=False))
        if "vendor" in named and "model" in named:
            found.append(GpuModel(named["vendor"], named["model"], named.get("ram", ""), named.get("interface", "")))
    return tuple(found)


class _Taken(NamedTuple):
    """Quote rows of one hand-over: as many rows from `starts` on as `sizes` says, for `plans`; `height` of the last arrival."""

    height: int
    starts: Table
    sizes: Table
    plans: Table
    relists: Table
    """Whether the tenant may list the order again."""


class _QuoteRows:
    """Rows of the quotes table, given back when no order can ask for them any more, so that a long run needs few."""

    def __init__(self, clock: BlockClock) -> None:
        self._clock = clock
        self._used = 0
        self._free: dict[int, list[int]] = {}
        self._taken: deque[_Taken] = deque()
        self._kept: list[tuple[int, int, int]] = []

    def take(self, calls: Table) -> Table:
        """Return the first of the rows that each message's groups get, one a group and side by side."""
        self._return_done()
        sizes = calls[:, Call.d]
        starts = np.empty(len(calls), np.int64)
        for size in np.unique(sizes).tolist():
            mine = np.flatnonzero(sizes == size)
            free = self._free.setdefault(size, [])
            again = min(len(free), len(mine))
            if again:
                starts[mine[:again]] = free[len(free) - again :]
                del free[len(free) - again :]
            fresh = len(mine) - again
            starts[mine[again:]] = self._used + size * np.arange(fresh)
            self._used += size * fresh
        engine = self._clock.engine
        if self._used > len(engine.quotes):
            grown = np.full((max(self._used, 3 * len(engine.quotes) // 2), engine.quotes.shape[1]), NO_BID, np.int64)
            grown[: len(engine.quotes)] = engine.quotes
            self._clock.engine = engine._replace(quotes=grown)
        plans = calls[:, Call.a]
        relists = engine.plans[plans, Plan.restart_left] > 0
        self._taken.append(_Taken(int(calls[:, Call.key].max()) // 16, starts, sizes, plans, relists))
        return starts

    def release(self) -> None:
        """Give back the rows of deployments that have ended since."""
        self._return_done()
        chain, engine = self._clock.chain, self._clock.engine
        kept = []
        for plan, start, size in self._kept:
            deployment = int(engine.plans[plan].deployment)
            if deployment >= 0 and chain.deployments[deployment, Deployment.state] == DeploymentState.ACTIVE:
                kept.append((plan, start, size))
            else:
                self._free[size].append(start)
        self._kept = kept

    def _return_done(self) -> None:
        executed = int(self._clock.engine.globals.executed)
        while self._taken and self._taken[0].height <= executed:
            done = self._taken.popleft()
            triples = zip(done.plans.tolist(), done.starts.tolist(), done.sizes.tolist(), strict=True)
            for (plan, start, size), relists in zip(triples, done.relists.tolist(), strict=True):
                if relists:
                    self._kept.append((plan, start, size))
                else:
                    self._free[size].append(start)


def custom_desks(named: Mapping[int, tuple[Strategy, str]], providers: Sequence[str]) -> list[CustomDesk]:
    """Custom desks in the order of their rows, from each row's strategy and what errors call it."""
    return [CustomDesk(row, providers[row], *named[row]) for row in sorted(named)]


__all__ = ["Asked", "CustomDesk", "CustomPricing", "custom_desks", "load_desk_strategy"]
