"""Draws for strategies that draw much: each from a strategy of whole numbers that is made once.

Making a strategy for one draw (`st.sampled_from` of a list, `map`, `st.lists`) costs several times what the
draw does, and a round takes a hundred draws.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, TypeVar

from hypothesis import strategies as st

if TYPE_CHECKING:
    from collections.abc import Sequence

T = TypeVar("T")

_BOOLEANS = st.booleans()


@cache
def integers(low: int, high: int) -> st.SearchStrategy[int]:
    """The strategy of whole numbers from one to another, made once."""
    return st.integers(low, high)


def whole(draw: st.DrawFn, low: int, high: int) -> int:
    """Draw a whole number."""
    return draw(integers(low, high))


def quarters(draw: st.DrawFn, most: float) -> float:
    """Draw a multiple of a quarter."""
    return whole(draw, 0, round(4 * most)) / 4


def either(draw: st.DrawFn) -> bool:
    """Draw true or false."""
    return draw(_BOOLEANS)


def sometimes(draw: st.DrawFn, one_in: int) -> bool:
    """Draw true once in so often; false is what a failing example shrinks to."""
    return whole(draw, 0, one_in - 1) == one_in - 1


def one_of(draw: st.DrawFn, choices: Sequence[T]) -> T:
    """Choose one; a failing example shrinks to the first."""
    return choices[whole(draw, 0, len(choices) - 1)]


def some_of(draw: st.DrawFn, choices: Sequence[T], least: int, most: int) -> list[T]:
    """Choose different ones, in any order."""
    left = list(choices)
    count = whole(draw, least, min(most, len(left)))
    return [left.pop(whole(draw, 0, len(left) - 1)) for _ in range(count)]
