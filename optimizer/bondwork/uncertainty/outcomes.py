"""Outcomes of offers: their law, and a sample of it with failures stored sparse (MODEL 3)."""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import sha256
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from bondwork.arrays import freeze_fields
from bondwork.uncertainty.dependence import Dependence, given_no_outage

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray
    from scipy.sparse import csc_array

    from bondwork.arrays import FloatArray, IntArray

# Failures handled at a time where a temporary of 8 bytes for each would not fit.
_CHUNK = 4_000_000


@dataclass(frozen=True, slots=True, eq=False)
class OutcomeLaw:
    """Joint law of the outcomes of O pieces of work (offers, commitments, or both) at E executors.

    Attributes
    ----------
    executor
        Shape (O,). Index of who does each, 0 to E - 1: coprocessors, and operators that execute themselves.
    success_probability
        Shape (O,). Marginal, outages and lateness included; at most 1 - outage probability of the executor.
    concentration
        Shape (O,), > 0. ``nu`` where the probability is a distribution, ``inf`` where it is a number. The
        distribution is that of p' = p / (1 - outage), with mean m' = mean / (1 - outage):
        ``Beta(m'*nu, (1-m')*nu)``. So p' stays in [0, 1] and the mean of p stays what it was.
    outage_probability
        Shape (E,).
    dependence
        See `Dependence`.

    Examples
    --------
    >>> law = OutcomeLaw.of([0, 0, 1], [0.9, 0.8, 0.95], outage_probability=[0.05, 0.0])
    >>> len(law), law.executors
    (3, 2)
    """

    executor: IntArray
    success_probability: FloatArray
    concentration: FloatArray
    outage_probability: FloatArray
    dependence: Dependence = field(default_factory=Dependence)

    def __post_init__(self) -> None:
        shape = self.executor.shape
        if len(shape) != 1:
            raise ValueError(f"executor has shape {shape}, expected one dimension")
        for name in ("success_probability", "concentration"):
            if getattr(self, name).shape != shape:
                raise ValueError(f"{name} has shape {getattr(self, name).shape}, expected {shape}")
        if np.any((self.executor < 0) | (self.executor >= self.executors)):
            raise ValueError(f"executor holds an index outside 0 to {self.executors - 1}")
        if not np.all(self.concentration > 0.0):
            raise ValueError("concentration holds a number that is not above 0")
        given_no_outage(self.success_probability, self.outage_probability[self.executor])
        freeze_fields(self, "executor", "success_probability", "concentration", "outage_probability")

    @classmethod
    def of(
        cls,
        executor: ArrayLike,
        success_probability: ArrayLike,
        *,
        concentration: ArrayLike = np.inf,
        outage_probability: ArrayLike = 0.0,
        executors: int | None = None,
        dependence: Dependence | None = None,
    ) -> OutcomeLaw:
        """Make a law from lists or arrays; one number stands for all, E defaults to the largest index + 1."""
        index = np.array(executor, dtype=np.int64)
        outage = np.asarray(outage_probability, dtype=np.float64)
        if executors is None:
            executors = outage.size if outage.ndim else int(index.max(initial=-1)) + 1
        return cls(
            executor=index,
            success_probability=np.broadcast_to(np.array(success_probability, np.float64), index.shape),
            concentration=np.broadcast_to(np.array(concentration, np.float64), index.shape),
            outage_probability=np.broadcast_to(outage, (executors,)).copy(),
            dependence=dependence or Dependence(),
        )

    def __len__(self) -> int:
        return len(self.executor)

    @property
    def executors(self) -> int:
        """E."""
        return len(self.outage_probability)

    def select(self, offers: ArrayLike) -> OutcomeLaw:
        """Return the law of some of the offers, by index or mask; executors keep their numbers."""
        chosen = np.asarray(offers)
        return OutcomeLaw(
            self.executor[chosen],
            self.success_probability[chosen],
            self.concentration[chosen],
            self.outage_probability,
            self.dependence,
        )


