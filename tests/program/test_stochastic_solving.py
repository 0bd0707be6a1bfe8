"""Extensive form, solution and recount; strengthening; MPS out and in again."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING

import highspy
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_array

from bondwork.contracts import Options
from bondwork.problem.faults import InvalidInput
from bondwork.program import doubting, program_solving
from bondwork.program.extensive import extensive_form, split
from bondwork.program.matrices import Matrices
from bondwork.program.mps import write_mps
from bondwork.program.program_recount import recount
from bondwork.program.program_solution import load_solution
from bondwork.program.program_solving import solve_stochastic
from bondwork.program.stochastic import StochasticProgram
from bondwork.program.strengthening import strengthen
from bondwork.program.template import NodeTemplate
from bondwork.solver.answer import Answer
from bondwork.solver.construction import make_highs
from bondwork.strategies import extensive
from program.stochastic_programs import best, programs, toy
from rounds_strategy import examples

if TYPE_CHECKING:
    from pathlib import Path

EXACT = Options(threads=1, mip_rel_gap=0.0)


class Stopped:
    """An observer that has asked to stop before anything began."""

    def report(self, progress: object) -> None:
        pass

    def should_stop(self) -> bool:
        return True


@given(programs(whole=True))
def test_optimum_is_the_one_of_brute_force(program: StochasticProgram) -> None:
    optimum = best(program)
    solution = solve_stochastic(program, EXACT)
    if optimum is None:
        assert (solution.status, solution.solution) == ("infeasible", "none")
        assert solution.objective is None
        return
    assert solution.verified
    assert solution.objective == pytest.approx(optimum, abs=1e-6)
    assert solution.bound == pytest.approx(optimum, abs=1e-6)
    assert solution.gap == pytest.approx(0.0, abs=1e-6)


@given(programs())
def test_extensive_form_says_what_the_nodes_say(program: StochasticProgram) -> None:
    form = extensive_form(program)
    x = np.random.default_rng(0).integers(0, 3, len(form.matrices.objective)).astype(float)
    values = split(form, x)
    sign = 1.0 if program.sense == "max" else -1.0
    assert sign * form.matrices.value(x) == pytest.approx(recount(program, values).objective)
    activity = form.matrices.matrix @ x
    for node in range(len(program)):
        matrices = program.node(node)
        rows = matrices.own @ values[node]
        for stage, block in matrices.to_ancestors.items():
            rows = rows + block @ values[program.ancestors[node, stage]]
        span = slice(form.row_start[node], form.row_start[node + 1])
        assert activity[span] == pytest.approx(rows)
        assert form.matrices.row_upper[span].tolist() == matrices.row_upper.tolist()


def test_toy_in_both_senses() -> None:
    for sense, sign in (("max", 1.0), ("min", -1.0)):
        solution = solve_stochastic(toy(sense), all_nodes=True)
        assert solution.objective == pytest.approx(sign * 6.0)
        assert solution.first_stage == {"x": 6.0}
        assert [each.values["y"] for each in solution.nodes[1:]] == [2.0, 6.0]
        assert solution.verified
        assert load_solution(solution.to_json().encode()) == solution


def test_same_program_same_text_but_for_the_timing() -> None:
    first, second = (json.loads(solve_stochastic(toy(), EXACT).to_json()) for _ in range(2))
    first.pop("timing"), second.pop("timing")
    assert first == second


def test_ten_thousand_nodes() -> None:
    solution = solve_stochastic(toy(copies=5000))
    assert solution.objective == pytest.approx(6.0)
    assert solution.timing.build < 2.0


def test_infeasible_and_unbounded_are_results() -> None:
    document = toy().to_document()
    document["templates"][0]["columns"]["lower"] = [7.0]
    document["templates"][1]["rows"]["lower"] = [0.0, 0.0]
    solution = solve_stochastic(StochasticProgram.from_json(json.dumps(document)))
    assert (solution.status, solution.solution, solution.bound) == ("infeasible", "none", None)
    open_ended = NodeTemplate.make(0, ["x"], cost=1.0)
    program = StochasticProgram.from_changes(
        "open", "max", [open_ended], parent=[-1], template=[0], conditional=[1.0], changes=[{}]
    )
    solution = solve_stochastic(program, value=True)
    assert solution.status in ("dual_infeasible", "infeasible_or_unbounded")
    assert solution.solution == "none"
    assert solution.stochastic.rp is None and solution.stochastic.notes


def test_limits_and_interrupts_are_results() -> None:
    assert solve_stochastic(toy(), observer=Stopped()).status == "interrupted"
    solution = solve_stochastic(knapsacks(), Options(threads=1, time_limit=2.0))
    assert solution.status == "time_limit"
    assert solution.solution == "feasible" and solution.verified
    assert solution.bound > solution.objective and solution.gap > 0.0


def knapsacks() -> StochasticProgram:
    """Equality-like knapsacks that no solver closes quickly."""
    random = np.random.default_rng(1)
    n, m = 60, 8
    weights = random.integers(200, 999, (m, n)).astype(float)
    rows = [(i, 1, j, weights[i, j]) for i in range(m) for j in range(n)]
    rows += [(i, 0, i, -1.0) for i in range(m)]
    first = NodeTemplate.make(0, [f"z{i}" for i in range(m)], cost=-0.9, upper=20_000.0, integer=True)
    second = NodeTemplate.make(
        1,
        [f"y{j}" for j in range(n)],
        [f"r{i}" for i in range(m)],
        cost=weights.sum(axis=0) + random.integers(0, 50, n),
        upper=1.0,
        integer=True,
        row_upper=0.0,
        entries=rows,
    )
    count = 6
    changes = [{("cost", j): float(random.integers(2000, 6000)) for j in range(n)} for _ in range(count)]
    return StochasticProgram.from_changes(
        "hard",
        "max",
        [first, second],
        parent=[-1] + [0] * count,
        template=[0] + [1] * count,
        conditional=[1.0] + [1.0 / count] * count,
        changes=[{}, *changes],
    )


def test_unknown_option_is_refused() -> None:
    with pytest.raises(InvalidInput, match=r"options\.colour"):
        solve_stochastic(toy(), Options(highs={"colour": 1}))


def test_a_wrong_answer_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    lie = Answer("optimal", np.array([6.0, 5.0, 6.0]), 100.0)
    for module in (program_solving, extensive):
        monkeypatch.setattr(module, "solve_program", lambda *_, **__: lie)
    # it is told, and solved again by other means
    solution = solve_stochastic(toy())
    assert (solution.objective, solution.verified) == (6.0, True)
    assert "row demand of node 1: found 5, expected at most 2" in solution.provenance.notes[0]
    # where those find nothing, it is said that nothing is known
    monkeypatch.setattr(doubting.SolutionSearch, "run", lambda self: None)
    unknown = solve_stochastic(toy())
    assert (unknown.status, unknown.objective) == ("numerical_error", None)
    assert "row demand of node 1: found 5, expected at most 2" in unknown.provenance.notes[0]


def test_recount_names_what_does_not_hold() -> None:
    program = toy()
    found = recount(program, [np.array([11.0]), np.array([3.0]), np.array([-1.0])])
    assert [each.what for each in found.violations] == [
        "column x of node 0",
        "row demand of node 1",
        "column y of node 2",
    ]


# --- strengthening -----------------------------------------------------------------------------------------


def facility(overflow: bool) -> Matrices:
    """Two facilities that open, three customers that each may serve."""
    rows = np.zeros((5, 10))
    for j in range(2):
        rows[j, 2 + 3 * j : 5 + 3 * j] = [3.0, 4.0, 5.0]
        rows[j, j] = -10.0
        rows[j, 8 + j] = -1.0 if overflow else 0.0
    for i in range(3):
        rows[2 + i, [2 + i, 5 + i]] = 1.0
    upper = np.array([1.0] * 8 + [np.inf] * 2)
    gain = np.array([-5.0, -6.0, 3.0, 4.0, 2.0, 2.0, 5.0, 3.0, -4.0, -4.0])
    return Matrices(
        gain,
        0.0,
        csr_array(rows),
        np.full(5, -np.inf),
        np.array([0.0, 0.0, 1.0, 1.0, 1.0]),
        np.zeros(10),
        upper,
        np.array([True] * 8 + [False] * 2),
    )


@pytest.mark.parametrize("overflow", [False, True])
def test_strengthening_tightens_and_keeps_the_optimum(overflow: bool) -> None:
    program = facility(overflow)
    stronger, added = strengthen(program)
    assert added == 6
    silent = Stopped()
    silent.should_stop = lambda: False  # type: ignore[method-assign]
    before, after = (program_solving.solve_program(p, EXACT, silent) for p in (program, stronger))
    assert after.bound == pytest.approx(before.bound)
    loose, tight = (
        program_solving.solve_program(p, EXACT, silent, relaxed=True).bound for p in (program, stronger)
    )
    assert before.bound - 1e-9 <= tight < loose - 0.1


@given(st.integers(0, 10**6))
def test_added_rows_hold_at_every_whole_point(seed: int) -> None:
    random = np.random.default_rng(seed)
    n = 5
    matrix = csr_array(random.integers(-4, 5, (3, n)).astype(float))
    integer = random.random(n) < 0.7
    upper = random.choice([1.0, 2.0], n)
    limit = random.choice([0.0, 1.0], 3)
    program = Matrices(
        np.ones(n),
        0.0,
        matrix,
        np.where(random.random(3) < 0.5, -limit, -np.inf),
        limit,
        random.choice([0.0, 0.0, 0.0, -1.0], n),
        upper,
        integer,
    )
    stronger, _ = strengthen(program)
    points = random.integers(program.lower, upper + 1, (200, n)).astype(float)
    points = np.where(integer, points, points * random.random((200, n)))
    for x in points:
        if program.excess(x).max() == 0.0:
            assert stronger.excess(x).max() <= 1e-9


# --- MPS ---------------------------------------------------------------------------------------------------


def optimum_of_file(path: Path) -> tuple[float | None, highspy.Highs]:
    highs = make_highs()
    assert highs.readModel(str(path)) != highspy.HighsStatus.kError
    highs.setOptionValue("mip_rel_gap", 0.0)
    highs.run()
    if highs.getModelStatus() != highspy.HighsModelStatus.kOptimal:
        return None, highs
    return highs.getInfo().objective_function_value, highs


@pytest.mark.parametrize("form", ["free", "fixed"])
@examples(0.3)
@given(program=programs())
def test_mps_has_the_same_optimum(
    tmp_path_factory: pytest.TempPathFactory, form: str, program: StochasticProgram
) -> None:
    path = tmp_path_factory.getbasetemp() / f"round-trip-{form}.mps"
    path.write_text(write_mps(program, form))  # type: ignore[arg-type]
    found, _ = optimum_of_file(path)
    ours = solve_stochastic(program, EXACT).objective
    assert found == (None if ours is None else pytest.approx(ours, abs=1e-6))


def test_mps_keeps_names_and_every_kind_of_limit(tmp_path: Path) -> None:
    template = NodeTemplate.make(
        0,
        ["free", "below", "fixed", "whole", "two words", "50%"],
        ["range", "equal", "none"],
        cost=[0.1, 1.0, 1.0, -1.0, 0.0, 1.0],
        lower=[-np.inf, -np.inf, 2.5, 0.0, -3.0, 0.0],
        upper=[np.inf, -1.5, 2.5, np.inf, 4.0, np.inf],
        integer=[False, False, False, True, True, False],
        row_lower=[-1.0, 3.0, -np.inf],
        row_upper=[7.25, 3.0, np.inf],
        entries=[(0, 0, 3, 1.0), (1, 0, 0, 1.0), (1, 0, 1, 1.0), (2, 0, 4, 1.0), (0, 0, 1, 0.1)],
        constant=11.0,
    )
    program = StochasticProgram.from_changes(
        "all kinds", "min", [template], parent=[-1], template=[0], conditional=[1.0], changes=[{}]
    )
    path = tmp_path / "kinds.mps"
    path.write_text(write_mps(program))
    found, highs = optimum_of_file(path)
    lp = highs.getLp()
    assert list(lp.col_names_) == ["free", "below", "fixed", "whole", "two%20words", "50%25"]
    assert lp.col_lower_ == [-np.inf, -np.inf, 2.5, 0.0, -3.0, 0.0]
    assert lp.col_upper_ == [np.inf, -1.5, 2.5, np.inf, 4.0, np.inf]
    assert lp.offset_ == 11.0
    solution = solve_stochastic(program, EXACT)
    assert found is None or found == pytest.approx(solution.objective)


def test_names_that_would_clash_stay_distinct() -> None:
    first = NodeTemplate.make(0, ["y@1", "y"], cost=1.0, upper=1.0)
    second = NodeTemplate.make(1, ["y"], cost=1.0, upper=1.0)
    program = StochasticProgram.from_changes(
        "clash",
        "max",
        [first, second],
        parent=[-1, 0],
        template=[0, 1],
        conditional=[1.0, 1.0],
        changes=[{}] * 2,
    )
    names = {
        line.split()[0]
        for line in write_mps(program).split("COLUMNS")[1].split("RHS")[0].splitlines()
        if line
    }
    assert len(names) == 3


def test_polishing_mends_a_solution_within_the_solver_s_tolerance(monkeypatch: pytest.MonkeyPatch) -> None:
    real = program_solving.solve_program
    calls = []

    def first_a_hair_off(*args: object, **named: object) -> Answer:
        answer = real(*args, **named)  # type: ignore[arg-type]
        calls.append(named.get("relaxed"))
        return answer if len(calls) > 1 else dataclasses.replace(answer, x=answer.x + 1e-4)

    for module in (program_solving, extensive):
        monkeypatch.setattr(module, "solve_program", first_a_hair_off)
    assert solve_stochastic(toy()).verified
    assert calls == [None, True]
