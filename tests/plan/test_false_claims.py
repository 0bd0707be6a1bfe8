"""Claims that are not so, each in a plan that is otherwise right: every one is refused."""

from __future__ import annotations

import copy
import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import bondwork
from hand_made import make_round, offer
from plan_kinds import KINDS, instance_of, plan_of

if TYPE_CHECKING:
    from collections.abc import Callable

Plan = dict[str, Any]


def document_of(kind: str) -> Plan:
    """A plan's document, to be changed."""
    return json.loads(plan_of(kind).to_json())


def refusals(kind: str, change: Callable[[Plan], None]) -> list[str]:
    """What is wrong with a plan after a change, in words."""
    plan = document_of(kind)
    before = copy.deepcopy(plan)
    change(plan)
    assert plan != before, "nothing was changed"
    return [str(each) for each in bondwork.verify(instance_of(kind), plan).violations]


def scaled(factor: float, only: int | None = None) -> Callable[[Plan], None]:
    def change(plan: Plan) -> None:
        for n, each in enumerate(plan["prices"]):
            if only in (None, n):
                each["price"] *= factor

    return change


def set_(*path: str, value: Any) -> Callable[[Plan], None]:
    def change(plan: Plan) -> None:
        place = plan
        for step in path[:-1]:
            place = place[step]
        place[path[-1]] = value

    return change


def worth(**values: Any) -> Callable[[Plan], None]:
    def change(plan: Plan) -> None:
        plan["stochastic"] |= values

    return change


def conflict(**values: Any) -> Callable[[Plan], None]:
    def change(plan: Plan) -> None:
        plan["conflict"] |= values

    return change


@pytest.mark.parametrize("kind", KINDS)
def test_plans_as_they_are_made_are_accepted(kind: str):
    verdict = bondwork.verify(instance_of(kind), document_of(kind))
    assert verdict, verdict.violations


@pytest.mark.parametrize("kind", ["market", "lagrangian"])
@pytest.mark.parametrize("factor", [10.0, 2.0, 0.5, 0.1])
def test_prices_that_are_not_what_a_unit_is_worth(kind: str, factor: float):
    assert any("price" in each for each in refusals(kind, scaled(factor)))
    for n in range(len(plan_of(kind).prices)):
        assert any("price" in each for each in refusals(kind, scaled(factor, n)))


def test_a_price_of_a_limit_that_nothing_reaches():
    def change(plan: Plan) -> None:
        plan["prices"].append({"limit": "collateral of cp-1", "price": 3.0})

    free = instance_of("market").coprocessors.free_collateral[0]
    assert math.isfinite(free)
    assert any("price" in each for each in refusals("market", change))


@pytest.mark.parametrize("name", ["worth", "task_price", "margin", "runner_up"])
def test_an_explanation_that_does_not_follow_from_the_prices(name: str):
    """Each of them is refused by name; a task's price has an interval, which 1000 is outside of."""
    for number, each in enumerate(plan_of("market").assignments):
        why = each.explanation
        if why is None or (name == "runner_up" and not why.runner_up):
            continue

        def change(plan: Plan, number: int = number) -> None:
            told = plan["assignments"][number]["explanation"]
            made_up = {"worth": told["worth"] + 1.0, "task_price": 1000.0, "margin": 77.0, "runner_up": []}
            told[name] = made_up[name]
            if name == "runner_up":  # to leave it is said to be next best
                told |= {"operator": None, "margin": told["worth"]}

        what = "next best" if name == "runner_up" else name
        assert any(fault.startswith(f"{what} of {each.task}") for fault in refusals("market", change))


def test_an_explanation_without_prices_is_not_recomputed():
    plan = document_of("market") | {"prices": [], "prices_from": None}
    verdict = bondwork.verify(instance_of("market"), plan)
    assert any(each.startswith("explanations: there are no prices") for each in verdict.unchecked)


@pytest.mark.parametrize("kind", ["market", "tails", "mean risk", "lagrangian"])
def test_a_limit_that_is_listed_twice_among_those_in_the_way(kind: str):
    named = [n for n, each in enumerate(plan_of(kind).unassigned) if each.limits]
    assert named
    for n in named:

        def change(plan: Plan, n: int = n) -> None:
            plan["unassigned"][n]["limits"].append(plan["unassigned"][n]["limits"][0])

        task = plan_of(kind).unassigned[n].task
        assert any(each.startswith(f"limits of {task}") for each in refusals(kind, change))


