import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import betaincinv
from scipy.stats import ks_2samp, norm

from bondwork.uncertainty import sampling
from bondwork.uncertainty.dependence import Dependence, given_no_outage
from bondwork.uncertainty.outcomes import OutcomeLaw
from bondwork.uncertainty.sampling import outcome_law, sample_outcomes, sample_round

METHODS = ["monte_carlo", "antithetic", "latin_hypercube", "sobol"]
S = 100_000


def make_law(*, concentration=np.inf, dependence=None, outage=(0.1, 0.0, 0.02)):
    executor = np.array([0, 0, 0, 1, 1, 1, 2, 2])
    p = np.array([0.9, 0.7, 0.2, 0.999, 0.95, 0.5, 0.98, 0.9])
    return OutcomeLaw.of(
        executor,
        p,
        concentration=concentration,
        outage_probability=outage,
        dependence=dependence or Dependence(0.2, 0.4),
    )


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("concentration", [np.inf, 25.0])
def test_marginals_are_exact(method, concentration):
    law = make_law(concentration=concentration)
    share = sample_outcomes(law, S, seed=3, method=method).failure_share()
    f = 1.0 - law.success_probability
    # Every method has at most the variance of Monte Carlo here (monotone in each factor); 4.5 standard
    # errors.
    assert np.all(np.abs(share - f) <= 4.5 * np.sqrt(f * (1 - f) / S))


def test_joint_failures_agree_with_the_bivariate_normal():
    law = make_law()
    table = sample_outcomes(law, S, seed=1, method="monte_carlo").dense()
    for i in range(len(law)):
        for j in range(i):
            e, d = law.executor[i], law.executor[j]
            outage = (law.outage_probability[e], law.outage_probability[d])
            joint = float(
                law.dependence.joint_failure_probability(
                    law.success_probability[i],
                    law.success_probability[j],
                    same_executor=e == d,
                    outage=outage,
                )
            )
            error = np.sqrt(joint * (1 - joint) / S)
            assert abs(np.mean(table[:, i] & table[:, j]) - joint) < 4.5 * error, (i, j)


def test_the_loss_has_the_law_of_a_direct_simulation():
    law = make_law()
    slashing = np.array([5.0, 1.0, 2.0, 30.0, 8.0, 1.5, 11.0, 3.0])
    loss = sample_outcomes(law, S, seed=2, method="monte_carlo").loss(np.ones(8), slashing)
    rng = np.random.default_rng(7)
    z = (
        np.sqrt(0.2) * rng.standard_normal((S, 1))
        + np.sqrt(0.4) * rng.standard_normal((S, 3))[:, law.executor]
        + np.sqrt(0.4) * rng.standard_normal((S, 8))
    )
    out = rng.random((S, 3)) < law.outage_probability
    failed = norm.cdf(z) > given_no_outage(law.success_probability, law.outage_probability[law.executor])
    direct = (failed | out[:, law.executor]) @ slashing
    assert loss.mean() == pytest.approx(direct.mean(), abs=4.5 * np.sqrt(2 * direct.var() / S))
    assert ks_2samp(loss, direct).pvalue > 1e-3


@pytest.mark.parametrize("method", METHODS)
def test_an_outage_fails_everything_that_an_executor_holds(method):
    law = OutcomeLaw.of(
        [0, 0, 1], [0.9, 0.9, 0.75], outage_probability=[0.1, 0.25], dependence=Dependence(0.1, 0.1)
    )
    table = sample_outcomes(law, 4096, seed=4, method=method).dense()
    # p = 1 - outage: nothing but outages fails.
    assert np.array_equal(table[:, 0], table[:, 1])
    tolerance = 1e-3 if method in ("sobol", "latin_hypercube") else 4.5 * np.sqrt(0.25 * 0.75 / 4096)
    assert table.mean(axis=0) == pytest.approx([0.1, 0.1, 0.25], abs=tolerance)


def test_one_uniform_drives_all_uncertain_probabilities_of_an_executor():
    law = OutcomeLaw.of([0, 0, 1], [0.8, 0.6, 0.8], concentration=[3.0, 5.0, 3.0])
    table = sample_outcomes(law, S, seed=5, method="monte_carlo").dense()

    def failure(u, p, nu):
        return 1.0 - betaincinv(p * nu, (1 - p) * nu, u)

    same = quad(lambda u: failure(u, 0.8, 3.0) * failure(u, 0.6, 5.0), 0, 1)[0]
    assert same > 0.2 * 0.4 + 0.02
    for i, j, joint in ((0, 1, same), (0, 2, 0.2 * 0.2), (1, 2, 0.4 * 0.2)):
        assert np.mean(table[:, i] & table[:, j]) == pytest.approx(joint, abs=4.5 * np.sqrt(joint / S))


