"""Evaluates small arithmetic expressions without running code: of sweep files, conditions and objectives.

An expression may hold numbers, text in quotes, names, `+ - * / // % **`, comparisons, `and`, `or`, `not`,
`in` with a bracketed list, and the functions abs, min, max and round. A name is a word or a dotted path, with keys that
are no words in brackets: `revenue.by_cohort["gpu-training"]`. Anything else is refused when the expression is read,
before a name has a value; which names there are is for whoever reads it to say.
"""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from marketsim.scenario.literals import plain_decimal

Value = bool | int | float | Decimal | str

_BINARY: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
}
_UNARY: dict[type[ast.unaryop], Callable[[Any], Any]] = {
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
    ast.Not: operator.not_,
}
_COMPARE: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.In: lambda left, right: left in right,
    ast.NotIn: lambda left, right: left not in right,
}
_FUNCTIONS: dict[str, Callable[..., Any]] = {"abs": abs, "min": min, "max": max, "round": round}
_LENGTH_MAX = 500
_POWER_MAX = 64
_FIELD = re.compile(r"\{([^{}]*)\}")


class ExpressionError(ValueError):
    """An expression that cannot be read or evaluated; the message is for the author of the file."""


@dataclass(frozen=True, slots=True)
class Expression:
    """A checked expression: its text and the paths that it reads, each once, as its keys."""

    text: str
    paths: tuple[tuple[str, ...], ...]
    _tree: ast.expr

    @property
    def names(self) -> tuple[str, ...]:
        """The paths with their keys joined by dots: what `value` asks for."""
        return tuple(".".join(path) for path in self.paths)

    def value(self, names: Mapping[str, Any]) -> Any:
        """The expression's value with `names`; raises ExpressionError on division by zero or mixed types."""
        try:
            return _evaluate(self._tree, names)
        except (ArithmeticError, TypeError, ValueError, KeyError) as error:
            raise ExpressionError(f"cannot evaluate `{self.text}`: {error}") from error

    def decides(self, truths: Sequence[str] = ()) -> bool:
        """Whether it is a comparison, or several joined by and, or, not; names among `truths` are true or false already."""
        return _is_truth(self._tree, truths)


def parse_expression(text: str, kind: str = "an expression") -> Expression:
    """Read an expression; raises ExpressionError naming the first part that is not allowed in `kind`."""
    if len(text) > _LENGTH_MAX:
        raise ExpressionError(f"{kind} has at most {_LENGTH_MAX} characters")
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise ExpressionError(f"`{text}` is not {kind}") from None
    paths: dict[tuple[str, ...], None] = {}
    _check(tree, paths, text, kind)
    return Expression(text, tuple(paths), tree)


@dataclass(frozen=True, slots=True)
class Template:
    """Text with `{}` or `{expression of x}` fields that turns a level into a scenario value."""

    text: str
    _pieces: tuple[str | Expression, ...]

    def fill(self, level: Value, decimals: int | None = None) -> Value:
        """The scenario value for a level: a lone field keeps its type, anything around it makes text.

        What a field computes is rounded to `decimals`; the level itself stands as it is written.
        """
        parts = [p if isinstance(p, str) else _filled(p, level, decimals) for p in self._pieces]
        return parts[0] if len(parts) == 1 else "".join(map(written, parts))

    @property
    def copies(self) -> bool:
        """Whether the level itself is what the scenario gets, computed with nowhere."""
        return all(isinstance(piece, str) or _is_level(piece) for piece in self._pieces)


def _is_level(piece: Expression) -> bool:
    return piece.text == "x"


def _filled(piece: Expression, level: Value, decimals: int | None) -> Value:
    if _is_level(piece):
        return level
    found = plain_number(piece.value({"x": computable(level)}))
    return rounded(found, decimals) if decimals is not None and isinstance(found, float) else found


def parse_template(text: str) -> Template:
    """Read a template such as `"{} blocks"` or `"{x / 2}/h"`; raises ExpressionError."""
    pieces: list[str | Expression] = []
    end = 0
    for field in _FIELD.finditer(text):
        if field.start() > end:
            pieces.append(text[end : field.start()])
        expression = parse_expression(field.group(1).strip() or "x")
        unknown = [name for name in expression.names if name != "x"]
        if unknown:
            raise ExpressionError(f"`{unknown[0]}` is not known in a template, only x (the level) is")
        pieces.append(expression)
        end = field.end()
    if end < len(text):
        pieces.append(text[end:])
    if all(isinstance(piece, str) for piece in pieces):
        raise ExpressionError(f"`{text}` has no field: write {{}} or {{x * 2}} where the level goes")
    return Template(text, tuple(pieces))


def computable(value: Value) -> Value:
    """A value as expressions compute with it: decimals as floats."""
    return float(value) if isinstance(value, Decimal) else value


