"""Taking choices one by one while they fit: the core of greedy rules, roundings and last touches."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from bondwork.arrays import BoolArray, FloatArray, IntArray
    from bondwork.program.program import Program

#: A row counts as full when it would exceed its bound by more than this share of the bound's and the
#: coefficient's size: decimals that add up exactly on paper need not do so in binary.
ROOM_TOLERANCE = 1e-12


class Filling:
    """A point of a binary program to which single choices are added while every upper bound holds.

    Parameters
    ----------
    program
        Whole columns between 0 and 1; rows with upper bounds, and lower bounds only where all coefficients
        are non-negative.
    x
        Shape (n,). Where to start; default: nothing chosen.
    """

    def __init__(self, program: Program, x: FloatArray | None = None) -> None:
        self.program = program
        self.x = np.zeros(program.matrix.shape[1]) if x is None else x.copy()
        self._columns = program.matrix.tocsc()
        self.activity = program.matrix @ self.x
        self._slack = ROOM_TOLERANCE * np.abs(program.row_upper)

    def rows_without_room(self, column: int) -> IntArray:
        """Rows that choosing ``column`` would break."""
        start, end = self._columns.indptr[column], self._columns.indptr[column + 1]
        rows, values = self._columns.indices[start:end], self._columns.data[start:end]
        after = self.activity[rows] + values
        full: IntArray = rows[(after > self.program.row_upper[rows] + self._slack[rows]) & (values > 0.0)]
        return full

    def add(self, column: int) -> bool:
        """Choose ``column`` if it fits; say whether it did."""
        if self.x[column] >= self.program.upper[column] or len(self.rows_without_room(column)):
            return False
        start, end = self._columns.indptr[column], self._columns.indptr[column + 1]
        self.activity[self._columns.indices[start:end]] += self._columns.data[start:end]
        self.x[column] = 1.0
        return True

    def add_all(self, order: IntArray) -> None:
        """Choose columns in the given order, each if it fits.

        Tasks, whose rows allow one choice, decide most columns: those are skipped without looking further.
        """
        first_row = _first_unit_row(self.program)
        upper = self.program.row_upper
        for column in order.tolist():
            row = first_row[column]
            if row >= 0 and self.activity[row] >= upper[row]:
                continue
            self.add(column)

    def is_complete(self) -> bool:
        """Whether this is a plan: every required task has its executor, and nothing was exceeded beforehand."""
        lower = self.program.row_lower
        enough = self.activity >= lower - ROOM_TOLERANCE * np.maximum(1.0, np.abs(lower))
        return bool(np.all(enough & (self.activity <= self.program.row_upper + self._slack)))


def serves_required_row(program: Program) -> BoolArray:
    """Whether each column counts towards a row that must reach a lower bound, such as a required task's."""
    matrix = program.matrix
    rows = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
    serves = np.zeros(matrix.shape[1], dtype=bool)
    serves[matrix.indices[program.row_lower[rows] > 0.0]] = True
    return serves


def fill_greedily(program: Program) -> Filling:
    """Take choices by net reward: first those that required rows need, then all that earn something."""
    filling = Filling(program)
    by_reward = np.argsort(-program.objective, kind="stable")
    filling.add_all(by_reward[serves_required_row(program)[by_reward]])
    filling.add_all(by_reward[program.objective[by_reward] > 0.0])
    return filling


def fill_up(program: Program, x: FloatArray) -> FloatArray:
    """Add to a feasible point whatever still earns something and fits, best first.

    A point that stopped short of optimal may leave such choices; a plan that says ``no_room`` may not.
    """
    filling = Filling(program, x)
    gainful = np.flatnonzero((program.objective > 0.0) & (x < program.upper))
    filling.add_all(gainful[np.argsort(-program.objective[gainful], kind="stable")])
    return filling.x


def _first_unit_row(program: Program) -> list[int]:
    """One row for each column that alone can show it to be barred: a row of ones with the upper bound 1."""
    matrix = program.matrix
    rows = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
    unit = (matrix.data == 1.0) & (program.row_upper[rows] == 1.0)
    first = np.full(matrix.shape[1], -1)
    first[matrix.indices[unit][::-1]] = rows[unit][::-1]
    return [int(row) for row in first]
