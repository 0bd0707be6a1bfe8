"""What a report counts out of a plan and its round: shares of limited things, and the law of the loss."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, cast

import numpy as np

from bondwork.arrays import sum_by_owner
from bondwork.base.statistics import weighted_cvar
from bondwork.comparison.realised import find_offers
from bondwork.problem.instance import NOBODY, RiskLimit
from bondwork.problem.teams import teams_of_offers
from bondwork.report.figures_plan import Loss, Usage
from bondwork.risk.assessment import fresh_seed
from bondwork.risk.exact_tails import ExactTails
from bondwork.risk.limits import tail_measures
from bondwork.uncertainty.sampling import fresh_method, sample_round

if TYPE_CHECKING:
    from bondwork.arrays import FloatArray
    from bondwork.plan.plan import Plan
    from bondwork.problem.instance import Instance
    from bondwork.problem.teams import Teams
    from bondwork.risk.cvar import ConditionalValueAtRisk

#: Level of the VaR and CVaR where the round limits none of the network.
LEVEL = 0.95


def collateral_usage(instance: Instance, plan: Plan) -> Usage:
    """Collateral of each coprocessor, in its own unit."""
    chosen, offers, held = find_offers(instance, plan), instance.offers, instance.commitments
    size = len(instance.coprocessors)
    used = sum_by_owner(offers.coprocessor[chosen], offers.collateral[chosen], size)
    committed = sum_by_owner(held.coprocessor, held.collateral, size)
    # what is free is told without what commitments hold already
    return Usage(instance.coprocessors.ids, used, committed, instance.coprocessors.free_collateral - used, "")


def resource_usage(instance: Instance, plan: Plan, resource: int) -> Usage:
    """Work of each coprocessor on one resource, in the unit of the resource."""
    chosen, offers, held = find_offers(instance, plan), instance.offers, instance.commitments
    size = len(instance.coprocessors)
    used = sum_by_owner(offers.coprocessor[chosen], offers.work[chosen, resource], size)
    committed = sum_by_owner(held.coprocessor, held.work[:, resource], size)
    free = instance.coprocessors.capacity[:, resource] - used - committed
    return Usage(instance.coprocessors.ids, used, committed, free, instance.resources[resource])


def stake_usage(instance: Instance, plan: Plan) -> Usage:
    """What each operator would lose if all it has given away failed, of its stake, in currency.

    A task with several executors is slashed once.
    """
    claims, size = instance.claims, len(instance.operators)
    chosen = np.unique(instance.offers.claim[find_offers(instance, plan)])
    before = np.unique(instance.commitments.claim)
    used = sum_by_owner(claims.operator[chosen], claims.slashing[chosen], size)
    committed = sum_by_owner(claims.operator[before], claims.slashing[before], size)
    return Usage(instance.operators.ids, used, committed, instance.operators.stake - used - committed, "")


def fresh_loss(instance: Instance, plan: Plan, scenarios: int) -> Loss | None:
    """Slashing loss of the network under a plan, commitments included, as its limits were measured.

    That is its exact law where it can be listed; else fresh scenarios, those on which the plan's tail limits
    were measured, if they are as many. ``None`` where there is no plan or nothing at stake, and for plans
    with later decisions, whose loss depends on them.
    """
    if not plan.is_usable() or plan.recourse or not (plan.assignments or len(instance.commitments)):
        return None
    budget = {
        each.level: each.budget
        for each in instance.risk
        if each.measure == "cvar" and each.scope == "network" and np.isfinite(each.budget)
    }
    level = next(iter(budget), LEVEL)
    chosen = np.sort(find_offers(instance, plan))
    teams = teams_of_offers(instance, chosen)
    measured = [each for each in plan.risk if (each.measure, each.of) == ("cvar", "network")]
    law = ExactTails(instance, teams).law("network", NOBODY)
    if law is not None and not any(each.standard_error for each in measured):
        losses, probability = law
        drawn, cvar = 0, weighted_cvar(losses, probability, level)
    else:
        losses, probability, cvar = _sampled(instance, plan, teams, level, scenarios)
        drawn = scenarios
    return Loss(
        losses=losses,
        probability=probability,
        level=level,
        var=_quantile(losses, probability, level),
        cvar=cvar,
        budget=budget.get(level),
        scenarios=drawn,
    )


def _sampled(
    instance: Instance, plan: Plan, teams: Teams, level: float, scenarios: int
) -> tuple[FloatArray, FloatArray, float]:
    """Losses and probabilities of fresh scenarios, and their CVaR."""
    chosen = np.sort(teams.member)
    fresh = sample_round(
        instance,
        scenarios=scenarios,
        seed=fresh_seed(plan.provenance.seed),
        method=fresh_method(instance),
        offers=chosen,
    )
    places = np.searchsorted(chosen, teams.member)
    limit = RiskLimit("cvar", "network", NOBODY, np.inf, level)
    only = dataclasses.replace(instance, risk=(limit,))
    measure = cast("ConditionalValueAtRisk", tail_measures(only, fresh, teams, places)[0])
    everything = np.ones(len(teams))
    return measure.loss.of(everything), fresh.offers.probability, measure.value(everything)


def _quantile(losses: np.ndarray, probability: np.ndarray, level: float) -> float:
    """Least loss that is not exceeded with probability ``level``."""
    order = np.argsort(losses, kind="stable")
    reached = np.cumsum(probability[order])
    place = min(int(np.searchsorted(reached, level * (1.0 - 1e-12))), len(losses) - 1)
    return float(losses[order[place]])
