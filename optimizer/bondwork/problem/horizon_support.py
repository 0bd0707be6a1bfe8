"""What a round with later periods may not ask for, because no plan over its tree would honour it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bondwork.problem.release import THIS_ROUND, Horizon
from bondwork.problem.rescues import has_rescues
from bondwork.problem.values import is_eligible

if TYPE_CHECKING:
    from bondwork.problem.instance import Instance


def unsupported_horizon(instance: Instance) -> list[str]:
    """List what a round asks for beside later periods that is not honoured; empty where all is.

    Second-stage offers are planned with in rounds of their own only, wherever on the tree they stand.
    """
    reasons = []
    if any(limit.calibrate for limit in instance.risk):
        reasons.append("limits that are calibrated beside later periods with offers")
    if instance.uncertainty.sampling == "bootstrap":
        reasons.append("sampling by bootstrap beside later periods with offers")
    horizon = Horizon(instance)
    rounds = horizon.rounds
    if any(_may_rescue(horizon, point) for point in (THIS_ROUND, *horizon.reached)):
        reasons.append("second-stage offers beside later periods with offers")
    if instance.uncertainty.common > 0.0 and any(_may_part(each) for each in rounds):
        reasons.append(
            "tasks.replicas with executors of different durations, beside a common factor in "
            "uncertainty.dependence and later periods"
        )
    return reasons


def _may_rescue(horizon: Horizon, point: int) -> bool:
    """Whether a second-stage offer of a decision point could pay; where amounts are random, any may."""
    if point != THIS_ROUND and horizon.instance.periods[point].laws:
        return bool(np.any(horizon.rounds[point].offers.stage == 2))
    return has_rescues(horizon.rounds[point])


def _may_part(instance: Instance) -> bool:
    """Whether a team may be released one by one: its outcomes would then be tied in part only."""
    offers = instance.offers
    several = np.flatnonzero(is_eligible(instance) & (instance.tasks.replicas[offers.task] > 1))
    claim, duration = offers.claim[several], offers.duration[several]
    order = np.lexsort((duration, claim))
    same = claim[order][1:] == claim[order][:-1]
    return bool(np.any(same & (duration[order][1:] != duration[order][:-1])))
