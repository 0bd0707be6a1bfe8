"""The verifier against plans that somebody has tampered with, one by one and at random."""

from __future__ import annotations

import copy
import json
from functools import cache
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import bondwork
from bondwork.plan.recount_columns import Columns
from hand_made import Document, everyone_busy, make_round, market, offer
from oracle import Oracle
from rounds_strategy import examples, rounds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Plan = dict[str, Any]


def plan_of(document: Document, **options: Any) -> Plan:
    """Return the plan of a round as its JSON document."""
    plan = bondwork.solve(bondwork.load(document), **{"mip_rel_gap": 0.0} | options)
    return json.loads(plan.to_json())


@cache
def market_plan() -> str:
    return json.dumps(plan_of(market()))


def violations(document: Document, plan: Plan) -> list[str]:
    """What the verifier finds wrong with a plan, by name."""
    verdict = bondwork.verify(bondwork.load(document), plan)
    assert bool(verdict) == (not verdict.violations)
    return [violation.what for violation in verdict.violations]


# one kind of tampering after the other, on the plan of `market`


def put(*path: str | int, value: Any) -> Callable[[Plan], None]:
    """Return a tampering that sets the field at ``path``."""

    def tamper(plan: Plan) -> None:
        place: Any = plan
        for step in path[:-1]:
            place = place[step]
        assert place[path[-1]] != value, "this is no tampering"
        place[path[-1]] = value

    return tamper


def add_to(*path: str | int, value: float) -> Callable[[Plan], None]:
    def tamper(plan: Plan) -> None:
        place: Any = plan
        for step in path[:-1]:
            place = place[step]
        place[path[-1]] += value

    return tamper


def raise_bound_and_gap(plan: Plan) -> None:
    plan["bound"] = 2 * plan["objective"]
    plan["gap"] = 0.5


def claim_nothing_was_found(plan: Plan) -> None:
    plan |= {"status": "time_limit", "solution": "none"}


def duplicate_assignment(plan: Plan) -> None:
    plan["assignments"].append(copy.deepcopy(plan["assignments"][0]))


def give_task_to_two(plan: Plan) -> None:
    """Give t-1 to cp-2 as well, with every sum put right."""
    second = plan["assignments"][0] | {
        "offer": "t-1/cp-2",
        "executor": "cp-2",
        "bid": 7.0,
        "price": 7.0,
        "success_probability": 0.9375,
        "expected_net_reward": 15 - 0.9375 * 7 - 1 + 0.125 * 16 * 0.0625,
        "expected_slashing": 1.0,
    }
    plan["assignments"].append(second)
    plan["objective"] += second["expected_net_reward"]
    plan["bound"] = plan["objective"]
    plan["operators"][0]["expected_benefit"] += 14.0
    plan["operators"][0]["expected_slashing"] += 1.0
    plan["risk"][0]["in_sample"] += 1.0
    plan["risk"][2]["in_sample"] += 1.0


def use_ineligible_offer(plan: Plan) -> None:
    """Give thin to cp-1 for collateral of 4, with every sum put right."""
    plan["assignments"].append(
        {
            "offer": "thin/cp-1",
            "task": "thin",
            "operator": "op-2",
            "executor": "cp-1",
            "kind": "delegated",
            "bid": 1.0,
            "price": 1.0,
            "collateral": 4.0,
            "success_probability": 1.0,
            "expected_net_reward": 11.0,
            "expected_slashing": 0.0,
        }
    )
    plan["unassigned"] = [each for each in plan["unassigned"] if each["task"] != "thin"]
    plan["objective"] += 11.0
    plan["bound"] = plan["objective"]
    plan["operators"][1]["expected_benefit"] += 12.0


def leave_required_task(plan: Plan) -> None:
    gone = plan["assignments"].pop(0)
    plan["unassigned"].insert(0, {"task": gone["task"], "reason": "not_worth_it", "limits": []})