def full_at_once() -> Plan:
    """A round with a second stage in which a task has no room now."""
    return make_round(
        coprocessors=[{"id": "a", "capacity": {"gpu": 1}}, {"id": "b"}],
        tasks=[
            {"id": name, "operator": "op", "reward": reward, "slashing": 9, "work": {"gpu": 1}}
            for name, reward in (("t", 30), ("u", 20))
        ],
        offers=[
            offer("t", "a", 4, success_probability=0.9),
            offer("u", "a", 4, success_probability=0.9),
            offer("t", "b", 6, success_probability=0.95, stage=2),
        ],
    )


@pytest.mark.parametrize(
    "limits", [["capacity gpu of a"] * 2, ["capacity gpu of a", "collateral of a"], ["stake of op"], ["x"]]
)
def test_limits_in_the_way_of_a_first_stage(limits: list[str]):
    instance = bondwork.load(full_at_once())
    plan = json.loads(bondwork.solve(instance).to_json())
    assert plan["unassigned"] == [{"task": "t", "reason": "no_room", "limits": ["capacity gpu of a"]}]
    assert bondwork.verify(instance, plan)
    plan["unassigned"][0]["limits"] = limits
    assert [each.what for each in bondwork.verify(instance, plan).violations] == ["limits of t"]


@pytest.mark.parametrize("name", ["node", "failed"])
def test_outcomes_by_another_name_or_with_a_failure_twice(name: str):
    def change(plan: Plan) -> None:
        node = next(each for each in plan["recourse"] if each["failed"])
        node[name] = "nothing failed" if name == "node" else node["failed"] * 2

    assert any("recourse[" in each for each in refusals("two stages", change))


def test_a_further_executor_by_another_name():
    assert plan_of("replicated").replica_values

    def other(plan: Plan) -> None:
        plan["replica_values"][0]["executor"] = "somebody"

    assert any("executor" in each for each in refusals("replicated", other))
    # not to say it is no false claim
    assert not refusals("replicated", set_("replica_values", value=[]))


@pytest.mark.parametrize("word", ["branch_and_bound", "knapsack", "linear_relaxation", "strategy"])
def test_nobody_vouches_for_what_is_proven(word: str):
    for kind in ("replicated", "lagrangian"):
        assert plan_of(kind).certificate.vouched_by is None
        found = refusals(kind, set_("certificate", "vouched_by", value=word))
        assert [each.split(":")[0] for each in found] == ["certificate.vouched_by"]


@pytest.mark.parametrize("kind", ["crowded", "impossible"])
def test_prices_from_a_relaxation_that_has_no_solution(kind: str):
    assert any("prices_from" in each for each in refusals(kind, set_("prices_from", value="lp_relaxation")))


@pytest.mark.parametrize("kind", ["two stages", "periods"])
@pytest.mark.parametrize(
    ("what", "change"),
    [
        ("evpi", worth(evpi=1e6)),
        ("vss", worth(vss=1.0)),
        ("rp", worth(rp=12.0)),
        ("ws", lambda plan: worth(ws=1.0, evpi=1.0 - plan["objective"])(plan)),
        ("ws_bound", worth(ws_bound=0.0)),
        ("rp_bound", worth(eev=1e4, vss=None)),
        ("rp_bound", worth(rp_bound=1e4)),
        ("ws", worth(ws="much")),
        ("notes", worth(notes=1.0)),
        ("evpi", worth(ws=None)),
    ],
)
def test_values_of_the_model_that_contradict_each_other_or_the_plan(
    kind: str, what: str, change: Callable[[Plan], None]
):
    assert any(f"stochastic.{what}" in each for each in refusals(kind, change))


def test_optima_of_other_problems_are_left_unchecked():
    verdict = bondwork.verify(instance_of("two stages"), plan_of("two stages"))
    assert any("ws, ws_bound, ev, eev" in each for each in verdict.unchecked)
    assert any("evaluation.out_of_sample" in each for each in verdict.unchecked)


