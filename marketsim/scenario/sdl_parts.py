"""The parts of an SDL manifest as frozen values, with the chain's own types and defaults.

Source: akash-network/chain-sdk go/sdl (April 2026).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from marketsim.money.text import format_amount, parse_go_decimal
from marketsim.scenario.go_values import is_denom, is_url_rest, parse_float, parse_uint, to_uint32, to_uint64
from marketsim.scenario.manifest_decoder import (
    Decoding,
    Reader,
    boolean,
    is_null,
    is_scalar,
    list_of,
    map_of,
    raw_entries,
    reads,
    struct,
    text,
    uint32,
    what,
)
from marketsim.scenario.yaml_source import MAPPING, SEQUENCE, KeyPath, YamlNode

EPHEMERAL = "ephemeral"
STORAGE_CLASSES = ("default", "beta1", "beta2", "beta3", "ram")
_BINARY = {"Ki": 1 << 10, "Mi": 1 << 20, "Gi": 1 << 30, "Ti": 1 << 40, "Pi": 1 << 50, "Ei": 1 << 60}
_SUFFIXES = {"k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "P": 10**15, "E": 10**18, **_BINARY}
_ATTRIBUTE_KEY = re.compile(r"[a-zA-Z][\w/.\-]{1,126}[\w*]?", re.ASCII)
_NUMBER_OR_TEXT = {"type": ["string", "number", "null"]}
_VOLUME_ATTRIBUTES = {
    "type": ["object", "null"],
    "properties": {"persistent": {"enum": [True, False, "on", "off", "yes", "no"]}, "class": {"enum": list(STORAGE_CLASSES)}},
}
_BOOLEANS = {"true": "true", "on": "true", "yes": "true", "false": "false", "off": "false", "no": "false"}


# ---------------------------------------------------------------------- quantities


def _millicores(node: YamlNode, path: KeyPath, into: Decoding) -> int | None:
    if is_null(node):
        return None
    written = str(node.value) if is_scalar(node) else ""
    if written.endswith("m"):
        millis = parse_uint(written[:-1], 32)
        if millis is None:
            into.wrong(node, path, f"{what(node)} is not a whole number of millicores, write 500m or cores such as 0.5")
        return millis
    cores = parse_float(written)
    if cores is None or cores * 1000 < 0:
        into.wrong(node, path, f"{what(node)} is not a number of cores, write 0.5, 2 or 500m")
        return None
    return to_uint32(cores * 1000)


def _bytes(suffixes: Mapping[str, int]) -> Reader[int]:
    """Reads bytes with one of the suffixes."""

    def read(node: YamlNode, path: KeyPath, into: Decoding) -> int | None:
        if is_null(node):
            return None
        written = str(node.value) if is_scalar(node) else ""
        suffix = next((suffix for suffix in suffixes if written.endswith(suffix)), "")
        number = parse_float(written.removesuffix(suffix))
        size = None if number is None else number * float(suffixes.get(suffix, 1))
        if size is None or size < 0:
            units = ", ".join(suffixes)
            into.wrong(node, path, f"{what(node)} is not a size, write bytes or a number with one of {units} such as 512Mi")
            return None
        return to_uint64(size)

    return Reader(read, _NUMBER_OR_TEXT)


def _gpu_units(node: YamlNode, path: KeyPath, into: Decoding) -> int | None:
    if is_null(node):
        return None
    units = parse_uint(str(node.value) if is_scalar(node) else "", 64)
    if units is None:
        into.wrong(node, path, f"{what(node)} is not a number of GPUs, write digits such as 1")
    return units


# ---------------------------------------------------------------------- compute


def _cpu_attributes(node: YamlNode, path: KeyPath, into: Decoding) -> dict[str, str] | None:
    if is_null(node):
        return None
    found: dict[str, str] = {}
    for name, key, value in raw_entries(node, path, into):
        if name != "arch":
            into.wrong(key, (*path, name), "is not an attribute of CPUs, the one there is is arch")
            continue
        if name in found:
            into.wrong(key, (*path, name), "stands here twice, keep one of the two")
        found[name] = text(value, (*path, name), into) or ""
    return found


@dataclass(frozen=True, slots=True)
class Cpu:
    """CPU of one replica in millicores."""

    units: int = reads(Reader(_millicores, _NUMBER_OR_TEXT), 0)
    attributes: dict[str, str] = reads(Reader(_cpu_attributes, {"type": ["object", "null"], "properties": {"arch": dict(text.schema)}}), {})

    def plain(self) -> dict[str, Any]:
        """As a manifest writes it."""
        return {"units": f"{self.units}m", **({"attributes": self.attributes} if self.attributes else {})}


@dataclass(frozen=True, slots=True)
class Memory:
    """Memory of one replica in bytes."""

    size: int = reads(_bytes(_SUFFIXES), 0)


def _interface(node: YamlNode, path: KeyPath, into: Decoding) -> str | None:
    if is_null(node):
        return None
    if not is_scalar(node) or node.value not in ("pcie", "sxm"):
        into.wrong(node, path, f"{what(node)} is not an interface of GPUs, write pcie or sxm")
        return None
    return str(node.value)


@dataclass(frozen=True, slots=True)
class SdlGpuModel:
    """One acceptable GPU; memory in bytes."""

    model: str = reads(text, "")
    ram: int | None = reads(_bytes(_BINARY), None)
    interface: str | None = reads(Reader(_interface, {"enum": ["pcie", "sxm", None]}), None)

    @property
    def ram_text(self) -> str:
        """Its memory in whole GiB, empty where none is asked for."""
        return "" if self.ram is None else f"{self.ram >> 30}Gi"

    @property
    def key(self) -> str:
        """The key of its attribute."""
        ram = f"/ram/{self.ram_text}" if self.ram is not None else ""
        return f"vendor/nvidia/model/{self.model}{ram}" + (f"/interface/{self.interface}" if self.interface else "")

    def plain(self) -> dict[str, Any]:
        """As a manifest writes it."""
        found: dict[str, Any] = {"model": self.model}
        if self.ram is not None:
            found["ram"] = f"{self.ram >> 20}Mi" if self.ram % (1 << 20) == 0 else str(self.ram)
        return found | ({"interface": self.interface} if self.interface else {})


@dataclass(frozen=True, slots=True)
class _Vendors:
    """The chain's parser knows one vendor of GPUs and reads past others."""

    nvidia: tuple[SdlGpuModel, ...] = reads(list_of(struct(SdlGpuModel)), ())


