"""Optima in whose value amounts drown that a solver does not see, and what could still be better.

HiGHS takes what earns less than a billionth of the largest cost for nothing. Where such columns may be of
any size, or all that is earned is as little, an answer that is called optimal may fall short of what a
certificate proves. What is better than the answer lies close to where the certificate's bound is reached:
there each column costs at most what is missing, and in units of that, nothing is too small to be seen.

References
----------
G. L. Nemhauser & L. A. Wolsey, Integer and Combinatorial Optimization, Wiley 1988, section II.5.4 (fixing by
reduced costs).
"""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from bondwork.base.tolerances import SUM
from bondwork.solver.solving import WHOLE_TOLERANCE

if TYPE_CHECKING:
    from bondwork.arrays import FloatArray
    from bondwork.program.matrices import Matrices
    from bondwork.program.stochastic import StochasticProgram

#: Share of the largest cost below which a solver takes a cost for nothing, and the share of it to which it
#: knows a sum: its absolute tolerances, in the scale of `bondwork.program.scaling`.
UNSEEN, UNTOLD = 1e-9, 1e-6


class Nearby(NamedTuple):
    """What of a program may be better than a solution at hand.

    Attributes
    ----------
    matrices
        The program over it, in columns that are counted from ``place`` on in units of ``unit``.
    place, unit
        Shape (n,) each; the latter powers of two.
    """

    matrices: Matrices
    place: FloatArray
    unit: FloatArray

    def there(self, x: FloatArray) -> FloatArray:
        """A solution of the program in the columns of ``matrices``. Shape (n,)."""
        within: FloatArray = np.clip((x - self.place) / self.unit, self.matrices.lower, self.matrices.upper)
        return within

    def here(self, x: FloatArray, program: Matrices) -> FloatArray:
        """A solution of ``matrices`` in the columns of the program. Shape (n,)."""
        within: FloatArray = np.clip(self.place + self.unit * x, program.lower, program.upper)
        return within


def may_drown(program: StochasticProgram, missing: float) -> bool:
    """Whether a solver may have overlooked so much of the objective. No matrices are made for it.

    Parameters
    ----------
    missing
        What a solution lacks of a proven bound, in the unit of the objective.
    """
    largest, least = 0.0, []
    for kind in np.unique(program.template).tolist():
        nodes = np.flatnonzero(program.template == kind)
        lower, upper = program.gather(nodes, "lower"), program.gather(nodes, "upper")
        cost = np.abs(program.gather(nodes, "cost")) * program.probability[nodes][:, None]
        some = (cost > 0.0) & (lower < upper)
        largest = max(largest, float(np.where((lower != 0.0) | (upper != 0.0), cost, 0.0).max(initial=0.0)))
        least.append((cost[some], (upper - lower)[some]))
    unseen = 0.0
    for cost, room in least:
        small = cost < UNSEEN * largest
        unseen += float(cost[small] @ room[small])
    return missing <= 2.0 * unseen + UNTOLD * largest


def find_nearby(program: Matrices, duals: FloatArray, value: float) -> Nearby | None:
    """Find what may be better than a solution; ``None`` where the multipliers tell nothing.

    Parameters
    ----------
    duals
        Shape (m,). Multipliers of the rows, from the linear relaxation.
    value
        Of the solution.

    Examples
    --------
    What 1 unit of the second column adds is 1e-6, beside 1e12 for the first:

    >>> from scipy.sparse import csr_array
    >>> from bondwork.program.matrices import Matrices
    >>> program = Matrices(np.array([1e12, 1e-6]), 0.0, csr_array((0, 2)), np.zeros(0), np.zeros(0),
    ...                    np.zeros(2), np.array([1e-12, 1.0]), np.zeros(2, dtype=bool))
    >>> near = find_nearby(program, np.zeros(0), 1.0)
    >>> (near.matrices.objective * (near.matrices.upper - near.matrices.lower)).max() < 1e-5
    True
    """
    lower, upper = program.lower, program.upper
    limits = np.where(duals > 0.0, program.row_upper, np.where(duals < 0.0, program.row_lower, 0.0))
    duals = np.where(np.isfinite(limits), duals, 0.0)
    terms = abs(program.matrix).T @ np.abs(duals) + np.abs(program.objective)
    reduced = program.objective - program.matrix.T @ duals
    reduced[np.abs(reduced) <= SUM * terms] = 0.0
    best = np.where(reduced > 0.0, upper, np.where(reduced < 0.0, lower, 0.0))
    terms_of_rows = duals * np.where(duals != 0.0, limits, 0.0)
    earned = [program.offset, *terms_of_rows.tolist(), *(reduced * best).tolist()]
    if not all(map(math.isfinite, earned)):
        return None
    missing = math.fsum(earned) - value
    spare = 2.0 * max(missing, 0.0) + SUM * math.fsum(map(abs, earned))
    with np.errstate(all="ignore"):
        room = np.where(reduced != 0.0, spare / np.abs(reduced), np.inf)
    room = np.where(program.integer, np.floor(room + WHOLE_TOLERANCE), room)
    # where a cost is 0 there is room without end, and infinite bounds less that are no numbers
    near = np.where(reduced == 0.0, 0.0, room)
    lower, upper = (
        np.where(reduced > 0.0, np.maximum(lower, upper - near), lower),
        np.where(reduced < 0.0, np.minimum(upper, lower + near), upper),
    )
    place = np.where(reduced == 0.0, np.clip(0.0, lower, upper), best)
    place = np.where(program.integer, np.round(place), place)
    size = np.where(np.isfinite(upper - lower) & ~program.integer, upper - lower, 1.0)
    unit = np.where(size > 0.0, np.exp2(np.round(np.log2(np.where(size > 0.0, size, 1.0)))), 1.0)
    return _moved(dataclasses.replace(program, lower=lower, upper=upper), place, unit)


def _moved(program: Matrices, place: FloatArray, unit: FloatArray) -> Nearby:
    """A program with its columns counted from a place on, in units."""
    activity = program.matrix @ place
    matrix = program.matrix.copy()
    matrix.data = matrix.data * unit[matrix.indices]
    moved = dataclasses.replace(
        program,
        objective=program.objective * unit,
        offset=program.value(place),
        matrix=matrix,
        row_lower=program.row_lower - activity,
        row_upper=program.row_upper - activity,
        lower=(program.lower - place) / unit,
        upper=(program.upper - place) / unit,
    )
    return Nearby(moved, place, unit)
