"""Numbers, durations, names and untyped values of a manifest as Go's standard library and YAML library read them.

Sources: Go strconv and time, gopkg.in/yaml.v3 resolve.go, blang/semver, k8s apimachinery validation, Cosmos SDK denominations.
What Go leaves to the machine is as on amd64.
"""

from __future__ import annotations

import base64
import binascii
import math
import re
from typing import NamedTuple

_DIGITS = r"[0-9](?:_?[0-9])*"
_HEX = r"[0-9a-fA-F](?:_?[0-9a-fA-F])*"
_DECIMAL = re.compile(rf"[+-]?(?:{_DIGITS}(?:\.(?:{_DIGITS})?)?|\.{_DIGITS})(?:[eE][+-]?{_DIGITS})?")
_HEXADECIMAL = re.compile(rf"[+-]?0[xX]_?(?:{_HEX}(?:\.(?:{_HEX})?)?|\.{_HEX})[pP][+-]?{_DIGITS}")
_SPECIAL = re.compile(r"[+-]?inf(?:inity)?|nan", re.IGNORECASE)
_YAML_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_INTEGER = re.compile(r"([+-]?)(?:0[xX]([0-9a-fA-F]+)|0[bB]([01]+)|0[oO]?([0-7]+)|([1-9][0-9]*|0))")
_DURATION = re.compile(r"([0-9]*)(?:\.([0-9]*))?([^0-9.]+)")
_DENOM = re.compile(r"[a-zA-Z][a-zA-Z0-9/:._-]{2,127}")
_ENV_NAME = re.compile(r"[-._a-zA-Z][-._a-zA-Z0-9]*")
_LABEL = r"[a-z0-9](?:[-a-z0-9]*[a-z0-9])?"
_HOST = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_URL_HOST = re.compile(r"[^\x00-\x20\x7f\\^`{|}%/?#:@\[\]]*(?::[0-9]*)?")
_URL_PATH = re.compile(r"(?:[^%]|%[0-9a-fA-F]{2})*", re.DOTALL)
_NANOSECONDS = {"ns": 1, "us": 10**3, "µs": 10**3, "μs": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}

_SHORT_TAG = "tag:yaml.org,2002:"
_BOOLEANS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_NULLS = frozenset(("", "~", "null", "Null", "NULL"))
_NUMBERS = {".nan": math.nan, ".inf": math.inf, "+.inf": math.inf, "-.inf": -math.inf}
_OLD_TRUE = frozenset(("y", "Y", "yes", "Yes", "YES", "on", "On", "ON"))
_OLD_FALSE = frozenset(("n", "N", "no", "No", "NO", "off", "Off", "OFF"))


def parse_float(text: str) -> float | None:
    """`strconv.ParseFloat`: hexadecimal with an exponent, underscores between digits; None where it errs."""
    if _SPECIAL.fullmatch(text):
        return float(text)
    if _DECIMAL.fullmatch(text):
        value = float(text)
        return None if math.isinf(value) else value
    if _HEXADECIMAL.fullmatch(text):
        try:
            return float.fromhex(text.replace("_", ""))
        except OverflowError:
            return None
    return None


def parse_uint(text: str, bits: int) -> int | None:
    """`strconv.ParseUint` of base 10: digits alone, below 2^bits; None where it errs."""
    if not (text.isascii() and text.isdigit()) or len(text) > 400:
        return None
    value = int(text)
    return value if value < 1 << bits else None


def to_uint32(value: float) -> int:
    """What `uint32(float64)` makes of a number on amd64: the low bits of a signed conversion."""
    return int(value) & 0xFFFFFFFF if abs(value) < 2.0**63 else 0


def to_uint64(value: float) -> int:
    """What `uint64(float64)` makes of a number of 0 or more on amd64; 0 beyond its range."""
    return int(value) if 0 <= value < 2.0**64 else 0


