"""Findings have a kind, and a plan is put right where its numbers or its commentary are wrong."""

from __future__ import annotations

from typing import Any

import pytest

import bondwork
from bondwork.plan.amending import amended
from bondwork.plan.plan import Plan


@pytest.fixture(scope="module")
def instance() -> bondwork.Instance:
    return bondwork.load(
        {
            "format": "bondwork.round/1",
            "operators": [{"id": "op", "stake": 30}],
            "coprocessors": [{"id": "a", "free_collateral": 10}, {"id": "b", "free_collateral": 10}],
            "tasks": [
                {"id": "t", "operator": "op", "reward": 10, "slashing": 10, "replicas": 2},
                {"id": "u", "operator": "op", "reward": 6, "slashing": 4},
                {"id": "v", "operator": "op", "reward": 1, "slashing": 4},
            ],
            "offers": [
                {"task": "t", "coprocessor": "a", "bid": 1, "collateral": 8, "success_probability": 0.9},
                {"task": "t", "coprocessor": "b", "bid": 8, "collateral": 1, "success_probability": 0.9},
                {"task": "u", "coprocessor": "a", "bid": 1, "collateral": 8, "success_probability": 0.9},
                {"task": "v", "coprocessor": "b", "bid": 3, "success_probability": 0.9},
            ],
            "risk": [{"measure": "expected", "budget": 2.0}],
        }
    )


@pytest.fixture(scope="module")
def plan(instance: bondwork.Instance) -> Plan:
    return bondwork.solve(instance, mip_rel_gap=0.0)


def changed(plan: Plan, place: tuple[str | int, ...], value: Any) -> dict[str, Any]:
    document = plan.model_dump()
    inside: Any = document
    for step in place[:-1]:
        inside = inside[step]
    inside[place[-1]] = value
    return document


COMMENTARY: list[tuple[tuple[str | int, ...], Any]] = [
    (("unassigned", 0, "reason"), "not_worth_it"),
    (("unassigned", 0, "limits"), ["collateral of b"]),
    (("unassigned", 0, "limits"), []),
    (("unassigned", 1, "reason"), "worth_nothing"),
    (("unassigned", 1, "limits"), ["stake of op"]),
    (("unassigned",), []),
    (("operators", 0, "expected_benefit"), 99.0),
    (("operators", 0, "id"), "nobody"),
    (("replica_values", 0, "value_of_one_more"), 99.0),
    (("replica_values", 0, "offer"), "u/a"),
    (("prices",), [{"limit": "collateral of nobody", "price": 1.0}]),
    (("prices",), [{"limit": "collateral of a", "price": -1.0}]),
    (("conflict",), {"limits": ["stake of op"], "minimal": True}),
    (("ineligible_offers", "deadline"), 7),
    (("stochastic",), {"ws": 1.0}),
]

CORE: list[tuple[tuple[str | int, ...], Any]] = [
    (("objective",), 99.0),
    (("gap",), 0.5),
    (("bound",), 1.0),
    (("assignments", 0, "bid"), 0.5),
    (("assignments", 0, "expected_net_reward"), 0.5),
    (("risk", 0, "in_sample"), 0.5),
    (("risk", 0, "holds"), False),
]


@pytest.mark.parametrize(("place", "value"), COMMENTARY)
def test_doubtful_commentary_is_left_out(
    instance: bondwork.Instance, plan: Plan, place: tuple[str | int, ...], value: Any
) -> None:
    verdict = bondwork.verify(instance, changed(plan, place, value))
    assert {each.kind for each in verdict.violations} == {"commentary"}
    assert verdict.is_sound() and not verdict
    again = amended(Plan.model_validate(changed(plan, place, value)), verdict.findings)
    assert bondwork.verify(instance, again)
    assert (again.objective, again.assignments) == (plan.objective, plan.assignments) or place == ("prices",)
    assert "commentary does not verify" in again.provenance.notes[-1]


@pytest.mark.parametrize(("place", "value"), CORE)
def test_wrong_numbers_are_recounted(
    instance: bondwork.Instance, plan: Plan, place: tuple[str | int, ...], value: Any
) -> None:
    verdict = bondwork.verify(instance, changed(plan, place, value))
    assert "core" in {each.kind for each in verdict.violations}
    assert not verdict.is_sound()
    again = Plan.model_validate(changed(plan, place, value))
    for _ in range(3):
        again = amended(again, bondwork.verify(instance, again).findings)
    assert bondwork.verify(instance, again)
    assert again.objective == pytest.approx(plan.objective)
    assert again.assignments == plan.assignments
    assert "was recounted" in "".join(again.provenance.notes)


def test_a_bound_below_the_objective_proves_nothing(instance: bondwork.Instance, plan: Plan) -> None:
    claimed = Plan.model_validate(changed(plan, ("bound",), 1.0))
    again = amended(claimed, bondwork.verify(instance, claimed).findings)
    assert (again.bound, again.gap) == (None, None)
    assert (again.status, again.solution) == ("locally_solved", "feasible")


def test_what_is_left_open_is_told_and_no_fault(instance: bondwork.Instance, plan: Plan) -> None:
    silent = plan.model_dump() | {"operators": [], "replica_values": [], "prices": [], "prices_from": None}
    for each in silent["unassigned"]:
        each |= {"reason": "unexplained", "limits": []}
    verdict = bondwork.verify(instance, silent)
    assert verdict
    assert {"operators", "replica_values", "reason of u", "reason of v"} <= set(verdict.unchecked)


def test_a_plan_that_breaks_a_limit_cannot_be_put_right(instance: bondwork.Instance, plan: Plan) -> None:
    document = plan.model_dump()
    extra = dict(document["assignments"][0], offer="u/a", task="u", explanation=None)
    document["assignments"].append(extra)
    verdict = bondwork.verify(instance, document)
    assert "collateral of a" in {each.what for each in verdict.violations if each.kind == "core"}
    again = amended(Plan.model_validate(document), verdict.findings)
    assert "collateral of a" in {each.what for each in bondwork.verify(instance, again).violations}
