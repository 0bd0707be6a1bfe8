"""The road from a stochastic program to a verified solution, whichever strategy decides it."""

from __future__ import annotations

import dataclasses
import math
import time
from functools import partial
from importlib.metadata import version
from typing import TYPE_CHECKING, Literal, cast

import numpy as np

from bondwork.base.clock import Clock
from bondwork.base.tolerances import PROGRAM_ROW, ROW, SUM
from bondwork.contracts import Options, ProgramDecision, Progress
from bondwork.plan.plan import Provenance, Timing
from bondwork.problem.faults import Refusal, Unverified
from bondwork.program.bounds import gap
from bondwork.program.early_decision import Early, find_early
from bondwork.program.extensive import extensive_form, split
from bondwork.program.program_recount import Recount, recount
from bondwork.program.program_solution import NodeValues, ProgramSolution, StochasticValue
from bondwork.registry import find_formulation, find_program_strategy
from bondwork.settings import read_settings
from bondwork.solver.solving import solve_program
from bondwork.solver.version import highs_version

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from bondwork.arrays import FloatArray
    from bondwork.contracts import Observer, ProgramStrategy, Status
    from bondwork.program.stochastic import StochasticProgram

#: Feasibility tolerance of the second try, for a solution that does not stand a recount.
FINE_TOLERANCE = 1e-9


#: Shares of the time limit that are kept for WS, EEV and what follows from them, for what follows the
#: decision of a strategy that decides the root alone, and for the proof of the bound; seconds that what
#: follows the root has in any case.
VALUE_SHARE, RECOURSE_SHARE, PROOF_SHARE, LEAST_RECOURSE = 0.5, 0.15, 0.05, 0.1

#: Share of a strategy's time that a first feasible decision may take beforehand, where there is a time limit.
EARLY_SHARE = 0.6

#: Seconds for each node that are kept for the recount, and the share of what is left that it is at most.
RECOUNT_NODE, RECOUNT_SHARE = 1e-4, 0.25


class UnverifiedSolution(Unverified):
    """The solver's solution does not stand a recount: a bug. ``solution`` holds it with its violations."""

    def __init__(self, solution: ProgramSolution) -> None:
        self.solution = self.outcome = solution
        super().__init__("the solution does not verify: " + "; ".join(map(str, solution.violations)))


