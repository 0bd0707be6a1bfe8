"""The command line as people and programs use it: every command, stream, file and exit code."""

from __future__ import annotations

import copy
import json
import os
import random
import re
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import jsonschema
import pytest

import bondwork
from bondwork import cli
from bondwork.schemas import json_schema

ROUNDS = Path(__file__).resolve().parents[1] / "data" / "rounds"
THREE_TASKS = ROUNDS / "three-tasks.json"

#: How Python finds the command in every environment that a test makes up.
COMMAND = [sys.executable, "-m", "bondwork"]

ESCAPE = "\x1b"


def bond(
    *arguments: object, data: bytes | None = None, env: dict[str, str] | None = None, cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run the command in a process of its own."""
    done = subprocess.run(
        [*COMMAND, *map(str, arguments)],
        input=data if data is not None else b"",
        capture_output=True,
        env={**os.environ, **(env or {})},
        cwd=cwd,
        timeout=120,
        check=False,
    )
    out, err = done.stdout.decode(), done.stderr.decode()
    assert "Traceback" not in err, err
    return subprocess.CompletedProcess(done.args, done.returncode, out, err)


def small_round(**changes: Any) -> dict[str, Any]:
    """Return a round of two tasks and one coprocessor that has room for one of them."""
    return {
        "format": "bondwork.round/1",
        "currency": "ETH",
        "operators": [{"id": "op"}],
        "coprocessors": [{"id": "cp", "capacity": {"compute": 1}}],
        "tasks": [
            {"id": "t-1", "operator": "op", "reward": 8, "slashing": 4, "work": {"compute": 1}},
            {"id": "t-2", "operator": "op", "reward": 6, "slashing": 4, "work": {"compute": 1}},
        ],
        "offers": [
            {"task": "t-1", "coprocessor": "cp", "bid": 1, "success_probability": 0.75},
            {"task": "t-2", "coprocessor": "cp", "bid": 1, "success_probability": 0.75},
        ],
    } | changes


def conflicting_round() -> dict[str, Any]:
    """Both tasks are required, and there is room for one."""
    document = small_round()
    for task in document["tasks"]:
        task["required"] = True
    return document


def written(path: Path, document: dict[str, Any]) -> Path:
    path.write_text(json.dumps(document))
    return path


def without_timing(text: str) -> str:
    """Take the timing out of a plan's text and leave every other byte."""
    plain, count = re.subn(r'"timing": \{[^}]*\}', '"timing": {}', text)
    assert count == 1
    return plain


# --- solve -----------------------------------------------------------------------------------------------


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
    done = bond("solve", THREE_TASKS, "--json", "--mip-rel-gap", 0)
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


def packing_round() -> dict[str, Any]:
    """Every task is required and they fill every coprocessor to the brim: there is a plan, hard to find."""
    rng = random.Random(0)
    sizes: list[int] = []
    for _ in range(30):
        one, two = rng.randint(200, 450), rng.randint(200, 450)
        sizes += [one, two, 1000 - one - two]
    rng.shuffle(sizes)
    names = [f"cp-{i}" for i in range(30)]
    task = {"operator": "op", "reward": 1, "required": True}
    return small_round(
        coprocessors=[{"id": name, "capacity": {"compute": 1000}} for name in names],
        tasks=[{"id": f"t-{i}", "work": {"compute": size}, **task} for i, size in enumerate(sizes)],
        offers=[
            {"task": f"t-{i}", "coprocessor": name, "success_probability": 1}
            for i in range(len(sizes))
            for name in names
        ],
    )


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


# --- files ----------------------------------------------------------------------------------------------


def test_a_folder_that_is_not_there_is_found_before_the_work(tmp_path):
    started = time.perf_counter()
    path = tmp_path / "nowhere" / "plan.json"
    big = tmp_path / "round.json"
    bond("generate", "--tasks", 1000, "--coprocessors", 100, "--offers", 20, "-o", big)
    done = bond("solve", big, "-o", path, "--mip-rel-gap", 0)
    assert done.returncode == 2
    assert done.stderr == f"bondwork: {path}: No such file or directory\n"
    assert done.stdout == ""
    assert time.perf_counter() - started < 60
    for arguments in (("generate", "-o", path), ("schema", "plan", "-o", path)):
        assert bond(*arguments).stderr == f"bondwork: {path}: No such file or directory\n"
    assert bond("solve", THREE_TASKS, "-o", tmp_path).stderr == f"bondwork: {tmp_path}: Is a directory\n"
    assert list(tmp_path.iterdir()) == [big]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written(tmp_path):
    tmp_path.chmod(0o555)
    done = bond("solve", THREE_TASKS, "-o", tmp_path / "plan.json")
    tmp_path.chmod(0o755)
    assert done.returncode == 2
    assert "Permission denied" in done.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk():
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [*COMMAND, "solve", str(THREE_TASKS), "--json"], stdout=full, stderr=subprocess.PIPE, check=False
        )
    assert done.returncode == 2
    assert b"No space left on device" in done.stderr
    assert b"Traceback" not in done.stderr
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [*COMMAND, "check", str(THREE_TASKS)], stdout=full, stderr=subprocess.PIPE, check=False
        )
    assert done.returncode == 2
    assert done.stderr.splitlines() == [b"bondwork: standard output: No space left on device"]
    assert bond("generate", "-o", "/dev/full").returncode == 2


