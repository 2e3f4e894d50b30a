"""Reads an SDL manifest and turns it into the groups of resource units that a deployment message carries.

Rules: protocol.md §6. Groups are the placements in the order of their names; inside one, services that share
a compute profile are one resource unit with their counts added. Amounts are per block and replica.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any, NamedTuple

from pydantic import BeforeValidator, Field, GetJsonSchemaHandler, ValidationInfo, field_validator
from pydantic_core import CoreSchema

from marketsim.money.text import format_amount
from marketsim.scenario.distributions import Frozen
from marketsim.scenario.literals import MONEY_MAX, Cores, Count, Reading, Size, Span, Text, parse_money, plain_decimal, shown, whole

STORAGE_CLASSES = ("default", "beta1", "beta2", "beta3", "ram")
_DENOMS = ("uve", "uakt", "uact")
_AMOUNT_MAX = 10_000_000 * 10**18


def _amount(value: object) -> int:
    if isinstance(value, (int, float, Decimal)) and not isinstance(value, bool):
        value = plain_decimal(Decimal(repr(value)) if isinstance(value, float) else Decimal(value))
    if not isinstance(value, str):
        raise ValueError(f"{shown(value)} is not an amount, write a number such as 10 or 0.25")
    if not value.strip().replace("_", "").replace(".", "").lstrip("+-").isdigit():
        raise ValueError(f"{shown(value)} is not an amount, write a number such as 10 or 0.25; the unit stands in denom")
    atto = parse_money(value.strip() + "uve")
    if atto == 0:
        raise ValueError("the amount is 0, an SDL needs a price above 0 because no bid can match 0")
    if atto > min(_AMOUNT_MAX, MONEY_MAX):
        raise ValueError(f"{shown(value)} is too large, at most 10000000 per block")
    return atto


Amount = Annotated[
    int,
    Reading(
        _amount,
        {"anyOf": [{"type": "number"}, {"type": "string", "pattern": "^[0-9.]+$"}]},
        format_amount,
    ),
]


def _boolean(value: object) -> bool:
    if isinstance(value, bool):
        return value
    if value in ("true", "false"):
        return value == "true"
    raise ValueError(f"{shown(value)} is neither true nor false, write true or false")


Boolean = Annotated[bool, Reading(_boolean, {"enum": [True, False, "true", "false"]})]


class VolumeAttributes(Frozen):
    """What kind of storage a volume needs."""

    persistent: Boolean = False
    storage_class: Text | None = Field(default=None, alias="class")

    @field_validator("storage_class")
    @classmethod
    def _known_class(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is None or "persistent" not in info.data:
            return value
        if value not in STORAGE_CLASSES:
            raise ValueError(f"{shown(value)} is not a storage class, classes are {', '.join(STORAGE_CLASSES)}")
        if not info.data["persistent"] and value != "ram":
            raise ValueError(f"class {shown(value)} on a volume that is not persistent, set persistent: true")
        if info.data["persistent"] and value == "ram":
            raise ValueError("class 'ram' on a persistent volume, set persistent: false")
        return value


class SdlVolume(Frozen):
    """One storage volume; `name` is empty for the root volume."""

    name: Text = ""
    size: Size
    wanted: VolumeAttributes = Field(default=VolumeAttributes(), alias="attributes")

    @property
    def persistent(self) -> bool:
        """Whether it outlives its container."""
        return self.wanted.persistent

    @property
    def kind(self) -> str:
        """`ephemeral`, or the storage class."""
        return self.wanted.storage_class or ("default" if self.persistent else "ephemeral")

    @property
    def attributes(self) -> dict[str, str]:
        """The attributes that a provider must offer for it; empty for ephemeral storage."""
        if self.kind == "ephemeral":
            return {}
        return {"class": self.kind, "persistent": "true" if self.persistent else "false"}


def _one_or_many(value: object) -> object:
    return [value] if isinstance(value, dict) else value


class _OneOrMany:
    """In the JSON Schema: the item itself may stand in place of the list."""

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        schema = handler(core)
        return {"anyOf": [schema["items"], schema]}


class SdlGpuModel(Frozen):
    """One acceptable GPU of a vendor."""

    model: Text
    ram: Text | None = None
    interface: Text | None = None

    @property
    def key(self) -> str:
        """The part of the attribute's key after the vendor."""
        return f"model/{self.model}" + (f"/ram/{self.ram}" if self.ram else "") + (f"/interface/{self.interface}" if self.interface else "")


