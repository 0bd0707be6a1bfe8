"""A planner's store and books together: what is written is folded in, and what was folded in is written."""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING

from bondwork.planner.books import Books
from bondwork.planner.events import Event, Observed, event_from_json, event_to_json
from bondwork.planner.store import Store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

#: Events between two snapshots: what has to be folded when a planner is opened.
SNAPSHOT_EVERY = 256


class Journal:
    """The events of a planner, in a file and as books.

    Parameters
    ----------
    path
        As for `Store`.

    Attributes
    ----------
    books
        The fold of the events up to ``seq``.
    """

    def __init__(self, path: str | Path | None) -> None:
        self.store = Store(path)
        self.books, self.seq = Books(), 0
        try:
            self.catch_up()
        except BaseException:
            self.store.close()
            raise

    def catch_up(self) -> None:
        """Fold in what was written since, by whomever; from the last snapshot where we know nothing."""
        if self.seq == 0:
            kept = self.store.snapshot()
            if kept is not None:
                self.seq, self.books = kept[0], Books.from_dict(json.loads(kept[1]))
        for seq, body in self.store.after(self.seq):
            self.books.apply(event_from_json(body))
            self.seq = seq

    @contextmanager
    def writing(self) -> Iterator[Books]:
        """A transaction on the books as they stand: all that is recorded in it is kept, or nothing.

        A snapshot is taken at its end now and then.
        """
        try:
            with self.store.transaction():
                self.catch_up()
                before = self.seq
                yield self.books
                _check_sum(self.books)
                if self.seq // SNAPSHOT_EVERY > before // SNAPSHOT_EVERY:
                    self.store.keep_snapshot(self.seq, json.dumps(self.books.to_dict()))
        except BaseException:
            self.books, self.seq = Books(), 0  # what was folded in may not have been kept
            self.catch_up()
            raise

    def record(self, id_: str, event: Event, subject: str | None = None) -> None:
        """Append an event and fold it in, inside `writing`."""
        self.seq = self.store.append(id_, event_to_json(event), subject)
        self.books.apply(event)

    def find(self, id_: str) -> Event | None:
        """The event of an id."""
        body = self.store.find(id_)
        return None if body is None else event_from_json(body)

    def ending(self, commitment: str) -> Observed | None:
        """How a commitment ended."""
        body = self.store.about(commitment)
        event = None if body is None else event_from_json(body)
        return event if isinstance(event, Observed) else None

    def is_settled(self, commitment: str) -> bool:
        """Whether a commitment ended."""
        return self.store.about(commitment) is not None

    def audit(self) -> None:
        """Fold every event again from the first, and compare with the books at hand.

        Raises
        ------
        RuntimeError
            They differ, or money does not add up.
        """
        again = Books()
        for _, body in self.store.after(0):
            again.apply(event_from_json(body))
        if again.to_dict() != self.books.to_dict():
            raise RuntimeError("the events do not fold into the state at hand")
        check_books(again)


def _check_sum(books: Books) -> None:
    """Check that money adds up: what does not must not be kept."""
    if books.ledger.imbalance() != 0:
        raise RuntimeError("money does not add up")


def check_books(books: Books) -> None:
    """Check that the parts of the books agree with each other.

    Raises
    ------
    RuntimeError
        They do not.
    """
    ledger = books.ledger
    locks = {each.id for each in books.open.values() if each.kind == "delegated"} | set(books.held)
    held: dict[str, int] = {}
    for lock in ledger.locks.values():
        held[lock.coprocessor] = held.get(lock.coprocessor, 0) + lock.amount
    wrong = [
        name
        for name, each in ledger.coprocessors.items()
        if each.locked != held.get(name, 0) or each.free < 0
    ]
    if ledger.imbalance() != 0 or locks != set(ledger.locks) or wrong:
        raise RuntimeError(f"the ledger does not balance: {', '.join(wrong) or 'locks or sums'}")
