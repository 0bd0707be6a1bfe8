"""What a choice measures under each risk limit: in the sample it was made on, and on fresh scenarios.

In-sample tails flatter: a plan made on a thousand scenarios has been fitted to them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bondwork.problem.values import expected_slashing
from bondwork.risk.limits import is_tail_limit, members, tail_measures
from bondwork.uncertainty.sampling import RoundSample, sample_round

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bondwork.arrays import FloatArray, IntArray
    from bondwork.problem.instance import Instance, RiskLimit
    from bondwork.risk.measure import Measure

#: Fresh scenarios on which every tail limit is measured again.
FRESH_SCENARIOS = 20_000

#: Key of the stream of fresh scenarios under the seed: none that a solve draws from.
FRESH_STREAM = 20_000

#: A limit holds when its fresh value exceeds it by no more than this many standard errors.
STANDARD_ERRORS = 2.0


@dataclass(frozen=True, slots=True)
class Assessment:
    """One limit for one member of its scope.

    Attributes
    ----------
    limit
        Position of the limit in the round.
    of
        ``network``, or the member's id.
    ceiling
        What the value may be: the budget, or the probability of chance and solvency limits.
    in_sample
        Value on the sample of the solve; for expected losses the exact value.
    out_of_sample, standard_error
        Value on fresh scenarios, for tail limits.
    """

    limit: int
    of: str
    ceiling: float
    in_sample: float
    out_of_sample: float | None
    standard_error: float | None

    @property
    def holds(self) -> bool:
        """Whether the limit holds: on fresh scenarios where there are any, within two standard errors."""
        slack = 1e-9 * abs(self.ceiling)
        if self.out_of_sample is None:
            return self.in_sample <= self.ceiling + 1e-6 * max(abs(self.ceiling), abs(self.in_sample))
        error = self.standard_error
        if error is None or not np.isfinite(error):
            error = 0.0
        return self.out_of_sample <= self.ceiling + STANDARD_ERRORS * error + slack


def fresh_seed(seed: int) -> np.random.SeedSequence:
    """Seed of the scenarios on which plans are measured, never those on which they are made."""
    return np.random.SeedSequence(seed, spawn_key=(FRESH_STREAM,))


def assess(instance: Instance, sample: RoundSample | None, chosen: IntArray, seed: int) -> list[Assessment]:
    """Measure a choice of offers under every risk limit of a round.

    Parameters
    ----------
    instance
        The round.
    sample
        Scenarios of all offers and commitments; ``None`` where the round has no tail limits.
    chosen
        Offers that are chosen.
    seed
        Seed of the solve; fresh scenarios come from a stream of their own under it.
    """
    x = np.ones(len(chosen))
    found: list[Assessment] = []
    inside: Iterator[Measure] = iter(())
    outside: Iterator[Measure] = iter(())
    if sample is not None:
        known = RoundSample(sample.offers.select(chosen), sample.commitments)
        fresh = sample_round(
            instance, scenarios=FRESH_SCENARIOS, seed=fresh_seed(seed), method="monte_carlo", offers=chosen
        )
        inside = iter(tail_measures(instance, known, chosen))
        outside = iter(tail_measures(instance, fresh, chosen))
    for number, limit in enumerate(instance.risk):
        for _scope, member, name in members(instance, limit):
            if is_tail_limit(limit):
                old, new = next(inside), next(outside)
                error = new.standard_error(x)
                found.append(
                    Assessment(
                        number,
                        name,
                        old.ceiling,
                        old.value(x),
                        new.value(x),
                        error if np.isfinite(error) else None,
                    )
                )
            else:
                loss = _expected_loss(instance, limit, member, chosen)
                found.append(Assessment(number, name, limit.budget, loss, None, None))
    return found


def _expected_loss(instance: Instance, limit: RiskLimit, member: int, chosen: IntArray) -> float:
    offers, held = instance.offers, instance.commitments
    lost: FloatArray = np.concatenate(
        [
            expected_slashing(instance)[chosen],
            instance.claims.slashing[held.claim] * (1.0 - held.success_probability),
        ]
    )
    if limit.scope == "network":
        return float(lost.sum())
    operator = np.concatenate([offers.operator[chosen], held.operator])
    coprocessor = np.concatenate([offers.coprocessor[chosen], held.coprocessor])
    return float(lost[(operator if limit.scope == "operator" else coprocessor) == member].sum())
