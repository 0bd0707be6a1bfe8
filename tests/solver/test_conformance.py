"""Answers that any version of HiGHS that is allowed must give, by enumeration or by construction."""

from __future__ import annotations

import dataclasses
import math
import threading
import time
from typing import Any

import numpy as np
import pytest
from scipy.sparse import csr_array

import bondwork
from bondwork.contracts import Options
from bondwork.observing import Silence
from bondwork.program.matrices import Matrices
from bondwork.solver import construction
from bondwork.solver.answer import read_answer
from bondwork.solver.live import LiveLP
from bondwork.solver.options import FORBIDDEN_OPTIONS, set_options
from bondwork.solver.solving import solve_program
from bondwork.solver.watching import Watch
from observers import Notebook
from program.test_scaling import make_matrices
from solver.small_programs import best_value, feasible_program, random_program

EXACT = Options(threads=1, mip_rel_gap=0.0)


@pytest.mark.parametrize("seeds", [range(100 * k, 100 * k + 100) for k in range(3)], ids=str)
def test_optima_by_enumeration(seeds: range):
    for seed in seeds:
        program = random_program(np.random.default_rng(seed))
        best = best_value(program)
        answer = solve_program(program, EXACT, Silence())
        assert answer.status == ("infeasible" if best is None else "optimal"), seed
        if best is not None:
            assert answer.x is not None
            assert program.value(answer.x) == pytest.approx(best, rel=1e-6, abs=1e-6), seed
            assert answer.bound >= best - 1e-6 * max(1.0, abs(best)), seed
            assert np.all(program.excess(answer.x) <= 1e-6), seed


def test_what_is_feasible_by_construction_is_not_called_infeasible():
    for seed in range(150):
        program, point = feasible_program(np.random.default_rng(seed))
        answer = solve_program(program, EXACT, Silence())
        assert answer.status == "optimal", seed
        assert answer.x is not None
        value = program.value(point)
        assert program.value(answer.x) >= value - 1e-6 * max(1.0, abs(value)), seed
        assert answer.bound >= value - 1e-6 * max(1.0, abs(value)), seed


# programs of which one version or another says what is not so: (name, program, optimum)
WRONG_ONCE = [
    # 1.14.0: a column is stuffed into a row whose other column is whole
    (
        "a cover",
        make_matrices([-2, -3], [[1, 1]], [np.inf], row_lower=[4.5], upper=[10.0, 10.0], integer=[0, 1]),
        -9.0,
    ),
    (
        "a cover with a floor",
        make_matrices(
            [-1, -2],
            [[1, 1]],
            [np.inf],
            row_lower=[20.1],
            lower=[0.0, 8.0],
            upper=[20.0, 20.0],
            integer=[1, 0],
        ),
        -28.2,
    ),
    (
        "big M",
        make_matrices(
            [0, -2, -99999],
            [[1, 1, 0], [1, 0, -100]],
            [10.0, 0.0],
            row_lower=[10.0, -np.inf],
            upper=[np.inf, np.inf, 1.0],
            integer=[0, 0, 1],
        ),
        -20.0,
    ),
    (
        "a distance",
        make_matrices(
            [-100, -0.01, 0],
            [[1, 0, 1], [0, -1, 1], [0, -1, -1]],
            [3.0, 0.0, 0.0],
            row_lower=[3.0, -np.inf, -np.inf],
            lower=[0.0, -np.inf, 0.45],
            upper=[np.inf, np.inf, 3.0],
            integer=[0, 0, 1],
        ),
        -0.03,
    ),
    # 1.12.0: feasible, and called infeasible
    (
        "decimals",
        make_matrices(
            [24, -5, -7.4, -9],
            [
                [96.55, 0, -32.45, 88.78],
                [-3.14, -78.02, 0, 0],
                [0, 11.8, -21.94, 0],
                [0, 0, 91.59, -10.58],
                [79.17, 1.73, 0, -73.23],
                [-10.61, -94.66, 0, 76.88],
            ],
            [1216.06, -50.5404, 3.422, -35.25, 411.403, 195.69],
            lower=np.full(4, -100.0),
            upper=np.full(4, 100.0),
            integer=[0, 0, 1, 1],
        ),
        175.91,
    ),
    # 1.12 and 1.13: presolve undoes its steps wrongly; neither a plan nor a proof that there is none
    (
        "a parity",
        make_matrices(
            [3000, 4000, -1000],
            [[0, 5, 2], [0, 2, 3], [-2, -2, 0]],
            [-1.1, -4.0, 7.7],
            row_lower=[-1.1, -np.inf, -np.inf],
            lower=[-2.0, 0.0, -3.0],
            upper=[-2.0, 1.0, -1.0],
        ),
        None,
    ),
]


