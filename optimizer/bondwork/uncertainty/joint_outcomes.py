"""Every joint outcome of a few pieces of work, with its probability: the law itself, not a sample of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import scipy

from bondwork.uncertainty.common_factor import FactorModel
from bondwork.uncertainty.normal_nodes import SMOOTH, normal_pieces, normal_trapezoid, smooth_step, window

if TYPE_CHECKING:
    from bondwork.arrays import BoolArray, FloatArray, IntArray
    from bondwork.uncertainty.outcomes import OutcomeLaw

#: Outcomes up to which all of them are listed where nothing else is asked for.
MOST_LISTED = 4096


def list_outcomes(law: OutcomeLaw, most: int = MOST_LISTED) -> tuple[BoolArray, FloatArray] | None:
    """List the joint outcomes of a law, success or failure of each piece, with their probabilities.

    Pieces that are certain but for an outage fail together: outcomes that cannot be are not counted. What
    factors tie together is integrated over them.

    Parameters
    ----------
    law
        Joint law of the pieces.
    most
        Outcomes that may be listed.

    Returns
    -------
    Outcomes of shape (S, O), true for success, those of probability 0 left out; and shape (S,). ``None``
    where there are more than ``most``, or where an executor has several pieces one of which has an uncertain
    probability: what drives that one drives the others.

    Examples
    --------
    Two pieces at one executor that is out in one round of ten:

    >>> from bondwork.uncertainty.outcomes import OutcomeLaw
    >>> outcomes, probability = list_outcomes(OutcomeLaw.of([0, 0], 0.45, outage_probability=0.1))
    >>> outcomes.astype(int).tolist(), np.round(probability, 4).tolist()
    ([[0, 0], [0, 1], [1, 0], [1, 1]], [0.325, 0.225, 0.225, 0.225])
    """
    model, share = FactorModel.of(law), law.dependence.coprocessor
    groups = []
    ways = 1
    for executor in np.unique(law.executor).tolist():
        group = _Group.of(model, np.flatnonzero(law.executor == executor), most)
        if group is None or ways * len(group.success) > most:
            return None
        ways *= len(group.success)
        groups.append(group)
    outcomes = np.ones((ways, len(law)), dtype=bool)
    each = ways
    for group in groups:
        each //= len(group.success)
        outcomes[:, group.pieces] = group.success[np.arange(ways) // each % len(group.success)]
    free = np.concatenate([np.zeros(0, dtype=np.int64), *(group.free for group in groups)])
    factor, weight = _common_nodes(model, free) if len(free) > 1 else (np.zeros(1), np.ones(1))
    if len(free) <= 1 and model.common > 0.0:
        # the factors of a single piece say nothing of any other
        model, share = FactorModel(model.mean, model.concentration, model.up, 0.0), 0.0
    probability = np.zeros(ways)
    tables = [group.chances(model, factor, share) for group in groups]
    for node, w in enumerate(weight.tolist()):
        chance = np.array([w])
        for table in tables:
            chance = np.multiply.outer(chance, table[:, node]).ravel()
        probability += chance
    order = np.lexsort(outcomes.T[::-1]) if len(law) else np.zeros(1, dtype=np.int64)
    outcomes, probability = outcomes[order], probability[order] / probability.sum()
    return outcomes[probability > 0.0], probability[probability > 0.0]


@dataclass(frozen=True, slots=True, eq=False)
class _Group:
    """Pieces of one executor, and what may come of them.

    Attributes
    ----------
    pieces
        Shape (k,).
    free
        Those that may succeed or fail while the executor is up.
    success
        Shape (ways, k), bool. With the free ones as digits, the first one's leading; then the outage, where
        it looks like none of these.
    """

    pieces: IntArray
    free: IntArray
    success: BoolArray

    @classmethod
    def of(cls, model: FactorModel, pieces: IntArray, most: int) -> _Group | None:
        """``None`` where there are more than ``most`` ways, or one uncertain probability drives several."""
        mean = model.mean[pieces]
        loose = (mean > 0.0) & (mean < 1.0)
        count = int(loose.sum())
        if count > np.log2(most) or (count > 1 and np.any(np.isfinite(model.concentration[pieces[loose]]))):
            return None
        success = np.tile(mean >= 1.0, (2**count, 1))
        success[:, loose] = (np.arange(2**count)[:, np.newaxis] >> np.arange(count)[::-1]) & 1 == 1
        if model.up[pieces[0]] < 1.0 and np.any(mean >= 1.0):
            success = np.concatenate([success, np.zeros((1, len(pieces)), dtype=bool)])
        return cls(pieces, pieces[loose], success)

    def chances(self, model: FactorModel, factor: FloatArray, share: float) -> FloatArray:
        """Probability of each way, given values of the common factor. Shape (ways, factors)."""
        up = float(model.up[self.pieces[0]])
        if len(self.free) <= 1:
            success = model.success(self.free, factor) / up if up > 0.0 else np.zeros((1, len(factor)))
            given = np.ones((1, len(factor))) if not len(self.free) else np.vstack([1.0 - success, success])
        elif share == 0.0:
            given = _digits(model.success(self.free, factor) / up)
        else:
            given = self._averaged(model, factor, share)
        chance = up * given
        if len(self.success) > len(given):
            chance = np.vstack([chance, np.full((1, len(factor)), 1.0 - up)])
        else:
            chance[0] += 1.0 - up
        return chance

    def _averaged(self, model: FactorModel, factor: FloatArray, share: float) -> FloatArray:
        """Average over the executor's own factor of all that it leaves to its pieces."""
        score = scipy.special.ndtri(model.mean[self.free])
        rest = 1.0 - model.common - share if 1.0 - model.common - share > 1e-12 else 0.0
        found = np.zeros((2 ** len(self.free), len(factor)))
        even = normal_trapezoid(smooth_step(len(self.free) * share / rest)) if rest > 0.0 else None
        for node, m in enumerate(factor.tolist()):
            gap = score - np.sqrt(model.common) * m
            if even is not None and share <= SMOOTH * (share + rest):
                own, weight = even
            else:
                bends = gap / np.sqrt(share)
                own, weight = normal_pieces(
                    [window(bends[[i]], np.sqrt(rest / share)) for i in range(len(bends))]
                )
            below = gap[:, np.newaxis] - np.sqrt(share) * own
            p = (
                (below >= 0.0).astype(np.float64)
                if rest == 0.0
                else scipy.special.ndtr(below / np.sqrt(rest))
            )
            found[:, node] = _digits(p) @ weight
        return found


def _digits(p: FloatArray) -> FloatArray:
    """Probability of every outcome of k independent trials, the first one leading. Shape (2**k, n)."""
    given = np.ones((1, p.shape[1]))
    for each in p:
        given = np.stack([given * (1.0 - each), given * each], axis=1).reshape(-1, p.shape[1])
    return given


def _common_nodes(model: FactorModel, free: IntArray) -> tuple[FloatArray, FloatArray]:
    """Nodes and weights of the common factor."""
    if model.common == 0.0:
        return np.zeros(1), np.ones(1)
    if model.common <= SMOOTH:
        return normal_trapezoid(smooth_step(len(free) * model.common / (1.0 - model.common)))
    return normal_pieces([model.bends(piece) for piece in free.tolist()])


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
