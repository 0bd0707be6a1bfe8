"""``bondwork roll``, and ``bondwork solve`` on rounds with later periods."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from commands import bond

OFFER = {"task": "t", "coprocessor": "cp", "collateral": 2, "success_probability": 0.75}
TASK = {"id": "t", "operator": "op", "reward": 4, "slashing": 1}
ROUND = {
    "format": "bondwork.round/1",
    "name": "two decisions",
    "operators": [{"id": "op"}],
    "coprocessors": [{"id": "cp", "free_collateral": 3}],
    "tasks": [TASK],
    "offers": [OFFER],
    "periods": [{"id": "next", "at": 60, "tasks": [TASK | {"reward": 8}], "offers": [OFFER]}],
}


def run(*arguments: str, given: dict | None = None, code: int = 0) -> str:
    done = bond(*arguments, data="" if given is None else json.dumps(given))
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + (done.stderr if code else "")


def test_roll_prints_steps_and_ledger(tmp_path):
    shown = run("roll", "-", "--seed", "3", "-o", str(tmp_path / "rolled.json"), given=ROUND)
    assert "2 steps" in shown
    assert "this round" in shown
    assert "ledger" in shown
    report = json.loads((tmp_path / "rolled.json").read_text())
    assert (report["format"], report["complete"], len(report["steps"])) == ("bondwork.roll/1", True, 2)
    again = json.loads(run("roll", "-", "--seed", "3", "--json", given=ROUND))
    assert again["ledger"] == report["ledger"]


def test_roll_ends_as_its_last_step_does():
    stuck = ROUND | {"tasks": [TASK | {"required": True}], "offers": []}
    assert "ended before" in run("roll", "-", given=stuck, code=3)


def test_roll_refuses_what_it_cannot_honour():
    risky = ROUND | {"risk": [{"measure": "cvar", "budget": 1, "calibrate": True}]}
    assert "limits that are calibrated" in run("roll", "-", given=risky, code=2)


@pytest.mark.parametrize("formulation", ["highs", "pyomo", "cvxpy"])
def test_solve_and_verify_plan_ahead(tmp_path, formulation):
    (tmp_path / "round.json").write_text(json.dumps(ROUND))
    files = str(tmp_path / "round.json"), str(tmp_path / "plan.json")
    shown = run("solve", files[0], "-o", files[1], "--formulation", formulation)
    assert "later periods" in shown
    plan = json.loads(Path(files[1]).read_text())
    assert plan["objective"] == pytest.approx(0.75 * 4 - 0.25 + 0.75 * (6 - 0.25))
    assert len(plan["provenance"]["tree_sha256"]) == 64
    assert "verified" in run("verify", *files)


def test_the_value_of_planning_ahead():
    worth = json.loads(run("solve", "-", "--value", "--json", given=ROUND))["stochastic"]
    assert worth["ws"] >= worth["rp"] - 1e-9
    assert worth["rp"] == pytest.approx(0.75 * 4 - 0.25 + 0.75 * (6 - 0.25))


def test_schema_of_the_report():
    assert json.loads(run("schema", "roll"))["title"] == "Rolled"
