"""What a folder of results holds for the figures: arrays of one variant, and words about them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bondwork.market.load_curve import LoadIncentive
from bondwork.problem.faults import Fault, InvalidInput
from bondwork.simulation.rules import UNITS
from bondwork.simulation.running import load_folder, load_records
from bondwork.simulation.summary import SimulationSummary, write_interval

if TYPE_CHECKING:
    from pathlib import Path

    from bondwork.arrays import FloatArray
    from bondwork.simulation.records import Records
    from bondwork.simulation.rules import Rules
    from bondwork.simulation.schema import Experiment


@dataclass(frozen=True, slots=True, eq=False)
class Findings:
    """A folder of results, and the variant of which the figures of one network tell.

    Attributes
    ----------
    experiment, summary
        What was simulated, and what it came to.
    variant, rules, records
        The variant, and the first replication of it, which keeps everybody's periods.
    operators_there, cumulative_reward
        By variant, shape (replications, T): who is there, and rewards so far in currency.
    """

    experiment: Experiment
    summary: SimulationSummary
    variant: str
    rules: Rules
    records: Records
    operators_there: dict[str, FloatArray]
    cumulative_reward: dict[str, FloatArray]

    def told(self, measure: str, variant: str | None = None) -> str:
        """A measure of a variant with its confidence interval, in words."""
        each = next(v for v in self.summary.variants if v.name == (variant or self.variant))
        return write_interval(each.measures.get(measure))


def find(folder: Path, variant: str | None = None) -> Findings:
    """Read what the figures need.

    Parameters
    ----------
    folder
        Of a simulation that is done.
    variant
        Which one figures 3 to 9 show; that with the largest reward if left out.

    Raises
    ------
    InvalidInput
        The simulation is not done, has no such variant, or keeps no detail.
    """
    experiment = load_folder(folder)
    path = folder / "summary.json"
    if not path.exists():
        raise InvalidInput([Fault(str(path), "nothing", "the summary of a simulation that is done")])
    summary = SimulationSummary.model_validate_json(path.read_bytes())
    names = [each.name for each in summary.variants]
    if variant is None:
        variant = max(summary.variants, key=lambda each: each.measures["reward"].mean).name
    if variant not in names:
        raise InvalidInput([Fault("variant", f'"{variant}"', f"one of {', '.join(names)}")])
    records = load_records(folder, variant, 0)
    if not records.has_detail:
        raise InvalidInput([Fault(f"{folder}", 'detail "none"', 'a simulation with detail "first" or "all"')])
    there, reward = {}, {}
    for name in names:
        all_of = [load_records(folder, name, r) for r in range(experiment.replications)]
        there[name] = np.array([each.total("operators") for each in all_of], dtype=np.float64)
        reward[name] = np.cumsum([each.total("reward") / UNITS for each in all_of], axis=1)
    return Findings(experiment, summary, variant, experiment.variants[variant], records, there, reward)


def smooth(values: FloatArray, window: int) -> FloatArray:
    """Moving mean over the first axis, of the periods up to each one."""
    window = max(1, min(window, len(values)))
    total = np.cumsum(values, axis=0, dtype=np.float64)
    out = total.copy()
    out[window:] = total[window:] - total[:-window]
    counts = np.minimum(np.arange(1, len(values) + 1), window)
    mean: FloatArray = out / counts.reshape(-1, *([1] * (values.ndim - 1)))
    return mean


def window(findings: Findings) -> int:
    """Periods that curves are smoothed over: a twentieth of all."""
    return max(1, findings.rules.periods // 20)


def dispersion(findings: Findings) -> tuple[float, float]:
    """Relative spread of smoothed rewards across operators: after one window, and at the end."""
    records, width = findings.records, window(findings)
    reward = smooth(records.reward / UNITS, width)

    def at(t: int) -> float:
        mine = reward[t][records.active[t] > 0]
        return float(mine.std() / mine.mean()) if len(mine) > 1 and mine.mean() > 0.0 else float("nan")

    return at(width - 1), at(len(reward) - 1)


def load_spread(findings: Findings) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Middle of each load bin, and mean and standard deviation of income there; empty bins left out."""
    count, total, squares = findings.records.load_bins.T
    seen = count > 1
    middle = (np.arange(len(count)) + 0.5) / len(count)
    mean = total[seen] / count[seen]
    return middle[seen], mean, np.sqrt(np.maximum(squares[seen] / count[seen] - mean * mean, 0.0))


def curve(findings: Findings) -> LoadIncentive:
    """The load curve at its base."""
    return LoadIncentive(**findings.rules.load_curve.parameters)
