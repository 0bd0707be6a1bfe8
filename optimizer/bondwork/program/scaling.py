"""Scaling of a program before it goes to a solver, by powers of two so that nothing is rounded.

Solvers work with absolute tolerances around 1e-6; money may come in wei or in millions. Every row is scaled
so that its largest coefficient is near 1, the objective so that its largest is near `OBJECTIVE_SIZE`.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bondwork.arrays import BoolArray, FloatArray, IntArray
    from bondwork.program.matrices import Matrices

#: Size to which the largest objective coefficient is brought. HiGHS prunes by absolute differences of 1e-6,
#: which then are a billionth of the largest coefficient.
OBJECTIVE_SIZE = 10  # as a power of two

#: A column that is nowhere larger than this is counted in a unit of its own size.
TINY = 2.0**-13

#: A single whole choice that alone exceeds a limit by more than this share of it is ruled out beforehand.
FIT_TOLERANCE = 1e-9


@dataclass(frozen=True, slots=True, eq=False)
class ScaledProgram:
    """A program in a solver's units.

    Attributes
    ----------
    objective
        Shape (n,). ``program.objective`` times ``objective_scale``.
    data
        Shape (nnz,). Entries of ``program.matrix`` in CSR order, each times its ``row_scale``.
    row_lower, row_upper
        Shape (m,).
    upper
        Shape (n,). 0 for whole columns that alone exceed a limit, the lower bound for those that only cost.
    objective_scale, row_scale
        Powers of two, the latter of shape (m,).
    """

    objective: FloatArray
    data: FloatArray
    row_lower: FloatArray
    row_upper: FloatArray
    upper: FloatArray
    objective_scale: float
    row_scale: FloatArray


def scale(program: Matrices, *, settled: bool = False, sharp: IntArray | None = None) -> ScaledProgram:
    """Bring a program into a solver's range. The row and column order stays.

    Parameters
    ----------
    settled
        Nobody will change the objective or add rows: columns that only cost are fixed where they cost least.
    sharp
        Shape (m,). How much larger each row is made, as a power of two: so much more exactly it holds.
    """
    matrix = program.matrix
    upper = fitting_upper(program)
    if settled:
        upper = np.where(is_idle(program), program.lower, upper)
    # a choice that is ruled out has no part in a row; its huge coefficient there would only spoil the range
    free = (upper != 0.0) | (program.lower != 0.0)
    used = free[matrix.indices]
    largest = _reduce_rows(np.maximum, np.where(used, np.abs(matrix.data), 0.0), matrix.indptr)
    # a row in which nothing has a part is scaled by its bounds: below 0, however little, nothing can hold it
    bounds = np.abs(np.where(np.isfinite(program.row_upper), program.row_upper, program.row_lower))
    # and by the one that 0 breaks, where it breaks one
    bounds = np.where(program.row_lower > 0.0, program.row_lower, bounds)
    largest = np.where((largest == 0.0) & np.isfinite(bounds), bounds, largest)
    row_scale = _power_of_two(largest, 0)
    if sharp is not None:
        row_scale = np.ldexp(row_scale, sharp)
    largest_gain = np.max(np.abs(program.objective[free]), initial=0.0)
    objective_scale = float(_power_of_two(np.array([largest_gain]), OBJECTIVE_SIZE)[0])
    return ScaledProgram(
        program.objective * objective_scale,
        np.where(used, matrix.data * np.repeat(row_scale, np.diff(matrix.indptr)), 0.0),
        program.row_lower * row_scale,
        program.row_upper * row_scale,
        upper,
        objective_scale,
        row_scale,
    )


def column_units(program: Matrices) -> FloatArray | None:
    """Units in which columns that cannot be whole and are nowhere large are of ordinary size. Shape (n,).

    A column between 0 and 1e-7 is worth as much as any other, and within a solver's tolerance nothing at all.
    Columns with large bounds are left as they are: such a bound is often somebody's word for none.

    Returns
    -------
    FloatArray or None
        Powers of two; ``None`` where every column stays as it is.
    """
    size = np.maximum(np.abs(program.lower), np.abs(program.upper))
    tiny = ~program.integer & (size > 0.0) & (size < TINY)
    return np.where(tiny, 1.0 / _power_of_two(size, 0), 1.0) if tiny.any() else None


def in_units(program: Matrices, unit: FloatArray) -> Matrices:
    """Return the program with its columns counted in other units, powers of two."""
    matrix = program.matrix.copy()
    matrix.data = matrix.data * unit[matrix.indices]
    return dataclasses.replace(
        program,
        objective=program.objective * unit,
        matrix=matrix,
        lower=program.lower / unit,
        upper=program.upper / unit,
    )


def is_idle(program: Matrices) -> BoolArray:
    """Columns that nobody would raise: that earns nothing, and no row needs it. Shape (n,)."""
    matrix = program.matrix
    row = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
    helps = (matrix.data > 0.0) & (program.row_lower[row] > -np.inf)
    helps |= (matrix.data < 0.0) & (program.row_upper[row] < np.inf)
    idle: BoolArray = (program.objective <= 0.0) & np.isfinite(program.lower)
    idle[matrix.indices[helps]] = False
    return idle


def _power_of_two(sizes: FloatArray, target: int) -> FloatArray:
    """Powers of two that bring ``sizes`` to about 2**target; 1 where a size is 0."""
    _, exponent = np.frexp(sizes)
    return np.where(sizes > 0.0, np.ldexp(1.0, target - exponent), 1.0)


def fitting_upper(program: Matrices) -> FloatArray:
    """Upper bounds, 0 for whole columns that alone break a row in which nothing could make room for them."""
    matrix = program.matrix
    terms = matrix.data
    if np.any(program.lower < 0.0):
        terms = np.where(program.lower[matrix.indices] >= 0.0, terms, -np.inf)
    only_adds = (_reduce_rows(np.minimum, terms, matrix.indptr) >= 0.0) & (program.row_upper >= 0.0)
    most = program.row_upper + FIT_TOLERANCE * np.abs(program.row_upper)
    breaks = matrix.data > np.repeat(np.where(only_adds, most, np.inf), np.diff(matrix.indptr))
    columns = matrix.indices[breaks]
    columns = columns[program.integer[columns] & (program.lower[columns] == 0.0)]
    upper = program.upper.copy()
    upper[columns] = 0.0
    return upper


def _reduce_rows(reduce: np.ufunc, values: FloatArray, indptr: NDArray[np.integer[Any]]) -> FloatArray:
    """Reduce the entries of each row of a CSR matrix; 0 for empty rows. Shape (m,)."""
    result = np.zeros(len(indptr) - 1)
    filled = np.flatnonzero(np.diff(indptr))
    if len(filled):
        result[filled] = reduce.reduceat(values, indptr[filled])
    return result
