"""The L-shaped method equals the extensive form, its bound is on the right side, and it stops when told."""

from __future__ import annotations

import json
import math
import time
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given

from bondwork.contracts import Options
from bondwork.observing import Silence
from bondwork.problem.faults import InvalidInput, Refusal
from bondwork.program.program_recount import recount
from bondwork.program.program_solving import solve_stochastic
from bondwork.program.stochastic import StochasticProgram
from bondwork.program.template import NodeTemplate
from bondwork.strategies.extensive import Extensive
from bondwork.strategies.l_shaped import LShaped, shards
from observers import Notebook
from program.stochastic_programs import toy
from rounds_strategy import examples
from strategies.two_stage import two_stage

if TYPE_CHECKING:
    from bondwork.contracts import ProgramDecision

EXACT = Options(threads=1, mip_rel_gap=0.0)
NO_SOLUTION = ("infeasible", "dual_infeasible", "infeasible_or_unbounded")


def by(program: StochasticProgram, **settings: str) -> ProgramDecision:
    options = Options(threads=1, mip_rel_gap=0.0, settings=settings)
    return LShaped().solve_program(program, options, Silence())


def agrees(program: StochasticProgram, **settings: str) -> None:
    """Compare with the extensive form; check bound and decisions."""
    sign = 1.0 if program.sense == "max" else -1.0
    whole = Extensive().solve_program(program, EXACT, Silence())
    decision = by(program, **settings)
    if whole.status in NO_SOLUTION:
        assert decision.status in NO_SOLUTION
        if whole.status != decision.status:
            # one of them cannot tell the two apart
            assert "infeasible_or_unbounded" in (whole.status, decision.status)
        assert decision.root is None
        return
    assert whole.nodes is not None
    optimum = sign * recount(program, whole.nodes).objective
    size = max(1.0, abs(optimum))
    assert decision.status == "optimal"
    assert decision.bound >= optimum - 1e-6 * size
    assert decision.bound <= optimum + 1e-6 * size
    assert decision.nodes is not None
    counted = recount(program, decision.nodes)
    assert not counted.violations
    assert sign * counted.objective == pytest.approx(optimum, abs=1e-6 * size)


@pytest.mark.parametrize(
    "settings", [{}, {"cuts": "single"}, {"regularise": "no", "cuts": "2"}], ids=["multi", "single", "plain"]
)
@examples(0.5)
@given(program=two_stage())
def test_equals_the_extensive_form(program: StochasticProgram, settings: dict[str, str]) -> None:
    agrees(program, **settings)


@examples(0.5)
@given(program=two_stage(bounded=False))
def test_equals_the_extensive_form_where_it_may_be_unbounded(program: StochasticProgram) -> None:
    agrees(program)


def test_what_could_be_arbitrarily_good_is_no_solution() -> None:
    """A first stage that earns without end, later columns that earn as well; a trust region doubles on."""
    earns = NodeTemplate.make(0, ["x"], cost=2.0)
    later = NodeTemplate.make(
        1,
        ["y", "z"],
        ["a", "b"],
        cost=[3.0, 10.0],
        lower=[0.0, -0.5],
        upper=[10.0, 3.5],
        row_upper=[0.3, 3.0],
        entries=[(0, 1, 0, 0.3), (1, 1, 0, -0.7), (1, 1, 1, 2.0)],
    )
    changes = [{}, {}, {("row_upper", 0): 0.0, ("entries", 0): -1.0}]
    program = StochasticProgram.from_changes(
        "endless",
        "max",
        [earns, later],
        parent=[-1, 0, 0],
        template=[0, 1, 1],
        conditional=[1.0, 0.5, 0.5],
        changes=changes,
    )
    agrees(program)
    solution = solve_stochastic(program, EXACT, strategy="l-shaped")
    assert (solution.status, solution.solution, solution.objective) == ("dual_infeasible", "none", None)


def test_what_is_endless_along_a_row_is_said_so_before_steps_are_too_wide_to_solve() -> None:
    """A free column pulls another with it; a trust region that doubles on soon holds 1e13 and more."""
    root = NodeTemplate.make(
        0, ["x", "z", "w"], ["tied", "again"], cost=[6.0, 0.3, -5.0], lower=[0.0, -np.inf, -np.inf],
        upper=[2.5, np.inf, 1.0], integer=[True, True, False], row_lower=[0.37, 0.74], row_upper=[0.37, 0.74],
        entries=[(0, 0, 1, 8.0), (0, 0, 2, -0.1), (1, 0, 1, 16.0), (1, 0, 2, -0.2)],
    )  # fmt: skip
    later = NodeTemplate.make(1, ["y"], cost=4.0, upper=5.0)
    program = StochasticProgram.from_changes(
        "endless", "max", [root, later], parent=[-1, 0, 0], template=[0, 1, 1],
        conditional=[1.0, 0.25, 0.75], changes=[{}, {}, {}],
    )  # fmt: skip
    assert by(program).status == "infeasible_or_unbounded"
    assert solve_stochastic(program, EXACT, strategy="l-shaped").status == "dual_infeasible"


