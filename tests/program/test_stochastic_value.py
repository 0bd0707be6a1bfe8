"""WS, RP, EEV, EVPI, VSS: the toy of the literature, the inequalities, and when there is no value."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bondwork.contracts import Options
from bondwork.problem.faults import Refusal
from bondwork.program.program_solving import solve_stochastic
from bondwork.program.stochastic import StochasticProgram
from bondwork.program.template import NodeTemplate
from program.stochastic_programs import programs, toy
from rounds_strategy import examples

if TYPE_CHECKING:
    from bondwork.program.program_solution import StochasticValue

EXACT = Options(threads=1, mip_rel_gap=0.0)

#: Feasibility and rounding of the solver, relative to the sizes of the values and to 1.
TOLERANCE = 1e-6


def worth(program: StochasticProgram, options: Options = EXACT) -> StochasticValue:
    value = solve_stochastic(program, options, value=True).stochastic
    assert value is not None
    return value


@pytest.mark.parametrize(("sense", "sign"), [("max", 1.0), ("min", -1.0)])
def test_toy(sense: str, sign: float) -> None:
    value = worth(toy(sense))
    assert (value.ws, value.rp, value.eev) == pytest.approx((sign * 8, sign * 6, sign * 5))
    assert (value.evpi, value.vss, value.ev) == pytest.approx((2.0, 1.0, sign * 8))
    assert value.notes == []


def check_inequalities(program: StochasticProgram, value: StochasticValue) -> None:
    sign = 1.0 if program.sense == "max" else -1.0
    slack = TOLERANCE * max([1.0] + [abs(v) for v in (value.ws, value.rp, value.eev) if v is not None])
    if value.ws is not None and value.rp is not None:
        # what was proved is never below what it bounds, whatever the gap at which a solve stopped
        assert sign * value.ws_bound >= sign * value.rp - slack
    if value.rp is not None and value.eev is not None:
        assert sign * value.rp_bound >= sign * value.eev - slack


@given(programs())
def test_inequalities(program: StochasticProgram) -> None:
    value = worth(program)
    check_inequalities(program, value)
    if value.ws is not None and value.rp is not None:
        assert value.evpi >= -TOLERANCE
    if value.rp is not None and value.eev is not None:
        assert value.vss >= -TOLERANCE
    # a policy that can be carried out shows that the program is feasible, and that shows the scenarios are
    if value.eev is not None:
        assert value.rp is not None
    if value.rp is not None:
        assert value.ws is not None
    else:
        assert any(note.startswith("rp:") for note in value.notes)
    if value.eev is None:
        assert any(note.startswith("eev:") for note in value.notes)


@examples(0.4)
@given(programs())
def test_inequalities_hold_with_bounds_at_a_wide_gap(program: StochasticProgram) -> None:
    check_inequalities(program, worth(program, Options(threads=1, mip_rel_gap=0.5)))


@examples(0.3)
@given(programs())
def test_one_scenario_is_worth_nothing(program: StochasticProgram) -> None:
    single = StochasticProgram.from_changes(
        "single",
        program.sense,
        list(program.templates),
        parent=list(range(-1, len(program.stages) - 1)),
        template=list(range(len(program.stages))),
        conditional=[1.0] * len(program.stages),
        changes=[{}] * len(program.stages),
    )
    value = worth(single)
    if value.rp is not None:
        assert (value.evpi, value.vss) == pytest.approx((0.0, 0.0), abs=TOLERANCE)


def test_mean_problem_of_whole_numbers_may_be_infeasible() -> None:
    """A whole y must equal d, which is 0 or 1: the mean 1/2 cannot be met."""
    first = NodeTemplate.make(0, ["x"], cost=1.0, upper=1.0)
    second = NodeTemplate.make(
        1,
        ["y"],
        ["d"],
        cost=1.0,
        upper=3.0,
        integer=True,
        row_lower=0.0,
        row_upper=0.0,
        entries=[(0, 1, 0, 1.0)],
    )
    program = StochasticProgram.from_changes(
        "halves",
        "max",
        [first, second],
        parent=[-1, 0, 0],
        template=[0, 1, 1],
        conditional=[1.0, 0.5, 0.5],
        changes=[{}, {}, {("row_lower", 0): 1.0, ("row_upper", 0): 1.0}],
    )
    value = worth(program)
    assert (value.ws, value.rp, value.evpi) == pytest.approx((1.5, 1.5, 0.0))
    assert (value.ev, value.eev, value.vss) == (None, None, None)
    assert value.notes == ["eev: the mean problem is infeasible"]


def test_mean_decision_may_leave_a_scenario_without_recourse() -> None:
    """The mean plan stakes 4; the demand of 6 must be met."""
    document = toy("min").to_document()
    document["templates"][0]["columns"]["cost"] = [1.0]
    document["templates"][1]["rows"]["lower"] = [None, 2.0]
    document["nodes"][2]["changes"]["row_lower"] = {"at": [1], "value": [6.0]}
    value = worth(StochasticProgram.from_json(json.dumps(document)))
    assert value.eev is None and value.vss is None and value.ev is not None
    assert value.notes == ["eev: scenario 2, with what the mean problem decided, is infeasible"]


def test_a_scenario_of_probability_0_binds_the_mean_decision_as_it_binds_the_program() -> None:
    """x costs 1 and y earns 2 up to x in the likely scenario; the other needs x <= 1. Means take x = 3."""
    first = NodeTemplate.make(0, ["x"], cost=-1.0, upper=3.0)
    second = NodeTemplate.make(
        1, ["y"], ["have", "most"], cost=2.0, upper=9.0,
        row_lower=[-math.inf, -math.inf], row_upper=[0.0, 9.0],
        entries=[(0, 1, 0, 1.0), (0, 0, 0, -1.0), (1, 0, 0, 1.0)],
    )  # fmt: skip
    for likely in (1.0, 0.75):
        program = StochasticProgram.from_changes(
            "unlikely", "max", [first, second], parent=[-1, 0, 0], template=[0, 1, 1],
            conditional=[1.0, likely, 1.0 - likely], changes=[{}, {}, {("row_upper", 1): 1.0}],
        )  # fmt: skip
        value = worth(program)
        assert value.rp == pytest.approx(1.0)
        assert (value.eev, value.vss) == (None, None)
        assert value.notes == ["eev: scenario 2, with what the mean problem decided, is infeasible"]


def test_nodes_that_differ_in_shape_have_no_mean() -> None:
    first = NodeTemplate.make(0, ["x"], cost=-1.0, upper=4.0)
    one = NodeTemplate.make(1, ["y"], cost=1.0, upper=1.0)
    two = NodeTemplate.make(1, ["y", "z"], cost=1.0, upper=1.0)
    program = StochasticProgram.from_changes(
        "shapes",
        "max",
        [first, one, two],
        parent=[-1, 0, 0],
        template=[0, 1, 2],
        conditional=[1.0, 0.5, 0.5],
        changes=[{}] * 3,
    )
    value = worth(program)
    assert (value.ws, value.rp) == pytest.approx((1.5, 1.5))
    assert value.notes == ["eev: nodes of stage 2 differ in their columns and rows, so they have no mean"]


def test_three_stages_by_hand() -> None:
    """Sell at most what was bought; the price of the last stage splits twice.

    Buy x <= 1 at 4; sell s <= x at 3 in stage 2, the rest in stage 3 at 2 or 8, known then, or at 5 for sure
    on the other branch. Waiting is worth 5 on either branch, so buy: 1. Perfect information sells early
    where the late price is 2: 0.25 * max(3 - 4, 0) = 0 there, 0.25 * 4 + 0.5 * 1 = 1.5 in all.
    """
    buy = NodeTemplate.make(0, ["x"], cost=-4.0, upper=1.0)
    early = NodeTemplate.make(
        1, ["s"], ["stock"], cost=3.0, row_upper=0.0, entries=[(0, 0, 0, -1.0), (0, 1, 0, 1.0)]
    )
    late = NodeTemplate.make(
        2,
        ["t"],
        ["stock"],
        cost=5.0,
        row_upper=0.0,
        entries=[(0, 0, 0, -1.0), (0, 1, 0, 1.0), (0, 2, 0, 1.0)],
    )
    program = StochasticProgram.from_changes(
        "three",
        "max",
        [buy, early, late],
        parent=[-1, 0, 0, 1, 1, 2],
        template=[0, 1, 1, 2, 2, 2],
        conditional=[1.0, 0.5, 0.5, 0.5, 0.5, 1.0],
        changes=[{}, {}, {}, {("cost", 0): 2.0}, {("cost", 0): 8.0}, {}],
    )
    value = worth(program)
    assert (value.ws, value.rp, value.eev) == pytest.approx((1.5, 1.0, 1.0))
    assert (value.evpi, value.vss) == pytest.approx((0.5, 0.0))


def test_time_limit_leaves_reasons() -> None:
    value = worth(toy(copies=400), Options(threads=1, time_limit=0.0))
    assert value.evpi is None and value.vss is None
    assert [note.split(":")[0] for note in value.notes] == ["rp", "ws", "eev"]


@st.composite
def certain_programs(draw: st.DrawFn) -> StochasticProgram:
    """A first stage and one thing that can happen after it, in numbers of two decimals."""
    number = st.integers(-500, 500).map(lambda n: n / 100)
    columns, rows = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    own = draw(st.integers(0, 2))
    scale = draw(st.sampled_from([1.0, 1.0, 1e6]))
    entries = []
    for row in range(rows):
        entries += [(row, 0, j, scale * draw(number)) for j in range(columns)]
        entries += [(row, 1, j, scale * draw(number)) for j in range(own)]
    first = NodeTemplate.make(
        0, [f"x{j}" for j in range(columns)], cost=[draw(number) for _ in range(columns)], upper=20.5,
        integer=[draw(st.booleans()) for _ in range(columns)],
    )  # fmt: skip
    later = NodeTemplate.make(
        1, [f"y{j}" for j in range(own)], [f"r{i}" for i in range(rows)],
        cost=[draw(number) for _ in range(own)], upper=20.5, integer=draw(st.booleans()),
        row_upper=[scale * draw(number) for _ in range(rows)], entries=entries,
    )  # fmt: skip
    return StochasticProgram.from_changes(
        "certain", "max", [first, later], parent=[-1, 0], template=[0, 1], conditional=[1.0, 1.0],
        changes=[{}, {}],
    )  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(certain_programs())
def test_where_nothing_is_random_planning_with_means_loses_nothing(program: StochasticProgram) -> None:
    """However its decisions are rounded."""
    value = worth(program)
    if value.rp is None:
        return
    assert value.eev is not None, value.notes
    assert value.eev == pytest.approx(value.rp, rel=1e-6, abs=1e-6)
    assert value.vss == pytest.approx(0.0, abs=1e-6)


@settings(max_examples=100, deadline=None)
@given(certain_programs(), st.sampled_from(["expected-value", "l-shaped", "extensive"]))
def test_a_first_stage_leaves_recourse_however_it_is_rounded(
    program: StochasticProgram, strategy: str
) -> None:
    try:
        solution = solve_stochastic(program, EXACT, strategy=strategy)
    except Refusal:
        return
    best = solve_stochastic(program, EXACT)
    assert (solution.objective is None) == (best.objective is None)
    if best.objective is not None:
        assert solution.objective == pytest.approx(best.objective, rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("sense", ["max", "min"])
@pytest.mark.parametrize("tenths", [(1, 2, 7), (3, 3, 4), (2, 3, 5)])
def test_what_sums_are_rounded_to_contradicts_nothing(tenths: tuple[int, ...], sense: str) -> None:
    """Nothing is decided here before all is known: every value is the same, added up in another order."""
    root = NodeTemplate.make(0, ["x"], cost=-0.7, lower=0.3, upper=0.3)
    later = NodeTemplate.make(1, ["y", "z"], cost=[1.1, 2.3], lower=[0.1, 0.7], upper=[0.1, 0.7])
    changes = [{}, {("cost", 0): 0.9}, {("cost", 1): 1.7}, {("cost", 0): 3.3}]
    program = StochasticProgram.from_changes(
        "decided", sense, [root, later], parent=[-1, 0, 0, 0], template=[0, 1, 1, 1],
        conditional=[1.0, *(n / 10 for n in tenths)], changes=changes,
    )  # fmt: skip
    value, sign = worth(program), 1.0 if sense == "max" else -1.0
    assert sign * value.ws_bound >= sign * value.ws >= sign * value.rp >= sign * value.eev
    assert (value.evpi, value.vss) == (0.0, 0.0)
