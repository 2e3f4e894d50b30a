"""Users' strategies in a run: a Python class or an operator's script behind a desk prices each order in the block in which it arrives.

The block loop knows nothing of Python: when the arrivals of a block are over it stops, `CustomPricing.answer` asks about all orders of the
block at once and writes the prices into `Engine.quotes`, and the loop lets every desk look at the orders. A strategy hears what became of
its bids when it is next asked (`decide`) or at an interval that it names (`hear`); the older `observe` is told how its desk stands at the
start and at every day's end. An order that is listed again after its lease ended is asked about again.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from functools import partial
from itertools import islice
from typing import Any, NamedTuple

import numpy as np

from marketsim.chain.columns import Deployment, Group, Order, Provider, Resource
from marketsim.chain.requirements import Requirements
from marketsim.errors import InputError
from marketsim.kernel.compiled import bound
from marketsim.kernel.table_set import Table, rows_of
from marketsim.market.asking import check_answers, list_asked, take_answers
from marketsim.market.clock import BlockClock
from marketsim.market.list_prices import list_prices
from marketsim.market.quoting import QUOTE_MAX
from marketsim.market.tables import REFUSED, Asking, BidOutcome, Decline, Desk
from marketsim.money.units import ATTO, DAY_MS, MIB
from marketsim.strategies import users_code
from marketsim.strategies.hearing import Outcomes, OwnDesks, StrategyRun
from marketsim.strategies.requests import NO_BID, ManifestOrder, OrderRequest, OwnDesk, Prices, RequestBatch, Sizes, allocated
from marketsim.strategies.rules import GpuModel, PriceRequest, Refusal, RefusalCode, ResourceUnit, Strategy, UnitPrices, Volume
from marketsim.strategies.run_log import RunLog
from marketsim.strategies.stuck import StuckError, Watchdog

TOO_HIGH = 1 << 61
"""Whole uve above every ceiling: a strategy that refuses because of the ceiling is declined like a price above it."""
REASONS_MAX = 10_000
"""Reasons of users' code that a run keeps."""
ORDERS_AT_ONCE = 4_096
"""Orders of a block that are asked about at once; a block with more asks again."""
_GPU_CAPABILITY = "capabilities/gpu/"
_DECLINES = {code: int(Decline[code.name]) for code in RefusalCode}


class AskedDesks(NamedTuple):
    """Providers side by side, from the row `first` on, that one name in the scenario prices.

    `strategies` is one object for all of them, or one a provider; `label` names their code in errors, `gpus` are the models that they
    claim, `name` is the cohort's. `hear_ms` is how often `hear` is called, `rngs` are as many generators as objects.
    """

    first: int
    providers: tuple[str, ...]
    strategies: tuple[Any, ...]
    label: str
    name: str
    rngs: tuple[np.random.Generator, ...]
    gpus: tuple[GpuModel, ...] = ()
    hear_ms: int = DAY_MS


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
    region_of: Callable[[int], str | None]
    """Region that a spec asks for."""
    owner_of: Callable[[int], str]
    """Name of the wallet in a row."""
    denom: str = "uve"
    """Coin of the orders that name none."""


