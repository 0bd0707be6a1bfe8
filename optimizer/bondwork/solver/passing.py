"""Handing arrays over to HiGHS, in one call."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import highspy

    from bondwork.program.matrices import Matrices
    from bondwork.program.scaling import ScaledProgram

#: `MatrixFormat.kRowwise` and `ObjSense.kMaximize` of HiGHS.
ROWWISE, MAXIMIZE = 2, -1

#: `HighsStatus.kError`.
ERROR = -1


def pass_program(highs: highspy.Highs, program: Matrices, scaled: ScaledProgram, *, relaxed: bool) -> bool:
    """Hand the scaled arrays of a program over; say whether HiGHS took them.

    It refuses coefficients of 1e15 and more. What is not a number it takes, and makes something of it.
    """
    matrix = program.matrix
    integer = np.zeros(len(program.integer), dtype=np.int32) if relaxed else program.integer.astype(np.int32)
    parts = (
        scaled.objective,
        program.lower,
        scaled.upper,
        scaled.row_lower,
        scaled.row_upper,
    )
    if np.isnan(scaled.data).any() or any(np.isnan(part).any() for part in parts):
        return False
    taken = highs.passModel(
        matrix.shape[1],
        matrix.shape[0],
        matrix.nnz,
        ROWWISE,
        MAXIMIZE,
        program.offset * scaled.objective_scale,
        *parts,
        matrix.indptr.astype(np.int32, copy=False),
        matrix.indices.astype(np.int32, copy=False),
        scaled.data,
        integer,
    )
    return int(taken) != ERROR
