"""Whether the prices of a plan are what a unit of each limit is worth. Part of `bondwork.plan.verify`.

Prices are multipliers, and any multipliers >= 0 prove a bound. Those of the relaxation prove the least that
there is: where other prices would prove less (a price halved, left out or doubled), a stated price is none.
"""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING, Final

from bondwork.plan.certificate import WEIGHTED, BadCertificate, Entry, read_entries
from bondwork.plan.recount import label
from bondwork.plan.recount_bound import BoundRecount
from bondwork.plan.recount_columns import Uncheckable
from bondwork.plan.recount_judge import PriceJudge
from bondwork.plan.recount_names import is_on_tail, places_by_name
from bondwork.plan.verify_certificate import ceilings_of_plan

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bondwork.plan.findings import Amendment
    from bondwork.plan.recount import Account, Key
    from bondwork.plan.verify_status import StatusCheck

#: Teams times prices that are looked at one by one; what is beyond is left unchecked.
_MOST_WORK: Final = 2e8

#: Other prices that are tried: all at once, and each by itself, this many times the stated ones.
_ALL_TIMES: Final = (0.5, 2.0)
_ONE_TIMES: Final = (0.0, 0.5, 2.0)

_WORTH: Final = "the worth of a unit: other prices prove less"

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

    def run(self, *, one_stage: bool) -> bool:
        """Gather everything that is wrong; whether the prices may be believed."""
        before = len(self.check.found)
        if self._check_names() and self.plan.prices_from is not None:
            if self.check.instance.constraints:
                self.check.unchecked.append("prices: beside those of constraints")
            elif one_stage:
                self._try_values()
            else:
                self.check.unchecked.append("prices: of a round with later stages")
        return len(self.check.found) == before

    def _try_values(self) -> None:
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
        if plan.prices_from is not None and plan.solution == "none":
            self.check.doubt("prices_from", plan.prices_from, "null, as solution is none", *self.nothing)
        return len(self.check.found) == before

    def entries(self) -> list[tuple[str, Entry]]:
        """The prices of limits that a certificate could name, by name."""
        places, found = places_by_name(self.check.round), []
        for each in self.plan.prices:
            here = places.get(each.limit, ())
            if each.price is not None and len(here) == 1 and not is_on_tail(here[0]):
                found.append((each.limit, Entry(*here[0], each.price)))
        return found

    # values

    def _check_values(self) -> None:
        """Check whether other prices would prove less."""
        priced = self.entries()
        names, rows = [name for name, _ in priced], [entry for _, entry in priced]
        rest = self._rest(rows)
        known = set(names)
        for each in self.plan.prices:
            if each.price is not None and not each.limit.startswith("task ") and each.limit not in known:
                self.check.unchecked.append(f"price of {each.limit}")
        if not rows or rest is None:
            if rows:
                self.check.unchecked.append("prices: what they prove")
            return
        judge = PriceJudge(BoundRecount(self.check.round, ceilings_of_plan(self.check)), rows, rest)
        near = self._near(judge)
        for factor in _ALL_TIMES:
            if judge.change(factor) < -near:
                found = f"such as prove {judge.stated:.12g}"
                self.check.doubt("prices", found, _WORTH, *self.nothing)
                return
        affordable = int(_MOST_WORK / max(len(judge.worth), 1)) // len(_ONE_TIMES)
        largest = sorted(range(len(rows)), key=lambda n: -judge.cost(n))
        if affordable < len(largest):
            left = len(largest) - affordable
            self.check.unchecked.append(f"prices: {left} of {len(largest)}, one by one")
        for n in largest[:affordable]:
            if any(judge.change(factor, n) < -near for factor in _ONE_TIMES):
                self.check.doubt(f"price of {names[n][:200]}", rows[n].y, _WORTH, *self.nothing)
                return

    def _near(self, judge: PriceJudge) -> float:
        """By how much other prices must prove less to prove anything about the stated ones."""
        plan, objective = self.plan, self.plan.objective
        near = _CLEARLY[plan.prices_from or "lp_relaxation"] * sum(map(judge.cost, range(len(judge.rows))))
        near += 1e-6 * (abs(judge.stated) + abs(objective or 0.0)) + judge.noise
        if plan.prices_from == "lagrange_multipliers" and None not in (plan.bound, objective):
            near += abs((plan.bound or 0.0) - (objective or 0.0))
        if not math.isfinite(near):
            raise OverflowError
        return near

    def _rest(self, priced: Sequence[Entry]) -> list[Entry] | None:
        """What the certificate says of scenarios and loads, which prices do not say; ``None``: not known."""
        instance, given = self.check.instance, self.plan.certificate
        tails = any(limit.measure != "expected" for limit in instance.risk)
        if not tails and instance.objective.risk_weight == 0.0 and not self.plan.loads:
            return []
        if given is None or given.kind != "bound" or given.vouched_by in ("linear_relaxation", "strategy"):
            return None
        known = read_entries(given.multipliers)
        rest = [each for each in known if each.word in WEIGHTED or each.word == "load"]
        others = WEIGHTED | {"load", "task"}
        rows = {(each.word, each.about): each.y for each in known if each.word not in others}
        stated = {(each.word, each.about): each.y for each in priced}
        # those of scenarios go with the prices that they were found with, and with no others
        alike = all(
            math.isclose(rows.get(place, 0.0), stated.get(place, 0.0), rel_tol=1e-6, abs_tol=1e-12)
            for place in rows | stated
        )
        return rest if alike else None
