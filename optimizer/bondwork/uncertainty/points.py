"""Points of the unit cube, placed by a method that is found by name; ours are in `uncertainty.samplers`."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from bondwork.registry import find_sampler
from bondwork.uncertainty.seeds import Seed, seed_sequence

if TYPE_CHECKING:
    from bondwork.arrays import FloatArray
    from bondwork.contracts import Sampler

#: Name of an installed way to place points: monte_carlo, antithetic, latin_hypercube, sobol, or another.
Method: TypeAlias = str


class UnitPoints:
    """``n`` points in (0, 1)**dimensions, handed out one coordinate at a time.

    A coordinate depends on the seed and its own number only. Nothing but the Sobol integers (4 bytes each) is
    kept in memory: 10,000 points in 3,000 dimensions take 120 MB under ``sobol`` and none otherwise.

    Parameters
    ----------
    method
        Name of an installed sampler; see `bondwork.uncertainty.samplers`.
    n
        Number of points, >= 1. Sobol is best at powers of two.
    dimensions
        Number of coordinates. Under ``sobol``, those from `bondwork.uncertainty.sobol.SOBOL_DIMENSIONS` on
        are plain random numbers: put the coordinates that matter most first.
    seed
        See `bondwork.uncertainty.seeds.seed_sequence`.

    Raises
    ------
    ValueError
        For an unknown method, or no points.

    Examples
    --------
    >>> points = UnitPoints("latin_hypercube", 4, 2, seed=0)
    >>> np.sort(np.floor(4 * points.coordinate(1)))
    array([0., 1., 2., 3.])
    """

    def __init__(self, method: Method, n: int, dimensions: int, seed: Seed) -> None:
        if n < 1:
            raise ValueError(f"number of points is {n}, expected at least 1")
        self.method = method
        self.n = int(n)
        self.dimensions = dimensions
        self._points = _sampler(method).points(self.n, dimensions, seed_sequence(seed))

    def coordinate(self, dimension: int) -> FloatArray:
        """Return one coordinate of all points, strictly inside (0, 1). Shape (n,)."""
        if not 0 <= dimension < self.dimensions:
            raise IndexError(f"coordinate {dimension} of {self.dimensions}")
        return self._points.coordinate(dimension)

    def all(self) -> FloatArray:
        """Return all coordinates. Shape (n, dimensions)."""
        points = np.empty((self.n, self.dimensions))
        for dimension in range(self.dimensions):
            points[:, dimension] = self.coordinate(dimension)
        return points


def uniforms(method: Method, n: int, dimensions: int, seed: Seed) -> FloatArray:
    """Return ``n`` points in (0, 1)**dimensions, shape (n, dimensions); see `UnitPoints`.

    Examples
    --------
    >>> u = uniforms("antithetic", 6, 2, seed=1)
    >>> bool(np.allclose(u[0::2] + u[1::2], 1.0))
    True
    """
    return UnitPoints(method, n, dimensions, seed).all()


@cache
def _sampler(method: Method) -> Sampler:
    """Make the sampler of a name, once: trees ask for points at every node."""
    return find_sampler(method)
