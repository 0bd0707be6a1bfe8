"""A curve by straight pieces that are never below it and nowhere further above it than is asked for.

Where the curve is concave the pieces are tangents, where it is convex they are chords, and at the ends of
each smooth section they touch it. Each piece is as long as the error allows, found by bisection: pieces of
this kind cannot be fewer.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from math import exp
from typing import TYPE_CHECKING

import numpy as np

from bondwork.arrays import freeze_fields

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from bondwork.arrays import FloatArray, IntArray
    from bondwork.market.load_curve import LoadIncentive

#: Steps of a bisection: a piece is found to 1/16,000 of what is left of its section.
BISECTIONS = 14

#: Slopes that rise by less than this share of the steepest count as equal.
SLOPE_TOLERANCE = 1e-9

#: Breakpoints of a curve that are closer to each other than this share of the whole are one.
SHORTEST = 1e-9

#: The error asked for is at least this share of the curve's largest value: below it is rounding.
SMALLEST_ERROR = 1e-12


@dataclass(frozen=True, slots=True, eq=False)
class PiecewiseLinear:
    """A continuous function by k straight pieces.

    Attributes
    ----------
    at, value
        Shape (k+1,). Ends of the pieces, ascending, and the values there.
    error
        How far above the curve the pieces are at most; they are never below it.
    """

    at: FloatArray
    value: FloatArray
    error: float

    def __post_init__(self) -> None:
        freeze_fields(self, "at", "value")

    def __call__(self, x: float) -> float:
        """Value at one place between the ends."""
        return float(np.interp(x, self.at, self.value))

    @property
    def lengths(self) -> FloatArray:
        """Shape (k,)."""
        return np.diff(self.at)

    @property
    def slopes(self) -> FloatArray:
        """Shape (k,)."""
        return np.diff(self.value) / np.diff(self.at)

    @property
    def run(self) -> IntArray:
        """Shape (k,). Number of the concave run, from 0, that each piece belongs to: all 0 if all is concave.

        A maximisation uses the pieces of a run in their order by itself; between runs it must be made to.
        """
        slopes = self.slopes
        rises = np.diff(slopes) > SLOPE_TOLERANCE * np.max(np.abs(slopes), initial=0.0)
        return np.concatenate([np.zeros(min(len(slopes), 1), dtype=np.int64), np.cumsum(rises)])

    def scaled(self, factor: float) -> PiecewiseLinear:
        """Return the function times a factor that is not negative."""
        return PiecewiseLinear(self.at, factor * self.value, factor * self.error)


@dataclass(frozen=True, slots=True)
class _Section:
    """A smooth stretch of ``amount`` times a curve that bends one way: -1 concave, 0 straight, 1 convex."""

    value: Callable[[float], float]
    slope: Callable[[float], float]
    start: float
    end: float
    bend: int


def _sections(curve: LoadIncentive, amount: float, start: float, end: float) -> Iterator[_Section]:
    least = SHORTEST * (end - start)
    places = [start]
    for each in curve.breakpoints():
        if places[-1] + least < each < end - least:
            places.append(each)
    for left, right in pairwise([*places, end]):
        middle = 0.5 * (left + right)
        if middle < curve.B:
            yield _low(curve, amount, left, right)
        elif middle <= curve.F:
            yield _straight(amount * curve.D, amount * curve.E, curve.B, left, right)
        elif curve.at(middle) <= 0.0:
            yield _straight(0.0, 0.0, 0.0, left, right)
        else:
            yield _high(curve, amount, left, right)


def _low(curve: LoadIncentive, amount: float, left: float, right: float) -> _Section:
    b, factor, shift = curve.B, amount * curve.A, amount * curve.C

    def value(x: float) -> float:
        return factor * exp(-(((x - b) / b) ** 2)) - shift

    def slope(x: float) -> float:
        u = (x - b) / b
        return -2.0 * factor * u / b * exp(-u * u)

    middle = (0.5 * (left + right) - b) / b
    return _Section(value, slope, left, right, _sign(factor * (2.0 * middle * middle - 1.0)))


def _high(curve: LoadIncentive, amount: float, left: float, right: float) -> _Section:
    factor, turn, shift = amount * curve.G, curve.H, amount * curve.I
    bend = _sign(factor)
    return _Section(
        lambda x: factor * (x - turn) ** 2 + shift, lambda x: 2.0 * factor * (x - turn), left, right, bend
    )


def _straight(height: float, slope: float, at: float, left: float, right: float) -> _Section:
    return _Section(lambda x: height + slope * (x - at), lambda _: slope, left, right, 0)


def _sign(x: float) -> int:
    return (x > 0.0) - (x < 0.0)


def overestimate(
    curve: LoadIncentive, amount: float, start: float, end: float, share: float
) -> PiecewiseLinear:
    """Straight pieces for ``amount`` times a curve between two loads, never below it.

    Parameters
    ----------
    curve
        A continuous curve.
    amount
        What f = 1 is worth: currency.
    start, end
        The loads between which the pieces are wanted.
    share
        The largest error, as a share of the range of ``amount * f`` between the two loads.

    Returns
    -------
    PiecewiseLinear
        Exact at the ends, where branches meet, and wherever the curve is straight.

    Examples
    --------
    >>> from bondwork.market.load_curve import LoadIncentive
    >>> pieces = overestimate(LoadIncentive(), 1.0, 0.5, 0.8, 1e-4)
    >>> pieces.at.tolist(), pieces.error
    ([0.5, 0.8], 0.0)
    """
    return _unit_pieces(curve, _sign(amount), start, end, share).scaled(abs(amount))


@lru_cache(maxsize=4096)
def _unit_pieces(
    curve: LoadIncentive, amount: int, start: float, end: float, share: float
) -> PiecewiseLinear:
    sections = list(_sections(curve, amount, start, end))
    ends = [start, *(section.end for section in sections)]
    extremes = [*ends, *([curve.H] if start < curve.H < end else [])]
    values = [amount * curve.at(x) for x in extremes]
    size = max(map(abs, values))
    allowed = max(share * (max(values) - min(values)), SMALLEST_ERROR * size)
    at, value, error = [start], [amount * curve.at(start)], 0.0
    for section in sections:
        for x, y, above in _pieces(section, allowed):
            at.append(x)
            value.append(y)
            error = max(error, above)
    return PiecewiseLinear(np.array(at), np.array(value), error)


def _pieces(section: _Section, allowed: float) -> Iterator[tuple[float, float, float]]:
    """Ends of the pieces of a section from its start, the value there, and the error up to there."""
    if section.bend == 0:
        yield section.end, section.value(section.end), 0.0
    elif section.bend < 0:
        yield from _tangents(section, allowed)
    else:
        yield from _chords(section, allowed)


def _tangents(section: _Section, allowed: float) -> Iterator[tuple[float, float, float]]:
    def crossing(p: float, r: float) -> tuple[float, float, float]:
        """Where the tangents at p and r meet, the value there, and by how much it is above the curve."""
        slope, other = section.slope(p), section.slope(r)
        height = section.value(p)
        if slope == other:
            return r, section.value(r), 0.0
        x = (section.value(r) - height + slope * p - other * r) / (slope - other)
        x = min(max(x, p), r)
        y = height + slope * (x - p)
        return x, y, max(y - section.value(x), 0.0)

    place = section.start
    while place < section.end:
        reached = section.end
        if crossing(place, reached)[2] > allowed:
            reached = _last(lambda r, p=place: crossing(p, r)[2] <= allowed, place, reached)  # type: ignore[misc]
        x, y, above = crossing(place, reached)
        if place < x < reached:
            yield x, y, above
        place = reached
    yield section.end, section.value(section.end), 0.0


def _chords(section: _Section, allowed: float) -> Iterator[tuple[float, float, float]]:
    def below(p: float, m: float) -> float:
        """By how much the curve at m, its tangent being parallel to a chord from p, is below the chord."""
        return section.value(p) - section.value(m) - section.slope(m) * (p - m)

    place = section.start
    while place < section.end:
        start, height, reached = place, section.value(place), section.end
        if below(start, reached) > allowed:
            middle = _last(lambda m, p=start: below(p, m) <= allowed, start, reached)  # type: ignore[misc]
            steepest = section.slope(middle)

            def is_under(q: float, p: float = start, h: float = height, s: float = steepest) -> bool:
                return section.value(q) <= h + s * (q - p)

            if not is_under(reached):
                reached = _last(is_under, middle, reached)
        slope = (section.value(reached) - height) / (reached - start)
        near = _last(lambda m, s=slope: section.slope(m) <= s, start, reached)  # type: ignore[misc]
        far = min(near + (reached - start) * 2.0**-BISECTIONS, reached)
        # the far side, lest an error be understated; but what was asked for holds by construction
        above = min(below(start, far), max(below(start, near), allowed))
        yield reached, section.value(reached), max(above, 0.0)
        place = reached


def _last(holds: Callable[[float], bool], low: float, high: float) -> float:
    """Last place up to which something holds that holds at first, and not at ``high``.

    Never ``low`` itself, so that whoever goes from place to place arrives.
    """
    first, least = low, (high - low) * 2.0**-BISECTIONS
    for _ in range(BISECTIONS):
        middle = 0.5 * (low + high)
        if holds(middle):
            low = middle
        else:
            high = middle
    return max(low, first + least)