@dataclass(frozen=True, slots=True)
class Gpu:
    """GPUs of one replica; `models` is None where no attributes are given, empty where any model will do."""

    units: int = 0
    models: tuple[SdlGpuModel, ...] | None = None

    @property
    def attributes(self) -> dict[str, str]:
        """The attributes of which a provider must offer one."""
        if self.models is None:
            return {}
        return dict.fromkeys(sorted({model.key for model in self.models}) or ["vendor/nvidia/model/*"], "true")

    def plain(self) -> dict[str, Any]:
        """As a manifest writes it."""
        found: dict[str, Any] = {"units": self.units}
        if self.models is not None:
            found["attributes"] = {"vendor": {"nvidia": [model.plain() for model in self.models]}}
        return found


def _gpu_models(node: YamlNode, path: KeyPath, into: Decoding) -> tuple[SdlGpuModel, ...] | None:
    if is_null(node):
        return None
    vendors: _Vendors | None = None
    for name, key, value in raw_entries(node, path, into):
        if name != "vendor":
            into.wrong(key, (*path, name), "is not an attribute of GPUs, the one there is is vendor")
            continue
        into.at((*path, name), value, key)
        vendors = struct(_Vendors)(value, (*path, name), into) or vendors
    if vendors is None:
        into.wrong(node, path, "names no vendor, write vendor: {nvidia: [{model: a100}]}, or vendor: {nvidia: } for any model")
        return None
    keys = [model.key for model in vendors.nvidia]
    for at, key_text in enumerate(keys):
        if _ATTRIBUTE_KEY.fullmatch(key_text) is None:
            into.wrong(
                node, (*path, "vendor", "nvidia", at, "model"), f"'{key_text}' is no key of an attribute, write letters, digits and .-_"
            )
        elif key_text in keys[:at]:
            into.wrong(node, (*path, "vendor", "nvidia", at), f"'{key_text}' stands here twice, keep one of the two")
    return vendors.nvidia


