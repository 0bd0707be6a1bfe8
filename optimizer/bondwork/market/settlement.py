"""The ledger: stake, collateral, locks, payments and slashes in whole numbers of the smallest unit.

Money is conserved to the last unit: what enters comes from outside, what leaves the accounts is burned or
goes outside, and the sum over everything never changes. Nobody's account goes below zero: who cannot pay in
full pays what there is, and the shortfall is told.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import ROUND_HALF_EVEN, Context, Decimal
from fractions import Fraction
from typing import TYPE_CHECKING, TypeAlias

from bondwork.problem.instance import Terms

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

#: What amounts may be given as; floats are taken by their shortest decimal form.
Amount: TypeAlias = int | float | str | Decimal

#: Digits enough for the largest amount of a round in the smallest unit; Python's default of 28 is not.
_EXACT = Context(prec=500)


class Insolvent(ValueError):
    """A lock is larger than the free collateral that it should come from."""


@dataclass(slots=True)
class OperatorAccount:
    """What an operator has: slashable ``stake``, and ``balance`` from rewards. Smallest units."""

    stake: int = 0
    balance: int = 0


@dataclass(slots=True)
class CoprocessorAccount:
    """What a coprocessor has: ``free`` and ``locked`` collateral, and ``balance`` from payments."""

    free: int = 0
    locked: int = 0
    balance: int = 0


@dataclass(frozen=True, slots=True)
class Lock:
    """Collateral that is held until a piece of work is settled."""

    coprocessor: str
    amount: int


@dataclass(frozen=True, slots=True)
class Settled:
    """What one settlement moved, in smallest units.

    Attributes
    ----------
    reward, price, slashed
        To the operator, from it to the executor, and off its stake.
    burned, to_operator, to_rescuer, to_treasury
        How forfeited collateral was split.
    shortfall
        Part of price and slashing that nobody could pay.
    """

    reward: int = 0
    price: int = 0
    slashed: int = 0
    burned: int = 0
    to_operator: int = 0
    to_rescuer: int = 0
    to_treasury: int = 0
    shortfall: int = 0


@dataclass(slots=True)
class Ledger:
    """All accounts of a network.

    Parameters
    ----------
    decimals
        Amounts are whole numbers of 10**-decimals of the currency (18: wei of an ether).
    terms
        Shares into which forfeited collateral is split.
    least_stake
        Operators whose stake is below it have left; in smallest units.

    Examples
    --------
    >>> ledger = Ledger(decimals=2, terms=Terms(burned=0.5, rescuer=0.5), least_stake=500)
    >>> ledger.deposit_stake("op", "10")
    >>> ledger.deposit_collateral("cp", 3)
    >>> ledger.lock("work", "cp", "1.01")
    >>> settled = ledger.fail("work", "op", slashing="6.50")
    >>> settled.burned, settled.to_treasury, ledger.operators["op"].stake, ledger.is_active("op")
    (101, 0, 350, False)
    >>> ledger.imbalance()
    0
    """

    decimals: int = 18
    terms: Terms = field(default_factory=Terms)
    least_stake: int = 0
    operators: dict[str, OperatorAccount] = field(default_factory=dict)
    coprocessors: dict[str, CoprocessorAccount] = field(default_factory=dict)
    locks: dict[str, Lock] = field(default_factory=dict)
    burned: int = 0
    treasury: int = 0
    outside: int = 0

    def units(self, amount: Amount) -> int:
        """Turn an amount of currency into smallest units, rounded half to even.

        Raises
        ------
        ValueError
            It is negative or not finite.
        """
        return smallest_units(amount, self.decimals)

    # --- money that comes and goes ------------------------------------------------------------------------

    def deposit_stake(self, operator: str, amount: Amount) -> None:
        """Put stake into an operator's account, from outside."""
        units = self.units(amount)
        self.operators.setdefault(operator, OperatorAccount()).stake += units
        self.outside -= units

    def deposit_collateral(self, coprocessor: str, amount: Amount) -> None:
        """Put free collateral into a coprocessor's account, from outside."""
        units = self.units(amount)
        self.coprocessors.setdefault(coprocessor, CoprocessorAccount()).free += units
        self.outside -= units

    def withdraw_stake(self, operator: str, amount: Amount) -> int:
        """Take stake out, at most what is there; return the units."""
        account = self.operators[operator]
        units = min(self.units(amount), account.stake)
        account.stake -= units
        self.outside += units
        return units

    def withdraw_collateral(self, coprocessor: str, amount: Amount) -> int:
        """Take free collateral out, at most what is free; return the units."""
        account = self.coprocessors[coprocessor]
        units = min(self.units(amount), account.free)
        account.free -= units
        self.outside += units
        return units

    # --- work ---------------------------------------------------------------------------------------------

    def lock(self, work: str, coprocessor: str, amount: Amount) -> None:
        """Lock collateral for a piece of work. The same lock again changes nothing.

        Raises
        ------
        Insolvent
            Less is free.
        ValueError
            The work has another lock already.
        """
        wanted = Lock(coprocessor, self.units(amount))
        if work in self.locks:
            if self.locks[work] != wanted:
                raise ValueError(f"work {work!r} is locked already: {self.locks[work]}")
            return
        account = self.coprocessors.setdefault(coprocessor, CoprocessorAccount())
        if wanted.amount > account.free:
            raise Insolvent(f"{coprocessor} has {account.free} units free, {wanted.amount} are to be locked")
        account.free -= wanted.amount
        account.locked += wanted.amount
        self.locks[work] = wanted

    def release(self, work: str) -> int:
        """Give a lock's collateral back; 0 where there is none. Return the units."""
        if work not in self.locks:
            return 0
        lock = self.locks.pop(work)
        account = self.coprocessors[lock.coprocessor]
        account.locked -= lock.amount
        account.free += lock.amount
        return lock.amount

    def succeed(self, work: str, operator: str, *, reward: Amount, price: Amount) -> Settled:
        """Settle work that was done: the reward comes in, the price is paid, the lock is released."""
        lock = self.locks.get(work)
        executor = None if lock is None else lock.coprocessor
        self.release(work)
        earned = self.units(reward)
        account = self.operators.setdefault(operator, OperatorAccount())
        account.balance += earned
        self.outside -= earned
        paid, short = self._pay(operator, executor, self.units(price))
        return Settled(reward=earned, price=paid, shortfall=short)

    def fail(
        self,
        work: str,
        operator: str,
        *,
        slashing: Amount,
        price: Amount = 0,
        rescuer: str | None = None,
    ) -> Settled:
        """Settle work that was not done: the stake is slashed, the collateral split, the price paid if due.

        Without a rescuer its share is burned. Slashed stake is burned.
        """
        lock = self.locks.pop(work, None)
        executor = None if lock is None else lock.coprocessor
        account = self.operators.setdefault(operator, OperatorAccount())
        paid, short = self._pay(operator, executor, self.units(price))
        wanted = self.units(slashing)
        slashed = min(wanted, account.stake)
        account.stake -= slashed
        self.burned += slashed
        if lock is None:
            return Settled(price=paid, slashed=slashed, shortfall=short + wanted - slashed)
        self.coprocessors[lock.coprocessor].locked -= lock.amount
        burned, to_operator, to_rescuer, to_treasury = split(
            lock.amount,
            (self.terms.burned, self.terms.operator, self.terms.rescuer, self.terms.treasury),
        )
        if rescuer is None:
            burned, to_rescuer = burned + to_rescuer, 0
        else:
            self.coprocessors.setdefault(rescuer, CoprocessorAccount()).balance += to_rescuer
        self.burned += burned
        account.balance += to_operator
        self.treasury += to_treasury
        return Settled(
            price=paid,
            slashed=slashed,
            burned=burned,
            to_operator=to_operator,
            to_rescuer=to_rescuer,
            to_treasury=to_treasury,
            shortfall=short + wanted - slashed,
        )

    # --- what there is ------------------------------------------------------------------------------------

    def is_active(self, operator: str) -> bool:
        """Whether an operator's stake still is at least ``least_stake``."""
        return operator in self.operators and self.operators[operator].stake >= self.least_stake

    def imbalance(self) -> int:
        """Sum over all accounts, burned and outside: 0, always."""
        total = self.burned + self.treasury + self.outside
        total += sum(account.stake + account.balance for account in self.operators.values())
        total += sum(
            account.free + account.locked + account.balance for account in self.coprocessors.values()
        )
        return total

    def amount(self, units: int) -> Decimal:
        """Turn smallest units into currency, exactly."""
        return Decimal(units).scaleb(-self.decimals, _EXACT)

    def _pay(self, operator: str, executor: str | None, units: int) -> tuple[int, int]:
        """Pay from an operator's balance, then from its stake; return what was paid and what was not.

        What an operator pays for executing a task itself goes outside: to whoever sells it power and
        machines.
        """
        account = self.operators[operator]
        from_balance = min(units, account.balance)
        from_stake = min(units - from_balance, account.stake)
        account.balance -= from_balance
        account.stake -= from_stake
        paid = from_balance + from_stake
        if executor is None:
            self.outside += paid
        else:
            self.coprocessors.setdefault(executor, CoprocessorAccount()).balance += paid
        return paid, units - paid


