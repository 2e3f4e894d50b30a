"""Reads and prints the literals of scenario files: money, durations, sizes, rates and plain numbers, all
exact.

Money is a Python integer of atto-uve (10⁻¹⁸ uve); a duration is whole milliseconds or whole blocks; a size is
whole bytes. Each reader raises `ValueError` with a sentence in two halves: what is wrong, what would be
accepted.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Annotated, Any

from pydantic_core import core_schema

from marketsim.money.text import format_amount, scaled
from marketsim.money.units import ATTO, WHOLE_MAX

MONEY_MAX = WHOLE_MAX * ATTO
"""The largest amount that a column of money holds (architecture.md: a supply of 9 × 10¹⁸ uve)."""

_NUMBER = r"([+-]?)(\d[\d_]*)?(?:\.(\d+))?"
_MONEY = re.compile(_NUMBER + r"\s*([A-Za-z]+)?\Z")
_MAX_TEXT = 80
_MONEY_HELP = "write an amount such as 0.000001uve or 0.5VE"
_DURATION_HELP = "write a duration such as 90s, 5m, 24h, 7d, 6117ms or 100 blocks"
_SIZE_HELP = "write bytes or a size such as 512Mi, 10Gi or 10G"
_RATE_HELP = "write a rate such as 12/h, 0.5/m or 300/d"


def printable(text: str) -> str:
    """The text with everything that is not printable escaped, so that it stays on its line."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def shown(value: object) -> str:
    """`value` as an error message quotes it: short, on one line."""
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, (list, tuple)):
        return "a list"
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Decimal):
        value = plain_decimal(value) if abs(value.adjusted()) < 40 else str(value)
    text = str(value) if not isinstance(value, int) or abs(value) < 10**_MAX_TEXT else "a huge number"
    text = printable(" ".join(text.split())) if text.strip() else repr(text)
    return f"'{text[:_MAX_TEXT]}…'" if len(text) > _MAX_TEXT else f"'{text}'"


