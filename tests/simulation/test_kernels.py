from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from bondwork.market.settlement import split
from bondwork.simulation.kernels import choose_distinct, choose_operators, split_units


@given(st.integers(0, 10**12), st.lists(st.integers(0, 10**6), min_size=3, max_size=3))
def test_collateral_is_split_as_the_ledger_splits_it(units, cuts):
    shares = np.diff([0, *sorted(cuts), 10**6])
    parts = np.zeros(4, dtype=np.int64)
    split_units(units, shares, parts)
    assert tuple(parts.tolist()) == split(units, tuple((shares / 10**6).tolist()))
    assert parts.sum() == units


def test_coprocessors_are_chosen_evenly_and_once():
    chosen = choose_distinct(np.random.default_rng(1).random((30_000, 3)), 7)
    assert all(len(set(row)) == 3 for row in chosen[:100].tolist())
    assert np.bincount(chosen.ravel()).tolist() == np.bincount(chosen.ravel(), minlength=7).tolist()
    assert np.abs(np.bincount(chosen.ravel(), minlength=7) / 30_000 - 3 / 7).max() < 0.01


def test_operators_are_chosen_by_weight():
    weight = np.array([1.0, 0.0, 3.0])
    chosen = choose_operators(np.random.default_rng(1).random(40_000), weight)
    assert np.abs(np.bincount(chosen, minlength=3) / 40_000 - [0.25, 0.0, 0.75]).max() < 0.01
    assert choose_operators(np.array([0.5]), np.zeros(2)).tolist() == [-1]
