"""What may be seen on entering a later period: random amounts, and outcomes of what it releases (MODEL 4).

Where losses of whole paths are measured, all outcomes count that somebody loses by: of those that no period
of a path releases it is seen behind its last decision what becomes of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from bondwork.arrays import freeze_fields
from bondwork.problem.instance import NOBODY
from bondwork.problem.release import THIS_ROUND
from bondwork.problem.values import is_eligible
from bondwork.uncertainty.dependence import Dependence
from bondwork.uncertainty.joint_outcomes import draw_outcomes, list_outcomes, merge_rows
from bondwork.uncertainty.laws import Values
from bondwork.uncertainty.outcomes import OutcomeLaw
from bondwork.uncertainty.points import uniforms
from bondwork.uncertainty.seeds import child

if TYPE_CHECKING:
    from bondwork.arrays import BoolArray, FloatArray, IntArray
    from bondwork.problem.instance import AmountLaw, Instance
    from bondwork.problem.release import Horizon

_AMOUNTS, _OUTCOMES = 0, 1


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """What may be seen on entering one period: R realisations of A amounts and m outcomes.

    Attributes
    ----------
    laws
        The A amounts of the period that are random and matter.
    point, item
        Shape (m,). The outcome is that of offer ``item`` chosen at decision point ``point``, or, where
        ``is_commitment``, of that commitment.
    is_commitment
        Shape (m,), bool.
    amounts, outcomes
        Shapes (R, A), currency, and (R, m), true for success.
    probability
        Shape (R,).
    exact
        Whether this is the law itself, not a sample of it.
    """

    laws: tuple[AmountLaw, ...]
    point: IntArray
    item: IntArray
    is_commitment: BoolArray
    amounts: FloatArray
    outcomes: BoolArray
    probability: FloatArray
    exact: bool

    def __post_init__(self) -> None:
        freeze_fields(self, "point", "item", "is_commitment", "amounts", "outcomes", "probability")


class Possibilities:
    """What can be seen on entering a period, and how many ways there are for it to turn out.

    Parameters
    ----------
    horizon
        The round and its periods.
    period
        The period; with ``end`` the decision point with which a path ends.
    end
        Whether this is about what is seen behind that decision point: outcomes of all that is still held.
    """

    def __init__(self, horizon: Horizon, period: int, *, end: bool = False) -> None:
        self.horizon = horizon
        self.eligible = [is_eligible(each) for each in horizon.rounds]
        self.period = period
        self.end = end
        mine = self.eligible[period]
        claims = set(horizon.rounds[period].offers.claim[mine].tolist())
        offers = set(np.flatnonzero(mine).tolist())
        self.laws = tuple(
            law
            for law in (() if end else horizon.instance.periods[period].laws)
            if not (offers if law.kind == "bid" else claims).isdisjoint(law.targets)
        )
        self._find_outcomes()
        self.listed = list_outcomes(self.law)

    def _find_outcomes(self) -> None:
        horizon, n = self.horizon, self.period
        collateral, stake = self._asked()
        losses, forfeits = measured_losses(horizon.instance)
        points, items, committed = [], [], []
        executors, probabilities, concentrations = [], [], []
        coprocessors = len(horizon.instance.coprocessors)
        path = horizon.path(n)
        for point in path if self.end else path[:-1]:
            decided = horizon.rounds[point]
            offers, p = decided.offers, decided.offers.success_probability
            matters = (offers.collateral > 0.0) & _among(collateral | forfeits, offers.coprocessor)
            exposed = decided.claims.slashing[offers.claim] > 0.0
            at_stake = losses[offers.operator] | stake[offers.operator]
            matters |= exposed & (at_stake | self._half_released(point))
            shown = horizon.left_open(point, n) if self.end else horizon.settled(point, n)
            matters &= self.eligible[point] & shown & (p > 0.0) & (p < 1.0)
            found = np.flatnonzero(matters)
            points.append(np.full(len(found), point))
            items.append(found)
            committed.append(np.zeros(len(found), dtype=bool))
            executors.append(
                np.where(
                    offers.is_self[found], coprocessors + offers.operator[found], offers.coprocessor[found]
                )
            )
            probabilities.append(p[found])
            concentrations.append(offers.concentration[found])
        held, claims = horizon.instance.commitments, horizon.instance.claims
        p = held.success_probability
        matters = (held.collateral > 0.0) & _among(collateral, held.coprocessor)
        half = _with_others(held.claim, horizon.commitments_released(n), self._is_bounded())
        at_stake = losses[held.operator] | stake[held.operator] | half
        matters |= (claims.slashing[held.claim] > 0.0) & at_stake
        shown = ~horizon.commitments_released(n) if self.end else horizon.commitments_settled(n)
        found = np.flatnonzero(matters & shown & (p > 0.0) & (p < 1.0))
        points.append(np.full(len(found), THIS_ROUND))
        items.append(found)
        committed.append(np.ones(len(found), dtype=bool))
        own = held.coprocessor[found] == NOBODY
        executors.append(np.where(own, coprocessors + held.operator[found], held.coprocessor[found]))
        probabilities.append(p[found])
        concentrations.append(np.full(len(found), np.inf))
        self.point, self.item = _joined(points), _joined(items)
        self.is_commitment = np.concatenate(committed)
        instance = horizon.instance
        self.law = OutcomeLaw(
            _joined(executors),
            np.concatenate(probabilities),
            np.concatenate(concentrations),
            np.concatenate([instance.coprocessors.outage_probability, np.zeros(len(instance.operators))]),
            Dependence(instance.uncertainty.common, instance.uncertainty.coprocessor),
        )

    def _half_released(self, point: int) -> BoolArray:
        """Which offers' outcomes say what their team is still expected to lose while others work on it."""
        decided = self.horizon.rounds[point]
        if self.end:
            return np.zeros(len(decided.offers), dtype=bool)
        several = decided.tasks.replicas[decided.offers.task] > 1
        open_ = several & self.eligible[point]
        done = self.horizon.released(point, self.period) | ~open_
        return _with_others(decided.offers.claim, done, self._is_bounded() and bool(open_.any())) & open_

    def _is_bounded(self) -> bool:
        """Whether there is a limit on what is expected to be lost."""
        risk = self.horizon.instance.risk
        return any(each.measure == "expected" and np.isfinite(each.budget) for each in risk)

    def _asked(self) -> tuple[BoolArray, BoolArray]:
        """Whose limited collateral, and whose limited stake, offers of this period or later could use."""
        instance = self.horizon.instance
        collateral = np.zeros(len(instance.coprocessors), dtype=bool)
        stake = np.zeros(len(instance.operators), dtype=bool)
        pending = [] if self.end else [self.period]
        while pending:
            point = pending.pop()
            pending += self.horizon.children[point]
            offers, mine = self.horizon.rounds[point].offers, self.eligible[point]
            posts = mine & ~offers.is_self & (offers.collateral > 0.0)
            collateral[offers.coprocessor[posts]] = True
            # a random slashing may be above 0 wherever its mean is
            exposes = mine & (self.horizon.rounds[point].claims.slashing[offers.claim] > 0.0)
            stake[offers.operator[exposes]] = True
        collateral &= np.isfinite(instance.coprocessors.free_collateral)
        stake &= np.isfinite(instance.operators.stake)
        return collateral, stake

    @property
    def ways(self) -> float:
        """How many realisations there are; ``inf`` where they cannot be listed."""
        if self.listed is None or not all(isinstance(each.law, Values) for each in self.laws):
            return np.inf
        count = float(len(self.listed[1]))
        for each in self.laws:
            count *= len(each.law.values)  # type: ignore[attr-defined]
        return count

    def seen(self, most: int, seed: np.random.SeedSequence) -> Seen:
        """All realisations where there are at most ``most`` of them, else a sample of that size."""
        exact = self.ways <= most
        amounts, outcomes, probability = self._all() if exact else self._drawn(most, seed)
        first, total = merge_rows(np.column_stack([amounts, outcomes.astype(float)]), probability)
        return Seen(
            self.laws,
            self.point,
            self.item,
            self.is_commitment,
            amounts[first],
            outcomes[first],
            total / total.sum(),
            exact,
        )

    def _all(self) -> tuple[FloatArray, BoolArray, FloatArray]:
        assert self.listed is not None
        outcomes, chance = self.listed
        laws = [law for each in self.laws if isinstance(law := each.law, Values)]
        likely = np.array([np.prod(each) for each in product(*(law.probabilities for law in laws))])
        amounts = np.array(list(product(*(law.values for law in laws)))).reshape(len(likely), len(laws))
        return (
            np.repeat(amounts, len(outcomes), axis=0),
            np.tile(outcomes, (len(amounts), 1)),
            np.outer(likely, chance).ravel(),
        )

    def _drawn(self, size: int, seed: np.random.SeedSequence) -> tuple[FloatArray, BoolArray, FloatArray]:
        method = self.horizon.instance.uncertainty.sampling
        if method == "bootstrap":
            raise ValueError("the tree of later periods cannot be sampled by bootstrap: it has no history")
        amounts = uniforms(method, size, len(self.laws), child(seed, _AMOUNTS))
        for column, each in enumerate(self.laws):
            amounts[:, column] = each.law.ppf(amounts[:, column])
        outcomes, _ = draw_outcomes(self.law, size, child(seed, _OUTCOMES), method)
        return amounts, outcomes, np.full(size, 1.0 / size)


