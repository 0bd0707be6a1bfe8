"""A linear program that HiGHS keeps: changed a little and solved again from its last basis.

For recourse, whose members differ by what became known, and for masters, which gain rows: a dual simplex then
needs a few pivots where a new solve would start over. Numbers go in as they are; whoever keeps the program
scales it.
"""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Any

import numpy as np

from bondwork.solver.options import set_options
from bondwork.solver.passing import MAXIMIZE, ROWWISE
from bondwork.solver.status import word
from bondwork.solver.threads import dual_ray, run

if TYPE_CHECKING:
    from collections.abc import Mapping

    import highspy
    from numpy.typing import NDArray

    from bondwork.arrays import BoolArray, FloatArray
    from bondwork.contracts import Status
    from bondwork.solver.options import Value

    Basis = highspy.HighsBasis
    Places = NDArray[np.integer[Any]]

#: `HighsBasisStatus.kBasic` and `kUpper` of HiGHS.
_BASIC, _UPPER = 1, 2


class LiveLP:
    """``maximise offset + cost @ y``, ``row_lower <= W y <= row_upper``, ``lower <= y <= upper``.

    Runs in the calling thread, and in no other: for programs that take milliseconds.

    Parameters
    ----------
    own, given
        Options of HiGHS, as in `bondwork.solver.options.set_options`.

    Raises
    ------
    InvalidInput
        An option that HiGHS does not know, or that is not for callers.

    Examples
    --------
    >>> lp = LiveLP()
    >>> lp.load(np.array([3.0]), np.zeros(1), np.full(1, np.inf), np.full(1, -np.inf), np.array([2.0]),
    ...         np.array([0, 1]), np.array([0]), np.array([1.0]))
    >>> lp.solve(), lp.value()
    ('optimal', 6.0)
    >>> lp.change_rows(np.array([0]), np.array([-np.inf]), np.array([6.0]))
    >>> lp.solve(), lp.value(), lp.row_duals().tolist()
    ('optimal', 18.0, [3.0])
    """

    def __init__(
        self, own: Mapping[str, Value] | None = None, given: Mapping[str, Value] | None = None
    ) -> None:
        from bondwork.solver.construction import make_highs  # loads HiGHS

        self._highs = make_highs()
        set_options(self._highs, {**(own or {}), "threads": 1}, given or {})
        self._highs.setOptionValue("threads", 1)
        self._is_limited = False
        #: Whether HiGHS has taken every number of the program so far.
        self.is_loaded = False

    # --- the program -------------------------------------------------------------------------------------

    def load(
        self,
        cost: FloatArray,
        lower: FloatArray,
        upper: FloatArray,
        row_lower: FloatArray,
        row_upper: FloatArray,
        start: Places,
        index: Places,
        entries: FloatArray,
        offset: float = 0.0,
    ) -> None:
        """Take a program, in place of any other.

        Parameters
        ----------
        start, index, entries
            W as `scipy.sparse.csr_array` has it: ``indptr``, ``indices``, ``data``.
        """
        numbers = (cost, lower, upper, row_lower, row_upper, entries)
        self.is_loaded = not any(np.isnan(each).any() for each in numbers)
        if not self.is_loaded:
            return
        taken = self._highs.passModel(
            len(cost),
            len(row_lower),
            len(entries),
            ROWWISE,
            MAXIMIZE,
            offset,
            cost,
            lower,
            upper,
            row_lower,
            row_upper,
            np.asarray(start, dtype=np.int32),
            np.asarray(index, dtype=np.int32),
            entries,
            np.zeros(len(cost), dtype=np.int32),
        )
        self.is_loaded = int(taken) >= 0

    def change_costs(self, at: Places, cost: FloatArray) -> None:
        """Give columns other costs."""
        if len(at):
            self._note(self._highs.changeColsCost(len(at), _places(at), cost))

    def change_columns(self, at: Places, lower: FloatArray, upper: FloatArray) -> None:
        """Give columns other bounds."""
        if len(at):
            self._note(self._highs.changeColsBounds(len(at), _places(at), lower, upper))

    def change_rows(self, at: Places, lower: FloatArray, upper: FloatArray) -> None:
        """Give rows other limits."""
        if len(at):
            self._note(self._highs.changeRowsBounds(len(at), _places(at), lower, upper))

    def change_entries(self, row: Places, column: Places, entries: FloatArray) -> None:
        """Give places of W other numbers, one by one."""
        for each in zip(row.tolist(), column.tolist(), entries.tolist(), strict=True):
            self._note(self._highs.changeCoeff(*each))

    def add_rows(
        self, lower: FloatArray, upper: FloatArray, start: Places, index: Places, entries: FloatArray
    ) -> None:
        """Add rows, given as `load` takes them."""
        if len(lower):
            first = _places(start[:-1])
            self._note(
                self._highs.addRows(len(lower), lower, upper, len(index), first, _places(index), entries)
            )

    def delete_rows(self, at: Places) -> None:
        """Take rows out."""
        if len(at):
            self._note(self._highs.deleteRows(len(at), _places(at)))

    def _note(self, status: highspy.HighsStatus) -> None:
        self.is_loaded = self.is_loaded and int(status) >= 0

    # --- solving -----------------------------------------------------------------------------------------

    def solve(self, seconds: float = math.inf) -> Status:
        """Solve from the last basis; ``numerical_error`` where HiGHS refused a number of the program."""
        if not self.is_loaded:
            return "numerical_error"
        if seconds <= 0.0:
            return "time_limit"
        if math.isfinite(seconds) or self._is_limited:
            # HiGHS counts the seconds of all its runs together
            self._highs.setOptionValue("time_limit", self._highs.getRunTime() + max(seconds, 0.0))
            self._is_limited = math.isfinite(seconds)
        run(self._highs)
        return self.status()

    def solve_afresh(self, seconds: float = math.inf) -> Status:
        """Solve from nothing: what helps where a warm start went astray."""
        self._highs.clearSolver()
        return self.solve(seconds)

    def solve_within(self, tolerance: float, deadline: float = math.inf) -> Status:
        """Solve from nothing with another tolerance for bounds and rows, this once."""
        _, fine = self._highs.getOptionValue("primal_feasibility_tolerance")
        if fine >= tolerance:
            return self.status()
        self._highs.setOptionValue("primal_feasibility_tolerance", tolerance)
        try:
            return self.solve_afresh(deadline - time.perf_counter())
        finally:
            self._highs.setOptionValue("primal_feasibility_tolerance", fine)

    def status(self) -> Status:
        """Why the last solve stopped."""
        return word(self._highs.getModelStatus())

    # --- the answer --------------------------------------------------------------------------------------

    def value(self) -> float:
        """Objective of what was solved last."""
        return float(self._highs.getInfo().objective_function_value)

    def point(self) -> FloatArray:
        """Values of the columns. Shape (n,)."""
        return np.array(self._highs.getSolution().col_value)

    def row_duals(self) -> FloatArray:
        """Multipliers of the rows. Shape (m,)."""
        return np.array(self._highs.getSolution().row_dual)

    def dual_ray(self) -> FloatArray | None:
        """Multipliers that prove the program infeasible, or ``None`` where HiGHS has none. Shape (m,)."""
        has_ray, ray = dual_ray(self._highs)
        return np.array(ray) if has_ray else None

    def basis(self) -> Basis:
        """Where the last solve ended, to be set again."""
        basis: Basis = self._highs.getBasis()
        return basis

    def set_basis(self, basis: Basis) -> None:
        """Begin the next solve there."""
        self._highs.setBasis(basis)

    def basis_status(self) -> tuple[BoolArray, BoolArray]:
        """Which variables (columns, then rows) are basic, and which stand at their upper bound."""
        basis = self._highs.getBasis()
        status = np.array([int(each) for each in (*basis.col_status, *basis.row_status)])
        return status == _BASIC, status == _UPPER


def _places(at: Places) -> NDArray[np.int32]:
    return np.asarray(at, dtype=np.int32)
