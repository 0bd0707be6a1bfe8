"""Faulty rounds: thousands of them, made from valid ones by a seed, each with what is known about it.

`SHAPES` says what FORMAT.md says, once more and independently of the package: which fields there are and of
which kind. Every field of `full_round` is replaced by everything that its kind surely does not allow.
"""

from __future__ import annotations

import copy
import json
import random
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

ROUNDS = Path(__file__).resolve().parents[1] / "data" / "rounds"

Steps = tuple[int | str, ...]


@dataclass(frozen=True)
class Mutation:
    """Bytes that should be refused. ``paths`` are places that the messages must name, in any order."""

    group: str
    name: str
    data: bytes
    surely_invalid: bool = True
    paths: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.group}: {self.name}"


class Raw(str):
    """JSON text that stands in a document as it is, for numbers that Python would not write."""

    __slots__ = ()


#: Fields by record. "!": required; "?": null is as good as absent. After the kind: the record or its choices.
SHAPES: dict[str, dict[str, str]] = {
    "round": {
        "format": "word!",
        "name": "text",
        "currency": "text",
        "decimals": "whole",
        "now": "number",
        "operators": "list operator",
        "coprocessors": "list coprocessor",
        "tasks": "list! task",
        "offers": "list offer",
        "self_execution": "list self_execution",
        "commitments": "list commitment",
        "terms": "record terms",
        "risk": "list risk",
        "constraints": "list constraint",
        "objective": "record objective",
        "uncertainty": "record uncertainty",
        "periods": "list period",
    },
    "operator": {"id": "id!", "stake": "amount?", "capacity": "resources", "worth": "record? operator_worth"},
    "operator_worth": {"stake": "amount", "capacity": "resources"},
    "coprocessor": {
        "id": "id!",
        "capacity": "resources",
        "free_collateral": "balance?",
        "outage_probability": "probability",
        "serial": "boolean",
        "free_at": "number?",
        "load_curve": "record? load_curve",
        "worth": "record? coprocessor_worth",
    },
    "coprocessor_worth": {"collateral": "amount", "capacity": "resources", "second": "amount"},
    "load_curve": {"resource": "id!", "scale": "number", "weight": "number"}
    | dict.fromkeys("ABCDEFGHI", "number!"),
    "task": {
        "id": "id!",
        "operator": "id?",
        "reward": "amount?",
        "slashing": "amount?",
        "claims": "list? claim",
        "minimum_collateral": "amount",
        "work": "resources",
        "deadline": "number?",
        "required": "boolean",
        "unassigned_cost": "amount",
        "replicas": "count",
        "quorum": "count",
    },
    "claim": {"operator": "id!", "reward": "amount", "slashing": "amount"},
    "offer": {
        "id": "id?",
        "task": "id!",
        "coprocessor": "id!",
        "operator": "id?",
        "stage": "count",
        "bid": "amount",
        "collateral": "amount",
        "success_probability": "chance!",
        "work": "resources?",
        "duration": "quantity",
    },
    "self_execution": {"task": "id!", "operator": "id!", "cost": "amount", "success_probability": "chance!"},
    "commitment": {
        "id": "id!",
        "task": "id!",
        "operator": "id!",
        "executor": "id!",
        "collateral": "amount",
        "work": "resources",
        "success_probability": "probability!",
        "release_at": "number?",
    },
    "terms": {
        "bid_paid": "word",
        "collateral_split": "record collateral_split",
        "collateral_rate": "quantity",
    },
    "collateral_split": dict.fromkeys(("burned", "operator", "rescuer", "treasury"), "probability"),
    "risk": {
        "measure": "word!",
        "budget": "amount!",
        "level": "level",
        "probability": "probability!",
        "radius": "quantity!",
        "of": "word",
        "calibrate": "boolean",
    },
    "constraint": {"name": "id!", "terms": "list! constraint_term", "sense": "word!", "bound": "number!"},
    "constraint_term": {
        **dict.fromkeys(("task", "operator", "executor", "offer"), "ids?"),
        "amount": "word",
        "resource": "id?",
        "weight": "number",
    },
    "objective": {"risk_weight": "probability", "risk_level": "level"},
    "uncertainty": {
        "dependence": "record dependence",
        "sampling": "word",
        "scenarios": "count",
        "seed": "whole",
    },
    "dependence": {"copula": "word", "common": "probability", "coprocessor": "probability"},
    "period": {
        "id": "id!",
        "parent": "id?",
        "at": "number!",
        "probability": "probability",
        "tasks": "list period_task",
        "offers": "list period_offer",
        "self_execution": "list self_execution",
    },
    "beta": {"mean": "probability!", "concentration": "positive!"},
    "lognormal": {"law": "word!", "mean": "amount!", "cv": "quantity!"},
    "values": {"law": "word!", "values": "amounts!", "probabilities": "probabilities!"},
    "of": {"operator": "id!", "coprocessor": "id!"},
}
SHAPES["period_task"] = SHAPES["task"] | {
    "reward": "amount?",
    "slashing": "amount?",
    "claims": "list? claim",
}
SHAPES["period_offer"] = SHAPES["offer"]

