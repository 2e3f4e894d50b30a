"""The figures of a scenario that a user's own functions take out of a finished run."""

from __future__ import annotations

from typing import Any

from pydantic import Field, field_validator

from marketsim.scenario.distributions import Frozen
from marketsim.scenario.literals import Text
from marketsim.scenario.own_code import own_reference
from marketsim.scenario.tenants import Name


class OwnMetric(Frozen):
    """A figure of one's own in the summary, `metrics.<name>`."""

    name: Name = Field(description="names the figure: sweeps, comparisons and conditions call it metrics.<name>")
    python: Text = Field(description="module:function of your own, or the name of an entry point (docs/own-metrics.md)")
    options: dict[Text, Any] = Field(
        default_factory=dict, description="keyword arguments that the function is called with: numbers, texts, lists of them"
    )

    @field_validator("python")
    @classmethod
    def _reference(cls, value: str) -> str | None:
        return own_reference(value, "module:function")


__all__ = ["OwnMetric"]
