"""Replicas and quorum: small rounds against brute force, whose outcomes are gone through one by one."""

from __future__ import annotations

import copy
import math
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.special import ndtr, ndtri

import bondwork
from bondwork.plan.recount_teams import chance_of
from bondwork.problem.teams import count_teams, distribution, enumerate_teams
from hand_made import make_round, offer
from models.test_agreement import CVXPY, HIGHS, PYOMO, check_form, check_same
from oracle import Oracle, chances
from rounds_strategy import Document, examples, in_money_unit, loosenings, permuted, rounds
from test_properties import (
    FORMULATIONS,
    check_conflict,
    check_optimal,
    check_read_back,
    check_same_in_another_unit,
    choices_of,
    solve,
)

if TYPE_CHECKING:
    from bondwork import Plan


@pytest.mark.parametrize("formulation", FORMULATIONS)
@examples(0.8)
@given(document=rounds(replicas=True))
def test_the_optimum_is_that_of_brute_force(formulation: str, document: Document):
    oracle = Oracle(document)
    best = oracle.best()
    plan = solve(document, formulation=formulation)
    if formulation == "highs":
        check_read_back(document, plan)
    if best is None:
        assert (plan.status, plan.solution) == ("infeasible", "none")
        check_conflict(oracle, plan)
    else:
        check_optimal(oracle, best, plan)


@examples(0.5)
@given(document=rounds(replicas=True))
def test_three_formulations_agree(document: Document):
    instance = bondwork.load(document)
    programs = [formulation().build(instance) for formulation in (HIGHS, CVXPY, PYOMO)]
    for program in programs:
        check_form(program)
        check_same(programs[0], program)


@examples(0.5)
@given(document=rounds(replicas=True), strategy=st.sampled_from(["greedy", "relaxation"]))
def test_heuristics_keep_quorum_and_replicas(document: Document, strategy: str):
    oracle = Oracle(document)
    best = oracle.best()
    plan = solve(document, strategy=strategy)
    if best is None:
        assert plan.solution == "none"
        return
    assert plan.bound is not None
    assert plan.bound >= float(best.objective)
    if plan.objective is not None:
        assert Fraction(plan.objective) == oracle.value(choices_of(oracle, plan)) <= best.objective


@examples(0.8)
@given(data=st.data())
def test_more_replicas_and_looser_limits_never_earn_less(data: st.DataObject):
    document = data.draw(rounds(replicas=True))
    ways = [(name, way) for name, way in loosenings(document) if "replicas" in name or len(name) % 3 == 0]
    assume(ways)
    name, loosen = data.draw(st.sampled_from(ways))
    looser = copy.deepcopy(document)
    loosen(looser)
    one, other = solve(document), solve(looser)
    if one.objective is not None:
        assert other.objective is not None, name
        assert other.objective >= one.objective, name


@examples(0.4)
@given(data=st.data())
def test_the_order_of_the_input_means_nothing(data: st.DataObject):
    document = data.draw(rounds(replicas=True))
    one, other = solve(document), solve(data.draw(permuted(document)))
    assert one.status == other.status
    assert one.objective == other.objective


@examples(0.4)
@given(document=rounds(replicas=True))
def test_wei_give_the_plan_of_ether(document: Document):
    check_same_in_another_unit(document, in_money_unit(document, Fraction(10**18), "text"), 1e18)


# by hand


def pair(**changes: Any) -> Document:
    """One task that a coin and a better coin offer to do, and the operator itself."""
    task = {"id": "t", "operator": "op", "reward": 8, "slashing": 8, "replicas": 2} | changes.pop("task", {})
    return make_round(
        coprocessors=[{"id": "a"}, {"id": "b"}],
        tasks=[task],
        offers=[
            offer("t", "a", 1, success_probability=0.5, collateral=2),
            offer("t", "b", 1.25, success_probability=0.75, collateral=4),
        ],
        **changes,
    )


def test_two_that_are_enough_each():
    plan = solve(pair())
    # one of them succeeds with 7/8: 8 * 7/8 - 8 * 1/8 - 1 - 1.25
    assert plan.objective == 3.75
    assert [each.executor for each in plan.assignments] == ["a", "b"]
    assert [each.expected_net_reward for each in plan.assignments] == [3.0 - 1.0, 3.0 - 1.25]
    assert [each.expected_slashing for each in plan.assignments] == [0.5, 0.5]
    assert [each.success_probability for each in plan.assignments] == [0.5, 0.75]
    (share,) = plan.operators
    assert (share.expected_benefit, share.expected_slashing) == (6.0, 1.0)


