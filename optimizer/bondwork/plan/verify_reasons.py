"""Whether the reasons that a plan gives for what it left are so."""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING, Final, NamedTuple

from bondwork.base.tolerances import PROGRAM_ROW, WORTH_NOISE
from bondwork.plan.findings import Findings
from bondwork.plan.recount import label
from bondwork.plan.recount_loads import LoadRecount

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from bondwork.plan.findings import Amendment, Place
    from bondwork.plan.plan import Plan, Unassigned
    from bondwork.plan.recount import Account, Key, Recount
    from bondwork.plan.recount_risk import TailRecount
    from bondwork.plan.recount_teams import Team

#: What a plan says and what should be said may both be reckoned a hair off the threshold between them.
_EDGE: Final = 1e-6


def unexplained(number: int) -> Amendment:
    """Amend a reason that is not so: none is given."""
    return (("unassigned", number, "reason"), "unexplained"), (("unassigned", number, "limits"), [])


def all_unexplained(left: Iterable[str]) -> tuple[Place, object]:
    """Amend ``unassigned`` as a whole: the tasks that are left, without reasons."""
    return ("unassigned",), [{"task": name, "reason": "unexplained"} for name in left]


class LimitsInTheWay(Findings):
    """Checks which limits are said to leave no room for a task."""

    def check_named(self, number: int, given: Unassigned, surely: set[str], perhaps: set[str]) -> None:
        """Check that all are named that surely do so, none that surely does not, and each once."""
        what, named = f"limits of {given.task}", sorted(given.limits)
        if len(set(named)) < len(named):
            self.doubt(what, named, "each limit once", *unexplained(number))
        elif not surely <= set(named) <= perhaps:
            self.doubt(what, named, sorted(surely), *unexplained(number))


