"""The report of a scenario tree."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bondwork.console import printable
from bondwork.report.figures_tree import Branches, draw_branches, draw_shares, draw_values
from bondwork.report.page import Facts, Gallery, Page, Section, Text, make_table, number, render, words
from bondwork.uncertainty.tree_statistics import MOST_CORRELATED, describe_tree

if TYPE_CHECKING:
    from typing import Any

    from bondwork.report.page import Part
    from bondwork.uncertainty.tree import ScenarioTree

#: Columns of the last stage whose law is drawn.
MOST_DRAWN = 6

#: Columns of a node that its name tells.
_TOLD = 2


def report_tree(tree: ScenarioTree, *, name: str = "") -> str:
    """Write a scenario tree as one HTML page that needs nothing else. The same tree gives the same bytes.

    Large trees are drawn by their likeliest nodes, and the page says so.

    Parameters
    ----------
    tree
        What to show.
    name
        Heading of the page.

    Raises
    ------
    ModuleNotFoundError
        The extra ``report`` is not installed.

    Examples
    --------
    >>> from bondwork.uncertainty.tree import ScenarioTree
    >>> html = report_tree(ScenarioTree.from_fan([[2.0], [6.0]], names=["demand"]), name="two futures")
    >>> "<h1>two futures</h1>" in html, html.count("<figure")
    (True, 2)
    """
    found = describe_tree(tree)
    drawing = draw_branches(
        Branches(tree.parent, tree.probability, lambda node: _label(tree, node)),
        key="branches",
        title="Nodes and branches",
    )
    sections = [
        Section("The tree", (drawing,)),
        Section("The last stage", _last_stage(tree)),
        Section("What each stage holds", _statistics(found)),
        Section("Correlations", _correlations(found)),
    ]
    page = Page(
        title=printable(name) or "Scenario tree",
        subtitle=f"{tree.stages} stages, {len(tree):,} nodes, {len(tree.leaves):,} scenarios",
        facts=Facts(
            (
                ("stages", str(tree.stages), ""),
                ("nodes", f"{len(tree):,}", ""),
                ("scenarios", f"{len(tree.leaves):,}", ""),
                ("least probability", f"{found['least_probability']:.4g}", ""),
                ("largest probability", f"{found['largest_probability']:.4g}", ""),
                ("sha256", found["sha256"], ""),
            )
        ),
        sections=tuple(each for each in sections if each.parts),
        footer="Made by bondwork.",
    )
    return render(page)


def _label(tree: ScenarioTree, node: int) -> str:
    names = tree.names[int(tree.stage[node])]
    values = tree.value(node)
    told = [f"{name}={value:.4g}" for name, value in zip(names[:_TOLD], values[:_TOLD], strict=True)]
    return " ".join(told) + (" …" if len(names) > _TOLD else "")


def _last_stage(tree: ScenarioTree) -> tuple[Part, ...]:
    if tree.stages < 2 or not tree.names[-1]:
        return ()
    values, weight = tree.values[-1], tree.probability[tree.leaves]
    columns = list(enumerate(tree.names[-1]))
    if np.isin(values, (0.0, 1.0)).all():
        return (draw_shares(tree.names[-1], weight @ values, key="shares"),)
    drawings = tuple(
        draw_values(values[:, k], weight, name, key=f"values-{k}") for k, name in columns[:MOST_DRAWN]
    )
    left = len(columns) - len(drawings)
    return (Gallery(drawings), *([Text(f"and {left} more columns, in the table below")] if left else []))


def _statistics(found: dict[str, Any]) -> tuple[Part, ...]:
    stages = make_table(
        "Stages",
        [("stage",), ("nodes",), ("fewest children of a node before",), ("most",), ("columns",)],
        [
            (
                number(each["stage"]),
                number(each["nodes"]),
                number(each["least_children"]),
                number(each["most_children"]),
                number(len(each["columns"])),
            )
            for each in found["stages"]
        ],
    )
    rows = [
        (
            words(name),
            number(stage["stage"]),
            *(number(told[key]) for key in ("mean", "sd", "low", "high")),
        )
        for stage in found["stages"]
        for name, told in stage["columns"].items()
    ]
    columns: list[str | tuple[str]] = ["column", *(
        (each,) for each in ("stage", "mean", "standard deviation", "least", "largest")
    )]  # fmt: skip
    return (stages, make_table("Columns", columns, rows)) if rows else (stages,)


def _correlations(found: dict[str, Any]) -> tuple[Part, ...]:
    rows = [
        (
            words(pair["between"][0]),
            words(pair["between"][1]),
            number(stage["stage"]),
            number(round(pair["value"], 6)),
        )
        for stage in found["stages"]
        for pair in sorted(stage["correlation"], key=lambda pair: -abs(pair["value"]))
    ]
    if not rows:
        return ()
    wide = any(len(stage["columns"]) > MOST_CORRELATED for stage in found["stages"])
    note = [Text(f"Stages of more than {MOST_CORRELATED} columns tell none.")] if wide else []
    return (make_table("Strongest first", ["column", "with", ("stage",), ("correlation",)], rows), *note)
