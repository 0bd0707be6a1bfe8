"""Recognise tasks, knapsacks and linking rows in a program, and scale them.

Every column belongs to at most one task row and to at most one *block*: the rows of one coprocessor (or of
one operator that executes itself). Rows that span blocks, such as stake or the expected loss of the network,
are *linking*: only a multiplier can carry them into the blocks.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from bondwork.problem.instance import NOBODY
from bondwork.problem.limits import LimitKind
from bondwork.program.exact import for_solver
from bondwork.strategies.lagrangian.errors import NotDecomposable

if TYPE_CHECKING:
    from bondwork.arrays import BoolArray, FloatArray, IntArray
    from bondwork.program.program import Program

#: Rows are met when their activity is at most 1 + this in units of their limit: room for what a load drifts
#: by when columns come and go a million times, in the primal and in the bound alike. What a plan really uses
#: is counted exactly before it is taken in (`Session.offer_plan`).
TOLERANCE = 1e-11

#: Values are rounded to multiples of this after scaling, so that a change of currency, which moves only the
#: last bits of a value, cannot change the plan. The bound is widened accordingly (`Shape.rounding`).
GRID = 2.0**-40

_COPROCESSOR_KINDS = (
    LimitKind.CAPACITY,
    LimitKind.COLLATERAL,
    LimitKind.DEADLINE,
    LimitKind.EXPECTED_LOSS_COPROCESSOR,
)


@dataclass(frozen=True, slots=True, eq=False)
class Shape:
    """A program as tasks and blocks, scaled: every row limit is 1, the largest value is 1.

    Columns that can never be chosen are gone. T tasks (columns without a task row get one of their own), B
    blocks (the last one has no rows and holds the columns that are in none), R rows, n columns sorted by
    block.

    Attributes
    ----------
    columns
        Shape (n,). Column of the program behind each column here.
    value
        Shape (n,). Scaled objective; times ``unit`` it is currency.
    unit
        Currency of one unit of ``value``.
    task, block
        Shape (n,).
    task_ptr, task_columns
        Columns of each task (CSR), best value first.
    leave
        Shape (T,). Value of leaving the task: 0, or a penalty larger than any plan's value where it is
        required.
    required
        Shape (T,).
    program_task
        Shape (T,). Task row of the program, -1 for a task that is only a column here.
    block_ptr
        Shape (B+1,). Columns of block b are ``block_ptr[b]:block_ptr[b+1]``.
    row_ptr
        Rows of each block: ``row_ptr[b]:row_ptr[b+1]``, the first ``row_ptr[B]`` of the R rows; the rest are
        linking.
    dense_ptr, dense
        Weights of a block's columns in its own rows, column-major by item: item i of block b has its weights
        at ``dense[dense_ptr[b] + i * rows(b):]``.
    entry_ptr, entry_row, entry_value
        All weights of each column, block rows and linking rows alike (CSC).
    program_row, row_scale
        Shape (R,). Row of the program, and its limit; -1 and 1 for rows that the program does not have.
    rounding
        Scaled. How far rounding to the grid can have moved the value of any plan.
    infeasible
        Why no plan exists, where that shows at once.
    """

    columns: IntArray
    value: FloatArray
    unit: float
    task: IntArray
    block: IntArray
    task_ptr: IntArray
    task_columns: IntArray
    leave: FloatArray
    required: BoolArray
    program_task: IntArray
    block_ptr: IntArray
    row_ptr: IntArray
    dense_ptr: IntArray
    dense: FloatArray
    entry_ptr: IntArray
    entry_row: IntArray
    entry_value: FloatArray
    program_row: IntArray
    row_scale: FloatArray
    rounding: float
    infeasible: str = ""

    @property
    def tasks(self) -> int:
        """Number of tasks T."""
        return len(self.leave)

    @property
    def blocks(self) -> int:
        """Number of blocks B, the one without rows included."""
        return len(self.block_ptr) - 1

    @property
    def rows(self) -> int:
        """Number of rows R that are not task rows."""
        return len(self.program_row)

    @property
    def block_row_count(self) -> int:
        """Number of rows that belong to a block; linking rows come after them."""
        return int(self.row_ptr[-1])


def recognise(program: Program) -> Shape:
    """Read ``program`` as tasks and blocks, with rows as wide as what is exactly allowed.

    Raises
    ------
    NotDecomposable
        Where a row or a column does not fit.
    """
    _check_columns(program)
    program = for_solver(program)
    matrix = program.matrix.tocsc()
    kind = _kinds(program)
    is_task = kind == int(LimitKind.TASK)
    task_row, required_row = _task_of_columns(program, is_task)

    limited = ~is_task & np.isfinite(program.row_upper)
    _check_rows(program, ~is_task)
    entry_column = np.repeat(np.arange(matrix.shape[1]), np.diff(matrix.indptr))
    live = limited[matrix.indices] & (matrix.data != 0)
    row, column, weight = matrix.indices[live].astype(np.int64), entry_column[live], matrix.data[live]

    upper = program.row_upper
    reason = ""
    if (upper[limited] < 0).any():
        reason = f"row {np.flatnonzero(limited & (upper < 0))[0]} has a limit below zero"
    elif (required_row & (np.diff(program.matrix.indptr) == 0)).any():
        reason = "a required task has no offer"
    keep = _choosable(program, row, column, weight, task_row, required_row)
    needed = np.flatnonzero(required_row)
    if not reason and not np.isin(needed, task_row[keep]).all():
        reason = "a required task has no offer that fits by itself"
    return _arrange(program, keep, (row, column, weight), task_row, required_row, reason)


def check_auxiliaries(program: Program) -> None:
    """Refuse what stands beside choices and limits and is no row of a tail limit: it would be lost here.

    Raises
    ------
    NotDecomposable
        Where auxiliary columns are earned by, or nothing says what further rows and columns are for.
    """
    _check_objective(program)
    choices = program.choices
    if program.objective[choices:].any():
        raise NotDecomposable("its objective has auxiliary columns")
    more = len(program.objective) > choices or not program.rows_of_choices.all()
    if more and len(program.lazy) == len(program.measures):
        raise NotDecomposable("it has rows or columns that are neither choices nor limits")


def _kinds(program: Program) -> IntArray:
    """Kind of each row; -1 for rows of the formulation's own, which link blocks."""
    kind = np.full(len(program.row_upper), -1, dtype=np.int64)
    kind[: len(program.limits)] = program.limits.kind
    return kind


