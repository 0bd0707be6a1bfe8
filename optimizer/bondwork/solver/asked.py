"""What a run of HiGHS is asked besides its options."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from bondwork.arrays import FloatArray, IntArray


@dataclass(frozen=True, slots=True, eq=False)
class Asked:
    """What is solved, where from, and who is told.

    Attributes
    ----------
    relaxed, start, phase, worth
        As of `bondwork.solver.solving.solve_program`.
    sharp
        Shape (m,). By how much each row is held to more exactly, as of `bondwork.program.scaling.scale`.
    """

    relaxed: bool
    start: FloatArray | None = None
    phase: str = ""
    worth: Callable[[FloatArray], float | None] | None = None
    sharp: IntArray | None = None
