"""A comparison as people read it in a terminal."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from bondwork.comparison.row import FAILED, REFUSED
from bondwork.console import printable, text_console
from bondwork.tables import make_table, print_line, show_number, show_percent

if TYPE_CHECKING:
    from bondwork.comparison.comparison import Comparison
    from bondwork.comparison.row import Row

#: Rows shown in a terminal; the JSON has them all.
MOST_ROWS = 200


def print_comparison(comparison: Comparison, *, unit: str = "", reference: str | None = None) -> None:
    """Show rows, what each contender did over all of them, and differences from a reference.

    ``unit`` is the currency where all rounds share one.
    """
    _print_rows(comparison, f" ({unit})" if unit else "")
    if len(comparison.rows) > len({row.contender for row in comparison.rows}):
        _print_summaries(comparison)
        _print_differences(comparison, reference)


def _print_rows(comparison: Comparison, unit: str) -> None:
    rows = comparison.rows
    optional = {
        "replication": any(row.replication for row in rows),
        "formulation": len({row.formulation for row in rows}) > 1,
    }
    columns = ["round", *(name for name, wanted in optional.items() if wanted), "strategy", "status"]
    measured = any(row.out_of_sample is not None for row in rows)
    fresh = [f"fresh mean{unit}", "CVaR of loss"] if measured else []
    table = make_table(
        *columns, f"objective{unit}", "bound", "gap", *fresh, "solve s", "MiB", text=len(columns)
    )
    for row in rows[:MOST_ROWS]:
        told = {
            "round": printable(row.round),
            "replication": str(row.replication),
            "strategy": printable(row.strategy if optional["formulation"] else row.contender),
            "formulation": row.formulation,
            "status": printable(_outcome(row)),
        }
        out = row.out_of_sample
        table.add_row(
            *(told[name] for name in columns),
            show_number(row.objective),
            show_number(row.bound),
            show_percent(row.gap),
            *(
                (_with_error(out.mean, out.mean_error), _with_error(out.cvar, out.cvar_error))
                if out
                else "-" * len(fresh)
            ),
            f"{row.solve:.3f}",
            "-" if row.memory is None else f"{row.memory:.0f}",
        )
    out_console = text_console(sys.stdout)
    out_console.print(table)
    if len(rows) > MOST_ROWS:
        print_line(out_console, f"and {len(rows) - MOST_ROWS} more rows")


def _with_error(value: float, error: float | None) -> str:
    return show_number(value) if error is None else f"{show_number(value)} ± {error:.2g}"


def _outcome(row: Row) -> str:
    if row.status in (REFUSED, FAILED):
        return f"{row.status}: {row.refusal}"
    verdict = "" if row.verified or row.solution == "none" else ", NOT VERIFIED"
    return (row.refusal or row.status) + verdict


def _print_summaries(comparison: Comparison) -> None:
    found = comparison.summaries()
    targets = [gap for gap, _ in next((each.proved for each in found if each.proved), ())]
    table = make_table(
        "strategy",
        "solves",
        "plans",
        "refused",
        "failed",
        "best plan",
        "mean gap",
        "mean shortfall",
        "seconds (geometric mean)",
        "MiB (largest)",
        *(f"proved {gap:.3g}" for gap in targets),
        title="Over all rounds and replications",
    )
    for each in found:
        table.add_row(
            printable(each.contender),
            str(each.solves),
            str(each.plans),
            str(each.refused),
            str(each.failed),
            f"{each.best:.0%}",
            show_percent(each.mean_gap),
            show_percent(each.mean_shortfall),
            show_number(each.seconds),
            "-" if each.memory is None else f"{each.memory:.0f}",
            *(f"{share:.0%}" for _, share in each.proved),
        )
    text_console(sys.stdout).print(table)


def _print_differences(comparison: Comparison, reference: str | None) -> None:
    overall = [each for each in comparison.differences(reference) if each.round is None]
    if not overall:
        return
    against = printable(overall[0].reference)
    table = make_table(
        "strategy",
        "of",
        "mean",
        "95% from",
        "to",
        "pairs",
        "better",
        "worse",
        text=2,
        title=f"Against {against}, better counted positive, as a share of the larger",
    )
    for each in overall:
        table.add_row(
            printable(each.contender),
            "objective" if each.of == "objective" else "mean on fresh scenarios",
            f"{each.mean:+.3%}",
            "-" if each.low is None else f"{each.low:+.3%}",
            "-" if each.high is None else f"{each.high:+.3%}",
            str(each.pairs),
            str(each.wins),
            str(each.losses),
        )
    text_console(sys.stdout).print(table)
