"""The dashboard of a running devnet on a terminal that is asked and redrawn by itself, with keys for its clock."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any, ClassVar

from rich.text import Text
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import DataTable, Footer, Input, Label, RichLog, Static, TabbedContent, TabPane
from textual.worker import get_current_worker

from marketsim.devnet.client import Client
from marketsim.devnet.node_error import NodeError
from marketsim.devnet.panel import LEAST_WIDTH, alarms, headline, hours, panel
from marketsim.errors import InputError

REFRESH_SECONDS = 1.0
JOURNAL_LINES = 200
ORDERS_SHOWN, BIDS_SHOWN = 50, 1_000
ROOMY_LINES = 32
"""On lower terminals the panel has no empty lines."""


class DashboardScreen(App[None]):
    """Shows a devnet until it is left; the devnet goes on. All asking is done aside, so that keys answer at once."""

    TITLE = "marketsim dash"
    ENABLE_COMMAND_PALETTE = False
    AUTO_FOCUS = "#leases-table"
    CSS = """
    #head { height: 1; width: 1fr; background: $primary-background; padding: 0 1; }
    #panel { height: auto; }
    #trouble { height: auto; color: $error; padding: 0 1; }
    TabbedContent, ContentSwitcher, TabPane { height: 1fr; }
    TabPane { padding: 0; }
    #filter { height: 1; border: none; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("p", "pause", "Pause"),
        Binding("r", "resume", "Resume"),
        Binding("a", "advance(100)", "+100 blocks"),
        Binding("h", "advance_hour", "+1 h"),
        Binding("m", "market", "Mine/all"),
        Binding("slash", "filter", "Filter", key_display="/"),
        Binding("s", "sort", "Sort"),
        Binding("escape", "clear", "Clear", show=False),
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
        self._orders: list[dict[str, Any]] = []
        self._bids: dict[str, list[str]] = {}
        self._lines: list[str] = []
        self._logged: list[str] = []
        self._filled: dict[str, list[list[str]]] = {}
        self._wanted = ""
        self._sorted = {"leases": 0, "orders": 0}

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
        yield Input(placeholder="only rows with …", id="filter", disabled=True)
        yield Footer()

    def on_mount(self) -> None:
        """Begin to ask."""
        self.query_one("#leases-table", DataTable).add_columns("Left", "Balance uve", "State", "Lease")
        self.query_one("#orders-table", DataTable).add_columns("Since block", "Ceiling", "CPU m", "Bids", "Lowest", "Order")
        self.query_one("#filter", Input).display = False
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
            bids = self._client.bids({"state": "open"}, limit=BIDS_SHOWN)["bids"]
            lines = self._client.journal(n=JOURNAL_LINES)
        except InputError as error:
            if not worker.is_cancelled:
                self.call_from_thread(self._trouble, " ".join(error.lines))
            return
        if not worker.is_cancelled:
            self.call_from_thread(self._show, found, orders, bids, lines)

    def _trouble(self, text: str) -> None:
        part = self.query_one("#trouble", Label)
        part.update(text)
        part.display = bool(text)

    def _show(self, found: dict[str, Any], orders: list[dict[str, Any]], bids: list[dict[str, Any]], lines: list[str]) -> None:
        self._found, self._orders, self._lines = found, orders, lines
        self._bids = {}
        for bid in bids:
            self._bids.setdefault(bid["order"], []).append(bid["price"])
        self._trouble("")
        self.query_one("#head", Label).update(headline(found))
        self._draw()
        self._draw_tables()

    def _draw_tables(self) -> None:
        if self._found is None:
            return
        leases = [
            (each["hours"], each["balance_uve"], "active" if each["active"] else "out of funds", each["lease"])
            for each in self._found["escrow"]["lowest"]
        ]
        self._fill("leases", leases, (hours, "{:,.2f}".format, str, str))
        orders = []
        for each in self._orders:
            prices = [Decimal(price) for price in self._bids.get(each["id"], ())]
            lowest = min(prices, default=Decimal("Infinity"))
            orders.append((each["created_at"], Decimal(each["ceiling"]), each["cpu"], len(prices), lowest, each["id"]))
        self._fill(
            "orders", orders, ("{:,}".format, str, "{:,}".format, str, lambda price: f"{price:f}" if price.is_finite() else "–", str)
        )
        lines = [line for line in self._lines if self._wanted in line.lower()]
        if lines != self._logged:
            log = self.query_one("#log", RichLog)
            log.clear()
            log.write("\n".join(lines))
            self._logged = lines

    def _draw(self) -> None:
        if self._found is None:
            return
        part = self.query_one("#panel", Static)
        close = self.size.height < ROOMY_LINES
        text = Text("\n".join(panel(self._found, max(LEAST_WIDTH, self.size.width), close=close)), no_wrap=True)
        for words in alarms(self._found):
            text.highlight_words([words], "bold yellow")
        part.update(text)

    def _fill(self, name: str, rows: Sequence[tuple[Any, ...]], words: tuple[Callable[[Any], str], ...]) -> None:
        """Put those rows into a table that the filter lets through, by the column chosen; the cursor stays where it was."""
        table: DataTable[str] = self.query_one(f"#{name}-table", DataTable)
        at, column = table.cursor_row, self._sorted[name]
        rows = sorted(rows, key=lambda row: row[column])
        texts = [[write(value) for write, value in zip(words, row, strict=True)] for row in rows]
        kept = [each for each in texts if self._wanted in " ".join(each).lower()]
        if kept == self._filled.get(name):
            return
        self._filled[name] = kept
        table.clear()
        table.add_rows(kept)
        if table.row_count:
            table.move_cursor(row=min(at, table.row_count - 1))

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

    def action_filter(self) -> None:
        """Ask for letters that rows must have."""
        part = self.query_one("#filter", Input)
        part.display, part.disabled = True, False
        self.set_focus(part)

    def action_clear(self) -> None:
        """Show all rows again."""
        part = self.query_one("#filter", Input)
        part.value, part.display, part.disabled = "", False, True
        self._to_table()

    def on_input_changed(self, event: Input.Changed) -> None:
        """Filter as it is written."""
        self._wanted = event.value.lower()
        self._draw_tables()

    def on_input_submitted(self) -> None:
        """Go back to the table; the filter stays."""
        self._to_table()

    def _to_table(self) -> None:
        """Let the keys that move a cursor move that of what is seen."""
        self.set_focus(self.query_one({"journal": "#log"}.get(name := self.query_one(TabbedContent).active, f"#{name}-table")))

    def action_sort(self) -> None:
        """Sort the table that is seen by its next column."""
        name = self.query_one(TabbedContent).active
        if name in self._sorted:
            table: DataTable[str] = self.query_one(f"#{name}-table", DataTable)
            self._sorted[name] = (self._sorted[name] + 1) % len(table.columns)
            label = str(list(table.columns.values())[self._sorted[name]].label)
            self.notify(f"by {label}", timeout=1.5, markup=False)
            self._draw_tables()

    def action_tab(self, name: str) -> None:
        """Show another table."""
        self.query_one(TabbedContent).active = name
        self.call_after_refresh(self._to_table)

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
