"""Exact draws of rare, conditionally independent failures, at a cost that follows the failures.

Given the factors, offer o of an executor fails in scenario s with a probability q(o, s) that grows with a
*driver* y(s) (the factors, or a historical failure rate) and, where p is a distribution, falls with its
uniform u(s). Drawing a normal for each of 1e9 pairs would take minutes. Instead:

1. Scenarios are sorted into blocks of similar driver (and uniform); in each block the corner with the
   largest driver and least uniform bounds q from above by an envelope, for each offer.
2. A Poisson process of rate -log(1 - envelope) drops points on the (offer, scenario) cells of a block. A cell
   gets one with probability exactly ``envelope``, independently of the others.
3. A cell that was hit fails with probability q / envelope: v = envelope * uniform, fails iff v < q.

Cells with an envelope near 1 are all visited. No approximation is involved; only the block sizes are a
choice, and they change speed, not the law. (Thinning: Lewis & Shedler 1979.)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
import scipy

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bondwork.arrays import BoolArray, FloatArray, IntArray

# Above this envelope the points of the Poisson process would mostly fall on cells that were hit before.
_DENSE = 0.8
_STRATA = 24
_BLOCKS = 32


class Mechanism(Protocol):
    """How the driver of a scenario turns failure probabilities into conditional ones.

    A failure probability f is handled by its *score*, any increasing function of it that makes this cheap.
    """

    def score(self, failure: FloatArray) -> FloatArray:
        """Score of failure probabilities."""
        ...

    def failure(self, score: FloatArray) -> FloatArray:
        """Failure probability of scores: the inverse of `score`."""
        ...

    def probability(self, score: FloatArray, driver: FloatArray) -> FloatArray:
        """Conditional failure probability; increasing in both. Shapes broadcast."""
        ...

    def critical(self, driver: FloatArray, v: FloatArray) -> FloatArray:
        """Score above which an offer fails: ``v < probability(score, driver)`` iff ``score > critical``."""
        ...


@dataclass(frozen=True, slots=True)
class Copula:
    """Gaussian factor copula: the driver is the sum of the loaded factors, ``sigma`` the loading of e[o]."""

    sigma: float

    def score(self, failure: FloatArray) -> FloatArray:
        """Return the normal quantile of the failure probability."""
        return scipy.special.ndtri(failure)

    def failure(self, score: FloatArray) -> FloatArray:
        """Return the normal distribution function of the score."""
        return scipy.special.ndtr(score)

    def probability(self, score: FloatArray, driver: FloatArray) -> FloatArray:
        """P(driver + sigma * e > -score)."""
        if self.sigma == 0.0:
            return (score + driver > 0.0).astype(np.float64)
        return scipy.special.ndtr((score + driver) / self.sigma)

    def critical(self, driver: FloatArray, v: FloatArray) -> FloatArray:
        """Score at which the conditional probability is ``v``."""
        return -driver if self.sigma == 0.0 else self.sigma * scipy.special.ndtri(v) - driver


@dataclass(frozen=True, slots=True)
class Resampled:
    """Bootstrap from history: the driver is the failure rate of a past round, ``mean`` their mean.

    Failures below the historical mean are thinned, f * rate / mean; above it successes are thinned,
    1 - (1 - f) * (1 - rate) / (1 - mean). Either stays in [0, 1] and has mean f over the history.
    """

    mean: float

    def score(self, failure: FloatArray) -> FloatArray:
        """Return the failure probability itself."""
        return failure

    def failure(self, score: FloatArray) -> FloatArray:
        """Return the score itself."""
        return score

    def probability(self, score: FloatArray, driver: FloatArray) -> FloatArray:
        """Failure probability in a round with failure rate ``driver``."""
        with np.errstate(divide="ignore", invalid="ignore"):
            thinned = np.where(score > 0.0, score * driver / self.mean, 0.0)
            raised = np.where(score < 1.0, 1.0 - (1.0 - score) * (1.0 - driver) / (1.0 - self.mean), 1.0)
        return np.where(score <= self.mean, thinned, raised)

    def critical(self, driver: FloatArray, v: FloatArray) -> FloatArray:
        """Failure probability at which the conditional probability is ``v``."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(
                v < driver, v * self.mean / driver, 1.0 - (1.0 - v) * (1.0 - self.mean) / (1.0 - driver)
            )