def test_uncertainty_of_p_with_an_outage_keeps_the_mean():
    law = OutcomeLaw.of([0, 0], [0.88, 0.9], concentration=10.0, outage_probability=[0.1])
    share = sample_outcomes(law, S, seed=5).failure_share()
    assert share == pytest.approx([0.12, 0.1], abs=4.5 * np.sqrt(0.1 / S))


@pytest.mark.parametrize("method", [*METHODS, "bootstrap"])
@pytest.mark.parametrize("concentration", [np.inf, 25.0])
def test_the_same_seed_gives_the_same_sample_on_any_number_of_threads(method, concentration, monkeypatch):
    # Small pieces, so that there are several for each executor.
    monkeypatch.setattr(sampling, "_CELLS", 2000)
    law = make_law(concentration=np.where(np.arange(8) % 3, concentration, np.inf))
    history = np.random.default_rng(0).random((9, 3)) if method == "bootstrap" else None
    samples = [
        sample_outcomes(law, 1000, seed=seed, method=method, threads=threads, history=history).sha256
        for seed, threads in ((1, 1), (1, 2), (1, 5), (2, 1))
    ]
    assert samples[0] == samples[1] == samples[2] != samples[3]


@pytest.mark.parametrize("concentration", [np.inf, 25.0])
def test_offers_of_one_executor_that_are_drawn_apart_have_their_own_random_numbers(
    concentration, monkeypatch
):
    monkeypatch.setattr(sampling, "_CELLS", 1)
    law = OutcomeLaw.of(
        np.zeros(5), 0.8, concentration=[np.inf, np.inf, np.inf, concentration, concentration]
    )
    table = sample_outcomes(law, S, seed=9, method="monte_carlo").dense()
    for i in range(4):
        for j in range(i):
            # An uncertain p is independent of a certain one; two uncertain ones are tested elsewhere.
            assert np.mean(table[:, i] & table[:, j]) == pytest.approx(0.04, abs=4.5 * np.sqrt(0.04 / S))


def expected_loss_errors(method, law, slashing, sizes, replications):
    """Root mean square error of the sample mean of the loss, for each number of scenarios."""
    true = float((1.0 - law.success_probability) @ slashing)
    errors = [
        [
            sample_outcomes(law, n, seed=1000 * k + 1, method=method).failure_share() @ slashing - true
            for k in range(replications)
        ]
        for n in sizes
    ]
    return np.sqrt(np.mean(np.square(errors), axis=1))


def test_the_error_of_sobol_falls_faster_than_that_of_monte_carlo():
    # All dependence is in the factors, so that no plain random numbers are left to set the pace.
    law = OutcomeLaw.of(
        np.repeat(np.arange(4), 5),
        np.linspace(0.7, 0.97, 20),
        outage_probability=[0.02, 0.0, 0.01, 0.0],
        dependence=Dependence(0.4, 0.6),
    )
    slashing = np.linspace(1.0, 3.0, 20)
    sizes = 2 ** np.arange(6, 14)
    slope = {}
    for method in ("monte_carlo", "sobol"):
        error = expected_loss_errors(method, law, slashing, sizes, 20)
        slope[method] = np.polyfit(np.log(sizes), np.log(error), 1)[0]
    assert -0.6 < slope["monte_carlo"] < -0.4
    assert slope["sobol"] < -0.65


@pytest.mark.parametrize("method", ["antithetic", "latin_hypercube", "sobol"])
def test_variance_reduction_where_factors_drive_the_loss_of_many_offers(method):
    law = OutcomeLaw.of(np.arange(500) % 5, 0.9, dependence=Dependence(0.3, 0.2))
    slashing = np.ones(500)
    plain = expected_loss_errors("monte_carlo", law, slashing, [512], 30)[0]
    better = expected_loss_errors(method, law, slashing, [512], 30)[0]
    assert better < (0.9 if method == "antithetic" else 0.5) * plain