@pytest.mark.parametrize(
    ("program", "optimum"), [each[1:] for each in WRONG_ONCE], ids=[each[0] for each in WRONG_ONCE]
)
def test_what_versions_were_wrong_about(program: Matrices, optimum: float | None):
    answer = solve_program(program, EXACT, Silence())
    assert answer.status == ("infeasible" if optimum is None else "optimal")
    if optimum is not None:
        assert answer.x is not None
        assert program.value(answer.x) == pytest.approx(optimum, abs=0.01)


# numbers


@pytest.mark.parametrize("whole", [True, False])
def test_what_is_no_number_is_an_error_and_no_optimum(whole: bool):
    for name, at in (("objective", 0), ("row_upper", 0), ("upper", 1), ("lower", 1)):
        fields: dict[str, Any] = {
            "objective": np.ones(2),
            "row_upper": np.ones(1),
            "upper": np.ones(2),
            "lower": np.zeros(2),
        }
        fields[name][at] = math.nan
        rows = csr_array(np.ones((1, 2)))
        program = Matrices(
            offset=0.0, matrix=rows, row_lower=np.zeros(1), integer=np.full(2, whole), **fields
        )
        answer = solve_program(program, EXACT, Silence())
        assert (answer.status, answer.x) == ("numerical_error", None), name


def live(entry: float) -> LiveLP:
    lp = LiveLP()
    columns = np.ones(2), np.zeros(2), np.full(2, 9.0)
    rows = np.full(1, -np.inf), np.ones(1), np.array([0, 2])
    lp.load(*columns, *rows, np.arange(2), np.array([1.0, entry]))
    return lp


@pytest.mark.parametrize("entry", [1e16, math.nan])
def test_a_number_that_highs_refuses_is_an_error_until_another_program_comes(entry: float):
    # 1.16 takes the empty program in place of the one that it refused, and calls that optimal
    lp = live(entry)
    assert (lp.solve(), lp.is_loaded) == ("numerical_error", False)
    assert live(2.0).solve() == "optimal"


def test_a_refused_change_is_an_error():
    lp = live(2.0)
    assert lp.solve() == "optimal"
    lp.change_entries(np.array([0]), np.array([1]), np.array([1e16]))
    assert lp.solve() in ("numerical_error", "other_error")


def test_a_program_without_rows_and_one_that_is_all_fixed():
    free = make_matrices([1.0, -1.0], [], [], lower=[-2.0, -3.0], upper=[2.5, 3.0], integer=[True, False])
    answer = solve_program(free, EXACT, Silence())
    assert (answer.status, answer.x.tolist()) == ("optimal", [2.0, -3.0])
    fixed = make_matrices([1.0], [[2.0]], [7.0], lower=[3.0], upper=[3.0])
    assert solve_program(fixed, EXACT, Silence()).x.tolist() == [3.0]


# a program that is kept


def test_a_kept_program_answers_as_a_new_one_would():
    random = np.random.default_rng(7)
    for seed in range(30):
        program, _ = feasible_program(np.random.default_rng(seed))
        rows, columns = program.matrix.nonzero()
        m, n = program.matrix.shape
        cost, low, high = program.objective.copy(), program.lower.copy(), program.upper.copy()
        at_least, at_most, entries = (
            program.row_lower.copy(),
            program.row_upper.copy(),
            program.matrix.data.copy(),
        )
        lp = LiveLP({"presolve": "off", "solver": "simplex"})
        lp.load(cost, low, high, at_least, at_most, program.matrix.indptr, program.matrix.indices, entries)
        for _ in range(6):
            changed = csr_array((entries, program.matrix.indices, program.matrix.indptr), shape=(m, n))
            whole = np.zeros(n, dtype=bool)
            again = solve_program(
                Matrices(cost, 0.0, changed, at_least, at_most, low, high, whole), EXACT, Silence()
            )
            status = lp.solve()
            assert status == again.status
            if status == "optimal":
                assert lp.value() == pytest.approx(again.bound, rel=1e-6, abs=1e-6)
            elif status == "infeasible":
                assert lp.dual_ray() is not None
            column, row, entry = (int(random.integers(size)) for size in (n, m, len(entries)))
            cost[column] += 1.0
            high[column] = max(low[column], high[column] - 1.0)
            at_most[row] += float(random.integers(-2, 3)) if at_most[row] - 3.0 > at_least[row] else 0.0
            entries[entry] = 0.5
            lp.change_costs(np.array([column]), cost[[column]])
            lp.change_columns(np.array([column]), low[[column]], high[[column]])
            lp.change_rows(np.array([row]), at_least[[row]], at_most[[row]])
            lp.change_entries(rows[[entry]], columns[[entry]], entries[[entry]])


