"""Results as people read them in a terminal: plans, comparisons, verdicts, as tables.

rich honours ``NO_COLOR``; output that is no terminal is plain and wide.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from bondwork.console import count, printable, text_console

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from rich.console import Console
    from rich.table import Table

    from bondwork.comparison.comparison import Comparison
    from bondwork.plan.plan import Plan
    from bondwork.plan.verify import Verification
    from bondwork.problem.instance import Instance
    from bondwork.program.program_solution import ProgramSolution

#: Rows of a list shown in a terminal; the JSON has them all.
MOST_ROWS = 40


def _table(*columns: str, title: str | None = None, text: int = 1) -> Table:
    """Make a table whose first ``text`` columns hold text and whose others hold numbers."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    # not markup: units are the input's own words
    table = Table(
        title=None if title is None else Text(printable(title)), title_justify="left", box=box.SIMPLE_HEAD
    )
    for number, name in enumerate(columns):
        table.add_column(_plain(name), justify="left" if number < text else "right", overflow="fold")
    return table


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:,.6g}" if abs(value) < 1e6 else f"{value:.6g}"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.3%}"


def print_plan(instance: Instance, plan: Plan, written_to: Path | None) -> None:
    """Show a plan: how good it is, who does what, what was left and why."""
    out = text_console(sys.stdout)
    unit = f" {instance.currency}" if instance.currency else ""
    _line(out, f"{instance.name or 'round'}: {plan.status}, solution {plan.solution}")
    if plan.objective is not None:
        _line(
            out,
            f"objective {_number(plan.objective)}{unit}, bound {_number(plan.bound)}{unit}, "
            f"gap {_percent(plan.gap)}; {plan.strategy} with {plan.formulation}, "
            f"{plan.timing.solve:.2f} s; {'verified' if plan.verified else 'NOT VERIFIED'}",
        )
    for note in plan.provenance.notes:
        _line(out, note)
    for violation in plan.violations:
        _line(out, f"violated: {violation}")
    if plan.conflict is not None:
        kind = "cannot hold together" if plan.conflict.minimal else "contain limits that cannot hold together"
        _line(out, f"these limits {kind}: {', '.join(plan.conflict.limits)}")
        for name, least in plan.conflict.least.items():
            measured_in = unit if name.startswith("cvar") else ""
            _line(out, f"the least {name} that the other limits allow is {_number(least)}{measured_in}")
    _print_assignments(out, plan, unit)
    _print_left(out, plan)
    _print_risk(out, plan, unit)
    _print_prices(out, plan, unit)
    if written_to is not None:
        _line(out, f"written to {written_to}")


def _print_assignments(out: Console, plan: Plan, unit: str) -> None:
    if not plan.assignments:
        return
    table = _table(
        "task",
        "executor",
        "operator",
        "price",
        "collateral",
        "success",
        "net reward",
        "slashing",
        title=f"{count(len(plan.assignments), 'assignment')} (in{unit or ' currency'}, expected values)",
        text=3,
    )
    for each in plan.assignments[:MOST_ROWS]:
        table.add_row(
            _plain(each.task),
            _plain(each.executor) + (" (self)" if each.kind == "self" else ""),
            _plain(each.operator),
            _number(each.price),
            _number(each.collateral),
            f"{each.success_probability:.4f}",
            _number(each.expected_net_reward),
            _number(each.expected_slashing),
        )
    out.print(table)
    _print_more(out, plan.assignments)


def _print_left(out: Console, plan: Plan) -> None:
    if not plan.unassigned:
        return
    table = _table("task", "reason", "limits", title=f"{count(len(plan.unassigned), 'task')} left", text=3)
    for each in plan.unassigned[:MOST_ROWS]:
        shown = ", ".join(each.limits[:4]) + (
            f" and {len(each.limits) - 4} more" if len(each.limits) > 4 else ""
        )
        table.add_row(_plain(each.task), each.reason, _plain(shown))
    out.print(table)
    _print_more(out, plan.unassigned)


def _print_risk(out: Console, plan: Plan, unit: str) -> None:
    if not plan.risk:
        return
    table = _table(
        "measure", "of", f"in sample{unit}", "fresh", "limit", "holds", title="risk limits", text=2
    )
    for each in plan.risk[:MOST_ROWS]:
        holds = "yes" if each.holds else "no"
        values = (_number(each.in_sample), _number(each.out_of_sample), _number(each.budget))
        table.add_row(each.measure, _plain(each.of), *values, holds)
    out.print(table)
    _print_more(out, plan.risk)


