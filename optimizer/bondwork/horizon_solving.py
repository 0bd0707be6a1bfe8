"""The road from a round with later periods to a plan: tree, program, strategy, plan."""

from __future__ import annotations

import dataclasses
import time
from typing import TYPE_CHECKING

from bondwork.base.clock import Clock
from bondwork.observing import Told
from bondwork.plan.horizon_building import build_horizon_plan, chosen_by_node
from bondwork.plan.plan import Conflict
from bondwork.program.horizon import horizon_program, kept_apart
from bondwork.program.horizon_luck import with_luck
from bondwork.program.program_solving import solve_stochastic
from bondwork.registry import find_formulation
from bondwork.risk.assessment import assess
from bondwork.solver.solving import solve_program
from bondwork.uncertainty.horizon import horizon_tree

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from bondwork.contracts import Observer, Options
    from bondwork.plan.plan import Plan
    from bondwork.problem.instance import Instance
    from bondwork.program.program import Program


#: Seconds, and times the seconds of reading, drawing and writing, kept for what follows the strategy.
_BESIDES, _AGAIN = 0.05, 1.5

#: Share of what is left that this may be at most, and share of the limit that the strategy has in any case:
#: there is no greedy plan of all periods.
_MOST, _LEAST = 0.4, 0.25


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

    Returns
    -------
    Plan
        ``assignments`` are what to carry out now, ``recourse`` what every later node would do.

    Raises
    ------
    Refusal
        Strategy or formulation takes no stochastic programs, or the tree is too large for them.
    """
    clock = clock or Clock(options.time_limit)
    start = time.perf_counter()
    tree = horizon_tree(instance, seed=seed)
    sampled = time.perf_counter()
    made = horizon_program(tree)
    if apart:
        made = kept_apart(made, apart)
    built = time.perf_counter()
    # explaining and verifying draw the tree, and write what follows from it, again
    later = _BESIDES + _AGAIN * (built - start + instance.read_seconds) if clock.limited else 0.0
    solution = solve_stochastic(
        made.program,
        options,
        Told(observer, unit=made.unit),
        strategy=strategy,
        formulation=formulation,
        all_nodes=True,
        certificate="none",
        value=value,
        informed=lambda: with_luck(made),
        clock=_for_strategy(clock, later),
    )
    if solution.stochastic is not None:
        known = "ws knows the amounts and outcomes of the tree: those that a later decision could see"
        worth = solution.stochastic.model_copy(update={"notes": [known, *solution.stochastic.notes]})
        solution = solution.model_copy(update={"stochastic": worth})
    now = find_formulation("highs").build(instance)
    conflict = None
    if solution.status == "infeasible":
        left = dataclasses.replace(options, time_limit=clock.left() / 3.0)
        conflict = _conflict(instance, now, left, observer)
    chosen = chosen_by_node(made, solution)
    plan = build_horizon_plan(
        instance,
        made,
        solution,
        now=now if chosen else None,
        formulation=formulation,
        options=told,
        seed=seed,
        assessments=assess(instance, None, chosen[0], seed) if chosen else (),
        conflict=conflict,
    )
    timing = solution.timing.model_copy(
        update={
            "read": instance.read_seconds,
            "sample": sampled - start,
            "build": built - sampled + solution.timing.build,
        }
    )
    return plan.model_copy(update={"timing": timing})


def _for_strategy(clock: Clock, later: float) -> Clock:
    """The limit less what is kept for what follows; no less than a quarter of it, whatever came before."""
    if not clock.limited:
        return clock
    least = clock.elapsed + _LEAST * clock.limit
    return Clock(max(clock.limit - min(later, _MOST * clock.left()), least), clock.begun)


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
