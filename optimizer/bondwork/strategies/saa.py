"""Sample average approximation of a program with more scenarios than an extensive form can hold."""

from __future__ import annotations

import dataclasses
import math
import time
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from bondwork.base.statistics import student_quantile
from bondwork.contracts import Options, ProgramDecision
from bondwork.program.bounds import gap
from bondwork.program.evaluation import evaluate, refuse_linking
from bondwork.program.known_bound import known_bound
from bondwork.program.optimality_gap import Unfinished, seed_of, solve_sample
from bondwork.program.resampling import resample
from bondwork.program.saa import choose
from bondwork.settings import Setting, read_settings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bondwork.arrays import FloatArray
    from bondwork.contracts import Observer, Status
    from bondwork.program.stochastic import StochasticProgram

#: Share of the time limit that the samples may take; the rest evaluates what they decided, and bounds.
SAMPLES_SHARE = 0.5

#: Scenarios on which candidates are compared, where the program has more.
CHOICE_SCENARIOS = 1000

_SAMPLE, _CHOICE = 0, 1


@dataclass(frozen=True, slots=True)
class Saa:
    """Solves samples of the scenarios, keeps the decision that is best over many, evaluates it over all.

    Attributes
    ----------
    replications
        Samples that are solved, >= 2.
    scenarios
        Scenarios of each, drawn with replacement; fewer where the program has fewer.
    confidence
        Of the statistical gap in the notes.

    Notes
    -----
    The mean optimum of the samples bounds the optimum on average only, so it goes into the notes. The bound
    that is handed out is proven: what the scenarios would earn if each were known from the start, columns
    relaxed. It contains the value of information and seldom closes the gap: `bondwork saa` gives
    confidence intervals. Not for programs whose extensive form solves anyway.
    """

    #: What follows the root is decided afterwards, within the same time limit.
    decides_root_only = True

    takes_linking: ClassVar[bool] = False

    summary: ClassVar[str] = (
        "sample average approximation: decides from samples of the scenarios; for programs with very many"
    )

    settings: ClassVar[Mapping[str, Setting]] = MappingProxyType(
        {
            "replications": Setting("10", "Samples that are solved.", least=2),
            "scenarios": Setting("100", "Scenarios of each sample.", least=1),
        }
    )

    replications: int = 10
    scenarios: int = 100
    confidence: float = 0.95

    def solve_program(
        self, program: StochasticProgram, options: Options, observer: Observer
    ) -> ProgramDecision:
        """Decide within the options; see `bondwork.contracts.ProgramStrategy`."""
        given = read_settings(self, options.settings, "strategy saa")
        chosen = {name: int(given[name]) for name in options.settings}
        return dataclasses.replace(self, **chosen)._decide(program, options, observer)

    def _decide(self, program: StochasticProgram, options: Options, observer: Observer) -> ProgramDecision:
        refuse_linking(program, "sample average approximation")
        start = time.perf_counter()
        try:
            roots, bounds, status = self._solve_samples(program, options, observer, start)
            chosen = self._choose(program, roots, options, observer, start)
        except Unfinished as reason:
            # a sample holds some of the scenarios: where even they leave nothing, the program does not
            bound = -math.inf if reason.status == "infeasible" and "sample" in str(reason) else math.inf
            return ProgramDecision(reason.status, bound, None, notes=(str(reason),))
        worth = evaluate(program, chosen, _left(options, start), observer)
        sign = 1.0 if program.sense == "max" else -1.0
        bound = known_bound(program, _left(options, start), observer)
        notes = [
            f"{len(bounds)} samples of {self._size(program)} scenarios, {len(roots)} different decisions"
        ]
        if math.isfinite(worth.objective):
            bound = max(bound, sign * worth.objective)
            notes += self._statistics(program, bounds, worth.objective)
            close = math.isfinite(bound) and gap(sign * worth.objective, bound) <= options.mip_rel_gap
            status = "optimal" if close else status
        else:
            status = worth.status if worth.status != "infeasible" else "locally_infeasible"
            notes.append("the decision was not evaluated over all scenarios: " + status.replace("_", " "))
            if worth.infeasible:
                notes.append(f"no recourse in {', '.join(worth.infeasible[:3])}")
                return ProgramDecision(status, bound, None, notes=tuple(notes))
        return ProgramDecision(status, bound, chosen, notes=tuple(notes))

    def _size(self, program: StochasticProgram) -> int:
        return min(self.scenarios, int(np.count_nonzero(program.stage == 1)) or 1)

    def _solve_samples(
        self, program: StochasticProgram, options: Options, observer: Observer, start: float
    ) -> tuple[list[FloatArray], list[float], Status]:
        """Different decisions of the samples, and the bound of each sample."""
        samples = dataclasses.replace(options, time_limit=options.time_limit * SAMPLES_SHARE)
        roots: dict[bytes, FloatArray] = {}
        bounds: list[float] = []
        for number in range(self.replications):
            seed = seed_of(options.random_seed, _SAMPLE, number)
            sample = resample(program, self._size(program), seed)
            try:
                answer = solve_sample(sample, _left(samples, start), observer)
            except Unfinished as reason:
                if reason.status not in ("time_limit", "interrupted") or not roots:
                    raise
                return list(roots.values()), bounds, reason.status
            bounds.append(answer.bound)
            roots.setdefault(np.round(answer.root, 9).tobytes(), answer.root)
        return list(roots.values()), bounds, "locally_solved"

    def _choose(
        self,
        program: StochasticProgram,
        roots: list[FloatArray],
        options: Options,
        observer: Observer,
        start: float,
    ) -> FloatArray:
        if len(roots) == 1:
            return roots[0]
        judged = program
        if np.count_nonzero(program.stage == 1) > CHOICE_SCENARIOS:
            judged = resample(program, CHOICE_SCENARIOS, seed_of(options.random_seed, _CHOICE))
        return choose(judged, roots, options, observer, start + options.time_limit)[0]

    def _statistics(self, program: StochasticProgram, bounds: list[float], value: float) -> list[str]:
        if len(bounds) < 2:
            return []
        sign = 1.0 if program.sense == "max" else -1.0
        optima = np.array(bounds)
        # the decision's value is over all scenarios, so only the optima are estimates
        error = float(optima.std(ddof=1)) / math.sqrt(len(optima))
        upper = max(sign * (float(optima.mean()) - value), 0.0)
        upper += student_quantile(self.confidence, len(optima) - 1) * error
        return [
            f"statistical bound (no proof): {optima.mean():.9g} with standard error {error:.3g}; "
            f"optimality gap at most {upper:.3g} with {self.confidence:.0%} confidence"
        ]


def _left(options: Options, start: float) -> Options:
    """Return the options with what is left of the time."""
    left = options.time_limit - (time.perf_counter() - start)
    return dataclasses.replace(options, time_limit=max(left, 0.0))