def _print_prices(out: Console, plan: Plan, unit: str) -> None:
    if not plan.prices:
        return
    table = _table("limit", f"price{unit} per unit", title=f"shadow prices ({plan.prices_from})")
    dearest = sorted(plan.prices, key=lambda each: -abs(each.price or 0.0))
    for each in dearest[:10]:
        table.add_row(_plain(each.limit), _number(each.price))
    out.print(table)
    if len(dearest) > 10:
        _line(out, f"and {len(dearest) - 10} more in the plan")


def _print_more(out: Console, rows: Sequence[object]) -> None:
    if len(rows) > MOST_ROWS:
        _line(out, f"and {len(rows) - MOST_ROWS} more in the plan")


def _plain(text: str) -> str:
    from rich.markup import escape  # ids may hold brackets, which rich reads as markup

    return escape(printable(text))


def _line(out: Console, text: str) -> None:
    out.print(printable(text), markup=False, soft_wrap=True)


def print_solution(solution: ProgramSolution, written_to: Path | None) -> None:
    """Show the answer to a stochastic program: how good it is, the first stage, what the model is worth."""
    out = text_console(sys.stdout)
    _line(out, f"{solution.name or 'program'}: {solution.status}, solution {solution.solution}")
    if solution.objective is not None:
        _line(
            out,
            f"{solution.sense} {_number(solution.objective)}, bound {_number(solution.bound)}, "
            f"gap {_percent(solution.gap)}; {solution.timing.solve:.2f} s; "
            f"{'verified' if solution.verified else 'NOT VERIFIED'}",
        )
    for note in solution.provenance.notes:
        _line(out, note)
    chosen = {name: amount for name, amount in solution.first_stage.items() if amount != 0.0}
    if chosen:
        table = _table("first stage", "value", title=f"{count(len(chosen), 'column')} of the root not 0")
        for name, amount in list(chosen.items())[:MOST_ROWS]:
            table.add_row(_plain(name), _number(amount))
        out.print(table)
        _print_more(out, list(chosen))
    if solution.stochastic is not None:
        table = _table("value of the stochastic model", "")
        for name, amount in solution.stochastic.model_dump(exclude={"notes"}).items():
            table.add_row(name, _number(amount))
        out.print(table)
        for note in solution.stochastic.notes:
            _line(out, note)
    if written_to is not None:
        _line(out, f"written to {written_to}")


def print_summary(summary: Mapping[str, Any]) -> None:
    """Show what a valid round holds."""
    out = text_console(sys.stdout)
    _line(out, f"valid: {summary['name'] or 'a round'}")
    for name, value in summary["counts"].items():
        _line(out, f"  {name.replace('_', ' ')}: {value}")
    for reason in summary["refused"]:
        _line(out, f"a solve will refuse this round: {reason}")


def print_verdict(verdict: Verification) -> None:
    """Show what the check of a plan found."""
    out = text_console(sys.stdout)
    for violation in verdict.violations:
        _line(out, str(violation))
    objective = "" if verdict.objective is None else f", objective {verdict.objective:.12g}"
    _line(out, f"{'verified' if verdict else 'rejected'}{objective}")


def print_comparison(comparison: Comparison, instances: Sequence[Instance]) -> None:
    """Show a comparison as a table."""
    currencies = {instance.currency for instance in instances if instance.currency}
    unit = f" ({currencies.pop()})" if len(currencies) == 1 else ""
    table = _table(
        "round",
        "strategy",
        "formulation",
        "status",
        "verified",
        f"objective{unit}",
        "bound",
        "gap",
        "build s",
        "solve s",
        text=5,
    )
    for row in comparison.rows:
        table.add_row(
            _plain(row.round),
            row.strategy,
            row.formulation,
            _plain(row.refusal or row.status),
            "yes" if row.verified else "no",
            _number(row.objective),
            _number(row.bound),
            _percent(row.gap),
            f"{row.build:.3f}",
            f"{row.solve:.3f}",
        )
    text_console(sys.stdout).print(table)


def print_strategies(summaries: Mapping[str, str], formulations: Sequence[str]) -> None:
    """Show the installed strategies and formulations."""
    table = _table("strategy", "what it does", text=2)
    for name, summary in summaries.items():
        table.add_row(name, summary)
    out = text_console(sys.stdout)
    out.print(table)
    _line(out, f"formulations: {', '.join(formulations)}")
