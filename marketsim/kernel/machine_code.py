"""Load object code that a compiled function was emitted to, and hand out its entry as a builtin of Python.

Nothing of the compiler is needed for this: an entry converts its arguments itself (`marketsim.kernel.compiler` writes it so), and a call
costs what a call of any builtin costs. Importing the compiler and setting up its target takes about as long as a short run.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
from collections.abc import Callable
from functools import cache
from typing import Any

METH_FASTCALL = 0x0080
"""Python's mark of a builtin that takes an array of arguments and their number."""

_KEPT: list[Any] = []
"""Engines that own loaded code and the definitions of builtins over it: both live as long as the process."""


class _Definition(ctypes.Structure):
    """PyMethodDef of Python's C interface."""

    _fields_ = (("name", ctypes.c_char_p), ("code", ctypes.c_void_p), ("flags", ctypes.c_int), ("doc", ctypes.c_char_p))


NO_CODE = frozenset({"NUMBA_NUM_THREADS", "NUMBA_THREADING_LAYER", "NUMBA_CACHE_DIR"})
"""Switches of the compiler that make no other code: a worker of a sweep, which has one thread, finds what this process compiled."""


@cache
def machine() -> str:
    """Return 12 hex digits that stand for the processor that code is made for, and for what users tell the compiler to make of it."""
    from llvmlite import binding

    features = binding.get_host_cpu_features()
    parts = [binding.get_process_triple(), binding.get_host_cpu_name(), features.flatten()]
    parts += [f"{name}={value}" for name, value in sorted(os.environ.items()) if name.startswith("NUMBA_") and name not in NO_CODE]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12]


@cache
def _target_machine() -> Any:
    from llvmlite import binding

    binding.initialize_native_target()
    binding.initialize_native_asmprinter()
    return binding.Target.from_default_triple().create_target_machine(codemodel="jitdefault", jit=True)


def load(code: bytes, symbol: str) -> Callable[..., Any]:
    """Return the entry of that name in an object file as a builtin.

    Raises RuntimeError when the code is no object file or has no such entry.
    """
    from llvmlite import binding

    machine_of = _target_machine()
    engine = binding.create_mcjit_compiler(binding.parse_assembly(""), machine_of)
    engine.add_object_file(binding.ObjectFileRef.from_data(code))
    engine.finalize_object()
    address = engine.get_function_address(symbol)
    if not address:
        raise RuntimeError(f"no entry {symbol}")
    return builtin(address, symbol, engine)


def builtin(address: int, symbol: str, owner: Any = None) -> Callable[..., Any]:
    """Return the entry at an address as a builtin; `owner` of the code is kept as long as the process."""
    definition = _Definition(symbol.encode(), address, METH_FASTCALL, None)
    make = ctypes.pythonapi.PyCFunction_NewEx
    make.restype = ctypes.py_object
    make.argtypes = (ctypes.POINTER(_Definition), ctypes.c_void_p, ctypes.c_void_p)
    entry: Callable[..., Any] = make(ctypes.byref(definition), None, None)
    _KEPT.append((owner, definition))
    return entry