def measured_losses(instance: Instance) -> tuple[BoolArray, BoolArray]:
    """Whose losses are measured over whole paths: operators by their slashings, coprocessors by forfeits."""
    losses = np.zeros(len(instance.operators), dtype=bool)
    forfeits = np.zeros(len(instance.coprocessors), dtype=bool)
    if instance.objective.risk_weight > 0.0:
        losses[:] = True
    for limit in instance.risk:
        if limit.measure == "expected" or (limit.measure != "solvency" and not np.isfinite(limit.budget)):
            continue
        whom = slice(None) if limit.member is None else limit.member
        if limit.measure == "solvency":
            forfeits[whom] = True
        elif limit.scope == "operator":
            losses[whom] = True
        else:  # through a coprocessor anybody's slashing may be lost
            losses[:] = True
    forfeits &= np.isfinite(instance.coprocessors.free_collateral)
    return losses, forfeits


def measures_paths(instance: Instance) -> bool:
    """Whether anything of a round is stated of what whole paths lose, even that nobody can lose too much."""
    return instance.objective.risk_weight > 0.0 or any(each.measure != "expected" for each in instance.risk)


def _with_others(claim: IntArray, done: BoolArray, wanted: bool) -> BoolArray:
    """Which pieces of work are of a claim of which some are not done."""
    if not wanted:
        return np.zeros(len(claim), dtype=bool)
    found: BoolArray = np.isin(claim, claim[~done])
    return found


def _among(wanted: BoolArray, coprocessor: IntArray) -> BoolArray:
    """Whether each entry's coprocessor is wanted; nobody is not."""
    if not len(wanted):
        return np.zeros(len(coprocessor), dtype=bool)
    mine: BoolArray = (coprocessor != NOBODY) & wanted[coprocessor]
    return mine


def _joined(parts: list[IntArray]) -> IntArray:
    return np.concatenate([np.zeros(0, dtype=np.int64), *parts]).astype(np.int64)
