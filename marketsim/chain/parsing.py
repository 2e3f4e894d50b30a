"""Messages as data: what each kind takes and who must sign it, and the reading of one, which changes nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

from marketsim.chain.columns import G, Resource, Scope
from marketsim.chain.requirements import Requirements, pairs_of, requirements_of
from marketsim.money.units import PPM

Message = Mapping[str, Any]

GOVERNANCE = "governance"
"""The signer of what only governance may do."""

SIGNERS: Mapping[str, str] = {
    "create_deployment": "owner",
    "update_deployment": "owner",
    "close_deployment": "owner",
    "close_group": "owner",
    "pause_group": "owner",
    "start_group": "owner",
    "create_bid": "provider",
    "close_bid": "provider",
    "create_lease": "owner",
    "close_lease": "owner",
    "withdraw": "provider",
    "start_reclaim": "provider",
    "activate_lease": "provider",
    "submit_usage": "provider",
    "account_deposit": "anybody",
    "grant": "granter",
    "sign_attributes": "anybody",
    "create_provider": "provider",
    "update_provider": "provider",
    "delete_provider": "provider",
    "set_params": GOVERNANCE,
    "block_provider": GOVERNANCE,
    "unblock_provider": GOVERNANCE,
    "settle_escrow": GOVERNANCE,
}
"""Who must sign what: the owner in the id, the provider (the last part of the id, or `provider`), the `granter`, governance, or anybody,
whom `signer` then names. Of a grant `signer` names the grantee, as in the vectors: who may sign with it from then on.
"""

PARAMS: Mapping[str, tuple[int, int]] = {
    "order_max_bids": (G.order_max_bids, 1),
    "bid_min_deposit": (G.bid_min_deposit, 1),
    "deployment_min_deposit": (G.deployment_min_deposit, 1),
    "take_percent": (G.take_ppm, PPM // 100),
    "take_ppm": (G.take_ppm, 1),
    "settle_every": (G.settle_every, 1),
    "grace": (G.grace, 1),
    "order_timeout": (G.order_timeout, 1),
    "usage_grace": (G.usage_grace, 1),
    "window_min": (G.window_min_seconds, 1),
    "window_max": (G.window_max_seconds, 1),
}
"""Parameters by name: their global, and how many of its units one unit of the message is."""


_SOURCES = {"balance": 1, "grant": 2}
_SCOPES = {"deployment": Scope.DEPLOYMENT, "bid": Scope.BID}
_COINS_MAX = 9_000_000_000_000_000_000
NUMBER_MAX = 1 << 60
_DECIMALS = 18


class MessageError(ValueError):
    """A message that is no message: `key` names the culprit. A refusal by the chain is a Status, not this."""

    def __init__(self, key: str, problem: str) -> None:
        super().__init__(f"{key}: {problem}")
        self.key = key
        self.problem = problem


def parse_coins(text: Any, key: str) -> int:
    """Return whole uve; what exceeds every supply stays larger than every supply."""
    try:
        value = int(text)
    except (TypeError, ValueError):
        raise MessageError(key, f"{text!r} is not a whole number of uve") from None
    return max(-_COINS_MAX, min(_COINS_MAX, value))


def parse_price(text: Any, key: str) -> tuple[int, int]:
    """Return a price as a pair; raises MessageError for more than 18 decimals and for what is no decimal."""
    whole, point, fraction = str(text).partition(".")
    digits = whole.removeprefix("-")
    if not (digits.isascii() and digits.isdigit()) or (point and not (fraction.isascii() and fraction.isdigit())):
        raise MessageError(key, f"{text!r} is not a decimal number")
    if len(fraction) > _DECIMALS:
        raise MessageError(key, f"{text!r} has {len(fraction)} decimals, at most {_DECIMALS} are kept")
    units, atto = min(int(digits), _COINS_MAX), int(fraction.ljust(_DECIMALS, "0")) if fraction else 0
    if whole.startswith("-"):
        return (-units - 1, 10**_DECIMALS - atto) if atto else (-units, 0)
    return units, atto


def parse_number(value: Any, key: str) -> int:
    """Return a quantity (millicores, bytes, a count); beyond every limit it stays beyond every limit."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise MessageError(key, f"{value!r} is not a whole number")
    return max(-NUMBER_MAX, min(NUMBER_MAX, value))


