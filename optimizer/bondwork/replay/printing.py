"""A replay as people read it in a terminal."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from bondwork.console import printable, text_console
from bondwork.tables import make_table, print_line, show_number, show_percent

if TYPE_CHECKING:
    from bondwork.replay.replay_schema import Interval, Replay


def show_interval(interval: Interval) -> str:
    """Write a value with its interval.

    Examples
    --------
    >>> from bondwork.replay.replay_schema import Interval
    >>> show_interval(Interval(value=2.0, low=1.5, high=2.5))
    '2 (1.5 to 2.5)'
    """
    if interval.low is None or interval.high is None:
        return show_number(interval.value)
    low, high = (f"{bound:.3g}" for bound in (interval.low, interval.high))
    return f"{show_number(interval.value)} ({low} to {high})"


def print_replay(found: Replay) -> None:
    """Show every policy, and how much more than the reference it earned and lost."""
    out = text_console(sys.stdout)
    unit = f" ({found.currency})" if found.currency else ""
    tail = f"CVaR {found.level:.0%}"
    table = make_table("policy", f"profit{unit}", "slashed", tail, "use", "tasks", "failed", "known", text=1)
    for each in found.policies:
        table.add_row(
            printable(each.name),
            show_interval(each.profit),
            show_interval(each.slashed),
            show_interval(each.cvar),
            show_percent(each.utilisation),
            str(each.tasks),
            str(each.failed),
            show_percent(each.known),
        )
    out.print(table)
    if found.differences:
        print_line(out, f"Less {found.reference}, round by round on the same outcomes:")
        against = make_table("policy", f"profit{unit}", "slashed", text=1)
        for difference in found.differences:
            against.add_row(
                printable(difference.name),
                show_interval(difference.profit),
                show_interval(difference.slashed),
            )
        out.print(against)