def test_each_failure_costs_its_own_collateral_and_each_success_its_own_bid():
    terms = {"bid_paid": "on_success", "collateral_split": {"burned": 0.5, "operator": 0.5}}
    plan = solve(pair(terms=terms))
    assert plan.objective == 6.0 - (0.5 * 1 - 0.5 * 0.5 * 2) - (0.75 * 1.25 - 0.25 * 0.5 * 4)


def test_two_of_three_and_oneself():
    document = pair(
        task={"replicas": 3, "quorum": 2},
        self_execution=[{"task": "t", "operator": "op", "cost": 0.5, "success_probability": 0.75}],
    )
    plan = solve(document)
    # b and oneself alone: 9/16; with a: 3/8 * 9/16 terms add up to 3/4
    success = Fraction(3, 4) ** 2 + 2 * Fraction(3, 4) * Fraction(1, 4) * Fraction(1, 2)
    assert Fraction(plan.objective) == 16 * success - 8 - Fraction(11, 4)
    assert [each.kind for each in plan.assignments] == ["delegated", "delegated", "self"]
    assert plan.replica_values == []


def test_an_executor_counts_once_whatever_it_offers():
    document = pair()
    document["offers"] = [
        offer("t", "a", 1, success_probability=0.5),
        offer("t", "a", 2, success_probability=0.75, id="dear"),
    ]
    plan = solve(document)
    assert [each.offer for each in plan.assignments] == ["dear"]
    assert solve(document | {"tasks": [document["tasks"][0] | {"quorum": 2}]}).unassigned[0].reason == (
        "no_eligible_offer"
    )


def test_the_stake_is_at_risk_once():
    assert solve(pair(operators=[{"id": "op", "stake": 8}])).objective == 3.75
    assert solve(pair(operators=[{"id": "op", "stake": 7}])).unassigned[0].limits == ["stake of op"]


def test_losses_through_a_coprocessor_are_those_of_tasks_that_failed_with_it():
    risk = [{"measure": "expected", "budget": 1.0, "of": of} for of in ("network", "operator", "coprocessor")]
    plan = solve(pair(risk=risk))
    assert plan.objective == 3.75
    assert [each.in_sample for each in plan.risk] == [1.0, 1.0, 1.0, 1.0]
    tighter = solve(pair(risk=[risk[2] | {"budget": 0.9}]))
    assert tighter.assignments == []


def test_what_one_more_is_worth():
    plan = solve(pair())
    assert plan.replica_values == []  # nobody is left
    document = pair()
    document["coprocessors"].append({"id": "c"})
    document["offers"].append(offer("t", "c", 0.5, success_probability=0.25))
    plan = solve(document)
    (entry,) = plan.replica_values
    assert (entry.task, entry.executors, entry.offer, entry.executor) == ("t", 2, "t/c", "c")
    # 7/8 becomes 29/32: 16 * 1/32 less the bid
    assert entry.value_of_one_more == 16 * (29 / 32 - 7 / 8) - 0.5
    allowed = solve(document | {"tasks": [document["tasks"][0] | {"replicas": 3}]})
    assert allowed.objective == plan.objective + max(entry.value_of_one_more, 0.0)


@examples(0.4)
@given(document=rounds(replicas=True))
def test_one_more_is_worth_what_was_said(document: Document):
    plan = solve(document)
    oracle = Oracle(document)
    for entry in plan.replica_values:
        keys = {(a.offer, a.operator, a.executor) for a in plan.assignments if a.task == entry.task}
        chosen = tuple(c for c in oracle.choices if c.key in keys)
        assert len(chosen) == entry.executors
        known = {c.executor for c in chosen}
        more = [
            oracle.team((*chosen, c)).gain - oracle.team(chosen).gain
            for c in oracle.choices
            if (c.task, c.operator) == (entry.task, chosen[0].operator) and c.executor not in known
        ]
        assert Fraction(entry.value_of_one_more) == max(more)


