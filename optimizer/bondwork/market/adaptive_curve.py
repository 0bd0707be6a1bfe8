"""The load incentive whose parameters follow a score-driven state (paper, sections 5 and 5.2).

Each coprocessor has a state: the mean load that its past makes expected, a score-driven Gaussian mean

    g[t+1] = omega + beta*g[t] + alpha * (load[t] - g[t]) / variance

and parameters theta[t] = base + loading * (g[t] - omega/(1-beta)) for those that have a loading. Which ones
should follow, and how far, the paper leaves open. Equal loadings of A and C keep the curve continuous: it is
A - C that meets D at B.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bondwork.reputation.score_driven import make_model

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import ArrayLike

    from bondwork.arrays import FloatArray
    from bondwork.market.load_curve import LoadIncentive
    from bondwork.reputation.score_driven import ScoreDriven

PARAMETERS = "ABCDEFGHI"


@dataclass(frozen=True, slots=True, eq=False)
class AdaptiveIncentive:
    """A load incentive for each of U coprocessors, whose parameters move with their own past loads.

    Attributes
    ----------
    base
        The curve at the state's mean.
    model
        Score-driven law of the load.
    loadings
        How far each parameter follows, by letter; those left out stay.

    Examples
    --------
    >>> from bondwork.market.load_curve import LoadIncentive
    >>> curves = AdaptiveIncentive.of(LoadIncentive(), {"A": 1.0, "C": 1.0}, mean=0.6)
    >>> state = curves.start(2)
    >>> for _ in range(50):
    ...     curves.update(state, [0.1, 0.9])
    >>> idle, busy = curves.parameters(state)["A"]
    >>> bool(idle < 1.0 < busy)
    True
    """

    base: LoadIncentive
    model: ScoreDriven
    loadings: Mapping[str, float]

    @classmethod
    def of(
        cls,
        base: LoadIncentive,
        loadings: Mapping[str, float],
        *,
        mean: float = 0.6,
        beta: float = 0.95,
        alpha: float = 0.004,
        variance: float = 0.04,
    ) -> AdaptiveIncentive:
        """Make one from the state's mean instead of omega."""
        return cls(base, make_model("gaussian_mean", (1.0 - beta) * mean, beta, alpha, [variance]), loadings)

    def start(self, units: int) -> FloatArray:
        """State of coprocessors of which nothing is known. Shape (U, 1)."""
        return self.model.start(units)

    def update(self, state: FloatArray, load: ArrayLike) -> None:
        """Take in one period's loads, shape (U,), in place; NaN where nobody was there."""
        self.model.update(state, load)

    def parameters(self, state: FloatArray) -> dict[str, FloatArray]:
        """Every parameter of every coprocessor, by letter. Shape (U,) each."""
        moved = state[:, 0] - self.model.mean[0]
        return {name: getattr(self.base, name) + self.loadings.get(name, 0.0) * moved for name in PARAMETERS}

    def __call__(self, state: FloatArray, load: ArrayLike) -> FloatArray:
        """Return f of each coprocessor's own curve at its own load. Shapes (U, 1), (U,)."""
        x = np.asarray(load, dtype=np.float64)
        p = self.parameters(state)
        width = np.where(p["B"] == 0.0, 1.0, p["B"])
        near = np.minimum(x, p["B"])
        low = p["A"] * np.exp(-np.square((near - p["B"]) / width)) - p["C"]
        middle = p["D"] + (x - p["B"]) * p["E"]
        high = np.maximum(p["G"] * np.square(x - p["H"]) + p["I"], 0.0)
        value: FloatArray = np.where(x < p["B"], low, np.where(x <= p["F"], middle, high))
        return value
