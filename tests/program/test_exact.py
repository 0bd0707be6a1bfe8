"""Rows decided exactly: money to the last unit, all else to one tolerance, and cuts that keep it so."""

from __future__ import annotations

import dataclasses
import itertools
import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from scipy.sparse import csr_array, vstack

import bondwork
from bondwork.base.money import all_in_units, amount_of, as_counted, in_units
from bondwork.contracts import Options
from bondwork.observing import Silence
from bondwork.program.exact import ExactRows, for_solver
from bondwork.program.filling import Filling, fill_greedily
from bondwork.program.row_cuts import DIGIT, RowCuts
from bondwork.strategies.extensive import Extensive
from bondwork.strategies.greedy import Greedy
from bondwork.strategies.lagrangian import Lagrangian
from bondwork.strategies.relaxation import Relaxation
from bondwork_models.highs import HighsFormulation

if TYPE_CHECKING:
    from bondwork.program.program import Program

EXACT = Options(mip_rel_gap=0.0, time_limit=30.0)


def posted(amounts: list[Any], free: Any, **fields: Any) -> Program:
    """One coprocessor with some free collateral, and a task for each offer with some of it."""
    document: dict[str, Any] = {
        "format": "bondwork.round/1",
        "operators": [{"id": "op"}],
        "coprocessors": [{"id": "cp", "free_collateral": free}],
        "tasks": [{"id": f"t{k}", "operator": "op", "reward": 10} for k in range(len(amounts))],
        "offers": [
            {"task": f"t{k}", "coprocessor": "cp", "bid": 1, "collateral": a, "success_probability": 1}
            for k, a in enumerate(amounts)
        ],
    }
    return bondwork.build(bondwork.load(document | fields))


def chosen(*places: int, of: int) -> np.ndarray[Any, Any]:
    x = np.zeros(of)
    x[list(places)] = 1.0
    return x


@pytest.mark.parametrize(
    ("amount", "decimals", "units"),
    [
        (0.1, 18, 10**17),
        (2.5, 0, 2),
        (3.5, 0, 4),
        (0.125, 2, 12),
        (1.005, 2, 100),
        (1.015, 2, 102),
        (1e18, 18, 10**36),
        (1e150, 0, 10**150),
        (123456789.12345679, 9, 123456789123456790),
    ],
)
def test_an_amount_is_its_shortest_text_rounded_half_to_even(amount: float, decimals: int, units: int):
    assert in_units(amount, decimals) == units
    assert all_in_units(np.array([amount, 0.0, amount]), decimals) == [units, 0, units]


def near_halves(decimals: int) -> st.SearchStrategy[float]:
    """Amounts at, just above and just below what lies between two units."""
    half = st.integers(0, 10**17).map(lambda units: float(f"{units}5e-{decimals + 1}"))
    towards = st.sampled_from([-np.inf, np.inf])
    return half | st.builds(lambda each, to: float(np.nextafter(each, to)), half, towards)


@given(data=st.data(), decimals=st.sampled_from([0, 1, 2, 6, 8, 16, 17, 18, 22, 23, 30, 77]))
def test_all_amounts_are_counted_at_once_as_one_by_one(data: st.DataObject, decimals: int):
    people = st.builds(
        lambda units, power: float(f"{units}e{power}"), st.integers(0, 9999), st.integers(-9, 18)
    )
    any_size = st.floats(-1e60, 1e60) | st.sampled_from([0.0, -0.0, 1e18, 5e-324, 0.1 + 0.2, -0.3])
    drawn = st.lists(people | near_halves(decimals) | any_size, min_size=1)
    amounts = np.array(data.draw(drawn))
    found = as_counted(amounts, decimals)
    assert found.tolist() == [amount_of(in_units(each, decimals), decimals) for each in amounts.tolist()]
    assert all_in_units(found, decimals) == all_in_units(amounts, decimals)
    endless = as_counted(np.append(amounts, [np.inf, -np.inf]), decimals)
    assert endless.tolist() == [*found.tolist(), np.inf, -np.inf]
    assert not np.shares_memory(as_counted(amounts, decimals), amounts)  # who changes it changes no round


