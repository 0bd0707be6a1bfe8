"""Prices of scenarios, for `verify`: what limits on the tail add to a bound, and what losses cost at it.

Any weights of the scenarios turn a limit on the tail into one linear row that it implies
(`bondwork.plan.recount_implied_rows`). That of a Wasserstein ball is here: y is raised until the weights are
a law within the ball.
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from bondwork.base.tolerances import ROW
from bondwork.plan.certificate import BadCertificate, Entry
from bondwork.plan.recount_implied_rows import EXCESS, NOTHING, OUTWARD, ImpliedRows, Weighted, find_limit
from bondwork.plan.recount_risk import mean_of_worst
from bondwork.plan.recount_teams import fall_together

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from bondwork.arrays import BoolArray, FloatArray, IntArray
    from bondwork.plan.recount import Recount
    from bondwork.plan.recount_columns import Columns
    from bondwork.problem.instance import RiskLimit
    from bondwork.uncertainty.outcomes import OutcomeSample

#: Scope and member of it, or ``solvency`` and a coprocessor.
Whose = tuple[str, int]


class Weights:
    """A weight for each scenario, exact; sums over scenarios are sums of whole numbers."""

    def __init__(self, scenarios: int) -> None:
        self.exact: dict[int, Fraction] = {}
        self.everywhere = NOTHING
        self.scenarios = scenarios
        self._whole: tuple[list[int], int] | None = None

    def add(self, scenario: int, weight: Fraction) -> None:
        """Add to the weight of one scenario."""
        self.exact[scenario] = self.exact.get(scenario, NOTHING) + weight
        self._whole = None

    def over(self, scenarios: IntArray) -> Fraction:
        """Sum of the weights of some scenarios."""
        if self._whole is None:
            unit = math.lcm(1, *(each.denominator for each in self.exact.values()))
            whole = [0] * self.scenarios
            for scenario, weight in self.exact.items():
                whole[scenario] = weight.numerator * (unit // weight.denominator)
            self._whole = whole, unit
        whole, unit = self._whole
        some = sum(whole[scenario] for scenario in scenarios.tolist()) if self.exact else 0
        return Fraction(some, unit) + self.everywhere * len(scenarios)

    def doubles(self) -> FloatArray:
        """The weights as doubles. Shape (S,)."""
        result = np.full(self.scenarios, float(self.everywhere))
        for scenario, weight in self.exact.items():
            result[scenario] = float(weight + self.everywhere)
        return result


class TailPrices(ImpliedRows[Whose]):
    """Rows that the weights of a certificate imply, put together.

    Parameters
    ----------
    recount
        The round.
    entries
        Entries about the tail.
    ceilings
        What limits may be where they were moved, by number of the limit and member.
    risk
        Weight and level of the CVaR in the objective; ``None`` where it does not count.
    """

    def __init__(
        self,
        recount: Recount,
        entries: Sequence[Entry],
        ceilings: Mapping[tuple[int, int], float],
        risk: tuple[Fraction, float] | None,
    ) -> None:
        super().__init__()
        self.round = recount
        self.ceilings = ceilings
        self.prices: dict[Whose, Weights] = {}
        #: Weights of single offers, for limits on a Wasserstein ball: by scope, then offer.
        self.amounts: dict[Whose, dict[int, Fraction]] = {}
        operators, coprocessors = recount.instance.operators, recount.instance.coprocessors
        sizes = {"network": 1, "operator": len(operators), "coprocessor": len(coprocessors)}
        for entry in entries:
            if entry.word == "mean_risk":
                if risk is not None:
                    self._mean_risk(entry, *risk, ("network", 0))
                continue
            limit, number, member = find_limit(recount.instance, entry, sizes)
            whose: Whose = ("solvency" if limit.measure == "solvency" else limit.scope, member)
            ceiling = self._ceiling(limit, number, member)
            if limit.measure == "ambiguous":
                self._ball(entry, limit, whose, ceiling)
            else:
                self._limit(entry, limit, whose, ceiling)
        for whose, weights in self.prices.items():
            self.constant -= self._base(whose, weights)

    # rows

    def _ball(self, entry: Entry, limit: RiskLimit, whose: Whose, ceiling: Fraction) -> None:
        """Every amount counts with how often it fails, and some more often, within the radius."""
        scope, radius, y = whose[0], Fraction(limit.radius), Fraction(entry.y)
        amounts: dict[int, Fraction] = {}
        for offer, weight in entry.weights:
            if not 0 <= offer < len(self.round.task) or not self._is_mine(offer, whose):
                raise BadCertificate(f"offer {offer} has no part in {limit.measure} of {scope}")
            fails = Fraction(len(self.sample.failures(offer)), self.scenarios)
            if fails < 1 and radius > 0 and weight:
                amounts[offer] = amounts.get(offer, NOTHING) + Fraction(float(weight))
                y = max(y, amounts[offer] / (1 - fails))
        if amounts:
            y = max(y, sum(amounts.values(), NOTHING) / radius)
        self.constant += y * ceiling
        self.prices.setdefault(whose, Weights(self.scenarios)).everywhere += y / self.scenarios
        known = self.amounts.setdefault(whose, {})
        for offer, more in amounts.items():
            known[offer] = known.get(offer, NOTHING) + more

    def _add(self, whose: Whose, weights: Weighted) -> None:
        known = self.prices.setdefault(whose, Weights(self.scenarios))
        for scenario, weight in weights:
            known.add(scenario, weight)

    # looking things up

    @property
    def sample(self) -> OutcomeSample:
        """Scenarios of the offers."""
        return self.round.teams.sample.offers

    @property
    def scenarios(self) -> int:
        """How many scenarios there are."""
        return int(self.sample.scenarios)

    def _budget(self, limit: RiskLimit, whose: Whose) -> Fraction:
        if limit.measure != "solvency":
            return Fraction(limit.budget)
        free = float(self.round.instance.coprocessors.free_collateral[whose[1]])
        if not math.isfinite(free):
            raise BadCertificate(f"no budget of {limit.measure} of {whose[0]} {whose[1]}")
        return Fraction(free)

    def break_alone(self, offers: IntArray) -> BoolArray:
        """Offers, each a team of its own, that lose more in a scenario than a limit on the worst case allows.

        Beside what commitments lose there; nobody can choose them.
        """
        out: BoolArray = np.zeros(len(offers), dtype=np.bool_)
        instance = self.round.instance
        slashing = instance.claims.slashing[instance.offers.claim[offers]]
        for number, limit in enumerate(instance.risk):
            if limit.measure != "worst_case" or not math.isfinite(limit.budget):
                continue
            for who in self._members(limit, offers):
                whose = limit.scope, who
                losses = np.zeros(self.scenarios)
                for held, fallen in self._held_failures(whose):
                    losses[fallen] += float(held)
                most = np.array(
                    [losses[self.sample.failures(o)].max(initial=-np.inf) for o in offers.tolist()]
                )
                ceiling = float(self._ceiling(limit, number, who)) * (1.0 + ROW)
                out |= self._mine(offers, whose) & (most + slashing > ceiling) & (slashing > 0.0)
        return out

    def _members(self, limit: RiskLimit, offers: IntArray) -> list[int]:
        """Members of the scope of a limit that some offers concern."""
        if limit.scope == "network":
            return [0]
        if limit.member is not None:
            return [limit.member]
        instance = self.round.instance
        owner = instance.offers.operator if limit.scope == "operator" else instance.offers.coprocessor
        return [int(who) for who in np.unique(owner[offers]).tolist() if who >= 0]

    def _chance_of(self, point: int) -> Fraction:
        return Fraction(1, self.scenarios)

    def _checked(self, entry: Entry) -> Iterator[tuple[int, Fraction]]:
        for scenario, weight in entry.weights:
            if not 0 <= scenario < self.scenarios:
                raise BadCertificate(f"{entry.word} has no scenario {scenario}")
            if weight:
                yield scenario, Fraction(weight)

    def _ceiling(self, limit: RiskLimit, number: int, member: int) -> Fraction:
        """What the measure may come to: tolerance included, and never less than commitments alone take."""
        stated = limit.probability if limit.measure in ("chance", "solvency") else limit.budget
        ceiling = self.ceilings.get((number, member), stated)
        if not math.isfinite(ceiling):
            raise BadCertificate(f"risk limit {number} has no budget")
        room = Fraction(ceiling) + Fraction(ROW) * abs(Fraction(ceiling))
        if not len(self.round.instance.commitments) or limit.measure == "solvency":
            return room
        return max(room, Fraction(self._held_measure(limit, (limit.scope, member)) * OUTWARD))

    def _held_measure(self, limit: RiskLimit, whose: Whose) -> float:
        """The measure of commitments alone."""
        pairs = list(self._held_failures(whose))
        losses = np.zeros(self.scenarios)
        for slashing, fallen in pairs:
            losses[fallen] += float(slashing)
        match limit.measure:
            case "cvar":
                return mean_of_worst(losses, 1.0 - limit.level)
            case "worst_case":
                return float(losses.max(initial=0.0))
            case "chance":
                return float(np.mean(losses > limit.budget * (1.0 + float(EXCESS))))
        # of a ball: no more than everything that may fail
        return math.fsum(float(slashing) for slashing, _ in pairs)

    def _held_failures(self, whose: Whose) -> Iterator[tuple[Fraction, IntArray]]:
        """Slashing of each task that commitments of a scope hold, and the scenarios in which it is lost."""
        scope, member = whose
        if scope == "solvency":
            return
        instance, teams, sample = self.round.instance, self.round.teams, self.round.teams.sample.commitments
        held = instance.commitments
        for team in teams.held():
            if scope == "operator" and held.operator[team[0]] != member:
                continue
            mine = [k for k in team if scope != "coprocessor" or held.coprocessor[k] == member]
            if not mine:
                continue
            fallen = fall_together(sample, team, teams.held_quorum(team))
            if scope == "coprocessor":
                fallen &= fall_together(sample, mine, len(mine))
            yield Fraction(float(instance.claims.slashing[held.claim[team[0]]])), np.flatnonzero(fallen)

    def _base(self, whose: Whose, weights: Weights) -> Fraction:
        """What commitments lose, weighted."""
        if not len(self.round.instance.commitments):
            return NOTHING
        return sum((s * weights.over(fallen) for s, fallen in self._held_failures(whose)), NOTHING)

    def _is_mine(self, offer: int, whose: Whose) -> bool:
        scope, member = whose
        if scope == "network":
            return True
        mine = self.round.operator[offer] if scope == "operator" else self.round.coprocessor[offer]
        return mine == member

    def _most(self, whose: Whose, points: Sequence[int]) -> dict[int, float]:
        """Loss of a scope when everything that can fail is chosen."""
        if not points:
            return {}
        most = np.zeros(self.scenarios)
        for slashing, fallen in self._held_failures(whose):
            most[fallen] += float(slashing)
        for offer, can in enumerate(self.round.eligible):
            if can and (whose[0] == "network" or self._is_mine(offer, whose)):
                lost = self.round.collateral if whose[0] == "solvency" else self.round.slashing
                most[self.sample.failures(offer)] += lost[offer]
        return {point: float(most[point]) for point in points}

    # what columns cost

    def rough(self, columns: Columns) -> tuple[FloatArray, FloatArray, int]:
        """Cost of every column in doubles, the sum of the sizes of its terms, and the most terms of one."""
        taken = np.zeros(len(columns))
        if not self.prices and not self.amounts:
            return taken, taken.copy(), 0
        sample = self.sample
        singles = int(np.count_nonzero(np.diff(columns.start) == 1))
        instance, offers = self.round.instance, columns.first[:singles]
        slashing = instance.claims.slashing[instance.offers.claim[offers]]
        counts = np.diff(sample.start)
        owner = np.repeat(np.arange(len(counts)), counts)
        for whose, weights in self.prices.items():
            often = np.bincount(owner, weights.doubles()[sample.scenario], minlength=len(counts))[offers]
            lost = instance.offers.collateral[offers] if whose[0] == "solvency" else slashing
            taken[:singles] += np.where(self._mine(offers, whose), lost * often, 0.0)
        for whose, amounts in self.amounts.items():
            more = np.zeros(len(counts))
            for offer, weight in amounts.items():
                more[offer] = float(weight)
            taken[:singles] += np.where(self._mine(offers, whose), slashing * more[offers], 0.0)
        for column in range(singles, len(columns)):
            taken[column] = float(self.exact(columns.team(column)))
        return taken, np.abs(taken), int(counts.max(initial=0))

    def _mine(self, offers: IntArray, whose: Whose) -> BoolArray:
        scope, member = whose
        instance = self.round.instance
        if scope == "network":
            return np.ones(len(offers), dtype=np.bool_)
        owner = instance.offers.operator if scope == "operator" else instance.offers.coprocessor
        found: BoolArray = owner[offers] == member
        return found

    def exact(self, team: Sequence[int]) -> Fraction:
        """Cost of a team."""
        cost = NOTHING
        if not self.prices and not self.amounts:
            return cost
        slashing = Fraction(self.round.slashing[team[0]])
        for whose, weights in self.prices.items():
            mine = [offer for offer in team if self._is_mine(offer, whose)] if whose[0] != "network" else team
            if not mine:
                continue
            if whose[0] == "solvency":
                for offer in mine:
                    lost = Fraction(self.round.collateral[offer])
                    cost += lost * weights.over(self._failures(offer))
                continue
            cost += slashing * weights.over(self._fallen(team, mine, whose[0]))
        for whose, amounts in self.amounts.items():
            # what a team of several loses more often under another law is left out: the row holds without it
            if len(team) == 1 and team[0] in amounts and self._is_mine(team[0], whose):
                cost += slashing * amounts[team[0]]
        return cost

    def _failures(self, offer: int) -> IntArray:
        return self.sample.failures(offer).astype(np.int64)

    def _fallen(self, team: Sequence[int], mine: Sequence[int], scope: str) -> IntArray:
        """Scenarios in which a team's task is lost; through a coprocessor, those in which it has failed."""
        needed = self.round.teams.quorum[self.round.teams.claim[team[0]]]
        if len(team) == 1 and needed == 1:
            return self._failures(team[0])
        fallen = fall_together(self.sample, team, needed)
        if scope == "coprocessor":
            fallen &= fall_together(self.sample, mine, len(mine))
        return np.flatnonzero(fallen)
