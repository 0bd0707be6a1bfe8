"""OR-Library's generalised assignment files as rounds.

A problem is: agents m, tasks n; m rows of n profits (or costs); m rows of n work; m capacities. A file holds
one problem, or first the number of its problems and then each of them. Line breaks carry no meaning, except
that the first two lines may tell the one from the other.

References
----------
J. E. Beasley, OR-Library, "Generalised assignment problem". I. H. Osman, OR Spektrum 17 (1995) 211-225.
D. Cattrysse, M. Salomon & L. N. Van Wassenhove, European Journal of Operational Research 72 (1994) 167-174.
P. C. Chu & J. E. Beasley, Computers & Operations Research 24 (1997) 17-23.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TextIO, TypeAlias

from bondwork.problem.faults import Fault, InvalidInput, preview
from bondwork.problem.schema import ROUND_FORMAT
from bondwork.problem.schema_types import LARGEST

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

#: What is done with the first block of numbers: largest total profit, or least total cost.
Sense: TypeAlias = Literal["max", "min"]

_OPERATOR = "operator"
_RESOURCE = "work"
_WORD = re.compile(r"\S+")
_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")

#: As much of a word as a message can show.
_LONGEST = 100

#: A file of another kind has a fault in every word; nobody reads more than this many.
_MOST_FAULTS = 100


@dataclass(frozen=True, slots=True)
class _Words:
    """The words of a file and the line each stands on."""

    words: tuple[str, ...]
    lines: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.words)

    def place(self, position: int) -> str:
        """Where a word stands, such as ``line 3, number 5``."""
        line = self.lines[position]
        return f"line {line}, number {position - bisect_left(self.lines, line) + 1}"

    def first_lines(self) -> tuple[int, int]:
        """How many words stand on the first line that has any, and on the next."""
        first = bisect_right(self.lines, self.lines[0])
        second = bisect_right(self.lines, self.lines[first]) - first if first < len(self) else 0
        return first, second

    def count(self, position: int) -> int | None:
        """Return the word as a whole number of at least 1, or ``None`` where it is none or missing."""
        word = self.words[position] if position < len(self.words) else ""
        # more than 18 digits count nothing that could stand in a file
        return int(word) if word.isascii() and word.isdigit() and len(word) <= 18 and int(word) > 0 else None


@dataclass(frozen=True, slots=True)
class _Problem:
    """Where one problem stands in a file: position of its first word, agents m and tasks n."""

    start: int
    agents: int
    tasks: int

    @property
    def size(self) -> int:
        """How many words the problem takes."""
        return 2 + 2 * self.agents * self.tasks + self.agents

    @property
    def end(self) -> int:
        """Position after its last word."""
        return self.start + self.size

    def describe(self) -> str:
        """Say how many numbers the problem needs and what for."""
        m, n = self.agents, self.tasks
        return (
            f"{self.size} numbers: agents and tasks (2), profits or costs ({m} x {n}), "
            f"work ({m} x {n}), capacities ({m})"
        )


def read_gap(source: str | os.PathLike[str] | TextIO, sense: Sense, problem: int = 1) -> dict[str, Any]:
    """Read a generalised assignment problem as a document of a ``bondwork.round/1``.

    Agents become coprocessors with a capacity, every pair of agent and task an offer that carries its own
    work. Success is certain, nothing is slashed and no collateral is posted. Maximising, the reward of a
    task is its largest profit over the agents and a bid is what the profit lacks of it, so that the net
    reward of an offer is its profit. Minimising, every task is required, rewards are 0 and bids are the
    costs: the total cost is minus the objective.

    Parameters
    ----------
    source
        Path of a file, or an open text file.
    sense
        Whether the first block of numbers holds profits to maximise or costs to minimise.
    problem
        Which problem of the file, counted from 1.

    Returns
    -------
    dict
        A JSON document, as `bondwork.load` takes it.

    Raises
    ------
    InvalidInput
        The file is not of this format; every fault has its line.
    ValueError
        ``sense`` is neither ``"max"`` nor ``"min"``.

    Examples
    --------
    >>> import io
    >>> document = read_gap(io.StringIO("1 2  5 3  2 2  4"), "max")
    >>> [(offer["task"], offer["bid"]) for offer in document["offers"]]
    [('task-1', 0), ('task-2', 0)]
    """
    if sense not in ("max", "min"):
        raise ValueError(f"sense is {sense!r}, expected 'max' or 'min'")
    name, text = _read_text(source)
    words = _split(text)
    problems = _find_problems(words)
    if not 1 <= problem <= len(problems):
        holds = "1: the file holds one problem" if len(problems) == 1 else f"1 to {len(problems)}"
        raise InvalidInput([Fault("problem", str(problem), holds)])
    if len(problems) > 1:
        name = f"{name} problem {problem}"
    verb = "maximise" if sense == "max" else "minimise"
    return _make_round(
        _numbers(words, problems[problem - 1]), problems[problem - 1], sense, f"{name}, {verb}"
    )


def _read_text(source: str | os.PathLike[str] | TextIO) -> tuple[str, str]:
    try:
        if isinstance(source, str) or hasattr(source, "__fspath__"):
            path = Path(source)
            return path.stem, path.read_text(encoding="utf-8-sig")
        return "gap", source.read()
    except UnicodeDecodeError as error:
        found = f"byte 0x{error.object[error.start]:02x}"
        raise InvalidInput([Fault(f"byte {error.start}", found, "a text file of numbers")]) from None


def _split(text: str) -> _Words:
    words: list[str] = []
    lines: list[int] = []
    faults: list[Fault] = []
    for number, line in enumerate(text.split("\n"), start=1):
        for place, match in enumerate(_WORD.finditer(line), start=1):
            word = match.group()
            words.append(word)
            lines.append(number)
            if not _NUMBER.fullmatch(word) or not 0 <= float(word) <= LARGEST:
                where = f"line {number}, number {place}"
                faults.append(Fault(where, preview(word[:_LONGEST]), f"a number from 0 to {LARGEST:g}"))
                if len(faults) == _MOST_FAULTS:
                    raise InvalidInput(faults)
    if faults:
        raise InvalidInput(faults)
    return _Words(tuple(words), tuple(lines))


def _find_problems(words: _Words) -> list[_Problem]:
    """Find the problems of a file, by its first lines; where these say nothing, by which counts fit."""
    if not len(words):
        raise InvalidInput([Fault("line 1", "an empty file", "the number of agents and the number of tasks")])
    match words.first_lines():
        case (2, _):
            return _read_one(words)
        case (1, 2):
            return _read_many(words)
    found: list[list[_Problem]] = []
    refusals: list[InvalidInput] = []
    for reading in (_read_one, _read_many):
        try:
            found.append(reading(words))
        except InvalidInput as refusal:
            refusals.append(refusal)
    if len(found) == 2:
        both = f"numbers that make up one problem or {_count(len(found[1]), 'problem')}"
        expected = "a line break after the number of problems, or after the numbers of agents and tasks"
        raise InvalidInput([Fault(words.place(0), both, expected)])
    if not found:
        raise refusals[0]
    return found[0]


def _read_one(words: _Words) -> list[_Problem]:
    problem = _problem_at(words, 0)
    _check_end(words, problem, "")
    if problem.end < len(words):
        raise InvalidInput([_surplus(words, problem.end, problem.describe())])
    return [problem]


def _read_many(words: _Words) -> list[_Problem]:
    expected = words.count(0)
    if expected is None:
        found = preview(words.words[0])
        raise InvalidInput([Fault(words.place(0), found, "the number of problems, a whole number >= 1")])
    promised = f"{_count(expected, 'problem')}, as line {words.lines[0]} says"
    problems: list[_Problem] = []
    position = 1
    while len(problems) < expected:
        which = f"problem {len(problems) + 1} of {expected}"
        if position >= len(words):
            found = f"the end of the file after {_count(len(problems), 'problem')}"
            raise InvalidInput([Fault(f"line {words.lines[-1]}", found, promised)])
        problem = _problem_at(words, position, f" of {which}")
        _check_end(words, problem, f" for {which}")
        problems.append(problem)
        position = problem.end
    if position < len(words):
        raise InvalidInput([_surplus(words, position, promised)])
    return problems


def _problem_at(words: _Words, start: int, which: str = "") -> _Problem:
    faults = []
    for position, what in ((start, "agents"), (start + 1, "tasks")):
        if words.count(position) is None:
            inside = position < len(words)
            place = words.place(position) if inside else f"line {words.lines[-1]}"
            found = preview(words.words[position]) if inside else "the end of the file"
            faults.append(Fault(place, found, f"the number of {what}{which}, a whole number >= 1"))
    agents, tasks = words.count(start), words.count(start + 1)
    if faults or agents is None or tasks is None:
        raise InvalidInput(faults)
    return _Problem(start, agents, tasks)


def _check_end(words: _Words, problem: _Problem, which: str) -> None:
    if problem.end > len(words):
        found = f"the end of the file after {len(words) - problem.start} numbers{which}"
        expected = f"{problem.describe()}, as line {words.lines[problem.start]} says"
        raise InvalidInput([Fault(f"line {words.lines[-1]}", found, expected)])


def _surplus(words: _Words, position: int, expected: str) -> Fault:
    found = _count(len(words) - position, "more number")
    return Fault(words.place(position), found, f"the end of the file after {expected}")


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _numbers(words: _Words, problem: _Problem) -> list[Decimal]:
    """Return the numbers of a problem after its counts, exactly as they are written."""
    return [Decimal(word) for word in words.words[problem.start + 2 : problem.end]]


def _make_round(numbers: Sequence[Decimal], problem: _Problem, sense: Sense, name: str) -> dict[str, Any]:
    m, n = problem.agents, problem.tasks
    value = [numbers[i * n : (i + 1) * n] for i in range(m)]
    work = [numbers[(m + i) * n : (m + i + 1) * n] for i in range(m)]
    capacity = numbers[2 * m * n :]
    minimising = sense == "min"
    reward = [Decimal(0) if minimising else max(column) for column in zip(*value, strict=True)]
    return {
        "format": ROUND_FORMAT,
        "name": name,
        "currency": "unit",
        "operators": [{"id": _OPERATOR}],
        "coprocessors": [
            {"id": f"agent-{i + 1}", "capacity": {_RESOURCE: _json(capacity[i])}} for i in range(m)
        ],
        "tasks": [
            {
                "id": f"task-{j + 1}",
                "operator": _OPERATOR,
                "reward": _json(reward[j]),
                "slashing": 0,
                "required": minimising,
            }
            for j in range(n)
        ],
        "offers": [
            {
                "task": f"task-{j + 1}",
                "coprocessor": f"agent-{i + 1}",
                "bid": _json(value[i][j] if minimising else reward[j] - value[i][j]),
                "collateral": 0,
                "success_probability": 1.0,
                "work": {_RESOURCE: _json(work[i][j])},
            }
            for j in range(n)
            for i in range(m)
        ],
    }


def _json(number: Decimal) -> int | float:
    return int(number) if number == number.to_integral_value() else float(number)
