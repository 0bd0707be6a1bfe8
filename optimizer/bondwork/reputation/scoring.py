"""How good forecasts of outcomes were: scoring rules, calibration, coverage, and whether one was better.

Scores are losses: smaller is better.

References
----------
T. Gneiting & A. E. Raftery, Strictly proper scoring rules, prediction, and estimation, Journal of the
American Statistical Association 102 (2007) 359-378. F. X. Diebold & R. S. Mariano, Comparing predictive
accuracy, Journal of Business & Economic Statistics 13 (1995) 253-263. D. Harvey, S. Leybourne & P. Newbold,
Testing the equality of prediction mean squared errors, International Journal of Forecasting 13 (1997)
281-291.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bondwork.reputation.beta_binomial import MEAN_MARGIN, log_probability

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from bondwork.arrays import FloatArray, IntArray

#: Terms of the law of a count that are summed at most; see `pit`.
MOST_SUMMED = 100_000


@dataclass(frozen=True, slots=True)
class Comparison:
    """Whether one forecaster's losses are smaller than another's (Diebold & Mariano 1995).

    Attributes
    ----------
    difference
        Mean loss of the first less that of the second; below 0 the first was better.
    statistic, p_value
        With the small-sample correction of Harvey, Leybourne & Newbold; two-sided, Student t.
    """

    difference: float
    statistic: float
    p_value: float


@dataclass(frozen=True, slots=True, eq=False)
class Calibration:
    """Forecasts in bins of equal numbers of outcomes: what was forecast, and what came.

    Attributes
    ----------
    forecast, observed
        Shape (bins,). Mean forecast, and share of successes.
    standard_error
        Shape (bins,). Of ``observed``, if outcomes were independent with the forecast's probability.
    outcomes
        Shape (bins,). How many.
    """

    forecast: FloatArray
    observed: FloatArray
    standard_error: FloatArray
    outcomes: IntArray

    @property
    def error(self) -> float:
        """Mean distance of forecast and observed, weighted by outcomes (expected calibration error)."""
        return float(np.average(np.abs(self.forecast - self.observed), weights=self.outcomes))


def log_score(
    successes: ArrayLike, trials: ArrayLike, mean: ArrayLike, concentration: ArrayLike
) -> FloatArray:
    """Surprise at each count: minus its log probability under the forecast."""
    return -log_probability(successes, trials, mean, concentration)


def brier_score(successes: ArrayLike, trials: ArrayLike, mean: ArrayLike) -> FloatArray:
    """Mean squared distance of the forecast from each single outcome; NaN where there were none."""
    k, n, m = (np.asarray(each, dtype=np.float64) for each in (successes, trials, mean))
    with np.errstate(invalid="ignore", divide="ignore"):
        score: FloatArray = (k * (1.0 - m) ** 2 + (n - k) * m**2) / n
    return score


def calibrate(successes: ArrayLike, trials: ArrayLike, mean: ArrayLike, bins: int = 10) -> Calibration:
    """Set forecasts beside what came, in bins of about equal numbers of outcomes."""
    k, n, m = (np.asarray(each, dtype=np.float64).ravel() for each in (successes, trials, mean))
    there = n > 0.0
    k, n, m = k[there], n[there], m[there]
    order = np.argsort(m, kind="stable")
    k, n, m = k[order], n[order], m[order]
    share = (np.cumsum(n) - 0.5 * n) / n.sum()
    number = np.minimum((share * bins).astype(np.int64), bins - 1)
    used, number = np.unique(number, return_inverse=True)
    outcomes = np.bincount(number, weights=n, minlength=len(used))
    variance = np.bincount(number, weights=n * m * (1.0 - m)) / outcomes**2
    return Calibration(
        forecast=np.bincount(number, weights=n * m) / outcomes,
        observed=np.bincount(number, weights=k) / outcomes,
        standard_error=np.sqrt(variance),
        outcomes=outcomes.astype(np.int64),
    )


def coverage(p: ArrayLike, mean: ArrayLike, concentration: ArrayLike, level: float = 0.9) -> float:
    """Share of true probabilities within the central interval of their Beta forecast."""
    from scipy.stats import beta

    m = np.clip(np.asarray(mean, dtype=np.float64), MEAN_MARGIN, 1.0 - MEAN_MARGIN)
    nu = np.asarray(concentration, dtype=np.float64)
    tail = (1.0 - level) / 2.0
    place = beta.cdf(np.asarray(p, dtype=np.float64), m * nu, (1.0 - m) * nu)
    return float(np.mean((place >= tail) & (place <= 1.0 - tail)))


def interval_coverage(
    successes: ArrayLike, trials: ArrayLike, mean: ArrayLike, concentration: ArrayLike, level: float = 0.9
) -> float:
    """Share of counts within the central interval of their forecast, by randomised rank.

    Counts are discrete: each takes a place drawn uniformly within the probability that it had, from a fixed
    seed, so that a perfect forecaster covers exactly the level on average.
    """
    place = pit(successes, trials, mean, concentration)
    tail = (1.0 - level) / 2.0
    return float(np.mean((place >= tail) & (place <= 1.0 - tail)))


def pit(successes: ArrayLike, trials: ArrayLike, mean: ArrayLike, concentration: ArrayLike) -> FloatArray:
    """Randomised probability integral transforms of counts: uniform where forecasts are right."""
    k, n, m, nu = (
        np.asarray(each, dtype=np.float64).ravel() for each in (successes, trials, mean, concentration)
    )
    m = np.clip(m, MEAN_MARGIN, 1.0 - MEAN_MARGIN)
    a, b = m * nu, (1.0 - m) * nu
    upper = _share_up_to(k, n, a, b)
    lower = upper - np.exp(log_probability(k, n, m, nu))
    uniform = np.random.default_rng(0).random(len(k))
    place: FloatArray = np.clip(lower + uniform * (upper - lower), 0.0, 1.0)
    return place


def _share_up_to(k: FloatArray, n: FloatArray, a: FloatArray, b: FloatArray) -> FloatArray:
    """Probability of at most k successes in n trials, p from Beta(a, b). Shapes (N,).

    Terms are summed, of many trials those from the nearer end. Where that is too far away on both sides, the
    share of successes is as good as continuous: the beta law of the same mean and variance.
    """
    from scipy.stats import beta, betabinom

    found = np.empty(len(k))
    many = n > MOST_SUMMED
    low, high = ~many | (k <= MOST_SUMMED), many & (n - k <= MOST_SUMMED)
    between = ~(low | high)
    found[low] = betabinom.cdf(k[low], n[low], a[low], b[low])
    found[high] = 1.0 - betabinom.cdf((n - k - 1.0)[high], n[high], b[high], a[high])
    nu = (a + b)[between]
    size = (1.0 + nu) * n[between] / (n[between] + nu) - 1.0
    mean = a[between] / nu
    found[between] = beta.cdf((k[between] + 0.5) / n[between], mean * size, (1.0 - mean) * size)
    return found


def diebold_mariano(first: ArrayLike, second: ArrayLike, horizon: int = 1) -> Comparison:
    """Test whether two series of losses have the same mean.

    Parameters
    ----------
    first, second
        Shape (T,). Losses of the two forecasters at the same times (or of the same independent units).
    horizon
        Steps ahead; autocovariances up to horizon - 1 enter the variance.

    Raises
    ------
    ValueError
        Fewer than two losses.

    Examples
    --------
    >>> diebold_mariano([1.0, 1.2, 0.9, 1.1], [1.4, 1.5, 1.5, 1.3]).p_value < 0.05
    True
    """
    from scipy.stats import t as student

    d = np.asarray(first, dtype=np.float64) - np.asarray(second, dtype=np.float64)
    size = len(d)
    if size < 2:
        raise ValueError(f"{size} losses, expected at least 2")
    mean = float(d.mean())
    centred = d - mean
    variance = float(centred @ centred) / size
    for lag in range(1, min(horizon, size)):
        variance += 2.0 * float(centred[lag:] @ centred[:-lag]) / size
    correction = (size + 1 - 2 * horizon + horizon * (horizon - 1) / size) / size
    if variance <= 0.0 or correction <= 0.0:
        same = mean == 0.0
        return Comparison(mean, 0.0 if same else math.copysign(math.inf, mean), 1.0 if same else 0.0)
    statistic = mean / math.sqrt(variance / size) * math.sqrt(correction)
    return Comparison(mean, statistic, float(2.0 * student.sf(abs(statistic), size - 1)))
