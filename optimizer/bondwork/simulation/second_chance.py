"""What is left of a period's market once first results are in: failed and unassigned tasks, and who has room.

A policy decides it like any market. For a task that failed, success is worth the reward and the slashing that
it averts, and failure costs nothing more (MODEL 4): its reward becomes r + s, its slashing 0. What the offers
left over would come to nobody has seen; capacity already used stays spent.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from bondwork.simulation.rules import UNITS

if TYPE_CHECKING:
    from bondwork.arrays import IntArray
    from bondwork.simulation.market import Market


def remaining_market(market: Market, chosen: IntArray) -> tuple[Market, IntArray]:
    """The market of second chances.

    Parameters
    ----------
    market
        The period's.
    chosen
        Columns chosen there, one a task at most.

    Returns
    -------
    tuple
        The market of the columns that are left, and which columns of the period's market they are.
    """
    tasks, executors = len(market.operator), len(market.capacity)
    failed = np.zeros(tasks, dtype=bool)
    failed[market.task[chosen[market.fails[chosen]]]] = True
    open_ = market.operator >= 0
    open_[market.task[chosen]] = False
    open_ |= failed
    left = open_[market.task]
    left[chosen] = False
    used = np.bincount(market.executor[chosen], market.work[chosen], executors)
    held = np.bincount(market.executor[chosen], market.collateral[chosen], executors)[: len(market.free)]
    at_stake = np.bincount(market.owner[chosen], market.slashing[chosen], len(market.stake))
    reward = np.where(failed, market.reward_units + market.slashing_units, market.reward_units)
    slashing = np.where(failed, 0, market.slashing_units)
    columns = np.flatnonzero(left)
    by_column = {
        field.name: getattr(market, field.name)[columns]
        for field in dataclasses.fields(market)
        if field.name in _OF_COLUMNS
    }
    task = by_column["task"]
    rest = dataclasses.replace(
        market,
        **{**by_column, "reward": reward[task] / UNITS, "slashing": slashing[task] / UNITS},
        operator=np.where(open_, market.operator, -1),
        reward_units=reward,
        slashing_units=slashing,
        capacity=np.maximum(market.capacity - used, 0.0),
        free=np.maximum(market.free - held, 0.0),
        stake=np.maximum(market.stake - at_stake, 0.0),
    )
    return rest, columns


_OF_COLUMNS = frozenset(
    (
        *("task", "executor", "is_self", "owner", "bid", "work", "probability", "collateral"),
        *("collateral_units", "fails", "wrong"),
    )
)
