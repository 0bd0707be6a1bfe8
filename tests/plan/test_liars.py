"""Certificates as a liar would write them: whatever is claimed beyond what is proven is refused."""

from __future__ import annotations

import copy
import json
import random
import time
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import pytest

import bondwork
from bondwork.plan.certificate import POSITIONS, BadCertificate, read_entries
from certificate_oracle import Proof
from hand_made import make_round, offer
from horizon_certificate_oracle import HorizonProof
from plan_kinds import KINDS, instance_of, plan_of
from rescue_certificate_oracle import RescueProof

if TYPE_CHECKING:
    from collections.abc import Iterator

Plan = dict[str, Any]

#: Plans of each kind that are tried, and seconds that no check takes.
TRIED, SECONDS = 150, 20.0

#: Kinds whose certificates prove that nothing is feasible: all others prove a bound.
NOTHING_FEASIBLE = ("impossible", "crowded")

#: What a number of the array is replaced by.
NUMBERS: tuple[Any, ...] = (
    *(0, 1, -1, 7, 2**31, 2**53, 10**400, 0.5, -0.5, 1e308, -1e308, 5e-324, 1e-300),
    *(float("inf"), float("nan"), True, None, "stake", "node", [], {}),
)


def document_of(kind: str) -> Plan:
    document: Plan = json.loads(plan_of(kind).to_json())
    return document


def lies(tokens: list[Any], rng: random.Random) -> Iterator[list[Any]]:
    """Arrays with one thing changed."""
    starts = [place for place, token in enumerate(tokens) if isinstance(token, str)]
    for place, token in enumerate(tokens):
        before, after = tokens[:place], tokens[place + 1 :]
        if isinstance(token, str):
            for word in (*POSITIONS, "node", "tasks", ""):
                yield [*before, word, *after]
            end = next((each for each in starts if each > place), len(tokens))
            yield before + tokens[end:]
            yield tokens + tokens[place:end]
            yield [*tokens[:place], "node", rng.choice([0, 1, 2, 99, -1]), *tokens[place:]]
        else:
            for number in NUMBERS:
                yield [*before, number, *after]
            for factor in (1 + 1e-6, 1 - 1e-6, 2.0, 0.5, -1.0):
                yield [*before, token * factor, *after]
            yield before + after
    yield tokens + tokens
    yield tokens[::-1]


def proven(kind: str, tokens: list[Any]) -> Fraction | None:
    """What fractions give of an array, where a second program can say."""
    document, seed = KINDS[kind][0](), plan_of(kind).provenance.seed
    proof: Proof | HorizonProof | RescueProof
    if kind in ("tails", "mean risk", "replicated", "impossible", "crowded"):
        return None
    if kind == "periods":
        proof = HorizonProof(document, seed, tokens)
    elif kind.startswith("two stages"):
        proof = RescueProof(instance_of(kind), seed, tokens)
    else:
        proof = Proof(document, tokens)
    return proof.bound()


@pytest.mark.parametrize("kind", KINDS)
def test_changed_multipliers_are_refused_or_prove_what_is_said(kind: str):
    plan, rng = document_of(kind), random.Random(kind)
    given = plan["certificate"]["multipliers"]
    every = list(lies(given, rng))
    refused = 0
    for tokens in rng.sample(every, min(TRIED, len(every))):
        false = plan | {"certificate": plan["certificate"] | {"multipliers": tokens}}
        begun = time.perf_counter()
        try:
            verdict = bondwork.verify(instance_of(kind), false)
        except bondwork.InvalidInput:
            refused += 1
            continue
        finally:
            assert time.perf_counter() - begun < SECONDS
        refused += not verdict
        if verdict and plan["certificate"]["kind"] == "bound":
            exact = proven(kind, tokens)
            assert exact is None or exact <= Fraction(plan["certificate"]["bound"])
    assert refused > len(given) or not given


@pytest.mark.parametrize("kind", [each for each in KINDS if each not in NOTHING_FEASIBLE])
@pytest.mark.parametrize("share", [1e-6, 0.1, 3.0])
def test_a_bound_below_what_the_multipliers_prove_is_refused(kind: str, share: float):
    plan = document_of(kind)
    assert plan["certificate"]["kind"] == "bound"
    size = max(abs(plan["certificate"]["bound"]), 1.0)
    for lower in (plan["certificate"]["bound"] - share * size, plan["certificate"]["bound"] + share * size):
        for word in (None, "branch_and_bound", "strategy"):
            told = {"bound": lower, "vouched_by": word}
            false = plan | {"certificate": plan["certificate"] | told}
            assert any("bound" in str(each) for each in bondwork.verify(instance_of(kind), false).violations)
            # with a bound, a gap and a status that go with it
            objective = plan["objective"]
            most = max(abs(lower), abs(objective))
            false |= {"bound": lower, "gap": max(lower - objective, 0.0) / most if most else 0.0}
            assert not bondwork.verify(instance_of(kind), false)


