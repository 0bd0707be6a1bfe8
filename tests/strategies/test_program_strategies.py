"""Strategies that take programs: exact ones agree, bounds are on their right side, kinds are told apart."""

from __future__ import annotations

import json

import pytest
from hypothesis import given

import bondwork
from bondwork.contracts import Options
from bondwork.observing import Silence
from bondwork.problem.faults import InvalidInput, Refusal
from bondwork.problem.generate import generate_round
from bondwork.program.program_recount import recount
from bondwork.program.program_solving import solve_stochastic
from bondwork.program.stochastic import StochasticProgram
from bondwork.registry import (
    compared_strategies,
    describe_strategies,
    find_program_strategy,
    find_strategy,
    strategy_inputs,
    strategy_names,
)
from bondwork.strategies import auto
from bondwork.strategies.expected_value import ExpectedValue
from bondwork.strategies.extensive import Extensive
from bondwork.strategies.wait_and_see import WaitAndSee
from program.stochastic_programs import programs, toy
from rounds_strategy import examples
from strategies.two_stage import two_stage

EXACT = Options(threads=1, mip_rel_gap=0.0)
ROUND = bondwork.load(generate_round(12, 4, 3, 1))
PRESETS = [name for name in strategy_names("programs") if name.startswith("highs-")]


def optimum(program: StochasticProgram) -> tuple[str, float]:
    """Status of the extensive form, and its optimum as that of a maximisation."""
    decision = Extensive().solve_program(program, EXACT, Silence())
    return decision.status, decision.bound


@examples(0.4)
@given(program=programs())
def test_wait_and_see_is_a_bound_and_no_plan(program: StochasticProgram) -> None:
    status, best = optimum(program)
    decision = WaitAndSee().solve_program(program, EXACT, Silence())
    assert decision.root is None and decision.nodes is None
    if decision.status == "infeasible":
        assert status == "infeasible"
    if status == "optimal":
        assert decision.status == "optimal"
        assert decision.bound >= best - 1e-6


@examples(0.4)
@given(program=programs())
def test_expected_value_is_a_policy_and_its_bound_holds(program: StochasticProgram) -> None:
    _agrees_with_means(program)


@examples(0.4)
@given(program=two_stage())
def test_expected_value_of_two_stages(program: StochasticProgram) -> None:
    _agrees_with_means(program)


def _agrees_with_means(program: StochasticProgram) -> None:
    status, best = optimum(program)
    decision = ExpectedValue().solve_program(program, EXACT, Silence())
    if status != "optimal":
        assert decision.nodes is None or status != "infeasible"
        return
    assert decision.bound >= best - 1e-6
    if decision.nodes is None:
        assert decision.status == "locally_infeasible" and decision.notes
        return
    counted = recount(program, decision.nodes)
    assert not counted.violations
    sign = 1.0 if program.sense == "max" else -1.0
    assert sign * counted.objective <= best + 1e-6


def test_bound_of_means_only_where_it_is_one() -> None:
    decision = ExpectedValue().solve_program(toy(), EXACT, Silence())
    # demands of 2 and 6: planning with 4 earns 5, the mean problem promises 8, the optimum is 6
    assert decision.bound == pytest.approx(8.0)
    assert recount(toy(), decision.nodes or []).objective == pytest.approx(5.0)
    document = toy().to_document()
    document["nodes"][2].setdefault("changes", {})["cost"] = {"at": [0], "value": [9.0]}
    random_costs = StochasticProgram.from_json(json.dumps(document))
    decision = ExpectedValue().solve_program(random_costs, EXACT, Silence())
    assert decision.bound == float("inf")


