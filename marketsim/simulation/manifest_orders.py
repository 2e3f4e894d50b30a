"""Groups of manifests as bid engines see them: every volume, endpoint and GPU, and the coin in which they pay."""

from __future__ import annotations

from fractions import Fraction

from marketsim.scenario.sdl import SdlGroup
from marketsim.strategies.requests import ManifestOrder
from marketsim.strategies.rules import GpuModel, PriceRequest, ResourceUnit, Volume


def resource_units(group: SdlGroup) -> tuple[ResourceUnit, ...]:
    """The group's resource units; the GPUs that would do in the order of their attributes."""
    return tuple(
        ResourceUnit(
            cpu=unit.cpu,
            memory=unit.memory,
            volumes=tuple(Volume(volume.size, volume.kind) for volume in unit.volumes),
            gpu=unit.gpu,
            gpu_models=tuple(model for key in sorted(unit.gpu_attributes) if (model := GpuModel.from_attribute(key)) is not None),
            count=unit.count,
            endpoints=len(unit.endpoints),
            leased_ips=unit.leased_ips,
        )
        for unit in group.resources
    )


def manifest_order(group: SdlGroup, rate: Fraction) -> ManifestOrder:
    """What engines know of the order that a group becomes; `rate` is what one of its coins is worth in the market's own."""
    own = sum(worth(unit.price, rate) * unit.count for unit in group.resources)
    return ManifestOrder(resource_units(group), group.denom, rate, group.ceiling, own)


def worth(price: int, rate: Fraction) -> int:
    """A ceiling in 10^-18 of a coin in the market's own, rounded up so that a price within the one stays within the other."""
    return -(-price * rate.numerator // rate.denominator)


def request_of(group: SdlGroup, owner: str = "") -> PriceRequest:
    """The request for a group's price as a provider gets it that has not allocated anything yet."""
    return PriceRequest(resource_units(group), group.ceiling, owner=owner, denom=group.denom)