def test_nobody_stands_for_a_bound_without_a_word_and_no_other_word_is_read():
    plan = document_of("mean risk")
    proven_bound = plan["certificate"]["bound"]
    assert plan["objective"] < proven_bound
    false = plan | {"bound": plan["objective"], "gap": 0.0}
    alone = false | {"certificate": plan["certificate"] | {"vouched_by": None}}
    assert any("vouched_by" in str(v) for v in bondwork.verify(instance_of("mean risk"), alone).violations)
    for word in ("me", "", "Branch_and_bound", 1, ["branch_and_bound"], "branch_and_bound\n"):
        with pytest.raises(bondwork.InvalidInput, match="vouched_by"):
            odd = false | {"certificate": plan["certificate"] | {"vouched_by": word}}
            bondwork.verify(instance_of("mean risk"), odd)
    # somebody is said to stand for it: no reason to refuse, but nobody can check it
    told = false | {"certificate": plan["certificate"] | {"vouched_by": "branch_and_bound"}}
    verdict = bondwork.verify(instance_of("mean risk"), told)
    assert any(each.startswith("bound ") and "branch_and_bound" in each for each in verdict.unchecked)


def test_an_optimal_plan_has_no_gap_beyond_what_was_asked():
    plan = document_of("market")
    size = abs(plan["objective"])
    for gap in (1e-3, 0.5):
        false = plan | {"bound": plan["objective"] + gap * size, "status": "optimal", "solution": "optimal"}
        false |= {"gap": gap / (1 + gap), "certificate": None}
        found = bondwork.verify(instance_of("market"), false).violations
        assert any("optimal" in str(each) for each in found)


@pytest.mark.parametrize("kind", KINDS)
def test_a_proof_of_infeasibility_beside_a_plan_or_a_bound_is_refused(kind: str):
    plan = document_of(kind)
    refutation = plan["certificate"] | {"kind": "infeasibility", "bound": None, "vouched_by": None}
    nothing = {"objective": None, "gap": None, "assignments": [], "unassigned": [], "operators": []}
    nothing |= {"recourse": [], "evaluation": None, "prices": [], "prices_from": None, "risk": []}
    nothing |= {"replica_values": [], "loads": [], "stochastic": None, "status": "infeasible"}
    nothing |= {"solution": "none", "bound": None}
    instance = instance_of(kind)
    assert (plan["status"] == "infeasible") == (kind in NOTHING_FEASIBLE)
    if plan["status"] != "infeasible":
        assert not bondwork.verify(instance, plan | {"certificate": refutation})
        assert not bondwork.verify(instance, plan | nothing | {"certificate": refutation})
        assert not bondwork.verify(instance, plan | nothing | {"certificate": None})
        assert not bondwork.verify(instance, plan | {"status": "infeasible"})
        return
    assert not bondwork.verify(instance, plan | {"bound": 1.0})
    assert not bondwork.verify(instance, plan | {"certificate": refutation | {"bound": 1.0}})
    assert not bondwork.verify(instance, plan | {"certificate": refutation | {"vouched_by": "strategy"}})


def two_of_the_same() -> Plan:
    """A plan whose risk counts in the objective, with the weights of its certificate twice."""
    plan = document_of("mean risk")
    tokens = plan["certificate"]["multipliers"]
    start = tokens.index("mean_risk")
    end = next((k for k in range(start + 1, len(tokens)) if isinstance(tokens[k], str)), len(tokens))
    return plan | {"certificate": plan["certificate"] | {"multipliers": tokens + tokens[start:end]}}


def test_risk_does_not_count_twice():
    """Two densities of the tail, each of the whole weight, would prove less than the best plan earns."""
    verdict = bondwork.verify(instance_of("mean risk"), two_of_the_same())
    assert any("another is about" in str(each) for each in verdict.violations)


@pytest.mark.parametrize(
    "tokens",
    [
        ["stake", 0, 1.0, "stake", 0, 0.0],
        ["deadline", 0, 60, 1.0, "deadline", 0, 60.0, 1.0],
        ["node", 1, "stake", 0, 1.0, "node", 0, "node", 1, "stake", 0, 1.0],
        ["cvar", 0, 0, 1.0, 3, 0.5, 3, 0.5],
    ],
)
def test_each_limit_stands_once_at_a_node_and_each_scenario_once(tokens: list[Any]):
    with pytest.raises(BadCertificate, match=r"another is about|two weights"):
        read_entries(tokens)


