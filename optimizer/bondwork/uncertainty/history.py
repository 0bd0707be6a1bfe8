"""A history of observed outcomes, from which scenarios can be resampled instead of modelled (bootstrap).

A file is CSV with the header ``round,executor,done,failed``: how many pieces of work an executor had in a
round, and how many of them failed. Rows of one round and executor add up. Rounds are whatever labels the file
uses. Or it is JSON that says the same:

    {"format": "bondwork.history/1",
     "outcomes": [{"round": "1", "executor": "cp-1", "done": 4, "failed": 1}, ...]}
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bondwork.arrays import freeze_fields
from bondwork.problem.document import parse_document
from bondwork.problem.faults import Fault, InvalidInput, preview

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from bondwork.arrays import FloatArray, IntArray

_HEADER = ["round", "executor", "done", "failed"]

#: Rounds without which there is nothing to resample: one round would come out every time.
LEAST_ROUNDS = 2


@dataclass(frozen=True, slots=True, eq=False)
class OutcomeHistory:
    """Outcomes of T past rounds at H executors.

    Attributes
    ----------
    executors
        H ids.
    done, failed
        Shape (T, H), int. Pieces of work of each round, and failures among them.

    Examples
    --------
    >>> history = OutcomeHistory.from_rows([("1", "cp-1", 4, 1), ("2", "cp-1", 2, 2), ("2", "cp-2", 5, 0)])
    >>> history.rates(["cp-1", "cp-2"]).tolist()
    [[0.25, 0.0], [1.0, 0.0]]
    """

    executors: tuple[str, ...]
    done: IntArray
    failed: IntArray

    def __post_init__(self) -> None:
        shape = (len(self.done), len(self.executors))
        for name in ("done", "failed"):
            if getattr(self, name).shape != shape:
                raise ValueError(
                    f"{name} has shape {getattr(self, name).shape}, expected (rounds, executors)"
                )
        if shape[0] == 0:
            raise ValueError("a history needs at least one round")
        if np.any((self.failed < 0) | (self.failed > self.done)):
            raise ValueError("failed must lie between 0 and done")
        freeze_fields(self, "done", "failed")

    @classmethod
    def from_rows(cls, rows: Iterable[tuple[str, str, int, int]]) -> OutcomeHistory:
        """Make a history from (round, executor, done, failed), rounds in order of appearance."""
        rounds: dict[str, int] = {}
        executors: dict[str, int] = {}
        entries = []
        for label, executor, done, failed in rows:
            at = rounds.setdefault(label, len(rounds)), executors.setdefault(executor, len(executors))
            entries.append((at, done, failed))
        counts = np.zeros((2, len(rounds), len(executors)), dtype=np.int64)
        for at, done, failed in entries:
            counts[0][at] += done
            counts[1][at] += failed
        return cls(tuple(executors), counts[0], counts[1])

    @property
    def sha256(self) -> str:
        """Digest of the content, whatever file it came from."""
        digest = sha256(repr(("bondwork.history/1", self.executors)).encode())
        for counts in (self.done, self.failed):
            digest.update(np.ascontiguousarray(counts, dtype="<i8").tobytes())
        return digest.hexdigest()

    def without_work(self, executors: Iterable[str]) -> list[str]:
        """Those of ``executors`` of which the history holds nothing, sorted."""
        seen = {name for number, name in enumerate(self.executors) if self.done[:, number].any()}
        return sorted(set(executors) - seen)

    def rates(self, executors: Sequence[str], *, missing: str = "refuse") -> FloatArray:
        """Failure rate of each executor in each round, shape (T, len(executors)), for `sample_outcomes`.

        A round in which an executor had nothing to do counts with its mean rate, so that it says nothing.

        Parameters
        ----------
        executors
            Ids, in the order in which a law numbers its executors.
        missing
            ``"refuse"``, or ``"independent"``: executors without any history fail independently.

        Raises
        ------
        ValueError
            Naming all executors without history, unless ``missing`` is ``"independent"``.
        """
        if missing not in ("refuse", "independent"):
            raise ValueError(f"missing is {missing!r}, expected 'refuse' or 'independent'")
        column = {name: number for number, name in enumerate(self.executors) if self.done[:, number].any()}
        unknown = sorted({name for name in executors if name not in column})
        if unknown and missing == "refuse":
            raise ValueError(f"the history holds nothing of {', '.join(unknown)}")
        rates = np.zeros((len(self.done), len(executors)))
        for number, name in enumerate(executors):
            if name in column:
                done, failed = self.done[:, column[name]], self.failed[:, column[name]]
                seen = done > 0
                rates[seen, number] = failed[seen] / done[seen]
                rates[~seen, number] = rates[seen, number].mean()
        return rates


def read_history(
    source: str | Path | bytes | Mapping[str, Any], *, least_rounds: int = LEAST_ROUNDS
) -> OutcomeHistory:
    """Read a history; see the module for its two forms.

    Parameters
    ----------
    source
        Path of a CSV or JSON file, its bytes, or the JSON document as a mapping.
    least_rounds
        How many rounds are needed: to resample, two, as one round would come out every time.

    Raises
    ------
    InvalidInput
        With every fault: its line or JSON path, what was found and what was expected; too few rounds.
    OSError
        The file cannot be read.

    Examples
    --------
    >>> rows = ["round,executor,done,failed", "1,cp-1,4,1", "2,cp-1,5,0"]
    >>> read_history(chr(10).join(rows).encode()).rates(["cp-1"]).tolist()
    [[0.25], [0.0]]
    """
    from bondwork.uncertainty.history_schema import rows_of_document  # pydantic, for JSON only

    if isinstance(source, Mapping):
        rows = rows_of_document(dict(source))
    else:
        content = source if isinstance(source, bytes) else Path(source).read_bytes()
        is_json = content.lstrip(b"\xef\xbb\xbf \t\r\n").startswith((b"{", b"["))
        rows = rows_of_document(parse_document(content)) if is_json else _rows_of_csv(content)
    rounds = len({label for label, *_ in rows})
    if rounds < least_rounds:
        raise InvalidInput([Fault("history", f"{rounds} round", f"at least {least_rounds} rounds")])
    return OutcomeHistory.from_rows(rows)


def _rows_of_csv(content: bytes) -> list[tuple[str, str, int, int]]:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        at = content[: error.start].count(b"\n") + 1
        raise InvalidInput([Fault(f"line {at}", "bytes that are not UTF-8", "UTF-8 text")]) from None
    reader = csv.reader(io.StringIO(text, newline=""))
    faults: list[Fault] = []
    rows: list[tuple[str, str, int, int]] = []
    try:
        header = next(reader, [])
        if header != _HEADER:
            raise InvalidInput([Fault("line 1", preview(",".join(header)), preview(",".join(_HEADER)))])
        for row in reader:
            if not row:
                continue
            line = f"line {reader.line_num}"
            if len(row) != len(_HEADER):
                faults.append(Fault(line, f"{len(row)} fields", f"{len(_HEADER)}"))
                continue
            label, executor, done, failed = row
            faults += [
                Fault(line, f"an empty {name}", "a name")
                for name, given in (("round", label), ("executor", executor))
                if not given
            ]
            counts = [int(each) if _is_count(each) else -1 for each in (done, failed)]
            if not 0 <= counts[1] <= counts[0]:
                found = f"done {preview(done)}, failed {preview(failed)}"
                faults.append(Fault(line, found, "whole numbers with 0 <= failed <= done"))
                continue
            rows.append((label, executor, counts[0], counts[1]))
    except csv.Error as error:
        faults.append(Fault(f"line {reader.line_num}", str(error), "comma-separated values"))
    if not rows and not faults:
        faults.append(Fault("history", "no rows", "at least one"))
    if faults:
        raise InvalidInput(faults)
    return rows


def _is_count(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) < 16
