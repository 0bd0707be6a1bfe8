"""Dependent outcomes once more, for `verify`: what a team's members do, given what they share (MODEL 3).

Shares no code with the integrals that plans are made with: here all are sums of Gauss-Legendre pieces, cut at
the places where something happens, and outcomes are gone through one by one.
"""

from __future__ import annotations

import math
from functools import cache, cached_property, lru_cache
from itertools import product
from typing import TYPE_CHECKING

import numpy as np
import scipy

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bondwork.arrays import FloatArray

#: Normal numbers beyond this one are left out; their probability is below 1e-20.
_FAR = 9.5

#: Standard deviation of what is not common, over that of the common factor, below which chances are steps.
_SUDDEN = 0.1

#: Places, in standard deviations around a half of a normal distribution function, between which pieces lie.
_CUTS = np.array([-_FAR, -7.0, -5.0, -3.5, -2.5, -1.5, -0.75, 0.0, 0.75, 1.5, 2.5, 3.5, 5.0, 7.0, _FAR])

#: Quantiles of a beta law between which its distribution function is smooth.
_QUANTILES = np.array([1e-13, 1e-9, 1e-6, 1e-4, 1e-3, 0.01, 0.04, 0.1, 0.2, 0.35, 0.5])

#: Both parameters of a beta law above which it is a normal one for all purposes, and its inverse unknown.
_NARROW = 1e15


def pieces(cuts: FloatArray, points: int = 12) -> tuple[FloatArray, FloatArray]:
    """Nodes and normal weights of a sum of Gauss-Legendre pieces between cuts and the ends.

    Examples
    --------
    >>> nodes, weights = pieces(np.zeros(0))
    >>> round(float(weights @ nodes**2), 9)
    1.0
    """
    edges = np.unique(np.clip(np.concatenate([cuts, np.linspace(-_FAR, _FAR, 14)]), -_FAR, _FAR))
    edges = edges[np.isfinite(edges)]
    x, w = _gauss(points)
    middle, half = (edges[1:] + edges[:-1]) / 2.0, np.diff(edges) / 2.0
    nodes = (middle[:, np.newaxis] + half[:, np.newaxis] * x).ravel()
    return nodes, (half[:, np.newaxis] * w).ravel() * np.exp(-(nodes**2) / 2.0) / math.sqrt(2.0 * math.pi)


#: Nodes and weights of one piece; finding them takes longer than most sums do.
_gauss = cache(np.polynomial.legendre.leggauss)


@cache
def even_pieces(common: float) -> tuple[FloatArray, FloatArray] | None:
    """Nodes that do for all work, as nothing happens too suddenly; ``None`` where something may."""
    width = math.sqrt(max(1.0 - common, 0.0) / common)
    if width < _SUDDEN:
        return None
    return pieces(np.linspace(-_FAR, _FAR, math.ceil(2.0 * _FAR / (1.5 * min(width, 1.0))) + 1), 10)


@lru_cache(maxsize=20_000)
def _given_even(terms: tuple[float, float, float], common: float) -> FloatArray:
    nodes = even_pieces(common)
    assert nodes is not None  # whoever asks has them
    return Work(0, *terms).given(nodes[0], common)


