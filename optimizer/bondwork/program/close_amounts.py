"""Rows whose amounts lie so close together, or so near to nothing, that a solver may mistake them.

HiGHS takes what is below 1e-6 for nothing, here and there: beside a choice that takes 100 of 100, one that
takes 0.00011 sometimes counts and sometimes does not, and presolve that mixes both calls programs infeasible
or poor solutions optimal. Such rows are made larger beforehand, so that all amounts in them are apart.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bondwork.base.tolerances import PROGRAM_ROW

if TYPE_CHECKING:
    from bondwork.arrays import FloatArray, IntArray
    from bondwork.program.matrices import Matrices

#: Share of a row's largest coefficient below which a difference is close.
CLOSE = 2.0**-14

#: Share below which a difference is a rounding: what a solver sees of a limit is wider by such a hair.
ROUNDING = 1e-11

#: As a power of two, to which share of the largest coefficient a close difference is brought, by how much a
#: row is made larger at most, and how large its numbers become at most: of 16 digits some must be left.
APART, MOST, LARGEST = -10, 20, 23


def spread(program: Matrices) -> IntArray:
    """How much larger each row must be for its amounts to be apart, as a power of two.

    Only rows over whole columns alone are asked about: in others the last digits are the solver's.

    Returns
    -------
    IntArray
        Shape (m,), 0 for rows that may stay as they are; as of `bondwork.program.scaling.scale`.
    """
    matrix, rows = program.matrix, len(program.row_upper)
    power = np.zeros(rows, dtype=np.int64)
    row = np.repeat(np.arange(rows), np.diff(matrix.indptr))
    whole = np.ones(rows, dtype=bool)
    whole[row[~program.integer[matrix.indices]]] = False
    size = np.abs(matrix.data)
    largest = np.zeros(rows)
    np.maximum.at(largest, row, size)
    bounds = np.array([program.row_lower, program.row_upper])
    bounds = np.where(np.isfinite(bounds), np.abs(bounds), 0.0)
    asked = whole & (largest > 0.0)
    if program.row_tolerance >= PROGRAM_ROW:
        # what such a row may be exceeded by is known beforehand only where that is a share of its bound
        finite = np.isfinite([program.row_lower, program.row_upper])
        asked &= np.where(finite, bounds, np.inf).min(axis=0) >= largest
    mine, every = asked[row], np.flatnonzero(asked)
    share = _differences(
        np.concatenate([row[mine], *(np.tile(every, 3),)]),
        np.concatenate([size[mine], bounds[0][every], bounds[1][every], np.zeros(len(every))]),
        largest,
    )
    close = share < CLOSE
    power[close] = np.minimum(APART - np.floor(np.log2(share[close])), MOST).astype(np.int64)
    most = np.maximum(bounds.max(axis=0, initial=0.0), largest)
    room = LARGEST - np.ceil(np.log2(most[close] / largest[close])).astype(np.int64)
    power[close] = np.clip(power[close], 0, np.maximum(room, 0))
    return power


def _differences(row: IntArray, size: FloatArray, largest: FloatArray) -> FloatArray:
    """The smallest difference of two amounts of each row that is no rounding, as a share of the largest."""
    order = np.lexsort((size, row))
    row, size = row[order], size[order]
    same = row[1:] == row[:-1]
    share = (size[1:] - size[:-1])[same] / largest[row[1:][same]]
    told = share > ROUNDING
    found = np.ones(len(largest))
    np.minimum.at(found, row[1:][same][told], share[told])
    return found
