"""Multipliers of a stochastic program's rows, as the certificate of a solution lists them.

One flat array. A node's entry goes on with pairs of a row and its multiplier, the program's linking rows
stand in an entry of their own; everything by its position in the document, and what is not listed is 0::

    "rows", node, row, y, row, y, ...        "linking", row, y, ...

A row that `bondwork.program.strengthening` makes of a row and one of its columns, by the number of the column
in the whole program::

    "opens", node, row, column, y, row, column, y, ...

A multiplier that no double is stands as a fraction: ``"-1/3"``.
"""

from __future__ import annotations

import math
import re
from fractions import Fraction
from itertools import pairwise
from typing import TYPE_CHECKING, TypeAlias

from bondwork.plan.certificate import MOST_TOKENS, BadCertificate, Token

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

#: Node and row, -1 for a linking row; or node, row and column of a row that is made of them.
Place: TypeAlias = tuple[int, int] | tuple[int, int, int]

#: A double, or a fraction.
Multiplier: TypeAlias = float | Fraction

#: The node of linking rows.
LINKING = -1

#: A fraction as it is written, and how long it may be.
_FRACTION, _LONGEST = re.compile(r"-?[0-9]+/[1-9][0-9]*"), 4000

#: Bits of the least common denominator of all fractions: those that were solved for share one, and with every
#: other that is none of theirs, sums would get longer and longer.
_MOST_BITS = 16_000


def write_multipliers(multipliers: Mapping[Place, Multiplier]) -> list[Token]:
    """Return the array of some multipliers.

    Examples
    --------
    >>> write_multipliers({(0, 1): 2.0, (0, 0): -0.5, (-1, 3): 1.0})
    ['linking', 3, 1.0, 'rows', 0, 0, -0.5, 1, 2.0]
    >>> write_multipliers({(0, 1): Fraction(1, 3), (0, 2): Fraction(1, 2)})
    ['rows', 0, 1, '1/3', 2, 0.5]
    >>> write_multipliers({(1, 0, 4): 1.0, (1, 0): 2.0})
    ['rows', 1, 0, 2.0, 'opens', 1, 0, 4, 1.0]
    """
    tokens: list[Token] = []
    last: tuple[int, int] | None = None
    for place in sorted(multipliers, key=lambda each: (each[0], len(each), each)):
        node, *rest = place
        if (node, len(rest)) != last:
            word = "opens" if len(rest) == 2 else "rows"
            tokens += ["linking"] if node == LINKING else [word, node]
            last = (node, len(rest))
        tokens += [*rest, _written(multipliers[place])]
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
        Where it is not built as the format says, or is longer than any that is read.

    Examples
    --------
    >>> read_multipliers(["rows", 2, 0, 1.5])
    {(2, 0): 1.5}
    >>> read_multipliers(["linking", 0, "-1/3"])
    {(-1, 0): Fraction(-1, 3)}
    """
    if len(tokens) > MOST_TOKENS:
        raise BadCertificate(f"an array of {len(tokens)} tokens; {MOST_TOKENS} are read")
    starts = [
        place
        for place, token in enumerate(tokens)
        if isinstance(token, str) and not _FRACTION.fullmatch(token)
    ]
    if tokens and (not starts or starts[0] != 0):
        raise BadCertificate("the first entry does not start with a word")
    found: dict[Place, Multiplier] = {}
    common = 1
    for first, last in pairwise([*starts, len(tokens)]):
        for place, y in _entry(tokens[first:last], first):
            if isinstance(y, Fraction):
                common = math.lcm(common, y.denominator)
                if common.bit_length() > _MOST_BITS:
                    raise BadCertificate(
                        f"the fractions up to the entry at {first} have too long a denominator"
                    )
            if place in found:
                raise BadCertificate(f"the entry at {first} has row {place[1]} a second time")
            found[place] = y
    return found


def _entry(tokens: Sequence[Token], start: int) -> list[tuple[Place, Multiplier]]:
    word, numbers = tokens[0], list(tokens[1:])
    if word not in ("rows", "linking", "opens"):
        raise BadCertificate(f"{word!r} at {start} is neither rows nor linking nor opens")
    node = LINKING
    if word != "linking":
        if not numbers or not _is_position(numbers[0]):
            raise BadCertificate(f"the entry at {start} names no node")
        node = int(numbers.pop(0))
    width = 3 if word == "opens" else 2
    if len(numbers) % width:
        raise BadCertificate(f"the last multiplier of the entry at {start} is missing")
    pairs: list[tuple[Place, Multiplier]] = []
    for first in range(0, len(numbers), width):
        *at, y = numbers[first : first + width]
        if not all(map(_is_position, at)):
            raise BadCertificate(f"the entry at {start} has {at[0]!r} where a row should be")
        row, *column = map(int, at)
        pairs.append(((node, row, column[0]) if column else (node, row), _read(y, start)))
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