def test_the_same_limit_may_stand_at_several_nodes():
    assert len(read_entries(["stake", 0, 1.0, "node", 1, "stake", 0, 1.0, "stake", 1, 1.0])) == 3


@pytest.mark.parametrize("kind", ["market", "tails", "two stages with risk", "periods", "lagrangian"])
def test_long_arrays_are_refused_at_once(kind: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("bondwork.plan.certificate.MOST_TOKENS", 50_000)
    given = document_of(kind)["certificate"]
    long = {
        "repeated": ["collateral", 0, 1e-3] * 5_000,
        "weights": ["cvar", 0, 0, 1.0, *[1, 1e-9] * 5_000],
        "places": [token for k in range(5_000) for token in ("stake", k, 1e-9)],
        "nodes": [token for k in range(9_000) for token in ("node", k)],
        "longer": ["collateral", 0, 1e-3] * 50_000,
    }
    for name, tokens in long.items():
        begun = time.perf_counter()
        false = document_of(kind) | {"certificate": given | {"multipliers": tokens}}
        assert not bondwork.verify(instance_of(kind), false), name
        assert time.perf_counter() - begun < SECONDS


def test_names_that_nobody_knows_are_told_and_no_reason_to_refuse():
    made_up = document_of("market") | {"strategy": "oracle of Delphi", "formulation": "x" * 1000}
    verdict = bondwork.verify(instance_of("market"), made_up)
    assert verdict
    told = [each for each in verdict.unchecked if each.endswith("is not installed here")]
    assert [each.split(":")[0] for each in told] == ["strategy", "formulation"]
    assert all(len(each) < 200 for each in told)
    honest = bondwork.verify(instance_of("market"), document_of("market"))
    assert not any("installed" in each for each in honest.unchecked)


@pytest.mark.parametrize("later", ["second stage", "periods"])
def test_a_staged_round_that_is_feasible_is_not_said_to_be_infeasible(later: str):
    task = {"id": "t", "operator": "op", "reward": 9, "slashing": 4, "required": True}
    document = make_round(
        coprocessors=[{"id": "a", "free_collateral": 10}, {"id": "b", "free_collateral": 10}],
        tasks=[task],
        offers=[offer("t", "a", 1, collateral=5, success_probability=0.9)],
    )
    if later == "second stage":
        document["offers"].append(
            offer("t", "b", 1, collateral=5, success_probability=0.9, stage=2, id="late")
        )
        document["risk"] = [{"measure": "worst_case", "budget": 5, "of": "network", "calibrate": False}]
    else:
        more = {"id": "next", "at": 9, "tasks": [task | {"id": "u", "required": False}]}
        document["periods"] = [more | {"offers": [offer("u", "b", 1, success_probability=0.9)]}]
    instance = bondwork.load(document)
    plan = bondwork.solve(instance)
    assert plan.objective is not None
    false = copy.deepcopy(json.loads(plan.to_json()))
    for name in ("objective", "gap", "bound", "certificate", "evaluation", "prices_from", "stochastic"):
        false[name] = None
    for name in ("assignments", "unassigned", "operators", "recourse", "prices", "risk", "loads"):
        false[name] = []
    false |= {"status": "infeasible", "solution": "none"}
    verdict = bondwork.verify(instance, false)
    assert any("feasible" in each.expected for each in verdict.violations), verdict.unchecked


@pytest.mark.parametrize("strategy", ["greedy", "relaxation", "reverse-dutch", "lagrangian", "extensive"])
def test_whoever_finds_no_plan_of_what_nobody_can_do_has_the_proof_and_no_bound(strategy: str):
    task = {"id": "t", "operator": "op", "reward": 9, "slashing": 4, "required": True}
    instance = bondwork.load(
        make_round(
            coprocessors=[{"id": "a", "free_collateral": 4}],
            tasks=[task, task | {"id": "u", "required": False}],
            offers=[offer(each, "a", 1, collateral=5 * (each == "t")) for each in ("t", "u")],
        )
    )
    plan = bondwork.solve(instance, strategy=strategy)
    assert plan.solution == "none" and plan.bound is None
    assert plan.certificate is not None and plan.certificate.kind == "infeasibility"
    verdict = bondwork.verify(instance, plan)
    assert verdict and verdict.refuted
