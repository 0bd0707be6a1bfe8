"""Tails of a choice's loss on its true law, where outcomes are independent and the loss takes few values.

Tasks fail independently of each other once it is known which executors have an outage. So the law of the loss
is a convolution, a mixture over those outages of executors that hold several pieces of work. Amounts are
whole multiples of a common unit (their decimals), so that equal sums meet exactly.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from bondwork.base.statistics import weighted_cvar
from bondwork.problem.instance import NOBODY
from bondwork.problem.teams import distribution, held_teams
from bondwork.risk.chance import most_allowed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bondwork.arrays import FloatArray, IntArray
    from bondwork.problem.instance import Instance, RiskLimit
    from bondwork.problem.teams import Teams

#: Values that a loss may take: more are not listed.
MOST_VALUES = 100_000

#: Values gone through for one number, all steps of the convolution together: less than half a second.
MOST_STEPS = 10_000_000

#: Executors with outages whose work is so tied by teams that all their outages are gone through at once.
MOST_OUTAGES = 8

#: Sums that whole numbers of 64 bits hold.
_LARGEST = 2**62


class _TooMuchError(Exception):
    """The loss takes too many values."""


@dataclass(frozen=True, slots=True)
class _Work:
    executor: int
    p: float
    is_uncertain: bool
    outage: float

    @property
    def given_no_outage(self) -> float:
        return min(self.p / (1.0 - self.outage), 1.0) if self.outage < 1.0 else 0.0


@dataclass(frozen=True, slots=True)
class _Stake:
    """An amount that is lost where fewer than ``needed`` of some works succeed, and the blamed one fails."""

    amount: float
    works: tuple[_Work, ...]
    needed: int
    blamed: int | None = None

    @property
    def is_crowded(self) -> bool:
        return len({work.executor for work in self.works}) < len(self.works)

    def failure(self, outages: dict[int, bool]) -> float:
        """Probability of the loss, given the outages that are known."""
        p = [
            (0.0 if outages[work.executor] else work.given_no_outage) if work.executor in outages else work.p
            for work in self.works
        ]
        fails = 1.0
        if self.blamed is not None:
            fails = 1.0 - p.pop(self.blamed)
        if self.needed == 1:
            return fails * math.prod(1.0 - each for each in p)
        counts = distribution(np.array([p]))[0]
        return min(fails * float(counts[: self.needed].sum()), 1.0)


class ExactTails:
    """Exact values of tail limits.

    Parameters
    ----------
    instance
        The round.
    teams
        What is chosen; commitments come on top.
    """

    def __init__(self, instance: Instance, teams: Teams) -> None:
        self.instance = instance
        self.network: list[_Stake] = []
        self.by_operator: dict[int, list[_Stake]] = {}
        self.by_coprocessor: dict[int, list[_Stake]] = {}
        self.forfeits: dict[int, list[_Stake]] = {}
        uncertainty = instance.uncertainty
        self.is_known = uncertainty.sampling != "bootstrap" and uncertainty.history is None
        if self.is_known:
            self._list_stakes(teams, held=False)
            self._list_stakes(held_teams(instance), held=True)

    def _list_stakes(self, teams: Teams, *, held: bool) -> None:
        instance = self.instance
        side = instance.commitments if held else instance.offers
        coprocessors = len(instance.coprocessors)
        for team, claim in enumerate(teams.claim.tolist()):
            members: IntArray = teams.member[teams.start[team] : teams.start[team + 1]]
            works = []
            for each in members.tolist():
                who, outage = int(side.coprocessor[each]), 0.0
                if who != NOBODY:
                    outage = float(instance.coprocessors.outage_probability[who])
                executor = who if who != NOBODY else coprocessors + int(side.operator[each])
                uncertain = not held and bool(np.isfinite(instance.offers.concentration[each]))
                works.append(_Work(executor, float(side.success_probability[each]), uncertain, outage))
            stake = _Stake(float(instance.claims.slashing[claim]), tuple(works), int(teams.quorum[team]))
            if stake.amount > 0.0:
                self.network.append(stake)
                self.by_operator.setdefault(int(instance.claims.operator[claim]), []).append(stake)
                for place, work in enumerate(works):
                    mine = self.by_coprocessor.setdefault(work.executor, [])
                    mine.append(replace(stake, blamed=place))
            for each, work in zip(members.tolist(), works, strict=True):
                posted = 0.0 if held else float(instance.offers.collateral[each])
                if posted > 0.0:
                    self.forfeits.setdefault(work.executor, []).append(_Stake(posted, (work,), 1))

    def value(self, limit: RiskLimit, scope: str, member: int) -> float | None:
        """Value of a tail limit for one member of its scope; ``None`` where it can only be sampled."""
        if limit.measure in ("ambiguous", "worst_case"):  # both are about a sample
            return None
        law = self.law("forfeits" if limit.measure == "solvency" else scope, member)
        if law is None:
            return None
        losses, probability = law
        if limit.measure == "cvar":
            return weighted_cvar(losses, probability, limit.level)
        budget = limit.budget
        if limit.measure == "solvency":
            budget = float(self.instance.coprocessors.free_collateral[member])
        return min(math.fsum(probability[losses > most_allowed(budget)].tolist()), 1.0)

    def law(self, scope: str, member: int) -> tuple[FloatArray, FloatArray] | None:
        """Every loss with its probability; ``None`` where they can only be sampled.

        Parameters
        ----------
        scope
            ``network``, ``operator``, ``coprocessor``, or ``forfeits`` for what a coprocessor forfeits.
        member
            Of the scope, by position.
        """
        if not self.is_known:
            return None
        if scope == "forfeits":
            stakes = self.forfeits.get(member, [])
        elif scope == "network":
            stakes = self.network
        elif scope == "operator":
            stakes = self.by_operator.get(member, [])
        else:
            stakes = self.by_coprocessor.get(member, [])
            if any(stake.is_crowded for stake in stakes):
                return None
        groups = self._groups(stakes)
        if groups is None:
            return None
        amounts, unit = _whole([stake.amount for stake in stakes])
        whole = dict(zip(map(id, stakes), amounts, strict=True))
        if sum(amounts) > _LARGEST:
            return None
        try:
            values, probability = _Convolution().of(groups, whole)
        except _TooMuchError:
            return None
        return values.astype(np.float64) * float(unit), probability

    def _groups(self, stakes: list[_Stake]) -> list[_Group] | None:
        """Put stakes together that outages tie; ``None`` where more than outages ties them."""
        held: dict[int, list[_Work]] = {}
        for stake in stakes:
            for work in stake.works:
                held.setdefault(work.executor, []).append(work)
        dependence = self.instance.uncertainty
        if dependence.common > 0.0 and sum(map(len, held.values())) > 1:
            return None
        several = {executor: works for executor, works in held.items() if len(works) > 1}
        if several and dependence.coprocessor > 0.0:
            return None
        if any(sum(work.is_uncertain for work in works) > 1 for works in several.values()):
            return None  # one uniform is behind them all
        outages = {executor: works[0].outage for executor, works in several.items() if works[0].outage > 0.0}
        groups = _tied(stakes, outages)
        return None if any(len(group.outages) > MOST_OUTAGES for group in groups) else groups


@dataclass(frozen=True, slots=True)
class _Group:
    """Stakes that are independent of each other given the outages of some executors."""

    stakes: list[_Stake]
    outages: dict[int, float]

    def cases(self) -> list[tuple[float, list[float]]]:
        """Each way in which the outages may fall: its probability, and how often each stake is lost then."""
        found = []
        for out in product([False, True], repeat=len(self.outages)):
            known = dict(zip(self.outages, out, strict=True))
            weight = math.prod(o if known[e] else 1.0 - o for e, o in self.outages.items())
            if weight > 0.0:
                found.append((weight, [stake.failure(known) for stake in self.stakes]))
        return found


def _tied(stakes: Sequence[_Stake], outages: dict[int, float]) -> list[_Group]:
    """Groups of stakes that have an executor with outages in common, directly or by others."""
    root = {executor: executor for executor in outages}

    def find(executor: int) -> int:
        while root[executor] != executor:
            executor = root[executor]
        return executor

    for stake in stakes:
        mine = [work.executor for work in stake.works if work.executor in root]
        for other in mine[1:]:
            root[find(other)] = find(mine[0])
    groups: dict[int, _Group] = {}
    for executor, outage in outages.items():
        groups.setdefault(find(executor), _Group([], {})).outages[executor] = outage
    free = _Group([], {})
    for stake in stakes:
        mine = [work.executor for work in stake.works if work.executor in root]
        (groups[find(mine[0])] if mine else free).stakes.append(stake)
    return [free, *groups.values()]


def _whole(amounts: Sequence[float]) -> tuple[list[int], Fraction]:
    """Amounts as whole multiples of the largest unit that they have in common."""
    exact = [Fraction(repr(amount)) for amount in amounts]
    below = math.lcm(*(each.denominator for each in exact)) if exact else 1
    multiples = [int(each * below) for each in exact]
    step = math.gcd(*multiples) or 1
    return [each // step for each in multiples], Fraction(step, below)


class _Convolution:
    """Law of a sum: its values, ascending, and their probabilities."""

    def __init__(self) -> None:
        self.steps = 0

    def of(self, groups: list[_Group], whole: dict[int, int]) -> tuple[IntArray, FloatArray]:
        values, probability = np.zeros(1, dtype=np.int64), np.ones(1)
        for group in groups:
            parts = []
            for weight, fails in group.cases():
                law = values, probability * weight
                for stake, f in zip(group.stakes, fails, strict=True):
                    law = self._add(*law, whole[id(stake)], f)
                parts.append(law)
            if len(parts) == 1:
                values, probability = parts[0]
            else:
                found, chances = zip(*parts, strict=True)
                values, probability = self._merge(np.concatenate(found), np.concatenate(chances))
        return values, probability

    def _add(
        self, values: IntArray, probability: FloatArray, amount: int, f: float
    ) -> tuple[IntArray, FloatArray]:
        if f <= 0.0:
            return values, probability
        if f >= 1.0:
            return values + amount, probability
        both = np.concatenate([probability * (1.0 - f), probability * f])
        return self._merge(np.concatenate([values, values + amount]), both)

    def _merge(self, values: IntArray, probability: FloatArray) -> tuple[IntArray, FloatArray]:
        self.steps += len(values)
        possible = probability > 0.0  # what underflows is nothing
        values, probability = values[possible], probability[possible]
        order = np.argsort(values, kind="stable")  # runs in order, which this merges
        values = values[order]
        first = np.flatnonzero(np.diff(values, prepend=values[0] - 1))
        if len(first) > MOST_VALUES or self.steps > MOST_STEPS:
            raise _TooMuchError
        return values[first], np.add.reduceat(probability[order], first)
