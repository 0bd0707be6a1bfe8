"""What a comparison has done so far, on disk after every solve: killed at any instant, it goes on from there.

One JSON line a row, after a line that says which study it is of. A line is whole or it is the last one.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

from bondwork.comparison.comparison_schema import row_from_json, row_to_document
from bondwork.problem.faults import Fault, InvalidInput

if TYPE_CHECKING:
    from pathlib import Path

    from bondwork.comparison.row import Row
    from bondwork.comparison.study import Study

JOURNAL_FORMAT = "bondwork.journal/1"


class Journal:
    """The rows of a study that are done.

    Parameters
    ----------
    path
        Made where it is not there; gone on with where it is.
    study
        Whose rows they are.

    Raises
    ------
    InvalidInput
        The file is of another study, or no journal at all: it stays as it is.
    """

    def __init__(self, path: Path, study: Study) -> None:
        self.path = path
        self.study = study
        if path.exists() and not path.is_file():  # reading a pipe would wait for ever
            raise InvalidInput([Fault(str(path), "what is no file", f"a {JOURNAL_FORMAT}, or no file")])
        self.rows: dict[tuple[int, int, int], Row] = {}
        whole = self._read(path.read_bytes()) if path.exists() else 0
        self._file = path.open("ab")
        self._file.truncate(whole)
        if whole == 0:
            self._append(self._head())

    def add(self, cell: tuple[int, int, int], row: Row) -> None:
        """Note a row; it is on disk when this returns."""
        self._append(_line({"cell": cell, "row": row_to_document(row)}))
        self.rows[cell] = row

    def close(self) -> None:
        """Write no more."""
        self._file.close()

    def _head(self) -> bytes:
        return _line({"format": JOURNAL_FORMAT, "study": self.study.digest()})

    def _append(self, line: bytes) -> None:
        self._file.write(line)
        self._file.flush()
        os.fsync(self._file.fileno())

    def _read(self, data: bytes) -> int:
        """Take in the rows; return how many bytes are whole lines of this study."""
        *lines, torn = data.split(b"\n")
        if not lines:
            # killed before the first line was whole; whatever else is there is not ours to overwrite
            if not self._head().startswith(torn):
                self._check(torn)
            return 0
        self._check(lines[0])
        # the last line may have been torn by whatever ended the last run: that row is solved again
        for number, line in enumerate(lines[1:], start=2):
            try:
                document = json.loads(line)
                cell = tuple(document["cell"])
                self.rows[cell] = row_from_json(json.dumps(document["row"]))
            except (ValueError, KeyError, TypeError, RecursionError):
                fault = Fault(f"{self.path}: line {number}", "what is no row", "a row of this comparison")
                raise InvalidInput([fault]) from None
        return len(data) - len(torn)

    def _check(self, line: bytes) -> None:
        try:
            head = json.loads(line)
            found = head["format"], head["study"]
        except (ValueError, KeyError, TypeError, RecursionError):
            raise InvalidInput(
                [Fault(f"{self.path}: line 1", "something else", f"a {JOURNAL_FORMAT}")]
            ) from None
        if found[0] != JOURNAL_FORMAT:
            raise InvalidInput([Fault(f"{self.path}: line 1", "something else", f"a {JOURNAL_FORMAT}")])
        if found[1] != self.study.digest():
            raise InvalidInput(
                [Fault(f"{self.path}: line 1", "the journal of another study", "this study's, or no file")]
            )


def _line(document: dict[str, object]) -> bytes:
    return json.dumps(document, allow_nan=False).encode() + b"\n"
