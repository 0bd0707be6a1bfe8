"""From a strategy's solution to a plan."""

from __future__ import annotations

import math
from importlib.metadata import version
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from bondwork.arrays import sum_by_owner
from bondwork.plan.explanation import explain_unassigned, price_limits
from bondwork.plan.plan import (
    Assignment,
    Conflict,
    IneligibleOffers,
    OperatorShare,
    Plan,
    Provenance,
    RiskValue,
    Timing,
)
from bondwork.problem.instance import NOBODY
from bondwork.problem.values import (
    expected_benefit,
    expected_slashing,
    is_below_minimum_collateral,
    is_too_late,
    net_reward,
)
from bondwork.program.bounds import gap

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bondwork.arrays import FloatArray, IntArray
    from bondwork.contracts import Solution
    from bondwork.problem.instance import Instance
    from bondwork.program.program import Program
    from bondwork.risk.assessment import Assessment


def build_plan(
    instance: Instance,
    program: Program,
    solution: Solution,
    *,
    strategy: str,
    formulation: str,
    options: Mapping[str, bool | int | float | str | None],
    seed: int,
    timing: Timing,
    conflict: Conflict | None = None,
    assessments: Sequence[Assessment] = (),
    tightening: Mapping[int, float] = MappingProxyType({}),
) -> Plan:
    """Write a solution down as a plan, not yet verified."""
    x = solution.x
    chosen = chosen_offers(program, x)
    objective = None if x is None else _objective(instance, program, chosen, x)
    bound = solution.bound if math.isfinite(solution.bound) else None
    if objective is not None and bound is not None:
        bound = max(bound, objective)  # the plan's own sum may round to a hair above the solver's
    return Plan(
        status=solution.status,
        solution="none" if x is None else "optimal" if solution.status == "optimal" else "feasible",
        strategy=solution.strategy or strategy,
        formulation=formulation,
        objective=objective,
        bound=bound,
        gap=None if objective is None or bound is None else gap(objective, bound),
        assignments=_assignments(instance, chosen),
        unassigned=[] if x is None else explain_unassigned(instance, program, x),
        operators=[] if x is None else _operator_shares(instance, chosen),
        risk=_risk_values(instance, assessments, tightening),
        prices=price_limits(program, solution),
        prices_from=solution.prices_from,
        ineligible_offers=count_ineligible(instance),
        conflict=conflict,
        timing=timing,
        provenance=Provenance(
            bondwork=version("bondwork"),
            highs=version("highspy"),
            input_sha256=instance.sha256,
            seed=seed,
            options=dict(options),
            notes=list(solution.notes),
        ),
    )


def chosen_offers(program: Program, x: FloatArray | None) -> IntArray:
    """Offers that a solution chooses; none where there is no solution."""
    if x is None:
        return np.zeros(0, dtype=np.int64)
    return program.columns[: program.choices][x > 0.5]


def _objective(instance: Instance, program: Program, chosen: IntArray, x: FloatArray) -> float:
    """Net reward less what the tasks left behind cost, added up without rounding; or mean-risk."""
    left = np.ones(len(instance.tasks), dtype=bool)
    left[instance.offers.task[chosen]] = False
    left[instance.commitments.task] = False
    terms = np.concatenate([net_reward(instance)[chosen], -instance.tasks.unassigned_cost[left]])
    earned = math.fsum(terms.tolist())
    if program.mean_risk is None:
        return earned
    weight, measure = program.mean_risk
    return (1.0 - weight) * earned - weight * measure.value(x)


def _assignments(instance: Instance, chosen: IntArray) -> list[Assignment]:
    offers = instance.offers
    order = chosen[np.lexsort((chosen, offers.task[chosen]))]
    gain, slashing = net_reward(instance), expected_slashing(instance)
    return [
        Assignment(
            offer=offers.ids[o],
            task=instance.tasks.ids[offers.task[o]],
            operator=instance.operators.ids[offers.operator[o]],
            executor=instance.executor_id(int(offers.operator[o]), int(offers.coprocessor[o])),
            kind="self" if offers.coprocessor[o] == NOBODY else "delegated",
            bid=float(offers.bid[o]),
            price=float(offers.bid[o]),
            collateral=float(offers.collateral[o]),
            success_probability=float(offers.success_probability[o]),
            expected_net_reward=float(gain[o]),
            expected_slashing=float(slashing[o]),
        )
        for o in order.tolist()
    ]


def _operator_shares(instance: Instance, chosen: IntArray) -> list[OperatorShare]:
    operator = instance.offers.operator[chosen]
    size = len(instance.operators)
    benefit = sum_by_owner(operator, expected_benefit(instance)[chosen], size)
    slashing = sum_by_owner(operator, expected_slashing(instance)[chosen], size)
    return [
        OperatorShare(id=each, expected_benefit=float(b), expected_slashing=float(s))
        for each, b, s in zip(instance.operators.ids, benefit, slashing, strict=True)
    ]


def _risk_values(
    instance: Instance, assessments: Sequence[Assessment], tightening: Mapping[int, float]
) -> list[RiskValue]:
    values = []
    for each in assessments:
        limit = instance.risk[each.limit]
        factor = tightening.get(each.limit)
        values.append(
            RiskValue(
                measure=limit.measure,
                of=each.of,
                budget=each.ceiling,
                in_sample=each.in_sample,
                out_of_sample=each.out_of_sample,
                standard_error=each.standard_error,
                holds=each.holds,
                calibrated=None if factor is None else each.ceiling * factor,
            )
        )
    return values


def count_ineligible(instance: Instance) -> IneligibleOffers:
    """Count the triples that could never be chosen, by reason."""
    return IneligibleOffers(
        minimum_collateral=int(is_below_minimum_collateral(instance).sum()),
        deadline=int(is_too_late(instance).sum()),
    )
