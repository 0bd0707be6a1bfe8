"""A solution of a program that is said to have none: sought by `verify`, in bounded time, without a solver.

Bounds of columns are tightened by single rows, whole columns are fixed one by one, nearest to a point that
breaks rows little, and taken back where nothing is left; what need not be whole is then moved into the rows
by accelerated gradient steps. What is found is checked as any solution is; what is not found proves nothing.

References
----------
M. W. P. Savelsbergh, Preprocessing and probing techniques for mixed integer programming problems, ORSA
Journal on Computing 6 (1994) 445-454. Yu. Nesterov, A method of solving a convex programming problem with
convergence rate O(1/k^2), Soviet Mathematics Doklady 27 (1983) 372-376.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import csr_array

from bondwork.program.program_recount import recount

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bondwork.arrays import BoolArray, FloatArray, IntArray
    from bondwork.program.stochastic import StochasticProgram

#: After so many seconds, fixings of whole columns and steps into the rows the search gives up; it does not
#: begin where a program has more columns.
SECONDS, MOST_FIXINGS, STEPS, MOST_COLUMNS = 5.0, 20_000, 2_000, 20_000

#: How often rows are read again for bounds that follow from one another.
_PASSES = 10

#: Share of its size by which a bound that follows may be missed, and by which a whole number may be.
_SLACK, _WHOLE = 1e-9, 1e-6

#: Rows and columns up to which a point is moved onto its rows by least squares in the end.
_DENSE = 400


@dataclass(frozen=True, slots=True)
class _Entries:
    """All rows over all columns, entry by entry."""

    row: IntArray
    column: IntArray
    value: FloatArray
    row_lower: FloatArray
    row_upper: FloatArray


class SolutionSearch:
    """A depth-first search for a solution.

    Parameters
    ----------
    program
        The program.
    seconds
        After which the search gives up.

    Examples
    --------
    >>> from bondwork.program.stochastic import StochasticProgram
    >>> from bondwork.program.template import NodeTemplate
    >>> program = StochasticProgram.from_changes(
    ...     "one", "max", [NodeTemplate.make(0, ["x"], ["is"], cost=2.0, upper=9.0, integer=True,
    ...     row_lower=6.0, row_upper=6.0, entries=[(0, 0, 0, 2.0)])],
    ...     parent=[-1], template=[0], conditional=[1.0], changes=[{}])
    >>> [each.tolist() for each in SolutionSearch(program).run()]
    [[3.0]]
    """

    def __init__(self, program: StochasticProgram, *, seconds: float = SECONDS) -> None:
        self.program = program
        self.ends = time.perf_counter() + seconds
        widths = np.array([len(each.columns) for each in program.templates])[program.template]
        self.start = np.concatenate([[0], np.cumsum(widths)])

    def run(self) -> list[FloatArray] | None:
        """Return the decision of every node; ``None`` where none was found."""
        if self.start[-1] > MOST_COLUMNS:
            return None
        self._read()
        begin = self._tightened(self.lower, self.upper)
        if begin is None:
            return None
        near = self._moved(*begin, np.zeros(len(self.lower)))
        waiting = [begin]
        for _ in range(MOST_FIXINGS):
            if not waiting or time.perf_counter() > self.ends:
                break
            lower, upper = waiting.pop()
            open_ = np.flatnonzero(self.whole & (lower < upper))
            if not len(open_):
                values = self._completed(lower, upper, near)
                if values is not None:
                    return values
                continue
            column = int(open_[np.argmin((upper - lower)[open_])])
            at = float(np.clip(np.round(near[column]), lower[column], upper[column]))
            for low, high in ((at + 1.0, upper[column]), (lower[column], at - 1.0), (at, at)):
                if low > high:
                    continue
                less, more = lower.copy(), upper.copy()
                less[column], more[column] = low, high
                tighter = self._tightened(less, more)
                if tighter is not None:
                    waiting.append(tighter)
        return None

    # --- the program -------------------------------------------------------------------------------------

    def _read(self) -> None:
        program, start = self.program, self.start
        lower, upper, whole = [], [], []
        rows: list[tuple[IntArray, IntArray, FloatArray]] = []
        low, high = [], []
        count = 0
        for node in range(len(program)):
            template, numbers = program.template_of(node), program.values(node)
            part = {name: numbers[span] for name, span in template.spans.items()}
            owner = start[program.ancestors[node][template.entry_stage]]
            rows.append((count + template.entry_row, owner + template.entry_column, part["entries"]))
            count += len(template.rows)
            low.append(part["row_lower"])
            high.append(part["row_upper"])
            lower.append(part["lower"])
            upper.append(part["upper"])
            whole.append(template.integer)
        links = program.linking
        place = start[links.entry_node] + links.entry_column
        rows.append((count + links.entry_row, place, links.entry_value))
        row, column, value = (np.concatenate([each[k] for each in rows]) for k in range(3))
        used = value != 0.0
        self.entries = _Entries(
            row[used],
            column[used],
            value[used].astype(np.float64),
            np.concatenate([*low, links.row_lower]),
            np.concatenate([*high, links.row_upper]),
        )
        self.whole: BoolArray = np.concatenate(whole)
        self.lower, self.upper = np.concatenate(lower), np.concatenate(upper)

    # --- bounds ------------------------------------------------------------------------------------------

    def _tightened(self, lower: FloatArray, upper: FloatArray) -> tuple[FloatArray, FloatArray] | None:
        """Bounds that follow from single rows; ``None`` where nothing is left between them."""
        for _ in range(_PASSES):
            lower, upper = self._rounded(lower, upper)
            if np.any(lower > upper):
                return None
            with np.errstate(all="ignore"):  # what is beyond the range of numbers is checked as anything else
                least, most = self._implied(lower, upper)
            moved = np.any(least > lower) or np.any(most < upper)
            lower, upper = np.maximum(lower, least), np.minimum(upper, most)
            if not moved:
                break
        lower, upper = self._rounded(lower, upper)
        # bounds that follow meet up to rounding
        crossed = lower > upper
        if np.any(crossed & (lower - upper > _SLACK * np.maximum(1.0, np.abs(lower)))):
            return None
        return np.where(crossed, upper, lower), upper

    def _rounded(self, lower: FloatArray, upper: FloatArray) -> tuple[FloatArray, FloatArray]:
        whole = self.whole
        return (
            np.where(whole, np.ceil(lower - _WHOLE), lower),
            np.where(whole, np.floor(upper + _WHOLE), upper),
        )

    def _implied(self, lower: FloatArray, upper: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Bounds of columns by each row with all else at its bounds, given a little room."""
        e, count = self.entries, len(self.entries.row_lower)
        most, least = np.full(len(lower), np.inf), np.full(len(lower), -np.inf)
        rises = e.value > 0.0
        for sign, limit in ((1.0, e.row_upper), (-1.0, -e.row_lower)):
            up = rises if sign > 0.0 else ~rises
            value = sign * e.value
            ends = np.where(up, lower[e.column], upper[e.column])
            infinite = ~np.isfinite(ends)
            term = np.where(infinite, 0.0, value * np.where(infinite, 0.0, ends))
            total = np.bincount(e.row, term, count)
            size = np.bincount(e.row, np.abs(term), count)
            open_ = np.bincount(e.row, infinite, count)
            alone = open_[e.row] - infinite == 0.0
            useful = alone & np.isfinite(limit[e.row])
            row, column = e.row[useful], e.column[useful]
            room = limit[row] - (total[row] - term[useful])
            room += _SLACK * (np.abs(limit[row]) + size[row])
            bound = room / value[useful]
            high = up[useful]
            np.minimum.at(most, column[high], bound[high])
            np.maximum.at(least, column[~high], bound[~high])
        return least, most

    # --- points ------------------------------------------------------------------------------------------

    def _moved(self, lower: FloatArray, upper: FloatArray, x: FloatArray) -> FloatArray:
        """Move a point into the rows as far as some steps do, within the bounds."""
        e = self.entries
        matrix = csr_array((e.value, (e.row, e.column)), shape=(len(e.row_lower), len(lower)))
        norm = np.sqrt(np.asarray((matrix * matrix).sum(axis=1))).ravel()
        scale = np.where(norm > 0.0, 1.0 / np.where(norm > 0.0, norm, 1.0), 1.0)
        matrix = csr_array(matrix * scale[:, None])
        low, high = e.row_lower * scale, e.row_upper * scale
        back = csr_array(matrix.T)
        step = 1.0 / _largest(matrix, back)
        x = np.clip(x, lower, upper)
        ahead, pace, last = x, 1.0, np.inf
        for number in range(STEPS):
            activity = matrix @ ahead
            broken = np.maximum(activity - high, 0.0) - np.maximum(low - activity, 0.0)
            error = float(np.abs(broken).max(initial=0.0))
            if error <= 1e-10 * (1.0 + float(np.abs(ahead).max(initial=0.0))):
                return self._onto(matrix, low, high, lower, upper, ahead)
            if number % 50 == 49 and time.perf_counter() > self.ends:
                break
            following = np.clip(ahead - step * (back @ broken), lower, upper)
            if error > last:  # it overshoots: begin to gather pace anew
                pace, last = 1.0, np.inf
                ahead = x = following
                continue
            last = error
            faster = (1.0 + np.sqrt(1.0 + 4.0 * pace**2)) / 2.0
            ahead = np.clip(following + (pace - 1.0) / faster * (following - x), lower, upper)
            x, pace = following, faster
        return self._onto(matrix, low, high, lower, upper, x)

    def _onto(
        self,
        matrix: csr_array,
        low: FloatArray,
        high: FloatArray,
        lower: FloatArray,
        upper: FloatArray,
        x: FloatArray,
    ) -> FloatArray:
        """Move a point that is nearly there onto the rows that it breaks, by least squares."""
        for _ in range(5):
            activity = matrix @ x
            wrong = np.where(activity > high, high - activity, np.where(activity < low, low - activity, 0.0))
            near = np.maximum(np.abs(activity), 1.0) * 1e-7
            tight = (np.abs(activity - high) <= near) | (np.abs(activity - low) <= near) | (wrong != 0.0)
            free = (x > lower) & (x < upper)
            rows, columns = np.flatnonzero(tight), np.flatnonzero(free)
            if not np.any(wrong) or not len(columns) or max(len(rows), len(columns)) > _DENSE:
                break
            block = matrix[rows][:, columns].toarray()
            move, *_ = np.linalg.lstsq(block, wrong[rows], rcond=None)
            x = x.copy()
            x[columns] = np.clip(x[columns] + move, lower[columns], upper[columns])
        return x

    def _completed(self, lower: FloatArray, upper: FloatArray, near: FloatArray) -> list[FloatArray] | None:
        """A solution where every whole column is fixed; ``None`` where none was found."""
        x = np.clip(near, lower, upper) if self.whole.all() else self._moved(lower, upper, near)
        x = np.where(self.whole, np.round(x), x)
        if not np.all(np.isfinite(x)):
            return None
        values = np.split(x, self.start[1:-1])
        return None if recount(self.program, values).violations else values


def _largest(matrix: csr_array, back: csr_array) -> float:
    """Return an upper estimate of the largest eigenvalue of ``back @ matrix``."""
    rows = np.asarray(abs(matrix).sum(axis=1)).ravel().max(initial=0.0)
    columns = np.asarray(abs(back).sum(axis=1)).ravel().max(initial=0.0)
    return float(rows * columns) or 1.0


def name_solution(program: StochasticProgram, values: Sequence[FloatArray], most: int = 5) -> str:
    """Name a solution: what is not 0 in its first node that has anything, in words."""
    for node, own in enumerate(values):
        told = np.flatnonzero(own)
        if len(told):
            columns = program.template_of(node).columns
            words = [f"{columns[k]} = {own[k]:.12g}" for k in told[:most].tolist()]
            more = f" and {len(told) - most} more" * (len(told) > most)
            return f"node {program.nodes[node]} with {', '.join(words)}{more}"
    return "every column at 0"
