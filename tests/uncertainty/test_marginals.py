"""Everything that the model calls random, drawn through the public door: its marginal, within a stated bound.

With n independent draws, sup |F_n - F| exceeds sqrt(log(2 / a) / 2n) with probability at most a (Dvoretzky,
Kiefer & Wolfowitz 1956; the constant is Massart's). All bounds here are at a = 1e-6.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

import bondwork
from bondwork.uncertainty import (
    Beta,
    Outage,
    Values,
    WorkOverrun,
    make_tree,
    sample_loads,
    sample_round,
    tree_of_round,
)

DRAWS = 20_000
ALPHA = 1e-6
BAND = math.sqrt(math.log(2.0 / ALPHA) / (2.0 * DRAWS))
#: Standard errors that a mean of many draws exceeds with that probability.
SIGMAS = float(stats.norm.isf(ALPHA / 2.0))

sigma = math.sqrt(math.log(1.0 + 0.3**2))
LAWS = {
    "reward": ({"law": "lognormal", "mean": 10.0, "cv": 0.3},
               stats.lognorm(sigma, scale=10.0 * math.exp(-sigma * sigma / 2.0))),
    "bid": ({"law": "uniform", "low": 2.0, "high": 3.0}, stats.uniform(2.0, 1.0)),
    "price": ({"law": "normal", "mean": 5.0, "sd": 2.0}, stats.norm(5.0, 2.0)),
    "probability": ({"mean": 0.9, "concentration": 40.0}, stats.beta(36.0, 4.0)),
    "outage": ({"law": "outage", "probability": 0.03}, stats.bernoulli(0.03)),
    "arrivals": ({"law": "poisson", "mean": 12.0}, stats.poisson(12.0)),
    "bursts": ({"law": "negative_binomial", "mean": 12.0, "dispersion": 0.5}, stats.nbinom(2.0, 2.0 / 14.0)),
    "overrun": ({"law": "overrun", "factor": {"law": "lognormal", "mean": 1.1, "cv": 0.3}},
                stats.lognorm(sigma, scale=1.1 * math.exp(-sigma * sigma / 2.0))),
    "observed": ({"law": "bootstrap", "values": [1.0, 2.0, 2.0, 7.0]},
                 stats.rv_discrete(values=([1, 2, 7], [0.25, 0.5, 0.25]))),
    "demand": ({"law": "values", "values": [2.0, 6.0], "probabilities": [0.3, 0.7]},
               stats.rv_discrete(values=([2, 6], [0.3, 0.7]))),
}  # fmt: skip


def spec(method: str, **more) -> dict:
    laws = {name: form for name, (form, _) in LAWS.items()}
    stage = {"branching": DRAWS, "laws": laws, **more}
    return {"format": "bondwork.tree-spec/1", "seed": 11, "method": method, "stages": [stage]}


@pytest.fixture(scope="module", params=["monte_carlo", "sobol"])
def values(request) -> dict[str, np.ndarray]:
    tree = make_tree(spec(request.param))
    return dict(zip(tree.names[1], tree.values[1].T, strict=True))


@pytest.mark.parametrize("name", LAWS)
def test_marginal_of_a_law(values, name) -> None:
    reference, drawn = LAWS[name][1], np.sort(values[name])
    points = np.unique(drawn)
    share = np.searchsorted(drawn, points, side="right") / DRAWS
    assert np.abs(share - reference.cdf(points)).max() <= BAND
    assert abs(drawn.mean() - reference.mean()) <= SIGMAS * reference.std() / math.sqrt(DRAWS)


def test_correlation_leaves_marginals_as_they_are_and_is_what_was_asked_for() -> None:
    pairs = [{"between": ["price", "reward"], "value": 0.7}, {"between": ["bid", "price"], "value": -0.4}]
    tree = make_tree(spec("monte_carlo", correlation=pairs))
    drawn = dict(zip(tree.names[1], tree.values[1].T, strict=True))
    for name in ("reward", "bid", "arrivals"):
        points = np.unique(drawn[name])
        share = np.searchsorted(np.sort(drawn[name]), points, side="right") / DRAWS
        assert np.abs(share - LAWS[name][1].cdf(points)).max() <= BAND
    # Fisher: atanh(r) is normal with variance 1 / (n - 3); normal scores undo the marginals
    scores = {name: stats.norm.ppf(LAWS[name][1].cdf(drawn[name])) for name in ("price", "reward", "bid")}
    for first, second, expected in (("price", "reward", 0.7), ("bid", "price", -0.4), ("bid", "reward", 0.0)):
        r = np.corrcoef(scores[first], scores[second])[0, 1]
        assert abs(math.atanh(r) - math.atanh(expected)) <= SIGMAS / math.sqrt(DRAWS - 3)


def round_with_everything() -> bondwork.Instance:
    return bondwork.load({
        "format": "bondwork.round/1",
        "operators": [{"id": "op", "capacity": {"compute": 99.0}}],
        "coprocessors": [{"id": "a", "capacity": {"compute": 9.0}, "outage_probability": 0.05}, {"id": "b"}],
        "tasks": [
            {"id": f"t{k}", "operator": "op", "reward": 9, "slashing": 9, "work": {"compute": 4.0}}
            for k in range(3)
        ],
        "offers": [
            {"task": "t0", "coprocessor": "a", "bid": 1, "success_probability": 0.9},
            {"task": "t1", "coprocessor": "a", "bid": 1,
             "success_probability": {"mean": 0.8, "concentration": 20}},
            {"task": "t1", "coprocessor": "b", "bid": 1, "success_probability": 0.99},
        ],
        "self_execution": [{"task": "t2", "operator": "op", "cost": 1, "success_probability": 0.7}],
        "uncertainty": {"dependence": {"common": 0.1, "coprocessor": 0.3}},
    })  # fmt: skip


@pytest.mark.parametrize("method", ["monte_carlo", "antithetic", "latin_hypercube", "sobol"])
def test_marginal_of_outcomes_in_a_tree_of_a_round(method) -> None:
    instance = round_with_everything()
    tree = tree_of_round(instance, scenarios=DRAWS, seed=5, method=method)
    failed = tree.conditional[1:] @ tree.values[1]
    expected = 1.0 - instance.offers.success_probability
    assert tree.names[1][:3] == tuple(instance.offers.ids[:3])
    assert np.abs(failed - expected).max() <= SIGMAS * 0.5 / math.sqrt(DRAWS)
    sample = sample_round(instance, scenarios=DRAWS, seed=5, method=method).offers
    assert failed == pytest.approx(sample.failure_share())


def test_probabilities_and_outages_alone() -> None:
    u = (np.arange(DRAWS) + 0.5) / DRAWS
    assert Beta(0.9, 40.0).ppf(u).mean() == pytest.approx(0.9, abs=1e-3)
    assert Outage(0.03).ppf(u).mean() == pytest.approx(0.03, abs=1e-3)


def test_work_overruns_touch_capacity_only() -> None:
    instance = round_with_everything()
    law = WorkOverrun(Values((1.0, 1.2, 2.0), (0.7, 0.2, 0.1)))
    found = sample_loads(instance, [0, 1], law, scenarios=DRAWS, seed=3, method="monte_carlo")
    # 9 units for two tasks of 4: only factors of 1 and 1, or 1 and 1.2 fit
    fits = 0.7 * 0.7 + 2 * 0.7 * 0.2
    over = found.overload_probability()
    assert abs(over[0, 0] - (1.0 - fits)) <= SIGMAS * math.sqrt(fits * (1.0 - fits) / DRAWS)
    assert over[1, 0] == 0.0
    assert found.loads[:, 0, 0].mean() == pytest.approx(8.0 * law.mean, rel=0.02)
    # one factor a task: at whoever does it
    both = sample_loads(instance, [1, 2], law, scenarios=50, seed=3).loads
    assert np.array_equal(both[:, 0], both[:, 1])
