"""Says which orders of a scenario no provider of it can ever serve, and why, before anything runs."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from marketsim.chain.columns import Draft, Resource
from marketsim.chain.requirements import FITS, LACKS_ATTRIBUTES, has_all, match
from marketsim.scenario.distributions import Distribution
from marketsim.scenario.model import Scenario
from marketsim.scenario.provider_file import MIB
from marketsim.scenario.providers import ProviderCohort
from marketsim.scenario.tenants import CountLaw, Demand, MillicoresLaw, OrderShape, SizeLaw, TenantCohort, TextLaw
from marketsim.scenario.trace import read_trace
from marketsim.simulation.build import requested_values
from marketsim.simulation.desks import DeskBook
from marketsim.simulation.orders import OrderKind, draw_orders

REASONS_MAX = 4
"""Reasons that one warning tells, one a cohort of providers."""
Table = NDArray[np.int64]
PROVIDERS_CHANGE = {"create_provider", "update_provider", "sign_attributes"}
"""Messages by hand after which providers claim other things than the file says."""
_UNITS = ("millicores", "MiB of memory", "MiB of storage", "GPUs")
_COLUMNS = (Resource.cpu, Resource.memory, Resource.storage, Resource.gpu)


class NeverServed(NamedTuple):
    """Orders that nobody can serve: where they are written, and a sentence."""

    path: tuple[str | int, ...]
    why: str


class _Smallest(NamedTuple):
    """The least that orders of one kind ask for: each unit's millicores, MiB, MiB and GPUs, and their count."""

    asked: OrderKind
    units: list[tuple[tuple[int, ...], int]]
    words: str

    def total(self, at: int) -> int:
        return sum(unit[at] * count for unit, count in self.units)


def never_served(scenario: Scenario) -> Iterator[NeverServed]:
    """Yield the kinds of order that every provider refuses whatever is drawn: for attributes, GPUs, regions or sizes.

    Each order is taken at its smallest and each provider at its largest. Files and classes that price are not asked.
    """
    changes = any(message["op"] in PROVIDERS_CHANGE for message in scenario.messages)
    if not scenario.tenants or not scenario.desks or changes:
        return
    book = DeskBook(scenario, scenario.seed)
    desks = _unlike(book)
    for cohort in scenario.tenants:
        kinds = list(_kinds(cohort, scenario))
        told = [why for kind in kinds if (why := _refused_by_all(book, desks, scenario, kind)) is not None]
        for why in told[:1] if len(told) == len(kinds) else told:  # what hinders the smallest hinders all
            yield NeverServed(("tenants", cohort.name, "order"), why)


def _refused_by_all(book: DeskBook, desks: Sequence[int], scenario: Scenario, kind: _Smallest) -> str | None:
    reasons: dict[str, str] = {}
    for desk in desks:
        provider = scenario.desks[book.cohorts[desk]]
        why = _refusal(book, desk, provider, kind)
        if why is None:
            return None
        reasons[provider.name] = why
    told = [f"{name} {why}" for name, why in list(reasons.items())[:REASONS_MAX]] + ["…"] * (len(reasons) > REASONS_MAX)
    return f"no provider can ever serve an order of {kind.words}: {'; '.join(told)}"


def _unlike(book: DeskBook) -> list[int]:
    """One desk of each cohort and region."""
    seen: dict[tuple[int, str | None], int] = {}
    for desk, cohort in enumerate(book.cohorts):
        seen.setdefault((cohort, book.attributes[desk].get("region")), desk)
    return list(seen.values())


# --- what orders ask for at least


def _kinds(cohort: TenantCohort, scenario: Scenario) -> Iterator[_Smallest]:
    shape = cohort.order
    if shape.sdl is None and cohort.demand.python is not None:
        return  # how large its orders are is for its class to say
    for part in [shape] if shape.sdl is not None else _smallest_shapes(shape, _least_of_trace(cohort, scenario)):
        drawn = draw_orders(cohort.model_copy(update={"order": part, "demand": Demand(orders=1)}), scenario, scenario.seed)
        for draft in drawn.drafts:
            first, count = int(draft[Draft.first_resource]), int(draft[Draft.resources])
            rows = drawn.resources[first : first + count]
            units = [(tuple(_in_units(row, column) for column in _COLUMNS), int(row[Resource.count])) for row in rows]
            asked = drawn.asked[int(draft[Draft.spec])]
            yield _Smallest(asked, units, _in_words(asked, units))


def _smallest_shapes(shape: OrderShape, trace: dict[str, int]) -> Iterator[OrderShape]:
    """The smallest order of each region and GPU model, with a GPU where there may be one of a model."""
    least = {name: _least(getattr(shape, name)) for name in ("cpu", "memory", "memory_per_core", "storage", "gpu")} | trace
    gpus = [least["gpu"] or 0]
    if shape.gpu_model is not None and gpus[0] == 0 and shape.gpu.bounds()[1] >= 1 and "gpu" not in trace:
        gpus.append(1)
    for region in shape.region.law().values if shape.region is not None else (None,):
        for gpu in gpus:
            for model in shape.gpu_model.law().values if shape.gpu_model is not None and gpu else (None,):
                yield shape.model_copy(
                    update={
                        "cpu": MillicoresLaw(constant=least["cpu"]),
                        "memory": None if least["memory"] is None else SizeLaw(constant=least["memory"]),
                        "memory_per_core": None if least["memory"] is not None else SizeLaw(constant=least["memory_per_core"]),
                        "storage": SizeLaw(constant=least["storage"]),
                        "gpu": CountLaw(constant=gpu),
                        "gpu_model": None if model is None else TextLaw(constant=model),
                        "region": None if region is None else TextLaw(constant=region),
                    }
                )


