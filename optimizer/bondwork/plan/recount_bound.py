"""A bound recomputed from a round and the multipliers of a certificate: no solver, nothing rounded inward.

Weak duality. Whatever the multipliers y >= 0 of limits ``used <= room`` are, no plan earns more than

    sum of y * room  +  sum over tasks of the largest of (worth of a team - sum of y * what it takes)

where a task that may be left counts with 0 at least, and what is earned whatever is chosen is added. The sum
is one of fractions: doubles serve to find the few teams that can be the best of their task, with a bound on
their error, and those are worked out exactly (A. Neumaier & O. Shcherbina, "Safe bounds in linear and
mixed-integer linear programming", Mathematical Programming 99 (2004) 283-296, round outward instead).
"""

from __future__ import annotations

import math
from collections import defaultdict
from fractions import Fraction
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

import numpy as np

from bondwork.plan.certificate import BadCertificate
from bondwork.plan.recount_blocks import Blocks
from bondwork.plan.recount_columns import Columns, PricedColumns, Prices
from bondwork.plan.recount_load_bound import most_of, reach_of
from bondwork.plan.recount_loads import LoadRecount
from bondwork.plan.recount_rooms import Rooms
from bondwork.plan.recount_tail_prices import TailPrices

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from bondwork.arrays import BoolArray, FloatArray
    from bondwork.plan.certificate import Entry
    from bondwork.plan.recount import Recount

NOTHING = Fraction(0)

#: Teams worked out exactly before ties are taken at the upper end of their error instead.
MOST_EXACT = 20_000

#: Words of limits on the tail.
_TAIL = frozenset({"mean_risk", "cvar", "worst_case", "chance", "solvency", "ambiguous"})


class BoundProof(Protocol):
    """What multipliers prove about a round, whatever its stages."""

    def bound(self, entries: Sequence[Entry]) -> Fraction | None:
        """No plan earns more than this; ``None`` where a required task has nobody who could do it.

        Raises
        ------
        BadCertificate
            An entry is about nothing in the round.
        """
        ...

    def refutes(self, entries: Sequence[Entry]) -> bool:
        """Whether the multipliers prove that no plan meets all limits."""
        ...


