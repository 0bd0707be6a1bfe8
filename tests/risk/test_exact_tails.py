"""Exact tails of independent losses, against going through every outcome, and what `verify` makes of them."""

from __future__ import annotations

import itertools
import math
import random

import numpy as np
import pytest

import bondwork
from bondwork.risk import exact_tails
from risk.by_hand import cvar_of, excess_probability

SHAPES = ["plain", "outages", "replicas", "both", "wei", "commitments"]


def draw_document(shape, seed):
    """A round of whole per cents in which all offers may be chosen."""
    draw = random.Random(f"{shape} {seed}")
    unit = 10**18 if shape == "wei" else 1
    tasks, offers, held = [], [], []
    several = shape in ("replicas", "both")
    for a in range(3 if several else 5):
        slashing = draw.choice([10, 20, 7.5, 30.25]) * unit
        tasks.append({"id": f"t{a}", "operator": f"o{a % 2}", "reward": 60 * unit, "slashing": slashing})
        if several:
            tasks[-1] |= {"replicas": draw.choice([2, 3]), "quorum": draw.choice([1, 2])}
        for c in range(3):
            p = draw.choice([0.9, 0.8, 0.85, 0.75])
            collateral = draw.choice([5, 10]) * unit
            offers.append({"task": f"t{a}", "coprocessor": f"c{c}", "bid": draw.choice([0, 1, 2]) * unit,
                           "collateral": collateral, "success_probability": p})  # fmt: skip
    if shape == "commitments":
        for k in range(2):
            tasks.append({"id": f"h{k}", "operator": "o0", "reward": 9, "slashing": 40})
            held.append({"id": f"held{k}", "task": f"h{k}", "operator": "o0", "executor": "c0",
                         "success_probability": 0.9})  # fmt: skip
    outage = 0.05 if shape in ("outages", "both", "commitments") else 0.0
    members = ["network", "operator", "coprocessor"]
    risk = [{"measure": "cvar", "level": 0.9, "budget": 500 * unit, "of": of} for of in members]
    risk += [{"measure": "chance", "budget": 20 * unit, "probability": 1, "of": of} for of in members]
    risk += [{"measure": "solvency", "probability": 1, "of": "coprocessor"}]
    return {
        "format": "bondwork.round/1",
        "operators": [{"id": "o0"}, {"id": "o1"}],
        "coprocessors": [
            {"id": f"c{c}", "free_collateral": 10 * unit, "outage_probability": outage} for c in range(3)
        ],
        "tasks": tasks,
        "offers": offers,
        "commitments": held,
        "risk": risk,
        "uncertainty": {"scenarios": 64, "seed": seed},
    }


def outcomes_of(document, plan):
    """Every outcome: its probability, and whether each piece of work (task, executor, p) succeeds in it."""
    works = [(a.task, a.executor, a.success_probability) for a in plan.assignments]
    works += [(h["task"], h["executor"], h["success_probability"]) for h in document["commitments"]]
    rate = {c["id"]: c["outage_probability"] for c in document["coprocessors"]}
    names = [name for name in rate if rate[name] > 0.0]
    for out in itertools.product([False, True], repeat=len(names)):
        fallen = dict(zip(names, out, strict=True))
        q0 = math.prod(rate[c] if fallen[c] else 1 - rate[c] for c in names)
        chance = [0.0 if fallen.get(c) else p / (1 - rate[c]) for _, c, p in works]
        for done in itertools.product([False, True], repeat=len(works)):
            q = q0 * math.prod(p if d else 1 - p for p, d in zip(chance, done, strict=True))
            if q > 0.0:
                yield q, works, done