class Work:
    """One piece of work: whose it is, and how often it succeeds.

    Parameters
    ----------
    executor
        Number of who does it.
    p
        Success probability, outages included.
    concentration
        Of the beta law of p, ``inf`` where it is a number.
    outage
        Probability that everything the executor holds fails.
    """

    def __init__(self, executor: int, p: float, concentration: float, outage: float) -> None:
        self.executor = executor
        self.terms = (p, concentration, outage)
        self.p = p
        self.outage = outage
        self.mean = min(p / (1.0 - outage), 1.0) if outage < 1.0 else 0.0
        self.concentration = concentration if 1e-12 <= self.mean <= 1.0 - 1e-12 else math.inf
        self.score = float(scipy.special.ndtri(self.mean))

    @cached_property
    def quantiles(self) -> FloatArray:
        """Normal quantiles of the probability given no outage, at which its law bends."""
        if math.isinf(self.concentration):
            return np.array([self.score])
        return np.unique(self._bends[np.isfinite(self._bends)])

    @cached_property
    def _bends(self) -> FloatArray:
        """The same at each of the ranks, infinite ones included."""
        below = self._scores(scipy.special.ndtri(_QUANTILES), low=True)
        return np.concatenate([below, self._scores(-scipy.special.ndtri(_QUANTILES[-2::-1]), low=False)])

    def _scores(self, rank: FloatArray, *, low: bool) -> FloatArray:
        """Normal quantiles of the probability at ranks of a normal number, from the low end or the high."""
        a, b = self.mean * self.concentration, (1.0 - self.mean) * self.concentration
        if min(a, b) > _NARROW:
            density = math.exp(-(self.score**2) / 2.0) / math.sqrt(2.0 * math.pi)
            width = math.sqrt(self.mean * (1.0 - self.mean) / self.concentration) / density
            return np.asarray(self.score + width * rank)
        if low:
            return np.asarray(scipy.special.ndtri(scipy.special.betaincinv(a, b, scipy.special.ndtr(rank))))
        return np.asarray(-scipy.special.ndtri(scipy.special.betaincinv(b, a, scipy.special.ndtr(-rank))))

    @cached_property
    def spread(self) -> tuple[float, float]:
        """Standard deviations that the quantiles have where they are densest, 1 at most, and sparsest."""
        ranks = np.concatenate([scipy.special.ndtri(_QUANTILES), -scipy.special.ndtri(_QUANTILES[-2::-1])])
        score = np.clip(self._bends, -4.0 * _FAR, 4.0 * _FAR)
        near = np.abs(score) < _FAR
        dense = (np.diff(score) / np.diff(ranks))[near[1:] | near[:-1]]
        return float(np.min(dense, initial=1.0)), float(np.max(dense, initial=0.0))

    @cached_property
    def _ranked(self) -> tuple[FloatArray, FloatArray]:
        """Normal quantiles of the probability at ranks of a normal number, with the weights of these."""
        rank, weight = pieces(np.zeros(0))
        return self._scores(rank, low=self.mean < 0.5), weight

    def cuts(self, common: float) -> FloatArray:
        """Values of the common factor at which something happens."""
        own = math.sqrt(max(1.0 - common, 0.0))
        ends = self.quantiles[[0, -1]] if len(self.quantiles) else np.zeros(0)
        if math.isfinite(self.concentration) and own < self.spread[0]:
            ends = ends[:0]  # nothing happens more suddenly than between the quantiles
        around = np.concatenate([self.quantiles, *(end + own * _CUTS for end in ends)])
        return np.asarray(around / math.sqrt(common))

    def given(self, factor: FloatArray, common: float) -> FloatArray:
        """Probability of success given values of the common factor."""
        shift = math.sqrt(common) * factor
        own = math.sqrt(1.0 - common) if common < 1.0 - 1e-12 else 0.0
        if math.isfinite(self.concentration):
            return (1.0 - self.outage) * self._averaged(shift, own)
        if own == 0.0:
            return np.where(shift <= self.score, 1.0 - self.outage, 0.0)
        return np.asarray((1.0 - self.outage) * scipy.special.ndtr((self.score - shift) / own))

    def _averaged(self, shift: FloatArray, own: float) -> FloatArray:
        """How often a normal number around each shift is below the normal quantile of the probability."""
        if own > 2.0 * self.spread[1]:  # that quantile changes little: the average goes over it
            score, share = self._ranked
            return np.asarray(scipy.special.ndtr((score - shift[:, np.newaxis]) / own) @ share)
        nodes: FloatArray = np.zeros(1)
        weights: FloatArray = np.ones(1)
        if own > 0.0:  # the other way round, smooth enough for equal steps
            step = 0.4 / math.hypot(1.0, own / self.spread[0])
            nodes = step * np.arange(-math.ceil(_FAR / step), math.ceil(_FAR / step) + 1.0)
            weights = step * np.exp(-(nodes**2) / 2.0) / math.sqrt(2.0 * math.pi)
        a, b = self.mean * self.concentration, (1.0 - self.mean) * self.concentration
        x = shift[:, np.newaxis] + own * nodes
        low = x < 0.0
        above = np.empty_like(x)
        above[low] = scipy.special.betaincc(a, b, scipy.special.ndtr(x[low]))
        above[~low] = scipy.special.betainc(b, a, scipy.special.ndtr(-x[~low]))
        return np.asarray(above @ weights)


