"""What a group asks of a provider and whether the provider has it: attributes, auditors, capabilities
(protocol reference 1.6).

Works on strings at the edge and leaves one number a pair in `State.eligible`, so that the ladders
compare integers. Requirements that are equal share one row, a *spec*.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from marketsim.chain.state import State
from marketsim.kernel.table_set import Codes

FITS, LACKS_ATTRIBUTES, LACKS_CAPABILITIES = 1, 2, 3
"""Entries of `State.eligible`."""

Pairs = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Requirements:
    """What an order asks for, in a canonical form that can be compared and hashed.

    `volumes` holds the attributes of each volume that has some, `gpus` those of each unit with GPUs and
    a choice of them. `beyond` is what bid engines know of the order and the chain does not look at.
    """

    attributes: Pairs = ()
    all_of: tuple[str, ...] = ()
    any_of: tuple[str, ...] = ()
    volumes: tuple[Pairs, ...] = ()
    gpus: tuple[Pairs, ...] = ()
    beyond: Hashable = None


def requirements_of(group: Mapping[str, Any]) -> Requirements:
    """Return the requirements of a group as a message brings it (`attributes`, `all_of`, `any_of`,
    `resources`)."""
    resources: Sequence[Mapping[str, Any]] = group.get("resources", ())
    return Requirements(
        attributes=pairs_of(group.get("attributes")),
        all_of=tuple(group.get("all_of") or ()),
        any_of=tuple(group.get("any_of") or ()),
        volumes=tuple(pairs_of(unit["storage_attributes"]) for unit in resources if unit.get("storage_attributes")),
        gpus=tuple(pairs_of(unit["gpu_attributes"]) for unit in resources if unit.get("gpu_attributes") and unit.get("gpu", 0)),
    )


def pairs_of(attributes: Mapping[str, Any] | None) -> Pairs:
    """Return attributes as sorted pairs of strings; a YAML true is the string `true`, as on the chain."""
    return tuple(sorted((str(key), _text(value)) for key, value in (attributes or {}).items()))


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


@lru_cache(maxsize=4096)
def _pattern(key: str) -> re.Pattern[str] | None:
    # Go's path.Match: `*` and `?` stop at a slash, `[...]` is a class with `^` or nothing before it. A
    # malformed one matches nothing.
    parts: list[str] = []
    at = 0
    while at < len(key):
        char = key[at]
        at += 1
        if char == "*":
            parts.append("[^/]*")
        elif char == "?":
            parts.append("[^/]")
        elif char == "[":
            end = key.find("]", at + 1)
            if end < 0:
                return None
            parts.append("[" + key[at:end] + "]")
            at = end + 1
        elif char == "\\":
            if at == len(key):
                return None
            parts.append(re.escape(key[at]))
            at += 1
        else:
            parts.append(re.escape(char))
    try:
        return re.compile("".join(parts))
    except re.error:
        return None


def has_attribute(owned: Mapping[str, str], key: str, value: str) -> bool:
    """Return whether some attribute's key matches `key`, which may be a glob, and has exactly that value."""
    if owned.get(key) == value:
        return True
    if not any(char in key for char in "*?[\\"):
        return False
    pattern = _pattern(key)
    return pattern is not None and any(
        owned_value == value and pattern.fullmatch(owned_key) is not None for owned_key, owned_value in owned.items()
    )


def has_all(owned: Mapping[str, str], required: Pairs) -> bool:
    """Return whether every required attribute is among the owned."""
    return all(has_attribute(owned, key, value) for key, value in required)


def capability_groups(owned: Mapping[str, str], kind: str) -> list[dict[str, str]]:
    """Return the attributes `capabilities/<kind>/<n>/<key>` by n."""
    groups: dict[str, dict[str, str]] = {}
    for name, value in owned.items():
        parts = name.split("/")
        if len(parts) == 4 and parts[0] == "capabilities" and parts[1] == kind:
            groups.setdefault(parts[2], {})[parts[3]] = value
    return list(groups.values())


def capabilities_below(owned: Mapping[str, str], kind: str) -> dict[str, str]:
    """Return the attributes `capabilities/<kind>/<rest>` by the rest of their keys."""
    prefix = f"capabilities/{kind}/"
    return {name[len(prefix) :]: value for name, value in owned.items() if name.startswith(prefix)}


