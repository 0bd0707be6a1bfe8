"""Risk limits of tasks with several executors, and executors whose outcomes hang together: by brute force."""

from __future__ import annotations

import itertools
import math
import random
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from scipy.special import ndtr, ndtri

import bondwork
from risk.by_hand import (
    Brute,
    Document,
    Offer,
    ceiling_of,
    cvar_of,
    limited,
    small_document,
    worst_expectation,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

Team = tuple[Offer, ...]

NODES = np.polynomial.hermite_e.hermegauss(121)


class TeamBrute(Brute):
    """As `Brute`, where a choice is a set of offers with between quorum and replicas of them a task."""

    def choices(self) -> Iterator[tuple[Offer, ...]]:
        committed = {held["task"] for held in self.held}
        ways = []
        for name, task in self.tasks.items():
            if name not in committed:
                own = [offer for offer in self.offers if offer.task == name]
                sizes = range(task.get("quorum", 1), task.get("replicas", 1) + 1)
                teams = [team for size in sizes for team in itertools.combinations(own, size)]
                ways.append(teams if task.get("required") else [(), *teams])
        for row in itertools.product(*ways):
            choice = tuple(itertools.chain.from_iterable(row))
            if self._fits(choice):
                yield choice

    def teams(self, choice: Sequence[Offer]) -> list[Team]:
        return [tuple(team) for _, team in itertools.groupby(choice, key=lambda offer: offer.task)]

    def p(self, offer: Offer) -> float:
        listed = self.document["offers"] + self.document.get("self_execution", [])
        return float(listed[offer.number]["success_probability"])

    def quorum(self, team: Team) -> int:
        return int(self.tasks[team[0].task].get("quorum", 1))

    def falls(self, team: Team) -> list[bool]:
        """Scenarios in which fewer than the quorum succeed."""
        outcomes = zip(*(self.failed[offer.number] for offer in team), strict=True)
        return [len(team) - sum(row) < self.quorum(team) for row in outcomes]

    def losses(
        self, choice: tuple[Offer, ...], scope: str, member: str, *, collateral: bool = False
    ) -> list[float]:
        total = super().losses(() if not collateral else choice, scope, member, collateral=collateral)
        if collateral:
            return total
        for slashing, falls in self.parts(choice, scope, member):
            total = [loss + slashing * fallen for loss, fallen in zip(total, falls, strict=True)]
        return total

    def parts(self, choice: Sequence[Offer], scope: str, member: str) -> Iterator[tuple[float, list[bool]]]:
        for team in self.teams(choice):
            mine = [o for o in team if scope == "network" or getattr(o, scope) == member]
            if mine:
                falls = self.falls(team)
                if scope == "coprocessor":
                    own = self.failed[mine[0].number]
                    falls = [both and alone for both, alone in zip(falls, own, strict=True)]
                yield team[0].slashing, falls

    def value(self, limit: Document, member: str, choice: tuple[Offer, ...]) -> float:
        if limit["measure"] != "ambiguous":
            return super().value(limit, member, choice)
        scope = self._scope(limit)
        pairs = [(s, sum(falls) / self.scenarios) for s, falls in self.parts(choice, scope, member)]
        pairs += [
            (self.tasks[held["task"]]["slashing"], sum(self.held_failed[k]) / self.scenarios)
            for k, held in enumerate(self.held)
            if self._holds(held, scope, member)
        ]
        return worst_expectation([s for s, _ in pairs], [f for _, f in pairs], limit["radius"])

    def success(self, team: Team) -> float:
        """Outcome by outcome, given each of many values of the common factor."""
        if len(team) == 1 and self.quorum(team) == 1:
            return self.p(team[0])
        common = self.document["uncertainty"].get("dependence", {}).get("common", 0.0)
        nodes, weights = NODES
        total = np.zeros(len(nodes))
        p = [ndtr((ndtri(self.p(o)) - math.sqrt(common) * nodes) / math.sqrt(1 - common)) for o in team]
        for row in itertools.product((True, False), repeat=len(team)):
            if sum(row) >= self.quorum(team):
                total += math.prod(each if works else 1 - each for each, works in zip(p, row, strict=True))
        return float(weights @ total) / math.sqrt(2 * math.pi)

    def objective(self, choice: tuple[Offer, ...]) -> float:
        done = {offer.task for offer in choice} | {held["task"] for held in self.held}
        terms = [-t.get("unassigned_cost", 0.0) for name, t in self.tasks.items() if name not in done]
        for team in self.teams(choice):
            task, success = self.tasks[team[0].task], self.success(team)
            terms.append(task["reward"] * success - task["slashing"] * (1 - success))
            for offer in team:
                alone = task["reward"] * self.p(offer) - task["slashing"] * (1 - self.p(offer))
                terms.append(offer.gain - alone)  # what it is paid
        earned = math.fsum(terms)
        aim = self.document.get("objective", {})
        weight = aim.get("risk_weight", 0.0)
        if weight == 0.0:
            return earned
        losses = self.losses(choice, "network", "network")
        return (1 - weight) * earned - weight * cvar_of(losses, self.probability, aim.get("risk_level", 0.95))


def replicated(seed: int, *, common: float, scenarios: int = 24) -> Document:
    """Three tasks for two operators; one needs two of three, one takes two, one is as ever."""
    document = small_document(seed, tasks=3, scenarios=scenarios)
    document["uncertainty"]["dependence"] = {"common": common, "coprocessor": 0.2}
    draw = random.Random(seed)
    document["tasks"][0] |= {"replicas": 3, "quorum": draw.choice([1, 2])}
    document["tasks"][1] |= {"replicas": 2, "quorum": draw.choice([1, 2])}
    for each in document["coprocessors"]:
        each["free_collateral"] = 40.0
    for each in document["offers"] + document["self_execution"]:
        each["success_probability"] = min(each["success_probability"], 0.85)
        for paid in ("bid", "cost"):
            if paid in each:
                each[paid] = round(each[paid] / 3, 3)
    return document


LIMITS: dict[str, Document] = {
    "cvar": {"measure": "cvar", "level": 0.8, "of": "network"},
    "cvar of each coprocessor": {"measure": "cvar", "level": 0.75, "of": "coprocessor"},
    "worst case of an operator": {"measure": "worst_case", "of": {"operator": "op-0"}},
    "chance of each coprocessor": {"measure": "chance", "probability": 0.1, "of": "coprocessor"},
    "ambiguous": {"measure": "ambiguous", "radius": 0.2, "of": "network"},
    "ambiguous of a coprocessor": {"measure": "ambiguous", "radius": 0.1, "of": {"coprocessor": "cp-0"}},
    "solvency": {"measure": "solvency", "probability": 0.1, "of": "coprocessor"},
}


def binding(document: Document, limit: Document, share: float) -> Document:
    """The round with a limit that rules its best choice out, if anything can."""
    if limit["measure"] == "solvency":
        tight = limited(document, [limit])
        for each in tight["coprocessors"]:
            each["free_collateral"] = 9.0
        return tight
    free = TeamBrute(document)
    found = free.best()
    assert found is not None
    probe = limit | {"budget": 1e9}
    if limit["measure"] == "chance":
        return limited(document, [limit | {"budget": 6.0}])
    most = max(free.value(probe, member, found[1]) for member in free.members(probe))
    return limited(document, [limit | {"budget": round(share * most, 6)}])


@pytest.mark.parametrize("common", [0.0, 0.4])
@pytest.mark.parametrize("name", LIMITS)
def test_the_best_choice_within_a_limit_is_that_of_brute_force(name: str, common: float):
    document = binding(replicated(len(name), common=common), LIMITS[name], 0.7)
    brute = TeamBrute(document)
    best = brute.best()
    forms: list[dict[str, Any]] = [
        {"formulation": formulation, "risk_form": form}
        for formulation, form in (("highs", "rows"), ("highs", "cuts"), ("cvxpy", "rows"), ("pyomo", "rows"))
    ]
    for form in forms:
        plan = bondwork.solve(bondwork.load(document), strategy="extensive", mip_rel_gap=0.0, **form)
        assert plan.verified
        if best is None:
            assert plan.status == "infeasible"
            continue
        assert plan.objective == pytest.approx(best[0], abs=1e-7)
        chosen = brute.chosen(plan)
        assert brute.objective(chosen) == pytest.approx(plan.objective, abs=1e-7)
        for entry, (limit, member) in zip(
            plan.risk,
            [(each, m) for each in document["risk"] for m in brute.members(each)],
            strict=True,
        ):
            assert entry.in_sample == pytest.approx(brute.value(limit, member, chosen), abs=1e-7)
            assert entry.in_sample <= ceiling_of(limit) * (1 + 1e-6) + 1e-9


@pytest.mark.parametrize("common", [0.0, 0.4])
def test_the_price_of_risk_is_that_of_the_whole_loss(common: float):
    document = replicated(5, common=common) | {"objective": {"risk_weight": 0.4, "risk_level": 0.75}}
    best = TeamBrute(document).best()
    assert best is not None
    for formulation in ("highs", "cvxpy", "pyomo"):
        plan = bondwork.solve(bondwork.load(document), formulation=formulation, mip_rel_gap=0.0)
        assert plan.objective == pytest.approx(best[0], abs=1e-7)


@pytest.mark.parametrize("strategy", ["greedy", "relaxation", "lagrangian", "auto"])
@pytest.mark.parametrize("name", ["cvar", "worst case of an operator", "chance of each coprocessor"])
def test_other_strategies_keep_the_limits(strategy: str, name: str):
    document = binding(replicated(3, common=0.3), LIMITS[name], 0.8)
    brute = TeamBrute(document)
    best = brute.best()
    assert best is not None
    try:
        plan = bondwork.solve(bondwork.load(document), strategy=strategy)
    except bondwork.Refusal as refusal:
        assert strategy == "lagrangian"
        assert "not a program of tasks and knapsacks" in str(refusal)
        return
    if plan.is_usable():
        assert plan.verified
        assert plan.objective is not None
        assert plan.objective <= best[0] + 1e-7
        assert brute.keeps(brute.chosen(plan))