def tied_chances(team: Sequence[Work], needed: int, common: float, own: float) -> tuple[float, list[float]]:
    """How often a team succeeds, and how often it fails with each of its members.

    Where an executor has several, the first of them that fails counts: their sum is how often the team fails
    with any of them.

    Parameters
    ----------
    team
        What its members do.
    needed
        How many must succeed.
    common, own
        Shares of the common factor and of an executor's own in the variance.
    """
    factor, weights = np.zeros(1), np.ones(1)
    shared = even_pieces(common) if common > 0.0 else None
    if shared is not None:
        factor, weights = shared
    elif common > 0.0:
        factor, weights = pieces(np.concatenate([work.cuts(common) for work in team]))
    if len({work.executor for work in team}) == len(team):
        if shared is not None:
            rows = [_given_even(work.terms, common) for work in team]
        else:
            rows = [work.given(factor, common) for work in team]
        fallen, with_each = _short(rows, needed, team)
        return 1.0 - float(weights @ fallen), [float(weights @ each) for each in with_each]
    found = [_crowded(team, needed, m, common, own) for m in factor.tolist()]
    total = 1.0 - math.fsum(w * short for w, (short, _) in zip(weights, found, strict=True))
    blame = [
        math.fsum(w * each[place] for w, (_, each) in zip(weights, found, strict=True))
        for place in range(len(team))
    ]
    return total, blame


def resampled_chances(
    team: Sequence[Work], needed: int, rates: FloatArray
) -> tuple[float, list[float], FloatArray]:
    """Return the same for rounds of a history, shape (rounds, executors); and success in each round."""
    short, blame = _short([_resampled(work, rates[:, work.executor]) for work in team], needed, team)
    return 1.0 - float(short.mean()), [float(each.mean()) for each in blame], 1.0 - short


def _short(
    rows: Sequence[FloatArray], needed: int, team: Sequence[Work]
) -> tuple[FloatArray, list[FloatArray]]:
    """How often too few of independent trials succeed, and the same with each of them failing.

    Of trials of one executor the first that fails counts.
    """
    failing = [1.0 - row for row in rows]
    spare = len(rows) - needed
    blame = []
    for place, row in enumerate(failing):
        before = [k for k in range(place) if team[k].executor == team[place].executor]
        others = [each for k, each in enumerate(failing) if k != place and k not in before]
        alone = row * _at_least(others, spare)
        for k in before:
            alone = alone * rows[k]
        blame.append(alone)
    return _at_least(failing, spare + 1), blame


def _at_least(rows: Sequence[FloatArray], needed: int) -> FloatArray:
    """Probability that ``needed`` of the trials come true, from the last trial backwards."""
    if needed <= 0:
        return np.ones_like(rows[0]) if rows else np.ones(1)
    # of what is left of the trials, how often 1, 2, ... more come true
    enough = [np.ones(1)] + [np.zeros(1)] * needed
    for row in reversed(rows):
        enough = [enough[0]] + [row * enough[k - 1] + (1.0 - row) * enough[k] for k in range(1, needed + 1)]
    return np.asarray(enough[needed])


