"""Limits whose amounts are numbers as people write them, for `verify`: the tolerance of rows is void there.

A row may exceed its limit by `ROW` of its largest term. Where all of its amounts are multiples of a unit that
is larger than that, as work in whole numbers or expected losses in whole per cents of whole amounts are, no
sum lies between the limit and the tolerance above it: the row is kept as it is written. What remains is that
a double is not always the decimal that was written; its error is bounded by half a unit in its last place.
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import TYPE_CHECKING, Final

import numpy as np

from bondwork.base.tolerances import ROW

if TYPE_CHECKING:
    from bondwork.arrays import FloatArray

#: Largest tolerance of a row, as a share of what is permitted: its largest term may exceed that by itself.
SHARE: Final = Fraction(ROW) / (1 - Fraction(ROW))

#: Powers of ten that are doubles without rounding, and whole numbers that are.
_POWERS, _WHOLE = 22, 2.0**53

#: Half a unit in the last place, as a share.
_HALF = 2.0**-53

#: Decimals of a probability that are looked at: per cents, their tenths, down to millionths.
_DECIMALS = 6


def slack_of_sum(amounts: FloatArray, most: Fraction) -> Fraction:
    """By how much a sum of amounts, its limit among them, may exceed the limit.

    Parameters
    ----------
    amounts
        Shape (n,). What may be taken, what is held, and the limit.
    most
        What is permitted: the limit, or more where commitments hold more.

    Examples
    --------
    >>> slack_of_sum(np.array([3.0, 4.0, 5.0, 10.0]), Fraction(10))
    Fraction(0, 1)
    >>> float(slack_of_sum(np.array([3.5, 1.0 / 3.0, 10.0]), Fraction(10))) > 1e-9
    True
    """
    tolerance = most * SHARE
    places = _places(tolerance)
    if places is None or not _on_grid(amounts, places):
        return tolerance
    error = _error(amounts)
    return Fraction(error) if error < 0.1 * 10.0**-places else tolerance


def slack_of_losses(
    slashing: FloatArray, p: FloatArray, executors: int, limits: FloatArray, most: Fraction
) -> Fraction:
    """The same for expected losses, of independent outcomes.

    Parameters
    ----------
    slashing, p
        Shapes (n,). What is lost, and the success probability, of everything that may fail.
    executors
        Most executors of one task: a chance is a sum of products of so many probabilities.
    limits
        Shape (1,). The limit.
    most
        What is permitted.

    Examples
    --------
    >>> half, budget = np.array([0.5]), np.array([10.0])
    >>> slack_of_losses(np.array([8.0]), half, 1, budget, Fraction(10))
    Fraction(0, 1)
    """
    tolerance = most * SHARE
    places = _places(tolerance)
    decimals = next((d for d in range(_DECIMALS + 1) if _on_grid(p, d)), None)
    if places is None or decimals is None:
        return tolerance
    if not (_on_grid(limits, places) and _on_grid(slashing, places - decimals * executors)):
        return tolerance
    # short in binary too, and few enough: products and sums are exact
    binary = bool(np.all(p * 1024.0 == np.rint(p * 1024.0))) and executors == 1
    whole = _error(slashing) == 0.0 and bool(np.all(slashing < _WHOLE / 1024.0))
    error = _error(limits)
    if not (binary and whole):
        error += float(np.sum(slashing)) * (8.0 * executors + 4.0) * _HALF * 1.01
    return Fraction(error) if error < 0.1 * 10.0**-places else tolerance


def _places(tolerance: Fraction) -> int | None:
    """Decimals of the finest grid whose unit is well above a tolerance; ``None`` where there is none."""
    size = float(tolerance)
    if not 0.0 < size < math.inf:
        return None
    places = math.floor(-math.log10(4.0 * size))
    return places if abs(places) <= _POWERS else None


def _on_grid(amounts: FloatArray, places: int) -> bool:
    """Whether every amount is the double of a multiple of 10^-places."""
    if abs(places) > _POWERS:
        return False
    power = 10.0 ** abs(places)
    with np.errstate(over="ignore"):
        units = np.rint(amounts * power if places >= 0 else amounts / power)
        again = units / power if places >= 0 else units * power
    return bool(np.all((np.abs(units) < _WHOLE) & (again == amounts)))


def _error(amounts: FloatArray) -> float:
    """Bound on how far doubles are from the decimals they stand for, summed; 0 for whole numbers."""
    exact = (amounts == np.rint(amounts)) & (np.abs(amounts) < _WHOLE)
    return float(np.sum(np.where(exact, 0.0, np.abs(amounts)))) * _HALF * 1.01
