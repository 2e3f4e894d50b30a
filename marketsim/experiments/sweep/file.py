"""The sweep file as frozen values: a scenario, factors, a design, replications, metrics and seeds.

The keys and what they accept are described in docs/sweeps.md. This module checks what can be known from the
file alone; `sweep_plan` checks it against the scenario before the first run.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, GetJsonSchemaHandler, WithJsonSchema, field_validator, model_validator
from pydantic.json_schema import JsonSchemaValue, SkipJsonSchema
from pydantic_core import CoreSchema

from marketsim.experiments.runs.course import Span
from marketsim.experiments.runs.metric_names import unknown_metric
from marketsim.metrics.expressions import (
    Expression,
    ExpressionError,
    Template,
    Value,
    computable,
    parse_expression,
    parse_template,
    rounded,
    written,
)

Scalar = bool | int | Annotated[Decimal, WithJsonSchema({"type": "number"})] | SkipJsonSchema[float] | str
ALWAYS = ("revenue.per_day_mean", "fill_rate")
"""Metrics that every sweep records, for the report's figures."""

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_RESERVED = {"and", "or", "not", "in", "if", "else", "is", "lambda", "abs", "min", "max", "round"}
RUN_COLUMNS = ("point", "replication", "seed", "status", "message", "fingerprint")
"""What a row of `results` has beside factors and metrics."""

POINT_COLUMNS = (
    "point", "metric", "runs", "mean", "sd", "se", "t_low", "t_high", "bootstrap_low", "bootstrap_high",
    "median", "median_low", "median_high",
    "controlled_mean", "controlled_low", "controlled_high", "controlled_ratio", "q10", "q10_low", "q10_high", "q90", "q90_low", "q90_high",
)  # fmt: skip
"""What a row of `points` has beside factors."""

SERIES_COLUMNS = ("series", "point", "hour", "runs", "mean", "sd", "t_low", "t_high", "least", "largest")
"""What a row of `series` has beside factors."""

_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(s|m|h|d)")
_DURATION_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_PERCENT = re.compile(r"(\d+(?:\.\d+)?)\s*%")
_RUNS = re.compile(r"(\d+)\s*runs?")
_SIGNIFICANT_DIGITS = 6


