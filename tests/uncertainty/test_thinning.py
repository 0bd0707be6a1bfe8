"""The sparse draws against the conditional law that they are defined by."""

import numpy as np
import pytest
from scipy.special import betaincinv, ndtr, ndtri

from bondwork.uncertainty.thinning import Copula, Group, Resampled, draw_failures

S = 60_000
#: Failure probabilities from never to always; the middle ones take the sparse and the dense way.
FAILURE = np.array([0.0, 1e-4, 0.004, 0.05, 0.3, 0.6, 0.93, 0.9995, 1.0])


def dense(group, seed=0):
    counts, scenario = draw_failures(group, np.random.default_rng(seed))
    table = np.zeros((len(group.driver), len(group.failure)), dtype=bool)
    table[scenario, np.repeat(np.arange(len(group.failure)), counts)] = True
    assert table.sum() == len(scenario), "a scenario appears twice"
    for part in np.split(scenario, np.cumsum(counts)[:-1]):
        assert np.all(np.diff(part) > 0)
    return table


def make_group(mechanism, driver, *, concentration=None, outage=0.0, failure=FAILURE):
    rng = np.random.default_rng(99)
    return Group(
        mechanism=mechanism,
        failure=failure,
        concentration=None if concentration is None else np.full(len(failure), concentration),
        driver=driver,
        quantile=None if concentration is None else rng.random(len(driver)),
        out=rng.random(len(driver)) < outage,
    )


def exact(group):
    """Conditional failure probabilities by their definition, one formula for each mechanism."""
    f = group.failure[np.newaxis]
    if group.concentration is not None:
        nu = group.concentration
        f = 1.0 - betaincinv((1 - f) * nu, f * nu, group.quantile[:, np.newaxis])
    y = group.driver[:, np.newaxis]
    if isinstance(group.mechanism, Copula):
        threshold = ndtri(1.0 - f)
        sigma = group.mechanism.sigma
        q = 1.0 - ndtr((threshold - y) / sigma) if sigma else (y > threshold).astype(float)
    else:
        mean = group.mechanism.mean
        q = np.where(f <= mean, f * y / mean, 1.0 - (1.0 - f) * (1.0 - y) / (1.0 - mean))
    return np.where(group.out[:, np.newaxis], 1.0, q)


def normals(scale):
    return scale * np.random.default_rng(1).standard_normal(S)


RATES = np.random.default_rng(3).choice([0.0, 0.02, 0.1, 0.5, 1.0], S, p=[0.4, 0.3, 0.2, 0.08, 0.02])
GROUPS = {
    "independent": make_group(Copula(1.0), np.zeros(S)),
    "copula": make_group(Copula(np.sqrt(0.65)), normals(np.sqrt(0.35))),
    "copula with outages": make_group(Copula(np.sqrt(0.2)), normals(np.sqrt(0.8)), outage=0.1),
    "factors alone": make_group(Copula(0.0), normals(1.0)),
    "uncertain": make_group(
        Copula(np.sqrt(0.65)), normals(np.sqrt(0.35)), concentration=40.0, failure=FAILURE[1:-1]
    ),
    "very uncertain": make_group(
        Copula(1.0), np.zeros(S), concentration=0.7, outage=0.05, failure=FAILURE[1:-1]
    ),
    "uncertain, factors alone": make_group(
        Copula(0.0), normals(1.0), concentration=5.0, failure=FAILURE[1:-1]
    ),
    "history": make_group(Resampled(float(RATES.mean())), RATES),
    "uncertain history": make_group(
        Resampled(float(RATES.mean())), RATES, concentration=8.0, failure=FAILURE[1:-1]
    ),
}


@pytest.mark.parametrize("name", GROUPS)
def test_failures_have_their_conditional_probability_everywhere(name):
    group = GROUPS[name]
    table, q = dense(group), exact(group)
    assert not table[q == 0.0].any()
    assert table[q == 1.0].all()
    # In each twentieth of the drivers (and of the uniforms), sums of failures - q are normal with a known
    # variance.
    keys = [group.driver] if group.quantile is None else [group.driver, group.quantile]
    worst = 0.0
    for key in keys:
        rank = np.argsort(np.argsort(key, kind="stable"), kind="stable")
        for part in range(20):
            at = rank * 20 // S == part
            variance = (q[at] * (1 - q[at])).sum(axis=0)
            excess = (table[at] - q[at]).sum(axis=0)
            enough = variance > 10.0
            worst = max(worst, np.max(np.abs(excess[enough]) / np.sqrt(variance[enough]), initial=0.0))
    # Up to 360 numbers: beyond 4.7 once in a thousand such tests.
    assert worst < 4.7


@pytest.mark.parametrize("name", GROUPS)
def test_given_the_factors_failures_are_independent(name):
    group = GROUPS[name]
    q = exact(group)
    residual = dense(group) - q
    scale = q * (1 - q)
    worst = []
    for i in range(len(group.failure)):
        # Between offers of a scenario, and between scenarios of an offer that lie next to each other.
        pairs = [(residual[:, i] * residual[:, j], scale[:, i] * scale[:, j]) for j in range(i)]
        order = np.argsort(-group.driver, kind="stable")
        r, v = residual[order, i], scale[order, i]
        pairs.append((r[1:] * r[:-1], v[1:] * v[:-1]))
        worst += [abs(a.sum()) / np.sqrt(b.sum()) for a, b in pairs if b.sum() > 10.0]
    assert max(worst, default=0.0) < 4.7


def test_the_number_of_failures_has_the_binomial_spread():
    group = make_group(Copula(1.0), np.zeros(400), failure=np.full(3000, 0.05))
    counts, _ = draw_failures(group, np.random.default_rng(5))
    # Variance of 3,000 binomial numbers: standard error about 1/sqrt(1500) of it.
    assert counts.var() == pytest.approx(400 * 0.05 * 0.95, rel=4.5 / np.sqrt(1500))
    assert counts.mean() == pytest.approx(20.0, abs=4.5 * np.sqrt(19 / 3000))


def test_a_history_keeps_every_probability_in_range_and_on_average():
    rates = np.array([0.0, 0.1, 0.4, 1.0])
    mechanism = Resampled(float(rates.mean()))
    q = mechanism.probability(FAILURE[:, np.newaxis], rates)
    assert q.min() >= 0.0
    assert q.max() <= 1.0
    assert np.allclose(q.mean(axis=1), FAILURE)


@pytest.mark.parametrize("rate", [0.0, 1.0])
def test_a_history_without_failures_or_successes_says_nothing(rate):
    failure = np.array([0.0, 0.3, 1.0])
    group = make_group(Resampled(rate), np.full(20_000, rate), failure=failure)
    assert np.allclose(group.mechanism.probability(failure[:, np.newaxis], np.array([rate]))[:, 0], failure)
    share = dense(group).mean(axis=0)
    assert share[[0, 2]].tolist() == [0.0, 1.0]
    assert share[1] == pytest.approx(0.3, abs=4.5 * np.sqrt(0.21 / 20_000))


@pytest.mark.parametrize("scenarios", [1, 2, 7])
def test_few_scenarios_and_outages_everywhere(scenarios):
    group = make_group(Copula(0.8), np.zeros(scenarios), outage=1.1)
    assert dense(group).all()
    assert dense(make_group(Copula(0.8), np.zeros(scenarios))).shape == (scenarios, len(FAILURE))
