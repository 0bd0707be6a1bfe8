"""Whether the prices of a plan are what a unit of each limit is worth. Part of `bondwork.plan.verify`.

Prices are multipliers, and any multipliers >= 0 prove a bound. Those of the relaxation prove the least that
there is: where other prices would prove less (a price halved, left out or doubled), a stated price is none.
"""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING, Final

from bondwork.base.tolerances import SUM
from bondwork.plan.certificate import WEIGHTED, BadCertificate, Entry, read_entries
from bondwork.plan.recount import label
from bondwork.plan.recount_columns import Uncheckable
from bondwork.plan.recount_judge import PriceJudge
from bondwork.plan.recount_names import is_on_tail, places_by_name
from bondwork.plan.verify_carried import CarriedPrices

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from bondwork.plan.findings import Amendment
    from bondwork.plan.plan import Price
    from bondwork.plan.recount import Account, Key
    from bondwork.plan.verify_status import StatusCheck

#: Teams times prices that are looked at one by one; what is beyond is left unchecked.
_MOST_WORK: Final = 2e8

#: Other prices that are tried: all at once, and each by itself, this many times the stated ones.
_ALL_TIMES: Final = (0.5, 2.0)
_ONE_TIMES: Final = (0.0, 0.5, 2.0)

_WORTH: Final = "the worth of a unit: other prices prove less"

#: Share of the largest amount from which on the price of a required task is listed, whoever reckons.
_LISTED: Final = 1e-8

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
        self.exceeded = {label(key) for key, each in accounts.items() if each.overcommitment()[0]}
        self.measured = Counter(map(label, accounts))
        #: Names of limits on the tail.
        self.tails: set[str] = set()
        for limit in instance.risk:
            for member in check.round.members(limit.scope, limit.member):
                on_tail = limit.measure != "expected"
                name = f"{limit.measure} of {member}" if on_tail else f"expected loss of {member}"
                self.measured[name] += 1
                if on_tail:
                    self.tails.add(name)
        tasks = instance.tasks
        self.required = {
            name
            for task, name in enumerate(tasks.ids)
            if tasks.required[task] and task not in check.round.committed
        }
        self.told = {each.task: each.explanation for each in self.plan.assignments}
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
            elif is_task:
                self._check_task(each)
            elif each.price is not None and each.price < 0.0:
                self.check.doubt(f"price of {each.limit}", each.price, "a price >= 0", *self.nothing)
        for name, count in Counter(each.limit for each in plan.prices).items():
            most = max(self.measured[name], 1)  # a risk may be limited twice
            if count > most:
                what = f"price of {name[:200]}"
                self.check.doubt(what, f"{count} prices", f"at most {most}", *self.nothing)
        if plan.prices_from is None and plan.prices:
            self.check.doubt("prices_from", None, "where the prices come from", *self.nothing)
        if plan.prices_from is not None and plan.status == "infeasible":
            self.check.doubt("prices_from", plan.prices_from, "null, as nothing is feasible", *self.nothing)
        self._check_unlisted_tasks()
        return len(self.check.found) == before

    def _check_task(self, given: Price) -> None:
        """Check the price of a task: of a required one that costs something, as its explanation has it."""
        name, what = given.limit.removeprefix("task "), f"price of {given.limit[:200]}"
        if given.price is None or given.price >= 0.0 or name not in self.required:
            self.check.doubt(what, given.price, "a price below 0, of a required task", *self.nothing)
            return
        told = self.told.get(name)
        if told is not None and abs(told.task_price - given.price) > SUM * abs(given.price):
            self.check.doubt(what, given.price, f"{told.task_price:.12g}, as explained", *self.nothing)

    def _check_unlisted_tasks(self) -> None:
        """Check that no price of a required task is left out."""
        if self.plan.prices_from is None:
            return
        listed = {each.limit.removeprefix("task ") for each in self.plan.prices}
        least, open_ = -_LISTED * self.check.largest_amount(), False
        for name in self.required - listed:
            told = self.told.get(name)
            open_ |= told is None
            if told is not None and told.task_price < least:
                what = f"price of task {name[:200]}"
                self.check.doubt(what, None, f"{told.task_price:.12g}, as explained", *self.nothing)
        if open_:
            self.check.unchecked.append("prices: that other required tasks have none")

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
        """Check whether the prices are the certificate's, and whether others would prove less."""
        priced = self.entries()
        names, rows = [name for name, _ in priced], [entry for _, entry in priced]
        self._list_unchecked(set(names))
        recount = self.check.bounds
        carried = CarriedPrices(self.check, recount)
        alike = carried.are_stated(self.plan.prices, self.exceeded)
        rest = self._rest(alike=alike is not False)
        if alike is None:
            self.check.unchecked.append("prices: that other limits have none")
        elif not alike and self._are_the_proof(rest):
            self.check.doubt("prices", "others", "the multipliers of the certificate", *self.nothing)
            return
        elif not alike:
            self.check.unchecked.append("prices: the certificate has other ones")
        if rest is None:
            self.check.unchecked.append("prices: what they prove")
            return
        judge = PriceJudge(recount, rows, rest)
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

    def _list_unchecked(self, known: Collection[str]) -> None:
        """List the prices of which nobody can say whether they are so."""
        for each in self.plan.prices:
            name = each.limit.removeprefix("task ")
            if each.price is None or each.limit in known:
                continue
            if name == each.limit or self.told.get(name) is None:
                self.check.unchecked.append(f"price of {each.limit}")
        listed = {each.limit for each in self.plan.prices if each.price is not None}
        if self.tails - listed:
            self.check.unchecked.append("prices: that limits on the tail have none")

    def _are_the_proof(self, rest: Sequence[Entry] | None) -> bool:
        """Whether prices and certificate come from one solution of the same relaxation.

        Of the states of a dual ascent the certificate has the one that proves most, which need not be the
        last; and where another formulation writes rows of tails or loads in its own way, what proves the
        bound is solved anew.
        """
        same = rest is not None or self.plan.formulation == "highs"
        return self.plan.prices_from == "lp_relaxation" and same

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

    def _rest(self, *, alike: bool) -> list[Entry] | None:
        """What the certificate says of scenarios and loads, which prices do not say; ``None``: not known.

        Multipliers of scenarios go with the prices that they were found with, and with no others.
        """
        instance, given = self.check.instance, self.plan.certificate
        tails = any(limit.measure != "expected" for limit in instance.risk)
        if not tails and instance.objective.risk_weight == 0.0 and not self.plan.loads:
            return []
        if given is None or given.kind != "bound" or given.vouched_by in ("linear_relaxation", "strategy"):
            return None
        known = read_entries(given.multipliers)
        return [each for each in known if each.word in WEIGHTED or each.word == "load"] if alike else None
