"""In which order a broker commits to what it could take: the modes of the Boundless broker, as arrays.

References
----------
github.com/boundless-xyz/boundless, the broker's ``prioritization`` and ``order_committer``: the modes
``random``, ``shortest_expiry``, ``price`` and ``cycle_price`` of ``order_commitment_priority``. It sorts,
then takes order after order while a slot is free and the work would be done before the order expires. It
knows no probability of failure. ``tightest_deadline`` is ours: least time to spare, expiry less the time of
the work.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from bondwork.arrays import FloatArray, IntArray

Mode: TypeAlias = Literal["random", "shortest_expiry", "price", "cycle_price", "tightest_deadline"]

MODES: tuple[Mode, ...] = get_args(Mode)


def commitment_order(
    mode: Mode,
    *,
    price: ArrayLike,
    cycles: ArrayLike,
    expiry: ArrayLike,
    seconds: ArrayLike,
    rng: np.random.Generator,
) -> IntArray:
    """Sort orders as a broker does; of equal ones, the first comes first.

    Parameters
    ----------
    mode
        How.
    price, cycles, expiry, seconds
        Shape (n,). What each pays now, its work, the clock time by which it must be done (``inf``: none), and
        how long the work takes.
    rng
        For ``random``.

    Returns
    -------
    ndarray
        Shape (n,). Positions, the first to commit to first.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> told = {"price": [4, 5], "cycles": [1, 2], "expiry": [90, 60], "seconds": [50, 10], "rng": rng}
    >>> [commitment_order(mode, **told).tolist() for mode in MODES[1:]]
    [[1, 0], [1, 0], [0, 1], [0, 1]]
    """
    price, cycles, expiry, seconds = (
        np.asarray(each, dtype=float) for each in (price, cycles, expiry, seconds)
    )
    key: FloatArray
    match mode:
        case "random":
            key = rng.random(len(price))
        case "shortest_expiry":
            key = expiry
        case "price":
            key = -price
        case "cycle_price":
            key = -np.divide(price, cycles, out=np.full(len(price), np.inf), where=cycles > 0.0)
        case "tightest_deadline":
            key = expiry - seconds
    order: IntArray = np.argsort(key, kind="stable")
    return order
