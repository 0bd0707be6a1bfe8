"""Dual of the task rows: a knapsack for every block, stronger than the LP relaxation.

For task prices ``u`` (>= 0 where the task may be left) and prices ``w >= 0`` of the linking rows

    L(u, w) = sum of u + sum of w + sum over blocks of max{ (value - u - w @ weights) @ x : the block's rows,
    x binary }

Its minimum is the bound of the Dantzig-Wolfe master, which no LP over the original rows reaches. We go down
with deflected subgradients (Camerini, Fratta & Maffioli 1975) and Polyak's step towards the incumbent,
shortened when it fails; the running average of the knapsacks' choices tends to the master's fractional plan
(Barahona & Anbil 2000, volume algorithm), which `dive` rounds.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from bondwork.strategies.lagrangian.knapsack import probe_columns, solve_blocks
from bondwork.strategies.lagrangian.session import Stopped

if TYPE_CHECKING:
    from bondwork.arrays import BoolArray, FloatArray, IntArray
    from bondwork.strategies.lagrangian.session import Session

#: Weight of the last direction in the next.
_DEFLECTION = 0.5

#: The step is shortened by this after `_PATIENCE` evaluations without progress.
_SHORTEN, _PATIENCE = 0.7, 10

#: Weight of the newest choice in the running average.
_AVERAGE = 0.03


@dataclass(slots=True, eq=False)
class Point:
    """Multipliers: prices of tasks, of linking rows, and the LP prices of the blocks' own rows with them."""

    task: FloatArray
    linking: FloatArray
    own: FloatArray

    def copy(self) -> Point:
        """Return an independent copy."""
        return Point(self.task.copy(), self.linking.copy(), self.own.copy())


