"""``bondwork solve``: what it prints, and its exit codes."""

from __future__ import annotations

import json
import sys

import jsonschema
import pytest

import bondwork
from bondwork import cli
from bondwork.schemas import json_schema
from cli.rounds import (
    ROUNDS,
    THREE_TASKS,
    conflicting_round,
    packing_round,
    without_timing,
    written,
)
from commands import bond, bond_in_a_process


def test_solve_prints_a_plan_for_people():
    done = bond("solve", THREE_TASKS)
    assert done.returncode == 0
    assert done.stderr == ""
    assert "optimal" in done.stdout
    assert "t-1" in done.stdout
    assert "ETH" in done.stdout
    with pytest.raises(json.JSONDecodeError):
        json.loads(done.stdout)


def test_json_is_one_document_and_nothing_else():
    done = bond_in_a_process("solve", THREE_TASKS, "--json", "--mip-rel-gap", 0)
    assert done.returncode == 0
    assert done.stderr == ""
    plan = json.loads(done.stdout)
    jsonschema.validate(plan, json_schema("plan"))
    assert plan["format"] == "bondwork.plan/1"
    assert plan["verified"] is True
    assert plan["objective"] == pytest.approx(bondwork.solve(bondwork.load(THREE_TASKS)).objective)


def test_standard_input():
    done = bond("solve", "-", "--json", data=THREE_TASKS.read_bytes())
    assert done.returncode == 0
    assert json.loads(done.stdout)["solution"] == "optimal"


def test_the_file_and_standard_output_hold_the_same(tmp_path):
    path = tmp_path / "plan.json"
    done = bond("solve", THREE_TASKS, "--json", "-o", path)
    assert path.read_text() == done.stdout
    shown = bond("solve", THREE_TASKS, "--output", path)
    assert f"written to {path}" in shown.stdout.replace("\n", "")
    assert without_timing(path.read_text()) == without_timing(done.stdout)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("strategy", ["extensive", "greedy", "relaxation"])
def test_the_same_plan_byte_for_byte_except_timing(strategy):
    one, two = (bond("solve", ROUNDS / "prover-market.json", "--json", "--strategy", strategy) for _ in "12")
    assert one.returncode == two.returncode
    assert without_timing(one.stdout) == without_timing(two.stdout)


