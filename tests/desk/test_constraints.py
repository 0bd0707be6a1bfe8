"""Constraints of one's own: every part keeps them, by brute force."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

import bondwork
from bondwork.plan.recount import Recount
from bondwork.plan.recount_constraints import ConstraintRecount
from bondwork.program.own_rows import amounts_of
from bondwork.strategies.lagrangian.errors import NotDecomposable
from own_rounds import enumerate_plans, make_constraints, make_round


@pytest.mark.parametrize("first", range(0, 60, 20))
def test_the_best_plan_is_the_one_of_enumeration(first: int) -> None:
    for seed in range(first, first + 20):
        document = make_round(seed)
        constraints = make_constraints(document, seed)
        plans = enumerate_plans(document, constraints)
        instance = bondwork.load({**document, "constraints": constraints})
        formulation = ("highs", "cvxpy", "pyomo")[seed % 3]
        plan = bondwork.solve(instance, strategy="extensive", formulation=formulation, mip_rel_gap=0)
        if not plans:
            assert plan.status == "infeasible", seed
            assert plan.conflict is not None
            assert bondwork.verify(instance, plan), seed
            continue
        assert plan.status == "optimal", seed
        assert plan.objective == pytest.approx(float(plans[0][0]), rel=1e-9, abs=1e-9), seed
        assert {(a.offer, a.operator) for a in plan.assignments} in [set(each) for _, each in plans]
        assert plan.bound is not None
        assert plan.bound >= float(plans[0][0]) - 1e-9 * (1 + abs(float(plans[0][0])))


@pytest.mark.parametrize("strategy", ["auto", "greedy", "relaxation", "lagrangian", "second-price"])
def test_every_strategy_keeps_constraints_or_refuses(strategy: str) -> None:
    assert strategy in bondwork.strategy_names()
    decided = 0
    for seed in range(100, 115):
        document = make_round(seed)
        constraints = make_constraints(document, seed)
        plans = {each: worth for worth, each in enumerate_plans(document, constraints)}
        instance = bondwork.load(document)
        try:
            plan = bondwork.solve(instance, strategy=strategy, constraints=constraints)
        except NotDecomposable as refusal:
            assert strategy == "lagrangian"
            assert "lower bound" in str(refusal) or "negative" in str(refusal)
            continue
        if plan.is_usable():
            decided += 1
            chosen = frozenset((a.offer, a.operator) for a in plan.assignments)
            assert chosen in plans, seed
            best = float(max(plans.values()))
            assert plan.bound is None or plan.bound >= best - 1e-9 * (1 + abs(best))
        assert [each.name for each in plan.constraints] == [each["name"] for each in constraints]
        assert bondwork.verify(instance, plan)
    assert decided > 3


def test_a_plan_that_breaks_a_constraint_does_not_verify() -> None:
    instance = bondwork.load("data/rounds/three-tasks.json")
    free = bondwork.solve(instance, mip_rel_gap=0)
    two: dict[str, Any] = {"name": "two at most", "terms": [{}], "sense": "<=", "bound": 2}
    limited = bondwork.solve(instance, constraints=[two], mip_rel_gap=0)
    assert len(free.assignments) == 3
    assert len(limited.assignments) == 2
    assert "constraint two at most" in limited.unassigned[0].limits
    claimed = free.model_copy(update={"constraints": limited.constraints})
    verdict = bondwork.verify(instance, claimed)
    assert "constraint two at most" in [each.what for each in verdict.violations]
    # and one of a limited round is not the best of the round itself, which its certificate says
    assert not bondwork.verify(instance, limited.model_copy(update={"constraints": [], "bound": 1.0}))


def test_auto_says_what_refused_where_a_row_has_a_lower_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bondwork.strategies.auto.MOST_EXTENSIVE", 1)
    instance = bondwork.load("data/rounds/three-tasks.json")
    row = {"name": "busy", "terms": [{"executor": "cp-1"}], "sense": ">=", "bound": 1}
    plan = bondwork.solve(instance, constraints=[row], mip_rel_gap=0)
    assert any(note.startswith("lagrangian refused: ") for note in plan.provenance.notes)
    assert plan.strategy == "extensive"
    assert any(each.executor == "cp-1" for each in plan.assignments)


def test_teams_count_member_by_member() -> None:
    two = {"name": "two", "terms": [{"executor": ["a", "b", "c"]}], "sense": "<=", "bound": 2}
    offers = [{"task": "t", "coprocessor": c, "bid": 1, "success_probability": 0.5} for c in ("a", "b", "c")]
    instance = bondwork.load(
        {
            "format": "bondwork.round/1",
            "operators": [{"id": "op"}],
            "coprocessors": [{"id": c} for c in ("a", "b", "c")],
            "tasks": [{"id": "t", "operator": "op", "reward": 20, "replicas": 3}],
            "offers": offers,
            "constraints": [two],
        }
    )
    plan = bondwork.solve(instance, mip_rel_gap=0)
    assert plan.objective == pytest.approx(13.0)
    assert plan.verified


def test_every_fault_is_told_at_once_with_its_path() -> None:
    instance = bondwork.load("data/rounds/three-tasks.json")
    wrong: list[dict[str, Any]] = [
        {"name": "a", "terms": [{"task": ["t-1", "nobody"]}], "sense": "=<", "bound": 1},
        {"name": "b", "terms": [{"offer": "t-1/cp1"}, {"resource": "computer"}], "sense": "<=", "bound": 1},
        {"name": "b", "terms": [{"resource": "compute", "amount": "bid"}], "sense": "<=", "bound": 1},
    ]
    with pytest.raises(bondwork.InvalidInput) as told:
        bondwork.solve(instance, constraints=wrong)
    assert [each.path for each in told.value.faults] == [
        "$.constraints[0].sense",
        "$.constraints[1].terms[0].offer",
        "$.constraints[1].terms[1].resource",
        "$.constraints[2].name",
        "$.constraints[2].terms[0].amount",
    ]
    assert "did you mean" in str(told.value)


def test_constraints_beside_later_stages_are_refused_with_both_fields() -> None:
    for name, other in (("epochs", "periods"), ("second-chances", "second-stage offers")):
        instance = bondwork.load(f"data/rounds/{name}.json")
        row = {"name": "one", "terms": [{}], "sense": "<=", "bound": 1}
        with pytest.raises(bondwork.Refusal) as refused:
            bondwork.solve(instance, constraints=[row])
        assert f"constraints beside {other}" in str(refused.value)


def test_rounds_without_constraints_keep_their_digest() -> None:
    known = "2560bcede077ce79e19d27d5be1c2067a8a961560ff96a0a4df9f2b09134a387"
    assert bondwork.load("data/rounds/three-tasks.json").sha256 == known


class Named(tuple):
    """Ids of a term, which count how often somebody is sought among them."""

    sought = 0

    def __contains__(self, id_: object) -> bool:
        type(self).sought += 1
        return super().__contains__(id_)


def test_a_term_that_names_offers_is_not_asked_about_every_other_offer() -> None:
    """A constraint that names each of 3,200 offers in a term of its own took `verify` 20 s."""
    document = make_round(3)
    terms = [{"offer": each} for each in dict.fromkeys(bondwork.load(document).offers.ids)]
    own = {"name": "all", "terms": terms, "sense": "<=", "bound": 2.0}
    instance = bondwork.load({**document, "constraints": [own]})
    named = [dataclasses.replace(each, offer=Named(each.offer)) for each in instance.constraints[0].terms]
    own_terms = dataclasses.replace(instance.constraints[0], terms=tuple(named))
    instance = dataclasses.replace(instance, constraints=(own_terms,))
    counted = ConstraintRecount(Recount(instance, 0))
    assert Named.sought == 0
    amounts = amounts_of(instance, own_terms)
    assert amounts.tolist() == [1.0] * len(instance.offers)
    for offer, amount in enumerate(amounts.tolist()):
        assert counted.uses((offer,)) == [(("constraint", "all", "most"), amount)]


def test_rows_and_recount_mean_the_same_offers() -> None:
    compared = 0
    for seed in range(40):
        document = make_round(seed)
        instance = bondwork.load({**document, "constraints": make_constraints(document, seed)})
        counted = ConstraintRecount(Recount(instance, 0))
        for each in instance.constraints:
            side, sign = ("least", -1.0) if each.sense == ">=" else ("most", 1.0)
            for offer, amount in enumerate(amounts_of(instance, each).tolist()):
                told = dict(counted.uses((offer,))).get(("constraint", each.name, side), 0.0)
                assert told == pytest.approx(sign * amount, rel=1e-12), seed
                compared += amount != 0.0
    assert compared > 100
