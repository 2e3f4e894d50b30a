"""Compile functions over int64 tables with numba and emit them as object code with an entry that Python can call.

numba optimizes and emits every function together with all that it calls, again for each caller, and adds code that unpacks Python's
arguments, which is larger than most functions: two minutes for the chain. Here a function called from compiled code only lends its
intermediate form, and one called from Python is optimized and emitted for that on demand.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import numpy as np
from llvmlite import binding, ir
from numba import types
from numba.core import cgutils, compiler
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler_lock import global_compiler_lock
from numba.core.registry import CPUDispatcher
from numba.np import arrayobj
from numba.np.arrayobj import populate_array

from marketsim.kernel.modes import CHECKED, PORTABLE
from marketsim.kernel.rows import Row
from marketsim.kernel.shipped_code import LEVEL
from marketsim.kernel.shortcuts import Pipeline, shortcuts
from marketsim.kernel.table_set_numba import TableType

OPTIONS: dict[str, Any] = {
    # Without reference counting the columns cost nothing to pass on (measured: 6 ns a message instead of
    # 280), and allocating in the chain becomes a compile error instead of a habit.
    "_nrt": False,
    "error_model": "numpy",
    "nopython": True,
    "boundscheck": CHECKED,
    # Entries unpack Python's arguments, and nobody calls compiled functions by their C address.
    "no_cpython_wrapper": True,
    "no_cfunc_wrapper": True,
}
INT32, INT64, DOUBLE = ir.IntType(32), ir.IntType(64), ir.DoubleType()
OBJECT = ir.IntType(8).as_pointer()
ITEM = 8


@cache
def _portable_machine() -> Any:
    """What code for a wheel is made for: it can be loaded anywhere, and runs on every processor of its level."""
    target = binding.Target.from_triple(binding.get_process_triple())
    return target.create_target_machine(cpu=LEVEL, features="", opt=3, reloc="pic", codemodel="small")


@cache
def _function_passes(codegen: Any) -> tuple[Any, Any]:
    found: tuple[Any, Any] = codegen._function_pass_manager()
    return found


class _LentLibrary(JITCodeLibrary):  # type: ignore[misc]
    """Code that another library links, optimizes and emits."""

    is_ladder = False
    """True for a function that answers with a Status."""

    def add_ir_module(self, module: Any) -> None:
        if self.is_ladder:
            expect_no_refusal(module)
        super().add_ir_module(module)

    def _optimize_functions(self, module: Any) -> None:
        """Simplify each function of a module before others link it: passes are made once for all of them."""
        module.data_layout = self._codegen._data_layout
        passes, builder = _function_passes(self._codegen)
        for function in module.functions:
            if not function.is_declaration:
                passes.run(function, builder)

    def finalize(self) -> None:
        """End the library with its own function alone. What it calls is linked once, into what is emitted: linked here, and again into
        whoever calls this, every function would be copied and verified as often as there are callers above it.
        """
        self._raise_if_finalized()
        self._finalize_dynamic_globals()
        self._finalized = True

    def with_callees(self) -> list[Any]:
        """Return this library and all that it calls, directly or not, each after one that calls it: so the linker takes it."""
        found: dict[Any, None] = {}
        waiting: list[Any] = [self]
        while waiting:
            library = waiting.pop()
            if library not in found:
                found[library] = None
                if isinstance(library, _LentLibrary):
                    waiting += reversed(library._linking_libraries)
        return list(found)

    def get_pointer_to_function(self, name: str) -> int:
        return 0  # nothing was emitted

    @property
    def codegen(self) -> Any:
        return self

    def set_env(self, name: str, env: Any) -> None:
        """Set nothing: the library that links this one has the environments in its own code."""


def expect_no_refusal(module: ir.Module) -> None:
    """Mark the steps of a ladder: the branch that returns a number other than 0 (Status.Ok) is hardly ever taken, so that refusals are kept
    out of the way of what succeeds.
    """
    for function in module.functions:
        for block in function.blocks:
            step = block.terminator
            if isinstance(step, ir.ConditionalBranch):
                refuses = [_refuses(function, target) for target in step.operands[1:]]
                if refuses[0] != refuses[1]:
                    step.set_weights([1, 2000] if refuses[0] else [2000, 1])


def _refuses(function: ir.Function, block: ir.Block) -> bool:
    """Return whether a block ends the function with a number other than 0."""
    if not isinstance(block.terminator, ir.Ret):
        return False
    returned = [each.operands[0] for each in block.instructions if isinstance(each, ir.StoreInstr) and each.operands[1] is function.args[0]]
    return any(isinstance(value, ir.Constant) and value.constant not in (0, None, ir.Undefined) for value in returned)


class _EmittedLibrary(JITCodeLibrary):  # type: ignore[misc]
    """Code that becomes an object file; this process loads it from there like any other."""

    def _optimize_final_module(self) -> None:
        # Nobody else calls what is linked in: what is inlined everywhere need not be kept, what is called once is inlined.
        for function in self._final_module.functions:
            if not function.is_declaration and function.name != self.name:
                function.linkage = "internal"
        # numba has a cheaper round before this one, so that what counts references comes to lie side by side; nothing here counts any.
        passes, builder = self._codegen._module_pass_manager()
        passes.run(self._final_module, builder)

    def _finalize_final_module(self) -> None:
        self._finalize_dynamic_globals()
        self._verify_declare_only_symbols()
        machine = _portable_machine() if PORTABLE else self._codegen._tm
        self.code: bytes = machine.emit_object(self._final_module)
        self._finalized = True


@contextmanager
def _no_garbage() -> Iterator[None]:
    """While it lasts, nobody looks for objects that refer to each other: the compiler makes millions, and looking took a twelfth of the
    time. What it leaves is found afterwards."""
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()


class Inner(CPUDispatcher):  # type: ignore[misc]
    """What compiled code sees of a compiled function."""

    def __init__(self, function: Any, inline: bool) -> None:
        super().__init__(py_func=function, locals={}, targetoptions=OPTIONS | {"forceinline": inline})
        self._compiler._compile_core = self._compile_to_lend

    def get_call_template(self, args: Any, kws: Any) -> Any:
        """Return the template of a call; of arguments only the plain type counts.

        numba compiles a function anew for each literal that some other compiled function passes to it (0, 60, True), which doubled the
        compile time of the chain and gained nothing.
        """
        plain = types.unliteral
        return super().get_call_template(tuple(plain(kind) for kind in args), {name: plain(kind) for name, kind in kws.items()})

    def compile(self, kinds: tuple[Any, ...]) -> Any:
        """Compile for these argument types, unless that is done: without numba's cache on disk, and its clocks around each function."""
        found = self.overloads.get(kinds)
        if found is None:
            found = self.overloads[kinds] = self._compiler.compile(kinds, None)
        return found.entry_point

    def _compile_to_lend(self, args: Any, return_type: Any) -> Any:
        target = self._compiler.targetdescr
        flags = compiler.Flags()
        target.options.parse_as_flags(flags, self._compiler.targetoptions)
        library = _LentLibrary(target.target_context.codegen(), self.py_func.__qualname__)
        library.is_ladder = self.py_func.__annotations__.get("return") == "Status"
        with _plain_tables():
            result = compiler.compile_extra(
                target.typing_context,
                target.target_context,
                self.py_func,
                args=args,
                return_type=return_type,
                flags=flags,
                locals=self._compiler.locals,
                library=library,
                pipeline_class=Pipeline,
            )
        if result.typing_error is not None:
            raise result.typing_error
        return result


