"""The next best plans of a round, and what each costs. ``bondwork.alternatives/1``."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from bondwork.base.clock import Clock
from bondwork.plan.plan import Assignment, Plan, PlanRecord
from bondwork.problem.faults import Fault, InvalidInput, preview
from bondwork.solving import solve

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bondwork.problem.instance import Instance


class Choice(PlanRecord):
    """An assignment in which two plans differ."""

    task: str
    offer: str
    operator: str
    executor: str


class Alternative(PlanRecord):
    """A plan beside the first one."""

    cost: float | None = Field(description="How much less it earns than the first; null where there is none.")
    added: list[Choice] = Field([], description="What it chooses and the first does not.")
    dropped: list[Choice] = Field([], description="What the first chooses and it does not.")
    plan: Plan


class Alternatives(PlanRecord):
    """Plans of one round, no two of which choose the same offers, in the order in which they were found.

    Each is verified by itself: what it differs from stands among its ``constraints``.
    """

    format: Literal["bondwork.alternatives/1"] = "bondwork.alternatives/1"
    alternatives: list[Alternative] = Field(min_length=1)
    complete: bool = Field(description="Whether it is known that there are no others.")
    notes: list[str] = Field([], description="Why there are fewer than asked for.")

    def to_json(self) -> str:
        """Write it as one JSON document."""
        return self.model_dump_json(indent=2) + "\n"


def find_alternatives(instance: Instance, number: int, **how: Any) -> Alternatives:
    """Find the best plan of a round and the next best ones.

    After each plan, what it chooses is forbidden as a whole, and the round solved again. With an exact
    strategy and ``mip_rel_gap=0`` no plan that is left out earns more than one that is listed.

    Parameters
    ----------
    instance
        The round, of one stage.
    number
        How many plans, 1 or more, the best one included.
    how
        As for `bondwork.solve`; the time limit is for all of them together, each with an equal
        part of what is left.

    Returns
    -------
    Alternatives
        At least one; fewer than asked for where there are no others, or the time is up.

    Raises
    ------
    InvalidInput, Refusal
        As `bondwork.solve`; and ``number`` is no whole number from 1 on.

    Examples
    --------
    >>> import bondwork
    >>> instance = bondwork.load({
    ...     "format": "bondwork.round/1",
    ...     "operators": [{"id": "op"}],
    ...     "coprocessors": [{"id": "a"}, {"id": "b"}],
    ...     "tasks": [{"id": "t", "operator": "op", "reward": 8}],
    ...     "offers": [
    ...         {"task": "t", "coprocessor": "a", "bid": 1, "success_probability": 1},
    ...         {"task": "t", "coprocessor": "b", "bid": 3, "success_probability": 1},
    ...     ],
    ... })
    >>> [each.cost for each in bondwork.find_alternatives(instance, 3).alternatives]
    [0.0, 2.0, 7.0]
    """
    if isinstance(number, bool) or not isinstance(number, int) or number < 1:
        raise InvalidInput([Fault("alternatives", preview(number), "a whole number >= 1")])
    begun = how.pop("begun", None)
    clock = Clock(how.pop("time_limit", math.inf), time.perf_counter() if begun is None else begun)
    asked = list(how.pop("constraints", ()))
    plans: list[Plan] = []
    complete = False
    notes: list[str] = []
    while len(plans) < number:
        if plans and clock.left() <= 0.0:
            notes.append(f"{len(plans)} of {number} plans: no time was left for others")
            break
        others = [_other_than(each, k) for k, each in enumerate(plans, 1)]
        # what is left is divided evenly: what one plan does not need goes to those behind it
        part: dict[str, Any] = {
            "time_limit": clock.left() / (number - len(plans)),
            "begun": time.perf_counter(),
        }
        if not plans:
            part = {"time_limit": clock.limit / number, "begun": clock.begun}
        plan = solve(instance, constraints=[*asked, *others], **part, **how)
        if plans and not plan.is_usable():
            complete = plan.status == "infeasible"
            if not complete:
                notes.append(f"{len(plans)} of {number} plans: the next one ended with {plan.status}")
            break
        plans.append(plan)
        if not plan.is_usable() or plan.status == "interrupted":
            break
    return Alternatives(
        alternatives=[_beside(plans[0], each) for each in plans], complete=complete, notes=notes
    )


def _other_than(plan: Plan, number: int) -> dict[str, Any]:
    """Forbid a choice as a whole: not all of it, unless something else is chosen besides."""
    chosen = [
        {"offer": each.offer, "operator": each.operator, "executor": each.executor, "weight": 2.0}
        for each in plan.assignments
    ]
    terms = [{"weight": -1.0}, *chosen]
    bound = len(chosen) - 1.0
    return {"name": f"other than plan {number}", "terms": terms, "sense": "<=", "bound": bound}


def _beside(first: Plan, plan: Plan) -> Alternative:
    cost = None
    if first.objective is not None and plan.objective is not None:
        cost = first.objective - plan.objective
    mine, others = _choices(plan.assignments), _choices(first.assignments)
    return Alternative(
        cost=cost,
        added=[each for each in mine if each not in others],
        dropped=[each for each in others if each not in mine],
        plan=plan,
    )


def _choices(assignments: Iterable[Assignment]) -> list[Choice]:
    return [
        Choice(task=each.task, offer=each.offer, operator=each.operator, executor=each.executor)
        for each in assignments
    ]