_NO_NUMBER: tuple[Any, ...] = (True, False, "", "x", [], {}, [1], {"a": 1})
_NO_FINITE: tuple[Any, ...] = (
    Raw("NaN"),
    Raw("Infinity"),
    Raw("-Infinity"),
    Raw("1e400"),
    Raw("-1e400"),
    Raw("7" * 5_000),
    Raw("-" + "7" * 5_000),
    Raw("1" + "0" * 400),
)
_TOO_SMALL: tuple[Any, ...] = (-1, -1e-9, Raw("-5e-324"))
_NO_STRING: tuple[Any, ...] = (0, 1.5, True, [], {}, ["x"], {"id": "x"}, Raw("1" * 5_000))
_NO_TEXT = ("abc", "1e5", "-1", "1,5", " 1", "1 ", "1\n", "+1", "0x10", "1.", ".5", "١٢", "NaN", "9" * 400)

#: What is surely no value of a kind, null aside.
WRONG: dict[str, tuple[Any, ...]] = {
    "amount": (*_NO_NUMBER, *_NO_FINITE, *_TOO_SMALL, *_NO_TEXT),
    "balance": (*_NO_NUMBER, *_NO_FINITE, *(text for text in _NO_TEXT if text != "-1")),
    "quantity": (*_NO_NUMBER, *_NO_FINITE, *_TOO_SMALL, "1"),
    "positive": (*_NO_NUMBER, *_NO_FINITE, *_TOO_SMALL, "1", 0),
    "number": (*_NO_NUMBER, *_NO_FINITE, "1"),
    "probability": (*_NO_NUMBER, *_NO_FINITE, *_TOO_SMALL, "0.5", 1.0000001, 2, 50),
    "chance": (*_NO_NUMBER, *_NO_FINITE, *_TOO_SMALL, "0.5", 1.0000001, 2, {"mean": 0.5}, {"mean": "x"}),
    "level": (*_NO_NUMBER, *_NO_FINITE, *_TOO_SMALL, "0.5", 1, 1.5),
    "whole": (*_NO_NUMBER, *_NO_FINITE, -1, "1", 1.5, Raw("1e300"), 2**70),
    "count": (*_NO_NUMBER, *_NO_FINITE, -1, "1", 1.5, 0, Raw("1e300"), 2**70),
    "boolean": (0, 1, "true", "", [], {}, 1.0),
    "text": (*_NO_STRING, Raw('"\\ud800"'), Raw('"a\\udc00b"')),
    "id": (*_NO_STRING, "", Raw('"\\ud800"')),
    "ids": (0, 1.5, True, [], {}, {"id": "x"}, Raw("1" * 5_000), "", Raw('"\\ud800"'), [1], [""], [None]),
    "word": (*_NO_STRING, "", "nonsense", "NETWORK", Raw('"\\ud800"'), Raw('"\\u0000"')),
    "resources": (
        [],
        0,
        "x",
        True,
        ["compute"],
        {"": 1},
        {"compute": -1},
        {"compute": "1"},
        {"compute": Raw("NaN")},
        {"compute": None},
        {"compute": True},
        {"compute": {}},
        {"compute": Raw("7" * 5_000)},
    ),
    "record": ([], 0, "x", True, [{}], {"nonsense": 1}),
    "list": ({}, 0, "x", True, [0], [None], [[]], ["x"], [{"nonsense": 1}]),
    "amounts": ({}, 0, "x", True, [], [None], [[]], ["x"], [-1], [Raw("NaN")], [Raw("7" * 5_000)]),
    "probabilities": ({}, 0, "x", True, [], [None], [[]], ["x"], [-1], [2], [Raw("NaN")]),
}


