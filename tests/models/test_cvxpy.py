"""The CVXPY problem as people meet it: to solve, and to add to."""

from __future__ import annotations

import cvxpy as cp
import pytest

from bondwork_models.cvxpy import CvxpyFormulation
from models.rounds import small_round


def test_problem_is_solved_to_the_optimum_by_hand() -> None:
    problem = CvxpyFormulation().problem(small_round())
    assert problem.solve(solver=cp.HIGHS) == pytest.approx(3.8125 - 2.5)
    (x,) = problem.variables()
    assert x.value == pytest.approx([0.0, 0.0, 0.0, 1.0, 0.0])


def test_constraints_can_be_added() -> None:
    problem = CvxpyFormulation().problem(small_round())
    (x,) = problem.variables()
    narrower = cp.Problem(problem.objective, [*problem.constraints, x[3] == 0])
    assert narrower.solve(solver=cp.HIGHS) == pytest.approx(-8.0 - 2.5)
