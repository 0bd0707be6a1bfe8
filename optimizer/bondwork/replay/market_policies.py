"""Who decides on a market: the broker's modes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bondwork.market.priorities import MODES, Mode, commitment_order
from bondwork.problem.faults import Fault, InvalidInput
from bondwork.uncertainty.seeds import Seed, seed_sequence, stream

if TYPE_CHECKING:
    from bondwork.replay.market import Market
    from bondwork.replay.market_run import View

#: Seconds that a broker keeps free before a deadline (its ``block_deadline_buffer_secs``).
BUFFER = 120.0


@dataclass(frozen=True, slots=True)
class BrokerSettings:
    """What the owner of a broker can turn: ``min_mcycle_price`` (ETH) and ``max_collateral`` (ZKC)."""

    min_mcycle_price: float = 2.5e-8
    max_collateral: float = 100.0


class MarketBroker:
    """A broker of today on a market.

    An order is looked at once its price is what `BrokerSettings` ask for a megacycle plus the gas; orders are
    taken in the order of the mode, each by the prover that would be done first, while slots, collateral and
    deadline allow.
    """

    def __init__(
        self, market: Market, mode: Mode, settings: BrokerSettings | None = None, seed: Seed = 0
    ) -> None:
        if mode not in MODES:
            raise InvalidInput([Fault("mode", f'"{mode}"', f"one of {', '.join(MODES)}")])
        self._law, self._orders = market.law, market.orders
        self._mode: Mode = mode
        self._settings = settings or BrokerSettings()
        self._rng = stream(seed_sequence(seed), 0)
        self._speeds = np.array(market.law.speeds)

    def decide(self, view: View) -> list[tuple[int, int]]:
        """See `MarketPolicy.decide`."""
        slots, free_at, left = view.slots.copy(), view.free_at.copy(), view.collateral.copy()
        if not slots.any() or not len(view.open):
            return []
        orders, law = self._orders, self._law
        mcycles, deadline = orders.mcycles[view.open], orders.deadline[view.open]
        collateral = orders.collateral[view.open]
        asked = self._settings.min_mcycle_price * mcycles + law.gas
        ready = np.flatnonzero((view.price >= asked) & (collateral <= self._settings.max_collateral))
        order = commitment_order(
            self._mode,
            price=view.price[ready],
            cycles=mcycles[ready],
            expiry=deadline[ready],
            seconds=mcycles[ready] / self._speeds.max(),
            rng=self._rng,
        )
        found: list[tuple[int, int]] = []
        for place in ready[order].tolist():
            finish = free_at + mcycles[place] / self._speeds
            finish[(slots <= 0) | (left < collateral[place])] = np.inf
            prover = int(finish.argmin())
            if finish[prover] + BUFFER > deadline[place]:
                continue
            found.append((int(view.open[place]), prover))
            slots[prover] -= 1
            left[prover] -= collateral[place]
            free_at[prover] = finish[prover]
            if not slots.any():
                break
        return found
