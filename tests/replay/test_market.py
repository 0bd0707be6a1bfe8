"""The simulated market: magnitudes, common random numbers, physics; and who decides on it."""

from __future__ import annotations

import dataclasses
from itertools import pairwise

import numpy as np
import pytest

import bondwork
from bondwork.market.priorities import MODES
from bondwork.replay.log import read_log
from bondwork.replay.market import MarketLaw, draw_market
from bondwork.replay.market_learning import Durations, Failures
from bondwork.replay.market_log import SMALL_FARM, market_log
from bondwork.replay.market_planner import MarketPlanner
from bondwork.replay.market_policies import BrokerSettings, MarketBroker
from bondwork.replay.market_run import View, run_market

LAW = MarketLaw(orders=400)


class Recorder:
    """Passes on what another policy decides, and keeps what it saw."""

    def __init__(self, policy: MarketBroker) -> None:
        self.policy = policy
        self.views: list[View] = []
        self.locked: list[tuple[float, int, int]] = []

    def decide(self, view: View) -> list[tuple[int, int]]:
        self.views.append(view)
        chosen = self.policy.decide(view)
        self.locked += [(view.now, *pair) for pair in chosen]
        return chosen


def test_magnitudes_are_those_of_the_real_market():
    orders = draw_market(MarketLaw(orders=20_000), 1).orders
    assert orders.mcycles.min() >= 1000.0
    assert 20_000.0 < orders.mcycles.max() <= 42_000.0
    assert np.mean((orders.mcycles >= 1000.0) & (orders.mcycles <= 4000.0)) > 0.9
    price = orders.high / orders.mcycles
    assert price.min() >= 2.5e-8 * (1.0 - 1e-12)
    assert np.quantile(price, 0.99) == pytest.approx(1e-7, rel=0.05)
    assert set(orders.collateral.tolist()) == {15.0, 40.0, 100.0}
    assert np.all(orders.ramp <= np.minimum(600.0 + 2.0 * orders.mcycles, 7200.0))
    assert np.all(orders.deadline - orders.at <= 14_400.0 + 1e-6)
    assert np.all(orders.ramp <= orders.deadline - orders.at + 1e-6)
    assert np.all(orders.low <= orders.high)
    assert np.all(orders.rival_at >= orders.at)


def test_the_same_seed_is_the_same_market():
    one, two, other = (draw_market(LAW, seed) for seed in (4, 4, 5))
    assert np.array_equal(one.orders.rival_at, two.orders.rival_at)
    assert np.array_equal(one.congested, two.congested)
    assert not np.array_equal(one.orders.high, other.orders.high)
    results = [run_market(market, MarketBroker(market, "random", seed=1)) for market in (one, two)]
    assert results[0].profit == results[1].profit


@pytest.mark.parametrize("mode", MODES)
def test_books_balance_and_limits_hold(mode: str):
    market = draw_market(LAW, 2)
    orders, recorder = market.orders, Recorder(MarketBroker(market, mode))  # type: ignore[arg-type]
    result = run_market(market, recorder)
    ended = [each for view in recorder.views for each in view.ended]
    assert result.locked == len(recorder.locked) == len({order for _, order, _ in recorder.locked})
    assert result.delivered + result.failed == result.locked
    assert 0.0 < result.utilisation <= 1.0
    for now, order, _ in recorder.locked:  # nobody locks what a rival has, or what did not come yet
        assert orders.at[order] <= now < min(orders.rival_at[order], orders.deadline[order])
    for prover in range(LAW.provers):  # one proof after the other
        mine = sorted((each.start, each.end) for each in ended if each.prover == prover)
        assert all(end <= start + 1e-6 for (_, end), (start, _) in pairwise(mine))
    for view in recorder.views:
        assert np.all((view.slots >= 0) & (view.slots <= LAW.slots))
        assert np.all((view.collateral >= -1e-9) & (view.collateral <= LAW.collateral + 1e-9))
    # profit once more, from the orders alone
    lock = {order: now for now, order, _ in recorder.locked}
    paid = {order: float(orders.prices(np.array([order])).price(now)[0]) for order, now in lock.items()}
    known = {each.order: each for each in ended}
    if len(known) == result.locked:
        earned = sum(paid[order] for order, each in known.items() if each.good)
        lost = LAW.zkc * sum(orders.collateral[order] for order, each in known.items() if not each.good)
        cost = sum(LAW.gas + LAW.energy * orders.mcycles[order] for order in known)
        assert result.profit == pytest.approx(earned - lost - cost)
        assert result.slashed == pytest.approx(lost)
    assert result.by_hour.sum(axis=0) == pytest.approx([result.profit, result.slashed])


