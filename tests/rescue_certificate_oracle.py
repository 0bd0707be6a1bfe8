"""What a certificate proves of a round with a second stage, in exact fractions and the plainest way.

Written from docs/certificates.md: every outcome and leaf is gone through, every choice of every task worked
out. What may be seen is drawn as the plan's was, as the numbers of nodes and leaves are those of that table;
amounts are those that were read. Limits are taken as they are stated, without the tolerance of rows.
"""

from __future__ import annotations

import math
from collections import defaultdict
from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from bondwork.plan.recount import Recount
from bondwork.plan.recount_rescues import RescueRecount

if TYPE_CHECKING:
    from collections.abc import Iterator

    import bondwork

ZERO = Fraction(0)


def money(amount: float) -> Fraction:
    """An amount by its digits, as a ledger counts it."""
    return Fraction(Decimal(repr(float(amount))))


def entries_of(multipliers: list[Any]) -> Iterator[tuple[int, str, list[Any]]]:
    """Node, word and numbers of each entry."""
    node, word, numbers = 0, "", []
    for token in [*multipliers, "end"]:
        if not isinstance(token, str):
            numbers.append(token)
            continue
        if word == "node":
            node = numbers[0]
        elif word:
            yield node, word, numbers
        word, numbers = token, []


class RescueProof:
    """Bound of a round with a second stage at the multipliers of a certificate."""

    def __init__(self, instance: bondwork.Instance, seed: int, multipliers: list[Any]) -> None:
        self.instance = instance
        self.rescues = RescueRecount(Recount(instance, seed), seed)
        self.outcomes = self.rescues.outcomes
        self.chance = [Fraction(q) for q in self.outcomes.probability.tolist()]
        self.leaf_chance = [Fraction(q) for q in self.outcomes.leaf_probability.tolist()]
        #: What each limit costs at each node; what leaves cost by whose loss it is; what expected losses do.
        self.price: dict[int, dict[tuple[Any, ...], Fraction]] = defaultdict(lambda: defaultdict(Fraction))
        self.leaf: dict[int, dict[tuple[int, int], Fraction]] = defaultdict(lambda: defaultdict(Fraction))
        self.expected: dict[int, Fraction] = defaultdict(Fraction)
        self.constant = ZERO
        #: Sum of the sizes of what the bound is made of, and the largest of them.
        self.size = self.largest = ZERO
        self.weight = Fraction(instance.objective.risk_weight)
        self.entries = list(entries_of(multipliers))

    def bound(self, *, earning: bool = True) -> Fraction | None:
        """Sum of the rooms' prices and of the best choices of all tasks."""
        for node, word, numbers in self.entries:
            if word in ("cvar", "chance", "worst_case", "expected"):
                self._limit(word, numbers)
            elif word == "mean_risk":
                if earning and self.weight:
                    self._mean_risk(numbers)
            else:
                self._row(node, word, numbers)
        instance = self.instance
        share = 1 - self.weight if earning else ZERO
        total = self.constant
        held = instance.commitments
        for whose, leaves in self.leaf.items():
            for (k, _), weight in leaves.items():
                for i in range(len(held)):
                    if whose in (-1, held.operator[i]) and self.outcomes.lost[k, i]:
                        lost = weight * Fraction(float(instance.claims.slashing[held.claim[i]]))
                        total -= self._counted(lost)
        for task in range(len(instance.tasks)):
            if task in self.rescues.round.committed:
                continue
            ways = [
                self._first(offer, share)
                for offer, able in enumerate(self.rescues.round.eligible)
                if able and self.rescues.round.task[offer] == task and self._fits(offer)
            ]
            if instance.tasks.required[task]:
                if not ways:
                    return None
                total += self._counted(max(ways))
                continue
            total += self._counted(max([self._left(task, share), *ways]))
        return total

    def _counted(self, term: Fraction) -> Fraction:
        """Note a term of the bound."""
        self.size += abs(term)
        self.largest = max(self.largest, abs(term))
        return term

    # limits

    def _row(self, node: int, word: str, numbers: list[Any]) -> None:
        instance, *about, y = self.instance, *numbers
        y, held = Fraction(y), self.instance.commitments
        if word == "capacity":
            taken = sum(Fraction(w) for w in held.work[held.coprocessor == about[0], about[1]].tolist())
            limit = Fraction(float(instance.coprocessors.capacity[about[0], about[1]]))
        elif word == "own_capacity":
            mine = (held.coprocessor < 0) & (held.operator == about[0])
            taken = sum(Fraction(w) for w in held.work[mine, about[1]].tolist())
            limit = Fraction(float(instance.operators.capacity[about[0], about[1]]))
        elif word == "collateral":
            limit, taken = money(instance.coprocessors.free_collateral[about[0]]), ZERO
        elif word == "stake":
            mine = held.operator == about[0]
            taken = sum(money(s) for s in instance.claims.slashing[held.claim[mine]].tolist())
            limit = money(instance.operators.stake[about[0]])
        else:
            assert word == "deadline"
            limit, taken = Fraction(about[1]) - Fraction(self.rescues.round.free_from[about[0]]), ZERO
        self.constant += y * max(limit - taken, ZERO)
        self._counted(y * max(abs(limit), taken))
        self.price[node][word, *about] += y

    def _limit(self, word: str, numbers: list[Any]) -> None:
        number, member, y, *rest = numbers
        limit, y = self.instance.risk[number], Fraction(y)
        whose = -1 if limit.scope == "network" else member
        held = self.instance.commitments
        mine = [i for i in range(len(held)) if whose in (-1, held.operator[i])]
        amounts = [Fraction(float(self.instance.claims.slashing[held.claim[i]])) for i in mine]
        if word == "expected":
            chances = [Fraction(float(held.success_probability[i])) for i in mine]
            taken = sum((s * (1 - p) for s, p in zip(amounts, chances, strict=True)), ZERO)
            self.constant += y * max(Fraction(limit.budget) - taken, ZERO)
            self._counted(y * max(abs(Fraction(limit.budget)), taken))
            self.expected[whose] += y
            return
        weights: dict[tuple[int, int], Fraction] = defaultdict(Fraction)
        for place, weight in zip(rest[::2], rest[1::2], strict=True):
            weights[divmod(place, len(self.leaf_chance))] += Fraction(weight)
        if word == "worst_case":
            self.constant += self._counted(sum(weights.values(), ZERO) * self._ceiling(limit, mine, amounts))
        elif word == "cvar":
            y = max([y, sum(weights.values(), ZERO), *self._ratios(weights, limit.level)])
            self.constant += self._counted(y * self._ceiling(limit, mine, amounts))
        else:
            self.constant += self._counted(y * self._ceiling(limit, mine, amounts))
            for (k, leaf), weight in weights.items():
                over = weight * (self._most(whose, k, leaf) - Fraction(limit.budget))
                over -= y * self.chance[k] * self.leaf_chance[leaf]
                self.constant += self._counted(weight * Fraction(limit.budget))
                self.constant += self._counted(max(over, ZERO))
                self._counted(weight * self._most(whose, k, leaf))
        for place, weight in weights.items():
            self.leaf[whose][place] += weight

    def _ratios(self, weights: dict[tuple[int, int], Fraction], level: float) -> list[Fraction]:
        share = Fraction(1.0 - level)
        return [w * share / (self.chance[k] * self.leaf_chance[leaf]) for (k, leaf), w in weights.items()]

    def _mean_risk(self, numbers: list[Any]) -> None:
        weights: dict[tuple[int, int], Fraction] = defaultdict(Fraction)
        for place, weight in zip(numbers[1::2], numbers[2::2], strict=True):
            weights[divmod(place, len(self.leaf_chance))] += Fraction(weight)
        level = self.instance.objective.risk_level
        needed = max([sum(weights.values(), ZERO), *self._ratios(weights, level)])
        for place, weight in weights.items():
            self.leaf[-1][place] += weight * min(Fraction(1), self.weight / needed) if needed else ZERO

    def _ceiling(self, limit: Any, mine: list[int], amounts: list[Fraction]) -> Fraction:
        """The limit, or what the commitments alone measure."""
        losses = sorted(
            (
                (sum((s for i, s in zip(mine, amounts, strict=True) if self.outcomes.lost[k, i]), ZERO), q)
                for k, q in enumerate(self.chance)
            ),
            reverse=True,
        ) if mine else []  # fmt: skip
        if limit.measure == "worst_case":
            return max([Fraction(limit.budget), *(loss for loss, q in losses if q)])
        if limit.measure == "chance":
            over = sum((q for loss, q in losses if loss > Fraction(limit.budget)), ZERO)
            return max(Fraction(limit.probability), over)
        left = share = Fraction(1.0 - limit.level)
        mean = ZERO
        for loss, q in losses:
            mean += min(q, left) * loss / share
            left -= min(q, left)
        return max(Fraction(limit.budget), mean)

    def _most(self, whose: int, k: int, leaf: int) -> Fraction:
        """The most that can be lost at a leaf: of every task one executor, and the commitments."""
        round_, held = self.rescues.round, self.instance.commitments
        worst: dict[int, float] = defaultdict(float)
        for offer, able in enumerate(round_.eligible):
            if able and whose in (-1, round_.operator[offer]) and self._fails(offer, k):
                worst[round_.task[offer]] = max(worst[round_.task[offer]], round_.slashing[offer])
        for offer in self.rescues.takes_up:
            if whose in (-1, round_.operator[offer]) and self._fails_late(offer, leaf):
                worst[round_.task[offer]] = max(worst[round_.task[offer]], round_.slashing[offer])
        lost = [
            Fraction(float(self.instance.claims.slashing[held.claim[i]]))
            for i in range(len(held))
            if whose in (-1, held.operator[i]) and self.outcomes.lost[k, i]
        ]
        return sum(map(Fraction, worst.values()), ZERO) + sum(lost, ZERO)

    # choices

    def _fails(self, offer: int, k: int) -> bool:
        told = self.outcomes.offers.tolist()
        return offer in told and bool(self.outcomes.failed[k, told.index(offer)])

    def _fails_late(self, offer: int, leaf: int) -> bool:
        return bool(self.outcomes.leaf_failed[leaf, self.outcomes.rescues.tolist().index(offer)])

    def _first(self, offer: int, share: Fraction) -> Fraction:
        round_, terms = self.rescues.round, self.instance.terms
        p, r, s = (Fraction(each[offer]) for each in (round_.p, round_.reward, round_.slashing))
        own = round_.coprocessor[offer] < 0
        paid = Fraction(round_.bid[offer]) * (p if terms.bid_paid == "on_success" and not own else 1)
        back = Fraction(terms.operator) * Fraction(round_.collateral[offer])
        back *= Fraction(terms.collateral_rate) * (1 - p)
        worth = share * (p * r - (1 - p) * s - paid + back) - self._loss_price(offer) * (1 - p) * s
        for node in [0, *range(1, len(self.chance) + 1)]:
            worth -= self._taken(offer, node, staked=True)
        for k in range(len(self.chance)):
            if not self._fails(offer, k):
                continue
            for whose, leaves in self.leaf.items():
                if whose in (-1, round_.operator[offer]):
                    worth -= s * sum((w for (at, _), w in leaves.items() if at == k), ZERO)
            able = [g for g, after in self.rescues.follows.items() if offer in after and self._fits(g)]
            worth += max([ZERO, *(self._late(g, k, share, over=True) for g in able)])
        return worth

    def _left(self, task: int, share: Fraction) -> Fraction:
        """What a task is worth that nobody does at first."""
        able = [g for g in self.rescues.takes_up if self.rescues.round.task[g] == task and self._fits(g)]
        cost = share * Fraction(self.rescues.cost[task])
        total = -cost
        for k in range(len(self.chance)):
            total += max([ZERO, *(self._late(g, k, share, over=False) for g in able)])
        return total

    def _late(self, offer: int, k: int, share: Fraction, *, over: bool) -> Fraction:
        gain = sum(map(Fraction, self._late_terms(offer, over)), ZERO)
        round_ = self.rescues.round
        s, p = Fraction(round_.slashing[offer]), Fraction(round_.p[offer])
        change = -p * s if over else (1 - p) * s
        worth = self.chance[k] * (share * gain - self._loss_price(offer) * change)
        worth -= self._taken(offer, k + 1, staked=not over)
        for whose, leaves in self.leaf.items():
            if whose not in (-1, round_.operator[offer]):
                continue
            for (at, leaf), weight in leaves.items():
                if at == k and self._fails_late(offer, leaf) != over:
                    worth += weight * (s if over else -s)
        return worth

    def _late_terms(self, offer: int, over: bool) -> list[Fraction]:
        round_, terms = self.rescues.round, self.instance.terms
        p, r, s = (Fraction(each[offer]) for each in (round_.p, round_.reward, round_.slashing))
        paid = Fraction(round_.bid[offer]) * (p if terms.bid_paid == "on_success" else 1)
        back = Fraction(terms.operator) * Fraction(round_.collateral[offer])
        back *= Fraction(terms.collateral_rate) * (1 - p)
        if over:
            return [p * (r + s), -paid, back]
        return [p * r, -(1 - p) * s, -paid, back, Fraction(self.rescues.cost[round_.task[offer]])]

    def _loss_price(self, offer: int) -> Fraction:
        return self.expected[-1] + self.expected[self.rescues.round.operator[offer]]

    def _taken(self, offer: int, node: int, *, staked: bool) -> Fraction:
        """Price of what an offer takes at a node."""
        round_, price, total = self.rescues.round, self.price.get(node, {}), ZERO
        c, v = round_.coprocessor[offer], round_.operator[offer]
        for (word, *about), y in price.items():
            mine = about[0] == (v if word in ("stake", "own_capacity") else c)
            if not mine or (word == "own_capacity" and c >= 0):
                continue
            if word in ("capacity", "own_capacity"):
                total += y * Fraction(round_.work[offer][about[1]])
            elif word == "collateral":
                total += y * money(round_.collateral[offer])
            elif word == "stake":
                total += y * money(round_.slashing[offer]) if staked else ZERO
            elif round_.deadline[round_.task[offer]] <= about[1]:
                total += y * Fraction(round_.duration[offer])
        return total

    def _fits(self, offer: int) -> bool:
        """Whether an offer takes no more of a limit than it leaves, by itself."""
        round_, instance, held = self.rescues.round, self.instance, self.instance.commitments
        c, v = round_.coprocessor[offer], round_.operator[offer]
        owner, who = (instance.coprocessors, c) if c >= 0 else (instance.operators, v)
        busy = held.coprocessor == c if c >= 0 else (held.coprocessor < 0) & (held.operator == v)
        for k, work in enumerate(round_.work[offer]):
            room = max(float(owner.capacity[who, k]) - math.fsum(held.work[busy, k]), 0.0)
            if work > room + 1e-9 * max(float(owner.capacity[who, k]), 1e-300):
                return False
        exposed = sum(money(s) for s in instance.claims.slashing[held.claim[held.operator == v]].tolist())
        stake = float(instance.operators.stake[v])
        if math.isfinite(stake) and money(round_.slashing[offer]) > max(money(stake) - exposed, ZERO):
            return False
        if c < 0:
            return True
        free = float(instance.coprocessors.free_collateral[c])
        if math.isfinite(free) and money(round_.collateral[offer]) > max(money(free), ZERO):
            return False
        due, since = round_.deadline[round_.task[offer]], round_.free_from[c]
        serial = since > -math.inf and math.isfinite(due)
        return not serial or round_.duration[offer] <= (due - since) * (1.0 + 1e-9)
