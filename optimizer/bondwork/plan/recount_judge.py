"""What other prices than the stated ones would prove, for `verify`: how a bound moves with a price."""

from __future__ import annotations

import math
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from bondwork.plan.recount_columns import Uncheckable
from bondwork.plan.recount_usage import Usage

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bondwork.arrays import FloatArray
    from bondwork.plan.certificate import Entry
    from bondwork.plan.recount_bound import BoundRecount

#: Times the error of worths in doubles that a difference of bounds may be off: prices may be doubled.
_ERRORS = 8.0


class PriceJudge:
    """Bounds near the stated prices, in doubles with a bound on their error.

    Parameters
    ----------
    recount
        Bounds of the round.
    rows
        The stated prices of limits.
    rest
        What stays as it is: prices of scenarios and loads.

    Attributes
    ----------
    stated
        What the stated prices prove.
    noise
        How far rounding may move a difference.

    Raises
    ------
    Uncheckable
        A required task has no team.
    OverflowError
        Prices whose sums are beyond the range of numbers.
    """

    def __init__(self, recount: BoundRecount, rows: Sequence[Entry], rest: Sequence[Entry]) -> None:
        self.rows = rows
        self.usage = Usage(recount.columns)
        places = [recount.rooms.of(each) for each in rows]
        self.room = [float(room) for _, _, room in places]
        self.limit = [(word, about) for word, about, _ in places]
        constant, priced = recount.priced([*rows, *rest])
        self.worth, error = priced.rough()
        task = recount.columns.task
        self._order = np.argsort(task, kind="stable")
        present, self._starts = np.unique(task[self._order], return_index=True)
        required = recount.required()
        if required.sum() > required[present].sum():
            raise Uncheckable("a required task that nobody could do")
        self._floor = np.where(required[present], -np.inf, 0.0)
        self._best = self._best_of(self.worth)
        worst = np.maximum.reduceat(error[self._order], self._starts) if len(present) else error
        self.stated = float(constant) + math.fsum(self._best.tolist())
        self.noise = _ERRORS * float(np.sum(worst))
        if not math.isfinite(self.stated + self.noise):
            raise OverflowError

    def cost(self, row: int) -> float:
        """What all the room of a limit costs."""
        return self.rows[row].y * abs(self.room[row])

    def change(self, factor: float, row: int | None = None) -> float:
        """By how much the bound rises when a price is multiplied; all of them where no row is named."""
        share, worth = factor - 1.0, self.worth.copy()
        if row is None:
            worth -= share * self._paid
            rooms = math.fsum(each.y * room for each, room in zip(self.rows, self.room, strict=True))
        else:
            columns, amounts = self.usage.of(*self.limit[row])
            worth[columns] -= share * self.rows[row].y * amounts
            rooms = self.rows[row].y * self.room[row]
        return share * rooms + float(np.sum(self._best_of(worth) - self._best))

    @cached_property
    def _paid(self) -> FloatArray:
        """What each column pays for all limits."""
        paid = np.zeros(len(self.worth))
        for limit, each in zip(self.limit, self.rows, strict=True):
            columns, amounts = self.usage.of(*limit)
            paid[columns] += each.y * amounts
        return paid

    def _best_of(self, worth: FloatArray) -> FloatArray:
        """Worth of the best team of each task that has one; nothing where the task may be left."""
        if not len(worth):
            return worth
        best: FloatArray = np.maximum(np.maximum.reduceat(worth[self._order], self._starts), self._floor)
        return best
