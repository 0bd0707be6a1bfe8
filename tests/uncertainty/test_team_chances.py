"""Chances of dependent teams: integrals against samples, closed forms and another quadrature."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING

import numpy as np
import pytest
from scipy.special import betainc, betaincc, ndtr, ndtri

import bondwork
from bondwork.plan.recount_factor import Work, resampled_chances, tied_chances
from bondwork.plan.recount_teams import TeamRecount
from bondwork.problem.teams import enumerate_teams, held_teams
from bondwork.uncertainty.common_factor import average_over_beta, resampled_success
from bondwork.uncertainty.crowded_teams import crowded_chances, crowded_past_chances
from bondwork.uncertainty.dependence import Dependence
from bondwork.uncertainty.history import OutcomeHistory
from bondwork.uncertainty.outcomes import OutcomeLaw
from bondwork.uncertainty.sampling import sample_outcomes
from bondwork.uncertainty.team_chances import team_chances
from hand_made import make_round, offer

if TYPE_CHECKING:
    from collections.abc import Sequence

SHARES = [1e-9, 0.05, 0.3, 0.9, 0.984, 0.986, 0.9999, 1 - 1e-11, 1.0]


def works(law: OutcomeLaw, team: Sequence[int]) -> list[Work]:
    return [
        Work(
            int(law.executor[i]),
            float(law.success_probability[i]),
            float(law.concentration[i]),
            float(law.outage_probability[law.executor[i]]),
        )
        for i in team
    ]


@pytest.mark.parametrize("common", SHARES)
def test_pairs_are_bivariate_normal(common: float):
    p = np.array([[0.5, 0.75], [0.95, 0.95], [0.95, 0.5], [0.999, 0.2], [1.0, 0.9], [0.0, 0.9]])
    law = OutcomeLaw.of(np.arange(12), p.ravel(), dependence=Dependence(common=common))
    pairs = np.arange(12).reshape(6, 2)
    both = law.dependence.joint_failure_probability(p[:, 0], p[:, 1], same_executor=False)
    found = team_chances(law, pairs, 1)
    np.testing.assert_allclose(found.success, 1.0 - both, rtol=0, atol=1e-11)
    np.testing.assert_allclose(found.blame, both[:, np.newaxis] * np.ones(2), rtol=0, atol=1e-11)
    all_of_them = team_chances(law, pairs, 2)
    np.testing.assert_allclose(all_of_them.success, p.sum(axis=1) - 1.0 + both, rtol=0, atol=1e-11)
    np.testing.assert_allclose(all_of_them.blame, 1.0 - p, rtol=0, atol=1e-11)


@pytest.mark.parametrize("common", SHARES)
@pytest.mark.parametrize("uncertain", [False, True])
def test_teams_agree_with_the_verifiers_own_sums(common: float, uncertain: bool):
    outage = [0.0, 0.05, 0.1, 0.0, 0.05]
    p = [0.95, 0.9, 0.85, 0.5, 0.95]
    nu = [math.inf, 40.0, 2.0, 1000.0, 0.5] if uncertain else math.inf
    law = OutcomeLaw.of(
        range(5), p, concentration=nu, outage_probability=outage, dependence=Dependence(common, 0.0)
    )
    for size in (2, 3) if uncertain else (2, 3, 4, 5):
        teams = np.array(list(itertools.combinations(range(5), size)))
        for quorum in range(1, size + 1):
            found = team_chances(law, teams, quorum)
            for row in range(0, len(teams), 8 if uncertain else 4):
                success, blame = tied_chances(works(law, teams[row].tolist()), quorum, common, 0.0)
                assert found.success[row] == pytest.approx(success, abs=2e-10)
                np.testing.assert_allclose(found.blame[row], blame, rtol=0, atol=2e-10)


@pytest.mark.parametrize("sigma", [0.0, 0.05, 0.5, 1.0])
@pytest.mark.parametrize(
    ("mean", "nu"), [(0.5, 2), (0.95, 40), (0.9, 0.5), (0.999, 1e5), (0.97, 1e6), (0.2, 0.01)]
)
def test_the_average_over_a_beta_law(mean: float, nu: float, sigma: float):
    a, b = mean * nu, (1.0 - mean) * nu
    shift = np.array([-3.0, -1.6448536, 0.0, 1.1])

    def above(x: float) -> float:
        return float(betaincc(a, b, ndtr(x)) if x < 0 else betainc(b, a, ndtr(-x)))

    found = average_over_beta(a, b, shift, sigma)
    for each, value in zip(shift.tolist(), found.tolist(), strict=True):
        exact = above(each)
        if sigma > 0.0:  # a fine midpoint rule
            e = np.linspace(-8.0, 8.0, 40_001)
            x = each + sigma * e
            weight = np.exp(-(e**2) / 2)
            values = np.where(x < 0, betaincc(a, b, ndtr(x)), betainc(b, a, ndtr(-x)))
            exact = float(weight @ values / weight.sum())
        assert value == pytest.approx(exact, abs=1e-10)


@pytest.mark.parametrize("sigma", [1e-5, 0.05, 0.5, 1.0])
@pytest.mark.parametrize(
    ("mean", "nu"), [(0.95, 40.0), (0.9, 0.5), (0.97, 1e6), (0.2, 0.01), (1 - 1e-9, 1e3), (0.9, 1e17)]
)
def test_the_verifiers_average_over_a_beta_law(mean: float, nu: float, sigma: float):
    shift = np.array([-3.0, -1.6448536, 0.0, 1.1])
    work = Work(0, mean * 0.9, nu, 0.1)
    common = 1.0 - sigma**2
    if common == 0.0:  # the mean is left
        assert work.given(np.zeros(1), 0.0) == pytest.approx(0.9 * mean, abs=1e-10)
        return
    if nu < 1e15:
        expected = average_over_beta(mean * nu, (1.0 - mean) * nu, shift, sigma)
    else:  # all but a number
        expected = ndtr((ndtri(mean) - shift) / sigma)
    found = work.given(shift / math.sqrt(common), common)
    np.testing.assert_allclose(found, 0.9 * expected, rtol=0, atol=1e-10)


def test_teams_are_what_samples_count():
    law = OutcomeLaw.of(
        range(3),
        [0.9, 0.8, 0.85],
        concentration=[np.inf, 6.0, 30.0],
        outage_probability=[0.05, 0.0, 0.1],
        dependence=Dependence(common=0.35, coprocessor=0.4),
    )
    failed = sample_outcomes(law, 1 << 18, seed=3, method="sobol").dense()
    for quorum in (1, 2, 3):
        found = team_chances(law, np.array([[0, 1, 2]]), quorum)
        short = (~failed).sum(axis=1) < quorum
        assert found.success[0] == pytest.approx(1.0 - short.mean(), abs=0.003)
        assert found.blame[0] == pytest.approx((short[:, None] & failed).mean(axis=0), abs=0.003)


@pytest.mark.parametrize(
    "dependence", [(0.0, 0.0), (0.0, 0.4), (0.3, 0.3), (0.4, 0.6), (0.0, 1.0), (1.0, 0.0), (0.999, 0.0)]
)
def test_several_pieces_at_one_executor(dependence: tuple[float, float]):
    law = OutcomeLaw.of(
        [0, 0, 1],
        [0.85, 0.75, 0.9],
        outage_probability=[0.1, 0.05],
        dependence=Dependence(*dependence),
    )
    failed = sample_outcomes(law, 1 << 17, seed=5, method="sobol").dense()
    for quorum in (1, 2, 3):
        found = crowded_chances(law, np.arange(3), quorum)
        success, blame = tied_chances(works(law, range(3)), quorum, *dependence)
        assert found.success[0] == pytest.approx(success, abs=1e-10)
        np.testing.assert_allclose(found.blame[0], blame, rtol=0, atol=1e-10)
        short = (~failed).sum(axis=1) < quorum
        assert success == pytest.approx(1.0 - short.mean(), abs=0.004)
        first = failed & np.array([True, False, True]) | failed & ~failed[:, [0]] & np.array(
            [False, True, False]
        )
        assert blame == pytest.approx((short[:, None] & first).mean(axis=0), abs=0.004)


def test_rounds_of_a_history_are_averaged_exactly():
    rates = np.array([[0.0, 0.1], [0.5, 0.3], [0.1, 0.0], [1.0, 0.2]])
    law = OutcomeLaw.of([0, 1, 0, 1], [0.9, 0.95, 0.3, 0.8], concentration=[np.inf, 20.0, np.inf, 4.0])
    given = resampled_success(law, rates)
    np.testing.assert_allclose(given.mean(axis=1), law.success_probability, atol=1e-12)
    for pair in ([0, 1], [2, 3]):
        failed = sample_outcomes(law, 1 << 18, seed=2, method="bootstrap", history=rates).dense()[:, pair]
        found = team_chances(law, np.array([pair]), 1, rates)
        success, blame, by_round = resampled_chances(works(law, pair), 1, rates)
        assert found.success[0] == pytest.approx(success, abs=1e-12)
        assert found.blame[0] == pytest.approx(blame, abs=1e-12)
        assert by_round.mean() == pytest.approx(success, abs=1e-14)
        assert success == pytest.approx(1.0 - failed.all(axis=1).mean(), abs=0.004)


def test_an_executor_that_has_several_is_to_blame_once_in_each_round_of_a_history():
    rates = np.array([[0.0, 0.1], [0.5, 0.3], [0.1, 0.0], [1.0, 0.2]])
    law = OutcomeLaw.of([0, 1, 0], [0.9, 0.95, 0.3])
    given = resampled_success(law, rates)
    failing = [
        (np.prod([p if hit else 1.0 - p for p, hit in zip(given, hits, strict=True)], axis=0).mean(), hits)
        for hits in itertools.product((False, True), repeat=3)
    ]
    for quorum in (1, 2, 3):
        short = [(chance, hits) for chance, hits in failing if sum(hits) < quorum]
        any_of = [sum(c for c, hits in short if not all(hits[k] for k in own)) for own in ((0, 2), (1,))]
        found = crowded_past_chances(law, np.arange(3), quorum, rates)
        success, blame, _ = resampled_chances(works(law, range(3)), quorum, rates)
        for each, shares in ((found.success[0], found.blame[0]), (success, blame)):
            assert each == pytest.approx(1.0 - sum(chance for chance, _ in short), abs=1e-12)
            assert [shares[0] + shares[2], shares[1]] == pytest.approx(any_of, abs=1e-12)


def test_a_hundred_thousand_teams_share_their_nodes():
    triples = np.array(list(itertools.combinations(range(20), 3)))
    teams = np.concatenate([triples + 20 * task for task in range(88)])
    p = 0.8 + 0.01 * (np.arange(20 * 88) * 7 % 19)
    law = OutcomeLaw.of(np.tile(np.arange(20), 88), p, dependence=Dependence(common=0.3))
    found = team_chances(law, teams, 1)
    for row in (0, 40_000, 100_319):
        success, _ = tied_chances(works(law, teams[row].tolist()), 1, 0.3, 0.0)
        assert found.success[row] == pytest.approx(success, abs=1e-10)


def shared_commitments(**uncertainty: object) -> bondwork.Instance:
    held = {"task": "t", "operator": "op", "success_probability": 0.9}
    return bondwork.load(
        make_round(
            coprocessors=[{"id": "a", "outage_probability": 0.05}, {"id": "b"}],
            tasks=[
                {"id": "t", "operator": "op", "reward": 5, "slashing": 100, "replicas": 3},
                {"id": "new", "operator": "op", "reward": 5, "slashing": 10},
            ],
            offers=[offer("new", "b", 1, success_probability=0.9)],
            commitments=[held | {"id": f"k-{n}", "executor": who} for n, who in enumerate("aab")],
            risk=[{"measure": "expected", "budget": 6, "of": "network"}],
            uncertainty=uncertainty,
        )
    )


def test_commitments_of_one_task_share_what_they_share():
    """Two of three are at one coprocessor: it is out, and then only the third counts."""
    (failed,) = 1.0 - held_teams(shared_commitments()).success
    alone = (0.05 + 0.95 * (1 - 0.9 / 0.95) ** 2) * 0.1
    assert failed == pytest.approx(alone, abs=1e-12)
    instance = shared_commitments(dependence={"common": 0.5, "coprocessor": 0.3}, seed=3)
    (tied,) = 1.0 - held_teams(instance).success
    assert tied > 3 * alone
    plan = bondwork.solve(instance)
    assert plan.verified
    assert plan.risk[0].in_sample == pytest.approx(100 * tied + 10 * 0.1 * len(plan.assignments), abs=1e-9)
    recount = TeamRecount(instance, 0)
    assert recount.held_chances((0, 1, 2))[0] == pytest.approx(1.0 - tied, abs=1e-10)


def test_a_round_whose_teams_hang_together_keeps_the_true_expected_loss():
    """What several thousand scenarios would choose by luck is no longer taken for the truth."""
    document = make_round(
        coprocessors=[{"id": f"c{i}"} for i in range(4)],
        tasks=[
            {"id": f"t{k}", "operator": "op", "reward": 10, "slashing": 30 + 10 * k, "replicas": 3}
            for k in range(3)
        ],
        offers=[
            offer(f"t{k}", f"c{i}", 0.5 + 0.1 * i, success_probability=0.8 + 0.03 * i)
            for k in range(3)
            for i in range(4)
        ],
        risk=[{"measure": "expected", "budget": 1.5, "of": "network"}],
        uncertainty={"dependence": {"common": 0.3}, "scenarios": 16},
    )
    instance = bondwork.load(document)
    plan = bondwork.solve(instance)
    chosen = [instance.offers.ids.index(each.offer) for each in plan.assignments]
    law = OutcomeLaw.of(
        instance.offers.coprocessor[chosen],
        instance.offers.success_probability[chosen],
        executors=4,
        dependence=Dependence(common=0.3),
    )
    failed = sample_outcomes(law, 1 << 17, seed=9).dense()
    task = instance.offers.task[chosen]
    loss = sum(
        slashing * failed[:, task == k].all(axis=1)
        for k, slashing in enumerate((30.0, 40.0, 50.0))
        if np.any(task == k)
    )
    (limit,) = plan.risk
    assert limit.holds
    assert limit.in_sample <= 1.5
    assert limit.standard_error == 0.0
    assert np.mean(loss) == pytest.approx(limit.in_sample, abs=5 * np.std(loss) / np.sqrt(len(failed)))


def test_a_history_beside_replicas_needs_no_scenarios():
    document = make_round(
        coprocessors=[{"id": "a"}, {"id": "b"}],
        tasks=[{"id": "t", "operator": "op", "reward": 10, "slashing": 40, "replicas": 2}],
        offers=[offer("t", c, 1, success_probability=0.8) for c in "ab"],
    )
    history = OutcomeHistory.from_rows(
        [(str(r), c, 10, f) for r, f in enumerate((0, 0, 8, 1)) for c in ("a", "b")]
    )
    plan = bondwork.solve(bondwork.load(document), history=history)
    assert plan.verified
    rate = np.array([0.0, 0.0, 0.8, 0.1])
    f, mean = 0.2, rate.mean()
    given = f * rate / mean if f <= mean else 1 - (1 - f) * (1 - rate) / (1 - mean)
    assert sum(a.expected_slashing for a in plan.assignments) == pytest.approx(40 * np.mean(given**2))
    teams = enumerate_teams(bondwork.with_history(bondwork.load(document), history))
    assert teams.success[-1] == pytest.approx(1 - np.mean(given**2))