def solve_stochastic(
    program: StochasticProgram,
    options: Options | None = None,
    observer: Observer | None = None,
    *,
    strategy: str = "extensive",
    formulation: str = "highs",
    all_nodes: bool = False,
    value: bool = False,
    certificate: Literal["full", "none"] | None = None,
    informed: Callable[[], StochasticProgram] | None = None,
    clock: Clock | None = None,
) -> ProgramSolution:
    """Solve a stochastic program, and verify the solution before handing it out.

    Parameters
    ----------
    program
        From `program_schema.load_program` or `bondwork.importers.smps.read_smps`.
    options
        Limits, HiGHS options and settings of the strategy. The time limit is for all of it, from the call on;
        with ``value`` half of it is for the strategy, and the other half for the values.
    observer
        Told of progress in the sense of the program, asked whether to stop.
    strategy
        Name of an installed one that takes programs; see `bondwork.strategy_names`.
    formulation
        Name of an installed one. Only strategies that solve the extensive form as a whole have a choice.
    all_nodes
        Put the decision of every node into the solution, not the root's only.
    clock
        From when on the time limit counts, for those who have worked for the same answer before; from the
        call on where it is left out.
    value
        Work out WS, EEV, EVPI and VSS as well; see `bondwork.program.stochastic_value`.
    certificate
        Whether the solution carries the proof of its bound; by default where the extensive form has fewer
        than `program_certifying.MOST_CERTIFIED` entries. A share of the time limit is kept for it.
    informed
        Makes the same program with scenarios that know what perfect information would, for values and for
        strategies that decide with what nobody knows; the program itself if left out.

    Returns
    -------
    ProgramSolution
        Whatever happened: infeasible programs and limits reached are solutions with a status.

    Raises
    ------
    InvalidInput
        An unknown strategy, formulation or setting, or an option that HiGHS does not know.
    Refusal
        The strategy cannot honour this program, or decides no programs at all.
    UnverifiedSolution
        What was found instead of a solution that does not stand an independent recount does not stand it
        either: a bug.

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
    from bondwork.observing import Silence, Told
    from bondwork.program.confirming import CLAIMS, UNBOUNDED, is_taken_apart, unconfirmed
    from bondwork.program.doubting import prove_or_doubt
    from bondwork.program.program_certifying import MOST_CERTIFIED, entries_of
    from bondwork.program.stochastic_value import stochastic_value

    options, watch = options or Options(), Told(observer or Silence(), sense=program.sense)
    clock = clock or Clock(options.time_limit)
    chosen = _with_formulation(find_program_strategy(strategy), strategy, formulation)
    read_settings(chosen, options.settings, f"strategy {strategy}")
    start = time.perf_counter()
    knowing = program
    if informed is not None and (value or getattr(chosen, "knows_outcomes", False)):
        knowing = informed()
    asked = knowing if getattr(chosen, "knows_outcomes", False) else program
    # what a strategy that knows the outcomes bounds is wait and see, which is not this program's bound
    asks = certificate is None and not getattr(chosen, "knows_outcomes", False)
    proven = certificate == "full" or (asks and entries_of(program) < MOST_CERTIFIED)
    reserve = clock.limit * (VALUE_SHARE if value else 0.0) if clock.limited else 0.0
    if clock.limited and proven:
        reserve += PROOF_SHARE * (clock.limit - reserve)
    if clock.limited and getattr(chosen, "decides_root_only", False):
        reserve += RECOURSE_SHARE * (clock.limit - reserve)
    if clock.limited:
        reserve += min(RECOUNT_NODE * len(program), RECOUNT_SHARE * clock.left(reserve))
    early = Early()
    if clock.limited and not getattr(chosen, "is_reference", False):
        early = find_early(program, _within(options, EARLY_SHARE * clock.left(reserve)), watch)
    decision = chosen.solve_program(asked, _within(options, clock.left(reserve)), watch)
    decision = early.with_bound(decision)
    how, seconds = (strategy, formulation), time.perf_counter() - start
    left = max(clock.left(), LEAST_RECOURSE)
    doubted = False
    try:
        solution = carry_out(program, decision, options, watch, how, seconds, all_nodes=all_nodes, left=left)
    except UnverifiedSolution as error:
        doubted = True
        decision = _taken_back(decision, error, looked_at=entries_of(program) < MOST_CERTIFIED)
        solution = carry_out(program, decision, options, watch, how, seconds)
    if (better := early.or_better(program, decision, solution)) is not decision:
        solution = carry_out(program, better, options, watch, how, seconds, all_nodes=all_nodes, left=0.0)
    if proven or (solution.status in CLAIMS and entries_of(program) < MOST_CERTIFIED):
        solution = prove_or_doubt(
            program,
            solution,
            decision,
            _within(options, clock.left()),
            watch,
            partial(
                carry_out,
                program,
                options=options,
                observer=watch,
                how=how,
                seconds=seconds,
                all_nodes=all_nodes,
            ),
            certified=proven,
            doubted=doubted,
        )
    elif solution.status in UNBOUNDED and is_taken_apart(solution.strategy):
        solution = carry_out(program, unconfirmed(decision), options, watch, how, seconds)
    watch.report(_reached(solution))
    if value:
        concluded = time.perf_counter()
        worth: StochasticValue = stochastic_value(knowing, _within(options, clock.left()), watch, solution)
        solution = solution.model_copy(update={"stochastic": worth})
        solution = _longer(solution, time.perf_counter() - concluded)
    return solution


def _taken_back(decision: ProgramDecision, error: UnverifiedSolution, *, looked_at: bool) -> ProgramDecision:
    """What is left of a decision that breaks something: nothing may be feasible, but for tolerances.

    Parameters
    ----------
    looked_at
        Whether being infeasible is looked at again before it is said.
    """
    status, bound = ("infeasible", -math.inf) if looked_at else ("numerical_error", math.inf)
    return ProgramDecision(
        cast("Status", status), bound, None, notes=(*decision.notes, str(error)), build=decision.build
    )


def _longer(solution: ProgramSolution, seconds: float) -> ProgramSolution:
    took = solution.timing.model_copy(update={"solve": solution.timing.solve + seconds})
    return solution.model_copy(update={"timing": took})


def _reached(solution: ProgramSolution) -> Progress:
    """What a verified solution is, as the last progress of its solve."""
    sign = 1.0 if solution.sense == "max" else -1.0
    objective, bound = solution.objective, solution.bound
    return Progress(
        solution.timing.solve,
        None if objective is None else sign * objective,
        None if bound is None else sign * bound,
    )


def carry_out(
    program: StochasticProgram,
    decision: ProgramDecision,
    options: Options,
    observer: Observer,
    how: tuple[str, str],
    seconds: float = 0.0,
    *,
    all_nodes: bool = False,
    left: float | None = None,
) -> ProgramSolution:
    """Make a verified solution of a strategy's decision: what follows the root is decided where it is not.

    Parameters
    ----------
    how
        Names of the strategy and of the formulation that decided.
    seconds
        How long that took.
    all_nodes
        Put the decision of every node into the solution, not the root's only.
    left
        Seconds for what follows the root; the time limit where left out.

    Raises
    ------
    UnverifiedSolution
        The solution does not stand an independent recount: a bug.
    """
    start = time.perf_counter()
    ends = start + (options.time_limit if left is None else left)
    values = decision.nodes
    if values is None and decision.root is not None:
        values = _recourse(program, decision.root, options, observer, ends)
    counted = None if values is None else recount(program, values)
    if values is not None and counted is not None and counted.violations:
        ends = max(ends, time.perf_counter() + LEAST_RECOURSE)
        values = _polished(program, values, options, observer, ends)
        counted = recount(program, values)
        if counted.violations and time.perf_counter() >= ends:
            note = f"no time was left to mend a decision that breaks {counted.violations[0].what}"
            decision = dataclasses.replace(decision, root=None, notes=(*decision.notes, note))
            values = counted = None
    if values is not None and counted is not None and _falls_short(program, decision, counted, options):
        values, counted = _completed(program, values, counted, options, observer, ends)
        if _falls_short(program, decision, counted, options):
            note = "what was called optimal falls short of its own bound"
            decision = dataclasses.replace(decision, status="locally_solved", notes=(*decision.notes, note))
    timing = Timing(build=decision.build, solve=seconds - decision.build, verify=time.perf_counter() - start)
    solution = _solution(program, decision, counted, options, timing, how)
    if values is not None and counted is not None:
        update: dict[str, object] = {"first_stage": _by_name(program, 0, values)}
        if all_nodes:
            update["nodes"] = [
                NodeValues(node=name, values=_by_name(program, node, values))
                for node, name in enumerate(program.nodes)
            ]
        solution = solution.model_copy(update=update)
        if counted.violations:
            raise UnverifiedSolution(solution)
    return solution


def _falls_short(
    program: StochasticProgram, decision: ProgramDecision, counted: Recount, options: Options
) -> bool:
    """Whether a decision that is called optimal earns less than its own bound, beyond gap and rounding.

    Costs of one scenario may be below the tolerance of a solver that looks at another's: such a node is left
    as it is, though something could be earned there.
    """
    if decision.status != "optimal" or not math.isfinite(decision.bound):
        return False
    objective = counted.objective if program.sense == "max" else -counted.objective
    largest = max(abs(objective), abs(decision.bound))
    room = (options.mip_rel_gap + PROGRAM_ROW) * largest + SUM * counted.size
    return decision.bound - objective > room


def _completed(
    program: StochasticProgram,
    values: Sequence[FloatArray],
    counted: Recount,
    options: Options,
    observer: Observer,
    ends: float,
) -> tuple[Sequence[FloatArray], Recount]:
    """Decide again what follows the root, all nodes together, and keep the better of both."""
    again = _recourse(program, values[0], options, observer, max(ends, time.perf_counter()))
    better = None if again is None else recount(program, again)
    if again is None or better is None or better.violations:
        return values, counted
    sign = 1.0 if program.sense == "max" else -1.0
    return (again, better) if sign * better.objective > sign * counted.objective else (values, counted)


def _within(options: Options, seconds: float) -> Options:
    return dataclasses.replace(options, time_limit=seconds)


def _until(options: Options, ends: float) -> Options:
    """The options with what is left of the time."""
    return _within(options, max(ends - time.perf_counter(), 0.0))


def _with_formulation(chosen: ProgramStrategy, strategy: str, formulation: str) -> ProgramStrategy:
    """Let a strategy that solves the extensive form have it written by the formulation asked for."""
    if formulation == "highs":
        return chosen
    writer = getattr(find_formulation(formulation), "extensive_form", None)
    if writer is None:
        raise Refusal([f"formulation {formulation} does not write stochastic programs; highs does"])
    if not hasattr(chosen, "write"):
        reason = "takes a program apart itself; formulations are for strategies that solve it as a whole"
        raise Refusal([f"strategy {strategy} {reason}, such as extensive"])
    chosen.write = writer
    return chosen


def _by_name(program: StochasticProgram, node: int, values: Sequence[FloatArray]) -> dict[str, float]:
    # + 0.0 turns the solver's -0.0 into 0.0
    return dict(zip(program.template_of(node).columns, (values[node] + 0.0).tolist(), strict=True))


def _recourse(
    program: StochasticProgram, root: FloatArray, options: Options, observer: Observer, ends: float
) -> list[FloatArray] | None:
    """Decide what follows a root decision; ``None`` where nothing does, or none was found in time."""
    form = extensive_form(program)
    whole = form.matrices.integer[: len(root)]
    # a decision is off by rounding, and may have to move by that to leave recourse where it fills a row
    for share in (0.0, ROW, PROGRAM_ROW):
        lower, upper = form.matrices.lower.copy(), form.matrices.upper.copy()
        room = np.where(whole, 0.0, share * np.maximum(np.abs(root), 1.0))
        lower[: len(root)] = np.maximum(np.minimum(lower[: len(root)], root), root - room)
        upper[: len(root)] = np.minimum(np.maximum(upper[: len(root)], root), root + room)
        fixed = dataclasses.replace(form.matrices, lower=lower, upper=upper)
        answer = solve_program(fixed, _until(options, ends), observer, phase="recourse")
        if answer.status != "infeasible":
            break
    return None if answer.x is None or answer.status == "dual_infeasible" else split(form, answer.x)


def _polished(
    program: StochasticProgram,
    values: Sequence[FloatArray],
    options: Options,
    observer: Observer,
    ends: float,
) -> Sequence[FloatArray]:
    """Solve again for the columns that need not be whole, to a finer tolerance; others stay as they are."""
    form = extensive_form(program)
    x = np.concatenate(values)
    whole = form.matrices.integer
    fixed = dataclasses.replace(
        form.matrices,
        lower=np.where(whole, x, form.matrices.lower),
        upper=np.where(whole, x, form.matrices.upper),
    )
    fine = {
        **options.highs,
        "primal_feasibility_tolerance": FINE_TOLERANCE,
        "dual_feasibility_tolerance": FINE_TOLERANCE,
    }
    finely = dataclasses.replace(_until(options, ends), highs=fine)
    again = solve_program(fixed, finely, observer, relaxed=True)
    return values if again.x is None else split(form, again.x)


def _solution(
    program: StochasticProgram,
    decision: ProgramDecision,
    counted: Recount | None,
    options: Options,
    timing: Timing,
    asked: tuple[str, str],
) -> ProgramSolution:
    strategy, formulation = asked
    sign = 1.0 if program.sense == "max" else -1.0
    objective = None if counted is None else counted.objective
    bound = sign * decision.bound if math.isfinite(decision.bound) else None
    if objective is not None and bound is not None:
        # the recount may round to a hair beyond the solver's bound
        bound = sign * max(sign * bound, sign * objective)
    notes = list(decision.notes)
    if decision.root is not None and counted is None:
        notes.append("no recourse was found for the root's decision")
    return ProgramSolution(
        name=program.name,
        status=decision.status,
        solution="none" if counted is None else "optimal" if decision.status == "optimal" else "feasible",
        strategy=decision.strategy or strategy,
        sense=program.sense,
        objective=objective,
        bound=bound,
        gap=None if objective is None or bound is None else gap(sign * objective, sign * bound),
        timing=timing,
        provenance=Provenance(
            bondwork=version("bondwork"),
            highs=highs_version(),
            input_sha256=program.sha256,
            seed=options.random_seed,
            options={
                "strategy": strategy,
                "formulation": formulation,
                "time_limit": options.time_limit if math.isfinite(options.time_limit) else None,
                "mip_rel_gap": options.mip_rel_gap,
                "threads": options.threads,
                "random_seed": options.random_seed,
                **options.highs,
                **{f"settings.{name}": text for name, text in options.settings.items()},
            },
            notes=notes,
        ),
        verified=counted is not None and not counted.violations,
        violations=[] if counted is None else list(counted.violations),
    )