def _gpu(node: YamlNode, path: KeyPath, into: Decoding) -> Gpu | None:
    if is_null(node):
        return None
    units, models = 0, None
    for name, key, value in raw_entries(node, path, into):
        if name not in ("units", "attributes"):
            into.wrong(key, (*path, name), "is no key of GPUs, keys are units and attributes")
            continue
        into.at((*path, name), value, key)
        if name == "units":
            units = _gpu_units(value, (*path, name), into) or 0
        else:
            models = _gpu_models(value, (*path, name), into)
    if units > 0 and models is None:
        into.wrong(node, path, "asks for GPUs without attributes, name a vendor such as attributes: {vendor: {nvidia: [{model: a100}]}}")
    return Gpu(units, models)


_GPU: Mapping[str, Any] = {
    "type": ["object", "null"],
    "properties": {
        "units": _NUMBER_OR_TEXT,
        "attributes": {"type": ["object", "null"], "properties": {"vendor": dict(struct(_Vendors).schema)}, "required": ["vendor"]},
    },
    "additionalProperties": False,
}


def _volume_attributes(node: YamlNode, path: KeyPath, into: Decoding) -> dict[str, str] | None:
    if is_null(node):
        return None
    given = map_of(text, str)(node, path, into)
    if given is None:
        return None
    persistent = given.setdefault("persistent", "false")
    kind = given.get("class", "")
    if kind == "" and persistent == "true":
        given["class"] = "default"
    elif kind == "ram" and persistent != "false":
        into.wrong(node, path, "has class ram and is persistent, leave persistent out or write persistent: false")
    elif kind not in ("", "ram") and persistent == "false":
        into.wrong(node, path, f"has class '{kind}' and is not persistent, write persistent: true")
    for name, value in given.items():
        if name == "persistent":
            if value not in _BOOLEANS:
                into.wrong(node, (*path, name), f"'{value}' is neither true nor false, write true or false")
            given[name] = _BOOLEANS.get(value, value)
        elif name == "class":
            if value not in STORAGE_CLASSES:
                into.wrong(node, (*path, name), f"'{value}' is not a storage class, classes are {', '.join(STORAGE_CLASSES)}")
        else:
            into.wrong(node, (*path, name), "is not an attribute of volumes, attributes are persistent and class")
    return dict(sorted(given.items()))


@dataclass(frozen=True, slots=True)
class SdlVolume:
    """One storage volume in bytes, with the attributes that a provider must offer for it."""

    name: str = reads(text, "")
    size: int = reads(_bytes(_SUFFIXES), 0)
    attributes: dict[str, str] = reads(Reader(_volume_attributes, _VOLUME_ATTRIBUTES), {})

    @property
    def persistent(self) -> bool:
        """Whether it outlives its container."""
        return self.attributes.get("persistent") == "true"

    @property
    def kind(self) -> str:
        """Its storage class, `ephemeral` without one."""
        return self.attributes.get("class", EPHEMERAL)

    def plain(self) -> dict[str, Any]:
        """As a manifest writes it; `on` and `off` where `true` and `false` would mean or allow another class."""
        found: dict[str, Any] = {"name": self.name, "size": str(self.size)}
        if not self.attributes:
            return found
        kept = dict(self.attributes)
        if self.persistent and "class" not in kept:
            kept["persistent"] = "on"
        elif not self.persistent and kept.get("class", "ram") != "ram":
            kept["persistent"] = "off"
        return found | {"attributes": kept}


_VOLUME: Mapping[str, Any] = {"properties": struct(SdlVolume).schema["properties"], "items": dict(struct(SdlVolume).schema)}


def _volumes(node: YamlNode, path: KeyPath, into: Decoding) -> tuple[SdlVolume, ...] | None:
    if is_null(node):
        return None
    found: list[SdlVolume] = []
    parts = node.value if node.tag == SEQUENCE else [node] if node.tag == MAPPING else []
    for at, part in enumerate(parts):
        here = (*path, at) if node.tag == SEQUENCE else path
        into.at(here, part)
        volume = struct(SdlVolume)(part, here, into) or SdlVolume()
        named = volume.name if node.tag == SEQUENCE and volume.name else "default"
        if any(other.name == named for other in found):
            into.wrong(part, here, f"is a second volume named '{named}', give each volume its own name")
        found.append(SdlVolume(named, volume.size, volume.attributes))
    return tuple(_sorted_volumes(found))


def _sorted_volumes(volumes: list[SdlVolume]) -> list[SdlVolume]:
    """The chain's order: by size; its comparison calls two equal volumes that are not persistent less than each other, which
    turns them round.
    """
    for at in range(1, len(volumes)):
        while at > 0 and _is_before(volumes[at], volumes[at - 1]):
            volumes[at - 1 : at + 1] = volumes[at], volumes[at - 1]
            at -= 1
    return volumes


