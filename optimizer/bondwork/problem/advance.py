"""From a round and what was decided in it to the round of the next period: what is carried over.

What was chosen and is not released yet becomes a commitment with its collateral locked; what is released
returns its collateral and frees its stake, or forfeits both. What is left of a team stays one: its quorum is
what is missing of it.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bondwork.arrays import freeze_fields, sum_by_owner
from bondwork.base.tolerances import SUM
from bondwork.problem.instance import NOBODY, Claims, Commitments, Instance, Period, Tasks
from bondwork.problem.reading import content_digest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bondwork.arrays import BoolArray, FloatArray, IntArray


@dataclass(frozen=True, slots=True, eq=False)
class Due:
    """What a period releases, or the end of the horizon: offers chosen now, and commitments.

    Attributes
    ----------
    offers, commitments
        Indices into the round's.
    held_offers, held_commitments
        Those that are not released.
    """

    offers: IntArray
    commitments: IntArray
    held_offers: IntArray
    held_commitments: IntArray

    def __post_init__(self) -> None:
        freeze_fields(self, *self.__slots__)

    def __len__(self) -> int:
        """Return how many outcomes are seen."""
        return len(self.offers) + len(self.commitments)


def due(instance: Instance, chosen: IntArray, period: int | None) -> Due:
    """Find what is released at a period that follows the round; at the end, everything is.

    Parameters
    ----------
    instance
        The round.
    chosen
        Offers that were chosen in it.
    period
        One of its periods, or ``None`` for the end of the horizon.
    """
    if period is None:
        until = np.full(len(chosen), -np.inf)
        release_at, at = np.full(len(instance.commitments), -np.inf), 0.0
    else:
        at = instance.periods[period].at
        until = instance.now + instance.offers.duration[chosen]
        release_at = instance.commitments.release_at
    done, free = until <= at, release_at <= at
    return Due(chosen[done], np.flatnonzero(free), chosen[~done], np.flatnonzero(~free))


def advance(
    instance: Instance,
    released: Due,
    succeeded: BoolArray,
    period: int,
    amounts: Sequence[float],
) -> Instance:
    """Return the round of a period, as it stands once what the period releases has been seen.

    Parameters
    ----------
    instance
        The round before, whose offers have been chosen.
    released
        From `due`.
    succeeded
        Shape (len(released),). Outcomes of its offers, then of its commitments.
    period
        The period that follows, by index.
    amounts
        What the period's random amounts turned out to be, in the order of its ``laws``.

    Notes
    -----
    A serial coprocessor finishes what it has with deadlines before it begins anything new.
    """
    new = _realised(instance.periods[period], amounts)
    offers, held = instance.offers, instance.commitments
    good = succeeded[: len(released.offers)]
    back = released.commitments[succeeded[len(released.offers) :]]
    gone = np.concatenate([released.held_offers, released.offers[~good]])
    free = _free_collateral(
        instance.coprocessors.free_collateral,
        sum_by_owner(offers.coprocessor[gone], offers.collateral[gone], len(instance.coprocessors)),
        sum_by_owner(held.coprocessor[back], held.collateral[back], len(instance.coprocessors)),
    )
    decides = decisive(instance, released, succeeded)
    failed = released.offers[~good & decides[: len(good)]]
    bad = released.commitments[(~succeeded & decides)[len(good) :]]
    stake = instance.operators.stake
    slashing = instance.claims.slashing
    stake = stake - sum_by_owner(offers.operator[failed], slashing[offers.claim[failed]], len(stake))
    stake = stake - sum_by_owner(held.operator[bad], slashing[held.claim[bad]], len(stake))
    chosen = np.concatenate([released.offers, released.held_offers])
    tasks, claims, commitments = _carried(instance, new, released, succeeded)
    moved = dataclasses.replace(
        instance,
        name=new.id,
        now=new.at,
        operators=dataclasses.replace(instance.operators, stake=np.maximum(stake, 0.0)),
        coprocessors=dataclasses.replace(
            instance.coprocessors,
            free_collateral=free,
            free_at=_free_at(instance, chosen),
        ),
        tasks=tasks,
        claims=claims,
        offers=new.offers,
        commitments=commitments,
        periods=_subtree(instance.periods, period),
        sha256="",
        read_seconds=0.0,
    )
    return dataclasses.replace(moved, sha256=content_digest(moved))


def decisive(instance: Instance, released: Due, succeeded: BoolArray) -> BoolArray:
    """Which outcomes decide their claims: the success that fills the quorum, the failure that rules it out.

    A claim with one executor is decided by it. Shape (len(released),).
    """
    found = np.zeros(len(released), dtype=bool)
    sizes, needed = _teams(instance, released)
    claims = _claims(instance, released.offers, released.commitments).tolist()
    wins: dict[int, int] = {}
    losses: dict[int, int] = {}
    for place, (claim, good) in enumerate(zip(claims, succeeded.tolist(), strict=True)):
        count = wins if good else losses
        count[claim] = count.get(claim, 0) + 1
        last = needed[claim] if good else sizes[claim] - needed[claim] + 1
        found[place] = count[claim] == last
    return found


def _claims(instance: Instance, offers: IntArray, commitments: IntArray) -> IntArray:
    return np.concatenate([instance.offers.claim[offers], instance.commitments.claim[commitments]])


def _teams(instance: Instance, released: Due) -> tuple[IntArray, IntArray]:
    """By claim, how many work for it and how many of them must succeed. Shapes (L,)."""
    each = np.concatenate(
        [
            _claims(instance, released.offers, released.commitments),
            _claims(instance, released.held_offers, released.held_commitments),
        ]
    )
    sizes = np.bincount(each, minlength=len(instance.claims))
    return sizes, np.minimum(instance.tasks.quorum[instance.claims.task], sizes)


def _free_collateral(before: FloatArray, gone: FloatArray, back: FloatArray) -> FloatArray:
    """What is free afterwards: less than nothing only where it was, sums of decimals aside. Shape (C,)."""
    free: FloatArray = before - gone + back
    return np.where((free < 0.0) & (free >= -SUM * (np.abs(before) + gone + back)), 0.0, free)


def _realised(period: Period, amounts: Sequence[float]) -> Period:
    reward, slashing = period.claims.reward.copy(), period.claims.slashing.copy()
    bid = period.offers.bid.copy()
    where = {"reward": reward, "slashing": slashing, "bid": bid}
    for law, amount in zip(period.laws, amounts, strict=True):
        where[law.kind][list(law.targets)] = amount
    return dataclasses.replace(
        period,
        claims=dataclasses.replace(period.claims, reward=reward, slashing=slashing),
        offers=dataclasses.replace(period.offers, bid=bid),
        laws=(),
    )


def _carried(
    instance: Instance, new: Period, released: Due, succeeded: BoolArray
) -> tuple[Tasks, Claims, Commitments]:
    """Tasks, claims and commitments of the new round: its own, and those of what is still held.

    A claim that is decided while some still work for it brings nothing more and has nothing more to lose.
    """
    offers, held = instance.offers, instance.commitments
    o, k = released.held_offers, released.held_commitments
    all_claims = _claims(instance, o, k)
    _, first, place = np.unique(all_claims, return_index=True, return_inverse=True)
    order = np.argsort(first)  # as they come
    claim, place = all_claims[np.sort(first)], np.argsort(order)[place]
    old = instance.claims.task[claim]
    sizes, needed = _teams(instance, released)
    done = _claims(instance, released.offers, released.commitments)
    missing = (needed - np.bincount(done[succeeded], minlength=len(sizes)))[claim]
    still = np.bincount(all_claims, minlength=len(sizes))[claim]
    is_open = (missing > 0) & (missing <= still)
    count, pairs = len(new.tasks), len(new.claims)
    quorum = np.where(sizes[claim] > 1, np.clip(missing, 1, still), instance.tasks.quorum[old])
    tasks = Tasks(
        ids=_distinct(new.tasks.ids, [f"{instance.tasks.ids[a]}" for a in old.tolist()], instance.now),
        quorum=np.concatenate([new.tasks.quorum, quorum]),
        **{
            name: np.concatenate([getattr(new.tasks, name), getattr(instance.tasks, name)[old]])
            for name in ("minimum_collateral", "deadline", "required", "unassigned_cost", "replicas")
        },
    )
    claims = Claims(
        np.concatenate([new.claims.task, count + np.arange(len(old))]),
        np.concatenate([new.claims.operator, instance.claims.operator[claim]]),
        *(
            np.concatenate([getattr(new.claims, name), getattr(instance.claims, name)[claim] * is_open])
            for name in ("reward", "slashing")
        ),
    )
    ids = [offers.ids[i] for i in o.tolist()]
    commitments = Commitments(
        ids=_distinct((), ids + [held.ids[i] for i in k.tolist()], instance.now),
        task=count + place,
        operator=np.concatenate([offers.operator[o], held.operator[k]]),
        claim=pairs + place,
        coprocessor=np.concatenate([offers.coprocessor[o], held.coprocessor[k]]),
        collateral=np.concatenate([offers.collateral[o], held.collateral[k]]),
        work=np.concatenate([offers.work[o], held.work[k]]),
        success_probability=np.concatenate([offers.success_probability[o], held.success_probability[k]]),
        release_at=np.concatenate([instance.now + offers.duration[o], held.release_at[k]]),
    )
    return tasks, claims, commitments


def _distinct(taken: Sequence[str], ids: Sequence[str], since: float) -> tuple[str, ...]:
    """``taken``, then ``ids``; those that occur before say since when they are held."""
    result = list(taken)
    known = set(taken)
    for each in ids:
        name, number = each, 0
        while name in known:
            number += 1
            name = f"{each} held since {since:g}" + (f" ({number})" if number > 1 else "")
        known.add(name)
        result.append(name)
    return tuple(result)


def _free_at(instance: Instance, chosen: IntArray) -> FloatArray:
    """When each serial coprocessor has done what it was given with a deadline."""
    coprocessors, offers = instance.coprocessors, instance.offers
    timed = chosen[np.isfinite(instance.tasks.deadline[offers.task[chosen]])]
    busy = sum_by_owner(offers.coprocessor[timed], offers.duration[timed], len(coprocessors))
    ends = np.maximum(coprocessors.free_at, instance.now) + busy
    return np.where(coprocessors.serial & (busy > 0.0), ends, coprocessors.free_at)


def _subtree(periods: tuple[Period, ...], root: int) -> tuple[Period, ...]:
    """The periods that follow one of them, with that one as the round itself."""
    number: dict[int, int] = {root: NOBODY}
    kept: list[Period] = []
    for n, each in enumerate(periods):
        if each.above in number:
            number[n] = len(kept)
            above = number[each.above]
            parent = None if above == NOBODY else each.parent
            kept.append(dataclasses.replace(each, parent=parent, above=above))
    return tuple(kept)
