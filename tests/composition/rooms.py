"""What holds at one node: capacity, collateral, stake, serial time, and losses that are expected.

Commitments never make anything infeasible: what everything takes may be as much as they take alone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from composition.records import ZERO, Deal, Reader, Time, Work, exact
from composition.tails import ends_well, is_lost

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from fractions import Fraction

    from composition.laws import Law
    from composition.tails import Scope


@dataclass(frozen=True)
class Held:
    """What a path decided, what was seen of it, and what was released."""

    deals: tuple[Deal, ...]
    seen: Mapping[Work, bool] = field(default_factory=dict)
    released: frozenset[Work] = frozenset()

    @property
    def works(self) -> list[Work]:
        return [work for deal in self.deals for work in deal.works]

    def came_back(self, work: Work) -> bool:
        """Whether a piece of work was released and had succeeded."""
        return work in self.released and self.seen[work]


def undecided(deal: Deal, seen: Mapping[Work, bool]) -> bool:
    """Whether what was seen leaves open how a claim ends."""
    good = sum(seen.get(work, False) for work in deal.team)
    open_ = sum(work not in seen for work in deal.team)
    if good >= deal.quorum or (deal.rescue is not None and seen.get(deal.rescue, False)):
        return False
    return good + open_ >= deal.quorum or (deal.rescue is not None and deal.rescue not in seen)


def expected_loss(deal: Deal, scope: Scope, seen: Mapping[Work, bool], law: Law) -> Fraction:
    """Slashing of a claim in a scope, given what was seen, at unconditional probabilities of the rest."""
    rest = [work for work in deal.works if work not in seen]
    total = ZERO
    for chance, outcome in law.joint(rest):
        known = {**seen, **dict(zip(rest, outcome, strict=True))}
        if is_lost(deal, scope, known):
            total += chance * deal.slashing
    return total


class Rooms:
    """Limits of a round that hold node by node.

    Parameters
    ----------
    covered
        Coprocessors with a `solvency` limit, which replaces their collateral's.
    """

    def __init__(self, reader: Reader, covered: Iterable[str]) -> None:
        self.reader = reader
        self.covered = set(covered)

    def hold(self, held: Held) -> bool:
        """Whether capacity, collateral, stake and time suffice."""
        reader = self.reader
        owners = [*reader.coprocessors.values(), *reader.operators.values()]
        return (
            all(self._capacity(each, held) for each in owners)
            and all(self._collateral(each, held) for each in reader.coprocessors.values())
            and all(self._stake(each, held) for each in reader.operators.values())
            and all(_in_time(each, held) for each in reader.coprocessors.values() if each.get("serial"))
        )

    def worth_taken(self, held: Held) -> Fraction:
        """Worth of what decisions hold, or have lost, at the end of a path; commitments are no decisions."""
        total = ZERO
        for deal in held.deals:
            if deal.committed:
                continue
            if not _is_free(deal, held):
                total += self._price(deal.operator, "stake") * deal.slashing
            for work in deal.works:
                if not held.came_back(work):
                    total += self._price(work.executor, "collateral") * work.collateral
                if work not in held.released:
                    total += self._price(work.executor, "second") * work.duration
                    total += sum((self._price(work.executor, "capacity", k) * a for k, a in work.work), ZERO)
        return total

    def _price(self, member: str, word: str, resource: str | None = None) -> Fraction:
        owner = self.reader.coprocessors.get(member) or self.reader.operators[member]
        stated = owner.get("worth", {}).get(word)
        return exact(stated if resource is None else (stated or {}).get(resource))

    @staticmethod
    def _capacity(owner: dict[str, Any], held: Held) -> bool:
        mine = [w for w in held.works if w.executor == owner["id"] and w not in held.released]
        for resource, room in owner.get("capacity", {}).items():
            taken = [(w.committed, a) for w in mine for name, a in w.work if name == resource]
            if not _within(exact(room), taken):
                return False
        return True

    def _collateral(self, owner: dict[str, Any], held: Held) -> bool:
        if owner.get("free_collateral") is None or owner["id"] in self.covered:
            return True
        mine = [w for w in held.works if w.executor == owner["id"]]
        posted = sum((w.collateral for w in mine if not w.committed and not held.came_back(w)), ZERO)
        back = sum((w.collateral for w in mine if w.committed and held.came_back(w)), ZERO)
        return posted <= max(exact(owner["free_collateral"]) + back, ZERO)

    @staticmethod
    def _stake(owner: dict[str, Any], held: Held) -> bool:
        if owner.get("stake") is None:
            return True
        exposed = [
            (deal.committed, deal.slashing)
            for deal in held.deals
            if deal.operator == owner["id"] and not _is_free(deal, held)
        ]
        return _within(exact(owner["stake"]), exposed)


def _is_free(deal: Deal, held: Held) -> bool:
    """Whether a claim exposes no stake any more: what was released of it ends it well."""
    known = {work: held.came_back(work) for work in deal.works}
    return ends_well(deal, known)


def _within(limit: Fraction, taken: Sequence[tuple[bool, Fraction]]) -> bool:
    alone = sum((amount for committed, amount in taken if committed), ZERO)
    return sum((amount for _, amount in taken), ZERO) <= max(limit, alone)


def _in_time(coprocessor: dict[str, Any], held: Held) -> bool:
    """Whether all deadlines can be met: what lies between two moments fits between them."""
    free = exact(coprocessor["free_at"]) if coprocessor.get("free_at") is not None else None
    jobs: list[tuple[Fraction, Time, Fraction]] = [
        (work.since if free is None else max(work.since, free), work.deadline, work.duration)
        for work in held.works
        if work.executor == coprocessor["id"] and not work.committed and work.deadline < math.inf
    ]
    for begin in {each[0] for each in jobs}:
        for end in {each[1] for each in jobs}:
            demand = [length for start, due, length in jobs if start >= begin and due <= end]
            if demand and sum(demand, ZERO) > end - begin:
                return False
    return True
