"""The broker as a strategy: its orders, and what it does not look at."""

from __future__ import annotations

from typing import Any

import pytest

import bondwork
from hand_made import make_round, offer


def queue(**changes: Any) -> dict[str, Any]:
    """One serial prover of 100 s, and three tasks of which only some fit."""
    document = make_round(
        coprocessors=[{"id": "cp", "serial": True, "free_at": 0}],
        tasks=[
            {"id": "dear", "operator": "op", "reward": 9, "slashing": 90, "work": {"m": 9}, "deadline": 100},
            {"id": "dense", "operator": "op", "reward": 4, "slashing": 4, "work": {"m": 2}, "deadline": 90},
            {"id": "soon", "operator": "op", "reward": 3, "slashing": 3, "work": {"m": 3}, "deadline": 40},
        ],
        offers=[
            offer("dear", "cp", 1, duration=80, success_probability=0.5),
            offer("dense", "cp", 1, duration=30, success_probability=0.9),
            offer("soon", "cp", 1, duration=35, success_probability=0.9),
        ],
    )
    return document | changes


@pytest.mark.parametrize(
    ("order", "chosen"),
    [
        ("price", {"dear"}),  # although it fails every other time
        ("cycle_price", {"dense", "soon"}),
        ("shortest_expiry", {"dense", "soon"}),
        ("tightest_deadline", {"soon", "dense"}),
    ],
)
def test_it_takes_what_comes_first_and_fits(order: str, chosen: set[str]):
    plan = bondwork.solve(bondwork.load(queue()), strategy="broker", settings={"order": order})
    assert {each.task for each in plan.assignments} == chosen
    assert plan.verified


def test_random_is_by_seed():
    instance = bondwork.load(queue())
    plans = [
        tuple(a.task for a in bondwork.solve(instance, strategy="broker", seed=seed,
                                             settings={"order": "random"}).assignments)
        for seed in (0, 0, *range(1, 12))
    ]  # fmt: skip
    assert plans[0] == plans[1]
    assert len(set(plans)) > 1


def test_it_takes_the_quickest_prover_and_nothing_that_costs_more_than_it_pays():
    document = make_round(
        coprocessors=[{"id": "slow"}, {"id": "quick"}],
        tasks=[{"id": "a", "operator": "op", "reward": 5}, {"id": "b", "operator": "op", "reward": 5}],
        offers=[
            offer("a", "slow", 1, duration=9), offer("a", "quick", 2, duration=3),
            offer("b", "slow", 6, duration=1),
        ],
    )  # fmt: skip
    plan = bondwork.solve(bondwork.load(document), strategy="broker")
    assert [(each.task, each.executor) for each in plan.assignments] == [("a", "quick")]


def test_replicas_are_refused():
    document = queue()
    document["tasks"][0] |= {"replicas": 2, "quorum": 1}
    document["coprocessors"].append({"id": "other"})
    document["offers"].append(offer("dear", "other", 1))
    with pytest.raises(bondwork.Refusal, match="replicas"):
        bondwork.solve(bondwork.load(document), strategy="broker")
