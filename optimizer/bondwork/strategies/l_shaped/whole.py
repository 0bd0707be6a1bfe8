"""The second stage with its whole columns: what recourse is really worth, and cuts that know of it."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import csr_array, hstack

from bondwork.program.matrices import Matrices
from bondwork.solver.solving import solve_program
from bondwork.strategies.l_shaped.batch import Batch, line

if TYPE_CHECKING:
    from collections.abc import Callable

    from bondwork.arrays import FloatArray, IntArray
    from bondwork.contracts import Observer, Options, Status

#: Nodes of branch and bound spent on one scenario's strengthened cut.
_CUT_NODES = 50


@dataclass(frozen=True, slots=True, eq=False)
class WholeFound:
    """What some scenarios are worth at one first stage, with whole columns.

    Attributes
    ----------
    cluster
        Shape (k,). The clusters spoken of.
    value, bound
        Shape (k,). Weighted value of what was found, and of what is proved possible.
    feasible
        Whether every scenario has recourse.
    status
        Why it ended early; else ``optimal``.
    y
        Shape (S, n).
    """

    cluster: IntArray
    value: FloatArray
    bound: FloatArray
    feasible: bool
    status: Status
    y: FloatArray


class WholeRecourse:
    """The second stage of a part of the scenarios, whole columns whole.

    Parameters
    ----------
    batch
        The scenarios, in the units of the program.
    first
        The first stage's columns, for cuts that hold at all of them.
    options
        Gap, seed and further options of HiGHS for each scenario.
    """

    def __init__(self, batch: Batch, first: Matrices, options: Options) -> None:
        self.batch, self.first = batch, first
        gap = options.mip_rel_gap / 10.0
        self.options = dataclasses.replace(options, mip_rel_gap=gap, threads=1, time_limit=math.inf)
        self.clusters, self.place = np.unique(batch.cluster, return_inverse=True)

    def evaluate(self, x: FloatArray, stop: Callable[[], Status | None], observer: Observer) -> WholeFound:
        """Solve every scenario for a first stage."""
        batch, k = self.batch, len(self.clusters)
        value, bound = np.zeros(k), np.zeros(k)
        y = np.zeros((len(batch), batch.columns))
        activity = batch.activity(x)
        for at in range(len(batch)):
            if ended := stop():
                return WholeFound(self.clusters, value, bound, True, ended, y)
            own, _ = batch.matrices(at)
            own.sort_indices()
            spent = line(activity, at)
            matrices = Matrices(
                line(batch.cost, at),
                0.0,
                own,
                line(batch.row_lower, at) - spent,
                line(batch.row_upper, at) - spent,
                line(batch.lower, at),
                line(batch.upper, at),
                batch.integer,
            )
            answer = solve_program(matrices, self.options, observer)
            if answer.status == "infeasible":
                return WholeFound(self.clusters, value, bound, False, "optimal", y)
            if answer.x is None or answer.status != "optimal":
                # only the one who was asked to stop knows whether that is for the time
                ended = (stop() if answer.status == "interrupted" else None) or answer.status
                return WholeFound(self.clusters, value, bound, True, ended, y)
            y[at] = answer.x
            found = matrices.value(answer.x)
            value[self.place[at]] += batch.weight[at] * found
            if batch.weight[at] > 0.0:
                bound[self.place[at]] += batch.weight[at] * max(answer.bound, found)
        return WholeFound(self.clusters, value, bound, True, "optimal", y)

    def lower(
        self, slope: FloatArray, constant: FloatArray, stop: Callable[[], Status | None], observer: Observer
    ) -> FloatArray:
        """Lower the constants of cuts as far as whole columns allow. Shape (k,).

        For a scenario's share s of a cut's slope, what it can earn less ``s @ x`` is, over all x of the first
        stage's bounds with their whole columns, at most the optimum of one program: the cut's new constant.

        Parameters
        ----------
        slope
            Shape (S, n1), of each scenario by itself, not weighted.
        constant
            Shape (S,), the constants at hand.

        References
        ----------
        J. Zou, S. Ahmed & X. A. Sun, Stochastic dual dynamic integer programming, Mathematical Programming
        175 (2019) 461-502, section 4.2 (strengthened Benders cuts).
        """
        batch = self.batch
        total = np.zeros(len(self.clusters))
        few = {**self.options.highs, "mip_max_nodes": _CUT_NODES}
        options = dataclasses.replace(self.options, highs=few)
        for at in range(len(batch)):
            lowered = float(constant[at])
            if not stop() and batch.weight[at] > 0.0:
                matrices = self._with_first(at, slope[at])
                answer = solve_program(matrices, options, observer)
                # infeasible: no first stage leaves this scenario recourse; other cuts will say so
                if math.isfinite(answer.bound):
                    lowered = min(lowered, answer.bound)
            total[self.place[at]] += batch.weight[at] * lowered if batch.weight[at] > 0.0 else 0.0
        return total

    def _with_first(self, at: int, slope: FloatArray) -> Matrices:
        batch, first = self.batch, self.first
        own, link = batch.matrices(at)
        rows = csr_array(hstack([link, own], format="csr"))
        rows.sort_indices()
        return Matrices(
            np.append(-slope, line(batch.cost, at)),
            0.0,
            rows,
            line(batch.row_lower, at),
            line(batch.row_upper, at),
            np.append(first.lower, line(batch.lower, at)),
            np.append(first.upper, line(batch.upper, at)),
            np.append(first.integer, batch.integer),
        )