class _Frozen(BaseModel):
    """A frozen mapping that may also be written in a short form, which editors' schemas then know."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    short_forms: ClassVar[tuple[dict[str, Any], ...]] = ()

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        own = handler(core_schema)
        return {"anyOf": [*cls.short_forms, own]} if cls.short_forms else own


class Level(_Frozen):
    """One value of a factor, with the label it carries in tables and figures.

    `value` is the number (or text) that the factor's templates and the constraints see; `set` writes scenario
    paths directly, for levels that differ in more than one number.
    """

    short_forms: ClassVar[tuple[dict[str, Any], ...]] = ({"type": ["boolean", "number", "string"]},)

    label: str | None = Field(default=None, description="what tables call the level")
    value: Scalar | None = Field(default=None, description="what templates and constraints see")
    set: dict[str, Any] | None = Field(default=None, description="values of the scenario by path, in place of value")

    @model_validator(mode="before")
    @classmethod
    def _short_form(cls, data: Any) -> Any:
        return data if isinstance(data, dict) else {"value": data}

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.value is None and self.set is None:
            raise ValueError("a level needs `value:` or `set:`")
        if self.set is not None and not self.set:
            raise ValueError("`set:` is empty; write the scenario paths and their values")
        if isinstance(self.value, float | Decimal) and not math.isfinite(self.value):
            raise ValueError("a level must be a finite number")
        return self

    @property
    def text(self) -> str:
        """What tables show for this level."""
        if self.label is not None:
            return self.label
        if self.value is not None:
            return written(self.value)
        assert self.set is not None
        return ", ".join(str(value) for value in self.set.values())

    @property
    def seen(self) -> Value:
        """What expressions see: the value, or the label where there is none."""
        return self.text if self.value is None else computable(self.value)


class Range(_Frozen):
    """An interval of numbers: sampled by space-filling designs, cut into `steps` levels by a grid."""

    short_forms: ClassVar[tuple[dict[str, Any], ...]] = ({"type": "array", "items": {"type": "number"}, "minItems": 2, "maxItems": 2},)

    low: float = Field(description="the lower end")
    high: float = Field(description="the upper end")
    steps: Annotated[int, Field(ge=2, le=1000)] | None = Field(default=None, description="number of levels in a grid")
    scale: Literal["linear", "log"] = Field(default="linear", description="how levels are spaced")
    integer: bool = Field(default=False, description="whole numbers only")
    decimals: Annotated[int, Field(ge=0, le=12)] | None = Field(
        default=None, description="decimals that levels are rounded to; six significant digits unless given"
    )

    @model_validator(mode="before")
    @classmethod
    def _short_form(cls, data: Any) -> Any:
        if isinstance(data, list):
            if len(data) != 2:
                raise ValueError("a short range is [low, high]")
            return {"low": data[0], "high": data[1]}
        return data

    @model_validator(mode="after")
    def _not_empty(self) -> Self:
        if not (math.isfinite(self.low) and math.isfinite(self.high)):
            raise ValueError("the ends of a range must be finite numbers")
        if self.low >= self.high:
            raise ValueError(f"the range {self.low:g} to {self.high:g} is empty; `low` must be below `high`")
        if self.scale == "log" and self.low <= 0:
            raise ValueError("a range with `scale: log` must begin above 0")
        if self.integer and math.ceil(self.low) > math.floor(self.high):
            raise ValueError(f"there is no integer from {self.low:g} to {self.high:g}")
        if problem := self.too_coarse(self.decimals):
            raise ValueError(problem)
        return self

    def too_coarse(self, decimals: int | None) -> str | None:
        """Why numbers of so many decimals cannot make this range's levels, None when they can."""
        if decimals is None and not self.integer:
            return None
        places = 0 if self.integer else decimals or 0
        low, high = _inner(self.low, self.high, places)
        kind = "whole numbers" if places == 0 else f"numbers of {places} decimal{'s' * (places > 1)}"
        if low > high:
            return f"no {kind.replace('numbers', 'number')} lies from {written(self.low)} to {written(self.high)}"
        if low == high:
            return f"the only {kind.replace('numbers', 'number')} from {written(self.low)} to {written(self.high)} is {written(low)}"
        if self.steps is not None:
            found = len(set(self.cut(decimals)))
            if found < self.steps:
                return f"{self.steps} steps from {written(self.low)} to {written(self.high)} make only {found} different {kind}"
        return None

    def cut(self, decimals: int | None = None) -> list[int | float]:
        """The levels of a grid."""
        assert self.steps is not None
        return [self.at(k / (self.steps - 1), decimals) for k in range(self.steps)]

    def at(self, share: float, decimals: int | None = None) -> int | float:
        """The number at `share` in [0, 1] of the range, inside it whatever the rounding.

        It has the decimals that the file asks for, at most `decimals` of them (six digits where neither says so).
        """
        if self.integer:
            low, high = math.ceil(self.low), math.floor(self.high)
            shifted = low + int(share * (high - low + 1))
            number = round(float(low * (high / low) ** share)) if self.scale == "log" and low > 0 else shifted
            return min(max(number, low), high)
        if self.scale == "log":
            exact = self.low * float((self.high / self.low) ** share)
        else:
            exact = self.low + share * (self.high - self.low)
        places = min((one for one in (self.decimals, decimals) if one is not None), default=None)
        if self.decimals is None:
            exact = self._shortened(exact)
        if places is None:
            return min(max(exact, self.low), self.high)
        low_end, high_end = _inner(self.low, self.high, places)
        return min(max(rounded(exact, places), low_end), high_end)

    def _shortened(self, number: float) -> float:
        """Six digits of the number; of the range where it is narrow, as they would all be alike."""
        digits = _SIGNIFICANT_DIGITS
        size, span = abs(number), self.high - self.low
        if size > 1e3 * span:
            digits += math.ceil(math.log10(size / span))
        return float(f"{number:.{digits}g}")


