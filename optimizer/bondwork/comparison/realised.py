"""What a plan earns and loses when outcomes are drawn: common random numbers for every plan of a round."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bondwork.problem.faults import Fault, InvalidInput, preview
from bondwork.risk.assessment import fresh_seed
from bondwork.uncertainty.sampling import fresh_method, sample_round

if TYPE_CHECKING:
    from bondwork.arrays import FloatArray, IntArray
    from bondwork.plan.plan import Plan
    from bondwork.problem.instance import Instance
    from bondwork.uncertainty.outcomes import OutcomeSample

#: Consecutive scenarios are averaged into so many batches, which paired differences are made of.
BATCHES = 40


@dataclass(frozen=True, slots=True)
class OutOfSample:
    """A plan on fresh scenarios.

    Attributes
    ----------
    mean, mean_error
        Net reward and its standard error, in currency.
    cvar, cvar_error
        CVaR of the slashing loss and its standard error, in currency.
    batches
        Mean net reward of each of `BATCHES` batches of scenarios; batch k of two plans of one round saw the
        same outcomes.
    """

    mean: float
    mean_error: float | None
    cvar: float
    cvar_error: float | None
    batches: tuple[float, ...]


def realise(
    instance: Instance, chosen: IntArray, price: FloatArray, outcomes: OutcomeSample
) -> tuple[FloatArray, FloatArray]:
    """Net reward and slashing of chosen offers in every scenario (MODEL 1, 2.5 and 2.6).

    Parameters
    ----------
    instance
        The round.
    chosen
        Shape (k,). Offers.
    price
        Shape (k,). What is agreed for each: the bid unless an auction said more.
    outcomes
        Scenarios of the k offers.

    Returns
    -------
    tuple
        Shapes (S,), (S,). In currency; commitments and load incentives are not counted.
    """
    offers, claims, terms = instance.offers, instance.claims, instance.terms
    claim, group = np.unique(offers.claim[chosen], return_inverse=True)
    quorum = instance.tasks.quorum[claims.task[claim]]
    executors = np.bincount(group, minlength=len(claim))
    scenarios = outcomes.scenarios
    total = np.full(scenarios, float(claims.reward[claim].sum() - price.sum()))
    # what a failure changes, whatever becomes of the task: the bid that is not paid, the collateral share
    on_success = (terms.bid_paid == "on_success") & ~offers.is_self[chosen]
    back = terms.operator * terms.collateral_rate * offers.collateral[chosen]
    total += outcomes.loss(np.ones(len(chosen)), np.where(on_success, price, 0.0) + back)
    slashed = np.zeros(scenarios)
    lost = claims.reward[claim] + claims.slashing[claim]
    for number in range(len(claim)):
        members = np.flatnonzero(group == number) if executors[number] > 1 else None
        if members is None:
            continue
        failures = np.concatenate([outcomes.failures(int(k)) for k in members])
        failed = np.bincount(failures, minlength=scenarios) > executors[number] - quorum[number]
        total[failed] -= lost[number]
        slashed[failed] += claims.slashing[claim[number]]
    single = executors[group] == 1
    total -= outcomes.loss(single.astype(float), lost[group])
    slashed += outcomes.loss(single.astype(float), claims.slashing[claim[group]])
    left = np.ones(len(instance.tasks), dtype=bool)
    left[offers.task[chosen]] = False
    left[instance.commitments.task] = False
    total -= float(instance.tasks.unassigned_cost[left].sum())
    return total, slashed


def out_of_sample(
    instance: Instance, plan: Plan, *, scenarios: int, level: float, seed: int
) -> OutOfSample | None:
    """Measure a plan on fresh scenarios, the same for every plan of the round and seed.

    ``None`` where there is no plan. The outcomes of all offers are drawn, chosen or not: that is what makes
    the numbers common.
    """
    if plan.solution == "none":
        return None
    chosen = find_offers(instance, plan)
    fresh = sample_round(instance, scenarios=scenarios, seed=fresh_seed(seed), method=fresh_method(instance))
    price = np.array([each.price for each in plan.assignments])
    net, slashed = realise(instance, chosen, price, fresh.offers.select(chosen))
    worst = max(1, math.ceil((1.0 - level) * scenarios - 1e-9))
    threshold = np.partition(slashed, scenarios - worst)[scenarios - worst]
    excess = threshold + np.maximum(slashed - threshold, 0.0) / (1.0 - level)
    batches = [float(each.mean()) for each in np.array_split(net, min(BATCHES, scenarios))]
    return OutOfSample(
        mean=float(net.mean()),
        mean_error=_error(net),
        cvar=float(excess.mean()),
        cvar_error=_error(excess),
        batches=tuple(batches),
    )


def find_offers(instance: Instance, plan: Plan) -> IntArray:
    """Offers of the instance that a plan's assignments name, in their order.

    Raises
    ------
    InvalidInput
        An assignment names none of the round.
    """
    offers = instance.offers
    operator = {name: v for v, name in enumerate(instance.operators.ids)}
    number = {
        (name, v, own): offer
        for offer, (name, v, own) in enumerate(
            zip(offers.ids, offers.operator.tolist(), offers.is_self.tolist(), strict=True)
        )
    }
    keys = [(each.offer, operator.get(each.operator, -1), each.kind == "self") for each in plan.assignments]
    unknown = [
        Fault(f"$.assignments[{n}].offer", preview(plan.assignments[n].offer), "an offer of the round")
        for n, key in enumerate(keys)
        if key not in number
    ]
    if unknown:
        raise InvalidInput(unknown)
    found = [number[key] for key in keys]
    return np.array(found, dtype=np.int64)


def _error(values: FloatArray) -> float | None:
    return float(values.std(ddof=1) / math.sqrt(len(values))) if len(values) > 1 else None
