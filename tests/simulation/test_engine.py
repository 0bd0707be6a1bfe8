from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import bondwork
from bondwork.market.settlement import Ledger, split
from bondwork.problem.instance import Terms
from bondwork.simulation import engine
from bondwork.simulation.drawing import draw_period
from bondwork.simulation.engine import Simulation
from bondwork.simulation.market import open_market
from bondwork.simulation.plain import PlainMarket
from bondwork.simulation.rules import UNITS, Policy
from bondwork.simulation.running import simulate
from bondwork.simulation.second_chance import remaining_market
from simulation.networks import BUSY, EVERYTHING, busy


def accounts(simulation: Simulation) -> dict[str, object]:
    return {name: array.tolist() for name, array in simulation.state.arrays().items()}


@pytest.mark.parametrize(
    "rules",
    [
        BUSY,
        busy(slashing={"of": "reward", "factor": 2.0}, collateral={"bid_paid": "on_success"}),
        busy(
            tasks={"follow": "network", "reputation_exponent": 0.0},
            reputation={
                "model": "ewma",
                "parameters": {"weight": 0.05, "initial": 0.95, "concentration": 50.0},
            },
        ),
    ],
)
def test_the_compiled_road_equals_the_plain_loop_to_the_last_unit(rules):
    fast, plain = Simulation(rules, 1), PlainMarket(rules, 1)
    for _ in range(rules.periods):
        fast.step()
        plain.step()
        state = fast.state
        assert state.stake.tolist() == [each.stake for each in plain.operators]
        assert state.balance.tolist() == [each.balance for each in plain.operators]
        assert state.cp_collateral.tolist() == [each.collateral for each in plain.coprocessors]
        assert state.cp_balance.tolist() == [each.balance for each in plain.coprocessors]
        assert (int(state.burned), int(state.treasury)) == (plain.burned, plain.treasury)
    assert fast.records.op_total[:, 0].tolist() == [each.reward for each in plain.operators]
    assert fast.records.total("slashed").sum() > 0 < state.treasury  # or this says little
    assert rules is not BUSY or state.active.sum() < len(state.active)


@pytest.mark.parametrize(
    "rules", [BUSY, busy(operators={"stake_limit": True}, collateral={"bid_paid": "on_success"})]
)
def test_the_compiled_auction_is_the_strategy_of_that_name(rules):
    # both with what the strategy's settings say: 50 ticks, bidding "load"
    fast = simulate(dataclasses.replace(rules, periods=8))
    general = simulate(dataclasses.replace(rules, periods=8, policy=Policy(name="dutch")))
    assert accounts(fast) == accounts(general)
    assert np.array_equal(fast.records.totals, general.records.totals)
    assert fast.records.total("pieces").sum() > 0


def test_the_rising_clock_is_the_strategy_of_that_name():
    fast = simulate(busy(periods=4, policy=Policy(clock="rising", start=0.0, end=1.0)))
    general = simulate(busy(periods=4, policy=Policy(name="reverse-dutch")))
    assert accounts(fast) == accounts(general)


@pytest.mark.parametrize("rules", [BUSY, EVERYTHING, busy(policy=Policy(name="greedy"), periods=4)])
def test_money_is_conserved_and_nobody_goes_below_zero(rules):
    simulation = Simulation(rules)
    while not simulation.is_over:
        simulation.step()
        state = simulation.state
        assert state.imbalance() == 0
        for each in (state.stake, state.balance, state.cp_collateral, state.cp_balance):
            assert each.min() >= 0
    assert simulation.records.total("slashed").sum() > 0


def test_a_plan_that_does_not_verify_costs_its_market_alone(monkeypatch):
    solve, calls = bondwork.solving.solve, []

    def sometimes_wrong(*args, **options):
        calls.append(plan := solve(*args, **options))
        if len(calls) == 2:
            raise bondwork.VerificationFailure(plan)
        return plan

    monkeypatch.setattr("bondwork.solving.solve", sometimes_wrong)
    simulation = Simulation(busy(policy=Policy(name="greedy"), periods=4))
    with pytest.warns(RuntimeWarning, match="a market without work"):
        while not simulation.is_over:
            simulation.step()
            assert simulation.state.imbalance() == 0
    pieces = simulation.records.total("pieces") + simulation.records.total("own")
    assert len(calls[1].assignments) > 0  # or nothing was lost
    assert (pieces > 0).tolist() == [True, False, True, True]


