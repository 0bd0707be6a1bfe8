"""Rounds with later periods, solved by trying every policy that uses what it has seen of its own choices.

Reads the JSON document and nothing of the package. A policy is a decision at every information state: the
period, its amounts, and the outcomes of those offers that were chosen and are released. So the outcomes of
offers that nobody chose are not there to be used.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, replace

from hypothesis import strategies as st

EPSILON = 1e-9


@dataclass(frozen=True)
class Held:
    """Something that was chosen or committed: its terms, when it was, and how it ended, if it has."""

    offer: tuple
    coprocessor: str | None
    operator: str
    collateral: float
    slashing: float
    p: float
    work: float
    since: float
    duration: float
    deadline: float
    until: float
    committed: bool = False
    succeeded: bool | None = None


def best_policy(document: dict) -> float | None:
    """Value of the best policy; ``None`` where none keeps every limit."""
    return Oracle(document).value(None, document, ())


class Oracle:
    def __init__(self, document: dict) -> None:
        self.document = document
        self.coprocessors = {each["id"]: each for each in document["coprocessors"]}
        self.operators = {each["id"]: each for each in document["operators"]}
        self.split = document.get("terms", {}).get("collateral_split", {}).get("operator", 0.0)
        self.budget = min((each["budget"] for each in document.get("risk", [])), default=math.inf)
        self.start = tuple(self.commitment(each) for each in document.get("commitments", []))

    def commitment(self, each: dict) -> Held:
        task = next(t for t in self.document["tasks"] if t["id"] == each["task"])
        executor = each["executor"] if each["executor"] in self.coprocessors else None
        return Held(
            ("commitment", each["id"]),
            executor,
            each["operator"],
            each.get("collateral", 0.0),
            task.get("slashing", 0.0),
            each["success_probability"],
            each.get("work", {}).get("w", 0.0),
            -math.inf,
            0.0,
            math.inf,
            each.get("release_at", math.inf),
            committed=True,
        )

    def value(self, period: str | None, node: dict, past: tuple[Held, ...]) -> float | None:
        """Best expected value from a node on, its amounts being numbers."""
        if period is None:
            past = self.start
        now = node.get("now", 0.0) if period is None else node["at"]
        best: float | None = None
        committed = (
            {each["task"] for each in self.document.get("commitments", [])} if period is None else set()
        )
        tasks = [task for task in node.get("tasks", []) if task["id"] not in committed]
        choices = [[None, *self.options(period, node, task, now)] for task in tasks]
        for combination in itertools.product(*choices):
            gain = 0.0
            added = []
            feasible = True
            for task, choice in zip(tasks, combination, strict=True):
                if choice is None:
                    feasible &= not task.get("required", False)
                    gain -= task.get("unassigned_cost", 0.0)
                else:
                    gain += choice[0]
                    added.append(choice[1])
            if not feasible or not self.fits(now, past, added):
                continue
            later = self.after(period, past + tuple(added))
            if later is not None and (best is None or gain + later > best):
                best = gain + later
        return best

    def options(self, period: str | None, node: dict, task: dict, now: float) -> list[tuple[float, Held]]:
        found = [
            self.option(period, task, offer, now, offer["coprocessor"], offer.get("bid", 0.0))
            for offer in node.get("offers", [])
            if offer["task"] == task["id"]
        ]
        found += [
            self.option(period, task, own, now, None, own.get("cost", 0.0))
            for own in node.get("self_execution", [])
            if own["task"] == task["id"]
        ]
        return [each for each in found if each is not None]

    def option(
        self, period: str | None, task: dict, offer: dict, now: float, coprocessor: str | None, paid: float
    ) -> tuple[float, Held] | None:
        p, r, s = offer["success_probability"], task.get("reward", 0.0), task.get("slashing", 0.0)
        collateral = offer.get("collateral", 0.0)
        deadline = task.get("deadline", math.inf)
        if coprocessor is not None:
            serial = self.coprocessors[coprocessor].get("serial", False)
            if collateral < task.get("minimum_collateral", 0.0):
                return None
            if serial and deadline < max(now, self.coprocessors[coprocessor].get("free_at", now)):
                return None
        gain = r * p - paid - s * (1 - p) + self.split * collateral * (1 - p)
        duration = offer.get("duration", 0.0)
        work = offer.get("work", task.get("work", {})).get("w", 0.0)
        key = (period, task["id"], coprocessor, offer.get("id"))
        held = Held(
            key,
            coprocessor,
            task["operator"],
            collateral,
            s,
            p,
            work,
            now,
            duration,
            deadline,
            now + duration,
        )
        return gain, held

    def fits(self, now: float, past: tuple[Held, ...], added: list[Held]) -> bool:
        everything = [*past, *added]
        held = [each for each in everything if each.succeeded is None]
        for name, each in self.coprocessors.items():
            mine = [h for h in everything if h.coprocessor == name]
            room = each.get("capacity", {}).get("w", math.inf)
            if over(room, [(h, h.work) for h in mine if h.succeeded is None]):
                return False
            free = each.get("free_collateral", math.inf)
            locked = sum(h.collateral for h in mine if not h.committed and h.succeeded is not True)
            back = sum(h.collateral for h in mine if h.committed and h.succeeded is True)
            if locked > max(free + back, 0) + slack(locked, free, back) and any(
                h.coprocessor == name and h.collateral for h in added
            ):
                return False
            if each.get("serial") and not in_time(each.get("free_at", -math.inf), mine):
                return False
        for name, each in self.operators.items():
            exposed = [(h, h.slashing) for h in everything if h.operator == name and h.succeeded is not True]
            if over(each.get("stake", math.inf), exposed):
                return False
            room = each.get("capacity", {}).get("w", math.inf)
            if over(room, [(h, h.work) for h in held if h.operator == name and h.coprocessor is None]):
                return False
        return not over(self.budget, [(h, h.slashing * (1 - h.p)) for h in held])

    def after(self, period: str | None, past: tuple[Held, ...]) -> float | None:
        """Expected best value of the periods that follow."""
        total = 0.0
        for each in self.document.get("periods", []):
            if each.get("parent") != period or each.get("probability", 1.0) == 0.0:
                continue
            released = [i for i, h in enumerate(past) if h.succeeded is None and h.until <= each["at"]]
            for chance, outcome in self.outcomes([past[i] for i in released]):
                seen = list(past)
                for i, good in zip(released, outcome, strict=True):
                    seen[i] = replace(seen[i], succeeded=good)
                for likely, node in amounts(each):
                    value = self.value(each["id"], node, tuple(seen))
                    if value is None:
                        return None
                    total += each.get("probability", 1.0) * chance * likely * value
        return total

    def outcomes(self, released: list[Held]):
        """Joint outcomes of what is released together: independent but for outages of coprocessors."""
        names = sorted({h.coprocessor for h in released if h.coprocessor is not None})
        rates = [self.coprocessors[name].get("outage_probability", 0.0) for name in names]
        chances: dict[tuple, float] = {}
        for out in itertools.product((False, True), repeat=len(names)):
            weight = math.prod(q if o else 1 - q for q, o in zip(rates, out, strict=True))
            down, rate = dict(zip(names, out, strict=True)), dict(zip(names, rates, strict=True))
            for outcome in itertools.product((False, True), repeat=len(released)):
                chance = weight
                for h, good in zip(released, outcome, strict=True):
                    q = rate.get(h.coprocessor, 0.0)
                    p = 0.0 if down.get(h.coprocessor) else h.p / (1 - q)
                    chance *= p if good else 1 - p
                chances[outcome] = chances.get(outcome, 0.0) + chance
        return [(chance, outcome) for outcome, chance in chances.items() if chance > 0.0]


def slack(*amounts: float) -> float:
    """What rounding may cost; whole amounts of Python are exact, of any size."""
    return 0 if all(isinstance(each, int) for each in amounts) else EPSILON


def over(limit: float, taken: list[tuple[Held, float]]) -> bool:
    """Whether a limit is exceeded by more than what the commitments alone take of it."""
    alone = sum(amount for held, amount in taken if held.committed)
    return sum(amount for _, amount in taken) > max(limit, alone) + EPSILON


def in_time(free_at: float, jobs: list[Held]) -> bool:
    """Whether every job meets its deadline, by the demand of every window."""
    timed = [h for h in jobs if math.isfinite(h.deadline) and not h.committed]
    for begin in {max(h.since, free_at) for h in timed}:
        for end in {h.deadline for h in timed}:
            demand = [h.duration for h in timed if max(h.since, free_at) >= begin and h.deadline <= end]
            if demand and sum(demand) > end - begin + EPSILON:
                return False
    return True


def amounts(period: dict):
    """Every way in which the random amounts of a period turn out, with its probability."""
    places = [
        ("tasks", i, name) for i, t in enumerate(period.get("tasks", [])) for name in ("reward", "slashing")
    ]
    places += [("offers", i, "bid") for i in range(len(period.get("offers", [])))]
    laws = []
    for kind, i, name in places:
        amount = period[kind][i].get(name, 0.0)
        if isinstance(amount, dict):
            laws.append(list(zip(amount["values"], amount["probabilities"], strict=True)))
        else:
            laws.append([(amount, 1.0)])
    for way in itertools.product(*laws):
        node = {**period, **{k: [dict(e) for e in period.get(k, [])] for k in ("tasks", "offers")}}
        for (kind, i, name), (amount, _) in zip(places, way, strict=True):
            node[kind][i][name] = amount
        likely = math.prod(chance for _, chance in way)
        if likely > 0.0:
            yield likely, node


#: Collateral as a ledger in wei has it: next to some amounts others are nothing to a solver.
FAR_APART = (1, 2, 3, 10**9, 5 * 10**17, 10**18, 2 * 10**18)


@st.composite
def rounds_far_apart(draw: st.DrawFn) -> dict:
    """Rounds as `staged_rounds` whose collateral is 1 here and 1e18 there."""
    document = draw(staged_rounds())
    document.pop("terms", None)
    for each in document["coprocessors"]:
        each["free_collateral"] = draw(st.sampled_from((-1, 0, *FAR_APART)))
    for node in (document, *document.get("periods", [])):
        for each in node.get("offers", []):
            each["collateral"] = draw(st.sampled_from(FAR_APART))
        for each in node.get("tasks", []):
            each.pop("minimum_collateral", None)
    for each in document.get("commitments", []):
        if "collateral" in each:
            each["collateral"] = draw(st.sampled_from((0, *FAR_APART)))
    return document


@st.composite
def staged_rounds(draw: st.DrawFn) -> dict:
    """Tiny rounds of two or three decisions with whatever the format allows for them."""
    coprocessors = []
    for name in ("cp-1", "cp-2")[: draw(st.integers(1, 2))]:
        each = {"id": name, "free_collateral": draw(st.integers(-2, 6))}
        if draw(st.booleans()):
            each["capacity"] = {"w": draw(st.integers(1, 4))}
        if draw(st.integers(0, 2)) == 0:
            each["outage_probability"] = 0.25
        if draw(st.integers(0, 2)) == 0:
            each |= {"serial": True, "free_at": draw(st.sampled_from([-5, 10, 40]))}
        coprocessors.append(each)
    operator = {"id": "op"} | ({"stake": draw(st.integers(2, 10))} if draw(st.booleans()) else {})
    document = {
        "format": "bondwork.round/1",
        "operators": [operator],
        "coprocessors": coprocessors,
        "terms": {"collateral_split": {"burned": 0.5, "operator": 0.5}} if draw(st.booleans()) else {},
        **draw(_decisions(coprocessors, 0, random=False)),
        "periods": [],
    }
    if draw(st.integers(0, 3)) == 0:
        document["risk"] = [{"measure": "expected", "budget": draw(st.integers(0, 4))}]
    if draw(st.integers(0, 2)) == 0:
        document["tasks"].append({"id": "old", "operator": "op", "slashing": draw(st.integers(0, 9))})
        document["commitments"] = [
            {
                "id": "k",
                "task": "old",
                "operator": "op",
                "executor": "cp-1",
                "collateral": draw(st.integers(0, 3)),
                "success_probability": 0.5,
                "release_at": draw(st.sampled_from([0, 30, 60, 200])),
                "work": {"w": draw(st.integers(0, 5))},
            }
        ]
    first = ["a", "b"][: draw(st.integers(1, 2))]
    for name in first:
        chance = 1.0 if len(first) == 1 else {"a": 0.25, "b": 0.75}[name]
        document["periods"].append(
            {"id": name, "at": 30, "probability": chance, **draw(_decisions(coprocessors, 30, random=True))}
        )
    if draw(st.booleans()):
        document["periods"].append(
            {"id": "c", "parent": "a", "at": 60, **draw(_decisions(coprocessors, 60, random=False))}
        )
    return document


@st.composite
def _decisions(draw: st.DrawFn, coprocessors: list[dict], now: float, *, random: bool) -> dict:
    tasks, offers, own = [], [], []
    for number in range(draw(st.integers(1, 2))):
        task = {
            "id": f"t{number}",
            "operator": "op",
            "reward": draw(st.integers(0, 9)),
            "slashing": draw(st.integers(0, 4)),
            "work": {"w": draw(st.integers(0, 2))},
        }
        if random and draw(st.integers(0, 2)) == 0:
            task["reward"] = {"law": "values", "values": [1, 9], "probabilities": [0.5, 0.5]}
        if random and draw(st.integers(0, 4)) == 0:
            task["slashing"] = {"law": "values", "values": [0, 5], "probabilities": [0.75, 0.25]}
        if draw(st.integers(0, 3)) == 0:
            task["unassigned_cost"] = 1
        if draw(st.integers(0, 9)) == 0:
            task["required"] = True
        if draw(st.booleans()):
            task["deadline"] = now + draw(st.sampled_from([20, 50, 90]))
        tasks.append(task)
        for each in coprocessors:
            if draw(st.integers(0, 3)) == 0:
                continue
            offers.append(
                {
                    "task": task["id"],
                    "coprocessor": each["id"],
                    "bid": draw(st.integers(0, 2)),
                    "collateral": draw(st.integers(0, 4)),
                    "success_probability": draw(st.sampled_from([0.5, 0.75])),
                    "duration": draw(st.sampled_from([0, 20, 45])),
                }
            )
        if draw(st.integers(0, 4)) == 0:
            own.append({"task": task["id"], "operator": "op", "cost": 1, "success_probability": 1.0})
    return {"tasks": tasks, "offers": offers, "self_execution": own}
