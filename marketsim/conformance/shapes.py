"""What a line of each kind of vector file must hold, checked before a replay sees it.

A file of another kind, a missing argument or a number that is none is a located error of the input, never a
crash of the replay. Keys that the tables do not name are left alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from marketsim.conformance.report import MalformedVectorError, Vector

_DECIMAL = re.compile(r"-?[0-9]+(?:\.[0-9]{1,18})?", re.ASCII)
_COINS = re.compile(r"-?[0-9]+", re.ASCII)

Check = Callable[[Any], bool]
Shape = Any
"""A (check, words) pair, a dict of keys (`?` behind an optional one), a one-element list, or an `_Each`."""


class _Each:
    """An object with free keys, each value of one shape."""

    def __init__(self, shape: Shape) -> None:
        self.shape = shape


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


TEXT = (lambda value: isinstance(value, str), "a string")
NAME = (lambda value: isinstance(value, str) and value != "", "a name")
TEXT_OR_NULL = (lambda value: value is None or isinstance(value, str), "a string or null")
INT = (_is_int, "an integer")
COUNT = (lambda value: _is_int(value) and value >= 0, "an integer of 0 or more")
COUNT_OR_NULL = (lambda value: value is None or COUNT[0](value), "an integer of 0 or more, or null")
FLAG = (lambda value: isinstance(value, bool), "true or false")
OBJECT = (lambda value: isinstance(value, dict), "an object")
DECIMAL = (
    lambda value: isinstance(value, str) and _DECIMAL.fullmatch(value) is not None,
    "a decimal in a string",
)
COINS = (
    lambda value: isinstance(value, str) and _COINS.fullmatch(value) is not None,
    "whole uve in a string",
)

_RESOURCES = {"cpu": COUNT, "memory": COUNT, "storage": COUNT, "gpu": COUNT}

_ESCROW_OPS: Mapping[str, Shape] = {
    "deposit": {"owner": NAME, "amount": COINS},
    "payment_create": {"payment": NAME, "rate": DECIMAL},
    "payment_withdraw": {"payment": NAME},
    "payment_close": {"payment": NAME},
    "account_close": {},
}

_SEED_OPS: Mapping[str, Shape] = {
    "deposit": {"owner": NAME, "amount": DECIMAL},
    "lease_open": {
        "payment": NAME,
        "price": DECIMAL,
        "reserved": _RESOURCES,
        "unit": {name: DECIMAL for name in _RESOURCES},
    },
    "usage": {"payment": NAME, "metrics": _Each(INT)},
    "settle": {},
    "lease_close": {"payment": NAME},
    "account_close": {},
    "deplete": {},
    "grace_end": {},
}

_SOURCES = [NAME]
_GROUP = {
    "name": TEXT,
    "attributes?": _Each(TEXT),
    "all_of?": [TEXT],
    "any_of?": [TEXT],
    "resources": [{"price": DECIMAL, "count": COUNT, **_RESOURCES}],
}

_MARKET_OPS: Mapping[str, Shape] = {
    "create_deployment": {
        "id": NAME,
        "deposit": COINS,
        "sources": _SOURCES,
        "groups": [_GROUP],
        "hash": TEXT,
    },
    "update_deployment": {"id": NAME, "hash": TEXT},
    "close_deployment": {"id": NAME},
    "close_group": {"id": NAME},
    "pause_group": {"id": NAME},
    "start_group": {"id": NAME},
    "create_bid": {"id": NAME, "price": DECIMAL, "deposit": COINS, "sources": _SOURCES, "window?": INT},
    "close_bid": {"id": NAME, "reason?": INT},
    "create_lease": {"id": NAME},
    "close_lease": {"id": NAME},
    "withdraw": {"id": NAME},
    "start_reclaim": {"id": NAME, "reason?": INT},
    "account_deposit": {"signer": NAME, "id": NAME, "deposit": COINS, "sources": _SOURCES},
    "grant": {"granter": NAME, "signer": NAME, "limit": COINS, "scopes": [NAME]},
    "sign_attributes": {"signer": NAME, "provider": NAME, "attributes": _Each(TEXT)},
    "delete_provider": {"provider": NAME},
    "set_params": {"params": OBJECT},
}

_SETTLEMENT_OPS: Mapping[str, Shape] = {
    "create": {"order": NAME, "by": NAME, "amount": COINS, "seconds": INT},
    "activate": {"order": NAME, "by": NAME},
    "usage": {"order": NAME, "by": NAME, "usage": NAME, "units": INT, "unit_price": DECIMAL},
    "settle": {"order": NAME, "usage_ids?": [NAME], "final?": FLAG},
    "release": {"order": NAME},
    "refund": {"order": NAME},
    "dispute": {"order": NAME},
    "block": {},
}

_ESCROW_LINE = {"id": NAME, "take_percent": COUNT, "quirks": FLAG, "opened_at": INT}
_SEED_LINE = {
    "id": NAME,
    "take_percent": COUNT,
    "charging": NAME,
    "settle_every": COUNT,
    "grace": COUNT,
    "created_at": INT,
    "block_seconds": INT,
}
_MARKET_LINE = {
    "id": NAME,
    "rules": NAME,
    "quirks": FLAG,
    "start": {"params": OBJECT, "wallets": _Each(COINS), "providers": OBJECT},
}
_SETTLEMENT_LINE = {"id": NAME, "wallets": _Each(COINS)}
_SCRIPT_LINE = {
    "id": NAME,
    "targets": _Each(TEXT),
    "price": TEXT_OR_NULL,
    "request": {
        "resources": [
            {
                "cpu": COUNT,
                "memory": COUNT,
                "gpu?": OBJECT,
                "storage": [{"class": TEXT, "size": COUNT}],
                "count": COUNT,
                "endpoint_quantity?": COUNT_OR_NULL,
                "ip_lease_quantity?": COUNT_OR_NULL,
            }
        ],
        "price": {"denom": TEXT, "amount": DECIMAL},
        "price_precision?": COUNT_OR_NULL,
    },
}
_ENGINE_LINE = {
    "id": NAME,
    "matches": FLAG,
    "price": TEXT_OR_NULL,
    "order": {
        "offering": TEXT,
        "region?": TEXT,
        "max_price?": TEXT,
        "cpu_cores?": INT,
        "memory_gb?": INT,
        "storage_gb?": INT,
        "gpus?": INT,
    },
    "config": {
        "supported_offerings": [TEXT],
        "regions?": [TEXT],
        "capacity?": _Each(INT),
        "pricing": _Each(TEXT),
    },
}


def check_escrow(line: Vector) -> None:
    """Raise MalformedVectorError unless the line is an escrow sequence of a rule that a file can name."""
    rule = line.get("rule")
    if rule == "seed":
        _require(line, _SEED_LINE)
        _operations(line, "ops", _SEED_OPS, {"height": INT, "after": OBJECT, "auto?": FLAG}, "height")
    elif rule in ("sequential", "proportional"):
        _require(line, _ESCROW_LINE)
        _operations(line, "ops", _ESCROW_OPS, {"height": INT, "result": NAME, "after": OBJECT}, "height")
    else:
        raise MalformedVectorError("rule", f"{_brief(rule)}, expected sequential, proportional or seed")


def check_market(line: Vector) -> None:
    """Raise MalformedVectorError unless the line is a sequence of market messages."""
    _require(line, _MARKET_LINE)
    if line["rules"] not in ("virtengine", "akash"):
        raise MalformedVectorError("rules", f"{_brief(line['rules'])}, expected virtengine or akash")
    # no clock: the recorded scripted cases sometimes go back in height
    _operations(line, "messages", _MARKET_OPS, {"height": INT, "result": NAME, "changed?": OBJECT}, None)


def check_settlement(line: Vector) -> None:
    """Raise MalformedVectorError unless the line is a sequence of the usage escrow."""
    _require(line, _SETTLEMENT_LINE)
    _operations(line, "ops", _SETTLEMENT_OPS, {"time": INT, "result": NAME, "changed?": OBJECT}, "time")


def check_price(line: Vector) -> None:
    """Raise MalformedVectorError unless the line asks VirtEngine's engine or Akash's script for a price."""
    if "config" in line:
        _require(line, _ENGINE_LINE)
    elif "targets" in line:
        _require(line, _SCRIPT_LINE)
    else:
        raise MalformedVectorError("line", "has neither config (VirtEngine's engine) nor targets (Akash's script)")


def check_sdl(line: Vector) -> None:
    """Raise MalformedVectorError unless the line is a manifest with the verdict on it."""
    _require(line, {"id": NAME, "accepted": FLAG, ("sdl_base64" if "sdl_base64" in line else "sdl"): TEXT})
    if line["accepted"] and not isinstance(line.get("groups"), list):
        raise MalformedVectorError("groups", f"{_brief(line.get('groups'))}, expected a list")


def check_script(line: Vector) -> None:
    """Raise MalformedVectorError unless the line is a manifest with what a script reads and prints of it."""
    _require(line, {"id": NAME, "sdl": TEXT, "targets": _Each(TEXT), "gpu_mappings": TEXT, "request": TEXT, "price": TEXT_OR_NULL})


def _require(line: Vector, shape: Mapping[str, Shape]) -> None:
    _hold(line, shape, "")


def _operations(line: Vector, key: str, by_name: Mapping[str, Shape], always: Mapping[str, Shape], clock: str | None) -> None:
    """Each entry of the list at `key` has a name and its arguments; `clock`, if any, never goes back."""
    entries = line.get(key)
    if not isinstance(entries, list):
        raise MalformedVectorError(key, f"{_brief(entries)}, expected a list")
    last = None
    for index, entry in enumerate(entries):
        path = f"{key}[{index}]"
        if not isinstance(entry, dict):
            raise MalformedVectorError(path, f"{_brief(entry)}, expected an object")
        name = entry.get("op")
        shape = by_name.get(name) if isinstance(name, str) else None
        if shape is None:
            raise MalformedVectorError(f"{path}.op", f"{_brief(name)}, expected one of {', '.join(by_name)}")
        _hold(entry, always, path)
        _hold(entry, shape, path)
        if clock is not None:
            if last is not None and entry[clock] < last:
                raise MalformedVectorError(f"{path}.{clock}", f"{entry[clock]}, expected {last} or later")
            last = entry[clock]


def _hold(value: Any, shape: Shape, path: str) -> None:
    if isinstance(shape, tuple):
        check, words = shape
        if not check(value):
            raise MalformedVectorError(path, f"{_brief(value)}, expected {words}")
    elif isinstance(shape, Mapping):
        if not isinstance(value, Mapping):
            raise MalformedVectorError(path, f"{_brief(value)}, expected an object")
        for key, inner in shape.items():
            name = key.removesuffix("?")
            at = f"{path}.{name}" if path else name
            if name in value:
                _hold(value[name], inner, at)
            elif name == key:
                raise MalformedVectorError(at, f"is missing, expected {_words(inner)}")
    elif isinstance(shape, _Each):
        if not isinstance(value, Mapping):
            raise MalformedVectorError(path, f"{_brief(value)}, expected an object")
        for key, item in value.items():
            _hold(item, shape.shape, f"{path}.{key}")
    else:
        _hold_list(value, shape, path)


def _hold_list(value: Any, shape: Sequence[Shape], path: str) -> None:
    if not isinstance(value, list):
        raise MalformedVectorError(path, f"{_brief(value)}, expected a list")
    for index, item in enumerate(value):
        _hold(item, shape[0], f"{path}[{index}]")


def _words(shape: Shape) -> str:
    if isinstance(shape, tuple):
        words: str = shape[1]
        return words
    return "a list" if isinstance(shape, list) else "an object"


def _brief(value: Any) -> str:
    """A value as an error shows it: short."""
    if value is None:
        return "is missing or null"
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
