"""What a round is worth, by trying every choice: a second opinion that shares nothing with the package.

Reads the JSON document itself and reckons in exact integers, so that its answers carry no rounding. Written
from MODEL.md: sections 1, 2.1 to 2.6, 2.8 to 2.10 and the expected loss of section 5. What commitments take
never makes a round infeasible: a limit that they exceed leaves nothing. Outcomes are independent; those of
several executors of a task are gone through one by one. Offers of the second stage are never chosen.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cache
from itertools import combinations, product
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

Document = dict[str, Any]


def exact(value: float | str | None, absent: float = 0) -> Fraction:
    """Return a JSON amount as it is meant: a decimal string by its digits, a number by its binary value."""
    return Fraction(absent if value is None else value)


def probability(value: float | Mapping[str, float]) -> Fraction:
    return exact(value["mean"]) if isinstance(value, dict) else exact(value)


@dataclass(frozen=True)
class Choice:
    """One way to do a task: who is rewarded, who works, what it brings and what it takes of which limit."""

    offer: str
    task: str
    operator: str
    executor: str
    gain: Fraction
    uses: dict[str, Fraction]
    p: Fraction
    cost: Fraction

    @property
    def key(self) -> tuple[str, str, str]:
        return self.offer, self.operator, self.executor


@dataclass(frozen=True)
class Team:
    """Executors who do a task together: what they bring, and what they take of which limit."""

    choices: tuple[Choice, ...]
    gain: Fraction
    uses: dict[str, Fraction]


@dataclass(frozen=True)
class Best:
    """The largest objective and one set of choices that has it."""

    objective: Fraction
    choices: tuple[Choice, ...]


@dataclass
class Limit:
    """An upper bound, what commitments hold already counted in ``used``."""

    bound: Fraction
    used: Fraction = field(default_factory=Fraction)

    @property
    def left(self) -> Fraction:
        """What may still be taken: nothing where the commitments alone take more than there is."""
        return max(self.bound - self.used, Fraction())


class Oracle:
    """A round as lists of choices and named limits, for enumeration.

    ``below_minimum`` and ``too_late`` count the triples that fail on collateral and on time.
    """

    def __init__(self, document: Document) -> None:
        self.document = document
        self.tasks: dict[str, Document] = {task["id"]: task for task in document["tasks"]}
        self.operators: dict[str, Document] = {v["id"]: v for v in document.get("operators", [])}
        self.coprocessors: dict[str, Document] = {c["id"]: c for c in document.get("coprocessors", [])}
        self.committed = {held["task"] for held in document.get("commitments", [])}
        self.claims = {
            (name, claim["operator"]): (exact(claim.get("reward")), exact(claim.get("slashing")))
            for name, task in self.tasks.items()
            for claim in task.get("claims", [task])
        }
        self.below_minimum = self.too_late = 0
        self.choices = self._eligible()
        self.limits = self._limits()
        self._hold_commitments()
        self.required = {
            name for name, t in self.tasks.items() if t.get("required") and name not in self.committed
        }
        self.cost = {
            name: exact(t.get("unassigned_cost"))
            for name, t in self.tasks.items()
            if name not in self.committed
        }

    # what can be done together

    def teams(self, task: str) -> list[Team]:
        """List every way to do a task: executors of one operator, as many as quorum and replicas allow."""
        least, most = (self.tasks[task].get(word, 1) for word in ("quorum", "replicas"))
        mine = [choice for choice in self.choices if choice.task == task]
        sets = [some for size in range(least, most + 1) for some in combinations(mine, size)]
        return [
            self.team(some)
            for some in sets
            if len({c.executor for c in some}) == len(some) and len({c.operator for c in some}) == 1
        ]

    def team(self, choices: tuple[Choice, ...]) -> Team:
        """Put choices of one task together."""
        first, quorum = choices[0], self.tasks[choices[0].task].get("quorum", 1)
        if len(choices) == quorum == 1:
            return Team(choices, first.gain, first.uses)
        reward, slashing = self.claims[first.task, first.operator]
        success, blame = chances(tuple(c.p for c in choices), quorum)
        uses: dict[str, Fraction] = Counter()
        for choice, fault in zip(choices, blame, strict=True):
            for label, amount in choice.uses.items():
                if not label.startswith(("expected loss", "stake")):
                    uses[label] += amount
            if choice.executor in self.coprocessors:
                uses[f"expected loss of {choice.executor}"] = slashing * fault
        uses |= {f"expected loss of {who}": slashing * (1 - success) for who in ("network", first.operator)}
        uses[f"stake of {first.operator}"] = slashing
        gain = reward * success - slashing * (1 - success) - sum(c.cost for c in choices)
        return Team(choices, gain, dict(uses))

    # what can be chosen

    def _eligible(self) -> list[Choice]:
        possible = [*self._delegated(), *self._self_executed()]
        executors = Counter((choice.task, choice.operator) for choice in possible)
        return [c for c in possible if executors[c.task, c.operator] >= self.tasks[c.task].get("quorum", 1)]

    def _delegated(self) -> Iterator[Choice]:
        for offer in self.document.get("offers", []):
            task, c = self.tasks[offer["task"]], offer["coprocessor"]
            named = offer.get("operator")
            id_ = offer.get("id") or "/".join(filter(None, (offer["task"], c, named)))
            for operator in [v for a, v in self.claims if a == offer["task"] and named in (None, v)]:
                thin = exact(offer.get("collateral")) < exact(task.get("minimum_collateral"))
                late = self._is_late(task, self.coprocessors[c])
                self.below_minimum += thin
                self.too_late += late
                if (
                    offer.get("stage", 1) == 1
                    and not thin
                    and not late
                    and offer["task"] not in self.committed
                ):
                    yield self._choice(id_, task, operator, c, offer)

    def _self_executed(self) -> Iterator[Choice]:
        for own in self.document.get("self_execution", []):
            task, v = self.tasks[own["task"]], own["operator"]
            if own["task"] not in self.committed:
                yield self._choice(f"{own['task']}/{v}", task, v, v, own)

    def _start(self, coprocessor: Document) -> Fraction:
        now = exact(self.document.get("now"))
        return max(now, exact(coprocessor["free_at"]) if coprocessor.get("free_at") is not None else now)

    def _is_late(self, task: Document, coprocessor: Document) -> bool:
        if not coprocessor.get("serial") or task.get("deadline") is None:
            return False
        return exact(task["deadline"]) < self._start(coprocessor)

    def _choice(self, id_: str, task: Document, v: str, executor: str, offer: Document) -> Choice:
        reward, slashing = self.claims[task["id"], v]
        p = probability(offer["success_probability"])
        terms = self.document.get("terms", {})
        collateral = exact(offer.get("collateral"))
        share = exact(terms.get("collateral_split", {}).get("operator"))
        back = share * exact(terms.get("collateral_rate"), 1) * collateral * (1 - p)
        paid = exact(offer.get("bid", offer.get("cost")))
        delegated = executor in self.coprocessors
        if delegated and terms.get("bid_paid") == "on_success":
            paid *= p
        uses = dict(self._losses(v, executor, slashing, p))
        work = offer.get("work")
        for resource, amount in (task.get("work", {}) if work is None else work).items():
            uses[f"capacity {resource} of {executor}"] = exact(amount)
        if delegated:
            uses[f"collateral of {executor}"] = collateral
            if self.coprocessors[executor].get("serial") and task.get("deadline") is not None:
                uses[f"due {executor}"] = exact(task["deadline"])  # replaced once all deadlines are known
                uses[f"duration {executor}"] = exact(offer.get("duration"))
        gain = reward * p - paid - slashing * (1 - p) + back
        return Choice(id_, task["id"], v, executor, gain, uses, p, paid - back)

    def _losses(
        self, v: str, executor: str, slashing: Fraction, p: Fraction
    ) -> Iterator[tuple[str, Fraction]]:
        yield f"stake of {v}", slashing
        for who in {"network", v, executor}:
            yield f"expected loss of {who}", slashing * (1 - p)

    # what limits it

    def _limits(self) -> dict[str, Limit]:
        limits: dict[str, Limit] = {}
        for name, owner in (self.operators | self.coprocessors).items():
            for resource, amount in owner.get("capacity", {}).items():
                limits[f"capacity {resource} of {name}"] = Limit(exact(amount))
        for word, field_, owners in (
            ("stake", "stake", self.operators),
            ("collateral", "free_collateral", self.coprocessors),
        ):
            for name, owner in owners.items():
                if owner.get(field_) is not None:
                    limits[f"{word} of {name}"] = Limit(exact(owner[field_]))
        for risk in self.document.get("risk", []):
            if risk["measure"] == "expected":
                for member in self._members(risk.get("of", "network")):
                    label, budget = f"expected loss of {member}", exact(risk["budget"])
                    limits[label] = Limit(min(budget, limits.get(label, Limit(budget)).bound))
        self._add_deadlines(limits)
        return limits

    def _members(self, of: str | dict[str, str]) -> list[str]:
        if isinstance(of, dict):
            return list(of.values())
        return {"network": ["network"], "operator": list(self.operators)}.get(of, list(self.coprocessors))

    def _add_deadlines(self, limits: dict[str, Limit]) -> None:
        due = {
            (c.executor, c.uses[f"due {c.executor}"]) for c in self.choices if f"due {c.executor}" in c.uses
        }
        for c, deadline in due:
            limits[deadline_label(c, deadline)] = Limit(deadline - self._start(self.coprocessors[c]))
        for choice in self.choices:
            deadline = choice.uses.pop(f"due {choice.executor}", None)
            duration = choice.uses.pop(f"duration {choice.executor}", None)
            if deadline is not None and duration is not None:
                for c, each in due:
                    if c == choice.executor and deadline <= each:
                        choice.uses[deadline_label(c, each)] = duration

    def _hold_commitments(self) -> None:
        teams: dict[tuple[str, str], list[Choice]] = {}
        for number, held in enumerate(self.document.get("commitments", [])):
            v, executor = held["operator"], held["executor"]
            slashing, p = self.claims[held["task"], v][1], probability(held["success_probability"])
            uses = dict(self._losses(v, executor, slashing, p))
            for resource, amount in held.get("work", {}).items():
                uses[f"capacity {resource} of {executor}"] = exact(amount)
            zero = Fraction()
            one = Choice(str(number), held["task"], v, executor, zero, uses, p, zero)
            teams.setdefault((held["task"], v), []).append(one)
        for team in teams.values():
            for label, amount in self._held(team).items():
                if label in self.limits:
                    self.limits[label].used += amount

    def _held(self, choices: list[Choice]) -> dict[str, Fraction]:
        """What commitments of one claim take together; where the quorum is more than there are, all must."""
        quorum = min(self.tasks[choices[0].task].get("quorum", 1), len(choices))
        if len(choices) == 1:
            return choices[0].uses
        slashing = self.claims[choices[0].task, choices[0].operator][1]
        p = tuple(c.p for c in choices)
        success, _ = chances(p, quorum)
        uses: dict[str, Fraction] = Counter()
        for choice in choices:
            for label, amount in choice.uses.items():
                if label.startswith("capacity"):
                    uses[label] += amount
        for executor in {c.executor for c in choices} & set(self.coprocessors):
            own = [number for number, c in enumerate(choices) if c.executor == executor]
            uses[f"expected loss of {executor}"] = slashing * fault_of_any(p, quorum, own)
        operator = choices[0].operator
        uses |= {f"expected loss of {who}": slashing * (1 - success) for who in ("network", operator)}
        uses[f"stake of {operator}"] = slashing
        return dict(uses)

    # answers

    def best(
        self, limits: Collection[str] | None = None, required: Collection[str] | None = None
    ) -> Best | None:
        """Try all; ``None`` where nothing is possible. Of limits and required tasks those named hold."""
        held = {label: limit for label, limit in self.limits.items() if limits is None or label in limits}
        must = self.required if required is None else set(required)
        row = {label: number for number, label in enumerate(held)}
        teams = {name: self.teams(name) for name in self.cost}
        every = [team for some in teams.values() for team in some]
        scale = [
            _denominator(
                [
                    held[label].left,
                    *(team.uses[label] for team in every if label in team.uses),
                ]
            )
            for label in row
        ]
        room = [int(held[label].left * scale[i]) for label, i in row.items()]
        money = _denominator([*self.cost.values(), *(team.gain for team in every)])
        options: list[Ways] = []
        for name, cost in self.cost.items():
            ways: Ways = [
                (
                    int(team.gain * money),
                    [
                        (row[label], int(a * scale[row[label]]))
                        for label, a in team.uses.items()
                        if label in row
                    ],
                    team,
                )
                for team in teams[name]
            ]
            if name not in must:
                ways.append((int(-cost * money), [], None))
            options.append(ways)
        found = _search(options, room)
        if found is None:
            return None
        value, taken = found
        return Best(
            Fraction(value, money), tuple(c for team in taken if team is not None for c in team.choices)
        )

    def conflicts(self, labels: Iterable[str]) -> bool:
        """Whether limits, named as a plan's conflict names them, cannot hold together."""
        names = set(labels)
        required = {name for name in self.required if f"task {name} required" in names}
        known = set(self.limits) | {f"task {name} required" for name in self.required}
        assert names <= known, f"a conflict names {names - known}, which are no limits of the round"
        return self.best(names & set(self.limits), required) is None

    def choice(self, offer: str, operator: str, executor: str) -> Choice:
        """Find an eligible choice by what a plan says of it."""
        (found,) = [c for c in self.choices if c.key == (offer, operator, executor)]
        return found

    def value(self, taken: Iterable[Choice]) -> Fraction:
        """Objective of a set of choices, a team a task, that keeps every limit."""
        by_task: dict[str, list[Choice]] = {}
        wanted = [choice.key for choice in taken]
        assert len(set(wanted)) == len(wanted), "an offer is chosen twice"
        for choice in self.choices:
            if choice.key in wanted:
                by_task.setdefault(choice.task, []).append(choice)
        chosen = []
        for task, choices in by_task.items():
            known = [team for team in self.teams(task) if team.choices == tuple(choices)]
            assert known, f"task {task} has executors that cannot do it together"
            chosen += known
        assert self.required <= set(by_task), "a required task is left"
        for label, limit in self.limits.items():
            used = sum(team.uses.get(label, 0) for team in chosen)
            assert used <= limit.left, f"{label}: {used} of {limit.left}"
        left = sum(cost for name, cost in self.cost.items() if name not in by_task)
        return sum((team.gain for team in chosen), Fraction()) - left


