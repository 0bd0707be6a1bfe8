"""Features of a round, each a function that puts itself into a tiny round of whole amounts and whole per
cents.

A sketch is drawn from a seed: two tasks, a handful of offers, limits that are often just full. Features
are put in in one order, whatever order they are named in, so that what adds moments comes before what
goes into every moment.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

Document = dict[str, Any]

#: Rows of the history beside a round that is sampled by bootstrap: round, executor, done, failed.
HISTORY = [
    (str(number), executor, 10, failed)
    for number, row in enumerate([(1, 2, 0, 1), (5, 3, 4, 0), (0, 1, 2, 2), (2, 8, 1, 4)])
    for executor, failed in zip(("a", "b", "c", "op"), row, strict=True)
]

TERMS = ({"bid_paid": "on_success"}, {"collateral_split": {"operator": 0.5, "burned": 0.5}})

#: Features that measure the tail of losses.
TAILS = frozenset(
    {"cvar", "cvar of operator", "cvar of coprocessor", "chance", "chance of coprocessor", "worst case",
     "worst case of operator", "solvency", "ambiguous", "ambiguous of coprocessor", "mean-risk", "calibrate"}
)  # fmt: skip

HUMP = {"A": 1, "B": 0.5, "C": 0.2, "D": 0.8, "E": -0.4, "F": 0.8, "G": -2, "H": 0.8, "I": 0.68}


class Sketch:
    """A round that is being made.

    Attributes
    ----------
    document
        The round so far.
    options
        What `solve` is asked for beside it.
    """

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.options: dict[str, Any] = {}
        self.document: Document = {
            "format": "bondwork.round/1",
            "operators": [{"id": "op", "stake": rng.choice([10, 14, 18, 24])}],
            "coprocessors": [
                {
                    "id": name,
                    "free_collateral": rng.choice([3, 4, 6, 8]),
                    "capacity": {"gpu": rng.choice([2, 3, 4, 5])},
                }
                for name in ("a", "b", "c")
            ],
            "uncertainty": {"scenarios": 64, "seed": rng.randrange(100)},
            "terms": rng.choice([{}, {}, *TERMS]),
        }
        self.document |= self.decision(("t1", "t2"))

    def decision(self, tasks: Iterable[str]) -> Document:
        """Tasks with two offers each."""
        rng = self.rng
        part: Document = {"tasks": [], "offers": []}
        for name in tasks:
            part["tasks"].append(
                {
                    "id": name,
                    "operator": "op",
                    "reward": rng.choice([6, 8, 10, 12]),
                    "slashing": rng.choice([2, 4, 5, 8]),
                    "work": {"gpu": rng.choice([1, 2])},
                }
            )
            for coprocessor in rng.sample(["a", "b", "c"], 2):
                part["offers"].append(self.offer(name, coprocessor))
        return part

    def offer(self, task: str, coprocessor: str) -> Document:
        rng = self.rng
        return {
            "task": task,
            "coprocessor": coprocessor,
            "bid": rng.choice([0, 1, 2]),
            "collateral": rng.choice([1, 2, 3]),
            "success_probability": rng.choice([0.5, 0.6, 0.75, 0.8, 0.9]),
        }

    @property
    def parts(self) -> list[Document]:
        """This round and its periods."""
        return [self.document, *self.document.get("periods", [])]

    @property
    def limits(self) -> list[Document]:
        return self.document.setdefault("risk", [])  # type: ignore[no-any-return]


# moments


def periods(sketch: Sketch) -> None:
    rng, document = sketch.rng, sketch.document
    document["periods"] = [{"id": "next", "at": 60, **sketch.decision(("n1",))}]
    if rng.random() < 0.3:
        document["periods"][0]["probability"] = 0.75
        document["periods"].append({"id": "other", "at": 30, "probability": 0.25, **sketch.decision(("m1",))})
    elif rng.random() < 0.4:
        document["periods"].append({"id": "last", "parent": "next", "at": 120, **sketch.decision(("l1",))})
    for part in sketch.parts:
        for offer in part["offers"]:
            offer["duration"] = rng.choice([0, 30, 60, 90])


def random_amounts(sketch: Sketch) -> None:
    if not sketch.document.get("periods"):
        periods(sketch)
    part = sketch.document["periods"][-1]
    task = part["tasks"][0]
    task["reward"] = {"law": "values", "values": [4, 14], "probabilities": [0.5, 0.5]}
    if sketch.rng.random() < 0.5:
        part["offers"][0]["bid"] = {"law": "values", "values": [0, 5], "probabilities": [0.8, 0.2]}
    else:
        task["slashing"] = {"law": "values", "values": [1, 9], "probabilities": [0.75, 0.25]}


def second_stage(sketch: Sketch) -> None:
    parts = sketch.parts if sketch.rng.random() < 0.5 else sketch.parts[:1]
    for part in parts:
        for task in part["tasks"]:
            if task["id"] == "old":
                continue
            late = sketch.offer(task["id"], sketch.rng.choice(["a", "b", "c"]))
            late |= {"id": f"late-{task['id']}", "stage": 2}
            if len(sketch.parts) > 1:
                late["duration"] = sketch.rng.choice([0, 60, 90])
            part["offers"].append(late)


# tasks and who does them


def _everywhere(sketch: Sketch, change: Callable[[Document, Document], None]) -> None:
    """Change the first task of this round, and often that of a period."""
    for number, part in enumerate(sketch.parts):
        if number == 0 or sketch.rng.random() < 0.6:
            change(part, part["tasks"][0])


def _with_third(sketch: Sketch, part: Document, task: Document) -> None:
    """Let a third executor offer for a task now and then."""
    early = [o for o in part["offers"] if o["task"] == task["id"] and o.get("stage", 1) == 1]
    if len(early) == 2 and sketch.rng.random() < 0.4:
        left = ({"a", "b", "c"} - {o["coprocessor"] for o in early}).pop()
        part["offers"].append(sketch.offer(task["id"], left))


def replicas(sketch: Sketch) -> None:
    def change(part: Document, task: Document) -> None:
        task["replicas"] = 2
        task["slashing"] = 8 if not isinstance(task["slashing"], dict) else task["slashing"]
        _with_third(sketch, part, task)

    _everywhere(sketch, change)


def quorum(sketch: Sketch) -> None:
    def change(part: Document, task: Document) -> None:
        task |= {"quorum": 2, "replicas": sketch.rng.choice([2, 3])}
        if not isinstance(task["reward"], dict):
            task["reward"] += 8
        _with_third(sketch, part, task)

    _everywhere(sketch, change)


def required(sketch: Sketch) -> None:
    def change(_: Document, task: Document) -> None:
        task["required"] = True
        if not isinstance(task["reward"], dict):
            task["reward"] = 1

    change(sketch.document, sketch.document["tasks"][1])
    if sketch.rng.random() < 0.3:
        change(sketch.parts[-1], sketch.parts[-1]["tasks"][0])


def unassigned_cost(sketch: Sketch) -> None:
    for part in sketch.parts:
        for task in part["tasks"]:
            task["unassigned_cost"] = sketch.rng.choice([1, 3, 5])


def self_execution(sketch: Sketch) -> None:
    sketch.document["operators"][0]["capacity"] = {"gpu": 2}

    def change(part: Document, task: Document) -> None:
        part["self_execution"] = [
            {
                "task": task["id"],
                "operator": "op",
                "cost": 2,
                "success_probability": sketch.rng.choice([0.8, 1]),
            }
        ]

    _everywhere(sketch, change)


def serial_deadlines(sketch: Sketch) -> None:
    rng = sketch.rng
    for coprocessor in sketch.document["coprocessors"]:
        coprocessor["serial"] = rng.random() < 0.7
        if rng.random() < 0.3:
            coprocessor["free_at"] = 20
    for part in sketch.parts:
        for task in part["tasks"]:
            task["deadline"] = part.get("at", 0) + rng.choice([30, 45, 60])
        for offer in part["offers"]:
            offer["duration"] = rng.choice([30, 45, 60])


def commitments(sketch: Sketch) -> None:
    """One, and now and then one that takes more than there is."""
    rng = sketch.rng
    if "commitments" in sketch.document:
        return
    sketch.document["tasks"].append(
        {"id": "old", "operator": "op", "reward": 5, "slashing": rng.choice([3, 9, 25])}
    )
    sketch.document["commitments"] = [
        {
            "id": "k1",
            "task": "old",
            "operator": "op",
            "executor": "a",
            "success_probability": 0.8,
            "collateral": 2,
            "work": {"gpu": rng.choice([0, 1, 5])},
            "release_at": rng.choice([30, 60, 200]),
        }
    ]


def several_commitments(sketch: Sketch) -> None:
    commitments(sketch)
    held = sketch.document["commitments"]
    held.append(held[0] | {"id": "k2", "executor": "b", "work": {}, "success_probability": 0.6})
    held[1]["release_at"] = sketch.rng.choice([30, 60, 200])
    if sketch.rng.random() < 0.5:
        sketch.document["tasks"][-1] |= {"replicas": 2, "quorum": sketch.rng.choice([1, 2])}


def several_claims(sketch: Sketch) -> None:
    sketch.document["operators"].append({"id": "op2", "stake": 10})

    def change(_: Document, task: Document) -> None:
        mine = {
            "operator": task.pop("operator"),
            "reward": task.pop("reward"),
            "slashing": task.pop("slashing"),
        }
        task["claims"] = [mine, {"operator": "op2", "reward": 9, "slashing": 3}]

    change(sketch.document, sketch.document["tasks"][1])


def outages(sketch: Sketch) -> None:
    for coprocessor in sketch.document["coprocessors"][:2]:
        coprocessor["outage_probability"] = 0.1


# limits on losses


def limit(measure: str, of: str = "network", **terms: Any) -> Callable[[Sketch], None]:
    """Return the feature that a measure is limited; a list among the terms is drawn from."""

    def put(sketch: Sketch) -> None:
        drawn = {
            name: sketch.rng.choice(some) if isinstance(some, list) else some for name, some in terms.items()
        }
        sketch.limits.append({"measure": measure, "of": of} | drawn)

    return put


def solvency(sketch: Sketch) -> None:
    """Coprocessors that may post more than they have, now and then."""
    for coprocessor in sketch.document["coprocessors"]:
        coprocessor["free_collateral"] = sketch.rng.choice([-1, 0, 1, 2, 3])
    limit("solvency", "coprocessor", probability=[0.1, 0.25])(sketch)


def mean_risk(sketch: Sketch) -> None:
    weight, level = sketch.rng.choice([0.2, 0.4, 0.5]), sketch.rng.choice([0.75, 0.9])
    sketch.document["objective"] = {"risk_weight": weight, "risk_level": level}


def load_curve(sketch: Sketch) -> None:
    for coprocessor in sketch.document["coprocessors"][:2]:
        coprocessor["load_curve"] = HUMP | {
            "resource": "gpu",
            "weight": sketch.rng.choice([1, 0.5]),
            "scale": sketch.rng.choice([2, 5]),
        }


def worth(sketch: Sketch) -> None:
    """What room is worth later: amounts that change what is best, now and then."""
    rng, document = sketch.rng, sketch.document
    document["operators"][0]["worth"] = {"stake": rng.choice([0, 0.05, 0.25]), "capacity": {"gpu": 0.5}}
    for coprocessor in document["coprocessors"][:2]:
        coprocessor["worth"] = {
            "collateral": rng.choice([0.25, 0.5, 1]),
            "capacity": {"gpu": rng.choice([0, 0.5, 1])},
        }
        if coprocessor.get("serial"):
            coprocessor["worth"]["second"] = rng.choice([0.01, 0.05])


def bootstrap(sketch: Sketch) -> None:
    sketch.document["uncertainty"]["sampling"] = "bootstrap"


# what is asked of a solve


def calibrate(sketch: Sketch) -> None:
    if all(each["measure"] == "expected" for each in sketch.limits):
        limit("cvar", level=0.75, budget=[3, 5])(sketch)
    for each in sketch.limits:
        if each["measure"] != "expected":
            each["calibrate"] = True


def warm_start(sketch: Sketch) -> None:
    sketch.options["warm_start"] = True


def value(sketch: Sketch) -> None:
    sketch.options["value"] = True


#: All features in the order in which they are put in.
FEATURES: dict[str, Callable[[Sketch], None]] = {
    "periods": periods,
    "random amounts": random_amounts,
    "commitments": commitments,
    "several commitments": several_commitments,
    "second stage": second_stage,
    "replicas": replicas,
    "quorum": quorum,
    "required": required,
    "unassigned cost": unassigned_cost,
    "self-execution": self_execution,
    "serial deadlines": serial_deadlines,
    "several claims": several_claims,
    "outages": outages,
    "expected": limit("expected", budget=[1, 2]),
    "expected of operator": limit("expected", "operator", budget=[1, 2]),
    "expected of coprocessor": limit("expected", "coprocessor", budget=1),
    "cvar": limit("cvar", budget=[2, 4, 6], level=[0.75, 0.8]),
    "cvar of operator": limit("cvar", "operator", budget=[3, 5, 8], level=0.75),
    "cvar of coprocessor": limit("cvar", "coprocessor", budget=[2, 4], level=0.75),
    "chance": limit("chance", budget=[1, 3, 4], probability=[0.1, 0.2]),
    "chance of coprocessor": limit("chance", "coprocessor", budget=[1, 3], probability=[0.05, 0.2]),
    "worst case": limit("worst_case", budget=[4, 8]),
    "worst case of operator": limit("worst_case", "operator", budget=[4, 8]),
    "ambiguous": limit("ambiguous", budget=[1, 2, 3], radius=[0.1, 0.25]),
    "ambiguous of coprocessor": limit("ambiguous", "coprocessor", budget=[1, 2], radius=0.1),
    "solvency": solvency,
    "mean-risk": mean_risk,
    "load curve": load_curve,
    "worth": worth,
    "bootstrap": bootstrap,
    "calibrate": calibrate,
    "warm start": warm_start,
    "value": value,
}

#: What a feature brings with it: a table of what is refused speaks of all that is in a round.
BRINGS: dict[str, set[str]] = {
    "random amounts": {"periods"},
    "quorum": {"replicas"},
}


def present(names: Iterable[str]) -> set[str]:
    """Return the features that are in a round, what others bring included."""
    named = set(names)
    return named.union(*(BRINGS.get(name, set()) for name in named))


def make(names: Iterable[str], seed: int) -> Sketch:
    """Make a round with some features."""
    named = set(names)
    sketch = Sketch(random.Random(f"{sorted(named)} {seed}"))
    for name, put in FEATURES.items():
        if name in named:
            put(sketch)
    if len(sketch.parts) > 1 or any("stage" in offer for offer in sketch.document["offers"]):
        # so many paths are listed with their probabilities, not sampled
        sketch.document["uncertainty"]["scenarios"] = 4096
    if len(sketch.parts) > 1 and not named.isdisjoint(TAILS):
        leave_few_offers(sketch)
    return sketch


def leave_few_offers(sketch: Sketch) -> None:
    """Leave one offer of each task but the first and those with replicas.

    Where tails are measured the outcome of every offer makes nodes and leaves, and proofs take long.
    """
    for part in sketch.parts:
        several = {task["id"] for task in part["tasks"] if task.get("replicas", 1) > 1}
        if part is sketch.document:
            several.add(part["tasks"][0]["id"])
        kept: list[Document] = []
        for offer in part["offers"]:
            known = any(
                each["task"] == offer["task"] and each.get("stage") == offer.get("stage") for each in kept
            )
            if offer["task"] in several or not known:
                kept.append(offer)
        part["offers"] = kept
