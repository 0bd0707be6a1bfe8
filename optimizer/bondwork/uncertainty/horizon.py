"""The scenario tree of a round with later periods (MODEL 3 and 4).

A node of the tree is a period together with what has been seen on the way to it: random amounts of the
periods, and outcomes of what they release. What is seen on entering a period has the same law at all nodes
from which it is entered, independent of what was seen before. Common causes of failure (the factors and
outages of MODEL 3) strike what is released at one period together; those of different periods are
independent. So no outcome tells anything about later ones, and it does no harm that nodes also differ in
outcomes of offers that nobody chose.

Only what can matter later makes nodes: outcomes that decide over collateral or stake that a later offer could
use, and random amounts of offers that can be chosen. Where tails of the loss of whole paths are measured,
every outcome by which somebody loses matters; those that no period sees are leaves behind the last decision
of a path, alike behind all nodes with which it ends.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from bondwork.arrays import freeze_fields
from bondwork.problem.release import THIS_ROUND, Horizon
from bondwork.uncertainty.horizon_seen import Possibilities, Seen, measures_paths
from bondwork.uncertainty.seeds import child, seed_sequence
from bondwork.uncertainty.tree import ScenarioTree

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bondwork.arrays import FloatArray, IntArray
    from bondwork.problem.instance import Instance
    from bondwork.uncertainty.seeds import Seed

#: Period of a node after the end of its path, where other paths are longer: nothing is decided there.
ENDED = -2

#: Number that stands for "not seen here" among a node's values.
UNSEEN = -1.0

_AMOUNTS, _OUTCOMES = 0, 1

#: Column of a node's period among its values; `ENDED` after the end of its path.
PERIOD = "period"


@dataclass(frozen=True, slots=True, eq=False)
class HorizonTree:
    """The tree of a round with later periods.

    Attributes
    ----------
    horizon
        The round and its periods.
    tree
        The scenario tree of N nodes; its values name what is seen where.
    names
        N names, unique: the periods on the way, with the number of what was seen where that can differ.
    period
        Shape (N,). Decision point of each node; `ENDED` after the end of a path.
    realisation
        Shape (N,). Which realisation of its period's `seen` a node is; 0 where there is none.
    seen
        By period; periods that are never reached are missing.
    leaves
        By decision point with which paths end, what becomes of all that is still held there; empty where
        nothing measures the losses of whole paths.
    """

    horizon: Horizon
    tree: ScenarioTree
    names: tuple[str, ...]
    period: IntArray
    realisation: IntArray
    seen: dict[int, Seen]
    leaves: dict[int, Seen]

    def __post_init__(self) -> None:
        freeze_fields(self, "period", "realisation")

    def round_at(self, point: int, realisation: int) -> Instance:
        """Return the round of a decision point with its random amounts as they turned out."""
        decided = self.horizon.rounds[point]
        if point == THIS_ROUND or not self.seen[point].laws:
            return decided
        seen = self.seen[point]
        reward, slashing = decided.claims.reward.copy(), decided.claims.slashing.copy()
        bid = decided.offers.bid.copy()
        where = {"reward": reward, "slashing": slashing, "bid": bid}
        for law, amount in zip(seen.laws, seen.amounts[realisation].tolist(), strict=True):
            where[law.kind][list(law.targets)] = amount
        return replace(
            decided,
            claims=replace(decided.claims, reward=reward, slashing=slashing),
            offers=replace(decided.offers, bid=bid),
        )

    @property
    def exact(self) -> bool:
        """Whether the tree is the law itself, not a sample of it."""
        return all(each.exact for each in (*self.seen.values(), *self.leaves.values()))


def horizon_tree(instance: Instance, *, seed: Seed | None = None) -> HorizonTree:
    """Make the scenario tree of a round with later periods.

    Where everything random takes finitely many values and there are at most ``uncertainty.scenarios`` paths,
    the tree holds all of them with their probabilities. Otherwise what is seen on entering a period is
    sampled, as many realisations of each period as keep the paths within that number (but never fewer than
    one), by the round's method.

    Parameters
    ----------
    instance
        A round, with periods or without.
    seed
        The round's own where left out.

    Raises
    ------
    ValueError
        For the method ``bootstrap``, which needs a history.

    Examples
    --------
    One offer that holds collateral which the next period's offer needs: it succeeds or fails.

    >>> import bondwork
    >>> offer = {"task": "t", "coprocessor": "cp", "collateral": 2, "success_probability": 0.75}
    >>> instance = bondwork.load({
    ...     "format": "bondwork.round/1", "operators": [{"id": "op"}],
    ...     "coprocessors": [{"id": "cp", "free_collateral": 3}],
    ...     "tasks": [{"id": "t", "operator": "op", "reward": 4}], "offers": [offer],
    ...     "periods": [{"id": "next", "at": 60, "tasks": [{"id": "t", "operator": "op", "reward": 4}],
    ...                  "offers": [offer]}]})
    >>> tree = horizon_tree(instance)
    >>> tree.names, tree.tree.conditional.tolist(), tree.exact
    (('this round', 'next[0]', 'next[1]'), [1.0, 0.25, 0.75], True)
    """
    horizon = Horizon(instance)
    sequence = seed_sequence(instance.uncertainty.seed if seed is None else seed)
    things = {n: Possibilities(horizon, n) for n in horizon.reached}
    ends: dict[int, Possibilities] = {}
    if measures_paths(instance):
        ends = {n: Possibilities(horizon, n, end=True) for n in horizon.ends}
    size = _branching(horizon, things, ends, instance.uncertainty.scenarios)
    seen = {n: each.seen(size, child(sequence, n)) for n, each in things.items()}
    # streams of their own, behind those of all periods
    first = len(instance.periods) + 1
    leaves = {n: each.seen(size, child(sequence, first + n)) for n, each in ends.items()}
    return _grow(horizon, seen, leaves)


def _branching(
    horizon: Horizon, things: dict[int, Possibilities], ends: dict[int, Possibilities], most: int
) -> int:
    """Most realisations a period may have so that there are at most ``most`` paths; at least one."""

    def paths(point: int, size: int) -> float:
        mine = 1.0 if point == THIS_ROUND else min(things[point].ways, size)
        behind = min(ends[point].ways, size) if point in ends else 1.0
        return mine * (sum(paths(each, size) for each in horizon.children[point]) or behind)

    low, high = 1, max(most, 1)
    while low < high:
        middle = (low + high + 1) // 2
        if paths(THIS_ROUND, middle) <= most:
            low = middle
        else:
            high = middle - 1
    return low


def _grow(horizon: Horizon, seen: dict[int, Seen], leaves: dict[int, Seen]) -> HorizonTree:
    """Put the nodes together, stage by stage."""
    stages = horizon.stages
    points, realisations = [np.array([THIS_ROUND])], [np.zeros(1, dtype=np.int64)]
    parents, conditionals = [np.array([-1])], [np.ones(1)]
    names = [["this round"]]
    for _ in range(1, stages):
        rows: list[tuple[int, int, int, float, str]] = []
        for parent, (point, name) in enumerate(zip(points[-1].tolist(), names[-1], strict=True)):
            start = "" if point == THIS_ROUND else f"{name} > "
            following = horizon.children[point] if point != ENDED else []
            for n in following:
                chances = seen[n].probability.tolist()
                for j, chance in enumerate(chances):
                    label = horizon.instance.periods[n].id + (f"[{j}]" if len(chances) > 1 else "")
                    likely = horizon.instance.periods[n].probability * chance
                    rows.append((parent, n, j, likely, f"{start}{label}"))
            if not following:
                rows.append((parent, ENDED, 0, 1.0, f"{start}end"))
        parents.append(np.array([row[0] for row in rows]))
        points.append(np.array([row[1] for row in rows]))
        realisations.append(np.array([row[2] for row in rows]))
        conditionals.append(np.array([row[3] for row in rows]))
        names.append([row[4] for row in rows])
    columns = [_columns(horizon, seen, stage) for stage in range(stages)]
    values = [
        _values(columns[t], seen, points[t], realisations[t]) if t else np.zeros((1, 0))
        for t in range(stages)
    ]
    tree = ScenarioTree.from_stages(
        parents, conditionals, values, names=[[], *(list(each) for each in columns[1:])]
    )
    return HorizonTree(
        horizon,
        tree,
        unique_names([name for each in names for name in each]),
        np.concatenate(points).astype(np.int64),
        np.concatenate(realisations).astype(np.int64),
        seen,
        leaves,
    )


def _columns(horizon: Horizon, seen: dict[int, Seen], stage: int) -> dict[str, tuple[int, int, int]]:
    """Name what is seen at a stage: period, whether it is an amount or an outcome, and its number there."""
    columns = {PERIOD: (ENDED, 0, 0)}
    for n, each in seen.items():
        if horizon.depth[n] == stage:
            for k, law in enumerate(each.laws):
                columns[f"{law.kind} {law.targets[0]} of period {n}"] = (n, _AMOUNTS, k)
            for k in range(len(each.item)):
                what = "commitment" if each.is_commitment[k] else "offer"
                point = each.point[k]
                where = "this round" if point == THIS_ROUND else f"period {point}"
                columns[f"{what} {each.item[k]} of {where}, seen in period {n}"] = (n, _OUTCOMES, k)
    return columns


def _values(
    columns: dict[str, tuple[int, int, int]],
    seen: dict[int, Seen],
    points: IntArray,
    realisations: IntArray,
) -> FloatArray:
    table = np.full((len(points), len(columns)), UNSEEN)
    table[:, 0] = points
    for place, (n, kind, k) in enumerate(columns.values()):
        if n == ENDED:
            continue
        here = points == n
        known = seen[n].amounts if kind == _AMOUNTS else seen[n].outcomes.astype(float)
        table[here, place] = known[realisations[here], k]
    return table


def unique_names(names: Sequence[str]) -> tuple[str, ...]:
    """Names with a number after those that have occurred before: ids may hold any text.

    Examples
    --------
    >>> unique_names(["a", "b", "a"])
    ('a', 'b', 'a #2')
    """
    taken: set[str] = set()
    result = []
    for name in names:
        number, given = 1, name
        while given in taken:
            number += 1
            given = f"{name} #{number}"
        taken.add(given)
        result.append(given)
    return tuple(result)
