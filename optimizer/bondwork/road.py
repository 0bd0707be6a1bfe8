"""The road from a round to a decision: sample, build, solve, measure, and move limits where tails flatter.

One direction, no way back; calibration walks it again from the program on, with other budgets.
"""

from __future__ import annotations

import copy
import dataclasses
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

from bondwork.base.clock import Clock
from bondwork.calibration import ENOUGH_GAIN, Calibrated, Candidate, calibrate
from bondwork.nearby import Nearby, Solved
from bondwork.observing import BoundsOnly, Quiet
from bondwork.plan.building import build_plan, chosen_offers
from bondwork.plan.conflict import find_conflict
from bondwork.plan.plan import Timing
from bondwork.plan.recall import recall
from bondwork.plan.replicas import value_replicas
from bondwork.problem.teams import enumerate_teams
from bondwork.program.own_rows import with_own_rows
from bondwork.risk.assessment import Assessment, assess
from bondwork.risk.limits import (
    ceiling_of,
    is_tail_limit,
    mean_risk_measure,
    members,
    permit_committed,
    tail_measures,
)
from bondwork.strategies.greedy import Greedy

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bondwork.arrays import FloatArray
    from bondwork.contracts import Formulation, Observer, Options, Solution, Strategy
    from bondwork.plan.plan import Conflict, Plan, ReplicaValue
    from bondwork.problem.instance import Instance
    from bondwork.problem.teams import Teams
    from bondwork.program.program import Program
    from bondwork.risk.measure import Measure
    from bondwork.uncertainty.sampling import RoundSample

RiskForm: TypeAlias = Literal["auto", "rows", "cuts"]

#: Scenarios up to which ``auto`` writes convex tail limits as rows: HiGHS then sees them whole.
MOST_ROW_SCENARIOS = 128


@dataclass(frozen=True, slots=True, eq=False)
class Decision:
    """What came of a round: the program, the solution, what it measures, and how long each step took."""

    program: Program
    solution: Solution
    assessments: tuple[Assessment, ...]
    tightening: Mapping[int, float]
    timing: Timing
    conflict: Conflict | None
    replica_values: tuple[ReplicaValue, ...] = ()

    def plan(
        self,
        road: Road,
        *,
        strategy: str,
        formulation: str,
        options: Mapping[str, bool | int | float | str | None],
    ) -> Plan:
        """Write the decision down, not yet verified."""
        return build_plan(
            road.instance,
            self.program,
            self.solution,
            strategy=strategy,
            formulation=formulation,
            options=options,
            seed=road.seed,
            timing=self.timing,
            conflict=self.conflict,
            replica_values=self.replica_values,
            assessments=self.assessments,
            tightening=self.tightening,
        )


class Prepared(NamedTuple):
    """What a road decides on: scenarios, the program, and the seconds that each took."""

    sample: RoundSample | None
    program: Program
    sampling: float
    building: float


