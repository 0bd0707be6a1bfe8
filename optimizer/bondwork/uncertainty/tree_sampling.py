"""Trees drawn from laws: fans, and trees of many stages with a branching factor for each."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import scipy

from bondwork.uncertainty.points import Method, uniforms
from bondwork.uncertainty.seeds import Seed, child, seed_sequence
from bondwork.uncertainty.tree import ScenarioTree, TreeError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from bondwork.arrays import FloatArray
    from bondwork.uncertainty.laws import Law

    #: ``transition(stage, parent_values, draws) -> values``; see `sample_tree`.
    Transition: TypeAlias = Callable[[int, FloatArray, FloatArray], FloatArray]


# Correlated normal numbers far out would round to the ends, whose quantiles may be infinite.
_INSIDE = (2.0**-53, 1.0 - 2.0**-53)


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
    correlation: Sequence[FloatArray | None] | None = None,
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
    correlation
        One matrix for each stage after the root's, shape (d_t, d_t), or ``None`` for independent columns: of
        the normal numbers behind the columns (a Gaussian copula), whose laws stay as they are.

    Raises
    ------
    TreeError
        For lists of different lengths, a branching factor below 1, or a matrix that is no correlation.

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
    matrices = correlation or [None] * len(laws)
    if len(matrices) != len(laws):
        raise TreeError([f"{len(laws)} stages of laws, {len(matrices)} correlation matrices"])
    factors = [
        None if matrix is None else correlation_factor(matrix, len(here))
        for matrix, here in zip(matrices, laws, strict=True)
    ]
    start = root or {}
    sequence = seed_sequence(seed)
    values: list[FloatArray] = [np.array([list(start.values())], dtype=np.float64).reshape(1, len(start))]
    parents, conditionals = [np.array([-1])], [np.ones(1)]
    for stage, (here, count) in enumerate(zip(laws, branching, strict=True), start=1):
        before = values[-1]
        children = np.empty((len(before), count, len(here)))
        for node in range(len(before)):
            points = uniforms(method, count, len(here), child(sequence, stage, node))
            factor = factors[stage - 1]
            if factor is not None:
                points = np.clip(scipy.special.ndtr(scipy.special.ndtri(points) @ factor.T), *_INSIDE)
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


def correlation_factor(matrix: FloatArray, size: int) -> FloatArray:
    """Return F with F @ F.T the correlation matrix, which may be singular.

    Raises
    ------
    TreeError
        It is not symmetric with ones on the diagonal, or not positive semidefinite.

    Examples
    --------
    >>> correlation_factor(np.array([[1.0, 0.6], [0.6, 1.0]]), 2).round(3).tolist()
    [[1.0, 0.0], [0.6, 0.8]]
    """
    if matrix.shape != (size, size):
        raise TreeError([f"correlation has shape {matrix.shape}, expected ({size}, {size})"])
    if not (np.allclose(matrix, matrix.T, atol=1e-12) and np.allclose(np.diag(matrix), 1.0, atol=1e-12)):
        raise TreeError(["correlation is not symmetric with ones on its diagonal"])
    values, vectors = np.linalg.eigh(matrix)
    if values[0] < -1e-9:
        raise TreeError([f"correlation has the eigenvalue {values[0]:.3g}, expected none below 0"])
    # lower triangular, so that the first columns keep their own points; QR does it for singular ones too
    root = vectors * np.sqrt(np.maximum(values, 0.0))
    _, upper = np.linalg.qr(root.T)
    signs = np.where(np.diag(upper) < 0.0, -1.0, 1.0)
    return np.asarray(upper.T * signs + 0.0)