def do_committed_task_again(plan: Plan) -> None:
    plan["unassigned"].append({"task": "done", "reason": "no_eligible_offer", "limits": []})


TAMPERINGS: dict[str, tuple[str, Callable[[Plan], None]]] = {
    "objective": ("objective", add_to("objective", value=0.001)),
    "objective gone": ("objective", put("objective", value=None)),
    "bound below objective": ("bound", add_to("bound", value=-0.001)),
    "bound gone": ("bound", put("bound", value=None)),
    "gap": ("gap", put("gap", value=0.01)),
    "optimal at a gap": ("solution", raise_bound_and_gap),
    "status": ("solution", put("status", value="time_limit")),
    "status infeasible": ("status", put("status", value="infeasible")),
    "solution": ("solution", put("solution", value="feasible")),
    "solution none": ("objective", put("solution", value="none")),
    "no solution after all": ("assignments", claim_nothing_was_found),
    "assignment dropped": ("objective", lambda plan: plan["assignments"].pop()),
    "required task dropped": ("task t-1", leave_required_task),
    "assignment twice": ("assignments[4].offer", duplicate_assignment),
    "second executor": ("task t-1", give_task_to_two),
    "executor swapped": ("assignments[0].executor", put("assignments", 0, "executor", value="cp-2")),
    "offer swapped": ("assignments[0].executor", put("assignments", 0, "offer", value="t-1/cp-2")),
    "offer unknown": ("assignments[0].offer", put("assignments", 0, "offer", value="t-1/cp-3")),
    "task swapped": ("assignments[0].task", put("assignments", 0, "task", value="t-2")),
    "operator swapped": ("expected_benefit of op-2", put("assignments", 1, "operator", value="op-1")),
    "operator unknown": ("assignments[1].offer", put("assignments", 1, "operator", value="op-9")),
    "kind": ("assignments[3].offer", put("assignments", 3, "kind", value="delegated")),
    "bid": ("assignments[0].bid", put("assignments", 0, "bid", value=4.0)),
    "price below bid": ("assignments[0].price", put("assignments", 0, "price", value=4.0)),
    "price above reward": ("assignments[0].price", put("assignments", 0, "price", value=17.0)),
    "price agreed but not paid": ("expected_net_reward", put("assignments", 0, "price", value=6.0)),
    "collateral": ("assignments[0].collateral", put("assignments", 0, "collateral", value=12.0)),
    "probability": ("success_probability", put("assignments", 0, "success_probability", value=1.0)),
    "net reward": ("expected_net_reward", add_to("assignments", 1, "expected_net_reward", value=0.01)),
    "slashing": ("expected_slashing", add_to("assignments", 1, "expected_slashing", value=-0.01)),
    "ineligible offer": ("assignments[4]", use_ineligible_offer),
    "recourse": (
        "recourse",
        lambda plan: plan["recourse"].append({"node": "later", "stage": 1, "probability": 1.0}),
    ),
    "unassigned dropped": ("unassigned", lambda plan: plan["unassigned"].pop()),
    "unassigned twice": ("unassigned", lambda plan: plan["unassigned"].append(plan["unassigned"][0])),
    "unassigned but held": ("unassigned", do_committed_task_again),
    "reason no_eligible_offer": ("reason of dear", put("unassigned", 1, "reason", value="no_eligible_offer")),
    "reason not_worth_it": ("reason of late", put("unassigned", 2, "reason", value="not_worth_it")),
    "reason no_room": ("reason of thin", put("unassigned", 0, "reason", value="no_room")),
    "limits emptied": ("limits of late", put("unassigned", 2, "limits", value=[])),
    "limits of another": ("limits of late", put("unassigned", 2, "limits", value=["collateral of cp-1"])),
    "limits of a task not worth it": (
        "limits of dear",
        put("unassigned", 1, "limits", value=["stake of op-1"]),
    ),
    "operator benefit": ("expected_benefit of op-1", add_to("operators", 0, "expected_benefit", value=1.0)),
    "operator slashing": (
        "expected_slashing of op-2",
        add_to("operators", 1, "expected_slashing", value=1.0),
    ),
    "operator dropped": ("operators", lambda plan: plan["operators"].pop()),
    "risk value": ("of network", add_to("risk", 0, "in_sample", value=-1.0)),
    "risk value of another": ("of cp-1", put("risk", 1, "in_sample", value=1.0)),
    "risk holds": ("of network", put("risk", 0, "holds", value=False)),
    "risk budget": ("of network", put("risk", 0, "budget", value=9.0)),
    "risk of another": ("risk", put("risk", 1, "of", value="cp-2")),
    "risk dropped": ("risk", lambda plan: plan["risk"].pop()),
    "tail limit does not hold": ("op-2", put("risk", 3, "holds", value=False)),
    "tail limit out of sample": ("op-2", put("risk", 3, "out_of_sample", value=1.0)),
    "price negative": ("price of capacity compute of cp-1", put("prices", 0, "price", value=-1.0)),
    "price of no limit": ("prices", put("prices", 0, "limit", value="stake of op-2")),
    "price twice": (
        "price of capacity compute of cp-1",
        lambda plan: plan["prices"].append(plan["prices"][0]),
    ),
    "prices from nowhere": ("prices_from", put("prices_from", value=None)),
    "ineligible count": ("minimum_collateral", put("ineligible_offers", "minimum_collateral", value=0)),
    "late count": ("deadline", put("ineligible_offers", "deadline", value=2)),
    "another round": ("provenance.input_sha256", put("provenance", "input_sha256", value="0" * 64)),
    "a tree": ("tree_sha256", put("provenance", "tree_sha256", value="0" * 64)),
    "conflict": ("conflict", put("conflict", value={"limits": ["stake of op-1"], "minimal": True})),
    "stochastic": ("stochastic", put("stochastic", value={"WS": 1.0})),
    "not verified": ("verified", put("verified", value=False)),
    "violations": (
        "violations",
        put("violations", value=[{"what": "stake of op-1", "found": "1", "expected": "0"}]),
    ),
}


