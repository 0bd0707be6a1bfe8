"""Certificates of rounds with a second stage: recomputed, refused where they are false, and never beaten."""

from __future__ import annotations

import json
import random
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import bondwork
from bondwork.contracts import Options
from bondwork.observing import Silence
from bondwork.problem.rescues import find_rescues, has_rescues
from bondwork.program.extensive import extensive_form
from bondwork.program.redelegation import observe, redelegate, without_risk
from bondwork.registry import find_formulation
from bondwork.solver.solving import solve_program
from hand_made import make_round, offer
from people_oracles import Unanswered, best_with_rescues, is_listed
from people_rounds import counted_whole, people_round, sizes
from plan_kinds import two_stages
from rescue_certificate_oracle import RescueProof
from rounds_strategy import examples
from two_stage_oracle import SLACK, Oracle, documents

#: Outcomes that depend on each other are drawn, never listed.
SAMPLED = {"dependence": {"copula": "gaussian", "common": 0.2, "coprocessor": 0.3}, "scenarios": 8}

#: Share of the size of its terms by which the tolerance of rows widens a bound at most.
WIDER = 2e-9


def solved(document: dict[str, Any], **options: Any) -> tuple[bondwork.Instance, bondwork.Plan]:
    instance = bondwork.load(document)
    return instance, bondwork.solve(instance, mip_rel_gap=0.0, **options)


def relaxation(instance: bondwork.Instance, seed: int) -> float:
    """Optimum of the linear relaxation of all outcomes, in currency."""
    rescues = find_rescues(instance)
    first = find_formulation("highs").build(without_risk(instance))
    model = redelegate(instance, first, observe(instance, rescues, seed), rescues)
    form = extensive_form(model.program).matrices
    return solve_program(form, Options(), Silence(), relaxed=True).bound * model.unit


def check(document: dict[str, Any], instance: bondwork.Instance, plan: bondwork.Plan) -> Fraction | None:
    """The certified bound, recomputed by `verify` and in the plainest way."""
    certificate = plan.certificate
    if not plan.recourse and plan.provenance.tree_sha256 is None:
        return None  # no rescue could change anything: a round of one stage
    if certificate is None:
        assert plan.status == "infeasible"
        return None
    verdict = bondwork.verify(instance, json.loads(plan.to_json()))
    assert verdict, verdict.violations
    if not counted_whole({"operators": [], "coprocessors": [], "commitments": []} | document):
        return None if certificate.bound is None else Fraction(certificate.bound)
    proof = RescueProof(instance, plan.provenance.seed, certificate.multipliers)
    if certificate.bound is None:
        assert verdict.refuted
        exact = proof.bound(earning=False)
        assert exact is None or exact < 0
        return None
    exact = proof.bound()
    assert exact is not None
    size = max(abs(exact), proof.constant, Fraction(sizes({"self_execution": []} | document)))
    assert exact <= Fraction(certificate.bound) <= exact + Fraction(WIDER) * size
    assert verdict.certified is not None and verdict.certified <= certificate.bound
    return Fraction(certificate.bound)


@examples(0.3)
@given(documents())
def test_no_policy_beats_the_bound_which_is_no_looser_than_the_relaxation(document):
    instance, plan = solved(document)
    bound = check(document, instance, plan)
    if bound is None:
        return
    relaxed = relaxation(instance, plan.provenance.seed)
    assert float(bound) <= relaxed + 1e-6 * max(1.0, abs(relaxed))
    best = Oracle(document).best()
    if best is not None and is_listed(plan):
        assert float(bound) >= best - 10.0 * SLACK


@examples(0.15)
@given(documents(risk=False), st.sampled_from(["l-shaped", "greedy", "relaxation", "lagrangian", "saa"]))
def test_every_strategy_has_a_bound_that_no_policy_beats(document, strategy):
    assume(has_rescues(bondwork.load(document)))
    instance, plan = solved(document, strategy=strategy)
    bound = check(document, instance, plan)
    best = Oracle(document).best()
    if bound is not None and best is not None:
        assert float(bound) >= best - 10.0 * SLACK


@examples(0.15)
@given(documents())
def test_outcomes_that_are_drawn_are_proven_as_well(document):
    document["uncertainty"] = SAMPLED | {"seed": 3}
    instance, plan = solved(document)
    check(document, instance, plan)


@pytest.mark.parametrize("first", [0, 15])
def test_rounds_as_people_write_them(first):
    for seed in range(first, first + 15):
        document = people_round(random.Random(f"second stage {seed}"), "second stage")
        instance, plan = solved(document, time_limit=20.0)
        bound = check(document, instance, plan)
        if bound is None or not is_listed(plan):
            continue
        try:
            best = best_with_rescues(document)
        except Unanswered:
            continue
        assert best is None or float(bound) >= best - 1e-9, seed


