"""From the risk limits of a round and a sample of its outcomes to measures on a program's columns."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from bondwork.problem.instance import NOBODY, RiskLimit
from bondwork.problem.teams import held_teams
from bondwork.risk.ambiguous import WorstExpectation
from bondwork.risk.chance import Chance
from bondwork.risk.cvar import ConditionalValueAtRisk
from bondwork.risk.losses import ScopeLoss
from bondwork.risk.teams import member_failures, team_failures
from bondwork.risk.worst_case import WorstCase

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bondwork.arrays import BoolArray, FloatArray, IntArray
    from bondwork.problem.instance import Instance
    from bondwork.problem.teams import Teams
    from bondwork.risk.measure import Measure
    from bondwork.uncertainty.outcomes import OutcomeSample
    from bondwork.uncertainty.sampling import RoundSample


def is_tail_limit(limit: RiskLimit) -> bool:
    """Whether a limit needs scenarios: all but the expected loss do."""
    return limit.measure != "expected"


def tail_measures(
    instance: Instance, sample: RoundSample, teams: Teams, places: IntArray | None = None
) -> list[Measure]:
    """Make the measures of all tail limits, one for each member of a limit's scope, in the round's order.

    Parameters
    ----------
    instance
        The round.
    sample
        Joint scenarios of offers and commitments.
    teams
        What the program's columns decide about.
    places
        Shape (m,). Where each of the teams' members stands in ``sample.offers``; default: all offers of the
        round are there.
    """
    losses = _Losses(instance, sample, teams, places)
    return [
        losses.measure(limit, *whom)
        for limit in filter(is_tail_limit, instance.risk)
        for whom in members(instance, limit)
    ]


def permit_committed(measures: Iterable[Measure]) -> list[Measure]:
    """Let limits allow what the commitments alone measure: that never makes a round infeasible.

    Nothing may make a value worse that is above its ceiling without any choice, and whatever does not can be
    chosen.
    """
    return [
        dataclasses.replace(measure, ceiling=max(measure.ceiling, committed_value(measure)))  # type: ignore[type-var]
        for measure in measures
    ]


def committed_value(measure: Measure) -> float:
    """Value of a measure for the commitments alone."""
    return measure.value(np.zeros(measure.loss.size))


def ceiling_of(limit: RiskLimit) -> float:
    """What the value of a limit's measure may be, as the round states it."""
    return limit.probability if limit.measure in ("chance", "solvency") else limit.budget


def mean_risk_measure(instance: Instance, sample: RoundSample, teams: Teams) -> Measure:
    """Make the CVaR of the network's loss that the mean-risk objective prices; it limits nothing."""
    limit = RiskLimit("cvar", "network", budget=np.inf, level=instance.objective.risk_level)
    return _Losses(instance, sample, teams).measure(limit, "network", NOBODY, "network")


def members(instance: Instance, limit: RiskLimit) -> list[tuple[str, int, str]]:
    """Whom a limit is about: scope, index (`NOBODY` for the network) and name."""
    if limit.scope == "network":
        return [("network", NOBODY, "network")]
    ids = instance.operators.ids if limit.scope == "operator" else instance.coprocessors.ids
    chosen = range(len(ids)) if limit.member is None else [limit.member]
    return [(limit.scope, i, ids[i]) for i in chosen]


class _Losses:
    """Losses of a round's scopes: those of its choices, and those of its commitments."""

    def __init__(
        self, instance: Instance, sample: RoundSample, teams: Teams, places: IntArray | None = None
    ) -> None:
        self.instance = instance
        offers, held = instance.offers, instance.commitments
        self.free = _Side(
            instance, teams, sample.offers, teams.member if places is None else places, offers.coprocessor
        )
        before = held_teams(instance)
        self.held = _Side(instance, before, sample.commitments, before.member, held.coprocessor)

    def measure(self, limit: RiskLimit, scope: str, member: int, name: str) -> Measure:
        label = f"{limit.measure} of {name}"
        if limit.measure == "solvency":
            # commitments' collateral is already off the free collateral
            budget = float(self.instance.coprocessors.free_collateral[member])
            posted = self.free.forfeits(member, self.instance.offers.collateral)
            return Chance(label, posted, budget, limit.probability)
        loss, held = self.free.loss(scope, member), self.held.loss(scope, member)
        loss = dataclasses.replace(loss, base=held.of(np.ones(held.size)))
        match limit.measure:
            case "cvar":
                return ConditionalValueAtRisk(label, loss, limit.level, limit.budget)
            case "worst_case":
                return WorstCase(label, loss, limit.budget)
            case "chance":
                return Chance(label, loss, limit.budget, limit.probability)
            case _:
                shares = held.sample.failure_share()
                return WorstExpectation(
                    label, loss, limit.radius, limit.budget, held.weight, shares, held.sample
                )


class _Side:
    """What teams lose in each scenario, scope by scope: the slashing of a task once, when its team fails.

    Through a coprocessor the slashing of the tasks is lost that failed, and the coprocessor with them.
    """

    def __init__(
        self,
        instance: Instance,
        teams: Teams,
        sample: OutcomeSample,
        places: IntArray,
        coprocessor: IntArray,
    ) -> None:
        self.teams = teams
        self.sample = sample
        self.places = places
        self.slashing = instance.claims.slashing[teams.claim]
        self.operator = instance.claims.operator[teams.claim]
        self.coprocessor = coprocessor[teams.member]
        self.failures = team_failures(sample, teams, places)

    def loss(self, scope: str, member: int) -> ScopeLoss:
        """Loss of the network, an operator, or the work given to a coprocessor."""
        if scope == "coprocessor":
            team = self.teams.team
            mine = np.flatnonzero((self.coprocessor == member) & (self.slashing[team] > 0.0))
            lost, failed = member_failures(self.sample, self.teams, self.places, self.failures, mine)
            return self._of(lost, self.slashing[lost], failed)
        lossy: BoolArray = self.slashing > 0.0
        if scope == "operator":
            lossy = lossy & (self.operator == member)
        chosen = np.flatnonzero(lossy)
        return self._of(chosen, self.slashing[chosen], self.failures.select(chosen))

    def forfeits(self, member: int, collateral: FloatArray) -> ScopeLoss:
        """Collateral that a coprocessor forfeits: that of each of its failures, its team's aside."""
        posted = collateral[self.teams.member]
        mine = np.flatnonzero((self.coprocessor == member) & (posted > 0.0))
        return self._of(self.teams.team[mine], posted[mine], self.sample.select(self.places[mine]))

    def _of(self, columns: IntArray, weight: FloatArray, failures: OutcomeSample) -> ScopeLoss:
        nothing = np.zeros(self.sample.scenarios)
        return ScopeLoss(columns, len(self.teams), weight, failures, nothing)
