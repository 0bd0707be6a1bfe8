"""Boundless in and out: orders and broker.toml as a round, a plan as orders to lock."""

from __future__ import annotations

import contextlib
import copy
import json
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import bondwork
from bondwork.exporters.boundless import list_locks
from bondwork.importers.boundless import Conditions, Imported, make_round, price_at
from bondwork.importers.boundless_broker import read_broker
from bondwork.importers.boundless_orders import Order, read_orders
from bondwork.market.locking import Ramp, Rivals, best_lock
from bondwork.schemas import json_schema

MARKETS = Path(__file__).resolve().parents[2] / "data" / "markets"
NOW = 1_760_000_000
EXAMPLE = Conditions(now=NOW, eth_per_zkc=Decimal("0.00005"), free_collateral=Decimal(150))


def order(number: int = 1, **changes: Any) -> dict[str, Any]:
    """An order of 1,000 megacycles whose price rises from 40 to 100 microether in 1,000 seconds."""
    offer = {
        "minPrice": 40 * 10**12,
        "maxPrice": 100 * 10**12,
        "rampUpStart": NOW,
        "rampUpPeriod": 1000,
        "lockTimeout": 5000,
        "timeout": 9000,
        "lockCollateral": 10 * 10**18,
    }
    rest = {
        name: changes.pop(name) for name in ("cycles", "locked", "success_probability") if name in changes
    }
    return {"id": f"0x{number:x}", "cycles": 10**9, "offer": offer | changes} | rest


BROKER = b"""
[market]
peak_prove_khz = 1000
min_mcycle_price = "0.00000005"
additional_proof_cycles = 0
max_concurrent_proofs = 9
something_else = "the broker's own matter"
[batcher]
block_deadline_buffer_secs = 100
[prover]
whatever = 1
"""


def imported(*orders: dict[str, Any], broker: bytes = BROKER, **conditions: Any) -> Imported:
    known = {"now": NOW, "eth_per_zkc": Decimal("0.000001")} | conditions
    return make_round(
        read_orders(json.dumps(list(orders)).encode()), read_broker(broker), Conditions(**known)
    )


# --- in ---------------------------------------------------------------------------------------------------


def test_an_order_becomes_a_task_and_an_offer():
    document = imported(order(), gas_price=10**7, mcycle_cost=Decimal("1e-9")).document
    (task,), (offer,) = document["tasks"], document["offers"]
    # at 50 gwei for a megacycle and 12 microether of gas the price has to be 62
    assert offer["id"] == f"0x1@{NOW + 367}"
    assert Decimal(task["reward"]) == Decimal("0.00006202")
    assert Decimal(task["slashing"]) == Decimal("0.00001")
    assert Decimal(task["minimum_collateral"]) == Decimal(offer["collateral"]) == 10
    assert task["deadline"] == NOW + 5000 - 100
    assert offer["duration"] == 1000.0
    assert Decimal(offer["bid"]) == Decimal("0.000012") + Decimal("0.000001")
    assert document["coprocessors"][0]["free_at"] == NOW
    bondwork.load(document)


def test_locked_orders_are_commitments_that_the_queue_waits_for():
    locked = order(2, locked={"price": 5 * 10**13, "remainingCycles": "0xee6b280"})  # 250 million
    document = imported(order(), locked).document
    (commitment,) = document["commitments"]
    assert (commitment["id"], commitment["executor"]) == ("0x2", "cluster")
    assert document["coprocessors"][0]["free_at"] == NOW + 250
    instance = bondwork.load(document)
    assert bondwork.solve(instance).assignments[0].task == "0x1"
    planner = bondwork.Planner()
    planner.plan(document, "r")
    assert [each.id for each in planner.commitments] == ["0x2", f"r/0x1@{NOW + 167}"]


def test_the_queue_is_serial_and_the_deadlines_hold():
    orders = [order(n, lockTimeout=1600 + n, minPrice=99 * 10**12) for n in range(4)[1:]]
    plan = bondwork.solve(bondwork.load(imported(*orders).document))
    assert len(plan.assignments) == 1  # 1,000 seconds each, 1,500 to the deadline


