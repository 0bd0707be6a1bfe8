"""Reading a round: the one door through which JSON comes in."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from pydantic import ValidationError

from bondwork.problem import schema
from bondwork.problem.assembly import Assembly
from bondwork.problem.document import collection_paused, parse_document
from bondwork.problem.faults import Fault, InvalidInput, faults_of_schema
from bondwork.problem.sections import Sections

if TYPE_CHECKING:
    from bondwork.problem.instance import Instance


def load(source: str | Path | bytes | BinaryIO | Mapping[str, Any]) -> Instance:
    """Read one round and check it.

    Parameters
    ----------
    source
        Path of a JSON file, its bytes, an open binary stream, or the document itself as a mapping.

    Returns
    -------
    Instance
        The round as immutable arrays.

    Raises
    ------
    InvalidInput
        With every fault of the input: JSON path, value found, value expected.
    OSError
        The file cannot be read.

    Examples
    --------
    >>> import bondwork
    >>> instance = bondwork.load({
    ...     "format": "bondwork.round/1",
    ...     "operators": [{"id": "op"}],
    ...     "coprocessors": [{"id": "cp"}],
    ...     "tasks": [{"id": "t", "operator": "op", "reward": 5, "slashing": "2.5"}],
    ...     "offers": [{"task": "t", "coprocessor": "cp", "bid": 1, "success_probability": 0.9}],
    ... })
    >>> len(instance.offers)
    1
    """
    start = time.perf_counter()
    if isinstance(source, Mapping):
        document: Any = dict(source)
    elif isinstance(source, str | Path):
        document = parse_document(Path(source).read_bytes())
    elif isinstance(source, bytes):
        document = parse_document(source)
    elif hasattr(source, "read"):
        document = parse_document(source.read())
    else:
        raise TypeError(
            f"load takes a path, bytes, a binary stream or a mapping; got {type(source).__name__}"
        )
    instance = read_document(document)
    return dataclasses.replace(instance, read_seconds=time.perf_counter() - start)


def read_document(document: Any) -> Instance:
    """Check a JSON document and make it an `Instance`; see `load`."""
    with collection_paused():
        try:
            sections = Sections.of_round(schema.Round.model_validate(document))
            faults: list[Fault] = []
        except ValidationError as error:
            details = error.errors(include_url=False)
            faults = faults_of_schema(details, document, schema.field_names())
            if not isinstance(document, dict):
                raise InvalidInput(faults) from None
            sections = Sections.of_malformed(document)
        assembly = Assembly(sections)
        instance = assembly.instance()
    if faults or instance is None:
        raise InvalidInput(faults + assembly.faults) from None
    return dataclasses.replace(instance, sha256=content_digest(instance))


def content_digest(instance: Instance) -> str:
    """SHA-256 of what a round says, whatever its layout on disk: the same for JSON, mapping and arrays."""
    digest = hashlib.sha256()
    _feed(digest, instance)
    return digest.hexdigest()


def _feed(digest: Any, value: Any) -> None:
    if isinstance(value, np.ndarray):
        digest.update(f"{value.dtype.str}{value.shape}".encode())
        digest.update(np.ascontiguousarray(value).data)
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        for each in dataclasses.fields(value):
            if each.name in ("constraints", "worth") and not getattr(value, each.name):
                continue  # rounds without any keep the digest that they had before there were any
            if each.name not in ("sha256", "read_seconds", "history", "beside"):
                digest.update(each.name.encode())
                _feed(digest, getattr(value, each.name))
    elif isinstance(value, tuple) and value and not isinstance(value[0], str | int | float):
        for each in value:
            _feed(digest, each)
    else:
        digest.update(json.dumps(value).encode())
