"""Conditions on a summary, such as `fill_rate>=0.8`, read without running code.

A condition is an expression (see `expressions`) that compares numbers, text and dotted paths into the summary; exact
money (`revenue.total`) counts as the number it is. A key that is not a plain word stands in square brackets:
`revenue.by_provider_uve["hyperscale/0"] > 0`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from marketsim.metrics.expressions import Expression, ExpressionError, parse_expression
from marketsim.metrics.paths import OPEN, OutcomeError, bracketed, exact_at, value_at

_EXAMPLE = "expected a condition such as fill_rate>=0.8"


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
    expression: Expression

    def check(self, shape: Mapping[str, Any]) -> Condition:
        """Return the condition; raise OutcomeError when a path cannot exist in summaries like `shape`.

        What depends on the run (names of providers and cohorts, days) is accepted until `judge` sees the
        run's own."""
        for path in self.expression.paths:
            if not (len(path) > 1 and ".".join(path[:-1]) in OPEN):
                value_at(shape, path)
        return self

    def judge(self, summary: Mapping[str, Any]) -> ConditionResult:
        """Evaluate on a summary. An undefined value (None) or a division by zero fails the condition."""
        paths = dict(zip(self.expression.names, self.expression.paths, strict=True))
        values = {name: value_at(summary, path) for name, path in paths.items()}
        undefined = [name for name, value in values.items() if value is None]
        if undefined:
            return ConditionResult(self.text, False, values, f"{undefined[0]} is undefined in this run")
        try:
            holds = self.expression.value({name: exact_at(summary, path) for name, path in paths.items()})
        except ExpressionError as error:
            return ConditionResult(self.text, False, values, str(error.__cause__ or error))
        return ConditionResult(self.text, bool(holds), values)


def parse_condition(text: str) -> Condition:
    """Read a condition; raise OutcomeError for what is not one."""
    try:
        expression = parse_expression(bracketed(text), "a condition")
    except ExpressionError as error:
        raise OutcomeError(f"{error}, {_EXAMPLE}") from None
    if not expression.decides(truths=("conserved",)):
        raise OutcomeError(f"`{text}` compares nothing, {_EXAMPLE}")
    if not expression.paths:
        raise OutcomeError(f"`{text}` names no outcome, {_EXAMPLE}")
    return Condition(text, expression)


__all__ = ["Condition", "ConditionResult", "OutcomeError", "parse_condition"]
