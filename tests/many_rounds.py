"""Work spread over processes, until a moment: what is under way then is ended, and said to be unfinished.

A process that dies is a fault of its item, and another one takes its place.
"""

from __future__ import annotations

import multiprocessing
import sys
import time
from multiprocessing.connection import Connection, wait
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from multiprocessing.process import BaseProcess


class Done(NamedTuple):
    """What became of an item: a result, or how its process ended."""

    item: Any
    result: Any = None
    died: int | None = None


class _Worker:
    def __init__(self, work: Callable[[Any], Any]) -> None:
        context = multiprocessing.get_context("spawn")
        self.ours, theirs = context.Pipe()
        self.process: BaseProcess = context.Process(target=_serve, args=(theirs, work), daemon=True)
        self.process.start()
        theirs.close()
        self.item: Any = None

    def give(self, item: Any) -> None:
        self.item = item
        self.ours.send(item)

    def take(self) -> Done:
        try:
            return Done(self.item, self.ours.recv())
        except EOFError:
            self.process.join()
            return Done(self.item, died=self.process.exitcode)

    def end(self) -> None:
        self.process.kill()
        self.process.join()
        self.ours.close()


def _serve(theirs: Connection, work: Callable[[Any], Any]) -> None:
    while True:
        try:
            item = theirs.recv()
        except (EOFError, KeyboardInterrupt):
            return
        theirs.send(work(item))


def spread(
    work: Callable[[Any], Any],
    items: Iterator[Any],
    jobs: int,
    ends: float,
    tell: Callable[[list[Any]], None] = lambda _: None,
    every: float = 1.0,
) -> Iterator[Done]:
    """Yield what became of items, in the order in which they are done.

    Parameters
    ----------
    work
        A function of a module, called with one item at a time.
    ends
        Moment of `time.monotonic` at which whatever is under way is ended.
    tell
        Told every so many seconds what is under way.
    """
    workers: list[_Worker] = []
    told = time.monotonic()
    try:
        for item in items:
            workers.append(_Worker(work))
            workers[-1].give(item)
            if len(workers) == jobs:
                break
        while workers and time.monotonic() < ends:
            ready = wait([each.ours for each in workers], max(min(every, ends - time.monotonic()), 0.0))
            for worker in [each for each in workers if each.ours in ready]:
                done = worker.take()
                workers.remove(worker)
                item = next(items, None) if time.monotonic() < ends else None
                if item is None or done.died is not None:
                    worker.end()
                    worker = None if item is None else _Worker(work)  # noqa: PLW2901
                if worker is not None:
                    worker.give(item)
                    workers.append(worker)
                yield done
            if time.monotonic() - told >= every:
                told = time.monotonic()
                tell([each.item for each in workers])
    finally:
        for each in workers:
            each.end()


class ProgressLine:
    """One line on standard error, written over where that is a terminal, else once in a while."""

    def __init__(self, seconds: float = 30.0) -> None:
        self._on_terminal = sys.stderr.isatty()
        self._every = 0.0 if self._on_terminal else seconds
        self._last = time.monotonic()

    def show(self, text: str) -> None:
        """Show where things are."""
        if time.monotonic() - self._last < self._every:
            return
        self._last = time.monotonic()
        print(f"\r\x1b[K{text}" if self._on_terminal else text, end="" if self._on_terminal else "\n",
              file=sys.stderr, flush=True)  # fmt: skip

    def clear(self) -> None:
        """Make room for another line."""
        if self._on_terminal:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
