"""Unit tests of alerting rules over simulated time, in the form that `promtool test rules` reads.

A Prometheus evaluates its rules at the wall clock's now, so simulated data fires nothing there. promtool plays series of our own against
the rules instead: series as values at even steps, and for each rule and step the question which alerts fire. Asked with no alert expected,
it answers with those that do.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from marketsim.errors import InputError, LackingError
from marketsim.metrics.series import SERIES, MetricSeries, Sample

PACKAGE: Final = "promtool is not installed, expected it on the PATH (Debian package prometheus)"
_SECONDS_LIMIT: Final = 120


def input_series(times: Sequence[Mapping[str, list[Sample]]], shown: Sequence[MetricSeries] = SERIES) -> list[dict[str, str]]:
    """Return the series of even steps as promtool's `input_series`: a value a step, `_` where there is none yet, `stale` where it ended."""
    lines: dict[tuple[str, tuple[tuple[str, str], ...]], list[str]] = {}
    for step, found in enumerate(times):
        for series in shown:
            for suffix, values, value in found[series.name]:
                names = (*series.labels, "le") if suffix == "_bucket" else series.labels
                key = (series.name + suffix, tuple(zip(names, values, strict=True)))
                line = lines.setdefault(key, [])
                line += ["_" if not line else "stale"] * (step - len(line))
                line.append(repr(float(value)))
    for line in lines.values():
        line += ["stale"] * (len(times) - len(line))
    return [{"series": f"{name}{{{_labels(labels)}}}", "values": " ".join(line)} for (name, labels), line in lines.items()]


def _labels(labels: Iterable[tuple[str, str]]) -> str:
    return ",".join(f"{name}={json.dumps(value)}" for name, value in labels)


def alert_names(rules: Path) -> list[str]:
    """Return the names of the alerts of a rule file. Raises InputError for a file that is none, with what promtool says of it."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    answer = _promtool("check", "rules", str(rules))
    if answer.returncode != 0:
        raise InputError(f"{rules}: {_first_line(answer.stdout + answer.stderr)}")
    try:
        content = YAML(typ="safe").load(rules.read_text(encoding="utf-8"))
    except (YAMLError, OSError, UnicodeDecodeError) as error:
        raise InputError(f"{rules}: {error}") from None
    found = [rule["alert"] for group in content.get("groups") or [] for rule in group.get("rules") or [] if "alert" in rule]
    return list(dict.fromkeys(found))


def fired(
    rules: Path, series: list[dict[str, str]], step_seconds: int, steps: int, every: int = 1, limit_seconds: int = _SECONDS_LIMIT
) -> dict[str, dict[int, list[dict[str, str]]]]:
    """Return the alerts of a rule file that fire, by name and step, each as its labels; only every `every`-th step is looked at.

    `series` are of `input_series`; promtool is ended after `limit_seconds` of the wall clock. Raises LackingError without promtool,
    InputError for a rule file that it refuses and for a rule that cannot be evaluated to the end.
    """
    names = alert_names(rules)
    asked = range(0, steps, every)
    test = {
        "interval": f"{step_seconds}s",
        "input_series": series,
        "alert_rule_test": [{"eval_time": f"{at * step_seconds}s", "alertname": name, "exp_alerts": []} for name in names for at in asked],
    }
    with tempfile.TemporaryDirectory(prefix="marketsim-rules-") as folder:
        shutil.copy(rules, Path(folder) / "rules.yml")
        content = {"rule_files": ["rules.yml"], "evaluation_interval": f"{step_seconds}s", "tests": [test]}
        (Path(folder) / "test.yml").write_text(json.dumps(content), encoding="utf-8")  # JSON is YAML
        answer = _promtool("test", "rules", "test.yml", cwd=folder, limit_seconds=limit_seconds)
    return _parse(answer.stdout + answer.stderr, names, step_seconds)


_FAILED = re.compile(r"(?m)^\s+alertname: (?P<name>[^,]+), time: (?P<time>[^,]+),")
_ENDED = re.compile(r"(?m)^\s*rule: [^\n]+, time: [^,\n]+, err: [^\n]*")
_GOT = re.compile(r"Labels:(?P<labels>\{[^\n]*\})")
_SPAN = re.compile(r"(\d+)(ms|[smhdwy])")
_IN_SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800, "y": 31_536_000}


def _parse(text: str, names: Sequence[str], step_seconds: int) -> dict[str, dict[int, list[dict[str, str]]]]:
    found: dict[str, dict[int, list[dict[str, str]]]] = {name: {} for name in names}
    if (ended := _ENDED.search(text)) is not None:  # promtool has stopped there: what it says of the time before is not the whole
        raise InputError(f"promtool test rules: {ended[0].strip()}")
    places = list(_FAILED.finditer(text))
    if not places and "SUCCESS" not in text:
        raise InputError(f"promtool test rules: {_first_line(text)}")
    ends = [*(other.start() for other in places), len(text)][1:]
    for place, after in zip(places, ends, strict=True):
        seconds = sum(int(number) * _IN_SECONDS[unit] for number, unit in _SPAN.findall(place["time"]))
        piece = text[place.start() : after].partition("got:")[2]
        alerts = [dict(re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', got["labels"])) for got in _GOT.finditer(piece)]
        found[place["name"]][round(seconds) // step_seconds] = alerts
    return found


def promtool_version() -> str:
    """Return promtool's version, such as 2.42.0. Raises LackingError without promtool."""
    answer = _promtool("--version")
    return next(iter(re.findall(r"version (\d[^\s,+]*)", answer.stdout + answer.stderr)), "unknown")


def _first_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines()]
    lines = [line for line in lines if line and line != "FAILED:" and not line.startswith(("Checking", "Unit Testing"))]
    return lines[0] if lines else "it said nothing"


def _promtool(*arguments: str, cwd: str | None = None, limit_seconds: int = _SECONDS_LIMIT) -> subprocess.CompletedProcess[str]:
    program = shutil.which("promtool")
    if program is None:
        raise LackingError(PACKAGE)
    try:
        return subprocess.run([program, *arguments], cwd=cwd, capture_output=True, text=True, check=False, timeout=limit_seconds)
    except subprocess.TimeoutExpired:
        raise InputError(f"promtool {' '.join(arguments[:2])} took longer than {limit_seconds} s and was ended") from None


__all__: list[Any] = ["PACKAGE", "alert_names", "fired", "input_series", "promtool_version"]