def test_a_failing_solve_leaves_the_file_as_it_was(tmp_path):
    path = tmp_path / "plan.json"
    path.write_text("precious")
    assert bond("solve", "-", "-o", path, data=b"{}").returncode == 2
    assert path.read_text() == "precious"
    assert list(tmp_path.iterdir()) == [path]


def test_the_mode_of_a_file_is_kept_and_a_new_one_follows_the_umask(tmp_path):
    old, new = tmp_path / "old.json", tmp_path / "new.json"
    old.write_text("x")
    old.chmod(0o640)
    before = os.umask(0o027)
    try:
        for path in (old, new):
            assert bond("solve", THREE_TASKS, "-o", path).returncode == 0
    finally:
        os.umask(before)
    assert stat.S_IMODE(old.stat().st_mode) == 0o640
    assert stat.S_IMODE(new.stat().st_mode) == 0o640
    old.chmod(0o600)
    assert bond("generate", "--tasks", 2, "--coprocessors", 2, "--offers", 1, "-o", old).returncode == 0
    assert stat.S_IMODE(old.stat().st_mode) == 0o600


def test_a_link_stays_a_link(tmp_path):
    target, link = tmp_path / "target" / "plan.json", tmp_path / "link.json"
    target.parent.mkdir()
    target.write_text("old")
    link.symlink_to(target)
    assert bond("solve", THREE_TASKS, "-o", link).returncode == 0
    assert link.is_symlink()
    assert json.loads(target.read_text())["format"] == "bondwork.plan/1"
    fresh = tmp_path / "fresh.json"
    fresh.symlink_to(tmp_path / "not-yet.json")
    assert bond("solve", THREE_TASKS, "-o", fresh).returncode == 0
    assert fresh.is_symlink()
    assert json.loads(fresh.read_text())["verified"] is True


def test_what_is_no_file_is_written_to():
    done = bond("solve", THREE_TASKS, "-o", "/dev/stdout", "--json")
    assert done.returncode == 0
    first, second = json.JSONDecoder(), done.stdout
    plan, end = first.raw_decode(second)
    assert plan["format"] == "bondwork.plan/1"
    assert second[end:].strip()


def test_a_named_pipe_is_read(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with subprocess.Popen([*COMMAND, "check", str(pipe)], stdout=subprocess.PIPE, text=True) as process:
        pipe.write_bytes(THREE_TASKS.read_bytes())
        out, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "three tasks" in out


def test_a_long_file_name(tmp_path):
    path = tmp_path / ("x" * 250)
    assert bond("generate", "--tasks", 2, "--coprocessors", 2, "--offers", 1, "-o", path).returncode == 0
    assert path.is_file()


# --- streams --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("env", [{"TERM": "xterm-256color"}, {"NO_COLOR": "1", "COLUMNS": "40"}])
def test_no_escape_codes_where_there_is_no_terminal(env):
    for arguments in (("solve", THREE_TASKS), ("compare", THREE_TASKS), ("--help",)):
        done = bond(*arguments, env=env)
        assert ESCAPE not in done.stdout + done.stderr
        assert done.returncode == 0


def test_no_progress_where_standard_error_is_no_terminal(tmp_path):
    path = tmp_path / "round.json"
    bond("generate", "--tasks", 200, "--coprocessors", 20, "--offers", 10, "-o", path)
    done = bond("solve", path, "--time-limit", 2, "--json")
    assert done.returncode == 0
    assert done.stderr == ""


def on_a_terminal(*arguments: object, env: dict[str, str]) -> str:
    """Run the command with a terminal for its output; return what it wrote."""
    pty = pytest.importorskip("pty")
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [*COMMAND, *map(str, arguments)],
        stdin=subprocess.DEVNULL, stdout=theirs, stderr=theirs, env={**os.environ, "TERM": "xterm", **env},
    ):  # fmt: skip
        os.close(theirs)
        parts = []
        while True:
            try:
                part = os.read(ours, 65536)
            except OSError:
                break
            if not part:
                break
            parts.append(part)
    os.close(ours)
    return b"".join(parts).decode()


