"""From the risk limits of a round and a sample of its outcomes to measures on a program's columns."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Protocol

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
    return measures_of(instance, *_sides(instance, sample, teams, places))


def measures_of(instance: Instance, chosen: LossSide, held: LossSide) -> list[Measure]:
    """Make the measures of all tail limits of what is chosen and what is held, whatever these are.

    One for each member of a limit's scope, in the round's order.
    """
    return [
        _measure(instance, chosen, held, limit, *whom)
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
    return priced_measure(instance, *_sides(instance, sample, teams))


def priced_measure(instance: Instance, chosen: LossSide, held: LossSide) -> Measure:
    """Make the measure of the mean-risk objective of what is chosen and what is held, whatever these are."""
    limit = RiskLimit("cvar", "network", budget=np.inf, level=instance.objective.risk_level)
    return _measure(instance, chosen, held, limit, "network", NOBODY, "network")


def members(instance: Instance, limit: RiskLimit) -> list[tuple[str, int, str]]:
    """Whom a limit is about: scope, index (`NOBODY` for the network) and name."""
    if limit.scope == "network":
        return [("network", NOBODY, "network")]
    ids = instance.operators.ids if limit.scope == "operator" else instance.coprocessors.ids
    chosen = range(len(ids)) if limit.member is None else [limit.member]
    return [(limit.scope, i, ids[i]) for i in chosen]


class LossSide(Protocol):
    """What loses something: a round's choices, those of a whole horizon, or commitments."""

    def loss(self, scope: str, member: int) -> ScopeLoss:
        """Slashing of the network, an operator, or the work given to a coprocessor."""
        ...

    def forfeits(self, member: int) -> ScopeLoss:
        """Collateral that a coprocessor forfeits."""
        ...

    def reach(self, columns: IntArray) -> FloatArray:
        """How likely each column's outcome comes to be seen at all. Shape of ``columns``."""
        ...


def _sides(
    instance: Instance, sample: RoundSample, teams: Teams, places: IntArray | None = None
) -> tuple[LossSide, LossSide]:
    """The choices of a round, and its commitments."""
    offers, held = instance.offers, instance.commitments
    before, where = held_teams(instance), teams.member if places is None else places
    return (
        _Side(instance, teams, sample.offers, where, offers.coprocessor, offers.collateral),
        _Side(instance, before, sample.commitments, before.member, held.coprocessor, held.collateral),
    )


def _measure(
    instance: Instance,
    chosen: LossSide,
    held: LossSide,
    limit: RiskLimit,
    scope: str,
    member: int,
    name: str,
) -> Measure:
    label = f"{limit.measure} of {name}"
    if limit.measure == "solvency":
        # commitments' collateral is already off the free collateral
        budget = float(instance.coprocessors.free_collateral[member])
        return Chance(label, chosen.forfeits(member), budget, limit.probability)
    loss, before = chosen.loss(scope, member), held.loss(scope, member)
    loss = dataclasses.replace(loss, base=before.of(np.ones(before.size)))
    match limit.measure:
        case "cvar":
            return ConditionalValueAtRisk(label, loss, limit.level, limit.budget)
        case "worst_case":
            return WorstCase(label, loss, limit.budget)
        case "chance":
            return Chance(label, loss, limit.budget, limit.probability)
        case _:
            return WorstExpectation(
                label,
                loss,
                limit.radius,
                limit.budget,
                before.weight,
                before.sample.failure_share(),
                before.sample,
                chosen.reach(loss.columns),
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
        collateral: FloatArray,
    ) -> None:
        self.teams = teams
        self.sample = sample
        self.places = places
        self.slashing = instance.claims.slashing[teams.claim]
        self.operator = instance.claims.operator[teams.claim]
        self.coprocessor = coprocessor[teams.member]
        self.collateral = collateral[teams.member]
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

    def forfeits(self, member: int) -> ScopeLoss:
        """Collateral that a coprocessor forfeits: that of each of its failures, its team's aside."""
        mine = np.flatnonzero((self.coprocessor == member) & (self.collateral > 0.0))
        return self._of(self.teams.team[mine], self.collateral[mine], self.sample.select(self.places[mine]))

    def reach(self, columns: IntArray) -> FloatArray:
        """1: everything that is chosen ends."""
        return np.ones(len(columns))

    def _of(self, columns: IntArray, weight: FloatArray, failures: OutcomeSample) -> ScopeLoss:
        nothing = np.zeros(self.sample.scenarios)
        return ScopeLoss(columns, len(self.teams), weight, failures, nothing)
