"""Why tasks are left, what limits are worth, and why a round has no plan."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import assume, given

import bondwork
from bondwork.contracts import Options
from bondwork.observing import Silence
from bondwork.plan import conflict as conflicts
from bondwork.plan.conflict import find_conflict
from hand_made import Document, make_round, market, offer
from oracle import Oracle
from rounds_strategy import examples, rounds


def solve(document: Document, **options: Any) -> bondwork.Plan:
    return bondwork.solve(bondwork.load(document), **{"mip_rel_gap": 0.0} | options)


def why_left(document: Document, **options: Any) -> dict[str, tuple[str, list[str]]]:
    return {each.task: (each.reason, each.limits) for each in solve(document, **options).unassigned}


TASK = {"id": "t", "operator": "op", "reward": 8, "slashing": 4}


def one_task(offers: list[Document], **task: Any) -> Document:
    return make_round(tasks=[TASK | task], offers=offers)


# reasons


@pytest.mark.parametrize(
    "document",
    [
        one_task([]),
        one_task([offer("t", "cp", 1, collateral=2)], minimum_collateral=2.25),
        one_task([offer("t", "cp", 1)], deadline=-1) | {"coprocessors": [{"id": "cp", "serial": True}]},
        one_task([offer("t", "cp", 1000, stage=2)]),
        one_task([offer("t", "cp", 1)], replicas=2, quorum=2),
    ],
    ids=["no offer", "collateral", "too late", "second stage", "quorum"],
)
def test_no_eligible_offer(document: Document):
    assert why_left(document) == {"t": ("no_eligible_offer", [])}


@pytest.mark.parametrize(
    ("posted", "demanded", "decimals", "meets"),
    [
        (1, 1.0000004, 6, True),
        (1, 1.0000005, 6, True),  # half to even
        (1.000001, 1.0000015, 6, False),
        (1, 1.0000006, 6, False),
        (0.9999996, 1, 6, True),
        (0.9999994, 1, 6, False),
        (2.5, 2, 0, True),
        (1.5, 2.5, 0, True),
        (1e18, 1e18, 18, True),
        (0.1, 0.1 + 1e-17, 18, False),
        (10**18 - 200, 10**18, 0, False),
        (0, 0.004, 2, True),
    ],
)
@pytest.mark.parametrize("later", [False, True])
def test_a_minimum_collateral_is_met_as_the_ledger_counts(
    posted: float, demanded: float, decimals: int, *, meets: bool, later: bool
):
    document = one_task([offer("t", "cp", 1, collateral=posted)], minimum_collateral=demanded)
    document["decimals"] = decimals
    if later:
        document["periods"] = [
            {"id": "p", "at": 9, "tasks": [TASK | {"id": "u"}], "offers": [offer("u", "cp", 1)]}
        ]
    instance = bondwork.load(document)
    plan = bondwork.solve(instance, mip_rel_gap=0.0)
    assert [each.task for each in plan.assignments] == ["t"] * meets
    assert plan.ineligible_offers.minimum_collateral == 1 - meets
    assert plan.verified and bondwork.verify(instance, plan)


@pytest.mark.parametrize(
    "offers",
    [
        [offer("t", "cp", 8.5)],
        [offer("t", "cp", 1, success_probability=0.25), offer("t", "cp", 9, id="other")],
    ],
    ids=["bid", "several"],
)
def test_not_worth_it(offers: list[Document]):
    assert why_left(one_task(offers)) == {"t": ("not_worth_it", [])}


@pytest.mark.parametrize(
    ("offers", "task"),
    [
        ([offer("t", "cp", 5, success_probability=0.75)], {}),  # 6 - 5 - 1
        ([offer("t", "cp", 0, success_probability=0.8)], {"slashing": 32}),  # 6.4 - 6.4: 1.8e-15 in binary
        ([offer("t", "cp", 0, success_probability=0.7)], {"reward": 3, "slashing": 7}),  # 2.1 - 2.1
        (
            [offer("t", "cp", 9, success_probability=0.95)],
            {"reward": 7, "slashing": 7, "unassigned_cost": 2.7},
        ),
        ([offer("t", "cp", 8.5), offer("t", "cp", 8, id="even")], {}),
        ([offer("t", "cp", 0)], {"reward": 0}),
        ([offer("t", "cp", 0, success_probability=0.5)], {"reward": 10**18, "slashing": 10**18}),
        ([offer("t", "cp", 1, success_probability=1)], {"reward": 1.0000000001}),  # 1e-10 of its terms
    ],
    ids=["exact", "above", "cancels", "cost", "of several", "zeros", "wei", "noise"],
)
def test_worth_nothing(offers: list[Document], task: Document):
    document = one_task(offers, **task)
    for strategy in ("extensive", "greedy", "relaxation", "lagrangian", "auto"):
        plan = bondwork.solve(bondwork.load(document), strategy=strategy, mip_rel_gap=0.0)
        assert plan.verified
        assert {each.reason for each in plan.unassigned} <= {"worth_nothing"}
        assert plan.objective == pytest.approx(-task.get("unassigned_cost", 0), abs=1e-9 * 2e18)
        assert not [note for note in plan.provenance.notes if "verify" in note or "recounted" in note]


def test_an_offer_worth_a_hair_more_than_nothing_is_taken_or_has_no_room():
    for limit, taken in ((None, 1), (0, 0)):
        document = one_task([offer("t", "cp", 1, collateral=1)], reward=1.00001)
        document["coprocessors"] = [{"id": "cp"} | ({} if limit is None else {"free_collateral": limit})]
        plan = solve(document)
        assert len(plan.assignments) == taken
        assert [each.reason for each in plan.unassigned] == ["no_room"] * (1 - taken)


def test_limits_of_offers_worth_nothing_are_not_named():
    document = make_round(
        coprocessors=[{"id": "a", "free_collateral": 4}, {"id": "b", "free_collateral": 4}],
        tasks=[TASK],
        offers=[offer("t", "a", 1, collateral=5), offer("t", "b", 8, collateral=5)],
    )
    assert why_left(document) == {"t": ("no_room", ["collateral of a"])}


def test_the_cost_of_leaving_a_task_counts():
    document = one_task([offer("t", "cp", 9)], unassigned_cost=2)
    plan = solve(document)
    assert plan.unassigned == []
    assert plan.objective == -1.0


def limited(**limits: Any) -> Document:
    """Return a round in which the task `t` has no room for the one thing given, but for everything else."""
    document = make_round(
        now=10,
        operators=[{"id": "op", "stake": 4, "capacity": {"gpu": 1}}],
        coprocessors=[
            {"id": "cp", "capacity": {"gpu": 1}, "free_collateral": 5, "serial": True, "free_at": 100}
        ],
        tasks=[TASK | {"work": {"gpu": 1}, "deadline": 200}],
        offers=[offer("t", "cp", 1, collateral=5, duration=100, success_probability=0.75)],
        risk=[{"measure": "expected", "budget": 1, "of": "network"}],
    )
    for path, value in limits.items():
        place: Any = document
        *steps, last = path.split("__")
        for step in steps:
            place = place[int(step)] if step.isdigit() else place[step]
        place[last] = value
    return document


@pytest.mark.parametrize(
    ("limit", "label"),
    [
        ({"coprocessors__0__capacity": {"gpu": 0.75}}, "capacity gpu of cp"),
        ({"coprocessors__0__free_collateral": 4.75}, "collateral of cp"),
        ({"operators__0__stake": 3.75}, "stake of op"),
        ({"coprocessors__0__free_at": 101}, "deadline 200 of cp"),
        ({"risk__0__budget": 0.75}, "expected loss of network"),
        ({"risk": [{"measure": "expected", "budget": 0.75, "of": "operator"}]}, "expected loss of op"),
        ({"risk": [{"measure": "expected", "budget": 0.75, "of": "coprocessor"}]}, "expected loss of cp"),
    ],
)
def test_no_room_and_where(limit: dict[str, Any], label: str):
    assert why_left(limited()) == {}
    assert why_left(limited(**limit)) == {"t": ("no_room", [label])}


def test_no_room_for_ones_own_work():
    document = limited(offers=[], self_execution=[{"task": "t", "operator": "op", "success_probability": 1}])
    assert why_left(document) == {}
    document["operators"][0]["capacity"]["gpu"] = 0.5
    assert why_left(document) == {"t": ("no_room", ["capacity gpu of op"])}


def test_no_room_names_every_limit_of_every_offer_worth_it():
    document = make_round(
        coprocessors=[{"id": "a", "free_collateral": 4}, {"id": "b", "capacity": {"gpu": 1}}, {"id": "c"}],
        tasks=[TASK | {"work": {"gpu": 2}}],
        offers=[offer("t", "a", 1, collateral=5), offer("t", "b", 1), offer("t", "c", 20)],
    )
    assert why_left(document) == {"t": ("no_room", ["capacity gpu of b", "collateral of a"])}


def test_reasons_of_the_market():
    assert why_left(market()) == {
        "thin": ("no_eligible_offer", []),
        "dear": ("not_worth_it", []),
        "late": ("no_room", ["capacity compute of cp-1"]),
    }


@examples(0.5)
@given(document=rounds())
def test_reasons_are_those_of_the_oracle(document: Document):
    plan = solve(document)
    assume(plan.is_usable())
    oracle = Oracle(document)
    taken = [oracle.choice(each.offer, each.operator, each.executor) for each in plan.assignments]
    for each in plan.unassigned:
        choices = [choice for choice in oracle.choices if choice.task == each.task]
        gains = [choice.gain + oracle.cost[each.task] for choice in choices]
        worth = [choice for choice, gain in zip(choices, gains, strict=True) if gain > 0]
        nothing = "worth_nothing" if 0 in gains else "not_worth_it" if choices else "no_eligible_offer"
        expected = "no_room" if worth else nothing
        assert each.reason == expected
        blocking = set()
        for choice in worth:
            full = {
                label
                for label, amount in choice.uses.items()
                if label in oracle.limits
                and amount > 0
                and oracle.limits[label].used + sum(c.uses.get(label, 0) for c in taken) + amount
                > oracle.limits[label].bound
            }
            assert full, "an offer that is worth it fits"
            blocking |= full
        assert set(each.limits) == blocking
        assert len(each.limits) == len(blocking)


# prices

#: Two coprocessors, four tasks: an assignment problem whose relaxation is whole, with collateral in units
#: that divide the budget.
INTEGRAL = make_round(
    coprocessors=[{"id": "a", "free_collateral": 2}, {"id": "b", "free_collateral": 1}],
    tasks=[{"id": f"t-{k}", "operator": "op", "reward": r} for k, r in enumerate((9, 8, 6, 5))],
    offers=[
        offer(f"t-{k}", c, bid, collateral=1)
        for c, bids in (("a", (1, 2, 2, 3)), ("b", (3, 1, 1, 2.5)))
        for k, bid in enumerate(bids)
    ],
)


@pytest.mark.parametrize("formulation", ["highs", "cvxpy", "pyomo"])
@pytest.mark.parametrize("strategy", ["extensive", "relaxation"])
def test_price_of_collateral_is_what_a_unit_more_earns(strategy: str, formulation: str):
    plan = solve(INTEGRAL, strategy=strategy, formulation=formulation)
    assert plan.prices_from == "lp_relaxation"
    prices = {each.limit: each.price for each in plan.prices}
    assert plan.bound == pytest.approx(plan.objective, rel=1e-9)
    for number, name in enumerate(("a", "b")):
        changed = []
        for step in (-0.125, 0.125):
            document = copy.deepcopy(INTEGRAL)
            document["coprocessors"][number]["free_collateral"] += step
            # the relaxation's own optimum, from its bound: the plan itself moves in whole steps only
            bound = solve(document, strategy="relaxation").bound
            assert bound is not None
            assert plan.bound is not None
            changed.append((bound - plan.bound) / step)
        price = prices[f"collateral of {name}"]
        assert price is not None
        # one-sided derivatives enclose every dual price
        assert changed[1] - 1e-6 <= price <= changed[0] + 1e-6


def test_price_of_collateral_by_hand():
    # one coprocessor, room for two of three: the third would earn 3
    document = make_round(
        coprocessors=[{"id": "cp", "free_collateral": "20"}],
        tasks=[{"id": f"t-{k}", "operator": "op", "reward": r} for k, r in enumerate((9, 8, 4))],
        offers=[offer(f"t-{k}", "cp", 1, collateral=c) for k, c in enumerate((10, 10, 4))],
    )
    plan = solve(document)
    # 8 for 10 and 7 for 10 are worth less per unit than 3 for 4: the relaxation gives the last to t-1
    assert {each.limit: each.price for each in plan.prices} == {"collateral of cp": pytest.approx(0.7)}


def test_limits_that_do_not_bind_have_no_price():
    document = copy.deepcopy(INTEGRAL)
    for coprocessor in document["coprocessors"]:
        coprocessor["free_collateral"] = 100
    assert solve(document).prices == []


def test_a_required_task_that_costs_has_its_price():
    document = one_task([offer("t", "cp", 11)], required=True)
    plan = solve(document)
    assert plan.objective == -3.0
    assert [(each.limit, each.price) for each in plan.prices] == [("task t", pytest.approx(-3.0))]


def test_greedy_has_no_prices():
    plan = solve(market(), strategy="greedy")
    assert plan.prices == []
    assert plan.prices_from is None


# conflicts


def test_conflict_names_what_clashes_and_nothing_else():
    document = make_round(
        coprocessors=[{"id": "cp", "capacity": {"gpu": 3}, "free_collateral": 5}, {"id": "other"}],
        tasks=[
            TASK | {"id": "a", "work": {"gpu": 1}, "required": True},
            TASK | {"id": "b", "work": {"gpu": 1}, "required": True},
            TASK | {"id": "c", "work": {"gpu": 1}, "required": True},
        ],
        offers=[offer("a", "cp", 1, collateral=3), offer("b", "cp", 1, collateral=3), offer("c", "other", 1)],
    )
    plan = solve(document)
    assert plan.status == "infeasible"
    assert plan.conflict is not None
    assert plan.conflict.minimal
    assert set(plan.conflict.limits) == {"task a required", "task b required", "collateral of cp"}


def test_conflict_of_one_required_task_that_nobody_can_do():
    plan = solve(one_task([], required=True))
    assert plan.conflict is not None
    assert (plan.conflict.limits, plan.conflict.minimal) == (["task t required"], True)


@pytest.mark.parametrize("money", [1.0, 1e-12, 1e18])
@pytest.mark.parametrize("strategy", ["extensive", "relaxation", "greedy"])
def test_commitments_alone_may_exceed_a_limit(strategy: str, money: float):
    # the second task only makes sure that there is something to decide
    document = make_round(
        operators=[{"id": "op", "stake": 3 * money}, {"id": "op-2"}],
        tasks=[
            {"id": "held", "operator": "op", "slashing": 4 * money},
            {"id": "t", "operator": "op-2", "reward": 8 * money},
        ],
        offers=[offer("t", "cp", money)],
        commitments=[
            {"id": "k", "task": "held", "operator": "op", "executor": "cp", "success_probability": 1}
        ],
    )
    plan = solve(document, strategy=strategy)
    assert [each.task for each in plan.assignments] == ["t"]
    (found,) = plan.overcommitted
    assert (found.limit, found.budget, found.committed) == ("stake of op", 3 * money, 4 * money)


@pytest.mark.parametrize("strategy", ["extensive", "relaxation"])
def test_only_a_required_task_conflicts_with_what_commitments_exceed(strategy: str):
    document = make_round(
        operators=[{"id": "op", "stake": 3}],
        tasks=[
            {"id": "held", "operator": "op", "slashing": 4},
            {"id": "t", "operator": "op", "reward": 8, "slashing": 1e-9, "required": True},
        ],
        offers=[offer("t", "cp", 1)],
        commitments=[
            {"id": "k", "task": "held", "operator": "op", "executor": "cp", "success_probability": 1}
        ],
    )
    plan = solve(document, strategy=strategy)
    assert plan.status == "infeasible"
    assert plan.conflict is not None
    assert (plan.conflict.limits, plan.conflict.minimal) == (["task t required", "stake of op"], True)
    assert [each.limit for each in plan.overcommitted] == ["stake of op"]


@pytest.mark.parametrize("strategy", ["extensive", "relaxation", "greedy"])
def test_commitments_may_use_up_a_limit_in_decimals(strategy: str):
    # in binary 0.1 + 0.2 is more than 0.3
    document = make_round(
        coprocessors=[{"id": "cp", "capacity": {"gpu": 0.3}}],
        tasks=[TASK, TASK | {"id": "a"}, TASK | {"id": "b"}],
        offers=[offer("t", "cp", 1)],
        commitments=[
            {
                "id": f"k-{task}",
                "task": task,
                "operator": "op",
                "executor": "cp",
                "success_probability": 1,
                "work": {"gpu": amount},
            }
            for task, amount in (("a", 0.1), ("b", 0.2))
        ],
    )
    assert solve(document, strategy=strategy).objective == 7.0


def test_conflict_that_takes_too_long_is_not_called_minimal(monkeypatch: pytest.MonkeyPatch):
    document = make_round(
        coprocessors=[{"id": "cp", "free_collateral": 5}],
        tasks=[TASK | {"id": name, "required": True} for name in "abcdef"],
        offers=[offer(name, "cp", 1, collateral=1) for name in "abcdef"],
    )
    program = bondwork.build(bondwork.load(document))
    monkeypatch.setattr(conflicts, "CONFLICT_SECONDS", 0.0)
    conflict = find_conflict(program, Options(), Silence())
    assert not conflict.minimal
    assert Oracle(document).conflicts(conflict.limits)


@pytest.mark.parametrize("budget", [1, 1000])
@pytest.mark.parametrize("strategy", ["extensive", "relaxation", "greedy"])
def test_conflicts_in_rounds_with_tail_limits(strategy: str, budget: float):
    # failing surely, the required task loses 4: too much for a budget of 1, and nobody can do the other
    limit = {"measure": "worst_case", "budget": budget, "of": "network"}
    offers = [offer("t", "cp", 1, success_probability=0.0)]
    alone = one_task(offers, required=True) | {"risk": [limit], "uncertainty": {"scenarios": 16}}
    plan = solve(alone, strategy=strategy)
    assert plan.is_usable() == (budget > 1)
    if plan.status == "infeasible":
        assert plan.conflict is not None
        assert "task t required" in plan.conflict.limits
        assert any("worst_case" in each for each in plan.conflict.limits)
    both = alone | {"tasks": [*alone["tasks"], TASK | {"id": "nobody", "required": True}]}
    plan = solve(both, strategy=strategy)
    assert not plan.is_usable()
    if plan.status == "infeasible":
        assert plan.conflict is not None
        assert (plan.conflict.limits, plan.conflict.minimal) == (["task nobody required"], True)


def test_of_a_limit_that_commitments_exceed_nothing_is_left_however_little_an_offer_takes():
    """The tolerance of a row is a share of what commitments take, and far above what the offer would."""
    held = {"id": "k", "task": "held", "operator": "o", "executor": "a", "success_probability": 0.9}
    wei = {"operator": "o", "reward": 4e-18, "slashing": 1.2e-17}
    document = {
        "format": "bondwork.round/1",
        "operators": [{"id": "o"}],
        "coprocessors": [{"id": "a"}, {"id": "b"}],
        "tasks": [{"id": "t"} | wei, {"id": "held", "operator": "o", "reward": 0, "slashing": 10}],
        "offers": [
            {"task": "t", "coprocessor": "a", "success_probability": 0.95, "bid": 3e-18},
            {"task": "t", "coprocessor": "b", "success_probability": 1, "bid": 1e-18},
        ],
        "commitments": [held],
        "risk": [{"measure": "expected", "budget": 0, "of": "coprocessor"}],
    }
    instance = bondwork.load(document)
    plan = bondwork.solve(instance, strategy="extensive", mip_rel_gap=0.0)
    assert bondwork.verify(instance, plan) and not plan.provenance.notes
    (each,) = plan.assignments
    assert each.executor == "b" and each.explanation is not None
    assert not each.explanation.runner_up
