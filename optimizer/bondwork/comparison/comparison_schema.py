"""Comparisons as files: ``bondwork.comparison/1``, where they come in and go out."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, TypeAdapter

from bondwork.comparison.row import Row
from bondwork.problem.records import read_record

COMPARISON_FORMAT = "bondwork.comparison/1"

_ROW = TypeAdapter(Row)


class ComparisonFile(BaseModel):
    """The rows of a comparison, in the order of its table."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    format: Literal["bondwork.comparison/1"]
    rows: list[Row]


def row_to_document(row: Row) -> dict[str, Any]:
    """Turn a row into a JSON document."""
    return asdict(row)


def row_from_json(text: str) -> Row:
    """Read a row; the inverse of `row_to_document`.

    Raises
    ------
    ValueError
        It is none.
    """
    return _ROW.validate_json(text)


def rows_to_json(rows: tuple[Row, ...]) -> str:
    """Write rows as one JSON document."""
    document = {"format": COMPARISON_FORMAT, "rows": [row_to_document(row) for row in rows]}
    return json.dumps(document, indent=2, allow_nan=False) + "\n"


def rows_from_bytes(data: bytes) -> tuple[Row, ...]:
    """Read the rows of a ``bondwork.comparison/1``.

    Raises
    ------
    InvalidInput
        With every fault.
    """
    return tuple(read_record(ComparisonFile, data, lenient=True).rows)
