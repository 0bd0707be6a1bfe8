"""Scores against finite differences, information against simulation, filters against plain loops."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, cast

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special, stats

from bondwork.reputation.drawing import distribution, draw
from bondwork.reputation.fitting import Likelihood, fit_pooled, fit_units, static_estimate
from bondwork.reputation.laws import LAWS, POWER, Law
from bondwork.reputation.residuals import check_residuals
from bondwork.reputation.score_driven import ScoreDriven, make_model

if TYPE_CHECKING:
    from bondwork.reputation.laws import Scaling

#: One set of static parameters, a level f and observations for every law.
CASES: dict[str, tuple[list[float], list[float], list[float]]] = {
    "binomial": ([], [0.7], [0.0, 2.0, 5.0]),
    "gaussian_mean": ([1.7], [0.3], [-1.0, 0.3, 4.0]),
    "gaussian_log_variance": ([0.4], [0.6], [-1.0, 0.4, 4.0]),
    "gaussian_variance": ([0.4], [1.8], [-1.0, 0.4, 4.0]),
    "student_location": ([5.0, 1.3], [0.2], [-6.0, 0.2, 3.0]),
    "student_log_scale": ([5.0, 0.1], [0.4], [-6.0, 0.1, 3.0]),
    "student": ([6.5], [0.2, -0.5], [-3.0, 0.2, 2.0]),
    "poisson": ([], [1.2], [0.0, 3.0, 11.0]),
    "negative_binomial": ([0.6], [1.2], [0.0, 3.0, 11.0]),
}
TRIALS = 5.0


@pytest.fixture(params=CASES)
def law(request: pytest.FixtureRequest) -> Law:
    return LAWS[request.param]


def at(law: Law) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    static, level, values = CASES[law.name]
    return np.array(static), np.array(level), np.array(values)


def test_densities_are_those_of_scipy(law: Law):
    static, f, y = at(law)
    expected = {
        "binomial": lambda: stats.binom.logpmf(y, TRIALS, special.expit(f[0])),
        "gaussian_mean": lambda: stats.norm.logpdf(y, f[0], math.sqrt(static[0])) if len(static) else None,
        "gaussian_log_variance": lambda: stats.norm.logpdf(y, static[0], math.exp(f[0] / 2)),
        "gaussian_variance": lambda: stats.norm.logpdf(y, static[0], math.sqrt(f[0])),
        "student_location": lambda: stats.t.logpdf(y, static[0], f[0], math.sqrt(static[1])),
        "student_log_scale": lambda: stats.t.logpdf(y, static[0], static[1], math.exp(f[0] / 2)),
        "student": lambda: stats.t.logpdf(y, static[0], f[0], math.exp(f[1] / 2)),
        "poisson": lambda: stats.poisson.logpmf(y, math.exp(f[0])),
        "negative_binomial": lambda: stats.nbinom.logpmf(
            y, 1 / static[0], 1 / (1 + static[0] * math.exp(f[0]))
        ),
    }[law.name]()
    assert law.log_density(y, f, static, TRIALS) == pytest.approx(expected, rel=1e-12)


def test_scores_are_derivatives(law: Law):
    static, f, y = at(law)
    for k in range(len(f)):
        h = 1e-6
        up, down = f.copy(), f.copy()
        up[k] += h
        down[k] -= h
        slope = (law.log_density(y, up, static, TRIALS) - law.log_density(y, down, static, TRIALS)) / (2 * h)
        assert law.score(y, f, static, TRIALS)[:, k] == pytest.approx(slope, rel=1e-6, abs=1e-8)


def test_scores_have_mean_0_and_variance_i(law: Law):
    static, f, _ = at(law)
    rng = np.random.default_rng(7)
    size = 200_000
    y = draw(law, np.tile(f, (size, 1)), static, np.full(size, TRIALS), rng)
    s = law.score(y, f, static, TRIALS)
    information = law.information(f, static, TRIALS)
    for k in range(len(f)):
        error = s[:, k].std() / math.sqrt(size)
        assert abs(s[:, k].mean()) < 4.5 * error  # about 1 in 150,000
        square = s[:, k] ** 2
        assert square.mean() == pytest.approx(information[k], abs=4.5 * square.std() / math.sqrt(size))


def test_draws_follow_the_distribution(law: Law):
    static, f, _ = at(law)
    rng = np.random.default_rng(3)
    g, n = np.tile(f, (4000, 1)), np.full(4000, TRIALS)
    y = draw(law, g, static, n, rng)
    upper = distribution(law, y, g, static, n)
    counts = law.name in ("binomial", "poisson", "negative_binomial")
    lower = distribution(law, y - 1, g, static, n) if counts else upper
    place = lower + rng.random(4000) * (upper - lower)
    assert stats.kstest(place, "uniform").pvalue > 1e-4


def random_model(law: Law, scaling: str) -> ScoreDriven:
    static, f, _ = at(law)
    beta = np.full(len(f), 0.8)
    alpha, scale = np.full(len(f), 0.05), cast("Scaling", scaling)
    return make_model(law.name, f * (1 - beta), beta, alpha, static, [0.1], scale)


@pytest.mark.parametrize("scaling", ["unit", "inverse_root", "inverse"])
def test_the_filter_is_the_recursion(law: Law, scaling: str):
    model = random_model(law, scaling)
    rng = np.random.default_rng(1)
    x = rng.normal(size=(12, 1))
    y = model.simulate(2, 12, seed=2, trials=TRIALS, regressors=x).y
    y[0, 4] = np.nan
    trials = np.full(y.shape, TRIALS)
    power = {"unit": 0.0, "inverse_root": 0.5, "inverse": 1.0}[scaling]
    found = model.filter(y, trials, x)
    f = model.start(2)
    for t in range(12):
        assert found.path[:, t] == pytest.approx(f, rel=1e-12)
        for u in range(2):
            g = f[u].copy()
            g[0] += 0.1 * x[t, 0]
            score = np.zeros(len(g))
            if not np.isnan(y[u, t]):
                density = law.log_density(y[u, t], g, model.static, TRIALS)
                assert found.log_density[u, t] == pytest.approx(float(density), rel=1e-12)
                information = law.information(g, model.static, TRIALS)
                score = law.score(y[u, t], g, model.static, TRIALS) * information**-power
            f[u] = model.omega + model.beta * f[u] + model.alpha * score
    assert found.state == pytest.approx(f, rel=1e-12)


@pytest.mark.parametrize("scaling", ["unit", "inverse_root", "inverse"])
@pytest.mark.parametrize("fixed", [False, True])
def test_gradients_are_exact(law: Law, scaling: str, fixed: bool):
    model = random_model(law, scaling)
    x = np.random.default_rng(5).normal(size=(30, 1))
    y = model.simulate(3, 30, seed=4, trials=TRIALS, regressors=x).y
    y[1, 3] = np.nan
    start = model.start(3) if fixed else None
    likelihood = Likelihood(law, y, np.full(y.shape, TRIALS), x, scaling, start)  # type: ignore[arg-type]
    point = np.concatenate([model.theta().ravel(), model.static, model.gamma])
    value, gradient = likelihood(point)
    assert value == pytest.approx(
        model.filter(y, np.full(y.shape, TRIALS), x, start).log_likelihood, rel=1e-12
    )
    for i in range(len(point)):
        h = 1e-6 * max(1.0, abs(point[i]))
        up, down = point.copy(), point.copy()
        up[i] += h
        down[i] -= h
        slope = (likelihood(up)[0] - likelihood(down)[0]) / (2 * h)
        # central differences of a sum of 90 terms: 1e-6 of the gradient's own size
        assert gradient[i] == pytest.approx(slope, rel=1e-5, abs=1e-5 * np.abs(gradient).max())


@given(st.floats(-30, 30), st.integers(0, 20), st.integers(0, 20))
@settings(max_examples=200, deadline=None)
def test_binomial_scores_stay_finite(f: float, k: int, more: int):
    law = LAWS["binomial"]
    density = law.log_density(float(k), [f], trials=float(k + more))
    assert np.isfinite(density)
    assert density <= 1e-9
    assert abs(law.score(float(k), [f], trials=float(k + more))[0]) <= k + more


def test_one_failure_at_0_999_moves_as_stated():
    f = [math.log(999.0)]
    law = LAWS["binomial"]
    s, information = law.score(0.0, f)[0], law.information(f)[0]
    assert s == pytest.approx(-0.999)
    assert s / math.sqrt(information) == pytest.approx(-31.6, abs=0.1)
    assert s / information == pytest.approx(-1000.0, rel=1e-2)


def test_without_movement_it_is_the_static_estimate():
    y = np.random.default_rng(0).binomial(6, 0.85, size=(40, 30)).astype(float)
    trials = np.full(y.shape, 6.0)
    level, value = static_estimate("binomial", y, trials)
    rate = y.sum() / trials.sum()
    assert level == pytest.approx(math.log(rate / (1 - rate)), abs=1e-5)
    assert value == pytest.approx(stats.binom.logpmf(y, 6, rate).sum(), rel=1e-9)
    still = make_model("binomial", level * (1 - 0.9), 0.9, 0.0).filter(y, trials)
    assert still.log_likelihood == pytest.approx(value, rel=1e-12)


@pytest.mark.parametrize("name", ["binomial", "gaussian_mean", "poisson", "student_location"])
def test_fits_recover_the_truth(name: str):
    static, f, _ = CASES[name]
    alpha = 0.04 if name == "poisson" else 0.15  # larger ones explode: scores of counts grow with their mean
    truth = make_model(name, np.array(f) * 0.1, [0.9], [alpha], static)
    data = truth.simulate(80, 250, seed=11, trials=TRIALS)
    fit = fit_pooled(name, data.y, np.full(data.y.shape, TRIALS))
    assert fit.converged
    expected = np.concatenate([truth.theta().ravel(), truth.static])
    # 4 standard errors for each of up to five parameters: 1 in 3,000 by chance, and the seed is fixed
    assert np.all(np.abs(fit.estimate - expected) < 4.0 * fit.standard_error)
    assert fit.log_likelihood >= Likelihood(LAWS[name], data.y, np.full(data.y.shape, TRIALS))(expected)[0]
    checked = check_residuals(fit.model, data.y, np.full(data.y.shape, TRIALS))
    assert checked.uniform_p_value > 1e-3
    assert checked.autocorrelation_p_value > 1e-3


def test_residuals_tell_a_wrong_model():
    truth = make_model("binomial", 0.1, 0.95, 0.6)
    data = truth.simulate(60, 200, seed=5, trials=TRIALS)
    trials = np.full(data.y.shape, TRIALS)
    level, _ = static_estimate("binomial", data.y, trials)
    wrong = make_model("binomial", level, 0.0, 0.0)
    assert check_residuals(wrong, data.y, trials).autocorrelation_p_value < 1e-6


def test_units_one_by_one():
    truth = make_model("poisson", 0.2, 0.8, 0.1)
    data = truth.simulate(3, 400, seed=1)
    data.y[2, 4:] = np.nan
    fits = fit_units("poisson", data.y)
    assert fits[2] is not None
    assert fits[2].observations == 4
    data.y[2, 3:] = np.nan
    assert fit_units("poisson", data.y)[2] is None
    alone = fit_pooled("poisson", data.y[:1])
    assert fits[0] is not None
    assert fits[0].log_likelihood == pytest.approx(alone.log_likelihood, rel=1e-9)


def test_robust_errors_agree_where_the_law_is_right():
    truth = make_model("poisson", 0.2, 0.8, 0.1)
    data = truth.simulate(300, 60, seed=1)
    plain, robust = fit_pooled("poisson", data.y), fit_pooled("poisson", data.y, robust=True)
    assert robust.standard_error == pytest.approx(plain.standard_error, rel=0.35)


def test_online_updates_are_the_filter():
    model = make_model("binomial", 0.2, 0.9, 0.3)
    data = model.simulate(50, 20, seed=3, trials=4.0)
    trials = np.full(data.y.shape, 4.0)
    trials[5, 3:9] = 0.0
    y = np.where(trials > 0.0, data.y, 0.0)
    whole = model.filter(y, trials)
    state = model.start(50)
    same = state
    for t in range(20):
        assert model.update(state, y[:, t], trials[:, t]) == pytest.approx(whole.log_density[:, t])
    assert state is same
    assert state == pytest.approx(whole.state, rel=1e-12)


def test_idle_rounds_return_to_the_mean():
    model = make_model("binomial", 0.2, 0.9, 0.3)
    state = np.array([[-5.0]])
    path = model.forecast(state, 200)[0, :, 0]
    for t in range(5):
        assert state[0, 0] == pytest.approx(path[t])
        model.update(state, [0.0], [0.0])
    assert path[-1] == pytest.approx(2.0, abs=1e-6)


def test_shapes_that_do_not_fit_are_named():
    model = make_model("binomial", 0.2, 0.9, 0.3)
    with pytest.raises(ValueError, match="expected \\(units, times\\)"):
        model.filter([1.0, 0.0])
    with pytest.raises(ValueError, match="more successes than trials"):
        model.filter([[3.0]], [[2.0]])
    with pytest.raises(ValueError, match="regressors has shape"):
        model.filter([[1.0]], None, [[1.0], [2.0]])
    with pytest.raises(ValueError, match="omega has shape"):
        make_model("student", 0.1, 0.9, 0.1, 5.0)
    with pytest.raises(ValueError, match="scaling is 'half'"):
        make_model("binomial", 0.1, 0.9, 0.1, scaling="half")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="nothing was observed"):
        fit_pooled("binomial", [[1.0]], [[0.0]])


@pytest.mark.parametrize("reset", [False, True])
def test_the_fast_filter_of_counts_is_the_general_one_to_the_last_bit(reset: bool):
    from bondwork.reputation.kernels import filter_units

    rng = np.random.default_rng(5)
    trials = rng.integers(0, 6, (30, 40)).astype(float)
    y = rng.binomial(trials.astype(int), 0.8).astype(float)
    y[3, 7] = np.nan
    model = make_model("binomial", 0.05, 0.97, 0.4, reset=reset)
    found = model.filter(y, trials)
    state, path, likelihood = model.start(30), np.empty((30, 40, 1)), np.empty((30, 40))
    nothing = np.zeros((40, 0))
    empty = np.zeros(0)
    filter_units(0, 0.0, 1, model.theta(), empty, empty, reset, state, y, trials, nothing, path, likelihood)
    assert np.array_equal(found.path, path)
    assert np.array_equal(found.state, state)
    assert np.array_equal(found.log_density, likelihood + model.law.constant(y, trials))


def test_a_state_begins_anew_after_a_gap():
    y = [[1.0, 0.0, np.nan, np.nan, 1.0]]
    slow = make_model("binomial", 0.2, 0.9, 0.5)
    fast = make_model("binomial", 0.2, 0.9, 0.5, reset=True)
    moving, anew = slow.filter(y).path[0, :, 0], fast.filter(y).path[0, :, 0]
    # up to the gap, the prediction for its first time included, both are one
    assert anew[:3].tolist() == moving[:3].tolist()
    # then one is on its way to the mean of 0.2 / (1 - 0.9), and the other one there
    assert moving[3:].tolist() == pytest.approx([0.2 + 0.9 * moving[2], 0.2 + 0.9 * moving[3]])
    assert anew[3:].tolist() == pytest.approx([2.0, 2.0])
    state = fast.start(2) - 1.0
    fast.update(state, np.array([np.nan, 1.0]))
    assert state[0, 0] == pytest.approx(2.0)
    assert state[1, 0] != pytest.approx(2.0)


@pytest.mark.parametrize("fixed", [False, True])
@pytest.mark.parametrize("name", ["binomial", "gaussian_mean", "student", "negative_binomial"])
def test_the_gradient_across_gaps(name: str, fixed: bool):
    static, level, _ = CASES[name]
    theta = [each for f in level for each in (0.3 * f, 0.7, 0.04)]
    at_ = np.array([*theta, *static])
    rng = np.random.default_rng(3)
    y = draw(LAWS[name], np.tile(level, (30, 1)), np.array(static), np.full(30, TRIALS), rng).reshape(2, 15)
    y[0, 4:6] = y[1, 0] = y[1, 9] = np.nan
    start = np.tile(level, (2, 1)) + 0.1 if fixed else None
    likelihood = Likelihood(LAWS[name], y, np.full(y.shape, TRIALS), start=start, reset=True)
    value, gradient = likelihood(at_)
    filtered = likelihood.model(at_).filter(y, np.full(y.shape, TRIALS), start=start)
    assert value == pytest.approx(filtered.log_likelihood)
    for i in range(len(at_)):
        h = 1e-6 * max(abs(at_[i]), 1.0)
        up, down = at_.copy(), at_.copy()
        up[i] += h
        down[i] -= h
        slope = (likelihood(up)[0] - likelihood(down)[0]) / (2.0 * h)
        assert gradient[i] == pytest.approx(slope, rel=1e-5, abs=1e-6)


def wild(name: str) -> np.ndarray:
    """A history in which a step too far leaves the parameters at which anything is likely."""
    rng = np.random.default_rng(11)
    if name == "binomial":
        return rng.binomial(1, 0.97, (1, 120)).astype(float)
    if name in ("poisson", "negative_binomial"):
        counts = rng.poisson(2.0, (1, 120)).astype(float)
        counts[0, [40, 90]] = 400.0
        return counts
    y = np.cumsum(rng.normal(0.0, 1.0, (1, 120)), axis=1)
    y[0, 60:] *= 30.0
    y[0, 77] = 5000.0
    return y


@pytest.mark.parametrize("scaling", ["unit", "inverse_root", "inverse"])
def test_no_fit_breaks_down_or_calls_the_impossible_converged(law: Law, scaling: Scaling):
    if scaling not in POWER:
        pytest.skip("no such scaling")
    y = wild(law.name)
    fit = fit_pooled(law.name, y, scaling=scaling)
    if not fit.converged:
        return
    assert math.isfinite(fit.log_likelihood)
    if len(law.dynamic) == 1:
        # moving is never worth less than standing still
        still = static_estimate(law.name, y)[1]
        assert fit.log_likelihood >= still - 1e-3 * abs(still)
