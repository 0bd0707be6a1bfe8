"""Teams once more, for `verify`: how often several executors of one task reach its quorum (MODEL 2.6).

Shares no code with the teams that programs decide about. Independent outcomes are gone through one by one,
member by member; outcomes that depend on each other are counted in the plan's scenarios.
"""

from __future__ import annotations

import math
from functools import cache, cached_property
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from bondwork.uncertainty.sampling import sample_round

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from bondwork.arrays import BoolArray
    from bondwork.problem.instance import Instance
    from bondwork.uncertainty.outcomes import OutcomeSample
    from bondwork.uncertainty.sampling import RoundSample

#: Offers (or commitments) of one claim that are one team, ascending.
Team = tuple[int, ...]


def chance_of(p: Sequence[float], needed: int) -> float:
    """Probability that at least ``needed`` of independent trials succeed, outcome by outcome.

    Examples
    --------
    >>> chance_of([0.5, 0.75], 1)
    0.875
    """

    @cache
    def from_(trial: int, missing: int) -> float:
        if missing <= 0:
            return 1.0
        if missing > len(p) - trial:
            return 0.0
        return p[trial] * from_(trial + 1, missing - 1) + (1.0 - p[trial]) * from_(trial + 1, missing)

    return from_(0, needed)


def fall_together(sample: OutcomeSample, places: Sequence[int], needed: int) -> BoolArray:
    """Scenarios in which fewer than ``needed`` of some pieces of work succeed. Shape (S,), bool."""
    working = np.full(sample.scenarios, len(places))
    for place in places:
        working[sample.failures(place)] -= 1
    short: BoolArray = working < needed
    return short


class TeamRecount:
    """Chances of the teams of a round.

    Parameters
    ----------
    instance
        The round.
    seed
        Seed of the plan's scenarios, drawn when first needed.
    """

    def __init__(self, instance: Instance, seed: int) -> None:
        self.instance = instance
        self.seed = seed
        self.claim: list[int] = instance.offers.claim.tolist()
        self.executor: list[int] = instance.offers.coprocessor.tolist()
        self.p: list[float] = instance.offers.success_probability.tolist()
        tasks: list[int] = instance.claims.task.tolist()
        quorum: list[int] = instance.tasks.quorum.tolist()
        self.quorum = [quorum[task] for task in tasks]
        replicas: list[int] = instance.tasks.replicas.tolist()
        self.replicas = [replicas[task] for task in tasks]
        self.held_p: list[float] = instance.commitments.success_probability.tolist()
        uncertainty = instance.uncertainty
        self.tied = uncertainty.common > 0.0 or uncertainty.sampling == "bootstrap"
        self._known: dict[Team, tuple[float, list[float]]] = {}

    @cached_property
    def sample(self) -> RoundSample:
        """The scenarios of the plan."""
        return sample_round(self.instance, seed=self.seed)

    def group(self, chosen: Iterable[int]) -> list[Team]:
        """Return the teams that chosen offers form: those of one claim are one."""
        found: dict[int, list[int]] = {}
        for offer in sorted(chosen):
            found.setdefault(self.claim[offer], []).append(offer)
        return [tuple(found[claim]) for claim in sorted(found)]

    def held(self) -> list[Team]:
        """Return the teams that commitments form."""
        found: dict[int, list[int]] = {}
        for commitment, claim in enumerate(self.instance.commitments.claim.tolist()):
            found.setdefault(claim, []).append(commitment)
        return [tuple(found[claim]) for claim in sorted(found)]

    def possible(self, offers: Sequence[int]) -> Iterator[Team]:
        """Every team that eligible offers of one task can form."""
        for claim in sorted({self.claim[offer] for offer in offers}):
            mine = [offer for offer in offers if self.claim[offer] == claim]
            for size in range(self.quorum[claim], min(self.replicas[claim], len(mine)) + 1):
                for team in combinations(mine, size):
                    if len({self.executor[offer] for offer in team}) == size:
                        yield team

    def chances(self, team: Team) -> tuple[float, list[float]]:
        """Return how often a team of offers succeeds, and how often it fails with each of its members."""
        if team not in self._known:
            needed = self.quorum[self.claim[team[0]]]
            if self.tied and len(team) > 1:
                self._known[team] = self._by_scenarios(team, needed)
            else:
                self._known[team] = _independent([self.p[offer] for offer in team], needed)
        return self._known[team]

    def held_chances(self, team: Team) -> tuple[float, list[float]]:
        """Return the same for commitments, which are taken as independent."""
        return _independent([self.held_p[k] for k in team], self.held_quorum(team))

    def held_quorum(self, team: Team) -> int:
        """How many of a claim's commitments must succeed: all, where fewer are held than the quorum."""
        return min(self.quorum[int(self.instance.commitments.claim[team[0]])], len(team))

    def _by_scenarios(self, team: Team, needed: int) -> tuple[float, list[float]]:
        """Count in scenarios that are weighted so that one member succeeds with just its probability.

        It is the one whose outcome would be the team's if all outcomes hung together.
        """
        sample = self.sample.offers
        fallen = fall_together(sample, team, needed)
        by_merit = sorted(team, key=lambda offer: (-self.p[offer], offer))
        pivot = by_merit[min(needed, len(team)) - 1]
        fails = np.zeros(sample.scenarios, dtype=bool)
        fails[sample.failures(pivot)] = True
        often = int(fails.sum())
        weight = np.ones(sample.scenarios)
        if 0 < often < sample.scenarios:
            weight[fails] = (1.0 - self.p[pivot]) * sample.scenarios / often
            weight[~fails] = self.p[pivot] * sample.scenarios / (sample.scenarios - often)
        blame = []
        for offer in team:
            own = np.zeros(sample.scenarios, dtype=bool)
            own[sample.failures(offer)] = True
            blame.append(min(math.fsum(weight[fallen & own].tolist()) / sample.scenarios, 1.0))
        failed = math.fsum(weight[fallen].tolist()) / sample.scenarios
        return min(max(1.0 - failed, 0.0), 1.0), blame


def _independent(p: list[float], needed: int) -> tuple[float, list[float]]:
    if len(p) == needed == 1:
        return p[0], [1.0 - p[0]]
    blame = [
        (1.0 - each) * (1.0 - chance_of(p[:position] + p[position + 1 :], needed))
        for position, each in enumerate(p)
    ]
    return chance_of(p, needed), blame
