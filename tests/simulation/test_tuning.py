from __future__ import annotations

import numpy as np
import pytest

from bondwork.problem.faults import InvalidInput
from bondwork.simulation.running import simulate
from bondwork.simulation.schema import change
from bondwork.simulation.summary import measure
from bondwork.simulation.tuning import TUNABLES, grid, tune
from simulation.networks import busy
from simulation.test_running import document, without_nulls

DOCUMENT = without_nulls(document(busy(periods=10), variants=(), replications=3))


def test_the_best_is_the_best_of_those_that_keep_enough_operators():
    tuned = tune(DOCUMENT, "slashing", points=4, refinements=1, least_staying=0.9)
    assert tuned.parameter == "slashing.factor"
    allowed = [each for each in tuned.curve if each.survivors.mean >= 0.9]
    assert 0 < len(allowed) < len(tuned.curve)
    assert tuned.best == max(allowed, key=lambda each: each.objective.mean).value
    assert tuned.best in tuned.alike
    values = [each.value for each in tuned.curve]
    assert values == sorted(values)
    assert len(values) > 4  # the grid became finer
    assert (values[0], values[-1]) == (0.001, 1.0)


def test_differences_are_paired():
    tuned = tune(DOCUMENT, "collateral", points=3, refinements=0, least_staying=0.0)
    value = [
        [
            measure(rules, simulate(rules, r).records)["value"]
            for rules in [change(DOCUMENT, {"collateral.multiple": each.value})]
            for r in range(3)
        ]
        for each in tuned.curve
    ]
    best = [each.value for each in tuned.curve].index(tuned.best)
    for mine, each in zip(value, tuned.curve, strict=True):
        assert each.objective.mean == pytest.approx(np.mean(mine))
        assert each.behind.mean == pytest.approx(np.mean(np.subtract(mine, value[best])))


def test_common_random_numbers_narrow_the_intervals():
    tuned = tune(
        DOCUMENT, "slashing.factor", low=0.01, high=0.011, points=2, refinements=0, least_staying=0.0
    )
    other = next(each for each in tuned.curve if each.value != tuned.best)
    width = other.behind.high - other.behind.low
    assert width < 0.2 * (other.objective.high - other.objective.low)


@pytest.mark.parametrize("name", ["share", "replicas", "validators"])
def test_every_open_question_has_an_answer(name):
    tuned = tune(DOCUMENT, name, points=3, refinements=0, replications=2, least_staying=0.0)
    assert tuned.parameter == TUNABLES[name].name
    assert tuned.best is not None


def test_where_everybody_leaves_there_is_no_best():
    tuned = tune(DOCUMENT, "slashing", low=0.9, high=1.0, points=2, refinements=1, least_staying=1.0)
    assert tuned.best is None
    assert tuned.alike == []


def test_more_processes_tell_the_same():
    options = {"points": 2, "refinements": 0, "replications": 2}
    one = tune(DOCUMENT, "slashing", **options)
    told = []
    two = tune(DOCUMENT, "slashing", **options, jobs=2, tally=lambda *x: told.append(x))
    assert one == two
    assert told[-1] == (4, 4)


@pytest.mark.parametrize(
    ("parameter", "options", "text"),
    [
        ("slashin", {}, "one of slashing"),
        ("tasks.reward", {}, "the range to search"),
        ("slashing", {"low": 1.0, "high": 0.5}, "low below high"),
        ("slashing", {"points": 1}, "at least 2"),
        ("slashing", {"objective": "fame", "points": 2}, "one of survivors"),
        ("tasks.rewrd", {"low": 1.0, "high": 2.0}, "did you mean 'reward"),
    ],
)
def test_what_makes_no_sense_is_refused(parameter, options, text):
    with pytest.raises(InvalidInput, match=text):
        tune(DOCUMENT, parameter, **options)


def test_grids():
    assert grid(0.0, 1.0, 3, "linear") == [0.0, 0.5, 1.0]
    assert grid(1, 3, 99, "whole") == [1.0, 2.0, 3.0]
