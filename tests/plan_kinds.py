"""Small rounds whose plans have every part that plans may have, one kind of plan each."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import bondwork
from hand_made import Document, make_round, market, offer

if TYPE_CHECKING:
    from collections.abc import Callable


def replicated() -> Document:
    """Two tasks that several may do; one of them with a quorum."""
    return make_round(
        coprocessors=[{"id": "a"}, {"id": "b"}, {"id": "c", "capacity": {"gpu": 1}}],
        tasks=[
            {"id": "t", "operator": "op", "reward": 40, "slashing": 60, "replicas": 3, "quorum": 2},
            {"id": "u", "operator": "op", "reward": 20, "slashing": 5, "replicas": 2, "work": {"gpu": 1}},
        ],
        offers=[
            offer(task, who, bid, success_probability=p)
            for task, who, bid, p in (
                ("t", "a", 2, 0.9),
                ("t", "b", 3, 0.95),
                ("t", "c", 4, 0.8),
                ("u", "a", 1, 0.9),
                ("u", "c", 2, 0.99),
            )
        ],
    )


def two_stages(**more: Any) -> Document:
    """Two tasks with rescues, one of them left at first."""
    return make_round(
        coprocessors=[{"id": "a", "free_collateral": 100}, {"id": "b", "free_collateral": 60}],
        tasks=[
            {"id": "t", "operator": "op", "reward": 30, "slashing": 40},
            {"id": "u", "operator": "op", "reward": 10, "slashing": 30},
            {"id": "w", "operator": "op", "reward": 5, "slashing": 40},
        ],
        offers=[
            offer("t", "a", 4, collateral=40, success_probability=0.9),
            offer("t", "b", 6, collateral=40, success_probability=0.95, stage=2),
            offer("u", "b", 2, collateral=30, success_probability=0.9),
            offer("u", "a", 3, collateral=30, success_probability=0.8, stage=2),
            offer("w", "b", 4, success_probability=0.5),
        ],
        **more,
    )


def tails(**more: Any) -> Document:
    """Every measure of losses, calibrated and not."""
    return make_round(
        coprocessors=[{"id": name, "outage_probability": 0.05} for name in ("a", "b")],
        tasks=[
            {"id": f"t{i}", "operator": "op", "reward": 20 + i, "slashing": 10 * (i + 1)} for i in range(4)
        ],
        offers=[
            offer(f"t{i}", who, 3 + i, collateral=10, success_probability=0.9 if who == "a" else 0.95)
            for i in range(4)
            for who in ("a", "b")
        ],
        risk=[
            {"measure": "cvar", "budget": 60, "level": 0.9, "of": "network"},
            {"measure": "chance", "budget": 25, "probability": 0.25, "of": "coprocessor", "calibrate": False},
            {"measure": "worst_case", "budget": 90, "of": "network", "calibrate": False},
            {"measure": "expected", "budget": 9, "of": "operator"},
            {"measure": "ambiguous", "budget": 40, "radius": 0.01, "of": "network", "calibrate": False},
        ],
        uncertainty={"scenarios": 64, "seed": 3},
        **more,
    )


def periods() -> Document:
    """A later period that a round's collateral is kept for."""
    return make_round(
        now=0,
        coprocessors=[{"id": "a", "free_collateral": 40}],
        tasks=[
            {"id": "t", "operator": "op", "reward": 12, "slashing": 20, "deadline": 100},
            {"id": "t0", "operator": "op", "reward": 1, "slashing": 2},
        ],
        offers=[offer("t", "a", 3, collateral=30, success_probability=0.9)],
        commitments=[
            {
                "id": "k",
                "task": "t0",
                "operator": "op",
                "executor": "a",
                "collateral": 5,
                "success_probability": 0.9,
                "release_at": 50,
            }
        ],
        periods=[
            {
                "id": "next",
                "at": 200,
                "tasks": [{"id": "v", "operator": "op", "reward": 20, "slashing": 10}],
                "offers": [offer("v", "a", 4, collateral=20, success_probability=0.9)],
            }
        ],
    )


def impossible() -> Document:
    """Required tasks that capacity and a tail limit have no room for together."""
    return make_round(
        coprocessors=[{"id": "a", "capacity": {"gpu": 1}}, {"id": "b"}],
        tasks=[
            {"id": name, "operator": "op", "reward": 10, "slashing": 50, "required": True, "work": {"gpu": 1}}
            for name in ("t", "u")
        ],
        offers=[offer(name, who, 1, success_probability=0.5) for name in ("t", "u") for who in ("a", "b")],
        risk=[{"measure": "cvar", "budget": 10, "level": 0.5, "of": "network", "calibrate": False}],
        uncertainty={"scenarios": 64},
    )


def crowded() -> Document:
    """Required tasks of more work than there is room for."""
    return make_round(
        coprocessors=[{"id": "a", "capacity": {"gpu": 1}}],
        tasks=[
            {"id": name, "operator": "op", "reward": 10, "required": True, "work": {"gpu": 1}}
            for name in ("t", "u", "v")
        ],
        offers=[offer(name, "a", 1) for name in ("t", "u", "v")],
    )


#: A round of each kind, and the options of its solve.
KINDS: dict[str, tuple[Callable[[], Document], dict[str, Any]]] = {
    "market": (market, {}),
    "replicated": (replicated, {}),
    "two stages": (two_stages, {"value": True}),
    "two stages with risk": (
        lambda: two_stages(risk=[{"measure": "cvar", "budget": 60, "level": 0.8, "of": "network"}]),
        {},
    ),
    "tails": (tails, {}),
    "mean risk": (lambda: tails(objective={"risk_weight": 0.25, "risk_level": 0.9}), {}),
    "periods": (periods, {"value": True}),
    "impossible": (impossible, {}),
    "crowded": (crowded, {}),
    "greedy": (market, {"strategy": "greedy"}),
    "lagrangian": (market, {"strategy": "lagrangian"}),
}


@cache
def instance_of(kind: str) -> bondwork.Instance:
    """The round of a kind."""
    return bondwork.load(KINDS[kind][0]())


@cache
def plan_of(kind: str) -> bondwork.Plan:
    """The plan of a kind; never to be changed."""
    return bondwork.solve(instance_of(kind), **KINDS[kind][1])
