"""Certificates: the multipliers that prove a bound or that nothing is feasible, as a plan lists them.

One flat array holds them all. Each entry starts with the word of a limit, then says whose it is by positions
in the round, then the multiplier; limits on the tail go on with pairs of a scenario and its weight::

    "capacity", coprocessor, resource, y         "collateral", coprocessor, y
    "own_capacity", operator, resource, y        "stake", operator, y
    "deadline", coprocessor, time, y             "window", coprocessor, begin, time, y
                                                 "expected", risk limit, member, y
    "load", coprocessor, y                       "mean_risk", 0, scenario, weight, ...
    "task", task, y
    "cvar", risk limit, member, y, scenario, weight, ...       (worst_case, chance, solvency alike)
    "ambiguous", risk limit, member, y, offer, weight, ...

Limits hold at every node of a round with later stages. ``"node", n`` makes node n the one that the entries
after it are about, by its number in the tree that the plan was made on; entries before any are about node 0,
what is decided at once.

Each limit stands once at each node, with each scenario once. What is not listed is 0. The rows of tasks need
no multipliers: their best ones follow from the others. Where some are listed all the same, each executor's
own limits are those of a knapsack of its own.
"""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

#: What the array holds.
Token = str | int | float

#: How many positions say whose limit an entry is about, word by word.
POSITIONS: Final = {
    "capacity": 2,
    "own_capacity": 2,
    "collateral": 1,
    "stake": 1,
    "deadline": 2,
    "window": 3,
    "expected": 2,
    "load": 1,
    "task": 1,
    "mean_risk": 0,
    "cvar": 2,
    "worst_case": 2,
    "chance": 2,
    "solvency": 2,
    "ambiguous": 2,
}

#: Words whose last position is a time.
TIMED: Final = frozenset({"deadline", "window"})

#: The word behind which stands the node that the entries after it are about.
NODE: Final = "node"

#: Words whose entries go on with scenarios (or offers) and weights.
WEIGHTED: Final = frozenset({"mean_risk", "cvar", "worst_case", "chance", "solvency", "ambiguous"})

#: Words whose multipliers have either sign: of a load, and of a task that is required.
SIGNED: Final = frozenset({"load", "task"})

#: No tree has more nodes.
MOST_NODES: Final = 2**53

#: Longer arrays are not read: they would take whoever reads them long to refuse.
MOST_TOKENS: Final = 4_000_000

#: Whole numbers of JSON may have more digits than a double has.
_LARGEST: Final = sys.float_info.max


class BadCertificate(ValueError):
    """An array that is no certificate of the round; the message says where and why."""


@dataclass(frozen=True, slots=True)
class Entry:
    """The multiplier of one limit.

    Attributes
    ----------
    word
        Kind of the limit, one of `POSITIONS`.
    about
        Whose it is.
    y
        The multiplier: currency per unit of the limit.
    weights
        Weight of each scenario (of each offer for ``ambiguous``) that has one.
    node
        Where the limit holds, by its number in the tree of a round with later stages; 0 for now.
    """

    word: str
    about: tuple[int | float, ...]
    y: float
    weights: tuple[tuple[int, float], ...] = ()
    node: int = 0


def write_entries(entries: Iterable[Entry]) -> list[Token]:
    """Return the array of some entries; those of one node are best beside one another.

    Examples
    --------
    >>> write_entries([Entry("collateral", (2,), 0.5), Entry("cvar", (0, 0), 1.0, ((3, 1.0),))])
    ['collateral', 2, 0.5, 'cvar', 0, 0, 1.0, 3, 1.0]
    >>> write_entries([Entry("stake", (0,), 1.0), Entry("stake", (0,), 0.5, node=7)])
    ['stake', 0, 1.0, 'node', 7, 'stake', 0, 0.5]
    """
    tokens: list[Token] = []
    node = 0
    for each in entries:
        if each.node != node:
            node = each.node
            tokens += [NODE, node]
        tokens += [each.word, *each.about, each.y]
        for place, weight in each.weights:
            tokens += [place, weight]
    return tokens


def read_entries(tokens: Sequence[Token]) -> list[Entry]:
    """Read an array.

    Raises
    ------
    BadCertificate
        Where it is not built as the format says, lists something twice, or is longer than any that is read.
        Positions are not looked up here.

    Examples
    --------
    >>> read_entries(["stake", 0, 1.5])
    [Entry(word='stake', about=(0,), y=1.5, weights=(), node=0)]
    """
    if len(tokens) > MOST_TOKENS:
        raise BadCertificate(f"an array of {len(tokens)} tokens; {MOST_TOKENS} are read")
    starts = [place for place, token in enumerate(tokens) if isinstance(token, str)]
    if tokens and (not starts or starts[0] != 0):
        raise BadCertificate("the first entry does not start with a word")
    entries: list[Entry] = []
    node, known = 0, set()
    for first, last in pairwise([*starts, len(tokens)]):
        if tokens[first] == NODE:
            node = _node(tokens[first:last], first)
        else:
            entry = _entry(tokens[first:last], first, node)
            if (key := (entry.word, entry.about, node)) in known:
                raise BadCertificate(f"the entry at {first} is about a limit that another is about")
            known.add(key)
            entries.append(entry)
    return entries


def _node(tokens: Sequence[Token], place: int) -> int:
    numbers = tokens[1:]
    if len(numbers) != 1 or isinstance(numbers[0], bool) or not isinstance(numbers[0], int):
        raise BadCertificate(f"the word node at {place} goes on with one whole number")
    if not 0 <= numbers[0] <= MOST_NODES:
        raise BadCertificate(f"no tree has the node at {place}")
    return numbers[0]


def _entry(tokens: Sequence[Token], place: int, node: int) -> Entry:
    word = str(tokens[0])
    if word not in POSITIONS:
        raise BadCertificate(f"{word!r} at {place} is no kind of limit")
    size = POSITIONS[word]
    numbers = [token for token in tokens[1:] if not isinstance(token, (str, bool))]
    rest = numbers[size + 1 :]
    if len(numbers) != len(tokens) - 1 or len(numbers) < size + 1 or (rest and word not in WEIGHTED):
        raise BadCertificate(f"the entry at {place} has {len(tokens) - 1} numbers that do not fit {word}")
    if len(rest) % 2:
        raise BadCertificate(f"the last weight of the entry at {place} is missing")
    if not all(-_LARGEST <= number <= _LARGEST for number in numbers):
        raise BadCertificate(f"the entry at {place} has a number that is beyond all others")
    about, y = tuple(numbers[:size]), float(numbers[size])
    whole = about[:-1] if word in TIMED else about
    places, weights = rest[::2], rest[1::2]
    if not all(isinstance(each, int) for each in (*whole, *places)):
        raise BadCertificate(f"the entry at {place} has a position that is no whole number")
    signed = word in SIGNED
    for number in (y, *weights):
        if not math.isfinite(number) or (number < 0.0 and not signed):
            raise BadCertificate(f"the entry at {place} has the multiplier {number:g}")
    if len(set(places)) < len(places):
        raise BadCertificate(f"the entry at {place} has two weights for one place")
    pairs = tuple((int(each), float(weight)) for each, weight in zip(places, weights, strict=True))
    return Entry(word, about, y, pairs, node)
