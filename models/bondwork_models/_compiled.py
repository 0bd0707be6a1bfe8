"""From the rows that a modelling language compiled, each a bound of some limit, back to the limits."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import coo_array

from bondwork.program.program import Program

if TYPE_CHECKING:
    from bondwork.arrays import FloatArray, IntArray
    from bondwork.problem.limits import Limits

#: Which bound of its limit a compiled row carries.
LOWER, BOTH, UPPER = -1, 0, 1


def program_of(
    limits: Limits,
    columns: IntArray,
    *,
    objective: FloatArray,
    offset: float,
    matrix: coo_array,
    row: IntArray,
    side: IntArray,
    bound: FloatArray,
) -> Program:
    """Return the program whose compiled rows say ``matrix[i] @ x`` is bounded by ``bound[i]``.

    Parameters
    ----------
    limits, columns
        The rows and columns of the program: M limits, n offers.
    objective, offset
        Shape (n,), and a number: what is maximised.
    matrix
        Shape (m, n). Coefficients of the compiled rows, in any order of rows. No entry twice.
    row
        Shape (m,). The limit of each compiled row.
    side
        Shape (m,). `LOWER`, `BOTH` or `UPPER`.
    bound
        Shape (m,).
    """
    row_lower, row_upper = np.full(len(limits), -np.inf), np.full(len(limits), np.inf)
    row_lower[row[side <= BOTH]] = bound[side <= BOTH]
    row_upper[row[side >= BOTH]] = bound[side >= BOTH]
    # A limit whose two bounds differ was compiled twice, with the same coefficients: take them once.
    once = np.zeros(len(row), dtype=np.bool_)
    once[np.unique(row, return_index=True)[1]] = True
    kept = once[matrix.row] & (matrix.data != 0.0)
    n = len(columns)
    return Program(
        objective=objective,
        offset=offset,
        matrix=coo_array(
            (matrix.data[kept], (row[matrix.row[kept]], matrix.col[kept])), shape=(len(limits), n)
        ).tocsr(),
        row_lower=row_lower,
        row_upper=row_upper,
        lower=np.zeros(n),
        upper=np.ones(n),
        integer=np.ones(n, dtype=np.bool_),
        columns=columns,
        limits=limits,
    )
