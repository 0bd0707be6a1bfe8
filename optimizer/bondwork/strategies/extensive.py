"""The extensive form, whole, to HiGHS: exact, with a proof."""

from __future__ import annotations

import dataclasses
import math
import time
from typing import TYPE_CHECKING

import numpy as np

from bondwork.contracts import Observer, Options, Progress, Solution
from bondwork.program.bounds import gap
from bondwork.program.filling import fill_up, repair
from bondwork.program.highs import solve_program
from bondwork.strategies.relaxation import solve_relaxation

if TYPE_CHECKING:
    from bondwork.arrays import FloatArray
    from bondwork.contracts import Status
    from bondwork.program.cutting import CuttingPlanes
    from bondwork.program.program import Program


class Extensive:
    """Solve the whole program as one mixed-integer program with HiGHS.

    The linear relaxation comes first: its multipliers are the plan's shadow prices, its rounding is the
    point from which HiGHS starts, and both are there when a time limit strikes early. Convex risk limits
    without rows enter by cuts: where HiGHS's solution breaks one, it is repaired, cut off, and HiGHS goes on.

    When not to use it: beyond about 20,000 offers with tight limits HiGHS alone leaves a gap of several per
    cent after a minute.
    """

    summary = "The whole program to HiGHS: exact, optimal with a proof; slow on large tight rounds."

    def solve(self, program: Program, options: Options, observer: Observer) -> Solution:
        """Decide; see `bondwork.contracts.Strategy`."""
        ends = time.perf_counter() + options.time_limit
        root, cuts = solve_relaxation(program, options, observer)
        if root.bound == -math.inf or root.status == "interrupted":
            return root
        return _Search(program, cuts, root, options, observer, ends).run()


class _Search:
    """Branch and bound by HiGHS, again and again where risk limits have to be cut."""

    def __init__(
        self,
        program: Program,
        cuts: CuttingPlanes,
        root: Solution,
        options: Options,
        observer: Observer,
        ends: float,
    ) -> None:
        self.program = program
        self.cuts = cuts
        self.root = root
        self.options = options
        self.observer = observer
        self.ends = ends
        self.started = time.perf_counter()
        self.x = root.x
        self.bound = root.bound

    def run(self) -> Solution:
        while True:
            status = self.step()
            if status is not None:
                break
        if status == "infeasible":
            return Solution("infeasible", None, -math.inf)
        bound = self.bound
        if self.x is not None:
            self.offer(fill_up(self.program, self.x))
            bound = max(bound, self.program.value(self.x))
        return dataclasses.replace(self.root, status=status, x=self.x, bound=bound, partial=None)

    def step(self) -> Status | None:
        """Let HiGHS solve once; return why all is over, or ``None`` where cuts were added."""
        left = dataclasses.replace(self.options, time_limit=max(self.ends - time.perf_counter(), 0.0))
        answer = solve_program(
            self.cuts.matrices(), left, self.observer, start=self.x, phase="branch and bound"
        )
        if answer.status == "infeasible":
            return "infeasible"
        self.bound = min(self.bound, answer.bound)
        if answer.x is None:
            return answer.status
        x = answer.x[: self.program.choices]
        if not self.cuts.separate(x):
            self.offer(x)
            return answer.status
        self.mend(x)
        if answer.status != "optimal":
            return answer.status
        value = -math.inf if self.x is None else self.program.value(self.x)
        self.observer.report(Progress(time.perf_counter() - self.started, value, self.bound, "risk cuts"))
        return "optimal" if gap(value, self.bound) <= self.options.mip_rel_gap else None

    def offer(self, x: FloatArray) -> None:
        """Take a plan if it is the best so far."""
        if self.x is None or self.program.value(x) > self.program.value(self.x):
            self.x = x

    def mend(self, x: FloatArray) -> None:
        """Make a plan of a point that breaks risk limits, and look whether it is the best so far."""
        prices = self.root.measure_prices
        cost = np.zeros(self.program.choices)
        if prices is not None:
            for price, measure in zip(prices, self.cuts.measures, strict=True):
                cost += price * measure.cut(x).normal
        mended = repair(self.program, x, cost)
        if mended.is_complete():
            self.offer(mended.x)
