"""Trees drawn from laws: fans, and trees of many stages with a branching factor for each."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from bondwork.uncertainty.points import Method, uniforms
from bondwork.uncertainty.seeds import Seed, child, seed_sequence
from bondwork.uncertainty.tree import ScenarioTree, TreeError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from bondwork.arrays import FloatArray
    from bondwork.uncertainty.laws import Law

    #: ``transition(stage, parent_values, draws) -> values``; see `sample_tree`.
    Transition: TypeAlias = Callable[[int, FloatArray, FloatArray], FloatArray]


def sample_fan(
    laws: Mapping[str, Law], scenarios: int, *, seed: Seed, method: Method = "sobol"
) -> ScenarioTree:
    """Draw a two-stage tree: equally likely scenarios of independent numbers, one column for each law.

    Examples
    --------
    >>> from bondwork.uncertainty.laws import Lognormal, Values
    >>> tree = sample_fan({"reward": Lognormal(10.0, 0.3), "demand": Values((2, 6), (0.5, 0.5))}, 8, seed=0)
    >>> tree.names[1], tree.values[1].shape, float(tree.values[1][:, 1].mean())
    (('reward', 'demand'), (8, 2), 4.0)
    """
    return sample_tree([laws], [scenarios], seed=seed, method=method)


def sample_tree(
    laws: Sequence[Mapping[str, Law]],
    branching: Sequence[int],
    *,
    seed: Seed,
    method: Method = "sobol",
    root: Mapping[str, float] | None = None,
    transition: Transition | None = None,
) -> ScenarioTree:
    """Draw a tree of many stages.

    Every node of a stage gets its own points, equally likely, by ``method``: siblings are spread over their
    law, cousins are independent.

    Parameters
    ----------
    laws
        One mapping from names to laws for each stage after the root's.
    branching
        As many numbers >= 1: children of each node. The last stage has their product; ten stages of ten are
        10 billion nodes, so make wide trees by `bondwork.uncertainty.tree_reduction` of sampled paths
        instead.
    seed
        The same seed gives the same tree.
    method
        See `bondwork.uncertainty.points.Method`.
    root
        Names and values of what is known from the start.
    transition
        Turns draws into values: called once a node with the stage (1, 2, ...), the values of the parent,
        shape (d_{t-1},), and the draws for its children, shape (branching, d_t); returns the children's
        values in that shape. Without it the draws are the values: stages are independent.

    Raises
    ------
    TreeError
        For lists of different lengths, or a branching factor below 1.

    Examples
    --------
    A price that moves by factors, so that its level depends on its past:

    >>> from bondwork.uncertainty.laws import Lognormal
    >>> step = {"price": Lognormal(1.0, 0.1)}
    >>> def move(stage, before, draw):
    ...     return before * draw
    >>> tree = sample_tree([step, step], [3, 2], seed=0, root={"price": 5.0}, transition=move)
    >>> [len(values) for values in tree.values]
    [1, 3, 6]
    """
    if len(laws) != len(branching):
        raise TreeError([f"{len(laws)} stages of laws, {len(branching)} branching factors"])
    if any(count < 1 for count in branching):
        raise TreeError([f"branching is {list(branching)}, expected numbers >= 1"])
    start = root or {}
    sequence = seed_sequence(seed)
    values: list[FloatArray] = [np.array([list(start.values())], dtype=np.float64).reshape(1, len(start))]
    parents, conditionals = [np.array([-1])], [np.ones(1)]
    for stage, (here, count) in enumerate(zip(laws, branching, strict=True), start=1):
        before = values[-1]
        children = np.empty((len(before), count, len(here)))
        for node in range(len(before)):
            points = uniforms(method, count, len(here), child(sequence, stage, node))
            for column, law in enumerate(here.values()):
                children[node, :, column] = law.ppf(points[:, column])
            if transition is not None:
                children[node] = transition(stage, before[node], children[node])
        values.append(children.reshape(-1, len(here)))
        parents.append(np.repeat(np.arange(len(before)), count))
        conditionals.append(np.full(len(before) * count, 1.0 / count))
    return ScenarioTree.from_stages(
        parents, conditionals, values, names=[tuple(start), *(tuple(here) for here in laws)]
    )