class BoundRecount:
    """Bounds of one round of one stage from multipliers.

    Parameters
    ----------
    recount
        The round.
    ceilings
        What tail limits may be where calibration moved them, by number of the limit and member.
    """

    def __init__(self, recount: Recount, ceilings: Mapping[tuple[int, int], float] | None = None) -> None:
        self.round = recount
        self.ceilings = ceilings or {}
        self.rooms = Rooms(recount)

    @cached_property
    def columns(self) -> Columns:
        """The teams that can be chosen, found when first asked for: whoever wants others puts them here.

        Raises
        ------
        Uncheckable
            There are too many.
        """
        tails = TailPrices(self.round, [], self.ceilings, None)
        return Columns(self.round, self.rooms, tails.break_alone)

    def bound(self, entries: Sequence[Entry]) -> Fraction | None:
        """No plan earns more than this; ``None`` where a required task has nobody who could do it.

        Raises
        ------
        BadCertificate
            An entry is about nothing in the round.
        """
        return self._evaluate(entries, earning=True)

    def refutes(self, entries: Sequence[Entry]) -> bool:
        """Whether the multipliers prove that no plan meets all limits.

        With nothing earned by anybody, a bound below 0 says that there is none.
        """
        bound = self._evaluate(entries, earning=False)
        return bound is None or bound < 0

    def priced(self, entries: Sequence[Entry], *, earning: bool = True) -> tuple[Fraction, PricedColumns]:
        """Return what a bound is made of: what is added whatever is chosen, and the teams at their prices."""
        instance = self.round.instance
        weight = Fraction(instance.objective.risk_weight) if earning else NOTHING
        share = 1 - weight if earning else NOTHING
        constant, prices = self._rows(entries)
        risk = (weight, instance.objective.risk_level) if weight else None
        tails = TailPrices(self.round, [e for e in entries if e.word in _TAIL], self.ceilings, risk)
        constant += tails.constant
        if earning:
            constant += self._loads(entries, prices, share)
            cost = instance.tasks.unassigned_cost.tolist()
            open_ = (Fraction(each) for task, each in enumerate(cost) if task not in self.round.committed)
            constant -= share * sum(open_, NOTHING)
        return constant, PricedColumns(self.columns, prices, tails, share)

    def _evaluate(self, entries: Sequence[Entry], *, earning: bool) -> Fraction | None:
        if any(each.node for each in entries):
            raise BadCertificate("the round has one stage, and no nodes")
        if any(each.word == "task" for each in entries):
            return self._by_executor(entries, earning=earning)
        constant, priced = self.priced(entries, earning=earning)
        gains = self._gains(priced)
        return None if gains is None else constant + gains

    def required(self) -> BoolArray:
        """Tasks that somebody must do. Shape (T,)."""
        required: BoolArray = self.round.instance.tasks.required.copy()
        required[list(self.round.committed)] = False
        return required

    def _by_executor(self, entries: Sequence[Entry], *, earning: bool) -> Fraction | None:
        """The bound with multipliers of tasks: each executor's own limits are those of a knapsack."""
        blocks = Blocks(self.columns, self.rooms, entries)
        constant, priced = self.priced(blocks.linking, earning=earning)
        if self._nobody_for(self.required()):
            return None
        worth, error = priced.rough()
        return constant + blocks.most(worth + error, self.required())

    def _nobody_for(self, required: BoolArray) -> bool:
        """Whether there is a required task without a team."""
        has_team = np.zeros(len(required), dtype=bool)
        has_team[self.columns.task] = True
        return bool(np.any(required & ~has_team))

    # limits

    def _rows(self, entries: Iterable[Entry]) -> tuple[Fraction, dict[str, Prices]]:
        """What the room of all limits costs, and the exact prices of what is taken of them."""
        constant = NOTHING
        prices: dict[str, Prices] = defaultdict(dict)
        for entry in entries:
            y = Fraction(entry.y)
            if entry.word in _TAIL or entry.word == "load" or not y:
                continue
            word, about, room = self.rooms.of(entry)
            constant += y * room
            prices[word][about] = prices[word].get(about, NOTHING) + y
        return constant, prices

    # loads

    def _loads(self, entries: Iterable[Entry], prices: dict[str, Prices], share: Fraction) -> Fraction:
        """Most that load incentives earn beyond what work pays for load; adds that payment to the prices."""
        paid: dict[int, float] = defaultdict(float)
        for entry in entries:
            if entry.word == "load":
                paid[int(entry.about[0])] += entry.y
        total = NOTHING
        for account in LoadRecount(self.round, []).accounts:
            if account.weight == 0.0 or account.scale == 0.0:
                continue
            price = paid.pop(account.coprocessor, 0.0)
            amount = float(share * Fraction(account.weight) * Fraction(account.scale))
            low, high = reach_of(self.round, account)
            total += most_of(account, amount, price, low, high)
            capacity = Fraction(account.capacity)
            start = sum(map(Fraction, account.work), NOTHING) / capacity
            total += Fraction(price) * start
            if price:
                prices["load"][account.coprocessor, account.resource] = Fraction(price) / capacity
        if paid:
            raise BadCertificate(f"coprocessor {min(paid)} has no load incentive")
        return total

    # columns

    def _gains(self, priced: PricedColumns) -> Fraction | None:
        """Sum over tasks of what the best team is worth; ``None`` where a required task has none."""
        columns = self.columns
        required = self.required()
        if self._nobody_for(required):
            return None
        worth, error = priced.rough()
        floor = np.where(required, -np.inf, 0.0)
        np.maximum.at(floor, columns.task, worth - error)
        high = worth + error
        likely = np.flatnonzero((high >= floor[columns.task]) & ((high > 0.0) | required[columns.task]))
        best: dict[int, Fraction] = {}
        for column in self._settled(likely, high):
            task, value = int(columns.task[column]), priced.exact(column)
            if task not in best or value > best[task]:
                best[task] = value
        for task, value in self._outward(likely, high):
            best[task] = max(value, best.get(task, value))
        return sum(
            (value if required[task] else max(value, NOTHING) for task, value in best.items()), NOTHING
        )

    def _settled(self, likely: np.ndarray, high: FloatArray) -> list[int]:
        """Columns to work out exactly: all that may be best, unless ties are too many."""
        if len(likely) <= MOST_EXACT:
            return likely.tolist()  # type: ignore[no-any-return]
        counts = np.bincount(self.columns.task[likely])
        few = counts[self.columns.task[likely]] <= 2
        return likely[few | ~np.isfinite(high[likely])].tolist()  # type: ignore[no-any-return]

    def _outward(self, likely: np.ndarray, high: FloatArray) -> list[tuple[int, Fraction]]:
        """Upper end of the error of the best, for tasks whose ties are not worked out."""
        if len(likely) <= MOST_EXACT:
            return []
        counts = np.bincount(self.columns.task[likely])
        many = likely[(counts[self.columns.task[likely]] > 2) & np.isfinite(high[likely])]
        top = np.full(len(counts), -math.inf)
        np.maximum.at(top, self.columns.task[many], high[many])
        return [(task, Fraction(float(top[task]))) for task in np.unique(self.columns.task[many]).tolist()]
