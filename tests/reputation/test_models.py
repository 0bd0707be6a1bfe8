"""Models behind one contract: online equals batch, forecasts are calibrated, scores are what they say."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from bondwork import InvalidInput
from bondwork.reputation.beta_binomial import LARGEST_CONCENTRATION, fit_concentration, log_probability
from bondwork.reputation.evaluation import score_models
from bondwork.reputation.ledger import fit_reputation
from bondwork.reputation.models import MODELS, make_reputation, one_step_forecasts
from bondwork.reputation.reputation_schema import ledger_to_json, load_ledger
from bondwork.reputation.score_driven import make_model
from bondwork.reputation.scoring import (
    brier_score,
    calibrate,
    coverage,
    diebold_mariano,
    interval_coverage,
    pit,
)
from bondwork.uncertainty.history import OutcomeHistory


def wandering(units: int, times: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Success probabilities that wander, trials (some idle), and successes. Shape (units, times)."""
    rng = np.random.default_rng(seed)
    f = 2.0 + np.cumsum(rng.normal(0.0, 0.15, (units, times)), axis=1)
    p = 1.0 / (1.0 + np.exp(-f))
    n = rng.integers(0, 12, (units, times)).astype(float)
    return p, n, rng.binomial(n.astype(int), p).astype(float)


def history_of(n: np.ndarray, k: np.ndarray) -> OutcomeHistory:
    names = tuple(f"cp-{u}" for u in range(len(n)))
    return OutcomeHistory(names, n.T.astype(np.int64), (n - k).T.astype(np.int64))


@given(st.integers(0, 8), st.integers(0, 8), st.floats(0.01, 0.99), st.floats(0.5, 200.0))
@settings(deadline=None)
def test_beta_binomial(k: int, more: int, mean: float, nu: float):
    n = k + more
    expected = stats.betabinom.logpmf(k, n, mean * nu, (1 - mean) * nu)
    assert float(log_probability(k, n, mean, nu)) == pytest.approx(float(expected), rel=1e-7, abs=1e-9)


def test_concentration_is_recovered():
    rng = np.random.default_rng(2)
    p = rng.beta(0.8 * 20.0, 0.2 * 20.0, 20_000)
    n = np.full(20_000, 15)
    assert fit_concentration(rng.binomial(n, p), n, np.full(20_000, 0.8)) == pytest.approx(20.0, rel=0.08)
    # single outcomes say nothing about it
    assert fit_concentration([1.0, 0.0], [1.0, 1.0], [0.5, 0.5]) == LARGEST_CONCENTRATION


@pytest.mark.parametrize("name", MODELS)
def test_parameters_make_the_model_again(name: str):
    _, n, k = wandering(30, 20, 0)
    reputation = MODELS[name](k, n)
    again = make_reputation(name, json.loads(json.dumps(reputation.parameters())))
    one, other = one_step_forecasts(reputation, k, n), one_step_forecasts(again, k, n)
    assert one[0].mean == pytest.approx(other[0].mean, rel=1e-12)
    assert one[1] == pytest.approx(other[1], rel=1e-12)
    assert np.all((one[0].mean > 0.0) & (one[0].mean < 1.0) & (one[0].concentration > 0.0))


@pytest.mark.parametrize("name", MODELS)
def test_good_executors_are_told_from_bad_ones(name: str):
    rng = np.random.default_rng(1)
    p = np.repeat([[0.98], [0.6]], 10, axis=0)
    n = np.full((20, 30), 8.0)
    k = rng.binomial(8, np.broadcast_to(p, n.shape)).astype(float)
    forecast, _ = one_step_forecasts(MODELS[name](k, n), k, n)
    assert forecast.mean[:10, -1].min() > forecast.mean[10:, -1].max()


def test_intervals_of_the_score_driven_forecast_cover():
    """Nominal 90% intervals cover about 90% of true probabilities, which a filter's own bands do not."""
    p, n, k = wandering(200, 60, 3)
    forecast, _ = one_step_forecasts(MODELS["gas"](k, n), k, n)
    late = slice(20, None)
    found = coverage(p[:, late], forecast.mean[:, late], forecast.concentration[:, late])
    assert 0.85 < found < 0.97