class ReasonCheck(LimitsInTheWay):
    """Checks ``unassigned`` of a plan, and the next best of each choice.

    Choosing a team is worth the sum of its terms: what the plan's objective would gain by it. Within
    `WORTH_NOISE` of the sum of their sizes it is worth nothing. A task is left because there is no eligible
    offer, because all cost more than they bring (``not_worth_it``), because the best are worth nothing
    (``worth_nothing``), or because there is no room for any that is worth something (``no_room``).

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
        super().__init__()
        self.plan = plan
        self.round = recount
        self.accounts = accounts
        self.tails = tails
        self.later = later
        self.done = {recount.task[offer] for offer in chosen} | recount.committed
        self.loads = LoadRecount(recount, chosen)
        self._known: dict[Team, tuple[set[str], set[str]]] = {}
        self.risk_now = 0.0
        objective = recount.instance.objective
        if tails is not None and objective.risk_weight > 0.0:
            self.risk_now = tails.network_cvar(objective.risk_level)

    def run(self) -> None:
        """Gather everything that is wrong."""
        self._check_explanations()
        ids = self.round.instance.tasks.ids
        left = {name: task for task, name in enumerate(ids) if task not in self.done}
        given = Counter(each.task for each in self.plan.unassigned)
        if given != Counter(list(left)):
            found, expected = f"{len(self.plan.unassigned)} tasks", f"the {len(left)} tasks left"
            self.doubt("unassigned", found, expected, all_unexplained(left))
            return
        offers_of: dict[int, list[int]] = {task: [] for task in left.values()}
        for offer, task in enumerate(self.round.task):
            if task in offers_of and self.round.eligible[offer]:
                offers_of[task].append(offer)
        for number, each in enumerate(self.plan.unassigned):
            if each.reason == "unexplained":
                self.unchecked.append(f"reason of {each.task}")
            else:
                self._check(number, each, offers_of[left[each.task]])

    def _check_explanations(self) -> None:
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
        for number, each in enumerate(self.plan.assignments):
            why = each.explanation
            if why is None or (not why.runner_up and why.operator is None):
                continue
            rivals = {(each.task, why.operator or "", name) for name in why.runner_up}
            if not rivals or not rivals <= known or rivals == taken[each.task]:
                nothing = (("assignments", number, "explanation"), None)
                self.doubt(f"next best of {each.task}", why.runner_up, "other offers for the task", nothing)

    def _check(self, number: int, given: Unassigned, offers: list[int]) -> None:
        worths = {team: self._worth(team) for team in self.round.teams.possible(offers)}
        if given.reason in ("no_price", "kept_for_later"):
            expected = self._why_not_left_open(given, worths)
        else:
            expected = self._why_not(given, worths, offers)
        if expected is not None:
            self.doubt(f"reason of {given.task}", given.reason, expected, *unexplained(number))
        elif given.reason == "no_room":
            self._check_limits(number, given, worths)
        elif given.limits:
            what = f"limits of {given.task}"
            self.doubt(what, given.limits, "none for this reason", *unexplained(number))

    def _why_not_left_open(self, given: Unassigned, worths: dict[Team, Worth]) -> str | None:
        """What should be said instead of an open reason: that something fits and was not taken."""
        if given.reason == "kept_for_later" and not self.later:
            return "another reason: nothing comes later"
        if any(not each.costs and not self._blocking(team)[0] for team, each in worths.items()):
            return None
        return "another reason: nothing that would earn something fits"

    def _why_not(self, given: Unassigned, worths: dict[Team, Worth], offers: list[int]) -> str | None:
        """What should be said instead of a reason that is not so; ``None`` where it is."""
        if not offers:
            allowed = {"no_eligible_offer"}
        elif any(each.surely_something for each in worths.values()):
            allowed = {"no_room"}
        elif any(not each.costs for each in worths.values()):
            # to say that nothing is worth it is true as well; no room for it may be, which is looked at
            allowed = {"worth_nothing", "not_worth_it", "no_room"}
        else:
            allowed = {"not_worth_it"}
        if given.reason not in allowed:
            return next(iter(sorted(allowed))) if len(allowed) == 1 else "worth_nothing"
        if given.reason != "no_room":
            return None
        for team in _that_matter(worths):
            if not self._blocking(team)[1]:
                names = [self.round.instance.offers.ids[offer] for offer in team]
                fits = f"offer {names[0]} fits" if len(names) == 1 else f"offers {', '.join(names)} fit"
                return f"an assignment: {fits}"
        return None

    def _check_limits(self, number: int, given: Unassigned, worths: dict[Team, Worth]) -> None:
        """Check the limits that are said to leave no room: all that surely do so, none that surely do not."""
        surely, perhaps = set[str](), set[str]()
        for team in _that_matter(worths):
            surely |= self._blocking(team)[0]
        for team, worth in worths.items():
            if not worth.costs:
                perhaps |= self._blocking(team)[1]
        self.check_named(number, given, surely, perhaps)

    def _worth(self, team: Team) -> Worth:
        """What choosing a team would earn, and below which size that is nothing."""
        terms = self.round.value_terms(team, {offer: self.round.bid[offer] for offer in team})
        terms.append(float(self.round.instance.tasks.unassigned_cost[self.round.task[team[0]]]))
        terms += self.loads.rise(team)
        objective = self.round.instance.objective
        if objective.risk_weight > 0.0 and self.tails is not None:
            rise = self.tails.network_cvar(objective.risk_level, added=team) - self.risk_now
            terms = [(1.0 - objective.risk_weight) * term for term in terms]
            terms.append(-objective.risk_weight * rise)
        return Worth(math.fsum(terms), WORTH_NOISE * (math.fsum(map(abs, terms)) + abs(self.risk_now)))

    def _blocking(self, team: Team) -> tuple[set[str], set[str]]:
        """Return limits that surely leave no room for a team, and those that do so within rounding."""
        if team not in self._known:
            self._known[team] = self._look_for_room(team)
        return self._known[team]

    def _look_for_room(self, team: Team) -> tuple[set[str], set[str]]:
        """Look for the limits that a team would exceed, surely and within rounding.

        Tail limits are asked only where no other limit surely leaves no room: that is how plans explain.
        """
        surely, perhaps = set[str](), set[str]()
        for key, amount in self.round.uses(team):
            account = self.accounts.get(key)
            if account is None or amount <= 0.0:
                continue
            exceeded, nearly = account.exceeded_by(amount)
            if nearly:
                perhaps.add(label(key))
            if exceeded:
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
                ceiling = given.budget if given.calibrated is None else given.calibrated
                ceiling = max(ceiling, self.tails.committed(limit, member))
                value = self.tails.with_one_more(limit, member, team, (1.0 + 2.0 * PROGRAM_ROW) * ceiling)
                if value is not None:
                    margin = PROGRAM_ROW * max(abs(ceiling), abs(value))
                    yield f"{limit.measure} of {member}", value - ceiling, margin


class Worth(NamedTuple):
    """What choosing a team would earn, and the size up to which that is nothing."""

    gain: float
    noise: float

    @property
    def surely_something(self) -> bool:
        """Whether it earns something, whoever reckons."""
        return self.gain > (1.0 + _EDGE) * self.noise

    @property
    def costs(self) -> bool:
        """Whether it loses something, whoever reckons."""
        return self.gain < -(1.0 + _EDGE) * self.noise


def _that_matter(worths: dict[Team, Worth]) -> list[Team]:
    """Teams that a reason is about: those worth something, or else those worth nothing."""
    worth = [team for team, each in worths.items() if each.surely_something]
    return worth or [team for team, each in worths.items() if not each.costs]
