"""Rows that weights imply, for `verify`: limits on the tail as linear rows, whatever their weights are.

The mean loss under a density that a CVaR admits is never above the CVaR, so
``sum of weight * loss <= y * ceiling`` once y is large enough for the weights over y to be such a density: y
is raised to that, and no auxiliary column with bounds of its own is left. The worst case goes the same way,
and chance limits keep their binaries between 0 and 1. Losses stand at points with a chance each: scenarios
(`bondwork.plan.recount_tail_prices`), or leaves behind a second stage (`bondwork.plan.recount_leaf_prices`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from fractions import Fraction
from typing import TYPE_CHECKING, Generic, TypeVar

from bondwork.plan.certificate import BadCertificate

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from bondwork.plan.certificate import Entry
    from bondwork.problem.instance import Instance, RiskLimit

#: A loss exceeds a budget when it is above it by more than this share, as limits on chances count.
EXCESS = Fraction(1, 10**9)

#: Room for the rounding of sums in doubles where an upper bound on a loss is all that is needed.
OUTWARD = 1.0 + 1e-11

NOTHING = Fraction(0)

#: Whose losses a row is about.
Whose = TypeVar("Whose")

#: Points with their weights.
Weighted = list[tuple[int, Fraction]]


def find_limit(instance: Instance, entry: Entry, sizes: Mapping[str, int]) -> tuple[RiskLimit, int, int]:
    """Limit that an entry is about, its number, and the member of its scope.

    Parameters
    ----------
    sizes
        Members of each scope; scopes that are not there have none.

    Raises
    ------
    BadCertificate
        The round has no such limit.
    """
    number, member = int(entry.about[0]), int(entry.about[1])
    if not 0 <= number < len(instance.risk) or instance.risk[number].measure != entry.word:
        raise BadCertificate(f"risk limit {number} is no {entry.word}")
    limit = instance.risk[number]
    if not 0 <= member < sizes.get(limit.scope, 0) or limit.member not in (None, member):
        raise BadCertificate(f"risk limit {number} is not about member {member}")
    return limit, number, member


class ImpliedRows(ABC, Generic[Whose]):
    """Adds up what such rows add to a bound.

    Attributes
    ----------
    constant
        What the rows add to the bound.
    """

    def __init__(self) -> None:
        self.constant = NOTHING

    @abstractmethod
    def _checked(self, entry: Entry) -> Iterator[tuple[int, Fraction]]:
        """Weights of points that there are."""

    @abstractmethod
    def _chance_of(self, point: int) -> Fraction:
        """How likely a point is."""

    @abstractmethod
    def _budget(self, limit: RiskLimit, whose: Whose) -> Fraction:
        """Loss above which a chance limit counts a point."""

    @abstractmethod
    def _most(self, whose: Whose, points: Sequence[int]) -> Mapping[int, float]:
        """The most that can be lost at each of some points."""

    @abstractmethod
    def _add(self, whose: Whose, weights: Weighted) -> None:
        """Take in the weights of a row."""

    def _limit(self, entry: Entry, limit: RiskLimit, whose: Whose, ceiling: Fraction) -> None:
        """Add the row of a limit on cvar, the worst case or a chance."""
        weights = list(self._checked(entry))
        y = Fraction(entry.y)
        if limit.measure == "cvar":
            self.constant += max(y, self._density(weights, limit.level)) * ceiling
        elif limit.measure == "worst_case":
            self.constant += _sum(weights) * ceiling
        else:
            self._chance(limit, whose, weights, y, ceiling)
        self._add(whose, weights)

    def _density(self, weights: Weighted, level: float) -> Fraction:
        """What weights must be divided by to be a density of the tail."""
        share = Fraction(1.0 - level)
        return max([_sum(weights), *(w * share / self._chance_of(point) for point, w in weights)])

    def _chance(
        self, limit: RiskLimit, whose: Whose, weights: Weighted, y: Fraction, ceiling: Fraction
    ) -> None:
        """``loss <= budget + (most - budget) * over`` at a point; the chance of ``over`` has its limit."""
        budget = self._budget(limit, whose)
        budget += abs(budget) * EXCESS
        self.constant += y * ceiling
        most = self._most(whose, [point for point, _ in weights])
        for point, weight in weights:
            over = weight * (Fraction(float(most[point]) * OUTWARD) - budget) - y * self._chance_of(point)
            self.constant += weight * budget + max(over, NOTHING)

    def _mean_risk(self, entry: Entry, weight: Fraction, level: float, whose: Whose) -> None:
        """No CVaR is below the mean under these weights; weights that are no density are brought down."""
        weights = list(self._checked(entry))
        needed = self._density(weights, level)
        if needed > weight:
            weights = [(point, w * weight / needed) for point, w in weights]
        self._add(whose, weights)


def _sum(weights: Weighted) -> Fraction:
    return sum((w for _, w in weights), NOTHING)
