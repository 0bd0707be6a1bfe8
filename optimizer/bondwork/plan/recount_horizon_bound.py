"""The bound that multipliers prove of a round with later periods, recomputed exactly, for `verify`.

Weak duality over the tree: give the limits of every node multipliers y >= 0. Whoever is chosen at a node pays
for what it takes there and at every node behind: while it is held, and of collateral and stake where it
failed. So no policy earns more than

    what is earned whatever is chosen  +  sum of y * room
    +  sum over nodes and tasks of the largest of (probability * worth - what its taking costs from here on)

A task is decided at one node, so that the best policy of a task alone is its best team there. Everything is
added up in whole numbers of one common unit, and rounded up once.
"""

from __future__ import annotations

import math
from collections import defaultdict
from fractions import Fraction
from typing import TYPE_CHECKING

from bondwork.plan.certificate import BadCertificate
from bondwork.plan.recount import Recount
from bondwork.plan.recount_columns import Uncheckable
from bondwork.plan.recount_horizon_choices import Choices
from bondwork.plan.recount_horizon_rooms import FORFEITABLE, NOTHING, Limit, NodeRooms, Tree
from bondwork.uncertainty.horizon import ENDED

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from bondwork.plan.certificate import Entry
    from bondwork.problem.instance import Instance
    from bondwork.uncertainty.horizon import HorizonTree

#: Multiplications after which a bound is not recomputed.
MOST_TERMS = 10_000_000

#: About what a net reward takes of them.
_NET_TERMS = 10

#: Exact multipliers by decision point, limit and node.
_Prices = dict[int, dict[Limit, dict[int, Fraction]]]


class HorizonBound:
    """Bounds of one round with later periods from multipliers.

    Parameters
    ----------
    instance
        The round.
    tree
        Its tree, made again.
    seed
        Of the plan.
    """

    def __init__(self, instance: Instance, tree: HorizonTree, seed: int) -> None:
        self.instance = instance
        self.tree = Tree(tree)
        self.recounts = {point: Recount(tree.horizon.rounds[point], seed) for point in self.tree.of_point}
        self.rooms = NodeRooms(instance, self.tree, self.recounts)
        self._terms = 0
        self.choices = {point: Choices(self.rooms, point, self.spend) for point in self.recounts}

    def bound(self, entries: Sequence[Entry]) -> Fraction | None:
        """No policy earns more than this; ``None`` where a required task has nobody who could do it.

        Raises
        ------
        BadCertificate
            An entry is about nothing in the round.
        Uncheckable
            It would take too long.
        """
        return self._evaluate(entries, earning=True)

    def refutes(self, entries: Sequence[Entry]) -> bool:
        """Whether the multipliers prove that no plan meets all limits at all nodes.

        With nothing earned by anybody, a bound below 0 says that there is none.
        """
        bound = self._evaluate(entries, earning=False)
        return bound is None or bound < 0

    def _evaluate(self, entries: Sequence[Entry], *, earning: bool) -> Fraction | None:
        self._terms = 0
        if any(self.choices[self.tree.period[node]].lacks_somebody(node) for node in self.tree.nodes):
            return None
        prices = self._prices(entries)
        constant = self._constant(prices)
        scales = _Scales(self, prices, earning=earning)
        worth = _Worths(self, scales)
        for point, limits in prices.items():
            for limit, at in limits.items():
                worth.charge(point, limit, {node: scales.weight(y) for node, y in at.items()})
        total = Fraction(worth.total(), scales.weights * scales.amounts)
        return constant + total

    def spend(self, terms: int) -> None:
        """Count multiplications."""
        self._terms += terms
        if self._terms > MOST_TERMS:
            raise Uncheckable(f"a bound that takes more than {MOST_TERMS} terms")

    def _prices(self, entries: Iterable[Entry]) -> _Prices:
        tree = self.tree
        found: _Prices = defaultdict(lambda: defaultdict(lambda: defaultdict(Fraction)))
        for entry in entries:
            if not 0 <= entry.node < len(tree.period) or tree.period[entry.node] == ENDED:
                raise BadCertificate(f"nothing is decided at node {entry.node}")
            node, point = entry.node, tree.period[entry.node]
            limit = self.rooms.limit_of(entry, point)
            if entry.y:
                found[point][limit][node] += Fraction(entry.y)
        return found

    def _constant(self, prices: _Prices) -> Fraction:
        """What the room of all limits costs."""
        total = NOTHING
        for point, limits in prices.items():
            for limit, at in limits.items():
                for node, y in at.items():
                    total += y * self.rooms.room(limit, point, node)
        return total


