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
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bondwork.uncertainty.tree import ScenarioTree, TreeError

if TYPE_CHECKING:
    from bondwork.arrays import FloatArray

#: Name and version of the format.
FORMAT = "bondwork.tree/1"

_REQUIRED = {"format", "stage", "parent", "conditional_probability", "values"}
_OPTIONAL = {"names", "sha256"}


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
    """Read a tree.

    Raises
    ------
    TreeError
        For text that is not JSON, another format, unknown, missing or repeated fields, entries of a wrong
        kind, anything that `ScenarioTree` refuses, or a digest that does not match.
    """
    try:
        document = json.loads(text, object_pairs_hook=_without_duplicates)
    except json.JSONDecodeError as error:
        raise TreeError([f"not JSON: {error}"]) from None
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        found = document.get("format") if isinstance(document, dict) else type(document).__name__
        raise TreeError([f"format is {found!r}, expected {FORMAT!r}"])
    faults = [f"unknown field {name!r}" for name in sorted(document.keys() - _REQUIRED - _OPTIONAL)]
    faults += [f"missing field {name!r}" for name in sorted(_REQUIRED - document.keys())]
    if faults:
        raise TreeError(faults)
    try:
        values = tuple(_table(rows) for rows in document["values"])
        tree = ScenarioTree(
            stage=_whole(document["stage"], "stage"),
            parent=_whole(document["parent"], "parent"),
            conditional=np.array(document["conditional_probability"], dtype=np.float64),
            values=values,
            names=tuple(tuple(str(name) for name in names) for names in document.get("names", ())),
        )
    except (TypeError, ValueError) as error:
        if isinstance(error, TreeError):
            raise
        raise TreeError([f"entries of a wrong kind: {error}"]) from None
    return _checked(tree, document.get("sha256"))


def write_tree(tree: ScenarioTree, path: str | Path) -> None:
    """Write a tree as ``.npz`` or, under any other ending, as JSON."""
    path = Path(path)
    if path.suffix != ".npz":
        path.write_text(tree_to_json(tree) + "\n", encoding="utf-8")
        return
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
    # numpy.savez would stamp the entries with whatever zipfile's default is; here the date is fixed for good.
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in arrays.items():
            buffer = io.BytesIO()
            np.lib.format.write_array(
                buffer, np.asarray(array, order="C"), version=(1, 0), allow_pickle=False
            )
            entry = zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, buffer.getvalue())


def read_tree(path: str | Path) -> ScenarioTree:
    """Read what `write_tree` wrote; see `tree_from_json` for what is refused."""
    path = Path(path)
    if path.suffix != ".npz":
        return tree_from_json(path.read_bytes())
    try:
        with np.load(path, allow_pickle=False) as file:
            content = {name: file[name] for name in file.files}
    except (zipfile.BadZipFile, ValueError) as error:
        raise TreeError([f"{path} is not an npz file: {error}"]) from None
    fields = ("format", "stage", "parent", "conditional_probability", "names", "sha256")
    missing = [name for name in fields if name not in content]
    if missing or str(content["format"]) != FORMAT:
        raise TreeError([f"{path} is not {FORMAT}" + (f": it lacks {', '.join(missing)}" if missing else "")])
    tree = ScenarioTree(
        stage=content["stage"].astype(np.int64),
        parent=content["parent"].astype(np.int64),
        conditional=content["conditional_probability"].astype(np.float64),
        values=tuple(content[f"values_{stage}"] for stage in range(len(content) - len(fields))),
        names=tuple(tuple(row) for row in json.loads(str(content["names"]))),
    )
    return _checked(tree, str(content["sha256"]))


def _checked(tree: ScenarioTree, digest: object) -> ScenarioTree:
    if digest is not None and digest != tree.sha256:
        raise TreeError([f"sha256 is {digest!r}, but the content has {tree.sha256!r}"])
    return tree


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) != len(pairs):
        raise TreeError(["a field is given twice"])
    return document


def _table(rows: list[list[float]]) -> FloatArray:
    columns = len(rows[0]) if rows else 0
    return np.array(rows, dtype=np.float64).reshape(len(rows), columns)


def _whole(numbers: list[int], name: str) -> Any:
    if not all(isinstance(number, int) and not isinstance(number, bool) for number in numbers):
        raise TreeError([f"{name} holds something other than whole numbers"])
    return np.array(numbers, dtype=np.int64)
