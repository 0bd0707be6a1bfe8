"""Scenario trees in files: JSON (``bondwork.tree/1``) for other programs, npz for large ones.

    {"format": "bondwork.tree/1",
     "stage": [0, 1, 1], "parent": [-1, 0, 0], "conditional_probability": [1.0, 0.5, 0.5],
     "names": [[], ["demand"]], "values": [[[]], [[2.0], [6.0]]], "sha256": "..."}

``values[t]`` has one row for each node of stage t, in the order of the nodes; order and limits are those of
`ScenarioTree`. ``names`` and ``sha256`` may be left out by other writers; a digest that does not match is
refused. The same tree gives the same bytes, and both forms keep every number exactly.
"""

from __future__ import annotations

import io
import json
import re
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bondwork.files import write_whole
from bondwork.problem.document import parse_document
from bondwork.problem.faults import Fault, InvalidInput, preview
from bondwork.uncertainty.tree import ScenarioTree, TreeError

if TYPE_CHECKING:
    from bondwork.arrays import FloatArray, IntArray

#: Name and version of the format.
FORMAT = "bondwork.tree/1"


def tree_to_json(tree: ScenarioTree) -> str:
    """Write a tree, one line, keys in a fixed order, numbers that read back exactly.

    Examples
    --------
    >>> tree_to_json(ScenarioTree.from_fan([2.0, 6.0]))[:61]
    '{"format":"bondwork.tree/1","stage":[0,1,1],"parent":[-1,0,0]'
    """
    document = {
        "format": FORMAT,
        "stage": tree.stage.tolist(),
        "parent": tree.parent.tolist(),
        "conditional_probability": tree.conditional.tolist(),
        "names": [list(names) for names in tree.names],
        "values": [(value + 0.0).tolist() for value in tree.values],
        "sha256": tree.sha256,
    }
    return json.dumps(document, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def tree_from_json(text: str | bytes) -> ScenarioTree:
    """Read a tree from JSON text; see `tree_from_document`."""
    return tree_from_document(parse_document(text.encode() if isinstance(text, str) else text))


def tree_from_document(document: Any) -> ScenarioTree:
    """Read a tree from a parsed JSON document.

    Raises
    ------
    InvalidInput
        With every fault and its JSON path: another format, unknown, missing or repeated fields, entries of a
        wrong kind, anything that is no tree, or a digest that does not match.
    """
    from bondwork.uncertainty.tree_schema import read_tree_document  # pydantic, for JSON only

    read = read_tree_document(document)
    faults = []
    tables = []
    for number, rows in enumerate(read.values):
        width = len(rows[0]) if rows else 0
        wrong = [row for row, cells in enumerate(rows) if len(cells) != width]
        faults += [
            Fault(f"$.values[{number}][{row}]", f"{len(rows[row])} numbers", f"{width}, as in the first row")
            for row in wrong
        ]
        tables.append(
            np.array([] if wrong else rows, dtype=np.float64).reshape(-1 if width else len(rows), width)
        )
    if faults:
        raise InvalidInput(faults)
    return _tree(
        np.array(read.stage, dtype=np.int64),
        np.array(read.parent, dtype=np.int64),
        np.array(read.conditional_probability, dtype=np.float64),
        tuple(tables),
        () if read.names is None else tuple(map(tuple, read.names)),
        read.sha256,
    )


def write_tree(tree: ScenarioTree, path: str | Path) -> None:
    """Write a tree as ``.npz`` or, under any other ending, as JSON; whole or not at all.

    Raises
    ------
    OSError
        The file cannot be written.
    """
    path = Path(path)
    write_whole(path, tree_to_npz(tree) if path.suffix == ".npz" else tree_to_json(tree) + "\n")


def tree_to_npz(tree: ScenarioTree) -> bytes:
    """Write a tree as an npz archive; the same tree gives the same bytes."""
    names = json.dumps([list(row) for row in tree.names], ensure_ascii=False)
    arrays = {
        "format": np.array(FORMAT),
        "stage": tree.stage,
        "parent": tree.parent,
        "conditional_probability": tree.conditional,
        "names": np.array(names),
        "sha256": np.array(tree.sha256),
        **{f"values_{stage}": value + 0.0 for stage, value in enumerate(tree.values)},
    }
    whole = io.BytesIO()
    # numpy.savez would stamp the entries with whatever zipfile's default is; here the date is fixed for good.
    with zipfile.ZipFile(whole, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in arrays.items():
            buffer = io.BytesIO()
            np.lib.format.write_array(
                buffer, np.asarray(array, order="C"), version=(1, 0), allow_pickle=False
            )
            entry = zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, buffer.getvalue())
    return whole.getvalue()


def read_tree(source: str | Path | bytes | Mapping[str, Any]) -> ScenarioTree:
    """Read a tree.

    Parameters
    ----------
    source
        Path of a JSON or npz file, its bytes, or the JSON document as a mapping.

    Raises
    ------
    InvalidInput
        As `tree_from_document`; the arrays of an npz file have the paths of the JSON form.
    OSError
        The file cannot be read.

    Examples
    --------
    >>> tree = ScenarioTree.from_fan([2.0, 6.0], names=["demand"])
    >>> read_tree(tree_to_npz(tree)) == read_tree(tree.to_json().encode()) == tree
    True
    """
    if isinstance(source, Mapping):
        return tree_from_document(dict(source))
    content = source if isinstance(source, bytes) else Path(source).read_bytes()
    return _from_npz(content) if content.startswith(b"PK") else tree_from_json(content)


def _from_npz(content: bytes) -> ScenarioTree:
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except (zipfile.BadZipFile, ValueError, EOFError, OSError, zlib.error) as error:
        raise InvalidInput([Fault("$", str(error), "an npz archive of numbers")]) from None
    stages = sum(name.startswith("values_") for name in arrays)
    kinds = {"format": "U", "stage": "i", "parent": "i", "conditional_probability": "f", "names": "U"}
    kinds |= {"sha256": "U"} | {f"values_{stage}": "f" for stage in range(stages)}
    faults = [Fault(f"$.{name}", "nothing", "an array") for name in kinds if name not in arrays]
    faults += [Fault(f"$.{name}", "an array", "no such array") for name in arrays if name not in kinds]
    faults += [
        Fault(
            f"$.{name}",
            f"numbers of kind {arrays[name].dtype}",
            {"U": "text", "i": "integers"}.get(kind, "floats"),
        )
        for name, kind in kinds.items()
        if name in arrays and arrays[name].dtype.kind != kind
    ]
    if not faults and str(arrays["format"]) != FORMAT:
        faults.append(Fault("$.format", preview(str(arrays["format"])), preview(FORMAT)))
    if faults:
        raise InvalidInput(faults)
    return _tree(
        arrays["stage"].astype(np.int64),
        arrays["parent"].astype(np.int64),
        arrays["conditional_probability"].astype(np.float64),
        tuple(arrays[f"values_{stage}"].astype(np.float64) for stage in range(stages)),
        _names(str(arrays["names"])),
        str(arrays["sha256"]),
    )


def _names(text: str) -> tuple[tuple[str, ...], ...]:
    fault = Fault("$.names", preview(text), "a JSON list of lists of names")
    try:
        rows = json.loads(text)
    except (ValueError, RecursionError):
        raise InvalidInput([fault]) from None
    sound = isinstance(rows, list) and all(
        isinstance(row, list) and all(isinstance(name, str) for name in row) for row in rows
    )
    if not sound:
        raise InvalidInput([fault])
    return tuple(map(tuple, rows))


def _tree(
    stage: IntArray,
    parent: IntArray,
    conditional: FloatArray,
    values: tuple[FloatArray, ...],
    names: tuple[tuple[str, ...], ...],
    digest: str | None,
) -> ScenarioTree:
    """Make the tree; what it refuses is told by the paths of the JSON form."""
    try:
        tree = ScenarioTree(stage, parent, conditional, values, names)
    except TreeError as error:
        raise InvalidInput(_as_fault(text) for text in error.faults) from None
    if digest is not None and digest != tree.sha256:
        raise InvalidInput([Fault("$.sha256", preview(digest), f"{tree.sha256}, of this content")])
    return tree


#: Where in a document the faults of `ScenarioTree` are: what a text begins with, and the field.
_PLACES = (
    (re.compile(r"(values|names)(\[\d+\])?"), ""),
    (re.compile(r"(stage|parent)\b"), ""),
    (re.compile(r"node (\d+) has parent"), "parent"),
    (re.compile(r"a node other than the root"), "parent"),
    (re.compile(r"node \d+ of stage"), "parent"),
    (re.compile(r"(conditional|children of node)\b"), "conditional_probability"),
)


def _as_fault(text: str) -> Fault:
    """Turn a fault of `ScenarioTree` into one of a document: its place, what is so, and what should be."""
    path = "$"
    for pattern, field in _PLACES:
        if found := pattern.match(text):
            path = f"$.{field or found.group()}"
            if found.re.groups == 1 and found.group(1).isdigit():
                path += f"[{found.group(1)}]"
            break
    found_there, expected, wanted = text.partition(", expected ")
    return Fault(path, found_there, wanted if expected else "a scenario tree")
