"""Points of the unit cube: the four ways in which a sample may fill it.

| method | what it does | error of the mean of a smooth function |
|---|---|---|
| ``monte_carlo`` | independent points | n**-0.5 |
| ``antithetic`` | pairs u, 1 - u | n**-0.5; 0 for odd functions |
| ``latin_hypercube`` | each coordinate in n strata (McKay, Beckman & Conover 1979) | n**-0.5; sums faster |
| ``sobol`` | scrambled Sobol sequence (Owen 1998; numbers of Joe & Kuo 2008) | near n**-1 and faster |
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

import numpy as np

from bondwork.uncertainty.seeds import Seed, child, seed_sequence, stream

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bondwork.arrays import FloatArray

#: How points are placed.
Method: TypeAlias = Literal["monte_carlo", "antithetic", "latin_hypercube", "sobol"]

#: Dimensions that scipy's direction numbers cover.
SOBOL_DIMENSIONS = 21_201

_BITS = 32
_BATCH = 1024
_LAST = float(np.nextafter(1.0, 0.0))
# A generator of its own for each coordinate; coordinate -1 would clash, so Sobol's scrambling is another key.
_COORDINATES, _SCRAMBLE = 0, 1


class UnitPoints:
    """``n`` points in (0, 1)**dimensions, handed out one coordinate at a time.

    A coordinate depends on the seed and its own number only. Nothing but the Sobol integers (4 bytes each) is
    kept in memory: 10,000 points in 3,000 dimensions take 120 MB under ``sobol`` and none otherwise.

    Parameters
    ----------
    method
        See `Method`.
    n
        Number of points, >= 1. Sobol is best at powers of two.
    dimensions
        Number of coordinates. Under ``sobol``, those from `SOBOL_DIMENSIONS` on are plain random numbers: put
        the coordinates that matter most first.
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
        if method not in get_args(Method):
            raise ValueError(f"sampling method is {method!r}, expected one of {', '.join(get_args(Method))}")
        if n < 1:
            raise ValueError(f"number of points is {n}, expected at least 1")
        self.method = method
        self.n = int(n)
        self.dimensions = dimensions
        self._root = seed_sequence(seed)
        self._sobol: NDArray[np.uint32] | None = None
        if method == "sobol" and dimensions:
            self._sobol = _sobol_integers(
                self.n, min(dimensions, SOBOL_DIMENSIONS), child(self._root, _SCRAMBLE)
            )

    def coordinate(self, dimension: int) -> FloatArray:
        """Return one coordinate of all points, strictly inside (0, 1). Shape (n,)."""
        if not 0 <= dimension < self.dimensions:
            raise IndexError(f"coordinate {dimension} of {self.dimensions}")
        if self._sobol is not None and dimension < self._sobol.shape[1]:
            return (self._sobol[:, dimension].astype(np.float64) + 0.5) / 2.0**_BITS
        rng = stream(self._root, _COORDINATES, dimension)
        if self.method == "latin_hypercube":
            # The sum may round up to the end of the last stratum, which is not inside (0, 1).
            return np.minimum((rng.permutation(self.n) + _open(rng, self.n)) / self.n, _LAST)
        if self.method == "antithetic":
            half = _open(rng, (self.n + 1) // 2)
            points = np.empty(self.n)
            points[0::2] = half
            points[1::2] = 1.0 - half[: self.n // 2]
            return points
        return _open(rng, self.n)

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


def _open(rng: np.random.Generator, size: int) -> FloatArray:
    """Uniform numbers in (0, 1): the normal quantile of an end would be infinite."""
    return (rng.integers(0, 2**52, size=size).astype(np.float64) + 0.5) / 2.0**52


def _sobol_integers(n: int, dimensions: int, seed: np.random.SeedSequence) -> NDArray[np.uint32]:
    """First ``n`` scrambled Sobol points as integers of 32 bits: exact, at half the memory of doubles."""
    from scipy.stats import qmc  # takes a second, and only Sobol needs it

    engine = qmc.Sobol(dimensions, scramble=True, bits=_BITS, rng=np.random.default_rng(seed))
    integers = np.empty((n, dimensions), dtype=np.uint32)
    # scipy warns when the first batch is not a power of two; what matters is n, and the caller chose it.
    start, batch = 0, 1 << min(n.bit_length() - 1, _BATCH.bit_length() - 1)
    while start < n:
        stop = min(start + batch, n)
        integers[start:stop] = engine.random(stop - start) * 2.0**_BITS
        start, batch = stop, _BATCH
    return integers
