"""Standard output and error: terminals, colours, locales, readers who leave."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from cli.rounds import (
    THREE_TASKS,
    small_round,
    written,
)
from commands import COMMAND, bond, bonds_in_processes

ESCAPE = "\x1b"


@pytest.mark.parametrize("env", [{"TERM": "xterm-256color"}, {"NO_COLOR": "1", "COLUMNS": "40"}])
def test_no_escape_codes_where_there_is_no_terminal(monkeypatch, env):
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    for arguments in (
        ("solve", THREE_TASKS),
        ("compare", THREE_TASKS, "--strategy", "extensive"),
        ("--help",),
    ):
        done = bond(*arguments)
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
    arguments = ("solve", path, "--mip-rel-gap", 0, "--time-limit")
    colour = re.compile(r"\x1b\[[0-9;]*3[0-9]")  # whatever else moves the cursor
    shown = on_a_terminal(*arguments, 3, env={})
    assert "incumbent" in shown
    assert colour.search(shown)
    assert not colour.search(on_a_terminal(*arguments, 1, env={"NO_COLOR": "1"}))


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


@pytest.mark.parametrize("closed", ["<&-", "2>&-", "<&- >&- 2>&-"])
def test_standard_streams_that_are_closed(tmp_path, closed):
    out = tmp_path / "plan.json"
    done = subprocess.run(
        ["sh", "-c", f"exec {sys.executable} -m bondwork solve {THREE_TASKS} --json -o {out} {closed}"],
        capture_output=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, b"")
    assert json.loads(out.read_text())["objective"] == pytest.approx(11.7)
    if ">&-" not in closed.replace("2>&-", ""):
        assert done.stdout == out.read_bytes()


def test_what_reads_a_standard_input_that_is_closed_finds_nothing_in_it():
    for arguments, code, told in (("solve -", 2, b"found the end"), ("stream", 0, b"")):
        done = subprocess.run(
            ["sh", "-c", f"exec {sys.executable} -m bondwork {arguments} <&-"],
            capture_output=True, check=False,
        )  # fmt: skip
        assert (done.returncode, done.stdout) == (code, b"")
        assert told in done.stderr
        assert b"Traceback" not in done.stderr


def test_processes_of_ours_work_without_a_standard_error(tmp_path):
    line = f"compare {THREE_TASKS} --strategy greedy --strategy extensive --scenarios 0 --jobs 2 --json"
    done = subprocess.run(
        ["sh", "-c", f"exec {sys.executable} -m bondwork {line} 2>&-"], capture_output=True, check=False
    )
    assert done.returncode == 0
    assert len(json.loads(done.stdout)["rows"]) == 2


def test_a_stream_that_was_closed_takes_no_file_of_ours():
    """Compiled code writes to the numbers: 1 must not be the next file that is opened."""
    script = (
        "import os, sys; from bondwork import console; console.prepare_streams(); "
        "[os.fstat(number) for number in range(3)]; sys.exit(os.open(os.devnull, os.O_RDONLY))"
    )
    done = subprocess.run(
        ["sh", "-c", f"exec {sys.executable} -c '{script}' <&- >&- 2>&-"], capture_output=True, check=False
    )
    assert done.returncode >= 3


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_messages_that_cannot_be_written_take_no_result_and_no_exit_code_away(tmp_path):
    broken = written(tmp_path / "broken.json", {"format": "bondwork.round/1"})
    tree = tmp_path / "tree.json"
    bond("tree", "make", THREE_TASKS, "--scenarios", 8, "-o", tree)
    for arguments, code in ((("tree", "reduce", tree, "--size", 2), 0), (("check", broken), 2)):
        line = " ".join(map(str, (sys.executable, "-m", "bondwork", *arguments)))
        full = subprocess.run(["sh", "-c", f"exec {line} 2>/dev/full"], capture_output=True, check=False)
        assert full.returncode == code
        if code == 0:
            assert json.loads(full.stdout)["format"] == "bondwork.tree/1"
    both = subprocess.run(["sh", "-c", f"exec {line} --json >/dev/full 2>&1"], check=False)
    assert both.returncode == 2


def test_a_reader_who_is_slow_gets_all_of_it():
    """Whoever started us may have made the pipe one that does not wait."""
    ours, theirs = os.pipe()
    os.set_blocking(theirs, False)
    line = [*COMMAND, "generate", "--tasks", "1000", "--offers", "9"]  # far more than a pipe holds
    with subprocess.Popen(line, stdout=theirs) as process:
        os.close(theirs)
        with os.fdopen(ours, "rb") as reader:
            text = reader.read()
    assert process.returncode == 0
    assert len(json.loads(text)["tasks"]) == 1000


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
    document["offers"][0]["task"] = "[bold]\x1b[31m東京\n"
    faulty = written(tmp_path / "faulty.json", document)
    ended = bonds_in_processes(
        ["solve", path, "-o", out],
        ["solve", path, "--json"],
        ["verify", path, out],
        ["compare", path, "--strategy", "extensive"],
        ["check", faulty],
        env=env,
    )
    shown, printed, verified, compared, checked = (done for done, _ in ended)
    assert shown.returncode == 0
    assert ESCAPE not in shown.stdout
    assert "\x07" not in shown.stdout
    assert "[bold]red[/bold]" in shown.stdout
    assert "[op]" in shown.stdout
    plan = json.loads(printed.stdout)
    assert {each["executor"] for each in plan["assignments"]} == set(STRANGE)
    assert {each["executor"] for each in json.loads(out.read_text("utf-8"))["assignments"]} == set(STRANGE)
    assert (verified.returncode, compared.returncode) == (0, 0)
    assert checked.returncode == 2
    assert checked.stderr.splitlines()[-1] == "bondwork: 1 fault"
    assert all(line.isprintable() for line in checked.stderr.splitlines())
