"""What can be chosen at the nodes of a tree of later periods, with what it earns and takes, for `verify`."""

from __future__ import annotations

from collections import defaultdict
from fractions import Fraction
from typing import TYPE_CHECKING

from bondwork.base.tolerances import ROW
from bondwork.plan.recount_exact import ledger
from bondwork.plan.recount_horizon_rooms import FORFEITABLE, NOTHING, Limit, NodeRooms

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from bondwork.plan.recount import Recount

#: Limits that what is taken of may be random.
_BY_SLASHING = frozenset({"stake", "expected"})

#: Room for the tolerance of rows where it is only asked whether somebody fits at all.
_WIDE = Fraction(1) + 4 * Fraction(ROW)


class Choices:
    """The offers that can be chosen at the nodes of one decision point.

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
    offers
        Eligible ones, by place.
    of_task
        Places of each task's offers.
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
        self.offers = [offer for offer, can in enumerate(recount.eligible) if can]
        self.task = [recount.task[offer] for offer in self.offers]
        required: list[bool] = recount.instance.tasks.required.tolist()
        self.needed = {t for t, must in enumerate(required) if must and t not in recount.committed}
        self.of_task: dict[int, list[int]] = {}
        for place, task in enumerate(self.task):
            self.of_task.setdefault(task, []).append(place)
        cost: list[float] = recount.instance.tasks.unassigned_cost.tolist()
        self.left = [NOTHING if t in recount.committed else Fraction(each) for t, each in enumerate(cost)]
        self._of_coprocessor = _places(recount.coprocessor[offer] for offer in self.offers)
        self._of_operator = _places(recount.operator[offer] for offer in self.offers)
        own = [recount.operator[o] if recount.coprocessor[o] < 0 else -1 for o in self.offers]
        self._own = _places(own)
        self._limits = list(rooms.limits(point))
        self.varies = self.tree.varies(point)
        self._p = [Fraction(recount.p[offer]) for offer in self.offers]
        terms = rooms.instance.terms
        share = Fraction(terms.operator) * Fraction(terms.collateral_rate)
        #: What comes back of forfeited collateral on average, and what leaving the task would have cost.
        self._besides = [
            share * Fraction(recount.collateral[offer]) * (1 - p) + self.left[recount.task[offer]]
            for offer, p in zip(self.offers, self._p, strict=True)
        ]
        self._amounts: dict[tuple[Limit, int], dict[int, Fraction]] = {}
        #: By what is known of commitments, and by that and the amounts as they turned out.
        self._too_large: dict[tuple[bool, ...], frozenset[int]] = {}
        self._too_large_there: dict[tuple[tuple[bool, ...], int], frozenset[int]] = {}
        self._slashing: dict[int, list[float]] = {}

    def too_large(self, node: int) -> frozenset[int]:
        """Places of offers that alone take more of a limit than it leaves at a node of the point.

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
        """What offers take of a limit while it is held, by place; those that take nothing are left out."""
        key = limit, realisation if self._is_random(limit) else 0
        if key not in self._amounts:
            taken = ((place, self._amount(limit, place, realisation)) for place in self.takers(limit))
            self._amounts[key] = {place: amount for place, amount in taken if amount}
        return self._amounts[key]

    def takers(self, limit: Limit) -> Sequence[int]:
        """Places of the offers that may take something of a limit."""
        scope = limit.word
        if limit.word == "expected":
            scope = self.rooms.instance.risk[int(limit.detail)].scope
        match scope:
            case "network":
                return range(len(self.offers))
            case "stake" | "operator":
                return self._of_operator.get(limit.owner, ())
            case "own_capacity":
                return self._own.get(limit.owner, ())
        return self._of_coprocessor.get(limit.owner, ())

    def _amount(self, limit: Limit, place: int, realisation: int) -> Fraction:
        recount, offer = self.recount, self.offers[place]
        match limit.word:
            case "capacity" | "own_capacity":
                return Fraction(recount.work[offer][int(limit.detail)])
            case "collateral":
                return ledger(recount.collateral[offer], self.rooms.instance.decimals)
            case "stake":
                return ledger(self._lost(offer, realisation), self.rooms.instance.decimals)
            case "window":
                due = recount.deadline[recount.task[offer]] <= limit.detail
                return Fraction(recount.duration[offer]) if due else NOTHING
        return Fraction(self._lost(offer, realisation)) * (1 - self._p[place])

    def _lost(self, offer: int, realisation: int) -> float:
        """Slashing of an offer's claim, as it turned out."""
        if realisation not in self._slashing:
            here = self.tree.tree.round_at(self.point, realisation)
            self._slashing[realisation] = here.claims.slashing[here.offers.claim].tolist()
        return self._slashing[realisation][offer]

    def net_rewards(self, realisation: int) -> list[Fraction]:
        """Expected net reward of each offer, and what leaving its task would have cost."""
        here, recount = self.tree.tree.round_at(self.point, realisation), self.recount
        claim, bid = here.offers.claim.tolist(), here.offers.bid.tolist()
        reward, slashing = here.claims.reward.tolist(), here.claims.slashing.tolist()
        on_success = here.terms.bid_paid == "on_success"
        found = []
        for place, offer in enumerate(self.offers):
            p, paid = self._p[place], Fraction(bid[offer])
            if on_success and recount.coprocessor[offer] >= 0:
                paid *= p
            mine = claim[offer]
            gain = Fraction(reward[mine]) * p - paid - Fraction(slashing[mine]) * (1 - p)
            found.append(gain + self._besides[place])
        return found


def _places(owners: Iterable[int]) -> dict[int, list[int]]:
    """Places by what stands there."""
    found: dict[int, list[int]] = defaultdict(list)
    for place, owner in enumerate(owners):
        found[owner].append(place)
    return dict(found)
