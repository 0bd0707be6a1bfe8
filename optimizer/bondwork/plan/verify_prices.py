"""Whether the prices of a plan are what a unit of each limit is worth. Part of `bondwork.plan.verify`.

Prices are multipliers, and any multipliers >= 0 prove a bound. Those of the relaxation prove the least that
there is: where other prices would prove less (a price halved, left out or doubled), a stated price is none.
"""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from typing import TYPE_CHECKING, Final, NamedTuple

from bondwork.plan.certificate import WEIGHTED, BadCertificate, Entry, read_entries
from bondwork.plan.recount import label
from bondwork.plan.recount_bound import BoundRecount
from bondwork.plan.recount_columns import Uncheckable
from bondwork.plan.recount_names import is_on_tail, places_by_name
from bondwork.plan.verify_certificate import ceilings_of_plan

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bondwork.plan.findings import Amendment
    from bondwork.plan.recount import Account, Key
    from bondwork.plan.verify_status import StatusCheck

#: Bounds worked out to judge prices, and offers times bounds: what is beyond is left unchecked.
_MOST_BOUNDS, _MOST_WORK = 60, 400_000

#: Share of what the limits' room costs that other prices must prove less by: multipliers are found to a
#: solver's tolerance, and a dual ascent stops at a gap.
_CLEARLY: Final = {"lp_relaxation": 1e-4, "lagrange_multipliers": 0.05}


