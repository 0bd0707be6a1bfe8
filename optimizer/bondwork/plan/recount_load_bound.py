"""The most that a load incentive can earn less a price for load, for `verify`.

The curve is no fraction: its first branch is a bell. Between two points a function is above the larger of its
values there by an eighth of its largest second derivative times the distance squared at most; the parts that
may hold the maximum are split until that is nothing.
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from bondwork.base.tolerances import ROW
from bondwork.plan.recount_exact import round_up

if TYPE_CHECKING:
    from collections.abc import Callable

    from bondwork.arrays import FloatArray
    from bondwork.plan.recount import Recount
    from bondwork.plan.recount_loads import LoadAccount

#: Parts that a piece of the curve is split into at a time, and how often.
_PARTS, _MOST_SPLITS = 64, 12

#: Splitting ends where the bound is within this share of the size of the terms; more than rounding costs.
_CLOSE = 1e-13


def reach_of(recount: Recount, account: LoadAccount) -> tuple[float, float]:
    """Least and most load that a coprocessor can have: commitments', and what else could be chosen."""
    low = account.load()
    more = math.fsum(
        recount.work[offer][account.resource]
        for offer, c in enumerate(recount.coprocessor)
        if c == account.coprocessor and recount.eligible[offer]
    )
    high = min(max(low, 1.0 + 2.0 * ROW), low + more / account.capacity)
    return low * (1.0 - 1e-12), max(high, low) * (1.0 + 1e-12)


def most_of(account: LoadAccount, amount: float, price: float, low: float, high: float) -> Fraction:
    """Upper bound on ``amount * f(load) - price * load`` over loads from ``low`` to ``high``."""
    a, b, c, d, e, f, g, h, i = account.parameters
    best = -math.inf
    size = abs(price) * high

    def bell(x: FloatArray) -> FloatArray:
        result: FloatArray = a * np.exp(-(((x - b) / b) ** 2)) - c
        return result

    def line(x: FloatArray) -> FloatArray:
        return d + (x - b) * e

    branches: list[tuple[float, float, Callable[[FloatArray], FloatArray], float, float]] = [
        (low, min(b, high), bell, abs(a) + abs(c), 2 * abs(a) / b**2),
        (max(b, low), min(f, high), line, abs(d) + abs(e) * (1.0 + high), 0.0),
    ]
    curved = (max(b, f, low), high)
    most = abs(g) * (high + abs(h)) ** 2 + abs(i)

    def bent(x: FloatArray) -> FloatArray:
        return g * (x - h) ** 2 + i

    def flat(x: FloatArray) -> FloatArray:
        return np.zeros(len(x))

    for first, last, curve, tall, bend in branches:
        if first <= last:
            best = max(best, _most(curve, amount, price, (first, last), abs(amount) * bend))
            size = max(size, abs(amount) * tall)
    if curved[0] <= curved[1]:
        size = max(size, abs(amount) * most)
        two = [_most(each, amount, price, curved, 2 * abs(amount * g)) for each in (bent, flat)]
        # the larger of the two branches counts: with a negative amount, the one that costs more
        best = max(best, max(two) if amount >= 0.0 else min(two))
    return Fraction(best) + Fraction(round_up(Fraction(size))) * Fraction(1, 10**12)


def _most(
    curve: Callable[[FloatArray], FloatArray],
    amount: float,
    price: float,
    where: tuple[float, float],
    bend: float,
) -> float:
    """Upper bound on ``amount * curve(x) - price * x`` over an interval."""
    left, right = np.array([where[0]]), np.array([where[1]])
    bound = math.inf
    for _ in range(_MOST_SPLITS):
        step = (right - left) / _PARTS
        grid = left[:, None] + step[:, None] * np.arange(_PARTS + 1)
        grid[:, -1] = right
        value = amount * curve(grid.ravel()).reshape(grid.shape) - price * grid
        ends = np.maximum(value[:, :-1], value[:, 1:])
        above = ends + bend * step[:, None] ** 2 / 8.0
        best = float(value.max())
        bound = min(bound, float(above.max()))
        size = float(np.abs(value).max()) + abs(price) * where[1]
        alive = above > best + _CLOSE * size
        if not alive.any() or bend == 0.0:
            break
        left, right = grid[:, :-1][alive], grid[:, 1:][alive]
        if len(left) > 100_000:
            break
    return bound
