"""A round's JSON document as plain records, amounts as exact fractions of the decimals that were written."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

Document = dict[str, Any]

#: A moment of time, or never.
Time = Fraction | float

ZERO, ONE = Fraction(), Fraction(1)


def exact(value: Any, absent: int = 0) -> Fraction:
    """Return a number as the decimals say that were written for it."""
    return Fraction(str(absent if value is None else value))


@dataclass(frozen=True, eq=False)
class Work:
    """One executor at work on one task: an offer that was chosen, or a commitment.

    ``cost`` is what is paid, less the operator's share of the collateral, as expected. ``until``: a
    period from then on releases it. ``key`` names its outcome, which is drawn once.
    """

    key: tuple[Any, ...]
    executor: str
    own: bool
    p: Fraction
    collateral: Fraction
    work: tuple[tuple[str, Fraction], ...]
    since: Fraction
    until: Time
    duration: Fraction
    deadline: Time
    cost: Fraction
    committed: bool = False


@dataclass(frozen=True, eq=False)
class Deal:
    """A claim that is decided: a team and who rescued it, or one who took it up at a second stage."""

    point: str | None
    task: str
    operator: str
    reward: Fraction
    slashing: Fraction
    quorum: int
    team: tuple[Work, ...]
    rescue: Work | None = None
    committed: bool = False

    @property
    def works(self) -> tuple[Work, ...]:
        return self.team if self.rescue is None else (*self.team, self.rescue)


@dataclass(frozen=True)
class Task:
    """A task of this round or of a period, its amounts as they turned out."""

    id: str
    claims: tuple[tuple[str, Fraction, Fraction], ...]
    unassigned_cost: Fraction
    required: bool
    replicas: int
    quorum: int
    first: tuple[tuple[str, Work], ...]
    second: tuple[tuple[str, Work], ...]

    def stakes(self, operator: str) -> tuple[Fraction, Fraction]:
        """Reward and slashing of an operator's claim."""
        return next((r, s) for v, r, s in self.claims if v == operator)

    def teams(self) -> Iterator[tuple[str, tuple[Work, ...]]]:
        """All sets of executors that may do the task together, and for whom."""
        for operator, _, _ in self.claims:
            mine = [work for v, work in self.first if v == operator]
            for size in range(self.quorum, self.replicas + 1):
                for team in itertools.combinations(mine, size):
                    if len({work.executor for work in team}) == size:
                        yield operator, team


@dataclass(frozen=True)
class Decision:
    """One moment of first stages with what it may decide: this round, or a period with its amounts."""

    point: str | None
    at: Fraction
    tasks: tuple[Task, ...]


