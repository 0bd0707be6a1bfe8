"""The laws behind the rounds: what a solve lists or samples has the probabilities of the closed forms."""

from __future__ import annotations

import itertools
import math
import re
from typing import Any

import pytest

from bondwork.uncertainty import tree_of_round
from composition.features import HISTORY, make
from composition.judging import read, scenarios, solved
from composition.laws import Independent, Rounds
from composition.records import Reader, Work, exact


def works_of(reader: Reader) -> dict[tuple[str | None, int], Work]:
    """Offers by period and number; of tasks that one operator claims."""
    decisions = [reader.root(), *(d for p in reader.periods for _, d in reader.decisions(p))]
    offered = [work for d in decisions for t in d.tasks for _, work in (*t.first, *t.second)]
    return {(work.key[0], work.key[1]): work for work in offered if work.key[1] != "own"}


SEEN = re.compile(r"(\w+) (\d+) of (this round|period (\d+))(?:, seen in period \d+)?")


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("names", [("periods", "commitments"), ("periods", "outages"), ("random amounts",)])
def test_what_periods_see_has_its_probability(names: tuple[str, ...], seed: int) -> None:
    document = make(names, seed).document
    tree = tree_of_round(read(document))
    reader, law = Reader(document), Independent.of(document)
    works, all_periods = works_of(reader), document["periods"]
    held = [work for deal in reader.commitments() for work in deal.works]
    seen_somewhere = 0
    for node in range(1, len(tree.stage)):
        stage = int(tree.stage[node])
        first = int((tree.stage < stage).sum())
        values = dict(zip(tree.names[stage], tree.values[stage][node - first].tolist(), strict=True))
        period = int(values.pop("period"))
        if period < 0:
            continue
        chance = float(exact(all_periods[period].get("probability"), 1))
        outcome: dict[Work, bool] = {}
        for name, value in values.items():
            kind, number, _, point = SEEN.fullmatch(name).groups()  # type: ignore[union-attr]
            if value < 0:
                continue
            if kind == "offer":
                outcome[works[None if point is None else all_periods[int(point)]["id"], int(number)]] = (
                    value == 1
                )
            elif kind == "commitment":
                outcome[held[int(number)]] = value == 1
            else:
                part = all_periods[int(point)]
                amount = (part["offers"] if kind == "bid" else part["tasks"])[int(number)][kind]
                chance *= amount["probabilities"][amount["values"].index(value)]
        seen_somewhere += len(outcome)
        chance *= float({o: q for q, o in law.joint(list(outcome))}[tuple(outcome.values())])
        assert tree.conditional[node] == pytest.approx(chance, rel=1e-12)
    assert seen_somewhere


@pytest.mark.parametrize("seed", range(6))
def test_what_a_second_stage_sees_has_its_probability(seed: int) -> None:
    sketch = make(("second stage", "commitments", "outages", "expected"), seed)
    instance, plan = solved(sketch)
    reader, law = Reader(sketch.document), Independent.of(sketch.document)
    works = {
        (number["task"], number["coprocessor"]): works_of(reader).get((None, k))
        for k, number in enumerate(sketch.document["offers"])
        if "stage" not in number
    }
    chosen = [(a.task, works[a.task, a.executor]) for a in plan.assignments]
    chosen += [("k1", work) for deal in reader.commitments() for work in deal.works]
    told = {name for node in plan.recourse for name in (*node.failed, *node.failed_commitments)}
    watched = [(name, work) for name, work in chosen if name in told and work is not None]
    joint = {
        frozenset(name for (name, _), good in zip(watched, outcome, strict=True) if not good): float(q)
        for q, outcome in law.joint([work for _, work in watched])
    }
    found: dict[frozenset[str], float] = {}
    for node in plan.recourse:
        kind = frozenset((*node.failed, *node.failed_commitments))
        found[kind] = found.get(kind, 0.0) + node.probability
    assert len(instance.offers) and found.keys() == joint.keys()
    for kind, chance in joint.items():
        assert found[kind] == pytest.approx(chance, abs=1e-12)


def _large(names: tuple[str, ...]) -> dict[str, Any]:
    document = make(names, 0).document
    document["uncertainty"]["scenarios"] = 4096
    return document


@pytest.mark.parametrize("names", [("cvar",), ("cvar", "outages", "commitments"), ("cvar", "bootstrap")])
def test_scenarios_that_are_handed_over_are_of_the_law(names: tuple[str, ...]) -> None:
    """Of every pair of pieces of work: shares within four and a half of their standard errors."""
    document = _large(names)
    table = scenarios(read(document), document)
    law = Rounds.of(HISTORY) if "bootstrap" in names else Independent.of(document)
    reader = Reader(document)
    works = [*works_of(reader).values(), *(w for deal in reader.commitments() for w in deal.works)]
    for pair in itertools.combinations(works, 2):
        shares = {outcome: float(q) for q, outcome in table.joint(pair)}
        for q, outcome in law.joint(pair):
            error = math.sqrt(float(q * (1 - q)) / 4096)
            assert abs(shares.get(outcome, 0.0) - float(q)) <= 4.5 * error
