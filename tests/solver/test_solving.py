"""Programs solved by HiGHS: limits, interrupts, options, failing observers, answers."""

from __future__ import annotations

import dataclasses
import os
import signal
import threading
import time
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from scipy.sparse import csr_array

import bondwork
from bondwork.contracts import Options
from bondwork.observing import Silence
from bondwork.problem.generate import generate_round
from bondwork.program.matrices import Matrices
from bondwork.solver import construction, solving
from bondwork.solver.answer import Answer
from bondwork.solver.solving import solve_program
from hand_made import make_round, market, offer
from observers import Breakdown, Notebook
from oracle import Oracle
from program.test_scaling import make_matrices

if TYPE_CHECKING:
    from bondwork.contracts import Progress


@pytest.fixture(scope="module")
def hard() -> bondwork.Instance:
    """Return a round that takes HiGHS far longer than any test waits, but for which plans come at once."""
    bondwork.solve(bondwork.load(market()), time_limit=600.0)  # what is imported counts, the first time
    return bondwork.load(generate_round(tasks=120, coprocessors=15, offers=12, seed=0))


def test_time_limit_returns_incumbent_and_bound(hard: bondwork.Instance):
    plan = bondwork.solve(hard, strategy="extensive", time_limit=3.0, mip_rel_gap=0.0)
    assert (plan.status, plan.solution) == ("time_limit", "feasible")
    assert plan.objective is not None
    assert plan.bound is not None
    assert 0.0 < plan.objective < plan.bound < 1.2 * plan.objective
    assert plan.verified
    assert plan.prices


def test_no_time_at_all_still_gives_a_plan(hard: bondwork.Instance):
    plan = bondwork.solve(hard, strategy="extensive", time_limit=0.0)
    assert plan.status == "time_limit"
    assert plan.solution == "feasible"
    assert plan.bound is not None


@pytest.mark.parametrize("phase", ["branch and bound", ""])
def test_interrupt_returns_the_incumbent(hard: bondwork.Instance, phase: str):
    notebook = Notebook(stop_at_incumbent_of=phase)
    start = time.perf_counter()
    plan = bondwork.solve(hard, strategy="extensive", mip_rel_gap=0.0, time_limit=120.0, observer=notebook)
    assert time.perf_counter() - start < 100.0
    assert (plan.status, plan.solution) == ("interrupted", "feasible")
    assert plan.objective is not None
    assert plan.bound is not None
    reported = [each.objective for each in notebook.reports if each.objective is not None]
    assert plan.objective >= max(reported) * (1 - 1e-9)
    assert notebook.asked > 1


def test_progress_is_in_currency(hard: bondwork.Instance):
    notebook = Notebook()
    plan = bondwork.solve(hard, strategy="extensive", time_limit=3.0, mip_rel_gap=0.0, observer=notebook)
    assert plan.objective is not None
    assert plan.bound is not None
    seen = [each for each in notebook.reports if each.phase == "branch and bound"]
    assert seen
    for each in seen:
        assert each.objective is None or each.objective <= plan.objective * (1 + 1e-9)
        assert each.bound is None or each.bound >= plan.objective * (1 - 1e-9)
    assert all(a.seconds <= b.seconds for a, b in pairwise(seen))


@pytest.mark.parametrize("strategy", ["extensive", "relaxation"])
def test_stopped_before_it_starts(strategy: str):
    plan = bondwork.solve(bondwork.load(market()), strategy=strategy, observer=Notebook(seconds=-1.0))
    assert plan.status == "interrupted"
    assert plan.verified


@pytest.mark.parametrize("where", ["report", "should_stop"])
def test_what_an_observer_raises_comes_back(hard: bondwork.Instance, where: str):
    with pytest.raises(RuntimeError, match="the observer broke down"):
        bondwork.solve(
            hard, strategy="extensive", mip_rel_gap=0.0, time_limit=60.0, observer=Breakdown(where)
        )
    # and nothing of it is left behind
    assert bondwork.solve(bondwork.load(market())).status == "optimal"


class CtrlC(Notebook):
    """Presses Ctrl-C as soon as branch and bound reports."""

    def report(self, progress: Progress) -> None:
        if progress.phase == "branch and bound" and not self.reports:
            os.kill(os.getpid(), signal.SIGINT)
        if progress.phase == "branch and bound":
            super().report(progress)


