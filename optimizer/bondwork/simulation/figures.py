"""Figures 2 to 9 of the paper, drawn from a simulation's own data.

matplotlib comes with the extra ``report``. The same data gives the same bytes, whatever the user's settings.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np

from bondwork.files import write_whole
from bondwork.problem.faults import Refusal
from bondwork.simulation.captions import captions
from bondwork.simulation.findings import Findings, curve, find, load_spread, smooth, window
from bondwork.simulation.rules import UNITS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from matplotlib.figure import Figure

    from bondwork.arrays import FloatArray

#: Points of a scatter, at most.
MOST_POINTS = 4000


def draw_figures(folder: Path, output: Path | None = None, *, variant: str | None = None) -> dict[str, str]:
    """Draw figures 2 to 9 as SVG, and write ``captions.md`` beside them.

    Parameters
    ----------
    folder
        Of a simulation that is done.
    output
        Where the figures go; ``figures`` within the folder if left out.
    variant
        Which one figures 3 to 9 show; that with the largest reward if left out.

    Returns
    -------
    dict
        Captions by figure.

    Raises
    ------
    InvalidInput
        The folder does not hold what is needed.
    Refusal
        matplotlib is not installed.
    """
    try:
        import matplotlib as mpl
    except ModuleNotFoundError:
        raise Refusal(["figures need matplotlib: pip install 'bondwork[report]'"]) from None
    findings = find(folder, variant)
    output = folder / "figures" if output is None else output
    output.mkdir(parents=True, exist_ok=True)
    told = captions(findings)
    own = {k: v for k, v in mpl.rcParamsDefault.items() if not k.startswith("backend")}
    own |= {"svg.hashsalt": "bondwork", "svg.fonttype": "none", "font.size": 9.0}
    with mpl.rc_context(own):
        for number, paint in enumerate(_PAINTERS, start=2):
            write_whole(output / f"figure-{number}.svg", _drawn(paint, findings))
    lines = []
    for name, text in told.items():
        title = name.replace("-", " ").capitalize()
        lines.append(f"![{title}]({name}.svg)\n\n**{title}.** {text}\n")
    write_whole(output / "captions.md", "\n".join(lines))
    return told


def _drawn(paint: Callable[[Figure, Findings], None], findings: Findings) -> bytes:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.0, 3.2), layout="constrained", dpi=110)
    paint(figure, findings)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    return buffer.getvalue()


def _axes(figure: Figure, x: str, y: str, place: tuple[int, int, int] = (1, 1, 1)) -> Any:
    axes = figure.add_subplot(*place)
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.spines[["top", "right"]].set_visible(False)
    return axes


def _survival(figure: Figure, findings: Findings) -> None:
    left = _axes(figure, "period", "active operators", (1, 2, 1))
    right = _axes(figure, "period", "cumulative reward", (1, 2, 2))
    for axes, data in ((left, findings.operators_there), (right, findings.cumulative_reward)):
        for name, values in data.items():
            t = _every(values.shape[1], 50)
            axes.plot(t, values.mean(axis=0)[t], label=name, linewidth=1.2)
            if len(values) > 1:
                axes.fill_between(t, values.min(axis=0)[t], values.max(axis=0)[t], alpha=0.2, linewidth=0)
        axes.set_ylim(bottom=0)
    left.legend(fontsize=7, frameon=False)


def _rewards(figure: Figure, findings: Findings) -> None:
    axes = _axes(figure, "period", "reward per period")
    _lines(axes, findings.records.reward / UNITS, findings, "operator")


def _reputation(figure: Figure, findings: Findings) -> None:
    axes = _axes(figure, "reputation (believed success probability)", "total reward")
    records = findings.records
    stayed = records.op_left == findings.rules.periods
    there = records.op_periods > 0
    for who, label, colour in ((there & stayed, "stays", "C0"), (there & ~stayed, "has left", "C3")):
        if who.any():
            reward = records.op_total[who, 0] / UNITS
            axes.scatter(records.op_reputation[who], reward, s=10, label=label, color=colour)
    axes.legend(fontsize=7, frameon=False)


def _network(figure: Figure, findings: Findings) -> None:
    axes = figure.add_subplot()
    axes.axis("off")
    trade = findings.records.trade
    operators = np.sort(np.argsort(-trade.sum(axis=1), kind="stable")[:5])
    coprocessors = np.sort(np.argsort(-trade.sum(axis=0), kind="stable")[:10])
    most = max(int(trade[np.ix_(operators, coprocessors)].max(initial=0)), 1)
    y_left, y_right = np.linspace(0.9, 0.1, len(operators)), np.linspace(1.0, 0.0, len(coprocessors))
    for v, y in zip(operators.tolist(), y_left, strict=True):
        for c, z in zip(coprocessors.tolist(), y_right, strict=True):
            axes.plot([0.0, 1.0], [y, z], color="C0", alpha=0.6, linewidth=4.0 * trade[v, c] / most)
        axes.text(-0.03, y, f"operator {v}", ha="right", va="center", fontsize=8)
    for c, z in zip(coprocessors.tolist(), y_right, strict=True):
        axes.text(1.03, z, f"coprocessor {c}: {trade[:, c].sum():,}", ha="left", va="center", fontsize=8)
    axes.set_xlim(-0.3, 1.5)


def _load(figure: Figure, findings: Findings) -> None:
    axes = _axes(figure, "load", "income in a period")
    load, income = _points(findings.records.load, findings.records.income / UNITS)
    axes.scatter(load, income, s=2, alpha=0.3, color="0.5", rasterized=True, linewidths=0)
    middle, mean, spread = load_spread(findings)
    label = "mean, one standard deviation"
    axes.errorbar(middle, mean, spread, color="C0", linewidth=1.2, capsize=2, label=label)
    axes.legend(fontsize=7, frameon=False)


def _tasks(figure: Figure, findings: Findings) -> None:
    axes = _axes(figure, "period", "pieces of work per period")
    _lines(axes, findings.records.pieces.astype(np.float64), findings, "coprocessor")


def _curve(figure: Figure, findings: Findings) -> None:
    axes = _axes(figure, "load", "f")
    x = np.linspace(0.0, 1.0, 201)
    base = curve(findings)
    axes.plot(x, base(x), label="f", color="C0")
    adaptive = findings.rules.load_curve.adaptive
    if adaptive is not None and "A" in adaptive.loadings:
        for share, style in ((0.05, "--"), (0.95, ":")):
            moved = (np.quantile(findings.records.amplitude, share) - base.A) / adaptive.loadings["A"]
            changes = {name: getattr(base, name) + by * moved for name, by in adaptive.loadings.items()}
            moved_curve = base.with_parameters(**changes)
            axes.plot(x, moved_curve(x), style, color="C1", label=f"A at its {share:.0%} quantile")
    for name in "BF":
        axes.axvline(getattr(base, name), color="0.8", linewidth=0.8, zorder=0)
    axes.legend(fontsize=7, frameon=False)


def _incentive(figure: Figure, findings: Findings) -> None:
    axes = _axes(figure, "load", "load incentive in a period")
    records = findings.records
    load, earned = _points(records.load, records.incentive / UNITS)
    _, amplitude = _points(records.load, records.amplitude)
    dots = axes.scatter(load, earned, s=3, c=amplitude, rasterized=True, linewidths=0)
    figure.colorbar(dots, ax=axes, label="A")


def _lines(axes: Any, values: FloatArray, findings: Findings, what: str) -> None:
    """Ten members' moving means, evenly taken from all."""
    smoothed = smooth(values, window(findings))
    t = _every(len(values), 120)
    for number in _every(values.shape[1], 10).tolist():
        axes.plot(t, smoothed[t, number], linewidth=0.9, label=f"{what} {number}")
    axes.set_ylim(bottom=0)
    axes.legend(fontsize=6, frameon=False, ncols=2, loc="upper right")


def _every(size: int, most: int) -> Any:
    return np.unique(np.linspace(0, size - 1, min(size, most)).round().astype(np.int64))


def _points(x: FloatArray, y: FloatArray) -> tuple[FloatArray, FloatArray]:
    # at random, but always the same ones: every so-manyth would be the same coprocessors again and again
    chosen = np.random.default_rng(0).permutation(x.size)[:MOST_POINTS]
    return x.ravel()[chosen], y.ravel()[chosen]


_PAINTERS = (_survival, _rewards, _reputation, _network, _load, _tasks, _curve, _incentive)