@pytest.mark.parametrize(("what", "tamper"), TAMPERINGS.values(), ids=TAMPERINGS.keys())
def test_tampering_is_found(what: str, tamper: Callable[[Plan], Any]):
    plan = json.loads(market_plan())
    tamper(plan)
    found = violations(market(), plan)
    assert any(what in each for each in found), found


def test_the_plan_itself_is_right():
    plan = json.loads(market_plan())
    assert violations(market(), plan) == []
    # what was tampered with above is there
    assert [each["offer"] for each in plan["assignments"]] == ["t-1/cp-1", "t-2/cp-1", "t-3/cp-2", "t-4/op-1"]
    assert [(each["task"], each["reason"], each["limits"]) for each in plan["unassigned"]] == [
        ("thin", "no_eligible_offer", []),
        ("dear", "not_worth_it", []),
        ("late", "no_room", ["capacity compute of cp-1"]),
    ]
    assert next(each["limit"] for each in plan["prices"]) == "capacity compute of cp-1"


def test_objective_is_the_verifiers_own():
    document = market()
    plan = json.loads(market_plan())
    plan["objective"] = 1e6
    verdict = bondwork.verify(bondwork.load(document), plan)
    assert verdict.objective == float(Oracle(document).best().objective)  # type: ignore[union-attr]


def test_a_price_between_bid_and_reward_is_an_auctions():
    plan = json.loads(market_plan())
    # t-1 is paid for with 6 instead of 5, where it succeeds
    plan["assignments"][0]["price"] = 6.0
    plan["assignments"][0]["expected_net_reward"] -= 0.875
    plan["objective"] -= 0.875
    plan["gap"] = (plan["bound"] - plan["objective"]) / plan["bound"]
    plan |= {"status": "locally_solved", "solution": "feasible"}
    assert violations(market(), plan) == []