def _is_before(a: SdlVolume, b: SdlVolume) -> bool:
    if a.size != b.size:
        return a.size < b.size
    mine, other = a.attributes.get("persistent"), b.attributes.get("persistent")
    if mine != other:
        return mine is None or (other is not None and mine < other)
    return not a.persistent or a.name < b.name


@dataclass(frozen=True, slots=True)
class Resources:
    """What one replica needs; None for what is not given."""

    cpu: Cpu | None = reads(struct(Cpu), None)
    memory: Memory | None = reads(struct(Memory), None)
    storage: tuple[SdlVolume, ...] = reads(Reader(_volumes, {"type": ["array", "object", "null"], **_VOLUME}), ())
    gpu: Gpu | None = reads(Reader(_gpu, _GPU), None)

    def plain(self) -> dict[str, Any]:
        """As a manifest writes it."""
        found: dict[str, Any] = {}
        if self.cpu is not None:
            found["cpu"] = self.cpu.plain()
        if self.memory is not None:
            found["memory"] = {"size": str(self.memory.size)}
        if self.storage:
            found["storage"] = [volume.plain() for volume in self.storage]
        return found | ({} if self.gpu is None else {"gpu": self.gpu.plain()})


@dataclass(frozen=True, slots=True)
class Compute:
    """A named set of resources."""

    resources: Resources | None = reads(struct(Resources), None)


# ---------------------------------------------------------------------- placement


@dataclass(frozen=True, slots=True)
class _WrittenPrice:
    amount: str = reads(text, "")
    denom: str = reads(text, "")


@dataclass(frozen=True, slots=True)
class Price:
    """The most that is paid for one replica and block: an amount of 10^-18 of a coin. None where it was left empty."""

    denom: str = ""
    atto: int | None = None

    def plain(self) -> dict[str, Any] | None:
        """As a manifest writes it."""
        return None if self.atto is None else {"denom": self.denom, "amount": format_amount(self.atto)}


def _price(node: YamlNode, path: KeyPath, into: Decoding) -> Price | None:
    written = struct(_WrittenPrice)(node, path, into)
    if written is None:
        return None
    amount = parse_go_decimal(written.amount)
    if amount is None:
        problem = f"'{written.amount}' is not an amount, write digits such as 10 or 0.25, at most 18 of them after the point"
        into.wrong(node, (*path, "amount"), problem)
    elif amount == 0:
        into.wrong(node, (*path, "amount"), "the amount is 0, write one above 0 because no bid can match 0")
    elif amount < 0:
        into.wrong(node, (*path, "amount"), f"'{written.amount}' is negative, write an amount above 0")
    if not is_denom(written.denom):
        into.wrong(node, (*path, "denom"), f"'{written.denom}' is not the name of a coin, write one such as uakt or uve")
    return Price(written.denom, amount)


_PRICE: Mapping[str, Any] = {"properties": struct(_WrittenPrice).schema["properties"], "required": ["denom", "amount"]}


@dataclass(frozen=True, slots=True)
class SignedBy:
    """The auditors whose signatures a provider needs."""

    all_of: tuple[str, ...] = reads(list_of(text), (), key="allOf")
    any_of: tuple[str, ...] = reads(list_of(text), (), key="anyOf")


@dataclass(frozen=True, slots=True)
class Placement:
    """Where and at which prices profiles may run."""

    attributes: dict[str, str] = reads(map_of(text, str), {})
    signed_by: SignedBy = reads(struct(SignedBy), SignedBy(), key="signedBy")
    pricing: dict[str, Price] = reads(map_of(Reader(_price, _PRICE), Price), {})


@dataclass(frozen=True, slots=True)
class Profiles:
    """Compute profiles and placements."""

    compute: dict[str, Compute] = reads(map_of(struct(Compute), Compute), {})
    placement: dict[str, Placement] = reads(map_of(struct(Placement), Placement), {})


# ---------------------------------------------------------------------- services


@dataclass(frozen=True, slots=True)
class HttpOptions:
    """How a provider's ingress treats requests: bytes and milliseconds, 0 for the default."""

    max_body_size: int = reads(uint32, 0)
    read_timeout: int = reads(uint32, 0)
    send_timeout: int = reads(uint32, 0)
    next_tries: int = reads(uint32, 0)
    next_timeout: int = reads(uint32, 0)
    next_cases: tuple[str, ...] = reads(list_of(text), ())


