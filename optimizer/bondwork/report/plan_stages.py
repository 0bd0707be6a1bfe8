"""What a plan does later: its scenario tree, what is done at its nodes, and what planning ahead is worth."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bondwork.console import printable
from bondwork.report.figures_tree import Branches, draw_branches
from bondwork.report.page import Facts, Section, Text, in_unit, make_table, number, share, words
from bondwork.tables import show_number

if TYPE_CHECKING:
    from bondwork.plan.plan import NodeDecision, Plan
    from bondwork.report.page import Drawing, Part

#: What stands between a node and the one before it in the name of a later node.
_BELOW = " > "

_WORTH = {
    "ws": "wait-and-see",
    "rp": "recourse problem",
    "eev": "expected-value plan, evaluated",
    "evpi": "worth of perfect information",
    "vss": "worth of the stochastic model",
}


def later_sections(plan: Plan, unit: str) -> list[Section]:
    """Sections about later stages; none where a plan has none."""
    if not plan.recourse:
        return []
    return [
        Section(
            "What happens later", (_tree(plan.recourse), *_contingencies(plan, unit), *_periods(plan, unit))
        ),
        Section("What planning ahead is worth", _worth(plan, unit)),
    ]


def parents(nodes: list[NodeDecision]) -> np.ndarray:
    """Node above each of a plan's later nodes, 0 for the round itself; nodes are numbered from 1."""
    numbers = {each.node: place for place, each in enumerate(nodes, start=1)}
    return np.array([numbers.get(each.node.rpartition(_BELOW)[0], 0) for each in nodes], dtype=np.int64)


def _tree(nodes: list[NodeDecision]) -> Drawing:
    label = ["this round", *(each.node.rpartition(_BELOW)[2] for each in nodes)]
    tree = Branches(
        parent=np.concatenate([[-1], parents(nodes)]),
        probability=np.array([1.0, *(each.probability for each in nodes)]),
        label=label.__getitem__,
    )
    return draw_branches(tree, key="later", title="Scenario tree")


def _contingencies(plan: Plan, unit: str) -> tuple[Part, ...]:
    """What is done once failures are seen, gathered over the nodes where the same is done."""
    holder = {each.task: each.executor for each in plan.assignments}
    chance: dict[tuple[str, bool, str], float] = {}
    worth: dict[tuple[str, bool, str], float] = {}
    for node in plan.recourse:
        if node.period is not None:
            continue
        for each in node.assignments:
            key = (each.task, each.task in node.failed, each.executor)
            chance[key] = chance.get(key, 0.0) + node.probability
            worth[key] = each.expected_net_reward
    if not chance:
        return ()
    rows = [
        (
            words(task),
            words(f"{holder.get(task, 'its executor')} failed" if failed else "nobody does it"),
            words(executor),
            share(chance[task, failed, executor]),
            number(worth[task, failed, executor]),
        )
        for task, failed, executor in sorted(chance, key=lambda key: -chance[key])
    ]
    columns: list[str | tuple[str]] = [
        "task", "when", "rescue by", ("probability",), (in_unit("net reward of it", unit),)
    ]  # fmt: skip
    return (make_table("Second stage: who rescues what", columns, rows),)


def _periods(plan: Plan, unit: str) -> tuple[Part, ...]:
    nodes = [node for node in plan.recourse if node.period is not None]
    if not nodes:
        return ()
    rows = []
    for period in dict.fromkeys(node.period for node in nodes):
        mine = [node for node in nodes if node.period == period]
        chance = sum(node.probability for node in mine)
        given = max(chance, 1e-300)
        many = sum(node.probability * len(node.assignments) for node in mine) / given
        reward = sum(
            node.probability * each.expected_net_reward for node in mine for each in node.assignments
        )
        rows.append(
            (
                words(period or ""),
                number(mine[0].stage),
                share(chance),
                number(len(mine)),
                number(round(many, 4)),
                number(reward / given),
            )
        )
    summary = make_table(
        "Later periods; means given the period",
        [
            "period",
            ("stage",),
            ("probability",),
            ("nodes",),
            ("assignments",),
            (in_unit("net reward", unit),),
        ],
        rows,
    )
    decisions = make_table(
        "What is decided at each node, the likeliest first",
        ["node", ("probability",), "seen to fail", "decided"],
        [
            (
                words(node.node),
                share(node.probability),
                words(", ".join([*node.failed, *node.failed_commitments])),
                words(", ".join(f"{each.task} by {each.executor}" for each in node.assignments) or "nothing"),
            )
            for node in sorted(nodes, key=lambda node: -node.probability)
        ],
        most=100,
    )
    return summary, decisions


def _worth(plan: Plan, unit: str) -> tuple[Part, ...]:
    parts: list[Part] = []
    entries: list[tuple[str, str, str]] = []
    suffix = f" {unit}" if unit else ""
    value = plan.stochastic or {}
    for key, name in _WORTH.items():
        amount = value.get(key)
        if isinstance(amount, int | float):
            entries.append((f"{key.upper()}: {name}", f"{show_number(amount)}{suffix}", ""))
    found = plan.evaluation
    if found is not None:
        fresh = "no second stage within the limits"
        if found.out_of_sample is not None:
            fresh = f"{show_number(found.out_of_sample)} ± {show_number(found.standard_error)}{suffix}"
        entries.append(("on the scenarios of the solve", f"{show_number(found.in_sample)}{suffix}", ""))
        entries.append((f"on {found.scenarios:,} fresh scenarios", fresh, ""))
    if entries:
        parts.append(Facts(tuple((name, text, "") for name, text, _ in entries)))
    if value.get("notes"):
        parts.append(Text(printable(str(value["notes"]))))
    return tuple(parts)