def _inner(low: float, high: float, decimals: int) -> tuple[int | float, int | float]:
    """The first and the last number of so many decimals from low to high."""
    unit = Decimal(1).scaleb(-decimals)
    ends = (
        Decimal(repr(low)).quantize(unit, ROUND_CEILING),
        Decimal(repr(high)).quantize(unit, ROUND_FLOOR),
    )
    first, last = (int(end) if end == end.to_integral_value() else float(end) for end in ends)
    return first, last


class Factor(_Frozen):
    """What a sweep varies: one or several scenario paths, with levels or a range.

    `path` takes one dotted path; `paths` links several: a list gives all of them the same value, a mapping
    gives each its own template of the level `x`. Levels with `set:` need neither. `when` writes a path only
    where a condition on the factors holds, for keys that only some rule sets have.
    """

    name: str = Field(description="names it in constraints, in points and in tables")
    path: str | None = Field(default=None, description="the path of the scenario that it sets")
    paths: tuple[str, ...] | dict[str, str] | None = Field(
        default=None, description="several paths: a list that all get the level, or a mapping of each to its template"
    )
    template: str = Field(default="{}", description="what is written for a level, {} or {x * 2} standing for it")
    when: dict[str, str] = Field(default_factory=dict, description="conditions under which a path is written at all, by path")
    unit: str = Field(default="", description="unit, for axes and tables")
    title: str = Field(default="", description="what figures call it; its name unless given")
    levels: Annotated[tuple[Level, ...], Field(min_length=1)] | None = Field(
        default=None, description="its values: numbers, texts, or mappings"
    )
    range: Range | None = Field(default=None, description="an interval in place of levels: [low, high] or a mapping")

    @field_validator("name")
    @classmethod
    def _identifier(cls, name: str) -> str:
        columns = {*RUN_COLUMNS, *POINT_COLUMNS, *SERIES_COLUMNS}
        if unknown_metric(name) is None:
            raise ValueError(f"`{name}` cannot be a factor's name, a metric has it; call it {name}_level or the like")
        if not _NAME.fullmatch(name) or name in _RESERVED | columns:
            raise ValueError(
                f"`{name}` cannot be a factor's name; letters, digits and _ are accepted, but no word of "
                f"expressions and no column of the tables ({', '.join(sorted(columns))})"
            )
        return name

    @field_validator("template")
    @classmethod
    def _readable(cls, template: str) -> str:
        try:
            parse_template(template)
        except ExpressionError as error:
            raise ValueError(str(error)) from error
        return template

    @field_validator("paths")
    @classmethod
    def _linked(cls, paths: tuple[str, ...] | dict[str, str] | None) -> tuple[str, ...] | dict[str, str] | None:
        if paths is None:
            return None
        if not paths:
            raise ValueError("no path is given; write at least one")
        if isinstance(paths, dict):
            for path, template in paths.items():
                try:
                    parse_template(template)
                except ExpressionError as error:
                    raise ValueError(f"{path}: {error}") from error
        elif len(set(paths)) < len(paths):
            raise ValueError("a path is listed twice")
        return paths

    @field_validator("when")
    @classmethod
    def _conditions_readable(cls, when: dict[str, str]) -> dict[str, str]:
        for path, text in when.items():
            try:
                parse_expression(text)
            except ExpressionError as error:
                raise ValueError(f"{path}: {error}") from error
        return when

    @model_validator(mode="after")
    def _conditions_of_paths(self) -> Self:
        for path in self.when:
            if path not in self.writes():
                raise ValueError(f"`when` names {path}, which this factor does not write")
        return self

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if self.path is not None and self.paths is not None:
            raise ValueError("`path` and `paths` exclude each other")
        if (self.levels is None) == (self.range is None):
            raise ValueError("a factor has either `levels` or `range`")
        free = self.path is None and self.paths is None
        if self.range is not None and free:
            raise ValueError("a `range` needs `path` or `paths`")
        for level in self.levels or ():
            if free and level.set is None:
                raise ValueError("without `path` or `paths` every level needs `set:`")
            if not free and level.set is not None:
                raise ValueError("`set:` in a level excludes `path` and `paths`")
            if not free and level.value is None:
                raise ValueError("every level needs a `value:`")
        texts = [level.text for level in self.levels or ()]
        twice = sorted({text for text in texts if texts.count(text) > 1})
        if twice:
            raise ValueError(f"level {twice[0]} is given twice")
        return self

    @property
    def label(self) -> str:
        """Name for axes: the title, or the name, with the unit in brackets."""
        text = self.title or self.name.replace("_", " ")
        return f"{text} [{self.unit}]" if self.unit else text

    def templates(self) -> dict[str, Template]:
        """Scenario path → template; empty when the levels use `set:`."""
        if self.path is not None:
            return {self.path: parse_template(self.template)}
        if isinstance(self.paths, dict):
            return {path: parse_template(text) for path, text in self.paths.items()}
        return {path: parse_template(self.template) for path in self.paths or ()}

    def writes(self) -> tuple[str, ...]:
        """Every scenario path that this factor writes at some level."""
        if self.path is not None or self.paths is not None:
            return tuple(self.templates())
        return tuple(dict.fromkeys(path for level in self.levels or () for path in level.set or ()))

    def setting(
        self, level: Level, values: Mapping[str, Value] | None = None, decimals: Mapping[str, int | None] | None = None
    ) -> dict[str, Any]:
        """Scenario path → value at a level; `values` are all factors' levels, for the conditions in `when`.

        What a template computes is rounded to the `decimals` that its path can hold. Raises ExpressionError when a
        template or a condition cannot be evaluated.
        """
        if level.set is not None:
            found = dict(level.set)
        else:
            assert level.value is not None
            held = decimals or {}
            found = {path: template.fill(level.value, held.get(path)) for path, template in self.templates().items()}
        return {
            path: value for path, value in found.items() if path not in self.when or parse_expression(self.when[path]).value(values or {})
        }


