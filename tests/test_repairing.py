"""A plan that does not verify is put right, repaired and solved again; at worst nothing new is chosen."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import bondwork
from bondwork import cli, horizon_solving
from bondwork.observing import Silence
from bondwork.plan import building, horizon_building, two_stage_building
from bondwork.planner.stream import answer
from bondwork.replay.replaying import replay
from bondwork.service.work import perform
from bondwork.strategies.extensive import Extensive
from bondwork.strategies.greedy import Greedy

if TYPE_CHECKING:
    from pathlib import Path

    from bondwork.contracts import Observer, Options, Solution
    from bondwork.program.program import Program


def market(**more: Any) -> bondwork.Instance:
    tasks = [{"id": f"t{k}", "operator": "op", "reward": 10 - k, "slashing": 4} for k in range(4)]
    offers = [
        {"task": task["id"], "coprocessor": c, "bid": 1, "collateral": 5, "success_probability": 0.9}
        for task in tasks
        for c in ("a", "b")
    ]
    document: dict[str, Any] = {
        "format": "bondwork.round/1",
        "operators": [{"id": "op", "stake": 12}],
        "coprocessors": [{"id": "a", "free_collateral": 10}, {"id": "b", "free_collateral": 5}],
        "tasks": tasks,
        "offers": offers,
        "uncertainty": {"scenarios": 16},
    }
    document["offers"] += more.pop("offers", [])
    return bondwork.load(document | more)


@pytest.fixture
def careless(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Break `extensive`: it takes everything that no cut forbids. Returns how often it was asked."""
    asked: list[int] = []

    def solve(_self: Extensive, program: Program, _options: Options, _observer: Observer) -> Solution:
        asked.append(len(program.row_upper))
        program = program.without_auxiliaries()
        is_limit = np.arange(len(program.row_upper)) < len(program.limits)
        core = dataclasses.replace(program, row_upper=np.where(is_limit, np.inf, program.row_upper))
        x = np.zeros(program.choices)
        for column in np.argsort(-program.objective[: program.choices], kind="stable").tolist():
            x[column] = 1.0
            if np.any(core.matrix @ x > core.row_upper):
                x[column] = 0.0
        from bondwork.contracts import Solution

        return Solution("optimal", x, float(program.objective[: program.choices] @ x) + 1.0)

    monkeypatch.setattr(Extensive, "solve", solve)
    return asked


def told(plan: bondwork.Plan) -> str:
    return "\n".join(plan.provenance.notes)


def test_what_breaks_a_limit_is_cut_off_or_replaced(careless: list[int]) -> None:
    instance = market()
    plan = bondwork.solve(instance, strategy="extensive")
    assert len(careless) > 1 and careless[1] > careless[0]
    assert plan.verified and bondwork.verify(instance, plan)
    assert len(plan.assignments) > 0
    assert "repaired: the plan of extensive did not verify" in told(plan)


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"risk": [{"measure": "expected", "budget": 0.1}, {"measure": "cvar", "budget": 3, "level": 0.5}]},
        {"objective": {"risk_weight": 0.5}},
        {"tasks": [{"id": f"t{k}", "operator": "op", "reward": 9, "unassigned_cost": 2} for k in range(4)]},
    ],
    ids=["plain", "limits", "mean risk", "costs"],
)
def test_at_last_nothing_new_is_chosen(
    careless: list[int], monkeypatch: pytest.MonkeyPatch, more: dict[str, Any]
) -> None:
    monkeypatch.setattr(Greedy, "solve", Extensive.solve)
    monkeypatch.setattr("bondwork.repairing.MOST_REPAIRS", 0)
    instance = market(**more)
    plan = bondwork.solve(instance, strategy="extensive")
    assert careless and plan.verified and bondwork.verify(instance, plan)
    assert plan.assignments == [] and len(plan.unassigned) == 4
    assert plan.objective == pytest.approx(-sum(instance.tasks.unassigned_cost))
    assert told(plan).endswith("nothing new is chosen")


