"""Sample average approximation: decisions from samples, and how far from the best they may be.

Decisions come from some samples, the choice among them from fresh scenarios, the gap from samples of its own
(`bondwork.program.optimality_gap`), and the value from scenarios that had no part in any of it.

References
----------
A. J. Kleywegt, A. Shapiro & T. Homem-de-Mello, The sample average approximation method for stochastic
discrete optimization, SIAM Journal on Optimization 12 (2002) 479-502. G. Bayraksan & P. Pierre-Louis,
Fixed-width sequential stopping rules for a class of stochastic programs, SIAM Journal on Optimization 22
(2012) 1518-1548.
"""

from __future__ import annotations

import dataclasses
import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bondwork.arrays import freeze_fields
from bondwork.base.clock import Clock
from bondwork.contracts import Options
from bondwork.observing import Silence
from bondwork.problem.faults import InvalidInput, Unverified
from bondwork.program.evaluation import evaluate
from bondwork.program.optimality_gap import (
    CUT_SHORT,
    Unfinished,
    check_numbers,
    estimate_gap,
    propose_root,
    seed_of,
    unknown_gap,
)
from bondwork.uncertainty.seeds import child, seed_sequence

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bondwork.arrays import FloatArray
    from bondwork.contracts import Observer, Status
    from bondwork.program.evaluation import Evaluation
    from bondwork.program.optimality_gap import OptimalityGap
    from bondwork.program.resampling import ProgramSampler
    from bondwork.program.stochastic import Sense, StochasticProgram
    from bondwork.uncertainty.seeds import Seed

# Streams under the seed: of candidates, of what chooses among them, of the final value; 2 is the gap's.
_CANDIDATES, _CHOICE, _VALUE = 0, 1, 3

#: Times the sample grows before the sequential rule gives up.
MOST_ROUNDS = 12

#: Shares of a time limit, as `solve_saa` says.
PROPOSING, CHOOSING, VALUING = 0.4, 0.3, 0.1

#: Share of what is left that one more candidate has where there is none.
LAST = 0.8

#: Share of the time of all candidates that the first one has.
FIRST = 0.5


@dataclass(frozen=True, slots=True, eq=False)
class SaaResult:
    """What sample average approximation found.

    Attributes
    ----------
    sense
        Of the program; ``value`` and bounds are in it.
    root
        Shape (columns of the root,). The decision.
    columns
        Names of the root's columns.
    value
        Of the decision on fresh scenarios, with its standard error.
    gap
        Confidence interval of its optimality gap; from samples that had no part in the decision.
    candidates
        Shape (K,). Value of every candidate on the scenarios that chose among them.
    rounds
        (n, end of the interval) of every round of the sequential rule; one where sizes were given.
    within
        Whether the interval ended within the tolerance; ``None`` where none was given.
    status
        ``optimal`` where all was done that was asked for, else why it was not.
    notes
        What was left out for it.
    """

    sense: Sense
    root: FloatArray
    columns: tuple[str, ...]
    value: Evaluation
    gap: OptimalityGap
    candidates: FloatArray
    rounds: tuple[tuple[int, float], ...] = ()
    within: bool | None = None
    status: Status = "optimal"
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        freeze_fields(self, "root", "candidates")


