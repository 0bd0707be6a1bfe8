"""A solution where none is said to be: found without a solver, or left open; never made up."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING

import pytest
from hypothesis import given

from bondwork.contracts import Options
from bondwork.program.program_recount import recount
from bondwork.program.program_search import SolutionSearch, name_solution
from bondwork.program.program_solving import solve_stochastic
from bondwork.program.program_verify import verify_solution
from bondwork.program.stochastic import StochasticProgram
from bondwork.program.template import NodeTemplate
from program.open_programs import open_program
from program.stochastic_programs import best, programs, toy

if TYPE_CHECKING:
    from bondwork.program.program_solution import ProgramSolution


def said_infeasible(program: StochasticProgram) -> dict[str, object]:
    """A solution that claims that there is none, and proves nothing."""
    solution: ProgramSolution = solve_stochastic(program, Options(threads=1), certificate="none")
    told: dict[str, object] = json.loads(solution.to_json())
    told |= {"status": "infeasible", "solution": "none", "objective": None, "bound": None, "gap": None}
    return told | {"first_stage": {}, "verified": False, "certificate": None}


@given(programs(whole=True))
def test_it_finds_what_there_is_and_nothing_else(program: StochasticProgram) -> None:
    found = SolutionSearch(program).run()
    assert (found is None) == (best(program) is None)
    if found is not None:
        assert not recount(program, found).violations


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize("scale", [1.0, 1e9])
def test_points_in_the_rows(scale: float, *, whole: bool) -> None:
    # feasible, every one
    found = [SolutionSearch(open_program(seed, scale=scale, whole=whole)).run() for seed in range(12)]
    assert sum(each is not None for each in found) >= 11


def test_a_false_claim_is_refused_and_the_solution_named() -> None:
    told = said_infeasible(knapsack(7.0))
    verdict = verify_solution(knapsack(7.0), told)
    (violation,) = verdict.violations
    assert violation.what == "status"
    assert "there is a solution, node 0 with x = 1, y = 1" in violation.expected


def test_a_true_claim_stays_unchecked() -> None:
    # 3 x + 5 y = 7 has no whole solution, and a fraction between: no multipliers prove it
    verdict = verify_solution(knapsack(7.0, 5.0), said_infeasible(knapsack(7.0, 5.0)))
    assert verdict and verdict.unchecked == ("infeasibility: not proven",)


def knapsack(level: float, second: float = 4.0) -> StochasticProgram:
    """3 x + second y = level, whole."""
    root = NodeTemplate.make(
        0, ["x", "y"], ["fills"], cost=1.0, upper=9.0, integer=True, row_lower=level, row_upper=level,
        entries=[(0, 0, 0, 3.0), (0, 0, 1, second)],
    )  # fmt: skip
    return StochasticProgram.from_changes(
        "knapsack", "max", [root], parent=[-1], template=[0], conditional=[1.0], changes=[{}]
    )


def test_it_ends_when_its_time_is_up() -> None:
    assert SolutionSearch(knapsack(7.0), seconds=-math.inf).run() is None


def test_names() -> None:
    values = SolutionSearch(toy()).run()
    assert values is not None and name_solution(toy(), values) == "every column at 0"
