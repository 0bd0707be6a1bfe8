"""Which points to keep: the heuristics behind `bondwork.uncertainty.reduction`, on a matrix of costs.

All are written so that n points cost some n * n operations whatever the number kept: after each step only
what the step changed is looked at again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from bondwork.uncertainty.distance import pairwise_cost

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bondwork.arrays import FloatArray, IntArray
    from bondwork.uncertainty.distance import Norm

    #: Shape (n, n), symmetric, float64 or float32.
    CostMatrix: TypeAlias = NDArray[Any]

# Above this many points the matrix is kept in single precision.
_DOUBLE = 4096
# Below this many coordinates differences are as fast as products, and free of cancellation.
_FEW = 8
_BLOCK = 512
_PASSES = 50


class Forward:
    """Fast forward selection."""

    summary = "adds the scenario that lowers the distance most; where few are kept"

    def select(
        self, cost: CostMatrix, mass: FloatArray, *, size: int | None, allowed: float | None
    ) -> IntArray:
        """Choose; see `bondwork.contracts.Reduction`."""
        return select_forward(cost, mass, size=size, allowed=0.0 if allowed is None else allowed)


class Backward:
    """Backward reduction."""

    summary = "removes the scenario that raises the distance least; where most are kept"

    def select(
        self, cost: CostMatrix, mass: FloatArray, *, size: int | None, allowed: float | None
    ) -> IntArray:
        """Choose; see `bondwork.contracts.Reduction`."""
        return select_backward(cost, mass, size=size, allowed=np.inf if allowed is None else allowed)


class Medoids:
    """Forward selection, then swaps."""

    summary = "forward, then swaps of a kept scenario for another until none helps; best and slowest"

    def select(
        self, cost: CostMatrix, mass: FloatArray, *, size: int | None, allowed: float | None
    ) -> IntArray:
        """Choose; see `bondwork.contracts.Reduction`."""
        kept = select_forward(cost, mass, size=size, allowed=0.0 if allowed is None else allowed)
        return swap_medoids(cost, mass, kept)


def cost_matrix(points: FloatArray, *, order: float, norm: Norm) -> CostMatrix:
    """Return ||x_i - x_j||**order for all pairs, shape (n, n), with a diagonal of 0.

    Euclidean distances of many coordinates come from products (BLAS), after centring; they carry a relative
    error of about the square root of the precision for points that almost coincide.
    """
    n = len(points)
    kind = np.float64 if n <= _DOUBLE else np.float32
    cost = np.empty((n, n), dtype=kind)
    if norm == "l1" or points.shape[1] <= _FEW:
        for first in range(0, n, _BLOCK):
            cost[first : first + _BLOCK] = pairwise_cost(
                points[first : first + _BLOCK], points, order=order, norm=norm
            )
        return cost
    centred = (points - points.mean(axis=0)).astype(kind)
    np.matmul(centred, centred.T, out=cost)
    squares = cost.diagonal().copy()
    for first in range(0, n, _BLOCK):
        block = cost[first : first + _BLOCK]
        block *= -2.0
        # One sum of two squares, so that rounding is the same on both sides of the diagonal.
        block += squares + squares[first : first + _BLOCK, np.newaxis]
        np.maximum(block, 0.0, out=block)
        if order != 2.0:
            np.sqrt(block, out=block)
        if order not in (1.0, 2.0):
            np.power(block, order, out=block)
    np.fill_diagonal(cost, 0.0)
    return cost


def select_forward(cost: CostMatrix, mass: FloatArray, *, size: int | None, allowed: float) -> IntArray:
    """Fast forward selection (Heitsch & Roemisch 2003): add the point that lowers the cost most.

    Stops at ``size`` points, or (``None``) as soon as the cost, E[min distance**order], is at most
    ``allowed``. Returns the points in the order in which they were added.

    The gain of point u is the sum over k of p_k * max(0, d_k - c_uk), d_k being the cost of k so far. When a
    point is added, d falls for those k alone that it now serves, so only their terms are brought up to date:
    with d falling from a to b, max(0, a - c) - max(0, b - c) = a - min(max(c, b), a).
    """
    n = len(mass)
    weight = mass.astype(cost.dtype)
    total = _weighted_rows(cost, mass)
    kept = [int(np.argmin(total))]
    nearest = cost[kept[0]].copy()
    gain = np.zeros(n)
    _lower_gains(gain, cost, weight, np.arange(n), nearest, np.zeros_like(nearest))
    # What was taken off is what each point would have gained, all of it.
    gain = -gain
    limit = n if size is None else size
    while len(kept) < limit and (size is not None or float(mass @ nearest) > allowed):
        gain[kept[-1]] = -np.inf
        best = int(np.argmax(gain))
        kept.append(best)
        served = np.flatnonzero(cost[best] < nearest)
        before, after = nearest[served], cost[best, served]
        _lower_gains(gain, cost, weight, served, before, after)
        nearest[served] = after
    return np.array(kept, dtype=np.int64)


def select_backward(cost: CostMatrix, mass: FloatArray, *, size: int | None, allowed: float) -> IntArray:
    """Backward reduction (Heitsch & Roemisch 2003): remove the point that raises the cost least.

    Stops at ``size`` points, or (``None``) before the cost would exceed ``allowed``. Returns the points left.

    Every point knows the nearest and second nearest kept one; removing j costs the sum, over the points that
    j serves, of p * (second - nearest). Only points that lose one of the two look for another.
    """
    n = len(mass)
    kept = np.arange(n)
    if n == 1:
        return kept
    first, d1 = kept.copy(), np.zeros(n, dtype=cost.dtype)
    second, d2 = _second_nearest(cost)
    spent = 0.0
    while len(kept) > (1 if size is None else size):
        rise = np.bincount(first, mass * (d2 - d1), n)[kept]
        at = int(np.argmin(rise))
        spent += float(rise[at])
        if size is None and spent > allowed:
            break
        gone = kept[at]
        kept = np.delete(kept, at)
        served = first == gone
        lost = np.flatnonzero(served | (second == gone))
        first[served], d1[served] = second[served], d2[served]
        for start in range(0, len(lost), _BLOCK):
            rows = lost[start : start + _BLOCK]
            choice = cost[rows[:, np.newaxis], kept]
            choice[np.arange(len(rows)), np.searchsorted(kept, first[rows])] = np.inf
            place = np.argmin(choice, axis=1)
            second[rows], d2[rows] = kept[place], choice[np.arange(len(rows)), place]
    return kept


def swap_medoids(cost: CostMatrix, mass: FloatArray, kept: IntArray) -> IntArray:
    """Swap a kept point for another while that lowers the cost (PAM, as in Schubert & Rousseeuw 2021).

    Returns points at which no single swap helps (or those after 50 passes over all candidates).
    """
    n, m = len(mass), len(kept)
    if m in (1, n):
        # One point was chosen among all; all points cannot be bettered.
        return kept
    medoids = kept.copy()
    rows = cost[medoids]
    first, d1, d2 = _two_nearest(rows)
    loss = np.bincount(first, mass * (d2 - d1), m)
    is_kept = np.zeros(n, dtype=bool)
    is_kept[medoids] = True
    # A gain within rounding of the matrix could be undone by the next swap, for ever.
    least = float(np.finfo(cost.dtype).eps) * 10.0 * float(mass @ d1)
    idle, candidate = 0, 0
    for _ in range(_PASSES * n):
        if idle >= n:
            break
        candidate, idle = (candidate + 1) % n, idle + 1
        if is_kept[candidate]:
            continue
        offered = cost[candidate]
        shared = float(mass @ np.minimum(offered - d1, 0.0))
        # Points served by the medoid that goes: they move to the candidate or to their second nearest.
        own = np.bincount(first, mass * (np.clip(offered, d1, d2) - d2), m)
        change = shared + loss + own
        out = int(np.argmin(change))
        if change[out] >= -least:
            continue
        is_kept[medoids[out]], is_kept[candidate] = False, True
        medoids[out], rows[out] = candidate, offered
        first, d1, d2 = _two_nearest(rows)
        loss = np.bincount(first, mass * (d2 - d1), m)
        idle = 0
    return medoids


def _weighted_rows(cost: CostMatrix, mass: FloatArray) -> FloatArray:
    """Return cost @ mass in double precision."""
    blocks = [cost[at : at + _BLOCK].astype(np.float64) @ mass for at in range(0, len(mass), _BLOCK)]
    return np.concatenate(blocks)


def _lower_gains(
    gain: FloatArray,
    cost: CostMatrix,
    weight: NDArray[Any],
    served: IntArray,
    before: NDArray[Any],
    after: NDArray[Any],
) -> None:
    """Take off what the gains of all points lose when the cost of ``served`` falls from before to after."""
    for start in range(0, len(served), _BLOCK):
        part = slice(start, start + _BLOCK)
        a, b = before[part, np.newaxis], after[part, np.newaxis]
        block = cost[served[part]]
        np.clip(block, b, a, out=block)
        np.subtract(a, block, out=block)
        gain -= weight[served[part]] @ block


def _second_nearest(cost: CostMatrix) -> tuple[IntArray, NDArray[Any]]:
    """Nearest other point of each point, and its cost."""
    n = len(cost)
    nearest = np.empty(n, dtype=np.int64)
    value = np.empty(n, dtype=cost.dtype)
    for start in range(0, n, _BLOCK):
        block = cost[start : start + _BLOCK].copy()
        rows = np.arange(len(block))
        block[rows, start + rows] = np.inf
        nearest[start : start + _BLOCK] = np.argmin(block, axis=1)
        value[start : start + _BLOCK] = block[rows, nearest[start : start + _BLOCK]]
    return nearest, value


def _two_nearest(rows: NDArray[Any]) -> tuple[IntArray, NDArray[Any], NDArray[Any]]:
    """For each column: the row with the least entry, that entry, and the second least."""
    columns = np.arange(rows.shape[1])
    first = np.argmin(rows, axis=0)
    least = rows[first, columns]
    rows[first, columns] = np.inf
    second = rows.min(axis=0)
    rows[first, columns] = least
    return first, least, second