def _check_objective(program: Program) -> None:
    if program.mean_risk is not None:
        raise NotDecomposable("it has a mean-risk objective")
    if program.loads:
        raise NotDecomposable("it has load incentives in its objective")


def _check_columns(program: Program) -> None:
    _check_objective(program)
    for measure in program.measures:
        if not measure.convex:
            raise NotDecomposable(f"{measure.label} is not convex")
    if not program.integer.all():
        raise NotDecomposable("some columns are continuous")
    if (program.lower != 0).any() or not np.isin(program.upper, (0.0, 1.0)).all():
        raise NotDecomposable("some columns are not binary")
    if not np.isfinite(program.objective).all():
        raise NotDecomposable("the objective is not finite")


def _task_of_columns(program: Program, is_task: BoolArray) -> tuple[IntArray, BoolArray]:
    """Task row of each column (-1 where none), and which rows are tasks that must be done."""
    rows = np.flatnonzero(is_task)
    lower, upper = program.row_lower[rows], program.row_upper[rows]
    if (upper != 1).any() or not ((lower <= 0) | (lower == 1)).all():
        raise NotDecomposable("a task row allows more than one executor")
    part = program.matrix[rows]
    if (part.data != 1).any():
        raise NotDecomposable("a task row has a coefficient other than 1")
    task_row = np.full(program.matrix.shape[1], -1, dtype=np.int64)
    if len(np.unique(part.indices)) != len(part.indices):
        raise NotDecomposable("a column is in two task rows")
    task_row[part.indices] = rows[np.repeat(np.arange(len(rows)), np.diff(part.indptr))]
    required = np.zeros(len(is_task), dtype=bool)
    required[rows] = lower == 1
    return task_row, required


def _check_rows(program: Program, others: BoolArray) -> None:
    rows = np.flatnonzero(others)
    part = program.matrix[rows]
    if (part.data < 0).any() or not np.isfinite(part.data).all():
        raise NotDecomposable("a limit has a negative or infinite coefficient")
    if (program.row_lower[rows] > 0).any():
        raise NotDecomposable("a limit other than a task has a lower bound")


