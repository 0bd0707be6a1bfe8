"""Documents on their way in and out of a command."""

from __future__ import annotations

import dataclasses
import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bondwork import console

if TYPE_CHECKING:
    from bondwork.plan.plan import Plan
    from bondwork.problem.instance import Instance
    from bondwork.program.program_solution import ProgramSolution


def read_bytes(source: str) -> bytes:
    """Read a file, or standard input for ``-``."""
    return sys.stdin.buffer.read() if source == "-" else Path(source).read_bytes()


def read_either(source: str) -> tuple[Any, Instance | None]:
    """Read a document; the instance too, where it is a round and no stochastic program."""
    from bondwork.problem.document import parse_document
    from bondwork.problem.reading import read_document
    from bondwork.program.program_schema import is_program

    start = time.perf_counter()
    document = parse_document(read_bytes(source))
    if is_program(document):
        return document, None
    instance = read_document(document)
    return document, dataclasses.replace(instance, read_seconds=time.perf_counter() - start)


def beside_history(instance: Instance, history: Path | None) -> Instance:
    """Put a history file beside a round, where there is one."""
    if history is None:
        return instance
    from bondwork.uncertainty.bootstrap import with_history

    return with_history(instance, history)


def load_round(source: str) -> Instance:
    """Read a round from a file, or from standard input for ``-``."""
    from bondwork.problem.reading import load

    return load(sys.stdin.buffer if source == "-" else source)


def hand_out(text: str, output: Path | None, *inputs: str | Path | None) -> None:
    """Write a document to a file, or to standard output; to none of the files that it was made of."""
    console.check_writable(output, *inputs)
    if output is None or str(output) == "-":
        console.hand_out(text)
    else:
        console.write(output, text)


def print_json(document: dict[str, Any]) -> None:
    """Write a document to standard output."""
    console.hand_out(json.dumps(document, indent=2, allow_nan=False) + "\n")


def exit_code(answer: Plan | ProgramSolution) -> int:
    """Exit code that says what an answer holds."""
    if answer.status == "interrupted":
        return 130
    if answer.is_usable():
        return 0
    if answer.status in ("infeasible", "dual_infeasible", "infeasible_or_unbounded"):
        return 3
    return 5 if answer.status in ("numerical_error", "other_error") else 4
