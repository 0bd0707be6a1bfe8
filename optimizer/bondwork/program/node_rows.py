"""Rows of a template in the making, some of whose entries are there only where an offer fails."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from bondwork.program.template import NodeTemplate
from bondwork.program.units import in_reach, row_units, unit_for

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike

    from bondwork.arrays import BoolArray, FloatArray, IntArray
    from bondwork.uncertainty.first_stage import FirstStage


def unique_names(names: Sequence[str]) -> list[str]:
    """Names made unique by numbers behind repeated ones; ids may hold any text.

    Examples
    --------
    >>> unique_names(["a", "b", "a", ""])
    ['a', 'b', 'a (2)', '-']
    """
    taken: set[str] = set()
    count: dict[str, int] = {}
    found = []
    for name in (each or "-" for each in names):
        new = name
        while new in taken:
            count[name] = count.get(name, 1) + 1
            new = f"{name} ({count[name]})"
        taken.add(new)
        found.append(new)
    return found


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a row of a staged program says of its round.

    Attributes
    ----------
    word, about
        Kind of the limit and whose it is, as certificates have it (docs/certificates.md).
    leaf
        Where the row is about the loss at one of the leaves behind a node; -1 otherwise.
    unit
        Units of the round in one of the row.
    """

    word: str
    about: tuple[int | float, ...]
    leaf: int = -1
    unit: float = 1.0


@dataclass(frozen=True, slots=True, eq=False)
class Spare:
    """What the first stage leaves of a limit: a column of the root, which all nodes then share out.

    ``values @ x[columns] + spare <= upper`` and ``spare >= 0``: written once, where the terms of the first
    stage would stand in a row of every node. Both sides are in a unit near the amounts.
    """

    name: str
    upper: float
    columns: IntArray
    values: FloatArray
    meaning: Meaning | None = None


