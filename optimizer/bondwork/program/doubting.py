"""An infeasibility that nothing proves is looked at again before it is said, and so is being unbounded.

Presolve and tolerances of a solver call programs infeasible whose amounts lie far apart. Where the
multipliers of the relaxation prove it in exact fractions it stands; else a solution is sought by other means.
Where a solver in doubles leaves out something that may matter, the program is solved in other units; where
none tell, neither is said.
"""

from __future__ import annotations

import dataclasses
import time
from typing import TYPE_CHECKING

import numpy as np

from bondwork.base.tolerances import PROGRAM_ROW
from bondwork.contracts import Options, ProgramDecision
from bondwork.observing import Silence
from bondwork.program.confirming import CLAIMS, UNBOUNDED, confirm, is_taken_apart
from bondwork.program.drowned import find_nearby, may_drown
from bondwork.program.evening import even_units, leaves_out, may_leave_out
from bondwork.program.extensive import extensive_form, split
from bondwork.program.program_certifying import certify_solution
from bondwork.program.program_recount import recount
from bondwork.program.program_search import SolutionSearch
from bondwork.program.scaling import in_units
from bondwork.solver.solving import solve_program

if TYPE_CHECKING:
    from collections.abc import Callable

    from bondwork.arrays import FloatArray
    from bondwork.contracts import Observer, Status
    from bondwork.program.extensive import ExtensiveForm
    from bondwork.program.program_solution import ProgramSolution
    from bondwork.program.stochastic import StochasticProgram

#: Seconds that the search may take.
SECONDS = 2.0

#: What is said where doubles cannot tell, and why.
UNDECIDED: Status = "numerical_error"
SOLVED_AGAIN = "solved again in other units: amounts lie so far apart that the solver left some out"
FAR_APART = "amounts lie so far apart that a solver in doubles leaves some out: its answer is none"


def solve_in_doubt(
    program: StochasticProgram, decision: ProgramDecision, options: Options, observer: Observer
) -> ProgramDecision:
    """Return another decision where one that hands out nothing is wrong; the same where nothing says so.

    Parameters
    ----------
    decision
        With the status ``infeasible``, which no certificate proves, or one of being unbounded.
    options
        The time limit is for all of this.
    """
    ends = time.perf_counter() + options.time_limit
    found = None
    if decision.status == "infeasible":
        found = SolutionSearch(program, seconds=min(SECONDS, options.time_limit)).run()
    form = extensive_form(program)
    if found is None:
        if not leaves_out(form.matrices):
            return decision
        rest = dataclasses.replace(options, time_limit=max(ends - time.perf_counter(), 0.0))
        return _in_even_units(program, form, decision, rest, observer)
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


def _in_even_units(
    program: StochasticProgram,
    form: ExtensiveForm,
    decision: ProgramDecision,
    options: Options,
    observer: Observer,
) -> ProgramDecision:
    """Decide again with columns in units of their size: what a solver said left something out."""
    ends = time.perf_counter() + options.time_limit
    best = _undecided(decision)
    value = -np.inf
    for unit in even_units(form.matrices):
        there = in_units(form.matrices, unit)
        left = dataclasses.replace(options, time_limit=max(ends - time.perf_counter(), 0.0))
        answer = solve_program(there, left, observer, phase="other units")
        whole = not leaves_out(there)
        if whole and answer.status in ("infeasible", "dual_infeasible") and best.nodes is None:
            return decision if answer.status == decision.status else best
        if answer.x is None or answer.status == "dual_infeasible":
            continue
        values, worth = split(form, answer.x * unit), form.matrices.value(answer.x * unit)
        if recount(program, values).violations or worth <= value:
            continue
        value, status, bound = worth, UNDECIDED, np.inf
        if whole and answer.status == "optimal":
            status, bound = answer.status, answer.bound
        notes = (*decision.notes, SOLVED_AGAIN if status == "optimal" else FAR_APART)
        best = ProgramDecision(
            status, float(bound), values[0], values, notes, build=decision.build, row_duals=answer.row_duals
        )
        if status == "optimal":
            break
    return best


def _look_again(
    program: StochasticProgram,
    solution: ProgramSolution,
    decision: ProgramDecision,
    options: Options,
    observer: Observer,
) -> ProgramDecision:
    """Return a better decision than one that is called optimal; the same where there is none.

    One that is neither bettered nor reached again where nothing is left out is not called optimal.
    """
    missing = _missing(solution, options)
    if solution.objective is None:
        return decision
    small = missing is not None and may_drown(program, missing)
    if not small and not may_leave_out(program):
        return decision
    ends = time.perf_counter() + options.time_limit
    form = extensive_form(program)
    better = decision
    if leaves_out(form.matrices):
        again = _in_even_units(program, form, decision, options, observer)
        better = _compared(program, form, solution.objective, decision, again)
    if better is decision and small:
        rest = dataclasses.replace(options, time_limit=max(ends - time.perf_counter(), 0.0))
        again = _in_what_is_near(program, form, solution, decision, rest, observer)
        if again is not decision:
            better = _compared(program, form, solution.objective, decision, again)
    return better