class Road:
    """A round with all that is needed to decide it.

    Parameters
    ----------
    instance, strategy, formulation, options, observer
        What is decided, and how.
    seed
        Seed of the scenarios.
    risk_form
        See `bondwork.solve`.
    earlier
        Plan to start from.
    clock
        From when on the time limit counts; from now on where it is left out.
    """

    def __init__(
        self,
        instance: Instance,
        strategy: Strategy,
        formulation: Formulation,
        options: Options,
        observer: Observer,
        *,
        seed: int,
        risk_form: RiskForm = "auto",
        earlier: Plan | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.clock = Clock(options.time_limit) if clock is None else clock
        self._prepared: Prepared | None = None
        #: Whether calibrated limits are moved until they hold on fresh scenarios.
        self.calibrates = True
        #: A choice that is handed out where the strategy is cut short and has none that is better.
        self.known: FloatArray | None = None
        self.instance = instance
        at_round = getattr(strategy, "at_round", None)
        self.strategy: Strategy = strategy if at_round is None else at_round(instance)
        self.formulation = formulation
        self.options = options
        self.observer = observer
        self.seed = seed
        self.risk_form = risk_form
        self.earlier = earlier

    def prepare(self) -> Prepared:
        """Draw the scenarios and write the program, once."""
        if self._prepared is None:
            start = time.perf_counter()
            sample = draw_scenarios(self.instance, self.seed)
            sampled = time.perf_counter()
            program = write_program(self.instance, self.formulation, sample, self.risk_form)
            self._prepared = Prepared(sample, program, sampled - start, time.perf_counter() - sampled)
        return self._prepared

    def decide(self, *, allow_partial: bool, reserve: float = 0.0) -> Decision:
        """Walk the road.

        Parameters
        ----------
        allow_partial
            Take a heuristic's incomplete choice for a decision.
        reserve
            Seconds of the time limit that are kept for what follows the strategy.
        """
        sample, program, sampled, built = self.prepare()
        start = time.perf_counter()
        self.options = dataclasses.replace(self.options, time_limit=self.clock.left(reserve))
        recalled: tuple[str, ...] = ()
        if self.earlier is not None:
            warm_start, note = recall(self.instance, program, self.earlier)
            self.options, recalled = dataclasses.replace(self.options, warm_start=warm_start), (note,)
        solution, assessments, tightening, program = self._solve(program, sample, allow_partial=allow_partial)
        solution = dataclasses.replace(solution, notes=(*recalled, *solution.notes))
        conflict = None
        if solution.status == "infeasible":
            # it takes its time twice: for the conflict, and for the least that limits need
            left = dataclasses.replace(self.options, time_limit=0.5 * self.clock.left())
            conflict = find_conflict(program, left, self.observer)
        chosen = chosen_offers(program, solution.x)
        more = tuple(value_replicas(self.instance, chosen))
        timing = Timing(
            read=self.instance.read_seconds,
            sample=sampled,
            build=built,
            solve=time.perf_counter() - start,
        )
        return Decision(program, solution, assessments, tightening, timing, conflict, more)

    def greedy(self, note: str) -> tuple[Decision, float]:
        """Take the best net reward first, as ``note`` says; and the seconds that this alone took."""
        quick, strategy = copy.copy(self), _Noted(note)
        quick.strategy, quick.earlier, quick.calibrates = strategy, None, False
        return quick.decide(allow_partial=False), strategy.seconds

    def begin(self) -> None:
        """Choose greedily: that is handed out at least, should time be up before the strategy is better."""
        kind = self.strategy
        if (
            isinstance(kind, Greedy)
            or getattr(kind, "by_rule", False)
            or getattr(kind, "knows_outcomes", False)
        ):
            return
        self.known = Greedy().solve(self.prepare().program, self.options, Quiet(self.observer)).x

    def _or_known(self, program: Program, solution: Solution) -> Solution:
        """What a strategy found, or the greedy choice where it was cut short before it was better."""
        if self.known is None or solution.status not in ("time_limit", "interrupted"):
            return solution
        value = program.value(self.known)
        if solution.x is not None and program.value(solution.x) >= value:
            return solution
        note = "no better choice was found in time than the greedy one"
        bound = max(solution.bound, value)
        return dataclasses.replace(
            solution, x=self.known, bound=bound, strategy="greedy", notes=(*solution.notes, note)
        )

    def _solve(
        self, program: Program, sample: RoundSample | None, *, allow_partial: bool
    ) -> tuple[Solution, tuple[Assessment, ...], dict[int, float], Program]:
        """Solve, and tighten calibrated limits until they hold on fresh scenarios."""
        self._ends = time.perf_counter() + self.options.time_limit
        # what must hold on fresh scenarios is known to do so only once it was measured there
        calibrated = any(limit.calibrate for limit in self.instance.risk)
        watch = BoundsOnly(self.observer) if calibrated else self.observer
        solution = self._or_known(program, self.strategy.solve(program, self.options, watch))
        assessments = self._assess(program, solution, sample, allow_partial=allow_partial)
        found = _candidate(program, solution, assessments, {})
        notes: tuple[str, ...] = ()
        if self.calibrates and calibrated and solution.x is not None:
            found, notes = self._calibrate(found, sample)
        program, solution = found.found
        if allow_partial and solution.x is None and solution.partial is not None:
            solution = dataclasses.replace(solution, x=solution.partial, status="locally_infeasible")
        solution = dataclasses.replace(solution, notes=(*solution.notes, *notes))
        return solution, found.assessments, dict(found.factors), program

    def _calibrate(self, first: Candidate[Solved], sample: RoundSample | None) -> Calibrated[Solved]:
        """Move calibrated limits until they hold on the law behind the sample, and no further."""
        program = first.found.program

        def attempt(factors: Mapping[int, float]) -> Candidate[Solved] | None:
            left = self._left()
            if left <= 0.0 or self.observer.should_stop():
                return None
            moved = self._moved(program, factors)
            options = dataclasses.replace(self.options, time_limit=left)
            again = self.strategy.solve(moved, options, Quiet(self.observer))
            measured = self._assess(moved, again, sample, allow_partial=False)
            return _candidate(moved, again, measured, factors)

        enough = max(ENOUGH_GAIN, self.options.mip_rel_gap)
        if getattr(self.strategy, "by_rule", False):
            # what a rule chooses is what is asked for, and nothing near it
            return calibrate(self.instance, first, attempt, enough)
        nearby = Nearby(
            self.instance,
            first.found,
            seed=self.seed,
            attempt=attempt,
            assess=lambda x: tuple(assess(self.instance, sample, chosen_offers(program, x), self.seed)),
            left=self._left,
            sampling=self.prepare().sampling,
        )
        return calibrate(self.instance, first, attempt, enough, nearby.improve)

    def _left(self) -> float:
        """Seconds that are left for solving."""
        return self._ends - time.perf_counter()

    def _assess(
        self, program: Program, solution: Solution, sample: RoundSample | None, *, allow_partial: bool
    ) -> tuple[Assessment, ...]:
        x = solution.partial if solution.x is None and allow_partial else solution.x
        if x is None:
            return ()
        return tuple(assess(self.instance, sample, chosen_offers(program, x), self.seed))

    def _moved(self, program: Program, factors: Mapping[int, float]) -> Program:
        """The same program with other ceilings of its tail limits, but for what commitments take."""
        numbers = [
            number
            for number, limit in enumerate(self.instance.risk)
            if is_tail_limit(limit)
            for _ in members(self.instance, limit)
        ]
        measures = permit_committed(
            dataclasses.replace(
                measure, ceiling=ceiling_of(self.instance.risk[number]) * factors.get(number, 1.0)
            )  # type: ignore[type-var]
            for number, measure in zip(numbers, program.measures, strict=True)
        )
        rows = [i for i in range(len(measures)) if i not in program.lazy]
        moved = self.formulation.build(self.instance, measures, rows, program.teams, program.mean_risk)
        return with_own_rows(moved, self.instance)


def _candidate(
    program: Program, solution: Solution, assessments: tuple[Assessment, ...], factors: Mapping[int, float]
) -> Candidate[Solved]:
    value = None if solution.x is None else program.value(solution.x)
    return Candidate(Solved(program, solution), value, solution.status, assessments, dict(factors))


class _Noted:
    """The greedy strategy, for want of time."""

    summary = Greedy.summary

    def __init__(self, note: str) -> None:
        self.note = note
        self.seconds = 0.0

    def solve(self, program: Program, options: Options, observer: Observer) -> Solution:
        """Decide; see `bondwork.contracts.Strategy`."""
        began = time.perf_counter()
        found = Greedy().solve(program, options, observer)
        self.seconds = time.perf_counter() - began
        return dataclasses.replace(found, status="time_limit", strategy="greedy", notes=(self.note,))


def draw_scenarios(instance: Instance, seed: int) -> RoundSample | None:
    """Scenarios of a round's offers and commitments; ``None`` where nothing needs them."""
    from bondwork.uncertainty.sampling import sample_round

    if instance.objective.risk_weight <= 0.0 and not any(map(is_tail_limit, instance.risk)):
        return None
    return sample_round(instance, seed=seed)


def write_program(
    instance: Instance, formulation: Formulation, sample: RoundSample | None, risk_form: RiskForm
) -> Program:
    """Write the program of a round down: tail limits, mean-risk objective and constraints included."""
    teams = enumerate_teams(instance)
    if sample is None:
        return with_own_rows(formulation.build(instance, teams=teams), instance)
    measures = permit_committed(tail_measures(instance, sample, teams))
    rows = [number for number, measure in enumerate(measures) if _in_rows(measure, risk_form)]
    written = formulation.build(instance, measures, rows, teams, _mean_risk(instance, sample, teams))
    return with_own_rows(written, instance)


def _mean_risk(instance: Instance, sample: RoundSample, teams: Teams) -> tuple[float, Measure] | None:
    weight = instance.objective.risk_weight
    return (weight, mean_risk_measure(instance, sample, teams)) if weight > 0.0 else None


class SampledRisk(NamedTuple):
    """A round's tail limits on its scenarios; see `sample_risk`."""

    teams: Teams
    measures: list[Measure]
    mean_risk: tuple[float, Measure] | None


def sample_risk(instance: Instance, seed: int | None = None) -> SampledRisk:
    """Draw a round's scenarios and make its tail limits, for those who write the model down themselves.

    Parameters
    ----------
    instance
        The round.
    seed
        Seed of the scenarios; the round's own if left out.

    Returns
    -------
    SampledRisk
        ``teams``, what the columns decide about: single offers, where no task has replicas. ``measures``,
        every tail limit in the order of the round, its ceiling no lower than what the commitments alone
        measure. ``mean_risk``, weight and measure of the mean-risk
        objective, ``None`` where the weight is 0.
    """
    sample = draw_scenarios(instance, instance.uncertainty.seed if seed is None else seed)
    if sample is None:
        return SampledRisk(enumerate_teams(instance), [], None)
    teams = enumerate_teams(instance)
    measures = permit_committed(tail_measures(instance, sample, teams))
    return SampledRisk(teams, measures, _mean_risk(instance, sample, teams))


def _in_rows(measure: Measure, risk_form: RiskForm) -> bool:
    if not measure.convex or risk_form == "rows":
        return True
    return risk_form == "auto" and len(measure.loss.base) <= MOST_ROW_SCENARIOS
