"""The numbers of the nodes of one period: what was seen on the way, put into rows and entries."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bondwork.base.money import as_counted
from bondwork.problem.instance import NOBODY
from bondwork.problem.limits import LimitKind, left_of
from bondwork.problem.release import THIS_ROUND
from bondwork.problem.teams import held_teams
from bondwork.program.horizon_entries import EXPECTED, FORFEITABLE
from bondwork.program.horizon_open import open_loss

if TYPE_CHECKING:
    from bondwork.arrays import BoolArray, FloatArray, IntArray
    from bondwork.problem.instance import Instance
    from bondwork.problem.limits import Limits
    from bondwork.problem.teams import Teams
    from bondwork.program.horizon_entries import Entries
    from bondwork.uncertainty.horizon import HorizonTree


class NodeNumbers:
    """Works out entries and bounds of all nodes of one decision point at once.

    Parameters
    ----------
    tree
        The tree.
    point
        The decision point.
    limits
        Its rows.
    nodes
        Its N nodes.
    """

    def __init__(self, tree: HorizonTree, point: int, limits: Limits, nodes: IntArray) -> None:
        self.tree = tree
        self.point = point
        self.limits = limits
        self.nodes = nodes
        self.decimals = tree.horizon.instance.decimals
        self.path = tree.horizon.path(point)
        # realisation of every decision point of the path, by node
        self.realisation: dict[int, IntArray] = {}
        above = nodes
        for each in self.path[::-1]:
            self.realisation[each] = tree.realisation[above]
            above = tree.tree.parent[above]

    def entries(self, point: int, teams: Teams, found: Entries) -> FloatArray:
        """Values of the entries of the teams of a decision point of the path. Shape (N, E)."""
        decided = self.tree.horizon.rounds[point]
        amount = np.repeat(found.amount[None], len(self.nodes), axis=0)
        kind = self.limits.kind[found.row]
        released = np.zeros(len(teams.member), dtype=bool)
        if point != self.point:
            released = self.tree.horizon.released(point, self.point)[teams.member]
        good = self._succeeded(point)[:, teams.member] & released if released.any() else None
        if good is not None and not teams.is_single:
            halfway = np.add.reduceat(released, teams.start[:-1], dtype=np.int64) > 0
            for k in np.flatnonzero(np.isin(kind, EXPECTED) & halfway[found.column]).tolist():
                amount[:, k] = self._still_lost(decided, teams, found, k, good, released)
        if found.by_slashing.any():
            claim = teams.claim[found.column[found.by_slashing]]
            amount[:, found.by_slashing] *= self._slashing(point)[:, claim]
        money = np.isin(self.limits.kind[found.row], FORFEITABLE)
        amount[:, money] = as_counted(amount[:, money], self.decimals)
        if good is None:
            return amount
        mine = np.flatnonzero((kind == LimitKind.COLLATERAL) & released[found.member])
        amount[:, mine] *= ~good[:, found.member[mine]]
        mine = np.flatnonzero(kind == LimitKind.STAKE)
        wins = np.add.reduceat(good, teams.start[:-1], axis=1, dtype=np.int64)
        amount[:, mine] *= (wins < teams.quorum)[:, found.column[mine]]
        return amount

    def _still_lost(
        self,
        decided: Instance,
        teams: Teams,
        found: Entries,
        k: int,
        good: BoolArray,
        released: BoolArray,
    ) -> FloatArray:
        """What an entry about the expected loss of a team of which some are released comes to. Shape (N,)."""
        column, row = int(found.column[k]), int(found.row[k])
        places = np.arange(teams.start[column], teams.start[column + 1])
        done, rest = places[released[places]], places[~released[places]]
        seen_of = open_of = None
        if self.limits.kind[row] == LimitKind.EXPECTED_LOSS_COPROCESSOR:
            executor = decided.offers.coprocessor[teams.member]
            seen_of, open_of = (executor[each] == self.limits.owner[row] for each in (done, rest))
        return open_loss(
            decided,
            good[:, done],
            teams.member[rest],
            int(teams.quorum[column]),
            seen_of=seen_of,
            open_of=open_of,
        )

    def _slashing(self, point: int) -> FloatArray:
        """Slashing of every claim of a decision point, by node. Shape (N, L)."""
        decided = self.tree.horizon.rounds[point]
        table = np.repeat(decided.claims.slashing[None], len(self.nodes), axis=0)
        if point != THIS_ROUND:
            seen = self.tree.seen[point]
            for column, law in enumerate(seen.laws):
                if law.kind == "slashing":
                    amounts = seen.amounts[self.realisation[point], column]
                    table[:, list(law.targets)] = amounts[:, None]
        return table

    def _succeeded(self, point: int, *, commitments: bool = False) -> BoolArray:
        """Whether offers of a decision point, or commitments, succeeded, if released. Shape (N, n)."""
        decided = self.tree.horizon.rounds[point]
        p = (decided.commitments if commitments else decided.offers).success_probability
        # a certain outcome, or one that no later row asks for
        succeeded = np.repeat(p[None] >= 1.0, len(self.nodes), axis=0)
        for each in self.path[1:]:
            seen = self.tree.seen[each]
            mine = np.flatnonzero((seen.point == point) & (seen.is_commitment == commitments))
            succeeded[:, seen.item[mine]] = seen.outcomes[:, mine][self.realisation[each]]
        return succeeded

    def upper(self) -> FloatArray:
        """Upper bounds of the rows: what commitments leave at each node, and no less than 0. Shape (N, M)."""
        limits = self.limits
        budget = limits.budget.copy()
        money = np.isin(limits.kind, FORFEITABLE)
        budget[money] = as_counted(budget[money], self.decimals)
        taken = np.zeros((len(self.nodes), len(limits)))
        held = self.tree.horizon.instance.commitments
        slashing = self.tree.horizon.instance.claims.slashing[held.claim]
        collateral, at_stake = (as_counted(each, self.decimals) for each in (held.collateral, slashing))
        released = self.tree.horizon.commitments_released(self.point)
        returned = self.returned()
        teams = held_teams(self.tree.horizon.instance)
        first, team = set(teams.first.tolist()), np.empty(len(held), dtype=np.int64)
        team[teams.member] = teams.team
        for k in range(len(held)):
            succeeded, mine = returned[:, k], int(team[k])
            members = teams.member[teams.start[mine] : teams.start[mine + 1]]
            for row in range(len(limits)):
                if not self._concerns(row, k):
                    continue
                match LimitKind(int(limits.kind[row])):
                    case LimitKind.CAPACITY | LimitKind.OPERATOR_CAPACITY:
                        taken[:, row] += 0.0 if released[k] else held.work[k, limits.detail[row]]
                    case LimitKind.COLLATERAL:
                        taken[:, row] -= np.where(succeeded, collateral[k], 0.0)
                    case LimitKind.STAKE:
                        if k in first:
                            wins = returned[:, members].sum(axis=1)
                            taken[:, row] += np.where(wins >= teams.quorum[mine], 0.0, at_stake[k])
                    case _:
                        same = [each for each in members.tolist() if self._concerns(row, each)]
                        if k == same[0] and not released[members].all():
                            lost = self._committed_loss(row, teams, mine, returned, released)
                            taken[:, row] += slashing[k] * lost
        return left_of(np.repeat(budget[None], len(self.nodes), axis=0), taken)

    def _committed_loss(
        self, row: int, teams: Teams, team: int, returned: BoolArray, released: BoolArray
    ) -> FloatArray:
        """How likely commitments of a claim, some of them held, lose it in a limit's sense. Shape (N,)."""
        instance = self.tree.horizon.instance
        places = slice(int(teams.start[team]), int(teams.start[team + 1]))
        members = teams.member[places]
        of_executor = self.limits.kind[row] == LimitKind.EXPECTED_LOSS_COPROCESSOR
        mine = instance.commitments.coprocessor[members] == self.limits.owner[row]
        done, rest = released[members], ~released[members]
        if rest.all():
            lost = teams.blame[places][mine].sum() if of_executor else 1.0 - teams.success[team]
            return np.full(len(self.nodes), float(lost))
        return open_loss(
            instance,
            returned[:, members[done]],
            members[rest],
            int(teams.quorum[team]),
            seen_of=mine[done] if of_executor else None,
            open_of=mine[rest] if of_executor else None,
            held=True,
        )

    def returned(self) -> BoolArray:
        """Which commitments are released and have succeeded, by node. Shape (N, K)."""
        held = self.tree.horizon.instance.commitments
        if self.point == THIS_ROUND:
            return np.zeros((len(self.nodes), len(held)), dtype=bool)
        released = self.tree.horizon.commitments_released(self.point)
        return self._succeeded(THIS_ROUND, commitments=True) & released

    def _concerns(self, row: int, commitment: int) -> bool:
        """Whether a limit is about a commitment."""
        held, owner = self.tree.horizon.instance.commitments, int(self.limits.owner[row])
        match LimitKind(int(self.limits.kind[row])):
            case LimitKind.TASK | LimitKind.DEADLINE:
                return False
            case LimitKind.OPERATOR_CAPACITY:
                own = bool(held.coprocessor[commitment] == NOBODY)
                return own and owner == int(held.operator[commitment])
            case LimitKind.STAKE | LimitKind.EXPECTED_LOSS_OPERATOR:
                return owner == int(held.operator[commitment])
            case LimitKind.EXPECTED_LOSS_NETWORK:
                return True
            case _:
                return owner == int(held.coprocessor[commitment])
