"""`marketsim validate` checks files of any kind; `marketsim schema` prints a JSON Schema."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from marketsim.cli.memory import Memory
from marketsim.errors import InputError

if TYPE_CHECKING:
    from marketsim.scenario import Scenario


def register(app: typer.Typer) -> None:
    """Adds `validate` and `schema` to the application."""
    app.command("validate", help="Check scenario, sweep, provider and SDL files; the kind is known by the keys.")(validate)
    app.command("schema", help="Print the JSON Schema of a kind of file: scenario, sweep, provider, sdl.")(schema)


class CheckedFile(NamedTuple):
    """A valid file: its kind, one line about it, what its author may not have meant, a located line each, and what was read past."""

    kind: str
    what: str
    warnings: list[str]
    notes: list[str]


def check_file(path: str, *, imports: bool = False) -> CheckedFile:
    """What is to be said of the file at `path`; InputError when it is not valid. Nothing of a user's runs, but for `imports`."""
    from marketsim.money.text import format_amount
    from marketsim.scenario.files import kind_of_file, load_provider, load_sdl

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
    from pathlib import Path

    from marketsim.experiments.runs.ignored_keys import ignored_in
    from marketsim.scenario.load import load_scenario
    from marketsim.scenario.yaml_source import read_source
    from marketsim.simulation.never_served import never_served

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
    from marketsim.strategies.find import problem_of

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
    for agents in scenario.agents:
        problem = problem_of(agents.python, (scenario.base,))
        if problem is not None:
            lines += scenario.refusal(("agents", agents.name, "python"), problem).lines
    if lines:
        raise InputError(lines)


def _import_problem(spec: str, scenario: Scenario) -> str | None:
    from marketsim.strategies.check import load_strategy

    try:
        load_strategy(spec, search=(scenario.base,))
    except InputError as error:
        return str(error).removeprefix("strategy: ")
    return None


def _check_sweep(path: str) -> str:
    from pathlib import Path

    from marketsim.experiments.runs.scenario_source import ScenarioFiles
    from marketsim.experiments.sweep.plan import plan_sweep
    from marketsim.experiments.sweep.reader import load_sweep

    sweep = plan_sweep(load_sweep(Path(path)), ScenarioFiles()).sweep
    return f"{len(sweep.factors)} factor{'' if len(sweep.factors) == 1 else 's'} over {sweep.scenario}"


def validate(
    files: Annotated[list[str], typer.Argument(metavar="FILE", help="YAML files")],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON list of results.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print errors only.")] = False,
    imports: Annotated[
        bool, typer.Option("--import", help="Import the classes that price, too; without it no code of yours runs.")
    ] = False,
    memory: Memory = None,
) -> None:
    """One line for each valid file on standard output; warnings, and every error of the others, on standard error."""
    results: list[dict[str, Any]] = []
    errors: list[str] = []
    for path in files:
        try:
            found = check_file(path, imports=imports)
            results.append({"file": path, "ok": True, **found._asdict(), "errors": []})
            if not (quiet or as_json):
                typer.echo("\n".join((f"{path}: ok ({found.kind}: {found.what})", *(f"  note: {note}" for note in found.notes))))
                for line in found.warnings:
                    typer.echo(line, err=True)
        except InputError as error:
            errors += error.lines
            nothing: dict[str, Any] = {"kind": None, "what": None, "warnings": [], "notes": []}
            results.append({"file": path, "ok": False, **nothing, "errors": list(error.lines)})
    if as_json:
        import json

        typer.echo(json.dumps(results, indent=2, ensure_ascii=False))
    if errors:
        raise InputError(errors)


def schema(
    kind: Annotated[str, typer.Argument(metavar="KIND", help="scenario, sweep, provider or sdl")],
    docs: Annotated[bool, typer.Option("--docs", help="Print a page of all keys, for people, in Markdown.")] = False,
) -> None:
    """Prints the JSON Schema that editors take for `# yaml-language-server: $schema=...`, or the keys as a page."""
    typer.echo(docs_of(kind) if docs else schema_of(kind), nl=False)


def schema_of(kind: str) -> str:
    """The text of one kind's JSON Schema, as committed under docs/schema; InputError for an unknown kind."""
    from marketsim.scenario.schema import described_schema, json_schema, schema_text

    if _known_kind(kind) == "sweep":
        from marketsim.experiments.sweep.file import SweepFile

        return schema_text(described_schema(kind, SweepFile))
    return schema_text(json_schema(kind))


def docs_of(kind: str) -> str:
    """The page of one kind's keys, as committed in docs/scenario.md; InputError for an unknown kind."""
    from marketsim.scenario.schema import docs_page

    if _known_kind(kind) == "sweep":
        from marketsim.experiments.sweep.file import SweepFile
        from marketsim.scenario.key_page import key_page

        return key_page(kind, SweepFile)
    return docs_page(kind)


def _known_kind(kind: str) -> str:
    from marketsim.scenario.schema import KINDS

    kinds = [*KINDS, "sweep"]
    if kind not in kinds:
        raise InputError(f"schema: '{kind}' is not a kind of file, kinds are {', '.join(kinds)}")
    return kind
