"""What choices of a round with later periods take to the end of the paths, once more, for `verify`."""

from __future__ import annotations

from fractions import Fraction
from functools import cached_property
from typing import TYPE_CHECKING

from bondwork.plan.recount_exact import success_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bondwork.plan.recount import Recount
    from bondwork.plan.recount_teams import Team
    from bondwork.problem.release import Horizon

_NOTHING, _ALL = Fraction(0), Fraction(1)


class HorizonRoomRecount:
    """What is expected not to be free again when a path through a decision point ends.

    Parameters
    ----------
    horizon
        Says which periods follow which, and when; releases are worked out here.
    point
        The decision point.
    recount
        The point as a round.
    """

    def __init__(self, horizon: Horizon, point: int, recount: Recount) -> None:
        self._horizon = horizon
        self._point = point
        self._recount = recount

    @cached_property
    def _ends(self) -> list[tuple[float | None, Fraction]]:
        """Times of the last periods of the paths, ``None`` where nothing follows, and how often each is."""
        return list(self._below(self._point, _ALL, None))

    def _below(
        self, point: int, chance: Fraction, at: float | None
    ) -> Iterator[tuple[float | None, Fraction]]:
        periods = self._horizon.instance.periods
        following = [n for n, each in enumerate(periods) if each.above == point and each.probability > 0.0]
        if not following:
            yield at, chance
        for n in following:
            yield from self._below(n, chance * Fraction(periods[n].probability), periods[n].at)

    def _is_done(self, offer: int, end: float | None) -> bool:
        return end is not None and self._recount.instance.now + self._recount.duration[offer] <= end

    def taken(self, team: Team, slashing: float, success: Fraction) -> Fraction:
        """Worth of what a team takes: ``success`` is how often a quorum of all of it succeeds."""
        room = self._recount.room
        if not room.is_stated:
            return _NOTHING
        total = _NOTHING
        stake = room.stake(team[0], slashing)
        for end, chance in self._ends:
            done = [offer for offer in team if self._is_done(offer, end)]
            for offer in team:
                if offer in done:
                    total += chance * room.collateral(offer) * (1 - Fraction(self._recount.p[offer]))
                else:
                    total += chance * (room.collateral(offer) + room.working(offer))
            total += chance * stake * (1 - self._good(team, done, success))
        return total

    def _good(self, team: Team, done: list[int], success: Fraction) -> Fraction:
        """How often a quorum of the members that are done has succeeded."""
        if len(done) == len(team):
            return success
        teams = self._recount.teams
        needed = teams.quorum[teams.claim[team[0]]]
        return (
            success_of([Fraction(self._recount.p[each]) for each in done], needed)
            if needed <= len(done)
            else _NOTHING
        )
