"""HiGHS kept alive for scenarios of one template: from one to the next only what differs is handed over."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import csr_array

from bondwork.strategies.l_shaped.batch import Batch, line

if TYPE_CHECKING:
    import highspy

    from bondwork.arrays import BoolArray, FloatArray
    from bondwork.contracts import Options, Status

#: Feasibility tolerance of the second try; see `Family.solve_loosely`.
_LOOSE_TOLERANCE = 1e-6

_WORDS: dict[str, Status] = {
    "kOptimal": "optimal",
    "kModelEmpty": "optimal",
    "kInfeasible": "infeasible",
    "kUnbounded": "dual_infeasible",
    "kUnboundedOrInfeasible": "infeasible_or_unbounded",
    "kTimeLimit": "time_limit",
    "kIterationLimit": "iteration_limit",
    "kInterrupt": "interrupted",
}


def quiet_highs(options: Options) -> highspy.Highs:
    """HiGHS for small linear programs solved warm: dual simplex from the last basis, in one thread."""
    import highspy  # loading it takes a tenth of a second that `bondwork --help` does not have

    highs = highspy.Highs()
    highs.setOptionValue("output_flag", False)
    highs.setOptionValue("threads", 1)
    highs.setOptionValue("random_seed", int(options.random_seed))
    # presolving would take longer than the few pivots from the last basis, and hide rays
    highs.setOptionValue("presolve", "off")
    highs.setOptionValue("solver", "simplex")
    return highs


def word(highs: highspy.Highs) -> Status:
    """Why HiGHS stopped."""
    return _WORDS.get(highs.getModelStatus().name, "other_error")


class Family:
    """The scenarios of a batch as one linear program that changes."""

    def __init__(self, batch: Batch, options: Options) -> None:
        self.batch, self.options = batch, options
        self.highs = quiet_highs(options)
        self.last: int | None = None
        #: Where each scenario ended last: from there it is a few pivots, from another scenario's many.
        self.ends: dict[int, highspy.HighsBasis] = {}
        m, n = batch.row_lower.shape[1], batch.columns
        self.every_row = np.arange(m, dtype=np.int32)
        self.every_column = np.arange(n, dtype=np.int32)

    def solve(self, at: int, low: FloatArray, high: FloatArray) -> Status:
        """Solve a scenario whose rows have these limits left."""
        batch = self.batch
        if np.any(low > high) or np.any(line(batch.lower, at) > line(batch.upper, at)):
            return "infeasible"
        if not batch.columns:
            return "optimal" if np.all(low <= 0.0) and np.all(high >= 0.0) else "infeasible"
        if self.last is None:
            self._pass(self.highs, at, low, high)
        else:
            self._change(at, low, high)
        self.last = at
        if at in self.ends:
            self.highs.setBasis(self.ends[at])
        self.highs.run()
        status = word(self.highs)
        if status not in ("optimal", "infeasible", "dual_infeasible"):
            # a warm start that went astray
            self.highs.clearSolver()
            self.highs.run()
            status = word(self.highs)
        return status

    def solve_loosely(self) -> Status:
        """Solve the last scenario again, with more tolerance for what the first stage was rounded by."""
        if not self.batch.columns or self.last is None:
            return "infeasible"
        self.highs.clearSolver()
        self.highs.setOptionValue("primal_feasibility_tolerance", _LOOSE_TOLERANCE)
        self.highs.run()
        self.highs.setOptionValue("primal_feasibility_tolerance", 1e-7)
        return word(self.highs)

    def _pass(self, highs: highspy.Highs, at: int, low: FloatArray, high: FloatArray) -> None:
        batch = self.batch
        m, n = len(low), batch.columns
        order = np.lexsort((batch.own_column, batch.own_row))
        start = np.searchsorted(batch.own_row[order], np.arange(m + 1))
        highs.passModel(
            n,
            m,
            len(order),
            2,  # MatrixFormat.kRowwise
            -1,  # ObjSense.kMaximize
            0.0,
            line(batch.cost, at),
            line(batch.lower, at),
            line(batch.upper, at),
            low,
            high,
            start.astype(np.int32),
            batch.own_column[order].astype(np.int32),
            line(batch.own, at)[order],
            np.zeros(n, dtype=np.int32),
        )

    def _change(self, at: int, low: FloatArray, high: FloatArray) -> None:
        batch, highs = self.batch, self.highs
        if len(low):
            highs.changeRowsBounds(len(low), self.every_row, low, high)
        if len(batch.lower) > 1 or len(batch.upper) > 1:
            ends = line(batch.lower, at), line(batch.upper, at)
            highs.changeColsBounds(batch.columns, self.every_column, *ends)
        if len(batch.cost) > 1:
            highs.changeColsCost(batch.columns, self.every_column, batch.cost[at])
        if len(batch.own) > 1 and self.last is not None:
            different = np.flatnonzero(batch.own[at] != batch.own[self.last])
            for each in different.tolist():
                row, column = int(batch.own_row[each]), int(batch.own_column[each])
                highs.changeCoeff(row, column, float(batch.own[at, each]))

    def remember(self) -> None:
        """Begin the next solve of the last scenario where this one ended."""
        if self.last is not None and self.batch.columns:
            self.ends[self.last] = self.highs.getBasis()

    def prices(self) -> FloatArray:
        """Multipliers of the rows of what was solved last. Shape (m,)."""
        if not self.batch.columns:
            return np.zeros(len(self.every_row))
        return np.array(self.highs.getSolution().row_dual)

    def point(self) -> FloatArray:
        """Values of the columns of what was solved last. Shape (n,)."""
        return np.array(self.highs.getSolution().col_value) if self.batch.columns else np.zeros(0)

    def basis(self) -> tuple[BoolArray, BoolArray]:
        """Which variables (columns, then rows) are basic, and which stand at their upper bound."""
        import highspy

        basis = self.highs.getBasis()
        status = np.array([int(each) for each in (*basis.col_status, *basis.row_status)])
        basic = status == int(highspy.HighsBasisStatus.kBasic)
        return basic, status == int(highspy.HighsBasisStatus.kUpper)

    def ray(self, low: FloatArray, high: FloatArray) -> FloatArray | None:
        """Multipliers that prove the last scenario infeasible, with the sign of a maximisation's prices."""
        if not self.batch.columns or self.last is None or word(self.highs) != "infeasible":
            return None
        _, has_ray, ray = self.highs.getDualRay()
        if not has_ray:
            return None
        found = np.array(ray)
        for sign in (1.0, -1.0):
            if self._proves(sign * found, low, high):
                return sign * found
        return None

    def _proves(self, ray: FloatArray, low: FloatArray, high: FloatArray) -> bool:
        """Whether multipliers show that no y meets the rows: what they allow is below 0 whatever y is."""
        batch, at = self.batch, self.last or 0
        limit = np.where(ray > 0.0, high, low)
        size = np.abs(ray).max(initial=0.0)
        if size == 0.0 or not np.all(np.isfinite(limit[np.abs(ray) > 1e-9 * size])):
            return False
        ray = np.where(np.isfinite(limit), ray, 0.0)
        left = -np.bincount(batch.own_column, line(batch.own, at) * ray[batch.own_row], batch.columns)
        end = np.where(left > 0.0, line(batch.upper, at), line(batch.lower, at))
        if not np.all(np.isfinite(end[np.abs(left) > 1e-7 * size])):
            return False
        gains = left * np.where(np.isfinite(end), end, 0.0)
        return bool(ray @ np.where(np.isfinite(limit), limit, 0.0) + gains.sum() < 0.0)

    def elastic_ray(self, at: int, low: FloatArray, high: FloatArray) -> FloatArray:
        """Multipliers of the least total by which rows must be broken: the same, where HiGHS has no ray."""
        batch = self.batch
        m, n = len(low), batch.columns
        lower, upper = line(batch.lower, at), line(batch.upper, at)
        if np.any(lower > upper):
            return np.zeros(m)  # no first stage helps
        own = csr_array((line(batch.own, at), (batch.own_row, batch.own_column)), shape=(m, n))
        rows = np.arange(m)
        slack = csr_array(
            (np.append(np.ones(m), -np.ones(m)), (np.tile(rows, 2), np.arange(2 * m))), shape=(m, 2 * m)
        )
        from scipy.sparse import hstack

        matrix = csr_array(hstack([own, slack], format="csr"))
        matrix.sort_indices()
        highs = quiet_highs(self.options)
        highs.passModel(
            n + 2 * m,
            m,
            matrix.nnz,
            2,
            -1,
            0.0,
            np.append(np.zeros(n), -np.ones(2 * m)),
            np.append(lower, np.zeros(2 * m)),
            np.append(upper, np.full(2 * m, np.inf)),
            low,
            high,
            matrix.indptr.astype(np.int32),
            matrix.indices.astype(np.int32),
            matrix.data,
            np.zeros(n + 2 * m, dtype=np.int32),
        )
        highs.run()
        return np.array(highs.getSolution().row_dual)
