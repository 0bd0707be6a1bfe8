"""Samples of outcomes: scenarios of which offers fail (MODEL 3).

The points of a method (`bondwork.uncertainty.points`) cover what offers share: the common factor, the factor
of each executor, its outage, and the uniform behind its uncertain probabilities. What is left to each offer
alone is drawn by plain random numbers, exactly and sparsely (`bondwork.uncertainty.thinning`).
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np
import scipy

from bondwork.problem.instance import NOBODY
from bondwork.uncertainty.dependence import Dependence, given_no_outage
from bondwork.uncertainty.outcomes import OutcomeLaw, OutcomeSample
from bondwork.uncertainty.points import Method, UnitPoints
from bondwork.uncertainty.seeds import Seed, child, seed_sequence, stream
from bondwork.uncertainty.thinning import Copula, Group, Resampled, draw_failures

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from bondwork.arrays import FloatArray, IntArray
    from bondwork.problem.instance import Instance

#: How outcomes are sampled: a way to place points, or rounds of a history.
OutcomeMethod: TypeAlias = Method | Literal["bootstrap"]

# Offers times scenarios of one piece of work for one thread: some 10 MB of temporaries at 5% failures.
_CELLS = 4_000_000
_CERTAIN = 1e-12
_POINTS, _OWN, _ROUNDS = 0, 1, 2


def sample_outcomes(
    law: OutcomeLaw,
    scenarios: int,
    *,
    seed: Seed,
    method: OutcomeMethod = "sobol",
    threads: int = 1,
    history: FloatArray | None = None,
) -> OutcomeSample:
    """Draw scenarios of which offers fail.

    Marginals are exactly those of ``law`` under every method. The same law, seed, method and number of
    scenarios give the same sample on any number of threads. Memory: 4 bytes a failure, twice at the end, and
    under ``sobol`` 4 bytes for each scenario and factor.

    Parameters
    ----------
    law
        See `OutcomeLaw`.
    scenarios
        S >= 1. Powers of two suit Sobol best.
    seed
        A whole number, SeedSequence or Generator.
    method
        See `bondwork.uncertainty.points.Method`. Methods differ in the shared factors only: where offers are
        independent all of them are Monte Carlo. ``bootstrap`` resamples the rounds of ``history`` instead of
        using ``law.dependence`` and outages (which a history holds already); it cannot show what never
        happened.
    threads
        Threads to draw with, >= 1.
    history
        Shape (T, E). For ``bootstrap``: failure rates, from `OutcomeHistory.rates`.

    Raises
    ------
    ValueError
        For an unknown method, no scenarios, or a history that is missing, superfluous or of another shape.

    Examples
    --------
    >>> law = OutcomeLaw.of([0, 0, 1], 0.9, dependence=Dependence(common=0.1, coprocessor=0.4))
    >>> sample = sample_outcomes(law, 4096, seed=1)
    >>> sample.scenarios, sample.offers, np.round(sample.failure_share(), 1).tolist()
    (4096, 3, [0.1, 0.1, 0.1])
    """
    if scenarios < 1:
        raise ValueError(f"scenarios is {scenarios}, expected at least 1")
    if (method == "bootstrap") != (history is not None):
        raise ValueError("the method 'bootstrap' needs a history, and no other method takes one")
    root, law = seed_sequence(seed), _settle(law)
    pieces = _pieces(law, max(1, _CELLS // scenarios))
    if method == "bootstrap":
        drawn = _draw(_Historical(law, scenarios, history, root), pieces, root, threads)
    else:
        drawn = _draw(_Modelled(law, scenarios, method, root), pieces, root, threads)
    return _assemble(law, scenarios, [piece.offers for piece in pieces], drawn)


@dataclass(frozen=True, slots=True, eq=False)
class RoundSample:
    """One joint sample of a round: the same S scenarios for what is offered and for what is committed."""

    offers: OutcomeSample
    commitments: OutcomeSample


def sample_round(
    instance: Instance,
    *,
    scenarios: int | None = None,
    seed: Seed | None = None,
    method: OutcomeMethod | None = None,
    threads: int = 1,
    history: FloatArray | None = None,
    offers: ArrayLike | None = None,
) -> RoundSample:
    """Draw the outcomes of all offers and commitments of a round jointly.

    Parameters
    ----------
    instance
        The round; ``instance.uncertainty`` gives what is left out here.
    scenarios, seed, method, threads, history
        See `sample_outcomes`; columns of ``history`` are coprocessors, then operators, and the rates of
        `bondwork.uncertainty.bootstrap.with_history` serve where it is left out.
    offers
        Indices or mask. Draws these offers only, in this order: for fresh scenarios of a chosen plan. Another
        set of offers is another sample, of the same law.

    Examples
    --------
    ``sample_round(instance, scenarios=20_000, seed=1, offers=np.flatnonzero(x)).offers``
    """
    uncertainty = instance.uncertainty
    total = len(instance.offers)
    chosen = np.arange(total) if offers is None else np.arange(total)[np.asarray(offers)]
    law = outcome_law(instance)
    method = uncertainty.sampling if method is None else method
    if method == "bootstrap" and history is None and uncertainty.history is not None:
        history = uncertainty.history.rates
    sample = sample_outcomes(
        law.select(np.concatenate([chosen, np.arange(total, len(law))])),
        uncertainty.scenarios if scenarios is None else scenarios,
        seed=uncertainty.seed if seed is None else seed,
        method=method,
        threads=threads,
        history=history,
    )
    first = np.arange(len(chosen))
    return RoundSample(sample.select(first), sample.select(np.arange(len(chosen), sample.offers)))


def fresh_method(instance: Instance) -> OutcomeMethod:
    """Return the method for scenarios on which a plan is measured: independent draws of the law it faces."""
    return "monte_carlo" if instance.uncertainty.history is None else "bootstrap"


def outcome_law(instance: Instance) -> OutcomeLaw:
    """Joint law of the outcomes of a round: its offers, then its commitments.

    Executors are the coprocessors, then the operators, who execute tasks themselves: each operator has a
    factor of its own, loaded like a coprocessor's, one uniform of its own behind its uncertain probabilities,
    and no outages.
    """
    offers, commitments = instance.offers, instance.commitments
    coprocessors = len(instance.coprocessors)
    coprocessor = np.concatenate([offers.coprocessor, commitments.coprocessor])
    operator = np.concatenate([offers.operator, commitments.operator])
    outage = np.concatenate([instance.coprocessors.outage_probability, np.zeros(len(instance.operators))])
    return OutcomeLaw(
        executor=np.where(coprocessor == NOBODY, coprocessors + operator, coprocessor),
        success_probability=np.concatenate([offers.success_probability, commitments.success_probability]),
        concentration=np.concatenate([offers.concentration, np.full(len(commitments), np.inf)]),
        outage_probability=outage,
        dependence=Dependence(instance.uncertainty.common, instance.uncertainty.coprocessor),
    )


class _Modelled:
    """Scenarios of the factor model: what every executor sees in each of them."""

    def __init__(self, law: OutcomeLaw, scenarios: int, method: Method, root: np.random.SeedSequence) -> None:
        self.law = law
        self.failure = 1.0 - given_no_outage(law.success_probability, law.outage_probability[law.executor])
        self.scenarios = scenarios
        dependence = law.dependence
        self.loading = float(np.sqrt(dependence.coprocessor))
        self.mechanism = Copula(float(np.sqrt(dependence.idiosyncratic)))
        # The first coordinates of a Sobol sequence are its best: they go to the executors with the most
        # offers.
        load = np.bincount(law.executor, minlength=law.executors)
        uncertain = np.zeros(law.executors, dtype=bool)
        uncertain[law.executor[np.isfinite(law.concentration)]] = True
        needs = np.stack(
            [(load > 0) & (self.loading > 0.0), (load > 0) & (law.outage_probability > 0.0), uncertain],
            axis=1,
        )
        first = int(dependence.common > 0.0)
        ranked = np.argsort(-load, kind="stable")
        self.coordinate = np.full(needs.shape, -1)
        self.coordinate[ranked] = np.where(
            needs[ranked], first - 1 + np.cumsum(needs[ranked].ravel()).reshape(needs.shape), -1
        )
        self.points = UnitPoints(method, scenarios, first + int(needs.sum()), child(root, _POINTS))
        self.common = np.zeros(scenarios)
        if first:
            self.common = np.sqrt(dependence.common) * scipy.special.ndtri(self.points.coordinate(0))

    def group(self, executor: int, offers: IntArray) -> Group:
        """Return the offers of one executor with what the scenarios say about it."""
        factor, outage, quantile = self.coordinate[executor].tolist()
        driver = self.common
        if factor >= 0:
            driver = driver + self.loading * scipy.special.ndtri(self.points.coordinate(factor))
        out = np.zeros(self.scenarios, dtype=bool)
        if outage >= 0:
            out = self.points.coordinate(outage) > 1.0 - self.law.outage_probability[executor]
        concentration = _concentration(self.law, offers)
        return Group(
            mechanism=self.mechanism,
            failure=self.failure[offers],
            concentration=concentration,
            driver=driver,
            quantile=None if concentration is None else self.points.coordinate(quantile),
            out=out,
        )


class _Historical:
    """Scenarios that are rounds of a history, drawn with replacement."""

    def __init__(
        self, law: OutcomeLaw, scenarios: int, history: FloatArray | None, root: np.random.SeedSequence
    ) -> None:
        if history is None or history.ndim != 2 or history.shape[1] != law.executors or not len(history):
            shape = None if history is None else history.shape
            raise ValueError(f"history has shape {shape}, expected (rounds, {law.executors} executors)")
        if not np.all((history >= 0.0) & (history <= 1.0)):
            raise ValueError("history holds a failure rate outside [0, 1]")
        self.law = law
        self.failure = 1.0 - law.success_probability
        self.history = history
        self.round = stream(root, _ROUNDS).integers(0, len(history), size=scenarios)
        self.uniforms = UnitPoints("monte_carlo", scenarios, law.executors, child(root, _POINTS))

    def group(self, executor: int, offers: IntArray) -> Group:
        """Return the offers of one executor with what the scenarios say about it."""
        rates = self.history[:, executor]
        concentration = _concentration(self.law, offers)
        return Group(
            mechanism=Resampled(float(rates.mean())),
            failure=self.failure[offers],
            concentration=concentration,
            driver=rates[self.round],
            quantile=None if concentration is None else self.uniforms.coordinate(executor),
            out=np.zeros(len(self.round), dtype=bool),
        )


def _settle(law: OutcomeLaw) -> OutcomeLaw:
    """Turn distributions whose mean (given no outage) is 0 or 1 into the numbers that they are."""
    mean = given_no_outage(law.success_probability, law.outage_probability[law.executor])
    certain = (mean < _CERTAIN) | (mean > 1.0 - _CERTAIN)
    return replace(law, concentration=np.where(certain, np.inf, law.concentration))


@dataclass(frozen=True, slots=True, eq=False)
class _Piece:
    """Offers of one executor that are drawn together, with a number of their own for their random stream."""

    number: int
    executor: int
    offers: IntArray


def _draw(
    world: _Modelled | _Historical, pieces: list[_Piece], root: np.random.SeedSequence, threads: int
) -> list[tuple[IntArray, NDArray[np.int32]]]:
    """Draw the failures of every piece; the world, with its points, is forgotten before they are joined."""

    def draw(piece: _Piece) -> tuple[IntArray, NDArray[np.int32]]:
        return draw_failures(world.group(piece.executor, piece.offers), stream(root, _OWN, piece.number))

    if threads == 1:
        return [draw(piece) for piece in pieces]
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(draw, pieces))


def _concentration(law: OutcomeLaw, offers: IntArray) -> FloatArray | None:
    """Concentration of the offers of a piece, ``None`` where their probabilities are numbers."""
    concentration = law.concentration[offers]
    return concentration if np.isfinite(concentration[0]) else None


def _pieces(law: OutcomeLaw, size: int) -> list[_Piece]:
    """Cut the offers into pieces of at most ``size``: of one executor, all numbers or all distributions."""
    uncertain = np.isfinite(law.concentration)
    order = np.lexsort((uncertain, law.executor))
    key = 2 * law.executor[order] + uncertain[order]
    bounds = np.flatnonzero(np.diff(key, prepend=-1, append=-1))
    return [
        _Piece(first, int(law.executor[order[first]]), order[first : min(first + size, end)])
        for start, end in pairwise(bounds.tolist())
        for first in range(start, end, size)
    ]


def _assemble(
    law: OutcomeLaw,
    scenarios: int,
    pieces: list[IntArray],
    drawn: list[tuple[IntArray, NDArray[np.int32]]],
) -> OutcomeSample:
    """Put the failures of all pieces into the order of the offers; empties ``drawn`` on the way."""
    counts = np.zeros(len(law), dtype=np.int64)
    for offers, (count, _) in zip(pieces, drawn, strict=True):
        counts[offers] = count
    start = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    scenario = np.empty(start[-1], dtype=np.int32)
    for offers in reversed(pieces):
        count, failures = drawn.pop()
        last = np.cumsum(count)
        for offer, low, high in zip(offers.tolist(), (last - count).tolist(), last.tolist(), strict=True):
            scenario[start[offer] : start[offer + 1]] = failures[low:high]
    return OutcomeSample(start, scenario, np.full(scenarios, 1.0 / scenarios))