def test_a_cut_does_not_forbid_by_rounding_what_leaves_recourse() -> None:
    """Both rows say y = 0.1 where x = z = 0; in binary 0.1 - (-0.3) / -3 is less than nothing."""
    root = NodeTemplate.make(0, ["x", "z"], cost=[-1.0, 1.0], upper=1.0, integer=True)
    later = NodeTemplate.make(
        1, ["w", "y"], ["a", "b"], cost=[3.0, -1.0], upper=[0.0, 2.5], integer=[True, False],
        row_lower=[0.1, -0.3], row_upper=[0.1, -0.3],
        entries=[(0, 0, 0, -2.0), (0, 1, 1, 1.0), (1, 0, 1, -2.0), (1, 1, 1, -3.0)],
    )  # fmt: skip
    program = StochasticProgram.from_changes(
        "rounded", "max", [root, later], parent=[-1, 0], template=[0, 1], conditional=[1.0, 1.0],
        changes=[{}, {}],
    )  # fmt: skip
    decision = by(program)
    assert (decision.status, decision.bound) == ("optimal", pytest.approx(-0.1, abs=1e-9))
    agrees(program)


def test_rows_that_only_the_first_stage_fills_may_be_full() -> None:
    """A cut allows x to be 0.35 / 3, which is more than 0.35 in the row by rounding."""
    root = NodeTemplate.make(0, ["w", "x"], cost=[0.0, 4.18], upper=20.5, integer=[True, False])
    entries = [(0, 0, 1, 3.0), (1, 0, 0, 1.1), (1, 0, 1, 2.0)]
    later = NodeTemplate.make(1, [], ["a", "b"], cost=[], row_upper=[0.35, 1.1], entries=entries)
    program = StochasticProgram.from_changes(
        "full",
        "max",
        [root, later],
        parent=[-1, 0],
        template=[0, 1],
        conditional=[1.0, 1.0],
        changes=[{}, {}],
    )
    decision = by(program)
    assert (decision.status, decision.bound) == ("optimal", pytest.approx(4.18 * 0.35 / 3, rel=1e-9))
    agrees(program)


@pytest.mark.parametrize("tighten", ["no", "always"])
@examples(0.5)
@given(program=two_stage(whole_recourse=True))
def test_equals_the_extensive_form_with_whole_recourse(program: StochasticProgram, tighten: str) -> None:
    agrees(program, tighten=tighten)


@examples(0.3)
@given(program=two_stage(whole_recourse=True))
def test_one_cut_for_all_with_whole_recourse(program: StochasticProgram) -> None:
    agrees(program, cuts="single")


# --- limits, interruptions, refusals -----------------------------------------------------------------------


def newsvendors(count: int = 40, goods: int = 5) -> StochasticProgram:
    """Stock several goods within a budget of space; demand is anything. Takes tens of steps."""
    random = np.random.default_rng(5)
    first = NodeTemplate.make(
        0,
        [f"stock{k}" for k in range(goods)],
        ["space"],
        cost=random.integers(2, 9, goods).astype(float),
        row_upper=40.0 * goods,
        entries=[(0, 0, k, 1.0) for k in range(goods)],
    )
    second = NodeTemplate.make(
        1,
        [f"{what}{k}" for what in ("sold", "left") for k in range(goods)],
        [f"{what}{k}" for what in ("stock", "demand") for k in range(goods)],
        cost=[*(-random.integers(10, 30, goods).astype(float)), *np.full(goods, -1.0)],
        row_lower=[0.0] * goods + [-np.inf] * goods,
        row_upper=[0.0] * goods + [50.0] * goods,
        entries=[
            entry
            for k in range(goods)
            for entry in ((k, 0, k, -1.0), (k, 1, k, 1.0), (k, 1, goods + k, 1.0), (goods + k, 1, k, 1.0))
        ],
    )
    changes: list[dict[tuple[str, int], float]] = [{}]
    demand = random.integers(0, 100, (count, goods)).astype(float)
    changes += [{("row_upper", goods + k): line[k] for k in range(goods)} for line in demand.tolist()]
    return StochasticProgram.from_changes(
        "newsvendors",
        "min",
        [first, second],
        parent=[-1] + [0] * count,
        template=[0] + [1] * count,
        conditional=[1.0] + [1.0 / count] * count,
        changes=changes,
    )