def test_commitments_of_one_task_are_slashed_once():
    held = {"task": "t", "operator": "op", "success_probability": 0.5}
    document = pair(
        task={"quorum": 1},
        commitments=[held | {"id": "k-1", "executor": "a"}, held | {"id": "k-2", "executor": "b"}],
        operators=[{"id": "op", "stake": 12}],
        risk=[{"measure": "expected", "budget": 9.0, "of": of} for of in ("network", "coprocessor")]
        + [{"measure": "worst_case", "budget": 9.0, "of": "network"}],
    )
    document["tasks"].append({"id": "more", "operator": "op", "reward": 8, "slashing": 4})
    document["offers"].append(offer("more", "a", 1, success_probability=0.5))
    plan = solve(document | {"risk": document["risk"][:2]})
    assert [each.task for each in plan.assignments] == ["more"]  # 8 and 4 at stake of 12
    assert [each.in_sample for each in plan.risk] == [2.0 + 2.0, 2.0 + 2.0, 2.0]
    assert solve(document).assignments == []  # 8 and 4 at worst


# outcomes that hang together


def tied(common: float, scenarios: int = 4096, quorum: int = 1) -> Document:
    return pair(
        task={"quorum": quorum},
        uncertainty={"dependence": {"common": common}, "scenarios": scenarios, "sampling": "sobol"},
    )


@pytest.mark.parametrize("quorum", [1, 2])
@pytest.mark.parametrize("common", [0.2, 0.6, 0.95])
def test_tied_outcomes_are_those_of_the_common_factor(common: float, quorum: int):
    """Given the common factor the members are independent: an integral over it is exact."""
    instance = bondwork.load(tied(common, quorum=quorum))
    teams = enumerate_teams(instance)
    nodes = np.linspace(-8, 8, 4001)
    weights = np.exp(-(nodes**2) / 2) * 0.004
    given_factor = [ndtr((ndtri(p) - math.sqrt(common) * nodes) / math.sqrt(1 - common)) for p in (0.5, 0.75)]
    both = given_factor[0] * given_factor[1]
    hit = both if quorum == 2 else given_factor[0] + given_factor[1] - both
    exact = float(weights @ hit) / math.sqrt(2 * math.pi)
    assert teams.success[-1] == pytest.approx(exact, abs=1e-10)
    if quorum == 1:
        assert teams.blame[-2] == pytest.approx(1 - teams.success[-1], abs=1e-12)


def test_a_second_executor_that_fails_with_the_first_is_not_worth_its_bid():
    assert len(solve(tied(0.0)).assignments) == 2
    plan = solve(tied(0.97))
    assert [each.executor for each in plan.assignments] == ["b"]
    (entry,) = plan.replica_values
    assert entry.value_of_one_more < 0.0


def test_tied_outcomes_need_no_scenarios():
    plans = [solve(tied(0.3, scenarios=count), seed=seed) for seed, count in ((1, 64), (2, 4096))]
    assert plans[0].objective == plans[1].objective
    assert all(plan.verified and plan.timing.sample < 0.05 for plan in plans)


# what verify finds


def three_for_two(**changes: Any) -> tuple[bondwork.Instance, Plan]:
    document = pair(task={"replicas": 2, "quorum": 2, "reward": 40}, **changes)
    document["coprocessors"].append({"id": "c"})
    document["offers"] += [
        offer("t", "c", 2, success_probability=0.75),
        offer("t", "b", 3, success_probability=0.875, id="again"),
    ]
    instance = bondwork.load(document)
    return instance, solve(document)


def tampered(plan: Plan, **changes: Any) -> Plan:
    return plan.model_copy(update=changes)


