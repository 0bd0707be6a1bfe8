"""What `auto` does where what it chose errs: another decides, the plan says so, nothing is lost."""

from __future__ import annotations

import dataclasses
import time
from typing import Any

import numpy as np
import pytest

import bondwork
from bondwork.contracts import Options, ProgramDecision, Solution
from bondwork.observing import Silence
from bondwork.problem.generate import generate_round
from bondwork.program.program_solving import solve_stochastic
from bondwork.strategies import auto
from bondwork.strategies.auto import Auto
from bondwork.strategies.extensive import Extensive
from bondwork.strategies.l_shaped.engine import Engine as CutEngine
from bondwork.strategies.l_shaped.strategy import LShaped
from hand_made import market
from observers import Breakdown
from program.stochastic_programs import toy

BEST = 19.1875


def failing(what: Any, seconds: float = 0.0) -> type:
    """Make a strategy that takes its time, then raises or hands out what it is given."""

    class Failing:
        def solve(self, *_: object) -> Any:
            time.sleep(seconds)
            if isinstance(what, Exception):
                raise what
            return what

        solve_program = solve

    return Failing


def solve(**more: Any) -> bondwork.Plan:
    return bondwork.solve(bondwork.load(market()), strategy="auto", mip_rel_gap=0.0, **more)


@pytest.mark.parametrize("status", ["other_error", "numerical_error"])
def test_a_failed_solve_is_followed_by_another(monkeypatch: pytest.MonkeyPatch, status: str):
    monkeypatch.setattr(auto, "Extensive", failing(Solution(status, None, np.inf, notes=("what it says",))))
    plan = solve()
    assert plan.verified
    assert (plan.strategy, plan.solution) == ("relaxation", "feasible")
    assert plan.provenance.notes[:3] == [
        "what it says",
        f"extensive ended with {status.replace('_', ' ')}",
        "auto chose relaxation: 10 eligible offers",
    ]


@pytest.mark.parametrize(
    "error", [ZeroDivisionError("division\n by zero"), RuntimeError(), MemoryError("all")]
)
def test_an_unexpected_error_is_followed_by_another(monkeypatch: pytest.MonkeyPatch, error: Exception):
    monkeypatch.setattr(auto, "Extensive", failing(error))
    plan = solve()
    assert plan.verified
    assert plan.strategy == "relaxation"
    assert plan.provenance.notes[0].startswith(f"extensive failed: {type(error).__name__}")
    assert "\n" not in plan.provenance.notes[0]


def test_where_highs_fails_altogether_there_still_is_a_plan(monkeypatch: pytest.MonkeyPatch):
    for name in ("Extensive", "Relaxation"):
        monkeypatch.setattr(auto, name, failing(Solution("other_error", None, np.inf)))
    plan = solve()
    assert plan.verified
    assert plan.strategy == "lagrangian"
    assert plan.objective == BEST
    monkeypatch.setattr(auto, "Lagrangian", failing(RuntimeError("no compiler")))
    plan = solve()
    assert plan.verified
    assert plan.strategy == "greedy"
    assert plan.objective is not None


def test_the_incumbent_of_the_one_that_failed_is_kept(monkeypatch: pytest.MonkeyPatch):
    program = bondwork.build(bondwork.load(market()))
    best = Extensive().solve(program, Options(mip_rel_gap=0.0), Silence())
    monkeypatch.setattr(auto, "Extensive", failing(dataclasses.replace(best, status="other_error")))
    for weaker in ("locally_infeasible", "locally_solved"):
        x = None if weaker == "locally_infeasible" else np.zeros(len(best.x))
        monkeypatch.setattr(auto, "Relaxation", failing(Solution(weaker, x, 22.0)))
        plan = solve()
        assert plan.verified
        assert (plan.objective, plan.bound, plan.status) == (BEST, 22.0, "locally_solved")
        assert "the decision is the one that extensive had found" in plan.provenance.notes
    # a better one of the second is taken
    monkeypatch.undo()
    nothing = Solution("other_error", np.zeros(len(best.x)), 25.0)
    monkeypatch.setattr(auto, "Extensive", failing(nothing))
    assert solve().objective > 0.0


def test_where_everything_fails_the_first_failure_is_told(monkeypatch: pytest.MonkeyPatch):
    for name in ("Extensive", "Relaxation", "Lagrangian", "Greedy"):
        monkeypatch.setattr(auto, name, failing(ValueError(f"{name} is out")))
    with pytest.raises(ValueError, match="Extensive is out"):
        solve()
    monkeypatch.setattr(auto, "Relaxation", failing(Solution("other_error", None, np.inf)))
    plan = solve()
    assert (plan.status, plan.solution) == ("other_error", "none")
    assert len(plan.provenance.notes) >= 4


