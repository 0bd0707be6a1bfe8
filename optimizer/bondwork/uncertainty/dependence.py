"""How outcomes depend on each other: a Gaussian factor copula and outages (MODEL 3).

    z[o] = sqrt(common)*M + sqrt(coprocessor)*F[c] + sqrt(1-common-coprocessor)*e[o]

with independent standard normal M (everybody), F (one for each executor) and e (one for each offer). Offer
o succeeds iff Phi(z[o]) <= p', its success probability given no outage of its executor. So z > Phi**-1(p') is
failure, with marginal probability exactly 1 - p' whatever the two loadings are; given the factors, failures
are independent, which is what `bondwork.uncertainty.thinning` builds on.

The one-factor form is Vasicek's (2002); correlations of failures have a closed form by the bivariate normal
distribution, computed here with Owen's T function (Owen 1956).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import scipy

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from bondwork.arrays import FloatArray


@dataclass(frozen=True, slots=True)
class Dependence:
    """Shares of the variance of z: of everybody's factor, and of the factor of one executor.

    ``common`` and ``coprocessor`` are >= 0 with sum at most 1; both 0 is independence. An operator that
    executes tasks itself is an executor like any other, with a factor of its own.

    Examples
    --------
    >>> dependence = Dependence(common=0.05, coprocessor=0.3)
    >>> round(float(dependence.failure_correlation(0.95, 0.95, same_executor=True)), 4)
    0.1206
    >>> round(float(dependence.failure_correlation(0.95, 0.95, same_executor=False)), 4)
    0.012
    """

    common: float = 0.0
    coprocessor: float = 0.0

    def __post_init__(self) -> None:
        for name in ("common", "coprocessor"):
            value = getattr(self, name)
            if not 0.0 <= value <= 1.0:
                raise ValueError(f"{name} is {value!r}, expected a number in [0, 1]")
        if self.common + self.coprocessor > 1.0 + 1e-12:
            raise ValueError(
                f"common + coprocessor is {self.common + self.coprocessor!r}, expected at most 1"
            )

    @property
    def idiosyncratic(self) -> float:
        """Share of the variance of z that belongs to one offer alone."""
        share = 1.0 - self.common - self.coprocessor
        # 0.7 + 0.3 and the like leave a rounding error; a tiny share is meant to be none.
        return share if share > 1e-12 else 0.0

    def joint_failure_probability(
        self,
        first: ArrayLike,
        second: ArrayLike,
        *,
        same_executor: bool,
        outage: tuple[float, float] = (0.0, 0.0),
    ) -> FloatArray:
        """Probability that both of two offers fail.

        Parameters
        ----------
        first, second
            Marginal success probabilities, of shapes that broadcast; numbers, not distributions.
        same_executor
            Whether one executor holds both: then they share its factor and its outage.
        outage
            Outage probabilities of the two executors; equal where it is the same.

        Returns
        -------
        Array of the broadcast shape. Error below 1e-14.

        Raises
        ------
        ValueError
            For a success probability above 1 - outage, or one executor with two outage probabilities.
        """
        if same_executor and outage[0] != outage[1]:
            raise ValueError(f"outage is {outage}, expected the same number twice for one executor")
        p, q = given_no_outage(first, outage[0]), given_no_outage(second, outage[1])
        rho = self.common + (self.coprocessor if same_executor else 0.0)
        both = bivariate_normal(-scipy.special.ndtri(p), -scipy.special.ndtri(q), rho)
        if same_executor:
            return outage[0] + (1.0 - outage[0]) * both
        up, other_up = 1.0 - outage[0], 1.0 - outage[1]
        return np.asarray(
            outage[0] * outage[1]
            + outage[0] * other_up * (1.0 - q)
            + up * outage[1] * (1.0 - p)
            + up * other_up * both
        )

    def failure_correlation(
        self,
        first: ArrayLike,
        second: ArrayLike,
        *,
        same_executor: bool,
        outage: tuple[float, float] = (0.0, 0.0),
    ) -> FloatArray:
        """Correlation of the failures of two offers; parameters as `joint_failure_probability`.

        ``nan`` where one of them never or always fails.
        """
        joint = self.joint_failure_probability(first, second, same_executor=same_executor, outage=outage)
        f, g = 1.0 - np.asarray(first, dtype=np.float64), 1.0 - np.asarray(second, dtype=np.float64)
        scale = np.sqrt(f * (1.0 - f) * g * (1.0 - g))
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(np.where(scale > 0.0, (joint - f * g) / scale, np.nan))


def given_no_outage(success_probability: ArrayLike, outage_probability: ArrayLike) -> FloatArray:
    """Return p' = p / (1 - outage), the success probability given no outage; 0 where an outage is certain.

    Raises
    ------
    ValueError
        For a p above 1 - outage (by more than rounding), or a number outside [0, 1].

    Examples
    --------
    >>> given_no_outage([0.9, 0.45], [0.1, 0.1]).tolist()
    [1.0, 0.5]
    """
    p, q = np.broadcast_arrays(
        np.asarray(success_probability, dtype=np.float64), np.asarray(outage_probability, dtype=np.float64)
    )
    wrong = ~((p >= 0.0) & (q >= 0.0) & (q <= 1.0) & (p <= 1.0 - q + 1e-9))
    if np.any(wrong):
        at = int(np.flatnonzero(wrong)[0])
        raise ValueError(
            f"success probability {p.flat[at]} with outage probability {q.flat[at]} at position {at}: "
            "expected 0 <= p <= 1 - outage"
        )
    up = 1.0 - q
    conditional = np.divide(p, up, out=np.zeros(p.shape), where=up > 0.0)
    return np.asarray(np.minimum(conditional, 1.0))


def bivariate_normal(h: ArrayLike, k: ArrayLike, rho: float) -> FloatArray:
    """P(X <= h, Y <= k) of standard normals with correlation ``rho`` in [0, 1], by Owen's T (1956).

    Examples
    --------
    >>> float(bivariate_normal(0.0, 0.0, 0.5)), float(bivariate_normal(1.0, 8.0, 1.0))
    (0.33333333333333337, 0.8413447460685429)
    """
    # Adding 0.0 makes -0.0 positive: the sign of a threshold of 0 decides that of an infinite slope.
    h, k = np.broadcast_arrays(np.asarray(h, dtype=np.float64) + 0.0, np.asarray(k, dtype=np.float64) + 0.0)
    below_h, below_k = scipy.special.ndtr(h), scipy.special.ndtr(k)
    if rho >= 1.0:
        return np.minimum(below_h, below_k)
    root = np.sqrt(1.0 - rho * rho)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        slope_h, slope_k = (k / h - rho) / root, (h / k - rho) / root
        # By signs: a product of tiny thresholds would be 0.
        signs = np.sign(h) * np.sign(k)
        sides = (signs > 0.0) | ((signs == 0.0) & (h + k >= 0.0))
        value = (
            0.5 * (below_h + below_k)
            - scipy.special.owens_t(h, slope_h)
            - scipy.special.owens_t(k, slope_k)
            - np.where(sides, 0.0, 0.5)
        )
    # Both thresholds 0: the slopes are 0/0, and the value is known. Infinite ones: one event is certain.
    value = np.where((h == 0.0) & (k == 0.0), 0.25 + np.arcsin(rho) / (2.0 * np.pi), value)
    edge = np.isinf(h) | np.isinf(k)
    inside = np.clip(value, 0.0, np.minimum(below_h, below_k))
    return np.asarray(np.where(edge, below_h * below_k, inside), dtype=np.float64)
