"""A tree for the eye: a drawing in text, and a summary."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from bondwork.uncertainty.tree import ScenarioTree

_COLUMNS = 4


def draw_tree(tree: ScenarioTree, *, max_children: int = 6, ascii_only: bool = False) -> str:
    """Draw a tree, one line a node.

    Parameters
    ----------
    tree
        What to draw.
    max_children
        Children shown of each node, >= 1; a line says how many more there are and what probability they hold.
    ascii_only
        For terminals without box characters.

    Examples
    --------
    >>> from bondwork.uncertainty.tree import ScenarioTree
    >>> print(draw_tree(ScenarioTree.from_fan([[2.0], [6.0]], names=["demand"]), ascii_only=True))
    root
    |- 0.5  demand=2
    `- 0.5  demand=6
    """
    if max_children < 1:
        raise ValueError(f"max_children is {max_children}, expected at least 1")
    fork, last, line = ("|- ", "`- ", "|  ") if ascii_only else ("├─ ", "└─ ", "│  ")
    lines = [" ".join(["root", *_values(tree, 0)])]
    # A stack, not recursion: a tree may have more stages than Python has frames.
    pending: list[tuple[int, str, bool]] = []

    def push(node: int, indent: str) -> None:
        children = tree.children(node)
        shown = min(children.stop, children.start + max_children)
        hidden = children.stop - shown
        if hidden == 1:
            shown, hidden = children.stop, 0
        entries = [(at, indent, hidden == 0 and at == shown - 1) for at in range(children.start, shown)]
        if hidden:
            entries.append((-shown, indent, True))
        pending.extend(reversed(entries))

    push(0, "")
    while pending:
        node, indent, is_last = pending.pop()
        if node < 0:
            rest = slice(-node, tree.children(int(tree.parent[-node])).stop)
            mass = float(tree.conditional[rest].sum())
            lines.append(f"{indent}{last}... {rest.stop - rest.start} more, {mass:.4g} together")
            continue
        text = "  ".join([f"{tree.conditional[node]:.4g}", *_values(tree, node)])
        lines.append(indent + (last if is_last else fork) + text)
        push(node, indent + ("   " if is_last else line))
    return "\n".join(lines)


def summarize_tree(tree: ScenarioTree) -> str:
    """Summarise a tree: nodes, branching, and mean and standard deviation of what each stage reveals.

    Examples
    --------
    >>> from bondwork.uncertainty.tree import ScenarioTree
    >>> print(summarize_tree(ScenarioTree.from_fan([[2.0], [6.0]], names=["demand"])))
    2 stages, 3 nodes, 2 scenarios
    stage 0: 1 node, no values
    stage 1: 2 nodes, 2 children of a node before; demand 4 ± 2
    """
    lines = [f"{tree.stages} stages, {len(tree)} nodes, {len(tree.leaves)} scenarios"]
    for stage, values in enumerate(tree.values):
        at = tree.nodes(stage)
        text = f"stage {stage}: {len(values)} node{'s' if len(values) != 1 else ''}"
        if stage:
            counts = np.bincount(tree.parent[at] - tree.nodes(stage - 1).start)
            low, high = int(counts.min()), int(counts.max())
            text += f", {low if low == high else f'{low} to {high}'} children of a node before"
        if values.shape[1]:
            weight = tree.probability[at]
            mean = weight @ values
            spread = np.sqrt(weight @ (values - mean) ** 2)
            shown = [
                f"{name} {m:.4g} ± {s:.4g}"
                for name, m, s in zip(tree.names[stage], mean, spread, strict=True)
            ]
            text += "; " + ", ".join(shown[:_COLUMNS])
            if len(shown) > _COLUMNS:
                text += f", and {len(shown) - _COLUMNS} more"
        else:
            text += ", no values"
        lines.append(text)
    return "\n".join(lines)


def _values(tree: ScenarioTree, node: int) -> list[str]:
    names = tree.names[int(tree.stage[node])]
    shown = [f"{name}={x:.6g}" for name, x in zip(names, tree.value(node), strict=True)]
    return shown[:_COLUMNS] + ([f"+{len(shown) - _COLUMNS}"] if len(shown) > _COLUMNS else [])
