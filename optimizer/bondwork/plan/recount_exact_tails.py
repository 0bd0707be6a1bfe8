"""Exact tails of independent losses once more, for `verify`.

Where amounts are small multiples of one unit, the probability of losing at least so much is carried from
task to task, and a CVaR is the area below it; else sums are listed in a dictionary of whole numbers. Shares
no code with the convolution that plans are made with.
"""

from __future__ import annotations

import math
from collections import defaultdict
from fractions import Fraction
from itertools import product
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from bondwork.plan.recount_teams import chance_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bondwork.arrays import FloatArray
    from bondwork.plan.recount import Recount
    from bondwork.plan.recount_teams import Team
    from bondwork.problem.instance import RiskLimit

#: Units up to which a loss is counted on a grid, and cells of the grid times tasks.
_MOST_UNITS, _MOST_CELLS = 2_000_000, 300_000_000

#: Sums that are listed, where there is no grid.
_MOST_SUMS = 400_000

#: Outages gone through together.
_MOST_TIED = 12


class _Doer(NamedTuple):
    executor: int
    p: float
    outage: float
    is_uncertain: bool


class _Piece(NamedTuple):
    """An amount that is lost where fewer than ``needed`` succeed, and the one at ``blamed`` fails."""

    amount: Fraction
    doers: tuple[_Doer, ...]
    needed: int
    blamed: int = -1

    def lost(self, out: dict[int, bool]) -> float:
        chances = []
        for doer in self.doers:
            if doer.executor not in out:
                chances.append(doer.p)
            elif out[doer.executor] or doer.outage >= 1.0:
                chances.append(0.0)
            else:
                chances.append(min(doer.p / (1.0 - doer.outage), 1.0))
        if self.blamed < 0:
            return _short(chances, self.needed)
        others = chances[: self.blamed] + chances[self.blamed + 1 :]
        return (1.0 - chances[self.blamed]) * _short(others, self.needed)


def _short(chances: Sequence[float], needed: int) -> float:
    """Probability that fewer than ``needed`` succeed: that enough fail, which loses no digits."""
    return chance_of([1.0 - p for p in chances], max(len(chances) - needed + 1, 0))


class ExactRecount:
    """Exact values of tail limits for chosen teams and the commitments of a round."""

    def __init__(self, recount: Recount, teams: Sequence[Team]) -> None:
        self.round = recount
        self.teams = teams

    def value(self, limit: RiskLimit, member: str) -> float | None:
        """Value of a limit on the true law; ``None`` where it cannot be listed."""
        uncertainty = self.round.instance.uncertainty
        if uncertainty.sampling == "bootstrap" or uncertainty.history is not None:
            return None
        if limit.measure in ("ambiguous", "worst_case"):  # both are about a sample
            return None
        pieces = list(self._forfeits(member) if limit.measure == "solvency" else self._pieces(limit, member))
        if any(
            each.blamed >= 0 and len({d.executor for d in each.doers}) < len(each.doers) for each in pieces
        ):
            return None
        parts = self._parts(pieces)
        if parts is None:
            return None
        unit = _unit([each.amount for each in pieces])
        total = sum(each.amount for each in pieces) / unit
        cells = total * len(pieces)
        law = _on_grid if total <= _MOST_UNITS and cells <= _MOST_CELLS else _listed
        found = law(parts, unit, int(total))
        if found is None:
            return None
        sums, above = found
        losses = sums * float(unit)
        if limit.measure == "cvar":
            share = float(1 - Fraction(repr(limit.level)))
            steps = np.diff(losses, prepend=0.0)
            return math.fsum((steps * np.minimum(above, share)).tolist()) / share
        budget = limit.budget
        if limit.measure == "solvency":
            coprocessors = self.round.instance.coprocessors
            budget = float(coprocessors.free_collateral[coprocessors.ids.index(member)])
        first = int(np.searchsorted(losses, budget + 1e-9 * abs(budget), side="right"))
        return min(float(above[first]), 1.0) if first < len(above) else 0.0

    def _pieces(self, limit: RiskLimit, member: str) -> Iterator[_Piece]:
        instance, teams = self.round.instance, self.round.teams
        for team in self.teams:
            doers = tuple(self._offered(offer) for offer in team)
            operator = self.round.operator_id(team[0])
            amount = Fraction(repr(float(self.round.slashing[team[0]])))
            needed = teams.quorum[teams.claim[team[0]]]
            yield from self._of_scope(limit.scope, member, operator, _Piece(amount, doers, needed))
        held = instance.commitments
        for team in teams.held():
            doers = tuple(self._held(k) for k in team)
            operator = instance.operators.ids[int(held.operator[team[0]])]
            amount = Fraction(repr(float(instance.claims.slashing[held.claim[team[0]]])))
            piece = _Piece(amount, doers, teams.held_quorum(team))
            yield from self._of_scope(limit.scope, member, operator, piece)

    def _of_scope(self, scope: str, member: str, operator: str, piece: _Piece) -> Iterator[_Piece]:
        if piece.amount == 0:
            return
        if scope == "network" or (scope == "operator" and operator == member):
            yield piece
        elif scope == "coprocessor":
            number = self.round.instance.coprocessors.ids.index(member)
            for place, doer in enumerate(piece.doers):
                if doer.executor == number:
                    yield piece._replace(blamed=place)

    def _forfeits(self, member: str) -> Iterator[_Piece]:
        number = self.round.instance.coprocessors.ids.index(member)
        for team in self.teams:
            for offer in team:
                amount = Fraction(repr(float(self.round.collateral[offer])))
                if self.round.coprocessor[offer] == number and amount > 0:
                    yield _Piece(amount, (self._offered(offer),), 1)

    def _offered(self, offer: int) -> _Doer:
        uncertain = math.isfinite(float(self.round.instance.offers.concentration[offer]))
        who, operator = self.round.coprocessor[offer], self.round.operator[offer]
        return self._doer(who, operator, self.round.p[offer], uncertain)

    def _held(self, k: int) -> _Doer:
        held = self.round.instance.commitments
        who, operator = int(held.coprocessor[k]), int(held.operator[k])
        return self._doer(who, operator, float(held.success_probability[k]), uncertain=False)

    def _doer(self, coprocessor: int, operator: int, p: float, uncertain: bool) -> _Doer:
        coprocessors = self.round.instance.coprocessors
        if coprocessor < 0:
            return _Doer(-1 - operator, p, 0.0, uncertain)
        return _Doer(coprocessor, p, float(coprocessors.outage_probability[coprocessor]), uncertain)

    def _parts(self, pieces: list[_Piece]) -> list[_Part] | None:
        """Pieces that have executors with outages in common; ``None`` where they are tied otherwise."""
        works: dict[int, list[_Doer]] = defaultdict(list)
        for piece in pieces:
            for doer in piece.doers:
                works[doer.executor].append(doer)
        uncertainty = self.round.instance.uncertainty
        several = {e: own for e, own in works.items() if len(own) > 1}
        if uncertainty.common > 0.0 and sum(len(own) for own in works.values()) > 1:
            return None
        if several and uncertainty.coprocessor > 0.0:
            return None
        if any(sum(doer.is_uncertain for doer in own) > 1 for own in several.values()):
            return None
        outage = {e: own[0].outage for e, own in several.items() if own[0].outage > 0.0}
        parts = _together(pieces, outage)
        return None if any(len(tied) > _MOST_TIED for _, tied in parts) else parts


