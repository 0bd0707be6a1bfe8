"""Observers that need no terminal."""

from __future__ import annotations

import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

    from bondwork.contracts import Observer, Progress


class Silence:
    """The observer that watches nothing and stops nothing."""

    def report(self, progress: Progress) -> None:
        """Take no note."""

    def should_stop(self) -> bool:
        """Never."""
        return False


class _Interruptible:
    """An observer that also stops at the first Ctrl-C."""

    def __init__(self, observer: Observer) -> None:
        self._observer = observer
        self._interrupted = threading.Event()

    def report(self, progress: Progress) -> None:
        self._observer.report(progress)

    def should_stop(self) -> bool:
        return self._interrupted.is_set() or self._observer.should_stop()

    def interrupt(self, _signal: int, _frame: FrameType | None) -> None:
        if self._interrupted.is_set():
            raise KeyboardInterrupt  # a second Ctrl-C means now
        self._interrupted.set()


@contextmanager
def interruptible(observer: Observer) -> Iterator[Observer]:
    """Let Ctrl-C end a solve with the best plan so far instead of an exception.

    Only in the main thread, which alone gets signals, and only where nobody else handles them.
    """
    mine = threading.current_thread() is threading.main_thread()
    if not mine or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield observer
        return
    watch = _Interruptible(observer)
    signal.signal(signal.SIGINT, watch.interrupt)
    try:
        yield watch
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
