"""Why each task went where it went: what its choice and the next best are worth at the shadow prices."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bondwork.plan.plan import Explanation
from bondwork.problem.limits import LimitKind
from bondwork.risk.limits import committed_value

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bondwork.arrays import FloatArray, IntArray
    from bondwork.contracts import Solution
    from bondwork.plan.plan import Assignment
    from bondwork.problem.instance import Instance
    from bondwork.program.program import Program


def explain_choices(
    instance: Instance, program: Program, solution: Solution, assignments: Sequence[Assignment]
) -> list[Assignment]:
    """Return the assignments, each with its explanation where there are prices to explain it by.

    A choice is worth its net reward less the price of what it uses of every limit but the task's own row (of
    tail limits: of the cut at the plan). The next best is the best other choice for the same task, or to
    leave the task, which is worth nothing. A negative margin is no fault: at these prices the next best looks
    better, but whole tasks do not pack that way (or the plan is not optimal).

    There is no explanation where the prices do not tell what a choice costs: without prices, under tail
    limits in rows of scenarios or without a price, with load incentives, and with a mean-risk objective.
    """
    worth = _worth_at_prices(program, solution)
    if worth is None or solution.x is None or solution.row_duals is None:
        return list(assignments)
    first = program.columns[: program.choices]
    task = instance.offers.task[first]
    price = np.zeros(len(instance.tasks))
    rows = program.limits.of_kind(LimitKind.TASK)
    price[program.limits.owner[rows]] = solution.row_duals[rows]
    chosen = np.flatnonzero(solution.x > 0.5)
    rival = _best_rivals(worth, task, solution.x > 0.5, len(instance.tasks))
    explanations = {}
    for column in chosen.tolist():
        mine = int(task[column])
        other = int(rival[mine])
        stays = bool(instance.tasks.required[mine])
        runner_up: list[str] = []
        operator: str | None = None
        next_worth: float | None = None if stays else 0.0
        if other >= 0 and (stays or worth[other] > 0.0):
            runner_up, next_worth = _offers(instance, program, other), float(worth[other])
            operator = instance.operators.ids[instance.offers.operator[first[other]]]
        explanations[instance.tasks.ids[mine]] = Explanation(
            worth=float(worth[column]),
            task_price=float(price[mine]),
            runner_up=runner_up,
            operator=operator,
            margin=None if next_worth is None else float(worth[column]) - next_worth,
        )
    return [each.model_copy(update={"explanation": explanations.get(each.task)}) for each in assignments]


def _worth_at_prices(program: Program, solution: Solution) -> FloatArray | None:
    """Net reward of each choice less the price of what it uses; ``None`` where that is not known.

    What takes of a limit that commitments exceed cannot be chosen: it is no rival, and has no price there.
    """
    duals, prices = solution.row_duals, solution.measure_prices
    if duals is None or solution.x is None or program.loads or program.mean_risk is not None:
        return None
    if len(program.lazy) < len(program.measures) or (program.lazy and prices is None):
        return None
    core = program.without_auxiliaries()
    priced = np.nan_to_num(duals)
    priced[core.limits.of_kind(LimitKind.TASK)] = 0.0
    exceeded = core.limits.exceeded()
    priced[exceeded] = 0.0
    worth = core.objective - core.matrix.T @ priced
    barred = np.unique(core.matrix[exceeded].indices)
    worth[barred[solution.x[barred] <= 0.5]] = -np.inf
    if prices is not None:
        for price, measure in zip(prices.tolist(), program.measures, strict=True):
            if price > 0.0 and committed_value(measure) < measure.ceiling:
                worth = worth - price * measure.cut(solution.x).normal
    return np.asarray(worth)


def _best_rivals(worth: FloatArray, task: IntArray, chosen: np.ndarray, tasks: int) -> IntArray:
    """Best choice of each task that was not taken, -1 where there is none; the first of equals."""
    others = np.flatnonzero(~chosen & np.isfinite(worth))
    order = others[np.lexsort((others, -worth[others], task[others]))]
    rival = np.full(tasks, -1, dtype=np.int64)
    found, position = np.unique(task[order], return_index=True)
    rival[found] = order[position]
    return rival


def _offers(instance: Instance, program: Program, column: int) -> list[str]:
    """Ids of what a column of the program decides about: one offer, or those of a team."""
    teams = program.teams
    if teams is None:
        return [instance.offers.ids[int(program.columns[column])]]
    members = teams.member[teams.start[column] : teams.start[column + 1]]
    return [instance.offers.ids[each] for each in members.tolist()]
