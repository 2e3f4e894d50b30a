"""The distributions of a scenario file: one literal, a range, or a named family with parameters in the
literal's unit.

A distribution only describes; whoever draws takes `law()`, plain numbers, and a generator from a named
stream.
"""

from __future__ import annotations

import math
from functools import cached_property
from typing import Annotated, Any, ClassVar, Generic, NamedTuple, TypeVar, cast

from pydantic import BaseModel, ConfigDict, Field, GetJsonSchemaHandler, ValidationInfo, field_validator, model_serializer, model_validator
from pydantic_core import CoreSchema

from marketsim.scenario.literals import Duration, Number, PositiveNumber, number, shown

T = TypeVar("T")

_Z90, _Z95, _Z99 = 1.2815515655446004, 1.6448536269514722, 2.3263478740408408
FAMILIES = ("constant", "uniform", "lognormal", "exponential", "normal", "choice")


class Frozen(BaseModel):
    """A frozen part of a file: unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    short_forms: ClassVar[tuple[str | dict[str, Any], ...]] = ()
    """What may stand in place of the mapping: JSON Schemas, or names of fields whose own form it is."""

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        schema = handler(core)
        if cls.short_forms:
            resolved = handler.resolve_ref_schema(schema)
            mapping = {key: value for key, value in resolved.items() if key != "description"}
            resolved.clear()
            fields = mapping.get("properties", {})
            short = [fields[form] if isinstance(form, str) else form for form in cls.short_forms]
            resolved.update({"anyOf": [*short, mapping], "description": cls.__doc__ or ""})
        return schema


class Law(NamedTuple):
    """A distribution as plain numbers.

    `family` one of constant (a), uniform (a..b; whole units with both ends when `whole`), lognormal (a =
    median, b = sigma of the logarithm), exponential (a = mean), normal (a = mean, b = standard deviation),
    choice (`values` with `weights`, normalised to sum 1). Draws are clamped to [low, high]. `unit` is "ms" or
    "blocks" for durations, else "". Money is in atto-uve.
    """

    family: str
    a: float
    b: float
    values: tuple[Any, ...]
    weights: tuple[float, ...]
    low: float
    high: float
    unit: str
    whole: bool


class Lognormal(Frozen, Generic[T]):
    """Log-normal by its median and either sigma or an upper percentile."""

    median: T = Field(description="the middle: half of the draws are below")
    sigma: Annotated[float, number(0.0, 50.0)] | None = Field(default=None, description="standard deviation of the logarithm")
    p90: T | None = Field(default=None, description="nine tenths of the draws are below, in place of sigma")
    p95: T | None = Field(default=None, description="95 % of the draws are below, in place of sigma")
    p99: T | None = Field(default=None, validate_default=True, description="99 % of the draws are below, in place of sigma")

    @field_validator("p99")
    @classmethod
    def _one_spread(cls, value: T | None, info: ValidationInfo) -> T | None:
        given = [k for k in ("sigma", "p90", "p95") if info.data.get(k) is not None]
        given += ["p99"] if value is not None else []
        if not {"sigma", "p90", "p95", "median"} <= info.data.keys():
            return value
        if len(given) != 1:
            found = " and ".join(given) if given else "none of them"
            raise ValueError(f"found {found}, give exactly one of sigma, p90, p95, p99 beside the median")
        median = quantity(info.data["median"])
        if median <= 0:
            raise ValueError("the median is 0, a log-normal needs a median above 0")
        if given[0] != "sigma" and quantity(value if given[0] == "p99" else info.data[given[0]]) < median:
            raise ValueError(f"{given[0]} is below the median, give a percentile of at least the median")
        return value

    @property
    def spread(self) -> float:
        """Sigma: the standard deviation of the logarithm."""
        if self.sigma is not None:
            return self.sigma
        for percentile, z in ((self.p90, _Z90), (self.p95, _Z95), (self.p99, _Z99)):
            if percentile is not None:
                return math.log(quantity(percentile) / quantity(self.median)) / z
        return 0.0


class Exponential(Frozen, Generic[T]):
    """Exponential by its mean."""

    short_forms = ("mean",)

    mean: T = Field(description="the mean")

    @model_validator(mode="before")
    @classmethod
    def _short(cls, data: object) -> object:
        return data if isinstance(data, dict) else {"mean": data}


class Normal(Frozen, Generic[T]):
    """Normal by mean and standard deviation, in the same unit; draws are clamped at min (default 0)."""

    mean: T = Field(description="the mean before draws are cut at min and max")
    sd: T = Field(description="the standard deviation before that")


class Choice(Frozen, Generic[T]):
    """One of `values`, with `weights` (default: all alike)."""

    short_forms = ("values",)

    values: Annotated[tuple[T, ...], Field(min_length=1)] = Field(description="what is chosen among")
    weights: tuple[Number, ...] | None = Field(
        default=None, validate_default=True, description="how often each is chosen, relative to the others; without it all alike"
    )

    @model_validator(mode="before")
    @classmethod
    def _short(cls, data: object) -> object:
        return {"values": data} if isinstance(data, (list, tuple)) else data

    @field_validator("weights")
    @classmethod
    def _match(cls, weights: tuple[float, ...] | None, info: ValidationInfo) -> tuple[float, ...] | None:
        if weights is None or "values" not in info.data:
            return weights
        if len(weights) != len(info.data["values"]):
            raise ValueError(f"{len(weights)} weights for {len(info.data['values'])} values, give one weight a value")
        if sum(weights) <= 0:
            raise ValueError("all weights are 0, give at least one above 0")
        return weights

    def shares(self) -> tuple[tuple[Any, ...], tuple[float, ...]]:
        """The values and their shares, which add to 1."""
        weights = self.weights or (1.0,) * len(self.values)
        total = sum(weights)
        return tuple(self.values), tuple(weight / total for weight in weights)


def quantity(value: Any) -> float:
    """The number behind a parsed literal: bytes, millicores, atto-uve, milliseconds or blocks."""
    return value.amount if isinstance(value, Duration) else cast("float", value)


class Distribution(Frozen, Generic[T]):
    """A quantity drawn anew each time: a literal, `a..b`, or one family; `min` and `max` clamp the draws."""

    short_forms = ("constant", {"type": "string", "pattern": r"\.\.", "examples": ["1..50"]})

    constant: T | None = Field(default=None, description="always this; a bare value means the same")
    uniform: tuple[T, T] | None = Field(default=None, description="[low, high], whole numbers with both ends; low..high means the same")
    lognormal: Lognormal[T] | None = Field(default=None, description="log-normal")
    exponential: Exponential[T] | None = Field(default=None, description="exponential; a bare value is its mean")
    normal: Normal[T] | None = Field(default=None, description="normal")
    choice: Choice[T] | None = Field(default=None, description="one of several values; a bare list is their values")
    min: T | None = Field(default=None, description="draws below are raised to this; 0 unless it stands here")
    max: T | None = Field(default=None, description="draws above are lowered to this")

    @model_validator(mode="before")
    @classmethod
    def _short(cls, data: object) -> object:
        if isinstance(data, str) and ".." in data:
            low, _, high = data.partition("..")
            unit = "".join(high.strip().partition(" ")[1:]) if high.strip().endswith(("block", "blocks")) else ""
            if not unit and low.strip().replace(".", "").isdigit():
                unit = high.strip().lstrip("0123456789._")
            return {
                "uniform": [
                    low.strip() + (unit if low.strip().replace(".", "").isdigit() else ""),
                    high.strip(),
                ]
            }
        if isinstance(data, dict):
            given = [family for family in FAMILIES if data.get(family) is not None]
            if len(given) == 1:
                return data
            unknown = [str(key) for key in data if key not in FAMILIES and key not in ("min", "max")]
            if not given and unknown:
                return data | {"constant": 0}  # the unknown key is the error to report
            found = " and ".join(given) if given else "none of them"
            raise ValueError(f"found {found}, give exactly one of {', '.join(FAMILIES)}")
        if data is None:
            raise ValueError("is empty, write a value or a distribution")
        return data if isinstance(data, cls) else {"constant": data}

    @model_validator(mode="after")
    def _consistent(self) -> Distribution[T]:
        literals = self.literals()
        if len({value.in_blocks for value in literals if isinstance(value, Duration) and value.amount}) > 1:
            raise ValueError("mixes blocks and time, give all durations of one distribution in blocks or all in time")
        if self.uniform is not None and quantity(self.uniform[0]) > quantity(self.uniform[1]):
            raise ValueError("the range runs backwards, give [low, high]")
        if self.min is not None and self.max is not None and quantity(self.min) > quantity(self.max):
            raise ValueError("min is above max, give min at most max")
        return self

    @model_serializer(mode="wrap")
    def _dump(self, handler: Any) -> Any:
        data = {key: value for key, value in handler(self).items() if value is not None}
        for part in ("lognormal", "choice"):
            if part in data:
                data[part] = {key: value for key, value in data[part].items() if key in ("values",) or value is not None}
        return data["constant"] if list(data) == ["constant"] else data

    def literals(self, *, spread: bool = True) -> list[Any]:
        """Every literal that the file gives; without `spread` only those that a draw can be near: no percentile and no deviation."""
        found: list[Any] = [self.constant, self.min, self.max, *(self.uniform or ())]
        if self.lognormal is not None:
            found.append(self.lognormal.median)
            found += [self.lognormal.p90, self.lognormal.p95, self.lognormal.p99] if spread else []
        if self.exponential is not None:
            found.append(self.exponential.mean)
        if self.normal is not None:
            found += [self.normal.mean, self.normal.sd] if spread else [self.normal.mean]
        if self.choice is not None:
            found += list(self.choice.values)
        return [value for value in found if value is not None]

    @property
    def family(self) -> str:
        """Which of `FAMILIES` it is."""
        return next((name for name in FAMILIES if getattr(self, name) is not None), "constant")

    def law(self) -> Law:
        """The distribution as plain numbers, for whoever draws."""
        return self.plain

    @cached_property
    def plain(self) -> Law:
        """What `law` returns, made once."""
        only = self.constant
        if only is not None and self.min is None and self.max is None:
            unit = "" if not isinstance(only, Duration) else "blocks" if only.in_blocks else "ms"
            return Law("constant", quantity(only), 0.0, (), (), 0.0, math.inf, unit, isinstance(only, int | Duration))
        literals = self.literals()
        durations = [value for value in literals if isinstance(value, Duration)]
        # nothing is no blocks as well as no time
        telling = [value for value in durations if value.amount] or durations
        unit = "" if not telling else "blocks" if telling[0].in_blocks else "ms"
        all_whole = bool(literals) and all(isinstance(value, (int, Duration)) for value in literals)
        low = 0.0 if self.min is None else quantity(self.min)
        high = math.inf if self.max is None else quantity(self.max)
        a = b = 0.0
        values: tuple[Any, ...] = ()
        weights: tuple[float, ...] = ()
        if self.uniform is not None:
            a, b = quantity(self.uniform[0]), quantity(self.uniform[1])
        elif self.lognormal is not None:
            a, b = quantity(self.lognormal.median), self.lognormal.spread
        elif self.exponential is not None:
            a = quantity(self.exponential.mean)
        elif self.normal is not None:
            a, b = quantity(self.normal.mean), quantity(self.normal.sd)
        elif self.choice is not None:
            drawn, weights = self.choice.shares()
            values = tuple(map(quantity, drawn))
        else:
            a = quantity(self.constant)
        return Law(self.family, a, b, values, weights, low, high, unit, all_whole)

    def bounds(self) -> tuple[float, float]:
        """The least and the largest draw, in the literal's unit; infinity where there is no largest."""
        law = self.law()
        low, high = {
            "uniform": (law.a, law.b),
            "lognormal": (0.0 if law.b else law.a, math.inf if law.b else law.a),
            "exponential": (0.0, math.inf),
            "normal": (-math.inf if law.b else law.a, math.inf if law.b else law.a),
            "choice": (min(law.values, default=0.0), max(law.values, default=0.0)),
        }.get(law.family, (law.a, law.a))
        return min(max(low, law.low), law.high), min(max(high, law.low), law.high)

    def mean(self) -> float:
        """The mean before `min` and `max` clamp it, in the literal's unit."""
        law = self.law()
        if law.family == "uniform":
            return (law.a + law.b) / 2
        if law.family == "lognormal":
            return law.a * math.exp(min(law.b**2 / 2, 600.0))  # no further, lest a float overflows
        if law.family == "choice":
            return float(sum(value * weight for value, weight in zip(law.values, law.weights, strict=True)))
        return law.a


class Window(Frozen):
    """A low and a high number."""

    short_forms = ({"type": "array", "items": {"type": "number"}, "minItems": 2, "maxItems": 2},)

    low: Number = Field(description="the least number that meets the target")
    high: Number = Field(description="the largest")

    @model_validator(mode="before")
    @classmethod
    def _short(cls, data: object) -> object:
        if isinstance(data, (list, tuple)):
            if len(data) != 2:
                raise ValueError(f"found {len(data)} numbers, give [low, high]")
            return {"low": data[0], "high": data[1]}
        if not isinstance(data, (dict, cls)):
            raise ValueError(f"{shown(data)} is not a range, give [low, high]")
        return data

    @model_validator(mode="after")
    def _ordered(self) -> Window:
        if self.low > self.high:
            raise ValueError("the range runs backwards, give [low, high]")
        return self

    @model_serializer
    def _dump(self) -> list[float]:
        return [self.low, self.high]


__all__ = [
    "Choice",
    "Distribution",
    "Exponential",
    "Frozen",
    "Law",
    "Lognormal",
    "Normal",
    "PositiveNumber",
    "Window",
    "quantity",
]
