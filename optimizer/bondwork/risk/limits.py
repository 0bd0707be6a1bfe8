"""From the risk limits of a round and a sample of its outcomes to measures on a program's columns."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bondwork.problem.instance import NOBODY, RiskLimit
from bondwork.risk.ambiguous import WorstExpectation
from bondwork.risk.chance import Chance
from bondwork.risk.cvar import ConditionalValueAtRisk
from bondwork.risk.losses import ScopeLoss
from bondwork.risk.worst_case import WorstCase

if TYPE_CHECKING:
    from bondwork.arrays import BoolArray, FloatArray, IntArray
    from bondwork.problem.instance import Instance
    from bondwork.risk.measure import Measure
    from bondwork.uncertainty.sampling import RoundSample


def is_tail_limit(limit: RiskLimit) -> bool:
    """Whether a limit needs scenarios: all but the expected loss do."""
    return limit.measure != "expected"


def tail_measures(
    instance: Instance,
    sample: RoundSample,
    columns: IntArray,
) -> list[Measure]:
    """Make the measures of all tail limits, one for each member of a limit's scope, in the round's order.

    Parameters
    ----------
    instance
        The round.
    sample
        Joint scenarios; ``sample.offers`` has one entry for each of ``columns``.
    columns
        Shape (n,). Offers that the program's columns decide about.
    """
    measures: list[Measure] = []
    for limit in filter(is_tail_limit, instance.risk):
        for scope, member, name in members(instance, limit):
            measures.append(_measure(instance, sample, columns, limit, (scope, member, name)))
    return measures


def mean_risk_measure(instance: Instance, sample: RoundSample, columns: IntArray) -> Measure:
    """Make the CVaR of the network's loss that the mean-risk objective prices; it limits nothing."""
    limit = RiskLimit("cvar", "network", budget=np.inf, level=instance.objective.risk_level)
    return _measure(instance, sample, columns, limit, ("network", NOBODY, "network"))


def members(instance: Instance, limit: RiskLimit) -> list[tuple[str, int, str]]:
    """Whom a limit is about: scope, index (`NOBODY` for the network) and name."""
    if limit.scope == "network":
        return [("network", NOBODY, "network")]
    ids = instance.operators.ids if limit.scope == "operator" else instance.coprocessors.ids
    chosen = range(len(ids)) if limit.member is None else [limit.member]
    return [(limit.scope, i, ids[i]) for i in chosen]


def _measure(
    instance: Instance,
    sample: RoundSample,
    columns: IntArray,
    limit: RiskLimit,
    whom: tuple[str, int, str],
) -> Measure:
    scope, member, name = whom
    label = f"{limit.measure} of {name}"
    offers, held = instance.offers, instance.commitments
    mine = _belongs(scope, member, offers.operator[columns], offers.coprocessor[columns])
    also = _belongs(scope, member, held.operator, held.coprocessor)
    if limit.measure == "solvency":
        # commitments' collateral is already off the free collateral
        loss = _loss(sample, mine, np.zeros_like(also), offers.collateral[columns], held.collateral)
        budget = float(instance.coprocessors.free_collateral[member])
        return Chance(label, loss, budget, limit.probability)
    slashing = instance.claims.slashing
    loss = _loss(sample, mine, also, slashing[offers.claim[columns]], slashing[held.claim])
    match limit.measure:
        case "cvar":
            return ConditionalValueAtRisk(label, loss, limit.level, limit.budget)
        case "worst_case":
            return WorstCase(label, loss, limit.budget)
        case "chance":
            return Chance(label, loss, limit.budget, limit.probability)
        case _:
            shares = sample.commitments.failure_share()[also]
            return WorstExpectation(
                label, loss, limit.radius, limit.budget, slashing[held.claim][also], shares
            )


def _belongs(scope: str, member: int, operator: IntArray, coprocessor: IntArray) -> BoolArray:
    if scope == "network":
        return np.ones(len(operator), dtype=bool)
    owner = operator if scope == "operator" else coprocessor
    mine: BoolArray = owner == member
    return mine


def _loss(
    sample: RoundSample, mine: BoolArray, also: BoolArray, weight: FloatArray, held: FloatArray
) -> ScopeLoss:
    chosen = np.flatnonzero(mine & (weight > 0.0))
    base = sample.commitments.loss(also.astype(float), held)
    return ScopeLoss(chosen, len(mine), weight[chosen], sample.offers.select(chosen), base)
