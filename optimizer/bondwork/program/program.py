"""The program of a round: what every formulation ends in and every strategy starts from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bondwork.arrays import frozen
from bondwork.program.matrices import Matrices

if TYPE_CHECKING:
    from bondwork.arrays import IntArray
    from bondwork.problem.limits import Limits


@dataclass(frozen=True, slots=True, eq=False)
class Program(Matrices):
    """A round in matrix form, with what its columns and rows mean.

    Attributes
    ----------
    columns
        Shape (n,). Column ``j`` decides about offer ``columns[j]`` of the instance.
    limits
        Row ``i`` is ``limits`` number ``i``.
    """

    columns: IntArray
    limits: Limits

    def __post_init__(self) -> None:
        Matrices.__post_init__(self)  # a slotted dataclass is made anew, which breaks a bare super()
        if self.columns.shape != self.objective.shape:
            raise ValueError(f"columns has shape {self.columns.shape}, expected {self.objective.shape}")
        if len(self.limits) != len(self.row_lower):
            raise ValueError(f"{len(self.limits)} limits for {len(self.row_lower)} rows")
        object.__setattr__(self, "columns", frozen(self.columns))
