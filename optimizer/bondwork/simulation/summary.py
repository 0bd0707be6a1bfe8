"""What replications came to: a few numbers each, then their means with confidence intervals."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from bondwork.base.statistics import cvar as tail_mean
from bondwork.base.statistics import student_interval
from bondwork.simulation.records import LOAD_BINS
from bondwork.simulation.rules import UNITS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bondwork.arrays import FloatArray
    from bondwork.simulation.records import Records
    from bondwork.simulation.rules import Rules

SUMMARY_FORMAT = "bondwork.simulation-summary/1"

#: Level of the CVaR of a period's slashing.
LEVEL = 0.95


#: Between what some measures lie.
_BOUNDS = {
    **dict.fromkeys(("survivors", "failed_share", "done_share", "load"), (0.0, 1.0)),
    **dict.fromkeys(
        ("reputation_reward", "reputation_reward_survivors", "mean_reputation_reward"), (-1.0, 1.0)
    ),
}


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class Interval(_Record):
    """Mean over replications and its confidence interval (Student t); no interval from one replication."""

    mean: float
    low: float | None = None
    high: float | None = None


class VariantSummary(_Record):
    """One variant: each measure over its replications, and by replication."""

    name: str
    measures: dict[str, Interval]
    replications: list[dict[str, float | None]] = Field(description="Null where a measure is not defined.")


class SimulationSummary(_Record):
    """What a simulation came to."""

    format: Literal["bondwork.simulation-summary/1"]
    name: str
    periods: int
    confidence: float
    variants: list[VariantSummary]


def measure(rules: Rules, records: Records) -> dict[str, float | None]:
    """Measure one replication; amounts in currency, over all periods unless they say otherwise.

    Returns
    -------
    dict
        ``survivors``: share of the first operators that stay to the end. ``half_gone``: first period in which
        half of them have left, ``None`` if that never happens. ``reward``: earned by operators. ``net``: less
        what they pay and lose. ``value``: reward less the cost of all work, slashing, collateral lost, checks
        and harm: what the network is worth to everybody together. ``net_per_period``, ``slashed``,
        ``slashed_cvar`` (mean of the worst 5% of periods), ``failed_share``, ``done_share`` (of the tasks
        asked for), ``wrong``. ``reputation_reward``: correlation of operators' last reputation and their
        reward, ``reputation_reward_survivors`` among those who stay, ``mean_reputation_reward`` with the mean
        of their reputation while there. ``load``: mean of coprocessors' periods; ``income_spread_low``,
        ``_middle``, ``_high``: standard deviation of a coprocessor's income in a period at loads up to 1/3,
        up to 2/3, and above. ``income``: of coprocessors.
    """

    def total(name: str) -> float:
        return float(records.total(name).sum()) / UNITS

    slashed = records.total("slashed") / UNITS
    net = (
        records.total("reward") - records.total("paid") - records.total("slashed") + records.total("returned")
    ) / UNITS
    lost = total("forfeited") - total("returned")
    first = np.arange(len(records.op_left)) < rules.operators.number
    left = np.sort(records.op_left[first])
    half = int(left[(len(left) - 1) // 2]) if len(left) else rules.periods
    tasks = max(int(records.total("tasks").sum()), 1)
    reward = records.op_total[:, 0] / UNITS
    stayed = first & (records.op_left == rules.periods)
    mean_reputation = records.op_reputation_mean / np.maximum(records.op_periods, 1)
    return {
        "survivors": float(stayed.sum() / first.sum()),
        "half_gone": float(half) if half < rules.periods else None,
        "reward": total("reward"),
        "net": float(net.sum()),
        "net_per_period": float(net.mean()),
        "value": total("reward") - total("cost") - total("slashed") - lost - total("checks") - total("harm"),
        "slashed": float(slashed.sum()),
        "slashed_per_period": float(slashed.mean()),
        "slashed_cvar": cvar(slashed),
        "income": float(records.cp_total[:, 0].sum()) / UNITS,
        "failed_share": float(records.total("failed").sum()) / tasks,
        "done_share": float(records.total("done").sum()) / max(int(records.total("demand").sum()), 1),
        "wrong": float(records.total("wrong").sum()),
        "reputation_reward": _correlation(records.op_reputation[first], reward[first]),
        "reputation_reward_survivors": _correlation(records.op_reputation[stayed], reward[stayed]),
        "mean_reputation_reward": _correlation(mean_reputation[first], reward[first]),
        **_loads(records.load_bins),
    }


def summarise(
    name: str, rules: Mapping[str, Rules], found: Mapping[str, Sequence[dict[str, float | None]]]
) -> SimulationSummary:
    """Put measures of all replications of all variants together."""
    variants = [
        VariantSummary(
            name=variant,
            measures={
                key: _within(key, interval([each[key] for each in rows]))  # type: ignore[misc]
                for key in (rows[0] if rows else {})
                if all(each[key] is not None for each in rows)
            },
            replications=list(rows),
        )
        for variant, rows in found.items()
    ]
    periods = max(each.periods for each in rules.values())
    return SimulationSummary(
        format="bondwork.simulation-summary/1",
        name=name,
        periods=periods,
        confidence=0.95,
        variants=variants,
    )


def differences(
    summary: SimulationSummary, measure: str, reference: str | None = None
) -> dict[str, Interval]:
    """Paired differences of a measure from that of a reference variant, replication by replication.

    All variants see the same tasks, bids and outcomes, so the differences' intervals are narrower than those
    of the measures themselves. The reference is the first variant if left out; it has no entry of its own,
    nor have variants in which the measure is not defined.
    """
    rows = {each.name: [row.get(measure) for row in each.replications] for each in summary.variants}
    reference = next(iter(rows)) if reference is None else reference
    return {
        name: interval([x - y for x, y in zip(mine, rows[reference], strict=True)])  # type: ignore[operator]
        for name, mine in rows.items()
        if name != reference and None not in mine and None not in rows[reference]
    }


def interval(values: Sequence[float], confidence: float = 0.95) -> Interval:
    """Mean and Student t interval.

    Examples
    --------
    >>> interval([1.0, 2.0, 3.0]).mean
    2.0
    """
    mean, low, high = student_interval(values, confidence)
    return Interval(mean=mean, low=low, high=high)


def _within(name: str, value: Interval) -> Interval:
    """Cut an interval to what its measure can be."""
    bounds = _BOUNDS.get(name)
    if bounds is None or value.low is None or value.high is None:
        return value
    return Interval(mean=value.mean, low=max(value.low, bounds[0]), high=min(value.high, bounds[1]))


def write_interval(value: Interval | None) -> str:
    """Write an interval in words: ``12.5 (11.9 to 13.1)``."""
    if value is None:
        return "not defined"
    if value.low is None or value.high is None:
        return f"{value.mean:,.4g}"
    return f"{value.mean:,.4g} ({value.low:,.4g} to {value.high:,.4g})"


def cvar(loss: FloatArray, level: float = LEVEL) -> float:
    """CVaR of the losses of periods."""
    return float(tail_mean(loss, level))


def _correlation(x: FloatArray, y: FloatArray) -> float | None:
    if len(x) < 3 or np.ptp(x) == 0.0 or np.ptp(y) == 0.0:
        return None
    return float(np.corrcoef(x, y)[0, 1])


def _loads(bins: FloatArray) -> dict[str, float | None]:
    """Mean load, and the spread of income in thirds of the loads."""
    count, total, squares = bins.T
    middle = (np.arange(LOAD_BINS) + 0.5) / LOAD_BINS
    number = count.sum()
    told: dict[str, float | None] = {"load": float(count @ middle / number) if number else None}
    for name, low, high in (("low", 0.0, 1 / 3), ("middle", 1 / 3, 2 / 3), ("high", 2 / 3, 1.0)):
        here = (middle > low) & (middle <= high)
        n = count[here].sum()
        spread = None
        if n > 1:
            mean = total[here].sum() / n
            spread = float(math.sqrt(max(squares[here].sum() / n - mean * mean, 0.0)))
        told[f"income_spread_{name}"] = spread
    return told
