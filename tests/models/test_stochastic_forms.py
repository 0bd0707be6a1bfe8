"""Stochastic programs in all three modelling languages: the same matrices, linking rows among them."""

from __future__ import annotations

import math

import numpy as np
import pyomo.environ as pyo
import pytest
from hypothesis import HealthCheck, given, settings

import bondwork
from bondwork.program.extensive import extensive_form
from bondwork.program.horizon import horizon_program
from bondwork.program.linking import Linking
from bondwork.program.program_solving import solve_stochastic
from bondwork.program.stochastic import StochasticProgram
from bondwork.program.template import NodeTemplate
from bondwork.registry import find_formulation
from bondwork.uncertainty.horizon import horizon_tree
from horizon_oracle import staged_rounds
from program.stochastic_programs import programs, toy

FORMULATIONS = ["pyomo", "cvxpy", "highs"]
FEW = settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def assert_same_form(program: StochasticProgram, formulation: str) -> None:
    one, other = extensive_form(program), find_formulation(formulation).extensive_form(program)
    assert other.column_start.tolist() == one.column_start.tolist()
    assert other.row_start.tolist() == one.row_start.tolist()
    for name in ("objective", "lower", "upper", "integer"):
        assert getattr(other.matrices, name).tolist() == getattr(one.matrices, name).tolist(), name
    assert other.matrices.offset == pytest.approx(one.matrices.offset, abs=1e-12)
    # what no bound limits, and an empty sum, need not be rows of a modelling language
    matrix = one.matrices.matrix
    for row in range(matrix.shape[0]):
        lower, upper = one.matrices.row_lower[row], one.matrices.row_upper[row]
        if math.isinf(lower) and math.isinf(upper):
            continue
        assert (other.matrices.row_lower[row], other.matrices.row_upper[row]) == (lower, upper)
        assert other.matrices.matrix[[row]].toarray().tolist() == matrix[[row]].toarray().tolist()


def linked() -> StochasticProgram:
    """The toy with a row over both demands, one from both sides and one that bounds nothing."""
    plain = toy()
    serve = [(0, 1, 0, 0.5), (0, 2, 0, 0.5), (1, 1, 0, 1.0), (1, 0, 0, -1.0), (2, 2, 0, 1.0)]
    rows = [("mean", -math.inf, 3.0), ("range", -4.0, 2.0), ("free", -math.inf, math.inf)]
    return StochasticProgram(
        **{
            name: getattr(plain, name)
            for name in StochasticProgram.__dataclass_fields__
            if name not in ("linking", "stage", "probability", "ancestors", "sha256")
        },
        linking=Linking.make(rows, serve),
    )


@pytest.mark.parametrize("formulation", FORMULATIONS)
@FEW
@given(program=programs())
def test_any_program_compiles_to_its_extensive_form(formulation, program):
    assert_same_form(program, formulation)


@pytest.mark.parametrize("formulation", FORMULATIONS)
def test_linking_rows_are_there(formulation):
    assert_same_form(linked(), formulation)
    # serving 3 on average: 2 and 4 at most, for which 4 have to be staked
    solution = solve_stochastic(linked(), formulation=formulation)
    assert solution.objective == pytest.approx(5.0)


@pytest.mark.parametrize("formulation", FORMULATIONS)
def test_nodes_without_columns_and_rows_that_no_column_enters(formulation):
    root = NodeTemplate.make(0, ["x", "y"], ["used", "empty"], cost=[1.0, 2.0], upper=[3.0, math.inf],
                             integer=[True, False], row_upper=[5.5, 1.0],
                             entries=[(0, 0, 0, 1.0), (0, 0, 1, 1.0)], constant=1.5)  # fmt: skip
    end = NodeTemplate.make(1, [], cost=[])
    program = StochasticProgram.from_changes(
        "ends", "max", [root, end], parent=[-1, 0], template=[0, 1], conditional=[1.0, 1.0], changes=[{}, {}]
    )
    assert_same_form(program, formulation)
    assert solve_stochastic(program, formulation=formulation).objective == pytest.approx(12.5)


@pytest.mark.parametrize("formulation", ["pyomo", "cvxpy"])
@FEW
@given(document=staged_rounds())
def test_rounds_with_later_periods_compile_to_the_same_form(formulation, document):
    assert_same_form(horizon_program(horizon_tree(bondwork.load(document))).program, formulation)


