"""The ledger conserves money to the last unit, whatever happens to it."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bondwork.market.settlement import Insolvent, Ledger, balances, split
from bondwork.problem.instance import Terms

OPERATORS, COPROCESSORS = ["op-1", "op-2"], ["cp-1", "cp-2"]
amounts = st.one_of(
    st.integers(0, 10**21),
    st.decimals(0, 10**6, places=18),
    st.floats(0.0, 1e6, allow_nan=False),
)


@st.composite
def shares(draw: st.DrawFn) -> Terms:
    parts = draw(st.lists(st.integers(0, 1000), min_size=3, max_size=3).filter(lambda x: sum(x) <= 1000))
    first, second, third = (each / 1000 for each in parts)
    return Terms(burned=1.0 - first - second - third, operator=first, rescuer=second, treasury=third)


@given(st.data(), shares(), st.integers(0, 18))
@settings(max_examples=150, deadline=None)
def test_money_is_conserved(data: st.DataObject, terms: Terms, decimals: int):
    ledger = Ledger(decimals=decimals, terms=terms)
    for name in OPERATORS:
        ledger.deposit_stake(name, data.draw(amounts))
    for name in COPROCESSORS:
        ledger.deposit_collateral(name, data.draw(amounts))
    for number in range(data.draw(st.integers(0, 12))):
        operator, coprocessor = (
            data.draw(st.sampled_from(OPERATORS)),
            data.draw(st.sampled_from(COPROCESSORS)),
        )
        work, amount = f"w-{number}", data.draw(amounts)
        try:
            ledger.lock(work, coprocessor, amount)
        except Insolvent:
            assert ledger.units(amount) > ledger.coprocessors[coprocessor].free
        assert ledger.imbalance() == 0
        fate = data.draw(st.integers(0, 4))
        if fate == 0:
            ledger.succeed(work, operator, reward=data.draw(amounts), price=data.draw(amounts))
        elif fate == 1:
            rescuer = data.draw(st.sampled_from([None, *COPROCESSORS]))
            ledger.fail(
                work, operator, slashing=data.draw(amounts), price=data.draw(amounts), rescuer=rescuer
            )
        elif fate == 2:
            ledger.release(work)
        elif fate == 3:
            ledger.withdraw_stake(operator, data.draw(amounts))
            ledger.withdraw_collateral(coprocessor, data.draw(amounts))
        assert ledger.imbalance() == 0
        held = sum(lock.amount for lock in ledger.locks.values())
        assert held == sum(account.locked for account in ledger.coprocessors.values())
        for account in ledger.operators.values():
            assert min(account.stake, account.balance) >= 0
        for other in ledger.coprocessors.values():
            assert min(other.free, other.locked, other.balance) >= 0
    assert all(each >= 0 for each in balances(ledger).values())


@given(st.integers(0, 10**24), shares())
@settings(deadline=None)
def test_splits_lose_nothing(units: int, terms: Terms):
    wanted = (terms.burned, terms.operator, terms.rescuer, terms.treasury)
    parts = split(units, wanted)
    assert sum(parts) == units
    for part, share in zip(parts, wanted, strict=True):
        assert part >= 0
        assert abs(Decimal(part) - Decimal(repr(share)) * units) <= 1 + Decimal(units) / 10**15


def test_half_burned_half_to_the_late_deliverer():
    ledger = Ledger(decimals=0, terms=Terms(burned=0.5, rescuer=0.5))
    ledger.deposit_stake("op", 100)
    ledger.deposit_collateral("cp", 50)
    ledger.lock("w", "cp", 40)
    assert (ledger.coprocessors["cp"].free, ledger.coprocessors["cp"].locked) == (10, 40)
    settled = ledger.fail("w", "op", slashing=30, price=5, rescuer="late")
    assert (settled.burned, settled.to_rescuer, settled.slashed, settled.price) == (20, 20, 30, 5)
    assert ledger.coprocessors["late"].balance == 20
    assert ledger.operators["op"].stake == 65  # what its balance could not pay came off its stake
    assert ledger.burned == 50


def test_what_cannot_be_paid_is_told():
    ledger = Ledger(decimals=0, least_stake=1)
    ledger.deposit_stake("op", 10)
    settled = ledger.fail("w", "op", slashing=25)
    assert (settled.slashed, settled.shortfall) == (10, 15)
    assert not ledger.is_active("op")
    assert not ledger.is_active("nobody")


def test_rewards_and_payments():
    ledger = Ledger(decimals=2)
    ledger.deposit_collateral("cp", 5)
    ledger.lock("w", "cp", 5)
    settled = ledger.succeed("w", "op", reward="12.34", price="2.3")
    assert (settled.reward, settled.price, settled.shortfall) == (1234, 230, 0)
    assert ledger.operators["op"].balance == 1004
    assert (ledger.coprocessors["cp"].free, ledger.coprocessors["cp"].balance) == (500, 230)


def test_locks_are_idempotent_and_exclusive():
    ledger = Ledger(decimals=0)
    ledger.deposit_collateral("cp", 10)
    ledger.lock("w", "cp", 4)
    ledger.lock("w", "cp", 4)
    assert ledger.coprocessors["cp"].locked == 4
    with pytest.raises(ValueError, match="locked already"):
        ledger.lock("w", "cp", 5)
    with pytest.raises(Insolvent, match="6 units free"):
        ledger.lock("v", "cp", 7)
    assert ledger.release("nothing") == 0


def test_wei_are_exact():
    ledger = Ledger(decimals=18)
    assert ledger.units("0.000000000000000001") == 1
    assert ledger.units(0.1) == 10**17
    assert ledger.amount(10**18 + 1) == Decimal("1.000000000000000001")
    for bad in (-1, float("nan"), "-0.5", float("inf")):
        with pytest.raises(ValueError, match="expected a number >= 0"):
            ledger.units(bad)
