"""A history of observed outcomes, from which scenarios can be resampled instead of modelled (bootstrap).

A file is CSV with the header ``round,executor,done,failed``: how many pieces of work an executor had in a
round, and how many of them failed. Rows of one round and executor add up. Rounds are whatever labels the file
uses.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bondwork.arrays import freeze_fields

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from bondwork.arrays import FloatArray, IntArray

_HEADER = ["round", "executor", "done", "failed"]


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


def read_history(path: str | Path) -> OutcomeHistory:
    """Read a history file; see the module for its form.

    Raises
    ------
    ValueError
        With every fault of the file: its line, what was found and what was expected.
    """
    faults: list[str] = []
    rows: list[tuple[str, str, int, int]] = []
    with Path(path).open(newline="", encoding="utf-8-sig") as file:
        reader = csv.reader(file)
        header = next(reader, [])
        if header != _HEADER:
            raise ValueError(f"{path}: line 1 is {','.join(header)!r}, expected {','.join(_HEADER)!r}")
        for row in reader:
            if not row:
                continue
            if len(row) != len(_HEADER):
                faults.append(f"line {reader.line_num}: {len(row)} fields, expected {len(_HEADER)}")
                continue
            label, executor, done, failed = row
            if not (done.isdecimal() and failed.isdecimal() and int(failed) <= int(done)):
                faults.append(
                    f"line {reader.line_num}: done {done!r}, failed {failed!r}, expected whole numbers with "
                    "0 <= failed <= done"
                )
                continue
            rows.append((label, executor, int(done), int(failed)))
    if not rows and not faults:
        faults.append("no rows, expected at least one")
    if faults:
        raise ValueError(f"{path}: " + "; ".join(faults))
    return OutcomeHistory.from_rows(rows)
