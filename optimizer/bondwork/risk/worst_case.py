"""The worst case: the largest loss of any scenario."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bondwork.risk.measure import Block, Cut

if TYPE_CHECKING:
    from bondwork.arrays import FloatArray, IntArray
    from bondwork.risk.losses import ScopeLoss


@dataclass(frozen=True, slots=True, eq=False)
class WorstCase:
    """Loss at most ``ceiling`` in every scenario; see `bondwork.risk.measure.Measure`.

    When not to use it: the worst of a sample grows with the sample; a budget for it says little about fresh
    scenarios.
    """

    label: str
    loss: ScopeLoss
    ceiling: float
    convex: bool = True
    block_has_total: bool = False
    is_of_losses: bool = True

    def value(self, x: FloatArray) -> float:
        """Largest loss at ``x``."""
        return self.of_losses(self.loss.of(x))

    def of_losses(self, losses: FloatArray) -> float:
        """Largest of given losses among scenarios that can happen."""
        return float(losses[self.loss.probability > 0.0].max(initial=0.0))

    def cut(self, x: FloatArray) -> Cut:
        """Loss in the worst scenario of ``x``."""
        possible = np.where(self.loss.probability > 0.0, self.loss.of(x), -np.inf)
        worst = int(np.argmax(possible))
        density = np.zeros(len(possible))
        density[worst] = 1.0 / self.loss.probability[worst]
        weights = density * self.loss.probability
        return Cut(self.loss.gradient(density), self.ceiling - float(self.loss.base[worst]), weights)

    def block(self, scenarios: IntArray | None = None) -> Block:
        """One row a scenario."""
        chosen = np.arange(len(self.loss.base)) if scenarios is None else scenarios
        possible = chosen[self.loss.probability[chosen] > 0.0]
        return Block(
            matrix=self.loss.rows(possible),
            row_lower=np.full(len(possible), -np.inf),
            row_upper=self.ceiling - self.loss.base[possible],
            lower=np.zeros(0),
            upper=np.zeros(0),
            integer=np.zeros(0, dtype=bool),
            measured=np.zeros(0),
            scenarios=possible,
        )

    def critical(self, x: FloatArray) -> IntArray:
        """Scenarios that break the limit, the worst 100 of them, and the worst of all."""
        losses = np.where(self.loss.probability > 0.0, self.loss.of(x), -np.inf)
        worst = np.argsort(-losses, kind="stable")[:100]
        return np.sort(worst[(losses[worst] > self.ceiling) | (worst == worst[0])])

    def standard_error(self, x: FloatArray) -> float:
        """No finite one: the largest value of a sample estimates no mean."""
        return float("nan")
