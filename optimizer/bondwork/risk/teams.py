"""What teams do in scenarios: when they fail, and who is to blame."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from bondwork.uncertainty.outcomes import OutcomeSample

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bondwork.arrays import BoolArray, IntArray
    from bondwork.problem.teams import Teams

#: Failures of members handled at a time: some 100 MB of temporaries.
_CHUNK = 2_000_000


def team_failures(sample: OutcomeSample, teams: Teams, places: IntArray) -> OutcomeSample:
    """Scenarios in which each team fails: in which fewer than its quorum of members succeed.

    Parameters
    ----------
    sample
        Scenarios of offers, or of commitments.
    teams
        n teams with m members.
    places
        Shape (m,). Where each member stands in the sample.

    Examples
    --------
    Two that are enough each on its own fail together in one scenario of four.

    >>> sample = OutcomeSample.from_dense([[True, False], [True, True], [False, True], [False, False]])
    >>> pair = Teams(*map(np.array, ([0, 2], [0, 1], [0], [1], [0.75], [0.25, 0.25])))
    >>> team_failures(sample, pair, pair.member).failures(0).tolist()
    [1]
    """
    single = (teams.sizes == 1) & (teams.quorum <= 1)
    if single.all():
        return sample.select(places)
    counts = np.zeros(len(teams), dtype=np.int64)
    alone = sample.select(places[teams.start[:-1][single]])
    counts[single] = np.diff(alone.start)
    found = [
        (part.team[part.fails], part.scenario[part.fails])
        for part in _failures(sample, teams, places, np.flatnonzero(~single))
    ]
    owner = np.concatenate([np.repeat(np.flatnonzero(single), counts[single]), *(team for team, _ in found)])
    scenario = np.concatenate([alone.scenario, *(each for _, each in found)])
    order = np.argsort(owner, kind="stable")
    start = np.concatenate([[0], np.cumsum(np.bincount(owner, minlength=len(teams)))])
    return OutcomeSample(start.astype(np.int64), scenario[order].astype(np.int32), sample.probability)


def member_failures(
    sample: OutcomeSample, teams: Teams, places: IntArray, failures: OutcomeSample, members: IntArray
) -> tuple[IntArray, OutcomeSample]:
    """Teams of some members, each once, and the scenarios in which it fails and one of these members with it.

    Parameters
    ----------
    sample, teams, places
        As for `team_failures`.
    failures
        What `team_failures` said.
    members
        Shape (k,). Members, by their place among the m.
    """
    own = sample.select(places[members])
    if teams.is_single:
        return teams.team[members], own
    scenarios = np.int64(sample.scenarios)
    team = np.repeat(np.arange(len(teams)), np.diff(failures.start))
    fallen = team * scenarios + failures.scenario  # ascending
    # an executor may hold several commitments of one claim: its task is slashed once
    asked = np.unique(np.repeat(teams.team[members], np.diff(own.start)) * scenarios + own.scenario)
    at = np.minimum(np.searchsorted(fallen, asked), len(fallen) - 1)
    both = asked[fallen[at] == asked] if len(fallen) else asked[:0]
    found = np.unique(teams.team[members])
    start = np.searchsorted(both, np.append(found, len(teams)) * scenarios)
    return found, OutcomeSample(
        start.astype(np.int64), (both % scenarios).astype(np.int32), sample.probability
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Part:
    """Failures of members, of some teams, put together by team and scenario.

    An *event* is a team in a scenario in which some member of it fails: ``team``, ``scenario`` and whether
    the team itself ``fails``, one entry for each. ``member`` and ``event`` have one for each failure of a
    member.
    """

    teams: IntArray
    team: IntArray
    scenario: IntArray
    fails: BoolArray
    member: IntArray
    event: IntArray


def _failures(sample: OutcomeSample, teams: Teams, places: IntArray, wanted: IntArray) -> Iterator[_Part]:
    """Put the failures of the wanted teams' members together, some teams at a time."""
    per_member = np.diff(sample.start)[places]
    before = np.concatenate([[0], np.cumsum(per_member)])
    size = (before[teams.start[1:]] - before[teams.start[:-1]])[wanted]
    run = np.cumsum(size) // _CHUNK
    cuts = [0, *(np.flatnonzero(np.diff(run)) + 1).tolist(), len(wanted)]
    for first, last in pairwise(cuts):
        chosen = wanted[first:last]
        members = np.flatnonzero(np.isin(teams.team, chosen))
        failed = sample.select(places[members])
        member = np.repeat(members, np.diff(failed.start))
        key = teams.team[member] * np.int64(sample.scenarios) + failed.scenario
        events, event, count = np.unique(key, return_inverse=True, return_counts=True)
        team, scenario = np.divmod(events, sample.scenarios)
        spare = teams.sizes[team] - teams.quorum[team]  # so many may fail
        yield _Part(chosen, team, scenario, count > spare, member, event)
