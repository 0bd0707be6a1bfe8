"""The road from a round with later periods to a plan: tree, program, strategy, plan."""

from __future__ import annotations

import dataclasses
import math
import time
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from bondwork.base.clock import Clock
from bondwork.contracts import ProgramDecision, WarmStart
from bondwork.observing import Told
from bondwork.plan.certifying import without_certificate
from bondwork.plan.horizon_building import (
    build_horizon_plan,
    columns_by_node,
    objective_of,
    offers_by_node,
)
from bondwork.plan.horizon_certifying import certify_horizon
from bondwork.plan.plan import Conflict
from bondwork.plan.recall import recall_horizon
from bondwork.plan.recount_columns import Uncheckable
from bondwork.problem.release import THIS_ROUND
from bondwork.program.horizon import horizon_program, kept_apart
from bondwork.program.horizon_assessment import (
    assess_horizon,
    choice,
    exceeded,
    settle,
    without_choices,
)
from bondwork.program.horizon_greedy import decide_within_limits
from bondwork.program.horizon_luck import with_luck
from bondwork.program.horizon_money import HorizonLedger
from bondwork.program.horizon_present import decide_present
from bondwork.program.horizon_unseen import keep_unseen_apart
from bondwork.program.program_solving import PROOF_SHARE, carry_out, solve_stochastic
from bondwork.program.staged_money import MOST_ROUNDS, find_covers, with_covers
from bondwork.registry import check_takes, find_formulation, load_strategy
from bondwork.rehearsing import TOO_SHORT
from bondwork.settings import read_settings
from bondwork.solver.solving import solve_program
from bondwork.uncertainty.horizon import ENDED, horizon_tree

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from bondwork.arrays import IntArray
    from bondwork.contracts import Observer, Options, Status, Voucher
    from bondwork.plan.plan import Plan
    from bondwork.problem.instance import Instance
    from bondwork.program.horizon import HorizonProgram
    from bondwork.program.program import Program
    from bondwork.program.program_solution import ProgramSolution
    from bondwork.uncertainty.horizon import HorizonTree


#: Seconds, and times the seconds of reading, drawing and writing, kept for what follows the strategy.
_BESIDES, _AGAIN = 0.05, 1.3

#: Seconds for each node, and for each choice of its tasks, that checking, writing and verifying take.
_NODE, _CHOICE = 5e-4, 1.5e-5

#: Seconds for each column of each node that a greedy decision takes, should the strategy come to nothing.
_FILLED = 3e-6

#: Seconds for each team of several in the round itself: why a task is left is asked of every one.
_TEAM = 2e-4

#: Share of all that which verifying takes.
_VERIFYING = 0.6

#: Share of what is left that this may be at most, and share of the limit that a strategy has in any case.
_MOST, _LEAST = 0.6, 0.25

#: Share of what is left for greedy choices of later nodes, and for several such decisions.
_GREEDY, _GREEDY_OFTEN = 0.1, 0.5

#: Share of what is left in which a strategy of one stage decides the present.
_PRESENT_SHARE = 0.5

#: Share of what is left that a strategy has where it may have to decide again with further rows.
_FIRST_SHARE = 0.5

#: Why a strategy may end without a decision although there is one.
_CUT_SHORT = ("time_limit", "interrupted", "iteration_limit", "numerical_error", "other_error")

_FOUND_NONE = "the strategy ended without a decision: this one is greedy, period by period"


