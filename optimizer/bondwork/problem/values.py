"""What an offer is worth, what it risks, and whether it can be chosen at all (MODEL 1, 2.5, 5)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bondwork.base.money import as_counted

if TYPE_CHECKING:
    from bondwork.arrays import BoolArray, FloatArray, IntArray
    from bondwork.problem.instance import Instance


def net_reward(instance: Instance) -> FloatArray:
    """Expected net reward of choosing each offer, in currency. Shape (O,).

    ``r*p - (b or p*b) - s*(1-p) + operator_share*l*(1-p)`` (MODEL 2.5), with collateral turned into
    currency. The cost of self-execution is paid whatever comes of it.
    """
    offers, claims = instance.offers, instance.claims
    p = offers.success_probability
    failure = 1.0 - p
    slashed = claims.slashing[offers.claim] * failure
    return claims.reward[offers.claim] * p - _paid(instance) - slashed + _returned(instance)


def expected_cost(instance: Instance) -> FloatArray:
    """Expected cost of each offer: what is paid, less the collateral that comes back. Shape (O,)."""
    return _paid(instance) - _returned(instance)


def cost_size(instance: Instance) -> FloatArray:
    """Sum of the sizes of what each offer costs: what is paid, and the collateral that comes back."""
    size: FloatArray = np.abs(_paid(instance)) + np.abs(_returned(instance))
    return size


def _paid(instance: Instance) -> FloatArray:
    offers = instance.offers
    if instance.terms.bid_paid == "on_success":
        return np.where(offers.is_self, offers.bid, offers.success_probability * offers.bid)
    return offers.bid


def _returned(instance: Instance) -> FloatArray:
    offers, terms = instance.offers, instance.terms
    failure = 1.0 - offers.success_probability
    returned: FloatArray = terms.operator * terms.collateral_rate * offers.collateral * failure
    return returned


def posted(instance: Instance) -> FloatArray:
    """Collateral of each offer as a ledger counts it, in collateral units. Shape (O,).

    Examples
    --------
    >>> import bondwork
    >>> from bondwork.problem.values import at_stake, posted
    >>> instance = bondwork.load({
    ...     "format": "bondwork.round/1",
    ...     "decimals": 2,
    ...     "operators": [{"id": "op-1"}],
    ...     "coprocessors": [{"id": "cp-1"}],
    ...     "tasks": [{"id": "t-1", "operator": "op-1", "reward": 8, "slashing": 16.005}],
    ...     "offers": [{"task": "t-1", "coprocessor": "cp-1", "bid": 2, "collateral": 0.125,
    ...                 "success_probability": 0.875}],
    ... })
    >>> posted(instance).tolist(), at_stake(instance).tolist()
    ([0.12], [16.0])
    """
    return as_counted(instance.offers.collateral, instance.decimals)


def at_stake(instance: Instance) -> FloatArray:
    """Slashing of each claim as a ledger counts it, in currency. Shape (L,)."""
    return as_counted(instance.claims.slashing, instance.decimals)


def expected_slashing(instance: Instance) -> FloatArray:
    """Expected amount slashed by choosing each offer, in currency: ``s*(1-p)``. Shape (O,)."""
    offers = instance.offers
    return instance.claims.slashing[offers.claim] * (1.0 - offers.success_probability)


def expected_benefit(instance: Instance) -> FloatArray:
    """Share of each offer in B[v], ``r*p - s*(1-p)``, bids not deducted (MODEL 1). Shape (O,)."""
    offers = instance.offers
    return instance.claims.reward[offers.claim] * offers.success_probability - expected_slashing(instance)


def is_committed(instance: Instance) -> BoolArray:
    """Whether an earlier round's commitment holds each task. Shape (A,)."""
    committed = np.zeros(len(instance.tasks), dtype=bool)
    committed[instance.commitments.task] = True
    return committed


def is_below_minimum_collateral(instance: Instance) -> BoolArray:
    """Whether each offer posts less than its task demands, as a ledger counts both (MODEL 1). Shape (O,)."""
    offers = instance.offers
    demanded = as_counted(instance.tasks.minimum_collateral, instance.decimals)
    return ~offers.is_self & (posted(instance) < demanded[offers.task])


def is_too_late(instance: Instance) -> BoolArray:
    """Whether each offer's serial coprocessor is free only after the deadline (MODEL 2.9). Shape (O,)."""
    offers, coprocessors = instance.offers, instance.coprocessors
    late = np.zeros(len(offers), dtype=bool)
    serial = ~offers.is_self
    serial[serial] = coprocessors.serial[offers.coprocessor[serial]]
    free_from = np.maximum(coprocessors.free_at[offers.coprocessor[serial]], instance.now)
    late[serial] = instance.tasks.deadline[offers.task[serial]] < free_from
    return late


def count_executors(instance: Instance, choosable: BoolArray) -> IntArray:
    """Count who can execute each claim; an executor with two offers for a task is one. Shape (L,)."""
    offers = instance.offers
    pairs = np.unique(np.column_stack([offers.claim, offers.coprocessor])[choosable], axis=0)
    return np.bincount(pairs[:, 0], minlength=len(instance.claims))


def is_short_of_quorum(instance: Instance, choosable: BoolArray) -> BoolArray:
    """Whether each offer's operator has too few executors for the task's quorum. Shape (O,)."""
    offers = instance.offers
    if np.all(instance.tasks.quorum <= 1):  # sorting all offers is for those who need it
        return np.zeros(len(offers), dtype=bool)
    executors = count_executors(instance, choosable)
    short: BoolArray = executors[offers.claim] < instance.tasks.quorum[offers.task]
    return short


def is_eligible(instance: Instance) -> BoolArray:
    """Whether each offer can be chosen in this round. Shape (O,).

    First-stage offers of tasks that nobody holds yet, with enough collateral, not too late, whose operator
    has enough executors for the task's quorum.
    """
    offers = instance.offers
    choosable = (
        (offers.stage == 1)
        & ~is_committed(instance)[offers.task]
        & ~is_below_minimum_collateral(instance)
        & ~is_too_late(instance)
    )
    eligible: BoolArray = choosable & ~is_short_of_quorum(instance, choosable)
    return eligible


def paid_above_bid(instance: Instance, price: FloatArray) -> FloatArray:
    """Expected payment at agreed prices above that at the bids. Shapes (O,), in currency."""
    offers = instance.offers
    on_success = (instance.terms.bid_paid == "on_success") & ~offers.is_self
    above: FloatArray = np.where(on_success, offers.success_probability, 1.0) * (price - offers.bid)
    return above
