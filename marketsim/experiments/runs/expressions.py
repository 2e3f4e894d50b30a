"""Evaluates the small arithmetic expressions of sweep files without running code.

An expression may hold numbers, text in quotes, names, `+ - * / // % **`, comparisons, `and`, `or`, `not`,
`in` with a bracketed list, and the functions abs, min, max and round. Anything else is refused when the
expression is read, before a name has a value.
"""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

Value = bool | int | float | str

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
    """A checked expression: its text and the names it reads."""

    text: str
    names: tuple[str, ...]
    _tree: ast.expr

    def value(self, names: Mapping[str, Value]) -> Any:
        """The expression's value with `names`; raises ExpressionError on division by zero or mixed types."""
        try:
            return _evaluate(self._tree, names)
        except (ArithmeticError, TypeError, ValueError, KeyError) as error:
            raise ExpressionError(f"cannot evaluate `{self.text}`: {error}") from error


def parse_expression(text: str) -> Expression:
    """Read an expression; raises ExpressionError naming the first part that is not allowed."""
    if len(text) > _LENGTH_MAX:
        raise ExpressionError(f"an expression has at most {_LENGTH_MAX} characters")
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise ExpressionError(f"`{text}` is not an expression") from error
    names: list[str] = []
    _check(tree, names, text)
    return Expression(text, tuple(dict.fromkeys(names)), tree)


@dataclass(frozen=True, slots=True)
class Template:
    """Text with `{}` or `{expression of x}` fields that turns a level into a scenario value."""

    text: str
    _pieces: tuple[str | Expression, ...]

    def fill(self, level: Value) -> Value:
        """The scenario value for a level: a lone field keeps its type, anything around it makes text."""
        parts = [p if isinstance(p, str) else p.value({"x": level}) for p in self._pieces]
        if len(parts) == 1:
            return parts[0] if isinstance(self._pieces[0], str) else plain_number(parts[0])
        return "".join(str(plain_number(p)) for p in parts)


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


def plain_number(value: Value) -> Value:
    """A float without a fraction as int and without noise beyond 12 digits, so that it prints as written."""
    if isinstance(value, float):
        rounded = float(f"{value:.12g}")
        return int(rounded) if rounded.is_integer() and abs(rounded) < 1e15 else rounded
    return value


def _check(node: ast.expr, names: list[str], text: str) -> None:
    match node:
        case ast.Constant(value=bool() | int() | float() | str()):
            return
        case ast.Name(id=name):
            names.append(name)
            return
        case ast.UnaryOp(op=op, operand=operand) if type(op) in _UNARY:
            _check(operand, names, text)
            return
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _BINARY:
            _check(left, names, text)
            _check(right, names, text)
            return
        case ast.BoolOp(values=values):
            for value in values:
                _check(value, names, text)
            return
        case ast.Compare(left=left, ops=ops, comparators=comparators) if all(type(o) in _COMPARE for o in ops):
            for part in (left, *comparators):
                _check(part, names, text)
            return
        case ast.List(elts=elements) | ast.Tuple(elts=elements):
            for element in elements:
                _check(element, names, text)
            return
        case ast.Call(func=ast.Name(id=called), args=arguments, keywords=[]) if called in _FUNCTIONS:
            for argument in arguments:
                _check(argument, names, text)
            return
    piece = ast.get_source_segment(text.strip(), node) or text
    raise ExpressionError(f"`{piece}` is not allowed; arithmetic, comparisons, and/or/not, abs, min, max, round are")


def _evaluate(node: ast.expr, names: Mapping[str, Value]) -> Any:
    match node:
        case ast.Constant(value=value):
            return value
        case ast.Name(id=name):
            return names[name]
        case ast.UnaryOp(op=unary, operand=operand):
            return _UNARY[type(unary)](_evaluate(operand, names))
        case ast.BinOp(left=left, op=op, right=right):
            a, b = _evaluate(left, names), _evaluate(right, names)
            if isinstance(op, ast.Pow) and abs(b) > _POWER_MAX:
                raise ValueError(f"a power of at most {_POWER_MAX} is accepted")
            if isinstance(a, str) or isinstance(b, str):
                raise TypeError("text has no arithmetic")
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
