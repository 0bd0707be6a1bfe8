"""What limits leave at the nodes of the tree of later periods, exactly, for `verify`.

A limit is counted at every node for what is held there and, where it is money, for what was forfeited on the
way: `bondwork.plan.recount_horizon` checks plans by it. Of outcomes that the tree lacks, nobody asks: they
count as the better one here, which leaves more room and so no lower bound.
"""

from __future__ import annotations

import math
from fractions import Fraction
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from bondwork.plan.certificate import BadCertificate
from bondwork.plan.recount_exact import blame_of, ledger, success_of
from bondwork.plan.recount_grid import SHARE, slack_of_losses, slack_of_sum
from bondwork.uncertainty.horizon import ENDED

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bondwork.arrays import IntArray
    from bondwork.plan.certificate import Entry
    from bondwork.plan.recount import Recount
    from bondwork.problem.instance import Instance, Offers
    from bondwork.uncertainty.horizon import HorizonTree

NOTHING = Fraction(0)

#: Decision point of the round itself, as the tree numbers it.
ROOT = -1

#: Limits that hold what a decision takes until its release, and after it where it failed.
FORFEITABLE = frozenset({"collateral", "stake"})


class Limit(NamedTuple):
    """A limit as it is at all nodes of a decision point: word, whose it is, and what about them.

    ``detail`` is a resource, or the deadline of a window. A window counts what was given to a serial
    coprocessor from the decision at ``begin`` on the path on.
    """

    word: str
    owner: int
    detail: int | float = -1
    begin: int = 0


class Tree:
    """The tree as a certificate speaks of it, and what is seen where.

    Parameters
    ----------
    tree
        Made again from the round and the seed of the plan.

    Attributes
    ----------
    nodes
        Nodes at which something is decided: the round itself, then those that a plan lists as its recourse.
    """

    def __init__(self, tree: HorizonTree) -> None:
        self.tree = tree
        self.period: list[int] = tree.period.tolist()
        self.realisation: list[int] = tree.realisation.tolist()
        self.probability: list[float] = tree.tree.probability.tolist()
        self.nodes = [node for node, point in enumerate(self.period) if point != ENDED]
        parent: list[int] = tree.tree.parent.tolist()
        #: By node: the nodes on the way to it, the root first, itself last.
        self.path: list[list[int]] = []
        for node, above in enumerate(parent):
            self.path.append([node] if above < 0 else [*self.path[above], node])
        self._columns = {
            point: {
                (int(each), int(item), bool(held)): column
                for column, (each, item, held) in enumerate(
                    zip(seen.point.tolist(), seen.item.tolist(), seen.is_commitment.tolist(), strict=True)
                )
            }
            for point, seen in tree.seen.items()
        }
        self._outcomes: dict[int, list[list[bool]]] = {}

    @cached_property
    def of_point(self) -> dict[int, list[int]]:
        """Nodes of each decision point."""
        found: dict[int, list[int]] = {}
        for node in self.nodes:
            found.setdefault(self.period[node], []).append(node)
        return found

    def varies(self, point: int) -> bool:
        """Whether amounts of a decision point are random."""
        return point in self.tree.seen and bool(self.tree.seen[point].laws)

    def seen_at(self, points: Sequence[int], point: int, item: int, *, held: bool) -> tuple[int, int] | None:
        """Position on the path of the period that sees an outcome, and its number there."""
        for position, each in enumerate(points):
            if position and (column := self._columns[each].get((point, item, held))) is not None:
                return position, column
        return None

    def succeeds(self, node: int, seen: tuple[int, int] | None, p: float) -> bool:
        """Whether something released succeeded, as is known at a node."""
        if seen is None or p in (0.0, 1.0):
            return p > 0.0
        at = self.path[node][seen[0]]
        point = self.period[at]
        if point not in self._outcomes:
            self._outcomes[point] = self.tree.seen[point].outcomes.tolist()
        return self._outcomes[point][self.realisation[at]][seen[1]]


