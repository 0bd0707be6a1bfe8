"""What is said of a program is looked at again: claims of parts, and optima that certificates deny."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bondwork.contracts import Options, ProgramDecision
from bondwork.problem.faults import InvalidInput
from bondwork.program import confirming, doubting, program_solving
from bondwork.program.drowned import may_drown
from bondwork.program.evening import leaves_out, may_leave_out
from bondwork.program.extensive import extensive_form
from bondwork.program.program_solving import solve_stochastic
from bondwork.program.program_verify import verify_solution
from bondwork.program.stochastic import StochasticProgram
from bondwork.program.template import NodeTemplate
from program.hostile_programs import hostile_program
from program.stochastic_programs import toy

if TYPE_CHECKING:
    from bondwork.contracts import Status

EXACT = Options(threads=1, mip_rel_gap=0.0)


def free_choices(
    cost: list[float], lower: list[float], upper: list[float], whole: list[int] | None = None
) -> StochasticProgram:
    """A program of columns that no row ties to each other: each is best at one of its bounds."""
    names = [f"x{k}" for k in range(len(cost))]
    integer = [k in (whole or []) for k in range(len(cost))]
    root = NodeTemplate.make(0, names, cost=cost, lower=lower, upper=upper, integer=integer)
    return StochasticProgram.from_changes(
        "free", "max", [root], parent=[-1], template=[0], conditional=[1.0], changes=[{}]
    )


def rays() -> StochasticProgram:
    """One whose scenarios seem to earn for ever, though every column of theirs has bounds: 228750362.6."""
    root = NodeTemplate.make(
        0, ["x"], ["r"], cost=-9.95e-13, lower=-2.0, upper=2.0, row_lower=-6.02e-7,
        entries=[(0, 0, 0, -3.01e-7)], constant=362.0,
    )  # fmt: skip
    later = NodeTemplate.make(
        1, ["y", "z"], ["r", "s"], cost=[-1380.0, 610.0], lower=[-1e-5, 0.0], upper=[0.0, 5e5],
        row_upper=[7.98e15, 7.25e-10],
        entries=[(0, 0, 0, 1.42e8), (0, 1, 1, 9.1e6), (1, 0, 0, 7.86e-12), (1, 1, 0, -1.01e8),
                 (1, 1, 1, -4180.0)],
    )  # fmt: skip
    return StochasticProgram.from_changes(
        "rays", "max", [root, later], parent=[-1, 0, 0, 0, 0], template=[0, 1, 1, 1, 1],
        conditional=[1.0, 0.25, 0.0, 0.5, 0.25],
        changes=[
            {}, {}, {}, {("entries", 3): -5.36e-9, ("entries", 4): -8.58},
            {("cost", 1): 4.81e-6, ("entries", 2): -4.3e-10},
        ],
    )  # fmt: skip


def barely_infeasible() -> StochasticProgram:
    """A scenario in which 0 is to be at most -7.54e-13: nothing to a solver, and not so."""
    root = NodeTemplate.make(0, ["x"], cost=0.0, upper=0.5)
    later = NodeTemplate.make(
        1, ["y"], ["r", "s"], cost=-1.91e-5, upper=1.0, row_upper=[3.57e12, 1.52e11],
        entries=[(0, 1, 0, 6.88e-7), (1, 0, 0, -1.52e11)],
    )  # fmt: skip
    return StochasticProgram.from_changes(
        "barely", "max", [root, later], parent=[-1, 0, 0], template=[0, 1, 1], conditional=[1.0, 0.75, 0.25],
        changes=[{}, {}, {("row_upper", 0): -7.54e-13, ("entries", 1): -7.69e18}],
    )  # fmt: skip


# --- claims of parts ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("strategy", ["extensive", "l-shaped", "auto"])
def test_parts_that_seem_unbounded_are_solved_as_a_whole(strategy: str) -> None:
    program = rays()
    solution = solve_stochastic(program, EXACT, strategy=strategy, all_nodes=True)
    # y = 0 and z = 5e5 in the two scenarios of 610 a unit, 1e-5 of y in all of them
    best = 362.0 + 2.0 * 9.95e-13 + 0.75 * 610.0 * 5e5 + 0.25 * 4.81e-6 * 5e5 + 1380.0 * 1e-5
    assert solution.status == "optimal"
    assert solution.objective == pytest.approx(best, rel=1e-6)
    assert verify_solution(program, solution)


@pytest.mark.parametrize("status", ["dual_infeasible", "infeasible_or_unbounded", "infeasible"])
def test_what_parts_claim_is_confirmed(monkeypatch: pytest.MonkeyPatch, status: Status) -> None:
    class Wrong:
        summary = "Says what is not so."

        def solve_program(self, program: object, options: object, observer: object) -> ProgramDecision:
            return ProgramDecision(status, -math.inf if status == "infeasible" else math.inf, None)

    monkeypatch.setattr(program_solving, "find_program_strategy", lambda name: Wrong())
    solution = solve_stochastic(toy(), EXACT, strategy="l-shaped")
    assert (solution.status, solution.objective, solution.verified) == ("optimal", 6.0, True)
    assert any("solved again as a whole" in note for note in solution.provenance.notes)
    # too large to be solved as a whole: it is said that nobody did
    monkeypatch.setattr("bondwork.program.program_certifying.MOST_CERTIFIED", 0)
    unsure = solve_stochastic(toy(), EXACT, strategy="l-shaped")
    told = any("not solved to confirm it" in note for note in unsure.provenance.notes)
    assert (unsure.status, told) == (status, status != "infeasible")


def test_what_is_unbounded_stays_so() -> None:
    root = NodeTemplate.make(0, ["x"], cost=-1.0, upper=1.0)
    later = NodeTemplate.make(1, ["y"], cost=1.0)
    program = StochasticProgram.from_changes(
        "endless", "max", [root, later], parent=[-1, 0, 0], template=[0, 1, 1], conditional=[1.0, 0.5, 0.5],
        changes=[{}, {}, {}],
    )  # fmt: skip
    for strategy in ("extensive", "l-shaped"):
        assert solve_stochastic(program, EXACT, strategy=strategy).status == "dual_infeasible"


@pytest.mark.parametrize("strategy", ["extensive", "l-shaped", "auto"])
@pytest.mark.parametrize("certificate", ["full", "none"])
def test_a_decision_that_breaks_something_is_never_an_error(strategy: str, certificate: str) -> None:
    program = barely_infeasible()
    solution = solve_stochastic(program, EXACT, strategy=strategy, certificate=certificate)  # type: ignore[arg-type]
    assert solution.status in ("infeasible", "numerical_error")
    assert solution.objective is None and solution.solution == "none"
    assert verify_solution(program, solution)


def test_a_decision_that_nothing_replaces_is_not_called_infeasible(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken:
        summary = "Hands out what breaks rows."

        def solve_program(self, program: object, options: object, observer: object) -> ProgramDecision:
            nodes = [np.array([6.0]), np.array([5.0]), np.array([6.0])]
            return ProgramDecision("optimal", 100.0, nodes[0], nodes)

    monkeypatch.setattr(program_solving, "find_program_strategy", lambda name: Broken())
    monkeypatch.setattr(program_solving, "_polished", lambda program, values, *_: values)
    assert solve_stochastic(toy(), EXACT, strategy="l-shaped").objective == 6.0
    # neither the whole nor a search finds anything
    monkeypatch.setattr("bondwork.program.program_search.SolutionSearch.run", lambda self: None)
    monkeypatch.setattr(confirming, "find_program_strategy", lambda name: Broken())
    solution = solve_stochastic(toy(), EXACT, strategy="l-shaped")
    assert (solution.status, solution.objective) == ("numerical_error", None)
    assert any("found 5, expected at most 2" in note for note in solution.provenance.notes)


# --- optima that their certificates deny -------------------------------------------------------------------


def test_amounts_near_a_millionth_are_judged_by_their_size() -> None:
    program = free_choices([27.2, -2e5, -0.7], [1.3e-8, 0.0, 0.0], [2.7e-7, 5.0, 1e10], whole=[1])
    solution = solve_stochastic(program, EXACT, all_nodes=True)
    assert (solution.status, solution.objective) == ("optimal", pytest.approx(27.2 * 2.7e-7, rel=1e-9))
    assert verify_solution(program, solution).certified == pytest.approx(27.2 * 2.7e-7, rel=1e-9)


def test_what_costs_nothing_beside_others_counts_where_there_is_much_of_it() -> None:
    program = free_choices([2.9325e10, 4.4475e-8, -3.11e6], [0.0, 0.0, 0.0], [2e-4, 1e9, 1e2])
    solution = solve_stochastic(program, EXACT, all_nodes=True)
    best = 2.9325e10 * 2e-4 + 44.475
    assert (solution.status, solution.objective) == ("optimal", pytest.approx(best, rel=1e-12))


#: Digits and power of ten of what a column earns; how many, and times which power of ten; whether whole.
COLUMN = st.tuples(
    st.integers(-99, 99), st.integers(-12, 10), st.integers(0, 9), st.integers(-8, 9), st.booleans()
)


@settings(max_examples=25, deadline=None)
@given(st.lists(COLUMN, min_size=1, max_size=5))
def test_an_optimum_is_within_a_millionth_whatever_the_magnitudes(
    columns: list[tuple[int, int, int, int, bool]],
) -> None:
    cost = [digits * 10.0**power for digits, power, *_ in columns]
    upper = [float(most) if whole else most * 10.0**size for _, _, most, size, whole in columns]
    program = free_choices(cost, [0.0] * len(cost), upper, [k for k, each in enumerate(columns) if each[4]])
    solution = solve_stochastic(program, EXACT, all_nodes=True)
    best = math.fsum(max(0.0, price * most) for price, most in zip(cost, upper, strict=True))
    if solution.status == "optimal":
        assert solution.objective == pytest.approx(best, rel=2e-6, abs=0.0)
    else:
        assert solution.status == "numerical_error"
    assert verify_solution(program, solution)


# --- no matrices where nothing is left out -----------------------------------------------------------------


def test_what_numbers_alone_rule_out_is_no_part_of_any_program() -> None:
    ruled_out = 0
    for seed in range(60):
        try:
            program = hostile_program(seed, least=seed % 10 - 12, most=seed % 10 - 2)
        except InvalidInput:  # bounds that cross, and the like
            continue
        if not may_leave_out(program):
            ruled_out += 1
            assert not leaves_out(extensive_form(program).matrices), seed
    assert ruled_out > 4


def test_ordinary_programs_are_not_written_down_again(monkeypatch: pytest.MonkeyPatch) -> None:
    # the relaxation is worth 6, the best whole solution 5, which branch and bound proves
    root = NodeTemplate.make(
        0, ["x", "y"], ["r"], cost=[5.0, 2.0], upper=1.0, integer=True, row_upper=3.0,
        entries=[(0, 0, 0, 2.0), (0, 0, 1, 2.0)],
    )  # fmt: skip
    program = StochasticProgram.from_changes(
        "half", "max", [root], parent=[-1], template=[0], conditional=[1.0], changes=[{}]
    )
    assert not may_leave_out(program) and not may_drown(program, 1.0)
    monkeypatch.setattr(doubting, "extensive_form", lambda program: pytest.fail("written down again"))
    solution = solve_stochastic(program, EXACT)
    assert (solution.status, solution.objective) == ("optimal", 5.0)
    assert solution.certificate is not None and solution.certificate.bound == 6.0