def test_a_terminal_gets_progress_and_no_colour_is_honoured(tmp_path):
    path = tmp_path / "round.json"
    bond("generate", "--tasks", 300, "--coprocessors", 30, "--offers", 10, "-o", path)
    arguments = ("solve", path, "--time-limit", 3, "--mip-rel-gap", 0)
    assert "incumbent" in on_a_terminal(*arguments, env={})
    shown = on_a_terminal(*arguments, env={"NO_COLOR": "1"})
    assert not re.search(r"\x1b\[[0-9;]*3[0-9]", shown)  # no colour, whatever else moves the cursor


def test_whoever_reads_the_output_may_leave(tmp_path):
    path = tmp_path / "round.json"
    bond("generate", "--tasks", 500, "--coprocessors", 50, "--offers", 20, "-o", path)
    for arguments in (
        ["generate", "--tasks", "2000"],
        ["schema", "round"],
        ["solve", str(THREE_TASKS), "--json"],
    ):
        with subprocess.Popen(
            [*COMMAND, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as process:
            assert process.stdout is not None
            assert process.stderr is not None
            process.stdout.read(1)
            process.stdout.close()
            err = process.stderr.read()
        assert err == b""
        assert process.returncode == 0


def test_standard_output_that_is_closed():
    done = subprocess.run(
        ["sh", "-c", f"{sys.executable} -m bondwork solve {THREE_TASKS} --json >&-"],
        capture_output=True, check=False,
    )  # fmt: skip
    assert b"Traceback" not in done.stderr


STRANGE = [
    "Zürich",
    "東京",
    "[bold]red[/bold]",
    "[/]",
    "[",
    "a\tb",
    "a\nb",
    "\x1b[31mred",
    "\x07",
    "💥",
    "\u202eabc",
]


@pytest.mark.parametrize("env", [{"PYTHONIOENCODING": "ascii", "LC_ALL": "C"}, {"PYTHONUTF8": "1"}])
def test_strange_ids_in_any_locale(tmp_path, env):
    document = small_round()
    document["name"] = "".join(STRANGE)
    document["operators"][0]["id"] = "[op]"
    document["coprocessors"] = [{"id": name} for name in STRANGE]
    document["tasks"] = [{"id": f"t {n}", "operator": "[op]", "reward": 2} for n in STRANGE]
    document["offers"] = [
        {"task": f"t {name}", "coprocessor": name, "success_probability": 1} for name in STRANGE
    ]
    path = written(tmp_path / "round.json", document)
    out = tmp_path / "plan.json"
    shown = bond("solve", path, "-o", out, env=env)
    assert shown.returncode == 0
    assert ESCAPE not in shown.stdout
    assert "\x07" not in shown.stdout
    assert "[bold]red[/bold]" in shown.stdout
    assert "[op]" in shown.stdout
    plan = json.loads(bond("solve", path, "--json", env=env).stdout)
    assert {each["executor"] for each in plan["assignments"]} == set(STRANGE)
    assert {each["executor"] for each in json.loads(out.read_text("utf-8"))["assignments"]} == set(STRANGE)
    assert bond("verify", path, out, env=env).returncode == 0
    assert bond("compare", path, env=env).returncode == 0
    document["offers"][0]["task"] = "[bold]\x1b[31m東京\n"
    done = bond("check", written(path, document), env=env)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == "bondwork: 1 fault"
    assert all(line.isprintable() for line in done.stderr.splitlines())


# --- signals --------------------------------------------------------------------------------------------


def wait_until_it_listens(process):
    """Wait until a command has begun to take SIGTERM: on a busy machine importing alone takes seconds."""
    status = Path(f"/proc/{process.pid}/status")
    deadline = time.monotonic() + 60
    while status.exists() and time.monotonic() < deadline:
        caught = next(line for line in status.read_text().splitlines() if line.startswith("SigCgt"))
        if int(caught.split()[1], 16) >> (signal.SIGTERM - 1) & 1:
            return
        time.sleep(0.05)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_long_solve_with_the_best_plan_so_far(tmp_path, number):
    path, out = tmp_path / "round.json", tmp_path / "plan.json"
    arguments = ("--tasks", 1000, "--coprocessors", 100, "--offers", 20, "--seed", 3, "-o", path)
    assert bond("generate", *arguments).returncode == 0
    command = [*COMMAND, "solve", str(path), "-o", str(out), "--mip-rel-gap", "0", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        wait_until_it_listens(process)
        time.sleep(5)
        assert process.poll() is None, "the round was solved before the signal came"
        process.send_signal(number)
        printed, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in err
    plan = json.loads(out.read_text())
    assert printed == out.read_text()
    assert (plan["status"], plan["solution"]) == ("interrupted", "feasible")
    assert plan["verified"] is True
    assert plan["bound"] >= plan["objective"]
    verdict = bond("verify", path, out)
    assert verdict.returncode == 0, verdict.stdout


# --- the other commands ----------------------------------------------------------------------------------


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
