"""Tells everything that a recorded run knows about one order, one provider or one tenant, and why it went
so."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from marketsim.chain.columns import BidState, EventKind, OrderEnd, Reason
from marketsim.errors import InputError
from marketsim.market.tables import Ended
from marketsim.metrics.amounts import pair
from marketsim.metrics.summary import rejections
from marketsim.metrics.tables import provider_rows
from marketsim.money.units import ATTO, BLOCKS_A_MONTH
from marketsim.recording.record import DECLINE_CODES, UNFILLED, Column, LongTable, Record, exact, exact_sum
from marketsim.report import phrases
from marketsim.report.phrases import count, exact_uve, moment, money, percent, plural, span
from marketsim.scenario.faults import FAULT_KINDS

LINES_MAX: Final = 24
"""Settlements, bids or orders listed one by one; what is more is summed up."""

_FAULT_OF: Final = {kind.number: name for name, kind in FAULT_KINDS.items()}

OUT_OF_LINE: Final = 1.5
"""A provider wins far more (or less) than its siblings from this ratio to their mean on, beyond chance."""


@dataclass(frozen=True, slots=True)
class Section:
    """A heading and its lines."""

    title: str
    lines: Sequence[str]


@dataclass(frozen=True, slots=True)
class Explanation:
    """What is known about one object."""

    kind: str
    name: str
    sections: Sequence[Section]

    def as_json(self) -> dict[str, Any]:
        """Plain values for --json."""
        sections = [{"title": section.title, "lines": list(section.lines)} for section in self.sections]
        return {"kind": self.kind, "name": self.name, "sections": sections}

    def __str__(self) -> str:
        """Plain text."""
        parts = [f"{self.kind.capitalize()} {self.name}"]
        for section in self.sections:
            parts += ["", section.title, *(f"  {line}" for line in section.lines)]
        return "\n".join(parts)


def explain(record: Record, target: str) -> Explanation:
    """Return what happened to `target` in a record.

    `target` is a provider's or a tenant's name, also as scenarios write it (`edge/0` for `edge-0`), an order
    `tenant/dseq/gseq/oseq` (parts may be left off from the end while one order fits; a lease's id with its provider
    at the end works too) or an order's row, `12` or `#12`. Raises InputError with near matches when there is no such
    object, or when it was not recorded.
    """
    wanted = target.strip().strip("/")
    if (provider := _row_of(record.providers["name"], wanted)) is not None:
        return _Provider(record, provider).explanation()
    if record.meta["record"] == "summary":
        raise InputError(
            f"{target}: orders were not recorded (record: summary), run again with --record "
            f"orders or everything; known are providers: {', '.join(_near(wanted, record.providers['name']))}"
        )
    if (tenant := _row_of(record.tenants["name"], wanted)) is not None:
        return _tenant(record, tenant)
    rows = _orders_named(record, wanted)
    if len(rows) == 1:
        return _Order(record, int(rows[0])).explanation()
    if len(rows):
        lines = [_order_line(record, int(row)) for row in rows[:LINES_MAX]]
        return Explanation("deployment", wanted, [Section(plural(len(rows), "order"), lines)])
    raise InputError(_not_found(record, wanted))


def order_id(record: Record, row: int) -> str:
    """Return an order's id as people see it: `tenant/dseq/gseq/oseq`."""
    orders = record.orders
    name = record.tenants["name"][orders["tenant"][row]]
    return f"{name}/{orders['dseq'][row]}/{orders['gseq'][row]}/{orders['oseq'][row]}"


def _row_of(names: Sequence[str], wanted: str) -> int | None:
    """The row of a name as results or as scenarios write it: `edge-0`, `edge/0`."""
    for name in (wanted, "-".join(wanted.rsplit("/", 1))):
        if name in names:
            return names.index(name)
    return None