def test_verify_finds_what_is_wrong_with_a_team():
    instance, plan = three_for_two()
    assert bondwork.verify(instance, plan)
    one, two = plan.assignments
    (entry,) = plan.replica_values
    b = {"executor": "b"}
    sure = {"offer": "t/b", "bid": 1.25, "price": 1.25, "success_probability": 0.75, "collateral": 4.0}
    dear = {"offer": "again", "bid": 3.0, "price": 3.0, "success_probability": 0.875, "collateral": 0.0}
    wrong = {
        "an executor short": tampered(plan, assignments=[one]),
        "an executor twice": tampered(
            plan, assignments=[one.model_copy(update=sure | b), two.model_copy(update=dear | b)]
        ),
        "a share": tampered(
            plan,
            assignments=[
                one.model_copy(update={"expected_net_reward": one.expected_net_reward + 1}),
                two.model_copy(update={"expected_net_reward": two.expected_net_reward - 1}),
            ],
        ),
        "a share of slashing": tampered(
            plan,
            assignments=[
                one.model_copy(update={"expected_slashing": one.expected_slashing + 1}),
                two.model_copy(update={"expected_slashing": two.expected_slashing - 1}),
            ],
        ),
        "another replica value": tampered(
            plan, replica_values=[entry.model_copy(update={"value_of_one_more": 9.0})]
        ),
        "executors of a replica value": tampered(
            plan, replica_values=[entry.model_copy(update={"executors": 3})]
        ),
        "a member as newcomer": tampered(
            plan, replica_values=[entry.model_copy(update={"offer": one.offer})]
        ),
        "the objective of single executors": tampered(plan, objective=plan.objective + 1.0),
    }
    for name, each in wrong.items():
        assert not bondwork.verify(instance, each), name


def test_verify_finds_one_executor_too_many_and_operators_mixed():
    document = make_round(
        operators=[{"id": "op"}, {"id": "op-2"}],
        coprocessors=[{"id": "a"}, {"id": "b"}, {"id": "c"}],
        tasks=[{"id": "t", "replicas": 2, "claims": [{"operator": v, "reward": 8} for v in ("op", "op-2")]}],
        offers=[offer("t", c, 0, success_probability=0.5, operator="op") for c in "ab"]
        + [offer("t", "c", 0, success_probability=0.5, operator="op-2")],
    )
    instance, plan = bondwork.load(document), solve(document)
    one, two = plan.assignments
    other = one.model_copy(update={"offer": "t/c/op-2", "operator": "op-2", "executor": "c"})
    for assignments, said in (([one, two, other], "3 executors"), ([one, other], "several operators")):
        found = bondwork.verify(instance, tampered(plan, assignments=assignments))
        assert any(said in violation.found for violation in found.violations)


# teams


@given(st.lists(st.floats(0, 1), min_size=1, max_size=5), st.integers(1, 5))
def test_the_number_of_successes(p: list[float], quorum: int):
    exact, _ = chances(tuple(Fraction(each) for each in p), quorum)
    assert distribution(np.array([p]))[0, quorum:].sum() == pytest.approx(float(exact), abs=1e-12)
    assert chance_of(p, quorum) == pytest.approx(float(exact), abs=1e-12)


@examples(0.5)
@given(document=rounds(replicas=True))
def test_teams_are_counted_before_they_are_listed(document: Document):
    instance = bondwork.load(document)
    teams = enumerate_teams(instance)
    assert sum(count_teams(instance).values()) == int(np.sum(teams.sizes > 1))
    listed = {
        tuple(sorted((c.offer, c.operator, c.executor) for c in team.choices))
        for name in Oracle(document).cost
        for team in Oracle(document).teams(name)
    }
    offers = instance.offers
    assert listed == {
        tuple(
            sorted(
                (
                    offers.ids[o],
                    instance.operators.ids[offers.operator[o]],
                    instance.executor_id(int(offers.operator[o]), int(offers.coprocessor[o])),
                )
                for o in teams.member[start:end].tolist()
            )
        )
        for start, end in zip(teams.start[:-1], teams.start[1:], strict=True)
    }


def test_a_hundred_thousand_teams_are_built_alike():
    document = make_round(
        coprocessors=[{"id": f"cp-{c}", "capacity": {"gpu": 9}} for c in range(18)],
        tasks=[
            {"id": f"t-{a}", "operator": "op", "reward": 8, "slashing": 8, "replicas": 3, "work": {"gpu": 1}}
            for a in range(105)
        ],
        offers=[
            offer(f"t-{a}", f"cp-{c}", 1 + c / 64, success_probability=0.5 + c / 64)
            for a in range(105)
            for c in range(18)
        ],
    )
    program = bondwork.build(bondwork.load(document))
    assert program.choices == 105 * (18 + 153 + 816)
    plan = bondwork.solve(bondwork.load(document), strategy="greedy")
    assert plan.verified