class GpuAttributes(Frozen):
    """The GPUs that would do, by vendor; a vendor without models takes any of them."""

    vendor: dict[Text, tuple[SdlGpuModel, ...] | None] = Field(min_length=1)


class CpuRequest(Frozen):
    """CPU of one replica."""

    units: Cores
    attributes: dict[Text, Text] = Field(default_factory=dict)


class MemoryRequest(Frozen):
    """Memory of one replica."""

    size: Size
    attributes: dict[Text, Text] = Field(default_factory=dict)


class GpuRequest(Frozen):
    """GPUs of one replica."""

    units: Count = 0
    attributes: GpuAttributes | None = Field(default=None, validate_default=True)

    @field_validator("attributes")
    @classmethod
    def _vendor_named(cls, value: GpuAttributes | None, info: ValidationInfo) -> GpuAttributes | None:
        if info.data.get("units", 0) > 0 and value is None:
            raise ValueError("GPUs without attributes, name a vendor such as `vendor: {nvidia: [{model: a100}]}`")
        if info.data.get("units") == 0 and value is not None:
            raise ValueError("GPU attributes with 0 units, ask for at least 1 unit or leave the attributes out")
        return value


class Resources(Frozen):
    """What one replica needs."""

    id: Count | None = None
    cpu: CpuRequest
    memory: MemoryRequest
    storage: Annotated[tuple[SdlVolume, ...], BeforeValidator(_one_or_many), _OneOrMany()]
    gpu: GpuRequest | None = None

    @field_validator("storage")
    @classmethod
    def _one_root(cls, value: tuple[SdlVolume, ...]) -> tuple[SdlVolume, ...]:
        if sum(1 for volume in value if volume.kind == "ephemeral") > 1:
            raise ValueError("has several root volumes, at most one volume is neither persistent nor ram")
        names = [volume.name for volume in value]
        if len(set(names)) < len(names):
            raise ValueError("has two volumes of one name, give each volume its own name")
        return value


class ComputeProfile(Frozen):
    """A named set of resources."""

    resources: Resources


class Price(Frozen):
    """The most a placement pays for one replica of a profile, per block."""

    denom: Text = "uve"
    amount: Amount

    @field_validator("denom")
    @classmethod
    def _known(cls, value: str) -> str:
        if value not in _DENOMS:
            raise ValueError(f"denom {shown(value)} is unknown, accepted are {', '.join(_DENOMS)} (all micro-units)")
        return value


class SignedBy(Frozen):
    """The auditors whose signatures a provider needs."""

    all_of: tuple[Text, ...] = Field(default=(), alias="allOf")
    any_of: tuple[Text, ...] = Field(default=(), alias="anyOf")

    @field_validator("all_of", "any_of", mode="before")
    @classmethod
    def _empty(cls, value: object) -> object:
        return () if value is None else value


class Placement(Frozen):
    """Where and at which prices profiles may run."""

    attributes: dict[Text, Text] = Field(default_factory=dict)
    signed_by: SignedBy = Field(default=SignedBy(), alias="signedBy")
    pricing: dict[Text, Price]

    @field_validator("attributes", "signed_by", mode="before")
    @classmethod
    def _empty(cls, value: object) -> object:
        return {} if value is None else value


class ExposeTarget(Frozen):
    """Who may reach an exposed port."""

    service: Text | None = None
    is_global: Boolean = Field(default=False, alias="global")
    ip: Text | None = None


class Expose(Frozen):
    """One exposed port."""

    port: Annotated[int, whole(1, 65535)]
    as_port: Annotated[int, whole(1, 65535)] | None = Field(default=None, alias="as")
    proto: Text = "tcp"
    accept: tuple[Text, ...] = ()
    to: tuple[ExposeTarget, ...] = ()
    http_options: dict[Text, Any] | None = None


