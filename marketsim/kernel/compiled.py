"""Compile plain functions over int64 columns, or leave them as Python when compilation is switched off.

The chain, the built-in policies and the block loop are written once, as plain functions over arrays.
`compiled` turns them into machine code with numba; with the environment variable `MARKETSIM_COMPILE=0`
they stay Python and give the same results, slowly, which is what coverage, debuggers and mutation tests
need. With `MARKETSIM_COMPILE=checked` the same code is compiled with bounds: an index outside its table raises
IndexError instead of touching other memory.

What Python calls is compiled on demand and kept on disk, in a folder named by a hash of the source file and of
all compiled ones that it imports. A process that finds its functions there never imports the compiler.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from ctypes import c_ssize_t
from functools import cache, partial, update_wrapper
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from threading import RLock
from typing import Any, TypeVar, cast

import numpy as np

from marketsim.kernel import code_store, shipped_code
from marketsim.kernel.codes import CodeType
from marketsim.kernel.modes import CHECKED, COMPILING, HAS_COMPILER, PORTABLE
from marketsim.kernel.rows import Row

F = TypeVar("F", bound=Callable[..., Any])

_INT64 = np.dtype(np.int64)

_PACKAGE = Path(__file__).resolve().parent.parent
_SOURCES = shipped_code.COMPILED
_MAKERS = tuple(
    _PACKAGE / "kernel" / f"{name}.py"
    for name in ("codes", "compiled", "compiler", "intrinsics", "machine_code", "modes", "rows", "shortcuts", "table_set_numba")
)
_IMPORT = re.compile(rb"^from marketsim\.([\w.]+) import (\([^)]*\)|[^\n]*)", re.MULTILINE)


@cache
def _imports_of(path: Path) -> frozenset[Path]:
    """Return the files of the compiled layers that a file imports, itself included, directly or not."""
    found = {path}
    waiting = [path]
    while waiting:
        for module, names in _IMPORT.findall(waiting.pop().read_bytes()):
            place = _PACKAGE.joinpath(*module.decode().split("."))
            if place.relative_to(_PACKAGE).parts[0] not in _SOURCES:
                continue
            for file in (place.with_suffix(".py"), *(place / f"{name}.py" for name in re.findall(r"\w+", names.decode()))):
                if file not in found and file.is_file():
                    found.add(file)
                    waiting.append(file)
    return frozenset(found)


@cache
def sources_hash(path: Path | None = None) -> str:
    """Return 12 hex digits that change with the compiler's version and with a source file or what it
    imports (default: every file)."""
    digest = hashlib.sha256(f"{_version_of('numba')} {_version_of('numpy')} {platform.python_version()}".encode())
    every = frozenset(file for folder in _SOURCES for file in (_PACKAGE / folder).glob("**/*.py"))
    for file in sorted(every if path is None else _imports_of(path).union(_MAKERS)):
        digest.update(os.path.relpath(file, _PACKAGE).encode())
        digest.update(file.read_bytes())
    return digest.hexdigest()[:12]


def _version_of(package: str) -> str:
    with suppress(PackageNotFoundError):
        return version(package)
    return "none"


@cache
def folder_of(path: Path) -> str:
    """Return the name of the folder of the compiled functions of one source file."""
    return f"{path.stem}-{sources_hash(path)}{'-checked' * CHECKED}{'-portable' * PORTABLE}"


def is_cache_cold() -> bool:
    """Return whether the block loop has yet to be compiled for this version of the sources."""
    if not COMPILING or _ships():
        return False
    from marketsim.kernel.machine_code import machine

    return not code_store.has(folder_of(_PACKAGE / "market" / "loop.py"), "advance-", f".{machine()}")


_LOCK = RLock()
_TEACHERS: list[Callable[[], None]] = []


def when_compiling(teach: Callable[[], None]) -> None:
    """Have `teach` called before anything is compiled in this process; never when all that runs is on disk."""
    _TEACHERS.append(teach)


class NoEntryError(LookupError):
    """A wheel without this entry, and no compiler: the function runs as Python over the same tables."""


class Compiled:
    """A function that runs as machine code; called from Python like the function itself.

    Tables must be C-contiguous int64 arrays (TypeError), integers fit in 64 bits (OverflowError).
    """

    py_func: Callable[..., Any]
    """The function as Python."""
    __name__: str

    def __init__(self, function: Callable[..., Any], inline: bool = False) -> None:
        update_wrapper(self, function)
        self._inline = inline
        self.py_func = function
        self._arguments = [name for name in function.__annotations__ if name != "return"]
        self.count = len(self._arguments)
        self._entries: dict[tuple[str, ...], Callable[..., Any]] = {}
        self._last: tuple[Callable[..., Any], list[type[Any] | tuple[int, int] | None]] | None = None
        """The entry called last, and what `_shape` says of its arguments."""
        self._parameters: list[tuple[str, type[Row] | None]] | None = None
        """The annotation of each argument, and the row class that it names."""
        self._dispatcher: Any = None

    def __call__(self, *arguments: Any) -> Any:
        """Run the machine code, made or loaded when this is first called."""
        if self._last is not None and len(arguments) == self.count:
            entry, shapes = self._last
            words: list[Any] = []
            for value, shape in zip(arguments, shapes, strict=True):
                if shape is None:
                    if isinstance(value, np.ndarray):
                        break
                    words.append(value)
                elif type(value) is shape:
                    words.append(value.address)
                elif isinstance(shape, tuple) and isinstance(value, np.ndarray):
                    ndim, width = shape
                    size = value.shape
                    if len(size) != ndim or size[-1] != width >= 0 or value.dtype is not _INT64 or not value.flags.c_contiguous:
                        break
                    words += (address_of(value), *size)
                else:
                    break
            else:
                return entry(*words)
        kinds = self.kinds(arguments)
        try:
            entry = self._entries.get(kinds) or self.entry(arguments)
        except NoEntryError:
            return self.py_func(*arguments)
        words = []
        for value in arguments:
            words += _words(value)
        self._last = entry, [_shape(value, schema) for value, (_, schema) in zip(arguments, self._parameters or (), strict=True)]
        return entry(*words)

    def entry(self, arguments: tuple[Any, ...]) -> Callable[..., Any]:
        """Return the entry for such arguments: it takes table sets as their address, arrays as address and shape."""
        kinds = self.kinds(arguments)
        entry = self._entries.get(kinds)
        if entry is None:
            with _LOCK:
                entry = self._entries[kinds] = _load(self, kinds) or _make(self, kinds, arguments)
        return entry

    def kinds(self, arguments: tuple[Any, ...]) -> tuple[str, ...]:
        """Return what each argument is: a set of tables, an array, a row, a truth or a number. Raises TypeError for too few or too many."""
        if len(arguments) != self.count:
            raise TypeError(f"{self.__name__} takes {self.count} arguments, {len(arguments)} were given")
        if self._parameters is None:
            annotations = self.py_func.__annotations__
            self._parameters = [(annotations[name], self.schema_of(name)) for name in self._arguments]
        return tuple([_kind(value, *about) for value, about in zip(arguments, self._parameters, strict=True)])

    def schema_of(self, argument: str) -> type[Row] | None:
        """Return the row class that an argument is annotated with, if it is: `Order` for a row, `Rows[Order]` for a table."""
        annotation = self.py_func.__annotations__[argument]
        found = self.py_func.__globals__.get(annotation.removeprefix("Rows[").removesuffix("]"))
        return found if isinstance(found, type) and issubclass(found, Row) else None

    @property
    def schemas(self) -> tuple[type[Row] | None, ...]:
        """The row class of each argument that is a row."""
        return tuple(self.schema_of(name) for name in self._arguments)

    @property
    def dispatcher(self) -> Any:
        """What the compiler sees of this function."""
        if self._dispatcher is None:
            from marketsim.kernel.compiler import Inner

            self._dispatcher = Inner(self.py_func, self._inline)
        return self._dispatcher

    @property
    def _numba_type_(self) -> Any:
        return self.dispatcher._numba_type_


def _kind(value: Any, annotation: str, schema: type[Row] | None) -> str:
    if isinstance(value, np.ndarray):
        if schema is not None and value.shape[-1] != schema.width:
            raise TypeError(f"array of shape {value.shape}, expected {schema.width} columns of {schema.__name__}")
        return f"{schema.__name__ if schema else 'Table'}{value.ndim}"
    if hasattr(value, "address"):
        return f"Set{type(value).__name__}"
    return "bool" if annotation == "bool" else "int"


def _shape(value: Any, schema: type[Row] | None) -> type[Any] | tuple[int, int] | None:
    """What other arguments of the same kind have in common: table sets their class, arrays the dimensions and their row class's columns, -1
    where there is none, numbers nothing."""
    if isinstance(value, np.ndarray):
        return value.ndim, -1 if schema is None else schema.width
    return type(value) if hasattr(value, "address") else None


_HEAD = object.__basicsize__
"""Bytes of what every object begins with. An array goes on with where its numbers lie: the first field of numpy's PyArrayObject."""
_word = c_ssize_t.from_address


