"""What an auction sees of a round: for every column what is asked, what it is worth, and who would do it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bondwork.arrays import freeze_fields
from bondwork.problem.instance import NOBODY
from bondwork.problem.room import executor_room, stake_room
from bondwork.problem.values import net_reward

if TYPE_CHECKING:
    from bondwork.arrays import BoolArray, FloatArray, IntArray
    from bondwork.problem.instance import Instance


@dataclass(frozen=True, slots=True, eq=False)
class Lots:
    """The n columns of a program as bids for tasks.

    Attributes
    ----------
    task
        Shape (n,). Which task.
    executor
        Shape (n,). Coprocessors, then operators who execute themselves (C + operator).
    is_self
        Shape (n,).
    bid
        Shape (n,). Reservation price, or the cost of self-execution; currency.
    reward
        Shape (n,). No price is above it.
    worth
        Shape (n,). What the operator earns if the work is free, against leaving the task: the most that it
        pays is ``worth / paid``.
    paid
        Shape (n,). Expected share of the price that is paid: 1, or the success probability.
    """

    task: IntArray
    executor: IntArray
    is_self: BoolArray
    bid: FloatArray
    reward: FloatArray
    worth: FloatArray
    paid: FloatArray

    def __post_init__(self) -> None:
        freeze_fields(self, "task", "executor", "is_self", "bid", "reward", "worth", "paid")

    @classmethod
    def of(cls, instance: Instance, columns: IntArray) -> Lots:
        """Look the offers of a program's columns up."""
        offers = instance.offers
        is_self = offers.is_self[columns]
        on_success = (instance.terms.bid_paid == "on_success") & ~is_self
        paid = np.where(on_success, offers.success_probability[columns], 1.0)
        left = instance.tasks.unassigned_cost[offers.task[columns]]
        own = len(instance.coprocessors) + offers.operator[columns]
        room = executor_room(instance) + stake_room(instance)[offers.claim]
        return cls(
            task=offers.task[columns],
            executor=np.where(offers.coprocessor[columns] == NOBODY, own, offers.coprocessor[columns]),
            is_self=is_self,
            bid=offers.bid[columns],
            reward=instance.claims.reward[offers.claim[columns]],
            worth=net_reward(instance)[columns] - room[columns] + paid * offers.bid[columns] + left,
            paid=paid,
        )

    @property
    def reserve(self) -> FloatArray:
        """Highest price at which the operator does not lose, and never above the reward. Shape (n,)."""
        with np.errstate(divide="ignore", invalid="ignore"):
            even = np.where(
                self.paid > 0.0, self.worth / self.paid, np.where(self.worth >= 0.0, np.inf, -1.0)
            )
        most: FloatArray = np.minimum(even, self.reward)
        return most
