"""From the solution of a round with later periods to a plan."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from bondwork.plan.building import count_ineligible, list_assignments, list_risk_values, list_shares
from bondwork.plan.explanation import explain_unassigned
from bondwork.plan.loads import load_shares
from bondwork.plan.overcommitted import list_overcommitted
from bondwork.plan.plan import Conflict, NodeDecision, Plan, Unassigned
from bondwork.plan.recall import columns_of_offers
from bondwork.plan.replicas import value_replicas
from bondwork.problem.limits import enumerate_limits
from bondwork.problem.release import THIS_ROUND
from bondwork.problem.teams import team_value, teams_of_offers
from bondwork.problem.values import is_committed
from bondwork.program.bounds import gap
from bondwork.program.horizon import rounds_of
from bondwork.uncertainty.horizon import ENDED

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bondwork.arrays import IntArray
    from bondwork.problem.instance import Instance
    from bondwork.program.horizon import HorizonProgram
    from bondwork.program.program import Program
    from bondwork.program.program_solution import ProgramSolution
    from bondwork.risk.assessment import Assessment


def build_horizon_plan(
    instance: Instance,
    made: HorizonProgram,
    solution: ProgramSolution,
    *,
    now: Program | None,
    formulation: str,
    options: Mapping[str, bool | int | float | str | None],
    seed: int,
    assessments: Sequence[Assessment] = (),
    conflict: Conflict | None = None,
) -> Plan:
    """Write a solution down as a plan, not yet verified.

    Parameters
    ----------
    instance, made
        The round and its program.
    solution
        What a strategy decided, with every node.
    now
        The round by itself, for the reasons of what is left; ``None`` where there is no solution.
    formulation, options, seed, assessments, conflict
        For the plan.
    """
    picked = columns_by_node(made, solution)
    chosen = offers_by_node(made, picked)
    objective = math.fsum(_terms(made, picked)) if chosen else None
    bound = None if solution.bound is None else solution.bound * made.unit
    if objective is not None and bound is not None:
        bound = max(bound, objective)
    teams = teams_of_offers(instance, chosen[0] if chosen else np.zeros(0, dtype=np.int64))
    tree = made.tree
    notes = [_told(made), *solution.provenance.notes]
    # a strategy that proves a bound and decides nothing has not solved the round
    bare = solution.status == "optimal" and not chosen
    return Plan(
        status="locally_solved" if bare else solution.status,
        solution=solution.solution,
        strategy=solution.strategy,
        formulation=formulation,
        objective=objective,
        bound=bound,
        gap=None if objective is None or bound is None else gap(objective, bound),
        assignments=list_assignments(instance, teams),
        recourse=[
            _node_decision(made, node, chosen)
            for node in range(len(chosen))
            if int(tree.period[node]) not in (THIS_ROUND, ENDED)
        ],
        unassigned=_explain(instance, now, chosen[0]) if chosen and now is not None else [],
        operators=list_shares(instance, teams) if chosen else [],
        loads=load_shares(instance, chosen[0]) if chosen else [],
        replica_values=value_replicas(instance, chosen[0]) if chosen else [],
        risk=list_risk_values(instance, assessments, {}),
        overcommitted=list_overcommitted(instance, enumerate_limits(instance)),
        ineligible_offers=count_ineligible(instance),
        conflict=conflict,
        stochastic=_value(solution, made.unit),
        provenance=solution.provenance.model_copy(
            update={
                "input_sha256": instance.sha256,
                "tree_sha256": tree.tree.sha256,
                "seed": seed,
                "options": dict(options),
                "notes": notes,
            }
        ),
    )


def columns_by_node(made: HorizonProgram, solution: ProgramSolution) -> list[IntArray]:
    """Teams that a solution chooses, by node; an empty list where there is no solution."""
    if solution.nodes is None:
        return []
    chosen = []
    for node, each in enumerate(solution.nodes):
        names = made.program.template_of(node).columns
        chosen.append(np.flatnonzero([each.values[name] > 0.5 for name in names]))
    return chosen


def offers_by_node(made: HorizonProgram, columns: Sequence[IntArray]) -> list[IntArray]:
    """Offers of chosen teams, by node."""
    period = made.tree.period.tolist()
    return [
        np.sort(made.teams[point].select(each).member) if point != ENDED else np.zeros(0, dtype=np.int64)
        for point, each in zip(period, columns, strict=False)
    ]


def _terms(made: HorizonProgram, chosen: Sequence[IntArray]) -> list[float]:
    """Expected net rewards and costs of tasks left, by node: the objective, to be added up."""
    found: list[float] = []
    probability = made.tree.tree.probability.tolist()
    for node, columns in enumerate(chosen):
        if int(made.tree.period[node]) == ENDED:
            continue
        decided = rounds_of(made, node)
        teams = made.teams[int(made.tree.period[node])].select(columns)
        left = ~is_committed(decided)
        left[decided.claims.task[teams.claim]] = False
        terms = np.concatenate([team_value(decided, teams), -decided.tasks.unassigned_cost[left]])
        found += (probability[node] * terms).tolist()
    return found


def _node_decision(made: HorizonProgram, node: int, chosen: Sequence[IntArray]) -> NodeDecision:
    decided = rounds_of(made, node)
    failed, commitments = _failures(made, node, chosen)
    return NodeDecision(
        node=made.tree.names[node],
        stage=int(made.tree.tree.stage[node]),
        period=decided.name,
        probability=float(made.tree.tree.probability[node]),
        failed=failed,
        failed_commitments=commitments,
        assignments=list_assignments(decided, teams_of_offers(decided, chosen[node])),
    )


def _failures(made: HorizonProgram, node: int, chosen: Sequence[IntArray]) -> tuple[list[str], list[str]]:
    """Tasks that were chosen on the way, and commitments, that are seen to fail on entering a node."""
    tree, horizon = made.tree, made.tree.horizon
    seen = tree.seen[int(tree.period[node])]
    above: dict[int, int] = {}
    at = int(tree.tree.parent[node])
    while at >= 0:
        above[int(tree.period[at])] = at
        at = int(tree.tree.parent[at])
    tasks, commitments = dict[tuple[int, int], str](), []
    for k in np.flatnonzero(~seen.outcomes[tree.realisation[node]]).tolist():
        point, item = int(seen.point[k]), int(seen.item[k])
        if seen.is_commitment[k]:
            commitments.append(horizon.instance.commitments.ids[item])
        elif item in chosen[above[point]]:
            decided = horizon.rounds[point]
            claims = decided.offers.claim[chosen[above[point]]]
            team = chosen[above[point]][claims == decided.offers.claim[item]]
            task = int(decided.offers.task[item])
            spare = len(team) - int(decided.tasks.quorum[task])
            now = _count_failed(made, node, point, team)
            before = _count_failed(made, int(tree.tree.parent[node]), point, team)
            if before <= spare < now:
                tasks[point, task] = decided.tasks.ids[task]
    return list(tasks.values()), commitments


def _count_failed(made: HorizonProgram, node: int, point: int, team: IntArray) -> int:
    """How many of a team that was chosen at a decision point are seen to have failed at a node."""
    tree, count = made.tree, 0
    at = node
    while int(tree.period[at]) != point:
        seen = tree.seen[int(tree.period[at])]
        mine = (seen.point == point) & ~seen.is_commitment & np.isin(seen.item, team)
        count += int((mine & ~seen.outcomes[tree.realisation[at]]).sum())
        at = int(tree.tree.parent[at])
    return count


def _explain(instance: Instance, now: Program, chosen: IntArray) -> list[Unassigned]:
    """Say for each task of the round without an executor why; what fits and would earn is kept for later."""
    x = columns_of_offers(now, np.isin(np.arange(len(instance.offers)), chosen))
    return explain_unassigned(instance, now, x, if_it_fits="kept_for_later")


def _told(made: HorizonProgram) -> str:
    """What kind of tree it was."""
    tree = made.tree
    paths = len(tree.tree.leaves)
    if tree.exact:
        return f"the tree holds every path: {paths}, {len(tree.names)} nodes"
    return f"the tree is a sample of {paths} paths, {len(tree.names)} nodes: values are those of the sample"


def _value(solution: ProgramSolution, unit: float) -> dict[str, float | str | None] | None:
    """What the stochastic model is worth, where that was asked for."""
    if solution.stochastic is None:
        return None
    worth = solution.stochastic.model_dump(exclude={"notes"})
    values: dict[str, float | str | None] = {
        name: None if amount is None else amount * unit for name, amount in worth.items()
    }
    if solution.stochastic.notes:
        values["notes"] = "; ".join(solution.stochastic.notes)
    return values
