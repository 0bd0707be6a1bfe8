"""Small rounds for the planner's tests."""

from __future__ import annotations

from typing import Any


def make_round(*tasks: str, now: float = 0.0, **changes: Any) -> dict[str, Any]:
    """One operator with a stake of 100, one coprocessor with 10 of collateral; each task takes 4 of it."""
    document = {
        "format": "bondwork.round/1",
        "currency": "ETH",
        "now": now,
        "operators": [{"id": "op", "stake": 100}],
        "coprocessors": [{"id": "cp", "free_collateral": "10"}],
        "tasks": [{"id": each, "operator": "op", "reward": 8, "slashing": 5} for each in tasks],
        "offers": [
            {"task": each, "coprocessor": "cp", "bid": 1, "collateral": 4, "success_probability": 0.9}
            for each in tasks
        ],
        "terms": {"collateral_split": {"burned": 0.5, "rescuer": 0.5}},
    }
    return document | changes


def accounts(state: Any) -> dict[str, tuple[str | None, ...]]:
    """Every account of a state, by id."""
    told = {each.id: (each.stake, each.balance) for each in state.operators}
    return told | {each.id: (each.free, each.locked, each.balance) for each in state.coprocessors}
