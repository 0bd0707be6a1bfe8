"""Equal tasks decided together: the same optimum, bound and multipliers, and a plan of the round itself."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import bondwork
from bondwork.contracts import Options
from bondwork.observing import Silence
from bondwork.program import aggregation
from bondwork.program.aggregation import aggregate, solve_choices
from bondwork.program.bounds import multiplier_bound
from bondwork.solver.solving import solve_program

SOME = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture
def always(monkeypatch: pytest.MonkeyPatch) -> None:
    """Decide equal tasks together however few they are."""
    monkeypatch.setattr(aggregation, "LEAST_CHOICES", 1)
    monkeypatch.setattr(aggregation, "LEAST_SAVED", 0.01)


@st.composite
def crowds(draw: st.DrawFn) -> dict[str, Any]:
    """Rounds of a few kinds of tasks, several of each, with whatever limits there are."""
    coprocessors = [
        {
            "id": f"c{k}",
            "free_collateral": draw(st.integers(0, 12)),
            "capacity": {"cpu": draw(st.integers(0, 6))},
            "serial": draw(st.booleans()),
        }
        for k in range(draw(st.integers(1, 3)))
    ]
    tasks: list[dict[str, Any]] = []
    offers: list[dict[str, Any]] = []
    own: list[dict[str, Any]] = []
    for kind in range(draw(st.integers(1, 3))):
        task = {
            "reward": draw(st.integers(0, 9)),
            "slashing": draw(st.sampled_from([0, 0, 2, 5])),
            "work": {"cpu": draw(st.sampled_from([0, 1, 1.5]))},
            "required": draw(st.integers(0, 9)) == 0,
            "unassigned_cost": draw(st.sampled_from([0, 0, 1])),
        }
        if draw(st.booleans()):
            task["deadline"] = draw(st.sampled_from([4, 9]))
        if draw(st.integers(0, 5)) == 0:
            task["replicas"] = 2
        made = [
            {
                "coprocessor": draw(st.sampled_from(coprocessors))["id"],
                "bid": draw(st.sampled_from([0, 1, 1, 2.5])),
                "collateral": draw(st.sampled_from([0, 1, 4])),
                "success_probability": draw(st.sampled_from([0.5, 0.9, 0.95, 1])),
                "duration": draw(st.sampled_from([0, 1, 3])),
            }
            for _ in range(draw(st.integers(1, 3)))
        ]
        himself = draw(st.booleans())
        for number in range(draw(st.integers(1, 5))):
            name = f"t{kind}-{number}"
            tasks.append({"id": name, "operator": draw(st.sampled_from(["v", "v", "w"])), **task})
            offers += [{"id": f"{name} {k}", "task": name, **each} for k, each in enumerate(made)]
            if himself:
                who = tasks[-1]["operator"]
                own.append({"task": name, "operator": who, "cost": 2, "success_probability": 1})
    document: dict[str, Any] = {
        "format": "bondwork.round/1",
        "operators": [{"id": "v", "stake": draw(st.integers(3, 20))}, {"id": "w", "capacity": {"cpu": 2}}],
        "coprocessors": coprocessors,
        "tasks": tasks,
        "offers": offers,
        "self_execution": own,
        "risk": draw(
            st.lists(
                st.sampled_from(
                    [
                        {"measure": "expected", "budget": 1},
                        {"measure": "expected", "of": "operator", "budget": 0.5},
                        {"measure": "cvar", "level": 0.75, "budget": 3},
                        {"measure": "worst_case", "of": {"operator": "v"}, "budget": 5},
                        {"measure": "chance", "budget": 2, "probability": 0.25},
                    ]
                ),
                max_size=2,
            )
        ),
        "uncertainty": {"scenarios": 16},
    }
    if draw(st.integers(0, 4)) == 0:
        document["tasks"].append({"id": "old", "operator": "v", "slashing": 2})
        document["commitments"] = [
            {"id": "k", "task": "old", "operator": "v", "executor": "c0", "success_probability": 0.5,
             "work": {"cpu": 1}}
        ]  # fmt: skip
    return document


@SOME
@given(crowds(), st.sampled_from(["rows", "cuts"]))
def test_the_optimum_is_the_same(always: None, document: dict[str, Any], risk_form: Any) -> None:
    instance = bondwork.load(document)
    how: dict[str, Any] = {"strategy": "extensive", "mip_rel_gap": 0.0, "risk_form": risk_form}
    together = bondwork.solve(instance, **how)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(aggregation, "LEAST_CHOICES", 10**9)
        apart = bondwork.solve(instance, **how)
    assert together.status == apart.status
    if apart.objective is not None:
        assert together.objective == pytest.approx(apart.objective, abs=1e-7)
        assert together.bound == pytest.approx(apart.bound, abs=1e-6)
        assert together.verified


@SOME
@given(crowds(), st.booleans())
def test_solutions_go_to_and_fro(always: None, document: dict[str, Any], relaxed: bool) -> None:
    document["risk"] = [each for each in document["risk"] if each["measure"] == "expected"]
    program = bondwork.build(bondwork.load(document))
    found = aggregate(program)
    if found is None:
        return
    options, nobody = Options(mip_rel_gap=0.0), Silence()
    whole = solve_program(program, options, nobody, relaxed=relaxed)
    answer = solve_choices(program, options, nobody, relaxed=relaxed, start=whole.x)
    assert answer.status == whole.status
    if whole.x is None or answer.x is None:
        return
    assert program.value(answer.x) == pytest.approx(program.value(whole.x), abs=1e-7)
    assert program.excess(answer.x).max(initial=0.0) <= 1e-6
    if not relaxed:
        assert np.isin(answer.x, (0.0, 1.0)).all()
    for x in (whole.x, answer.x):
        y = found.reduce(x)
        assert found.matrices.value(y) == pytest.approx(program.value(x))
        assert found.matrices.excess(y).max(initial=0.0) <= 1e-6
        assert found.matrices.value(found.reduce(found.expand(y))) == pytest.approx(program.value(x))
    if relaxed and answer.row_duals is not None:
        # multipliers of the aggregated program prove the optimum of the whole one
        assert multiplier_bound(program, answer.row_duals) == pytest.approx(answer.bound, rel=1e-6, abs=1e-6)


def crowd(count: int, **changes: Any) -> dict[str, Any]:
    """Equal tasks, each offered to by five coprocessors alike, with room for some of them."""
    work = {"cpu": 1}
    offer = {"bid": 1, "collateral": 5, "success_probability": 0.9}
    return {
        "format": "bondwork.round/1",
        "operators": [{"id": "o", "stake": 1e4}],
        "coprocessors": [{"id": f"c{k}", "capacity": {"cpu": 100}, "free_collateral": 400} for k in range(5)],
        "tasks": [
            {"id": f"t{k}", "operator": "o", "reward": 10, "slashing": 10, "work": work} for k in range(count)
        ],
        "offers": [
            {"task": f"t{k}", "coprocessor": f"c{c}", **offer} for k in range(count) for c in range(5)
        ],
    } | changes


@pytest.mark.parametrize("strategy", ["auto", "lagrangian"])
def test_thousands_of_equal_tasks_take_seconds(strategy: str) -> None:
    instance = bondwork.load(crowd(3000))
    began = time.perf_counter()
    plan = bondwork.solve(instance, strategy=strategy, mip_rel_gap=0.0)
    assert time.perf_counter() - began < 60.0  # 3 on two quiet cores
    # five times 80 tasks for 400 of collateral, 7 each: 0.9 * 10 - 0.1 * 10 - 1
    assert (plan.status, plan.objective, plan.bound) == ("optimal", 2800.0, 2800.0)
    assert len(plan.assignments) == 400
    if strategy == "auto":
        assert plan.strategy == "extensive"
        assert any("5 of them different" in note for note in plan.provenance.notes)


def test_the_same_plan_every_time() -> None:
    instance = bondwork.load(crowd(60))
    one, two = (bondwork.solve(instance, strategy="extensive") for _ in range(2))
    assert one.assignments == two.assignments
    # tasks are served in the order of the input
    assert {each.task for each in one.assignments} == {f"t{k}" for k in range(60)}


def test_one_word_tells_a_task_from_the_others() -> None:
    document = crowd(40)
    document["tasks"][7]["reward"] = 11
    program = bondwork.build(bondwork.load(document))
    found = aggregate(program)
    assert found is not None
    assert len(found.matrices.objective) == 10
    document["risk"] = [{"measure": "cvar", "level": 0.9, "budget": 50}]
    document["uncertainty"] = {"scenarios": 200}
    lazy = bondwork.build(bondwork.load(document), risk_form="cuts")
    # every task fails in scenarios of its own
    assert aggregate(lazy) is None
