"""From a strategy's solution to a plan."""

from __future__ import annotations

import math
from functools import cache
from importlib import metadata
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from bondwork.arrays import sum_by_owner
from bondwork.plan.choices import explain_choices
from bondwork.plan.explanation import explain_unassigned, price_limits
from bondwork.plan.loads import load_gains, load_shares
from bondwork.plan.overcommitted import list_overcommitted
from bondwork.plan.plan import (
    Assignment,
    Conflict,
    IneligibleOffers,
    OperatorShare,
    Plan,
    Provenance,
    ReplicaValue,
    RiskValue,
    Timing,
)
from bondwork.problem.constraints import document_of
from bondwork.problem.instance import NOBODY
from bondwork.problem.teams import team_benefit, team_room, team_slashing, team_value, teams_of_offers
from bondwork.problem.values import (
    expected_cost,
    is_below_minimum_collateral,
    is_too_late,
    net_reward,
    paid_above_bid,
)
from bondwork.program.bounds import gap
from bondwork.risk.history_errors import HistoryErrors
from bondwork.solver.version import highs_version

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bondwork.arrays import FloatArray, IntArray
    from bondwork.contracts import Solution
    from bondwork.plan.plan import Reason
    from bondwork.problem.instance import Instance
    from bondwork.problem.teams import Teams
    from bondwork.program.program import Program
    from bondwork.risk.assessment import Assessment

#: Version of an installed package, read once.
version = cache(metadata.version)


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
    replica_values: Sequence[ReplicaValue] = (),
    assessments: Sequence[Assessment] = (),
    tightening: Mapping[int, float] = MappingProxyType({}),
) -> Plan:
    """Write a solution down as a plan, not yet verified."""
    x = solution.x
    past = instance.uncertainty.history
    teams = _chosen_teams(instance, program, x)
    price = agreed_prices(instance, program, solution)
    objective = None if x is None else _objective(instance, program, teams, x, price)
    not_taken: Reason = "unexplained" if solution.price is None else "no_price"
    bound = solution.bound if math.isfinite(solution.bound) else None
    if objective is not None and bound is not None:
        bound = max(bound, objective)  # the plan's own sum may round to a hair above the solver's
    error = None
    if x is not None and program.mean_risk is None:
        error = HistoryErrors(instance, chosen_offers(program, x)).objective
    exceeded = list_overcommitted(instance, program.limits, program.measures)
    full = {each.limit for each in exceeded}
    return Plan(
        status=solution.status,
        solution="none" if x is None else "optimal" if solution.status == "optimal" else "feasible",
        strategy=solution.strategy or strategy,
        formulation=formulation,
        objective=objective,
        worth_taken=None if x is None or instance.worth is None else math.fsum(team_room(instance, teams)),
        bound=bound,
        gap=None if objective is None or bound is None else gap(objective, bound),
        objective_standard_error=error,
        assignments=explain_choices(instance, program, solution, list_assignments(instance, teams, price)),
        constraints=[document_of(each) for each in instance.constraints if each.beside],
        unassigned=[] if x is None else explain_unassigned(instance, program, x, if_it_fits=not_taken),
        replica_values=list(replica_values),
        operators=[] if x is None else list_shares(instance, teams),
        loads=[] if x is None else load_shares(instance, chosen_offers(program, x)),
        load_error=program.load_error,
        risk=list_risk_values(instance, assessments, tightening),
        overcommitted=exceeded,
        # one more unit of what commitments exceed earns nothing
        prices=[each for each in price_limits(program, solution) if each.limit not in full],
        prices_from=solution.prices_from,
        ineligible_offers=count_ineligible(instance),
        conflict=conflict,
        timing=timing,
        provenance=Provenance(
            bondwork=version("bondwork"),
            highs=highs_version(),
            input_sha256=instance.sha256,
            history_sha256=None if past is None else past.sha256,
            seed=seed,
            options=dict(options),
            notes=list(solution.notes),
        ),
    )


def chosen_offers(program: Program, x: FloatArray | None) -> IntArray:
    """Offers that a solution chooses; none where there is no solution."""
    if x is None:
        return np.zeros(0, dtype=np.int64)
    chosen = np.flatnonzero(x > 0.5)
    if program.teams is None:
        return program.columns[chosen]
    return np.sort(program.teams.select(chosen).member)


