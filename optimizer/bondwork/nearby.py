"""Plans near those that calibration finds, for rounds of one stage: more scenarios, and exchanges.

A plan that was made on few scenarios is fitted to them. So exchanges from the plans at hand to better ones
are looked for on more scenarios, from a stream of their own. What is handed out is judged by its exact value
or on fresh scenarios, as every plan is.
"""

from __future__ import annotations

import dataclasses
import time
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from bondwork.calibration import Candidate, keeps, reached_factors
from bondwork.contracts import Solution
from bondwork.improving import Effort, Improver, Judgement
from bondwork.problem.teams import enumerate_teams
from bondwork.program.choice_bound import choice_bound
from bondwork.risk.limits import is_tail_limit, members, permit_committed, tail_measures
from bondwork.uncertainty.sampling import sample_round

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from bondwork.arrays import FloatArray
    from bondwork.problem.instance import Instance
    from bondwork.program.program import Program
    from bondwork.risk.assessment import Assessment
    from bondwork.risk.measure import Measure

#: Scenarios that calibration looks at, and outcomes (offers times scenarios) that it draws at most.
SEARCH_SCENARIOS, MOST_OUTCOMES = 8192, 2**26

#: Scenarios below which it is not worth looking.
LEAST_SCENARIOS = 1024

#: Key of the stream of these scenarios under the seed: neither a solve's nor that of fresh scenarios.
SEARCH_STREAM = 20_001

#: Exchanges measured and plans judged at most, and what a plan's judgement may cost in all: outcomes drawn.
MOST_EXCHANGES, MOST_JUDGEMENTS, MOST_JUDGED = 20_000, 400, 1e8

#: Share of the time left for exchanges, and for drawing what they are looked for on.
EXCHANGE_SHARE, DRAWING_SHARE = 0.5, 0.2

#: How much above a plan a bound may be for it to be called optimal, relative.
_ROUNDING = 1e-9


class Solved(NamedTuple):
    """What came of a solve: the program, and its solution."""

    program: Program
    solution: Solution


