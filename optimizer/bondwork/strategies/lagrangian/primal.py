"""Plans from local search: greedy starts, and annealing over the columns that the prices leave in play."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from bondwork.strategies.lagrangian.losses import no_runs
from bondwork.strategies.lagrangian.search import anneal, fill

if TYPE_CHECKING:
    from bondwork.arrays import BoolArray, FloatArray, IntArray
    from bondwork.strategies.lagrangian.session import Session
    from bondwork.strategies.lagrangian.tails import Tails

#: Annealing runs side by side, whatever the number of threads, so that the plan does not depend on it.
_CHAINS = 2

#: Stages of annealing under linking rows.
_STAGES = 4

#: Stages of annealing with tolls on tail limits, the stages' worth of moves within the limits after them, the
#: first toll in prices of the fractional plan (whole plans spread their tails less), and how much of what a
#: limit is missed by the toll follows.
_TOLL_STAGES, _STRICT_STAGES, _FIRST_RATE, _ADAPT = 10, 1, 1.1, 3.0


class Primal:
    """Local search on a session's shape.

    Attributes
    ----------
    worth
        Shape (n,). What annealing earns: the value, less the price of linking rows. Without that price a plan
        at such a limit could only exchange columns that use the same of it.
    scale
        How much the values of one task's columns differ: the unit of temperatures and of nearness.
    """

    def __init__(self, session: Session) -> None:
        self.session = session
        shape = session.shape
        self.worth: FloatArray = shape.value
        self._earned = self.worth
        self._tolls: FloatArray = np.zeros(0)
        self._rate: FloatArray = np.zeros(0)
        self.scale = _value_spread(shape.value, shape.task, shape.required)
        self._seeds = np.random.SeedSequence(session.options.random_seed)
        # Leaving a required task costs more than any one move can win, but little enough to leave some for a
        # while.
        worst = np.zeros(shape.tasks)
        np.minimum.at(worst, shape.task, shape.value)
        span = float(np.ptp(shape.value)) if len(shape.value) else 0.0
        self._leave = np.where(shape.required, worst - 2.0 * span, 0.0)

    def choice_bound(self) -> float:
        """Bound from the tasks alone (scaled): each does what it is best at, or nothing where it may."""
        shape = self.session.shape
        best = np.where(shape.required, -np.inf, 0.0)
        np.maximum.at(best, shape.task, shape.value)
        return float(best.sum())

    def as_greedy(self) -> IntArray:
        """Take columns as the strategy `greedy` does: required tasks first, then by what they earn."""
        shape = self.session.shape
        earned = self.session.program.objective[shape.columns]
        first = np.where(shape.required[shape.task], 2.0 * float(np.abs(earned).max(initial=0.0)), 0.0)
        return self.greedy(earned + first, "greedy")

    def greedy(self, merit: FloatArray, phase: str) -> IntArray:
        """Take columns by falling ``merit`` as long as they fit; the program's first of equals."""
        shape, tails = self.session.shape, self.session.tails
        order = np.lexsort((shape.columns, -merit))
        assigned = np.full(shape.tasks, -1, dtype=np.int64)
        load = np.zeros(shape.rows)
        fill(order, shape.task, shape.entry_ptr, shape.entry_row, self.session.weight, load, assigned)
        self.session.offer_plan(assigned if tails is None else tails.lighten(assigned), phase)
        return assigned

    def complete(self, assigned: IntArray, merit: FloatArray, phase: str) -> IntArray:
        """Fill up a plan by falling ``merit``."""
        shape = self.session.shape
        load = self.load(assigned)
        assigned = assigned.copy()
        order = np.argsort(-merit, kind="stable")
        fill(order, shape.task, shape.entry_ptr, shape.entry_row, self.session.weight, load, assigned)
        self.session.offer_plan(assigned, phase)
        return assigned

    def load(self, assigned: IntArray) -> FloatArray:
        """What a plan uses of each row. Shape (R,)."""
        shape = self.session.shape
        used = np.zeros(len(shape.value), dtype=bool)
        used[assigned[assigned >= 0]] = True
        entry = np.repeat(used, np.diff(shape.entry_ptr))
        load = np.bincount(shape.entry_row[entry], self.session.weight[entry], minlength=shape.rows)
        return load.astype(np.float64)

    def price_linking(self, price: FloatArray) -> None:
        """Let annealing earn values less the price of the linking rows; ``price`` has all rows."""
        shape = self.session.shape
        if shape.block_row_count < shape.rows:
            linking = shape.entry_row >= shape.block_row_count
            cost = np.where(linking, price[shape.entry_row] * shape.entry_value, 0.0)
            column = np.repeat(np.arange(len(shape.value)), np.diff(shape.entry_ptr))
            self.worth = shape.value - np.bincount(column, cost, minlength=len(shape.value))
            tails = self.session.tails
            if tails is not None:
                cost = np.where(tails.unless_by_scenario() > 0.0, cost, 0.0)
                self._earned = shape.value - np.bincount(column, cost, minlength=len(shape.value))
                self._tolls = tails.tolls(price)
                self._rate = np.full(len(self._tolls), _FIRST_RATE)

    def near(self, reduced: FloatArray, width: float, least: int = 2) -> tuple[IntArray, IntArray]:
        """Columns of each task (CSR) whose reduced value is within ``width`` scales of the best.

        At least the best ``least`` of each task, and what the incumbent chose.
        """
        shape = self.session.shape
        keep = reduced >= -width * self.scale
        by_task = np.lexsort((-reduced, shape.task))
        rank = np.arange(len(by_task)) - shape.task_ptr[shape.task[by_task]]
        keep[by_task[rank < least]] = True
        if self.session.assigned is not None:
            keep[self.session.assigned[self.session.assigned >= 0]] = True
        columns = np.lexsort((-self.worth, shape.task))
        columns = columns[keep[columns]]
        counts = np.bincount(shape.task[columns], minlength=shape.tasks)
        return np.concatenate([[0], np.cumsum(counts)]).astype(np.int64), columns

    def improve(
        self,
        start: IntArray,
        columns: tuple[IntArray, IntArray],
        hot: float,
        cold: float,
        moves: int,
        phase: str,
        tolls: bool = False,
    ) -> IntArray:
        """Anneal from ``start`` with temperatures in scales; returns the best plan of all chains.

        Under linking rows the moves are shared out to stages, each with the level of its start's tails; the
        last earns values without the price of those rows. With ``tolls`` tail limits are open for a while:
        better from afar, no better than the stages along a dive.
        """
        session, tails = self.session, self.session.tails
        if self.worth is session.shape.value:
            top = self._anneal(start, columns, hot, cold, moves, session.shape.value)
            session.offer_plan(top, phase)
            session.check()
            return top
        if tolls and tails is not None and tails.by_scenario:
            return self._improve_with_tolls(tails, start, columns, (hot, cold), moves, phase)
        top = start
        cool = (cold / hot) ** (1.0 / _STAGES)
        for stage in range(_STAGES):
            heat = hot * cool**stage
            worth = self.worth if stage < _STAGES - 1 else session.shape.value
            start = top if tails is None else tails.lighten(top)
            top = self._anneal(start, columns, heat, heat * cool, moves // _STAGES, worth)
            if tails is not None:
                top = tails.lighten(top)
            session.offer_plan(top, phase)
            session.check()
            if tails is not None:
                tails.hold_to_plan(top)
        return top

    def _improve_with_tolls(
        self,
        tails: Tails,
        start: IntArray,
        columns: tuple[IntArray, IntArray],
        heat: tuple[float, float],
        moves: int,
        phase: str,
    ) -> IntArray:
        """Anneal with tail limits left open and their excess at a toll, which keeps near them; then within.

        A hard limit would only let columns change places that use the same of it.
        """
        session, top = self.session, start
        hot, cold = heat
        cool = (cold / hot) ** (1.0 / _TOLL_STAGES)
        each = moves // (_TOLL_STAGES + _STRICT_STAGES)
        for stage in range(_TOLL_STAGES):
            toll = self._rate * self._tolls
            top = self._anneal(
                top, columns, hot * cool**stage, hot * cool ** (stage + 1), each, self._earned, toll
            )
            session.check()
            used = tails.used_of_scenario_limits(top)
            session.offer_plan(top, phase)
            self._rate = np.clip(self._rate * np.clip(1.0 + _ADAPT * (used - 1.0), 0.5, 2.0), 0.1, 10.0)
        top = tails.lighten(top)
        session.offer_plan(top, phase)
        tails.hold_to_plan(top)
        top = self._anneal(top, columns, cold, 0.5 * cold, _STRICT_STAGES * each, session.shape.value)
        top = tails.lighten(top)
        session.offer_plan(top, phase)
        session.check()
        tails.hold_to_plan(top)
        return top

    def _anneal(
        self,
        start: IntArray,
        columns: tuple[IntArray, IntArray],
        hot: float,
        cold: float,
        moves: int,
        worth: FloatArray,
        toll: FloatArray | None = None,
    ) -> IntArray:
        """Anneal once, with temperatures in scales, in all chains.

        With a ``toll`` tail limits are open, and the last plan is returned, not the best: the next stage goes
        on from it, as in one long run.
        """
        shape, session = self.session.shape, self.session
        seeds = self._seeds.spawn(_CHAINS)
        states = [np.array([s.generate_state(1, np.uint64)[0] | 1], dtype=np.uint64) for s in seeds]
        best = [np.empty_like(start) for _ in states]
        last = [start.copy() for _ in states]
        tails = session.tails
        weight = shape.entry_value if tails is None else tails.unless_by_scenario()
        if tails is None:
            runs, level, allowed, loss = no_runs(len(shape.value)), np.zeros(0), np.zeros(0), np.zeros(0)
        else:
            runs, level, allowed, loss = tails.annealed(start, again=toll is None)
        open_limits = toll is not None
        if toll is None:
            toll = np.zeros(len(level))
        else:
            allowed = np.full(len(level), np.inf)
        values = session.run(
            partial(
                anneal, worth, shape.block, *columns, self._leave, shape.entry_ptr, shape.entry_row,
                weight, shape.blocks, shape.rows, now, plan, state, hot * self.scale,
                cold * self.scale, moves, runs, level, allowed, toll, loss.copy(), session.stop,
            )
            for now, plan, state in zip(last, best, states, strict=True)
        )  # fmt: skip
        return (last if open_limits else best)[int(np.argmax(values))]


def _value_spread(value: FloatArray, task: IntArray, required: BoolArray) -> float:
    """Mean standard deviation of the values of a task's columns; leaving it (0) counts where allowed."""
    if not len(value):
        return 1.0
    extra = np.where(required, 0, 1)
    count = np.bincount(task, minlength=len(required)) + extra
    mean = np.bincount(task, value, minlength=len(required)) / np.maximum(count, 1)
    square = np.bincount(task, value**2, minlength=len(required)) / np.maximum(count, 1)
    spread = float(np.sqrt(np.maximum(square - mean**2, 0.0)).mean())
    return spread if spread > 0 else 1.0