class GridDesign(_Frozen):
    """Every combination of every factor's levels; a range needs `steps`."""

    kind: Literal["grid"] = Field(description="every combination of every factor's levels")


class ListDesign(_Frozen):
    """Exactly the given points: factor name → value or label of a level."""

    kind: Literal["list"] = Field(description="exactly the points given")
    points: Annotated[tuple[dict[str, Scalar], ...], Field(min_length=1)] = Field(
        description="the points: a level of each factor by value or label"
    )


class LatinHypercubeDesign(_Frozen):
    """`points` points, each factor cut into as many strata, one point in each."""

    kind: Literal["latin_hypercube"] = Field(description="points spread over the ranges, one in each stratum of each factor")
    points: Annotated[int, Field(ge=2, le=100_000)] = Field(description="number of points")
    seed: Annotated[int, Field(ge=0)] = Field(default=1, description="seed of the design, not of the runs")


class SobolDesign(_Frozen):
    """Saltelli's design over a scrambled Sobol sequence: `samples` × (factors + 2) points."""

    kind: Literal["sobol"] = Field(description="Saltelli's design, for Sobol's indices")
    samples: Annotated[int, Field(ge=4, le=65_536)] = Field(
        description="base samples, a power of two; times factors + 2 is the number of points"
    )
    seed: Annotated[int, Field(ge=0)] = Field(default=1, description="seed of the design, not of the runs")

    @field_validator("samples")
    @classmethod
    def _power_of_two(cls, samples: int) -> int:
        if samples & (samples - 1):
            raise ValueError(f"{samples} is not a power of two; a Sobol sequence is balanced at 4, 8, 16, 32 …")
        return samples


