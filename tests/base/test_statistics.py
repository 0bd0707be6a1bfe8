"""One CVaR and one Student interval: by definition, and the same wherever a number is told."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bondwork.base.statistics import cvar, student_interval, tail_share, weighted_cvar
from bondwork.comparison.statistics import _difference
from bondwork.plan.recount_risk import mean_of_worst
from bondwork.replay.intervals import total
from bondwork.replay.market_run import MarketResult
from bondwork.simulation.summary import cvar as cvar_of_periods
from bondwork.simulation.summary import interval

LOSSES = st.lists(st.sampled_from([0.0, 0.1, 0.3, 1.0, 2.0, 7.5, 1e6]), min_size=1, max_size=60)
LEVELS = st.sampled_from([0.0, 0.1, 0.5, 0.75, 0.9, 0.95, 0.99, 0.999])


def by_definition(losses: list[float], level: float) -> Fraction:
    """Mean of the worst share of equally likely losses, in fractions."""
    mass = (1 - Fraction(repr(level))) * len(losses)
    left, total = mass, Fraction(0)
    for each in sorted(map(Fraction, losses), reverse=True):
        part = min(left, Fraction(1))
        total += part * each
        left -= part
    return total / mass


@given(LOSSES, LEVELS)
def test_every_cvar_is_the_mean_of_the_worst(losses: list[float], level: float) -> None:
    expected = pytest.approx(float(by_definition(losses, level)), rel=1e-9, abs=1e-12)
    x = np.array(losses)
    assert float(cvar(x, level)) == expected
    assert weighted_cvar(x, np.full(len(x), 1.0 / len(x)), level) == expected
    assert mean_of_worst(x, tail_share(level)) == expected
    assert cvar_of_periods(x, level) == expected
    assert MarketResult(0, 0, np.column_stack([x, x]), 0, 0, 0, 0, 0).cvar(level) == expected


def test_a_tail_of_one_and_a_half_scenarios() -> None:
    # the worst 1.5 of 30: 29 squared, and half of 28 squared
    x = np.arange(30.0) ** 2
    assert float(cvar(x, 0.95)) == (841.0 + 0.5 * 784.0) / 1.5
    assert cvar(np.stack([x, x[::-1], 2.0 * x]), 0.95).tolist() == [822.0, 822.0, 1644.0]


def test_a_part_of_all_scenarios_is_not_taken_for_all_of_them() -> None:
    # of half of the probability a tail of a quarter is the worse half of what is there
    assert weighted_cvar(np.array([0.0, 1.0, 2.0, 9.0]), np.full(4, 0.125), 0.75) == 5.5


def test_the_mean_of_equal_losses_is_that_loss_to_the_last_digit() -> None:
    for size in (3, 64, 1000):
        for level in (0.1, 0.7, 0.95, 0.99):
            assert float(cvar(np.full(size, 12.1), level)) == 12.1


def test_the_ends_of_the_levels() -> None:
    assert float(cvar([1.0, 2.0, 6.0], 0.0)) == 3.0
    assert float(cvar([1.0, 2.0, 6.0], 1.0)) == 6.0
    assert float(cvar([5.0], 0.95)) == 5.0


@pytest.mark.parametrize("number", [0.1, 0.3, 1e18, 1 / 3, 0.0, -7.7])
@pytest.mark.parametrize("count", [2, 3, 4, 7, 40])
def test_equal_numbers_have_an_interval_of_no_width(number: float, count: int) -> None:
    numbers = np.full(count, number)
    assert student_interval(numbers, 0.95) == (number, number, number)
    found = _difference("a", "b", None, "objective", numbers, 0.95)
    assert (found.mean, found.low, found.high) == (number, number, number)
    told = interval(numbers.tolist())
    assert (told.mean, told.low, told.high) == (number, number, number)
    if count >= 8:
        summed = total(numbers, 0.95)
        assert summed.low == summed.value == summed.high


def test_one_number_has_no_interval() -> None:
    assert student_interval([3.0], 0.95) == (3.0, None, None)
    assert student_interval([1.0, math.inf], 0.95)[1:] == (None, None)


def test_intervals_cover_what_they_say() -> None:
    rng = np.random.default_rng(5)
    inside = 0
    for _ in range(2000):
        _, low, high = student_interval(rng.normal(2.0, 3.0, 6), 0.9)
        assert low is not None
        assert high is not None
        inside += low <= 2.0 <= high
    assert abs(inside / 2000 - 0.9) < 0.02
