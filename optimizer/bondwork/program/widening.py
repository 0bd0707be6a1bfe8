"""Further columns and rows of the nodes of a stochastic program, behind those that it has."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from bondwork.program.node_rows import unique_names
from bondwork.program.template import FIELDS, NodeTemplate

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bondwork.arrays import BoolArray, FloatArray, IntArray
    from bondwork.program.stochastic import StochasticProgram


def _none() -> FloatArray:
    return np.zeros(0)


def _nobody() -> IntArray:
    return np.zeros(0, dtype=np.int64)


@dataclass(frozen=True, slots=True)
class Addition:
    """What is put behind the columns and rows of a template: n columns, m rows, E entries.

    Attributes
    ----------
    columns, rows
        Names, made unique where the template has them already.
    cost, lower, upper, integer
        Shape (n,).
    row_lower, row_upper
        Shape (m,).
    entry_row, entry_stage, entry_column, entry_value
        Shape (E,). Rows and own columns by their numbers in the widened template.
    constant
        What is added to the objective at every node.
    """

    columns: Sequence[str] = ()
    rows: Sequence[str] = ()
    cost: FloatArray = field(default_factory=_none)
    lower: FloatArray = field(default_factory=_none)
    upper: FloatArray = field(default_factory=_none)
    integer: BoolArray = field(default_factory=lambda: np.zeros(0, dtype=np.bool_))
    row_lower: FloatArray = field(default_factory=_none)
    row_upper: FloatArray = field(default_factory=_none)
    entry_row: IntArray = field(default_factory=_nobody)
    entry_stage: IntArray = field(default_factory=_nobody)
    entry_column: IntArray = field(default_factory=_nobody)
    entry_value: FloatArray = field(default_factory=_none)
    constant: float = 0.0

    def to(self, template: NodeTemplate) -> NodeTemplate:
        """The template with all of it."""
        more = {
            name: getattr(self, name) for name in ("cost", "lower", "upper", "row_lower", "row_upper")
        } | {"entries": self.entry_value}
        parts = [np.append(template.part(name), more.get(name, [])) for name in FIELDS]
        parts[0] = parts[0] + self.constant
        return NodeTemplate(
            template.stage,
            tuple(unique_names([*template.columns, *self.columns])),
            tuple(unique_names([*template.rows, *self.rows])),
            np.append(template.integer, self.integer),
            np.append(template.entry_row, self.entry_row),
            np.append(template.entry_stage, self.entry_stage),
            np.append(template.entry_column, self.entry_column),
            np.concatenate(parts),
        )


def widen(program: StochasticProgram, additions: Mapping[int, Addition]) -> StochasticProgram:
    """Put further columns and rows into templates of a program; its nodes keep the numbers they have.

    Parameters
    ----------
    additions
        By number of the template.

    Examples
    --------
    >>> from bondwork.program.stochastic import StochasticProgram
    >>> stake = NodeTemplate.make(0, ["x"], cost=-1.0, upper=10.0)
    >>> serve = NodeTemplate.make(1, ["y"], ["stock"], cost=3.0, row_upper=0.0,
    ...                           entries=[(0, 0, 0, -1.0), (0, 1, 0, 1.0)])
    >>> toy = StochasticProgram.from_changes(
    ...     "toy", "max", [stake, serve], parent=[-1, 0, 0], template=[0, 1, 1],
    ...     conditional=[1.0, 0.5, 0.5], changes=[{}, {("upper", 0): 2.0}, {("row_upper", 0): 6.0}])
    >>> z = Addition(columns=["z"], cost=np.array([2.0]), lower=np.zeros(1), upper=np.ones(1),
    ...              integer=np.array([False]))
    >>> wide = widen(toy, {1: z})
    >>> wide.node(1).upper.tolist(), wide.node(2).row_upper.tolist()
    ([2.0, 1.0], [6.0])
    """
    templates = [
        additions[k].to(each) if k in additions else each for k, each in enumerate(program.templates)
    ]
    kind = program.template[np.repeat(np.arange(len(program)), np.diff(program.change_start))]
    position, value = program.change_position.copy(), program.change_value.copy()
    for k, addition in additions.items():
        old, new = program.templates[k].spans, templates[k].spans
        mine = np.flatnonzero(kind == k)
        ends = np.array([old[name].stop for name in FIELDS])
        shift = np.array([new[name].start - old[name].start for name in FIELDS])
        value[mine] += np.where(program.change_position[mine] == 0, addition.constant, 0.0)
        position[mine] += shift[np.searchsorted(ends, program.change_position[mine], side="right")]
    return dataclasses.replace(
        program, templates=tuple(templates), change_position=position, change_value=value
    )
