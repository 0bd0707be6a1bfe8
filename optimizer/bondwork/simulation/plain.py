"""The same auction market, one object at a time: the rules as one would tell them, and slow.

What it is for: to check the compiled road, number by number, and to say how much faster that is. It knows
what the paper's experiment needs: a falling clock, one executor a task, nobody who enters or leaves by
chance. It shares the random numbers and the reputation models with the compiled road, and nothing else.
"""

from __future__ import annotations

import bisect
import itertools
import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

from bondwork.market.auction import tie_order
from bondwork.market.load_curve import LoadIncentive
from bondwork.reputation.models import make_reputation
from bondwork.simulation.drawing import Purpose, draw_period, streams
from bondwork.simulation.rules import UNITS
from bondwork.simulation.state import first_state

if TYPE_CHECKING:
    from bondwork.simulation.drawing import Draws
    from bondwork.simulation.rules import Rules


@dataclass(slots=True)
class PlainOperator:
    """An operator; accounts in smallest units."""

    stake: int
    capacity: float
    cost: float
    quality: float
    balance: int = 0
    reward: int = 0
    active: bool = True
    used: float = 0.0
    gained_from: int = 0
    tasks: int = 0
    succeeded: int = 0


@dataclass(slots=True)
class PlainCoprocessor:
    """A coprocessor; accounts in smallest units."""

    collateral: int
    capacity: float
    cost: float
    mean_logit: float
    logit: float
    bad: bool
    balance: int = 0
    income: int = 0
    believed: float = 0.0
    used: float = 0.0
    held: float = 0.0
    load: float = 0.0
    pieces: int = 0
    succeeded: int = 0


@dataclass(slots=True)
class PlainTask:
    """A task of a period, and what became of it."""

    operator: PlainOperator
    work: float
    reward: int
    slashing: int
    collateral: int
    taken: PlainOffer | None = None
    price: float = 0.0


@dataclass(slots=True)
class PlainOffer:
    """An offer for a task; ``coprocessor`` is ``None`` where it is the operator's own execution."""

    task: PlainTask
    coprocessor: PlainCoprocessor | None
    bid: float
    reserve: float
    fails: bool