def solve_horizon(
    instance: Instance,
    options: Options,
    observer: Observer,
    *,
    strategy: str,
    formulation: str,
    seed: int,
    told: Mapping[str, bool | int | float | str | None],
    value: bool = False,
    clock: Clock | None = None,
    apart: Sequence[Collection[int]] = (),
    proven: bool = False,
    earlier: Plan | None = None,
) -> Plan:
    """Decide a round together with its later periods; the plan is not yet verified.

    Parameters
    ----------
    instance
        A round for which `bondwork.problem.periods.is_staged` holds.
    options, observer
        See `bondwork.contracts`.
    strategy, formulation
        Names of installed ones that decide, and write, stochastic programs.
    seed
        Of the tree.
    told
        Options as the plan's provenance tells them.
    value
        Work out WS, EEV, EVPI and VSS as well.
    clock
        From when on the time limit counts; from now on where it is left out.
    apart
        Sets of the round's own offers that cannot all be chosen.
    proven
        Put the proof of the bound into the plan.
    earlier
        A plan of this round, or of one like it, to start from; see `bondwork.plan.recall.recall_horizon`.

    Returns
    -------
    Plan
        ``assignments`` are what to carry out now, ``recourse`` what every later node would do.

    Raises
    ------
    Refusal
        Strategy or formulation takes no stochastic programs, or the tree is too large for them.
    """
    check_takes(strategy, "later period")
    clock = clock or Clock(options.time_limit)
    start = time.perf_counter()
    tree = horizon_tree(instance, seed=seed)
    sampled = time.perf_counter()
    plain = horizon_program(tree)
    made = kept_apart(plain, apart) if apart else plain
    start_from, recalled = recall_horizon(made, earlier) if earlier is not None else (None, "")
    if start_from is not None and made.is_bare:
        options = dataclasses.replace(options, warm_start=WarmStart(choice(made, start_from)))
    built = time.perf_counter()
    # explaining and verifying draw the tree, and write what follows from it, again
    again = _BESIDES + built - start + instance.read_seconds
    later = _AGAIN * again + _NODE * len(tree.period) + _CHOICE * _choices(tree) + _TEAM * _several(plain)
    greedily = _FILLED * sum(len(made.program.template_of(node).columns) for node in range(len(made.program)))
    watch = Told(observer, unit=made.unit)
    walk = partial(
        _decided,
        options=options,
        observer=watch,
        how=(strategy, formulation),
        value=value,
        limit=clock.limit,
        needed=later,
        kept=later + greedily + (PROOF_SHARE * clock.limit if proven and clock.limited else 0.0),
    )
    made, solution, picked = _exactly(made, walk, clock, blind=_is_blind(load_strategy(strategy)))
    if recalled:
        solution = _with_note(solution, recalled)
    if start_from is not None and solution.status in _CUT_SHORT:
        solution, picked = _better(made, solution, picked, start_from)
    if solution.stochastic is not None:
        known = "ws knows the amounts and outcomes of the tree: those that a later decision could see"
        worth = solution.stochastic.model_copy(update={"notes": [known, *solution.stochastic.notes]})
        solution = solution.model_copy(update={"stochastic": worth})
    now = find_formulation("highs").build(instance)
    conflict = None
    if solution.status == "infeasible":
        left = dataclasses.replace(options, time_limit=clock.left() / 3.0)
        conflict = _conflict(instance, now, left, observer)
    chosen = offers_by_node(made, picked)
    plan = build_horizon_plan(
        instance,
        made,
        solution,
        picked,
        now=now if chosen else None,
        formulation=formulation,
        options=told,
        seed=seed,
        assessments=assess_horizon(made, picked, seed) if chosen else (),
        conflict=conflict,
    )
    timing = solution.timing.model_copy(
        update={
            "read": instance.read_seconds,
            "sample": sampled - start,
            "build": built - sampled + solution.timing.build,
        }
    )
    plan = plan.model_copy(update={"timing": timing})
    if not proven:
        return plan
    knowing = getattr(load_strategy(strategy), "knows_outcomes", False)
    if knowing and plan.status != "infeasible":
        return without_certificate(plan, Uncheckable("the bound is that of deciding with what nobody knows"))
    if (made.measures.priced is not None or made.loads) and plan.status != "infeasible":
        priced = "losses" if made.measures.priced is not None else "loads"
        return without_certificate(plan, Uncheckable(f"the objective prices {priced} over later periods"))
    left = dataclasses.replace(options, time_limit=clock.left())
    by: Voucher = "branch_and_bound" if "extensive" in (strategy, solution.strategy) else "strategy"
    return certify_horizon(instance, plan, plain, left, vouched_by=by, later=_VERIFYING * later)


class _Decides(Protocol):
    """Decides a program in the time of a clock; ``again`` where it was decided before with fewer rows."""

    def __call__(self, made: HorizonProgram, *, clock: Clock, again: bool) -> ProgramSolution: ...


def _is_blind(kind: type[Any]) -> bool:
    """Whether a strategy decides the present only, without regard to what follows."""
    return not hasattr(kind, "solve_program") and hasattr(kind, "solve")


def _exactly(
    made: HorizonProgram, decided: _Decides, clock: Clock, *, blind: bool
) -> tuple[HorizonProgram, ProgramSolution, list[IntArray]]:
    """Decide again and again, until all that a solver does not see to holds; also columns by node.

    That is: collateral and stake to the last unit, limits on tails, and that nobody sees what was not chosen.
    Each time but for the last there are rows too few, so that the least bound of all is one. What is decided
    greedily, or ``blind`` to what follows, would be decided so again: choices are given up instead.
    """
    ledger = HorizonLedger(made)
    least: float | None = None
    found: list[tuple[HorizonProgram, ProgramSolution, list[IntArray]]] = []
    for count in range(MOST_ROUNDS):
        before = clock.elapsed
        # where a tree has leaves, rows are missing more often than not
        share = _FIRST_SHARE if made.tree.leaves else 1.0
        solution = decided(made, clock=_part(clock, share), again=count > 0)
        bounds = [each for each in (least, solution.bound) if each is not None]
        least = min(bounds, default=None)
        solution = solution.model_copy(update={"bound": least})
        chosen = columns_by_node(made, solution)
        greedy = bool(chosen) and not made.is_bare and (blind or solution.strategy == "greedy")
        if found and made.tree.leaves and not chosen and solution.status in _CUT_SHORT:
            found = [(each, some.model_copy(update={"bound": least}), mine) for each, some, mine in found]
            break  # what was found before may do yet
        further = _further(made, ledger, chosen, money_only=greedy) if chosen else None
        if further is None and not greedy:
            return made, solution, chosen
        found = [*(each for each in found if each[1].strategy != solution.strategy), (made, solution, chosen)]
        if further is None or (clock.limited and clock.left() < clock.elapsed - before):
            break
        made = further
    return _settled(found, clock)


