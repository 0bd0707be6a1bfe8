"""Risk measures and small rounds in plain Python: a second opinion that shares nothing with the measures.

Losses come as lists of numbers, failures as lists of truth values; the best choice of a round is found by
trying every one.
"""

from __future__ import annotations

import itertools
import json
import math
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import bondwork
from bondwork.uncertainty.sampling import sample_round

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

Document = dict[str, Any]


def cvar_of(losses: Sequence[float], probability: Sequence[float], level: float) -> float:
    """By definition: the least over eta, which is at one of the losses."""
    pairs = list(zip(losses, probability, strict=True))
    return min(
        eta + math.fsum(q * max(loss - eta, 0.0) for loss, q in pairs) / (1 - level) for eta in set(losses)
    )


def excess_probability(losses: Sequence[float], probability: Sequence[float], budget: float) -> float:
    pairs = zip(losses, probability, strict=True)
    return math.fsum(q for loss, q in pairs if loss > budget * (1 + 1e-9))


def worst_expectation(amounts: Sequence[float], shares: Sequence[float], radius: float) -> float:
    """The least over t >= 0, which is at 0 or at one of the amounts."""
    pairs = list(zip(amounts, shares, strict=True))
    expected = math.fsum(s * f for s, f in pairs)
    return expected + min(
        radius * t + math.fsum((1 - f) * max(s - t, 0.0) for s, f in pairs) for t in {0.0, *amounts}
    )


@dataclass(frozen=True)
class Offer:
    """One way to do a task; ``number`` is that of the sample."""

    number: int
    task: str
    operator: str
    coprocessor: str | None
    slashing: float
    collateral: float
    gain: float


class Brute:
    """A round of one claim a task, with commitments, whose every choice can be tried."""

    def __init__(self, document: Document, seed: int | None = None) -> None:
        self.document = document
        instance = bondwork.load(document)
        sample = sample_round(instance, seed=seed)
        self.scenarios = sample.offers.scenarios
        self.probability = [1.0 / self.scenarios] * self.scenarios
        self.failed = sample.offers.dense().T.tolist()
        self.held_failed = sample.commitments.dense().T.tolist()
        self.tasks = {task["id"]: task for task in document["tasks"]}
        self.held = document.get("commitments", [])
        self.offers = list(self._offers())
        self.names = instance.offers.ids

    def _offers(self) -> Iterator[Offer]:
        listed = self.document["offers"] + self.document.get("self_execution", [])
        for number, each in enumerate(listed):
            task, p = self.tasks[each["task"]], each["success_probability"]
            paid = each.get("bid", each.get("cost"))
            gain = task["reward"] * p - paid - task["slashing"] * (1 - p)
            coprocessor = each.get("coprocessor")
            yield Offer(
                number,
                task["id"],
                task["operator"],
                coprocessor,
                task["slashing"],
                each.get("collateral", 0.0),
                gain,
            )

    def choices(self) -> Iterator[tuple[Offer, ...]]:
        """Every choice that keeps all but the tail limits."""
        committed = {held["task"] for held in self.held}
        of_task = []
        for name, task in self.tasks.items():
            if name not in committed:
                own = [offer for offer in self.offers if offer.task == name]
                of_task.append(own if task.get("required") else [None, *own])
        for row in itertools.product(*of_task):
            choice = tuple(offer for offer in row if offer is not None)
            if self._fits(choice):
                yield choice

    def _fits(self, choice: tuple[Offer, ...]) -> bool:
        solvent = set()
        for limit in self.document.get("risk", []):
            if limit["measure"] == "solvency":
                solvent |= set(self.members(limit))
        for each in self.document["coprocessors"]:
            free = each.get("free_collateral")
            if free is None or each["id"] in solvent:
                continue
            if math.fsum(o.collateral for o in choice if o.coprocessor == each["id"]) > max(free, 0) * (
                1 + 1e-9
            ):
                return False
        return True

    def members(self, limit: Document) -> list[str]:
        of = limit.get("of", "coprocessor" if limit["measure"] == "solvency" else "network")
        if isinstance(of, dict):
            return list(of.values())
        return ["network"] if of == "network" else [each["id"] for each in self.document[f"{of}s"]]

    @staticmethod
    def _scope(limit: Document) -> str:
        of = limit.get("of", "coprocessor" if limit["measure"] == "solvency" else "network")
        return next(iter(of)) if isinstance(of, dict) else of

    def losses(
        self, choice: tuple[Offer, ...], scope: str, member: str, *, collateral: bool = False
    ) -> list[float]:
        """Loss by scenario, commitments included where slashing is lost."""
        total = [0.0] * self.scenarios
        for offer in choice:
            if scope == "network" or getattr(offer, scope) == member:
                amount = offer.collateral if collateral else offer.slashing
                for s, failed in enumerate(self.failed[offer.number]):
                    if failed:
                        total[s] += amount
        for k, held in enumerate(self.held):
            if not collateral and self._holds(held, scope, member):
                for s, failed in enumerate(self.held_failed[k]):
                    if failed:
                        total[s] += self.tasks[held["task"]]["slashing"]
        return total

    @staticmethod
    def _holds(held: Document, scope: str, member: str) -> bool:
        if scope == "network":
            return True
        return held["operator" if scope == "operator" else "executor"] == member

    def value(self, limit: Document, member: str, choice: tuple[Offer, ...]) -> float:
        """Value of a limit's measure for one member of its scope."""
        scope = self._scope(limit)
        if limit["measure"] == "ambiguous":
            pairs = [
                (o.slashing, sum(self.failed[o.number]) / self.scenarios)
                for o in choice
                if scope == "network" or getattr(o, scope) == member
            ]
            pairs += [
                (self.tasks[held["task"]]["slashing"], sum(self.held_failed[k]) / self.scenarios)
                for k, held in enumerate(self.held)
                if self._holds(held, scope, member)
            ]
            return worst_expectation([s for s, _ in pairs], [f for _, f in pairs], limit["radius"])
        if limit["measure"] == "solvency":
            free = next(c["free_collateral"] for c in self.document["coprocessors"] if c["id"] == member)
            losses = self.losses(choice, scope, member, collateral=True)
            return excess_probability(losses, self.probability, free)
        losses = self.losses(choice, scope, member)
        if limit["measure"] == "cvar":
            return cvar_of(losses, self.probability, limit.get("level", 0.95))
        if limit["measure"] == "worst_case":
            return max(losses)
        return excess_probability(losses, self.probability, limit["budget"])

    def keeps(self, choice: tuple[Offer, ...]) -> bool:
        """Whether a choice keeps every tail limit, or makes nothing worse that commitments exceed."""
        return all(
            self.value(limit, member, choice)
            <= max(ceiling_of(limit), self.value(limit, member, ())) * (1 + 1e-9) + 1e-12
            for limit in self.document.get("risk", [])
            for member in self.members(limit)
        )

    def objective(self, choice: tuple[Offer, ...]) -> float:
        done = {offer.task for offer in choice} | {held["task"] for held in self.held}
        cost = [t.get("unassigned_cost", 0.0) for name, t in self.tasks.items() if name not in done]
        earned = math.fsum([offer.gain for offer in choice]) - math.fsum(cost)
        aim = self.document.get("objective", {})
        weight = aim.get("risk_weight", 0.0)
        if weight == 0.0:
            return earned
        losses = self.losses(choice, "network", "network")
        return (1 - weight) * earned - weight * cvar_of(losses, self.probability, aim.get("risk_level", 0.95))

    def best(self) -> tuple[float, tuple[Offer, ...]] | None:
        """The largest objective and a choice that has it; ``None`` where there is none."""
        # best first: the first that keeps the tail limits is the answer
        ranked = sorted(((self.objective(c), c) for c in self.choices()), key=lambda each: -each[0])
        return next((each for each in ranked if self.keeps(each[1])), None)

    def least(self, limit: Document, member: str) -> float:
        """The least value of one limit's measure over every choice, other tail limits aside."""
        return min(self.value(limit, member, choice) for choice in self.choices())

    def chosen(self, plan: bondwork.Plan) -> tuple[Offer, ...]:
        """The choice of a plan."""
        number = {name: i for i, name in enumerate(self.names)}
        return tuple(self.offers[number[each.offer]] for each in plan.assignments)


