"""An infeasibility that nothing proves is looked at again before it is said.

Presolve and tolerances of a solver call programs infeasible whose amounts lie far apart. Where the
multipliers of the relaxation prove it in exact fractions it stands; else a solution is sought by other means.
"""

from __future__ import annotations

import dataclasses
import time
from typing import TYPE_CHECKING

import numpy as np

from bondwork.contracts import ProgramDecision
from bondwork.program.extensive import extensive_form, split
from bondwork.program.program_certifying import certify_solution
from bondwork.program.program_recount import recount
from bondwork.program.program_search import SolutionSearch
from bondwork.solver.solving import solve_program

if TYPE_CHECKING:
    from collections.abc import Callable

    from bondwork.arrays import FloatArray
    from bondwork.contracts import Observer, Options, Status
    from bondwork.program.program_solution import ProgramSolution
    from bondwork.program.stochastic import StochasticProgram

#: Seconds that the search may take.
SECONDS = 2.0


def solve_in_doubt(
    program: StochasticProgram, decision: ProgramDecision, options: Options, observer: Observer
) -> ProgramDecision:
    """Return another decision where one that says infeasible is wrong; the same where nothing says so.

    Parameters
    ----------
    decision
        With the status ``infeasible``, which no certificate proves.
    options
        The time limit is for all of this.
    """
    ends = time.perf_counter() + options.time_limit
    found = SolutionSearch(program, seconds=min(SECONDS, options.time_limit)).run()
    if found is None:
        return decision
    form = extensive_form(program)
    values: list[FloatArray] = found
    status: Status = "numerical_error"
    bound = np.inf
    left = max(ends - time.perf_counter(), 0.0)
    plain = dataclasses.replace(options, time_limit=left, highs={**options.highs, "presolve": "off"})
    start = np.concatenate(found)
    again = solve_program(form.matrices, plain, observer, start=start, phase="second opinion")
    if again.x is not None and not recount(program, split(form, again.x)).violations:
        if form.matrices.value(again.x) >= form.matrices.value(start):
            values = split(form, again.x)
        if again.status in ("optimal", "time_limit", "interrupted"):
            status, bound = again.status, again.bound
    note = "solved again: there is a solution, and the first answer was none"
    return ProgramDecision(status, float(bound), values[0], values, (*decision.notes, note))


def prove_or_doubt(
    program: StochasticProgram,
    solution: ProgramSolution,
    decision: ProgramDecision,
    options: Options,
    observer: Observer,
    carry_out: Callable[..., ProgramSolution],
    *,
    certified: bool,
) -> ProgramSolution:
    """Return a solution with its certificate; where one that says infeasible gets none, perhaps another.

    Parameters
    ----------
    options
        The time limit is for all of this.
    carry_out
        Makes a solution of another ``decision`` in the seconds ``left``.
    certified
        Whether the certificate is wanted; it is sought in any case where a solution says infeasible.
    """
    start = time.perf_counter()
    ends = start + options.time_limit
    proven = certify_solution(program, solution, options, decision.row_duals)
    if solution.status == "infeasible" and proven.certificate is None:
        left = dataclasses.replace(options, time_limit=max(ends - time.perf_counter(), 0.0))
        better = solve_in_doubt(program, decision, left, observer)
        if better is not decision:
            solution = carry_out(decision=better, left=max(ends - time.perf_counter(), 0.0))
            left = dataclasses.replace(options, time_limit=max(ends - time.perf_counter(), 0.0))
            proven = certify_solution(program, solution, left)
    if not certified:
        proven = proven.model_copy(update={"certificate": None})
    seconds = solution.timing.solve + time.perf_counter() - start
    return proven.model_copy(update={"timing": solution.timing.model_copy(update={"solve": seconds})})
