"""The value of a measure while choices are added one by one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bondwork.risk.measure import REACH_TOLERANCE

if TYPE_CHECKING:
    from bondwork.arrays import BoolArray, FloatArray
    from bondwork.risk.measure import Measure

#: Failures looked at in the time that one scenario takes when a single choice is tried.
TRIAL = 30

#: Share of the size of a cut, and of its limit, by which a choice beyond it surely breaks the limit as well.
SURELY = 4.0 * REACH_TOLERANCE


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
        self._barred: BoolArray | None = None
        self._refused = 0
        self._last: tuple[int, float, FloatArray] | None = None
        # a cut looks at every failure of the scope, one trial at every scenario, which it sorts
        self._patience = 1 + len(measure.loss.sample.scenario) // (TRIAL * len(self._losses))

    @property
    def value(self) -> float:
        """What the measure says now."""
        return self._value

    def holds(self) -> bool:
        """Whether the limit holds now."""
        return self._value <= self._ceiling

    def fits(self, column: int) -> bool:
        """Whether the limit would hold with one more choice; a choice outside the scope always fits.

        Of many that are asked about most do not fit, and a cut at what was chosen bars them all at once: for
        good, as no further choice lowers a loss.
        """
        number = self._number.get(column)
        if number is None:
            return True
        if self._barred is not None and self._barred[column]:
            return False
        fits = self._with(column, number)[0] <= self._ceiling
        if not fits and self.measure.convex:
            self._refused += 1
            if self._refused >= self._patience:
                self._refused, self._barred = 0, self._surely_over()
        return fits

    def _surely_over(self) -> BoolArray:
        """Choices that a cut at what is chosen now bars. Shape (n,)."""
        cut = self.measure.cut(self._x)
        terms = cut.normal * self._x
        size = abs(self.measure.ceiling) + abs(cut.upper) + float(np.abs(terms).sum())
        over: BoolArray = float(terms.sum()) + cut.normal > cut.upper + SURELY * size
        return over

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
            self._last = None

    def _with(self, column: int, number: int) -> tuple[float, FloatArray]:
        """Value and losses with one more choice; who has asked whether it fits may add it next."""
        if self._last is None or self._last[0] != column:
            self._last = column, *self._tried(column, number)
        return self._last[1:]

    def _tried(self, column: int, number: int) -> tuple[float, FloatArray]:
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
