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

    from bondwork.plan.plan import Plan
    from bondwork.plan.verify import Verification
    from bondwork.problem.instance import Instance
    from bondwork.program.program_solution import ProgramSolution
    from bondwork.registry import Description
    from bondwork.strategies.accepting import Kind

#: Rows of a list shown in a terminal; the JSON has them all.
MOST_ROWS = 40


def make_table(*columns: str, title: str | None = None, text: int = 1) -> Table:
    """Make a table whose first ``text`` columns hold text and whose others hold numbers."""
    from rich import box
    from rich.table import Table

    shown = None if title is None else printable(title)
    table = Table(title=shown, title_justify="left", box=box.SIMPLE_HEAD)
    for number, name in enumerate(columns):
        table.add_column(printable(name), justify="left" if number < text else "right", overflow="fold")
    return table


def show_number(value: float | None) -> str:
    """Show six digits; ``-`` for nothing."""
    return "-" if value is None else f"{value:,.6g}" if abs(value) < 1e6 else f"{value:.6g}"


def show_percent(value: float | None) -> str:
    """Show a share in per cent; ``-`` for nothing."""
    return "-" if value is None else f"{value:.3%}"


def print_plan(instance: Instance, plan: Plan, written_to: Path | None, *, explain: bool = False) -> None:
    """Show a plan: how good it is, who does what, what was left and why."""
    out = text_console(sys.stdout)
    unit = f" {instance.currency}" if instance.currency else ""
    print_line(out, f"{instance.name or 'round'}: {plan.status}, solution {plan.solution}")
    if plan.objective is not None:
        print_line(
            out,
            f"objective {_show_objective(plan)}{unit}, bound {show_number(plan.bound)}{unit}, "
            f"gap {show_percent(plan.gap)}; {plan.strategy} with {plan.formulation}, "
            f"{plan.timing.solve:.2f} s; {'verified' if plan.verified else 'NOT VERIFIED'}",
        )
    for note in plan.provenance.notes:
        print_line(out, note)
    for violation in plan.violations:
        print_line(out, f"violated: {violation}")
    if plan.conflict is not None:
        kind = "cannot hold together" if plan.conflict.minimal else "contain limits that cannot hold together"
        print_line(out, f"these limits {kind}: {', '.join(plan.conflict.limits)}")
        for name, least in plan.conflict.least.items():
            measured_in = unit if name.startswith("cvar") else ""
            print_line(
                out, f"the least {name} that the other limits allow is {show_number(least)}{measured_in}"
            )
    _print_assignments(out, plan, unit)
    if explain:
        _print_reasons(out, plan, unit)
    _print_replicas(out, plan, unit)
    _print_left(out, plan)
    _print_loads(out, plan, unit)
    _print_risk(out, plan, unit)
    _print_overcommitted(out, plan)
    _print_prices(out, plan, unit)
    if written_to is not None:
        print_line(out, f"written to {written_to}")


def _show_objective(plan: Plan) -> str:
    """Show the objective, with its standard error where it has one."""
    error = plan.objective_standard_error
    shown = show_number(plan.objective) + ("" if error is None else f" +- {show_number(error)}")
    if plan.worth_taken is None:
        return shown
    return f"{shown} ({show_number(plan.worth_taken)} taken off for room)"


def _print_assignments(out: Console, plan: Plan, unit: str) -> None:
    if not plan.assignments:
        return
    table = make_table(
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
            printable(each.task),
            printable(each.executor) + (" (self)" if each.kind == "self" else ""),
            printable(each.operator),
            show_number(each.price),
            show_number(each.collateral),
            f"{each.success_probability:.4f}",
            show_number(each.expected_net_reward),
            show_number(each.expected_slashing),
        )
    out.print(table)
    _print_more(out, plan.assignments)


def _print_reasons(out: Console, plan: Plan, unit: str) -> None:
    """Show what each choice and the next best are worth at the shadow prices."""
    explained = [each for each in plan.assignments if each.explanation is not None]
    if not explained:
        print_line(out, "no choice is explained: there are no prices that tell what each of them costs")
        return
    title = f"worth at the shadow prices (in{unit or ' currency'})"
    table = make_table("task", "offer", "next best", "worth", "task price", "margin", title=title, text=3)
    for each in explained[:MOST_ROWS]:
        why = each.explanation
        assert why is not None
        next_best = " + ".join(why.runner_up) or ("none" if why.margin is None else "leave it")
        table.add_row(
            printable(each.task),
            printable(each.offer),
            printable(next_best),
            show_number(why.worth),
            show_number(why.task_price),
            "" if why.margin is None else show_number(why.margin),
        )
    out.print(table)
    _print_more(out, explained)


