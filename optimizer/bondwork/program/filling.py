"""Taking choices one by one while they fit: the core of greedy rules, roundings and last touches."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bondwork.base.tolerances import ROW
from bondwork.program.exact import DOUBT, ExactRows
from bondwork.risk.running import RunningMeasure, running_measures

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bondwork.arrays import BoolArray, FloatArray, IntArray
    from bondwork.program.program import Program


class Filling:
    """A point of a binary program to which single choices are added while every row holds, exactly.

    Parameters
    ----------
    program
        Whole choices between 0 and 1; limits with upper bounds, and lower bounds only where all coefficients
        are non-negative. Tail limits are followed on their scenarios; auxiliary columns are left out.
    x
        Shape (choices,). Where to start; default: nothing chosen.
    """

    def __init__(self, program: Program, x: FloatArray | None = None) -> None:
        self.program = program = program.without_auxiliaries()
        self.x = np.zeros(program.matrix.shape[1]) if x is None else x.copy()
        self.measures = running_measures(program.measures, self.x)
        self.risk = None if program.mean_risk is None else RunningMeasure(program.mean_risk[1], self.x)
        self._load_of_row = {term.row: term for term in program.loads}
        self._columns = program.matrix.tocsc()
        self._rows: IntArray = self._columns.indices.astype(np.int64)
        self.activity = program.matrix @ self.x
        self._exact = ExactRows(program)
        # below this a sum of doubles surely fits
        self._roomy = self._exact.limit - self._exact.doubt - DOUBT * np.abs(self.activity)
        self._lowers = bool(np.any(program.matrix.data < 0.0))
        self._units: dict[int, int] = {}

    def rows_without_room(self, column: int) -> IntArray:
        """Rows that choosing ``column`` would break."""
        start, end = self._columns.indptr[column], self._columns.indptr[column + 1]
        rows: IntArray = self._rows[start:end]
        full: IntArray = rows[self._is_full(rows, self._columns.data[start:end], [column] * len(rows))]
        return full

    def rows_without_room_of(self, columns: IntArray) -> list[list[int]]:
        """Rows that choosing each of some columns, by itself, would break; in one look at all of them."""
        found: list[list[int]] = [[] for _ in range(len(columns))]
        count = np.diff(self._columns.indptr)[columns]
        owner = np.repeat(np.arange(len(columns)), count)
        entries = np.arange(len(owner)) + np.repeat(
            self._columns.indptr[columns] - np.cumsum(count) + count, count
        )
        rows: IntArray = self._rows[entries]
        full = self._is_full(rows, self._columns.data[entries], columns[owner])
        for number, row in zip(owner[full].tolist(), rows[full].tolist(), strict=True):
            found[number].append(row)
        return found

    def _is_full(self, rows: IntArray, values: FloatArray, columns: Sequence[int] | IntArray) -> BoolArray:
        """Which rows have no room for a coefficient of a column each: doubles decide wherever they can."""
        after = self.activity[rows] + values
        full: BoolArray = (after > self._roomy[rows]) & (values > 0.0)
        for k in np.flatnonzero(full).tolist() if full.any() else ():
            full[k] = not self._has_room(int(rows[k]), int(columns[k]), float(after[k]))
        if self._lowers:
            lower = self.program.row_lower[rows]
            full |= (values < 0.0) & (after < lower - ROW * np.abs(lower))
        return full

    def _has_room(self, row: int, column: int, after: float) -> bool:
        """Whether a row that doubles take for nearly full, or more, has room for one more choice."""
        exact = self._exact
        if after > exact.limit[row] + exact.doubt[row] + DOUBT * abs(after):
            return False
        if not exact.is_money[row]:
            return exact.holds(row, np.append(exact.chosen(row, self.x), column))
        if row not in self._units:
            self._units[row] = sum(exact.units(row, exact.chosen(row, self.x)))
        return self._units[row] + exact.units(row, [column])[0] <= exact.room(row)

    def may_fit(self) -> BoolArray:
        """Which choices no row surely bars, in one look at all of them. Shape (choices,)."""
        matrix, exact = self.program.matrix, self._exact
        rows = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
        after = self.activity[rows] + matrix.data
        full = after > exact.limit[rows] + exact.doubt[rows] + DOUBT * np.abs(after)
        fits: BoolArray = np.ones(matrix.shape[1], dtype=bool)
        fits[matrix.indices[full & (matrix.data > 0.0)]] = False
        return fits

    def measures_without_room(self, column: int) -> list[str]:
        """Labels of the tail limits that choosing ``column`` would break."""
        return [each.measure.label for each in self.measures if not each.fits(column)]

    def would_gain(self, column: int) -> bool:
        """Whether choosing ``column`` earns something, its part in loads and in the price of risk counted."""
        gain = float(self.program.objective[column])
        if self._load_of_row:
            gain += self.load_gain(column)
        if self.program.mean_risk is not None and self.risk is not None:
            gain -= self.program.mean_risk[0] * self.risk.rise(column)
        return gain > 0.0

    def load_gain(self, column: int) -> float:
        """What choosing ``column`` changes in the load incentives, in currency."""
        return sum(after - before for before, after in self.load_moves(column))

    def load_moves(self, column: int) -> Iterator[tuple[float, float]]:
        """Load incentives that choosing ``column`` changes: before and after, in currency."""
        if not self._load_of_row:
            return
        start, end = self._columns.indptr[column], self._columns.indptr[column + 1]
        for row, work in zip(
            self._columns.indices[start:end].tolist(), self._columns.data[start:end].tolist(), strict=True
        ):
            term = self._load_of_row.get(row)
            if term is not None:
                yield term.move(float(self.activity[row]), work)

    def add(self, column: int) -> bool:
        """Choose ``column`` if it fits; say whether it did."""
        if self.x[column] >= self.program.upper[column] or len(self.rows_without_room(column)):
            return False
        if not all(each.fits(column) for each in self.measures):
            return False
        for each in self.measures:
            each.add(column)
        if self.risk is not None:
            self.risk.add(column)
        start, end = self._columns.indptr[column], self._columns.indptr[column + 1]
        rows = self._columns.indices[start:end]
        self.activity[rows] += self._columns.data[start:end]
        for row in self._units.keys() & set(rows.tolist()) if self._units else ():
            self._units[row] += self._exact.units(row, [column])[0]
        self.x[column] = 1.0
        return True

    def add_all(self, order: IntArray, *, needed: bool = False) -> None:
        """Choose columns in the given order, each if it fits and, where not ``needed``, earns something.

        Tasks, whose rows allow one choice, decide most columns: those are skipped without looking further.
        Where loads have incentives, what earned nothing at first may do so once others are chosen: the order
        is walked again until nothing is added.
        """
        first_row = _first_unit_row(self.program)
        upper = self.program.row_upper
        always = needed or (self.risk is None and not self._load_of_row)
        left = order.tolist()
        while left:
            waiting, added = [], False
            for column in left:
                row = first_row[column]
                if row >= 0 and self.activity[row] >= upper[row]:
                    continue
                if always or self.would_gain(column):
                    added = self.add(column) or added
                else:
                    waiting.append(column)
            left = waiting if added and self._load_of_row else []

    def is_complete(self) -> bool:
        """Whether this is a plan: required tasks have executors, and nothing was exceeded beforehand."""
        return not len(self._exact.broken(self.x)) and all(each.holds() for each in self.measures)


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
    core = filling.program
    by_reward = np.argsort(-core.objective, kind="stable")
    filling.add_all(by_reward[serves_required_row(core)[by_reward]], needed=True)
    filling.add_all(_gainful(core, core.objective))
    return filling


def fill_up(program: Program, x: FloatArray) -> FloatArray:
    """Add to a feasible point whatever still earns something and fits, best first.

    A point that stopped short of optimal may leave such choices; a plan that says ``no_room`` may not.
    """
    filling = Filling(program, x)
    filling.add_all(_gainful(filling.program, filling.program.objective))
    return filling.x


def repair(program: Program, x: FloatArray, price: FloatArray) -> Filling:
    """Choose again, from nothing, what a point had chosen, best first, and then whatever else fits.

    Parameters
    ----------
    program
        The program, some of whose tail limits the point may break.
    x
        Shape (choices,). The point.
    price
        Shape (choices,). What each choice costs in the limits at stake; it decides who comes first.
    """
    filling = Filling(program)
    core = filling.program
    worth = core.objective - price
    wanted = np.flatnonzero(x > 0.5)
    wanted = wanted[np.argsort(-worth[wanted], kind="stable")]
    needed = serves_required_row(core)
    filling.add_all(wanted[needed[wanted]], needed=True)
    by_worth = np.argsort(-worth, kind="stable")
    filling.add_all(by_worth[needed[by_worth]], needed=True)
    filling.add_all(wanted)
    filling.add_all(_gainful(core, worth))
    return filling


def could_gain(program: Program) -> BoolArray:
    """Whether each choice may earn something: by itself, or by the load incentives that it moves."""
    gainful: BoolArray = program.objective[: program.choices] > 0.0
    for term in program.loads:
        row = slice(program.matrix.indptr[term.row], program.matrix.indptr[term.row + 1])
        gainful[program.matrix.indices[row]] = True
    return gainful


def _gainful(program: Program, worth: FloatArray) -> IntArray:
    """Choices that may earn something, in descending order of ``worth``."""
    gainful = np.flatnonzero(could_gain(program))
    best: IntArray = gainful[np.argsort(-worth[gainful], kind="stable")]
    return best


def _first_unit_row(program: Program) -> list[int]:
    """One row for each column that alone can show it to be barred: a row of ones with the upper bound 1."""
    matrix = program.matrix
    rows = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
    unit = (matrix.data == 1.0) & (program.row_upper[rows] == 1.0)
    first = np.full(matrix.shape[1], -1)
    first[matrix.indices[unit][::-1]] = rows[unit][::-1]
    return [int(row) for row in first]