def test_bootstrap_keeps_marginals_and_the_dependence_of_the_history():
    rates = np.array([[0.0, 0.0], [0.0, 0.1], [0.5, 0.9], [0.1, 0.0]])
    law = OutcomeLaw.of([0, 0, 1, 1], [0.95, 0.6, 0.9, 0.5], concentration=[np.inf, np.inf, np.inf, 6.0])
    sample = sample_outcomes(law, S, seed=8, method="bootstrap", history=rates)
    f = 1.0 - law.success_probability
    # The rounds themselves are drawn: 4.5 standard errors of a Bernoulli mean bound that as well.
    assert np.all(np.abs(sample.failure_share() - f) < 4.5 * np.sqrt(f * (1 - f) / S))
    q0 = 0.05 * rates[:, 0] / 0.15
    q2 = 0.1 * rates[:, 1] / 0.25
    table = sample.dense()
    joint = float(np.mean(q0 * q2))
    assert joint > 2 * 0.05 * 0.1
    assert np.mean(table[:, 0] & table[:, 2]) == pytest.approx(joint, abs=4.5 * np.sqrt(joint / S))


def test_faulty_arguments_are_refused():
    law = make_law()
    with pytest.raises(ValueError, match="at least 1"):
        sample_outcomes(law, 0, seed=0)
    with pytest.raises(ValueError, match="needs a history"):
        sample_outcomes(law, 10, seed=0, method="bootstrap")
    with pytest.raises(ValueError, match="needs a history"):
        sample_outcomes(law, 10, seed=0, history=np.zeros((3, 3)))
    with pytest.raises(ValueError, match="\\(rounds, 3 executors\\)"):
        sample_outcomes(law, 10, seed=0, method="bootstrap", history=np.zeros((3, 2)))
    with pytest.raises(ValueError, match="outside \\[0, 1\\]"):
        sample_outcomes(law, 10, seed=0, method="bootstrap", history=np.full((3, 3), 1.5))
    with pytest.raises(ValueError, match="expected one of"):
        sample_outcomes(law, 10, seed=0, method="halton")


def test_nothing_to_sample_is_a_sample_too():
    law = OutcomeLaw.of(np.zeros(0), np.zeros(0), executors=2)
    sample = sample_outcomes(law, 8, seed=0)
    assert (sample.scenarios, sample.offers) == (8, 0)
    assert sample.loss(np.zeros(0), np.zeros(0)).tolist() == [0.0] * 8


def test_certain_means_are_numbers_whatever_their_concentration():
    law = OutcomeLaw.of([0, 0, 0], [0.9, 0.0, 0.5], concentration=4.0, outage_probability=[0.1])
    table = sample_outcomes(law, 4096, seed=0).dense()
    assert table[:, 1].all()
    assert table[:, 0].mean() == pytest.approx(0.1, abs=1e-3)


def test_a_round_is_sampled_with_its_commitments_in_the_same_scenarios(round_instance):
    law = outcome_law(round_instance)
    offers, commitments = len(round_instance.offers), len(round_instance.commitments)
    assert len(law) == offers + commitments
    sample = sample_round(round_instance, scenarios=8192, seed=3)
    assert (sample.offers.offers, sample.commitments.offers) == (offers, commitments)
    assert sample.offers.failure_share() == pytest.approx(
        1.0 - round_instance.offers.success_probability, abs=0.02
    )
    # The commitment and the offer of one coprocessor share its outage of 0.1 and its factor.
    both = sample.offers.dense()[:, 0] & sample.commitments.dense()[:, 0]
    joint = law.dependence.joint_failure_probability(
        law.success_probability[0], law.success_probability[offers], same_executor=True, outage=(0.1, 0.1)
    )
    assert both.mean() == pytest.approx(float(joint), abs=4.5 * np.sqrt(float(joint) / 8192))


def test_a_round_tells_what_is_not_told_and_draws_chosen_offers_alone(round_instance):
    sample = sample_round(round_instance)
    assert sample.offers.scenarios == round_instance.uncertainty.scenarios
    chosen = sample_round(round_instance, offers=[2, 0])
    assert chosen.offers.offers == 2
    share = 1.0 - round_instance.offers.success_probability[[2, 0]]
    assert chosen.offers.failure_share() == pytest.approx(share, abs=0.05)
    assert sample_round(round_instance).offers.sha256 == sample.offers.sha256


def test_executors_of_a_round_are_coprocessors_then_operators(round_instance):
    law = outcome_law(round_instance)
    assert law.executors == len(round_instance.coprocessors) + len(round_instance.operators)
    own = round_instance.offers.is_self
    first = len(round_instance.coprocessors)
    assert np.array_equal(law.executor[: len(own)][own], first + round_instance.offers.operator[own])
    assert law.outage_probability[first:].tolist() == [0.0] * len(round_instance.operators)
