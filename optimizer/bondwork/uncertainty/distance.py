"""Distances between discrete laws, between a law and points, and between scenario trees (MODEL 3).

With order r and a norm, the Wasserstein (Kantorovich) distance is

    W_r(P, Q) = ( min over couplings of E ||X - Y||**r ) ** (1/r)

The nested distance (Pflug & Pichler 2012) allows only couplings that respect what is known when; it bounds
the difference of optimal values of multistage programs, which W alone does not. Paths are compared by d(x,
y)**r = sum over stages of ||x_t - y_t||**r.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np

from bondwork.uncertainty.transport import transport
from bondwork.uncertainty.tree import TreeError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from bondwork.arrays import FloatArray, IntArray
    from bondwork.uncertainty.laws import SmoothLaw
    from bondwork.uncertainty.tree import ScenarioTree

#: How the distance of two points is measured: sum of absolute differences, or Euclidean.
Norm: TypeAlias = Literal["l1", "l2"]


def pairwise_cost(x: ArrayLike, y: ArrayLike, *, order: float = 1.0, norm: Norm = "l2") -> FloatArray:
    """Return ||x_i - y_j||**order, shape (n, m), of points x of shape (n, d) and y of shape (m, d).

    Examples
    --------
    >>> pairwise_cost([[0.0, 0.0]], [[3.0, 4.0], [0.0, 1.0]]).tolist()
    [[5.0, 1.0]]
    """
    first, second = as_points(x), as_points(y)
    check_metric(order, norm)
    if first.shape[1] != second.shape[1]:
        raise ValueError(f"points have {first.shape[1]} and {second.shape[1]} coordinates")
    if first.shape[1] == 0:
        return np.zeros((len(first), len(second)))
    if first.shape[1] == 1:
        return np.asarray(np.abs(first - second.T) ** order)
    from scipy.spatial.distance import cdist  # a third of a second, not for one dimension

    return np.asarray(cdist(first, second, "cityblock" if norm == "l1" else "euclidean") ** order)


def wasserstein(
    x: ArrayLike,
    y: ArrayLike,
    p: ArrayLike | None = None,
    q: ArrayLike | None = None,
    *,
    order: float = 1.0,
    norm: Norm = "l2",
) -> float:
    """Wasserstein distance of order r between two discrete laws, exactly.

    Parameters
    ----------
    x, y
        Points, shapes (n, d) and (m, d), or (n,) and (m,) for numbers.
    p, q
        Probabilities, shapes (n,) and (m,); equal if left out.
    order
        r >= 1.
    norm
        ``l1`` or ``l2``; the same in one dimension.

    Returns
    -------
    float
        In the unit of the points. In one dimension by quantiles, in no time; else by
        `bondwork.uncertainty.transport.transport`, up to about a million pairs.

    Examples
    --------
    >>> wasserstein([0.0, 1.0], [0.0, 1.0, 5.0], q=[0.5, 0.25, 0.25])
    1.0
    """
    first, second = as_points(x), as_points(y)
    check_metric(order, norm)
    mass, other = as_probability(p, len(first)), as_probability(q, len(second))
    if first.shape[1] == 1 and second.shape[1] == 1:
        return _by_quantiles(first[:, 0], second[:, 0], mass, other, order)
    cost = pairwise_cost(first, second, order=order, norm=norm)
    return _root(transport(cost, mass, other).cost, order)


def wasserstein_to_law(
    law: SmoothLaw, values: ArrayLike, probabilities: ArrayLike, *, order: Literal[1, 2] = 2
) -> float:
    """Wasserstein distance of order 1 or 2 between a continuous law and points with probabilities, exactly.

    Parameters
    ----------
    law
        A law with partial moments in closed form.
    values, probabilities
        Shape (n,).

    Examples
    --------
    Four points on [0, 1]: W1 = 1 / (4 * 4).

    >>> from bondwork.uncertainty.laws import Uniform
    >>> wasserstein_to_law(Uniform(), [1 / 8, 3 / 8, 5 / 8, 7 / 8], [1 / 4] * 4, order=1)
    0.0625
    """
    points = np.asarray(values, dtype=np.float64)
    rank = np.argsort(points, kind="stable")
    points, mass = points[rank], as_probability(probabilities, len(points))[rank]
    points, mass = points[mass > 0.0], mass[mass > 0.0]
    # Point i stands for the quantiles of the law between two levels: the coupling of least cost in one
    # dimension.
    inner = np.asarray(law.ppf(np.clip(np.cumsum(mass)[:-1], 2.0**-53, 1.0 - 2.0**-53)))
    edges = np.concatenate([[-np.inf], inner, [np.inf]])
    moments = [law.partial_moment(edges, power) for power in (0, 1, 2)]
    if order == 2:
        below = [np.diff(moment) for moment in moments]
        squared = below[2] - 2.0 * points * below[1] + points**2 * below[0]
        return float(np.sqrt(max(squared.sum(), 0.0)))
    if order != 1:
        raise ValueError(f"order is {order}, expected 1 or 2")
    split = np.clip(points, edges[:-1], edges[1:])
    left = [law.partial_moment(split, power) - moments[power][:-1] for power in (0, 1)]
    right = [moments[power][1:] - law.partial_moment(split, power) for power in (0, 1)]
    return float(np.sum(points * left[0] - left[1] + right[1] - points * right[0]))


def nested_distance(a: ScenarioTree, b: ScenarioTree, *, order: float = 1.0, norm: Norm = "l2") -> float:
    """Nested distance of two trees (Pflug & Pichler 2012), exactly: transport problems from the leaves back.

    Parameters
    ----------
    a, b
        Trees with as many stages and the same names at each stage; columns are matched by name.
    order, norm
        See `wasserstein`.

    Notes
    -----
    One small transport problem for each pair of nodes of the same stage that both branch: about 10
    microseconds up to two branches or with equal probabilities, about 1 ms through HiGHS otherwise. Never
    below `tree_wasserstein`, and equal to it for fans.

    Raises
    ------
    TreeError
        For trees that cannot be compared.

    Examples
    --------
    Knowing one stage earlier what will come is a difference that Wasserstein does not see:

    >>> from bondwork.uncertainty.tree import ScenarioTree
    >>> early = ScenarioTree.from_paths([[0, 0], [0.01, -0.01], [1, -1]])
    >>> late = ScenarioTree.from_paths([[0, 0], [0, 0], [1, -1]])
    >>> round(nested_distance(early, late), 9), round(tree_wasserstein(early, late), 9)
    (1.01, 0.01)
    """
    check_metric(order, norm)
    columns = _match(a, b)
    cost = _stage_cost(a, b, a.stages - 1, columns, order, norm)
    for stage in range(a.stages - 2, -1, -1):
        here = _stage_cost(a, b, stage, columns, order, norm)
        nodes, others = a.nodes(stage), b.nodes(stage)
        base, other_base = nodes.stop, others.stop
        for i in range(nodes.start, nodes.stop):
            children = a.children(i)
            p = a.conditional[children]
            rows = cost[children.start - base : children.stop - base]
            for j in range(others.start, others.stop):
                peers = b.children(j)
                block = rows[:, peers.start - other_base : peers.stop - other_base]
                ahead = block[0, 0] if block.size == 1 else transport(block, p, b.conditional[peers]).cost
                here[i - nodes.start, j - others.start] += ahead
        cost = here
    return _root(float(cost[0, 0]), order)


def tree_wasserstein(a: ScenarioTree, b: ScenarioTree, *, order: float = 1.0, norm: Norm = "l2") -> float:
    """Wasserstein distance of the laws of the paths of two trees: what is known when plays no part.

    Parameters as `nested_distance`; a transport problem of scenarios times scenarios.
    """
    check_metric(order, norm)
    columns = _match(a, b)
    cost = np.zeros((len(a.leaves), len(b.leaves)))
    for x, y, order_of in zip(a.paths(), b.paths(), columns, strict=True):
        cost += pairwise_cost(x, y[:, order_of], order=order, norm=norm)
    return _root(transport(cost, a.probability[a.leaves], b.probability[b.leaves]).cost, order)


def as_points(values: ArrayLike) -> FloatArray:
    """Return points as an array of shape (n, d), n >= 1, finite."""
    points = np.asarray(values, dtype=np.float64)
    points = points[:, np.newaxis] if points.ndim == 1 else points
    if points.ndim != 2 or not len(points):
        raise ValueError(f"points have shape {points.shape}, expected (n, d) with n >= 1")
    if not np.all(np.isfinite(points)):
        raise ValueError("points hold a number that is not finite")
    return points


def as_probability(probability: ArrayLike | None, n: int) -> FloatArray:
    """Return probabilities of shape (n,), >= 0 with sum 1; equal ones for ``None``."""
    if probability is None:
        return np.full(n, 1.0 / n)
    mass = np.asarray(probability, dtype=np.float64)
    if mass.shape != (n,) or not np.all(mass >= 0.0) or abs(mass.sum() - 1.0) > 1e-9:
        raise ValueError(f"probabilities must be {n} numbers >= 0 with sum 1")
    return np.asarray(mass / mass.sum())


def check_metric(order: float, norm: str) -> None:
    """Refuse an order below 1 or an unknown norm."""
    if not 1.0 <= order < np.inf:
        raise ValueError(f"order is {order}, expected a number >= 1")
    if norm not in ("l1", "l2"):
        raise ValueError(f"norm is {norm!r}, expected 'l1' or 'l2'")


def _by_quantiles(x: FloatArray, y: FloatArray, p: FloatArray, q: FloatArray, order: float) -> float:
    """Couple equal quantiles, which is optimal in one dimension for every order >= 1."""
    i, j = np.argsort(x, kind="stable"), np.argsort(y, kind="stable")
    level, other = np.cumsum(p[i]), np.cumsum(q[j])
    level[-1] = other[-1] = 1.0
    cuts = np.unique(np.concatenate([level, other]))
    width = np.diff(cuts, prepend=0.0)
    at = np.minimum(np.searchsorted(level, cuts), len(x) - 1)
    peer = np.minimum(np.searchsorted(other, cuts), len(y) - 1)
    return _root(float(np.abs(x[i][at] - y[j][peer]) ** order @ width), order)


def _match(a: ScenarioTree, b: ScenarioTree) -> list[IntArray]:
    """For each stage, the columns of ``b`` in the order of those of ``a``."""
    if a.stages != b.stages:
        raise TreeError([f"trees of {a.stages} and {b.stages} stages cannot be compared"])
    columns = []
    for stage, (names, others) in enumerate(zip(a.names, b.names, strict=True)):
        if sorted(names) != sorted(others):
            raise TreeError(
                [f"stage {stage} holds {list(names)} in one tree and {list(others)} in the other"]
            )
        columns.append(np.array([others.index(name) for name in names], dtype=np.int64))
    return columns


def _stage_cost(
    a: ScenarioTree, b: ScenarioTree, stage: int, columns: list[IntArray], order: float, norm: Norm
) -> FloatArray:
    there = np.take(b.values[stage], columns[stage], axis=1)
    return pairwise_cost(a.values[stage], there, order=order, norm=norm)


def _root(cost: float, order: float) -> float:
    return float(max(cost, 0.0) ** (1.0 / order))
