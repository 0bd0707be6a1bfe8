"""Drawings of scenario trees: nodes and branches, and what the last stage may bring."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bondwork.report.drawing import COLOUR, MOST_BARS, bar_height, draw, name_bars
from bondwork.report.page import shorten

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from matplotlib.axes import Axes

    from bondwork.arrays import FloatArray, IntArray
    from bondwork.report.page import Drawing

#: Most nodes that are drawn: more than that nobody can tell apart.
MOST_NODES = 60

#: Nodes with children left out up to which each says how many.
MOST_COUNTED = 6

#: Leaves up to which the drawing has words.
MOST_NAMED = 24


@dataclass(frozen=True, slots=True, eq=False)
class Branches:
    """A tree to draw.

    Attributes
    ----------
    parent
        Shape (N,). Node above, -1 at the root, node 0; parents stand before their children.
    probability
        Shape (N,). Of reaching each node.
    label
        Words for a node.
    """

    parent: IntArray
    probability: FloatArray
    label: Callable[[int], str]


def likeliest(tree: Branches, most: int) -> IntArray:
    """Nodes of the likeliest paths from the root to the last stage, ascending; at most ``most`` of them.

    One path is always there, however long it is.
    """
    last = np.ones(len(tree.parent), dtype=bool)
    last[tree.parent[1:]] = False
    leaves = np.flatnonzero(last)
    kept = np.zeros(len(tree.parent), dtype=bool)
    room = most
    for leaf in leaves[np.argsort(-tree.probability[leaves], kind="stable")].tolist():
        path = []
        node = leaf
        while node >= 0 and not kept[node]:
            path.append(node)
            node = int(tree.parent[node])
        if len(path) > room and room < most:
            break
        kept[path] = True
        room -= len(path)
    return np.flatnonzero(kept)


def draw_branches(tree: Branches, *, key: str, title: str) -> Drawing:
    """Draw a tree from left to right; branches are as thick as they are likely."""
    kept = likeliest(tree, MOST_NODES)
    stage = {-1: -1}
    for node in kept.tolist():
        stage[node] = stage[int(tree.parent[node])] + 1
    position = _rows(tree, kept)
    leaves = sorted(set(kept.tolist()) - set(tree.parent[kept].tolist()))
    named = len(leaves) <= MOST_NAMED
    words = 34 if max(stage.values()) <= 1 else 22
    hidden = _hidden(tree, kept)
    counted = named or len(hidden) <= MOST_COUNTED
    depth = max(stage.values())

    def paint(axes: Axes) -> None:
        for node in kept.tolist():
            above = int(tree.parent[node])
            if above >= 0:
                width = 0.5 + 5.0 * float(tree.probability[node]) ** 0.5
                xs, ys = [stage[above], stage[node]], [position[above], position[node]]
                axes.plot(xs, ys, color=COLOUR["c0"], linewidth=width, solid_capstyle="round", alpha=0.75)
        size = 12.0 + 60.0 * tree.probability[kept]
        axes.scatter(
            [stage[k] for k in kept.tolist()],
            [position[k] for k in kept.tolist()],
            s=size,
            color=COLOUR["ink"],
            zorder=3,
            linewidths=0,
        )
        for node in kept.tolist() if named else ():
            chance = _percent(float(tree.probability[node]))
            last = node in leaves
            text = f"{shorten(tree.label(node), words)} {chance}" if last else chance
            axes.annotate(
                text,
                (stage[node], position[node]),
                xytext=(6, 0) if last else (0, 7),
                textcoords="offset points",
                ha="left" if last else "center",
                va="center" if last else "bottom",
                fontsize=9,
            )
        for node, (count, _) in hidden.items() if counted else ():
            axes.annotate(
                f"+{count}",
                (stage[node], position[node]),
                xytext=(0, -7) if named or stage[node] else (-8, -8),
                textcoords="offset points",
                ha="center",
                va="top",
                fontsize=8.5,
                color=COLOUR["muted"],
            )
        _frame(axes, depth, len(leaves), named)

    unseen = len(tree.parent) - len(kept)
    mass = sum(share for _, share in hidden.values())
    caption = "Branches are as thick as they are likely."
    if unseen:
        caption += (
            f" {len(kept)} of {len(tree.parent):,} nodes, those of the likeliest paths, are drawn"
            f"{'; +n: children of a node that are not' if counted else ''}. {_percent(mass)} of the paths "
            "are not drawn to their end."
        )
    return draw(
        paint,
        key=key,
        title=title,
        alt=f"A tree of {len(tree.parent):,} nodes over {depth + 1} stages, {len(kept)} of them drawn.",
        height=min(9.0, 0.9 + 0.24 * max(len(leaves), 4)) if named else min(9.0, 2.0 + 0.07 * len(leaves)),
        caption=caption,
    )


def draw_values(values: FloatArray, probability: FloatArray, name: str, *, key: str) -> Drawing:
    """Draw what one column of the last stage may be: a histogram over the scenarios."""
    low, high = float(values.min()), float(values.max())
    mean = float(values @ probability)
    if low == high:
        low, high = low - 0.5, high + 0.5

    def paint(axes: Axes) -> None:
        axes.hist(
            values,
            bins=30,
            range=(low, high),
            weights=probability * 100.0,
            color=COLOUR["c0"],
            edgecolor=COLOUR["paper"],
            linewidth=0.4,
        )
        axes.axvline(mean, color=COLOUR["c5"], linewidth=1.8)
        axes.set_xlabel(shorten(name, 40))
        axes.set_ylabel("% of the probability")

    return draw(
        paint,
        key=key,
        title=shorten(name, 60),
        alt=f"Histogram of {shorten(name, 60)} at the last stage, "
        f"from {low:.6g} to {high:.6g}, mean {mean:.6g}.",
        height=2.4,
        caption=f"Mean {mean:.6g} (line).",
    )


def draw_shares(names: Sequence[str], shares: FloatArray, *, key: str) -> Drawing:
    """Draw how likely each column of zeros and ones is to be 1, the likeliest first."""
    order = np.argsort(-shares, kind="stable")[:MOST_BARS].tolist()

    def paint(axes: Axes) -> None:
        axes.barh(
            range(len(order)), [100.0 * float(shares[k]) for k in order], color=COLOUR["c0"], height=0.72
        )
        name_bars(axes, [shorten(names[k]) for k in order])
        axes.set_xlim(left=0.0)
        axes.set_xlabel("% of the probability")

    more = f" The {len(order)} likeliest of {len(names):,}." if len(names) > len(order) else ""
    return draw(
        paint,
        key=key,
        title="What comes about",
        alt=f"Bars of how likely each column is to be 1; the likeliest is {shorten(names[order[0]], 60)} "
        f"with {_percent(float(shares[order[0]]))}.",
        height=bar_height(len(order)),
        caption=f"All columns hold 0 or 1: in how much of the probability each is 1.{more}",
    )


def _rows(tree: Branches, kept: IntArray) -> dict[int, float]:
    """Height of each drawn node: leaves one below the other, the others in the middle of their children."""
    children: dict[int, list[int]] = {}
    for node in kept.tolist():
        children.setdefault(int(tree.parent[node]), []).append(node)
    position: dict[int, float] = {}
    row = 0
    # a stack, not recursion: a tree may have more stages than Python has frames
    pending = [(int(kept[0]), False)]
    while pending:
        node, done = pending.pop()
        below = children.get(node, [])
        if not below:
            position[node] = -float(row)
            row += 1
        elif done:
            position[node] = (position[below[0]] + position[below[-1]]) / 2.0
        else:
            pending.append((node, True))
            pending += [(each, False) for each in reversed(below)]
    return position


def _hidden(tree: Branches, kept: IntArray) -> dict[int, tuple[int, float]]:
    """Children that are not drawn, of nodes that are: how many, and their probability."""
    drawn = np.zeros(len(tree.parent), dtype=bool)
    drawn[kept] = True
    lost = np.flatnonzero(~drawn)
    lost = lost[drawn[tree.parent[lost]]]
    found: dict[int, tuple[int, float]] = {}
    for node in lost.tolist():
        above = int(tree.parent[node])
        count, share = found.get(above, (0, 0.0))
        found[above] = count + 1, share + float(tree.probability[node])
    return found


def _frame(axes: Axes, depth: int, leaves: int, named: bool) -> None:
    span = max(depth, 1)
    room = (1.25 if depth <= 1 else 0.75) if named else 0.1
    axes.set_xlim(-0.15 * span, depth + room * span)
    axes.set_ylim(-max(leaves, 1) + 0.3, 0.9)
    axes.set_yticks([])
    step = max(1, -(-(depth + 1) // 12))
    axes.set_xticks(range(0, depth + 1, step))
    axes.set_xlabel("stage")
    axes.grid(visible=False, axis="y")
    axes.spines["left"].set_visible(False)


def _percent(share: float) -> str:
    return f"{100.0 * share:.3g}%"
