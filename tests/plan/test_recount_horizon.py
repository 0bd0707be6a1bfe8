"""Plans over the tree of later periods, tampered with: the recount finds it."""

from __future__ import annotations

import json
from functools import cache

import pytest

import bondwork

TASK = {"id": "t", "operator": "op", "reward": 4, "slashing": 1}


def offer(**fields) -> dict:
    return {"task": "t", "coprocessor": "cp", "collateral": 2, "success_probability": 0.75} | fields


def document() -> dict:
    held = {"id": "k", "task": "old", "operator": "op", "executor": "cp", "collateral": 1,
            "success_probability": 0.5, "release_at": 60, "work": {"w": 1}}  # fmt: skip
    return {
        "format": "bondwork.round/1",
        "operators": [{"id": "op", "stake": 6}],
        "coprocessors": [
            {"id": "cp", "free_collateral": 3, "capacity": {"w": 2}},
            {"id": "serial", "serial": True},
        ],
        "tasks": [TASK | {"work": {"w": 1}}, {"id": "old", "operator": "op", "slashing": 1}],
        "offers": [offer(), offer(coprocessor="serial", duration=50, collateral=0, bid=3)],
        "commitments": [held],
        "periods": [
            {
                "id": "a",
                "at": 60,
                "tasks": [TASK, {"id": "u", "operator": "op", "reward": 2, "deadline": 100}],
                "offers": [
                    offer(),
                    {"task": "u", "coprocessor": "serial", "duration": 30, "success_probability": 1.0},
                    offer(id="small", bid=1, collateral=1, work={"w": 2}),
                ],
            },
            {"id": "b", "parent": "a", "at": 120, "tasks": [TASK], "offers": [offer()]},
        ],
    }


@cache
def instance() -> bondwork.Instance:
    return bondwork.load(document())


@cache
def plan_text() -> str:
    return bondwork.solve(instance(), mip_rel_gap=0.0).to_json()


def found(plan: dict) -> str:
    return "; ".join(map(str, bondwork.verify(instance(), plan).violations))


def test_the_plan_itself_is_right():
    assert found(json.loads(plan_text())) == ""


def node_with(plan: dict, offer_: str, period: str) -> dict:
    return next(
        node
        for node in plan["recourse"]
        if node["period"] == period and any(each["offer"] == offer_ for each in node["assignments"])
    )


def drop_a_node(plan):
    plan["recourse"].remove(node_with(plan, "u/serial", "a"))


def repeat_a_node(plan):
    plan["recourse"].append(plan["recourse"][0])


def another_node(plan):
    plan["recourse"][0]["node"] = "elsewhere"


def another_probability(plan):
    plan["recourse"][0]["probability"] *= 0.5


def another_stage(plan):
    plan["recourse"][0]["stage"] = 2


def another_failure(plan):
    plan["recourse"][0]["failed"] = ["t", "t"]


def another_failed_commitment(plan):
    plan["recourse"][-1]["failed_commitments"] = ["nobody's"]


def a_wrong_price(plan):
    node_with(plan, "t/cp", "b")["assignments"][0]["price"] = 2.0


def a_wrong_reward(plan):
    node_with(plan, "t/cp", "b")["assignments"][0]["expected_net_reward"] += 0.5


def another_objective(plan):
    plan["objective"] += 0.25


def another_tree(plan):
    plan["provenance"]["tree_sha256"] = "0" * 64


def no_tree(plan):
    plan["provenance"]["tree_sha256"] = None


def twice_the_same(plan):
    node = node_with(plan, "t/cp", "b")
    node["assignments"] *= 2


def collateral_that_is_not_there(plan):
    """At b after two failures, with the commitment's failure as well."""
    given_ = node_with(plan, "t/cp", "b")["assignments"]
    poor = [node for node in plan["recourse"] if node["period"] == "b" and not node["assignments"]]
    poor[0]["assignments"] = given_


TAMPERED = {
    drop_a_node: "objective",
    repeat_a_node: "once",
    another_node: "elsewhere",
    another_probability: "probability",
    another_stage: "stage 2",
    another_failure: "failed",
    another_failed_commitment: "failed_commitments",
    a_wrong_price: "price",
    a_wrong_reward: "expected_net_reward",
    another_objective: "objective",
    another_tree: "tree_sha256",
    no_tree: "tree_sha256",
    twice_the_same: "once",
    collateral_that_is_not_there: "collateral of cp at a",
}


@pytest.mark.parametrize("tamper", TAMPERED, ids=lambda each: each.__name__)
def test_what_is_not_so_is_found(tamper):
    plan = json.loads(plan_text())
    tamper(plan)
    assert TAMPERED[tamper] in found(plan)


def test_work_that_cannot_be_done_in_time_is_found():
    given_ = document()
    given_["tasks"][0]["deadline"] = 90
    given_["periods"][0]["tasks"][1]["deadline"] = 95
    busy = bondwork.load(given_)
    plan = json.loads(bondwork.solve(busy, mip_rel_gap=0.0).to_json())
    assert bondwork.verify(busy, plan)
    # the round's job on the serial coprocessor, 50 seconds until 90, and 80 until 95: 30 of 95 do not fit
    given_["offers"][1]["duration"] = 70
    slower = bondwork.load(given_)
    plan = json.loads(bondwork.solve(slower, mip_rel_gap=0.0).to_json())
    assert bondwork.verify(slower, plan)
    late = json.loads(plan_text())
    late["provenance"]["input_sha256"] = slower.sha256
    late["assignments"] = []
    serial = {"offer": "t/serial", "task": "t", "operator": "op", "executor": "serial", "kind": "delegated",
              "bid": 3.0, "price": 3.0, "collateral": 0.0, "success_probability": 0.75,
              "expected_net_reward": -0.25, "expected_slashing": 0.25}  # fmt: skip
    late["assignments"] = [serial]
    text = "; ".join(map(str, bondwork.verify(slower, late).violations))
    assert "deadlines of serial at a" in text


def test_a_plan_of_one_stage_is_none_for_a_round_with_periods():
    alone = bondwork.load(document() | {"periods": []})
    plan = json.loads(bondwork.solve(alone, mip_rel_gap=0.0).to_json())
    plan["provenance"]["input_sha256"] = instance().sha256
    assert "tree_sha256" in found(plan)


def test_kept_for_later_is_no_reason_where_nothing_comes_later():
    alone = bondwork.load(document() | {"periods": [], "coprocessors": [{"id": "cp"}, {"id": "serial"}]})
    plan = json.loads(bondwork.solve(alone, mip_rel_gap=0.0).to_json())
    plan["assignments"] = []
    plan["unassigned"] = [{"task": "t", "reason": "kept_for_later", "limits": []}]
    text = "; ".join(map(str, bondwork.verify(alone, plan).violations))
    assert "reason of t" in text
