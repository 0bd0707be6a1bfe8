"""Brute force for people's rounds of two stages and of periods: their documents in the oracles' words.

`two_stage_oracle` and `horizon_oracle` read documents of a plainer form. What they cannot say, or would take
too long to try, is not answered.
"""

from __future__ import annotations

import itertools
import math
from typing import Any

import horizon_oracle
from people_rounds import counted_whole
from two_stage_oracle import SLACK, CommittedOracle

Document = dict[str, Any]

#: Policies of a round that are tried at most.
MOST_POLICIES = 1_000


class Unanswered(Exception):
    """An oracle cannot say what is best."""


def _is_plain_money(document: Document) -> bool:
    """Whether the oracles' slack is nothing to amounts, and the ledger counts these as they are written."""
    parts = [document, *document.get("periods", [])]
    if not all(counted_whole(document | part) for part in parts):
        return False
    amounts = [
        abs(float(each.get(name, 0)))
        for part in parts
        for kind in ("tasks", "offers", "self_execution")
        for each in part[kind]
        for name in ("bid", "cost", "collateral", "unassigned_cost", "reward", "slashing")
    ]
    amounts += [float(c["reward"]) for part in parts for t in part["tasks"] for c in t.get("claims", [])]
    largest = max(amounts, default=0.0)
    return largest == 0.0 or 1e-3 <= largest <= 1e6


def _claims(task: Document) -> list[Document]:
    names = ("operator", "reward", "slashing")
    claims: list[Document] = task.get("claims") or [{name: task[name] for name in names}]
    return claims


class RescueOracle(CommittedOracle):
    """The best policy of a round with second-stage offers, whose outcomes are all listed."""

    def __init__(self, document: Document) -> None:
        super().__init__(_with_rescues_in_words(document))
        self.deadlines = {name: task.get("deadline", math.inf) for name, task in self.tasks.items()}
        terms = document.get("terms", {})
        self.share *= float(terms.get("collateral_rate", 1))
        committed = {each["task"] for each in self.held}
        late = {c["id"]: max(c.get("free_at", 0.0), 0.0) for c in document["coprocessors"] if c.get("serial")}
        for offers in (self.early, self.late):
            offers[:] = [
                each
                for each in offers
                if each["task"] not in committed
                and self.tasks[each["task"]].get("deadline", math.inf)
                >= late.get(each["coprocessor"], -math.inf)
            ]
        for each in self.early:
            if each["coprocessor"] is None:
                each["work"] = self.tasks[each["task"]].get("work", {})
        self.open = {name: each for name, each in self.tasks.items() if name not in committed}
        self.policies = 0

    def due(self, task: str) -> float:
        """When a task must be done."""
        return float(self.deadlines[task])

    def best(self) -> float | None:
        """See `Oracle.best`; only tasks that nobody is committed to are given away."""
        self.tasks = self.open
        return super().best()

    def answers(self, first: list[Document], failed: list[Document]) -> list[Any]:
        """See `Oracle.answers`; refuse to try more policies than is sensible."""
        found = super().answers(first, failed)
        self.policies += len(found)
        if self.policies > MOST_POLICIES:
            raise Unanswered
        return found

    def fits(self, first: list[Document], over: list[Document], up: list[Document]) -> bool:
        everything = [*first, *over, *up]
        for c in self.document["coprocessors"]:
            mine = [each for each in everything if each["coprocessor"] == c["id"]]
            if not self._has_room(c, mine):
                return False
            if sum(each["collateral"] for each in mine) > c.get("free_collateral", math.inf) + SLACK:
                return False
            free = max(c.get("free_at", 0.0), 0.0)
            ends = [self.due(each["task"]) for each in mine]
            for end in ends if c.get("serial") else []:
                taken = sum(each["duration"] for each, due in zip(mine, ends, strict=True) if due <= end)
                if taken > end - free + SLACK:
                    return False
        for v in self.document["operators"]:
            own = [each for each in everything if each["coprocessor"] is None and each["operator"] == v["id"]]
            if not self._has_room(v, own):
                return False
            risked = [each for each in (*first, *up) if each["operator"] == v["id"]]
            exposed = sum(self.claims[each["task"], v["id"]]["slashing"] for each in risked)
            before = sum(self.slashing(each, {"operator": v["id"]}) for each in self.held)
            if exposed > max(v.get("stake", math.inf) - before, 0.0) + SLACK:
                return False
        return True

    def _has_room(self, owner: Document, mine: list[Document]) -> bool:
        for name, room in owner.get("capacity", {}).items():
            busy = sum(each["work"].get(name, 0) for each in self.held if each["executor"] == owner["id"])
            if sum(each["work"].get(name, 0) for each in mine) > max(room - busy, 0.0) + SLACK:
                return False
        return True

    def best_after(self, first: list[Document]) -> float | None:
        """See `CommittedOracle.best_after`; without limits node by node."""
        if self.limits:
            ways = 1
            for fails in itertools.product([False, True], repeat=len(first)):
                if self.chance(first, fails) > 0.0:
                    failed = [each for each, fail in zip(first, fails, strict=True) if fail]
                    ways *= len(self.answers(first, failed)) ** sum(q > 0.0 for _, q in self.alone)
            self.policies += ways
            if self.policies > MOST_POLICIES:
                raise Unanswered
            return super().best_after(first)
        done = {each["task"] for each in first}
        total = sum(map(self.value, first))
        total -= sum(t["unassigned_cost"] for name, t in self.tasks.items() if name not in done)
        for fails in itertools.product([False, True], repeat=len(first)):
            chance = self.chance(first, fails)
            if chance > 0.0:
                failed = [each for each, fail in zip(first, fails, strict=True) if fail]
                total += chance * max(self.gain(*each) for each in self.answers(first, failed))
        return total