def _compared(
    program: StochasticProgram,
    form: ExtensiveForm,
    objective: float,
    decision: ProgramDecision,
    again: ProgramDecision,
) -> ProgramDecision:
    """The better of two decisions, the first of which is called optimal: undecided where neither is."""
    own = objective if program.sense == "max" else -objective
    if again.nodes is None:
        return dataclasses.replace(decision, status=UNDECIDED, bound=np.inf, notes=again.notes)
    other = form.matrices.value(np.concatenate(again.nodes))
    near = PROGRAM_ROW * max(abs(own), abs(other))
    if other > own + near:
        return again
    if again.status == "optimal" and other >= own - near:
        return decision
    return dataclasses.replace(decision, status=UNDECIDED, bound=np.inf, notes=(*decision.notes, FAR_APART))


def _in_what_is_near(
    program: StochasticProgram,
    form: ExtensiveForm,
    solution: ProgramSolution,
    decision: ProgramDecision,
    options: Options,
    observer: Observer,
) -> ProgramDecision:
    """Decide again over what may be better, in units in which it is seen; the same where nothing tells."""
    assert solution.objective is not None
    ends = time.perf_counter() + options.time_limit
    own = solution.objective if program.sense == "max" else -solution.objective
    relaxation = solve_program(form.matrices, options, Silence(), relaxed=True, phase="second opinion")
    if relaxation.row_duals is None:
        return decision
    near = find_nearby(form.matrices, relaxation.row_duals, own)
    if near is None:
        return decision
    left = dataclasses.replace(options, time_limit=max(ends - time.perf_counter(), 0.0))
    answer = solve_program(near.matrices, left, observer, phase="second opinion")
    if answer.x is None or answer.status == "dual_infeasible":
        return decision if answer.status in ("time_limit", "interrupted") else _undecided(decision)
    x = near.here(answer.x, form.matrices)
    values, bound = split(form, x), max(answer.bound, form.matrices.value(x), own)
    if recount(program, values).violations:
        return decision
    return ProgramDecision(
        answer.status, bound, values[0], values, (*decision.notes, SOLVED_AGAIN), build=decision.build
    )


def _missing(solution: ProgramSolution, options: Options) -> float | None:
    """What a solution lacks of what its certificate proves; ``None`` where that is nothing, or unknown."""
    certificate, objective = solution.certificate, solution.objective
    if certificate is None or certificate.bound is None or objective is None:
        return None
    missing = abs(certificate.bound - objective)
    largest = max(abs(certificate.bound), abs(objective))
    return missing if missing > max(PROGRAM_ROW, options.mip_rel_gap) * largest else None


def _is_met(solution: ProgramSolution) -> bool:
    """Whether what a certificate proves is what the solution comes to."""
    exact = Options(mip_rel_gap=0.0)
    return solution.certificate is not None and _missing(solution, exact) is None


def _undecided(decision: ProgramDecision) -> ProgramDecision:
    """Neither infeasible nor unbounded is said."""
    return ProgramDecision(UNDECIDED, np.inf, None, notes=(*decision.notes, FAR_APART), build=decision.build)


def prove_or_doubt(
    program: StochasticProgram,
    solution: ProgramSolution,
    decision: ProgramDecision,
    options: Options,
    observer: Observer,
    carry_out: Callable[..., ProgramSolution],
    *,
    certified: bool,
    doubted: bool = False,
) -> ProgramSolution:
    """Return a solution with its certificate; where one that hands out nothing gets none, perhaps another.

    Parameters
    ----------
    options
        The time limit is for all of this.
    carry_out
        Makes a solution of another ``decision`` in the seconds ``left``.
    certified
        Whether the certificate is wanted; it is sought in any case where a solution says infeasible.
    doubted
        Whether it says so only because what the strategy handed out does not stand a recount.
    """
    start = time.perf_counter()
    ends = start + options.time_limit

    def rest() -> Options:
        return dataclasses.replace(options, time_limit=max(ends - time.perf_counter(), 0.0))

    proven, better = certify_solution(program, solution, options, decision.row_duals), decision
    if solution.status in CLAIMS and proven.certificate is None:
        if is_taken_apart(solution.strategy):
            better = confirm(program, decision, rest(), observer)
        if better.status in CLAIMS:
            better = solve_in_doubt(program, better, rest(), observer)
        if doubted and better is decision and decision.status == "infeasible":
            better = _undecided(decision)
    elif solution.status == "optimal" and not _is_met(proven):
        better = _look_again(program, proven, decision, rest(), observer)
    if better is not decision:
        solution = carry_out(decision=better, left=max(ends - time.perf_counter(), 0.0))
        proven = certify_solution(program, solution, rest(), better.row_duals)
        unbounded = decision.status in UNBOUNDED
        if unbounded and solution.status == "optimal" and not _is_met(proven):
            # of an optimum and of being unbounded one is wrong, and nothing proves which
            better = dataclasses.replace(better, status=UNDECIDED, bound=np.inf)
            solution = carry_out(decision=better, left=max(ends - time.perf_counter(), 0.0))
            proven = certify_solution(program, solution, rest(), better.row_duals)
    if not certified:
        proven = proven.model_copy(update={"certificate": None})
    seconds = solution.timing.solve + time.perf_counter() - start
    return proven.model_copy(update={"timing": solution.timing.model_copy(update={"solve": seconds})})
