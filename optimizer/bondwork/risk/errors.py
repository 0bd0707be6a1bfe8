"""Standard errors of what is measured on independent, equally likely scenarios.

Twice the standard error is meant to cover the truth in 95 of 100 samples. Plain formulas do so less often
where few scenarios count: a share that was never seen has no spread, and a tail may begin further down than
the sample says. So two scenarios more than were seen are reckoned with, at the worst that was seen (Agresti &
Coull 1998), and the edge of a tail is taken one of its own standard errors further down.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from bondwork.arrays import FloatArray


def share_error(share: float, scenarios: int) -> float:
    """Standard error of the share of scenarios in which something happens.

    Examples
    --------
    >>> round(share_error(0.0, 20_000) * 20_000, 2), round(share_error(0.25, 20_000), 5)
    (1.41, 0.00306)
    """
    near = (share * scenarios + 2.0) / (scenarios + 4.0)
    return math.sqrt(near * (1.0 - near) / (scenarios + 4.0))


def mean_error(values: FloatArray, most: float) -> float:
    """Standard error of a mean.

    Parameters
    ----------
    values
        Shape (S,). Where 0 is what happens most of the time, the largest counts twice more.
    most
        What might be seen at once; it counts where nothing but one value was seen.
    """
    spread = float(values.max() - values.min()) if len(values) else 0.0
    top = spread if spread > 0.0 else most
    return math.sqrt(float(values.var(ddof=1)) * len(values) + 2.0 * top * top) / len(values)


def tail_excess(losses: FloatArray, level: float) -> FloatArray:
    """Excess of losses over the edge of their tail, taken one of its standard errors further down."""
    lower = max(level - math.sqrt(level * (1.0 - level) / len(losses)), 0.0)
    return np.maximum(losses - np.quantile(losses, lower, method="inverted_cdf"), 0.0)


def cvar_error(losses: FloatArray, level: float, most: float) -> float:
    """Standard error of the mean of the worst (1 - level) share; parameters as `mean_error`."""
    return mean_error(tail_excess(losses, level), most) / (1.0 - level)
