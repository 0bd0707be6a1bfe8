"""Files that commands write: whole or not at all, where they were told to, or a plain word."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import threading
import time
from pathlib import Path

import pytest

from cli.rounds import (
    THREE_TASKS,
)
from commands import COMMAND, bond, bond_in_a_process


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
    done = bond_in_a_process("solve", THREE_TASKS, "-o", "/dev/stdout", "--json")
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


def test_what_can_be_read_only_once_is_read_once(tmp_path):
    """A round or a study from standard input or a pipe: ``compare -``, ``compare <(...)``."""
    study = tmp_path / "study.json"
    study.write_text(
        json.dumps(
            {
                "format": "bondwork.study/1",
                "rounds": [{"name": "three", "file": str(THREE_TASKS)}],
                "strategies": ["greedy"],
            }
        )
    )
    for content, more in ((study, ()), (THREE_TASKS, ("--strategy", "greedy", "--scenarios", 0))):
        given = bond("compare", "-", *more, "--json", data=content.read_bytes())
        assert given.returncode == 0, given.stderr
        pipe = tmp_path / f"pipe-{content.stem}"
        os.mkfifo(pipe)
        writer = threading.Thread(target=pipe.write_bytes, args=(content.read_bytes(),), daemon=True)
        writer.start()
        piped = bond_in_a_process("compare", pipe, *more, "--json")
        writer.join(10)
        for each in (given, piped):
            assert [row["strategy"] for row in json.loads(each.stdout)["rows"]] == ["greedy"]


def test_a_long_file_name(tmp_path):
    path = tmp_path / ("x" * 250)
    assert bond("generate", "--tasks", 2, "--coprocessors", 2, "--offers", 1, "-o", path).returncode == 0
    assert path.is_file()
