"""The transport problem: the cheapest way to turn one discrete law into another, exactly."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bondwork.arrays import freeze_fields

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from bondwork.arrays import FloatArray, IntArray


@dataclass(frozen=True, slots=True, eq=False)
class Transport:
    """An optimal transport plan.

    Attributes
    ----------
    cost
        Its cost.
    source, target, mass
        Shape (k,). How much goes from where to where; only what is not 0.
    """

    cost: float
    source: IntArray
    target: IntArray
    mass: FloatArray

    def __post_init__(self) -> None:
        freeze_fields(self, "source", "target", "mass")


def transport(cost: ArrayLike, supply: ArrayLike, demand: ArrayLike) -> Transport:
    """Solve a transport problem to optimality.

    Parameters
    ----------
    cost
        Shape (m, n), finite.
    supply, demand
        Shapes (m,) and (n,), >= 0, with the same sum (within 1e-9 of it).

    Returns
    -------
    Transport

    Raises
    ------
    ValueError
        For shapes that do not match, negative masses, or sums that differ.
    RuntimeError
        When HiGHS does not reach an optimum, with its status.

    Notes
    -----
    One or two sources (or targets) have a closed form; equal masses are an assignment problem; the rest is a
    linear program of m * n columns for HiGHS. Not for more than about a million columns: that takes minutes,
    and reduction (`bondwork.uncertainty.reduction`) needs no program at all.

    Examples
    --------
    >>> transport([[0.0, 2.0], [1.0, 1.0]], [0.5, 0.5], [0.25, 0.75]).cost
    1.0
    """
    c = np.asarray(cost, dtype=np.float64)
    p, q = np.asarray(supply, dtype=np.float64), np.asarray(demand, dtype=np.float64)
    if c.shape != (len(p), len(q)):
        raise ValueError(f"cost has shape {c.shape}, expected ({len(p)}, {len(q)})")
    if np.any(p < 0.0) or np.any(q < 0.0) or not np.all(np.isfinite(c)):
        raise ValueError("masses must not be negative, and costs must be finite")
    total = p.sum()
    if abs(total - q.sum()) > 1e-9 * max(total, 1e-300):
        raise ValueError(f"supply sums to {total}, demand to {q.sum()}")
    rows, columns = np.flatnonzero(p), np.flatnonzero(q)
    if not len(rows):
        return Transport(0.0, rows, columns, np.zeros(0))
    source, target, mass = _solve(c[np.ix_(rows, columns)], p[rows], q[columns])
    source, target = rows[source], columns[target]
    return Transport(float(c[source, target] @ mass), source, target, mass)


def _solve(cost: FloatArray, p: FloatArray, q: FloatArray) -> tuple[IntArray, IntArray, FloatArray]:
    m, n = cost.shape
    if min(m, n) == 1:
        source, target = np.divmod(np.arange(m * n), n)
        return source, target, p if n == 1 else q
    if m == 2:
        return _two_sources(cost, p, q)
    if n == 2:
        target, source, mass = _two_sources(cost.T, q, p)
        return source, target, mass
    if m == n and np.ptp(p) <= 1e-12 * p[0] and np.ptp(q) <= 1e-12 * q[0]:
        from scipy.optimize import linear_sum_assignment  # takes a second to import

        source, target = linear_sum_assignment(cost)
        return np.asarray(source, dtype=np.int64), np.asarray(target, dtype=np.int64), p
    return _linear_program(cost, p, q)


def _two_sources(cost: FloatArray, p: FloatArray, q: FloatArray) -> tuple[IntArray, IntArray, FloatArray]:
    """Fill the first source with the targets that favour it most: a fractional knapsack."""
    order = np.argsort(cost[0] - cost[1], kind="stable")
    filled = np.minimum(np.cumsum(q[order]), p[0])
    first = np.zeros(len(q))
    first[order] = np.diff(filled, prepend=0.0)
    mass = np.stack([first, np.maximum(q - first, 0.0)])
    source, target = np.nonzero(mass)
    return source, target, mass[source, target]


def _linear_program(cost: FloatArray, p: FloatArray, q: FloatArray) -> tuple[IntArray, IntArray, FloatArray]:
    from bondwork.solver.live import LiveLP  # heavy, and most calls have a closed form

    m, n = cost.shape
    # HiGHS's tolerances are absolute: masses of about 1 and costs up to 1 make them mean something.
    unit = p.sum() / max(m, n)
    scale = float(np.abs(cost).max()) or 1.0
    bounds = np.concatenate([p / unit, q * (p.sum() / q.sum()) / unit])
    # a row for each source, then one for each target; columns run through the targets of each source
    columns = np.arange(m * n).reshape(m, n)
    lp = LiveLP()
    lp.load(
        -cost.ravel() / scale,
        np.zeros(m * n),
        np.full(m * n, np.inf),
        bounds,
        bounds,
        np.concatenate([[0], np.cumsum(np.repeat([n, m], [m, n]))]),
        np.concatenate([columns.ravel(), columns.T.ravel()]),
        np.ones(2 * m * n),
    )
    status = lp.solve()
    if status != "optimal":
        raise RuntimeError(f"HiGHS did not solve a {m} x {n} transport problem: {status}")
    mass = lp.point() * unit
    used = np.flatnonzero(mass > 0.0)
    return used // n, used % n, mass[used]