def test_rows_come_and_go():
    lp = live(1.0)
    assert (lp.solve(), lp.value()) == ("optimal", 1.0)
    lp.add_rows(np.full(1, -np.inf), np.array([0.25]), np.array([0, 1]), np.array([0]), np.array([1.0]))
    lp.change_rows(np.array([0]), np.array([-np.inf]), np.array([5.0]))
    lp.change_costs(np.array([1]), np.array([0.5]))
    assert (lp.solve(), lp.value()) == ("optimal", 0.25 + 0.5 * 4.75)
    lp.delete_rows(np.array([1]))
    assert (lp.solve(), lp.value()) == ("optimal", 5.0)


# limits


@pytest.fixture(scope="module")
def hard() -> Matrices:
    """Return a program with plans that come at once and no proof within any test's time."""
    random = np.random.default_rng(3)
    matrix = random.integers(1, 60, (120, 1200)) * (random.random((120, 1200)) < 0.2)
    cost = random.integers(1, 100, 1200).astype(float)
    limits = np.full(120, -np.inf), np.full(120, 300.0)
    ends = np.zeros(1200), np.ones(1200)
    return Matrices(cost, 0.0, csr_array(matrix.astype(float)), *limits, *ends, np.ones(1200, dtype=bool))


@pytest.mark.parametrize("threads", [1, 2])
def test_a_time_limit_keeps_plan_and_bound_and_is_no_interrupt(hard: Matrices, threads: int):
    started = time.perf_counter()
    answer = solve_program(hard, Options(time_limit=1.5, mip_rel_gap=0.0, threads=threads), Silence())
    assert time.perf_counter() - started < 15.0
    assert answer.status == "time_limit"
    assert answer.x is not None
    assert np.all(hard.excess(answer.x) <= 1e-6)
    assert hard.value(answer.x) <= answer.bound < math.inf


@pytest.mark.parametrize("seconds", [0.0, 1e-9, 0.01, 0.3])
@pytest.mark.parametrize("relaxed", [True, False])
def test_the_shortest_limits(hard: Matrices, seconds: float, relaxed: bool):
    answer = solve_program(hard, Options(time_limit=seconds, mip_rel_gap=0.0), Silence(), relaxed=relaxed)
    assert answer.status == "time_limit" or (relaxed and answer.status == "optimal")


@pytest.mark.parametrize("solver", ["simplex", "ipm", "pdlp"])
def test_limits_of_every_algorithm(hard: Matrices, solver: str):
    for seconds in (0.0, 0.005, 0.02, 0.1):
        options = Options(time_limit=seconds, highs={"solver": solver, "presolve": "off"})
        answer = solve_program(hard, options, Silence(), relaxed=True)
        assert answer.status in ("time_limit", "optimal"), seconds
    stopped = solve_program(hard, dataclasses.replace(options, time_limit=60.0), Notebook(seconds=-1.0))
    assert stopped.status == "interrupted"


def test_an_observer_with_the_same_clock_is_a_time_limit(hard: Matrices):
    watch = Notebook(seconds=1.0)
    answer = solve_program(hard, Options(time_limit=1.0, mip_rel_gap=0.0), watch)
    assert answer.status == "time_limit"


def test_who_stops_before_the_limit_interrupts(hard: Matrices):
    answer = solve_program(hard, Options(time_limit=60.0, mip_rel_gap=0.0), Notebook(seconds=1.5))
    assert answer.status == "interrupted"
    assert answer.x is not None
    assert answer.bound < math.inf


def test_limits_in_several_threads_are_each_ones_own(hard: Matrices):
    found: dict[float, tuple[str, float]] = {}

    def work(seconds: float) -> None:
        started = time.perf_counter()
        answer = solve_program(hard, Options(time_limit=seconds, mip_rel_gap=0.0, threads=1), Silence())
        found[seconds] = (answer.status, time.perf_counter() - started)

    workers = [threading.Thread(target=work, args=(seconds,)) for seconds in (0.5, 1.5, 3.0)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60.0)
    assert {status for status, _ in found.values()} == {"time_limit"}
    assert all(taken >= seconds - 0.05 for seconds, (_, taken) in found.items())


