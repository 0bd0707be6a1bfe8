"""What a time limit leaves at least: a feasible decision of every node, found before a strategy begins."""

from __future__ import annotations

import dataclasses
import math
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given

from bondwork.contracts import Observer, Options, ProgramDecision
from bondwork.observing import Silence
from bondwork.program import early_decision as early
from bondwork.program import program_solving
from bondwork.program.early_decision import Early, early_decision, find_early
from bondwork.program.program_recount import recount
from bondwork.program.program_solving import solve_stochastic
from bondwork.program.program_verify import verify_solution
from bondwork.program.stochastic import StochasticProgram
from bondwork.program.template import NodeTemplate
from bondwork.strategies.l_shaped.shards import Here
from bondwork.strategies.l_shaped.strategy import _decide, _take_apart
from program.open_programs import open_program
from program.stochastic_programs import best, programs, toy

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bondwork.program.matrices import Matrices
    from bondwork.solver.answer import Answer

PATIENT = Options(threads=1, time_limit=1000.0)


def crowded(scenarios: int = 40, *, least: int = 0) -> StochasticProgram:
    """Open sites and serve; in every eighth scenario ``least`` clients must be: more than the means ask."""
    rng = np.random.default_rng(5)
    sites, clients = 4, 6
    first = NodeTemplate.make(0, [f"x{j}" for j in range(sites)], cost=20.0, upper=1.0, integer=True)
    entries = [(i, 1, i * sites + j, 1.0) for i in range(clients) for j in range(sites)]
    for j in range(sites):
        entries += [(clients + j, 1, i * sites + j, float(rng.integers(1, 6))) for i in range(clients)]
        entries.append((clients + j, 0, j, -9.0))
    second = NodeTemplate.make(
        1,
        [f"y{k}" for k in range(sites * clients)],
        [f"r{k}" for k in range(sites + clients)],
        cost=[-float(each) for each in rng.integers(1, 25, sites * clients)],
        upper=1.0,
        integer=True,
        row_lower=[0.0] * clients + [-math.inf] * sites,
        row_upper=[1.0] * clients + [0.0] * sites,
        entries=entries,
    )
    changes: list[dict[tuple[str, int], float]] = [{}]
    for number in range(scenarios):
        come = rng.permutation(clients)[: least if number % 8 == 3 else 0].tolist()
        changes.append({("row_lower", i): 1.0 for i in come})
    return StochasticProgram.from_changes(
        "crowded",
        "min",
        [first, second],
        parent=[-1] + [0] * scenarios,
        template=[0] + [1] * scenarios,
        conditional=[1.0] + [1.0 / scenarios] * scenarios,
        changes=changes,
    )


