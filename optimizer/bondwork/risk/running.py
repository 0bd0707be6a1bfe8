"""The value of a measure while choices are added one by one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bondwork.risk.measure import REACH_TOLERANCE

if TYPE_CHECKING:
    from bondwork.arrays import FloatArray
    from bondwork.risk.measure import Measure


class RunningMeasure:
    """Keeps the losses of a growing choice, so that asking whether one more choice fits is cheap.

    Parameters
    ----------
    measure
        The measure and its limit.
    x
        Shape (n,). Where to start.
    """

    def __init__(self, measure: Measure, x: FloatArray) -> None:
        self.measure = measure
        self._x = x.copy()
        self._ceiling = measure.ceiling + REACH_TOLERANCE * abs(measure.ceiling)
        self._losses = measure.loss.of(x)
        self._number = {int(column): k for k, column in enumerate(measure.loss.columns)}
        self._value = measure.value(x)

    @property
    def value(self) -> float:
        """What the measure says now."""
        return self._value

    def holds(self) -> bool:
        """Whether the limit holds now."""
        return self._value <= self._ceiling

    def fits(self, column: int) -> bool:
        """Whether the limit would hold with one more choice; a choice outside the scope always fits."""
        number = self._number.get(column)
        return number is None or self._with(column, number)[0] <= self._ceiling

    def rise(self, column: int) -> float:
        """By how much the value would rise with one more choice."""
        number = self._number.get(column)
        return 0.0 if number is None else self._with(column, number)[0] - self._value

    def add(self, column: int) -> None:
        """Add a choice."""
        number = self._number.get(column)
        self._x[column] = 1.0
        if number is not None:
            self._value, self._losses = self._with(column, number)

    def _with(self, column: int, number: int) -> tuple[float, FloatArray]:
        losses = self._losses.copy()
        losses[self.measure.loss.sample.failures(number)] += self.measure.loss.weight[number]
        if self.measure.is_of_losses:
            return self.measure.of_losses(losses), losses
        x = self._x.copy()
        x[column] = 1.0
        return self.measure.value(x), losses


def running_measures(measures: tuple[Measure, ...], x: FloatArray) -> list[RunningMeasure]:
    """Follow several measures from the same start."""
    return [RunningMeasure(measure, np.asarray(x)) for measure in measures]
