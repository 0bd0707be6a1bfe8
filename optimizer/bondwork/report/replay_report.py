"""The report of a replay."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bondwork.console import printable
from bondwork.report.drawing import draw, line_legend, line_options
from bondwork.report.page import (
    Facts,
    Gallery,
    Page,
    Section,
    Text,
    fact,
    in_unit,
    make_table,
    number,
    render,
    share,
    words,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from bondwork.replay.replay_schema import Interval, Replay
    from bondwork.report.page import Cell, Drawing, Table

#: Policies that the drawing shows; the table has them all.
MOST_LINES = 8

_LIMITS = (
    "What a log cannot tell: whom rivals would have left tasks to, which tasks would still have been open, "
    "and how busy everybody would have been had this policy decided. Outcomes of work that nobody did are "
)


def report_replay(found: Replay, *, name: str = "") -> str:
    """Write a replay as one HTML page that needs nothing else. The same replay gives the same bytes.

    Raises
    ------
    ModuleNotFoundError
        The extra ``report`` is not installed.
    """
    unit = found.currency
    drawn = "drawn by the law that the rounds state." if found.unknown == "model" else "left out."
    drawings = (
        _cumulative(found, "profit_by_round", in_unit("Profit so far", unit), "profit"),
        _cumulative(found, "slashed_by_round", in_unit("Slashed so far", unit), "slashed"),
    )
    names = [each.name for each in found.policies[:MOST_LINES]]
    sections = (
        Section("Policies", (_policies(found),)),
        Section(f"Against {printable(found.reference)}", (_differences(found),)),
        Section("Over the rounds", (Gallery(drawings, line_legend(names)),)),
        Section("Limits", (Text(_LIMITS + drawn),)),
    )
    facts = Facts(
        (
            fact("rounds", f"{found.rounds:,}"),
            fact("tasks", f"{found.tasks:,}"),
            fact("unknown outcomes", drawn),
            fact("intervals", f"{found.confidence:.0%}"),
        )
    )
    return render(Page(printable(name) or "Replay", "Policies on one log", facts, sections, found.log_sha256))


def _bounds(interval: Interval) -> tuple[Cell, Cell, Cell]:
    return number(interval.value), number(interval.low), number(interval.high)


def _policies(found: Replay) -> Table:
    heads: list[str | tuple[str]] = ["policy"]
    for each in ("profit", "slashed", "CVaR"):
        heads += [(each,), ("low",), ("high",)]
    heads += [("use",), ("tasks",), ("failed",), ("known",)]
    rows = [
        (
            words(row.name),
            *_bounds(row.profit),
            *_bounds(row.slashed),
            *_bounds(row.cvar),
            share(row.utilisation),
            number(float(row.tasks)),
            number(float(row.failed)),
            share(row.known),
        )
        for row in found.policies
    ]
    return make_table(in_unit("Over all rounds; CVaR of one round", found.currency), heads, rows)


def _differences(found: Replay) -> Table:
    heads: list[str | tuple[str]] = ["policy"]
    for each in ("profit", "slashed"):
        heads += [(each,), ("low",), ("high",)]
    rows = [(words(row.name), *_bounds(row.profit), *_bounds(row.slashed)) for row in found.differences]
    return make_table(in_unit("Policy less reference", found.currency), heads, rows)


def _cumulative(found: Replay, field: str, title: str, key: str) -> Drawing:
    shown = found.policies[:MOST_LINES]
    sums = {each.name: np.cumsum(getattr(each, field)) for each in shown}

    def paint(axes: Axes) -> None:
        for place, values in enumerate(sums.values()):
            axes.plot(np.arange(1, len(values) + 1), values, **line_options(place))
        axes.set_xlabel("round")

    told = ", ".join(f"{printable(name)} {values[-1]:.6g}" for name, values in sums.items())
    return draw(paint, key=key, title=title, alt=f"Lines over the rounds; at the end: {told}.")