def full_round() -> dict[str, Any]:
    """Return a valid round with every field of the format."""
    law = {"law": "lognormal", "mean": 10.0, "cv": 0.3}
    values = {"law": "values", "values": [1.0, "2.5"], "probabilities": [0.25, 0.75]}
    curve = {"resource": "compute", "scale": 1.0, "weight": 0.0}
    curve |= {"A": 1, "B": 0.5, "C": 0.2, "D": 0.8, "E": -0.4, "F": 0.8, "G": -2, "H": 0.8, "I": 0.68}
    terms = {
        "minimum_collateral": 5.0,
        "work": {"compute": 1.0},
        "deadline": 1800,
        "required": False,
        "unassigned_cost": 0.5,
        "replicas": 2,
        "quorum": 1,
    }
    return {
        "format": "bondwork.round/1",
        "name": "every field",
        "currency": "ETH",
        "decimals": 18,
        "now": 0,
        "operators": [
            {
                "id": "op-1",
                "stake": 320.0,
                "capacity": {"compute": 6.0, "gpu hours": 2},
                "worth": {"stake": 0.01, "capacity": {"compute": 0.5}},
            },
            {"id": "op-2", "stake": "120.5", "capacity": {"compute": 1}},
        ],
        "coprocessors": [
            {"id": "cp-1", "capacity": {"compute": 10.0}, "free_collateral": 60, "outage_probability": 0.01},
            {
                "id": "cp-2",
                "capacity": {"compute": 4.0},
                "free_collateral": 25.0,
                "outage_probability": 0.0,
                "serial": True,
                "free_at": 120,
                "load_curve": curve,
                "worth": {"collateral": 0.02, "capacity": {"compute": 1}, "second": "0.001"},
            },
        ],
        "tasks": [
            {"id": "t-1", "operator": "op-1", "reward": 12.0, "slashing": "30.0", **copy.deepcopy(terms)},
            {
                "id": "t-2",
                "claims": [
                    {"operator": "op-1", "reward": 5.0, "slashing": 8.0},
                    {"operator": "op-2", "reward": 4.0, "slashing": 8.0},
                ],
                **copy.deepcopy(terms),
            },
            {"id": "t-0", "operator": "op-1", "reward": 9.0, "slashing": 10.0},
        ],
        "offers": [
            {
                "id": "first",
                "task": "t-1",
                "coprocessor": "cp-1",
                "operator": "op-1",
                "stage": 1,
                "bid": 5.0,
                "collateral": 25.0,
                "success_probability": 0.97,
                "work": {"compute": 3.5},
                "duration": 900,
            },
            {
                "id": "second",
                "stage": 2,
                "task": "t-1",
                "coprocessor": "cp-2",
                "bid": "4.0",
                "collateral": "20.0",
                "success_probability": {"mean": 0.9, "concentration": 40},
                "duration": 600.5,
            },
            {
                "task": "t-2",
                "coprocessor": "cp-2",
                "bid": 1.0,
                "collateral": 5.0,
                "success_probability": 0.95,
            },
            {"task": "t-2", "coprocessor": "cp-1", "operator": "op-2", "success_probability": 0.5},
        ],
        "self_execution": [{"task": "t-2", "operator": "op-1", "cost": 0.6, "success_probability": 0.999}],
        "commitments": [
            {
                "id": "k-17",
                "task": "t-0",
                "operator": "op-1",
                "executor": "cp-1",
                "collateral": 10.0,
                "work": {"compute": 1.0},
                "success_probability": 0.95,
                "release_at": 600,
            }
        ],
        "terms": {
            "bid_paid": "on_success",
            "collateral_split": {"burned": 0.5, "operator": 0.125, "rescuer": 0.25, "treasury": 0.125},
            "collateral_rate": 1.0,
        },
        "risk": [
            {"measure": "expected", "budget": 10.0, "of": {"coprocessor": "cp-1"}},
            {"measure": "cvar", "level": 0.95, "budget": 25.0, "of": "network", "calibrate": True},
            {"measure": "chance", "probability": 0.05, "budget": 30.0, "of": "operator", "calibrate": False},
            {"measure": "worst_case", "budget": 90.0, "of": {"operator": "op-2"}, "calibrate": False},
            {"measure": "solvency", "probability": 0.05, "of": "coprocessor", "calibrate": False},
            {"measure": "ambiguous", "budget": 90.0, "radius": 0.5, "of": "network", "calibrate": False},
        ],
        "constraints": [
            {
                "name": "own",
                "terms": [
                    {
                        "task": ["t-1", "t-2"],
                        "operator": "op-1",
                        "executor": "cp-1",
                        "offer": "first",
                        "amount": "bid",
                        "weight": -2.5,
                    },
                    {"executor": ["op-1", "cp-2"], "resource": "compute"},
                ],
                "sense": "<=",
                "bound": 40,
            }
        ],
        "objective": {"risk_weight": 0.25, "risk_level": 0.9},
        "uncertainty": {
            "dependence": {"copula": "gaussian", "common": 0.05, "coprocessor": 0.3},
            "sampling": "sobol",
            "scenarios": 1024,
            "seed": 0,
        },
        "periods": [
            {
                "id": "next",
                "parent": None,
                "at": 600,
                "probability": 1.0,
                "tasks": [
                    {
                        "id": "t-9",
                        "operator": "op-1",
                        "reward": law,
                        "slashing": values,
                        **copy.deepcopy(terms),
                    },
                    {
                        "id": "t-8",
                        "claims": [{"operator": "op-2", "reward": copy.deepcopy(values), "slashing": 1}],
                    },
                ],
                "offers": [
                    {
                        "id": "later",
                        "task": "t-9",
                        "coprocessor": "cp-1",
                        "operator": "op-1",
                        "stage": 1,
                        "bid": copy.deepcopy(law),
                        "collateral": 20.0,
                        "success_probability": 0.96,
                        "work": {"compute": 1},
                        "duration": 1,
                    }
                ],
                "self_execution": [
                    {"task": "t-8", "operator": "op-2", "cost": 1, "success_probability": 0.5}
                ],
            },
            {"id": "good", "parent": "next", "at": 900, "probability": 0.25},
            {"id": "bad", "parent": "next", "at": 900, "probability": 0.75},
        ],
    }


