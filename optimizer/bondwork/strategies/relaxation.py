"""The linear relaxation: a bound in a second, and a plan by rounding it."""

from __future__ import annotations

import dataclasses
import math
import time
from typing import TYPE_CHECKING, Literal

import numpy as np

from bondwork.contracts import Observer, Options, Progress, Solution
from bondwork.observing import Silence
from bondwork.program.aggregation import solve_choices
from bondwork.program.bounds import multiplier_bound
from bondwork.program.choice_bound import choice_bound
from bondwork.program.cutting import CuttingPlanes
from bondwork.program.filling import Filling, could_gain, fill_greedily, serves_required_row
from bondwork.program.proof import described, is_described, proof_of
from bondwork.solver.solving import solve_program

if TYPE_CHECKING:
    from bondwork.arrays import FloatArray
    from bondwork.program.program import Program
    from bondwork.program.proof import Proof
    from bondwork.solver.answer import Answer

#: Share of the gap asked for below which another round of cuts is not worth its time.
BOUND_PROGRESS = 0.2

#: Choices up to which a relaxation whose rows nobody named is solved once more for its proof.
MOST_ANEW = 5_000

#: Rounds of cuts after which the relaxation is taken as it is: its bound holds all the same.
MOST_CUT_ROUNDS = 60


class Relaxation:
    """Solve the linear relaxation, then round it: fullest shares first, then whatever else fits.

    Where the greedy rule earns more than the rounding, its plan is handed out: never below `greedy`. The
    bound is the LP's, recomputed from its multipliers so that it is safe under rounding; the plan is feasible
    but seldom optimal. Required tasks may find no room in the rounding although a plan exists.

    When not to use it: for small rounds, where `extensive` proves optimality in the same time.
    """

    summary = "LP bound and its rounding: a certified plan within about the time of one LP."

    def solve(self, program: Program, options: Options, observer: Observer) -> Solution:
        """Decide; see `bondwork.contracts.Strategy`."""
        solution, _ = solve_relaxation(program, options, observer)
        return solution


def solve_relaxation(
    program: Program, options: Options, observer: Observer
) -> tuple[Solution, CuttingPlanes]:
    """Solve and round the relaxation; return the cuts that its risk limits needed, too."""
    started = time.perf_counter()
    cuts = CuttingPlanes(program)
    answer, bound, proof = _solve_with_cuts(cuts, options, observer)
    if answer.status in ("infeasible", "dual_infeasible", "infeasible_or_unbounded"):
        return Solution(answer.status, None, answer.bound), cuts
    shares = None if answer.x is None else answer.x[: program.choices]
    filling = _better(program, round_relaxation(program, shares), fill_greedily(program))
    prices_from: Literal["lp_relaxation"] | None = None
    duals = prices = None
    if answer.row_duals is not None:
        mine = np.flatnonzero(program.rows_of_choices)
        duals, prices_from = answer.row_duals[mine], "lp_relaxation"
        prices = cuts.prices(answer.row_duals)
    status = "locally_solved" if answer.status == "optimal" else answer.status
    result = Solution(status, filling.x, bound, duals, prices_from, measure_prices=prices)
    result = dataclasses.replace(
        result, proofs=() if proof is None else (proof,), vouched_by="linear_relaxation"
    )
    if not filling.is_complete():
        status = "locally_infeasible" if answer.status == "optimal" else answer.status
        return dataclasses.replace(result, status=status, x=None, partial=filling.x), cuts
    value = program.value(filling.x)
    observer.report(Progress(time.perf_counter() - started, value, bound, "rounding"))
    return dataclasses.replace(result, bound=max(bound, value)), cuts


def _solve_with_cuts(
    cuts: CuttingPlanes, options: Options, observer: Observer
) -> tuple[Answer, float, Proof | None]:
    """Solve the relaxation, adding cuts where its solution breaks a risk limit; return a valid bound, too.

    What proves that bound comes with it.
    """
    program = cuts.program
    bound = choice_bound(program)
    proof: Proof | None = None
    ends = time.perf_counter() + options.time_limit
    for _ in range(MOST_CUT_ROUNDS):
        matrices = cuts.matrices()
        left = dataclasses.replace(options, time_limit=max(ends - time.perf_counter(), 0.0))
        answer = solve_choices(matrices, left, observer, relaxed=True, phase="relaxation")
        if answer.row_duals is None or answer.status != "optimal":
            break
        previous, bound = bound, min(bound, multiplier_bound(matrices, answer.row_duals))
        proof = cuts.proof(matrices, answer.row_duals) or proof
        if answer.x is None or not cuts.separate(answer.x[: program.choices]):
            break
        # a bound that hardly moves any more is not what keeps the gap open; the search goes on cutting
        if previous - bound <= BOUND_PROGRESS * options.mip_rel_gap * abs(bound):
            break
    if proof is None and answer.row_duals is not None and not is_described(program):
        proof = _proof_of_another(program, options, ends)
    return answer, bound if answer.status != "infeasible" else -math.inf, proof


def _proof_of_another(program: Program, options: Options, ends: float) -> Proof | None:
    """Multipliers of a program whose further rows nobody named: those of the same rows, written down anew."""
    left = ends - time.perf_counter()
    if program.choices > MOST_ANEW or left <= 0.0:
        return None
    same = described(program)
    answer = solve_program(same, dataclasses.replace(options, time_limit=left), Silence(), relaxed=True)
    return None if answer.row_duals is None else proof_of(same, answer.row_duals)


def _better(program: Program, one: Filling, other: Filling) -> Filling:
    """Choose the filling that is complete, or that earns more; the first where they are alike."""
    if one.is_complete() != other.is_complete():
        return one if one.is_complete() else other
    return other if program.value(other.x) > program.value(one.x) else one


def round_relaxation(program: Program, shares: FloatArray | None) -> Filling:
    """Round a solution of the relaxation: required choices, then by share, then by net reward."""
    filling = Filling(program)
    core = filling.program
    share = np.zeros(len(core.objective)) if shares is None else shares
    is_required = serves_required_row(core)
    # shares that differ by less than the solver's tolerance are the same share
    order = np.lexsort((-core.objective, -np.round(share, 6)))
    filling.add_all(order[is_required[order]], needed=True)
    worth = could_gain(core)
    filling.add_all(order[worth[order] & (share[order] > 1e-6)])
    best = np.argsort(-core.objective, kind="stable")
    filling.add_all(best[worth[best]])
    return filling
