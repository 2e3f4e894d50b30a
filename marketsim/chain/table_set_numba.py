"""How numba sees a TableSet: an address of a directory, its fields array views."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.datamodel import models
from numba.core.typing.templates import AttributeTemplate
from numba.extending import (
    NativeValue,
    infer_getattr,
    lower_builtin,
    lower_getattr_generic,
    register_model,
    type_callable,
    typeof_impl,
    unbox,
)
from numba.np.arrayobj import populate_array

from marketsim.chain.table_set import LINE, WORDS, prefetch

INT32 = ir.IntType(32)
INT64 = ir.IntType(64)
FOR_WRITING, KEEP_NEAR, DATA = INT32(1), INT32(3), INT32(1)
"""Arguments of the compiler's llvm.prefetch."""


class TablesType(types.Type):  # type: ignore[misc]
    """The type of one TableSet class."""

    def __init__(self, kind: type[Any]) -> None:
        self.fields: tuple[str, ...] = kind._fields
        self.lines: frozenset[str] = kind.lines
        self.narrow: frozenset[str] = kind.narrow
        self.widths: dict[str, int] = dict(kind.widths)
        super().__init__(name=f"Tables({kind.__name__})")

    def array_of(self, field: str) -> Any:
        """Return the array type of a field, None when there is no such field."""
        if field not in self.fields:
            return None
        return types.Array(types.int8 if field in self.narrow else types.int64, 1 if field in self.lines else 2, "C")


@register_model(TablesType)
class TablesModel(models.PrimitiveModel):  # type: ignore[misc]
    """An address."""

    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, INT64.as_pointer())


@unbox(TablesType)  # type: ignore[untyped-decorator]
def unbox_tables(kind: Any, obj: Any, c: Any) -> Any:
    """Read the address of a TableSet's directory."""
    number = c.pyapi.object_getattr_string(obj, "address")
    address = c.pyapi.long_as_longlong(number)
    c.pyapi.decref(number)
    return NativeValue(c.builder.inttoptr(address, INT64.as_pointer()), is_error=c.pyapi.c_api_error())


@infer_getattr
class TablesAttribute(AttributeTemplate):  # type: ignore[misc]
    """`s.orders` is an array."""

    key = TablesType

    def generic_resolve(self, kind: Any, attribute: str) -> Any:
        """Return the type of a field."""
        return kind.array_of(attribute)


@lower_getattr_generic(TablesType)  # type: ignore[untyped-decorator]
def lower_field(context: Any, builder: Any, kind: Any, value: Any, attribute: str) -> Any:
    """Build the array view of a field from its words in the directory."""
    array_type = kind.array_of(attribute)
    at = kind.fields.index(attribute) * WORDS
    unchanging = builder.module.add_metadata([])

    def word(offset: int) -> Any:
        loaded = builder.load(cgutils.gep_inbounds(builder, value, at + offset))
        loaded.set_metadata("invariant.load", unchanging)
        return loaded

    bits = array_type.dtype.bitwidth
    data = builder.inttoptr(word(0), ir.IntType(bits).as_pointer())
    item = ir.Constant(INT64, bits // 8)
    rows = word(1)
    if array_type.ndim == 1:
        shape, strides, count = [rows], [item], rows
    else:
        width = kind.widths.get(attribute)
        columns = word(2) if width is None else ir.Constant(INT64, width)
        shape, strides = [rows, columns], [builder.mul(columns, item), item]
        count = builder.mul(rows, columns)
    array = context.make_array(array_type)(context, builder)
    populate_array(array, data=data, shape=shape, strides=strides, itemsize=item, meminfo=None)
    array.nitems = count
    return array._getvalue()


@type_callable(prefetch)  # type: ignore[untyped-decorator]
def type_prefetch(_context: Any) -> Any:
    """`prefetch(table, row)` returns nothing."""

    def typer(table: Any, row: Any) -> Any:
        if isinstance(table, types.Array) and isinstance(row, types.Integer):
            return types.none
        return None

    return typer


@lower_builtin(prefetch, types.Array, types.Integer)  # type: ignore[untyped-decorator]
def lower_prefetch(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    """Ask for each cache line of the row."""
    array = context.make_array(signature.args[0])(context, builder, arguments[0])
    stride = cgutils.unpack_tuple(builder, array.strides)[0]
    address = ir.IntType(8).as_pointer()
    start = builder.gep(builder.bitcast(array.data, address), [builder.mul(arguments[1], stride)])
    function = cgutils.get_or_insert_function(
        builder.module, ir.FunctionType(ir.VoidType(), [address, INT32, INT32, INT32]), "llvm.prefetch.p0"
    )
    with cgutils.for_range_slice(builder, INT64(0), stride, INT64(LINE), intp=INT64) as (offset, _count):
        builder.call(function, [builder.gep(start, [offset]), FOR_WRITING, KEEP_NEAR, DATA])
    return context.get_dummy_value()


def register_with_numba(kind: type[Any]) -> None:
    """Give a TableSet class its numba type."""
    tables = TablesType(kind)

    @typeof_impl.register(kind)  # type: ignore[untyped-decorator]
    def typeof_tables(_value: Any, _context: Any) -> Any:
        return tables