def _with_note(solution: ProgramSolution, note: str) -> ProgramSolution:
    notes = [note, *solution.provenance.notes]
    return solution.model_copy(update={"provenance": solution.provenance.model_copy(update={"notes": notes})})


def _better(
    made: HorizonProgram, solution: ProgramSolution, picked: list[IntArray], earlier: list[IntArray]
) -> tuple[ProgramSolution, list[IntArray]]:
    """What was decided, or what a solve that was cut short started from where that is better."""
    if picked and objective_of(made, picked) >= objective_of(made, earlier):
        return solution, picked
    found = solution.model_copy(update={"solution": "feasible"})
    return _with_note(found, "nothing better than the start was found in time"), earlier


def _part(clock: Clock, share: float) -> Clock:
    """A clock whose limit leaves some of what another leaves."""
    return Clock(clock.elapsed + share * clock.left(), clock.begun) if clock.limited else clock


def _settled(
    found: Sequence[tuple[HorizonProgram, ProgramSolution, list[IntArray]]], clock: Clock
) -> tuple[HorizonProgram, ProgramSolution, list[IntArray]]:
    """The best of some decisions, once each keeps what a solver does not see to."""
    made, last, chosen = found[-1]
    if not made.tree.leaves:
        return made, last, chosen
    tried = [(each, solution, settle(each, choices)) for each, solution, choices in found]
    settled = [(each, solution, choices) for each, solution, choices in tried if choices is not None]
    if not settled:
        status: Status = "time_limit" if clock.limited else "iteration_limit"
        nothing = {"status": status, "solution": "none", "objective": None, "nodes": None}
        return made, last.model_copy(update=nothing), []
    _, best, chosen = max(settled, key=lambda each: objective_of(each[0], each[2]))
    status = "time_limit" if clock.limited else "locally_solved"
    update: dict[str, object] = {"bound": last.bound}
    if best.status == "optimal":  # with rows too few, or before choices were given up
        update |= {"status": status, "solution": "feasible"}
    return made, best.model_copy(update=update), chosen


def _further(
    made: HorizonProgram, ledger: HorizonLedger, chosen: Sequence[IntArray], *, money_only: bool
) -> HorizonProgram | None:
    """The program with rows that rule a decision out which may not be; ``None`` where it may be."""
    values = [
        np.bincount(each, minlength=len(made.program.template_of(node).columns)).astype(np.float64)
        for node, each in enumerate(chosen)
    ]
    if covers := find_covers(made.program, ledger, values):
        bare = with_covers(made.bare, covers)
        return dataclasses.replace(made, program=with_covers(made.program, covers), bare=bare)
    if money_only or not made.tree.leaves:
        return None
    if (apart := keep_unseen_apart(made, chosen)) is not None:
        return apart
    broken = exceeded(made, chosen)
    return without_choices(made, chosen, broken) if broken else None


def _choices(tree: HorizonTree) -> int:
    """How many choices all nodes together may make: one for each task of each."""
    tasks = [len(tree.horizon.instance.tasks), *(len(each.tasks) for each in tree.horizon.instance.periods)]
    counts = np.bincount(tree.period[tree.period != ENDED] + 1, minlength=len(tasks))
    return int(sum(count * each for count, each in zip(counts.tolist(), tasks, strict=True)))


def _several(made: HorizonProgram) -> int:
    """How many teams of several the round itself may choose."""
    return int(np.sum(made.teams[THIS_ROUND].sizes > 1))