def test_nothing_new_in_two_stages(monkeypatch: pytest.MonkeyPatch) -> None:
    held = [{"id": "k", "task": "t3", "operator": "op", "executor": "b", "success_probability": 0.5}]
    late = [
        {"id": "late", "task": "t0", "coprocessor": "b", "bid": 1, "success_probability": 0.9, "stage": 2}
    ]
    instance = market(offers=late, commitments=held, risk=[{"measure": "cvar", "budget": 50, "level": 0.5}])
    sound = bondwork.solve(instance)
    assert sound.recourse and not [note for note in sound.provenance.notes if "recounted" in note]
    whole = two_stage_building.list_assignments

    def twice(*given: Any) -> Any:
        listed = whole(*given)
        return listed + listed[:1]

    monkeypatch.setattr(two_stage_building, "list_assignments", twice)
    plan = bondwork.solve(instance)
    assert plan.verified and bondwork.verify(instance, plan)
    assert plan.assignments == [] and plan.recourse
    assert told(plan).endswith("nothing new is chosen")


def test_nothing_new_in_periods(monkeypatch: pytest.MonkeyPatch) -> None:
    later = [
        {
            "id": "p",
            "at": 10,
            "tasks": [{"id": "n", "operator": "op", "reward": 5, "unassigned_cost": 1}],
            "offers": [{"task": "n", "coprocessor": "a", "bid": 1, "success_probability": 1}],
        }
    ]
    instance = market(periods=later)
    assert bondwork.solve(instance).assignments
    whole = horizon_building.list_assignments

    def twice(*given: Any) -> Any:
        listed = whole(*given)
        return listed + listed[:1]

    monkeypatch.setattr(horizon_building, "list_assignments", twice)
    plan = bondwork.solve(instance)
    assert plan.verified and bondwork.verify(instance, plan)
    assert plan.assignments == [] and plan.objective == -1.0


def test_what_breaks_a_limit_beside_periods_is_kept_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    later = [{"id": "p", "at": 10, "tasks": [{"id": "n", "operator": "op", "reward": 5}], "offers": []}]
    later[0]["offers"] = [{"task": "n", "coprocessor": "a", "bid": 1, "success_probability": 1}]
    coprocessors = [{"id": "a", "free_collateral": 5}, {"id": "b", "free_collateral": 0}]
    # without it any two of four tasks fit: many pairs to be forbidden
    instance = market(periods=later, coprocessors=coprocessors, operators=[{"id": "op", "stake": 8}])
    right = bondwork.solve(instance, mip_rel_gap=0.0)
    written = horizon_solving.horizon_program

    def unlimited(tree: Any) -> Any:
        made = written(tree)
        root = made.program.template_of(0)
        values = root.values.copy()
        collateral = [k for k, name in enumerate(root.rows) if name.startswith("collateral")]
        assert collateral
        values[root.spans["row_upper"]][collateral] = np.inf
        templates = (dataclasses.replace(root, values=values), *made.program.templates[1:])
        return dataclasses.replace(made, program=dataclasses.replace(made.program, templates=templates))

    monkeypatch.setattr(horizon_solving, "horizon_program", unlimited)
    monkeypatch.setattr("bondwork.repairing.MOST_REPAIRS", 20)
    plan = bondwork.solve(instance, mip_rel_gap=0.0)
    assert plan.verified and bondwork.verify(instance, plan)
    assert "forbidden, and the round solved again" in told(plan)
    assert plan.objective == pytest.approx(right.objective)
    assert len(plan.assignments) == len(right.assignments) == 1


def test_wrong_numbers_of_the_builder_are_recounted(monkeypatch: pytest.MonkeyPatch) -> None:
    instance = market()
    right = bondwork.solve(instance)
    monkeypatch.setattr(building, "_objective", lambda *_: 3.0)
    plan = bondwork.solve(instance)
    assert plan.verified and bondwork.verify(instance, plan)
    assert plan.objective == pytest.approx(right.objective)
    assert plan.assignments == right.assignments
    assert "core was recounted: objective: found 3" in told(plan)


def test_a_task_that_nobody_can_be_given_leaves_the_plan_with_the_error(careless: list[int]) -> None:
    tasks = [
        {"id": f"t{k}", "operator": "op", "reward": 9, "slashing": 4, "required": True} for k in range(4)
    ]
    with pytest.raises(bondwork.VerificationFailure) as failure:
        bondwork.solve(market(tasks=tasks), strategy="extensive")
    assert careless
    assert failure.value.plan.violations and not failure.value.plan.verified
    assert failure.value.plan.assignments