_Part = tuple[list[_Piece], dict[int, float]]
_Case = tuple[float, list[tuple[Fraction, float]]]


def _together(pieces: list[_Piece], outage: dict[int, float]) -> list[_Part]:
    """Pieces that share an executor with outages, or others that do: from each on to all it leads to."""
    waiting: dict[int, list[int]] = defaultdict(list)
    for number, piece in enumerate(pieces):
        for doer in piece.doers:
            waiting[doer.executor].append(number)
    seen: set[int] = set()
    parts: list[_Part] = []
    for number in range(len(pieces)):
        if number in seen:
            continue
        seen.add(number)
        queue, tied = [number], set[int]()
        for each in queue:  # grows while it is gone through
            for executor in {doer.executor for doer in pieces[each].doers} & outage.keys() - tied:
                tied.add(executor)
                new = [k for k in waiting[executor] if k not in seen]
                seen.update(new)
                queue += new
        parts.append(([pieces[k] for k in queue], {e: outage[e] for e in sorted(tied)}))
    return parts


def _cases(pieces: list[_Piece], outage: dict[int, float]) -> list[_Case]:
    found = []
    for fallen in product((True, False), repeat=len(outage)):
        out = dict(zip(outage, fallen, strict=True))
        weight = math.prod(outage[e] if out[e] else 1.0 - outage[e] for e in outage)
        if weight > 0.0:
            found.append((weight, [(piece.amount, piece.lost(out)) for piece in pieces]))
    return found


def _unit(amounts: list[Fraction]) -> Fraction:
    below = math.lcm(*(each.denominator for each in amounts))
    return Fraction(math.gcd(*(int(each * below) for each in amounts)) or 1, below)


def _on_grid(parts: list[_Part], unit: Fraction, total: int) -> tuple[FloatArray, FloatArray]:
    """Every whole number of units, and the probability of losing as much or more."""
    above = np.zeros(total + 1)
    above[0] = 1.0
    for part in parts:
        mixed = np.zeros(total + 1)
        for weight, lost in _cases(*part):
            now = weight * above
            for amount, f in lost:
                step = int(amount / unit)
                moved = np.concatenate([np.full(step, now[0]), now[: total + 1 - step]])
                now = (1.0 - f) * now + f * moved
            mixed += now
        above = mixed
    return np.arange(total + 1, dtype=np.float64), above


def _listed(parts: list[_Part], unit: Fraction, total: int) -> tuple[FloatArray, FloatArray] | None:
    """The same for the sums that may happen only; ``None`` where they are too many."""
    law = {0: 1.0}
    for part in parts:
        mixed: dict[int, float] = defaultdict(float)
        for weight, lost in _cases(*part):
            now = {sum_: weight * q for sum_, q in law.items()}
            for amount, f in lost:
                step = int(amount / unit)
                after: dict[int, float] = defaultdict(float)
                for sum_, q in now.items():
                    after[sum_] += (1.0 - f) * q
                    after[sum_ + step] += f * q
                now = {sum_: q for sum_, q in after.items() if q > 0.0}
                if len(now) > _MOST_SUMS:
                    return None
            for sum_, q in now.items():
                mixed[sum_] += q
        law = mixed
    sums = sorted(law)
    above = np.cumsum([law[each] for each in reversed(sums)])[::-1]
    return np.array([float(each) for each in sums]), above
