"""Tables of what happens over several periods, for people."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from bondwork.console import count, printable, text_console
from bondwork.tables import MOST_ROWS, make_table, print_line, show_number

if TYPE_CHECKING:
    from pathlib import Path

    from bondwork.plan.plan import Plan
    from bondwork.problem.instance import Instance
    from bondwork.rolling_report import Rolled


def print_periods(instance: Instance, plan: Plan) -> None:
    """Show by period what a plan does later: how likely, how much, and what it is expected to bring."""
    out = text_console(sys.stdout)
    unit = f" {instance.currency}" if instance.currency else ""
    nodes = [node for node in plan.recourse if node.period is not None]
    if not nodes:
        return
    table = make_table(
        "period",
        "stage",
        "probability",
        "nodes",
        "assignments",
        "net reward",
        title=f"later periods (in{unit or ' currency'}, expected values given the period)",
    )
    for period in dict.fromkeys(node.period for node in nodes):
        mine = [node for node in nodes if node.period == period]
        chance = sum(node.probability for node in mine)
        given = max(chance, 1e-300)
        many = sum(node.probability * len(node.assignments) for node in mine) / given
        worth = sum(node.probability * each.expected_net_reward for node in mine for each in node.assignments)
        table.add_row(
            printable(period or ""),
            str(mine[0].stage),
            f"{chance:.4f}",
            str(len(mine)),
            f"{many:.2f}",
            show_number(worth / given),
        )
    out.print(table)
    if plan.stochastic is not None:
        value = make_table("value of planning over the tree", "")
        for name, amount in plan.stochastic.items():
            if not isinstance(amount, str):
                value.add_row(name, show_number(amount))
        out.print(value)


def print_rolled(rolled: Rolled, written_to: Path | None) -> None:
    """Show every step and the ledger of a rolled round."""
    out = text_console(sys.stdout)
    unit = f" {rolled.currency}" if rolled.currency else ""
    ending = "the end of the horizon was reached" if rolled.complete else "ended before the horizon did"
    print_line(
        out,
        f"{rolled.name or 'round'}: {count(len(rolled.steps), 'step')}, net reward "
        f"{show_number(rolled.net_reward)}{unit}; {ending}",
    )
    table = make_table(
        "period", "carried out", "at", "status", "assignments", f"expected{unit} from here", text=2
    )
    for step in rolled.steps:
        names = ", ".join(f"{each.task} by {each.executor}" for each in step.assignments[:4])
        more = len(step.assignments) - 4
        table.add_row(
            printable(step.period),
            printable(names + (f" and {more} more" if more > 0 else "")),
            f"{step.at:g}",
            step.status,
            str(len(step.assignments)),
            show_number(step.objective),
        )
    out.print(table)
    if rolled.ledger:
        scale = 10.0**-rolled.decimals
        table = make_table(
            "offer", "decided in", "settled in", "outcome", "reward", "bid", "slashed", "collateral lost",
            title="ledger", text=4,
        )  # fmt: skip
        for each in rolled.ledger[:MOST_ROWS]:
            lost = each.burned + each.to_operator + each.to_rescuer + each.to_treasury
            table.add_row(
                printable(each.offer),
                printable(each.decided_in or "before"),
                printable(each.settled_in),
                "succeeded" if each.succeeded else "failed",
                *(show_number(amount * scale) for amount in (each.reward, each.bid, each.slashed, lost)),
            )
        out.print(table)
        if len(rolled.ledger) > MOST_ROWS:
            print_line(out, f"and {len(rolled.ledger) - MOST_ROWS} more in the report")
    if written_to is not None:
        print_line(out, f"written to {written_to}")
