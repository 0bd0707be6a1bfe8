"""Observations and their distribution functions, law by law: for simulation and for checks of a fit."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from bondwork.arrays import FloatArray
    from bondwork.reputation.laws import Law


def draw(law: Law, g: FloatArray, static: FloatArray, n: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Draw one observation for each row of ``g``, shape (m, K); ``n`` are the trials of binomial laws."""
    found: FloatArray
    match law.name:
        case "binomial":
            found = np.asarray(rng.binomial(n.astype(np.int64), expit(g[:, 0])), dtype=np.float64)
        case "poisson":
            found = np.asarray(rng.poisson(np.exp(g[:, 0])), dtype=np.float64)
        case "negative_binomial":
            r = 1.0 / static[0]
            found = np.asarray(rng.negative_binomial(r, r / (r + np.exp(g[:, 0]))), dtype=np.float64)
        case _:
            location, scale, nu = _location_scale(law, g, static)
            noise = rng.standard_normal(len(g)) if nu is None else rng.standard_t(nu, len(g))
            found = np.asarray(location + scale * noise)
    return found


def distribution(law: Law, y: FloatArray, g: FloatArray, static: FloatArray, n: FloatArray) -> FloatArray:
    """P(Y <= y) for each row of ``g``. Shape (m,)."""
    from scipy import stats

    found: FloatArray
    match law.name:
        case "binomial":
            found = np.asarray(stats.binom.cdf(y, n, expit(g[:, 0])))
        case "poisson":
            found = np.asarray(stats.poisson.cdf(y, np.exp(g[:, 0])))
        case "negative_binomial":
            r = 1.0 / static[0]
            found = np.asarray(stats.nbinom.cdf(y, r, r / (r + np.exp(g[:, 0]))))
        case _:
            location, scale, nu = _location_scale(law, g, static)
            z = np.asarray((y - location) / scale)
            found = stats.norm.cdf(z) if nu is None else stats.t.cdf(z, nu)
    return found


def is_discrete(law: Law) -> bool:
    """Whether observations are counts."""
    return law.name in ("binomial", "poisson", "negative_binomial")


def expit(f: FloatArray) -> FloatArray:
    """1 / (1 + exp(-f)), without overflow."""
    from scipy import special

    p: FloatArray = special.expit(f)
    return p


def _location_scale(
    law: Law, g: FloatArray, static: FloatArray
) -> tuple[FloatArray | float, FloatArray | float, float | None]:
    """Location, scale and degrees of freedom (``None``: Gaussian)."""
    match law.name:
        case "gaussian_mean":
            return g[:, 0], float(np.sqrt(static[0])), None
        case "gaussian_log_variance":
            return float(static[0]), np.exp(0.5 * g[:, 0]), None
        case "gaussian_variance":
            return float(static[0]), np.sqrt(g[:, 0]), None
        case "student_location":
            return g[:, 0], float(np.sqrt(static[1])), float(static[0])
        case "student_log_scale":
            return float(static[1]), np.exp(0.5 * g[:, 0]), float(static[0])
        case _:
            return g[:, 0], np.exp(0.5 * g[:, 1]), float(static[0])
