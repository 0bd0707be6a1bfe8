"""Laws of one random number: rewards, bids, work, prices, probabilities (MODEL 3).

Every law is a frozen value with a quantile function ``ppf``: uniform points in, numbers out. So each method
of `bondwork.uncertainty.points` serves every law, and one uniform can drive several quantiles at once. Laws
of counts and events are in `bondwork.uncertainty.counts`, the JSON forms in `bondwork.uncertainty.law_json`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np
import scipy

from bondwork.uncertainty.seeds import Seed, seed_sequence, stream

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike

    from bondwork.arrays import FloatArray

#: Parameters may not be larger: squares and cubes of them, and sums of those, are numbers too.
LARGEST = 1e100


@runtime_checkable
class Law(Protocol):
    """A law of one real number. Frozen; two laws with the same parameters are equal."""

    @property
    def mean(self) -> float:
        """Expected value, in the unit of the numbers."""
        ...

    @property
    def variance(self) -> float:
        """Variance, in the unit of the numbers squared."""
        ...

    def ppf(self, u: ArrayLike) -> FloatArray:
        """Return the quantiles at ``u``, any shape, entries in (0, 1): the least x with P(X <= x) >= u."""
        ...


@runtime_checkable
class SmoothLaw(Law, Protocol):
    """A law with a density, whose partial moments are known in closed form; what quantizers need."""

    def partial_moment(self, x: ArrayLike, order: int) -> FloatArray:
        """Return E[X**order * 1{X <= x}] for order 0 (the distribution function), 1 or 2. Shape of ``x``."""
        ...


def sample(law: Law, size: int | tuple[int, ...], seed: Seed) -> FloatArray:
    """Draw independent numbers of ``law``, of shape ``size``.

    For stratified or Sobol points, give `bondwork.uncertainty.points.uniforms` to ``law.ppf`` instead.

    Examples
    --------
    >>> bool(abs(sample(Lognormal(mean=10.0, cv=0.3), 4000, seed=0).mean() - 10.0) < 0.2)
    True
    """
    rng = stream(seed_sequence(seed))
    return law.ppf((rng.integers(0, 2**52, size=size).astype(np.float64) + 0.5) / 2.0**52)


@dataclass(frozen=True, slots=True)
class Constant:
    """A number that is known.

    Examples
    --------
    >>> Constant(3.0).ppf([0.1, 0.9])
    array([3., 3.])
    """

    value: float

    def __post_init__(self) -> None:
        _require_finite(value=self.value)

    @property
    def mean(self) -> float:
        """The number itself."""
        return self.value

    @property
    def variance(self) -> float:
        """Always 0."""
        return 0.0

    def ppf(self, u: ArrayLike) -> FloatArray:
        """Return the number, in the shape of ``u``."""
        return np.full(np.shape(u), self.value)


@dataclass(frozen=True, slots=True)
class Normal:
    """Normal law with ``mean`` and standard deviation ``sd`` > 0.

    Not for money or work: it has negative values.
    """

    mean: float = 0.0
    sd: float = 1.0

    def __post_init__(self) -> None:
        _require_finite(mean=self.mean, sd=self.sd)
        _require(self.sd > 0.0, "sd", self.sd, "a number above 0")

    @property
    def variance(self) -> float:
        """``sd**2``."""
        return self.sd**2

    def ppf(self, u: ArrayLike) -> FloatArray:
        """Return the quantiles at ``u``."""
        return self.mean + self.sd * scipy.special.ndtri(np.asarray(u, dtype=np.float64))

    def partial_moment(self, x: ArrayLike, order: int) -> FloatArray:
        """Return E[X**order * 1{X <= x}]."""
        z = (np.asarray(x, dtype=np.float64) - self.mean) / self.sd
        below = np.asarray(scipy.special.ndtr(z), dtype=np.float64)
        density = np.exp(-0.5 * z * z) / np.sqrt(2.0 * np.pi)
        first = -density
        # z * density is 0 at both infinities, where the product would be inf * 0.
        second = below - np.where(np.isinf(z), 0.0, z) * density
        m, s = self.mean, self.sd
        return (below, m * below + s * first, m * m * below + 2 * m * s * first + s * s * second)[order]


@dataclass(frozen=True, slots=True)
class Uniform:
    """Uniform law on [low, high], low < high."""

    low: float = 0.0
    high: float = 1.0

    def __post_init__(self) -> None:
        _require_finite(low=self.low, high=self.high)
        _require(self.low < self.high, "high", self.high, f"a number above low = {self.low}")

    @property
    def mean(self) -> float:
        """Middle of the interval."""
        return 0.5 * (self.low + self.high)

    @property
    def variance(self) -> float:
        """``(high - low)**2 / 12``."""
        return (self.high - self.low) ** 2 / 12.0

    def ppf(self, u: ArrayLike) -> FloatArray:
        """Return the quantiles at ``u``."""
        return self.low + (self.high - self.low) * np.asarray(u, dtype=np.float64)

    def partial_moment(self, x: ArrayLike, order: int) -> FloatArray:
        """Return E[X**order * 1{X <= x}]."""
        inside = np.clip(np.asarray(x, dtype=np.float64), self.low, self.high)
        power = order + 1
        return np.asarray((inside**power - self.low**power) / (power * (self.high - self.low)))


@dataclass(frozen=True, slots=True)
class Lognormal:
    """Lognormal law with ``mean`` > 0 and coefficient of variation ``cv`` > 0 (standard deviation over mean).

    JSON: ``{"law": "lognormal", "mean": 10.0, "cv": 0.3}``.

    Examples
    --------
    >>> law = Lognormal(mean=10.0, cv=0.3)
    >>> float(np.round(law.ppf(0.5), 4)), round(law.variance, 9)
    (9.5783, 9.0)
    """

    mean: float
    cv: float

    def __post_init__(self) -> None:
        _require_finite(mean=self.mean, cv=self.cv)
        _require(self.mean > 0.0, "mean", self.mean, "a number above 0")
        _require(self.cv > 0.0, "cv", self.cv, "a number above 0; a number that is known is a Constant")

    @property
    def variance(self) -> float:
        """``(cv * mean)**2``."""
        return (self.cv * self.mean) ** 2

    @property
    def log_sd(self) -> float:
        """Standard deviation of the logarithm."""
        return float(np.sqrt(np.log1p(self.cv**2)))

    @property
    def log_mean(self) -> float:
        """Mean of the logarithm."""
        return float(np.log(self.mean) - 0.5 * np.log1p(self.cv**2))

    def ppf(self, u: ArrayLike) -> FloatArray:
        """Return the quantiles at ``u``."""
        return np.exp(self.log_mean + self.log_sd * scipy.special.ndtri(np.asarray(u, dtype=np.float64)))

    def partial_moment(self, x: ArrayLike, order: int) -> FloatArray:
        """Return E[X**order * 1{X <= x}]."""
        mu, sigma = self.log_mean, self.log_sd
        with np.errstate(divide="ignore"):
            z = (np.log(np.maximum(np.asarray(x, dtype=np.float64), 0.0)) - mu) / sigma
        moment = np.exp(order * mu + 0.5 * (order * sigma) ** 2)
        return np.asarray(moment * scipy.special.ndtr(z - order * sigma), dtype=np.float64)


@dataclass(frozen=True, slots=True)
class Beta:
    """Success probability that is itself uncertain: Beta(mean * concentration, (1 - mean) * concentration).

    JSON: ``{"mean": 0.9, "concentration": 40}``. The filter of MODEL 6 provides both numbers.

    Attributes
    ----------
    mean
        In (0, 1).
    concentration
        ``nu`` > 0: worth that many observations. ``inf`` is refused; that is a `Constant`.

    Examples
    --------
    >>> law = Beta(mean=0.9, concentration=40.0)
    >>> float(np.round(law.ppf(0.05), 4)), round(law.variance, 6)
    (0.813, 0.002195)
    """

    mean: float
    concentration: float

    def __post_init__(self) -> None:
        _require_finite(mean=self.mean, concentration=self.concentration)
        _require(0.0 < self.mean < 1.0, "mean", self.mean, "a number in (0, 1)")
        _require(self.concentration > 0.0, "concentration", self.concentration, "a number above 0")

    @property
    def variance(self) -> float:
        """``mean * (1 - mean) / (concentration + 1)``."""
        return self.mean * (1.0 - self.mean) / (self.concentration + 1.0)

    @property
    def shapes(self) -> tuple[float, float]:
        """The two shape parameters, of successes and of failures."""
        return self.mean * self.concentration, (1.0 - self.mean) * self.concentration

    def ppf(self, u: ArrayLike) -> FloatArray:
        """Return the quantiles at ``u``."""
        a, b = self.shapes
        return np.asarray(scipy.special.betaincinv(a, b, np.asarray(u, dtype=np.float64)))

    def partial_moment(self, x: ArrayLike, order: int) -> FloatArray:
        """Return E[X**order * 1{X <= x}]."""
        a, b = self.shapes
        inside = np.clip(np.asarray(x, dtype=np.float64), 0.0, 1.0)
        moment = (1.0, self.mean, self.variance + self.mean**2)[order]
        return np.asarray(moment * scipy.special.betainc(a + order, b, inside), dtype=np.float64)


@dataclass(frozen=True, slots=True)
class Values:
    """A law of finitely many numbers.

    JSON: ``{"law": "values", "values": [2, 6], "probabilities": [0.5, 0.5]}``.

    Attributes
    ----------
    values
        Finite numbers, in any order.
    probabilities
        As many, >= 0, with sum 1 (within 1e-9).

    Examples
    --------
    >>> law = Values((2.0, 6.0), (0.5, 0.5))
    >>> law.mean, law.variance, law.ppf([0.2, 0.5, 0.7]).tolist()
    (4.0, 4.0, [2.0, 2.0, 6.0])
    """

    values: tuple[float, ...]
    probabilities: tuple[float, ...]

    def __post_init__(self) -> None:
        values, probabilities = _floats(self.values), _floats(self.probabilities)
        object.__setattr__(self, "values", values)
        object.__setattr__(self, "probabilities", probabilities)
        _require(bool(values), "values", values, "at least one number")
        _require(len(values) == len(probabilities), "probabilities", probabilities, f"{len(values)} numbers")
        for value, probability in zip(values, probabilities, strict=True):
            _require_finite(values=value, probabilities=probability)
            _require(probability >= 0.0, "probabilities", probability, "no number below 0")
        total = sum(probabilities)
        _require(abs(total - 1.0) <= 1e-9, "probabilities", probabilities, f"sum 1, not {total!r}")

    @property
    def mean(self) -> float:
        """Weighted mean."""
        return float(np.dot(self.values, self.probabilities))

    @property
    def variance(self) -> float:
        """Weighted variance."""
        return float(np.dot((np.array(self.values) - self.mean) ** 2, self.probabilities))

    def ppf(self, u: ArrayLike) -> FloatArray:
        """Return the quantiles at ``u``."""
        order = np.argsort(self.values, kind="stable")
        cumulative = np.cumsum(np.array(self.probabilities)[order])
        # Rounding may leave the last entry below 1, and a u above it would fall off the end.
        position = np.searchsorted(cumulative, np.asarray(u, dtype=np.float64))
        return np.array(self.values)[order][np.minimum(position, len(order) - 1)]


@dataclass(frozen=True, slots=True)
class Bootstrap:
    """The empirical law of a history: each of its numbers is equally likely.

    JSON: ``{"law": "bootstrap", "values": [...]}``. Not for numbers whose order in time matters, and blind to
    anything that the history does not hold; for outcomes see `bondwork.uncertainty.history`.

    Examples
    --------
    >>> Bootstrap((3.0, 1.0, 2.0)).ppf([0.1, 0.5, 0.9]).tolist()
    [1.0, 2.0, 3.0]
    """

    values: tuple[float, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "values", _floats(self.values))
        _require(bool(self.values), "values", self.values, "at least one number")
        for value in self.values:
            _require_finite(values=value)

    @property
    def mean(self) -> float:
        """Mean of the history."""
        return float(np.mean(self.values))

    @property
    def variance(self) -> float:
        """Variance of the history (over n, not n - 1: the law is the history)."""
        return float(np.var(self.values))

    def ppf(self, u: ArrayLike) -> FloatArray:
        """Return the quantiles at ``u``."""
        n = len(self.values)
        position = np.ceil(np.asarray(u, dtype=np.float64) * n).astype(np.int64) - 1
        return np.sort(self.values)[np.clip(position, 0, n - 1)]


def _floats(numbers: Sequence[float]) -> tuple[float, ...]:
    return tuple(float(number) for number in numbers)


def _require(holds: bool, name: str, value: object, expected: str) -> None:
    if not holds:
        raise ValueError(f"{name} is {value!r}, expected {expected}")


def _require_finite(**numbers: float) -> None:
    for name, value in numbers.items():
        _require(bool(abs(value) <= LARGEST), name, value, f"a finite number, at most {LARGEST:g} in size")
