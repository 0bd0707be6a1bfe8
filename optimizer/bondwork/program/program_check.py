"""What must hold of a stochastic program, each fault at its path in the JSON document of the program."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bondwork.problem.faults import Fault, preview

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bondwork.arrays import BoolArray, FloatArray, IntArray
    from bondwork.program.stochastic import StochasticProgram
    from bondwork.program.template import NodeTemplate

#: HiGHS takes numbers from here on for infinite.
LARGEST_NUMBER = 1e20

#: How far the conditional probabilities of siblings may be from 1 together.
SUM_TOLERANCE = 1e-6

#: Nobody reads more faults of one kind in one place than this.
MOST_FAULTS = 20

_LOWER = f"a number below {LARGEST_NUMBER:g} in size, or null for no limit"
_NUMBER = f"a number below {LARGEST_NUMBER:g} in size"

#: Where a field of a template stands in the document.
PATHS = {
    "constant": "constant",
    "cost": "columns.cost",
    "lower": "columns.lower",
    "upper": "columns.upper",
    "row_lower": "rows.lower",
    "row_upper": "rows.upper",
    "entries": "entries.value",
}


def faults_of_templates(program: StochasticProgram) -> list[Fault]:
    """Faults that can be seen without the tree: names, sizes, numbers."""
    faults = [] if program.stages else [Fault("$.stages", "an empty array", "at least one stage")]
    faults += [] if program.templates else [Fault("$.templates", "an empty array", "at least one template")]
    faults += _repeated("$.stages", program.stages)
    for number, template in enumerate(program.templates):
        path = f"$.templates[{number}]"
        if not 0 <= template.stage < len(program.stages):
            expected = f"a stage from 0 to {len(program.stages) - 1}"
            faults.append(Fault(f"{path}.stage", str(template.stage), expected))
        faults += _repeated(f"{path}.columns.name", template.columns)
        faults += _repeated(f"{path}.rows.name", template.rows)
        faults += _faults_of_entries(path, template)
        for name, span in template.spans.items():
            values = template.values[span]
            for k in np.flatnonzero(~_is_allowed(name, values))[:MOST_FAULTS].tolist():
                at = "" if name == "constant" else f"[{k}]"
                expected = _NUMBER if name in ("constant", "cost", "entries") else _LOWER
                faults.append(Fault(f"{path}.{PATHS[name]}{at}", preview(float(values[k])), expected))
        for low, high in (("lower", "upper"), ("row_lower", "row_upper")):
            lower, upper = template.part(low), template.part(high)
            for k in np.flatnonzero(lower > upper)[:MOST_FAULTS].tolist():
                expected = f"at most the upper limit {upper[k]:g}"
                faults.append(Fault(f"{path}.{PATHS[low]}[{k}]", f"{lower[k]:g}", expected))
    return faults


def _is_allowed(name: str, values: FloatArray) -> BoolArray:
    """Whether numbers may stand in a field: finite, or infinite on the side where that means no limit."""
    usual: BoolArray = np.abs(values) < LARGEST_NUMBER
    if name in ("lower", "row_lower"):
        usual |= values == -np.inf
    if name in ("upper", "row_upper"):
        usual |= values == np.inf
    return usual


def _repeated(path: str, names: Sequence[str]) -> Iterator[Fault]:
    seen: set[str] = set()
    for number, name in enumerate(names):
        if not name:
            yield Fault(f"{path}[{number}]", '""', "a string that is not empty")
        elif name in seen:
            yield Fault(f"{path}[{number}]", preview(name), "a name that does not occur before")
        seen.add(name)


def _faults_of_entries(path: str, template: NodeTemplate) -> list[Fault]:
    faults = []
    row, stage, column = template.entry_row, template.entry_stage, template.entry_column
    for name, values, most in (
        ("row", row, len(template.rows) - 1),
        ("stage", stage, template.stage),
        ("column", column, np.iinfo(np.int64).max),  # the width is known only along a path
    ):
        for k in np.flatnonzero((values < 0) | (values > most))[:MOST_FAULTS].tolist():
            expected = "a number >= 0" if name == "column" else f"a {name} from 0 to {most}"
            faults.append(Fault(f"{path}.entries.{name}[{k}]", str(values[k]), expected))
    order = np.lexsort((column, stage, row))
    same = np.ones(max(len(order) - 1, 0), dtype=bool)
    for each in (row, stage, column):
        same &= each[order][1:] == each[order][:-1]
    for k in order[1:][same][:MOST_FAULTS].tolist():
        found = f"row {row[k]}, stage {stage[k]}, column {column[k]}"
        faults.append(Fault(f"{path}.entries.row[{k}]", found, "each place of the matrix once"))
    return faults


def faults_of_nodes(program: StochasticProgram) -> list[Fault]:
    """Faults of the tree itself."""
    parent, count = program.parent, len(program.parent)
    faults: list[Fault] = []
    if count == 0:
        return [Fault("$.nodes", "an empty array", "at least the root")]
    if parent[0] != -1:
        faults.append(Fault("$.nodes[0].parent", str(parent[0]), "null: the first node is the root"))
    for i in np.flatnonzero((parent[1:] < 0) | (parent[1:] >= np.arange(1, count)))[:MOST_FAULTS] + 1:
        found = "null" if parent[i] < 0 else str(parent[i])
        faults.append(Fault(f"$.nodes[{i}].parent", found, f"a node before it, 0 to {i - 1}"))
    for i in np.flatnonzero(np.diff(parent[1:]) < 0)[:MOST_FAULTS] + 2:
        expected = f"at least {parent[i - 1]}: nodes stage by stage, in the order of their parents"
        faults.append(Fault(f"$.nodes[{i}].parent", str(parent[i]), expected))
    chance = program.conditional
    for i in np.flatnonzero(~((chance >= 0.0) & (chance <= 1.0)))[:MOST_FAULTS].tolist():
        found = preview(float(chance[i]))
        faults.append(Fault(f"$.nodes[{i}].probability", found, "a probability from 0 to 1"))
    kinds = len(program.templates)
    for i in np.flatnonzero((program.template < 0) | (program.template >= kinds))[:MOST_FAULTS].tolist():
        expected = f"a template from 0 to {kinds - 1}"
        faults.append(Fault(f"$.nodes[{i}].template", str(program.template[i]), expected))
    for i, fault in enumerate(_repeated("$.nodes", program.nodes)):
        if i < MOST_FAULTS:
            faults.append(Fault(f"{fault.path}.name", fault.found, fault.expected))
    return faults


def faults_of_program(program: StochasticProgram) -> list[Fault]:
    """Faults that show along the paths of a tree that is sound in itself."""
    return [*_faults_of_depth(program), *_faults_of_sums(program)] or [
        *_faults_of_widths(program),
        *_faults_of_changes(program),
        *_faults_of_linking(program),
    ]


def _faults_of_linking(program: StochasticProgram) -> Iterator[Fault]:
    linking = program.linking
    yield from _repeated("$.linking.rows.name", linking.rows)
    for name in ("lower", "upper"):
        values = getattr(linking, f"row_{name}")
        for k in np.flatnonzero(~_is_allowed(name, values))[:MOST_FAULTS].tolist():
            yield Fault(f"$.linking.rows.{name}[{k}]", preview(float(values[k])), _LOWER)
    for k in np.flatnonzero(linking.row_lower > linking.row_upper)[:MOST_FAULTS].tolist():
        expected = f"at most the upper limit {linking.row_upper[k]:g}"
        yield Fault(f"$.linking.rows.lower[{k}]", f"{linking.row_lower[k]:g}", expected)
    value = linking.entry_value
    for k in np.flatnonzero(~_is_allowed("entries", value))[:MOST_FAULTS].tolist():
        yield Fault(f"$.linking.entries.value[{k}]", preview(float(value[k])), _NUMBER)
    row = linking.entry_row
    for k in np.flatnonzero((row < 0) | (row >= len(linking)))[:MOST_FAULTS].tolist():
        expected = f"a row from 0 to {len(linking) - 1}"
        yield Fault(f"$.linking.entries.row[{k}]", str(row[k]), expected)
    places = (row, linking.entry_node, linking.entry_column)
    yield from _faults_of_places(program, "$.linking.entries", *places[1:])
    yield from _faults_of_places(program, "$.linking.joint", linking.joint_node, linking.joint_column)
    order = np.lexsort(places)
    same = np.ones(max(len(order) - 1, 0), dtype=bool)
    for each in places:
        same &= each[order][1:] == each[order][:-1]
    for k in order[1:][same][:MOST_FAULTS].tolist():
        found = f"row {row[k]}, node {places[1][k]}, column {places[2][k]}"
        yield Fault(f"$.linking.entries.row[{k}]", found, "each place once")


def _faults_of_places(
    program: StochasticProgram, path: str, node: IntArray, column: IntArray
) -> Iterator[Fault]:
    """Columns of nodes that there are not."""
    width = np.array([len(each.columns) for each in program.templates])[program.template]
    known = (node >= 0) & (node < len(program))
    for k in np.flatnonzero(~known)[:MOST_FAULTS].tolist():
        yield Fault(f"{path}.node[{k}]", str(node[k]), f"a node from 0 to {len(program) - 1}")
    most = width[np.where(known, node, 0)]
    for k in np.flatnonzero(known & ((column < 0) | (column >= most)))[:MOST_FAULTS].tolist():
        yield Fault(f"{path}.column[{k}]", str(column[k]), f"a column from 0 to {most[k] - 1} of the node")


def _faults_of_depth(program: StochasticProgram) -> Iterator[Fault]:
    last = len(program.stages) - 1
    lost = np.append(program.ancestors[1:, 0] < 0, False)  # deeper than there are stages
    for i in np.flatnonzero(lost)[:MOST_FAULTS] + 1:
        yield Fault(f"$.nodes[{i}].parent", str(program.parent[i]), f"a node of a stage before {last}")
    wanted = np.array([each.stage for each in program.templates])[program.template]
    for i in np.flatnonzero((wanted != program.stage) & (program.ancestors[:, 0] >= 0))[:MOST_FAULTS]:
        expected = f"a template of stage {program.stage[i]}"
        yield Fault(f"$.nodes[{i}].template", f"one of stage {wanted[i]}", expected)
    childless = np.ones(len(program), dtype=bool)
    childless[program.parent[1:]] = False
    for i in np.flatnonzero(childless & (program.stage < last))[:MOST_FAULTS].tolist():
        found = f"node {i} without children at stage {program.stage[i]}"
        yield Fault("$.nodes", found, f"every path to go on to stage {last}")


def _faults_of_sums(program: StochasticProgram) -> Iterator[Fault]:
    sums = np.bincount(program.parent[1:], program.conditional[1:], len(program))
    has_children = np.bincount(program.parent[1:], minlength=len(program)) > 0
    for i in np.flatnonzero(has_children & (np.abs(sums - 1.0) > SUM_TOLERANCE))[:MOST_FAULTS].tolist():
        found = f"children of node {i} with probabilities that add up to {sums[i]:.12g}"
        yield Fault("$.nodes", found, "probabilities that add up to 1")
    if abs(program.conditional[0] - 1.0) > SUM_TOLERANCE:
        yield Fault("$.nodes[0].probability", f"{program.conditional[0]:.12g}", "1: the root is certain")


def _faults_of_widths(program: StochasticProgram) -> Iterator[Fault]:
    """Entries at columns that the ancestor does not have."""
    width = np.array([len(each.columns) for each in program.templates])
    for number, template in enumerate(program.templates):
        nodes = np.flatnonzero(program.template == number)
        for stage in np.unique(template.entry_stage).tolist() if len(nodes) else []:
            narrowest = int(width[program.template[program.ancestors[nodes, stage]]].min())
            wide = (template.entry_stage == stage) & (template.entry_column >= narrowest)
            for k in np.flatnonzero(wide)[:MOST_FAULTS].tolist():
                path = f"$.templates[{number}].entries.column[{k}]"
                expected = f"a column from 0 to {narrowest - 1} of the ancestor at stage {stage}"
                yield Fault(path, str(template.entry_column[k]), expected)


def _faults_of_changes(program: StochasticProgram) -> Iterator[Fault]:
    node = np.repeat(np.arange(len(program)), np.diff(program.change_start))
    position, value = program.change_position, program.change_value
    size = np.array([len(each.values) for each in program.templates])
    bad = (position < 0) | (position >= size[program.template[node]])
    for k in np.flatnonzero(bad)[:MOST_FAULTS].tolist():
        yield Fault(f"$.nodes[{node[k]}].changes", f"position {position[k]}", "a position of its template")
    if bad.any():
        return
    stride = int(size.max())
    key = node * stride + position
    order = np.argsort(key, kind="stable")
    for k in order[1:][np.diff(key[order]) == 0][:MOST_FAULTS].tolist():
        yield Fault(place(program, int(node[k]), int(position[k])), "a second change", "each number once")
    for number, template in enumerate(program.templates):
        for name, span in template.spans.items():
            mine = (program.template[node] == number) & (position >= span.start) & (position < span.stop)
            for k in np.flatnonzero(mine)[~_is_allowed(name, value[mine])][:MOST_FAULTS].tolist():
                expected = _NUMBER if name in ("constant", "cost", "entries") else _LOWER
                path = place(program, int(node[k]), int(position[k]))
                yield Fault(path, preview(float(value[k])), expected)
        for low, high in (("lower", "upper"), ("row_lower", "row_upper")):
            for name in (low, high):
                span = template.spans[name]
                mine = np.flatnonzero(
                    (program.template[node] == number) & (position >= span.start) & (position < span.stop)
                )
                other = template.spans[high if name == low else low]
                partner = position[mine] - span.start + other.start
                theirs = _changed(key[order], value[order], node[mine] * stride + partner)
                theirs = np.where(np.isnan(theirs), template.values[partner], theirs)
                crossed = value[mine] > theirs if name == low else value[mine] < theirs
                for k, limit in zip(mine[crossed][:MOST_FAULTS], theirs[crossed], strict=False):
                    side = "at most the upper" if name == low else "at least the lower"
                    path = place(program, int(node[k]), int(position[k]))
                    yield Fault(path, f"{value[k]:g}", f"{side} limit {limit:g}")


def _changed(keys: IntArray, values: FloatArray, wanted: IntArray) -> FloatArray:
    """Values at sorted ``keys`` equal to ``wanted``; NaN where there is none."""
    if not len(keys):
        return np.full(len(wanted), np.nan)
    at = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.where(keys[at] == wanted, values[at], np.nan)


def place(program: StochasticProgram, node: int, position: int) -> str:
    """JSON path of a change of a node, by its position in the template's values."""
    for name, span in program.template_of(node).spans.items():
        if span.start <= position < span.stop:
            return f"$.nodes[{node}].changes.{name} at {position - span.start}"
    raise ValueError(f"position {position} is not in the template of node {node}")
