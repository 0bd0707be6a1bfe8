"""What is already committed never makes a round infeasible: against every choice, by every strategy."""

from __future__ import annotations

import copy
import json
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import bondwork
from oracle import Oracle
from people_rounds import decimals_as_text, people_rounds
from risk.by_hand import Brute
from rounds_strategy import examples
from two_stage_oracle import CommittedOracle

Document = dict[str, Any]

CENTS = st.integers(50, 100).map(lambda n: n / 100)

#: Strategies that decide rounds of one stage, and how far they can be believed.
EXACT = ("auto", "extensive", "lagrangian")
QUICK = ("greedy", "relaxation", "broker", "first-price", "second-price", "dutch")


@st.composite
def overcommitted(draw: st.DrawFn, *, tail: bool = False) -> Document:
    """A round as people write it, whose commitments may take more than there is of anything."""
    whole = st.integers(0, 12)
    operators = [
        {"id": v, **draw(st.sampled_from([{}, {"stake": 0}, {"stake": 5}, {"stake": 20}]))}
        for v in ("op-0", "op-1")
    ]
    coprocessors = [
        {
            "id": f"cp-{c}",
            **draw(st.sampled_from([{}, {"capacity": {"gpu": 2}}, {"capacity": {"gpu": 8}}])),
            **draw(st.sampled_from([{}, {"free_collateral": draw(st.integers(-9, 12))}])),
        }
        for c in range(2)
    ]
    tasks = [
        {
            "id": f"t-{a}",
            "operator": draw(st.sampled_from(["op-0", "op-1"])),
            "reward": draw(whole),
            "slashing": draw(st.integers(0, 8)),
            "work": {"gpu": draw(st.integers(0, 3))},
            "unassigned_cost": draw(st.sampled_from([0, 0, 2])),
        }
        for a in range(draw(st.integers(1, 4)))
    ]
    offers = [
        {
            "id": f"{task['id']}/{c['id']}",
            "task": task["id"],
            "coprocessor": c["id"],
            "bid": draw(st.integers(0, 4)),
            "collateral": draw(st.integers(0, 5)),
            "success_probability": draw(CENTS),
        }
        for task in tasks
        for c in coprocessors
    ]
    risk: list[Document] = []
    if tail:
        of = draw(st.sampled_from(["network", "operator", {"operator": "op-0"}, "coprocessor"]))
        risk = [
            draw(
                st.sampled_from(
                    [
                        {"measure": "cvar", "level": 0.9, "budget": draw(whole), "of": of},
                        {"measure": "worst_case", "budget": draw(whole), "of": of},
                        {"measure": "chance", "budget": draw(whole), "probability": 0.05, "of": of},
                        {"measure": "ambiguous", "radius": 0.2, "budget": draw(whole), "of": of},
                    ]
                )
            )
        ]
    elif draw(st.booleans()):
        risk = [{"measure": "expected", "budget": draw(st.integers(0, 4)), "of": "network"}]
        more = draw(st.sampled_from(["network", "operator", "coprocessor"]))
        risk += [{"measure": "expected", "budget": draw(st.integers(1, 8)), "of": more}]
    count = draw(st.integers(1, 3))
    held = [commitment(draw, k, tasks) for k in range(count)]
    if not tail and draw(st.booleans()):  # several of one task are slashed once
        executor = draw(st.sampled_from(["cp-0", "cp-1"]))  # the same one, too
        held.append(held[0] | {"id": "again", "executor": executor, "success_probability": draw(CENTS)})
        for each in tasks:
            if each["id"] == held[0]["task"]:
                each |= {"replicas": 2, "quorum": draw(st.sampled_from([1, 2]))}
    return {
        "format": "bondwork.round/1",
        "operators": operators,
        "coprocessors": coprocessors,
        "tasks": tasks,
        "offers": offers,
        "risk": risk,
        "commitments": held,
        "uncertainty": {"scenarios": draw(st.sampled_from([20, 32])), "seed": draw(st.integers(0, 99))},
    }


def commitment(draw: st.DrawFn, number: int, tasks: list[Document]) -> Document:
    """One more commitment, with the task that it is about put among the tasks."""
    held = {
        "id": f"h-{number}",
        "operator": draw(st.sampled_from(["op-0", "op-1"])),
        "reward": 5,
        "slashing": draw(st.integers(0, 20)),
    }
    tasks.append(held)
    return {
        "id": f"k-{number}",
        "task": held["id"],
        "operator": held["operator"],
        "executor": draw(st.sampled_from(["cp-0", "cp-1"])),
        "success_probability": draw(CENTS),
        "work": {"gpu": draw(st.integers(0, 4))},
    }