# --- documents: walking, changing, writing ---------------------------------------------------------------


def json_path(steps: Steps) -> str:
    """Write steps as FORMAT.md's paths, independently of the package."""
    text = "$"
    for step in steps:
        if isinstance(step, int):
            text += f"[{step}]"
        else:
            text += f".{step}" if re.fullmatch("[A-Za-z_][A-Za-z0-9_]*", step) else f"[{json.dumps(step)}]"
    return text


def at(document: Any, steps: Steps) -> Any:
    """Value at ``steps``."""
    for step in steps:
        document = document[step]
    return document


def changed(document: Any, steps: Steps, value: Any) -> Any:
    """Copy of a document with another value at ``steps``."""
    if not steps:
        return value
    result = copy.copy(document)  # what is not on the way is shared: nobody changes it
    if len(steps) == 1:
        result[steps[0]] = value
    else:
        result[steps[0]] = changed(document[steps[0]], steps[1:], value)
    return result


def without(document: Any, steps: Steps) -> Any:
    """Copy of a document without the field at ``steps``."""
    record = {name: value for name, value in at(document, steps[:-1]).items() if name != steps[-1]}
    return changed(document, steps[:-1], record)


def _has_raw(value: Any) -> bool:
    if isinstance(value, dict):
        return any(map(_has_raw, value.values()))
    return any(map(_has_raw, value)) if isinstance(value, list) else isinstance(value, Raw)


def write(value: Any, repeated: Steps | None = None, here: Steps = ()) -> str:
    """JSON text; `Raw` as it is; the key at ``repeated`` stands twice in its object."""
    if isinstance(value, Raw):
        return str(value)
    if repeated is None and not _has_raw(value):
        return json.dumps(value, separators=(",", ":"))
    if isinstance(value, dict):
        fields = []
        for key, child in value.items():
            field = f"{json.dumps(key)}:{write(child, repeated, (*here, key))}"
            fields += [field] * (2 if (*here, key) == repeated else 1)
        return "{" + ",".join(fields) + "}"
    if isinstance(value, list):
        return "[" + ",".join(write(child, repeated, (*here, i)) for i, child in enumerate(value)) + "]"
    return json.dumps(value)


def fields(document: Any, shape: str = "round", here: Steps = ()) -> Iterator[tuple[Steps, str, str]]:
    """Every field of a valid document: its steps, its kind with marks, the record it belongs to."""
    for name, value in document.items():
        kind, _, record = SHAPES[shape][name].partition(" ")
        steps = (*here, name)
        yield steps, kind, shape
        if isinstance(value, dict):
            if kind.startswith("record"):
                yield from fields(value, record, steps)
            elif kind.startswith(("amount", "chance", "word")):  # a law, a beta, one member
                form = value.get("law", "of" if kind == "word" else "beta")
                yield from fields(value, form, steps)
        elif kind.startswith("list") and isinstance(value, list):
            for number, entry in enumerate(value):
                yield from fields(entry, record, (*steps, number))


# --- the groups ------------------------------------------------------------------------------------------


def _bytes(document: Any, repeated: Steps | None = None) -> bytes:
    return write(document, repeated).encode()


def _show(value: Any) -> str:
    text = write(value)
    return text if len(text) < 40 else f"{text[:37]}..."


@dataclass(frozen=True)
class _Change:
    """One surely wrong change of the full round: at which steps, and what it makes of a document."""

    name: str
    steps: Steps
    value: Any
    top: Steps  # the entry of a top-level list, or the top-level field, that it is in


def _wrong_values() -> Iterator[_Change]:
    document = full_round()
    for steps, marked, _ in fields(document):
        kind = marked.rstrip("!?")
        wrong: tuple[Any, ...] = WRONG[kind]
        if "?" not in marked:
            wrong = (*wrong, None)
        for value in wrong:
            top = steps[:2] if len(steps) > 1 and isinstance(steps[1], int) else steps[:1]
            yield _Change(f"{json_path(steps)} = {_show(value)}", steps, value, top)


