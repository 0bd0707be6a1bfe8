"""The ways in which a sample may fill the unit cube: one class each, found by name.

| method | what it does | error of the mean of a smooth function |
|---|---|---|
| ``monte_carlo`` | independent points | n**-0.5 |
| ``antithetic`` | pairs u, 1 - u | n**-0.5; 0 for odd functions |
| ``latin_hypercube`` | each coordinate in n strata (McKay, Beckman & Conover 1979) | n**-0.5; sums faster |
| ``sobol`` | scrambled Sobol sequence (Owen 1998; numbers of Joe & Kuo 2008) | near n**-1 and faster |

They are the first clients of the door that other people's come in by: entry points of the group
``bondwork.samplers`` that satisfy `bondwork.contracts.Sampler`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bondwork.uncertainty.seeds import child, stream
from bondwork.uncertainty.sobol import BITS, SOBOL_DIMENSIONS, sobol_integers

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bondwork.arrays import FloatArray

_LAST = float(np.nextafter(1.0, 0.0))
# A generator of its own for each coordinate; coordinate -1 would clash, so Sobol's scrambling is another key.
_COORDINATES, _SCRAMBLE = 0, 1


class _Points:
    """n points, each coordinate from a generator of its own."""

    def __init__(self, n: int, seed: np.random.SeedSequence) -> None:
        self.n, self.seed = n, seed

    def rng(self, dimension: int) -> np.random.Generator:
        return stream(self.seed, _COORDINATES, dimension)

    def coordinate(self, dimension: int) -> FloatArray:
        return _open(self.rng(dimension), self.n)


class MonteCarlo:
    """Independent points."""

    summary = "independent random points"

    def points(self, n: int, dimensions: int, seed: np.random.SeedSequence) -> _Points:
        """Return n points; see `bondwork.contracts.Sampler`."""
        return _Points(n, seed)


class _AntitheticPoints(_Points):
    def coordinate(self, dimension: int) -> FloatArray:
        half = _open(self.rng(dimension), (self.n + 1) // 2)
        points = np.empty(self.n)
        points[0::2] = half
        points[1::2] = 1.0 - half[: self.n // 2]
        return points


class Antithetic:
    """Pairs of points that mirror each other."""

    summary = "pairs u, 1 - u of random points"

    def points(self, n: int, dimensions: int, seed: np.random.SeedSequence) -> _Points:
        """Return n points; see `bondwork.contracts.Sampler`."""
        return _AntitheticPoints(n, seed)


class _LatinPoints(_Points):
    def coordinate(self, dimension: int) -> FloatArray:
        rng = self.rng(dimension)
        # The sum may round up to the end of the last stratum, which is not inside (0, 1).
        return np.minimum((rng.permutation(self.n) + _open(rng, self.n)) / self.n, _LAST)


class LatinHypercube:
    """One point in each of n strata of every coordinate."""

    summary = "one random point in each of n strata of every coordinate"

    def points(self, n: int, dimensions: int, seed: np.random.SeedSequence) -> _Points:
        """Return n points; see `bondwork.contracts.Sampler`."""
        return _LatinPoints(n, seed)


class _SobolPoints(_Points):
    """Keeps the integers of the sequence: 4 bytes a number, exact."""

    def __init__(self, n: int, dimensions: int, seed: np.random.SeedSequence) -> None:
        super().__init__(n, seed)
        covered = min(dimensions, SOBOL_DIMENSIONS)
        self.integers: NDArray[np.uint32] | None = None
        if covered:
            self.integers = sobol_integers(n, covered, child(seed, _SCRAMBLE))

    def coordinate(self, dimension: int) -> FloatArray:
        if self.integers is None or dimension >= self.integers.shape[1]:
            return _open(self.rng(dimension), self.n)
        return (self.integers[:, dimension].astype(np.float64) + 0.5) / 2.0**BITS


class Sobol:
    """Scrambled Sobol sequence; plain random numbers from the coordinate on that scipy's tables end at."""

    summary = "scrambled Sobol sequence; best at powers of two"

    def points(self, n: int, dimensions: int, seed: np.random.SeedSequence) -> _Points:
        """Return n points; see `bondwork.contracts.Sampler`."""
        return _SobolPoints(n, dimensions, seed)


def _open(rng: np.random.Generator, size: int) -> FloatArray:
    """Uniform numbers in (0, 1): the normal quantile of an end would be infinite."""
    return (rng.integers(0, 2**52, size=size).astype(np.float64) + 0.5) / 2.0**52
