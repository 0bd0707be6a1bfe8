"""What offers are worth and which can be chosen, which limits there are, and what a round holds: by hand."""

from __future__ import annotations

import numpy as np
import pytest

import bondwork
from bondwork.problem import values
from bondwork.problem.limits import LimitKind, enumerate_limits
from bondwork.problem.summary import summarise
from mutations import full_round


@pytest.fixture(scope="module")
def instance():
    return bondwork.load(full_round())


def plain_round(**changes: object) -> dict:
    """Return a round in which every limit of a one-stage model binds somebody."""
    return {
        "format": "bondwork.round/1",
        "now": 100,
        "operators": [{"id": "op-1", "stake": 50, "capacity": {"compute": 5}}, {"id": "op-2"}],
        "coprocessors": [
            {"id": "cp-1", "capacity": {"compute": 10, "disk": 7}, "free_collateral": 30},
            {"id": "cp-2", "serial": True, "free_at": 150},
            {"id": "cp-3", "serial": True, "free_at": 20},
        ],
        "tasks": [
            {"id": "a", "operator": "op-1", "reward": 10, "slashing": 20, "deadline": 200, "required": True},
            {"id": "b", "operator": "op-2", "reward": 4, "slashing": 6, "deadline": 149,
             "minimum_collateral": 3},
            {"id": "c", "operator": "op-1", "reward": 9, "slashing": 10},
            {"id": "d", "operator": "op-1", "reward": 9, "slashing": 8},
        ],
        "offers": [
            {"task": task, "coprocessor": name, "bid": 1, "collateral": 3, "success_probability": 0.5}
            for task in "abcd"
            for name in ("cp-1", "cp-2", "cp-3")
        ],
        "self_execution": [{"task": "b", "operator": "op-2", "cost": 1, "success_probability": 0.25}],
        "commitments": [
            {"id": "k-1", "task": "c", "operator": "op-1", "executor": "cp-1", "success_probability": 0.75,
             "work": {"compute": 4}, "collateral": 5},
            {"id": "k-2", "task": "d", "operator": "op-1", "executor": "op-1", "success_probability": 0.5,
             "work": {"compute": 2}},
        ],
        "risk": [
            {"measure": "expected", "budget": 12, "of": "network"},
            {"measure": "expected", "budget": 11, "of": "operator"},
            {"measure": "expected", "budget": 10, "of": {"coprocessor": "cp-1"}},
            {"measure": "expected", "budget": 9, "of": {"operator": "op-2"}},
        ],
    } | changes  # fmt: skip


def test_worth(instance):
    # r*p - p*b - s*(1-p) + operator's share * rate * l*(1-p); self-execution pays its cost in any case
    assert values.net_reward(instance) == pytest.approx(
        [
            12 * 0.97 - 0.97 * 5 - 30 * 0.03 + 0.125 * 25 * 0.03,
            12 * 0.9 - 0.9 * 4 - 30 * 0.1 + 0.125 * 20 * 0.1,
            5 * 0.95 - 0.95 * 1 - 8 * 0.05 + 0.125 * 5 * 0.05,
            4 * 0.95 - 0.95 * 1 - 8 * 0.05 + 0.125 * 5 * 0.05,
            4 * 0.5 - 8 * 0.5,
            5 * 0.999 - 0.6 - 8 * 0.001,
        ],
        rel=1e-12,
    )
    assert values.expected_slashing(instance) == pytest.approx([0.9, 3.0, 0.4, 0.4, 4.0, 0.008])
    assert values.expected_benefit(instance) == pytest.approx([10.74, 7.8, 4.35, 3.4, -2.0, 4.987])


@pytest.mark.parametrize(
    ("terms", "worth"),
    [
        ({}, 10 * 0.5 - 1 - 20 * 0.5),
        ({"bid_paid": "on_success"}, 10 * 0.5 - 0.5 - 20 * 0.5),
        ({"collateral_split": {"operator": 1}}, 10 * 0.5 - 1 - 20 * 0.5 + 3 * 0.5),
        (
            {"collateral_split": {"operator": 0.5, "burned": 0.5}, "collateral_rate": 4},
            -6 + 0.5 * 4 * 3 * 0.5,
        ),
        ({"collateral_split": {"rescuer": 1}, "collateral_rate": 4}, -6),
    ],
)
def test_terms(terms, worth):
    assert values.net_reward(bondwork.load(plain_round(terms=terms)))[0] == worth