class _Scales:
    """Units in which all is whole: one of probabilities and multipliers, one of amounts."""

    def __init__(self, bound: HorizonBound, prices: _Prices, *, earning: bool) -> None:
        tree = bound.tree
        self.earning = earning
        self._net: dict[tuple[int, int], list[Fraction]] = {}
        self._taken: dict[tuple[int, Limit, int], dict[int, int]] = {}
        denominators = {1}
        for point, nodes in tree.of_point.items() if earning else ():
            choices = bound.choices[point]
            for realisation in {tree.realisation[node] for node in nodes}:
                bound.spend(_NET_TERMS * len(choices.teams))
                net = choices.net_rewards(realisation)
                self._net[point, realisation] = net
                denominators.update(each.denominator for each in net)
            denominators.update(each.denominator for each in choices.left)
        for point, limits in prices.items():
            for limit in limits:
                for above in bound.rooms.points[point][limit.begin :]:
                    for realisation in {tree.realisation[node] for node in tree.of_point[above]}:
                        choices = bound.choices[above]
                        amounts = choices.amounts(limit, realisation)
                        denominators.update(each.denominator for each in amounts.values())
                        if limit.word == "expected":
                            several = (place for place in amounts if len(choices.teams[place]) > 1)
                            denominators.update(choices.unit_of_losses(p, realisation) for p in several)
        self.amounts = math.lcm(*denominators)
        weights = {y.denominator for limits in prices.values() for at in limits.values() for y in at.values()}
        weights.update(Fraction(tree.probability[node]).denominator for node in tree.nodes)
        self.weights = math.lcm(*weights)

    def weight(self, number: Fraction) -> int:
        """A probability or a multiplier in its unit."""
        return number.numerator * (self.weights // number.denominator)

    def amount(self, number: Fraction) -> int:
        """An amount in its unit."""
        return number.numerator * (self.amounts // number.denominator)

    def amounts_of(self, choices: Choices, limit: Limit, realisation: int) -> dict[int, int]:
        """What teams take of a limit, in its unit."""
        key = choices.point, limit, realisation
        if key not in self._taken:
            amounts = choices.amounts(limit, realisation)
            self._taken[key] = {place: self.amount(each) for place, each in amounts.items()}
        return self._taken[key]

    def net(self, point: int, realisation: int, teams: int) -> list[int]:
        """Net rewards in the unit of amounts; nothing where nobody earns."""
        if not self.earning:
            return [0] * teams
        return [self.amount(each) for each in self._net[point, realisation]]


class _Worths:
    """What each team is worth at each node, less the price of what it takes."""

    def __init__(self, bound: HorizonBound, scales: _Scales) -> None:
        self.bound = bound
        self.tree = bound.tree
        self.scales = scales
        self._net: dict[tuple[int, int], list[int]] = {}
        #: Of nodes whose teams pay for something.
        self._priced: dict[int, list[int]] = {}

    def charge(self, point: int, limit: Limit, at: dict[int, int]) -> None:
        """Let everybody on the way to the nodes of a decision point pay for a limit there."""
        points = self.bound.rooms.points[point]
        for position in range(limit.begin, len(points)):
            self._charge(points[position], position, point, limit, at)

    def _charge(self, above: int, position: int, point: int, limit: Limit, at: dict[int, int]) -> None:
        choices, path = self.bound.choices[above], self.tree.path
        held: list[int] = []
        others: list[int] = []
        for place in choices.takers(limit):
            (held if self._is_held(choices, limit, place, point) else others).append(place)
        sums: dict[int, int] = defaultdict(int)
        for node, y in at.items():
            sums[path[node][position]] += y
        if held:
            self.bound.spend(len(held) * len(sums))
            for node, y in sums.items():
                self._take(node, above, limit, held, y)
        for place in others if limit.word in FORFEITABLE or limit.word == "expected" else ():
            if limit.word == "expected":
                self._charge_parts(choices, position, point, limit, place, at)
                continue
            lost: dict[int, int] = defaultdict(int)
            for node, ends in self._ends(choices, point, place, at):
                if self._counts(choices, limit, place, ends):
                    lost[path[node][position]] += at[node]
            for node, y in lost.items():
                self._take(node, above, limit, [place], y)

    def _is_held(self, choices: Choices, limit: Limit, place: int, point: int) -> bool:
        """Whether all that a limit is about of a team is held at a point, or counts as if it were."""
        if limit.word == "window":
            return True
        team = choices.teams[place]
        if len(team) > 1 and limit.word not in ("stake", "expected"):
            team = (choices.member(limit, place),)
        return all(self.bound.rooms.is_held(choices.point, offer, point) for offer in team)

    def _ends(
        self, choices: Choices, point: int, place: int, at: Iterable[int]
    ) -> Iterator[tuple[int, list[bool | None]]]:
        """How the members of a team have ended at nodes; ``None`` for those that are held."""
        rooms, tree, team = self.bound.rooms, self.tree, choices.teams[place]
        above, p = choices.point, choices.recount.p
        held = [rooms.is_held(above, offer, point) for offer in team]
        seen = [tree.seen_at(rooms.points[point], above, offer, held=False) for offer in team]
        members = list(zip(team, held, seen, strict=True))
        for node in at:
            self.bound.spend(len(team))
            yield (
                node,
                [None if still else tree.succeeds(node, where, p[offer]) for offer, still, where in members],
            )

    @staticmethod
    def _counts(choices: Choices, limit: Limit, place: int, ends: list[bool | None]) -> bool:
        """Whether collateral is lost, or stake exposed still."""
        team, teams = choices.teams[place], choices.recount.teams
        if limit.word == "collateral":
            return not ends[team.index(choices.member(limit, place))]
        return ends.count(True) < teams.quorum[teams.claim[team[0]]]

    def _charge_parts(
        self, choices: Choices, position: int, point: int, limit: Limit, place: int, at: dict[int, int]
    ) -> None:
        """Let a team of which some are released pay for what the rest is expected to lose."""
        if not any(self.bound.rooms.is_held(choices.point, offer, point) for offer in choices.teams[place]):
            return
        known: dict[tuple[bool | None, ...], Fraction] = {}
        for node, ends in self._ends(choices, point, place, at):
            key = tuple(ends)
            if key not in known:
                known[key] = choices.still_lost(limit, place, ends)
            if known[key]:
                above = self.tree.path[node][position]
                slashing = Fraction(choices.slashing(place, self.tree.realisation[above]))
                taken = self.scales.amount(slashing * known[key])
                self._of(above, choices.point)[place] -= at[node] * taken

    def _take(self, node: int, point: int, limit: Limit, places: list[int], y: int) -> None:
        worth = self._of(node, point)
        amounts = self.scales.amounts_of(self.bound.choices[point], limit, self.tree.realisation[node])
        for place in places:
            if place in amounts:
                worth[place] -= y * amounts[place]

    def _of(self, node: int, point: int) -> list[int]:
        if node not in self._priced:
            self.bound.spend(2 * len(self.bound.choices[point].teams))
            chance = self.scales.weight(Fraction(self.tree.probability[node]))
            self._priced[node] = [chance * each for each in self._net_of(point, self.tree.realisation[node])]
        return self._priced[node]

    def _net_of(self, point: int, realisation: int) -> list[int]:
        key = point, realisation
        if key not in self._net:
            self._net[key] = self.scales.net(point, realisation, len(self.bound.choices[point].teams))
        return self._net[key]

    def total(self) -> int:
        """Sum over nodes and tasks of the best, and of what is earned whatever is chosen."""
        total, plain = 0, dict[tuple[int, int, frozenset[int]], int]()
        for point, nodes in self.tree.of_point.items():
            choices = self.bound.choices[point]
            left = self.scales.amount(sum(choices.left, NOTHING)) if self.scales.earning else 0
            for node in nodes:
                out = choices.too_large(node)
                chance = self.scales.weight(Fraction(self.tree.probability[node]))
                total -= chance * left
                if node in self._priced:
                    total += _best(choices, self._priced[node], out)
                    continue
                key = point, self.tree.realisation[node], out
                if key not in plain:
                    plain[key] = _best(choices, self._net_of(*key[:2]), out)
                total += chance * plain[key]
        return total


def _best(choices: Choices, worth: list[int], out: frozenset[int]) -> int:
    """Sum over tasks of what the best team is worth; at least nothing where the task may be left."""
    total = 0
    for task, places in choices.of_task.items():
        fitting = (
            [worth[place] for place in places if place not in out] if out else [worth[p] for p in places]
        )
        best = max(fitting, default=0)
        total += best if task in choices.needed else max(best, 0)
    return total
