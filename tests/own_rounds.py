"""Small rounds as people write them, constraints, and their best plans by enumeration."""

from __future__ import annotations

import itertools
import random
from fractions import Fraction
from typing import Any

Document = dict[str, Any]


def exact(value: float | str) -> Fraction:
    return Fraction(str(value))


def make_round(seed: int) -> Document:
    """A round of up to four tasks and eight offers, limits with ties and zeros among them."""
    draw = random.Random(seed)
    money = draw.choice([1, 1, 10**18])
    lost = draw.choice([0, 5]) * money
    tasks = [
        {
            "id": f"t{i}",
            "claims": [
                {
                    "operator": v,
                    "reward": draw.randint(0, 12) * money,
                    "slashing": lost,
                }
                for v in ("op-1", "op-2")[: draw.randint(1, 2)]
            ],
            "work": {"gpu": draw.choice([0, 0.1, 0.2, 0.3])},
            "required": draw.random() < 0.15,
            "unassigned_cost": draw.choice([0, 0, 2]) * money,
        }
        for i in range(draw.randint(2, 4))
    ]
    offers = [
        {
            "id": f"{t['id']}/{c}",
            "task": t["id"],
            "coprocessor": c,
            "bid": draw.randint(0, 6) * money,
            "collateral": draw.randint(0, 3) * money,
            "success_probability": draw.choice([1, 0.75, 0.5]),
        }
        for t in tasks
        for c in ("cp-1", "cp-2")
        if draw.random() < 0.85
    ]
    return {
        "format": "bondwork.round/1",
        "operators": [{"id": "op-1", "stake": draw.choice([5, 10, 20]) * money}, {"id": "op-2"}],
        "coprocessors": [
            {"id": "cp-1", "capacity": {"gpu": draw.choice([0.3, 0.6])}},
            {"id": "cp-2", "capacity": {"gpu": 1}, "free_collateral": draw.randint(2, 8) * money},
        ],
        "tasks": tasks,
        "offers": offers,
    }


def make_constraints(document: Document, seed: int) -> list[Document]:
    draw = random.Random(seed)
    money = max((o["bid"] for o in document["offers"]), default=1) or 1
    kinds: list[Document] = [
        {"terms": [{}], "sense": "<=", "bound": draw.randint(0, 3)},
        {"terms": [{}], "sense": "==", "bound": draw.randint(1, 2)},
        {"terms": [{"executor": "cp-1"}], "sense": ">=", "bound": 1},
        {
            "terms": [{"resource": "gpu"}],
            "sense": draw.choice(["<=", "=="]),
            "bound": 0.3,
        },
        {"terms": [{"amount": "bid", "executor": ["cp-1", "cp-2"]}], "sense": "<=", "bound": money},
        {"terms": [{"executor": "cp-1"}, {"executor": "cp-2", "weight": -1}], "sense": ">=", "bound": 0},
        {"terms": [{"operator": "op-2"}], "sense": draw.choice(["<=", ">="]), "bound": draw.randint(0, 1)},
        {"terms": [{"task": ["t0", "t1"], "amount": "collateral"}], "sense": "<=", "bound": 2 * money},
        {"terms": [{"amount": "slashing", "weight": 0.1}], "sense": "<=", "bound": money},
    ]
    chosen = draw.sample(kinds, draw.randint(1, 2))
    return [{"name": f"own {i}", **each} for i, each in enumerate(chosen)]


def enumerate_plans(document: Document, constraints: list[Document]) -> list[tuple[Fraction, frozenset[Any]]]:
    """Every plan that keeps limits and constraints, best first: value, (offer, operator) of each choice."""
    ways = []
    for task in document["tasks"]:
        mine = [
            (offer, claim, task)
            for offer in document["offers"]
            if offer["task"] == task["id"]
            for claim in task["claims"]
        ]
        ways.append(mine if task["required"] else [None, *mine])
    found = []
    for plan in itertools.product(*ways):
        chosen = [each for each in plan if each is not None]
        if _keeps_limits(document, chosen) and all(_keeps(each, chosen) for each in constraints):
            worth = sum((_worth(*each) for each in chosen), Fraction())
            done = {task["id"] for _, _, task in chosen}
            left = [t for t in document["tasks"] if t["id"] not in done]
            worth -= sum((exact(t["unassigned_cost"]) for t in left), Fraction())
            found.append((worth, frozenset((o["id"], c["operator"]) for o, c, _ in chosen)))
    return sorted(found, key=lambda each: -each[0])


def _worth(offer: Document, claim: Document, _task: Document) -> Fraction:
    p = exact(offer["success_probability"])
    return p * exact(claim["reward"]) - (1 - p) * exact(claim["slashing"]) - exact(offer["bid"])


def _keeps_limits(document: Document, chosen: list[Any]) -> bool:
    for c in document["coprocessors"]:
        mine = [(o, t) for o, _, t in chosen if o["coprocessor"] == c["id"]]
        if sum((exact(t["work"]["gpu"]) for _, t in mine), Fraction()) > exact(c["capacity"]["gpu"]):
            return False
        if sum(o["collateral"] for o, _ in mine) > c.get("free_collateral", 10**30):
            return False
    stake = document["operators"][0]["stake"]
    return sum(claim["slashing"] for _, claim, _ in chosen if claim["operator"] == "op-1") <= stake


def _keeps(constraint: Document, chosen: list[Any]) -> bool:
    total = Fraction()
    for term in constraint["terms"]:
        for offer, claim, task in chosen:
            facts = {
                "task": task["id"],
                "operator": claim["operator"],
                "executor": offer["coprocessor"],
                "offer": offer["id"],
            }
            wanted = {k: v if isinstance(v, list) else [v] for k, v in term.items() if k in facts}
            if all(facts[k] in v for k, v in wanted.items()):
                amount = {
                    "count": 1,
                    "bid": offer["bid"],
                    "collateral": offer["collateral"],
                    "slashing": claim["slashing"],
                }[term.get("amount", "count")]
                if "resource" in term:
                    amount = task["work"]["gpu"]
                total += exact(term.get("weight", 1)) * exact(amount)
    bound = exact(constraint["bound"])
    sense = constraint["sense"]
    return total <= bound if sense == "<=" else total >= bound if sense == ">=" else total == bound
