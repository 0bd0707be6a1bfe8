"""Histories that say too little or too much: only successes, one outcome, gaps, very large counts."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import digamma

from bondwork.reputation import scoring
from bondwork.reputation.beta_binomial import (
    LARGEST_CONCENTRATION,
    MEAN_MARGIN,
    fit_concentration,
    log_probability,
)
from bondwork.reputation.evaluation import score_models
from bondwork.reputation.fitting import fit_pooled
from bondwork.reputation.ledger import fit_reputation
from bondwork.reputation.models import MODELS
from bondwork.uncertainty.history import OutcomeHistory

if TYPE_CHECKING:
    from collections.abc import Iterator

HUGE = 10**9

#: Pieces done and failed, a line a round and a column an executor.
HISTORIES = {
    "only successes": (np.full((6, 2), 5), np.zeros((6, 2), dtype=int)),
    "only failures": (np.full((6, 2), 5), np.full((6, 2), 5)),
    "one success": (np.array([[0, 1], [0, 0]]), np.zeros((2, 2), dtype=int)),
    "one failure": (np.array([[0, 1], [0, 0]]), np.array([[0, 1], [0, 0]])),
    "one always, one never": (np.full((6, 2), 9), np.array([[0, 9]] * 6)),
    "a switch": (np.full((8, 1), 50), np.array([[0]] * 4 + [[50]] * 4)),
    "all alike": (np.full((6, 3), 10), np.full((6, 3), 2)),
    "gaps": (np.array([[4, 0], [0, 0], [0, 3], [4, 0]]), np.array([[1, 0], [0, 0], [0, 0], [0, 0]])),
    "huge successes": (np.full((6, 2), HUGE), np.zeros((6, 2), dtype=int)),
    "huge failures": (np.full((6, 2), HUGE), np.full((6, 2), HUGE)),
    "huge beside one": (np.array([[HUGE, 1]] * 6), np.array([[HUGE // 10, 1]] * 6)),
}  # fmt: skip


@pytest.fixture(autouse=True)
def no_warnings() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def history_of(done: np.ndarray, failed: np.ndarray) -> OutcomeHistory:
    return OutcomeHistory(tuple(f"c{u}" for u in range(done.shape[1])), done, failed)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("what", HISTORIES)
def test_forecasts_are_probabilities(what: str, name: str):
    history = history_of(*HISTORIES[what])
    ledger = fit_reputation(history, name)
    ledger.update(history)
    found = ledger.forecast([*ledger.executors, "new"])
    assert np.all((found.mean >= 0.0) & (found.mean <= 1.0))
    assert np.all(np.isfinite(found.concentration) & (found.concentration > 0.0))


@pytest.mark.parametrize("what", HISTORIES)
def test_scores_are_numbers(what: str):
    done, failed = HISTORIES[what]
    twice = history_of(np.tile(done, (2, 1)), np.tile(failed, (2, 1)))
    for score in score_models(twice, len(done), list(MODELS)):
        assert np.isfinite([score.log_score, score.brier, score.coverage]).all()


@pytest.mark.parametrize("pieces", [1, 5, HUGE])
@pytest.mark.parametrize("failing", [False, True])
def test_certainty_can_be_shaken(pieces: int, *, failing: bool):
    done = np.full((6, 2), pieces)
    ledger = fit_reputation(history_of(done, done * failing))
    newcomer = ledger.forecast(["new"]).mean[0]
    assert 0.0 < newcomer < 1.0
    before = ledger.forecast(["c0"]).mean[0]
    ledger.update(history_of(done[:1], done[:1] * (not failing)))
    after = ledger.forecast(["c0"]).mean[0]
    assert before > 0.9 > 0.6 > after if not failing else before < 0.1 < 0.4 < after


@given(
    st.integers(0, 8) | st.sampled_from([HUGE, 10**12]),
    st.integers(0, 8) | st.sampled_from([HUGE, 10**12]),
    st.sampled_from([0.0, 0.25, 0.5, 0.9, 1.0]),
    st.sampled_from([0.5, 20.0, 1e6]),
)
@settings(deadline=None)
def test_failures_are_successes_seen_from_the_other_side(k: int, more: int, mean: float, nu: float):
    one, other = log_probability(k, k + more, mean, nu), log_probability(more, k + more, 1.0 - mean, nu)
    assert np.isfinite(one)
    assert one <= 1e-6
    # 1 - mean is rounded: of a mean at the margin to a share of 1e-7
    assert float(one) == pytest.approx(float(other), rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("nu", [0.5, 100.0, 1e6])
def test_what_is_all_but_certain_of_very_many(nu: float):
    # the derivative at a share of failures of 0 gives the first term of its series
    b = MEAN_MARGIN * nu
    expected = -b * (digamma(nu + HUGE) - digamma(nu))
    assert float(log_probability(HUGE, HUGE, 1.0, nu)) == pytest.approx(expected, rel=1e-2)


@pytest.mark.parametrize("pieces", [2, 5, 1000])
def test_certain_outcomes_say_nothing_of_the_concentration(pieces: int):
    for mean in (0.0, 1.0):
        assert fit_concentration([mean * pieces] * 9, [pieces] * 9, [mean] * 9) == LARGEST_CONCENTRATION


def test_a_fit_of_almost_nothing_has_no_errors():
    fit = fit_pooled("gaussian_mean", 1e-12 * np.random.default_rng(6).normal(size=6)[np.newaxis, 4:])
    assert np.isnan(fit.standard_error).any()
    assert not np.any(fit.standard_error <= 0.0)


def test_ranks_of_large_counts_are_those_of_their_sums(monkeypatch: pytest.MonkeyPatch):
    k = np.array([50.0, 4000.0, 9990.0, 3000.0, 7000.0, 0.0, 10_000.0])
    a, b = np.array([2.0, 8, 90, 300, 7e5, 0.01, 5]), np.array([5.0, 9, 0.2, 700, 3e5, 3, 0.01])
    arguments = k, np.full(7, 10_000.0), a / (a + b), a + b
    summed = scoring.pit(*arguments)
    monkeypatch.setattr(scoring, "MOST_SUMMED", 500)
    assert scoring.pit(*arguments) == pytest.approx(summed, abs=1e-3)
    assert np.ptp(summed) > 0.1
