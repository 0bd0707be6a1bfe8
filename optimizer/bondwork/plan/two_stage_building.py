"""From a two-stage decision to a plan: what is done now, and what is done once failures are seen."""

from __future__ import annotations

import math
from importlib.metadata import version
from typing import TYPE_CHECKING

import numpy as np

from bondwork.plan.building import count_ineligible, list_assignments, list_risk_values, list_shares
from bondwork.plan.explanation import explain_unassigned
from bondwork.plan.loads import load_shares
from bondwork.plan.overcommitted import list_two_stage_overcommitted
from bondwork.plan.plan import Assignment, NodeDecision, Plan, Provenance
from bondwork.problem.teams import teams_of_offers
from bondwork.program.bounds import gap
from bondwork.program.rescue_assessment import in_sample_objective
from bondwork.solver.version import highs_version

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bondwork.arrays import FloatArray
    from bondwork.program.program import Program
    from bondwork.program.redelegation import Redelegation
    from bondwork.two_stages import TwoStageDecision, TwoStageRoad


def build_two_stage_plan(
    found: TwoStageDecision,
    road: TwoStageRoad,
    *,
    formulation: str,
    options: Mapping[str, bool | int | float | str | None],
) -> Plan:
    """Write a two-stage decision down as a plan, not yet verified."""
    instance, decision = road.instance, found.decision
    settled, x, rescued = found.settled, found.x, found.rescued
    bound = decision.bound if math.isfinite(decision.bound) else None
    objective = None
    if settled is not None and x is not None and rescued is not None:
        objective = in_sample_objective(settled, x, rescued)
        bound = None if bound is None else max(bound, objective)
    status = decision.status
    if objective is None and status == "optimal":
        # a strategy that proves a bound and decides nothing has not solved the round
        status = "locally_solved" if decision.root is None else "other_error"
    plan = Plan(
        status=status,
        solution="none" if objective is None else "optimal" if status == "optimal" else "feasible",
        strategy=decision.strategy or ("extensive" if road.strategy == "auto" else road.strategy),
        formulation=formulation,
        objective=objective,
        bound=bound,
        gap=None if objective is None or bound is None else gap(objective, bound),
        ineligible_offers=count_ineligible(instance),
        overcommitted=list_two_stage_overcommitted(instance, found.model.first.limits, found.model.outcomes),
        conflict=found.conflict,
        stochastic=found.stochastic,
        evaluation=found.evaluation,
        timing=found.timing,
        provenance=Provenance(
            bondwork=version("bondwork"),
            highs=highs_version(),
            input_sha256=instance.sha256,
            tree_sha256=found.model.outcomes.tree(instance.offers.ids).sha256,
            seed=road.seed,
            options=dict(options),
            notes=list(found.notes),
        ),
    )
    if settled is None or x is None or rescued is None:
        return plan
    chosen = _chosen(settled.first, x)
    teams = teams_of_offers(instance, chosen)
    return plan.model_copy(
        update={
            "assignments": list_assignments(instance, teams),
            "recourse": _recourse(settled, x, rescued),
            # limits on losses are left aside: they hold after the rescues
            "unassigned": explain_unassigned(
                instance, settled.first, x[: settled.first.choices], if_it_fits="kept_for_later"
            ),
            "operators": list_shares(instance, teams),
            "loads": load_shares(instance, chosen),
            "risk": list_risk_values(instance, found.assessments, found.tightening),
        }
    )


def _chosen(first: Program, x: FloatArray) -> np.ndarray:
    return np.sort(first.columns[: first.choices][x[: first.choices] > 0.5])


def _recourse(model: Redelegation, x: FloatArray, rescued: FloatArray) -> list[NodeDecision]:
    """What is done in each outcome that can be told from the others; where nothing is, nothing is said."""
    instance, outcomes = model.instance, model.outcomes
    tasks, held = instance.tasks.ids, instance.commitments.ids
    said = []
    for k in np.argsort(-outcomes.probability, kind="stable").tolist():
        failed = sorted(instance.offers.task[outcomes.offers[outcomes.failed[k]]].tolist())
        lost = np.flatnonzero(outcomes.lost[k]).tolist()
        names = [f"{tasks[a]} failed" for a in failed] + [f"{held[i]} lost" for i in lost]
        said.append(
            NodeDecision(
                node=", ".join(names) or "nothing failed",
                stage=1,
                probability=min(float(outcomes.probability[k]), 1.0),
                failed=[tasks[a] for a in failed],
                failed_commitments=[held[i] for i in lost],
                assignments=_rescues(model, rescued[k]),
            )
        )
    return said


def _rescues(model: Redelegation, rescued: FloatArray) -> list[Assignment]:
    instance = model.instance
    offers, slashing = instance.offers, instance.claims.slashing
    gain = np.concatenate([model.rescues.after_failure[model.over], model.rescues.when_left[model.up]])
    late = model.rescues.offers[np.concatenate([model.over, model.up])]
    columns = np.flatnonzero(rescued > 0.5)
    found = []
    for j in columns[np.lexsort((late[columns], offers.task[late[columns]]))].tolist():
        o = int(late[j])
        p = float(offers.success_probability[o])
        found.append(
            Assignment(
                offer=offers.ids[o],
                task=instance.tasks.ids[offers.task[o]],
                operator=instance.operators.ids[offers.operator[o]],
                executor=instance.coprocessors.ids[offers.coprocessor[o]],
                kind="delegated",
                bid=float(offers.bid[o]),
                price=float(offers.bid[o]),
                collateral=float(offers.collateral[o]),
                success_probability=p,
                expected_net_reward=float(gain[j]),
                expected_slashing=float(slashing[offers.claim[o]]) * (1.0 - p),
            )
        )
    return found