def test_scenarios_that_are_the_same_are_completed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Equal tasks leave the same room in most outcomes: 1,024 searches of 20 ms were half of a limit."""
    asked: list[int] = []
    real = early.solve_program

    def counted(matrices: Matrices, *args: Any, **more: Any) -> Answer:
        asked.append(matrices.matrix.shape[1])
        return real(matrices, *args, **more)

    monkeypatch.setattr(early, "solve_program", counted)
    program = crowded(200, least=2)
    values = early_decision(program, PATIENT, Silence())
    assert values is not None
    assert not recount(program, values).violations
    # in 175 of 200 scenarios nobody must come: columns of 26 scenarios at most each time, not of 200
    assert sum(asked) < 100 * 24
    assert len({values[1 + k].tobytes() for k in range(200) if k % 8 != 3}) == 1


class Idle:
    """A strategy whose time is up before it has anything, or that errs."""

    summary = "Nothing."
    ends = ProgramDecision("time_limit", math.inf, None)

    def solve_program(
        self, program: StochasticProgram, options: Options, observer: Observer
    ) -> ProgramDecision:
        return self.ends


@pytest.fixture
def idle(monkeypatch: pytest.MonkeyPatch) -> type[Idle]:
    class Mine(Idle):
        pass

    monkeypatch.setattr(program_solving, "find_program_strategy", lambda name: Mine())
    return Mine


@given(programs(whole=True))
def test_it_is_feasible_and_there_where_anything_is(program: StochasticProgram) -> None:
    found, optimum = early_decision(program, PATIENT, Silence()), best(program)
    assert (found is None) == (optimum is None)
    if found is not None and optimum is not None:
        counted = recount(program, found)
        assert not counted.violations
        sign = 1.0 if program.sense == "max" else -1.0
        assert sign * counted.objective <= sign * optimum + 1e-9 * max(abs(optimum), 1.0)


@pytest.mark.parametrize("whole", [True, False])
def test_rows_over_several_nodes_and_columns_without_bounds(*, whole: bool) -> None:
    found = [early_decision(open_program(seed, whole=whole), PATIENT, Silence()) for seed in range(20)]
    # some of them are unbounded, and what could be arbitrarily good is no decision
    assert sum(each is not None for each in found) >= 14


def test_scenarios_without_recourse_join_those_that_decide() -> None:
    program = crowded(least=5)
    found = early_decision(program, PATIENT, Silence())
    assert found is not None and not recount(program, found).violations


@pytest.mark.parametrize("make", [toy, crowded])
def test_a_strategy_that_finds_nothing_in_time_hands_it_out(make, idle: type[Idle]) -> None:
    program = make()
    solution = solve_stochastic(program, PATIENT, all_nodes=True)
    assert (solution.status, solution.solution, solution.verified) == ("time_limit", "feasible", True)
    assert solution.bound is not None and solution.gap is not None
    verdict = verify_solution(program, solution)
    assert verdict and verdict.objective == pytest.approx(solution.objective)
    assert any("the first that was found" in note for note in solution.provenance.notes)


def test_a_strategy_that_is_better_is_believed(idle: type[Idle]) -> None:
    program = toy()
    values = [np.array([6.0]), np.array([2.0]), np.array([6.0])]
    idle.ends = ProgramDecision("time_limit", 7.0, values[0], values)
    assert solve_stochastic(program, PATIENT).objective == 6.0
    worst = [np.array([0.0])] * 3
    idle.ends = ProgramDecision("time_limit", 7.0, worst[0], worst)
    assert solve_stochastic(program, PATIENT).objective == 5.0


def test_infeasible_beside_a_feasible_decision_is_an_error(idle: type[Idle]) -> None:
    idle.ends = ProgramDecision("infeasible", -math.inf, None)
    solution = solve_stochastic(toy(), PATIENT)
    assert (solution.status, solution.solution, solution.objective) == ("other_error", "feasible", 5.0)
    assert verify_solution(toy(), solution)


def test_a_decision_that_does_not_verify_is_replaced(idle: type[Idle]) -> None:
    values: Sequence[np.ndarray] = [np.array([11.5]), np.array([2.0]), np.array([6.0])]
    template = toy().templates
    whole = [dataclasses.replace(each, integer=np.ones(1, dtype=bool)) for each in template]
    program = dataclasses.replace(toy(), templates=tuple(whole))
    idle.ends = ProgramDecision("optimal", 7.0, values[0], values)
    solution = solve_stochastic(program, PATIENT)
    assert (solution.status, solution.solution, solution.verified) == ("other_error", "feasible", True)


def test_references_are_left_alone(idle: type[Idle]) -> None:
    idle.is_reference = True
    assert solve_stochastic(toy(), PATIENT).solution == "none"


def test_without_a_limit_nothing_is_sought(idle: type[Idle]) -> None:
    assert solve_stochastic(toy(), Options(threads=1)).solution == "none"


def test_no_time_is_no_decision() -> None:
    none = find_early(toy(), dataclasses.replace(PATIENT, time_limit=0.0), Silence())
    assert none == Early() or (none.nodes, none.bound) == (None, math.inf)


def test_the_bound_is_that_of_scenarios_known_from_the_start() -> None:
    found = find_early(toy(copies=30), PATIENT, Silence())
    # 60 linear programs may take longer than the decision did: then there is no bound
    assert found.value == pytest.approx(5.0) and found.bound in (math.inf, pytest.approx(8.0))


def test_l_shaped_decides_recourse_before_its_deadline() -> None:
    first, batches, _ = _take_apart(toy(), "auto")
    team = Here(batches, first, Options(threads=1), Silence())
    x = np.array([6.0])
    assert _decide(team, x, time.perf_counter() - 1.0) is None
    parts = _decide(team, x, math.inf)
    assert parts is not None and sorted(parts[0].ravel().tolist()) == [2.0, 6.0]


def test_a_decision_is_mended_within_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[float] = []
    real = program_solving.solve_program

    def noted(matrices, options, observer, **more):
        given.append(options.time_limit)
        return real(matrices, options, observer, **more)

    monkeypatch.setattr(program_solving, "solve_program", noted)
    broken = [np.array([6.0]), np.array([2.5]), np.array([6.0])]
    decision = ProgramDecision("time_limit", 7.0, broken[0], broken)
    solution = program_solving.carry_out(
        toy(), decision, PATIENT, Silence(), ("extensive", "highs"), left=50.0
    )
    assert solution.verified and solution.objective == 6.0
    assert given and max(given) <= 50.0