@pytest.mark.parametrize(
    ("amounts", "free", "fields", "both"),
    [
        ([0.1, 0.2], 0.3, {}, True),
        ([0.7, 0.1], 0.8, {}, True),
        ([100, 0.00011], 100, {}, False),
        (["1000000", "0.9"], "1000000", {}, False),
        ([1e12, 900], 1e12, {}, False),
        ([1e18, 1], 1e18, {}, False),
        (["1000000000000000000", "0.000000001"], "1000000000000000000", {}, False),
        ([1e6, 0.4], 1e6, {"decimals": 0}, True),
        ([1e6, 0.5], 1e6, {"decimals": 0}, True),
        ([1e6, 0.6], 1e6, {"decimals": 0}, False),
        ([0.3, 0.3], 0.2, {"decimals": 0}, True),
        ([2.5, 2.5], 4.4, {"decimals": 0}, True),
        ([1, 1e-18], 1, {}, False),
        ([1, 1e-19], 1, {}, True),
        ([0, 0], 0, {}, True),
    ],
)
def test_collateral_is_counted_as_a_ledger_counts_it(
    amounts: list[Any], free: Any, fields: dict[str, Any], both: bool
):
    program = posted(amounts, free, **fields)
    rows = ExactRows(program)
    assert (not len(rows.broken(np.ones(2)))) is both
    filling = Filling(program, chosen(0, of=2))
    assert filling.add(1) is both
    assert filling.is_complete()
    best = 18.0 if both else 9.0
    for strategy in (Extensive(), Lagrangian()):
        solution = strategy.solve(program, EXACT, Silence())
        assert solution.x is not None
        assert (solution.status, program.value(solution.x)) == ("optimal", best)
        assert solution.bound >= best
    for heuristic in (Relaxation(), Greedy()):
        solution = heuristic.solve(program, EXACT, Silence())
        assert solution.x is not None
        assert program.value(solution.x) == best
        assert solution.bound >= best


@pytest.mark.parametrize(("work", "room", "both"), [([1, 2e-9], 1, False), ([1, 5e-10], 1, True)])
def test_work_has_one_tolerance(work: list[float], room: float, both: bool):
    document = {
        "format": "bondwork.round/1",
        "operators": [{"id": "op"}],
        "coprocessors": [{"id": "cp", "capacity": {"gpu": room}}],
        "tasks": [
            {"id": f"t{k}", "operator": "op", "reward": 10, "work": {"gpu": w}} for k, w in enumerate(work)
        ],
        "offers": [{"task": f"t{k}", "coprocessor": "cp", "success_probability": 1} for k in range(2)],
    }
    program = bondwork.build(bondwork.load(document))
    best = 20.0 if both else 10.0
    for strategy in (Extensive(), Lagrangian(), Relaxation(), Greedy()):
        solution = strategy.solve(program, EXACT, Silence())
        assert solution.x is not None
        assert program.value(solution.x) == best
        assert solution.bound >= best


@pytest.mark.parametrize(("count", "best"), [(50, 100.0), (300, 300.0)])
def test_small_amounts_beside_a_huge_one_are_not_dropped(count: int, best: float):
    document = {
        "format": "bondwork.round/1",
        "operators": [{"id": "op"}],
        "coprocessors": [{"id": "cp", "free_collateral": 2e12}],
        "tasks": [{"id": "big", "operator": "op", "reward": 100}]
        + [{"id": f"t{k}", "operator": "op", "reward": 1} for k in range(count)],
        "offers": [{"task": "big", "coprocessor": "cp", "collateral": 2e12, "success_probability": 1}]
        + [
            {"task": f"t{k}", "coprocessor": "cp", "collateral": 700, "success_probability": 1}
            for k in range(count)
        ],
    }
    plan = bondwork.solve(bondwork.load(document), strategy="extensive", mip_rel_gap=0.0)
    assert (plan.status, plan.objective, plan.bound) == ("optimal", best, best)


def test_a_choice_that_alone_breaks_a_limit_by_a_unit_is_out():
    program = for_solver(posted([1e12 + 900, 5], 1e12))
    assert program.upper.tolist() == [0.0, 1.0]
    assert for_solver(posted([1e12, 5], 1e12)).upper.tolist() == [1.0, 1.0]


def test_a_worthless_offer_with_huge_slashing_changes_nothing():
    tasks = [
        {"id": "a", "operator": "op", "reward": 7, "slashing": 2},
        {"id": "b", "operator": "op", "reward": 4, "slashing": 2},
        {"id": "c", "operator": "op", "reward": 1, "slashing": 4e13},
    ]
    offers = [
        {"task": "a", "coprocessor": "cp", "bid": 1, "collateral": 3, "success_probability": 0.9},
        {"task": "b", "coprocessor": "cp", "bid": 3.5, "collateral": 4, "success_probability": 0.995},
        {
            "task": "b",
            "coprocessor": "cp",
            "id": "x",
            "bid": 3.4,
            "collateral": 4,
            "success_probability": 0.995,
        },
        {"task": "c", "coprocessor": "cp", "success_probability": 0.5},
    ]
    document = {"format": "bondwork.round/1", "operators": [{"id": "op"}], "tasks": tasks, "offers": offers}
    document["coprocessors"] = [{"id": "cp", "free_collateral": 7}]
    plan = bondwork.solve(bondwork.load(document), strategy="extensive", mip_rel_gap=0.0)
    assert plan.objective == pytest.approx(7 * 0.9 - 0.2 - 1 + 4 * 0.995 - 0.01 - 3.4, rel=1e-12)