def solved(document: Document, strategy: str, **options: Any) -> bondwork.Plan:
    return bondwork.solve(bondwork.load(document), strategy=strategy, mip_rel_gap=0.0, threads=1, **options)


def agrees(plan: bondwork.Plan, best: float, strategy: str) -> None:
    """A plan there is, with the best value where that is proven, and none above it."""
    assert plan.solution != "none", strategy
    assert plan.verified, (strategy, plan.violations)
    assert plan.objective is not None
    assert plan.bound is not None
    assert plan.objective <= best + 1e-7
    assert plan.bound >= best - 1e-7, strategy
    if plan.status == "optimal":
        assert plan.objective == pytest.approx(best, abs=1e-7), strategy


@settings(deadline=None, max_examples=40)
@given(overcommitted(), st.sampled_from(["highs", "cvxpy", "pyomo"]))
def test_every_strategy_plans_beside_what_is_committed(document: Document, formulation: str):
    oracle = Oracle(document)
    best = oracle.best()
    assert best is not None  # no task is required
    for strategy in (*EXACT, *QUICK):
        plan = solved(document, strategy, formulation=formulation if strategy == "extensive" else "highs")
        if strategy not in ("first-price", "second-price", "dutch"):
            agrees(plan, float(best.objective), strategy)
        assert plan.solution != "none"
        assert plan.verified
        exceeded = {label for label, limit in oracle.limits.items() if limit.used > limit.bound}
        assert {each.limit for each in plan.overcommitted} == exceeded
        for each in plan.overcommitted:
            assert each.committed == pytest.approx(float(oracle.limits[each.limit].used), abs=1e-12)
        for risk in plan.risk:
            assert risk.holds == (risk.in_sample <= risk.budget * (1 + 1e-6))


@settings(deadline=None, max_examples=30)
@given(overcommitted(tail=True), st.sampled_from(["rows", "cuts"]))
def test_a_tail_that_commitments_exceed_grows_no_worse(document: Document, form: str):
    for each in document["operators"]:
        each.pop("stake", None)
    for each in document["coprocessors"]:
        each.pop("capacity", None)
    brute = Brute(document)
    best = brute.best()
    assert best is not None
    (limit,) = document["risk"]
    alone = {member: brute.value(limit, member, ()) for member in brute.members(limit)}
    ceiling = limit.get("probability", limit["budget"])
    exceeded = {f"{limit['measure']} of {name}" for name, k in alone.items() if k > ceiling * (1 + 1e-9)}
    convex = limit["measure"] != "chance"
    for strategy in ("extensive", "lagrangian", "greedy") if convex else ("extensive", "greedy"):
        plan = solved(document, strategy, risk_form=form)
        agrees(plan, best[0], strategy)
        told = {each.limit for each in plan.overcommitted if not each.limit.startswith("collateral")}
        assert told == exceeded
        for each in plan.overcommitted:
            if each.limit in exceeded:
                assert each.committed == pytest.approx(alone[each.limit.split(" of ")[1]], rel=1e-9)


@settings(deadline=None, max_examples=25)
@given(st.data(), overcommitted())
def test_one_more_commitment_never_makes_a_round_infeasible(data: st.DataObject, document: Document):
    more = copy.deepcopy(document)
    more["commitments"].append(commitment(data.draw, 9, more["tasks"]))
    before, after = solved(document, "extensive"), solved(more, "extensive")
    assert after.status == before.status == "optimal"
    assert before.objective is not None
    assert after.objective is not None
    assert after.objective <= before.objective + 1e-9


def hand_made() -> Document:
    return {
        "format": "bondwork.round/1",
        "operators": [{"id": "op", "stake": 3}, {"id": "other"}],
        "coprocessors": [{"id": "cp", "free_collateral": "-2.5"}],
        "tasks": [
            {"id": "held", "operator": "op", "slashing": 4},
            {"id": "mine", "operator": "op", "reward": 9, "slashing": 1},
            {"id": "free", "operator": "other", "reward": 2, "slashing": 1},
        ],
        "offers": [
            {"task": "mine", "coprocessor": "cp", "success_probability": 1},
            {"task": "free", "coprocessor": "cp", "success_probability": 1},
            {"id": "posts", "task": "free", "coprocessor": "cp", "collateral": 1, "success_probability": 1},
        ],
        "commitments": [
            {"id": "k", "task": "held", "operator": "op", "executor": "cp", "success_probability": 1}
        ],
    }


