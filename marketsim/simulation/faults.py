"""Carries out the faults of a running market: whom each hits, what it changes in desks and plans, and how that ends."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from marketsim.agents.streams import key_of, stream
from marketsim.chain.columns import Charging, ClosedForm, DeploymentState, EscrowRule, EventKind, Lease, PaymentState, Usage
from marketsim.chain.due_work import settle_cadence, settle_late
from marketsim.chain.escrow.exact import metered_until
from marketsim.chain.event_room import EVENTS_MORE
from marketsim.chain.events import emit, hash64
from marketsim.chain.status import Status
from marketsim.errors import InputError
from marketsim.kernel.table_set import Table
from marketsim.market.clock import BlockClock
from marketsim.market.desks import set_shut
from marketsim.market.loop import close_share, set_blocked, set_outage
from marketsim.market.tables import FAR, Desk, Plan, Track
from marketsim.market.tenants import plan_rescue, plan_top_up, sync_deployment
from marketsim.money.units import PPM
from marketsim.scenario.faults import FAULT_KINDS, Fault
from marketsim.scenario.model import Scenario
from marketsim.simulation.build import MarketSetup
from marketsim.simulation.desks import reporting
from marketsim.simulation.users_faults import FaultScene, UsersFault
from marketsim.simulation.views import View
from marketsim.strategies.check import numbers_of

SALT_FAULT = 51
STOPPED = 16
"""Added to Plan.top_up while a tenant does not top up: no code of TopUpTime, so that nobody acts on it."""
_NAMED_BY_EVENTS = ("outage", "block", "unblock", "python")
"""Kinds whose effects have events of their own."""


class FaultRecord(NamedTuple):
    """A fault that has begun: whom it hits, since which block, until which one it is meant to last (None: until somebody mends it), and the
    block in which it ended, None while it goes on."""

    name: str
    kind: str
    providers: tuple[str, ...]
    tenants: tuple[str, ...]
    since: int
    until: int | None
    ended: int | None

    def as_data(self) -> dict[str, Any]:
        """Return plain values, as `Record.meta` and summaries have them."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in self._asdict().items()}


class Begun(NamedTuple):
    """What came of the beginning of a fault: the answer, its name, the block in which it ends (None: by itself never)."""

    status: Status
    name: str
    until: int | None = None


@dataclass(frozen=True)
class _Active:
    """A fault that goes on. `desks` are rows of desks, `wallets` those of tenants, `delay` counts blocks."""

    record: FaultRecord
    desks: tuple[int, ...]
    wallets: tuple[int, ...]
    factor_ppm: int = PPM
    delay: int = 0