def test_ctrl_c_ends_gracefully(hard: bondwork.Instance):
    # up to Python 3.12 an interrupted join of the thread in which HiGHS runs would take it for dead
    plan = bondwork.solve(hard, strategy="extensive", mip_rel_gap=0.0, time_limit=120.0, observer=CtrlC())
    assert (plan.status, plan.solution) == ("interrupted", "feasible")
    assert plan.verified


# options


def test_an_unknown_option_is_refused():
    with pytest.raises(
        bondwork.InvalidInput, match=r"options\.mip_rel_gapp: found 0, expected an option of HiGHS"
    ):
        bondwork.solve(bondwork.load(market()), highs={"mip_rel_gapp": 0})


@pytest.mark.parametrize(
    ("name", "value"), [("presolve", "maybe"), ("simplex_strategy", 99), ("mip_feasibility_tolerance", "x")]
)
def test_a_value_that_highs_refuses_is_refused(name: str, value: Any):
    with pytest.raises(bondwork.InvalidInput, match=rf"options\.{name}"):
        bondwork.solve(bondwork.load(market()), highs={name: value})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("time_limit", -1.0),
        ("time_limit", float("nan")),
        ("mip_rel_gap", -0.5),
        ("threads", -1),
        ("seed", -1),
    ],
)
def test_options_out_of_range_are_refused(name: str, value: float):
    with pytest.raises(bondwork.InvalidInput, match=f"^{name}: found"):
        bondwork.solve(bondwork.load(market()), **{name: value})


def test_several_wrong_options_are_told_at_once():
    with pytest.raises(bondwork.InvalidInput) as caught:
        bondwork.solve(bondwork.load(market()), time_limit=-1.0, threads=-1)
    assert [fault.path for fault in caught.value.faults] == ["time_limit", "threads"]


def test_options_reach_highs(monkeypatch: pytest.MonkeyPatch):
    seen: dict[str, Any] = {}

    class Watched(construction.QuietHighs):
        def run(self) -> Any:
            names = (
                "time_limit",
                "mip_rel_gap",
                "mip_abs_gap",
                "threads",
                "random_seed",
                "presolve",
                "mip_max_nodes",
            )
            seen.update({name: self.getOptionValue(name)[1] for name in names})
            seen["mip_detect_symmetry"] = self.getOptionValue("mip_detect_symmetry")[1]
            return super().run()

    monkeypatch.setattr(construction, "make_highs", Watched)
    extra = {"presolve": "off", "mip_max_nodes": 7, "mip_detect_symmetry": False}
    plan = bondwork.solve(
        bondwork.load(market()), time_limit=3300.0, mip_rel_gap=0.0, threads=1, seed=11, highs=extra
    )
    assert 3000.0 < seen.pop("time_limit") <= 3300.0
    assert seen == extra | {"mip_rel_gap": 0.0, "mip_abs_gap": 0.0, "threads": 1, "random_seed": 11}
    told = plan.provenance.options
    assert {name: told[name] for name in extra} == extra
    assert (told["time_limit"], told["mip_rel_gap"], told["threads"]) == (3300.0, 0.0, 1)
    assert (told["random_seed"], plan.provenance.seed) == (11, 11)


def test_node_limit_is_a_status():
    instance = bondwork.load(generate_round(tasks=30, coprocessors=6, offers=4, seed=1))
    plan = bondwork.solve(instance, mip_rel_gap=0.0, highs={"mip_max_nodes": 1})
    assert plan.status in ("solution_limit", "node_limit", "optimal")
    assert plan.solution != "none"


def test_threads_may_change_from_run_to_run():
    instance = bondwork.load(market())
    plans = [bondwork.solve(instance, threads=threads, mip_rel_gap=0.0) for threads in (1, 2, 1, 0, 2)]
    assert {plan.objective for plan in plans} == {19.1875}


def test_mip_rel_gap_is_kept(hard: bondwork.Instance):
    plan = bondwork.solve(hard, strategy="extensive", mip_rel_gap=0.05, time_limit=60.0)
    assert plan.status == "optimal"
    assert plan.gap is not None
    assert plan.gap <= 0.05


