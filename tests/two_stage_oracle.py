"""Tiny rounds with second-stage offers, and their optimum by trying every policy of observed outcomes.

From the JSON document alone: no arrays, formulations or scenarios of the project. Outcomes are independent.
"""

from __future__ import annotations

import itertools
import math
from typing import Any

from hypothesis import strategies as st

Document = dict[str, Any]

#: Feasibility slack; amounts are small and most of them binary fractions.
SLACK = 1e-9


@st.composite
def documents(draw: st.DrawFn, *, risk: bool | None = None) -> Document:
    """One or two tasks, at most three first-stage offers and three rescues, limits that may bind."""
    chance = st.sampled_from([0.25, 0.5, 0.75, 0.9, 1.0])
    small = st.integers(0, 4)
    tasks = [
        {
            "id": f"t{a}",
            "claims": [
                {
                    "operator": v,
                    "reward": float(draw(st.integers(2, 9))),
                    "slashing": float(draw(st.integers(0, 8))),
                }
                for v in draw(st.sampled_from([["v0"], ["v0"], ["v0", "v1"]]))
            ],
            "minimum_collateral": draw(st.sampled_from([0, 0, 2])),
            "deadline": draw(st.sampled_from([None, 5, 8])),
            "required": draw(st.integers(0, 7)) == 0,
            "unassigned_cost": float(draw(st.sampled_from([0, 0, 2]))),
        }
        for a in range(draw(st.integers(1, 2)))
    ]  # fmt: skip
    for task in tasks:
        if task["deadline"] is None:
            del task["deadline"]
    offers: list[Document] = []
    for stage, most in ((1, 3), (2, 3)):
        places = st.tuples(st.sampled_from(tasks), st.sampled_from(["c0", "c1"]))
        for n, (task, c) in enumerate(draw(st.lists(places, min_size=1, max_size=most))):
            offers.append(
                {
                    "id": f"o{stage}{n}",
                    "stage": stage,
                    "task": task["id"],
                    "coprocessor": c,
                    "operator": draw(st.sampled_from([each["operator"] for each in task["claims"]])),
                    "bid": float(draw(small)),
                    "collateral": float(draw(st.integers(1, 4))),
                    "success_probability": draw(chance),
                    "duration": float(draw(st.integers(1, 4))),
                    "work": {"cpu": float(draw(st.integers(1, 3)))},
                }
            )
    document: Document = {
        "format": "bondwork.round/1",
        "operators": [{"id": "v0"}, {"id": "v1"}],
        "coprocessors": [
            {
                "id": c,
                "capacity": {"cpu": float(draw(st.integers(1, 6)))},
                "free_collateral": float(draw(st.integers(2, 9))),
                "serial": draw(st.booleans()),
            }
            for c in ("c0", "c1")
        ],
        "tasks": tasks,
        "offers": offers,
        "terms": draw(
            st.sampled_from(
                [
                    {},
                    {"bid_paid": "on_success"},
                    {"collateral_split": {"burned": 0.25, "operator": 0.5, "rescuer": 0.25, "treasury": 0.0}},
                ]
            )
        ),
    }
    if draw(st.booleans()):
        document["operators"][0]["stake"] = float(draw(st.integers(4, 12)))
    if draw(st.integers(0, 3)) == 0:
        document["self_execution"] = [
            {"task": "t0", "operator": "v0", "cost": 1.0, "success_probability": 0.5}
        ]
    if risk or (risk is None and draw(st.booleans())):
        budget = float(draw(st.integers(1, 8)))
        of = draw(st.sampled_from(["network", {"operator": "v0"}]))
        kind = draw(st.sampled_from(["expected", "cvar", "worst_case", "chance", "mean"]))
        limits: dict[str, Document] = {
            "expected": {"measure": "expected", "budget": budget / 2.0},
            "cvar": {"measure": "cvar", "budget": budget, "level": 0.75},
            "worst_case": {"measure": "worst_case", "budget": budget},
            "chance": {"measure": "chance", "budget": budget, "probability": 0.25},
        }
        if kind == "mean":
            document["objective"] = {"risk_weight": 0.5, "risk_level": 0.75}
        else:
            document["risk"] = [limits[kind] | {"of": of}]
    return document