def wrong_values(rng: random.Random) -> Iterator[Mutation]:
    """Every field with much of what its kind does not allow."""
    document = full_round()
    for change in _wrong_values():
        if rng.random() < 0.5:
            continue
        data = _bytes(changed(document, change.steps, change.value))
        yield Mutation("wrong value", change.name, data, paths=(json_path(change.steps),))


def missing_and_extra() -> Iterator[Mutation]:
    """Required fields left out; fields that nobody knows in every object, misspelt ones among them."""
    document = full_round()
    objects: dict[Steps, None] = {(): None}
    for steps, marked, _ in fields(document):
        path = json_path(steps)
        objects[steps[:-1]] = None
        if "!" in marked and steps[-1] not in ("operator", "coprocessor"):
            yield Mutation("missing", path, _bytes(without(document, steps)), paths=(path,))
        elif marked == "id!":
            data = _bytes(without(document, steps))
            yield Mutation(
                "missing", path, data, paths=(path if "of" not in steps else path.rpartition(".")[0],)
            )
        name = str(steps[-1])
        for wrong in (name + "s", " " + name):
            misspelt = changed(without(document, steps), (*steps[:-1], wrong), at(document, steps))
            if "of" in steps[:-1]:
                paths = (json_path(steps[:-1]),)
            elif name in ("law", "measure"):  # nobody knows which other fields there should be
                paths = (path,)
            else:
                paths = (json_path((*steps[:-1], wrong)),)
            yield Mutation("misspelt", f"{path} as {wrong!r}", _bytes(misspelt), paths=paths)
    for steps in objects:
        for extra in ("nonsense", "", "ñandú", "a.b", "0", "__class__", "\x00", "x" * 10_000):
            if steps and steps[-1] in ("work", "capacity"):
                continue
            paths = (json_path(steps if steps and steps[-1] == "of" else (*steps, extra)),)
            data = _bytes(changed(document, (*steps, extra), 1))
            yield Mutation("extra", f"{json_path(steps)} with {extra[:20]!r}", data, paths=paths)


def repeated_keys() -> Iterator[Mutation]:
    """A key twice in its object, at every level, with the same value."""
    document = full_round()
    for steps, _, _ in fields(document):
        path = json_path(steps)
        yield Mutation("repeated key", path, _bytes(document, steps), paths=(path,))
        value = at(document, steps)
        if steps[-1] in ("work", "capacity"):
            for key in value:
                path = json_path((*steps, key))
                yield Mutation("repeated key", path, _bytes(document, (*steps, key)), paths=(path,))
    # faults of all levels at once, and a key three times
    yield Mutation("repeated key", "three times", b'{"tasks":[],"tasks":[],"tasks":[]}', paths=("$.tasks",))
    escaped = b'{"tasks":[],"t\\u0061sks":[]}'
    yield Mutation("repeated key", "once escaped", escaped, paths=("$.tasks",))


#: Ids that must exist: where they stand in the full round.
REFERENCES: tuple[Steps, ...] = (
    ("tasks", 0, "operator"),
    ("tasks", 1, "claims", 0, "operator"),
    ("tasks", 1, "claims", 1, "operator"),
    ("tasks", 2, "operator"),
    ("offers", 0, "task"),
    ("offers", 0, "coprocessor"),
    ("offers", 0, "operator"),
    ("offers", 1, "task"),
    ("offers", 1, "coprocessor"),
    ("offers", 3, "operator"),
    ("self_execution", 0, "task"),
    ("self_execution", 0, "operator"),
    ("commitments", 0, "task"),
    ("commitments", 0, "operator"),
    ("commitments", 0, "executor"),
    ("risk", 0, "of", "coprocessor"),
    ("risk", 3, "of", "operator"),
    ("constraints", 0, "terms", 0, "task", 1),
    ("constraints", 0, "terms", 0, "operator"),
    ("constraints", 0, "terms", 0, "executor"),
    ("constraints", 0, "terms", 0, "offer"),
    ("constraints", 0, "terms", 1, "executor", 0),
    ("periods", 0, "tasks", 0, "operator"),
    ("periods", 0, "tasks", 1, "claims", 0, "operator"),
    ("periods", 0, "offers", 0, "task"),
    ("periods", 0, "offers", 0, "coprocessor"),
    ("periods", 0, "offers", 0, "operator"),
    ("periods", 0, "self_execution", 0, "task"),
    ("periods", 0, "self_execution", 0, "operator"),
    ("periods", 1, "parent"),
    ("periods", 2, "parent"),
)