class MorrisDesign(_Frozen):
    """Elementary effects: `trajectories` × (factors + 1) points on a grid of `grid_levels` levels."""

    kind: Literal["morris"] = Field(description="trajectories of single steps, for Morris' elementary effects")
    trajectories: Annotated[int, Field(ge=2, le=10_000)] = Field(description="number of trajectories of factors + 1 points")
    grid_levels: Annotated[int, Field(ge=2, le=64)] = Field(default=4, description="levels of the grid that they walk on, an even number")
    seed: Annotated[int, Field(ge=0)] = Field(default=1, description="seed of the design, not of the runs")

    @field_validator("grid_levels")
    @classmethod
    def _even(cls, levels: int) -> int:
        if levels % 2:
            raise ValueError("`grid_levels` must be even, as Morris' jumps of half the grid ask")
        return levels


def _with_short_grid(schema: dict[str, Any]) -> None:
    """Lets editors accept `design: grid` beside the mappings."""
    schema.pop("discriminator", None)
    schema["anyOf"] = [{"const": "grid"}, *schema.pop("oneOf", [])]


Design = Annotated[
    GridDesign | ListDesign | LatinHypercubeDesign | SobolDesign | MorrisDesign,
    Field(discriminator="kind", json_schema_extra=_with_short_grid),
]


class Until(_Frozen):
    """Stop a point when the interval of `metric` is narrow enough."""

    metric: str = Field(description="whose interval")
    half_width: Annotated[float, Field(gt=0)] | None = Field(
        default=None, description="half of the width that is narrow enough, in the metric's unit"
    )
    relative_half_width: Annotated[float | None, Field(gt=0, json_schema_extra={"anyOf": [{"type": ["number", "string", "null"]}]})] = (
        Field(default=None, description="the same as a share of the mean, such as 0.05 or 5%")
    )

    @field_validator("relative_half_width", mode="before")
    @classmethod
    def _percent(cls, value: Any) -> Any:
        if isinstance(value, str) and (match := _PERCENT.fullmatch(value.strip())):
            return float(match.group(1)) / 100
        return value

    @model_validator(mode="after")
    def _one_width(self) -> Self:
        if (self.half_width is None) == (self.relative_half_width is None):
            raise ValueError("give either `half_width` or `relative_half_width`")
        return self


class Budget(_Frozen):
    """The most that a sweep may spend; a time budget makes its report `not reproducible`."""

    short_forms: ClassVar[tuple[dict[str, Any], ...]] = ({"type": ["integer", "string"]},)

    runs: Annotated[int, Field(ge=1)] | None = Field(default=None, description="runs in all")
    seconds: Annotated[float, Field(gt=0)] | None = Field(default=None, description="seconds in all; the report is then not reproducible")

    @model_validator(mode="before")
    @classmethod
    def _short_form(cls, data: Any) -> Any:
        if isinstance(data, int) and not isinstance(data, bool):
            return {"runs": data}
        if isinstance(data, str):
            if match := _RUNS.fullmatch(data.strip()):
                return {"runs": int(match.group(1))}
            return {"seconds": _seconds(data)}
        return data

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        if (self.runs is None) == (self.seconds is None):
            raise ValueError("a budget counts either runs (`200 runs`) or time (`10m`)")
        return self


