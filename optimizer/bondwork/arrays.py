"""Array types of the house, and the one way in which an array is made read-only."""

from __future__ import annotations

from typing import Any, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

FloatArray: TypeAlias = NDArray[np.float64]
IntArray: TypeAlias = NDArray[np.int64]
BoolArray: TypeAlias = NDArray[np.bool_]

_Scalar = TypeVar("_Scalar", bound=np.generic)


def frozen(array: NDArray[_Scalar]) -> NDArray[_Scalar]:
    """Return a read-only view of ``array``; the caller's own array stays writable."""
    view = array.view()
    view.flags.writeable = False
    return view


def freeze_fields(record: Any, *names: str) -> None:
    """Replace the named array fields of a frozen dataclass by read-only views (for ``__post_init__``)."""
    for name in names:
        object.__setattr__(record, name, frozen(getattr(record, name)))


def sum_by_owner(owner: IntArray, amount: FloatArray, size: int) -> FloatArray:
    """Add up amounts by owner. Shape (size,); entries of a negative owner (nobody) count nowhere."""
    mine = owner >= 0
    total: FloatArray = np.bincount(owner[mine], amount[mine], size).astype(np.float64, copy=False)
    return total