def _orders_named(record: Record, wanted: str) -> Column:
    orders = record.orders
    if (number := wanted.removeprefix("#")).isdecimal():
        row = int(number)
        return np.array([row] if row < len(orders["tenant"]) else [], np.int64)
    for tenant, numbers in _readings(record, wanted):
        mask = orders["tenant"] == tenant
        for column, value in zip(("dseq", "gseq", "oseq"), numbers, strict=False):
            mask = mask & (orders[column] == value)
        if mask.any():
            found: Column = np.flatnonzero(mask)
            return found
    return np.empty(0, np.int64)


def _readings(record: Record, wanted: str) -> list[tuple[int, list[int]]]:
    """Ways to read an id: a tenant's name, one to three numbers, and perhaps a provider's name at the end."""
    parts = wanted.split("/")
    for last in (1, 2):
        if len(parts) > last + 1 and _row_of(record.providers["name"], "/".join(parts[-last:])) is not None:
            parts = parts[:-last]
            break
    found = []
    for cut in (3, 2, 1):
        tenant, numbers = _row_of(record.tenants["name"], "/".join(parts[:-cut])), parts[-cut:]
        if tenant is not None and all(part.isdecimal() and len(part) < 19 for part in numbers):
            found.append((tenant, [int(part) for part in numbers]))
    return found


def _not_found(record: Record, wanted: str) -> str:
    readings = _readings(record, wanted)
    if readings:
        tenant, (dseq, *_) = readings[0]
        rows = np.flatnonzero(record.orders["tenant"] == tenant)
        nearest = rows[np.argsort(np.abs(record.orders["dseq"][rows] - dseq), kind="stable")][:3]
        near = [order_id(record, int(row)) for row in nearest]
    else:
        near = _near(wanted, [*record.providers["name"], *record.tenants["name"]])
    return f"{wanted}: no such order, provider or tenant in this run, expected tenant/dseq/gseq/oseq or a name" + (
        f"; near: {', '.join(near)}" if near else ""
    )


def _near(wanted: str, names: Sequence[str]) -> list[str]:
    return difflib.get_close_matches(wanted, names, n=3, cutoff=0.4) or list(names[:3])


def _not_recorded(record: Record, what: str) -> str:
    if record.meta.get("running"):
        return f"{what} are not kept by a market that goes on"
    return f"{what} were not recorded (record: {record.meta['record']}); run again with --record everything"


def _request(record: Record, row: int) -> str:
    orders = record.orders
    text = phrases.resources(*(int(orders[name][row]) for name in ("cpu", "memory", "storage", "gpu")))
    region = int(orders["region"][row])
    return f"{text}, region {record.regions[region]}" if region >= 0 else f"{text}, any region"


def _outcome(record: Record, row: int) -> str:
    orders = record.orders
    lease = int(orders["lease"][row])
    if lease >= 0:
        provider = record.providers["name"][record.leases["provider"][lease]]
        ended = Ended(int(record.leases["ended"][lease]))
        how = "running" if ended is Ended.RUNNING else phrases.ENDED_TEXT[ended.name.lower()].lower()
        return f"leased from {provider}, {how}"
    code = int(orders["unfilled"][row])
    if code >= 0:
        return f"ended without a lease: {phrases.UNFILLED_TEXT[UNFILLED[code]]}"
    return "still open at the end of the run" if orders["closed_at"][row] < 0 else "ended without a lease"


def _order_line(record: Record, row: int) -> str:
    when = moment(int(record.orders["created_at"][row]), record.meta["block_ms"])
    return f"{order_id(record, row)}  ({when}): {_outcome(record, row)}"


def _tenant(record: Record, tenant: int) -> Explanation:
    orders, leases = record.orders, record.leases
    rows = np.flatnonzero(orders["tenant"] == tenant)
    own = orders["tenant"][leases["order"]] == tenant
    leased = int((orders["lease"][rows] >= 0).sum())
    facts = [
        f"cohort {record.tenant_cohorts[record.tenants['cohort'][tenant]]}",
        f"{plural(len(rows), 'order')}, {count(leased)} leased",
        f"paid {money(float(leases['withdrawn'][own].sum()))}, take included",
    ]
    lines = [_order_line(record, int(row)) for row in rows[:LINES_MAX]]
    if len(rows) > LINES_MAX:
        lines.append(f"… and {count(len(rows) - LINES_MAX)} more in orders.csv")
    name = record.tenants["name"][tenant]
    sections = [Section("Facts", facts), *_faults(record, "tenants", name), Section("Orders", lines)]
    return Explanation("tenant", name, sections)