def _address_in(array: np.ndarray[Any, Any]) -> int:
    return _word(id(array) + _HEAD).value


def _address_by_numpy(array: np.ndarray[Any, Any]) -> int:
    return int(array.ctypes.data)


_PROBE = np.zeros((3, 2), np.int64)[1:]
address_of: Callable[[np.ndarray[Any, Any]], int] = (
    _address_in if sys.implementation.name == "cpython" and _address_in(_PROBE) == _PROBE.ctypes.data else _address_by_numpy
)
"""Return where an array lies in memory: `array.ctypes.data`, which takes ten times as long."""


def _words(value: Any) -> list[Any]:
    if isinstance(value, np.ndarray):
        if value.dtype != np.int64 or not value.flags.c_contiguous:
            raise TypeError(f"{value.dtype} array of shape {value.shape}, expected contiguous int64")
        return [address_of(value), *value.shape]
    return [value.address] if hasattr(value, "address") else [value]


def _file_of(function: Compiled, kinds: tuple[str, ...]) -> tuple[str, str]:
    """Return the names of the folder and the file in which an entry is kept."""
    from marketsim.kernel.machine_code import machine

    return folder_of(Path(function.py_func.__code__.co_filename)), f"{function.__name__}-{'-'.join(kinds)}.{machine()}"


