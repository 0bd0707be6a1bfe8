"""What the modelling languages share: what goes into a model, and the way back from what they compiled."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import coo_array

from bondwork.program.loads import LoadTerm, load_terms
from bondwork.program.program import Program

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from bondwork.arrays import BoolArray, FloatArray, IntArray
    from bondwork.problem.limits import Limits
    from bondwork.problem.teams import Teams
    from bondwork.risk.measure import Measure

#: Which bound of its limit a compiled row carries.
LOWER, BOTH, UPPER = -1, 0, 1


@dataclass(frozen=True, slots=True)
class Beside:
    """What a model has beside its choices and limits.

    Attributes
    ----------
    measures
        Every tail limit of the round.
    in_rows
        Numbers of those that are written down.
    mean_risk
        Weight and measure of the mean-risk objective.
    loads
        Load incentives.
    """

    measures: tuple[Measure, ...]
    in_rows: tuple[int, ...]
    mean_risk: tuple[float, Measure] | None
    loads: tuple[LoadTerm, ...]

    @classmethod
    def of(
        cls,
        limits: Limits,
        teams: Teams,
        measures: Sequence[Measure],
        in_rows: Collection[int] | None = None,
        mean_risk: tuple[float, Measure] | None = None,
    ) -> Beside:
        """Gather it; without ``in_rows`` all tail limits are written down."""
        rows = range(len(measures)) if in_rows is None else sorted(in_rows)
        return cls(tuple(measures), tuple(rows), mean_risk, load_terms(limits.instance, limits, teams.member))

    def noted(self, program: Program) -> Program:
        """Return a compiled program that knows what its further rows and columns stand for."""
        lazy = tuple(number for number in range(len(self.measures)) if number not in self.in_rows)
        loads = self.loads
        if self.mean_risk is not None:
            loads = tuple(term.scaled(1.0 - self.mean_risk[0]) for term in loads)
        return dataclasses.replace(
            program, measures=self.measures, lazy=lazy, mean_risk=self.mean_risk, loads=loads
        )


def program_of(
    limits: Limits,
    teams: Teams,
    *,
    objective: FloatArray,
    offset: float,
    matrix: coo_array,
    row: IntArray,
    side: IntArray,
    bound: FloatArray,
    upper: FloatArray | None = None,
    binary: BoolArray | None = None,
) -> Program:
    """Return the program whose compiled rows say ``matrix[i] @ x`` is bounded by ``bound[i]``.

    Parameters
    ----------
    limits, teams
        The rows and columns of the program: M limits, n teams.
    objective, offset
        Shape (n + a,), and a number: what is maximised.
    matrix
        Shape (m, n + a). Coefficients of the compiled rows, in any order of rows. No entry twice.
    row
        Shape (m,). The limit of each compiled row; numbers from M on for rows that are no limits.
    side
        Shape (m,). `LOWER`, `BOTH` or `UPPER`.
    bound
        Shape (m,).
    upper, binary
        Shape (a,). Of auxiliary columns, which are 0 or more; none if left out.
    """
    rows = max(len(limits), int(row.max(initial=-1)) + 1)
    row_lower, row_upper = np.full(rows, -np.inf), np.full(rows, np.inf)
    row_lower[row[side <= BOTH]] = bound[side <= BOTH]
    row_upper[row[side >= BOTH]] = bound[side >= BOTH]
    # A limit whose two bounds differ was compiled twice, with the same coefficients: take them once.
    once = np.zeros(len(row), dtype=np.bool_)
    once[np.unique(row, return_index=True)[1]] = True
    kept = once[matrix.row] & (matrix.data != 0.0)
    n = len(teams)
    upper = np.zeros(0) if upper is None else upper
    binary = np.zeros(0, dtype=np.bool_) if binary is None else binary
    width = n + len(upper)
    return Program(
        objective=objective,
        offset=offset,
        matrix=coo_array(
            (matrix.data[kept], (row[matrix.row[kept]], matrix.col[kept])), shape=(rows, width)
        ).tocsr(),
        row_lower=row_lower,
        row_upper=row_upper,
        lower=np.zeros(width),
        upper=np.append(np.ones(n), upper),
        integer=np.append(np.ones(n, dtype=np.bool_), binary),
        columns=np.append(teams.first, np.full(len(upper), -1)),
        limits=limits,
        teams=teams,
    )
