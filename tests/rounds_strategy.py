"""Small random rounds for property tests, with every feature of a one-stage solve, and ways to change them.

All amounts are multiples of a quarter and all probabilities of an eighth, so that sums of doubles are exact.
Many rounds have limits that bite; some are infeasible.
"""

from __future__ import annotations

import copy
import random
from decimal import Context, Decimal
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Literal

from hypothesis import settings
from hypothesis import strategies as st

from drawing import either, one_of, quarters, some_of, sometimes, whole

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Document = dict[str, Any]

#: How an amount is written in JSON.
Form = Literal["number", "integer", "text"]


def examples(share: float) -> settings:
    """Return settings that try a share of the profile's number of examples."""
    return settings(max_examples=max(1, round(share * settings.default.max_examples)))


def _resources(draw: st.DrawFn, names: list[str], most: float) -> dict[str, float]:
    return {name: quarters(draw, most) for name in names if not sometimes(draw, 4)}


def _operators(draw: st.DrawFn, resources: list[str]) -> list[Document]:
    result = []
    for v in range(whole(draw, 1, 3)):
        operator: Document = {"id": f"op-{v}"}
        if either(draw):
            operator["stake"] = quarters(draw, 40)
        if either(draw):
            operator["capacity"] = _resources(draw, resources, 6)
        result.append(operator)
    return result


def _coprocessors(draw: st.DrawFn, resources: list[str]) -> list[Document]:
    result = []
    for c in range(one_of(draw, [0, 1, 2, 2, 3, 3, 3, 4])):
        coprocessor: Document = {"id": f"cp-{c}"}
        if either(draw):
            coprocessor["capacity"] = _resources(draw, resources, 6)
        if either(draw):
            coprocessor["free_collateral"] = quarters(draw, 8) * (-1 if sometimes(draw, 8) else 1)
        if either(draw):
            coprocessor["serial"] = True
            if either(draw):
                coprocessor["free_at"] = quarters(draw, 8)
        if sometimes(draw, 4):
            coprocessor["outage_probability"] = 0.125
        result.append(coprocessor)
    return result


def _tasks(draw: st.DrawFn, operators: list[str], resources: list[str]) -> list[Document]:
    result = []
    for a in range(one_of(draw, [0, 1, 2, 3, 4, 4, 5, 5])):
        task: Document = {"id": f"t-{a}"}
        claiming = some_of(draw, operators, 1, 3)
        claims = [
            {"operator": v, "reward": quarters(draw, 24), "slashing": quarters(draw, 8)} for v in claiming
        ]
        if len(claims) == 1 and either(draw):
            task |= claims[0]
        else:
            task["claims"] = claims
        if resources and either(draw):
            task["work"] = _resources(draw, resources, 4)
        if sometimes(draw, 3):
            task["minimum_collateral"] = quarters(draw, 1)
        if either(draw):
            task["deadline"] = quarters(draw, 24)
        if sometimes(draw, 6):
            task["required"] = True
        if sometimes(draw, 3):
            task["unassigned_cost"] = quarters(draw, 4)
        result.append(task)
    return result


def _claimants(task: Document) -> list[str]:
    return [claim["operator"] for claim in task.get("claims", [task])]


def _probability(draw: st.DrawFn, most: float = 1.0) -> float | Document:
    p = min(1.0 - one_of(draw, [1, 0, 1, 2, 1, 2, 4, 8]) / 8, most)
    return {"mean": p, "concentration": 4.0} if sometimes(draw, 6) else p


def _offers(
    draw: st.DrawFn, tasks: list[Document], coprocessors: list[Document], resources: list[str]
) -> list[Document]:
    result: list[Document] = []
    for number in range(one_of(draw, [0, 4, 6, 8, 10, 10, 12, 12]) if tasks and coprocessors else 0):
        task, c = one_of(draw, tasks), one_of(draw, coprocessors)
        offer: Document = {
            "task": task["id"],
            "coprocessor": c["id"],
            "bid": quarters(draw, 4),
            "collateral": quarters(draw, 3),
            "success_probability": _probability(draw, 1.0 - c.get("outage_probability", 0.0)),
        }
        if either(draw):
            offer["operator"] = one_of(draw, _claimants(task))
        pair = (offer["task"], offer["coprocessor"], offer.get("operator"))
        taken = {(o["task"], o["coprocessor"], o.get("operator")) for o in result if "id" not in o}
        if pair in taken or sometimes(draw, 4):
            offer["id"] = f"offer {number}"
        if resources and sometimes(draw, 3):
            offer["work"] = _resources(draw, resources, 4)
        if c.get("serial") or sometimes(draw, 6):
            offer["duration"] = quarters(draw, 8)
        result.append(offer)
    return result


def _self_execution(draw: st.DrawFn, tasks: list[Document]) -> list[Document]:
    pairs = [(task["id"], operator) for task in tasks for operator in _claimants(task)]
    chosen = some_of(draw, pairs, 0, 3)
    return [
        {
            "task": task,
            "operator": operator,
            "cost": quarters(draw, 6),
            "success_probability": _probability(draw),
        }
        for task, operator in chosen
    ]