def _least(law: Distribution[int] | None) -> int | None:
    return None if law is None else math.floor(law.bounds()[0])


def _least_of_trace(cohort: TenantCohort, scenario: Scenario) -> dict[str, int]:
    """The least of each column of a cohort's trace that says how large orders are."""
    if cohort.demand.trace is None:
        return {}
    columns = read_trace(scenario.base / cohort.demand.trace)
    sizes = {name: column for name, column in columns.items() if name in ("cpu", "memory", "storage", "gpu")}
    return {name: round(float(np.nanmin(column))) for name, column in sizes.items() if not np.isnan(column).all()}


def _in_units(row: Table, column: int) -> int:
    return -(-int(row[column]) // MIB) if column in (Resource.memory, Resource.storage) else int(row[column])


def _in_words(asked: OrderKind, units: list[tuple[tuple[int, ...], int]]) -> str:
    sizes = [sum(unit[at] * count for unit, count in units) for at in range(4)]
    words = [f"{size:,} {unit}" for size, unit in zip(sizes, _UNITS, strict=True) if size]
    wanted = [f"{key}={value}" for key, value in asked.requested if key != "gpu-type"]
    signers = [*asked.requirements.all_of, *asked.requirements.any_of]
    return ", ".join([*words, *wanted]) + (f", signed by {', '.join(signers)}" if signers else "")


# --- what providers have at most


def _refusal(book: DeskBook, desk: int, cohort: ProviderCohort, kind: _Smallest) -> str | None:
    """Why a desk never bids on orders of a kind, None where it may."""
    file = cohort.config
    if file is not None and not file.bid_engine.enabled:
        return "has its bid engine disabled"
    fit = match(kind.asked.requirements, book.attributes[desk], book.signed[desk])
    if book.refusal(desk, kind.asked.requirements, kind.asked.region, requested_values(kind.asked), fit):
        return _lack(book, desk, cohort, kind.asked, fit)
    most = _most(cohort)
    limits = (None, None, None, None) if file is None else (file.filters.max_cpu, file.filters.max_memory, file.filters.max_storage, None)
    for at, unit in enumerate(_UNITS):
        limit = limits[at]
        if limit is not None and kind.total(at) > limit:
            return f"bids on at most {limit:,} {unit}"
        if kind.total(at) > most[at]:
            return f"has at most {most[at]:,} {unit}"
    for asked, _ in kind.units:
        if cohort.nodes is not None and not any(all(a <= b for a, b in zip(asked, node, strict=True)) for node in _nodes(cohort)):
            return "has no machine on which a unit of it fits"
    return None


def _lack(book: DeskBook, desk: int, cohort: ProviderCohort, asked: OrderKind, fit: int) -> str:
    """What of attributes, auditors, capabilities and filters is in the way."""
    allowed = None if cohort.config is None else cohort.config.filters.allowed_regions
    if allowed is not None and asked.region is not None and asked.region not in allowed:
        return f"takes only orders of {', '.join(allowed)}"
    required = asked.requirements
    if fit == FITS:
        return "excludes an attribute of it"
    if fit == LACKS_ATTRIBUTES:
        missing = [f"{key}={value}" for key, value in required.attributes if not has_all(book.attributes[desk], ((key, value),))]
        return f"has no {', '.join(missing)}" if missing else "has not been signed by its auditors"
    keys = [key for gpu in required.gpus for key, _ in gpu]
    return f"has no capabilities/gpu/{keys[0]}" if keys else "has no storage of its class"


def _most(cohort: ProviderCohort) -> tuple[int | float, ...]:
    """The most that a provider of a cohort can have, over-commit included: millicores, MiB, MiB, GPUs."""
    if cohort.nodes is not None:
        nodes = _nodes(cohort)
        return tuple(sum(node[at] for node in nodes) for at in range(4))
    assert cohort.capacity is not None
    laws = (cohort.capacity.cpu, cohort.capacity.memory, cohort.capacity.storage, cohort.capacity.gpu)
    more = (cohort.overcommit.cpu, cohort.overcommit.memory, cohort.overcommit.storage, 1)
    scale = (1, MIB, MIB, 1)
    bounds = [law.bounds()[1] * factor / unit for law, factor, unit in zip(laws, more, scale, strict=True)]
    return tuple(bound if math.isinf(bound) else math.floor(bound) for bound in bounds)


def _nodes(cohort: ProviderCohort) -> list[tuple[int, ...]]:
    more = cohort.overcommit
    return [
        (int(node.cpu * more.cpu), int(node.memory * more.memory) // MIB, int(node.storage * more.storage) // MIB, node.gpu)
        for node in cohort.nodes or ()
        for _ in range(node.count)
    ]
