"""Rounds as people write them: whole amounts, per cents, ties, zeros, equal tasks, offers that break even.

Numbers drawn at random almost never meet: here sums cancel, limits are just full, offers are equal, money is
counted in wei. One function makes a round of anything that draws (`random.Random`, or hypothesis' through
`people_rounds`), so that a property test, a soak run and a script find the same kinds of rounds.
"""

from __future__ import annotations

import random
from decimal import Decimal
from fractions import Fraction
from typing import Any, Literal

from hypothesis import strategies as st

from drawing import whole

Document = dict[str, Any]

#: What a round is about: one stage with limits in sums, tail limits, offers for what fails, later periods.
Kind = Literal["sums", "tails", "second stage", "periods"]
KINDS: tuple[Kind, ...] = ("sums", "tails", "second stage", "periods")

#: Whole per cents, most of them as people like them.
CHANCES = (0.5, 0.6, 0.7, 0.75, 0.8, 0.8, 0.9, 0.9, 0.95, 0.99, 1, 1.0, 0, 0.55, 0.85, 0.33, 0.07)

#: A unit of money: plain, in wei, in what is left of one, in cents, in thousands.
UNITS = (1, 1, 1, 1, 10**18, Fraction(1, 10**18), Fraction(1, 100), 1000)

HUMP = {"A": 1, "B": 0.5, "C": 0.2, "D": 0.8, "E": -0.4, "F": 0.8, "G": -2, "H": 0.8, "I": 0.68}


def written(value: Fraction) -> int | float:
    """Write a number down as people do: whole where it is whole, else its decimals."""
    return int(value) if value.denominator == 1 else float(value)


def decimals_as_text(document: Any) -> Any:
    """Turn numbers with decimals into the digits that were written: what an exact reader takes them for."""
    if isinstance(document, dict):
        return {name: decimals_as_text(each) for name, each in document.items()}
    if isinstance(document, list):
        return [decimals_as_text(each) for each in document]
    return repr(document) if isinstance(document, float) else document


def sizes(document: Document) -> float:
    """Sum of all money of a round, later periods included: what rounding is measured by."""
    claims = [claim for task in document["tasks"] for claim in task.get("claims", [task])]
    found = [float(claim[name]) for claim in claims for name in ("reward", "slashing")]
    found += [float(task.get("unassigned_cost", 0)) for task in document["tasks"]]
    found += [float(each["bid"]) + float(each.get("collateral", 0)) for each in document["offers"]]
    curves = [each["load_curve"] for each in document.get("coprocessors", []) if "load_curve" in each]
    found += [float(curve["scale"]) for curve in curves]
    found += [sizes(period) for period in document.get("periods", [])]
    return sum(found) + sum(float(each["cost"]) for each in document["self_execution"])


def counted_whole(document: Document) -> bool:
    """Whether a ledger counts every amount as it is written, without rounding it to its decimals."""
    owners, work = (
        document["operators"] + document["coprocessors"],
        document["offers"] + document["commitments"],
    )
    amounts = [each.get(name) for each in owners for name in ("stake", "free_collateral")]
    amounts += [each.get("collateral") for each in work]
    amounts += [c.get("slashing") for task in document["tasks"] for c in task.get("claims", [task])]
    unit = Fraction(1, 10 ** document.get("decimals", 18))
    return all((Fraction(repr(each)) / unit).denominator == 1 for each in amounts if each is not None)


