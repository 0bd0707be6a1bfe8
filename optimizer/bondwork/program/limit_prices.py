"""Multipliers of limits step by step, where a linear relaxation takes too long to be solved.

Whoever verifies a bound decides every task by itself at given multipliers y >= 0 of the limits. So does this:

    bound(y)  =  what is earned whatever is chosen  +  y @ room  +  the best that tasks come to at y

is convex, and what the limits leave at the best choices is a subgradient of it. Steps against it, deflected
and as long as Polyak's rule says for a value that is known to be reached, lower it; all of it is sums and
products with the matrix of the limits. Nothing here is drawn at random.

References
----------
B. T. Polyak, Minimization of unsmooth functionals, USSR Computational Mathematics and Mathematical Physics 9
(1969) 14-29. P. M. Camerini, L. Fratta & F. Maffioli, On improving relaxation methods by modified gradient
techniques, Mathematical Programming Study 3 (1975) 26-34.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

if TYPE_CHECKING:
    from scipy.sparse import csr_array

    from bondwork.arrays import BoolArray, FloatArray, IntArray

#: Steps at most, steps without a gain after which they get shorter, and the shortest as a share of Polyak's.
MOST_STEPS, PATIENCE, SHORTEST = 3_000, 12, 1e-4

#: Share of a limit by which a column must exceed it to be out of the question.
_CLEARLY = 1e-6

#: How much of the last direction is taken back where the next one turns against it.
DEFLECTION = 1.5

#: A gain less than this share of what is left to gain is none.
_GAIN = 1e-3


class Choosing(Protocol):
    """What tasks allow, limits left aside."""

    def best(self, worth: FloatArray) -> tuple[float, FloatArray]:
        """Return the most that tasks come to, and the choice that does.

        Parameters
        ----------
        worth
            Shape (n,). Of each column; ``-inf`` where it cannot be chosen.
        """
        ...


class OnePerTask:
    """Of every task one column at most, or exactly one.

    Parameters
    ----------
    task
        Shape (n,). Row of each column, -1 for columns that cannot be chosen.
    required
        Shape (T,). Rows of which one must be.
    """

    def __init__(self, task: IntArray, required: BoolArray) -> None:
        order = np.argsort(task, kind="stable")
        self.order: IntArray = order[task[order] >= 0]
        rows, self.start = np.unique(task[self.order], return_index=True)
        self.sizes = np.diff(np.append(self.start, len(self.order)))
        self.required: BoolArray = required[rows]
        self.columns = len(task)

    def best(self, worth: FloatArray) -> tuple[float, FloatArray]:
        """See `Choosing`."""
        chosen = np.zeros(self.columns)
        if not len(self.order):
            return 0.0, chosen
        ordered = worth[self.order]
        most = np.maximum.reduceat(ordered, self.start)
        place = _first_at(ordered, most, self.start, self.sizes)
        taken = (self.required | (most > 0.0)) & np.isfinite(most)
        chosen[self.order[place[taken]]] = 1.0
        return float(most[taken].sum()), chosen


def _first_at(values: FloatArray, most: FloatArray, start: IntArray, sizes: IntArray) -> IntArray:
    """Place of the first value of each group that is its largest."""
    hits = np.flatnonzero(values == np.repeat(most, sizes))
    found: IntArray = hits[np.searchsorted(hits, start)]
    return found


@dataclass(frozen=True, slots=True, eq=False)
class Priced:
    """A maximisation whose limits are to be priced.

    Attributes
    ----------
    worth
        Shape (n,). Of each column without any price.
    offset
        What is earned whatever is chosen.
    taken
        Shape (m, n). What columns take of the limits.
    room
        Shape (m,).
    weight
        Shape (m,). Steps are as much longer in a limit: the chance of its node.
    tasks
        What tasks allow.
    """

    worth: FloatArray
    offset: float
    taken: csr_array
    room: FloatArray
    weight: FloatArray
    tasks: Choosing


def lower_bound_by_steps(
    priced: Priced, start: FloatArray, reached: float, *, ends: float, steps: int = MOST_STEPS
) -> tuple[FloatArray, float]:
    """Return multipliers with a low bound, and that bound.

    Parameters
    ----------
    start
        Shape (m,). Multipliers to begin with.
    reached
        What a plan is known to earn: no bound is lower.
    ends
        On the clock of `time.perf_counter`: when to stop.
    """
    prices, best, known = np.maximum(start, 0.0), np.maximum(start, 0.0), math.inf
    paid = priced.taken.T.tocsr()
    worth = np.where(_too_large(priced), -np.inf, priced.worth)
    last, length, waited = np.zeros(len(prices)), 1.0, 0
    for _ in range(steps):
        value, chosen = priced.tasks.best(worth - paid @ prices)
        bound = priced.offset + float(prices @ priced.room) + value
        if bound < known:
            waited = 0 if known - bound > _GAIN * (known - reached) or math.isinf(known) else waited + 1
            known, best = bound, prices
        else:
            waited += 1
        if waited > PATIENCE:
            length, waited, prices = length / 2.0, 0, best
            last = np.zeros(len(prices))
            if length < SHORTEST:
                break
            continue
        if known - reached <= 1e-9 * abs(known) or time.perf_counter() > ends:
            break
        left = priced.room - priced.taken @ chosen
        left[(prices <= 0.0) & (left > 0.0)] = 0.0  # no price gets below nothing
        size = float(last @ (priced.weight * last))
        turn = float(left @ (priced.weight * last))
        ahead = left + (max(-DEFLECTION * turn / size, 0.0) * last if size > 0.0 else 0.0)
        size = float(ahead @ (priced.weight * ahead))
        if size <= 0.0:
            break
        prices = np.maximum(prices - length * (bound - reached) / size * priced.weight * ahead, 0.0)
        last = ahead
    return best, known


def _too_large(priced: Priced) -> BoolArray:
    """Columns that alone take more of a limit than there is room: nobody can choose them."""
    entries = priced.taken.tocoo()
    room = priced.room[entries.row]
    out: BoolArray = np.zeros(len(priced.worth), dtype=bool)
    out[entries.col[entries.data > room + _CLEARLY * np.abs(room)]] = True
    return out
