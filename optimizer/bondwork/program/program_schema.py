"""``bondwork.program/1``: a stochastic program as a JSON document, in and out.

Names stand for people, positions connect: entries and changes refer to columns and rows by their place in the
template's lists. ``null`` as a lower or upper limit means that there is none.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO, Literal, TypeAlias

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bondwork.problem.document import collection_paused, parse_document
from bondwork.problem.faults import Fault, InvalidInput, faults_of_schema
from bondwork.program.linking import Linking
from bondwork.program.stochastic import StochasticProgram
from bondwork.program.template import FIELDS, NodeTemplate

if TYPE_CHECKING:
    from bondwork.arrays import FloatArray

PROGRAM_FORMAT = "bondwork.program/1"

_Limits: TypeAlias = list[float | None]

#: A position in a list: nothing that would not fit into an array of whole numbers.
_Position: TypeAlias = Annotated[int, Field(ge=0, le=2**31 - 1)]


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class Columns(_Record):
    """Columns of a template, one item each."""

    name: list[str]
    cost: list[float] = Field(description="Per unit, not weighted by probability.")
    lower: _Limits | None = Field(None, description="Left out: 0 for all. null: no limit.")
    upper: _Limits | None = Field(None, description="Left out: no limits.")
    integer: list[_Position] = Field([], description="Positions of the columns that must be whole.")


class Rows(_Record):
    """Rows of a template, one item each."""

    name: list[str] = []
    lower: _Limits | None = Field(None, description="Left out: no limits. null: no limit.")
    upper: _Limits | None = None


class Entries(_Record):
    """Matrix of a template as triplets, one item each."""

    row: list[_Position] = []
    stage: list[_Position] = Field(
        [], description="Of the ancestor whose column it is; the own stage: itself."
    )
    column: list[_Position] = []
    value: list[float] = []


class Template(_Record):
    """What nodes have in common."""

    stage: _Position = Field(description="Stage of its nodes, from 0.")
    constant: float = 0.0
    columns: Columns
    rows: Rows = Rows()
    entries: Entries = Entries()


class Change(_Record):
    """Numbers of one field in which a node differs from its template."""

    at: list[_Position] = Field(description="Positions in the template's list.")
    value: list[float | None]


class Changes(_Record):
    """In what a node differs from its template."""

    constant: Change | None = None
    cost: Change | None = None
    lower: Change | None = None
    upper: Change | None = None
    row_lower: Change | None = None
    row_upper: Change | None = None
    entries: Change | None = None


class Node(_Record):
    """A node of the tree."""

    name: str
    parent: _Position | None = Field(
        description="Position of the parent; null for the root, which comes first."
    )
    probability: float = Field(description="Given the parent.")
    template: _Position
    changes: Changes = Changes()


class LinkingRows(_Record):
    """Rows over the columns of any nodes, one item each."""

    name: list[str] = []
    lower: _Limits | None = Field(None, description="Left out: no limits. null: no limit.")
    upper: _Limits | None = None
    informational: list[_Position] = Field(
        [], description="Positions of the rows that only keep decisions from what nobody observes."
    )


class LinkingEntries(_Record):
    """Entries of linking rows, one item each."""

    row: list[_Position] = []
    node: list[_Position] = []
    column: list[_Position] = Field([], description="Of the node.")
    value: list[float] = Field([], description="As it stands, not weighted by probability.")


class JointColumns(_Record):
    """Columns that are no decisions but numbers of a measure over all scenarios, one item each."""

    node: list[_Position] = []
    column: list[_Position] = []


class LinkingPart(_Record):
    """Rows over the columns of any nodes: limits on the whole distribution, and on what may be known."""

    rows: LinkingRows = LinkingRows()
    entries: LinkingEntries = LinkingEntries()
    joint: JointColumns = JointColumns()


class Program(_Record):
    """A stochastic program in matrix form by tree node."""

    format: Literal["bondwork.program/1"]
    name: str = ""
    sense: Literal["max", "min"]
    stages: list[str] = Field(description="Name of each stage.")
    templates: list[Template]
    nodes: list[Node] = Field(description="Stage by stage, in the order of their parents.")
    linking: LinkingPart | None = Field(None, description="Rows that link nodes. Left out: none.")


def load_program(source: str | Path | bytes | BinaryIO | Mapping[str, Any]) -> StochasticProgram:
    """Read a stochastic program and check it.

    Parameters
    ----------
    source
        Path of a JSON file, its bytes, an open binary stream, or the document itself as a mapping.

    Raises
    ------
    InvalidInput
        With every fault: JSON path, value found, value expected.
    OSError
        The file cannot be read.
    """
    if isinstance(source, Mapping):
        document: Any = dict(source)
    elif isinstance(source, str | Path):
        document = parse_document(Path(source).read_bytes())
    else:
        document = parse_document(source if isinstance(source, bytes) else source.read())
    with collection_paused():
        try:
            read = Program.model_validate(document)
        except ValidationError as error:
            names = {name for record in _Record.__subclasses__() for name in record.model_fields}
            details = error.errors(include_url=False)
            raise InvalidInput(faults_of_schema(details, document, names)) from None
        return _program(read)


def is_program(document: object) -> bool:
    """Whether a JSON document says that it is a stochastic program, so that one command can take both."""
    return isinstance(document, Mapping) and document.get("format") == PROGRAM_FORMAT


def _program(read: Program) -> StochasticProgram:
    faults = [fault for number, each in enumerate(read.templates) for fault in _faults_of_sizes(number, each)]
    for number, node in enumerate(read.nodes):
        for name in FIELDS:
            change: Change | None = getattr(node.changes, name)
            if change is not None and len(change.at) != len(change.value):
                path = f"$.nodes[{number}].changes.{name}.value"
                expected = f"{len(change.at)}, one for each position in at"
                faults.append(Fault(path, f"{len(change.value)} values", expected))
    if read.linking is not None:
        faults += _faults_of_links(read.linking)
    if faults:
        raise InvalidInput(faults)
    templates = [_template(each) for each in read.templates]
    counts, positions, values = [], [], []
    for number, node in enumerate(read.nodes):
        count = 0
        for name in FIELDS if node.changes.model_fields_set else ():
            change = getattr(node.changes, name)
            if change is None:
                continue
            count += len(change.at)
            if not 0 <= node.template < len(templates):
                continue  # reported with the tree's faults
            span = templates[node.template].spans[name]
            for k, at in enumerate(change.at):
                if not 0 <= at < span.stop - span.start:
                    path = f"$.nodes[{number}].changes.{name}.at[{k}]"
                    faults.append(Fault(path, str(at), f"a position from 0 to {span.stop - span.start - 1}"))
            positions += [span.start + at for at in change.at]
            values.append(_limits(change.value, len(change.value), name))
        counts.append(count)
    if faults:
        raise InvalidInput(faults)
    return StochasticProgram(
        name=read.name,
        sense=read.sense,
        stages=tuple(read.stages),
        templates=tuple(templates),
        template=np.array([each.template for each in read.nodes], dtype=np.int64),
        parent=np.array([-1 if each.parent is None else each.parent for each in read.nodes], dtype=np.int64),
        conditional=np.array([each.probability for each in read.nodes], dtype=np.float64),
        nodes=tuple(each.name for each in read.nodes),
        change_start=np.cumsum([0, *counts], dtype=np.int64),
        change_position=np.array(positions, dtype=np.int64),
        change_value=np.concatenate(values) if values else np.zeros(0),
        linking=Linking.none() if read.linking is None else _linking(read.linking),
    )


def _faults_of_links(read: LinkingPart) -> list[Fault]:
    rows, entries, joint = read.rows, read.entries, read.joint
    sized: list[tuple[str, list[Any] | None, int, str]] = [
        ("rows.lower", rows.lower, len(rows.name), "row"),
        ("rows.upper", rows.upper, len(rows.name), "row"),
        ("entries.node", entries.node, len(entries.row), "row of an entry"),
        ("entries.column", entries.column, len(entries.row), "row of an entry"),
        ("entries.value", entries.value, len(entries.row), "row of an entry"),
        ("joint.column", joint.column, len(joint.node), "node"),
    ]
    faults = [
        Fault(f"$.linking.{name}", f"an array of {len(each)}", f"an array of {size}, one for each {what}")
        for name, each, size, what in sized
        if each is not None and len(each) != size
    ]
    for k, at in enumerate(rows.informational):
        if at >= len(rows.name):
            expected = f"a position from 0 to {len(rows.name) - 1}"
            faults.append(Fault(f"$.linking.rows.informational[{k}]", str(at), expected))
    return faults


def _linking(read: LinkingPart) -> Linking:
    rows, entries, joint = read.rows, read.entries, read.joint
    informational = np.zeros(len(rows.name), dtype=bool)
    informational[rows.informational] = True
    return Linking(
        tuple(rows.name),
        _limits(rows.lower, len(rows.name), "row_lower"),
        _limits(rows.upper, len(rows.name), "row_upper"),
        informational,
        np.array(entries.row, dtype=np.int64),
        np.array(entries.node, dtype=np.int64),
        np.array(entries.column, dtype=np.int64),
        np.array(entries.value, dtype=np.float64),
        np.array(joint.node, dtype=np.int64),
        np.array(joint.column, dtype=np.int64),
    )


def _faults_of_sizes(number: int, template: Template) -> list[Fault]:
    columns, rows, entries = template.columns, template.rows, template.entries
    sized: list[tuple[str, list[Any] | None, int, str]] = [
        ("columns.cost", columns.cost, len(columns.name), "column"),
        ("columns.lower", columns.lower, len(columns.name), "column"),
        ("columns.upper", columns.upper, len(columns.name), "column"),
        ("rows.lower", rows.lower, len(rows.name), "row"),
        ("rows.upper", rows.upper, len(rows.name), "row"),
        ("entries.stage", entries.stage, len(entries.row), "row of an entry"),
        ("entries.column", entries.column, len(entries.row), "row of an entry"),
        ("entries.value", entries.value, len(entries.row), "row of an entry"),
    ]
    path = f"$.templates[{number}]"
    faults = [
        Fault(f"{path}.{name}", f"an array of {len(values)}", f"an array of {size}, one for each {what}")
        for name, values, size, what in sized
        if values is not None and len(values) != size
    ]
    for k, at in enumerate(columns.integer):
        if not 0 <= at < len(columns.name):
            expected = f"a position from 0 to {len(columns.name) - 1}"
            faults.append(Fault(f"{path}.columns.integer[{k}]", str(at), expected))
    return faults


def _template(read: Template) -> NodeTemplate:
    columns, rows, entries = read.columns, read.rows, read.entries
    n, m = len(columns.name), len(rows.name)
    integer = np.zeros(n, dtype=bool)
    integer[columns.integer] = True
    parts = (
        np.array([read.constant]),
        np.array(columns.cost, dtype=np.float64),
        np.zeros(n) if columns.lower is None else _limits(columns.lower, n, "lower"),
        _limits(columns.upper, n, "upper"),
        _limits(rows.lower, m, "row_lower"),
        _limits(rows.upper, m, "row_upper"),
        np.array(entries.value, dtype=np.float64),
    )
    return NodeTemplate(
        read.stage,
        tuple(columns.name),
        tuple(rows.name),
        integer,
        np.array(entries.row, dtype=np.int64),
        np.array(entries.stage, dtype=np.int64),
        np.array(entries.column, dtype=np.int64),
        np.concatenate(parts),
    )


def _limits(values: _Limits | None, size: int, name: str) -> FloatArray:
    """Numbers of a field; null becomes no limit, or NaN (and so a fault) where a number must stand."""
    nothing = {"lower": -np.inf, "row_lower": -np.inf, "upper": np.inf, "row_upper": np.inf}.get(name, np.nan)
    if values is None:
        return np.full(size, nothing)
    return np.array([nothing if each is None else each for each in values], dtype=np.float64)


def write_program(program: StochasticProgram) -> dict[str, Any]:
    """Return a program as a document of ``bondwork.program/1``."""
    document: dict[str, Any] = {
        "format": PROGRAM_FORMAT,
        "name": program.name,
        "sense": program.sense,
        "stages": list(program.stages),
        "templates": [_written_template(each) for each in program.templates],
        "nodes": [_written_node(program, node) for node in range(len(program))],
    }
    if len(program.linking) or len(program.linking.joint_node):
        document["linking"] = _written_linking(program.linking)
    return document


def _written_linking(linking: Linking) -> dict[str, Any]:
    return {
        "rows": {
            "name": list(linking.rows),
            "lower": _written(linking.row_lower),
            "upper": _written(linking.row_upper),
            "informational": np.flatnonzero(linking.informational).tolist(),
        },
        "entries": {
            "row": linking.entry_row.tolist(),
            "node": linking.entry_node.tolist(),
            "column": linking.entry_column.tolist(),
            "value": linking.entry_value.tolist(),
        },
        "joint": {"node": linking.joint_node.tolist(), "column": linking.joint_column.tolist()},
    }


def _written_template(template: NodeTemplate) -> dict[str, Any]:
    part = {name: _written(template.part(name)) for name in FIELDS}
    return {
        "stage": template.stage,
        "constant": part["constant"][0],
        "columns": {
            "name": list(template.columns),
            "cost": part["cost"],
            "lower": part["lower"],
            "upper": part["upper"],
            "integer": np.flatnonzero(template.integer).tolist(),
        },
        "rows": {"name": list(template.rows), "lower": part["row_lower"], "upper": part["row_upper"]},
        "entries": {
            "row": template.entry_row.tolist(),
            "stage": template.entry_stage.tolist(),
            "column": template.entry_column.tolist(),
            "value": part["entries"],
        },
    }


def _written_node(program: StochasticProgram, node: int) -> dict[str, Any]:
    own = slice(program.change_start[node], program.change_start[node + 1])
    position, value = program.change_position[own], program.change_value[own]
    changes = {}
    for name, span in program.template_of(node).spans.items():
        mine = (position >= span.start) & (position < span.stop)
        if mine.any():
            at = (position[mine] - span.start).tolist()
            changes[name] = {"at": at, "value": _written(value[mine])}
    document: dict[str, Any] = {
        "name": program.nodes[node],
        "parent": None if node == 0 else int(program.parent[node]),
        "probability": float(program.conditional[node]),
        "template": int(program.template[node]),
    }
    return document | ({"changes": changes} if changes else {})


def _written(values: FloatArray) -> list[float | None]:
    return [each if np.isfinite(each) else None for each in values.tolist()]
