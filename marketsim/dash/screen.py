"""The dashboard on a terminal: figures, tables, the daemon's lines and the clock, all of it by keys."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from rich.text import Text
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.screen import ModalScreen
from textual.widgets import ContentSwitcher, Footer, Input, Label, Static, TextArea
from textual.worker import get_current_worker

from marketsim.dash.panel import LEAST_WIDTH, alarms, headline, hours, panel, percent
from marketsim.dash.table import ListTable, TableColumn
from marketsim.dash.watched import TABS, Seen, Watched, printable
from marketsim.errors import InputError

REFRESH_SECONDS = 1.0
ROOMY_LINES = 32
"""On lower terminals the panel has no empty lines."""
TITLES = ("Leases", "Orders", "Providers", "Warnings", "Log")


def _columns() -> dict[str, tuple[TableColumn, ...]]:
    lease = TableColumn("Lease", str, 10, right=False)
    leases = (
        TableColumn("Left", hours, 9),
        TableColumn("Balance uve", "{:,.2f}".format, 12),
        TableColumn("uve/block", "{:.6f}".format, 11),
        TableColumn("State", str, 12, right=False),
        lease,
    )
    return {
        "leases": leases,
        "orders": (
            TableColumn("Block", "{:,}".format, 9),
            TableColumn("Ceiling", "{:f}".format, 12),
            TableColumn("CPU m", "{:,}".format, 8),
            TableColumn("Bids", "{:,}".format, 5),
            TableColumn("Lowest", "{:f}".format, 12),
            TableColumn("Order", str, 10, right=False),
        ),
        "providers": (
            TableColumn("Leases", "{:,}".format, 7),
            TableColumn("CPU", percent, 5),
            TableColumn("Mem", percent, 5),
            TableColumn("Bids", "{:,}".format, 8),
            TableColumn("Won", "{:,}".format, 8),
            TableColumn("Share", percent, 6),
            TableColumn("State", str, 8, right=False),
            TableColumn("Provider", str, 10, right=False),
        ),
        "warnings": leases,
    }


EMPTY = {
    "leases": "no lease",
    "orders": "no open order",
    "providers": "no provider",
    "warnings": "no active lease has less than a day of funds",
}


class DashboardScreen(App[None]):
    """Shows a market until it is left. All asking is done aside, one question at a time, so that keys answer at once."""

    TITLE = "marketsim dash"
    ENABLE_COMMAND_PALETTE = False
    AUTO_FOCUS = "#leases"
    CSS = """
    #head { height: 1; width: 1fr; background: $primary-background; padding: 0 1; }
    #panel { height: auto; }
    #trouble { height: auto; color: $error; padding: 0 1; }
    #tabs { height: 1; width: 1fr; padding: 0 1; }
    #command { height: 1; width: 1fr; color: $text-muted; padding: 0 1; }
    ContentSwitcher { height: 1fr; }
    #journal { border: none; padding: 0; height: 1fr; }
    #asked { height: 1; border: none; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("space", "play", "Play/rest", key_display="Space"),
        Binding("plus,equals_sign", "pace(1)", "Speed", key_display="+ -"),
        Binding("minus", "pace(-1)", "Slower", show=False),
        Binding("g", "ask('place')", "Go to"),
        Binding("w,enter", "why", "Why", key_display="w"),
        Binding("slash", "ask('filter')", "Filter", key_display="/"),
        Binding("s", "sort", "Sort"),
        Binding("question_mark", "keys", "Keys", key_display="?"),
        Binding("q", "quit", "Quit"),
        Binding("p", "rest(True)", "Rest", show=False),
        Binding("r", "rest(False)", "Play", show=False),
        Binding("full_stop", "step(1)", "+1 block", show=False),
        Binding("comma", "step(-1)", "-1 block", show=False),
        Binding("a", "step(100)", "+100 blocks", show=False),
        Binding("h,right_square_bracket", "hour(1)", "+1 h", show=False),
        Binding("left_square_bracket", "hour(-1)", "-1 h", show=False),
        Binding("m", "market", "Mine/all", show=False),
        Binding("v", "panel", "Panel", show=False),
        Binding("S", "turn", "Turn round", show=False),
        Binding("y", "copy", "Copy", show=False),
        Binding("c", "copy_command", "Copy command", show=False),
        Binding("escape", "clear", "Clear", show=False),
        *(Binding(str(place), f"tab('{tab}')", TITLES[place - 1], show=False) for place, tab in enumerate(TABS, 1)),
    ]

    def __init__(self, market: Watched, *, provider: str | None, own: str | None = None, every: float = REFRESH_SECONDS) -> None:
        """`provider` is whose figures are shown first, None for all together, `own` the one that `m` changes to; `every` is how often the
        market is asked, in seconds."""
        super().__init__()
        self._market = market
        self._own = own or provider
        self._provider = provider
        self._every = every
        self._seen: Seen | None = None
        self._tab = TABS[0]
        self._asked = "filter"
        self._wanted = ""
        self._lines: list[str] = []
        self._again = False
        self.command = ""
        """The command that does or lists what is shown."""

    def compose(self) -> ComposeResult:
        """Yield the parts of the screen."""
        yield Label("asking …", id="head", markup=False)
        yield Label("", id="trouble", markup=False)
        yield Static("", id="panel", markup=False)
        yield Static("", id="tabs", markup=False)
        with ContentSwitcher(initial=TABS[0]):
            for name, columns in _columns().items():
                yield ListTable(columns, id=name, empty=EMPTY[name])
            yield TextArea("", id="journal", read_only=True, soft_wrap=False, show_cursor=True)
        yield Label("", id="command", markup=False)
        yield Input(id="asked", disabled=True)
        yield Footer(show_command_palette=False)

    def on_mount(self) -> None:
        """Begin to ask."""
        self.query_one("#asked", Input).display = False
        self.query_one("#trouble", Label).display = False
        self._tell(self._market.command(self._tab))
        self._draw_tabs()
        self.set_interval(self._every, self.look)
        self.look()

    # --- asked and drawn -----------------------------------------------------------------------------------------------------------------

    def look(self) -> None:
        """Ask the market, aside; while one question is being answered the next one waits."""
        if any(worker.group == "ask" and worker.is_running for worker in self.workers):
            self._again = True
            return
        self.run_worker(self._ask, thread=True, group="ask")

    def _ask(self) -> None:
        worker, tab = get_current_worker(), self._tab
        try:
            seen = self._market.look(self._provider, tab)
        except InputError as error:
            text = " ".join(error.lines)
            if not worker.is_cancelled:
                self.call_from_thread(self._trouble, text)
            return
        if not worker.is_cancelled:
            self.call_from_thread(self._show, seen, tab)

    def _trouble(self, text: str) -> None:
        part = self.query_one("#trouble", Label)
        part.update(printable(text))
        part.display = bool(text)

    def _show(self, seen: Seen, tab: str) -> None:
        self._seen = seen
        self._trouble(seen.trouble)
        self.query_one("#head", Label).update(printable(headline(seen.figures)))
        self._draw()
        if tab == "journal":
            self._draw_lines(list(seen.lines))
        else:
            self.query_one(f"#{tab}", ListTable).show(seen.rows)
        self._draw_tabs()
        if self._again or tab != self._tab or seen.figures.get("goal") is not None:
            self._again = False
            self.call_after_refresh(self.look)

    def _draw(self) -> None:
        part = self.query_one("#panel", Static)
        if self._seen is None or not part.display:
            return
        figures, close = self._seen.figures, self.size.height < ROOMY_LINES
        text = Text("\n".join(panel(figures, max(LEAST_WIDTH, self.size.width), close=close)), no_wrap=True)
        for words in alarms(figures):
            text.highlight_words([words], "bold yellow")
        part.update(text)

    def _draw_tabs(self) -> None:
        text = Text(no_wrap=True, overflow="ellipsis")
        for place, (tab, title) in enumerate(zip(TABS, TITLES, strict=True), 1):
            text.append(f" {place} {title} ", "reverse bold" if tab == self._tab else "")
            text.append(" ")
        if self._tab != "journal":
            text.append(f"{len(self.query_one(f'#{self._tab}', ListTable).rows):,} rows")
        if self._wanted:
            text.append(f" with {self._wanted!r}", "bold yellow")
        self.query_one("#tabs", Static).update(text)

    def _draw_lines(self, lines: list[str]) -> None:
        """Show the daemon's lines, the last one at the bottom; while some of them are being marked they stay as they are."""
        self._lines = lines
        part = self.query_one("#journal", TextArea)
        text = "\n".join(printable(line) for line in lines if self._wanted in line.lower()) or "nothing yet"
        if text == part.text or not part.selection.is_empty:
            return
        at_end = part.cursor_at_last_line
        place = part.cursor_location
        part.load_text(text)
        part.move_cursor((part.document.line_count - 1, 0) if at_end else place)

    def _tell(self, command: str) -> None:
        """Show the command that does the same as what was done, or as what is seen."""
        self.command = command
        self.query_one("#command", Label).update(f"$ {command}")

    def on_resize(self) -> None:
        """Draw the panel as wide as there is room."""
        self._draw()

    # --- the clock -----------------------------------------------------------------------------------------------------------------------

    def action_play(self) -> None:
        """Go on, or rest."""
        if self._seen is not None:
            self.action_rest(not self._seen.figures["paused"])

    def action_rest(self, paused: bool) -> None:
        """Rest, or go on."""
        self._do(lambda: self._market.set_clock(paused=paused))

    def action_pace(self, change: int) -> None:
        """Go at the next speed up or down."""
        if self._seen is None:
            return
        speed, speeds = self._seen.figures["speed"], self._market.speeds
        others = [each for each in speeds if (each > speed if change > 0 else each < speed)]
        if others:
            self._do(lambda: self._market.set_clock(speed=others[0] if change > 0 else others[-1]))

    def action_step(self, blocks: int) -> None:
        """Go some blocks on or back."""
        self._do(lambda: self._market.step(blocks))

    def action_hour(self, hours: int) -> None:
        """Go an hour on or back."""
        if self._seen is not None:
            self.action_step(hours * round(3600 / self._seen.figures["block_seconds"]))

    def _do(self, act: Callable[[], str]) -> None:
        """Do something aside, after what is being asked, and show the command that does the same."""

        def work() -> None:
            try:
                command = act()
            except InputError as error:
                self.call_from_thread(self.notify, " ".join(error.lines), severity="error", markup=False)
            else:
                self.call_from_thread(self._tell, command)
                self.call_from_thread(self.look)

        self._aside(work)

    def _aside(self, work: Callable[[], None]) -> None:
        self.run_worker(work, thread=True, group="do")

    # --- tables --------------------------------------------------------------------------------------------------------------------------

    @property
    def _table(self) -> ListTable | None:
        return None if self._tab == "journal" else self.query_one(f"#{self._tab}", ListTable)

    def action_tab(self, name: str) -> None:
        """Show another table."""
        self._tab = name
        self.query_one(ContentSwitcher).current = name
        self._tell(self._market.command(name))
        self._filter()
        self._to_table()
        self.look()

    def _to_table(self) -> None:
        self.set_focus(self.query_one(f"#{self._tab}"))

    def action_market(self) -> None:
        """Show the provider's figures, or those of all."""
        self._provider = None if self._provider is not None else self._own
        self.look()

    def action_panel(self) -> None:
        """Take the panel away, or show it again."""
        part = self.query_one("#panel", Static)
        part.display = not part.display
        self._draw()

    def action_sort(self) -> None:
        """Sort by the next column."""
        table = self._table
        if table is not None:
            table.sort((table.sorted_by + 1) % len(table.columns), False)

    def action_turn(self) -> None:
        """Sort the other way round."""
        table = self._table
        if table is not None:
            table.sort(table.sorted_by, not table.descending)

    def action_ask(self, what: str) -> None:
        """Ask for letters that rows must have, or for a place to go to."""
        part = self.query_one("#asked", Input)
        self._asked = what
        part.placeholder = "only rows with …" if what == "filter" else "go to: a block (1200), a time from the start (12h), +2h, -2h, end"
        part.value = self._wanted if what == "filter" else ""
        part.display, part.disabled = True, False
        self.query_one("#command", Label).display = False
        self.set_focus(part)

    def on_input_changed(self, event: Input.Changed) -> None:
        """Filter as it is written."""
        if self._asked == "filter" and not event.input.disabled:
            self._wanted = event.value.lower()
            self._filter()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Do what was asked for; a filter stays."""
        self._end_asking()
        if self._asked == "place" and event.value.strip():
            self._do(lambda: self._market.seek(event.value))

    def _filter(self) -> None:
        table = self._table
        if table is not None:
            table.filter(self._wanted)
        else:
            self._draw_lines(self._lines)
        self._draw_tabs()

    def action_clear(self) -> None:
        """Ask no more, and show all rows again."""
        if not (self.query_one("#asked", Input).display and self._asked == "place"):
            self._wanted = ""
            self._filter()
        self._end_asking()

    def _end_asking(self) -> None:
        part = self.query_one("#asked", Input)
        part.display, part.disabled = False, True
        self.query_one("#command", Label).display = True
        self._to_table()

    # --- one of them ---------------------------------------------------------------------------------------------------------------------

    def action_copy(self) -> None:
        """Copy the lines that are marked, the line at the cursor, or the name of the row."""
        table = self._table
        if table is None:
            part = self.query_one("#journal", TextArea)
            self._copied(part.selected_text or str(part.document.get_line(part.cursor_location[0])))
        elif table.chosen is not None:
            self._copied(str(table.chosen[-1]))

    def action_copy_command(self) -> None:
        """Copy the command that is shown."""
        self._copied(self.command)

    def _copied(self, text: str) -> None:
        self.copy_to_clipboard(text)
        shown = text if len(text) <= 60 else f"{text[:59]}…"
        self.notify(f"copied: {shown}", timeout=1.5, markup=False)

    def action_why(self) -> None:
        """Tell what is known of the row at the cursor, and which commands are about it."""
        table = self._table
        if table is None or table.chosen is None:
            return
        target = str(table.chosen[-1])

        def work() -> None:
            commands = self._market.commands(target)
            try:
                lines = self._market.why(target)
            except InputError as error:
                lines = list(error.lines)
            self.call_from_thread(self._tell, commands[0])
            self.call_from_thread(self.push_screen, Story(target, lines, commands))

        self._aside(work)

    def action_keys(self) -> None:
        """List the keys."""
        self.push_screen(Story("Keys", KEYS.splitlines(), []))


KEYS = """Space       play, or rest (p rest, r play)
+ -         faster, slower
. ,         one block on, back        (back: a recorded run only)
a           100 blocks on
h ]  [      an hour on, back
g           go to: a block (1200), a time from the start (12h), +2h, end
m           the provider's figures, or those of all
v           the panel, or none
1 2 3 4 5   leases, orders, providers, warnings, the daemon's log
↑ ↓ j k PgUp PgDn Home End   the row; ← → further to the side
s  S        sort by the next column, turn round
/           only rows with some letters; Escape: all again
w Enter     why: what is known of the row, and commands about it
y           copy the row's name, or the log's marked lines (Shift+↑ ↓)
c           copy the command that is shown at the bottom
q           leave; a devnet goes on"""


class Story(ModalScreen[None]):
    """Lines to be read and copied, and commands about the same."""

    CSS = """
    Story { align: center middle; }
    Story > TextArea { width: 100%; height: 1fr; border: round $primary; }
    Story > Label { width: 100%; height: 1; background: $panel; padding: 0 1; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,w", "app.pop_screen", "Back"),
        Binding("y", "copy", "Copy all or what is marked"),
        Binding("c", "copy_command", "Copy the first command"),
    ]

    def __init__(self, title: str, lines: list[str], commands: list[str]) -> None:
        super().__init__()
        self._title = title
        self._commands = commands
        self._text = "\n".join([*map(printable, lines), *(["", "Commands", *(f"  {each}" for each in commands)] if commands else [])])

    def compose(self) -> ComposeResult:
        """Yield the text."""
        part = TextArea(self._text, read_only=True, soft_wrap=True, id="story")
        part.border_title = self._title.replace("[", r"\[")
        yield part
        yield Label("Escape back · y copy · c copy the first command" if self._commands else "Escape back · y copy", markup=False)

    def action_copy(self) -> None:
        """Copy what is marked, or all."""
        app: Any = self.app
        app._copied(self.query_one(TextArea).selected_text or self._text)

    def action_copy_command(self) -> None:
        """Copy the first command."""
        if self._commands:
            app: Any = self.app
            app._copied(self._commands[0])


__all__ = ["DashboardScreen", "Story"]