# plans that are right for a round without the limit


def change(*path: str | int, **values: Any) -> Callable[[Document], None]:
    def tighten(document: Document) -> None:
        place: Any = document
        for step in path:
            place = place[step]
        place.update(values)

    return tighten


def limit_loss(of: Any, budget: float) -> Callable[[Document], None]:
    return lambda document: document.update(risk=[{"measure": "expected", "budget": budget, "of": of}])


STRICTER: dict[str, Callable[[Document], None]] = {
    "capacity compute of cp-1": change("coprocessors", 0, capacity={"compute": 2.75}),
    "capacity compute of op-1": change("operators", 0, capacity={"compute": 1.75}),
    "collateral of cp-1": change("coprocessors", 0, free_collateral=11.75),
    "collateral of cp-2": change("coprocessors", 1, free_collateral="7.75"),
    "stake of op-1": change("operators", 0, stake=13.75),
    "deadline 399 of cp-2": change("tasks", 1, deadline=399),
    "deadline 700 of cp-2": change("offers", 2, duration=301),
    "expected loss of network": limit_loss("network", 3.25),
    "expected loss of op-1": limit_loss("operator", 2.25),
    "expected loss of cp-2": limit_loss({"coprocessor": "cp-2"}, 1.75),
    "assignments[0]": change("tasks", 0, minimum_collateral=12.25),
    "assignments[1]": change("tasks", 1, deadline=99),
}


def just_enough(label: str) -> Callable[[Document], None]:
    return {
        "capacity compute of cp-1": change("coprocessors", 0, capacity={"compute": 3}),
        "capacity compute of op-1": change("operators", 0, capacity={"compute": 2}),
        "collateral of cp-1": change("coprocessors", 0, free_collateral=12),
        "collateral of cp-2": change("coprocessors", 1, free_collateral="8.000"),
        "stake of op-1": change("operators", 0, stake=14),
        "deadline 399 of cp-2": change("tasks", 1, deadline=400),
        "deadline 700 of cp-2": change("offers", 2, duration=300),
        "expected loss of network": limit_loss("network", 3.5),
        "expected loss of op-1": limit_loss("operator", 2.5),
        "expected loss of cp-2": limit_loss({"coprocessor": "cp-2"}, 2),
        "assignments[0]": change("tasks", 0, minimum_collateral=12),
        "assignments[1]": change("tasks", 1, deadline=400),
    }[label]


def forge(strict: Document) -> Plan:
    """Return the plan of `everyone_busy` made up as one of a stricter round: all its sums are right."""
    plan = plan_of(everyone_busy())
    instance = bondwork.load(strict)
    plan["provenance"]["input_sha256"] = instance.sha256
    plan["certificate"] = None  # the other round's proves another bound here
    oracle = Oracle(strict)
    plan["ineligible_offers"] = {"minimum_collateral": oracle.below_minimum, "deadline": oracle.too_late}
    loss = {"network": 3.5, "op-1": 2.5, "op-2": 1.0, "cp-1": 1.0, "cp-2": 2.0}
    members = {"network": ["network"], "operator": ["op-1", "op-2"]}
    plan["risk"] = [
        {
            "measure": "expected",
            "of": member,
            "budget": limit["budget"],
            "in_sample": loss[member],
            "out_of_sample": None,
            "standard_error": None,
            "holds": loss[member] <= limit["budget"],
        }
        for limit in strict.get("risk", [])
        for member in (limit["of"].values() if isinstance(limit["of"], dict) else members[limit["of"]])
    ]
    return plan


@pytest.mark.parametrize("label", STRICTER)
def test_a_plan_of_a_looser_round_breaks_the_limit(label: str):
    strict, enough = everyone_busy(), everyone_busy()
    STRICTER[label](strict)
    just_enough(label)(enough)
    assert violations(enough, forge(enough)) == []
    assert violations(strict, forge(strict)) == [label]