def solve_saa(
    sampler: ProgramSampler,
    *,
    scenarios: int = 100,
    candidates: int = 5,
    replications: int = 10,
    evaluation: int = 1000,
    confidence: float = 0.95,
    tolerance: float | None = None,
    growth: float = 2.0,
    seed: Seed = 0,
    options: Options | None = None,
    observer: Observer | None = None,
    begun: float | None = None,
) -> SaaResult:
    """Decide by sample average approximation, and say how good the decision is.

    ``candidates`` samples are solved, the best of their decisions on ``evaluation`` fresh scenarios is kept,
    its gap is estimated on ``replications`` samples of its own, and its value on ``evaluation`` fresh
    scenarios more. With a ``tolerance`` that is repeated with samples ``growth`` times as large until the
    interval, widened by tolerance / sqrt(n), is within it (Bayraksan & Pierre-Louis 2012): the widening keeps
    a lucky small sample from ending it.

    Parameters
    ----------
    sampler, replications, scenarios, confidence, seed, options, observer
        See `estimate_gap`.
    candidates
        K >= 1.
    evaluation
        N >= 2.
    tolerance
        > 0, in the unit of the program: the gap that is good enough.
    growth
        > 1.
    begun
        Moment, of `time.perf_counter`, from which the time limit counts; now, if left out.

    Raises
    ------
    InvalidInput, Refusal
        As `estimate_gap`.
    Unfinished
        A limit was reached before there was a decision, or a sample is infeasible or unbounded.

    Notes
    -----
    Of a time limit the samples that propose decisions have `PROPOSING`, the choice among them `CHOOSING` of
    what they leave, and `VALUING` is kept for the value of the decision; the samples of the gap have the
    rest. What was found in time is handed out, with a note of what is missing.

    Examples
    --------
    ``solve_saa(sampler_of(program), tolerance=0.5).gap.upper``
    """
    check_numbers(
        scenarios=scenarios,
        candidates=candidates,
        replications=replications,
        evaluation=evaluation,
        confidence=confidence,
        tolerance=tolerance,
        growth=growth,
    )
    options, watch = options or Options(), observer or Silence()
    clock = Clock(options.time_limit, time.perf_counter() if begun is None else begun)
    search = _Search(sampler, options, watch, clock, (scenarios, candidates, replications, evaluation))
    made: list[_Round] = []
    stopped: Unfinished | None = None
    within, size = None, scenarios
    for number in range(MOST_ROUNDS if tolerance is not None else 1):
        try:
            made.append(search.run(size, child(seed_sequence(seed), number), confidence))
        except Unfinished as reason:
            if not made or reason.status not in CUT_SHORT:
                raise
            stopped = reason
            break
        stopped = made[-1].stopped
        if tolerance is None or stopped is not None:
            break
        within = made[-1].gap.upper + tolerance / math.sqrt(size) <= tolerance
        if within:
            break
        size = math.ceil(size * growth)
    # samples that grew and said nothing in time take the place of none that did
    told = [each for each in made if each.gap.replications]
    last = told[-1] if told else made[-1]
    value, late = search.value(last)
    notes = [*last.notes, *([] if stopped is None or stopped is last.stopped else [str(stopped)])]
    status: Status = next((each.status for each in (stopped, late) if each is not None), "optimal")
    return SaaResult(
        last.program.sense,
        last.root,
        last.program.template_of(0).columns,
        value,
        last.gap,
        last.values,
        tuple((each.size, each.gap.upper) for each in made),
        within if tolerance is None or stopped is None else False,
        status,
        (*notes, *([] if late is None else [str(late)])),
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Round:
    """Decision and gap of samples of one size; ``stopped``: what was not done in time."""

    size: int
    seed: Seed
    program: StochasticProgram
    root: FloatArray
    values: FloatArray
    gap: OptimalityGap
    notes: tuple[str, ...] = ()
    stopped: Unfinished | None = None


@dataclass(frozen=True, slots=True, eq=False)
class _Search:
    """What rounds of one search share; ``numbers``: scenarios, candidates, replications, evaluation."""

    sampler: ProgramSampler
    options: Options
    observer: Observer
    clock: Clock
    numbers: tuple[int, int, int, int]

    def run(self, size: int, seed: Seed, confidence: float) -> _Round:
        """Propose decisions, choose one and estimate its gap."""
        _, candidates, replications, evaluation = self.numbers
        kept = VALUING * self.clock.limit if self.clock.limited else 0.0
        proposing = self._within(PROPOSING * self.clock.left(kept))
        notes: list[str] = []
        stopped = None
        try:
            program, roots = _candidates(self.sampler, size, candidates, seed, proposing, self.observer)
        except Unfinished as reason:
            if reason.status != "time_limit" or not self.clock.limited:
                raise
            # a decision comes first: one more sample has most of what is left
            program = self.sampler(size, seed_of(seed, _CANDIDATES, candidates))
            roots = [propose_root(program, self._within(LAST * self.clock.left(kept)), self.observer)]
            notes.append(f"one candidate, at the last try: {reason}")
        try:
            judged = self.sampler(evaluation, seed_of(seed, _CHOICE, 0))
            ends = time.perf_counter() + CHOOSING * self.clock.left(kept)
            best, values = choose(judged, roots, self.options, self.observer, ends)
        except Unfinished as reason:
            if reason.status not in CUT_SHORT:
                raise
            best, values, stopped = roots[0], np.full(len(roots), math.nan), reason
            notes.append(f"the first candidate is kept: {reason}")
        try:
            gap = estimate_gap(
                self.sampler,
                best,
                replications=replications,
                scenarios=size,
                confidence=confidence,
                seed=seed,
                options=self._within(self.clock.left(kept)),
                observer=self.observer,
            )
        except Unfinished as reason:
            if reason.status not in CUT_SHORT:
                raise
            gap, stopped = unknown_gap(scenarios=size, confidence=confidence), reason
            notes.append(f"no interval of the gap: {reason}")
        else:
            if gap.replications < replications:
                status: Status = "interrupted" if self.observer.should_stop() else "time_limit"
                stopped = Unfinished(status, f"{gap.replications} of {replications} samples of the gap")
                notes.append(str(stopped))
        return _Round(size, seed, program, best, values, gap, tuple(notes), stopped)

    def value(self, found: _Round) -> tuple[Evaluation, Unfinished | None]:
        """Value of a decision on fresh scenarios, or why there is none."""
        draws = self.numbers[3]
        fresh = self.sampler(draws, seed_of(found.seed, _VALUE, 0))
        worth = evaluate(fresh, found.root, self._within(self.clock.left()), self.observer, draws=draws)
        late = None
        if math.isnan(worth.objective):
            late = Unfinished(worth.status, "value of the decision on fresh scenarios")
            if worth.status not in CUT_SHORT:
                raise late
        return worth, late

    def _within(self, seconds: float) -> Options:
        return dataclasses.replace(self.options, time_limit=seconds)


def choose(
    program: StochasticProgram,
    roots: Sequence[FloatArray],
    options: Options,
    observer: Observer,
    deadline: float = math.inf,
) -> tuple[FloatArray, FloatArray]:
    """Choose the best of several root decisions on the same scenarios; return it, and the values of all.

    Raises
    ------
    Unfinished
        No decision has a value: each leaves some scenario without recourse, or time ran out.
    """
    sign = 1.0 if program.sense == "max" else -1.0
    values = np.full(len(roots), -sign * math.inf)
    status: Status = "infeasible"
    for number, root in enumerate(roots):
        left = dataclasses.replace(options, time_limit=max(deadline - time.perf_counter(), 0.0))
        try:
            worth = evaluate(program, root, left, observer)
        except InvalidInput as error:  # the root's decision of a solver breaks a limit of the root: a bug
            raise Unverified(str(error)) from error
        if not math.isnan(worth.objective):
            values[number] = worth.objective
        else:
            status = worth.status
    best = int(np.argmax(sign * values))
    if not math.isfinite(values[best]):
        said: Status = "locally_infeasible" if status == "infeasible" else status  # of these decisions
        raise Unfinished(said, "no candidate has recourse in every scenario")
    return roots[best], values


def _candidates(
    sampler: ProgramSampler, size: int, count: int, seed: Seed, options: Options, observer: Observer
) -> tuple[StochasticProgram, list[FloatArray]]:
    """Decisions of several samples, each once."""
    clock = Clock(options.time_limit)
    roots: dict[bytes, FloatArray] = {}
    reason: Unfinished | None = None
    for number in range(count):
        program = sampler(size, seed_of(seed, _CANDIDATES, number))
        # the first has half of the time: without it there is nothing to choose from
        share = FIRST if number == 0 and count > 1 else 1.0 / (count - number)
        left = dataclasses.replace(options, time_limit=share * clock.left())
        try:
            root = propose_root(program, left, observer)
        except Unfinished as error:
            if error.status not in CUT_SHORT:
                raise
            reason = error
            continue
        roots.setdefault(np.round(root, 9).tobytes(), root)
    if reason is not None and not roots:
        raise reason
    return program, list(roots.values())
