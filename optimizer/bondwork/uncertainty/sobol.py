"""Scrambled Sobol points as integers of 32 bits (Joe & Kuo 2008; scrambled as by Matousek 1998).

They are those of `scipy.stats.qmc.Sobol`, number by number. That class comes with all of `scipy.stats`, whose
import takes longer than whole solves; its direction numbers are a file beside it, which is read here.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import scipy

from bondwork.uncertainty.seeds import child

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Dimensions that scipy's direction numbers cover.
SOBOL_DIMENSIONS: Final = 21_201

#: Bits of a coordinate.
BITS: Final = 32

#: Points that scipy is asked for at once.
_BATCH: Final = 1024

#: Where scipy keeps its direction numbers.
_TABLE = Path(scipy.__file__).parent / "stats" / "_sobol_direction_numbers.npz"

_ONE: Final = np.uint64(1)


def sobol_integers(n: int, dimensions: int, seed: np.random.SeedSequence) -> NDArray[np.uint32]:
    """First ``n`` scrambled Sobol points as integers of 32 bits: exact, at half the memory of doubles.

    Parameters
    ----------
    n
        At least 1; powers of two are what the sequence is made for.
    dimensions
        1 to `SOBOL_DIMENSIONS`.
    seed
        Of the scrambling.

    Returns
    -------
    array
        Shape (n, dimensions). Divided by 2**32, points of the unit cube.

    Examples
    --------
    >>> points = sobol_integers(4, 2, np.random.SeedSequence(0))
    >>> sorted((points[:, 0] >> 30).tolist())  # one in each quarter
    [0, 1, 2, 3]
    """
    try:
        numbers = _direction_numbers(dimensions)
    except (OSError, KeyError, ValueError):  # a release of scipy that keeps them elsewhere
        return _by_scipy(n, dimensions, seed)
    # scipy draws from the first child of the generator that it is given
    rng = np.random.default_rng(child(seed, 0))
    shift = rng.integers(2, size=(dimensions, BITS), dtype=np.uint32)
    lower = np.tril(rng.integers(2, size=(dimensions, BITS, BITS), dtype=np.uint32), -1)
    powers = np.left_shift(np.uint32(1), np.arange(BITS, dtype=np.uint32))
    scrambled = _times(numbers, np.einsum("dpk,p->dk", lower, powers[::-1]) | powers[::-1])
    points = np.empty((n, dimensions), dtype=np.uint32)
    points[0] = shift @ powers
    known = 1
    for number in scrambled.T:
        # in the order of Gray's code the next half of the points mirrors the first
        more = min(known, n - known)
        points[known : known + more] = points[known - more : known][::-1] ^ number
        known += more
    return points


def _times(numbers: NDArray[np.uint32], columns: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """Multiply bits, the highest first, by matrices of bits given by their columns; all of shape (d, 32)."""
    product = np.zeros_like(numbers)
    for k in range(BITS):
        product ^= ((numbers >> np.uint32(BITS - 1 - k)) & np.uint32(1)) * columns[:, k, None]
    return product


@cache
def _table() -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """Primitive polynomials and the first direction numbers of each, as scipy has them."""
    with np.load(_TABLE, allow_pickle=False) as file:
        return file["poly"].astype(np.uint64), file["vinit"].astype(np.uint64)


def _direction_numbers(dimensions: int) -> NDArray[np.uint32]:
    """Direction numbers, the first bit highest. Shape (dimensions, 32)."""
    polynomials, first = (each[:dimensions] for each in _table())
    degree = np.zeros(dimensions, dtype=np.int64)
    for power in range(1, first.shape[1] + 1):
        degree += polynomials >> np.uint64(power) > 0
    v = np.ones((dimensions, BITS), dtype=np.uint64)  # those of the first coordinate
    v[1:, : first.shape[1]] = first[1:]
    places = np.arange(first.shape[1])
    taken = np.maximum(degree[:, None] - 1 - places, 0).astype(np.uint64)
    coefficients = np.where(places < degree[:, None], polynomials[:, None] >> taken & _ONE, 0)
    rows = np.arange(dimensions)
    for j in range(1, BITS):
        going_on = (degree <= j) & (degree > 0)
        following = v[rows, np.maximum(j - degree, 0)]
        for k in range(min(j, int(degree.max()))):
            following ^= coefficients[:, k] * (v[:, j - k - 1] << np.uint64(k + 1))
        v[going_on, j] = following[going_on]
    return (v << np.arange(BITS - 1, -1, -1).astype(np.uint64)).astype(np.uint32)


def _by_scipy(n: int, dimensions: int, seed: np.random.SeedSequence) -> NDArray[np.uint32]:
    """The same from scipy's own class."""
    from scipy.stats import qmc

    engine = qmc.Sobol(dimensions, scramble=True, bits=BITS, rng=np.random.default_rng(seed))
    integers = np.empty((n, dimensions), dtype=np.uint32)
    # scipy warns when the first batch is not a power of two; what matters is n, and the caller chose it.
    start, batch = 0, 1 << min(n.bit_length() - 1, _BATCH.bit_length() - 1)
    while start < n:
        stop = min(start + batch, n)
        integers[start:stop] = engine.random(stop - start) * 2.0**BITS
        start, batch = stop, _BATCH
    return integers
