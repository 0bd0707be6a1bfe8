"""Prices of what is lost at each leaf of a round with a second stage, for `verify`.

Behind every outcome of the first stage stand the leaves, outcomes of the rescues. As in a round of one stage
(`bondwork.plan.recount_tail_prices`), any weights of the leaves turn a limit on the tail into a linear row
that it implies; the leaves are numbered outcome by outcome.
"""

from __future__ import annotations

import math
from collections import defaultdict
from fractions import Fraction
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from bondwork.base.tolerances import ROW
from bondwork.plan.certificate import WEIGHTED, BadCertificate
from bondwork.plan.recount_implied_rows import NOTHING, OUTWARD, ImpliedRows, Weighted, find_limit
from bondwork.plan.recount_rescues import Outcome, tail_value
from bondwork.plan.recount_tail_prices import Weights

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from bondwork.arrays import BoolArray, FloatArray
    from bondwork.plan.certificate import Entry
    from bondwork.plan.recount_rescues import RescueRecount
    from bondwork.problem.instance import RiskLimit

#: Words of entries about the losses at leaves, those that a round of one stage alone may have included.
LEAF_WORDS = WEIGHTED

#: Those that a round with a second stage honours.
_HONOURED = frozenset({"mean_risk", "cvar", "worst_case", "chance"})

#: Number of an operator, or that of everybody.
_Whose = int
_EVERYBODY = -1