def _choosable(
    program: Program,
    row: IntArray,
    column: IntArray,
    weight: FloatArray,
    task_row: IntArray,
    required_row: BoolArray,
) -> BoolArray:
    """Columns that fit by themselves and that an optimal plan may need."""
    keep: BoolArray = program.upper == 1
    limit = program.row_upper[row]
    keep[column[weight > limit + TOLERANCE * np.abs(limit)]] = False
    required = (task_row >= 0) & required_row[task_row]
    keep &= required | (program.objective > 0)
    return keep


def _holders(program: Program, row: IntArray, column: IntArray) -> IntArray:
    """Block of each row by what it limits: coprocessors first, then operators; -1 for linking rows.

    An operator's own capacity becomes linking where its columns are in a coprocessor's rows as well.
    """
    kind = _kinds(program)
    owner = np.append(program.limits.owner, np.full(len(kind) - len(program.limits), NOBODY))
    holder = np.full(len(kind), -1, dtype=np.int64)
    coprocessor = np.isin(kind, [int(k) for k in _COPROCESSOR_KINDS])
    holder[coprocessor] = owner[coprocessor]
    taken = np.zeros(program.matrix.shape[1], dtype=bool)
    taken[column[coprocessor[row]]] = True
    own = kind == int(LimitKind.OPERATOR_CAPACITY)
    own[row[taken[column] & own[row]]] = False
    holder[own] = owner[own] + (owner[coprocessor].max() + 1 if coprocessor.any() else 0)
    first = np.full(program.matrix.shape[1], -1, dtype=np.int64)
    mine = holder[row] >= 0
    first[column[mine]] = holder[row[mine]]
    if (first[column[mine]] != holder[row[mine]]).any():
        raise NotDecomposable("a column uses the capacity of two coprocessors")
    return holder


def _arrange(
    program: Program,
    keep: BoolArray,
    entries: tuple[IntArray, IntArray, FloatArray],
    task_row: IntArray,
    required_row: BoolArray,
    reason: str,
) -> Shape:
    """Number tasks, blocks, rows and columns anew and lay the weights out for the kernels."""
    row, column, weight = entries
    live = keep[column] & (program.row_upper[row] > 0)
    row, column, weight = row[live], column[live], weight[live]
    weight = weight / program.row_upper[row]

    holder = _holders(program, row, column)
    used = np.unique(row)
    own, linking = used[holder[used] >= 0], used[holder[used] < 0]
    own = own[np.argsort(holder[own], kind="stable")]
    blocks, block_of_own = np.unique(holder[own], return_inverse=True)
    program_row = np.concatenate([own, linking]).astype(np.int64)
    new_row = np.full(program.matrix.shape[0], -1, dtype=np.int64)
    new_row[program_row] = np.arange(len(program_row))
    count = len(blocks) + 1
    row_ptr = np.zeros(count + 1, dtype=np.int64)
    row_ptr[1:] = np.cumsum(np.bincount(block_of_own, minlength=count))

    block_of_column = np.full(program.matrix.shape[1], count - 1, dtype=np.int64)
    mine = holder[row] >= 0
    block_of_column[column[mine]] = np.searchsorted(blocks, holder[row[mine]])
    kept = np.flatnonzero(keep)
    kept = kept[np.lexsort((kept, block_of_column[kept]))]
    block = block_of_column[kept]
    block_ptr = np.searchsorted(block, np.arange(count + 1)).astype(np.int64)

    task, program_task = _number_tasks(task_row[kept], required_row)
    value, unit, rounding = _scaled(program, kept, len(program_task))
    required = np.zeros(len(program_task), dtype=bool)
    required[program_task >= 0] = required_row[program_task[program_task >= 0]]
    # Any plan is worth at most the number of tasks either way: leaving a required task is worse than all of
    # that.
    leave = np.where(required, -4.0 * (1.0 + _spread(value, task, required)), 0.0)

    order = np.lexsort((-value, task))
    task_ptr = np.searchsorted(task[order], np.arange(len(program_task) + 1)).astype(np.int64)

    new_column = np.full(program.matrix.shape[1], -1, dtype=np.int64)
    new_column[kept] = np.arange(len(kept))
    column, row = new_column[column], new_row[row]
    by_column = np.lexsort((row, column))
    column, row, weight = column[by_column], row[by_column], weight[by_column]
    entry_ptr = np.searchsorted(column, np.arange(len(kept) + 1)).astype(np.int64)

    width = np.diff(row_ptr)
    dense_ptr = np.concatenate([[0], np.cumsum(width * np.diff(block_ptr))]).astype(np.int64)
    dense = np.zeros(dense_ptr[-1])
    mine = row < row_ptr[-1]
    b = block[column[mine]]
    dense[dense_ptr[b] + (column[mine] - block_ptr[b]) * width[b] + row[mine] - row_ptr[b]] = weight[mine]
    return Shape(
        columns=kept,
        value=value,
        unit=unit,
        task=task,
        block=block,
        task_ptr=task_ptr,
        task_columns=order.astype(np.int64),
        leave=leave,
        required=required,
        program_task=program_task,
        block_ptr=block_ptr,
        row_ptr=row_ptr,
        dense_ptr=dense_ptr,
        dense=dense,
        entry_ptr=entry_ptr,
        entry_row=row,
        entry_value=weight,
        program_row=program_row,
        row_scale=program.row_upper[program_row].astype(np.float64),
        rounding=rounding,
        infeasible=reason,
    )


