"""Curves to test with: continuous ones of every shape, and the formula in its plainest form."""

from __future__ import annotations

import math

from hypothesis import strategies as st

from bondwork.market.load_curve import LoadIncentive

LETTERS = "ABCDEFGHI"


def by_hand(curve: LoadIncentive, x: float) -> float:
    """MODEL 2.7, as printed."""
    if x < curve.B:
        return curve.A * math.exp(-(((x - curve.B) / curve.B) ** 2)) - curve.C
    if x <= curve.F:
        return curve.D + (x - curve.B) * curve.E
    return max(curve.G * (x - curve.H) ** 2 + curve.I, 0.0)


def joined(a: float, b: float, c: float, e: float, f: float, g: float, h: float) -> LoadIncentive:
    """The continuous curve with these parameters; the last branch begins above 0, or ends at 0 at once."""
    d = a - c
    middle = d + (f - b) * e
    lift = max(-middle, 0.0)  # a last branch cannot begin below 0
    return LoadIncentive(a, b, c - lift, d + lift, e, f, g, h, middle + lift - g * (f - h) ** 2)


@st.composite
def continuous_curves(draw: st.DrawFn) -> LoadIncentive:
    """Rising and falling, concave and convex, with and without a cut at 0, B and F on either side of 1."""

    def number(low: float, high: float) -> float:
        return round(draw(st.floats(low, high)), 3)

    b = number(0.05, 1.2)
    return joined(
        number(-2.0, 2.0),
        b,
        number(-1.0, 1.0),
        number(-2.0, 2.0),
        round(b + number(0.0, 0.6), 3),
        number(-5.0, 5.0),
        number(0.0, 1.5),
    )


def as_json(curve: LoadIncentive, *, scale: float, weight: float, resource: str = "gpu") -> dict[str, object]:
    """The curve as a round has it."""
    letters = {letter: getattr(curve, letter) for letter in LETTERS}
    return {"resource": resource, "scale": scale, "weight": weight, **letters}
