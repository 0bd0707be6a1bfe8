"""The road from a stochastic program to a verified solution, by its extensive form."""

from __future__ import annotations

import dataclasses
import math
import time
from importlib.metadata import version
from typing import TYPE_CHECKING

import numpy as np

from bondwork.contracts import Options
from bondwork.plan.plan import Provenance, Timing
from bondwork.problem.faults import Unverified
from bondwork.program.bounds import gap
from bondwork.program.extensive import extensive_form, split
from bondwork.program.highs import solve_program
from bondwork.program.program_recount import Recount, recount
from bondwork.program.program_solution import NodeValues, ProgramSolution, StochasticValue
from bondwork.program.strengthening import strengthen

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bondwork.arrays import FloatArray
    from bondwork.contracts import Observer
    from bondwork.program.highs import Answer
    from bondwork.program.matrices import Matrices
    from bondwork.program.stochastic import StochasticProgram

#: Feasibility tolerance of the second try, for a solution that does not stand a recount.
FINE_TOLERANCE = 1e-9


class UnverifiedSolution(Unverified):
    """The solver's solution does not stand a recount: a bug. ``solution`` holds it with its violations."""

    def __init__(self, solution: ProgramSolution) -> None:
        self.solution = solution
        super().__init__("the solution does not verify: " + "; ".join(map(str, solution.violations)))


def solve_stochastic(
    program: StochasticProgram,
    options: Options | None = None,
    observer: Observer | None = None,
    *,
    strengthened: bool = True,
    all_nodes: bool = False,
    value: bool = False,
) -> ProgramSolution:
    """Solve a stochastic program by its extensive form, and verify the solution before handing it out.

    Parameters
    ----------
    program
        From `program_schema.load_program` or `bondwork.importers.smps.read_smps`.
    options
        Limits and HiGHS options. The time limit is for this solve; the values have as much again.
    observer
        Told of progress (of the maximisation: a minimisation's values are negated), asked whether to stop.
    strengthened
        Add the rows of `bondwork.program.strengthening`; off for a comparison.
    all_nodes
        Put the decision of every node into the solution, not the root's only.
    value
        Work out WS, EEV, EVPI and VSS as well; see `bondwork.program.stochastic_value`.

    Returns
    -------
    ProgramSolution
        Whatever happened: infeasible programs and limits reached are solutions with a status.

    Raises
    ------
    InvalidInput
        An option that HiGHS does not know.
    Refusal
        The extensive form is larger than HiGHS can take.
    UnverifiedSolution
        The solution does not stand an independent recount: a bug.

    Examples
    --------
    >>> from bondwork.program.stochastic import StochasticProgram
    >>> from bondwork.program.template import NodeTemplate
    >>> stake = NodeTemplate.make(0, ["x"], cost=-1.0, upper=10.0)
    >>> serve = NodeTemplate.make(1, ["y"], ["stock"], cost=3.0, row_upper=0.0,
    ...                           entries=[(0, 0, 0, -1.0), (0, 1, 0, 1.0)])
    >>> toy = StochasticProgram.from_changes(
    ...     "toy", "max", [stake, serve], parent=[-1, 0, 0], template=[0, 1, 1],
    ...     conditional=[1.0, 0.5, 0.5], changes=[{}, {("upper", 0): 2.0}, {("upper", 0): 6.0}])
    >>> solution = solve_stochastic(toy, value=True)
    >>> solution.objective, solution.first_stage, solution.stochastic.evpi, solution.stochastic.vss
    (6.0, {'x': 6.0}, 2.0, 1.0)
    """
    from bondwork.observing import Silence
    from bondwork.program.stochastic_value import stochastic_value

    options, watch = options or Options(), observer or Silence()
    start = time.perf_counter()
    form = extensive_form(program)
    stronger, added = strengthen(form.matrices) if strengthened else (form.matrices, 0)
    built = time.perf_counter()
    answer = solve_program(stronger, options, watch, phase="extensive form")
    if answer.status == "dual_infeasible":
        # HiGHS holds some feasible point; what could be arbitrarily good has no use for it
        answer = dataclasses.replace(answer, x=None)
    solved = time.perf_counter()
    counted = None
    if answer.x is not None:
        counted = recount(program, split(form, answer.x))
        if counted.violations:
            answer = _polished(form.matrices, answer, options, watch)
            counted = recount(program, split(form, _held(answer)))
    verified = time.perf_counter()
    timing = Timing(build=built - start, solve=solved - built, verify=verified - solved)
    notes = [f"{added} rows added that strengthen the linear relaxation"] if added else []
    solution = _solution(program, answer, counted, options, timing, notes)
    if counted is not None:
        values = split(form, _held(answer))
        update: dict[str, object] = {"first_stage": _by_name(program, 0, values)}
        if all_nodes:
            update["nodes"] = [
                NodeValues(node=name, values=_by_name(program, node, values))
                for node, name in enumerate(program.nodes)
            ]
        solution = solution.model_copy(update=update)
        if counted.violations:
            raise UnverifiedSolution(solution)
    if value:
        worth: StochasticValue = stochastic_value(program, options, watch, solution)
        took = timing.model_copy(update={"solve": timing.solve + time.perf_counter() - verified})
        solution = solution.model_copy(update={"stochastic": worth, "timing": took})
    return solution


