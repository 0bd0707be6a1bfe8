"""Conditional value at risk: the mean of the worst (1 - level) share of losses.

R. T. Rockafellar & S. Uryasev, "Optimization of conditional value-at-risk", Journal of Risk 2 (2000) 21-41.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bondwork.base.statistics import tail_density, weighted_cvar
from bondwork.risk.errors import cvar_error
from bondwork.risk.measure import Block, Cut

if TYPE_CHECKING:
    from bondwork.arrays import FloatArray, IntArray
    from bondwork.risk.losses import ScopeLoss


#: CVaR of losses with their probabilities.
cvar = weighted_cvar


@dataclass(frozen=True, slots=True, eq=False)
class ConditionalValueAtRisk:
    """CVaR of a scope's loss at most ``ceiling``; see `bondwork.risk.measure.Measure`."""

    label: str
    loss: ScopeLoss
    level: float
    ceiling: float
    convex: bool = True
    block_has_total: bool = True
    is_of_losses: bool = True

    def value(self, x: FloatArray) -> float:
        """CVaR of the loss at ``x``."""
        return self.of_losses(self.loss.of(x))

    def of_losses(self, losses: FloatArray) -> float:
        """CVaR of given losses."""
        return cvar(losses, self.loss.probability, self.level)

    def cut(self, x: FloatArray) -> Cut:
        """Mean loss over the tail of ``x``: no CVaR is below its mean over any such tail."""
        density = tail_density(self.loss.of(x), self.loss.probability, self.level)
        base = float(self.loss.base @ (density * self.loss.probability))
        weights = density * self.loss.probability
        return Cut(self.loss.gradient(density), self.ceiling - base, weights)

    def block(self, scenarios: IntArray | None = None) -> Block:
        """``eta + sum of probability * excess / (1 - level) <= ceiling``, ``excess[s] >= loss[s] - eta``.

        All in units of the largest weight, so that the auxiliary columns are of the size of the choices.
        """
        from scipy.sparse import csr_array, eye_array, hstack, vstack

        chosen = np.arange(len(self.loss.base)) if scenarios is None else scenarios
        count = len(chosen)
        ones = csr_array(np.ones((count, 1)))
        share = self.loss.probability[chosen] / (1.0 - self.level)
        unit = self.loss.unit
        excess = hstack([self.loss.rows(chosen) * (1.0 / unit), -ones, -eye_array(count, format="csr")])
        total = hstack([csr_array((1, self.loss.size)), csr_array(np.append(1.0, share)[np.newaxis])])
        most = float(self.loss.largest().max(initial=0.0)) / unit
        return Block(
            matrix=vstack([excess, total], format="csr"),
            row_lower=np.full(count + 1, -np.inf),
            row_upper=np.append(-self.loss.base[chosen], self.ceiling) / unit,
            lower=np.zeros(count + 1),
            upper=np.full(count + 1, most),
            integer=np.zeros(count + 1, dtype=bool),
            measured=unit * np.append(1.0, share),
            unit=unit,
            scenarios=chosen,
        )

    def critical(self, x: FloatArray) -> IntArray:
        """Scenarios in the tail of ``x``."""
        return np.flatnonzero(tail_density(self.loss.of(x), self.loss.probability, self.level))

    def standard_error(self, x: FloatArray) -> float:
        """Standard error of the mean excess over the value at risk, which is what CVaR's error is made of."""
        return cvar_error(self.loss.of(x), self.level, self.loss.largest_of(x))
