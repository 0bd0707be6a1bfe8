"""Bounds from multipliers hold for any multipliers, and are tight for the right ones."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import bondwork
from bondwork.contracts import Options
from bondwork.observing import Silence
from bondwork.program.bounds import gap, multiplier_bound
from bondwork.program.choice_bound import choice_bound
from bondwork.solver.solving import solve_program
from hand_made import make_round, market, offer
from oracle import Oracle
from program.test_scaling import make_matrices
from rounds_strategy import Document, examples, rounds

EXTREME = [0.0, -0.0, math.inf, -math.inf, math.nan, 1e300, -1e300]


@examples(0.5)
@given(document=rounds(), data=st.data())
def test_any_multipliers_bound_the_optimum(document: Document, data: st.DataObject):
    best = Oracle(document).best()
    assume(best is not None)
    assert best is not None
    program = bondwork.build(bondwork.load(document))
    price = st.floats(-20, 20) | st.sampled_from(EXTREME)
    size = len(program.row_upper)
    for _ in range(3):
        duals = np.array(data.draw(st.lists(price, min_size=size, max_size=size)), dtype=float)
        bound = multiplier_bound(program, duals)
        assert not math.isnan(bound)
        assert math.isinf(bound) or Fraction(bound) >= best.objective


@examples(0.5)
@given(document=rounds())
def test_the_choice_bound_holds(document: Document):
    oracle = Oracle(document)
    best = oracle.best()
    assume(best is not None)
    assert best is not None
    bound = choice_bound(bondwork.build(bondwork.load(document)))
    assert Fraction(bound) >= best.objective
    alone = oracle.best(limits=[])
    assert alone is not None
    # it looks at single tasks, but not at other limits, save those that an offer exceeds alone
    assert bound <= float(alone.objective) + 1e-9 * (1 + sum(abs(float(c.gain)) for c in oracle.choices))


@examples(0.4)
@given(document=rounds())
def test_lp_multipliers_give_the_lp_bound(document: Document):
    program = bondwork.build(bondwork.load(document))
    answer = solve_program(program, Options(), Silence(), relaxed=True)
    assume(answer.status == "optimal" and len(program.objective))
    assert answer.row_duals is not None
    size = np.abs(program.objective).sum() + abs(program.offset)
    assert multiplier_bound(program, answer.row_duals) == pytest.approx(
        answer.bound, rel=1e-6, abs=1e-6 * size
    )


def test_what_alone_exceeds_a_limit_does_not_weaken_the_bound():
    program = make_matrices([100.0, 1.0], [[7.0, 1.0]], [5.0])
    assert multiplier_bound(program, np.zeros(1)) == pytest.approx(1.0)


def test_lower_bounds_count_for_negative_multipliers():
    # at least one of two that lose 3 and 5
    program = make_matrices([-3.0, -5.0], [[1, 1]], [1], row_lower=[1.0])
    assert multiplier_bound(program, np.array([-3.0])) == pytest.approx(-3.0)
    assert multiplier_bound(program, np.array([-4.0])) == pytest.approx(-3.0)
    assert multiplier_bound(program, np.array([3.0])) == pytest.approx(3.0)


def test_multipliers_of_missing_bounds_are_nothing():
    program = make_matrices([3.0], [[1.0]], [math.inf], row_lower=[-math.inf])
    assert multiplier_bound(program, np.array([5.0])) == pytest.approx(3.0)
    assert multiplier_bound(program, np.array([-5.0])) == pytest.approx(3.0)


def test_columns_without_bounds_have_no_bound():
    program = make_matrices([3.0], [[1.0]], [9.0], upper=[math.inf], integer=[False])
    assert multiplier_bound(program, np.zeros(1)) == math.inf
    assert multiplier_bound(program, np.array([3.0])) == pytest.approx(27.0)


def test_the_margin_covers_rounding():
    program = bondwork.build(bondwork.load(market()))
    best = Oracle(market()).best()
    assert best is not None
    relaxed = solve_program(program, Options(), Silence(), relaxed=True)
    assert relaxed.row_duals is not None
    bound = multiplier_bound(program, relaxed.row_duals)
    assert relaxed.bound <= bound <= relaxed.bound + 1e-9
    assert bound >= best.objective


def test_the_bound_is_in_currency_with_the_cost_of_what_is_left():
    document = make_round(
        tasks=[
            {"id": "t", "operator": "op", "reward": 8, "unassigned_cost": 2},
            {"id": "nobody", "operator": "op", "unassigned_cost": 4},
        ],
        offers=[offer("t", "cp", 1)],
    )
    assert choice_bound(bondwork.build(bondwork.load(document))) == pytest.approx(3.0)


@pytest.mark.parametrize(
    ("objective", "bound", "expected"),
    [
        (4.0, 4.0, 0.0),
        (0.0, 0.0, 0.0),
        (3.0, 4.0, 0.25),
        (0.0, 4.0, 1.0),
        (-4.0, 0.0, 1.0),
        (-4.0, -3.0, 0.25),
        (-1.0, 1.0, 2.0),
        (1.0, math.inf, math.inf),
    ],
)
def test_gap(objective: float, bound: float, expected: float):
    assert gap(objective, bound) == expected
