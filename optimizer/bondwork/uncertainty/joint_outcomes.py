"""Every joint outcome of a few pieces of work, with its probability: the law itself, not a sample of it."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import ndtr, ndtri

from bondwork.arrays import frozen
from bondwork.uncertainty.dependence import given_no_outage

if TYPE_CHECKING:
    from bondwork.arrays import BoolArray, FloatArray, IntArray
    from bondwork.uncertainty.outcomes import OutcomeLaw

#: Pieces of work up to which all joint outcomes are listed: two to this power of them.
MOST_LISTED = 12

#: Least share of a piece's own in its variance for which the quadrature is accurate (to 1e-9 or better).
_LEAST_OWN = 0.2

_NODES = 96


def list_outcomes(law: OutcomeLaw) -> tuple[BoolArray, FloatArray] | None:
    """List the joint outcomes of a law, success or failure of each piece, with their probabilities.

    Independent pieces and outages are exact; the Gaussian factors of dependent ones are integrated by
    Gauss-Hermite quadrature with 96 points each.

    Returns
    -------
    Outcomes of shape (S, O), true for success, those of probability 0 left out; and shape (S,). ``None``
    where a law has no such list: more than `MOST_LISTED` pieces, factors that leave next to nothing to a
    piece itself, or an uncertain probability that others share.

    Examples
    --------
    Two pieces at one executor that is out in one round of ten:

    >>> from bondwork.uncertainty.outcomes import OutcomeLaw
    >>> outcomes, probability = list_outcomes(OutcomeLaw.of([0, 0], 0.45, outage_probability=0.1))
    >>> outcomes.astype(int).tolist(), np.round(probability, 4).tolist()
    ([[0, 0], [0, 1], [1, 0], [1, 1]], [0.325, 0.225, 0.225, 0.225])
    """
    count = len(law)
    dependence = law.dependence
    shares_factor = dependence.common > 0.0 or dependence.coprocessor > 0.0
    uncertain = np.isfinite(law.concentration)
    alone = np.bincount(law.executor, minlength=law.executors)[law.executor] == 1
    if count > MOST_LISTED or np.any(uncertain & ~alone) or (uncertain.any() and shares_factor and count > 1):
        return None
    if shares_factor and count > 1 and dependence.idiosyncratic < _LEAST_OWN:
        return None
    outcomes = (np.arange(2**count)[:, None] >> np.arange(count)[::-1]) % 2 == 1
    success = given_no_outage(law.success_probability, law.outage_probability[law.executor])
    if shares_factor and count > 1:
        points, weights = _normal_points()
        probability = np.zeros(len(outcomes))
        for common, weight in zip(points, weights, strict=True):
            probability += weight * _given_common(law, success, outcomes, np.sqrt(dependence.common) * common)
    else:
        probability = _by_executor(law, outcomes, success[None, :], np.ones(1))
    probability /= probability.sum()
    return outcomes[probability > 0.0], probability[probability > 0.0]


def _given_common(law: OutcomeLaw, success: FloatArray, outcomes: BoolArray, common: float) -> FloatArray:
    """Probability of every outcome given the common factor."""
    dependence = law.dependence
    points, weights = _normal_points()
    if dependence.coprocessor == 0.0:
        points, weights = np.zeros(1), np.ones(1)
    threshold = ndtri(success)[None, :] - common - np.sqrt(dependence.coprocessor) * points[:, None]
    return _by_executor(law, outcomes, ndtr(threshold / np.sqrt(dependence.idiosyncratic)), weights)


def _by_executor(
    law: OutcomeLaw, outcomes: BoolArray, success: FloatArray, weights: FloatArray
) -> FloatArray:
    """Product over the executors of the probability of their pieces' outcomes, outages included.

    ``success`` has shape (F, O): given each of F values of an executor's own factor, whose ``weights`` add up
    to 1.
    """
    result = np.ones(len(outcomes))
    for executor in np.unique(law.executor).tolist():
        mine = law.executor == executor
        given = np.ones((len(success), 1))
        for p in success[:, mine].T:  # patterns of outcomes, the first piece's the leading digit
            given = np.stack([given * (1.0 - p)[:, None], given * p[:, None]], axis=2).reshape(len(p), -1)
        out = law.outage_probability[executor]
        chance = (1.0 - out) * (weights @ given)
        chance[0] += out
        digits = 2 ** np.arange(int(mine.sum()))[::-1]
        result *= chance[outcomes[:, mine] @ digits]
    return result


@cache
def _normal_points() -> tuple[FloatArray, FloatArray]:
    points, weights = np.polynomial.hermite_e.hermegauss(_NODES)
    return frozen(points), frozen(weights / weights.sum())


def draw_outcomes(
    law: OutcomeLaw, size: int, seed: np.random.SeedSequence, method: str
) -> tuple[BoolArray, FloatArray]:
    """Draw ``size`` joint outcomes; like `list_outcomes`, but a sample. Equal ones are not merged."""
    from bondwork.uncertainty.sampling import sample_outcomes

    sample = sample_outcomes(law, size, seed=seed, method=method)
    return ~sample.dense(), sample.probability


def merge_rows(table: FloatArray, probability: FloatArray) -> tuple[IntArray, FloatArray]:
    """Find equal rows; return the first of each kind in their order, and the kinds' probabilities."""
    if not table.shape[1]:
        return np.zeros(1, dtype=np.int64), np.array([probability.sum()])
    _, first, kind = np.unique(table, axis=0, return_index=True, return_inverse=True)
    total = np.bincount(kind.ravel(), probability, len(first))
    order = np.argsort(first)
    return first[order].astype(np.int64), total[order].astype(np.float64)