def _with_rescues_in_words(document: Document) -> Document:
    tasks = [
        {"minimum_collateral": 0, "required": False, "unassigned_cost": 0} | task | {"claims": _claims(task)}
        for task in document["tasks"]
    ]
    work = {task["id"]: task.get("work", {}) for task in tasks}
    offers = []
    for number, each in enumerate(document["offers"]):
        claims = next(task["claims"] for task in tasks if task["id"] == each["task"])
        plain = {"stage": 1, "collateral": 0, "duration": 0, "work": work[each["task"]]} | each
        operators = [each["operator"]] if "operator" in each else [claim["operator"] for claim in claims]
        offers += [plain | {"id": f"{number}", "operator": name} for name in operators]
    limits = []
    for limit in document["risk"]:
        scopes = [limit["of"]]
        if limit["of"] == "operator":
            scopes = [{"operator": each["id"]} for each in document["operators"]]
        limits += [limit | {"of": scope} for scope in scopes]
    held = [{"work": {}} | each for each in document["commitments"]]
    changed = {"tasks": tasks, "offers": offers, "risk": limits, "commitments": held}
    return document | changed | {"terms": document.get("terms", {})}


def is_listed(plan: Any) -> bool:
    """Whether a plan is about every outcome with its exact probability, as brute force is."""
    listed = ("with their exact probabilities", "the tree holds every path")
    return any(each in note for note in plan.provenance.notes for each in listed)


def best_with_rescues(document: Document) -> float | None:
    """Value of the best policy of a round with second-stage offers; ``None`` where none keeps the limits.

    Raises
    ------
    Unanswered
        The round asks for more than is tried here.
    """
    rescues = sum(each.get("stage", 1) == 2 for each in document["offers"])
    priced = document.get("objective", {}).get("risk_weight", 0)
    if not _is_plain_money(document) or priced or rescues > 4 or len(document["tasks"]) > 4:
        raise Unanswered
    if any(limit.get("calibrate") for limit in document["risk"]):
        raise Unanswered
    if not rescues and any(limit["measure"] != "expected" for limit in document["risk"]):
        raise Unanswered  # a round of one stage measures its tails on a sample
    return RescueOracle(document).best()


def best_with_periods(document: Document) -> float | None:
    """Value of the best policy of a round with periods; ``None`` where none keeps the limits.

    Raises
    ------
    Unanswered
        The round asks for what the oracle knows nothing of, or for more than is tried here.
    """
    parts = [document, *document["periods"]]
    terms = document.get("terms", {})
    resources = {
        r for c in (*document["coprocessors"], *document["operators"]) for r in c.get("capacity", {})
    }
    several = any(len(_claims(task)) > 1 for part in parts for task in part["tasks"])
    scopes = [limit["of"] for limit in document["risk"]]
    if several or len(resources) > 1 or not _is_plain_money(document) or any(s != "network" for s in scopes):
        raise Unanswered
    if any(limit["measure"] != "expected" for limit in document["risk"]):
        raise Unanswered
    ways = 1.0
    for part in parts:
        for task in part["tasks"]:
            mine = [e for k in ("offers", "self_execution") for e in part[k] if e["task"] == task["id"]]
            ways *= 1 + 2 * len(mine)
    if ways > MOST_POLICIES:
        raise Unanswered
    on_success = terms.get("bid_paid") == "on_success"
    share = terms.get("collateral_split", {}).get("operator", 0.0) * terms.get("collateral_rate", 1)
    made = document | {"terms": {"collateral_split": {"operator": share}}}
    made |= _in_words(document, resources, on_success=on_success)
    made["periods"] = [
        period | _in_words(period, resources, on_success=on_success) for period in document["periods"]
    ]
    for name in ("coprocessors", "operators"):
        made[name] = [each | _renamed(each, "capacity", resources) for each in document[name]]
    made["commitments"] = [each | _renamed(each, "work", resources) for each in document["commitments"]]
    return horizon_oracle.best_policy(made)


def _in_words(part: Document, resources: set[str], *, on_success: bool) -> Document:
    tasks = [task | _claims(task)[0] | _renamed(task, "work", resources) for task in part["tasks"]]
    offers = []
    for each in part["offers"]:
        bid = each["bid"] * (each["success_probability"] if on_success else 1)
        offers.append(each | {"bid": bid} | _renamed(each, "work", resources))
    return {"tasks": tasks, "offers": offers}


def _renamed(each: Document, name: str, resources: set[str]) -> Document:
    """Amounts of the only limited resource, as the oracle calls it."""
    if name not in each:
        return {}
    limited = [amount for resource, amount in each[name].items() if resource in resources]
    return {name: {"w": limited[0]} if limited else {}}