@pytest.mark.parametrize(
    ("changes", "broker", "reason"),
    [
        ({"cycles": 9 * 10**12}, BROKER, "9000000 megacycles"),
        (
            {"lockCollateral": 10**20},
            BROKER.replace(b"[batcher]", b'max_collateral = "50 ZKC"\n[batcher]'),
            "100 ZKC",
        ),
        ({"rampUpStart": NOW - 4000}, BROKER, "too little time"),
        ({"maxPrice": 45 * 10**12}, BROKER, "least price"),
        ({"success_probability": 0.01, "lockCollateral": 10**20}, BROKER, "worth nothing"),
    ],
)
def test_orders_without_an_offer_say_why(changes, broker, reason):
    made = imported(order(**changes), broker=broker)
    ((name, why),) = made.passed_over
    assert name == "0x1"
    assert reason in why
    assert made.document["offers"] == []
    assert bondwork.solve(bondwork.load(made.document)).unassigned[0].reason == "no_eligible_offer"


def test_with_rivals_the_lock_time_is_the_best_one():
    rivals = Rivals(0.0002, 0.002)
    made = imported(order(), broker=BROKER.replace(b"0.00000005", b"0"), rivals=rivals)
    at = int(made.document["offers"][0]["id"].partition("@")[2])
    ramp = Ramp(float(NOW), 1000.0, 40e-6, 100e-6)
    best = best_lock(ramp, rivals, now=NOW, latest=NOW + 3900.0, success=0.98, slashing=10e-6)
    assert abs(at - best.at) <= 1
    assert NOW < at < NOW + 1000
    plan = bondwork.solve(bondwork.load(made.document))
    assert plan.objective == pytest.approx(float(best.value), rel=1e-4)  # lost races taken off


def test_prices_in_dollars_need_a_rate():
    broker = BROKER.replace(b'"0.00000005"', b'"0.0002 USD"').replace(
        b"[batcher]", b'max_collateral = "1 USD"\n[batcher]'
    )
    with pytest.raises(bondwork.InvalidInput) as caught:
        imported(order(), broker=broker)
    assert [each.path for each in caught.value.faults] == [
        "broker.toml $.market.min_mcycle_price",
        "broker.toml $.market.max_collateral",
    ]
    made = imported(order(), broker=broker, usd_per_eth=Decimal(4000), eth_per_zkc=Decimal("0.000025"))
    assert made.document["offers"][0]["id"] == f"0x1@{NOW + 167}"  # 5e-8 ETH


def test_prices_are_the_contracts():
    (one,) = read_orders(json.dumps(order(minPrice=7, maxPrice=107, rampUpPeriod=3)).encode())
    found = [price_at(one.offer, NOW + each) for each in (-5, 0, 1, 2, 3, 5000, 5001)]
    assert found == [7, 7, 40, 73, 107, 107, 0]
    (steep,) = read_orders(json.dumps(order(rampUpPeriod=0)).encode())
    assert [price_at(steep.offer, NOW + each) for each in (-1, 0)] == [40 * 10**12, 100 * 10**12]


# --- files ------------------------------------------------------------------------------------------------


def test_every_form_of_the_orders_file_says_the_same():
    import yaml

    both = [order(1), order(2)]
    forms = [
        json.dumps(both),
        json.dumps({"orders": both}),
        yaml.safe_dump(both),
        yaml.safe_dump({"orders": both}),
        yaml.safe_dump_all(both),
    ]
    read = [read_orders(each.encode()) for each in forms]
    assert all(each == read[0] for each in read)
    hexed = copy.deepcopy(both)
    for each in hexed:
        each["offer"] = {name: hex(value) for name, value in each["offer"].items()}
    assert read_orders(json.dumps(hexed).encode()) == read[0]
    assert read_orders(json.dumps(both[0]).encode()) == read[0][:1]
    (old,) = read_orders(
        json.dumps(
            both[0]
            | {
                "offer": {
                    {"rampUpStart": "biddingStart", "lockCollateral": "lockStake"}.get(name, name): value
                    for name, value in both[0]["offer"].items()
                }
            }
        ).encode()
    )
    assert old == read[0][0]
    (unquoted,) = read_orders(b"id: 0x1f\nmcycles: 2.5\noffer: " + json.dumps(both[0]["offer"]).encode())
    assert (unquoted.id, unquoted.size) == ("0x1f", 2_500_000)


