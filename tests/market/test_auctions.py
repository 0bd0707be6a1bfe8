"""Auctions: prices by hand, limits kept, ties by seed, and never better than the optimum."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

import bondwork
from hand_made import make_round, market, offer
from rounds_strategy import rounds

#: Shrinking a round that takes two solves an example is not worth its minutes.
NO_SHRINKING = [phase for phase in Phase if phase not in (Phase.shrink, Phase.explain)]

AUCTIONS = ["dutch", "reverse-dutch", "first-price", "second-price"]


def three_bidders(**more: Any) -> bondwork.Instance:
    """One task worth 100 to its operator, three coprocessors that need 20, 30 and 45."""
    return bondwork.load(
        make_round(
            coprocessors=[{"id": name, "capacity": {"cpu": 4}} for name in "abc"],
            tasks=[{"id": "t", "operator": "op", "reward": 100, "work": {"cpu": 1}}],
            offers=[
                offer("t", name, bid, success_probability=1.0)
                for name, bid in (("a", 20), ("b", 30), ("c", 45))
            ],
            **more,
        )
    )


def sold(instance: bondwork.Instance, strategy: str, **options: Any) -> tuple[str, float]:
    plan = bondwork.solve(instance, strategy=strategy, **options)
    assert plan.verified
    (one,) = plan.assignments
    assert plan.objective == pytest.approx(100.0 - one.price)
    return one.executor, one.price


def test_sealed_bids():
    truthful = {"settings": {"bidding": "truthful"}}
    assert sold(three_bidders(), "first-price", **truthful) == ("a", 20.0)
    assert sold(three_bidders(), "second-price", **truthful) == ("a", 30.0)
    shaded = {"settings": {"bidding": "shaded"}}
    assert sold(three_bidders(), "first-price", **shaded) == ("a", pytest.approx(22.0))
    assert sold(three_bidders(), "second-price", **shaded) == ("a", pytest.approx(33.0))


def test_a_rising_clock_stops_at_the_cheapest():
    # 11 prices from 0 to 100: 20 is the third
    options = {"settings": {"bidding": "truthful", "ticks": "11"}}
    assert sold(three_bidders(), "reverse-dutch", **options) == ("a", 20.0)


def test_a_falling_clock_stops_at_whoever_asks_most():
    options = {"settings": {"bidding": "truthful", "ticks": "101"}}
    assert sold(three_bidders(), "dutch", **options) == ("c", 45.0)
    # idle, all ask half more than they need: c stops the clock at 67.5, the first whole price below
    assert sold(three_bidders(), "dutch", settings={"bidding": "load", "ticks": "101"}) == (
        "c",
        pytest.approx(67.0),
    )


def test_loaded_coprocessors_wait():
    held = {
        "id": "k", "task": "old", "operator": "op", "executor": "c", "release_at": 9, "work": {"cpu": 3},
        "success_probability": 1.0, "collateral": 0,
    }  # fmt: skip
    instance = bondwork.load(
        make_round(
            coprocessors=[{"id": name, "capacity": {"cpu": 4}} for name in "bc"],
            tasks=[
                {"id": "t", "operator": "op", "reward": 100, "work": {"cpu": 1}},
                {"id": "old", "operator": "op", "reward": 0},
            ],
            offers=[offer("t", name, 40, success_probability=1.0) for name in "bc"],
            commitments=[held],
        )
    )
    plan = bondwork.solve(instance, strategy="dutch", settings={"ticks": "101"})
    # b is idle and asks 60; c is three quarters full, needs 47.5 and asks 53.4
    assert [(each.executor, each.price) for each in plan.assignments] == [("b", pytest.approx(60.0))]


def test_an_operator_pays_no_more_than_the_work_is_worth():
    round_ = make_round(
        tasks=[{"id": "t", "operator": "op", "reward": 100, "slashing": 100}],
        offers=[offer("t", "cp", 30, success_probability=0.6)],  # worth 60 - 40 = 20
    )
    for name in AUCTIONS:
        plan = bondwork.solve(bondwork.load(round_), strategy=name)
        assert plan.assignments == []
    round_["offers"][0]["bid"] = 15
    for name in AUCTIONS:
        settings_ = {"bidding": "truthful"} | ({"ticks": "101"} if "dutch" in name else {})
        (one,) = bondwork.solve(bondwork.load(round_), strategy=name, settings=settings_).assignments
        assert 15.0 <= one.price <= 20.0


def test_self_execution_costs_what_it_costs():
    round_ = make_round(
        tasks=[{"id": "t", "operator": "op", "reward": 100}],
        self_execution=[{"task": "t", "operator": "op", "cost": 35, "success_probability": 1.0}],
    )
    for name in AUCTIONS:
        plan = bondwork.solve(bondwork.load(round_), strategy=name)
        assert [(each.kind, each.price) for each in plan.assignments] == [("self", 35.0)]


def test_ties_go_by_the_seed():
    round_ = make_round(
        coprocessors=[{"id": name} for name in "abcd"],
        tasks=[{"id": "t", "operator": "op", "reward": 100}],
        offers=[offer("t", name, 20, success_probability=1.0) for name in "abcd"],
    )
    for name in AUCTIONS:
        winners = {
            bondwork.solve(bondwork.load(round_), strategy=name, seed=seed).assignments[0].executor
            for seed in range(30)
        }
        assert winners == set("abcd")  # each misses with probability below 0.001


def test_price_is_paid_on_success_only_where_so_agreed():
    round_ = make_round(
        coprocessors=[{"id": "a"}, {"id": "b"}],
        tasks=[{"id": "t", "operator": "op", "reward": 100}],
        offers=[
            offer("t", "a", 10, success_probability=0.5),  # worth 50, pays half of 10: surplus 45
            offer("t", "b", 30, success_probability=0.9),  # worth 90, pays 0.9 of 30: surplus 63
        ],
        terms={"bid_paid": "on_success"},
    )
    instance = bondwork.load(round_)
    plan = bondwork.solve(instance, strategy="second-price", settings={"bidding": "truthful"})
    (one,) = plan.assignments
    assert one.executor == "b"
    assert one.price == pytest.approx(30.0 + (63.0 - 45.0) / 0.9)
    assert plan.objective == pytest.approx(45.0)  # as good as the next best, by construction


@pytest.mark.parametrize("name", AUCTIONS)
@given(document=rounds(), seed=st.integers(0, 3))
@settings(max_examples=15, deadline=None, phases=NO_SHRINKING)
def test_never_better_than_the_optimum(name: str, document: dict[str, Any], seed: int):
    instance = bondwork.load(document)
    try:
        plan = bondwork.solve(instance, strategy=name, seed=seed)
    except bondwork.Refusal:
        return
    best = bondwork.solve(instance, strategy="extensive", mip_rel_gap=0.0, seed=seed)
    if plan.objective is not None:
        assert plan.verified
        assert best.objective is not None
        assert plan.objective <= best.objective + 1e-6 * (1.0 + abs(best.objective))
        again = bondwork.solve(instance, strategy=name, seed=seed)
        assert again.assignments == plan.assignments


def test_settings_are_checked():
    with pytest.raises(bondwork.InvalidInput, match="truthful or load or shaded"):
        bondwork.solve(bondwork.load(market()), strategy="dutch", settings={"bidding": "wild"})
    with pytest.raises(bondwork.InvalidInput, match="a whole number >= 2"):
        bondwork.solve(bondwork.load(market()), strategy="dutch", settings={"ticks": "1"})


def test_replicas_are_refused():
    round_ = make_round(
        coprocessors=[{"id": "a"}, {"id": "b"}],
        tasks=[{"id": "t", "operator": "op", "reward": 9, "slashing": 9, "replicas": 2}],
        offers=[offer("t", "a", 1), offer("t", "b", 1)],
    )
    with pytest.raises(bondwork.Refusal, match="replicas"):
        bondwork.solve(bondwork.load(round_), strategy="dutch")
