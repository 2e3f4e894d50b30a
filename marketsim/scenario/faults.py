"""The faults of a scenario: what fails, where, from when to when."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import Field, ValidationInfo, field_validator

from marketsim.scenario.distributions import Frozen
from marketsim.scenario.literals import Duration, PositiveSpan, Probability, Span, Text, number
from marketsim.scenario.own_code import own_reference


class FaultKind(NamedTuple):
    """What a kind of fault is about and takes.

    `of` is provider, tenant, or either for a user's own; `takes` the keys that it takes beside those of every fault; `number` is what its
    events say.
    """

    number: int
    of: Literal["provider", "tenant", "either"]
    takes: tuple[str, ...]
    text: str


FAULT_KINDS: Mapping[str, FaultKind] = {
    "outage": FaultKind(1, "provider", ("closes",), "the provider is down: it does not bid, and closes its leases"),
    "block": FaultKind(2, "provider", (), "governance keeps the provider from bidding; its leases run on"),
    "unblock": FaultKind(3, "provider", (), "governance lifts a block"),
    "connectivity": FaultKind(4, "provider", (), "it cannot reach the chain, and bids, withdraws and reports nothing; leases run on"),
    "workloads_fail": FaultKind(5, "provider", ("closes",), "workloads of new leases do not start; they close when the manifest times out"),
    "usage": FaultKind(6, "provider", ("factor", "delay"), "the provider reports a share of what was used, or reports it late"),
    "settlement": FaultKind(7, "provider", (), "the provider does not withdraw"),
    "escrow_drain": FaultKind(8, "tenant", (), "tenants do not top up their escrow accounts"),
    "python": FaultKind(9, "either", ("python", "options"), "a function or class of your own says what happens"),
}  # fmt: skip
"""Every kind of fault by name."""

COMMON = ("name", "provider", "cohort", "region", "tenant", "share", "lasts", "until")
"""What a fault may say whatever its kind, beside `at` and `kind`."""
_OF_PROVIDERS, _OF_TENANTS = ("provider", "region"), ("tenant",)


class Fault(Frozen):
    """Something that fails from a moment of the run on: a kind, whom it hits, how long it lasts."""

    at: Span = Field(description="time from the start of the run at which it begins")
    provider: Text | None = Field(default=None, description="one provider: cohort/index such as hyperscale/0")
    cohort: Text | None = Field(default=None, description="all of a cohort: of providers, or of tenants where the kind is about tenants")
    region: Text | None = Field(default=None, description="providers that claim this region")
    tenant: Text | None = Field(default=None, description="one tenant: cohort/index such as web/3")
    share: Probability | None = Field(
        default=None, description="share of those meant that is hit, drawn for each by a hash of the seed and the fault's name"
    )
    kind: Literal["outage", "block", "unblock", "connectivity", "workloads_fail", "usage", "settlement", "escrow_drain", "python"] = Field(
        description="what happens (docs/faults.md): " + "; ".join(f"{name}: {kind.text}" for name, kind in FAULT_KINDS.items())
    )
    name: Text | None = Field(
        default=None, description="names it in receipts and draws; else its kind and the block in which it begins, such as outage-14400"
    )
    until: Span | None = Field(default=None, description="time from the start of the run at which it ends, in place of lasts")
    lasts: PositiveSpan | None = Field(
        default=None, validate_default=True, description="length; an outage needs an end, any other without one lasts to the end of the run"
    )
    closes: Probability | None = Field(
        default=None, description="share of the provider's leases that close when it begins: all of an outage, else none, unless given"
    )
    factor: Annotated[float, number(0.0, 1.0)] | None = Field(default=None, description="usage: share of what was used that is reported")
    delay: Span | None = Field(
        default=None, description="usage: how late reports come; what comes later than the scenario's usage_grace is refused and lost"
    )
    python: Text | None = Field(
        default=None,
        description="python: module:function or module:Class of your own, or the name of an entry point (docs/faults.md)",
    )
    options: dict[Text, Any] = Field(
        default_factory=dict, validate_default=True, description="python: what it finds in scene.options: numbers, texts, lists"
    )

    @field_validator("lasts")
    @classmethod
    def _ends(cls, value: Duration | None, info: ValidationInfo) -> Duration | None:
        kind, until = info.data.get("kind"), info.data.get("until")
        if kind == "outage" and value is None and until is None:
            raise ValueError("is missing, an outage needs a length such as lasts: 6h, or until: with the time of its end")
        if kind == "unblock" and (value is not None or until is not None):
            raise ValueError("stands beside kind: unblock, which has no length")
        if value is not None and until is not None:
            raise ValueError("stands beside until, give one of the two")
        return value

    @field_validator("python")
    @classmethod
    def _reference(cls, value: str | None) -> str | None:
        return own_reference(value, "module:function or module:Class")

    @field_validator("options")
    @classmethod
    def _takes(cls, value: dict[str, Any], info: ValidationInfo) -> dict[str, Any]:
        given = {key: content for key, content in {**info.data, "options": value}.items() if content not in (None, {})}
        if "kind" not in info.data:
            return value
        name, kind = info.data["kind"], FAULT_KINDS[info.data["kind"]]
        for key in ("closes", "factor", "delay", "python", "options"):
            if key in given and key not in kind.takes:
                takes = f"beside whom and when it takes {' and '.join(kind.takes)}" if kind.takes else "it takes whom and when alone"
                raise ValueError(f"{key} stands beside kind: {name}, {takes}")
        for key in _OF_TENANTS if kind.of == "provider" else _OF_PROVIDERS if kind.of == "tenant" else ():
            if key in given:
                takes = "tenant, cohort or share" if kind.of == "tenant" else "provider, cohort, region or share"
                raise ValueError(f"{key} stands beside kind: {name}, which is about {kind.of}s: say whom by {takes}")
        if kind.of != "either" and not {"provider", "cohort", "region", "tenant", "share"} & given.keys():
            takes = "tenant, cohort or share" if kind.of == "tenant" else "provider, cohort, region or share"
            raise ValueError(f"kind: {name} does not say whom it hits, give {takes} (share: 1 is everybody)")
        if name == "python" and "python" in info.data and "python" not in given:
            raise ValueError("kind: python needs python: with module:function or module:Class")
        if name == "usage" and not {"factor", "delay"} & given.keys() and {"factor", "delay"} <= info.data.keys():
            raise ValueError("kind: usage needs factor or delay")
        return value


__all__ = ["COMMON", "FAULT_KINDS", "Fault", "FaultKind"]