def test_what_can_be_chosen():
    instance = bondwork.load(plain_round())
    # offers: three for each of a, b, c, d, then b's self-execution; c and d are held already
    assert values.is_committed(instance).tolist() == [False, False, True, True]
    assert np.flatnonzero(values.is_too_late(instance)).tolist() == [4]  # b by cp-2, free at 150, due at 149
    assert np.flatnonzero(values.is_eligible(instance)).tolist() == [0, 1, 2, 3, 5, 12]
    document = plain_round()
    document["offers"][3]["collateral"] = 2.999999
    document["offers"][0]["stage"] = 2
    thin = bondwork.load(document)
    assert np.flatnonzero(values.is_below_minimum_collateral(thin)).tolist() == [3]
    assert np.flatnonzero(values.is_eligible(thin)).tolist() == [1, 2, 5, 12]


def test_a_quorum_needs_executors():
    document = plain_round()
    document["tasks"][0] |= {"replicas": 4, "quorum": 3}
    document["tasks"][1] |= {"replicas": 3, "quorum": 3}  # cp-2 is too late: two are left
    instance = bondwork.load(document)
    assert np.flatnonzero(values.is_eligible(instance)).tolist() == [0, 1, 2, 3, 5, 12]
    document["tasks"][1]["minimum_collateral"] = 100  # only the operator itself is left
    instance = bondwork.load(document)
    assert np.flatnonzero(values.is_eligible(instance)).tolist() == [0, 1, 2]


def test_limits_their_labels_and_what_commitments_leave_of_them():
    limits = enumerate_limits(bondwork.load(plain_round()))
    rows = [(limits.label(row), limits.lower[row], limits.upper[row]) for row in range(len(limits))]
    none = -np.inf
    expected = [
        ("task a", 1.0, 1.0),
        ("task b", none, 1.0),
        ("capacity compute of cp-1", none, 6.0),
        ("capacity disk of cp-1", none, 7.0),
        ("capacity compute of op-1", none, 3.0),
        ("collateral of cp-1", none, 30.0),
        ("stake of op-1", none, 50.0 - 18.0),
        ("deadline 200 of cp-2", none, 50.0),
        ("deadline 149 of cp-3", none, 49.0),
        ("deadline 200 of cp-3", none, 100.0),
        ("expected loss of network", none, 12.0 - 6.5),
        ("expected loss of op-1", none, 11.0 - 6.5),
        ("expected loss of op-2", none, 11.0),
        ("expected loss of cp-1", none, 10.0 - 2.5),
        ("expected loss of op-2", none, 9.0),
    ]
    assert [row[1:] for row in rows] == [row[1:] for row in expected]
    for (label, *_), (name, *_) in zip(rows, expected, strict=True):
        assert label.startswith(name)
    assert limits.of_kind(LimitKind.DEADLINE).tolist() == [7, 8, 9]
    assert not limits.upper.flags.writeable


def test_a_round_of_nothing_has_no_limits():
    assert len(enumerate_limits(bondwork.load({"format": "bondwork.round/1", "tasks": []}))) == 0


def test_summary():
    document = plain_round(name="by hand", currency="ETH")
    instance = bondwork.load(document)
    summary = summarise(instance)
    assert (summary["name"], summary["currency"], summary["sha256"]) == ("by hand", "ETH", instance.sha256)
    assert summary["counts"] == {
        "operators": 2,
        "coprocessors": 3,
        "tasks": 4,
        "required_tasks": 1,
        "claims": 4,
        "offers": 13,
        "self_executions": 1,
        "eligible_offers": 6,
        "offers_below_minimum_collateral": 0,
        "offers_too_late": 1,
        "eligible_offers_worth_it": 0,
        "commitments": 2,
        "resources": 2,
        "limits": 15,
        "limits_that_commitments_exceed": 0,
        "risk_limits": 4,
        "periods": 0,
    }
    assert summary["refused"] == []


def test_summary_tells_what_a_solve_would_refuse(instance):
    refused = summarise(instance)["refused"]
    assert any("later periods" in reason for reason in refused)
    with pytest.raises(bondwork.Refusal) as caught:
        bondwork.solve(instance)
    assert len(caught.value.reasons) == len(refused)
