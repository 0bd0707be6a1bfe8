"""A log of a simulated market, as a prover who runs a broker would have kept it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from bondwork.replay.log_schema import LOG_FORMAT
from bondwork.replay.market import MarketLaw, draw_market
from bondwork.replay.market_policies import MarketBroker
from bondwork.replay.market_run import run_market

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bondwork.market.priorities import Mode
    from bondwork.replay.market import Market
    from bondwork.replay.market_run import View
    from bondwork.uncertainty.seeds import Seed

#: What the broker that keeps the log believes of every order: provers publish no better number.
BELIEVED = 0.98

#: A small farm, looked at every ten minutes: a log stays readable.
SMALL_FARM = MarketLaw(orders=300, speeds=(2.8, 5.5, 11.0), step=600.0)


def market_log(
    law: MarketLaw = SMALL_FARM, seed: Seed = 0, *, mode: Mode = "cycle_price", potential: bool = True
) -> str:
    """Draw a market, let a broker loose on it, and write its log: JSON lines, ``bondwork.log/1``.

    Parameters
    ----------
    law, seed
        See `bondwork.replay.market.draw_market`.
    mode
        Of the broker.
    potential
        Tell what would have become of orders that it did not take, each as if begun on a prover once that is
        free: something that only a simulated market knows.

    Returns
    -------
    str
        One line for each decision at which an order was open. Success probabilities are the broker's
        belief, the same for all orders.
    """
    market = draw_market(law, seed)
    keeper = _Keeper(market, MarketBroker(market, mode, seed=seed), potential=potential)
    run_market(market, keeper)
    return "".join(json.dumps(line, separators=(",", ":")) + "\n" for line in keeper.lines)


class _Keeper:
    """A policy that writes down what another one sees and does."""

    def __init__(self, market: Market, policy: MarketBroker, *, potential: bool) -> None:
        self._market, self._policy, self._potential = market, policy, potential
        self.lines: list[dict[str, Any]] = []
        self._place: dict[tuple[int, int], list[dict[str, Any]]] = {}

    def decide(self, view: View) -> Sequence[tuple[int, int]]:
        """See `MarketPolicy.decide`."""
        for each in view.ended:
            self._place[each.order, each.prover].append(
                {
                    "offer": f"{each.order}/prover-{each.prover}",
                    "outcome": "succeeded" if each.good else "failed",
                    "at": round(each.end, 3),
                }
            )
        chosen = self._policy.decide(view)
        if len(view.open):
            line = self._line(view, set(chosen))
            self.lines.append(line)
            for pair in chosen:
                self._place[pair] = line["outcomes"]
        return chosen

    def _line(self, view: View, chosen: set[tuple[int, int]]) -> dict[str, Any]:
        law, orders = self._market.law, self._market.orders
        potential = []
        offers = []
        for order in view.open.tolist():
            for prover, speed in enumerate(law.speeds):
                mcycles = float(orders.mcycles[order])
                offers.append(
                    {
                        "task": str(order),
                        "coprocessor": f"prover-{prover}",
                        "bid": law.gas + law.energy * mcycles,
                        "collateral": float(orders.collateral[order]),
                        "success_probability": BELIEVED,
                        "duration": round(mcycles / speed, 3),
                    }
                )
                if self._potential and (order, prover) not in chosen:
                    end, good = self._market.outcome(order, prover, float(view.free_at[prover]))
                    told = {
                        "offer": f"{order}/prover-{prover}",
                        "outcome": "succeeded" if good else "failed",
                        "at": round(end, 3),
                    }
                    potential.append(told)
        line = {
            "format": LOG_FORMAT,
            "id": f"at-{view.now:g}",
            "round": self._round(view, offers),
            "outcomes": [],
        }
        return line | ({"potential": potential} if potential else {})

    def _round(self, view: View, offers: list[dict[str, Any]]) -> dict[str, Any]:
        law, orders = self._market.law, self._market.orders
        price = dict(zip(view.open.tolist(), np.asarray(view.price).tolist(), strict=True))
        return {
            "format": "bondwork.round/1",
            "currency": "ETH",
            "decimals": 18,
            "now": view.now,
            "operators": [{"id": "farm"}],
            "coprocessors": [
                {
                    "id": f"prover-{prover}",
                    "free_collateral": law.collateral,
                    "capacity": {"mcycles": 1e6},
                    "serial": True,
                }
                for prover in range(law.provers)
            ],
            "tasks": [
                {
                    "id": str(order),
                    "operator": "farm",
                    "reward": price[order],
                    "slashing": float(orders.collateral[order]) * law.zkc,
                    "work": {"mcycles": float(orders.mcycles[order])},
                    "deadline": float(orders.deadline[order]),
                }
                for order in view.open.tolist()
            ],
            "offers": offers,
            "terms": {"collateral_rate": law.zkc, "collateral_split": {"burned": 0.5, "rescuer": 0.5}},
        }
