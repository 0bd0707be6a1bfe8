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
from bondwork.uncertainty.reduction import ReductionMethod, reduce_scenarios
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
