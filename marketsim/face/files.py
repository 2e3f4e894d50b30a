"""Checks files of any kind, and tells what may stand in them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, NamedTuple

from marketsim.errors import InputError
from marketsim.experiments.runs.ignored_keys import ignored_in
from marketsim.experiments.runs.scenario_source import ScenarioFiles
from marketsim.experiments.sweep.file import SweepFile
from marketsim.experiments.sweep.plan import plan_sweep
from marketsim.experiments.sweep.reader import load_sweep
from marketsim.face.finding import Finding
from marketsim.money.text import format_amount
from marketsim.scenario import Scenario
from marketsim.scenario.files import kind_of_file, load_provider, load_sdl
from marketsim.scenario.key_page import key_page
from marketsim.scenario.load import load_scenario
from marketsim.scenario.schema import KINDS, described_schema, docs_page, json_schema, schema_text
from marketsim.scenario.shipped import found_file
from marketsim.scenario.yaml_source import read_source
from marketsim.simulation.never_served import never_served
from marketsim.strategies.check import load_strategy
from marketsim.strategies.find import AGENT, CHOICE_RULE, DEMAND, FAULT, METRIC, ExtensionKind, problem_of


def validate(*files: str | os.PathLike[str], imports: bool = False) -> Finding:
    """Check scenario, sweep, provider and SDL files; the kind is known by the keys. Nothing of yours runs but for `imports`.

    `data` has for each file `ok`, its kind, a line about it, warnings, notes and errors; `holds` says whether all are valid. Raises
    nothing for a file that is not: its errors are in `data`.

    >>> import marketsim as ms
    >>> ms.validate("tiny").data[0]["kind"]
    'scenario'
    """
    results: list[dict[str, Any]] = []
    lines: list[str] = []
    for file in files:
        path = str(found_file(file))
        try:
            found = check_file(path, imports=imports)
        except InputError as error:
            results.append(
                {"file": path, "ok": False, "kind": None, "what": None, "warnings": [], "notes": [], "errors": list(error.lines)}
            )
            lines += error.lines
            continue
        results.append({"file": path, "ok": True, **found._asdict(), "errors": []})
        lines += [f"{path}: ok ({found.kind}: {found.what})", *(f"  note: {note}" for note in found.notes), *found.warnings]
    return Finding(results, lines, holds=all(result["ok"] for result in results))


def schema(kind: str, *, docs: bool = False) -> str:
    """Return the JSON Schema of scenario, sweep, provider or sdl files as text, with `docs` a page of all keys in Markdown.

    Raises InputError for another kind.

    >>> import json, marketsim as ms
    >>> json.loads(ms.schema("sweep"))["title"]
    'marketsim sweep file'
    """
    return docs_of(kind) if docs else schema_of(kind)


class CheckedFile(NamedTuple):
    """A valid file: its kind, one line about it, what its author may not have meant, a located line each, and what was read past."""

    kind: str
    what: str
    warnings: list[str]
    notes: list[str]


def check_file(path: str, *, imports: bool = False) -> CheckedFile:
    """What is to be said of the file at `path`; InputError when it is not valid. Nothing of a user's runs, but for `imports`."""
    kind = kind_of_file(path)
    if kind == "provider":
        provider = load_provider(path)
        margin = format(provider.bid_engine.min_profit_margin, "f")
        return CheckedFile(kind, f"margin {margin} %, at most {provider.bid_engine.max_concurrent_bids} concurrent bids", [], [])
    if kind == "sdl":
        notes: list[str] = []
        groups = load_sdl(path, notes).groups()
        ceilings = ", ".join(f"{group.name} up to {format_amount(group.ceiling)} {group.denom}/block" for group in groups)
        return CheckedFile(kind, f"{len(groups)} group{'s' if len(groups) > 1 else ''}: {ceilings}", [], notes)
    return CheckedFile(kind, _check_sweep(path), [], []) if kind == "sweep" else _check_scenario(path, imports)


