"""Whether the reasons that a plan gives for what it left are so."""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING

from bondwork.plan.recount import LIMIT_TOLERANCE, SUM_TOLERANCE, label
from bondwork.plan.recount_loads import LoadRecount

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bondwork.plan.plan import Plan, Unassigned
    from bondwork.plan.recount import Account, Key, Recount
    from bondwork.plan.recount_risk import TailRecount
    from bondwork.plan.recount_teams import Team

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
    later
        Whether later periods were planned with: what fits may then be kept for them.
    """

    def __init__(
        self,
        plan: Plan,
        recount: Recount,
        chosen: list[int],
        accounts: dict[Key, Account],
        tails: TailRecount | None,
        *,
        later: bool = False,
    ) -> None:
        self.plan = plan
        self.round = recount
        self.accounts = accounts
        self.tails = tails
        self.later = later
        self.done = {recount.task[offer] for offer in chosen} | recount.committed
        self.loads = LoadRecount(recount, chosen)
        self.risk_now = 0.0
        objective = recount.instance.objective
        if tails is not None and objective.risk_weight > 0.0:
            self.risk_now = tails.network_cvar(objective.risk_level)

    def findings(self) -> Iterator[Finding]:
        """Everything that is wrong."""
        yield from self._check_explanations()
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

    def _check_explanations(self) -> Iterator[Finding]:
        """Look whether the next best of each choice are other eligible offers for the same task."""
        instance = self.round.instance
        tasks, operators, names = instance.tasks.ids, instance.operators.ids, instance.offers.ids
        known = {
            (tasks[task], operators[operator], name)
            for task, operator, name, eligible in zip(
                self.round.task, instance.offers.operator.tolist(), names, self.round.eligible, strict=True
            )
            if eligible
        }
        taken: dict[str, set[tuple[str, str, str]]] = {}
        for each in self.plan.assignments:
            taken.setdefault(each.task, set()).add((each.task, each.operator, each.offer))
        for each in self.plan.assignments:
            why = each.explanation
            if why is None or (not why.runner_up and why.operator is None):
                continue
            rivals = {(each.task, why.operator or "", name) for name in why.runner_up}
            if not rivals or not rivals <= known or rivals == taken[each.task]:
                yield f"next best of {each.task}", why.runner_up, "other offers for the task"

    def _check(self, given: Unassigned, offers: list[int]) -> Iterator[Finding]:
        what = f"reason of {given.task}"
        gains = {team: self._gain(team) for team in self.round.teams.possible(offers)}
        worth = [team for team, (gain, noise) in gains.items() if gain > noise]
        doubtful = any(abs(gain) <= noise for gain, noise in gains.values())
        if self.later and given.reason == "kept_for_later":
            if not any(
                gain > -noise and not self._blocking(team)[0] for team, (gain, noise) in gains.items()
            ):
                yield what, given.reason, "another reason: nothing that would earn something fits"
            return
        if given.reason == "no_price":  # an auction's: somebody could have, but nobody took the price
            if not any(
                gain > -noise and not self._blocking(team)[0] for team, (gain, noise) in gains.items()
            ):
                yield what, given.reason, "another reason: nothing that would earn something fits"
            return
        reason = "no_room" if worth else "not_worth_it" if offers else "no_eligible_offer"
        if given.reason != reason and not (doubtful and given.reason != "no_eligible_offer"):
            yield what, given.reason, reason
        if given.reason != "no_room":
            if given.limits:
                yield f"limits of {given.task}", given.limits, "none for this reason"
            return
        surely, perhaps = set[str](), set[str]()
        for team in worth or gains:
            sure, possible = self._blocking(team)
            surely |= sure
            perhaps |= possible
            if not possible:
                names = [self.round.instance.offers.ids[offer] for offer in team]
                fits = f"offer {names[0]} fits" if len(names) == 1 else f"offers {', '.join(names)} fit"
                yield what, given.reason, f"an assignment: {fits}"
        named = set(given.limits)
        if not surely <= named <= perhaps:
            yield f"limits of {given.task}", sorted(named), sorted(surely)

    def _gain(self, team: Team) -> tuple[float, float]:
        """What choosing a team would earn, and how much of that may be rounding."""
        terms = self.round.net_terms(team, {offer: self.round.bid[offer] for offer in team})
        terms.append(float(self.round.instance.tasks.unassigned_cost[self.round.task[team[0]]]))
        terms += self.loads.rise(team)
        objective = self.round.instance.objective
        if objective.risk_weight > 0.0 and self.tails is not None:
            rise = self.tails.network_cvar(objective.risk_level, added=team) - self.risk_now
            terms = [(1.0 - objective.risk_weight) * term for term in terms]
            terms.append(-objective.risk_weight * rise)
        return math.fsum(terms), SUM_TOLERANCE * (math.fsum(map(abs, terms)) + abs(self.risk_now))

    def _blocking(self, team: Team) -> tuple[set[str], set[str]]:
        """Return limits that surely leave no room for a team, and those that do so within rounding.

        Tail limits are asked only where no other limit surely leaves no room: that is how plans explain.
        """
        surely, perhaps = set[str](), set[str]()
        for key, amount in self.round.uses(team):
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
        for name, excess, margin in self._tail_excesses(team):
            if excess > -margin:
                perhaps.add(name)
            if excess > margin and settled:
                surely.add(name)
        return surely, perhaps

    def _tail_excesses(self, team: Team) -> Iterator[tuple[str, float, float]]:
        """By how much a team would exceed each tail limit, as it stood in the sample, and the rounding."""
        stated = iter(self.plan.risk)  # in the order of the round's limits, member by member
        for limit in self.round.instance.risk:
            for member in self.round.members(limit.scope, limit.member):
                given = next(stated, None)
                if limit.measure == "expected" or self.tails is None or given is None:
                    continue
                value = self.tails.with_one_more(limit, member, team)
                ceiling = given.budget if given.calibrated is None else given.calibrated
                if value is not None:
                    margin = LIMIT_TOLERANCE * max(abs(ceiling), abs(value))
                    yield f"{limit.measure} of {member}", value - ceiling, margin