def _faults(record: Record, whose: str, name: str) -> list[Section]:
    """A section of the faults that hit a provider or a tenant (`whose` is providers or tenants), none where none did."""
    block_ms, start = record.meta["block_ms"], record.meta["start"]
    lines = []
    for fault in record.meta.get("faults") or ():
        if name in fault[whose]:
            ended = "to the end" if fault["ended"] is None else f"to {moment(fault['ended'], block_ms, start)}"
            lines.append(f"{fault['name']}: {moment(fault['since'], block_ms, start)} {ended}: {FAULT_KINDS[fault['kind']].text}")
    return [Section("Faults", lines)] if lines else []


class _Order:
    """The story of one order."""

    def __init__(self, record: Record, row: int) -> None:
        self.record, self.row = record, row
        self.orders, self.leases = record.orders, record.leases
        self.lease = int(record.orders["lease"][row])
        settings = record.meta["scenario"].get("report") or {}
        self.monthly = int(settings.get("monthly_blocks") or BLOCKS_A_MONTH)
        self.bids = None if record.bids is None else np.flatnonzero(record.bids["order"] == row)

    def explanation(self) -> Explanation:
        sections = [
            Section("Asked for", self._asked()),
            Section("What happened", self._timeline()),
            Section("Bids", self._bid_lines()),
        ]
        if self.lease >= 0:
            sections.append(Section("Payments", self._payments()))
        sections.append(Section("Why", self._why()))
        return Explanation("order", order_id(self.record, self.row), sections)

    def _when(self, height: int) -> str:
        return moment(height, self.record.meta["block_ms"], self.record.meta["start"])

    def _asked(self) -> list[str]:
        ceiling, value = pair(self.orders, "ceiling", self.row), pair(self.orders, "value", self.row)
        lines = [_request(self.record, self.row), f"ceiling {phrases.price(ceiling, self.monthly)}"]
        if value:
            lines.append(f"worth {phrases.price(value, self.monthly)} to its tenant")
        if self.orders["relisted"][self.row]:
            lines.append("ordered again after an earlier lease of the same group had ended")
        return lines

    def _timeline(self) -> list[str]:
        facts: list[tuple[int, int, str]] = [(int(self.orders["created_at"][self.row]), 1, "order created")]
        facts += self._events() + self._faults()
        if self.lease >= 0:
            lease, leases = self.lease, self.leases
            provider = self.record.providers["name"][leases["provider"][lease]]
            price = phrases.price(pair(leases, "price", lease), self.monthly)
            facts.append((int(leases["created_at"][lease]), 4, f"lease created with {provider} at {price}"))
            if leases["active_at"][lease] >= 0:
                facts.append((int(leases["active_at"][lease]), 5, "the workload runs"))
            if leases["closed_at"][lease] >= 0:
                reason = int(leases["reason"][lease])
                known = phrases.REASON_TEXT.get(Reason(reason)) if reason in set(Reason) else None
                facts.append((int(leases["closed_at"][lease]), 7, f"lease {known or f'closed, reason {reason}'}"))
        elif self.orders["closed_at"][self.row] >= 0:
            end = OrderEnd(int(self.orders["end"][self.row]))
            how = {OrderEnd.TIMEOUT: "order timed out", OrderEnd.CANCELLED: "order withdrawn by its tenant"}
            facts.append((int(self.orders["closed_at"][self.row]), 7, how.get(end, "order closed")))
        if len(self._bid_rows()):
            first = int(self._bid_column("height")[0])
            facts.append((first, 3, f"first of {plural(len(self._bid_rows()), 'bid')}"))
        return [f"{self._when(height)}: {text}" for height, _, text in sorted(facts)]

    def _faults(self) -> list[tuple[int, int, str]]:
        """Faults of the provider that leased it and of its tenant that began or ended while the order was there."""
        provider = self.record.providers["name"][self.leases["provider"][self.lease]] if self.lease >= 0 else ""
        tenant = self.record.tenants["name"][self.orders["tenant"][self.row]]
        first, last = int(self.orders["created_at"][self.row]), int(self.orders["closed_at"][self.row])
        facts = []
        for fault in self.record.meta.get("faults") or ():
            whom = [name for name in (provider, tenant) if name and name in (*fault["providers"], *fault["tenants"])]
            for what, height in (("begins", fault["since"]), ("ends", fault["ended"])):
                if whom and height is not None and height >= first and (last < 0 or height <= last):
                    facts.append((int(height), 0, f"fault {fault['name']} of {whom[0]} {what}"))
        return facts

    def _events(self) -> list[tuple[int, int, str]]:
        """Facts from the event record: deposits, refunds, funds running out and coming back, refusals to
        bid."""
        events = self.record.events
        if events is None:
            return []
        facts: list[tuple[int, int, str]] = []
        kind, subject = events["kind"], events["subject"]
        if self.lease >= 0:
            texts = {
                EventKind.LEASE_INSUFFICIENT_FUNDS: "escrow ran out: lease insufficient_funds",
                EventKind.LEASE_REACTIVATED: "topped up: lease active again",
                EventKind.LEASE_RECLAIMING: "the provider gave notice",
                EventKind.SHORTFALL: "shortfall forgiven: ",
                EventKind.USAGE_ESCROW_OPENED: "usage escrow opened with ",
                EventKind.USAGE_ESCROW_ENDED: "usage escrow ended, back to the deployment: ",
            }
            for code, text in texts.items():
                for row in np.flatnonzero((kind == code) & (subject == self.lease)):
                    amount = exact_uve(pair_of(events, int(row))) if text.endswith((": ", " with ")) else ""
                    place = 4 if code is EventKind.USAGE_ESCROW_OPENED else 6
                    facts.append((int(events["height"][row]), place, text + amount))
            records = np.flatnonzero((kind == EventKind.USAGE_RECORDED) & (subject == self.lease))
            if len(records) and self.record.meta["scenario"].get("charging") == "ve_settlement":
                cost = sum(pair_of(events, int(row)) for row in records)
                last = int(events["height"][records[-1]])
                facts.append((last, 6, f"last of {plural(len(records), 'usage record')}, {exact_uve(cost)} in all"))
        account = int(self.orders["account"][self.row])
        if account >= 0:
            first = int(self.orders["created_at"][self.row])
            last = int(self.orders["closed_at"][self.row])
            # Rows of closed accounts are used again, also within a block: an account takes deposits before
            # the block in which it closes and refunds after the one in which it opens.
            last = last if last >= 0 else self.record.blocks + 1
            for code, verb in ((EventKind.DEPOSITED, "deposited"), (EventKind.REFUNDED, "refunded")):
                if code is EventKind.DEPOSITED:
                    timely = (events["height"] >= first) & (events["height"] < max(last, first + 1))
                else:
                    timely = (events["height"] > first) & (events["height"] <= last)
                for row in np.flatnonzero((kind == code) & (subject == account) & timely):
                    place = 2 if code is EventKind.DEPOSITED else 8
                    text = f"{exact_uve(pair_of(events, int(row)))} {verb}"
                    facts.append((int(events["height"][row]), place, text))
        return facts

    def _bid_rows(self) -> Column:
        return np.empty(0, np.int64) if self.bids is None else self.bids

    def _bid_column(self, name: str) -> Column:
        column: Column = self.record.bids[name][self._bid_rows()] if self.record.bids is not None else self._bid_rows()
        return column

    def _by_price(self) -> Column:
        """Rows of its bids, cheapest first."""
        rows = self._bid_rows()
        order = np.lexsort((self._bid_column("price_atto"), self._bid_column("price_whole")))
        ranked: Column = rows[order]
        return ranked

    def _bid_lines(self) -> list[str]:
        record = self.record
        lines = []
        if record.bids is None:
            lines.append(f"{plural(int(self.orders['bids'][self.row]), 'bid')} accepted by the chain")
            lines.append(_not_recorded(record, "the bids themselves"))
        elif not len(self._bid_rows()):
            lines.append("none")
        else:
            for rank, row in enumerate(self._by_price()[:LINES_MAX], 1):
                provider = record.providers["name"][record.bids["provider"][row]]
                price = exact_uve(pair(record.bids, "price", int(row)))
                latency = int(record.bids["latency_ms"][row])
                after = "" if latency < 0 else f", {latency / 1000:.2f} s after the engine saw the order"
                winner = self.lease >= 0 and self.leases["provider"][self.lease] == record.bids["provider"][row]
                state = _bid_state(int(record.bids["state"][row]), bool(winner))
                lines.append(f"{rank}. {provider}: {price} at block {record.bids['height'][row]:,}, {state}{after}")
            if len(self._bid_rows()) > LINES_MAX:
                lines.append(f"… and {count(len(self._bid_rows()) - LINES_MAX)} dearer ones in bids.csv")
        return lines + self._declines()

    def _declines(self) -> list[str]:
        declines = self.record.declines
        if declines is None:
            return [] if self.record.bids is None else [_not_recorded(self.record, "refusals to bid")]
        rows = np.flatnonzero(declines["order"] == self.row)
        lines = []
        said = self.record.meta.get("refusals", {}).get(order_id(self.record, self.row).rpartition("/")[0], {})
        for code, name in enumerate(DECLINE_CODES):
            slots = declines["provider"][rows[declines["reason"][rows] == code]]
            if len(slots):
                names = [self.record.providers["name"][slot] for slot in slots[:6]]
                more = f" and {count(len(slots) - 6)} more" if len(slots) > 6 else ""
                lines.append(f"not bid, {name} ({phrases.DECLINED_TEXT[name]}): {', '.join(names)}{more}")
                lines += [f"  {provider}: {said[provider]}" for provider in names if provider in said]
        return lines

    def _payments(self) -> list[str]:
        leases, lease = self.leases, self.lease
        gross, fees = int(leases["withdrawn"][lease]), int(leases["fees"][lease])
        by_usage = self.record.meta["scenario"].get("charging") == "ve_settlement"
        shared = "to the platform and the validators" if by_usage else "take"
        lines = [f"{exact_uve(gross * ATTO)} paid out: {count(gross - fees)} to the provider, {count(fees)} {shared}"]
        forgiven = pair(leases, "shortfall", lease)
        if forgiven:
            lines.append(f"{exact_uve(forgiven)} owed and forgiven")
        table = self.record.settlements
        if table is None:
            return [*lines, _not_recorded(self.record, "settlements")]
        rows = np.flatnonzero(table["lease"] == lease)
        moved = exact_sum(table["moved_whole"][rows], table["moved_atto"][rows])
        lines.append(f"{plural(len(rows), 'settlement')} moved {exact_uve(moved)} from escrow to the payment")
        shown = rows if len(rows) <= LINES_MAX else np.concatenate([rows[: LINES_MAX // 2], rows[-LINES_MAX // 2 :]])
        for place, row in enumerate(shown):
            if len(rows) > LINES_MAX and place == LINES_MAX // 2:
                lines.append(f"… {count(len(rows) - len(shown))} more in settlements.csv …")
            owed = exact_uve(exact(table["moved_whole"][row], table["moved_atto"][row]))
            paid = f"{count(table['net'][row])} paid, {count(table['take'][row])} take"
            if by_usage:
                parts = _fee_split(int(table["net"][row] + table["take"][row]))
                paid = f"{count(parts[0])} paid, {count(parts[1])} to the platform, {count(parts[2])} to the validators"
            how = "of reported use settled" if by_usage else f"owed up to block {table['until'][row]:,}"
            lines.append(f"block {table['height'][row]:,}: {owed} {how}, {paid}")
        return lines

    def _why(self) -> list[str]:
        record = self.record
        if self.lease < 0:
            lines = [_outcome(record, self.row)]
            bids = int(self.orders["bids"][self.row])
            if bids:
                lines.append(f"it had {plural(bids, 'bid')}")
            return lines
        leases = self.leases
        lines = []
        winner = int(leases["provider"][self.lease])
        name = record.providers["name"][winner]
        if record.bids is not None and len(self._bid_rows()):
            lines.append(self._rank_of(winner, name))
        ended = Ended(int(leases["ended"][self.lease]))
        begun, closed = int(leases["created_at"][self.lease]), int(leases["closed_at"][self.lease])
        block_ms = record.meta["block_ms"]
        if ended is Ended.RUNNING:
            lines.append(f"it still runs after {span(record.blocks - begun, block_ms)}")
        else:
            texts = {
                Ended.TENANT_TERMINATED: "its tenant ended it before its planned end",
                Ended.LEASE_COMPLETED: "it reached its planned end",
                Ended.INSUFFICIENT_FUNDS: "its escrow ran out and was not topped up in time",
                Ended.PROVIDER_CLOSED: f"{name} closed it",
            }
            lines.append(f"{texts[ended]}, after {span(closed - begun, block_ms)}")
        return lines

    def _rank_of(self, winner: int, name: str) -> str:
        bids = self.record.bids
        assert bids is not None
        ranked = self._by_price()
        slots = list(bids["provider"][ranked])
        if winner not in slots:
            return f"{name} won; its bid is not in the record"
        place = slots.index(winner)
        price = pair(bids, "price", int(ranked[place]))
        cheapest = pair(bids, "price", int(ranked[0]))
        if price == cheapest:
            ties = sum(pair(bids, "price", int(row)) == price for row in ranked)
            if len(ranked) == 1:
                return f"{name} won as the only bidder"
            if ties > 1:
                tie = "the stateless hash of (seed, order, provider)"
                return f"{name} won a tie of {ties} equal lowest prices by {tie}"
            gap = pair(bids, "price", int(ranked[1])) - price
            share = percent(gap / price) if price else ""
            return f"{name} won with the lowest of {plural(len(ranked), 'bid')}, {share} below the next"
        above = percent(price / cheapest - 1) if cheapest else phrases.DASH
        return (
            f"{name} won as number {place + 1} of {len(ranked)} by price, {above} above the lowest: the "
            "tenant's choice rule, a bid after the window, or a cheaper provider without free capacity"
        )


class _Provider:
    """The story of one provider, beside its siblings of the cohort."""

    def __init__(self, record: Record, slot: int) -> None:
        self.record, self.slot = record, slot
        self.table = record.providers
        self.name = self.table["name"][slot]
        self.cohort = int(self.table["cohort"][slot])
        rows = provider_rows(record)
        self.own = rows[slot]
        self.siblings = [row for place, row in enumerate(rows) if self.table["cohort"][place] == self.cohort and place != slot]

    def explanation(self) -> Explanation:
        sections = [
            Section("Facts", self._facts()),
            Section("Bids", self._bids()),
            Section("Leases and revenue", self._leases()),
            Section("Beside its siblings", self._beside()),
            *_faults(self.record, "providers", self.name),
            Section("Events", self._events()),
        ]
        return Explanation("provider", self.name, sections)

    def _facts(self) -> list[str]:
        capacity = phrases.resources(*(int(self.table[key][self.slot]) for key in ("cpu", "memory", "storage", "gpu")))
        limit = int(self.table["lease_capacity"][self.slot])
        draw = int(self.table["cost_ppm"][self.slot])
        lines = [f"cohort {self.record.provider_cohorts[self.cohort]}, capacity {capacity}"]
        if limit >= 0:
            lines.append(f"at most {plural(limit, 'lease')}")
        if draw:
            lines.append(f"its cost draw is {draw / 10_000 - 100:+.2f} % from the cohort's prices")
        used = ", ".join(f"{key} {percent(value)}" for key, value in self.own.utilization.items() if value is not None)
        return [*lines, f"leased share of capacity in the window: {used or '–'}"]

    def _bids(self) -> list[str]:
        own, table = self.own, self.table
        lost, closed = int(table["lost"][self.slot]), int(table["closed"][self.slot])
        lines = [
            f"{count(own.submitted)} submitted, {count(table['accepted'][self.slot])} accepted by the chain "
            f"({percent(own.acceptance_rate)} in the window)",
            f"{count(own.won)} won, {count(lost)} lost, {count(closed)} timed out or withdrawn "
            f"(win rate {percent(own.win_rate)} in the window)",
        ]
        for code, times in rejections(table["rejected"][self.slot], self.record.meta["rules"]).items():
            if times:
                lines.append(f"chain refused {count(times)}: {code}")
        for number_, code in enumerate(DECLINE_CODES):
            times = int(table["declined"][self.slot, number_])
            if times:
                lines.append(f"engine declined {count(times)}: {code} ({phrases.DECLINED_TEXT[code]})")
        return lines

    def _leases(self) -> list[str]:
        own, record = self.own, self.record
        lines = [f"revenue of the window {money(own.revenue)} net, take {money(own.take)}"]
        if own.network_fees:
            lines.append(f"network fees {money(own.network_fees)}, whole run")
        if record.meta["record"] == "summary":
            return [*lines, _not_recorded(record, "its leases")]
        leases = record.leases
        rows = np.flatnonzero(leases["provider"] == self.slot)
        ended = np.bincount(leases["ended"][rows], minlength=len(Ended))
        parts = [f"{count(ended[code])} {phrases.ENDED_TEXT[code.name.lower()].lower()}" for code in Ended if ended[code]]
        lines.insert(0, f"{plural(len(rows), 'lease')}: {', '.join(parts) or 'none'}")
        best = rows[np.argsort(-leases["withdrawn"][rows], kind="stable")][:5]
        for row in best:
            if leases["withdrawn"][row]:
                order = order_id(record, int(leases["order"][row]))
                lines.append(f"{order}: {money(float(leases['withdrawn'][row]))} paid, take included")
        return lines

    def _beside(self) -> list[str]:
        if not self.siblings:
            return ["it is the only provider of its cohort"]
        wins = [row.won for row in self.siblings]
        mean = sum(wins) / len(wins)
        lines = [
            f"{count(self.own.won)} wins; its {plural(len(wins), 'sibling')}: {count(min(wins))} to {count(max(wins))}, mean {mean:.1f}"
        ]
        ratio = self.own.won / mean if mean else None
        # Counts scatter by their root: a small cohort's ratio means nothing by itself.
        beyond = abs(self.own.won - mean) > 3 * max(1.0, mean) ** 0.5
        far = beyond and (ratio is None or ratio > OUT_OF_LINE or ratio < 1 / OUT_OF_LINE)
        reasons = self._reasons()
        if far:
            times = "while they won none" if ratio is None else f"{ratio:.2f} times the siblings' mean"
            lines.append(f"that is out of line beyond chance, {times}; what differs:")
        else:
            lines.append("that is in line with its siblings; what differs:")
        return [*lines, *(reasons or ["nothing that was recorded"])]

    def _reasons(self) -> list[str]:
        """Its price level, capacity, cost draw and refusals beside the means of its siblings."""
        slots = [place for place in range(len(self.table["name"])) if self.table["cohort"][place] == self.cohort and place != self.slot]
        lines = []
        level, others = self._price_level([self.slot]), self._price_level(slots)
        if level is not None and others is not None:
            lines.append(f"  price ÷ value of the orders it won: {level:.3f}, siblings {others:.3f}")
        draws = self.table["cost_ppm"]
        if draws[self.slot] and draws[slots].all():
            mean = float(np.mean(draws[slots])) / 1e6
            lines.append(f"  cost draw {draws[self.slot] / 1e6:.4f}, siblings' mean {mean:.4f} (lower wins more often)")
        for key in ("cpu", "memory", "storage", "gpu"):
            mean = float(np.mean(self.table[key][slots].astype(float)))
            if mean and abs(self.table[key][self.slot] / mean - 1) > 0.05:
                lines.append(f"  capacity of {key} {self.table[key][self.slot] / mean:.2f} times the siblings' mean")
        bids = float(np.mean([row.submitted for row in self.siblings]))
        if bids and abs(self.own.submitted / bids - 1) > 0.1:
            lines.append(f"  {count(self.own.submitted)} bids submitted, siblings' mean {bids:,.1f}")
        for code, name in enumerate(DECLINE_CODES):
            own = int(self.table["declined"][self.slot, code])
            mean = float(np.mean(self.table["declined"][slots, code]))
            if abs(own - mean) > max(3 * max(mean, 1.0) ** 0.5, 0.1 * mean):
                lines.append(f"  declined for {name} {count(own)} times, siblings' mean {mean:,.1f}")
        return lines

    def _price_level(self, slots: list[int]) -> float | None:
        """Mean of price ÷ the order's value over the leases of some providers: how dear they are for like
        orders."""
        leases, orders = self.record.leases, self.record.orders
        rows = np.flatnonzero(np.isin(leases["provider"], slots))
        value = orders["value_whole"][leases["order"][rows]] + orders["value_atto"][leases["order"][rows]] / ATTO
        price = leases["price_whole"][rows] + leases["price_atto"][rows] / ATTO
        known = value > 0
        return float(np.mean(price[known] / value[known])) if known.any() else None

    def _events(self) -> list[str]:
        events = self.record.events
        if events is None:
            return [_not_recorded(self.record, "outages, repricing and blocks")]
        kinds = (
            EventKind.OUTAGE,
            EventKind.REPRICED,
            EventKind.PROVIDER_BLOCKED,
            EventKind.PROVIDER_UNBLOCKED,
            EventKind.PROVIDER_FAULT,
        )
        mine = np.isin(events["kind"], [int(kind) for kind in kinds]) & (events["subject"] == self.slot)
        rows = np.flatnonzero(mine)
        lines = []
        for row in rows[:LINES_MAX]:
            when = moment(int(events["height"][row]), self.record.meta["block_ms"], self.record.meta["start"])
            lines.append(f"{when}: {_provider_event(events, int(row))}")
        if len(rows) > LINES_MAX:
            lines.append(f"… and {count(len(rows) - LINES_MAX)} more in events.csv")
        return lines or ["none"]


def pair_of(events: LongTable, row: int) -> int:
    """Return the amount of an event in atto-uve."""
    return exact(events["whole"][row], events["atto"][row])


def _provider_event(events: LongTable, row: int) -> str:
    match EventKind(int(events["kind"][row])):
        case EventKind.OUTAGE:
            return "offline" if events["other"][row] else "online again"
        case EventKind.REPRICED:
            return f"prices now × {int(events['whole'][row]) / 1e6:.4f}"
        case EventKind.PROVIDER_BLOCKED:
            return "blocked by governance"
        case EventKind.PROVIDER_FAULT:
            kind = _FAULT_OF.get(int(events["whole"][row]), "")
            return f"fault {kind} {'begins' if events['other'][row] else 'ends'}"
    return "unblocked by governance"


def _bid_state(state: int, winner: bool) -> str:
    names = {
        BidState.OPEN: "open",
        BidState.ACTIVE: "won",
        BidState.LOST: "lost",
        BidState.CLOSED: "won, its lease has ended" if winner else "closed",
    }
    return names.get(BidState(state), str(state))


def _fee_split(total: int) -> tuple[int, int, int]:
    """Return (provider, platform, validators) of a usage escrow's settlement."""
    from marketsim.chain.escrow.usage_escrow import PLATFORM_BPS, VALIDATOR_BPS, split  # compiled: only where needed

    return split(total, PLATFORM_BPS, VALIDATOR_BPS)
