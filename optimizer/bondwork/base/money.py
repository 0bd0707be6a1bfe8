"""Amounts as a ledger counts them: whole numbers of 10^-decimals, of any size."""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from bondwork.arrays import FloatArray

#: Digits enough for the largest amount of a round in its smallest unit; Python's default of 28 is not.
_EXACT = Context(prec=500)

#: 10 to this power is the largest that a double holds exactly.
_EXACT_POWER = 22

#: Whole numbers up to this are doubles, and so are the halves between them.
_WHOLE = 2.0**51

#: Share of an amount by which its text, read as a double and multiplied by a power of ten, may be off: thrice
#: what rounding loses.
_DOUBT = 2.0**-50


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


def amount_of(units: int, decimals: int) -> float:
    """Return units of 10^-decimals as an amount: the double nearest to it.

    Examples
    --------
    >>> amount_of(3, 1), amount_of(10**36, 18)
    (0.3, 1e+18)
    """
    return float(Decimal(units).scaleb(-decimals, _EXACT))


def as_counted(amounts: FloatArray, decimals: int) -> FloatArray:
    """Return amounts as a ledger counts them: rounded half to even to 10^-decimals, where they are finer.

    What is infinite stays so. ``in_units`` is the same before and after.

    Examples
    --------
    >>> as_counted(np.array([0.1, 0.005, 0.015, np.inf]), 2).tolist()
    [0.1, 0.0, 0.02, inf]
    """
    amounts = np.asarray(amounts, dtype=np.float64)
    size = np.abs(amounts)
    # The text of a double has 17 digits at most: none of them lies behind the last of the ledger's here.
    small = (size < float(f"1e{16 - decimals}")) & (size > 0.0)
    if small.all():
        return _rounded(amounts, decimals)
    counted = amounts.copy()
    if small.any():
        counted[small] = _rounded(amounts[small], decimals)
    return counted


def _rounded(amounts: FloatArray, decimals: int) -> FloatArray:
    """Round amounts that may have more digits than the ledger: in doubles where these can tell."""
    if decimals > _EXACT_POWER:
        return _read(amounts, decimals)
    scale = float(f"1e{decimals}")
    units = amounts * scale
    whole = np.rint(units) + 0.0  # no negative zero
    rounded = whole / scale  # of two doubles without an error: nearest to the decimal text
    halfway = np.abs(np.abs(units - whole) - 0.5) <= _DOUBT * np.abs(units)
    doubtful = (halfway | (np.abs(whole) > _WHOLE)) & (rounded != amounts)
    if doubtful.any():
        rounded[doubtful] = _read(amounts[doubtful], decimals)
    return rounded


def _read(amounts: FloatArray, decimals: int) -> FloatArray:
    """Round amounts digit by digit; equal ones are read once."""
    different, which = np.unique(amounts, return_inverse=True)
    counted = [amount_of(in_units(each, decimals), decimals) for each in different.tolist()]
    return np.array(counted, dtype=np.float64)[which].reshape(np.shape(amounts))
