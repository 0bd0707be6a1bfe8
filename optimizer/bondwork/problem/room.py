"""What the room is worth that decisions take to the end: collateral, stake, resources and serial time.

Whoever states ``worth`` says what later rounds would pay for the room that this one leaves. A decision is
charged for what it still holds, or has lost, when the horizon ends. Of a round without later stages that is
all that it takes; over later periods, what is expected not to be free again by the end of the path.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bondwork.problem.instance import NOBODY
from bondwork.problem.values import at_stake, posted

if TYPE_CHECKING:
    from bondwork.arrays import FloatArray
    from bondwork.problem.instance import Instance


def collateral_room(instance: Instance) -> FloatArray:
    """Worth of the collateral that each offer locks, counted as a ledger counts it. Shape (O,)."""
    if instance.worth is None:
        return np.zeros(len(instance.offers))
    room: FloatArray = np.append(instance.worth.collateral, 0.0)[instance.offers.coprocessor]
    return room * posted(instance)


def working_room(instance: Instance) -> FloatArray:
    """Worth of the resources and of the serial time that each offer takes. Shape (O,)."""
    offers, worth = instance.offers, instance.worth
    if worth is None:
        return np.zeros(len(offers))
    own = offers.coprocessor == NOBODY
    of_coprocessor = np.vstack(
        [worth.capacity, np.zeros((1, len(instance.resources)))]
    )  # nobody's is the last
    price = np.where(own[:, None], worth.own_capacity[offers.operator], of_coprocessor[offers.coprocessor])
    room: FloatArray = np.sum(price * offers.work, axis=1)
    return room + np.append(worth.second, 0.0)[offers.coprocessor] * offers.duration


def executor_room(instance: Instance) -> FloatArray:
    """Worth of all that each offer takes of its executor. Shape (O,).

    Examples
    --------
    >>> import bondwork
    >>> instance = bondwork.load({
    ...     "format": "bondwork.round/1", "operators": [{"id": "op"}],
    ...     "coprocessors": [{"id": "cp", "worth": {"collateral": 0.5, "capacity": {"gpu": 2}}}],
    ...     "tasks": [{"id": "t", "operator": "op", "reward": 8, "work": {"gpu": 0.25}}],
    ...     "offers": [{"task": "t", "coprocessor": "cp", "collateral": 3, "success_probability": 1}]})
    >>> executor_room(instance).tolist()
    [2.0]
    >>> bondwork.solve(instance).objective
    6.0
    """
    return collateral_room(instance) + working_room(instance)


def stake_room(instance: Instance) -> FloatArray:
    """Worth of the stake that each claim exposes, once for all who work for it. Shape (L,)."""
    if instance.worth is None:
        return np.zeros(len(instance.claims))
    room: FloatArray = instance.worth.stake[instance.claims.operator] * at_stake(instance)
    return room
