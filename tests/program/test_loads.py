"""Load incentives in the objective: against trying every choice, in every formulation and strategy."""

from __future__ import annotations

import dataclasses
import itertools
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import bondwork
from bondwork.contracts import Options
from bondwork.market.load_curve import LoadIncentive
from bondwork.observing import Silence
from bondwork.problem.support import unsupported
from bondwork.solver.solving import solve_program
from hand_made import Document, make_round, offer
from market.curves import LETTERS, as_json, by_hand, continuous_curves, joined
from oracle import Choice, Oracle

if TYPE_CHECKING:
    from collections.abc import Iterator

FORMULATIONS = ["highs", "pyomo", "cvxpy"]
HUMP = LoadIncentive()
VALLEY = joined(-1.0, 0.6, -1.2, 0.5, 0.8, 3.0, 0.7)


class EveryChoice:
    """A round with load curves, worked out choice by choice."""

    def __init__(self, document: Document) -> None:
        self.oracle = Oracle(document)
        self.curves = {c["id"]: c["load_curve"] for c in document["coprocessors"] if c.get("load_curve")}
        self.capacity = {c["id"]: c.get("capacity", {}) for c in document["coprocessors"]}

    def load(self, name: str, taken: tuple[Choice, ...]) -> float:
        resource = self.curves[name]["resource"]
        label = f"capacity {resource} of {name}"
        work = self.oracle.limits[label].used + sum(each.uses.get(label, 0) for each in taken)
        return float(work) / self.capacity[name][resource]

    def incentive(self, name: str, load: float) -> float:
        curve = self.curves[name]
        return curve["scale"] * by_hand(LoadIncentive(*(curve[letter] for letter in LETTERS)), load)

    def value(self, taken: tuple[Choice, ...]) -> float:
        loads = ((name, self.load(name, taken)) for name in self.curves)
        extra = sum(self.curves[name]["weight"] * self.incentive(name, load) for name, load in loads)
        return float(self.oracle.value(taken)) + extra

    def feasible(self) -> Iterator[tuple[Choice, ...]]:
        ways = [[None, *(c for c in self.oracle.choices if c.task == name)] for name in self.oracle.cost]
        for way in itertools.product(*ways):
            taken = tuple(choice for choice in way if choice is not None)
            limits = self.oracle.limits.items()
            if all(limit.used + sum(c.uses.get(k, 0) for c in taken) <= limit.bound for k, limit in limits):
                yield taken

    def best(self) -> float:
        return max(map(self.value, self.feasible()))


def loaded_round(
    seed: int, curves: list[LoadIncentive], weights: list[float], *, tasks: int = 5, **more: object
) -> Document:
    """A few tasks for two coprocessors with load curves and one without, with commitments of the first."""
    rng = np.random.default_rng(seed)

    def number(low: float, high: float) -> float:
        return round(float(rng.uniform(low, high)), 2)

    coprocessors = [
        {"id": f"cp-{i}", "capacity": {"gpu": 10}, "load_curve": as_json(curve, scale=6.0, weight=weight)}
        for i, (curve, weight) in enumerate(zip(curves, weights, strict=True))
    ]
    coprocessors.append({"id": "plain", "capacity": {"gpu": 4}})
    return make_round(
        coprocessors=coprocessors,
        tasks=[
            {"id": "held", "operator": "op", "reward": 4, "slashing": 2},
            *(
                {
                    "id": f"t-{i}",
                    "operator": "op",
                    "reward": number(2, 8),
                    "slashing": 4,
                    "work": {"gpu": number(1, 5)},
                    "unassigned_cost": number(0, 1),
                }
                for i in range(tasks)
            ),
        ],
        offers=[
            offer(f"t-{i}", c["id"], number(1, 7), success_probability=number(0.5, 1))
            for i in range(tasks)
            for c in coprocessors
            if rng.random() < 0.8
        ],
        commitments=[
            {
                "id": "k",
                "task": "held",
                "operator": "op",
                "executor": "cp-0",
                "work": {"gpu": number(0, 4)},
                "success_probability": 0.5,
            }
        ],
        **more,
    )


def check(document: Document, plan: bondwork.Plan) -> None:
    """The plan is within its stated error of the best choice, and exact about itself."""
    every = EveryChoice(document)
    best = every.best()
    assert plan.status == "optimal"
    scale = 1.0 + abs(best)
    assert best - plan.load_error - 1e-7 * scale <= plan.objective <= best + 1e-7 * scale
    assert best - 1e-7 * scale <= plan.bound <= best + plan.load_error + 1e-6 * scale
    taken = tuple(every.oracle.choice(a.offer, a.operator, a.executor) for a in plan.assignments)
    assert plan.objective == pytest.approx(every.value(taken), rel=1e-9, abs=1e-9)
    assert [each.coprocessor for each in plan.loads] == list(every.curves)
    for each in plan.loads:
        assert each.load == pytest.approx(every.load(each.coprocessor, taken), rel=1e-12)
        assert each.incentive == pytest.approx(every.incentive(each.coprocessor, each.load), rel=1e-9)


