import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from bondwork.uncertainty.counts import NegativeBinomial, Outage, Poisson, WorkOverrun
from bondwork.uncertainty.law_json import law_from_json, law_to_json
from bondwork.uncertainty.laws import (
    Beta,
    Bootstrap,
    Constant,
    Law,
    Lognormal,
    Normal,
    SmoothLaw,
    Uniform,
    Values,
    sample,
)

U = (np.arange(20_000) + 0.5) / 20_000
SMOOTH = [
    (Normal(2.0, 3.0), stats.norm(2.0, 3.0)),
    (Uniform(-1.0, 4.0), stats.uniform(-1.0, 5.0)),
    (Lognormal(10.0, 0.3), stats.lognorm(np.sqrt(np.log(1.09)), scale=10 / np.sqrt(1.09))),
    (Beta(0.9, 40.0), stats.beta(36.0, 4.0)),
]
COUNTS = [
    (Poisson(0.3), stats.poisson(0.3)),
    (Poisson(250.0), stats.poisson(250.0)),
    (NegativeBinomial(12.0, 0.5), stats.nbinom(2.0, 1 / 7)),
    (NegativeBinomial(3.0, 0.37), stats.nbinom(1 / 0.37, 1 / (1 + 0.37 * 3))),
]
ALL = [law for law, _ in SMOOTH + COUNTS] + [
    Constant(3.0),
    Values((2.0, 6.0, 1.0), (0.25, 0.5, 0.25)),
    Bootstrap((3.0, 1.0, 2.0, 2.0)),
    Outage(0.1),
    WorkOverrun(Lognormal(1.1, 0.2)),
]


@pytest.mark.parametrize(("law", "reference"), SMOOTH + COUNTS)
def test_quantiles_mean_and_variance_agree_with_scipy(law, reference):
    assert np.allclose(law.ppf(U), reference.ppf(U), rtol=1e-9, atol=1e-12)
    assert law.mean == pytest.approx(reference.mean(), rel=1e-12)
    assert law.variance == pytest.approx(reference.var(), rel=1e-12)


@pytest.mark.parametrize(("law", "reference"), SMOOTH)
@pytest.mark.parametrize("order", [0, 1, 2])
def test_partial_moments_agree_with_integration(law, reference, order):
    for x in reference.ppf([0.05, 0.4, 0.97]):
        expected = reference.expect(lambda y: y**order, ub=x, epsabs=1e-12)
        assert float(law.partial_moment(x, order)) == pytest.approx(expected, rel=1e-7)
    whole = (1.0, law.mean, law.variance + law.mean**2)[order]
    assert law.partial_moment([-np.inf, np.inf], order).tolist() == pytest.approx([0.0, whole], abs=1e-12)


@pytest.mark.parametrize("law", ALL)
def test_every_law_keeps_its_moments_under_its_own_quantiles(law):
    assert isinstance(law, Law)
    x = law.ppf(U)
    assert x.mean() == pytest.approx(law.mean, rel=2e-3, abs=2e-4)
    assert x.var() == pytest.approx(law.variance, rel=3e-2, abs=1e-9)
    assert np.all(np.diff(x) >= 0.0)


@pytest.mark.parametrize("law", ALL)
def test_json_round_trip(law):
    assert law_from_json(json.loads(json.dumps(law_to_json(law)))) == law


def test_json_forms_of_the_format():
    assert law_from_json({"law": "lognormal", "mean": 10.0, "cv": 0.3}) == Lognormal(10.0, 0.3)
    form = {"law": "values", "values": [2, "6.5"], "probabilities": ["0.5", 0.5]}
    assert law_from_json(form) == Values((2.0, 6.5), (0.5, 0.5))
    assert law_from_json({"mean": 0.9, "concentration": 40}) == Beta(0.9, 40.0)
    assert law_from_json("12.5") == Constant(12.5)


