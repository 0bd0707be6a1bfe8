"""The extensive form, whole, to HiGHS: exact, with a proof."""

from __future__ import annotations

import dataclasses
import math
import time
from typing import TYPE_CHECKING

import numpy as np

from bondwork.contracts import Observer, Options, ProgramDecision, Progress, Solution
from bondwork.program.aggregation import solve_choices
from bondwork.program.bounds import gap
from bondwork.program.extensive import extensive_form, split
from bondwork.program.filling import fill_up, repair
from bondwork.program.settling import settle
from bondwork.program.strengthening import strengthen
from bondwork.settings import Setting, read_settings
from bondwork.solver.solving import solve_program
from bondwork.strategies.relaxation import solve_relaxation

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import ClassVar

    from bondwork.arrays import FloatArray
    from bondwork.contracts import Status
    from bondwork.program.cutting import CuttingPlanes
    from bondwork.program.extensive import ExtensiveForm
    from bondwork.program.program import Program
    from bondwork.program.stochastic import StochasticProgram


class Extensive:
    """Solve the whole program as one mixed-integer program with HiGHS.

    The linear relaxation comes first: its multipliers are the plan's shadow prices, its rounding is the
    point from which HiGHS starts, and both are there when a time limit strikes early. Convex risk limits
    without rows enter by cuts: where HiGHS's solution breaks one, it is repaired, cut off, and HiGHS goes on.

    Of a stochastic program it solves all nodes at once, with the rows of `bondwork.program.strengthening`.

    When not to use it: beyond about 20,000 offers with tight limits HiGHS alone leaves a gap of several per
    cent after a minute. For two-stage programs of many scenarios see `l-shaped`.
    """

    summary = "The whole program to HiGHS: exact, optimal with a proof; slow on large tight rounds."

    settings: ClassVar[dict[str, Setting]] = {
        "strengthen": Setting("yes", "Add rows that cut off fractions (programs).", ("yes", "no")),
    }

    def __init__(self) -> None:
        #: Writes the extensive form of a stochastic program down.
        self.write: Callable[[StochasticProgram], ExtensiveForm] = extensive_form

    def solve(self, program: Program, options: Options, observer: Observer) -> Solution:
        """Decide; see `bondwork.contracts.Strategy`."""
        ends = time.perf_counter() + options.time_limit
        settled = settle(program)
        if settled is None:
            return self._decide(program, options, observer, ends)
        return settled.told(self._decide(settled.program, options, observer, ends))

    @staticmethod
    def _decide(program: Program, options: Options, observer: Observer, ends: float) -> Solution:
        root, cuts = solve_relaxation(program, options, observer)
        if root.bound == -math.inf or root.status == "interrupted":
            return root
        return _Search(program, cuts, root, options, observer, ends).run()

    def solve_program(
        self, program: StochasticProgram, options: Options, observer: Observer
    ) -> ProgramDecision:
        """Decide; see `bondwork.contracts.ProgramStrategy`. The time limit counts writing, too."""
        start = time.perf_counter()
        form = self.write(program)
        stronger, added = form.matrices, 0
        if read_settings(self, options.settings)["strengthen"] == "yes":
            stronger, added = strengthen(form.matrices)
        stronger = dataclasses.replace(stronger, row_tolerance=program.row_tolerance)
        notes = (f"{added} rows added that strengthen the linear relaxation",) if added else ()
        build = time.perf_counter() - start
        left = dataclasses.replace(options, time_limit=max(options.time_limit - build, 0.0))
        start_from = None if options.warm_start is None else options.warm_start.x
        if start_from is not None and start_from.shape != (stronger.matrix.shape[1],):
            start_from = None  # of another program: that of a scenario, or of means
        answer = solve_program(
            stronger, left, observer, start=start_from, phase="extensive form", worth=stronger.value
        )
        # of an unbounded program HiGHS holds some feasible point; what could be arbitrarily good has no use
        # for it
        x = None if answer.status == "dual_infeasible" else answer.x
        nodes = None if x is None else split(form, x)
        root = None if nodes is None else nodes[0]
        known = answer.row_duals if answer.status == "optimal" and not added else None
        duals = known if self.write is extensive_form else None  # others have rows in an order of their own
        return ProgramDecision(answer.status, answer.bound, root, nodes, notes, build=build, row_duals=duals)


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
        earlier = self.options.warm_start
        if earlier is not None and earlier.x is not None:
            self.mend(earlier.x)
        while True:
            status = self.step()
            if status is not None:
                break
        if status == "infeasible":
            return Solution("infeasible", None, -math.inf)
        bound = self.bound
        if self.x is not None:
            self.offer(fill_up(self.program, self.x))
            value = self.program.value(self.x)
            bound = max(bound, value)
            seconds = time.perf_counter() - self.started
            self.observer.report(Progress(seconds, value, bound, "branch and bound"))
        return dataclasses.replace(
            self.root, status=status, x=self.x, bound=bound, partial=None, vouched_by="branch_and_bound"
        )

    def step(self) -> Status | None:
        """Let HiGHS solve once; return why all is over, or ``None`` where cuts were added."""
        left = dataclasses.replace(self.options, time_limit=max(self.ends - time.perf_counter(), 0.0))
        answer = solve_choices(
            self.cuts.matrices(),
            left,
            self.observer,
            start=self.x,
            phase="branch and bound",
            worth=self.worth,
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
        found = None if self.x is None else value
        self.observer.report(Progress(time.perf_counter() - self.started, found, self.bound, "risk cuts"))
        reached = max(self.bound - self.program.load_error, value)
        return "optimal" if gap(value, reached) <= self.options.mip_rel_gap else None

    def worth(self, x: FloatArray) -> float | None:
        """What the best plan so far is worth, where HiGHS has one more: it may break limits not cut yet."""
        choices = x[: self.program.choices]
        if self.cuts.holds(choices):
            self.offer(choices)
        return None if self.x is None else self.program.value(self.x)

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
