"""The program of a round: what every formulation ends in and every strategy starts from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from bondwork.arrays import frozen
from bondwork.program.loads import load_error
from bondwork.program.matrices import Matrices

if TYPE_CHECKING:
    from scipy.sparse import csr_array

    from bondwork.arrays import BoolArray, FloatArray, IntArray
    from bondwork.problem.limits import Limits
    from bondwork.problem.teams import Teams
    from bondwork.program.loads import LoadTerm
    from bondwork.risk.measure import Block, Measure


class BlockRows(NamedTuple):
    """Whose rows stand where: of a measure (by its number), the mean-risk objective, the loads, or digits."""

    kind: Literal["measure", "mean_risk", "loads", "digits"]
    number: int
    first: int
    block: Block


@dataclass(frozen=True, slots=True, eq=False)
class Program(Matrices):
    """A round in matrix form, with what its columns and rows mean.

    Attributes
    ----------
    columns
        Shape (n,). Column ``j`` decides about offer ``columns[j]`` of the instance, or about a team of which
        that is the first. Auxiliary columns, such as the excess losses of CVaR rows, come after all others
        and have -1.
    limits
        Row ``i`` is ``limits`` number ``i``. Rows beyond them belong to the measures in ``measures`` and to
        load incentives, or are the formulation's own.
    measures
        Every tail limit of the round.
    lazy
        Which of ``measures`` have no rows here: strategies enforce them by cuts.
    mean_risk
        Weight and measure of the mean-risk objective: ``weight * measure.value(x)`` is taken off what ``x``
        earns. The matrices have it in auxiliary columns.
    teams
        What the choices decide about, team by team; ``None`` stands for single offers.
    loads
        Load incentives that the objective adds. ``offset`` has them at the load of the commitments, the
        matrices have the rest by straight pieces in auxiliary columns: never less than it is, and more by
        `load_error` at most.
    blocks
        What the rows beyond the limits are, as far as it is known: a proof of a bound needs it.
    names
        Rows of the round's constraints, and what plans call them.
    """

    columns: IntArray
    limits: Limits
    measures: tuple[Measure, ...] = ()
    lazy: tuple[int, ...] = ()
    mean_risk: tuple[float, Measure] | None = None
    teams: Teams | None = None
    loads: tuple[LoadTerm, ...] = ()
    blocks: tuple[BlockRows, ...] = ()
    names: tuple[tuple[int, str], ...] = ()

    def __post_init__(self) -> None:
        Matrices.__post_init__(self)  # a slotted dataclass is made anew, which breaks a bare super()
        if self.columns.shape != self.objective.shape:
            raise ValueError(f"columns has shape {self.columns.shape}, expected {self.objective.shape}")
        if len(self.limits) > len(self.row_lower):
            raise ValueError(f"{len(self.limits)} limits for {len(self.row_lower)} rows")
        object.__setattr__(self, "columns", frozen(self.columns))

    @property
    def choices(self) -> int:
        """How many columns decide about offers; the others are auxiliary."""
        return int(np.count_nonzero(self.columns >= 0))

    @property
    def rows_of_choices(self) -> BoolArray:
        """Shape (m,). Which rows are limits, or rows of the formulation's own over the choices alone.

        What a measure says without columns of its own is left to the measure.
        """
        n, m = self.choices, len(self.limits)
        kept = np.ones(len(self.row_lower), dtype=bool)
        if m == len(kept):
            return kept
        matrix = self.matrix
        rows = np.repeat(np.arange(len(kept)), np.diff(matrix.indptr))
        kept[rows[matrix.indices >= n]] = False
        further = np.flatnonzero(kept[m:]) + m
        known: set[tuple[float, float, int]] = set()
        for number, measure in enumerate(self.measures):
            if number not in self.lazy and not measure.block_has_total:
                block = measure.block()
                known.update(_fingerprints(block.matrix, block.row_upper))
        if known and len(further):
            marks = _fingerprints(matrix[further], self.row_upper[further])
            kept[further] = [mark not in known for mark in marks]
        kept[[row for row, _ in self.names]] = True
        return kept

    def label(self, row: int) -> str:
        """Name of a row over the choices: its limit's, or its number where it is the formulation's own."""
        if row < len(self.limits):
            return self.limits.label(row)
        return dict(self.names).get(row, f"row {row} of the formulation")

    def without_auxiliaries(self) -> Program:
        """Return the choices, with the limits and the formulation's own rows; the measures stay, all lazy."""
        n = self.choices
        if n == len(self.columns) and len(self.limits) == len(self.row_lower):
            return self
        m = self.rows_of_choices
        position = np.cumsum(m) - 1
        return Program(
            objective=self.objective[:n],
            offset=self.offset,
            matrix=self.matrix[m][:, :n],
            row_lower=self.row_lower[m],
            row_upper=self.row_upper[m],
            lower=self.lower[:n],
            upper=self.upper[:n],
            integer=self.integer[:n],
            columns=self.columns[:n],
            limits=self.limits,
            measures=self.measures,
            lazy=tuple(range(len(self.measures))),
            mean_risk=self.mean_risk,
            teams=self.teams,
            loads=self.loads,
            names=tuple((int(position[row]), name) for row, name in self.names),
        )

    @property
    def load_error(self) -> float:
        """How far the matrices' objective is above the exact one at most, in currency."""
        return load_error(self.loads)

    def value(self, x: FloatArray) -> float:
        """Objective of a choice, shape (choices,), in currency: exact, load incentives and price of risk."""
        n = self.choices
        value = float(self.offset + self.objective[:n] @ x[:n])
        for term in self.loads:
            row = slice(self.matrix.indptr[term.row], self.matrix.indptr[term.row + 1])
            before, after = term.move(0.0, float(self.matrix.data[row] @ x[self.matrix.indices[row]]))
            value += after - before
        if self.mean_risk is not None:
            weight, measure = self.mean_risk
            value -= weight * measure.value(x[:n])
        return value


def _fingerprints(matrix: csr_array, row_upper: FloatArray) -> list[tuple[float, float, int]]:
    """What tells rows apart: bound, sum of the coefficients, how many."""
    counts = np.diff(matrix.indptr).tolist()
    sums = np.asarray(matrix.sum(axis=1)).ravel().tolist()
    return list(zip(row_upper.tolist(), sums, counts, strict=True))
