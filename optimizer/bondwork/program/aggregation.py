"""Tasks that nothing tells apart, decided together: how many of them each way instead of which one which way.

Many equal tasks are what branch and bound is worst at: exchange two of them, and a plan is another plan of
the same worth. Where the columns of some tasks agree in everything but the row "one executor a task", an
aggregated program has one whole column for each *kind* of choice, and one row for how many of the tasks are
done. Both programs have the same solutions, but for which of the equal tasks is which; so an optimum, a
bound, multipliers and infeasibility of the one are those of the other.

Nothing is taken on trust: kinds are told apart by every entry, every row and every bound, rows of risk
measures, load incentives and cuts among them. Choices that a measure without rows counts are left alone.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bondwork.problem.limits import LimitKind
from bondwork.program.matrices import Matrices
from bondwork.solver.solving import solve_program

if TYPE_CHECKING:
    from collections.abc import Callable

    from bondwork.arrays import FloatArray, IntArray
    from bondwork.contracts import Observer, Options
    from bondwork.program.program import Program
    from bondwork.solver.answer import Answer

#: Choices below which branch and bound has no trouble with equal tasks.
LEAST_CHOICES = 50

#: Share of the choices that aggregation must leave out to be worth it.
LEAST_SAVED = 0.5


@dataclass(frozen=True, slots=True, eq=False)
class _Group:
    """K tasks with the same T kinds of choices.

    Attributes
    ----------
    choices
        Shape (K, T). One choice of each task and kind.
    columns
        Shape (T,). The aggregated columns.
    """

    choices: IntArray
    columns: IntArray


@dataclass(frozen=True, slots=True, eq=False)
class Aggregation:
    """A program with equal tasks decided together.

    Attributes
    ----------
    matrices
        The aggregated program.
    column, row
        Shapes (n,), (m,). Column and row of the aggregated program that each of the whole became.
    groups
        Tasks that became one, group by group.
    """

    matrices: Matrices
    column: IntArray
    row: IntArray
    groups: tuple[_Group, ...]

    def reduce(self, x: FloatArray) -> FloatArray:
        """Add up the choices that became one column."""
        total = np.bincount(self.column[: len(x)], x, len(self.matrices.objective))
        return total.astype(np.float64)

    def expand(self, y: FloatArray) -> FloatArray:
        """Hand the choices out, task after task in the order of the input, one kind after the other."""
        spread = np.ones(len(y), dtype=bool)
        for group in self.groups:
            spread[group.columns] = False
        x: FloatArray = np.where(spread[self.column], y[self.column], 0.0)
        for group in self.groups:
            amounts = y[group.columns]
            ends = np.cumsum(amounts)
            task = np.arange(len(group.choices))[:, None]
            share = np.minimum(task + 1.0, ends) - np.maximum(task, ends - amounts)
            x[group.choices] = np.clip(share, 0.0, 1.0)
        return x


def aggregate(program: Program) -> Aggregation | None:
    """Find equal tasks and put them together; ``None`` where too few are equal to be worth it.

    Parameters
    ----------
    program
        Of a round, cuts among its rows or not.
    """
    task_row = _task_rows(program)
    mine = task_row >= 0
    worths = len(np.unique(program.objective[mine]))
    if np.count_nonzero(mine) < LEAST_CHOICES or worths > (1.0 - LEAST_SAVED) * program.choices:
        return None
    kind = _kinds(program, task_row)
    found = _equal_tasks(program, task_row, kind)
    size = np.bincount(task_row[mine], minlength=program.matrix.shape[0])
    saved = sum(int(size[tasks].sum()) - len(kinds) for tasks, kinds in found)
    if saved < LEAST_SAVED * program.choices:
        return None
    return _put_together(program, task_row, kind, found)


def _task_rows(program: Program) -> IntArray:
    """Row "one executor a task" of every choice that may be put together with others; -1 for the rest."""
    matrix, n = program.matrix, program.choices
    row = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
    plain = np.zeros(matrix.shape[0], dtype=bool)
    kinds = program.limits.kind == LimitKind.TASK
    lower, upper = program.row_lower[: len(kinds)], program.row_upper[: len(kinds)]
    plain[: len(kinds)] = kinds & (upper == 1.0) & ((lower == 1.0) | (lower == -np.inf))
    # a row of a task must say no more than how many of its choices are made
    plain[row[(matrix.data != 1.0) | (matrix.indices >= n)]] = False
    found = np.full(len(program.objective), -1)
    mine = plain[row]
    found[matrix.indices[mine]] = row[mine]
    found[np.bincount(matrix.indices[mine], minlength=len(found)) != 1] = -1
    found[~program.integer | (program.lower != 0.0) | (program.upper != 1.0)] = -1
    for number in program.lazy:  # such a measure tells choices apart that rows do not tell apart yet
        found[program.measures[number].loss.columns] = -1
    # a task is put together with others as a whole or not at all
    left_out = np.unique(row[mine & (found[matrix.indices] < 0)])
    found[np.isin(found, left_out)] = -1
    return found


def _kinds(program: Program, task_row: IntArray) -> IntArray:
    """Number of the kind of every choice with a task row: alike in everything else. Shape (n,); -1 else."""
    columns = np.flatnonzero(task_row >= 0)
    matrix = program.matrix.tocsc()
    matrix.sort_indices()
    column = np.repeat(np.arange(matrix.shape[1]), np.diff(matrix.indptr))
    other = (task_row[column] >= 0) & (matrix.indices != task_row[column]) & (matrix.data != 0.0)
    count = np.bincount(column[other], minlength=matrix.shape[1])
    start = np.cumsum(count) - count
    rows, values = matrix.indices[other].astype(np.float64), matrix.data[other]
    kind = np.full(len(task_row), -1)
    known = 0
    for size in np.unique(count[columns]).tolist():
        mine = columns[count[columns] == size]
        at = start[mine, None] + np.arange(size)
        table = np.column_stack([program.objective[mine], rows[at], values[at]])
        _, which = np.unique(table, axis=0, return_inverse=True)
        kind[mine] = known + which.reshape(-1)
        known += int(which.max(initial=-1)) + 1
    return kind


def _equal_tasks(program: Program, task_row: IntArray, kind: IntArray) -> list[tuple[IntArray, IntArray]]:
    """Rows of tasks that offer the same kinds and are required alike, two or more, with those kinds."""
    columns = np.flatnonzero(task_row >= 0)
    pairs = np.unique(np.column_stack([task_row[columns], kind[columns]]), axis=0)
    tasks, start, count = np.unique(pairs[:, 0], return_index=True, return_counts=True)
    required = (program.row_lower[tasks] == 1.0).astype(np.int64)
    found = []
    for size in np.unique(count).tolist():
        mine = np.flatnonzero(count == size)
        table = np.column_stack([required[mine], pairs[start[mine, None] + np.arange(size), 1]])
        alike, which = np.unique(table, axis=0, return_inverse=True)
        order = np.argsort(which.reshape(-1), kind="stable")
        ends = np.cumsum(np.bincount(which.reshape(-1), minlength=len(alike)))
        for kinds, members in zip(alike[:, 1:], np.split(order, ends[:-1]), strict=True):
            if len(members) > 1:
                found.append((tasks[mine[members]], kinds))
    return sorted(found, key=lambda each: int(each[0][0]))


def _put_together(
    program: Program, task_row: IntArray, kind: IntArray, found: list[tuple[IntArray, IntArray]]
) -> Aggregation:
    rows, n = program.matrix.shape
    first_row = np.arange(rows)  # of the rows that become one
    leader = np.arange(n)  # of the choices that become one
    row_upper, row_lower, upper = program.row_upper.copy(), program.row_lower.copy(), program.upper.copy()
    group = np.full(rows, -1)
    for number, (tasks, _) in enumerate(found):
        group[tasks] = number
    grouped = np.where(task_row >= 0, group[task_row], -1)
    order = np.argsort(grouped, kind="stable")
    order = order[np.count_nonzero(grouped < 0) :]
    members = np.split(order, np.cumsum(np.bincount(grouped[order], minlength=len(found)))[:-1])
    choices = []
    for (tasks, kinds), mine in zip(found, members, strict=True):
        first_row[tasks] = tasks[0]
        row_upper[tasks[0]] *= len(tasks)
        row_lower[tasks[0]] *= len(tasks)  # required: all of them; else -inf, as it was
        place = np.searchsorted(tasks, task_row[mine]), np.searchsorted(kinds, kind[mine])
        table = np.full((len(tasks), len(kinds)), n)
        np.minimum.at(table, place, mine)  # of alike choices of one task the first
        leader[mine] = table[0, place[1]]
        upper[table[0]] = float(len(tasks))
        choices.append(table)
    kept_rows, row = np.unique(first_row, return_inverse=True)
    kept, column = np.unique(leader, return_inverse=True)
    matrix = program.matrix[kept_rows][:, kept].tocsr()
    matrix.sort_indices()
    small = Matrices(
        program.objective[kept],
        program.offset,
        matrix,
        row_lower[kept_rows],
        row_upper[kept_rows],
        program.lower[kept],
        upper[kept],
        program.integer[kept],
    )
    groups = tuple(_Group(table, column[table[0]]) for table in choices)
    return Aggregation(small, column, row, groups)


def different_choices(program: Program) -> int:
    """How many choices are left where equal tasks are decided together."""
    found = aggregate(program)
    if found is None:
        return program.choices
    return len(np.unique(found.column[: program.choices]))


def solve_choices(
    program: Program,
    options: Options,
    observer: Observer,
    *,
    relaxed: bool = False,
    start: FloatArray | None = None,
    phase: str = "",
    worth: Callable[[FloatArray], float | None] | None = None,
) -> Answer:
    """Solve the program of a round with HiGHS, equal tasks together; see `bondwork.solver.solving`."""
    found = aggregate(program)
    if found is None:
        return solve_program(
            program, options, observer, relaxed=relaxed, start=start, phase=phase, worth=worth
        )

    def told(y: FloatArray) -> float | None:
        assert worth is not None
        return worth(found.expand(y))

    answer = solve_program(
        found.matrices,
        options,
        observer,
        relaxed=relaxed,
        start=None if start is None else _whole_start(found, start),
        phase=phase,
        worth=None if worth is None else told,
    )
    x = None if answer.x is None else found.expand(answer.x)
    duals = None if answer.row_duals is None else answer.row_duals[found.row]
    return dataclasses.replace(answer, x=x, row_duals=duals)


def _whole_start(found: Aggregation, start: FloatArray) -> FloatArray:
    """A start in the aggregated columns, as far as they are choices."""
    ends = int(found.column[: len(start)].max(initial=-1)) + 1
    return found.reduce(start)[:ends]