def test_a_deficit_and_a_stake_below_what_is_exposed():
    plan = bondwork.solve(bondwork.load(hand_made()))
    assert [each.offer for each in plan.assignments] == ["free/cp"]
    assert [(each.limit, each.budget, each.committed) for each in plan.overcommitted] == [
        ("collateral of cp", -2.5, 0.0),
        ("stake of op", 3.0, 4.0),
    ]
    assert not {each.limit for each in plan.prices} & {each.limit for each in plan.overcommitted}
    (left,) = plan.unassigned
    assert (left.task, left.reason, left.limits) == ("mine", "no_room", ["stake of op"])


@pytest.mark.parametrize(
    "claim",
    [
        [],
        [{"limit": "stake of op", "budget": 3, "committed": 4}],
        [
            {"limit": "collateral of cp", "budget": -2.5, "committed": 0},
            {"limit": "stake of op", "budget": 3, "committed": 5},
        ],
        [
            {"limit": "collateral of cp", "budget": -2.5, "committed": 0},
            {"limit": "stake of op", "budget": 3, "committed": 4},
            {"limit": "stake of other", "budget": 3, "committed": 4},
        ],
    ],
)
def test_what_is_missing_or_made_up_is_found(claim: list[Document]):
    instance = bondwork.load(hand_made())
    plan = json.loads(bondwork.solve(instance).to_json())
    plan["overcommitted"] = claim
    found = bondwork.verify(instance, plan)
    assert not found
    assert all(each.what.startswith("overcommitted: ") for each in found.violations)


def test_only_required_tasks_make_it_infeasible_and_the_conflict_names_them():
    document = hand_made()
    document["tasks"][1]["required"] = True
    plan = bondwork.solve(bondwork.load(document))
    assert plan.status == "infeasible"
    assert plan.conflict is not None
    assert set(plan.conflict.limits) == {"task mine required", "stake of op"}
    assert "stake of op" in [each.limit for each in plan.overcommitted]
    assert bondwork.verify(bondwork.load(document), plan)


def test_a_calibrated_limit_is_not_tightened_against_commitments():
    document = hand_made() | {
        "risk": [{"measure": "cvar", "level": 0.9, "budget": 1, "calibrate": True}],
        "uncertainty": {"scenarios": 50},
    }
    document["commitments"][0]["success_probability"] = 0.5
    plan = bondwork.solve(bondwork.load(document))
    (risk,) = plan.risk
    assert (risk.holds, risk.calibrated, risk.in_sample) == (False, None, 4.0)
    assert [each.offer for each in plan.assignments] == ["free/cp"]


def test_what_one_operator_is_committed_to_moves_no_budget_of_another():
    instance = bondwork.load(
        {
            "format": "bondwork.round/1",
            "operators": [{"id": "a"}, {"id": "b"}],
            "coprocessors": [{"id": "cp"}],
            "tasks": [
                {"id": "old", "operator": "a", "reward": 8000, "slashing": 32000},
                {"id": "new", "operator": "b", "reward": 10000, "slashing": 20000},
            ],
            "offers": [{"task": "new", "coprocessor": "cp", "success_probability": 0.99}],
            "commitments": [
                {"id": "k", "task": "old", "operator": "a", "executor": "cp", "success_probability": 0.8}
            ],
            "risk": [{"measure": "worst_case", "of": "operator", "budget": 2000, "calibrate": True}],
            "uncertainty": {"scenarios": 64, "seed": 2},
        }
    )
    plan = bondwork.solve(instance, mip_rel_gap=0)
    assert plan.assignments == []
    assert not [note for note in plan.provenance.notes if "recounted" in note]
    assert [each.calibrated for each in plan.risk if each.calibrated is not None] in ([], [0.0, 0.0])
    assert bondwork.verify(instance, plan)


def test_a_first_deposit_is_no_debt():
    with pytest.raises(bondwork.InvalidInput, match=r"coprocessors\[0\].free_collateral"):
        bondwork.Planner().plan(hand_made(), "r")