def test_processes_are_the_same_as_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards, "PART_ENTRIES", 200)
    program = newsvendors(100)
    here = by(program, processes="1")
    there = by(program, processes="2")
    assert here.status == there.status == "optimal"
    assert here.root is not None and there.root is not None
    assert here.root.tolist() == there.root.tolist()
    assert here.bound == there.bound
    assert any("2 processes" in note for note in there.notes)
    solution = solve_stochastic(program, EXACT, strategy="l-shaped")
    assert (solution.verified, solution.strategy) == (True, "l-shaped")
    assert solution.objective == pytest.approx(-here.bound, rel=1e-7)


def test_time_limit_keeps_incumbent_and_bound() -> None:
    program = newsvendors()
    optimum = -Extensive().solve_program(program, EXACT, Silence()).bound
    solution = solve_stochastic(program, Options(time_limit=0.0), strategy="l-shaped")
    assert (solution.status, solution.solution, solution.bound) == ("time_limit", "none", None)
    for steps in (2, 5):
        decision = LShaped().solve_program(program, EXACT, _StopAfter(steps))
        assert decision.status == "interrupted"
        assert decision.nodes is not None
        counted = recount(program, decision.nodes)
        assert not counted.violations
        assert counted.objective >= optimum - 1e-6 * abs(optimum)
        assert -decision.bound <= optimum + 1e-6 * abs(optimum)


class _StopAfter(Notebook):
    """Stops at a certain report."""

    def __init__(self, reports: int) -> None:
        super().__init__()
        self.most = reports

    def should_stop(self) -> bool:
        return len(self.reports) >= self.most


def test_an_interrupt_reaches_other_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards, "PART_ENTRIES", 200)
    program = newsvendors(100)
    start = time.perf_counter()
    options = Options(mip_rel_gap=0.0, settings={"processes": "2"})
    decision = LShaped().solve_program(program, options, _StopAfter(1))
    assert decision.status == "interrupted"
    assert decision.root is not None
    assert time.perf_counter() - start < 20.0


class _StopWhileAtWork(Notebook):
    """Stops at a certain question after the first report: while other processes are at work."""

    def __init__(self, questions: int) -> None:
        super().__init__()
        self.left = questions

    def should_stop(self) -> bool:
        self.left -= bool(self.reports)
        return self.left < 0


@pytest.mark.parametrize("questions", [2, 3, 7])
def test_an_interrupt_while_processes_work_keeps_the_incumbent(
    monkeypatch: pytest.MonkeyPatch, questions: int
) -> None:
    monkeypatch.setattr(shards, "PART_ENTRIES", 200)
    program = newsvendors(100)
    options = Options(mip_rel_gap=0.0, settings={"processes": "2"})
    decision = LShaped().solve_program(program, options, _StopWhileAtWork(questions))
    assert decision.status == "interrupted"
    assert decision.nodes is not None
    assert not recount(program, decision.nodes).violations


def test_a_process_that_dies_is_a_status(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards, "PART_ENTRIES", 200)

    class Killer(_StopAfter):
        def should_stop(self) -> bool:
            if self.reports:
                for process in teams[0].processes:
                    process.kill()
                    process.wait()
            return False

    teams: list[shards.Elsewhere] = []
    real = shards.Elsewhere.__init__

    def noted(self: shards.Elsewhere, *arguments: object) -> None:
        real(self, *arguments)  # type: ignore[arg-type]
        teams.append(self)

    monkeypatch.setattr(shards.Elsewhere, "__init__", noted)
    options = Options(mip_rel_gap=0.0, settings={"processes": "2"})
    decision = LShaped().solve_program(newsvendors(100), options, Killer(1))
    assert decision.status == "other_error"
    assert any("ended on its own" in note for note in decision.notes)
    assert decision.nodes is not None


def test_progress_is_told_with_bounds_on_the_right_side() -> None:
    program, notebook = newsvendors(), Notebook()
    decision = LShaped().solve_program(program, EXACT, notebook)
    told = [each for each in notebook.reports if each.phase == "l-shaped"]
    assert len(told) > 3
    for each in told:
        assert each.objective is None or each.objective <= decision.bound + 1e-6 * abs(decision.bound)
        assert each.bound is None or each.bound >= decision.bound - 1e-6 * abs(decision.bound)
    objectives = [each.objective for each in told if each.objective is not None]
    assert objectives == sorted(objectives)


