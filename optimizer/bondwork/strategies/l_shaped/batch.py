"""Scenarios that share a template, as arrays: what a process needs to know to solve them all.

Numbers in which no two scenarios differ stand once, so an array has one line for all or one for each.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import csr_array, hstack

from bondwork.program.matrices import Matrices
from bondwork.program.strengthening import strengthen

if TYPE_CHECKING:
    from bondwork.arrays import BoolArray, FloatArray, IntArray
    from bondwork.program.stochastic import StochasticProgram


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """S scenarios of one template: ``maximise cost @ y``, ``row_lower <= T x + W y <= row_upper``.

    n columns, m rows; every array of lines has S of them, or one for all scenarios.

    Attributes
    ----------
    nodes, weight, cluster
        Shape (S,). Nodes of the program, probabilities, and the cut that each scenario goes into.
    cost, lower, upper
        Lines of shape (n,). Costs of the maximisation; of scenarios that cannot happen they are 0.
    row_lower, row_upper
        Lines of shape (m,).
    own_row, own_column, own
        Shapes (E,), (E,), lines of shape (E,). Entries of W.
    link_row, link_column, link
        Shapes (F,), (F,), lines of shape (F,). Entries of T.
    integer
        Shape (n,).
    width
        Columns of the first stage.
    columns
        Columns of the template; n of them.
    rows
        Rows of the template; those behind them strengthen the relaxation.
    """

    nodes: IntArray
    weight: FloatArray
    cluster: IntArray
    cost: FloatArray
    lower: FloatArray
    upper: FloatArray
    row_lower: FloatArray
    row_upper: FloatArray
    own_row: IntArray
    own_column: IntArray
    own: FloatArray
    link_row: IntArray
    link_column: IntArray
    link: FloatArray
    integer: BoolArray
    width: int
    rows: int

    @property
    def columns(self) -> int:
        """Columns of one scenario."""
        return len(self.integer)

    def __len__(self) -> int:
        """Return the number of scenarios."""
        return len(self.nodes)

    def part(self, first: int, last: int) -> Batch:
        """Return the scenarios from ``first`` to before ``last``."""

        def cut(lines: FloatArray) -> FloatArray:
            return lines if len(lines) == 1 else lines[first:last]

        return dataclasses.replace(
            self,
            nodes=self.nodes[first:last],
            weight=self.weight[first:last],
            cluster=self.cluster[first:last],
            cost=cut(self.cost),
            lower=cut(self.lower),
            upper=cut(self.upper),
            row_lower=cut(self.row_lower),
            row_upper=cut(self.row_upper),
            own=cut(self.own),
            link=cut(self.link),
        )

    def activity(self, x: FloatArray) -> FloatArray:
        """T x. Lines of shape (m,)."""
        count = self.row_lower.shape[1]
        products = self.link * x[self.link_column]
        collect = csr_array(
            (np.ones(len(self.link_row)), (np.arange(len(self.link_row)), self.link_row)),
            shape=(len(self.link_row), count),
        )
        return np.asarray(products @ collect)

    def matrices(self, at: int) -> tuple[csr_array, csr_array]:
        """W and T of one scenario."""
        m = self.row_lower.shape[1]
        own = csr_array((line(self.own, at), (self.own_row, self.own_column)), shape=(m, self.columns))
        link = csr_array((line(self.link, at), (self.link_row, self.link_column)), shape=(m, self.width))
        return own, link


def line(lines: FloatArray, at: int) -> FloatArray:
    """One scenario's line of an array that has one for all, or one for each."""
    return np.asarray(lines[0] if len(lines) == 1 else lines[at])


def make_batches(program: StochasticProgram, cluster: IntArray) -> list[Batch]:
    """Collect the scenarios of a two-stage program, one batch a template.

    Parameters
    ----------
    cluster
        Shape (N,). By node; the root's is not looked at.
    """
    batches = []
    for kind in np.unique(program.template[1:]).tolist():
        nodes = 1 + np.flatnonzero(program.template[1:] == kind)
        template = program.templates[kind]
        parts = {name: _lines(program.gather(nodes, name)) for name in template.spans if name != "constant"}
        weight = program.probability[nodes]
        sign = 1.0 if program.sense == "max" else -1.0
        cost = sign * parts["cost"]
        if np.any(weight == 0.0):
            # they count nothing, but their rows are to hold all the same
            cost = cost * (weight > 0.0)[:, None]
        link = template.entry_stage == 0
        batches.append(
            Batch(
                nodes,
                weight,
                cluster[nodes],
                cost,
                parts["lower"],
                parts["upper"],
                parts["row_lower"],
                parts["row_upper"],
                template.entry_row[~link],
                template.entry_column[~link],
                parts["entries"][:, ~link],
                template.entry_row[link],
                template.entry_column[link],
                _lines(parts["entries"][:, link]),
                template.integer,
                len(program.template_of(0).columns),
                len(template.rows),
            )
        )
    return [dataclasses.replace(each, own=_lines(each.own), link=_lines(each.link)) for each in batches]


def _lines(table: FloatArray) -> FloatArray:
    """One line where all are the same."""
    return table[:1].copy() if len(table) and np.all(table == table[0]) else table


def strengthened(batch: Batch, first: Matrices) -> tuple[Batch, int]:
    """Add the rows of `bondwork.program.strengthening` that hold in every scenario of a batch.

    They come from the rows of the template that no scenario changes, over the columns of both stages.

    Returns
    -------
    Batch
        With rows behind its own.
    int
        How many.
    """
    if not batch.integer.any() or len(batch.own) > 1 or len(batch.link) > 1:
        return batch, 0
    own, link = batch.matrices(0)
    m, n1 = own.shape[0], batch.width
    same = (np.ptp(_finite(batch.row_upper), axis=0) == 0.0) & (
        np.ptp(_finite(batch.row_lower), axis=0) == 0.0
    )
    both = _beside(link, own)
    program = Matrices(
        np.zeros(n1 + batch.columns),
        0.0,
        both,
        np.where(same, batch.row_lower[0], -np.inf),
        np.where(same, batch.row_upper[0], np.inf),
        np.append(first.lower, batch.lower.min(axis=0)),
        np.append(first.upper, batch.upper.max(axis=0)),
        np.append(first.integer, batch.integer),
    )
    stronger, added = strengthen(program)
    if not added:
        return batch, 0
    rows = stronger.matrix[m:].tocoo()
    ours = rows.col >= n1

    def more(lines: FloatArray, value: float) -> FloatArray:
        return np.hstack([lines, np.full((len(lines), added), value)])

    stronger_batch = dataclasses.replace(
        batch,
        row_lower=more(batch.row_lower, -np.inf),
        row_upper=more(batch.row_upper, 0.0),
        own_row=np.append(batch.own_row, m + rows.row[ours]),
        own_column=np.append(batch.own_column, rows.col[ours] - n1),
        own=np.append(batch.own[0], rows.data[ours])[None],
        link_row=np.append(batch.link_row, m + rows.row[~ours]),
        link_column=np.append(batch.link_column, rows.col[~ours]),
        link=np.append(batch.link[0], rows.data[~ours])[None],
    )
    return stronger_batch, added


def _finite(lines: FloatArray) -> FloatArray:
    """Limits with stand-ins for infinite ones, which cannot be subtracted."""
    return np.nan_to_num(lines, posinf=1e300, neginf=-1e300)


def _beside(left: csr_array, right: csr_array) -> csr_array:
    both = csr_array(hstack([left, right], format="csr"))
    both.sum_duplicates()
    both.sort_indices()
    return both
