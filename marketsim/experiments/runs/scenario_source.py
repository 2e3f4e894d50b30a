"""Gives sweeps their scenarios: reads, overrides and judges them through the scenario package."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from marketsim.experiments.runs.files_read import Contents
from marketsim.experiments.runs.ignored_keys import ignored_because
from marketsim.experiments.runs.metric_names import unknown_metric, wants_welfare
from marketsim.market.tables import Ended
from marketsim.recording.record import DECLINE_CODES, UNFILLED
from marketsim.scenario import decimals_at, load_scenario, path_problem, scenario_from_mapping
from marketsim.scenario.inlined import inline_files
from marketsim.scenario.yaml_source import read_source


class ScenarioFiles:
    """The scenario files of this machine (see `sweep_plan.ScenarioSource`)."""

    def __init__(self) -> None:
        self._contents: dict[str, Contents] = {}

    def read(self, path: Path) -> dict[str, Any]:
        """The file as written, with provider files and manifests inlined; raises InputError.

        Defaults are not filled in here: they depend on the rule set, which a factor may change.
        """
        load_scenario(path)
        source = read_source(path)
        inline_files(source, path.parent, set())
        mapping: dict[str, Any] = source.data
        return mapping

    def path_problem(self, mapping: dict[str, Any], path: str) -> str | None:
        """Why a dotted path names nothing in the scenario, None when it can be set."""
        return path_problem(mapping, path)

    def decimals(self, mapping: dict[str, Any], path: str, written: str) -> int | None:
        """How many decimals the number in `written` may have at a dotted path, None where any number may stand."""
        return decimals_at(mapping, path, written)

    def effective(self, mapping: dict[str, Any], base: str, setting: Mapping[str, Any]) -> dict[str, Any]:
        """The scenario with defaults and the values of some paths as plain data; raises InputError."""
        return scenario_from_mapping(mapping, base, setting).effective()

    def contents(self, effective: dict[str, Any], base: str) -> str:
        """A digest of the files beside the scenario that a run reads, empty where there is none."""
        return self._contents.setdefault(base, Contents(Path(base))).digest(effective)

    def ignored(self, path: str, effective: dict[str, Any], metrics: Sequence[str]) -> str | None:
        """Why no metric depends on a key, None when one may."""
        return ignored_because(path, effective, welfare=wants_welfare(metrics))

    def unknown_metric(self, name: str, effective: dict[str, Any]) -> str | None:
        """What is wrong with a metric's name, None when a summary of the scenario has it."""
        reasons = [ended.name.lower() for ended in Ended if ended]
        cohorts = [str(cohort["name"]) for cohort in effective.get("providers") or ()]
        keys: dict[str, Sequence[str]] = {
            "orders.unfilled_reasons": UNFILLED,
            "unserved": UNFILLED,
            "bids.declined": DECLINE_CODES,
            "leases.close_reasons": reasons,
        }
        keys["metrics"] = [str(metric["name"]) for metric in effective.get("metrics") or ()]
        if cohorts:
            keys["revenue.by_cohort"] = cohorts
        return unknown_metric(name, keys)
