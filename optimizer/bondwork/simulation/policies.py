"""Who decides: the paper's auction on its fast road, or any strategy of rounds through `bondwork.solve`."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Protocol

import numpy as np

from bondwork.market.auction import tie_order
from bondwork.simulation.kernels import hold_clock
from bondwork.simulation.rounds import make_round

if TYPE_CHECKING:
    from bondwork.arrays import FloatArray, IntArray
    from bondwork.simulation.market import Market
    from bondwork.simulation.rules import Rules

#: The name of the fast road.
AUCTION = "auction"


class Policy(Protocol):
    """Decides a period."""

    def decide(self, market: Market, seed: int) -> tuple[IntArray, FloatArray]:
        """Choose columns of the market, each with what is agreed to be paid for it, in currency.

        Every limit of the market must hold; a task has at most ``replicas`` columns.
        """
        ...


def make_policy(rules: Rules) -> Policy:
    """Find a policy by its name.

    Raises
    ------
    InvalidInput
        No strategy of that name is installed, or it has no such settings.
    """
    if rules.policy.name == AUCTION:
        return Clock(rules)
    return Solver(rules)


class Clock:
    """The auction of `bondwork.market.auction`, compiled, with replicas and stake besides."""

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        policy = rules.policy
        if policy.clock == "posted":
            self.shares, self.rising = np.array([policy.share]), True
        else:
            self.shares = np.linspace(policy.start, policy.end, policy.ticks)
            self.rising = policy.clock == "rising"

    def decide(self, market: Market, seed: int) -> tuple[IntArray, FloatArray]:
        """See `Policy`."""
        policy, replicas = self.rules.policy, self.rules.tasks.replicas
        columns, prices = hold_clock(
            market.task,
            market.executor,
            market.is_self,
            market.bid,
            market.reward,
            reserve_prices(self.rules, market),
            market.work,
            market.collateral,
            market.owner,
            market.slashing,
            tie_order(seed, len(market.task)),
            self.shares,
            self.rising,
            (policy.premium, policy.margin, policy.stay_away),
            market.capacity,
            market.free,
            market.stake,
            replicas,
        )
        return with_quorum(market, columns, prices, self.rules.tasks.quorum)


class Solver:
    """Every period becomes a round that `bondwork.solve` decides and verifies."""

    def __init__(self, rules: Rules) -> None:
        from bondwork.registry import find_strategy
        from bondwork.settings import read_settings

        self.rules = rules
        name, settings = rules.policy.name, rules.policy.settings
        read_settings(find_strategy(name), settings, f"strategy {name}")

    def decide(self, market: Market, seed: int) -> tuple[IntArray, FloatArray]:
        """See `Policy`; nothing is given away by a plan that does not verify, and a warning tells of it."""
        from bondwork.repairing import VerificationFailure
        from bondwork.solving import solve

        policy = self.rules.policy
        if not len(market.task):
            return np.zeros(0, dtype=np.int64), np.zeros(0)
        try:
            plan = solve(
                make_round(self.rules, market),
                strategy=policy.name,
                time_limit=np.inf if policy.time_limit is None else policy.time_limit,
                mip_rel_gap=policy.mip_rel_gap,
                threads=policy.threads,
                seed=seed,
                settings=policy.settings,
            )
        except VerificationFailure as failure:
            warnings.warn(f"a market without work: {failure}", RuntimeWarning, stacklevel=2)
            return np.zeros(0, dtype=np.int64), np.zeros(0)
        # offers are called by their columns
        columns = np.array([int(each.offer) for each in plan.assignments], dtype=np.int64)
        return columns, np.array([each.price for each in plan.assignments])


def reserve_prices(rules: Rules, market: Market) -> FloatArray:
    """Highest price at which each column does not lose its operator anything; never above the reward.

    As `bondwork.market.lots.Lots.reserve`; with replicas each has its part of what the task is worth.
    """
    p = market.probability
    paid = np.ones(len(p))
    if rules.collateral.bid_paid == "on_success":
        paid = np.where(market.is_self, 1.0, p)
    returned = rules.collateral.operator * 1.0 * market.collateral * (1.0 - p)
    net = market.reward * p - paid * market.bid - market.slashing * (1.0 - p) + returned
    worth = (net + paid * market.bid) / rules.tasks.replicas
    with np.errstate(divide="ignore", invalid="ignore"):
        even = np.where(paid > 0.0, worth / paid, np.where(worth >= 0.0, np.inf, -1.0))
    most: FloatArray = np.minimum(even, market.reward)
    return most


def with_quorum(
    market: Market, columns: IntArray, prices: FloatArray, quorum: int
) -> tuple[IntArray, FloatArray]:
    """Leave out tasks that found too few executors."""
    if quorum == 1 or not len(columns):
        return columns, prices
    found = np.bincount(market.task[columns], minlength=len(market.operator))
    enough = found[market.task[columns]] >= quorum
    return columns[enough], prices[enough]
