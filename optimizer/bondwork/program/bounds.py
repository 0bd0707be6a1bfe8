"""Bounds that hold whatever happens: computed from multipliers, not believed."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from bondwork.program.scaling import fitting_upper

if TYPE_CHECKING:
    from bondwork.arrays import FloatArray
    from bondwork.program.matrices import Matrices

#: Outward margin of a bound, relative to the sum of the sizes of its terms: far above what adding up a
#: million doubles can lose, far below any gap that is asked for.
ROUNDING_MARGIN = 1e-12


def multiplier_bound(program: Matrices, row_duals: FloatArray) -> float:
    """Upper bound on the objective from any row multipliers, by weak duality.

    ``offset + y @ b + sum_j max over x_j in its bounds of (c - y A)_j x_j``, where each multiplier prices the
    bound of its row that it can: the upper where it is positive, the lower where it is negative. Multipliers
    of a missing bound count as 0. Optimal LP duals give the LP bound; poor ones a weak but valid bound. Whole
    columns that alone break a row count as 0, as they do for the solver that gives the duals.

    Parameters
    ----------
    program
        A maximisation with finite column bounds.
    row_duals
        Shape (m,). Currency per unit of each row.

    Returns
    -------
    float
        A bound in currency, moved outward by the rounding margin; ``inf`` where a column has no bound.
    """
    wanted = np.nan_to_num(row_duals, nan=0.0, posinf=0.0, neginf=0.0)
    bound_of_row = np.where(wanted > 0.0, program.row_upper, program.row_lower)
    usable = (wanted != 0.0) & np.isfinite(bound_of_row)
    y = np.where(usable, wanted, 0.0)
    row_terms = y * np.where(usable, bound_of_row, 0.0)
    reduced = program.objective - program.matrix.T @ y
    at = np.where(reduced > 0.0, fitting_upper(program), program.lower)
    gains = np.where(reduced != 0.0, reduced * np.where(reduced != 0.0, at, 0.0), 0.0)
    if not np.all(np.isfinite(gains)):
        return math.inf
    # the reduced costs themselves carry rounding from the products they are made of
    size = abs(program.offset) + np.abs(row_terms).sum() + np.abs(gains).sum()
    size += np.abs(program.objective).sum() + (abs(program.matrix).T @ np.abs(y)).sum()
    return float(program.offset + row_terms.sum() + gains.sum() + ROUNDING_MARGIN * size)


def gap(objective: float, bound: float) -> float:
    """Relative gap, (bound - objective) / max(abs(bound), abs(objective)); 0 when both are 0."""
    size = max(abs(bound), abs(objective))
    if size == 0.0:
        return 0.0
    return math.inf if math.isinf(size) else (bound - objective) / size