@contextmanager
def _plain_tables() -> Iterator[None]:
    """While it lasts, indices are compiled without Python's meaning of negative numbers: five instructions for each row that is read.

    No compiled function uses a negative index: a test runs them as plain Python and looks at every one.
    """
    usual = arrayobj.fix_integer_index

    def from_zero(context: Any, builder: Any, kind: Any, index: Any, _size: Any) -> Any:
        return context.cast(builder, index, kind, types.intp if kind.signed else types.uintp)

    arrayobj.fix_integer_index = from_zero
    try:
        yield
    finally:
        arrayobj.fix_integer_index = usual


def type_of(kind: str, value: Any, schema: type[Row] | None = None) -> Any:
    """Return the compiler's type of an argument of a kind (see `marketsim.kernel.compiled`), a row of this class where there is one."""
    from numba import typeof

    if isinstance(value, np.ndarray) and schema is not None:
        return TableType(types.int64, value.ndim, schema)
    if kind == "int":
        return types.int64
    if kind == "bool":
        return types.boolean
    if kind.startswith("Table"):
        return types.Array(types.int64, value.ndim, "C")
    return typeof(value)


@global_compiler_lock  # type: ignore[untyped-decorator]
def emit(dispatcher: Inner, argument_types: tuple[Any, ...], symbol: str) -> bytes:
    """Compile a function for these argument types; return object code whose entry has the given name.

    The entry is a builtin of Python: a table set is its address, an array its address and shape, anything else an integer or a truth.
    Raises TypeError for a function that returns what is no number, truth, pair of numbers or nothing.
    """
    with _no_garbage(), shortcuts():
        return _emitted(dispatcher, argument_types, symbol)


def _emitted(dispatcher: Inner, argument_types: tuple[Any, ...], symbol: str) -> bytes:
    dispatcher.compile(argument_types)
    result = dispatcher.overloads[argument_types]
    context = dispatcher.targetctx
    library = _EmittedLibrary(context.codegen(), symbol)
    for lent in result._asdict()["library"].with_callees():
        library.add_linking_library(lent)
    library.add_ir_module(_entry(context, result, symbol))
    library.finalize()
    return library.code


