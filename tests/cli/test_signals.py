"""Signals: what was found is written, whenever they come."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bondwork import cli, console
from bondwork.program.program_schema import write_program
from cli.rounds import small_round
from commands import COMMAND, bond
from program.stochastic_programs import toy


def staged() -> dict:
    """Return the small round with one of its tasks later."""
    document = small_round()
    later, now = document["tasks"][:1], document["tasks"][1:]
    offers = document["offers"]
    period = {"id": "later", "at": 10.0, "tasks": later, "offers": offers[:1]}
    return {**document, "tasks": now, "offers": offers[1:], "periods": [period]}


@pytest.mark.parametrize(
    ("command", "number"),
    [
        ("solve", signal.SIGINT),
        ("roll", signal.SIGTERM),
        ("saa", signal.SIGINT),
        ("compare", signal.SIGTERM),
        ("solve a program", signal.SIGTERM),
    ],
)
def test_a_signal_while_the_result_is_written_takes_nothing_away(tmp_path, monkeypatch, command, number):
    path, out = tmp_path / "round.json", tmp_path / "out.json"
    name, _, about = command.partition(" ")
    path.write_text(json.dumps(write_program(toy()) if about or name == "saa" else staged()))
    arguments = [name, str(path), "-o", str(out)]
    arguments += ["--evaluate", "10", "--scenarios", "2"] if name == "saa" else []
    arguments += ["--strategy", "extensive", "--scenarios", "0"] if name == "compare" else []
    write = console.write

    def interrupted(*what):
        os.kill(os.getpid(), number)
        write(*what)

    monkeypatch.setattr(console, "write", interrupted)
    monkeypatch.setattr(sys, "argv", ["bondwork", *arguments])
    # a signal that nobody handles would end the tests
    before = signal.signal(number, lambda *_: pytest.fail("the signal was not heard"))
    try:
        with pytest.raises(SystemExit) as caught:
            cli.main()
    finally:
        signal.signal(number, before)
    assert caught.value.code in (0, 4)
    assert json.loads(out.read_text())["format"].startswith("bondwork.")
    assert [each.name for each in tmp_path.iterdir() if each.suffix == ".tmp"] == []


def wait_until_it_listens(process):
    """Wait until a command has begun to take SIGTERM: on a busy machine importing alone takes seconds."""
    status = Path(f"/proc/{process.pid}/status")
    deadline = time.monotonic() + 60
    while status.exists() and time.monotonic() < deadline:
        caught = next(line for line in status.read_text().splitlines() if line.startswith("SigCgt"))
        if int(caught.split()[1], 16) >> (signal.SIGTERM - 1) & 1:
            return
        time.sleep(0.05)


def wait_until_it_has_worked(process, seconds):
    """Wait until a command has taken so many more seconds of a core, however busy the machine is."""
    status, tick = Path(f"/proc/{process.pid}/stat"), os.sysconf("SC_CLK_TCK")

    def taken():
        user, system = status.read_text().rpartition(")")[2].split()[11:13]
        return (int(user) + int(system)) / tick

    begun, deadline = taken(), time.monotonic() + 60
    while process.poll() is None and taken() - begun < seconds and time.monotonic() < deadline:
        time.sleep(0.05)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_long_solve_with_the_best_plan_so_far(tmp_path, number):
    path, out = tmp_path / "round.json", tmp_path / "plan.json"
    arguments = ("--tasks", 1000, "--coprocessors", 100, "--offers", 20, "--seed", 3, "-o", path)
    assert bond("generate", *arguments).returncode == 0
    command = [*COMMAND, "solve", str(path), "-o", str(out), "--mip-rel-gap", "0", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        wait_until_it_listens(process)
        wait_until_it_has_worked(process, 2.0)
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


def test_ctrl_c_while_the_command_line_loads_leaves_no_traceback():
    """Python shows one of whatever it imports; whoever presses the keys has changed their mind, no more."""
    code = """
import os, runpy, signal, sys

class Presses:
    def find_spec(self, name, *_):
        if name == "typer":
            os.kill(os.getpid(), signal.SIGINT)

signal.signal(signal.SIGINT, signal.default_int_handler)
sys.meta_path.insert(0, Presses())
sys.argv = ["bondwork", "--version"]
runpy.run_module("bondwork", run_name="__main__")
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ended.returncode == -signal.SIGINT  # which a shell tells as 130
    assert (ended.stdout, ended.stderr) == ("", "")
    ignoring = code.replace("signal.default_int_handler", "signal.SIG_IGN")
    ended = subprocess.run([sys.executable, "-c", ignoring], capture_output=True, text=True, check=False)
    assert ended.returncode == 0
    assert ended.stdout.startswith("bondwork ")