@settings(max_examples=15)
@given(
    seed=st.integers(0, 10**6),
    factor=st.floats(0.0, 3.0),
    multiple=st.floats(0.0, 5.0),
    shares=st.lists(st.integers(0, 10**6), min_size=3, max_size=3),
    bid_paid=st.sampled_from(["always", "on_success"]),
)
def test_settlement_is_the_ledgers(seed, factor, multiple, shares, bid_paid):
    """One period, settled by the kernel and, piece by piece, by the exact ledger."""
    cuts = sorted(shares)
    parts = np.diff([0, *cuts, 10**6]) / 10**6
    terms = dict(zip(("burned", "operator", "rescuer", "treasury"), parts.tolist(), strict=True))
    rules = busy(
        seed=seed,
        slashing={"factor": factor},
        collateral={"multiple": multiple, "bid_paid": bid_paid, **terms},
        operators={"stake": 40.0, "least_stake": 0.0, "restake": 0.0},
        coprocessors={"top_up": 0.0},
        load_curve={"scale": 0.0},
    )
    simulation = Simulation(rules)
    state = simulation.state
    market = open_market(rules, state, draw_period(rules, 0, 0), simulation.reputation)
    chosen: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    decide = simulation.policy.decide

    def remember(market_, seed_):
        chosen["it"] = decide(market_, seed_)
        return chosen["it"]

    simulation.policy.decide = remember
    ledger = Ledger(decimals=0, terms=Terms(bid_paid, **terms))
    for v, stake in enumerate(state.stake.tolist()):
        ledger.deposit_stake(f"op-{v}", stake)
    for c, collateral in enumerate(state.cp_collateral.tolist()):
        ledger.deposit_collateral(f"cp-{c}", collateral)
    simulation.step()
    columns, prices = chosen["it"]
    for column, price in sorted(
        zip(columns.tolist(), np.rint(prices * UNITS).astype(int).tolist(), strict=True)
    ):
        task, name = int(market.task[column]), f"op-{market.owner[column]}"
        own = bool(market.is_self[column])
        if not own:
            ledger.lock(str(task), f"cp-{market.executor[column]}", int(market.collateral_units[column]))
        if market.fails[column]:
            due = price if own or bid_paid == "always" else 0
            ledger.fail(str(task), name, slashing=int(market.slashing_units[task]), price=due)
        else:
            ledger.succeed(str(task), name, reward=int(market.reward_units[task]), price=price)
    assert ledger.imbalance() == 0
    state = simulation.state
    assert state.stake.tolist() == [ledger.operators[f"op-{v}"].stake for v in range(8)]
    assert state.balance.tolist() == [ledger.operators[f"op-{v}"].balance for v in range(8)]
    for c in range(7):
        account = ledger.coprocessors[f"cp-{c}"]
        assert (int(state.cp_collateral[c]), int(state.cp_balance[c])) == (account.free, account.balance)
    assert (int(state.burned), int(state.treasury)) == (ledger.burned, ledger.treasury)


def test_policies_and_variants_see_the_same_tasks_and_outcomes():
    rules = busy(periods=3)
    other = dataclasses.replace(rules, slashing=dataclasses.replace(rules.slashing, factor=0.9))
    for period in range(3):
        a, b = draw_period(rules, 2, period), draw_period(other, 2, period)
        assert all(
            np.array_equal(getattr(a, name), getattr(b, name))
            for name in ("work", "reward", "latent", "outage")
        )
    assert not np.array_equal(draw_period(rules, 0, 0).work, draw_period(rules, 1, 0).work)
    assert not np.array_equal(draw_period(rules, 0, 0).work, draw_period(rules, 0, 1).work)


def test_outcomes_come_as_often_as_qualities_say():
    rules = busy(
        coprocessors={
            "quality": 0.9,
            "quality_spread": 0.0,
            "quality_drift": 0.0,
            "misbehaving": 0.0,
            "outage": 0.0,
        },
        operators={"capacity": 0.0},
        tasks={"per_period": 40_000.0},
        dependence={"common": 0.0, "coprocessor": 0.0},
    )
    simulation = Simulation(rules)
    market = open_market(rules, simulation.state, draw_period(rules, 0, 0), simulation.reputation)
    assert market.fails.mean() == pytest.approx(0.1, abs=0.003)
    assert not market.wrong.any()


