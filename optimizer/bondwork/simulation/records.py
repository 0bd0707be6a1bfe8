"""What is kept of a replication: totals of every period, what each came to, and everybody's periods."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bondwork.arrays import FloatArray, IntArray
    from bondwork.simulation.rules import Rules

#: Totals of a period, in this order. Amounts are in smallest units.
TOTALS = (
    "demand",  # tasks asked for
    "tasks",  # of operators who are there
    "done",  # tasks taken for done
    "failed",  # tasks that failed
    "wrong",  # tasks taken for done whose result was wrong
    "pieces",  # executions given to coprocessors
    "own",  # executions by operators themselves
    "reward",  # earned by operators
    "paid",  # by operators, to coprocessors and for their own executions
    "slashed",
    "forfeited",  # collateral
    "returned",  # of it to operators
    "incentive",  # load incentives earned, less those paid
    "cost",  # of all work done, to whoever did it
    "checks",  # by validators
    "harm",  # of wrong results, to clients
    "shortfall",  # what nobody could pay
    "operators",  # who are there
    "coprocessors",
    "rescued",  # tasks that failed and were done at the second chance
)

#: Loads from 0 to 1 fall into so many bins, in which incomes are summed up.
LOAD_BINS = 20


@dataclass(slots=True, eq=False)
class Records:
    """Arrays of T periods, V operators and C coprocessors; amounts in smallest units.

    Attributes
    ----------
    totals
        Shape (T, len(TOTALS)).
    op_total
        Shape (V, 6): reward, paid, slashed, given back, tasks, succeeded; over all periods.
    op_periods, op_left
        Shape (V,). Periods in which the slot was taken; the first period without its first operator, T if it
        stayed.
    op_reputation, op_reputation_mean
        Shape (V,). Last believed success probability while there, and the sum of them over its periods.
    cp_total
        Shape (C, 5): income, forfeited, pieces, succeeded, incentive.
    trade
        Shape (V, C). Pieces of work given by whom to whom.
    load_bins
        Shape (LOAD_BINS, 3). Of coprocessors' periods by load: how many, sum and sum of squares of their
        income in currency.
    reward, net, stake, reputation, active
        Shape (T, V), or (0, V) where no detail is kept. Of each period.
    load, income, pieces, incentive, amplitude
        Shape (T, C) or (0, C). ``amplitude`` is the load curve's A.
    """

    totals: IntArray
    op_total: IntArray
    op_periods: IntArray
    op_left: IntArray
    op_reputation: FloatArray
    op_reputation_mean: FloatArray
    cp_total: IntArray
    trade: IntArray
    load_bins: FloatArray
    reward: IntArray
    net: IntArray
    stake: IntArray
    reputation: FloatArray
    active: IntArray
    load: FloatArray
    income: IntArray
    pieces: IntArray
    incentive: IntArray
    amplitude: FloatArray

    @classmethod
    def empty(cls, rules: Rules, *, detail: bool) -> Records:
        """Room for a replication."""
        t, v, c = rules.periods, rules.operator_slots, rules.coprocessor_slots
        kept = t if detail else 0
        return cls(
            totals=np.zeros((t, len(TOTALS)), dtype=np.int64),
            op_total=np.zeros((v, 6), dtype=np.int64),
            op_periods=np.zeros(v, dtype=np.int64),
            op_left=np.full(v, t),
            op_reputation=np.zeros(v),
            op_reputation_mean=np.zeros(v),
            cp_total=np.zeros((c, 5), dtype=np.int64),
            trade=np.zeros((v, c), dtype=np.int64),
            load_bins=np.zeros((LOAD_BINS, 3)),
            reward=np.zeros((kept, v), dtype=np.int64),
            net=np.zeros((kept, v), dtype=np.int64),
            stake=np.zeros((kept, v), dtype=np.int64),
            reputation=np.zeros((kept, v)),
            active=np.zeros((kept, v), dtype=np.int64),
            load=np.zeros((kept, c)),
            income=np.zeros((kept, c), dtype=np.int64),
            pieces=np.zeros((kept, c), dtype=np.int64),
            incentive=np.zeros((kept, c), dtype=np.int64),
            amplitude=np.zeros((kept, c)),
        )

    def arrays(self) -> dict[str, np.ndarray]:
        """Everything by name, to be stored."""
        return {each.name: getattr(self, each.name) for each in dataclasses.fields(self)}

    @classmethod
    def restore(cls, arrays: Mapping[str, np.ndarray]) -> Records:
        """Take stored records up again."""
        return cls(**{each.name: np.array(arrays[each.name]) for each in dataclasses.fields(cls)})

    def total(self, name: str) -> IntArray:
        """One total of every period. Shape (T,)."""
        return self.totals[:, TOTALS.index(name)]

    @property
    def has_detail(self) -> bool:
        """Whether everybody's periods are kept."""
        return len(self.reward) > 0