def plain_number(value: Value) -> Value:
    """A float without a fraction as int and without noise beyond 12 digits, so that it prints as written."""
    if isinstance(value, float):
        short = float(f"{value:.12g}")
        return int(short) if short.is_integer() and abs(short) < 1e15 else short
    return value


def rounded(value: float, decimals: int) -> int | float:
    """A number with at most so many decimals, the even neighbour of a half."""
    found = Decimal(repr(value)).quantize(Decimal(1).scaleb(-decimals)) if decimals < 30 else Decimal(repr(value))
    return int(found) if found == found.to_integral_value() else float(found)


def written(value: Value) -> str:
    """A value as a file would have it: numbers without exponent and trailing zeros."""
    if isinstance(value, float):
        value = Decimal(repr(plain_number(value)))
    return plain_decimal(value) if isinstance(value, Decimal) else str(value)


def _is_truth(node: ast.expr, truths: Sequence[str]) -> bool:
    match node:
        case ast.Compare():
            return True
        case ast.BoolOp(values=values):
            return all(_is_truth(value, truths) for value in values)
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            return _is_truth(operand, truths)
        case ast.Name(id=name):
            return name in truths
    return False


def _path(node: ast.expr) -> tuple[str, ...] | None:
    match node:
        case ast.Name(id=name):
            return (name,)
        case ast.Attribute(value=value, attr=name):
            before = _path(value)
        case ast.Subscript(value=value, slice=ast.Constant(value=str() | int() as name)) if not isinstance(name, bool):
            before = _path(value)
        case ast.Subscript(value=value, slice=ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() as index))):
            before, name = _path(value), -index
        case _:
            return None
    return None if before is None else (*before, str(name))


def _check(node: ast.expr, paths: dict[tuple[str, ...], None], text: str, kind: str) -> None:
    path = _path(node)
    if path is not None:
        paths[path] = None
        return
    parts: list[ast.expr]
    match node:
        case ast.Constant(value=bool() | int() | float() | str()):
            parts = []
        case ast.UnaryOp(op=op, operand=operand) if type(op) in _UNARY:
            parts = [operand]
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _BINARY and not _is_huge_power(node):
            parts = [left, right]
        case ast.BoolOp(values=values):
            parts = values
        case ast.Compare(left=left, ops=ops, comparators=comparators) if all(type(o) in _COMPARE for o in ops):
            parts = [left, *comparators]
        case ast.List(elts=elements) | ast.Tuple(elts=elements):
            parts = elements
        case ast.Call(func=ast.Name(id=called), args=arguments, keywords=[]) if called in _FUNCTIONS and arguments:
            parts = arguments
        case _:
            piece = ast.get_source_segment(text.strip(), node) or text
            raise ExpressionError(
                f"`{piece}` is not allowed in {kind}; numbers, names, arithmetic, comparisons, and/or/not, abs, min, max, round are"
            )
    for part in parts:
        _check(part, paths, text, kind)


def _is_huge_power(node: ast.expr) -> bool:
    match node:
        case ast.BinOp(op=ast.Pow(), right=ast.Constant(value=int() | float() as power)):
            return abs(power) > _POWER_MAX
    return False


def _evaluate(node: ast.expr, names: Mapping[str, Any]) -> Any:
    path = _path(node)
    if path is not None:
        return names[".".join(path)]
    match node:
        case ast.Constant(value=value):
            return value
        case ast.UnaryOp(op=unary, operand=operand):
            return _UNARY[type(unary)](_evaluate(operand, names))
        case ast.BinOp(left=left, op=op, right=right):
            a, b = _evaluate(left, names), _evaluate(right, names)
            if isinstance(a, str) or isinstance(b, str):
                raise TypeError("text has no arithmetic")
            if isinstance(op, ast.Pow) and abs(b) > _POWER_MAX:
                raise ValueError(f"a power of at most {_POWER_MAX} is accepted")
            return _BINARY[type(op)](a, b)
        case ast.BoolOp(op=ast.And(), values=values):
            return all(_evaluate(value, names) for value in values)
        case ast.BoolOp(values=values):
            return any(_evaluate(value, names) for value in values)
        case ast.Compare(left=left, ops=ops, comparators=comparators):
            a = _evaluate(left, names)
            for compare, right in zip(ops, comparators, strict=True):
                b = _evaluate(right, names)
                if not _COMPARE[type(compare)](a, b):
                    return False
                a = b
            return True
        case ast.List(elts=elements) | ast.Tuple(elts=elements):
            return [_evaluate(element, names) for element in elements]
        case ast.Call(func=ast.Name(id=called), args=arguments):
            return _FUNCTIONS[called](*[_evaluate(argument, names) for argument in arguments])
    raise ExpressionError("unreadable expression")  # _check has refused every other node
