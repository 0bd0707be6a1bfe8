"""Large two-stage rounds: a first stage near the relaxation of all outcomes, then improved by HiGHS.

HiGHS alone finds poor plans of an extensive form of some ten thousand columns. But its linear relaxation is
soon solved, and most first-stage choices are whole in it. Those are kept; the others are decided with the
second stage still relaxed, which is a far smaller program; behind the result the second stage is decided
exactly, node by node. The better of that and of the first stage without regard to the second is where HiGHS
starts.

References
----------
E. Danna, E. Rothberg & C. Le Pape, Exploring relaxation induced neighborhoods to
improve MIP solutions, Mathematical Programming 102 (2005) 71-90. S. Ahmed & R. Garcia, Dynamic capacity
acquisition and assignment under uncertainty, Annals of Operations Research 124 (2003) 267-283: first stages
that are rounded, second ones solved.
"""

from __future__ import annotations

import dataclasses
import math
import time
from typing import TYPE_CHECKING

import numpy as np

from bondwork.contracts import ProgramDecision, Progress
from bondwork.program.bounds import gap
from bondwork.program.extensive import extensive_form, split
from bondwork.program.recourse import decide_second_stage
from bondwork.solver.solving import solve_program

if TYPE_CHECKING:
    from collections.abc import Callable

    from bondwork.arrays import FloatArray
    from bondwork.contracts import Observer, Options, Status
    from bondwork.program.extensive import ExtensiveForm
    from bondwork.program.matrices import Matrices
    from bondwork.program.redelegation import Redelegation
    from bondwork.program.stochastic import StochasticProgram

#: Columns of the extensive form up to which HiGHS alone does as well.
SMALL_FORM = 4_000

#: Shares of the time limit: for the relaxation, for a first stage near it, and for one by itself.
RELAXATION_SHARE, NEAR_SHARE, ALONE_SHARE = 0.6, 0.35, 0.05

#: How far from a whole number a choice of the relaxation may be to be kept.
WHOLE = 1e-6

#: Relative gap at which such a first stage is good enough.
FIRST_STAGE_GAP = 5e-3


def is_large(model: Redelegation) -> bool:
    """Whether a model is one that HiGHS needs help with, and that can have this one: no linking rows."""
    program = model.program
    linked = len(program.linking) or len(program.linking.joint_node)
    columns = len(program.templates[0].columns) + len(model.outcomes) * len(program.templates[1].columns)
    return not linked and columns > SMALL_FORM


def search(
    model: Redelegation,
    options: Options,
    observer: Observer,
    write: Callable[[StochasticProgram], ExtensiveForm] = extensive_form,
) -> tuple[ProgramDecision, ExtensiveForm]:
    """Decide a model without linking rows; see `bondwork.contracts.ProgramStrategy`.

    ``write`` writes its extensive form down, which is returned as well; ``row_duals`` are those of its linear
    relaxation.
    """
    started = time.perf_counter()
    form = write(model.program)
    decision = _Search(model, options, observer, form, started).run()
    # forms that others write have rows in an order of their own
    return (decision if write is extensive_form else dataclasses.replace(decision, row_duals=None)), form