class _Maker:
    """Draws the parts of one round."""

    def __init__(self, rng: random.Random, kind: Kind, tasks: int, unit: Fraction | int | None) -> None:
        self.rng = rng
        self.kind = kind
        self.count = tasks
        drawn = rng.choice(UNITS)
        self.unit = Fraction(drawn if unit is None else unit)
        self.ids = [f"c{i}" for i in range(rng.choice([1, 2, 2, 3, 3, 4]) + tasks // 8)]
        self.operators = [f"o{v}" for v in range(rng.choice([1, 1, 1, 2, 3]))]
        self.resources = rng.choice([[], ["gpu"], ["gpu"], ["gpu", "GB"]])

    def often(self, share: float) -> bool:
        return self.rng.random() < share

    def money(self, *whole: int) -> int | float:
        return written(self.rng.choice(whole) * self.unit)

    def chance(self) -> float:
        return self.rng.choice(CHANCES)

    def work(self, most: int) -> Document:
        return {name: self.rng.randint(0, most) for name in self.resources if self.often(0.8)}

    # who

    def operator(self, name: str) -> Document:
        made: Document = {"id": name}
        if self.often(0.3):
            made["stake"] = self.money(0, 10, 20, 40, 80)
        if self.often(0.3):
            made["capacity"] = self.work(6)
        return made

    def coprocessor(self, name: str) -> Document:
        made: Document = {"id": name}
        if self.often(0.7):
            made["free_collateral"] = self.money(
                *(each * (1 + self.count // 8) for each in (0, 5, 10, 15, 20))
            )
        if self.often(0.4):
            made["capacity"] = {each: most * (1 + self.count // 8) for each, most in self.work(6).items()}
        if self.often(0.25):
            made["serial"] = True
            if self.often(0.3):
                made["free_at"] = self.rng.choice([0, 10, 60])
        if self.kind in ("sums", "tails") and self.resources and self.often(0.15):
            weight, scale = self.rng.choice([0, 1, 0.5, -1]), self.money(1, 2, 5)
            made["load_curve"] = HUMP | {"resource": self.resources[0], "weight": weight, "scale": scale}
            made["capacity"] = made.get("capacity", {}) | {self.resources[0]: self.rng.randint(1, 6)}
        return made

    # what

    def task(self, name: str) -> Document:
        made: Document = {"id": name}
        claiming = self.rng.sample(self.operators, self.rng.randint(1, len(self.operators)))
        if len(claiming) == 1 and self.often(0.7):
            made |= {"operator": claiming[0]} | self.stakes()
        else:
            made["claims"] = [{"operator": each} | self.stakes() for each in claiming]
        if self.resources and self.often(0.5):
            made["work"] = self.work(3)
        if self.often(0.15):
            made["minimum_collateral"] = self.money(0, 1, 5)
        if self.often(0.3):
            made["deadline"] = self.rng.choice([-1, 0, 30, 60, 60, 120])
        if self.often(0.05):
            made["required"] = True
        if self.often(0.2):
            made["unassigned_cost"] = self.money(0, 1, 2, 5)
        if self.kind in ("sums", "tails") and self.often(0.2):
            made["replicas"] = self.rng.randint(1, 3)
            made["quorum"] = self.rng.randint(1, made["replicas"])
        return made

    def stakes(self) -> Document:
        reward = self.rng.choice([0, 1, 2, 3, 4, 5, 6, 8, 8, 10, 10])
        slashing = reward * self.rng.choice([0, 1, 1, 2, 3, 4]) or self.rng.choice([0, 0, 1, 4])
        return {"reward": written(reward * self.unit), "slashing": written(slashing * self.unit)}

    def offer(self, task: Document, coprocessor: str, claims: list[Document]) -> Document:
        p = self.chance()
        made: Document = {"task": task["id"], "coprocessor": coprocessor, "success_probability": p}
        claim = self.rng.choice(claims)
        if len(claims) > 1 and self.often(0.5):
            made["operator"] = claim["operator"]
        made["bid"] = self.money(0, 0, 1, 1, 2, 3)
        if self.often(0.35):
            made["bid"] = self.even(claim, task, p, made["bid"])
        if self.often(0.7):
            made["collateral"] = self.money(0, 1, 5, 5, 10, 15)
        if self.resources and self.often(0.2):
            made["work"] = self.work(3)
        if self.often(0.4):
            made["duration"] = self.rng.choice([0, 30, 30, 60])
        return made

    def even(self, claim: Document, task: Document, p: float, otherwise: int | float) -> int | float:
        """Bid just what the work brings, where that is not below nothing."""
        reward, slashing, cost = (
            Fraction(repr(each))
            for each in (claim["reward"], claim["slashing"], task.get("unassigned_cost", 0))
        )
        chance = Fraction(repr(p))
        bid = reward * chance - slashing * (1 - chance) + cost
        return written(bid) if bid >= 0 else otherwise

    def offers(self, tasks: list[Document], stage: int, share: float) -> list[Document]:
        found = []
        for task in tasks:
            claims = task.get("claims", [task])
            for coprocessor in self.ids:
                if self.often(share):
                    made = self.offer(task, coprocessor, claims)
                    found.append(
                        made | ({} if stage == 1 else {"stage": 2, "id": f"{made['task']}+{coprocessor}"})
                    )
        return found

    def equal(self, tasks: list[Document], offers: list[Document]) -> None:
        """Make some tasks, and the offers for them, equal to the first but for their names."""
        if len(tasks) < 2 or not self.often(0.3):
            return
        first, name = tasks[0], tasks[0]["id"]
        mine = [each for each in offers if each["task"] == name]
        for k in range(1, self.rng.randint(2, len(tasks))):
            other = tasks[k]["id"]
            tasks[k] = first | {"id": other}
            offers[:] = [each for each in offers if each["task"] != other]
            offers += [each | {"task": other} for each in mine if "id" not in each]

    def own_work(self, tasks: list[Document]) -> list[Document]:
        found = []
        for task in tasks:
            for claim in task.get("claims", [task]):
                if self.often(0.15):
                    p, cost = self.chance(), self.money(0, 1, 2, 5)
                    made = {"task": task["id"], "operator": claim["operator"], "success_probability": p}
                    found.append(
                        made | {"cost": self.even(claim, task, p, cost) if self.often(0.3) else cost}
                    )
        return found

    def commitments(self, tasks: list[Document]) -> list[Document]:
        found: list[Document] = []
        for task in tasks:
            if not self.often(0.08):
                continue
            operator = self.rng.choice(task.get("claims", [task]))["operator"]
            executor = self.rng.choice([operator, *self.ids])
            made = {"id": f"k{len(found)}", "task": task["id"], "operator": operator, "executor": executor}
            made |= {"success_probability": self.chance(), "work": self.work(2)}
            if executor != operator:
                made["collateral"] = self.money(0, 1, 5)
            found.append(made | ({"release_at": self.rng.choice([50, 100, 150])} if self.often(0.5) else {}))
        return found

    # how much of it

    def scope(self) -> Any:
        words: list[Any] = ["network", "network", "operator"]
        if self.kind != "second stage":
            words += ["coprocessor", {"coprocessor": self.rng.choice(self.ids)}]
        return self.rng.choice([*words, {"operator": self.rng.choice(self.operators)}])

    def limits(self) -> list[Document]:
        found: list[Document] = []
        if self.often(0.35):
            found.append({"measure": "expected", "budget": self.money(0, 1, 2, 4, 8), "of": self.scope()})
        if self.kind not in ("tails", "second stage"):
            return found
        measures = ["cvar", "chance", "worst_case"] + ["solvency", "ambiguous"] * (self.kind == "tails")
        for measure in self.rng.sample(measures, self.rng.choice([0, 1, 1, 2])):
            made: Document = {"measure": measure, "of": self.scope()}
            if measure == "solvency":
                made["of"] = self.rng.choice(["coprocessor", {"coprocessor": self.rng.choice(self.ids)}])
                made["probability"] = self.rng.choice([0, 0.05, 0.1, 0.5])
            else:
                made["budget"] = self.money(0, 2, 5, 10, 20, 40)
            if measure == "cvar":
                made["level"] = self.rng.choice([0.5, 0.8, 0.9, 0.95])
            if measure == "chance":
                made["probability"] = self.rng.choice([0, 0.05, 0.1, 0.5, 1])
            if measure == "ambiguous":
                made["radius"] = self.rng.choice([0, 0.01, 0.1])
            if self.often(0.3):
                made["calibrate"] = True
            found.append(made)
        return found

    def periods(self) -> list[Document]:
        found: list[Document] = []
        # one after the other, or one of two that are as likely
        branches = self.often(0.3)
        for k in range(2 if branches else self.rng.choice([1, 1, 2])):
            tasks = [self.task(f"p{k}t{a}") for a in range(self.rng.randint(0, 2))]
            made = {"id": f"p{k}", "at": 100 * (k + 1), "tasks": tasks, "offers": self.offers(tasks, 1, 0.5)}
            if branches:
                made |= {"at": 100, "probability": 0.5}
            elif k:
                made["parent"] = "p0"
            found.append(made | {"self_execution": self.own_work(tasks)})
        return found


def people_round(
    rng: random.Random, kind: Kind = "sums", *, tasks: int | None = None, unit: Fraction | int | None = None
) -> Document:
    """Make a round as somebody would write it down.

    Parameters
    ----------
    rng
        Draws everything.
    kind
        What the round is about.
    tasks
        How many; a handful where left out, few enough to try every plan.
    unit
        Of money; drawn where left out.
    """
    make = _Maker(rng, kind, rng.choice([0, 1, 2, 3, 3, 4]) if tasks is None else tasks, unit)
    some = [make.task(f"t{a}") for a in range(make.count)]
    offers = make.offers(some, 1, min(0.6, 4 / len(make.ids)))
    make.equal(some, offers)
    document: Document = {
        "format": "bondwork.round/1",
        "operators": [make.operator(each) for each in make.operators],
        "coprocessors": [make.coprocessor(each) for each in make.ids],
        "tasks": some,
        "offers": offers,
        "self_execution": make.own_work(some),
        "commitments": make.commitments(some),
        "risk": make.limits(),
        "uncertainty": {"scenarios": rng.choice([16, 64]), "seed": rng.randint(0, 9)},
    }
    if make.often(0.4):
        document["decimals"] = rng.choice([0, 6, 18])
    if make.often(0.4):
        split = rng.choice([{"burned": 1}, {"operator": 1}, {"burned": 0.5, "operator": 0.5}])
        paid = rng.choice(["always", "on_success"])
        rate = rng.choice([1, 1.0, 0, 0.5, 2])
        document["terms"] = {"bid_paid": paid, "collateral_split": split, "collateral_rate": rate}
    if kind in ("tails", "second stage") and make.often(0.25):
        document["objective"] = {"risk_weight": rng.choice([0, 0.1, 0.5, 1]), "risk_level": 0.9}
    if kind == "tails" and make.often(0.4):
        document["uncertainty"]["dependence"] = {"common": rng.choice([0, 0.1, 0.5, 1]), "coprocessor": 0}
    if kind == "second stage":
        document["offers"] += make.offers(some, 2, 0.4)
    if kind == "periods":
        document["periods"] = make.periods()
    return document


#: Whatever is money wherever it stands in a round as they are made here.
_OWNERS = ("stake", "free_collateral", "minimum_collateral")
_WORK = ("reward", "slashing", "unassigned_cost", "bid", "collateral", "cost")
MONEY = frozenset([*_OWNERS, *_WORK, "budget"])


def in_other_money(document: Any, power: int) -> Any:
    """Write the same round down with all money times 10^power, every digit kept."""
    if isinstance(document, list):
        return [in_other_money(each, power) for each in document]
    if not isinstance(document, dict):
        return document
    made = {
        name: f"{Decimal(repr(each)).scaleb(power):f}" if name in MONEY else in_other_money(each, power)
        for name, each in document.items()
    }
    if "scale" in document:  # of a load curve, which takes numbers alone
        made["scale"] = float(Decimal(repr(document["scale"])).scaleb(power))
    if "tasks" in document and "format" in document and power < 0:
        made["decimals"] = 18  # what was whole is whole units of the ledger still
    return made


@st.composite
def people_rounds(
    draw: st.DrawFn, kind: Kind = "sums", *, tasks: int | None = None, unit: Fraction | int | None = None
) -> Document:
    """Draw a round as people write them; see `people_round`."""
    return people_round(_Drawn(draw), kind, tasks=tasks, unit=unit)


class _Drawn(random.Random):
    """Draws whole numbers through hypothesis, cheaper than `st.randoms`; 0 adds nothing to a round."""

    def __init__(self, draw: st.DrawFn) -> None:
        super().__init__(0)
        self._draw = draw

    def random(self) -> float:
        return 1.0 - (self._randbelow(100) + 1) / 100

    def _randbelow(self, n: int) -> int:
        return whole(self._draw, 0, n - 1)
