"""Programs whose amounts lie so far apart that a solver in doubles leaves some of them out.

HiGHS drops coefficients below a billionth of the largest of their row, and takes bounds from 1e20 on for
none. Where a column's coefficient is dropped that may be of any size, an answer is one to another program.
Columns counted in units of the size that they have are the cure: powers of two, so that nothing is rounded.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np

from bondwork.program.scaling import in_units, scale

if TYPE_CHECKING:
    from bondwork.arrays import FloatArray
    from bondwork.program.matrices import Matrices
    from bondwork.program.stochastic import StochasticProgram

#: What HiGHS drops (``small_matrix_value``), the share of a row that nobody would miss, and what it takes for
#: infinite.
SMALL, MISSED, ENDLESS = 1e-9, 1e-9, 1e20


#: Numbers of a node that are those of its rows.
_ROWS = ("entries", "row_lower", "row_upper")


def leaves_out(program: Matrices) -> bool:
    """Whether a solver leaves something out that may matter: a coefficient, or a bound.

    What is dropped matters where the column may be so large that it is more than a billionth of its row's
    largest coefficient.

    Examples
    --------
    >>> from scipy.sparse import csr_array
    >>> from bondwork.program.matrices import Matrices
    >>> inf, ones, none = np.inf, np.ones(2), np.zeros(2, dtype=bool)
    >>> matrix = csr_array(np.array([[1e12, 1e-12]]))
    >>> said = [Matrices(ones, 0.0, matrix, np.array([-inf]), np.array([1.0]), 0 * ones, upper, none)
    ...         for upper in (np.array([1.0, inf]), np.array([1.0, 1e6]))]
    >>> [leaves_out(each) for each in said]
    [True, False]
    """
    with np.errstate(all="ignore"):
        scaled = scale(program)
        # what is ruled out beforehand has no part in anything
        size = np.maximum(np.abs(program.lower), np.abs(scaled.upper))[program.matrix.indices]
        share = np.abs(scaled.data)
        dropped = (share < SMALL) & (program.matrix.data != 0.0) & (size > 0.0)
        if np.any(dropped & ~(share * size <= MISSED)):
            return True
        bounds = np.concatenate(
            [program.lower, program.upper, scaled.row_lower, scaled.row_upper, scaled.objective]
        )
    return bool(np.any(np.isnan(bounds) | (np.isfinite(bounds) & (np.abs(bounds) >= ENDLESS))))


def may_leave_out(program: StochasticProgram) -> bool:
    """Whether a solver may leave something of a program out. No matrices are made for it.

    Where no number is a billionth of another, nothing is; `leaves_out` tells of the rest.
    """
    least, most = np.inf, 0.0
    linking = program.linking
    numbers = [linking.entry_value, linking.row_lower, linking.row_upper, program.change_value]
    for template in program.templates:
        numbers += [template.values[span] for name, span in template.spans.items() if name in _ROWS]
        bounds = np.concatenate([template.part("lower"), template.part("upper")])
        most = max(most, float(np.abs(bounds[np.isfinite(bounds)]).max(initial=0.0)))
    for each in numbers:
        size = np.abs(each[np.isfinite(each) & (each != 0.0)])
        least, most = min(least, float(size.min(initial=np.inf))), max(most, float(size.max(initial=0.0)))
    # scaling by powers of two moves a number by less than 2
    return most > 0.5 * least / SMALL


def even_units(program: Matrices) -> list[FloatArray]:
    """Units in which columns that need not be whole may be of ordinary size; the likeliest first. Each (n,).

    A column with two bounds has that of the larger. Any other has that at which it is as much as all that is
    bounded in a row: in one row, in another, or between them.
    """
    matrix = program.matrix
    row = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
    column = matrix.indices
    with np.errstate(all="ignore"):
        size = np.maximum(np.abs(program.lower), np.abs(program.upper))
        known = np.isfinite(size) & (size > 0.0)
        # logarithms, which sizes beyond the range of doubles do not leave
        entry = np.log2(np.abs(matrix.data))
        here = np.isfinite(entry)
        row, column, entry = row[here], column[here], entry[here]
        most = np.full(matrix.shape[0], -np.inf)
        for bounds in (program.row_lower, program.row_upper):
            some = np.isfinite(bounds) & (bounds != 0.0)
            most[some] = np.maximum(most[some], np.log2(np.abs(bounds[some])))
        term = entry + np.log2(np.where(known, size, 1.0))[column]
        np.maximum.at(most, row[known[column]], term[known[column]])
        natural = most[row] - entry
        told = np.isfinite(natural) & ~known[column]
        least, largest = np.full(len(size), np.inf), np.full(len(size), -np.inf)
        np.minimum.at(least, column[told], natural[told])
        np.maximum.at(largest, column[told], natural[told])
        free = np.isfinite(least) & np.isfinite(largest) & ~program.integer
        own = np.where(known & ~program.integer, np.log2(np.where(known, size, 1.0)), 0.0)
        found = []
        for power in (largest, (least + largest) / 2.0, least):
            unit = np.exp2(np.round(np.where(free, power, own)))
            if np.all(np.isfinite(unit) & (unit > 0.0)) and _is_finite(program, unit):
                found.append(unit)
    return found


def _is_finite(program: Matrices, unit: FloatArray) -> bool:
    """Whether nothing of a program leaves the range of doubles in these units."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        there = in_units(program, unit)
    before, after = (
        np.concatenate([each.objective, each.matrix.data, each.lower, each.upper])
        for each in (program, there)
    )
    kept = (np.isfinite(before) == np.isfinite(after)) & ((before == 0.0) == (after == 0.0))
    return bool(np.all(kept))
