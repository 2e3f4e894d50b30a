"""Conditions on a summary, such as `fill_rate>=0.8`, read without running code.

A condition compares numbers, text and dotted paths into the summary with `< <= > >= == !=`; exact money
(`revenue.total`) counts as the number it is; `+ - * /`,
brackets, `and`, `or`, `not` and the functions abs, min, max are accepted. A key that is not a plain word
stands in square brackets: `revenue.by_provider_uve["hyperscale/0"] > 0`.
"""

from __future__ import annotations

import ast
import difflib
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from marketsim.chain.status import SEED_CODES, Status

OPEN = frozenset(
    {
        "revenue.by_provider",
        "revenue.by_provider_uve",
        "revenue.by_cohort",
        "revenue.by_cohort_uve",
        "revenue.per_day",
        "revenue.per_day_uve",
        "versions",
    }
)
"""Parts of the summary whose keys depend on the run. Of `bids.rejected` every code exists, 0 when it did not
occur."""

_COMPARE: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}
_BINARY: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}
_FUNCTIONS: dict[str, Callable[..., Any]] = {"abs": abs, "min": min, "max": max}
_LENGTH_MAX = 500


class OutcomeError(ValueError):
    """A condition that makes no sense; the message says what would."""


@dataclass(frozen=True, slots=True)
class ConditionResult:
    """How a condition came out: whether it holds, the values it read and why it could not be evaluated, if
    so."""

    text: str
    holds: bool
    values: dict[str, Any]
    problem: str | None = None

    def __str__(self) -> str:
        """The condition with what was found."""
        found = ", ".join(f"{path} = {value}" for path, value in self.values.items())
        reason = f" ({self.problem})" if self.problem else ""
        return f"{self.text}: {'holds' if self.holds else 'does not hold'}; {found or 'no values'}{reason}"


@dataclass(frozen=True, slots=True)
class Condition:
    """A condition that was read and found sensible."""

    text: str
    paths: tuple[tuple[str, ...], ...]
    _tree: ast.expr

    def check(self, shape: Mapping[str, Any]) -> Condition:
        """Return the condition; raise OutcomeError when a path cannot exist in summaries like `shape`.

        What depends on the run (names of providers and cohorts, days) is accepted until `judge` sees the
        run's own."""
        for path in self.paths:
            if not (len(path) > 1 and ".".join(path[:-1]) in OPEN):
                _resolve(shape, path, self.text)
        return self

    def judge(self, summary: Mapping[str, Any]) -> ConditionResult:
        """Evaluate on a summary. An undefined value (None) or a division by zero fails the condition."""
        values = {".".join(path): _resolve(summary, path, self.text) for path in self.paths}
        undefined = [path for path, value in values.items() if value is None]
        if undefined:
            return ConditionResult(self.text, False, values, f"{undefined[0]} is undefined in this run")
        numbers = {".".join(path): _number(summary, path, values[".".join(path)]) for path in self.paths}
        try:
            return ConditionResult(self.text, bool(_evaluate(self._tree, numbers)), values)
        except (ArithmeticError, TypeError) as error:
            return ConditionResult(self.text, False, values, str(error))


def parse_condition(text: str) -> Condition:
    """Read a condition; raise OutcomeError for what is not one."""
    if len(text) > _LENGTH_MAX:
        raise OutcomeError(f"a condition has at most {_LENGTH_MAX} characters")
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise OutcomeError(f"`{text}` is not a condition, expected one such as fill_rate>=0.8") from None
    if not _is_truth(tree):
        raise OutcomeError(f"`{text}` compares nothing, expected a condition such as fill_rate>=0.8")
    paths: dict[tuple[str, ...], None] = {}
    _check(tree, paths, text)
    if not paths:
        raise OutcomeError(f"`{text}` names no outcome, expected a condition such as fill_rate>=0.8")
    return Condition(text, tuple(paths), tree)


def value_at(summary: Mapping[str, Any], path: str) -> Any:
    """Return the value at a dotted path; raise OutcomeError when there is none."""
    return _resolve(summary, tuple(path.split(".")), path)


def _is_truth(node: ast.expr) -> bool:
    match node:
        case ast.Compare():
            return True
        case ast.BoolOp(values=values):
            return all(_is_truth(value) for value in values)
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            return _is_truth(operand)
        case ast.Name(id="conserved"):
            return True
    return False


