"""The filter of counts with unit scaling and no regressors: what reputations are, three times as fast.

The same numbers to the last bit as `bondwork.reputation.kernels.filter_units`, which knows all laws.
"""

# Kernels take arrays and numbers; numba infers their types at the first call.
# mypy: disable-error-code="no-untyped-def"
from __future__ import annotations

import math

from bondwork.base.compiled import kernel


@kernel
def filter_counts(theta, reset, start, y, n, path, likelihood):
    """Filter every unit; arguments as those of `bondwork.reputation.kernels.filter_units`."""
    omega, beta, alpha = theta[0, 0], theta[0, 1], theta[0, 2]
    units, times = y.shape
    for u in range(units):
        f = start[u, 0]
        for t in range(times):
            path[u, t, 0] = f
            following = omega + beta * f
            likelihood[u, t] = 0.0
            if not math.isnan(y[u, t]) and n[u, t] > 0.0:
                # p and 1 - p without overflow at either end
                e = math.exp(-abs(f))
                p = 1.0 / (1.0 + e) if f >= 0.0 else e / (1.0 + e)
                likelihood[u, t] = y[u, t] * f - n[u, t] * (max(f, 0.0) + math.log1p(e))
                following += alpha * (y[u, t] - n[u, t] * p)
            elif reset:
                following = omega / (1.0 - beta)
            f = following
        start[u, 0] = f
