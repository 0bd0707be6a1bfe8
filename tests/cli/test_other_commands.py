"""Every other command, once as people use it."""

from __future__ import annotations

import copy
import json
import re
import subprocess
import sys

import pytest

import bondwork
from bondwork.schemas import json_schema
from cli.rounds import (
    ROUNDS,
    THREE_TASKS,
)
from commands import bond


def test_check_says_what_a_round_holds():
    done = bond("check", THREE_TASKS)
    assert done.returncode == 0
    assert "three tasks" in done.stdout
    assert "offers below minimum collateral: 1" in done.stdout
    answer = json.loads(bond("check", THREE_TASKS, "--json").stdout)
    assert answer["format"] == "bondwork.check/1"
    assert answer["valid"] is True
    assert answer["faults"] == []
    assert answer["counts"]["tasks"] == 3
    assert answer["counts"]["self_executions"] == 1
    assert answer["sha256"] == bondwork.load(THREE_TASKS).sha256


def test_check_lists_faults_in_json():
    done = bond("check", "-", "--json", data=b'{"format": "bondwork.round/1", "tasks": 1, "now": "x"}')
    assert done.returncode == 2
    answer = json.loads(done.stdout)
    assert answer["valid"] is False
    assert {fault["path"] for fault in answer["faults"]} == {"$.tasks", "$.now"}
    assert len(done.stderr.splitlines()) == 3


def test_verify(tmp_path):
    out = tmp_path / "plan.json"
    bond("solve", THREE_TASKS, "-o", out)
    for arguments, data in (
        ((THREE_TASKS, out), None),
        (("-", out), THREE_TASKS.read_bytes()),
        ((THREE_TASKS, "-"), out.read_bytes()),
    ):
        done = bond("verify", *arguments, data=data)
        assert done.returncode == 0
        assert "verified" in done.stdout
    plan = json.loads(out.read_text())
    tampered = copy.deepcopy(plan)
    tampered["objective"] += 1
    done = bond("verify", THREE_TASKS, "-", data=json.dumps(tampered).encode())
    assert done.returncode == 2
    assert "objective" in done.stdout
    assert "rejected" in done.stdout
    answer = bond("verify", THREE_TASKS, "-", "--json", data=json.dumps(tampered).encode())
    assert answer.returncode == 2
    document = json.loads(answer.stdout)
    assert document["verified"] is False
    assert document["violations"]
    assert json.loads(bond("verify", THREE_TASKS, out, "--json").stdout)["violations"] == []
    # a plan for another round
    assert bond("verify", ROUNDS / "prover-market.json", out).returncode == 2


def test_compare(tmp_path):
    out = tmp_path / "comparison.json"
    done = bond("compare", THREE_TASKS, ROUNDS / "prover-market.json", "--mip-rel-gap", 0, "-o", out)
    assert done.returncode == 0
    for word in ("extensive", "greedy", "relaxation", "optimal", "three tasks"):
        assert word in done.stdout
    document = json.loads(out.read_text())
    assert len(document["rows"]) == 2 * len({row["strategy"] for row in document["rows"]})
    done = bond(
        "compare", THREE_TASKS, "--strategy", "extensive", "--formulation", "highs", "--formulation", "pyomo",
        "--formulation", "cvxpy", "--mip-rel-gap", 0, "--json",
    )  # fmt: skip
    assert done.returncode == 0
    rows = json.loads(done.stdout)["rows"]
    assert [row["formulation"] for row in rows] == ["highs", "pyomo", "cvxpy"]
    assert len({round(row["objective"], 9) for row in rows}) == 1
    assert all(row["verified"] for row in rows)


def test_generate_then_solve(tmp_path):
    path = tmp_path / "round.json"
    arguments = ["--tasks", 30, "--coprocessors", 6, "--offers", 3, "--seed", 5, "--tightness", 0.7]
    printed = bond("generate", *arguments)
    assert bond("generate", *arguments, "-o", path).stdout == ""
    assert path.read_text() == printed.stdout
    assert len(json.loads(printed.stdout)["tasks"]) == 30
    assert bond("solve", path).returncode == 0
    limited = bond("generate", *arguments, "--risk-budget", 12.5, "--risk-level", 0.9)
    assert json.loads(limited.stdout)["risk"][0]["budget"] == 12.5


@pytest.mark.parametrize("name", ["round", "plan"])
def test_schema(tmp_path, name):
    path = tmp_path / "schema.json"
    printed = bond("schema", name)
    assert bond("schema", name, "-o", path).returncode == 0
    assert path.read_text() == printed.stdout
    assert json.loads(printed.stdout) == json_schema(name)


def test_strategies():
    shown = bond("strategies")
    answer = json.loads(bond("strategies", "--json").stdout)
    assert {"auto", "extensive", "greedy", "relaxation"} <= set(answer["strategies"])
    assert {"cvxpy", "highs", "pyomo"} <= set(answer["formulations"])
    for name in (*answer["strategies"], *answer["formulations"]):
        assert name in shown.stdout


GAP = b"2 3\n 5 8 3\n 6 4 3\n 2 3 1\n 1 2 2\n 4 3\n"


@pytest.mark.parametrize(("sense", "best"), [("max", 17.0), ("min", -12.0)])
def test_import_gap(tmp_path, sense, best):
    source, path = tmp_path / "gap.txt", tmp_path / "round.json"
    source.write_bytes(GAP)
    printed = bond("import", "gap", source, "--sense", sense)
    assert printed.returncode == 0
    assert bond("import", "gap", source, "--sense", sense, "-o", path).stdout == ""
    assert path.read_text() == printed.stdout
    piped = bond("import", "gap", "-", "--sense", sense, "--problem", 1, data=GAP)
    assert json.loads(piped.stdout)["offers"] == json.loads(printed.stdout)["offers"]
    plan = json.loads(bond("solve", path, "--mip-rel-gap", 0, "--json").stdout)
    assert plan["objective"] == pytest.approx(best)
    assert bond("import", "gap", source, "--sense", sense, "--problem", 2).returncode == 2


def test_version():
    done = bond("--version")
    assert done.returncode == 0
    assert re.fullmatch(r"bondwork \d+\.\d+\.\d+\S*\n", done.stdout)


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["solve", "--help"], ["import", "--help"]])
def test_help_loads_nothing_heavy(arguments):
    """That it takes little time is measured elsewhere; here is why it does."""
    code = (
        "import sys, bondwork.cli\n"
        f"sys.argv = ['bondwork', *{arguments!r}]\n"
        "try:\n    bondwork.cli.main()\n"
        "except SystemExit as end:\n    assert not end.code, end.code\n"
        "print(*sys.modules, file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stderr.split())
    heavy = (
        "numpy",
        "scipy",
        "cvxpy",
        "pyomo",
        "pandas",
        "highspy",
        "rich.console",
        "rich.markdown",
        "pygments",
    )
    assert not [name for name in heavy if name in loaded]
    assert "Usage" in done.stdout or "bondwork 0" in done.stdout


def test_a_plain_round_is_solved_without_what_only_laws_of_outcomes_need():
    """`scipy.special` alone takes a tenth of a second of every command."""
    code = (
        "import sys, bondwork\n"
        f"instance = bondwork.load({str(THREE_TASKS)!r})\n"
        "assert bondwork.verify(instance, bondwork.solve(instance))\n"
        "assert 'scipy.special' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
