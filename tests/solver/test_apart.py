"""Runs of HiGHS in a process of their own: the same answers, ended whatever they do, nothing left behind."""

from __future__ import annotations

import dataclasses
import json
import math
import pickle
import struct
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from scipy.sparse import csr_array

from bondwork.contracts import Options, Progress
from bondwork.observing import Silence
from bondwork.problem.faults import InvalidInput
from bondwork.program.matrices import Matrices
from bondwork.solver import apart
from bondwork.solver.answer import Answer
from bondwork.solver.asked import Asked
from bondwork.solver.solving import solve_program

if TYPE_CHECKING:
    from collections.abc import Iterator

LIMITED = Options(threads=1, mip_rel_gap=0.0, time_limit=300.0)


def knapsack(count: int, rows: int = 2, seed: int = 3) -> Matrices:
    rng = np.random.default_rng(seed)
    weight = rng.integers(20, 99, (rows, count)).astype(float)
    return Matrices(
        weight.sum(axis=0) + rng.integers(0, 9, count),
        5.0,
        csr_array(weight),
        np.full(rows, -np.inf),
        np.floor(weight.sum(axis=1) / 3.0),
        np.zeros(count),
        np.ones(count),
        np.ones(count, dtype=bool),
    )


@pytest.fixture
def processes(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Every run is large; those that were begun."""
    begun: list[subprocess.Popen[bytes]] = []

    class Noted(subprocess.Popen):  # type: ignore[type-arg]
        def __init__(self, *given: Any, **more: Any) -> None:
            super().__init__(*given, **more)
            begun.append(self)

    monkeypatch.setattr(apart, "LARGE_COLUMNS", 1)
    monkeypatch.setattr(apart.subprocess, "Popen", Noted)
    monkeypatch.setattr(apart, "_IDLE", [])
    yield begun
    for each in begun:
        apart._end(each)


@pytest.mark.parametrize("relaxed", [True, False])
def test_the_same_answer(processes: list[subprocess.Popen[bytes]], *, relaxed: bool) -> None:
    program = knapsack(12)
    there = solve_program(program, LIMITED, Silence(), relaxed=relaxed)
    here = solve_program(
        program, dataclasses.replace(LIMITED, time_limit=math.inf), Silence(), relaxed=relaxed
    )
    assert solve_program(program, LIMITED, Silence(), relaxed=relaxed).bound == there.bound
    assert len(processes) == 1 and processes[0].poll() is None  # it waits for the next task
    assert (there.status, there.bound) == (here.status, here.bound)
    assert there.x is not None and here.x is not None and there.x.tolist() == here.x.tolist()
    for one, other in ((there.row_duals, here.row_duals),):
        assert (one is None) == (other is None) == (not relaxed)
        assert one is None or other is None or one.tolist() == other.tolist()


def test_what_is_infeasible_and_what_is_no_option(processes: list[subprocess.Popen[bytes]]) -> None:
    program = dataclasses.replace(knapsack(3), row_lower=np.full(2, 1e4), row_upper=np.full(2, 1e5))
    assert solve_program(program, LIMITED, Silence()).status == "infeasible"
    with pytest.raises(InvalidInput, match=r"options\.colour"):
        solve_program(program, dataclasses.replace(LIMITED, highs={"colour": 1}), Silence())


def test_incumbents_and_bounds_are_told_and_starts_taken(processes: list[subprocess.Popen[bytes]]) -> None:
    program, told, seen = knapsack(60, 5), [], []

    class Notes(Silence):
        def report(self, progress: Progress) -> None:
            told.append(progress)

    def worth(x: np.ndarray) -> float:
        seen.append(x)
        return program.value(x)

    start = np.zeros(60)
    start[0] = 1.0
    options = dataclasses.replace(LIMITED, mip_rel_gap=0.05)
    answer = solve_program(program, options, Notes(), start=start, worth=worth, phase="x")
    assert answer.status == "optimal" and answer.x is not None
    assert seen and all(not np.any(program.excess(x) > 1e-6) for x in seen)
    assert max(each.objective for each in told if each.objective is not None) == max(map(program.value, seen))


def test_an_observer_may_stop_it(processes: list[subprocess.Popen[bytes]]) -> None:
    class Stops(Silence):
        asked = 0

        def should_stop(self) -> bool:
            self.asked += 1
            return self.asked > 3

    assert solve_program(knapsack(90, 12), LIMITED, Stops()).status == "interrupted"
    assert all(each.returncode is not None for each in processes)


def test_one_that_overlooks_its_limit_is_ended(
    processes: list[subprocess.Popen[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(apart, "_RUN", "import time; time.sleep(600)")
    answer = solve_program(knapsack(9), dataclasses.replace(LIMITED, time_limit=1.0), Silence())
    assert (answer.status, answer.x, answer.bound) == ("time_limit", None, math.inf)
    assert [each.returncode for each in processes] == [-9]


def test_one_that_dies_is_an_error(
    processes: list[subprocess.Popen[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(apart, "_RUN", "import os; os._exit(3)")
    # what errs is solved again without presolve, and told apart: none of them comes back
    assert solve_program(knapsack(9), LIMITED, Silence()).status == "other_error"
    assert all(each.returncode is not None for each in processes)


def test_one_that_died_while_it_waited_is_replaced(processes: list[subprocess.Popen[bytes]]) -> None:
    assert solve_program(knapsack(9), LIMITED, Silence()).status == "optimal"
    processes[0].kill()
    processes[0].wait()
    assert solve_program(knapsack(9), LIMITED, Silence()).status == "optimal"
    assert len(processes) == 2


def test_where_none_can_be_started_it_is_solved_here(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*given: Any, **more: Any) -> None:
        raise OSError("no more processes")

    monkeypatch.setattr(apart, "LARGE_COLUMNS", 1)
    monkeypatch.setattr(apart, "_IDLE", [])
    monkeypatch.setattr(apart.subprocess, "Popen", refuse)
    assert solve_program(knapsack(9), LIMITED, Silence()).status == "optimal"


def test_it_ends_with_whoever_began_it() -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", apart._RUN, json.dumps(sys.path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    options = dataclasses.replace(LIMITED, highs={}, settings={}, warm_start=None)
    task = {"program": knapsack(150, 20), "options": options, "asked": Asked(relaxed=False)}
    apart.send(process.stdin, task | {"ends": time.monotonic() + 600.0, "reports": True})
    assert process.stdin is not None and process.stdout is not None
    assert apart.Inbox(process.stdout).read()  # it is at work
    process.stdin.close()
    assert process.wait(timeout=60.0) != 0
    process.stdout.close()


def test_small_short_and_unlimited_runs_stay_here() -> None:
    small = knapsack(5)
    assert not apart.is_large(small, 60.0)
    none, many = np.zeros(0), np.zeros(apart.LARGE_COLUMNS)
    rows = csr_array((0, len(many)))
    wide = Matrices(many, 0.0, rows, none, none, many, many + 1.0, many > 0.0)
    assert apart.is_large(wide, 60.0)
    assert not apart.is_large(wide, 0.5) and not apart.is_large(wide, math.inf)


def test_what_arrives_at_once_is_read_at_once():
    messages = [("bound", 7.0), ("answer", Answer("infeasible", None, -math.inf))]
    written = b"".join(struct.pack(">Q", len(each)) + each for each in map(pickle.dumps, messages))
    saying = f"import sys, time; sys.stdout.buffer.write({written!r}); sys.stdout.flush(); time.sleep(600)"
    process = subprocess.Popen([sys.executable, "-c", saying], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    now = time.monotonic()
    try:
        run = apart._Run(process, Silence(), now, now + 300.0, Asked(relaxed=False))
        assert run.wait().status == "infeasible"
        assert run.bound == 7.0
    finally:
        apart._end(process)
