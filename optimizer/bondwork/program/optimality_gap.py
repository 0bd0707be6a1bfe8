"""How far from the best a decision may be: a confidence interval of its optimality gap.

With G = (optimum of a sample of n scenarios) - (value of a decision on the same sample), E[G] is at least the
decision's true optimality gap (maximising), because an optimum over a sample is too good on average. The mean
of G over M independent samples and Student's t quantile give a one-sided confidence interval of the gap
(Mak, Morton & Wood 1999); decision and optimum are compared on common random numbers, which takes most of the
variance out.

What it says is statistical: it is no bound of any one solve, and holds with the confidence asked for as M
makes the mean of G normal.

References
----------
W.-K. Mak, D. P. Morton & R. K. Wood, Monte Carlo bounding techniques for determining solution quality in
stochastic programs, Operations Research Letters 24 (1999) 47-56.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bondwork.arrays import freeze_fields
from bondwork.base.clock import Clock
from bondwork.base.statistics import student_quantile
from bondwork.contracts import Options
from bondwork.observing import Silence
from bondwork.problem.faults import Fault, InvalidInput
from bondwork.program.early_decision import early_decision
from bondwork.program.evaluation import evaluate, refuse_linking
from bondwork.program.extensive import extensive_form
from bondwork.program.strengthening import strengthen
from bondwork.solver.solving import solve_program
from bondwork.uncertainty.seeds import child, seed_sequence

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bondwork.arrays import FloatArray
    from bondwork.contracts import Observer, Status
    from bondwork.program.extensive import ExtensiveForm
    from bondwork.program.resampling import ProgramSampler
    from bondwork.program.stochastic import StochasticProgram
    from bondwork.solver.answer import Answer
    from bondwork.uncertainty.seeds import Seed

#: Stream of the gap's samples under the seed; those of `bondwork.program.saa` are others.
GAP_STREAM = 2

#: Share of a sample's time that is kept for the value of the decision on it.
VALUE_SHARE = 0.3

#: Share of a sample's time in which a feasible decision is sought before it is solved.
EARLY_SHARE = 0.2

#: Samples that an interval needs.
LEAST_REPLICATIONS = 2

#: Why a solve may end before it has said anything although there is something to say.
CUT_SHORT = ("time_limit", "interrupted", "iteration_limit")


class Unfinished(RuntimeError):
    """A limit was reached before there was anything to say. ``status`` says which."""

    def __init__(self, status: Status, what: str) -> None:
        self.status = status
        super().__init__(f"{what}: {status.replace('_', ' ')}")


@dataclass(frozen=True, slots=True, eq=False)
class OptimalityGap:
    """Confidence interval of a decision's optimality gap, with every ingredient.

    Amounts in the unit of the program; a gap is >= 0 whatever its sense.

    Attributes
    ----------
    estimate
        Mean of ``gaps``.
    upper
        End of the interval [0, upper]; infinite where a sample has no recourse for the decision.
    standard_error
        Of ``estimate``.
    quantile
        Student's t at ``confidence`` with M - 1 degrees of freedom.
    confidence
        Of the interval.
    scenarios
        n, of each sample.
    gaps
        Shape (M,). Statistical bound less value of the decision, on the same sample, >= 0.
    bounds
        Shape (M,). Optimum of each sample, or the solver's bound of it where it stopped at a gap; in the
        sense of the program.
    values
        Shape (M,). Value of the decision on each sample.
    """

    estimate: float
    upper: float
    standard_error: float
    quantile: float
    confidence: float
    scenarios: int
    gaps: FloatArray
    bounds: FloatArray
    values: FloatArray

    def __post_init__(self) -> None:
        freeze_fields(self, "gaps", "bounds", "values")

    @property
    def replications(self) -> int:
        """M."""
        return len(self.gaps)

    @property
    def statistical_bound(self) -> float:
        """Mean of ``bounds``: on average no worse than the true optimum. No proven bound."""
        return float(self.bounds.mean())

    @property
    def statistical_bound_error(self) -> float:
        """Standard error of `statistical_bound`."""
        return float(self.bounds.std(ddof=1) / math.sqrt(self.replications))


def estimate_gap(
    sampler: ProgramSampler,
    root: FloatArray | Mapping[str, float],
    *,
    replications: int = 10,
    scenarios: int = 100,
    confidence: float = 0.95,
    seed: Seed = 0,
    options: Options | None = None,
    observer: Observer | None = None,
) -> OptimalityGap:
    """Estimate the optimality gap of a decision (Mak, Morton & Wood 1999).

    Parameters
    ----------
    sampler
        Draws programs; `bondwork.program.resampling.sampler_of` makes one of a program, `smps_sampler` of
        SMPS files.
    root
        The decision. It must not have been made from the samples of this seed.
    replications
        M >= 2; 10 to 30 are usual. Fewer make the t quantile large.
    scenarios
        n of each sample. The mean of the gap falls with n, the bias of sample optima with it.
    confidence
        Of the one-sided interval, in (0, 1).
    seed
        Sample m has the seed of stream m under it.
    options
        For each solve; the time limit is for all together, in equal parts. A MIP gap enters the bounds, so
        what is said stays true and gets wider; where time is up, replications are fewer.

    Raises
    ------
    InvalidInput
        Numbers that make no sense, or a decision that is none of the root's.
    Refusal
        Scenarios that are linked, or unbounded recourse.
    Unfinished
        A limit was reached before two samples were solved, or one is infeasible or unbounded.

    Notes
    -----
    Not for an exact proof: for that, solve the extensive form. Where the true gap is 0 and n small, the
    interval is wide because of the bias, which more replications do not take away; a larger n does.

    Examples
    --------
    >>> import numpy as np
    >>> from bondwork.program.resampling import sampler_of
    >>> from bondwork.program.stochastic import StochasticProgram
    >>> from bondwork.program.template import NodeTemplate
    >>> stake = NodeTemplate.make(0, ["x"], cost=-1.0, upper=10.0)
    >>> serve = NodeTemplate.make(1, ["y"], ["stock"], cost=3.0, row_upper=0.0,
    ...                           entries=[(0, 0, 0, -1.0), (0, 1, 0, 1.0)])
    >>> toy = StochasticProgram.from_changes(
    ...     "toy", "max", [stake, serve], parent=[-1, 0, 0], template=[0, 1, 1],
    ...     conditional=[1.0, 0.5, 0.5], changes=[{}, {("upper", 0): 2.0}, {("upper", 0): 6.0}])
    >>> gap = estimate_gap(sampler_of(toy), np.array([4.0]), replications=20, seed=1)
    >>> bool(gap.upper >= 1.0)  # 4 earns 5, the optimum is 6
    True
    """
    check_numbers(replications=replications, scenarios=scenarios, confidence=confidence)
    options, watch = options or Options(), observer or Silence()
    clock = Clock(options.time_limit)
    bounds: list[float] = []
    values: list[float] = []
    sign = 1.0
    for number in range(replications):
        program = sampler(scenarios, seed_of(seed, GAP_STREAM, number))
        sign = 1.0 if program.sense == "max" else -1.0
        # each has its part of what is left: solving the sample most of it, the decision's value the rest
        part = Clock(clock.left() / (replications - number))
        try:
            bound = bound_sample(program, _within(options, (1.0 - VALUE_SHARE) * part.limit), watch)
            value = _value_on(program, root, _within(options, part.left()), watch, number)
        except Unfinished as reason:
            if len(bounds) < LEAST_REPLICATIONS or reason.status not in CUT_SHORT:
                raise
            break
        bounds.append(bound)
        values.append(value)
    return gap_interval(
        np.array(bounds), np.array(values), sign=sign, scenarios=scenarios, confidence=confidence
    )


def _value_on(
    program: StochasticProgram,
    root: FloatArray | Mapping[str, float],
    options: Options,
    observer: Observer,
    number: int,
) -> float:
    worth = evaluate(program, root, options, observer)
    if math.isnan(worth.objective):
        raise Unfinished(worth.status, f"value of the decision on sample {number}")
    return worth.objective


def unknown_gap(*, scenarios: int, confidence: float) -> OptimalityGap:
    """Return the interval of a decision of which no samples told anything in time: it has no end.

    Examples
    --------
    >>> unknown_gap(scenarios=100, confidence=0.95).upper
    inf
    """
    none = np.empty(0)
    return OptimalityGap(
        math.nan, math.inf, math.inf, math.nan, confidence, scenarios, none, none.copy(), none.copy()
    )


def gap_interval(
    bounds: FloatArray, values: FloatArray, *, sign: float, scenarios: int, confidence: float
) -> OptimalityGap:
    """Make the interval of optima and values on the same samples.

    Parameters
    ----------
    bounds, values
        Shape (M,), M >= 2; see `OptimalityGap`.
    sign
        1 where the program is maximised, -1 where it is minimised.
    scenarios, confidence
        See `estimate_gap`.

    Examples
    --------
    >>> interval = gap_interval(np.array([6.0, 8.0]), np.array([5.0, 5.0]), sign=1.0, scenarios=9,
    ...                         confidence=0.95)
    >>> interval.estimate, round(interval.upper, 4)
    (2.0, 8.3138)
    """
    # an optimum below the value of a feasible decision is the rounding of the solver
    gaps = np.maximum(sign * (bounds - values), 0.0)
    quantile = student_quantile(confidence, len(gaps) - 1)
    finite = bool(np.all(np.isfinite(gaps)))
    error = float(gaps.std(ddof=1) / math.sqrt(len(gaps))) if finite else math.inf
    estimate = float(gaps.mean())
    return OptimalityGap(
        estimate=estimate,
        upper=estimate + quantile * error if finite else math.inf,
        standard_error=error,
        quantile=quantile,
        confidence=confidence,
        scenarios=scenarios,
        gaps=gaps,
        bounds=bounds,
        values=values,
    )


@dataclass(frozen=True, slots=True, eq=False)
class SampleAnswer:
    """Solution of one sample: the root's decision, and the bound of its optimum in the program's sense."""

    status: Status
    root: FloatArray
    bound: float


def solve_sample(program: StochasticProgram, options: Options, observer: Observer) -> SampleAnswer:
    """Solve the extensive form of a sample.

    Raises
    ------
    Unfinished
        No decision was found, or no bound.
    """
    refuse_linking(program, "sample average approximation")
    form, answer = _solved(program, options, observer)
    if answer.x is None or not math.isfinite(answer.bound):
        raise Unfinished(answer.status, f"a sample of {len(program.leaves)} scenarios")
    sign = 1.0 if program.sense == "max" else -1.0
    return SampleAnswer(answer.status, answer.x[: form.column_start[1]], sign * answer.bound)


def propose_root(program: StochasticProgram, options: Options, observer: Observer) -> FloatArray:
    """Find a root's decision that is good on a sample; where solving it finds none, one that is feasible.

    Raises
    ------
    Unfinished
        No decision was found.
    """
    refuse_linking(program, "sample average approximation")
    clock = Clock(options.time_limit)
    early = None
    if clock.limited:  # a solver may have nothing when time is up
        early = early_decision(program, _within(options, EARLY_SHARE * clock.limit), observer)
    form, answer = _solved(program, _within(options, clock.left()), observer)
    if answer.x is not None:
        return answer.x[: form.column_start[1]]
    if early is None or answer.status not in CUT_SHORT:
        raise Unfinished(answer.status, f"a sample of {len(program.leaves)} scenarios")
    return early[0]


def bound_sample(program: StochasticProgram, options: Options, observer: Observer) -> float:
    """Bound the optimum of a sample, in the program's sense: no decision need be found for that.

    Raises
    ------
    Unfinished
        No bound was found, or the sample is infeasible.
    """
    refuse_linking(program, "sample average approximation")
    _, answer = _solved(program, options, observer)
    if not math.isfinite(answer.bound):
        raise Unfinished(answer.status, f"a sample of {len(program.leaves)} scenarios")
    return answer.bound if program.sense == "max" else -answer.bound


def _solved(program: StochasticProgram, options: Options, observer: Observer) -> tuple[ExtensiveForm, Answer]:
    clock = Clock(options.time_limit)
    form = extensive_form(program)
    stronger, _ = strengthen(form.matrices)
    return form, solve_program(stronger, _within(options, clock.left()), observer, phase="sample")


def _within(options: Options, seconds: float) -> Options:
    return dataclasses.replace(options, time_limit=seconds)


def seed_of(seed: Seed, *key: int) -> int:
    """Whole number, of 63 bits, for the sampler of stream ``key`` under a seed."""
    state = child(seed_sequence(seed), *key).generate_state(1, np.uint64)
    return int(state[0] >> np.uint64(1))


def check_numbers(**given: float | None) -> None:
    """Refuse sizes, confidences and tolerances that make no sense, all of them at once.

    Raises
    ------
    InvalidInput
        With every one of them, by its name.
    """
    least = {"replications": 2, "scenarios": 1, "candidates": 1, "evaluation": 2}
    faults = []
    for name, value in given.items():
        if value is None:
            continue
        if name in least:
            fits, expected = value == int(value) and value >= least[name], f"a whole number >= {least[name]}"
        elif name == "confidence":
            fits, expected = 0.0 < value < 1.0, "a number in (0, 1)"
        elif name == "growth":
            fits, expected = 1.0 < value < math.inf, "a number > 1"
        else:
            fits, expected = 0.0 < value < math.inf, "a number > 0"
        if not fits:
            faults.append(Fault(name, f"{value:g}", expected))
    if faults:
        raise InvalidInput(faults)
