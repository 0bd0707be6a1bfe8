"""HiGHS kept alive for scenarios of one template: from one to the next only what differs is handed over."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import csr_array

from bondwork.solver.live import LiveLP
from bondwork.strategies.l_shaped.batch import Batch, line

if TYPE_CHECKING:
    from bondwork.arrays import BoolArray, FloatArray
    from bondwork.contracts import Options, Status
    from bondwork.solver.live import Basis

#: Feasibility tolerance of rows that no column of a scenario can change: what HiGHS allows other rows.
_TOLERANCE = 1e-7

#: Feasibility tolerance of the second try; see `Family.solve_loosely`.
_LOOSE_TOLERANCE = 1e-6


def warm_lp(options: Options) -> LiveLP:
    """HiGHS for small linear programs solved warm: dual simplex from the last basis."""
    # presolving would take longer than the few pivots from the last basis, and hide rays
    return LiveLP({"random_seed": int(options.random_seed), "presolve": "off", "solver": "simplex"})


class Family:
    """The scenarios of a batch as one linear program that changes."""

    def __init__(self, batch: Batch, options: Options) -> None:
        self.batch, self.options = batch, options
        self.lp = warm_lp(options)
        #: When a solve must end, on the clock of `time.perf_counter`.
        self.deadline = math.inf
        self.last: int | None = None
        #: Where each scenario ended last: from there it is a few pivots, from another scenario's many.
        self.ends: dict[int, Basis] = {}
        m, n = batch.row_lower.shape[1], batch.columns
        self.every_row = np.arange(m)
        self.every_column = np.arange(n)

    def solve(self, at: int, low: FloatArray, high: FloatArray) -> Status:
        """Solve a scenario whose rows have these limits left."""
        batch = self.batch
        if np.any(low > high) or np.any(line(batch.lower, at) > line(batch.upper, at)):
            return "infeasible"
        if not batch.columns:
            fits = np.all(low <= _TOLERANCE) and np.all(high >= -_TOLERANCE)
            return "optimal" if fits else "infeasible"
        if self.last is None or not self.lp.is_loaded:
            self._load(at, low, high)
        else:
            self._change(at, low, high)
        self.last = at
        if at in self.ends:
            self.lp.set_basis(self.ends[at])
        status = self.lp.solve(self._left())
        if status not in ("optimal", "infeasible", "dual_infeasible", "time_limit"):
            status = self.lp.solve_afresh(self._left())  # a warm start that went astray
        return status

    def solve_loosely(self) -> Status:
        """Solve the last scenario again, with more tolerance for what the first stage was rounded by."""
        if not self.batch.columns or self.last is None:
            return "infeasible"
        return self.lp.solve_within(_LOOSE_TOLERANCE, self.deadline)

    def _left(self) -> float:
        return self.deadline - time.perf_counter()

    def _load(self, at: int, low: FloatArray, high: FloatArray) -> None:
        batch = self.batch
        order = np.lexsort((batch.own_column, batch.own_row))
        self.lp.load(
            line(batch.cost, at),
            line(batch.lower, at),
            line(batch.upper, at),
            low,
            high,
            np.searchsorted(batch.own_row[order], np.arange(len(low) + 1)),
            batch.own_column[order],
            line(batch.own, at)[order],
        )

    def _change(self, at: int, low: FloatArray, high: FloatArray) -> None:
        batch = self.batch
        self.lp.change_rows(self.every_row, low, high)
        if len(batch.lower) > 1 or len(batch.upper) > 1:
            self.lp.change_columns(self.every_column, line(batch.lower, at), line(batch.upper, at))
        if len(batch.cost) > 1:
            self.lp.change_costs(self.every_column, batch.cost[at])
        if len(batch.own) > 1 and self.last is not None:
            there = np.flatnonzero(batch.own[at] != batch.own[self.last])
            self.lp.change_entries(batch.own_row[there], batch.own_column[there], batch.own[at, there])

    def remember(self) -> None:
        """Begin the next solve of the last scenario where this one ended."""
        if self.last is not None and self.batch.columns:
            self.ends[self.last] = self.lp.basis()

    def prices(self) -> FloatArray:
        """Multipliers of the rows of what was solved last. Shape (m,)."""
        if not self.batch.columns:
            return np.zeros(len(self.every_row))
        return self.lp.row_duals()

    def point(self) -> FloatArray:
        """Values of the columns of what was solved last. Shape (n,)."""
        return self.lp.point() if self.batch.columns else np.zeros(0)

    def basis(self) -> tuple[BoolArray, BoolArray]:
        """Which variables (columns, then rows) are basic, and which stand at their upper bound."""
        return self.lp.basis_status()

    def ray(self, low: FloatArray, high: FloatArray) -> FloatArray | None:
        """Multipliers that prove the last scenario infeasible, with the sign of a maximisation's prices."""
        if not self.batch.columns or self.last is None or self.lp.status() != "infeasible":
            return None
        found = self.lp.dual_ray()
        if found is None:
            return None
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
        lp = warm_lp(self.options)
        lp.load(
            np.append(np.zeros(n), -np.ones(2 * m)),
            np.append(lower, np.zeros(2 * m)),
            np.append(upper, np.full(2 * m, np.inf)),
            low,
            high,
            matrix.indptr,
            matrix.indices,
            matrix.data,
        )
        lp.solve()
        return lp.row_duals()