@pytest.mark.parametrize("limit", ["expected", "cvar", "worst_case", "chance"])
@pytest.mark.parametrize("formulation", ["highs", "cvxpy", "pyomo"])
def test_a_second_stage_beside_losses_that_commitments_exceed(limit: str, formulation: str):
    more = {"level": 0.9} if limit == "cvar" else {"probability": 0.1} if limit == "chance" else {}
    document = hand_made() | {"risk": [{"measure": limit, "budget": 1, **more}]}
    document["commitments"][0]["success_probability"] = 0.5
    document["coprocessors"].append({"id": "b"})
    document["offers"].append({"task": "free", "coprocessor": "b", "success_probability": 0.8, "stage": 2})
    instance = bondwork.load(document)
    plan = bondwork.solve(instance, formulation=formulation, mip_rel_gap=0.0)
    assert plan.status == "optimal"
    assert "free/cp" in [each.offer for each in plan.assignments]
    committed = {"expected": 2.0, "cvar": 4.0, "worst_case": 4.0, "chance": 0.5}[limit]
    word = {"expected": "expected loss"}.get(limit, limit)
    (found,) = [each for each in plan.overcommitted if each.limit == f"{word} of network"]
    assert found.committed == pytest.approx(committed)
    assert [each.holds for each in plan.risk] == [False]
    assert bondwork.verify(instance, plan)


@st.composite
def rescued_rounds(draw: st.DrawFn) -> Document:
    """Two tasks that can be given away again, beside one commitment that may exceed anything."""
    names = ["t0", "t1"][: draw(st.integers(1, 2))]
    tasks = [
        {
            "id": name,
            "claims": [
                {"operator": "v0", "reward": draw(st.integers(1, 9)), "slashing": draw(st.integers(0, 6))}
            ],
            "required": False,
            "unassigned_cost": draw(st.sampled_from([0, 1])),
            "minimum_collateral": 0,
        }
        for name in names
    ]
    offers = [
        {
            "id": f"{name}-{coprocessor}-{stage}",
            "stage": stage,
            "task": name,
            "coprocessor": coprocessor,
            "operator": "v0",
            "bid": draw(st.integers(0, 2)),
            "collateral": draw(st.integers(0, 2)),
            "success_probability": draw(st.sampled_from([0.5, 0.75, 0.9])),
            "work": {"cpu": draw(st.integers(0, 2))},
        }
        for name in names
        for coprocessor, stage in (("c0", 1), ("c1", 2))
    ]
    owner = draw(st.sampled_from(["v0", "v1"]))
    tasks.append(
        {
            "id": "held",
            "claims": [{"operator": owner, "reward": 1, "slashing": draw(st.integers(0, 12))}],
            "required": False,
            "unassigned_cost": 0,
            "minimum_collateral": 0,
        }
    )
    of = draw(st.sampled_from(["network", {"operator": "v0"}]))
    budget = draw(st.integers(0, 6))
    limit = draw(
        st.sampled_from(
            [
                {"measure": "expected", "budget": budget / 2},
                {"measure": "cvar", "budget": budget, "level": 0.75},
                {"measure": "worst_case", "budget": budget},
                {"measure": "chance", "budget": budget, "probability": 0.25},
            ]
        )
    )
    return {
        "format": "bondwork.round/1",
        "operators": [{"id": "v0", **draw(st.sampled_from([{}, {"stake": 3}, {"stake": 20}]))}, {"id": "v1"}],
        "coprocessors": [
            {
                "id": c,
                "capacity": {"cpu": draw(st.integers(0, 4))},
                "free_collateral": draw(st.integers(-1, 5)),
                "serial": False,
            }
            for c in ("c0", "c1")
        ],
        "tasks": tasks,
        "offers": offers,
        "terms": {},
        "risk": draw(st.sampled_from([[], [limit | {"of": of}]])),
        "commitments": [
            {
                "id": "k",
                "task": "held",
                "operator": owner,
                "executor": draw(st.sampled_from(["c0", "c1"])),
                "success_probability": draw(st.sampled_from([0.5, 0.9])),
                "work": {"cpu": draw(st.integers(0, 5))},
            }
        ],
    }


