"""What the decomposition promises on whole rounds: its plans, its bound, its refusals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import bondwork
from bondwork.contracts import Options
from bondwork.observing import Silence
from bondwork.problem.generate import generate_round
from bondwork.strategies import auto
from bondwork.strategies.extensive import Extensive
from bondwork.strategies.greedy import Greedy
from bondwork.strategies.lagrangian import Lagrangian, NotDecomposable
from bondwork.strategies.lagrangian.finish import fill_last_room

Document = dict[str, Any]


def tight(seed: int, tasks: int = 7, *limits: str) -> Document:
    """Return a small round with the limits that are named, each at a share of what a free plan takes."""
    document = generate_round(tasks, 3, 3, seed, tightness=0.6)
    g = np.random.default_rng(seed)
    slashing = sum(task["slashing"] for task in document["tasks"])
    if "stake" in limits:
        document["operators"] = [
            each | {"stake": round(slashing * g.uniform(0.1, 0.3), 3)} for each in document["operators"]
        ]
    if "deadline" in limits:
        for each in document["coprocessors"]:
            each |= {"serial": True, "free_at": 10.0}
        for each in document["tasks"]:
            each["deadline"] = float(g.integers(50, 120))
        for each in document["offers"]:
            each["duration"] = float(g.integers(5, 40))
    if "required" in limits:
        document["tasks"][0]["required"] = True
        document["tasks"][1]["unassigned_cost"] = 3.0
    if "self" in limits:
        document["self_execution"] = [
            {"task": each["id"], "operator": each["operator"], "cost": 1.0, "success_probability": 0.9}
            for each in document["tasks"][::2]
        ]
        document["operators"] = [each | {"capacity": {"compute": 1.5}} for each in document["operators"]]
    risk = []
    if "expected" in limits:
        risk.append({"measure": "expected", "budget": round(0.04 * slashing, 3), "of": "network"})
    if "cvar" in limits:
        risk.append({"measure": "cvar", "level": 0.8, "budget": round(0.15 * slashing, 3), "of": "network"})
        document["uncertainty"] = {"scenarios": 32, "seed": seed}
    return document | {"risk": risk}


LIMITS = ["stake", "deadline", "required", "self", "expected", "cvar"]


@settings(max_examples=40, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10**6), limits=st.sets(st.sampled_from(LIMITS)))
def test_equals_the_extensive_form(seed, limits):
    program = bondwork.build(bondwork.load(tight(seed, 7, *limits)), risk_form="cuts")
    exact = Options(mip_rel_gap=0.0, time_limit=60.0)
    best = Extensive().solve(program, exact, Silence())
    found = Lagrangian(rounds=1).solve(program, exact, Silence())
    assert found.status == best.status
    if best.x is not None:
        value = program.value(best.x)
        assert program.value(found.x) == pytest.approx(value, rel=1e-6, abs=1e-9)
        assert found.bound >= value - 1e-9 * max(1.0, abs(value))
        assert found.bound >= program.value(found.x)


@settings(max_examples=30, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 10**6), limits=st.sets(st.sampled_from(LIMITS)), seconds=st.sampled_from([0.0, 0.05])
)
def test_never_below_greedy_nor_above_its_bound_however_short_the_time(seed, limits, seconds):
    program = bondwork.build(bondwork.load(tight(seed, 40, *limits)), risk_form="cuts")
    greedy = Greedy().solve(program, Options(), Silence())
    found = Lagrangian().solve(program, Options(time_limit=seconds), Silence())
    if found.status == "infeasible":
        assert greedy.x is None
        return
    assert np.isfinite(found.bound)
    if greedy.x is not None:
        assert program.value(greedy.x) <= program.value(found.x) <= found.bound
        assert program.value(greedy.x) <= found.bound


def test_leaves_no_room_when_it_is_stopped():
    program = bondwork.build(bondwork.load(tight(3, 60)))
    nothing = np.zeros(program.choices)
    x = fill_last_room(program, nothing)
    assert (program.excess(x) <= 1e-9).all()
    for column in np.flatnonzero((x < 0.5) & (program.objective > 0)):
        more = x.copy()
        more[column] = 1.0
        assert (program.excess(more) > 0).any()


def with_replicas(document: Document) -> Document:
    for each in document["coprocessors"]:
        each["capacity"] = {"compute": 100.0}
        each["free_collateral"] = 1e4
    document["tasks"][0] |= {"replicas": 2, "quorum": 2, "reward": 1e3}
    return document


def with_load_curve(document: Document) -> Document:
    curve = {
        "resource": "compute",
        "A": 1,
        "B": 0.5,
        "C": 0,
        "D": 1,
        "E": 0,
        "F": 0.75,
        "G": 0,
        "H": 0,
        "I": 1,
    }
    document["coprocessors"][0]["load_curve"] = curve | {"weight": 1.0}
    return document


def with_chance(document: Document) -> Document:
    document["uncertainty"] = {"scenarios": 32, "seed": 0}
    limit = {"measure": "chance", "probability": 0.1, "budget": 10.0, "of": "network"}
    return document | {"risk": [limit]}


def with_mean_risk(document: Document) -> Document:
    document["uncertainty"] = {"scenarios": 32, "seed": 0}
    return document | {"objective": {"risk_weight": 0.5, "risk_level": 0.8}}


@pytest.mark.parametrize("change", [with_replicas, with_load_curve, with_chance, with_mean_risk])
def test_refuses_clearly_and_auto_falls_back(change, monkeypatch):
    instance = bondwork.load(change(tight(1, 12)))
    with pytest.raises(NotDecomposable) as caught:
        Lagrangian().solve(bondwork.build(instance), Options(), Silence())
    assert caught.value.reason
    monkeypatch.setattr(auto, "MOST_EXTENSIVE", 0)
    plan = bondwork.solve(instance, mip_rel_gap=0.0)
    assert plan.strategy == "extensive"
    assert f"lagrangian refused: {caught.value.reason}" in plan.provenance.notes