def test_the_time_that_is_left_is_that_of_all(monkeypatch: pytest.MonkeyPatch):
    limits = []

    class Watched(auto.Relaxation):
        def solve(self, program: Any, options: Options, observer: Any) -> Solution:
            limits.append(options.time_limit)
            return super().solve(program, options, observer)

    monkeypatch.setattr(auto, "Extensive", failing(RuntimeError("late"), seconds=0.3))
    monkeypatch.setattr(auto, "Relaxation", Watched)
    program = bondwork.build(bondwork.load(market()))
    Auto().solve(program, Options(time_limit=10.0), Silence())
    assert 9.0 < limits[0] <= 9.7
    found = Auto().solve(program, Options(time_limit=0.1), Silence())
    assert limits[1] == 0.0
    assert found.x is not None


def test_what_an_observer_raises_is_not_a_failure_of_the_strategy():
    hard = bondwork.load(generate_round(tasks=60, coprocessors=15, offers=15, seed=0))
    for where in ("report", "should_stop"):
        with pytest.raises(RuntimeError, match="the observer broke down"):
            bondwork.solve(hard, strategy="auto", mip_rel_gap=0.0, time_limit=60.0, observer=Breakdown(where))


def test_wrong_options_are_refused_and_not_fallen_back_from():
    with pytest.raises(bondwork.InvalidInput):
        solve(highs={"no_such_option": 1})


# programs


@pytest.fixture
def decomposed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have `auto` take small programs apart."""
    monkeypatch.setattr(auto, "LEAST_L_SHAPED", 2)
    monkeypatch.setattr(auto, "LEAST_SCENARIOS", 2)


@pytest.mark.usefixtures("decomposed")
@pytest.mark.parametrize("what", [RuntimeError("lost"), ProgramDecision("other_error", np.inf, None)])
def test_a_failed_decomposition_is_followed_by_the_whole(monkeypatch: pytest.MonkeyPatch, what: Any):
    best = solve_stochastic(toy(), Options(mip_rel_gap=0.0), strategy="extensive")
    monkeypatch.setattr(auto, "LShaped", failing(what))
    solution = solve_stochastic(toy(), Options(mip_rel_gap=0.0), strategy="auto")
    assert solution.verified
    assert (solution.strategy, solution.objective) == ("extensive", best.objective)
    assert any(note.startswith("l-shaped") for note in solution.provenance.notes)


def test_a_failed_whole_is_followed_by_cuts(monkeypatch: pytest.MonkeyPatch):
    best = solve_stochastic(toy(), Options(mip_rel_gap=0.0), strategy="extensive")
    monkeypatch.setattr(Extensive, "solve_program", failing(RuntimeError("lost")).solve_program)
    solution = solve_stochastic(toy(), Options(mip_rel_gap=0.0), strategy="auto")
    assert (solution.strategy, solution.objective) == ("l-shaped", pytest.approx(best.objective))
    assert solution.provenance.notes[0] == "extensive failed: RuntimeError: lost"


@pytest.mark.usefixtures("decomposed")
def test_a_decomposition_that_fails_on_the_way_hands_out_what_it_has(monkeypatch: pytest.MonkeyPatch):
    best = solve_stochastic(toy(), Options(mip_rel_gap=0.0), strategy="extensive")
    run = CutEngine.run

    def broken(self: CutEngine, start: Any) -> Any:
        run(self, start)
        raise FloatingPointError("after the last step")

    monkeypatch.setattr(CutEngine, "run", broken)
    decision = LShaped().solve_program(toy(), Options(mip_rel_gap=0.0), Silence())
    assert decision.status == "other_error"
    assert decision.root is not None
    assert decision.notes[-1] == "l-shaped failed: FloatingPointError: after the last step"
    # and `auto` keeps it where the whole has nothing
    monkeypatch.setattr(Extensive, "solve_program", lambda *_: ProgramDecision("time_limit", np.inf, None))
    solution = solve_stochastic(toy(), Options(mip_rel_gap=0.0), strategy="auto")
    assert solution.verified
    assert (solution.status, solution.objective) == ("time_limit", pytest.approx(best.objective))
    assert "the decision is the one that l-shaped had found" in solution.provenance.notes


def test_lagrangian_hands_out_what_it_has_where_it_fails_on_the_way(monkeypatch: pytest.MonkeyPatch):
    from bondwork.strategies.lagrangian.engine import Engine

    work = Engine._work

    def broken(self: Engine) -> None:
        try:
            work(self)
        finally:
            raise ZeroDivisionError("after the last dive")

    monkeypatch.setattr(Engine, "_work", broken)
    instance = bondwork.load(market())
    plan = bondwork.solve(instance, strategy="lagrangian")
    assert plan.verified
    assert (plan.status, plan.objective) == ("optimal", BEST)  # what bound and plan prove is proven
    assert plan.provenance.notes == ["lagrangian failed: ZeroDivisionError: after the last dive"]