def test_the_forgetting_rival_forgets():
    rival = make_reputation("forgetting", {"keep": 0.5, "prior_mean": 0.5, "prior_size": 2.0})
    state = rival.start(1)
    rival.update(state, np.array([4.0]), np.array([4.0]))
    assert state.tolist() == [[5.0, 1.0]]
    rival.update(state, np.array([0.0]), np.array([0.0]))
    assert state.tolist() == [[3.0, 1.0]]
    assert rival.forecast(state).mean.tolist() == [0.75]


def test_moving_average_weighs_each_outcome():
    rival = make_reputation("ewma", {"weight": 0.5, "initial": 1.0, "concentration": 3.0})
    state = rival.start(2)
    rival.update(state, np.array([0.0, 0.0]), np.array([2.0, 0.0]))
    assert state.tolist() == [[0.25], [1.0]]


def test_proper_scores():
    assert brier_score([1.0, 3.0], [1.0, 4.0], [0.8, 0.5]).tolist() == [pytest.approx(0.04), 0.25]
    assert math.isnan(brier_score(0.0, 0.0, 0.5))
    told = calibrate([9.0, 1.0, 4.0], [10.0, 10.0, 8.0], [0.9, 0.1, 0.5], bins=3)
    assert told.forecast == pytest.approx([0.1, 0.5, 0.9])
    assert told.observed == pytest.approx([0.1, 0.5, 0.9])
    assert told.error == pytest.approx(0.0, abs=1e-12)
    assert told.outcomes.sum() == 28


def test_a_perfect_forecaster_covers():
    rng = np.random.default_rng(4)
    mean, nu = rng.uniform(0.5, 0.99, 5000), np.full(5000, 12.0)
    n = rng.integers(1, 9, 5000)
    k = rng.binomial(n, rng.beta(mean * nu, (1 - mean) * nu))
    # 5 standard errors of a share of 5,000
    assert interval_coverage(k, n, mean, nu) == pytest.approx(0.9, abs=5 * math.sqrt(0.09 / 5000))
    assert stats.kstest(pit(k, n, mean, nu), "uniform").pvalue > 1e-3
    assert interval_coverage(k, n, mean, np.full(5000, 1e5)) < 0.87  # overconfident


def test_diebold_mariano_by_hand():
    first, second = np.array([1.0, 3.0, 2.0, 4.0]), np.array([2.0, 3.0, 4.0, 4.0])
    d = first - second
    plain = d.mean() / math.sqrt(d.var() / 4)
    expected = plain * math.sqrt((4 + 1 - 2) / 4)
    found = diebold_mariano(first, second)
    assert found.statistic == pytest.approx(expected)
    assert found.p_value == pytest.approx(2 * stats.t.sf(abs(expected), 3))
    assert diebold_mariano(first, first).p_value == 1.0
    assert diebold_mariano(first, first + 1.0).p_value == 0.0
    with pytest.raises(ValueError, match="at least 2"):
        diebold_mariano([1.0], [2.0])


def test_diebold_mariano_has_its_size():
    rng = np.random.default_rng(0)
    rejected = [diebold_mariano(rng.normal(size=40), rng.normal(size=40)).p_value < 0.05 for _ in range(1000)]
    assert np.mean(rejected) == pytest.approx(0.05, abs=0.03)  # more than 4 standard errors