# what does not verify is handed out beside the error


@pytest.fixture
def unverified(careless: list[int], tmp_path: Path) -> Path:
    """A round whose every plan is broken by the careless strategy, as a file."""
    task = {"operator": "op", "reward": 9, "slashing": 4, "required": True, "work": {"gpu": 1}}
    document = {
        "format": "bondwork.round/1",
        "operators": [{"id": "op"}],
        "coprocessors": [{"id": "a", "capacity": {"gpu": 1}}],
        "tasks": [task | {"id": "t0"}, task | {"id": "t1"}],
        "offers": [
            {"task": f"t{k}", "coprocessor": "a", "bid": 1, "success_probability": 0.9} for k in range(2)
        ],
    }
    path = tmp_path / "round.json"
    path.write_text(json.dumps(document))
    return path


def run(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setattr("sys.argv", ["bondwork", *words])
    with pytest.raises(SystemExit) as end:
        cli.main()
    code = end.value.code
    assert isinstance(code, int)
    return code


def test_the_command_line_writes_it_to_a_file_of_another_name(
    unverified: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = unverified.with_name("plan.json")
    assert run(monkeypatch, "solve", str(unverified), "--strategy", "extensive", "-o", str(out)) == 5
    beside = unverified.with_name("plan.unverified.json")
    assert not out.exists() and beside.exists()
    plan = json.loads(beside.read_text())
    assert plan["verified"] is False and plan["violations"] and plan["assignments"]
    shown = capsys.readouterr()
    assert str(beside) in shown.err and shown.out == ""


@pytest.mark.parametrize("words", [[], ["--json"]])
def test_without_a_file_it_is_printed(
    unverified: Path, words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "solve", str(unverified), "--strategy", "extensive", *words) == 5
    assert json.loads(capsys.readouterr().out)["verified"] is False


def test_stream_and_service_reply_with_it(unverified: Path) -> None:
    document = json.loads(unverified.read_text())
    line = json.dumps({"id": 1, "op": "plan", "round": document}).encode()
    reply = json.loads(answer(bondwork.Planner(strategy="extensive"), line))
    assert not reply["ok"] and "does not verify" in reply["reasons"][0]
    assert reply["plan"]["verified"] is False and reply["plan"]["assignments"]
    told = perform("solve", unverified.read_bytes(), {"strategy": "extensive"}, Silence())
    body = json.loads(told.body)
    assert (told.status, body["error"]) == (500, "unverified")
    assert body["found"]["verified"] is False and body["found"]["assignments"]


def test_a_comparison_tells_what_was_found(unverified: Path) -> None:
    rows = bondwork.compare(unverified, strategies=["extensive", "relaxation"]).rows
    assert [row.strategy for row in rows] == ["extensive", "relaxation"]
    assert rows[0].status == "failed" and not rows[0].verified
    assert rows[0].objective is not None and "does not verify" in (rows[0].refusal or "")


def test_rolling_ends_with_what_was_found(unverified: Path) -> None:
    rolled = bondwork.roll(bondwork.load(unverified), strategy="extensive")
    assert not rolled.complete and rolled.ledger == []
    assert [step.status for step in rolled.steps] == ["other_error"]
    assert rolled.steps[0].assignments


def test_a_backtest_goes_on_without_it(unverified: Path) -> None:
    bad = json.loads(unverified.read_text())
    offer = {"task": "t", "coprocessor": "a", "success_probability": 0.5}
    good = {
        "format": "bondwork.round/1",
        "operators": [{"id": "op"}],
        "coprocessors": [{"id": "a"}],
        "tasks": [{"id": "t", "operator": "op", "reward": 9}],
        "offers": [offer],
    }
    log = b"".join(
        json.dumps({"format": "bondwork.log/1", "id": name, "round": made}).encode() + b"\n"
        for name, made in (("one", bad), ("two", good))
    )
    played = replay(log, policies=["extensive"], seed=1)
    assert [(each.unusable, each.tasks) for each in played.policies] == [(1, 1)]