@pytest.mark.parametrize(
    ("label", "held"),
    [
        ("capacity compute of cp-1", {"work": {"compute": 0.25}}),
        ("capacity compute of op-1", {"executor": "op-1", "work": {"compute": 0.25}}),
        ("stake of op-1", {"success_probability": 1.0}),
        ("expected loss of network", {}),
        ("expected loss of op-1", {"executor": "op-1"}),
        ("expected loss of cp-2", {"executor": "cp-2"}),
    ],
)
def test_commitments_count_against_limits(label: str, held: Document):
    strict = everyone_busy()
    just_enough(label)(strict)
    strict["tasks"].append({"id": "held", "operator": "op-1", "reward": 1, "slashing": 2})
    commitment = {
        "id": "k",
        "task": "held",
        "operator": "op-1",
        "executor": "cp-1",
        "success_probability": 0.5,
    }
    strict["commitments"] = [commitment | held]
    assert label in violations(strict, forge(strict))


def test_deadlines_on_the_clock_of_the_epoch_are_told_apart():
    # to six digits all of these are the same
    now = 1_700_000_000
    document = make_round(
        now=now,
        coprocessors=[{"id": "cp", "serial": True, "free_at": now}],
        tasks=[
            {"id": f"t-{k}", "operator": "op", "reward": 8, "slashing": 0, "deadline": now + 100 * k}
            for k in (1, 2, 3)
        ],
        offers=[offer(f"t-{k}", "cp", 1, duration=90) for k in (1, 2, 3)],
    )
    plan = plan_of(document)
    assert plan["objective"] == 21.0
    assert violations(document, plan) == []
    document["tasks"][2]["reward"] = 7
    document["offers"][2]["duration"] = 121
    plan = plan_of(document)
    assert plan["unassigned"] == [
        {"task": "t-3", "reason": "no_room", "limits": [f"deadline {now + 300} of cp"]}
    ]


def test_a_plan_without_solution_tells_nothing_else():
    document = make_round(tasks=[{"id": "t", "operator": "op", "required": True}])
    plan = plan_of(document)
    assert (plan["status"], plan["solution"]) == ("infeasible", "none")
    assert violations(document, plan) == []
    for name, value in (
        ("objective", 1.0),
        ("gap", 0.0),
        ("operators", [{"id": "op", "expected_benefit": 0.0, "expected_slashing": 0.0}]),
        ("unassigned", [{"task": "t", "reason": "no_eligible_offer", "limits": []}]),
    ):
        assert name in violations(document, plan | {name: value})
    assert "solution" in violations(document, plan | {"status": "optimal"})


def test_what_is_no_plan_is_refused():
    plan = json.loads(market_plan())
    with pytest.raises(
        bondwork.InvalidInput, match=r"\$\.assignments\[0\]\.bid: found \"5\", expected a number"
    ):
        violations(market(), plan | {"assignments": [plan["assignments"][0] | {"bid": "5"}]})


# at random

#: What a plan says that its round cannot contradict: who made it and how, how long it took, what limits are
#: worth (only LP duals are), and which of two words for "stopped early" or for "duals" is the right one.
FREE = {
    ("strategy",),
    # other multipliers prove a bound as well; what they prove must be the bound that is stated
    ("certificate", "multipliers"),
    ("certificate", "vouched_by"),
    ("formulation",),
    ("timing",),
    ("prices_from",),
    ("provenance", "bondwork"),
    ("provenance", "highs"),
    ("provenance", "seed"),
    ("provenance", "options"),
    ("provenance", "notes"),
}