def test_amounts_of_any_size() -> None:
    for factor in (1e-9, 1e9):
        program = toy("min")
        document = program.to_document()
        for template in document["templates"]:
            template["columns"]["cost"] = [factor * cost for cost in template["columns"]["cost"]]
        scaled = StochasticProgram.from_json(json.dumps(document))
        decision = by(scaled)
        assert decision.status == "optimal"
        assert decision.bound == pytest.approx(6.0 * factor, rel=1e-6)


def test_other_than_two_stages_are_refused() -> None:
    one = NodeTemplate.make(0, ["x"], cost=1.0, upper=1.0)
    single = StochasticProgram.from_changes(
        "one", "max", [one], parent=[-1], template=[0], conditional=[1.0], changes=[{}]
    )
    with pytest.raises(Refusal, match="two stages, this one has 1: extensive takes it"):
        solve_stochastic(single, strategy="l-shaped")


def test_whole_recourse_of_a_first_stage_that_is_not_yes_or_no_is_refused() -> None:
    stake = NodeTemplate.make(0, ["x"], cost=-1.0, upper=10.0, integer=True)
    serve = NodeTemplate.make(
        1,
        ["y"],
        ["stock"],
        cost=3.0,
        upper=4.0,
        integer=True,
        row_upper=0.0,
        entries=[(0, 0, 0, -1.0), (0, 1, 0, 1.0)],
    )
    program = StochasticProgram.from_changes(
        "whole",
        "max",
        [stake, serve],
        parent=[-1, 0],
        template=[0, 1],
        conditional=[1.0, 1.0],
        changes=[{}] * 2,
    )
    with pytest.raises(Refusal, match="yes or no, and x of it is not"):
        solve_stochastic(program, strategy="l-shaped")


def test_unknown_settings_are_all_named() -> None:
    options = Options(settings={"cuts": "few", "colour": "red"})
    with pytest.raises(InvalidInput) as caught:
        solve_stochastic(toy(), options, strategy="l-shaped")
    assert [each.path for each in caught.value.faults] == ["settings.cuts", "settings.colour"]


def test_same_program_same_decision() -> None:
    first, second = by(newsvendors()), by(newsvendors())
    assert first.root is not None and second.root is not None
    assert (first.bound, first.root.tolist()) == (second.bound, second.root.tolist())


def test_all_is_told_even_where_nothing_can_be_decided() -> None:
    decision = by(toy("max", copies=300))
    assert decision.status == "optimal" and math.isfinite(decision.bound)


@pytest.mark.parametrize("integer", [False, True])
@pytest.mark.parametrize(("first", "second"), [(0, 0), (1, 0), (0, 1), (2, 0), (2, 2)])
def test_stages_without_columns(first: int, second: int, integer: bool) -> None:
    """A period in which nothing can be done is a node without decisions, and a plan says so."""
    templates = [
        NodeTemplate.make(
            stage, [f"x{j}" for j in range(columns)], cost=1.0, upper=1.0, integer=integer, constant=-0.5
        )
        for stage, columns in enumerate((first, second))
    ]
    program = StochasticProgram.from_changes(
        "bare", "max", templates, parent=[-1, 0, 0], template=[0, 1, 1], conditional=[1.0, 0.25, 0.75],
        changes=[{}, {}, {}],
    )  # fmt: skip
    decision = by(program)
    assert decision.status == "optimal"
    assert decision.nodes is not None
    assert [len(each) for each in decision.nodes] == [first, second, second]
    assert recount(program, decision.nodes).objective == pytest.approx(first + second - 1.0)
    assert decision.bound == pytest.approx(first + second - 1.0)


def test_a_scenario_of_small_amounts_is_decided_beside_one_of_large():
    """One scenario counts in ten thousandths, the other in hundreds of millions: neither is left as it is."""
    first = NodeTemplate.make(0, ["x"], cost=-1.0, upper=1e-7)
    later = NodeTemplate.make(1, ["y", "z"], cost=[4.45e-5, 0.0], upper=[300.0, 3e7])
    program = StochasticProgram.from_changes(
        "wide", "max", [first, later], parent=[-1, 0, 0], template=[0, 1, 1],
        conditional=[1.0, 0.5, 0.5], changes=[{}, {}, {("cost", 0): -3e-9, ("cost", 1): -8e8}],
    )  # fmt: skip
    solution = solve_stochastic(program, Options(mip_rel_gap=0.0), strategy="l-shaped", all_nodes=True)
    assert solution.status == "optimal"
    assert solution.objective == pytest.approx(0.5 * 4.45e-5 * 300, rel=1e-9)
    assert solution.gap == pytest.approx(0.0, abs=1e-9)
