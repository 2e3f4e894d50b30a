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
from dataclasses import replace
from fractions import Fraction
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from marketsim.chain.columns import Deployment, DeploymentState, Draft, Resource
from marketsim.chain.requirements import Requirements
from marketsim.errors import InputError
from marketsim.kernel.table_set import Table
from marketsim.market.clock import BlockClock
from marketsim.market.quoting import QUOTE_MAX
from marketsim.market.tables import REFUSED, Call, Decline, Desk, Kind, Plan, codes_of
from marketsim.money.units import ATTO, DAY_MS, MIB
from marketsim.strategies import users_code
from marketsim.strategies.check import load_strategy
from marketsim.strategies.requests import NO_BID, ManifestOrder, OrderRequest, OwnDesk, Prices, RequestBatch, Sizes, allocated
from marketsim.strategies.rules import GpuModel, PriceRequest, Refusal, RefusalCode, ResourceUnit, Strategy, UnitPrices, Volume
from marketsim.strategies.script import OperatorScript

TOO_HIGH = 1 << 61
"""Whole uve above every ceiling: a strategy that refuses because of the ceiling is declined like a price above it."""
REASONS_MAX = 10_000
"""Reasons of users' code that a run keeps."""
_GPU_CAPABILITY = "capabilities/gpu/"
_DECLINES = {code: int(Decline[code.name]) for code in RefusalCode}
LARGEST = 1 << 62
"""Where the chain stops counting the storage of a group."""


class CustomDesk(NamedTuple):
    """A provider whose prices come from a user's code; `label` names that code in errors, `gpus` are the models that it claims."""

    row: int
    provider: str
    strategy: Strategy
    label: str
    gpus: tuple[GpuModel, ...] = ()


class QuotedDesks(NamedTuple):
    """Providers of one cohort whose built-in strategy prices what the block loop does not know: volumes, addresses, models of GPUs.

    `rows` int64 (desks); the loop applies each desk's cost draw and multiplier to the price. `models` says whether every order with GPUs is
    priced so, and not only those out of manifests.
    """

    rows: Table
    strategy: Strategy
    gpus: tuple[GpuModel, ...]
    models: bool


