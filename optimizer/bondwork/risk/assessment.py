"""What a choice measures under each risk limit: in the sample it was made on, and on fresh scenarios.

In-sample tails flatter: a plan made on a thousand scenarios has been fitted to them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from bondwork.base.tolerances import ROW
from bondwork.problem.teams import (
    held_teams,
    member_slashing,
    team_slashing,
    teams_of_offers,
)
from bondwork.risk.exact_tails import ExactTails
from bondwork.risk.history_errors import HistoryErrors
from bondwork.risk.limits import committed_value, is_tail_limit, members, tail_measures
from bondwork.uncertainty.sampling import fresh_method, sample_round

if TYPE_CHECKING:
    from bondwork.arrays import IntArray
    from bondwork.problem.instance import Instance, RiskLimit
    from bondwork.problem.teams import Teams
    from bondwork.risk.measure import Measure
    from bondwork.uncertainty.sampling import RoundSample

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
        For tail limits: the exact value, with an error of 0, or the value on fresh scenarios. Expected losses
        have an error of ``in_sample`` where that is an average over the rounds of a history.
    committed, committed_fresh
        The same two values for the commitments alone.
    size
        The largest term of the value, by which rounding is measured.
    """

    limit: int
    of: str
    ceiling: float
    in_sample: float
    out_of_sample: float | None
    standard_error: float | None
    committed: float = 0.0
    committed_fresh: float | None = None
    size: float = 0.0

    @property
    def holds(self) -> bool:
        """Whether the limit holds: on fresh scenarios where there are any, within two standard errors."""
        return self._is_within(self.ceiling)

    @property
    def permitted(self) -> float:
        """What the value may come to: the ceiling, or what the commitments alone take."""
        return max(self.ceiling, self.committed if self.committed_fresh is None else self.committed_fresh)

    @property
    def is_kept(self) -> bool:
        """Whether the limit holds, or nothing that was chosen makes worse what commitments exceed."""
        return self._is_within(self.permitted)

    @property
    def surely_holds(self) -> bool:
        """Whether the limit holds without any allowance for what fresh scenarios leave open."""
        value = self.in_sample if self.out_of_sample is None else self.out_of_sample
        return value <= self.ceiling + 1e-9 * abs(self.ceiling)

    def calibrated(self, factor: float | None) -> float | None:
        """Budget in the sample that calibration moved the limit to by ``factor``; ``None`` where it did not.

        One factor moves a limit for all its members. A larger budget is that of those for whom it holds all
        the same; others keep the limit as it is, commitments aside.
        """
        if factor is None or (factor > 1.0 and not self.surely_holds):
            return None
        return self.ceiling * factor

    @property
    def is_committed(self) -> bool:
        """Whether commitments alone exceed the limit in the sample, and nothing chosen adds to them."""
        return self.committed > self.ceiling and self.in_sample <= self.committed

    @property
    def exceeds_sample(self) -> bool:
        """Whether the value on the sample is above the limit, and above that of the commitments alone."""
        most = max(self.ceiling, self.committed)
        return self.in_sample > most + 1e-9 * abs(most)

    def _is_within(self, ceiling: float) -> bool:
        slack = 1e-9 * abs(ceiling)
        error = self.standard_error
        if error is None or not np.isfinite(error):
            error = 0.0
        if self.out_of_sample is None:
            slack = ROW * max(abs(ceiling), abs(self.in_sample), self.size)
            return self.in_sample <= ceiling + STANDARD_ERRORS * error + slack
        return self.out_of_sample <= ceiling + STANDARD_ERRORS * error + slack


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
    teams = teams_of_offers(instance, chosen)
    nobody = teams.select(np.zeros(0, dtype=np.int64))
    # chances of dependent teams are integrals, no estimates: an error of 0 says so; under a history they are
    # averages over its rounds
    integrated = instance.uncertainty.common > 0.0 and instance.uncertainty.sampling != "bootstrap"
    integrated = integrated and not (teams.is_single and held_teams(instance).is_single)
    found: list[Assessment] = []
    tails = _Tails(instance, sample, chosen, seed, teams, nobody)
    resampled = HistoryErrors(instance, chosen)
    for number, limit in enumerate(instance.risk):
        for scope, member, name in members(instance, limit):
            if is_tail_limit(limit):
                found.append(tails.measure(number, limit, scope, member, name))
            else:
                loss = _expected_loss(instance, limit, member, teams)
                held = _expected_loss(instance, limit, member, nobody)
                error = 0.0 if integrated else resampled.expected(limit, member)
                found.append(Assessment(number, name, limit.budget, loss, None, error, held))
    return found


class _Tails:
    """Tail limits of a choice in the order of the round: in the sample, and on the law behind it.

    Where the law of the loss can be listed the latter is exact; else fresh scenarios are drawn, once.
    """

    def __init__(
        self,
        instance: Instance,
        sample: RoundSample | None,
        chosen: IntArray,
        seed: int,
        teams: Teams,
        nobody: Teams,
    ) -> None:
        self.instance, self.chosen, self.seed, self.teams = instance, chosen, seed, teams
        self.inside: list[Measure] = []
        if sample is not None and any(map(is_tail_limit, instance.risk)):
            self.inside = tail_measures(instance, sample, teams)
            self.exact, self.exact_held = ExactTails(instance, teams), ExactTails(instance, nobody)
        self.measured = 0

    @cached_property
    def outside(self) -> list[Measure]:
        """Measures of the same limits on fresh scenarios of the chosen offers."""
        fresh = sample_round(
            self.instance,
            scenarios=FRESH_SCENARIOS,
            seed=fresh_seed(self.seed),
            method=fresh_method(self.instance),
            offers=self.chosen,
        )
        order = np.argsort(self.chosen, kind="stable")
        places = order[np.searchsorted(np.sort(self.chosen), self.teams.member)]
        return tail_measures(self.instance, fresh, self.teams, places)

    def measure(self, number: int, limit: RiskLimit, scope: str, member: int, name: str) -> Assessment:
        """Measure the next limit."""
        x = np.ones(len(self.teams))
        old, place = self.inside[self.measured], self.measured
        self.measured += 1
        value, held = self.exact.value(limit, scope, member), self.exact_held.value(limit, scope, member)
        error = 0.0
        if value is None or held is None:
            new = self.outside[place]
            value, held, error = new.value(x), committed_value(new), new.standard_error(x)
        return Assessment(
            number,
            name,
            old.ceiling,
            old.value(x),
            value,
            error if np.isfinite(error) else None,
            committed_value(old),
            held,
        )


def _expected_loss(instance: Instance, limit: RiskLimit, member: int, teams: Teams) -> float:
    total = 0.0
    for side, coprocessor in (
        (teams, instance.offers.coprocessor),
        (held_teams(instance), instance.commitments.coprocessor),
    ):
        if limit.scope == "coprocessor":
            lost, mine = member_slashing(instance, side), coprocessor[side.member] == member
        else:
            lost, mine = team_slashing(instance, side), instance.claims.operator[side.claim] == member
        total += float(lost[mine].sum() if limit.scope != "network" else lost.sum())
    return total