@pytest.mark.parametrize(
    "change",
    [
        set_("evaluation", "in_sample", value=1.0),
        set_("evaluation", "out_of_sample", value=1e3),
        set_("evaluation", "out_of_sample", value=None),
        set_("evaluation", "standard_error", value=-1.0),
        set_("evaluation", "standard_error", value=50.0),
        set_("evaluation", "standard_error", value=None),
        set_("evaluation", "scenarios", value=10**400),
    ],
)
def test_a_made_up_evaluation(change: Callable[[Plan], None]):
    assert any("evaluation" in each for each in refusals("two stages", change))


def test_an_evaluation_where_nothing_is_evaluated():
    made_up = {"in_sample": 17.5, "out_of_sample": 17.0, "standard_error": 0.1, "scenarios": 1000}
    assert any("evaluation" in each for each in refusals("periods", set_("evaluation", value=made_up)))
    assert any("evaluation" in each for each in refusals("market", set_("evaluation", value=made_up)))


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("crowded", conflict(limits=["task t required", "capacity gpu of a"])),
        ("crowded", conflict(limits=[])),
        ("crowded", conflict(limits=["task t required", "task u required", "collateral of a"])),
        ("crowded", conflict(limits=["task t required"] * 2 + ["task u required", "capacity gpu of a"])),
        ("crowded", conflict(least={"capacity gpu of a": 3.0})),
        ("impossible", conflict(limits=["task t required", "task u required"], least={})),
        ("impossible", conflict(least={"cvar of network": 5.0})),
        ("impossible", conflict(least={"cvar of network": 1e6})),
        ("impossible", conflict(least={"cvar of network": -1.0})),
        ("impossible", conflict(least={"cvar of b": 100.0})),
    ],
)
def test_a_conflict_that_is_none(kind: str, change: Callable[[Plan], None]):
    assert any("conflict" in each for each in refusals(kind, change))


@pytest.mark.parametrize("kind", ["crowded", "impossible"])
def test_a_conflict_that_is_minimal_and_said_not_to_be(kind: str):
    found = refusals(kind, conflict(minimal=False))
    assert [each.split(":")[0] for each in found] == ["conflict.minimal"]


def wide(tasks: int, room: int) -> Plan:
    """Required tasks of work 1, and two who could do each of them: one has some room, the other none."""
    names = [f"t{k}" for k in range(tasks)]
    return make_round(
        coprocessors=[{"id": "a", "capacity": {"gpu": room}}, {"id": "b", "capacity": {"gpu": 0}}],
        tasks=[
            {"id": name, "operator": "op", "reward": 9, "required": True, "work": {"gpu": 1}}
            for name in names
        ],
        offers=[offer(name, who, 1) for name in names for who in ("a", "b")],
    )


@pytest.mark.parametrize(("tasks", "room"), [(1, 0), (2, 1), (3, 1), (4, 2), (5, 4)])
def test_minimal_is_what_trying_every_subset_says(tasks: int, room: int):
    """With both capacities as many tasks conflict as there is room for, and one more; others are too many."""
    instance = bondwork.load(wide(tasks, room))
    plan = json.loads(bondwork.solve(instance).to_json())
    both = ["capacity gpu of a", "capacity gpu of b"]
    for count in range(room + 1, tasks + 1):
        limits = [f"task t{k} required" for k in range(count)] + both
        for proof in (plan["certificate"], None):
            for minimal in (False, True):
                told = {"limits": limits, "minimal": minimal, "least": {}}
                verdict = bondwork.verify(instance, plan | {"conflict": told, "certificate": proof})
                wrong = [each.what for each in verdict.violations]
                assert wrong == ([] if minimal == (count == room + 1) else ["conflict.minimal"])
                assert "conflict: minimal" not in verdict.unchecked


def test_whether_a_long_conflict_is_minimal_is_left_unchecked():
    instance = bondwork.load(wide(14, 13))
    plan = json.loads(bondwork.solve(instance).to_json())
    for minimal in (False, True):
        plan["conflict"]["minimal"] = minimal
        verdict = bondwork.verify(instance, plan)
        assert verdict and "conflict: minimal" in verdict.unchecked


