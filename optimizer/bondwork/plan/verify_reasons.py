"""Whether the reasons that a plan gives for what it left are so."""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING

from bondwork.plan.recount import LIMIT_TOLERANCE, SUM_TOLERANCE, label

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bondwork.plan.plan import Plan, Unassigned
    from bondwork.plan.recount import Account, Key, Recount
    from bondwork.plan.recount_risk import TailRecount

#: A finding: what is wrong, what the plan says, what should be said.
Finding = tuple[str, object, object]


class ReasonCheck:
    """Checks ``unassigned`` of a plan.

    Parameters
    ----------
    plan, recount
        The plan and the round.
    chosen
        Offers that the plan chooses.
    accounts
        The limits with what the plan takes of them.
    tails
        Losses by scenario; ``None`` where the round has no tail limits.
    """

    def __init__(
        self,
        plan: Plan,
        recount: Recount,
        chosen: list[int],
        accounts: dict[Key, Account],
        tails: TailRecount | None,
    ) -> None:
        self.plan = plan
        self.round = recount
        self.accounts = accounts
        self.tails = tails
        self.done = {recount.task[offer] for offer in chosen} | recount.committed
        self.risk_now = 0.0
        objective = recount.instance.objective
        if tails is not None and objective.risk_weight > 0.0:
            self.risk_now = tails.network_cvar(objective.risk_level)

    def findings(self) -> Iterator[Finding]:
        """Everything that is wrong."""
        ids = self.round.instance.tasks.ids
        left = {name: task for task, name in enumerate(ids) if task not in self.done}
        given = Counter(each.task for each in self.plan.unassigned)
        if given != Counter(list(left)):
            yield "unassigned", f"{len(self.plan.unassigned)} tasks", f"the {len(left)} tasks left"
            return
        offers_of: dict[int, list[int]] = {task: [] for task in left.values()}
        for offer, task in enumerate(self.round.task):
            if task in offers_of and self.round.eligible[offer]:
                offers_of[task].append(offer)
        for each in self.plan.unassigned:
            yield from self._check(each, offers_of[left[each.task]])

    def _check(self, given: Unassigned, offers: list[int]) -> Iterator[Finding]:
        what = f"reason of {given.task}"
        gains = {offer: self._gain(offer) for offer in offers}
        worth = [offer for offer, (gain, noise) in gains.items() if gain > noise]
        doubtful = any(abs(gain) <= noise for gain, noise in gains.values())
        reason = "no_room" if worth else "not_worth_it" if offers else "no_eligible_offer"
        if given.reason != reason and not (doubtful and given.reason != "no_eligible_offer"):
            yield what, given.reason, reason
        if given.reason != "no_room":
            if given.limits:
                yield f"limits of {given.task}", given.limits, "none for this reason"
            return
        surely, perhaps = set[str](), set[str]()
        for offer in worth or offers:
            sure, possible = self._blocking(offer)
            surely |= sure
            perhaps |= possible
            if not possible:
                name = self.round.instance.offers.ids[offer]
                yield what, given.reason, f"an assignment: offer {name} fits"
        named = set(given.limits)
        if not surely <= named <= perhaps:
            yield f"limits of {given.task}", sorted(named), sorted(surely)

    def _gain(self, offer: int) -> tuple[float, float]:
        """What choosing an offer would earn, and how much of that may be rounding."""
        terms = self.round.net_terms(offer, self.round.bid[offer])
        terms.append(float(self.round.instance.tasks.unassigned_cost[self.round.task[offer]]))
        objective = self.round.instance.objective
        if objective.risk_weight > 0.0 and self.tails is not None:
            rise = self.tails.network_cvar(objective.risk_level, added=offer) - self.risk_now
            terms = [(1.0 - objective.risk_weight) * term for term in terms]
            terms.append(-objective.risk_weight * rise)
        return math.fsum(terms), SUM_TOLERANCE * (math.fsum(map(abs, terms)) + abs(self.risk_now))

    def _blocking(self, offer: int) -> tuple[set[str], set[str]]:
        """Return limits that surely leave no room for an offer, and those that do so within rounding.

        Tail limits are asked only where no other limit surely leaves no room: that is how plans explain.
        """
        surely, perhaps = set[str](), set[str]()
        for key, amount in self.round.uses(offer):
            account = self.accounts.get(key)
            if account is None or amount <= 0.0:
                continue
            over = account.excess() + amount
            margin = LIMIT_TOLERANCE * max(abs(account.bound), amount)
            if over > -margin:
                perhaps.add(label(key))
            if over > margin:
                surely.add(label(key))
        if surely or self.tails is None:
            return surely, perhaps
        settled = not perhaps
        for name, excess, margin in self._tail_excesses(offer):
            if excess > -margin:
                perhaps.add(name)
            if excess > margin and settled:
                surely.add(name)
        return surely, perhaps

    def _tail_excesses(self, offer: int) -> Iterator[tuple[str, float, float]]:
        """By how much an offer would exceed each tail limit, as it stood in the sample, and the rounding."""
        stated = iter(self.plan.risk)  # in the order of the round's limits, member by member
        for limit in self.round.instance.risk:
            for member in self.round.members(limit.scope, limit.member):
                given = next(stated, None)
                if limit.measure == "expected" or self.tails is None or given is None:
                    continue
                value = self.tails.with_one_more(limit, member, offer)
                ceiling = given.budget if given.calibrated is None else given.calibrated
                if value is not None:
                    margin = LIMIT_TOLERANCE * max(abs(ceiling), abs(value))
                    yield f"{limit.measure} of {member}", value - ceiling, margin
