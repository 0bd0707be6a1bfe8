"""Smaller trees: reduction stage by stage, from the root to the leaves (Heitsch & Roemisch 2009, forward).

At each node of the new tree the children of all the nodes that it stands for are pooled and reduced to few
under the Wasserstein distance of their values; those that are merged stand together from then on. So what is
known when is approximated along with the values: reduction of whole paths would let the first stage know the
future.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bondwork.arrays import freeze_fields
from bondwork.uncertainty.distance import Norm, check_metric
from bondwork.uncertainty.reduction import Reduction, ReductionMethod, reduce_scenarios
from bondwork.uncertainty.tree import ScenarioTree

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bondwork.arrays import FloatArray, IntArray


@dataclass(frozen=True, slots=True, eq=False)
class TreeReduction:
    """A smaller tree, and how far it is from the one it stands for.

    Attributes
    ----------
    tree
        The new tree. Its values are values of old nodes; its first stage is that of the old tree.
    node
        Shape (old N,). New node that stands for each old one.
    distance
        Cost, to the power 1/order, of moving each old path to its new one: the Wasserstein distance of the
        laws of the paths is at most this, and equal to it for a two-stage tree. It says nothing about
        information: for that, `bondwork.uncertainty.distance.nested_distance` of the two trees.
    stage_distance
        Shape (T,). The same of each stage alone: ``distance**order`` is the sum of their powers.
    order, norm
        How it was measured.
    """

    tree: ScenarioTree
    node: IntArray
    distance: float
    stage_distance: FloatArray
    order: float
    norm: Norm

    def __post_init__(self) -> None:
        freeze_fields(self, "node", "stage_distance")


def reduce_tree(
    tree: ScenarioTree,
    *,
    branching: Sequence[int] | None = None,
    error: float | None = None,
    method: ReductionMethod = "forward",
    order: float = 1.0,
    norm: Norm = "l2",
) -> TreeReduction:
    """Reduce a tree stage by stage to given branching factors, or as far as an error allows.

    Parameters
    ----------
    tree
        A tree, or a fan of paths that share the root only (``ScenarioTree.from_paths(..., merge=False)``):
        then the nodes of the new tree are clusters of paths, and branching arises here.
    branching
        T - 1 numbers >= 1: most children of a node at stage 0, 1, ...
    error
        >= 0. ``distance`` stays within it; each stage after the root's gets an equal share of
        ``error**order``. Give this or ``branching``.
    method, order, norm
        See `bondwork.uncertainty.reduction.reduce_scenarios`.

    Raises
    ------
    ValueError
        For both or neither of branching and error, or numbers that make no sense.

    Examples
    --------
    >>> fan = ScenarioTree.from_paths(
    ...     [np.zeros(4), [1.0, 1.1, 5.0, 5.1], [2.0, 3.0, 7.0, 7.1]], merge=False
    ... )
    >>> reduction = reduce_tree(fan, branching=[2, 2])
    >>> [len(values) for values in reduction.tree.values], round(reduction.distance, 6)
    ([1, 2, 4], 0.05)
    """
    check_metric(order, norm)
    if (branching is None) == (error is None):
        raise ValueError("give branching or an error, one of the two")
    if branching is not None and (len(branching) != tree.stages - 1 or any(count < 1 for count in branching)):
        raise ValueError(f"branching is {list(branching)}, expected {tree.stages - 1} numbers >= 1")
    if error is not None and not error >= 0.0:
        raise ValueError(f"error is {error}, expected a number >= 0")
    # Each stage moves conditional laws by at most its share, and their costs add up over the stages.
    share = None if error is None else error / max(tree.stages - 1, 1) ** (1.0 / order)
    node = np.zeros(len(tree), dtype=np.int64)
    members = [np.array([0])]
    parents, conditionals, values = [np.array([-1])], [np.ones(1)], [tree.values[0]]
    moved = np.zeros(tree.stages)
    for stage in range(1, tree.stages):
        base = tree.nodes(stage).start
        first = sum(len(parent) for parent in parents)
        grown: list[IntArray] = []
        parent, conditional, value = [], [], []
        for number, group in enumerate(members):
            runs = [tree.children(member) for member in group]
            children = np.concatenate([np.arange(run.start, run.stop) for run in runs])
            mass = tree.probability[children]
            total = mass.sum()
            within = mass / total if total > 0.0 else np.full(len(children), 1.0 / len(children))
            points = tree.values[stage][children - base]
            size = None if branching is None else min(branching[stage - 1], len(children))
            reduction = reduce_scenarios(
                points, within, size=size, error=share, method=method, order=order, norm=norm
            )
            moved[stage] += total * reduction.distance**order
            node[children] = first + len(grown) + reduction.assignment
            parent.append(np.full(len(reduction), number))
            conditional.append(reduction.probability)
            value.append(points[reduction.kept])
            grown += [children[reduction.assignment == at] for at in range(len(reduction))]
        members = grown
        parents.append(np.concatenate(parent))
        conditionals.append(np.concatenate(conditional))
        values.append(np.concatenate(value))
    return TreeReduction(
        tree=ScenarioTree.from_stages(parents, conditionals, values, names=tree.names),
        node=node,
        distance=float(moved.sum() ** (1.0 / order)),
        stage_distance=moved ** (1.0 / order),
        order=order,
        norm=norm,
    )


@dataclass(frozen=True, slots=True, eq=False)
class PathReduction:
    """A tree with few of its paths, and how far it is from the one it stands for.

    Attributes
    ----------
    tree
        The kept paths with their new probabilities; their nodes are those of the old tree.
    leaf
        Shape (scenarios,). Place among the new tree's scenarios of the one that stands for each.
    distance
        Wasserstein distance of order ``order`` between the laws of whole paths, each path one vector.
    order, norm
        How it was measured.
    """

    tree: ScenarioTree
    leaf: IntArray
    distance: float
    order: float
    norm: Norm

    def __post_init__(self) -> None:
        freeze_fields(self, "leaf")


def reduce_paths(
    tree: ScenarioTree,
    *,
    size: int | None = None,
    error: float | None = None,
    method: ReductionMethod = "forward",
    order: float = 1.0,
    norm: Norm = "l2",
) -> PathReduction:
    """Keep few of a tree's paths: a given number, or as few as keep the distance within an error.

    Paths are compared whole, as one vector of all their values. What is known when stays as it was: the new
    tree is a part of the old one. Not for trees of many stages whose decisions depend on what is known:
    `reduce_tree` approximates that along with the values.

    Parameters
    ----------
    size, error, method, order, norm
        See `bondwork.uncertainty.reduction.reduce_scenarios`.

    Raises
    ------
    ValueError
        For sizes or errors that make no sense.

    Examples
    --------
    >>> reduction = reduce_paths(ScenarioTree.from_fan([0.0, 0.1, 5.0, 5.2]), size=2)
    >>> reduction.tree.values[1].ravel().tolist(), round(reduction.distance, 6)
    ([0.1, 5.0], 0.075)
    """
    points = np.hstack(tree.paths())
    found = reduce_scenarios(
        points, tree.probability[tree.leaves], size=size, error=error, method=method, order=order, norm=norm
    )
    kept = tree if len(found) == len(tree.leaves) else _with_leaves(tree, found)
    return PathReduction(kept, found.assignment, found.distance, order, norm)


def _with_leaves(tree: ScenarioTree, found: Reduction) -> ScenarioTree:
    """Return the part of a tree that leads to the leaves that are kept, with their new probabilities."""
    ancestors = tree.ancestors()[found.kept]
    parents, conditionals, values = [], [], []
    mass_above: FloatArray = np.ones(1)
    number: IntArray = np.zeros(len(found), dtype=np.int64)
    for stage in range(tree.stages):
        nodes, place = np.unique(ancestors[:, stage], return_inverse=True)
        mass = np.bincount(place, found.probability, len(nodes)).astype(np.float64)
        first = np.zeros(len(nodes), dtype=np.int64)
        first[place] = number  # any path through a node has the same parent
        parents.append(first if stage else np.array([-1]))
        above = mass_above[first]
        even = 1.0 / np.bincount(first, minlength=len(mass_above))[first]
        conditionals.append(np.divide(mass, above, out=even, where=above > 0.0))
        values.append(tree.values[stage][nodes - tree.nodes(stage).start])
        mass_above, number = mass, place.astype(np.int64)
    return ScenarioTree.from_stages(parents, conditionals, values, names=tree.names)


def branching_for(size: int, stages: int) -> list[int]:
    """Branching factors, as even as can be, of a tree of ``stages`` with at most ``size`` scenarios.

    Examples
    --------
    >>> branching_for(12, 3), branching_for(100, 2), branching_for(1, 4)
    ([3, 4], [100], [1, 1, 1])
    """
    factors, left = [], size
    for later in range(stages - 1, 0, -1):
        # + 1e-9: the cube root of 8 is a hair below 2
        factors.append(max(1, int(left ** (1.0 / later) + 1e-9)))
        left //= factors[-1]
    return factors
