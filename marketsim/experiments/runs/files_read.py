"""Which files beside the scenario a run reads, and what is in them: traces, price scripts, users' classes.

Nothing is executed: modules are looked for as Python would import them. What a script or a class opens by itself cannot
be known.
"""

from __future__ import annotations

import ast
import hashlib
import sys
import sysconfig
from collections.abc import Iterator, Mapping, Sequence
from importlib.machinery import ModuleSpec, PathFinder
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import marketsim
from marketsim.strategies.find import AGENT, CHOICE_RULE, DEMAND, FAULT, METRIC, STRATEGY, ExtensionKind

_TRACE, _SCRIPT = ("demand", "trace"), ("strategy", "script")
_CODE: dict[tuple[str, str], ExtensionKind] = {
    ("strategy", "python"): STRATEGY,
    ("choice", "python"): CHOICE_RULE,
    ("demand", "python"): DEMAND,
    ("agents", "python"): AGENT,
    ("faults", "python"): FAULT,
    ("metrics", "python"): METRIC,
}
"""Where a scenario names code of its author's."""


def user_code(scenario: Mapping[str, Any]) -> tuple[str, ...]:
    """The classes and scripts of others that a run of this scenario calls, as the file names them."""
    return tuple(dict.fromkeys(name for kind, name in _named(scenario) if kind == _SCRIPT or kind in _CODE))


class Contents:
    """Digests of the files that runs of scenarios in one folder read; each file is read once."""

    def __init__(self, base: Path) -> None:
        self._base = base
        self._known: dict[Path, str] = {}

    def digest(self, scenario: Mapping[str, Any]) -> str:
        """A hash of the names and contents of all that a run reads beside the scenario; empty where that is nothing."""
        found = []
        for kind, name in dict.fromkeys(_named(scenario)):
            files = _modules(name, self._base, _CODE[kind]) if kind in _CODE else [self._base / name]
            found.append(f"{kind[1]} {name}: {' '.join(map(self._of, files)) or 'missing'}")
        return hashlib.sha256("\n".join(found).encode()).hexdigest()[:32] if found else ""

    def files(self, scenario: Mapping[str, Any]) -> tuple[dict[str, Path], dict[str, Path]]:
        """Return the files that a run reads beside the scenario: traces and scripts by the path that names them; modules by their names."""
        named, modules = dict[str, Path](), dict[str, Path]()
        for kind, name in dict.fromkeys(_named(scenario)):
            if kind in _CODE:
                modules |= _modules_by_name(name, self._base, _CODE[kind])
            else:
                named[name] = self._base / name
        return named, modules

    def _of(self, file: Path) -> str:
        if file not in self._known:
            try:
                self._known[file] = hashlib.sha256(file.read_bytes()).hexdigest()
            except OSError:
                self._known[file] = "missing"
        return self._known[file]


def _named(node: Any, above: str = "") -> Iterator[tuple[tuple[str, str], str]]:
    if isinstance(node, Mapping):
        for key, value in node.items():
            if isinstance(value, str) and ((above, key) in (_TRACE, _SCRIPT) or (above, key) in _CODE):
                yield (above, key), value
            else:
                yield from _named(value, key)
    elif isinstance(node, list | tuple):
        for value in node:
            yield from _named(value, above)


def _modules(name: str, base: Path, kind: ExtensionKind) -> list[Path]:
    found = _modules_by_name(name, base, kind)
    return [found[one] for one in sorted(found)]


def _modules_by_name(name: str, base: Path, kind: ExtensionKind) -> dict[str, Path]:
    """The file of a class's module and those of all local modules that it imports, one way or another, by their names."""
    module = name.partition(":")[0]
    if ":" not in name:
        module = next((point.module for point in entry_points(group=kind.group) if point.name == name), "")
    search = [str(base), *sys.path]
    found: dict[str, Path] = {}
    waiting = [module]
    while waiting:
        one = waiting.pop()
        spec = _spec(one, search)
        if one in found or spec is None or spec.origin is None:
            continue
        file = Path(spec.origin)
        if one.partition(".")[0] != module.partition(".")[0] and not _is_local(file):
            continue
        found[one] = file
        package = one if spec.submodule_search_locations is not None else one.rpartition(".")[0]
        waiting += [*_parents(one), *_imports(file, package)]
    return found


def _spec(module: str, search: Sequence[str]) -> ModuleSpec | None:
    places: Sequence[str] | None = search
    spec: ModuleSpec | None = None
    parts = module.split(".")
    for depth in range(len(parts)):
        if places is None:
            return None
        try:
            spec = PathFinder.find_spec(".".join(parts[: depth + 1]), places)
        except (ImportError, ValueError):
            return None
        if spec is None:
            return None
        places = spec.submodule_search_locations
    return spec


def _parents(module: str) -> list[str]:
    parts = module.split(".")
    return [".".join(parts[:depth]) for depth in range(1, len(parts))]


def _imports(file: Path, package: str) -> Iterator[str]:
    """The modules that a file's import statements may mean, wherever in the file they stand."""
    if file.suffix != ".py":
        return
    try:
        tree = ast.parse(file.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            origin = ".".join([*above, *([node.module] if node.module else [])])
            yield origin
            yield from (f"{origin}.{alias.name}" for alias in node.names)


def _is_local(file: Path) -> bool:
    """Whether a module is neither Python's, nor an installed package's, nor ours: those have versions of their own."""
    installed = {Path(sysconfig.get_path(kind)).resolve() for kind in ("stdlib", "platstdlib", "purelib", "platlib")}
    ours = Path(marketsim.__file__).resolve().parent
    return not any(root in file.resolve().parents for root in (*installed, ours))
