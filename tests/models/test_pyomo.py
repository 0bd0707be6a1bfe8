"""The Pyomo model as people meet it: to read, to add to, to write to a file; and compiled by identity."""

from __future__ import annotations

from typing import TYPE_CHECKING

import highspy
import numpy as np
import pyomo.environ as pyo
import pytest
from pyomo.repn.plugins.standard_form import LinearStandardFormCompiler

from bondwork.solver.construction import make_highs
from bondwork_models.pyomo import PyomoFormulation
from models.rounds import random_round, small_round

if TYPE_CHECKING:
    from pathlib import Path

#: By hand: of task 1 offer 3 (3.8125) is better than offer 4, offers 0 and 2 exceed the stake, offer 1 loses.
BEST = 3.8125 - 2.5


def solve_file(path: Path) -> tuple[highspy.HighsModelStatus, float]:
    highs = make_highs()
    assert highs.readModel(str(path)) == highspy.HighsStatus.kOk
    highs.run()
    return highs.getModelStatus(), highs.getObjectiveValue()


def test_model_reads_like_the_round() -> None:
    model = PyomoFormulation().model(small_round())
    assert str(model.one_executor[0].expr) == "x[0] + x[1] + x[2]  <=  1.0"
    assert str(model.stake[0].expr) == "32.0*x[0] + 32.0*x[2] + 12.0*x[3] + 12.0*x[4]  <=  30.0"
    assert str(model.operator_capacity[0, 0].expr) == "2.5*x[2] + x[4]  <=  3.0"
    assert str(model.deadline[1, 400.0].expr) == "50.0*x[3] + 90.0*x[1]  <=  300.0"
    assert str(model.one_executor[3].expr) == "nothing  <=  1.0"
    assert model.one_executor[1].lower == model.one_executor[1].upper == 1.0


def test_model_written_to_a_file(tmp_path: Path) -> None:
    path = tmp_path / "round.lp"
    PyomoFormulation().model(small_round()).write(str(path))
    status, objective = solve_file(path)
    assert status == highspy.HighsModelStatus.kOptimal
    assert objective == pytest.approx(BEST)


def test_constraints_can_be_added(tmp_path: Path) -> None:
    model = PyomoFormulation().model(small_round())
    model.not_this_one = pyo.Constraint(expr=model.x[3] == 0)
    path = tmp_path / "round.lp"
    model.write(str(path))
    _, objective = solve_file(path)
    assert objective == pytest.approx(-8.0 - 2.5)


def test_a_required_task_without_offers_stays_infeasible(tmp_path: Path) -> None:
    instance = random_round(2, operators=1, coprocessors=1, tasks=9, resources=1, density=0.0)
    model = PyomoFormulation().model(instance)
    assert any(row.lower == 1.0 for row in model.one_executor.values())
    path = tmp_path / "round.lp"
    model.write(str(path))
    assert solve_file(path)[0] == highspy.HighsModelStatus.kInfeasible


def test_rows_and_columns_are_known_by_identity(monkeypatch: pytest.MonkeyPatch) -> None:
    instance = random_round(9, operators=2, coprocessors=3, tasks=9, resources=2)
    plain = PyomoFormulation().build(instance)
    write = LinearStandardFormCompiler.write

    def shuffled(*args: object, **options: object) -> object:
        form = write(*args, **options)
        rng = np.random.default_rng(0)
        rows, columns = rng.permutation(len(form.rows)), rng.permutation(len(form.columns))
        form.A = form.A[rows][:, columns]
        form.c = form.c[:, columns]
        form.rhs = np.asarray(form.rhs)[rows]
        form.rows = [form.rows[i] for i in rows]
        form.columns = [form.columns[j] for j in columns]
        return form

    monkeypatch.setattr(LinearStandardFormCompiler, "write", shuffled)
    program = PyomoFormulation().build(instance)
    assert plain.matrix.nnz
    np.testing.assert_array_equal(program.matrix.toarray(), plain.matrix.toarray())
    for name in ("objective", "row_lower", "row_upper"):
        np.testing.assert_array_equal(getattr(program, name), getattr(plain, name))
