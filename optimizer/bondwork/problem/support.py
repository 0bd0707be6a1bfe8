"""What a round asks for that a one-stage solve cannot honour, found before anything is solved."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bondwork.problem.values import (
    count_executors,
    is_below_minimum_collateral,
    is_committed,
    is_eligible,
    is_too_late,
    net_reward,
)

if TYPE_CHECKING:
    from bondwork.problem.instance import Instance


def unsupported(instance: Instance) -> list[str]:
    """List what the round asks for that would change the answer and is not honoured; empty where all is.

    A field that cannot change the answer is no reason to refuse: a load curve of weight 0, replicas of a task
    that only one executor offers to do, second-stage offers that could never pay.
    """
    return [
        *_bootstrap(instance),
        *_replicas(instance),
        *_shared_commitments(instance),
        *_second_stage(instance),
        *_load_curves(instance),
        *_periods(instance),
    ]


def _bootstrap(instance: Instance) -> list[str]:
    needs_scenarios = instance.objective.risk_weight > 0.0 or any(
        limit.measure != "expected" for limit in instance.risk
    )
    if instance.uncertainty.sampling != "bootstrap" or not needs_scenarios:
        return []
    return ["sampling by bootstrap, which needs a history of outcomes"]


def _replicas(instance: Instance) -> list[str]:
    if np.all(instance.tasks.replicas <= 1):
        return []
    executors = count_executors(instance, is_eligible(instance))
    several = instance.claims.task[executors > 1]
    tasks = np.unique(several[instance.tasks.replicas[several] > 1])
    if not len(tasks):
        return []
    return [f"replicas above 1 with several executors to choose from ({_some(instance.tasks.ids, tasks)})"]


def _shared_commitments(instance: Instance) -> list[str]:
    """Several executors that are committed to one task: it is slashed once, if too few of them succeed."""
    held = np.bincount(instance.commitments.claim, minlength=len(instance.claims))
    tasks = np.unique(instance.claims.task[held > 1])
    at_stake = bool(instance.risk) or bool(np.any(np.isfinite(instance.operators.stake)))
    if not len(tasks) or not at_stake:
        return []
    return [
        f"stake or risk limits beside several commitments of one task ({_some(instance.tasks.ids, tasks)})"
    ]


def _second_stage(instance: Instance) -> list[str]:
    offers, claims = instance.offers, instance.claims
    p, r, s = offers.success_probability, claims.reward[offers.claim], claims.slashing[offers.claim]
    paid = p * offers.bid if instance.terms.bid_paid == "on_success" else offers.bid
    rescues = p * (r + s) - paid + instance.tasks.unassigned_cost[offers.task]
    possible = (offers.stage == 2) & ~is_committed(instance)[offers.task]
    possible &= ~is_below_minimum_collateral(instance) & ~is_too_late(instance)
    # even on success a collateral share may come back with the rescue; only what can never pay is harmless
    useful = possible & (
        (rescues > 0.0) | instance.tasks.required[offers.task] | (net_reward(instance) > 0.0)
    )
    if not useful.any():
        return []
    some = _some(offers.ids, np.flatnonzero(useful))
    return [f"second-stage offers that could pay ({some})"]


def _load_curves(instance: Instance) -> list[str]:
    weighted = [
        name
        for name, curve in zip(instance.coprocessors.ids, instance.coprocessors.load_curve, strict=True)
        if curve is not None and curve.weight != 0.0 and curve.scale != 0.0
    ]
    return [f"a load curve with a weight ({_some(weighted, np.arange(len(weighted)))})"] if weighted else []


def _periods(instance: Instance) -> list[str]:
    later = [period.id for period in instance.periods if period.offers]
    return [f"later periods with offers ({_some(later, np.arange(len(later)))})"] if later else []


def _some(names: tuple[str, ...] | list[str], numbers: np.ndarray) -> str:
    shown = [names[i] for i in numbers[:3]]
    more = len(numbers) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more > 0 else "")
