"""The groups of resource units that a manifest deploys: what a deployment message carries, one order a group.

Rules: protocol.md §6; akash-network/chain-sdk go/sdl groupBuilder. Groups are the placements in the order of their names. Services come
in the order of theirs; from version 2.1 on those that share a compute profile are one resource unit with their counts added.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

from marketsim.scenario.go_values import parse_version
from marketsim.scenario.sdl_parts import Expose, Manifest, Resources, SdlVolume, Service

SHARED_HTTP, RANDOM_PORT, LEASED_IP = 0, 1, 2
"""Kinds of endpoint, as the chain numbers them."""


class Endpoint(NamedTuple):
    """One endpoint of a resource unit: kind, and for a leased address its number, 0 for others."""

    kind: int
    sequence: int = 0


@dataclass(frozen=True, slots=True)
class SdlUnit:
    """One line of a group: `count` replicas of the same resources.

    `price` in 10^-18 of `denom` per block and replica; `cpu` millicores; `memory` bytes; `gpu_attributes` are keys such as
    `vendor/nvidia/model/a100` = "true"; `gpu_types` the same as `nvidia-a100` (rules.md §6).
    """

    profile: str
    denom: str
    price: int
    count: int
    cpu: int
    memory: int
    volumes: tuple[SdlVolume, ...]
    gpu: int
    gpu_attributes: dict[str, str]
    gpu_types: tuple[str, ...]
    cpu_attributes: dict[str, str]
    endpoints: tuple[Endpoint, ...]

    @property
    def storage(self) -> int:
        """Bytes of all volumes of one replica."""
        return sum(volume.size for volume in self.volumes)

    @property
    def leased_ips(self) -> int:
        """Leased addresses among the endpoints; several ports of one are one."""
        return len({endpoint.sequence for endpoint in self.endpoints if endpoint.kind == LEASED_IP})


@dataclass(frozen=True, slots=True)
class SdlGroup:
    """One placement: what becomes one order."""

    name: str
    resources: tuple[SdlUnit, ...]
    attributes: dict[str, str]
    all_of: tuple[str, ...]
    any_of: tuple[str, ...]

    @property
    def denom(self) -> str:
        """The coin of its prices."""
        return self.resources[0].denom

    @property
    def ceiling(self) -> int:
        """The most the order pays per block, in 10^-18 of its coin: Σ price × count."""
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
        """Every attribute the order asks for, by key, with the values that would do; GPUs also as `gpu-type`."""
        wanted: dict[str, set[str]] = {key: {value} for key, value in self.attributes.items()}
        for unit in self.resources:
            for key, value in unit.gpu_attributes.items():
                wanted.setdefault(key, set()).add(value)
            for gpu_type in unit.gpu_types:
                wanted.setdefault("gpu-type", set()).add(gpu_type)
        return wanted


def build_groups(manifest: Manifest) -> tuple[SdlGroup, ...]:
    """The groups of a manifest in which what is deployed is there."""
    sequences = _address_numbers(manifest)
    version = parse_version(manifest.version)
    merges = version is not None and version.merges
    found = []
    for name in sorted({placement for placements in manifest.deployment.values() for placement in placements}):
        placement = manifest.profiles.placement[name]
        attributes = dict(placement.attributes)
        units: list[SdlUnit] = []
        for service_name in sorted(manifest.deployment):
            deployed = manifest.deployment[service_name].get(name)
            if deployed is None:
                continue
            service = manifest.services[service_name]
            if service.params is not None and service.params.tee:
                attributes.setdefault("tee/type", service.params.tee)
            endpoints = _endpoints(service, sequences)
            same = next((at for at, unit in enumerate(units) if merges and unit.profile == deployed.profile), None)
            if same is not None:
                together = tuple(sorted((*units[same].endpoints, *endpoints), key=lambda endpoint: endpoint.sequence))
                units[same] = replace(units[same], count=(units[same].count + deployed.count) % (1 << 32), endpoints=together)
                continue
            price = placement.pricing[deployed.profile]
            resources = manifest.profiles.compute[deployed.profile].resources or Resources()
            units.append(_unit(deployed.profile, price.denom, price.atto or 0, deployed.count, resources, endpoints))
        signed = placement.signed_by
        found.append(SdlGroup(name, tuple(units), dict(sorted(attributes.items())), signed.all_of, signed.any_of))
    return tuple(found)


def _address_numbers(manifest: Manifest) -> dict[str, int]:
    """The numbers of leased addresses; targets inside the deployment are counted too, under an empty name, as upstream does."""
    names = sorted(
        target.ip
        for service in manifest.deployment
        for expose in manifest.services.get(service, Service()).expose
        for target in expose.to
        if target.ip or not target.is_global
    )
    return {name: number for number, name in enumerate(names, 1)}


def _endpoints(service: Service, sequences: dict[str, int]) -> tuple[Endpoint, ...]:
    """Endpoints of one service in the chain's order of its exposed ports."""
    exposed = [(target, expose) for expose in service.expose for target in expose.to]
    exposed.sort(key=lambda pair: (pair[0].service, pair[1].port, pair[1].proto.upper() or "TCP", not pair[0].is_global))
    found: list[Endpoint] = []
    for target, expose in exposed:
        if target.is_global:
            found.append(Endpoint(SHARED_HTTP if _is_ingress(expose) else RANDOM_PORT))
            if target.ip:
                found.append(Endpoint(LEASED_IP, sequences.get(target.ip, 0)))
    return tuple(found)


def _is_ingress(expose: Expose) -> bool:
    return expose.proto.upper() in ("", "TCP") and (expose.external or expose.port) == 80


def _unit(profile: str, denom: str, price: int, count: int, resources: Resources, endpoints: tuple[Endpoint, ...]) -> SdlUnit:
    gpu = resources.gpu
    return SdlUnit(
        profile,
        denom,
        price,
        count,
        0 if resources.cpu is None else resources.cpu.units,
        0 if resources.memory is None else resources.memory.size,
        resources.storage,
        0 if gpu is None else gpu.units,
        {} if gpu is None else gpu.attributes,
        () if gpu is None else tuple(dict.fromkeys(f"nvidia-{model.model}" for model in gpu.models or ())),
        {} if resources.cpu is None else dict(sorted(resources.cpu.attributes.items())),
        endpoints,
    )