@pytest.mark.parametrize(
    ("form", "message"),
    [
        ({"law": "gamma", "mean": 1}, "'gamma', expected one of lognormal"),
        ({"law": "lognormal", "mean": 1}, "expected"),
        ({"law": "lognormal", "mean": 1, "cv": 0.1, "sd": 2}, "'sd'"),
        ({"law": "lognormal", "mean": -1, "cv": 0.1}, "mean is -1.0"),
        ({"law": "lognormal", "mean": "x", "cv": 0.1}, "mean is 'x'"),
        ({"law": "lognormal", "mean": float("nan"), "cv": 0.1}, "finite"),
        (
            {"law": "lognormal", "mean": 1, "cv": 1e308},
            "cv is 1e\\+308, expected a finite number, at most 1e",
        ),
        ({"law": "normal", "mean": 0, "sd": 1e200}, "sd is 1e\\+200"),
        ({"law": "uniform", "low": -1e308, "high": 1}, "low is -1e\\+308"),
        ({"law": "values", "values": [1, 2], "probabilities": [0.5, 0.6]}, "sum 1"),
        ({"law": "values", "values": [1, 2], "probabilities": [1.0]}, "2 numbers"),
        ({"law": "values", "values": [], "probabilities": []}, "at least one"),
        ({"law": "values", "values": "12", "probabilities": [1.0]}, "list of numbers"),
        ({"law": "values", "values": [1, 2], "probabilities": [-0.5, 1.5]}, "below 0"),
        ({"law": "bootstrap", "values": []}, "at least one"),
        ({"law": "poisson", "mean": -1}, "mean is -1.0"),
        ({"law": "negative_binomial", "mean": 1, "dispersion": 0}, "0 is Poisson"),
        ({"law": "outage", "probability": 1.5}, "in \\[0, 1\\]"),
        ({"law": "overrun", "factor": {"law": "normal", "mean": 1, "sd": 1}}, "without negative"),
        ({"law": "uniform", "low": 1, "high": 1}, "above low"),
        ({"mean": 1.0, "concentration": 40}, "in \\(0, 1\\)"),
        ({"mean": 0.9, "concentration": 0}, "above 0"),
        ({"mean": 0.9}, "concentration"),
        ([1], "number or an object"),
        (True, "number"),
    ],
)
def test_faulty_laws_are_refused_with_what_is_wrong(form, message):
    with pytest.raises(ValueError, match=message):
        law_from_json(form)


def test_a_law_of_another_program_has_no_json_form():
    with pytest.raises(TypeError, match="object has no JSON form"):
        law_to_json(object())


@given(st.floats(0.0, 300.0), st.lists(st.floats(1e-12, 1 - 1e-12), min_size=1, max_size=20))
def test_count_quantiles_are_the_least_with_enough_probability(mean, u):
    k = Poisson(mean).ppf(u)
    assert np.all(stats.poisson.cdf(k, mean) >= np.array(u) * (1 - 1e-12))
    assert np.all(stats.poisson.cdf(k - 1, mean) < np.array(u) * (1 + 1e-12))


def test_count_quantiles_refuse_what_has_none():
    with pytest.raises(ValueError, match=r"\[0, 1\)"):
        Poisson(1.0).ppf([0.5, 1.0])


def test_outages_happen_with_their_probability():
    assert Outage(0.25).ppf(U).mean() == 0.25
    assert Outage(0.0).ppf(U).max() == 0.0
    assert Outage(1.0).ppf(U).min() == 1.0


def test_overruns_multiply_the_work_of_each_offer_in_each_scenario():
    factor = Values((1.0, 2.0), (0.5, 0.5))
    work = WorkOverrun(factor).work(np.array([[1.0, 10.0], [3.0, 30.0]]), np.array([[0.2, 0.8], [0.8, 0.2]]))
    assert work.tolist() == [[[1.0, 10.0], [6.0, 60.0]], [[2.0, 20.0], [3.0, 30.0]]]


def test_samples_follow_the_law_and_the_seed():
    x = sample(Lognormal(10.0, 0.3), 5000, seed=1)
    assert stats.kstest(x, SMOOTH[2][1].cdf).pvalue > 1e-3
    assert np.array_equal(x, sample(Lognormal(10.0, 0.3), 5000, seed=1))
    assert sample(Normal(), (3, 2), np.random.default_rng(0)).shape == (3, 2)
    assert isinstance(Beta(0.5, 2.0), SmoothLaw)
    assert not isinstance(Poisson(1.0), SmoothLaw)
