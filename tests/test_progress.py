"""What observers are told: incumbents that keep every limit, bounds that hold, in the right sense."""

from __future__ import annotations

from typing import Any

import pytest

import bondwork
from bondwork.console import Watch
from bondwork.contracts import Options, Progress
from bondwork.problem.generate import generate_round
from bondwork.program.program_solving import solve_stochastic
from bondwork.program.stochastic import StochasticProgram
from bondwork.program.template import NodeTemplate
from observers import Notebook
from program.stochastic_programs import toy

#: Sums in another order.
ROUNDING = 1e-9


def check(notebook: Notebook, optimum: float, sense: str = "max") -> None:
    """No report may say what is not so, nor take anything back."""
    sign = 1.0 if sense == "max" else -1.0
    room = ROUNDING * max(1.0, abs(optimum))
    best, bound, seconds = -float("inf"), float("inf"), 0.0
    for each in notebook.reports:
        assert each.sense == sense
        assert each.seconds >= seconds
        seconds = each.seconds
        if each.objective is not None:
            assert best <= sign * each.objective <= sign * optimum + room
            best = sign * each.objective
        if each.bound is not None:
            assert sign * optimum - room <= sign * each.bound <= bound
            bound = sign * each.bound
            assert bound >= best


@pytest.mark.parametrize("seed", [2, 3, 5])
@pytest.mark.parametrize("risk_form", ["cuts", "rows"])
def test_incumbents_keep_limits_that_are_generated(seed: int, risk_form: Any) -> None:
    document = generate_round(9, 3, 3, seed, tightness=1.0, risk_budget=60)
    document["uncertainty"]["scenarios"] = 128
    instance = bondwork.load(document)
    exact = bondwork.solve(instance, strategy="extensive", mip_rel_gap=0.0)
    assert exact.status == "optimal"
    assert exact.objective is not None
    for strategy in ("extensive", "lagrangian", "relaxation", "greedy"):
        notebook = Notebook()
        plan = bondwork.solve(
            instance, strategy=strategy, mip_rel_gap=0.0, risk_form=risk_form, observer=notebook
        )
        check(notebook, exact.objective)
        told = [each.objective for each in notebook.reports if each.objective is not None]
        assert plan.objective is not None
        assert told
        assert max(told) <= plan.objective + ROUNDING * abs(plan.objective)


def test_calibration_tells_no_incumbent_that_does_not_hold() -> None:
    document = generate_round(12, 4, 3, 1, tightness=1.0, risk_budget=40)
    document["risk"][0]["calibrate"] = True
    document["uncertainty"] = {"scenarios": 64}
    notebook = Notebook()
    plan = bondwork.solve(bondwork.load(document), strategy="extensive", mip_rel_gap=0.0, observer=notebook)
    assert plan.objective is not None
    for each in notebook.reports:
        assert each.objective is None or each.objective <= plan.objective + ROUNDING
        assert each.bound is None or each.bound >= plan.objective - ROUNDING


@pytest.mark.parametrize("risk", [[], [{"measure": "expected", "budget": 1}]])
def test_both_stages_are_one_solve(risk: list[dict[str, Any]]) -> None:
    document = generate_round(5, 3, 2, 5, rescue=2, tightness=1.0)
    document["uncertainty"]["scenarios"] = 16
    document["risk"] = risk
    instance = bondwork.load(document)
    exact = bondwork.solve(instance, mip_rel_gap=0.0)
    assert exact.objective is not None
    for strategy in ("extensive", "greedy", "wait-and-see", "expected-value"):
        notebook = Notebook()
        bondwork.solve(instance, strategy=strategy, mip_rel_gap=0.0, value=True, observer=notebook)
        check(notebook, exact.objective)


