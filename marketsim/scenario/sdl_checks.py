"""What the chain refuses in an SDL manifest whose types are right: names, references, ports, volumes, limits.

Source: akash-network/chain-sdk go/sdl, go/manifest/v2beta3 and go/node/deployment/v1beta4 (April 2026). All problems are found, not
only the first.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from marketsim.money.units import ATTO
from marketsim.scenario.go_values import is_env_name, is_hostname, parse_duration, parse_version
from marketsim.scenario.problems import suggestion
from marketsim.scenario.sdl_groups import SdlGroup
from marketsim.scenario.sdl_parts import HttpOptions, Manifest, Resources, Service
from marketsim.scenario.yaml_source import KeyPath

_SERVICE_NAME = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
_ENDPOINT_NAME = re.compile(r"[a-z]+[-_a-z0-9]+")
_NEXT_CASES = ("error", "timeout", "500", "502", "503", "504", "403", "404", "429", "off")
_TEE_TYPES = ("cpu", "cpu-gpu")
_MILLIS_MAX, _BODY_MAX = 60_000, 104_857_600
CPU_MIN, CPU_MAX, GPU_MAX = 10, 384_000, 24
MEMORY_MIN, MEMORY_MAX = 1 << 20, 2 << 40
STORAGE_MIN, STORAGE_MAX = 5 << 20, 32 << 40
PRICE_MAX = 10_000_000
REPLICAS = 50
"""Times the limit of one replica that a group may ask for of CPU, memory and GPUs."""

Found = Iterator[tuple[KeyPath, str]]


class _Use(NamedTuple):
    """A service in a placement."""

    service: str
    placement: str
    profile: str


def check_manifest(manifest: Manifest) -> Found:
    """Path and problem of everything in a manifest that keeps the chain from taking it, but for its groups."""
    yield from _check_reclamation(manifest)
    for name, endpoint in manifest.endpoints.items():
        if _ENDPOINT_NAME.fullmatch(name) is None:
            yield ("endpoints", name), "is not the name of an endpoint, write small letters first, then small letters, digits, - and _"
        if endpoint.kind != "ip":
            yield ("endpoints", name, "kind"), f"'{endpoint.kind}' is not a kind of endpoint, write kind: ip"
    uses = [
        _Use(service, placement, deployed.profile)
        for service, placements in sorted(manifest.deployment.items())
        for placement, deployed in sorted(placements.items())
    ]
    if not uses:
        yield ("deployment",), "deploys no service, write service: {placement: {profile: …, count: …}}"
    wrong = [(use, list(_check_names(manifest, use))) for use in uses]
    names = [use for use, found in wrong if not found]
    for _, found in wrong:
        yield from found
    for use in names:
        yield from _check_volumes(manifest, use)
    yield from _check_tee(manifest, names)
    yield from _check_addresses(manifest, names)
    yield from _check_services(manifest, names)


def check_groups(groups: Sequence[SdlGroup]) -> Found:
    """Path and problem of every group that the chain refuses: limits of its units and sums, prices, coins."""
    denoms = {unit.denom for group in groups for unit in group.resources}
    if len(denoms) > 1:
        yield ("deployment",), f"prices are in {' and '.join(sorted(denoms))}, use one coin"
    for group in groups:
        place: KeyPath = ("profiles", "placement", group.name)
        if not group.name:
            yield place, "has no name, give the placement one"
        for unit in group.resources:
            here: KeyPath = ("profiles", "compute", unit.profile, "resources")
            if not CPU_MIN <= unit.cpu <= CPU_MAX:
                yield (*here, "cpu", "units"), f"{unit.cpu} millicores, the chain takes {CPU_MIN} to {CPU_MAX}"
            if not MEMORY_MIN <= unit.memory <= MEMORY_MAX:
                yield (*here, "memory", "size"), f"{unit.memory} bytes, the chain takes 1Mi to 2Ti"
            if unit.gpu > GPU_MAX:
                yield (*here, "gpu", "units"), f"{unit.gpu} GPUs, the chain takes at most {GPU_MAX}"
            if unit.gpu == 0 and unit.gpu_attributes:
                yield (*here, "gpu", "attributes"), "GPU attributes with 0 units, ask for at least 1 unit or leave the attributes out"
            for volume in unit.volumes:
                if not STORAGE_MIN <= volume.size <= STORAGE_MAX:
                    yield (*here, "storage"), f"volume '{volume.name}' of {volume.size} bytes, the chain takes 5Mi to 32Ti"
            if unit.price > PRICE_MAX * ATTO:
                yield (*place, "pricing", unit.profile, "amount"), f"is too large, at most {PRICE_MAX} per block"
        sums = (("CPU", group.cpu, CPU_MAX, 1), ("GPU", group.gpu, GPU_MAX, 0), ("memory", group.memory, MEMORY_MAX, 1))
        for what, total, most, least in sums:
            if not least <= total <= REPLICAS * most:
                yield ("deployment",), f"{what} of all replicas in '{group.name}' is {total}, the chain takes {least} to {REPLICAS * most}"


def _check_reclamation(manifest: Manifest) -> Found:
    if manifest.reclamation is not None:
        window = parse_duration(manifest.reclamation.min_window)
        if window is None or window <= 0:
            written = manifest.reclamation.min_window
            yield ("reclamation", "min_window"), f"'{written}' is not a length above 0, write hours, minutes and seconds such as 1h30m"


def _check_names(manifest: Manifest, use: _Use) -> Found:
    """The problems of what a deployed service refers to; only where there are none is the rest of it looked at."""
    here: KeyPath = ("deployment", use.service, use.placement)
    profiles, placements = manifest.profiles.compute, manifest.profiles.placement
    if use.profile not in profiles:
        yield (*here, "profile"), f"unknown compute profile '{use.profile}', {suggestion(use.profile, profiles)}"
    elif (resources := profiles[use.profile].resources) is None:
        yield ("profiles", "compute", use.profile), "has no resources, write resources: {cpu: …, memory: …, storage: …}"
    else:
        for what in ("cpu", "memory", "storage"):
            if not getattr(resources, what):
                yield ("profiles", "compute", use.profile, "resources"), f"has no {what}, add it"
    if use.placement not in placements:
        yield here, f"unknown placement '{use.placement}', {suggestion(use.placement, placements)}"
    elif (price := placements[use.placement].pricing.get(use.profile)) is None or price.atto is None:
        yield here, f"placement '{use.placement}' has no price for profile '{use.profile}', add it under pricing"
    if use.service not in manifest.services:
        yield ("deployment", use.service), f"unknown service '{use.service}', {suggestion(use.service, manifest.services)}"


def _resources(manifest: Manifest, use: _Use) -> Resources:
    return manifest.profiles.compute[use.profile].resources or Resources()


def _check_volumes(manifest: Manifest, use: _Use) -> Found:
    params = manifest.services[use.service].params
    mounts = {} if params is None else params.storage
    here: KeyPath = ("services", use.service, "params", "storage")
    volumes = {volume.name: volume for volume in _resources(manifest, use).storage}
    used: dict[str, str] = {}
    merges = _merges(manifest)
    for name, given in mounts.items():
        if name not in volumes:
            yield (*here, name), f"profile '{use.profile}' has no volume '{name}', {suggestion(name, volumes)}"
            continue
        if not given.mount.startswith("/"):
            yield (*here, name, "mount"), f"'{given.mount}' is not an absolute path, write one such as /data"
        elif given.mount in used:
            yield (*here, name, "mount"), f"'{given.mount}' is where volume '{used[given.mount]}' is, give each volume its own path"
        used[given.mount] = name
        if merges and given.read_only and volumes[name].kind == "ram":
            yield (*here, name, "readOnly"), "a volume of class ram cannot be read-only, leave readOnly out"
    if not merges and not mounts:
        for volume in volumes.values():
            if volume.persistent:
                yield (
                    ("services", use.service),
                    f"volume '{volume.name}' of profile '{use.profile}' is persistent, "
                    f"say where the service sees it: params: {{storage: {{{volume.name}: {{mount: /data}}}}}}",
                )


def _check_tee(manifest: Manifest, uses: Sequence[_Use]) -> Found:
    found: dict[str, str] = {}
    for use in uses:
        params = manifest.services[use.service].params
        if params is None or not params.tee:
            continue
        here: KeyPath = ("services", use.service, "params", "tee")
        gpu = _resources(manifest, use).gpu
        if params.tee not in _TEE_TYPES:
            yield here, f"'{params.tee}' is not a kind of confidential computing, write cpu or cpu-gpu"
        elif params.tee == "cpu-gpu" and (gpu is None or gpu.units == 0):
            yield here, "cpu-gpu without GPUs, ask for GPUs or write cpu"
        elif found.setdefault(use.placement, params.tee) != params.tee:
            yield here, f"'{params.tee}' beside '{found[use.placement]}' in placement '{use.placement}', use one of the two"


def _check_addresses(manifest: Manifest, uses: Sequence[_Use]) -> Found:
    taken: dict[tuple[str, int, str], str] = {}
    used: set[str] = set()
    for use in uses:
        for at, expose in enumerate(manifest.services[use.service].expose):
            for number, target in enumerate(expose.to):
                here: KeyPath = ("services", use.service, "expose", at, "to", number)
                if not target.ip:
                    continue
                if not target.is_global:
                    yield here, f"names the address '{target.ip}' and is not global, write global: true"
                if target.ip not in manifest.endpoints:
                    yield (*here, "ip"), f"no endpoint is named '{target.ip}', {suggestion(target.ip, manifest.endpoints)}"
                used.add(target.ip)
                key = (target.ip, expose.external, expose.proto)
                if key in taken:
                    yield (
                        here,
                        f"port {expose.external or expose.port} of '{target.ip}' is taken by service '{taken[key]}', use another one",
                    )
                taken[key] = use.service
    for name in manifest.endpoints:
        if name not in used:
            yield ("endpoints", name), "is never used, name it under ip: of an exposed port or leave it out"


def _check_services(manifest: Manifest, uses: Sequence[_Use]) -> Found:
    hosts: set[str] = set()
    anything_global = False
    for use in uses:
        service, here = manifest.services[use.service], ("services", use.service)
        if _SERVICE_NAME.fullmatch(use.service) is None:
            yield here, f"'{use.service}' is not the name of a service, write small letters, digits and -, a letter first"
        if not service.image:
            yield (*here, "image"), "has no image, name one"
        for at, variable in enumerate(service.env):
            name = variable.partition("=")[0]
            if not is_env_name(name):
                yield (*here, "env", at), f"'{name}' is not the name of a variable, write NAME=value"
        if service.credentials is not None:
            for key in ("host", "username", "password"):
                if not getattr(service.credentials, key).strip():
                    yield (*here, "credentials"), f"has no {key}, add it"
        yield from _check_ports(service, here, hosts)
        anything_global |= any(target.is_global for expose in service.expose for target in expose.to)
    if uses and not anything_global:
        yield ("services",), "no deployed service is exposed to the world, write to: [{global: true}] at one of its ports"


def _check_ports(service: Service, here: KeyPath, hosts: set[str]) -> Found:
    for at, expose in enumerate(service.expose):
        place: KeyPath = (*here, "expose", at)
        if expose.proto.upper() not in ("", "TCP", "UDP"):
            yield (*place, "proto"), f"'{expose.proto}' is not a protocol, write tcp or udp"
        if not 0 < expose.port <= 65_535:
            yield (*place, "port"), f"{expose.port} is not a port, write 1 to 65535"
        for _ in expose.to or (None,):
            for host in expose.accept:
                if not is_hostname(host):
                    yield (*place, "accept"), f"'{host}' is not a host name, write small letters, digits, - and ."
                elif host in hosts:
                    yield (*place, "accept"), f"'{host}' is accepted at two places, keep one of them"
                hosts.add(host)
        yield from _check_http(expose.http_options, (*place, "http_options"))


def _check_http(options: HttpOptions, here: KeyPath) -> Found:
    for key, most in (("max_body_size", _BODY_MAX), ("read_timeout", _MILLIS_MAX), ("send_timeout", _MILLIS_MAX)):
        if getattr(options, key) > most:
            yield (*here, key), f"is above {most}, the most that is allowed"
    for case in options.next_cases:
        if case not in _NEXT_CASES:
            yield (*here, "next_cases"), f"'{case}' is not a case, cases are {', '.join(_NEXT_CASES)}"
        elif case == "off" and len(options.next_cases) > 1:
            yield (*here, "next_cases"), "'off' stands beside other cases, keep it alone"


def _merges(manifest: Manifest) -> bool:
    version = parse_version(manifest.version)
    return version is not None and version.merges
