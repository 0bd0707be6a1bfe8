"""From a strategy's solution to a plan."""

from __future__ import annotations

import math
from importlib.metadata import version
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
    from collections.abc import Mapping

    from bondwork.arrays import IntArray
    from bondwork.contracts import Solution
    from bondwork.problem.instance import Instance, RiskLimit
    from bondwork.program.program import Program


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
) -> Plan:
    """Write a solution down as a plan, not yet verified."""
    x = solution.x
    chosen = np.zeros(0, dtype=np.int64) if x is None else program.columns[x > 0.5]
    objective = None if x is None else _objective(instance, chosen)
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
        risk=[] if x is None else _risk_values(instance, chosen),
        prices=price_limits(program, solution.row_duals),
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


def _objective(instance: Instance, chosen: IntArray) -> float:
    """Net reward of the plan less what the tasks left behind cost, added up without rounding."""
    left = np.ones(len(instance.tasks), dtype=bool)
    left[instance.offers.task[chosen]] = False
    left[instance.commitments.task] = False
    terms = np.concatenate([net_reward(instance)[chosen], -instance.tasks.unassigned_cost[left]])
    return math.fsum(terms.tolist())


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


def _risk_values(instance: Instance, chosen: IntArray) -> list[RiskValue]:
    """Expected losses exactly; tail limits of a solved round are beyond reach and hold whatever happens."""
    values = []
    for limit in instance.risk:
        for label, loss in _scope_losses(instance, limit, chosen):
            exact = limit.measure == "expected"
            values.append(
                RiskValue(
                    measure=limit.measure,
                    of=label,
                    budget=limit.budget if math.isfinite(limit.budget) else limit.probability,
                    in_sample=loss if exact else None,
                    out_of_sample=None,
                    standard_error=None,
                    holds=True,
                )
            )
    return values


def _scope_losses(instance: Instance, limit: RiskLimit, chosen: IntArray) -> list[tuple[str, float]]:
    offers, held = instance.offers, instance.commitments
    loss = np.concatenate(
        [
            expected_slashing(instance)[chosen],
            instance.claims.slashing[held.claim] * (1.0 - held.success_probability),
        ]
    )
    if limit.scope == "network":
        return [("network", math.fsum(loss.tolist()))]
    if limit.scope == "operator":
        owner = np.concatenate([offers.operator[chosen], held.operator])
        ids = instance.operators.ids
    else:
        owner = np.concatenate([offers.coprocessor[chosen], held.coprocessor])
        ids = instance.coprocessors.ids
    total = sum_by_owner(owner, loss, len(ids))
    members = range(len(ids)) if limit.member is None else [limit.member]
    return [(ids[i], float(total[i])) for i in members]


def count_ineligible(instance: Instance) -> IneligibleOffers:
    """Count the triples that could never be chosen, by reason."""
    return IneligibleOffers(
        minimum_collateral=int(is_below_minimum_collateral(instance).sum()),
        deadline=int(is_too_late(instance).sum()),
    )
