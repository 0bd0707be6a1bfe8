"""A stochastic program cut up behind its root: each part is the root with some of what may follow it.

The root's columns stand in every part, everything else in exactly one. A tree of any number of stages so
becomes a two-stage program, whose second stages are whole subtrees: what nobody knows yet inside a part stays
unknown there, because the part is an extensive form.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import csr_array

from bondwork.arrays import freeze_fields
from bondwork.problem.faults import Refusal
from bondwork.program.extensive import extensive_form
from bondwork.program.matrices import Matrices
from bondwork.program.scaling import scale
from bondwork.program.strengthening import strengthen

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bondwork.arrays import FloatArray, IntArray
    from bondwork.program.stochastic import StochasticProgram

#: The objective stays as it is where its largest coefficient is between 1 and this; else it is scaled there.
LARGEST_OBJECTIVE = 2.0**20


@dataclass(frozen=True, slots=True, eq=False)
class Split:
    """A program in S parts, each a maximisation.

    Attributes
    ----------
    parts
        S programs: first the ``root`` columns of the root, then the columns of the part's own nodes. Their
        objectives are conditional on the part and times ``scale``; each has the whole expected constant.
    probability
        Shape (S,), positive, of sum 1: the program's value is that of the parts, weighted so.
    root
        Number of the root's columns.
    scale
        A power of two.
    columns
        S arrays: which column of the extensive form each column of a part is.
    column_start
        Shape (N + 1,). Where the columns of each node stand in the extensive form.
    """

    parts: tuple[Matrices, ...]
    probability: FloatArray
    root: int
    scale: float
    columns: tuple[IntArray, ...]
    column_start: IntArray

    def __post_init__(self) -> None:
        freeze_fields(self, "probability", "column_start")

    def take_apart(self, x: FloatArray) -> list[FloatArray]:
        """Columns of each part from those of the extensive form."""
        return [x[columns] for columns in self.columns]

    def put_together(self, parts: Sequence[FloatArray]) -> FloatArray:
        """Columns of the extensive form from those of parts that agree about the root."""
        x = np.empty(self.column_start[-1])
        for columns, part in zip(self.columns, parts, strict=True):
            x[columns] = part
        return x


def split_behind_root(program: StochasticProgram, bundle: int = 1) -> Split:
    """Cut a program up behind its root.

    Parameters
    ----------
    bundle
        Children of the root, with all that follows them, in one part: fewer, larger parts, whose bound is
        tighter and which agree about the root sooner.

    Raises
    ------
    Refusal
        Nothing follows the root, or rows link what would be in different parts.

    Examples
    --------
    >>> from bondwork.program.stochastic import StochasticProgram
    >>> from bondwork.program.template import NodeTemplate
    >>> stake = NodeTemplate.make(0, ["x"], cost=-1.0, upper=10.0)
    >>> serve = NodeTemplate.make(1, ["y"], ["stock"], cost=3.0, row_upper=0.0,
    ...                           entries=[(0, 0, 0, -1.0), (0, 1, 0, 1.0)])
    >>> toy = StochasticProgram.from_changes(
    ...     "toy", "max", [stake, serve], parent=[-1, 0, 0], template=[0, 1, 1],
    ...     conditional=[1.0, 0.25, 0.75], changes=[{}, {("upper", 0): 2.0}, {("upper", 0): 6.0}])
    >>> split = split_behind_root(toy)
    >>> split.probability.tolist(), split.parts[1].objective.tolist(), split.parts[1].upper.tolist()
    ([0.25, 0.75], [-1.0, 3.0], [10.0, 6.0])
    """
    if len(program) == 1:
        raise Refusal(["hedging needs decisions that follow the root's: this program has one node"])
    form = extensive_form(program)
    matrices, _ = strengthen(form.matrices)
    part_of_node, probability = _parts_of_nodes(program, bundle)
    part = np.repeat(part_of_node, np.diff(form.column_start))
    root = int(form.column_start[1])
    objective = matrices.objective.copy()
    objective[root:] /= probability[part[root:]]
    factor = _objective_scale(objective)
    scaled = scale(matrices)
    inside = Matrices(
        objective * factor,
        matrices.offset * factor,
        csr_array(
            (scaled.data, matrices.matrix.indices, matrices.matrix.indptr), shape=matrices.matrix.shape
        ),
        scaled.row_lower,
        scaled.row_upper,
        matrices.lower,
        scaled.upper,
        matrices.integer,
    )
    parts, columns = _cut(inside, part, root, len(probability))
    return Split(parts, probability, root, factor, columns, form.column_start)


def _parts_of_nodes(program: StochasticProgram, bundle: int) -> tuple[IntArray, FloatArray]:
    """Part of each node (-1 for the root) and probability of each part."""
    children = np.flatnonzero(program.stage == 1)
    possible = program.probability[children] > 0.0
    part_of_child = np.zeros(len(program), dtype=np.int64)
    # what has no probability still limits the root: it goes along with the first part
    part_of_child[children[possible]] = np.arange(np.count_nonzero(possible)) // max(bundle, 1)
    part = part_of_child[program.ancestors[:, 1]]
    part[0] = -1
    probability = np.bincount(part[children], program.probability[children]).astype(np.float64)
    return part, probability


def _objective_scale(objective: FloatArray) -> float:
    largest = float(np.max(np.abs(objective), initial=0.0))
    if largest == 0.0 or 1.0 <= largest <= LARGEST_OBJECTIVE:
        return 1.0
    return math.ldexp(1.0, 10 - math.frexp(largest)[1])


def _cut(
    program: Matrices, part: IntArray, root: int, count: int
) -> tuple[tuple[Matrices, ...], tuple[IntArray, ...]]:
    """Cut a program into its parts, and say which columns each has; ``part`` is -1 where all have it."""
    matrix = program.matrix
    part_of_row = _parts_of_rows(matrix, part)
    order = np.argsort(part, kind="stable")  # the root's first
    start = np.searchsorted(part[order], np.arange(-1, count + 1))
    local = np.empty(len(part), dtype=np.int64)
    local[order] = np.arange(len(part)) - np.where(part[order] < 0, 0, start[part[order] + 1] - root)
    everywhere = np.flatnonzero(part_of_row < 0)
    by_part = np.argsort(part_of_row, kind="stable")
    first = np.searchsorted(part_of_row[by_part], np.arange(count + 1))
    parts, places = [], []
    for number in range(count):
        columns = np.concatenate([order[: start[1]], order[start[number + 1] : start[number + 2]]])
        places.append(columns)
        rows = np.concatenate([everywhere, by_part[first[number] : first[number + 1]]])
        some = matrix[rows]
        entries = csr_array((some.data, local[some.indices], some.indptr), shape=(len(rows), len(columns)))
        entries.eliminate_zeros()
        entries.sort_indices()
        parts.append(
            Matrices(
                program.objective[columns],
                program.offset,
                entries,
                program.row_lower[rows],
                program.row_upper[rows],
                program.lower[columns],
                program.upper[columns],
                program.integer[columns],
            )
        )
    return tuple(parts), tuple(places)


def _parts_of_rows(matrix: csr_array, part: IntArray) -> IntArray:
    """Part in which each row stands; -1 for those of the root alone."""
    row = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
    there = part[matrix.indices]
    last = np.full(matrix.shape[0], -1, dtype=np.int64)
    np.maximum.at(last, row, there)
    links = np.unique(row[(there >= 0) & (there != last[row])])
    if len(links):
        raise Refusal(
            [
                f"hedging cannot honour rows that link what follows the root in different ways: {len(links)} "
                "such rows; extensive and lagrangian can"
            ]
        )
    return last