@example(amounts=[10**15, 10**15, 10**15 + 1], some={0, 1, 2}, near=0)  # the last carry is 2
@given(
    amounts=st.lists(
        st.integers(0, 2**45) | st.sampled_from([1, 2, 8191, 8192, 8193, 10**15, 10**15 + 1]),
        min_size=1,
        max_size=6,
    ),
    some=st.sets(st.integers(0, 5)),
    near=st.integers(-2, 2),
)
def test_a_row_written_out_in_digits_says_what_it_said(amounts: list[int], some: set[int], near: int):
    limit = max(sum(amounts[k] for k in some if k < len(amounts)) + near, 0)
    program = posted([str(a) for a in amounts], str(limit), decimals=0)
    row = len(program.row_upper) - 1
    block = RowCuts(program)._written_out(row)
    width = len(amounts)
    matrix = block.matrix.toarray()
    assert np.abs(matrix).max(initial=0.0) <= 2 ** (DIGIT + 1)
    for x in itertools.product((0.0, 1.0), repeat=width):
        carries = np.zeros(matrix.shape[1] - width)
        for k in range(len(carries)):  # each carry as small as its row lets it be
            used = matrix[k, :width] @ np.array(x) + matrix[k, width:] @ carries
            carries[k] = max(math.ceil((used - block.row_upper[k]) / 2**DIGIT), 0)
        assert np.all(carries <= block.upper)
        holds = matrix @ np.append(x, carries) <= block.row_upper
        fits = sum(a for a, y in zip(amounts, x, strict=True) if y) <= limit
        assert bool(np.all(holds)) is fits


def with_row(program: Program, coefficients: list[float], upper: float, lower: float = -math.inf) -> Program:
    """A program with a row of its own over the choices."""
    row = np.zeros((1, program.matrix.shape[1]))
    row[0, : len(coefficients)] = coefficients
    return dataclasses.replace(
        program,
        matrix=csr_array(vstack([program.matrix, csr_array(row)])),
        row_lower=np.append(program.row_lower, lower),
        row_upper=np.append(program.row_upper, upper),
    )


@pytest.mark.parametrize("strategy", [Extensive, Lagrangian, Relaxation, Greedy])
def test_rows_of_a_formulation_are_respected(strategy: Any):
    program = with_row(posted([1, 2, 3, 4], 100), [1.0, 1.0, 1.0, 1.0], 2.0)
    solution = strategy().solve(program, EXACT, Silence())
    assert solution.x.sum() == 2.0
    assert program.value(solution.x) == 18.0
    assert solution.bound >= 18.0
    if strategy in (Extensive, Lagrangian):
        assert solution.status == "optimal"


def test_a_row_of_a_formulation_may_ask_for_something():
    program = with_row(posted([1, 2, 3], 100), [1.0, 0.0, -1.0], 0.0, -1.0)
    solution = Extensive().solve(program, EXACT, Silence())
    assert solution.x is not None
    assert solution.x[0] - solution.x[2] <= 0.0
    assert fill_greedily(with_row(posted([1, 2], 100), [-1.0, -1.0], 9.0, -1.0)).x.sum() == 1.0


def test_the_price_of_a_plan_with_an_own_row_names_limits_only():
    instance = bondwork.load(
        {
            "format": "bondwork.round/1",
            "operators": [{"id": "op"}],
            "coprocessors": [{"id": "cp"}],
            "tasks": [{"id": "a", "operator": "op", "reward": 3}],
            "offers": [{"task": "a", "coprocessor": "cp", "success_probability": 1}],
        }
    )
    program = bondwork.build(instance)
    assert with_row(program, [1.0], 0.0).label(1) == "row 1 of the formulation"
    assert program.label(0) == "task a"


class AtMostTwo(HighsFormulation):
    """The model of a round, and of all offers two at most."""

    def build(self, *args: Any, **options: Any) -> Program:
        program = super().build(*args, **options)
        return with_row(program, [1.0] * program.choices, 2.0)


@pytest.mark.parametrize(
    "strategy", ["extensive", "lagrangian", "relaxation", "greedy", "auto", "dutch", "broker"]
)
@pytest.mark.parametrize(
    "risk", [[], [{"measure": "worst_case", "budget": 60}], [{"measure": "cvar", "budget": 50}]]
)
def test_a_plan_keeps_the_rows_of_its_formulation(
    strategy: str, risk: list[Any], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("bondwork.solving.find_formulation", lambda _name: AtMostTwo())
    document = {
        "format": "bondwork.round/1",
        "operators": [{"id": "op"}],
        "coprocessors": [{"id": "cp"}],
        "tasks": [{"id": f"t{k}", "operator": "op", "reward": 5 + k, "slashing": 4} for k in range(4)],
        "offers": [
            {"task": f"t{k}", "coprocessor": "cp", "bid": 1, "success_probability": 0.95} for k in range(4)
        ],
        "risk": risk,
        "uncertainty": {"scenarios": 64},
    }
    plan = bondwork.solve(bondwork.load(document), strategy=strategy, mip_rel_gap=0.0)
    assert plan.verified
    assert len(plan.assignments) == 2
    best = (8 + 7) * 0.95 - 8 * 0.05 - 2
    assert plan.bound is not None
    assert plan.bound >= best - 1e-9
    if strategy in ("extensive", "lagrangian", "auto"):
        assert plan.status == "optimal"
        assert plan.objective == pytest.approx(best)
