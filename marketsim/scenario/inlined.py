"""Puts the files that a scenario names in the place of their paths: provider files and SDL manifests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from marketsim.errors import InputError
from marketsim.scenario.literals import shown
from marketsim.scenario.provider_file import lift_filters
from marketsim.scenario.sdl import manifest_source, source_of
from marketsim.scenario.yaml_source import KeyPath, Problem, Source, read_source, read_text

_FILTERS_TWICE = "filters stand both here and at the top level, keep one of the two"


def inline_files(source: Source, base: Path, failed: set[KeyPath]) -> set[KeyPath]:
    """Replaces every path of `config:` and `sdl:` by the content of the file; returns where other files
    begin.

    A file that cannot be read is noted in `source.problems` and its path in `failed`; its value becomes None.
    """
    roots: set[KeyPath] = set()
    for path in _config_paths(source.data):
        _inline(source, path, base, roots, failed)
    for path in _sdl_paths(source):
        _inline(source, path, base, roots, failed)
    return roots


def _items(data: Any, key: str) -> list[tuple[int, dict[str, Any]]]:
    items = data.get(key) if isinstance(data, dict) else None
    return [(i, item) for i, item in enumerate(items) if isinstance(item, dict)] if isinstance(items, list) else []


def _config_paths(data: Any) -> list[KeyPath]:
    return [("providers", i, "config") for i, cohort in _items(data, "providers") if cohort.get("config") is not None]


def _sdl_paths(source: Source) -> list[KeyPath]:
    """The paths of manifests, after one manifest or a list of plain paths has become a list of {sdl,
    name}.
    """
    found: list[KeyPath] = []
    for i, cohort in _items(source.data, "tenants"):
        order = cohort.get("order")
        if not isinstance(order, dict) or order.get("sdl") is None:
            continue
        here: KeyPath = ("tenants", i, "order", "sdl")
        if not isinstance(order["sdl"], list):
            _wrap(source, here, (*here, 0))
            order["sdl"] = [order["sdl"]]
        for j, item in enumerate(order["sdl"]):
            if not isinstance(item, dict) or "services" in item:
                _wrap(source, (*here, j), (*here, j, "sdl"))
                order["sdl"][j] = item = {"sdl": item}
            if isinstance(item.get("sdl"), str):
                item.setdefault("name", Path(item["sdl"]).stem)
            if "sdl" in item:
                found.append((*here, j, "sdl"))
    return found


def _wrap(source: Source, path: KeyPath, deeper: KeyPath) -> None:
    """Moves the places at and below `path` to `deeper`, which lies below it."""
    for places in (source.keys, source.values):
        moved = {deeper + p[len(path) :]: q for p, q in places.items() if p[: len(path)] == path}
        places.update(moved)
    if path in source.manifests:
        source.manifests[deeper] = source.manifests.pop(path)
        moved_problems = [p._replace(path=deeper + p.path[len(path) :]) if p.path[: len(path)] == path else p for p in source.problems]
        source.problems = moved_problems


def _inline(source: Source, path: KeyPath, base: Path, roots: set[KeyPath], failed: set[KeyPath]) -> None:
    holder = source.data
    for key in path[:-1]:
        holder = holder[key]
    value = holder[path[-1]]
    if isinstance(value, dict):
        if path[-1] == "config":
            holder[path[-1]] = lift_filters(value)
            _lift_places(source, path, value)
        elif path in source.manifests:
            source.problems = [problem for problem in source.problems if problem.path[: len(path)] != path]
            _graft_manifest(source, path, holder, source_of(source.manifests[path], source.file), failed)
        return
    if not isinstance(value, str) or not value.strip():
        if path not in failed:
            source.problems.append(Problem(path, f"{shown(value)} is not a file, write the path of a YAML file"))
            failed.add(path)
        holder[path[-1]] = None
        return
    name = str(base / value)
    try:
        other = manifest_source(read_text(base / value, name, wide=True), name) if path[-1] == "sdl" else read_source(base / value, name)
    except InputError as error:
        for line in error.lines:
            at_file = line.startswith(f"{name}: ")
            if at_file:
                source.problems.append(Problem(path, f"{name} {line[len(name) + 2 :]}"))
            else:
                place, _, rest = line.partition(": ")
                source.problems.append(Problem((), rest, _place(place)))
        failed.add(path)
        holder[path[-1]] = None
        return
    roots.add(path)
    if path[-1] == "sdl":
        _graft_manifest(source, path, holder, other, failed)
        return
    source.graft(path, other)
    holder[path[-1]] = lift_filters(other.data)
    _lift_places(source, path, other.data)


def _graft_manifest(source: Source, path: KeyPath, holder: Any, manifest: Source, failed: set[KeyPath]) -> None:
    """Puts a manifest that was read in the place of what stood at `path`; nothing where it has problems."""
    place = source.values.get(path)
    source.graft(path, manifest)
    if place is not None:
        source.values[path] = manifest.values.get((), place)
    holder[path[-1]] = manifest.data
    if manifest.problems:
        failed.add(path)
        holder[path[-1]] = None


def lift_source(source: Source) -> None:
    """Moves nested filters of a provider file that was read by itself to the top level, places included."""
    if isinstance(source.data, dict):
        lifted = lift_filters(source.data)
        _lift_places(source, (), source.data)
        source.data = lifted


def _place(text: str) -> Any:
    from marketsim.scenario.yaml_source import Place

    file, line, column = text.rsplit(":", 2)
    return Place(file, int(line), int(column))


def _lift_places(source: Source, path: KeyPath, data: dict[str, Any]) -> None:
    engine = data.get("bid_engine")
    if not isinstance(engine, dict) or "filters" not in engine:
        return
    nested: KeyPath = (*path, "bid_engine", "filters")
    if "filters" in data:
        source.problems.append(Problem(nested, _FILTERS_TWICE, at_key=True))
        engine.pop("filters")
        return
    lifted: KeyPath = (*path, "filters")
    for places in (source.keys, source.values):
        places.update({lifted + p[len(nested) :]: q for p, q in places.items() if p[: len(nested)] == nested})
