"""Auctions of all tasks of a round at once: clocks that fall or rise, and sealed bids.

A coprocessor's bid is its reservation price: nobody is paid less, whatever a bidding strategy says. What it
asks, at what load, that strategy says. An
operator never pays more than what the work is worth to it, nor more than the reward.

Ties and simultaneous acceptances are settled by one random order of the offers, drawn from the seed before
the auction begins: whoever stands first in it is served first, everywhere in that auction.

References
----------
G. Rodikov, arXiv 2501.01219 (2025), section 3.2.2, for the falling clock. The rising one is that of
Boundless: the price climbs from its minimum over a ramp and stays there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from bondwork.uncertainty.seeds import seed_sequence, stream

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bondwork.arrays import BoolArray, FloatArray, IntArray
    from bondwork.market.bidding import Bidding
    from bondwork.market.lots import Lots


#: Stream of the tie rule under a seed.
_TIES = 71


def tie_order(seed: int, columns: int) -> IntArray:
    """The tie rule: a random order of the columns. Whoever stands first in it is served first."""
    order: IntArray = stream(seed_sequence(seed), _TIES).permutation(columns)
    return order


class Room(Protocol):
    """Keeps the limits of the round while an auction goes on."""

    def load(self) -> FloatArray:
        """Load of each executor's most used resource, from 0 to 1; 0 where nothing is limited."""
        ...

    def take(self, column: int) -> bool:
        """Award a column if every limit allows it; say whether it did."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Award:
    """What an auction came to.

    Attributes
    ----------
    column
        Shape (k,). Columns that were awarded, in the order of the awards.
    price
        Shape (k,). What is paid for each.
    """

    column: IntArray
    price: FloatArray


class Auction(Protocol):
    """A way to award tasks. ``order`` is the tie rule: columns that stand earlier are served first."""

    def hold(self, lots: Lots, room: Room, bidding: Bidding, order: IntArray) -> Award:
        """Hold the auction."""
        ...


@dataclass(frozen=True, slots=True)
class FallingClock:
    """The paper's modified Dutch auction: the price of each task falls from near its reward until taken.

    A coprocessor takes the first tick at which the clock is at or below what it asks; it is paid the clock's
    price, or what it needs where the clock has just passed that. Idle ones ask more than loaded ones, so they
    stop the clock first; loaded ones wait, or stay away. An operator executes a task itself at the first tick
    that is not below its own cost: nobody asks less.

    Attributes
    ----------
    ticks
        How many times the clock falls, at fixed intervals, to the last price.
    start, end
        First and last price, as shares of the reward.
    """

    ticks: int = 50
    start: float = 1.0
    end: float = 0.0

    def hold(self, lots: Lots, room: Room, bidding: Bidding, order: IntArray) -> Award:
        """See `Auction`."""
        shares = np.linspace(self.start, self.end, self.ticks)
        return _run_clock(lots, room, bidding, order, shares, rising=False)


@dataclass(frozen=True, slots=True)
class RisingClock:
    """The reverse Dutch auction of real markets: the price rises until the first coprocessor takes it.

    What needs least is served first, at the first tick that covers it.

    Attributes
    ----------
    ticks
        How many prices there are, the first and the last included.
    start, end
        First and last price, as shares of the reward.
    """

    ticks: int = 50
    start: float = 0.0
    end: float = 1.0

    def hold(self, lots: Lots, room: Room, bidding: Bidding, order: IntArray) -> Award:
        """See `Auction`."""
        shares = np.linspace(self.start, self.end, self.ticks)
        return _run_clock(lots, room, bidding, order, shares, rising=True)


@dataclass(frozen=True, slots=True)
class SealedBids:
    """Everybody bids once; the offers that leave operators most are awarded first, while they fit.

    Attributes
    ----------
    second_price
        A winner is paid what would make its offer as good as the best other one for the task, or as leaving
        it; else its own bid. Truthful bidding then cannot be improved upon where a task is auctioned alone;
        with limits across tasks it can.
    """

    second_price: bool = False

    def hold(self, lots: Lots, room: Room, bidding: Bidding, order: IntArray) -> Award:
        """See `Auction`."""
        least = np.maximum(lots.bid, bidding.least(lots.bid, room.load()[lots.executor]))
        needed = np.where(lots.is_self, lots.bid, least)
        possible = needed <= lots.reserve
        surplus = np.where(possible, lots.worth - lots.paid * np.where(possible, needed, 0.0), -np.inf)
        ranked = order[np.argsort(-surplus[order], kind="stable")]
        ranked = ranked[possible[ranked]]
        others = _RunnersUp(lots, surplus, ranked) if self.second_price else None
        sold = np.zeros(int(lots.task.max(initial=-1)) + 1, dtype=bool)
        columns, prices = [], []
        for column in ranked.tolist():
            if sold[lots.task[column]] or not room.take(column):
                continue
            sold[lots.task[column]] = True
            price = float(needed[column])
            if others is not None and not lots.is_self[column] and lots.paid[column] > 0.0:
                gain = float(surplus[column]) - max(others.surplus_beside(column), 0.0)
                price = min(price + max(gain, 0.0) / float(lots.paid[column]), float(lots.reward[column]))
            columns.append(column)
            prices.append(price)
        return Award(np.array(columns, dtype=np.int64), np.array(prices))


class _RunnersUp:
    """For every task its possible columns, best surplus first."""

    def __init__(self, lots: Lots, surplus: FloatArray, ranked: IntArray) -> None:
        self.lots = lots
        self.surplus = surplus
        self.columns = ranked[np.argsort(lots.task[ranked], kind="stable")]
        tasks = int(lots.task.max(initial=-1)) + 1
        self.start = np.searchsorted(lots.task[self.columns], np.arange(tasks + 1))

    def surplus_beside(self, column: int) -> float:
        """Best surplus of another executor for the same task; ``-inf`` where there is none."""
        task = self.lots.task[column]
        for other in self.columns[self.start[task] : self.start[task + 1]].tolist():
            if self.lots.executor[other] != self.lots.executor[column]:
                return float(self.surplus[other])
        return -np.inf


def _run_clock(
    lots: Lots, room: Room, bidding: Bidding, order: IntArray, shares: FloatArray, *, rising: bool
) -> Award:
    """Tick by tick: who takes the price, in the tie rule's order, while it fits."""
    unsold = np.ones(int(lots.task.max(initial=-1)) + 1, dtype=bool)
    reserve, columns, prices = lots.reserve, [], []
    for share in shares.tolist():
        clock = share * lots.reward
        load = room.load()[lots.executor]
        needed = np.maximum(lots.bid, bidding.least(lots.bid, load))
        # between two ticks a falling clock passes what is needed without stopping there: nobody takes less
        price = clock if rising else np.maximum(clock, needed)
        ready = clock >= needed if rising else clock <= bidding.ask(lots.bid, load)
        takes = np.where(lots.is_self, lots.bid <= np.minimum(clock, reserve), ready & (price <= reserve))
        for column in _in_order(takes & unsold[lots.task], order):
            if unsold[lots.task[column]] and room.take(column):
                unsold[lots.task[column]] = False
                columns.append(column)
                prices.append(float(lots.bid[column] if lots.is_self[column] else price[column]))
    return Award(np.array(columns, dtype=np.int64), np.array(prices))


def _in_order(takes: BoolArray, order: IntArray) -> Iterator[int]:
    yield from order[takes[order]].tolist()
