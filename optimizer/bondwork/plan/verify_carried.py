"""Whether a plan's prices are the multipliers of its certificate. Part of `bondwork.plan.verify`."""

from __future__ import annotations

from collections import defaultdict
from functools import cached_property
from typing import TYPE_CHECKING, Final

import numpy as np

from bondwork.base.tolerances import SUM
from bondwork.plan.certificate import WEIGHTED, Entry, read_entries
from bondwork.plan.recount_names import is_on_tail, places_by_name
from bondwork.plan.recount_usage import Usage

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from bondwork.plan.plan import Price
    from bondwork.plan.recount_bound import BoundRecount
    from bondwork.plan.recount_names import Place
    from bondwork.plan.verify_status import StatusCheck

#: Share of the largest net reward up to which what a price moves is left out of a plan.
_LEFT_OUT: Final = 2e-9


class CarriedPrices:
    """Multipliers of limits that a plan's certificate carries, by the names that plans print.

    Those of limits on the tail go with weights of scenarios, and those of loads have no price: both are left
    aside. Multipliers of tasks are another proof, whose prices are not those of the limits.

    Parameters
    ----------
    check
        The check of the plan.
    recount
        Bounds of its round.
    """

    def __init__(self, check: StatusCheck, recount: BoundRecount) -> None:
        self.recount = recount
        self.entries: list[Entry] | None = None
        given = check.plan.certificate
        if given is not None and given.kind == "bound":
            known = read_entries(given.multipliers)
            if all(each.word != "task" for each in known):
                self.entries = [e for e in known if e.word not in WEIGHTED and e.word != "load"]
        self.places = places_by_name(check.round)

    def are_stated(self, prices: Iterable[Price], exceeded: Collection[str]) -> bool | None:
        """Whether a plan's prices are those multipliers; ``None`` where there are none to compare them with.

        Parameters
        ----------
        prices
            The prices of a plan.
        exceeded
            Names of limits that commitments exceed: they need no price.
        """
        if self.entries is None:
            return None
        stated: dict[str, list[float]] = defaultdict(list)
        for each in prices:
            if each.price is not None:
                stated[each.limit].append(each.price)
        known = {(each.word, each.about): each.y for each in self.entries}
        return all(
            self._are_alike(stated[name], {place: known.get(place, 0.0) for place in places})
            for name, places in self.places.items()
            if not any(map(is_on_tail, places)) and not (name in exceeded and name not in stated)
        )

    def _are_alike(self, stated: Sequence[float], carried: Mapping[Place, float]) -> bool:
        """Whether limits of one name have the prices that are stated of it; a small one may be left out."""
        mine = sorted([*stated, *[0.0] * (len(carried) - len(stated))])
        pairs = zip(mine, sorted(carried, key=carried.__getitem__), strict=True)
        return all(
            abs(one - carried[place]) <= SUM * abs(one)
            or (one == 0.0 and self._is_small(place, carried[place]))
            for one, place in pairs
        )

    def _is_small(self, place: Place, y: float) -> bool:
        """Whether a multiplier moves so little that plans leave it out."""
        _, amounts = Usage(self.recount.columns).of(*self.recount.rooms.of(Entry(*place, y))[:2])
        return y * float(np.max(amounts, initial=0.0)) <= _LEFT_OUT * self._largest

    @cached_property
    def _largest(self) -> float:
        """Largest net reward of a team."""
        net, _, _ = self.recount.priced([])[1].sums()
        return float(np.max(np.abs(net), initial=0.0))
