"""Explanations of choices, and plans as starts of later rounds: by hand, by name, and tampered with."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import bondwork
from bondwork.plan.recall import digest, recall
from bondwork.problem.generate import generate_round
from hand_made import Document, make_round, offer


def two_tasks() -> Document:
    """Return a round with room for one task on each: t-1 goes to `good` (8 instead of 6), t-2 to `other`."""
    task = {"operator": "op", "work": {"gpu": 1}}
    return make_round(
        coprocessors=[{"id": "good", "capacity": {"gpu": 1}}, {"id": "other", "capacity": {"gpu": 1}}],
        tasks=[task | {"id": "t-1", "reward": 10}, task | {"id": "t-2", "reward": 5, "required": True}],
        offers=[
            offer("t-1", "good", 2, success_probability=1),
            offer("t-1", "other", 4, success_probability=1),
            offer("t-2", "good", 3, success_probability=1),
            offer("t-2", "other", 4, success_probability=1),
        ],
    )


def solve(document: Document, **options: Any) -> bondwork.Plan:
    return bondwork.solve(bondwork.load(document), **{"mip_rel_gap": 0.0} | options)


@pytest.mark.parametrize("strategy", ["extensive", "lagrangian", "relaxation"])
def test_the_next_best_is_named_and_worth_less_at_the_prices(strategy):
    document = two_tasks()
    plan = solve(document, strategy=strategy)
    assert [each.offer for each in plan.assignments] == ["t-1/good", "t-2/other"]
    prices = {each.limit: each.price for each in plan.prices}
    good, other = (prices.get(f"capacity gpu of {name}", 0.0) for name in ("good", "other"))
    first, second = (each.explanation for each in plan.assignments)
    assert first is not None
    assert second is not None
    assert first.worth == pytest.approx(8 - good)
    assert (first.runner_up, first.operator) == (["t-1/other"], "op") if 6 - other > 0 else ([], None)
    assert first.margin == pytest.approx(8 - good - max(0.0, 6 - other))
    assert second.runner_up == ["t-2/good"]
    assert second.margin == pytest.approx((1 - other) - (2 - good))


def test_there_is_no_explanation_without_prices():
    assert all(each.explanation is None for each in solve(two_tasks(), strategy="greedy").assignments)


@pytest.mark.parametrize("runner_up", [["t-1/nobody"], ["t-2/other"], ["t-1/good"], []])
def test_a_next_best_that_is_none_is_found(runner_up):
    instance = bondwork.load(two_tasks())
    document = bondwork.solve(instance, strategy="extensive").model_dump()
    document["assignments"][0]["explanation"] |= {"runner_up": runner_up, "operator": "op"}
    verdict = bondwork.verify(instance, bondwork.load_plan(document))
    found = {each.what for each in verdict.violations}
    assert "next best of t-1" in found
    assert found <= {"next best of t-1", "margin of t-1"}  # the margin is that over the one named


def test_an_earlier_plan_is_found_again_by_name_whatever_the_order():
    document = generate_round(40, 4, 4, 1)
    instance = bondwork.load(document)
    plan = bondwork.solve(instance, strategy="lagrangian", mip_rel_gap=0.01)
    changed = document | {
        "tasks": document["tasks"][:3:-1],
        "offers": [
            each for each in document["offers"][::-1] if each["task"] not in ("t-0", "t-1", "t-2", "t-3")
        ],
    }
    later = bondwork.load(changed)
    program = bondwork.build(later)
    start, note = recall(later, program, plan)
    kept = {each.offer for each in plan.assignments if each.task not in ("t-0", "t-1", "t-2", "t-3")}
    names = [later.offers.ids[offer] for offer in program.columns.tolist()]
    assert {name for name, chosen in zip(names, start.x, strict=True) if chosen} == kept
    assert f"{len(kept)} of {len(plan.assignments)} assignments" in note
    assert digest(plan) in note
    known = {each.limit: each.price for each in plan.prices}
    for row in program.limits.of_kind(1).tolist():
        assert start.row_duals[row] == known.get(program.limits.label(row), 0.0)


def test_a_warm_start_ends_as_well_and_says_where_it_began():
    instance = bondwork.load(generate_round(60, 5, 5, 2))
    cold = bondwork.solve(instance, strategy="lagrangian", mip_rel_gap=0.01)
    for strategy in ("lagrangian", "extensive"):
        again = [
            bondwork.solve(instance, strategy=strategy, mip_rel_gap=0.01, warm_start=cold) for _ in range(2)
        ]
        assert again[0].objective >= cold.objective - 1e-9
        assert f"warm start from plan {digest(cold)}" in again[0].provenance.notes[0]
        texts = [each.model_copy(update={"timing": cold.timing}).to_json() for each in again]
        assert texts[0] == texts[1]


def test_a_plan_of_another_world_is_no_harm():
    cold = solve(two_tasks(), strategy="lagrangian")
    instance = bondwork.load(generate_round(20, 3, 3, 5))
    warm = bondwork.solve(instance, strategy="lagrangian", mip_rel_gap=0.0, warm_start=cold)
    assert warm.objective == pytest.approx(bondwork.solve(instance, mip_rel_gap=0.0).objective)
    assert "0 of 2 assignments" in warm.provenance.notes[0]
    assert np.isfinite(warm.bound)
