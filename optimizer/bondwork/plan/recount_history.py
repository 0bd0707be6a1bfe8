"""Standard errors under a resampled history once more, for `verify`: what the plan is without some rounds.

Chances are those of `bondwork.plan.recount_teams`, of a history from which a block of rounds at a time was
taken; the rest is arithmetic of its own.
"""

from __future__ import annotations

import dataclasses
import math
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from bondwork.plan.recount_teams import TeamRecount
from bondwork.risk.history_errors import HISTORY_BLOCKS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from bondwork.plan.recount import Recount
    from bondwork.plan.recount_teams import Team
    from bondwork.problem.instance import Instance, PastRates


class HistoryRecount:
    """How far averages over the rounds of a history may be off.

    Parameters
    ----------
    recount
        The round, beside its history.
    chosen
        Offers that the plan chooses.
    """

    def __init__(self, recount: Recount, chosen: Sequence[int]) -> None:
        self.round = recount
        self.past = recount.instance.uncertainty.history
        self.teams = [team for team in recount.teams.group(chosen) if len(team) > 1]
        self.held = [team for team in recount.teams.held() if len(team) > 1]

    def objective(self) -> float | None:
        """Standard error of the expected net reward; ``None`` where it is exact."""
        if self.past is None or not self.teams:
            return None
        at_stake = [self.round.reward[team[0]] + self.round.slashing[team[0]] for team in self.teams]

        def gained(chances: TeamRecount) -> float:
            return math.fsum(a * chances.chances(t)[0] for a, t in zip(at_stake, self.teams, strict=True))

        return self._error(gained)

    def expected_loss(self, name: str) -> float | None:
        """Standard error of the expected loss of the network or of a member; ``None`` where it is exact."""
        if self.past is None:
            return None
        offered = _those_that_count(self.teams, lambda team: self._shares(team, name))
        held = _those_that_count(self.held, lambda team: self._held_shares(team, name))
        if not offered and not held:
            return None
        claims, committed = self.round.instance.claims, self.round.instance.commitments

        def lost(chances: TeamRecount) -> float:
            terms = [self.round.slashing[t[0]] * _part(chances.chances(t), each) for t, each in offered]
            for team, places in held:
                slashing = float(claims.slashing[committed.claim[team[0]]])
                terms.append(slashing * _part(chances.held_chances(team), places))
            return math.fsum(terms)

        return self._error(lost)

    def _shares(self, team: Team, name: str) -> list[int] | None:
        """Members whose loss counts: none in particular, where the whole team's does; ``None``: no one's."""
        if name in ("network", self.round.operator_id(team[0])):
            return []
        return [k for k, offer in enumerate(team) if self.round.executor_id(offer) == name] or None

    def _held_shares(self, team: Team, name: str) -> list[int] | None:
        instance, held = self.round.instance, self.round.instance.commitments
        if name in ("network", instance.operators.ids[held.operator[team[0]]]):
            return []
        mine = [
            k
            for k, each in enumerate(team)
            if held.coprocessor[each] >= 0 and instance.coprocessors.ids[held.coprocessor[each]] == name
        ]
        return mine or None

    @cached_property
    def _without(self) -> list[tuple[int, TeamRecount]]:
        """Rounds that are left, and chances by them: of the whole history, then without each block."""
        assert self.past is not None  # else nobody asks
        rounds = len(self.past.rates)
        blocks = min(rounds, HISTORY_BLOCKS)
        size, longer = divmod(rounds, blocks)
        found = [(rounds, self.round.teams)]
        first = 0
        for block in range(blocks):
            last = first + size + (1 if block < longer else 0)
            kept = [each for each in range(rounds) if not first <= each < last]
            beside = _beside(self.round.instance, _rounds_of(self.past, kept))
            found.append((len(kept), TeamRecount(beside, self.round.teams.seed)))
            first = last
        return found

    def _error(self, amount: Callable[[TeamRecount], float]) -> float:
        (rounds, whole), *others = self._without
        all_of_it = amount(whole)
        pseudo, weights, shift = [], [], 0.0
        for kept, chances in others:
            part = amount(chances)
            times = rounds / (rounds - kept)
            pseudo.append(times * all_of_it - (times - 1.0) * part)
            weights.append(1.0 / (times - 1.0))
            shift += kept / rounds * (all_of_it - part)
        centre = all_of_it + shift
        squares = math.fsum(w * (each - centre) ** 2 for w, each in zip(weights, pseudo, strict=True))
        widest = (max(pseudo) - min(pseudo)) / len(pseudo)
        return math.sqrt(squares / len(pseudo) + widest**2)


def _those_that_count(
    teams: Sequence[Team], shares: Callable[[Team], list[int] | None]
) -> list[tuple[Team, list[int]]]:
    found = ((team, shares(team)) for team in teams)
    return [(team, places) for team, places in found if places is not None]


def _part(chances: tuple[float, list[float]], places: list[int]) -> float:
    """How often a team fails, or fails with each of some members."""
    success, blame = chances
    return math.fsum(blame[k] for k in places) if places else 1.0 - success


def _rounds_of(past: PastRates, kept: list[int]) -> PastRates:
    """Some rounds of a history: who had nothing to do in one has the mean of its others there."""
    rates, worked = past.rates[kept].copy(), past.worked[kept]
    for executor in range(rates.shape[1]):
        seen = worked[:, executor]
        if seen.any():
            rates[~seen, executor] = float(np.mean(rates[seen, executor]))
    return dataclasses.replace(past, rates=rates, worked=worked)


def _beside(instance: Instance, past: PastRates) -> Instance:
    return dataclasses.replace(instance, uncertainty=dataclasses.replace(instance.uncertainty, history=past))
