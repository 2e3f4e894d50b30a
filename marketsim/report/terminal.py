"""Prints a report on a terminal, or plainly into a file or a pipe."""

from __future__ import annotations

from typing import IO, TYPE_CHECKING

from marketsim.report.content import Branch, Content, Grid, Tile, text_columns
from marketsim.report.phrases import bar, percent

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.table import Table

WIDTH = 126
"""Columns of a report that does not go to a terminal."""

ROWS_MAX = 40
"""Rows of a long table that are printed."""


def print_report(content: Content, file: IO[str] | None = None, *, rows_max: int = ROWS_MAX) -> None:
    """Print a report on `file` (standard output); colours, and a width of its own, only on a terminal."""
    from rich.console import Console

    console = Console(file=file, highlight=False, soft_wrap=False)
    if not console.is_terminal:
        console = Console(file=file, highlight=False, width=WIDTH, no_color=True)
    _print(console, content, rows_max)


def _print(console: Console, content: Content, rows_max: int) -> None:
    from rich import box
    from rich.console import Group
    from rich.markup import escape
    from rich.panel import Panel
    from rich.table import Table

    head = Table.grid(padding=(0, 2))
    for label, text in content.facts:
        head.add_row(f"[dim]{label}[/dim]", escape(text))
    parts: list[RenderableType] = [escape(content.description)] if content.description else []
    console.print(Panel(Group(*parts, head), title=f"[bold]{escape(content.title)}[/bold]", box=box.ROUNDED))

    tiles = Table.grid(expand=True, padding=(0, 2))
    tiles.add_column(ratio=1)
    tiles.add_column(ratio=1)
    for left, right in zip(content.tiles[::2], content.tiles[1::2], strict=True):
        tiles.add_row(_tile(left), _tile(right))
    reasons = [f"{content.reasons_title}:"]
    for number, branch in enumerate(content.reasons, 1):
        reasons.append(("└─ " if number == len(content.reasons) else "├─ ") + _branch(branch))
    dashboard = Group(tiles, "", *reasons)
    console.print(Panel(dashboard, title="[bold]Marketplace metrics[/bold]", box=box.ROUNDED))
    for note in content.warnings:
        console.print(f"[yellow]Note:[/yellow] {escape(note)}")
    for grid in content.grids:
        console.print()
        table, note = _fitting(console, grid, rows_max)
        console.print(table)
        if note:
            console.print(f"[dim]{escape(note)}[/dim]")


def _tile(tile: Tile) -> str:
    from rich.markup import escape

    tick = "" if tile.good is None else " [green]✓[/green]" if tile.good else " [red]✗[/red]"
    lines = [f"[bold]{escape(tile.label)}: {escape(tile.value)}[/bold]{tick}"]
    if tile.share is not None:
        lines.append(f"[cyan]{bar(tile.share)}[/cyan]  {escape(tile.note)}")
    else:
        lines.append(escape(tile.note))
    return "\n".join([*lines, ""])


def _branch(branch: Branch) -> str:
    tick = "" if branch.good is None else " [green]✓[/green]" if branch.good else " [red]✗[/red]"
    return f"{branch.label + ':':<20} {percent(branch.share):>7} {branch.leases:>8,}   {branch.target}{tick}"


def _fitting(console: Console, grid: Grid, rows_max: int) -> tuple[Table, str]:
    """The table, with as many of its first columns as the console has room for (four at least), and its
    note."""
    from rich.measure import Measurement

    columns, wide = len(grid.columns), console.options.update(width=999)
    table, note = _grid(grid, columns, rows_max)
    while columns > 4 and Measurement.get(console, wide, table).maximum > console.width:
        columns -= 1
        table, note = _grid(grid, columns, rows_max)
    return table, note


def _grid(grid: Grid, columns: int, rows_max: int) -> tuple[Table, str]:
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    notes = [grid.note] if grid.note else []
    rows = grid.rows
    if grid.long and len(rows) > rows_max:
        rows = rows[:rows_max]
        notes.append(f"{len(grid.rows) - rows_max} more rows in report.html and providers.csv.")
    if columns < len(grid.columns):
        notes.append(f"Left out for want of room: {', '.join(grid.columns[columns:])}.")
    table = Table(
        title=grid.title,
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
        show_edge=False,
        padding=(0, 1),
    )
    for number, (column, text) in enumerate(zip(grid.columns[:columns], text_columns(grid), strict=False)):
        table.add_column(escape(column), justify="left" if text else "right", no_wrap=number == 0, overflow="fold")
    for row in rows:
        table.add_row(*(escape(cell) for cell in row[:columns]))
    # Not the table's caption: that would be folded to the table's width.
    return table, " ".join(notes)
