"""The linear relaxation: a bound in a second, and a plan by rounding it."""

from __future__ import annotations

import dataclasses
import time
from typing import TYPE_CHECKING, Literal

import numpy as np

from bondwork.contracts import Observer, Options, Progress, Solution
from bondwork.program.bounds import multiplier_bound
from bondwork.program.highs import solve_program
from bondwork.strategies.filling import Filling, fill_greedily, serves_required_row
from bondwork.strategies.simple_bound import choice_bound

if TYPE_CHECKING:
    from bondwork.arrays import FloatArray
    from bondwork.program.program import Program


class Relaxation:
    """Solve the linear relaxation, then round it: fullest shares first, then whatever else fits.

    Where the greedy rule earns more than the rounding, its plan is handed out: never below `greedy`.

    The bound is the LP's, recomputed from its multipliers so that it is safe under rounding; the plan is
    feasible but seldom optimal. Required tasks may find no room in the rounding although a plan exists.

    When not to use it: for small rounds, where `extensive` proves optimality in the same time.
    """

    summary = "LP bound and its rounding: a certified plan within about the time of one LP."

    def solve(self, program: Program, options: Options, observer: Observer) -> Solution:
        """Decide; see `bondwork.contracts.Strategy`."""
        started = time.perf_counter()
        answer = solve_program(program, options, observer, relaxed=True, phase="relaxation")
        if answer.status in ("infeasible", "dual_infeasible", "infeasible_or_unbounded"):
            return Solution(answer.status, None, answer.bound)
        bound = choice_bound(program)
        if answer.row_duals is not None:
            bound = min(bound, multiplier_bound(program, answer.row_duals))
        filling = better(program, round_relaxation(program, answer.x), fill_greedily(program))
        prices_from: Literal["lp_relaxation"] | None = None if answer.row_duals is None else "lp_relaxation"
        status = "locally_solved" if answer.status == "optimal" else answer.status
        result = Solution(status, filling.x, bound, answer.row_duals, prices_from)
        if not filling.is_complete():
            status = "locally_infeasible" if answer.status == "optimal" else answer.status
            return dataclasses.replace(result, status=status, x=None, partial=filling.x)
        value = program.value(filling.x)
        observer.report(Progress(time.perf_counter() - started, value, bound, "rounding"))
        return dataclasses.replace(result, bound=max(bound, value))


def better(program: Program, one: Filling, other: Filling) -> Filling:
    """Choose the filling that is complete, or that earns more; the first where they are alike."""
    if one.is_complete() != other.is_complete():
        return one if one.is_complete() else other
    return other if program.value(other.x) > program.value(one.x) else one


def round_relaxation(program: Program, shares: FloatArray | None) -> Filling:
    """Round a solution of the relaxation: required choices, then by share, then by net reward."""
    filling = Filling(program)
    share = np.zeros(len(program.objective)) if shares is None else shares
    is_required = serves_required_row(program)
    # shares that differ by less than the solver's tolerance are the same share
    order = np.lexsort((-program.objective, -np.round(share, 6)))
    filling.add_all(order[is_required[order]])
    worth = program.objective > 0.0
    filling.add_all(order[worth[order] & (share[order] > 1e-6)])
    filling.add_all(np.argsort(-program.objective, kind="stable")[: int(worth.sum())])
    return filling
