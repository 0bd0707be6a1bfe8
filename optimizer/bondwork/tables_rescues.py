"""Tables of what is done once failures are seen, for people."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from bondwork.console import printable, text_console
from bondwork.tables import MOST_ROWS, make_table, print_line, show_number

if TYPE_CHECKING:
    from bondwork.plan.plan import Plan
    from bondwork.problem.instance import Instance


def print_rescues(instance: Instance, plan: Plan) -> None:
    """Show by task who rescues it, after what, how likely that is and what it is expected to bring then."""
    if not plan.is_usable():
        return
    out = text_console(sys.stdout)
    unit = f" {instance.currency}" if instance.currency else ""
    holders = {each.task: each.executor for each in plan.assignments}
    chance: dict[tuple[str, bool, str, str], float] = {}
    worth: dict[tuple[str, bool, str, str], float] = {}
    for node in plan.recourse:
        for each in node.assignments:
            key = (each.task, each.task in node.failed, each.executor, each.offer)
            chance[key] = chance.get(key, 0.0) + node.probability
            worth[key] = each.expected_net_reward
    if chance:
        table = make_table(
            "task",
            "when",
            "rescue by",
            "probability",
            "net reward",
            title=f"second stage (in{unit or ' currency'}, expected values of a rescue)",
            text=3,
        )
        order = {each: n for n, each in enumerate(instance.tasks.ids)}
        keys = sorted(chance, key=lambda key: (order[key[0]], not key[1], -chance[key], key[2:]))
        for key in keys[:MOST_ROWS]:
            task, failed, executor, _ = key
            when = f"{holders[task]} failed" if failed else "nobody does it"
            shown = (
                printable(task),
                printable(when),
                printable(executor),
                f"{chance[key]:.4f}",
                show_number(worth[key]),
            )
            table.add_row(*shown)
        out.print(table)
        if len(keys) > MOST_ROWS:
            print_line(out, f"and {len(keys) - MOST_ROWS} more; the JSON has them all")
    _print_evaluation(plan)
    _print_value(plan)


def _print_evaluation(plan: Plan) -> None:
    found = plan.evaluation
    if found is None:
        return
    fresh = "not measured"
    if found.out_of_sample is not None:
        fresh = f"{show_number(found.out_of_sample)} +- {show_number(found.standard_error)}"
    out = text_console(sys.stdout)
    in_sample = show_number(found.in_sample)
    print_line(out, f"in sample {in_sample}, on {found.scenarios} fresh scenarios {fresh} (standard error)")


def _print_value(plan: Plan) -> None:
    found = plan.stochastic
    if found is None:
        return
    out = text_console(sys.stdout)

    def number(name: str) -> str:
        value = found.get(name)
        return show_number(value) if isinstance(value, int | float) else "none"

    print_line(out, ", ".join(f"{name} {number(name)}" for name in ("ws", "rp", "eev", "evpi", "vss")))
    if found.get("notes"):
        print_line(out, printable(str(found["notes"])))
