"""What plans earn on drawn outcomes, against the closed form and against one scenario at a time."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import bondwork
from bondwork.comparison.realised import find_offers, out_of_sample, realise
from bondwork.uncertainty.outcomes import OutcomeSample
from hand_made import make_round, offer


def two_tasks(paid: str) -> bondwork.Instance:
    return bondwork.load(
        make_round(
            coprocessors=[{"id": "cp"}, {"id": "dp"}],
            tasks=[
                {"id": "t", "operator": "op", "reward": 10, "slashing": 6},
                {"id": "u", "operator": "op", "reward": 4, "slashing": 2},
                {"id": "left", "operator": "op", "reward": 1, "unassigned_cost": 3},
            ],
            offers=[
                offer("t", "cp", 2, collateral=8, success_probability=0.9),
                offer("u", "dp", 1, collateral=4, success_probability=0.5),
            ],
            terms={
                "bid_paid": paid,
                "collateral_split": {"burned": 0.5, "operator": 0.5, "rescuer": 0, "treasury": 0},
                "collateral_rate": 2,
            },
        )
    )


@pytest.mark.parametrize("paid", ["always", "on_success"])
def test_scenario_by_scenario(paid: str):
    outcomes = OutcomeSample.from_dense([[False, False], [True, False], [False, True], [True, True]])
    net, lost = realise(two_tasks(paid), np.array([0, 1]), np.array([2.0, 1.0]), outcomes)
    good = {"t": 10.0 - 2.0, "u": 4.0 - 1.0}
    unpaid = paid == "on_success"
    # slashed, half of the collateral back at twice its number
    bad = {"t": -6.0 + 8.0 - (0.0 if unpaid else 2.0), "u": -2.0 + 4.0 - (0.0 if unpaid else 1.0)}
    expected = [good["t"] + good["u"], bad["t"] + good["u"], good["t"] + bad["u"], bad["t"] + bad["u"]]
    assert net.tolist() == [each - 3.0 for each in expected]
    assert lost.tolist() == [0.0, 6.0, 2.0, 8.0]


@given(st.lists(st.lists(st.booleans(), min_size=3, max_size=3), min_size=1, max_size=20), st.integers(1, 3))
def test_replicas_fail_together_or_not_at_all(failed: list[list[bool]], quorum: int):
    instance = bondwork.load(
        make_round(
            coprocessors=[{"id": name} for name in "abc"],
            tasks=[
                {"id": "t", "operator": "op", "reward": 10, "slashing": 6, "replicas": 3, "quorum": quorum}
            ],
            offers=[offer("t", name, 1) for name in "abc"],
        )
    )
    net, lost = realise(instance, np.arange(3), np.ones(3), OutcomeSample.from_dense(failed))
    for scenario, each in enumerate(failed):
        done = 3 - sum(each) >= quorum
        assert net[scenario] == pytest.approx((10.0 if done else -6.0) - 3.0)
        assert lost[scenario] == (0.0 if done else 6.0)


def test_fresh_scenarios_agree_with_the_expectation():
    instance = two_tasks("always")
    plan = bondwork.solve(instance, strategy="extensive", mip_rel_gap=0.0)
    assert find_offers(instance, plan).tolist() == [0, 1]
    measured = out_of_sample(instance, plan, scenarios=20_000, level=0.9, seed=3)
    assert measured is not None
    assert measured.mean_error is not None
    assert abs(measured.mean - plan.objective) < 4.0 * measured.mean_error  # 4 standard errors: 1 in 16,000
    # the worst tenth: t fails in a tenth of all, u in half of those
    assert measured.cvar == pytest.approx(6.0 + 2.0 * 0.5, abs=0.1)
    assert np.mean(measured.batches) == pytest.approx(measured.mean)
    again = out_of_sample(instance, plan, scenarios=20_000, level=0.9, seed=3)
    assert again == measured


def test_nothing_to_measure_without_a_plan():
    round_ = make_round(tasks=[{"id": "t", "operator": "op", "required": True}])
    instance = bondwork.load(round_)
    plan = bondwork.solve(instance, strategy="extensive")
    assert out_of_sample(instance, plan, scenarios=10, level=0.9, seed=0) is None
