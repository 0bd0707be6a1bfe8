"""Confidence intervals of what rounds in a row came to: batch means, and a bootstrap of blocks for tails.

Neighbouring rounds depend on each other (collateral is locked, provers are busy), so single rounds must not
be taken for independent observations: batches and blocks of them nearly are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from bondwork.base.statistics import cvar as tail_mean
from bondwork.base.statistics import student_interval

if TYPE_CHECKING:
    from bondwork.arrays import FloatArray

#: Batches that rounds are averaged into, where there are so many; and the fewest that give an interval.
MOST_BATCHES, FEWEST_BATCHES = 20, 4

#: Resamples of the bootstrap.
RESAMPLES = 1000


class Estimate(NamedTuple):
    """A value with its confidence interval; ``None`` where there are too few rounds for one."""

    value: float
    low: float | None
    high: float | None


def total(values: FloatArray, confidence: float) -> Estimate:
    """Sum over all rounds, with an interval from batch means (Student t).

    Parameters
    ----------
    values
        Shape (n,). One for each round, or a difference of two policies in each.
    confidence
        Of the interval.

    Examples
    --------
    >>> total(np.arange(100.0) % 5, 0.95)
    Estimate(value=200.0, low=200.0, high=200.0)
    """
    n = len(values)
    batches = min(MOST_BATCHES, n // 2)
    if batches < FEWEST_BATCHES:
        return Estimate(float(values.sum()), None, None)
    parts = np.array_split(values, batches)
    value = float(values.sum())
    if values.min() == values.max():
        return Estimate(value, value, value)  # batches of equal numbers differ by rounding
    mean, low, high = student_interval([part.mean() for part in parts], confidence)
    if low is None or high is None:
        return Estimate(value, None, None)
    return Estimate(value, value - (mean - low) * n, value + (high - mean) * n)


def cvar(values: FloatArray, level: float, confidence: float, seed: int) -> Estimate:
    """CVaR over rounds, with a percentile interval from a circular bootstrap of blocks.

    Blocks have about the cube root of the number of rounds (Politis & Romano 1992).
    """
    n = len(values)
    value = float(tail_mean(values, level))
    if n < 2 * FEWEST_BATCHES:
        return Estimate(value, None, None)
    length = max(1, round(n ** (1.0 / 3.0)))
    rng = np.random.default_rng(seed)
    starts = rng.integers(0, n, (RESAMPLES, -(-n // length)))
    places = (starts[:, :, None] + np.arange(length)).reshape(RESAMPLES, -1)[:, :n] % n
    found = tail_mean(values[places], level)
    low, high = np.quantile(found, [0.5 - confidence / 2.0, 0.5 + confidence / 2.0]).tolist()
    return Estimate(value, low, high)
