"""What a planner does at a desk: offers fixed and forbidden, the next best plans, a plan of one's own."""

from __future__ import annotations

import json
import time
from typing import Any

import numpy as np
import pytest

import bondwork
from bondwork.desk import alternatives
from commands import bond
from own_rounds import enumerate_plans, make_round

ROUND = "data/rounds/three-tasks.json"


def test_offers_are_fixed_and_forbidden() -> None:
    for seed in range(200, 212):
        document = make_round(seed)
        ids = [each["id"] for each in document["offers"]]
        if len(ids) < 2:
            continue
        fix, forbid = ids[seed % len(ids)], ids[(seed + 1) % len(ids)]
        plans = [
            (worth, each)
            for worth, each in enumerate_plans(document, [])
            if any(o == fix for o, _ in each) and not any(o == forbid for o, _ in each)
        ]
        plan = bondwork.solve(bondwork.load(document), fix=[fix], forbid=[forbid], mip_rel_gap=0)
        if plans:
            assert plan.objective == pytest.approx(float(plans[0][0]), rel=1e-9, abs=1e-9), seed
        else:
            assert plan.status == "infeasible", seed


def test_alternatives_are_the_next_best_plans() -> None:
    for seed in range(300, 308):
        document = make_round(seed)
        plans = enumerate_plans(document, [])
        if not plans:
            continue
        found = bondwork.find_alternatives(bondwork.load(document), 4, strategy="extensive", mip_rel_gap=0)
        worths = [each.plan.objective for each in found.alternatives]
        assert worths == pytest.approx([float(worth) for worth, _ in plans[:4]], rel=1e-9, abs=1e-9), seed
        each_plan = [each.plan.assignments for each in found.alternatives]
        chosen = {frozenset((a.offer, a.operator) for a in each) for each in each_plan}
        assert len(chosen) == len(found.alternatives)
        assert all(each.plan.verified for each in found.alternatives)
        assert found.complete == (len(plans) < 4)


def test_alternatives_say_what_they_cost() -> None:
    found = bondwork.find_alternatives(bondwork.load(ROUND), 3, mip_rel_gap=0)
    costs = [each.cost for each in found.alternatives]
    assert costs[0] == 0.0
    assert costs == sorted(costs, key=lambda each: each or 0.0)
    assert all(each.added or each.dropped for each in found.alternatives[1:])
    with pytest.raises(bondwork.InvalidInput):
        bondwork.find_alternatives(bondwork.load(ROUND), 0)


def test_a_plan_of_what_was_chosen_is_that_plan() -> None:
    for seed in range(400, 406):
        document = make_round(seed)
        instance = bondwork.load(document)
        for worth, each in enumerate_plans(document, [])[:5]:
            plan = bondwork.plan_from(instance, sorted(each))
            assert plan.verified, (seed, plan.violations)
            assert plan.objective == pytest.approx(float(worth), rel=1e-9, abs=1e-9)
            assert bondwork.verify(instance, plan)


def test_ids_and_arrays_say_the_same() -> None:
    instance = bondwork.load(ROUND)
    best = bondwork.solve(instance, mip_rel_gap=0)
    ids = [each.offer for each in best.assignments]
    x = np.isin(np.array(instance.offers.ids), ids)
    one, other = bondwork.plan_from(instance, ids), bondwork.plan_from(instance, x * 1.0000001)
    assert one.model_copy(update={"timing": other.timing}) == other
    bounded = bondwork.plan_from(instance, ids, bound="relaxation")
    assert bounded.bound is not None
    assert best.objective is not None
    assert bounded.bound >= best.objective
    assert bounded.verified


def test_what_breaks_limits_comes_with_its_violations() -> None:
    instance = bondwork.load(ROUND)
    everything = bondwork.plan_from(instance, np.ones(len(instance.offers), dtype=bool))
    assert not everything.verified
    assert everything.status == "locally_infeasible"
    listed = {each.what for each in everything.violations}
    assert "task t-1" in listed
    assert listed == {each.what for each in bondwork.verify(instance, everything).violations}
    row = {"name": "one", "terms": [{}], "sense": "<=", "bound": 1}
    best = [each.offer for each in bondwork.solve(instance).assignments]
    limited = bondwork.plan_from(instance, best, constraints=[row])
    assert [each.what for each in limited.violations] == ["constraint one"]


def test_what_cannot_be_read_is_told_at_once() -> None:
    instance = bondwork.load(ROUND)
    with pytest.raises(bondwork.InvalidInput) as told:
        bondwork.plan_from(instance, ["t-1/cp-1", "t-1/cp-1", "t-9/cp-1"])
    assert len(told.value.faults) == 2
    assert "did you mean" in str(told.value)
    for x in (np.ones(2), np.full(len(instance.offers), 0.5), np.full(len(instance.offers), np.nan)):
        with pytest.raises(bondwork.InvalidInput):
            bondwork.plan_from(instance, x)


def test_the_command_line_fixes_forbids_and_lists() -> None:
    fixed = bond("solve", ROUND, "--fix", "t-1/cp-2", "--forbid", "t-3/cp-2", "--json")
    plan = json.loads(fixed.stdout)
    assert "t-1/cp-2" in [each["offer"] for each in plan["assignments"]]
    assert "t-3/cp-2" not in [each["offer"] for each in plan["assignments"]]
    unknown = bond("solve", ROUND, "--fix", "t-1/cp2")
    assert unknown.returncode == 2
    assert "did you mean" in unknown.stderr
    table = bond("solve", ROUND, "--alternatives", "3", "--mip-rel-gap", "0")
    assert "3 plans" in table.stdout
    listed = json.loads(bond("solve", ROUND, "--alternatives", "2", "--json").stdout)
    assert listed["format"] == "bondwork.alternatives/1"
    assert len(listed["alternatives"]) == 2


def test_a_time_limit_of_alternatives_is_divided(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[tuple[float, float]] = []

    def told(*args: Any, **more: Any) -> bondwork.Plan:
        given.append((more["time_limit"], more["begun"]))
        return bondwork.solve(*args, **more)

    monkeypatch.setattr(alternatives, "solve", told)
    begun = time.perf_counter() - 1.0
    found = bondwork.find_alternatives(bondwork.load(ROUND), 3, time_limit=900.0, begun=begun)
    limits = [limit for limit, _ in given]
    assert limits[0] == 300.0
    assert given[0][1] == begun
    assert 300.0 < limits[1] < limits[2]  # what one does not need goes to those behind it
    assert not found.notes


def test_alternatives_say_that_no_time_was_left() -> None:
    found = bondwork.find_alternatives(bondwork.load(ROUND), 3, time_limit=0.0)
    assert len(found.alternatives) == 1
    assert not found.complete
    assert found.notes == ["1 of 3 plans: no time was left for others"]
