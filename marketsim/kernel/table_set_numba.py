"""How numba sees a TableSet: an address of a directory, its fields array views."""

from __future__ import annotations

import operator
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.datamodel import models
from numba.core.datamodel.registry import register_default
from numba.core.typing.templates import AttributeTemplate
from numba.extending import (
    NativeValue,
    infer_getattr,
    lower_builtin,
    lower_getattr_generic,
    lower_setattr_generic,
    register_model,
    type_callable,
    typeof_impl,
    unbox,
)
from numba.np import arrayobj

from marketsim.kernel.codes import CodeType
from marketsim.kernel.intrinsics import LINE, WORDS, add_eight, equal_eight, lowest_bit, prefetch, prefetch_line, rarely, score_at
from marketsim.kernel.modes import CHECKED
from marketsim.kernel.rows import Column, Row, Schema

INT32 = ir.IntType(32)
INT64 = ir.IntType(64)
BYTES = ir.IntType(8).as_pointer()
FOR_WRITING, KEEP_NEAR, DATA = INT32(1), INT32(3), INT32(1)
"""Arguments of the compiler's llvm.prefetch."""


class TableType(types.Array):  # type: ignore[misc]
    """The type of a table whose rows have names, and of its rows: a row has the columns of the row class as attributes."""

    def __init__(self, dtype: Any, ndim: int, schema: type[Row]) -> None:
        self.schema = schema
        super().__init__(dtype, ndim, "C", name=f"{schema.__name__}({dtype}, {ndim}d)")

    @property
    def key(self) -> Any:
        """What tells this type from others."""
        return self.schema, self.dtype, self.ndim

    @property
    def mangling_args(self) -> Any:
        """What the names of compiled functions say of it."""
        return self.__class__.__name__, [self.schema.__name__, self.ndim]

    def copy(self, dtype: Any = None, ndim: Any = None, layout: Any = None, readonly: Any = None) -> Any:
        """Return the type of a row."""
        if layout not in (None, "C") or dtype not in (None, self.dtype) or readonly:
            return super().copy(dtype, ndim, layout, readonly)
        return TableType(self.dtype, self.ndim if ndim is None else ndim, self.schema)

    def unify(self, typingctx: Any, other: Any) -> Any:
        """Return the type of what may be the one or the other."""
        return self if self == other else super().unify(typingctx, other)

    def column(self, name: str) -> int | None:
        """Return the number of a column, None where this is no row or has no such column."""
        return None if self.ndim != 1 else number_of(self.schema, name)


def number_of(schema: type, name: str) -> int | None:
    """Return the number of a column of a row class, or its width; None where it has no such name."""
    found = getattr(schema, "width", None) if name == "width" else schema.__dict__.get(name)
    return found.number if isinstance(found, Column) else found if isinstance(found, int) else None


register_default(TableType)(models.ArrayModel)


@infer_getattr
class ColumnAttribute(AttributeTemplate):  # type: ignore[misc]
    """`row.price` is a number."""

    key = TableType

    def generic_resolve(self, kind: Any, attribute: str) -> Any:
        """Return the type of a column of a row."""
        return None if kind.column(attribute) is None else kind.dtype


