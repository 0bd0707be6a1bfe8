"""The next best plans as a table."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from bondwork.console import count, printable, text_console
from bondwork.tables import MOST_ROWS, make_table, print_line, show_number

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from bondwork.desk.alternatives import Alternatives, Choice
    from bondwork.problem.instance import Instance

#: Choices of a plan that are named in one cell.
_NAMED = 3


def print_alternatives(instance: Instance, found: Alternatives, written_to: Path | None) -> None:
    """Show each plan: what it earns, what it costs beside the first, and in what it differs."""
    out = text_console(sys.stdout)
    unit = f" {instance.currency}" if instance.currency else ""
    others = ", and there are no others" if found.complete else ""
    table = make_table(
        "plan",
        "status",
        "beside the first",
        "without",
        f"earns{unit}",
        f"costs{unit}",
        title=count(len(found.alternatives), "plan") + others,
        text=4,
    )
    for number, each in enumerate(found.alternatives[:MOST_ROWS], 1):
        numbers = show_number(each.plan.objective), show_number(each.cost)
        table.add_row(str(number), each.plan.status, _said(each.added), _said(each.dropped), *numbers)
    out.print(table)
    if len(found.alternatives) > MOST_ROWS:
        print_line(out, f"and {len(found.alternatives) - MOST_ROWS} more")
    for note in found.notes:
        print_line(out, f"note: {note}")
    if written_to is not None:
        print_line(out, f"written to {written_to}")


def _said(choices: Sequence[Choice]) -> str:
    more = len(choices) - _NAMED
    names = [f"{each.task} by {each.executor}" for each in choices[:_NAMED]]
    return printable(", ".join(names) + (f" and {more} more" if more > 0 else "")) or "-"
