"""A bound of a round with a second stage, recomputed from multipliers: no solver, nothing rounded inward.

Weak duality, task by task. Every limit has a multiplier y >= 0 now and at each outcome that may be seen: what
the first stage takes of it counts at all of them, what rescues take counts at theirs. What is left is a small
tree for each task: choose one offer, or none; then, at every outcome in which it failed, or in all where
nobody was chosen, the best rescue or none. So no plan earns more than

    earned whatever is chosen + sum of y * room + sum over tasks of the best of their tree

Outcomes are drawn from the plan's seed again, and told apart more finely than a plan can: that only makes the
bound larger. Everything is added in whole multiples of one common fraction, so nothing is rounded before the
end.
"""

from __future__ import annotations

import math
from collections import defaultdict
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from bondwork.plan.certificate import BadCertificate
from bondwork.plan.recount_columns import Columns, PricedColumns, Prices, Uncheckable
from bondwork.plan.recount_exact import ledger
from bondwork.plan.recount_leaf_prices import LEAF_WORDS, LeafPrices
from bondwork.plan.recount_rooms import Rooms
from bondwork.plan.recount_tail_prices import TailPrices

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from bondwork.plan.certificate import Entry
    from bondwork.plan.recount_rescues import RescueRecount

NOTHING = Fraction(0)

#: Word and owner of a limit.
_Limit = tuple[str, tuple[int | float, ...]]

#: What is paid for a limit at outcomes.
_Paid = dict[_Limit, list[tuple[int, Fraction]]]

#: Words of limits that hold at every outcome.
_EVERYWHERE = frozenset({"capacity", "own_capacity", "collateral", "stake", "deadline"})


class RescueBound:
    """Bounds of one round with a second stage from multipliers.

    Parameters
    ----------
    rescues
        The round with its second stage.
    ceilings
        What limits on losses may be where calibration tightened them, by number of the limit and member.

    Raises
    ------
    Uncheckable
        The round has something beside its second stage that is not recomputed here.
    """

    def __init__(
        self, rescues: RescueRecount, ceilings: Mapping[tuple[int, int], float] | None = None
    ) -> None:
        instance = rescues.round.instance
        if (instance.tasks.replicas > 1).any():
            raise Uncheckable("tasks with replicas beside a second stage")
        self.rescues = rescues
        self.round = rescues.round
        self.ceilings = ceilings or {}
        late = np.array(sorted(rescues.follows.keys() | rescues.takes_up), dtype=np.int64)
        self.rooms = Rooms(self.round, ceilings=self.ceilings, later=late.tolist())
        self.columns = Columns(self.round, self.rooms)
        #: Second-stage offers that fit by themselves.
        self.late: list[int] = late[~self.rooms.too_large(late)].tolist()

    def bound(self, entries: Sequence[Entry]) -> Fraction | None:
        """See `bondwork.plan.recount_bound.BoundProof`."""
        return self._evaluate(entries, earning=True)

    def refutes(self, entries: Sequence[Entry]) -> bool:
        """See `bondwork.plan.recount_bound.BoundProof`."""
        bound = self._evaluate(entries, earning=False)
        return bound is None or bound < 0

    def _evaluate(self, entries: Sequence[Entry], *, earning: bool) -> Fraction | None:
        instance = self.round.instance
        weight = Fraction(instance.objective.risk_weight) if earning else NOTHING
        share = 1 - weight if earning else NOTHING
        risk = (weight, instance.objective.risk_level) if weight else None
        losses = LeafPrices(self.rescues, self._on_leaves(entries), self.ceilings, risk)
        constant, prices, paid = self._rows(entries)
        constant += losses.constant
        if earning:
            cost = instance.tasks.unassigned_cost.tolist()
            open_ = (Fraction(each) for task, each in enumerate(cost) if task not in self.round.committed)
            constant -= share * sum(open_, NOTHING)
        now = PricedColumns(self.columns, prices, TailPrices(self.round, [], {}, None), share)
        later = _Rescues(self, prices, paid, losses, share)
        gains = self._gains(now, later, losses)
        return None if gains is None else constant + gains

    # limits

    def _on_leaves(self, entries: Iterable[Entry]) -> list[Entry]:
        found = [each for each in entries if each.word in LEAF_WORDS]
        if any(each.node for each in found):
            raise BadCertificate("a limit over all outcomes stands at one of them")
        return found

    def _rows(self, entries: Iterable[Entry]) -> tuple[Fraction, dict[str, Prices], _Paid]:
        """What rooms cost; what is paid for what the first stage takes, and at each outcome for rescues."""
        constant, paid = NOTHING, defaultdict(list)
        prices: dict[str, Prices] = defaultdict(dict)
        for entry in entries:
            if entry.word in LEAF_WORDS:
                continue
            if not 0 <= entry.node <= len(self.rescues.outcomes):
                raise BadCertificate(f"no outcome {entry.node} may be seen")
            if entry.word not in _EVERYWHERE and (entry.node or entry.word != "expected"):
                raise BadCertificate(f"no {entry.word} at node {entry.node} of a round with a second stage")
            y = Fraction(entry.y)
            word, about, room = self.rooms.of(entry)
            constant += y * room
            prices[word][about] = prices[word].get(about, NOTHING) + y
            if entry.node and y:
                paid[word, about].append((entry.node - 1, y))
        return constant, prices, paid

    # tasks

    def _gains(self, now: PricedColumns, later: _Rescues, losses: LeafPrices) -> Fraction | None:
        """Sum over tasks of the best of their tree; ``None`` where a required task has nobody."""
        instance = self.round.instance
        offers: dict[int, list[int]] = defaultdict(list)
        for column, task in enumerate(self.columns.task.tolist()):
            offers[task].append(column)
        total = NOTHING
        for task, required in enumerate(instance.tasks.required.tolist()):
            if task in self.round.committed:
                continue
            ways = [
                now.exact(column) - losses.of_first(offer) + later.after(offer)
                for column in offers[task]
                for offer in self.columns.team(column)
            ]
            if not required:
                ways.append(later.when_left(task))
            if not ways:
                return None
            total += max(ways)
        return total