def test_every_fault_of_the_orders_is_listed():
    bad = [
        order(1, minPrice=-1),
        order(2, minPrice=2 * 10**14, rampUpPeriod=6000, timeout=10),
        {key: value for key, value in order(3).items() if key != "cycles"},
        order(4, maxprice=3),
        {"cycles": 1, "offer": 3},
        order(2),
    ]
    with pytest.raises(bondwork.InvalidInput) as caught:
        read_orders(json.dumps({"orders": bad}).encode(), "orders.json")
    assert [each.path for each in caught.value.faults] == [
        "$.orders[0].offer.minPrice",
        "$.orders[1].offer.minPrice",
        "$.orders[1].offer.rampUpPeriod",
        "$.orders[1].offer.lockTimeout",
        "$.orders[2]",
        "$.orders[3].offer.maxprice",
        "$.orders[4].id",
        "$.orders[4].offer",
        "orders.json",
    ]
    assert "maxPrice" in caught.value.faults[5].expected


@pytest.mark.parametrize(
    ("text", "where"),
    [
        (b"id: 1\nid: 2\n", "o.yaml, line 2"),
        (b"a: &x [1]\nb: *x\n", "o.yaml, line 1"),
        (b"a: [1\n", "o.yaml, line 2, column 1"),
        (b"\xff\xfe", "o.yaml"),
        (b"a: " + b"[" * 200 + b"]" * 200, "o.yaml, line 1"),
        (b'{"id": 1, "id": 2}', "$.id"),
        (b"!!python/object/apply:os.system ['true']", "o.yaml, line 1, column 1"),
        (b"a: " + b"7" * 5000, "o.yaml"),
        (b"a: 2026-13-45", "o.yaml"),
    ],
)
def test_yaml_that_is_not_plain_is_refused_with_its_place(text, where):
    with pytest.raises(bondwork.InvalidInput) as caught:
        read_orders(text, "o.yaml")
    assert caught.value.faults[0].path == where


values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5), st.just("0x1f")),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(["id", "offer", "orders", "cycles", "locked", "minPrice", "timeout", "market"]),
            inner,
            max_size=4,
        ),
    ),
    max_leaves=12,
)


@given(values, st.binary(max_size=40))
def test_whatever_the_file_holds_it_is_read_or_refused(document, noise):
    import yaml

    for data in (json.dumps(document).encode(), yaml.safe_dump(document).encode(), noise, noise + b": 1"):
        for read in (read_orders, read_broker):
            with contextlib.suppress(bondwork.InvalidInput):
                read(data, "file")


@given(st.data())
@settings(max_examples=60)
def test_an_order_with_a_field_changed_is_read_and_planned_or_refused(data):
    changed = order()
    inside = changed["offer"] if data.draw(st.booleans()) else changed
    inside[data.draw(st.sampled_from(sorted(inside)))] = data.draw(
        st.one_of(st.integers(-1, 2**256), st.floats(), st.text(max_size=3), st.none(), st.just(0))
    )
    try:
        document = imported(changed).document
    except bondwork.InvalidInput:
        return
    bondwork.load(document)


def test_without_pyyaml_json_works_and_yaml_is_refused(monkeypatch):
    monkeypatch.setitem(sys.modules, "yaml", None)
    assert len(read_orders(json.dumps(order()).encode())) == 1
    with pytest.raises(bondwork.Refusal, match="bondwork\\[markets\\]"):
        read_orders(b"id: 1\n")


def test_every_fault_of_a_broker_is_listed():
    with pytest.raises(bondwork.InvalidInput) as caught:
        read_broker(
            b'[market]\nmin_mcycle_price = "3 GBP"\nmax_concurrent_proofs = 0\n'
            b'order_commitment_priority = "best"'
        )
    assert [each.path for each in caught.value.faults] == [
        "broker.toml $.market.peak_prove_khz",
        "broker.toml $.market.min_mcycle_price",
        "broker.toml $.market.max_concurrent_proofs",
        "broker.toml $.market.order_commitment_priority",
    ]
    for text in (b"[market", b"a = " + b"7" * 5000, b"a = " + b"[" * 5000):
        with pytest.raises(bondwork.InvalidInput, match="TOML"):
            read_broker(text)
    with pytest.raises(bondwork.InvalidInput, match="peak_prove_khz"):
        read_broker(b"[market]\npeak_prove_khz = 1" + b"0" * 400)
    old = read_broker(
        b'[market]\npeak_prove_khz = 5\nmcycle_price = "1"\nmax_stake = "2"\nmax_concurrent_locks = 3'
    )
    assert (old.market.max_concurrent_proofs, old.market.min_mcycle_price.amount) == (3, 1)


# --- out --------------------------------------------------------------------------------------------------


def solved(document: dict[str, Any]) -> bondwork.Plan:
    return bondwork.solve(bondwork.load(document), mip_rel_gap=0)


