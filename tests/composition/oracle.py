"""The best value of all policies of a tiny round that use observed outcomes of what was chosen only.

Backwards over the moments of a path. A node is worth a set of offers of the future, pairs of a value and
of sums over leaves (see `tails`), none of them as good as another in all. Exact but for load curves,
whose exponential is a double.
"""

from __future__ import annotations

import itertools
from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from composition.laws import Independent
from composition.moments import added, could_rescue, load_incentives, rescued
from composition.records import ONE, ZERO, Deal, Decision, Document, Reader, Work, exact
from composition.rooms import Held, Rooms, expected_loss, undecided
from composition.tails import NETWORK, Leaf, Losses, Tail, members, read_tails

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from composition.laws import Law

#: A value and sums of what is limited.
Worth = tuple[Any, tuple[Fraction, ...]]


class TooLarge(Exception):
    """There are more policies than brute force should try."""


#: Teams and rescues at nodes, and ways to add up what nodes are worth, that are tried at most.
MOST_TRIES = 4_000


def best_value(
    document: Document,
    *,
    law: Law | None = None,
    leaves: Law | None = None,
    ceilings: Mapping[tuple[str, str], Fraction] | None = None,
) -> Fraction | float | None:
    """Return the best value of all policies; ``None`` where none keeps the limits.

    Parameters
    ----------
    document
        A round whose outcomes are listed: numbers as probabilities, amounts with laws of values.
    law
        Of outcomes and of the objective; independent ones (but for outages) where it is left out.
    leaves
        Of the outcomes that tail limits are measured on where nothing is seen before the end; else `law`.
    ceilings
        See `composition.tails.read_tails`.
    """
    return Oracle(document, law=law, leaves=leaves, ceilings=ceilings).best()


