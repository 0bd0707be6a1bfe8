"""Which value of a network's number is best: a grid, common random numbers, finer grids round the best.

Every value is simulated with the same replications, which see the same tasks, bids and outcomes: differences
between values are paired, and their intervals narrow.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import Field

from bondwork.problem.faults import Fault, InvalidInput
from bondwork.simulation.policies import make_policy
from bondwork.simulation.running import simulate
from bondwork.simulation.schema import change, read_experiment
from bondwork.simulation.summary import Interval, _Record, interval, measure

if TYPE_CHECKING:
    from collections.abc import Callable

    from bondwork.simulation.rules import Rules

TUNING_FORMAT = "bondwork.tuning/1"


@dataclass(frozen=True, slots=True)
class Tunable:
    """A number that can be tuned by a short name.

    Attributes
    ----------
    name
        Its dotted name.
    low, high
        Between which values it is sought unless the user says otherwise.
    scale
        How the grid lies: ``log``, ``linear``, or ``whole`` numbers.
    objective
        What is made as large as possible unless the user says otherwise.
    changes
        What else the question needs.
    """

    name: str
    low: float
    high: float
    scale: Literal["log", "linear", "whole"]
    objective: str
    changes: tuple[tuple[str, Any], ...] = ()


#: What the paper leaves open, by short names. ``value`` counts work, checks and harm; ``reward`` does not.
TUNABLES = {
    "slashing": Tunable("slashing.factor", 0.001, 1.0, "log", "reward"),
    "collateral": Tunable("collateral.multiple", 0.1, 10.0, "log", "value"),
    "share": Tunable("policy.share", 0.2, 0.95, "linear", "value", (("policy.clock", "posted"),)),
    "replicas": Tunable("tasks.replicas", 1, 4, "whole", "value"),
    "validators": Tunable("validators.share", 0.0, 1.0, "linear", "value"),
}


class TunedValue(_Record):
    """One value of the grid. Amounts in currency."""

    value: float
    objective: Interval
    survivors: Interval = Field(description="Share of the first operators that stay to the end.")
    allowed: bool = Field(description="Whether enough operators stay, on average.")
    behind: Interval = Field(description="Paired difference of the objective from that of the best value.")
    alike: bool = Field(description="Allowed, and the interval of that difference holds 0.")


class Tuning(_Record):
    """What tuning came to."""

    format: Literal["bondwork.tuning/1"]
    parameter: str
    objective: str
    least_staying: float
    replications: int
    periods: int
    best: float | None = Field(description="Null where no value lets enough operators stay.")
    alike: list[float] = Field(description="Allowed values that cannot be told from the best.")
    curve: list[TunedValue] = Field(description="By value, ascending.")


def tune(
    document: dict[str, Any],
    parameter: str,
    *,
    low: float | None = None,
    high: float | None = None,
    points: int = 9,
    refinements: int = 2,
    replications: int | None = None,
    least_staying: float = 0.5,
    objective: str | None = None,
    jobs: int = 1,
    tally: Callable[[int, int], None] | None = None,
) -> Tuning:
    """Seek the best value of a parameter.

    Parameters
    ----------
    document
        A ``bondwork.simulation/1``; its network is what is tuned, its variants are not.
    parameter
        A name in `TUNABLES`, or any dotted name of a number, with ``low`` and ``high``.
    low, high
        Between which values; both included.
    points
        How many values of the first grid; refinements put about half as many again between the best value
        and its neighbours.
    refinements
        How often.
    replications
        The document's if left out.
    least_staying
        Share of the first operators that must stay to the end, on average over replications.
    objective
        A measure of `bondwork.simulation.summary.measure`.
    jobs
        Processes; joblib's current backend runs them.
    tally
        Told how many simulations of how many are done.

    Raises
    ------
    InvalidInput
        Faults of the document, the parameter, its range or the objective.

    Examples
    --------
    >>> document = {"format": "bondwork.simulation/1", "network": {
    ...     "periods": 5, "operators": {"number": 4}, "tasks": {"per_period": 20.0}}}
    >>> tuned = tune(document, "slashing", points=3, refinements=0, replications=2)
    >>> [each.value for each in tuned.curve]
    [0.001, 0.0316228, 1.0]
    """
    experiment = read_experiment(document)
    asked = _tunable(parameter, low, high, points)
    wanted = objective or asked.objective
    repeats = replications or experiment.replications
    search = _Search(document, asked, repeats, jobs, tally, planned=points + refinements * (points // 2))
    search.add(grid(asked.low, asked.high, points, asked.scale), wanted)
    for _ in range(refinements):
        best = _best(search.found, wanted, least_staying)
        if best is None:
            break
        search.add(_around(sorted(search.found), best, points // 2, asked.scale), wanted)
    curve = _curve(search.found, wanted, least_staying)
    best = _best(search.found, wanted, least_staying)
    return Tuning(
        format="bondwork.tuning/1",
        parameter=asked.name,
        objective=wanted,
        least_staying=least_staying,
        replications=repeats,
        periods=search.periods,
        best=best,
        alike=[each.value for each in curve if each.alike],
        curve=curve,
    )


def grid(low: float, high: float, points: int, scale: str) -> list[float]:
    """Values from low to high; of six digits, so that they can be written down.

    Examples
    --------
    >>> grid(0.001, 1.0, 4, "log")
    [0.001, 0.01, 0.1, 1.0]
    >>> grid(1, 4, 9, "whole")
    [1.0, 2.0, 3.0, 4.0]
    """
    if scale == "whole":
        return [float(each) for each in range(int(low), int(high) + 1)]
    values = np.geomspace(low, high, points) if scale == "log" else np.linspace(low, high, points)
    return list(dict.fromkeys(float(f"{each:.6g}") for each in values))


class _Search:
    """Values simulated so far: their measures in each replication."""

    def __init__(
        self,
        document: dict[str, Any],
        asked: Tunable,
        replications: int,
        jobs: int,
        tally: Callable[[int, int], None] | None,
        planned: int,
    ) -> None:
        self.document, self.asked, self.replications = document, asked, replications
        self.jobs, self.tally, self.planned = jobs, tally, planned
        self.found: dict[float, list[dict[str, float | None]]] = {}
        self.periods = 0

    def add(self, values: list[float], objective: str) -> None:
        """Simulate values that are not there yet."""
        from joblib import Parallel, delayed  # heavy, and only needed here

        new = [value for value in values if value not in self.found]
        rules = {value: self._rules(value) for value in new}
        for each in rules.values():
            make_policy(each)
            self.periods = each.periods
        cells = [(value, r) for value in new for r in range(self.replications)]
        rows: dict[float, list[dict[str, float | None]]] = {value: [] for value in new}
        results = Parallel(n_jobs=self.jobs, return_as="generator")(
            delayed(_measure)(rules[value], r) for value, r in cells
        )
        for done, ((value, _), row) in enumerate(zip(cells, results, strict=True), start=1):
            if row.get(objective) is None:
                names = ", ".join(name for name, found in row.items() if found is not None)
                raise InvalidInput([Fault("objective", f'"{objective}"', f"one of {names}")])
            rows[value].append(row)
            if self.tally is not None:
                before = sum(map(len, self.found.values()))
                self.tally(before + done, max(self.planned * self.replications, before + done))
        self.found |= rows

    def _rules(self, value: float) -> Rules:
        amount: float | int = int(value) if self.asked.scale == "whole" else value
        return change(self.document, {**dict(self.asked.changes), self.asked.name: amount})


def _measure(rules: Rules, replication: int) -> dict[str, float | None]:
    """What a worker does."""
    return measure(rules, simulate(rules, replication).records)


def _tunable(parameter: str, low: float | None, high: float | None, points: int) -> Tunable:
    faults = []
    known = TUNABLES.get(parameter)
    if known is None and "." not in parameter:
        expected = f"one of {', '.join(TUNABLES)}, or a dotted name such as slashing.factor"
        faults.append(Fault("parameter", f'"{parameter}"', expected))
    if known is None and (low is None or high is None):
        faults.append(Fault("low and high", "nothing", "the range to search"))
    if points < 2:
        faults.append(Fault("points", str(points), "at least 2"))
    lower = low if low is not None else known.low if known else 0.0
    upper = high if high is not None else known.high if known else 0.0
    if not faults and not lower < upper:
        faults.append(Fault("low and high", f"{lower:g} and {upper:g}", "low below high"))
    if faults:
        raise InvalidInput(faults)
    if known is None:
        return Tunable(parameter, lower, upper, "log" if lower > 0.0 else "linear", "value")
    scale = "linear" if known.scale == "log" and lower <= 0.0 else known.scale
    return Tunable(known.name, lower, upper, scale, known.objective, known.changes)


def _values(rows: list[dict[str, float | None]], name: str) -> list[float]:
    return [float(row[name] or 0.0) for row in rows]


def _best(
    found: dict[float, list[dict[str, float | None]]], objective: str, least_staying: float
) -> float | None:
    allowed = [value for value, rows in found.items() if np.mean(_values(rows, "survivors")) >= least_staying]
    if not allowed:
        return None
    return max(sorted(allowed), key=lambda value: float(np.mean(_values(found[value], objective))))


def _around(values: list[float], best: float, points: int, scale: str) -> list[float]:
    """Values between the best one and its neighbours."""
    if scale == "whole" or points < 1:
        return []
    at = values.index(best)
    lower, upper = values[max(at - 1, 0)], values[min(at + 1, len(values) - 1)]
    return grid(lower, upper, points + 2, scale)[1:-1]


def _curve(
    found: dict[float, list[dict[str, float | None]]], objective: str, least_staying: float
) -> list[TunedValue]:
    best = _best(found, objective, least_staying)
    of_best = None if best is None else np.array(_values(found[best], objective))
    curve = []
    for value in sorted(found):
        mine = np.array(_values(found[value], objective))
        survivors = interval(_values(found[value], "survivors"))
        behind = interval((mine - (mine.max() if of_best is None else of_best)).tolist())
        allowed = survivors.mean >= least_staying
        holds = behind.high is not None and behind.low is not None and behind.low <= 0.0 <= behind.high
        curve.append(
            TunedValue(
                value=value,
                objective=interval(mine.tolist()),
                survivors=survivors,
                allowed=allowed,
                behind=behind,
                alike=of_best is not None and allowed and (value == best or holds),
            )
        )
    return curve
