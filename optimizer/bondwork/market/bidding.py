"""How coprocessors bid: what they take, given how loaded they are. A door for other people's rules."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

if TYPE_CHECKING:
    from bondwork.arrays import FloatArray


class Bidding(Protocol):
    """A bidding strategy of coprocessors, vectorised over offers."""

    def least(self, bid: FloatArray, load: FloatArray) -> FloatArray:
        """Lowest price that covers the cost at this load; ``inf`` to stay away. Shape of ``bid``."""
        ...

    def ask(self, bid: FloatArray, load: FloatArray) -> FloatArray:
        """Price at which to stop waiting while a clock falls; never below `least`. Shape of ``bid``."""
        ...


@dataclass(frozen=True, slots=True)
class Truthful:
    """Takes its bid and nothing more, however loaded it is."""

    def least(self, bid: FloatArray, load: FloatArray) -> FloatArray:
        """The bid."""
        del load
        return bid

    def ask(self, bid: FloatArray, load: FloatArray) -> FloatArray:
        """The bid."""
        return self.least(bid, load)


@dataclass(frozen=True, slots=True)
class LoadAware:
    """Asks more when loaded, waits longer when loaded, and stays away when nearly full (paper, 3.2.2).

    Attributes
    ----------
    premium
        A full coprocessor needs so much more than its bid, as a share of it.
    margin
        An idle one stops waiting at so much above what it needs; a loaded one waits for the price to fall
        further. So idle ones are served first.
    stay_away
        Load from which it does not bid at all.
    """

    premium: float = 0.25
    margin: float = 0.5
    stay_away: float = 0.95

    def least(self, bid: FloatArray, load: FloatArray) -> FloatArray:
        """See `Bidding`."""
        needed: FloatArray = np.where(load < self.stay_away, bid * (1.0 + self.premium * load), np.inf)
        return needed

    def ask(self, bid: FloatArray, load: FloatArray) -> FloatArray:
        """See `Bidding`."""
        free = np.clip(1.0 - load, 0.0, 1.0)
        return self.least(bid, load) * (1.0 + self.margin * free)


@dataclass(frozen=True, slots=True)
class Shaded:
    """Asks a fixed share above its bid: what a bidder does who pays what it bids."""

    margin: float = 0.1

    def least(self, bid: FloatArray, load: FloatArray) -> FloatArray:
        """See `Bidding`."""
        del load
        return bid * (1.0 + self.margin)

    def ask(self, bid: FloatArray, load: FloatArray) -> FloatArray:
        """See `Bidding`."""
        return self.least(bid, load)


#: Bidding strategies by the names that settings use.
BIDDINGS: dict[str, Bidding] = {"truthful": Truthful(), "load": LoadAware(), "shaded": Shaded()}
