"""Summaries, paired differences and performance profiles against numbers worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from bondwork.comparison.realised import OutOfSample
from bondwork.comparison.row import FAILED, REFUSED, Row
from bondwork.comparison.statistics import differences, profiles, summaries


def row(problem: int, contender: str, objective: float | None, **more: object) -> Row:
    told = {
        "status": "optimal" if objective is not None else "infeasible",
        "solution": "none" if objective is None else "optimal",
        "verified": True,
        "solve": 1.0,
    }
    return Row(f"r{problem}", contender, contender, "highs", objective=objective, **(told | more))  # type: ignore[arg-type]


ROWS = (
    row(0, "a", 90.0, gap=0.1, solve=1.0, trajectory=((0.5, 80.0, None), (0.9, 90.0, None)), memory=3.0),
    row(0, "b", 100.0, gap=0.0, solve=4.0, trajectory=((2.0, 99.5, 100.0),), memory=8.0),
    row(1, "a", 50.0, gap=0.0, solve=2.0),
    row(1, "b", None, status=FAILED),
    row(2, "a", 200.0, gap=0.0, solve=8.0),
    row(2, "b", 200.0, gap=0.0, solve=2.0),
)


def test_summaries():
    a, b = summaries(ROWS)
    assert (a.solves, a.plans, a.failed, b.plans, b.failed) == (3, 3, 0, 2, 1)
    assert a.best == pytest.approx(2 / 3)
    assert a.mean_gap == pytest.approx(0.1 / 3)
    assert a.mean_shortfall == pytest.approx(0.1 / 3)
    assert a.seconds == pytest.approx((1.0 * 2.0 * 8.0) ** (1 / 3))
    assert b.seconds == pytest.approx(math.sqrt(8.0))
    assert (a.memory, b.memory) == (3.0, 8.0)


def test_refusals_count_as_such():
    (only,) = summaries((row(0, "a", None, status=REFUSED),))
    assert (only.refused, only.failed, only.mean_gap, only.seconds) == (1, 0, None, None)


def test_differences_are_paired_and_relative():
    rows = tuple(
        row(k, name, value)
        for k, name, value in [(0, "a", 90.0), (0, "b", 100.0), (1, "a", 95.0), (1, "b", 100.0)]
    )
    (found,) = differences(rows, "a")
    expected = np.array([0.1, 0.05])
    half = stats.t.ppf(0.975, 1) * expected.std(ddof=1) / math.sqrt(2)
    assert found.mean == pytest.approx(0.075)
    assert (found.low, found.high) == (pytest.approx(0.075 - half), pytest.approx(0.075 + half))
    assert (found.pairs, found.wins, found.losses, found.relative) == (2, 2, 0, True)
    with pytest.raises(ValueError, match="expected one of a, b"):
        differences(rows, "c")


def test_costs_are_better_when_lower():
    rows = (row(0, "a", 10.0, sense="min"), row(0, "b", 8.0, sense="min"))
    (found,) = differences(rows)
    assert found.mean == pytest.approx(0.2)
    assert found.low is None  # one pair has no spread
    a, b = summaries(rows)
    assert (a.best, b.best) == (0.0, 1.0)


def test_common_scenarios_tell_small_differences():
    rng = np.random.default_rng(0)
    noise = rng.normal(0.0, 50.0, 40)

    def measured(shift: float) -> OutOfSample:
        values = 100.0 + noise + shift + rng.normal(0.0, 0.1, 40)
        return OutOfSample(float(values.mean()), 8.0, 0.0, 0.0, tuple(values.tolist()))

    rows = (row(0, "a", 1.0, out_of_sample=measured(0.0)), row(0, "b", 1.0, out_of_sample=measured(1.0)))
    found = next(each for each in differences(rows) if each.round == "r0")
    assert found.low is not None
    assert found.high is not None
    assert 0.9 < found.low < 1.0 + 0.1 < found.high + 0.2
    assert found.high - found.low < 0.2  # though each mean by itself is known to 8 only


def test_batches_of_other_scenarios_are_not_paired():
    def measured(*batches: float) -> OutOfSample:
        return OutOfSample(float(np.mean(batches)), 1.0, 0.0, 0.0, batches)

    rows = (
        row(0, "a", 1.0, out_of_sample=measured(1.0, 2.0, 3.0)),
        row(0, "b", 1.0, out_of_sample=measured(1.0, 2.0)),
    )
    assert [each.round for each in differences(rows)] == [None, None]


def test_profiles():
    a, b = profiles(ROWS, target=0.01)
    # r0: a never gets within 1% of 100, b does after 2 s; r1: only a; r2: b is 4 times faster
    assert (a.ratio, a.share) == ((1.0, 4.0), (pytest.approx(1 / 3), pytest.approx(2 / 3)))
    assert (b.ratio, b.share) == ((1.0,), (pytest.approx(2 / 3),))
    a, b = profiles(ROWS, target=0.2)
    # r0: 80 of 100 is enough now: a after 0.5 s, b after 2 s
    assert a.share == (pytest.approx(2 / 3), 1.0)
    assert (b.ratio, b.share) == ((1.0, 4.0), (pytest.approx(1 / 3), pytest.approx(2 / 3)))


def test_nothing_says_nothing():
    assert summaries(()) == []
    assert differences(()) == []
    assert profiles(()) == []
    assert profiles((row(0, "a", None),)) == []
