"""What every file format has in common where it comes in: strict records, and faults at their paths.

The base of all pydantic classes at the project's boundaries but the round's own, whose checks reach further.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, ValidationError

from bondwork.problem.document import parse_document
from bondwork.problem.faults import InvalidInput, faults_of_schema

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Where a document comes from: a path, its bytes, or the document itself.
Source: TypeAlias = str | Path | bytes | Mapping[str, Any]

Kind = TypeVar("Kind", bound=BaseModel)


class Record(BaseModel):
    """An object of a format: no unknown fields, no conversions, nothing infinite, never changed."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


def document_of(source: Source) -> Any:
    """Read a JSON document.

    Raises
    ------
    InvalidInput
        It is none.
    OSError
        The file cannot be read.
    """
    if isinstance(source, Mapping):
        return dict(source)
    return parse_document(source if isinstance(source, bytes) else Path(source).read_bytes())


def read_record(kind: type[Kind], source: Source, *, lenient: bool = False) -> Kind:
    """Read a record from a path, from bytes or from a mapping.

    Parameters
    ----------
    kind
        What is to be read.
    source
        Where from.
    lenient
        Take lists for tuples, as classes that are no pydantic models themselves need.

    Raises
    ------
    InvalidInput
        With every fault, at its path.

    Examples
    --------
    >>> class Point(Record):
    ...     x: float
    >>> read_record(Point, {"x": 1.5})
    Point(x=1.5)
    """
    document = document_of(source)
    try:
        if lenient:
            return kind.model_validate_json(json.dumps(document))
        return kind.model_validate(document)
    except ValidationError as error:
        names = set(field_names(kind))
        raise InvalidInput(faults_of_schema(error.errors(include_url=False), document, names)) from None


def field_names(kind: type[BaseModel]) -> Iterator[str]:
    """Names of all fields of a record and of the records in it: what a misspelt one may have meant."""
    waiting: list[Any] = [kind]
    seen: set[Any] = set()
    while waiting:
        each = waiting.pop()
        if each in seen:
            continue
        seen.add(each)
        if isinstance(each, type) and issubclass(each, BaseModel):
            yield from each.model_fields
            waiting += [field.annotation for field in each.model_fields.values()]
        elif isinstance(each, type) and hasattr(each, "__dataclass_fields__"):
            yield from each.__dataclass_fields__
        else:
            waiting += [part for part in get_args(each) if not isinstance(part, str)]
