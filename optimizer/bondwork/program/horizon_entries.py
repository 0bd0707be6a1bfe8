"""What each decision takes of the limits of a later period: entries of the matrix, by formula.

A decision is a team: an offer by itself is a team of one. An entry is an amount times the share of it that
still counts. The amount is a number of a member, or the slashing of the claim, which may be random. All of it
counts while it is held. Once a member is released, what it forfeited counts against its collateral, all or
nothing; the stake of a claim counts until a quorum of released members has succeeded.
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
    from bondwork.problem.teams import Teams

#: Limits on what is expected to be lost.
EXPECTED = (
    LimitKind.EXPECTED_LOSS_NETWORK,
    LimitKind.EXPECTED_LOSS_OPERATOR,
    LimitKind.EXPECTED_LOSS_COPROCESSOR,
)

#: Limits against which a forfeit counts after the release.
FORFEITABLE = (LimitKind.COLLATERAL, LimitKind.STAKE)

#: Limits on what becomes of a claim: they are about a team, all others about one of its members.
OF_CLAIM = (LimitKind.STAKE, *EXPECTED)


@dataclass(frozen=True, slots=True, eq=False)
class Entries:
    """E entries of the decisions of one point in the rows of a period.

    Attributes
    ----------
    row, column
        Shape (E,). Row of the period's limits; team of the decision point.
    member
        Shape (E,). Place among the members of all teams of the one that the entry is about; of limits on
        what becomes of the claim the first of the team.
    amount
        Shape (E,). What is taken, or, where ``by_slashing``, the factor of the claim's slashing.
    by_slashing
        Shape (E,), bool.
    """

    row: IntArray
    column: IntArray
    member: IntArray
    amount: FloatArray
    by_slashing: BoolArray

    def __post_init__(self) -> None:
        freeze_fields(self, *self.__slots__)

    def __len__(self) -> int:
        return len(self.row)

    def select(self, which: BoolArray) -> Entries:
        """Return some of the entries."""
        return Entries(*(getattr(self, name)[which] for name in self.__slots__))


def entries_of(decided: Instance, teams: Teams, limits: Limits) -> Entries:
    """List what teams of a decision point take of limits, their own or those of a later period.

    Parameters
    ----------
    decided
        The decision point as a round.
    teams
        Its teams that can be chosen.
    limits
        Of the point itself or of a later one; operators, coprocessors and resources are the same in both.
        Rows of tasks are left out: they concern their own period only.
    """
    offers, member = decided.offers, teams.member
    team, first = teams.team, teams.start[:-1]
    coprocessor = offers.coprocessor[member]
    executes = np.where(offers.is_self[member], offers.operator[member], -1)
    operator = decided.claims.operator[teams.claim]
    slashing = decided.claims.slashing[teams.claim]
    failure = 1.0 - teams.success
    parts: list[tuple[IntArray, IntArray, FloatArray, bool]] = []
    for row, (kind, owner, detail) in enumerate(
        zip(limits.kind.tolist(), limits.owner.tolist(), limits.detail.tolist(), strict=True)
    ):
        match LimitKind(kind):
            case LimitKind.CAPACITY:
                mine, amount = coprocessor == owner, offers.work[member, detail]
            case LimitKind.OPERATOR_CAPACITY:
                mine, amount = executes == owner, offers.work[member, detail]
            case LimitKind.COLLATERAL:
                mine, amount = coprocessor == owner, offers.collateral[member]
            case LimitKind.DEADLINE:
                due = decided.tasks.deadline[offers.task[member]] <= limits.deadline[row]
                mine, amount = (coprocessor == owner) & due, offers.duration[member]
            case LimitKind.STAKE:
                mine, amount = operator == owner, np.ones(len(teams))
            case LimitKind.EXPECTED_LOSS_NETWORK:
                mine, amount = np.ones(len(teams), dtype=bool), failure
            case LimitKind.EXPECTED_LOSS_OPERATOR:
                mine, amount = operator == owner, failure
            case LimitKind.EXPECTED_LOSS_COPROCESSOR:
                mine, amount = coprocessor == owner, teams.blame
            case _:
                continue
        by_slashing = kind in OF_CLAIM
        size = amount
        if by_slashing:
            size = (slashing if len(amount) == len(teams) else slashing[team]) * amount
        found = np.flatnonzero(mine & (size > 0.0))
        of_team = kind != LimitKind.EXPECTED_LOSS_COPROCESSOR and by_slashing
        place = first[found] if of_team else found
        parts.append((np.full(len(found), row), place, amount[found], by_slashing))
    place = _joined([part[1] for part in parts])
    return Entries(
        _joined([part[0] for part in parts]),
        team[place],
        place,
        np.concatenate([np.zeros(0), *(part[2] for part in parts)]),
        np.concatenate([np.zeros(0, dtype=bool), *(np.full(len(part[0]), part[3]) for part in parts)]),
    )


def _joined(parts: list[IntArray]) -> IntArray:
    return np.concatenate([np.zeros(0, dtype=np.int64), *parts]).astype(np.int64)