def parse_sources(names: Sequence[str], key: str = "sources") -> int:
    """Return the order in which to try the sources of a deposit, as digits of base 4, the first lowest."""
    code = 0
    for name in reversed(names):
        if name not in _SOURCES:
            raise MessageError(key, f"{name!r} is not a source, expected balance or grant")
        code = 4 * code + _SOURCES[name]
    return code


def param_of(name: str, value: Any, where: str) -> tuple[int, int]:
    """Return a parameter's global, a column of `G`, and its value in the global's unit; raises MessageError for what is no
    parameter or no number."""
    if name not in PARAMS:
        raise MessageError(f"{where}.{name}", f"is no parameter, expected one of {', '.join(PARAMS)}")
    column, scale = PARAMS[name]
    return column, parse_number(value, f"{where}.{name}") * scale


def parse_name(value: Any, key: str) -> str:
    """Return a name; raises MessageError for what is none and for an empty one."""
    if not isinstance(value, str):
        raise MessageError(key, f"{value!r} is not a name")
    if not value:
        raise MessageError(key, "a name is empty")
    return value


def parse_id(value: Any, key: str) -> str:
    """Return an id, whatever it names; raises MessageError for what is no text."""
    if not isinstance(value, str):
        raise MessageError(key, f"{value!r} is not a name")
    return value


def parse_text(value: Any, key: str) -> str:
    """Return a text or a number as text."""
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        raise MessageError(key, f"{value!r} is not a text")
    return str(value)


def parse_scopes(names: Sequence[str], key: str) -> int:
    """Return the scopes of a grant as bits."""
    scopes = 0
    for name in names:
        if name not in _SCOPES:
            raise MessageError(key, f"{name!r} is not a scope, expected deployment or bid")
        scopes |= _SCOPES[name]
    return int(scopes)


def _offer(entries: Sequence[Sequence[int]] | None, key: str) -> list[tuple[int, int]]:
    return [(parse_number(unit, key), parse_number(count, key)) for unit, count in entries or ()]


def _params(values: Mapping[str, Any], key: str) -> list[tuple[int, int]]:
    return [param_of(name, value, key) for name, value in values.items()]


def _attributes(values: Mapping[str, Any] | None, _key: str) -> dict[str, str]:
    return dict(pairs_of(values))


def _metrics(values: Mapping[str, Any], key: str) -> list[int]:
    return [parse_number(values.get(kind, 0), f"{key}.{kind}") for kind in ("cpu", "memory", "storage", "gpu")]


Group = tuple[str, Requirements, list[list[int]]]
"""The name of a group ("" for none), what it requires, and rows of `Resource`."""


def _groups(groups: Sequence[Message], _key: str) -> list[Group]:
    return [
        (parse_text(group.get("name") or "", "name"), requirements_of(group), [_resource(unit) for unit in group["resources"]])
        for group in groups
    ]


def _resource(unit: Message) -> list[int]:
    whole, atto = parse_price(unit["price"], "price")
    volume = parse_number(unit["storage"], "storage")
    row = [0] * Resource.width
    row[Resource.price] = whole
    row[Resource.price_atto] = atto
    row[Resource.count] = parse_number(unit["count"], "count")
    row[Resource.cpu] = parse_number(unit["cpu"], "cpu")
    row[Resource.memory] = parse_number(unit["memory"], "memory")
    row[Resource.storage] = volume
    row[Resource.gpu] = parse_number(unit.get("gpu", 0), "gpu")
    row[Resource.gpu_attributes] = 1 if unit.get("gpu_attributes") else 0
    row[Resource.smallest_volume] = volume
    row[Resource.largest_volume] = volume
    row[Resource.endpoints] = parse_number(unit.get("endpoints", 0), "endpoints")
    return row


NEEDED = object()
"""The default of an argument that a message must have."""


class Argument(NamedTuple):
    """How an argument is read, and what stands for it where it is absent."""

    read: Callable[[Any, str], Any]
    default: Any = NEEDED


_ID = Argument(parse_id)
_NAME = Argument(parse_name)
_ABOUT: Mapping[str, Argument] = {"id": _ID}