class Asked(NamedTuple):
    """What the orders of a run ask for beside their size, by the chain's spec, and who asks."""

    requirements: Sequence[Requirements]
    regions: Sequence[str | None]
    tenants: Sequence[str]
    first_tenant: int
    """Wallet of the first tenant."""
    denom: str = "uve"
    """Coin of the orders that name none."""


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

    def __init__(self, clock: BlockClock, desks: Sequence[CustomDesk], asked: Asked, quoted: Sequence[QuotedDesks] = ()) -> None:
        self._clock = clock
        self._desks = [_Asking(desk) for desk in desks]
        self._quoted = quoted
        self._known: dict[tuple[int, tuple[ResourceUnit, ...], str], int | None] = {}
        self.reasons: dict[tuple[int, int, int, int], str] = {}
        """Why a user's code did not price a group, by tenant's wallet, dseq, gseq and desk, in its own words."""
        self._rows = np.asarray([desk.row for desk in desks], np.int64)
        self._asked = asked
        self._manifests = np.asarray([r.beyond is not None for r in asked.requirements], bool)
        self._foreign = np.asarray([isinstance(r.beyond, ManifestOrder) and r.beyond.rate != 1 for r in asked.requirements], bool)
        self._orders = _DraftColumns()
        self._quotes = _QuoteRows(clock)
        self._told_day = -1

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
        groups = calls[:, Call.drafts]
        first_rows = self._quotes.take(calls)
        clock.engine.plans[calls[:, Call.plan], Plan.quote] = first_rows
        within = np.arange(int(groups.sum())) - np.repeat(np.cumsum(groups) - groups, groups)
        drafts = np.repeat(calls[:, Call.first_draft], groups) + within
        rows = np.repeat(first_rows, groups) + within
        sizes, specs = self._orders.sizes[:, drafts], self._orders.specs[drafts]
        foreign = self._foreign[specs]
        requests = _Requests(clock, self._asked, sizes, specs, drafts, np.repeat(calls, groups, axis=0), within, foreign)
        engine = clock.engine
        engine.quotes[rows] = NO_BID
        for at, picked in enumerate(self._may_bid(sizes, specs)):
            if len(picked):
                column = 2 * int(self._rows[at])
                whole, atto = self._desks[at].ask(requests, picked)
                engine.quotes[rows[picked], column] = whole
                engine.quotes[rows[picked], column + 1] = atto
                for one, reason in self._desks[at].said[: REASONS_MAX - len(self.reasons)]:
                    self.reasons[(*requests.key(one), int(self._rows[at]))] = reason
        self._quote_built_in(requests, rows, sizes, specs)

    def _quote_built_in(self, requests: _Requests, rows: Table, sizes: Table, specs: Table) -> None:
        """Price with the built-in strategies what the block loop cannot."""
        if not self._quoted:
            return
        engine = self._clock.engine
        beyond = self._manifests[specs]
        models = np.asarray([bool(r.gpus) for r in self._asked.requirements], bool)[specs] & (sizes[3] > 0)
        for number, desks in enumerate(self._quoted):
            costs = engine.desks[desks.rows, Desk.cost_ppm]
            most = np.minimum(QUOTE_MAX, ATTO // np.maximum(costs, 1))
            for at in np.flatnonzero(beyond | models if desks.models else beyond).tolist():
                price = self._built_in_price(number, desks, requests.of(at))
                if price is not None:
                    whole, atto = divmod(price, ATTO)
                    engine.quotes[rows[at], 2 * desks.rows] = np.minimum(whole, most)
                    engine.quotes[rows[at], 2 * desks.rows + 1] = np.where(whole < most, atto, 0)

    def _built_in_price(self, number: int, desks: QuotedDesks, request: OrderRequest) -> int | None:
        """A cohort's price for an order in 10^-18 uve, whatever its ceiling; None where it has none."""
        units = allocated(request.resources, desks.gpus)
        key = (number, units, request.denom)
        if key not in self._known:
            answer = desks.strategy.price(replace(request, resources=units, price_ceiling=10**12 * ATTO))
            self._known[key] = None if isinstance(answer, Refusal) else answer
        price = self._known[key]
        return price if price is None or request.manifest is None else request.manifest.in_uve(price)

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
        self.said: list[tuple[int, str]] = []
        self._gpus = desk.gpus
        self._label = desk.label
        try:
            self._price = desk.strategy.price
            self._many: Callable[[RequestBatch], Any] | None = getattr(desk.strategy, "price_many", None)
            self._observe: Callable[[OwnDesk], None] | None = getattr(desk.strategy, "observe", None)
        except BaseException as error:
            if users_code.passes(error):
                raise
            raise InputError(f"{self._label}: its methods cannot be read: {users_code.raised(error)}") from error

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
            except BaseException as error:
                if users_code.passes(error):
                    raise
                raise InputError(
                    f"{self._label}: observe of {self.provider} after block {height} raises {users_code.raised(error)}, "
                    "expected it to return"
                ) from error

    def ask(self, requests: _Requests, picked: Table) -> tuple[Table, Table]:
        """Prices of the picked orders in uve as a pair of columns, NO_BID or REFUSED - Decline where there is none.

        What the code says of its refusals is in `said` afterwards, with the position of the order.
        """
        self.said = []

        def request_at(at: int) -> PriceRequest:
            return requests.of(at, self._gpus).for_desk(self.provider, self.utilization)

        if self._many is None:
            return self._one_by_one(requests, picked)
        batch = RequestBatch(requests.sizes_in_coin, picked, request_at)
        try:
            answers = self._many(batch)
            if not isinstance(answers, Prices) and isinstance(answers, Sequence) and len(answers) == len(picked):
                answers = list(islice(answers, len(picked)))  # a sequence of the user's own may be without end
        except InputError:
            raise
        except BaseException as error:
            if users_code.passes(error):
                raise
            first, last = requests.name(int(picked[0])), requests.name(int(picked[-1]))
            raise self._failure(f"orders {first} to {last}", "price_many", error) from error
        if isinstance(answers, Prices):
            return self._columns(answers, batch, requests, picked)
        if not isinstance(answers, list) or len(answers) != len(picked):
            found = f"{len(answers)} answers" if isinstance(answers, (list, tuple)) else type(answers).__name__
            raise InputError(
                f"{self._label}: price_many of {len(picked)} orders returns {found}, expected a sequence of as many prices or refusals"
            )
        return self._pairs(answers, requests, picked)

    def _one_by_one(self, requests: _Requests, picked: Table) -> tuple[Table, Table]:
        price, order_at, gpus = self._price, requests.of, self._gpus
        provider, utilization = self.provider, self.utilization
        answers: list[Any] = []
        for at in picked.tolist():
            request = order_at(at, gpus).for_desk(provider, utilization)
            try:
                answers.append(price(request))
            except InputError:
                raise
            except BaseException as error:
                if users_code.passes(error):
                    raise
                raise self._failure(f"order {request.order}", "price", error) from error
        return self._pairs(answers, requests, picked)

    def _pairs(self, answers: list[Any], requests: _Requests, picked: Table) -> tuple[Table, Table]:
        whole: list[int] = []
        atto: list[int] = []
        for at, answer in enumerate(requests.in_uve(answers, picked)):
            if type(answer) is int and answer > 0:
                units, rest = divmod(answer, ATTO)
                whole.append(units if units < TOO_HIGH else TOO_HIGH)
                atto.append(rest)
            elif answer is None:
                whole.append(NO_BID)
                atto.append(0)
            elif isinstance(answer, Refusal):
                high = answer.code == RefusalCode.PRICE_TOO_HIGH
                whole.append(TOO_HIGH if high else REFUSED - _DECLINES[answer.code])
                atto.append(0)
                if answer.reason and not high:
                    self.said.append((int(picked[at]), answer.reason))
            else:
                raise self._no_price(answer, requests.of(int(picked[at])))
        return np.asarray(whole, np.int64), np.asarray(atto, np.int64)

    def _columns(self, prices: Prices, batch: RequestBatch, requests: _Requests, picked: Table) -> tuple[Table, Table]:
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
        return requests.columns_in_uve(picked, np.where(whole == NO_BID, TOO_HIGH, np.minimum(whole, TOO_HIGH)), atto)

    def _failure(self, orders: str, method: str, error: BaseException) -> InputError:
        return InputError(
            f"{self._label}: {orders}: {method} of {self.provider} raises {users_code.raised(error)}, "
            "expected a price in units of 10^-18 uve or a Refusal"
        )

    def _no_price(self, answer: object, request: PriceRequest) -> InputError:
        return InputError(
            f"{self._label}: order {request.order}: {self.provider} answers {users_code.answered(answer)}, "
            "expected an int above 0 in units of 10^-18 uve, a Refusal or None"
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

    def __init__(
        self, clock: BlockClock, asked: Asked, sizes: Table, specs: Table, drafts: Table, calls: Table, within: Table, foreign: Table
    ) -> None:
        self.sizes = sizes
        self._foreign = np.flatnonzero(foreign).tolist()
        self._clock = clock
        self._asked = asked
        self._specs = specs
        self._drafts = drafts
        self._calls = calls
        self._within = within
        self._made: list[OrderRequest | None] = [None] * len(drafts)
        self._given: dict[tuple[int, tuple[GpuModel, ...]], OrderRequest] = {}

    def key(self, at: int) -> tuple[int, int, int]:
        """Tenant's wallet, dseq and gseq."""
        plan = int(self._calls[at, Call.plan])
        return int(self._clock.engine.plans[plan].tenant), int(self._calls[at, Call.dseq]), int(self._within[at]) + 1

    def in_uve(self, answers: list[Any], picked: Table) -> list[Any]:
        """Prices in 10^-18 of the picked orders' coins as ones in uve; any other answer as it is."""
        for n in self._foreign_among(picked):
            if type(answers[n]) is int and answers[n] > 0:
                answers[n] = max(1, self._manifest(int(picked[n])).in_uve(answers[n]))
        return answers

    def columns_in_uve(self, picked: Table, whole: Table, atto: Table) -> tuple[Table, Table]:
        """Columns of prices in the orders' coins as ones in uve."""
        foreign = [n for n in self._foreign_among(picked) if whole[n] < TOO_HIGH]
        if foreign:
            whole, atto = whole.copy(), atto.copy()
        for n in foreign:
            units, rest = divmod(self._manifest(int(picked[n])).in_uve(int(whole[n]) * ATTO + int(atto[n])), ATTO)
            whole[n], atto[n] = min(units, TOO_HIGH), rest
        return whole, atto

    def _foreign_among(self, picked: Table) -> list[int]:
        return np.flatnonzero(np.isin(picked, self._foreign)).tolist() if self._foreign else []

    @cached_property
    def sizes_in_coin(self) -> Table:
        """The columns with ceilings in each order's coin."""
        if not self._foreign:
            return self.sizes
        sizes = self.sizes.copy()
        for at in self._foreign:
            sizes[4, at], sizes[5, at] = divmod(self.of(at).price_ceiling, ATTO)
        return sizes

    def _manifest(self, at: int) -> ManifestOrder:
        """Of an order out of a manifest."""
        found = self._asked.requirements[int(self._specs[at])].beyond
        assert isinstance(found, ManifestOrder)
        return found

    def name(self, at: int) -> str:
        """Order id as people see it."""
        return f"{self._owner(at)}/{int(self._calls[at, Call.dseq])}/{int(self._within[at]) + 1}/1"

    def of(self, at: int, gpus: tuple[GpuModel, ...] | None = None) -> OrderRequest:
        """The request of one order, made when it is first looked at; with `gpus` as a provider with these models is asked."""
        request = self._made[at]
        if request is None:
            request = self._made[at] = self._make(at)
        if gpus is None or not request.gpu:
            return request
        given = self._given.get((at, gpus))
        if given is None:
            units = allocated(request.resources, gpus)
            given = self._given[at, gpus] = request if units is request.resources else replace(request, resources=units)
        return given

    def _owner(self, at: int) -> str:
        plan = int(self._calls[at, Call.plan])
        return self._asked.tenants[int(self._clock.engine.plans[plan].tenant) - self._asked.first_tenant]

    def _make(self, at: int) -> OrderRequest:
        chain = self._clock.chain
        _, _, first, units = chain.drafts[self._drafts[at], : Draft.width].tolist()
        cpu, memory, storage, gpu, whole, atto = self.sizes[:, at].tolist()
        spec = int(self._specs[at])
        requirements = self._asked.requirements[spec]
        manifest = self._manifest(at) if requirements.beyond is not None else None
        ceiling = whole * ATTO + atto
        plain = _units(chain.resources[first : first + units].tolist(), requirements) if manifest is None else manifest.units
        return OrderRequest(
            resources=plain,
            price_ceiling=ceiling if manifest is None else manifest.in_coin(ceiling),
            denom=self._asked.denom if manifest is None else manifest.denom,
            manifest=manifest,
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
    return tuple(model for key, _ in attributes if (model := GpuModel.from_attribute(key)) is not None)


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
        sizes = calls[:, Call.drafts]
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
        plans = calls[:, Call.plan]
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


def custom_desks(
    named: Mapping[int, tuple[Strategy, str]], providers: Sequence[str], claims: Sequence[Mapping[str, str]]
) -> list[CustomDesk]:
    """Custom desks in the order of their rows, from each row's strategy and what errors call it, and from what the providers claim."""
    return [CustomDesk(row, providers[row], *named[row], own_gpus(claims[row])) for row in sorted(named)]


def own_gpus(claims: Mapping[str, str]) -> tuple[GpuModel, ...]:
    """The GPU models among a provider's attributes, `capabilities/gpu/vendor/nvidia/model/a100` and the like, in the order of the keys."""
    keys = sorted(key.removeprefix(_GPU_CAPABILITY) for key, value in claims.items() if key.startswith(_GPU_CAPABILITY) and value == "true")
    return _models([(key, "true") for key in keys])


__all__ = ["Asked", "CustomDesk", "CustomPricing", "QuotedDesks", "custom_desks", "load_desk_strategy", "own_gpus"]