class Oracle:
    """One round. See `best_value`."""

    def __init__(
        self,
        document: Document,
        *,
        law: Law | None = None,
        leaves: Law | None = None,
        ceilings: Mapping[tuple[str, str], Fraction] | None = None,
    ) -> None:
        self.document = document
        self.reader = Reader(document)
        self.law = law or Independent.of(document)
        self.leaf_law = leaves or self.law
        self.root = self.reader.root()
        self.decisions = {each["id"]: self.reader.decisions(each) for each in self.reader.periods}
        self.objective = document.get("objective", {})
        self.weight = exact(self.objective.get("risk_weight"))
        self.tails, self.scopes, posting = read_tails(document, ceilings or {})
        if self.weight and NETWORK not in self.scopes:
            self.scopes.append(NETWORK)
        self.rooms = Rooms(self.reader, posting)
        self.losses = Losses(self.scopes, posting)
        self.expected = [
            (scope, exact(limit["budget"]))
            for limit in document.get("risk", [])
            if limit["measure"] == "expected"
            for scope in members(limit.get("of", "network"), document)
        ]
        self.held = self.reader.commitments()
        self.second = {
            each.point: each
            for each in (self.root, *(d for ways in self.decisions.values() for _, d in ways))
            if could_rescue(each, limits=bool(document.get("risk")) or self.weight > 0)
        }
        self.ways: list[list[Fraction]] = []
        self.rooms_left: list[list[Fraction]] = []
        self.priced: tuple[Tail, Fraction] | None = None
        self.tries = 0
        self._leaves: dict[Any, tuple[list[Leaf], tuple[Fraction, ...]]] = {}
        self._alone()

    # the answer

    def best(self) -> Fraction | float | None:
        start = Held(self.held)
        self.ways = [tail.thresholds(*self._amounts(tail)) for tail in self.tails]
        self.rooms_left = [
            [tail.room(t) for t in ways] for tail, ways in zip(self.tails, self.ways, strict=True)
        ]
        if not self.weight:
            best: Fraction | float | None = self._solved(start)
            return best
        level = exact(self.objective.get("risk_level", 0.95))
        priced = Tail("cvar", self.scopes.index(NETWORK), Fraction(10**30), 1 - level)
        found = []
        for t in priced.thresholds(*self._amounts(priced)):
            self.priced = (priced, t)
            value = self._solved(start)
            if value is not None:
                found.append(value - self.weight * t)
        return max(found, default=None)

    def _solved(self, start: Held) -> Any:
        self.tries = 0
        return max(
            (value for value, sums in self._first_stage(self.root, start, ONE) if self._keeps(sums, ONE)),
            default=None,
        )

    def _keeps(self, sums: tuple[Fraction, ...], reached: Fraction) -> bool:
        """Whether every limit holds, at one of its thresholds, with what a node adds to the sums."""
        place = 0
        for rooms in self.rooms_left:
            mine = sums[place : place + len(rooms)]
            if all(reached * total > room for total, room in zip(mine, rooms, strict=True)):
                return False
            place += len(rooms)
        return True

    def _amounts(self, tail: Tail) -> tuple[set[Fraction], set[Fraction]]:
        """All losses that a path may have, and all that a claim may lose."""
        totals, single = {ZERO}, set()
        kind, name = self.scopes[tail.number] if tail.measure != "solvency" else NETWORK
        tasks: dict[tuple[str | None, str], set[Fraction]] = {}
        for decision in (self.root, *(d for ways in self.decisions.values() for _, d in ways)):
            for task in decision.tasks:
                mine = {s for v, _, s in task.claims if kind != "operator" or v == name}
                tasks.setdefault((decision.point, task.id), set()).update(mine)
        tasks |= {("held", d.task): {d.slashing} for d in self.held}
        for ways in tasks.values():
            single |= ways
            totals |= {total + each for total in totals for each in ways}
        return totals, single

    def _alone(self) -> None:
        """Let every tail limit be at least what commitments alone come to."""
        works = [work for deal in self.held for work in deal.works]
        leaves = self.losses.leaves(self.held, {}, works, self.leaf_law.joint(works))
        self.tails = [replace(tail, alone=tail.value(leaves)) for tail in self.tails]

    # what a node is worth

    def _first_stage(self, decision: Decision, held: Held, reached: Fraction) -> list[Worth]:
        """What a first stage and what follows are worth; ``reached`` is the probability of being there."""
        found: list[Worth] = []
        for deals in self._teams(decision, held):
            self._count()
            now = Held((*held.deals, *deals), held.seen, held.released)
            if not self.rooms.hold(now):
                continue
            gain = self._gain(decision, deals)
            if decision.point in self.second:
                found += self._plus(gain, self._with_second(decision, held, deals, reached))
            elif self._bearable(now, self._expected(now)):
                gain += load_incentives(self.reader, now)
                found += self._plus(gain, self._after(decision.point, now, reached))
        return best_of(found)

    def _plus(self, gain: Any, worths: Sequence[Worth]) -> Iterator[Worth]:
        for value, sums in worths:
            yield (1 - self.weight) * gain + value, sums

    def _teams(self, decision: Decision, held: Held) -> Iterator[tuple[Deal, ...]]:
        ways: list[list[Deal | None]] = []
        for task in decision.tasks:
            some: list[Deal | None] = [] if task.required else [None]
            some += [
                Deal(decision.point, task.id, operator, *task.stakes(operator), task.quorum, team)
                for operator, team in task.teams()
            ]
            ways.append(
                [d for d in some if d is None or self.rooms.hold(replace(held, deals=(*held.deals, d)))]
            )
        for way in itertools.product(*ways):
            yield tuple(each for each in way if each is not None)

    def _gain(self, decision: Decision, deals: Sequence[Deal]) -> Fraction:
        total = ZERO
        done = {deal.task for deal in deals}
        for task in decision.tasks:
            if task.id not in done:
                total -= task.unassigned_cost
        for deal in deals:
            success = sum(
                (q for q, outcome in self.law.joint(deal.team) if sum(outcome) >= deal.quorum), ZERO
            )
            total += success * deal.reward - (1 - success) * deal.slashing
            total -= sum((work.cost for work in deal.team), ZERO)
        return total

    def _with_second(
        self, decision: Decision, held: Held, deals: tuple[Deal, ...], reached: Fraction
    ) -> list[Worth]:
        """What the second stage of a first stage's decision is worth, over all that may be seen of it."""
        watched = [work for deal in deals for work in deal.team]
        if decision.point is None:
            watched += [work for deal in self.held for work in deal.works]
        parts = []
        for chance, outcome in self.law.joint(watched):
            seen = {**held.seen, **dict(zip(watched, outcome, strict=True))}
            options: list[Worth] = []
            for decided in rescued(decision, deals, seen):
                self._count()
                now = Held((*held.deals, *decided), seen, held.released)
                if not self.rooms.hold(now):
                    continue
                gain = added(decision, deals, decided) + load_incentives(self.reader, now)
                lost = tuple(self._lost(decided, seen))
                later = self._plus(gain, self._after(decision.point, now, reached * chance))
                options += [(value, lost + sums) for value, sums in later]
            parts.append((chance, best_of(options)))
        before = self._expected(held)
        width = len(self.expected)
        return [
            (value, sums[width:])
            for value, sums in self._combined(parts)
            if self._bearable(held, [a + b for a, b in zip(before, sums, strict=False)])
        ]

    def _after(self, point: str | None, held: Held, reached: Fraction) -> list[Worth]:
        """What the periods that follow are worth; the end of a path is worth its leaves."""
        children = self.reader.children(point)
        if not children:
            return self._end(held, reached)
        parts = []
        for period in children:
            at, likely = exact(period["at"]), exact(period.get("probability"), 1)
            out = [work for work in held.works if work not in held.released and work.until <= at]
            news = [work for work in out if work not in held.seen]
            released = held.released.union(out)
            for chance, outcome in self.law.joint(news):
                seen = {**held.seen, **dict(zip(news, outcome, strict=True))}
                for amount, decision in self.decisions[period["id"]]:
                    q = likely * chance * amount
                    now = Held(held.deals, seen, released)
                    parts.append((q, self._first_stage(decision, now, reached * q)))
        return self._combined(parts)

    def _end(self, held: Held, reached: Fraction) -> list[Worth]:
        charge = (self.weight - 1) * self.rooms.worth_taken(held)
        if not self.tails and self.priced is None:
            return [(charge, ())]
        kind = (
            tuple((deal.task, deal.point, deal.operator, *deal.works) for deal in held.deals),
            tuple(held.seen.get(work) for work in held.works),
        )
        if kind not in self._leaves:
            unseen = [work for work in held.works if work not in held.seen]
            joint = self.leaf_law.joint(unseen)
            leaves = self.losses.leaves(held.deals, held.seen, unseen, joint)
            sums = tuple(
                sum((leaf.probability * tail.part(leaf, t) for leaf in leaves), ZERO)
                for tail, ways in zip(self.tails, self.ways, strict=True)
                for t in ways
            )
            self._leaves[kind] = leaves, sums
        leaves, sums = self._leaves[kind]
        if not self._keeps(sums, reached):
            return []
        if self.priced is None:
            return [(charge, sums)]
        priced, t = self.priced
        over = sum((leaf.probability * priced.part(leaf, t) for leaf in leaves), ZERO)
        return [(charge - self.weight * over / priced.allowed, sums)]

    # limits on expected losses, loads, and where there is a second stage

    def _expected(self, held: Held) -> list[Fraction]:
        """What is expected to be lost of what is held and not known yet, by limit."""
        open_ = [deal for deal in held.deals if undecided(deal, held.seen)]
        return [
            sum((expected_loss(deal, scope, held.seen, self.law) for deal in open_), ZERO)
            for scope, _ in self.expected
        ]

    def _lost(self, decided: Sequence[Deal], seen: Mapping[Work, bool]) -> Iterator[Fraction]:
        for scope, _ in self.expected:
            yield sum((expected_loss(deal, scope, seen, self.law) for deal in decided), ZERO)

    def _bearable(self, held: Held, losses: Sequence[Fraction]) -> bool:
        committed = Held(tuple(d for d in held.deals if d.committed), held.seen, held.released)
        alone = self._expected(committed)
        return all(
            loss <= max(budget, least)
            for (_, budget), loss, least in zip(self.expected, losses, alone, strict=True)
        )

    def _combined(self, parts: Sequence[tuple[Fraction, list[Worth]]]) -> list[Worth]:
        """Mean over nodes that are decided apart; empty where one of them has nothing."""
        if any(not worths for _, worths in parts):
            return []
        total: list[Worth] = [(ZERO, (ZERO,) * len(parts[0][1][0][1]))]
        for chance, worths in parts:
            self._count(len(total) * len(worths) * (4 + len(total[0][1])) // 4)
            total = best_of(
                [
                    (value + chance * more, tuple(a + chance * b for a, b in zip(sums, others, strict=True)))
                    for value, sums in total
                    for more, others in worths
                ]
            )
        return total

    def _count(self, tries: int = 1) -> None:
        self.tries += tries
        if self.tries > MOST_TRIES:
            raise TooLarge


def best_of(worths: Sequence[Worth]) -> list[Worth]:
    """Leave out what another is as good as, in value and in every sum."""
    kept: list[Worth] = []
    for value, sums in sorted(worths, key=lambda each: (-each[0], each[1])):
        if not any(all(a <= b for a, b in zip(other, sums, strict=True)) for _, other in kept):
            kept.append((value, sums))
    return kept
