"""Comparisons that are killed and go on, and that run in several processes."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from bondwork import Comparison, InvalidInput
from bondwork.comparison.comparison import compare_study

if TYPE_CHECKING:
    from pathlib import Path

    from bondwork.comparison.row import Row

STUDY = {
    "format": "bondwork.study/1",
    "rounds": [{"generate": {"tasks": 14, "coprocessors": 4, "offers": 3, "seed": s}} for s in (0, 1)],
    "strategies": ["greedy", "relaxation", "extensive"],
    "replications": 2,
    "mip_rel_gap": 0.0,
    "threads": 1,
}


def untimed(rows: tuple[Row, ...]) -> list[Row]:
    """Rows without what no two runs have alike: times and memory."""
    return [
        dataclasses.replace(row, build=0.0, solve=0.0, memory=None, to_gap=(), trajectory=()) for row in rows
    ]


@pytest.fixture(scope="module")
def unbroken() -> list[Row]:
    return untimed(compare_study(STUDY).rows)


def test_a_journal_holds_what_is_done(tmp_path: Path, unbroken: list[Row]):
    journal = tmp_path / "journal.jsonl"
    assert untimed(compare_study(STUDY, journal=journal).rows) == unbroken
    whole = journal.read_bytes()
    lines = whole.splitlines(keepends=True)
    assert len(lines) == 1 + len(unbroken)
    # cut anywhere: between lines, within a line, within the first line
    for cut in (sum(map(len, lines[:5])), len(whole) - 40, 10, 0):
        journal.write_bytes(whole[:cut])
        assert untimed(compare_study(STUDY, journal=journal).rows) == unbroken
        assert len(journal.read_bytes().splitlines()) == len(lines)


def test_rows_of_the_journal_are_not_solved_again(tmp_path: Path):
    journal = tmp_path / "journal.jsonl"
    first = compare_study(STUDY, journal=journal)
    assert compare_study(STUDY, journal=journal) == first  # times and all


def test_a_journal_of_another_study_is_refused(tmp_path: Path):
    journal = tmp_path / "journal.jsonl"
    compare_study(STUDY, journal=journal)
    with pytest.raises(InvalidInput, match="another study"):
        compare_study(STUDY | {"seed": 1}, journal=journal)
    journal.write_text('{"rows": []}\n', encoding="utf-8")
    with pytest.raises(InvalidInput, match="line 1"):
        compare_study(STUDY, journal=journal)


def test_processes_change_nothing(unbroken: list[Row]):
    assert untimed(compare_study(STUDY, jobs=2).rows) == unbroken


def test_killed_and_gone_on(tmp_path: Path, unbroken: list[Row]):
    study, journal, out = tmp_path / "study.json", tmp_path / "journal.jsonl", tmp_path / "out.json"
    study.write_text(json.dumps(STUDY), encoding="utf-8")
    command = [
        sys.executable,
        "-m",
        "bondwork",
        "compare",
        str(study),
        "--journal",
        str(journal),
        "-o",
        str(out),
    ]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True) as child:
        give_up = time.monotonic() + 60.0
        while child.poll() is None and time.monotonic() < give_up:
            if journal.exists() and journal.read_bytes().count(b"\n") >= 3:
                os.killpg(child.pid, signal.SIGKILL)
                break
            time.sleep(0.005)
        child.wait()
    done = journal.read_bytes().count(b"\n") - 1
    assert 2 <= done <= len(unbroken)
    again = subprocess.run([*command, "--json"], capture_output=True, check=True, text=True)
    assert untimed(Comparison.from_json(out).rows) == unbroken
    assert json.loads(again.stdout)["format"] == "bondwork.comparison/1"


@pytest.mark.parametrize(
    "content",
    [
        b'{"format": "bondwork.round/1", "tasks": []}',
        b'{"format": "bondwork.round/1",\n "tasks": []}\n',
        b"a note without an end",
        b"a note\n",
        b"\n",
        b"\x00\xff",
        b"{",
        b"[" * 100_000,
        b'{"format": "bondwork.journal/1", "study": "of another study"}',
        b'{"format": "bondwork.journal/1", "study": "of another study"}\n',
    ],
)
def test_a_file_that_is_no_journal_of_this_study_stays_as_it_is(tmp_path: Path, content: bytes):
    there = tmp_path / "there"
    there.write_bytes(content)
    if content == b"{":  # as a run that was killed in its first instant leaves it
        compare_study(STUDY | {"rounds": STUDY["rounds"][:1], "strategies": ["greedy"]}, journal=there)
        return
    with pytest.raises(InvalidInput, match="line 1"):
        compare_study(STUDY, journal=there)
    assert there.read_bytes() == content


def test_a_journal_is_a_file(tmp_path: Path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for path in (pipe, tmp_path):
        with pytest.raises(InvalidInput, match="no file"):
            compare_study(STUDY, journal=path)
