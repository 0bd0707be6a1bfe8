"""What the rows of a round say of whole choices, exactly: money to the last unit, all else to one tolerance.

Doubles decide wherever they can; where a sum comes too near to its bound for them, whole numbers (money) or
correctly rounded sums (all else) do. So a heuristic never hands out what the recount refuses, and never
refuses what it allows.
"""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING

import numpy as np

from bondwork.base.money import all_in_units, amount_of, in_units
from bondwork.base.tolerances import ROW
from bondwork.problem.instance import NOBODY
from bondwork.problem.limits import LimitKind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bondwork.arrays import BoolArray, FloatArray, IntArray
    from bondwork.program.program import Program

#: Share of a row's size within which a sum of doubles is too near to its bound to tell: a million additions
#: lose less.
DOUBT = 1e-10

#: Share of a money row's size, and of that of any row of a later period, by which what a solver sees of it is
#: wider.
HAIR = 1e-12

#: Bits of the whole numbers that stand for the coefficients of a row that is no money.
BITS = 44


class ExactRows:
    """The rows of a program of whole choices: which of them a choice breaks.

    Parameters
    ----------
    program
        Choices, limits and rows of the formulation's own; see `Program.without_auxiliaries`.

    Attributes
    ----------
    limit
        Shape (m,). What doubles compare with: the bound and what a row may be exceeded by.
    doubt
        Shape (m,). How near to it they cannot tell.
    """

    def __init__(self, program: Program) -> None:
        self.program = program
        limits, rows = program.limits, len(program.row_upper)
        instance = getattr(limits, "instance", None)
        self._decimals = 18 if instance is None else instance.decimals
        kind = np.full(rows, -1)
        kind[: len(limits)] = limits.kind
        self.is_task: BoolArray = kind == LimitKind.TASK
        self.is_money: BoolArray = np.isin(kind, (LimitKind.COLLATERAL, LimitKind.STAKE))
        self._bound, self._committed = program.row_upper.copy(), np.zeros(rows)
        self._as_stated = np.zeros(rows, dtype=bool)
        budget_of = self._bound.copy()
        if instance is not None:
            # a bound that somebody has changed since speaks for itself
            mine = np.flatnonzero(program.row_upper[: len(limits)] == limits.upper)
            self._as_stated[mine] = True
            budget_of[mine], self._committed[mine] = limits.budget[mine], limits.committed[mine]
            self._bound[mine] = np.maximum(limits.budget[mine], limits.committed[mine])
        size = np.where(np.isfinite(self._bound), np.abs(self._bound), 0.0)
        # one executor is one; and where commitments exceed a limit, nothing more is nothing more
        self._exceeded: BoolArray = self._committed - budget_of > ROW * size
        self._exceeded[len(limits) :] = False  # rows of one's own may have any bound, and no commitments
        strict = self.is_money | self.is_task | self._exceeded
        slack = np.where(strict, 0.0, ROW * size)
        self.limit: FloatArray = program.row_upper + slack
        unit = 10.0**-self._decimals
        entries = np.diff(program.matrix.indptr)
        self.doubt: FloatArray = DOUBT * size + np.where(self.is_money, unit * (entries + 2), 1e-2 * slack)
        self._room: dict[int, int] = {}

    def broken(self, x: FloatArray) -> IntArray:
        """Rows that a whole point breaks, lower bounds included."""
        program = self.program
        activity = program.matrix @ x
        over = activity - self.limit
        near = over > -self.doubt - DOUBT * np.abs(activity)
        rows: list[int] = [
            row for row in np.flatnonzero(near).tolist() if not self.holds(row, self.chosen(row, x))
        ]
        lower = program.row_lower
        margin = ROW * np.maximum(np.abs(lower), 1e-300)
        with np.errstate(invalid="ignore"):
            rows += np.flatnonzero(activity < lower - np.where(np.isfinite(lower), margin, 0.0)).tolist()
        return np.unique(np.array(rows, dtype=np.int64))

    def chosen(self, row: int, x: FloatArray) -> IntArray:
        """Columns of a row that a whole point chooses."""
        matrix = self.program.matrix
        columns = matrix.indices[matrix.indptr[row] : matrix.indptr[row + 1]]
        found: IntArray = columns[x[columns] > 0.5].astype(np.int64)
        return found

    def holds(self, row: int, columns: IntArray | Sequence[int]) -> bool:
        """Whether a row's upper bound holds where these of its columns are chosen."""
        if not math.isfinite(self.program.row_upper[row]):
            return True
        if self.is_money[row]:
            return sum(self.units(row, columns)) <= self.room(row)
        terms = self._coefficients(row, columns).tolist()
        if self._exceeded[row]:
            return math.fsum(terms) <= 0.0
        bound, committed = float(self._bound[row]), float(self._committed[row])
        size = max(abs(bound), max(map(abs, terms), default=0.0))
        return math.fsum([committed, *terms, -bound]) <= ROW * size

    def least_given_up(self, row: int, x: FloatArray, columns: IntArray, worth: FloatArray) -> IntArray:
        """Which of some chosen columns to give up so that a row holds: one that suffices, or a few.

        Returns positions in ``columns``; none where giving all of them up would not do.
        """
        chosen = self.chosen(row, x)
        mine = np.flatnonzero(np.isin(columns, chosen))
        use = self._coefficients(row, columns[mine])
        mine = mine[use > 0.0]
        use = use[use > 0.0]
        if not len(mine) or not self.holds(row, np.setdiff1d(chosen, columns[mine])):
            return mine[:0]
        by_worth = mine[np.argsort(worth[mine], kind="stable")].tolist()
        single = next((k for k in by_worth if self.holds(row, np.setdiff1d(chosen, [columns[k]]))), None)
        cheap = mine[np.argsort(worth[mine] / use, kind="stable")]
        few = 1
        while not self.holds(row, np.setdiff1d(chosen, columns[cheap[:few]])):
            few = min(2 * few, len(cheap))
        if single is not None and worth[single] <= worth[cheap[:few]].sum():
            return np.array([single])
        return cheap[:few]

    def room(self, row: int) -> int:
        """What commitments leave of a money row, in units."""
        if row not in self._room:
            if not self._as_stated[row]:
                self._room[row] = in_units(float(self.program.row_upper[row]), self._decimals)
            else:
                budget = float(self.program.limits.budget[row])
                left = in_units(budget, self._decimals) - self._held(row)
                self._room[row] = max(left, 0)
        return self._room[row]

    def units(self, row: int, columns: IntArray | Sequence[int]) -> list[int]:
        """Coefficients of columns of a money row, in units."""
        teams = self.program.teams
        if teams is None or teams.is_single:
            return all_in_units(self._coefficients(row, columns), self._decimals)
        return [self._team_units(row, column) for column in np.asarray(columns).tolist()]

    def whole(self, row: int) -> tuple[IntArray, list[int], int]:
        """A row in whole numbers: its columns that may be chosen, their coefficients, and the bound.

        Of a money row exactly; of any other no tighter than it is.
        """
        matrix, program = self.program.matrix, self.program
        columns = matrix.indices[matrix.indptr[row] : matrix.indptr[row + 1]].astype(np.int64)
        columns = columns[(program.upper[columns] > 0.0) & (self._coefficients(row, columns) != 0.0)]
        if self.is_money[row]:
            return columns, self.units(row, columns), self.room(row)
        values = self._coefficients(row, columns)
        largest = max(float(np.abs(values).max(initial=0.0)), abs(float(self.limit[row])))
        unit = math.ldexp(1.0, math.frexp(largest)[1] - BITS)
        limit = float(self.limit[row]) + DOUBT * ROW * largest
        return columns, [math.floor(value / unit) for value in values.tolist()], math.floor(limit / unit)

    def amount(self, units: int) -> float:
        """Units as an amount."""
        return amount_of(units, self._decimals)

    def _coefficients(self, row: int, columns: IntArray | Sequence[int]) -> FloatArray:
        matrix = self.program.matrix
        span = slice(matrix.indptr[row], matrix.indptr[row + 1])
        found: FloatArray = matrix.data[span][np.searchsorted(matrix.indices[span], np.asarray(columns, int))]
        return found

    def _held(self, row: int) -> int:
        """What commitments take of a money row, in units; their collateral is off the row already."""
        limits = self.program.limits
        if limits.kind[row] != LimitKind.STAKE:
            return 0
        claims = limits.instance.claims
        held = np.unique(limits.instance.commitments.claim)
        mine = held[claims.operator[held] == limits.owner[row]]
        return sum(all_in_units(claims.slashing[mine], self._decimals))

    def _team_units(self, row: int, column: int) -> int:
        limits, teams = self.program.limits, self.program.teams
        if limits.kind[row] == LimitKind.STAKE or teams is None:  # a task is slashed once
            return self._alone(row, column)
        members = teams.member[teams.start[column] : teams.start[column + 1]]
        offers = limits.instance.offers
        mine = members[offers.coprocessor[members] == limits.owner[row]]
        return (
            sum(all_in_units(offers.collateral[mine], self._decimals)) if limits.owner[row] != NOBODY else 0
        )

    def _alone(self, row: int, column: int) -> int:
        return in_units(float(self._coefficients(row, [column])[0]), self._decimals)


