"""Second-stage offers: which of them can rescue what, and what a rescue is worth (MODEL 4).

Once the outcomes of the first stage are seen, a task whose executor failed may be given to another
coprocessor, and so may a task that nobody does:

- A failed task is rescued for the operator who holds it, by a coprocessor other than the one that failed. It
  adds ``p*(r+s) - paid``: the reward comes after all, and the slashing, counted already, does not.
- A task that was left is taken up for any operator who claims it: ``p*r - (1-p)*s - paid``, plus what leaving
  it would have cost.

What is paid follows the terms, and so does the operator's share of the rescuing collateral. The share of the
failed collateral that the terms give to a rescuer goes to the coprocessor: it is no income here.

A required task must have an executor in the first stage: a promise does not lean on a rescue. Self-execution
in the second stage is not in the format. A task that an earlier round has committed is not decided again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bondwork.arrays import freeze_fields
from bondwork.base.tolerances import WORTH_NOISE
from bondwork.problem.instance import NOBODY
from bondwork.problem.values import (
    cost_size,
    is_below_minimum_collateral,
    is_committed,
    is_eligible,
    is_too_late,
    net_reward,
)

if TYPE_CHECKING:
    from bondwork.arrays import BoolArray, FloatArray, IntArray
    from bondwork.problem.instance import Instance


@dataclass(frozen=True, slots=True, eq=False)
class Rescues:
    """The G second-stage offers that could do something, and the P pairs of a first-stage offer and a rescue.

    Attributes
    ----------
    offers
        Shape (G,). Offers of the instance, ascending.
    after_failure, when_left
        Shape (G,). What each adds in currency when it takes over a failed task, and a task that was left.
    takes_over, takes_up
        Shape (G,), bool. Whether the one and the other is to be considered.
    pair_rescue, pair_offer
        Shape (P,). Rescue ``offers[pair_rescue[k]]`` may follow the failure of offer ``pair_offer[k]``.
    """

    offers: IntArray
    after_failure: FloatArray
    when_left: FloatArray
    takes_over: BoolArray
    takes_up: BoolArray
    pair_rescue: IntArray
    pair_offer: IntArray

    def __post_init__(self) -> None:
        freeze_fields(self, *self.__slots__)

    def __len__(self) -> int:
        """Return the number of rescues."""
        return len(self.offers)

    @property
    def watched(self) -> IntArray:
        """First-stage offers whose failure some rescue could follow, ascending."""
        return np.unique(self.pair_offer)


def has_rescues(instance: Instance) -> bool:
    """Whether the second stage could change the answer."""
    return bool(np.any(instance.offers.stage == 2)) and len(find_rescues(instance)) > 0


def limits_losses(instance: Instance) -> bool:
    """Whether anything about the round measures losses: then a rescue may be worth what it costs."""
    return instance.objective.risk_weight > 0.0 or any(np.isfinite(limit.budget) for limit in instance.risk)


def find_rescues(instance: Instance) -> Rescues:
    """Find the second-stage offers that could do something.

    An offer that could only cost is left out: unless losses are limited or priced, a rescue must pay. What is
    worth nothing, up to `WORTH_NOISE` of the sizes of its terms, does not.

    Examples
    --------
    >>> import bondwork
    >>> instance = bondwork.load({
    ...     "format": "bondwork.round/1",
    ...     "operators": [{"id": "op"}],
    ...     "coprocessors": [{"id": "cheap"}, {"id": "sure"}],
    ...     "tasks": [{"id": "t", "operator": "op", "reward": 8, "slashing": 4}],
    ...     "offers": [
    ...         {"task": "t", "coprocessor": "cheap", "bid": 1, "success_probability": 0.5},
    ...         {"id": "late", "stage": 2, "task": "t", "coprocessor": "sure", "bid": 3,
    ...          "success_probability": 1},
    ...     ],
    ... })
    >>> rescues = find_rescues(instance)
    >>> rescues.after_failure.tolist(), rescues.when_left.tolist()
    ([9.0], [5.0])
    """
    offers, tasks = instance.offers, instance.tasks
    slashing = instance.claims.slashing[offers.claim]
    possible = (offers.stage == 2) & ~is_committed(instance)[offers.task] & ~offers.is_self
    possible &= ~is_below_minimum_collateral(instance) & ~is_too_late(instance)
    possible &= (tasks.quorum[offers.task] <= 1) & (offers.success_probability > 0.0)
    late = np.flatnonzero(possible)
    alone = net_reward(instance)[late]
    after_failure, when_left = alone + slashing[late], alone + tasks.unassigned_cost[offers.task[late]]
    p, cost = offers.success_probability[late], cost_size(instance)[late]
    size = instance.claims.reward[offers.claim[late]] * p + cost
    takes_over = after_failure > WORTH_NOISE * (size + slashing[late] * p)
    takes_over |= limits_losses(instance)
    size += slashing[late] * (1.0 - p) + tasks.unassigned_cost[offers.task[late]]
    takes_up = (when_left > WORTH_NOISE * size) & ~tasks.required[offers.task[late]]
    rescue, offer = _pairs(instance, late)
    followed = np.bincount(rescue, minlength=len(late)) > 0
    takes_over &= followed
    kept = np.flatnonzero(takes_over | takes_up)
    number = np.full(len(late), -1)
    number[kept] = np.arange(len(kept))
    used = (number[rescue] >= 0) & takes_over[rescue]
    return Rescues(
        late[kept],
        after_failure[kept],
        when_left[kept],
        takes_over[kept],
        takes_up[kept],
        number[rescue[used]],
        offer[used],
    )


def is_better_left(instance: Instance, rescues: Rescues) -> BoolArray:
    """Whether a task is better left than given to an offer, even with the best rescue behind. Shape (O,).

    Without it and its rescues no limit is nearer: no best plan needs it, and its amounts, which may drown all
    others, decide nothing. Where losses are limited its outcome may be worth seeing, where the round has
    constraints of its own it may be needed, and a required task cannot be left: there it is never said.
    """
    offers, tasks = instance.offers, instance.tasks
    if limits_losses(instance) or instance.constraints:
        return np.zeros(len(offers), dtype=bool)
    rescued = np.zeros(len(offers))
    np.maximum.at(rescued, rescues.pair_offer, rescues.after_failure[rescues.pair_rescue])
    most = net_reward(instance) + (1.0 - offers.success_probability) * rescued
    better: BoolArray = most < -tasks.unassigned_cost[offers.task]
    return better & ~tasks.required[offers.task]


def _pairs(instance: Instance, late: IntArray) -> tuple[IntArray, IntArray]:
    """Rescues, by place in ``late``, and the first-stage offers whose failure each may follow."""
    offers = instance.offers
    early = np.flatnonzero(is_eligible(instance) & (offers.success_probability < 1.0))
    early = early[np.argsort(offers.claim[early], kind="stable")]
    claim = offers.claim[late]
    first = np.searchsorted(offers.claim[early], claim, side="left")
    count = np.searchsorted(offers.claim[early], claim, side="right") - first
    rescue = np.repeat(np.arange(len(late)), count)
    nth = np.arange(len(rescue)) - np.repeat(np.cumsum(count) - count, count)
    offer = early[np.repeat(first, count) + nth]
    other = (offers.coprocessor[offer] == NOBODY) | (
        offers.coprocessor[offer] != offers.coprocessor[late[rescue]]
    )
    return rescue[other], offer[other]
