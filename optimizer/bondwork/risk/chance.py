"""Chance limits: the probability that a loss exceeds its budget.

The extensive form has one binary a scenario (J. Luedtke & S. Ahmed, SIAM Journal on Optimization 19 (2008)
674-699); it holds exactly in the sample.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bondwork.risk.errors import share_error
from bondwork.risk.measure import Block, Cut

if TYPE_CHECKING:
    from bondwork.arrays import FloatArray, IntArray
    from bondwork.risk.losses import ScopeLoss

#: A loss exceeds a budget when it is above it by more than this share: sums of decimals are not exact.
EXCESS_TOLERANCE = 1e-9


def most_allowed(budget: float) -> float:
    """Return the loss up to which a budget does not count as exceeded."""
    return budget + EXCESS_TOLERANCE * abs(budget)


@dataclass(frozen=True, slots=True, eq=False)
class Chance:
    """Probability of a loss above ``budget`` at most ``ceiling``; see `bondwork.risk.measure.Measure`.

    Serves ``chance`` limits (the loss is slashing) and ``solvency`` (the loss is forfeited collateral, the
    budget the free collateral).
    """

    label: str
    loss: ScopeLoss
    budget: float
    ceiling: float
    convex: bool = False
    block_has_total: bool = True
    is_of_losses: bool = True

    @property
    def most_allowed(self) -> float:
        """Loss up to which the budget does not count as exceeded."""
        return most_allowed(self.budget)

    def value(self, x: FloatArray) -> float:
        """Probability of a loss above the budget at ``x``."""
        return self.of_losses(self.loss.of(x))

    def of_losses(self, losses: FloatArray) -> float:
        """Probability that given losses exceed the budget."""
        over = losses > self.most_allowed
        return float(self.loss.probability[over].sum())

    def cut(self, x: FloatArray) -> Cut:
        """Refuse: the probability is not convex in x."""
        raise TypeError("a chance limit has no cuts; use its rows")

    def block(self, scenarios: IntArray | None = None) -> Block:
        """``loss[s] <= budget + (most[s] - budget) * over[s]``, ``sum of probability * over <= ceiling``.

        Only scenarios in which the loss can exceed the budget at all get a row and a binary; each has the
        smallest constant that is enough.
        """
        from scipy.sparse import csr_array, diags_array, hstack, vstack

        most, budget = self.loss.largest(), self.most_allowed
        binding = (most > budget) & (self.loss.probability > 0.0)
        if scenarios is not None:
            binding &= np.isin(np.arange(len(most)), scenarios)
        scenarios = np.flatnonzero(binding)
        count = len(scenarios)
        room = diags_array(most[scenarios] - budget, format="csr") if count else csr_array((0, 0))
        exceed = hstack([self.loss.rows(scenarios), -room])
        weight = csr_array(self.loss.probability[np.newaxis, scenarios])
        total = hstack([csr_array((1, self.loss.size)), weight])
        return Block(
            matrix=vstack([exceed, total]).tocsr(),
            row_lower=np.full(count + 1, -np.inf),
            # shares of probabilities such as 0.05 of 1000 scenarios must not fail for a rounding
            row_upper=np.append(budget - self.loss.base[scenarios], self.ceiling + 1e-9),
            lower=np.zeros(count),
            upper=np.ones(count),
            integer=np.ones(count, dtype=bool),
            measured=self.loss.probability[scenarios],
            scenarios=scenarios,
        )

    def critical(self, x: FloatArray) -> None:
        """Say that the rows cannot be generated scenario by scenario."""

    def standard_error(self, x: FloatArray) -> float:
        """Standard error of the share of scenarios above the budget."""
        # shares of scenarios may add up to a hair more than 1
        return share_error(min(self.value(x), 1.0), len(self.loss.base))