class _Rescues:
    """What rescues add at each outcome, less what they pay there: whole multiples of one fraction."""

    def __init__(
        self,
        bound: RescueBound,
        prices: Mapping[str, Prices],
        paid: _Paid,
        losses: LeafPrices,
        share: Fraction,
    ) -> None:
        self.round, self.paid = bound.round, paid
        #: Deadlines that are paid for, by coprocessor.
        self.ends: dict[int, list[float]] = defaultdict(list)
        for word, about in paid:
            if word == "deadline":
                self.ends[int(about[0])].append(about[1])
        #: What an operator's expected losses cost, and -1 for those of everybody.
        self.expected = {
            -1 if word == "expected network" else int(about[0]): y
            for word in ("expected network", "expected operator")
            for about, y in prices.get(word, {}).items()
        }
        rescues = bound.rescues
        late = [(offer, True) for offer in bound.late if offer in rescues.follows]
        late += [(offer, False) for offer in bound.late if offer in rescues.takes_up]
        gain = [self._gain(rescues, *each, share) for each in late]
        extra = [[*self._payments(*each), *losses.of_rescue(*each)] for each in late]
        chance = [Fraction(each) for each in rescues.outcomes.probability.tolist()]
        of_chance = _denominator(chance)
        whole = [each.numerator * (of_chance // each.denominator) for each in chance]
        #: What all amounts are multiples of, inverted.
        self.unit = math.lcm(
            of_chance * _denominator(gain), *(_denominator(each for _, each in terms) for terms in extra)
        )
        self.place = {offer: k for k, offer in enumerate(rescues.outcomes.offers.tolist())}
        self.failed = rescues.outcomes.failed
        #: Rescues that may follow each offer, and those that may take each task up, outcome by outcome.
        self.over: dict[int, list[list[int]]] = defaultdict(list)
        self.up: dict[int, list[list[int]]] = defaultdict(list)
        for (offer, over), each, terms in zip(late, gain, extra, strict=True):
            factor = each.numerator * (self.unit // (of_chance * each.denominator))
            values = [part * factor for part in whole]
            for outcome, amount in terms:
                values[outcome] += amount.numerator * (self.unit // amount.denominator)
            if over:
                for early in rescues.follows[offer]:
                    self.over[early].append(values)
            else:
                self.up[self.round.task[offer]].append(values)

    def _gain(self, rescues: RescueRecount, offer: int, over: bool, share: Fraction) -> Fraction:
        """What a rescue adds wherever it is done, expected losses paid for; times the chance of that."""
        round_, terms = self.round, self.round.instance.terms
        p, slashing = Fraction(round_.p[offer]), Fraction(round_.slashing[offer])
        loss = -p * slashing if over else (1 - p) * slashing
        price = self.expected.get(-1, NOTHING) + self.expected.get(round_.operator[offer], NOTHING)
        if not share:
            return -price * loss
        paid = Fraction(round_.bid[offer]) * (p if terms.bid_paid == "on_success" else 1)
        back = Fraction(terms.operator) * Fraction(round_.collateral[offer])
        back *= Fraction(terms.collateral_rate) * (1 - p)
        saved = NOTHING if over else Fraction(rescues.cost[round_.task[offer]])
        net = Fraction(round_.reward[offer]) * p - loss - paid + back + saved
        return share * net - price * loss

    def _payments(self, offer: int, over: bool) -> Iterator[tuple[int, Fraction]]:
        """What a rescue pays for its limits at each outcome: amounts below 0."""
        for limit, used in self._uses(offer, over):
            for outcome, y in self.paid.get(limit, ()):
                yield outcome, -y * used

    def _uses(self, offer: int, over: bool) -> Iterator[tuple[_Limit, Fraction]]:
        round_, c = self.round, self.round.coprocessor[offer]
        for k, work in enumerate(round_.work[offer]):
            yield ("capacity", (c, k)), Fraction(work)
        decimals = round_.instance.decimals
        yield ("collateral", (c,)), ledger(round_.collateral[offer], decimals)
        if not over:  # what failed has been at stake since the first stage
            yield ("stake", (round_.operator[offer],)), ledger(round_.slashing[offer], decimals)
        due = round_.deadline[round_.task[offer]]
        for end in self.ends[c]:
            if due <= end:
                yield ("deadline", (c, end)), Fraction(round_.duration[offer])

    def after(self, offer: int) -> Fraction:
        """What the best rescues of an offer add, over the outcomes in which it fails."""
        able = self.over.get(offer)
        if not able:
            return NOTHING
        outcomes = np.flatnonzero(self.failed[:, self.place[offer]]).tolist()
        total = sum(max(0, *(values[k] for values in able)) for k in outcomes)
        return Fraction(total, self.unit)

    def when_left(self, task: int) -> Fraction:
        """What the best rescues of a task add that nobody does at first."""
        able = self.up.get(task)
        if not able:
            return NOTHING
        return Fraction(sum(max(0, *each) for each in zip(*able, strict=True)), self.unit)


def _denominator(fractions: Iterable[Fraction]) -> int:
    return math.lcm(1, *(each.denominator for each in fractions))