def test_a_late_proof_fails_and_congestion_slows():
    market = draw_market(dataclasses.replace(LAW, classes=((1.0, 0.0),), overrun=0.0), 0)
    orders = market.orders
    calm = next(i for i in range(LAW.orders) if not market.is_congested(float(orders.at[i])))
    begin = float(orders.at[calm])
    end, good = market.outcome(calm, 7, begin)
    assert good
    assert end == pytest.approx(begin + orders.mcycles[calm] / 11.0)
    late = float(orders.deadline[calm]) - 1.0
    assert market.outcome(calm, 7, late) == (orders.deadline[calm], False)
    slow = dataclasses.replace(market, congested=np.ones_like(market.congested))
    assert slow.outcome(calm, 7, begin)[0] == pytest.approx(begin + 1.5 * orders.mcycles[calm] / 11.0)


def test_a_broker_takes_what_its_owner_allows():
    market = draw_market(LAW, 3)
    recorder = Recorder(MarketBroker(market, "price", BrokerSettings(5e-8, 15.0)))
    run_market(market, recorder)
    assert recorder.locked
    for now, order, _ in recorder.locked:
        assert market.orders.collateral[order] <= 15.0
        assert market.orders.prices(np.array([order])).price(now)[0] >= 5e-8 * market.orders.mcycles[order]
    with pytest.raises(bondwork.InvalidInput, match="one of random"):
        MarketBroker(market, "best")  # type: ignore[arg-type]
    with pytest.raises(bondwork.InvalidInput, match="add up to 1"):
        MarketLaw(classes=((0.5, 0.1),))


def test_the_planner_learns_and_keeps_its_books():
    market = draw_market(LAW, 0)
    planner = MarketPlanner(market)
    result = run_market(market, planner)
    state = planner.planner.state
    assert result.locked > 20
    assert state.imbalance == 0
    assert state.succeeded + state.failed + len(state.commitments) == result.locked
    plain = run_market(market, MarketBroker(market, "cycle_price"))
    assert result.slashed < plain.slashed
    assert result.profit > plain.profit


def test_forecasts_follow_what_was_seen():
    failures, rng = Failures(), np.random.default_rng(0)
    for _ in range(200):
        failures.learn([0, 1], [bool(rng.random() < 0.01), bool(rng.random() < 0.3)])
    good, bad, unknown = failures.success(np.array([0, 1, 2])).tolist()
    assert good > 0.97
    assert 0.6 < bad < 0.8
    assert unknown == pytest.approx(0.95)
    durations = Durations()
    durations.learn(np.exp(0.2 + 0.1 * rng.standard_normal(5000)))
    assert durations.mean == pytest.approx(np.exp(0.205), rel=0.01)
    chance = durations.in_time(np.array([100.0, 100.0, 100.0]), np.array([-5.0, 100.0 * np.exp(0.2), 1e9]))
    assert chance == pytest.approx([0.0, 0.5, 1.0], abs=0.02)


def test_a_log_of_the_market_is_a_log():
    law = dataclasses.replace(SMALL_FARM, orders=60)
    text = market_log(law, 1)
    assert text == market_log(law, 1)
    log = read_log(text.encode())
    assert log.has_clock
    told = [each for entry in log.entries for each in entry.known.values()]
    assert {each.outcome for each in told} == {"succeeded", "failed"}
    without = market_log(law, 1, potential=False)
    assert "potential" not in without
    assert len(without.splitlines()) == len(log.entries)
