"""Bases that solve many scenarios at once.

Scenarios of one matrix W differ in their limits. A basis that is optimal for one is optimal for every other
whose basic variables it puts within their bounds, which one product of matrices tells for all of them: what
would take a thousand solves takes one solve and one product ("bunching").

References
----------
R. J.-B. Wets, Large scale linear programming techniques in stochastic programming, in Yu. Ermoliev & R. J.-B.
Wets (eds), Numerical Techniques for Stochastic Optimization, Springer 1988, 65-93.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from bondwork.arrays import BoolArray, FloatArray

#: A basic variable may lie outside its bounds by this much, a reduced cost on its wrong side by this much.
#: The solver's own tolerance, in its scaling.
TOLERANCE = 1e-7


class Basis:
    """A basis of ``W y - r = 0``, where r are the activities of the rows. n columns, m rows.

    Parameters
    ----------
    matrix
        Shape (m, n). W.
    basic, upper
        Shape (n + m,). Whether a variable is basic; whether a nonbasic one stands at its upper bound.

    Raises
    ------
    numpy.linalg.LinAlgError
        The columns of the basis are dependent.
    """

    def __init__(self, matrix: FloatArray, basic: BoolArray, upper: BoolArray) -> None:
        m, n = matrix.shape
        self.basic = np.flatnonzero(basic)
        if len(self.basic) != m:
            raise np.linalg.LinAlgError("not a basis")
        self.columns = self.basic[self.basic < n]
        self.free_rows = self.basic[self.basic >= n] - n
        square = np.zeros((m, m))
        square[:, : len(self.columns)] = matrix[:, self.columns]
        square[self.free_rows, np.arange(len(self.columns), m)] = -1.0
        self.inverse = np.linalg.inv(square)
        if not np.all(np.isfinite(self.inverse)):
            raise np.linalg.LinAlgError("a singular basis")
        self.matrix = matrix
        self.upper = upper
        self.nonbasic_columns = np.flatnonzero(~basic[:n])
        self.tight_rows = np.flatnonzero(~basic[n:])
        self.hits = 0

    def multipliers(self, cost: FloatArray) -> FloatArray:
        """Multipliers of the rows for costs of shape (s, n). Shape (s, m)."""
        count = len(self.columns)
        return np.asarray(cost[:, self.columns] @ self.inverse[:count])

    def points(
        self, lower: FloatArray, upper: FloatArray, row_lower: FloatArray, row_upper: FloatArray
    ) -> tuple[FloatArray, FloatArray, BoolArray]:
        """Where this basis puts y and r, and whether within their bounds.

        Parameters
        ----------
        lower, upper, row_lower, row_upper
            Shapes (s or 1, n) and (s or 1, m): bounds of columns and of rows, what is decided taken off.

        Returns
        -------
        tuple
            y of shape (s, n), r of shape (s, m), and shape (s,).
        """
        n = self.matrix.shape[1]
        rows = np.where(self.upper[None, n:], row_upper, row_lower)[:, self.tight_rows]
        ends = np.where(self.upper[None, :n], upper, lower)[:, self.nonbasic_columns]
        # a nonbasic variable without the bound that it should stand at is free, and stands at 0
        ends, rows = (np.where(np.isfinite(each), each, 0.0) for each in (ends, rows))
        size = max(len(rows), len(ends))
        right = np.zeros((size, len(self.basic)))
        right[:, self.tight_rows] = rows
        if ends.any():
            right -= ends @ self.matrix[:, self.nonbasic_columns].T
        found = right @ self.inverse.T
        y = np.empty((size, n))
        y[:, self.nonbasic_columns] = ends
        y[:, self.columns] = found[:, : len(self.columns)]
        r = np.empty((size, len(self.basic)))
        r[:, self.tight_rows] = rows
        r[:, self.free_rows] = found[:, len(self.columns) :]
        fits = np.ones(size, dtype=bool)
        for point, low, high in ((y, lower, upper), (r, row_lower, row_upper)):
            slack = TOLERANCE * np.maximum(1.0, np.abs(point))
            fits &= np.all((point >= low - slack) & (point <= high + slack), axis=1)
        return y, r, fits

    def prices_right(
        self,
        cost: FloatArray,
        multipliers: FloatArray,
        lower: FloatArray,
        upper: FloatArray,
        row_lower: FloatArray,
        row_upper: FloatArray,
    ) -> BoolArray:
        """Whether no nonbasic variable would gain by leaving its bound. Shape (s or 1,)."""
        n = self.matrix.shape[1]
        columns, rows = self.nonbasic_columns, self.tight_rows
        reduced = (cost - multipliers @ self.matrix)[:, columns]
        at_upper = self.upper[:n][columns]
        well = _held(reduced, at_upper, lower[:, columns], upper[:, columns])
        # the reduced cost of a row's activity is its multiplier
        tight = _held(multipliers[:, rows], self.upper[n:][rows], row_lower[:, rows], row_upper[:, rows])
        return np.asarray(well & tight)


def _held(reduced: FloatArray, at_upper: BoolArray, lower: FloatArray, upper: FloatArray) -> BoolArray:
    slack = TOLERANCE * np.maximum(1.0, np.abs(reduced).max(initial=0.0))
    falls, rises = reduced <= slack, reduced >= -slack
    missing = np.where(at_upper, np.isinf(upper), np.isinf(lower))
    right = np.where(missing, falls & rises, np.where(at_upper, rises, falls)) | (lower == upper)
    return np.asarray(np.all(right, axis=1))


class Pool:
    """The bases that solved something lately, best first; a limited number of them.

    Parameters
    ----------
    most
        How many are kept.
    """

    def __init__(self, most: int = 64) -> None:
        self.most = most
        self.bases: list[Basis] = []

    def ordered(self) -> list[Basis]:
        """Bases in the order in which to try them; their counts begin anew."""
        self.bases.sort(key=lambda each: -each.hits)
        del self.bases[self.most :]
        for each in self.bases:
            each.hits = 0
        return list(self.bases)

    def add(self, basis: Basis) -> None:
        """Keep a basis."""
        self.bases.append(basis)
