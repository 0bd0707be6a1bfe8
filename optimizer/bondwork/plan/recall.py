"""What an earlier plan says about a round: its choices and prices, by id and by name."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

import numpy as np

from bondwork.contracts import WarmStart
from bondwork.problem.limits import LimitKind
from bondwork.problem.release import THIS_ROUND
from bondwork.program.horizon_assessment import settle
from bondwork.program.horizon_greedy import decide_greedily

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bondwork.arrays import FloatArray, IntArray
    from bondwork.plan.plan import Assignment, Plan
    from bondwork.problem.instance import Instance
    from bondwork.problem.teams import Teams
    from bondwork.program.horizon import HorizonProgram
    from bondwork.program.program import Program


def recall(instance: Instance, program: Program, plan: Plan) -> tuple[WarmStart, str]:
    """Read a plan of an earlier (or of this) round as a start for this one.

    Offers are found again by task, operator and executor, whatever their ids; limits by name; one-executor
    rows by the task prices of the plan's explanations. What is new in this round has no price, what is gone
    is forgotten, and so are teams that are no longer whole. A plan from elsewhere (a heuristic, another
    strategy) is as good: whatever fits of it is used.

    Returns
    -------
    start
        Choice and multipliers in the numbering of ``program``.
    note
        What was found again, with the plan's digest, for the provenance.
    """
    wanted = {(each.task, each.operator, each.executor) for each in plan.assignments}
    offers = instance.offers
    taken = np.zeros(len(offers), dtype=bool)
    tasks = {name: number for number, name in enumerate(instance.tasks.ids)}
    busy = np.zeros(len(tasks), dtype=bool)
    busy[[tasks[each.task] for each in plan.assignments if each.task in tasks]] = True
    for offer in np.flatnonzero(busy[offers.task]).tolist():
        operator, coprocessor = int(offers.operator[offer]), int(offers.coprocessor[offer])
        executor = instance.executor_id(operator, coprocessor)
        key = instance.tasks.ids[offers.task[offer]], instance.operators.ids[operator], executor
        taken[offer] = key in wanted
    x = columns_of_offers(program, taken)

    duals = np.full(len(program.limits), np.nan)
    known = {each.limit: each.price for each in plan.prices if each.price is not None}
    prices = {each.task: each.explanation.task_price for each in plan.assignments if each.explanation}
    found = 0
    for row in range(len(duals)) if plan.prices_from else ():
        if program.limits.kind[row] == LimitKind.TASK:
            price = prices.get(instance.tasks.ids[program.limits.owner[row]])
        else:
            # a plan lists the limits that have a price; the others had none to speak of
            price = known.get(program.limits.label(row), 0.0)
            found += price != 0.0
        if price is not None:
            duals[row] = price
    note = f"warm start from plan {digest(plan)}: {int(x.sum())} of {len(plan.assignments)} assignments"
    return WarmStart(x, duals if plan.prices_from else None), f"{note} and {found} prices found again"


def recall_horizon(made: HorizonProgram, plan: Plan) -> tuple[list[IntArray] | None, str]:
    """Read a plan of this round, or of one like it, as a start for a round with later periods.

    Nodes are found again by name; at a node offers by task, operator and executor, and teams where all of
    them are found. At nodes that the plan does not name nothing is chosen. What fits of it is used.

    Returns
    -------
    chosen
        Columns by node, which keep every limit; ``None`` where what is required does not fit any more.
    note
        What was found again, with the plan's digest, for the provenance.
    """
    told = {each.node: each.assignments for each in plan.recourse} | {made.tree.names[0]: plan.assignments}
    wanted = []
    for node, name in enumerate(made.tree.names):
        point = int(made.tree.period[node])
        size = len(made.teams[point]) if point >= THIS_ROUND else 0
        mine = _teams_of(made, point, told[name]) if size and name in told else []
        wanted.append(np.bincount(np.array(mine, dtype=np.int64), minlength=size).astype(np.float64))
    nodes = decide_greedily(made.bare, 0.0, only=np.concatenate(wanted))
    asked = sum(map(len, told.values()))
    note = (
        f"warm start from plan {digest(plan)}: {int(sum(each.sum() for each in wanted))} of {asked} choices"
    )
    if nodes is None:
        return None, f"{note} found again, beside which what is required does not fit"
    chosen = settle(made, [np.flatnonzero(each > 0.5) for each in nodes])
    if chosen is None:
        return None, f"{note} found again, whose choices for what is required break a limit on losses"
    return chosen, f"{note} found again"


def _teams_of(made: HorizonProgram, point: int, assignments: Sequence[Assignment]) -> list[int]:
    """Teams of a decision point that a plan's assignments form."""
    decided, teams = made.tree.horizon.rounds[point], made.teams[point]
    offers, wanted = decided.offers, {(each.task, each.operator, each.executor) for each in assignments}
    taken = np.array(
        [
            (decided.tasks.ids[t], decided.operators.ids[v], decided.executor_id(v, c)) in wanted
            for t, v, c in zip(
                offers.task.tolist(), offers.operator.tolist(), offers.coprocessor.tolist(), strict=True
            )
        ],
        dtype=bool,
    )
    return np.flatnonzero(_whole(teams, taken)).tolist()


def columns_of_offers(program: Program, taken: np.ndarray) -> np.ndarray:
    """Columns of the program that choose what was taken; at most one for each first offer."""
    if program.teams is None:
        return taken[program.columns[: program.choices]].astype(np.float64)
    teams = program.teams
    return _whole(teams, taken)


def _whole(teams: Teams, taken: np.ndarray) -> FloatArray:
    """1 for the largest team of each claim of which all members are taken. Shape (n,)."""
    whole = np.bitwise_and.reduceat(taken[teams.member], teams.start[:-1]) if len(teams) else taken[:0]
    x = np.zeros(len(teams))
    # of the teams of a task that are whole, the largest is the one that the plan had
    owner = teams.claim
    order = np.lexsort((-teams.sizes, owner))
    order = order[whole[order]]
    _, first = np.unique(owner[order], return_index=True)
    x[order[first]] = 1.0
    return x


def digest(plan: Plan) -> str:
    """SHA-256 of what a plan says, its timing left out: the same solve gives the same digest."""
    document = plan.model_dump(mode="json", exclude={"timing"})
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()