def _print_replicas(out: Console, plan: Plan, unit: str) -> None:
    if not plan.replica_values:
        return
    title = f"one more executor would add (in{unit or ' currency'}, limits left aside)"
    table = make_table("task", "executors", "one more", "gain", title=title)
    for each in plan.replica_values[:MOST_ROWS]:
        more = printable(each.executor)
        table.add_row(printable(each.task), str(each.executors), more, show_number(each.value_of_one_more))
    out.print(table)
    _print_more(out, plan.replica_values)


def _print_left(out: Console, plan: Plan) -> None:
    if not plan.unassigned:
        return
    table = make_table(
        "task", "reason", "limits", title=f"{count(len(plan.unassigned), 'task')} left", text=3
    )
    for each in plan.unassigned[:MOST_ROWS]:
        shown = ", ".join(each.limits[:4]) + (
            f" and {len(each.limits) - 4} more" if len(each.limits) > 4 else ""
        )
        table.add_row(printable(each.task), each.reason, printable(shown))
    out.print(table)
    _print_more(out, plan.unassigned)


def _print_loads(out: Console, plan: Plan, unit: str) -> None:
    if not plan.loads:
        return
    error = f"; the bound is at most {show_number(plan.load_error)}{unit} too high for them"
    title = "loads" + (error if plan.load_error else "")
    table = make_table("coprocessor", "resource", "load", f"incentive{unit}", title=title, text=2)
    for each in plan.loads[:MOST_ROWS]:
        numbers = (f"{each.load:.1%}", show_number(each.incentive))
        table.add_row(printable(each.coprocessor), printable(each.resource), *numbers)
    out.print(table)
    _print_more(out, plan.loads)


def _print_risk(out: Console, plan: Plan, unit: str) -> None:
    if not plan.risk:
        return
    table = make_table(
        "measure", "of", f"in sample{unit}", "fresh", "limit", "holds", title="risk limits", text=2
    )
    for each in plan.risk[:MOST_ROWS]:
        holds = "yes" if each.holds else "no"
        error = f" +- {show_number(each.standard_error)}" if each.standard_error else ""
        known = each.out_of_sample is None
        inside = show_number(each.in_sample) + (error if known else "")
        fresh = show_number(each.out_of_sample) + ("" if known else error)
        table.add_row(each.measure, printable(each.of), inside, fresh, show_number(each.budget), holds)
    out.print(table)
    _print_more(out, plan.risk)


def _print_overcommitted(out: Console, plan: Plan) -> None:
    """Show what commitments alone exceed, whether or not there is a plan."""
    if not plan.overcommitted:
        return
    table = make_table(
        "limit",
        "stated",
        "committed",
        title="limits that commitments alone exceed: nothing was added to them",
    )
    for each in plan.overcommitted[:MOST_ROWS]:
        table.add_row(printable(each.limit), show_number(each.budget), show_number(each.committed))
    out.print(table)
    _print_more(out, plan.overcommitted)


def _print_prices(out: Console, plan: Plan, unit: str) -> None:
    if not plan.prices:
        return
    table = make_table("limit", f"price{unit} per unit", title=f"shadow prices ({plan.prices_from})")
    dearest = sorted(plan.prices, key=lambda each: -abs(each.price or 0.0))
    for each in dearest[:10]:
        table.add_row(printable(each.limit), show_number(each.price))
    out.print(table)
    if len(dearest) > 10:
        print_line(out, f"and {len(dearest) - 10} more in the plan")


def _print_more(out: Console, rows: Sequence[object]) -> None:
    if len(rows) > MOST_ROWS:
        print_line(out, f"and {len(rows) - MOST_ROWS} more in the plan")


def print_line(out: Console, text: str) -> None:
    """Print a line that may hold text of the input."""
    out.print(printable(text), soft_wrap=True)


