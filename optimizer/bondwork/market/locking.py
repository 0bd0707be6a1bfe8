"""When to lock an order whose price rises while others may lock it first.

Waiting earns a higher price and risks the order. With ``h`` the rate at which rivals lock it, what is
expected of locking at time t is::

    V(t) = exp(-integral of h from now to t) * (p * price(t) - K)
    K    = cost + (1 - p) * slashing + opportunity

On the ramp the price is linear, so V is stationary where ``h(t) * (p*price(t) - K)``, the rate at which
waiting loses the order's worth, equals ``p`` times the slope, the rate at which waiting raises it. The left
side only grows while the order is worth anything, so there is one such time: for a constant rate, with A the
worth at the start of the ramp and B = p * slope,

    t - start = 1/h - A/B

and for a rate that rises with the price, the larger root of a quadratic. Before and after the ramp the price
stands still and waiting earns nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from bondwork.arrays import FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class Ramp:
    """Prices that stand still, rise linearly, and stand still again. Arrays of one shape, or numbers.

    Attributes
    ----------
    start, period
        Clock time at which the price begins to rise, and seconds that it rises for.
    low, high
        Price before and after.
    """

    start: ArrayLike
    period: ArrayLike
    low: ArrayLike
    high: ArrayLike

    def share(self, at: ArrayLike) -> FloatArray:
        """How far up the ramp a time is, from 0 to 1."""
        start, period = np.asarray(self.start, dtype=float), np.asarray(self.period, dtype=float)
        at = np.asarray(at, dtype=float)
        steep = np.where(at >= start, 1.0, 0.0)
        share: FloatArray = np.where(
            period > 0.0, np.clip((at - start) / np.where(period > 0.0, period, 1.0), 0.0, 1.0), steep
        )
        return share

    def price(self, at: ArrayLike) -> FloatArray:
        """Price at a time.

        Examples
        --------
        >>> Ramp(start=100, period=50, low=2, high=6).price([0, 125, 1000])
        array([2., 4., 6.])
        """
        low, high = np.asarray(self.low, dtype=float), np.asarray(self.high, dtype=float)
        price: FloatArray = low + (high - low) * self.share(at)
        return price

    def climbed(self, at: ArrayLike) -> FloatArray:
        """Integral of `share` up to a time, in seconds."""
        start, period = np.asarray(self.start, dtype=float), np.asarray(self.period, dtype=float)
        after = np.maximum(np.asarray(at, dtype=float) - start, 0.0)
        on_ramp = np.minimum(after, period)
        climbed: FloatArray = on_ramp**2 / (2.0 * np.where(period > 0.0, period, 1.0)) + (after - on_ramp)
        return climbed


@dataclass(frozen=True, slots=True, eq=False)
class Rivals:
    """Rate at which somebody else locks an order: ``base + rise * share of the ramp``, per second."""

    base: ArrayLike = 0.0
    rise: ArrayLike = 0.0

    def survival(self, ramp: Ramp, now: ArrayLike, at: ArrayLike) -> FloatArray:
        """Probability that an order that is open ``now`` still is at a later time."""
        now, at = np.asarray(now, dtype=float), np.asarray(at, dtype=float)
        passed = np.asarray(self.base, dtype=float) * (at - now)
        passed = passed + np.asarray(self.rise, dtype=float) * (ramp.climbed(at) - ramp.climbed(now))
        survival: FloatArray = np.exp(-passed)
        return survival


@dataclass(frozen=True, slots=True, eq=False)
class LockTimes:
    """When to lock each order, and what to expect of it; ``nan`` and 0 where no time is worth it.

    Attributes
    ----------
    at
        Clock time.
    price
        Price then.
    survival
        Probability that it is still open then.
    value
        Expected net reward, in currency.
    """

    at: FloatArray
    price: FloatArray
    survival: FloatArray
    value: FloatArray


def lock_value(
    ramp: Ramp,
    rivals: Rivals,
    at: ArrayLike,
    *,
    now: ArrayLike,
    success: ArrayLike,
    cost: ArrayLike = 0.0,
    slashing: ArrayLike = 0.0,
    opportunity: ArrayLike = 0.0,
) -> FloatArray:
    """Expected net reward of the decision to lock at a time; see `best_lock` for the parameters."""
    success = np.asarray(success, dtype=float)
    worth = success * ramp.price(at) - _owed(success, cost, slashing, opportunity)
    value: FloatArray = rivals.survival(ramp, now, at) * worth
    return value


def best_lock(
    ramp: Ramp,
    rivals: Rivals,
    *,
    now: ArrayLike,
    latest: ArrayLike,
    success: ArrayLike,
    cost: ArrayLike = 0.0,
    slashing: ArrayLike = 0.0,
    opportunity: ArrayLike = 0.0,
) -> LockTimes:
    """Find when to lock each order.

    Parameters
    ----------
    ramp, rivals
        Prices, and the rate at which others lock.
    now
        Clock time; orders are open now.
    latest
        Last time at which locking still leaves enough time for the work.
    success
        Probability that the work is done in time, once locked.
    cost
        Paid if the order is locked, whatever comes of it: gas, energy.
    slashing
        Lost if the work is not done in time.
    opportunity
        What else the capacity would earn: shadow price of a second of it times the seconds of the work.

    Returns
    -------
    LockTimes
        Of the broadcast shape of all arguments. Of two times worth the same, the earlier.

    Notes
    -----
    Exact for this law. It decides each order by itself: that two orders wait for the same capacity only
    ``opportunity`` knows. When not to use it: where rivals are few and known, their next lock is a game and
    no rate.

    Examples
    --------
    A rival every 100 seconds on average: after 75 of the 300 seconds of the ramp another second is worth less
    than the risk.

    >>> ramp = Ramp(start=0, period=300, low=1, high=13)
    >>> best = best_lock(ramp, Rivals(base=0.01), now=0, latest=1000, success=1.0)
    >>> float(best.at), float(best.price), round(float(best.survival), 3)
    (75.0, 4.0, 0.472)
    """
    now, latest, success = (np.asarray(each, dtype=float) for each in (now, latest, success))
    owed = _owed(success, cost, slashing, opportunity)
    start, period = np.asarray(ramp.start, dtype=float), np.asarray(ramp.period, dtype=float)
    wait = _stationary(ramp, rivals, success, owed)
    with np.errstate(invalid="ignore"):  # an infinite wait on a ramp of no length
        later = np.minimum(np.maximum(start + np.minimum(wait, period), now), latest)
    candidates = np.broadcast_arrays(now, later)
    values = [
        lock_value(
            ramp,
            rivals,
            each,
            now=now,
            success=success,
            cost=cost,
            slashing=slashing,
            opportunity=opportunity,
        )
        for each in candidates
    ]
    first, second = np.broadcast_arrays(*values)
    value = np.maximum(first, second)
    at = np.where(second > first, candidates[1], candidates[0])
    is_open = (latest >= now) & (value > 0.0)
    at, value = np.where(is_open, at, np.nan), np.where(is_open, value, 0.0)
    price = np.where(is_open, ramp.price(np.where(is_open, at, now)), np.nan)
    survival = np.where(is_open, rivals.survival(ramp, now, np.where(is_open, at, now)), 0.0)
    return LockTimes(at, price, survival, value)


def first_time_at(ramp: Ramp, price: ArrayLike) -> FloatArray:
    """When the price first reaches an amount: ``-inf`` where it always is, ``inf`` where it never will.

    Examples
    --------
    >>> first_time_at(Ramp(start=100, period=50, low=2, high=6), [1, 4, 7])
    array([-inf, 125.,  inf])
    """
    low, high = np.asarray(ramp.low, dtype=float), np.asarray(ramp.high, dtype=float)
    price = np.asarray(price, dtype=float)
    rise = high - low
    share = np.where(rise > 0.0, (price - low) / np.where(rise > 0.0, rise, 1.0), 0.0)
    at = np.asarray(ramp.start, dtype=float) + np.asarray(ramp.period, dtype=float) * share
    first: FloatArray = np.where(price <= low, -np.inf, np.where(price > high, np.inf, at))
    return first


def _owed(success: FloatArray, cost: ArrayLike, slashing: ArrayLike, opportunity: ArrayLike) -> FloatArray:
    """What locking costs in expectation, the price left aside."""
    owed: FloatArray = (
        np.asarray(cost, dtype=float)
        + (1.0 - success) * np.asarray(slashing, dtype=float)
        + np.asarray(opportunity, dtype=float)
    )
    return owed


def _stationary(ramp: Ramp, rivals: Rivals, success: FloatArray, owed: FloatArray) -> FloatArray:
    """Seconds after the start of the ramp at which V is stationary; ``inf`` where it only rises."""
    low, high = np.asarray(ramp.low, dtype=float), np.asarray(ramp.high, dtype=float)
    period = np.asarray(ramp.period, dtype=float)
    length = np.where(period > 0.0, period, 1.0)
    base, rise = np.asarray(rivals.base, dtype=float), np.asarray(rivals.rise, dtype=float)
    worth, slope = success * low - owed, success * (high - low) / length
    # (base + rise*t/length) * (worth + slope*t) = slope
    square, linear, constant = np.broadcast_arrays(
        rise * slope / length, base * slope + rise * worth / length, base * worth - slope
    )
    root = np.sqrt(np.maximum(linear**2 - 4.0 * square * constant, 0.0))
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        # the larger root, written so that nothing cancels; it holds for a square of 0 too
        wait = np.where(
            linear >= 0.0,
            -2.0 * constant / (linear + root),
            (root - linear) / (2.0 * np.where(square > 0.0, square, np.nan)),
        )
    wait = np.where(np.isnan(wait), np.inf, wait)
    flat = (slope <= 0.0) | (period <= 0.0)
    found: FloatArray = np.where(flat, 0.0, wait)
    return found