def _commitments(
    draw: st.DrawFn,
    tasks: list[Document],
    coprocessors: list[Document],
    resources: list[str],
    *,
    replicas: bool,
) -> list[Document]:
    result: list[Document] = []
    for number in range(one_of(draw, [0, 0, 0, 1, 2]) if tasks else 0):
        task = one_of(draw, tasks)
        operator = one_of(draw, _claimants(task))
        if not replicas and any((k["task"], k["operator"]) == (task["id"], operator) for k in result):
            continue
        executor = one_of(draw, [{"id": operator}, *coprocessors])
        p = whole(draw, 0, 8) / 8
        result.append(
            {
                "id": f"k-{number}",
                "task": task["id"],
                "operator": operator,
                "executor": executor["id"],
                "success_probability": min(p, 1.0 - executor.get("outage_probability", 0.0)),
                "collateral": 0.0 if executor["id"] == operator else quarters(draw, 2),
                "work": _resources(draw, resources, 2),
            }
        )
    return result


def _risk(draw: st.DrawFn, operators: list[str], coprocessors: list[str], *, tails: bool) -> list[Document]:
    scopes: list[Any] = ["network", "operator", "coprocessor"]
    scopes += [{"operator": v} for v in operators] + [{"coprocessor": c} for c in coprocessors]
    limits: list[Document] = [
        {"measure": "expected", "budget": quarters(draw, 8), "of": one_of(draw, scopes)}
        for _ in range(one_of(draw, [0, 0, 1, 1, 2]))
    ]
    if tails and sometimes(
        draw, 5
    ):  # beyond the reach of any choice: changes nothing, and is no reason to refuse
        limits.append({"measure": "cvar", "budget": 1000.0, "level": 0.875, "of": "network"})
    return limits


def _terms(draw: st.DrawFn) -> Document:
    operator = whole(draw, 0, 4) / 4
    return {
        "bid_paid": one_of(draw, ["always", "on_success"]),
        "collateral_split": {"burned": 1.0 - operator, "operator": operator},
        "collateral_rate": one_of(draw, [1.0, 0.25, 2.0, 0.0]),
    }


def _add_what_changes_nothing(draw: st.DrawFn, document: Document) -> None:
    """Fields of later work where they cannot change the answer, and a quorum that none can reach."""
    of_task = {
        task["id"]: [o for o in document["offers"] if o["task"] == task["id"]] for task in document["tasks"]
    }
    alone = {own["task"] for own in document["self_execution"]}
    for task in document["tasks"]:
        if len(of_task[task["id"]]) + (task["id"] in alone) <= 1 and task["id"] not in alone:
            task["replicas"] = 2
            task["quorum"] = whole(draw, 1, 2)
            break
    for offers in of_task.values():
        task = next(t for t in document["tasks"] if offers and t["id"] == offers[0]["task"]) if offers else {}
        if offers and not task.get("required") and not task.get("unassigned_cost"):
            rescue = offers[0] | {"id": "rescue", "stage": 2, "bid": 1000.0, "collateral": 0.0}
            rescue["success_probability"] = 0.0  # a sure failure rescues nothing, whatever losses may be
            document["offers"].append(rescue)
            break
    document["uncertainty"] = {"dependence": {"common": 0.25}, "scenarios": 16}


def _add_replicas(draw: st.DrawFn, tasks: list[Document]) -> None:
    for task in tasks:
        most = one_of(draw, [1, 2, 2, 3, 3, 4])
        if most > 1:
            task |= {"replicas": most, "quorum": min(most, one_of(draw, [1, 1, 2, 3]))}


@st.composite
def rounds(draw: st.DrawFn, *, tails: bool = True, replicas: bool = False) -> Document:
    """Draw the JSON document of a round.

    ``tails``: some with a tail limit that nothing can reach; ``replicas``: most tasks may have several
    executors, and so may what is held.
    """
    resources = one_of(draw, [["compute"], [], ["compute", "memory"]])
    operators = _operators(draw, resources)
    coprocessors = _coprocessors(draw, resources)
    names = [v["id"] for v in operators]
    tasks = _tasks(draw, names, resources)
    document: Document = {
        "format": "bondwork.round/1",
        "operators": operators,
        "coprocessors": coprocessors,
        "tasks": tasks,
        "offers": _offers(draw, tasks, coprocessors, resources),
        "self_execution": _self_execution(draw, tasks),
        "commitments": _commitments(draw, tasks, coprocessors, resources, replicas=replicas),
        "risk": _risk(draw, names, [c["id"] for c in coprocessors], tails=tails),
    }
    if either(draw):
        document["now"] = quarters(draw, 4)
    if either(draw):
        document["terms"] = _terms(draw)
    if replicas:
        _add_replicas(draw, tasks)
    elif sometimes(draw, 4):
        _add_what_changes_nothing(draw, document)
    return document


