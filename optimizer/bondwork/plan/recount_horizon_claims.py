"""What a claim takes of limits while some who work for it are released and others not, for `verify`.

A team that was chosen on the path, or commitments of one claim: each executor is released by itself, and the
claim is decided as soon as a quorum of released ones has succeeded, or cannot any more (MODEL 4).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bondwork.plan.recount import Key, Recount
    from bondwork.plan.recount_teams import Team


class Claim:
    """A team that was chosen on the path, and what became of its members so far.

    Parameters
    ----------
    recount
        The decision point as a round.
    team, quorum
        Its members, and how many must succeed.
    done, ends
        Which are released, and whether they succeeded: ``None`` for those that are not, and where the tree
        does not say.
    """

    def __init__(
        self, recount: Recount, team: Team, quorum: int, done: list[bool], ends: list[bool | None]
    ) -> None:
        self.recount = recount
        self.team = team
        self.quorum = quorum
        self.done = done
        self.ends = ends

    @property
    def is_half_done(self) -> bool:
        """Whether some are released and others not."""
        return any(self.done) and not all(self.done)

    # what a team of offers is; commitments differ

    def _slashing(self) -> float:
        return self.recount.slashing[self.team[0]]

    def _operator(self) -> str:
        return self.recount.operator_id(self.team[0])

    def _executor(self, place: int) -> tuple[str, bool]:
        """Who does it, and whether that is a coprocessor."""
        offer = self.team[place]
        return self.recount.executor_id(offer), self.recount.coprocessor[offer] >= 0

    def _work(self, place: int) -> list[float]:
        return list(self.recount.work[self.team[place]])

    def _collateral(self, place: int) -> tuple[float, bool]:
        """What a member's collateral takes, and whether that is known; nothing where it came back."""
        end = self.ends[place]
        kept = not self.done[place] or end is not True
        known = not self.done[place] or end is not None
        return (self.recount.collateral[self.team[place]] if kept else 0.0), known

    def _chances(self, places: list[int], needed: int) -> tuple[float, list[float]]:
        """How often so many of some members succeed, and how often they do not and each of them fails."""
        return self.recount.teams.part_chances([self.team[place] for place in places], needed)

    def taken(self) -> Iterator[tuple[Key, float, bool]]:
        """What all of it takes of which limits, and whether that is known."""
        for place, done in enumerate(self.done):
            executor, is_coprocessor = self._executor(place)
            if not done:
                for resource, amount in zip(self.recount.instance.resources, self._work(place), strict=True):
                    yield ("capacity", resource, executor), amount, True
            if is_coprocessor:
                amount, known = self._collateral(place)
                if amount:
                    yield ("collateral", "", executor), amount, known
        wins = self.ends.count(True)
        if self._slashing() > 0.0 and wins < self.quorum:
            unknown = sum(done and end is None for done, end in zip(self.done, self.ends, strict=True))
            yield ("stake", "", self._operator()), self._slashing(), wins + unknown < self.quorum
        if not all(self.done):
            yield from self._expected(wins)

    def _expected(self, wins: int) -> Iterator[tuple[Key, float, bool]]:
        """What is expected to be lost: nothing once that is decided."""
        left = [place for place, done in enumerate(self.done) if not done]
        missing = self.quorum - wins
        known = all(end is not None for end, done in zip(self.ends, self.done, strict=True) if done)
        if not 0 < missing <= len(left):
            return
        success, blame = self._chances(left, missing)
        lost = self._slashing() * (1.0 - success)
        for name in ("network", self._operator()):
            yield ("expected loss", "", name), lost, known
        guilty = {self._executor(k)[0] for k, end in enumerate(self.ends) if end is False}
        shares: dict[str, float] = {}
        for place, share in zip(left, blame, strict=True):
            if self._executor(place)[1]:
                name = self._executor(place)[0]
                shares[name] = shares.get(name, 0.0) + self._slashing() * share
        for place, _ in enumerate(self.team):
            name, is_coprocessor = self._executor(place)
            if is_coprocessor and name in guilty:
                shares[name] = lost
        for name, share in shares.items():
            yield ("expected loss", "", name), share, known


class HeldClaim(Claim):
    """Commitments of one claim: what they posted is off the free collateral, and is given back."""

    def _slashing(self) -> float:
        instance = self.recount.instance
        return float(instance.claims.slashing[instance.commitments.claim[self.team[0]]])

    def _operator(self) -> str:
        instance = self.recount.instance
        name: str = instance.operators.ids[instance.commitments.operator[self.team[0]]]
        return name

    def _executor(self, place: int) -> tuple[str, bool]:
        instance = self.recount.instance
        c = int(instance.commitments.coprocessor[self.team[place]])
        return (self._operator(), False) if c < 0 else (instance.coprocessors.ids[c], True)

    def _work(self, place: int) -> list[float]:
        found: list[float] = self.recount.instance.commitments.work[self.team[place]].tolist()
        return found

    def _collateral(self, place: int) -> tuple[float, bool]:
        if not self.done[place] or self.ends[place] is False:
            return 0.0, True
        amount = float(self.recount.instance.commitments.collateral[self.team[place]])
        return -amount, self.ends[place] is not None

    def _chances(self, places: list[int], needed: int) -> tuple[float, list[float]]:
        return self.recount.teams.part_chances([self.team[place] for place in places], needed, held=True)