@dataclass(frozen=True, slots=True)
class ServiceTarget:
    """Who may reach an exposed port."""

    service: str = reads(text, "")
    is_global: bool = reads(boolean, False, key="global")
    http_options: HttpOptions = reads(struct(HttpOptions), HttpOptions())
    ip: str = reads(text, "")


def _accepted(node: YamlNode, path: KeyPath, into: Decoding) -> tuple[str, ...] | None:
    hosts = list_of(text)(node, path, into)
    for at, host in enumerate(hosts or ()):
        if not is_url_rest(host):
            into.wrong(node, (*path, at), f"'{host}' is not a host name, write one such as www.example.com")
    return hosts


@dataclass(frozen=True, slots=True)
class Expose:
    """One exposed port; `external` 0 for the same number."""

    port: int = reads(uint32, 0)
    external: int = reads(uint32, 0, key="as")
    proto: str = reads(text, "")
    to: tuple[ServiceTarget, ...] = reads(list_of(struct(ServiceTarget)), ())
    accept: tuple[str, ...] = reads(Reader(_accepted, list_of(text).schema), ())
    http_options: HttpOptions = reads(struct(HttpOptions), HttpOptions())


@dataclass(frozen=True, slots=True)
class Mount:
    """Where a service sees a volume."""

    mount: str = reads(text, "")
    read_only: bool = reads(boolean, False, key="readOnly")


@dataclass(frozen=True, slots=True)
class Permissions:
    """What a service may read of its own deployment."""

    read: tuple[str, ...] = reads(list_of(text), ())


@dataclass(frozen=True, slots=True)
class Params:
    """What a service asks of its place: volumes, permissions, confidential computing (`tee`)."""

    storage: dict[str, Mount] = reads(map_of(struct(Mount), Mount), {})
    permissions: Permissions | None = reads(struct(Permissions), None)
    tee: str = reads(text, "")


@dataclass(frozen=True, slots=True)
class Credentials:
    """How to log in to the registry of the image."""

    host: str = reads(text, "")
    email: str = reads(text, "")
    username: str = reads(text, "")
    password: str = reads(text, "")


@dataclass(frozen=True, slots=True)
class Dependency:
    """A service that another one needs."""

    service: str = reads(text, "")


@dataclass(frozen=True, slots=True)
class Service:
    """A container."""

    image: str = reads(text, "")
    command: tuple[str, ...] = reads(list_of(text), ())
    args: tuple[str, ...] = reads(list_of(text), ())
    env: tuple[str, ...] = reads(list_of(text), ())
    expose: tuple[Expose, ...] = reads(list_of(struct(Expose)), ())
    dependencies: tuple[Dependency, ...] = reads(list_of(struct(Dependency)), ())
    params: Params | None = reads(struct(Params), None)
    credentials: Credentials | None = reads(struct(Credentials), None)


@dataclass(frozen=True, slots=True)
class Deployed:
    """How often a service runs in a placement, on which profile."""

    profile: str = reads(text, "")
    count: int = reads(uint32, 0)


@dataclass(frozen=True, slots=True)
class NamedEndpoint:
    """An address that may be leased."""

    kind: str = reads(text, "")


@dataclass(frozen=True, slots=True)
class Reclamation:
    """The notice a provider must give before it takes the resources back (akash)."""

    min_window: str = reads(text, "")


@dataclass(frozen=True, slots=True)
class Manifest:
    """The top level of an SDL."""

    version: str = ""
    services: dict[str, Service] = field(default_factory=dict)
    profiles: Profiles = Profiles()
    deployment: dict[str, dict[str, Deployed]] = field(default_factory=dict)
    endpoints: dict[str, NamedEndpoint] = field(default_factory=dict)
    reclamation: Reclamation | None = None


SECTIONS: Mapping[str, Reader[Any]] = {
    "include": list_of(text),
    "services": map_of(struct(Service), Service),
    "profiles": struct(Profiles),
    "deployment": map_of(map_of(struct(Deployed), Deployed), dict),
    "endpoints": map_of(struct(NamedEndpoint), NamedEndpoint),
    "reclamation": struct(Reclamation),
}
"""The top-level keys beside `version` and how each is read."""