@dataclass(frozen=True, slots=True, eq=False)
class Group:
    """Offers of one executor, and what the scenarios say about it.

    Attributes
    ----------
    mechanism
        See `Mechanism`.
    failure
        Shape (n,). Failure probability given no outage.
    concentration
        Shape (n,), finite; or ``None``, where the probabilities are numbers.
    driver
        Shape (S,).
    quantile
        Shape (S,). The uniform that drives the quantiles of all distributions; ``None`` without them.
    out
        Shape (S,), bool. Where an outage fails everything.
    """

    mechanism: Mechanism
    failure: FloatArray
    concentration: FloatArray | None
    driver: FloatArray
    quantile: FloatArray | None
    out: BoolArray


def draw_failures(group: Group, rng: np.random.Generator) -> tuple[IntArray, NDArray[np.int32]]:
    """Draw the failures of a group.

    Returns
    -------
    counts
        Shape (n,). Number of failures of each offer.
    scenario
        Shape (sum of counts,). Scenarios, by offer, ascending within each.

    Notes
    -----
    n * S must stay below 2**32: the cells are numbered in 32 bits.
    """
    n, scenarios = len(group.failure), len(group.driver)
    blocks = _make_blocks(group)
    envelope = _envelope(group, blocks)
    dense = envelope > _DENSE
    cells = np.concatenate(
        [_hit_cells(np.where(dense, 0.0, envelope), blocks, rng), _all_cells(dense, blocks)]
    )
    cells.sort()
    if len(cells):
        cells = cells[np.concatenate([[True], cells[1:] != cells[:-1]])]
    offer, scenario = _split(cells, n, scenarios)
    v = rng.random(len(cells))
    v *= np.where(dense, 1.0, envelope)[offer, blocks.of_scenario[scenario]]
    cells = cells[_fails(group, offer, scenario, v)]
    lost = np.flatnonzero(group.out)
    if len(lost):
        everything = (np.arange(n)[:, np.newaxis] * scenarios + lost).astype(np.uint32)
        cells = np.sort(np.concatenate([cells, everything.ravel()]))
    offer, scenario = _split(cells, n, scenarios)
    return np.bincount(offer, minlength=n).astype(np.int64), scenario.astype(np.int32)


@dataclass(frozen=True, slots=True, eq=False)
class _Blocks:
    """The scenarios without outage, in blocks of similar driver, those in strata of similar uniform.

    Block k holds ``order[first[k]:first[k] + size[k]]``, the largest driver first; ``stratum[k]`` numbers its
    stratum, whose least uniform is ``least[stratum[k]]``.
    """

    scenarios: int
    order: IntArray
    first: IntArray
    size: IntArray
    stratum: IntArray
    least: FloatArray

    @property
    def of_scenario(self) -> IntArray:
        """Block of each scenario, shape (S,); 0 where there is an outage."""
        block = np.zeros(self.scenarios, dtype=np.int64)
        block[self.order] = np.repeat(np.arange(len(self.size)), self.size)
        return block


def _make_blocks(group: Group) -> _Blocks:
    alive = np.flatnonzero(~group.out)
    strata, blocks, least = np.array([len(alive)]), _BLOCKS, np.zeros(1)
    if group.quantile is not None and len(alive):
        alive = alive[np.argsort(group.quantile[alive], kind="stable")]
        strata, blocks = _sizes(len(alive), _STRATA), _BLOCKS // 4
        least = group.quantile[alive[np.cumsum(strata) - strata]]
    driver = group.driver[alive]
    order = alive[np.lexsort((-driver, np.repeat(np.arange(len(strata)), strata)))]
    if len(driver) and driver.min() == driver.max():
        blocks = 1
    cuts = [_sizes(int(count), blocks) for count in strata]
    size = np.concatenate(cuts)
    return _Blocks(
        scenarios=len(group.driver),
        order=order,
        first=np.cumsum(size) - size,
        size=size,
        stratum=np.repeat(np.arange(len(strata)), [len(cut) for cut in cuts]),
        least=least,
    )


