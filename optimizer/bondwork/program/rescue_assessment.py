"""What a first stage and its rescues measure: on the outcomes that they were made for, and on fresh ones.

In-sample tails flatter: rescues are fitted to the outcomes that were listed, and to the leaves behind them.
So every limit is measured again on fresh scenarios, with what a follower of the plan would do in each
(`bondwork.program.contingency`), and one outcome drawn behind every rescue. Where all outcomes of both stages
are listed with their probabilities nothing is estimated, and nothing is measured again.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from bondwork.base.statistics import weighted_cvar as cvar
from bondwork.problem.rescues import limits_losses
from bondwork.problem.values import net_reward
from bondwork.program.contingency import carry_out
from bondwork.program.recourse import expected_gain, late_effects, losses_at_leaves
from bondwork.program.redelegation import has_tails
from bondwork.program.redelegation_loss import committed_loss
from bondwork.risk.assessment import FRESH_SCENARIOS, Assessment, fresh_seed
from bondwork.risk.chance import most_allowed
from bondwork.risk.errors import cvar_error, mean_error, share_error, tail_excess
from bondwork.risk.limits import ceiling_of, members

if TYPE_CHECKING:
    from bondwork.arrays import BoolArray, FloatArray, IntArray
    from bondwork.problem.instance import Instance, RiskLimit
    from bondwork.program.contingency import FreshRecourse
    from bondwork.program.redelegation import Redelegation
    from bondwork.uncertainty.first_stage import FirstStage


def is_exact(outcomes: FirstStage, instance: Instance) -> bool:
    """Whether outcomes and leaves are all there are, with their exact probabilities."""
    listed = not outcomes.leaf_scenarios or not has_tails(instance)
    return outcomes.scenarios == 0 and listed


def measure_fresh(model: Redelegation, x: FloatArray, rescued: FloatArray, seed: int) -> FreshRecourse | None:
    """Carry a plan out on fresh scenarios; ``None`` where nothing measures losses."""
    if not limits_losses(model.instance):
        return None
    return carry_out(model, x, rescued, seed=fresh_seed(seed), scenarios=FRESH_SCENARIOS)


def assess_rescues(
    model: Redelegation, x: FloatArray, rescued: FloatArray, fresh: FreshRecourse | None
) -> list[Assessment]:
    """Measure every limit on losses after the rescues.

    Parameters
    ----------
    model
        Program of what is seen of the first stage ``x``, shape (choices,).
    rescued
        Shape (K, decisions).
    fresh
        The same on fresh scenarios, where there are some.
    """
    instance = model.instance
    found = []
    for number, limit in enumerate(instance.risk):
        for scope, member, name in members(instance, limit):
            ceiling = ceiling_of(limit)
            value = error = None
            if fresh is not None and not is_exact(model.outcomes, instance):
                value, error = _fresh_value(model, x, fresh, limit, _mine(instance, scope, member))
            inside = _value(model, x, rescued, limit, scope, member)
            held = committed_loss(instance, model.outcomes, limit, member)
            outside = None
            if value is not None and fresh is not None:
                outside = committed_loss(instance, fresh.outcomes, limit, member)
            size = 1.0 if limit.measure == "chance" else float(instance.claims.slashing.max(initial=0.0))
            found.append(Assessment(number, name, ceiling, inside, value, error, held, outside, size))
    return found


def in_sample_objective(model: Redelegation, x: FloatArray, rescued: FloatArray) -> float:
    """Objective of a first stage and the rescues of every outcome, in currency."""
    instance = model.instance
    gains = model.outcomes.probability * expected_gain(model, rescued)
    earned = math.fsum([*_first_stage_terms(model, x), *gains.tolist()])
    weight = instance.objective.risk_weight
    if weight == 0.0:
        return earned
    losses = losses_at_leaves(model, x, rescued, np.ones(len(instance.operators)))
    risk = cvar(losses.ravel(), _weights(model).ravel(), instance.objective.risk_level)
    return (1.0 - weight) * earned - weight * risk


def fresh_objective(model: Redelegation, x: FloatArray, fresh: FreshRecourse) -> tuple[float, float]:
    """Objective on fresh scenarios with its standard error, in currency."""
    instance = model.instance
    gains = expected_gain(model, fresh.rescued.astype(np.float64))
    weight, level = instance.objective.risk_weight, instance.objective.risk_level
    earned = math.fsum(_first_stage_terms(model, x)) + math.fsum(gains.tolist()) / len(gains)
    part = (1.0 - weight) * gains
    if weight > 0.0:
        losses = fresh_losses(model, x, fresh, np.ones(len(instance.operators)))
        risk = cvar(losses, np.full(len(losses), 1.0 / len(losses)), level)
        earned = (1.0 - weight) * earned - weight * risk
        part = part - weight * tail_excess(losses, level) / (1.0 - level)
    return earned, mean_error(part, 0.0)


def fresh_losses(model: Redelegation, x: FloatArray, fresh: FreshRecourse, mine: FloatArray) -> FloatArray:
    """Loss of every fresh scenario. Shape (S,).

    Parameters
    ----------
    mine
        Shape (operators,). 1 for those whose losses count.
    """
    instance, outcomes = model.instance, fresh.outcomes
    offers, held, slashing = instance.offers, instance.commitments, instance.claims.slashing
    chosen = outcomes.offers
    # what is saved is left out and not taken off again: where nothing is lost, that is 0 and no rounding
    standing = outcomes.failed.copy()
    place, amount, takes_up = late_effects(model, mine)
    holder = np.full(len(instance.tasks), -1)
    holder[offers.task[chosen]] = np.arange(len(chosen))
    task = offers.task[model.rescues.offers[place]]
    for j in np.flatnonzero(~takes_up & fresh.rescued.any(axis=0)).tolist():
        standing[fresh.rescued[:, j], holder[task[j]]] = False
    lost = standing @ (slashing[offers.claim[chosen]] * mine[offers.operator[chosen]])
    held_lost = outcomes.lost @ (slashing[held.claim] * mine[held.operator])
    total: FloatArray = np.asarray(lost + held_lost, dtype=np.float64)
    for j in np.flatnonzero((amount > 0.0) & fresh.rescued.any(axis=0)).tolist():
        total[fresh.rescued[:, j] & outcomes.late_failed[:, place[j]]] += amount[j]
    return total


def _first_stage_terms(model: Redelegation, x: FloatArray) -> list[float]:
    instance, chosen = model.instance, _chosen(model, x)
    left = np.ones(len(instance.tasks), dtype=bool)
    left[instance.offers.task[chosen]] = False
    left[instance.commitments.task] = False
    return [*net_reward(instance)[chosen].tolist(), *(-instance.tasks.unassigned_cost[left]).tolist()]


def _chosen(model: Redelegation, x: FloatArray) -> IntArray:
    first = model.first
    return np.sort(first.columns[: first.choices][x[: first.choices] > 0.5])


def _mine(instance: Instance, scope: str, member: int) -> FloatArray:
    everybody = np.ones(len(instance.operators))
    if scope != "operator":
        return everybody
    mine: FloatArray = (np.arange(len(everybody)) == member).astype(np.float64)
    return mine


def _weights(model: Redelegation) -> FloatArray:
    return np.outer(model.outcomes.probability, model.outcomes.leaf_probability)


def _value(
    model: Redelegation, x: FloatArray, rescued: FloatArray, limit: RiskLimit, scope: str, member: int
) -> float:
    mine = _mine(model.instance, scope, member)
    if limit.measure == "expected":
        return _expected(model, x, mine) + float(
            model.outcomes.probability @ (rescued @ _expected_effect(model, mine))
        )
    losses, weights = losses_at_leaves(model, x, rescued, mine), _weights(model)
    if limit.measure == "cvar":
        return cvar(losses.ravel(), weights.ravel(), limit.level)
    if limit.measure == "worst_case":
        return float(losses[weights > 0.0].max(initial=0.0))
    return float(weights[_is_over(losses, limit.budget)].sum())


def _fresh_value(
    model: Redelegation, x: FloatArray, fresh: FreshRecourse, limit: RiskLimit, mine: FloatArray
) -> tuple[float, float | None]:
    count = len(fresh.outcomes)
    if limit.measure == "expected":
        effect = fresh.rescued @ _expected_effect(model, mine)
        error = mean_error(effect, 0.0)
        return _expected(model, x, mine) + float(effect.mean()), error
    losses = fresh_losses(model, x, fresh, mine)
    if limit.measure == "cvar":
        error = cvar_error(losses, limit.level, 0.0)
        return cvar(losses, np.full(count, 1.0 / count), limit.level), error
    if limit.measure == "worst_case":
        return float(losses.max(initial=0.0)), None
    share = float(_is_over(losses, limit.budget).mean())
    return share, share_error(share, count)


def _is_over(losses: FloatArray, budget: float) -> BoolArray:
    over: BoolArray = losses > most_allowed(budget)
    return over


def _expected(model: Redelegation, x: FloatArray, mine: FloatArray) -> float:
    """Slashing that p leaves in the first stage."""
    instance = model.instance
    offers, held, slashing = instance.offers, instance.commitments, instance.claims.slashing
    amount = slashing[offers.claim] * mine[offers.operator] * (1.0 - offers.success_probability)
    lost = float(amount[_chosen(model, x)].sum())
    return lost + float((slashing[held.claim] * mine[held.operator]) @ (1.0 - held.success_probability))


def _expected_effect(model: Redelegation, mine: FloatArray) -> FloatArray:
    """What each rescue adds to the expected slashing. Shape (decisions,)."""
    place, amount, takes_up = late_effects(model, mine)
    p = model.instance.offers.success_probability[model.rescues.offers[place]]
    return np.where(takes_up, 1.0 - p, -p) * amount