weights = st.sampled_from([1.0, -1.0, 0.5, 0.0])


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), continuous_curves(), continuous_curves(), weights, weights)
def test_the_best_choice_within_the_stated_error(
    seed: int, one: LoadIncentive, other: LoadIncentive, first: float, second: float
):
    document = loaded_round(seed, [one, other], [first, second])
    plan = bondwork.solve(bondwork.load(document), strategy="extensive", mip_rel_gap=0.0, threads=1)
    check(document, plan)


@pytest.mark.parametrize("formulation", FORMULATIONS)
@pytest.mark.parametrize("weight", [1.0, -1.0], ids=["earned", "paid"])
@pytest.mark.parametrize("curve", [HUMP, VALLEY], ids=["hump", "valley"])
def test_every_formulation(curve: LoadIncentive, weight: float, formulation: str):
    document = loaded_round(3, [curve, HUMP], [weight, 1.0])
    plan = bondwork.solve(
        bondwork.load(document), strategy="extensive", formulation=formulation, mip_rel_gap=0.0, threads=1
    )
    check(document, plan)


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 10**6), continuous_curves(), weights)
def test_the_matrices_are_never_below_the_exact_value(seed: int, curve: LoadIncentive, weight: float):
    program = bondwork.build(bondwork.load(loaded_round(seed, [curve, HUMP], [weight, -1.0], tasks=2)))
    n = program.choices
    for x in itertools.product((0.0, 1.0), repeat=n):
        choice = np.array(x)
        if program.without_auxiliaries().excess(choice).max(initial=0.0) > 1e-9:
            continue
        lower, upper = program.lower.copy(), program.upper.copy()
        lower[:n] = upper[:n] = choice
        fixed = dataclasses.replace(program, lower=lower, upper=upper)
        answer = solve_program(fixed, Options(mip_rel_gap=0.0, threads=1), Silence())
        above = answer.bound - program.value(choice)
        assert -1e-7 <= above <= program.load_error + 1e-6


def test_three_formulations_relax_to_the_same_bound():
    document = loaded_round(8, [HUMP, VALLEY], [1.0, 1.0])
    bounds = []
    for name in FORMULATIONS:
        program = bondwork.build(bondwork.load(document), name)
        answer = solve_program(program, Options(threads=1), Silence(), relaxed=True)
        bounds.append(answer.bound)
        assert program.load_error == bondwork.build(bondwork.load(document)).load_error
    assert bounds == pytest.approx([bounds[0]] * 3, rel=1e-9)


@pytest.mark.parametrize("strategy", ["greedy", "relaxation"])
@pytest.mark.parametrize("seed", range(4))
def test_heuristics_count_loads_exactly_and_below_the_best(seed: int, strategy: str):
    document = loaded_round(seed, [HUMP, VALLEY], [1.0, -1.0], tasks=6)
    instance = bondwork.load(document)
    plan = bondwork.solve(instance, strategy=strategy, threads=1)  # verified, reasons and all
    every = EveryChoice(document)
    taken = tuple(every.oracle.choice(a.offer, a.operator, a.executor) for a in plan.assignments)
    assert plan.objective == pytest.approx(every.value(taken), abs=1e-9)
    assert plan.objective <= every.best() + 1e-9 <= plan.bound + 2e-9


def test_doing_nothing_earns_the_incentive_of_the_commitments():
    document = loaded_round(1, [HUMP, HUMP], [1.0, 1.0], tasks=0)
    plan = bondwork.solve(bondwork.load(document), mip_rel_gap=0.0)
    held = document["commitments"][0]["work"]["gpu"] / 10
    assert plan.objective == pytest.approx(6.0 * (by_hand(HUMP, held) + by_hand(HUMP, 0.0)))
    assert plan.bound == pytest.approx(plan.objective)
    assert plan.load_error == 0.0


def test_an_offer_that_loses_is_taken_where_its_load_earns_more():
    document = make_round(
        coprocessors=[
            {
                "id": "cp",
                "capacity": {"gpu": 2},
                "load_curve": as_json(HUMP, scale=4, weight=1, resource="gpu"),
            }
        ],
        tasks=[{"id": "t", "operator": "op", "reward": 1, "work": {"gpu": 1}}],
        offers=[offer("t", "cp", 2)],
    )
    for strategy in ("extensive", "greedy", "relaxation"):
        plan = bondwork.solve(bondwork.load(document), strategy=strategy)
        assert plan.objective == pytest.approx(-1.0 + 4.0 * 0.8)
    document["coprocessors"][0]["load_curve"]["weight"] = 0.1
    plan = bondwork.solve(bondwork.load(document))
    assert [each.reason for each in plan.unassigned] == ["not_worth_it"]
    assert plan.loads[0].incentive == pytest.approx(4.0 * by_hand(HUMP, 0.0))


