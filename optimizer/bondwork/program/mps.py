"""A stochastic program as an MPS file: its extensive form, in the sense of the program, with names.

A column or row ``y`` of the root is called ``y``, one of another node ``y@node``, a linking row by its name.
Characters that would end a name in the free format are written as in URLs (``%20``), so that names stay
distinct and can be read back.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Literal

import numpy as np

from bondwork.problem.faults import Refusal
from bondwork.program.extensive import extensive_form

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bondwork.program.matrices import Matrices
    from bondwork.program.stochastic import Sense, StochasticProgram

#: What must not stand in a name of the free format: blanks, controls, and the sign of the escape itself.
_BREAKS_NAME = re.compile(r"[\s\x00-\x1f\x7f%]")

#: Longest name of the fixed format.
_FIXED_LENGTH = 8


def write_mps(program: StochasticProgram, form: Literal["free", "fixed"] = "free") -> str:
    """Write the extensive form of a stochastic program as MPS text.

    Parameters
    ----------
    form
        ``free`` keeps all names. ``fixed`` has 8 characters for a name: columns and rows are numbered
        (``C1``, ``R1``), and comments at the top say what they are.

    Returns
    -------
    str
        Numbers are written so that they read back exactly, up to the width of a range; in the fixed format
        they may run past their 12 characters, behind which nothing stands. The objective's constant is minus
        its right-hand side. A whole column always has its bounds, because readers differ about those that
        have none.

    Raises
    ------
    Refusal
        The extensive form is larger than any reader can take.

    Examples
    --------
    >>> from bondwork.program.stochastic import StochasticProgram
    >>> from bondwork.program.template import NodeTemplate
    >>> program = StochasticProgram.from_changes(
    ...     "one", "max", [NodeTemplate.make(0, ["x"], ["most"], cost=2.0, row_upper=3.0,
    ...     entries=[(0, 0, 0, 1.0)])], parent=[-1], template=[0], conditional=[1.0], changes=[{}])
    >>> print(write_mps(program))
    NAME one
    OBJSENSE
     MAX
    ROWS
     N objective
     L most
    COLUMNS
     x objective 2.0
     x most 1.0
    RHS
     RHS most 3.0
    BOUNDS
    ENDATA
    <BLANKLINE>
    """
    extensive = extensive_form(program)
    fixed = form == "fixed"
    columns = _names(program, [each.columns for each in program.templates])
    rows = _names(program, [each.rows for each in program.templates], program.linking.rows)
    comments: list[str] = []
    if fixed:
        comments = [f"* C{k} is {name}" for k, name in enumerate(columns, start=1)]
        comments += [f"* R{k} is {name}" for k, name in enumerate(rows, start=1)]
        if max(len(columns), len(rows)) >= 10 ** (_FIXED_LENGTH - 1):
            raise Refusal([f"{len(columns)} columns and {len(rows)} rows have no names of 8 characters"])
        columns = [f"C{k}" for k in range(1, len(columns) + 1)]
        rows = [f"R{k}" for k in range(1, len(rows) + 1)]
    return _write(program.name, program.sense, extensive.matrices, columns, rows, comments, fixed=fixed)


def write_matrices(
    matrices: Matrices, columns: Sequence[str], rows: Sequence[str], *, name: str, sense: Sense = "max"
) -> str:
    """Write any program as MPS text in the free format.

    Parameters
    ----------
    matrices
        A maximisation; written as the minimisation of the negated objective where ``sense`` is ``min``.
    columns, rows
        Names without blanks, unique among themselves.
    name
        What the program is called.
    """
    return _write(name, sense, matrices, columns, rows, [], fixed=False)


def _write(
    name: str,
    sense: Sense,
    matrices: Matrices,
    columns: Sequence[str],
    rows: Sequence[str],
    comments: Sequence[str],
    *,
    fixed: bool,
) -> str:
    objective = _new_name("objective"[: _FIXED_LENGTH if fixed else None], rows)
    lines = _Writer(fixed=fixed)
    for section in (
        _head(name, sense, matrices, objective, rows),
        _columns(sense, matrices, objective, columns, rows),
        _limits(matrices, objective, rows, 1.0 if sense == "max" else -1.0),
        _bounds(matrices, columns),
    ):
        for line in section:
            lines.write(*line)
    return "\n".join([*comments, *lines.text, "ENDATA", ""])


class _Writer:
    """Lines of either format."""

    def __init__(self, *, fixed: bool) -> None:
        self.fixed = fixed
        self.text: list[str] = []

    def write(self, code: str, *fields: str) -> None:
        """Write a data line with a code (which may be empty), or a header if there are no fields."""
        if not fields:
            self.text.append(code)
        elif self.fixed and len(fields) == 3:
            self.text.append(f" {code:<2} {fields[0]:<8}  {fields[1]:<8}  {fields[2]:>12}".rstrip())
        elif self.fixed:
            self.text.append(f" {code:<2} {'  '.join(f'{field:<8}' for field in fields)}".rstrip())
        else:
            self.text.append(" " + " ".join([code, *fields] if code else fields))


def _names(
    program: StochasticProgram, names: Sequence[Sequence[str]], links: Sequence[str] = ()
) -> list[str]:
    """Name of each column or row of the extensive form; linking rows come last."""
    clean = [[_clean(name) for name in each] for each in names]
    result = []
    for node, kind in enumerate(program.template.tolist()):
        suffix = f"@{_clean(program.nodes[node])}" if node else ""
        result += [name + suffix for name in clean[kind]]
    result += map(_clean, links)
    if len(set(result)) < len(result):  # x@1 of the root beside x of node 1
        result = [f"{name}@{k}" for k, name in enumerate(result)]
    return result


def _clean(name: str) -> str:
    return _BREAKS_NAME.sub(lambda each: "".join(f"%{byte:02X}" for byte in each[0].encode()), name)


def _new_name(wanted: str, names: Sequence[str]) -> str:
    taken = set(names)
    name, count = wanted, 1
    while name in taken:
        count += 1
        name = f"{wanted[: _FIXED_LENGTH - 2]}{count}"
    return name


def _row_types(matrices: Matrices) -> list[str]:
    lower, upper = matrices.row_lower, matrices.row_upper
    types = np.where(lower == upper, "E", np.where(np.isfinite(lower), "G", "L"))
    types = np.where(np.isinf(lower) & np.isinf(upper), "N", types)
    result: list[str] = types.tolist()
    return result


def _head(
    name: str, sense: Sense, matrices: Matrices, objective: str, rows: Sequence[str]
) -> Iterator[tuple[str, ...]]:
    yield (f"NAME {_clean(name)}".rstrip(),)
    if sense == "max":
        yield ("OBJSENSE",)
        yield ("", "MAX")
    yield ("ROWS",)
    yield ("N", objective)
    yield from zip(_row_types(matrices), rows, strict=True)


def _columns(
    sense: Sense,
    matrices: Matrices,
    objective: str,
    columns: Sequence[str],
    rows: Sequence[str],
) -> Iterator[tuple[str, ...]]:
    yield ("COLUMNS",)
    sign = 1.0 if sense == "max" else -1.0
    cost = (sign * matrices.objective + 0.0).tolist()
    by_column = matrices.matrix.tocsc()
    start, row, value = by_column.indptr.tolist(), by_column.indices.tolist(), by_column.data.tolist()
    whole = False
    for k, (name, integer) in enumerate(zip(columns, matrices.integer.tolist(), strict=True)):
        if integer != whole:
            whole = integer
            yield "", f"M{k}", "'MARKER'", "'INTORG'" if whole else "'INTEND'"
        if cost[k] or start[k] == start[k + 1]:  # a column without entries must be named all the same
            yield "", name, objective, repr(cost[k])
        for e in range(start[k], start[k + 1]):
            yield "", name, rows[row[e]], repr(value[e])
    if whole:
        yield "", f"M{len(columns)}", "'MARKER'", "'INTEND'"


def _limits(
    matrices: Matrices, objective: str, rows: Sequence[str], sign: float
) -> Iterator[tuple[str, ...]]:
    yield ("RHS",)
    constant = sign * matrices.offset
    if constant:
        yield "", "RHS", objective, repr(-constant)
    lower, upper = matrices.row_lower.tolist(), matrices.row_upper.tolist()
    types = _row_types(matrices)
    for kind, name, low, high in zip(types, rows, lower, upper, strict=True):
        side = high if kind == "L" else low
        if kind != "N" and side:
            yield "", "RHS", name, repr(side)
    ranged = [k for k, kind in enumerate(types) if kind == "G" and math.isfinite(upper[k])]
    if ranged:
        yield ("RANGES",)
    for k in ranged:
        yield "", "RANGE", rows[k], repr(upper[k] - lower[k])


def _bounds(matrices: Matrices, columns: Sequence[str]) -> Iterator[tuple[str, ...]]:
    yield ("BOUNDS",)
    bounds = zip(matrices.lower.tolist(), matrices.upper.tolist(), matrices.integer.tolist(), strict=True)
    for name, (lower, upper, whole) in zip(columns, bounds, strict=True):
        if lower == upper:
            yield "FX", "BOUND", name, repr(lower)
            continue
        if math.isinf(lower) and math.isinf(upper):
            yield "FR", "BOUND", name
            continue
        if math.isinf(lower):
            yield "MI", "BOUND", name
        elif lower or upper < 0.0:
            yield "LO", "BOUND", name, repr(lower)
        if math.isfinite(upper):
            yield "UP", "BOUND", name, repr(upper)
        elif whole:
            yield "PL", "BOUND", name
