"""The program of a round: what every formulation ends in and every strategy starts from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bondwork.arrays import frozen
from bondwork.program.matrices import Matrices

if TYPE_CHECKING:
    from bondwork.arrays import FloatArray, IntArray
    from bondwork.problem.limits import Limits
    from bondwork.risk.measure import Measure


@dataclass(frozen=True, slots=True, eq=False)
class Program(Matrices):
    """A round in matrix form, with what its columns and rows mean.

    Attributes
    ----------
    columns
        Shape (n,). Column ``j`` decides about offer ``columns[j]`` of the instance. Auxiliary columns,
        such as the excess losses of CVaR rows, come after all others and have -1.
    limits
        Row ``i`` is ``limits`` number ``i``. Rows beyond them belong to the measures in ``measures``.
    measures
        Every tail limit of the round.
    lazy
        Which of ``measures`` have no rows here: strategies enforce them by cuts.
    mean_risk
        Weight and measure of the mean-risk objective: ``weight * measure.value(x)`` is taken off what ``x``
        earns. The matrices have it in auxiliary columns.
    """

    columns: IntArray
    limits: Limits
    measures: tuple[Measure, ...] = ()
    lazy: tuple[int, ...] = ()
    mean_risk: tuple[float, Measure] | None = None

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
        )

    def value(self, x: FloatArray) -> float:
        """Objective of a choice, shape (choices,), in currency: net reward, less the price of its risk."""
        n = self.choices
        value = float(self.offset + self.objective[:n] @ x[:n])
        if self.mean_risk is not None:
            weight, measure = self.mean_risk
            value -= weight * measure.value(x[:n])
        return value
