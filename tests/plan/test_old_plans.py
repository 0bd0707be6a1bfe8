"""Plans that version 0.1.0 wrote are still read, and found to be what they say."""

from __future__ import annotations

import copy
from typing import Any

import pytest

import bondwork

Document = dict[str, Any]

#: Each a round and its plan, word for word as 0.1.0 wrote it.
OLD: dict[str, tuple[Document, Document]] = {
    "one stage with prices": (
        {
            "format": "bondwork.round/1",
            "operators": [{"id": "op"}],
            "coprocessors": [{"id": "cp", "capacity": {"gpu": 2}}],
            "tasks": [
                {"id": "t", "operator": "op", "reward": 9, "slashing": 4, "work": {"gpu": 1}},
                {"id": "u", "operator": "op", "reward": 7, "slashing": 4, "work": {"gpu": 2}},
            ],
            "offers": [
                {"task": "t", "coprocessor": "cp", "bid": 2, "success_probability": 0.75},
                {"task": "u", "coprocessor": "cp", "bid": 1, "success_probability": 0.5},
            ],
        },
        {
            "format": "bondwork.plan/1",
            "status": "optimal",
            "solution": "optimal",
            "strategy": "extensive",
            "formulation": "highs",
            "objective": 3.75,
            "bound": 3.75,
            "gap": 0.0,
            "assignments": [
                {
                    "offer": "t/cp",
                    "task": "t",
                    "operator": "op",
                    "executor": "cp",
                    "kind": "delegated",
                    "bid": 2.0,
                    "price": 2.0,
                    "collateral": 0.0,
                    "success_probability": 0.75,
                    "expected_net_reward": 3.75,
                    "expected_slashing": 1.0,
                    "explanation": {
                        "worth": 3.5,
                        "task_price": 0.0,
                        "runner_up": [],
                        "operator": None,
                        "margin": 3.5,
                    },
                }
            ],
            "recourse": [],
            "unassigned": [{"task": "u", "reason": "no_room", "limits": ["capacity gpu of cp"]}],
            "replica_values": [],
            "operators": [{"id": "op", "expected_benefit": 5.75, "expected_slashing": 1.0}],
            "loads": [],
            "load_error": 0.0,
            "risk": [],
            "prices": [{"limit": "capacity gpu of cp", "price": 0.25}],
            "prices_from": "lp_relaxation",
            "ineligible_offers": {"minimum_collateral": 0, "deadline": 0},
            "conflict": None,
            "stochastic": None,
            "evaluation": None,
            "timing": {
                "read": 0.0013279730001158896,
                "sample": 1.1377000191714615e-05,
                "build": 0.0012300669995966018,
                "solve": 0.05766748499991081,
                "verify": 0.0004416330002641189,
            },
            "provenance": {
                "bondwork": "0.1.0",
                "highs": "1.15.1",
                "input_sha256": "8d3ed30a6a8cc3124430a7fdf646ca416f60c178c55f62f197675fc16e8e4a69",
                "tree_sha256": None,
                "history_sha256": None,
                "seed": 0,
                "options": {
                    "strategy": "auto",
                    "time_limit": None,
                    "mip_rel_gap": 0.0001,
                    "threads": 0,
                    "random_seed": 0,
                    "risk_form": "auto",
                },
                "notes": ["auto chose extensive: 2 eligible offers"],
            },
            "verified": True,
            "violations": [],
        },
    ),
    "two stages with their worth": (
        {
            "format": "bondwork.round/1",
            "operators": [{"id": "op"}],
            "coprocessors": [{"id": "a"}, {"id": "b"}],
            "tasks": [{"id": "t", "operator": "op", "reward": 30, "slashing": 40}],
            "offers": [
                {"task": "t", "coprocessor": "a", "bid": 4, "success_probability": 0.75},
                {"task": "t", "coprocessor": "b", "bid": 6, "success_probability": 0.5, "stage": 2},
            ],
        },
        {
            "format": "bondwork.plan/1",
            "status": "optimal",
            "solution": "optimal",
            "strategy": "extensive",
            "formulation": "highs",
            "objective": 15.75,
            "bound": 15.75,
            "gap": 0.0,
            "assignments": [
                {
                    "offer": "t/a",
                    "task": "t",
                    "operator": "op",
                    "executor": "a",
                    "kind": "delegated",
                    "bid": 4.0,
                    "price": 4.0,
                    "collateral": 0.0,
                    "success_probability": 0.75,
                    "expected_net_reward": 8.5,
                    "expected_slashing": 10.0,
                    "explanation": None,
                }
            ],
            "recourse": [
                {
                    "node": "nothing failed",
                    "stage": 1,
                    "period": None,
                    "probability": 0.75,
                    "failed": [],
                    "failed_commitments": [],
                    "assignments": [],
                },
                {
                    "node": "t failed",
                    "stage": 1,
                    "period": None,
                    "probability": 0.25,
                    "failed": ["t"],
                    "failed_commitments": [],
                    "assignments": [
                        {
                            "offer": "t/b",
                            "task": "t",
                            "operator": "op",
                            "executor": "b",
                            "kind": "delegated",
                            "bid": 6.0,
                            "price": 6.0,
                            "collateral": 0.0,
                            "success_probability": 0.5,
                            "expected_net_reward": 29.0,
                            "expected_slashing": 20.0,
                            "explanation": None,
                        }
                    ],
                },
            ],
            "unassigned": [],
            "replica_values": [],
            "operators": [{"id": "op", "expected_benefit": 12.5, "expected_slashing": 10.0}],
            "loads": [],
            "load_error": 0.0,
            "risk": [],
            "prices": [],
            "prices_from": None,
            "ineligible_offers": {"minimum_collateral": 0, "deadline": 0},
            "conflict": None,
            "stochastic": {
                "ws": 19.5,
                "ws_bound": 19.5,
                "rp": 15.75,
                "rp_bound": 15.75,
                "ev": 8.5,
                "eev": 15.75,
                "evpi": 3.75,
                "vss": 0.0,
                "notes": "ws knows the outcomes of the tree: those that the second stage could see",
            },
            "evaluation": {
                "in_sample": 15.75,
                "out_of_sample": 15.576,
                "standard_error": 0.3940679046985602,
                "scenarios": 1000,
            },
            "timing": {
                "read": 0.00884150900037639,
                "sample": 0.0006026949995430186,
                "build": 0.009532846000183781,
                "solve": 0.06959204099985072,
                "verify": 0.0008703459998287144,
            },
            "provenance": {
                "bondwork": "0.1.0",
                "highs": "1.15.1",
                "input_sha256": "5d0dab8a5444eee81f26a73eec9429d8fc9e8012f87b99a086d9d59bb7ba62f9",
                "tree_sha256": "0de7f8865f07dc8d5a338edf7a206da1377acc40fb3c95c34d70f0c1d6c36b59",
                "history_sha256": None,
                "seed": 0,
                "options": {
                    "strategy": "auto",
                    "time_limit": None,
                    "mip_rel_gap": 0.0001,
                    "threads": 0,
                    "random_seed": 0,
                    "risk_form": "auto",
                },
                "notes": ["second stage on all 2 outcomes, with their exact probabilities"],
            },
            "verified": True,
            "violations": [],
        },
    ),
    "infeasible with a conflict": (
        {
            "format": "bondwork.round/1",
            "operators": [{"id": "op"}],
            "coprocessors": [{"id": "cp", "capacity": {"gpu": 1}}],
            "tasks": [
                {"id": "t", "operator": "op", "reward": 5, "required": True, "work": {"gpu": 1}},
                {"id": "u", "operator": "op", "reward": 5, "required": True, "work": {"gpu": 1}},
            ],
            "offers": [
                {"task": "t", "coprocessor": "cp", "bid": 1, "success_probability": 1.0},
                {"task": "u", "coprocessor": "cp", "bid": 1, "success_probability": 1.0},
            ],
        },
        {
            "format": "bondwork.plan/1",
            "status": "infeasible",
            "solution": "none",
            "strategy": "extensive",
            "formulation": "highs",
            "objective": None,
            "bound": None,
            "gap": None,
            "assignments": [],
            "recourse": [],
            "unassigned": [],
            "replica_values": [],
            "operators": [],
            "loads": [],
            "load_error": 0.0,
            "risk": [],
            "prices": [],
            "prices_from": None,
            "ineligible_offers": {"minimum_collateral": 0, "deadline": 0},
            "conflict": {
                "limits": ["task t required", "task u required", "capacity gpu of cp"],
                "minimal": True,
                "least": {},
            },
            "stochastic": None,
            "evaluation": None,
            "timing": {
                "read": 0.0007372069994744379,
                "sample": 6.3490006141364574e-06,
                "build": 0.0006693249997624662,
                "solve": 0.01466459799939912,
                "verify": 0.00020231399957992835,
            },
            "provenance": {
                "bondwork": "0.1.0",
                "highs": "1.15.1",
                "input_sha256": "2337120583a00a09aec5122d81ae956ea7a6aa27fdb79ed1974b46bff0ec67e1",
                "tree_sha256": None,
                "history_sha256": None,
                "seed": 0,
                "options": {
                    "strategy": "auto",
                    "time_limit": None,
                    "mip_rel_gap": 0.0001,
                    "threads": 0,
                    "random_seed": 0,
                    "risk_form": "auto",
                },
                "notes": ["auto chose extensive: 2 eligible offers"],
            },
            "verified": True,
            "violations": [],
        },
    ),
}


@pytest.mark.parametrize(("document", "plan"), OLD.values(), ids=OLD.keys())
def test_a_plan_of_0_1_0_is_read_and_accepted(document: Document, plan: Document):
    verdict = bondwork.verify(bondwork.load(document), copy.deepcopy(plan))
    assert verdict, verdict.violations
    # what newer plans prove, these leave open
    assert verdict.certified is None
    assert any("not proven" in each or "no certificate" in each for each in verdict.unchecked)


def test_its_false_claims_are_refused_as_those_of_newer_plans():
    document, plan = copy.deepcopy(OLD["one stage with prices"])
    plan["prices"][0]["price"] *= 10.0
    assert not bondwork.verify(bondwork.load(document), plan)
    document, plan = copy.deepcopy(OLD["two stages with their worth"])
    plan["stochastic"]["evpi"] = 5.0
    assert not bondwork.verify(bondwork.load(document), plan)
    document, plan = copy.deepcopy(OLD["infeasible with a conflict"])
    plan["conflict"]["limits"].remove("task t required")
    assert not bondwork.verify(bondwork.load(document), plan)
