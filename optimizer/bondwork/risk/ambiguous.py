"""Worst expected loss over a Wasserstein ball around the sample (MODEL 5).

P. Mohajerin Esfahani & D. Kuhn, Mathematical Programming 171 (2018) 115-166: with the l1 distance on failures
relaxed to [0, 1], the worst expectation is ``min over t >= 0 of radius*t + E[loss] + sum of
(1 - f[o]) * max(s[o]*x[o] - t, 0)``, f[o] the share of scenarios in which o fails.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bondwork.risk.errors import mean_error
from bondwork.risk.losses import unit_of
from bondwork.risk.measure import Block, Cut

if TYPE_CHECKING:
    from bondwork.arrays import FloatArray, IntArray
    from bondwork.risk.losses import ScopeLoss
    from bondwork.uncertainty.outcomes import OutcomeSample


@dataclass(frozen=True, slots=True, eq=False)
class WorstExpectation:
    """Worst expected loss within ``radius`` at most ``ceiling``; see `bondwork.risk.measure.Measure`.

    Attributes
    ----------
    held_weight, held_share
        Shape (h,). Slashing of the scope's commitments and the share of scenarios in which each fails: they
        may fail more often too.
    held_sample
        Scenarios of the failures of these; ``None`` where there are none.
    reach
        Shape (k,). How likely the outcome of each column comes to be seen, whatever it is; 1 where left out.
        Below 1 for what is decided at one node of several.
    """

    label: str
    loss: ScopeLoss
    radius: float
    ceiling: float
    held_weight: FloatArray
    held_share: FloatArray
    held_sample: OutcomeSample | None = None
    reach: FloatArray | None = None
    convex: bool = True
    block_has_total: bool = True
    is_of_losses: bool = False

    def value(self, x: FloatArray) -> float:
        """Worst expected loss at ``x``."""
        return self._at(x, self._threshold(x))

    def of_losses(self, losses: FloatArray) -> float:
        """Refuse: the ball is about failures, not about losses."""
        raise TypeError("the worst expectation is no function of the losses alone")

    @property
    def unit(self) -> float:
        """What auxiliary columns count in."""
        return unit_of(self.loss.weight, self.held_weight)

    def failure_shares(self) -> FloatArray:
        """Share of scenarios in which each column of the scope fails, then each of its commitments."""
        return np.append(self.loss.sample.failure_share(), self.held_share)

    def success_shares(self) -> FloatArray:
        """Share of scenarios in which each of these is seen to end, and does not fail."""
        reach = np.ones(len(self.loss.columns)) if self.reach is None else self.reach
        spare: FloatArray = np.maximum(
            np.append(reach, np.ones(len(self.held_share))) - self.failure_shares(), 0.0
        )
        return spare

    def _amounts(self, x: FloatArray) -> FloatArray:
        return np.append(self.loss.weight * x[self.loss.columns], self.held_weight)

    def _threshold(self, x: FloatArray) -> float:
        """Best t: the largest amount at which the amounts above it could still fail ``radius`` more often."""
        amounts, spare = self._amounts(x), self.success_shares()
        order = np.argsort(-amounts, kind="stable")
        above = np.cumsum(spare[order])
        first = int(np.searchsorted(above, self.radius))
        return float(amounts[order[first]]) if first < len(order) else 0.0

    def _at(self, x: FloatArray, t: float) -> float:
        shares, amounts = self.failure_shares(), self._amounts(x)
        expected = float(shares @ amounts)
        return self.radius * t + expected + float(self.success_shares() @ np.maximum(amounts - t, 0.0))

    def cut(self, x: FloatArray) -> Cut:
        """Expected loss under the worst law at ``x``: no value is below its expectation under any law."""
        shares, amounts = self.failure_shares(), self._amounts(x)
        spare = self.success_shares()
        # the largest amounts fail more often, until the radius is used up; the one at the edge in part
        order = np.argsort(-amounts, kind="stable")
        before = np.cumsum(spare[order]) - spare[order]
        pays = shares.copy()
        pays[order] += np.clip(self.radius - before, 0.0, spare[order])
        free = len(self.loss.columns)
        normal = np.zeros(self.loss.size)
        normal[self.loss.columns] = self.loss.weight * pays[:free]
        upper = self.ceiling - float(pays[free:] @ self.held_weight)
        return Cut(normal, upper, (pays - shares)[:free])

    def block(self, scenarios: IntArray | None = None) -> Block:
        """``radius*t + E[loss] + sum of (1 - f) * u <= ceiling``, ``u >= s*x - t``; of all offers always."""
        from scipy.sparse import csr_array, eye_array, hstack, vstack

        k, held = len(self.loss.columns), len(self.held_weight)
        unit = self.unit
        weight, held_weight = self.loss.weight / unit, self.held_weight / unit
        shares = self.failure_shares()
        own = csr_array((weight, (np.arange(k), self.loss.columns)), shape=(k + held, self.loss.size))
        minus_t = csr_array(-np.ones((k + held, 1)))
        above = hstack([own, minus_t, -eye_array(k + held, format="csr")])
        expected = np.zeros(self.loss.size)
        expected[self.loss.columns] = weight * shares[:k]
        total = csr_array(np.concatenate([expected, [self.radius], self.success_shares()])[np.newaxis])
        already = float(shares[k:] @ held_weight)
        most = float(np.append(weight, held_weight).max(initial=0.0))
        return Block(
            matrix=vstack([above, total]).tocsr(),
            row_lower=np.full(k + held + 1, -np.inf),
            row_upper=np.concatenate([np.zeros(k), -held_weight, [self.ceiling / unit - already]]),
            lower=np.zeros(k + held + 1),
            upper=np.full(k + held + 1, most),
            integer=np.zeros(k + held + 1, dtype=bool),
            measured=np.zeros(0),
            unit=unit,
        )

    def critical(self, x: FloatArray) -> None:
        """Say that the rows cannot be generated scenario by scenario."""

    def standard_error(self, x: FloatArray) -> float:
        """Standard error of the mean loss, of each failure as much as the ball does not count anyway.

        The rest of an amount, above the best t, is in the value whether the sample has the failure or not.
        """
        t, base = self._threshold(x), self.loss.base
        if self.held_sample is not None:
            base = self.held_sample.loss(np.ones(len(self.held_weight)), np.minimum(self.held_weight, t))
        capped = dataclasses.replace(self.loss, weight=np.minimum(self.loss.weight, t), base=base)
        return mean_error(capped.of(x), min(self.loss.largest_of(x), t))
