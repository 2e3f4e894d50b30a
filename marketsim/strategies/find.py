"""Finds the file and the name of a user's class without running any of its code."""

from __future__ import annotations

import ast
import importlib.util
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import Final, NamedTuple

from marketsim.strategies.users_modules import is_loaded_from


class ExtensionKind(NamedTuple):
    """A kind of thing that users add: the entry-point group in which an installed package offers some by name, what one is called, and how
    one that stands in a file is written."""

    group: str
    noun: str
    form: str


STRATEGY: Final = ExtensionKind("marketsim.strategies", "strategy", "module:Class")
CHOICE_RULE: Final = ExtensionKind("marketsim.choice_rules", "choice rule", "module:Class")
DEMAND: Final = ExtensionKind("marketsim.demand", "demand process", "module:Class")
AGENT: Final = ExtensionKind("marketsim.agents", "agent", "module:function")
METRIC: Final = ExtensionKind("marketsim.metrics", "metric", "module:function")
FAULT: Final = ExtensionKind("marketsim.faults", "fault", "module:function or module:Class")
EXTENSION_KINDS: Final = (STRATEGY, CHOICE_RULE, DEMAND, AGENT, METRIC, FAULT)


def is_reference(text: str) -> bool:
    """Return whether a text can name something of a user's: module:name, or the name of an entry point."""
    parts = text.split(":")
    return len(parts) <= 2 and all(part and all(p.isidentifier() for p in part.replace("-", "_").split(".")) for part in parts)


def unknown_name(spec: str, kind: ExtensionKind) -> str | None:
    """Say what is wrong with the name of an entry point, None where a package that is installed offers it."""
    installed = entry_points(group=kind.group)
    offers = sorted({(one.value, one.dist.name if one.dist is not None else "?") for one in installed.select(name=spec)})
    if len({value for value, _ in offers}) > 1:
        each = " and ".join(f"{package} ({value})" for value, package in offers)
        return f"{spec!r} is offered by {each}, write {kind.form} to say which"
    if offers:
        return None
    known = f" or one of {', '.join(sorted(installed.names))}" if installed.names else ""
    return f"{spec!r} names no {kind.noun}, write {kind.form}{known}"


def problem_of(spec: str, folders: Sequence[Path] = (), kind: ExtensionKind = STRATEGY) -> str | None:
    """Say why nothing of the name `spec` can be found and what would be, None where it is there or only a run can tell.

    `spec` is module:name or the name of an entry point of the kind's group. Modules are looked for in `folders` first, as a run does.
    Names that a module makes while it is imported (a star import, `globals()`) cannot be seen and are let pass.
    """
    if ":" not in spec:
        problem = unknown_name(spec, kind)
        if problem is not None:
            return problem
        installed = entry_points(group=kind.group)
        spec = installed[spec].value.partition("[")[0].strip()
    module, _, name = spec.partition(":")
    if is_loaded_from(module, folders):
        loaded = sys.modules[module]
        return None if hasattr(loaded, name.partition(".")[0]) else _no_class(module, name, _classes(loaded))
    found = _spec_of(module, folders)
    if found is None:
        looked = f" in {folders[0]} or on the import path" if folders else " on the import path"
        return f"there is no module {module}{looked}, give the name of a Python file without .py"
    return _missing_in(found, module, name)


def _spec_of(module: str, folders: Sequence[Path]) -> ModuleSpec | None:
    """Where a module stands. Packages above it are not imported, as `importlib.util.find_spec` would."""
    top, *below = module.split(".")
    spec = PathFinder.find_spec(top, [str(folder) for folder in folders]) if folders else None
    if spec is None:
        try:
            spec = importlib.util.find_spec(top)
        except ValueError:  # a module without a spec, such as __main__
            return None
    for number in range(1, len(below) + 1):
        if spec is None or spec.submodule_search_locations is None:
            return None
        spec = PathFinder.find_spec(".".join([top, *below[:number]]), list(spec.submodule_search_locations))
    return spec


def _missing_in(spec: ModuleSpec, module: str, name: str) -> str | None:
    if spec.origin is None or not spec.origin.endswith(".py"):
        return None
    try:
        tree = ast.parse(Path(spec.origin).read_bytes(), spec.origin)
    except SyntaxError as error:
        return f"{spec.origin}:{error.lineno}: {error.msg}, give a module that Python can read"
    except (OSError, ValueError):
        return f"{spec.origin} cannot be read, give a module that Python can read"
    names: dict[str, bool] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and any(alias.name == "*" for alias in node.names):
            return None
        if isinstance(node, (ast.ClassDef, ast.FunctionDef)):
            names[node.name] = isinstance(node, ast.ClassDef)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            names |= {(alias.asname or alias.name).partition(".")[0]: False for alias in node.names}
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names[node.id] = False
    if name.partition(".")[0] in names or "__getattr__" in names:
        return None
    return _no_class(module, name, [found for found, is_class in names.items() if is_class])


def _classes(module: ModuleType) -> list[str]:
    return [name for name, value in vars(module).items() if isinstance(value, type)]


def _no_class(module: str, name: str, classes: Sequence[str]) -> str:
    public = [found for found in classes if not found.startswith("_")]
    return f"module {module} has no {name}, " + (f"it has {', '.join(public[:8])}" if public else "write a class in it")