@settings(deadline=None, max_examples=60)
@given(rescued_rounds())
def test_two_stages_beside_what_is_committed(document: Document):
    instance = bondwork.load(document)
    plan = bondwork.solve(instance, mip_rel_gap=0.0, threads=1)
    oracle = CommittedOracle({**document, "tasks": document["tasks"]})
    oracle.tasks = {name: task for name, task in oracle.tasks.items() if name != "held"}
    best = oracle.best()
    assert best is not None  # no task is required
    assert plan.status == "optimal", plan.conflict
    assert plan.verified
    assert not [note for note in plan.provenance.notes if "overcommitted" in note]
    assert plan.objective == pytest.approx(best, abs=1e-6)
    told = {each.limit: each.committed for each in plan.overcommitted}
    for limit in document["risk"]:
        whose = "network" if limit["of"] == "network" else limit["of"]["operator"]
        word = "expected loss" if limit["measure"] == "expected" else limit["measure"]
        most, stated = oracle.ceiling(limit), limit.get("probability", limit["budget"])
        assert told.get(f"{word} of {whose}", stated) == pytest.approx(most, abs=1e-9)
    assert bondwork.verify(instance, plan)


def test_tables_and_reports_show_what_commitments_exceed(capsys: pytest.CaptureFixture[str]):
    pytest.importorskip("matplotlib")
    from bondwork.report.plan_report import report_plan
    from bondwork.tables import print_plan

    instance = bondwork.load(hand_made())
    plan = bondwork.solve(instance)
    print_plan(instance, plan, None)
    told = capsys.readouterr().out
    assert "limits that commitments alone exceed" in told
    assert "stake of op" in told
    page = report_plan(instance, plan)
    assert "What commitments exceed" in page
    assert "stake of op" in page


@pytest.mark.parametrize(
    ("measure", "more", "least"),
    [
        ("cvar", {"level": 0.9, "budget": 12}, 12.0),
        ("worst_case", {"budget": 12}, 12.0),
        ("chance", {"budget": 8, "probability": 0.5}, 0.0),
        ("expected", {"budget": 7}, 7.0),  # 8 * (1 - 0.5 * 0.5) + 4 * 0.25
    ],
)
def test_a_coprocessor_held_to_a_task_twice_loses_its_slashing_once(measure, more, least):
    """Two commitments of one executor for a task that 8 is lost on, and an offer that 4 is lost on."""
    task = {"operator": "op", "reward": 10}
    held = {"task": "t", "operator": "op", "executor": "a", "success_probability": 0.5, "collateral": 0}
    document = {
        "format": "bondwork.round/1",
        "operators": [{"id": "op"}],
        "coprocessors": [{"id": "a"}],
        "tasks": [
            task | {"id": "t", "slashing": 8, "replicas": 2, "quorum": 2},
            task | {"id": "u", "slashing": 4},
        ],
        "commitments": [held | {"id": "k1"}, held | {"id": "k2"}],
        "offers": [{"task": "u", "coprocessor": "a", "bid": 1, "success_probability": 0.75}],
        "risk": [{"measure": measure, "of": "coprocessor"} | more],
        "uncertainty": {"scenarios": 64, "seed": 1},
    }
    instance = bondwork.load(document)
    plan = bondwork.solve(instance, strategy="extensive")
    assert bondwork.verify(instance, plan) and not plan.provenance.notes and not plan.overcommitted
    assert plan.objective == 5.5 and least <= plan.risk[0].in_sample <= 12.0


