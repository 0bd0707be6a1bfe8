"""What the room is worth that choices take to the end, once more, for `verify`."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

from bondwork.plan.recount_exact import ledger

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

    from bondwork.arrays import FloatArray
    from bondwork.plan.recount import Recount
    from bondwork.plan.recount_teams import Team

_NOTHING = Fraction(0)


class RoomRecount:
    """What is stated of a round's room, and what offers take of it.

    Parameters
    ----------
    round_
        The round.
    """

    def __init__(self, round_: Recount) -> None:
        self.round = round_
        self.worth = round_.instance.worth

    @property
    def is_stated(self) -> bool:
        """Whether anybody states what its room is worth."""
        return self.worth is not None

    def price(self, word: str, owner: int, resource: int = 0) -> Fraction:
        """Worth of one unit of ``stake``, ``collateral``, ``second``, ``capacity`` or ``own_capacity``."""
        if self.worth is None:
            return _NOTHING
        prices = getattr(self.worth, word)[owner]
        return Fraction(float(prices[resource] if word in ("capacity", "own_capacity") else prices))

    def table(self, word: str, resource: int = 0) -> FloatArray | float:
        """Worth of one unit, by owner; 0 where nobody states one."""
        if self.worth is None:
            return 0.0
        prices: np.ndarray = getattr(self.worth, word)
        return prices[:, resource] if word in ("capacity", "own_capacity") else prices

    def stake(self, offer: int, slashing: float) -> Fraction:
        """Worth of the stake that an offer's claim exposes."""
        price = self.price("stake", self.round.operator[offer])
        return price * ledger(slashing, self.round.instance.decimals) if price else _NOTHING

    def collateral(self, offer: int) -> Fraction:
        """Worth of the collateral that an offer posts."""
        c = self.round.coprocessor[offer]
        price = _NOTHING if c < 0 else self.price("collateral", c)
        return (
            price * ledger(self.round.collateral[offer], self.round.instance.decimals) if price else _NOTHING
        )

    def working(self, offer: int) -> Fraction:
        """Worth of the resources and of the serial time that an offer takes."""
        round_ = self.round
        c = round_.coprocessor[offer]
        word, owner = ("own_capacity", round_.operator[offer]) if c < 0 else ("capacity", c)
        taken = [
            self.price(word, owner, k) * Fraction(work) for k, work in enumerate(round_.work[offer]) if work
        ]
        if c >= 0:
            taken.append(self.price("second", c) * Fraction(round_.duration[offer]))
        return sum(taken, _NOTHING)

    def terms(self, team: Team) -> list[float]:
        """Return what a team takes, as terms of the objective of a round without later stages: below 0."""
        if self.worth is None:
            return []
        return [-float(self.stake(team[0], self.round.slashing[team[0]])), *self.terms_of_members(team)]

    def terms_of_members(self, team: Sequence[int]) -> list[float]:
        """Return what executors take by themselves, as terms below 0."""
        if self.worth is None:
            return []
        return [-float(self.collateral(offer) + self.working(offer)) for offer in team]
