"""What room is worth: charged to decisions for what they hold, or have lost, when the horizon ends."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

import bondwork
from bondwork.problem.faults import InvalidInput

Document = dict[str, Any]

ROUND: Document = {
    "format": "bondwork.round/1",
    "decimals": 2,
    "operators": [{"id": "op", "stake": 20}],
    "coprocessors": [
        {"id": "cp", "free_collateral": 10, "serial": True, "capacity": {"gpu": 4}},
        {"id": "other", "free_collateral": 10},
    ],
    "tasks": [{"id": "t", "operator": "op", "reward": 10, "slashing": 4, "work": {"gpu": 2}}],
    "offers": [
        {
            "task": "t",
            "coprocessor": "cp",
            "bid": 1,
            "collateral": 3,
            "duration": 30,
            "success_probability": 0.75,
        }
    ],
}
NET = 0.75 * 10 - 0.25 * 4 - 1


def with_worth(worth: Document, of_operator: Document | None = None, **fields: Any) -> Document:
    document = copy.deepcopy(ROUND) | copy.deepcopy(fields)
    document["coprocessors"][0]["worth"] = worth
    if of_operator is not None:
        document["operators"][0]["worth"] = of_operator
    return document


def solved(document: Document, **options: Any) -> bondwork.Plan:
    instance = bondwork.load(document)
    plan = bondwork.solve(instance, mip_rel_gap=0.0, **options)
    assert plan.verified
    assert bondwork.verify(instance, json.loads(plan.to_json()))
    return plan


@pytest.mark.parametrize(
    ("worth", "of_operator", "taken"),
    [
        ({"collateral": 0.5}, None, 1.5),
        ({"capacity": {"gpu": 0.25}}, None, 0.5),
        ({"second": 0.05}, None, 1.5),
        ({"collateral": 0.5, "capacity": {"gpu": 0.25}, "second": 0.05}, {"stake": 0.25}, 4.5),
        ({}, {"stake": 0.5, "capacity": {"gpu": 100}}, 2.0),
    ],
)
def test_a_round_by_itself_is_charged_for_all_that_it_takes(
    worth: Document, of_operator: Document | None, taken: float
) -> None:
    for strategy in ("auto", "extensive", "lagrangian", "relaxation", "greedy", "first-price"):
        plan = solved(with_worth(worth, of_operator), strategy=strategy)
        assert plan.worth_taken == pytest.approx(taken)
        assert plan.objective == pytest.approx(NET - taken)
        assert plan.assignments[0].expected_net_reward == pytest.approx(NET)  # money; room is none


@pytest.mark.parametrize("formulation", ["highs", "pyomo", "cvxpy"])
def test_what_is_not_worth_its_room_is_left(formulation: str) -> None:
    plan = solved(with_worth({"collateral": 2}), formulation=formulation)
    assert (plan.objective, plan.worth_taken, plan.assignments) == (0.0, 0.0, [])
    assert [each.reason for each in plan.unassigned] == ["not_worth_it"]


def test_dear_room_sends_the_task_to_where_room_is_cheap() -> None:
    document = with_worth({"collateral": 1})
    document["offers"].append(ROUND["offers"][0] | {"coprocessor": "other", "bid": 2})
    assert solved(document).assignments[0].executor == "other"
    del document["coprocessors"][0]["worth"]
    assert solved(document).assignments[0].executor == "cp"


def test_collateral_and_stake_count_as_a_ledger_counts_them() -> None:
    document = with_worth({"collateral": 1}, {"stake": 1})
    document["offers"][0]["collateral"], document["tasks"][0]["slashing"] = 0.125, 0.005
    assert solved(document).worth_taken == pytest.approx(0.12)


def test_a_team_exposes_its_stake_once() -> None:
    document = with_worth({"collateral": 0.25}, {"stake": 0.25})
    document["tasks"][0] |= {"replicas": 2, "quorum": 2, "reward": 30}
    document["offers"].append(ROUND["offers"][0] | {"coprocessor": "other"})
    assert solved(document).worth_taken == pytest.approx(0.25 * 3 + 0.25 * 4)


LATER = {"id": "next", "at": 60, "tasks": [], "offers": []}


@pytest.mark.parametrize(
    ("duration", "taken"),
    [
        # released: its collateral and stake are free again if it succeeded; work and time are free
        (30, 0.25 * (0.5 * 3 + 0.25 * 4)),
        # never released: all of it is held to the end
        (90, 0.5 * 3 + 0.25 * 4 + 0.125 * 2 + 0.01 * 90),
    ],
)
def test_later_periods_return_what_they_release(duration: float, taken: float) -> None:
    worth = {"collateral": 0.5, "capacity": {"gpu": 0.125}, "second": 0.01}
    document = with_worth(worth, {"stake": 0.25}, periods=[LATER])
    document["offers"][0]["duration"] = duration
    plan = solved(document)
    assert plan.worth_taken == pytest.approx(taken)
    assert plan.objective == pytest.approx(NET - taken)


def test_risk_weight_weighs_it_like_all_that_is_earned() -> None:
    document = with_worth({"collateral": 0.5}, objective={"risk_weight": 0.5, "risk_level": 0.5})
    document["uncertainty"] = {"scenarios": 4, "sampling": "monte_carlo"}
    plain = copy.deepcopy(document)
    del plain["coprocessors"][0]["worth"]
    charged, free = solved(document), solved(plain)
    assert charged.objective is not None
    assert free.objective is not None
    assert free.objective - charged.objective == pytest.approx(0.5 * 1.5)


def test_faults_are_told_all_at_once() -> None:
    document = with_worth({"second": 1, "capacity": {"gpuu": 1}}, {"stake": -1})
    document["coprocessors"][0]["serial"] = False
    with pytest.raises(InvalidInput) as told:
        bondwork.load(document)
    paths = {fault.path for fault in told.value.faults}
    assert {"$.operators[0].worth.stake", "$.coprocessors[0].worth.second"} <= paths
    assert "$.coprocessors[0].worth.capacity" in paths


def test_worth_of_nothing_is_no_worth() -> None:
    document = with_worth({"collateral": 0, "capacity": {"gpu": 0}})
    assert bondwork.load(document).worth is None
    assert solved(document).worth_taken is None


@pytest.mark.parametrize("value", [0.0, 1.0, -1.5])
def test_a_false_claim_is_refused(value: float) -> None:
    document = with_worth({"collateral": 0.5})
    told = json.loads(solved(document).to_json()) | {"worth_taken": value}
    verdict = bondwork.verify(bondwork.load(document), told)
    assert not verdict
    assert "worth_taken" in str(verdict.violations)
    bare = json.loads(solved(copy.deepcopy(ROUND)).to_json()) | {"worth_taken": value}
    assert not bondwork.verify(bondwork.load(ROUND), bare)


def test_the_bound_is_proven_with_it() -> None:
    document = with_worth({"collateral": 0.5}, {"stake": 0.25})
    plan = solved(document, strategy="extensive")
    assert plan.certificate is not None
    assert plan.certificate.bound == pytest.approx(NET - 2.5)
    assert plan.bound == pytest.approx(NET - 2.5)


def test_later_bounds_are_proven_with_it() -> None:
    document = with_worth({"collateral": 0.5}, {"stake": 0.25}, periods=[LATER])
    plan = solved(document)
    assert plan.certificate is not None
    assert plan.objective == pytest.approx(NET - 0.25 * 2.5)
    assert plan.certificate.bound == pytest.approx(plan.objective, abs=1e-6)