class LeafPrices(ImpliedRows[_Whose]):
    """Rows that the weights of a certificate imply, put together.

    Parameters
    ----------
    rescues
        The round with its second stage.
    entries
        Entries about losses at leaves.
    ceilings
        What limits may be where they were tightened, by number of the limit and member.
    risk
        Weight and level of the CVaR in the objective; ``None`` where it does not count.
    """

    def __init__(
        self,
        rescues: RescueRecount,
        entries: Sequence[Entry],
        ceilings: Mapping[tuple[int, int], float],
        risk: tuple[Fraction, float] | None,
    ) -> None:
        super().__init__()
        self.rescues, self.round = rescues, rescues.round
        self.ceilings = ceilings
        self.outcomes = rescues.outcomes
        self.leaves = len(self.outcomes.leaf_probability)
        self.place = {offer: k for k, offer in enumerate(self.outcomes.offers.tolist())}
        self.late = {offer: k for k, offer in enumerate(self.outcomes.rescues.tolist())}
        #: Weight of each leaf, by outcome, and of each outcome.
        self.at: dict[_Whose, dict[int, dict[int, Fraction]]] = {}
        self.weights: dict[_Whose, Weights] = {}
        sizes = {"network": 1, "operator": len(self.round.instance.operators)}
        for entry in entries:
            if entry.word not in _HONOURED:
                raise BadCertificate(f"no {entry.word} stands beside a second stage")
            if entry.word == "mean_risk":
                if risk is not None:
                    self._mean_risk(entry, *risk, _EVERYBODY)
                continue
            limit, number, member = find_limit(self.round.instance, entry, sizes)
            whose = _EVERYBODY if limit.scope == "network" else member
            self._limit(entry, limit, whose, self._ceiling(limit, number, whose))
        for whose, weights in self.weights.items():
            self.constant -= self._base(whose, weights)

    # rows

    def _add(self, whose: _Whose, weights: Weighted) -> None:
        at = self.at.setdefault(whose, defaultdict(dict))
        sums = self.weights.setdefault(whose, Weights(len(self.outcomes)))
        for number, weight in weights:
            outcome, leaf = divmod(number, self.leaves)
            at[outcome][leaf] = at[outcome].get(leaf, NOTHING) + weight
            sums.add(outcome, weight)

    # looking things up

    def _budget(self, limit: RiskLimit, whose: _Whose) -> Fraction:
        return Fraction(limit.budget)

    def _checked(self, entry: Entry) -> Iterator[tuple[int, Fraction]]:
        """Weights of leaves that may come about."""
        found: dict[int, Fraction] = {}
        for number, weight in entry.weights:
            if not 0 <= number < len(self.outcomes) * self.leaves:
                raise BadCertificate(f"{entry.word} has no leaf {number}")
            outcome, leaf = divmod(number, self.leaves)
            chance = self.outcomes.probability[outcome] * self.outcomes.leaf_probability[leaf]
            if weight and chance > 0.0:
                found[number] = found.get(number, NOTHING) + Fraction(weight)
        yield from found.items()

    def _chance_of(self, number: int) -> Fraction:
        outcome, leaf = divmod(number, self.leaves)
        probability, behind = self.outcomes.probability, self.outcomes.leaf_probability
        return Fraction(float(probability[outcome])) * Fraction(float(behind[leaf]))

    def _ceiling(self, limit: RiskLimit, number: int, whose: _Whose) -> Fraction:
        """What the measure may come to: rounding included, and never less than commitments alone take."""
        stated = limit.probability if limit.measure == "chance" else limit.budget
        ceiling = self.ceilings.get((number, max(whose, 0)), stated)
        if not (math.isfinite(ceiling) and math.isfinite(limit.budget)):
            raise BadCertificate(f"risk limit {number} has no budget")
        room = Fraction(ceiling) + Fraction(ROW) * abs(Fraction(ceiling))
        if not len(self.round.instance.commitments):
            return room
        alone = {seen: Outcome(chance) for seen, chance in self.rescues.what_is_seen([]).items()}
        name = "network" if whose < 0 else self.round.instance.operators.ids[whose]
        losses = self.rescues.losses(name, [], alone)
        held = tail_value(losses, limit.measure, limit.level, limit.budget)
        return max(room, Fraction(held * OUTWARD))

    def _base(self, whose: _Whose, weights: Weights) -> Fraction:
        """What commitments lose, weighted."""
        held, slashing = self.round.instance.commitments, self.round.instance.claims.slashing
        total = NOTHING
        for k, operator in enumerate(held.operator.tolist()):
            if whose in (-1, operator) and k < self.outcomes.lost.shape[1]:
                fallen = np.flatnonzero(self.outcomes.lost[:, k])
                total += Fraction(float(slashing[held.claim[k]])) * weights.over(fallen)
        return total

    def _most(self, whose: _Whose, leaves: Sequence[int]) -> dict[int, float]:
        """The most that can be lost at leaves: of every task one executor, and the commitments."""
        round_, held = self.round, self.round.instance.commitments
        early = [o for o, able in enumerate(round_.eligible) if able and o in self.place]
        failed, lost = self.outcomes.failed, self.outcomes.lost
        first = self._worst(whose, early, failed[:, [self.place[o] for o in early]])
        up = sorted(self.rescues.takes_up)
        late = self._worst(whose, up, self.outcomes.leaf_failed[:, [self.late[o] for o in up]])
        at_stake = round_.instance.claims.slashing[held.claim].tolist()
        mine = [k for k, v in enumerate(held.operator.tolist()) if whose in (-1, v)]
        found = {}
        for number in leaves:
            outcome, leaf = divmod(number, self.leaves)
            gone = [at_stake[k] for k in mine if lost[outcome, k]]
            found[number] = math.fsum([*np.maximum(first[outcome], late[leaf]).tolist(), *gone])
        return found

    def _worst(self, whose: _Whose, offers: Sequence[int], fails: BoolArray) -> FloatArray:
        """Largest slashing of each task among some offers that fail. Shape (rows of ``fails``, tasks)."""
        worst = np.zeros((len(fails), len(self.round.instance.tasks)))
        for column, offer in enumerate(offers):
            if whose in (-1, self.round.operator[offer]):
                task, slashing = self.round.task[offer], self.round.slashing[offer]
                worst[fails[:, column], task] = np.maximum(worst[fails[:, column], task], slashing)
        return worst

    # what choices cost

    def of_first(self, offer: int) -> Fraction:
        """What the losses of a first-stage offer cost, before any rescue."""
        cost = NOTHING
        if offer in self.place:
            for whose, weights in self.weights.items():
                if whose in (-1, self.round.operator[offer]):
                    fallen = np.flatnonzero(self.outcomes.failed[:, self.place[offer]])
                    cost += weights.over(fallen)
        return cost * Fraction(self.round.slashing[offer])

    def of_rescue(self, offer: int, over: bool) -> Iterator[tuple[int, Fraction]]:
        """What a rescue changes of that, outcome by outcome: above 0 where a success takes a loss away."""
        slashing = Fraction(self.round.slashing[offer])
        fails = self.outcomes.leaf_failed[:, self.late[offer]].tolist() if self.whole else []
        for whose, (at, unit) in self.whole.items():
            if not slashing or whose not in (-1, self.round.operator[offer]):
                continue
            for outcome, weights in at:
                if mine := sum(w for leaf, w in weights if fails[leaf] != over):
                    yield outcome, slashing * Fraction(mine if over else -mine, unit)

    @cached_property
    def whole(self) -> dict[_Whose, tuple[list[tuple[int, list[tuple[int, int]]]], int]]:
        """Weights of leaves, outcome by outcome, as multiples of one fraction, whose inverse goes along."""
        found = {}
        for whose, at in self.at.items():
            unit = math.lcm(1, *(w.denominator for weights in at.values() for w in weights.values()))
            found[whose] = (
                [
                    (k, [(leaf, w.numerator * (unit // w.denominator)) for leaf, w in weights.items()])
                    for k, weights in at.items()
                ],
                unit,
            )
        return found
