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
    from collections.abc import Iterator

    from bondwork.plan.recount import Key, Recount
    from bondwork.problem.instance import Constraint, ConstraintTerm


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
        offers = range(len(recount.task)) if self.constraints else range(0)
        self._uses = [list(self._of_offer(offer)) for offer in offers]

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

    def _of_offer(self, offer: int) -> Iterator[tuple[Key, float]]:
        for each in self.constraints:
            amount = self._counts(each, offer)
            if amount and each.sense != ">=":
                yield ("constraint", each.name, "most"), amount
            if amount and each.sense != "<=":
                yield ("constraint", each.name, "least"), -amount

    def _counts(self, constraint: Constraint, offer: int) -> float:
        return math.fsum(
            term.weight * self._amount(term, offer)
            for term in constraint.terms
            if self._is_meant(term, offer)
        )

    def _is_meant(self, term: ConstraintTerm, offer: int) -> bool:
        known = self.round
        facts = (
            (term.task, known.instance.tasks.ids[known.task[offer]]),
            (term.operator, known.operator_id(offer)),
            (term.executor, known.executor_id(offer)),
            (term.offer, known.instance.offers.ids[offer]),
        )
        return all(wanted is None or fact in wanted for wanted, fact in facts)

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
