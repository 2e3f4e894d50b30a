"""What a devnet's log has told so far, to be found by hash and told again: in a database on the disk, of which memory holds a few pages.

It holds nothing that the log does not say, and is made anew whenever the devnet starts.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from marketsim.devnet.write_ahead import Entry
from marketsim.simulation.live import Ticket

CACHE_KIB = 4_096
"""Memory that the database takes for its pages."""
_TABLES = """
CREATE TABLE steps (number INTEGER PRIMARY KEY, kind TEXT, line TEXT, entry TEXT);
CREATE TABLE txs (hash BLOB PRIMARY KEY, step INTEGER, place INTEGER, ticket INTEGER, height INTEGER, op TEXT) WITHOUT ROWID;
CREATE INDEX txs_by_op ON txs (op, step, place) WHERE op = 'configure';
CREATE TABLE sent (id TEXT, height INTEGER, step INTEGER, place INTEGER, PRIMARY KEY (id, height)) WITHOUT ROWID;
"""


class Tx(NamedTuple):
    """A message that was taken: its ticket, what it said, who signed it."""

    ticket: Ticket
    message: Mapping[str, Any]
    signer: str


class Step(NamedTuple):
    """A part of what has happened, as the log tells it, and the hash of its line."""

    entry: Entry
    line: str


class History:
    """The steps of a devnet in their order, and its transactions by hash."""

    def __init__(self, path: Path) -> None:
        """Begin with none, in a file that loses its name at once where the system lets it: it ends with the process."""
        path.unlink(missing_ok=True)
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        for pragma in ("journal_mode = OFF", "synchronous = OFF", "locking_mode = EXCLUSIVE", f"cache_size = -{CACHE_KIB}"):
            self._db.execute(f"PRAGMA {pragma}")
        self._db.executescript(_TABLES)
        self._db.execute("BEGIN")  # for good: nobody reads it after this process
        with suppress(OSError):
            path.unlink()
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Step]:
        for number in range(self._count):
            yield self._step(number)

    def _step(self, number: int) -> Step:
        line, entry = self._db.execute("SELECT line, entry FROM steps WHERE number = ?", (number,)).fetchone()
        return Step(json.loads(entry), line)

    def append(self, entry: Entry, line: str) -> None:
        """Take a step."""
        text = json.dumps({key: value for key, value in entry.items() if key not in ("n", "before", "hash")})
        self._db.execute("INSERT INTO steps VALUES (?, ?, ?, ?)", (self._count, entry["kind"], line, text))
        self._count += 1

    def merge(self, least: int) -> None:
        """Let advances at the end be one, of the steps from number `least` on."""
        while self._count >= max(2, least + 2):
            last = (self._count - 2, self._count - 1)
            kinds = self._db.execute("SELECT kind FROM steps WHERE number IN (?, ?)", last).fetchall()
            if any(kind != "advance" for (kind,) in kinds):
                return
            self._db.execute("DELETE FROM steps WHERE number = ?", last[:1])
            self._db.execute("UPDATE steps SET number = ? WHERE number = ?", last)
            self._count -= 1

    def cut(self, count: int) -> None:
        """Forget the steps behind the first `count`, with their transactions."""
        self._db.execute("DELETE FROM steps WHERE number >= ?", (count,))
        for table in ("txs", "sent"):
            self._db.execute(f"DELETE FROM {table} WHERE step >= ?", (count,))
        self._count = count

    def begin_again(self) -> None:
        """Forget the transactions: all steps are about to be told again."""
        for table in ("txs", "sent"):
            self._db.execute(f"DELETE FROM {table}")

    def enter(self, hash: str, step: int, place: int, ticket: Ticket, message: Mapping[str, Any]) -> None:
        """Take a message of a step, the one at `place` in it."""
        row = (bytes.fromhex(hash), step, place, ticket.number, ticket.height, message["op"])
        self._db.execute("INSERT OR REPLACE INTO txs VALUES (?, ?, ?, ?, ?, ?)", row)
        if message["op"] == "create_deployment":
            self._db.execute("INSERT OR REPLACE INTO sent VALUES (?, ?, ?, ?)", (message["id"], ticket.height, step, place))

    def tx(self, hash: str) -> Tx | None:
        """Return a transaction by its hash, None for one that is not known."""
        try:
            key = bytes.fromhex(hash)
        except ValueError:
            return None
        found = self._db.execute("SELECT step, place, ticket, height FROM txs WHERE hash = ?", (key,)).fetchone()
        if found is None:
            return None
        step, place, ticket, height = found
        entry = self._step(step).entry
        return Tx(Ticket(ticket, height), entry["messages"][place], entry["signer"])

    def configured(self) -> list[str]:
        """Return the hashes of the messages that gave the provider's engine a file, in their order."""
        rows = self._db.execute("SELECT hash FROM txs WHERE op = 'configure' ORDER BY step, place").fetchall()
        return [hash.hex().upper() for (hash,) in rows]

    def sent_groups(self, deployment: str, height: int) -> Sequence[Mapping[str, Any]]:
        """Return the groups of the message that created a deployment at this height, none where it was no message by hand."""
        found = self._db.execute("SELECT step, place FROM sent WHERE id = ? AND height = ?", (deployment, height)).fetchone()
        if found is None:
            return ()
        groups: Sequence[Mapping[str, Any]] = self._step(found[0]).entry["messages"][found[1]]["groups"]
        return groups

    def close(self) -> None:
        """Let the database go."""
        self._db.close()


__all__ = ["History", "Step", "Tx"]
