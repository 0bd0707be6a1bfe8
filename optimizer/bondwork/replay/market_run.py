"""A market carried through: a policy decides every few minutes, rivals lock, proofs end."""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np

from bondwork.base.statistics import cvar

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bondwork.arrays import FloatArray, IntArray
    from bondwork.replay.market import Market


class Ended(NamedTuple):
    """A proof of ours that ended: order, prover, begin and end on the clock, delivered in time or not."""

    order: int
    prover: int
    start: float
    end: float
    good: bool


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """What a prover sees when it decides.

    Attributes
    ----------
    now
        Clock time.
    open
        Orders that nobody has locked and whose deadline is to come, by arrival.
    price
        Shape of ``open``. ETH, now.
    free_at
        By prover: when it will have done what it holds, if all takes its nominal time.
    slots, collateral
        By prover: orders that it may still take; ZKC that it has left.
    ended
        Proofs of ours that ended since the last decision.
    lost
        Orders that rivals locked since then, and when.
    """

    now: float
    open: IntArray
    price: FloatArray
    free_at: FloatArray
    slots: IntArray
    collateral: FloatArray
    ended: Sequence[Ended]
    lost: Sequence[tuple[int, float]]


class MarketPolicy(Protocol):
    """Decides which orders to lock now. One is made for each market: it may remember what it saw."""

    def decide(self, view: View) -> Sequence[tuple[int, int]]:
        """Orders and provers, in the order in which they are queued. What does not fit is left out."""
        ...


@dataclass(slots=True)
class _Prover:
    """What a prover holds: each order's begin and end as they will be, and its nominal time."""

    speed: float
    slots: int
    collateral: float
    held: list[tuple[float, float, float]] = field(default_factory=list)

    def free_at(self, now: float) -> float:
        """When it would be free by nominal times; work that should be over may end at any moment."""
        left = 0.0
        for start, _, seconds in self.held:
            left += min(max(start + seconds - now, 0.0), seconds)
        return now + left

    def truly_free_at(self, now: float) -> float:
        """When it is free in truth."""
        return max(now, self.held[-1][1]) if self.held else now


@dataclass(frozen=True, slots=True)
class MarketResult:
    """What a policy came to on a market. ETH, except that counts are counts.

    Attributes
    ----------
    profit
        Prices of what was delivered, less energy, gas and what was slashed.
    slashed
        Worth of the collateral lost.
    by_hour
        Shape (hours, 2). Profit and slashing of the orders locked in each hour.
    locked, delivered, failed, late
        Orders; ``late`` is a part of ``failed``.
    utilisation
        Share of the provers' time that was spent on proofs, up to the last arrival.
    """

    profit: float
    slashed: float
    by_hour: FloatArray
    locked: int
    delivered: int
    failed: int
    late: int
    utilisation: float

    def cvar(self, level: float = 0.95) -> float:
        """Mean slashing of the worst hours."""
        return float(cvar(self.by_hour[:, 1], level))


class _World:
    """The state of a market while a policy is carried through it."""

    def __init__(self, market: Market) -> None:
        self.market, law = market, market.law
        self.provers = [_Prover(speed, law.slots, law.collateral) for speed in law.speeds]
        self.open: list[int] = []
        self.next = 0
        self.running: list[tuple[float, int, Ended]] = []
        self.done: list[Ended] = []
        self.price_of: dict[int, tuple[float, float]] = {}
        end = float(market.orders.at[-1])
        self.by_hour = np.zeros((int(end / 3600.0) + 1, 2))
        self.busy = 0.0
        self.until = end

    def view(self, now: float) -> View:
        """Let time pass up to ``now``, and look."""
        orders = self.market.orders
        while self.next < len(orders) and orders.at[self.next] <= now:
            self.open.append(self.next)
            self.next += 1
        ended = self._end(now)
        lost = [(i, float(orders.rival_at[i])) for i in self.open if orders.rival_at[i] <= now]
        gone = {i for i, _ in lost}
        self.open = [i for i in self.open if i not in gone and orders.deadline[i] > now]
        which = np.array(self.open, dtype=np.int64)
        return View(
            now,
            which,
            orders.prices(which).price(now),
            np.array([each.free_at(now) for each in self.provers]),
            np.array([each.slots - len(each.held) for each in self.provers]),
            np.array([each.collateral for each in self.provers]),
            ended,
            lost,
        )

    def _end(self, now: float) -> list[Ended]:
        """Settle proofs that ended."""
        found = []
        while self.running and self.running[0][0] <= now:
            ended = heapq.heappop(self.running)[2]
            prover = self.provers[ended.prover]
            prover.held.pop(0)  # they are done in turn
            prover.collateral += float(self.market.orders.collateral[ended.order])
            self._book(ended)
            found.append(ended)
        return found

    def _book(self, ended: Ended) -> None:
        orders, law = self.market.orders, self.market.law
        price, at = self.price_of.pop(ended.order)
        slashed = 0.0 if ended.good else float(orders.collateral[ended.order]) * law.zkc
        cost = law.gas + law.energy * float(orders.mcycles[ended.order])
        hour = min(int(at / 3600.0), len(self.by_hour) - 1)
        self.by_hour[hour] += (price if ended.good else 0.0) - cost - slashed, slashed
        self.busy += max(min(ended.end, self.until) - min(ended.start, self.until), 0.0)
        self.done.append(ended)

    def lock(self, order: int, prover: int, now: float) -> bool:
        """Lock an order and queue its proof, where there is room; say whether."""
        held, orders = self.provers[prover], self.market.orders
        collateral = float(orders.collateral[order])
        if len(held.held) >= held.slots or collateral > held.collateral + 1e-9 or order not in self.open:
            return False
        start = held.truly_free_at(now)
        end, good = self.market.outcome(order, prover, start)
        held.held.append((start, end, float(orders.mcycles[order]) / held.speed))
        held.collateral -= collateral
        self.open.remove(order)
        price = float(orders.prices(np.array([order])).price(now)[0])
        self.price_of[order] = (price, now)
        heapq.heappush(self.running, (end, order, Ended(order, prover, start, end, good)))
        return True


def run_market(market: Market, policy: MarketPolicy) -> MarketResult:
    """Carry a policy through a market to the end of its last proof.

    Nothing of a policy reaches the orders, the rivals or the outcomes of proofs, except by when and where a
    proof begins: two policies on one market differ by what they decide alone.
    """
    world, step = _World(market), market.law.step
    for number in range(int(world.until / step) + 2):
        view = world.view(number * step)
        for order, prover in policy.decide(view):
            world.lock(order, prover, view.now)
    world.view(np.inf)
    deadline = market.orders.deadline
    profit, slashed = world.by_hour.sum(axis=0).tolist()
    failed = [each for each in world.done if not each.good]
    return MarketResult(
        profit,
        slashed,
        world.by_hour,
        len(world.done),
        len(world.done) - len(failed),
        len(failed),
        sum(each.end >= deadline[each.order] for each in failed),
        world.busy / (world.until * market.law.provers),
    )
