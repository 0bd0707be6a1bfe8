"""Drawings of a plan: what is used of what there is, the law of the loss, the prices of limits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bondwork.report.drawing import COLOUR, MOST_BARS, bar_height, draw, log_axis, name_bars
from bondwork.report.page import LegendEntry, in_unit, shorten
from bondwork.tables import show_number

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes

    from bondwork.arrays import FloatArray
    from bondwork.plan.plan import Price
    from bondwork.report.page import Drawing

#: Bars of a histogram.
BINS = 40


@dataclass(frozen=True, slots=True, eq=False)
class Usage:
    """What is used of a limited thing, member by member.

    Attributes
    ----------
    names
        n members.
    used, committed, free
        Shape (n,). By this plan, by earlier rounds, and left; ``inf`` free where there is no limit.
    unit
        Of all three.
    """

    names: tuple[str, ...]
    used: FloatArray
    committed: FloatArray
    free: FloatArray
    unit: str

    @property
    def total(self) -> FloatArray:
        """Shape (n,). All there is; what is used where that is more."""
        total: FloatArray = self.used + self.committed + np.maximum(self.free, 0.0)
        return total


def draw_usage(usage: Usage, *, key: str, title: str, what: str, members: str) -> Drawing | None:
    """Draw shares used, committed and free as bars; ``None`` where nothing is limited."""
    limited = np.flatnonzero(np.isfinite(usage.total) & (usage.total > 0.0))
    if not len(limited):
        return None
    share = (usage.used + usage.committed)[limited] / usage.total[limited]
    order = limited[np.argsort(-share, kind="stable")][:MOST_BARS]
    parts = [
        values[order] / usage.total[order] * 100.0
        for values in (usage.used, usage.committed, np.maximum(usage.free, 0.0))
    ]

    def paint(axes: Axes) -> None:
        left = np.zeros(len(order))
        for part, colour in zip(parts, ("c0", "c1", "free"), strict=True):
            axes.barh(range(len(order)), part, left=left, color=COLOUR[colour], height=0.72)
            left = left + part
        name_bars(axes, [shorten(usage.names[k]) for k in order.tolist()])
        axes.set_xlim(0.0, 100.0)
        axes.set_xlabel("% of all there is")

    full = int(np.count_nonzero(share > 0.999))
    spent = float((usage.used + usage.committed)[limited].sum() / usage.total[limited].sum())
    caption = f"{spent:.1%} of {what} is taken over all of them"
    if len(limited) > len(order):
        caption += f"; the {len(order)} fullest of {len(limited)} {members} are drawn"
    if len(limited) < len(usage.names):
        caption += f"; {len(usage.names) - len(limited)} have no limit, or nothing to limit"
    return draw(
        paint,
        key=key,
        title=title,
        alt=f"Bars of {what} by member: {spent:.0%} taken in all, {full} of {len(limited)} {members} full.",
        height=bar_height(len(order)),
        caption=caption + ".",
        legend=(
            LegendEntry("this plan", "c0"),
            LegendEntry("commitments of earlier rounds", "c1"),
            LegendEntry("free", "free"),
        ),
    )


@dataclass(frozen=True, slots=True, eq=False)
class Loss:
    """The slashing loss of a plan: all that it may be, or what it is on fresh scenarios.

    Attributes
    ----------
    losses, probability
        Shape (S,). In currency.
    level, var, cvar
        Quantile at the level, and the mean of what is beyond it.
    budget
        What a limit of the round allows for the CVaR at this level; ``None`` without one.
    scenarios
        How many were drawn; 0 where the law is exact.
    """

    losses: FloatArray
    probability: FloatArray
    level: float
    var: float
    cvar: float
    budget: float | None
    scenarios: int = 0


def draw_loss(loss: Loss, *, key: str, unit: str) -> Drawing:
    """Draw a histogram of the loss, with its VaR, its CVaR and its budget."""
    mean = float(loss.losses @ loss.probability)
    nothing = float(loss.probability[loss.losses == 0.0].sum())
    lines = [
        ("mean", mean, "c2", "2 2"),
        (f"VaR at {loss.level:.4g}", loss.var, "c4", "6 2"),
        (f"CVaR at {loss.level:.4g}", loss.cvar, "c5", ""),
    ]
    if loss.budget is not None and np.isfinite(loss.budget):
        lines.append(("budget of the CVaR", loss.budget, "ink", "8 2 2 2"))
    top = max([float(loss.losses.max()), *(value for _, value, _, _ in lines)]) or 1.0
    # where hardly anything fails, the tail is what there is to see
    steep = nothing > 0.6

    def paint(axes: Axes) -> None:
        axes.hist(
            loss.losses,
            bins=BINS,
            range=(0.0, top),
            weights=loss.probability * 100.0,
            color=COLOUR["c0"],
            edgecolor=COLOUR["paper"],
            linewidth=0.4,
        )
        for _, value, colour, dashes in lines:
            pattern = tuple(float(each) / 1.8 for each in dashes.split())
            style = (0, pattern) if pattern else "solid"
            axes.axvline(value, color=COLOUR[colour], linestyle=style, linewidth=1.8)
        axes.set_xlim(0.0, top * 1.03)
        axes.set_xlabel(in_unit("slashed", unit))
        if steep:
            axes.set_yscale("log")
            log_axis(axes.yaxis, lambda y: f"{y:g}")
        axes.set_ylabel("% of the scenarios" if loss.scenarios else "probability in %")

    told = [f"{name} {show_number(value)}{f' {unit}' if unit else ''}" for name, value, _, _ in lines]
    of, title = f"{loss.scenarios:,} scenarios", "Slashing loss on fresh scenarios"
    caption = f"{of} that no solve has seen; nothing is slashed in {nothing:.1%} of them."
    if not loss.scenarios:
        of, title = "all outcomes", "Slashing loss"
        caption = f"Exact: of all outcomes with their probabilities. Nothing is slashed with {nothing:.1%}."
    return draw(
        paint,
        key=key,
        title=title,
        alt=f"Histogram of the slashing loss in {of}: {', '.join(told)}.",
        caption=f"{caption} Commitments are counted."
        + (" The shares stand on a logarithmic axis." if steep else ""),
        legend=[
            LegendEntry(text, colour, dashes)
            for text, (_, _, colour, dashes) in zip(told, lines, strict=True)
        ],
    )


def draw_prices(prices: Sequence[Price], *, key: str, unit: str) -> Drawing | None:
    """Draw the dearest limits; ``None`` where none has a price."""
    dearest = sorted((each for each in prices if each.price), key=lambda each: -abs(each.price or 0.0))
    shown = dearest[:MOST_BARS]
    if not shown:
        return None
    values = [each.price or 0.0 for each in shown]

    def paint(axes: Axes) -> None:
        axes.barh(range(len(shown)), values, color=COLOUR["c0"], height=0.72)
        name_bars(axes, [shorten(each.limit, 26) for each in shown])
        axes.set_xlabel(in_unit("price of one unit", unit))

    more = f" The {len(shown)} dearest of {len(dearest)}." if len(dearest) > len(shown) else ""
    return draw(
        paint,
        key=key,
        title="What one unit more would earn",
        alt=f"Bars of shadow prices; the dearest limit is {shorten(shown[0].limit, 60)} "
        f"at {show_number(values[0])}{f' {unit}' if unit else ''} per unit.",
        height=bar_height(len(shown)),
        caption=f"Units differ from limit to limit.{more}",
    )