class _Search:
    def __init__(
        self,
        model: Redelegation,
        options: Options,
        observer: Observer,
        form: ExtensiveForm,
        started: float,
    ) -> None:
        self.model = model
        self.options = options
        self.observer = observer
        self.started = started
        self.form = form
        self.best: FloatArray | None = None
        self.value = -math.inf
        self.bound = math.inf
        self.notes: list[str] = []
        self.duals: FloatArray | None = None

    def run(self) -> ProgramDecision:
        self._try_alone()  # first: whoever interrupts gets at least this
        began = time.perf_counter()
        relaxed = solve_program(
            self.form.matrices,
            dataclasses.replace(
                self._within(RELAXATION_SHARE), highs={**self.options.highs, "solver": "ipm"}
            ),
            self.observer,
            relaxed=True,
            phase="relaxation",
        )
        if relaxed.status == "infeasible":
            return ProgramDecision("infeasible", -math.inf, None)
        if relaxed.status == "interrupted":
            return self._found("interrupted")
        self.duals = relaxed.row_duals if relaxed.status == "optimal" else None
        self.bound, spent = relaxed.bound, time.perf_counter() - began
        if relaxed.x is not None:
            self._try_near(relaxed.x)
        if self._is_done():
            return self._found("optimal")
        if self.best is not None and self._within(1.0).time_limit < spent:
            # HiGHS would need as long for its first relaxation, and looks at the clock too seldom before
            self.notes.append("the time left was too short to improve the plan by branching")
            return self._found("time_limit")
        answer = solve_program(
            self.form.matrices,
            self._within(1.0),
            self.observer,
            start=self.best,
            phase="extensive form",
            worth=self.form.matrices.value,
        )
        if answer.status == "infeasible":
            return ProgramDecision("infeasible", -math.inf, None)
        self.bound = min(self.bound, answer.bound)
        if answer.x is not None:
            self._take(answer.x)
        return self._found("optimal" if self._is_done() else answer.status)

    def _within(self, share: float) -> Options:
        """Options for a share of the time, and never more than is left."""
        left = max(self.options.time_limit - (time.perf_counter() - self.started), 0.0)
        return dataclasses.replace(self.options, time_limit=min(self.options.time_limit * share, left))

    def _is_done(self) -> bool:
        return self.best is not None and gap(self.value, self.bound) <= self.options.mip_rel_gap

    def _found(self, status: Status) -> ProgramDecision:
        if self.best is None:
            return ProgramDecision(status, self.bound, None, notes=tuple(self.notes), row_duals=self.duals)
        nodes, bound = split(self.form, self.best), max(self.bound, self.value)
        return ProgramDecision(status, bound, nodes[0], nodes, tuple(self.notes), row_duals=self.duals)

    def _try_near(self, relaxed: FloatArray) -> None:
        """Keep what is whole in the relaxation; decide the other choices with the second stage relaxed."""
        whole, n = self.form.matrices, self.model.first.choices
        lower, upper, integer = whole.lower.copy(), whole.upper.copy(), whole.integer.copy()
        lower[:n] = np.where(relaxed[:n] > 1.0 - WHOLE, 1.0, lower[:n])
        upper[:n] = np.where(relaxed[:n] < WHOLE, 0.0, upper[:n])
        integer[n:] = False
        near = dataclasses.replace(whole, lower=lower, upper=upper, integer=integer)
        self._try(near, NEAR_SHARE)

    def _try_alone(self) -> None:
        """Decide the first stage without regard to the second."""
        whole, rows = self.form.matrices, int(self.form.row_start[1])
        size = len(self.model.program.templates[0].columns)
        alone = dataclasses.replace(
            whole,
            objective=whole.objective[:size],
            matrix=whole.matrix[:rows, :size],
            row_lower=whole.row_lower[:rows],
            row_upper=whole.row_upper[:rows],
            lower=whole.lower[:size],
            upper=whole.upper[:size],
            integer=whole.integer[:size],
        )
        self._try(alone, ALONE_SHARE)

    def _try(self, program: Matrices, share: float) -> None:
        """Solve for a first stage, decide the second exactly behind it, and keep the better plan."""
        options = dataclasses.replace(
            self._within(share), mip_rel_gap=max(FIRST_STAGE_GAP, self.options.mip_rel_gap)
        )
        answer = solve_program(program, options, self.observer, phase="first stage")
        if answer.x is None:
            return
        chosen = answer.x[: self.model.first.choices]
        second = decide_second_stage(self.model, chosen, self._within(1.0), self.observer)
        if second.rescued is None:
            return
        self._take(np.concatenate([self.model.root(chosen), second.rescued.ravel()]))
        seconds = time.perf_counter() - self.started
        self.observer.report(Progress(seconds, self.value, self.bound, "first stage"))

    def _take(self, x: FloatArray) -> None:
        value = self.form.matrices.value(x)
        if value > self.value:
            self.best, self.value = x, value
