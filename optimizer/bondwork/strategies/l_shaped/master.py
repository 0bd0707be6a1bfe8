"""The master problem: the first stage, and for each cluster of scenarios what its cuts let it earn.

The columns are those of the first stage, then one for each cluster. The linear relaxation is kept alive and
solved again from its last basis; with whole columns it goes through the common door to HiGHS.
"""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import csr_array, vstack

from bondwork.program.matrices import Matrices
from bondwork.program.scaling import scale
from bondwork.solver.solving import solve_program
from bondwork.strategies.l_shaped.family import warm_lp

if TYPE_CHECKING:
    from bondwork.arrays import BoolArray, FloatArray, IntArray
    from bondwork.contracts import Observer, Options, Status
    from bondwork.solver.answer import Answer

#: A cut that was not tight for so many solutions of the relaxation is dropped.
IDLE = 25

#: Cuts are dropped only where there are more than this many for each cluster, and in all.
LEAST_CUTS = 200


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Proposal:
    """What a master problem proposes.

    Attributes
    ----------
    status
        Why the solver stopped.
    x, theta
        Shapes (n1,), (K,): the first stage, and what the cuts let each cluster earn there.
    value
        Of the proposal in the master problem, the program's constants included.
    """

    status: Status
    x: FloatArray
    theta: FloatArray
    value: float


