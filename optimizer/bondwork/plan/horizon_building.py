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
from bondwork.problem.teams import team_net_reward, teams_of_offers
from bondwork.problem.values import is_committed
from bondwork.program.bounds import gap
from bondwork.program.horizon import rounds_of
from bondwork.program.horizon_assessment import choice
from bondwork.program.horizon_loads import load_error, load_gains
from bondwork.program.horizon_room import RoomToTheEnd
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
    picked: Sequence[IntArray],
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
        What a strategy decided.
    picked
        Columns that are chosen, by node; none where there is no solution.
    now
        The round by itself, for the reasons of what is left; ``None`` where there is no solution.
    formulation, options, seed, assessments, conflict
        For the plan.
    """
    chosen = offers_by_node(made, picked)
    objective = objective_of(made, picked) if chosen else None
    bound = None if solution.bound is None else solution.bound * made.unit
    if objective is not None and bound is not None:
        bound = max(bound, objective)
    teams = teams_of_offers(instance, chosen[0] if chosen else np.zeros(0, dtype=np.int64))
    tree, failures = made.tree, _Failures(made, chosen)
    notes = [_told(made), *solution.provenance.notes]
    # a strategy that proves a bound and decides nothing has not solved the round
    bare = solution.status == "optimal" and not chosen
    return Plan(
        status="locally_solved" if bare else solution.status,
        solution=solution.solution,
        strategy=solution.strategy,
        formulation=formulation,
        objective=objective,
        worth_taken=math.fsum(_room_terms(made, picked)) if chosen and instance.worth is not None else None,
        bound=bound,
        gap=None if objective is None or bound is None else gap(objective, bound),
        assignments=list_assignments(instance, teams),
        recourse=[
            _node_decision(made, node, chosen, failures)
            for node in range(len(chosen))
            if int(tree.period[node]) not in (THIS_ROUND, ENDED)
        ],
        unassigned=_explain(instance, now, chosen[0]) if chosen and now is not None else [],
        operators=list_shares(instance, teams) if chosen else [],
        loads=load_shares(instance, chosen[0]) if chosen else [],
        load_error=(1.0 - instance.objective.risk_weight) * load_error(made),
        replica_values=value_replicas(instance, chosen[0]) if chosen else [],
        risk=list_risk_values(instance, assessments, {}),
        overcommitted=list_overcommitted(instance, enumerate_limits(instance), made.measures.limits),
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
        point = int(made.tree.period[node])
        names = made.program.template_of(node).columns[: len(made.teams[point]) if point != ENDED else 0]
        chosen.append(np.flatnonzero([each.values[name] > 0.5 for name in names]))
    return chosen


def offers_by_node(made: HorizonProgram, columns: Sequence[IntArray]) -> list[IntArray]:
    """Offers of chosen teams, by node."""
    period = made.tree.period.tolist()
    return [
        np.sort(made.teams[point].select(each).member) if point != ENDED else np.zeros(0, dtype=np.int64)
        for point, each in zip(period, columns, strict=False)
    ]


def objective_of(made: HorizonProgram, picked: Sequence[IntArray]) -> float:
    """The objective of a policy, added up again.

    Parameters
    ----------
    picked
        Columns that are chosen, by node.
    """
    terms, priced = _terms(made, picked), made.measures.priced
    terms += [-each for each in _room_terms(made, picked)]
    for chance, gains in zip(made.tree.tree.probability.tolist(), load_gains(made, picked), strict=True):
        terms += [chance * each for each in gains]
    if priced is not None:
        weight = made.tree.horizon.instance.objective.risk_weight
        terms = [(1.0 - weight) * each for each in terms]
        terms.append(-weight * priced.value(choice(made, picked)))
    return math.fsum(terms)


def _room_terms(made: HorizonProgram, chosen: Sequence[IntArray]) -> list[float]:
    """Worth of the room that is taken to the end of the paths, by what is chosen at the nodes."""
    horizon, probability = made.tree.horizon, made.tree.tree.probability.tolist()
    if horizon.instance.worth is None:
        return []
    points = (*horizon.reached, THIS_ROUND)
    rooms = {point: RoomToTheEnd(horizon, point, made.teams[point]) for point in points}
    found: list[float] = []
    for node, columns in enumerate(chosen):
        point = int(made.tree.period[node])
        if point != ENDED:
            found += (probability[node] * rooms[point].charge(rounds_of(made, node))[columns]).tolist()
    return found


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
        terms = np.concatenate([team_net_reward(decided, teams), -decided.tasks.unassigned_cost[left]])
        found += (probability[node] * terms).tolist()
    return found


def _node_decision(
    made: HorizonProgram, node: int, chosen: Sequence[IntArray], failures: _Failures
) -> NodeDecision:
    decided = rounds_of(made, node)
    failed, commitments = failures.on_entering(node)
    return NodeDecision(
        node=made.tree.names[node],
        stage=int(made.tree.tree.stage[node]),
        period=decided.name,
        probability=float(made.tree.tree.probability[node]),
        failed=failed,
        failed_commitments=commitments,
        assignments=list_assignments(decided, teams_of_offers(decided, chosen[node])),
    )


class _Failures:
    """Tasks that were chosen on the way to a node, and commitments, that are seen to fail on entering it."""

    def __init__(self, made: HorizonProgram, chosen: Sequence[IntArray]) -> None:
        self._tree, self._chosen = made.tree, chosen
        self._period: list[int] = made.tree.period.tolist()
        self._parent: list[int] = made.tree.tree.parent.tolist()
        self._known: dict[int, dict[int, list[int]]] = {}

    def on_entering(self, node: int) -> tuple[list[str], list[str]]:
        """Names of the tasks and of the commitments."""
        tree, horizon = self._tree, self._tree.horizon
        seen = tree.seen[self._period[node]]
        way, at = [node], node
        while (at := self._parent[at]) >= 0:
            way.append(at)
        above = {self._period[at]: at for at in way[1:]}
        failed = [self._seen_at(at) for at in way[:-1]]
        tasks, commitments = dict[tuple[int, int], str](), []
        for k in np.flatnonzero(~seen.outcomes[tree.realisation[node]]).tolist():
            point, item = int(seen.point[k]), int(seen.item[k])
            if seen.is_commitment[k]:
                commitments.append(horizon.instance.commitments.ids[item])
            elif item in (teams := self._teams(above[point])):
                decided = horizon.rounds[point]
                task = int(decided.offers.task[item])
                spare = len(teams[item]) - int(decided.tasks.quorum[task])
                lost = [sum((point, each) in some for each in teams[item]) for some in failed]
                if sum(lost[1:]) <= spare < sum(lost):
                    tasks[point, task] = decided.tasks.ids[task]
        return list(tasks.values()), commitments

    def _teams(self, node: int) -> dict[int, list[int]]:
        """All that a node chose for a claim, by each offer of it."""
        if node not in self._known:
            claim = self._tree.horizon.rounds[self._period[node]].offers.claim
            of_claim: dict[int, list[int]] = {}
            for offer in self._chosen[node].tolist():
                of_claim.setdefault(int(claim[offer]), []).append(offer)
            self._known[node] = {offer: team for team in of_claim.values() for offer in team}
        return self._known[node]

    def _seen_at(self, node: int) -> set[tuple[int, int]]:
        """Offers, by the decision point that chose them, that are seen to fail on entering a node."""
        seen = self._tree.seen[self._period[node]]
        bad = ~seen.outcomes[self._tree.realisation[node]] & ~seen.is_commitment
        return set(zip(seen.point[bad].tolist(), seen.item[bad].tolist(), strict=True))


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
