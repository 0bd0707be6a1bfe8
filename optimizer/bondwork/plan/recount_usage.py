"""What the teams of a round take of single limits, in doubles, for `verify`: many prices are tried."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from bondwork.arrays import FloatArray, IntArray
    from bondwork.plan.recount_columns import Columns

#: Columns, and what each of them takes.
Taken = tuple["IntArray", "FloatArray"]


class Usage:
    """What columns take of limits.

    Parameters
    ----------
    columns
        The teams that a round can choose from.
    """

    def __init__(self, columns: Columns) -> None:
        self.columns = columns
        self.instance = columns.round.instance

    def of(self, word: str, about: tuple[int | float, ...]) -> Taken:
        """Return who takes of a limit, each column once, and how much.

        Parameters
        ----------
        word, about
            The limit as `bondwork.plan.recount_rooms.Rooms.of` calls it.
        """
        columns, offers = self.columns, self.instance.offers
        who = int(about[0])
        if word in ("stake", "expected operator", "expected network"):
            places = self._by_operator.get(who, _NOBODY)
            if word == "expected network":
                places = np.arange(len(columns))
            slashing = self.instance.claims.slashing[offers.claim[columns.first[places]]]
            return places, slashing if word == "stake" else slashing * (1.0 - columns.success[places])
        mine = (self._by_self if word == "own_capacity" else self._by_coprocessor).get(who, _NOBODY)
        offer, column = columns.member[mine], self._column[mine]
        match word:
            case "collateral":
                return column, offers.collateral[offer]
            case "expected coprocessor":
                slashing = self.instance.claims.slashing[offers.claim[offer]]
                return column, slashing * columns.blame[mine]
            case "deadline":
                due = self.instance.tasks.deadline[offers.task[offer]] <= about[1]
                return column[due], offers.duration[offer[due]]
        return column, offers.work[offer, int(about[1])]

    @cached_property
    def _column(self) -> IntArray:
        """Column of each member."""
        return np.repeat(np.arange(len(self.columns)), np.diff(self.columns.start))

    @cached_property
    def _by_coprocessor(self) -> dict[int, IntArray]:
        return _grouped(self.instance.offers.coprocessor[self.columns.member])

    @cached_property
    def _by_self(self) -> dict[int, IntArray]:
        offers, member = self.instance.offers, self.columns.member
        return _grouped(np.where(offers.coprocessor[member] < 0, offers.operator[member], -1))

    @cached_property
    def _by_operator(self) -> dict[int, IntArray]:
        return _grouped(self.instance.offers.operator[self.columns.first])


_NOBODY: IntArray = np.zeros(0, dtype=np.int64)


def _grouped(owner: IntArray) -> dict[int, IntArray]:
    """Places of each owner; those of nobody, -1, are left out."""
    mine = np.flatnonzero(owner >= 0)
    order = mine[np.argsort(owner[mine], kind="stable")]
    owners, starts = np.unique(owner[order], return_index=True)
    return dict(zip(owners.tolist(), np.split(order, starts[1:]), strict=False))
