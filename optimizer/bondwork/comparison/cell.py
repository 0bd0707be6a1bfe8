"""One solve of a comparison, measured: the work of one process at a time."""

from __future__ import annotations

import math
import time
from contextlib import suppress
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

from bondwork.comparison.memory import peak_memory
from bondwork.comparison.realised import out_of_sample
from bondwork.comparison.row import FAILED, REFUSED, Row, Worth
from bondwork.contracts import Options
from bondwork.observing import Silence
from bondwork.plan.plan import Plan
from bondwork.problem.faults import InvalidInput, Refusal, Unverified
from bondwork.problem.instance import Instance
from bondwork.problem.periods import is_staged
from bondwork.problem.reading import load
from bondwork.problem.rescues import has_rescues
from bondwork.program.bounds import gap
from bondwork.program.program_solving import solve_stochastic
from bondwork.solving import LARGEST_RANDOM_SEED, solve

if TYPE_CHECKING:
    from bondwork.comparison.realised import OutOfSample
    from bondwork.comparison.row import Point
    from bondwork.comparison.study import Contender, Problem, Study
    from bondwork.contracts import Observer, Progress
    from bondwork.program.program_solution import ProgramSolution, StochasticValue

#: Points that a trajectory keeps: more than anybody can see in a figure.
MOST_POINTS = 400


