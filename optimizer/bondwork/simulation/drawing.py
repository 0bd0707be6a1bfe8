"""The random numbers of a period: the same ones whatever was decided, and by whom.

Every draw has a stream of its own, found by (replication, purpose, period): a run that is taken up again
draws what it would have drawn, and policies and variants see the same tasks, bids and outcomes.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING

import numpy as np

from bondwork.simulation.rules import UNITS
from bondwork.uncertainty.seeds import seed_sequence, stream

if TYPE_CHECKING:
    from bondwork.arrays import BoolArray, FloatArray, IntArray
    from bondwork.simulation.rules import Rules


class Purpose(IntEnum):
    """What random numbers are for; numbers never change, or old seeds give other runs."""

    POPULATION = 0
    DRIFT = 1
    EXIT = 2
    ENTRY = 3
    TASKS = 4
    OFFERS = 5
    OUTCOMES = 6
    POLICY = 7


@dataclass(frozen=True, slots=True)
class Streams:
    """Streams of one replication."""

    root: np.random.SeedSequence
    replication: int

    def of(self, purpose: Purpose, period: int = 0) -> np.random.Generator:
        """The generator for a purpose in a period."""
        return stream(self.root, self.replication, int(purpose), period)

    def seed(self, purpose: Purpose, period: int) -> int:
        """A seed for whoever wants a number: 31 bits."""
        return int(self.of(purpose, period).integers(2**31))


def streams(rules: Rules, replication: int) -> Streams:
    """Streams of a replication of a network."""
    return Streams(seed_sequence(rules.seed), replication)


@dataclass(frozen=True, slots=True, eq=False)
class Draws:
    """What happens in a period before and beside all decisions.

    N tasks have k offers each; column k is the operator's own execution.

    Attributes
    ----------
    choice
        Shape (N,). Uniforms by which clients choose operators.
    work
        Shape (N,).
    reward
        Shape (N,), int. Smallest units.
    place
        Shape (N, k). Uniforms by which coprocessors are chosen.
    bid_factor
        Shape (N, k).
    latent
        Shape (N, k + 1). Standard normals of outcomes, without what executors have in common.
    wrong
        Shape (N, k + 1). Uniforms: whether a misbehaving executor cheats, and whether it is caught.
    common, own
        Shapes (), (C + V,). Standard normals of the factors.
    outage
        Shape (C,).
    """

    choice: FloatArray
    work: FloatArray
    reward: IntArray
    place: FloatArray
    bid_factor: FloatArray
    latent: FloatArray
    wrong: FloatArray
    common: float
    own: FloatArray
    outage: BoolArray


def draw_period(rules: Rules, replication: int, period: int) -> Draws:
    """Draw a period's exogenous numbers."""
    here, tasks = streams(rules, replication), rules.tasks
    rng = here.of(Purpose.TASKS, period)
    n = round(tasks.per_period) if tasks.arrivals == "fixed" else int(rng.poisson(tasks.per_period))
    choice = rng.random(n)
    work = tasks.work * lognormal_factor(rng.standard_normal(n), tasks.work_spread)
    rate = tasks.reward * lognormal_factor(rng.standard_normal(n), tasks.reward_spread)
    rng = here.of(Purpose.OFFERS, period)
    place = rng.random((n, tasks.offers))
    factor = lognormal_factor(rng.standard_normal((n, tasks.offers)), tasks.bid_spread)
    rng = here.of(Purpose.OUTCOMES, period)
    slots = rules.coprocessor_slots
    common = float(rng.standard_normal())
    own = rng.standard_normal(slots + rules.operator_slots)
    outage = rng.random(slots) < rules.coprocessors.outage
    return Draws(
        choice=choice,
        work=work,
        reward=np.rint(rate * work * UNITS).astype(np.int64),
        place=place,
        bid_factor=factor,
        latent=rng.standard_normal((n, tasks.offers + 1)),
        wrong=rng.random((n, tasks.offers + 1)),
        common=common,
        own=own,
        outage=outage,
    )


def lognormal_factor(normal: FloatArray, spread: float) -> FloatArray:
    """Turn standard normals into lognormal factors of mean 1."""
    factor: FloatArray = np.exp(spread * normal - 0.5 * spread * spread)
    return factor
