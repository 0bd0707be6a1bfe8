"""Load incentives at the nodes of a horizon, by hand; tests/composition has brute force."""

from __future__ import annotations

from typing import Any

import pytest

import bondwork

Document = dict[str, Any]

#: A straight line: half the load.
CURVE = {"A": 0.0005, "B": 0.001, "C": 0, "D": 0.0005, "E": 0.5, "F": 1, "G": 0, "H": 1, "I": 0.5}


def two_periods(*, duration: float, weight: float = 2, **more: Any) -> Document:
    """A task now and one later that earn nothing but by the load, of a half each."""
    curve = CURVE | {"resource": "gpu", "weight": weight, "scale": 3}

    def part(name: str, lasts: float) -> Document:
        return {
            "tasks": [{"id": name, "operator": "op", "work": {"gpu": 2}}],
            "offers": [{"task": name, "coprocessor": "cp", "success_probability": 0.9, "duration": lasts}],
        }

    return {
        "format": "bondwork.round/1",
        "operators": [{"id": "op"}],
        "coprocessors": [{"id": "cp", "capacity": {"gpu": 4}, "load_curve": curve}],
        **part("now", duration),
        "periods": [{"id": "next", "at": 60, **part("then", 0)}],
        **more,
    }


@pytest.mark.parametrize(
    ("duration", "loads"),
    [(30, 0.5 + 0.5), (90, 0.5 + 1.0)],  # the first is held beyond the period, or not
)
@pytest.mark.parametrize("formulation", ["highs", "pyomo", "cvxpy"])
def test_a_load_counts_while_work_is_held(duration: float, loads: float, formulation: str) -> None:
    instance = bondwork.load(two_periods(duration=duration))
    plan = bondwork.solve(instance, mip_rel_gap=0, formulation=formulation)
    assert (plan.status, plan.verified) == ("optimal", True)
    assert plan.objective == pytest.approx(2 * 3 * 0.5 * loads, rel=1e-3)
    assert plan.bound is not None
    assert plan.objective is not None
    assert 0.0 <= plan.bound - plan.objective <= plan.load_error + 1e-6
    assert not bondwork.verify(instance, plan.model_copy(update={"objective": plan.objective * 1.01}))
    assert not bondwork.verify(instance, plan.model_copy(update={"load_error": 1.0}))


def test_a_load_that_costs_is_put_off() -> None:
    plan = bondwork.solve(bondwork.load(two_periods(duration=90, weight=-2)), mip_rel_gap=0)
    assert not plan.assignments
    assert plan.objective == pytest.approx(0.0, abs=1e-2)


def test_commitments_are_a_load_until_they_are_released() -> None:
    document = two_periods(duration=30)
    document["tasks"].append({"id": "old", "operator": "op"})
    document["commitments"] = [
        {"id": "k", "task": "old", "operator": "op", "executor": "cp", "success_probability": 0.5}
        | {"release_at": 60, "work": {"gpu": 2}}
    ]
    plan = bondwork.solve(bondwork.load(document), mip_rel_gap=0)
    assert plan.objective == pytest.approx(2 * 3 * 0.5 * (1.0 + 0.5), rel=1e-3)
    assert plan.loads[0].load == 1.0
    assert plan.verified


def test_a_greedy_plan_says_what_its_loads_earn(monkeypatch: pytest.MonkeyPatch) -> None:
    from bondwork import horizon_solving

    document = two_periods(duration=90, risk=[{"measure": "worst_case", "budget": 5}])
    for part in (document, document["periods"][0]):
        part["tasks"][0] |= {"reward": 9, "slashing": 4}
    instance = bondwork.load(document)
    greedy = horizon_solving._greedy

    def decided(made: Any, *, options: Any, observer: Any, how: Any, clock: Any, **_: Any) -> Any:
        return greedy(made, options, observer, how, clock)

    monkeypatch.setattr(horizon_solving, "_decided", decided)
    plan = bondwork.solve(instance, time_limit=60)
    assert plan.strategy == "greedy"
    assert plan.verified
    assert [each.task for each in plan.assignments] == ["now"]
    assert all(each.holds for each in plan.risk)
