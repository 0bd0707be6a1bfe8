from __future__ import annotations

import numpy as np
import pytest

from bondwork.market.adaptive_curve import PARAMETERS, AdaptiveIncentive
from bondwork.market.load_curve import LoadIncentive


def test_at_its_mean_the_curve_is_the_base():
    base = LoadIncentive()
    curves = AdaptiveIncentive.of(base, {"A": 2.0, "C": 2.0, "E": 1.0})
    load = np.linspace(0.0, 1.2, 25)
    assert curves(curves.start(25), load) == pytest.approx(base(load))


def test_each_coprocessor_has_the_curve_of_its_own_parameters():
    curves = AdaptiveIncentive.of(LoadIncentive(), {"A": 1.0, "B": 0.2, "F": 0.1, "G": 1.0})
    state = curves.start(40)
    state[:, 0] += np.random.default_rng(1).normal(0.0, 0.3, 40)
    told = curves.parameters(state)
    load = np.random.default_rng(2).random(40)
    for u, value in enumerate(curves(state, load)):
        own = LoadIncentive(**{name: float(told[name][u]) for name in PARAMETERS})
        assert value == pytest.approx(own.at(load[u]))


def test_the_state_is_a_score_driven_mean():
    curves = AdaptiveIncentive.of(LoadIncentive(), {}, mean=0.6, beta=0.9, alpha=0.01, variance=0.05)
    state = curves.start(2)
    curves.update(state, [0.8, np.nan])
    assert state[:, 0] == pytest.approx([0.06 + 0.9 * 0.6 + 0.01 * 0.2 / 0.05, 0.6])


def test_equal_loadings_of_a_and_c_keep_it_continuous():
    curves = AdaptiveIncentive.of(LoadIncentive(), {"A": 1.0, "C": 1.0})
    state = curves.start(1) + 0.4
    moved = LoadIncentive(**{name: float(value[0]) for name, value in curves.parameters(state).items()})
    assert moved.A != 1.0
    assert moved.jumps() == ()
