"""Values of measures while choices are exchanged: what each exchange would make of them."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from bondwork.risk.cvar import ConditionalValueAtRisk

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from bondwork.arrays import FloatArray, IntArray
    from bondwork.risk.measure import Measure


class Exchange(NamedTuple):
    """Columns that are no longer chosen, and columns that are chosen instead."""

    dropped: tuple[int, ...]
    added: tuple[int, ...]

    def of(self, x: FloatArray) -> FloatArray:
        """Return the choice after the exchange."""
        after = x.copy()
        after[list(self.dropped)] = 0.0
        after[list(self.added)] = 1.0
        return after

    def and_also(self, other: Exchange) -> Exchange:
        """Return both exchanges as one."""
        return Exchange(self.dropped + other.dropped, self.added + other.added)


class MovingMeasures:
    """Keeps the losses of a choice under several measures, so that asking about exchanges is cheap.

    Parameters
    ----------
    measures
        All over the same columns.
    x
        Shape (n,). The choice.

    Attributes
    ----------
    values
        Shape (k,). What the measures say of the choice.
    """

    def __init__(self, measures: Sequence[Measure], x: FloatArray) -> None:
        self._measures = measures
        self._places: dict[int, list[tuple[int, list[int]]]] = {}
        for k, measure in enumerate(measures):
            numbers: dict[int, list[int]] = {}
            for number, column in enumerate(measure.loss.columns.tolist()):
                numbers.setdefault(column, []).append(number)
            for column, mine in numbers.items():
                self._places.setdefault(column, []).append((k, mine))
        self._quick = [_quickly(measure) for measure in measures]
        self.move_to(x)

    def move_to(self, x: FloatArray) -> None:
        """Take another choice as the one that exchanges start from."""
        self._x = x.copy()
        self._losses = [measure.loss.of(x) for measure in self._measures]
        self.values: FloatArray = np.array([measure.value(x) for measure in self._measures])

    def after(self, exchange: Exchange) -> FloatArray:
        """Values after an exchange. Shape (k,)."""
        values = self.values.copy()
        losses: dict[int, FloatArray] = {}
        for columns, sign in ((exchange.dropped, -1.0), (exchange.added, 1.0)):
            for column in columns:
                for k, numbers in self._places.get(column, ()):
                    if k not in losses:
                        losses[k] = self._losses[k].copy()
                    loss = self._measures[k].loss
                    for number in numbers:
                        losses[k][loss.sample.failures(number)] += sign * loss.weight[number]
        for k, changed in losses.items():
            measure, quick = self._measures[k], self._quick[k]
            if quick is not None:
                values[k] = quick(changed)
            elif measure.is_of_losses:
                values[k] = measure.of_losses(changed)
            else:
                values[k] = measure.value(exchange.of(self._x))
        return values


def _quickly(measure: Measure) -> Callable[[FloatArray], float] | None:
    """A quicker way to the same value: only the tail of equally likely scenarios is put in order."""
    probability = measure.loss.probability
    if not isinstance(measure, ConditionalValueAtRisk) or float(np.ptp(probability)) > 1e-12 / len(
        probability
    ):
        return None
    return partial(_mean_of_worst, wanted=(1.0 - measure.level) * len(probability))


def _mean_of_worst(losses: FloatArray, wanted: float) -> float:
    """Mean of the ``wanted`` largest losses, the last of them in part."""
    count = min(max(math.ceil(wanted - 1e-9), 1), len(losses))
    edge = len(losses) - count
    worst = np.partition(losses, edge)[edge:]
    return float(worst.sum() - (count - wanted) * worst[0]) / wanted


def exchanges(task: IntArray, allowed: IntArray, x: FloatArray) -> list[Exchange]:
    """List what can be done with one task: give its work up, begin it, or have somebody else do it.

    Parameters
    ----------
    task
        Shape (n,). Task of each column; at most one column of a task is chosen.
    allowed
        Columns that may be chosen.
    x
        Shape (n,). The choice.
    """
    chosen = np.flatnonzero(x > 0.5).tolist()
    mine = {int(task[column]): column for column in chosen}
    found = [Exchange((column,), ()) for column in chosen]
    for column in allowed.tolist():
        now = mine.get(int(task[column]))
        if now != column:
            found.append(Exchange(() if now is None else (now,), (column,)))
    return found
