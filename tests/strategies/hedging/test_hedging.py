"""Hedging as it runs: three processes of mpi-sppy, what they find, and what is left when they are stopped."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from bondwork.contracts import Options, Progress
from bondwork.observing import Silence
from bondwork.problem.faults import InvalidInput, Refusal
from bondwork.program.program_solving import solve_stochastic
from bondwork.program.stochastic import StochasticProgram
from bondwork.program.template import NodeTemplate
from bondwork.strategies.hedging import Hedging, running
from bondwork.strategies.hedging.guard import descendants
from bondwork.strategies.hedging.settings import Settings
from program.stochastic_programs import toy
from strategies.hedging.farming import OPTIMUM, depots, farmer


class Watch:
    """Notes everything, stops at the first incumbent if asked to."""

    def __init__(self, *, stop: bool = False) -> None:
        self.stop = stop
        self.reports: list[Progress] = []

    def report(self, progress: Progress) -> None:
        self.reports.append(progress)

    def should_stop(self) -> bool:
        return self.stop and any(each.phase == "hedging" for each in self.reports)


@pytest.mark.usefixtures("mpi")
def test_the_farmer_on_three_ranks():
    others = set(descendants(os.getpid()))  # of other tests in this process
    watch = Watch()
    options = Options(mip_rel_gap=1e-3, settings={"iterations": "60"})
    solution = solve_stochastic(farmer(), options, watch, strategy="hedging")
    assert solution.verified
    assert solution.objective == pytest.approx(OPTIMUM, rel=1e-3)
    assert solution.bound <= OPTIMUM + 0.01 <= solution.objective + 0.02
    assert solution.bound == pytest.approx(OPTIMUM, rel=2e-3)
    seen = [each for each in watch.reports if each.phase == "hedging"]
    assert seen[-1].objective is not None
    assert all(each.sense == "min" for each in seen)
    assert all(each.bound <= OPTIMUM + 0.01 for each in seen)
    assert all(each.objective is None or each.objective >= OPTIMUM - 0.01 for each in seen)
    assert set(descendants(os.getpid())) <= others


@pytest.mark.usefixtures("mpi")
def test_whole_columns_within_the_gap_that_is_reported():
    program = depots()
    optimum = solve_stochastic(program, Options(mip_rel_gap=0.0)).objective
    options = Options(mip_rel_gap=0.01, settings={"bundle": "2", "iterations": "6"})
    solution = solve_stochastic(program, options, strategy="hedging")
    assert solution.verified
    assert solution.objective <= optimum + 1e-6 <= solution.bound + 2e-6
    assert solution.gap == pytest.approx((solution.bound - solution.objective) / solution.bound)
    assert (solution.status == "optimal") == (solution.gap <= 0.01)
    assert solution.provenance.notes[0] == "3 subproblems on 3 ranks"


@pytest.mark.usefixtures("mpi")
def test_three_stages_are_cut_behind_the_root():
    stock = NodeTemplate.make(0, ["x"], cost=-1.0, upper=10.0)
    rows = ["stock"]
    sell = NodeTemplate.make(
        1, ["y"], rows, cost=2.0, row_upper=0.0, entries=[(0, 0, 0, -1.0), (0, 1, 0, 1.0)]
    )
    later = NodeTemplate.make(
        2, ["z"], rows, cost=1.5, row_upper=0.0, entries=[(0, 0, 0, -1.0), (0, 1, 0, 1.0), (0, 2, 0, 1.0)]
    )
    demand = [1.0, 4.0, 1.0, 3.0, 2.0, 5.0]
    program = StochasticProgram.from_changes(
        "three",
        "max",
        [stock, sell, later],
        parent=[-1, 0, 0, 1, 1, 2, 2],
        template=[0, 1, 1, 2, 2, 2, 2],
        conditional=[1.0] + [0.5] * 6,
        changes=[{}, *({("upper", 0): each} for each in demand)],
    )
    optimum = solve_stochastic(program).objective
    solution = solve_stochastic(
        program, Options(mip_rel_gap=2e-3, settings={"iterations": "30"}), strategy="hedging"
    )
    assert solution.verified
    assert solution.objective <= optimum + 1e-9 <= solution.bound + 2e-6
    assert solution.objective == pytest.approx(optimum, rel=2e-3)


@pytest.mark.usefixtures("mpi")
def test_an_interrupt_keeps_what_was_found_and_leaves_no_process():
    others = set(descendants(os.getpid()))  # of other tests in this process
    program = depots(12)
    watch = Watch(stop=True)
    decision = Hedging().solve_program(program, Options(mip_rel_gap=0.0), watch)
    assert decision.status == "interrupted"
    assert decision.root is not None
    assert np.isfinite(decision.bound)
    assert set(descendants(os.getpid())) <= others


@pytest.mark.usefixtures("mpi")
def test_a_time_limit_keeps_the_bound_of_the_beginning():
    others = set(descendants(os.getpid()))  # of other tests in this process
    decision = Hedging().solve_program(depots(), Options(time_limit=0.5), Silence())
    assert decision.status == "time_limit"
    assert np.isfinite(decision.bound)
    assert set(descendants(os.getpid())) <= others


@pytest.mark.usefixtures("mpi")
def test_nothing_is_left_when_whoever_asked_is_killed():
    script = (
        "from strategies.hedging.farming import depots\n"
        "from bondwork.contracts import Options\n"
        "from bondwork.program.program_solving import solve_stochastic\n"
        "solve_stochastic(depots(40), Options(mip_rel_gap=0.0), strategy='hedging')\n"
    )
    tests = str(Path(__file__).parents[2])
    with subprocess.Popen([sys.executable, "-c", script], env=os.environ | {"PYTHONPATH": tests}) as asking:
        deadline = time.monotonic() + 30.0
        # the guard, the launcher, what the launcher starts, and three ranks
        while len(started := descendants(asking.pid)) < 5 and time.monotonic() < deadline:
            time.sleep(0.05)
        asking.kill()
    assert len(started) >= 5
    while any(Path(f"/proc/{each}").exists() for each in started) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(Path(f"/proc/{each}").exists() for each in started)


@pytest.mark.usefixtures("mpi")
def test_what_fails_over_there_is_told_here(monkeypatch: pytest.MonkeyPatch):
    given = running.arguments

    def wrong(*arguments: object, **more: object) -> list[str]:
        return [*given(*arguments, **more), "--no-such-option"]

    monkeypatch.setattr("bondwork.strategies.hedging.run.arguments", wrong)
    solution = solve_stochastic(toy(), strategy="hedging")
    assert (solution.status, solution.solution) == ("other_error", "none")
    assert "--no-such-option" in solution.provenance.notes[-1]


def test_infeasible_parts_need_no_processes(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(running, "Group", None)
    impossible = NodeTemplate.make(
        1, ["y"], ["need"], cost=1.0, upper=1.0, row_lower=2.0, entries=[(0, 1, 0, 1.0)]
    )
    root = NodeTemplate.make(0, ["x"], cost=1.0, upper=1.0)
    program = StochasticProgram.from_changes(
        "no",
        "max",
        [root, impossible],
        parent=[-1, 0],
        template=[0, 1],
        conditional=[1.0, 1.0],
        changes=[{}, {}],
    )
    solution = solve_stochastic(program, strategy="hedging")
    assert (solution.status, solution.bound) == ("infeasible", None)


def test_what_is_unbounded_by_itself_is_refused():
    root = NodeTemplate.make(0, ["x"], cost=1.0)
    leaf = NodeTemplate.make(1, ["y"], cost=1.0, upper=1.0)
    program = StochasticProgram.from_changes(
        "far", "max", [root, leaf], parent=[-1, 0], template=[0, 1], conditional=[1.0, 1.0], changes=[{}, {}]
    )
    with pytest.raises(Refusal, match="no finite optimum"):
        Hedging().solve_program(program, Options(), Silence())


@pytest.mark.parametrize("missing", ["mpisppy", "mpi4py", "pandas"])
def test_a_missing_extra_is_refused_by_name(monkeypatch: pytest.MonkeyPatch, missing: str):
    find = running.importlib.util.find_spec
    monkeypatch.setattr(
        running.importlib.util, "find_spec", lambda name: None if name == missing else find(name)
    )
    with pytest.raises(Refusal, match=r"pip install 'bondwork\[cluster\]'"):
        Hedging().solve_program(toy(), Options(), Silence())


def test_a_missing_launcher_is_refused_by_name(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(Refusal, match="hedging needs srun"):
        Hedging().solve_program(toy(), Options(settings={"launcher": "srun"}), Silence())


def test_importing_hedging_imports_no_mpi():
    script = (
        "import sys, bondwork.strategies.hedging.folder\n"
        "assert not {'mpi4py', 'mpisppy', 'pyomo', 'pandas'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_processes_of_a_run_load_only_what_they_need():
    """With Pyomo loaded, scipy brings all of its statistics: a second of each rank."""
    script = (
        "import sys, bondwork.strategies.hedging.guard\n"
        "assert 'numpy' not in sys.modules\n"
        "import bondwork.strategies.hedging.cylinders, bondwork.strategies.hedging.reading\n"
        "assert 'pyomo' in sys.modules and 'scipy' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


@pytest.mark.parametrize(
    "settings",
    [{"ranks": "4"}, {"ranks": "2"}, {"bundle": "0"}, {"rho": "high"}, {"launcher": "rsh"}, {"x": "1"}],
)
def test_settings_that_are_none_are_refused(settings: dict[str, str]):
    with pytest.raises(InvalidInput, match="settings"):
        Hedging().solve_program(toy(), Options(settings=settings), Silence())


def test_more_ranks_than_there_is_work_are_refused():
    with pytest.raises(InvalidInput, match="at most 6"):
        Hedging().solve_program(toy(), Options(settings={"ranks": "9"}), Silence())


def test_settings_are_read():
    read = Settings.read(Hedging(), {"ranks": "6", "rho": "50"})
    assert (read.ranks, read.rho, read.bundle) == (6, 0.5, 1)
