"""Why tasks were left, and what limits are worth."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bondwork.plan.plan import Price, Unassigned
from bondwork.plan.worth import WorthOfChoices
from bondwork.problem.limits import LimitKind
from bondwork.problem.values import is_committed
from bondwork.program.filling import Filling
from bondwork.program.settling import DROWNS

if TYPE_CHECKING:
    from bondwork.arrays import FloatArray, IntArray
    from bondwork.contracts import Solution
    from bondwork.plan.plan import Reason
    from bondwork.problem.instance import Instance
    from bondwork.program.program import Program

#: Share of the largest price below which a shadow price is the solver's noise.
_PRICE_NOISE = 1e-9


def explain_unassigned(
    instance: Instance, program: Program, x: FloatArray, *, if_it_fits: Reason = "unexplained"
) -> list[Unassigned]:
    """Say for each task without an executor why: no eligible offer, none worth it, or no room and where.

    Parameters
    ----------
    instance, program
        The round, and its program; of several stages that of the first.
    x
        Shape (choices,). What is chosen.
    if_it_fits
        The reason for a task that some offer fits and would pay: nobody took the price of an auction, or its
        room is kept for later.
    """
    filling = Filling(program, x)
    core = filling.program
    worth = WorthOfChoices(instance, filling)
    task_of = instance.offers.task[core.columns]
    left = ~is_committed(instance)
    left[task_of[x > 0.5]] = False
    offered = np.bincount(task_of, minlength=len(left)) > 0
    looked_at = np.flatnonzero(left[task_of] & worth.candidates())
    gain, noise = worth.of(looked_at)
    pays = looked_at[gain > noise]
    in_the_way = _in_the_way(filling, pays, task_of[pays])
    break_even = set(task_of[looked_at[(gain >= -noise) & (gain <= noise)]].tolist())
    result = []
    for task in np.flatnonzero(left).tolist():
        name = instance.tasks.ids[task]
        if task in in_the_way:
            labels = in_the_way[task]
            reason: Reason = if_it_fits if labels is None else "no_room"
            result.append(Unassigned(task=name, reason=reason, limits=labels or []))
            continue
        reason = "not_worth_it" if offered[task] else "no_eligible_offer"
        result.append(Unassigned(task=name, reason="worth_nothing" if task in break_even else reason))
    return result


def _in_the_way(filling: Filling, columns: IntArray, task_of: IntArray) -> dict[int, list[str] | None]:
    """Names of the limits that leave no room for choices, by task; ``None`` where one of its choices fits."""
    if not len(columns):
        return {}
    rows = filling.rows_without_room_of(columns)
    # tail limits are asked only where the others leave room: each question looks at every scenario
    measures = [
        [] if full else filling.measures_without_room(column)
        for column, full in zip(columns.tolist(), rows, strict=True)
    ]
    found: dict[int, list[str] | None] = {}
    order = np.argsort(task_of, kind="stable")
    tasks, first = np.unique(task_of[order], return_index=True)
    for task, part in zip(tasks.tolist(), np.split(order, first[1:]), strict=True):
        mine = part.tolist()
        labels = [filling.program.label(row) for row in sorted({row for each in mine for row in rows[each]})]
        labels += [label for each in mine for label in measures[each]]
        fits = any(not rows[each] and not measures[each] for each in mine)
        found[task] = None if fits else list(dict.fromkeys(labels))
    return found


def price_limits(program: Program, solution: Solution) -> list[Price]:
    """List the limits that a little more of would earn something, with the price of one unit.

    The one-executor rows have multipliers too, but nobody can buy a second executor of that kind: they are
    left out, except where a required task costs something.
    """
    if solution.row_duals is None:
        return []
    row_duals = solution.row_duals[: len(program.limits)]
    matrix = program.matrix[: len(row_duals), : program.choices]
    is_task = program.limits.kind == LimitKind.TASK
    # what a unit of each row moves in currency: prices in different units must not drown each other
    size = np.zeros(len(row_duals))
    rows = np.repeat(np.arange(len(size)), np.diff(matrix.indptr))
    np.maximum.at(size, rows, np.abs(matrix.data))
    worth = np.abs(row_duals) * np.where(size > 0.0, size, 1.0)
    size_of_all = np.abs(program.objective)
    if np.isfinite(solution.bound) and solution.bound != 0.0:
        # amounts that were settled beforehand have no part in prices
        size_of_all = size_of_all[size_of_all <= DROWNS * abs(solution.bound)]
    threshold = _PRICE_NOISE * np.max(size_of_all, initial=0.0)
    shown = np.flatnonzero((worth > threshold) & (~is_task | (row_duals < 0.0)))
    prices = [Price(limit=program.limits.label(row), price=float(row_duals[row])) for row in shown.tolist()]
    return prices + _price_measures(program, solution)


def _price_measures(program: Program, solution: Solution) -> list[Price]:
    """Prices of tail limits: of cut limits as found; null for those in rows of scenarios that are no sum."""
    known: dict[int, float] = {}
    if solution.measure_prices is not None:
        known = dict(zip(program.lazy, solution.measure_prices.tolist(), strict=True))
    listed = []
    for number, measure in enumerate(program.measures):
        if not measure.convex:
            listed.append(Price(limit=measure.label, price=None))
        elif known.get(number, 0.0) > 0.0:
            listed.append(Price(limit=measure.label, price=known[number]))
    return listed
