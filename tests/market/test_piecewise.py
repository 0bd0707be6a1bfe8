"""Straight pieces: never below the curve, never further above it than they say, and few."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bondwork.market.load_curve import LoadIncentive
from bondwork.market.piecewise import PiecewiseLinear, overestimate
from market.curves import continuous_curves

SHARES = st.sampled_from([1e-1, 1e-2, 1e-3, 1e-4])
AMOUNTS = st.sampled_from([1.0, -1.0, 7.5, -1e18, 1e-9])


@settings(max_examples=50, deadline=None)
@given(continuous_curves(), AMOUNTS, st.floats(0.0, 0.9), st.floats(0.05, 1.0), SHARES)
def test_the_stated_error_holds(
    curve: LoadIncentive, amount: float, start: float, width: float, share: float
):
    pieces = overestimate(curve, amount, start, start + width, share)
    x = np.concatenate([np.linspace(start, start + width, 5001), pieces.at])
    exact = amount * curve(x)
    above = np.interp(x, pieces.at, pieces.value) - exact
    size = np.abs(exact).max()
    assert above.min() >= -1e-12 * size
    assert above.max() <= pieces.error + 1e-12 * size
    assert pieces.error <= share * np.ptp(exact) * (1.0 + 1e-5) + 1e-11 * size
    # exact at both ends, so that the load of the commitments is worth what it is worth
    assert pieces.value[[0, -1]] == pytest.approx(amount * curve(np.array([start, start + width])), rel=1e-9)


@settings(max_examples=50, deadline=None)
@given(continuous_curves(), AMOUNTS, SHARES)
def test_pieces_are_few(curve: LoadIncentive, amount: float, share: float):
    """Of a section that bends, every piece but the first and the last is as long as the error allows."""
    pieces = overestimate(curve, amount, 0.0, 1.0, share)
    allowed = share * np.ptp(amount * curve(np.array([0.0, *pieces.at, curve.H if 0 < curve.H < 1 else 0.0])))
    inside = [x for x in curve.breakpoints() if 0.0 < x < 1.0]
    for left, right in zip([0.0, *inside], [*inside, 1.0], strict=True):
        if right - left < 1e-6:  # branches that begin and end within rounding
            continue
        count = np.count_nonzero((pieces.at > left) & (pieces.at <= right))
        x = np.linspace(left, right, 2001)
        # by the curvature alone: an arc of length l over which the slope turns by k has an error of l*k/8
        turn = np.gradient(np.gradient(amount * curve(x), x), x)[2:-2]
        needed = np.sqrt(np.abs(turn) / (8.0 * allowed)).mean() * (right - left) if allowed > 0.0 else 0.0
        assert count <= 1.05 * needed + 3.0


def test_a_straight_curve_has_one_piece_a_branch():
    pieces = overestimate(
        LoadIncentive().with_parameters(A=0.0, C=-0.8, E=0.0, G=0.0, I=0.8), 3.0, 0.0, 1.0, 1e-4
    )
    assert pieces.error == 0.0
    assert set(pieces.value.tolist()) == {3.0 * 0.8}


def test_concave_pieces_are_one_run_and_others_are_not():
    top = LoadIncentive()
    assert overestimate(top, 1.0, 0.2, 0.8, 1e-3).run.max() == 0
    assert overestimate(top, -1.0, 0.2, 0.8, 1e-3).run.max() > 0
    assert overestimate(top, 1.0, 0.0, 1.0, 1e-3).run.max() > 0


def test_runs_begin_where_slopes_rise():
    pieces = PiecewiseLinear(np.array([0.0, 1.0, 2.0, 3.0, 4.0]), np.array([0.0, 3.0, 4.0, 8.0, 8.0]), 0.0)
    assert pieces.run.tolist() == [0, 0, 1, 1]
    assert pieces(2.5) == 6.0
    assert pieces.scaled(2.0).value.tolist() == [0.0, 6.0, 8.0, 16.0, 16.0]


def test_where_the_curve_is_cut_off_the_pieces_are_exact():
    curve = LoadIncentive().with_parameters(G=-68.0)  # reaches 0 at 0.9
    pieces = overestimate(curve, 1.0, 0.95, 1.0, 1e-4)
    assert pieces.value.tolist() == [0.0, 0.0]
    assert 0.9 in overestimate(curve, 1.0, 0.0, 1.0, 1e-4).at.round(12)