def _sizes(n: int, parts: int) -> IntArray:
    """Cut n into ``parts`` runs and some; small ones first: there, in the tail, the envelope is steepest."""
    if parts == 1:
        return np.array([n] if n else [], dtype=np.int64)
    largest = -(-n // parts)
    sizes = []
    size = 1.0
    while n > 0:
        sizes.append(min(int(size), n))
        n -= sizes[-1]
        size = min(size * 1.6, largest)
    return np.array(sizes, dtype=np.int64)


def _envelope(group: Group, blocks: _Blocks) -> FloatArray:
    """Bound of the failure probability of each offer in each block, shape (n, blocks)."""
    top = group.driver[blocks.order[blocks.first]]
    if group.concentration is None:
        return group.mechanism.probability(group.mechanism.score(group.failure)[:, np.newaxis], top)
    f, nu = group.failure[:, np.newaxis], group.concentration[:, np.newaxis]
    failure = np.asarray(
        scipy.special.betaincinv(f * nu, (1.0 - f) * nu, 1.0 - blocks.least), dtype=np.float64
    )
    return group.mechanism.probability(group.mechanism.score(failure)[:, blocks.stratum], top)


def _hit_cells(envelope: FloatArray, blocks: _Blocks, rng: np.random.Generator) -> NDArray[np.uint32]:
    """Cells (offer * S + scenario) that points fall on, in any order, some several times."""
    points = rng.poisson(-np.log1p(-envelope) * blocks.size).ravel()
    offer, block = np.divmod(np.repeat(np.arange(points.size), points), max(len(blocks.size), 1))
    place = (rng.random(len(block)) * blocks.size[block]).astype(np.int64)
    cells = offer * blocks.scenarios + blocks.order[blocks.first[block] + place]
    return np.asarray(cells, dtype=np.uint32)


def _all_cells(dense: BoolArray, blocks: _Blocks) -> NDArray[np.uint32]:
    """Every cell of the blocks marked ``dense``, shape (n, blocks)."""
    offer, block = np.nonzero(dense)
    count = blocks.size[block]
    step = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
    scenario = blocks.order[np.repeat(blocks.first[block], count) + step]
    return np.asarray(np.repeat(offer * blocks.scenarios, count) + scenario, dtype=np.uint32)


def _split(cells: NDArray[np.uint32], n: int, scenarios: int) -> tuple[IntArray, IntArray]:
    """Turn ascending cells into offers and scenarios."""
    # Searching 32-bit cells for 64-bit bounds would convert all cells; the last bound is the end anyway.
    bounds = (np.arange(1, n) * scenarios).astype(np.uint32)
    start = np.concatenate([[0], np.searchsorted(cells, bounds), [len(cells)]])
    offer = np.repeat(np.arange(n), np.diff(start))
    return offer, cells - offer * scenarios


def _fails(group: Group, offer: IntArray, scenario: IntArray, v: FloatArray) -> BoolArray:
    """Whether ``v`` lies below the conditional failure probability of each cell."""
    critical = group.mechanism.critical(group.driver[scenario], v)
    if group.concentration is None or group.quantile is None:
        return group.mechanism.score(group.failure)[offer] > critical
    # The failure quantile at 1 - u exceeds the critical value iff the distribution function there is below
    # 1 - u: the function costs a tenth of its inverse.
    f, nu = group.failure, group.concentration
    below = scipy.special.betainc((f * nu)[offer], ((1.0 - f) * nu)[offer], group.mechanism.failure(critical))
    return np.asarray(below < 1.0 - group.quantile[scenario])
