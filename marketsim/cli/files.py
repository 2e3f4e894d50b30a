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
    from marketsim.face.files import check_file
    from marketsim.scenario.shipped import found_file

    results: list[dict[str, Any]] = []
    errors: list[str] = []
    for path in files:
        try:
            path = str(found_file(path))
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
    from marketsim.face.files import docs_of, schema_of

    typer.echo(docs_of(kind) if docs else schema_of(kind), nl=False)