@pytest.mark.parametrize("formulation", ["highs", "pyomo", "cvxpy"])
def test_every_option_of_solve(formulation):
    done = bond(
        "solve", THREE_TASKS, "--strategy", "extensive", "--formulation", formulation, "--time-limit", 60,
        "--mip-rel-gap", 0, "--threads", 1, "--seed", 7, "--highs", "presolve=off", "--json",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    plan = json.loads(done.stdout)
    assert plan["formulation"] == formulation
    assert plan["provenance"]["seed"] == 7
    assert plan["provenance"]["options"]["presolve"] == "off"
    assert plan["provenance"]["options"]["threads"] == 1


def test_infeasible_is_3_and_says_what_clashes(tmp_path):
    path, out = written(tmp_path / "round.json", conflicting_round()), tmp_path / "plan.json"
    done = bond("solve", path, "-o", out, "--json")
    assert done.returncode == 3
    plan = json.loads(done.stdout)
    assert (plan["status"], plan["solution"]) == ("infeasible", "none")
    limits = plan["conflict"]["limits"]
    assert len(limits) == 3
    for name in ("task t-1", "task t-2", "capacity compute of cp"):
        assert any(name in limit for limit in limits)
    assert out.read_text() == done.stdout
    shown = bond("solve", path)
    assert shown.returncode == 3
    assert "capacity compute of cp" in shown.stdout
    assert bond("verify", path, out).returncode == 0


def test_a_limit_reached_without_a_solution_is_4(tmp_path):
    path, out = written(tmp_path / "round.json", packing_round()), tmp_path / "plan.json"
    done = bond("solve", path, "--strategy", "extensive", "--time-limit", 0, "--json", "-o", out)
    assert done.returncode == 4
    plan = json.loads(done.stdout)
    assert (plan["status"], plan["solution"]) == ("time_limit", "none")
    assert out.read_text() == done.stdout


def test_greedy_without_a_way_out_is_4_and_hands_out_its_violations_when_asked(tmp_path):
    path, out = written(tmp_path / "round.json", packing_round()), tmp_path / "plan.json"
    done = bond("solve", path, "--strategy", "greedy", "--json")
    assert done.returncode == 4
    plan = json.loads(done.stdout)
    assert (plan["status"], plan["solution"]) == ("locally_infeasible", "none")
    allowed = bond("solve", path, "--strategy", "greedy", "--allow-violations", "--json", "-o", out)
    plan = json.loads(allowed.stdout)
    assert plan["verified"] is False
    assert plan["violations"]
    assert plan["assignments"]
    assert bond("verify", path, out).returncode == 2


def test_a_round_of_nothing(tmp_path):
    path = written(tmp_path / "round.json", {"format": "bondwork.round/1", "tasks": []})
    for arguments in (("solve",), ("solve", "--json"), ("check",), ("compare",)):
        done = bond(arguments[0], path, *arguments[1:])
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["solve", "nowhere.json"], "nowhere.json: No such file or directory"),
        (["solve", "."], ".: Is a directory"),
        (["check", "nowhere.json"], "nowhere.json: No such file"),
        (["verify", str(THREE_TASKS), "nowhere.json"], "nowhere.json: No such file"),
        (["verify", "-", "-"], "only one of the two"),
        (["compare", str(THREE_TASKS), "nowhere.json"], "nowhere.json: No such file"),
        (["import", "gap", "nowhere.txt", "--sense", "max"], "nowhere.txt: No such file"),
        (["import", "gap", "-", "--sense", "least"], "expected max or min"),
        (["import", "gap", "-"], "--sense"),
        (["import", "nonsense"], "nonsense"),
        (["solve", str(THREE_TASKS), "--strategy", "nonsense"], "expected one of auto"),
        (["solve", str(THREE_TASKS), "--formulation", "nonsense"], "expected one of cvxpy"),
        (["solve", str(THREE_TASKS), "--highs", "nonsense=1"], "nonsense"),
        (["solve", str(THREE_TASKS), "--highs", "presolve"], "expected NAME=VALUE"),
        (["solve", str(THREE_TASKS), "--highs", "presolve=maybe"], "maybe"),
        (["solve", str(THREE_TASKS), "--time-limit", "-1"], "time-limit"),
        (["solve", str(THREE_TASKS), "--time-limit", "soon"], "time-limit"),
        (["solve", str(THREE_TASKS), "--time-limit", "nan"], "time-limit"),
        (["solve", str(THREE_TASKS), "--mip-rel-gap", "-0.1"], "mip-rel-gap"),
        (["solve", str(THREE_TASKS), "--threads", "-1"], "threads"),
        (["solve", str(THREE_TASKS), "--threads", "1.5"], "threads"),
        (["solve", str(THREE_TASKS), "--seed", "-1"], "seed"),
        (["solve", str(THREE_TASKS), "--nonsense"], "nonsense"),
        (["solve"], "ROUND.json"),
        (["solve", str(THREE_TASKS), str(THREE_TASKS)], "unexpected extra argument"),
        (["nonsense"], "nonsense"),
        (["schema", "nonsense"], "one of round, plan"),
        (["generate", "--tasks", "0"], "tasks"),
        (["generate", "--offers", "11", "--coprocessors", "10"], "offers"),
        (["generate", "--tightness", "nan"], "tightness"),
        (["generate", "--risk-level", "2", "--risk-budget", "1"], "risk_level"),
    ],
)
def test_usage_and_files_that_are_wrong_are_2(tmp_path, monkeypatch, capsys, arguments, told):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["bondwork", *arguments])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    out, err = capsys.readouterr()
    assert caught.value.code == 2
    assert out == ""
    # typer says it of the option, or we of the parameter
    assert told.lower().replace("_", "-") in err.lower().replace("_", "-")
    assert "Traceback" not in err
    assert list(tmp_path.iterdir()) == []


def test_without_a_command_there_is_help():
    done = bond()
    assert done.returncode == 2
    assert "Usage: " in done.stdout + done.stderr