@pytest.mark.parametrize(
    ("quorum", "uncertainty", "outage", "lost"),
    [
        # all must succeed: a is lost on unless both of its own do, whatever b does
        (3, {}, 0.0, {"a": 10 * (1 - 0.5 * 0.8), "b": 10 * 0.25}),
        # two must: b failing and one of a, or both of a
        (
            2,
            {},
            0.0,
            {"a": 10 * (0.5 * 0.2 + 0.25 * (0.5 * 0.8 + 0.5 * 0.2)), "b": 10 * 0.25 * (1 - 0.5 * 0.8)},
        ),
        (1, {}, 0.0, {"a": 10 * 0.5 * 0.2 * 0.25, "b": 10 * 0.5 * 0.2 * 0.25}),
        # one normal number decides everything: failures are nested, 0.5 before 0.25 before 0.2
        (3, {"dependence": {"common": 1.0}}, 0.0, {"a": 5.0, "b": 2.5}),
        (1, {"dependence": {"common": 1.0}}, 0.0, {"a": 2.0, "b": 2.0}),
        # one of the executor's own
        (3, {"dependence": {"coprocessor": 1.0}}, 0.0, {"a": 5.0, "b": 2.5}),
        # out with 0.2, and else 0.625 and 1
        (3, {}, 0.2, {"a": 10 * (1 - 0.8 * 0.625), "b": 10 * 0.25}),
    ],
)
def test_what_a_coprocessor_is_expected_to_lose_by_several_commitments(quorum, uncertainty, outage, lost):
    task = {"operator": "op", "reward": 10}
    held = {"task": "t", "operator": "op", "collateral": 0}
    document = {
        "format": "bondwork.round/1",
        "operators": [{"id": "op"}],
        "coprocessors": [{"id": "a", "outage_probability": outage}, {"id": "b"}],
        "tasks": [
            task | {"id": "t", "slashing": 10, "replicas": 3, "quorum": quorum},
            task | {"id": "u", "slashing": 4},
        ],
        "commitments": [
            held | {"id": f"k{n}", "executor": who, "success_probability": p}
            for n, (who, p) in enumerate([("a", 0.5), ("b", 0.75), ("a", 0.8)])
        ],
        "offers": [{"task": "u", "coprocessor": c, "bid": 1, "success_probability": 0.75} for c in "ab"],
        "uncertainty": uncertainty,
    }
    # 1 more is lost by who does the other task: there is room for it with one of them only
    for name, other in (("a", "b"), ("b", "a")):
        budgets = {name: lost[name] + 1.0 + 1e-8, other: lost[other] + 0.99}
        limits = [{"measure": "expected", "budget": b, "of": {"coprocessor": c}} for c, b in budgets.items()]
        instance = bondwork.load(document | {"risk": limits})
        for strategy in ("extensive", "greedy"):
            plan = bondwork.solve(instance, strategy=strategy)
            assert bondwork.verify(instance, plan)
            assert not plan.provenance.notes and not plan.overcommitted
            assert [each.executor for each in plan.assignments] == [name]
            mine, theirs = (each.in_sample for each in plan.risk)
            assert mine == pytest.approx(lost[name] + 1.0, abs=1e-9)
            assert theirs == pytest.approx(lost[other], abs=1e-9)
    limits = [{"measure": "expected", "budget": lost["a"] - 0.01, "of": {"coprocessor": "a"}}]
    instance = bondwork.load(document | {"risk": limits})
    plan = bondwork.solve(instance)
    assert bondwork.verify(instance, plan)
    assert [each.committed for each in plan.overcommitted] == [pytest.approx(lost["a"], abs=1e-9)]
    assert [each.executor for each in plan.assignments] == ["b"]


@examples(0.3)
@given(document=people_rounds("sums"), data=st.data())
def test_rounds_as_people_write_them_whose_coprocessors_hold_a_task_twice(document, data):
    """Planner, verifier and trying every outcome agree on what they lose by it."""
    ids = [each["id"] for each in document["coprocessors"]]
    who = data.draw(st.sampled_from(ids))
    # of the size of the others
    amounts = [each["slashing"] for each in document["tasks"] if float(each.get("slashing", 0)) > 0.0]
    task = {"id": "twice", "operator": document["operators"][0]["id"], "reward": 0}
    task["slashing"] = slashing = data.draw(st.sampled_from(amounts or [10]))
    quorum = data.draw(st.integers(1, 3))
    held = {"task": "twice", "operator": task["operator"]}
    document["tasks"].append(task | {"replicas": 3, "quorum": quorum})
    document["commitments"] += [
        held | {"id": f"again-{n}", "executor": each, "success_probability": data.draw(CENTS)}
        for n, each in enumerate([who, data.draw(st.sampled_from(ids)), who])
    ]
    for each in document["coprocessors"]:
        each.pop("load_curve", None)
        each.pop("outage_probability", None)
    budget = data.draw(st.sampled_from([0, slashing]))
    document["risk"] = [{"measure": "expected", "budget": budget, "of": "coprocessor"}]
    instance = bondwork.load(document)
    plan = bondwork.solve(instance, strategy="extensive", mip_rel_gap=0.0)
    assert bondwork.verify(instance, json.loads(plan.to_json()))
    assert not [each for each in plan.provenance.notes if "verify" in each or "recounted" in each]
    oracle = Oracle(decimals_as_text(document))
    most = {f"expected loss of {name}": oracle.limits[f"expected loss of {name}"].used for name in ids}
    told = {each.limit: each.committed for each in plan.overcommitted if each.limit in most}
    over = {label: float(used) for label, used in most.items() if used > Fraction(str(budget))}
    assert told == pytest.approx(over, rel=1e-9)
    for each in plan.risk:
        if each.of not in {assigned.executor for assigned in plan.assignments}:
            assert each.in_sample == pytest.approx(float(most[f"expected loss of {each.of}"]), rel=1e-9)
