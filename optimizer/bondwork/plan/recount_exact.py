"""Exact numbers for `verify`: fractions of what a round says, chances of teams, and rounding outward."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import TYPE_CHECKING

from bondwork.base.money import in_units

if TYPE_CHECKING:
    from collections.abc import Sequence


def ledger(amount: float, decimals: int) -> Fraction:
    """An amount as a ledger counts it, in currency.

    Examples
    --------
    >>> ledger(0.1, 18) + ledger(0.2, 18) == ledger(0.3, 18)
    True
    """
    return Fraction(in_units(amount, decimals), 10**decimals)


def round_up(value: Fraction) -> float:
    """Return the least double that is not below a value.

    Examples
    --------
    >>> round_up(Fraction(1, 10)) >= Fraction(1, 10)
    True
    """
    try:
        nearest = float(value)
    except OverflowError:
        return math.inf if value > 0 else -1.7976931348623157e308
    return nearest if Fraction(nearest) >= value else math.nextafter(nearest, math.inf)


def success_of(p: Sequence[Fraction], needed: int) -> Fraction:
    """Probability that at least ``needed`` of independent trials succeed.

    Examples
    --------
    >>> success_of([Fraction(1, 2), Fraction(3, 4)], 1)
    Fraction(7, 8)
    """
    # distribution of the number of successes, capped at what is needed
    reached = [Fraction(1), *[Fraction(0)] * max(needed, 0)]
    for each in p:
        for count in range(len(reached) - 1, -1, -1):
            stays = reached[count] * (1 if count == len(reached) - 1 else 1 - each)
            reached[count] = stays + (reached[count - 1] * each if count else 0)
    return reached[-1]


def blame_of(p: Sequence[Fraction], needed: int) -> list[Fraction]:
    """Probability, for each of independent trials, that it fails and fewer than ``needed`` succeed."""
    return [
        (1 - each) * (1 - success_of([*p[:place], *p[place + 1 :]], needed)) for place, each in enumerate(p)
    ]
