"""A table of any length on a terminal: only lines that are seen are formatted and drawn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, NamedTuple

from rich.segment import Segment
from rich.style import Style
from textual.binding import Binding, BindingType
from textual.geometry import Region, Size
from textual.scroll_view import ScrollView
from textual.strip import Strip

from marketsim.dash.watched import printable

Row = tuple[Any, ...]
"""Values to sort by, the last of them what the row is about, by which the cursor stays with it."""


class TableColumn(NamedTuple):
    """A column: heading, how a value is written, its width, and whether it stands at the right."""

    label: str
    write: Callable[[Any], str]
    width: int
    right: bool = True


class ListTable(ScrollView, can_focus=True):
    """Rows with a cursor, sorted by a column, of which those are shown that have some letters in them."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {"table--head", "table--cursor", "table--odd", "table--even"}
    DEFAULT_CSS = """
    ListTable { height: 1fr; background: $surface; scrollbar-size-horizontal: 0; }
    ListTable > .table--head { background: $panel; color: $text; text-style: bold; }
    ListTable > .table--cursor { background: $primary-muted; color: $text; }
    ListTable:focus > .table--cursor { background: $primary; color: $text; }
    ListTable > .table--odd { background: $surface; color: $text; }
    ListTable > .table--even { background: $boost; color: $text; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", "Up", show=False),
        Binding("down,j", "move(1)", "Down", show=False),
        Binding("pageup", "page(-1)", "Page up", show=False),
        Binding("pagedown", "page(1)", "Page down", show=False),
        Binding("home", "move(-1000000000)", "First", show=False),
        Binding("end", "move(1000000000)", "Last", show=False),
        Binding("left", "aside(-10)", "Left", show=False),
        Binding("right", "aside(10)", "Right", show=False),
    ]

    def __init__(self, columns: Sequence[TableColumn], *, id: str, empty: str = "none") -> None:
        super().__init__(id=id)
        self.columns = columns
        self.rows: list[Row] = []
        """What is shown, in this order."""
        self.cursor = 0
        self.sorted_by, self.descending = 0, False
        self.formatted = 0
        """Rows that were written out to be drawn, so far."""
        self._given: Sequence[Row] = ()
        self._wanted = ""
        self._empty = empty
        self._wide = 0

    # --- what it has -----------------------------------------------------------------------------------------------------------------

    @property
    def chosen(self) -> Row | None:
        """The row at the cursor."""
        return self.rows[self.cursor] if self.rows else None

    def show(self, rows: Sequence[Row]) -> None:
        """Take other rows; nothing is drawn where they are the same."""
        if rows != self._given:
            self._given = rows
            self._arrange()

    def filter(self, letters: str) -> None:
        """Show only rows that have these letters, small or large."""
        if letters.lower() != self._wanted:
            self._wanted = letters.lower()
            self._arrange()

    def sort(self, column: int, descending: bool) -> None:
        """Sort by a column."""
        self.sorted_by, self.descending = column, descending
        self._arrange()

    def _arrange(self) -> None:
        chosen, column = self.chosen, self.sorted_by
        kept = [row for row in self._given if self._wanted in self._text(row).lower()] if self._wanted else list(self._given)
        # what has no value stands at the end, in whichever direction
        known = sorted((row for row in kept if row[column] is not None), key=lambda row: row[column], reverse=self.descending)
        self.rows = known + [row for row in kept if row[column] is None]
        self._wide = max((len(str(row[-1])) for row in self.rows), default=0)
        at = next((place for place, row in enumerate(self.rows) if row[-1] == chosen[-1]), None) if chosen is not None else None
        self.cursor = min(self.cursor, max(0, len(self.rows) - 1)) if at is None else at
        before = sum(each.width + 2 for each in self.columns[:-1])
        self.virtual_size = Size(before + max(self._wide, self.columns[-1].width), len(self.rows) + 1)
        self._keep_seen()
        self.refresh()

    # --- drawn -----------------------------------------------------------------------------------------------------------------------

    def _text(self, row: Row) -> str:
        parts = []
        for column, value in zip(self.columns, row, strict=True):
            text = "–" if value is None else column.write(value)
            parts.append(f"{text:>{column.width}}" if column.right else f"{text:<{column.width}}")
        return "  ".join(parts)

    def _head(self) -> str:
        parts = []
        for place, column in enumerate(self.columns):
            mark = ("▼" if self.descending else "▲") if place == self.sorted_by else ""
            label = f"{column.label}{mark}"
            parts.append(f"{label:>{column.width}}" if column.right else f"{label:<{column.width}}")
        return "  ".join(parts)

    def render_line(self, y: int) -> Strip:
        """Return one line of the window."""
        width = self.size.width
        at = self.scroll_offset.y + y - 1
        if y == 0:
            text, name = self._head(), "head"
        elif at < len(self.rows):
            text = self._text(self.rows[at])
            self.formatted += 1
            name = "cursor" if at == self.cursor else "odd" if at % 2 else "even"
        else:
            text, name = (self._empty if at == 0 else ""), "odd"
        style: Style = self.get_component_rich_style(f"table--{name}")
        shown = printable(text)[self.scroll_offset.x : self.scroll_offset.x + width]
        return Strip([Segment(f"{shown:{width}}", style)], width)

    # --- moved in ----------------------------------------------------------------------------------------------------------------------

    def action_move(self, rows: int) -> None:
        """Move the cursor."""
        before = self.cursor
        self.cursor = min(max(0, self.cursor + rows), max(0, len(self.rows) - 1))
        if self.cursor != before:
            top = self.scroll_offset.y
            self._keep_seen()
            if self.scroll_offset.y == top:
                for at in (before, self.cursor):
                    self.refresh(Region(0, at - top + 1, self.size.width, 1))

    def action_page(self, pages: int) -> None:
        """Move the cursor by as many rows as are seen."""
        self.action_move(pages * max(1, self.size.height - 2))

    def action_aside(self, letters: int) -> None:
        """Look further to the right, or to the left."""
        self.scroll_to(x=self.scroll_offset.x + letters, animate=False)

    def _keep_seen(self) -> None:
        seen = max(1, self.size.height - 1)
        top = self.scroll_offset.y
        if self.cursor < top:
            self.scroll_to(y=self.cursor, animate=False, immediate=True)
        elif self.cursor >= top + seen:
            self.scroll_to(y=self.cursor - seen + 1, animate=False, immediate=True)


__all__ = ["ListTable", "TableColumn"]