class Replications(_Frozen):
    """How often each point runs: a fixed number, until an interval is narrow, or until a budget ends."""

    short_forms: ClassVar[tuple[dict[str, Any], ...]] = ({"type": "integer", "minimum": 1},)

    fixed: Annotated[int, Field(ge=1, le=1_000_000)] | None = Field(default=None, description="exactly so many")
    until: Until | None = Field(default=None, description="until an interval is narrow enough")
    budget: Budget | None = Field(default=None, description="until so much is spent")
    round: Annotated[int, Field(ge=1)] = Field(default=5, description="replications of each point between two looks")
    at_most: Annotated[int, Field(ge=2, le=1_000_000)] = Field(default=1000, description="the most of a point")

    @model_validator(mode="before")
    @classmethod
    def _short_form(cls, data: Any) -> Any:
        return {"fixed": data} if isinstance(data, int) and not isinstance(data, bool) else data

    @model_validator(mode="after")
    def _one_rule(self) -> Self:
        if self.fixed is None and self.until is None and self.budget is None:
            raise ValueError("give a number, `until:` or `budget:`")
        if self.fixed is not None and (self.until is not None or self.budget is not None):
            raise ValueError("`fixed` excludes `until` and `budget`")
        return self

    @property
    def most(self) -> int:
        """The most replications a point can have."""
        return self.fixed if self.fixed is not None else self.at_most


class Seeds(_Frozen):
    """Which integers seed the replications: `common` to all points, or `independent` by counter."""

    short_forms: ClassVar[tuple[dict[str, Any], ...]] = ({"enum": ["common", "independent"]},)

    pairing: Literal["common", "independent"] = Field(
        default="common",
        description="common: the same seeds at every point, so that points are compared on the same market; independent: others at each",
    )
    first: Annotated[int, Field(ge=0, le=2**31)] = Field(default=1, description="the seed of the first replication")

    @model_validator(mode="before")
    @classmethod
    def _short_form(cls, data: Any) -> Any:
        return {"pairing": data} if isinstance(data, str) else data

    def seed(self, point: int, replication: int) -> int:
        """The seed of a replication (both counted from 0)."""
        if self.pairing == "common":
            return self.first + replication
        return self.first + point * 1_000_000 + replication


class SeriesWanted(_Frozen):
    """A metric over time: its mean over replications with a band, at every point."""

    short_forms: ClassVar[tuple[dict[str, Any], ...]] = ({"type": "string"},)

    metric: str = Field(description="what is followed: leases.active, utilization.cpu, revenue.total, fill_rate and others")
    every: Annotated[float, Field(ge=3600, json_schema_extra={"type": ["number", "string"]})] = Field(
        default=21_600.0, description="the span of each value, in seconds or as a duration such as 6h; an hour at least"
    )

    @model_validator(mode="before")
    @classmethod
    def _short_form(cls, data: Any) -> Any:
        return {"metric": data} if isinstance(data, str) else data

    @field_validator("every", mode="before")
    @classmethod
    def _every_seconds(cls, value: Any) -> Any:
        return _seconds(value) if isinstance(value, str) else value

    @property
    def span(self) -> Span:
        """What a run measures."""
        return Span(self.metric, round(self.every * 1000))


