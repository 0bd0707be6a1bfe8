"""A stochastic program in matrix form: a scenario tree whose nodes have columns, rows and numbers.

At a node n with path root = a(0), ..., a(t) = n the rows are

    row_lower  <=  sum over k < t of T[k] @ x[a(k)]  +  W @ x[n]  <=  row_upper

and the program is to maximise or minimise the sum over the nodes of probability * (constant + cost @ x).
A node has one decision, which all scenarios through it share: non-anticipativity needs no rows. Rows over the
columns of any nodes may link them further; see `bondwork.program.linking`.

References
----------
J. R. Birge & F. Louveaux, Introduction to Stochastic Programming, 2nd edition, Springer 2011, chapter 3.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
from scipy.sparse import csr_array

from bondwork.arrays import freeze_fields, frozen
from bondwork.base.tolerances import PROGRAM_ROW
from bondwork.problem.faults import InvalidInput
from bondwork.program.linking import Linking

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bondwork.arrays import FloatArray, IntArray
    from bondwork.program.template import NodeTemplate

Sense: TypeAlias = Literal["max", "min"]


@dataclass(frozen=True, slots=True, eq=False)
class NodeMatrices:
    """The numbers of one node as matrices; names as in `StochasticProgram`.

    Attributes
    ----------
    constant, cost
        What the node adds to the objective, not weighted by its probability; shape (n,) for ``cost``.
    own
        Shape (m, n), CSR: W.
    to_ancestors
        By stage k, shape (m, columns of the ancestor at k), CSR: T[k]; only where there are entries.
    row_lower, row_upper, lower, upper
        Shapes (m,), (m,), (n,), (n,).
    """

    constant: float
    cost: FloatArray
    own: csr_array
    to_ancestors: Mapping[int, csr_array]
    row_lower: FloatArray
    row_upper: FloatArray
    lower: FloatArray
    upper: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class StochasticProgram:
    """An immutable stochastic program of N nodes in T stages. ``bondwork.program/1``, in memory.

    Nodes are numbered with parents before children, stage by stage; node 0 is the root. What nodes have in
    common stands once, in their template; each node holds only the numbers in which it differs.

    Attributes
    ----------
    name
        Whatever the program is called.
    sense
        Whether the objective is to be large or small.
    stages
        T names.
    templates
        What nodes are made of.
    template
        Shape (N,). Node i has the columns and rows of ``templates[template[i]]``.
    parent
        Shape (N,). -1 at the root.
    conditional
        Shape (N,). Probability given the parent; 1 at the root.
    nodes
        N names, unique.
    change_start, change_position, change_value
        Shapes (N + 1,), (D,), (D,). Node i has ``change_value[k]`` at ``change_position[k]`` of its
        template's ``values``, for k from ``change_start[i]`` to before ``change_start[i + 1]``.
    linking
        Rows over the columns of any nodes; none where left out.
    row_tolerance
        As of `bondwork.program.matrices.Matrices`; no part of the digest.
    stage, probability
        Shape (N,). Derived: stage of a node from 0, and its probability.
    ancestors
        Shape (N, T). Derived: the node's ancestor at each stage, itself at its own, -1 after it.
    sha256
        Digest of all of the above.

    Raises
    ------
    InvalidInput
        With every fault, at its path in the JSON document of this program.

    Examples
    --------
    Stake x at cost 1 a unit, serve at 3 a unit; the demand is 2 or 6:

    >>> from bondwork.program.template import NodeTemplate
    >>> stake = NodeTemplate.make(0, ["x"], cost=-1.0, upper=10.0)
    >>> serve = NodeTemplate.make(1, ["y"], ["stock", "demand"], cost=3.0, row_upper=[0.0, 2.0],
    ...                           entries=[(0, 0, 0, -1.0), (0, 1, 0, 1.0), (1, 1, 0, 1.0)])
    >>> toy = StochasticProgram.from_changes(
    ...     "toy", "max", [stake, serve], parent=[-1, 0, 0], template=[0, 1, 1],
    ...     conditional=[1.0, 0.5, 0.5], changes=[{}, {}, {("row_upper", 1): 6.0}])
    >>> toy.node(2).row_upper.tolist(), toy.node(1).row_upper.tolist()
    ([0.0, 6.0], [0.0, 2.0])
    >>> StochasticProgram.from_json(toy.to_json()).sha256 == toy.sha256
    True
    """

    name: str
    sense: Sense
    stages: tuple[str, ...]
    templates: tuple[NodeTemplate, ...]
    template: IntArray
    parent: IntArray
    conditional: FloatArray
    nodes: tuple[str, ...]
    change_start: IntArray
    change_position: IntArray
    change_value: FloatArray
    linking: Linking = field(default_factory=Linking.none)
    row_tolerance: float = PROGRAM_ROW
    stage: IntArray = field(init=False, repr=False)
    probability: FloatArray = field(init=False, repr=False)
    ancestors: IntArray = field(init=False, repr=False)
    sha256: str = field(init=False)

    def __post_init__(self) -> None:
        from bondwork.program.program_check import faults_of_nodes, faults_of_program, faults_of_templates

        freeze_fields(
            self, "template", "parent", "conditional", "change_start", "change_position", "change_value"
        )
        # what is derived from parents needs sound parents, and what is checked along paths needs that
        faults = faults_of_templates(self) + faults_of_nodes(self)
        if faults:
            raise InvalidInput(faults)
        self._derive()
        if faults := faults_of_program(self):
            raise InvalidInput(faults)
        self._sort_changes()
        object.__setattr__(self, "sha256", self._digest())

    def _sort_changes(self) -> None:
        """Order the changes of each node by position: the digest must not depend on how they were given."""
        node = np.repeat(np.arange(len(self)), np.diff(self.change_start))
        order = np.lexsort((self.change_position, node))
        for name in ("change_position", "change_value"):
            object.__setattr__(self, name, frozen(getattr(self, name)[order]))

    def _derive(self) -> None:
        count = len(self.parent)
        stage = np.zeros(count, dtype=np.int64)
        probability = self.conditional.copy()
        ancestors = np.full((count, len(self.stages)), -1, dtype=np.int64)
        ancestors[0, 0] = 0
        generation = np.zeros(1, dtype=np.int64)
        for depth in range(1, len(self.stages)):
            # stage by stage, and children follow their parents: one pass over the arrays a stage
            generation = np.flatnonzero(np.isin(self.parent, generation))
            above = self.parent[generation]
            stage[generation] = depth
            probability[generation] *= probability[above]
            ancestors[generation] = ancestors[above]
            ancestors[generation, depth] = generation
        for name, array in (("stage", stage), ("probability", probability), ("ancestors", ancestors)):
            object.__setattr__(self, name, frozen(array))

    def _digest(self) -> str:
        digest = hashlib.sha256()
        said: list[Any] = [self.name, self.sense, self.stages, self.nodes]
        said += [[each.stage, each.columns, each.rows] for each in self.templates]
        digest.update(json.dumps(said).encode())
        arrays: list[Any] = [self.template, self.parent, self.conditional]
        arrays += [self.change_start, self.change_position, self.change_value]
        for each in self.templates:
            arrays += [each.integer, each.entry_row, each.entry_stage, each.entry_column, each.values]
        if len(self.linking) or len(self.linking.joint_node):
            digest.update(json.dumps(self.linking.rows).encode())
            arrays += [getattr(self.linking, name) for name in Linking.__slots__ if name != "rows"]
        for array in arrays:
            digest.update(f"{array.dtype.str}{array.shape}".encode())
            digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()

    @classmethod
    def from_changes(
        cls,
        name: str,
        sense: Sense,
        templates: list[NodeTemplate],
        *,
        parent: list[int],
        template: list[int],
        conditional: list[float],
        changes: list[Mapping[tuple[str, int], float]],
        nodes: list[str] | None = None,
        stages: list[str] | None = None,
        linking: Linking | None = None,
    ) -> StochasticProgram:
        """Make a program of nodes that each say in which fields, and where in them, they differ.

        Parameters
        ----------
        changes
            One mapping a node: (field, position in it) to value; fields as in `template.FIELDS`.
        nodes, stages
            Names; numbers where left out.
        linking
            Rows over the columns of any nodes.

        Raises
        ------
        InvalidInput
            With every fault.
        """
        positions = [
            templates[kind].spans[where].start + at
            for kind, own in zip(template, changes, strict=True)
            for where, at in own
        ]
        depth = max(each.stage for each in templates) + 1
        return cls(
            name=name,
            sense=sense,
            stages=tuple(stages or (f"stage {number}" for number in range(1, depth + 1))),
            templates=tuple(templates),
            template=np.array(template, dtype=np.int64),
            parent=np.array(parent, dtype=np.int64),
            conditional=np.array(conditional, dtype=np.float64),
            nodes=tuple(nodes or map(str, range(len(parent)))),
            change_start=np.cumsum([0, *map(len, changes)], dtype=np.int64),
            change_position=np.array(positions, dtype=np.int64),
            change_value=np.array([value for own in changes for value in own.values()], dtype=np.float64),
            linking=linking or Linking.none(),
        )

    @classmethod
    def from_json(cls, text: str | bytes) -> StochasticProgram:
        """Read the text of a ``bondwork.program/1``; `program_schema.load_program` reads files.

        Raises
        ------
        InvalidInput
            With every fault of the document and its JSON path.
        """
        from bondwork.program.program_schema import load_program

        return load_program(text.encode() if isinstance(text, str) else text)

    def to_document(self) -> dict[str, Any]:
        """Return the program as a JSON document."""
        from bondwork.program.program_schema import write_program

        return write_program(self)

    def to_json(self) -> str:
        """Write the program as one JSON text; the same program gives the same text."""
        return json.dumps(self.to_document(), allow_nan=False, separators=(",", ":")) + "\n"

    def __len__(self) -> int:
        """Return the number of nodes."""
        return len(self.parent)

    @property
    def leaves(self) -> IntArray:
        """Nodes of the last stage, ascending: one for each scenario."""
        return np.flatnonzero(self.stage == len(self.stages) - 1)

    @property
    def constant(self) -> float:
        """Expected constant of the objective."""
        base = np.array([each.part("constant")[0] for each in self.templates])[self.template]
        where = np.repeat(np.arange(len(self)), np.diff(self.change_start))
        changed = self.change_position == 0  # the constant stands first in every template
        base[where[changed]] = self.change_value[changed]
        return float(self.probability @ base)

    def template_of(self, node: int) -> NodeTemplate:
        """Return the template of a node."""
        return self.templates[int(self.template[node])]

    def values(self, node: int) -> FloatArray:
        """Every number of a node, laid out as its template's ``values``."""
        own = slice(self.change_start[node], self.change_start[node + 1])
        values = self.template_of(node).values.copy()
        values[self.change_position[own]] = self.change_value[own]
        return values

    def gather(self, nodes: IntArray, name: str) -> FloatArray:
        """One field of several nodes of one template. Shape (nodes, size of the field).

        Parameters
        ----------
        nodes
            Nodes that share a template.
        name
            One of `template.FIELDS`.
        """
        template = self.template_of(int(nodes[0]))
        span = template.spans[name]
        table = np.repeat(template.values[None, span], len(nodes), axis=0)
        counts = self.change_start[nodes + 1] - self.change_start[nodes]
        line = np.repeat(np.arange(len(nodes)), counts)
        # the k-th change of the i-th node: runs of consecutive numbers, one run a node
        first = np.repeat(self.change_start[nodes] - np.cumsum(counts) + counts, counts)
        change = first + np.arange(len(line))
        position = self.change_position[change]
        mine = (position >= span.start) & (position < span.stop)
        table[line[mine], position[mine] - span.start] = self.change_value[change[mine]]
        return table

    def node(self, node: int) -> NodeMatrices:
        """Return the numbers of a node as matrices."""
        template, values = self.template_of(node), self.values(node)
        part = {name: values[span] for name, span in template.spans.items()}
        blocks = {}
        for stage in {template.stage, *np.unique(template.entry_stage).tolist()}:
            here = template.entry_stage == stage
            width = len(self.template_of(int(self.ancestors[node, stage])).columns)
            place = (template.entry_row[here], template.entry_column[here])
            block = csr_array((part["entries"][here], place), shape=(len(template.rows), width))
            blocks[stage] = block
        return NodeMatrices(
            float(part["constant"][0]),
            part["cost"],
            blocks.pop(template.stage),
            blocks,
            part["row_lower"],
            part["row_upper"],
            part["lower"],
            part["upper"],
        )
