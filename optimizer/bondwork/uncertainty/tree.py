"""The scenario tree: nodes with a stage, a parent, a conditional probability and values (MODEL 3).

Nodes are numbered stage by stage and, within a stage, by parent, so that the children of a node and the nodes
of a stage are runs of consecutive numbers. Node 0 is the root. A two-stage tree is a fan.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING

import numpy as np

from bondwork.arrays import freeze_fields, frozen

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike

    from bondwork.arrays import FloatArray, IntArray

# How far the conditional probabilities of siblings may be from 1 together.
_SUM_TOLERANCE = 1e-9


class TreeError(ValueError):
    """A tree that is none. ``faults`` lists everything that is wrong with it."""

    def __init__(self, faults: Sequence[str]) -> None:
        super().__init__("not a scenario tree: " + "; ".join(faults))
        self.faults = tuple(faults)


@dataclass(frozen=True, slots=True, eq=False)
class ScenarioTree:
    """An immutable scenario tree of N nodes in T stages (stage 0 is the root's).

    Attributes
    ----------
    stage
        Shape (N,). Ascending, from 0.
    parent
        Shape (N,). Ascending; -1 at the root, else a node of the stage before.
    conditional
        Shape (N,). Probability given the parent, >= 0; 1 at the root; sums to 1 over the children of a node.
    values
        T arrays, shapes (nodes at stage t, d_t). What becomes known at each node; finite. d_t may be 0.
    names
        T tuples of d_t names, one for each column of ``values``; they say what a column is, not its place.

    Raises
    ------
    TreeError
        With every fault.

    Examples
    --------
    >>> tree = ScenarioTree.from_fan([[2.0], [6.0]], [0.5, 0.5], names=["demand"])
    >>> tree.stages, len(tree), tree.leaves.tolist(), tree.probability.tolist()
    (2, 3, [1, 2], [1.0, 0.5, 0.5])
    >>> tree == ScenarioTree.from_json(tree.to_json())
    True
    """

    stage: IntArray
    parent: IntArray
    conditional: FloatArray
    values: tuple[FloatArray, ...]
    names: tuple[tuple[str, ...], ...] = ()
    _first: IntArray = field(init=False, repr=False)
    _first_child: IntArray = field(init=False, repr=False)
    _probability: FloatArray = field(init=False, repr=False)

    def __post_init__(self) -> None:
        put = object.__setattr__
        put(self, "values", tuple(frozen(np.asarray(value, dtype=np.float64)) for value in self.values))
        if not self.names:
            put(self, "names", tuple(_default_names(value) for value in self.values))
        faults = _shape_faults(self) or _order_faults(self) or _content_faults(self)
        if faults:
            raise TreeError(faults)
        nodes = np.arange(len(self) + 1)
        put(self, "_first", np.searchsorted(self.stage, np.arange(len(self.values) + 1)).astype(np.int64))
        put(self, "_first_child", np.searchsorted(self.parent, nodes).astype(np.int64))
        probability = self.conditional.copy()
        for t in range(1, self.stages):
            at = self.nodes(t)
            probability[at] *= probability[self.parent[at]]
        put(self, "_probability", probability)
        freeze_fields(self, "stage", "parent", "conditional", "_first", "_first_child", "_probability")

    @classmethod
    def from_fan(
        cls,
        values: ArrayLike,
        probability: ArrayLike | None = None,
        *,
        root: ArrayLike = (),
        names: Sequence[str] = (),
        root_names: Sequence[str] = (),
    ) -> ScenarioTree:
        """Make a two-stage tree of S scenarios.

        Parameters
        ----------
        values
            Shape (S, d) or (S,).
        probability
            Shape (S,), sum 1; equal if left out.
        root
            Shape (d_0,). What is known from the start.
        names, root_names
            Names of the columns.
        """
        table = _as_table(values)
        weights = _as_weights(probability, len(table))
        start = np.atleast_2d(np.asarray(root, dtype=np.float64))
        return cls(
            stage=np.repeat([0, 1], [1, len(table)]),
            parent=np.repeat([-1, 0], [1, len(table)]),
            conditional=np.concatenate([[1.0], weights]),
            values=(start, table),
            names=(tuple(root_names) or _default_names(start), tuple(names) or _default_names(table)),
        )

    @classmethod
    def from_paths(
        cls,
        paths: Sequence[ArrayLike],
        probability: ArrayLike | None = None,
        *,
        names: Sequence[Sequence[str]] = (),
        merge: bool = True,
    ) -> ScenarioTree:
        """Make a tree of S paths.

        Parameters
        ----------
        paths
            T arrays, one for each stage, shapes (S, d_t) or (S,). All rows of the first must be equal: stage
            0 is known.
        probability
            Shape (S,), sum 1; equal if left out. Paths of probability 0 are dropped.
        names
            T lists of d_t names.
        merge
            Whether paths with exactly equal values up to a stage share their node there. Without it only the
            root is shared: everything is known after the first stage. Which of the two is meant changes what
            decisions may depend on, so it cannot be read off the numbers.

        Raises
        ------
        TreeError
            For paths that differ at stage 0, or arrays that do not match.
        """
        tables = [_as_table(path) for path in paths]
        if not tables or len({len(table) for table in tables}) != 1 or not len(tables[0]):
            raise TreeError(["paths needs arrays with one row for each scenario, as many for every stage"])
        weights = _as_weights(probability, len(tables[0]))
        tables = [table[weights > 0.0] for table in tables]
        weights = weights[weights > 0.0]
        if np.any(tables[0] != tables[0][0]):
            raise TreeError(["paths differ at stage 0, which is known: put an empty array before it"])
        node = np.zeros(len(weights), dtype=np.int64)
        mass = np.ones(1)
        parents, conditionals, values = [np.array([-1])], [np.ones(1)], [tables[0][:1]]
        for table in tables[1:]:
            if merge:
                key = np.column_stack([node.astype(np.float64), table])
                _, first, member = np.unique(key, axis=0, return_index=True, return_inverse=True)
                # Siblings in the order of the paths, not of their values: the caller's order is the readable
                # one.
                rank = np.lexsort((first, node[first]))
                first, member = first[rank], np.argsort(rank)[member.ravel()]
            else:
                first = np.argsort(node, kind="stable")
                member = np.argsort(first)
            parent = node[first]
            child_mass = np.bincount(member, weights, len(first)).astype(np.float64)
            parents.append(parent)
            conditionals.append(child_mass / np.bincount(parent, child_mass, len(mass))[parent])
            values.append(table[first])
            node, mass = member, child_mass
        return cls.from_stages(parents, conditionals, values, names=names)

    @classmethod
    def from_stages(
        cls,
        parents: Sequence[ArrayLike],
        conditionals: Sequence[ArrayLike],
        values: Sequence[ArrayLike],
        *,
        names: Sequence[Sequence[str]] = (),
    ) -> ScenarioTree:
        """Make a tree stage by stage; parents by their place in the stage before, ascending; root -1."""
        sizes = [len(np.asarray(parent)) for parent in parents]
        offset = np.cumsum([0, 0, *sizes[:-1]])[: len(sizes)]
        return cls(
            stage=np.repeat(np.arange(len(sizes)), sizes),
            parent=np.concatenate([np.asarray(p) + o for p, o in zip(parents, offset, strict=True)]).astype(
                np.int64
            ),
            conditional=np.concatenate([np.asarray(c, dtype=np.float64) for c in conditionals]),
            values=tuple(_as_table(value) for value in values),
            names=tuple(tuple(row) for row in names),
        )

    @staticmethod
    def from_json(text: str | bytes) -> ScenarioTree:
        """Read ``bondwork.tree/1``; see `bondwork.uncertainty.tree_io`."""
        from bondwork.uncertainty.tree_io import tree_from_json  # it imports this module

        return tree_from_json(text)

    def to_json(self) -> str:
        """Write ``bondwork.tree/1``; see `bondwork.uncertainty.tree_io`."""
        from bondwork.uncertainty.tree_io import tree_to_json  # it imports this module

        return tree_to_json(self)

    def __len__(self) -> int:
        return len(self.stage)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ScenarioTree) and self.sha256 == other.sha256

    def __hash__(self) -> int:
        return hash(self.sha256)

    @property
    def stages(self) -> int:
        """T, the root's stage included."""
        return len(self.values)

    @property
    def probability(self) -> FloatArray:
        """Shape (N,). Unconditional probability of each node."""
        return self._probability

    @property
    def leaves(self) -> IntArray:
        """Nodes of the last stage: one for each scenario."""
        return np.arange(self._first[-2], self._first[-1])

    def nodes(self, stage: int) -> slice:
        """Nodes of a stage, as a slice of node numbers."""
        if not 0 <= stage < self.stages:
            raise IndexError(f"stage {stage} of {self.stages}")
        return slice(int(self._first[stage]), int(self._first[stage + 1]))

    def children(self, node: int) -> slice:
        """Children of a node, as a slice of node numbers; empty at a leaf."""
        return slice(int(self._first_child[node]), int(self._first_child[node + 1]))

    def value(self, node: int) -> FloatArray:
        """Values of a node, shape (d_t,)."""
        stage = int(self.stage[node])
        row: FloatArray = self.values[stage][int(node - self._first[stage])]
        return row

    def path(self, node: int) -> IntArray:
        """Nodes from the root to ``node``."""
        nodes = [int(node)]
        while self.parent[nodes[-1]] >= 0:
            nodes.append(int(self.parent[nodes[-1]]))
        return np.array(nodes[::-1])

    def ancestors(self) -> IntArray:
        """Node of every scenario at every stage, shape (scenarios, T)."""
        table = np.empty((len(self.leaves), self.stages), dtype=np.int64)
        table[:, -1] = self.leaves
        for stage in range(self.stages - 1, 0, -1):
            table[:, stage - 1] = self.parent[table[:, stage]]
        return table

    def paths(self) -> tuple[FloatArray, ...]:
        """Values of every scenario: T arrays, shapes (scenarios, d_t)."""
        ancestors = self.ancestors()
        return tuple(
            value[ancestors[:, stage] - self._first[stage]] for stage, value in enumerate(self.values)
        )

    @property
    def sha256(self) -> str:
        """Digest of the content, whatever file it came from."""
        digest = sha256(b"bondwork.tree/1")
        arrays = [(self.stage, "<i8"), (self.parent, "<i8"), (self.conditional, "<f8")]
        for array, kind in arrays + [(value, "<f8") for value in self.values]:
            digest.update(repr(array.shape).encode())
            # Adding 0.0 makes -0.0 the 0.0 it is equal to.
            digest.update((np.ascontiguousarray(array) + 0).astype(kind).tobytes())
        digest.update(repr(self.names).encode())
        return digest.hexdigest()


def _shape_faults(tree: ScenarioTree) -> list[str]:
    n = len(tree.stage)
    faults = [
        f"{name} has shape {getattr(tree, name).shape}, expected ({n},)"
        for name in ("stage", "parent", "conditional")
        if getattr(tree, name).shape != (n,)
    ]
    if n == 0 or not tree.values:
        return [*faults, "it has no nodes"]
    if len(tree.names) != len(tree.values):
        faults.append(f"names has {len(tree.names)} entries for {len(tree.values)} stages")
    counts = np.bincount(np.clip(tree.stage, 0, None), minlength=len(tree.values))
    if len(counts) > len(tree.values):
        return [*faults, f"stage {len(counts) - 1} has nodes, values end at stage {len(tree.values) - 1}"]
    for stage, (value, count) in enumerate(zip(tree.values, counts, strict=True)):
        if value.ndim != 2 or len(value) != count:
            faults.append(f"values[{stage}] has shape {value.shape}, expected ({count}, columns)")
        elif stage < len(tree.names) and len(tree.names[stage]) != value.shape[1]:
            faults.append(f"names[{stage}] has {len(tree.names[stage])} names, expected {value.shape[1]}")
        elif stage < len(tree.names) and len(set(tree.names[stage])) != len(tree.names[stage]):
            faults.append(f"names[{stage}] holds a name twice")
    return faults


def _order_faults(tree: ScenarioTree) -> list[str]:
    faults = []
    stage, parent = tree.stage, tree.parent
    if np.any(np.diff(stage) < 0) or not np.array_equal(np.unique(stage), np.arange(len(tree.values))):
        faults.append(f"stage must ascend through 0 to {len(tree.values) - 1}, each of them present")
    if np.count_nonzero(stage == 0) != 1 or parent[0] != -1:
        faults.append("stage 0 must hold one node, the root, with parent -1")
    if np.any(np.diff(parent) < 0):
        faults.append("parent must ascend: nodes of a stage are in the order of their parents")
    inner = parent[1:]
    if np.any((inner < 0) | (inner >= np.arange(1, len(parent)))):
        return [*faults, "a node other than the root has no parent before it"]
    wrong = np.flatnonzero(stage[inner] != stage[1:] - 1) + 1
    if len(wrong):
        faults.append(f"node {wrong[0]} has parent {parent[wrong[0]]}, which is not of the stage before")
    childless = np.setdiff1d(np.flatnonzero(stage < len(tree.values) - 1), parent)
    if len(childless):
        faults.append(f"node {childless[0]} of stage {stage[childless[0]]} has no children")
    return faults


def _content_faults(tree: ScenarioTree) -> list[str]:
    faults = []
    if not np.all((tree.conditional >= 0.0) & (tree.conditional <= 1.0 + _SUM_TOLERANCE)):
        faults.append("conditional holds a number outside [0, 1]")
    elif abs(tree.conditional[0] - 1.0) > _SUM_TOLERANCE:
        faults.append(f"conditional probability of the root is {tree.conditional[0]}, expected 1")
    elif len(tree.parent) > 1:
        total = np.bincount(tree.parent[1:], weights=tree.conditional[1:])
        wrong = np.flatnonzero((np.abs(total - 1.0) > _SUM_TOLERANCE) & (np.bincount(tree.parent[1:]) > 0))
        faults += [
            f"children of node {node} have probability {total[node]}, expected 1" for node in wrong[:5]
        ]
    for stage, value in enumerate(tree.values):
        if not np.all(np.isfinite(value)):
            faults.append(f"values[{stage}] holds a number that is not finite")
    return faults


def _as_table(values: ArrayLike) -> FloatArray:
    table = np.array(values, dtype=np.float64)
    return table[:, np.newaxis] if table.ndim == 1 else table


def _as_weights(probability: ArrayLike | None, n: int) -> FloatArray:
    if probability is None:
        return np.full(n, 1.0 / max(n, 1))
    weights = np.array(probability, dtype=np.float64)
    if weights.shape != (n,) or not np.all(weights >= 0.0) or abs(weights.sum() - 1.0) > _SUM_TOLERANCE:
        raise TreeError([f"probability must hold {n} numbers >= 0 with sum 1"])
    return weights


def _default_names(value: FloatArray) -> tuple[str, ...]:
    return tuple(f"v{column}" for column in range(value.shape[1] if value.ndim == 2 else 0))