def ceiling_of(limit: Document) -> float:
    return limit["probability"] if limit["measure"] in ("chance", "solvency") else limit["budget"]


def small_document(seed: int, *, tasks: int = 4, scenarios: int = 32, committed: bool = True) -> Document:
    """A round of a few tasks, three coprocessors and two operators, without risk limits."""
    draw = random.Random(seed)

    def amount(low: float, high: float) -> float:
        return round(draw.uniform(low, high), 3)

    document: Document = {
        "format": "bondwork.round/1",
        "operators": [{"id": "op-0"}, {"id": "op-1"}],
        "coprocessors": [{"id": f"cp-{c}", "free_collateral": amount(18, 30)} for c in range(3)],
        "tasks": [
            {
                "id": f"t-{t}",
                "operator": f"op-{t % 2}",
                "reward": amount(10, 20),
                "slashing": amount(4, 16),
                "unassigned_cost": 1.5 if t == 1 else 0.0,
            }
            for t in range(tasks)
        ],
        "uncertainty": {
            "dependence": {"common": 0.2, "coprocessor": 0.3},
            "sampling": "monte_carlo",
            "scenarios": scenarios,
            "seed": seed,
        },
    }
    document["offers"] = [
        {
            "task": f"t-{t}",
            "coprocessor": f"cp-{c}",
            "bid": amount(1, 5),
            "collateral": amount(6, 15),
            "success_probability": amount(0.6, 0.97),
        }
        for t in range(tasks)
        for c in range(3)
    ]
    document["self_execution"] = [
        {"task": "t-0", "operator": "op-0", "cost": amount(3, 7), "success_probability": amount(0.7, 0.97)}
    ]
    if committed:
        document["tasks"].append({"id": "t-held", "operator": "op-1", "reward": 9.0, "slashing": 5.5})
        document["commitments"] = [
            {
                "id": "held",
                "task": "t-held",
                "operator": "op-1",
                "executor": "cp-2",
                "success_probability": 0.9,
                "collateral": 4.0,
            }
        ]
    return document


def limited(document: Document, risk: list[Document], **more: Any) -> Document:
    """A copy with risk limits."""
    return json.loads(json.dumps(document)) | {"risk": risk} | more