def _entry(context: Any, result: Any, symbol: str) -> ir.Module:
    """Write the function that Python calls: `PyObject *entry(PyObject *self, PyObject *const *arguments, Py_ssize_t count)`."""
    module = context.create_module(f"entry of {symbol}")
    entry = ir.Function(module, ir.FunctionType(OBJECT, [OBJECT, OBJECT.as_pointer(), INT64]), symbol)
    builder = ir.IRBuilder(entry.append_basic_block("entry"))
    function = ir.Function(
        module, context.call_conv.get_function_type(result.fndesc.restype, result.fndesc.argtypes), result.fndesc.llvm_func_name
    )
    call = _Calls(module, builder)
    counts = [1 + kind.ndim if isinstance(kind, types.Array) else 1 for kind in result.fndesc.argtypes]
    with builder.if_then(builder.icmp_signed("!=", entry.args[2], INT64(sum(counts))), likely=False):
        call("PyErr_BadArgument", INT32, [])
        builder.ret(OBJECT(None))
    values, at = [], 0
    for kind, count in zip(result.fndesc.argtypes, counts, strict=True):
        words = [builder.load(builder.gep(entry.args[1], [INT64(at + more)])) for more in range(count)]
        values.append(_argument(context, builder, call, kind, words))
        at += count
    status, value = context.call_conv.call_function(builder, function, result.fndesc.restype, result.fndesc.argtypes, values)
    with builder.if_then(status.is_error, likely=False):
        call("PyErr_BadInternalCall", ir.VoidType(), [])
        builder.ret(OBJECT(None))
    builder.ret(_returned(builder, call, result.fndesc.restype, value))
    return module


class _Calls:
    """Calls of Python's C interface out of a module under construction."""

    def __init__(self, module: Any, builder: Any) -> None:
        self._module = module
        self._builder = builder

    def __call__(self, name: str, returns: Any, arguments: list[Any], var_arg: bool = False) -> Any:
        kinds = [arguments[0].type] if var_arg else [argument.type for argument in arguments]
        function = cgutils.get_or_insert_function(self._module, ir.FunctionType(returns, kinds, var_arg=var_arg), name)
        return self._builder.call(function, arguments)


def _argument(context: Any, builder: Any, call: _Calls, kind: Any, words: list[Any]) -> Any:
    if kind == types.boolean:
        truth = call("PyObject_IsTrue", INT32, words)
        with builder.if_then(builder.icmp_signed("<", truth, INT32(0)), likely=False):
            builder.ret(OBJECT(None))
        return builder.icmp_signed("!=", truth, INT32(0))
    numbers = []
    for word in words:
        number = call("PyLong_AsLongLong", INT64, [word])
        with builder.if_then(builder.icmp_signed("==", number, INT64(-1)), likely=False):
            raised = call("PyErr_Occurred", OBJECT, [])
            with builder.if_then(cgutils.is_not_null(builder, raised), likely=False):
                builder.ret(OBJECT(None))
        numbers.append(number)
    if isinstance(kind, types.Array):
        shape = numbers[1:]
        strides = [INT64(ITEM)] if kind.ndim == 1 else [builder.mul(shape[1], INT64(ITEM)), INT64(ITEM)]
        array = context.make_array(kind)(context, builder)
        data = builder.inttoptr(numbers[0], INT64.as_pointer())
        populate_array(array, data=data, shape=shape, strides=strides, itemsize=INT64(ITEM), meminfo=None)
        return array._getvalue()
    if kind == types.int64:
        return numbers[0]
    return builder.inttoptr(numbers[0], context.get_value_type(kind))


def _returned(builder: Any, call: _Calls, kind: Any, value: Any) -> Any:
    """Make the Python object of what the function returned."""
    if kind == types.boolean:
        return call("PyBool_FromLong", OBJECT, [builder.zext(value, INT64)])
    if kind == types.int64:
        return call("PyLong_FromLongLong", OBJECT, [value])
    if kind == types.float64:
        return call("PyFloat_FromDouble", OBJECT, [value])
    if kind == types.none:
        text, parts = b"", []
    elif isinstance(kind, types.BaseTuple) and all(part == types.int64 for part in kind):
        text, parts = b"(" + b"L" * len(kind) + b")", cgutils.unpack_tuple(builder, value)
    else:
        raise TypeError(f"a compiled function returns {kind}, expected numbers, a truth, a pair of numbers or nothing")
    form = cgutils.global_constant(builder.module, "form", cgutils.make_bytearray(text + b"\0"))
    return call("Py_BuildValue", OBJECT, [builder.bitcast(form, OBJECT), *parts], var_arg=True)
