"""An MPS file as arrays, read by HiGHS: it reads numbers exactly, and knows the objective's constant.

Without scipy: in the processes that read such files Pyomo is loaded, and lets nobody import scipy without
all of its statistics, which takes a second.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from pathlib import Path

    from bondwork.arrays import BoolArray, FloatArray, IntArray


@dataclass(frozen=True, slots=True, eq=False)
class ReadProgram:
    """A program as its file states it: rows ``row_lower <= A @ x <= row_upper`` among them.

    Attributes
    ----------
    columns, rows
        Names.
    is_minimised
        Whether the objective ``offset + cost @ x`` is.
    start, index, value
        The matrix row by row: row ``r`` has ``value[start[r] : start[r + 1]]`` in the columns ``index[...]``.
    """

    columns: list[str]
    rows: list[str]
    is_minimised: bool
    cost: FloatArray
    offset: float
    start: IntArray
    index: IntArray
    value: FloatArray
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
    # HiGHS has it column by column: in the order of the rows, each row's columns stay in theirs
    row_of = np.array(entries.index_, dtype=np.int64)
    column_start: IntArray = np.array(entries.start_, dtype=np.int64)
    column_of = np.repeat(np.arange(lp.num_col_), column_start[1:] - column_start[:-1])
    by_row = np.argsort(row_of, kind="stable")
    start = np.concatenate([[0], np.cumsum(np.bincount(row_of, minlength=lp.num_row_))])
    kinds = [int(kind) for kind in lp.integrality_] or [0] * lp.num_col_
    return ReadProgram(
        list(lp.col_names_),
        list(lp.row_names_),
        int(lp.sense_) == 1,
        np.array(lp.col_cost_),
        float(lp.offset_),
        start,
        column_of[by_row],
        np.array(entries.value_, dtype=np.float64)[by_row],
        np.array(lp.row_lower_),
        np.array(lp.row_upper_),
        np.array(lp.col_lower_),
        np.array(lp.col_upper_),
        np.array(kinds) != 0,
    )
