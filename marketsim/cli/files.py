"""`marketsim validate` checks files of any kind; `marketsim schema` prints a JSON Schema."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from marketsim.cli.memory import Memory
from marketsim.errors import InputError


def register(app: typer.Typer) -> None:
    """Adds `validate` and `schema` to the application."""
    app.command("validate", help="Check scenario, sweep, provider and SDL files; the kind is known by the keys.")(validate)
    app.command("schema", help="Print the JSON Schema of a kind of file: scenario, sweep, provider, sdl.")(schema)


def check_file(path: str) -> tuple[str, str]:
    """The kind of the file at `path` and one line about it; InputError when it is not valid."""
    from pathlib import Path

    from marketsim.money.text import format_amount
    from marketsim.scenario.files import load_provider, load_sdl, require_kind
    from marketsim.scenario.load import load_scenario
    from marketsim.scenario.yaml_source import read_source

    kind = require_kind(read_source(Path(path)))
    if kind == "provider":
        provider = load_provider(path)
        margin = format(provider.bid_engine.min_profit_margin, "f")
        return kind, f"margin {margin} %, at most {provider.bid_engine.max_concurrent_bids} concurrent bids"
    if kind == "sdl":
        groups = load_sdl(path).groups()
        ceilings = ", ".join(f"{group.name} up to {format_amount(group.ceiling)} uve/block" for group in groups)
        return kind, f"{len(groups)} group{'s' if len(groups) > 1 else ''}: {ceilings}"
    if kind == "sweep":
        return kind, _check_sweep(path)
    scenario = load_scenario(path)
    if scenario.market is not None:
        market = scenario.market
        sizes = f"{market.orders} orders, {market.providers} providers, {market.tenants} tenants"
        what = f"generated market, {sizes}"
    else:
        tenants, providers = (sum(c.count for c in cohorts) for cohorts in (scenario.tenants, scenario.providers))
        what = f"{tenants} tenants, {providers} providers"
    return kind, f"rules {scenario.rules}, {scenario.horizon_blocks} blocks, {what}"


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
    memory: Memory = None,
) -> None:
    """One line for each valid file on standard output, every error of the others on standard error."""
    results: list[dict[str, Any]] = []
    errors: list[str] = []
    for path in files:
        try:
            kind, what = check_file(path)
            results.append({"file": path, "ok": True, "kind": kind, "what": what, "errors": []})
            if not (quiet or as_json):
                typer.echo(f"{path}: ok ({kind}: {what})")
        except InputError as error:
            errors += error.lines
            results.append({"file": path, "ok": False, "kind": None, "what": None, "errors": list(error.lines)})
    if as_json:
        import json

        typer.echo(json.dumps(results, indent=2, ensure_ascii=False))
    if errors:
        raise InputError(errors)


def schema(
    kind: Annotated[str, typer.Argument(metavar="KIND", help="scenario, sweep, provider or sdl")],
) -> None:
    """Prints the JSON Schema that editors take for `# yaml-language-server: $schema=...`."""
    typer.echo(schema_of(kind), nl=False)


def schema_of(kind: str) -> str:
    """The text of one kind's JSON Schema, as committed under docs/schema; InputError for an unknown kind."""
    from marketsim.scenario.schema import KINDS, json_schema, schema_text

    kinds = [*KINDS, "sweep"]
    if kind not in kinds:
        raise InputError(f"schema: '{kind}' is not a kind of file, kinds are {', '.join(kinds)}")
    if kind == "sweep":
        from marketsim.experiments.sweep.file import SweepFile

        sweep_schema = SweepFile.model_json_schema(by_alias=True)
        head = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
        return schema_text({**head, **sweep_schema, "title": "marketsim sweep file"})
    return schema_text(json_schema(kind))
