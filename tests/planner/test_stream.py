"""``bondwork stream``: a reply for every line, whatever the line is like."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest

import bondwork
from bondwork.planner.stream import answer
from bondwork.schemas import json_schema
from planner.rounds import make_round

ROOT = Path(__file__).resolve().parents[2]
COMMAND = str(Path(sys.executable).parent / "bondwork")
SCHEMA = jsonschema.Draft202012Validator(json_schema("stream"))


def ask(planner: bondwork.Planner, **request: object) -> dict:
    SCHEMA.validate(request)
    line = answer(planner, json.dumps(request).encode())
    assert line.endswith("\n")
    assert "\n" not in line[:-1]
    reply = json.loads(line)
    SCHEMA.validate(reply)
    assert reply["format"] == "bondwork.stream/1"
    return reply


def test_a_session():
    planner = bondwork.Planner(breaker=bondwork.Breaker(failures=1, over=1))
    reply = ask(planner, id="a", op="plan", round=make_round("t-1", "t-2"), round_id="r-1")
    assert (reply["ok"], reply["id"], reply["round_id"]) == (True, "a", "r-1")
    assert [each["task"] for each in reply["plan"]["assignments"]] == ["t-1", "t-2"]
    prepared = ask(planner, op="prepare", round=make_round("t-3"))["round"]
    assert len(bondwork.load(prepared).commitments) == 2
    outcomes = [{"commitment": "r-1/t-1/cp", "outcome": "failed", "reward": "1.5"}]
    assert ask(planner, id=2, op="observe", outcomes=outcomes)["taken"] == {"new": 1, "repeated": 0}
    assert ask(planner, id=3, op="observe", outcomes=outcomes)["taken"] == {"new": 0, "repeated": 1}
    assert ask(planner, op="plan", round=make_round("t-3"))["plan"]["status"] == "interrupted"
    assert ask(planner, op="reset", key="x")["state"]["breaker"]["open"] is False
    reply = ask(planner, op="deposit", key="d", member="cp", amount="7.25")
    assert reply["state"]["coprocessors"][0]["free"] == "9.250000000000000000"
    assert ask(planner, op="withdraw", key="w", member="cp", amount=1)["ok"]
    assert ask(planner, op="state")["state"] == json.loads(planner.state.to_json())
    first = ask(planner, op="plan", round=make_round("t-3"))
    assert first["round_id"] == planner.state.last_round


@pytest.mark.parametrize(
    ("line", "paths"),
    [
        (b"{", ["line 1, column 2"]),
        (b"[]", ["$"]),
        (b"\xff", ["byte 0"]),
        (b'{"op": "sell"}', ["$.op"]),
        (b'{"id": 1}', ["$.op"]),
        (b'{"op": "plan", "round": 3, "extra": 1}', ["$.round", "$.extra"]),
        (b'{"op": "state", "op": "state"}', ["$.op"]),
        (
            b'{"op": "plan", "round": {"format": "bondwork.round/1", "tasks": [{"id": "t"}]}}',
            ["$.round.tasks[0]"],
        ),
        (
            b'{"op": "observe", "outcomes": [{"outcome": "lost"}, {"commitment": "k", "outcome": "failed"}]}',
            ["$.outcomes[0].outcome"],
        ),
        (
            b'{"op": "observe", "outcomes": [{"commitment": "k", "outcome": "failed"}]}',
            ["$.outcomes[0].commitment"],
        ),
        (b'{"op": "deposit", "key": "k", "member": "who", "amount": 1}', ["$.fund"]),
        (b'{"op": "deposit", "key": "k", "member": "who", "amount": -1}', ["$.amount"]),
    ],
)
def test_a_bad_line_is_answered_with_its_faults(line, paths):
    planner = bondwork.Planner()
    reply = json.loads(answer(planner, line))
    SCHEMA.validate(reply)
    assert reply["ok"] is False
    assert [each["path"] for each in reply["faults"]] == paths
    assert planner.state.events == 0


def test_refusals_are_answered_too():
    planner = bondwork.Planner(decimals=6)
    reply = ask(planner, op="plan", round=make_round("t"))
    assert (reply["ok"], "faults" in reply) == (False, False)
    assert "10^-6" in reply["reasons"][0]


def lines(*requests: object) -> str:
    return "".join(each if isinstance(each, str) else json.dumps(each) + "\n" for each in requests)


def test_the_command_answers_line_by_line_and_remembers(tmp_path):
    state = ["--state", str(tmp_path / "state.sqlite"), "--strategy", "greedy"]
    plan = {"id": 1, "op": "plan", "round": make_round("t-1"), "round_id": "r-1"}
    done = subprocess.run(
        [COMMAND, "stream", *state],
        input=lines(plan, "nonsense\n", "\n", {"id": 2, "op": "state"}),
        capture_output=True,
        text=True,
        check=True,
    )
    first, bad, last = map(json.loads, done.stdout.splitlines())
    assert (first["ok"], bad["ok"], last["ok"], done.stderr) == (True, False, True, "")
    again = subprocess.run(
        [COMMAND, "stream", *state], input=lines(plan), capture_output=True, text=True, check=True
    )
    assert json.loads(again.stdout)["plan"] == first["plan"]


def test_a_signal_ends_it_cleanly():
    process = subprocess.Popen(
        [COMMAND, "stream"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdin
    assert process.stdout
    assert process.stderr
    process.stdin.write(lines({"id": 1, "op": "state"}))
    process.stdin.flush()
    assert json.loads(process.stdout.readline())["id"] == 1  # flushed while the input is open
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=60) == 130
    assert process.stderr.read() == ""
    for each in (process.stdin, process.stdout, process.stderr):
        each.close()


def test_bad_options_are_refused_before_the_first_line():
    done = subprocess.run(
        [COMMAND, "stream", "--breaker-loss", "-1"], input="", capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert "breaker.loss" in done.stderr


def test_the_shell_script(tmp_path):
    script = ROOT / "data" / "planner" / "loop.sh"
    rounds = [ROOT / "data" / "rounds" / f"{name}.json" for name in ("three-tasks", "busy-provers")]
    done = subprocess.run(
        ["bash", str(script), str(tmp_path / "state.sqlite"), *map(str, rounds)],
        env=os.environ | {"PATH": f"{Path(COMMAND).parent}{os.pathsep}{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    taken = [json.loads(line)["taken"]["new"] for line in done.stdout.splitlines()]
    assert len(taken) == 2
    assert min(taken) > 0
    with bondwork.Planner(tmp_path / "state.sqlite") as planner:
        assert [each.id for each in planner.commitments] == ["k-1"]  # the round's own, still at work
        assert planner.audit().rounds == 2
