"""What the multipliers of a certificate prove, in exact fractions from the JSON document: a second opinion.

Written from docs/certificates.md and on the enumeration oracle; shares nothing with the package but the names
of the entries. Limits are taken as they are stated: a plan's certificate also counts the tolerance of rows.
"""

from __future__ import annotations

from collections import Counter
from decimal import Decimal
from fractions import Fraction
from itertools import combinations
from typing import TYPE_CHECKING, Any

from oracle import Choice, Oracle, deadline_label, exact

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

Document = dict[str, Any]


def as_written(amount: Fraction) -> Fraction:
    """Money by its digits: a ledger counts a tenth, not the double beside it."""
    return Fraction(Decimal(repr(float(amount))))


class Proof:
    """Bound of a round of limits without scenarios at the multipliers of a certificate."""

    def __init__(self, document: Document, multipliers: list[Any]) -> None:
        self.oracle = Oracle(document)
        self.document = document
        self.several = {each["id"] for each in document["tasks"] if each.get("replicas", 1) > 1}
        self.price: dict[str, Fraction] = Counter()
        self.room = Fraction()
        #: Sum of the sizes of what the bound is made of, and the largest of them.
        self.size = self.largest = Fraction()
        entries = list(_entries(multipliers))
        #: Multipliers of tasks; where there are some, each executor's own limits are a knapsack's.
        self.task = {document["tasks"][a[0]]["id"]: y for word, a, y in entries if word == "task"}
        self.own: dict[str, Fraction] = {}
        for word, about, y in entries:
            if word == "task":
                continue
            label, bound = self._limit(word, about)
            limit = self.oracle.limits.get(label)
            used = limit.used if limit else Fraction()
            if word in ("collateral", "stake"):
                bound, used = as_written(bound), self._exposed(label) if word == "stake" else used
            if self.task and self._is_own(word, label):
                if y > 0:
                    self.own[label] = max(bound - used, Fraction())
                continue
            self.price[label] += y
            self.room += y * max(bound - used, Fraction())
            self._count(y * max(abs(bound), used))

    def _count(self, term: Fraction) -> None:
        """Note a term of the bound."""
        self.size += abs(term)
        self.largest = max(self.largest, abs(term))

    def _limit(self, word: str, about: list[Any]) -> tuple[str, Fraction]:
        document = self.document
        coprocessors, operators = document.get("coprocessors", []), document.get("operators", [])
        if word in ("capacity", "own_capacity"):
            owner = (coprocessors if word == "capacity" else operators)[about[0]]
            resource = self._resources()[about[1]]
            return f"capacity {resource} of {owner['id']}", exact(owner["capacity"][resource])
        if word == "collateral":
            owner = coprocessors[about[0]]
            return f"collateral of {owner['id']}", exact(owner["free_collateral"])
        if word == "stake":
            owner = operators[about[0]]
            return f"stake of {owner['id']}", exact(owner["stake"])
        if word == "deadline":
            name = coprocessors[about[0]]["id"]
            label = deadline_label(name, Fraction(about[1]))
            return label, self.oracle.limits[label].bound
        assert word == "expected"
        risk = document["risk"][about[0]]
        of = risk.get("of", "network")
        names = {
            "network": ["network"],
            "operator": [v["id"] for v in operators],
            "coprocessor": [c["id"] for c in coprocessors],
        }
        name = next(iter(of.values())) if isinstance(of, dict) else names[of][about[1]]
        return f"expected loss of {name}", exact(risk["budget"])

    def _resources(self) -> list[str]:
        from bondwork import load

        return list(load(self.document).resources)

    def bound(self, *, earning: bool = True) -> Fraction | None:
        """Sum of the rooms' prices and of what the best team of each task is worth at them."""
        if self.task and earning:
            return self.bound_of_knapsacks()
        total = self.room
        for task, cost in self.oracle.cost.items():
            teams = [team for team in self.oracle.teams(task) if self._fit(team.choices)]
            worths = [self._worth(team.gain + cost if earning else Fraction(), team.uses) for team in teams]
            if task in self.oracle.required:
                if not worths:
                    return None
                best = max(worths)
            else:
                best = max([Fraction(), *worths])
            total += best - (cost if earning else 0)
            self._count(best)
            self._count(cost)
        return total

    def _is_own(self, word: str, label: str) -> bool:
        names = [c["id"] for c in self.document.get("coprocessors", [])]
        mine = {f"expected loss of {name}" for name in names}
        return word in ("capacity", "own_capacity", "collateral", "deadline") or label in mine

    def bound_of_knapsacks(self) -> Fraction | None:
        """The same with multipliers of tasks: the best that each executor can do, by trying everything."""
        total = self.room + sum(self.task.values())
        profits: dict[str, list[tuple[Fraction, dict[str, Fraction]]]] = {}
        for task, cost in self.oracle.cost.items():
            teams = [team for team in self.oracle.teams(task) if self._fit(team.choices)]
            if task in self.oracle.required and not teams:
                return None
            total -= cost
            for team in teams:
                worth = self._worth(team.gain + cost, team.uses) - self.task.get(task, Fraction())
                if worth > 0 and len(team.choices) > 1:  # as if its executors had no limits of their own
                    total += worth
                    self._count(worth)
                elif worth > 0:
                    profits.setdefault(team.choices[0].executor, []).append((worth, team.uses))
            self._count(cost)
            self._count(self.task.get(task, Fraction()))
        best = list(map(self._best, profits.values()))
        for each in best:
            self._count(each)
        return total + sum(best)

    def _best(self, items: list[tuple[Fraction, dict[str, Fraction]]]) -> Fraction:
        return max(
            sum((worth for worth, _ in some), Fraction())
            for size in range(len(items) + 1)
            for some in combinations(items, size)
            if self._keep(some)
        )

    def _keep(self, some: tuple[tuple[Fraction, dict[str, Fraction]], ...]) -> bool:
        used: dict[str, Fraction] = Counter()
        for _, uses in some:
            for label, amount in uses.items():
                money = label.startswith("collateral of")
                used[label] += as_written(amount) if money else amount
        return all(used[label] <= room for label, room in self.own.items() if label in used)

    def _fit(self, choices: Sequence[Choice]) -> bool:
        """Whether each executor fits by itself; where several may work, expected losses are not looked at."""
        limits = self.oracle.limits
        several = next(iter(choices)).task in self.several
        return all(
            amount - max(limits[label].bound - limits[label].used, Fraction())
            <= self._decimals(label) * amount
            for choice in choices
            for label, amount in choice.uses.items()
            if label in limits and not (several and label.startswith("expected"))
        )

    def _decimals(self, label: str) -> Fraction:
        """Share of an amount that may be too much: decimals that add up on paper need not do so in binary."""
        money = label.startswith(("collateral of", "stake of"))
        return Fraction(0) if money else Fraction(1, 10**9)

    def _worth(self, gain: Fraction, uses: dict[str, Fraction]) -> Fraction:
        for label, amount in uses.items():
            if label in self.price:
                money = label.startswith(("collateral of", "stake of"))
                gain -= self.price[label] * (as_written(amount) if money else amount)
        return gain

    def _exposed(self, label: str) -> Fraction:
        """Slashing of the claims that an operator's commitments hold, each once."""
        held = {(each["task"], each["operator"]) for each in self.document.get("commitments", [])}
        mine = [claim for claim in held if label == f"stake of {claim[1]}"]
        return sum((as_written(self.oracle.claims[claim][1]) for claim in mine), Fraction())


_POSITIONS = {
    "task": 1,
    "capacity": 2,
    "own_capacity": 2,
    "collateral": 1,
    "stake": 1,
    "deadline": 2,
    "expected": 2,
}


def _entries(tokens: list[Any]) -> Iterator[tuple[str, list[Any], Fraction]]:
    place = 0
    while place < len(tokens):
        word, size = tokens[place], _POSITIONS[tokens[place]]
        yield word, tokens[place + 1 : place + 1 + size], Fraction(tokens[place + 1 + size])
        place += size + 2
