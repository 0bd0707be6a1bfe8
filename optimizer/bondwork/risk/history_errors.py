"""Standard errors of what is averaged over the rounds of a history: chances of teams, and all made of them.

How often a team succeeds is the mean over past rounds of how often it does given each. Those rounds are a
sample of what rounds are like, and another history would have told another mean. How different it might be,
leaving some of them out tells: each of up to `HISTORY_BLOCKS` blocks of consecutive rounds in turn (the
jackknife; blocks of several rounds, so that what follows from one round in the next is not counted as news).
The mean failure rates by which a history is brought to the success probabilities of the round are averaged
again without it. The widest deviation counts once more than it was seen, since bad days are rare.

References
----------
B. Efron, The Jackknife, the Bootstrap and Other Resampling Plans, SIAM 1982. F. M. T. A. Busing, E. Meijer &
R. van der Leeden, Delete-m jackknife for unequal m, Statistics and Computing 9 (1999) 3-8.
"""

from __future__ import annotations

import dataclasses
import math
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from bondwork.problem.teams import (
    has_tied_outcomes,
    held_teams,
    member_slashing,
    team_benefit,
    team_slashing,
    teams_of_offers,
)

if TYPE_CHECKING:
    from bondwork.arrays import FloatArray, IntArray
    from bondwork.problem.instance import Instance, RiskLimit
    from bondwork.problem.teams import Teams

#: Blocks of consecutive rounds that are left out in turn, where there are as many rounds.
HISTORY_BLOCKS = 100


class HistoryErrors:
    """Standard errors of a choice under a resampled history.

    Parameters
    ----------
    instance
        The round, beside its history.
    chosen
        Offers that are chosen.

    Examples
    --------
    >>> import bondwork
    >>> from bondwork.uncertainty.history import OutcomeHistory
    >>> offers = [{"task": "t", "coprocessor": c, "bid": 0, "success_probability": 0.5} for c in "ab"]
    >>> task = {"id": "t", "operator": "op", "reward": 8, "slashing": 0, "replicas": 2}
    >>> instance = bondwork.load({
    ...     "format": "bondwork.round/1", "operators": [{"id": "op"}],
    ...     "coprocessors": [{"id": "a"}, {"id": "b"}], "tasks": [task], "offers": offers})
    >>> rows = [(str(t), c, 2, failed) for t, failed in enumerate([0, 1, 2, 1] * 5) for c in "ab"]
    >>> beside = bondwork.with_history(instance, OutcomeHistory.from_rows(rows))
    >>> round(HistoryErrors(beside, np.array([0, 1])).objective, 3)
    0.482
    """

    def __init__(self, instance: Instance, chosen: IntArray) -> None:
        self.instance = instance
        teams = teams_of_offers(instance, chosen)
        held = held_teams(instance)
        several = np.flatnonzero(teams.sizes > 1)
        self._chosen = teams.select(several).member
        self._any = len(several) > 0
        self._held = bool(np.any(held.sizes > 1))

    @property
    def is_exact(self) -> bool:
        """Whether nothing of the choice is averaged over the rounds of a history."""
        past = self.instance.uncertainty.history is not None and has_tied_outcomes(self.instance)
        return not past or not (self._any or self._held)

    @property
    def objective(self) -> float | None:
        """Of the expected net reward; ``None`` where that is exact."""
        if self.is_exact or not self._any:
            return None
        return self._spread([math.fsum(team_benefit(each, teams)) for each, teams, _ in self._parts])

    def expected(self, limit: RiskLimit, member: int) -> float | None:
        """Of the expected loss of one member of a limit's scope; ``None`` where that is exact."""
        if self.is_exact:
            return None
        found = [_expected(each, limit, member, teams, held) for each, teams, held in self._parts]
        return None if found[0] is None else self._spread([each or 0.0 for each in found])

    @cached_property
    def _blocks(self) -> list[IntArray]:
        past = self.instance.uncertainty.history
        assert past is not None  # else everything is exact
        rounds = len(past.rates)
        return np.array_split(np.arange(rounds), min(rounds, HISTORY_BLOCKS))

    @cached_property
    def _parts(self) -> list[tuple[Instance, Teams, Teams]]:
        """Teams of several with the chances of the whole history, then of the history without each block."""
        rounds = [self.instance, *(_without(self.instance, block) for block in self._blocks)]
        return [(each, teams_of_offers(each, self._chosen), _several(held_teams(each))) for each in rounds]

    def _spread(self, values: list[float]) -> float:
        """Standard error of the first value, by what the others are without a block each."""
        whole, without = values[0], np.array(values[1:])
        sizes = np.array([len(block) for block in self._blocks])
        share = sizes.sum() / sizes
        pseudo = share * whole - (share - 1.0) * without
        centre = whole + float(np.sum((1.0 - 1.0 / share) * (whole - without)))
        variance = float(np.mean((pseudo - centre) ** 2 / (share - 1.0)))
        widest = float(pseudo.max() - pseudo.min()) / len(pseudo)
        return math.sqrt(variance + widest * widest)


def _expected(instance: Instance, limit: RiskLimit, member: int, teams: Teams, held: Teams) -> float | None:
    """Expected loss of teams of several; ``None`` where the member has part in none."""
    terms: list[FloatArray] = []
    for side, coprocessor in (
        (teams, instance.offers.coprocessor),
        (held, instance.commitments.coprocessor),
    ):
        if limit.scope == "coprocessor":
            lost, mine = member_slashing(instance, side), coprocessor[side.member] == member
        else:
            lost, mine = team_slashing(instance, side), instance.claims.operator[side.claim] == member
        terms.append(lost if limit.scope == "network" else lost[mine])
    together = np.concatenate(terms)
    return math.fsum(together.tolist()) if len(together) else None


def _several(teams: Teams) -> Teams:
    return teams.select(teams.sizes > 1)


def _without(instance: Instance, block: IntArray) -> Instance:
    """The round beside its history without some rounds; who had no work in a round is averaged again."""
    past = instance.uncertainty.history
    assert past is not None  # else everything is exact
    rates, worked = np.delete(past.rates, block, axis=0), np.delete(past.worked, block, axis=0)
    for executor in np.flatnonzero(worked.any(axis=0) & ~worked.all(axis=0)).tolist():
        seen = worked[:, executor]
        rates[~seen, executor] = rates[seen, executor].mean()
    left = dataclasses.replace(past, rates=rates, worked=worked)
    uncertainty = dataclasses.replace(instance.uncertainty, history=left)
    return dataclasses.replace(instance, uncertainty=uncertainty)
