"""Limits that the commitments of earlier rounds exceed on their own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bondwork.plan.plan import Overcommitted
from bondwork.risk.limits import ceiling_of, committed_value, is_tail_limit, members
from bondwork.risk.measure import REACH_TOLERANCE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bondwork.problem.instance import Instance
    from bondwork.problem.limits import Limits
    from bondwork.risk.measure import Measure
    from bondwork.uncertainty.first_stage import FirstStage


def list_overcommitted(
    instance: Instance, limits: Limits, measures: Sequence[Measure] = ()
) -> list[Overcommitted]:
    """List the limits that the commitments of a round alone exceed: rows in their order, then tail limits.

    Parameters
    ----------
    instance, limits
        The round and its rows.
    measures
        Of all its tail limits, member by member; none where they are not limited here.
    """
    found = _rows(limits)
    if not measures:
        return found
    asked = [limit for limit in instance.risk if is_tail_limit(limit) for _ in members(instance, limit)]
    for limit, measure in zip(asked, measures, strict=True):
        found += _exceeded(measure.label, ceiling_of(limit), committed_value(measure))
    return found


def list_two_stage_overcommitted(
    instance: Instance, limits: Limits, outcomes: FirstStage
) -> list[Overcommitted]:
    """List the same of a round with a second stage, whose ``limits`` of the first leave losses aside."""
    from bondwork.program.redelegation_loss import committed_loss

    found = _rows(limits)
    for limit in instance.risk:
        for _, member, name in members(instance, limit):
            if np.isfinite(limit.budget):
                word = "expected loss" if limit.measure == "expected" else limit.measure
                committed = committed_loss(instance, outcomes, limit, member)
                found += _exceeded(f"{word} of {name}", ceiling_of(limit), committed)
    return found


def _rows(limits: Limits) -> list[Overcommitted]:
    return [
        Overcommitted(
            limit=limits.label(row),
            budget=float(limits.budget[row]),
            committed=float(limits.committed[row]),
        )
        for row in limits.exceeded().tolist()
    ]


def _exceeded(label: str, budget: float, committed: float) -> list[Overcommitted]:
    if committed <= budget + REACH_TOLERANCE * abs(budget):
        return []
    return [Overcommitted(limit=label, budget=budget, committed=committed)]
