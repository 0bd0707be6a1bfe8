"""The numbers of the nodes of one period: what was seen on the way, put into rows and entries."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bondwork.base.money import as_counted
from bondwork.problem.instance import NOBODY
from bondwork.problem.limits import LimitKind, left_of
from bondwork.problem.release import THIS_ROUND
from bondwork.program.horizon_entries import FORFEITABLE

if TYPE_CHECKING:
    from bondwork.arrays import BoolArray, FloatArray, IntArray
    from bondwork.problem.limits import Limits
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

    def entries(self, point: int, found: Entries) -> FloatArray:
        """Values of the entries of a decision point of the path. Shape (N, E)."""
        decided = self.tree.horizon.rounds[point]
        amount = np.repeat(found.amount[None], len(self.nodes), axis=0)
        if found.by_slashing.any():
            claim = decided.offers.claim[found.offer[found.by_slashing]]
            amount[:, found.by_slashing] *= self._slashing(point)[:, claim]
        money = np.isin(self.limits.kind[found.row], FORFEITABLE)
        amount[:, money] = as_counted(amount[:, money], self.decimals)
        if point == self.point:
            return amount
        released = self.tree.horizon.released(point, self.point)[found.offer]
        gone = released & np.isin(self.limits.kind[found.row], FORFEITABLE)
        for k in np.unique(found.offer[gone]).tolist():
            mine = gone & (found.offer == k)
            failed = ~self._succeeded(point, k, float(decided.offers.success_probability[k]))
            amount[:, mine] *= failed[:, None]
        return amount

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

    def _succeeded(self, point: int, item: int, p: float, *, commitment: bool = False) -> BoolArray:
        """Whether something that has been released succeeded, by node. Shape (N,)."""
        for each in self.path[1:]:
            seen = self.tree.seen[each]
            mine = (seen.item == item) & (seen.point == point) & (seen.is_commitment == commitment)
            if mine.any():
                column = int(np.flatnonzero(mine)[0])
                succeeded: BoolArray = seen.outcomes[self.realisation[each], column]
                return succeeded
        # a certain outcome, or one that no later row asks for
        return np.full(len(self.nodes), p >= 1.0)

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
        for k in range(len(held)):
            p, succeeded = float(held.success_probability[k]), returned[:, k]
            for row in range(len(limits)):
                if not self._concerns(row, k):
                    continue
                match LimitKind(int(limits.kind[row])):
                    case LimitKind.CAPACITY | LimitKind.OPERATOR_CAPACITY:
                        taken[:, row] += 0.0 if released[k] else held.work[k, limits.detail[row]]
                    case LimitKind.COLLATERAL:
                        taken[:, row] -= np.where(succeeded, collateral[k], 0.0)
                    case LimitKind.STAKE:
                        taken[:, row] += np.where(succeeded, 0.0, at_stake[k])
                    case _:
                        taken[:, row] += 0.0 if released[k] else slashing[k] * (1.0 - p)
        return left_of(np.repeat(budget[None], len(self.nodes), axis=0), taken)

    def returned(self) -> BoolArray:
        """Which commitments are released and have succeeded, by node. Shape (N, K)."""
        held = self.tree.horizon.instance.commitments
        found = np.zeros((len(self.nodes), len(held)), dtype=bool)
        if self.point == THIS_ROUND:
            return found
        for k in np.flatnonzero(self.tree.horizon.commitments_released(self.point)).tolist():
            p = float(held.success_probability[k])
            found[:, k] = self._succeeded(THIS_ROUND, k, p, commitment=True)
        return found

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
