"""What HiGHS said, in the units of the program."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bondwork.solver.status import word
from bondwork.solver.threads import dual_ray

if TYPE_CHECKING:
    import highspy

    from bondwork.arrays import BoolArray, FloatArray
    from bondwork.contracts import Status
    from bondwork.program.matrices import Matrices
    from bondwork.program.scaling import ScaledProgram

#: `SolutionStatus.kSolutionStatusFeasible` of HiGHS.
_FEASIBLE = 2

#: HiGHS's tolerance for rows, in its units.
_TOLERANCE = 1e-6


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """What HiGHS said, in the units of the program.

    Attributes
    ----------
    status
        Why it stopped.
    x
        Shape (n,). Incumbent with whole columns rounded, or ``None``.
    bound
        Dual bound in currency; ``inf`` where HiGHS has none.
    row_duals
        Shape (m,). For a linear program solved to optimality (or a Farkas ray, where ``infeasible``); else
        ``None``.
    """

    status: Status
    x: FloatArray | None
    bound: float
    row_duals: FloatArray | None = None


def read_answer(
    highs: highspy.Highs,
    program: Matrices,
    scaled: ScaledProgram,
    incumbent: FloatArray | None,
    *,
    relaxed: bool,
) -> Answer:
    """Read what a run has left.

    Parameters
    ----------
    incumbent
        Shape (n,). The last solution that was reported on the way: it is there, too, where a run failed.
    """
    status = word(highs.getModelStatus())
    info = highs.getInfo()
    integer = program.integer & (not relaxed)
    x = None
    if info.primal_solution_status == _FEASIBLE:
        x = _rounded(np.array(highs.getSolution().col_value), program, scaled, integer)
    elif status == "optimal":
        # with amounts of 1e11 the last bits of a sum are more than HiGHS's absolute tolerance
        x = _rounded(np.array(highs.getSolution().col_value), program, scaled, integer)
        size = abs(program.matrix) @ np.abs(x)
        x = x if np.all(program.excess(x) <= program.row_tolerance * size) else None
    elif incumbent is not None and status not in ("infeasible", "dual_infeasible"):
        x = _rounded(incumbent, program, scaled, integer)
        # what presolve undid wrongly is reported like any other solution
        x = x if np.all(program.excess(x) * scaled.row_scale <= _TOLERANCE) else None
    if integer.any():
        # HiGHS reports a dual bound for integer programs only; after a linear one it would read 0
        bound = info.mip_dual_bound / scaled.objective_scale
        bound = -math.inf if status == "infeasible" else bound if math.isfinite(bound) else math.inf
        return Answer(status, x, bound)
    duals = None
    if status == "optimal":
        duals = np.array(highs.getSolution().row_dual) * scaled.row_scale / scaled.objective_scale
    elif status == "infeasible":
        has_ray, ray = dual_ray(highs)
        duals = np.array(ray) if has_ray else None
    bound = info.objective_function_value / scaled.objective_scale if status == "optimal" else math.inf
    return Answer(status, x, bound if status != "infeasible" else -math.inf, duals)


def _rounded(x: FloatArray, program: Matrices, scaled: ScaledProgram, integer: BoolArray) -> FloatArray:
    return np.clip(np.where(integer, np.round(x), x), program.lower, scaled.upper)
