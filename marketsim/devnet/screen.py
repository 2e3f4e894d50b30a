"""The dashboard of a running devnet on a terminal that is asked and redrawn by itself, with keys for its clock."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from rich.text import Text
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import DataTable, Footer, Label, RichLog, Static, TabbedContent, TabPane
from textual.worker import get_current_worker

from marketsim.devnet.client import Client
from marketsim.devnet.node_error import NodeError
from marketsim.devnet.panel import LEAST_WIDTH, alarms, headline, hours, panel
from marketsim.errors import InputError

REFRESH_SECONDS = 1.0
JOURNAL_LINES = 200
ORDERS_SHOWN = 50
ROOMY_LINES = 32
"""On lower terminals the panel has no empty lines."""


class DashboardScreen(App[None]):
    """Shows a devnet until it is left; the devnet goes on. All asking is done aside, so that keys answer at once."""

    TITLE = "marketsim dash"
    ENABLE_COMMAND_PALETTE = False
    CSS = """
    #head { height: 1; width: 1fr; background: $primary-background; padding: 0 1; }
    #panel { height: auto; }
    #trouble { height: auto; color: $error; padding: 0 1; }
    TabbedContent, ContentSwitcher, TabPane { height: 1fr; }
    TabPane { padding: 0; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("p", "pause", "Pause"),
        Binding("r", "resume", "Resume"),
        Binding("a", "advance(100)", "+100 blocks"),
        Binding("h", "advance_hour", "+1 h"),
        Binding("m", "market", "Mine/all"),
        Binding("1", "tab('leases')", "Leases", show=False),
        Binding("2", "tab('orders')", "Orders", show=False),
        Binding("3", "tab('journal')", "Log", show=False),
        Binding("q", "quit", "Quit"),
    ]

    def __init__(self, client: Client, *, provider: str | None, every: float = REFRESH_SECONDS) -> None:
        """`provider` is whose figures are shown first, None for all together; `every` is how often the devnet is asked, in seconds."""
        super().__init__()
        self._client = client
        self._own = provider
        self._provider = provider
        self._every = every
        self._found: dict[str, Any] | None = None
        self._lines: list[str] = []

    def compose(self) -> ComposeResult:
        """Yield the parts of the screen."""
        yield Label("asking …", id="head", markup=False)
        yield Label("", id="trouble", markup=False)
        yield Static("", id="panel", markup=False)
        with TabbedContent(initial="leases"):
            with TabPane("1 Leases by funds", id="leases"):
                yield DataTable(id="leases-table", cursor_type="row", zebra_stripes=True)
            with TabPane("2 Open orders", id="orders"):
                yield DataTable(id="orders-table", cursor_type="row", zebra_stripes=True)
            with TabPane("3 provider-daemon", id="journal"):
                yield RichLog(id="log", max_lines=JOURNAL_LINES)
        yield Footer()

    def on_mount(self) -> None:
        """Begin to ask."""
        self.query_one("#leases-table", DataTable).add_columns("Left", "Balance uve", "State", "Lease")
        self.query_one("#orders-table", DataTable).add_columns("Since block", "Ceiling", "CPU m", "Order")
        self.set_interval(self._every, self.look)
        self.look()

    def look(self) -> None:
        """Ask the devnet, aside; one question at a time is enough."""
        if not any(worker.group == "look" and worker.is_running for worker in self.workers):
            self.run_worker(self._ask, thread=True, group="look")

    def _ask(self) -> None:
        worker = get_current_worker()
        try:
            found = self._client.dashboard(self._provider)
            orders = self._client.orders({"state": "open"}, limit=ORDERS_SHOWN)["orders"]
            lines = self._client.journal(n=JOURNAL_LINES)
        except InputError as error:
            if not worker.is_cancelled:
                self.call_from_thread(self._trouble, " ".join(error.lines))
            return
        if not worker.is_cancelled:
            self.call_from_thread(self._show, found, orders, lines)

    def _trouble(self, text: str) -> None:
        part = self.query_one("#trouble", Label)
        part.update(text)
        part.display = bool(text)

    def _show(self, found: dict[str, Any], orders: list[dict[str, Any]], lines: list[str]) -> None:
        self._found = found
        self._trouble("")
        self.query_one("#head", Label).update(headline(found))
        self._draw()
        self._fill(
            "#leases-table",
            [
                (hours(each["hours"]), f"{each['balance_uve']:,.2f}", "active" if each["active"] else "out of funds", each["lease"])
                for each in found["escrow"]["lowest"]
            ],
        )
        self._fill("#orders-table", [(str(each["created_at"]), each["ceiling"], f"{each['cpu']:,}", each["id"]) for each in orders])
        if lines != self._lines:
            log = self.query_one("#log", RichLog)
            log.clear()
            log.write("\n".join(lines))
            self._lines = lines

    def _draw(self) -> None:
        if self._found is None:
            return
        part = self.query_one("#panel", Static)
        close = self.size.height < ROOMY_LINES
        text = Text("\n".join(panel(self._found, max(LEAST_WIDTH, self.size.width), close=close)), no_wrap=True)
        for words in alarms(self._found):
            text.highlight_words([words], "bold yellow")
        part.update(text)

    def _fill(self, name: str, rows: list[tuple[str, ...]]) -> None:
        """Put rows into a table; the cursor stays where it was."""
        table: DataTable[str] = self.query_one(name, DataTable)
        at = table.cursor_row
        table.clear()
        for row in rows:
            table.add_row(*row)
        if rows:
            table.move_cursor(row=min(at, len(rows) - 1))

    def on_resize(self) -> None:
        """Draw the panel as wide as there is room."""
        self._draw()

    # --- keys --------------------------------------------------------------------------------------------------------------------------

    def action_pause(self) -> None:
        """Let the devnet rest."""
        self._do("devnet pause", lambda: self._client.set_clock(paused=True))

    def action_resume(self) -> None:
        """Let it go on."""
        self._do("devnet resume", lambda: self._client.set_clock(paused=False))

    def action_advance(self, blocks: int) -> None:
        """Make blocks as fast as they go."""
        self._do(f"devnet advance --blocks {blocks}", lambda: self._client.advance(blocks))

    def action_advance_hour(self) -> None:
        """Make the blocks of an hour."""
        if self._found is not None:
            self.action_advance(round(3600 / self._found["block_seconds"]))

    def action_market(self) -> None:
        """Show the provider's figures, or those of all."""
        self._provider = None if self._provider is not None else self._own
        self.look()

    def action_tab(self, name: str) -> None:
        """Show another table."""
        self.query_one(TabbedContent).active = name

    def _do(self, command: str, act: Callable[[], object]) -> None:
        """Do something aside, and say by which command it can be had."""

        def work() -> None:
            try:
                act()
            except NodeError as error:
                self.call_from_thread(self.notify, " ".join(error.lines), severity="error", markup=False)
            else:
                self.call_from_thread(self.notify, f"marketsim {command}", timeout=2, markup=False)
                self.call_from_thread(self.look)

        self.run_worker(work, thread=True, group="do")


__all__ = ["DashboardScreen"]
