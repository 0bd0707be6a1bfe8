"""What a plan means for the coprocessors' loads, and what that earns them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from bondwork.plan.plan import LoadShare

if TYPE_CHECKING:
    from bondwork.arrays import IntArray
    from bondwork.problem.instance import Instance


def load_shares(instance: Instance, chosen: IntArray) -> list[LoadShare]:
    """Loads and incentives of the coprocessors that have a load curve, in the order of the round.

    A load is the work of the commitments and of the ``chosen`` offers over the capacity; a coprocessor whose
    capacity is 0 has none and is left out.
    """
    offers, held = instance.offers, instance.commitments
    shares = []
    for number, curve in enumerate(instance.coprocessors.load_curve):
        if curve is None:
            continue
        k = curve.resource
        capacity = float(instance.coprocessors.capacity[number, k])
        if capacity == 0.0:
            continue
        work = [
            *held.work[held.coprocessor == number, k].tolist(),
            *offers.work[chosen[offers.coprocessor[chosen] == number], k].tolist(),
        ]
        load = math.fsum(work) / capacity
        shares.append(
            LoadShare(
                coprocessor=instance.coprocessors.ids[number],
                resource=instance.resources[k],
                load=load,
                incentive=curve.scale * curve.incentive.at(load),
            )
        )
    return shares


def load_gains(instance: Instance, chosen: IntArray) -> list[float]:
    """What the loads add to the objective: ``weight`` times each incentive, in currency."""
    weight = {
        name: curve.weight
        for name, curve in zip(instance.coprocessors.ids, instance.coprocessors.load_curve, strict=True)
        if curve is not None
    }
    return [
        weight[each.coprocessor] * each.incentive
        for each in load_shares(instance, chosen)
        if weight[each.coprocessor] != 0.0
    ]