class Reader:
    """Reads the parts of a document."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.coprocessors = {each["id"]: each for each in document.get("coprocessors", [])}
        self.operators = {each["id"]: each for each in document.get("operators", [])}
        self.now = exact(document.get("now"))
        terms = document.get("terms", {})
        self.on_success = terms.get("bid_paid") == "on_success"
        self.share = exact(terms.get("collateral_split", {}).get("operator"))
        self.share *= exact(terms.get("collateral_rate"), 1)
        self.committed = {each["task"] for each in document.get("commitments", [])}
        self.periods = [each for each in document.get("periods", []) if self._reached(each)]

    def _reached(self, period: Document) -> bool:
        if exact(period.get("probability"), 1) == 0:
            return False
        above = period.get("parent")
        return above is None or self._reached(
            next(each for each in self.document["periods"] if each["id"] == above)
        )

    def children(self, point: str | None) -> list[Document]:
        return [each for each in self.periods if each.get("parent") == point]

    def root(self) -> Decision:
        return Decision(None, self.now, self._tasks(None, self.document, self.now))

    def decisions(self, period: Document) -> list[tuple[Fraction, Decision]]:
        """Every way in which the random amounts of a period turn out, with its probability."""
        at = exact(period["at"])
        return [
            (likely, Decision(period["id"], at, self._tasks(period["id"], part, at)))
            for likely, part in amounts(period)
        ]

    def commitments(self) -> tuple[Deal, ...]:
        """What is held already, claim by claim. Of fewer than the quorum all must succeed."""
        found: dict[tuple[str, str], list[Work]] = {}
        for each in self.document.get("commitments", []):
            release = each.get("release_at")
            until = math.inf if release is None else exact(release)
            work = Work(
                ("commitment", each["id"]), each["executor"], each["executor"] in self.operators,
                exact(each["success_probability"]), exact(each.get("collateral")),
                _work(each.get("work", {})), self.now, until, ZERO, math.inf, ZERO, committed=True,
            )  # fmt: skip
            found.setdefault((each["task"], each["operator"]), []).append(work)
        deals = []
        for (name, operator), team in found.items():
            task = next(each for each in self.document["tasks"] if each["id"] == name)
            claim = next(c for c in task.get("claims", [task]) if c["operator"] == operator)
            quorum = min(task.get("quorum", 1), len(team))
            deals.append(
                Deal(
                    None, name, operator, exact(claim.get("reward")), exact(claim.get("slashing")), quorum,
                    tuple(team), committed=True,
                )
            )  # fmt: skip
        return tuple(deals)

    def _tasks(self, point: str | None, part: Document, at: Fraction) -> tuple[Task, ...]:
        return tuple(
            self._task(point, part, each, at)
            for each in part.get("tasks", [])
            if point is not None or each["id"] not in self.committed
        )

    def _task(self, point: str | None, part: Document, task: Document, at: Fraction) -> Task:
        claims = tuple(
            (c["operator"], exact(c.get("reward")), exact(c.get("slashing")))
            for c in task.get("claims", [task])
        )
        first: list[tuple[str, Work]] = []
        second: list[tuple[str, Work]] = []
        for number, offer in enumerate(part.get("offers", [])):
            if offer["task"] != task["id"] or not self._possible(task, offer, at):
                continue
            for operator, _, _ in claims:
                if offer.get("operator") in (None, operator):
                    work = self._work((point, number, operator), task, offer, at, offer["coprocessor"])
                    (second if offer.get("stage", 1) == 2 else first).append((operator, work))
        for own in part.get("self_execution", []):
            if own["task"] == task["id"]:
                work = self._work((point, "own", own["operator"], task["id"]), task, own, at, own["operator"])
                first.append((own["operator"], work))
        return Task(
            task["id"], claims, exact(task.get("unassigned_cost")), bool(task.get("required", False)),
            task.get("replicas", 1), task.get("quorum", 1), tuple(first), tuple(second),
        )  # fmt: skip

    def _possible(self, task: Document, offer: Document, at: Fraction) -> bool:
        if exact(offer.get("collateral")) < exact(task.get("minimum_collateral")):
            return False
        coprocessor = self.coprocessors[offer["coprocessor"]]
        if not coprocessor.get("serial") or task.get("deadline") is None:
            return True
        return exact(task["deadline"]) >= max(at, exact(coprocessor.get("free_at", at)))

    def _work(
        self, key: tuple[Any, ...], task: Document, offer: Document, at: Fraction, executor: str
    ) -> Work:
        own = executor in self.operators
        p, collateral = exact(offer["success_probability"]), exact(offer.get("collateral"))
        paid = exact(offer.get("cost") if own else offer.get("bid"))
        if self.on_success and not own:
            paid *= p
        duration = exact(offer.get("duration"))
        named = offer.get("work")
        return Work(
            key, executor, own, p, collateral, _work(task.get("work", {}) if named is None else named),
            at, at + duration, duration,
            math.inf if task.get("deadline") is None or own else exact(task["deadline"]),
            paid - self.share * collateral * (1 - p),
        )  # fmt: skip


def _work(named: Document) -> tuple[tuple[str, Fraction], ...]:
    return tuple((resource, exact(amount)) for resource, amount in sorted(named.items()))


def amounts(period: Document) -> Iterator[tuple[Fraction, Document]]:
    """Every way in which the random amounts of a period turn out, as a document, with its probability."""
    places: list[tuple[Document, str]] = []
    part = {
        **period,
        "tasks": [dict(each) for each in period.get("tasks", [])],
        "offers": [dict(each) for each in period.get("offers", [])],
    }
    for task in part["tasks"]:
        if "claims" in task:
            task["claims"] = [dict(each) for each in task["claims"]]
        places += [(c, name) for c in task.get("claims", [task]) for name in ("reward", "slashing")]
    places += [(offer, "bid") for offer in part["offers"]]
    random = [(where, name, where[name]) for where, name in places if isinstance(where.get(name), dict)]
    laws = [list(zip(law["values"], law["probabilities"], strict=True)) for _, _, law in random]
    for way in itertools.product(*laws):
        for (where, name, _), (amount, _) in zip(random, way, strict=True):
            where[name] = amount
        likely = math.prod((exact(chance) for _, chance in way), start=ONE)
        if likely > 0:
            yield likely, part