class NodeRows:
    """Rows ``sum over root and own columns <= upper`` of the nodes behind a root.

    Parameters
    ----------
    choices
        How many columns the root has before the spares.
    decisions
        How many columns a node has before those of measures.
    outcomes
        What the nodes see.
    compact
        Share limits out by spares instead of repeating the terms of the first stage in every node.
    """

    def __init__(self, choices: int, decisions: int, outcomes: FirstStage, *, compact: bool) -> None:
        self.choices = choices
        self.compact = compact
        self.spares: list[Spare] = []
        self.decisions = decisions
        self.outcomes = outcomes
        self.names: list[str] = []
        self.meanings: list[Meaning | None] = []
        self.upper: list[float] = []
        self._row: list[IntArray] = []
        self._stage: list[IntArray] = []
        self._column: list[IntArray] = []
        self._value: list[FloatArray] = []
        self._otherwise: list[FloatArray] = []
        #: Failure (a place in the outcomes) without which an entry is 0; -1: always there.
        self._failure: list[IntArray] = []
        self._upper_changes: list[tuple[int, FloatArray]] = []
        self._entry_changes: list[tuple[int, FloatArray]] = []
        self._entries = 0

    def add(self, name: str, upper: float, meaning: Meaning | None = None) -> int:
        """Begin a row; return its number."""
        self.names.append(name)
        self.meanings.append(meaning)
        self.upper.append(upper)
        return len(self.names) - 1

    def own(self, row: int, columns: IntArray, values: ArrayLike) -> None:
        """Put the node's own columns into a row."""
        self._put(row, 1, columns, values, np.full(len(columns), -1))

    def share_out(
        self,
        name: str,
        upper: float,
        columns: IntArray,
        values: ArrayLike,
        meaning: Meaning | None = None,
    ) -> int:
        """Begin a row for what the first stage leaves of a limit; return its number."""
        if not self.compact:
            row = self.add(name, upper, meaning)
            self.root(row, columns, values)
            return row
        row = self.add(name, 0.0, meaning)
        use = np.broadcast_to(np.asarray(values, dtype=np.float64), (len(columns),))
        unit = unit_for(float(np.abs(use).sum() or abs(upper)))
        self.root(row, np.array([self.choices + len(self.spares)]), -unit)
        if meaning is not None:
            meaning = replace(meaning, unit=unit)
        where = np.asarray(columns, dtype=np.int64)
        self.spares.append(Spare(name, upper / unit, where, use / unit, meaning))
        return row

    def root(self, row: int, columns: IntArray, values: ArrayLike) -> None:
        """Put columns of the root into a row."""
        self._put(row, 0, columns, values, np.full(len(columns), -1))

    def if_failed(self, row: int, columns: IntArray, offers: IntArray, values: ArrayLike) -> None:
        """Put columns of the root into a row of those nodes in which the offers fail.

        Offers whose outcomes are not told apart never fail here.
        """
        known = np.isin(offers, self.outcomes.offers)
        amount = np.broadcast_to(np.asarray(values, dtype=np.float64), (len(columns),))[known]
        at = np.searchsorted(self.outcomes.offers, offers[known])
        self._put(row, 0, columns[known], amount, at)

    def luck(self, row: int, columns: IntArray, offers: IntArray, values: FloatArray) -> None:
        """Put columns of the root into a row with ``values`` times (failed - mean), whose mean is 0."""
        at = np.searchsorted(self.outcomes.offers, offers)
        share = self.outcomes.probability @ self.outcomes.failed[:, at]
        self._put(row, 0, columns, values * (1.0 - share), at, otherwise=-values * share)

    def own_by_node(self, row: int, column: int, values: FloatArray) -> None:
        """Put one own column into a row, with another value at each node. Shape (K,)."""
        self._entry_changes.append((self._entries, values))
        self.own(row, np.array([column]), 0.0)

    def upper_by_node(self, row: int, values: FloatArray) -> None:
        """Say the upper limit of a row at each node. Shape (K,)."""
        self._upper_changes.append((row, values))

    def _put(
        self,
        row: int,
        stage: int,
        columns: IntArray,
        values: ArrayLike,
        failure: IntArray,
        *,
        otherwise: ArrayLike = 0.0,
    ) -> None:
        size = len(columns)
        self._row.append(np.full(size, row))
        self._stage.append(np.full(size, stage))
        self._column.append(np.asarray(columns, dtype=np.int64))
        self._value.append(np.broadcast_to(np.asarray(values, dtype=np.float64), (size,)))
        self._otherwise.append(np.broadcast_to(np.asarray(otherwise, dtype=np.float64), (size,)))
        self._failure.append(failure)
        self._entries += size

    def template(
        self,
        columns: Sequence[str],
        *,
        cost: FloatArray,
        lower: FloatArray,
        upper: FloatArray,
        integer: BoolArray,
    ) -> NodeTemplate:
        """The template of all nodes: as if nothing failed. Rows are in units near their amounts."""
        none = np.zeros(0)
        self._all_failures = np.concatenate([*self._failure, none]).astype(np.int64)
        self._all_rows = np.concatenate([*self._row, none]).astype(np.int64)
        values, others = np.concatenate([*self._value, none]), np.concatenate([*self._otherwise, none])
        size = np.maximum(np.abs(values), np.abs(others))
        for at, by_node in self._entry_changes:
            size[at] = np.abs(by_node).max(initial=0.0)
        self._unit = row_units(self._all_rows, size, len(self.names))
        self._all_values, others = values / self._unit[self._all_rows], others / self._unit[self._all_rows]
        return NodeTemplate(
            1,
            tuple(columns),
            tuple(unique_names(self.names)),
            integer,
            self._all_rows,
            np.concatenate([*self._stage, none]).astype(np.int64),
            np.concatenate([*self._column, none]).astype(np.int64),
            np.concatenate(
                [
                    [0.0],
                    cost,
                    lower,
                    upper,
                    np.full(len(self.names), -np.inf),
                    in_reach(np.array(self.upper, dtype=np.float64) / self._unit),
                    np.where(self._all_failures < 0, self._all_values, others),
                ]
            ),
        )

    def told(self) -> tuple[Meaning | None, ...]:
        """What each row of the template says, its unit that of the template."""
        return tuple(
            each and replace(each, unit=each.unit * unit)
            for each, unit in zip(self.meanings, self._unit.tolist(), strict=True)
        )

    def changes(
        self, template: NodeTemplate, first_upper: FloatArray
    ) -> tuple[IntArray, IntArray, FloatArray]:
        """In what each node differs from the template, as `StochasticProgram` wants it.

        Parameters
        ----------
        first_upper
            Shape (K, Y). Upper bounds of the first Y columns, 0 in the template.
        """
        nodes, positions, values = [], [], []

        def put(node: IntArray, position: IntArray, value: FloatArray) -> None:
            nodes.append(node)
            positions.append(position)
            values.append(value)

        node, column = np.nonzero(first_upper)
        put(node, template.spans["upper"].start + column, first_upper[node, column])
        random = np.flatnonzero(self._all_failures >= 0)
        node, entry = np.nonzero(self.outcomes.failed[:, self._all_failures[random]])
        put(node, template.spans["entries"].start + random[entry], self._all_values[random[entry]])
        every = np.arange(len(self.outcomes))
        for row, by_node in self._upper_changes:
            position = np.full(len(every), template.spans["row_upper"].start + row)
            put(every, position, in_reach(by_node / self._unit[row]))
        for at, by_node in self._entry_changes:
            position = np.full(len(every), template.spans["entries"].start + at)
            put(every, position, by_node / self._unit[self._all_rows[at]])
        whole = np.concatenate(nodes)
        order = np.argsort(whole, kind="stable")
        start = np.concatenate([[0], np.cumsum(np.bincount(whole, minlength=len(every)))])
        return start, np.concatenate(positions)[order], np.concatenate(values)[order]
