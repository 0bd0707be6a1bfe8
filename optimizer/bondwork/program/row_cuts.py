"""Cuts for rows that a whole point breaks by less than a solver sees.

First a cover: the choices that fill such a row cannot all be made, nor as many of those that use no less (E.
Balas, Mathematical Programming 8 (1975) 146-164). A row that is broken again is written out digit by digit,
with carries, so that no coefficient is small beside another one of its row: from then on it is exact.
"""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import csr_array

from bondwork.program.blocks import with_block, with_rows
from bondwork.program.exact import ExactRows
from bondwork.risk.measure import Block

if TYPE_CHECKING:
    from bondwork.arrays import FloatArray, IntArray
    from bondwork.program.program import Program

#: Bits of a digit: a unit is then about 100 times what a solver takes for nothing in its row.
DIGIT = 13

#: Times that a row is broken before it is written out.
PATIENCE = 1

#: A point is whole where no choice is further than this from 0 or 1.
WHOLE_TOLERANCE = 1e-9


class RowCuts:
    """What has been generated so far for the rows of a program that whole points break.

    Parameters
    ----------
    program
        Its rows over the choices alone are looked after; see `Program.without_auxiliaries`.
    """

    def __init__(self, program: Program) -> None:
        self._core = program.without_auxiliaries()
        self._exact = ExactRows(self._core)
        #: Columns, coefficients and bound of each cut.
        self._cuts: list[tuple[IntArray, FloatArray, float]] = []
        self._broken: Counter[int] = Counter()
        self._digits: list[Block] = []

    def separate(self, x: FloatArray) -> int:
        """Rule a whole point out that breaks rows; return how many those are."""
        if np.any(np.abs(x - np.round(x)) > WHOLE_TOLERANCE):
            return 0
        x = np.round(x)
        rows = self._exact.broken(x).tolist()
        for row in rows:
            self._broken[row] += 1
            if self._broken[row] == PATIENCE + 1 and self._holds_above(row):
                self._digits.append(self._written_out(row))
            self._cuts.append(self._cut(row, x))
        return len(rows)

    def breaks(self, x: FloatArray) -> bool:
        """Whether a point is not whole, or breaks a row."""
        whole = np.round(x)
        return bool(np.any(np.abs(x - whole) > WHOLE_TOLERANCE)) or len(self._exact.broken(whole)) > 0

    def add_to(self, program: Program) -> Program:
        """Return a program of the same choices with what has been generated as further rows."""
        for block in self._digits:
            program = with_block(program, block, of=("digits", -1))
        return with_rows(program, self._cuts) if self._cuts else program

    def _holds_above(self, row: int) -> bool:
        return bool(np.isfinite(self._core.row_upper[row]))

    def _cut(self, row: int, x: FloatArray) -> tuple[IntArray, FloatArray, float]:
        """An inequality that a point breaks, and that no point does that holds the row."""
        matrix = self._core.matrix
        span = slice(matrix.indptr[row], matrix.indptr[row + 1])
        columns, values = matrix.indices[span].astype(np.int64), matrix.data[span]
        above = not self._exact.holds(row, self._exact.chosen(row, x))
        if above and not np.any(values < 0.0):
            return self._cover(row, columns[(x[columns] > 0.5) & (values > 0.0)])
        # what fills the row less, or empties it more, is another choice than this one
        fills = values > 0.0 if above else values < 0.0
        made, spared = columns[fills & (x[columns] > 0.5)], columns[~fills & (x[columns] < 0.5)]
        signs = np.append(np.ones(len(made)), -np.ones(len(spared)))
        return np.append(made, spared), signs, len(made) - 1.0

    def _cover(self, row: int, chosen: IntArray) -> tuple[IntArray, FloatArray, float]:
        """Of the largest choices just as many as do not fit, and all that use no less than each of them."""
        matrix = self._core.matrix
        span = slice(matrix.indptr[row], matrix.indptr[row + 1])
        columns, values = matrix.indices[span].astype(np.int64), matrix.data[span]
        use = values[np.searchsorted(columns, chosen)]
        order = np.argsort(-use, kind="stable")
        chosen, use = chosen[order], use[order]
        low, high = 0, len(chosen)  # so many fit, so many do not
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self._exact.holds(row, chosen[:middle]) else (low, middle)
        # rounding to the ledger's unit keeps the order of amounts, but may make different ones equal
        others = np.setdiff1d(columns[values >= use[0]], chosen[:high])
        cover = np.append(chosen[:high], others)
        return cover, np.ones(len(cover)), high - 1.0

    def _written_out(self, row: int) -> Block:
        """The upper bound of a row in rows of digits, lowest first, and a whole column for each carry."""
        columns, values, limit = self._exact.whole(row)
        width, base = self._core.matrix.shape[1], 1 << DIGIT
        common = math.gcd(*values) or 1
        values, limit = [value // common for value in values], limit // common
        lines: list[dict[int, int]] = []
        bounds: list[int] = []
        carries: list[float] = []
        left = dict(zip(columns.tolist(), values, strict=True))
        while max(map(abs, left.values()), default=0) >= 2 * base:
            low = {column: value % base for column, value in left.items() if value % base}
            left = {column: value >> DIGIT for column, value in left.items()}
            if low:
                carry = width + len(carries)
                carries.append(float(_most(low, carries, width) // base + 1))
                low[carry] = -base
                left[carry] = 1
                lines.append(low)
                bounds.append(limit % base)
            limit >>= DIGIT
            left = {column: value for column, value in left.items() if value}
        lines.append(left)
        bounds.append(min(limit, int(_most(left, carries, width))))
        return _block(lines, bounds, carries, width)


def _most(line: dict[int, int], carries: list[float], width: int) -> float:
    """What a line comes to at most: choices are at most 1, carries at most what they have to be."""
    bounds = ((value, carries[column - width] if column >= width else 1.0) for column, value in line.items())
    return sum(value * bound for value, bound in bounds if value > 0)


def _block(lines: list[dict[int, int]], bounds: list[int], carries: list[float], width: int) -> Block:
    """Rows ``line @ (x, carries) <= bound`` as a block."""
    rows = np.repeat(np.arange(len(lines)), [len(line) for line in lines])
    columns = np.array([column for line in lines for column in line], dtype=np.int64)
    values = np.array([value for line in lines for value in line.values()], dtype=np.float64)
    more = len(carries)
    return Block(
        matrix=csr_array((values, (rows, columns)), shape=(len(lines), width + more)),
        row_lower=np.full(len(lines), -np.inf),
        row_upper=np.array(bounds, dtype=np.float64),
        lower=np.zeros(more),
        upper=np.array(carries, dtype=np.float64),
        integer=np.ones(more, dtype=bool),
        measured=np.zeros(more),
    )
