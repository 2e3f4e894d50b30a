"""`marketsim price` shows what a provider file asks for an order, line by line, and which filter would refuse
it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    pass

_DAY_BLOCKS = 14_400


def register(app: typer.Typer) -> None:
    """Adds `price` to the application."""
    app.command("price", help="Show the bid for one order, line by line, and which filter would refuse it.")(price)


def price(
    provider: Annotated[str, typer.Argument(metavar="PROVIDER.yaml", help="a provider file")],
    sdl: Annotated[str | None, typer.Argument(metavar="[SDL]", help="an SDL manifest in place of --cpu …")] = None,
    cpu: Annotated[str | None, typer.Option(help="1000m, or cores such as 0.5")] = None,
    memory: Annotated[str | None, typer.Option(help="2048Mi, 2Gi")] = None,
    storage: Annotated[str | None, typer.Option(help="10Gi")] = None,
    gpu: Annotated[int, typer.Option(help="number of GPUs", min=0)] = 0,
    region: Annotated[str | None, typer.Option(help="the region that the order names")] = None,
    attribute: Annotated[list[str] | None, typer.Option(metavar="K=V", help="a required attribute (repeatable)")] = None,
    price_max: Annotated[str | None, typer.Option("--price-max", help="price ceiling per block, such as 0.5uve")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print nothing; the exit code says whether it bids.")] = False,
) -> None:
    """Prints base cost, bid and filters; exit code 1 when a filter refuses."""
    from marketsim.face.prices import asked_orders, engine_rules, quote_lines, quote_of
    from marketsim.scenario.files import load_provider

    config = load_provider(provider)
    rules = engine_rules(config)
    orders = asked_orders(sdl, cpu, memory, storage, gpu, region, attribute or [], price_max)
    quotes = [quote_of(name, rules, request, ceiling) for name, request, ceiling in orders]
    refused = any(quote["refused_by"] is not None for quote in quotes)
    if as_json:
        import json

        typer.echo(json.dumps({"provider": provider, "bids": not refused, "orders": quotes}, indent=2, ensure_ascii=False))
    elif not quiet:
        for number, (order, quote) in enumerate(zip(orders, quotes, strict=True)):
            if number:
                typer.echo("")
            typer.echo("\n".join(quote_lines(provider, order[1], quote)))
    if refused:
        raise typer.Exit(1)
