"""Periods with random arrivals: their numbers, kinds and probabilities, and that a round takes them."""

from __future__ import annotations

import numpy as np
import pytest

import bondwork
from bondwork.uncertainty.arrivals import Kind, arrival_periods
from bondwork.uncertainty.counts import NegativeBinomial, Poisson
from bondwork.uncertainty.laws import Bootstrap, Normal

SMALL = Kind(
    {"id": "small", "operator": "op", "reward": 4, "work": {"w": 1}},
    [{"coprocessor": "cp", "bid": 1, "collateral": 1, "success_probability": 0.9, "duration": 30}],
    [{"operator": "op", "cost": 3, "success_probability": 1.0}],
    weight=3.0,
    lifetime=50.0,
)
LARGE = Kind(
    {"id": "large", "operator": "op", "reward": 9}, [{"coprocessor": "cp", "success_probability": 0.8}]
)


@pytest.mark.parametrize("law", [Poisson(2.0), NegativeBinomial(2.0, 0.5), Bootstrap((0.0, 1.0, 5.0))])
def test_numbers_and_kinds_have_their_means(law):
    periods = arrival_periods(law, [SMALL, LARGE], [60.0], [4096], seed=0)
    chance = np.array([each["probability"] for each in periods])
    small = [sum(task["id"].startswith("small") for task in each["tasks"]) for each in periods]
    total = np.array([len(each["tasks"]) for each in periods])
    assert chance.sum() == pytest.approx(1.0)
    assert chance @ total == pytest.approx(law.mean, rel=0.02)
    assert chance @ small == pytest.approx(0.75 * law.mean, rel=0.05)
    assert total.tolist() == sorted(total.tolist())


def test_a_tree_of_arrivals_is_a_round_that_can_be_solved():
    periods = arrival_periods(Poisson(1.0), [SMALL, LARGE], [60.0, 120.0], [4, 3], seed=1)
    instance = bondwork.load(
        {
            "format": "bondwork.round/1",
            "operators": [{"id": "op"}],
            "coprocessors": [{"id": "cp", "free_collateral": 2, "serial": True}],
            "tasks": [],
            "periods": periods,
        }
    )
    first = [each for each in periods if each["parent"] is None]
    assert len(periods) == len(first) + sum(each["parent"] is not None for each in periods)
    assert all(each["deadline"] == 110.0 for p in first for each in p["tasks"] if "deadline" in each)
    plan = bondwork.solve(instance)
    assert plan.status == "optimal"
    assert plan.objective > 0.0
    again = arrival_periods(Poisson(1.0), [SMALL, LARGE], [60.0, 120.0], [4, 3], seed=1)
    assert again == periods


def test_what_is_no_arrival_is_refused():
    with pytest.raises(ValueError, match="branches"):
        arrival_periods(Poisson(1.0), [SMALL], [60.0], [], seed=0)
    with pytest.raises(ValueError, match="branches"):
        arrival_periods(Poisson(1.0), [SMALL], [60.0], [0], seed=0)
    with pytest.raises(ValueError, match="kinds"):
        arrival_periods(Poisson(1.0), [], [60.0], [1], seed=0)
    with pytest.raises(ValueError, match="below 0"):
        arrival_periods(Normal(0.0, 5.0), [SMALL], [60.0], [16], seed=0)
    with pytest.raises(ValueError, match="weight"):
        Kind({"id": "x"}, weight=0.0)