def _chosen_teams(instance: Instance, program: Program, x: FloatArray | None) -> Teams:
    """Teams that a solution chooses, with the chances that they were chosen for."""
    if x is None or program.teams is None:
        return teams_of_offers(instance, chosen_offers(program, x))
    return program.teams.select(np.flatnonzero(x > 0.5))


def agreed_prices(instance: Instance, program: Program, solution: Solution) -> FloatArray:
    """What is agreed for each offer: its bid, unless an auction said more. Shape (O,)."""
    price: FloatArray = instance.offers.bid.copy()
    if solution.price is not None:
        price[program.columns[: program.choices]] = solution.price
    return price


def _objective(instance: Instance, program: Program, teams: Teams, x: FloatArray, price: FloatArray) -> float:
    """Net reward, less what tasks left cost, and load incentives, summed without rounding; or mean-risk."""
    left = np.ones(len(instance.tasks), dtype=bool)
    left[instance.claims.task[teams.claim]] = False
    left[instance.commitments.task] = False
    gains = load_gains(instance, chosen_offers(program, x))
    above = -paid_above_bid(instance, price)[teams.member]
    terms = np.concatenate([team_value(instance, teams), -instance.tasks.unassigned_cost[left], gains, above])
    earned = math.fsum(terms.tolist())
    if program.mean_risk is None:
        return earned
    weight, measure = program.mean_risk
    return (1.0 - weight) * earned - weight * measure.value(x)


def list_assignments(instance: Instance, teams: Teams, price: FloatArray | None = None) -> list[Assignment]:
    """One for each executor; what the task itself brings is shared equally among those who do it.

    ``price``, shape (O,), is what is agreed for each offer: its bid where left out.
    """
    offers = instance.offers
    price = offers.bid if price is None else price
    sizes = np.repeat(teams.sizes, teams.sizes)
    shared = np.repeat(team_benefit(instance, teams), teams.sizes) / sizes
    gain = np.where(
        sizes == 1, net_reward(instance)[teams.member], shared - expected_cost(instance)[teams.member]
    )
    gain = gain - paid_above_bid(instance, price)[teams.member]
    slashing = np.repeat(team_slashing(instance, teams), teams.sizes) / sizes
    order = np.lexsort((teams.member, offers.task[teams.member]))
    return [
        Assignment(
            offer=offers.ids[o],
            task=instance.tasks.ids[offers.task[o]],
            operator=instance.operators.ids[offers.operator[o]],
            executor=instance.executor_id(int(offers.operator[o]), int(offers.coprocessor[o])),
            kind="self" if offers.coprocessor[o] == NOBODY else "delegated",
            bid=float(offers.bid[o]),
            price=float(price[o]),
            collateral=float(offers.collateral[o]),
            success_probability=float(offers.success_probability[o]),
            expected_net_reward=float(gain[i]),
            expected_slashing=float(slashing[i]),
        )
        for i, o in zip(order.tolist(), teams.member[order].tolist(), strict=True)
    ]


def list_shares(instance: Instance, teams: Teams) -> list[OperatorShare]:
    """Expected benefit and slashing of each operator, B[v] of the paper."""
    operator = instance.claims.operator[teams.claim]
    size = len(instance.operators)
    benefit = sum_by_owner(operator, team_benefit(instance, teams), size)
    slashing = sum_by_owner(operator, team_slashing(instance, teams), size)
    return [
        OperatorShare(id=each, expected_benefit=float(b), expected_slashing=float(s))
        for each, b, s in zip(instance.operators.ids, benefit, slashing, strict=True)
    ]


def list_risk_values(
    instance: Instance, assessments: Sequence[Assessment], tightening: Mapping[int, float]
) -> list[RiskValue]:
    """What each risk limit measures, and whether it holds."""
    values = []
    for each in assessments:
        limit = instance.risk[each.limit]
        values.append(
            RiskValue(
                measure=limit.measure,
                of=each.of,
                budget=each.ceiling,
                in_sample=each.in_sample,
                out_of_sample=each.out_of_sample,
                standard_error=each.standard_error,
                holds=each.holds,
                calibrated=each.calibrated(tightening.get(each.limit)),
            )
        )
    return values


def count_ineligible(instance: Instance) -> IneligibleOffers:
    """Count the triples that could never be chosen, by reason."""
    return IneligibleOffers(
        minimum_collateral=int(is_below_minimum_collateral(instance).sum()),
        deadline=int(is_too_late(instance).sum()),
    )