def _semantic_changes() -> Iterator[tuple[str, Steps, Any, tuple[Steps, ...]]]:
    """Well-formed and wrong: name, steps, value there, steps that a message must name."""
    document = full_round()
    for steps in REFERENCES:
        for value in ("nowhere", "OP-1", "op-1 ", "no\nwhere", "é", "\x1b[31m", '"', "t-1\u0000", "0"):
            yield f"{json_path(steps)} = {value!r}", steps, value, (steps,)
        # an id of another list
        yield f"{json_path(steps)} = a commitment", steps, "k-17", (steps,)
    for steps in (("tasks", 0, "operator"), ("offers", 0, "operator"), ("self_execution", 0, "operator")):
        yield f"{json_path(steps)} = a coprocessor", steps, "cp-1", (steps,)
    yield "an offer of no claimant", ("offers", 0, "operator"), "op-2", (("offers", 0, "operator"),)
    own = {"task": "t-1", "operator": "op-2", "success_probability": 0.5}
    yield "self-execution of no claimant", ("self_execution", 0), own, (("self_execution", 0, "operator"),)
    yield (
        "a commitment of no claimant",
        ("commitments", 0, "operator"),
        "op-2",
        (("commitments", 0, "operator"),),
    )
    yield (
        "another's self-execution",
        ("commitments", 0, "executor"),
        "op-2",
        (("commitments", 0, "executor"),),
    )
    for name in ("operators", "coprocessors", "tasks", "offers", "commitments", "periods", "self_execution"):
        entries = document[name]
        for number in range(len(entries)):
            again = (*((name,)), len(entries))
            yield f"{name}[{number}] again", (name,), [*entries, copy.deepcopy(entries[number])], (again,)
    claims = document["tasks"][1]["claims"]
    place: Steps = ("tasks", 1, "claims")
    yield "a claim again", place, [*claims, claims[0]], ((*place, 2, "operator"),)
    yield "a coprocessor's id", ("operators", 1, "id"), "cp-1", (("coprocessors", 0, "id"),)
    tasks = document["periods"][0]["tasks"]
    place = ("periods", 0, "tasks")
    yield "a period's task again", place, [*tasks, tasks[0]], ((*place, 2, "id"),)
    yield "above 1 - outage", ("offers", 0, "success_probability"), 0.9901, (("offers", 0),)
    beta = {"mean": 0.995, "concentration": 3}
    yield "mean above 1 - outage", ("offers", 3, "success_probability"), beta, (("offers", 3),)
    place = ("periods", 0, "offers", 0, "success_probability")
    yield "later above 1 - outage", place, 1.0, (place,)
    split: Steps = ("terms", "collateral_split")
    for name in ("burned", "operator", "rescuer", "treasury"):
        yield f"shares with {name} = 0.3", (*split, name), 0.3, (split,)
    yield "no shares", split, {}, (split,)
    dependence: Steps = ("uncertainty", "dependence")
    yield "dependence above 1", (*dependence, "common"), 0.7001, (dependence,)
    curve: Steps = ("coprocessors", 1, "load_curve")
    yield "a curve of nothing", (*curve, "resource"), "gas", ((*curve, "resource"),)
    jump = document["coprocessors"][1]["load_curve"] | {"weight": 1.0, "D": 0.9}
    yield "a curve that jumps", curve, jump, ((*curve, "B"),)
    yield "a curve with B = 0", curve, jump | {"B": 0.0}, (curve,)
    yield "no operator", ("tasks", 0), {"id": "t-1"}, (("tasks", 0),)
    both = document["tasks"][1] | {"operator": "op-1", "reward": 1}
    yield "claims and operator", ("tasks", 1), both, (("tasks", 1, "operator"), ("tasks", 1, "reward"))
    yield "quorum above replicas", ("tasks", 0, "quorum"), 3, (("tasks", 0, "quorum"),)
    yield "a parent that comes later", ("periods", 1, "parent"), "bad", (("periods", 1, "parent"),)
    yield "its own parent", ("periods", 0, "parent"), "next", (("periods", 0, "parent"),)
    cycle = copy.deepcopy(document["periods"])
    cycle[1]["parent"], cycle[2]["parent"] = "bad", "good"
    yield "a cycle of parents", ("periods",), cycle, (("periods", 1, "parent"),)
    yield "before its parent", ("periods", 1, "at"), 599, (("periods", 1, "at"),)
    yield "before now", ("periods", 0, "at"), -1, (("periods", 0, "at"),)
    yield "children's probabilities", ("periods", 1, "probability"), 0.3, (("periods", 1, "probability"),)
    yield "a root's probability", ("periods", 0, "probability"), 0.5, (("periods", 0, "probability"),)
    law: Steps = ("periods", 0, "tasks", 0, "slashing", "probabilities")
    yield "a law's probabilities", law, [0.5, 0.6], (law,)
    yield "one probability too few", law, [1.0], (law,)


def semantic_faults() -> Iterator[Mutation]:
    """Dangling references of every kind, ids that occur again, sums that are not 1, trees that are none."""
    document = full_round()
    for name, steps, value, places in _semantic_changes():
        paths = tuple(map(json_path, places))
        yield Mutation("semantic", name, _bytes(changed(document, steps, value)), paths=paths)