def test_locks_are_listed_in_the_sequence_of_their_deadlines():
    orders = [order(1, lockTimeout=5000), order(2, lockTimeout=3000), order(3, lockTimeout=4000)]
    document = imported(*orders, broker=BROKER.replace(b"0.00000005", b"0")).document
    plan = solved(document)
    listed = list_locks(document, plan)
    jsonschema.Draft202012Validator(json_schema("locks")).validate(json.loads(listed.to_json()))
    assert [each.order for each in listed.locks] == ["0x2", "0x3", "0x1"]
    assert [each.prove_from - NOW for each in listed.locks] == [0, 1000, 2000]
    assert all(each.done_by <= each.deadline for each in listed.locks)
    assert listed.expected_profit == pytest.approx(plan.objective)
    assert listed.expected_slashing == pytest.approx(3 * 0.02 * 10e-6)
    assert [each.price for each in listed.locks] == pytest.approx([40e-6] * 3)


def test_locks_that_would_make_others_late_are_moved():
    patient = order(1, lockTimeout=4000, rampUpStart=NOW + 500, rampUpPeriod=2000)
    behind = [order(n, lockTimeout=4300, minPrice=99 * 10**12) for n in (2, 3)]
    broker = BROKER.replace(b"0.00000005", b"0.00000009")
    document = imported(patient, *behind, broker=broker).document
    at = {each["task"]: int(each["id"].partition("@")[2]) for each in document["offers"]}
    assert at["0x1"] == NOW + 500 + 1667
    # due at 4,200 and 4,400: the plan thinks of three in a row, but the first is locked only at 2,167
    document["tasks"][0]["deadline"] = NOW + 3300
    plan = solved(document)
    assert len(plan.assignments) == 3
    requests = read_orders(json.dumps([patient, *behind]).encode())
    for known, price in (((), None), (requests, 40e-6)):
        listed = list_locks(document, plan, known)
        first = listed.locks[0]
        assert (first.order, first.is_moved, first.lock_at) == ("0x1", True, NOW)
        assert first.price == (None if price is None else pytest.approx(price))
        assert all(each.done_by <= each.deadline for each in listed.locks)
        assert (listed.expected_profit is None) == (price is None)


def test_a_plan_of_another_round_is_refused():
    document = imported(order(1), order(2)).document
    plan = solved(document)
    with pytest.raises(bondwork.InvalidInput, match="plan"):
        list_locks(imported(order(1)).document, plan)
    none = plan.model_copy(update={"solution": "none"})
    with pytest.raises(bondwork.Refusal):
        list_locks(document, none)


def test_the_example():
    orders = read_orders((MARKETS / "orders.yaml").read_bytes())
    made = make_round(orders, read_broker((MARKETS / "broker.toml").read_bytes()), EXAMPLE)
    assert len(made.passed_over) == 3
    listed = list_locks(made.document, solved(made.document))
    assert len(listed.locks) == 3  # four proofs at a time, and one is at work
    assert listed.collateral <= 150
    assert listed.expected_profit > 0


def test_a_plan_of_many_orders_keeps_every_deadline():
    rng = np.random.default_rng(3)
    orders = []
    for n in range(1, 60):
        size = int(rng.integers(1000, 4000))
        orders.append(
            order(
                n,
                cycles=size * 10**6,
                minPrice=int(size * 2.5e10),
                maxPrice=int(size * 1e11),
                rampUpStart=NOW - int(rng.integers(0, 2000)),
                rampUpPeriod=600 + 2 * size,
                lockTimeout=1800 + 7 * size,
                timeout=2 * (1800 + 7 * size),
                lockCollateral=int(rng.choice([15, 50])) * 10**18,
            )
        )
    broker = (
        BROKER.replace(b"= 1000", b"= 8000").replace(b"= 9", b"= 30").replace(b"0.00000005", b"0.00000003")
    )
    document = imported(
        *orders, broker=broker, rivals=Rivals(1e-4, 1e-3), free_collateral=Decimal(600)
    ).document
    plan = bondwork.solve(bondwork.load(document), time_limit=5)
    assert plan.verified
    requests: list[Order] = read_orders(json.dumps(orders).encode())
    listed = list_locks(document, plan, requests)
    assert len(listed.locks) > 5
    assert all(each.done_by <= each.deadline + 1e-6 for each in listed.locks)
    assert all(each.lock_at <= each.prove_from + 1e-6 for each in listed.locks)
    assert listed.collateral <= 600
