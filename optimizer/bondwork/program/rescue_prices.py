"""Multipliers of a round with a second stage by steps; see `bondwork.program.limit_prices`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bondwork.problem.limits import LimitKind
from bondwork.program.limit_prices import Priced, lower_bound_by_steps

if TYPE_CHECKING:
    from bondwork.arrays import BoolArray, FloatArray, IntArray
    from bondwork.program.extensive import ExtensiveForm
    from bondwork.program.redelegation import Redelegation

#: Words of limits that are priced; losses at leaves are not.
_PRICED = frozenset({"capacity", "own_capacity", "collateral", "stake", "deadline", "expected"})

#: Pairs of an outcome and of a rescue with whom it may follow beyond which no steps are taken.
MOST_PAIRS = 20_000_000


class RescueTrees:
    """Of every task one offer or none, then one rescue or none at every outcome that calls for one.

    Parameters
    ----------
    model
        Columns are those of the root that are choices, then the decisions of every outcome.
    """

    def __init__(self, model: Redelegation) -> None:
        first, rescues, outcomes, task = (
            model.first,
            model.rescues,
            model.outcomes,
            model.instance.offers.task,
        )
        self.choices, self.over, self.each = first.choices, len(model.over), model.decisions
        self.failed = outcomes.failed.astype(np.float64)
        columns = first.columns[: first.choices]
        self.task: IntArray = np.where(first.upper[: first.choices] > 0.0, task[columns], -1)
        tasks = len(model.instance.tasks)
        self.required = np.zeros(tasks, dtype=bool)
        limits = first.limits
        self.required[limits.owner[(limits.kind == LimitKind.TASK) & (limits.lower > 0.0)]] = True
        # who may follow whom: pairs of a choice and a column, choice by choice
        x_of = np.full(len(model.instance.offers), -1)
        x_of[columns] = np.arange(len(columns))
        early, late = x_of[rescues.pair_offer], rescues.pair_rescue
        known = (early >= 0) & rescues.takes_over[late] & np.isin(rescues.pair_offer, outcomes.offers)
        order = np.argsort(early[known], kind="stable")
        self.follower: IntArray = np.searchsorted(model.over, late[known])[order]
        place = np.searchsorted(outcomes.offers, rescues.pair_offer[known])[order]
        self.early, self.start = np.unique(early[known][order], return_index=True)
        self.place: IntArray = place[self.start]
        # who may take a task up that was left
        up_task = task[rescues.offers[model.up]]
        self.up_order: IntArray = np.argsort(up_task, kind="stable")
        self.up_task, self.up_start = np.unique(up_task[self.up_order], return_index=True)

    @property
    def pairs(self) -> int:
        """How many numbers one look at all of it takes."""
        return len(self.failed) * (len(self.follower) + len(self.up_order))

    def best(self, worth: FloatArray) -> tuple[float, FloatArray]:
        """See `bondwork.program.limit_prices.Choosing`."""
        chosen = np.zeros(len(worth))
        later, decided = (
            worth[self.choices :].reshape(-1, self.each),
            chosen[self.choices :].reshape(-1, self.each),
        )
        now = np.where(self.task >= 0, worth[: self.choices], -np.inf)
        follow = later[:, self.follower]
        if len(self.early):
            most = np.maximum(np.maximum.reduceat(follow, self.start, axis=1), 0.0)
            now[self.early] += np.sum(most * self.failed[:, self.place], axis=0)
        up = later[:, self.over + self.up_order]
        left = np.where(self.required, -np.inf, 0.0)
        if len(self.up_task):
            most = np.maximum(np.maximum.reduceat(up, self.up_start, axis=1), 0.0)
            left[self.up_task] += np.sum(most, axis=0)
        best = left.copy()
        np.maximum.at(best, self.task[self.task >= 0], now[self.task >= 0])
        taken = np.flatnonzero((self.task >= 0) & (now == best[self.task]) & (now > left[self.task]))
        _, one = np.unique(self.task[taken], return_index=True)
        self._decide(taken[one], best <= left, (follow, up), (chosen, decided))
        return float(best[np.isfinite(best)].sum()), chosen

    def _decide(
        self,
        taken: IntArray,
        is_left: BoolArray,
        worth: tuple[FloatArray, FloatArray],
        into: tuple[FloatArray, FloatArray],
    ) -> None:
        """Write the choices down, with the best that follows them at each outcome."""
        (follow, up), (chosen, decided) = worth, into
        chosen[taken] = 1.0
        ends = np.append(self.start[1:], len(self.follower))
        for group in np.flatnonzero(np.isin(self.early, taken)).tolist():
            some = follow[:, self.start[group] : ends[group]]
            best = some.argmax(axis=1)
            at = np.flatnonzero((some.max(axis=1) > 0.0) & (self.failed[:, self.place[group]] > 0.0))
            decided[at, self.follower[self.start[group] + best[at]]] = 1.0
        ends = np.append(self.up_start[1:], len(self.up_order))
        for group in np.flatnonzero(is_left[self.up_task]).tolist():
            some = up[:, self.up_start[group] : ends[group]]
            best = some.argmax(axis=1)
            at = np.flatnonzero(some.max(axis=1) > 0.0)
            decided[at, self.over + self.up_order[self.up_start[group] + best[at]]] = 1.0


def stepped_duals(
    model: Redelegation, form: ExtensiveForm, now: FloatArray, reached: float, *, ends: float
) -> FloatArray | None:
    """Return multipliers of the rows of a model's extensive form; ``None`` where that is too much.

    Parameters
    ----------
    now
        Shape (rows of the root,). Multipliers to begin with.
    reached
        What a plan is known to earn, in units of the objective.
    ends
        On the clock of `time.perf_counter`: when to stop.
    """
    trees = RescueTrees(model)
    if trees.pairs > MOST_PAIRS:
        return None
    matrices, nodes = form.matrices, len(model.outcomes)
    rows, weight = _priced_rows(model, form)
    columns = form.column_start[1:-1, None] + np.arange(model.decisions)
    kept = np.concatenate([np.arange(model.first.choices), columns.ravel()])
    assert len(columns) == nodes
    priced = Priced(
        matrices.objective[kept],
        matrices.offset,
        matrices.matrix[rows][:, kept].tocsr(),
        matrices.row_upper[rows],
        weight,
        trees,
    )
    duals = np.zeros(len(matrices.row_upper))
    duals[: len(now)] = now
    prices, _ = lower_bound_by_steps(priced, duals[rows], reached, ends=ends)
    duals[:] = 0.0
    duals[rows] = prices
    return duals


def _priced_rows(model: Redelegation, form: ExtensiveForm) -> tuple[IntArray, FloatArray]:
    """Rows of the extensive form that are limits, and how likely their nodes are."""
    told, start = model.meanings, form.row_start
    at_node = [k for k, each in enumerate(told.node) if each and each.leaf < 0 and each.word in _PRICED]
    rows = [
        np.array([k for k, each in enumerate(told.root) if each and each.word in _PRICED], dtype=np.int64)
    ]
    rows.append((start[1:-1, None] + np.array(at_node, dtype=np.int64)).ravel())
    rows.append(start[-1] + np.flatnonzero([each.word in _PRICED for each in told.linking]))
    chance = np.repeat(model.outcomes.probability, len(at_node))
    weight = np.concatenate([np.ones(len(rows[0])), chance, np.ones(len(rows[2]))])
    every = np.concatenate(rows)
    finite = np.isfinite(form.matrices.row_upper[every])
    return every[finite], weight[finite]
