"""The mean of the worst, and Student's interval: once, for whoever tells a number of a sample.

The check of a plan has its own, which shares nothing with these.
"""

from __future__ import annotations

import math
from fractions import Fraction
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from bondwork.arrays import FloatArray

#: A share of a sample that is nearer to a whole number of its values than this is meant to be that number.
ROUNDING = 1e-9


@lru_cache(maxsize=64)
def tail_share(level: float) -> float:
    """Share of a tail: 0.05 of 0.95, as it is written and not as binary fractions have it.

    Examples
    --------
    >>> tail_share(0.95), 1.0 - 0.95
    (0.05, 0.050000000000000044)
    """
    return float(1 - Fraction(repr(float(level))))


def tail_density(losses: FloatArray, probability: FloatArray, level: float) -> FloatArray:
    """Density, relative to the probabilities, that puts all weight on the worst (1 - level) share of losses.

    Shape (S,), between 0 and 1/(1 - level); the scenario at the edge of the tail counts in part. Its
    expectation of the losses is their CVaR, and its expectation of anything else a lower bound on that
    thing's CVaR: both the value and the cuts come from it.
    """
    share = tail_share(level)
    order = np.argsort(-losses, kind="stable")
    reached = np.cumsum(probability[order])
    inside = int(np.searchsorted(reached, share * (1.0 - 1e-12)))
    density = np.zeros(len(losses))
    density[order[:inside]] = 1.0 / share
    if inside < len(order):
        left = share - (reached[inside - 1] if inside else 0.0)
        edge = order[inside]
        density[edge] = left / share / probability[edge]
    return density


def weighted_cvar(losses: FloatArray, probability: FloatArray, level: float) -> float:
    """CVaR of losses with the given probabilities, in their unit.

    Examples
    --------
    >>> weighted_cvar(np.array([0.0, 1.0, 2.0, 9.0]), np.full(4, 0.25), 0.5)
    5.5
    """
    alike = len(losses) > 0 and probability.min() == probability.max()
    if alike and abs(len(losses) * probability[0] - 1.0) <= ROUNDING:
        # scenarios that were drawn: their losses are sorted in a fraction of the time that their places take
        return float(cvar(losses, level))
    return float(losses @ (tail_density(losses, probability, level) * probability))


def cvar(losses: ArrayLike, level: float) -> FloatArray:
    """CVaR of rows of equally likely losses, the one at the edge of the tail counted in part.

    Parameters
    ----------
    losses
        Shape (..., n), n >= 1.
    level
        From 0, where it is the mean, to 1, where it is the largest.

    Returns
    -------
    FloatArray
        Shape (...).

    Examples
    --------
    >>> float(cvar([0.0, 1.0, 2.0, 9.0], 0.5)), float(cvar([0.0, 1.0, 2.0, 9.0], 0.6))
    (5.5, 6.375)
    """
    ordered = np.sort(np.asarray(losses, dtype=np.float64), axis=-1)[..., ::-1]
    size = ordered.shape[-1]
    mass = tail_share(level) * size
    whole = min(math.floor(mass + ROUNDING), size)
    rest = mass - whole
    if whole == 0 and rest <= ROUNDING:
        return np.asarray(ordered[..., 0])
    if rest > ROUNDING and whole < size:
        edge = ordered[..., whole]
    else:
        edge, mass = ordered[..., whole - 1], float(whole)
    # excesses over the edge of the tail: the mean of equal losses is that loss, to the last digit
    return np.asarray(edge + (ordered[..., :whole] - edge[..., None]).sum(axis=-1) / mass)


def student_quantile(confidence: float, freedom: int) -> float:
    """Quantile of Student's t."""
    from scipy.special import stdtrit

    return float(stdtrit(freedom, confidence))


class Interval(NamedTuple):
    """A mean with its confidence interval; ``None`` where one number gives none."""

    mean: float
    low: float | None
    high: float | None


def student_interval(values: ArrayLike, confidence: float) -> Interval:
    """Mean of independent numbers, and its two-sided interval by Student's t.

    Equal numbers have an interval of width 0, whatever rounding makes of their variance.

    Examples
    --------
    >>> student_interval([0.1, 0.1, 0.1], 0.95)
    Interval(mean=0.1, low=0.1, high=0.1)
    >>> [round(each, 3) for each in student_interval([1.0, 2.0, 3.0], 0.95)]
    [2.0, -0.484, 4.484]
    """
    x = np.asarray(values, dtype=np.float64)
    if len(x) > 1 and x.min() == x.max():
        same = float(x[0])
        return Interval(same, same, same)
    mean = float(x.mean())
    if len(x) < 2 or not np.all(np.isfinite(x)):
        return Interval(mean, None, None)
    half = student_quantile(0.5 + confidence / 2.0, len(x) - 1) * float(x.std(ddof=1)) / math.sqrt(len(x))
    return Interval(mean, mean - half, mean + half)