def for_solver(program: Program) -> Program:
    """Return a program as a solver should see it: rows as wide as what is exactly allowed, and a hair wider.

    A choice that breaks a row by itself is out. What a solver then lets pass within its own tolerance is cut
    off by `bondwork.program.cutting.CuttingPlanes`.
    """
    core = program.without_auxiliaries()
    exact = ExactRows(core)
    own = np.flatnonzero(program.rows_of_choices)
    row_upper, upper = program.row_upper.copy(), program.upper.copy()
    row_upper[own] = exact.limit
    for position in np.flatnonzero(exact.is_money & np.isfinite(core.row_upper)).tolist():
        row_upper[own[position]] = exact.amount(exact.room(position)) * (1.0 + HAIR)
    rows = np.repeat(np.arange(len(core.row_upper)), np.diff(core.matrix.indptr))
    most = exact.limit[rows]
    only_adds = np.ones(len(core.row_upper), dtype=bool)
    only_adds[rows[core.matrix.data < 0.0]] = False
    only_adds[exact.is_task] = False  # ones, each of which fits
    doubt = exact.doubt[rows] + DOUBT * np.abs(np.where(np.isfinite(most), most, 0.0))
    over = (core.matrix.data > 0.0) & (core.matrix.data + doubt > most) & only_adds[rows]
    for entry in np.flatnonzero(over & (core.matrix.data - doubt <= most)).tolist():
        over[entry] = not exact.holds(int(rows[entry]), [int(core.matrix.indices[entry])])
    barred = core.matrix.indices[over]
    upper[barred[program.lower[barred] == 0.0]] = 0.0
    return dataclasses.replace(program, row_upper=row_upper, upper=upper)