def _view(context: Any, builder: Any, kind: Any, data: Any, shape: list[Any], count: Any) -> Any:
    """Return a contiguous array view as one value: made in memory, field by field, it is four times as much for the compiler to read."""
    item = INT64(kind.dtype.bitwidth // 8)
    strides = [item]
    if kind.ndim > 1:
        columns = shape[1]
        strides.insert(0, INT64(columns.constant * item.constant) if isinstance(columns, ir.Constant) else builder.mul(columns, item))
    known = {"nitems": count, "itemsize": item, "data": data, "shape": shape, "strides": strides}
    model = context.data_model_manager[kind]
    whole = model.get_value_type()
    parts: list[Any] = [ir.Constant(each, None) for each in whole.elements]
    later: list[tuple[Any, Any]] = []
    for name, value in known.items():
        at = model.get_field_position(name)
        words = value if isinstance(value, list) else [value]
        start = [word if isinstance(word, ir.Constant) else ir.Constant(word.type, ir.Undefined) for word in words]
        parts[at] = ir.Constant(whole.elements[at], start) if isinstance(value, list) else start[0]
        places = [(at, axis) for axis in range(len(words))] if isinstance(value, list) else [at]
        later += [(word, place) for word, place in zip(words, places, strict=True) if not isinstance(word, ir.Constant)]
    view = ir.Constant(whole, parts)
    for word, place in later:
        view = builder.insert_value(view, word, place)
    return view


def _field(context: Any, builder: Any, kind: Any, array: Any, *place: Any) -> Any:
    """Return a field of an array view."""
    name, *axis = place
    return builder.extract_value(array, (context.data_model_manager[kind].get_field_position(name), *axis))


def _place(context: Any, builder: Any, kind: Any, row: Any, attribute: str) -> Any:
    """Return where a column of a row lies."""
    return builder.gep(_field(context, builder, kind, row, "data"), [INT64(kind.column(attribute))], inbounds=True)


@lower_builtin(operator.getitem, TableType, types.Integer)  # type: ignore[untyped-decorator]
def lower_getitem(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    """Read a row of a table, or a number of a row."""
    kind, index_kind = signature.args
    array, index = arguments
    index = arrayobj.fix_integer_index(context, builder, index_kind, index, _field(context, builder, kind, array, "shape", 0))
    if CHECKED:
        cgutils.do_boundscheck(context, builder, index, _field(context, builder, kind, array, "shape", 0), 0)
    data = _field(context, builder, kind, array, "data")
    if kind.ndim == 1:
        return builder.load(builder.gep(data, [index]))
    columns = INT64(kind.schema.width)
    return _view(context, builder, signature.return_type, builder.gep(data, [builder.mul(index, columns)]), [columns], columns)


@lower_getattr_generic(TableType)  # type: ignore[untyped-decorator]
def lower_column(context: Any, builder: Any, kind: Any, row: Any, attribute: str) -> Any:
    """Read a column of a row."""
    return builder.load(_place(context, builder, kind, row, attribute))


@lower_setattr_generic(TableType)  # type: ignore[untyped-decorator]
def lower_set_column(context: Any, builder: Any, signature: Any, arguments: Any, attribute: str) -> None:
    """Write a column of a row."""
    builder.store(arguments[1], _place(context, builder, signature.args[0], arguments[0], attribute))


class NumbersType(types.Dummy):  # type: ignore[misc]
    """The type of a class of names for numbers: of a row class, whose columns are their numbers, or of codes."""

    def __init__(self, names: type) -> None:
        self.names = names
        super().__init__(name=f"Numbers({names.__module__}.{names.__name__})")

    def number(self, name: str) -> int | None:
        """Return the number of a name, None where there is no such name."""
        return number_of(self.names, name) if isinstance(self.names, Schema) else getattr(self.names, "__members__", {}).get(name)


register_default(NumbersType)(models.OpaqueModel)


@typeof_impl.register(CodeType)  # type: ignore[untyped-decorator]
@typeof_impl.register(Schema)  # type: ignore[untyped-decorator]
def typeof_numbers(names: Any, _context: Any) -> Any:
    """Return the type of a row class or of codes."""
    return NumbersType(names)


@infer_getattr
class NumberAttribute(AttributeTemplate):  # type: ignore[misc]
    """`Order.price` and `OrderState.OPEN` are numbers."""

    key = NumbersType

    def generic_resolve(self, kind: Any, attribute: str) -> Any:
        """Return the type of a number."""
        return None if kind.number(attribute) is None else types.int64


@lower_getattr_generic(NumbersType)  # type: ignore[untyped-decorator]
def lower_number(_context: Any, _builder: Any, kind: Any, _value: Any, attribute: str) -> Any:
    """Write a number as a constant."""
    return INT64(int(kind.number(attribute)))


class TablesType(types.Type):  # type: ignore[misc]
    """The type of one TableSet class."""

    def __init__(self, kind: type[Any]) -> None:
        self.fields: tuple[str, ...] = kind._fields
        self.lines: frozenset[str] = kind.lines
        self.narrow: frozenset[str] = kind.narrow
        self.rows: dict[str, type[Row]] = dict(kind.rows)
        self.width_of = kind.width_of
        super().__init__(name=f"Tables({kind.__name__})")

    def array_of(self, field: str) -> Any:
        """Return the array type of a field, None when there is no such field."""
        if field not in self.fields:
            return None
        dtype = types.int8 if field in self.narrow else types.int64
        ndim = 1 if field in self.lines else 2
        return TableType(dtype, ndim, self.rows[field]) if field in self.rows else types.Array(dtype, ndim, "C")


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

    data = builder.inttoptr(word(0), ir.IntType(array_type.dtype.bitwidth).as_pointer())
    rows = word(1)
    if array_type.ndim == 1:
        return _view(context, builder, array_type, data, [rows], rows)
    width = kind.width_of(attribute)
    columns = word(2) if width is None else INT64(width)
    return _view(context, builder, array_type, data, [rows, columns], builder.mul(rows, columns))


def _eight_from(context: Any, builder: Any, array: Any, first: Any) -> Any:
    """Return where the eight columns of a row from `first` on lie; in the checked build all of them within the row."""
    if CHECKED:
        (columns,) = cgutils.unpack_tuple(builder, array.shape)
        cgutils.do_boundscheck(context, builder, first, columns, 0)
        cgutils.do_boundscheck(context, builder, builder.add(first, INT64(7)), columns, 0)
    return builder.bitcast(builder.gep(array.data, [first]), ir.VectorType(INT64, 8).as_pointer())


@type_callable(equal_eight)  # type: ignore[untyped-decorator]
def type_equal_eight(_context: Any) -> Any:
    """`equal_eight(row, first, value)` returns an integer."""

    def typer(row: Any, first: Any, value: Any) -> Any:
        if isinstance(row, types.Array) and isinstance(first, types.Integer) and isinstance(value, types.Integer):
            return types.int64
        return None

    return typer


@lower_builtin(equal_eight, types.Array, types.Integer, types.Integer)  # type: ignore[untyped-decorator]
def lower_equal_eight(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    """Compare eight numbers side by side; the truths are the bits of a byte, the first the lowest."""
    kind = signature.args[0]
    array = context.make_array(kind)(context, builder, arguments[0])
    first, value = (
        context.cast(builder, argument, given, types.int64) for argument, given in zip(arguments[1:], signature.args[1:], strict=True)
    )
    eight = ir.VectorType(INT64, 8)
    loaded = builder.load(_eight_from(context, builder, array, first), align=8)
    one = builder.insert_element(ir.Constant(eight, ir.Undefined), value, INT32(0))
    each = builder.shuffle_vector(one, ir.Constant(eight, ir.Undefined), ir.Constant(ir.VectorType(INT32, 8), [0] * 8))
    return builder.zext(builder.bitcast(builder.icmp_signed("==", loaded, each), ir.IntType(8)), INT64)


@type_callable(add_eight)  # type: ignore[untyped-decorator]
def type_add_eight(_context: Any) -> Any:
    """`add_eight(row, first, bits)` returns nothing."""

    def typer(row: Any, first: Any, bits: Any) -> Any:
        if isinstance(row, types.Array) and isinstance(first, types.Integer) and isinstance(bits, types.Integer):
            return types.none
        return None

    return typer


@lower_builtin(add_eight, types.Array, types.Integer, types.Integer)  # type: ignore[untyped-decorator]
def lower_add_eight(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    """Add the bits side by side."""
    kind = signature.args[0]
    array = context.make_array(kind)(context, builder, arguments[0])
    first, bits = (
        context.cast(builder, argument, given, types.int64) for argument, given in zip(arguments[1:], signature.args[1:], strict=True)
    )
    eight = ir.VectorType(INT64, 8)
    pointer = _eight_from(context, builder, array, first)
    truths = builder.bitcast(builder.trunc(bits, ir.IntType(8)), ir.VectorType(ir.IntType(1), 8))
    loaded = builder.load(pointer, align=8)
    builder.store(builder.sub(loaded, builder.sext(truths, eight)), pointer, align=8)
    return context.get_dummy_value()


@type_callable(lowest_bit)  # type: ignore[untyped-decorator]
def type_lowest_bit(_context: Any) -> Any:
    """`lowest_bit(bits)` returns an integer."""

    def typer(bits: Any) -> Any:
        return types.int64 if isinstance(bits, types.Integer) else None

    return typer


@lower_builtin(lowest_bit, types.Integer)  # type: ignore[untyped-decorator]
def lower_lowest_bit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    """Count the zeros below the bit."""
    return builder.cttz(context.cast(builder, arguments[0], signature.args[0], types.int64), ir.IntType(1)(1))


@type_callable(rarely)  # type: ignore[untyped-decorator]
def type_rarely(_context: Any) -> Any:
    """`rarely(condition)` returns a truth."""

    def typer(condition: Any) -> Any:
        return types.boolean if isinstance(condition, types.Boolean) else None

    return typer


@lower_builtin(rarely, types.Boolean)  # type: ignore[untyped-decorator]
def lower_rarely(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
    """Say what to expect."""
    truth = ir.IntType(1)
    function = cgutils.get_or_insert_function(builder.module, ir.FunctionType(truth, [truth, truth]), "llvm.expect.i1")
    return builder.call(function, [arguments[0], truth(0)])


NUMBERS = 8
"""Numbers that a function at an address is given."""


@type_callable(score_at)  # type: ignore[untyped-decorator]
def type_score_at(_context: Any) -> Any:
    """`score_at(address, …)` of eight floats returns a float."""

    def typer(address: Any, price: Any, lowest: Any, ceiling: Any, value: Any, uptime: Any, audited: Any, home: Any, provider: Any) -> Any:
        numbers = (price, lowest, ceiling, value, uptime, audited, home, provider)
        if isinstance(address, types.Integer) and all(isinstance(one, types.Float) for one in numbers):
            return types.float64
        return None

    return typer


@lower_builtin(score_at, types.Integer, *[types.Float] * NUMBERS)  # type: ignore[untyped-decorator]
def lower_score_at(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    """Call what stands at the address, as C would."""
    double = ir.DoubleType()
    address = context.cast(builder, arguments[0], signature.args[0], types.int64)
    function = builder.inttoptr(address, ir.FunctionType(double, [double] * NUMBERS).as_pointer())
    numbers = [context.cast(builder, one, kind, types.float64) for one, kind in zip(arguments[1:], signature.args[1:], strict=True)]
    return builder.call(function, numbers)


@type_callable(prefetch_line)  # type: ignore[untyped-decorator]
@type_callable(prefetch)  # type: ignore[untyped-decorator]
def type_prefetch(_context: Any) -> Any:
    """`prefetch(table, row)` returns nothing."""

    def typer(table: Any, row: Any) -> Any:
        if isinstance(table, types.Array) and isinstance(row, types.Integer):
            return types.none
        return None

    return typer


def _start_of(context: Any, builder: Any, signature: Any, arguments: Any) -> tuple[Any, Any]:
    """Return the address of a row, and the bytes from row to row."""
    array = context.make_array(signature.args[0])(context, builder, arguments[0])
    stride = cgutils.unpack_tuple(builder, array.strides)[0]
    return builder.gep(builder.bitcast(array.data, BYTES), [builder.mul(arguments[1], stride)]), stride


def _ask_for(builder: Any, address: Any) -> None:
    """Ask for the cache line at an address."""
    function = cgutils.get_or_insert_function(
        builder.module, ir.FunctionType(ir.VoidType(), [BYTES, INT32, INT32, INT32]), "llvm.prefetch.p0"
    )
    builder.call(function, [address, FOR_WRITING, KEEP_NEAR, DATA])


@lower_builtin(prefetch, types.Array, types.Integer)  # type: ignore[untyped-decorator]
def lower_prefetch(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    """Ask for each cache line of the row."""
    start, stride = _start_of(context, builder, signature, arguments)
    with cgutils.for_range_slice(builder, INT64(0), stride, INT64(LINE), intp=INT64) as (offset, _count):
        _ask_for(builder, builder.gep(start, [offset]))
    return context.get_dummy_value()


@lower_builtin(prefetch_line, types.Array, types.Integer)  # type: ignore[untyped-decorator]
def lower_prefetch_line(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    """Ask for the first cache line of the row."""
    _ask_for(builder, _start_of(context, builder, signature, arguments)[0])
    return context.get_dummy_value()


def register_with_numba(kind: type[Any]) -> None:
    """Give a TableSet class its numba type."""
    tables = TablesType(kind)

    @typeof_impl.register(kind)  # type: ignore[untyped-decorator]
    def typeof_tables(_value: Any, _context: Any) -> Any:
        return tables
