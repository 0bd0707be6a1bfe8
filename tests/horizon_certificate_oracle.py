"""What multipliers prove of a round with later periods, in fractions from the document: a second opinion.

Written from docs/certificates.md, one node, one offer and one entry at a time. Of the package it takes the
nodes of the tree (what is seen where, and how likely), and nothing of how bounds or limits are worked out.
Limits are taken as they are stated: a plan's certificate also counts the tolerance of rows.
"""

from __future__ import annotations

import math
from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import bondwork
from bondwork.uncertainty.horizon import ENDED, horizon_tree

if TYPE_CHECKING:
    from collections.abc import Iterator

Document = dict[str, Any]
Offer = dict[str, Any]

_POSITIONS = {"capacity": 2, "own_capacity": 2, "collateral": 1, "stake": 1, "deadline": 2, "window": 3}
_POSITIONS |= {"expected": 2, "node": 0}


def as_written(amount: float) -> Fraction:
    """Money by its digits: a ledger counts a tenth, not the double beside it."""
    return Fraction(Decimal(repr(float(amount))))


class HorizonProof:
    """Bound of a round at the multipliers of a certificate.

    Attributes
    ----------
    size, largest
        Sum of the sizes of what the bound is made of, and the largest of them: what rounding and tolerances
        are measured by.
    """

    def __init__(self, document: Document, seed: int, multipliers: list[Any]) -> None:
        self.document = document
        instance = bondwork.load(document)
        self.resources = instance.resources
        self.tree = horizon_tree(instance, seed=seed)
        self.periods = document.get("periods", [])
        self.coprocessors = {each["id"]: each for each in document.get("coprocessors", [])}
        self.operators = {each["id"]: each for each in document.get("operators", [])}
        self.held = document.get("commitments", [])
        self.offers: dict[int, list[Offer]] = {}
        self.size = self.largest = Fraction()
        self.prices: list[tuple[int, str, list[Any], Fraction]] = []
        node, place = 0, 0
        while place < len(multipliers):
            word, size = multipliers[place], _POSITIONS[multipliers[place]]
            about, y = multipliers[place + 1 : place + 1 + size], multipliers[place + 1 + size]
            if word == "node":
                node = y
            else:
                self.prices.append((node, word, about, Fraction(y)))
            place += size + 2

    def bound(self, *, earning: bool = True) -> Fraction | None:
        """What is earned whatever is chosen, the price of all rooms, and the best offer of every task."""
        total = Fraction()
        for node, word, about, y in self.prices:
            limit, taken = self.room(node, word, about)
            total += y * max(limit - taken, Fraction())
            self._count(y * max(abs(limit), abs(taken)))
        for node, point in enumerate(self.tree.period.tolist()):
            if point == ENDED:
                continue
            chance = Fraction(float(self.tree.tree.probability[node])) if earning else Fraction()
            for task in self.part(point)["tasks"]:
                if point == -1 and task["id"] in {each["task"] for each in self.held}:
                    continue
                cost = chance * Fraction(task.get("unassigned_cost", 0))
                worths = [
                    chance * self.net(node, offer) + cost - self.pays(node, offer)
                    for offer in self.eligible(node, task)
                ]
                if not task.get("required"):
                    worths.append(Fraction())
                if not worths:
                    return None
                total += max(worths) - cost
                self._count(cost)
                self._count(max(worths))
        return total

    def _count(self, term: Fraction) -> None:
        """Note a term of the bound."""
        self.size += abs(term)
        self.largest = max(self.largest, abs(term))

    # the document

    def part(self, point: int) -> Document:
        return self.document if point == -1 else self.periods[point]

    def now(self, point: int) -> float:
        return float(self.document.get("now", 0) if point == -1 else self.periods[point]["at"])

    def path(self, node: int) -> list[int]:
        parent = self.tree.tree.parent
        return ([] if parent[node] < 0 else self.path(int(parent[node]))) + [node]

    def point(self, node: int) -> int:
        return int(self.tree.period[node])

    def eligible(self, node: int, task: Document) -> list[Offer]:
        """Offers of a task that can be chosen at a node and that fit there by themselves."""
        point = self.point(node)
        return [
            offer
            for offer in self.offers_of(point)
            if offer["task"] is task and not self.is_out(point, offer) and self.fits(node, offer)
        ]

    def offers_of(self, point: int) -> list[Offer]:
        """One entry for each operator that an offer is for, in the order in which they are numbered."""
        if point in self.offers:
            return self.offers[point]
        part, found = self.part(point), []
        tasks = {each["id"]: each for each in part["tasks"]}
        for kind in ("offers", "self_execution"):
            for each in part.get(kind, []):
                task = tasks[each["task"]]
                for claim in task.get("claims") or ([task] if "operator" in task else []):
                    if each.get("operator", claim["operator"]) == claim["operator"]:
                        own = kind == "self_execution"
                        work = each.get("work", task.get("work", {}))
                        made = each | {"task": task, "claim": claim, "own": own, "work": work}
                        found.append(made | {"number": len(found)})
        self.offers[point] = found
        return found

    def is_out(self, point: int, offer: Offer) -> bool:
        if offer["own"]:
            return False
        c, task = self.coprocessors[offer["coprocessor"]], offer["task"]
        if offer.get("collateral", 0) < task.get("minimum_collateral", 0):
            return True
        return bool(c.get("serial")) and task.get("deadline", math.inf) < self.start(point, c)

    def start(self, point: int, coprocessor: Document) -> float:
        return max(self.now(point), coprocessor.get("free_at", -math.inf))

    def fits(self, node: int, offer: Offer) -> bool:
        """Whether it alone takes no more than what each limit leaves at a node."""
        path = self.path(node)
        for word, about in self.limits(node, offer):
            limit, taken = self.room(node, word, about)
            amount = self.takes(node, offer, path, word, about)
            # decimals that add up on paper need not do so in binary; money is counted
            spare = Fraction(0) if word in ("collateral", "stake") else Fraction(1, 10**9) * amount
            if amount - spare > max(limit - taken, Fraction()):
                return False
        return True

    def limits(self, node: int, offer: Offer) -> Iterator[tuple[str, list[Any]]]:
        """Limits of whom an offer is about."""
        operators, names = list(self.operators), list(self.coprocessors)
        v = operators.index(offer["claim"]["operator"])
        owner, word, place = self.operators[operators[v]], "own_capacity", v
        if "stake" in owner:
            yield "stake", [v]
        if not offer["own"]:
            owner, word = self.coprocessors[offer["coprocessor"]], "capacity"
            place = names.index(owner["id"])
            if "free_collateral" in owner:
                yield "collateral", [place]
            due = offer["task"].get("deadline", math.inf)
            if owner.get("serial") and math.isfinite(due):
                yield "deadline", [place, due]
        for name in owner.get("capacity", {}):
            yield word, [place, self.resources.index(name)]
        for number in range(len(self.document.get("risk", []))):
            for member in range(max(len(operators), len(names))):
                try:
                    self.whose([number, member])
                except IndexError:
                    continue
                yield "expected", [number, member]

    # amounts

    def amounts(self, node: int, offer: Offer) -> tuple[Fraction, Fraction, Fraction]:
        """Reward, slashing and bid as they turned out at a node."""
        here = self.tree.round_at(self.point(node), int(self.tree.realisation[node]))
        number = offer["number"]
        claim = here.offers.claim[number]
        values = (here.claims.reward[claim], here.claims.slashing[claim], here.offers.bid[number])
        reward, slashing, bid = (Fraction(float(each)) for each in values)
        return reward, slashing, bid

    def net(self, node: int, offer: Offer) -> Fraction:
        reward, slashing, paid = self.amounts(node, offer)
        p, terms = Fraction(offer["success_probability"]), self.document.get("terms", {})
        if terms.get("bid_paid") == "on_success" and not offer["own"]:
            paid *= p
        share = Fraction(terms.get("collateral_split", {}).get("operator", 0))
        back = share * Fraction(terms.get("collateral_rate", 1)) * Fraction(offer.get("collateral", 0))
        return reward * p - paid - (slashing - back) * (1 - p)

    def pays(self, node: int, offer: Offer) -> Fraction:
        """Price of what an offer chosen at a node takes there and at all nodes behind it."""
        total = Fraction()
        for at, word, about, y in self.prices:
            path = self.path(at)
            if node in path:
                total += y * self.takes(node, offer, path, word, about)
        return total

    def takes(self, node: int, offer: Offer, path: list[int], word: str, about: list[Any]) -> Fraction:
        at, point, here = path[-1], self.point(node), self.point(path[-1])
        held = node == at or self.now(point) + offer.get("duration", 0) > self.now(here)
        executor = None if offer["own"] else offer["coprocessor"]
        operator, names = offer["claim"]["operator"], list(self.coprocessors)
        _, slashing, _ = self.amounts(node, offer)
        if word in ("deadline", "window"):
            begin = about[1] if word == "window" else len(path) - 1
            mine = executor == names[about[0]] and path.index(node) >= begin
            due = offer["task"].get("deadline", math.inf) <= about[-1]
            return Fraction(offer.get("duration", 0)) if mine and due else Fraction()
        if word in ("collateral", "stake"):
            owner = names[about[0]] if word == "collateral" else list(self.operators)[about[0]]
            if owner != (executor if word == "collateral" else operator):
                return Fraction()
            lost = held or not self.succeeded(path, point, offer["number"], offer["success_probability"])
            amount = float(offer.get("collateral", 0)) if word == "collateral" else float(slashing)
            return as_written(amount) if lost else Fraction()
        if not held:
            return Fraction()
        if word == "expected":
            whose = self.whose(about)
            loss = slashing * (1 - Fraction(offer["success_probability"]))
            return loss if whose is None or whose in (("v", operator), ("c", executor)) else Fraction()
        owner = names[about[0]] if word == "capacity" else list(self.operators)[about[0]]
        mine = owner == (executor if word == "capacity" else operator) and offer["own"] == (
            word != "capacity"
        )
        return Fraction(offer["work"].get(self.resources[about[1]], 0)) if mine else Fraction()

    def succeeded(self, path: list[int], point: int, item: int, p: float, *, held: bool = False) -> bool:
        if p in (0, 1):
            return p == 1
        for node in path[1:]:
            seen = self.tree.seen[self.point(node)]
            for column in range(len(seen.item)):
                if (seen.point[column], seen.item[column], seen.is_commitment[column]) == (point, item, held):
                    return bool(seen.outcomes[self.tree.realisation[node], column])
        return True

    def whose(self, about: list[Any]) -> tuple[str, str] | None:
        of = self.document["risk"][about[0]].get("of", "network")
        if of == "network":
            return None
        if isinstance(of, dict):
            kind, name = next(iter(of.items()))
            return kind[0].replace("o", "v"), name
        return (
            ("v", list(self.operators)[about[1]])
            if of == "operator"
            else (
                "c",
                list(self.coprocessors)[about[1]],
            )
        )

    # rooms

    def room(self, node: int, word: str, about: list[Any]) -> tuple[Fraction, Fraction]:
        """A limit as it is stated, and what commitments take of it at a node."""
        path = self.path(node)
        names = list(self.operators if word in ("own_capacity", "stake") else self.coprocessors)
        owner = (self.operators if word in ("own_capacity", "stake") else self.coprocessors).get(
            names[about[0]] if word != "expected" else ""
        )
        if word in ("deadline", "window"):
            begin = about[1] if word == "window" else len(path) - 1
            return Fraction(about[-1]) - Fraction(self.start(self.point(path[begin]), owner)), Fraction()
        if word == "expected":
            limit = Fraction(self.document["risk"][about[0]]["budget"])
        elif word in ("collateral", "stake"):
            limit = as_written(owner["free_collateral" if word == "collateral" else "stake"])
        else:
            limit = Fraction(owner["capacity"][self.resources[about[1]]])
        return limit, sum((each for each in self._taken(path, word, about, owner)), Fraction())

    def _taken(
        self, path: list[int], word: str, about: list[Any], owner: Document | None
    ) -> Iterator[Fraction]:
        now = self.now(self.point(path[-1]))
        for number, k in enumerate(self.held):
            done = len(path) > 1 and k.get("release_at", math.inf) <= now
            p = k["success_probability"]
            task = next(each for each in self.document["tasks"] if each["id"] == k["task"])
            claims = task.get("claims") or [task]
            claim = next(each for each in claims if each["operator"] == k["operator"])
            executor = k["executor"] if k["executor"] in self.coprocessors else None
            succeeded = done and self.succeeded(path, -1, number, p, held=True)
            if word == "collateral" and owner and executor == owner["id"] and succeeded:
                yield -as_written(k.get("collateral", 0))
            if word == "stake" and owner and k["operator"] == owner["id"] and not succeeded:
                yield as_written(claim.get("slashing", 0))
            if done:
                continue
            if word == "expected" and self.whose(about) in (None, ("v", k["operator"]), ("c", executor)):
                yield Fraction(claim.get("slashing", 0)) * (1 - Fraction(p))
            own = executor is None and word == "own_capacity"
            if owner and (
                (word == "capacity" and executor == owner["id"]) or (own and k["operator"] == owner["id"])
            ):
                yield Fraction(k.get("work", {}).get(self.resources[about[1]], 0))
