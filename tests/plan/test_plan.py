"""The plan as JSON and as a table."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import jsonschema
import pytest

import bondwork
from bondwork.schemas import json_schema
from hand_made import make_round, market

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def plan() -> bondwork.Plan:
    return bondwork.solve(bondwork.load(market()), mip_rel_gap=0.0)


def test_json_there_and_back(plan: bondwork.Plan, tmp_path: Path):
    path = tmp_path / "plan.json"
    path.write_text(plan.to_json(), encoding="utf-8")
    for source in (path, str(path), plan.to_json().encode(), json.loads(plan.to_json())):
        assert bondwork.load_plan(source) == plan
    assert bondwork.load_plan(path).to_json() == plan.to_json()


def test_json_is_of_the_published_schema(plan: bondwork.Plan):
    validator = jsonschema.Draft202012Validator(json_schema("plan"))
    validator.validate(json.loads(plan.to_json()))
    nothing = bondwork.solve(
        bondwork.load(make_round(tasks=[{"id": "t", "operator": "op", "required": True}]))
    )
    assert not nothing.is_usable()
    validator.validate(json.loads(nothing.to_json()))


def test_the_fields_of_the_format_are_all_there(plan: bondwork.Plan):
    document = json.loads(plan.to_json())
    assert {
        *("format", "status", "solution", "strategy", "formulation", "objective", "bound", "gap"),
        *("assignments", "recourse", "unassigned", "operators", "risk", "prices", "prices_from"),
        *("stochastic", "timing", "provenance", "verified"),
    } <= set(document)
    assert document["format"] == "bondwork.plan/1"
    assert set(document["timing"]) == {"read", "sample", "build", "solve", "verify"}
    assert all(seconds >= 0.0 for seconds in document["timing"].values())
    provenance = document["provenance"]
    assert {"bondwork", "highs", "input_sha256", "tree_sha256", "seed", "options"} <= set(provenance)
    assert len(provenance["input_sha256"]) == 64
    assert document["recourse"] == []
    assert document["stochastic"] is None


def test_frame(plan: bondwork.Plan):
    frame = plan.to_frame()
    assert list(frame["task"]) == [each.task for each in plan.assignments]
    assert list(frame.columns) == list(type(plan.assignments[0]).model_fields)
    assert frame["bid"].dtype == float
    assert frame["expected_net_reward"].sum() == pytest.approx(plan.objective, rel=1e-12)


def test_frame_of_nothing_has_its_columns():
    frame = bondwork.solve(bondwork.load(make_round(tasks=[]))).to_frame()
    assert len(frame) == 0
    assert "expected_net_reward" in frame.columns


def test_frame_without_pandas_says_how_to_get_it(plan: bondwork.Plan, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'bondwork\[frame\]'"):
        plan.to_frame()


def test_every_fault_of_a_plan_is_told(plan: bondwork.Plan):
    document = json.loads(plan.to_json())
    document["objectiv"] = document.pop("objective")
    document["status"] = "done"
    document["gap"] = float("nan")
    with pytest.raises(bondwork.InvalidInput) as caught:
        bondwork.load_plan(document)
    assert {fault.path for fault in caught.value.faults} == {"$.objective", "$.status", "$.gap"}


def test_fields_of_newer_versions_are_left_aside(plan: bondwork.Plan):
    document = json.loads(plan.to_json())
    document["weather"] = "fine"
    document["assignments"][0]["colour"] = {"r": 1}
    assert bondwork.load_plan(document) == plan


def test_a_plan_cannot_be_changed(plan: bondwork.Plan):
    with pytest.raises(ValueError, match="frozen"):
        plan.objective = 1.0  # type: ignore[misc]


def test_timing_is_of_this_solve(plan: bondwork.Plan):
    assert plan.timing.read > 0.0
    assert plan.timing.build > 0.0
    assert plan.timing.solve > 0.0
    assert plan.timing.verify > 0.0
