"""What each decision takes of the limits of a later period: entries of the matrix, by formula.

An entry is an amount times the share of it that still counts. The amount is a number of the offer, or the
slashing of its claim, which may be random. All of it counts while the offer is held. Once it is released,
what it forfeited counts against collateral and stake: all or nothing, as its outcome was.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bondwork.arrays import freeze_fields
from bondwork.problem.limits import LimitKind

if TYPE_CHECKING:
    from bondwork.arrays import BoolArray, FloatArray, IntArray
    from bondwork.problem.instance import Instance
    from bondwork.problem.limits import Limits

_EXPECTED = (
    LimitKind.EXPECTED_LOSS_NETWORK,
    LimitKind.EXPECTED_LOSS_OPERATOR,
    LimitKind.EXPECTED_LOSS_COPROCESSOR,
)

#: Limits against which a forfeit counts after the release.
FORFEITABLE = (LimitKind.COLLATERAL, LimitKind.STAKE)


@dataclass(frozen=True, slots=True, eq=False)
class Entries:
    """E entries of the decisions of one point in the rows of a period.

    Attributes
    ----------
    row, offer
        Shape (E,). Row of the period's limits; offer of the decision point.
    amount
        Shape (E,). What the offer takes, or, where ``by_slashing``, the factor of its slashing.
    by_slashing
        Shape (E,), bool.
    """

    row: IntArray
    offer: IntArray
    amount: FloatArray
    by_slashing: BoolArray

    def __post_init__(self) -> None:
        freeze_fields(self, "row", "offer", "amount", "by_slashing")

    def __len__(self) -> int:
        return len(self.row)

    def select(self, which: BoolArray) -> Entries:
        """Return some of the entries."""
        return Entries(self.row[which], self.offer[which], self.amount[which], self.by_slashing[which])


def entries_of(decided: Instance, chosen: IntArray, limits: Limits) -> Entries:
    """List what offers of a decision point take of limits, their own or those of a later period.

    Parameters
    ----------
    decided
        The decision point as a round.
    chosen
        Its offers that can be chosen, ascending.
    limits
        Of the point itself or of a later one; operators, coprocessors and resources are the same in both.
        Rows of tasks are left out: they concern their own period only.
    """
    offers = decided.offers
    failure = 1.0 - offers.success_probability
    ones = np.ones(len(offers))
    executes = np.where(offers.is_self, offers.operator, -1)
    parts: list[tuple[IntArray, IntArray, FloatArray, bool]] = []
    for row, (kind, owner, detail) in enumerate(
        zip(limits.kind.tolist(), limits.owner.tolist(), limits.detail.tolist(), strict=True)
    ):
        match LimitKind(kind):
            case LimitKind.CAPACITY:
                mine, amount = offers.coprocessor == owner, offers.work[:, detail]
            case LimitKind.OPERATOR_CAPACITY:
                mine, amount = executes == owner, offers.work[:, detail]
            case LimitKind.COLLATERAL:
                mine, amount = offers.coprocessor == owner, offers.collateral
            case LimitKind.DEADLINE:
                due = decided.tasks.deadline[offers.task] <= limits.deadline[row]
                mine, amount = (offers.coprocessor == owner) & due, offers.duration
            case LimitKind.STAKE:
                mine, amount = offers.operator == owner, ones
            case LimitKind.EXPECTED_LOSS_NETWORK:
                mine, amount = np.ones(len(offers), dtype=bool), failure
            case LimitKind.EXPECTED_LOSS_OPERATOR:
                mine, amount = offers.operator == owner, failure
            case LimitKind.EXPECTED_LOSS_COPROCESSOR:
                mine, amount = offers.coprocessor == owner, failure
            case _:
                continue
        by_slashing = kind == LimitKind.STAKE or kind in _EXPECTED
        size = np.where(by_slashing, decided.claims.slashing[offers.claim], 1.0) * amount
        found = chosen[mine[chosen] & (size[chosen] > 0.0)]
        parts.append((np.full(len(found), row), found, amount[found], by_slashing))
    return Entries(
        _joined([part[0] for part in parts]),
        _joined([part[1] for part in parts]),
        np.concatenate([np.zeros(0), *(part[2] for part in parts)]),
        np.concatenate([np.zeros(0, dtype=bool), *(np.full(len(part[0]), part[3]) for part in parts)]),
    )


def _joined(parts: list[IntArray]) -> IntArray:
    return np.concatenate([np.zeros(0, dtype=np.int64), *parts]).astype(np.int64)
