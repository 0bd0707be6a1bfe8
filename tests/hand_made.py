"""Rounds made by hand, small enough to know every number of their plans."""

from __future__ import annotations

import copy
from typing import Any

Document = dict[str, Any]


def offer(task: str, coprocessor: str, bid: float, **other: Any) -> Document:
    """Return an offer that succeeds for certain, unless ``success_probability`` says otherwise."""
    return {"task": task, "coprocessor": coprocessor, "bid": bid, "success_probability": 1.0} | other


def make_round(**lists: Any) -> Document:
    """Return a round with one operator ``op`` and one coprocessor ``cp`` unless other lists are given."""
    return copy.deepcopy(
        {"format": "bondwork.round/1", "operators": [{"id": "op"}], "coprocessors": [{"id": "cp"}]} | lists
    )


def everyone_busy() -> Document:
    """Four tasks, all done: two delegated to a serial coprocessor, one to another, one executed by oneself.

    Nothing is limited; what is used of each thing that could be is written beside it.
    """
    return make_round(
        operators=[{"id": "op-1"}, {"id": "op-2"}],  # slashing of op-1: 8 + 4 + 2, its expected loss 2.5
        coprocessors=[
            {"id": "cp-1"},  # compute 3, collateral 12, expected loss 1
            {"id": "cp-2", "serial": True, "free_at": 100},  # 300 s by 500, 500 s by 700; expected loss 2
        ],
        tasks=[
            {"id": "t-1", "operator": "op-1", "reward": 16, "slashing": 8, "work": {"compute": 3}},
            {"id": "t-2", "operator": "op-1", "reward": 8, "slashing": 4, "deadline": 500},
            {
                "id": "t-3",
                "claims": [{"operator": "op-2", "reward": 10, "slashing": 4}],
                "deadline": 700,
                "unassigned_cost": 1,
            },
            {"id": "t-4", "operator": "op-1", "reward": 4, "slashing": 2, "work": {"compute": 2}},
        ],
        offers=[
            offer("t-1", "cp-1", 4, collateral=12, success_probability=0.875),
            offer("t-2", "cp-2", 2, collateral=4, success_probability=0.75, duration=300),
            offer("t-3", "cp-2", 3, collateral=4, success_probability=0.75, duration=200),
            offer("t-1", "cp-2", 15, collateral=12, success_probability=0.5),
        ],
        self_execution=[{"task": "t-4", "operator": "op-1", "cost": 1, "success_probability": 0.75}],
    )


def market() -> Document:
    """Nine tasks: one held, one required, three left for different reasons, with most kinds of limits."""
    return make_round(
        name="market",
        currency="ETH",
        operators=[{"id": "op-1", "stake": 40, "capacity": {"compute": 2}}, {"id": "op-2"}],
        coprocessors=[
            {"id": "cp-1", "capacity": {"compute": 8}, "free_collateral": 28},
            {"id": "cp-2", "capacity": {"compute": 6}, "serial": True, "free_at": 100},
        ],
        tasks=[
            {
                "id": "t-1",
                "operator": "op-1",
                "reward": 16,
                "slashing": 16,
                "minimum_collateral": 8,
                "work": {"compute": 4},
                "required": True,
            },
            {
                "id": "t-2",
                "claims": [
                    {"operator": "op-1", "reward": 6, "slashing": 4},
                    {"operator": "op-2", "reward": 8, "slashing": 8},
                ],
                "work": {"compute": 2},
                "unassigned_cost": 1,
            },
            {
                "id": "t-3",
                "operator": "op-2",
                "reward": 10,
                "slashing": 8,
                "work": {"compute": 4},
                "deadline": 600,
            },
            {"id": "t-4", "operator": "op-1", "reward": 3, "slashing": 2, "work": {"compute": 2}},
            {
                "id": "thin",
                "operator": "op-2",
                "reward": 12,
                "slashing": 4,
                "minimum_collateral": 5,
                "deadline": 50,
            },
            {"id": "dear", "operator": "op-2", "reward": 2, "slashing": 8},
            {"id": "late", "operator": "op-2", "reward": 9, "slashing": 4, "work": {"compute": 4}},
            {"id": "done", "operator": "op-1", "reward": 9, "slashing": 8},
        ],
        offers=[
            offer("t-1", "cp-1", 5, collateral=16, success_probability=0.875),
            offer("t-1", "cp-2", 7, collateral=16, success_probability=0.9375, duration=50),
            offer("t-2", "cp-1", 2, collateral=8, success_probability=0.875),
            offer("t-2", "cp-2", 2, collateral=8, success_probability=0.75, operator="op-2", duration=100),
            offer("t-3", "cp-2", 3, collateral=8, success_probability=0.875, duration=300),
            offer("t-3", "cp-1", 1, collateral=8, success_probability=0.5),
            offer("thin", "cp-1", 1, collateral=4),
            offer("thin", "cp-2", 1, collateral=6, duration=10),
            offer("dear", "cp-1", 3, collateral=8, success_probability=0.75),
            offer("late", "cp-1", 4, collateral=4, success_probability=0.875),
        ],
        self_execution=[{"task": "t-4", "operator": "op-1", "cost": 1, "success_probability": 0.9375}],
        commitments=[
            {
                "id": "k-1",
                "task": "done",
                "operator": "op-1",
                "executor": "cp-1",
                "collateral": 8,
                "work": {"compute": 1},
                "success_probability": 0.875,
            }
        ],
        terms={
            "bid_paid": "on_success",
            "collateral_split": {"burned": 0.5, "operator": 0.25, "treasury": 0.25},
            "collateral_rate": 0.5,
        },
        risk=[
            {"measure": "expected", "budget": 8, "of": "network"},
            {"measure": "expected", "budget": 6, "of": "coprocessor"},
            {"measure": "cvar", "budget": 1000, "level": 0.95, "of": {"operator": "op-2"}},
        ],
    )
