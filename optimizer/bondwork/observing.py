"""Observers that need no terminal."""

from __future__ import annotations

import math
import signal
import threading
import time
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType
    from typing import Literal

    from bondwork.contracts import Observer, Progress


class Silence:
    """The observer that watches nothing and stops nothing."""

    def report(self, progress: Progress) -> None:
        """Take no note."""

    def should_stop(self) -> bool:
        """Never."""
        return False


class Quiet:
    """Passes on whether to stop and tells nothing: what solves a part does not speak for the whole."""

    def __init__(self, observer: Observer) -> None:
        self._observer = observer

    def report(self, progress: Progress) -> None:
        """Pass on what is done, without numbers."""
        if progress.phase:
            self._observer.report(replace(progress, objective=None, bound=None))

    def should_stop(self) -> bool:
        """What the other observer says."""
        return self._observer.should_stop()


class BoundsOnly(Quiet):
    """Tells bounds and no incumbents: those of a relaxation need not keep every limit."""

    def report(self, progress: Progress) -> None:
        """Pass on all but the incumbent."""
        self._observer.report(replace(progress, objective=None))


class Told(Quiet):
    """What the observer of a whole solve is told: the best of everything so far, on one clock.

    Parameters
    ----------
    sense
        Of the subject. Strategies maximise; of a minimisation the values change their sign.
    unit
        Currency in a unit of the strategy's objective.
    """

    def __init__(
        self, observer: Observer, *, sense: Literal["max", "min"] = "max", unit: float = 1.0
    ) -> None:
        super().__init__(observer)
        self._sense = sense
        self._factor = unit if sense == "max" else -unit
        self._started = time.perf_counter()
        self._objective: float | None = None
        self._bound: float | None = None
        self._phase = ""

    def report(self, progress: Progress) -> None:
        """Keep what became better, and pass it on."""
        if progress.objective is not None and math.isfinite(progress.objective):
            known = progress.objective if self._objective is None else self._objective
            self._objective = max(known, progress.objective)
        if progress.bound is not None and math.isfinite(progress.bound):
            known = progress.bound if self._bound is None else self._bound
            self._bound = min(known, progress.bound)
        bound, objective = self._bound, self._objective
        if bound is not None and objective is not None:
            bound = max(bound, objective)  # a hair below it is rounding
        self._phase = progress.phase or self._phase
        seconds = time.perf_counter() - self._started
        self._observer.report(
            replace(
                progress,
                seconds=seconds,
                objective=None if objective is None else self._factor * objective,
                bound=None if bound is None else self._factor * bound,
                phase=self._phase,
                sense=self._sense,
            )
        )


class Hearing:
    """Passes everything on to an observer, and remembers what that raised.

    What an observer raises is its owner's, and goes back to where it came from; what else goes wrong within a
    solve is a failure of the solve, which may hold a plan all the same.
    """

    def __init__(self, observer: Observer) -> None:
        self._observer = observer
        self.error: Exception | None = None

    def report(self, progress: Progress) -> None:
        """Pass a report on."""
        try:
            self._observer.report(progress)
        except Exception as error:
            self.error = error
            raise

    def should_stop(self) -> bool:
        """Pass the question on."""
        try:
            return self._observer.should_stop()
        except Exception as error:
            self.error = error
            raise


def in_one_line(error: Exception) -> str:
    """An unexpected error in one line, for a note."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


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