def with_linking_rows(shape: Shape, supports: list[IntArray]) -> tuple[Shape, list[IntArray]]:
    """Return the shape with further linking rows, and where the weights of each are in its entries.

    Row i is about the columns ``supports[i]``, whose weights are 0 so far.
    """
    column = np.concatenate(
        [np.repeat(np.arange(len(shape.value)), np.diff(shape.entry_ptr)), *supports]
    ).astype(np.int64)
    rows = [np.full(len(support), shape.rows + i) for i, support in enumerate(supports)]
    row = np.concatenate([shape.entry_row, *rows]).astype(np.int64)
    value = np.concatenate([shape.entry_value, np.zeros(len(row) - len(shape.entry_value))])
    order = np.lexsort((row, column))
    place = np.empty(len(order), dtype=np.int64)
    place[order] = np.arange(len(order))
    ends = len(shape.entry_value) + np.cumsum([0, *map(len, supports)])
    more = len(supports)
    extended = replace(
        shape,
        entry_ptr=np.searchsorted(column[order], np.arange(len(shape.value) + 1)).astype(np.int64),
        entry_row=row[order],
        entry_value=value[order],
        program_row=np.append(shape.program_row, np.full(more, -1)),
        row_scale=np.append(shape.row_scale, np.ones(more)),
    )
    return extended, [place[a:b] for a, b in pairwise(ends.tolist())]


def typical_prices(shape: Shape) -> FloatArray:
    """Value at stake per unit of each row: a scale for its price. Shape (R,)."""
    worst = np.where(shape.required, np.inf, 0.0)
    np.minimum.at(worst, shape.task, shape.value)
    stake = np.repeat(shape.value - worst[shape.task], np.diff(shape.entry_ptr))
    worth = np.bincount(shape.entry_row, stake, minlength=shape.rows)
    weight = np.bincount(shape.entry_row, np.abs(shape.entry_value), minlength=shape.rows)
    typical: FloatArray = worth / np.maximum(weight, 1e-300)
    return np.where(typical > 0, typical, typical.mean() if len(typical) else 0.0)


def _number_tasks(task_row: IntArray, required_row: BoolArray) -> tuple[IntArray, IntArray]:
    """Tasks of the kept columns; columns without a task row become tasks of their own."""
    rows = np.unique(task_row[task_row >= 0])
    task = np.searchsorted(rows, task_row)
    alone = np.flatnonzero(task_row < 0)
    task[alone] = len(rows) + np.arange(len(alone))
    return task.astype(np.int64), np.concatenate([rows, np.full(len(alone), -1)]).astype(np.int64)


def _scaled(program: Program, kept: IntArray, tasks: int) -> tuple[FloatArray, float, float]:
    objective = program.objective[kept]
    largest = float(np.abs(objective).max(initial=0.0))
    unit = largest if largest > 0 else 1.0
    value = np.round(objective / unit / GRID) * GRID
    return value, unit, tasks * GRID


def _spread(value: FloatArray, task: IntArray, required: BoolArray) -> float:
    """Sum over tasks of the largest absolute value: two plans differ by at most twice this."""
    largest = np.zeros(len(required))
    np.maximum.at(largest, task, np.abs(value))
    return float(largest.sum())