def _held(answer: Answer) -> FloatArray:
    if answer.x is None:
        raise ValueError("an answer without a point")
    return answer.x


def _by_name(program: StochasticProgram, node: int, values: Sequence[FloatArray]) -> dict[str, float]:
    # + 0.0 turns the solver's -0.0 into 0.0
    return dict(zip(program.template_of(node).columns, (values[node] + 0.0).tolist(), strict=True))


def _polished(form: Matrices, answer: Answer, options: Options, observer: Observer) -> Answer:
    """Solve again for the columns that need not be whole, to a finer tolerance; others stay as they are."""
    x = _held(answer)
    fixed = dataclasses.replace(
        form, lower=np.where(form.integer, x, form.lower), upper=np.where(form.integer, x, form.upper)
    )
    fine = {
        **options.highs,
        "primal_feasibility_tolerance": FINE_TOLERANCE,
        "dual_feasibility_tolerance": FINE_TOLERANCE,
    }
    again = solve_program(
        fixed, dataclasses.replace(options, highs=fine, time_limit=math.inf), observer, relaxed=True
    )
    return answer if again.x is None else dataclasses.replace(answer, x=again.x)


def _solution(
    program: StochasticProgram,
    answer: Answer,
    counted: Recount | None,
    options: Options,
    timing: Timing,
    notes: list[str],
) -> ProgramSolution:
    sign = 1.0 if program.sense == "max" else -1.0
    objective = None if counted is None else counted.objective
    bound = sign * answer.bound if math.isfinite(answer.bound) else None
    if objective is not None and bound is not None:
        # the recount may round to a hair beyond the solver's bound
        bound = sign * max(sign * bound, sign * objective)
    return ProgramSolution(
        name=program.name,
        status=answer.status,
        solution="none" if counted is None else "optimal" if answer.status == "optimal" else "feasible",
        strategy="extensive",
        sense=program.sense,
        objective=objective,
        bound=bound,
        gap=None if objective is None or bound is None else gap(sign * objective, sign * bound),
        timing=timing,
        provenance=Provenance(
            bondwork=version("bondwork"),
            highs=version("highspy"),
            input_sha256=program.sha256,
            seed=options.random_seed,
            options={
                "strategy": "extensive",
                "time_limit": options.time_limit if math.isfinite(options.time_limit) else None,
                "mip_rel_gap": options.mip_rel_gap,
                "threads": options.threads,
                "random_seed": options.random_seed,
                **options.highs,
            },
            notes=notes,
        ),
        verified=counted is not None and not counted.violations,
        violations=[] if counted is None else list(counted.violations),
    )
