"""What a round asks for that a one-stage solve cannot honour, found before anything is solved."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bondwork.problem.horizon_support import unsupported_horizon
from bondwork.problem.periods import is_staged
from bondwork.problem.rescues import has_rescues, limits_losses
from bondwork.problem.teams import MOST_TEAMS, count_teams, has_teams
from bondwork.problem.values import (
    is_below_minimum_collateral,
    is_committed,
    is_too_late,
)

if TYPE_CHECKING:
    from bondwork.arrays import BoolArray
    from bondwork.problem.instance import Instance


def unsupported(instance: Instance) -> list[str]:
    """List what the round asks for that would change the answer and is not honoured; empty where all is.

    A field that cannot change the answer is no reason to refuse: a load curve of weight 0, second-stage
    offers that could never pay.
    """
    return [
        *_bootstrap(instance),
        *_replicas(instance),
        *_second_stage(instance),
        *_load_curves(instance),
        *_periods(instance),
        *_constraints(instance),
        *_worth(instance),
    ]


def _constraints(instance: Instance) -> list[str]:
    """Constraints are about what is chosen now: what they would mean to later decisions nobody has said."""
    if not instance.constraints:
        return []
    names = [each.name for each in instance.constraints]
    some = _some(names, np.arange(len(names)))
    beside = [
        *(["periods"] if is_staged(instance) else []),
        *(["second-stage offers"] if has_rescues(instance) else []),
    ]
    return [
        f"constraints beside {other}: they are about what is chosen now, not about what is later ({some})"
        for other in beside
    ]


def _worth(instance: Instance) -> list[str]:
    if instance.worth is None or not has_rescues(instance):
        return []
    return ["worth beside second-stage offers: what a rescue leaves is not counted yet"]


def _bootstrap(instance: Instance) -> list[str]:
    if instance.uncertainty.sampling == "bootstrap" and (is_staged(instance) or has_rescues(instance)):
        return ["sampling by bootstrap in a round with later stages, of which a history says nothing"]
    needs_scenarios = instance.objective.risk_weight > 0.0 or any(
        limit.measure != "expected" for limit in instance.risk
    )
    needs_scenarios = needs_scenarios or has_teams(instance)
    if instance.uncertainty.sampling != "bootstrap" or not needs_scenarios:
        return []
    if instance.uncertainty.history is not None:
        return []
    return ["sampling by bootstrap, which needs a history of outcomes"]


def _replicas(instance: Instance) -> list[str]:
    """Replicas are planned with by listing their teams, which takes that there are not too many."""
    teams = count_teams(instance)
    if sum(teams.values()) <= MOST_TEAMS:
        return []
    claims = np.array(sorted(teams, key=lambda claim: -teams[claim]))
    tasks = list(dict.fromkeys(instance.claims.task[claims].tolist()))
    return [
        f"replicas with more than {MOST_TEAMS:,} teams of executors to choose from; fewer replicas or fewer "
        f"offers for the largest tasks would do ({_some(instance.tasks.ids, np.array(tasks))})"
    ]


def _second_stage(instance: Instance) -> list[str]:
    """What a round asks for beside second-stage offers that could change the answer."""
    if not has_rescues(instance):
        return []
    reasons = []
    for limit in instance.risk:
        if limit.measure in ("ambiguous", "solvency"):
            reasons.append(f"a limit on {limit.measure} beside second-stage offers")
        elif limit.scope == "coprocessor":
            reasons.append(f"a limit on {limit.measure} of a coprocessor beside second-stage offers")
    if several := count_teams(instance):
        tasks = np.unique(instance.claims.task[np.array(sorted(several))])
        reasons.append(f"replicas beside second-stage offers ({_some(instance.tasks.ids, tasks)})")
    if instance.uncertainty.sampling == "bootstrap":
        reasons.append("sampling by bootstrap beside second-stage offers")
    held = np.bincount(instance.commitments.claim, minlength=len(instance.claims))
    if np.any(held > 1) and limits_losses(instance):
        reasons.append("several commitments of one task beside second-stage offers and limits on losses")
    return reasons


def _can_rescue(instance: Instance) -> BoolArray:
    """Whether each offer may take over a task at the second stage, whatever it would earn. Shape (O,)."""
    offers = instance.offers
    possible: BoolArray = (offers.stage == 2) & ~is_committed(instance)[offers.task]
    return possible & ~is_below_minimum_collateral(instance) & ~is_too_late(instance)


def _load_curves(instance: Instance) -> list[str]:
    """Load curves count at every node of a horizon, and not beside a second stage."""
    weighted = [
        name
        for name, curve in zip(instance.coprocessors.ids, instance.coprocessors.load_curve, strict=True)
        if curve is not None and curve.amount != 0.0
    ]
    if not weighted or not _can_rescue(instance).any():
        return []
    some = _some(weighted, np.arange(len(weighted)))
    return [f"a load curve with a weight beside second-stage offers ({some})"]


def _periods(instance: Instance) -> list[str]:
    return unsupported_horizon(instance) if is_staged(instance) else []


def _some(names: tuple[str, ...] | list[str], numbers: np.ndarray) -> str:
    shown = [names[i] for i in numbers[:3]]
    more = len(numbers) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more > 0 else "")
