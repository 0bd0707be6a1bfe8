"""What a solve can start from: an earlier round's plan and multipliers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bondwork.arrays import FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class WarmStart:
    """A plan and multipliers in the numbering of the program to be solved; either may be absent.

    Attributes
    ----------
    x
        Shape (n,). A plan, feasible or not: what fits of it is used.
    row_duals
        Shape (m,). As in `bondwork.contracts.Solution`; ``nan`` for rows that are new.
    """

    x: FloatArray | None = None
    row_duals: FloatArray | None = None
