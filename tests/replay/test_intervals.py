from __future__ import annotations

import numpy as np
import pytest

from bondwork.replay.intervals import cvar, tail_mean, total


def test_batch_means_cover_the_mean_of_dependent_rounds():
    # an AR(1) series: single rounds taken for independent would cover far less
    rng, covered, naive, runs = np.random.default_rng(3), 0, 0, 300
    for _ in range(runs):
        noise, values, last = rng.standard_normal(1000), np.empty(1000), 0.0
        for k in range(1000):
            last = values[k] = 0.7 * last + noise[k]
        found = total(values, 0.9)
        covered += found.low <= 0.0 <= found.high
        naive += abs(values.mean()) <= 1.645 * values.std(ddof=1) / np.sqrt(1000)
    assert covered / runs > 0.82
    assert naive / runs < 0.7


def test_few_rounds_have_no_interval():
    assert total(np.arange(7.0), 0.95) == (21.0, None, None)
    assert cvar(np.arange(7.0), 0.5, 0.95, 0).low is None


@pytest.mark.parametrize("level", [0.0, 0.5, 0.9, 0.93])
def test_tail_means_are_the_worst_share(level: float):
    values = np.random.default_rng(0).exponential(1.0, 200)
    # the smallest value over thresholds of what CVaR minimises (Rockafellar & Uryasev 2000)
    by_threshold = [t + np.maximum(values - t, 0.0).mean() / (1.0 - level) for t in values]
    assert tail_mean(values, level) == pytest.approx(min(by_threshold))
    found = cvar(values, level, 0.95, 0)
    assert found.low <= found.value <= found.high
    assert found == cvar(values, level, 0.95, 0)