def _path(node: ast.expr) -> tuple[str, ...] | None:
    match node:
        case ast.Name(id=name):
            return (name,)
        case ast.Attribute(value=value, attr=name):
            before = _path(value)
        case ast.Subscript(value=value, slice=ast.Constant(value=str() | int() as name)) if name is not True:
            before = _path(value)
        case _:
            return None
    return None if before is None else (*before, str(name))


def _check(node: ast.expr, paths: dict[tuple[str, ...], None], text: str) -> None:
    path = _path(node)
    if path is not None:
        paths[path] = None
        return
    match node:
        case ast.Constant(value=bool() | int() | float() | str()):
            parts: list[ast.expr] = []
        case ast.UnaryOp(op=ast.USub() | ast.UAdd() | ast.Not(), operand=operand):
            parts = [operand]
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _BINARY:
            parts = [left, right]
        case ast.BoolOp(values=values):
            parts = values
        case ast.Compare(left=left, ops=ops, comparators=rest) if all(type(op) in _COMPARE for op in ops):
            parts = [left, *rest]
        case ast.Call(func=ast.Name(id=name), args=arguments, keywords=[]) if name in _FUNCTIONS and arguments:
            parts = arguments
        case _:
            part = ast.get_source_segment(text.strip(), node) or text
            raise OutcomeError(
                f"`{part}` is not allowed in a condition, expected paths such as leases.active, numbers, "
                "comparisons, + - * /, and/or/not, abs, min, max"
            )
    for part_node in parts:
        _check(part_node, paths, text)


def _resolve(summary: Mapping[str, Any], path: tuple[str, ...], text: str) -> Any:
    value: Any = summary
    for depth, key in enumerate(path):
        here = ".".join(path[:depth])
        if isinstance(value, Mapping) and key in value:
            value = value[key]
        elif isinstance(value, list) and key.lstrip("-").isdigit() and int(key) < len(value):
            value = value[int(key)]
        elif here == "bids.rejected" and _is_code(key):
            value = 0
        elif isinstance(value, Mapping):
            raise OutcomeError(f"{'.'.join(path)}: no such outcome, {_near(key, here, value)}")
        else:
            raise OutcomeError(f"{'.'.join(path)}: {here} has no parts, expected {here} itself")
    if isinstance(value, Mapping | list):
        raise OutcomeError(f"{'.'.join(path)}: has parts, {_near('', '.'.join(path), value)} (in `{text}`)")
    return value


def _number(summary: Mapping[str, Any], path: tuple[str, ...], value: Any) -> Any:
    """Exact money, which summaries hold as text with a number beside it, as an exact number; other values
    unchanged."""
    if not isinstance(value, str):
        return value
    for cut in range(1, min(len(path), 2) + 1):
        beside = (*path[:-cut], f"{path[-cut]}_uve", *path[len(path) - cut + 1 :])
        try:
            _resolve(summary, beside, "")
        except OutcomeError:
            continue
        return Fraction(value)
    return value


def _is_code(key: str) -> bool:
    return key in Status.__members__ or key in SEED_CODES.values()


def _near(key: str, here: str, value: Mapping[str, Any] | list[Any]) -> str:
    prefix = f"{here}." if here else ""
    if isinstance(value, list):
        return f"expected one element, {here}[0] to {here}[{len(value) - 1}]"
    close = difflib.get_close_matches(key, list(value), n=3) or list(value)[:8]
    return f"expected {', '.join(prefix + name for name in close)}"


def _evaluate(node: ast.expr, values: Mapping[str, Any]) -> Any:
    path = _path(node)
    if path is not None:
        return values[".".join(path)]
    match node:
        case ast.Constant(value=value):
            return value
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            return not _evaluate(operand, values)
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -_evaluate(operand, values)
        case ast.UnaryOp(operand=operand):
            return +_evaluate(operand, values)
        case ast.BinOp(left=left, op=op, right=right):
            return _BINARY[type(op)](_evaluate(left, values), _evaluate(right, values))
        case ast.BoolOp(op=ast.And(), values=parts):
            return all(_evaluate(part, values) for part in parts)
        case ast.BoolOp(values=parts):
            return any(_evaluate(part, values) for part in parts)
        case ast.Compare(left=left, ops=ops, comparators=rest):
            before = _evaluate(left, values)
            for comparison, part in zip(ops, rest, strict=True):
                after = _evaluate(part, values)
                if not _COMPARE[type(comparison)](before, after):
                    return False
                before = after
            return True
        case ast.Call(func=ast.Name(id=name), args=arguments):
            return _FUNCTIONS[name](*[_evaluate(argument, values) for argument in arguments])
    raise OutcomeError("unreadable condition")  # _check has refused every other node
