"""Limits on tails of what whole paths lose, and the mean-risk objective, as rows of a horizon's program.

A measure gives its rows over the columns of all nodes and further ones of its own. Those link nodes that no
path holds together: they are linking rows, and the further columns stand at the root, one for all scenarios.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import coo_array

from bondwork.program.horizon_losses import column_offsets
from bondwork.program.linking import Linking
from bondwork.program.node_rows import unique_names
from bondwork.program.units import in_reach, row_units
from bondwork.program.widening import Addition, widen
from bondwork.risk.limits import permit_committed

if TYPE_CHECKING:
    from bondwork.arrays import FloatArray, IntArray
    from bondwork.program.horizon import HorizonProgram
    from bondwork.risk.measure import Block, Measure


def with_measures(made: HorizonProgram) -> HorizonProgram:
    """Put the rows of all measures of a horizon's program into it."""
    limits, priced = permit_committed(made.measures.limits), made.measures.priced
    measures: list[Measure] = [*limits, *([] if priced is None else [priced])]
    if not measures:
        return made
    blocks = [each.block() for each in measures]
    names = [f"{m.label} {k + 1}" for m, b in zip(measures, blocks, strict=True) for k in range(len(b.lower))]
    cost = np.zeros(len(names))
    if priced is not None and len(blocks[-1].measured):
        weight = made.tree.horizon.instance.objective.risk_weight
        cost[len(names) - len(blocks[-1].measured) :] = -weight * blocks[-1].measured / made.unit
    own = Addition(
        columns=names,
        cost=cost,
        lower=np.concatenate([each.lower for each in blocks]),
        upper=in_reach(np.concatenate([each.upper for each in blocks])),
        integer=np.concatenate([each.integer for each in blocks]),
    )
    rows = _Rows(made, len(made.program.template_of(0).columns))
    for measure, block in zip(measures, blocks, strict=True):
        rows.add(measure.label, block)
    wide = widen(made.program, {int(made.program.template[0]): own})  # of the root alone
    return dataclasses.replace(made, program=dataclasses.replace(wide, linking=rows.linking(len(names))))


class _Rows:
    """Collects linking rows of blocks over the columns of all nodes."""

    def __init__(self, made: HorizonProgram, first: int) -> None:
        self.offsets: IntArray = column_offsets(made.tree, made.teams)
        self.next = first
        self.names: list[str] = []
        self.lower: list[FloatArray] = []
        self.upper: list[FloatArray] = []
        self.parts: list[tuple[IntArray, IntArray, IntArray, FloatArray]] = []

    def add(self, label: str, block: Block) -> None:
        """Add the rows of a block that limit anything."""
        asks = np.flatnonzero(np.isfinite(block.row_upper) | np.isfinite(block.row_lower))
        matrix = coo_array(block.matrix.tocsr()[asks])
        size = int(self.offsets[-1])
        row, column = (each.astype(np.int64) for each in matrix.coords)
        own = column >= size
        node = np.where(own, 0, np.searchsorted(self.offsets, column, side="right") - 1)
        place = np.where(own, self.next + column - size, column - self.offsets[node])
        unit = row_units(row, np.abs(matrix.data), len(asks))
        self.parts.append((len(self.names) + row, node, place, matrix.data / unit[row]))
        self.names += [f"{label} {k + 1}" for k in asks.tolist()]
        self.lower.append(block.row_lower[asks] / unit)
        self.upper.append(in_reach(block.row_upper[asks] / unit))
        self.next += len(block.lower)

    def linking(self, own: int) -> Linking:
        """All rows; the last ``own`` columns of the root are numbers of measures."""
        row, node, place, value = (np.concatenate(each) for each in zip(*self.parts, strict=True))
        return Linking(
            tuple(unique_names(self.names)),
            np.concatenate(self.lower),
            np.concatenate(self.upper),
            np.zeros(len(self.names), dtype=bool),
            row,
            node,
            place,
            value,
            np.zeros(own, dtype=np.int64),
            np.arange(self.next - own, self.next),
        )
