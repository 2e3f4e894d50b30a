"""The baseline of a gate as a file: what each seed gave, with margins, versions and the reason why it was written."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from marketsim.errors import InputError
from marketsim.experiments.compare.paired import Margin
from marketsim.experiments.gate.gate_metric import GateMetric
from marketsim.statistics.estimates import FloatArray
from marketsim.statistics.fixed_n import Aim

SCHEMA = "marketsim.baseline/1"


class Kept(BaseModel):
    """A part of a baseline's file: unknown keys are refused, nothing changes once it is read."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class KeptMetric(Kept):
    """A metric's line: `margin` in its unit or, if `relative`, as a share of the baseline's mean."""

    name: str = Field(min_length=1)
    margin: float = Field(gt=0, allow_inf_nan=False)
    relative: bool
    aim: Aim
    rare: float | None = Field(default=None, gt=0, lt=1)

    def asked(self) -> GateMetric:
        """The same as the gate uses it."""
        return GateMetric(self.name, Margin(self.margin, self.relative), self.aim, self.rare)


class KeptRun(Kept):
    """What one seed gave; `twin` are the values of the same seed under another salt, which says how much a change without effect moves.

    A value is None where the run has none.
    """

    seed: int = Field(ge=0)
    fingerprint: str
    values: dict[str, float | None]
    twin: dict[str, float | None] = {}


class KeptScenario(Kept):
    """A scenario's runs; `path` is relative to the baseline's folder, `settings` are applied to it, `trail` is of its first seed."""

    path: str = Field(min_length=1)
    settings: tuple[str, ...] = ()
    content: str = ""
    runs: tuple[KeptRun, ...] = Field(min_length=1)
    trail: dict[str, Any] = {}

    @field_validator("runs")
    @classmethod
    def _seeds_once(cls, value: tuple[KeptRun, ...]) -> tuple[KeptRun, ...]:
        if len({run.seed for run in value}) != len(value):
            raise ValueError("a seed stands twice")
        return value

    @property
    def seeds(self) -> list[int]:
        """The seeds in the order in which they are used."""
        return [run.seed for run in self.runs]

    def values(self, metric: str) -> FloatArray:
        """A metric by seed, float64[seeds], NaN where it is undefined."""
        import numpy as np

        return np.array([_number(run.values.get(metric)) for run in self.runs])

    def twin_differences(self, metric: str) -> FloatArray:
        """What another salt changed, of the seeds whose runs both have a value."""
        import numpy as np

        found = np.array([_number(run.twin.get(metric)) - _number(run.values.get(metric)) for run in self.runs])
        kept: FloatArray = found[np.isfinite(found)]
        return kept


class Baseline(Kept):
    """A baseline's file."""

    schema_: Literal["marketsim.baseline/1"] = Field(alias="schema")
    alpha: float = Field(gt=0, lt=0.5)
    power: float = Field(gt=0.5, lt=1)
    reason: str = ""
    versions: dict[str, str]
    metrics: tuple[KeptMetric, ...] = Field(min_length=1)
    scenarios: tuple[KeptScenario, ...] = Field(min_length=1)

    @property
    def asked(self) -> list[GateMetric]:
        """The metrics as the gate uses them."""
        return [metric.asked() for metric in self.metrics]


def kept_metric(metric: GateMetric) -> KeptMetric:
    """A metric as the file has it."""
    return KeptMetric(name=metric.name, margin=metric.margin.amount, relative=metric.margin.relative, aim=metric.aim, rare=metric.rare)


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)


def read_baseline(path: Path) -> Baseline:
    """Read a baseline; raises InputError with a line for each key that is wrong."""
    try:
        data = json.loads(path.read_bytes())
    except ValueError as error:
        raise InputError(f"{path}: not JSON ({error}), give a baseline written by `marketsim check --update`") from None
    if not isinstance(data, dict) or data.get("schema") != SCHEMA:
        raise InputError(f"{path}: schema: not a baseline of this version ({SCHEMA}), write it again with `marketsim check --update`")
    try:
        found = Baseline.model_validate(data)
    except ValidationError as error:
        raise InputError(f"{path}: {'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors()) from None
    missing = [
        f"{path}: scenarios.{s}.runs.{r}.values: has no {metric.name}"
        for s, scenario in enumerate(found.scenarios)
        for r, run in enumerate(scenario.runs)
        for metric in found.metrics
        if metric.name not in run.values
    ]
    if missing:
        raise InputError(missing)
    return found


def baseline_bytes(baseline: Baseline) -> bytes:
    """The file: keys sorted, a line for each run, so that a version control shows which seeds changed."""
    data = baseline.model_dump(mode="json", by_alias=True)
    for scenario in data["scenarios"]:
        for run in scenario["runs"]:
            if not run["twin"]:
                del run["twin"]
        if not scenario["trail"]:
            del scenario["trail"]
    return _json(data).encode() + b"\n"


_FLAT_DEPTH, _FLAT_LENGTH = 4, 120


def _json(value: Any, depth: int = 0) -> str:
    """JSON with sorted keys, indented where it is long, but a run is one line."""
    flat = json.dumps(value, sort_keys=True, ensure_ascii=False)
    if not isinstance(value, dict | list) or not value or depth >= _FLAT_DEPTH or len(flat) <= _FLAT_LENGTH:
        return flat
    inner = " " * (depth + 1)
    if isinstance(value, dict):
        parts = [f"{inner}{json.dumps(key, ensure_ascii=False)}: {_json(value[key], depth + 1)}" for key in sorted(value)]
    else:
        parts = [f"{inner}{_json(one, depth + 1)}" for one in value]
    opened, closed = ("{", "}") if isinstance(value, dict) else ("[", "]")
    return opened + "\n" + ",\n".join(parts) + "\n" + " " * depth + closed


def relative_to(path: Path, folder: Path) -> str:
    """A path as a baseline keeps it: from its own folder, with `/`; absolute where there is no way (another drive)."""
    try:
        return Path(os.path.relpath(path.resolve(), folder.resolve())).as_posix()
    except ValueError:
        return path.resolve().as_posix()
