"""Rounds with later periods that start from an earlier plan; tests/composition compares optima."""

from __future__ import annotations

import copy
from typing import Any

import pytest

import bondwork
from bondwork import horizon_solving

Document = dict[str, Any]


def crowd(seed: int = 0, **more: Any) -> Document:
    """Four tasks now and two later, of which the collateral allows some."""
    import random

    rng = random.Random(seed)

    def part(names: str) -> Document:
        tasks = [
            {"id": name, "operator": "op", "reward": rng.choice([6, 8, 9]), "slashing": rng.choice([2, 4])}
            for name in names
        ]
        offers = [
            {"task": name, "coprocessor": executor, "collateral": rng.choice([1, 2, 3]), "duration": 90}
            | {"bid": rng.choice([0, 1]), "success_probability": rng.choice([0.8, 0.9])}
            for name in names
            for executor in ("a", "b")
        ]
        return {"tasks": tasks, "offers": offers}

    return {
        "format": "bondwork.round/1",
        "operators": [{"id": "op"}],
        "coprocessors": [{"id": "a", "free_collateral": 5}, {"id": "b", "free_collateral": 4}],
        **part("pqrs"),
        "periods": [{"id": "next", "at": 60, **part("uv")}],
        **more,
    }


@pytest.mark.parametrize("risk", [[], [{"measure": "cvar", "of": "network", "level": 0.9, "budget": 6}]])
@pytest.mark.parametrize("seed", range(3))
def test_the_optimum_does_not_depend_on_the_start(seed: int, risk: list[Document]) -> None:
    instance = bondwork.load(crowd(seed, risk=risk))
    plan = bondwork.solve(instance, mip_rel_gap=0)
    nothing = plan.model_copy(update={"assignments": [], "recourse": []})
    for start in (plan, nothing):
        again = bondwork.solve(instance, mip_rel_gap=0, warm_start=start)
        assert again.objective == pytest.approx(plan.objective, rel=1e-9)
        assert again.verified
        (note,) = [each for each in again.provenance.notes if each.startswith("warm start from plan")]
        found = sum(len(each.assignments) for each in start.recourse) + len(start.assignments)
        assert f"{found} of {found} choices found again" in note


def test_a_start_of_another_round_gives_what_fits_of_it() -> None:
    document = crowd()
    plan = bondwork.solve(bondwork.load(document), mip_rel_gap=0)
    changed = copy.deepcopy(document)
    gone = plan.assignments[0].task
    changed["tasks"] = [each for each in changed["tasks"] if each["id"] != gone]
    changed["offers"] = [each for each in changed["offers"] if each["task"] != gone]
    changed["coprocessors"][0]["free_collateral"] = 1
    instance = bondwork.load(changed)
    again = bondwork.solve(instance, mip_rel_gap=0, warm_start=plan)
    assert again.objective == pytest.approx(bondwork.solve(instance, mip_rel_gap=0).objective)
    assert again.verified


@pytest.mark.parametrize("risk", [[], [{"measure": "worst_case", "of": "network", "budget": 8}]])
def test_where_time_is_up_nothing_worse_than_the_start_is_handed_out(
    monkeypatch: pytest.MonkeyPatch, risk: list[Document]
) -> None:
    instance = bondwork.load(crowd(1, risk=risk))
    best = bondwork.solve(instance, mip_rel_gap=0)
    decided = horizon_solving.decide_within_limits

    def nothing(*given: Any) -> Any:
        return [0.0 * each for each in decided(*given) or ()]

    monkeypatch.setattr(horizon_solving, "decide_within_limits", nothing)
    cold = bondwork.solve(instance, time_limit=1e-9)
    warm = bondwork.solve(instance, time_limit=1e-9, warm_start=best)
    assert cold.objective == 0.0
    assert warm.objective == pytest.approx(best.objective)
    assert warm.verified
    assert "nothing better than the start was found in time" in warm.provenance.notes
