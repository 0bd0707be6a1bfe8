"""How often 1.96 standard errors cover the exact value: a few hundred samples of laws known exactly.

`benchmarks/errors.py` does the same with the limits of rounds.
"""

from __future__ import annotations

import numpy as np
import pytest

import bondwork
from bondwork.base.statistics import weighted_cvar
from bondwork.plan.recount_risk import beyond, error_of_mean, error_of_share
from bondwork.risk.ambiguous import WorstExpectation
from bondwork.risk.errors import cvar_error, mean_error, share_error
from bondwork.risk.losses import ScopeLoss
from bondwork.uncertainty.outcomes import OutcomeSample

FRESH = 20_000

LAWS = {
    "twelve tasks": (
        [0.02, 0.05, 0.1, 0.03, 0.08, 0.01, 0.04, 0.12, 0.06, 0.02, 0.07, 0.09],
        [10, 20, 13, 8, 30, 50, 17, 22, 9, 41, 28, 15],
    ),
    "three alike": ([0.1] * 3, [30] * 3),
    "one dear one": ([0.05, 0.02], [10, 100]),
    "one rare one": ([0.0004], [100]),
    "one never seen": ([0.00001], [100]),
}


def law_of(fails: list[float], slashing: list[int]) -> np.ndarray:
    law = np.zeros(sum(slashing) + 1)
    law[0] = 1.0
    for f, s in zip(fails, slashing, strict=True):
        moved = np.zeros_like(law)
        moved[s:] = law[: len(law) - s]
        law = (1.0 - f) * law + f * moved
    return law


@pytest.mark.parametrize("level", [0.0, 0.5, 0.95, 0.999])
@pytest.mark.parametrize("name", LAWS)
def test_cvar_is_covered(name: str, level: float):
    fails, slashing = LAWS[name]
    law = law_of(fails, slashing)
    size = np.arange(len(law), dtype=float)
    exact = weighted_cvar(size[law > 0], law[law > 0], level)
    draw = np.random.default_rng(5)
    covered = 0
    for _ in range(300):
        losses = np.repeat(size, draw.multinomial(FRESH, law))
        value = weighted_cvar(losses, np.full(FRESH, 1.0 / FRESH), level)
        error = cvar_error(losses, level, max(slashing))
        covered += abs(value - exact) <= 1.96 * error + 1e-9
    assert covered >= 0.93 * 300 - 12  # three standard deviations of 300 seeds
    again = error_of_mean(beyond(losses, level), max(slashing)) / (1.0 - level)
    assert again == pytest.approx(error, rel=1e-9)


@pytest.mark.parametrize("expected", [0.05, 1.0, 2.8, 4.5, 7.4, 20.0, 2000.0])
def test_shares_are_covered(expected: float):
    p = expected / FRESH
    seen = np.random.default_rng(1).binomial(FRESH, p, 4000) / FRESH
    errors = np.array([share_error(float(each), FRESH) for each in seen])
    assert np.mean(np.abs(seen - p) <= 1.96 * errors) >= 0.92
    assert error_of_share(float(seen[0]), FRESH) == pytest.approx(errors[0])


def test_the_ball_counts_failures_in_part_only():
    """Above the threshold an amount is in the value whatever the sample shows: no error comes of it."""
    slashing, fails, radius = np.array([40.0, 10.0, 5.0]), np.array([0.05, 0.1, 0.2]), 0.9
    draw = np.random.default_rng(3)
    values, errors = [], []
    for _ in range(200):
        sample = OutcomeSample.from_dense(draw.random((2000, 3)) < fails)
        loss = ScopeLoss(np.arange(3), 3, slashing, sample, np.zeros(2000))
        measure = WorstExpectation("ambiguous", loss, radius, 9.0, np.zeros(0), np.zeros(0))
        values.append(measure.value(np.ones(3)))
        errors.append(measure.standard_error(np.ones(3)))
    assert np.std(values) == pytest.approx(np.mean(errors), rel=0.15)


def test_a_mean_of_nothing_but_zeros_has_an_error():
    assert mean_error(np.zeros(100), 7.0) == pytest.approx(7.0 * np.sqrt(2) / 100)
    assert mean_error(np.zeros(100), 0.0) == 0.0


def test_an_error_that_cancels_is_the_verifiers_up_to_a_rounding_of_the_value():
    # the same loss in every scenario: a variance of nothing, or of a rounding
    document = {
        "format": "bondwork.round/1",
        "operators": [{"id": "o"}],
        "coprocessors": [{"id": "c"}],
        "tasks": [{"id": "k", "operator": "o", "slashing": 0.1}],
        "commitments": [{"id": "h", "task": "k", "operator": "o", "executor": "c", "success_probability": 0}],
        "risk": [{"measure": "ambiguous", "budget": 1, "radius": 0}],
        "uncertainty": {"scenarios": 32, "dependence": {"common": 0.5}},
    }
    plan = bondwork.solve(bondwork.load(document))
    assert not [note for note in plan.provenance.notes if "recounted" in note]
