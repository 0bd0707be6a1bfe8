"""What the nodes of a stochastic program have in common: one template for all nodes that are alike.

A template holds every number of a node in one flat array, so that a node that differs in a few numbers is a
list of positions and values, and ten thousand nodes can be put together without a loop over their fields.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from bondwork.arrays import freeze_fields

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import ArrayLike

    from bondwork.arrays import BoolArray, FloatArray, IntArray

#: The fields of a node, in the order in which `NodeTemplate.values` holds them.
FIELDS = ("constant", "cost", "lower", "upper", "row_lower", "row_upper", "entries")


@dataclass(frozen=True, slots=True, eq=False)
class NodeTemplate:
    """Columns, rows and numbers of a node. n columns, m rows, E matrix entries.

    Attributes
    ----------
    stage
        The stage of its nodes, from 0.
    columns, rows
        n and m names, unique among themselves.
    integer
        Shape (n,), bool.
    entry_row, entry_stage, entry_column
        Shape (E,). Entry e stands in row ``entry_row[e]`` at column ``entry_column[e]`` of the ancestor at
        stage ``entry_stage[e]``, or of the node itself where that is ``stage``.
    values
        Shape (1 + 3n + 2m + E,): the `FIELDS` one after the other. Constant and costs in the unit of the
        objective, not weighted by probability; ``-inf`` and ``inf`` where there is no bound.
    spans
        Where each field stands in ``values``.
    """

    stage: int
    columns: tuple[str, ...]
    rows: tuple[str, ...]
    integer: BoolArray
    entry_row: IntArray
    entry_stage: IntArray
    entry_column: IntArray
    values: FloatArray
    spans: Mapping[str, slice] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        n, m, entries = len(self.columns), len(self.rows), len(self.entry_row)
        ends = np.cumsum([0, 1, n, n, n, m, m, entries]).tolist()
        spans = {name: slice(*span) for name, span in zip(FIELDS, pairwise(ends), strict=True)}
        object.__setattr__(self, "spans", MappingProxyType(spans))
        for name, size in (
            ("integer", n),
            ("entry_stage", entries),
            ("entry_column", entries),
            ("values", ends[-1]),
        ):
            if getattr(self, name).shape != (size,):
                raise ValueError(f"{name} has shape {getattr(self, name).shape}, expected ({size},)")
        freeze_fields(self, "integer", "entry_row", "entry_stage", "entry_column", "values")

    @classmethod
    def make(
        cls,
        stage: int,
        columns: Sequence[str],
        rows: Sequence[str] = (),
        *,
        cost: ArrayLike,
        lower: ArrayLike = 0.0,
        upper: ArrayLike = np.inf,
        integer: ArrayLike = False,
        row_lower: ArrayLike = -np.inf,
        row_upper: ArrayLike = np.inf,
        entries: Sequence[tuple[int, int, int, float]] = (),
        constant: float = 0.0,
    ) -> NodeTemplate:
        """Make a template from its fields; a single number stands for all columns or rows.

        Parameters
        ----------
        entries
            ``(row, stage, column, value)`` each, by position.

        Examples
        --------
        >>> serve = NodeTemplate.make(1, ["serve"], ["stock", "demand"], cost=3.0, row_upper=[0.0, 2.0],
        ...                           entries=[(0, 0, 0, -1.0), (0, 1, 0, 1.0), (1, 1, 0, 1.0)])
        >>> serve.part("row_upper").tolist()
        [0.0, 2.0]
        """
        n, m = len(columns), len(rows)
        place = np.array([entry[:3] for entry in entries], dtype=np.int64).reshape(-1, 3)
        parts: list[tuple[ArrayLike, int]] = [
            (constant, 1),
            (cost, n),
            (lower, n),
            (upper, n),
            (row_lower, m),
            (row_upper, m),
            ([entry[3] for entry in entries], len(entries)),
        ]
        values = [np.broadcast_to(np.asarray(part, dtype=np.float64), (size,)) for part, size in parts]
        return cls(
            stage,
            tuple(columns),
            tuple(rows),
            np.broadcast_to(np.asarray(integer, dtype=np.bool_), (n,)).copy(),
            place[:, 0].copy(),
            place[:, 1].copy(),
            place[:, 2].copy(),
            np.concatenate(values),
        )

    def part(self, name: str) -> FloatArray:
        """One of the `FIELDS` as the template has it."""
        values: FloatArray = self.values[self.spans[name]]
        return values
