"""Where a planner's events are kept: one SQLite file, in which nothing is ever changed.

Write-ahead logging with full synchronisation: what a call has returned from is on the disk, and a process
that is killed at any instant leaves either all of a transaction behind or nothing of it.
"""

from __future__ import annotations

import errno
import sqlite3
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from bondwork.problem.faults import Fault, InvalidInput

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

#: "bond" in ASCII: what SQLite files of ours say they are.
APPLICATION = 0x626F6E64

#: Version of the tables.
VERSION = 1

#: Seconds to wait for another process that is writing.
PATIENCE = 30.0

#: Snapshots that are kept; one would do, two survive a mistake.
SNAPSHOTS = 2

_TABLES = """
CREATE TABLE events(
    seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, subject TEXT, body TEXT NOT NULL);
CREATE INDEX events_by_subject ON events(subject) WHERE subject IS NOT NULL;
CREATE TRIGGER events_stay BEFORE UPDATE ON events BEGIN SELECT RAISE(ABORT, 'events never change'); END;
CREATE TRIGGER events_last BEFORE DELETE ON events BEGIN SELECT RAISE(ABORT, 'events are never deleted'); END;
CREATE TABLE plans(round TEXT PRIMARY KEY, digest TEXT NOT NULL, plan TEXT NOT NULL);
CREATE TABLE snapshots(seq INTEGER PRIMARY KEY, books TEXT NOT NULL);
"""


class Store:
    """The file.

    Parameters
    ----------
    path
        Made if it is not there; ``None``: kept in memory, and gone with the process.

    Raises
    ------
    InvalidInput
        The file is something else, or of a later version.
    OSError
        It cannot be opened or written.
    """

    def __init__(self, path: str | Path | None) -> None:
        self.path = path
        name = ":memory:" if path is None else str(path)
        try:
            self._connection = sqlite3.connect(
                name, timeout=PATIENCE, isolation_level=None, check_same_thread=False
            )
        except sqlite3.Error as error:
            raise self._trouble(error) from None
        try:
            self._prepare()
        except sqlite3.DatabaseError as error:
            self._connection.close()
            if isinstance(error, sqlite3.OperationalError):
                raise self._trouble(error) from None
            raise InvalidInput(
                [Fault(name, "a file that SQLite does not read", "a planner's state")]
            ) from None
        except BaseException:
            self._connection.close()
            raise

    def _prepare(self) -> None:
        connection = self._connection
        connection.execute("PRAGMA synchronous = FULL")
        if self._number("PRAGMA application_id") != APPLICATION:
            self._make()
        version = self._number("PRAGMA user_version")
        if version != VERSION:
            raise InvalidInput([Fault(str(self.path), f"version {version}", f"version {VERSION}")])

    def _make(self) -> None:
        """Make the tables in an empty file, unless another process does so at this moment."""
        connection = self._connection
        ends = time.monotonic() + PATIENCE
        while True:  # cannot be done inside a transaction, and SQLite does not wait for others here
            try:
                if self._is_nobodys():
                    connection.execute("PRAGMA journal_mode = WAL")
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > ends:
                    raise
                time.sleep(0.01)
            else:
                break
        with self.transaction():
            if self._is_nobodys():
                connection.execute(f"PRAGMA application_id = {APPLICATION}")
                connection.execute(f"PRAGMA user_version = {VERSION}")
                for statement in _statements(_TABLES):
                    connection.execute(statement)
            elif self._number("PRAGMA application_id") != APPLICATION:
                raise InvalidInput([Fault(str(self.path), "another program's database", "a planner's state")])

    def _is_nobodys(self) -> bool:
        """Whether the file is empty, and no other program has put its name on it."""
        empty = self._number("SELECT count(*) FROM sqlite_master") == 0
        return empty and self._number("PRAGMA application_id") == 0

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All of it or nothing; nobody else writes meanwhile."""
        try:
            self._connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            raise self._trouble(error) from None
        try:
            yield
            self._connection.execute("COMMIT")
        except BaseException as error:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            if isinstance(error, sqlite3.OperationalError):  # a full disk, for one
                raise self._trouble(error) from None
            raise

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    # --- events -------------------------------------------------------------------------------------------

    def last(self) -> int:
        """Number of the last event; 0 where there is none."""
        return self._number("SELECT coalesce(max(seq), 0) FROM events")

    def append(self, id_: str, body: str, subject: str | None = None) -> int:
        """Write an event down; return its number."""
        cursor = self._connection.execute(
            "INSERT INTO events(id, subject, body) VALUES (?, ?, ?)", (id_, subject, body)
        )
        return int(cursor.lastrowid or 0)

    def after(self, seq: int) -> list[tuple[int, str]]:
        """Events after a number, in order."""
        query = "SELECT seq, body FROM events WHERE seq > ? ORDER BY seq"
        return [(number, body) for number, body in self._connection.execute(query, (seq,))]

    def find(self, id_: str) -> str | None:
        """The event of an id."""
        return self._text("SELECT body FROM events WHERE id = ?", id_)

    def about(self, subject: str) -> str | None:
        """The event that ended a commitment."""
        return self._text("SELECT body FROM events WHERE subject = ?", subject)

    # --- plans and snapshots ------------------------------------------------------------------------------

    def keep_plan(self, round_: str, digest: str, plan: str) -> None:
        """Keep a round's plan."""
        self._connection.execute("INSERT INTO plans VALUES (?, ?, ?)", (round_, digest, plan))

    def plan(self, round_: str) -> tuple[str, str] | None:
        """Digest of a round and its plan."""
        query = "SELECT digest, plan FROM plans WHERE round = ?"
        row = self._connection.execute(query, (round_,)).fetchone()
        return None if row is None else (row[0], row[1])

    def keep_snapshot(self, seq: int, books: str) -> None:
        """Keep the books as they are after an event; older ones go."""
        self._connection.execute("INSERT OR REPLACE INTO snapshots VALUES (?, ?)", (seq, books))
        self._connection.execute(
            "DELETE FROM snapshots WHERE seq NOT IN (SELECT seq FROM snapshots ORDER BY seq DESC LIMIT ?)",
            (SNAPSHOTS,),
        )

    def snapshot(self) -> tuple[int, str] | None:
        """The last snapshot."""
        query = "SELECT seq, books FROM snapshots ORDER BY seq DESC LIMIT 1"
        row = self._connection.execute(query).fetchone()
        return None if row is None else (row[0], row[1])

    def _number(self, query: str) -> int:
        return int(self._connection.execute(query).fetchone()[0])

    def _text(self, query: str, argument: str) -> str | None:
        row = self._connection.execute(query, (argument,)).fetchone()
        return None if row is None else str(row[0])

    def _trouble(self, error: sqlite3.Error) -> OSError:
        return OSError(errno.EIO, str(error), str(self.path))


def _statements(script: str) -> Iterator[str]:
    """Split a script into statements; triggers have semicolons of their own."""
    statement = ""
    for line in script.strip().splitlines():
        statement += line + "\n"
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
