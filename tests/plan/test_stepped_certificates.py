"""Certificates where the linear relaxation of all nodes is not solved in time: multipliers by steps."""

from __future__ import annotations

import dataclasses
import random
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from scipy.sparse import csr_array

import bondwork
from bondwork.plan import horizon_certifying
from bondwork.program import rescue_proof
from bondwork.program.limit_prices import OnePerTask, Priced, lower_bound_by_steps
from hand_made import make_round, offer

if TYPE_CHECKING:
    from collections.abc import Callable


def crowded(kind: str, seed: int, tasks: int = 5) -> dict[str, Any]:
    """A round whose work and collateral suffice for about half of what there is to do."""
    rng = random.Random(f"{kind} {seed}")
    names = ["a", "b", "c"]

    def some(prefix: str) -> list[dict[str, Any]]:
        return [
            {"id": f"{prefix}{k}", "operator": "op", "reward": rng.randint(5, 40), "unassigned_cost": 1}
            | {"slashing": rng.randint(5, 80), "work": {"g": rng.randint(1, 5)}, "required": k == 0}
            for k in range(tasks)
        ]

    def bids(work: list[dict[str, Any]], **more: Any) -> list[dict[str, Any]]:
        return [
            offer(each["id"], who, rng.randint(1, 4), collateral=rng.randint(1, 6), **more)
            | {"success_probability": rng.choice([0.7, 0.9]), "duration": rng.choice([10, 200])}
            | ({"id": f"{each['id']} {who}"} if more else {})
            for each in work
            for who in names
        ]

    now = some("t")
    document = make_round(
        coprocessors=[{"id": each, "capacity": {"g": 8}, "free_collateral": 9} for each in names],
        tasks=now,
        offers=bids(now),
        risk=[{"measure": "expected", "budget": 30, "of": "network"}],
        now=0,
        uncertainty={"scenarios": 16, "seed": 1},
    )
    if kind == "second stage":
        document["offers"] += bids(now, stage=2)
    else:
        later = [each | {"required": False} for each in some("u")]
        document["periods"] = [{"id": "next", "at": 100, "tasks": later, "offers": bids(later)}]
    return document


def solved(document: dict[str, Any]) -> tuple[bondwork.Instance, bondwork.Plan]:
    instance = bondwork.load(document)
    return instance, bondwork.solve(instance, strategy="extensive", mip_rel_gap=0.2, threads=1)


@pytest.fixture
def unsolved(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Let relaxations of more columns than are given end at a time limit."""

    def end_them(columns: int) -> None:
        for module in (rescue_proof, horizon_certifying):
            real = module.solve_program

            def ended(matrices: Any, *args: Any, real: Any = real, **how: Any) -> Any:
                answer = real(matrices, *args, **how)
                large = len(matrices.objective) > columns
                return dataclasses.replace(answer, status="time_limit", row_duals=None) if large else answer

            monkeypatch.setattr(module, "solve_program", ended)

    return end_them


@pytest.mark.parametrize("kind", ["second stage", "periods"])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_steps_prove_nearly_what_the_relaxation_does(kind: str, seed: int, unsolved: Any):
    document = crowded(kind, seed)
    instance, whole = solved(document)
    assert whole.certificate is not None and whole.certificate.bound is not None
    unsolved(len(document["offers"]))
    _, stepped = solved(document)
    assert bondwork.verify(instance, stepped)
    assert stepped.certificate is not None and stepped.certificate.bound is not None
    best, found = whole.certificate.bound, stepped.certificate.bound
    assert best - 1e-6 * abs(best) <= found <= best + 0.02 * abs(best)


def test_steps_end_at_the_best_multipliers_of_a_knapsack():
    # tasks worth 6, 5 and 4 that take 3, 2 and 2 of 4: at most 9, fractions included
    priced = Priced(
        np.array([6.0, 5.0, 4.0]),
        -1.0,
        csr_array(np.array([[3.0, 2.0, 2.0]])),
        np.array([4.0]),
        np.ones(1),
        OnePerTask(np.array([0, 1, 2]), np.zeros(3, dtype=bool)),
    )
    prices, bound = lower_bound_by_steps(priced, np.zeros(1), 8.0, ends=time.perf_counter() + 60.0)
    assert bound == pytest.approx(8.0, abs=0.05) and prices[0] == pytest.approx(2.0, abs=0.05)


def test_what_is_too_large_by_itself_is_not_chosen_and_required_tasks_are():
    priced = Priced(
        np.array([90.0, 5.0, -3.0]),
        0.0,
        csr_array(np.array([[9.0, 1.0, 1.0]])),
        np.array([4.0]),
        np.ones(1),
        OnePerTask(np.array([0, 0, 1]), np.array([False, True])),
    )
    prices, bound = lower_bound_by_steps(priced, np.zeros(1), 2.0, ends=time.perf_counter() + 60.0)
    assert bound == pytest.approx(2.0) and prices.tolist() == [0.0]
