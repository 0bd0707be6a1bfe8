"""What a round holds, in a few numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from bondwork.problem.limits import enumerate_limits
from bondwork.problem.room import executor_room, stake_room
from bondwork.problem.support import unsupported
from bondwork.problem.values import is_below_minimum_collateral, is_eligible, is_too_late, net_reward

if TYPE_CHECKING:
    from bondwork.problem.instance import Instance


def summarise(instance: Instance) -> dict[str, Any]:
    """Count what a round holds and list what a solve would refuse.

    Returns
    -------
    dict
        ``name``, ``currency``, ``sha256``, ``counts`` by name, and ``refused``: reasons, empty where a solve
        will go ahead.
    """
    eligible, limits = is_eligible(instance), enumerate_limits(instance)
    room = executor_room(instance) + stake_room(instance)[instance.offers.claim]
    worth = net_reward(instance) - room
    return {
        "name": instance.name,
        "currency": instance.currency,
        "sha256": instance.sha256,
        "counts": {
            "operators": len(instance.operators),
            "coprocessors": len(instance.coprocessors),
            "tasks": len(instance.tasks),
            "required_tasks": int(instance.tasks.required.sum()),
            "claims": len(instance.claims),
            "offers": len(instance.offers),
            "self_executions": int(instance.offers.is_self.sum()),
            "eligible_offers": int(eligible.sum()),
            "offers_below_minimum_collateral": int(is_below_minimum_collateral(instance).sum()),
            "offers_too_late": int(is_too_late(instance).sum()),
            "eligible_offers_worth_it": int(np.sum(eligible & (worth > 0.0))),
            "commitments": len(instance.commitments),
            "resources": len(instance.resources),
            "limits": len(limits),
            "limits_that_commitments_exceed": len(limits.exceeded()),
            "risk_limits": len(instance.risk),
            "periods": len(instance.periods),
        },
        "refused": unsupported(instance),
    }