def test_validators_find_the_share_that_they_check():
    changes = {
        "coprocessors": {
            "quality": 0.999999,
            "quality_spread": 0.0,
            "misbehaving": 1.0,
            "cheat": 0.5,
            "outage": 0.0,
        },
        "operators": {"capacity": 0.0},
        "tasks": {"per_period": 40_000.0},
    }
    rules = busy(**changes, validators={"share": 0.6, "catch": 0.5})
    simulation = Simulation(rules)
    market = open_market(rules, simulation.state, draw_period(rules, 0, 0), simulation.reputation)
    assert market.fails.mean() == pytest.approx(0.5 * 0.3, abs=0.003)
    assert market.wrong.mean() == pytest.approx(0.5 * 0.7, abs=0.003)
    careful = busy(**{**changes, "coprocessors": {**changes["coprocessors"], "rational": True}})
    careful = dataclasses.replace(
        careful,
        validators=dataclasses.replace(careful.validators, share=1.0, catch=1.0),
        collateral=dataclasses.replace(careful.collateral, multiple=10.0),
    )
    market = open_market(
        careful, Simulation(careful).state, draw_period(careful, 0, 0), simulation.reputation
    )
    assert not market.wrong.any()


def test_replicas_find_wrong_results_by_themselves():
    lone = {"coprocessors": {"misbehaving": 0.4, "cheat": 1.0, "outage": 0.0}, "validators": {"share": 0.0}}
    lone |= {"slashing": {"factor": 0.0}, "operators": {"capacity": 0.0}}
    one = simulate(busy(**lone, tasks={"reward": 60.0}))
    three = simulate(busy(**lone, tasks={"reward": 60.0, "replicas": 3}))
    assert one.records.total("wrong").sum() > 4 * three.records.total("wrong").sum()
    assert three.records.cp_total[:, 2].sum() > three.records.op_total[:, 4].sum()


def test_a_quorum_that_is_not_found_is_nothing():
    rules = busy(tasks={"replicas": 3, "quorum": 3, "offers": 2}, operators={"capacity": 0.0})
    found = simulate(rules).records
    assert found.total("done").sum() + found.total("failed").sum() == 0
    assert found.total("pieces").sum() == 0


def test_people_come_and_go():
    found = simulate(EVERYTHING, detail=True)
    assert found.state.generation.max() > 1
    assert found.state.cp_generation.max() > 1
    assert len(set(found.records.total("operators").tolist())) > 2
    assert len(set(found.records.total("demand").tolist())) > 2
    assert set(np.flatnonzero(found.state.stake)) == set(np.flatnonzero(found.state.active))


def test_reputations_find_out_who_is_good():
    rules = busy(
        periods=120,
        coprocessors={"number": 12, "quality_spread": 1.2, "quality_drift": 0.0, "misbehaving": 0.0},
        slashing={"factor": 0.0},
    )
    found = simulate(rules)
    believed = found.reputation.forecast(found.state.cp_reputation).mean
    assert np.corrcoef(believed, found.state.cp_logit)[0, 1] > 0.7


def test_load_incentives_follow_the_state():
    rules = busy(load_curve=EVERYTHING.load_curve)
    found = simulate(rules, detail=True)
    first, last = found.records.amplitude[0], found.records.amplitude[-1]
    assert np.ptp(first) == 0.0
    loads = found.records.load.mean(axis=0)
    assert np.corrcoef(loads, last)[0, 1] > 0.9
    assert found.records.incentive.min() < 0
    assert simulate(BUSY, detail=True).records.incentive.max() > 0


def test_the_plain_market_refuses_what_it_does_not_know():
    with pytest.raises(ValueError, match="falling clock"):
        PlainMarket(EVERYTHING)


def test_resuming_from_a_state_is_going_on():
    whole = simulate(EVERYTHING)
    half = Simulation(EVERYTHING)
    for _ in range(10):
        half.step()
    other = engine.resume(Simulation(EVERYTHING), half.state, half.records)
    while not other.is_over:
        other.step()
    assert accounts(other) == accounts(whole)