class Service(Frozen):
    """A container; only its exposed ports matter here, the rest is accepted as it is."""

    image: Text
    command: tuple[Text, ...] | None = None
    args: tuple[Text, ...] | None = None
    env: tuple[Text, ...] | None = None
    expose: tuple[Expose, ...] = ()
    params: dict[Text, Any] | None = None
    dependencies: tuple[dict[Text, Any], ...] | None = None
    credentials: dict[Text, Any] | None = None

    @field_validator("expose", mode="before")
    @classmethod
    def _empty(cls, value: object) -> object:
        return () if value is None else value


class Profiles(Frozen):
    """Compute profiles and placements."""

    compute: dict[Text, ComputeProfile] = Field(min_length=1)
    placement: dict[Text, Placement] = Field(min_length=1)


class DeployedService(Frozen):
    """How often a service runs in a placement, on which profile."""

    profile: Text
    count: Annotated[int, whole(1)]


class Reclamation(Frozen):
    """The notice a provider must give (akash)."""

    min_window: Span


def _version(value: object) -> str:
    text = plain_decimal(value) if isinstance(value, Decimal) else str(value)
    text = "2.0" if text == "2" else text
    if text not in ("2.0", "2.1"):
        raise ValueError(f'{shown(value)} is not a known SDL version, write "2.0" or "2.1"')
    return text


class Endpoints(NamedTuple):
    """What a resource unit exposes: shared HTTP ingresses, random ports, leased addresses."""

    shared: int
    random_port: int
    leased_ip: int

    @property
    def total(self) -> int:
        """All of them."""
        return self.shared + self.random_port + self.leased_ip


@dataclass(frozen=True, slots=True)
class SdlUnit:
    """One line of a group: `count` replicas of the same resources.

    `price` atto-uve per block and replica; `cpu` millicores; `memory` bytes; `volumes` as in the SDL;
    `gpu_attributes` are keys such as `vendor/nvidia/model/a100` = "true"; `gpu_types` the same as
    `nvidia-a100` (rules.md §6).
    """

    profile: str
    price: int
    count: int
    cpu: int
    memory: int
    volumes: tuple[SdlVolume, ...]
    gpu: int
    gpu_attributes: dict[str, str]
    gpu_types: tuple[str, ...]
    endpoints: Endpoints

    @property
    def storage(self) -> int:
        """Bytes of all volumes of one replica."""
        return sum(volume.size for volume in self.volumes)


@dataclass(frozen=True, slots=True)
class SdlGroup:
    """One placement: what becomes one order."""

    name: str
    resources: tuple[SdlUnit, ...]
    attributes: dict[str, str]
    all_of: tuple[str, ...]
    any_of: tuple[str, ...]

    @property
    def ceiling(self) -> int:
        """The most the order pays per block, in atto-uve: Σ price × count."""
        return sum(unit.price * unit.count for unit in self.resources)

    @property
    def cpu(self) -> int:
        """Millicores of the whole group."""
        return sum(unit.cpu * unit.count for unit in self.resources)

    @property
    def memory(self) -> int:
        """Bytes of memory of the whole group."""
        return sum(unit.memory * unit.count for unit in self.resources)

    @property
    def storage(self) -> int:
        """Bytes of storage of the whole group."""
        return sum(unit.storage * unit.count for unit in self.resources)

    @property
    def gpu(self) -> int:
        """GPUs of the whole group."""
        return sum(unit.gpu * unit.count for unit in self.resources)

    def requested(self) -> dict[str, set[str]]:
        """Every attribute the order asks for, by key, with the values that would do; GPUs also as
        `gpu-type`.
        """
        wanted: dict[str, set[str]] = {key: {value} for key, value in self.attributes.items()}
        for unit in self.resources:
            for key, value in unit.gpu_attributes.items():
                wanted.setdefault(key, set()).add(value)
            for gpu_type in unit.gpu_types:
                wanted.setdefault("gpu-type", set()).add(gpu_type)
        return wanted


