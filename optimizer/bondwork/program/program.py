"""The program of a round: what every formulation ends in and every strategy starts from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bondwork.arrays import frozen
from bondwork.program.loads import load_error
from bondwork.program.matrices import Matrices

if TYPE_CHECKING:
    from bondwork.arrays import FloatArray, IntArray
    from bondwork.problem.limits import Limits
    from bondwork.problem.teams import Teams
    from bondwork.program.loads import LoadTerm
    from bondwork.risk.measure import Measure


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
        Row ``i`` is ``limits`` number ``i``. Rows beyond them belong to the measures in ``measures``.
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
    """

    columns: IntArray
    limits: Limits
    measures: tuple[Measure, ...] = ()
    lazy: tuple[int, ...] = ()
    mean_risk: tuple[float, Measure] | None = None
    teams: Teams | None = None
    loads: tuple[LoadTerm, ...] = ()

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

    def without_auxiliaries(self) -> Program:
        """Return the choices and the limits alone; the measures stay, all of them lazy."""
        n, m = self.choices, len(self.limits)
        if n == len(self.columns) and m == len(self.row_lower):
            return self
        return Program(
            objective=self.objective[:n],
            offset=self.offset,
            matrix=self.matrix[:m, :n],
            row_lower=self.row_lower[:m],
            row_upper=self.row_upper[:m],
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
            value += term.gain(0.0, float(self.matrix.data[row] @ x[self.matrix.indices[row]]))
        if self.mean_risk is not None:
            weight, measure = self.mean_risk
            value -= weight * measure.value(x[:n])
        return value