SECOND = busy(
    tasks={"second_chance": True},
    coprocessors={"quality": 0.8},
    collateral={"burned": 0.2, "rescuer": 0.5, "operator": 0.1, "treasury": 0.2},
    slashing={"factor": 0.02},
)


@pytest.mark.parametrize("policy", ["auction", "dutch", "lagrangian"])
def test_failed_tasks_get_a_second_chance(policy):
    rules = dataclasses.replace(SECOND, periods=5, policy=dataclasses.replace(SECOND.policy, name=policy))
    without = dataclasses.replace(rules, tasks=dataclasses.replace(rules.tasks, second_chance=False))
    once, twice = simulate(without), simulate(rules)
    assert twice.state.imbalance() == 0
    first = twice.records.totals[0]
    assert twice.records.total("rescued").sum() > 0 == once.records.total("rescued").sum()
    # the first period begins alike: what was done at once is done again, and some more
    assert first[2] >= once.records.totals[0][2] + twice.records.total("rescued")[0]
    assert twice.records.total("failed").sum() < once.records.total("failed").sum()
    assert twice.records.total("pieces").sum() + twice.records.total("own").sum() > first[1]


def test_second_chances_are_one_book_too():
    fast = simulate(dataclasses.replace(SECOND, periods=5))
    general = simulate(dataclasses.replace(SECOND, periods=5, policy=Policy(name="dutch")))
    assert accounts(fast) == accounts(general)


def test_second_chances_respect_what_is_spent():
    simulation = Simulation(SECOND)
    market = open_market(SECOND, simulation.state, draw_period(SECOND, 0, 0), simulation.reputation)
    columns, _ = simulation.policy.decide(market, 1)
    rest, places = remaining_market(market, columns)
    again, prices = simulation.policy.decide(rest, 1)
    both = np.concatenate([columns, places[again]])
    assert len(set(both.tolist())) == len(both) > len(columns)
    used = np.bincount(market.executor[both], market.work[both], len(market.capacity))
    assert np.all(used <= market.capacity * (1 + 1e-9))
    held = np.bincount(market.executor[both], market.collateral[both], len(market.capacity))[:7]
    assert np.all(held <= market.free * (1 + 1e-9))
    failed = set(market.task[columns[market.fails[columns]]].tolist())
    done = set(market.task[columns].tolist()) - failed
    assert not done & set(rest.task.tolist())
    for column, place in zip(rest.task.tolist(), places.tolist(), strict=True):
        assert column == market.task[place]
    mine = np.isin(rest.task, list(failed))
    assert rest.slashing[mine].max(initial=0.0) == 0.0
    assert rest.reward[mine] == pytest.approx((market.reward + market.slashing)[places][mine])
    assert prices.min() >= 0.0


def test_a_rescuer_gets_its_share():
    """One operator, two coprocessors, one task: the first fails, the second does it."""
    rules = busy(
        operators={"number": 1, "capacity": 0.0},
        coprocessors={"number": 2, "misbehaving": 0.0, "outage": 0.0, "top_up": 0.0, "cost": 1.0},
        tasks={"per_period": 1.0, "offers": 2, "second_chance": True, "work_spread": 0.0},
        collateral={"burned": 0.2, "rescuer": 0.5, "operator": 0.1, "treasury": 0.2},
        load_curve={"scale": 0.0},
    )
    for replication in range(200):
        simulation = Simulation(rules, replication)
        simulation.step()
        if simulation.records.total("rescued")[0]:
            break
    forfeited = int(simulation.records.total("forfeited")[0])
    parts = dict(
        zip(
            ("burned", "operator", "rescuer", "treasury"), split(forfeited, (0.2, 0.1, 0.5, 0.2)), strict=True
        )
    )
    paid = int(simulation.records.total("paid")[0])
    assert forfeited > 0
    assert simulation.records.total("slashed")[0] == 0
    assert simulation.state.cp_balance.sum() == paid + parts["rescuer"]
    assert (int(simulation.state.burned), int(simulation.state.treasury)) == (
        parts["burned"],
        parts["treasury"],
    )
