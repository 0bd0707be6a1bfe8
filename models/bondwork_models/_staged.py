"""From what a modelling language compiled of a stochastic program back to its extensive form."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import coo_array

from bondwork.program.extensive import ExtensiveForm
from bondwork.program.matrices import Matrices
from bondwork_models._compiled import BOTH

if TYPE_CHECKING:
    from bondwork.arrays import BoolArray, FloatArray, IntArray
    from bondwork.program.stochastic import StochasticProgram


def starts(program: StochasticProgram) -> tuple[IntArray, IntArray]:
    """Where the columns and the rows of each node begin in the extensive form. Shapes (N + 1,)."""
    columns = [len(each.columns) for each in program.templates]
    rows = [len(each.rows) for each in program.templates]
    return tuple(  # type: ignore[return-value]
        np.concatenate([[0], np.cumsum(np.array(sizes, dtype=np.int64)[program.template])])
        for sizes in (columns, rows)
    )


def form_of(
    program: StochasticProgram,
    *,
    objective: FloatArray,
    offset: float,
    matrix: coo_array,
    row: IntArray,
    side: IntArray,
    bound: FloatArray,
    lower: FloatArray,
    upper: FloatArray,
    integer: BoolArray,
) -> ExtensiveForm:
    """Return the form whose compiled rows say ``matrix[i] @ x`` is bounded by ``bound[i]``.

    Parameters
    ----------
    program
        For its shape.
    objective, offset, lower, upper, integer
        Of the maximisation, columns in the order of the extensive form.
    matrix
        Shape (m, n). Compiled rows in any order, no entry twice.
    row, side, bound
        Shape (m,). Row of the extensive form, `LOWER`, `BOTH` or `UPPER`, and the bound.
    """
    column_start, row_start = starts(program)
    count = int(row_start[-1]) + len(program.linking)
    row_lower, row_upper = np.full(count, -np.inf), np.full(count, np.inf)
    row_lower[row[side <= BOTH]] = bound[side <= BOTH]
    row_upper[row[side >= BOTH]] = bound[side >= BOTH]
    # a row whose two bounds differ was compiled twice, with the same coefficients: take them once
    once = np.zeros(len(row), dtype=np.bool_)
    once[np.unique(row, return_index=True)[1]] = True
    kept = once[matrix.row] & (matrix.data != 0.0)
    entries = coo_array(
        (matrix.data[kept], (row[matrix.row[kept]], matrix.col[kept])), shape=(count, len(objective))
    ).tocsr()
    entries.sort_indices()
    matrices = Matrices(objective, offset, entries, row_lower, row_upper, lower, upper, integer)
    return ExtensiveForm(matrices, column_start, row_start)
