"""Auctions as strategies: what a market without an optimiser comes to, as a plan like any other."""

from __future__ import annotations

from abc import ABC, abstractmethod
from types import MappingProxyType
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from bondwork.contracts import Observer, Options, Progress, Solution
from bondwork.market.auction import FallingClock, RisingClock, SealedBids, tie_order
from bondwork.market.bidding import BIDDINGS
from bondwork.market.lots import Lots
from bondwork.problem.faults import Refusal
from bondwork.problem.limits import LimitKind
from bondwork.program.choice_bound import choice_bound
from bondwork.program.filling import Filling
from bondwork.settings import Setting, read_settings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bondwork.arrays import FloatArray
    from bondwork.market.auction import Auction
    from bondwork.problem.instance import Instance
    from bondwork.program.program import Program

_BIDDING = Setting("load", "How coprocessors bid; see bondwork.market.bidding.", tuple(BIDDINGS))
_TICKS = Setting("50", "How many prices the clock shows.", least=2, most=100_000)


class _Auctioneer(ABC):
    """What all auctions share: the round, its limits, the tie rule, and the plan that comes of it."""

    summary: str
    settings: ClassVar[Mapping[str, Setting]]
    #: What a market comes to is what is asked for: plans near it are not looked for.
    by_rule = True
    #: Decisions of later stages are paid their bids: there is no auction of these.
    agrees_on_prices = True

    def __init__(self) -> None:
        self._instance: Instance | None = None

    def at_round(self, instance: Instance) -> _Auctioneer:
        """Return the strategy with the round whose bids it needs; the road calls this."""
        bound = type(self)()
        bound._instance = instance
        return bound

    @abstractmethod
    def auction(self, settings: Mapping[str, str]) -> Auction:
        """The auction itself."""

    def solve(self, program: Program, options: Options, observer: Observer) -> Solution:
        """Hold the auction; see `bondwork.contracts.Strategy`. The bound is the best choice for each task."""
        instance = self._instance
        if instance is None:
            raise TypeError("an auction needs the round: at_round(instance).solve(...)")
        if program.teams is not None and not program.teams.is_single:
            raise Refusal(["an auction awards every task once; tasks with replicas need another strategy"])
        settings = read_settings(self, options.settings)
        lots = Lots.of(instance, program.columns[: program.choices])
        room = _Room(instance, program)
        order = tie_order(options.random_seed, program.choices)
        award = self.auction(settings).hold(lots, room, BIDDINGS[settings["bidding"]], order)
        price = lots.bid.copy()
        price[award.column] = award.price
        x = room.filling.x
        value = program.value(x) - float(x @ (lots.paid * (price - lots.bid)))
        bound = choice_bound(program)
        if not room.filling.is_complete():
            return Solution("locally_infeasible", None, bound, partial=x, price=price)
        observer.report(Progress(0.0, value, bound, "auction"))
        return Solution("locally_solved", x, max(bound, value), price=price)


class DutchAuction(_Auctioneer):
    """The paper's modified Dutch auction: prices fall from the reward until somebody takes them.

    See `bondwork.market.auction.FallingClock`. Idle coprocessors stop the clock early, so operators pay them
    more than they bid: the plan carries the ``price``.
    """

    summary = (
        "The paper's modified Dutch auction: prices fall from the reward until a coprocessor takes them."
    )
    settings = MappingProxyType({"bidding": _BIDDING, "ticks": _TICKS})

    def auction(self, settings: Mapping[str, str]) -> Auction:
        """See `_Auctioneer.auction`."""
        return FallingClock(ticks=int(settings["ticks"]))


class ReverseDutchAuction(_Auctioneer):
    """The rising clock of real proof markets: whoever needs least takes the task first.

    See `bondwork.market.auction.RisingClock`.
    """

    summary = "Rising prices, as in real proof markets: whoever needs least takes the task first."
    settings = MappingProxyType({"bidding": _BIDDING, "ticks": _TICKS})

    def auction(self, settings: Mapping[str, str]) -> Auction:
        """See `_Auctioneer.auction`."""
        return RisingClock(ticks=int(settings["ticks"]))


class FirstPriceAuction(_Auctioneer):
    """Sealed bids; the offers best for their operators win and are paid what they ask."""

    summary = "Sealed bids: the best offers win, and are paid what they ask."
    settings = MappingProxyType({"bidding": _BIDDING})

    def auction(self, settings: Mapping[str, str]) -> Auction:
        """See `_Auctioneer.auction`."""
        return SealedBids()


class SecondPriceAuction(_Auctioneer):
    """Sealed bids; winners are paid what makes them as good as the best other offer for the task."""

    summary = "Sealed bids: the best offers win, and are paid up to what the next best would leave."
    settings = MappingProxyType({"bidding": _BIDDING})

    def auction(self, settings: Mapping[str, str]) -> Auction:
        """See `_Auctioneer.auction`."""
        return SealedBids(second_price=True)


class _Room:
    """The limits of the round, as an auction sees them."""

    def __init__(self, instance: Instance, program: Program) -> None:
        self.filling = Filling(program)
        self.size = len(instance.coprocessors) + len(instance.operators)
        limits, parts = program.limits, []
        for kind, capacity, first in (
            (LimitKind.CAPACITY, instance.coprocessors.capacity, 0),
            (LimitKind.OPERATOR_CAPACITY, instance.operators.capacity, len(instance.coprocessors)),
        ):
            rows = limits.of_kind(kind)
            parts.append(
                (rows, limits.owner[rows] + first, capacity[limits.owner[rows], limits.detail[rows]])
            )
        self.rows = np.concatenate([each[0] for each in parts]).astype(np.int64)
        self.owner = np.concatenate([each[1] for each in parts]).astype(np.int64)
        self.capacity = np.concatenate([each[2] for each in parts])
        self.held = limits.committed[self.rows]

    def load(self) -> FloatArray:
        """See `bondwork.market.auction.Room`."""
        used = self.held + self.filling.activity[self.rows]
        share = np.divide(used, self.capacity, out=np.ones(len(used)), where=self.capacity > 0.0)
        load = np.zeros(self.size)
        np.maximum.at(load, self.owner, share)
        return load

    def take(self, column: int) -> bool:
        """See `bondwork.market.auction.Room`."""
        return self.filling.add(column)
