"""Orders of Boundless and a broker's settings as a round: one prover, which orders to lock, and when.

The prover is an operator that gives its orders to one serial coprocessor, its cluster, whose speed and number
of proofs at a time are the broker's. What a missed deadline costs is the lock's collateral at its worth in
ETH; half of it is burned, half goes to whoever delivers late.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import numpy as np

from bondwork.market.locking import Ramp, Rivals, best_lock, first_time_at
from bondwork.problem.faults import Fault, InvalidInput
from bondwork.problem.schema import ROUND_FORMAT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bondwork.importers.boundless_broker import Broker, Money
    from bondwork.importers.boundless_orders import Offer, Order

#: Names of the prover and of what it proves with.
PROVER, CLUSTER = "prover", "cluster"

#: Resource that counts proofs at work.
PROOFS = "proofs"

_ETHER = Decimal(10) ** 18


@dataclass(frozen=True, slots=True)
class Conditions:
    """What neither an order nor a broker.toml says.

    Attributes
    ----------
    now
        Unix time.
    eth_per_zkc
        Worth of one ZKC of collateral.
    usd_per_eth
        For settings in USD; ``None``: there may be none.
    gas_price
        Wei for one unit of gas.
    mcycle_cost
        ETH that proving a million cycles costs: energy, rent.
    success_probability
        Of orders that do not say it: delivered in time, once locked.
    free_collateral
        ZKC that is not locked; ``None``: not limited.
    rivals
        How fast others lock orders; ``None``: lock each order as soon as it pays enough, as the broker does.
    opportunity
        ETH that a second of proving earns elsewhere.
    """

    now: int
    eth_per_zkc: Decimal
    usd_per_eth: Decimal | None = None
    gas_price: int = 0
    mcycle_cost: Decimal = Decimal(0)
    success_probability: float = 0.98
    free_collateral: Decimal | None = None
    rivals: Rivals | None = None
    opportunity: float = 0.0


@dataclass(frozen=True, slots=True)
class Imported:
    """A round, and why some orders are in it without an offer.

    Attributes
    ----------
    document
        A ``bondwork.round/1``. The offer of an order is called ``order@lock time``.
    passed_over
        Order and reason.
    """

    document: dict[str, Any]
    passed_over: tuple[tuple[str, str], ...]


def price_at(offer: Offer, at: int) -> int:
    """Price of an order in wei at a time up to its lock deadline, as the market's contracts round it.

    Examples
    --------
    >>> from bondwork.importers.boundless_orders import Offer
    >>> offer = Offer(minPrice=10, maxPrice=20, rampUpStart=100, rampUpPeriod=3, lockTimeout=9, timeout=9,
    ...               lockCollateral=0)
    >>> [price_at(offer, at) for at in (99, 101, 102, 103, 109, 110)]
    [10, 13, 16, 20, 20, 0]
    """
    passed = at - offer.rampUpStart
    if passed > offer.lockTimeout:
        return 0
    if passed <= 0 or offer.rampUpPeriod == 0:
        return offer.minPrice if passed < 0 or offer.rampUpPeriod else offer.maxPrice
    rise = offer.maxPrice - offer.minPrice
    return offer.minPrice + rise * min(passed, offer.rampUpPeriod) // offer.rampUpPeriod


def make_round(orders: Sequence[Order], broker: Broker, conditions: Conditions) -> Imported:
    """Make a round of orders.

    Parameters
    ----------
    orders, broker
        From `read_orders` and `read_broker`.
    conditions
        What is known besides.

    Returns
    -------
    Imported
        The round. Its reward for an order is the price at the time it is to be locked; its bid is gas and
        proving, and what the risk that a rival is faster takes off the order's worth.

    Raises
    ------
    InvalidInput
        Settings in USD without a rate.
    """
    market = _Market(broker, conditions)
    tasks, offers, commitments, passed_over = [], [], [], []
    seconds = 0.0
    for order in orders:
        if order.locked is not None:
            remaining = order.size if order.locked.remainingCycles is None else order.locked.remainingCycles
            seconds += broker.seconds(remaining)
            tasks.append(market.task(order, order.locked.price))
            commitments.append(market.commitment(order))
    times = market.lock_times([each for each in orders if each.locked is None])
    for order in orders:
        if order.locked is not None:
            continue
        reason, at, survival = times[order.id]
        if reason is None:
            tasks.append(market.task(order, price_at(order.offer, at)))
            offers.append(market.offer(order, at, survival))
        else:
            tasks.append(market.task(order, order.offer.maxPrice))
            passed_over.append((order.id, reason))
    cluster: dict[str, Any] = {
        "id": CLUSTER,
        "capacity": {PROOFS: broker.market.max_concurrent_proofs},
        "serial": True,
        "free_at": conditions.now + seconds,
    }
    if conditions.free_collateral is not None:
        cluster["free_collateral"] = format(conditions.free_collateral, "f")
    document = {
        "format": ROUND_FORMAT,
        "name": f"Boundless, {len(orders)} orders",
        "currency": "ETH",
        "decimals": 18,
        "now": conditions.now,
        "operators": [{"id": PROVER}],
        "coprocessors": [cluster],
        "tasks": tasks,
        "offers": offers,
        "commitments": commitments,
        "terms": {
            "bid_paid": "always",
            "collateral_split": {"burned": 0.5, "rescuer": 0.5},
            "collateral_rate": float(conditions.eth_per_zkc),
        },
    }
    return Imported(document, tuple(passed_over))


class _Market:
    """Orders as tasks, offers and commitments, under one broker's settings."""

    def __init__(self, broker: Broker, conditions: Conditions) -> None:
        self.broker, self.conditions = broker, conditions
        faults: list[Fault] = []
        self.floor = self._in(broker.market.min_mcycle_price, "ETH", "min_mcycle_price", faults)
        collateral = broker.market.max_collateral
        self.most_collateral = (
            None if collateral is None else self._in(collateral, "ZKC", "max_collateral", faults)
        )
        if faults:
            raise InvalidInput(faults)

    def _in(self, money: Money, asset: str, name: str, faults: list[Fault]) -> Decimal:
        """An amount in ETH or ZKC; USD at the rates given."""
        rate = self.conditions.usd_per_eth
        if money.asset == asset:
            return money.amount
        if rate is None or rate <= 0 or (asset == "ZKC" and self.conditions.eth_per_zkc <= 0):
            expected = f"an amount in {asset}, or the worth of ETH in USD and of ZKC in ETH, above 0"
            faults.append(Fault(f"broker.toml $.market.{name}", f"{money.amount} {money.asset}", expected))
            return money.amount
        ether = money.amount / rate
        return ether if asset == "ETH" else ether / self.conditions.eth_per_zkc

    # --- what an order becomes ----------------------------------------------------------------------------

    def task(self, order: Order, price: int) -> dict[str, Any]:
        """Make the task of an order."""
        return {
            "id": order.id,
            "operator": PROVER,
            "reward": _ether(price),
            "slashing": format(self._at_stake(order), "f"),
            "minimum_collateral": _ether(order.offer.lockCollateral),
            "work": {PROOFS: 1},
            "deadline": order.deadline - self.broker.batcher.block_deadline_buffer_secs,
        }

    def offer(self, order: Order, at: int, survival: float) -> dict[str, Any]:
        """Make the offer to lock an order at a time."""
        cost = self._cost(order)
        p = self._chance(order)
        won = p * float(Decimal(price_at(order.offer, at)) / _ETHER) - float(cost)
        won -= (1.0 - p) * float(self._at_stake(order))
        lost_race = (1.0 - survival) * max(won, 0.0)
        return {
            "id": f"{order.id}@{at}",
            "task": order.id,
            "coprocessor": CLUSTER,
            "bid": format(cost, "f") if lost_race == 0.0 else float(cost) + lost_race,
            "collateral": _ether(order.offer.lockCollateral),
            "success_probability": p,
            "duration": self.broker.seconds(order.size),
        }

    def commitment(self, order: Order) -> dict[str, Any]:
        """Make the commitment of a locked order."""
        return {
            "id": order.id,
            "task": order.id,
            "operator": PROVER,
            "executor": CLUSTER,
            "collateral": _ether(order.offer.lockCollateral),
            "work": {PROOFS: 1},
            "success_probability": self._chance(order),
            "release_at": max(order.deadline, self.conditions.now),
        }

    # --- when to lock -------------------------------------------------------------------------------------

    def lock_times(self, orders: Sequence[Order]) -> dict[str, tuple[str | None, int, float]]:
        """For each order, why it is passed over, or when to lock it and the chance that it is open then."""
        if not orders:
            return {}
        column = [[float(value) for value in each] for each in zip(*map(self._row, orders), strict=True)]
        start, period, low, high, floor, latest, p, cost, stake, duration = map(np.array, column)
        now = float(self.conditions.now)
        ramp = Ramp(start, period, low, high)
        soonest = np.maximum(np.ceil(first_time_at(ramp, floor)), now)
        rivals = self.conditions.rivals
        reachable = np.isfinite(soonest) & (soonest <= latest)
        begin = np.where(reachable, soonest, now)
        best = best_lock(
            ramp,
            rivals or Rivals(),
            now=begin,
            latest=np.maximum(latest, begin),
            success=p,
            cost=cost,
            slashing=stake,
            opportunity=self.conditions.opportunity * duration,
        )
        # without rivals to fear one would always wait; a broker locks as soon as it may
        at = begin if rivals is None else np.where(np.isnan(best.at), begin, np.round(best.at))
        at = np.clip(at, begin, np.maximum(latest, begin))
        survival = np.ones(len(at)) if rivals is None else rivals.survival(ramp, now, at)
        found: dict[str, tuple[str | None, int, float]] = {}
        for number, order in enumerate(orders):
            reason = self._reason(order, bool(latest[number] < now), bool(reachable[number]))
            if reason is None and not best.value[number] > 0.0:
                reason = "worth nothing at any time, failures and costs taken off"
            found[order.id] = (reason, int(at[number]), float(survival[number]))
        return found

    def _row(self, order: Order) -> tuple[float, ...]:
        offer, settings = order.offer, self.broker.market
        duration = self.broker.seconds(order.size)
        least_left = max(
            duration + self.broker.batcher.block_deadline_buffer_secs, float(settings.min_deadline)
        )
        gas = Decimal(settings.gas * self.conditions.gas_price) / _ETHER
        return (
            float(offer.rampUpStart),
            float(offer.rampUpPeriod),
            float(Decimal(offer.minPrice) / _ETHER),
            float(Decimal(offer.maxPrice) / _ETHER),
            float(self.floor * order.megacycles() + gas),
            math.floor(order.deadline - least_left),
            self._chance(order),
            float(self._cost(order)),
            float(self._at_stake(order)),
            duration,
        )

    def _reason(self, order: Order, is_late: bool, is_reachable: bool) -> str | None:
        """Why the broker would pass an order over; ``None`` where it would not."""
        settings, size = self.broker.market, order.megacycles()
        collateral = Decimal(order.offer.lockCollateral) / _ETHER
        if not settings.min_mcycle_limit <= size <= settings.max_mcycle_limit:
            limits = f"{settings.min_mcycle_limit} to {settings.max_mcycle_limit}"
            return f"{size:f} megacycles, and the broker takes {limits}"
        if self.most_collateral is not None and collateral > self.most_collateral:
            return f"{collateral:f} ZKC of collateral, and the broker posts at most {self.most_collateral:f}"
        if is_late:
            return "too little time left before the deadline"
        if not is_reachable:
            return "never pays the broker's least price for a megacycle while there is time left"
        return None

    def _chance(self, order: Order) -> float:
        own = order.success_probability
        return self.conditions.success_probability if own is None else own

    def _cost(self, order: Order) -> Decimal:
        """Gas and proving, in ETH."""
        gas = Decimal(self.broker.market.gas * self.conditions.gas_price) / _ETHER
        return gas + self.conditions.mcycle_cost * order.megacycles()

    def _at_stake(self, order: Order) -> Decimal:
        """What a missed deadline costs, in ETH."""
        return Decimal(order.offer.lockCollateral) / _ETHER * self.conditions.eth_per_zkc


def _ether(wei: int) -> str:
    return format(Decimal(wei).scaleb(-18), "f")
