"""Compile plain functions over int64 columns, or leave them as Python when compilation is switched off.

The chain, the built-in policies and the block loop are written once, as plain functions over arrays.
`compiled` turns them into machine code with numba; with the environment variable `MARKETSIM_COMPILE=0`
they stay Python and give the same results, slowly, which is what coverage, debuggers and mutation tests
need.

Compiled code is cached on disk in a folder named by a hash of every compiled source file, because the
compiler's own cache does not notice that a function called from another file has changed.
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
import tempfile
from collections.abc import Callable
from functools import cache
from importlib.metadata import version
from pathlib import Path
from types import FunctionType
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable[..., Any])

COMPILING: bool = os.environ.get("MARKETSIM_COMPILE", "1") not in {"0", "no", "off", "false"}
"""True when functions are compiled; False when they run as plain Python."""

_PACKAGE = Path(__file__).resolve().parent.parent
_SOURCES = ("chain", "policies", "clock")
_IMPORT = re.compile(rb"^from marketsim\.(chain|policies|clock)(?:\.(\w+))? import (\([^)]*\)|[^\n]*)", re.MULTILINE)


@cache
def _imports_of(path: Path) -> frozenset[Path]:
    """Return the files of the compiled layers that a file imports, itself included, directly or not."""
    found = {path}
    waiting = [path]
    while waiting:
        for layer, module, names in _IMPORT.findall(waiting.pop().read_bytes()):
            folder = _PACKAGE / layer.decode()
            modules = [module.decode()] if module else re.findall(r"\w+", names.decode())
            for file in (folder / f"{name}.py" for name in modules):
                if file not in found and file.is_file():
                    found.add(file)
                    waiting.append(file)
    return frozenset(found)


@cache
def sources_hash(path: Path | None = None) -> str:
    """Return 12 hex digits that change with the compiler's version and with a source file or what it
    imports (default: every file)."""
    digest = hashlib.sha256(f"{version('numba')} {version('numpy')} {platform.python_version()}".encode())
    every = frozenset(file for folder in _SOURCES for file in (_PACKAGE / folder).glob("**/*.py"))
    for file in sorted(every if path is None else _imports_of(path)):
        digest.update(file.relative_to(_PACKAGE).as_posix().encode())
        digest.update(file.read_bytes())
    return digest.hexdigest()[:12]


@cache
def cache_folder() -> Path:
    """Return the folder of compiled code: `$MARKETSIM_CACHE`, else the user's cache folder, else a
    temporary one."""
    root = os.environ.get("MARKETSIM_CACHE")
    folder = Path(root) if root else Path(os.environ.get("XDG_CACHE_HOME", str(Path.home() / ".cache"))) / "marketsim"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if os.access(folder, os.W_OK):
            return folder
    except OSError:
        pass
    fallback = Path(tempfile.gettempdir()) / f"marketsim-{os.getuid()}"
    fallback.mkdir(parents=True, exist_ok=True)
    return fallback


def folder_of(path: Path) -> Path:
    """Return the folder of the compiled functions of one source file."""
    return cache_folder() / f"{path.stem}-{sources_hash(path)}"


def is_cache_cold() -> bool:
    """Return whether the block loop has yet to be compiled for this version of the sources."""
    loop = _PACKAGE / "clock" / "block_loop.py"
    return COMPILING and not any(folder_of(loop).glob("**/*.nbc"))


def _numba_options() -> dict[str, Any]:
    # Without reference counting the columns cost nothing to pass on (measured: 6 ns a message instead of
    # 280), and allocating in the chain becomes a compile error instead of a habit.
    # Nobody calls compiled functions by their C address, so that wrapper is not made.
    return {"cache": True, "error_model": "numpy", "_nrt": False, "no_cfunc_wrapper": True}


def _plain(kind: Any) -> Any:
    """Return int64 for a literal integer or a member of an enum, bool for a literal bool, any other
    type as it is."""
    from numba import types

    if isinstance(kind, types.IntEnumMember):
        return types.int64
    return types.unliteral(kind)


def _compile_once(dispatcher: Any) -> None:
    # numba compiles a function anew for each literal that some other compiled function passes to it (0,
    # 60, True, Source.GRANT), which doubled the compile time of the chain and gained nothing.
    template = dispatcher.get_call_template

    def plain_template(args: Any, kws: Any) -> Any:
        return template(
            tuple(_plain(kind) for kind in args), {name: _plain(kind) for name, kind in kws.items()}
        )

    dispatcher.get_call_template = plain_template


@cache
def _dispatcher_type() -> type[Any]:
    """Make the kind of compiled function that the chain is written in: machine code is made for what
    Python calls, in one piece.

    numba optimizes and emits every function together with all that it calls, again for each caller, and
    adds code that unpacks Python's arguments, which for eighteen arrays is larger than most functions:
    two minutes for the chain. Here a function called from compiled code only lends its intermediate
    form, and one called from Python is compiled for that on demand, and cached.
    """
    from numba.core import compiler
    from numba.core.codegen import JITCodeLibrary
    from numba.core.registry import CPUDispatcher

    class LentLibrary(JITCodeLibrary):  # type: ignore[misc]
        def _optimize_final_module(self) -> None:
            """Leave optimizing to the library that links this one."""

        def _finalize_final_module(self) -> None:
            self._finalize_dynamic_globals()
            self._finalized = True

        def get_pointer_to_function(self, name: str) -> int:
            return 0  # nothing was emitted

        @property
        def codegen(self) -> Any:
            return self

        def set_env(self, name: str, env: Any) -> None:
            """Set nothing: the library that links this one sets the environments in its own code."""

    class InnerDispatcher(CPUDispatcher):  # type: ignore[misc]
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self._compiler._compile_core = self._compile_to_lend

        def __call__(self, *args: Any) -> Any:
            entry = self.__dict__.get("entry")
            if entry is None:
                entry = self.__dict__["entry"] = _entry(self.py_func)
            return entry(*args)

        def _compile_to_lend(self, args: Any, return_type: Any) -> Any:
            target = self._compiler.targetdescr
            flags = compiler.Flags()
            target.options.parse_as_flags(flags, self._compiler.targetoptions)
            library = LentLibrary(target.target_context.codegen(), self.py_func.__qualname__)
            result = compiler.compile_extra(
                target.typing_context,
                target.target_context,
                self.py_func,
                args=args,
                return_type=return_type,
                flags=flags,
                locals=self._compiler.locals,
                library=library,
                pipeline_class=self._compiler.pipeline_class,
            )
            if result.typing_error is not None:
                raise result.typing_error
            return result

    return InnerDispatcher


def _entry(function: Any) -> Any:
    import numba

    numba.config.CACHE_DIR = str(folder_of(Path(function.__code__.co_filename)))
    # Another name, so that the cache on disk does not take one form of the function for the other.
    copy = FunctionType(
        function.__code__,
        function.__globals__,
        function.__name__,
        function.__defaults__,
        function.__closure__,
    )
    copy.__qualname__ = f"{function.__qualname__}__entry"
    copy.__module__ = function.__module__
    return numba.njit(**_numba_options())(copy)


def compiled(function: F) -> F:
    """Compile `function` for int64 arrays and scalars, cached on disk; return it unchanged when
    compilation is off."""
    if not COMPILING:
        return function
    import numba

    # read when caching is enabled below, so that each file has its own
    numba.config.CACHE_DIR = str(folder_of(Path(function.__code__.co_filename)))
    options = _numba_options()
    options.pop("cache")
    options |= {"nopython": True, "boundscheck": None, "no_cpython_wrapper": True}
    dispatcher = _dispatcher_type()(py_func=function, locals={}, targetoptions=options)
    _compile_once(dispatcher)
    return dispatcher  # type: ignore[no-any-return]