def smallest_units(amount: Amount, decimals: int) -> int:
    """Count an amount of currency in whole numbers of 10**-decimals, rounded half to even.

    Raises
    ------
    ValueError
        It is negative or not finite.

    Examples
    --------
    >>> smallest_units("0.025", 2), smallest_units(1e22, 18) == 10**40
    (2, True)
    """
    number = Decimal(repr(amount)) if isinstance(amount, float) else Decimal(amount)
    if not number.is_finite() or number < 0:
        raise ValueError(f"amount is {amount!r}, expected a number >= 0")
    return int(number.scaleb(decimals, _EXACT).to_integral_value(ROUND_HALF_EVEN, _EXACT))


def split(units: int, shares: Sequence[float]) -> tuple[int, ...]:
    """Split units by shares that add up to 1, without losing one: largest remainders first.

    Equal remainders go to whoever stands first.

    Examples
    --------
    >>> split(101, (0.5, 0.0, 0.5, 0.0))
    (51, 0, 50, 0)
    """
    parts = [Fraction(repr(share)) for share in shares]
    total = sum(parts)  # 1, but for what binary fractions round
    exact = [units * part / total for part in parts]
    whole = [int(each) for each in exact]
    order = sorted(range(len(parts)), key=lambda i: (whole[i] - exact[i], i))
    for i in order[: units - sum(whole)]:
        whole[i] += 1
    return tuple(whole)


def balances(ledger: Ledger) -> Mapping[str, Decimal]:
    """What each account holds in all, in currency: for tables and figures."""
    held = {name: each.stake + each.balance for name, each in ledger.operators.items()}
    held |= {name: each.free + each.locked + each.balance for name, each in ledger.coprocessors.items()}
    return {name: ledger.amount(units) for name, units in held.items()}
