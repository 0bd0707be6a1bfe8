"""What whole paths lose, which limits on tails and the mean-risk objective measure over a horizon.

A claim that was chosen at a node loses its slashing at the leaves at which fewer than its quorum of members
succeeded, whenever that was seen: a number for each column of a node and each leaf below it. So every
`bondwork.risk.measure.Measure` of one stage measures a horizon, over the columns of all nodes one after the
other and the leaves of the tree as its scenarios. A leaf is a way in which everything ends: a node with which
a path ends, and what becomes of what is still held there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bondwork.problem.release import THIS_ROUND
from bondwork.problem.teams import held_teams
from bondwork.risk.limits import measures_of, priced_measure
from bondwork.risk.losses import ScopeLoss
from bondwork.uncertainty.outcomes import OutcomeSample

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bondwork.arrays import BoolArray, FloatArray, IntArray
    from bondwork.problem.teams import Teams
    from bondwork.risk.measure import Measure
    from bondwork.uncertainty.horizon import HorizonTree

#: Cells of a table of outcomes that are put together at a time.
_CHUNK = 4_000_000


@dataclass(frozen=True, slots=True)
class PathMeasures:
    """Measures over the columns of all nodes.

    Attributes
    ----------
    limits
        Of the limits on tails, one for each member of a scope, as the round states them.
    priced
        Of the mean-risk objective; ``None`` where it has none.
    """

    limits: list[Measure]
    priced: Measure | None


def column_offsets(tree: HorizonTree, teams: Sequence[Teams]) -> IntArray:
    """Where each node's columns begin among those of all nodes; behind them how many there are."""
    sizes = [len(teams[point]) if point >= THIS_ROUND else 0 for point in tree.period.tolist()]
    return np.cumsum([0, *sizes], dtype=np.int64)


def path_measures(tree: HorizonTree, teams: Sequence[Teams]) -> PathMeasures:
    """Make the measures of a round's limits on tails, and of its objective, over the leaves of its tree.

    Parameters
    ----------
    tree
        From `bondwork.uncertainty.horizon.horizon_tree`.
    teams
        By decision point, what the columns of its nodes decide about.
    """
    instance = tree.horizon.instance
    if not tree.leaves:
        return PathMeasures([], None)
    leaves = Leaves(tree)
    chosen, held = _Chosen(leaves, teams), _Held(leaves)
    priced = priced_measure(instance, chosen, held) if instance.objective.risk_weight > 0.0 else None
    return PathMeasures(measures_of(instance, chosen, held), priced)


@dataclass(frozen=True, slots=True, eq=False)
class Group:
    """The leaves behind all nodes of one decision point with which paths end: N nodes with L leaves each.

    Attributes
    ----------
    point
        The decision point.
    first
        Number of the first leaf; leaf l behind the i-th node is ``first + i * L + l``.
    ancestors
        By decision point of the path, shape (N,): the node of each that a path leads through.
    size
        L.
    """

    point: int
    first: int
    ancestors: dict[int, IntArray]
    size: int

    @property
    def nodes(self) -> IntArray:
        """The N nodes."""
        return self.ancestors[self.point]


