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
from bondwork.contracts import Options
from bondwork.observing import Silence
from bondwork.problem.faults import InvalidInput, Unverified
from bondwork.program.evaluation import evaluate
from bondwork.program.optimality_gap import Unfinished, check_numbers, estimate_gap, seed_of, solve_sample
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
    """

    sense: Sense
    root: FloatArray
    columns: tuple[str, ...]
    value: Evaluation
    gap: OptimalityGap
    candidates: FloatArray
    rounds: tuple[tuple[int, float], ...] = ()
    within: bool | None = None

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

    Raises
    ------
    InvalidInput, Refusal, Unfinished
        As `estimate_gap`.

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
    deadline = time.perf_counter() + options.time_limit
    rounds: list[tuple[int, float]] = []
    size, within = scenarios, None
    for number in range(MOST_ROUNDS if tolerance is not None else 1):
        root_seed = child(seed_sequence(seed), number)
        left = dataclasses.replace(options, time_limit=max(deadline - time.perf_counter(), 0.0))
        program, roots = _candidates(sampler, size, candidates, root_seed, left, watch)
        judged = sampler(evaluation, seed_of(root_seed, _CHOICE, 0))
        best, found = choose(judged, roots, options, watch, deadline)
        gap = estimate_gap(
            sampler,
            best,
            replications=replications,
            scenarios=size,
            confidence=confidence,
            seed=root_seed,
            options=dataclasses.replace(options, time_limit=max(deadline - time.perf_counter(), 0.0)),
            observer=watch,
        )
        rounds.append((size, gap.upper))
        if tolerance is None:
            break
        within = gap.upper + tolerance / math.sqrt(size) <= tolerance
        if within:
            break
        size = math.ceil(size * growth)
    left = dataclasses.replace(options, time_limit=max(deadline - time.perf_counter(), 0.0))
    fresh = sampler(evaluation, seed_of(root_seed, _VALUE, 0))
    value = evaluate(fresh, best, left, watch, draws=evaluation)
    if math.isnan(value.objective):
        raise Unfinished(value.status, "value of the decision on fresh scenarios")
    columns = program.template_of(0).columns
    return SaaResult(program.sense, best, columns, value, gap, found, tuple(rounds), within)


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
    deadline = time.perf_counter() + options.time_limit
    roots: dict[bytes, FloatArray] = {}
    for number in range(count):
        program = sampler(size, seed_of(seed, _CANDIDATES, number))
        left = dataclasses.replace(options, time_limit=max(deadline - time.perf_counter(), 0.0))
        root = solve_sample(program, left, observer).root
        roots.setdefault(np.round(root, 9).tobytes(), root)
    return program, list(roots.values())
