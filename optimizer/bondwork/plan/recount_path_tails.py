"""Tails of what whole paths lose, once more, for `verify`: losses by leaf, and what measures make of them.

The tree and its leaves are those of the sampling layer; who loses what where is worked out here again.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from bondwork.base.tolerances import ROW

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bondwork.arrays import BoolArray, FloatArray
    from bondwork.plan.recount_horizon import HorizonRecount
    from bondwork.problem.instance import RiskLimit

#: Decision point of the round itself, as the tree numbers it.
_ROOT = -1


class _Ended(NamedTuple):
    """A claim at the leaves behind one node: what it may lose, for whom, and what became of it at each.

    ``executors`` are coprocessors by name; ``collateral`` is what each posted, 0 for commitments.
    """

    slashing: float
    operator: str
    executors: list[str | None]
    collateral: list[float]
    succeeded: BoolArray
    quorum: int
    is_held: bool

    @property
    def is_bad(self) -> BoolArray:
        """At which leaves fewer than the quorum have succeeded."""
        bad: BoolArray = self.succeeded.sum(axis=1) < self.quorum
        return bad

    def is_in(self, scope: str, name: str) -> bool:
        """Whether it can lose something in a scope."""
        return (
            scope == "network" or name == self.operator if scope != "coprocessor" else name in self.executors
        )

    def is_lost(self, scope: str, name: str) -> BoolArray:
        """At which leaves its slashing is lost in a scope."""
        if scope != "coprocessor":
            return self.is_bad
        mine = [place for place, executor in enumerate(self.executors) if executor == name]
        lost: BoolArray = self.is_bad & ~self.succeeded[:, mine].all(axis=1)
        return lost


@dataclass(frozen=True, slots=True)
class PathReading:
    """A limit on a tail over the horizon: what it may be, what it is, and that of commitments alone.

    ``is_exact`` says whether the tree holds every path.
    """

    ceiling: float
    value: float
    committed: float
    is_exact: bool

    @property
    def permitted(self) -> float:
        """What the value may be: the limit, or what commitments alone take."""
        return max(self.ceiling, self.committed)

    def facts(self) -> tuple[float, float | None, float | None, bool]:
        """Return budget, value outside the sample, its error, and whether the limit holds."""
        if self.is_exact:
            return self.ceiling, self.value, 0.0, self.value <= self.ceiling + 1e-9 * abs(self.ceiling)
        slack = ROW * max(abs(self.ceiling), abs(self.value))
        return self.ceiling, None, None, self.value <= self.ceiling + slack


class PathTails:
    """Losses at every leaf of a plan over later periods.

    Parameters
    ----------
    later
        The plan at every node.
    """

    def __init__(self, later: HorizonRecount) -> None:
        self.later = later
        self.tree = later.tree
        self.instance = later.instance
        self.ends: list[tuple[FloatArray, list[_Ended]]] = []
        for node, point in enumerate(later.period):
            if point in self.tree.leaves:
                behind = self.tree.leaves[point].probability * later.probability[node]
                self.ends.append((behind, [*self._chosen(node, point), *self._held(node, point)]))

    def _chosen(self, node: int, end: int) -> Iterator[_Ended]:
        """What was chosen on the way to a node with which a path ends."""
        for point, decided, team in self.later.path_claims(node):
            succeeded = [self._succeeded(node, end, point, offer, decided.p[offer]) for offer in team]
            coprocessors = [decided.coprocessor[offer] for offer in team]
            yield _Ended(
                decided.slashing[team[0]],
                decided.operator_id(team[0]),
                [self.instance.coprocessors.ids[c] if c >= 0 else None for c in coprocessors],
                [decided.collateral[offer] for offer in team],
                np.column_stack(succeeded),
                decided.teams.quorum[decided.teams.claim[team[0]]],
                is_held=False,
            )

    def _held(self, node: int, end: int) -> Iterator[_Ended]:
        """Commitments."""
        held, teams = self.instance.commitments, self.later.root_teams
        for team in teams.held():
            succeeded = [self._succeeded(node, end, _ROOT, k, teams.held_p[k], commitment=True) for k in team]
            coprocessors = [int(held.coprocessor[k]) for k in team]
            yield _Ended(
                float(self.instance.claims.slashing[held.claim[team[0]]]),
                self.instance.operators.ids[held.operator[team[0]]],
                [self.instance.coprocessors.ids[c] if c >= 0 else None for c in coprocessors],
                [0.0] * len(team),
                np.column_stack(succeeded),
                teams.held_quorum(team),
                is_held=True,
            )

    def _succeeded(
        self, node: int, end: int, point: int, item: int, p: float, *, commitment: bool = False
    ) -> BoolArray:
        """Whether one piece of work succeeds, at the leaves behind a node."""
        behind = self.tree.leaves[end]
        known = self.later.seen_of(node, point, item, p, commitment=commitment)
        if known is not None:
            return np.full(len(behind.probability), known)
        mine = (behind.point == point) & (behind.item == item) & (behind.is_commitment == commitment)
        column = np.flatnonzero(mine)
        if len(column):
            found: BoolArray = behind.outcomes[:, column[0]]
            return found
        return np.ones(len(behind.probability), dtype=bool)  # nobody loses by it

    # measures

    def network_cvar(self, level: float) -> float:
        """CVaR of the network's loss, for the mean-risk objective."""
        return _mean_of_worst(*self._losses("network", "network"), 1.0 - level)

    def read(self, limit: RiskLimit, name: str) -> PathReading:
        """Measure a limit for one member of its scope."""
        ceiling = limit.probability if limit.measure in ("chance", "solvency") else limit.budget
        committed = self.measured(limit, name, held_only=True)
        return PathReading(ceiling, self.measured(limit, name), committed, self.tree.exact)

    def measured(self, limit: RiskLimit, name: str, *, held_only: bool = False) -> float:
        """Value of a limit, of all that was decided or of commitments alone."""
        if limit.measure == "solvency":
            return self._insolvency(name, held_only=held_only)
        losses, chances = self._losses(limit.scope, name, held_only=held_only)
        match limit.measure:
            case "cvar":
                return _mean_of_worst(losses, chances, 1.0 - limit.level)
            case "worst_case":
                return float(losses[chances > 0.0].max(initial=0.0))
            case "chance":
                return math.fsum(chances[losses > limit.budget * (1.0 + 1e-9)].tolist())
        return self._worst_expectation(limit, name, losses, chances, held_only=held_only)

    def _losses(self, scope: str, name: str, *, held_only: bool = False) -> tuple[FloatArray, FloatArray]:
        """Loss of a scope at every leaf, and its probability."""
        losses = []
        for chances, claims in self.ends:
            total = np.zeros(len(chances))
            for claim in claims:
                if (claim.is_held or not held_only) and claim.is_in(scope, name):
                    total += claim.slashing * claim.is_lost(scope, name)
            losses.append(total)
        return np.concatenate(losses), np.concatenate([chances for chances, _ in self.ends])

    def _insolvency(self, name: str, *, held_only: bool) -> float:
        """How likely a coprocessor forfeits more than its free collateral."""
        place = self.instance.coprocessors.ids.index(name)
        budget = float(self.instance.coprocessors.free_collateral[place])
        over = []
        for chances, claims in self.ends:
            forfeited = np.zeros(len(chances))
            for claim in claims:
                if not claim.is_held and not held_only:
                    for k, executor in enumerate(claim.executors):
                        forfeited += claim.collateral[k] * ((executor == name) & ~claim.succeeded[:, k])
            over += chances[forfeited > budget * (1.0 + 1e-9)].tolist()
        return math.fsum(over)

    def _worst_expectation(
        self, limit: RiskLimit, name: str, losses: FloatArray, chances: FloatArray, *, held_only: bool
    ) -> float:
        """Worst expected loss over a ball: ``radius`` more claims end badly, on average."""
        well: dict[float, float] = {0.0: 0.0}
        for behind, claims in self.ends:
            for claim in claims:
                if (claim.is_held or not held_only) and claim.is_in(limit.scope, name):
                    share = float(behind @ ~claim.is_lost(limit.scope, name))
                    well[claim.slashing] = well.get(claim.slashing, 0.0) + share
        above = [
            limit.radius * t + math.fsum(share * (s - t) for s, share in well.items() if s > t) for t in well
        ]
        return float(losses @ chances) + min(above)


def _mean_of_worst(losses: Sequence[float] | FloatArray, chances: FloatArray, share: float) -> float:
    """Mean of the worst ``share`` of losses with their probabilities, the one at the edge counted in part."""
    values, left, terms = np.asarray(losses), share, []
    for k in np.argsort(-values, kind="stable").tolist():
        part = min(float(chances[k]), left)
        terms.append(part * float(values[k]))
        left -= part
        if left <= 0.0:
            break
    return math.fsum(terms) / share
