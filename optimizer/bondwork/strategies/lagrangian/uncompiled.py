"""What can be done under a time limit without compiled code: prices in numpy, greedy rules, HiGHS.

The code is compiled in a process of its own meanwhile (`bondwork.base.compiled`). Once it is there, and
enough time is left to load it, the solve goes on with it from the plan and the bound found here.
"""

from __future__ import annotations

import dataclasses
import time
from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

from bondwork.contracts import Progress, Solution
from bondwork.program.filling import fill_greedily, repair
from bondwork.strategies.extensive import Extensive
from bondwork.strategies.lagrangian.shape import TOLERANCE, typical_prices

if TYPE_CHECKING:
    from bondwork.arrays import FloatArray
    from bondwork.base.compiled import KernelSet
    from bondwork.contracts import Observer, Options, Status
    from bondwork.program.program import Program
    from bondwork.strategies.lagrangian.shape import Shape

#: Seconds that must be left for loading compiled code (1 to 1.5) to be worth it.
LEAST_TO_LOAD = 2.5

#: Seconds between two looks at whether the code is there.
_POLL = 0.05

#: Steps of the dual, its first step in typical prices, and the share of it that is left at the end.
_STEPS, _REACH, _LAST = 400, 0.3, 1e-3

#: Share of the time that is left which the dual may take.
_DUAL_SHARE = 0.3

#: Columns beyond which HiGHS is not asked: its relaxation alone takes minutes.
_MOST_COLUMNS = 500_000

#: Relative room given to the rounding of sums in a bound.
_MARGIN = 1e-11