class Master:
    """First stage and cuts.

    Parameters
    ----------
    first
        The first stage: a maximisation, its offset all constants of the program.
    clusters
        How many there are.
    options
        Seed and further options of HiGHS.
    """

    def __init__(self, first: Matrices, clusters: int, options: Options) -> None:
        self.first, self.clusters, self.options = first, clusters, options
        self.width = len(first.objective)
        self.known: BoolArray = np.zeros(clusters, dtype=bool)
        self.cuts = csr_array((0, self.width + clusters))
        self.limit = np.zeros(0)
        self.idle: IntArray = np.zeros(0, dtype=np.int64)
        self.lp = warm_lp(options)
        self.unit = 0.0

    # --- cuts --------------------------------------------------------------------------------------------

    def add_cuts(self, cluster: IntArray, constant: FloatArray, slope: FloatArray) -> None:
        """Let each cluster earn no more than ``constant + slope @ x``."""
        self.known[cluster] = True
        count = len(cluster)
        theta = csr_array((np.ones(count), (np.arange(count), cluster)), shape=(count, self.clusters))
        self._add(csr_array(np.hstack([-slope, theta.toarray()])), constant)

    def forbid(self, normal: FloatArray, allow: FloatArray) -> None:
        """Leave only first stages with ``normal @ x <= allow``."""
        self._add(csr_array(np.hstack([normal, np.zeros((len(normal), self.clusters))])), allow)

    def _add(self, rows: csr_array, limit: FloatArray) -> None:
        if not len(limit):
            return
        self.cuts = csr_array(vstack([self.cuts, rows], format="csr"))
        self.limit = np.append(self.limit, limit)
        self.idle = np.append(self.idle, np.zeros(len(limit), dtype=np.int64))
        if self.unit:
            self._pass_rows(rows, limit)

    def _pass_rows(self, rows: csr_array, limit: FloatArray) -> None:
        """Hand rows over to the solver of the relaxation, in its units."""
        thetas = np.repeat(np.array([1.0, 1.0 / self.unit]), [self.width, self.clusters])
        rows = csr_array(rows * thetas[None, :])
        rows.eliminate_zeros()
        rows.sort_indices()
        size = abs(rows).max(axis=1).toarray().ravel()
        factor = np.where(size > 0.0, np.ldexp(1.0, -np.frexp(size)[1]), 1.0)
        entries = rows.data * np.repeat(factor, np.diff(rows.indptr))
        lower = np.full(len(limit), -np.inf)
        self.lp.add_rows(lower, limit * factor, rows.indptr, rows.indices, entries)

    # --- the relaxation ----------------------------------------------------------------------------------

    def _begin(self) -> None:
        """Hand the relaxation over, scaled so that costs and the slopes seen so far are of ordinary size."""
        sizes = [
            np.abs(self.first.objective).max(initial=0.0),
            np.abs(self.cuts[:, : self.width].data).max(initial=0.0),
        ]
        largest = max(sizes)
        self.unit = float(np.ldexp(1.0, 7 - np.frexp(largest)[1])) if largest > 0.0 else 1.0
        first = self.first
        scaled = scale(dataclasses.replace(first, integer=np.zeros_like(first.integer)))
        matrix = first.matrix
        self.lp.load(
            np.append(first.objective * self.unit, np.zeros(self.clusters)),
            np.append(first.lower, np.zeros(self.clusters)),
            np.append(first.upper, np.zeros(self.clusters)),
            scaled.row_lower,
            scaled.row_upper,
            matrix.indptr,
            matrix.indices,
            scaled.data,
            first.offset * self.unit,
        )
        if len(self.limit):
            self._pass_rows(self.cuts, self.limit)

    def relax(
        self, box: tuple[FloatArray, FloatArray] | None, seconds: float, *, costless: bool = False
    ) -> Proposal:
        """Solve the linear relaxation.

        Parameters
        ----------
        box
            Bounds for the first stage on top of its own.
        seconds
            Left for it.
        costless
            Find any point, not the best.
        """
        if not self.unit:
            self._begin()
        lp, n1, k = self.lp, self.width, self.clusters
        lower, upper = (self.first.lower, self.first.upper) if box is None else box
        here = np.arange(n1)
        lp.change_columns(here, lower, upper)
        lp.change_costs(here, np.zeros(n1) if costless else self.first.objective * self.unit)
        # a cluster without a cut counts for nothing yet
        free = np.where(self.known & (not costless), np.inf, 0.0)
        there = np.arange(n1, n1 + k)
        lp.change_columns(there, np.where(self.known, -np.inf, 0.0), np.where(self.known, np.inf, 0.0))
        lp.change_costs(there, np.where(np.isinf(free), 1.0, 0.0))
        status = lp.solve(seconds)
        if status not in ("optimal", "infeasible", "dual_infeasible", "time_limit"):
            status = lp.solve_afresh(seconds)
        if status == "infeasible_or_unbounded":
            status = "infeasible" if costless else "dual_infeasible"
        solution = lp.point()
        if status != "optimal" or len(solution) != n1 + k:
            return Proposal(status, np.zeros(n1), np.zeros(k), math.nan)
        self._note_idle()
        x = np.clip(solution[:n1], lower, upper)
        return Proposal("optimal", x, solution[n1:] / self.unit, lp.value() / self.unit)

    def _note_idle(self) -> None:
        activity = self.lp.row_duals()[self.first.matrix.shape[0] :]
        self.idle = np.where(np.abs(activity) > 1e-12, 0, self.idle + 1)

    def purge(self) -> None:
        """Drop cuts that have been idle for long, where there are many."""
        if len(self.limit) <= max(LEAST_CUTS, 4 * self.clusters):
            return
        old = np.flatnonzero(self.idle > IDLE)
        if not len(old):
            return
        # a cluster keeps its newest cut: without any it would be unlimited
        theta = self.cuts[:, self.width :].tocoo()
        newest = np.full(self.clusters, -1)
        np.maximum.at(newest, theta.col, theta.row)
        old = np.setdiff1d(old, newest)
        kept = np.setdiff1d(np.arange(len(self.limit)), old)
        self.cuts, self.limit, self.idle = self.cuts[kept], self.limit[kept], self.idle[kept]
        if self.unit and len(old):
            self.lp.delete_rows(old + self.first.matrix.shape[0])

    # --- whole columns -----------------------------------------------------------------------------------

    def whole(self, start: FloatArray | None, options: Options, observer: Observer) -> Answer:
        """Solve with whole columns; ``start`` is a feasible first stage."""
        first, k = self.first, self.clusters
        matrix = csr_array(
            vstack([_wider(first.matrix, k), self.cuts], format="csr")
            if len(self.limit)
            else _wider(first.matrix, k)
        )
        matrix.sort_indices()
        free = np.where(self.known, np.inf, 0.0)
        program = Matrices(
            np.append(first.objective, np.ones(k)),
            first.offset,
            matrix,
            np.append(first.row_lower, np.full(len(self.limit), -np.inf)),
            np.append(first.row_upper, self.limit),
            np.append(first.lower, -free),
            np.append(first.upper, free),
            np.append(first.integer, np.zeros(k, dtype=bool)),
            row_tolerance=first.row_tolerance,
        )
        point = None if start is None else np.append(start, self.most(start))
        return solve_program(program, options, observer, start=point)

    def most(self, x: FloatArray) -> FloatArray:
        """Most that the cuts let each cluster earn at a first stage. Shape (K,)."""
        room = self.limit - self.cuts[:, : self.width] @ x
        theta = self.cuts[:, self.width :].tocoo()
        most = np.where(self.known, np.inf, 0.0)
        single = np.bincount(theta.row, minlength=len(self.limit)) == 1
        mine = single[theta.row]
        np.minimum.at(most, theta.col[mine], room[theta.row[mine]] / theta.data[mine])
        return most

    def ceilings(self) -> FloatArray:
        """Most that each cluster can earn at any first stage within its bounds. Shape (K,)."""
        slope = -self.cuts[:, : self.width].toarray()
        end = np.where(slope > 0.0, self.first.upper, self.first.lower)
        reach = np.where(slope != 0.0, slope * np.where(slope != 0.0, end, 0.0), 0.0).sum(axis=1)
        theta = self.cuts[:, self.width :].tocoo()
        ceilings = np.where(self.known, np.inf, 0.0)
        np.minimum.at(ceilings, theta.col, (self.limit + reach)[theta.row])
        return ceilings


def _wider(matrix: csr_array, more: int) -> csr_array:
    return csr_array(
        (matrix.data, matrix.indices, matrix.indptr), shape=(matrix.shape[0], matrix.shape[1] + more)
    )
