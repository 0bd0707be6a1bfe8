"""A plan for a round that is said to have none: sought by `verify`, in bounded time, without a solver.

Only required tasks count: leaving the others takes nothing of any limit. Constraints, of which that is not
so, are looked at once all are given away. They are given away one by one, the
one with the fewest teams left first, and taken back where nothing fits.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from bondwork.base.tolerances import ROW
from bondwork.plan.recount import label
from bondwork.plan.recount_rescues import Outcome, tail_value
from bondwork.plan.recount_risk import TailRecount

if TYPE_CHECKING:
    from collections.abc import Collection

    from bondwork.plan.recount import Account, Key, Recount
    from bondwork.plan.recount_rescues import RescueRecount
    from bondwork.plan.recount_teams import Team
    from bondwork.problem.instance import RiskLimit

#: Choices tried, teams of one task looked at, and seconds after which the search gives up.
MOST_CHOICES, MOST_TEAMS, SECONDS = 20_000, 500, 5.0

#: Share of a limit that sums in doubles may miss it by here; what is found is checked as any plan is.
_SLACK = 1e-6


class FeasibleSearch:
    """A depth-first search for teams of all required tasks that keep every limit.

    Parameters
    ----------
    recount
        The round.
    only
        Names of limits, required tasks among them, as a conflict has them; all others are left aside.
    choices, seconds
        After which the search gives up.
    """

    def __init__(
        self,
        recount: Recount,
        only: Collection[str] | None = None,
        *,
        choices: int = MOST_CHOICES,
        seconds: float = SECONDS,
    ) -> None:
        self.round = recount
        self.only = only
        instance = recount.instance
        self.accounts: dict[Key, Account] = {
            key: account for key, account in recount.accounts([]).items() if self._counts(label(key))
        }
        self.used = {key: sum(account.terms) for key, account in self.accounts.items()}
        self.tails = [
            (limit, member)
            for limit in instance.risk
            if limit.measure != "expected"
            for member in recount.members(limit.scope, limit.member)
            if self._counts(f"{limit.measure} of {member}")
        ]
        self.losses = TailRecount(recount, []) if self.tails else None
        self.tried, self.most = 0, choices
        #: Whether `run` looked at every choice that required tasks leave: nothing found is a proof then.
        self.saw_all = not any(key[0] == "constraint" for key in self.accounts)
        self.ends = time.perf_counter() + seconds

    def _counts(self, name: str) -> bool:
        return self.only is None or name in self.only

    def run(self) -> list[int] | None:
        """Return offers that do all required tasks within every limit; ``None`` where none were found."""
        instance = self.round.instance
        open_ = [
            task
            for task in range(len(instance.tasks))
            if instance.tasks.required[task] and task not in self.round.committed
            if self._counts(f"task {instance.tasks.ids[task]} required")
        ]
        offers: dict[int, list[int]] = {task: [] for task in open_}
        for offer, can in enumerate(self.round.eligible):
            if can and self.round.task[offer] in offers:
                offers[self.round.task[offer]].append(offer)
        teams = {task: self._teams(mine) for task, mine in offers.items()}
        chosen: list[Team] = []
        return self._give(teams, chosen)

    def _teams(self, offers: list[int]) -> list[tuple[Team, list[tuple[Key, float]]]]:
        """Teams of a task with what they take, those that take the least of what is left first."""
        found = []
        for team in self.round.teams.possible(offers):
            takes = [
                (key, amount)
                for key, amount in self.round.uses(team)
                if key in self.accounts and amount and key[0] != "constraint"
            ]
            found.append((team, takes))
            if len(found) >= MOST_TEAMS:
                self.saw_all = False
                break

        def weight(each: tuple[Team, list[tuple[Key, float]]]) -> float:
            return sum(amount / max(self._room(key), 1e-300) for key, amount in each[1])

        return sorted(found, key=weight)

    def _room(self, key: Key) -> float:
        return self.accounts[key].bound - self.used[key]

    def _fits(self, takes: list[tuple[Key, float]]) -> bool:
        asked: dict[Key, float] = {}
        for key, amount in takes:
            asked[key] = asked.get(key, 0.0) + amount
        for key, amount in asked.items():
            slack = _SLACK * max(abs(self.accounts[key].bound), amount)
            if self.used[key] + amount > self.accounts[key].bound + slack:
                return False
        return True

    def _give(
        self, teams: dict[int, list[tuple[Team, list[tuple[Key, float]]]]], chosen: list[Team]
    ) -> list[int] | None:
        """Give the open tasks away, from here on."""
        waiting: list[tuple[dict[int, list[tuple[Team, list[tuple[Key, float]]]]], int, int]] = []
        while True:
            if not teams:
                found = [offer for team in chosen for offer in team]
                if self._holds(found):
                    return found
            else:
                task = min(teams, key=lambda each: len(teams[each]))
                waiting.append((teams, task, 0))
            # go on with the next choice of the last task that has one
            while waiting:
                teams, task, place = waiting[-1]
                depth = len(waiting) - 1
                while len(chosen) > depth:
                    self._take_back(chosen)
                over = self._is_over()
                self.saw_all &= not over
                if place >= len(teams[task]) or over:
                    waiting.pop()
                    continue
                waiting[-1] = (teams, task, place + 1)
                team, takes = teams[task][place]
                if not self._fits(takes):
                    continue
                self.tried += 1
                self._take(chosen, team, takes)
                rest = {
                    other: [each for each in some if self._fits(each[1])]
                    for other, some in teams.items()
                    if other != task
                }
                if all(rest.values()):
                    teams = rest
                    break
            else:
                return None

    def _is_over(self) -> bool:
        return self.tried >= self.most or time.perf_counter() > self.ends

    def _take(self, chosen: list[Team], team: Team, takes: list[tuple[Key, float]]) -> None:
        chosen.append(team)
        for key, amount in takes:
            self.used[key] += amount

    def _take_back(self, chosen: list[Team]) -> None:
        team = chosen.pop()
        for key, amount in self.round.uses(team):
            if key in self.accounts and key[0] != "constraint":
                self.used[key] -= amount

    def _holds(self, found: list[int]) -> bool:
        """Whether a choice keeps every limit, checked as a plan is."""
        self.tried += 1
        accounts = self.round.accounts(found)
        for each in map(accounts.__getitem__, self.accounts):
            if (over := each.excess()) > each.tolerance():
                return self._fails(over, each.permitted(), each.total())
        for limit, member in self.tails:
            ceiling = ceiling_of(limit)
            # what commitments alone lose makes nothing infeasible
            most = max(ceiling, self.tail_value(limit, member, []))
            value = self.tail_value(limit, member, found)
            if value > most + ROW * abs(most):
                return self._fails(value - most, value, most)
        return True

    def _fails(self, over: float, *sizes: float) -> bool:
        """Note whether a limit is exceeded by a hair, which proves nothing to who reckons otherwise."""
        self.saw_all &= over > _SLACK * max(map(abs, sizes))
        return False

    def tail_value(self, limit: RiskLimit, member: str, found: list[int]) -> float:
        """What a limit on the tail measures of a choice, kept or not."""
        losses = self.losses or TailRecount(self.round, [])
        return losses.value_of(limit, member, found)


class WithoutRescues(FeasibleSearch):
    """The same of a round with a second stage: who follows whom is left aside, nobody has to.

    Parameters
    ----------
    rescues
        The round with its second stage; limits on losses are about its outcomes.
    """

    def __init__(self, rescues: RescueRecount) -> None:
        super().__init__(rescues.round)
        self.rescues = rescues

    def tail_value(self, limit: RiskLimit, member: str, found: list[int]) -> float:
        """What a limit on the tail measures of a choice that nobody rescues."""
        outcomes = {seen: Outcome(chance) for seen, chance in self.rescues.what_is_seen(found).items()}
        losses = self.rescues.losses(member, found, outcomes)
        return tail_value(losses, limit.measure, limit.level, limit.budget)


def ceiling_of(limit: RiskLimit) -> float:
    """What a limit on the tail may be."""
    return limit.probability if limit.measure in ("chance", "solvency") else limit.budget
