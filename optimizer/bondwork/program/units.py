"""Units in which a solver sees the amounts of a staged round: plain ones as they are, others near 1.

Money may come in wei or in 1e-18 of something. Solvers take 1e20 for infinite, and algorithms that stop at an
absolute precision, such as that of cuts, take amounts of 1e-12 for nothing. So an objective and rows whose
amounts are far from 1 are divided by a power of two, which rounds nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, overload

import numpy as np

if TYPE_CHECKING:
    from bondwork.arrays import FloatArray, IntArray

#: Numbers from here on are scaled down: HiGHS takes 1e20 for infinite, and wei come close.
LARGEST_PLAIN = 1e15

#: Numbers below are scaled up: strategies that stop at an absolute precision would take them for nothing.
SMALLEST_PLAIN = 1e-6

#: A bound of this size never binds where a row's entries add up to at most `LARGEST_PLAIN`.
FAR_ABOVE = 1e19


@overload
def unit_for(size: float) -> float: ...
@overload
def unit_for(size: FloatArray) -> FloatArray: ...
def unit_for(size: float | FloatArray) -> float | FloatArray:
    """The unit for amounts of some size: 1 where that is plain, else a power of two no smaller than it.

    Examples
    --------
    >>> unit_for(0.0), unit_for(250.0), unit_for(3e-18) == 2.0**-58, unit_for(1e20) == 2.0**67
    (1.0, 1.0, True, True)
    """
    sizes = np.asarray(size, dtype=np.float64)
    plain = (sizes == 0.0) | ((sizes >= SMALLEST_PLAIN) & (sizes <= LARGEST_PLAIN))
    exponent = np.ceil(np.log2(np.where(plain, 1.0, sizes)))
    units: FloatArray = np.where(plain, 1.0, np.ldexp(1.0, exponent.astype(np.int64)))
    return float(units) if units.ndim == 0 else units


def row_units(row: IntArray, size: FloatArray, count: int) -> FloatArray:
    """The unit of each of ``count`` rows, from the sizes of all entries. Shape (count,)."""
    return unit_for(np.bincount(row, size, count).astype(np.float64))


def in_reach(upper: FloatArray) -> FloatArray:
    """Upper bounds of rows in their units, infinite where nothing comes near them."""
    return np.where(upper >= FAR_ABOVE, np.inf, upper)
