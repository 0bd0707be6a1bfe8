"""The bound of multipliers of tasks, for `verify`: a knapsack for each executor.

With a multiplier u of every task's row (>= 0 where the task may be left), no plan earns more than

    sum of u  +  sum over executors of the most that (worth - u) comes to within the executor's own limits

beside what linking limits (stake, losses of operators and of the network, tails) add and cost. The most is
that of a knapsack, which no multipliers of its rows reach: such a bound is better than the relaxation's.
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import TYPE_CHECKING, Final

import numpy as np

from bondwork.plan.certificate import BadCertificate
from bondwork.plan.recount_knapsack import most_of_knapsack
from bondwork.plan.recount_usage import Usage

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bondwork.arrays import BoolArray, FloatArray, IntArray
    from bondwork.plan.certificate import Entry
    from bondwork.plan.recount_columns import Columns
    from bondwork.plan.recount_rooms import Rooms

#: Partial choices that all knapsacks look at together, and one of them.
_MOST_WORK: Final = 3_000_000
_MOST_EACH: Final = 500_000

#: Limits of a knapsack that are looked at: those with the dearest room; more are left out, which is an upper
#: bound all the same.
_MOST_ROWS: Final = 6

#: In place of an executor: a team of several.
_SEVERAL: Final = np.iinfo(np.int64).min

#: Share by which weights are taken too low, for the rounding of what they are made of.
_LOW: Final = 1.0 - 2.0**-50


class Blocks:
    """Executors with what they may choose from.

    Parameters
    ----------
    columns
        The teams that a round can choose from. Those of several executors count as if these had no limits.
    rooms
        What its limits leave.
    entries
        Multipliers of tasks and of limits.

    Attributes
    ----------
    linking
        Entries of limits that are no executor's own.

    Raises
    ------
    BadCertificate
        A multiplier of no task of the round, or of a limit that it does not have.
    """

    def __init__(self, columns: Columns, rooms: Rooms, entries: Sequence[Entry]) -> None:
        self.columns, self.rooms = columns, rooms
        instance = columns.round.instance
        self.price = np.zeros(len(instance.tasks))
        self.total = Fraction(0)
        self.linking: list[Entry] = []
        self.own: dict[tuple[bool, int], list[Entry]] = {}
        for each in entries:
            if each.word == "task":
                self._take(each)
            elif (whose := self._executor(each)) is None:
                self.linking.append(each)
            elif each.y > 0.0:
                self.own.setdefault(whose, []).append(each)

    def _take(self, entry: Entry) -> None:
        task = int(entry.about[0])
        if not 0 <= task < len(self.price) or self.price[task]:
            raise BadCertificate(f"no task {task} of the round, or twice")
        self.price[task] = entry.y
        self.total += Fraction(entry.y)

    def _executor(self, entry: Entry) -> tuple[bool, int] | None:
        """Whether it is a coprocessor and which, of a limit of an executor's own."""
        if entry.word in ("capacity", "collateral", "deadline"):
            return True, int(entry.about[0])
        if entry.word == "own_capacity":
            return False, int(entry.about[0])
        risk, number = self.columns.round.instance.risk, int(entry.about[0]) if entry.about else -1
        is_own = entry.word == "expected" and 0 <= number < len(risk)
        if is_own and risk[number].scope == "coprocessor":
            return True, int(entry.about[1])
        return None

    def most(self, worth: FloatArray, required: BoolArray) -> Fraction:
        """Sum of the multipliers of tasks and of the most of each executor.

        Parameters
        ----------
        worth
            Shape (n,). What columns are worth at the prices of linking limits, not too low.
        required
            Shape (T,). Tasks that somebody must do.
        """
        if np.any((self.price < 0.0) & ~required):
            raise BadCertificate("a multiplier < 0 of a task that may be left")
        columns, offers = self.columns, self.columns.round.instance.offers
        profit = worth - self.price[columns.task]
        profit += np.spacing(np.abs(profit))
        if not np.all(np.isfinite(profit)):
            raise OverflowError
        executor = np.where(
            offers.coprocessor[columns.first] >= 0,
            offers.coprocessor[columns.first],
            -1 - offers.operator[columns.first],
        )
        executor[np.diff(columns.start) > 1] = _SEVERAL
        usage = Usage(columns)
        priced = np.zeros(len(columns), dtype=bool)
        total = self.total
        wanted = profit > 0.0
        work = min(_MOST_EACH, _MOST_WORK // max(len(self.own), 1))
        for (delegated, who), rows in self.own.items():
            mine = np.flatnonzero(executor == (who if delegated else -1 - who))
            priced[mine] = True
            mine = mine[wanted[mine]]
            total += Fraction(self._knapsack(usage, mine, profit[mine], rows, work))
        free = profit[wanted & ~priced].tolist()
        return total + Fraction(math.fsum(free) * (1.0 + 2.0**-50))

    def _knapsack(
        self, usage: Usage, mine: IntArray, profit: FloatArray, rows: list[Entry], work: int
    ) -> float:
        found = [(*self.rooms.of(each), each.y) for each in rows]
        found.sort(key=lambda each: -each[3] * float(each[2]))
        weight, room, price = np.zeros((len(mine), 0)), [], []
        money = 10.0**-usage.instance.decimals
        for word, about, left, y in found[:_MOST_ROWS]:
            columns, amounts = usage.of(word, about)
            taken = np.zeros(len(usage.columns))
            # a ledger may count half a unit less than was written
            taken[columns] = np.maximum(amounts * _LOW - (money if word == "collateral" else 0.0), 0.0)
            weight = np.column_stack([weight, taken[mine]])
            room.append(np.nextafter(float(left), np.inf))
            price.append(y)
        most = most_of_knapsack(profit, weight, np.array(room), np.array(price), work)
        if not math.isfinite(most):
            raise OverflowError
        return most
