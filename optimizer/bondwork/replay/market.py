"""A proof market like Boundless, drawn from a seed: orders, rivals, and what would become of each order.

Magnitudes are those of the real market's contracts and production configurations: 1,000 to 4,000
megacycles, a few up to 42,000; prices that rise for 600 s and 2 s a megacycle (at most 2 h) to 2.5e-8 to 1e-7
ETH a megacycle; locks of 1,800 s and 7 s a megacycle (at most 4 h); 15 to 100 ZKC of collateral, all of it
lost on a missed deadline; provers of 2.8 to 11 MHz. What nobody publishes is our choice, and stands in
`MarketLaw`: how often orders fail and on what that depends, how fast rivals are, and what a ZKC is worth.

Everything random about an order is drawn with it, whoever takes it and whenever: policies that are run on one
market see the same random numbers.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bondwork.arrays import FloatArray, IntArray, freeze_fields
from bondwork.market.locking import Ramp
from bondwork.problem.faults import Fault, InvalidInput
from bondwork.uncertainty.seeds import Seed, seed_sequence, stream

_ORDERS, _REQUESTORS, _RIVALS, _OUTCOMES, _CONGESTION = range(5)

#: Seconds of the grid on which congestion changes.
GRID = 600.0

#: Price of a megacycle: nothing is below the floor, one in a hundred is above the high one. ETH.
FLOOR_PRICE, HIGH_PRICE = 2.5e-8, 1e-7

#: Fields of a law that must be more than 0.
_POSITIVE = ("orders", "load", "slots", "collateral", "zkc", "step", "requestors", "slower", "odds")

#: Collateral of an order in ZKC, and how many orders ask for it.
COLLATERAL, COLLATERAL_SHARE = (15.0, 40.0, 100.0), (0.5, 0.3, 0.2)


@dataclass(frozen=True, slots=True)
class MarketLaw:
    """What a market is like. Policies know what a prover knows: the second group of fields not.

    Attributes
    ----------
    orders
        How many come.
    load
        Work that comes over work that all our provers could do.
    speeds
        Of our provers, MHz.
    slots
        Orders that a prover may hold at once.
    collateral
        ZKC of each prover; what is slashed is put back from outside.
    zkc
        ETH that a ZKC is worth.
    energy, gas
        ETH that a megacycle and a lock cost.
    step
        Seconds between two decisions.
    requestors
        How many there are; each has a class.
    classes
        Share of the requestors, and chance that a proof of theirs fails.
    congestion, calm
        Mean seconds that congestion lasts and stays away; it is the same for all provers.
    slower, odds
        In congestion work takes so much longer, and the odds of failure are so much higher.
    overrun
        Standard deviation of the logarithm of the time of a proof over its nominal time.
    rival_price, rival_spread
        Price of a megacycle at which the first rival takes an order: median, deviation of its logarithm.
    rival_delay
        Mean seconds that a rival takes from there.
    """

    orders: int = 10_000
    load: float = 3.0
    speeds: tuple[float, ...] = (2.8, 3.5, 4.5, 5.5, 7.0, 8.5, 10.0, 11.0)
    slots: int = 3
    collateral: float = 400.0
    zkc: float = 4e-5
    energy: float = 5e-9
    gas: float = 2e-6
    step: float = 120.0
    requestors: int = 40
    classes: tuple[tuple[float, float], ...] = ((0.7, 0.01), (0.2, 0.06), (0.1, 0.3))
    congestion: float = 1800.0
    calm: float = 14_400.0
    slower: float = 1.5
    odds: float = 2.0
    overrun: float = 0.15
    rival_price: float = 4.5e-8
    rival_spread: float = 0.35
    rival_delay: float = 60.0

    def __post_init__(self) -> None:
        faults = [
            Fault(name, f"{getattr(self, name):g}", "more than 0")
            for name in _POSITIVE
            if not getattr(self, name) > 0
        ]
        if not self.speeds or min(self.speeds) <= 0.0:
            faults.append(Fault("speeds", str(self.speeds), "at least one, all more than 0"))
        if abs(sum(share for share, _ in self.classes) - 1.0) > 1e-9:
            faults.append(Fault("classes", str(self.classes), "shares that add up to 1"))
        if faults:
            raise InvalidInput(faults)

    @property
    def provers(self) -> int:
        """How many there are."""
        return len(self.speeds)


@dataclass(frozen=True, slots=True, eq=False)
class Orders:
    """All orders of a market by arrival, arrays of shape (n,). The second group is hidden from policies.

    Attributes
    ----------
    at
        Clock time at which an order comes; its price begins to rise.
    mcycles
        Work.
    low, high
        ETH at first and after the ramp.
    ramp
        Seconds that the price rises.
    deadline
        Clock time until which it can be locked and has to be delivered.
    collateral
        ZKC.
    requestor
        Number of who asks.
    rival_at
        When a rival locks it, unless somebody did before; ``inf``: none wants it.
    uniform
        The proof fails if this is below its chance of failure.
    overrun
        Time of the proof over its nominal time, congestion left aside.
    fails
        Chance of failure without congestion.
    """

    at: FloatArray
    mcycles: FloatArray
    low: FloatArray
    high: FloatArray
    ramp: FloatArray
    deadline: FloatArray
    collateral: FloatArray
    requestor: IntArray
    rival_at: FloatArray
    uniform: FloatArray
    overrun: FloatArray
    fails: FloatArray

    def __post_init__(self) -> None:
        freeze_fields(self, *self.__slots__)

    def __len__(self) -> int:
        return len(self.at)

    def prices(self, which: IntArray) -> Ramp:
        """How the prices of some orders move."""
        return Ramp(self.at[which], self.ramp[which], self.low[which], self.high[which])


@dataclass(frozen=True, slots=True, eq=False)
class Market:
    """A market: its law, its orders, and when it is congested (by `GRID` seconds)."""

    law: MarketLaw
    orders: Orders
    congested: FloatArray

    def is_congested(self, at: float) -> bool:
        """Whether work that begins then is slow."""
        return bool(self.congested[min(int(at / GRID), len(self.congested) - 1)])

    def outcome(self, order: int, prover: int, start: float) -> tuple[float, bool]:
        """When a proof that begins then ends, and whether it is delivered in time.

        A proof that is late is given up at the deadline.
        """
        law, orders = self.law, self.orders
        slow = self.is_congested(start)
        seconds = float(orders.mcycles[order] / law.speeds[prover] * orders.overrun[order])
        finish = start + seconds * (law.slower if slow else 1.0)
        fails = float(orders.fails[order])
        if slow:
            fails = law.odds * fails / (1.0 - fails + law.odds * fails)
        deadline = float(orders.deadline[order])
        good = bool(orders.uniform[order] >= fails) and finish <= deadline
        return min(finish, max(start, deadline)), good


def draw_market(law: MarketLaw, seed: Seed) -> Market:
    """Draw a market; the same law and seed give the same one.

    Examples
    --------
    >>> market = draw_market(MarketLaw(orders=500), 0)
    >>> bool(market.orders.mcycles.min() >= 1000.0), bool(market.orders.mcycles.max() <= 42_000.0)
    (True, True)
    """
    root = seed_sequence(seed)
    rng, n = stream(root, _ORDERS), law.orders
    small, large = rng.uniform(1000.0, 4000.0, n), np.exp(rng.uniform(np.log(4000.0), np.log(42_000.0), n))
    mcycles = np.where(rng.random(n) < 0.95, small, large)
    horizon = mcycles.sum() / (law.load * sum(law.speeds))
    at = np.sort(rng.uniform(0.0, horizon, n))
    median = np.sqrt(FLOOR_PRICE * HIGH_PRICE)
    spread = np.log(HIGH_PRICE / median) / 2.3263478740408408  # the 99th percentile of a normal law
    per_mcycle = np.maximum(median * np.exp(spread * rng.standard_normal(n)), FLOOR_PRICE)
    high = per_mcycle * mcycles
    low = high * rng.uniform(0.0, 0.5, n)
    ramp = np.minimum(600.0 + 2.0 * mcycles, 7200.0)
    deadline = at + np.minimum(1800.0 + 7.0 * mcycles, 14_400.0)
    collateral = rng.choice(COLLATERAL, n, p=COLLATERAL_SHARE)
    requestor, fails = _requestors(law, root, n)
    draws = stream(root, _OUTCOMES)
    orders = Orders(
        at=at,
        mcycles=mcycles,
        low=low,
        high=high,
        ramp=ramp,
        deadline=deadline,
        collateral=collateral,
        requestor=requestor,
        rival_at=_rivals(law, stream(root, _RIVALS), at, ramp, low, high, mcycles),
        uniform=draws.random(n),
        overrun=np.exp(law.overrun * draws.standard_normal(n)),
        fails=fails,
    )
    return Market(law, orders, _congestion(law, stream(root, _CONGESTION), float(deadline.max())))


def _requestors(law: MarketLaw, root: np.random.SeedSequence, n: int) -> tuple[IntArray, FloatArray]:
    """Who asks for each order, some often and some rarely, and how often their proofs fail."""
    rng = stream(root, _REQUESTORS)
    shares, chances = (np.array(each) for each in zip(*law.classes, strict=True))
    kind = np.searchsorted(np.cumsum(shares), (np.arange(law.requestors) + 0.5) / law.requestors)
    kind = rng.permutation(np.minimum(kind, len(shares) - 1))
    weight = rng.exponential(1.0, law.requestors)
    requestor: IntArray = rng.choice(law.requestors, n, p=weight / weight.sum())
    return requestor, chances[kind[requestor]].astype(float)


def _rivals(
    law: MarketLaw,
    rng: np.random.Generator,
    at: FloatArray,
    ramp: FloatArray,
    low: FloatArray,
    high: FloatArray,
    mcycles: FloatArray,
) -> FloatArray:
    """When the first rival locks each order: once the price is what it wants, and a little later."""
    n = len(at)
    wanted = law.rival_price * np.exp(law.rival_spread * rng.standard_normal(n)) * mcycles
    delay = rng.exponential(law.rival_delay, n)
    share = np.clip((wanted - low) / (high - low), 0.0, None)
    when: FloatArray = np.where(share <= 1.0, at + share * ramp + delay, np.inf)
    return when


def _congestion(law: MarketLaw, rng: np.random.Generator, until: float) -> FloatArray:
    """A chain of two states on the grid, begun at its long-run law."""
    cells = int(until / GRID) + 2
    begin, end = min(GRID / law.calm, 1.0), min(GRID / law.congestion, 1.0)
    draws = rng.random(cells)
    path = np.zeros(cells)
    path[0] = draws[0] < begin / (begin + end)
    for cell in range(1, cells):
        path[cell] = draws[cell] >= end if path[cell - 1] else draws[cell] < begin
    return path
