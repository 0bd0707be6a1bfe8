"""From a plan to a verified one: put right, repaired, or at worst without anything new.

The check decides. Numbers and commentary that do not stand it are put right (`bondwork.plan.amending`). A
plan that breaks a limit is a bug of whoever made it, and no reason to leave the caller with nothing: what
cannot be chosen together is forbidden and the round solved again, then greedily, and at last nothing new is
chosen. Notes say so.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np

from bondwork.plan.amending import amended
from bondwork.plan.verify import verify
from bondwork.problem.faults import Unverified
from bondwork.program.blocks import with_rows

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence
    from typing import TypeAlias

    from bondwork.arrays import FloatArray, IntArray
    from bondwork.contracts import Formulation
    from bondwork.plan.plan import Plan
    from bondwork.plan.verify import Verification
    from bondwork.problem.instance import Instance
    from bondwork.problem.teams import Teams
    from bondwork.program.program import Program
    from bondwork.risk.measure import Measure

    #: Decides a round once more, by a strategy (``None``: the one asked for), sets of offers kept apart; the
    #: plan is not yet verified.
    SolveAgain: TypeAlias = Callable[[str | None, Sequence[frozenset[int]]], Plan]

#: Times that a plan is put right: one number may be reckoned from another.
MOST_AMENDMENTS = 3

#: Times that a round is solved again with what cannot be chosen together forbidden.
MOST_REPAIRS = 4

#: What a plan lists of its choices.
_ABOUT_CHOICES = (
    "assignments",
    "recourse",
    "unassigned",
    "replica_values",
    "operators",
    "loads",
    "risk",
    "prices",
)

#: Offers that cannot all be chosen.
Apart = frozenset[int]


class VerificationFailure(Unverified):
    """A strategy's plan did not pass the check: a bug. ``plan`` holds the plan with its violations."""

    def __init__(self, plan: Plan) -> None:
        self.plan = self.outcome = plan
        super().__init__("the plan does not verify: " + "; ".join(map(str, plan.violations)))


class KeptApart:
    """A formulation whose programs have rows that forbid sets of offers.

    Parameters
    ----------
    formulation
        Writes everything else.
    apart
        Sets of offers that cannot all be chosen.
    """

    def __init__(self, formulation: Formulation, apart: Sequence[Apart]) -> None:
        self._formulation = formulation
        self._apart = apart

    def build(
        self,
        instance: Instance,
        measures: Sequence[Measure] = (),
        in_rows: Collection[int] = (),
        teams: Teams | None = None,
        mean_risk: tuple[float, Measure] | None = None,
    ) -> Program:
        """Write the model down; see `bondwork.contracts.Formulation`."""
        program = self._formulation.build(instance, measures, in_rows, teams, mean_risk)
        return with_rows(program, [_cover(program, each) for each in self._apart])


def _cover(program: Program, apart: Apart) -> tuple[IntArray, FloatArray, float]:
    """The row that forbids a set: fewer of its offers than there are."""
    members, owner = program.columns[: program.choices], np.arange(program.choices)
    if program.teams is not None:
        members, owner = program.teams.member, program.teams.team
    count = np.bincount(owner[np.isin(members, sorted(apart))], minlength=program.choices)
    columns = np.flatnonzero(count)
    return columns, count[columns].astype(float), len(apart) - 1.0


def hand_out(instance: Instance, plan: Plan, again: SolveAgain, *, allow_violations: bool) -> Plan:
    """Return a verified plan: the one given, put right where need be, or what takes its place.

    Parameters
    ----------
    instance
        The round.
    plan
        A strategy's; one that says that it is verified has been checked.
    again
        Decides once more.
    allow_violations
        Hand out what a heuristic chose even where it breaks limits.

    Raises
    ------
    VerificationFailure
        Nothing that was tried passes the check. The plan with the fewest violations is with it.
    """
    if plan.verified:
        return plan
    checked, verdict = check(instance, plan)
    if verdict or (allow_violations and checked.status == "locally_infeasible"):
        return checked
    broken = "; ".join(str(each) for each in verdict.violations[:3])
    best = checked
    for other, how in _others(instance, checked, verdict, again):
        if other.verified:
            note = f"repaired: the plan of {plan.strategy} did not verify ({broken}); {how}"
            notes = [*other.provenance.notes, note]
            provenance = other.provenance.model_copy(update={"notes": notes})
            return other.model_copy(update={"provenance": provenance})
        if len(other.violations) < len(best.violations):
            best = other
    raise VerificationFailure(best)


def check(instance: Instance, plan: Plan) -> tuple[Plan, Verification]:
    """Check a plan, and put right or leave out what does not stand it and need not be lost to it."""
    start = time.perf_counter()
    plan = plan.model_copy(update={"verified": True, "violations": []})
    verdict = verify(instance, plan)
    for _ in range(MOST_AMENDMENTS):
        if not any(each.amendment for each in verdict.findings):
            break
        plan = amended(plan, verdict.findings)
        verdict = verify(instance, plan)
    timing = plan.timing.model_copy(update={"verify": time.perf_counter() - start})
    update = {"verified": bool(verdict), "violations": list(verdict.violations), "timing": timing}
    return plan.model_copy(update=update), verdict


def _others(
    instance: Instance, plan: Plan, verdict: Verification, again: SolveAgain
) -> Iterator[tuple[Plan, str]]:
    """Checked plans that may take a plan's place, and how they came about."""
    apart: list[Apart] = []
    for _ in range(MOST_REPAIRS):
        found = [frozenset(each.together) for each in verdict.findings if each.together]
        if not found or set(found) <= set(apart):
            break
        apart += [each for each in found if each not in apart]
        other = _tried(again, None, apart)
        if other is None or not other.is_usable():
            break
        other, verdict = check(instance, other)
        yield other, "what cannot be chosen together was forbidden, and the round solved again"
    greedy = _tried(again, "greedy", ())
    if greedy is not None and greedy.is_usable():
        yield check(instance, greedy)[0], "this one is chosen greedily"
    yield check(instance, _without_anything_new(plan))[0], "nothing new is chosen"


def _tried(again: SolveAgain, strategy: str | None, apart: Sequence[Apart]) -> Plan | None:
    try:
        return again(strategy, apart)
    except Exception:  # a second try may end in anything, and is no reason to lose the others
        return None


def _without_anything_new(plan: Plan) -> Plan:
    """A plan that chooses nothing: what it says of itself is for the check to fill in."""
    nothing: dict[str, object] = {name: [] for name in _ABOUT_CHOICES}
    nothing |= {"bound": None, "gap": None, "conflict": None, "stochastic": None, "evaluation": None}
    nothing |= {"status": "locally_solved", "solution": "feasible", "objective": 0.0, "prices_from": None}
    return plan.model_copy(update=nothing)
