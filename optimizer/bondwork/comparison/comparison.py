"""Strategies and formulations side by side on the same rounds."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bondwork.comparison.journal import Journal
from bondwork.comparison.row import FAILED, Row, problems
from bondwork.comparison.runner import run
from bondwork.comparison.statistics import differences, profiles, summaries
from bondwork.comparison.study import Study, make_study, read_study
from bondwork.registry import find_formulation, load_strategy

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import pandas as pd

    from bondwork.comparison.runner import Tally
    from bondwork.comparison.statistics import Difference, Profile, Summary
    from bondwork.comparison.study import Source
    from bondwork.contracts import Observer

#: Fields of a row that a table shows as several columns, or not at all.
_NESTED = ("to_gap", "trajectory", "out_of_sample", "worth")


@dataclass(frozen=True, slots=True)
class Comparison:
    """Rows of a comparison, problem by problem, and what they say together.

    Examples
    --------
    >>> import bondwork
    >>> round_ = {"format": "bondwork.round/1", "tasks": []}
    >>> comparison = bondwork.compare([round_], strategies=["greedy", "extensive"])
    >>> [(each.contender, each.plans, each.best) for each in comparison.summaries()]
    [('greedy', 1, 1.0), ('extensive', 1, 1.0)]
    """

    rows: tuple[Row, ...]

    def to_frame(self) -> pd.DataFrame:
        """Return the rows as a table. Needs pandas: ``pip install 'bondwork[frame]'``.

        Gaps that were timed stand in columns such as ``to_gap_0.01``; what was measured on fresh scenarios
        and what the stochastic model is worth in columns that begin with ``out_of_sample_`` and ``worth_``.
        """
        try:
            import pandas as pd  # an extra, and slow to load
        except ModuleNotFoundError:
            raise ModuleNotFoundError(
                "Comparison.to_frame needs pandas: pip install 'bondwork[frame]'"
            ) from None
        return pd.DataFrame([_flat(row) for row in self.rows], columns=_columns(self.rows))

    def to_json(self) -> str:
        """Write the comparison as one JSON document, a ``bondwork.comparison/1``."""
        from bondwork.comparison.comparison_schema import rows_to_json

        return rows_to_json(self.rows)

    @classmethod
    def from_json(cls, source: str | Path | bytes) -> Comparison:
        """Read what `to_json` wrote, from a path or from bytes.

        Raises
        ------
        InvalidInput
            With every fault.
        """
        from bondwork.comparison.comparison_schema import rows_from_bytes

        return cls(rows_from_bytes(source if isinstance(source, bytes) else Path(source).read_bytes()))

    def summaries(self) -> list[Summary]:
        """Each contender over all problems."""
        return summaries(self.rows)

    def differences(self, reference: str | None = None, *, confidence: float = 0.95) -> list[Difference]:
        """Each contender against a reference; see `bondwork.comparison.statistics.differences`."""
        return differences(self.rows, reference, confidence=confidence)

    def profiles(self, target: float = 0.01) -> list[Profile]:
        """Performance profiles; see `bondwork.comparison.statistics.profiles`."""
        return profiles(self.rows, target)

    def disagreements(self, mip_rel_gap: float = 1e-6) -> list[str]:
        """Say where proofs contradict each other: an objective beyond another row's bound.

        Empty unless something is wrong: no verified plan earns more than another row proved possible.
        ``mip_rel_gap`` is the tolerance, relative to the larger of the two.
        """
        found: list[str] = []
        for (name, _), rows in problems(self.rows):
            for one in rows.values():
                for other in rows.values():
                    found += _contradictions(name, one, other, mip_rel_gap)
        return found

    def failures(self) -> list[str]:
        """Say which solves broke down, and how."""
        return [
            f"{row.round}: {row.contender} failed: {row.refusal}" for row in self.rows if row.status == FAILED
        ]


def compare(
    rounds: Iterable[Source] | Source,
    *,
    strategies: Sequence[str] = ("greedy", "relaxation", "extensive"),
    formulations: Sequence[str] = ("highs",),
    replications: int = 1,
    seed: int | None = None,
    time_limit: float = float("inf"),
    mip_rel_gap: float = 1e-4,
    threads: int = 0,
    highs: Mapping[str, bool | int | float | str] | None = None,
    risk_form: str = "auto",
    scenarios: int = 5000,
    level: float = 0.95,
    value: bool = False,
    jobs: int = 1,
    journal: str | Path | None = None,
    observer: Observer | None = None,
    tally: Tally | None = None,
) -> Comparison:
    """Solve each round or stochastic program with each strategy and formulation.

    Parameters
    ----------
    rounds
        Instances, stochastic programs, or files and documents of either.
    strategies, formulations
        Names of installed ones; every pair is run.
    replications
        Times that everything is solved, each time with other scenarios: the same ones for all strategies.
    seed, time_limit, mip_rel_gap, threads, highs, risk_form
        As for `bondwork.solve`. Replications after the first use seeds derived from ``seed``.
    scenarios, level
        Fresh scenarios on which every plan is measured, the same ones for all strategies, and the level of
        the CVaR of its loss; with 0 scenarios nothing is measured.
    value
        Work out WS, EEV, EVPI and VSS where there is recourse.
    jobs, observer, tally
        See `bondwork.comparison.runner.run`.
    journal
        A file that gets each row as soon as it is there. Where it exists, its rows are not solved again.

    Returns
    -------
    Comparison
        One row for each solve, in the order of the arguments.

    Raises
    ------
    InvalidInput
        An unknown strategy, formulation or option, or faults in a round.

    Examples
    --------
    >>> import bondwork
    >>> round_ = {"format": "bondwork.round/1", "tasks": []}
    >>> [row.objective for row in bondwork.compare([round_], strategies=["greedy", "extensive"]).rows]
    [0.0, 0.0]
    """
    study = make_study(
        rounds,
        strategies=strategies,
        formulations=formulations,
        replications=replications,
        seed=seed,
        time_limit=time_limit,
        mip_rel_gap=mip_rel_gap,
        threads=threads,
        highs=highs,
        risk_form=risk_form,
        scenarios=scenarios,
        level=level,
        value=value,
    )
    return compare_study(study, jobs=jobs, journal=journal, observer=observer, tally=tally)


def compare_study(
    study: Study | str | Path | bytes | dict[str, Any],
    *,
    jobs: int = 1,
    journal: str | Path | None = None,
    observer: Observer | None = None,
    tally: Tally | None = None,
) -> Comparison:
    """Run a study: rounds x strategies x replications, as a ``bondwork.study/1`` says.

    Parameters
    ----------
    study
        A study, or where to read it.
    jobs, journal, observer, tally
        As for `compare`.

    Raises
    ------
    InvalidInput
        Faults of the study, its rounds or its options; the journal of another study.

    Examples
    --------
    >>> study = {"format": "bondwork.study/1", "strategies": ["greedy", "relaxation"],
    ...          "rounds": [{"generate": {"tasks": 12, "coprocessors": 3, "offers": 2}}], "replications": 2}
    >>> [(row.contender, row.replication) for row in compare_study(study).rows]
    [('greedy', 0), ('relaxation', 0), ('greedy', 1), ('relaxation', 1)]
    """
    if not isinstance(study, Study):
        study = read_study(study)
    for each in study.contenders:  # what is not there at all is no result of a comparison
        load_strategy(each.strategy)
        find_formulation(each.formulation)
    notes = None if journal is None else Journal(Path(journal), study)
    try:
        return Comparison(run(study, jobs=jobs, journal=notes, observer=observer, tally=tally))
    finally:
        if notes is not None:
            notes.close()


def _contradictions(name: str, one: Row, other: Row, mip_rel_gap: float) -> list[str]:
    if one.objective is None:
        return []
    found = []
    who, whose = f"{one.strategy}/{one.formulation}", f"{other.strategy}/{other.formulation}"
    if other.status == "infeasible" and one.verified:
        found.append(f"{name}: {who} has a plan, {whose} says infeasible")
    if other.bound is not None:
        size = max(abs(one.objective), abs(other.bound))
        if one.sign * (one.objective - other.bound) > mip_rel_gap * size:
            beyond = "above" if one.sense == "max" else "below"
            found.append(
                f"{name}: {who} earns {one.objective:.12g}, {beyond} the bound {other.bound:.12g} of {whose}"
            )
    return found


def _flat(row: Row) -> dict[str, Any]:
    """A row as one line of a table."""
    flat = {name: value for name, value in asdict(row).items() if name not in _NESTED}
    flat |= {f"to_gap_{gap:g}": seconds for gap, seconds in row.to_gap}
    if row.out_of_sample is not None:
        measured = asdict(row.out_of_sample)
        flat |= {f"out_of_sample_{name}": measured[name] for name in measured if name != "batches"}
    if row.worth is not None:
        flat |= {f"worth_{name}": value for name, value in asdict(row.worth).items()}
    return flat


def _columns(rows: tuple[Row, ...]) -> list[str]:
    columns = [name for name in Row.__slots__ if name not in _NESTED]
    return list(dict.fromkeys([*columns, *(name for row in rows for name in _flat(row))]))
