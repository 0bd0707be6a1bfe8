"""A run of HiGHS that is watched: progress, interrupts, the clock, and the best solution on the way."""

from __future__ import annotations

import math
import threading
import time
from typing import TYPE_CHECKING, Any

import numpy as np

from bondwork.contracts import Progress
from bondwork.solver.threads import run

if TYPE_CHECKING:
    from collections.abc import Callable

    import highspy

    from bondwork.arrays import FloatArray
    from bondwork.contracts import Observer, Status

#: Seconds before the deadline from which on a wish to stop is the clock's. An observer may have a clock of
#: its own, set to the same moment.
_NEARLY = 0.02


#: Seconds, and share of its time limit, by which a run may be late before it is left to itself.
OVERRUN, OVERRUN_SHARE = 0.15, 0.01

#: Seconds of a run without asking whether to stop, after which it is asked here; and seconds to end in then.
DEAF, PATIENCE = 2.0, 10.0


#: Name of the thread of a run.
THREAD = "bondwork-highs"


class Watch:
    """Runs HiGHS in a thread of its own, passes progress on, and lets an interrupt end it gracefully.

    In a thread, because a signal reaches Python only between bytecodes: while HiGHS runs in the main thread,
    Ctrl-C would wait until it is done.

    Parameters
    ----------
    unit
        Currency in a unit of HiGHS's objective.
    time_limit
        Seconds from now on.
    worth
        What an improving solution is worth, ``None`` where it is none of the whole. Left out, what is solved
        is a part of something, and neither its incumbents nor its bounds are told.
    """

    def __init__(
        self,
        unit: float,
        time_limit: float,
        observer: Observer,
        phase: str,
        worth: Callable[[FloatArray], float | None] | None = None,
    ) -> None:
        self.unit = unit
        self.worth = worth
        self.best: float | None = None
        self.observer = observer
        self.phase = phase
        self.started = time.perf_counter()
        self.deadline = self.started + max(time_limit, 0.0)
        #: Shape (n,). The last improving solution of an integer program.
        self.incumbent: FloatArray | None = None
        self.stopping = False
        self.asked = False
        self.heard = self.started
        self.done = threading.Event()
        self.error: BaseException | None = None

    def attach(self, highs: highspy.Highs) -> None:
        """Subscribe to HiGHS's callbacks."""
        highs.cbMipLogging += self._report
        highs.cbMipImprovingSolution += self._improved
        highs.cbMipInterrupt += self._interrupt
        highs.cbSimplexInterrupt += self._interrupt
        highs.cbIpmInterrupt += self._interrupt

    def run(self, highs: highspy.Highs, then: Callable[[], None]) -> None:
        """Run HiGHS to its end or to the first interrupt, ``then`` read what it has found.

        A run that overlooks its deadline, or for long that it shall stop, is left to itself, to end at the
        next interrupt that it heeds: nothing is read then, and nobody may touch ``highs`` any more.
        """
        arguments = (highs, then)
        threading.Thread(target=self._run, args=arguments, name=THREAD, daemon=True).start()
        # not join: up to Python 3.12 an interrupted join takes the thread for dead (bpo-45274)
        # long phases of HiGHS look neither at its clock nor for interrupts
        late = self.deadline + max(OVERRUN, OVERRUN_SHARE * (self.deadline - self.started))
        while not self.done.is_set() and time.perf_counter() < late:
            try:
                self.done.wait(0.1)
                if not self.done.is_set() and self._is_to_stop_unheard():
                    late = min(late, time.perf_counter() + PATIENCE)
            except KeyboardInterrupt:
                if self.stopping:
                    raise  # a second Ctrl-C means now
                self.stopping = True
        if self.error is not None:
            raise self.error

    def _is_to_stop_unheard(self) -> bool:
        """Whether it shall stop and has not asked for long: some phases of HiGHS never do."""
        if time.perf_counter() - self.heard < DEAF:
            return False
        try:
            self.asked = self.asked or self.observer.should_stop()
        except Exception as error:
            self.error, self.stopping = error, True
        return self.asked or self.stopping

    def tell_apart(self, status: Status) -> Status:
        """Say ``interrupted`` only where somebody wanted it so, not where time was up."""
        if status != "interrupted" or self.stopping:
            return status
        if time.perf_counter() >= self.deadline - _NEARLY:
            return "time_limit"
        return "interrupted" if self.asked else "other_error"

    def _run(self, highs: highspy.Highs, then: Callable[[], None]) -> None:
        try:
            run(highs)
            then()
        except BaseException as error:
            self.error = error
        finally:
            self.done.set()

    def _improved(self, event: Any) -> None:
        self.incumbent = np.array(event.data_out.mip_solution)
        try:
            value = None if self.worth is None else self.worth(self.incumbent)
        except BaseException as error:
            self.error, self.stopping = error, True
            return
        if value is not None:
            self.best = value if self.best is None else max(self.best, value)
        self._report(event)

    def _report(self, event: Any) -> None:
        if self.worth is None and not self.phase:
            return
        try:
            bound = math.inf if self.worth is None else event.data_out.mip_dual_bound * self.unit
            self.observer.report(
                Progress(
                    time.perf_counter() - self.started,
                    self.best,
                    bound if math.isfinite(bound) else None,
                    self.phase,
                )
            )
        except BaseException as error:
            self.error, self.stopping = error, True

    def _interrupt(self, event: Any) -> None:
        self.heard = time.perf_counter()
        self.asked = self.asked or self.observer.should_stop()
        if self.stopping or self.asked or time.perf_counter() >= self.deadline:
            event.interrupt()
