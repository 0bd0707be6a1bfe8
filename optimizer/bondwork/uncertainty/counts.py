"""Laws of counts and events: arrivals, outages, work overruns (MODEL 3)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import scipy

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import ArrayLike

    from bondwork.arrays import FloatArray
    from bondwork.uncertainty.laws import Law


@dataclass(frozen=True, slots=True)
class Poisson:
    """Number of independent arrivals, ``mean`` >= 0 of them on average.

    JSON: ``{"law": "poisson", "mean": 12.0}``. Not for arrivals in bursts (variance above the
    mean): that is `NegativeBinomial`.

    Examples
    --------
    >>> Poisson(12.0).ppf([0.05, 0.5, 0.95]).tolist()
    [7.0, 12.0, 18.0]
    """

    mean: float

    def __post_init__(self) -> None:
        if not 0.0 <= self.mean < np.inf:
            raise ValueError(f"mean is {self.mean!r}, expected a finite number >= 0")

    @property
    def variance(self) -> float:
        """Equal to the mean."""
        return self.mean

    def ppf(self, u: ArrayLike) -> FloatArray:
        """Return the quantiles at ``u``: whole numbers, as floats."""
        return _invert(
            lambda k: np.asarray(scipy.special.gammaincc(k + 1.0, self.mean)), self.mean, self.variance, u
        )


@dataclass(frozen=True, slots=True)
class NegativeBinomial:
    """Number of arrivals that come in bursts: variance ``mean + dispersion * mean**2`` (as MODEL 6).

    JSON: ``{"law": "negative_binomial", "mean": 12.0, "dispersion": 0.5}``, with ``dispersion`` > 0.

    Examples
    --------
    >>> law = NegativeBinomial(12.0, 0.5)
    >>> law.variance, law.ppf([0.05, 0.5, 0.95]).tolist()
    (84.0, [1.0, 10.0, 30.0])
    """

    mean: float
    dispersion: float

    def __post_init__(self) -> None:
        if not 0.0 <= self.mean < np.inf:
            raise ValueError(f"mean is {self.mean!r}, expected a finite number >= 0")
        if not 0.0 < self.dispersion < np.inf:
            raise ValueError(f"dispersion is {self.dispersion!r}, expected a finite number > 0; 0 is Poisson")

    @property
    def variance(self) -> float:
        """``mean + dispersion * mean**2``."""
        return self.mean + self.dispersion * self.mean**2

    def ppf(self, u: ArrayLike) -> FloatArray:
        """Return the quantiles at ``u``: whole numbers, as floats."""
        size = 1.0 / self.dispersion
        success = size / (size + self.mean)
        return _invert(
            lambda k: np.asarray(scipy.special.betainc(size, k + 1.0, success)), self.mean, self.variance, u
        )


@dataclass(frozen=True, slots=True)
class Outage:
    """Whether a coprocessor is out for the round: 1 with ``probability``, else 0.

    Examples
    --------
    >>> Outage(0.25).ppf([0.1, 0.74, 0.76]).tolist()
    [0.0, 0.0, 1.0]
    """

    probability: float

    def __post_init__(self) -> None:
        if not 0.0 <= self.probability <= 1.0:
            raise ValueError(f"probability is {self.probability!r}, expected a number in [0, 1]")

    @property
    def mean(self) -> float:
        """The probability."""
        return self.probability

    @property
    def variance(self) -> float:
        """``probability * (1 - probability)``."""
        return self.probability * (1.0 - self.probability)

    def ppf(self, u: ArrayLike) -> FloatArray:
        """Return 1.0 where ``u`` lies above ``1 - probability``, else 0.0."""
        return (np.asarray(u, dtype=np.float64) > 1.0 - self.probability).astype(np.float64)


@dataclass(frozen=True, slots=True)
class WorkOverrun:
    """Actual over estimated work, one factor a task: touches capacity only, never p or the reward.

    JSON: ``{"law": "overrun", "factor": LAW}``.

    Attributes
    ----------
    factor
        Law of the factor, without negative numbers. A mean other than 1 says that estimates are biased.

    Examples
    --------
    >>> from bondwork.uncertainty.laws import Values
    >>> overrun = WorkOverrun(Values((1.0, 1.5), (0.8, 0.2)))
    >>> overrun.work([[4.0, 2.0], [1.0, 0.0]], u=[[0.5, 0.9]]).tolist()
    [[[4.0, 2.0], [1.5, 0.0]]]
    """

    factor: Law

    def __post_init__(self) -> None:
        if float(self.factor.ppf(2.0**-53)) < 0.0:
            raise ValueError(f"factor is {self.factor!r}, expected a law without negative numbers")

    @property
    def mean(self) -> float:
        """Mean of the factor."""
        return self.factor.mean

    @property
    def variance(self) -> float:
        """Variance of the factor."""
        return self.factor.variance

    def ppf(self, u: ArrayLike) -> FloatArray:
        """Return the quantiles of the factor at ``u``."""
        return self.factor.ppf(u)

    def work(self, estimate: ArrayLike, u: ArrayLike) -> FloatArray:
        """Return the work that turns out, in the unit of each resource. Shape (S, O, R).

        Parameters
        ----------
        estimate
            Shape (O, R). ``work`` of the offers.
        u
            Shape (S, O). One uniform for each scenario and offer; repeat a column where offers share a task.
        """
        return self.factor.ppf(u)[:, :, np.newaxis] * np.asarray(estimate, dtype=np.float64)[np.newaxis]


def _invert(
    cdf: Callable[[FloatArray], FloatArray], mean: float, variance: float, u: ArrayLike
) -> FloatArray:
    """Least whole k with ``cdf(k) >= u``, from a table made long enough: exact, for real parameters."""
    points = np.asarray(u, dtype=np.float64)
    top = float(points.max(initial=0.0))
    if top >= 1.0 or float(points.min(initial=1.0)) < 0.0:
        raise ValueError("u holds a number outside [0, 1)")
    length = int(mean + 10.0 * np.sqrt(variance)) + 10
    table = cdf(np.arange(length, dtype=np.float64))
    # Ends: both distribution functions reach 1.0 in double precision, and top is below it.
    while table[-1] < top:
        length *= 2
        table = cdf(np.arange(length, dtype=np.float64))
    return np.searchsorted(table, points).astype(np.float64)
