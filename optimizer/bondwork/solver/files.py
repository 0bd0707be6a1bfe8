"""An MPS file as arrays, read by HiGHS: it reads numbers exactly, and knows the objective's constant."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import csc_array

if TYPE_CHECKING:
    from pathlib import Path

    from scipy.sparse import csr_array

    from bondwork.arrays import BoolArray, FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class ReadProgram:
    """A program as its file states it: rows ``row_lower <= matrix @ x <= row_upper`` among them.

    Attributes
    ----------
    columns, rows
        Names.
    is_minimised
        Whether the objective ``offset + cost @ x`` is.
    """

    columns: list[str]
    rows: list[str]
    is_minimised: bool
    cost: FloatArray
    offset: float
    matrix: csr_array
    row_lower: FloatArray
    row_upper: FloatArray
    lower: FloatArray
    upper: FloatArray
    integer: BoolArray


def read_mps(path: Path) -> ReadProgram:
    """Read a file.

    Raises
    ------
    ValueError
        HiGHS cannot read it.
    """
    from bondwork.solver.construction import make_highs  # loads HiGHS

    highs = make_highs()
    if int(highs.readModel(str(path))) < 0:
        raise ValueError(f"HiGHS cannot read {path}")
    lp = highs.getLp()
    entries = lp.a_matrix_
    matrix = csc_array(
        (np.array(entries.value_), np.array(entries.index_), np.array(entries.start_)),
        shape=(lp.num_row_, lp.num_col_),
    )
    kinds = [int(kind) for kind in lp.integrality_] or [0] * lp.num_col_
    return ReadProgram(
        list(lp.col_names_),
        list(lp.row_names_),
        int(lp.sense_) == 1,
        np.array(lp.col_cost_),
        float(lp.offset_),
        matrix.tocsr(),
        np.array(lp.row_lower_),
        np.array(lp.row_upper_),
        np.array(lp.col_lower_),
        np.array(lp.col_upper_),
        np.array(kinds) != 0,
    )
