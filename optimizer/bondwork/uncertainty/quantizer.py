"""Optimal quantizers of one continuous law: the n points that stand for it best."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bondwork.arrays import freeze_fields
from bondwork.uncertainty.distance import wasserstein_to_law

if TYPE_CHECKING:
    from bondwork.arrays import FloatArray
    from bondwork.uncertainty.laws import SmoothLaw


@dataclass(frozen=True, slots=True, eq=False)
class Quantizer:
    """Points, their probabilities, and their Wasserstein distance of order 2 to the law. Shape (n,) each."""

    values: FloatArray
    probabilities: FloatArray
    distance: float

    def __post_init__(self) -> None:
        freeze_fields(self, "values", "probabilities")


def quantize(law: SmoothLaw, n: int, *, tolerance: float = 1e-10, max_iterations: int = 200_000) -> Quantizer:
    """Find n points whose Wasserstein distance of order 2 to ``law`` is stationary, by Lloyd's method (1957).

    For log-concave densities (normal, uniform, most betas) that is the least distance (Kieffer 1983); for
    others, such as the lognormal, a local one. The number of steps grows with n**2: up to about 50 points.
    Several random numbers at once: sample them and use `bondwork.uncertainty.reduction`.

    Parameters
    ----------
    law
        A law with partial moments in closed form.
    n
        Number of points, >= 1.
    tolerance
        Stop when no point moves by more than this many standard deviations.
    max_iterations
        Limit of the number of steps.

    Raises
    ------
    RuntimeError
        When the limit is reached first.

    Examples
    --------
    >>> from bondwork.uncertainty.laws import Normal
    >>> quantizer = quantize(Normal(), 2)
    >>> np.round(quantizer.values, 6).tolist(), round(quantizer.distance**2, 8)
    ([-0.797885, 0.797885], 0.36338023)
    """
    if n < 1:
        raise ValueError(f"n is {n}, expected at least 1")
    points = law.ppf((np.arange(n) + 0.5) / n)
    limit = tolerance * np.sqrt(law.variance)
    for _ in range(max_iterations):
        edges = np.concatenate([[-np.inf], 0.5 * (points[1:] + points[:-1]), [np.inf]])
        mass = np.diff(law.partial_moment(edges, 0))
        centres = np.diff(law.partial_moment(edges, 1)) / mass
        moved = np.max(np.abs(centres - points))
        points = centres
        if moved <= limit:
            return Quantizer(points, mass, wasserstein_to_law(law, points, mass))
    raise RuntimeError(f"{n} points still move by {moved} after {max_iterations} steps")