def test_a_ledger_takes_in_rounds_and_newcomers(tmp_path):
    _, n, k = wandering(12, 15, 5)
    whole, first = history_of(n, k), history_of(n[:8, :10], k[:8, :10])
    ledger = fit_reputation(first, "forgetting")
    later = OutcomeHistory(whole.executors, whole.done[10:], whole.failed[10:])
    path = tmp_path / "reputation.json"
    path.write_text(ledger_to_json(ledger), encoding="utf-8")
    again = load_ledger(path)
    for each in (ledger, again):
        each.update(later)
    assert ledger_to_json(again) == ledger_to_json(ledger)
    assert ledger.executors == whole.executors
    assert ledger.rounds == 15
    # those seen from the start are where one pass over everything would have them
    _, state = one_step_forecasts(ledger.reputation, k[:8], n[:8])
    assert ledger.state[:8] == pytest.approx(state, rel=1e-12)
    start = ledger.reputation.forecast(ledger.reputation.start(1)).mean[0]
    assert ledger.forecast(["nobody"]).mean[0] == pytest.approx(start)


def test_forecasts_go_into_a_round():
    ledger = fit_reputation(history_of(*wandering(3, 10, 6)[1:]), "ewma")
    round_ = {
        "coprocessors": [{"id": "cp-0", "outage_probability": 0.9}, {"id": "cp-1"}],
        "offers": [{"task": "t", "coprocessor": name, "bid": 1} for name in ("cp-0", "cp-1")],
    }
    found = ledger.apply(round_)
    assert "success_probability" not in round_["offers"][0]
    mean = ledger.forecast(["cp-1"]).mean[0]
    first, second = (offer["success_probability"] for offer in found["offers"])
    assert first["mean"] == pytest.approx(0.1)  # what its outages leave
    assert second == {"mean": mean, "concentration": ledger.reputation.parameters()["concentration"]}


def test_models_side_by_side():
    p, n, k = wandering(150, 40, 7)
    del p
    scores = score_models(history_of(n, k), holdout=10)
    assert {each.model for each in scores} == set(MODELS)
    assert [each.log_score for each in scores] == sorted(each.log_score for each in scores)
    assert scores[0].difference is None
    assert all(each.difference is not None and each.difference >= 0.0 for each in scores[1:])
    # probabilities that wander are forecast worse by what weighs all of the past alike
    assert scores[-1].model == "smoothed"
    assert scores[-1].p_value < 0.01


def test_bad_input_is_named(tmp_path):
    history = history_of(*wandering(3, 4, 8)[1:])
    with pytest.raises(InvalidInput, match="from 1 to 3"):
        score_models(history, holdout=4)
    with pytest.raises(InvalidInput, match="one of gas"):
        score_models(history, models=["best"])
    with pytest.raises(InvalidInput, match="one of gas"):
        fit_reputation(history, "best")
    document = json.loads(ledger_to_json(fit_reputation(history, "forgetting")))
    document["executors"][0]["state"] = [1.0]
    document["executors"][1]["id"] = "cp-0"
    path = tmp_path / "bad.json"
    path.write_text(json.dumps(document), encoding="utf-8")
    with pytest.raises(InvalidInput) as caught:
        load_ledger(path)
    assert [each.path for each in caught.value.faults] == ["$.executors[0].state", "$.executors[1].id"]
    path.write_text(json.dumps(document | {"parameters": {"keep": 1.0}}), encoding="utf-8")
    with pytest.raises(InvalidInput, match="parameters of forgetting"):
        load_ledger(path)


def test_half_a_model_without_outcomes():
    empty = OutcomeHistory(("a",), np.zeros((2, 1), dtype=np.int64), np.zeros((2, 1), dtype=np.int64))
    with pytest.raises(InvalidInput, match="no outcome"):
        fit_reputation(empty)


def test_a_filter_with_known_dynamics_beats_a_static_rate():
    truth = make_model("binomial", 0.1, 0.95, 0.5)
    data = truth.simulate(100, 120, seed=9, trials=6.0)
    trials = np.full(data.y.shape, 6.0)
    losses = {}
    for name in ("gas", "smoothed"):
        forecast, _ = one_step_forecasts(MODELS[name](data.y, trials), data.y, trials)
        losses[name] = -log_probability(data.y, trials, forecast.mean, forecast.concentration).mean(axis=1)
    assert diebold_mariano(losses["gas"], losses["smoothed"]).p_value < 1e-6
    assert losses["gas"].mean() < losses["smoothed"].mean()
