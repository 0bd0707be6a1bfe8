"""Simulations and tunings as people read them in a terminal."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from bondwork.console import printable, text_console
from bondwork.simulation.summary import differences
from bondwork.tables import make_table, print_line

if TYPE_CHECKING:
    from rich.console import Console

    from bondwork.simulation.summary import Interval, SimulationSummary
    from bondwork.simulation.tuning import Tuning

_SHOWN = {
    "survivors": "stay",
    "reward": "reward",
    "net_per_period": "net per period",
    "value": "value",
    "slashed_per_period": "slashed per period",
    "slashed_cvar": "its 95% CVaR",
    "failed_share": "failed",
    "reputation_reward": "reputation ~ reward",
}


def print_summary(summary: SimulationSummary) -> None:
    """Show each variant's main measures, with confidence intervals."""
    out = text_console(sys.stdout)
    names, half = list(_SHOWN), len(_SHOWN) // 2
    # two tables of half the width: a terminal has 80 columns
    for shown, title in ((names[:half], summary.name or None), (names[half:], None)):
        table = make_table("variant", *(_SHOWN[key] for key in shown), title=title)
        for variant in summary.variants:
            table.add_row(printable(variant.name), *(_short(variant.measures.get(key)) for key in shown))
        out.print(table)
    _print_differences(out, summary)
    replications = len(summary.variants[0].replications) if summary.variants else 0
    told = f"{summary.periods} periods, {replications} replications"
    print_line(out, f"{told}; ± half the width of 95% confidence intervals")


def _short(value: Interval | None) -> str:
    """Mean and half the interval's width."""
    if value is None:
        return "-"
    if value.low is None or value.high is None:
        return _number(value.mean)
    half = (value.high - value.low) / 2.0
    return f"{_number(value.mean)} ± {_number(half)}"


def _number(value: float) -> str:
    """Four digits or, of large numbers, the whole ones."""
    return f"{value:,.0f}" if abs(value) >= 1000.0 else f"{value:,.4g}"


def _print_differences(out: Console, summary: SimulationSummary) -> None:
    """Show what the other variants do more or less than the first, pair by pair."""
    if len(summary.variants) < 2:
        return
    first, shown = summary.variants[0].name, ("net_per_period", "value", "slashed_per_period", "slashed_cvar")
    title = f"Paired differences from {first}, on the same random numbers"
    table = make_table("variant", *(_SHOWN[each] for each in shown), title=title)
    found = {each: differences(summary, each) for each in shown}
    for variant in summary.variants[1:]:
        table.add_row(printable(variant.name), *(_short(found[each].get(variant.name)) for each in shown))
    out.print(table)


def print_tuning(tuning: Tuning) -> None:
    """Show the curve, and what is best."""
    out = text_console(sys.stdout)
    table = make_table(tuning.parameter, tuning.objective, "behind the best", "stay", "", text=0)
    for each in tuning.curve:
        mark = "best" if each.value == tuning.best else "alike" if each.alike else ""
        table.add_row(
            f"{each.value:g}",
            _short(each.objective),
            _short(each.behind),
            _short(each.survivors),
            mark if each.allowed else "too few stay",
        )
    out.print(table)
    told = (
        f"best {tuning.parameter}: {tuning.best:g}"
        if tuning.best is not None
        else "no value lets enough stay"
    )
    others = [f"{value:g}" for value in tuning.alike if value != tuning.best]
    print_line(out, told + (f"; not to be told from it: {', '.join(others)}" if others else ""))
