"""The most that one executor's work is worth at given prices of tasks, from above, in bounded time.

A knapsack with a few rows: maximise ``profit @ x`` subject to ``weight[:, r] @ x <= room[r]``, x binary. For
prices y >= 0 of the rows it is at most ``y @ room + sum of max(0, profit - weight @ y)``. Suppose that it is
more than some level below that. Then much is fixed by this bound; the other items are gone through one by
one, with all that may come of them kept side by side (a value, and what is used of each row), and what cannot
exceed the level is dropped. If nothing is left, the level is an upper bound; else the best of what is left is
the optimum. Levels go down step by step, until that happens or too much is to be kept.
"""

from __future__ import annotations

import hashlib
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


#: What knapsacks came to, by a digest of their numbers, and how many are kept: whoever makes a certificate
#: verifies it next.
_KNOWN: dict[bytes, float] = {}
_MOST_KNOWN: Final = 10_000


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
    numbers = hashlib.sha256(f"{weight.shape} {work}".encode())
    for each in (profit, weight, room, price):
        numbers.update(np.ascontiguousarray(each).tobytes())
    found = _KNOWN.get(numbers.digest())
    if found is None:
        if len(_KNOWN) >= _MOST_KNOWN:
            _KNOWN.clear()
        found = _KNOWN[numbers.digest()] = _worked_out(profit, weight, room, price, work)
    return found


def _worked_out(
    profit: FloatArray, weight: FloatArray, room: FloatArray, price: FloatArray, work: int
) -> float:
    fits = (profit > 0.0) & np.all(weight <= room, axis=1)
    profit, weight = profit[fits], weight[fits]
    count, total = len(profit), math.fsum(profit.tolist())
    if not count or not math.isfinite(8.0 * total):
        return math.inf if count else 0.0
    # in shares of the room, so that no price, however high, leaves the range of numbers: one by which no room
    # is left to pay for is as good as a higher one, and rows without any room are about nobody
    rows = room > 0.0
    with np.errstate(over="ignore", under="ignore"):
        weight, price = weight[:, rows] / room[rows], np.minimum(price[rows] * room[rows], 2.0 * total)
    # sums in doubles: what is used is taken a hair too low, what is worth a hair too high
    search = _Search(profit, weight, np.full(len(price), 1.0 + 4.0 * (count + 10) * _EPS), price)
    margin = 8.0 * (count + 8) * _EPS * (total + search.root)
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
    """All choices of one knapsack that are worth more than a level.

    Sums go row by row and never through BLAS, whose rounding depends on the machine: what is dropped, and so
    how far the work reaches, is the same everywhere.
    """

    def __init__(self, profit: FloatArray, weight: FloatArray, room: FloatArray, price: FloatArray) -> None:
        self.room = room[:, None]
        tilted = [price.copy() for _ in _TILTS for _ in price]
        for number, each in enumerate(tilted):
            each[number % len(price)] *= _TILTS[number // len(price)]
        self.prices: FloatArray = np.array([*(scale * price for scale in _SCALES), *tilted])
        with np.errstate(over="ignore"):  # what takes nothing comes first
            order = np.argsort(-profit / (_paid(price[None], weight.T)[0] + 1e-300), kind="stable")
        self.profit, self.weight = profit[order], weight[order].T.copy()
        #: Profit beyond what is paid at each of the prices, and what all room costs. Shapes (P, n), (P,).
        self.gain = self.profit - _paid(self.prices, self.weight)
        self.all_room = _paid(self.prices, self.room)[:, 0]
        self.reduced = self.gain[0]
        self.root = float(self.all_room[0] + np.sum(np.maximum(self.reduced, 0.0)))

    def greedy(self) -> float:
        """Value of what fits, one after the other."""
        room, value = self.room[:, 0].tolist(), 0.0
        used = [0.0] * len(room)
        for profit, weight in zip(self.profit.tolist(), self.weight.T.tolist(), strict=True):
            more = [each + taken for each, taken in zip(weight, used, strict=True)]
            if all(each <= most for each, most in zip(more, room, strict=True)):
                used, value = more, value + profit
        return value

    def above(self, level: float, work: int) -> tuple[float | None, int]:
        """Return the most above a level, ``-inf`` where there is nothing, and the work that is left.

        ``None`` where the work does not suffice to know.
        """
        spent = self.root - np.abs(self.reduced) <= level
        taken = spent & (self.reduced > 0.0)
        uses = self.weight[:, taken].sum(axis=1)[:, None]
        values = np.array([float(np.sum(self.profit[taken]))])
        if np.any(uses > self.room):
            return -math.inf, work
        profit, weight, gain = self.profit[~spent], self.weight[:, ~spent], self.gain[:, ~spent]
        # what is left at each price, and may still come
        later = np.zeros((len(self.prices), len(profit) + 1))
        later[:, :-1] = np.cumsum(np.maximum(gain, 0.0)[:, ::-1], axis=1)[:, ::-1]
        later += self.all_room[:, None]
        for item in range(len(profit)):
            more = uses + weight[:, item, None]
            fits = np.flatnonzero(np.all(more <= self.room, axis=0))
            values = np.concatenate([values, values[fits] + profit[item]])
            uses = np.concatenate([uses, more[:, fits]], axis=1)
            work -= len(values) + _EACH
            most = values + np.min(later[:, item + 1, None] - _paid(self.prices, uses), axis=0)
            promising = np.flatnonzero(most > level)
            values, uses = values[promising], uses[:, promising]
            if not len(values):
                return -math.inf, work
            if work < len(values):
                return None, work
        return float(values.max()), work


def _paid(prices: FloatArray, uses: FloatArray) -> FloatArray:
    """What is paid at each of some prices, (P, R), by each of those who use so much, (R, n). Shape (P, n)."""
    total: FloatArray = np.zeros((len(prices), uses.shape[1]))
    for row, each in enumerate(uses):
        total += prices[:, row, None] * each
    return total
