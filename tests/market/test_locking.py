"""When to lock: the closed form against a grid, an optimiser and a simulation."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.optimize import minimize_scalar

from bondwork.market.locking import Ramp, Rivals, best_lock, first_time_at, lock_value

orders = st.fixed_dictionaries(
    {
        "start": st.floats(-500.0, 500.0),
        "period": st.one_of(st.just(0.0), st.floats(1.0, 1000.0)),
        "low": st.floats(0.0, 5.0),
        "gain": st.floats(0.0, 20.0),
        "base": st.one_of(st.just(0.0), st.floats(1e-4, 0.1)),
        "rise": st.one_of(st.just(0.0), st.floats(1e-4, 0.1)),
        "latest": st.floats(-10.0, 3000.0),
        "success": st.floats(0.5, 1.0),
        "cost": st.floats(0.0, 4.0),
        "slashing": st.floats(0.0, 10.0),
        "opportunity": st.floats(0.0, 2.0),
    }
)


def case(order: dict) -> tuple[Ramp, Rivals, dict]:
    ramp = Ramp(order["start"], order["period"], order["low"], order["low"] + order["gain"])
    rest = {name: order[name] for name in ("success", "cost", "slashing", "opportunity")}
    return ramp, Rivals(order["base"], order["rise"]), rest


@given(orders)
def test_no_time_on_a_fine_grid_is_better(order):
    ramp, rivals, rest = case(order)
    best = best_lock(ramp, rivals, now=0.0, latest=order["latest"], **rest)
    if order["latest"] < 0.0:
        assert np.isnan(best.at)
        assert best.value == 0.0
        return
    times = np.linspace(0.0, order["latest"], 4001)
    values = lock_value(ramp, rivals, times, now=0.0, **rest)
    assert best.value >= values.max() - 1e-9 * max(1.0, abs(values.max()))
    if best.value > 0.0:
        assert 0.0 <= best.at <= order["latest"]
        again = lock_value(ramp, rivals, best.at, now=0.0, **rest)
        assert again == pytest.approx(float(best.value))
        assert ramp.price(best.at) == pytest.approx(float(best.price))


@given(orders)
def test_survival_is_the_exponential_of_the_integrated_rate(order):
    ramp, rivals, _ = case(order)
    at = 300.0
    breaks = [each for each in (order["start"], order["start"] + order["period"]) if 0.0 < each < at]
    passed, _ = quad(
        lambda t: float(order["base"] + order["rise"] * ramp.share(t)), 0.0, at, points=breaks or None
    )
    assert rivals.survival(ramp, 0.0, at) == pytest.approx(np.exp(-passed), rel=1e-6)


@pytest.mark.parametrize("rise", [0.0, 0.02])
def test_the_closed_form_is_what_an_optimiser_finds(rise):
    ramp, rivals = Ramp(10.0, 600.0, 1.0, 9.0), Rivals(0.004, rise)
    rest = {"success": 0.95, "cost": 0.3, "slashing": 4.0, "opportunity": 0.1}
    best = best_lock(ramp, rivals, now=0.0, latest=5000.0, **rest)
    found = minimize_scalar(
        lambda t: -float(lock_value(ramp, rivals, t, now=0.0, **rest)),
        bounds=(10.0, 610.0),
        method="bounded",
        options={"xatol": 1e-8},
    )
    assert 10.0 < best.at < 610.0
    assert float(best.at) == pytest.approx(found.x, abs=1e-3)
    if rise == 0.0:  # 1/h - A/B after the start
        worth, slope = 0.95 * 1.0 - 0.3 - 0.05 * 4.0 - 0.1, 0.95 * 8.0 / 600.0
        assert float(best.at) == pytest.approx(10.0 + 1.0 / 0.004 - worth / slope)


def test_the_value_is_what_a_simulation_earns():
    ramp, rivals = Ramp(0.0, 400.0, 1.0, 5.0), Rivals(0.002, 0.006)
    best = best_lock(ramp, rivals, now=0.0, latest=2000.0, success=0.9, cost=0.2, slashing=2.0)
    rng = np.random.default_rng(5)
    draws = 200_000
    # thinning: candidates at the highest rate, kept with the share of the rate at their time
    lost = np.zeros(draws, dtype=bool)
    clock = np.zeros(draws)
    for _ in range(40):
        clock += rng.exponential(1.0 / 0.008, draws)
        rate = 0.002 + 0.006 * ramp.share(clock)
        lost |= (clock < best.at) & (rng.uniform(size=draws) < rate / 0.008)
    done = rng.uniform(size=draws) < 0.9
    earned = np.where(lost, 0.0, np.where(done, float(best.price), -2.0) - 0.2)
    error = earned.std() / np.sqrt(draws)
    assert earned.mean() == pytest.approx(float(best.value), abs=4.0 * error)
    assert 1.0 - lost.mean() == pytest.approx(float(best.survival), abs=0.005)


def test_without_rivals_one_waits_for_the_top_and_no_longer():
    ramp = Ramp(np.array([0.0, 0.0, -100.0]), 50.0, 1.0, np.array([3.0, 1.0, 3.0]))
    best = best_lock(ramp, Rivals(), now=0.0, latest=np.array([80.0, 80.0, 80.0]), success=1.0)
    assert best.at.tolist() == [50.0, 0.0, 0.0]
    early = best_lock(ramp, Rivals(), now=0.0, latest=20.0, success=1.0)
    assert early.at.tolist() == [20.0, 0.0, 0.0]


def test_more_rivals_never_make_one_wait_longer():
    rates = np.linspace(0.0, 0.05, 200)
    ramp = Ramp(0.0, 500.0, 1.0, 4.0)
    at = best_lock(ramp, Rivals(rates), now=0.0, latest=900.0, success=0.98, slashing=1.0).at
    assert np.all(np.diff(at) <= 1e-9)
    dearer = best_lock(
        ramp, Rivals(0.01), now=0.0, latest=900.0, success=0.98, opportunity=np.linspace(0, 3, 50)
    )
    assert np.all(np.diff(dearer.at[dearer.value > 0.0]) >= -1e-9)  # what earns little can wait


def test_orders_that_are_never_worth_it():
    ramp = Ramp(0.0, 100.0, 1.0, 2.0)
    best = best_lock(ramp, Rivals(0.01), now=0.0, latest=500.0, success=0.5, slashing=10.0)
    assert np.isnan(best.at)
    assert (float(best.value), float(best.survival)) == (0.0, 0.0)
    assert np.isnan(best.price)


def test_when_a_price_is_reached():
    ramp = Ramp(10.0, 0.0, 2.0, 5.0)
    assert first_time_at(ramp, 3.0) == 10.0
    assert first_time_at(Ramp(10.0, 5.0, 2.0, 2.0), 2.0) == -np.inf
    assert first_time_at(Ramp(10.0, 5.0, 2.0, 2.0), 2.1) == np.inf
