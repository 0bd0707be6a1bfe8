"""One solve as it stands: the clock, the incumbent, the bound, the threads, and when to stop."""

from __future__ import annotations

import time
from concurrent.futures import Future, ThreadPoolExecutor, wait
from os import cpu_count
from typing import TYPE_CHECKING, Any

import numpy as np

from bondwork.contracts import Progress
from bondwork.program.exact import ExactRows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import TracebackType

    from bondwork.arrays import FloatArray, IntArray
    from bondwork.contracts import Observer, Options, Status
    from bondwork.program.program import Program
    from bondwork.strategies.lagrangian.shape import Shape
    from bondwork.strategies.lagrangian.tails import Tails

#: Seconds between two looks at the clock and at the observer while kernels run.
_POLL = 0.02

#: Relative room given to the rounding of sums in a bound.
_MARGIN = 1e-11

#: Relative distance between bound and incumbent that counts as none.
_NOTHING = 1e-9


class Stopped(Exception):
    """The time is up, the gap is reached, or the observer wants to stop."""


class Session:
    """Best plan and bound at any moment; every phase works through one of these.

    Attributes
    ----------
    assigned
        Shape (T,). Column of each task in the incumbent or -1; ``None`` before there is one.
    tails
        The tail limits, if there are any; ``shape`` is theirs then.
    value, bound
        Scaled objective of the incumbent and dual bound, rounding not yet allowed for.
    objective
        Objective of the incumbent in currency.
    stop
        Shape (1,). Set to 1 to make running kernels end early.
    """

    def __init__(
        self,
        program: Program,
        shape: Shape,
        options: Options,
        observer: Observer,
        started: float,
        tails: Tails | None = None,
    ) -> None:
        self.program = program
        self.shape = shape
        self.tails = tails
        self.options = options
        self.assigned: IntArray | None = None
        self.value = -np.inf
        self.bound = np.inf
        self.objective: float | None = None
        self.stop = np.zeros(1, dtype=np.int64)
        self.status: Status | None = None
        self._told = np.inf
        self._observer = observer
        self._started = started
        self.threads = options.threads or min(cpu_count() or 1, 8)
        self._executor = ThreadPoolExecutor(self.threads)
        objective = program.objective[shape.columns]
        # Where every value is a whole number so is the optimum: then any bound may be rounded down.
        self._exact = ExactRows(program)
        self._whole = bool((objective == np.round(objective)).all() and np.abs(objective).sum() < 2**50)

    def __enter__(self) -> Session:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop[0] = 1
        self._executor.shutdown()

    # -- results
    # ------------------------------------------------------------------------------------------------

    @property
    def x(self) -> FloatArray | None:
        """The incumbent in the columns of the program."""
        return None if self.assigned is None else self._full(self.assigned)

    def _lightened(self, assigned: IntArray) -> IntArray | None:
        """The plan where it meets every row exactly; else without what is in the way, if that can go."""
        shape, exact = self.shape, self._exact
        lighter = assigned
        while True:
            x = self._full(lighter)
            broken = exact.broken(x).tolist()
            if not broken:
                return lighter
            chosen = lighter[lighter >= 0]
            free = chosen[~shape.required[shape.task[chosen]]]
            given_up = exact.least_given_up(broken[0], x, shape.columns[free], shape.value[free])
            if not len(given_up):
                return None
            lighter = lighter.copy()
            lighter[shape.task[free[given_up]]] = -1

    def _full(self, assigned: IntArray) -> FloatArray:
        """A plan in the columns of the program."""
        x = np.zeros(self.program.matrix.shape[1])
        x[self.shape.columns[assigned[assigned >= 0]]] = 1.0
        return x

    @property
    def weight(self) -> FloatArray:
        """What plans are held to at the moment, laid out as ``shape.entry_value``."""
        return self.shape.entry_value if self.tails is None else self.tails.weight

    @property
    def currency_bound(self) -> float:
        """Dual bound in currency, widened by what rounding can have cost."""
        if not np.isfinite(self.bound):
            return np.inf
        scaled = self.bound + self.shape.rounding + _MARGIN * (1.0 + abs(self.bound))
        bound = scaled * self.shape.unit
        if self._whole:
            bound = float(np.floor(bound + 1e-6))
        bound += self.program.offset
        objective = self.objective
        return bound if objective is None else max(bound, objective)

    @property
    def gap(self) -> float:
        """Relative gap as `Options.mip_rel_gap` measures it."""
        objective = self.objective
        if objective is None:
            return np.inf
        distance = self.currency_bound - objective
        size = max(abs(objective), abs(objective - self.program.offset), 1e-300)
        # Below this there is nothing but the margins of the bound itself.
        return 0.0 if distance <= _NOTHING * size else distance / max(abs(objective), 1e-300)

    def offer_plan(self, assigned: IntArray, phase: str) -> bool:
        """Take a plan in if it is better than the incumbent, complete, and within all limits.

        What breaks a row by less than kernels see gives up as little as it can first.
        """
        shape = self.shape
        if (assigned[shape.required] < 0).any():
            return False
        value = float(shape.value[assigned[assigned >= 0]].sum())
        if self.assigned is not None and value <= self.value:
            return False
        exactly = self._lightened(assigned)
        if exactly is not assigned:
            return exactly is not None and self.offer_plan(exactly, phase)
        if self.tails is not None and not self.tails.holds(assigned):
            return False
        self.assigned, self.value = assigned.copy(), value
        # Once for each incumbent: a long dot product wakes the threads of BLAS, which costs milliseconds
        # where the processors are busy, and the gap is looked at after every step.
        x = self.x
        self.objective = None if x is None else self.program.value(x)
        self._report(phase)
        return True

    def offer_x(self, x: FloatArray, phase: str) -> bool:
        """Take a plan in the columns of the program in, where it meets the rows exactly."""
        shape = self.shape
        chosen = np.flatnonzero(x[shape.columns] > 0.5)
        if len(self._exact.broken(np.round(x))):
            return False
        assigned = np.full(shape.tasks, -1, dtype=np.int64)
        assigned[shape.task[chosen]] = chosen
        return self.offer_plan(assigned, phase)

    def offer_bound(self, bound: float, phase: str) -> None:
        """Take a (scaled) bound in if it is lower; told where it moved by more than a ten-thousandth."""
        if bound < self.bound:
            self.bound = bound
            if not bound > self._told - 1e-4 * abs(self._told) or self.gap <= self.options.mip_rel_gap:
                self._told = bound
                self._report(phase)

    def _report(self, phase: str) -> None:
        bound = self.currency_bound
        self._observer.report(
            Progress(self.seconds, self.objective, bound if np.isfinite(bound) else None, phase)
        )

    # -- time
    # ---------------------------------------------------------------------------------------------------

    @property
    def seconds(self) -> float:
        """Seconds since the start."""
        return time.perf_counter() - self._started

    @property
    def remaining(self) -> float:
        """Seconds left."""
        return self.options.time_limit - self.seconds

    def why_stop(self) -> Status | None:
        """Say why the solve must stop now, if it must."""
        if self.status is None:
            if self._observer.should_stop():
                self.status = "interrupted"
            elif self.remaining <= 0:
                self.status = "time_limit"
        return self.status

    def check(self) -> None:
        """Leave the current phase if the solve must stop, or has reached its gap."""
        if self.gap <= self.options.mip_rel_gap:
            self.status = "optimal"
        if self.why_stop() is not None:
            raise Stopped

    def run(self, jobs: Iterable[Callable[[], Any]]) -> list[Any]:
        """Run compiled jobs (which release the interpreter) side by side; results in order.

        Their stop flag is set when the solve must stop; what they return then is incomplete.
        """
        pending: list[Future[Any]] = [self._executor.submit(job) for job in jobs]
        left = set(pending)
        while left:
            _, left = wait(left, timeout=_POLL)
            if left and self.why_stop() is not None:
                self.stop[0] = 1
        return [future.result() for future in pending]