def test_a_certificate_speaks_of_outcomes():
    # each of three rescues wants all of the only collateral: it has a price where several tasks fail
    document = make_round(
        coprocessors=[{"id": "a"}, {"id": "b", "free_collateral": 10}],
        tasks=[{"id": f"t{k}", "operator": "op", "reward": 20 + k, "slashing": 10} for k in range(3)],
        offers=[offer(f"t{k}", "a", 1, success_probability=0.5) for k in range(3)]
        + [offer(f"t{k}", "b", 1, collateral=10, success_probability=0.9, stage=2) for k in range(3)],
    )
    instance, plan = solved(document)
    assert plan.certificate is not None
    multipliers = plan.certificate.multipliers
    nodes = [multipliers[k + 1] for k, token in enumerate(multipliers) if token == "node"]
    assert nodes and nodes == sorted(nodes) and all(1 <= node <= 8 for node in nodes)
    # the price of room makes the relaxation exact here: everything is certified
    assert plan.certificate.vouched_by is None
    verdict = bondwork.verify(instance, plan)
    assert verdict and verdict.certified == plan.certificate.bound
    assert not any("bound" in each for each in verdict.unchecked)


def with_limit(**more: Any) -> dict[str, Any]:
    return two_stages(risk=[{"measure": "cvar", "budget": 60, "level": 0.8, "of": "network"}], **more)


@pytest.mark.parametrize(
    "multipliers",
    [
        ["node", 10**6, "collateral", 0, 1.0],
        ["node", 1, "expected", 0, 0, 1.0],
        ["node", 1, "cvar", 0, 0, 1.0, 0, 1.0],
        ["node", 1, "mean_risk", 0.0, 0, 1.0],
        ["cvar", 0, 0, 1.0, 10**6, 1.0],
        ["cvar", 0, 1, 1.0],
        ["worst_case", 0, 0, 1.0],
        ["ambiguous", 0, 0, 1.0],
        ["solvency", 0, 0, 1.0],
        ["load", 0, 1.0],
        ["node", 1, "load", 0, 1.0],
        ["node", 1, "deadline", 0, 5.0, 1.0],
        ["node", 1, "stake", 0, 1.0],
        ["node", 1, "collateral", 0, -1.0],
        ["window", 0, 0, 5.0, 1.0],
        ["task", 0, 1.0],
        ["task", 0, 0.0],
        ["task", 99, 1.0],
        ["node", 1, "task", 0, 1.0],
        ["collateral", 0, 1.0, "task", 0, 1.0],
    ],
)
def test_multipliers_of_nothing_are_refused_and_raise_nothing(multipliers):
    instance, plan = solved(with_limit())
    document = json.loads(plan.to_json())
    document["certificate"]["multipliers"] = multipliers
    verdict = bondwork.verify(instance, document)
    assert [each.what for each in verdict.violations] == ["certificate.multipliers"]


def test_false_bounds_are_refused():
    instance, plan = solved(with_limit())
    assert plan.certificate is not None and plan.certificate.multipliers
    for change in (-0.01, 0.01):
        document = json.loads(plan.to_json())
        document["certificate"]["bound"] += change
        verdict = bondwork.verify(instance, document)
        assert [each.what for each in verdict.violations] == ["certificate.bound"]
    document = json.loads(plan.to_json())
    document["certificate"]["multipliers"] = []
    assert not bondwork.verify(instance, document)
    document = json.loads(plan.to_json())
    document["certificate"] |= {"kind": "infeasibility", "bound": None}
    assert not bondwork.verify(instance, document)


def needed(budget: float) -> dict[str, Any]:
    """Required tasks that lose at least 2 on average, rescued as well as can be."""
    names = [f"t{k}" for k in range(2)]
    return make_round(
        tasks=[{"id": a, "operator": "op", "reward": 9, "slashing": 10, "required": True} for a in names],
        coprocessors=[{"id": "a"}, {"id": "b"}],
        offers=[offer(a, "a", 1, success_probability=0.5) for a in names]
        + [offer(a, "b", 1, success_probability=0.8, stage=2) for a in names],
        risk=[{"measure": "expected", "budget": budget, "of": "network"}],
    )


def test_infeasibility_of_the_relaxation_is_proven():
    # each by itself loses more than is allowed; a rescue takes that away
    _, feasible = solved(needed(2.0))
    assert feasible.status == "optimal" and feasible.objective is not None
    assert feasible.certificate is not None and feasible.certificate.bound is not None
    assert feasible.certificate.bound >= feasible.objective
    instance, plan = solved(needed(1.9))
    assert plan.status == "infeasible"
    assert plan.certificate is not None and plan.certificate.kind == "infeasibility"
    verdict = bondwork.verify(instance, plan)
    assert verdict and verdict.refuted
    assert not any("infeasib" in each for each in verdict.unchecked)
    document = json.loads(plan.to_json())
    document["certificate"]["multipliers"] = ["expected", 0, 0, 0.0]
    assert not bondwork.verify(instance, document)
    other = bondwork.load(needed(2.0))
    document = json.loads(plan.to_json())
    document["provenance"]["input_sha256"] = other.sha256
    assert not bondwork.verify(other, document)


def test_without_a_certificate_a_plan_is_as_good_and_says_so():
    instance, plan = solved(two_stages(), certificate="none")
    assert plan.certificate is None
    verdict = bondwork.verify(instance, plan)
    assert verdict and "bound: no certificate" in verdict.unchecked
    _, lucky = solved(two_stages(), strategy="wait-and-see")
    assert lucky.bound is not None and lucky.certificate is None