def _ships() -> bool:
    """Whether this process uses the code of a wheel. A checked build and one for a wheel compile their own."""
    return not CHECKED and not PORTABLE and shipped_code.why_not() is None


def _shipped(function: Compiled, kinds: tuple[str, ...]) -> Callable[..., Any] | None:
    found = shipped_code.entry_of(entry_name(function.__module__, function.__name__, kinds)) if _ships() else None
    if found is None:
        return None
    from marketsim.kernel.machine_code import builtin

    address, symbol, enum = found
    return _answering(enum, builtin(address, symbol))


def entry_name(module: str, function: str, kinds: Iterable[str]) -> str:
    """Return what an entry is called in the library of a wheel."""
    return f"{module}.{function}-{'-'.join(kinds)}"


def _load(function: Compiled, kinds: tuple[str, ...]) -> Callable[..., Any] | None:
    """Return the entry of a function as the wheel has it or it is kept on disk, None when there is none that can be used."""
    shipped = _shipped(function, kinds)
    if shipped is not None:
        return shipped
    if not HAS_COMPILER:
        raise NoEntryError(entry_name(function.__module__, function.__name__, kinds))
    try:
        return _entry_in(code_store.read(*_file_of(function, kinds)))
    except (OSError, ValueError):  # not there, or not what was written
        return None


def _kept(about: Mapping[str, Any], code: bytes) -> bytes:
    """Return the contents of a file of the cache: a hash of all that follows, what the code is, the code."""
    rest = json.dumps(about).encode() + b"\n" + code
    return hashlib.sha256(rest).hexdigest().encode() + b"\n" + rest


def _entry_in(kept: bytes) -> Callable[..., Any]:
    """Return the entry in the contents of a file of the cache; raises ValueError for anything else."""
    from marketsim.kernel.machine_code import load

    digest, rest = kept.split(b"\n", 1)
    if hashlib.sha256(rest).hexdigest().encode() != digest:
        raise ValueError("damaged")
    head, code = rest.split(b"\n", 1)
    about = json.loads(head)
    entry = load(code, about["symbol"])
    if CHECKED:
        entry = partial(_in_bounds, about["symbol"], entry)
    return _answering(about["enum"], entry)


def _answering(enum: list[str] | None, entry: Callable[..., Any]) -> Callable[..., Any]:
    if enum is None:
        return entry
    module, name = enum
    return partial(_named, getattr(import_module(module), name), entry)


def _in_bounds(symbol: str, entry: Callable[..., Any], *words: Any) -> Any:
    try:
        return entry(*words)
    except SystemError:
        raise IndexError(f"{symbol}: an index lies outside its table") from None


def _named(enum: Callable[[int], Any], entry: Callable[..., Any], *words: Any) -> Any:
    return enum(entry(*words))


def _make(function: Compiled, kinds: tuple[str, ...], arguments: tuple[Any, ...]) -> Callable[..., Any]:
    """Compile a function, keep it on disk if there is a place for it, and return its entry."""
    from marketsim.kernel.compiler import emit, type_of

    while _TEACHERS:
        _TEACHERS.pop(0)()
    symbol = f"{function.__module__}.{function.__name__}"
    if PORTABLE:  # all entries lie in one library
        symbol = entry_name(function.__module__, function.__name__, kinds)
    types = tuple(type_of(kind, value, schema) for kind, value, schema in zip(kinds, arguments, function.schemas, strict=True))
    code = emit(function.dispatcher, types, symbol)
    enum = function.py_func.__globals__.get(function.py_func.__annotations__.get("return", ""))
    kept = _kept({"symbol": symbol, "enum": [enum.__module__, enum.__qualname__] if isinstance(enum, CodeType) else None}, code)
    with suppress(OSError):
        code_store.keep(*_file_of(function, kinds), kept)
    return _entry_in(kept)


def compiled(function: F) -> F:
    """Compile `function` for int64 arrays and scalars, kept on disk; return it unchanged when compilation is off."""
    return cast(F, Compiled(function)) if COMPILING else function


def compiled_inline(function: F) -> F:
    """Compile like `compiled`, and put the machine code into every caller's: for what runs once a bid, where a call costs as much as the
    work.
    """
    return cast(F, Compiled(function, inline=True)) if COMPILING else function


def bound(function: Callable[..., Any], *tables: Any) -> Callable[..., Any]:
    """Return `function` with its first arguments, table sets and arrays, given; what remains are numbers.

    For loops that call it often: a call costs no more than one of Python's builtins.
    """
    if not isinstance(function, Compiled):
        return partial(function, *tables)
    arguments = (*tables, *[0] * (function.count - len(tables)))
    words = [word for table in tables for word in _words(table)]
    try:
        entry = partial(function.entry(arguments), *words)
    except NoEntryError:
        return partial(function.py_func, *tables)
    entry.__dict__["tables"] = tables  # for as long as somebody may call it
    return entry
