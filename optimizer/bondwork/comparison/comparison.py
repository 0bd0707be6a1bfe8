"""Strategies and formulations side by side on the same rounds."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bondwork.problem.faults import Refusal
from bondwork.problem.instance import Instance
from bondwork.problem.reading import load
from bondwork.solving import solve

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import pandas as pd

    from bondwork.contracts import Observer
    from bondwork.plan.plan import Plan

COMPARISON_FORMAT = "bondwork.comparison/1"


@dataclass(frozen=True, slots=True)
class Row:
    """One strategy with one formulation on one round.

    Objective and bound are in currency, times in seconds. ``refusal`` says why there is no plan where a
    strategy could not honour the round or found nothing: that is a result like any other.
    """

    round: str
    strategy: str
    formulation: str
    status: str
    solution: str
    objective: float | None
    bound: float | None
    gap: float | None
    build: float
    solve: float
    verified: bool
    refusal: str | None = None


@dataclass(frozen=True, slots=True)
class Comparison:
    """Rows of a comparison, round by round."""

    rows: tuple[Row, ...]

    def to_frame(self) -> pd.DataFrame:
        """Return the rows as a table. Needs pandas: ``pip install 'bondwork[frame]'``."""
        try:
            import pandas as pd  # an extra, and slow to load
        except ModuleNotFoundError:
            raise ModuleNotFoundError(
                "Comparison.to_frame needs pandas: pip install 'bondwork[frame]'"
            ) from None
        return pd.DataFrame([asdict(row) for row in self.rows], columns=list(Row.__slots__))

    def to_json(self) -> str:
        """Write the comparison as one JSON document."""
        document = {"format": COMPARISON_FORMAT, "rows": [asdict(row) for row in self.rows]}
        return json.dumps(document, indent=2, allow_nan=False) + "\n"

    def disagreements(self, mip_rel_gap: float = 1e-6) -> list[str]:
        """Say where proofs contradict each other: an objective above another row's bound.

        Empty unless something is wrong: no verified plan earns more than another row proved possible.
        ``mip_rel_gap`` is the tolerance, relative to the larger of the two.
        """
        found = []
        for one in self.rows:
            for other in self.rows:
                if one.round != other.round or one.objective is None:
                    continue
                if other.status == "infeasible" and one.verified:
                    who = f"{one.strategy}/{one.formulation}"
                    found.append(
                        f"{one.round}: {who} has a plan, {other.strategy}/{other.formulation} says infeasible"
                    )
                if other.bound is None:
                    continue
                size = max(abs(one.objective), abs(other.bound))
                if one.objective > other.bound + mip_rel_gap * size:
                    earns = f"{one.strategy}/{one.formulation} earns {one.objective:.12g}"
                    proof = f"the bound {other.bound:.12g} of {other.strategy}/{other.formulation}"
                    found.append(f"{one.round}: {earns}, above {proof}")
        return found


def compare(
    rounds: Iterable[Instance | str | Path | Mapping[str, Any]],
    *,
    strategies: Sequence[str] = ("greedy", "relaxation", "extensive"),
    formulations: Sequence[str] = ("highs",),
    observer: Observer | None = None,
    **options: Any,
) -> Comparison:
    """Solve each round with each strategy and formulation.

    Parameters
    ----------
    rounds
        Instances, or what `bondwork.load` reads.
    strategies, formulations
        Names of installed ones; every pair is run.
    observer
        Watches each solve in turn; where it says stop, no further solve is begun.
    **options
        As for `bondwork.solve`: ``time_limit``, ``mip_rel_gap``, ``threads``, ``seed``, ``highs``.

    Returns
    -------
    Comparison
        One row for each solve, in the order of the arguments.

    Examples
    --------
    >>> import bondwork
    >>> round_ = {"format": "bondwork.round/1", "tasks": []}
    >>> [row.objective for row in bondwork.compare([round_], strategies=["greedy", "extensive"]).rows]
    [0.0, 0.0]
    """
    rows: list[Row] = []
    names: set[str] = set()
    strategies, formulations = _several(strategies), _several(formulations)
    if isinstance(rounds, str | Path | Instance | Mapping):
        rounds = [rounds]
    for number, each in enumerate(rounds):
        instance = each if isinstance(each, Instance) else load(each)
        name = instance.name or (str(each) if isinstance(each, str | Path) else f"round {number + 1}")
        name = _unlike(name, names)
        for strategy in strategies:
            for formulation in formulations:
                if observer is not None and observer.should_stop():
                    return Comparison(tuple(rows))
                try:
                    plan = solve(
                        instance, strategy=strategy, formulation=formulation, observer=observer, **options
                    )
                except Refusal as refusal:
                    rows.append(_refused(name, strategy, formulation, str(refusal)))
                else:
                    rows.append(_row(name, strategy, formulation, plan))
    return Comparison(tuple(rows))


def _several(names: Sequence[str]) -> Sequence[str]:
    return [names] if isinstance(names, str) else names


def _unlike(name: str, names: set[str]) -> str:
    """Make a name that no other round of the comparison has: hourly rounds are often called alike."""
    unique, number = name, 1
    while unique in names:
        number += 1
        unique = f"{name} ({number})"
    names.add(unique)
    return unique


def _refused(name: str, strategy: str, formulation: str, why: str) -> Row:
    return Row(name, strategy, formulation, "refused", "none", None, None, None, 0.0, 0.0, False, why)


def _row(name: str, strategy: str, formulation: str, plan: Plan) -> Row:
    refusal = None
    if plan.solution == "none":
        refusal = f"no plan: {plan.status}"
        if plan.conflict is not None:
            refusal += f" ({', '.join(plan.conflict.limits)})"
    return Row(
        name,
        strategy,
        formulation,
        plan.status,
        plan.solution,
        plan.objective,
        plan.bound,
        plan.gap,
        plan.timing.build,
        plan.timing.solve,
        plan.verified,
        refusal,
    )
