"""Accounts of the recount: money to the unit, all else to one tolerance, and what commitments take."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import bondwork
from bondwork.plan.recount import Account


@pytest.mark.parametrize(
    ("bound", "terms", "decimals", "broken"),
    [
        (0.3, [0.1, 0.2], 18, False),
        (100.0, [100.0, 0.00011], 18, True),
        (1e18, [1e18], 18, False),
        (1e18, [1e18, 1e-18], 18, True),
        (1e18, [1e18, 1e-19], 18, False),
        (1e6, [1e6, 0.5], 0, False),
        (1e6, [1e6, 0.6], 0, True),
        (0.0, [0.0], 6, False),
        (1.0, [1.0, 5e-10], None, False),
        (1.0, [1.0, 2e-9], None, True),
        (0.3, [0.1, 0.2], None, False),
    ],
)
def test_a_limit_is_broken_by_more_than_it_may_be(
    bound: float, terms: list[float], decimals: int | None, broken: bool
):
    account = Account(bound, list(terms), decimals=decimals)
    assert (account.excess() > account.tolerance()) is broken
    one_less = Account(bound, terms[:-1], decimals=decimals)
    assert (one_less.excess(terms[-1]) > one_less.tolerance(terms[-1])) is broken


@pytest.mark.parametrize("decimals", [18, None])
def test_where_commitments_exceed_a_limit_nothing_new_is_nothing(decimals: int | None):
    account = Account(5.0, [], [3.0, 4.0], decimals=decimals)
    assert account.excess() <= account.tolerance()
    assert account.excess(1e-12) > account.tolerance(1e-12)


def test_terms_that_come_later_are_counted():
    account = Account(10.0, [4.0], decimals=2)
    assert account.excess() == -6.0
    account.terms.append(6.01)
    assert account.excess() == 0.01


def test_a_plan_that_posts_a_unit_too_much_is_refused():
    document: dict[str, Any] = {
        "format": "bondwork.round/1",
        "operators": [{"id": "op"}],
        "coprocessors": [{"id": "cp", "free_collateral": "2000000"}],
        "tasks": [{"id": name, "operator": "op", "reward": 5} for name in ("a", "b")],
        "offers": [
            {"task": "a", "coprocessor": "cp", "collateral": "2000000", "success_probability": 1},
            {"task": "b", "coprocessor": "cp", "collateral": "0.000001", "success_probability": 1},
        ],
    }
    roomy = copy.deepcopy(document)
    roomy["coprocessors"][0]["free_collateral"] = "2000000.000001"
    plan = bondwork.solve(bondwork.load(roomy), mip_rel_gap=0.0)
    assert plan.objective == 10.0
    tight = bondwork.load(document)
    assert bondwork.solve(tight, mip_rel_gap=0.0).objective == 5.0
    found = bondwork.verify(tight, plan)
    assert any("collateral of cp" in str(each) for each in found.violations)


@settings(max_examples=200, deadline=None)
@given(
    decimals=st.sampled_from([None, 0, 2, 18]),
    bound=st.sampled_from([0.0, 0.3, 1.0, 10.0, 1e18]),
    terms=st.lists(st.sampled_from([0.1, 0.2, 0.3, 1.0, 5.0, 1e-7, 3e17]), max_size=4),
    held=st.lists(st.sampled_from([0.1, 1.0, 4e17]), max_size=2),
    amount=st.sampled_from([1e-12, 1e-9, 0.1, 0.2, 0.3, 1.0, 1e17, 4e17]),
)
def test_doubles_say_no_more_than_what_is_exact(decimals, bound, terms, held, amount):
    account = Account(bound, terms, held, decimals=decimals)
    over, margin = account.excess(amount), account.tolerance(amount)
    assert account.exceeded_by(amount) == (over > margin, over > -margin)
