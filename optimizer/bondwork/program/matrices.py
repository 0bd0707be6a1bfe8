"""A mixed-integer linear program as arrays: all that a solver wants to know."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from bondwork.arrays import frozen
from bondwork.base.tolerances import PROGRAM_ROW

if TYPE_CHECKING:
    from scipy.sparse import csr_array

    from bondwork.arrays import BoolArray, FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class Matrices:
    """A mixed-integer linear program, always a maximisation.

    ``maximise offset + objective @ x`` subject to ``row_lower <= matrix @ x <= row_upper``,
    ``lower <= x <= upper`` and ``x[j]`` whole where ``integer[j]``.

    Attributes
    ----------
    objective
        Shape (n,). Currency per unit of ``x``.
    offset
        Currency. What is earned (or lost) whatever is chosen.
    matrix
        Shape (m, n), CSR with sorted indices.
    row_lower, row_upper
        Shape (m,), in the unit of the row; ``-inf`` and ``inf`` where there is no limit.
    lower, upper
        Shape (n,). Bounds of ``x``.
    integer
        Shape (n,), bool.
    row_tolerance
        A row of a whole solution may be broken by this share of its size; more, and it is solved again with
        that row sharper. See `bondwork.base.tolerances`.
    """

    objective: FloatArray
    offset: float
    matrix: csr_array
    row_lower: FloatArray
    row_upper: FloatArray
    lower: FloatArray
    upper: FloatArray
    integer: BoolArray
    row_tolerance: float = field(default=PROGRAM_ROW, kw_only=True)

    def __post_init__(self) -> None:
        rows, columns = self.matrix.shape
        for name, size in (
            ("objective", columns),
            ("lower", columns),
            ("upper", columns),
            ("integer", columns),
            ("row_lower", rows),
            ("row_upper", rows),
        ):
            array = getattr(self, name)
            if array.shape != (size,):
                raise ValueError(f"{name} has shape {array.shape}, expected ({size},)")
            object.__setattr__(self, name, frozen(array))

    def value(self, x: FloatArray) -> float:
        """Objective of ``x`` in currency."""
        return float(self.offset + self.objective @ x)

    def excess(self, x: FloatArray) -> FloatArray:
        """By how much each row is broken at ``x``, in the unit of the row; 0 where it holds. Shape (m,)."""
        activity: FloatArray = self.matrix @ x
        below, above = self.row_lower - activity, activity - self.row_upper
        excess: FloatArray = np.maximum(np.maximum(below, above), 0.0)
        return excess
