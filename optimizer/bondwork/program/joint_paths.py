"""Every scenario with decisions of its own, the rows over all of them kept: wait and see with linking rows.

Limits on the whole distribution, an expected loss or a CVaR, are not limits of one scenario: knowing it lets
each scenario decide for itself, and the limits hold over all of them together. So decisions get a copy for
each scenario below their node, weighted by its share of the node's probability wherever a linking row or the
objective counts them; numbers of a measure (`Linking.joint_node`) stay one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import csr_array

from bondwork.program.extensive import extensive_form
from bondwork.program.matrices import Matrices

if TYPE_CHECKING:
    from bondwork.arrays import IntArray
    from bondwork.program.stochastic import StochasticProgram


def joint_paths(program: StochasticProgram) -> Matrices:
    """Write down the problem of all scenarios, each of which knows itself.

    Rows of a node stand once for each scenario below it; linking rows that only keep decisions from what
    nobody observes are left out. Scenarios of probability 0 are left out.

    Raises
    ------
    Refusal
        The program has more matrix entries than HiGHS can count.

    Examples
    --------
    The toy of the literature, with an expectation that must not exceed 3:

    >>> from bondwork.program.linking import Linking
    >>> from bondwork.program.stochastic import StochasticProgram
    >>> from bondwork.program.template import NodeTemplate
    >>> stake = NodeTemplate.make(0, ["x"], cost=-1.0, upper=10.0)
    >>> serve = NodeTemplate.make(1, ["y"], ["stock"], cost=3.0, row_upper=0.0,
    ...                           entries=[(0, 0, 0, -1.0), (0, 1, 0, 1.0)])
    >>> toy = StochasticProgram.from_changes(
    ...     "toy", "max", [stake, serve], parent=[-1, 0, 0], template=[0, 1, 1],
    ...     conditional=[1.0, 0.5, 0.5], changes=[{}, {("upper", 0): 2.0}, {("upper", 0): 6.0}],
    ...     linking=Linking.make([("mean", 0.0, 3.0)], [(0, 1, 0, 0.5), (0, 2, 0, 0.5)]))
    >>> joint_paths(toy).matrix.toarray().tolist()
    [[-1.0, 1.0, 0.0, 0.0], [0.0, 0.0, -1.0, 1.0], [0.0, 0.5, 0.0, 0.5]]
    """
    form = extensive_form(program)
    whole, stages = form.matrices, len(program.stages)
    scenarios = program.leaves[program.probability[program.leaves] > 0.0]
    node = program.ancestors[scenarios].ravel()  # pairs of scenario and node, scenario by scenario
    share = np.repeat(program.probability[scenarios], stages) / program.probability[node]
    column, pair = _copies(form.column_start, node)
    number = _numbers(program, form.column_start, column)
    width, size = len(whole.lower), int(number.max(initial=-1)) + 1
    row, row_pair = _copies(form.row_start, node)
    own = whole.matrix[row]
    line = np.repeat(np.arange(len(row)), np.diff(own.indptr))
    # an entry of a scenario's row stands at the scenario's own copy of the column
    key = (pair // stages) * width + column
    order = np.argsort(key)
    wanted = (row_pair[line] // stages) * width + own.indices
    at = number[order][np.searchsorted(key[order], wanted)]
    kept = np.flatnonzero(~program.linking.informational) + form.row_start[-1]
    spread = csr_array((share[pair], (column, number)), shape=(width, size))
    linked = (whole.matrix[kept] @ spread).tocoo()
    places = (np.append(line, len(row) + linked.row), np.append(at, linked.col))
    matrix = csr_array((np.append(own.data, linked.data), places), shape=(len(row) + len(kept), size))
    matrix.sort_indices()
    rows = np.append(row, kept)
    source = np.empty(size, dtype=np.int64)
    source[number] = column
    return Matrices(
        objective=np.asarray(whole.objective @ spread),
        offset=whole.offset,
        matrix=matrix,
        row_lower=whole.row_lower[rows],
        row_upper=whole.row_upper[rows],
        lower=whole.lower[source],
        upper=whole.upper[source],
        integer=whole.integer[source],
    )


def _copies(start: IntArray, node: IntArray) -> tuple[IntArray, IntArray]:
    """Positions of all columns (or rows) of each node in turn, and which of the nodes each belongs to."""
    count = start[node + 1] - start[node]
    before = np.cumsum(count) - count
    position = np.arange(count.sum()) + np.repeat(start[node] - before, count)
    return position, np.repeat(np.arange(len(node)), count)


def _numbers(program: StochasticProgram, start: IntArray, column: IntArray) -> IntArray:
    """Number of the copy of each column: a new one each time, one for all where it is joint."""
    joint = start[program.linking.joint_node] + program.linking.joint_column
    shared = np.isin(column, joint)
    number = np.cumsum(~shared) - 1
    own = int(np.count_nonzero(~shared))
    _, which = np.unique(column[shared], return_inverse=True)
    number[shared] = own + which
    return number
