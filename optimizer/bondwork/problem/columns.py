"""From lists of well-formed entries to columns: what a round's own lists and its periods' have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bondwork.problem.instance import Tasks

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bondwork.arrays import FloatArray
    from bondwork.problem import schema


def amounts_by_resource(
    entries: Sequence[dict[str, float]], resources: Sequence[str], absent: float
) -> FloatArray:
    """Amounts of each entry by resource, ``absent`` where it names none. Shape (entries, R)."""
    table = np.full((len(entries), len(resources)), absent)
    number = {name: k for k, name in enumerate(resources)}
    for row, each in enumerate(entries):
        for name, amount in each.items():
            table[row, number[name]] = amount
    return table


def or_unlimited(values: Sequence[float | None]) -> FloatArray:
    """Return the values with ``inf`` for what is absent."""
    return np.array([np.inf if value is None else value for value in values], dtype=float)


def task_columns(entries: Sequence[schema.Task] | Sequence[schema.PeriodTask]) -> Tasks:
    """What tasks say of themselves; claims and work apart."""
    return Tasks(
        ids=tuple(t.id for t in entries),
        minimum_collateral=np.array([t.minimum_collateral for t in entries], dtype=float),
        deadline=or_unlimited([t.deadline for t in entries]),
        required=np.array([t.required for t in entries], dtype=bool),
        unassigned_cost=np.array([t.unassigned_cost for t in entries], dtype=float),
        replicas=np.array([t.replicas for t in entries], dtype=np.int64),
        quorum=np.array([t.quorum for t in entries], dtype=np.int64),
    )
