"""Checks of a fitted score-driven model: whether its residuals are what they should be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bondwork.reputation.drawing import distribution, is_discrete
from bondwork.reputation.score_driven import observations

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from bondwork.arrays import FloatArray
    from bondwork.reputation.score_driven import ScoreDriven


@dataclass(frozen=True, slots=True, eq=False)
class ResidualCheck:
    """What the residuals of a model say.

    Attributes
    ----------
    pit
        Shape (m,). Probability integral transforms of all observations, randomised for counts: uniform on [0,
        1] where the model is right.
    uniform_p_value
        Of the Kolmogorov-Smirnov test that they are uniform.
    autocorrelation
        Of the normal scores of the transforms at lag 1, pooled over units: 0 where nothing is left to learn.
    autocorrelation_p_value
        Of the test that it is 0 (normal approximation).
    """

    pit: FloatArray
    uniform_p_value: float
    autocorrelation: float
    autocorrelation_p_value: float


def check_residuals(
    model: ScoreDriven,
    y: ArrayLike,
    trials: ArrayLike | None = None,
    regressors: ArrayLike | None = None,
    start: ArrayLike | None = None,
) -> ResidualCheck:
    """Transform every observation by its one-step forecast, and test what comes out.

    Parameters are as for `ScoreDriven.filter`. That parameters were estimated from the same data makes the
    tests a little too lenient.
    """
    from scipy import stats

    filtered = model.filter(y, trials, regressors, start)
    y_, n, x = observations(model.law, y, trials, regressors, len(model.gamma))
    there = ~np.isnan(y_) & (n > 0.0)
    g = filtered.path.copy()
    g[:, :, 0] += x @ model.gamma
    values, level, count = y_[there], g[there], n[there]
    upper = distribution(model.law, values, level, model.static, count)
    if is_discrete(model.law):
        lower = distribution(model.law, values - 1.0, level, model.static, count)
        upper = lower + np.random.default_rng(0).random(len(values)) * (upper - lower)
    place = np.clip(upper, 1e-12, 1.0 - 1e-12)
    normal = np.full(y_.shape, np.nan)
    normal[there] = stats.norm.ppf(place)
    pairs = np.isfinite(normal[:, 1:]) & np.isfinite(normal[:, :-1])
    later, earlier = normal[:, 1:][pairs], normal[:, :-1][pairs]
    correlation = float(np.corrcoef(later, earlier)[0, 1]) if len(later) > 2 else 0.0
    z = correlation * np.sqrt(max(len(later), 1))
    return ResidualCheck(
        pit=place,
        uniform_p_value=float(stats.kstest(place, "uniform").pvalue),
        autocorrelation=correlation,
        autocorrelation_p_value=float(2.0 * stats.norm.sf(abs(z))),
    )