class BlockDual:
    """Evaluates L and walks down it.

    Attributes
    ----------
    point, best
        Where we are, and the multipliers of the lowest L.
    least
        The lowest L, scaled.
    lowest
        The multipliers of the lowest L of all walks; ``None`` before the first.
    share
        Shape (n,). Running average of the knapsacks' choices, in [0, 1].
    length
        Factor on Polyak's step, in (0, 1].
    """

    def __init__(self, session: Session, start: Point, length: float = 1.0) -> None:
        shape = session.shape
        self.session, self.shape = session, shape
        self.point = start
        self.best = start.copy()
        self.least = np.inf
        self.lowest: Point | None = None
        self._lowest = np.inf
        self.length = length
        self.chosen: BoolArray = np.zeros(len(shape.value), dtype=bool)
        self.share: FloatArray = np.zeros(len(shape.value))
        self.bounds: FloatArray = np.zeros(shape.blocks)
        self.evaluations = 0
        self.nodes = 0
        own = shape.block_row_count
        self._free = np.zeros(own)
        self._nothing = np.zeros(len(shape.value), dtype=bool)
        linked = shape.entry_row >= own
        self._linked = np.repeat(np.arange(len(shape.value)), np.diff(shape.entry_ptr))[linked]
        self._linked_row = shape.entry_row[linked] - own
        self._linked_entry = np.flatnonzero(linked)
        self._linked_weight = shape.entry_value[linked]
        # Linking rows move in proportion to their price, as task prices do to theirs.
        typical = float(np.abs(start.task).mean()) if len(start.task) else 0.0
        self._pace = (
            (np.maximum(start.linking, typical) / typical) ** 2 if typical > 0 else np.ones(shape.rows - own)
        )
        self._cuts = _even_cuts(shape.block_ptr, 4 * session.threads)

    def gains(self, point: Point) -> FloatArray:
        """Value of each column less the prices of its task and its linking rows."""
        gain: FloatArray = self.shape.value - point.task[self.shape.task]
        if len(point.linking):
            cost = self._linked_weight * point.linking[self._linked_row]
            gain -= np.bincount(self._linked, cost, minlength=len(gain))
        return gain

    def evaluate(
        self,
        point: Point,
        node_limit: int,
        excluded: BoolArray | None = None,
        taken: FloatArray | None = None,
    ) -> float:
        """Solve every block; returns L(point) (of the restricted problem where columns are excluded).

        Raises
        ------
        Stopped
            Where the solve must stop; the evaluation is then worthless.
        """
        shape, session = self.shape, self.session
        gain = self.gains(point)
        excluded = self._nothing if excluded is None else excluded
        taken = self._free if taken is None else taken
        jobs = [
            partial(
                solve_blocks, first, last, shape.block_ptr, shape.row_ptr, shape.dense_ptr, shape.dense, gain,
                excluded, taken, point.own, node_limit, self.chosen, self.bounds, session.stop,
            )
            for first, last in self._cuts
        ]  # fmt: skip
        self.nodes = sum(session.run(jobs))
        if session.why_stop() is not None:
            raise Stopped
        self.evaluations += 1
        return float(point.task.sum() + point.linking.sum() * (1 + 1e-9) + self.bounds.sum())

    def slack(self) -> tuple[FloatArray, FloatArray]:
        """Subgradient of L in task and linking prices at the last evaluation."""
        shape = self.shape
        task: FloatArray = 1.0 - np.bincount(shape.task[self.chosen], minlength=shape.tasks).astype(
            np.float64
        )
        linking = np.ones(len(self.point.linking))
        if len(linking):
            used = self.chosen[self._linked]
            linking -= np.bincount(self._linked_row[used], self._linked_weight[used], minlength=len(linking))
        return task, linking

    def descend(self, evaluations: int, node_limit: int, average: float = _AVERAGE) -> None:
        """Take at most ``evaluations`` steps; ends early once the step has become too short to matter.

        ``average`` is the weight of the newest choices in ``share``.
        """
        shape, session = self.shape, self.session
        task_way = np.zeros(shape.tasks)
        linking_way = np.zeros(len(self.point.linking))
        since = 0
        for _ in range(evaluations):
            level = self.evaluate(self.point, node_limit)
            self.share += average * (self.chosen - self.share)
            since = 0 if level < self.least - 1e-6 * abs(self.least) else since + 1
            if level < self.least:
                self.least = level
                self.best = self.point.copy()
                session.offer_bound(level, "knapsack dual")
            if level < self._lowest:
                self._lowest, self.lowest = level, self.point.copy()
            session.check()
            if since >= _PATIENCE:
                if self.length < 1e-3:
                    return
                self.length *= _SHORTEN
                since = 0
                self.point = self.best.copy()
                task_way[:] = 0.0
                linking_way[:] = 0.0
            task_slack, linking_slack = self.slack()
            task_way = _DEFLECTION * task_way + task_slack
            linking_way = _DEFLECTION * linking_way + linking_slack
            self._step(level, task_way, linking_way)

    def _step(self, level: float, task_way: FloatArray, linking_way: FloatArray) -> None:
        """Move ``point`` along subgradients by Polyak's step; prices of inequalities stay >= 0."""
        point, optional = self.point, ~self.shape.required
        task_way = np.where(optional & (point.task <= 0) & (task_way > 0), 0.0, task_way)
        linking_way = np.where((point.linking <= 0) & (linking_way > 0), 0.0, linking_way)
        target = self.session.value if np.isfinite(self.session.value) else level - 0.03 * abs(level)
        norm = float((task_way**2).sum() + (self._pace * linking_way**2).sum())
        step = self.length * max(level - target, 1e-9 * abs(level)) / max(norm, 1e-12)
        task = point.task - step * task_way
        point.task = np.where(optional, np.maximum(0.0, task), task)
        point.linking = np.maximum(0.0, point.linking - step * self._pace * linking_way)

    def restart(self, length: float) -> None:
        """Go on from where we are with another step, forgetting levels that coarse knapsacks gave."""
        self.length, self.least, self.best = length, np.inf, self.point.copy()

    def take_weights(self) -> None:
        """Go on with weights of linking rows that have changed."""
        self._linked_weight = self.shape.entry_value[self._linked_entry]

    def surviving_columns(self, node_limit: int) -> BoolArray:
        """Columns that a plan better than the incumbent may use. Shape (n,)."""
        shape, session = self.shape, self.session
        point = self.best
        level = self.evaluate(point, node_limit)
        session.offer_bound(level, "knapsack dual")
        gain = self.gains(point)
        spare = level - session.value
        keep = np.ones(len(shape.value), dtype=bool)
        session.run(
            partial(
                probe_columns, first, last, shape.block_ptr, shape.row_ptr, shape.dense_ptr, shape.dense,
                gain, point.own, node_limit, self.bounds, spare, keep, session.stop,
            )
            for first, last in self._cuts
        )  # fmt: skip
        session.check()
        return keep


def _even_cuts(block_ptr: IntArray, parts: int) -> list[tuple[int, int]]:
    """Cut the blocks into ranges with about the same number of columns."""
    blocks = len(block_ptr) - 1
    marks = np.searchsorted(block_ptr, np.linspace(0, block_ptr[-1], parts + 1)[1:-1])
    edges = np.unique(np.concatenate([[0], marks, [blocks]]))
    return [(a, b) for a, b in pairwise(edges.tolist())]