def test_a_risk_weight_takes_its_share_of_loads_too():
    document = loaded_round(5, [HUMP, VALLEY], [1.0, 1.0], objective={"risk_weight": 0.25, "risk_level": 0.5})
    document["uncertainty"] = {"scenarios": 16, "sampling": "monte_carlo"}
    plans = [
        bondwork.solve(bondwork.load(document), formulation=name, mip_rel_gap=0.0, threads=1)
        for name in FORMULATIONS
    ]
    values = [plan.objective for plan in plans]
    assert values == pytest.approx([values[0]] * 3, abs=2 * plans[0].load_error + 1e-7)
    whole = bondwork.build(bondwork.load({k: v for k, v in document.items() if k != "objective"}))
    assert plans[0].load_error == pytest.approx(0.75 * whole.load_error)


def test_beside_a_tail_limit_in_rows_and_in_cuts():
    document = loaded_round(6, [HUMP, VALLEY], [1.0, 1.0])
    document["uncertainty"] = {"scenarios": 32, "sampling": "monte_carlo"}
    limit = {"measure": "cvar", "level": 0.75, "budget": 1e6, "of": "network"}
    plans = {}
    for form in ("rows", "cuts"):
        free = bondwork.solve(bondwork.load(document | {"risk": [limit]}), mip_rel_gap=0.0, risk_form=form)
        budget = round(0.75 * free.risk[0].in_sample, 6)
        tight = bondwork.load(document | {"risk": [limit | {"budget": budget}]})
        plans[form] = bondwork.solve(tight, mip_rel_gap=0.0, threads=1, risk_form=form)
        assert plans[form].status == "optimal"
        assert plans[form].objective < free.objective
        assert plans[form].risk[0].in_sample <= budget * (1.0 + 1e-6)
    rows, cuts = plans["rows"], plans["cuts"]
    assert rows.objective == pytest.approx(cuts.objective, abs=rows.load_error + 1e-6)


def test_required_tasks_are_done_even_where_loads_cost():
    document = loaded_round(2, [HUMP, HUMP], [-3.0, -3.0], tasks=3)
    for task in document["tasks"][1:]:
        task["required"] = True
    document["offers"] = [offer(f"t-{i}", f"cp-{i % 2}", 1) for i in range(3)]
    for strategy in ("extensive", "greedy", "relaxation"):
        plan = bondwork.solve(bondwork.load(document), strategy=strategy)
        assert len(plan.assignments) == 3


def test_what_is_impossible_is_told_without_the_loads():
    document = loaded_round(2, [HUMP, HUMP], [1.0, 1.0], tasks=1)
    document["tasks"][1] |= {"required": True, "work": {"gpu": 11}}
    document["offers"] = [offer("t-0", "cp-1", 1)]
    plan = bondwork.solve(bondwork.load(document))
    assert plan.status == "infeasible"
    assert plan.conflict.limits == ["task t-0 required", "capacity gpu of cp-1"]


def test_lagrangian_refuses_and_auto_falls_back():
    document = loaded_round(4, [HUMP, HUMP], [1.0, 0.5])
    with pytest.raises(bondwork.Refusal, match="load incentives"):
        bondwork.solve(bondwork.load(document), strategy="lagrangian")
    many = 1001
    document["tasks"] += [{"id": f"m-{i}", "operator": "op", "reward": 1.0 + i / many} for i in range(many)]
    document["offers"] += [offer(f"m-{i}", c, 0.5) for i in range(many) for c in ("cp-0", "cp-1")]
    plan = bondwork.solve(bondwork.load(document), strategy="auto", threads=1, mip_rel_gap=0.01)
    assert plan.strategy == "extensive"
    assert any("lagrangian refused" in note and "load" in note for note in plan.provenance.notes)


def test_later_stages_beside_a_weighted_curve_are_refused():
    document = loaded_round(4, [HUMP, HUMP], [1.0, 1.0])
    document["offers"].append(offer("t-0", "plain", 5, id="rescue", stage=2))
    assert any("load curve" in reason for reason in unsupported(bondwork.load(document)))


@pytest.mark.parametrize("field", ["load", "incentive", "load_error", "missing", "objective"])
def test_verify_recomputes_loads(field: str):
    instance = bondwork.load(loaded_round(7, [HUMP, VALLEY], [1.0, 1.0]))
    plan = bondwork.solve(instance, mip_rel_gap=0.0)
    assert bondwork.verify(instance, plan)
    changed = plan.model_dump()
    if field == "missing":
        changed["loads"] = changed["loads"][1:]
    elif field == "load_error":
        changed["load_error"] = 0.01
    elif field == "objective":
        changed |= {"objective": plan.objective + 0.01, "bound": plan.bound + 0.01}
    else:
        changed["loads"][0][field] += 1e-6
    assert not bondwork.verify(instance, bondwork.Plan.model_validate(changed))


def test_terms_of_loads_that_cannot_move_have_no_columns():
    document = loaded_round(1, [HUMP, HUMP], [1.0, 1.0])
    document["offers"] = [each for each in document["offers"] if each["coprocessor"] == "plain"]
    program = bondwork.build(bondwork.load(document))
    assert len(program.columns) == program.choices
    assert len(program.loads) == 2
    assert program.load_error == 0.0