class Uncompiled:
    """One solve without compiled code, as it stands.

    Attributes
    ----------
    x, bound
        The best plan of the program, if there is one, and the least bound in currency.
    """

    def __init__(
        self,
        program: Program,
        shape: Shape,
        options: Options,
        observer: Observer,
        started: float,
        kernels: KernelSet,
    ) -> None:
        self.program = program
        self.shape = shape
        self.options = options
        self.observer = observer
        self.started = started
        self.kernels = kernels
        self.x: FloatArray | None = None
        self.bound = np.inf
        self.row_duals: FloatArray | None = None
        self._looked = -np.inf
        self._there = False

    def work(self) -> Solution | None:
        """Work until the compiled code is there (``None``), or nothing more can be done."""
        self.compiled()  # let that begin
        before = time.perf_counter()
        self.fill()
        effort = time.perf_counter() - before
        if self.late():
            return self.solution("time_limit")
        price = self.descend()
        if self.remaining > 2.0 * effort:
            self.repair(price)
        status: Status | None = None
        if self.gap <= self.options.mip_rel_gap:
            status = "optimal"
        elif not self.must_turn() and self.program.choices <= _MOST_COLUMNS:
            status = self.ask_highs()
        while status is None and not self.compiled():
            if self.observer.should_stop():
                status = "interrupted"
            elif self.late() or not self.kernels.begin():
                status = "time_limit"
            else:
                time.sleep(min(_POLL, max(self.remaining, 0.0)))
        return None if status is None else self.solution(status)

    # -- what it knows ----------------------------------------------------------------------------------

    @property
    def remaining(self) -> float:
        """Seconds left."""
        return self.options.time_limit - (time.perf_counter() - self.started)

    def late(self) -> bool:
        """Whether the time is up."""
        return self.remaining <= 0.0

    def compiled(self) -> bool:
        """Whether compiled code is there, with time enough to load it; sees to it that somebody compiles."""
        now = time.perf_counter()
        if not self._there and now - self._looked >= _POLL:
            self._looked = now
            self._there = self.kernels.ready()
            if not self._there:
                self.kernels.begin()
        return self._there and self.remaining >= LEAST_TO_LOAD

    def must_turn(self) -> bool:
        """Whether what goes on now must end: for compiled code, by the clock, or because it was asked to."""
        return self.compiled() or self.late() or self.observer.should_stop()

    @property
    def gap(self) -> float:
        """Relative gap of what is known."""
        if self.x is None:
            return np.inf
        value = self.program.value(self.x)
        return (self.bound - value) / max(abs(value), 1e-300)

    def take_bound(self, scaled: float) -> None:
        """Take a bound of the shape in, widened by what rounding can have cost."""
        scaled += self.shape.rounding + _MARGIN * (1.0 + abs(scaled))
        self.bound = min(self.bound, scaled * self.shape.unit + self.program.offset)

    def offer(self, x: FloatArray | None, phase: str) -> None:
        """Take a plan in, where it is better."""
        if x is not None:
            value = self.program.value(x)
            if self.x is None or value > self.program.value(self.x):
                self.x = x
                self.bound = max(self.bound, value)
        self.tell(phase)

    def tell(self, phase: str) -> None:
        """Report where this stands."""
        value = None if self.x is None else self.program.value(self.x)
        bound = self.bound if np.isfinite(self.bound) else None
        self.observer.report(Progress(time.perf_counter() - self.started, value, bound, phase))

    def solution(self, status: Status) -> Solution:
        """What is handed out."""
        why = self.kernels.why_not
        reason = f" ({why})" if why and not self.kernels.ready() else ""
        note = (
            f"compiled code was not there in time{reason}: prices and HiGHS without it; "
            "bondwork warm-up compiles beforehand"
        )
        if self.kernels.ready():
            note = "too little time to load compiled code: prices and HiGHS without it"
        x = self.x
        return Solution(
            status,
            x,
            self.bound,
            self.row_duals,
            prices_from=None if self.row_duals is None else "lagrange_multipliers",
            notes=(note,),
        )

    # -- what it does -----------------------------------------------------------------------------------

    def fill(self) -> None:
        """Take the best net reward first."""
        shape = self.shape
        best = shape.value[shape.task_columns[shape.task_ptr[:-1]]]  # the best column of a task comes first
        self.take_bound(float(np.maximum(best, shape.leave).sum()))
        filling = fill_greedily(self.program)
        self.offer(filling.x if filling.is_complete() else None, "greedy")

    def greedy(self) -> Solution:
        """What there is at once."""
        self.fill()
        return self.solution("time_limit")

    def descend(self) -> FloatArray:
        """Lower the dual of all rows, as `row_dual` does; returns the prices of the shape's rows."""
        shape = self.shape
        weights = sparse.csr_matrix(
            (shape.entry_value, shape.entry_row, shape.entry_ptr), shape=(len(shape.value), shape.rows)
        )
        back = weights.T.tocsr()
        price, first, second = np.zeros(shape.rows), np.zeros(shape.rows), np.zeros(shape.rows)
        best = price.copy()
        least, tasks = np.inf, np.zeros(shape.tasks)
        step, shrink = _REACH * typical_prices(shape), _LAST ** (1.0 / _STEPS)
        ends = time.perf_counter() + _DUAL_SHARE * max(self.remaining, 0.0)
        for turn in range(_STEPS):
            level, top, share = _lagrangian(shape, weights, price)
            if level < least:
                least, best, tasks = level, price.copy(), top
            if time.perf_counter() > ends or self.must_turn():
                break
            g: FloatArray = 1.0 - np.asarray(back @ share)
            first = 0.9 * first + 0.1 * g
            second = 0.99 * second + 0.01 * g * g
            move = first / (1.0 - 0.9 ** (turn + 1))
            move /= np.sqrt(second / (1.0 - 0.99 ** (turn + 1))) + 1e-12
            price = np.maximum(0.0, price - shrink**turn * step * move)
        self.take_bound(least + TOLERANCE * float(best.sum()))
        self.row_duals = self.in_currency(best, tasks)
        self.tell("row dual without compiled code")
        return best

    def in_currency(self, price: FloatArray, tasks: FloatArray) -> FloatArray:
        """Prices of the shape's rows and tasks as multipliers of the program's rows."""
        shape = self.shape
        duals = np.zeros(len(self.program.row_lower))
        mine = shape.program_row >= 0
        duals[shape.program_row[mine]] = price[mine] * shape.unit / shape.row_scale[mine]
        known = shape.program_task >= 0
        duals[shape.program_task[known]] = tasks[known] * shape.unit
        return duals

    def repair(self, price: FloatArray) -> None:
        """Choose by value less what a column's rows cost."""
        shape, program = self.shape, self.program
        cost = np.zeros(program.choices)
        column = np.repeat(np.arange(len(shape.value)), np.diff(shape.entry_ptr))
        paid = np.bincount(column, price[shape.entry_row] * shape.entry_value, minlength=len(shape.value))
        cost[shape.columns] = paid * shape.unit
        filling = repair(program, np.zeros(program.choices), cost)
        self.offer(filling.x if filling.is_complete() else None, "greedy by price")

    def ask_highs(self) -> Status | None:
        """Let HiGHS work until the compiled code is there; says why all is over, where it is."""
        options = dataclasses.replace(self.options, time_limit=max(self.remaining, 0.0))
        found = Extensive().solve(self.program, options, _Turning(self))
        if found.status == "infeasible":
            self.x, self.bound, self.row_duals = None, -np.inf, None
            return "infeasible"
        self.bound = min(self.bound, found.bound)
        self.offer(found.x, "HiGHS")
        if found.status == "optimal" or self.gap <= self.options.mip_rel_gap:
            return "optimal"
        return "interrupted" if self.observer.should_stop() else None


class _Turning:
    """Watches HiGHS, and has it end where something better is there."""

    def __init__(self, work: Uncompiled) -> None:
        self._work = work

    def report(self, progress: Progress) -> None:
        """Pass it on, with what is known besides."""
        work = self._work
        value = None if work.x is None else work.program.value(work.x)
        found = [each for each in (progress.objective, value) if each is not None]
        bound = work.bound if progress.bound is None else min(progress.bound, work.bound)
        seconds = time.perf_counter() - work.started
        phase = f"{progress.phase} without compiled code"
        work.observer.report(Progress(seconds, max(found, default=None), bound, phase))

    def should_stop(self) -> bool:
        return self._work.must_turn()


def _lagrangian(
    shape: Shape, weights: sparse.csr_matrix, price: FloatArray
) -> tuple[float, FloatArray, FloatArray]:
    """L at a price, the best reduced value of each task, and the columns that have it (0 or 1)."""
    order, starts = shape.task_columns, shape.task_ptr[:-1]
    reduced = (shape.value - weights @ price)[order]
    best = np.maximum.reduceat(reduced, starts)
    top = np.maximum(best, shape.leave)
    task = shape.task[order]
    candidates = np.flatnonzero(reduced >= best[task])
    _, at = np.unique(task[candidates], return_index=True)
    picked = candidates[at]
    share = np.zeros(len(shape.value))
    share[order[picked[best > shape.leave]]] = 1.0
    return float(price.sum() + top.sum()), top, share
