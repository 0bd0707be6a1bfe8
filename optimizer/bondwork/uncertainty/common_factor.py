"""How often a piece of work succeeds, given the factor that all executors share.

Given the common factor M = m, pieces of different executors are independent. Each succeeds with

    (1 - outage) * E[Phi((Phi**-1(P) - sqrt(common) * m) / sqrt(1 - common))]

where P is its probability given no outage: a number, or a beta distribution over which is averaged. The
executor's own factor is part of what the normal distribution function averages over. With ``common`` at 1 it
is a step. Given a round of a history, the probabilities are those of `bondwork.uncertainty.thinning`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import scipy

from bondwork.uncertainty.dependence import given_no_outage
from bondwork.uncertainty.normal_nodes import RANGE, STEP

if TYPE_CHECKING:
    from bondwork.arrays import FloatArray, IntArray
    from bondwork.uncertainty.outcomes import OutcomeLaw

#: Probabilities at which the quantiles of a beta distribution tell where it bends.
_LADDER = (1e-13, 1e-9, 1e-6, 1e-4, 1e-3, 0.01, 0.05, 0.15, 0.3, 0.5)

#: Sharpest bend, on the normal scale, of a beta distribution that has a parameter below 1.
_SHARPEST = 0.05

#: Longest step on the scale of the logit: the density has poles at a distance of pi from the real line.
_POLES = 0.3

#: Parameters of beta distributions below which the logit reaches too far.
_TINY = 0.02

#: Means so near to 0 or 1 are numbers, whatever their concentration; as in samples.
_CERTAIN = 1e-12


@dataclass(frozen=True, slots=True, eq=False)
class FactorModel:
    """Chances of n pieces of work given the common factor of a Gaussian copula, from `FactorModel.of`.

    Attributes
    ----------
    mean
        Shape (n,). Expected success probability given no outage.
    concentration
        Shape (n,), ``inf`` where it is a number.
    up
        Shape (n,). Probability of no outage.
    common
        Share of the common factor in the variance.
    """

    mean: FloatArray
    concentration: FloatArray
    up: FloatArray
    common: float

    @classmethod
    def of(cls, law: OutcomeLaw) -> FactorModel:
        """Read the pieces of a joint law."""
        outage = law.outage_probability[law.executor]
        mean = given_no_outage(law.success_probability, outage)
        certain = (mean < _CERTAIN) | (mean > 1.0 - _CERTAIN)
        common = law.dependence.common
        # 0.7 + 0.3 and the like leave a rounding error; a tiny share of the others is meant to be none
        common = 1.0 if 1.0 - common <= 1e-12 else common
        return cls(mean, np.where(certain, np.inf, law.concentration), 1.0 - outage, common)

    @property
    def own(self) -> float:
        """Standard deviation of all that is not common."""
        return float(np.sqrt(1.0 - self.common))

    def success(self, pieces: IntArray, factor: FloatArray) -> FloatArray:
        """Probability that each of some pieces succeeds, given the factor. Shape (pieces, factors)."""
        shift = np.sqrt(self.common) * factor
        mean, sigma = self.mean[pieces], self.own
        score = scipy.special.ndtri(mean)[:, np.newaxis]
        found = (
            (shift <= score).astype(np.float64)
            if sigma == 0.0
            else scipy.special.ndtr((score - shift) / sigma)
        )
        for row in np.flatnonzero(np.isfinite(self.concentration[pieces])).tolist():
            nu = float(self.concentration[pieces[row]])
            found[row] = average_over_beta(float(mean[row]) * nu, float(1.0 - mean[row]) * nu, shift, sigma)
        return np.asarray(found * self.up[pieces, np.newaxis])

    def bends(self, piece: int) -> FloatArray:
        """Values of the factor between which the piece's success is smooth, ascending.

        Outside of them it is constant, to 1e-12. Empty where it is so everywhere.
        """
        nu = float(self.concentration[piece])
        if np.isfinite(nu):
            a, b = float(self.mean[piece]) * nu, float(1.0 - self.mean[piece]) * nu
            low = scipy.special.ndtri(scipy.special.betaincinv(a, b, _LADDER))
            high = -scipy.special.ndtri(scipy.special.betaincinv(b, a, _LADDER))
            score = np.unique(np.concatenate([low, high]))
            score = np.unique(np.concatenate([score, (score[1:] + score[:-1]) / 2.0]))
        else:
            score = scipy.special.ndtri(self.mean[[piece]])
        score = score[np.isfinite(score)]
        if not len(score):
            return np.zeros(0)
        window = RANGE * np.linspace(-1.0, 1.0, 11) * self.own
        edges = np.concatenate([score, score[0] + window, score[-1] + window])
        found: FloatArray = np.unique(np.clip(edges / np.sqrt(self.common), -RANGE, RANGE))
        return found


def average_over_beta(a: float, b: float, shift: FloatArray, sigma: float) -> FloatArray:
    """Return E[Phi((Phi**-1(P) - shift) / sigma)] for P of Beta(a, b): a step where ``sigma`` is 0.

    Examples
    --------
    >>> float(np.round(average_over_beta(1.0, 1.0, np.array([0.0]), 0.7), 12)[0])
    0.5
    """
    spread = _spread(a, b)
    skewed = min(a, b) < 1.0
    if min(a, b) < _TINY or sigma < (_SHARPEST if skewed else spread):
        # a normal number added to the shift, and how often Phi**-1(P) is above that
        bend = _SHARPEST if skewed else spread
        step = STEP / np.sqrt(1.0 + (sigma / bend) ** 2) if sigma > 0.0 else 2.0 * RANGE
        points = step * np.arange(-np.ceil(RANGE / step), np.ceil(RANGE / step) + 1.0)
        weights = np.exp(-0.5 * points**2) if sigma > 0.0 else (points == 0.0).astype(np.float64)
        x = shift[:, np.newaxis] + sigma * points
        above = np.empty_like(x)
        left = x < 0.0
        above[left] = scipy.special.betaincc(a, b, scipy.special.ndtr(x[left]))
        above[~left] = scipy.special.betainc(b, a, scipy.special.ndtr(-x[~left]))
        return np.asarray(above @ (weights / weights.sum()))
    # the logit of P: its density falls off like exp(a * u) and exp(-b * u)
    centre, width = (
        scipy.special.logit(a / (a + b)),
        float(np.sqrt(scipy.special.polygamma(1, a) + scipy.special.polygamma(1, b))),
    )
    step = min(0.8 * STEP / np.sqrt(1.0 / width**2 + 0.4 / sigma**2), _POLES)
    away = step * np.arange(-np.ceil(_reach(a, width) / step), np.ceil(_reach(b, width) / step) + 1.0)
    mean = a / (a + b)
    near = scipy.special.log1p(
        mean * np.expm1(np.minimum(away, 30.0))
    )  # exact for narrow laws, and no overflow
    far = np.logaddexp(scipy.special.log1p(-mean), np.log(mean) + away)
    density = np.exp(a * away - (a + b) * np.where(away < 30.0, near, far))
    u = centre + away
    score = np.where(
        u < 0.0, scipy.special.ndtri(scipy.special.expit(u)), -scipy.special.ndtri(scipy.special.expit(-u))
    )
    given = scipy.special.ndtr((score - shift[:, np.newaxis]) / sigma)
    return np.asarray(given @ (density / density.sum()))


def _reach(parameter: float, width: float) -> float:
    """How far the logit of a beta variable gets on the side of a parameter, its standard deviation given."""
    return 8.0 * width + 28.0 / parameter


def _spread(a: float, b: float) -> float:
    """Standard deviation of the normal quantile of a Beta(a, b), roughly."""
    mean = a / (a + b)
    width = float(np.sqrt(scipy.special.polygamma(1, a) + scipy.special.polygamma(1, b)))
    score = scipy.special.ndtri(mean)
    slope = mean * (1.0 - mean) / max(float(np.exp(-0.5 * score**2) / np.sqrt(2.0 * np.pi)), 1e-300)
    return width * min(slope, 1.0)


def resampled_success(law: OutcomeLaw, rates: FloatArray) -> FloatArray:
    """Probability that each piece of work succeeds, given each round of a history. Shape (n, rounds).

    A failure probability f is thinned or raised as `bondwork.uncertainty.thinning.Resampled` says; where it
    is a beta distribution, the average over both sides of the history's mean has incomplete moments.

    Parameters
    ----------
    law
        Joint law of n pieces of work.
    rates
        Shape (rounds, executors). Failure rates of the history.
    """
    rate = rates[:, law.executor].T
    mean = rate.mean(axis=1, keepdims=True)
    f = 1.0 - law.success_probability[:, np.newaxis]
    nu = law.concentration[:, np.newaxis]
    uncertain = np.isfinite(nu) & (f > _CERTAIN) & (f < 1.0 - _CERTAIN)
    a, b = np.where(uncertain, f * nu, 1.0), np.where(uncertain, (1.0 - f) * nu, 1.0)
    below = np.where(uncertain, scipy.special.betainc(a, b, mean), (f <= mean).astype(np.float64))
    part = np.where(uncertain, f * scipy.special.betainc(a + 1.0, b, mean), f * below)
    with np.errstate(divide="ignore", invalid="ignore"):
        thinned = np.where(part > 0.0, part * rate / mean, 0.0)
        kept = np.where(below < 1.0, ((1.0 - below) - (f - part)) * (1.0 - rate) / (1.0 - mean), 0.0)
    return np.asarray(np.clip(1.0 - thinned - (1.0 - below) + kept, 0.0, 1.0))
