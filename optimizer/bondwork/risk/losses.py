"""The loss of a choice in every scenario: what all risk measures look at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bondwork.arrays import freeze_fields

if TYPE_CHECKING:
    from scipy.sparse import csr_array

    from bondwork.arrays import FloatArray, IntArray
    from bondwork.uncertainty.outcomes import OutcomeSample


#: What commitments lose is at most this many units: far above any choice, and far from where sums of a
#: solver's numbers lose the choices.
MOST_UNITS = 1e6


def unit_of(weight: FloatArray, held: FloatArray) -> float:
    """Return a power of two near the largest weight, or larger where commitments lose very much more."""
    largest = max(np.max(weight, initial=0.0), np.max(held, initial=0.0) / MOST_UNITS)
    _, exponent = np.frexp(largest)
    return float(np.ldexp(1.0, exponent))


@dataclass(frozen=True, slots=True, eq=False)
class ScopeLoss:
    """Loss of one scope (the network, an operator, a coprocessor) as a function of the choice.

    ``loss(x)[s] = base[s] + sum of weight[j] * x[j] over the columns j that fail in s``.

    Attributes
    ----------
    columns
        Shape (k,). Columns of the program that can lose something here, ascending.
    size
        n, the number of columns of the program.
    weight
        Shape (k,). What is lost when the column's offer fails: slashing in currency, or collateral in its
        own unit.
    sample
        Scenarios of the k columns' failures.
    base
        Shape (S,). What commitments lose in each scenario.
    """

    columns: IntArray
    size: int
    weight: FloatArray
    sample: OutcomeSample
    base: FloatArray

    def __post_init__(self) -> None:
        freeze_fields(self, "columns", "weight", "base")

    @property
    def probability(self) -> FloatArray:
        """Shape (S,). Of the scenarios."""
        return self.sample.probability

    def of(self, x: FloatArray) -> FloatArray:
        """Loss in each scenario. Shape (S,)."""
        total: FloatArray = self.base + self.sample.loss(x[self.columns], self.weight)
        return total

    def gradient(self, density: FloatArray) -> FloatArray:
        """Gradient in x of the expected loss under a density relative to the probabilities. Shape (n,)."""
        full = np.zeros(self.size)
        full[self.columns] = self.weight * self.sample.expected_over(density)
        return full

    def largest(self) -> FloatArray:
        """Loss when everything that can fail in a scenario is chosen: a bound on `of`. Shape (S,)."""
        return self.of(np.ones(self.size))

    def largest_of(self, x: FloatArray) -> float:
        """Largest amount that a single choice of ``x`` may lose."""
        return float(np.max(self.weight * x[self.columns], initial=0.0))

    @property
    def unit(self) -> float:
        """What auxiliary columns count in, lest wei drown them; see `unit_of`."""
        return unit_of(self.weight, self.base)

    def rows(self, scenarios: IntArray) -> csr_array:
        """Coefficients of the loss in the given scenarios. Shape (len(scenarios), n), CSR."""
        from scipy.sparse import csr_array

        number = np.full(len(self.base), -1, dtype=np.int64)
        number[scenarios] = np.arange(len(scenarios))
        row = number[self.sample.scenario]
        kept = np.flatnonzero(row >= 0)
        local = np.searchsorted(self.sample.start, kept, side="right") - 1
        places = (row[kept], self.columns[local])
        return csr_array((self.weight[local], places), shape=(len(scenarios), self.size))