def _crowded(
    team: Sequence[Work], needed: int, m: float, common: float, own: float
) -> tuple[float, list[float]]:
    """Return the same of a team some of whose members are at one executor, given the common factor."""
    laws, places = [], []
    for executor in sorted({work.executor for work in team}):
        mine = [place for place, work in enumerate(team) if work.executor == executor]
        places.append(mine)
        laws.append(_at_one([team[place] for place in mine], m, common, own))
    total = _polynomial([counts for counts, _ in laws])
    short = [0.0] * len(team)
    for number, mine in enumerate(places):
        others = [counts for other, (counts, _) in enumerate(laws) if other != number]
        for place, failing in zip(mine, laws[number][1], strict=True):
            short[place] = math.fsum(_polynomial([failing, *others])[:needed])
    return math.fsum(total[:needed]), short


def _at_one(
    works: Sequence[Work], m: float, common: float, own: float
) -> tuple[list[float], list[list[float]]]:
    """How often 0, 1, ... of an executor's pieces succeed; and the same where each is the first to fail."""
    rest = 1.0 - common - own if 1.0 - common - own > 1e-12 else 0.0
    gaps = [work.score - math.sqrt(common) * m for work in works]
    factor, weights = np.zeros(1), np.ones(1)
    if own > 0.0:
        near = [(gap + math.sqrt(rest) * _CUTS) / math.sqrt(own) for gap in gaps if math.isfinite(gap)]
        factor, weights = pieces(np.concatenate([*near, np.zeros(1)]))
    rows = []
    for gap in gaps:
        below = gap - math.sqrt(own) * factor
        rows.append(
            np.where(below >= 0.0, 1.0, 0.0) if rest == 0.0 else scipy.special.ndtr(below / math.sqrt(rest))
        )
    outage, size = works[0].outage, len(works)
    counts = [0.0] * (size + 1)
    failing = [[0.0] * (size + 1) for _ in works]
    for outcome in product((False, True), repeat=size):
        given = math.prod((p if hit else 1.0 - p for p, hit in zip(rows, outcome, strict=True)), start=1.0)
        chance = (1.0 - outage) * float(weights @ (given * np.ones(len(weights))))
        chance += 0.0 if any(outcome) else outage
        counts[sum(outcome)] += chance
        if not all(outcome):
            failing[outcome.index(False)][sum(outcome)] += chance
    return counts, failing


def _polynomial(laws: Sequence[Sequence[float]]) -> list[float]:
    """Law of a sum of independent counts."""
    total = [1.0]
    for law in laws:
        longer = [0.0] * (len(total) + len(law) - 1)
        for i, one in enumerate(total):
            for j, other in enumerate(law):
                longer[i + j] += one * other
        total = longer
    return total


def _resampled(work: Work, rate: FloatArray) -> FloatArray:
    """Success in each round of a history: failures are thinned below its mean, successes above it."""
    mean, f = float(rate.mean()), 1.0 - work.p
    nu = work.concentration
    if math.isinf(nu):
        if f <= mean:
            return np.asarray(1.0 - (f * rate / mean if f > 0.0 else np.zeros(len(rate))))
        return np.asarray(work.p * (1.0 - rate) / (1.0 - mean) if work.p > 0.0 else np.zeros(len(rate)))
    a, b = f * nu, work.p * nu
    below = float(scipy.special.betainc(a, b, mean))
    mean_below = f * float(scipy.special.betainc(a + 1.0, b, mean))  # failures of those below the mean
    mean_above = work.p - (below - mean_below)  # successes of those above it
    low = below - (mean_below * rate / mean if mean > 0.0 else np.zeros(len(rate)))
    high = mean_above * (1.0 - rate) / (1.0 - mean) if mean < 1.0 else np.zeros(len(rate))
    return np.asarray(np.clip(low + high, 0.0, 1.0))
