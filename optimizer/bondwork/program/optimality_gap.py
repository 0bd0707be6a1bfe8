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
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bondwork.arrays import freeze_fields
from bondwork.base.statistics import student_quantile
from bondwork.contracts import Options
from bondwork.observing import Silence
from bondwork.problem.faults import Fault, InvalidInput
from bondwork.program.evaluation import evaluate, refuse_linking
from bondwork.program.extensive import extensive_form
from bondwork.program.strengthening import strengthen
from bondwork.solver.solving import solve_program
from bondwork.uncertainty.seeds import child, seed_sequence

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bondwork.arrays import FloatArray
    from bondwork.contracts import Observer, Status
    from bondwork.program.resampling import ProgramSampler
    from bondwork.program.stochastic import StochasticProgram
    from bondwork.uncertainty.seeds import Seed

#: Stream of the gap's samples under the seed; those of `bondwork.program.saa` are others.
GAP_STREAM = 2


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
        For each solve; the time limit is for all together. A MIP gap enters the bounds, so what is said
        stays true and gets wider.

    Raises
    ------
    InvalidInput
        Numbers that make no sense, or a decision that is none of the root's.
    Refusal
        Scenarios that are linked, or unbounded recourse.
    Unfinished
        A limit was reached first, or a sample is infeasible or unbounded.

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
    deadline = time.perf_counter() + options.time_limit
    bounds, values = np.empty(replications), np.empty(replications)
    sign = 1.0
    for number in range(replications):
        program = sampler(scenarios, seed_of(seed, GAP_STREAM, number))
        sign = 1.0 if program.sense == "max" else -1.0
        left = dataclasses.replace(options, time_limit=max(deadline - time.perf_counter(), 0.0))
        bounds[number] = solve_sample(program, left, watch).bound
        left = dataclasses.replace(options, time_limit=max(deadline - time.perf_counter(), 0.0))
        worth = evaluate(program, root, left, watch)
        if math.isnan(worth.objective):
            raise Unfinished(worth.status, f"value of the decision on sample {number}")
        values[number] = worth.objective
    return gap_interval(bounds, values, sign=sign, scenarios=scenarios, confidence=confidence)


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
    form = extensive_form(program)
    stronger, _ = strengthen(form.matrices)
    answer = solve_program(stronger, options, observer, phase="sample")
    if answer.x is None or not math.isfinite(answer.bound):
        raise Unfinished(answer.status, f"a sample of {len(program.leaves)} scenarios")
    sign = 1.0 if program.sense == "max" else -1.0
    return SampleAnswer(answer.status, answer.x[: form.column_start[1]], sign * answer.bound)


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
