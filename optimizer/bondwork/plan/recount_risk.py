"""Tail risk once more, for `verify`: losses by scenario and what the measures make of them (MODEL 5).

The scenarios are those of the sampling layer; the arithmetic on them is written here again and shares nothing
with the measures, cuts and rows that made the plan.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bondwork.risk.assessment import FRESH_SCENARIOS, STANDARD_ERRORS, fresh_seed
from bondwork.uncertainty.sampling import sample_round

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bondwork.arrays import FloatArray
    from bondwork.plan.recount import Recount
    from bondwork.problem.instance import RiskLimit
    from bondwork.uncertainty.outcomes import OutcomeSample
    from bondwork.uncertainty.sampling import RoundSample


def mean_of_worst(losses: FloatArray, share: float) -> float:
    """Mean of the worst ``share`` of equally likely losses, the one at the edge counted in part."""
    ordered = np.sort(losses)[::-1]
    wanted = share * len(ordered)
    rounding = 1e-9 * min(wanted, 1.0)
    whole = min(math.floor(wanted + rounding), len(ordered))
    part = max(wanted - whole, 0.0) if whole < len(ordered) else 0.0
    total = math.fsum(ordered[:whole].tolist())
    if part > rounding:
        total += part * float(ordered[whole])
    return total / wanted


@dataclass(frozen=True, slots=True)
class Reading:
    """A tail limit for one member of its scope: its name, what it may be, and what it is."""

    label: str
    ceiling: float
    in_sample: float
    out_of_sample: float
    standard_error: float

    def holds(self) -> bool:
        """Whether the fresh value is within two standard errors of the limit."""
        error = self.standard_error if math.isfinite(self.standard_error) else 0.0
        return self.out_of_sample <= self.ceiling + STANDARD_ERRORS * error + 1e-9 * abs(self.ceiling)


class TailRecount:
    """Losses of a choice in every scenario, member by member.

    Parameters
    ----------
    recount
        The round.
    chosen
        Offers that the plan chooses.
    seed
        Seed of the plan's scenarios.
    """

    def __init__(self, recount: Recount, chosen: Sequence[int], seed: int) -> None:
        self.round = recount
        self.chosen = sorted(chosen)
        instance = recount.instance
        self.sample = sample_round(instance, seed=seed)
        fresh = sample_round(
            instance,
            scenarios=FRESH_SCENARIOS,
            seed=fresh_seed(seed),
            method="monte_carlo",
            offers=np.array(self.chosen, dtype=np.int64),
        )
        self.positions = {offer: offer for offer in self.chosen}
        self.fresh = fresh
        self.fresh_positions = {offer: place for place, offer in enumerate(self.chosen)}

    def network_cvar(self, level: float, added: int | None = None) -> float:
        """CVaR of the network's loss in the sample, for the mean-risk objective; with one more offer."""
        losses = self._losses(self.sample, self.positions, "network", "network", by_collateral=False)
        if added is not None:
            losses[self.sample.offers.failures(added)] += self.round.slashing[added]
        return mean_of_worst(losses, 1.0 - level)

    def read(self, limit: RiskLimit, member: str) -> Reading:
        """Measure a limit for one member, in the sample and on fresh scenarios."""
        ceiling = limit.probability if limit.measure in ("chance", "solvency") else limit.budget
        return Reading(
            f"{limit.measure} of {member}",
            ceiling,
            self._value(self.sample, self.positions, limit, member),
            self._value(self.fresh, self.fresh_positions, limit, member),
            self._standard_error(limit, member),
        )

    def with_one_more(self, limit: RiskLimit, member: str, offer: int) -> float | None:
        """In-sample value with one more offer chosen; ``None`` where the offer is none of the member's."""
        if not self._belongs(offer, limit.scope, member):
            return None
        positions = {**self.positions, offer: offer}
        return self._value(self.sample, positions, limit, member)

    def _belongs(self, offer: int, scope: str, member: str) -> bool:
        if scope == "network":
            return True
        if scope == "operator":
            return self.round.operator_id(offer) == member
        return self.round.coprocessor[offer] >= 0 and self.round.executor_id(offer) == member

    def _value(self, sample: RoundSample, positions: dict[int, int], limit: RiskLimit, member: str) -> float:
        if limit.measure == "ambiguous":
            return self._worst_expectation(sample, positions, limit, member)
        solvency = limit.measure == "solvency"
        losses = self._losses(sample, positions, limit.scope, member, by_collateral=solvency)
        if limit.measure == "cvar":
            return mean_of_worst(losses, 1.0 - limit.level)
        if limit.measure == "worst_case":
            return float(losses.max(initial=0.0))
        budget = limit.budget
        if solvency:
            number = self.round.instance.coprocessors.ids.index(member)
            budget = float(self.round.instance.coprocessors.free_collateral[number])
        return float(np.mean(losses > budget * (1.0 + 1e-9)))

    def _losses(
        self,
        sample: RoundSample,
        positions: dict[int, int],
        scope: str,
        member: str,
        *,
        by_collateral: bool,
    ) -> FloatArray:
        losses = np.zeros(sample.offers.scenarios)
        amount = self.round.collateral if by_collateral else self.round.slashing
        for offer, place in positions.items():
            if self._belongs(offer, scope, member):
                losses[sample.offers.failures(place)] += amount[offer]
        if not by_collateral:  # forfeited collateral of commitments is no longer part of what is free
            for k in self._held(scope, member):
                losses[sample.commitments.failures(k)] += self._held_slashing(k)
        return losses

    def _held(self, scope: str, member: str) -> list[int]:
        instance, held = self.round.instance, self.round.instance.commitments
        if scope == "network":
            return list(range(len(held)))
        if scope == "operator":
            return [k for k, v in enumerate(held.operator.tolist()) if instance.operators.ids[v] == member]
        return [
            k
            for k, c in enumerate(held.coprocessor.tolist())
            if c >= 0 and instance.coprocessors.ids[c] == member
        ]

    def _held_slashing(self, commitment: int) -> float:
        instance = self.round.instance
        return float(instance.claims.slashing[instance.commitments.claim[commitment]])

    def _worst_expectation(
        self, sample: RoundSample, positions: dict[int, int], limit: RiskLimit, member: str
    ) -> float:
        pairs = [
            (self.round.slashing[offer], _share(sample.offers, place))
            for offer, place in positions.items()
            if self._belongs(offer, limit.scope, member)
        ]
        pairs += [
            (self._held_slashing(k), _share(sample.commitments, k)) for k in self._held(limit.scope, member)
        ]
        expected = math.fsum(s * f for s, f in pairs)

        def beyond(t: float) -> float:
            return limit.radius * t + math.fsum((1.0 - f) * max(s - t, 0.0) for s, f in pairs)

        # convex and piecewise linear in t: the least value is at a kink
        return expected + min(beyond(t) for t in {0.0, *(s for s, _ in pairs)})

    def _standard_error(self, limit: RiskLimit, member: str) -> float:
        solvency = limit.measure == "solvency"
        losses = self._losses(self.fresh, self.fresh_positions, limit.scope, member, by_collateral=solvency)
        root = math.sqrt(len(losses))
        match limit.measure:
            case "cvar":
                edge = np.sort(losses)[max(math.ceil(limit.level * len(losses)) - 1, 0)]
                excess = np.maximum(losses - edge, 0.0)
                return float(excess.std(ddof=1)) / root / (1.0 - limit.level)
            case "chance" | "solvency":
                value = self._value(self.fresh, self.fresh_positions, limit, member)
                return math.sqrt(value * (1.0 - value)) / root
            case "ambiguous":
                return float(losses.std(ddof=1)) / root
        return math.nan


def _share(sample: OutcomeSample, place: int) -> float:
    return len(sample.failures(place)) / sample.scenarios
