"""Multipliers of a stochastic program's rows, as the certificate of a solution lists them.

One flat array. A node's entry goes on with pairs of a row and its multiplier, the program's linking rows
stand in an entry of their own; everything by its position in the document, and what is not listed is 0::

    "rows", node, row, y, row, y, ...        "linking", row, y, ...

A multiplier that no double is stands as a fraction: ``"-1/3"``.
"""

from __future__ import annotations

import math
import re
from fractions import Fraction
from itertools import pairwise
from typing import TYPE_CHECKING, TypeAlias

from bondwork.plan.certificate import BadCertificate, Token

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

#: Node and row; -1 for a linking row.
Place: TypeAlias = tuple[int, int]

#: A double, or a fraction.
Multiplier: TypeAlias = float | Fraction

#: The node of linking rows.
LINKING = -1

#: A fraction as it is written, and how long it may be.
_FRACTION, _LONGEST = re.compile(r"-?[0-9]+/[1-9][0-9]*"), 4000


def write_multipliers(multipliers: Mapping[Place, Multiplier]) -> list[Token]:
    """Return the array of some multipliers.

    Examples
    --------
    >>> write_multipliers({(0, 1): 2.0, (0, 0): -0.5, (-1, 3): 1.0})
    ['linking', 3, 1.0, 'rows', 0, 0, -0.5, 1, 2.0]
    >>> write_multipliers({(0, 1): Fraction(1, 3), (0, 2): Fraction(1, 2)})
    ['rows', 0, 1, '1/3', 2, 0.5]
    """
    tokens: list[Token] = []
    last: int | None = None
    for node, row in sorted(multipliers):
        if node != last:
            tokens += ["linking"] if node == LINKING else ["rows", node]
            last = node
        tokens += [row, _written(multipliers[node, row])]
    return tokens


def _written(y: Multiplier) -> Token:
    try:
        near = float(y)
    except OverflowError:
        near = math.inf
    if isinstance(y, float) or (math.isfinite(near) and Fraction(near) == y):
        return near
    return f"{y.numerator}/{y.denominator}"


def read_multipliers(tokens: Sequence[Token]) -> dict[Place, Multiplier]:
    """Read an array. Nodes and rows are not looked up here.

    Raises
    ------
    BadCertificate
        Where it is not built as the format says.

    Examples
    --------
    >>> read_multipliers(["rows", 2, 0, 1.5])
    {(2, 0): 1.5}
    >>> read_multipliers(["linking", 0, "-1/3"])
    {(-1, 0): Fraction(-1, 3)}
    """
    starts = [
        place
        for place, token in enumerate(tokens)
        if isinstance(token, str) and not _FRACTION.fullmatch(token)
    ]
    if tokens and (not starts or starts[0] != 0):
        raise BadCertificate("the first entry does not start with a word")
    found: dict[Place, Multiplier] = {}
    for first, last in pairwise([*starts, len(tokens)]):
        for place, y in _entry(tokens[first:last], first):
            if place in found:
                raise BadCertificate(f"the entry at {first} has row {place[1]} a second time")
            found[place] = y
    return found


def _entry(tokens: Sequence[Token], start: int) -> list[tuple[Place, Multiplier]]:
    word, numbers = tokens[0], list(tokens[1:])
    if word not in ("rows", "linking"):
        raise BadCertificate(f"{word!r} at {start} is neither rows nor linking")
    node = LINKING
    if word == "rows":
        if not numbers or not _is_position(numbers[0]):
            raise BadCertificate(f"the entry at {start} names no node")
        node = int(numbers.pop(0))
    if len(numbers) % 2:
        raise BadCertificate(f"the last multiplier of the entry at {start} is missing")
    pairs = []
    for row, y in zip(numbers[::2], numbers[1::2], strict=True):
        if not _is_position(row):
            raise BadCertificate(f"the entry at {start} has {row!r} where a row should be")
        pairs.append(((node, int(row)), _read(y, start)))
    return pairs


def _read(y: Token, start: int) -> Multiplier:
    if isinstance(y, str) and _FRACTION.fullmatch(y) and len(y) <= _LONGEST:
        return Fraction(y)
    if isinstance(y, (str, bool)) or not _is_finite(y):
        raise BadCertificate(f"the entry at {start} has the multiplier {str(y)[:40]!r}")
    return float(y)


def _is_position(token: Token) -> bool:
    return isinstance(token, int) and not isinstance(token, bool) and token >= 0


def _is_finite(number: int | float) -> bool:
    try:
        return math.isfinite(float(number))
    except OverflowError:
        return False