def two_faults(rng: random.Random, count: int) -> Iterator[Mutation]:
    """Two faults at once, structural or semantic, in different parts of the round: both must be named."""
    structural = [
        (c.name, c.steps, c.value, (c.steps,), c.top)
        for c in _wrong_values()
        # what others refer to is left in place, so that one fault is one fault
        if c.steps[-1] not in ("id", "format") and len(c.steps) > 1
    ]
    semantic = [
        (name, steps, value, places, steps[:2] if len(steps) > 1 and isinstance(steps[1], int) else steps[:1])
        for name, steps, value, places in _semantic_changes()
        if len(steps) > 2
    ]
    document = full_round()
    made = 0
    while made < count:
        first = rng.choice(structural)
        second = rng.choice(semantic if made % 2 else structural)
        if first[4] == second[4] or (made % 2 and not _independent(first[1], second[1])):
            continue
        made += 1
        both = changed(changed(document, first[1], first[2]), second[1], second[2])
        paths = tuple(map(json_path, (*first[3], *second[3])))
        yield Mutation("two faults", f"{first[0]} and {second[0]}", _bytes(both), paths=paths)


def _independent(structural: Steps, semantic: Steps) -> bool:
    """Whether a semantic fault stays one while another entry is malformed."""
    depends = {
        "offers": ("tasks", "coprocessors"),  # claims and outages
        "self_execution": ("tasks",),
        "commitments": ("tasks",),
        "periods": ("periods", "coprocessors"),
        "coprocessors": ("operators",),
        "operators": ("coprocessors",),
    }
    return structural[0] not in depends.get(str(semantic[0]), ())


def truncated(rng: random.Random, count: int) -> Iterator[Mutation]:
    """A valid round, cut at a random byte: no beginning of an object is an object."""
    bases = [*(path.read_bytes().rstrip() for path in sorted(ROUNDS.glob("*.json"))), _bytes(full_round())]
    for number in range(count):
        data = bases[number % len(bases)]
        cut = rng.randrange(len(data))
        yield Mutation("truncated", f"base {number % len(bases)} at byte {cut}", data[:cut])


def scribbled(rng: random.Random, count: int) -> Iterator[Mutation]:
    """Bytes changed, inserted, left out or swapped at random: some of these rounds stay valid."""
    bases = [(ROUNDS / "three-tasks.json").read_bytes(), _bytes(full_round())]
    for number in range(count):
        data = bytearray(bases[number % 2])
        for _ in range(rng.choice((1, 1, 1, 2, 5))):
            where = rng.randrange(len(data))
            match rng.randrange(5):
                case 0:
                    data[where] = rng.randrange(256)
                case 1:
                    data[where] = ord(rng.choice('"{}[],:0123456789.-eE truefalsn\\'))
                case 2:
                    data.insert(where, ord(rng.choice('"{}[],:0123456789.-eE truefalsn\\')))
                case 3:
                    del data[where]
                case 4:
                    other = rng.randrange(len(data))
                    data[where], data[other] = data[other], data[where]
        yield Mutation("scribbled", f"number {number}", bytes(data), surely_invalid=False)


def encodings(rng: random.Random) -> Iterator[Mutation]:
    """Anything but UTF-8 without a byte order mark."""
    document = full_round()
    document["name"] = "Zürich, 東京"
    text = json.dumps(document, ensure_ascii=False)
    for encoding in ("utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be", "utf-8-sig"):
        yield Mutation("encoding", encoding, text.encode(encoding))
    for encoding in ("latin-1", "cp1252", "cp437"):
        yield Mutation("encoding", encoding, text.replace("東京", "é").encode(encoding))
    for encoding in ("shift_jis", "gb18030", "euc_jp", "utf-7"):
        name = text.replace("Zürich, ", "")
        yield Mutation("encoding", encoding, name.encode(encoding), surely_invalid=encoding != "utf-7")
    plain = text.encode()
    for bad in (b"\xff", b"\xc0\xaf", b"\xed\xa0\x80", b"\xf5\x80\x80\x80", b"\x80", b"\xe6\x9d", b"\x00"):
        for _ in range(8):
            # beside an ASCII character, so that no other one is cut in two
            where = rng.choice([i for i, byte in enumerate(plain[:-1]) if byte < 128 and plain[i + 1] < 128])
            data = plain[: where + 1] + bad + plain[where + 1 :]
            yield Mutation("encoding", f"{bad!r} at byte {where + 1}", data)
    yield Mutation("encoding", "two byte order marks", b"\xef\xbb\xbf\xef\xbb\xbf" + plain)
    yield Mutation("encoding", "only a byte order mark", b"\xef\xbb\xbf")