class Leaves:
    """The leaves of a tree, and what is seen on the way to each.

    Parameters
    ----------
    tree
        A tree whose ``leaves`` are known.
    """

    def __init__(self, tree: HorizonTree) -> None:
        self.tree = tree
        self.groups: list[Group] = []
        chances, first = [], 0
        for point, behind in tree.leaves.items():
            nodes = np.flatnonzero(tree.period == point)
            ancestors, above = {}, nodes
            for each in tree.horizon.path(point)[::-1]:
                ancestors[each] = above
                above = tree.tree.parent[above]
            self.groups.append(Group(point, first, ancestors, len(behind.probability)))
            chances.append(np.outer(tree.tree.probability[nodes], behind.probability).ravel())
            first += len(chances[-1])
        total = np.concatenate(chances)
        self.probability: FloatArray = total / total.sum()

    def succeeded(self, group: Group, point: int, items: IntArray, *, commitments: bool = False) -> BoolArray:
        """Whether offers of a decision point of the path, or commitments, succeed. Shape (N * L, items)."""
        tree, count = self.tree, len(group.nodes)
        decided = tree.horizon.rounds[point]
        p = (decided.commitments if commitments else decided.offers).success_probability
        found: BoolArray = np.repeat(p[None, items] >= 1.0, count * group.size, axis=0)
        for each in tree.horizon.path(group.point)[1:]:
            seen, realisation = tree.seen[each], tree.realisation[group.ancestors[each]]
            mine, where = _places(seen.point, seen.item, seen.is_commitment, point, items, commitments)
            found[:, where] = np.repeat(seen.outcomes[realisation][:, mine], group.size, axis=0)
        behind = tree.leaves[group.point]
        mine, where = _places(behind.point, behind.item, behind.is_commitment, point, items, commitments)
        found[:, where] = np.tile(behind.outcomes[:, mine], (count, 1))
        return found


def _places(
    point: IntArray, item: IntArray, is_commitment: BoolArray, of: int, items: IntArray, commitments: bool
) -> tuple[IntArray, IntArray]:
    """Which of the things that are seen are among some items, and where there."""
    seen = np.flatnonzero((point == of) & (is_commitment == commitments) & np.isin(item, items))
    number = np.full(int(items.max(initial=-1)) + 1, -1)
    number[items] = np.arange(len(items))
    return seen, number[item[seen]]


