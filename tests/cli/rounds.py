"""Small rounds for commands to work on."""

from __future__ import annotations

import json
import random
import re
from pathlib import Path
from typing import Any

ROUNDS = Path(__file__).resolve().parents[2] / "data" / "rounds"
THREE_TASKS = ROUNDS / "three-tasks.json"


def small_round(**changes: Any) -> dict[str, Any]:
    """Return a round of two tasks and one coprocessor that has room for one of them."""
    return {
        "format": "bondwork.round/1",
        "currency": "ETH",
        "operators": [{"id": "op"}],
        "coprocessors": [{"id": "cp", "capacity": {"compute": 1}}],
        "tasks": [
            {"id": "t-1", "operator": "op", "reward": 8, "slashing": 4, "work": {"compute": 1}},
            {"id": "t-2", "operator": "op", "reward": 6, "slashing": 4, "work": {"compute": 1}},
        ],
        "offers": [
            {"task": "t-1", "coprocessor": "cp", "bid": 1, "success_probability": 0.75},
            {"task": "t-2", "coprocessor": "cp", "bid": 1, "success_probability": 0.75},
        ],
    } | changes


def conflicting_round() -> dict[str, Any]:
    """Both tasks are required, and there is room for one."""
    document = small_round()
    for task in document["tasks"]:
        task["required"] = True
    return document


def written(path: Path, document: dict[str, Any]) -> Path:
    path.write_text(json.dumps(document))
    return path


def without_timing(text: str) -> str:
    """Take the timing out of a plan's text and leave every other byte."""
    plain, count = re.subn(r'"timing": \{[^}]*\}', '"timing": {}', text)
    assert count == 1
    return plain


def packing_round() -> dict[str, Any]:
    """Every task is required and they fill every coprocessor to the brim: there is a plan, hard to find."""
    rng = random.Random(0)
    sizes: list[int] = []
    for _ in range(30):
        one, two = rng.randint(200, 450), rng.randint(200, 450)
        sizes += [one, two, 1000 - one - two]
    rng.shuffle(sizes)
    names = [f"cp-{i}" for i in range(30)]
    task = {"operator": "op", "reward": 1, "required": True}
    return small_round(
        coprocessors=[{"id": name, "capacity": {"compute": 1000}} for name in names],
        tasks=[{"id": f"t-{i}", "work": {"compute": size}, **task} for i, size in enumerate(sizes)],
        offers=[
            {"task": f"t-{i}", "coprocessor": name, "success_probability": 1}
            for i in range(len(sizes))
            for name in names
        ],
    )