def test_money_of_later_periods_is_in_currency() -> None:
    """Amounts so large that the program counts in another unit."""
    offer = {"task": "t", "coprocessor": "cp", "bid": 1e18, "success_probability": 1}
    task = {"id": "t", "operator": "op", "reward": 5e18}
    document = {
        "format": "bondwork.round/1",
        "operators": [{"id": "op"}],
        "coprocessors": [{"id": "cp"}],
        "tasks": [task],
        "offers": [offer],
        "periods": [{"id": "p", "at": 9, "tasks": [task], "offers": [offer]}],
    }
    notebook = Notebook()
    plan = bondwork.solve(bondwork.load(document), observer=notebook)
    assert plan.objective == pytest.approx(8e18)
    check(notebook, plan.objective)
    assert notebook.reports[-1].objective == pytest.approx(8e18)


@pytest.mark.parametrize("sense", ["max", "min"])
@pytest.mark.parametrize("strategy", ["extensive", "l-shaped", "wait-and-see", "expected-value", "saa"])
def test_programs_are_told_of_in_their_own_sense(sense: str, strategy: str) -> None:
    program = toy(sense)
    notebook = Notebook()
    solve_stochastic(program, Options(mip_rel_gap=0.0), notebook, strategy=strategy, value=True)
    optimum = 6.0 if sense == "max" else -6.0
    if strategy == "wait-and-see":
        assert all(each.objective is None for each in notebook.reports)
        return
    check(notebook, optimum, sense)
    assert notebook.reports[-1].objective is not None


def whole_program() -> StochasticProgram:
    """A knapsack of five whole columns, minimised, over two scenarios."""
    room = [(0, 0, j, 2.0 + j) for j in range(5)]
    first = NodeTemplate.make(0, [f"x{j}" for j in range(5)], ["room"], cost=[-3, -5, -4, -7, -6], upper=1.0,
                              integer=True, row_upper=9.0, entries=room)  # fmt: skip
    later = NodeTemplate.make(1, ["y"], ["more"], cost=2.0, upper=10.0, integer=True, row_lower=1.0,
                              entries=[(0, 0, 0, 1.0), (0, 1, 0, 1.0)])  # fmt: skip
    return StochasticProgram.from_changes(
        "whole", "min", [first, later], parent=[-1, 0, 0], template=[0, 1, 1],
        conditional=[1.0, 0.5, 0.5], changes=[{}, {}, {("row_lower", 0): 3.0}],
    )  # fmt: skip


@pytest.mark.parametrize("strategy", ["extensive", "l-shaped"])
def test_whole_programs_that_are_minimised(strategy: str) -> None:
    program = whole_program()
    optimum = solve_stochastic(program, Options(mip_rel_gap=0.0)).objective
    assert optimum is not None
    assert optimum < 0.0
    notebook = Notebook()
    solve_stochastic(program, Options(mip_rel_gap=0.0), notebook, strategy=strategy)
    check(notebook, optimum, "min")


def test_the_terminal_shows_a_minimisation_as_it_is() -> None:
    shown: list[str] = []

    class Line:
        def update(self, text: str) -> None:
            shown.append(text)

    watch = Watch()
    watch._status = Line()
    watch.report(Progress(1.0, -121.6, -124.384, "extensive form", "min"))
    watch.report(Progress(1.0, 121.6, 124.384, "extensive form"))
    assert "incumbent -121.6, bound -124.384, gap 2.24%" in shown[0]
    assert "incumbent 121.6, bound 124.384, gap 2.24%" in shown[1]


def test_a_trajectory_is_of_the_program_alone() -> None:
    """Problems of single scenarios, solved for the value of the model, are no progress."""
    from bondwork.comparison.comparison import compare_study
    from bondwork.comparison.study import make_study

    found = {}
    for value in (False, True):
        study = make_study([toy("min")], strategies=["extensive"], mip_rel_gap=0.0, value=value)
        (row,) = compare_study(study).rows
        found[value] = [point[1:] for point in row.trajectory]
        assert row.trajectory[-1][1:] == (-6.0, -6.0)
    assert found[True] == found[False]