class Nearby:
    """Looks for plans near those at hand.

    Parameters
    ----------
    instance
        The round.
    first
        What came of it under the limits as they are.
    seed
        Of the solve.
    attempt
        Solves under moved limits.
    assess
        Measures a choice of the program.
    left
        Seconds that are left.
    sampling
        Seconds that drawing the scenarios of the solve took.
    """

    def __init__(
        self,
        instance: Instance,
        first: Solved,
        *,
        seed: int,
        attempt: Callable[[Mapping[int, float]], Candidate[Solved] | None],
        assess: Callable[[FloatArray], tuple[Assessment, ...]],
        left: Callable[[], float],
        sampling: float,
    ) -> None:
        self._instance, self._first, self._seed = instance, first, seed
        self._attempt, self._assess, self._left, self._sampling = attempt, assess, left, sampling
        self._assessed: dict[bytes, tuple[Assessment, ...]] = {}
        #: Limit of each tail measure.
        self._limit = [
            number
            for number, limit in enumerate(instance.risk)
            if is_tail_limit(limit)
            for _ in members(instance, limit)
        ]

    def improve(self, starts: Sequence[Candidate[Solved]]) -> Candidate[Solved] | None:
        """Return the best plan that holds and is found near some others; ``None`` where none is found."""
        measures = self._draw()
        if measures is None:
            return None
        points = [each.found.solution.x for each in starts]
        found = self._exchange(measures, [each for each in points if each is not None])
        return None if found is None else self._as_plan(found)

    def _draw(self) -> list[Measure] | None:
        """Tail limits on more scenarios where they are calibrated, as they are where not."""
        instance = self._instance
        teams = self._first.program.teams or enumerate_teams(instance)
        outcomes = max(len(instance.offers) + len(instance.commitments), 1)
        scenarios = min(SEARCH_SCENARIOS, MOST_OUTCOMES // outcomes)
        seconds = self._sampling * scenarios / max(instance.uncertainty.scenarios, 1)
        if scenarios < LEAST_SCENARIOS or seconds > DRAWING_SHARE * self._left():
            return None
        seed = np.random.SeedSequence(self._seed, spawn_key=(SEARCH_STREAM,))
        sample = sample_round(instance, scenarios=scenarios, seed=seed)
        drawn = permit_committed(tail_measures(instance, sample, teams))
        return [
            new if instance.risk[number].calibrate else old
            for number, new, old in zip(self._limit, drawn, self._first.program.measures, strict=True)
        ]

    def _exchange(self, measures: Sequence[Measure], starts: Sequence[FloatArray]) -> FloatArray | None:
        """The best plan that holds and that exchanges lead to."""
        program = self._first.program
        ends = time.perf_counter() + EXCHANGE_SHARE * self._left()
        chosen = max(1.0, *(float(np.sum(x)) for x in starts))
        judged = int(min(max(MOST_JUDGED / (20_000.0 * chosen), 20.0), MOST_JUDGEMENTS))
        effort = Effort(MOST_EXCHANGES, judged, lambda: time.perf_counter() >= ends or self._left() <= 0.0)
        task = self._instance.claims.task[(program.teams or enumerate_teams(self._instance)).claim]

        def judge(x: FloatArray) -> Judgement:
            found = self._measured(x)
            candidate = Candidate(self._first, 0.0, "", found, {})
            fits = reached_factors(self._instance, found) is not None
            return Judgement(fits and keeps(self._instance, candidate), self._scale(measures, x, found))

        improver = Improver(program, task, measures, judge, effort)
        best: FloatArray | None = None
        for x in starts:
            found = improver.improve(x[: program.choices])
            if found is not None and (best is None or program.value(found) > program.value(best)):
                best = found
        return best

    def _scale(
        self, measures: Sequence[Measure], x: FloatArray, assessments: Sequence[Assessment]
    ) -> FloatArray:
        """What exact values make of ceilings on scenarios: as much smaller or larger as these flatter."""
        tails = [each for each in assessments if is_tail_limit(self._instance.risk[each.limit])]
        scale = np.ones(len(measures))
        for k, (measure, each) in enumerate(zip(measures, tails, strict=True)):
            exact = self._instance.risk[each.limit].calibrate and each.standard_error == 0.0
            if exact and each.out_of_sample and measure.ceiling > 0.0:
                seen = measure.value(x) * each.permitted / (each.out_of_sample * measure.ceiling)
                scale[k] = min(max(seen, 0.5), 2.0)
        return scale

    def _measured(self, x: FloatArray) -> tuple[Assessment, ...]:
        key = np.packbits(x > 0.5).tobytes()
        if key not in self._assessed:
            self._assessed[key] = self._assess(x)
        return self._assessed[key]

    def _as_plan(self, x: FloatArray) -> Candidate[Solved]:
        """A choice as the plan of limits moved to where it just keeps them, with a bound for those."""
        assessments = self._measured(x)
        factors = reached_factors(self._instance, assessments) or {}
        value = self._first.program.value(x)
        bounding = self._attempt(factors)
        if bounding is None:
            bound = max(choice_bound(self._first.program), value)
            solution = Solution("time_limit", x, bound)
            return Candidate(Solved(self._first.program, solution), value, "time_limit", assessments, factors)
        program, solved = bounding.found
        if bounding.value is not None and bounding.value >= value and keeps(self._instance, bounding):
            return bounding
        bound = max(solved.bound, value)
        status = solved.status
        if status == "optimal" and bound - value > _ROUNDING * max(abs(bound), abs(value)):
            status = "locally_solved"
        solution = dataclasses.replace(solved, status=status, x=x, bound=bound)
        return Candidate(Solved(program, solution), value, status, assessments, factors)
