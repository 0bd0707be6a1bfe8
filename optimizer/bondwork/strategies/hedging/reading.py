"""An MPS file as a Pyomo model: what mpi-sppy's door for such files needs, by HiGHS instead of CBC.

mpi-sppy 0.14 reads MPS files with ``mip``, which comes with 190 MB of CBC and leaves out the objective's
constant. HiGHS is there anyway, and reads numbers exactly.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyomo.environ as pyo
from pyomo.core.expr import LinearExpression

from bondwork.solver.files import read_mps

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
    read = read_mps(Path(mps_path))
    model = pyo.ConcreteModel()
    columns = []
    bounds = zip(read.columns, read.lower, read.upper, read.integer, strict=True)
    for name, lower, upper, integer in bounds:
        column = pyo.Var(domain=pyo.Integers if integer else pyo.Reals, bounds=(_limit(lower), _limit(upper)))
        model.add_component(name, column)
        columns.append(column)
    rows = zip(read.rows, read.row_lower, read.row_upper, strict=True)
    for number, (name, lower, upper) in enumerate(rows):
        span = slice(read.start[number], read.start[number + 1])
        body = _sum(read.value[span], [columns[k] for k in read.index[span]])
        expression = body == lower if lower == upper else (_limit(lower), body, _limit(upper))
        model.add_component(name, pyo.Constraint(expr=expression))
    priced = np.flatnonzero(read.cost)
    objective = _sum(read.cost[priced], [columns[k] for k in priced], read.offset)
    sense = pyo.minimize if read.is_minimised else pyo.maximize
    model.objective = pyo.Objective(expr=objective, sense=sense)
    return model


def _limit(number: float) -> float | None:
    return float(number) if math.isfinite(number) else None


def _sum(factors: FloatArray, columns: list[Any], constant: float = 0.0) -> Any:
    return LinearExpression(constant=constant, linear_coefs=factors.tolist(), linear_vars=columns)