class NodeRooms:
    """Rooms of limits at the nodes of a tree.

    Parameters
    ----------
    instance
        The round.
    tree
        Its tree.
    recounts
        Every decision point as a round of its own, random amounts at their means.
    """

    def __init__(self, instance: Instance, tree: Tree, recounts: dict[int, Recount]) -> None:
        self.instance = instance
        self.tree = tree
        self.recounts = recounts
        self._outcomes: dict[int, tuple[bool, ...]] = {}
        self._known: dict[tuple[Limit, int, tuple[bool, ...]], Fraction] = {}
        self.points = {
            point: [tree.period[node] for node in tree.path[nodes[0]]]
            for point, nodes in tree.of_point.items()
        }

    def limit_of(self, entry: Entry, point: int) -> Limit:
        """The limit that an entry is about, at the nodes of a decision point.

        Raises
        ------
        BadCertificate
            The round has no such limit.
        """
        instance, about = self.instance, entry.about
        coprocessors, operators = len(instance.coprocessors), len(instance.operators)
        match entry.word:
            case "capacity" | "own_capacity":
                owner = _place(about[0], coprocessors if entry.word == "capacity" else operators)
                limit = Limit(entry.word, owner, _place(about[1], len(instance.resources)))
            case "collateral":
                limit = Limit("collateral", _place(about[0], coprocessors))
            case "stake":
                limit = Limit("stake", _place(about[0], operators))
            case "deadline" | "window":
                return self._window(entry, point)
            case "expected":
                number = _place(about[0], len(instance.risk))
                given = instance.risk[number]
                if given.measure != "expected":
                    raise BadCertificate(f"risk limit {number} is no limit on the expected loss")
                size = {"network": 1, "operator": operators, "coprocessor": coprocessors}[given.scope]
                member = _place(about[1], size)
                if given.member not in (None, member):
                    raise BadCertificate(f"risk limit {number} is not about member {member}")
                limit = Limit("expected", member, number)
            case _:
                raise BadCertificate(f"a limit of kind {entry.word} in a round with later periods")
        if not math.isfinite(self._stated(limit)):
            raise BadCertificate("a multiplier of a limit that the round does not have")
        return limit

    def _window(self, entry: Entry, point: int) -> Limit:
        points, about = self.points[point], entry.about
        c = _place(about[0], len(self.instance.coprocessors))
        begin = _place(about[1], len(points)) if entry.word == "window" else len(points) - 1
        due = float(about[-1])
        if not any(due in self.recounts[each].deadlines.get(c, ()) for each in points[begin:]):
            raise BadCertificate(f"coprocessor {c} has no deadline {due:g} there")
        return Limit("window", c, due, begin)

    def is_held(self, point: int, offer: int, now: int) -> bool:
        """Whether what was chosen at one point is still held at another on its path, or the same."""
        if point == now:
            return True
        recount = self.recounts[point]
        return recount.instance.now + recount.duration[offer] > self.recounts[now].instance.now

    def room(self, limit: Limit, point: int, node: int) -> Fraction:
        """What a limit leaves beside the commitments at a node of a point, with the tolerance of rows."""
        moves = limit.word in FORFEITABLE or (limit.word == "expected" and self._several_held)
        key = limit, point, self.outcomes(point, node) if moves else ()
        if key not in self._known:
            self._known[key] = self._room(limit, point, node)
        return self._known[key]

    def _room(self, limit: Limit, point: int, node: int) -> Fraction:
        if limit.word == "window":
            return self._left_in_time(limit, point)
        bound = self._stated(limit)
        if limit.word in FORFEITABLE:
            held = sum(self._held_money(limit, point, node), NOTHING)
            return max(ledger(bound, self.instance.decimals) - held, NOTHING)
        now = self.recounts[point].instance.now
        release_at: list[float] = self.instance.commitments.release_at.tolist()
        if limit.word == "expected":
            losses = self._held_losses(limit, point, node)
            return max(Fraction(bound) - sum(losses, NOTHING), NOTHING) + self._slack(limit, point, losses)
        committed = self._committed(limit)
        taken = sum((a for k, a in committed if point == ROOT or release_at[k] > now), NOTHING)
        return max(Fraction(bound) - taken, NOTHING) + self._slack(limit, point, [a for _, a in committed])

    def _slack(self, limit: Limit, point: int, held: Sequence[Fraction]) -> Fraction:
        """By how much more than a limit may be taken of it, in sums of what is stated along the path."""
        bound = self._stated(limit)
        most = max(abs(Fraction(bound)), sum(held, NOTHING))
        on_path = [(self.recounts[each].instance.offers, each) for each in self.points[point]]
        if limit.word == "expected":
            several = self._several_held or any(
                bool(np.any(self.recounts[each].instance.tasks.replicas > 1)) for each in self.points[point]
            )
            if several or any(self.tree.varies(each) for each in self.points[point]):
                return most * SHARE
            kept = self.instance.commitments
            claims = [self.recounts[each].instance.claims.slashing[offers.claim] for offers, each in on_path]
            slashing = np.concatenate([*claims, self.instance.claims.slashing[kept.claim]])
            p = np.concatenate([*(each.success_probability for each, _ in on_path), kept.success_probability])
            return slack_of_losses(slashing, p, 1, np.array([bound]), most)
        column = int(limit.detail)
        work = [offers.work[self._whose(limit.word, offers) == limit.owner, column] for offers, _ in on_path]
        return slack_of_sum(np.concatenate([*work, [float(each) for each in held], [bound]]), most)

    @staticmethod
    def _whose(word: str, offers: Offers) -> IntArray:
        """Whose work an offer is; nobody's where it is the other kind's."""
        own: IntArray = np.where(offers.coprocessor < 0, offers.operator, -1)
        return own if word == "own_capacity" else offers.coprocessor

    def _left_in_time(self, limit: Limit, point: int) -> Fraction:
        ways = [self.recounts[each] for each in self.points[point]]
        begin, due = ways[limit.begin].free_from[limit.owner], float(limit.detail)
        span = max(Fraction(due) - Fraction(begin), NOTHING)
        mine = [(each.free_from[limit.owner], each.deadlines.get(limit.owner)) for each in ways]
        longest = max(Fraction(max(some)) - Fraction(start) for start, some in mine if some)
        durations = [
            each.instance.offers.duration[each.instance.offers.coprocessor == limit.owner] for each in ways
        ]
        return span + slack_of_sum(np.concatenate([*durations, [begin, due]]), longest)

    def outcomes(self, point: int, node: int) -> tuple[bool, ...]:
        """Whether each commitment has been released with success."""
        held = self.instance.commitments
        if point == ROOT or not len(held):
            return (False,) * len(held)
        if node not in self._outcomes:
            now, points = self.recounts[point].instance.now, self.points[point]
            release_at: list[float] = held.release_at.tolist()
            seen = [self.tree.seen_at(points, ROOT, k, held=True) for k in range(len(held))]
            self._outcomes[node] = tuple(
                release_at[k] <= now and self.tree.succeeds(node, seen[k], p)
                for k, p in enumerate(held.success_probability.tolist())
            )
        return self._outcomes[node]

    def limits(self, point: int) -> Iterator[Limit]:
        """Limits that single offers of a decision point may exceed."""
        instance = self.instance
        for word, owners, money, amounts in (
            ("capacity", instance.coprocessors, "collateral", instance.coprocessors.free_collateral),
            ("own_capacity", instance.operators, "stake", instance.operators.stake),
        ):
            owner, resource = np.nonzero(np.isfinite(owners.capacity))
            places = zip(owner.tolist(), resource.tolist(), strict=True)
            yield from (Limit(word, who, k) for who, k in places)
            yield from (Limit(money, who) for who in np.flatnonzero(np.isfinite(amounts)).tolist())
        begin = len(self.points[point]) - 1
        for c, deadlines in self.recounts[point].deadlines.items():
            yield from (Limit("window", c, due, begin) for due in deadlines)
        for number, limit in enumerate(instance.risk):
            if limit.measure == "expected" and math.isfinite(limit.budget):
                size = {"network": 1, "operator": len(instance.operators)}
                every = range(size.get(limit.scope, len(instance.coprocessors)))
                yield from (
                    Limit("expected", member, number)
                    for member in (every if limit.member is None else [limit.member])
                )

    def _stated(self, limit: Limit) -> float:
        instance, owner = self.instance, limit.owner
        match limit.word:
            case "capacity":
                return float(instance.coprocessors.capacity[owner, int(limit.detail)])
            case "own_capacity":
                return float(instance.operators.capacity[owner, int(limit.detail)])
            case "collateral":
                return float(instance.coprocessors.free_collateral[owner])
            case "stake":
                return float(instance.operators.stake[owner])
            case _:
                return instance.risk[int(limit.detail)].budget

    def scope(self, limit: Limit) -> str:
        """Whose losses a limit is about; its word where it is not about losses."""
        return self.instance.risk[int(limit.detail)].scope if limit.word == "expected" else limit.word

    @cached_property
    def _several_held(self) -> bool:
        """Whether a claim has several commitments."""
        held: list[int] = self.instance.commitments.claim.tolist()
        return len(set(held)) < len(held)

    def _held_losses(self, limit: Limit, point: int, node: int) -> list[Fraction]:
        """What commitments that are held are expected to lose, claim by claim, in a limit's sense."""
        instance, held, teams = self.instance, self.instance.commitments, self.recounts[ROOT].teams
        now, good = self.recounts[point].instance.now, self.outcomes(point, node)
        release_at: list[float] = held.release_at.tolist()
        scope, found = self.scope(limit), []
        for team in teams.held():
            rest = [k for k in team if point == ROOT or release_at[k] > now]
            missing = teams.held_quorum(team) - sum(good[k] for k in team)
            if not 0 < missing <= len(rest):
                continue
            slashing = Fraction(float(instance.claims.slashing[held.claim[team[0]]]))
            success, blame = self._part_chances(rest, missing)
            if scope == "coprocessor":
                mine = [k for k in team if held.coprocessor[k] == limit.owner]
                if all(k in rest or good[k] for k in mine):
                    shares = zip(rest, blame, strict=True)
                    found.append(slashing * sum((each for k, each in shares if k in mine), NOTHING))
                    continue
            elif scope == "operator" and held.operator[team[0]] != limit.owner:
                continue
            found.append(slashing * (1 - success))
        return found

    def _part_chances(self, rest: list[int], missing: int) -> tuple[Fraction, list[Fraction]]:
        """How often so many of some commitments succeed, and how often they do not and each fails."""
        teams, executor = self.recounts[ROOT].teams, self.instance.commitments.coprocessor
        if len(rest) > 1 and (teams.tied or len({int(executor[k]) for k in rest}) < len(rest)):
            success, blame = teams.part_chances(rest, missing, held=True)
            return Fraction(success), [Fraction(each) for each in blame]
        p = [Fraction(teams.held_p[k]) for k in rest]
        return success_of(p, missing), blame_of(p, missing)

    def _committed(self, limit: Limit) -> list[tuple[int, Fraction]]:
        """What each commitment that is about a capacity takes of it while it is held."""
        held = self.instance.commitments
        found = []
        for k in range(len(held)):
            c, v = int(held.coprocessor[k]), int(held.operator[k])
            if limit.owner == (c if limit.word == "capacity" else v) and (limit.word == "capacity") == (
                c >= 0
            ):
                found.append((k, Fraction(float(held.work[k, int(limit.detail)]))))
        return found

    def _held_money(self, limit: Limit, point: int, node: int) -> list[Fraction]:
        """What commitments hold of a stake, and what less of a collateral as they returned it."""
        instance, held = self.instance, self.instance.commitments
        good = self.outcomes(point, node)
        if limit.word == "collateral":
            back = [k for k, succeeded in enumerate(good) if succeeded and held.coprocessor[k] == limit.owner]
            return [-ledger(float(held.collateral[k]), instance.decimals) for k in back]
        teams, found = self.recounts[ROOT].teams, []
        for team in teams.held():
            is_mine = held.operator[team[0]] == limit.owner
            if is_mine and sum(good[k] for k in team) < teams.held_quorum(team):
                slashing = float(instance.claims.slashing[held.claim[team[0]]])
                found.append(ledger(slashing, instance.decimals))
        return found


def _place(number: int | float, size: int) -> int:
    if not isinstance(number, int) or not 0 <= number < size:
        raise BadCertificate(f"position {number} of {size}")
    return number
