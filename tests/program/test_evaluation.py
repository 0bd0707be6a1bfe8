"""Values of root decisions: by hand, against the extensive form, and where there is none."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import assume, given

from bondwork.contracts import Options
from bondwork.importers.smps import read_smps
from bondwork.observing import Silence
from bondwork.problem.faults import InvalidInput, Refusal
from bondwork.program.evaluation import evaluate
from bondwork.program.extensive import extensive_form
from bondwork.program.known_bound import known_bound
from bondwork.program.linking import Linking
from bondwork.program.resampling import resample
from bondwork.program.stochastic import StochasticProgram
from bondwork.program.template import NodeTemplate
from bondwork.solver.solving import solve_program
from program.stochastic_programs import programs, toy

EXACT = Options(threads=1, mip_rel_gap=0.0)


@pytest.mark.parametrize(("sense", "sign"), [("max", 1.0), ("min", -1.0)])
@pytest.mark.parametrize(("x", "value"), [(0.0, 0.0), (2.0, 4.0), (4.0, 5.0), (6.0, 6.0), (10.0, 2.0)])
def test_toy(sense: str, sign: float, x: float, value: float) -> None:
    found = evaluate(toy(sense), {"x": x}, EXACT)
    assert found.objective == pytest.approx(sign * value)
    assert (found.status, found.standard_error, found.infeasible) == ("optimal", None, ())
    assert found.values == pytest.approx([sign * (3 * min(x, d) - x) for d in (2.0, 6.0)])


@given(programs())
def test_agrees_with_the_extensive_form_whose_root_is_fixed(program: StochasticProgram) -> None:
    form = extensive_form(program)
    best = solve_program(form.matrices, EXACT, Silence())
    assume(best.status == "optimal")
    width = form.column_start[1]
    # 1.000000002 of a row that ends at 1 is another decision than 1, and so is 0.6666667 than two thirds
    root, near = best.x[:width], np.round(best.x[:width])
    root = np.where(np.abs(root - near) <= 1e-6, near, root)
    found = evaluate(program, root, EXACT)
    lower, upper = form.matrices.lower.copy(), form.matrices.upper.copy()
    lower[:width], upper[:width] = root, root
    fixed = solve_program(dataclasses.replace(form.matrices, lower=lower, upper=upper), EXACT, Silence())
    sign = 1.0 if program.sense == "max" else -1.0
    assume(fixed.x is not None)
    assert found.objective == pytest.approx(sign * form.matrices.value(fixed.x), rel=1e-6, abs=1e-6)
    # no policy beats the optimum, and no optimum beats knowing each scenario
    assert sign * found.objective <= best.bound + 1e-6
    assert known_bound(program, EXACT, Silence()) >= best.bound - 1e-6 * max(1.0, abs(best.bound))


def random_entries(scenarios: int, seed: int) -> StochasticProgram:
    """Costs, bounds, limits and entries that all differ between scenarios; complete recourse."""
    rng = np.random.default_rng(seed)
    buy = NodeTemplate.make(0, ["a", "b"], cost=[-1.0, -2.0], upper=9.0)
    use = NodeTemplate.make(
        1,
        ["y", "z", "short"],
        ["r", "s"],
        cost=[1.0, 1.0, -7.0],
        row_lower=[-np.inf, 1.0],
        row_upper=[1.0, np.inf],
        entries=[(0, 0, 0, -1.0), (0, 1, 0, 1.0), (0, 1, 1, 1.0), (1, 0, 1, 0.5), (1, 1, 2, 1.0)],
    )
    fields = [("cost", 0), ("upper", 1), ("row_upper", 0), ("row_lower", 1), ("entries", 0), ("entries", 2)]
    changes = [{}] + [
        {
            (name, at): float(rng.uniform(0.5, 3.0) * (-1 if name == "entries" and at == 0 else 1))
            for name, at in fields
        }
        for _ in range(scenarios)
    ]
    return StochasticProgram.from_changes(
        "random entries", "max", [buy, use], parent=[-1] + [0] * scenarios, template=[0] + [1] * scenarios,
        conditional=[1.0] + [1.0 / scenarios] * scenarios, changes=changes,
    )  # fmt: skip


def test_every_number_of_a_scenario_counts_though_the_basis_is_another_ones() -> None:
    program = random_entries(60, seed=3)
    root = np.array([2.0, 1.0])
    found = evaluate(program, root, EXACT)
    form = extensive_form(program)
    lower, upper = form.matrices.lower.copy(), form.matrices.upper.copy()
    lower[:2], upper[:2] = root, root
    fixed = solve_program(dataclasses.replace(form.matrices, lower=lower, upper=upper), EXACT, Silence())
    assert found.objective == pytest.approx(fixed.bound, rel=1e-9)
    assert np.ptp(found.values) > 0.5


def test_standard_error_is_that_of_the_draws_behind_merged_scenarios() -> None:
    sample = resample(toy(), 50, seed=4)
    found = evaluate(sample, {"x": 6.0}, EXACT, draws=50)
    each = np.repeat(found.values, np.round(found.probability * 50).astype(int))
    assert found.standard_error == pytest.approx(each.std(ddof=1) / math.sqrt(50))
    assert found.objective == pytest.approx(each.mean())


def test_money_of_any_size() -> None:
    program = toy()
    big = dataclasses.replace(
        program,
        templates=tuple(
            dataclasses.replace(each, values=np.concatenate([each.values[: 1 + len(each.columns)] * 1e18,
                                                             each.values[1 + len(each.columns) :]]))
            for each in program.templates
        ),
    )  # fmt: skip
    assert evaluate(big, {"x": 4.0}, EXACT).objective == pytest.approx(5e18)


def test_scenarios_without_recourse_are_named() -> None:
    must = NodeTemplate.make(1, ["y"], ["meet"], cost=-1.0, upper=3.0, row_lower=2.0,
                             entries=[(0, 0, 0, 1.0), (0, 1, 0, 1.0)])  # fmt: skip
    program = StochasticProgram.from_changes(
        "must", "max", [NodeTemplate.make(0, ["x"], cost=-1.0, upper=9.0), must], parent=[-1, 0, 0],
        template=[0, 1, 1], conditional=[1.0, 0.5, 0.5], changes=[{}, {}, {("row_lower", 0): 6.0}],
    )  # fmt: skip
    found = evaluate(program, {"x": 0.0}, EXACT)
    assert (found.status, found.objective, found.infeasible) == ("infeasible", -math.inf, ("2",))
    assert evaluate(program, {"x": 3.0}, EXACT).objective == pytest.approx(-3.0 - 1.5)


def test_unbounded_recourse_is_refused() -> None:
    free = NodeTemplate.make(1, ["y"], cost=1.0)
    program = StochasticProgram.from_changes(
        "free", "max", [NodeTemplate.make(0, ["x"], cost=-1.0), free], parent=[-1, 0], template=[0, 1],
        conditional=[1.0, 1.0], changes=[{}, {}],
    )  # fmt: skip
    with pytest.raises(Refusal, match="scenario 1 is unbounded"):
        evaluate(program, {"x": 0.0})


def test_every_fault_of_a_decision() -> None:
    root = NodeTemplate.make(0, ["x", "y"], ["r"], cost=1.0, upper=[1.0, 5.0], integer=[True, False],
                             row_upper=4.0, entries=[(0, 0, 0, 1.0), (0, 0, 1, 1.0)])  # fmt: skip
    program = StochasticProgram.from_changes(
        "root", "max", [root], parent=[-1], template=[0], conditional=[1.0], changes=[{}], stages=["one"]
    )
    with pytest.raises(InvalidInput) as error:
        evaluate(program, {"z": 1.0})
    assert [fault.path for fault in error.value.faults] == ["root.z", "root.x", "root.y"]
    with pytest.raises(InvalidInput) as error:
        evaluate(program, {"x": 0.5, "y": 7.0})
    assert [fault.path for fault in error.value.faults] == ["root.x", "root.y"]
    with pytest.raises(InvalidInput, match="root row r: found 6, expected from -inf to 4"):
        evaluate(program, {"x": 1.0, "y": 5.0})
    with pytest.raises(InvalidInput, match="shape"):
        evaluate(program, np.zeros(3))


def test_limits_end_an_evaluation() -> None:
    found = evaluate(toy(), {"x": 1.0}, dataclasses.replace(EXACT, time_limit=0.0))
    assert found.status == "time_limit"
    assert math.isnan(found.objective)


def test_linked_scenarios_are_refused() -> None:
    program = toy()
    linking = Linking(("r",), np.array([-np.inf]), np.array([1.0]), np.array([False]), np.array([0, 0]),
                      np.array([1, 2]), np.array([0, 0]), np.array([0.5, 0.5]), np.zeros(0, dtype=np.int64),
                      np.zeros(0, dtype=np.int64))  # fmt: skip
    linked = dataclasses.replace(program, linking=linking)
    for call in (
        lambda: evaluate(linked, {"x": 1.0}),
        lambda: resample(linked, 3, 0),
        lambda: known_bound(linked, EXACT, Silence()),
    ):
        with pytest.raises(Refusal, match="link"):
            call()


@given(programs())
def test_resampled_trees_are_trees_of_the_same_scenarios(program: StochasticProgram) -> None:
    assume(len(program.stages) > 1)
    sample = resample(program, 7, seed=2)
    assert sample.sha256 == resample(program, 7, seed=2).sha256
    assert set(sample.nodes) <= set(program.nodes)
    shares = sample.conditional[sample.stage == 1] * 7
    assert shares == pytest.approx(np.round(shares))
    whole = {name: node for node, name in enumerate(program.nodes)}
    for node, name in enumerate(sample.nodes):
        assert np.array_equal(sample.values(node), program.values(whole[name]), equal_nan=True)


def test_published_plan_of_the_farmer(shared) -> None:
    files = [shared / "data" / "smps" / "farmer" / f"farmer.{end}" for end in ("cor", "tim", "sto")]
    program = read_smps(*files)
    found = evaluate(program, np.array([170.0, 80.0, 250.0]), EXACT)
    assert found.objective == pytest.approx(-108390.0, abs=1.0)
    # one by one the scenarios are worth -115400 with whole acres; relaxed, 500.5 acres can all be used
    assert -115400.0 - 200.0 <= -known_bound(program, EXACT, Silence()) <= -115400.0