def test_solutions_tell_what_they_hold() -> None:
    seen = solve_stochastic(toy(), EXACT, strategy="wait-and-see")
    assert (seen.status, seen.solution, seen.objective, seen.bound) == ("optimal", "none", None, 8.0)
    means = solve_stochastic(toy(), EXACT, strategy="expected-value", all_nodes=True)
    assert (means.status, means.solution, means.objective) == ("locally_solved", "feasible", 5.0)
    assert means.verified and means.first_stage == {"x": 4.0}
    # the multipliers of the linear relaxation prove more than the mean problem does
    assert (means.strategy, means.bound) == ("expected-value", 6.0)
    alone = solve_stochastic(toy(), EXACT, strategy="expected-value", certificate="none")
    assert alone.bound == 8.0


@pytest.mark.parametrize("name", PRESETS)
def test_presets_decide_rounds_and_programs(name: str) -> None:
    assert strategy_inputs(name) == ("rounds", "programs")
    solution = solve_stochastic(toy(), Options(mip_rel_gap=0.0), strategy=name)
    assert solution.verified
    assert solution.objective == pytest.approx(6.0, abs=1e-4)
    assert any(note.startswith("HiGHS with ") for note in solution.provenance.notes)
    plan = bondwork.solve(ROUND, strategy=name, mip_rel_gap=0.0)
    assert plan.verified
    assert plan.objective == pytest.approx(bondwork.solve(ROUND, mip_rel_gap=0.0).objective)


@pytest.mark.parametrize("name", PRESETS)
@examples(0.05)
@given(program=two_stage())
def test_presets_agree(name: str, program: StochasticProgram) -> None:
    status, best = optimum(program)
    decision = find_program_strategy(name).solve_program(program, EXACT, Silence())
    if status == "optimal":
        assert decision.status == "optimal"
        # PDLP is a first-order method: six digits
        assert decision.bound == pytest.approx(best, abs=2e-4 if name == "highs-pdlp" else 1e-6)


def test_options_of_the_caller_win_over_a_preset() -> None:
    with pytest.raises(InvalidInput, match=r"options\.solver"):
        solve_stochastic(toy(), Options(highs={"solver": "abacus"}), strategy="highs-simplex")


def test_the_wrong_kind_is_refused_with_those_that_can() -> None:
    with pytest.raises(Refusal, match=r"greedy does not decide stochastic programs; these do: .*extensive"):
        solve_stochastic(toy(), strategy="greedy")
    with pytest.raises(
        Refusal, match=r"wait-and-see does not decide rounds of one stage; these do: .*greedy"
    ):
        find_strategy("wait-and-see")
    with pytest.raises(InvalidInput, match=r'strategy: found "best", expected one of '):
        solve_stochastic(toy(), strategy="best")
    with pytest.raises(InvalidInput, match=r"settings\.cuts"):
        bondwork.solve(ROUND, strategy="greedy", settings={"cuts": "1"})


def test_formulations_are_for_strategies_that_solve_the_whole() -> None:
    with pytest.raises(InvalidInput, match="formulation"):
        solve_stochastic(toy(), formulation="pencil")


def test_every_strategy_is_described() -> None:
    for name, each in describe_strategies().items():
        assert len(each.summary) > 20, name
        assert each.takes, name
        for setting in each.settings.values():
            assert setting.takes(setting.default)
    assert "auto" not in compared_strategies("rounds")
    assert not set(PRESETS) & set(compared_strategies("programs"))
    assert {"extensive", "l-shaped", "wait-and-see"} <= set(compared_strategies("programs"))


def test_auto_says_what_it_chose(monkeypatch: pytest.MonkeyPatch) -> None:
    small = solve_stochastic(toy(), EXACT, strategy="auto")
    assert (small.strategy, small.objective) == ("extensive", 6.0)
    monkeypatch.setattr(auto, "LEAST_L_SHAPED", 2)
    monkeypatch.setattr(auto, "LEAST_SCENARIOS", 2)
    large = solve_stochastic(toy(), EXACT, strategy="auto")
    assert large.strategy == "l-shaped"
    assert large.objective == pytest.approx(6.0)
    assert "auto chose l-shaped: 2 scenarios" in large.provenance.notes
