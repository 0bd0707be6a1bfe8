"""What can be chosen at the nodes of a tree of later periods, with what it earns and takes, for `verify`."""

from __future__ import annotations

import math
from collections import defaultdict
from fractions import Fraction
from typing import TYPE_CHECKING

from bondwork.base.tolerances import ROW
from bondwork.plan.recount_columns import MOST_TEAMS, Uncheckable
from bondwork.plan.recount_exact import blame_of, ledger, success_of
from bondwork.plan.recount_horizon_room import HorizonRoomRecount
from bondwork.plan.recount_horizon_rooms import FORFEITABLE, NOTHING, Limit, NodeRooms

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from bondwork.plan.recount import Recount
    from bondwork.plan.recount_teams import Team

#: Limits that what is taken of may be random.
_BY_SLASHING = frozenset({"stake", "expected"})

#: Room for the tolerance of rows where it is only asked whether somebody fits at all.
_WIDE = Fraction(1) + 4 * Fraction(ROW)


class Choices:
    """The teams that can be chosen at the nodes of one decision point; an offer by itself is one.

    Parameters
    ----------
    rooms
        Of the round.
    point
        The decision point.
    spend
        Counts what is worked out.

    Attributes
    ----------
    teams
        Of eligible offers, by place.
    of_task
        Places of each task's teams.
    needed
        Required tasks.
    left
        What leaving each task costs.
    varies
        Whether amounts are random.
    """

    def __init__(self, rooms: NodeRooms, point: int, spend: Callable[[int], None]) -> None:
        self.rooms = rooms
        self.tree = rooms.tree
        self.spend = spend
        self.point = point
        self.recount: Recount = rooms.recounts[point]
        recount = self.recount
        self.teams = _teams(recount)
        required: list[bool] = recount.instance.tasks.required.tolist()
        self.needed = {t for t, must in enumerate(required) if must and t not in recount.committed}
        self.of_task: dict[int, list[int]] = {}
        for place, team in enumerate(self.teams):
            self.of_task.setdefault(recount.task[team[0]], []).append(place)
        cost: list[float] = recount.instance.tasks.unassigned_cost.tolist()
        self.left = [NOTHING if t in recount.committed else Fraction(each) for t, each in enumerate(cost)]
        self._of_coprocessor = _places([recount.coprocessor[o] for o in team] for team in self.teams)
        self._of_operator = _places([recount.operator[team[0]]] for team in self.teams)
        self._own = _places(
            [recount.operator[o] if recount.coprocessor[o] < 0 else -1 for o in team] for team in self.teams
        )
        self._limits = list(rooms.limits(point))
        self.varies = self.tree.varies(point)
        chances = [self._chances(team) for team in self.teams]
        self._success = [success for success, _ in chances]
        self._blame = [blame for _, blame in chances]
        terms = rooms.instance.terms
        share = Fraction(terms.operator) * Fraction(terms.collateral_rate)
        #: What comes back of forfeited collateral on average, and what leaving the task would have cost.
        self._besides = [
            sum(
                (share * Fraction(recount.collateral[o]) * (1 - Fraction(recount.p[o])) for o in team),
                self.left[recount.task[team[0]]],
            )
            for team in self.teams
        ]
        self._room = HorizonRoomRecount(rooms.tree.tree.horizon, point, recount)
        self._amounts: dict[tuple[Limit, int], dict[int, Fraction]] = {}
        #: By what is known of commitments, and by that and the amounts as they turned out.
        self._too_large: dict[tuple[bool, ...], frozenset[int]] = {}
        self._too_large_there: dict[tuple[tuple[bool, ...], int], frozenset[int]] = {}
        self._slashing: dict[int, list[float]] = {}

    def _chances(self, team: Team) -> tuple[Fraction, list[Fraction]]:
        """How often a team succeeds, and how often it fails with each of its members."""
        teams = self.recount.teams
        if len(team) == 1:
            p = Fraction(self.recount.p[team[0]])
            return p, [1 - p]
        if teams.tied:
            success, blame = teams.chances(team)
            return Fraction(success), [Fraction(each) for each in blame]
        every = [Fraction(self.recount.p[offer]) for offer in team]
        needed = teams.quorum[teams.claim[team[0]]]
        return success_of(every, needed), blame_of(every, needed)

    def member(self, limit: Limit, place: int) -> int:
        """The offer of a team that a limit is about: executors of a team are different ones."""
        recount, team = self.recount, self.teams[place]
        whose = recount.operator if limit.word == "own_capacity" else recount.coprocessor
        return next(
            offer
            for offer in team
            if whose[offer] == limit.owner
            and (limit.word != "own_capacity" or recount.coprocessor[offer] < 0)
        )

    def too_large(self, node: int) -> frozenset[int]:
        """Places of teams that alone take more of a limit than it leaves at a node of the point.

        Nobody can choose them there, so they count for nothing in a bound. Doubtful ones are not among them.
        """
        realisation, state = self.tree.realisation[node], self.rooms.outcomes(self.point, node)
        if state not in self._too_large:
            plain = [limit for limit in self._limits if not self._is_random(limit)]
            self._too_large[state] = frozenset(self._exceeding(plain, node, realisation))
        if not self.varies:
            return self._too_large[state]
        if (state, realisation) not in self._too_large_there:
            by_chance = [limit for limit in self._limits if self._is_random(limit)]
            found = self._too_large[state].union(self._exceeding(by_chance, node, realisation))
            self._too_large_there[state, realisation] = found
        return self._too_large_there[state, realisation]

    def _is_random(self, limit: Limit) -> bool:
        return self.varies and limit.word in _BY_SLASHING

    def _exceeding(self, limits: list[Limit], node: int, realisation: int) -> Iterator[int]:
        for limit in limits:
            room = self.rooms.room(limit, self.point, node)
            most = room if limit.word in FORFEITABLE else room * _WIDE
            amounts = self.amounts(limit, realisation)
            self.spend(len(amounts))
            yield from (place for place, amount in amounts.items() if amount > most)

    def lacks_somebody(self, node: int) -> bool:
        """Whether a required task has nobody who could do it at a node."""
        if not self.needed:
            return False
        out = self.too_large(node)
        return any(all(place in out for place in self.of_task.get(task, ())) for task in self.needed)

    def amounts(self, limit: Limit, realisation: int) -> dict[int, Fraction]:
        """What teams take of a limit while all is held, by place; those that take nothing are left out."""
        key = limit, realisation if self._is_random(limit) else 0
        if key not in self._amounts:
            taken = ((place, self._amount(limit, place, realisation)) for place in self.takers(limit))
            self._amounts[key] = {place: amount for place, amount in taken if amount}
        return self._amounts[key]

    def takers(self, limit: Limit) -> Sequence[int]:
        """Places of the teams that may take something of a limit."""
        match self.rooms.scope(limit):
            case "network":
                return range(len(self.teams))
            case "stake" | "operator":
                return self._of_operator.get(limit.owner, ())
            case "own_capacity":
                return self._own.get(limit.owner, ())
        return self._of_coprocessor.get(limit.owner, ())

    def _amount(self, limit: Limit, place: int, realisation: int) -> Fraction:
        recount, team = self.recount, self.teams[place]
        match limit.word:
            case "capacity" | "own_capacity":
                return Fraction(recount.work[self.member(limit, place)][int(limit.detail)])
            case "collateral":
                return ledger(recount.collateral[self.member(limit, place)], self.rooms.instance.decimals)
            case "stake":
                return ledger(self.slashing(place, realisation), self.rooms.instance.decimals)
            case "window":
                offer = self.member(limit, place)
                due = recount.deadline[recount.task[offer]] <= limit.detail
                return Fraction(recount.duration[offer]) if due else NOTHING
        if self.rooms.scope(limit) == "coprocessor":
            lost = self._blame[place][team.index(self.member(limit, place))]
        else:
            lost = 1 - self._success[place]
        return Fraction(self.slashing(place, realisation)) * lost

    def slashing(self, place: int, realisation: int) -> float:
        """Slashing of a team's claim, as it turned out."""
        if realisation not in self._slashing:
            here = self.tree.tree.round_at(self.point, realisation)
            self._slashing[realisation] = here.claims.slashing[here.offers.claim].tolist()
        return self._slashing[realisation][self.teams[place][0]]

    def still_lost(self, limit: Limit, place: int, ends: Sequence[bool | None]) -> Fraction:
        """Share of a team's slashing that is expected to be lost while only some members are released.

        Those have succeeded or not; of the others it is not known.
        """
        recount, team = self.recount, self.teams[place]
        rest = [offer for offer, end in zip(team, ends, strict=True) if end is None]
        missing = recount.teams.quorum[recount.teams.claim[team[0]]] - ends.count(True)
        if not 0 < missing <= len(rest):
            return NOTHING
        if recount.teams.tied:
            raise Uncheckable("a team whose members' outcomes are tied and that is released in parts")
        p = [Fraction(recount.p[offer]) for offer in rest]
        if self.rooms.scope(limit) == "coprocessor":
            offer = self.member(limit, place)
            if offer in rest:
                return blame_of(p, missing)[rest.index(offer)]
            if ends[team.index(offer)]:
                return NOTHING
        return 1 - success_of(p, missing)

    def unit_of_losses(self, place: int, realisation: int) -> int:
        """A denominator of whatever a team may be expected to lose."""
        if self.recount.teams.tied:
            return 1
        slashing = Fraction(self.slashing(place, realisation))
        return math.prod(
            (Fraction(self.recount.p[offer]).denominator for offer in self.teams[place]),
            start=slashing.denominator,
        )

    def net_rewards(self, realisation: int) -> list[Fraction]:
        """Expected net reward of each team, and what leaving its task would have cost."""
        here, recount = self.tree.tree.round_at(self.point, realisation), self.recount
        claim, bid = here.offers.claim.tolist(), here.offers.bid.tolist()
        reward, slashing = here.claims.reward.tolist(), here.claims.slashing.tolist()
        on_success = here.terms.bid_paid == "on_success"
        found = []
        for place, team in enumerate(self.teams):
            paid = NOTHING
            for offer in team:
                only_then = on_success and recount.coprocessor[offer] >= 0
                paid += Fraction(bid[offer]) * (Fraction(recount.p[offer]) if only_then else 1)
            mine, p = claim[team[0]], self._success[place]
            gain = Fraction(reward[mine]) * p - paid - Fraction(slashing[mine]) * (1 - p)
            found.append(
                gain + self._besides[place] - self._room.taken(team, slashing[mine], self._success[place])
            )
        return found


def _teams(recount: Recount) -> list[Team]:
    """Eligible offers of tasks with one executor, and teams of the others."""
    replicas: list[int] = recount.instance.tasks.replicas.tolist()
    eligible = [offer for offer, can in enumerate(recount.eligible) if can]
    found: list[Team] = [(offer,) for offer in eligible if replicas[recount.task[offer]] <= 1]
    shared: dict[int, list[int]] = defaultdict(list)
    for offer in eligible:
        if replicas[recount.task[offer]] > 1:
            shared[recount.task[offer]].append(offer)
    count = 0
    for offers in shared.values():
        for team in recount.teams.possible(offers):
            found.append(team)
            count += 1
            if count > MOST_TEAMS:
                raise Uncheckable(f"more than {MOST_TEAMS} teams of tasks with replicas")
    return found


def _places(owners: Iterable[Sequence[int]]) -> dict[int, list[int]]:
    """Places by who stands there."""
    found: dict[int, list[int]] = defaultdict(list)
    for place, some in enumerate(owners):
        for owner in some:
            found[owner].append(place)
    return dict(found)