class Recorder:
    """An observer that keeps what became better, and lets another one watch.

    ``sign`` is -1 where the subject is minimised.
    """

    def __init__(self, observer: Observer, sign: float) -> None:
        self.observer = observer
        self.sign = sign
        self.points: list[tuple[float, float, float]] = []
        self._started = time.perf_counter()

    def report(self, progress: Progress) -> None:
        """Keep progress in which incumbent or bound became better."""
        _, objective, bound = self.points[-1] if self.points else (0.0, -math.inf, math.inf)
        higher = objective if progress.objective is None else max(objective, self.sign * progress.objective)
        lower = bound if progress.bound is None else min(bound, self.sign * progress.bound)
        if (higher, lower) != (objective, bound):
            self.points.append((time.perf_counter() - self._started, higher, lower))
        self.observer.report(progress)

    def should_stop(self) -> bool:
        """What the other observer says."""
        return self.observer.should_stop()

    def trajectory(self) -> tuple[Point, ...]:
        """At most `MOST_POINTS` points in the sense of the subject, the last among them."""
        step = max(1, -(-len(self.points) // MOST_POINTS))
        thinned = self.points[::-1][::step][::-1]
        return tuple((t, self._told(objective), self._told(bound)) for t, objective, bound in thinned)

    def _told(self, value: float) -> float | None:
        return self.sign * value if math.isfinite(value) else None


def run_cell(study: Study, cell: tuple[int, int, int], observer: Observer | None = None) -> Row:
    """Let one contender solve one subject once; refusals and failures are rows.

    Raises
    ------
    InvalidInput
        An option that does not exist: nothing to compare.
    """
    subject, replication, contender = cell
    named, chosen = study.subjects[subject], study.contenders[contender]
    problem = named.problem
    sense: Literal["max", "min"] = "max" if isinstance(problem, Instance) else problem.sense
    row = Row(
        round=named.name,
        contender=chosen.name,
        strategy=chosen.strategy,
        formulation=chosen.formulation,
        status=FAILED,
        solution="none",
        replication=replication,
        seed=study.seed_of(subject, replication),
        sense=sense,
    )
    with suppress(Exception):  # what is not installed is told of the solve itself
        _load(chosen.formulation)
    recorder = Recorder(observer or Silence(), row.sign)
    try:
        with peak_memory() as peak:
            answer = _solve(study, problem, chosen, row.seed, recorder)
        row = replace(_told(row, answer, recorder, study), memory=peak.mebibytes)
        if isinstance(problem, Instance):
            row = replace(row, out_of_sample=_measured(study, problem, answer, row.seed))
    except InvalidInput:
        raise
    except Refusal as refusal:
        return replace(row, status=REFUSED, refusal=str(refusal))
    except Unverified as error:
        found = row if error.outcome is None else _told(row, error.outcome, recorder, study)
        return replace(found, status=FAILED, refusal=str(error))
    except Exception as error:  # a strategy that breaks down is a result of the comparison, not its end
        return replace(row, refusal=f"{type(error).__name__}: {error}")
    return row


@cache
def _load(formulation: str) -> None:
    """Load once in a process what every solve needs: no contender pays for it, whichever comes first."""
    offer = {"task": "t", "coprocessor": "cp", "success_probability": 0.5}
    tiny = {
        "format": "bondwork.round/1",
        "operators": [{"id": "op"}],
        "coprocessors": [{"id": "cp", "capacity": {"work": 1}}],
        "tasks": [{"id": "t", "operator": "op", "reward": 4, "slashing": 1, "work": {"work": 1}}],
        "offers": [offer],
        "risk": [{"measure": "cvar", "budget": 1}],
    }
    solve(load(tiny), strategy="extensive", formulation=formulation, time_limit=10.0)


def _solve(
    study: Study, problem: Problem, chosen: Contender, seed: int, recorder: Recorder
) -> Plan | ProgramSolution:
    if isinstance(problem, Instance):
        return solve(
            problem,
            strategy=chosen.strategy,
            formulation=chosen.formulation,
            time_limit=chosen.time_limit,
            mip_rel_gap=chosen.mip_rel_gap,
            threads=chosen.threads,
            seed=seed,
            risk_form=study.risk_form,  # type: ignore[arg-type]  # checked there
            highs=chosen.highs,
            settings=chosen.settings,
            value=study.value and (has_rescues(problem) or is_staged(problem)),
            observer=recorder,
        )
    options = Options(
        chosen.time_limit,
        chosen.mip_rel_gap,
        chosen.threads,
        seed % LARGEST_RANDOM_SEED,
        dict(chosen.highs),
        dict(chosen.settings),
    )
    return solve_stochastic(
        problem,
        options,
        recorder,
        strategy=chosen.strategy,
        formulation=chosen.formulation,
        value=study.value,
        certificate="none",
    )


def _told(row: Row, answer: Plan | ProgramSolution, recorder: Recorder, study: Study) -> Row:
    refusal = None
    if answer.solution == "none":
        refusal = f"no plan: {answer.status}"
        conflict = getattr(answer, "conflict", None)
        if conflict is not None:
            refusal += f" ({', '.join(conflict.limits)})"
    trajectory = recorder.trajectory()
    return replace(
        row,
        status=answer.status,
        solution=answer.solution,
        objective=answer.objective,
        bound=answer.bound,
        gap=answer.gap,
        build=answer.timing.build,
        solve=answer.timing.solve,
        verified=answer.verified,
        refusal=refusal,
        trajectory=trajectory,
        to_gap=tuple((each, _seconds_to_gap(row, answer, trajectory, each)) for each in study.target_gaps),
        worth=_worth(answer.stochastic),
    )


def _seconds_to_gap(
    row: Row,
    answer: Plan | ProgramSolution,
    trajectory: tuple[Point, ...],
    target: float,
) -> float | None:
    for seconds, objective, bound in trajectory:
        if objective is None or bound is None:
            continue
        if gap(row.sign * objective, row.sign * bound) <= target:
            return seconds
    return answer.timing.solve if answer.gap is not None and answer.gap <= target else None


def _measured(
    study: Study, problem: Instance, answer: Plan | ProgramSolution, seed: int
) -> OutOfSample | None:
    if study.measuring is None or not isinstance(answer, Plan) or answer.recourse:
        return None
    return out_of_sample(
        problem, answer, scenarios=study.measuring.scenarios, level=study.measuring.level, seed=seed
    )


def _worth(value: StochasticValue | dict[str, Any] | None) -> Worth | None:
    if value is None:
        return None
    if isinstance(value, dict):
        return Worth(*(_number(value.get(name)) for name in ("ws", "rp", "eev", "evpi", "vss")))
    return Worth(value.ws, value.rp, value.eev, value.evpi, value.vss)


def _number(value: object) -> float | None:
    return value if isinstance(value, float) else None
