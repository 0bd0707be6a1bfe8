"""Tail risk once more, for `verify`: losses by scenario and what the measures make of them (MODEL 5).

The scenarios are those of the sampling layer; the arithmetic on them is written here again and shares nothing
with the measures, cuts and rows that made the plan.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from bondwork.base.tolerances import SUM
from bondwork.plan.recount_exact_tails import ExactRecount
from bondwork.plan.recount_teams import fall_together
from bondwork.risk.assessment import FRESH_SCENARIOS, STANDARD_ERRORS, fresh_seed
from bondwork.uncertainty.sampling import fresh_method, sample_round

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bondwork.arrays import BoolArray, FloatArray
    from bondwork.plan.recount import Recount
    from bondwork.plan.recount_teams import Team
    from bondwork.problem.instance import RiskLimit
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


def error_of_share(share: float, scenarios: int) -> float:
    """Standard error of a share, with two hits and two misses more than there were."""
    p = (share * scenarios + 2.0) / (scenarios + 4.0)
    return math.sqrt(p * (1.0 - p) / (scenarios + 4.0))


def error_of_mean(values: FloatArray, most: float) -> float:
    """Standard error of a mean, with its widest deviation twice more than was seen; else ``most``."""
    widest = float(values.max() - values.min()) or most
    squares = float(((values - values.mean()) ** 2).sum()) * len(values) / (len(values) - 1)
    return math.sqrt(squares + 2.0 * widest**2) / len(values)


def beyond(losses: FloatArray, level: float) -> FloatArray:
    """Excess of losses over their value at risk, at a level lower by the standard error of a share."""
    lower = level - math.sqrt(level * (1.0 - level) / len(losses))
    edge = np.sort(losses)[max(math.ceil(lower * len(losses)) - 1, 0)]
    found: FloatArray = np.maximum(losses - edge, 0.0)
    return found


def _measured(losses: FloatArray, limit: RiskLimit) -> float:
    """The value of a limit on losses. Shape (S,)."""
    if limit.measure == "cvar":
        return mean_of_worst(losses, 1.0 - limit.level)
    if limit.measure == "worst_case":
        return float(losses.max(initial=0.0))
    return float(np.mean(losses > limit.budget * (1.0 + 1e-9)))


@dataclass(frozen=True, slots=True)
class Reading:
    """A tail limit for one member of its scope: its name, what it may be, and what it is.

    ``committed`` is the in-sample value of the commitments alone.
    """

    label: str
    ceiling: float
    in_sample: float
    out_of_sample: float
    standard_error: float
    committed: float

    def permitted(self, ceiling: float) -> float:
        """Return what the in-sample value may be under a ceiling: what commitments alone take always may."""
        return max(ceiling, self.committed)

    def surely_holds(self) -> bool:
        """Whether the value outside the sample is within the limit, without allowance for standard errors."""
        return self.out_of_sample <= self.ceiling + 1e-9 * abs(self.ceiling)

    def holds(self) -> bool:
        """Whether the fresh value is within two standard errors of the limit."""
        error = self.standard_error if math.isfinite(self.standard_error) else 0.0
        return self.out_of_sample <= self.ceiling + STANDARD_ERRORS * error + 1e-9 * abs(self.ceiling)


class _Worst(NamedTuple):
    """The worst scenarios of a choice: how many, the mean loss in them, and how often each offer fails there.

    ``inside`` has the shape (S,).
    """

    inside: BoolArray
    mean: float
    hits: list[int]
    size: int


class TailRecount:
    """Losses of a choice in every scenario, member by member.

    Parameters
    ----------
    recount
        The round.
    chosen
        Offers that the plan chooses.
    """

    def __init__(self, recount: Recount, chosen: Sequence[int]) -> None:
        self.round = recount
        self.chosen = sorted(chosen)
        self._committed: dict[tuple[RiskLimit, str], float] = {}
        self._chosen_losses: dict[tuple[str, str], FloatArray] = {}
        self._worst: dict[tuple[str, str, float], _Worst] = {}
        self.teams = recount.teams.group(chosen)
        instance = recount.instance
        self.sample = recount.teams.sample
        self.positions = {offer: offer for offer in range(len(instance.offers))}
        self.fresh_positions = {offer: place for place, offer in enumerate(self.chosen)}

    @cached_property
    def fresh(self) -> RoundSample:
        """Fresh scenarios of the chosen offers, drawn where something is measured on them."""
        return sample_round(
            self.round.instance,
            scenarios=FRESH_SCENARIOS,
            seed=fresh_seed(self.round.teams.seed),
            method=fresh_method(self.round.instance),
            offers=np.array(self.chosen, dtype=np.int64),
        )

    def network_cvar(self, level: float, added: Team | None = None) -> float:
        """CVaR of the network's loss in the sample, for the mean-risk objective; with one more team."""
        losses = self._sample_losses("network", "network", added)
        return mean_of_worst(losses, 1.0 - level)

    def read(self, limit: RiskLimit, member: str, stated: tuple[float | None, float | None]) -> Reading:
        """Measure a limit for one member, in the sample and on the law behind it.

        Parameters
        ----------
        stated
            Value and standard error that a plan states: where the error is 0 and the value the exact one,
            it is exact; else fresh scenarios are drawn, as those do who do not know better.
        """
        ceiling = limit.probability if limit.measure in ("chance", "solvency") else limit.budget
        value, error = stated
        exact = None
        if value is not None and error == 0.0:
            exact = ExactRecount(self.round, self.teams).value(limit, member)
            if exact is not None and abs(exact - value) > SUM * max(abs(exact), abs(value)):
                exact = None
        if exact is None:
            value = self._value(self.fresh, self.fresh_positions, self.teams, limit, member)
            error = self._standard_error(limit, member)
        else:
            value, error = exact, 0.0
        return Reading(
            f"{limit.measure} of {member}",
            ceiling,
            self._value(self.sample, self.positions, self.teams, limit, member),
            value,
            error,
            self.committed(limit, member),
        )

    def committed(self, limit: RiskLimit, member: str) -> float:
        """In-sample value of the commitments alone."""
        if (limit, member) not in self._committed:
            value = self._value(self.sample, self.positions, [], limit, member)
            self._committed[limit, member] = value
        return self._committed[limit, member]

    def value_of(self, limit: RiskLimit, member: str, chosen: Sequence[int]) -> float:
        """In-sample value of another choice of offers."""
        return self._value(self.sample, self.positions, self.round.teams.group(chosen), limit, member)

    def with_one_more(self, limit: RiskLimit, member: str, team: Team, above: float) -> float | None:
        """In-sample value with one more team chosen; ``None`` where nothing of it is the member's.

        Where that is beyond ``above``, any number between the two will do.
        """
        if not any(self._belongs(offer, limit.scope, member) for offer in team):
            return None
        if limit.measure in ("ambiguous", "solvency"):
            return self._value(self.sample, self.positions, [*self.teams, team], limit, member)
        if limit.measure == "cvar":
            least = self._least_cvar(limit, member, team)
            if least > above:
                return least
        return _measured(self._sample_losses(limit.scope, member, team), limit)

    def _least_cvar(self, limit: RiskLimit, member: str, team: Team) -> float:
        """What the CVaR is at least with one more team: its mean over the scenarios that are worst without.

        Of thousands that are tried most are too many already there, and nothing need be sorted anew.
        """
        key = limit.scope, member, limit.level
        if key not in self._worst:
            losses = self._sample_losses(limit.scope, member, None)
            whole = max(math.ceil((1.0 - limit.level) * len(losses) * (1.0 - 1e-9)), 1)
            inside = np.zeros(len(losses), dtype=bool)
            inside[np.argsort(-losses, kind="stable")[:whole]] = True
            hits = np.cumsum(np.append(0, inside[self.sample.offers.scenario]))[self.sample.offers.start]
            self._worst[key] = _Worst(inside, float(losses[inside].mean()), np.diff(hits).tolist(), whole)
        worst = self._worst[key]
        if len(team) == 1:  # of a quorum of one, as no other has teams of one
            more = self.round.slashing[team[0]] * worst.hits[team[0]]
        else:
            teams = self._team_failures(self.sample, self.positions, [team], limit.scope, member)
            more = math.fsum(s * np.count_nonzero(worst.inside & fallen) for s, fallen in teams)
        return (worst.mean + more / worst.size) * (1.0 - 1e-9)

    def _sample_losses(self, scope: str, member: str, added: Team | None) -> FloatArray:
        """Losses in the sample, with one more team: many are tried, so those of the plan are summed once."""
        if (scope, member) not in self._chosen_losses:
            losses = self._losses(self.sample, self.positions, self.teams, scope, member)
            self._chosen_losses[scope, member] = losses
        losses = self._chosen_losses[scope, member].copy()
        teams = [] if added is None else [added]
        for slashing, fallen in self._team_failures(self.sample, self.positions, teams, scope, member):
            losses[fallen] += slashing
        return losses

    def _belongs(self, offer: int, scope: str, member: str) -> bool:
        if scope == "network":
            return True
        if scope == "operator":
            return self.round.operator_id(offer) == member
        return self.round.coprocessor[offer] >= 0 and self.round.executor_id(offer) == member

    def _value(
        self,
        sample: RoundSample,
        positions: dict[int, int],
        teams: list[Team],
        limit: RiskLimit,
        member: str,
    ) -> float:
        if limit.measure == "ambiguous":
            return self._worst_expectation(sample, positions, teams, limit, member)
        if limit.measure == "solvency":
            number = self.round.instance.coprocessors.ids.index(member)
            budget = float(self.round.instance.coprocessors.free_collateral[number])
            losses = self._forfeits(sample, positions, teams, member)
            return float(np.mean(losses > budget * (1.0 + 1e-9)))
        return _measured(self._losses(sample, positions, teams, limit.scope, member), limit)

    def _losses(
        self, sample: RoundSample, positions: dict[int, int], teams: list[Team], scope: str, member: str
    ) -> FloatArray:
        losses = np.zeros(sample.offers.scenarios)
        for slashing, fallen in self._failures(sample, positions, teams, scope, member):
            losses[fallen] += slashing
        return losses

    def _failures(
        self, sample: RoundSample, positions: dict[int, int], teams: list[Team], scope: str, member: str
    ) -> Iterator[tuple[float, BoolArray]]:
        """Slashing of each task that the scope has part in, and when it is lost.

        A task is lost when its team falls short of the quorum; through a coprocessor, when that has failed
        as well.
        """
        yield from self._team_failures(sample, positions, teams, scope, member)
        held = set(self._held(scope, member))
        for team in self.round.teams.held():
            mine = [k for k in team if k in held]
            if mine:
                fallen = fall_together(sample.commitments, team, self.round.teams.held_quorum(team))
                if scope == "coprocessor":
                    fallen &= fall_together(sample.commitments, mine, len(mine))
                yield self._held_slashing(team[0]), fallen

    def _team_failures(
        self, sample: RoundSample, positions: dict[int, int], teams: list[Team], scope: str, member: str
    ) -> Iterator[tuple[float, BoolArray]]:
        """The same of teams alone, without what is committed."""
        for team in teams:
            mine = [offer for offer in team if self._belongs(offer, scope, member)]
            if mine:
                needed = self.round.teams.quorum[self.round.teams.claim[team[0]]]
                fallen = fall_together(sample.offers, [positions[offer] for offer in team], needed)
                if scope == "coprocessor":
                    fallen &= fall_together(sample.offers, [positions[offer] for offer in mine], len(mine))
                yield self.round.slashing[team[0]], fallen

    def _forfeits(
        self, sample: RoundSample, positions: dict[int, int], teams: list[Team], member: str
    ) -> FloatArray:
        """Collateral that a coprocessor forfeits in each scenario: that of commitments is free no longer."""
        losses = np.zeros(sample.offers.scenarios)
        for team in teams:
            for offer in team:
                if self._belongs(offer, "coprocessor", member):
                    losses[sample.offers.failures(positions[offer])] += self.round.collateral[offer]
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
        self,
        sample: RoundSample,
        positions: dict[int, int],
        teams: list[Team],
        limit: RiskLimit,
        member: str,
    ) -> float:
        pairs = [
            (slashing, float(np.mean(fallen)))
            for slashing, fallen in self._failures(sample, positions, teams, limit.scope, member)
        ]
        expected = math.fsum(s * f for s, f in pairs)

        def beyond(t: float) -> float:
            return limit.radius * t + math.fsum((1.0 - f) * max(s - t, 0.0) for s, f in pairs)

        # convex and piecewise linear in t: the least value is at a kink
        return expected + min(beyond(t) for t in {0.0, *(s for s, _ in pairs)})

    def _standard_error(self, limit: RiskLimit, member: str) -> float:
        positions, teams = self.fresh_positions, self.teams
        losses = self._losses(self.fresh, positions, teams, limit.scope, member)
        mine = [t for t in teams if any(self._belongs(offer, limit.scope, member) for offer in t)]
        most = max((self.round.slashing[team[0]] for team in mine), default=0.0)
        match limit.measure:
            case "cvar":
                return error_of_mean(beyond(losses, limit.level), most) / (1.0 - limit.level)
            case "chance" | "solvency":
                return error_of_share(self._value(self.fresh, positions, teams, limit, member), len(losses))
            case "ambiguous":
                pairs = list(self._failures(self.fresh, positions, teams, limit.scope, member))
                t = self._best_cap([(s, float(np.mean(fallen))) for s, fallen in pairs], limit.radius)
                capped = np.zeros(len(losses))
                for slashing, fallen in pairs:
                    capped[fallen] += min(slashing, t)
                return error_of_mean(capped, min(most, t))
        return math.nan

    def _best_cap(self, pairs: list[tuple[float, float]], radius: float) -> float:
        """Amount above which slashing counts as lost, however often its tasks failed in the sample.

        From the largest down, the share in which each did not fail is spent until the radius is.
        """
        spent = 0.0
        for slashing, share in sorted(pairs, key=lambda pair: -pair[0]):
            spent += 1.0 - share
            if spent >= radius:
                return slashing
        return 0.0