def leaves(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    if isinstance(value, dict) and value:
        for key in value:
            yield from leaves(value[key], (*path, key))
    elif isinstance(value, list) and value:
        for number, each in enumerate(value):
            yield from leaves(each, (*path, number))
    else:
        yield path


def is_free(path: tuple[str | int, ...]) -> bool:
    is_price = path[0] == "prices" and path[-1] == "price"
    # between a task's second best choice and its best, any price of it is one
    is_price |= "explanation" in path and path[-1] == "task_price"
    return is_price or any(path[: len(free)] == free for free in FREE)


#: Values of the fields that are null in a plan of one stage; for the others, some of another type.
ANYTHING = [None, True, "x", "", 0.5, -3.0, 7, [], {}, ["x"], {"x": 1.0}, {"limits": ["x"], "minimal": True}]

WORDS = ["optimal", "feasible", "none", "infeasible", "time_limit", "self", "delegated", "no_room"]
WORDS += ["not_worth_it", "no_eligible_offer", "network", "expected", "cvar", "op-0", "cp-0", "t-0", "t-1"]


def other_values(value: Any) -> st.SearchStrategy[Any]:
    """Other values, often of the same type."""
    if isinstance(value, bool):
        return st.just(not value)
    if isinstance(value, int | float):
        near = [value + 1, value - 1, -value, 2 * value, value * (1 + 1e-6) + 1e-5]
        return st.sampled_from(
            [None, *(each for each in near if abs(each - value) > 1e-6 * abs(value) + 1e-8)]
        )
    if isinstance(value, str):
        return st.sampled_from([value + "x", value[1:], *WORDS])
    return st.sampled_from(ANYTHING)


#: Statuses that say why a heuristic or a stopped search has no proof: a plan cannot contradict them.
EARLY = ("locally_solved", "time_limit", "interrupted", "solution_limit", "other_error")


@examples(0.3)
@given(data=st.data(), strategy=st.sampled_from(["extensive", "greedy", "relaxation"]))
def test_random_tampering_is_found(data: st.DataObject, strategy: str):
    # tail limits are measured anew on thousands of scenarios each time: not here
    instance = bondwork.load(data.draw(rounds(tails=False)))
    plan = bondwork.solve(instance, strategy=strategy, mip_rel_gap=0.0)
    assume(plan.is_usable())  # why there is no plan cannot be checked without solving
    document = json.loads(plan.to_json())
    for path in leaves(document):
        if is_free(path):
            continue
        tampered = copy.deepcopy(document)
        place: Any = tampered
        for step in path[:-1]:
            place = place[step]
        place[path[-1]] = data.draw(other_values(place[path[-1]]), label=str(path))
        try:
            read = bondwork.load_plan(tampered)
        except bondwork.InvalidInput:
            continue
        still_early = path == ("status",) and {plan.status, read.status} <= set(EARLY)
        # a plan that says it was made with a history is not checked without it
        # a bound cannot be checked without solving; beside an objective of 0 every bound has the gap 1
        any_bound = path == ("bound",) and plan.objective == 0.0 and plan.solution == "feasible"
        if read != plan and not still_early and not any_bound and path != ("provenance", "history_sha256"):
            assert not bondwork.verify(instance, read), (path, place[path[-1]])


@examples(0.5)
@given(document=rounds(), other=rounds())
def test_a_plan_is_of_one_round_only(document: Document, other: Document):
    one, two = bondwork.load(document), bondwork.load(other)
    assume(one.sha256 != two.sha256)
    plan = bondwork.solve(one, strategy="greedy", allow_violations=True)
    assert "provenance.input_sha256" in [each.what for each in bondwork.verify(two, plan).violations]


def test_prices_and_certificate_are_about_the_same_teams_which_are_found_once(
    monkeypatch: pytest.MonkeyPatch,
):
    built: list[Columns] = []

    class Counted(Columns):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            built.append(self)

    instance, plan = bondwork.load(market()), json.loads(market_plan())
    assert plan["certificate"] and plan["prices"]
    monkeypatch.setattr("bondwork.plan.recount_bound.Columns", Counted)
    assert bondwork.verify(instance, plan)
    assert len(built) == 1