class CustomPricing:
    """Asks the strategies of all custom desks, and writes their answers where the block loop reads them."""

    def __init__(self, clock: BlockClock, desks: Sequence[AskedDesks], asked: Asked, quoted: Sequence[QuotedDesks], log: RunLog) -> None:
        """Raises InputError for a strategy whose methods cannot be read."""
        self._clock = clock
        self._asked = asked
        self._quoted = quoted
        self._known: dict[tuple[int, tuple[ResourceUnit, ...], str], int | None] = {}
        self._pairs: Table = rows_of(Asking.SIZE, 1024)
        self._bound: tuple[Any, ...] = ()
        self._list: Callable[..., int]
        self._check: Callable[..., int]
        self._take: Callable[..., None]
        self.reasons: dict[tuple[int, int, int, int], str] = {}
        """Why a user's code did not price a group, by tenant's wallet, dseq, gseq and desk, in its own words."""
        self._desks = [_Asking(each, clock, log) for each in desks]
        self._hearing = [each for each in self._desks if each.hears]
        engine = clock.engine
        for each in self._hearing:
            engine.desks[each.first : each.last, Desk.hears] = 1
        x = engine.globals
        x.asks = 2 if desks else 1
        x.hears = int(bool(self._hearing))
        manifests = [requirements.beyond is not None for requirements in asked.requirements]
        models = any(each.models for each in quoted)
        specs = [beyond or (models and bool(r.gpus)) for beyond, r in zip(manifests, asked.requirements, strict=True)]
        self._coins = any(isinstance(r.beyond, ManifestOrder) and r.beyond.rate != 1 for r in asked.requirements)
        clock.engine = engine._replace(
            asking=np.full(ORDERS_AT_ONCE, -1, np.int64),
            ask_specs=np.asarray(specs, np.int64),
            quotes=np.full((1, engine.quotes.shape[1]), NO_BID, np.int64),
        )
        clock.answer = self.answer
        clock.take_outcomes = self._take_outcomes

    def processes(self) -> Iterator[Generator[Any, Any, None]]:
        """SimPy processes that tell the strategies how they stand, at the start and at the end of every interval."""
        for each in self._desks:
            if each.is_told:
                yield self._telling(each, DAY_MS, each.tell)
            if each.hears_at_intervals:
                yield self._telling(each, each.hear_ms, each.hear)

    def _telling(self, desks: _Asking, every_ms: int, tell: Callable[[int], None]) -> Generator[Any, Any, None]:
        clock = self._clock
        while True:
            clock.look()
            height = max(0, int(clock.engine.globals.executed))
            if tell == desks.hear and height > 0:
                clock.settle()
                clock.hand_over_outcomes()
            tell(height)
            yield clock.env.timeout(every_ms - int(clock.env.now) % every_ms)

    def answer(self) -> None:
        """Price the orders that wait, and write the prices into quotes.

        Every custom desk that its standing filters let bid is asked for every order. Raises InputError for an answer that is no price, and
        for what the user's code raises.
        """
        clock = self._clock
        if clock.engine.globals.outcomes:
            clock.hand_over_outcomes()
        engine = clock.engine
        count = int(engine.globals.asking)
        if count > len(engine.quotes):
            quotes = np.full((max(count, 2 * len(engine.quotes)), engine.quotes.shape[1]), NO_BID, np.int64)
            clock.engine = engine = engine._replace(quotes=quotes)
        engine.quotes[:count] = NO_BID
        orders = _Orders(clock, self._asked, engine.asking[:count].copy(), int(engine.globals.asking_at))
        for each in self._desks:
            wanted = count * (each.last - each.first)
            if wanted > self._pairs.shape[1]:
                self._pairs = rows_of(Asking.SIZE, 2 * wanted)
            if self._bound != (id(clock.chain), id(engine), id(self._pairs)):
                self._bind()
            found = self._list(each.first, each.last)
            if found:
                each.ask(orders, self._pairs, found, self._coins, self._check)
                self._take(each.first, found)
                for key, reason in each.said[: REASONS_MAX - len(self.reasons)]:
                    self.reasons[key] = reason
        if self._quoted:
            self._quote_built_in(orders, count)

    def _bind(self) -> None:
        chain, engine, pairs = self._clock.chain, self._clock.engine, self._pairs
        self._list = bound(list_asked, chain, engine, pairs)
        self._check = bound(check_answers, pairs)
        self._take = bound(take_answers, engine, pairs)
        self._held = chain, engine, pairs  # so that the numbers below stay theirs
        self._bound = id(chain), id(engine), id(pairs)

    def _take_outcomes(self, rows: Table) -> None:
        alone = len(self._hearing) == 1 and not self._clock.engine.globals.agents  # agents hear of their own bids too
        for each in self._hearing:
            each.take_outcomes(rows, alone)

    def _quote_built_in(self, orders: _Orders, count: int) -> None:
        """Price with the built-in strategies what the block loop cannot."""
        engine = self._clock.engine
        for at in range(count):
            requirements = orders.requirements(at)
            beyond = requirements.beyond is not None
            models = bool(requirements.gpus)
            for number, desks in enumerate(self._quoted):
                if not (beyond or (desks.models and models and orders.of(at).gpu > 0)):
                    continue
                price = self._built_in_price(number, desks, orders.of(at))
                if price is not None:
                    costs = engine.desks[desks.rows, Desk.cost_ppm]
                    most = np.minimum(QUOTE_MAX, ATTO // np.maximum(costs, 1))
                    whole, atto = divmod(price, ATTO)
                    engine.quotes[at, 2 * desks.rows] = np.minimum(whole, most)
                    engine.quotes[at, 2 * desks.rows + 1] = np.where(whole < most, atto, 0)

    def _built_in_price(self, number: int, desks: QuotedDesks, request: OrderRequest) -> int | None:
        """A cohort's price for an order in 10^-18 uve, whatever its ceiling; None where it has none."""
        units = allocated(request.resources, desks.gpus)
        key = (number, units, request.denom)
        if key not in self._known:
            answer = desks.strategy.price(replace(request, resources=units, price_ceiling=10**12 * ATTO))
            self._known[key] = None if isinstance(answer, Refusal) else answer
        price = self._known[key]
        return price if price is None or request.manifest is None else request.manifest.in_uve(price)


class _Asking:
    """The providers that one name prices, and the checks of what its code answers."""

    def __init__(self, desks: AskedDesks, clock: BlockClock, log: RunLog) -> None:
        self.first, self.last = desks.first, desks.first + len(desks.providers)
        self.said: list[tuple[tuple[int, int, int, int], str]] = []
        self.hear_ms = desks.hear_ms
        self._clock = clock
        self._names = desks.providers
        self._gpus = desks.gpus
        self._label = desks.label
        self._shared = len(desks.strategies) == 1
        self._height = 0
        self._leased = np.full(len(self._names), -1, np.int64)
        self._used = [Fraction(0)] * len(self._names)
        self._heard: list[list[Table]] = [[] for _ in desks.strategies]
        self._watchdog = Watchdog()
        try:
            self._prices = [getattr(each, "price", None) for each in desks.strategies]
            self._decide = [getattr(each, "decide", None) for each in desks.strategies]
            self._many = [getattr(each, "price_many", None) for each in desks.strategies]
            self._observe = [getattr(each, "observe", None) for each in desks.strategies]
            self._hear = [getattr(each, "hear", None) for each in desks.strategies]
            starts = [getattr(each, "start", None) for each in desks.strategies]
        except BaseException as error:
            if users_code.passes(error):
                raise
            raise InputError(f"{self._label}: its methods cannot be read: {users_code.raised(error)}") from error
        self.is_told = self._observe[0] is not None
        self.hears_at_intervals = self._hear[0] is not None
        self.hears = self._decide[0] is not None or self.hears_at_intervals
        self._batches = self._decide[0] is not None or self._many[0] is not None
        self._own = [self._own_desks(at) for at in range(len(desks.strategies))]
        self._nothing = [self._outcomes(rows_of(0, BidOutcome), at) for at in range(len(desks.strategies))]
        for at, start in enumerate(starts):
            if start is not None:
                name = desks.name if self._shared else desks.providers[at]
                me = StrategyRun(name, self._own[at], desks.rngs[at], partial(self._write, log, desks.name))
                self._call("start", f"start of {name}", "it to return", start, me)

    def _own_desks(self, at: int) -> OwnDesks:
        clock, first, last = self._clock, *self._rows(at)
        return OwnDesks(
            self._names[first - self.first : last - self.first],
            lambda: clock.engine.desks[first:last],
            lambda: clock.chain.providers[first:last, [Provider.earned, Provider.taken]],
            lambda: self._height,
        )

    def _rows(self, at: int) -> tuple[int, int]:
        """The desks of one object."""
        return (self.first, self.last) if self._shared else (self.first + at, self.first + at + 1)

    def _write(self, log: RunLog, table: str, who: str, values: dict[str, Any]) -> None:
        log.write(table, self._height, who, values, self._label)

    def _call(self, method: str, what: str, expected: str, function: Callable[..., Any], *arguments: Any) -> Any:
        try:
            try:
                self._watchdog.begin()
                return function(*arguments)
            finally:
                self._watchdog.end()
        except InputError:
            raise
        except BaseException as error:
            if users_code.passes(error):
                raise
            self._end_if_stuck(error, what)
            raise InputError(f"{self._label}: {what} raises {users_code.raised(error)}, expected {expected}") from error

    def _end_if_stuck(self, error: BaseException, what: str) -> None:
        if isinstance(error, StuckError):
            raise InputError(
                f"{self._label}: {what} has worked for {self._watchdog.seconds:g} s without an end ({users_code.place_of(error)}), "
                "expected it to return"
            ) from None

    # --- what it is told --------------------------------------------------------------------------------

    def tell(self, height: int) -> None:
        """Tell how each desk stands, where the class has `observe`."""
        self._height = height
        for at, name in enumerate(self._names):
            observe = self._observe[0 if self._shared else at]
            desk = self._clock.engine.desks[self.first + at]
            own = OwnDesk(
                provider=name,
                height=height,
                capacity=_sizes_at(desk, Desk.cap_cpu),
                leased=_sizes_at(desk, Desk.leased_cpu),
                prices=UnitPrices(*list_prices(desk)),
                margin_ppm=int(desk[Desk.margin_ppm]),
            )
            assert observe is not None
            self._call("observe", f"observe of {name} after block {height}", "it to return", observe, own)

    def hear(self, height: int) -> None:
        """Tell what became of the bids, where the class has `hear`; nothing has at the start."""
        self._height = height
        if height == 0:
            return
        for at, hear in enumerate(self._hear):
            assert hear is not None
            what = f"hear of {self._owner(at)} after block {height}"
            self._call("hear", what, "it to return", hear, self._own[at], self._taken(at))

    def take_outcomes(self, rows: Table, all_are_its: bool) -> None:
        """Keep rows of `BidOutcome` until they are told; those of other desks are left."""
        mine = rows if all_are_its else rows[(rows[:, BidOutcome.desk] >= self.first) & (rows[:, BidOutcome.desk] < self.last)]
        if self._shared:
            self._heard[0].append(mine.copy())
            return
        for at in np.unique(mine[:, BidOutcome.desk]).tolist():
            self._heard[at - self.first].append(mine[mine[:, BidOutcome.desk] == at])

    def _taken(self, at: int) -> Outcomes:
        heard = self._heard[at]
        if not heard:
            return self._nothing[at]
        self._heard[at] = []
        return self._outcomes(heard[0] if len(heard) == 1 else np.concatenate(heard), at)

    def _outcomes(self, rows: Table, at: int) -> Outcomes:
        clock = self._clock

        def orders(which: Table) -> tuple[Table, Table]:
            found = clock.chain.orders[which]
            return found[:, Order.id], clock.chain.groups[found[:, Order.group], Group.cpu]

        return Outcomes(rows, self._rows(at)[0], orders)

    def _owner(self, at: int) -> str:
        """The providers of one object, for errors."""
        first, last = (each - self.first for each in self._rows(at))
        return self._names[first] if last - first == 1 else f"{self._names[first]} to {self._names[last - 1]}"

    # --- what it is asked -------------------------------------------------------------------------------

    def ask(self, orders: _Orders, pairs: Table, count: int, coins: bool, check: Callable[[int, int], int]) -> None:
        """Write the answers to the first `count` columns of `pairs` into them: WHOLE and ATTO in uve, NO_BID or REFUSED - Decline for none.

        What the code says of its refusals is in `said` afterwards. `coins` says that orders may be in other coins than uve.
        """
        self.said = []
        self._height = orders.height
        columns = pairs[: Asking.WHOLE, :count].copy()
        if coins:
            orders.show_in_coins(columns)
        if not self._batches:
            self._put(pairs, *self._pairs(self._one_by_one(orders, columns), orders, columns))
        elif self._shared:
            self._ask_one(0, orders, columns, pairs[:, :count], coins, check)
        else:
            for at in np.unique(columns[Asking.DESK]).tolist():
                mine = np.flatnonzero(columns[Asking.DESK] == at)
                pairs[:, : len(mine)], kept = pairs[:, mine], pairs[:, :count].copy()
                self._ask_one(at, orders, columns[:, mine], pairs[:, : len(mine)], coins, check)
                kept[Asking.WHOLE :, mine] = pairs[Asking.WHOLE :, : len(mine)]
                pairs[:, :count] = kept

    def _put(self, pairs: Table, whole: Table, atto: Table) -> None:
        pairs[Asking.WHOLE, : len(whole)] = whole
        pairs[Asking.ATTO, : len(atto)] = atto

    def _ask_one(self, at: int, orders: _Orders, columns: Table, pairs: Table, coins: bool, check: Callable[[int, int], int]) -> None:
        """Ask one object about a batch."""
        places = columns[Asking.AT]
        gpus, names = self._gpus, self._names

        def request_at(one: int) -> PriceRequest:
            desk = int(columns[Asking.DESK, one])
            return orders.of(int(places[one]), gpus).for_desk(names[desk], self._utilization()[desk])

        batch = RequestBatch(columns[Asking.DESK :], request_at)
        if not self._shared:
            batch.desk = np.zeros(len(places), np.int64)
        decide, many = self._decide[at], self._many[at]
        method = "decide" if decide is not None else "price_many"
        try:
            try:
                self._watchdog.begin()
                if decide is not None:
                    answers = decide(batch, self._own[at], self._taken(at))
                else:
                    assert many is not None
                    answers = many(batch)
                if not isinstance(answers, Prices) and isinstance(answers, Sequence) and len(answers) == len(batch):
                    answers = list(islice(answers, len(batch)))  # a sequence of the user's own may be without end
            finally:
                self._watchdog.end()
        except InputError:
            raise
        except BaseException as error:
            if users_code.passes(error):
                raise
            first, last = orders.name(int(places[0])), orders.name(int(places[-1]))
            which = f"order {first}" if first == last else f"orders {first} to {last}"
            self._end_if_stuck(error, f"{method} of {self._owner(at)} for {which}")
            raise self._failure(which, method, self._owner(at), error) from error
        if isinstance(answers, Prices):
            self._columns(answers, batch, orders, columns, pairs, coins, check, method)
            return
        if not isinstance(answers, list) or len(answers) != len(batch):
            found = f"{len(answers)} answers" if isinstance(answers, (list, tuple)) else type(answers).__name__
            raise InputError(
                f"{self._label}: {method} of {len(batch)} orders returns {found}, expected a sequence of as many prices or refusals"
            )
        self._put(pairs, *self._pairs(answers, orders, columns))

    def _one_by_one(self, orders: _Orders, columns: Table) -> list[Any]:
        try:
            return self._each(orders, columns)
        finally:
            self._watchdog.end()

    def _each(self, orders: _Orders, columns: Table) -> list[Any]:
        begin = self._watchdog.begin
        gpus, names, prices, used = self._gpus, self._names, self._prices, self._utilization()
        if self._shared:
            prices = prices * len(names)
        answers: list[Any] = []
        last = -1
        for at, desk in zip(columns[Asking.AT].tolist(), columns[Asking.DESK].tolist(), strict=True):
            if at != last:
                request = orders.of(at, gpus)
                last = at
            price = prices[desk]
            assert price is not None
            try:
                begin()
                answers.append(price(request.for_desk(names[desk], used[desk])))
            except InputError:
                raise
            except BaseException as error:
                if users_code.passes(error):
                    raise
                self._end_if_stuck(error, f"price of {names[desk]} for order {request.order}")
                raise self._failure(f"order {request.order}", "price", names[desk], error) from error
        return answers

    def _utilization(self) -> list[Fraction]:
        """Each desk's use of its cpu."""
        desks = self._clock.engine.desks
        leased = desks[self.first : self.last, Desk.leased_cpu]
        for at in np.flatnonzero(leased != self._leased).tolist():
            capacity = int(desks[self.first + at, Desk.cap_cpu])
            self._used[at] = Fraction(int(leased[at]), capacity) if capacity > 0 else Fraction(0)
            self._leased[at] = leased[at]
        return self._used

    def _pairs(self, answers: list[Any], orders: _Orders, columns: Table) -> tuple[Table, Table]:
        whole: list[int] = []
        atto: list[int] = []
        places = columns[Asking.AT].tolist()
        for at, answer in enumerate(orders.in_uve(answers, places)):
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
                    self.said.append(((*orders.key(places[at]), self.first + int(columns[Asking.DESK, at])), answer.reason))
            else:
                raise self._no_price(answer, orders.name(places[at]), self._names[int(columns[Asking.DESK, at])])
        return np.asarray(whole, np.int64), np.asarray(atto, np.int64)

    def _columns(
        self,
        prices: Prices,
        batch: RequestBatch,
        orders: _Orders,
        columns: Table,
        pairs: Table,
        coins: bool,
        check: Callable[[int, int], int],
        method: str,
    ) -> None:
        count = len(batch)
        if len(prices) != count:
            raise InputError(f"{self._label}: {method} of {count} orders returns {len(prices)} prices, expected as many")
        pairs[Asking.WHOLE, :count] = prices.whole
        pairs[Asking.ATTO, :count] = prices.atto
        wrong = check(count, TOO_HIGH)
        if wrong >= 0:
            raise InputError(
                f"{self._label}: order {batch[wrong].order}: {method} returns {int(prices.whole[wrong])} whole uve and "
                f"{int(prices.atto[wrong])} of 10^18, expected a price above 0 whose second part is 0 to 10^18 - 1, "
                f"or {NO_BID} as its whole part"
            )
        if coins:
            orders.columns_in_uve(columns[Asking.AT].tolist(), pairs)

    def _failure(self, orders: str, method: str, owner: str, error: BaseException) -> InputError:
        return InputError(
            f"{self._label}: {orders}: {method} of {owner} raises {users_code.raised(error)}, "
            "expected a price in units of 10^-18 uve or a Refusal"
        )

    def _no_price(self, answer: object, order: str, owner: str) -> InputError:
        return InputError(
            f"{self._label}: order {order}: {owner} answers {users_code.answered(answer)}, "
            "expected an int above 0 in units of 10^-18 uve, a Refusal or None"
        )


def _sizes_at(desk: Table, column: int) -> Sizes:
    cpu, memory, storage, gpu = (int(desk[column + at]) for at in range(4))
    return Sizes(cpu, memory * MIB, storage * MIB, gpu)


class _Orders:
    """The orders of one block that are asked about, and a request for each that some strategy looks at, made when it does."""

    def __init__(self, clock: BlockClock, asked: Asked, rows: Table, height: int) -> None:
        self.height = height
        self._clock = clock
        self._asked = asked
        self._rows = rows
        self._made: dict[int, OrderRequest] = {}
        self._given: dict[tuple[int, tuple[GpuModel, ...]], OrderRequest] = {}

    def key(self, at: int) -> tuple[int, int, int]:
        """Tenant's wallet, dseq and gseq."""
        chain = self._clock.chain
        order = chain.orders[self._rows[at]]
        deployment = chain.deployments[order[Order.deployment]]
        return int(deployment[Deployment.owner]), int(deployment[Deployment.dseq]), int(chain.groups[order[Order.group], Group.gseq])

    def name(self, at: int) -> str:
        """Order id as people see it."""
        owner, dseq, gseq = self.key(at)
        return f"{self._asked.owner_of(owner)}/{dseq}/{gseq}/{int(self._clock.chain.orders[self._rows[at], Order.oseq])}"

    def requirements(self, at: int) -> Requirements:
        """What an order asks for beside its size."""
        return self._asked.requirements[self._spec(at)]

    def _spec(self, at: int) -> int:
        chain = self._clock.chain
        return int(chain.groups[chain.orders[self._rows[at], Order.group], Group.spec])

    def of(self, at: int, gpus: tuple[GpuModel, ...] | None = None) -> OrderRequest:
        """The request of one order, made when it is first looked at; with `gpus` as a provider with these models is asked."""
        request = self._made.get(at)
        if request is None:
            request = self._made[at] = self._make(at)
        if gpus is None or not request.gpu:
            return request
        given = self._given.get((at, gpus))
        if given is None:
            units = allocated(request.resources, gpus)
            given = self._given[at, gpus] = request if units is request.resources else replace(request, resources=units)
        return given

    # --- coins ------------------------------------------------------------------------------------------

    def _foreign(self, places: Sequence[int]) -> Iterator[tuple[int, ManifestOrder]]:
        """The positions of orders in another coin than uve, with their manifests."""
        known: dict[int, ManifestOrder | None] = {}
        for position, at in enumerate(places):
            if at not in known:
                beyond = self.requirements(at).beyond
                known[at] = beyond if isinstance(beyond, ManifestOrder) and beyond.rate != 1 else None
            manifest = known[at]
            if manifest is not None:
                yield position, manifest

    def show_in_coins(self, columns: Table) -> None:
        """Write the ceilings of orders in other coins in these."""
        for position, manifest in self._foreign(columns[Asking.AT].tolist()):
            ceiling = int(columns[Asking.CEILING, position]) * ATTO + int(columns[Asking.CEILING_ATTO, position])
            columns[Asking.CEILING, position], columns[Asking.CEILING_ATTO, position] = divmod(manifest.in_coin(ceiling), ATTO)

    def in_uve(self, answers: list[Any], places: Sequence[int]) -> list[Any]:
        """Prices in 10^-18 of the orders' coins as ones in uve; any other answer as it is."""
        for position, manifest in self._foreign(places):
            if type(answers[position]) is int and answers[position] > 0:
                answers[position] = max(1, manifest.in_uve(answers[position]))
        return answers

    def columns_in_uve(self, places: Sequence[int], pairs: Table) -> None:
        """The answers in `pairs` in the orders' coins as ones in uve."""
        for position, manifest in self._foreign(places):
            whole = int(pairs[Asking.WHOLE, position])
            if 0 <= whole < TOO_HIGH:
                price = manifest.in_uve(whole * ATTO + int(pairs[Asking.ATTO, position]))
                units, rest = divmod(price, ATTO)
                pairs[Asking.WHOLE, position], pairs[Asking.ATTO, position] = min(units, TOO_HIGH), rest

    def _make(self, at: int) -> OrderRequest:
        chain = self._clock.chain
        order = chain.orders[self._rows[at]].tolist()
        group = chain.groups[order[Order.group]].tolist()
        spec = group[Group.spec]
        requirements = self._asked.requirements[spec]
        manifest = requirements.beyond if isinstance(requirements.beyond, ManifestOrder) else None
        ceiling = order[Order.price] * ATTO + order[Order.price_atto]
        if manifest is None:
            first = group[Group.first_resource]
            units = _units(chain.resources[first : first + group[Group.resources]].tolist(), requirements)
        else:
            units = manifest.units
        owner = self._asked.owner_of(int(chain.deployments[order[Order.deployment], Deployment.owner]))
        return OrderRequest(
            resources=units,
            price_ceiling=ceiling if manifest is None else manifest.in_coin(ceiling),
            denom=self._asked.denom if manifest is None else manifest.denom,
            manifest=manifest,
            order=f"{owner}/{int(chain.deployments[order[Order.deployment], Deployment.dseq])}/{group[Group.gseq]}/{order[Order.oseq]}",
            owner=owner,
            height=self.height,
            region=self._asked.region_of(spec) or "",
            attributes=requirements.attributes,
            cpu=group[Group.cpu],
            memory=group[Group.memory],
            storage=group[Group.storage],
            gpu=group[Group.gpu],
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


def own_gpus(claims: Mapping[str, str]) -> tuple[GpuModel, ...]:
    """The GPU models among a provider's attributes, `capabilities/gpu/vendor/nvidia/model/a100` and the like, in the order of the keys."""
    keys = sorted(key.removeprefix(_GPU_CAPABILITY) for key, value in claims.items() if key.startswith(_GPU_CAPABILITY) and value == "true")
    return _models([(key, "true") for key in keys])


__all__ = ["Asked", "AskedDesks", "CustomPricing", "QuotedDesks", "own_gpus"]
