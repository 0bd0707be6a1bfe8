"""Any number of threads, in any order, in any thread of a process, on a machine of any size."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from bondwork.contracts import Options
from bondwork.solver import construction, threads
from bondwork.solver.options import set_solve_options
from solver.thread_orders import CALLS, THREADS, foreign, live_ray, moved, ray, warm, whole

HERE = Path(__file__).resolve().parent

#: What HiGHS asks for the size of the machine, in the C++ library of Linux.
SHIM = "unsigned int _ZNSt6thread20hardware_concurrencyEv(void) { return %d; }\n"


@pytest.fixture(scope="module", params=[1, 2, 8])
def machine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[int, str]:
    """Return a number of CPUs, and the library that makes HiGHS believe in it."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None or sys.platform != "linux":
        pytest.skip("pretending to be another machine needs a C compiler and Linux")
    folder = tmp_path_factory.mktemp("shim")
    (folder / "cpus.c").write_text(SHIM % request.param)
    library = folder / "cpus.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, folder / "cpus.c"], check=True)
    return request.param, str(library)


def test_every_order_of_calls_and_threads(machine: tuple[int, str]):
    cpus, library = machine
    path = os.pathsep.join([str(HERE.parent), *sys.path])
    done = subprocess.run(
        [sys.executable, str(HERE / "thread_orders.py"), str(cpus)],
        check=False,
        env=os.environ | {"LD_PRELOAD": library, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=300.0,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.__name__)
def test_after_somebody_else_with_another_number(call):
    for theirs in (1, 2, 3):
        for ours in THREADS:
            foreign(theirs)
            call(ours)


def test_what_we_do_breaks_nobody_else():
    found = []

    def theirs() -> None:
        highs = construction.make_highs()
        highs.setOptionValue("threads", 3)
        highs.addVar(0.0, 1.0)
        for call in (whole, ray, warm, live_ray, moved):
            highs.run()
            found.append(highs.getModelStatus().name)
            call(1)

    # in a new thread, in which nobody has left a pool
    thread = threading.Thread(target=theirs)
    thread.start()
    thread.join(60.0)
    assert found == ["kOptimal"] * 5


@pytest.mark.parametrize(("cpus", "threads_of_zero"), [(1, 1), (2, 1), (3, 2), (8, 4), (64, 32)])
def test_highs_is_always_told_a_number(monkeypatch: pytest.MonkeyPatch, cpus: int, threads_of_zero: int):
    monkeypatch.setattr(threads, "usable_cpus", lambda: cpus)
    for options, expected in (
        (Options(), threads_of_zero),
        (Options(highs={"threads": 0}), threads_of_zero),
        (Options(threads=2), 2),
        (Options(threads=2, highs={"threads": 5}), 5),
        (Options(threads=2, highs={"threads": "3"}), 3),
        (Options(threads=2**31 - 1), 64),
        (Options(highs={"threads": 100_000}), 64),
    ):
        highs = construction.make_highs()
        set_solve_options(highs, options)
        assert highs.getOptionValue("threads")[1] == expected


def test_cpus_that_may_be_used_are_counted():
    assert 1 <= threads.usable_cpus() <= (os.cpu_count() or 1)


def test_parallel_simplex_comes_back_from_the_ray_of_what_presolve_found_infeasible():
    """HiGHS 1.16 did not; in a process of its own, because nothing else could end it."""
    program = """
import numpy as np
from scipy.sparse import csr_array
from bondwork.contracts import Options
from bondwork.observing import Silence
from bondwork.program.matrices import Matrices
from bondwork.solver.solving import solve_program

rows = np.array([
    [1.0, -3, 0, 0], [-3, 0, 0, 0], [-1, 0, 0, 0], [0, 1, -5, 0],
    [0, -3, 1, 0], [-1, 0, 0, 0], [0, 5, 0, -5], [0, -3, 0, 0],
])
free = np.inf
most = np.array([3.0, 2, 4, 2, 0, 4, -4, 0])
least = np.array([-free, -free, 4, -free, 0, 4, -free, 0])
cost, upper = np.array([-4.0, 4, 0, -0.75]), np.array([5, 20.5, 3, 3])
given = Matrices(cost, 0.0, csr_array(rows), least, most, np.zeros(4), upper, np.zeros(4, dtype=bool))
options = Options(highs={"parallel": "on", "simplex_strategy": 3})
answer = solve_program(given, options, Silence())
print(answer.status, answer.row_duals is not None)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], check=False, capture_output=True, text=True, timeout=120.0
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "infeasible True\n", "")
