"""Imports users' modules from the folders of scenarios, so that folders with modules of one name do not meet.

Python keeps one module a name for a whole process. Two scenarios that each have a `learner.py` beside them, run one after the other, would
both get the first; and a file that is changed between two runs of one notebook would still run as it was. Modules that were imported from a
folder are therefore remembered with it, set aside while another folder's are asked for, and read again once a file of theirs has changed.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.machinery import PathFinder
from pathlib import Path
from types import ModuleType

from marketsim.strategies import users_code

_Stamp = tuple[int, int]


@dataclass
class _Folder:
    """The modules that were imported from one folder, and how long and how old their files were then."""

    modules: dict[str, ModuleType] = field(default_factory=dict)
    stamps: dict[Path, _Stamp] = field(default_factory=dict)

    def is_stale(self) -> bool:
        return any(_stamp(file) != stamp for file, stamp in self.stamps.items())


_FOLDERS: dict[Path, _Folder] = {}


def import_from(name: str, folders: Sequence[Path]) -> ModuleType:
    """Return the module `name`, from the first of `folders` that has it, else from the import path.

    What it imports in turn is looked for in the same places. Raises what the module raises, and ImportError where there is none, or where
    the file's name is that of a module of Python's own or of an installed package that is in use already.
    """
    places = [folder.resolve() for folder in folders]
    _set_aside(places)
    top = name.partition(".")[0]
    if home_of(top, places) is not None:
        _make_way(top, places)
    before, known = list(sys.path), set(sys.modules)
    sys.path[:0] = [str(place) for place in places]
    importlib.invalidate_caches()
    try:
        return importlib.import_module(name)
    finally:
        sys.path[:] = before
        _remember(places, known)


def is_loaded_from(name: str, folders: Sequence[Path]) -> bool:
    """Return whether `sys.modules` has what `import_from` would answer, unchanged since it was read."""
    places = [folder.resolve() for folder in folders]
    loaded = sys.modules.get(name)
    if loaded is None:
        return False
    home = home_of(name.partition(".")[0], places)
    if home is None:
        return not any(name in one.modules for one in _FOLDERS.values())
    return _is_of(sys.modules.get(name.partition(".")[0]), home) and not (home in _FOLDERS and _FOLDERS[home].is_stale())


def home_of(top: str, places: Sequence[Path]) -> Path | None:
    """The first of some folders that holds a module or package of that name."""
    return next((place for place in places if PathFinder.find_spec(top, [str(place)]) is not None), None)


def _set_aside(places: Sequence[Path]) -> None:
    path = [Path(part).resolve() for part in sys.path]
    for place, folder in _FOLDERS.items():
        stale = place in places and folder.is_stale()
        if place in places and not stale:
            continue
        for name, module in folder.modules.items():
            home = home_of(name.partition(".")[0], [*places, *path])
            found_anyway = home == place or (home is None and not places)
            if sys.modules.get(name) is module and (stale or not found_anyway):
                del sys.modules[name]
        if stale:
            for file in folder.stamps:  # Python compares whole seconds, and would take two writes within one for the same
                Path(importlib.util.cache_from_source(str(file))).unlink(missing_ok=True)
            folder.modules.clear()
            folder.stamps.clear()
    for place in reversed(places):
        if place in _FOLDERS:
            sys.modules.update(_FOLDERS[place].modules)


def _make_way(top: str, places: Sequence[Path]) -> None:
    """Take a module of that name out that came from elsewhere: a notebook's own import, another folder by way of `sys.path`."""
    loaded = sys.modules.get(top)
    home = home_of(top, places)
    if loaded is None or home is None or _is_of(loaded, home):
        return
    file = getattr(loaded, "__file__", None)
    if top in sys.stdlib_module_names or (file is not None and users_code.is_installed(file)):
        raise ImportError(f"{top} is also the name of a module of Python or of an installed package: give the file in {home} another name")
    for name in [name for name in sys.modules if name == top or name.startswith(f"{top}.")]:
        del sys.modules[name]


def _remember(places: Sequence[Path], known: set[str]) -> None:
    tops = {name.partition(".")[0] for name in known} - {name.partition(".")[0] for folder in _FOLDERS.values() for name in folder.modules}
    for name in sorted(set(sys.modules) - known):
        if name.partition(".")[0] in tops:  # a part of what was there before, such as marketsim's own
            continue
        module = sys.modules[name]
        file = getattr(module, "__file__", None)
        home = next((place for place in places if _is_in(module, place)), None)
        if home is None or file is None or users_code.is_installed(file):
            continue
        folder = _FOLDERS.setdefault(home, _Folder())
        folder.modules[name] = module
        folder.stamps[Path(file)] = _stamp(Path(file))


def _is_of(module: ModuleType | None, home: Path) -> bool:
    """Whether a module of the top level is the one that a folder holds."""
    spec = PathFinder.find_spec(module.__name__, [str(home)]) if module is not None else None
    if spec is None or module is None:
        return False
    if spec.origin is None:
        return list(getattr(module, "__path__", ())) == list(spec.submodule_search_locations or ())
    return getattr(module, "__file__", None) is not None and Path(str(module.__file__)).resolve() == Path(spec.origin).resolve()


def _is_in(module: ModuleType, place: Path) -> bool:
    file = getattr(module, "__file__", None)
    if file is None:
        return any(Path(part).resolve().is_relative_to(place) for part in getattr(module, "__path__", ()))
    return Path(file).resolve().is_relative_to(place)


def _stamp(file: Path) -> _Stamp:
    """Size and date; a date alone would miss two writes within its resolution, as would the cache of compiled files."""
    try:
        status = file.stat()
    except OSError:
        return (0, 0)
    return status.st_size, status.st_mtime_ns
