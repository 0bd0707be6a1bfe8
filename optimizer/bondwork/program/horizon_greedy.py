"""A greedy decision of a round with later periods: what there is where no strategy had the time for one."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np

from bondwork.program.extensive import extensive_form, split
from bondwork.program.horizon_assessment import choice, exceeded, settle
from bondwork.program.program_recount import recount

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bondwork.arrays import FloatArray
    from bondwork.program.horizon import HorizonProgram
    from bondwork.program.matrices import Matrices
    from bondwork.program.stochastic import StochasticProgram

#: Quantiles of what choices earn for each unit that they may lose, at which losses are priced.
_PRICES = (0.1, 0.2, 0.05, 0.35, 0.02, 0.6)

#: Share of a row's limit that a greedy choice leaves free: sums in another order end within it.
_HAIR = 1e-12


def decide_within_limits(made: HorizonProgram, ends: float) -> list[FloatArray] | None:
    """Decide greedily, and give choices up until limits on tails hold; see `decide_greedily`.

    What may be lost by a choice is taken off what it earns, at one price after another: the best of these
    decisions is returned. Prices are shares of what choices earn for each unit that they lose on average, and
    one at which only what is lost counts. ``None`` where what is required was never found to fit.

    Parameters
    ----------
    made
        A round's program; what is decided are the columns of its ``bare`` one.
    ends
        Moment, of `time.perf_counter`, after which no other price is tried.
    """
    found = decide_greedily(made.bare, ends)
    if found is None or not made.tree.leaves:
        return found
    chosen = [np.flatnonzero(each > 0.5) for each in found]
    best, measures = settle(made, chosen), exceeded(made, chosen)
    if measures:
        loses = np.zeros(len(choice(made, chosen)))
        for each in measures:
            loses[each.loss.columns] += each.loss.weight * each.loss.sample.failure_share()
        gain = extensive_form(made.bare).matrices.objective
        for price in _prices(gain, loses):
            if best is not None and time.perf_counter() >= ends:
                break
            other = decide_greedily(made.bare, ends, price * loses)
            if other is not None:
                settled = settle(made, [np.flatnonzero(each > 0.5) for each in other])
                some = [each for each in (best, settled) if each is not None]
                best = max(some, key=lambda each: float(gain @ choice(made, each)), default=None)
    if best is None:
        return None
    sizes = [len(made.bare.template_of(node).columns) for node in range(len(best))]
    return [np.bincount(each, minlength=n).astype(float) for each, n in zip(best, sizes, strict=True)]


def _prices(gain: FloatArray, loses: FloatArray) -> list[float]:
    """Prices of what is lost; the last one at which nothing counts but how little that is."""
    priced = loses > 0.0
    if not priced.any():
        return []
    each = gain[priced] / loses[priced]
    dearest = 1e6 * float(np.abs(gain).max()) / float(loses[priced].min())
    return [*(np.quantile(each[each > 0.0], _PRICES).tolist() if np.any(each > 0.0) else ()), dearest]


def decide_greedily(
    program: StochasticProgram,
    ends: float,
    dearer: FloatArray | None = None,
    only: FloatArray | None = None,
) -> list[FloatArray] | None:
    """Take the best choice of each node that still fits, the nodes in their order: the present one first.

    A choice counts in its node's rows and in those of every node behind it, so what is decided now leaves
    every later node a decision: at worst nothing new.

    Parameters
    ----------
    program
        Of yes-or-no columns, as `bondwork.program.horizon` writes it.
    ends
        Moment, of `time.perf_counter`, after which later nodes choose nothing new. The present node and
        what is required are decided in any case.
    dearer
        What is taken off what each column earns, all nodes' columns one after the other.
    only
        Above 0 for the columns that may be chosen, beside what is required; at all nodes, whatever ``ends``.

    Returns
    -------
    list[FloatArray] or None
        A decision for every node that stands a recount; ``None`` where what is required found no room.

    Examples
    --------
    >>> from bondwork.program.template import NodeTemplate
    >>> from bondwork.program.stochastic import StochasticProgram
    >>> now = NodeTemplate.make(0, ["a", "b"], ["room"], cost=[3.0, 2.0], upper=1.0, integer=True,
    ...                         row_upper=1.0, entries=[(0, 0, 0, 1.0), (0, 0, 1, 1.0)])
    >>> program = StochasticProgram.from_changes(
    ...     "one", "max", [now], parent=[-1], template=[0], conditional=[1.0], changes=[{}])
    >>> decide_greedily(program, 0.0)[0].tolist()
    [1.0, 0.0]
    """
    form = extensive_form(program)
    filled = _Filled(form.matrices)
    node = np.repeat(np.arange(len(program)), np.diff(form.column_start))
    for column in () if only is None else np.flatnonzero(only).tolist():
        filled.add(column)
    gain = form.matrices.objective if dearer is None else form.matrices.objective - dearer
    for column in _required(form.matrices, filled, gain):
        filled.add(column)
    if only is not None:
        values = split(form, filled.x)
        return None if recount(program, values).violations else values
    order = np.lexsort((-gain, node))
    order = order[gain[order] > 0.0]
    now = int(np.searchsorted(node[order], 1))
    for place, column in enumerate(order.tolist()):
        if place >= now and time.perf_counter() >= ends:
            break
        filled.add(column)
    values = split(form, filled.x)
    return None if recount(program, values).violations else values


class _Filled:
    """Columns chosen one by one while every row has room."""

    def __init__(self, matrices: Matrices) -> None:
        self.x = np.zeros(matrices.matrix.shape[1])
        self.columns = matrices.matrix.tocsc()
        self.upper = matrices.upper
        limit = matrices.row_upper
        self.left = np.where(np.isfinite(limit), limit - _HAIR * np.abs(limit), limit)
        # a row of whole numbers, as that of a task, is not to lose its last choice to that
        self.left = np.where(limit == np.round(limit), limit, self.left)

    def fits(self, column: int) -> bool:
        """Whether a column can be chosen."""
        start, end = self.columns.indptr[column], self.columns.indptr[column + 1]
        rows, entries = self.columns.indices[start:end], self.columns.data[start:end]
        within = (entries <= 0.0) | (entries <= self.left[rows])
        return self.x[column] < self.upper[column] and bool(within.all())

    def add(self, column: int) -> None:
        """Choose a column, if it fits."""
        if self.fits(column):
            start, end = self.columns.indptr[column], self.columns.indptr[column + 1]
            self.left[self.columns.indices[start:end]] -= self.columns.data[start:end]
            self.x[column] = 1.0


def _required(matrices: Matrices, filled: _Filled, gain: FloatArray) -> Iterator[int]:
    """For each row that asks for a choice, the best column that fits, when its turn has come."""
    rows = np.flatnonzero(matrices.row_lower > 0.0)
    if not len(rows):
        return
    matrix = matrices.matrix.tocsr()
    options = [matrix.indices[matrix.indptr[row] : matrix.indptr[row + 1]] for row in rows]
    for each in sorted(options, key=len):  # those with the least choice first
        for column in each[np.argsort(-gain[each], kind="stable")].tolist():
            if filled.fits(column):
                yield column
                break
