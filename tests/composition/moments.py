"""What a second stage may decide and what that adds; what load curves earn at a moment."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from composition.records import ZERO, Deal, Decision, Document, Reader, Task, Work, exact

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from fractions import Fraction

    from composition.rooms import Held


def could_rescue(decision: Decision, *, limits: bool) -> bool:
    """Whether a second stage could do something: pay, or help where losses are limited or priced."""
    for task in decision.tasks:
        for operator, work in task.second:
            reward, slashing = task.stakes(operator)
            after = work.p * (reward + slashing) - work.cost
            left = work.p * reward - (1 - work.p) * slashing - work.cost + task.unassigned_cost
            follows = any(
                v == operator and all(w.executor != work.executor for w in team) and _may_fail(team, task)
                for v, team in task.teams()
            )
            if work.p > 0 and ((follows and (after > 0 or limits)) or (left > 0 and not task.required)):
                return True
    return False


def rescued(
    decision: Decision, deals: tuple[Deal, ...], seen: Mapping[Work, bool]
) -> Iterator[tuple[Deal, ...]]:
    """All that a second stage may do: deals with their rescues, and tasks that are taken up."""
    ways: list[list[Deal | None]] = []
    tasks = {task.id: task for task in decision.tasks}
    for deal in deals:
        failed = sum(seen[work] for work in deal.team) < deal.quorum
        rescuers = _rescuers(tasks[deal.task], deal) if failed else ()
        ways.append([deal, *(replace(deal, rescue=work) for work in rescuers)])
    for task in decision.tasks:
        if task.id in {deal.task for deal in deals}:
            continue
        ways.append([None, *_takers(decision, task)])
    for way in itertools.product(*ways):
        yield tuple(each for each in way if each is not None)


def _takers(decision: Decision, task: Task) -> Iterator[Deal]:
    for operator, work in task.second:
        yield Deal(decision.point, task.id, operator, *task.stakes(operator), 1, (work,))


def added(decision: Decision, deals: Sequence[Deal], decided: Sequence[Deal]) -> Fraction:
    """What a second stage adds to the gain of the first."""
    total = ZERO
    cost = {task.id: task.unassigned_cost for task in decision.tasks}
    for deal in decided:
        if deal.rescue is not None:
            total += deal.rescue.p * (deal.reward + deal.slashing) - deal.rescue.cost
        elif deal.task not in {each.task for each in deals}:
            work = deal.team[0]
            total += work.p * deal.reward - (1 - work.p) * deal.slashing - work.cost + cost[deal.task]
    return total


def load_incentives(reader: Reader, held: Held) -> Any:
    """What load curves earn at the last moment of a period."""
    total: Any = ZERO
    for each in reader.coprocessors.values():
        curve = each.get("load_curve")
        if not curve or not exact(curve.get("weight")):
            continue
        resource = curve["resource"]
        work = sum(
            (
                amount
                for w in held.works
                if w.executor == each["id"] and w not in held.released
                for name, amount in w.work
                if name == resource
            ),
            ZERO,
        )
        load = work / exact(each["capacity"][resource])
        total += float(exact(curve["weight"]) * exact(curve.get("scale"), 1)) * incentive(curve, float(load))
    return total


def _may_fail(team: Sequence[Work], task: Task) -> bool:
    return sum(work.p == 1 for work in team) < task.quorum


def _rescuers(task: Task, deal: Deal) -> Iterator[Work]:
    members_ = {work.executor for work in deal.team}
    for operator, work in task.second:
        if operator == deal.operator and work.executor not in members_:
            yield work


def incentive(curve: Document, load: float) -> float:
    """The load curve of docs/load.md."""
    a, b, c, d, e, f, g, h, i = (float(curve[name]) for name in "ABCDEFGHI")
    if load < b:
        return a * math.exp(-(((load - b) / b) ** 2)) - c
    if load <= f:
        return d + (load - b) * e
    return max(g * (load - h) ** 2 + i, 0.0)