@dataclass(frozen=True, slots=True, eq=False)
class OutcomeSample:
    """S scenarios of the outcomes of O offers. Only failures are stored, by offer (a CSC pattern).

    Attributes
    ----------
    start
        Shape (O + 1,), int64. The failures of offer o are ``scenario[start[o]:start[o + 1]]``.
    scenario
        Shape (number of failures,), int32, ascending within each offer.
    probability
        Shape (S,). Of the scenarios; sum 1.

    Examples
    --------
    >>> sample = OutcomeSample.from_dense([[True, False], [True, True], [False, False], [False, False]])
    >>> sample.failures(0).tolist(), sample.failure_share().tolist()
    ([0, 1], [0.5, 0.25])
    >>> sample.loss(x=[1.0, 1.0], slashing=[30.0, 8.0]).tolist()
    [30.0, 38.0, 0.0, 0.0]
    """

    start: IntArray
    scenario: NDArray[np.int32]
    probability: FloatArray

    def __post_init__(self) -> None:
        if len(self.start) == 0 or self.start[0] != 0 or self.start[-1] != len(self.scenario):
            raise ValueError("start must run from 0 to the number of failures")
        if len(self.scenario) and (self.scenario.min() < 0 or self.scenario.max() >= self.scenarios):
            raise ValueError(f"scenario holds an index outside 0 to {self.scenarios - 1}")
        freeze_fields(self, "start", "scenario", "probability")

    @classmethod
    def from_dense(cls, failed: ArrayLike, probability: ArrayLike | None = None) -> OutcomeSample:
        """Make a sample from a table of failures, shape (S, O), bool; scenarios equally likely by default."""
        table = np.asarray(failed, dtype=bool)
        if table.ndim != 2:
            raise ValueError(f"failed has shape {table.shape}, expected (scenarios, offers)")
        scenarios = len(table)
        weights = (
            np.full(scenarios, 1.0 / scenarios) if probability is None else np.array(probability, np.float64)
        )
        if weights.shape != (scenarios,) or weights.min() < 0.0 or abs(weights.sum() - 1.0) > 1e-9:
            raise ValueError(f"probability must hold {scenarios} numbers >= 0 with sum 1")
        offer, scenario = np.nonzero(table.T)
        start = np.searchsorted(offer, np.arange(table.shape[1] + 1)).astype(np.int64)
        return cls(start, scenario.astype(np.int32), weights)

    @property
    def scenarios(self) -> int:
        """S."""
        return len(self.probability)

    @property
    def offers(self) -> int:
        """O."""
        return len(self.start) - 1

    def failures(self, offer: int) -> NDArray[np.int32]:
        """Scenarios in which ``offer`` fails, ascending; a view."""
        return self.scenario[self.start[offer] : self.start[offer + 1]]

    def failure_share(self) -> FloatArray:
        """Probability, under the sample, that each offer fails. Shape (O,)."""
        return self.expected_over(np.ones(self.scenarios))

    def expected_over(self, weight: ArrayLike) -> FloatArray:
        """Return E[weight * failure] for each offer, shape (O,): the transpose of `loss`.

        With ``weight`` (shape (S,)) the density of the tail, times ``slashing``, it is the gradient of CVaR
        in x.
        """
        value = np.asarray(weight, dtype=np.float64) * self.probability
        total = np.zeros(self.offers)
        for first, last in self._blocks(np.diff(self.start)):
            low, high = self.start[first], self.start[last]
            filled = np.flatnonzero(np.diff(self.start[first : last + 1])) + first
            if len(filled):
                total[filled] = np.add.reduceat(value[self.scenario[low:high]], self.start[filled] - low)
        return total

    def loss(self, x: ArrayLike, slashing: ArrayLike) -> FloatArray:
        """Return the slashing of a choice in each scenario, in currency. Shape (S,).

        Parameters
        ----------
        x
            Shape (O,). What is chosen, 0 to 1; only the failures of offers with ``x != 0`` are visited.
        slashing
            Shape (O,). Currency slashed when the offer fails.
        """
        weight = np.asarray(x, dtype=np.float64) * np.asarray(slashing, dtype=np.float64)
        if weight.shape != (self.offers,):
            raise ValueError(f"x * slashing has shape {weight.shape}, expected ({self.offers},)")
        total = np.zeros(self.scenarios)
        chosen = np.flatnonzero(weight)
        counts = self.start[chosen + 1] - self.start[chosen]
        for first, last in self._blocks(counts):
            part, count = chosen[first:last], counts[first:last]
            at = self.scenario[_ranges(self.start[part], count)]
            total += np.bincount(at, weights=np.repeat(weight[part], count), minlength=self.scenarios)
        return total

    def select(self, offers: ArrayLike) -> OutcomeSample:
        """Return the sample of some of the offers, by index (in that order) or mask."""
        chosen = np.arange(self.offers)[np.asarray(offers)]
        counts = self.start[chosen + 1] - self.start[chosen]
        start = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        return OutcomeSample(start, self.scenario[_ranges(self.start[chosen], counts)], self.probability)

    def select_scenarios(self, scenarios: ArrayLike, probability: ArrayLike) -> OutcomeSample:
        """Return the sample on some scenarios with new probabilities: what a reduction leaves.

        Parameters
        ----------
        scenarios
            Shape (m,). Distinct indices; they become 0 to m - 1 in this order.
        probability
            Shape (m,), sum 1.
        """
        kept = np.asarray(scenarios, dtype=np.int64)
        weights = np.array(probability, dtype=np.float64)
        if weights.shape != kept.shape or abs(weights.sum() - 1.0) > 1e-9:
            raise ValueError(f"probability must hold {len(kept)} numbers with sum 1")
        number = np.full(self.scenarios, -1, dtype=np.int32)
        number[kept] = np.arange(len(kept), dtype=np.int32)
        if np.count_nonzero(number >= 0) != len(kept):
            raise ValueError("scenarios holds an index twice")
        counts = np.zeros(self.offers, dtype=np.int64)
        parts = []
        for first, last in self._blocks(np.diff(self.start)):
            at = number[self.scenario[self.start[first] : self.start[last]]]
            offer = np.repeat(np.arange(first, last), np.diff(self.start[first : last + 1]))[at >= 0]
            at = at[at >= 0]
            parts.append(at[np.lexsort((at, offer))])
            counts[first:last] = np.bincount(offer - first, minlength=last - first)
        start = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        scenario = np.concatenate(parts) if parts else np.zeros(0, dtype=np.int32)
        return OutcomeSample(start, scenario, weights)

    def matrix(self) -> csc_array[Any]:
        """Return the failures as a sparse matrix of ones, shape (S, O), CSC, float64.

        Takes 12 bytes a failure: for the chosen or eligible offers (`select`), not for all of a large round.
        """
        from scipy.sparse import csc_array  # only this method needs it

        ones = np.ones(len(self.scenario))
        return csc_array((ones, self.scenario, self.start), shape=(self.scenarios, self.offers))

    def dense(self) -> NDArray[np.bool_]:
        """Return the failures as a table, shape (S, O), bool. Takes S * O bytes: for small samples."""
        table = np.zeros((self.scenarios, self.offers), dtype=bool)
        table[self.scenario, np.repeat(np.arange(self.offers), np.diff(self.start))] = True
        return table

    @property
    def sha256(self) -> str:
        """Digest of the content."""
        digest = sha256(b"bondwork.outcomes/1")
        for array, kind in ((self.start, "<i8"), (self.scenario, "<i4"), (self.probability, "<f8")):
            digest.update(len(array).to_bytes(8, "little"))
            digest.update(np.ascontiguousarray(array, dtype=kind).tobytes())
        return digest.hexdigest()

    def _blocks(self, counts: IntArray) -> list[tuple[int, int]]:
        """Cut a list of offers with these numbers of failures into runs of about `_CHUNK` failures."""
        if not len(counts):
            return []
        run = np.cumsum(counts) // _CHUNK
        cuts = [0, *(np.flatnonzero(np.diff(run)) + 1).tolist(), len(counts)]
        return list(pairwise(cuts))


def _ranges(start: IntArray, count: IntArray) -> IntArray:
    """Concatenate ``arange(start[i], start[i] + count[i])``."""
    before = np.cumsum(count) - count
    return np.asarray(np.arange(count.sum()) + np.repeat(start - before, count), dtype=np.int64)