def plain_decimal(value: Decimal) -> str:
    """`value` without an exponent and without trailing zeros."""
    text = format(value, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


# ---------------------------------------------------------------- money


def parse_money(value: object) -> int:
    """Atto-uve of a literal such as `0.000001uve` or `0.5VE` (1 VE = 10⁶ uve); a plain 0 is accepted.

    Refused: more than 18 decimals of a uve, a negative amount, an amount beyond 9 × 10¹⁸ uve, a missing unit.
    """
    if isinstance(value, (int, Decimal)) and not isinstance(value, bool):
        if value == 0:
            return 0
        if value < 0:
            raise ValueError(f"{shown(value)} is negative, an amount is 0 or more; {_MONEY_HELP}")
        raise ValueError(f"{shown(value)} has no unit, {_MONEY_HELP}")
    if isinstance(value, float):
        return parse_money(Decimal(repr(value)))
    if not isinstance(value, str):
        raise ValueError(f"{shown(value)} is not an amount of money, {_MONEY_HELP}")
    match = _MONEY.match(value.strip()) if len(value) <= 2 * _MAX_TEXT else None
    if match is None or (match[2] is None and match[3] is None):
        raise ValueError(f"{shown(value)} is not an amount of money, {_MONEY_HELP}")
    sign, whole, fraction, unit = match.groups()
    if unit not in ("uve", "VE"):
        if unit is None and not (whole or "").strip("0_") and not (fraction or "").strip("0"):
            return 0
        wrong = "has no unit" if unit is None else f"has the unknown unit '{unit}'"
        raise ValueError(f"{shown(value)} {wrong}, {_MONEY_HELP} (1VE = 1000000uve)")
    digits = 18 if unit == "uve" else 24
    atto = scaled(sign, whole, fraction, digits)
    if atto is None:
        decimals = len((fraction or "").rstrip("0"))
        raise ValueError(f"{shown(value)} has {decimals} decimals, a price or amount in {unit} has at most {digits}")
    if atto < 0:
        raise ValueError(f"{shown(value)} is negative, an amount is 0 or more")
    if atto > MONEY_MAX:
        raise ValueError(f"{shown(value)} is too large, at most 9000000000000000000uve can be represented")
    return atto


def parse_coins(value: object) -> int:
    """Atto-uve of an amount that a wallet can hold: whole uve only."""
    atto = parse_money(value)
    if atto % ATTO:
        raise ValueError(f"{shown(value)} is not a whole number of uve, wallets and deposits hold whole uve")
    return atto


def format_money(atto: int) -> str:
    """The literal that `parse_money` reads back as `atto`: `0.0013072uve`."""
    return format_amount(atto, "uve")


# ---------------------------------------------------------------- durations

_UNIT_MS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_UNIT_WORDS = ", ".join(_UNIT_MS)
_BLOCKS = re.compile(r"([+-]?[\d_.]+)\s*blocks?\Z")
_SPAN = re.compile(r"(\d+(?:\.\d+)?)\s*([A-Za-zµ]+)\s*")
_SPAN_MAX_MS = 100 * 366 * 86_400_000


@dataclass(frozen=True, slots=True)
class Duration:
    """A span of simulated time: a whole number of milliseconds, or of blocks when `in_blocks`."""

    amount: int
    in_blocks: bool = False

    def milliseconds(self, block_ms: int) -> int:
        """The span in milliseconds when a block takes `block_ms`."""
        return self.amount * block_ms if self.in_blocks else self.amount

    def blocks(self, block_ms: int) -> int:
        """The span in blocks, a started block counted whole."""
        return self.amount if self.in_blocks else -(-self.amount // block_ms)

    def __str__(self) -> str:
        if self.in_blocks:
            return f"{self.amount} block" + ("" if self.amount == 1 else "s")
        for unit in ("d", "h", "m", "s"):
            if self.amount and self.amount % _UNIT_MS[unit] == 0:
                return f"{self.amount // _UNIT_MS[unit]}{unit}"
        return f"{self.amount}ms" if self.amount else "0s"


def parse_duration(value: object) -> Duration:
    """A literal such as `90s`, `5m`, `1h30m`, `6117ms`, `1.5s` or `100 blocks`; a plain 0 is accepted."""
    if isinstance(value, Duration):
        return value
    if isinstance(value, (int, Decimal, float)) and not isinstance(value, bool):
        if value == 0:
            return Duration(0)
        raise ValueError(f"{shown(value)} has no unit, {_DURATION_HELP}")
    if not isinstance(value, str) or not value.strip() or len(value) > 2 * _MAX_TEXT:
        raise ValueError(f"{shown(value)} is not a duration, {_DURATION_HELP}")
    text = value.strip()
    if text == "0":
        return Duration(0)
    if text.startswith("-"):
        raise ValueError(f"{shown(value)} is negative, {_DURATION_HELP}")
    if blocks := _BLOCKS.match(text):
        if not blocks[1].replace("_", "").lstrip("+").isdigit():
            raise ValueError(f"{shown(value)} is not a whole number of blocks, {_DURATION_HELP}")
        return _checked(Duration(int(blocks[1].replace("_", "")), in_blocks=True), value)
    total, at = 0, 0
    while at < len(text):
        part = _SPAN.match(text, at)
        if part is None:
            raise ValueError(f"{shown(value)} is not a duration, {_DURATION_HELP}")
        if part[2] not in _UNIT_MS:
            raise ValueError(f"{shown(value)} has the unknown unit '{part[2]}', units are {_UNIT_WORDS} and blocks")
        exact = Decimal(part[1]) * _UNIT_MS[part[2]]
        if exact != int(exact):
            raise ValueError(f"{shown(value)} is not a whole number of milliseconds, {_DURATION_HELP}")
        total, at = total + int(exact), part.end()
    return _checked(Duration(total), value)


def _checked(duration: Duration, value: object) -> Duration:
    if duration.amount > (_SPAN_MAX_MS // 1_000 if duration.in_blocks else _SPAN_MAX_MS):
        raise ValueError(f"{shown(value)} is longer than a simulation can be (100 years), {_DURATION_HELP}")
    return duration


def _positive_duration(value: object) -> Duration:
    duration = parse_duration(value)
    if duration.amount == 0:
        raise ValueError(f"{shown(value)} is zero, must be longer than 0: {_DURATION_HELP}")
    return duration


def parse_block_time(value: object) -> Duration:
    """A positive duration in time, not in blocks."""
    duration = _positive_duration(value)
    if duration.in_blocks:
        raise ValueError(f"{shown(value)} is counted in blocks, a block time is duration in time, not blocks")
    return duration


# ---------------------------------------------------------------- sizes and quantities

_SIZE = re.compile(_NUMBER + r"\s*([A-Za-z]*)\Z")
_SIZE_UNITS = {"": 1}
for _n, _prefix in enumerate("kMGTPE", start=1):
    _SIZE_UNITS[_prefix] = 1000**_n
    _SIZE_UNITS[("K" if _prefix == "k" else _prefix) + "i"] = 1024**_n
_SIZE_MAX = 2**62


def parse_size(value: object) -> int:
    """Bytes of a literal such as `512Mi`, `10G` or a plain number; k…E are powers of 1000, Ki…Ei of 1024,
    truncated.
    """
    if isinstance(value, (Decimal, float)):
        value = plain_decimal(Decimal(repr(value)) if isinstance(value, float) else value)
    if isinstance(value, bool) or not isinstance(value, (int, str)):
        raise ValueError(f"{shown(value)} is not a size, {_SIZE_HELP}")
    text = str(value).strip() if isinstance(value, str) or abs(value) < 10**_MAX_TEXT else ""
    match = _SIZE.match(text) if 0 < len(text) <= _MAX_TEXT else None
    if match is None or (match[2] is None and match[3] is None):
        raise ValueError(f"{shown(value)} is not a size, {_SIZE_HELP}")
    sign, whole, fraction, unit = match.groups()
    unit = unit.removesuffix("B") if len(unit) > 1 else unit
    if unit not in _SIZE_UNITS:
        raise ValueError(f"{shown(value)} has the unknown unit '{unit}', units are {' '.join(filter(None, _SIZE_UNITS))}")
    if sign == "-":
        raise ValueError(f"{shown(value)} is negative, {_SIZE_HELP}")
    size = int(Decimal(f"{(whole or '0').replace('_', '')}.{fraction or 0}") * _SIZE_UNITS[unit])
    if size > _SIZE_MAX:
        raise ValueError(f"{shown(value)} is too large, at most 4Ei")
    return size


_MILLICORES_HELP = "write millicores such as 4000 or 4000m, or cores such as 4 cores"
_CORES = re.compile(r"(.*\S)\s*cores?\Z", re.DOTALL)


def parse_millicores(value: object) -> int:
    """Millicores of `500m`, of `0.5 cores`, or of a plain whole number that counts millicores already (scenario files)."""
    if isinstance(value, str) and (cores := _CORES.match(value.strip())):
        exact = _decimal_number(cores[1], Decimal(0), Decimal(2**43), _MILLICORES_HELP) * 1000
        if exact != exact.to_integral_value():
            raise ValueError(f"{shown(value)} is not a whole number of millicores, {_MILLICORES_HELP}")
        return int(exact)
    if isinstance(value, str) and value.strip().endswith("m"):
        value = value.strip()[:-1]
    return _whole_number(value, 0, 2**53, _MILLICORES_HELP)


def parse_cores(value: object) -> int:
    """Millicores of an SDL literal: `500m`, or cores such as 0.5 or 4, truncated to millicores."""
    help_text = "write cores such as 0.5 or 4, or millicores such as 500m"
    if isinstance(value, str) and value.strip().endswith("m"):
        return _whole_number(value.strip()[:-1], 0, 2**53, help_text)
    return int(_decimal_number(value, Decimal(0), Decimal(2**43), help_text) * 1000)


def _decimal_number(value: object, low: Decimal | None, high: Decimal | None, help_text: str) -> Decimal:
    """A finite decimal number within [low, high]; accepts numbers and their text."""
    number: Decimal | None = None
    if isinstance(value, float):
        number = Decimal(repr(value))
    elif isinstance(value, (int, Decimal)) and not isinstance(value, bool):
        number = Decimal(value)
    elif isinstance(value, str) and re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?", value.strip()):
        number = Decimal(value.strip())
    if number is None or not number.is_finite():
        raise ValueError(f"{shown(value)} is not a number, {help_text}")
    if low is not None and number < low:
        wrong = "is negative" if low == 0 else f"is below {plain_decimal(low)}"
        raise ValueError(f"{shown(value)} {wrong}, {help_text}")
    if high is not None and number > high:
        raise ValueError(f"{shown(value)} is above {plain_decimal(high)}, {help_text}")
    return number


def _whole_number(value: object, low: int, high: int, help_text: str) -> int:
    number = _decimal_number(value, Decimal(low), Decimal(high), help_text)
    if number != number.to_integral_value():
        raise ValueError(f"{shown(value)} is not a whole number, {help_text}")
    return int(number)


# ---------------------------------------------------------------- rates


@dataclass(frozen=True, slots=True)
class Rate:
    """So many events per unit of time; `unit` is one of s, m, h, d."""

    count: float
    unit: str

    @property
    def per_millisecond(self) -> float:
        """Events per millisecond."""
        return self.count / _UNIT_MS[self.unit]

    def __str__(self) -> str:
        return f"{plain_decimal(Decimal(repr(self.count)))}/{self.unit}"


def parse_rate(value: object) -> Rate:
    """A literal such as `12/h`."""
    if isinstance(value, Rate):
        return value
    if not isinstance(value, str) or value.count("/") != 1:
        raise ValueError(f"{shown(value)} is not a rate, {_RATE_HELP}")
    count, unit = (part.strip() for part in value.split("/"))
    if unit not in ("s", "m", "h", "d"):
        raise ValueError(f"{shown(value)} has the unknown unit '{unit}', rates are per s, m, h or d: {_RATE_HELP}")
    return Rate(float(_decimal_number(count, Decimal(0), Decimal(10**9), _RATE_HELP)), unit)


# ---------------------------------------------------------------- as types of pydantic fields


@dataclass(frozen=True, eq=False)
class Reading:
    """How one literal enters a model (`parse`), leaves it (`dump`), looks in a JSON Schema, and is called in a sentence (`takes`)."""

    parse: Callable[[Any], Any]
    schema: Mapping[str, Any]
    dump: Callable[[Any], Any] | None = None
    decimals: Mapping[str, int] = field(default_factory=dict)
    """By unit, how many decimals the number of a literal may have; a unit that is not here takes any."""
    takes: str = "value"
    """What the page of keys says that it takes."""

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> core_schema.CoreSchema:
        serialization = None if self.dump is None else core_schema.plain_serializer_function_ser_schema(self.dump)
        return core_schema.no_info_plain_validator_function(self.parse, serialization=serialization)

    def __get_pydantic_json_schema__(self, schema: core_schema.CoreSchema, handler: Any) -> dict[str, Any]:
        return dict(self.schema)


def whole(low: int = 0, high: int = 2**53) -> Reading:
    """A whole number within [low, high]."""
    help_text = f"write a whole number of at least {low}" + ("" if high == 2**53 else f" and at most {high}")
    takes = f"whole number ≥ {low}" if high == 2**53 else f"whole number {low} … {high}"
    bounds = {"minimum": low} | ({} if high == 2**53 else {"maximum": high})
    schema: dict[str, Any] = {"type": "integer", **bounds}
    return Reading(lambda value: _whole_number(value, low, high, help_text), schema, decimals={"": 0}, takes=takes)


NUMBER_MAX = 1e9
"""The largest factor, weight or multiplier: a millionth of it is still whole in the columns that hold them."""


def number(low: float = 0.0, high: float = NUMBER_MAX, *, above: bool = False) -> Reading:
    """A float within [low, high]; `above` excludes the lower bound."""
    wanted = f"above {low:g}" if above else f"at least {low:g}"
    help_text = f"write a number {wanted} and at most {high:g}"

    def parse(value: object) -> float:
        exact = _decimal_number(
            value,
            Decimal(repr(low)),
            Decimal(repr(high)),
            help_text,
        )
        if above and exact <= Decimal(repr(low)):
            raise ValueError(f"{shown(value)} is not above {low:g}, {help_text}")
        return float(exact)

    takes = f"number {'>' if above else '≥'} {low:g}" + ("" if high == NUMBER_MAX else f" and ≤ {high:g}")
    return Reading(parse, {"type": "number", "exclusiveMinimum" if above else "minimum": low, "maximum": high}, takes=takes)


def exact(low: str | None = "0", high: str | None = None, decimals: int = 18) -> Reading:
    """A `Decimal` with at most so many decimals; dumped as text so that nothing is lost."""
    bounds = f" from {low}" if low is not None else ""
    bounds += f" to {high}" if high is not None else ""
    help_text = f"write a number{bounds} with at most {decimals} decimals"

    def parse(value: object) -> Decimal:
        found = _decimal_number(value, None if low is None else Decimal(low), None if high is None else Decimal(high), help_text)
        text = plain_decimal(found)
        count = len(text.partition(".")[2])
        if count > decimals:
            raise ValueError(f"{shown(value)} has {count} decimals, {help_text}")
        return Decimal(text)

    schema = {"anyOf": [{"type": "number"}, {"type": "string"}]}
    takes = f"number{'' if low is None else f' ≥ {low}'}{'' if high is None else f' and ≤ {high}'}"
    return Reading(parse, schema, plain_decimal, {"": decimals}, takes)


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Decimal):
        return plain_decimal(value)
    if isinstance(value, (str, int, float)):
        return str(value)
    raise ValueError(f"{shown(value)} is not text, write one word or a quoted text")


def _optional_text(value: object) -> str | None:
    return None if value is None else _text(value)


_TEXT_SCHEMA = {"type": ["string", "boolean", "number"]}
_MONEY_SCHEMA = {
    "anyOf": [
        {
            "type": "string",
            "pattern": r"^\+?[0-9_]*(\.[0-9]+)?\s*(uve|VE)$",
            "examples": ["0.000001uve", "0.5VE"],
        },
        {"const": 0},
    ]
}
_DURATION_SCHEMA = {
    "anyOf": [
        {
            "type": "string",
            "pattern": r"^(0|[0-9_]+ ?blocks?|([0-9.]+ ?(ms|s|m|h|d) ?)+)$",
            "examples": ["90s", "24h", "100 blocks"],
        },
        {"const": 0},
    ]
}
_SIZE_SCHEMA = {
    "anyOf": [
        {"type": "integer", "minimum": 0},
        {
            "type": "string",
            "pattern": r"^[0-9_.]+ ?(k|Ki|M|Mi|G|Gi|T|Ti|P|Pi|E|Ei)?B?$",
            "examples": ["512Mi", "10Gi"],
        },
    ]
}
_MILLICORES_SCHEMA = {"anyOf": [{"type": "integer", "minimum": 0}, {"type": "string", "pattern": "^([0-9]+m?|[0-9.]+ ?cores?)$"}]}
_RATE_SCHEMA = {"type": "string", "pattern": r"^[0-9.]+ ?/ ?[smhd]$", "examples": ["12/h"]}

_CORES_SCHEMA = {"anyOf": [{"type": "number"}, {"type": "string"}]}
_OPTIONAL_TEXT_SCHEMA = {"type": ["string", "boolean", "number", "null"]}
_MONEY_DECIMALS = {"uve": 18, "VE": 24}
# A day of five decimals, an hour of five and a minute of four are whole milliseconds.
_SPAN_DECIMALS = {"ms": 0, "s": 3, "m": 4, "h": 5, "d": 5, "block": 0, "blocks": 0}
_CORES_DECIMALS = {"": 0, "m": 0, "core": 3, "cores": 3}

Money = Annotated[int, Reading(parse_money, _MONEY_SCHEMA, format_money, _MONEY_DECIMALS, "amount")]
"""Atto-uve, exact, 0 or more."""
Coins = Annotated[int, Reading(parse_coins, _MONEY_SCHEMA, format_money, {"uve": 0, "VE": 6}, "amount in whole uve")]
"""Atto-uve, a multiple of one uve."""
Span = Annotated[Duration, Reading(parse_duration, _DURATION_SCHEMA, str, _SPAN_DECIMALS, "duration")]
PositiveSpan = Annotated[Duration, Reading(_positive_duration, _DURATION_SCHEMA, str, _SPAN_DECIMALS, "duration > 0")]
BlockTime = Annotated[Duration, Reading(parse_block_time, _DURATION_SCHEMA, str, _SPAN_DECIMALS, "duration in time, not blocks")]
Size = Annotated[int, Reading(parse_size, _SIZE_SCHEMA, takes="bytes")]
Millicores = Annotated[int, Reading(parse_millicores, _MILLICORES_SCHEMA, decimals=_CORES_DECIMALS, takes="millicores")]
Cores = Annotated[int, Reading(parse_cores, _CORES_SCHEMA, lambda units: f"{units}m", takes="cores")]
EventRate = Annotated[Rate, Reading(parse_rate, _RATE_SCHEMA, str, takes="rate")]
Text = Annotated[str, Reading(_text, _TEXT_SCHEMA, takes="text")]
OptionalText = Annotated[str | None, Reading(_optional_text, _OPTIONAL_TEXT_SCHEMA, takes="text or null")]
Count = Annotated[int, whole(0)]
PositiveCount = Annotated[int, whole(1)]
Number = Annotated[float, number(0.0)]
PositiveNumber = Annotated[float, number(0.0, above=True)]
Probability = Annotated[float, number(0.0, 1.0)]
