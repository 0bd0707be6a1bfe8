"""Several executors of a task in rounds with later periods, and several commitments of one."""

from __future__ import annotations

import itertools
from functools import cache

import pytest

import bondwork
from bondwork.contracts import Options
from bondwork.program.horizon import horizon_program
from bondwork.program.horizon_luck import with_luck
from bondwork.program.program_solving import solve_stochastic
from bondwork.uncertainty.horizon import horizon_tree
from composition.features import make
from composition.judging import judge


def offer(coprocessor: str, p: float, **fields) -> dict:
    return {"task": "t", "coprocessor": coprocessor, "success_probability": p} | fields


def document(*offers: dict, task: dict, later: list[dict], **fields) -> dict:
    """A task for several now, and one that the same operator may give away at 60 and at 120."""
    periods = [
        {"id": f"p{k}", "at": 60 * (k + 1), "parent": f"p{k - 1}" if k else None, **each}
        for k, each in enumerate(later)
    ]
    return {
        "format": "bondwork.round/1",
        "operators": [{"id": "op", "stake": 10}],
        "coprocessors": [{"id": name} for name in "abc"],
        "tasks": [{"id": "t", "operator": "op", "reward": 90, "slashing": 10} | task],
        "offers": list(offers),
        "periods": periods,
    } | fields


LATER = {
    "tasks": [{"id": "t", "operator": "op", "reward": 8, "slashing": 10}],
    "offers": [offer("c", 1.0)],
}
IDLE = {"tasks": [], "offers": []}


def solved(given: dict, **options) -> bondwork.Plan:
    instance = bondwork.load(given)
    plan = bondwork.solve(instance, mip_rel_gap=0.0, **options)
    assert plan.verified, plan.violations
    return plan


@pytest.mark.parametrize(
    ("quorum", "durations", "free"),
    [
        (1, (0, 0), 1 - 0.5 * 0.25),  # free once one has succeeded
        (1, (0, 90), 0.5),  # the other one is still at work
        (2, (0, 0), 0.5 * 0.75),
        (2, (0, 90), 0.0),  # open, whatever is seen
    ],
)
def test_stake_is_free_once_a_quorum_of_released_members_succeeded(quorum, durations, free):
    a, b = (offer(c, p, duration=d) for c, p, d in zip("ab", (0.5, 0.75), durations, strict=True))
    plan = solved(document(a, b, task={"replicas": 2, "quorum": quorum}, later=[LATER]))
    success = {1: 1 - 0.5 * 0.25, 2: 0.5 * 0.75}[quorum]
    assert len(plan.assignments) == 2
    assert plan.objective == pytest.approx(100 * success - 10 + 8 * free, rel=1e-9)


def test_a_task_failed_when_its_quorum_is_seen_to_be_missed():
    offers = [offer(c, 0.5, duration=d) for c, d in zip("abc", (0, 0, 90), strict=True)]
    given = document(*offers, task={"replicas": 3, "quorum": 3, "reward": 900}, later=[LATER, LATER])
    plan = solved(given)
    instance = bondwork.load(given)
    tree = horizon_tree(instance)
    names = dict(zip(tree.names, range(len(tree.names)), strict=True))
    for node in plan.recourse:
        seen = tree.seen[int(tree.period[names[node.node]])]
        good = seen.outcomes[tree.realisation[names[node.node]]]
        if node.period == "p0":
            assert (node.failed == ["t"]) == (not good[(seen.point == -1)].all())
    lost = [node for node in plan.recourse if node.failed == ["t"]]
    assert lost
    # for good: the stake does not come back
    assert not any(node.assignments for node in lost)


def test_the_expected_loss_of_what_is_left_is_that_by_what_was_seen():
    # 10 * 0.25 is lost now, 10 * 0.5 once the first has failed: above the limit whatever is decided then
    offers = [offer(c, 0.5, duration=d) for c, d in zip("ab", (0, 90), strict=True)]
    task = {"replicas": 2, "reward": 10, "slashing": 10}
    limit = [{"measure": "expected", "budget": 4}]
    given = document(
        *offers, task=task, later=[IDLE | {"tasks": LATER["tasks"], "offers": [offer("c", 0.9)]}]
    )
    assert len(solved(given).assignments) == 2
    assert solved(given | {"risk": limit}).assignments == []


TEAMS = ("replicas", "quorum", "several commitments")
BESIDE = (
    "required",
    "serial deadlines",
    "outages",
    "expected of coprocessor",
    "random amounts",
    "self-execution",
)


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("names", list(itertools.product(TEAMS, BESIDE)), ids="+".join)
def test_brute_force_over_all_policies_agrees(names, seed):
    assert judge(("periods", *names), 100 * seed) == "solved"


@cache
def quorums(seed: int) -> dict:
    return make(("periods", "quorum", "several commitments", "commitments"), seed).document


@pytest.mark.parametrize(
    "options",
    [{"strategy": "l-shaped"}, {"formulation": "cvxpy"}, {"formulation": "pyomo"}],
    ids=lambda each: "".join(each.values()),
)
def test_every_formulation_and_exact_strategy_agrees(options):
    best = solved(quorums(3)).objective
    plan = solved(quorums(3), **options)
    assert plan.objective == pytest.approx(best, rel=1e-9)


@pytest.mark.parametrize("seed", range(4))
def test_luck_is_nothing_on_average(seed):
    made = horizon_program(horizon_tree(bondwork.load(quorums(seed))))
    plain = solve_stochastic(made.program, Options(mip_rel_gap=0.0))
    lucky = solve_stochastic(with_luck(made), Options(mip_rel_gap=0.0))
    assert lucky.objective == pytest.approx(plain.objective, rel=1e-7)


def test_members_of_one_period_are_tied_by_the_common_factor():
    offers = [offer(c, 0.5, duration=0) for c in "ab"]
    tied = {"uncertainty": {"dependence": {"common": 1.0}}}
    plan = solved(document(*offers, task={"replicas": 2, "quorum": 2}, later=[LATER], **tied))
    # they fail together: 0.5 instead of 0.25, and the stake is free as often
    assert plan.objective == pytest.approx(100 * 0.5 - 10 + 8 * 0.5, rel=1e-9)


@pytest.mark.parametrize("quorum", [1, 2])
def test_commitments_of_one_claim_are_slashed_once(quorum):
    held = [
        {"id": f"k{c}", "task": "t", "operator": "op", "executor": c, "success_probability": p,
         "release_at": 60, "collateral": 1}
        for c, p in (("a", 0.5), ("b", 0.75))
    ]  # fmt: skip
    given = document(task={"replicas": 2, "quorum": quorum}, later=[LATER], commitments=held)
    free = {1: 1 - 0.5 * 0.25, 2: 0.5 * 0.75}[quorum]
    assert solved(given).objective == pytest.approx(8 * free, rel=1e-9)
