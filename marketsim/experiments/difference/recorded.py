"""The first event that differs in two results folders which hold their events: for runs that cannot be made again here."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from marketsim.chain.columns import EventKind
from marketsim.chain.events import PAYING, PRICED
from marketsim.chain.rendering import amount
from marketsim.chain.state import MODULES
from marketsim.errors import InputError
from marketsim.experiments.difference.names import kind_of_subject
from marketsim.export.results import read_record
from marketsim.recording.record import Record
from marketsim.recording.trail import INGREDIENTS

if TYPE_CHECKING:
    from marketsim.experiments.difference.find import FirstDifference

Told = tuple[int, str, str, str]
"""One event by names: height, kind, what it is about, its figures."""


def recorded_difference(found: FirstDifference, a: Path, b: Path, used: Sequence[str]) -> bool:
    """Describe in `found` the first event of its chunk, or of a later block, that differs in two folders; return whether both hold events
    and one differs."""
    assert found.chunk is not None
    try:
        records = read_record(a), read_record(b)
    except InputError as error:
        found.notes += error.lines
        return False
    if any(record.events is None or record.meta["record"] != "everything" for record in records):
        return False
    first = max(found.chunk[0], 1)
    streams = [list(_events(record, first, used)) for record in records]
    for height in sorted({told[0] for stream in streams for told in stream}):
        blocks = [[told for told in stream if told[0] == height] for stream in streams]
        if blocks[0] == blocks[1]:
            continue
        at = next((i for i, pair in enumerate(zip(*blocks, strict=False)) if pair[0] != pair[1]), min(map(len, blocks)))
        pair: list[Told | None] = [block[at] if at < len(block) else None for block in blocks]
        if pair[0] is not None and pair[1] is not None:
            in_b, in_a = pair[0] in blocks[1][at:], pair[1] in blocks[0][at:]
            pair = [None, pair[1]] if in_b and not in_a else [pair[0], None] if in_a and not in_b else pair
        found.height = height
        found.event = {
            side: None if told is None else {"height": height, "text": _text(told)} for side, told in zip(("a", "b"), pair, strict=True)
        }
        _name_message(found, records, height)
        return True
    return False


def events_named(record: Record, text: str) -> list[tuple[int, str]]:
    """Return the recorded events that begin with a text, as height and text; raises InputError where none were recorded."""
    if record.events is None:
        raise InputError(f"--event: events were not recorded (record: {record.meta['record']}), expected everything")
    found = [(told[0], _text(told)) for told in _events(record, 0, INGREDIENTS)]
    return [each for each in found if each[1].startswith(text)]


def _text(told: Told) -> str:
    return f"{told[1]}: {told[2]}{f', {told[3]}' if told[3] else ''}"


def _name_message(found: FirstDifference, records: tuple[Record, Record], height: int) -> None:
    """The message by hand of that block that differs, from the scenarios that the folders hold."""
    entries: list[Any] = []
    for record in records:
        listed = [*(record.meta["scenario"].get("messages") or []), *(record.meta["scenario"].get("governance") or [])]
        entries.append([message for message in listed if message.get("height") == height])
    one, other = entries
    if one == other:
        return
    at = next((i for i, pair in enumerate(zip(one, other, strict=False)) if pair[0] != pair[1]), min(len(one), len(other)))
    said = [
        None
        if at >= len(each)
        else {"place": "messages", "at": "manifest.json", "height": height, "message": each[at], "result": _answer(record, each[at])}
        for each, record in zip((one, other), records, strict=True)
    ]
    first = next(each for each in said if each is not None)
    found.message = {"op": str(first["message"].get("op")), "by_hand": True, "a": said[0], "b": said[1]}


def _answer(record: Record, message: Any) -> str:
    for receipt in record.meta.get("receipts") or []:
        if receipt["height"] == message.get("height") and receipt["op"] == message.get("op") and receipt["id"] in str(message):
            return str(receipt["result"])
    return ""


def _events(record: Record, first: int, used: Sequence[str]) -> Iterator[Told]:
    """The events from a block on that count among some ingredients, in their order, by names."""
    events = record.events
    assert events is not None
    columns = {name: np.asarray(events[name]) for name in ("height", "kind", "subject", "other", "whole", "atto", "extra")}
    names = _Named(record, columns)
    for at in np.flatnonzero(columns["height"] >= first).tolist():
        height, kind, subject, other, whole, atto, extra = (int(columns[name][at]) for name in columns)
        ingredient = "prices" if (PRICED >> kind) & 1 else "payments" if (PAYING >> kind) & 1 else "states"
        is_settled = kind in (EventKind.SETTLED, EventKind.PAID)
        if is_settled and not {"settlements", "payments"} & set(used):
            continue
        figures = amount(whole, atto) if (ingredient in used or is_settled) and (whole or atto) else ""
        if kind > EventKind.LEASE_CREATED and figures and extra:
            figures += f" and {extra}"
        if "events" not in used and not figures:
            continue
        yield height, EventKind(kind).name.lower().replace("_", " "), names.name(at, kind, subject, other), figures


class _Named:
    """Names of rows in a record of events; what the record does not know keeps its kind and no number."""

    def __init__(self, record: Record, events: dict[str, Any]) -> None:
        self._record = record
        self._wallets = [*MODULES, *record.providers["name"], *record.tenants["name"]]
        kind = events["kind"]
        orders = np.flatnonzero(kind == EventKind.ORDER_CREATED)
        self._group = dict(zip(events["other"][orders].tolist(), events["subject"][orders].tolist(), strict=True))
        made = np.flatnonzero(kind == EventKind.DEPLOYMENT_CREATED)
        following = np.searchsorted(orders, made)
        is_there = following < len(orders)
        first_orders = events["subject"][orders[following[is_there]]].tolist()
        self._deployment = dict(zip(events["subject"][made[is_there]].tolist(), first_orders, strict=True))
        self._accounts: dict[int, list[tuple[int, int]]] = {}
        for at, account, order in zip(made[is_there].tolist(), events["other"][made[is_there]].tolist(), first_orders, strict=True):
            self._accounts.setdefault(account, []).append((at, order))

    def name(self, at: int, kind: int, subject: int, other: int) -> str:
        what = kind_of_subject(kind)
        if what == "order":
            order = self._order(subject)
            is_bid = kind in (EventKind.BID_CREATED, EventKind.BID_WON, EventKind.BID_LOST, EventKind.BID_CLOSED)
            return f"{order}/{self._provider(other)}" if is_bid else order
        if what == "lease":
            leases = self._record.leases
            if subject >= len(leases["order"]):
                return "lease"
            return f"{self._order(int(leases['order'][subject]))}/{self._provider(int(leases['provider'][subject]))}"
        if what == "group" and subject in self._group:
            return "/".join(self._order(self._group[subject]).split("/")[:3])
        if what == "deployment" and subject in self._deployment:
            return "/".join(self._order(self._deployment[subject]).split("/")[:2])
        if what == "provider":
            return self._provider(subject)
        if what == "wallet":
            return self._wallet(subject)
        if what == "account":
            owners = [order for begun, order in self._accounts.get(subject, []) if begun < at]
            name = "/".join(self._order(owners[-1]).split("/")[:2]) if owners else "account"
            return f"{name}, {self._wallet(other)}"
        return f"{what} {subject}" if what == "parameter" else what

    def _order(self, row: int) -> str:
        orders = self._record.orders
        if row >= len(orders["tenant"]):
            return "order"
        owner = self._record.tenants["name"][int(orders["tenant"][row])]
        return f"{owner}/{orders['dseq'][row]}/{orders['gseq'][row]}/{orders['oseq'][row]}"

    def _provider(self, slot: int) -> str:
        names = self._record.providers["name"]
        return str(names[slot]) if 0 <= slot < len(names) else "provider"

    def _wallet(self, row: int) -> str:
        return str(self._wallets[row]) if 0 <= row < len(self._wallets) else "wallet"
