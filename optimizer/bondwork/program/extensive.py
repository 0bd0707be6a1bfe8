"""The extensive form: all nodes of a stochastic program as one mixed-integer linear program.

Columns and rows stand node by node, in the order of the nodes; rows that link nodes come last. Nodes of one
template are put together at once, so the time goes with the size of the form, not with the number of nodes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import csr_array

from bondwork.arrays import freeze_fields
from bondwork.problem.faults import Refusal
from bondwork.program.matrices import Matrices

if TYPE_CHECKING:
    from bondwork.arrays import FloatArray, IntArray
    from bondwork.program.stochastic import StochasticProgram

#: HiGHS counts columns, rows and entries in 32 bits.
MOST_ENTRIES = 2**31 - 1


@dataclass(frozen=True, slots=True, eq=False)
class ExtensiveForm:
    """A stochastic program as one program, always a maximisation.

    Attributes
    ----------
    matrices
        What to hand to a solver. Its objective is that of the program, negated where that is minimised.
    column_start, row_start
        Shape (N + 1,). Node i has the columns from ``column_start[i]`` to before ``column_start[i + 1]``;
        from row ``row_start[N]`` on stand the program's linking rows.
    """

    matrices: Matrices
    column_start: IntArray
    row_start: IntArray

    def __post_init__(self) -> None:
        freeze_fields(self, "column_start", "row_start")


def extensive_form(program: StochasticProgram) -> ExtensiveForm:
    """Write a stochastic program down as one program.

    Raises
    ------
    Refusal
        It has more matrix entries than HiGHS can count.

    Examples
    --------
    >>> from bondwork.program.stochastic import StochasticProgram
    >>> from bondwork.program.template import NodeTemplate
    >>> stake = NodeTemplate.make(0, ["x"], cost=-1.0, upper=10.0)
    >>> serve = NodeTemplate.make(1, ["y"], ["stock"], cost=3.0, row_upper=0.0,
    ...                           entries=[(0, 0, 0, -1.0), (0, 1, 0, 1.0)])
    >>> toy = StochasticProgram.from_changes(
    ...     "toy", "max", [stake, serve], parent=[-1, 0, 0], template=[0, 1, 1],
    ...     conditional=[1.0, 0.5, 0.5], changes=[{}, {("upper", 0): 2.0}, {("upper", 0): 6.0}])
    >>> form = extensive_form(toy)
    >>> form.matrices.matrix.toarray().tolist(), form.matrices.objective.tolist()
    ([[-1.0, 1.0, 0.0], [-1.0, 0.0, 1.0]], [-1.0, 1.5, 1.5])
    """
    template = program.template
    column_start = _starts([len(each.columns) for each in program.templates], template)
    row_start = _starts([len(each.rows) for each in program.templates], template)
    entry_start = _starts([len(each.entry_row) for each in program.templates], template)
    linking = program.linking
    entries = int(entry_start[-1]) + len(linking.entry_row)
    if max(entries, column_start[-1], row_start[-1] + len(linking)) > MOST_ENTRIES:
        raise Refusal([f"the extensive form has {entries} entries; HiGHS takes {MOST_ENTRIES}"])
    columns, rows = int(column_start[-1]), int(row_start[-1])
    sign = 1.0 if program.sense == "max" else -1.0
    filled = {
        "cost": np.empty(columns),
        "lower": np.empty(columns),
        "upper": np.empty(columns),
        "row_lower": np.empty(rows),
        "row_upper": np.empty(rows),
        "entries": np.empty(entry_start[-1]),
    }
    integer = np.empty(columns, dtype=bool)
    row_of = np.empty(entry_start[-1], dtype=np.int32)
    column_of = np.empty(entry_start[-1], dtype=np.int32)
    for number, kind in enumerate(program.templates):
        nodes = np.flatnonzero(template == number)
        if not len(nodes):
            continue
        places = {
            "cost": _places(column_start[nodes], len(kind.columns)),
            "row_lower": _places(row_start[nodes], len(kind.rows)),
            "entries": _places(entry_start[nodes], len(kind.entry_row)),
        }
        places |= {"lower": places["cost"], "upper": places["cost"], "row_upper": places["row_lower"]}
        for name, array in filled.items():
            array[places[name]] = program.gather(nodes, name)
        filled["cost"][places["cost"]] *= sign * program.probability[nodes, None]
        integer[places["cost"]] = kind.integer
        row_of[places["entries"]] = row_start[nodes, None] + kind.entry_row
        owner = program.ancestors[nodes][:, kind.entry_stage]
        column_of[places["entries"]] = column_start[owner] + kind.entry_column
    links = column_start[linking.entry_node] + linking.entry_column
    place = (np.append(row_of, rows + linking.entry_row), np.append(column_of, links))
    values = np.append(filled["entries"], linking.entry_value)
    matrix = csr_array((values, place), shape=(rows + len(linking), columns))
    matrix.eliminate_zeros()  # places that are random and 0 at some nodes
    matrix.sort_indices()
    matrices = Matrices(
        objective=filled["cost"],
        offset=sign * program.constant,
        matrix=matrix,
        row_lower=np.append(filled["row_lower"], linking.row_lower),
        row_upper=np.append(filled["row_upper"], linking.row_upper),
        lower=filled["lower"],
        upper=filled["upper"],
        integer=integer,
        row_tolerance=program.row_tolerance,
    )
    return ExtensiveForm(matrices, column_start, row_start)


def _starts(sizes: list[int], template: IntArray) -> IntArray:
    return np.concatenate([[0], np.cumsum(np.array(sizes, dtype=np.int64)[template])])


def _places(starts: IntArray, size: int) -> IntArray:
    """Consecutive positions from each start. Shape (starts, size)."""
    places: IntArray = starts[:, None] + np.arange(size)
    return places


def split(form: ExtensiveForm, x: FloatArray) -> list[FloatArray]:
    """Values of the columns of each node."""
    return np.split(x, form.column_start[1:-1])