def parse_duration(text: str) -> int | None:
    """`time.ParseDuration`: nanoseconds of a text such as `1h30m`; None where it errs."""
    negative, rest = text[:1] == "-", text[1:] if text[:1] in ("-", "+") else text
    if rest == "0":
        return 0
    total, at = 0, 0
    while at < len(rest):
        match = _DURATION.match(rest, at)
        if match is None or not (match[1] or match[2]) or match[3] not in _NANOSECONDS or len(match[1]) > 20:
            return None
        unit, part = _NANOSECONDS[match[3]], (match[2] or "")[:30]
        total += int(match[1] or "0") * unit + (int(part) * unit // 10 ** len(part) if part else 0)
        at = match.end()
    if not rest or total > (1 << 63) - (not negative):
        return None
    return -total if negative else total


def is_denom(text: str) -> bool:
    """Whether a coin of the Cosmos SDK may have this name."""
    return _DENOM.fullmatch(text) is not None


def is_env_name(text: str) -> bool:
    """Whether Kubernetes takes the name of an environment variable."""
    return _ENV_NAME.fullmatch(text) is not None and text != "." and not text.startswith("..")


def is_hostname(text: str) -> bool:
    """Whether a text is a DNS-1123 subdomain of at most 253 letters."""
    return len(text) <= 253 and _HOST.fullmatch(text) is not None


def is_url_rest(text: str) -> bool:
    """Whether `http://` + text parses as an address: its host part is looked at closely, its path for control characters."""
    address = text.partition("?")[0]
    host, _, path = address.partition("/")
    host = host.rpartition("@")[2]
    if any(ord(letter) < 0x20 or letter == "\x7f" for letter in text) or _URL_PATH.fullmatch(path) is None:
        return False
    return _URL_HOST.fullmatch(host) is not None or (host.startswith("[") and "]" in host)


class SdlVersion(NamedTuple):
    """A semantic version; one with a pre-release comes before the same without."""

    major: int
    minor: int
    patch: int
    final: bool

    @property
    def merges(self) -> bool:
        """Whether services that share a compute profile are one resource unit: 2.1 and later."""
        return self >= SdlVersion(2, 1, 0, True)

    @property
    def known(self) -> bool:
        """Whether the chain's parser reads it: 2.0.0, and everything from 2.1.0 on."""
        return self.merges or self == SdlVersion(2, 0, 0, True)


def parse_version(text: str) -> SdlVersion | None:
    """`semver.ParseTolerant`: blanks around, a `v` before, missing parts and leading zeros are taken; None where it errs."""
    parts = text.strip().removeprefix("v").split(".", 2)
    for at, part in enumerate(parts):
        if len(part) > 1:
            short = part.lstrip("0")
            parts[at] = short if short[:1].isdigit() and short[:1].isascii() else "0" + short
    if len(parts) < 3:
        if "+" in parts[-1] or "-" in parts[-1]:
            return None
        parts += ["0"] * (3 - len(parts))
    patch, plus, build = parts[2].partition("+")
    patch, minus, release = patch.partition("-")
    numbers = [parse_uint(part, 64) for part in (parts[0], parts[1], patch)]
    word = re.compile(r"[0-9A-Za-z-]+")
    if plus and not all(word.fullmatch(part) for part in build.split(".")):
        return None
    if minus and not all(word.fullmatch(part) and not (part.isdigit() and len(part) > 1 and part[0] == "0") for part in release.split(".")):
        return None
    if any(number is None for number in numbers):
        return None
    major, minor, last = (int(number or 0) for number in numbers)
    return SdlVersion(major, minor, last, not minus)


class WrongTagError(ValueError):
    """A value that is not what the tag written at it says."""


def resolve(value: str, given: str | None, quoted: bool) -> object:
    """What a scalar stands for: str, bool, int, float or None. Raises WrongTagError.

    `given` is the tag written at it, short or long, `quoted` whether it stands in quotes or as a block.
    """
    tag = None if given in (None, "!") else str(given).removeprefix(_SHORT_TAG).removeprefix("!!")
    if (tag is None and quoted) or tag == "str":
        return value
    if tag == "binary":
        try:
            return base64.b64decode("".join(value.split()), validate=True).decode("utf-8", "replace")
        except (binascii.Error, ValueError):
            raise WrongTagError(f"{value!r} is no base64") from None
    if tag not in (None, "bool", "int", "float", "null", "timestamp", "merge"):
        return value
    found = _untagged(value)
    fits = {
        "bool": isinstance(found, bool),
        "int": isinstance(found, int) and not isinstance(found, bool),
        "float": isinstance(found, (int, float)) and not isinstance(found, bool),
        "null": found is None,
        "merge": value == "<<",
    }
    if tag is not None and not fits.get(tag, True):
        raise WrongTagError(f"{value!r} is not what its tag !!{tag} says")
    return float(found) if tag == "float" and isinstance(found, int) else found


def _untagged(value: str) -> object:
    if value in _NULLS:
        return None
    if value in _BOOLEANS:
        return _BOOLEANS[value]
    if value.lower() in _NUMBERS and value.lstrip("+-")[1:] in ("nan", "NaN", "NAN", "inf", "Inf", "INF"):
        return _NUMBERS[value.lower()]
    if value[0] == ".":
        number = parse_float(value)
        return value if number is None else number
    if value[0] not in "+-0123456789":
        return value
    plain = value.replace("_", "")
    whole = _INTEGER.fullmatch(plain)
    if whole is not None and len(plain) < 400:
        digits, base = next((d, b) for d, b in zip(whole.groups()[1:], (16, 2, 8, 10), strict=True) if d is not None)
        number = int(digits, base)
        if whole[1] == "-" and number <= 1 << 63:
            return -number
        if number < 1 << 63 or (whole[1] == "" and number < 1 << 64):
            return number
    if _YAML_FLOAT.fullmatch(plain):
        number_or_none = parse_float(plain)
        return value if number_or_none is None else number_or_none
    return value


def read_bool(found: object) -> bool | None:
    """A resolved scalar where a truth value is due: YAML 1.1's words count too; None where it is none."""
    if isinstance(found, bool):
        return found
    if isinstance(found, str) and found in _OLD_TRUE:
        return True
    return False if isinstance(found, str) and found in _OLD_FALSE else None


def read_uint(found: object, bits: int) -> int | None:
    """A resolved scalar where a whole number of 0 or more is due: a fraction is cut off; None where it is none."""
    if isinstance(found, bool) or not isinstance(found, (int, float)):
        return None
    if isinstance(found, float):
        if math.isnan(found) or math.isinf(found) or found <= -1.0:
            return None
        found = int(found)
    return found if 0 <= found < 1 << bits else None


__all__ = [
    "SdlVersion", "WrongTagError", "is_denom", "is_env_name", "is_hostname", "is_url_rest", "parse_duration", "parse_float", "parse_uint",
    "parse_version", "read_bool", "read_uint", "resolve", "to_uint32", "to_uint64",
]  # fmt: skip
