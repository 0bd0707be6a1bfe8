import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import multivariate_normal

from bondwork.uncertainty.dependence import Dependence, bivariate_normal, given_no_outage


@given(st.floats(-6, 6), st.floats(-6, 6), st.floats(0, 0.999))
def test_bivariate_normal_agrees_with_scipy(h, k, rho):
    expected = multivariate_normal([0, 0], [[1, rho], [rho, 1]]).cdf([h, k])
    assert float(bivariate_normal(h, k, rho)) == pytest.approx(expected, abs=1e-7)


@pytest.mark.parametrize(
    ("h", "k", "rho", "expected"),
    [
        (0.0, 0.0, 0.0, 0.25),
        (0.0, 0.0, 0.5, 1 / 3),
        (0.0, 1.0, 0.0, 0.5 * 0.8413447460685429),
        (-np.inf, 1.0, 0.3, 0.0),
        (np.inf, 1.0, 0.3, 0.8413447460685429),
        (1.0, -1.0, 1.0, 0.15865525393145707),
    ],
)
def test_bivariate_normal_at_the_edges(h, k, rho, expected):
    assert float(bivariate_normal(h, k, rho)) == pytest.approx(expected, abs=1e-15)


def test_joint_failures_without_dependence_are_products():
    joint = Dependence().joint_failure_probability(0.9, 0.8, same_executor=True)
    assert float(joint) == pytest.approx(0.1 * 0.2, rel=1e-12)
    apart = Dependence(0.0, 0.5).joint_failure_probability(0.8, 0.7, same_executor=False, outage=(0.1, 0.05))
    assert float(apart) == pytest.approx(0.2 * 0.3, rel=1e-12)


def test_full_dependence_makes_the_rarer_failure_a_part_of_the_other():
    joint = Dependence(0.0, 1.0).joint_failure_probability(0.9, 0.8, same_executor=True)
    assert float(joint) == pytest.approx(0.1, rel=1e-12)
    assert float(Dependence(1.0).failure_correlation(0.9, 0.9, same_executor=False)) == pytest.approx(1.0)


def test_an_outage_correlates_failures_that_are_otherwise_independent():
    outage = (0.1, 0.1)
    joint = Dependence().joint_failure_probability(0.9, 0.9, same_executor=True, outage=outage)
    assert float(joint) == pytest.approx(0.1, rel=1e-12)
    with pytest.raises(ValueError, match="same number twice"):
        Dependence().joint_failure_probability(0.9, 0.9, same_executor=True, outage=(0.1, 0.0))


@given(
    st.floats(0.05, 0.95), st.floats(0.05, 0.95), st.floats(0, 0.5), st.floats(0, 0.5), st.floats(0.01, 0.4)
)
def test_more_dependence_never_makes_joint_failures_rarer(p, q, common, own, more):
    weak, strong = Dependence(common, own), Dependence(common, min(own + more, 1 - common))
    for same in (True, False):
        low = float(weak.joint_failure_probability(p, q, same_executor=same))
        high = float(strong.joint_failure_probability(p, q, same_executor=same))
        assert low <= high + 1e-12
        assert (1 - p) * (1 - q) - 1e-12 <= low <= min(1 - p, 1 - q) + 1e-12


def test_correlation_of_what_is_certain_is_not_defined():
    assert np.isnan(Dependence(0.3).failure_correlation([1.0, 0.9], 0.9, same_executor=True)).tolist() == [
        True,
        False,
    ]


def test_loadings_outside_the_simplex_are_refused():
    with pytest.raises(ValueError, match="at most 1"):
        Dependence(0.6, 0.5)
    with pytest.raises(ValueError, match=r"common is -0\.1"):
        Dependence(-0.1)
    assert Dependence(0.7, 0.3).idiosyncratic == 0.0


def test_success_given_no_outage():
    assert given_no_outage([0.9, 0.0], [0.1, 1.0]).tolist() == [1.0, 0.0]
    with pytest.raises(ValueError, match=r"0\.95 with outage probability 0\.1 at position 1"):
        given_no_outage([0.9, 0.95], 0.1)
    with pytest.raises(ValueError, match="expected 0 <= p"):
        given_no_outage(float("nan"), 0.1)
