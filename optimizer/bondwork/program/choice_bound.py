"""A bound that costs nothing: the best choice for each task, as if nothing else limited it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bondwork.problem.limits import LimitKind
from bondwork.program.bounds import multiplier_bound

if TYPE_CHECKING:
    from bondwork.program.program import Program


def choice_bound(program: Program) -> float:
    """Upper bound from the one-executor rows alone: each task earns its best offer, or nothing.

    A required task counts with its best offer even where that loses. Weak, but valid for every program.
    """
    price = np.zeros(len(program.row_lower))
    tasks = program.limits.of_kind(LimitKind.TASK)
    matrix = program.matrix
    best = np.zeros(len(tasks))
    for position, row in enumerate(tasks.tolist()):
        columns = matrix.indices[matrix.indptr[row] : matrix.indptr[row + 1]]
        if len(columns):
            most = float(program.objective[columns].max())
            best[position] = most if program.row_lower[row] > 0.0 else max(most, 0.0)
    price[tasks] = best
    return multiplier_bound(program, price)