#: Collateral as a ledger in wei has it: next to some amounts others are nothing to a solver.
FAR_APART = (1, 2, 3, 10**9, 5 * 10**17, 10**18, 2 * 10**18)


@st.composite
def documents_far_apart(draw: st.DrawFn, *, risk: bool | None = None) -> Document:
    """Rounds as `documents` whose collateral is 1 here and 1e18 there."""
    document = draw(documents(risk=risk))
    document["terms"] = {}
    for each in document["offers"]:
        each["collateral"] = draw(st.sampled_from(FAR_APART))
    for each in document["coprocessors"]:
        each["free_collateral"] = draw(st.sampled_from(FAR_APART))
    for each in document["tasks"]:
        each["minimum_collateral"] = 0
    return document


class Oracle:
    """Facts of a document, and the best policy."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.claims = {(t["id"], c["operator"]): c for t in document["tasks"] for c in t["claims"]}
        self.tasks = {t["id"]: t for t in document["tasks"]}
        own = [
            {
                "id": f"{each['task']}/{each['operator']}",
                "stage": 1,
                "task": each["task"],
                "coprocessor": None,
                "operator": each["operator"],
                "bid": each["cost"],
                "collateral": 0.0,
                "success_probability": each["success_probability"],
                "duration": 0.0,
                "work": {},
            }
            for each in document.get("self_execution", [])
        ]
        able = [each for each in document["offers"] if self.enough(each)]
        self.early = [each for each in able if each["stage"] == 1] + own
        self.late = [each for each in able if each["stage"] == 2]
        terms = document["terms"]
        self.on_success = terms.get("bid_paid") == "on_success"
        self.share = terms.get("collateral_split", {}).get("operator", 0.0)
        self.objective = document.get("objective", {"risk_weight": 0.0, "risk_level": 0.5})
        self.limits = document.get("risk", [])
        self.joint = any(limit["measure"] in ("expected", "cvar", "chance") for limit in self.limits)
        self.joint = self.joint or self.objective["risk_weight"] > 0.0

    def enough(self, offer: Document) -> bool:
        return bool(offer["collateral"] >= self.tasks[offer["task"]]["minimum_collateral"])

    def value(self, offer: Document, *, failed: bool = False, left: bool = False) -> float:
        """Expected net reward of an offer; of a rescue after failure, or when the task was left."""
        claim = self.claims[offer["task"], offer["operator"]]
        p, r, s = offer["success_probability"], claim["reward"], claim["slashing"]
        paid = offer["bid"] * (p if self.on_success and offer["coprocessor"] else 1.0)
        value = p * r - (1.0 - p) * s - paid + self.share * offer["collateral"] * (1.0 - p)
        return (
            value + (s if failed else 0.0) + (self.tasks[offer["task"]]["unassigned_cost"] if left else 0.0)
        )

    def fits(self, first: list[Document], over: list[Document], up: list[Document]) -> bool:
        """Whether capacity, collateral, stake and time suffice for both stages."""
        everything = [*first, *over, *up]
        for c in self.document["coprocessors"]:
            mine = [each for each in everything if each["coprocessor"] == c["id"]]
            if sum(each["work"]["cpu"] for each in mine) > c["capacity"]["cpu"] + SLACK:
                return False
            locked, free = sum(each["collateral"] for each in mine), c["free_collateral"]
            # whole amounts of Python are exact, of any size
            exact = isinstance(locked, int) and isinstance(free, int)
            if locked > free + (0 if exact else SLACK):
                return False
            ends = [self.tasks[each["task"]].get("deadline", math.inf) for each in mine]
            for end in ends if c["serial"] else []:
                taken = sum(each["duration"] for each, due in zip(mine, ends, strict=True) if due <= end)
                if taken > end + SLACK:
                    return False
        for v in self.document["operators"]:
            exposed = sum(
                self.claims[each["task"], v["id"]]["slashing"]
                for each in (*first, *up)
                if each["operator"] == v["id"]
            )
            if exposed > v.get("stake", math.inf) + SLACK:
                return False
        return True

    def choices(self) -> list[list[Document]]:
        """Every first stage that keeps its own limits."""
        ways: list[list[Document | None]] = []
        for name, task in self.tasks.items():
            mine = [each for each in self.early if each["task"] == name]
            ways.append([*mine] if task["required"] else [None, *mine])
        found = []
        for way in itertools.product(*ways):
            first = [each for each in way if each is not None]
            if self.fits(first, [], []):
                found.append(first)
        return found

    def answers(
        self, first: list[Document], failed: list[Document]
    ) -> list[tuple[list[Document], list[Document]]]:
        """Every second stage after some of the chosen offers failed."""
        held = {each["task"]: each for each in first}
        ways: list[list[Document | None]] = []
        for name, task in self.tasks.items():
            late = [each for each in self.late if each["task"] == name]
            if name not in held:
                ways.append([None, *([] if task["required"] else late)])
            elif held[name] in failed:
                before = held[name]
                ways.append(
                    [
                        None,
                        *(
                            each
                            for each in late
                            if each["operator"] == before["operator"]
                            and each["coprocessor"] != before["coprocessor"]
                        ),
                    ]
                )
        found = []
        for way in itertools.product(*ways):
            over = [each for each in way if each is not None and each["task"] in held]
            up = [each for each in way if each is not None and each["task"] not in held]
            if self.fits(first, over, up):
                found.append((over, up))
        return found

    def leaves(
        self, failed: list[Document], over: list[Document], up: list[Document], of: object
    ) -> list[tuple[float, float]]:
        """Loss and probability of every outcome of the rescues."""

        def slashing(offer: Document) -> float:
            mine = of == "network" or of == {"operator": offer["operator"]}
            return float(self.claims[offer["task"], offer["operator"]]["slashing"]) if mine else 0.0

        found = []
        for fails in itertools.product([False, True], repeat=len(over) + len(up)):
            loss, chance = sum(map(slashing, failed)), 1.0
            for each, fail in zip((*over, *up), fails, strict=True):
                p = each["success_probability"]
                chance *= 1.0 - p if fail else p
                loss += slashing(each) * (-(not fail) if each in over else fail)
            found.append((loss, chance))
        return found

    def best(self) -> float | None:
        """The best value of all policies; ``None`` where none keeps the limits."""
        found = [self.best_after(first) for first in self.choices()]
        return max((each for each in found if each is not None), default=None)

    def best_after(self, first: list[Document]) -> float | None:
        earned = sum(map(self.value, first))
        done = {each["task"] for each in first}
        earned -= sum(t["unassigned_cost"] for name, t in self.tasks.items() if name not in done)
        seen = []
        for fails in itertools.product([False, True], repeat=len(first)):
            failed = [each for each, fail in zip(first, fails, strict=True) if fail]
            chance = self.chance(first, fails)
            if chance > 0.0:
                seen.append((chance, failed, self.answers(first, failed)))
        if not self.joint:
            total = earned
            for chance, failed, answers in seen:
                gains = [self.gain(over, up) for over, up in answers if self.bearable(failed, over, up)]
                if not gains:
                    return None
                total += chance * max(gains)
            return total
        found = [
            self.policy_value(earned, first, [(c, f, a) for (c, f, _), a in zip(seen, way, strict=True)])
            for way in itertools.product(*(answers for _, _, answers in seen))
        ]
        return max((each for each in found if each is not None), default=None)

    def chance(self, first: list[Document], fails: tuple[bool, ...]) -> float:
        """Probability that just these of the chosen offers fail."""
        return math.prod(
            1.0 - each["success_probability"] if fail else each["success_probability"]
            for each, fail in zip(first, fails, strict=True)
        )

    def gain(self, over: list[Document], up: list[Document]) -> float:
        return sum(self.value(each, failed=True) for each in over) + sum(
            self.value(each, left=True) for each in up
        )

    def bearable(self, failed: list[Document], over: list[Document], up: list[Document]) -> bool:
        """Whether every worst-case limit holds."""
        return all(
            max(loss for loss, chance in self.leaves(failed, over, up, limit["of"]) if chance > 0.0)
            <= limit["budget"] + SLACK
            for limit in self.limits
            if limit["measure"] == "worst_case"
        )

    def policy_value(self, earned: float, first: list[Document], policy: list[Any]) -> float | None:
        """Value of one policy; ``None`` where it breaks a limit."""
        total = earned + sum(chance * self.gain(*answer) for chance, _, answer in policy)
        for limit in self.limits:
            losses = self.losses(policy, limit["of"])
            if self.measured(losses, limit) > limit.get("probability", limit["budget"]) + SLACK:
                return None
        weight = self.objective["risk_weight"]
        if weight == 0.0:
            return total
        level = {"measure": "cvar", "level": self.objective["risk_level"]}
        return (1.0 - weight) * total - weight * self.measured(self.losses(policy, "network"), level)

    def losses(self, policy: list[Any], of: object) -> list[tuple[float, float]]:
        return [
            (loss, chance * part)
            for chance, failed, (over, up) in policy
            for loss, part in self.leaves(failed, over, up, of)
        ]

    @staticmethod
    def measured(losses: list[tuple[float, float]], limit: Document) -> float:
        match limit["measure"]:
            case "expected":
                return sum(loss * chance for loss, chance in losses)
            case "worst_case":
                return max(loss for loss, chance in losses if chance > 0.0)
            case "chance":
                return sum(chance for loss, chance in losses if loss > limit["budget"] + SLACK)
        # CVaR as the least over thresholds, which is at one of the losses
        share = 1.0 - limit["level"]
        return min(
            edge + sum(max(loss - edge, 0.0) * chance for loss, chance in losses) / share
            for edge in {0.0, *(loss for loss, _ in losses)}
        )


class CommittedOracle(Oracle):
    """The best policy beside commitments, whose outcomes are seen with those of the first stage.

    What they take of a limit, or measure of a loss, is always permitted.
    """

    def __init__(self, document: Document) -> None:
        super().__init__(document)
        self.held = document["commitments"]
        self.alone = [
            (
                [each for each, lost in zip(self.held, way, strict=True) if lost],
                math.prod(
                    1.0 - each["success_probability"] if lost else each["success_probability"]
                    for each, lost in zip(self.held, way, strict=True)
                ),
            )
            for way in itertools.product([False, True], repeat=len(self.held))
        ]

    def slashing(self, held: Document, of: object) -> float:
        mine = of == "network" or of == {"operator": held["operator"]}
        return float(self.claims[held["task"], held["operator"]]["slashing"]) if mine else 0.0

    def ceiling(self, limit: Document) -> float:
        """The limit, or what the commitments alone measure."""
        losses = [(sum(self.slashing(k, limit["of"]) for k in lost), q) for lost, q in self.alone]
        return max(float(limit.get("probability", limit["budget"])), self.measured(losses, limit))

    def fits(self, first: list[Document], over: list[Document], up: list[Document]) -> bool:
        everything = [*first, *over, *up]
        for c in self.document["coprocessors"]:
            mine = [each for each in everything if each["coprocessor"] == c["id"]]
            busy = sum(each["work"]["cpu"] for each in self.held if each["executor"] == c["id"])
            if sum(each["work"]["cpu"] for each in mine) > max(c["capacity"]["cpu"] - busy, 0.0) + SLACK:
                return False
            if sum(each["collateral"] for each in mine) > max(c["free_collateral"], 0.0) + SLACK:
                return False
        for v in self.document["operators"]:
            own = [each for each in (*first, *up) if each["operator"] == v["id"]]
            exposed = sum(self.claims[each["task"], v["id"]]["slashing"] for each in own)
            before = sum(self.slashing(each, {"operator": v["id"]}) for each in self.held)
            if exposed > max(v.get("stake", math.inf) - before, 0.0) + SLACK:
                return False
        return True

    def best_after(self, first: list[Document]) -> float | None:
        committed = {each["task"] for each in self.held}
        done = committed | {each["task"] for each in first}
        earned = sum(map(self.value, first))
        earned -= sum(t["unassigned_cost"] for name, t in self.tasks.items() if name not in done)
        nodes = [
            (chance * q, failed, lost, self.answers(first, failed))
            for fails in itertools.product([False, True], repeat=len(first))
            if (chance := self.chance(first, fails)) > 0.0
            for failed in [[each for each, fail in zip(first, fails, strict=True) if fail]]
            for lost, q in self.alone
            if q > 0.0
        ]
        values = []
        for way in itertools.product(*(answers for *_, answers in nodes)):
            total = earned + sum(
                node[0] * self.gain(*answer) for node, answer in zip(nodes, way, strict=True)
            )
            kept = True
            for limit in self.limits:
                losses = [
                    (loss + sum(self.slashing(k, limit["of"]) for k in lost), chance * part)
                    for (chance, failed, lost, _), (over, up) in zip(nodes, way, strict=True)
                    for loss, part in self.leaves(failed, over, up, limit["of"])
                ]
                kept = kept and self.measured(losses, limit) <= self.ceiling(limit) + SLACK
            if kept:
                values.append(total)
        return max(values, default=None)


class SampledOracle(Oracle):
    """The best policy for outcomes and leaves that were sampled instead of listed.

    Parameters
    ----------
    early, late
        Tables of failures with the probabilities of their lines; columns by (id, operator) of the offers.
    """

    def __init__(
        self,
        document: Document,
        early: tuple[list[tuple[str, str]], list[list[bool]], list[float]],
        late: tuple[list[tuple[str, str]], list[list[bool]], list[float]],
    ) -> None:
        super().__init__(document)
        self.seen, self.behind = early, late

    def chance(self, first: list[Document], fails: tuple[bool, ...]) -> float:
        """Share of the outcomes in which just these of the chosen offers fail."""
        names, table, probability = self.seen
        places = [self.column(names, each) for each in first]
        return sum(
            share
            for line, share in zip(table, probability, strict=True)
            if all((at is not None and line[at]) == fail for at, fail in zip(places, fails, strict=True))
        )

    @staticmethod
    def column(names: list[tuple[str, str]], offer: Document) -> int | None:
        """Where an offer stands in a table; ``None``: it is not told apart, and cannot be followed."""
        name = (offer["id"], offer["operator"])
        return names.index(name) if name in names else None

    def leaves(
        self, failed: list[Document], over: list[Document], up: list[Document], of: object
    ) -> list[tuple[float, float]]:
        """Loss and probability of every sampled leaf."""
        names, table, probability = self.behind

        def slashing(offer: Document) -> float:
            mine = of == "network" or of == {"operator": offer["operator"]}
            return float(self.claims[offer["task"], offer["operator"]]["slashing"]) if mine else 0.0

        found = []
        for line, share in zip(table, probability, strict=True):
            loss = sum(map(slashing, failed))
            for each in (*over, *up):
                at = self.column(names, each)
                fails = at is not None and line[at]
                loss += slashing(each) * (-(not fails) if each in over else fails)
            found.append((loss, share))
        return found