def _check_scenario(path: str, imports: bool) -> CheckedFile:
    scenario = load_scenario(path)
    _check_classes(scenario, imports)
    warnings: list[str] = []
    try:
        for unserved in never_served(scenario):
            warnings += scenario.refusal(unserved.path, f"warning: {unserved.why}").lines
    except InputError as error:  # a file may name a coin whose rate is given later (--set)
        warnings += [f"{line} (a warning: run refuses it)" for line in error.lines]
    for key, reason in ignored_in(read_source(Path(path)).data, scenario.effective()):
        warnings += scenario.refusal(key, f"warning: no run looks at it, {reason}").lines
    notes = list(scenario.notes)
    if scenario.market is not None:
        market = scenario.market
        sizes = f"{market.orders} orders, {market.providers} providers, {market.tenants} tenants"
        what = f"generated market, {sizes}"
    else:
        tenants, providers = (sum(c.count for c in cohorts) for cohorts in (scenario.tenants, scenario.providers))
        what = f"{tenants} tenants, {providers} providers"
    return CheckedFile("scenario", f"rules {scenario.rules}, {scenario.horizon_blocks} blocks, {what}", warnings, notes)


def _check_classes(scenario: Scenario, imports: bool) -> None:
    """InputError for classes that are not there, or with `imports` for what happens when they are built."""
    lines: list[str] = []
    for cohort in scenario.providers:
        spec = cohort.strategy.python
        if spec is None:
            continue
        problem = problem_of(spec, (scenario.base,))
        if problem is None and imports:
            problem = _import_problem(spec, scenario)
        if problem is not None:
            lines += scenario.refusal(("providers", cohort.name, "strategy", "python"), problem).lines
    others: list[tuple[tuple[str | int, ...], str, ExtensionKind]] = []
    others += [(("agents", each.name), each.python, AGENT) for each in scenario.agents]
    others += [(("metrics", each.name), each.python, METRIC) for each in scenario.metrics]
    others += [(("faults", number), each.python, FAULT) for number, each in enumerate(scenario.faults) if each.python is not None]
    for tenants in scenario.tenants:
        others += [(("tenants", tenants.name, "demand"), tenants.demand.python or "", DEMAND)] * (tenants.demand.python is not None)
        others += [(("tenants", tenants.name, "choice"), tenants.choice.python or "", CHOICE_RULE)] * (tenants.choice.python is not None)
    for path, name, kind in others:
        problem = problem_of(name, (scenario.base,), kind)
        if problem is not None:
            lines += scenario.refusal((*path, "python"), problem).lines
    if lines:
        raise InputError(lines)


def _import_problem(spec: str, scenario: Scenario) -> str | None:
    try:
        load_strategy(spec, search=(scenario.base,))
    except InputError as error:
        return str(error).removeprefix("strategy: ")
    return None


def _check_sweep(path: str) -> str:
    sweep = plan_sweep(load_sweep(Path(path)), ScenarioFiles()).sweep
    return f"{len(sweep.factors)} factor{'' if len(sweep.factors) == 1 else 's'} over {sweep.scenario}"


def schema_of(kind: str) -> str:
    """The text of one kind's JSON Schema, as committed under docs/schema; InputError for an unknown kind."""
    if _known_kind(kind) == "sweep":
        return schema_text(described_schema(kind, SweepFile))
    return schema_text(json_schema(kind))


def docs_of(kind: str) -> str:
    """The page of one kind's keys, as committed in docs/scenario.md; InputError for an unknown kind."""
    if _known_kind(kind) == "sweep":
        return key_page(kind, SweepFile)
    return docs_page(kind)


def _known_kind(kind: str) -> str:
    kinds = [*KINDS, "sweep"]
    if kind not in kinds:
        raise InputError(f"schema: '{kind}' is not a kind of file, kinds are {', '.join(kinds)}")
    return kind
