"""Limits on what whole paths lose, against closed forms; tests/composition has brute force."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest

import bondwork
from bondwork import horizon_solving
from bondwork.program import program_solving

Document = dict[str, Any]


def offer(task: str, p: float, duration: float = 30, **more: Any) -> Document:
    return {"task": task, "coprocessor": "cp", "success_probability": p, "duration": duration, **more}


def task(name: str, reward: float, slashing: float) -> Document:
    return {"id": name, "operator": "op", "reward": reward, "slashing": slashing}


def two_periods(*, duration: float = 30, **more: Any) -> Document:
    """A task now and one later, each worth 9 - 1 and losing 10 in one case of ten."""
    return {
        "format": "bondwork.round/1",
        "operators": [{"id": "op"}],
        "coprocessors": [{"id": "cp"}],
        "tasks": [task("now", 10, 10)],
        "offers": [offer("now", 0.9, duration)],
        "periods": [
            {"id": "next", "at": 60, "tasks": [task("then", 10, 10)], "offers": [offer("then", 0.9)]}
        ],
        **more,
    }


def limited(measure: str, **terms: Any) -> list[Document]:
    return [{"measure": measure, "of": "network", **terms}]


@pytest.mark.parametrize(
    ("duration", "risk", "objective"),
    [
        # both may fail, in one case of a hundred
        (30, limited("worst_case", budget=20), 16.0),
        # the second only where the first is seen to have succeeded
        (30, limited("worst_case", budget=10), 8.0 + 0.9 * 8.0),
        # the first is not seen before the second is chosen
        (90, limited("worst_case", budget=10), 8.0),
        (30, limited("chance", budget=10, probability=0.005), 8.0 + 0.9 * 8.0),
        (30, limited("chance", budget=10, probability=0.01), 16.0),
        (30, limited("worst_case", budget=5), 0.0),
        # the worst tenth of both loses 10 more in one case of ten: 0.01 * 20 + 0.09 * 10
        (30, limited("cvar", level=0.9, budget=11), 16.0),
        (30, limited("cvar", level=0.9, budget=10.5), 8.0 + 0.9 * 8.0),
    ],
)
def test_limits_by_hand(duration: float, risk: list[Document], objective: float) -> None:
    instance = bondwork.load(two_periods(duration=duration, risk=risk))
    plan = bondwork.solve(instance, mip_rel_gap=0)
    assert (plan.status, plan.verified) == ("optimal", True)
    assert plan.objective == pytest.approx(objective, abs=1e-9)
    assert plan.bound == pytest.approx(objective, abs=1e-6)
    assert plan.risk[0].holds
    assert bondwork.verify(instance, plan)


def test_the_mean_risk_objective_by_hand() -> None:
    """Both are worth it: 0.8 * 16 less a fifth of the worst tenth, 11."""
    document = two_periods(objective={"risk_weight": 0.2, "risk_level": 0.9})
    plan = bondwork.solve(bondwork.load(document), mip_rel_gap=0)
    assert plan.objective == pytest.approx(0.8 * 16 - 0.2 * 11, abs=1e-9)
    assert plan.verified


def test_outcomes_of_what_nobody_chose_are_no_coin() -> None:
    """With the coin, the later task could be chosen in half of all cases, and its limit kept."""
    document = two_periods(risk=limited("chance", budget=0, probability=0.05))
    document["tasks"] = [task("coin", 0, 1)]
    document["offers"] = [offer("coin", 0.5)]
    plan = bondwork.solve(bondwork.load(document), mip_rel_gap=0)
    assert plan.objective == pytest.approx(0.0, abs=1e-9)
    assert plan.bound == pytest.approx(0.0, abs=1e-6)
    assert plan.verified


def test_what_is_committed_makes_nothing_infeasible_and_excludes_no_more() -> None:
    document = two_periods(risk=limited("worst_case", budget=5))
    document["tasks"].append(task("old", 0, 10))
    document["commitments"] = [
        {
            "id": "k",
            "task": "old",
            "operator": "op",
            "executor": "cp",
            "success_probability": 0.5,
            "release_at": 60,
        }
    ]
    plan = bondwork.solve(bondwork.load(document), mip_rel_gap=0)
    assert [each.limit for each in plan.overcommitted] == ["worst_case of network"]
    # the old one may lose 10 by itself: the new one then, where that has succeeded
    assert plan.objective == pytest.approx(0.5 * 8.0, abs=1e-9)
    assert plan.verified
    assert not plan.risk[0].holds


@pytest.mark.parametrize("formulation", ["highs", "pyomo", "cvxpy"])
def test_a_sampled_tree_says_nothing_of_fresh_scenarios(formulation: str) -> None:
    document = two_periods(
        risk=limited("cvar", level=0.9, budget=11), uncertainty={"scenarios": 12, "seed": 3}
    )
    document["periods"][0]["tasks"][0]["reward"] = {"law": "lognormal", "mean": 10, "cv": 0.5}
    plan = bondwork.solve(bondwork.load(document), mip_rel_gap=0, formulation=formulation)
    assert plan.verified
    (risk,) = plan.risk
    assert (risk.out_of_sample, risk.standard_error) == (None, None)
    assert risk.holds
    assert any("sample of" in note for note in plan.provenance.notes)


def test_where_time_is_up_before_all_holds_choices_are_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    document = two_periods(risk=limited("chance", budget=0, probability=0.05))
    document["tasks"].append(task("coin", 0, 1))
    document["offers"].append(offer("coin", 0.5))
    monkeypatch.setattr(horizon_solving, "MOST_ROUNDS", 1)
    plan = bondwork.solve(bondwork.load(document), mip_rel_gap=0)
    assert plan.verified
    assert plan.status != "optimal"
    assert plan.bound is not None
    assert plan.objective is not None
    assert plan.bound >= 0.0 >= plan.objective
    assert all(each.holds for each in plan.risk)


def test_wei_and_whole_amounts_give_the_same_plan() -> None:
    document = two_periods(risk=limited("cvar", level=0.9, budget=10.5))
    large = copy.deepcopy(document)
    for part in (large, large["periods"][0]):
        for each in part["tasks"]:
            each["reward"] *= 10**18
            each["slashing"] *= 10**18
    large["risk"][0]["budget"] *= 10**18
    large["decimals"] = 0
    plan, other = (bondwork.solve(bondwork.load(each), mip_rel_gap=0) for each in (document, large))
    assert other.verified
    assert other.objective == pytest.approx(plan.objective * 1e18, rel=1e-9)  # type: ignore[operator]


def test_false_claims_are_refused() -> None:
    instance = bondwork.load(
        two_periods(
            risk=limited("cvar", level=0.9, budget=11), objective={"risk_weight": 0.2, "risk_level": 0.9}
        )
    )
    plan = bondwork.solve(instance, mip_rel_gap=0)
    (risk,) = plan.risk
    assert risk.in_sample == pytest.approx(11.0)
    for change in (
        {"in_sample": 10.0},
        {"holds": False},
        {"out_of_sample": 10.0},
        {"standard_error": None},
        {"calibrated": 5.0},
        {"budget": 12.0},
    ):
        told = plan.model_copy(update={"risk": [risk.model_copy(update=change)]})
        assert not bondwork.verify(instance, told), change
    assert not bondwork.verify(instance, plan.model_copy(update={"objective": plan.objective + 0.1}))  # type: ignore[operator]
    without = [each.model_copy(update={"assignments": []}) for each in plan.recourse]
    assert not bondwork.verify(instance, plan.model_copy(update={"recourse": without}))


def test_a_plan_that_breaks_its_limit_is_refused() -> None:
    loose = bondwork.load(two_periods(risk=limited("worst_case", budget=20)))
    plan = bondwork.solve(loose, mip_rel_gap=0)
    tight = bondwork.load(two_periods(risk=limited("worst_case", budget=10)))
    tree = bondwork.solve(tight, mip_rel_gap=0).provenance
    told = plan.model_copy(update={"provenance": tree})
    found = bondwork.verify(tight, told)
    assert not found
    assert any("worst_case of network" in str(each) for each in found.violations)


def test_every_leaf_is_a_path() -> None:
    from bondwork.program.horizon_losses import Leaves
    from bondwork.uncertainty.horizon import horizon_tree

    tree = horizon_tree(bondwork.load(two_periods(duration=90, risk=limited("worst_case", budget=20))))
    leaves = Leaves(tree)
    assert tree.exact
    assert sorted(leaves.probability.tolist()) == pytest.approx([0.01, 0.09, 0.09, 0.81])
    assert np.isclose(leaves.probability.sum(), 1.0)


def required(*, now: bool, risk: list[Document], safe: bool = True) -> Document:
    """Two tasks, one of which must be done: cheaply and badly, or well and dearly."""
    document = two_periods(risk=risk)
    for part, name, must in (
        (document, "now", now),
        (document["periods"][0], "then", not now),
    ):
        part["tasks"][0]["required"] = must
        part["offers"] = [offer(name, 0.7)]
        if safe:
            part["offers"].append(offer(name, 0.9) | {"coprocessor": "safe", "bid": 5})
    document["coprocessors"].append({"id": "safe"})
    return document


@pytest.mark.parametrize("now", [True, False])
def test_what_is_required_keeps_limits_where_time_is_up(now: bool) -> None:
    risk = limited("chance", budget=5, probability=0.2)
    instance = bondwork.load(required(now=now, risk=risk))
    loose = bondwork.solve(bondwork.load(required(now=now, risk=[])), mip_rel_gap=0)
    best = bondwork.solve(instance, mip_rel_gap=0)
    assert best.objective is not None
    for start in (None, loose, best):
        plan = bondwork.solve(instance, time_limit=1e-9, warm_start=start)
        assert plan.verified
        assert plan.objective is not None
        assert plan.objective <= best.objective + 1e-9
        assert all(each.holds for each in plan.risk)


def test_where_nothing_that_is_required_keeps_a_limit_there_is_no_plan() -> None:
    risk = limited("chance", budget=5, probability=0.2)
    instance = bondwork.load(required(now=True, risk=risk, safe=False))
    loose = bondwork.solve(bondwork.load(required(now=True, risk=[], safe=False)), mip_rel_gap=0)
    assert bondwork.solve(instance).status == "infeasible"
    for start in (None, loose):
        plan = bondwork.solve(instance, time_limit=1e-9, warm_start=start)
        assert plan.solution == "none"
        assert not plan.assignments
        assert plan.verified


@pytest.mark.parametrize("coin", [0.4, 0.6])
def test_what_is_required_is_no_coin_where_decisions_are_cut_short(
    monkeypatch: pytest.MonkeyPatch, coin: float
) -> None:
    # the task may be done badly in half of all cases; a coin that nobody tosses would tell which
    document = required(now=False, risk=limited("chance", budget=5, probability=0.2))
    document["tasks"] = [task("coin", 0, 1)]
    document["offers"] = [offer("coin", coin)]
    monkeypatch.setattr(horizon_solving, "MOST_ROUNDS", 1)
    plan = bondwork.solve(bondwork.load(document), mip_rel_gap=0)
    assert plan.verified
    assert plan.status != "optimal"
    # one of the two nodes decides for both: what it chose keeps the limit there, or it does not
    assert plan.solution == "none" or plan.objective == pytest.approx(10 * 0.9 - 5 - 10 * 0.1)
    assert all(each.holds for each in plan.risk)


def test_what_was_found_before_does_where_deciding_again_comes_to_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # the first decision has an outcome of what nobody chose tell how to share a budget
    document = two_periods(risk=limited("chance", budget=0, probability=0.05))
    document["tasks"].append(task("coin", 0, 1))
    document["offers"].append(offer("coin", 0.5))
    solved = program_solving.solve_stochastic
    calls: list[Any] = []

    def once(*given: Any, **how: Any) -> Any:
        solution = solved(*given, **how)
        calls.append(solution)
        if len(calls) == 1:
            return solution
        return solution.model_copy(update={"status": "time_limit", "solution": "none", "nodes": None})

    monkeypatch.setattr(horizon_solving, "solve_stochastic", once)
    monkeypatch.setattr(horizon_solving, "decide_within_limits", lambda *given: None)
    plan = bondwork.solve(bondwork.load(document), mip_rel_gap=0)
    assert len(calls) == 2
    assert not any("recounted" in each or "repaired" in each for each in plan.provenance.notes)
    assert plan.solution == "feasible"
    assert plan.status != "optimal"
    assert plan.verified


def test_whoever_has_any_amount_of_collateral_is_solvent() -> None:
    risk = [{"measure": "solvency", "of": "coprocessor", "probability": 0.05}]
    document = two_periods(risk=risk)
    document["offers"][0]["collateral"] = 3
    plan = bondwork.solve(bondwork.load(document), mip_rel_gap=0)
    assert plan.objective == pytest.approx(16.0)
    assert plan.verified
    assert [(each.in_sample, each.holds) for each in plan.risk] == [(0.0, True)]