class PriceCheck:
    """Checks the prices of a plan of one stage.

    Parameters
    ----------
    check
        The check of the plan, which is told what is found.
    accounts
        The limits with what the plan takes of them.
    """

    def __init__(self, check: StatusCheck, accounts: dict[Key, Account]) -> None:
        self.check = check
        self.plan = check.plan
        instance = check.instance
        self.measured = Counter(map(label, accounts))
        self.measured.update(
            f"expected loss of {member}" if limit.measure == "expected" else f"{limit.measure} of {member}"
            for limit in instance.risk
            for member in check.round.members(limit.scope, limit.member)
        )
        # explanations are reckoned at the prices: where these are not so, those mean nothing
        self.nothing: Amendment = (
            (("prices",), []),
            (("prices_from",), None),
            *((("assignments", n, "explanation"), None) for n in range(len(self.plan.assignments))),
        )

    def run(self, *, one_stage: bool) -> None:
        """Gather everything that is wrong."""
        if not self._check_names() or not self.plan.prices:
            return
        if not one_stage:
            self.check.unchecked.append("prices: of a round with later stages")
            return
        try:
            self._check_values()
        except OverflowError:
            expected = "prices whose sums are within the range of numbers"
            self.check.doubt("prices", "larger ones", expected, *self.nothing)
        except (BadCertificate, Uncheckable) as reason:
            self.check.unchecked.append(f"prices: {reason}")

    def _check_names(self) -> bool:
        """Check the limits, signs and number; whether all is well."""
        before, plan = len(self.check.found), self.plan
        names = {*self.measured, *(f"task {name}" for name in self.check.instance.tasks.ids)}
        for each in plan.prices:
            is_task = each.limit.startswith("task ")
            if each.limit not in names:
                self.check.doubt("prices", each.limit[:200], "a limit of the round", *self.nothing)
            elif each.price is not None and each.price < 0.0 and not is_task:
                self.check.doubt(f"price of {each.limit}", each.price, "a price >= 0", *self.nothing)
        for name, count in Counter(each.limit for each in plan.prices).items():
            most = max(self.measured[name], 1)  # a risk may be limited twice
            if count > most:
                what = f"price of {name[:200]}"
                self.check.doubt(what, f"{count} prices", f"at most {most}", *self.nothing)
        if plan.prices_from is None and plan.prices:
            self.check.doubt("prices_from", None, "where the prices come from", *self.nothing)
        return len(self.check.found) == before

    # values

    def _check_values(self) -> None:
        """Check whether other prices would prove less."""
        places, rest = places_by_name(self.check.round), self._rest()
        priced: list[_Priced] = []
        for each in self.plan.prices:
            if each.price is None or each.limit.startswith("task "):
                continue
            here = places[each.limit]
            if len(here) != 1 or is_on_tail(here[0]):
                self.check.unchecked.append(f"price of {each.limit}")
            else:
                word, about = here[0]
                priced.append(_Priced(each.limit, Entry(word, about, each.price)))
        offers = max(len(self.check.instance.offers), 1)
        affordable = min(_MOST_BOUNDS, _MOST_WORK // offers)
        if not priced or rest is None or affordable < 3:
            if priced:
                self.check.unchecked.append("prices: what they prove")
            return
        judge = _Judge(self.check, rest, priced, _CLEARLY[self.plan.prices_from or "lp_relaxation"])
        for what, others in _alternatives(priced, affordable - 1):
            if judge.prove_less(others):
                name = "prices" if what is None else f"price of {what.limit[:200]}"
                found = f"such as prove {judge.stated:.12g}" if what is None else what.entry.y
                self.check.doubt(name, found, "the worth of a unit: other prices prove less", *self.nothing)
                return

    def _rest(self) -> list[Entry] | None:
        """What the certificate says of scenarios and loads, which prices do not say; ``None``: not known."""
        instance, given = self.check.instance, self.plan.certificate
        tails = any(limit.measure != "expected" for limit in instance.risk)
        if not tails and instance.objective.risk_weight == 0.0 and not self.plan.loads:
            return []
        if given is None or given.kind != "bound":
            return None
        return [
            each for each in read_entries(given.multipliers) if each.word in WEIGHTED or each.word == "load"
        ]


class _Priced(NamedTuple):
    """A price, as a plan names its limit and as a certificate does."""

    limit: str
    entry: Entry


class _Judge:
    """Compares what prices prove."""

    def __init__(
        self, check: StatusCheck, rest: Sequence[Entry], priced: Sequence[_Priced], clearly: float
    ) -> None:
        self.recount = BoundRecount(check.round, ceilings_of_plan(check))
        self.rest = list(rest)
        self.stated = self._bound([each.entry for each in priced])
        paid = sum(
            each.entry.y * abs(float(self.recount.rooms.of(each.entry)[2])) for each in priced if each.entry.y
        )
        objective = check.plan.objective
        self.near = clearly * paid + 1e-6 * (abs(self.stated) + abs(objective or 0.0))
        if check.plan.prices_from == "lagrange_multipliers" and None not in (check.plan.bound, objective):
            self.near += abs((check.plan.bound or 0.0) - (objective or 0.0))
        if not math.isfinite(self.near):
            raise OverflowError

    def prove_less(self, others: Sequence[Entry]) -> bool:
        """Whether other prices clearly prove a lower bound."""
        return self._bound(others) < self.stated - self.near

    def _bound(self, entries: Sequence[Entry]) -> float:
        bound = self.recount.bound([*entries, *self.rest])
        if bound is None:
            raise Uncheckable("a required task that nobody could do")
        return float(bound)


def _alternatives(priced: Sequence[_Priced], most: int) -> Iterator[tuple[_Priced | None, list[Entry]]]:
    """Other prices: all of them half or double, then one after the other nothing, half and double."""
    for factor in (0.5, 2.0):
        yield None, [_times(each.entry, factor) for each in priced]
    largest = sorted(range(len(priced)), key=lambda n: -priced[n].entry.y)
    for n in largest[: (most - 2) // 3]:
        for factor in (0.0, 0.5, 2.0):
            yield (
                priced[n],
                [_times(each.entry, factor if m == n else 1.0) for m, each in enumerate(priced)],
            )


def _times(entry: Entry, factor: float) -> Entry:
    return dataclasses.replace(entry, y=factor * entry.y)