def test_a_kept_program_has_the_time_of_each_solve(hard: Matrices):
    lp = LiveLP({"solver": "simplex", "presolve": "off"})
    matrix = hard.matrix.indptr, hard.matrix.indices, hard.matrix.data
    lp.load(hard.objective, hard.lower, hard.upper, hard.row_lower, hard.row_upper, *matrix)
    assert lp.solve(0.0) == "time_limit"
    assert lp.solve(1e-9) == "time_limit"
    assert lp.solve() == "optimal"  # no limit is left over
    lp.change_costs(np.arange(10), np.full(10, 200.0))
    assert lp.solve(60.0) == "optimal"


def test_a_plan_found_before_a_failure_is_kept(hard: Matrices):
    """Of a run that fails, what it reported on the way is there, if it is a plan."""
    program = make_matrices([3.0, 2.0], [[1.0, 1.0]], [1.0])
    scaled = bondwork.program.scaling.scale(program)
    for incumbent, kept in (([1.0, 0.0], True), ([0.9999999, 0.0], True), ([1.0, 1.0], False)):
        failed = construction.make_highs()  # has solved nothing, and says so
        answer = read_answer(failed, program, scaled, np.array(incumbent), relaxed=False)
        assert answer.status == "other_error"
        assert (answer.x is not None) == kept
        if answer.x is not None:
            assert answer.x.tolist() == [1.0, 0.0]


def test_an_interrupt_that_nobody_wanted_is_an_error():
    watch = Watch(1.0, 60.0, Silence(), "")
    assert watch.tell_apart("interrupted") == "other_error"
    watch.asked = True
    assert watch.tell_apart("interrupted") == "interrupted"
    assert Watch(1.0, 0.0, Silence(), "").tell_apart("interrupted") == "time_limit"
    assert watch.tell_apart("optimal") == "optimal"


# options


@pytest.mark.parametrize(
    ("name", "given", "held"),
    [
        ("mip_rel_gap", 0, 0.0),
        ("mip_rel_gap", "0.25", 0.25),
        ("mip_detect_symmetry", False, False),
        ("mip_detect_symmetry", "false", False),
        ("mip_max_nodes", 7, 7),
        ("mip_max_nodes", "7", 7),
        ("presolve", "off", "off"),
        ("mip_lp_solver", "simplex", "simplex"),
        ("small_matrix_value", 1e-12, 1e-12),
    ],
)
def test_options_are_taken_in_any_type(name: str, given: Any, held: Any):
    highs = construction.make_highs()
    set_options(highs, {}, {name: given})
    assert highs.getOptionValue(name)[1] == held


def test_every_wrong_option_is_told_at_once():
    given = {"presolve": "maybe", "no_such": 1, "mip_max_nodes": 1.5, "log_file": "x", "random_seed": -1}
    with pytest.raises(bondwork.InvalidInput) as caught:
        set_options(construction.make_highs(), {}, given)
    paths = {fault.path for fault in caught.value.faults}
    assert paths == {f"options.{name}" for name in given}


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("threads", 99_999_999_999),
        ("random_seed", "4294967297"),
        ("mip_max_nodes", 2**31),
        ("time_limit", math.nan),
        ("mip_rel_gap", ""),
        ("small_matrix_value", 1),
        ("small_matrix_value", "1e-8"),
        ("infinite_bound", 1e3),
        ("infinite_cost", 1e15),
        ("large_matrix_value", 1e6),
    ],
)
def test_a_number_that_highs_would_make_another_of_is_a_fault(name: str, given: Any):
    with pytest.raises(bondwork.InvalidInput, match=f"options.{name}"):
        set_options(construction.make_highs(), {}, {name: given})


def test_options_that_write_or_change_the_meaning_are_forbidden():
    for name in FORBIDDEN_OPTIONS:
        with pytest.raises(bondwork.InvalidInput, match=f"options.{name}"):
            set_options(construction.make_highs(), {}, {name: "1"})
    for path in ("write_", "read_", "file", "scale"):  # those that a new version brings are looked at
        assert not [
            each
            for each in dir(construction.highspy.HighsOptions())
            if path in each and each not in FORBIDDEN_OPTIONS and each not in ALLOWED
        ]


#: Options of HiGHS whose names look like those that are forbidden, and are not.
ALLOWED = {
    "write_solution_style",
    "simplex_scale_strategy",
    "allowed_matrix_scale_factor",
    "pdlp_scaling_mode",
    "pdlp_scaling",
    "ipx_dualize_strategy",
}
