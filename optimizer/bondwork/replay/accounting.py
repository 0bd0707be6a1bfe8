"""What the decisions of one round came to: profit, slashing, counts (MODEL 1, 2.5, 2.6)."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bondwork.plan.plan import Assignment
    from bondwork.planner.events import Ending
    from bondwork.problem.instance import Instance


@dataclass(frozen=True, slots=True)
class Carried:
    """An assignment that was carried out: how it ended, and whether the log said so."""

    assignment: Assignment
    ending: Ending
    is_known: bool


@dataclass(frozen=True, slots=True)
class Account:
    """What a round's decisions came to, in currency and counts.

    Attributes
    ----------
    profit
        Rewards, less prices that are due, slashing, and with what forfeited collateral gives operators.
    slashed
        Slashing of operators' stake.
    forfeited
        Collateral that failures cost, in currency.
    succeeded, failed, released
        Assignments.
    known
        Assignments of which the log knew the ending.
    """

    profit: float = 0.0
    slashed: float = 0.0
    forfeited: float = 0.0
    succeeded: int = 0
    failed: int = 0
    released: int = 0
    known: int = 0


def account_of(instance: Instance, carried: Iterable[Carried]) -> Account:
    """Settle the assignments of one round.

    A task is rewarded once if at least its quorum of executors succeeded, and slashed once if not. What was
    released is as if it had never been given away.
    """
    terms = instance.terms
    task_of = {name: number for number, name in enumerate(instance.tasks.ids)}
    operator_of = {name: number for number, name in enumerate(instance.operators.ids)}
    claim = {
        (task, operator): (reward, slashing)
        for task, operator, reward, slashing in zip(
            instance.claims.task.tolist(),
            instance.claims.operator.tolist(),
            instance.claims.reward.tolist(),
            instance.claims.slashing.tolist(),
            strict=True,
        )
    }
    by_task: defaultdict[str, list[Carried]] = defaultdict(list)
    profit, slashed, forfeited = 0.0, 0.0, 0.0
    counts = {"succeeded": 0, "failed": 0, "released": 0}
    known = 0
    for each in carried:
        known += each.is_known
        counts[each.ending] += 1
        if each.ending == "released":
            continue
        work, failed = each.assignment, each.ending == "failed"
        by_task[work.task].append(each)
        if terms.bid_paid == "always" or work.kind == "self" or not failed:
            profit -= work.price
        if failed and work.kind == "delegated":
            lost = work.collateral * terms.collateral_rate
            forfeited += lost
            profit += terms.operator * lost
    for name, group in by_task.items():
        task = task_of[name]
        reward, slashing = claim[task, operator_of[group[0].assignment.operator]]
        quorum = min(int(instance.tasks.quorum[task]), len(group))
        if sum(each.ending == "succeeded" for each in group) >= quorum:
            profit += reward
        else:
            profit -= slashing
            slashed += slashing
    return Account(profit, slashed, forfeited, known=known, **counts)