@pytest.mark.parametrize("later", ["second stage", "periods"])
@pytest.mark.parametrize("without", [{"limits": []}, {"limits": ["collateral of a"]}])
def test_limits_that_hold_with_nothing_done_are_no_conflict_of_a_staged_round(later: str, without: Plan):
    task = {"id": "t", "operator": "o", "reward": 9, "slashing": 1, "required": True}
    offer = {"task": "t", "coprocessor": "a", "bid": 1, "collateral": 2, "success_probability": 0.9}
    document: dict[str, Any] = {
        "format": "bondwork.round/1",
        "operators": [{"id": "o"}],
        "coprocessors": [{"id": "a", "free_collateral": 1}, {"id": "b"}],
        "tasks": [task],
        "offers": [offer],
    }
    if later == "second stage":
        document["offers"].append(offer | {"id": "late", "coprocessor": "b", "stage": 2})
    else:
        other = {"id": "u", "operator": "o", "reward": 9, "slashing": 1}
        period = {"id": "p", "at": 9, "tasks": [other], "offers": [offer | {"task": "u", "collateral": 0}]}
        document["periods"] = [period]
    instance = bondwork.load(document)
    plan = bondwork.solve(instance)
    assert plan.status == "infeasible" and plan.conflict is not None
    assert bondwork.verify(instance, plan)
    false = plan.model_copy(update={"conflict": plan.conflict.model_copy(update=without)})
    assert [each.what for each in bondwork.verify(instance, false).violations] == ["conflict"]


def test_a_conflict_is_proven_where_the_certificate_is_about_its_limits():
    for kind in ("crowded", "impossible"):
        verdict = bondwork.verify(instance_of(kind), plan_of(kind))
        assert verdict.refuted
        assert not any("not proven" in each for each in verdict.unchecked)
    plan = document_of("crowded") | {"bound": 1.0}
    assert [each.what for each in bondwork.verify(instance_of("crowded"), plan).violations] == [
        "certificate",
        "bound",
    ]
    plan = document_of("crowded") | {"certificate": None}
    assert any("not proven" in each for each in bondwork.verify(instance_of("crowded"), plan).unchecked)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("time_limit", -1.0),
        ("time_limit", "long"),
        ("mip_rel_gap", -0.1),
        ("mip_rel_gap", 10**400),
        ("mip_rel_gap", None),
        ("threads", 1.5),
        ("threads", -1),
        ("random_seed", -1),
        ("random_seed", True),
        ("risk_form", "columns"),
        ("strategy", 3),
        ("settings.rounds", 3),
        ("\n", 3),
        ("presolve", None),
    ],
)
def test_options_that_no_solve_takes(name: str, value: Any):
    found = refusals("market", set_("provenance", "options", name, value=value))
    assert any("provenance.options" in each for each in found)


@pytest.mark.parametrize("seed", [-1, 1.5, "1", True, None, -(10**30)])
def test_a_seed_that_is_none_is_a_fault_of_the_plan(seed: Any):
    plan = document_of("tails")
    plan["provenance"]["seed"] = seed
    with pytest.raises(bondwork.InvalidInput, match=r"provenance\.seed"):
        bondwork.verify(instance_of("tails"), plan)


def test_prices_of_a_relaxation_whose_rounding_found_no_plan_are_no_false_claim():
    """Three tasks of work 2 go into two rooms of 3 by halves only."""
    task = {"operator": "op", "reward": 9, "required": True, "work": {"gpu": 2}}
    document = make_round(
        coprocessors=[{"id": who, "capacity": {"gpu": 3}} for who in "ab"],
        tasks=[task | {"id": name} for name in "tuv"],
        offers=[offer(name, who, 1) for name in "tuv" for who in "ab"],
    )
    instance = bondwork.load(document)
    plan = bondwork.solve(instance, strategy="relaxation")
    assert (plan.status, plan.prices_from) == ("locally_infeasible", "lp_relaxation")
    assert not any("commentary" in each for each in plan.provenance.notes)
    assert bondwork.verify(instance, plan)