def no_rounds() -> Iterator[Mutation]:
    """Documents that are no round at all, or more than one."""
    whole = _bytes(full_round())
    for data in (
        b"", b" ", b"\n\n\t\r\n", b"\x00", b"\x00" * 1000, b"null", b"true", b"0", b"-1.5e3", b'""',
        b"[]", b"[{}]", b"{}", b"NaN", b"Infinity", b"-Infinity", b"1e400", b"9" * 5_000, b"-" + b"9" * 5_000,
        b"{", b"}", b"[", b"]", b'"', b"{]", b"{,}", b"{}{}", b'{"tasks"}', b'{"tasks":}', b"{'tasks':[]}",
        b"{tasks:[]}", b'{"tasks":[],}', b"/* */ {}", b"// {}", b"#", b"nul", b"+1", b"01", b".5", b"0x1",
        b'"\\x"', b'"\\u12"', b'"\\ud800"', b'"\n"', b"<xml/>", b"format: bondwork.round/1", b"PK\x03\x04",
        b"\x1f\x8b\x08\x00", b"%PDF-1.7", b"undefined", b"0" * 10_000, b"-" * 10_000, b'"' + b"a" * 100_000,
        b"," * 10_000, b'{"format":"bondwork.round/1"}', b'{"tasks":[]}', b"[" + whole + b"]",
    ):  # fmt: skip
        yield Mutation("no round", _name(data), data)
    for tail in (b"x", b"{}", b",", b"]", b"}", b"\x00", b"null", b"\xef\xbb\xbf", b"//", b"1", whole):
        yield Mutation("no round", f"trailing {_name(tail)}", whole + tail)
    for head in (b"x", b",", b"[", b"\x00", b"while(1);", b")]}'\n", b"\x1e"):
        yield Mutation("no round", f"leading {_name(head)}", head + whole)
    for padding in (b" ", b"\n", b"\r\n\t "):
        yield Mutation("no round", f"padded by {padding!r}", padding + whole + padding, surely_invalid=False)
    for other in (
        "bondwork.round/2", "bondwork.round/1.0", "bondwork.round", "bondwork.plan/1",
        "Bondwork.Round/1", " bondwork.round/1", "bondwork.round/1\n", "bondwork.round/01", "", "1",
    ):  # fmt: skip
        data = _bytes(changed(full_round(), ("format",), other))
        yield Mutation("no round", f"format {other!r}", data, paths=("$.format",))


def _name(data: bytes) -> str:
    return repr(data if len(data) < 30 else data[:27] + b"...")


def deep() -> Iterator[Mutation]:
    """Nesting deeper than anybody means, as a whole and inside a round."""
    for depth in (500, 5_000, 1_000_000):
        for opening, closing, inner in ((b"[", b"]", b""), (b'{"a":', b"}", b"1"), (b'[{"a":', b"}]", b"1")):
            whole = opening * depth + inner + closing * depth
            yield Mutation("deep", f"{depth} levels of {opening!r}", whole)
            yield Mutation("deep", f"{depth} levels of {opening!r}, open", opening * depth)
            for before in (b'{"format":"bondwork.round/1","tasks":', b'{"tasks":[{"id":"t","work":'):
                end = b"}" if before.endswith(b'"tasks":') else b"}]}"
                yield Mutation("deep", f"{depth} levels of {opening!r} in a round", before + whole + end)
    wide = b'{"format":"bondwork.round/1","tasks":[' + b",".join([b"[" * 50 + b"]" * 50] * 2_000) + b"]}"
    yield Mutation("deep", "2000 times 50 levels", wide)


def huge() -> Iterator[Mutation]:
    """100 MB of nesting: too much for a list of cases, made one by one."""
    size = 100_000_000
    yield Mutation("huge", "100 MB of '['", b"[" * size)
    yield Mutation("huge", "100 MB of '{\"a\":'", b'{"a":' * (size // 5))
    yield Mutation("huge", "100 MB of closed arrays", b"[" * (size // 2) + b"]" * (size // 2))
    yield Mutation("huge", "100 MB of white space", b" \n" * (size // 2))
    yield Mutation("huge", "100 MB of digits", b"7" * size)
    yield Mutation("huge", "100 MB in a string", b'{"format":"' + b"x" * size + b'","tasks":[]}')


def mutations(seed: int = 0) -> list[Mutation]:
    """List every mutation but the huge ones; the same seed makes the same list."""
    rng = random.Random(seed)
    return [
        *wrong_values(rng),
        *missing_and_extra(),
        *repeated_keys(),
        *semantic_faults(),
        *two_faults(rng, 300),
        *truncated(rng, 200),
        *scribbled(rng, 400),
        *encodings(rng),
        *no_rounds(),
        *deep(),
    ]