def test_two_solves_at_once_in_two_python_threads():
    documents = [generate_round(tasks=20, coprocessors=4, offers=3, seed=seed) for seed in (1, 2)]
    instances = [bondwork.load(document) for document in documents]
    alone = [bondwork.solve(instance, mip_rel_gap=0.0).objective for instance in instances]
    found: dict[tuple[int, int], float | None] = {}

    def work(number: int) -> None:
        for repeat in range(2):
            found[number, repeat] = bondwork.solve(
                instances[number], mip_rel_gap=0.0, threads=1 + number
            ).objective

    threads = [threading.Thread(target=work, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120.0)
    assert found == {(number, repeat): alone[number] for number in range(2) for repeat in range(2)}


# answers


def test_an_unbounded_program_is_said_to_be():
    program = make_matrices([1.0], [[-1.0]], [1.0], upper=[np.inf], integer=[False])
    answer = solve_program(program, Options(), Silence())
    assert answer.status in ("dual_infeasible", "infeasible_or_unbounded")
    assert answer.bound == np.inf


def test_a_program_without_columns():
    empty = make_matrices([], [], [])
    assert solve_program(empty, Options(), Silence()).status == "optimal"
    impossible = make_matrices([], [], [-1.0])
    assert solve_program(impossible, Options(), Silence()).status == "infeasible"


def test_an_infeasible_relaxation_has_a_ray():
    program = make_matrices(
        [1.0, 1.0], [[1.0, 1.0], [2.0, 3.0]], [1.0, 1.0], row_lower=[1.0, -np.inf], integer=[False, False]
    )
    answer = solve_program(program, Options(), Silence(), relaxed=True)
    assert answer.status == "infeasible"
    assert answer.bound == -np.inf
    assert answer.x is None


def test_a_start_is_taken():
    program = bondwork.build(bondwork.load(market()))
    best = solve_program(program, Options(mip_rel_gap=0.0), Silence())
    assert best.x is not None
    again = solve_program(program, Options(mip_rel_gap=0.0), Silence(), start=best.x)
    assert again.x is not None
    assert program.value(again.x) == program.value(best.x) == Oracle(market()).best().objective  # type: ignore[union-attr]


def test_tiny_differences_are_decided_at_gap_zero():
    # 1e-7 of the largest reward: below HiGHS's default gaps
    document = make_round(
        coprocessors=[{"id": "a"}, {"id": "b"}],
        tasks=[{"id": "t", "operator": "op", "reward": 10_000_000}],
        offers=[offer("t", "a", 2), offer("t", "b", 1)],
    )
    plan = bondwork.solve(bondwork.load(document), mip_rel_gap=0.0)
    assert [each.executor for each in plan.assignments] == ["b"]


def test_whole_columns_with_bounds_that_are_fractions() -> None:
    """A mean of scenarios has them; HiGHS alone takes 8.24 for the optimum here."""
    x = np.array([2.4, 4.68, 3.14, 3.66, 0.2, 2.5, 30.92, 19.04, 19.6, 9.95, 0.92, 1.04, 0.95])
    rows = np.zeros((13, 13))
    for row, places in enumerate([(0, 1), (2, 3), (4,), (5,)]):
        rows[row, list(places)] = 1.0
    rows[4, [1, 3, 6, 7, 8, 9, 10, 11, 12]] = [4, 3, 4, 3, 3, 2, 4, 3, 2]
    rows[5, [1, 3, 6, 7, 8, 9, 10, 11, 12]] = [30, 20, 30, 20, 20, 10, 30, 20, 10]
    share = np.array([0.1328125, 0.09765625, 0.1875, 0.1171875])
    for k, place in enumerate((0, 2, 4, 5)):
        rows[6 + k, [place, 6 + k]] = [-share[k], 1.0]
    for k, places in enumerate([(0, 1, 10), (2, 3, 11), (5, 12)]):
        rows[10 + k, list(places)] = 1.0
    program = Matrices(
        x,
        0.0,
        csr_array(rows),
        np.full(13, -np.inf),
        np.array([1, 1, 1, 1, 8, 70, 0, 0, 0, 0, 1, 1, 1], dtype=float),
        np.zeros(13),
        np.concatenate([np.ones(6), share, np.ones(3)]),
        np.ones(13, dtype=bool),
    )
    answer = solve_program(program, Options(mip_rel_gap=0.0), Silence())
    assert answer.x is not None
    assert program.value(answer.x) == pytest.approx(11.04)


def unknown_to_highs() -> Matrices:
    """A feasible program without a best point, of which HiGHS 1.15 says that it does not know what it is."""
    bundle = [(-0.375, 0.0, 3.0), (-0.25, -2.0, 1.0)]
    tail = [(-0.375, 0.0, 1.0), (0.375, 0.0, np.inf), (-0.125, -2.0, 1.0)]
    columns = [(2.0, -1.0, 3.0), (2.0, 0.0, 3.0), (2.0, -2.0, np.inf)]
    columns += [*bundle * 3, *tail, *bundle, (-0.375, 0.0, 3.0), (-0.375, -2.0, 1.0), *bundle, *tail]
    cost, lower, upper = (np.array(each) for each in zip(*columns, strict=True))
    matrix = np.zeros((2, len(columns)))
    matrix[:, :3] = [[2.0, -3.0, 0.0], [-3.0, 0.0, -1.0]]
    whole = np.zeros(len(columns), dtype=bool)
    limits = np.full(2, -np.inf), np.array([-2.0, 3.0])
    return Matrices(cost, 0.0, csr_array(matrix), *limits, lower, upper, whole)


def test_unbounded_and_infeasible_are_told_apart():
    options = Options(threads=1, mip_rel_gap=0.0)
    assert solve_program(unknown_to_highs(), options, Silence()).status == "dual_infeasible"
    free = np.full(2, -np.inf), np.full(2, np.inf)
    for whole in (False, True):
        integer = np.full(2, whole)
        rows = csr_array(np.array([[1.0, -1.0], [1.0, -1.0]]))
        limits = np.array([-np.inf, 3.0]), np.array([1.0, np.inf])
        apart = Matrices(np.ones(2), 0.0, rows, *limits, *free, integer)
        assert solve_program(apart, options, Silence()).status == "infeasible"
        open_end = dataclasses.replace(apart, row_lower=np.full(2, -np.inf))
        assert solve_program(open_end, options, Silence()).status == "dual_infeasible"


def test_a_start_that_comes_back_as_the_optimum_is_not_believed(monkeypatch):
    program = Matrices(
        objective=np.array([2.0, 3.0]),
        offset=0.0,
        matrix=csr_array(np.array([[1.0, 1.0]])),
        row_lower=np.array([-np.inf]),
        row_upper=np.array([1.0]),
        lower=np.zeros(2),
        upper=np.ones(2),
        integer=np.ones(2, dtype=bool),
    )
    honest = solving._solve_once
    starts = []

    def lying(program, options, observer, asked):
        starts.append(asked.start)
        if asked.start is not None:
            return Answer("optimal", asked.start, 3.0)
        return honest(program, options, observer, asked)

    monkeypatch.setattr(solving, "_solve_once", lying)
    start = np.array([1.0, 0.0])
    answer = solving.solve_program(program, Options(mip_rel_gap=0.0), Silence(), start=start)
    assert (answer.status, answer.bound) == ("optimal", pytest.approx(3.0))
    assert answer.x == pytest.approx([0.0, 1.0])
    assert len(starts) == 2


def test_what_presolve_enumerates_loses_no_solution():
    # HiGHS 1.16 called the program of this round infeasible; its optimum is by trying every policy
    def late(task: str, coprocessor: str, p: float, **more: Any) -> dict[str, Any]:
        return given(task, coprocessor, p, stage=2, id=f"late {task} {coprocessor}", **more)

    def given(task: str, coprocessor: str, p: float, **more: Any) -> dict[str, Any]:
        return {"task": task, "coprocessor": coprocessor, "success_probability": p, **more}

    claims = [
        {"operator": "o0", "reward": 0, "slashing": 26},
        {"operator": "o1", "reward": 8, "slashing": 0},
    ]
    document = {
        "format": "bondwork.round/1",
        "operators": [{"id": "o0"}, {"id": "o1", "stake": 20}],
        "coprocessors": [{"id": "c0"}, {"id": "c1"}],
        "tasks": [
            {"id": "t0", "operator": "o0", "reward": 2, "slashing": 10},
            {"id": "t1", "claims": claims, "unassigned_cost": 10},
        ],
        "offers": [
            given("t0", "c0", 0.41, bid=1),
            given("t1", "c0", 0.25, bid=1, collateral=5),
            given("t1", "c1", 0.41, bid=3),
            late("t0", "c0", 0.41, bid=1),
            late("t0", "c1", 0.25),
            late("t1", "c0", 0.75, operator="o1"),
            late("t1", "c1", 0.9, bid=1, collateral=10),
        ],
        "self_execution": [{"task": "t1", "operator": "o1", "success_probability": 0.95, "cost": 1}],
        "risk": [{"measure": "expected", "budget": 1, "of": "operator"}],
        "objective": {"risk_weight": 0.1, "risk_level": 0.9},
    }
    plan = bondwork.solve(bondwork.load(document), strategy="extensive", mip_rel_gap=0.0)
    assert (plan.status, plan.objective) == ("optimal", pytest.approx(6.219))
