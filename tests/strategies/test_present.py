"""Strategies of one stage decide the present of rounds with later periods; those of programs, one stage."""

from __future__ import annotations

import json

import pytest

import bondwork
from bondwork.registry import strategy_matrix, strategy_names
from composition.features import make
from composition.judging import brute_force, read
from hand_made import make_round, offer

PRESENT = ("greedy", "relaxation", "lagrangian", "broker")
FEATURES = (
    ("periods",),
    ("periods", "required"),
    ("periods", "replicas"),
    ("periods", "commitments"),
    ("periods", "cvar"),
    ("periods", "mean-risk"),
    ("periods", "load curve"),
    ("periods", "worth"),
)
OF_PROGRAMS = ("l-shaped", "saa", "hedging", "expected-value")


@pytest.mark.parametrize("names", FEATURES, ids="+".join)
def test_no_present_decision_is_worth_more_than_the_best_policy(names: tuple[str, ...]) -> None:
    document = make(names, 0).document
    instance = read(document)
    best = float(brute_force(instance, document))
    for strategy in PRESENT:
        try:
            plan = bondwork.solve(instance, strategy=strategy, mip_rel_gap=0.0)
        except bondwork.Refusal:
            assert strategy in ("broker", "lagrangian")  # one executor a task; no load incentives
            continue
        slack = 1e-9 * max(1.0, abs(best)) + plan.load_error
        assert plan.verified
        assert plan.status in ("locally_solved", "locally_infeasible")
        assert plan.objective is None or plan.objective <= best + slack
        assert plan.bound is None or plan.bound >= best - slack
        assert bondwork.verify(instance, json.loads(plan.to_json()))


def test_what_planning_ahead_is_worth() -> None:
    """Both jobs want the same collateral; the later one earns more, and greedy takes the first."""
    later = {
        "id": "next",
        "at": 60,
        "tasks": [{"id": "n", "operator": "op", "reward": 9}],
        "offers": [offer("n", "cp", 1, collateral=2, success_probability=1)],
    }
    instance = bondwork.load(
        make_round(
            coprocessors=[{"id": "cp", "free_collateral": 3}],
            tasks=[{"id": "t", "operator": "op", "reward": 4}],
            offers=[offer("t", "cp", 1, collateral=2, duration=90, success_probability=1)],
            periods=[later],
        )
    )
    now = bondwork.solve(instance, strategy="greedy")
    ahead = bondwork.solve(instance, mip_rel_gap=0.0)
    assert (now.objective, ahead.objective) == (3.0, 8.0)
    assert now.bound is not None
    assert now.bound >= 8.0
    assert [each.task for each in now.assignments] == ["t"]
    rolled = bondwork.roll(instance, strategy="greedy", seed=0)
    assert rolled.net_reward == 3.0


def test_an_infeasible_present_is_infeasible_whatever_follows() -> None:
    later = {"id": "next", "at": 60, "tasks": [{"id": "n", "operator": "op", "reward": 9}]}
    later["offers"] = [offer("n", "cp", 1, success_probability=1)]
    document = make_round(
        coprocessors=[{"id": "cp", "free_collateral": 1}],
        tasks=[{"id": "t", "operator": "op", "reward": 4, "required": True}],
        offers=[offer("t", "cp", 1, collateral=2, success_probability=1)],
        periods=[later],
    )
    plan = bondwork.solve(bondwork.load(document), strategy="relaxation")
    assert plan.status in ("infeasible", "locally_infeasible")
    assert plan.solution == "none"


def test_auctions_do_not_agree_on_prices_of_later_periods() -> None:
    instance = bondwork.load("data/rounds/epochs.json")
    with pytest.raises(bondwork.Refusal, match="what follows is paid its bids; these do: auto"):
        bondwork.solve(instance, strategy="first-price")


@pytest.mark.parametrize(
    "names", [(), ("replicas",), ("cvar",), ("mean-risk",), ("load curve",)], ids="+".join
)
def test_strategies_of_programs_decide_one_stage(names: tuple[str, ...]) -> None:
    document = make(names, 0).document
    instance = read(document)
    best = bondwork.solve(instance, strategy="extensive", mip_rel_gap=0.0)
    for strategy in OF_PROGRAMS:
        plan = bondwork.solve(instance, strategy=strategy, mip_rel_gap=0.0)
        assert plan.verified
        assert (plan.status, plan.strategy) == ("optimal", strategy)
        assert plan.objective == pytest.approx(best.objective, rel=1e-9)
    bound = bondwork.solve(instance, strategy="wait-and-see", mip_rel_gap=0.0)
    assert (bound.solution, bound.assignments) == ("none", [])
    assert bound.bound == pytest.approx(best.bound, rel=1e-6)


def test_every_strategy_takes_a_plain_round() -> None:
    instance = bondwork.load("data/rounds/three-tasks.json")
    for name in strategy_names():
        assert bondwork.solve(instance, strategy=name).verified, name


LATER = {
    "one stage": (),
    "second stage": ("second stage",),
    "second stage, limited losses": ("second stage", "cvar"),
    "later period": ("periods",),
    "later period, limited tails": ("periods", "cvar"),
}


@pytest.mark.parametrize("kind", LATER)
def test_the_matrix_says_who_decides(kind: str) -> None:
    instance = read(make(LATER[kind], 0).document)
    for name, row in strategy_matrix().items():
        if name.startswith("highs-") or name == "hedging":
            continue  # the same as extensive; needs what may not be installed
        try:
            bondwork.solve(instance, strategy=name)
        except bondwork.Refusal as refusal:
            assert row[kind], f"{name}: {refusal}"
        else:
            assert not row[kind], name
