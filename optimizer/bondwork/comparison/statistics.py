"""What the rows of a comparison say together: summaries, paired differences, performance profiles."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bondwork.base.statistics import student_interval
from bondwork.comparison.row import FAILED, REFUSED, problems

if TYPE_CHECKING:
    from collections.abc import Callable

    from bondwork.arrays import FloatArray
    from bondwork.comparison.row import Row


@dataclass(frozen=True, slots=True)
class Summary:
    """One contender over all problems.

    Attributes
    ----------
    contender
        Its name in the table.
    solves, plans, refused, failed
        Rows, those with a plan, and those with a reason why not.
    best
        Share of the problems on which no contender's plan is better by more than 1e-6 of its size.
    mean_gap
        Mean of its own certified gaps; ``None`` without any.
    mean_shortfall
        Mean distance of its plan from the best plan found by any contender, as a share of the larger.
    seconds
        Geometric mean of the seconds of its solves.
    memory
        Largest MiB of a solve; ``None`` where the system does not tell.
    proved
        Pairs of a gap and the share of the problems on which it was proved.
    """

    contender: str
    solves: int
    plans: int
    refused: int
    failed: int
    best: float
    mean_gap: float | None
    mean_shortfall: float | None
    seconds: float | None
    memory: float | None
    proved: tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class Difference:
    """A contender against a reference on the same problems with the same random numbers.

    Attributes
    ----------
    round
        One round, or ``None`` for all problems together.
    of
        ``objective`` or ``out_of_sample`` (mean net reward on common fresh scenarios).
    relative
        Whether it is a share of the larger of the two (all problems together) or an amount in currency.
    mean, low, high
        Contender less reference, better counted positive, and its confidence interval (Student t); no
        interval from a single number, and one of width 0 where all differences are alike.
    pairs, wins, losses
        How many pairs, and in how many the contender was better or worse.
    """

    contender: str
    reference: str
    round: str | None
    of: str
    relative: bool
    mean: float
    low: float | None
    high: float | None
    pairs: int
    wins: int
    losses: int


@dataclass(frozen=True, slots=True)
class Profile:
    """Performance profile of a contender (Dolan & More 2002).

    Attributes
    ----------
    contender
        Its name.
    ratio
        Ascending; times the fastest contender's seconds.
    share
        Of all problems on which the contender was done within that ratio.
    """

    contender: str
    ratio: tuple[float, ...]
    share: tuple[float, ...]


def contenders(rows: tuple[Row, ...]) -> list[str]:
    """Names of the contenders, in the order of the table."""
    return list(dict.fromkeys(row.contender for row in rows))


def summaries(rows: tuple[Row, ...]) -> list[Summary]:
    """Sum up each contender over all problems."""
    best = {problem: _best(list(found.values())) for problem, found in problems(rows)}
    return [_summary(name, [row for row in rows if row.contender == name], best) for name in contenders(rows)]


def differences(
    rows: tuple[Row, ...], reference: str | None = None, *, confidence: float = 0.95
) -> list[Difference]:
    """Compare every contender with a reference, pair by pair.

    Parameters
    ----------
    rows
        Of a comparison.
    reference
        Name of a contender; the first one where left out.
    confidence
        Of the intervals.

    Raises
    ------
    ValueError
        No contender has that name.
    """
    names = contenders(rows)
    if not names:
        return []
    reference = names[0] if reference is None else reference
    if reference not in names:
        raise ValueError(f"reference is {reference!r}, expected one of {', '.join(names)}")
    found: list[Difference] = []
    for name in names:
        if name == reference:
            continue
        pairs = [
            (each[name], each[reference]) for _, each in problems(rows) if name in each and reference in each
        ]
        found += _overall(name, reference, pairs, confidence)
        found += _by_round(name, reference, pairs, confidence)
    return found


def profiles(rows: tuple[Row, ...], target: float = 0.01) -> list[Profile]:
    """Performance profiles of the seconds to a plan within ``target`` of the best plan found by anyone.

    Contenders that prove nothing take part: what counts is the plan, not its certificate. A contender that
    never gets there on a problem is never done on it.

    References
    ----------
    E. D. Dolan & J. J. More, Benchmarking optimization software with performance profiles, Mathematical
    Programming 91 (2002) 201-213.
    """
    names = contenders(rows)
    table = []
    for _, found in problems(rows):
        best = _best(list(found.values()))
        if best is None:
            continue
        row = next(iter(found.values()))
        wanted = best - row.sign * target * abs(best) - row.sign * 1e-12 * abs(best)
        table.append([_seconds(found.get(name), wanted) for name in names])
    if not table:
        return []
    seconds = np.array(table)
    fastest = seconds.min(axis=1, keepdims=True)
    ratio = np.where(np.isfinite(seconds), seconds / fastest, np.inf)
    return [_profile(name, ratio[:, k]) for k, name in enumerate(names)]


def _profile(name: str, ratio: FloatArray) -> Profile:
    reached = np.sort(ratio[np.isfinite(ratio)])
    steps, first = np.unique(reached, return_index=True)
    count = np.append(first[1:], len(reached))
    share = count / len(ratio)
    return Profile(name, tuple(steps.tolist()), tuple(share.tolist()))


def _seconds(row: Row | None, wanted: float) -> float:
    seconds = None if row is None else row.seconds_to_value(wanted)
    # below a millisecond clocks say nothing, and ratios to nothing even less
    return math.inf if seconds is None else max(seconds, 1e-3)


def _best(rows: list[Row]) -> float | None:
    """Best objective of a problem, among plans that stand their check."""
    values = [row.objective for row in rows if row.objective is not None and row.verified]
    if not values:
        return None
    return max(values) if rows[0].sense == "max" else min(values)


def _summary(name: str, rows: list[Row], best: dict[tuple[str, int], float | None]) -> Summary:
    short = [
        _relative(row.sign * (top - row.objective), top, row.objective)
        for row in rows
        if row.objective is not None and row.verified and (top := best[row.problem]) is not None
    ]
    gaps = [row.gap for row in rows if row.gap is not None and row.verified]
    seconds = [max(row.solve, 1e-3) for row in rows if row.status not in (REFUSED, FAILED)]
    memory = [row.memory for row in rows if row.memory is not None]
    targets = [gap for gap, _ in next((row.to_gap for row in rows if row.to_gap), ())]
    proved = tuple(
        (gap, sum(dict(row.to_gap).get(gap) is not None for row in rows) / len(rows)) for gap in targets
    )
    return Summary(
        contender=name,
        solves=len(rows),
        plans=sum(row.solution != "none" for row in rows),
        refused=sum(row.status == REFUSED for row in rows),
        failed=sum(row.status == FAILED for row in rows),
        best=sum(each <= 1e-6 for each in short) / len(rows),
        mean_gap=float(np.mean(gaps)) if gaps else None,
        mean_shortfall=float(np.mean(short)) if short else None,
        seconds=float(np.exp(np.mean(np.log(seconds)))) if seconds else None,
        memory=max(memory) if memory else None,
        proved=proved,
    )


def _overall(name: str, reference: str, pairs: list[tuple[Row, Row]], confidence: float) -> list[Difference]:
    measures: dict[str, Callable[[Row], float | None]] = {
        "objective": lambda row: row.objective,
        "out_of_sample": lambda row: None if row.out_of_sample is None else row.out_of_sample.mean,
    }
    found = []
    for of, value in measures.items():
        values = [
            _relative(one.sign * (a - b), a, b)
            for one, other in pairs
            if (a := value(one)) is not None and (b := value(other)) is not None
        ]
        if values:
            found.append(_difference(name, reference, None, of, np.array(values), confidence))
    return found


def _by_round(name: str, reference: str, pairs: list[tuple[Row, Row]], confidence: float) -> list[Difference]:
    """Differences on common fresh scenarios, round by round, from the batches of all replications."""
    batches: dict[str, list[FloatArray]] = {}
    for one, other in pairs:
        mine, theirs = one.out_of_sample, other.out_of_sample
        # other numbers of batches are of other scenarios: nothing is common to them
        if mine is not None and theirs is not None and len(mine.batches) == len(theirs.batches):
            batches.setdefault(one.round, []).append(np.subtract(mine.batches, theirs.batches))
    return [
        _difference(name, reference, round_, "out_of_sample", np.concatenate(each), confidence)
        for round_, each in batches.items()
    ]


def _difference(
    name: str, reference: str, round_: str | None, of: str, values: FloatArray, confidence: float
) -> Difference:
    mean, low, high = student_interval(values, confidence)
    return Difference(
        contender=name,
        reference=reference,
        round=round_,
        of=of,
        relative=round_ is None,
        mean=mean,
        low=low,
        high=high,
        pairs=len(values),
        wins=int(np.count_nonzero(values > 1e-9)),
        losses=int(np.count_nonzero(values < -1e-9)),
    )


def _relative(difference: float, *values: float) -> float:
    """A difference as a share of the larger size of what it is between, as gaps are."""
    return 0.0 if difference == 0.0 else difference / max(map(abs, values))
