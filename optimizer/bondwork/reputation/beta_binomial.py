"""Counts of successes when the success probability is itself uncertain: Beta(m*nu, (1-m)*nu)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from bondwork.arrays import FloatArray

#: Concentrations are looked for between these; the largest is a probability that is all but certain.
LEAST_CONCENTRATION, LARGEST_CONCENTRATION = 0.5, 1e6

#: Log likelihood that is too little to prefer one concentration to another.
_NO_DIFFERENCE = 1e-3

#: Means are kept this far from 0 and 1: a beta law has none there.
MEAN_MARGIN = 1e-9


def log_probability(
    successes: ArrayLike, trials: ArrayLike, mean: ArrayLike, concentration: ArrayLike
) -> FloatArray:
    """Log probability of k successes in n trials, p from Beta(m*nu, (1-m)*nu); all broadcast.

    Examples
    --------
    A uniform p makes all counts alike likely:

    >>> np.exp(log_probability([0, 1, 2, 3], 3, 0.5, 2.0)).round(12).tolist()
    [0.25, 0.25, 0.25, 0.25]
    """
    from scipy.special import betaln

    k, n = np.asarray(successes, dtype=np.float64), np.asarray(trials, dtype=np.float64)
    m = np.clip(np.asarray(mean, dtype=np.float64), MEAN_MARGIN, 1.0 - MEAN_MARGIN)
    nu = np.asarray(concentration, dtype=np.float64)
    a, b = m * nu, (1.0 - m) * nu
    failures = n - k  # first: beside a large n the small b would be lost
    choose = -np.log1p(n) - betaln(k + 1.0, failures + 1.0)
    found: FloatArray = choose + betaln(a + k, b + failures) - betaln(a, b)
    return found


def fit_concentration(successes: ArrayLike, trials: ArrayLike, mean: ArrayLike) -> float:
    """Concentration nu that makes the counts most likely under given means.

    Where no count is of more than one trial nothing can be said about nu, as a Bernoulli law has only a mean:
    the largest is returned. The same comes out where counts vary no more than binomial ones, and where all
    of them are what the means say is certain.
    """
    from scipy.optimize import minimize_scalar

    k, n, m = (np.asarray(each, dtype=np.float64).ravel() for each in (successes, trials, mean))
    several = n > 1.0
    if not np.any(several):
        return LARGEST_CONCENTRATION
    k, n, m = k[several], n[several], m[several]

    def surprise(log_nu: float) -> float:
        return -float(log_probability(k, n, m, np.exp(log_nu)).sum())

    found = minimize_scalar(
        surprise,
        bounds=(np.log(LEAST_CONCENTRATION), np.log(LARGEST_CONCENTRATION)),
        method="bounded",
        options={"xatol": 1e-4},
    )
    least = float(found.fun)
    if surprise(float(np.log(LARGEST_CONCENTRATION))) <= least + _NO_DIFFERENCE:
        return LARGEST_CONCENTRATION
    return float(np.exp(found.x))
