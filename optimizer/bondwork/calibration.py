"""Tightening limits on the sample until they hold on fresh scenarios, and no further than that takes.

Limits that a plan keeps in its sample may not hold outside. Budgets are made smaller until they do; what then
lies between the last budget that was too large and the first that was small enough is halved, and of the
plans that hold the best is kept.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from bondwork.contracts import Solution
    from bondwork.problem.instance import Instance
    from bondwork.program.program import Program
    from bondwork.risk.assessment import Assessment

#: Times that budgets are tightened before what is at hand is handed out.
MOST_CALIBRATIONS = 8

#: Times that what lies between a budget too large and one small enough is halved.
MOST_HALVINGS = 8

#: Share by which calibration aims below the budget, so that the next plan need not be lucky.
CALIBRATION_MARGIN = 0.002

#: Share of a budget that is not halved any more.
_NARROW = 1e-3


@dataclass(frozen=True, slots=True, eq=False)
class Candidate:
    """A plan under tightened limits: program, solution, what it measures, and the factors by limit."""

    program: Program
    solution: Solution
    assessments: tuple[Assessment, ...]
    factors: dict[int, float]

    @property
    def value(self) -> float:
        """Objective of the plan, in currency."""
        return self.program.value(self.solution.x)  # type: ignore[arg-type]

    def noting(self, *notes: str) -> Candidate:
        """Return the same with further notes."""
        return dataclasses.replace(
            self, solution=dataclasses.replace(self.solution, notes=(*self.solution.notes, *notes))
        )


def calibrate(
    instance: Instance,
    first: Candidate,
    attempt: Callable[[Mapping[int, float]], Candidate | None],
    enough: float,
) -> Candidate:
    """Find the best plan that holds among those of tightened limits.

    Parameters
    ----------
    instance
        The round.
    first
        The plan under the limits as they are.
    attempt
        Solves under tightened limits; ``None`` where there is no time left.
    enough
        Share of the objective below which a better plan is not looked for.
    """
    found, loose = first, None
    solves = 0
    for _ in range(MOST_CALIBRATIONS):
        factors = tighter_factors(instance, found.assessments, found.factors)
        if not factors:
            break
        again = attempt(factors)
        if again is None:
            return found
        solves += 1
        if again.solution.x is None:
            loose, found = found, again
            break
        loose, found = found, again
    if loose is None:
        return first
    holds = found.solution.x is not None and not tighter_factors(instance, found.assessments, found.factors)
    best = found if holds else None
    low = _between(instance, found)
    best, more = _halve(instance, attempt, loose, low, best, enough)
    solves += more
    if best is None:
        if found.solution.x is None:
            note = f"calibration gave up: tightened limits ended with status {found.solution.status}"
            return loose.noting(note)
        return found
    note = (
        f"limits were tightened to hold on fresh scenarios, in {solves} further solves; the bound is that of "
        f"the tightened ones (the best plan seen that does not hold earns {loose.value:.6g})"
    )
    return best.noting(note)


def _halve(
    instance: Instance,
    attempt: Callable[[Mapping[int, float]], Candidate | None],
    loose: Candidate,
    low: dict[int, float],
    best: Candidate | None,
    enough: float,
) -> tuple[Candidate | None, int]:
    """Halve what lies between limits too loose and tight enough; the best plan that holds, and solves."""
    solves = 0
    high = _reached(instance, loose)
    for _ in range(MOST_HALVINGS):
        wide = max((high.get(k, 1.0) - low[k] for k in low), default=0.0)
        if wide <= _NARROW:
            break
        if best is not None and loose.value - best.value <= enough * abs(best.value):
            break
        middle = {k: (high.get(k, 1.0) + low[k]) / 2.0 for k in low}
        tried = attempt(middle)
        if tried is None:
            break
        solves += 1
        if tried.solution.x is None:
            low = middle
        elif tighter_factors(instance, tried.assessments, tried.factors):
            high = {k: min(v, middle[k]) for k, v in _reached(instance, tried).items()}
            loose = tried if tried.value <= loose.value else loose
        else:
            low = _between(instance, tried)
            if best is None or tried.value > best.value:
                best = tried
    return best, solves


def _between(instance: Instance, candidate: Candidate) -> dict[int, float]:
    """Factors of the calibrated limits under which a plan came about."""
    return {
        number: candidate.factors.get(number, 1.0)
        for number, limit in enumerate(instance.risk)
        if limit.calibrate and number in candidate.factors
    }


def _reached(instance: Instance, candidate: Candidate) -> dict[int, float]:
    """Factors that the plan just keeps: from these on it would come out again."""
    found: dict[int, float] = {}
    for each in candidate.assessments:
        if instance.risk[each.limit].calibrate and each.ceiling > 0.0:
            own = min(each.in_sample / each.ceiling, candidate.factors.get(each.limit, 1.0))
            found[each.limit] = max(found.get(each.limit, 0.0), own)
    return found


def tighter_factors(
    instance: Instance, assessments: Iterable[Assessment], tightening: Mapping[int, float]
) -> dict[int, float]:
    """Factors for the limits that do not hold; empty where all calibrated ones do.

    Parameters
    ----------
    tightening
        Factors, by limit, under which what is assessed came about.
    """
    factors = dict(tightening)
    changed = False
    for each in assessments:
        if not instance.risk[each.limit].calibrate or each.is_kept or not each.out_of_sample:
            continue
        if tightening.get(each.limit, 1.0) * each.ceiling <= each.committed:
            continue  # nothing that takes more than the commitments alone was chosen: no tightening helps
        ratio = (1.0 - CALIBRATION_MARGIN) * each.permitted / each.out_of_sample
        factor = tightening.get(each.limit, 1.0) * ratio
        if each.in_sample <= each.ceiling * factor and each.ceiling > 0.0:
            # the plan at hand would be within that ceiling and come out again
            factor = ratio * each.in_sample / each.ceiling
        factors[each.limit] = min(factors.get(each.limit, 1.0), factor)
        changed = True
    return factors if changed else {}
