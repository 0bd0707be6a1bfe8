"""What a prover learns on a market: who fails how often, how long proofs take, how fast rivals are."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from bondwork.market.locking import Rivals
from bondwork.reputation.ledger import ReputationLedger
from bondwork.reputation.models import ForgettingBeta
from bondwork.uncertainty.history import OutcomeHistory

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bondwork.arrays import BoolArray, FloatArray, IntArray
    from bondwork.replay.market import Market
    from bondwork.replay.market_run import Ended, View

#: Shares of the ramp between which rivals' locks are counted; the last cell is the time after the ramp.
_EDGES = np.linspace(0.0, 1.0, 9)

#: Prices of a megacycle after the ramp that part orders into groups, of which each has its rivals.
_GROUPS = (4e-8, 5.5e-8)

#: What is thought of rivals before anything is seen: locks and seconds in each cell.
_PRIOR_LOCKS, _PRIOR_SECONDS = 0.5, 1800.0


class Failures:
    """How often the proofs of each requestor fail: a beta law for each (`bondwork.reputation`).

    Parameters
    ----------
    mean, size
        Of the law of requestors of whom nothing is known.
    keep
        Share of the past that a batch of outcomes leaves.
    """

    def __init__(self, mean: float = 0.95, size: float = 10.0, keep: float = 0.9995) -> None:
        model = ForgettingBeta(keep, mean, size)
        self.ledger = ReputationLedger(model, (), model.start(0), 0)
        self._batch = 0

    def learn(self, requestors: Sequence[int], failed: Sequence[bool]) -> None:
        """Take in a batch of outcomes."""
        if requestors:
            self._batch += 1
            rows = [(str(self._batch), str(r), 1, int(f)) for r, f in zip(requestors, failed, strict=True)]
            self.ledger.update(OutcomeHistory.from_rows(rows))

    def success(self, requestors: IntArray) -> FloatArray:
        """Forecast the chance of success of work of each requestor."""
        names, place = np.unique(requestors, return_inverse=True)
        mean: FloatArray = self.ledger.forecast([str(each) for each in names.tolist()]).mean[place]
        return mean


class Durations:
    """How long proofs take over their nominal time: a lognormal law, mean and deviation of the logarithm."""

    def __init__(self) -> None:
        # as if 20 proofs had been seen that took 10% longer or shorter
        self._count, self._sum, self._squares = 20.0, 0.0, 20.0 * 0.1**2

    def learn(self, ratios: FloatArray) -> None:
        """Take in proofs' times over their nominal times."""
        logs = np.log(ratios)
        self._count += len(logs)
        self._sum += float(logs.sum())
        self._squares += float((logs**2).sum())

    @property
    def mean(self) -> float:
        """Mean of a proof's time over its nominal time."""
        centre, spread = self._law()
        return math.exp(centre + spread**2 / 2.0)

    def in_time(self, seconds: FloatArray, left: FloatArray) -> FloatArray:
        """Chance that work of a nominal time is done within the time that is left."""
        from scipy.special import ndtr

        centre, spread = self._law()
        with np.errstate(divide="ignore"):
            z = (np.log(np.maximum(left, 0.0) / seconds) - centre) / spread
        chance: FloatArray = ndtr(z)
        return chance

    def _law(self) -> tuple[float, float]:
        centre = self._sum / self._count
        return centre, math.sqrt(max(self._squares / self._count - centre**2, 1e-4))


class RivalRates:
    """How fast rivals lock, by how far up the ramp an order is and how dear it becomes.

    Locks and seconds are counted in cells; the rate that `Rivals` takes, a constant and a part that grows
    with the share of the ramp, is fitted to the cells by weighted least squares.
    """

    def __init__(self, market: Market) -> None:
        orders = market.orders
        self._orders = orders
        self.group: IntArray = np.searchsorted(_GROUPS, orders.high / orders.mcycles)
        shape = (len(_GROUPS) + 1, len(_EDGES))
        self._locks = np.full(shape, _PRIOR_LOCKS)
        self._seconds = np.full(shape, _PRIOR_SECONDS)
        self._fit: tuple[FloatArray, FloatArray] | None = None
        self._last = 0.0

    def learn(self, view: View) -> None:
        """Count what happened since the last decision; orders of our own stop counting when they are ours."""
        passed, self._last = view.now - self._last, view.now
        lost = np.array([i for i, _ in view.lost], dtype=np.int64)
        when = np.array([t for _, t in view.lost])
        for which, at, seconds in (
            (view.open, view.now, np.minimum(view.now - self._orders.at[view.open], passed)),
            (lost, when, np.clip(when - (view.now - passed), 0.0, passed)),
        ):
            np.add.at(self._seconds, (self.group[which], self._cell(which, at)), seconds)
        np.add.at(self._locks, (self.group[lost], self._cell(lost, when)), 1.0)
        self._fit = None

    def rates(self, which: IntArray) -> Rivals:
        """What rivals are thought to do about some orders."""
        base, rise = self._fitted()
        return Rivals(base[self.group[which]], rise[self.group[which]])

    def _cell(self, which: IntArray, at: float | FloatArray) -> IntArray:
        share = self._orders.prices(which).share(at)
        cell: IntArray = np.searchsorted(_EDGES, share, side="right") - 1
        return cell

    def _fitted(self) -> tuple[FloatArray, FloatArray]:
        if self._fit is None:
            share = np.append((_EDGES[1:] + _EDGES[:-1]) / 2.0, 1.0)
            weight = self._seconds
            rate = self._locks / weight
            total = weight.sum(axis=1, keepdims=True)
            x = share - (weight @ share)[:, None] / total
            mean = (weight * rate).sum(axis=1) / total[:, 0]
            rise = np.maximum((weight * x * rate).sum(axis=1) / (weight * x * x).sum(axis=1), 0.0)
            base = np.maximum(mean - rise * (weight @ share) / total[:, 0], 0.0)
            self._fit = base, rise
        return self._fit


def proved(ended: Sequence[Ended], deadline: FloatArray) -> BoolArray:
    """Which proofs ran to their end; one that was given up at the deadline says nothing of its requestor."""
    late: BoolArray = np.array([each.end < deadline[each.order] for each in ended], dtype=bool)
    return late
