"""What decisions of a round with later periods still hold, or have lost, when a path ends, and its worth.

Linear in what is chosen, and no node of the tree is needed for it: whether a member succeeds depends on no
decision, so that what is expected to be free again at the end is a number for each team and decision point.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bondwork.problem.room import collateral_room, stake_room, working_room
from bondwork.problem.teams import chances_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bondwork.arrays import BoolArray, FloatArray
    from bondwork.problem.instance import Instance
    from bondwork.problem.release import Horizon
    from bondwork.problem.teams import Teams


class RoomToTheEnd:
    """What each team of a decision point is charged for the room that it takes.

    Parameters
    ----------
    horizon
        The round with its periods.
    point
        The decision point.
    teams
        What can be chosen there, n of them.
    """

    def __init__(self, horizon: Horizon, point: int, teams: Teams) -> None:
        self._teams = teams
        self._stated = horizon.instance.worth is not None
        if not self._stated:
            return
        decided = horizon.rounds[point]
        p = decided.offers.success_probability
        collateral, working = collateral_room(decided), working_room(decided)
        members = np.zeros(len(decided.offers))
        #: How often a team's claim is not decided well by the end, so that its stake is not free.
        self._exposed = np.zeros(len(teams))
        for end, chance in _ends(horizon, point):
            is_open = horizon.left_open(point, end)
            members += chance * np.where(is_open, collateral + working, collateral * (1.0 - p))
            self._exposed += chance * (1.0 - _decided_well(decided, teams, ~is_open))
        self._members = np.bincount(teams.team, members[teams.member], minlength=len(teams))

    def charge(self, decided: Instance) -> FloatArray:
        """Worth of what each team takes, with the amounts of the point as they turned out. Shape (n,)."""
        if not self._stated:
            return np.zeros(len(self._teams))
        room: FloatArray = self._members + stake_room(decided)[self._teams.claim] * self._exposed
        return room


def _ends(horizon: Horizon, point: int) -> Iterator[tuple[int, float]]:
    """Where paths through a decision point end, and how often given that point."""
    below = horizon.children[point]
    if not below:
        yield point, 1.0
    for period in below:
        for end, chance in _ends(horizon, period):
            yield end, chance * horizon.instance.periods[period].probability


def _decided_well(decided: Instance, teams: Teams, released: BoolArray) -> FloatArray:
    """How often a quorum of the released members of each team has succeeded. Shape (n,)."""
    done = np.bincount(teams.team, released[teams.member], minlength=len(teams)).astype(np.int64)
    good: FloatArray = np.where(done == teams.sizes, teams.success, 0.0)
    for j in np.flatnonzero((done < teams.sizes) & (done >= teams.quorum)).tolist():
        members = teams.member[teams.start[j] : teams.start[j + 1]]
        good[j] = chances_of(decided, members[released[members]][None], int(teams.quorum[j]))[0][0]
    return good
