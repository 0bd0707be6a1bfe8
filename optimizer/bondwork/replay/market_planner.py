"""`bondwork.Planner` on a market: learns from outcomes, locks when waiting no longer pays, plans jointly."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from bondwork.market.locking import best_lock
from bondwork.planner.planner import Planner
from bondwork.repairing import VerificationFailure
from bondwork.replay.market_learning import Durations, Failures, RivalRates, proved

if TYPE_CHECKING:
    from bondwork.arrays import FloatArray, IntArray
    from bondwork.replay.market import Market
    from bondwork.replay.market_run import View

#: Orders that a round has at most: the best by value of a second.
MOST_ORDERS = 24

#: Share of what a second earned that it is thought to earn again where hours pass: memory of some four hours.
_MEMORY = 14_400.0


@dataclass(frozen=True, slots=True)
class PlannerSettings:
    """What can be tuned.

    Attributes
    ----------
    prior_mean, prior_size
        What is thought of a requestor of whom nothing is known.
    patience
        How dear a second of a prover is: this many times what it earned of late.
    caution
        What is slashed counts so many times where it is decided; 1: for what it is worth.
    strategy
        Of the planner.
    """

    prior_mean: float = 0.95
    prior_size: float = 10.0
    patience: float = 0.5
    caution: float = 1.0
    strategy: str = "greedy"


class MarketPlanner:
    """A planner that knows of the market what a prover knows.

    At each decision it takes in what ended and what rivals locked; finds for every open order the prover
    and the time at which locking is worth most (`bondwork.market.locking.best_lock`), given the forecasts;
    and plans those whose time has come as one round, in which they compete for slots and collateral.

    Parameters
    ----------
    market
        Its hidden part is not looked at.
    settings
        See `PlannerSettings`.
    """

    def __init__(self, market: Market, settings: PlannerSettings | None = None) -> None:
        self._law, self._orders = market.law, market.orders
        self._settings = settings or PlannerSettings()
        self.planner = Planner(strategy=self._settings.strategy, decimals=18, currency="ETH")
        self.failures = Failures(self._settings.prior_mean, self._settings.prior_size)
        self.durations = Durations()
        self.rivals = RivalRates(market)
        self._speeds = np.array(market.law.speeds)
        self._commitment: dict[int, str] = {}
        self._price: dict[int, float] = {}
        self._earned, self._last = 0.0, 0.0
        self._round = 0

    def decide(self, view: View) -> list[tuple[int, int]]:
        """See `MarketPolicy.decide`."""
        self._learn(view)
        if not view.slots.any() or not len(view.open):
            return []
        places, provers, success, seconds, bid = self._candidates(view)
        if not len(places):
            return []
        document = self._document(view, places, provers, success, seconds, bid)
        self._round += 1
        name = str(self._round)
        try:
            plan = self.planner.plan(document, name)
        except VerificationFailure:
            return []  # nothing is given away by a plan that does not verify
        found = []
        for each in plan.assignments:
            order, prover = int(each.task), int(each.executor)
            self._commitment[order] = f"{name}/{each.offer}"
            self._price[order] = float(view.price[np.searchsorted(view.open, order)])
            found.append((order, prover))
        return found

    # --- what it learns -----------------------------------------------------------------------------------

    def _learn(self, view: View) -> None:
        law, orders = self._law, self._orders
        self.rivals.learn(view)
        self._earned *= float(np.exp(-(view.now - self._last) / _MEMORY))
        self._last = view.now
        if not view.ended:
            return
        ran = proved(view.ended, orders.deadline)
        kept = [each for each, whole in zip(view.ended, ran.tolist(), strict=True) if whole]
        self.failures.learn(
            [int(orders.requestor[each.order]) for each in kept], [not each.good for each in kept]
        )
        if kept:
            nominal = np.array([orders.mcycles[each.order] / law.speeds[each.prover] for each in kept])
            self.durations.learn(np.array([each.end - each.start for each in kept]) / nominal)
        outcomes = []
        for each in view.ended:
            outcomes.append(
                {
                    "commitment": self._commitment.pop(each.order),
                    "outcome": "succeeded" if each.good else "failed",
                }
            )
            lost = float(orders.collateral[each.order]) * law.zkc
            self._earned += self._price.pop(each.order) if each.good else -lost
            self._earned -= law.gas + law.energy * float(orders.mcycles[each.order])
        self.planner.observe(outcomes)
        for each in view.ended:
            if not each.good:  # what was slashed is put back from outside
                amount = float(orders.collateral[each.order])
                self.planner.deposit(str(each.order), str(each.prover), amount, "collateral")

    def _worth_of_a_second(self, now: float) -> float:
        """What a second of a prover earned of late, times the patience; ETH."""
        passed = _MEMORY * (1.0 - float(np.exp(-now / _MEMORY))) + 1.0
        return max(self._settings.patience * self._earned / (passed * self._law.provers), 0.0)

    # --- what it may do now -------------------------------------------------------------------------------

    def _candidates(self, view: View) -> tuple[IntArray, IntArray, FloatArray, FloatArray, FloatArray]:
        """Pairs of an open order (its place in ``view.open``) and a prover that are worth it now.

        Returns chance of success, seconds and bid of each, too.
        """
        orders, law = self._orders, self._law
        which = view.open
        mcycles = orders.mcycles[which][:, None]
        seconds = mcycles / self._speeds * self.durations.mean
        begin = np.maximum(view.free_at, view.now)
        left = orders.deadline[which][:, None] - begin
        good = self.failures.success(orders.requestor[which])[:, None]
        chance = good * self.durations.in_time(mcycles / self._speeds, left)
        room = (view.slots > 0) & (orders.collateral[which][:, None] <= view.collateral + 1e-9)
        lost = orders.collateral[which][:, None] * law.zkc
        bid = law.gas + law.energy * mcycles + self._worth_of_a_second(view.now) * seconds
        bid = bid + (self._settings.caution - 1.0) * (1.0 - chance) * lost
        value = np.where(room, chance * view.price[:, None] - (1.0 - chance) * lost - bid, -np.inf)
        best = value.argmax(axis=1)
        rows = np.arange(len(which))
        latest = orders.deadline[which] - (begin[best] - view.now) - 1.5 * seconds[rows, best]
        times = best_lock(
            orders.prices(which),
            self.rivals.rates(which),
            now=view.now,
            latest=np.maximum(latest, view.now),
            success=chance[rows, best],
            cost=bid[rows, best],
            slashing=lost[:, 0],
        )
        due = np.flatnonzero((times.at <= view.now + law.step / 2.0) & (value.max(axis=1) > 0.0))
        per_second = value[due, best[due]] / seconds[due, best[due]]
        due = np.sort(due[np.argsort(-per_second, kind="stable")[:MOST_ORDERS]])
        pair = np.nonzero(value[due] > 0.0)
        places, provers = due[pair[0]], pair[1]
        return places, provers, chance[places, provers], seconds[places, provers], bid[places, provers]

    def _document(
        self,
        view: View,
        places: IntArray,
        provers: IntArray,
        success: FloatArray,
        seconds: FloatArray,
        bid: FloatArray,
    ) -> dict[str, Any]:
        """The round of orders whose time has come."""
        orders, law = self._orders, self._law
        chosen = np.unique(places)
        which = view.open[chosen]
        names = [str(each) for each in which.tolist()]
        name_of = dict(zip(chosen.tolist(), names, strict=True))
        collateral = dict(zip(names, orders.collateral[which].tolist(), strict=True))
        tasks = [
            {
                "id": name,
                "operator": "farm",
                "reward": reward,
                "slashing": collateral[name] * law.zkc,
                "work": {"slots": 1.0},
                "deadline": deadline,
            }
            for name, reward, deadline in zip(
                names, view.price[chosen].tolist(), orders.deadline[which].tolist(), strict=True
            )
        ]
        offers = [
            {
                "task": name_of[place],
                "coprocessor": str(prover),
                "bid": cost,
                "collateral": collateral[name_of[place]],
                "success_probability": chance,
                "duration": lasts,
            }
            for place, prover, chance, lasts, cost in zip(
                places.tolist(),
                provers.tolist(),
                success.tolist(),
                seconds.tolist(),
                bid.tolist(),
                strict=True,
            )
        ]
        coprocessors = [
            {
                "id": str(number),
                "free_collateral": law.collateral,
                "capacity": {"slots": float(law.slots)},
                "serial": True,
                "free_at": free_at,
            }
            for number, free_at in enumerate(view.free_at.tolist())
        ]
        return {
            "format": "bondwork.round/1",
            "currency": "ETH",
            "now": view.now,
            "operators": [{"id": "farm"}],
            "coprocessors": coprocessors,
            "tasks": tasks,
            "offers": offers,
        }
