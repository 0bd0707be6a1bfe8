"""Multipliers that prove that nothing is feasible, where the linear relaxation says so (Farkas)."""

from __future__ import annotations

import dataclasses
import time
from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import csr_array, hstack

from bondwork.observing import Silence
from bondwork.problem.limits import LimitKind
from bondwork.program.cutting import CuttingPlanes
from bondwork.program.matrices import Matrices
from bondwork.program.proof import described, is_described
from bondwork.solver.solving import solve_program

if TYPE_CHECKING:
    from bondwork.contracts import Options
    from bondwork.program.program import Program
    from bondwork.program.proof import Proof

#: Rounds of cuts after which no proof is sought any more, and seconds.
_MOST_ROUNDS, _SECONDS = 20, 20.0


def refute(program: Program, options: Options) -> Proof | None:
    """Find multipliers under which the required tasks take more than all limits leave.

    The linear program that leaves as few of the required tasks as possible has them as its multipliers,
    wherever it cannot do all of them.
    """
    known = program if is_described(program) else described(program)
    cuts = CuttingPlanes(known)
    ends = time.perf_counter() + min(_SECONDS, options.time_limit)
    for _ in range(_MOST_ROUNDS):
        matrices = cuts.matrices()
        left = dataclasses.replace(options, time_limit=ends - time.perf_counter())
        if left.time_limit <= 0.0:
            return None
        answer = solve_program(_elastic(matrices), left, Silence(), relaxed=True, phase="proof")
        if answer.row_duals is None or answer.x is None or answer.status != "optimal":
            return None
        x = answer.x[: known.choices]
        if answer.x[len(matrices.objective) :].sum() > 0.0:
            return cuts.proof(matrices, answer.row_duals)
        if not cuts.separate(x):
            return None
    return None


def _elastic(program: Program) -> Matrices:
    """Leave required tasks at a cost of 1 each; nothing else counts."""
    limits = program.limits
    rows = np.flatnonzero((limits.kind == LimitKind.TASK) & (limits.lower > 0.0))
    n, m, k = len(program.objective), len(program.row_lower), len(rows)
    left = csr_array((np.ones(k), (rows, np.arange(k))), shape=(m, k))
    return Matrices(
        objective=np.append(np.zeros(n), -np.ones(k)),
        offset=0.0,
        matrix=csr_array(hstack([program.matrix, left], format="csr")),
        row_lower=program.row_lower,
        row_upper=program.row_upper,
        lower=np.append(program.lower, np.zeros(k)),
        upper=np.append(program.upper, np.ones(k)),
        integer=np.append(program.integer, np.zeros(k, dtype=bool)),
    )