ARGUMENTS: Mapping[str, Mapping[str, Argument]] = {
    "create_deployment": {
        "id": _ID,
        "deposit": Argument(parse_coins),
        "sources": Argument(parse_sources),
        "groups": Argument(_groups),
        "hash": Argument(parse_text, ""),
        "window": Argument(parse_number, 0),
    },
    "update_deployment": {"id": _ID, "hash": Argument(parse_text)},
    "close_deployment": _ABOUT,
    "close_group": _ABOUT,
    "pause_group": _ABOUT,
    "start_group": _ABOUT,
    "create_bid": {
        "id": _ID,
        "price": Argument(parse_price),
        "deposit": Argument(parse_coins),
        "sources": Argument(parse_sources),
        "offer": Argument(_offer, ()),
        "window": Argument(parse_number, 0),
    },
    "close_bid": {"id": _ID, "reason": Argument(parse_number, 0)},
    "create_lease": _ABOUT,
    "close_lease": _ABOUT,
    "withdraw": _ABOUT,
    "activate_lease": _ABOUT,
    "start_reclaim": {"id": _ID, "reason": Argument(parse_number, 0)},
    "account_deposit": {"id": _ID, "signer": _NAME, "deposit": Argument(parse_coins), "sources": Argument(parse_sources)},
    "grant": {"granter": _NAME, "signer": _NAME, "limit": Argument(parse_coins), "scopes": Argument(parse_scopes)},
    "sign_attributes": {"signer": _NAME, "provider": _NAME, "attributes": Argument(_attributes)},
    "create_provider": {"provider": _NAME, "attributes": Argument(_attributes, MappingProxyType({}))},
    "update_provider": {"provider": _NAME, "attributes": Argument(_attributes, MappingProxyType({}))},
    "delete_provider": {"provider": _NAME},
    "set_params": {"params": Argument(_params)},
    "block_provider": {"provider": _NAME},
    "unblock_provider": {"provider": _NAME},
    "settle_escrow": _ABOUT,
    "submit_usage": {
        "id": _ID,
        "metrics": Argument(_metrics),
        "since": Argument(parse_number, None),
        "until": Argument(parse_number, None),
    },
}
"""What each message takes, beside who signs it."""

OPERATIONS: tuple[str, ...] = tuple(ARGUMENTS)
"""Every message by name."""


class Parsed(NamedTuple):
    """A message that is one: `arguments` by name as the chain takes them; `signer` is who signed it, `must` who had to ("" = anybody)."""

    op: str
    arguments: Mapping[str, Any]
    signer: str
    must: str

    @property
    def is_authorized(self) -> bool:
        """Whether the right one signed; a usage record's own ladder says so, after whether there is such a lease."""
        return not self.must or self.signer == self.must or self.op == "submit_usage"


def parse(message: Message) -> Parsed:
    """Return a message as the chain takes it. It depends on the message alone and changes nothing.

    Raises MessageError for what is no message.
    """
    op = message.get("op", "")
    if not isinstance(op, str) or op not in ARGUMENTS:
        raise MessageError("op", f"{op!r} is not a message, expected one of {', '.join(OPERATIONS)}")
    arguments: dict[str, Any] = {}
    try:
        for key, argument in ARGUMENTS[op].items():
            asked = key in message or argument.default is NEEDED
            arguments[key] = argument.read(message[key], key) if asked else argument.default
    except KeyError as error:
        raise MessageError(str(error.args[0]), f"missing in a {op}") from None
    if op == "create_deployment":
        owner, dseq = _split(arguments["id"], 2)
        arguments |= {"owner": owner, "dseq": _sequence(dseq)}
    signer = must = _who_must(op, arguments)
    if "signer" in message and op != "grant":
        signer = parse_name(message["signer"], "signer")
    arguments.setdefault("signer", signer)
    return Parsed(op, arguments, signer, must)


def _who_must(op: str, arguments: Mapping[str, Any]) -> str:
    who = SIGNERS[op]
    if who == "owner":
        return str(arguments["id"]).partition("/")[0]
    if who == "provider":
        return str(arguments["provider"] if "provider" in arguments else arguments["id"].rpartition("/")[2])
    if who == "granter":
        return str(arguments["granter"])
    return GOVERNANCE if who == GOVERNANCE else ""


def _split(name: str, parts: int) -> list[str]:
    found = name.split("/")
    if len(found) != parts or not all(found):
        raise MessageError("id", f"{name!r} does not have {parts} parts")
    return found


def _sequence(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) < 1 or int(text) > NUMBER_MAX:
        raise MessageError("id", f"{text!r} is not a sequence number from 1")
    return int(text)
