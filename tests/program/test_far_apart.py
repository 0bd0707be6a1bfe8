"""Programs whose amounts lie so far apart that a solver in doubles leaves some out: nothing false is said."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from bondwork.contracts import Options
from bondwork.problem.faults import InvalidInput
from bondwork.program.evening import even_units, leaves_out
from bondwork.program.extensive import extensive_form
from bondwork.program.program_solving import solve_stochastic
from bondwork.program.program_verify import verify_solution
from bondwork.program.stochastic import StochasticProgram
from bondwork.program.template import NodeTemplate
from program.hostile_programs import exact_optimum, hostile_program

EXACT = Options(threads=1, mip_rel_gap=0.0)


def one_stage(sense: str, **fields: Any) -> StochasticProgram:
    width = len(fields["cost"])
    root = NodeTemplate.make(0, [f"x{k}" for k in range(width)], ["row"], **fields)
    later = NodeTemplate.make(1, [], [], cost=[])
    return StochasticProgram.from_changes(
        "far apart", sense, [root, later], parent=[-1, 0, 0], template=[0, 1, 1],
        conditional=[1.0, 0.5, 0.5], changes=[{}, {}, {}],
    )  # fmt: skip


@pytest.mark.parametrize("strategy", ["extensive", "l-shaped", "auto"])
def test_a_program_of_1e35_is_not_infeasible(strategy: str) -> None:
    # what x2 has to make up for is 3.5e23, at 1.65e-8 a unit: a coefficient that HiGHS drops
    program = one_stage(
        "max",
        cost=[0.0242, 0.0, -43900.0],
        lower=[1e11, 0.0, -math.inf],
        upper=[1e11, 2e10, math.inf],
        row_lower=[-0.0201],
        row_upper=[0.0201],
        entries=[(0, 0, 0, -4.65e12), (0, 0, 1, 5.77e12), (0, 0, 2, 1.65e-8)],
    )
    least = (Fraction(4.65e12) * 10**11 - Fraction(5.77e12) * 2 * 10**10 - Fraction(0.0201)) / Fraction(
        1.65e-8
    )
    best = Fraction(0.0242) * 10**11 - 43900 * least
    solution = solve_stochastic(program, EXACT, strategy=strategy, all_nodes=True)
    assert solution.status == "optimal"
    assert solution.objective == pytest.approx(float(best), rel=1e-9)
    verdict = verify_solution(program, solution)
    assert verdict
    assert verdict.certified == pytest.approx(float(best), rel=1e-9)
    assert any("other units" in note for note in solution.provenance.notes)


def test_a_bounded_program_is_not_unbounded() -> None:
    program = one_stage(
        "max",
        cost=[0.0, 1.0],
        upper=[1.0, math.inf],
        row_upper=[1.0],
        entries=[(0, 0, 0, 1e12), (0, 0, 1, 1e-12)],
    )
    solution = solve_stochastic(program, EXACT, all_nodes=True)
    assert (solution.status, solution.objective) == ("optimal", pytest.approx(1e12, rel=1e-9))
    assert verify_solution(program, solution).certified == pytest.approx(1e12, rel=1e-9)


def test_what_is_infeasible_or_unbounded_is_called_nothing_else() -> None:
    crossed = one_stage(
        "max", cost=[1.0, 0.0], upper=[1e-12, 1.0], row_lower=[3.0], entries=[(0, 0, 0, 1e12), (0, 0, 1, 1.0)]
    )
    assert solve_stochastic(crossed, EXACT).status == "infeasible"
    endless = one_stage(
        "max",
        cost=[0.0, 1.0],
        upper=[1.0, math.inf],
        row_upper=[1.0],
        entries=[(0, 0, 0, 1e12), (0, 0, 1, -1e-12)],
    )
    solution = solve_stochastic(endless, EXACT)
    assert solution.status in ("dual_infeasible", "numerical_error")
    assert solution.bound is None


@pytest.mark.parametrize("first", [0, 40])
def test_no_claim_is_false_at_any_magnitudes(first: int) -> None:
    statuses: dict[str, int] = {}
    for seed in range(first, first + 40):
        try:
            program = hostile_program(seed, least=-14, most=18)
        except InvalidInput:  # bounds that cross, and the like
            continue
        solution, optimum = solve_stochastic(program, EXACT, all_nodes=True), exact_optimum(program)
        verdict = verify_solution(program, solution)
        assert verdict, (seed, verdict.violations)
        statuses[solution.status] = statuses.get(solution.status, 0) + 1
        assert solution.status not in ("dual_infeasible", "infeasible_or_unbounded"), seed
        if solution.status == "infeasible":
            assert optimum is None, (seed, float(optimum or 0), solution.provenance.notes)
        if verdict.certified is not None and optimum is not None:
            sign = 1 if program.sense == "max" else -1
            assert sign * (Fraction(verdict.certified) - optimum) >= 0, seed
    assert statuses["optimal"] > 10 and statuses["infeasible"] > 0, statuses


def test_units_are_powers_of_two_and_even_out() -> None:
    program = one_stage(
        "max",
        cost=[0.0, 1.0],
        upper=[1.0, math.inf],
        row_upper=[1.0],
        entries=[(0, 0, 0, 1e12), (0, 0, 1, 1e-12)],
    )
    matrices = extensive_form(program).matrices
    assert leaves_out(matrices)
    units = even_units(matrices)
    assert units
    for unit in units:
        assert np.all(np.frexp(unit)[0] == 0.5)
        assert 2.0**78 <= unit[1] <= 2.0**82  # at which it is worth 1e12 in the row


def test_a_scenario_that_is_unbounded_by_itself_leaves_the_program_bounded() -> None:
    # with x up to 5 in one scenario only, the other would raise it for ever, were it known
    root = NodeTemplate.make(0, ["x"], cost=1.0)
    later = NodeTemplate.make(1, [], ["most"], cost=[], row_upper=5.0, entries=[(0, 0, 0, 1.0)])
    changes: list[dict[Any, float]] = [{}, {("row_upper", 0): math.inf}, {}]
    program = StochasticProgram.from_changes(
        "half", "max", [root, later], parent=[-1, 0, 0], template=[0, 1, 1],
        conditional=[1.0, 0.5, 0.5], changes=changes,
    )  # fmt: skip
    assert solve_stochastic(program, EXACT).objective == pytest.approx(5.0)
    seen = solve_stochastic(program, EXACT, strategy="wait-and-see")
    assert (seen.status, seen.solution, seen.bound) == ("optimal", "none", None)
    assert any("the bound is infinite: scenario" in note for note in seen.provenance.notes)
    assert verify_solution(program, seen)
    # and where the last of them is infeasible, so is the program
    changes[2] = {("row_upper", 0): -1.0}
    nothing = StochasticProgram.from_changes(
        "none", "max", [root, later], parent=[-1, 0, 0], template=[0, 1, 1],
        conditional=[1.0, 0.5, 0.5], changes=changes,
    )  # fmt: skip
    assert solve_stochastic(nothing, EXACT, strategy="wait-and-see").status == "infeasible"
