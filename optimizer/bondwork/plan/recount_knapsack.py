"""The most that one executor's work is worth at given prices of tasks, from above, in bounded time.

A knapsack with a few rows: maximise ``profit @ x`` subject to ``weight[:, r] @ x <= room[r]``, x binary. For
prices y >= 0 of the rows it is at most ``y @ room + sum of max(0, profit - weight @ y)``. Suppose that it is
more than some level below that. Then much is fixed by this bound; the other items are gone through one by
one, with all that may come of them kept side by side (a value, and what is used of each row), and what cannot
exceed the level is dropped. If nothing is left, the level is an upper bound; else the best of what is left is
the optimum. Levels go down step by step, until that happens or too much is to be kept.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from bondwork.arrays import FloatArray

_EPS: Final = float(np.finfo(float).eps)

#: Prices that are tried for what is left: the stated ones, scaled, and tilted towards each row.
_SCALES: Final = (1.0, 0.85, 0.7, 0.5, 0.3, 1.2)
_TILTS: Final = (0.5, 1.6)

#: Levels that are tried, as shares of the way from the bound of the prices to a known choice.
_STEPS: Final = (0.02, 0.04, 0.07, 0.12, 0.2, 0.35, 0.6, 1.0)

#: What going on to the next item costs, in partial choices.
_EACH: Final = 200


def most_of_knapsack(
    profit: FloatArray, weight: FloatArray, room: FloatArray, price: FloatArray, work: int
) -> float:
    """Return an upper bound on the value of a knapsack; the optimum where the work suffices.

    Parameters
    ----------
    profit
        Shape (n,).
    weight
        Shape (n, R). Not negative.
    room, price
        Shape (R,). Not negative. Any prices are right; good ones save work.
    work
        Partial choices that are looked at.

    Examples
    --------
    >>> profit, weight = np.array([6.0, 5.0, 5.0]), np.array([[4.0], [3.0], [3.0]])
    >>> round(most_of_knapsack(profit, weight, np.array([6.0]), np.array([1.6]), 100), 9)
    10.0
    """
    fits = (profit > 0.0) & np.all(weight <= room, axis=1)
    profit, weight = profit[fits], weight[fits]
    count = len(profit)
    if not count:
        return 0.0
    # sums in doubles: what is used is taken a hair too low, what is worth a hair too high
    search = _Search(profit, weight, room * (1.0 + 4.0 * (count + 8) * _EPS), price)
    margin = 8.0 * (count + 8) * _EPS * (float(np.sum(profit)) + search.root)
    proven, known = search.root, search.greedy()
    for share in _STEPS:
        if proven <= known + margin:
            break
        level = max(known, search.root - share * (search.root - known))
        found, work = search.above(level, work)
        if found is None:
            break
        proven = max(level, found)
        if found > level:
            break
    return max(proven, known) + margin


class _Search:
    """All choices of one knapsack that are worth more than a level."""

    def __init__(self, profit: FloatArray, weight: FloatArray, room: FloatArray, price: FloatArray) -> None:
        order = np.argsort(-profit / (weight @ price + 1e-300), kind="stable")
        self.profit, self.weight, self.room = profit[order], weight[order], room
        tilted = [price.copy() for _ in _TILTS for _ in price]
        for number, each in enumerate(tilted):
            each[number % len(price)] *= _TILTS[number // len(price)]
        self.prices: FloatArray = np.array([*(scale * price for scale in _SCALES), *tilted])
        self.all_room = self.prices @ room
        self.reduced = self.profit - self.weight @ price
        self.root = float(price @ room + np.sum(np.maximum(self.reduced, 0.0)))

    def greedy(self) -> float:
        """Value of what fits, one after the other."""
        used, value = np.zeros(len(self.room)), 0.0
        for profit, weight in zip(self.profit.tolist(), self.weight, strict=True):
            more = used + weight
            if np.all(more <= self.room):
                used, value = more, value + profit
        return value

    def above(self, level: float, work: int) -> tuple[float | None, int]:
        """Return the most above a level, ``-inf`` where there is nothing, and the work that is left.

        ``None`` where the work does not suffice to know.
        """
        spent = self.root - np.abs(self.reduced) <= level
        taken = spent & (self.reduced > 0.0)
        uses = self.weight[taken].sum(axis=0)[None, :]
        values = np.array([float(np.sum(self.profit[taken]))])
        if np.any(uses > self.room):
            return -math.inf, work
        profit, weight = self.profit[~spent], self.weight[~spent]
        gain = np.maximum(profit[:, None] - weight @ self.prices.T, 0.0)
        later = np.zeros((len(profit) + 1, len(self.prices)))
        later[:-1] = np.cumsum(gain[::-1], axis=0)[::-1]
        for item in range(len(profit)):
            more = uses + weight[item]
            fits = np.all(more <= self.room, axis=1)
            values = np.concatenate([values, values[fits] + profit[item]])
            uses = np.concatenate([uses, more[fits]])
            work -= len(values) + _EACH
            most = values + np.min(self.all_room - uses @ self.prices.T + later[item + 1], axis=1)
            promising = most > level
            values, uses = values[promising], uses[promising]
            if not len(values):
                return -math.inf, work
            if work < len(values):
                return None, work
        return float(values.max()), work
