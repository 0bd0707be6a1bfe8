"""What nobody would choose, settled before a solver sees it, where its amounts would drown all others.

A required task that one offer does at a loss of 1e13 and another at 2, a task that costs 1e18 to leave: such
numbers decide nothing, but a solver's tolerance is a share of the largest. The best that every task could do
by itself is a bound; what falls short of it by more than a plan at hand does is in no better plan.
"""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from bondwork.base.tolerances import WORTH_NOISE
from bondwork.problem.limits import LimitKind
from bondwork.problem.teams import team_value
from bondwork.program.exact import for_solver
from bondwork.program.filling import fill_greedily

if TYPE_CHECKING:
    from bondwork.arrays import BoolArray, FloatArray, IntArray
    from bondwork.contracts import Solution
    from bondwork.program.program import Program

#: How many times larger than the best that can be earned an amount must be to be settled beforehand.
DROWNS = 2.0**24

#: Share by which the parts of the objective may differ from what the formulation wrote.
SAME = 1e-12


class Settled(NamedTuple):
    """A program in which what nobody would choose is settled.

    Attributes
    ----------
    program
        The same columns and rows. Choices that no better plan makes are out, tasks that no better plan leaves
        are required, and what these earn is written as what it lacks of their best.
    shift
        Shape (m,). What the multipliers of task rows lack of those of the program itself.
    x, value
        The plan at hand and what it earns: one of the best if no better is found.
    """

    program: Program
    shift: FloatArray
    x: FloatArray
    value: float

    def told(self, solution: Solution) -> Solution:
        """What a strategy said of the settled program, of the program itself."""
        duals = solution.row_duals
        if duals is not None:
            solution = dataclasses.replace(solution, row_duals=duals + self.shift[: len(duals)])
        if solution.x is None or self.program.value(solution.x) < self.value:
            solution = dataclasses.replace(solution, x=self.x, partial=None)
        if solution.status == "infeasible":  # nothing is better than the plan at hand
            solution = dataclasses.replace(solution, status="optimal")
        elif solution.status == "locally_infeasible":
            solution = dataclasses.replace(solution, status="locally_solved")
        return dataclasses.replace(solution, bound=max(solution.bound, self.value))


class _Tasks(NamedTuple):
    """What the tasks of a program can earn: columns, and tasks in the order of their rows."""

    rows: IntArray
    task: IntArray
    worth: FloatArray
    leave: FloatArray
    required: BoolArray


def settle(program: Program) -> Settled | None:
    """Settle what nobody would choose; ``None`` where no amount drowns others, or too little is known.

    Load incentives and a price of risk are earned by no task alone: with them nothing is settled.
    """
    tasks = _read(program)
    if tasks is None:
        return None
    open_ = for_solver(program).upper[: program.choices] > 0.0
    best = np.where(tasks.required, -np.inf, tasks.leave)
    np.maximum.at(best, tasks.task[open_], tasks.worth[open_])
    wanted = open_ & (tasks.required[tasks.task] | (tasks.worth > tasks.leave[tasks.task]))
    offered = np.zeros(len(tasks.rows), dtype=bool)
    offered[tasks.task[wanted]] = True
    largest = max(
        float(np.abs(tasks.worth[wanted]).max(initial=0.0)),
        float(np.abs(tasks.leave[offered]).max(initial=0.0)),
    )
    most = math.fsum(best.tolist())
    if not math.isfinite(most) or largest <= DROWNS * abs(most):
        return None
    filling = fill_greedily(program)
    if not filling.is_complete():
        return None
    chosen = np.flatnonzero(filling.x > 0.5)
    left = np.ones(len(tasks.rows), dtype=bool)
    left[tasks.task[chosen]] = False
    terms = [*tasks.worth[chosen].tolist(), *tasks.leave[left].tolist()]
    value = math.fsum(terms)
    spare = most - value + WORTH_NOISE * math.fsum(map(abs, [*best.tolist(), *terms]))
    return _settled(program, tasks, best, spare, filling.x, value)


def _settled(
    program: Program, tasks: _Tasks, best: FloatArray, spare: float, x: FloatArray, value: float
) -> Settled:
    n = program.choices
    upper, objective = program.upper.copy(), program.objective.copy()
    # ordinary amounts stay as they are: prices are about them
    drowning = DROWNS * abs(math.fsum(best.tolist()))
    hopeless = (best[tasks.task] - tasks.worth > spare) & (np.abs(tasks.worth) > drowning)
    upper[:n][hopeless] = 0.0
    must = tasks.required | ((best - tasks.leave > spare) & (np.abs(tasks.leave) > drowning))
    row_lower = program.row_lower.copy()
    row_lower[tasks.rows[must]] = 1.0
    # what is left out of the program has no amount in it either
    lacks = np.where(hopeless, 0.0, tasks.worth - best[tasks.task])
    over = np.where(hopeless, 0.0, tasks.worth - tasks.leave[tasks.task])
    objective[:n] = np.where(must[tasks.task], lacks, over)
    offset = math.fsum(np.where(must, best, tasks.leave).tolist())
    shift = np.zeros(len(program.row_upper))
    shift[tasks.rows[must]] = best[must] - np.where(np.isfinite(tasks.leave), tasks.leave, 0.0)[must]
    settled = dataclasses.replace(
        program, objective=objective, offset=offset, upper=upper, row_lower=row_lower
    )
    return Settled(settled, shift, x, value)


def _read(program: Program) -> _Tasks | None:
    """What each task can earn, in the amounts of the round; ``None`` where the objective says more."""
    limits, teams, n = program.limits, program.teams, program.choices
    instance = getattr(limits, "instance", None)
    if instance is None or teams is None or program.loads or program.mean_risk is not None:
        return None
    rows = limits.of_kind(LimitKind.TASK)
    part = program.matrix[rows][:, :n]
    if not n or np.any(program.objective[n:] != 0.0) or part.nnz != n:
        return None
    task = np.empty(n, dtype=np.int64)
    task[part.indices] = np.repeat(np.arange(len(rows)), np.diff(part.indptr))
    cost = instance.tasks.unassigned_cost[limits.owner[rows]]
    worth = team_value(instance, teams)
    size = np.abs(worth) + cost[task]
    as_written = np.all(np.abs(program.objective[:n] - worth - cost[task]) <= SAME * size)
    if not as_written or abs(program.offset + math.fsum(cost.tolist())) > SAME * math.fsum(cost.tolist()):
        return None
    return _Tasks(rows, task, worth, -cost, program.row_lower[rows] == 1.0)
