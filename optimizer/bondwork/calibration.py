"""Moving limits on the sample until they hold on the law behind it, and no further than that takes.

Limits that a plan keeps in its sample may not hold outside, and limits that hold outside may not be kept in
the sample. Budgets are made smaller until they hold, or larger while they do; what lies between the last
budget that was too large and the first that was small enough is halved; plans near those that are found are
looked at (`bondwork.nearby`); and of the plans that hold the best is kept.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from bondwork.problem.instance import Instance
    from bondwork.risk.assessment import Assessment

#: Times that budgets are tightened before what is at hand is handed out.
MOST_CALIBRATIONS = 8

#: Times that what lies between a budget too large and one small enough is halved.
MOST_HALVINGS = 8

#: The same two where plans near by are looked at besides.
FEW_CALIBRATIONS, FEW_HALVINGS = 3, 2

#: Share by which calibration aims below the budget, so that the next plan need not be lucky.
CALIBRATION_MARGIN = 0.002

#: What budgets are multiplied by to see what a plan earns that they hardly limit.
LOOSE = 8.0

#: Share of the objective that calibration may leave: less is not worth another solve.
ENOUGH_GAIN = 0.002

#: Scenarios in the tail of a limit below which they are few.
FEW_IN_TAIL = 50

#: Share of a budget that is not halved any more.
_NARROW = 1e-3

T = TypeVar("T")


@dataclass(frozen=True, slots=True, eq=False)
class Candidate(Generic[T]):
    """A plan under moved limits.

    Attributes
    ----------
    found
        What whoever solves makes of it.
    value
        Objective in currency; ``None`` where there is no plan.
    status
        Why the solve stopped.
    assessments
        What the plan measures.
    factors
        What budgets were multiplied by, limit by limit.
    """

    found: T
    value: float | None
    status: str
    assessments: tuple[Assessment, ...]
    factors: Mapping[int, float]


class Calibrated(NamedTuple, Generic[T]):
    """What calibration ends with, and what there is to say of it."""

    best: Candidate[T]
    notes: tuple[str, ...] = ()


def calibrate(
    instance: Instance,
    first: Candidate[T],
    attempt: Callable[[Mapping[int, float]], Candidate[T] | None],
    enough: float,
    improve: Callable[[Sequence[Candidate[T]]], Candidate[T] | None] | None = None,
) -> Calibrated[T]:
    """Find the best plan that holds among those of moved limits, and near them.

    Parameters
    ----------
    instance
        The round.
    first
        The plan under the limits as they are.
    attempt
        Solves under moved limits; ``None`` where there is no time left.
    enough
        Share of the objective below which a better plan is not looked for.
    improve
        Finds the best plan that holds near some that hold or earn more; ``None`` where none is better than
        the first of them that holds. Left out, none is looked for.
    """
    if first.value is None or not _moved(instance):
        return Calibrated(first)
    alone = MOST_CALIBRATIONS, MOST_HALVINGS
    most = alone if improve is None else (FEW_CALIBRATIONS, FEW_HALVINGS)
    search = _Search(instance, first, attempt, enough, most)
    if not (search.loosen() if keeps(instance, first) else search.tighten()):
        return Calibrated(first)
    best = search.best
    if improve is not None:
        starts = [each for each in (best, search.loose, first) if each is not None]
        near = improve(starts)
        if near is not None and near.value is not None and (best is None or near.value > _value(best)):
            best = near
    if best is not None:
        return Calibrated(best, tuple(search.notes(best)))
    last = search.last
    if last.value is None:
        return Calibrated(first, (f"calibration gave up: moved limits ended with status {last.status}",))
    return Calibrated(last)


class _Search(Generic[T]):
    """Plans under budgets that are moved along one line: down until they hold, or up while they do."""

    def __init__(
        self,
        instance: Instance,
        first: Candidate[T],
        attempt: Callable[[Mapping[int, float]], Candidate[T] | None],
        enough: float,
        most: tuple[int, int],
    ) -> None:
        self._instance, self._first, self._attempt = instance, first, attempt
        self._enough, (self._calibrations, self._halvings) = enough, most
        self.solves = 0
        #: The best plan that holds, the worst that earns more and does not, and the last that was seen.
        self.best: Candidate[T] | None = first if keeps(instance, first) else None
        self.loose: Candidate[T] | None = None if self.best is first else first
        self.last = first

    def tighten(self) -> bool:
        """Make budgets smaller until they hold, and larger again as far as they do; say whether any moved."""
        instance, found = self._instance, self._first
        for _ in range(self._calibrations):
            factors = tighter_factors(instance, found.assessments, found.factors)
            if not factors:
                break
            again = self._solve(factors)
            if again is None:
                break
            self.last = again
            if again.value is None:
                found = again
                break
            if keeps(instance, again):
                self.best = found = again
                break
            self.loose = found = again
        if self.loose is None or found is self._first:
            return False
        if found is not self.loose:
            self._halve(self.loose, _between(instance, found))
        return True

    def loosen(self) -> bool:
        """Make budgets larger as far as they hold; say whether that earns anything."""
        free = self._solve(_loose(self._instance))
        if free is None or free.value is None or self._is_enough(free.value):
            return False
        if keeps(self._instance, free):
            self.best = free
            return True
        self.loose = free
        self._halve(free, dict.fromkeys(_moved(self._instance), 1.0))
        return True

    def notes(self, best: Candidate[T]) -> list[str]:
        """What there is to say of the best plan."""
        if not best.factors:
            return []
        seen = ""
        if self.loose is not None and _value(self.loose) > _value(best):
            seen = f" (the best plan seen that does not hold earns {_value(self.loose):.6g})"
        found = [
            f"limits were moved until they hold outside the sample, in {self.solves} further solves; the "
            f"bound is that of the moved ones{seen}"
        ]
        few = few_scenarios(self._instance, best.factors)
        return [*found, few] if few else found

    def _halve(self, loose: Candidate[T], low: dict[int, float]) -> None:
        """Halve what lies between limits too loose and tight enough."""
        instance, high = self._instance, _reached(self._instance, loose)
        for _ in range(self._halvings):
            wide = max((high.get(k, 1.0) - low[k] for k in low), default=0.0)
            if wide <= _NARROW or self._is_enough(_value(loose)):
                break
            middle = {k: (high.get(k, 1.0) + low[k]) / 2.0 for k in low}
            tried = self._solve(middle)
            if tried is None:
                break
            if tried.value is None:
                low = middle
            elif keeps(instance, tried):
                low = _between(instance, tried)
                if self.best is None or tried.value > _value(self.best):
                    self.best = tried
            else:
                high = {k: min(v, middle.get(k, v)) for k, v in _reached(instance, tried).items()}
                loose = tried if tried.value <= _value(loose) else loose
        self.loose = loose

    def _solve(self, factors: Mapping[int, float]) -> Candidate[T] | None:
        found = self._attempt(factors)
        self.solves += found is not None
        return found

    def _is_enough(self, more: float) -> bool:
        """Whether the best plan is so near to another value that nothing is looked for in between."""
        return self.best is not None and more - _value(self.best) <= self._enough * abs(_value(self.best))


def keeps(instance: Instance, candidate: Candidate[T]) -> bool:
    """Whether every calibrated limit holds; where the sample says that it does not, without any allowance."""
    for each in candidate.assessments:
        if not instance.risk[each.limit].calibrate:
            continue
        if not each.is_kept or (each.exceeds_sample and not each.surely_holds):
            return False
    return True


def reached_factors(instance: Instance, assessments: Iterable[Assessment]) -> dict[int, float] | None:
    """Factors of the calibrated limits that a plan just keeps; ``None`` where there are none."""
    found: dict[int, float] = {}
    for each in assessments:
        if not instance.risk[each.limit].calibrate or each.out_of_sample is None:
            continue
        if each.is_committed:
            own = 0.0  # whatever the budget
        elif each.ceiling > 0.0:
            own = each.in_sample / each.ceiling
        elif each.exceeds_sample:
            return None
        else:
            own = 1.0
        found[each.limit] = max(found.get(each.limit, 0.0), own)
    return found


def few_scenarios(instance: Instance, factors: Mapping[int, float]) -> str | None:
    """What to say where the tails of limits that were moved have few scenarios."""
    least, scenarios = math.inf, instance.uncertainty.scenarios
    for number in factors:
        limit = instance.risk[number]
        if limit.measure == "cvar":
            least = min(least, (1.0 - limit.level) * scenarios)
        elif limit.measure in ("chance", "solvency"):
            least = min(least, limit.probability * scenarios)
    if least >= FEW_IN_TAIL:
        return None
    return (
        f"{scenarios} scenarios are few for these limits ({least:.3g} of them in the tail): more of them may "
        "earn more"
    )


def _value(candidate: Candidate[T]) -> float:
    return -math.inf if candidate.value is None else candidate.value


def _moved(instance: Instance) -> list[int]:
    """Limits that calibration may move."""
    return [number for number, limit in enumerate(instance.risk) if limit.calibrate]


def _loose(instance: Instance) -> dict[int, float]:
    """Factors under which calibrated limits hardly limit anything."""
    found = {}
    for number in _moved(instance):
        limit = instance.risk[number]
        share = limit.probability if limit.measure in ("chance", "solvency") else 0.0
        found[number] = min(LOOSE, 1.0 / share) if share > 0.0 else LOOSE
    return found


def _between(instance: Instance, candidate: Candidate[T]) -> dict[int, float]:
    """Factors of the calibrated limits under which a plan came about."""
    return {k: candidate.factors[k] for k in _moved(instance) if k in candidate.factors}


def _reached(instance: Instance, candidate: Candidate[T]) -> dict[int, float]:
    """Factors that the plan just keeps: from these on it would come out again."""
    found: dict[int, float] = {}
    for each in candidate.assessments:
        if instance.risk[each.limit].calibrate and each.ceiling > 0.0 and not each.is_committed:
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
