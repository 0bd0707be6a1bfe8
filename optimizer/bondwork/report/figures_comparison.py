"""Drawings of a comparison: quality over time, performance profiles, paired differences, sizes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from bondwork.program.bounds import gap
from bondwork.report.drawing import COLOUR, bar_height, draw, line_legend, line_options, log_axis, name_bars
from bondwork.report.page import in_unit, shorten

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.axes import Axes

    from bondwork.comparison.row import Row
    from bondwork.comparison.statistics import Difference, Profile
    from bondwork.report.page import Drawing

#: Points of a line that are drawn.
MOST_STEPS = 60

#: Gaps below this are drawn as this: zero has no logarithm.
LEAST_GAP = 1e-5

#: Seconds below this are drawn as this: clocks say nothing there.
LEAST_SECONDS = 1e-3

#: What a line of `draw_progress` follows.
Followed = Literal["gap", "shortfall"]


def progress(row: Row, followed: Followed, best_bound: float | None) -> list[tuple[float, float]]:
    """Seconds and the share that was open then, descending; empty where nothing was known.

    ``gap`` is what the row itself had proved; ``shortfall`` is how far its incumbent was from the best bound
    of any row of the problem.
    """
    points = [*row.trajectory]
    if row.objective is not None:
        points.append((row.solve, row.objective, row.bound))
    found: list[tuple[float, float]] = []
    for seconds, objective, bound in points:
        against = bound if followed == "gap" else best_bound
        if objective is None or against is None:
            continue
        open_share = max(gap(row.sign * objective, row.sign * against), LEAST_GAP)
        if not found or open_share < found[-1][1]:
            found.append((max(seconds, LEAST_SECONDS), open_share))
    if found:
        last = (max(row.solve, found[-1][0]), found[-1][1])
        found = [*_thinned(found), last]
    return found


def best_bound(rows: Mapping[str, Row]) -> float | None:
    """Tightest bound that any row of a problem proved."""
    bounds = [(row.sign * row.bound, row.bound) for row in rows.values() if row.bound is not None]
    return min(bounds)[1] if bounds else None


def draw_progress(
    rows: Mapping[str, Row], names: Sequence[str], followed: Followed, *, key: str, title: str
) -> Drawing | None:
    """Draw what was open over the time, a line for each contender; ``None`` where nobody proved anything."""
    best = best_bound(rows)
    lines = {name: progress(rows[name], followed, best) for name in names if name in rows}
    lines = {name: points for name, points in lines.items() if points}
    if not lines:
        return None

    def paint(axes: Axes) -> None:
        for name, points in lines.items():
            seconds, values = zip(*points, strict=True)
            options = line_options(names.index(name))
            axes.step(seconds, values, where="post", **options)
            axes.plot(seconds[-1], values[-1], marker="o", markersize=3.5, color=options["color"])
        axes.set_xscale("log")
        axes.set_yscale("log")
        log_axis(axes.xaxis, lambda x: f"{x:g}")
        log_axis(axes.yaxis, lambda y: f"{y:.4%}".rstrip("0%").rstrip(".") + "%")
        axes.set_xlabel("seconds")
        axes.set_ylabel("gap that is proved" if followed == "gap" else "to the best bound")

    final = sorted((points[-1][1], name) for name, points in lines.items())
    told = ", ".join(f"{shorten(name, 40)} {value:.3%}" for value, name in final[:4])
    return draw(
        paint,
        key=key,
        title=title,
        alt=f"Lines of the {followed} over the seconds, smallest at the end: {told}.",
        height=2.9,
    )


def draw_profiles(profiles: Sequence[Profile], target: float, *, key: str) -> Drawing | None:
    """Draw performance profiles; ``None`` where no problem has a plan."""
    if not any(each.ratio for each in profiles):
        return None
    furthest = max(each.ratio[-1] for each in profiles if each.ratio)

    def paint(axes: Axes) -> None:
        for number, each in enumerate(profiles):
            if not each.ratio:
                continue
            ratio = [1.0, *each.ratio, max(furthest * 1.2, 1.2)]
            share = [0.0, *each.share, each.share[-1]]
            axes.step(ratio, [100.0 * value for value in share], where="post", **line_options(number))
        axes.set_xscale("log")
        axes.set_ylim(0.0, 102.0)
        log_axis(axes.xaxis, lambda x: f"{x:g}")
        axes.set_xlabel("times the seconds of the fastest")
        axes.set_ylabel("% of the problems")

    ends = sorted(
        ((each.share[-1] if each.share else 0.0, each.contender) for each in profiles), reverse=True
    )
    told = ", ".join(f"{shorten(name, 40)} {value:.0%}" for value, name in ends[:5])
    return draw(
        paint,
        key=key,
        title=f"Within {target:.3g} of the best plan"
        if target >= 1
        else f"Within {target:.2%} of the best plan",
        alt=f"Performance profile; share of the problems on which each got there at all: {told}.",
        caption="How often a strategy got there within so many times the seconds of the fastest one. "
        "Left: speed; right: reliability.",
        legend=line_legend([each.contender for each in profiles]),
    )


def draw_forest(found: Sequence[Difference], *, key: str, title: str, confidence: float) -> Drawing | None:
    """Draw means and intervals of paired differences over all problems; ``None`` without any."""
    if not found:
        return None
    reference = shorten(found[0].reference, 40)

    def paint(axes: Axes) -> None:
        for number, each in enumerate(found):
            clear = each.low is not None and each.high is not None and (each.low > 0.0 or each.high < 0.0)
            colour = COLOUR["muted"] if not clear else COLOUR["good"] if each.mean > 0.0 else COLOUR["bad"]
            if each.low is not None and each.high is not None:
                ends = [100.0 * each.low, 100.0 * each.high]
                axes.plot(ends, [number, number], color=colour, linewidth=2.0)
                axes.plot(ends, [number, number], color=colour, linestyle="none", marker="|", markersize=7)
            axes.plot(100.0 * each.mean, number, color=colour, marker="s", markersize=5)
        axes.axvline(0.0, color=COLOUR["ink"], linewidth=1.0)
        name_bars(axes, [shorten(each.contender) for each in found])
        axes.set_xlabel("% of the larger; right is better")

    better = [shorten(each.contender, 40) for each in found if each.low is not None and each.low > 0.0]
    worse = [shorten(each.contender, 40) for each in found if each.high is not None and each.high < 0.0]
    return draw(
        paint,
        key=key,
        title=title,
        alt=f"Intervals of differences from {reference}: clearly better {', '.join(better) or 'nobody'}; "
        f"clearly worse {', '.join(worse) or 'nobody'}.",
        height=bar_height(len(found)),
        caption=f"Mean and {confidence:.0%} interval (Student t) of the paired differences from "
        f"{reference}; grey where the interval holds 0, or where there is none.",
    )


def draw_sizes(
    names: Sequence[str], values: Sequence[float | None], *, key: str, title: str, axis: str, unit: str
) -> Drawing | None:
    """Draw one positive number of each contender as bars on a logarithmic axis; ``None`` without any."""
    known = [
        (name, value) for name, value in zip(names, values, strict=True) if value is not None and value > 0
    ]
    if not known:
        return None
    floor = min(value for _, value in known) / 2.0

    def paint(axes: Axes) -> None:
        widths = np.array([value for _, value in known]) - floor
        axes.barh(range(len(known)), widths, left=floor, color=COLOUR["c0"], height=0.72)
        axes.set_xscale("log")
        axes.set_xlim(left=floor)
        log_axis(axes.xaxis, lambda x: f"{x:g}")
        name_bars(axes, [shorten(name) for name, _ in known])
        axes.set_xlabel(in_unit(axis, unit))

    low, high = min(known, key=lambda each: each[1]), max(known, key=lambda each: each[1])
    return draw(
        paint,
        key=key,
        title=title,
        alt=f"Bars of {axis}: least {shorten(low[0], 40)} with {low[1]:.3g} {unit}, "
        f"most {shorten(high[0], 40)} with {high[1]:.3g} {unit}.",
        height=bar_height(len(known)),
    )


def _thinned(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    step = max(1, -(-len(points) // MOST_STEPS))
    return points[::-1][::step][::-1]
