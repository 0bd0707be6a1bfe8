"""Amounts as a ledger counts them: whole numbers of 10^-decimals, of any size."""

from __future__ import annotations

import math
from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from bondwork.arrays import FloatArray

#: Digits enough for the largest amount of a round in its smallest unit; Python's default of 28 is not.
_EXACT = Context(prec=500)


def in_units(amount: float, decimals: int) -> int:
    """Return an amount in whole units of 10^-decimals.

    An amount is its shortest decimal text, rounded half to even: 0.1 is a tenth and not the double beside it.

    Examples
    --------
    >>> in_units(0.1, 18) + in_units(0.2, 18) == in_units(0.3, 18)
    True
    >>> in_units(2.5, 0), in_units(1e18, 18) == 10**36
    (2, True)
    """
    number = Decimal(repr(float(amount))).scaleb(decimals, _EXACT)
    return int(number.to_integral_value(ROUND_HALF_EVEN, _EXACT))


def all_in_units(amounts: FloatArray, decimals: int) -> list[int]:
    """Return amounts in whole units of 10^-decimals; equal ones are read once."""
    different, which = np.unique(np.asarray(amounts, dtype=np.float64), return_inverse=True)
    units = [in_units(amount, decimals) for amount in different.tolist()]
    return [units[place] for place in which.tolist()]


def as_counted(amounts: FloatArray, decimals: int) -> FloatArray:
    """Return amounts as a ledger counts them: rounded half to even to 10^-decimals, where they are finer.

    Examples
    --------
    >>> as_counted(np.array([0.1, 0.005, 0.015, np.inf]), 2).tolist()
    [0.1, 0.0, 0.02, inf]
    """
    different, which = np.unique(np.asarray(amounts, dtype=np.float64), return_inverse=True)
    counted = [
        float(Decimal(in_units(each, decimals)).scaleb(-decimals, _EXACT)) if math.isfinite(each) else each
        for each in different.tolist()
    ]
    return np.array(counted, dtype=np.float64)[which].reshape(np.shape(amounts))
