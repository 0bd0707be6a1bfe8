"""Teams once more, for `verify`: how often several executors of one task reach its quorum (MODEL 2.6).

Shares no code with the teams that programs decide about. Independent outcomes are gone through one by one,
member by member; outcomes that depend on each other given what they share.
"""

from __future__ import annotations

import math
from functools import cached_property
from itertools import combinations, pairwise
from typing import TYPE_CHECKING

import numpy as np

from bondwork.plan.recount_factor import Work, resampled_chances, tied_chances
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
    """Probability that at least ``needed`` of independent trials succeed, trial by trial.

    Examples
    --------
    >>> chance_of([0.5, 0.75], 1)
    0.875
    """
    if needed <= 0:
        return 1.0
    # by how many are still missing, from the last trial back to the first
    chance = [1.0] + [0.0] * needed
    for each in reversed(p):
        chance = [
            1.0,
            *(each * less + (1.0 - each) * same for less, same in pairwise(chance)),
        ]
    return chance[needed]


def fall_together(sample: OutcomeSample, places: Sequence[int], needed: int) -> BoolArray:
    """Scenarios in which fewer than ``needed`` of some pieces of work succeed. Shape (S,), bool."""
    if len(places) == needed == 1:
        alone: BoolArray = np.zeros(sample.scenarios, dtype=bool)
        alone[sample.failures(places[0])] = True
        return alone
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
                self._known[team] = self._dependent([self._offered(offer) for offer in team], needed)
            else:
                self._known[team] = _independent([self.p[offer] for offer in team], needed)
        return self._known[team]

    def held_chances(self, team: Team) -> tuple[float, list[float]]:
        """Return the same for commitments; where an executor has several, the first that fails counts."""
        needed, works = self.held_quorum(team), [self._held_work(k) for k in team]
        crowded = len({work.executor for work in works}) < len(works)
        if len(team) > 1 and (self.tied or crowded):
            return self._dependent(works, needed)
        return _independent([self.held_p[k] for k in team], needed)

    def part_chances(
        self, team: Sequence[int], needed: int, *, held: bool = False
    ) -> tuple[float, list[float]]:
        """Return the same for some members of a team of offers, or of one that is ``held``."""
        works = [self._held_work(k) if held else self._offered(k) for k in team]
        crowded = len({work.executor for work in works}) < len(works)
        if len(team) > 1 and (self.tied or crowded):
            return self._dependent(works, needed)
        return _independent([work.p for work in works], needed)

    def _dependent(self, works: list[Work], needed: int) -> tuple[float, list[float]]:
        uncertainty = self.instance.uncertainty
        if uncertainty.sampling != "bootstrap":
            return tied_chances(works, needed, uncertainty.common, uncertainty.coprocessor)
        if uncertainty.history is None:  # no such round is solved
            return _independent([work.p for work in works], needed)
        success, blame, _ = resampled_chances(works, needed, uncertainty.history.rates)
        return success, blame

    def _offered(self, offer: int) -> Work:
        offers = self.instance.offers
        nu = float(offers.concentration[offer])
        return self._work(self.executor[offer], int(offers.operator[offer]), self.p[offer], nu)

    def _held_work(self, k: int) -> Work:
        held = self.instance.commitments
        return self._work(int(held.coprocessor[k]), int(held.operator[k]), self.held_p[k], math.inf)

    def _work(self, coprocessor: int, operator: int, p: float, concentration: float) -> Work:
        """Operators that execute tasks themselves come after the coprocessors, and have no outages."""
        coprocessors = self.instance.coprocessors
        if coprocessor < 0:
            return Work(len(coprocessors) + operator, p, concentration, 0.0)
        return Work(coprocessor, p, concentration, float(coprocessors.outage_probability[coprocessor]))

    def held_quorum(self, team: Team) -> int:
        """How many of a claim's commitments must succeed: all, where fewer are held than the quorum."""
        return min(self.quorum[int(self.instance.commitments.claim[team[0]])], len(team))


def _independent(p: list[float], needed: int) -> tuple[float, list[float]]:
    if len(p) == needed == 1:
        return p[0], [1.0 - p[0]]
    blame = [
        (1.0 - each) * (1.0 - chance_of(p[:position] + p[position + 1 :], needed))
        for position, each in enumerate(p)
    ]
    return chance_of(p, needed), blame