class Faults:
    """The faults of one market, by name; `history` has those that are over, too."""

    def __init__(self, clock: BlockClock, scenario: Scenario, market: MarketSetup) -> None:
        self._clock = clock
        self._scenario = scenario
        self._market = market
        self._seed = int(clock.engine.globals.seed)
        self._active: dict[str, _Active] = {}
        self.history: dict[str, FaultRecord] = {}
        self._users: dict[str, tuple[UsersFault, Mapping[str, Any], np.random.Generator]] = {}
        self._unread_since: dict[int, int] = {}
        """Of desks that are cut off, up to which block their meters were read."""

    def copy(self, clock: BlockClock, market: MarketSetup) -> Faults:
        """Return the faults of a copied market."""
        other = copy(self)
        other._clock, other._market = clock, market
        other._active, other.history = dict(self._active), dict(self.history)
        other._unread_since = dict(self._unread_since)
        return other

    def active(self, provider: str | None = None) -> list[str]:
        """Return the names of the faults that go on, of those only that hit a provider if its name is given."""
        return [name for name, each in self._active.items() if provider is None or provider in each.record.providers]

    def records(self) -> tuple[FaultRecord, ...]:
        """Return every fault that has begun, in that order."""
        return tuple(self.history.values())

    # --- begin and end ----------------------------------------------------------------------------------

    def begin(self, fault: Fault, height: int, at_ms: int) -> Begun:
        """Let a fault begin in block `height`, which is open; `at_ms` is when it was to begin. What is refused changes nothing."""
        name = self._named(fault, height)
        if name in self.history:
            return Begun(Status.InvalidParam, name)
        status, desks, wallets = self._hit(fault, name)
        if status == Status.Ok and not self._can_be(fault):
            status = Status.InvalidParam
        if status != Status.Ok:
            return Begun(status, name)
        until = self._end_of(fault, height, at_ms)
        book, tenants = self._market.book, self._market.tenant_names
        record = FaultRecord(
            name,
            fault.kind,
            tuple(book.names[desk] for desk in desks),
            tuple(tenants[wallet - self._market.first_tenant] for wallet in wallets),
            height,
            until,
            height if fault.kind == "unblock" else None,
        )
        if fault.kind == "python":
            assert fault.python is not None
            code = UsersFault(fault.python, (self._scenario.base,), f"faults.{name}.python")
            self._users[name] = code, numbers_of(fault.options), stream(self._seed, f"fault/{name}")
        delay = 0 if fault.delay is None else fault.delay.blocks(self._clock.block_ms)
        factor = PPM if fault.factor is None else round(fault.factor * PPM)
        self.history[name] = record
        self._active[name] = _Active(record, desks, wallets, factor, delay)
        closes = round((1.0 if fault.kind == "outage" else 0.0) * PPM) if fault.closes is None else round(fault.closes * PPM)
        self._change(self._active[name], height, True, closes)
        if fault.kind == "unblock":
            del self._active[name]
        return Begun(Status.Ok, name, until)

    def end(self, name: str, height: int) -> bool:
        """Let a fault end in block `height`, which is open; return whether it went on."""
        gone = self._active.pop(name, None)
        if gone is None:
            return False
        self.history[name] = gone.record._replace(ended=height)
        self._change(gone, height, False, 0)
        return True

    def mend(self, desk: int, height: int) -> None:
        """End faults of this desk, and an outage that came by itself; others go on elsewhere. Blocks and users' faults stay."""
        for name, each in list(self._active.items()):
            if desk not in each.desks or each.record.kind in ("block", "python"):
                continue
            if each.desks == (desk,):
                self.end(name, height)
                continue
            self._active[name] = replace(each, desks=tuple(other for other in each.desks if other != desk))
            self._change(replace(each, desks=(desk,)), height, False, 0)
        self._room(0)
        set_outage(self._clock.chain, self._clock.engine, height, desk, 0, 0, 0)

    def refresh(self) -> None:
        """Let the faults of tenants hold for plans that were drawn since they began."""
        for each in self._active.values():
            if each.record.kind == "escrow_drain":
                self._stop_top_ups(each.wallets)

    def _change(self, fault: _Active, height: int, begins: bool, closes_ppm: int) -> None:
        """Write what a fault that begins or has just ended changes."""
        kind = fault.record.kind
        for desk in fault.desks:
            self._room(int(self._clock.engine.globals.alive))
            chain, engine = self._clock.chain, self._clock.engine
            if kind == "outage":
                if begins or not self._hits("outage", desk):
                    set_outage(chain, engine, height, desk, int(begins), closes_ppm, 1)
            elif kind in ("block", "unblock"):
                if (kind == "block" and begins) or not self._hits("block", desk):
                    set_blocked(chain, height, desk, int(kind == "block" and begins))
            elif kind != "python":
                self._write_desk(desk, height)
                if begins and closes_ppm > 0:
                    close_share(chain, engine, height, desk, closes_ppm)
        if kind == "escrow_drain":
            if begins:
                self._stop_top_ups(fault.wallets)
            else:
                self._resume_top_ups([wallet for wallet in fault.wallets if not self._hits_tenant(wallet)], height)
        if kind not in _NAMED_BY_EVENTS:
            self._room(0, len(fault.desks) + len(fault.wallets))
            number = FAULT_KINDS[kind].number
            for desk in fault.desks:
                emit(self._clock.chain, EventKind.PROVIDER_FAULT, desk, int(begins), number, 0, 0)
            for wallet in fault.wallets:
                emit(self._clock.chain, EventKind.TENANT_FAULT, wallet, int(begins), number, 0, 0)

    def _room(self, entries: int, events: int = 0) -> None:
        self._clock.make_room(entries=entries, events=events + EVENTS_MORE)

    def _hits(self, kind: str, desk: int) -> bool:
        return any(each.record.kind == kind and desk in each.desks for each in self._active.values())

    def _hits_tenant(self, wallet: int) -> bool:
        return any(each.record.kind == "escrow_drain" and wallet in each.wallets for each in self._active.values())

    # --- whom it hits -----------------------------------------------------------------------------------

    def _named(self, fault: Fault, height: int) -> str:
        if fault.name is not None:
            return fault.name
        name, more = f"{fault.kind}-{height}", 2
        while name in self.history:
            name, more = f"{fault.kind}-{height}.{more}", more + 1
        return name

    def _can_be(self, fault: Fault) -> bool:
        """Whether a fault can do anything under the scenario's rules."""
        if fault.kind == "settlement":
            return self._scenario.rules != "seed"
        return fault.kind != "usage" or self._pays_by_use()

    def _end_of(self, fault: Fault, height: int, at_ms: int) -> int | None:
        block_ms = self._clock.block_ms
        if fault.until is not None:
            return max(height + 1, self._clock.height_of(fault.until.milliseconds(block_ms)))
        if fault.lasts is not None:
            return max(height + 1, self._clock.height_of(at_ms + fault.lasts.milliseconds(block_ms)))
        return None

    def _hit(self, fault: Fault, name: str) -> tuple[Status, tuple[int, ...], tuple[int, ...]]:
        """Return the desks and the wallets of tenants that a fault hits."""
        of = FAULT_KINDS[fault.kind].of
        desks = self._desks(fault) if of != "tenant" else []
        wallets = self._wallets(fault) if of != "provider" else []
        if fault.provider is not None and not desks:
            return Status.ProviderNotFound, (), ()
        if not desks and not wallets and {fault.tenant, fault.cohort, fault.region} != {None}:
            return Status.InvalidParam, (), ()
        if fault.share is not None:
            salt, limit = key_of(self._seed, f"fault/{name}"), round(fault.share * PPM)
            keys = self._clock.engine.desks[:, Desk.key].tolist()
            desks = [desk for desk in desks if hash64(self._seed, SALT_FAULT, salt, keys[desk]) % PPM < limit]
            ids = self._clock.chain.wallets
            wallets = [wallet for wallet in wallets if hash64(self._seed, SALT_FAULT, salt, int(ids[wallet].id)) % PPM < limit]
        return Status.Ok, tuple(desks), tuple(wallets)

    def _desks(self, fault: Fault) -> list[int]:
        if fault.tenant is not None:
            return []
        if fault.kind == "python" and {fault.provider, fault.cohort, fault.region, fault.share} == {None}:
            return []
        book, cohorts = self._market.book, self._scenario.desks
        wanted = None if fault.provider is None else fault.provider.replace("/", "-")
        return [
            desk
            for desk in range(int(self._clock.engine.globals.providers))
            if (wanted is None or book.names[desk] == wanted)
            and (fault.cohort is None or cohorts[book.cohorts[desk]].name == fault.cohort)
            and (fault.region is None or book.attributes[desk].get("region") == fault.region)
        ]

    def _wallets(self, fault: Fault) -> list[int]:
        if fault.provider is not None or fault.region is not None:
            return []
        if fault.kind == "python" and {fault.tenant, fault.cohort, fault.share} == {None}:
            return []
        market, cohorts = self._market, self._scenario.tenants
        wanted = None if fault.tenant is None else fault.tenant.replace("/", "-")
        return [
            market.first_tenant + at
            for at, (name, cohort) in enumerate(zip(market.tenant_names, market.tenant_cohorts, strict=True))
            if cohort < len(cohorts)
            and (wanted is None or name == wanted)
            and (fault.cohort is None or cohorts[cohort].name == fault.cohort)
        ]

    # --- what a provider cannot do ----------------------------------------------------------------------

    def _write_desk(self, desk: int, height: int) -> None:
        """Write what all faults together keep a desk from, and let use be reported by messages where they ask for it."""
        chain, engine = self._clock.chain, self._clock.engine
        row = engine.desks[desk]
        row.failing = int(self._hits("workloads_fail", desk))
        row.withheld = int(self._hits("settlement", desk))
        cut = int(self._hits("connectivity", desk))
        if row.cut != cut:
            row.cut = cut
            set_shut(chain, engine, desk)
        if self._pays_by_use():
            self._write_meters(desk, height)

    def _pays_by_use(self) -> bool:
        """Whether meters decide what leases are paid."""
        g = self._clock.chain.globals
        return bool(g.charging != Charging.RATE and g.escrow in (EscrowRule.EXACT, EscrowRule.USAGE))

    def _reporting(self, desk: int) -> tuple[int, int]:
        """What a desk's meters leave out, in ppm, and how late they are read, in blocks, by its cohort and all faults together."""
        block_ms, scenario = self._clock.block_ms, self._scenario
        number = self._market.book.cohorts[desk]
        unreported, lag = reporting(scenario.providers[number], scenario) if number < len(scenario.providers) else (0, 0)
        for each in self._active.values():
            if each.record.kind == "usage" and desk in each.desks:
                factor = 0 if each.delay > scenario.usage_grace.blocks(block_ms) else each.factor_ppm
                unreported, lag = PPM - (PPM - unreported) * factor // PPM, max(lag, each.delay)
        if unreported == PPM:
            lag = 0
        return unreported, FAR if self._hits("connectivity", desk) else lag

    def _write_meters(self, desk: int, height: int) -> None:
        """Let the meters of a desk's leases be read as its faults say from this block on.

        A meter counts blocks at a share of what is reserved, from Usage.until on. For another share what it has counted becomes as many
        blocks of that, rounded up; a delay lets it begin later by so much, or never while nothing is sent. When reports come again what was
        kept back is read and settled at once, as far as it is not too late.
        """
        row = self._clock.engine.desks[desk]
        before, lag_before = int(row.unreported_ppm), int(row.lag)
        unreported, lag = self._reporting(desk)
        if (unreported, lag) == (before, lag_before):
            return
        row.unreported_ppm, row.lag = unreported, lag
        now = height - 1
        unread = self._unread_since.pop(desk, now)
        if lag == FAR:
            self._unread_since[desk] = now - (0 if lag_before == FAR else lag_before)
        leases = self._metered(desk)
        self._room(8 * len(leases), EVENTS_MORE * len(leases))
        chain, engine = self._clock.chain, self._clock.engine
        for lease in leases:
            p = chain.leases[lease]
            settle_cadence(chain, now, p.account)
            sync_deployment(chain, engine, height, chain.orders[p.order].deployment)
            if p.payment != PaymentState.OPEN:
                continue
            u = chain.usage[p.usage]
            plan = engine.plans[engine.tracks[p.order].plan]
            counted = int(metered_until(chain, now, lease))
            begins = int(p.active_at) if p.active_at >= 0 else int(p.created_at) + max(0, int(plan.deploy_delay))
            if u.until <= now:
                u.until = max(now, begins)
            share = int(plan.utilization_ppm) * (PPM - unreported) // PPM
            if share != u.utilization_ppm:
                if share > 0:
                    counted = -(-counted * int(u.utilization_ppm) // share)
                    u.utilization_ppm, u.closed_form = share, ClosedForm.UNKNOWN
                elif counted == 0:
                    u.utilization_ppm, u.closed_form = 0, ClosedForm.UNKNOWN
                else:
                    u.until = FAR  # what it has counted stays
            u.metered = counted
            if share > 0:
                if lag == FAR:
                    u.until = FAR
                elif lag_before == FAR or u.until >= FAR:
                    oldest = now - self._scenario.usage_grace.blocks(self._clock.block_ms)
                    u.until = max(unread, oldest, begins) + lag if lag_before == FAR else max(now, begins) + lag
                else:
                    u.until += lag - lag_before
            if chain.globals.escrow == EscrowRule.EXACT:
                settle_late(chain, now, p.account)
            sync_deployment(chain, engine, height, chain.orders[p.order].deployment)

    def _metered(self, desk: int) -> list[int]:
        """Rows of a desk's leases with an open payment that meter themselves, by their names."""
        chain, engine = self._clock.chain, self._clock.engine
        leases = chain.leases[: int(chain.globals.leases)]
        mine = (leases[:, Lease.slot] == desk) & (leases[:, Lease.payment] == PaymentState.OPEN) & (leases[:, Lease.usage] >= 0)
        rows = np.flatnonzero(mine)
        rows = rows[chain.usage[leases[rows, Lease.usage], Usage.utilization_ppm] >= 0]
        rows = rows[engine.tracks[leases[rows, Lease.order], Track.plan] >= 0]
        found: list[int] = rows[np.argsort(leases[rows, Lease.id], kind="stable")].tolist()
        return found

    # --- what tenants do not do -------------------------------------------------------------------------

    def _plans_of(self, wallets: Sequence[int]) -> Table:
        plans = self._clock.engine.plans
        found: Table = np.flatnonzero(np.isin(plans[:, Plan.tenant], wallets))
        return found

    def _stop_top_ups(self, wallets: Sequence[int]) -> None:
        plans = self._clock.engine.plans
        rows = self._plans_of(wallets)
        rows = rows[(plans[rows, Plan.top_up] > 0) & (plans[rows, Plan.top_up] < STOPPED)]
        plans[rows, Plan.top_up] += STOPPED
        for _, account in self._living(rows):
            self._clock.engine.accounts[account].top_up = -1

    def _resume_top_ups(self, wallets: Sequence[int], height: int) -> None:
        plans = self._clock.engine.plans
        rows = self._plans_of(wallets)
        rows = rows[plans[rows, Plan.top_up] >= STOPPED]
        plans[rows, Plan.top_up] -= STOPPED
        living = self._living(rows)
        self._room(len(living))
        chain, engine = self._clock.chain, self._clock.engine
        for _, account in living:
            if chain.accounts[account].short > 0:
                plan_rescue(chain, engine, account)
            else:
                plan_top_up(chain, engine, height, account)

    def _living(self, plans: Table) -> list[tuple[int, int]]:
        """Plan and account of each deployment of some plans that is not closed."""
        chain, engine = self._clock.chain, self._clock.engine
        count = int(chain.globals.deployments)
        rows = np.flatnonzero(np.isin(engine.plan_of[:count], plans))
        deployments = chain.deployments
        return [
            (int(engine.plan_of[row]), int(deployments[row].account))
            for row in rows.tolist()
            if deployments[row].state == DeploymentState.ACTIVE
        ]

    # --- users' own -------------------------------------------------------------------------------------

    @property
    def uses_code(self) -> bool:
        """Whether a user's own fault has begun: its objects are not copied."""
        return bool(self._users)

    def messages(self, name: str, height: int, begins: bool, view: View) -> list[dict[str, Any]]:
        """Return the messages with which a user's own fault begins or ends, none for any other.

        Raises InputError where its code fails.
        """
        if name not in self._users:
            return []
        code, options, rng = self._users[name]
        record = self.history[name]
        at_ms = height * self._clock.block_ms
        return code.messages(FaultScene(name, height, at_ms, record.providers, record.tenants, options, rng, view), begins)

    def wrong(self, name: str, message: Mapping[str, Any], problem: str) -> InputError:
        """Return the error of a message of a user's own fault that is none."""
        return self._users[name][0].wrong(message, problem)


def said(fault: Fault) -> dict[str, Any]:
    """Return a fault as the message that begins it, without what it does not say."""
    data = fault.model_dump(mode="json", exclude={"at"}, exclude_none=True)
    if not data.get("options"):
        data.pop("options", None)
    return {"op": "fault", **data}


__all__ = ["Begun", "FaultRecord", "Faults", "said"]
