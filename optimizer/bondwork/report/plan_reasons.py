"""Why a plan is what it is: tasks that were left, prices, explanations, incentives, further executors."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bondwork.console import count
from bondwork.report.figures_plan import draw_prices
from bondwork.report.page import Text, in_unit, make_table, number, share, words
from bondwork.tables import show_number

if TYPE_CHECKING:
    from bondwork.plan.plan import Plan
    from bondwork.report.page import Part

#: What a reason of the plan means.
_REASONS = {
    "no_eligible_offer": "no offer that could be chosen",
    "not_worth_it": "every offer costs more than it brings",
    "worth_nothing": "the best offer brings what it costs",
    "no_room": "no room within the limits",
    "kept_for_later": "kept for a later stage",
    "no_price": "nobody took the price",
    "unexplained": "no reason that stands its check",
}


def tell_left(plan: Plan) -> tuple[Part, ...]:
    """Say why tasks were left."""
    if not plan.unassigned:
        return ()
    table = make_table(
        f"{count(len(plan.unassigned), 'task')} that nobody does",
        ["task", "why", "limits that leave no room"],
        [
            (words(each.task), words(_REASONS.get(each.reason, each.reason)), words(", ".join(each.limits)))
            for each in plan.unassigned
        ],
    )
    tally: dict[str, int] = {}
    for each in plan.unassigned:
        tally[each.reason] = tally.get(each.reason, 0) + 1
    told = "; ".join(f"{_REASONS.get(reason, reason)}: {many}" for reason, many in sorted(tally.items()))
    return Text(f"{told[:1].upper()}{told[1:]}."), table


def tell_overcommitted(plan: Plan) -> tuple[Part, ...]:
    """List the limits that the commitments of earlier rounds exceed on their own."""
    if not plan.overcommitted:
        return ()
    table = make_table(
        f"{count(len(plan.overcommitted), 'limit')} that commitments alone exceed, each in its own unit",
        ["limit", ("as stated",), ("what commitments take",)],
        [(words(each.limit), number(each.budget), number(each.committed)) for each in plan.overcommitted],
    )
    return Text("Nothing that takes more of these limits was chosen; everything else was planned."), table


def tell_prices(plan: Plan, unit: str) -> tuple[Part, ...]:
    """Draw and list what one unit more of each limit would earn."""
    if not plan.prices:
        return ()
    drawing = draw_prices(plan.prices, key="prices", unit=unit)
    source = (plan.prices_from or "").replace("_", " ").replace("lp relaxation", "linear relaxation")
    table = make_table(
        f"{count(len(plan.prices), 'limit')} with a price, from the {source}",
        ["limit", (in_unit("price of one unit", unit),)],
        [
            (words(each.limit), number(each.price))
            for each in sorted(plan.prices, key=lambda each: -abs(each.price or 0.0))
        ],
    )
    return (drawing, table) if drawing is not None else (table,)


def tell_explanations(plan: Plan, unit: str) -> tuple[Part, ...]:
    """List what each choice and the next best are worth at the shadow prices."""
    rows = []
    for each in plan.assignments:
        why = each.explanation
        if why is None:
            continue
        next_best = " + ".join(why.runner_up) or ("none" if why.margin is None else "leave it")
        rows.append(
            (
                words(each.task),
                words(each.offer),
                words(next_best),
                number(why.worth),
                number(why.task_price),
                number(why.margin),
            )
        )
    if not rows:
        return ()
    return (
        Text(
            "What a choice and the next best are worth: net reward less the price of what they use of "
            "every limit. A negative margin is no fault: whole tasks do not pack as well as shares of them."
        ),
        make_table(
            f"{count(len(rows), 'choice')}, {in_unit('worth', unit)}",
            ["task", "offer", "next best", ("worth",), ("task price",), ("margin",)],
            rows,
        ),
    )


def tell_incentives(plan: Plan, unit: str) -> tuple[Part, ...]:
    """List what coprocessors earn for how loaded they are."""
    if not plan.loads:
        return ()
    error = (
        f"; the bound is at most {show_number(plan.load_error)} too high for them" if plan.load_error else ""
    )
    table = make_table(
        f"{count(len(plan.loads), 'coprocessor')} with a load curve{error}",
        ["coprocessor", "resource", ("load",), (in_unit("incentive", unit),)],
        [
            (words(each.coprocessor), words(each.resource), share(each.load), number(each.incentive))
            for each in plan.loads
        ],
    )
    return (table,)


def tell_replicas(plan: Plan, unit: str) -> tuple[Part, ...]:
    """List what one more executor would add."""
    if not plan.replica_values:
        return ()
    table = make_table(
        "What the best further executor would add, limits left aside",
        ["task", ("executors",), "one more", (in_unit("gain", unit),)],
        [
            (words(each.task), number(each.executors), words(each.executor), number(each.value_of_one_more))
            for each in plan.replica_values
        ],
    )
    return (table,)