def loss_in(document, works, done, limit, of):
    tasks = {task["id"]: task for task in document["tasks"]}
    collateral = {(o["task"], o["coprocessor"]): o["collateral"] for o in document["offers"]}
    total = 0.0
    if limit["measure"] == "solvency":
        return sum(
            collateral[t, c]
            for (t, c, _), d in zip(works, done, strict=True)
            if c == of and not d and (t, c) in collateral
        )
    for name in {t for t, _, _ in works}:
        mine = [(c, d) for (t, c, _), d in zip(works, done, strict=True) if t == name]
        missed = sum(d for _, d in mine) < min(tasks[name].get("quorum", 1), len(mine))
        if limit["of"] == "coprocessor":
            missed = missed and any(c == of and not d for c, d in mine)
        if missed and (limit["of"] != "operator" or tasks[name]["operator"] == of):
            total += tasks[name]["slashing"]
    return total


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("shape", SHAPES)
def test_exact_tails(shape, seed):
    document = draw_document(shape, seed)
    instance = bondwork.load(document)
    plan = bondwork.solve(instance)
    assert plan.verified
    outcomes = list(outcomes_of(document, plan))
    chances = [q for q, _, _ in outcomes]
    assert math.fsum(chances) == pytest.approx(1.0)
    limits = iter(plan.risk)
    for limit in document["risk"]:
        whose = {"network": ["network"], "operator": ["o0", "o1"], "coprocessor": ["c0", "c1", "c2"]}
        for of in whose[limit["of"]]:
            told = next(limits)
            losses = [loss_in(document, works, done, limit, of) for _, works, done in outcomes]
            budget = limit.get("budget", document["coprocessors"][0]["free_collateral"])
            match limit["measure"]:
                case "cvar":
                    right = cvar_of(losses, chances, limit["level"])
                case _:
                    right = excess_probability(losses, chances, budget)
            assert (told.measure, told.of, told.standard_error) == (limit["measure"], of, 0.0)
            assert told.out_of_sample == pytest.approx(right, rel=1e-9, abs=1e-12)


def test_plans_of_fresh_scenarios_are_still_verified(monkeypatch):
    """Whoever measured on fresh scenarios is checked on these; whoever claims to be exact has to be."""
    instance = bondwork.load(draw_document("outages", 7))
    with monkeypatch.context() as patch:
        patch.setattr(exact_tails.ExactTails, "value", lambda *_: None)
        sampled = bondwork.solve(instance)
    exact = bondwork.solve(instance)
    assert sampled.risk[0].standard_error > 0.0
    for plan in (sampled, exact):
        assert not bondwork.verify(instance, plan).findings
    for word, value in (("out_of_sample", 0.99), ("standard_error", 1e-6)):
        told = exact.risk[0].model_copy(
            update={word: value * exact.risk[0].out_of_sample if word == "out_of_sample" else value}
        )
        false = exact.model_copy(update={"risk": [told, *exact.risk[1:]]})
        assert bondwork.verify(instance, false).findings


@pytest.mark.parametrize("common", [0.1, 0.0])
def test_what_depends_on_factors_is_sampled(common):
    document = draw_document("plain", 3)
    document["uncertainty"]["dependence"] = {"common": common, "coprocessor": 0.0 if common else 0.2}
    plan = bondwork.solve(bondwork.load(document))
    assert plan.verified
    assert plan.risk[0].standard_error > 0.0


def many(amounts, p=0.95):
    return {
        "format": "bondwork.round/1",
        "operators": [{"id": "op"}],
        "coprocessors": [{"id": "c"}],
        "tasks": [
            {"id": f"t{n}", "operator": "op", "reward": 1000, "slashing": a} for n, a in enumerate(amounts)
        ],
        "offers": [
            {"task": f"t{n}", "coprocessor": "c", "bid": 1, "success_probability": p}
            for n in range(len(amounts))
        ],
        "risk": [{"measure": "cvar", "level": 0.95, "budget": 1e6}],
        "uncertainty": {"scenarios": 32},
    }


def test_many_equal_amounts_are_exact_and_many_different_ones_sampled():
    equal = bondwork.solve(bondwork.load(many([12.5] * 200)))
    assert equal.risk[0].standard_error == 0.0
    law = np.array([math.comb(200, k) * 0.05**k * 0.95 ** (200 - k) for k in range(201)])
    above = law[::-1].cumsum()[::-1]
    right = 12.5 / 0.05 * np.minimum(above[1:], 0.05).sum()
    assert equal.risk[0].out_of_sample == pytest.approx(right, rel=1e-9)
    different = [math.pi * 10 + math.sqrt(n) for n in range(40)]
    sampled = bondwork.solve(bondwork.load(many(different)))
    assert sampled.verified
    assert sampled.risk[0].standard_error > 0.0


def test_uncertain_probabilities_of_one_executor_are_sampled():
    document = many([10, 20, 30])
    for offer in document["offers"]:
        offer["success_probability"] = {"mean": 0.9, "concentration": 20}
    plan = bondwork.solve(bondwork.load(document))
    assert plan.verified
    assert plan.risk[0].standard_error > 0.0


def test_calibrated_limits_hold_exactly():
    document = many([30, 20, 45, 50, 25, 35, 40])
    document["risk"] = [{"measure": "cvar", "level": 0.95, "budget": 70, "calibrate": True}]
    plan = bondwork.solve(bondwork.load(document), mip_rel_gap=0.0)
    assert plan.verified
    (told,) = plan.risk
    assert told.holds
    assert told.standard_error == 0.0
    assert told.out_of_sample <= 70 * (1 + 1e-9)
