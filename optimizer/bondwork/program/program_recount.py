"""An independent recount of a solution of a stochastic program: no solver, no extensive form."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bondwork.arrays import sum_by_owner
from bondwork.base.tolerances import PROGRAM_ROW
from bondwork.plan.plan import Violation

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bondwork.arrays import FloatArray
    from bondwork.program.stochastic import StochasticProgram

#: More violations of a solution are not listed.
MOST_VIOLATIONS = 20


@dataclass(frozen=True, slots=True)
class Recount:
    """What a recount found.

    Attributes
    ----------
    objective
        Expected value, in the unit and sense of the program.
    violations
        Rows, bounds and whole columns that do not hold, at most `MOST_VIOLATIONS`.
    size
        Sum of the sizes of the terms of the objective.
    """

    objective: float
    violations: tuple[Violation, ...]
    size: float = 0.0


def recount(program: StochasticProgram, values: Sequence[FloatArray]) -> Recount:
    """Work out the objective and every row of a solution, node by node.

    Parameters
    ----------
    values
        One array of shape (n,) for each node: its columns.

    Examples
    --------
    >>> from bondwork.program.stochastic import StochasticProgram
    >>> from bondwork.program.template import NodeTemplate
    >>> program = StochasticProgram.from_changes(
    ...     "one", "max", [NodeTemplate.make(0, ["x"], ["most"], cost=2.0, row_upper=3.0,
    ...     entries=[(0, 0, 0, 1.0)])], parent=[-1], template=[0], conditional=[1.0], changes=[{}])
    >>> recount(program, [np.array([3.0])]).objective
    6.0
    >>> print(recount(program, [np.array([4.0])]).violations[0])
    row most of node 0: found 4, expected at most 3
    """
    terms: list[float] = []
    violations: list[Violation] = []
    for node, own in enumerate(values):
        template = program.template_of(node)
        numbers = program.values(node)
        weight = float(program.probability[node])
        costs = np.append(numbers[template.spans["constant"]], numbers[template.spans["cost"]] * own)
        terms += (weight * costs).tolist()
        if len(violations) < MOST_VIOLATIONS:
            violations += broken_at(program, node, values)
    violations += _links_broken(program, values)
    return Recount(math.fsum(terms), tuple(violations[:MOST_VIOLATIONS]), math.fsum(map(abs, terms)))


def broken_at(program: StochasticProgram, node: int, values: Sequence[FloatArray]) -> Iterator[Violation]:
    """Rows, bounds and whole columns of a node that do not hold.

    Parameters
    ----------
    values
        Of all nodes up to this one at least.
    """
    template, own, numbers = program.template_of(node), values[node], program.values(node)
    part = {name: numbers[span] for name, span in template.spans.items()}
    at = f"of node {program.nodes[node]}"
    path = [values[ancestor] for ancestor in program.ancestors[node] if ancestor >= 0]
    offsets = np.cumsum([0] + [len(each) for each in path])
    along = np.concatenate(path)
    products = part["entries"] * along[offsets[template.entry_stage] + template.entry_column]
    count = len(template.rows)
    activity = sum_by_owner(template.entry_row, products, count)
    size = sum_by_owner(template.entry_row, np.abs(products), count)
    np.maximum.at(size, template.entry_row, np.abs(part["entries"]))
    rows = [f"row {name} {at}" for name in template.rows]
    yield from _outside(rows, activity, part["row_lower"], part["row_upper"], size)
    columns = [f"column {name} {at}" for name in template.columns]
    yield from _outside(columns, own, part["lower"], part["upper"], np.abs(own))
    for k in np.flatnonzero(template.integer & (own != np.round(own))).tolist():
        yield Violation(what=columns[k], found=f"{own[k]:.12g}", expected="a whole number")


def _links_broken(program: StochasticProgram, values: Sequence[FloatArray]) -> Iterator[Violation]:
    """Rows over several nodes that do not hold."""
    linking, count = program.linking, len(program.linking)
    offsets = np.cumsum([0] + [len(each) for each in values])
    along = np.concatenate(values)
    products = linking.entry_value * along[offsets[linking.entry_node] + linking.entry_column]
    activity = sum_by_owner(linking.entry_row, products, count)
    size = sum_by_owner(linking.entry_row, np.abs(products), count)
    np.maximum.at(size, linking.entry_row, np.abs(linking.entry_value))
    names = [f"linking row {name}" for name in linking.rows]
    yield from _outside(names, activity, linking.row_lower, linking.row_upper, size)


def _outside(
    names: Sequence[str], found: FloatArray, lower: FloatArray, upper: FloatArray, size: FloatArray
) -> Iterator[Violation]:
    for sign, limit, word in ((1.0, upper, "at most"), (-1.0, lower, "at least")):
        limited = np.isfinite(limit)
        excess = np.where(limited, sign * (found - np.where(limited, limit, 0.0)), 0.0)
        scale = np.maximum(size, np.where(limited, np.abs(limit), 0.0))
        # of the limit, of the sum of the terms' sizes, or of the largest coefficient (a solver's tolerance is
        # one of its columns)
        for k in np.flatnonzero(excess > PROGRAM_ROW * scale).tolist():
            yield Violation(what=names[k], found=f"{found[k]:.12g}", expected=f"{word} {limit[k]:.12g}")
