"""Rows over the columns of any nodes of a tree: what links decisions that no path holds together.

Two things need them: limits on the whole distribution (an expected loss, the total row of a CVaR), and rows
that keep decisions apart from what nobody observes where the tree tells more apart than people see.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bondwork.arrays import freeze_fields

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bondwork.arrays import BoolArray, FloatArray, IntArray


@dataclass(frozen=True, slots=True, eq=False)
class Linking:
    """R rows with E entries: ``row_lower <= sum of value * column of node <= row_upper``.

    Numbers stand as they are: an expectation has the probabilities of its nodes in ``entry_value``.

    Attributes
    ----------
    rows
        R names, unique.
    row_lower, row_upper
        Shape (R,); ``-inf`` and ``inf`` where there is no limit.
    informational
        Shape (R,), bool. The row only keeps decisions from what nobody observes: wait and see drops it.
    entry_row, entry_node, entry_column, entry_value
        Shape (E,). Entry e stands in row ``entry_row[e]`` at column ``entry_column[e]`` of node
        ``entry_node[e]``; each place once.
    joint_node, joint_column
        Shape (J,). Columns that are no decisions but numbers of a measure over all scenarios, such as the
        threshold of a CVaR: wait and see keeps one of each where decisions get a copy a scenario.
    """

    rows: tuple[str, ...]
    row_lower: FloatArray
    row_upper: FloatArray
    informational: BoolArray
    entry_row: IntArray
    entry_node: IntArray
    entry_column: IntArray
    entry_value: FloatArray
    joint_node: IntArray
    joint_column: IntArray

    def __post_init__(self) -> None:
        for name in ("row_lower", "row_upper", "informational"):
            if getattr(self, name).shape != (len(self.rows),):
                raise ValueError(f"{name} has shape {getattr(self, name).shape}, expected {len(self.rows)}")
        for name in ("entry_node", "entry_column", "entry_value"):
            if getattr(self, name).shape != self.entry_row.shape:
                raise ValueError(f"{name} has shape {getattr(self, name).shape}, not that of entry_row")
        if self.joint_node.shape != self.joint_column.shape:
            raise ValueError("joint_node and joint_column differ in their shapes")
        freeze_fields(self, *(name for name in self.__slots__ if name != "rows"))

    @classmethod
    def none(cls) -> Linking:
        """No rows: what most programs have."""
        return cls.make()

    @classmethod
    def make(
        cls,
        rows: Sequence[tuple[str, float, float]] = (),
        entries: Sequence[tuple[int, int, int, float]] = (),
        *,
        informational: Sequence[int] = (),
        joint: Sequence[tuple[int, int]] = (),
    ) -> Linking:
        """Make rows from lists.

        Parameters
        ----------
        rows
            ``(name, lower, upper)`` each.
        entries
            ``(row, node, column, value)`` each, by position.
        informational
            Positions of the rows that only keep decisions from what nobody observes.
        joint
            ``(node, column)`` of the columns that stay one for all scenarios.

        Examples
        --------
        >>> both = Linking.make([("together", 0.0, 3.0)], [(0, 1, 0, 0.5), (0, 2, 0, 0.5)])
        >>> len(both), both.entry_node.tolist()
        (1, [1, 2])
        """
        place = np.array([entry[:3] for entry in entries], dtype=np.int64).reshape(-1, 3)
        shared = np.array(list(joint), dtype=np.int64).reshape(-1, 2)
        tells = np.zeros(len(rows), dtype=bool)
        tells[list(informational)] = True
        return cls(
            tuple(row[0] for row in rows),
            np.array([row[1] for row in rows], dtype=np.float64),
            np.array([row[2] for row in rows], dtype=np.float64),
            tells,
            place[:, 0].copy(),
            place[:, 1].copy(),
            place[:, 2].copy(),
            np.array([entry[3] for entry in entries], dtype=np.float64),
            shared[:, 0].copy(),
            shared[:, 1].copy(),
        )

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.rows)

    def joined(self, other: Linking) -> Linking:
        """Return these rows and, after them, those of another; names must not repeat."""
        return Linking(
            self.rows + other.rows,
            np.append(self.row_lower, other.row_lower),
            np.append(self.row_upper, other.row_upper),
            np.append(self.informational, other.informational),
            np.append(self.entry_row, len(self) + other.entry_row),
            np.append(self.entry_node, other.entry_node),
            np.append(self.entry_column, other.entry_column),
            np.append(self.entry_value, other.entry_value),
            np.append(self.joint_node, other.joint_node),
            np.append(self.joint_column, other.joint_column),
        )