def match(asked: Requirements, owned: Mapping[str, str], signed: Mapping[str, Mapping[str, str]]) -> int:
    """Return FITS, LACKS_ATTRIBUTES or LACKS_CAPABILITIES for a provider's own attributes and what
    auditors signed for it.

    Signed sets replace the provider's own claims; an auditor must have signed something even when
    nothing is required.
    """
    if asked.all_of or asked.any_of:
        vouched = {auditor for auditor, claims in signed.items() if has_all(claims, asked.attributes)}
        if not vouched.issuperset(asked.all_of):
            return LACKS_ATTRIBUTES
        if asked.any_of and vouched.isdisjoint(asked.any_of):
            return LACKS_ATTRIBUTES
    elif not has_all(owned, asked.attributes):
        return LACKS_ATTRIBUTES
    if asked.volumes:
        groups = capability_groups(owned, "storage")
        if not all(any(has_all(group, volume) for group in groups) for volume in asked.volumes):
            return LACKS_CAPABILITIES
    if asked.gpus:
        below = capabilities_below(owned, "gpu")
        if not all(any(has_attribute(below, key, value) for key, value in gpu) for gpu in asked.gpus):
            return LACKS_CAPABILITIES
    return FITS


class Eligibility:
    """Specs by number, providers' attributes by slot; keeps `State.eligible` current.

    Methods that may grow the table take the state and return it.
    """

    def __init__(self) -> None:
        self.specs: list[Requirements] = []
        self._numbers: dict[Requirements, int] = {}
        self._owned: dict[int, dict[str, str]] = {}
        self._signed: dict[int, dict[str, dict[str, str]]] = {}

    def copy(self) -> Eligibility:
        """Return another register that goes its own way from here on."""
        other = Eligibility()
        other.specs, other._numbers = list(self.specs), dict(self._numbers)
        other._owned = {slot: dict(claims) for slot, claims in self._owned.items()}
        other._signed = {slot: {auditor: dict(claims) for auditor, claims in each.items()} for slot, each in self._signed.items()}
        return other

    def spec(self, state: State, asked: Requirements) -> tuple[State, int]:
        """Return the number of these requirements, a new one with its row of answers filled in if need be."""
        number = self._numbers.get(asked)
        if number is not None:
            return state, number
        number = len(self.specs)
        self.specs.append(asked)
        self._numbers[asked] = number
        state = with_eligible(state, number + 1, 1 + max(self._owned, default=0))
        state.globals.specs = number + 1
        self._fill(state, [number], self._owned)
        return state, number

    def set_provider(
        self,
        state: State,
        slot: int,
        attributes: Mapping[str, Any],
        signed: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> State:
        """Set what a provider claims and, when given, what auditors signed for it."""
        self._owned[slot] = dict(pairs_of(attributes))
        if signed is not None:
            self._signed[slot] = {auditor: dict(pairs_of(claims)) for auditor, claims in signed.items()}
        state = with_eligible(state, max(1, len(self.specs)), 1 + slot)
        self._fill(state, range(len(self.specs)), [slot])
        return state

    def claims(self, slot: int) -> Pairs:
        """Return the attributes that a provider claims, sorted."""
        return tuple(sorted(self._owned.get(slot, {}).items()))

    def sign(self, state: State, slot: int, auditor: str, attributes: Mapping[str, Any]) -> State:
        """Add to what an auditor signed for a provider; values of keys signed before are overwritten."""
        self._signed.setdefault(slot, {}).setdefault(auditor, {}).update(pairs_of(attributes))
        return self.set_provider(state, slot, self._owned.get(slot, {}))

    def _fill(self, state: State, numbers: Iterable[int], slots: Iterable[int]) -> None:
        slots = list(slots)
        for number in numbers:
            for slot in slots:
                state.eligible[number, slot] = match(self.specs[number], self._owned.get(slot, {}), self._signed.get(slot, {}))


def with_eligible(state: State, specs: int, providers: int) -> State:
    """Return the tables with `eligible` of at least this shape, the contents kept."""
    rows, columns = state.eligible.shape
    if specs <= rows and providers <= columns:
        return state
    grown: Codes = np.zeros(
        (
            rows if specs <= rows else max(specs, 2 * rows),
            columns if providers <= columns else max(providers, 2 * columns),
        ),
        np.int8,
    )
    grown[:rows, :columns] = state.eligible
    return state._replace(eligible=grown)