def _decided(
    made: HorizonProgram,
    *,
    clock: Clock,
    again: bool,
    options: Options,
    observer: Observer,
    how: tuple[str, str],
    value: bool,
    limit: float,
    needed: float,
    kept: float,
) -> ProgramSolution:
    """Decide by a strategy, or greedily where it has too little time or comes to nothing.

    ``limit`` is that of all, ``needed`` are the seconds of what follows it, ``kept`` those with a greedy
    decision and a proof besides.
    """
    kind, solution = load_strategy(how[0]), None
    if not again and clock.limited and clock.elapsed + needed > 0.5 * limit:
        solution = _greedy(made, options, observer, how, clock)
    if solution is None and _is_blind(kind):
        solution = _presently(made, options, observer, how, kind, _for_strategy(clock, kept))
    elif solution is None:
        solution = solve_stochastic(
            made.program,
            options,
            observer,
            strategy=how[0],
            formulation=how[1],
            all_nodes=True,
            certificate="none",
            value=value,
            informed=lambda: with_luck(made),
            clock=_for_strategy(clock, kept),
        )
    if solution.solution == "none" and solution.status in _CUT_SHORT:
        solution = _greedy(made, options, observer, how, clock, solution) or solution
    return solution


def _presently(
    made: HorizonProgram,
    options: Options,
    observer: Observer,
    how: tuple[str, str],
    kind: type[Any],
    clock: Clock,
) -> ProgramSolution:
    """Let a strategy of one stage decide the present, and decide what follows as well as can be."""
    read_settings(kind(), options.settings, f"strategy {how[0]}")
    left = dataclasses.replace(options, time_limit=_PRESENT_SHARE * clock.left())
    present = decide_present(made, kind, left, observer)
    found = present.solution
    notes = (
        *found.notes,
        f"{how[0]} decided the present without regard to what follows, which is decided for it",
    )
    if present.made is None:
        # the limits of the round by itself are among those of all nodes together
        bound = -math.inf if found.status == "infeasible" else math.inf
        decision = ProgramDecision(found.status, bound, None, notes=notes, strategy=how[0])
        return carry_out(made.bare, decision, options, observer, how, 0.0)
    plain = dataclasses.replace(options, settings={}, warm_start=None)
    solution = solve_stochastic(
        present.made.program,
        plain,
        observer,
        strategy="extensive",
        formulation=how[1],
        all_nodes=True,
        certificate="none",
        clock=clock,
    )
    said: dict[Status, Status] = {"optimal": "locally_solved", "infeasible": "locally_infeasible"}
    notes = (*notes, *solution.provenance.notes)
    update = {
        "status": said.get(solution.status, solution.status),
        "solution": "feasible" if solution.solution == "optimal" else solution.solution,
        "strategy": how[0],
        "bound": None,
        "gap": None,
        "provenance": solution.provenance.model_copy(update={"notes": list(notes)}),
    }
    return solution.model_copy(update=update)


def _for_strategy(clock: Clock, later: float) -> Clock:
    """The limit less what is kept for what follows; no less than a quarter of it, whatever came before."""
    if not clock.limited:
        return clock
    least = clock.elapsed + _LEAST * clock.limit
    return Clock(max(clock.limit - min(later, _MOST * clock.left()), least), clock.begun)


def _greedy(
    made: HorizonProgram,
    options: Options,
    observer: Observer,
    how: tuple[str, str],
    clock: Clock,
    cut_short: ProgramSolution | None = None,
) -> ProgramSolution | None:
    """A greedy decision in place of a strategy's, with the bound that this had proved, if any.

    ``None`` where there is none, or where the strategy asked for decides nothing that could be carried out.
    """
    start = time.perf_counter()
    chosen = load_strategy(how[0])()
    read_settings(chosen, options.settings, f"strategy {how[0]}")
    find_formulation(how[1])
    if getattr(chosen, "knows_outcomes", False):
        return None
    nodes = decide_within_limits(
        made, start + (_GREEDY_OFTEN if made.tree.leaves else _GREEDY) * clock.left()
    )
    if nodes is None:
        return None
    status: Status
    notes: tuple[str, ...]
    if cut_short is None:
        status, bound, notes = "time_limit", math.inf, (TOO_SHORT,)
    else:
        bound = math.inf if cut_short.bound is None else cut_short.bound
        status, notes = cut_short.status, (*cut_short.provenance.notes, _FOUND_NONE)
    decision = ProgramDecision(status, bound, nodes[0], nodes, notes, strategy="greedy")
    seconds = time.perf_counter() - start + (0.0 if cut_short is None else cut_short.timing.solve)
    return carry_out(made.bare, decision, options, observer, how, seconds, all_nodes=True)


def _conflict(instance: Instance, now: Program, options: Options, observer: Observer) -> Conflict | None:
    """Limits that cannot hold together: those of the round itself, or what later periods require."""
    from bondwork.plan.conflict import find_conflict

    if solve_program(now, options, observer).status == "infeasible":
        return find_conflict(now, options, observer)
    required = [
        f"task {period.tasks.ids[task]} required in {period.id}"
        for period in instance.periods
        for task in period.tasks.required.nonzero()[0].tolist()
    ]
    return Conflict(limits=required, minimal=False)