class _Chosen:
    """What is chosen at the nodes of a tree, as a side that loses: a column for each team at each node."""

    def __init__(self, leaves: Leaves, teams: Sequence[Teams]) -> None:
        self.leaves = leaves
        self.tree = leaves.tree
        self.teams = teams
        self.offsets = column_offsets(self.tree, teams)
        self.size = int(self.offsets[-1])

    def loss(self, scope: str, member: int) -> ScopeLoss:
        """Slashing of the network, an operator, or the work given to a coprocessor."""
        return self._made(scope, member, by_collateral=False)

    def forfeits(self, member: int) -> ScopeLoss:
        """Collateral that a coprocessor forfeits over a path."""
        return self._made("coprocessor", member, by_collateral=True)

    def reach(self, columns: IntArray) -> FloatArray:
        """Probability of the node that each column stands at."""
        node = np.searchsorted(self.offsets, columns, side="right") - 1
        likely: FloatArray = self.tree.tree.probability[node]
        return likely

    def _made(self, scope: str, member: int, *, by_collateral: bool) -> ScopeLoss:
        columns, scenarios = [np.zeros(0, dtype=np.int64)], [np.zeros(0, dtype=np.int64)]
        weight = np.zeros(self.size)
        for group in self.leaves.groups:
            for point in self.tree.horizon.path(group.point):
                for team, amount, failed in self._failures(group, point, scope, member, by_collateral):
                    node = group.ancestors[point]
                    at = self.offsets[node][:, None] + team
                    weight[at] = amount
                    leaf, which = np.nonzero(failed)
                    columns.append(at[leaf // group.size, which])
                    scenarios.append(group.first + leaf)
        column, scenario = np.concatenate(columns), np.concatenate(scenarios)
        loses = weight[column] > 0.0  # a random slashing may be 0 at a node
        column, scenario = column[loses], scenario[loses]
        order = np.lexsort((scenario, column))
        kept = np.flatnonzero(weight > 0.0)
        start = np.searchsorted(column[order], np.append(kept, self.size))
        sample = OutcomeSample(
            start.astype(np.int64), scenario[order].astype(np.int32), self.leaves.probability
        )
        nothing = np.zeros(len(self.leaves.probability))
        return ScopeLoss(kept, self.size, weight[kept], sample, nothing)

    def _failures(
        self, group: Group, point: int, scope: str, member: int, by_collateral: bool
    ) -> Iterator[tuple[IntArray, FloatArray, BoolArray]]:
        """Some teams of a decision point, what each may lose at each node, and at which leaves it does.

        Shapes (t,), (N, t) and (N * L, t).
        """
        decided, teams = self.tree.horizon.rounds[point], self.teams[point]
        slashing = self._slashing(group, point)
        loses: BoolArray = np.any(slashing > 0.0, axis=0)
        mine = loses[teams.claim]
        if scope == "operator":
            mine &= decided.claims.operator[teams.claim] == member
        place = np.full(len(teams), -1)
        if scope == "coprocessor":
            own = np.flatnonzero(decided.offers.coprocessor[teams.member] == member)
            place[teams.team[own]] = own
            mine = place >= 0 if by_collateral else mine & (place >= 0)
        if by_collateral:
            mine &= decided.offers.collateral[teams.member[place]] > 0.0
        found = np.flatnonzero(mine)
        rows = len(group.nodes) * group.size
        for some in np.array_split(found, max(1, -(-len(found) * rows // _CHUNK))):
            if not len(some):
                continue
            part = teams.select(some)
            offers, which = np.unique(part.member, return_inverse=True)
            good = self.leaves.succeeded(group, point, offers)[:, which]
            wins = np.add.reduceat(good, part.start[:-1], axis=1, dtype=np.int64)
            failed = wins < part.quorum
            amount = slashing[:, part.claim]
            if scope == "coprocessor":
                own = place[some] - teams.start[some] + part.start[:-1]
                failed = ~good[:, own] if by_collateral else failed & ~good[:, own]
            if by_collateral:
                posted = decided.offers.collateral[teams.member[place[some]]]
                amount = np.repeat(posted[None], len(group.nodes), axis=0)
            yield some, amount, failed

    def _slashing(self, group: Group, point: int) -> FloatArray:
        """Slashing of every claim of a decision point at the nodes of a path's end. Shape (N, claims)."""
        decided, count = self.tree.horizon.rounds[point], len(group.nodes)
        table = np.repeat(decided.claims.slashing[None], count, axis=0)
        if point != THIS_ROUND:
            seen, realisation = self.tree.seen[point], self.tree.realisation[group.ancestors[point]]
            for column, law in enumerate(seen.laws):
                if law.kind == "slashing":
                    table[:, list(law.targets)] = seen.amounts[realisation, column][:, None]
        return table


class _Held:
    """Commitments as a side that loses, whatever is chosen."""

    def __init__(self, leaves: Leaves) -> None:
        instance = leaves.tree.horizon.instance
        self.instance = instance
        self.teams = held_teams(instance)
        self.probability = leaves.probability
        self.good = np.concatenate(
            [
                leaves.succeeded(group, THIS_ROUND, np.arange(len(instance.commitments)), commitments=True)
                for group in leaves.groups
            ]
        )

    def loss(self, scope: str, member: int) -> ScopeLoss:
        """Slashing of the network, an operator, or the work given to a coprocessor."""
        claims, teams, held = self.instance.claims, self.teams, self.instance.commitments
        good = self.good[:, teams.member]
        wins = np.add.reduceat(good, teams.start[:-1], axis=1, dtype=np.int64) if len(teams) else good
        failed = wins < teams.quorum
        mine = claims.slashing[teams.claim] > 0.0
        if scope == "operator":
            mine &= claims.operator[teams.claim] == member
        if scope == "coprocessor" and len(teams):
            own = held.coprocessor[teams.member] == member
            mine &= np.logical_or.reduceat(own, teams.start[:-1])
            failed &= np.logical_or.reduceat(~good & own, teams.start[:-1], axis=1)
        chosen = np.flatnonzero(mine)
        sample = OutcomeSample.from_dense(failed[:, chosen], self.probability)
        nothing = np.zeros(len(self.probability))
        return ScopeLoss(chosen, len(teams), claims.slashing[teams.claim[chosen]], sample, nothing)

    def forfeits(self, member: int) -> ScopeLoss:
        """Refuse: commitments' collateral is off the free collateral already."""
        raise TypeError("what commitments posted is no longer free")

    def reach(self, columns: IntArray) -> FloatArray:
        """1: commitments end on every path."""
        return np.ones(len(columns))
