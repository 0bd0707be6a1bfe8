"""Loads and load incentives once more, for `verify`: the curve of MODEL 2.7 in plain Python.

Shares no code with the curve, its straight pieces and the rows that made the plan.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bondwork.market.load_curve import LOAD_TOLERANCE

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from bondwork.plan.recount import Recount


def incentive(parameters: Sequence[float], load: float) -> float:
    """The curve f at a load.

    Examples
    --------
    >>> incentive((1, 0.5, 0.2, 0.8, -0.4, 0.8, -2, 0.8, 0.68), 0.5)
    0.8
    """
    a, b, c, d, e, f, g, h, i = parameters
    if load < b:
        return a * math.exp(-(((load - b) / b) ** 2)) - c
    if load > f:
        return max(g * (load - h) ** 2 + i, 0.0)
    return d + (load - b) * e


@dataclass(frozen=True, slots=True)
class LoadAccount:
    """A coprocessor with a load curve: what it has to do, and what that is counted for."""

    coprocessor: int
    resource: int
    capacity: float
    scale: float
    weight: float
    parameters: tuple[float, ...]
    work: tuple[float, ...]

    def load(self, more: float = 0.0) -> float:
        """Load with so much more work."""
        return math.fsum((*self.work, more)) / self.capacity

    def largest_error(self) -> float:
        """How far straight pieces over any loads up to 1, or to those held, may be above the incentive."""
        return self.permitted_error(0.0, max(1.0, self.load()))

    def permitted_error(self, low: float, high: float) -> float:
        """How far straight pieces from one load to another may be above the incentive (MODEL 2.7)."""
        # between the ends of the branches and the turn of the last one f rises or falls only
        _, b, _, _, _, f, _, h, _ = self.parameters
        places = [low, high, *(x for x in (b, f, h) if low < x < high)]
        values = [self.weight * self.scale * incentive(self.parameters, x) for x in places]
        size = max(map(abs, values))
        return LOAD_TOLERANCE * (max(values) - min(values)) * (1.0 + 1e-6) + 1e-11 * size

    def worth(self, more: float = 0.0) -> float:
        """What the load, with so much more work, adds to the objective."""
        return self.weight * self.scale * incentive(self.parameters, self.load(more))


class LoadRecount:
    """Loads of a choice of offers.

    Parameters
    ----------
    recount
        The round.
    chosen
        Offers that the plan chooses.
    """

    def __init__(self, recount: Recount, chosen: Iterable[int]) -> None:
        self.round = recount
        self.accounts = self._accounts(sorted(chosen))

    def _accounts(self, chosen: list[int]) -> list[LoadAccount]:
        instance, held = self.round.instance, self.round.instance.commitments
        holder: list[int] = held.coprocessor.tolist()
        found = []
        for c, curve in enumerate(instance.coprocessors.load_curve):
            if curve is None or not instance.coprocessors.capacity[c, curve.resource]:
                continue
            k = curve.resource
            work = [float(held.work[each, k]) for each, who in enumerate(holder) if who == c]
            work += [self.round.work[offer][k] for offer in chosen if self.round.coprocessor[offer] == c]
            capacity = float(instance.coprocessors.capacity[c, k])
            facts = (c, k, capacity, curve.scale, curve.weight, curve.parameters, tuple(work))
            found.append(LoadAccount(*facts))
        return found

    def worths(self) -> list[float]:
        """What each load adds to the objective, where it adds anything."""
        return [each.worth() for each in self.accounts if each.weight != 0.0 and each.scale != 0.0]

    def rise(self, offers: Iterable[int]) -> list[float]:
        """Terms of what further offers, chosen together, would change."""
        more: dict[int, list[int]] = {}
        for offer in offers:
            more.setdefault(self.round.coprocessor[offer], []).append(offer)
        terms = []
        for each in self.accounts:
            if each.weight == 0.0 or each.coprocessor not in more:
                continue
            work = math.fsum(self.round.work[offer][each.resource] for offer in more[each.coprocessor])
            terms += [each.worth(work), -each.worth()]
        return terms

    def permitted_error(self) -> float:
        """How far straight pieces may be above the incentives: a share of the range of each (MODEL 2.7)."""
        return math.fsum(self._permitted(each) for each in self.accounts if each.weight != 0.0)

    def _permitted(self, account: LoadAccount) -> float:
        held = self.round.instance.commitments
        start = math.fsum(
            float(held.work[k, account.resource])
            for k, who in enumerate(held.coprocessor.tolist())
            if who == account.coprocessor
        )
        most = math.fsum(
            self.round.work[offer][account.resource]
            for offer, c in enumerate(self.round.coprocessor)
            if c == account.coprocessor and self.round.eligible[offer]
        )
        low = start / account.capacity
        high = min(max(low, 1.0), low + most / account.capacity)
        return account.permitted_error(low, high)