class Sdl(Frozen):
    """An SDL manifest as written."""

    version: Annotated[str, Reading(_version, {"type": ["string", "number"]})]
    services: dict[Text, Service] = Field(min_length=1)
    profiles: Profiles
    deployment: dict[Text, dict[Text, DeployedService]] = Field(min_length=1)
    endpoints: dict[Text, Any] | None = None
    reclamation: Reclamation | None = None

    @field_validator("deployment")
    @classmethod
    def _names_resolve(cls, value: dict[str, dict[str, DeployedService]], info: ValidationInfo) -> dict[str, dict[str, DeployedService]]:
        services, profiles = info.data.get("services"), info.data.get("profiles")
        wrong: list[str] = []
        for service, placements in value.items():
            if services is not None and service not in services:
                wrong.append(f"deploys the unknown service {shown(service)}, services are {_names(services)}")
            for placement, deployed in placements.items():
                if profiles is None:
                    continue
                if placement not in profiles.placement:
                    wrong.append(f"{service} names the unknown placement {shown(placement)}, placements are {_names(profiles.placement)}")
                    continue
                if deployed.profile not in profiles.compute:
                    wrong.append(
                        f"{service} names the unknown compute profile {shown(deployed.profile)}, profiles are {_names(profiles.compute)}"
                    )
                elif deployed.profile not in profiles.placement[placement].pricing:
                    wrong.append(
                        f"{service}: placement {shown(placement)} has no price for profile {shown(deployed.profile)}, add it under pricing"
                    )
        denoms = {price.denom for place in (profiles.placement.values() if profiles else ()) for price in place.pricing.values()}
        if len(denoms) > 1:
            wrong.append(f"prices are in {' and '.join(sorted(denoms))}, use one denom")
        if wrong:
            raise ValueError("; ".join(wrong))
        return value

    def groups(self) -> tuple[SdlGroup, ...]:
        """The groups of the deployment, placements in the order of their names."""
        found = []
        for name in sorted({placement for placements in self.deployment.values() for placement in placements}):
            placement = self.profiles.placement[name]
            merged: dict[str, list[Any]] = {}
            for service in sorted(self.deployment):
                if (deployed := self.deployment[service].get(name)) is not None:
                    entry = merged.setdefault(deployed.profile, [0, (0, 0, 0)])
                    entry[0] += deployed.count
                    entry[1] = tuple(a + b for a, b in zip(entry[1], _endpoints(self.services.get(service)), strict=True))
            units = tuple(
                _unit(
                    profile,
                    self.profiles.compute[profile].resources,
                    placement.pricing[profile].amount,
                    count,
                    Endpoints(*ends),
                )
                for profile, (count, ends) in merged.items()
            )
            signed = placement.signed_by
            found.append(SdlGroup(name, units, dict(placement.attributes), signed.all_of, signed.any_of))
        return tuple(found)


def _names(known: Mapping[str, object]) -> str:
    return ", ".join(list(known)[:12]) or "none"


def _endpoints(service: Service | None) -> Endpoints:
    shared = random_port = leased = 0
    for expose in service.expose if service else ():
        for target in expose.to:
            if target.is_global:
                leased += target.ip is not None
                http = expose.proto.lower() == "tcp" and (expose.as_port or expose.port) == 80
                shared += http
                random_port += not http
    return Endpoints(shared, random_port, leased)


def _unit(profile: str, resources: Resources, price: int, count: int, endpoints: Endpoints) -> SdlUnit:
    attributes: dict[str, str] = {}
    types: list[str] = []
    gpu = resources.gpu or GpuRequest()
    for vendor, models in (gpu.attributes.vendor if gpu.attributes else {}).items():
        for model in models or ():
            attributes[f"vendor/{vendor}/{model.key}"] = "true"
            types.append(f"{vendor}-{model.model}")
        if not models:
            attributes[f"vendor/{vendor}/model/*"] = "true"
    return SdlUnit(
        profile,
        price,
        count,
        resources.cpu.units,
        resources.memory.size,
        resources.storage,
        gpu.units,
        attributes,
        tuple(dict.fromkeys(types)),
        endpoints,
    )