class SweepFile(_Frozen):
    """A sweep as written by its author."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")] = Field(description="names the sweep and its folder")
    description: str = Field(default="", description="what the sweep asks; the report begins with it")
    scenario: str = Field(description="path of the scenario, from the folder of the sweep's file")
    set: dict[str, Any] = Field(default_factory=dict, description="values of the scenario that hold at every point, by path")
    factors: Annotated[tuple[Factor, ...], Field(min_length=1)] = Field(description="what is varied")
    constraints: tuple[str, ...] = Field(
        default=(), description="conditions on the factors, such as `price < 2 * cost`; points that do not meet them are left out"
    )
    design: Design = Field(default=GridDesign(kind="grid"), description="which combinations of levels are run")
    replications: Replications = Field(default=Replications(fixed=5), description="how often each point is run")
    metrics: Annotated[tuple[str, ...], Field(min_length=1)] = Field(
        default=("revenue.total", "fill_rate"), description="numbers of the summary that tables and report show, by path"
    )
    series: tuple[SeriesWanted, ...] = Field(
        default=(),
        description="metrics over time that the report shows with bands over replications, such as {metric: revenue.total, every: 1d}",
    )
    seeds: Seeds = Field(default=Seeds(), description="seeds of the replications")
    confidence: Annotated[float, Field(ge=0.5, lt=1)] = Field(default=0.95, description="confidence of the intervals")
    trails: bool = Field(
        default=False, description="whether each run's file keeps the trail by which `marketsim diff` finds where two runs part"
    )
    timeout: Annotated[float, Field(json_schema_extra={"type": ["number", "string"]})] = Field(
        default=600.0, description="the most seconds that a run may take, or a duration such as 10m; a longer one is given up"
    )

    @field_validator("design", mode="before")
    @classmethod
    def _design_name(cls, design: Any) -> Any:
        return {"kind": design} if isinstance(design, str) else design

    @field_validator("timeout", mode="before")
    @classmethod
    def _timeout_seconds(cls, value: Any) -> Any:
        seconds = _seconds(value) if isinstance(value, str) else value
        if isinstance(seconds, int | float | Decimal) and not seconds > 0:
            raise ValueError("the time limit of a run must be above 0")
        return seconds

    @field_validator("constraints")
    @classmethod
    def _constraints_readable(cls, constraints: tuple[str, ...]) -> tuple[str, ...]:
        for text in constraints:
            try:
                parse_expression(text)
            except ExpressionError as error:
                raise ValueError(str(error)) from error
        return constraints

    @field_validator("factors")
    @classmethod
    def _factors_apart(cls, factors: tuple[Factor, ...]) -> tuple[Factor, ...]:
        names = [factor.name for factor in factors]
        for factor in factors:
            for path, text in factor.when.items():
                for name in parse_expression(text).names:
                    if name not in names:
                        raise ValueError(f"`when` of {factor.name}, {path}: `{name}` is not a factor")
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"two factors are named {twice[0]}")
        owner: dict[str, str] = {}
        for factor in factors:
            for path in factor.writes():
                for other, by in owner.items():
                    if by != factor.name and (f"{path}.".startswith(f"{other}.") or f"{other}.".startswith(f"{path}.")):
                        raise ValueError(f"factors {by} and {factor.name} contradict: both set {path}")
                owner[path] = factor.name
        return factors

    @field_validator("metrics")
    @classmethod
    def _metrics_once(cls, metrics: tuple[str, ...]) -> tuple[str, ...]:
        twice = sorted({name for name in metrics if metrics.count(name) > 1})
        if twice:
            raise ValueError(f"metric {twice[0]} is listed twice")
        return metrics

    @field_validator("series")
    @classmethod
    def _series_once(cls, series: tuple[SeriesWanted, ...]) -> tuple[SeriesWanted, ...]:
        keys = [one.span.key for one in series]
        twice = sorted({key for key in keys if keys.count(key) > 1})
        if twice:
            raise ValueError(f"the series {twice[0]} is listed twice")
        return series

    @model_validator(mode="after")
    def _set_once(self) -> Self:
        for factor in self.factors:
            for path in factor.writes():
                if path in self.set:
                    raise ValueError(f"`set` and factor {factor.name} contradict: both set {path}")
        return self

    @property
    def recorded(self) -> tuple[str, ...]:
        """The metrics in the sweep's tables: those asked for, the one that stops it, and the figures' two."""
        until = self.replications.until
        extra = (until.metric,) if until is not None else ()
        return tuple(dict.fromkeys((*self.metrics, *extra, *ALWAYS)))

    @property
    def spans(self) -> tuple[Span, ...]:
        """What runs measure over time."""
        return tuple(one.span for one in self.series)

    def as_json(self) -> dict[str, Any]:
        """Plain data of what its author wrote, numbers as numbers."""
        data: dict[str, Any] = json.loads(json.dumps(self.model_dump(exclude_none=True), default=float))
        return data

    def expressions(self) -> tuple[Expression, ...]:
        """The constraints, parsed."""
        return tuple(parse_expression(text) for text in self.constraints)


def _seconds(text: str) -> float:
    match = _DURATION.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"`{text}` is not a time; write 90s, 5m or 2h")
    return float(match.group(1)) * _DURATION_SECONDS[match.group(2)]
