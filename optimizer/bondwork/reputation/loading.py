"""Load the compiled kernels of score-driven models: see `bondwork.base.compiled`."""

from __future__ import annotations

from typing import TYPE_CHECKING, get_args

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable


def load_kernels(tell: Callable[[str], None]) -> None:
    """Filter, and differentiate, a few observations of two units."""
    from bondwork.reputation.fitting import Likelihood
    from bondwork.reputation.laws import LAWS, Scaling
    from bondwork.reputation.score_driven import ScoreDriven

    seen, trials = np.array([[1.0, 0.0, 2.0], [0.0, 1.0, 1.0]]), np.full((2, 3), 2.0)
    law = LAWS["binomial"]
    law.score([1.0], [[0.0]], trials=2.0)
    parameters, scalings = np.array([0.0, 0.9, 0.1]), get_args(Scaling)
    omega, beta, alpha = parameters.reshape(3, 1)
    for scaling in scalings:
        tell(f"filters, scaling {scaling}")
        model = ScoreDriven(law, omega, beta, alpha, scaling=scaling)
        model.filter(seen, trials)
        tell(f"gradients, scaling {scaling}")
        Likelihood(law, seen, trials, None, scaling, None).by_unit(parameters)