@pytest.mark.parametrize("formulation", ["pyomo", "cvxpy"])
def test_a_round_with_later_periods_is_solved_through_it(formulation):
    offer = {"task": "t", "coprocessor": "cp", "collateral": 2, "success_probability": 0.75}
    task = {"id": "t", "operator": "op", "reward": 4}
    instance = bondwork.load({
        "format": "bondwork.round/1",
        "operators": [{"id": "op"}],
        "coprocessors": [{"id": "cp", "free_collateral": 3}],
        "tasks": [task],
        "offers": [offer],
        "periods": [{"id": "next", "at": 60, "tasks": [task], "offers": [offer]}],
    })  # fmt: skip
    plan = bondwork.solve(instance, formulation=formulation, mip_rel_gap=0.0)
    assert (plan.formulation, plan.objective) == (formulation, pytest.approx(5.25))


def test_the_pyomo_model_reads_by_names():
    model = find_formulation("pyomo").stochastic_model(linked())
    assert list(model.node["1"].x) == ["y"]
    assert set(model.node["2"].row) == {"stock", "demand"}
    assert set(model.linking) == {"mean", "range"}  # the third limits nothing
    assert model.total.sense == pyo.maximize


@pytest.mark.parametrize("sense", ["max", "min"])
def test_the_cvxpy_problem_is_the_program(sense):
    problem = find_formulation("cvxpy").stochastic_problem(toy(sense))
    sign = 1.0 if sense == "max" else -1.0
    assert problem.solve(solver="HIGHS") == pytest.approx(6.0 * sign)


def test_partly_whole_nodes_have_two_variables():
    root = NodeTemplate.make(0, ["a", "b", "c"], ["sum"], cost=[1.0, 3.0, 2.0], upper=4.0,
                             integer=[False, True, False], row_upper=2.5,
                             entries=[(0, 0, 0, 1.0), (0, 0, 1, 1.0), (0, 0, 2, 1.0)])  # fmt: skip
    program = StochasticProgram.from_changes(
        "mixed", "max", [root], parent=[-1], template=[0], conditional=[1.0], changes=[{}]
    )
    problem = find_formulation("cvxpy").stochastic_problem(program)
    assert problem.solve(solver="HIGHS") == pytest.approx(7.0)
    assert sorted(variable.name() for variable in problem.variables()) == ["0", "0 whole"]
    assert np.isclose(solve_stochastic(program).objective, 7.0)


@pytest.mark.parametrize("formulation", FORMULATIONS)
@pytest.mark.parametrize("first", [(0, 0), (1, 0), (0, 1), (2, 1)])
@pytest.mark.parametrize("second", [(0, 0), (1, 0), (0, 2), (1, 1)])
@pytest.mark.parametrize("least", [-1.0, 0.0, 1.0])
def test_stages_without_columns_and_bounds_on_nothing(
    formulation: str, first: tuple[int, int], second: tuple[int, int], least: float
) -> None:
    """Nothing is at least 1: infeasible, whoever writes it down."""
    templates = [
        NodeTemplate.make(
            stage,
            [f"x{j}" for j in range(columns)],
            [f"r{i}" for i in range(rows)],
            cost=1.0,
            upper=3.0,
            row_lower=least,
            row_upper=5.0,
        )
        for stage, (columns, rows) in enumerate((first, second))
    ]
    program = StochasticProgram.from_changes(
        "bare", "max", templates, parent=[-1, 0, 0], template=[0, 1, 1], conditional=[1.0, 0.25, 0.75],
        changes=[{}, {}, {}],
    )  # fmt: skip
    assert_same_form(program, formulation)
    solution = solve_stochastic(program, formulation=formulation)
    if least > 0.0 and first[1] + second[1]:
        assert solution.status == "infeasible"
        return
    assert solution.objective == pytest.approx(3.0 * (first[0] + second[0]))


@pytest.mark.parametrize("formulation", FORMULATIONS)
def test_a_later_period_that_requires_what_nobody_offers(formulation: str) -> None:
    document = {
        "format": "bondwork.round/1",
        "operators": [{"id": "op"}],
        "coprocessors": [],
        "tasks": [],
        "periods": [{"id": "late", "at": 20, "tasks": [{"id": "t", "operator": "op", "required": True}]}],
    }
    plan = bondwork.solve(bondwork.load(document), formulation=formulation)
    assert plan.status == "infeasible"
    assert plan.conflict is not None
    assert plan.conflict.limits == ["task t required in late"]