def deadline_label(coprocessor: str, deadline: Fraction) -> str:
    return f"deadline {float(deadline):.15g} of {coprocessor}"


@cache
def chances(p: tuple[Fraction, ...], quorum: int) -> tuple[Fraction, list[Fraction]]:
    """Chance that a quorum succeeds, and that it does not and each one fails: outcome by outcome."""
    success, blame = Fraction(), [Fraction() for _ in p]
    for outcome in product((True, False), repeat=len(p)):
        chance = math.prod(
            (each if works else 1 - each for each, works in zip(p, outcome, strict=True)), start=Fraction(1)
        )
        if sum(outcome) >= quorum:
            success += chance
            continue
        for number, works in enumerate(outcome):
            blame[number] += 0 if works else chance
    return success, blame


def fault_of_any(p: tuple[Fraction, ...], quorum: int, own: Collection[int]) -> Fraction:
    """Chance that a quorum does not succeed and that at least one of some fails: outcome by outcome."""
    fault = Fraction()
    for outcome in product((True, False), repeat=len(p)):
        if sum(outcome) < quorum and not all(outcome[number] for number in own):
            fault += math.prod(
                (each if works else 1 - each for each, works in zip(p, outcome, strict=True)),
                start=Fraction(1),
            )
    return fault


def _denominator(values: Iterable[Fraction]) -> int:
    return math.lcm(*(value.denominator for value in values))


Ways = list[tuple[int, list[tuple[int, int]], Team | None]]


def _search(options: list[Ways], room: list[int]) -> tuple[int, list[Team | None]] | None:
    """Try each way of each task in turn. Only what already breaks a limit is cut off: nothing gives back."""
    best: tuple[int, list[Team | None]] | None = None
    taken: list[Team | None] = []

    def descend(depth: int, value: int) -> None:
        nonlocal best
        if depth == len(options):
            if best is None or value > best[0]:
                best = value, taken.copy()
            return
        for gain, uses, team in options[depth]:
            if any(room[i] < amount for i, amount in uses):
                continue
            for i, amount in uses:
                room[i] -= amount
            taken.append(team)
            descend(depth + 1, value + gain)
            taken.pop()
            for i, amount in uses:
                room[i] += amount

    descend(0, 0)
    return best
