"""An MPS file as a Pyomo model: what mpi-sppy's door for such files needs, by HiGHS instead of CBC.

mpi-sppy 0.14 reads MPS files with ``mip``, which comes with 190 MB of CBC and leaves out the objective's
constant. HiGHS is there anyway, and reads numbers exactly.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import highspy
import numpy as np
import pyomo.environ as pyo
from pyomo.core.expr import LinearExpression
from scipy.sparse import csc_array

if TYPE_CHECKING:
    from bondwork.arrays import FloatArray


def read_mps_and_create_pyomo_model(mps_path: str) -> Any:
    """Read a file; each column and row becomes an attribute of its name.

    Takes the place of the function of this name in ``mpisppy.problem_io.mps_reader``.

    Raises
    ------
    ValueError
        HiGHS cannot read the file.
    """
    highs = highspy.Highs()
    highs.setOptionValue("output_flag", False)
    if highs.readModel(mps_path) == highspy.HighsStatus.kError:
        raise ValueError(f"HiGHS cannot read {mps_path}")
    lp = highs.getLp()
    whole = [kind != highspy.HighsVarType.kContinuous for kind in lp.integrality_] or [False] * lp.num_col_
    model = pyo.ConcreteModel()
    columns = []
    for name, lower, upper, integer in zip(lp.col_names_, lp.col_lower_, lp.col_upper_, whole, strict=True):
        column = pyo.Var(domain=pyo.Integers if integer else pyo.Reals, bounds=(_limit(lower), _limit(upper)))
        model.add_component(name, column)
        columns.append(column)
    entries = lp.a_matrix_
    shape = (lp.num_row_, lp.num_col_)
    by_row = csc_array((np.array(entries.value_), entries.index_, entries.start_), shape=shape).tocsr()
    rows = zip(lp.row_names_, lp.row_lower_, lp.row_upper_, strict=True)
    for number, (name, lower, upper) in enumerate(rows):
        span = slice(by_row.indptr[number], by_row.indptr[number + 1])
        body = _sum(by_row.data[span], [columns[k] for k in by_row.indices[span]])
        expression = body == lower if lower == upper else (_limit(lower), body, _limit(upper))
        model.add_component(name, pyo.Constraint(expr=expression))
    cost = np.array(lp.col_cost_)
    priced = np.flatnonzero(cost)
    objective = _sum(cost[priced], [columns[k] for k in priced], lp.offset_)
    sense = pyo.minimize if lp.sense_ == highspy.ObjSense.kMinimize else pyo.maximize
    model.objective = pyo.Objective(expr=objective, sense=sense)
    return model


def _limit(number: float) -> float | None:
    return float(number) if math.isfinite(number) else None


def _sum(factors: FloatArray, columns: list[Any], constant: float = 0.0) -> Any:
    return LinearExpression(constant=constant, linear_coefs=factors.tolist(), linear_vars=columns)