class PlainMarket:
    """The whole network as objects; `step` simulates a period.

    Raises
    ------
    ValueError
        The rules hold something that this market does not know.
    """

    def __init__(self, rules: Rules, replication: int = 0) -> None:
        group = rules.coprocessors
        known = (
            rules.policy.name == "auction"
            and rules.policy.clock == "falling"
            and rules.tasks.replicas == 1
            and rules.load_curve.adaptive is None
            and not any((rules.operators.entry, rules.operators.exit, group.entry, group.exit))
            and not rules.operators.stake_limit
            and not group.rational
            and not rules.tasks.second_chance
        )
        if not known:
            raise ValueError("the plain market knows the falling clock and a network nobody enters, no more")
        self.rules, self.replication, self.period = rules, replication, 0
        self.burned = self.treasury = 0
        self.model = make_reputation(rules.reputation.model, rules.reputation.parameters)
        state = first_state(rules, replication, self.model, None)
        self.trust, self.cp_trust = state.reputation, state.cp_reputation
        self.operators = [
            PlainOperator(*each)
            for each in zip(
                *(x.tolist() for x in (state.stake, state.capacity, state.cost, state.quality)), strict=True
            )
        ]
        names = ("cp_collateral", "cp_capacity", "cp_cost", "cp_mean_logit", "cp_logit", "cp_bad")
        self.coprocessors = [
            PlainCoprocessor(*each)
            for each in zip(*(getattr(state, name).tolist() for name in names), strict=True)
        ]

    def step(self) -> None:
        """Simulate one period."""
        rules = self.rules
        self._wander()
        for operator in self.operators:
            if operator.active and operator.stake < round(rules.operators.least_stake * UNITS):
                operator.active, operator.stake, operator.balance = False, 0, 0
                self.trust[self.operators.index(operator)] = self.model.start(1)
            operator.used, operator.tasks, operator.succeeded = 0.0, 0, 0
            operator.gained_from = operator.balance
        believed = self.model.forecast(self.cp_trust).mean.tolist()
        for each, p in zip(self.coprocessors, believed, strict=True):
            each.believed, each.used, each.held, each.load = p, 0.0, 0.0, 0.0
            each.pieces, each.succeeded = 0, 0
        tasks, offers = self._open(draw_period(rules, self.replication, self.period))
        self._auction(offers)
        for task in tasks:
            if task.taken is not None:
                self._settle(task, task.taken)
        self._end()
        self.period += 1

    def _wander(self) -> None:
        group = self.rules.coprocessors
        if self.period == 0:
            return
        normal = streams(self.rules, self.replication).of(Purpose.DRIFT, self.period)
        for each, z in zip(
            self.coprocessors, normal.standard_normal(len(self.coprocessors)).tolist(), strict=True
        ):
            away = each.logit - each.mean_logit
            each.logit = each.mean_logit + group.quality_persistence * away + group.quality_drift * z

    def _open(self, draws: Draws) -> tuple[list[PlainTask], list[PlainOffer]]:
        """Make the tasks and offers of a period."""
        rules = self.rules
        trust = self.model.forecast(self.trust).mean.tolist()
        weights = [math.exp(rules.tasks.reputation_exponent * math.log(max(p, 1e-12))) for p in trust]
        if rules.tasks.follow == "network":
            weights = [w if o.active else 0.0 for w, o in zip(weights, self.operators, strict=True)]
        total = list(itertools.accumulate(weights))
        cards = list(range(len(self.coprocessors)))
        tasks, offers = [], []
        for i, (u, work, reward) in enumerate(
            zip(draws.choice.tolist(), draws.work.tolist(), draws.reward.tolist(), strict=True)
        ):
            chosen = []
            for j, place in enumerate(draws.place[i].tolist()):
                at = j + int(place * (len(cards) - j))
                cards[j], cards[at] = cards[at], cards[j]
                chosen.append(cards[j])
            if total[-1] <= 0.0:
                continue
            v = min(bisect.bisect_right(total, u * total[-1]), len(total) - 1)
            operator = self.operators[v]
            if not operator.active:
                continue
            base = operator.stake if rules.slashing.of == "stake" else reward
            task = PlainTask(
                operator=operator,
                work=work,
                reward=reward,
                slashing=round(rules.slashing.factor * base),
                collateral=round(rules.collateral.multiple * reward),
            )
            tasks.append(task)
            for j, c in enumerate(chosen):
                offers.append(self._offer(task, c, draws, i, j))
            if operator.capacity > 0.0:
                offers.append(self._own(task, v, draws, i))
        return tasks, offers

    def _offer(self, task: PlainTask, c: int, draws: Draws, i: int, j: int) -> PlainOffer:
        rules, each = self.rules, self.coprocessors[c]
        bid = each.cost * task.work * float(draws.bid_factor[i, j])
        quality = 1.0 / (1.0 + math.exp(-each.logit))
        fails = self._fails(draws, quality, float(draws.own[c]), float(draws.latent[i, j]))
        u, check = float(draws.wrong[i, j]), rules.validators
        caught = each.bad and u < rules.coprocessors.cheat * check.share * check.catch
        fails = fails or bool(draws.outage[c]) or caught
        p = each.believed
        collateral = task.collateral / UNITS
        paid = p if rules.collateral.bid_paid == "on_success" else 1.0
        worth = task.reward / UNITS * p - task.slashing / UNITS * (1.0 - p)
        worth += rules.collateral.operator * collateral * (1.0 - p)
        return PlainOffer(task, each, bid, min(worth / paid, task.reward / UNITS), fails)

    def _own(self, task: PlainTask, v: int, draws: Draws, i: int) -> PlainOffer:
        operator, k = task.operator, self.rules.tasks.offers
        own = float(draws.own[len(self.coprocessors) + v])
        fails = self._fails(draws, operator.quality, own, float(draws.latent[i, k]))
        p = operator.quality
        worth = task.reward / UNITS * p - task.slashing / UNITS * (1.0 - p)
        return PlainOffer(task, None, operator.cost * task.work, min(worth, task.reward / UNITS), fails)

    def _fails(self, draws: Draws, quality: float, own: float, latent: float) -> bool:
        share = self.rules.dependence
        z = math.sqrt(share.common) * draws.common + math.sqrt(share.coprocessor) * own
        z += math.sqrt(max(1.0 - share.common - share.coprocessor, 0.0)) * latent
        return z > NormalDist().inv_cdf(quality)

    def _auction(self, offers: list[PlainOffer]) -> None:
        """Let the clock fall."""
        policy = self.rules.policy
        seed = streams(self.rules, self.replication).seed(Purpose.POLICY, self.period)
        order = [offers[i] for i in tie_order(seed, len(offers)).tolist()]
        for share in np.linspace(policy.start, policy.end, policy.ticks).tolist():
            for each in self.coprocessors:
                each.load = each.used / each.capacity
            for offer in order:
                task = offer.task
                if task.taken is not None:
                    continue
                clock = share * (task.reward / UNITS)
                price = self._price(offer, clock)
                if price is None or price > offer.reserve:
                    continue
                who = task.operator if offer.coprocessor is None else offer.coprocessor
                if who.used + task.work > who.capacity + 1e-12 * who.capacity:
                    continue
                if offer.coprocessor is not None:
                    free = offer.coprocessor.collateral / UNITS
                    if offer.coprocessor.held + task.collateral / UNITS > free + 1e-12 * free:
                        continue
                    offer.coprocessor.held += task.collateral / UNITS
                who.used += task.work
                task.taken, task.price = offer, price

    def _price(self, offer: PlainOffer, clock: float) -> float | None:
        """What an offer takes at this price of the clock; ``None`` to wait or stay away."""
        policy, each = self.rules.policy, offer.coprocessor
        if each is None:
            return offer.bid if offer.bid <= clock else None
        if each.load >= policy.stay_away:
            return None
        needed = offer.bid * (1.0 + policy.premium * each.load)
        ask = needed * (1.0 + policy.margin * min(max(1.0 - each.load, 0.0), 1.0))
        return max(clock, needed) if clock <= ask else None

    def _settle(self, task: PlainTask, offer: PlainOffer) -> None:
        terms, operator, each = self.rules.collateral, task.operator, offer.coprocessor
        price = round(task.price * UNITS)
        operator.tasks += 1
        if not offer.fails:
            operator.balance += task.reward
            operator.reward += task.reward
            operator.succeeded += 1
        if terms.bid_paid == "always" or each is None or not offer.fails:
            from_balance = min(price, operator.balance)
            from_stake = min(price - from_balance, operator.stake)
            operator.balance -= from_balance
            operator.stake -= from_stake
            if each is not None:
                each.balance += from_balance + from_stake
                each.income += from_balance + from_stake
        if each is not None:
            each.pieces += 1
            each.succeeded += not offer.fails
        if not offer.fails:
            return
        slashed = min(task.slashing, operator.stake)
        operator.stake -= slashed
        self.burned += slashed
        if each is not None:
            from bondwork.market.settlement import split

            shares = (terms.burned, terms.operator, terms.rescuer, terms.treasury)
            burned, back, rescuer, treasury = split(task.collateral, shares)
            each.collateral -= task.collateral
            self.burned += burned + rescuer
            self.treasury += treasury
            operator.balance += back

    def _end(self) -> None:
        """Load incentives, stake and collateral put back, and what was learnt."""
        rules = self.rules
        curve, full = (
            LoadIncentive(**rules.load_curve.parameters),
            round(rules.coprocessors.collateral * UNITS),
        )
        for each in self.coprocessors:
            earned = round(rules.load_curve.scale * UNITS * curve.at(each.used / each.capacity))
            each.balance += max(earned, -each.balance)
            wanted = max(full - each.collateral, 0) * round(rules.coprocessors.top_up * UNITS) // UNITS
            filled = min(wanted, each.balance)
            each.collateral += filled
            each.balance -= filled
        for operator in self.operators:
            gain = max(operator.balance - operator.gained_from, 0)
            moved = min(gain * round(rules.operators.restake * UNITS) // UNITS, operator.balance)
            operator.stake += moved
            operator.balance -= moved
        for state, seen in (
            (self.cp_trust, [(float(c.succeeded), float(c.pieces)) for c in self.coprocessors]),
            (self.trust, [(float(o.succeeded), float(o.tasks)) for o in self.operators]),
        ):
            k, n = np.array(seen).T
            self.model.update(state, np.ascontiguousarray(k), np.ascontiguousarray(n))