@st.composite
def permuted(draw: st.DrawFn, document: Document) -> Document:
    """Put every list of a document, and the fields of its objects, into another order."""

    rng = random.Random(whole(draw, 0, 2**32 - 1))

    def shuffle(value: Any) -> Any:
        if isinstance(value, list):
            return [shuffle(each) for each in rng.sample(value, len(value))]
        if isinstance(value, dict):
            return {key: shuffle(value[key]) for key in rng.sample(sorted(value), len(value))}
        return value

    changed: Document = shuffle(document)
    return changed


# other units

#: Where money stands in a round, by list; ``claims`` are inside tasks.
_MONEY = {
    "operators": ("stake",),
    "tasks": ("reward", "slashing", "unassigned_cost"),
    "offers": ("bid",),
    "self_execution": ("cost",),
    "risk": ("budget",),
}
_COLLATERAL = {
    "coprocessors": ("free_collateral",),
    "tasks": ("minimum_collateral",),
    "offers": ("collateral",),
    "commitments": ("collateral",),
}


def written(value: Fraction, form: Form) -> int | float | str:
    """Write an amount down as JSON; a whole number only where it is one."""
    if form == "number" or (form == "integer" and value.denominator != 1):
        return float(value)
    if form == "integer":
        return int(value)
    exact = Context(prec=100).divide(Decimal(value.numerator), Decimal(value.denominator))
    return format(exact, "f")


def in_money_unit(document: Document, factor: Fraction, form: Form = "number") -> Document:
    """Multiply all money of a round, the worth of a unit of collateral included."""
    changed = copy.deepcopy(document)
    for record in [*_records(changed, _MONEY), *((c, ("reward", "slashing")) for c in _claims(changed))]:
        _multiply(*record, factor, form)
    terms = changed.setdefault("terms", {})
    terms["collateral_rate"] = float(Fraction(terms.get("collateral_rate", 1.0)) * factor)
    return changed


def in_collateral_unit(document: Document, factor: Fraction, form: Form = "number") -> Document:
    """Multiply all collateral of a round and divide the worth of a unit of it."""
    changed = copy.deepcopy(document)
    for record, names in _records(changed, _COLLATERAL):
        _multiply(record, names, factor, form)
    terms = changed.setdefault("terms", {})
    terms["collateral_rate"] = float(Fraction(terms.get("collateral_rate", 1.0)) / factor)
    return changed


def _records(
    document: Document, fields: dict[str, tuple[str, ...]]
) -> Iterator[tuple[Document, tuple[str, ...]]]:
    for name, names in fields.items():
        for record in document.get(name, []):
            yield record, names


def _claims(document: Document) -> Iterator[Document]:
    for task in document["tasks"]:
        yield from task.get("claims", [])


def _multiply(record: Document, names: tuple[str, ...], factor: Fraction, form: Form) -> None:
    for name in names:
        if name in record:
            record[name] = written(Fraction(record[name]) * factor, form)


# looser limits


def loosenings(document: Document) -> list[tuple[str, Callable[[Document], None]]]:
    """Every way to loosen one limit of a round: what it is, and what does it to a copy of the document."""
    ways: list[tuple[str, Callable[[Document], None]]] = []

    def add(list_name: str, number: int, *path: str, value: Any = None) -> None:
        def change(changed: Document) -> None:
            record = changed[list_name][number]
            for step in path[:-1]:
                record = record[step]
            if value is None:
                del record[path[-1]]
            else:
                record[path[-1]] = value

        ways.append((f"{list_name}[{number}].{'.'.join(path)} = {value}", change))

    for list_name, fields in (("operators", ("stake",)), ("coprocessors", ("free_collateral",))):
        for number, record in enumerate(document[list_name]):
            for name in fields:
                if name in record:
                    add(list_name, number, name)
                    add(list_name, number, name, value=record[name] + 1.25)
            for resource, amount in record.get("capacity", {}).items():
                add(list_name, number, "capacity", resource)
                add(list_name, number, "capacity", resource, value=amount + 0.75)
    for number, c in enumerate(document["coprocessors"]):
        if c.get("serial"):
            add("coprocessors", number, "serial", value=False)
        if "free_at" in c:
            add("coprocessors", number, "free_at", value=c["free_at"] - 1.5)
    for number, task in enumerate(document["tasks"]):
        if task.get("required"):
            add("tasks", number, "required", value=False)
        if "deadline" in task:
            add("tasks", number, "deadline")
            add("tasks", number, "deadline", value=task["deadline"] + 2.25)
        if "minimum_collateral" in task:
            add("tasks", number, "minimum_collateral")
        if "replicas" in task:
            add("tasks", number, "replicas", value=task["replicas"] + 1)
    for number, limit in enumerate(document["risk"]):
        add("risk", number, "budget", value=limit["budget"] + 0.5)
    return ways
