"""The load curve against the formula of the paper, one load at a time."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bondwork.market.load_curve import LoadIncentive
from market.curves import by_hand, continuous_curves

LOADS = np.linspace(0.0, 1.5, 301)


@settings(max_examples=50, deadline=None)
@given(continuous_curves())
def test_values_are_those_of_the_formula(curve: LoadIncentive):
    expected = [by_hand(curve, x) for x in LOADS.tolist()]
    np.testing.assert_allclose(curve(LOADS), expected, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose([curve.at(x) for x in LOADS.tolist()], expected, rtol=1e-12, atol=1e-12)


@settings(max_examples=50, deadline=None)
@given(continuous_curves())
def test_a_continuous_curve_has_no_jumps(curve: LoadIncentive):
    assert curve.is_sound()
    assert curve.jumps() == ()


@settings(max_examples=50, deadline=None)
@given(continuous_curves())
def test_derivatives_are_slopes_where_the_curve_is_smooth(curve: LoadIncentive):
    step = 1e-6
    kinks = np.array(curve.breakpoints())
    smooth = np.array([x for x in LOADS if np.all(np.abs(kinks - x) > 2 * step)])
    slope = (curve(smooth + step) - curve(smooth - step)) / (2 * step)
    scale = 1.0 + abs(curve.A) / curve.B**2 + abs(curve.G)
    np.testing.assert_allclose(curve.derivative(smooth), slope, rtol=1e-5, atol=1e-4 * scale)


@settings(max_examples=50, deadline=None)
@given(continuous_curves())
def test_between_breakpoints_the_curve_bends_one_way(curve: LoadIncentive):
    ends = [0.0, *(x for x in curve.breakpoints() if 0.0 < x < 1.5), 1.5]
    for left, right in pairwise(ends):
        x = np.linspace(left, right, 41)[1:-1]
        bend = np.diff(curve(x), 2)
        noise = 1e-12 * (1.0 + np.abs(curve(x)).max())
        assert (bend >= -noise).all() or (bend <= noise).all()


def test_the_parameters_left_out_are_continuous_and_rise_to_their_top_at_b():
    curve = LoadIncentive()
    assert curve.jumps() == ()
    assert curve.at(curve.B) == curve(LOADS).max()
    assert curve.at(0.0) == pytest.approx(math.exp(-1.0) - 0.2)


@settings(max_examples=50, deadline=None)
@given(st.floats(-5, 5).filter(lambda by: abs(by) > 1e-6))
def test_jumps_name_both_values(by: float):
    curve = LoadIncentive().with_parameters(D=0.8 + by)
    first, *rest = curve.jumps()
    assert (first.name, first.at, first.left, first.right) == ("B", 0.5, 0.8, 0.8 + by)
    assert [jump.name for jump in rest] == ["F"]


@pytest.mark.parametrize("changes", [{"B": 0.0}, {"F": 0.4}])
def test_branches_out_of_order_are_not_sound(changes: dict[str, float]):
    assert not LoadIncentive().with_parameters(**changes).is_sound()


def test_other_parameters_make_another_curve():
    curve = LoadIncentive()
    assert curve.with_parameters(C=0.3).at(0.0) == pytest.approx(curve.at(0.0) - 0.1)
    assert curve == LoadIncentive()