@pytest.mark.parametrize("factor", [1.01, 0.99, 1.0 + 1e-6, 0.0, 2.0])
@pytest.mark.parametrize("kind", ["market", "prover market"])
def test_a_price_that_the_certificate_does_not_carry(kind: str, factor: float):
    """Without an explanation that is reckoned at it, too; nor may one be left out."""
    rounds = Path(bondwork.__file__).parents[2] / "data" / "rounds"
    instance = instance_of("market") if kind == "market" else bondwork.load(rounds / "prover-market.json")
    document = json.loads(bondwork.solve(instance).to_json())
    for each in document["assignments"]:
        each["explanation"] = None
    assert bondwork.verify(instance, document) and document["prices"]
    for n, _ in enumerate(document["prices"]):
        false = copy.deepcopy(document)
        if factor:
            false["prices"][n]["price"] *= factor
        else:
            del false["prices"][n]
        found = [each.what for each in bondwork.verify(instance, false).violations]
        assert found == ["prices"]


def priced_tasks() -> Plan:
    """A required task that costs something, and one that earns."""
    return make_round(
        tasks=[
            {"id": "dear", "operator": "op", "reward": 1, "required": True},
            {"id": "fine", "operator": "op", "reward": 9, "required": True},
        ],
        offers=[offer("dear", "cp", 4), offer("fine", "cp", 1)],
    )


@pytest.mark.parametrize("price", [-3.03, -1.0, 3.0, 0.0, None, "left out"])
def test_the_price_of_a_required_task(price: Any):
    instance = bondwork.load(priced_tasks())
    plan = json.loads(bondwork.solve(instance).to_json())
    assert plan["prices"] == [{"limit": "task dear", "price": -3.0}]
    assert bondwork.verify(instance, plan)
    plan["prices"][0]["price"] = price
    if price == "left out":
        plan["prices"] = []
    assert [each.what for each in bondwork.verify(instance, plan).violations] == ["price of task dear"]
    for each in plan["assignments"]:
        each["explanation"] = None
    verdict = bondwork.verify(instance, plan)
    told = "prices: that other required tasks have none" if price == "left out" else "price of task dear"
    assert told in verdict.unchecked or [each.what for each in verdict.violations] == [told]


def test_a_price_of_a_task_that_nobody_must_do():
    def change(plan: Plan) -> None:
        plan["prices"].append({"limit": "task t-2", "price": -1.0})

    assert any("price of task t-2" in each for each in refusals("market", change))


@pytest.mark.parametrize(
    "told", [{"bound": None}, {"bound": 1.0}, {"bound": -1e308}, {"vouched_by": "strategy"}, {"bound": 1e6}]
)
def test_a_proof_that_is_not_recomputed_goes_with_the_plan_all_the_same(
    told: Plan, monkeypatch: pytest.MonkeyPatch
):
    plan = document_of("replicated")
    monkeypatch.setattr("bondwork.plan.recount_columns.MOST_TEAMS", 1)
    verdict = bondwork.verify(instance_of("replicated"), plan)
    assert verdict and any(each.startswith("certificate: more than") for each in verdict.unchecked)
    plan["certificate"] |= told
    found = bondwork.verify(instance_of("replicated"), plan).violations
    assert found and all(each.what.startswith("certificate.") for each in found)


def test_a_later_node_that_is_not_listed_is_told():
    """Nothing is done at it: a node at which something is done cannot be left out."""
    plan = document_of("periods")
    idle = [node for node in plan["recourse"] if not node["assignments"]]
    busy = [node for node in plan["recourse"] if node["assignments"]]
    assert idle and busy
    verdict = bondwork.verify(instance_of("periods"), plan | {"recourse": busy})
    assert verdict
    said = f"recourse: {len(idle)} of {len(idle + busy)} nodes are not listed, and nothing is done there"
    assert said in verdict.unchecked
    assert not bondwork.verify(instance_of("periods"), plan | {"recourse": idle})


def test_what_nobody_knows_is_listed():
    asked = [{"name": "few", "terms": [{"task": ["t-1", "t-2"]}], "sense": "<=", "bound": 2}]
    plan = bondwork.solve(instance_of("market"), constraints=asked)
    assert (
        "constraints: whether they were asked for" in bondwork.verify(instance_of("market"), plan).unchecked
    )
    document = KINDS["tails"][0]()
    document["risk"][0]["calibrate"] = True
    instance = bondwork.load(document)
    plan = json.loads(bondwork.solve(instance, certificate="none").to_json())
    plan["risk"][0]["calibrated"] = plan["risk"][0]["in_sample"] + 1.0
    verdict = bondwork.verify(instance, plan)
    assert verdict, verdict.violations
    assert "risk: to where calibration moved budgets" in verdict.unchecked
