"""Programs whose amounts lie 24 powers of ten apart, against their optimum in exact fractions."""

from __future__ import annotations

import dataclasses
import json
import math
from fractions import Fraction

import numpy as np
import pytest
from scipy.sparse import csr_array

from bondwork.contracts import Options, ProgramDecision
from bondwork.observing import Silence
from bondwork.problem.faults import InvalidInput
from bondwork.program import program_solving
from bondwork.program.doubting import solve_in_doubt
from bondwork.program.matrices import Matrices
from bondwork.program.program_solving import solve_stochastic
from bondwork.program.program_verify import verify_solution
from bondwork.program.scaling import column_units
from bondwork.program.stochastic import StochasticProgram
from bondwork.program.template import NodeTemplate
from bondwork.solver.solving import solve_program
from program.hostile_programs import exact_optimum, hostile_program
from program.stochastic_programs import toy

EXACT = Options(threads=1, mip_rel_gap=0.0)

#: Some of those that were said to be infeasible, or optimal, or ended in an error, and were not.
FOUND = (108, 141, 350, 356, 674, 782, 955, 1049, 1097, 1122)


@pytest.mark.parametrize("seeds", [FOUND, range(3000, 3040)], ids=["found", "others"])
def test_no_status_and_no_bound_is_false(seeds: tuple[int, ...]) -> None:
    statuses: dict[str, int] = {}
    for seed in seeds:
        try:
            program = hostile_program(seed)
        except InvalidInput:  # bounds that cross, and the like
            continue
        solution, optimum = solve_stochastic(program, EXACT, all_nodes=True), exact_optimum(program)
        verdict = verify_solution(program, solution)
        assert verdict, (seed, verdict.violations)
        statuses[solution.status] = statuses.get(solution.status, 0) + 1
        if solution.status == "infeasible":
            assert optimum is None, (seed, float(optimum or 0), solution.provenance.notes)
        if verdict.certified is not None and optimum is not None:
            sign = 1 if program.sense == "max" else -1
            assert sign * (Fraction(verdict.certified) - optimum) >= 0, seed
    assert set(statuses) <= {"optimal", "infeasible", "numerical_error"}, statuses


def test_columns_that_are_nowhere_large_count() -> None:
    # 7e-7 a unit, and at most a ten-millionth of one: nothing to a tolerance, all there is to earn
    program = Matrices(
        np.array([7e-7, 1.0]),
        0.0,
        csr_array(np.array([[1.0, -1.0]])),
        np.array([-np.inf]),
        np.array([0.0]),
        np.array([-3e-7, 0.0]),
        np.array([0.0, 1e-7]),
        np.zeros(2, dtype=bool),
    )
    unit = column_units(program)
    assert unit is not None and np.all(np.frexp(unit)[0] == 0.5) and np.all(unit < 1e-5)
    answer = solve_program(program, EXACT, Silence(), worth=program.value)
    assert answer.x is not None and answer.x.tolist() == [0.0, 1e-7]
    assert answer.bound == pytest.approx(1e-7, rel=1e-9)
    assert column_units(dataclasses.replace(program, upper=np.array([1.0, 2.0]))) is None


def test_a_false_infeasible_is_looked_at_again(monkeypatch: pytest.MonkeyPatch) -> None:
    class Wrong:
        summary = "Says that nothing is feasible."

        def solve_program(self, program: object, options: object, observer: object) -> ProgramDecision:
            return ProgramDecision("infeasible", -math.inf, None)

    monkeypatch.setattr(program_solving, "find_program_strategy", lambda name: Wrong())
    for certificate in ("full", "none"):
        solution = solve_stochastic(toy(), EXACT, certificate=certificate)
        assert (solution.status, solution.objective, solution.verified) == ("optimal", 6.0, True)
        assert (solution.certificate is None) == (certificate == "none")
        assert "solved again" in solution.provenance.notes[0]


def test_what_is_infeasible_stays_so() -> None:
    root = NodeTemplate.make(
        0, ["x", "y"], ["fills"], cost=1.0, upper=9.0, integer=True, row_lower=7.0, row_upper=7.0,
        entries=[(0, 0, 0, 3.0), (0, 0, 1, 5.0)],
    )  # fmt: skip
    program = StochasticProgram.from_changes(
        "seven", "max", [root], parent=[-1], template=[0], conditional=[1.0], changes=[{}]
    )
    decision = ProgramDecision("infeasible", -math.inf, None)
    assert solve_in_doubt(program, decision, EXACT, Silence()) is decision
    assert solve_stochastic(program, EXACT).status == "infeasible"


def test_a_decision_that_only_tolerances_allow_is_no_error() -> None:
    # 1e-5 x >= 5e-9 with x = 0: the solver lets it pass, the recount does not, and fractions refute it
    solution = solve_stochastic(hostile_program(782), EXACT)
    assert solution.status == "infeasible"
    assert solution.certificate is not None and solution.certificate.kind == "infeasibility"
    assert json.loads(solution.to_json())["objective"] is None
