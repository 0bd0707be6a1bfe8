"""What nobody would choose does not drown what somebody would."""

from __future__ import annotations

from typing import Any

import pytest

import bondwork
from bondwork.program.settling import settle


def document(*tasks: dict[str, Any], free: float = 10.0) -> dict[str, Any]:
    """Tasks with ``ways``: what each offer bids, posts and succeeds with."""
    offers = [
        {"task": task["id"], "id": f"{task['id']}{k}", "coprocessor": "cp", "bid": bid, "collateral": post}
        | {"success_probability": p}
        for task in tasks
        for k, (bid, post, p) in enumerate(task["ways"])
    ]
    return {
        "format": "bondwork.round/1",
        "operators": [{"id": "op"}],
        "coprocessors": [{"id": "cp", "free_collateral": free}],
        "tasks": [{"operator": "op"} | {k: v for k, v in t.items() if k != "ways"} for t in tasks],
        "offers": offers,
    }


ORDINARY = (
    {"id": "a", "reward": 5, "ways": [(1.004, 6, 1), (1.001, 5, 1)]},
    {"id": "b", "reward": 4, "ways": [(1.002, 5, 1), (1.0, 6, 1)]},
)


@pytest.mark.parametrize("strategy", ["extensive", "lagrangian", "auto", "greedy", "relaxation"])
@pytest.mark.parametrize(
    ("more", "worth"),
    [
        # of two ways to do what must be done one is ruinous
        (
            {"id": "c", "reward": 1, "slashing": 4e13, "required": True, "ways": [(0, 0, 0.5), (1.5, 0, 1)]},
            -0.5,
        ),
        # to leave it is ruinous
        ({"id": "c", "reward": 1, "unassigned_cost": 3e18, "ways": [(1.5, 0, 1)]}, -0.5),
        ({"id": "c", "reward": 1, "unassigned_cost": 3e18, "required": True, "ways": [(1.5, 0, 1)]}, -0.5),
        # nobody does it
        ({"id": "c", "reward": 1, "slashing": 1e25, "ways": [(0, 0, 0.9)]}, 0.0),
        # nobody can
        ({"id": "c", "reward": 1e25, "ways": [(0, 11, 1)]}, 0.0),
    ],
)
def test_ordinary_amounts_are_decided_beside_huge_ones(strategy: str, more: dict[str, Any], worth: float):
    instance = bondwork.load(document(*ORDINARY, more))
    plan = bondwork.solve(instance, strategy=strategy, mip_rel_gap=0.0)
    best = 5 - 1.001 + 4 - 1.002 + worth
    if strategy in ("extensive", "lagrangian", "auto"):
        assert plan.status == "optimal"
        assert plan.objective == pytest.approx(best, abs=1e-9)
        assert plan.bound == pytest.approx(best, abs=1e-6)
    assert plan.objective is not None
    assert plan.bound is not None
    assert plan.bound >= best - 1e-9


def test_what_must_be_lost_is_lost():
    task = {"id": "c", "reward": 1, "slashing": 4e13, "required": True, "ways": [(0, 6, 0.5), (1, 11, 1)]}
    plan = bondwork.solve(bondwork.load(document(*ORDINARY, task)), strategy="extensive", mip_rel_gap=0.0)
    assert {each.offer for each in plan.assignments if each.task == "c"} == {"c0"}
    assert plan.status == "optimal"


def test_ordinary_rounds_are_left_alone():
    assert settle(bondwork.build(bondwork.load(document(*ORDINARY)))) is None
    empty = bondwork.load({"format": "bondwork.round/1", "tasks": []})
    assert settle(bondwork.build(empty)) is None


def test_prices_are_those_of_the_round():
    task = {"id": "c", "reward": 1, "unassigned_cost": 3e18, "ways": [(1.5, 0, 1)]}
    plain = bondwork.solve(bondwork.load(document(*ORDINARY)), strategy="extensive", mip_rel_gap=0.0)
    beside = bondwork.solve(bondwork.load(document(*ORDINARY, task)), strategy="extensive", mip_rel_gap=0.0)
    assert {p.limit: p.price for p in beside.prices} == pytest.approx(
        {p.limit: p.price for p in plain.prices}
    )
