"""Fewer scenarios for the same law: reduction under the Wasserstein (Kantorovich) distance.

Of n points, m are kept; each removed one gives its probability to the nearest kept one, which is the optimal
redistribution (Dupacova, Groewe-Kuska & Roemisch 2003), and the distance is then exactly

    W_r**r = sum over points of p_k * min over kept j of ||x_k - x_j||**r

Which m to keep is NP-hard (a p-median problem). Three heuristics, all deterministic:

| method | what it does | when |
|---|---|---|
| ``forward`` | adds the point that lowers the distance most (Heitsch & Roemisch 2003) | few are kept |
| ``backward`` | removes the point that raises it least (the same) | most are kept |
| ``medoids`` | ``forward``, then swaps until none lowers it (Kaufman & Rousseeuw 1990) | best, slowest |

They are found by name through entry points of the group ``bondwork.reductions``, as other people's are; see
`bondwork.contracts.Reduction`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from bondwork.arrays import freeze_fields
from bondwork.registry import find_reduction
from bondwork.uncertainty.distance import Norm, as_points, as_probability, check_metric, pairwise_cost
from bondwork.uncertainty.selection import cost_matrix

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from bondwork.arrays import FloatArray, IntArray
    from bondwork.contracts import Reduction as Heuristic

#: Name of an installed heuristic: forward, backward, medoids, or another.
ReductionMethod: TypeAlias = str

_BLOCK = 1024


@dataclass(frozen=True, slots=True, eq=False)
class Reduction:
    """What is left of a law, and how far it is from it.

    Attributes
    ----------
    kept
        Shape (m,). Indices of the points kept, ascending.
    probability
        Shape (m,). Their new probabilities, sum 1.
    assignment
        Shape (n,). Place in ``kept`` of the point that stands for each.
    distance
        Wasserstein distance of order ``order`` between the law before and after, in the unit of the points.
    order, norm
        How it was measured.
    """

    kept: IntArray
    probability: FloatArray
    assignment: IntArray
    distance: float
    order: float
    norm: Norm

    def __post_init__(self) -> None:
        freeze_fields(self, "kept", "probability", "assignment")

    def __len__(self) -> int:
        return len(self.kept)


def reduce_scenarios(
    values: ArrayLike,
    probability: ArrayLike | None = None,
    *,
    size: int | None = None,
    error: float | None = None,
    method: ReductionMethod = "forward",
    order: float = 1.0,
    norm: Norm = "l2",
) -> Reduction:
    """Keep few of n scenarios: a given number of them, or as few as keep the distance within an error.

    Parameters
    ----------
    values
        Shape (n, d), or (n,) for numbers. Bring columns of different units to one scale first.
    probability
        Shape (n,), sum 1; equal if left out.
    size
        m, 1 to n.
    error
        Largest distance allowed, >= 0, in the unit of the points; give this or ``size``.
    method
        See the module.
    order, norm
        See `bondwork.uncertainty.distance.wasserstein`.

    Returns
    -------
    Reduction

    Raises
    ------
    ValueError
        For sizes, errors or shapes that make no sense.

    Notes
    -----
    Memory: one n x n matrix, in double precision up to 4,096 points and in single precision above (400 MB for
    10,000), which steers the choice only; the distance reported is computed in double precision. Time with
    ``l2``: n * n * d products by BLAS and some n * n * log(m). ``l1`` computes n * n * d differences, some 20
    times slower.

    Not for choosing scenarios of a tail: a point that matters for CVaR may be far from where the mass is.

    Examples
    --------
    >>> reduction = reduce_scenarios([[0.0], [0.1], [5.0], [5.2]], size=2)
    >>> reduction.kept.tolist(), reduction.probability.tolist(), round(reduction.distance, 6)
    ([1, 2], [0.5, 0.5], 0.075)
    """
    points = as_points(values)
    n = len(points)
    mass = as_probability(probability, n)
    check_metric(order, norm)
    if (size is None) == (error is None):
        raise ValueError("give a size or an error, one of the two")
    if size is not None and not 1 <= size <= n:
        raise ValueError(f"size is {size}, expected 1 to {n}")
    if error is not None and not error >= 0.0:
        raise ValueError(f"error is {error}, expected a number >= 0")
    heuristic = _heuristic(method)
    cost = cost_matrix(points, order=order, norm=norm)
    kept = heuristic.select(cost, mass, size=size, allowed=None if error is None else error**order)
    return redistribute(points, kept, mass, order=order, norm=norm)


def redistribute(
    values: ArrayLike,
    kept: ArrayLike,
    probability: ArrayLike | None = None,
    *,
    order: float = 1.0,
    norm: Norm = "l2",
) -> Reduction:
    """Redistribute probability optimally onto given points, and measure the distance.

    Parameters
    ----------
    values, probability, order, norm
        See `reduce_scenarios`.
    kept
        Shape (m,). Distinct indices of the points to keep.

    Examples
    --------
    >>> redistribute([0.0, 1.0, 10.0], [0, 2]).probability.round(4).tolist()
    [0.6667, 0.3333]
    """
    points = as_points(values)
    check_metric(order, norm)
    chosen = np.unique(np.asarray(kept, dtype=np.int64))
    if not len(chosen) or len(chosen) != np.size(kept) or chosen[0] < 0 or chosen[-1] >= len(points):
        raise ValueError(f"kept must hold distinct indices from 0 to {len(points) - 1}")
    mass = as_probability(probability, len(points))
    nearest = np.concatenate(
        [
            np.argmin(pairwise_cost(points[first : first + _BLOCK], points[chosen], norm=norm), axis=1)
            for first in range(0, len(points), _BLOCK)
        ]
    )
    # Each kept point stands for itself, though another may have the same values.
    nearest[chosen] = np.arange(len(chosen))
    difference = points - points[chosen][nearest]
    moved = np.linalg.norm(difference, ord=1 if norm == "l1" else 2, axis=1)
    return Reduction(
        kept=chosen,
        probability=np.bincount(nearest, mass, len(chosen)).astype(np.float64),
        assignment=nearest,
        distance=float((mass @ moved**order) ** (1.0 / order)),
        order=order,
        norm=norm,
    )


@cache
def _heuristic(method: ReductionMethod) -> Heuristic:
    """Make the heuristic of a name, once: trees are reduced at every node."""
    return find_reduction(method)
