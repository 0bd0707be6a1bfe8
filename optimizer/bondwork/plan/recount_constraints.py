"""Constraints of a round once more: what each offer counts in them, for the check of plans.

Shares no code with the rows that strategies see. A constraint is kept by accounts: what counts is at most the
bound, or, with the signs turned, at least it; both where it has to be met exactly.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bondwork.base.tolerances import ROW
from bondwork.plan.recount import Account

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from bondwork.plan.recount import Key, Recount
    from bondwork.problem.instance import ConstraintTerm


@dataclass(slots=True)
class ConstraintAccount(Account):
    """One side of a constraint. Commitments have no part in it, and its bound may be negative."""

    def permitted(self) -> float:
        """Return what may be taken: the bound."""
        return self.bound

    def excess(self, *more: float) -> float:
        """Return by how much more is taken than may be, with ``more`` terms."""
        return math.fsum([*self.terms, *more, -self.bound])

    def tolerance(self, *more: float) -> float:
        """Return by how much it may be exceeded for rounding's sake."""
        return ROW * max(abs(self.bound), *map(abs, self.terms), *map(abs, more), 0.0)

    def overcommitment(self) -> tuple[bool, bool]:
        """Return whether commitments exceed the bound: they do not count."""
        return False, False


class ConstraintRecount:
    """What offers count in the constraints of a round.

    Parameters
    ----------
    recount
        The facts about its offers.
    """

    def __init__(self, recount: Recount) -> None:
        self.round = recount
        self.constraints = recount.instance.constraints
        self._uses: list[list[tuple[Key, float]]] = [[] for _ in recount.task]
        if self.constraints:
            self._count()

    def accounts(self) -> Iterator[tuple[Key, Account]]:
        """Both sides of every constraint, as far as it has them."""
        for each in self.constraints:
            if each.sense != ">=":
                yield ("constraint", each.name, "most"), ConstraintAccount(each.bound)
            if each.sense != "<=":
                yield ("constraint", each.name, "least"), ConstraintAccount(-each.bound)

    def uses(self, team: tuple[int, ...]) -> list[tuple[Key, float]]:
        """What a team counts: its members together, once for each side."""
        if not self.constraints:
            return []
        total: dict[Key, list[float]] = {}
        for offer in team:
            for key, amount in self._uses[offer]:
                total.setdefault(key, []).append(amount)
        return [(key, math.fsum(amounts)) for key, amounts in total.items()]

    def _count(self) -> None:
        """Note what each offer counts, term by term: each looks at the offers that its ids name alone."""
        by_id = self._by_id()
        for each in self.constraints:
            counted: dict[int, list[float]] = {}
            for term in each.terms:
                for offer in self._meant(term, by_id):
                    counted.setdefault(offer, []).append(term.weight * self._amount(term, offer))
            for offer, amounts in counted.items():
                amount = math.fsum(amounts)
                if amount and each.sense != ">=":
                    self._uses[offer].append((("constraint", each.name, "most"), amount))
                if amount and each.sense != "<=":
                    self._uses[offer].append((("constraint", each.name, "least"), -amount))

    def _by_id(self) -> dict[str, dict[str, list[int]]]:
        """Offers by the ids of their task, operator and executor, and by their own."""
        known = self.round
        found: dict[str, dict[str, list[int]]] = {"task": {}, "operator": {}, "executor": {}, "offer": {}}
        for offer, task in enumerate(known.task):
            found["task"].setdefault(known.instance.tasks.ids[task], []).append(offer)
            found["operator"].setdefault(known.operator_id(offer), []).append(offer)
            found["executor"].setdefault(known.executor_id(offer), []).append(offer)
            found["offer"].setdefault(known.instance.offers.ids[offer], []).append(offer)
        return found

    def _meant(self, term: ConstraintTerm, by_id: dict[str, dict[str, list[int]]]) -> Collection[int]:
        """Offers that a term is about, which have all that it names; all of them where it names nothing."""
        named = [
            {offer for id_ in wanted for offer in by_id[kind].get(id_, ())}
            for kind in by_id
            if (wanted := getattr(term, kind)) is not None
        ]
        return set.intersection(*named) if named else range(len(self.round.task))

    def _amount(self, term: ConstraintTerm, offer: int) -> float:
        known = self.round
        if term.amount == "count":
            return 1.0
        if term.amount == "work":
            return known.work[offer][known.instance.resources.index(term.resource)]
        table: dict[str, list[float]] = {
            "bid": known.bid,
            "collateral": known.collateral,
            "duration": known.duration,
            "reward": known.reward,
            "slashing": known.slashing,
        }
        return table[term.amount][offer]
