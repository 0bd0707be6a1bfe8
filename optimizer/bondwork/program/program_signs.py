"""Multipliers moved by hairs until no column without a bound earns along it.

The multipliers of a solver are right to its tolerance; a reduced cost of 1e-17 times infinity is no bound.
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from bondwork.program.program_bound import ProgramBound, Row
    from bondwork.program.program_multipliers import Place

#: Moves for each column that has to be set right, and steps of a double to a side.
_MOVES, _STEPS = 20, 4


class SignRepair:
    """Set reduced costs of columns without a bound right.

    Parameters
    ----------
    bound
        Of the program.
    multipliers
        In the sense of the program.
    costs
        Whether columns cost what they cost, or nothing (for proofs that nothing is feasible).
    leave
        Columns that somebody else sets right.
    """

    def __init__(
        self,
        bound: ProgramBound,
        multipliers: Mapping[Place, float],
        *,
        costs: bool,
        leave: Collection[int] = (),
    ) -> None:
        self.bound, self.leave = bound, leave
        self.y = {place: bound.sign * value for place, value in multipliers.items()}
        found = bound.proven(multipliers, costs=costs)
        self.reduced, self.loose = found.reduced, [each for each in found.loose if each not in leave]
        self.holding: dict[int, list[tuple[Place, Fraction]]] = {}
        if self.loose:
            self._index()

    def _index(self) -> None:
        """Rows of each column that lacks a bound."""
        for place, row in self.bound.all_rows().items():
            for column, value in row.terms:
                if self.bound.lower[column] is None or self.bound.upper[column] is None:
                    self.holding.setdefault(column, []).append((place, value))

    def run(self) -> dict[Place, float] | None:
        """Return multipliers, in the sense of the program, or ``None`` where no way was found."""
        waiting, moves = list(self.loose), _MOVES * len(self.loose)
        while waiting and moves:
            moves -= 1
            column = waiting.pop()
            if not self._is_wrong(column, self.reduced.get(column, Fraction(0))):
                continue
            broken = self._set_right(column)
            if broken is None:
                return None
            waiting += broken
        if waiting:
            return None
        return {place: self.bound.sign * value for place, value in self.y.items() if value}

    def _is_wrong(self, column: int, cost: Fraction) -> bool:
        if column in self.leave:
            return False
        return bool(cost) and (self.bound.upper if cost > 0 else self.bound.lower)[column] is None

    def _set_right(self, column: int) -> list[int] | None:
        """Move the multiplier that breaks least; return what it breaks."""
        best: tuple[Place, float, list[int]] | None = None
        for place, value in self.holding.get(column, ()):
            row = self.bound.row(place)
            y = self._moved(column, row, self.y.get(place, 0.0), value)
            if y is None:
                continue
            broken = self._broken(row, Fraction(y) - Fraction(self.y.get(place, 0.0)))
            if best is None or len(broken) < len(best[2]):
                best = (place, y, broken)
            if not broken:
                break
        if best is None:
            return None
        place, y, broken = best
        step = Fraction(y) - Fraction(self.y.get(place, 0.0))
        for other, value in self.bound.row(place).terms:
            self.reduced[other] = self.reduced.get(other, Fraction(0)) - step * value
        self.y[place] = y
        return broken

    def _moved(self, column: int, row: Row, old: float, value: Fraction) -> float | None:
        """The nearest multiplier of a row under which a column's reduced cost has the right sign."""
        cost = self.reduced[column]
        step = cost / value
        try:
            y = float(Fraction(old) + step)
        except OverflowError:
            return None
        towards = math.inf if step > 0 else -math.inf
        for _ in range(_STEPS):
            if (y > 0.0 and row.upper is None) or (y < 0.0 and row.lower is None) or not math.isfinite(y):
                return None
            if not self._is_wrong(column, cost - (Fraction(y) - Fraction(old)) * value):
                return y
            y = math.nextafter(y, towards)
        return None

    def _broken(self, row: Row, step: Fraction) -> list[int]:
        """Columns of a row that a step of its multiplier would make earn without end."""
        zero = Fraction(0)
        return [
            column
            for column, value in row.terms
            if column in self.holding
            and self._is_wrong(column, self.reduced.get(column, zero) - step * value)
            and not self._is_wrong(column, self.reduced.get(column, zero))
        ]