def print_solution(solution: ProgramSolution, written_to: Path | None) -> None:
    """Show the answer to a stochastic program: how good it is, the first stage, what the model is worth."""
    out = text_console(sys.stdout)
    print_line(out, f"{solution.name or 'program'}: {solution.status}, solution {solution.solution}")
    if solution.objective is not None:
        print_line(
            out,
            f"{solution.sense} {show_number(solution.objective)}, bound {show_number(solution.bound)}, "
            f"gap {show_percent(solution.gap)}; {solution.timing.solve:.2f} s; "
            f"{'verified' if solution.verified else 'NOT VERIFIED'}",
        )
    for note in solution.provenance.notes:
        print_line(out, note)
    chosen = {name: amount for name, amount in solution.first_stage.items() if amount != 0.0}
    if chosen:
        table = make_table("first stage", "value", title=f"{count(len(chosen), 'column')} of the root not 0")
        for name, amount in list(chosen.items())[:MOST_ROWS]:
            table.add_row(printable(name), show_number(amount))
        out.print(table)
        _print_more(out, list(chosen))
    if solution.stochastic is not None:
        table = make_table("value of the stochastic model", "")
        for name, amount in solution.stochastic.model_dump(exclude={"notes"}).items():
            table.add_row(name, show_number(amount))
        out.print(table)
        for note in solution.stochastic.notes:
            print_line(out, note)
    if written_to is not None:
        print_line(out, f"written to {written_to}")


def print_summary(summary: Mapping[str, Any]) -> None:
    """Show what a valid round holds."""
    out = text_console(sys.stdout)
    print_line(out, f"valid: {summary['name'] or 'a round'}")
    for name, value in summary["counts"].items():
        print_line(out, f"  {name.replace('_', ' ')}: {value}")
    for reason in summary["refused"]:
        print_line(out, f"a solve will refuse this round: {reason}")


def print_verdict(verdict: Verification, sense: str | None = None) -> None:
    """Show what the check of a plan found, or of a solution of a program of some sense."""
    out = text_console(sys.stdout)
    for violation in verdict.violations:
        print_line(out, str(violation))
    if verdict.unchecked:
        more = len(verdict.unchecked) - MOST_ROWS
        named = ", ".join(verdict.unchecked[:MOST_ROWS]) + (f" and {more} more" if more > 0 else "")
        print_line(out, f"not checked: {named}")
    objective = "" if verdict.objective is None else f", objective {verdict.objective:.12g}"
    what = "plan" if sense is None else "solution"
    side = "below" if sense == "min" else "above"
    proven = "" if verdict.certified is None else f", no {what} {side} {verdict.certified:.12g} (certified)"
    if verdict.refuted:
        proven = f", no {what} keeps every limit (certified)"
    print_line(out, f"{'verified' if verdict else 'rejected'}{objective}{proven}")


def print_strategies(
    described: Mapping[str, Description], formulations: Sequence[str], broken: Mapping[str, str]
) -> None:
    """Show installed strategies, what they take and their settings, formulations, and broken plug-ins."""
    table = make_table("strategy", "takes", "what it does", text=3)
    for name, each in described.items():
        table.add_row(name, ", ".join(each.takes), each.summary)
        for key, setting in each.settings.items():
            table.add_row("", "", f"--set {key}={setting.default}: {setting.summary} ({setting.expected})")
    out = text_console(sys.stdout)
    out.print(table, width=min(out.width, 160))  # sentences may be broken
    print_line(out, f"formulations: {', '.join(formulations)}")
    for name, why in broken.items():
        print_line(out, f"cannot be imported: {name}: {why}")


def print_matrix(matrix: Mapping[str, Mapping[Kind, list[str]]]) -> None:
    """Show which strategy takes which kind of input: yes, or the number of the reason why not."""
    kinds = list(next(iter(matrix.values()), {}))
    table = make_table("strategy", *kinds, text=1 + len(kinds))
    numbers: dict[str, int] = {}
    for name, row in matrix.items():
        cells = [
            "yes"
            if not reasons
            else ", ".join(str(numbers.setdefault(each, len(numbers) + 1)) for each in reasons)
            for reasons in row.values()
        ]
        table.add_row(name, *cells)
    out = text_console(sys.stdout)
    out.print(table, width=min(out.width, 160))
    for reason, number in numbers.items():
        print_line(out, f"{number}: {reason}")
