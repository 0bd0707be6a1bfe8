"""The door to HiGHS: a program goes in, why it stopped and what it holds come out.

Everything that is solved exactly in this house is solved here, whichever formulation wrote the program down.
"""

from __future__ import annotations

import dataclasses
import math
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from bondwork.contracts import Progress
from bondwork.problem.faults import Fault, InvalidInput, preview
from bondwork.program.scaling import scale

if TYPE_CHECKING:
    import highspy

    from bondwork.arrays import FloatArray
    from bondwork.contracts import Observer, Options, Status
    from bondwork.program.matrices import Matrices
    from bondwork.program.scaling import ScaledProgram


#: Options of HiGHS that are not for callers: they would make an answer mean something else, or write where
#: results are written.
FORBIDDEN_OPTIONS = frozenset(
    {
        "objective_bound",
        "objective_target",
        "user_objective_scale",
        "user_bound_scale",
        "user_cost_scale",
        "output_flag",
        "log_to_console",
        "log_file",
        "solution_file",
        "write_solution_to_file",
        "write_model_to_file",
        "write_model_file",
        "write_presolved_model_to_file",
        "write_presolved_model_file",
        "write_iis_model_file",
        "read_solution_file",
        "read_basis_file",
        "write_basis_file",
        "mip_improving_solution_file",
        "solve_relaxation",
    }
)


#: A bound of a whole column that is nearer to a whole number than this is meant to be that number.
WHOLE_TOLERANCE = 1e-9


#: What a direction must earn, as a share of the largest cost, to be one in which a program is unbounded.
RAY_TOLERANCE = 1e-6


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """What HiGHS said, in the units of the program.

    Attributes
    ----------
    status
        Why it stopped.
    x
        Shape (n,). Incumbent with whole columns rounded, or ``None``.
    bound
        Dual bound in currency; ``inf`` where HiGHS has none.
    row_duals
        Shape (m,). For a linear program solved to optimality (or a Farkas ray, where ``infeasible``); else
        ``None``.
    """

    status: Status
    x: FloatArray | None
    bound: float
    row_duals: FloatArray | None = None


def pass_program(highs: highspy.Highs, program: Matrices, scaled: ScaledProgram, *, relaxed: bool) -> None:
    """Hand the scaled arrays of a program over to HiGHS in one call."""
    matrix = program.matrix
    integer = np.zeros(len(program.integer), dtype=np.int32) if relaxed else program.integer.astype(np.int32)
    highs.passModel(
        matrix.shape[1],
        matrix.shape[0],
        matrix.nnz,
        2,  # MatrixFormat.kRowwise
        -1,  # ObjSense.kMaximize
        program.offset * scaled.objective_scale,
        scaled.objective,
        program.lower,
        scaled.upper,
        scaled.row_lower,
        scaled.row_upper,
        matrix.indptr.astype(np.int32, copy=False),
        matrix.indices.astype(np.int32, copy=False),
        scaled.data,
        integer,
    )


def solve_program(
    program: Matrices,
    options: Options,
    observer: Observer,
    *,
    relaxed: bool = False,
    start: FloatArray | None = None,
    phase: str = "",
) -> Answer:
    """Solve a program, or its linear relaxation, with HiGHS.

    Parameters
    ----------
    program
        The program, in the units of the input; it is scaled here.
    options
        Limits; every HiGHS option among them reaches HiGHS.
    observer
        Told of progress and asked whether to stop.
    relaxed
        Solve the linear relaxation.
    start
        Shape (n,). A feasible point to start from (integer programs only).
    phase
        Word for progress reports.

    Raises
    ------
    InvalidInput
        For an option that HiGHS does not know or a value that it refuses.
    """
    if observer.should_stop():
        return Answer("interrupted", None, math.inf)
    if program.matrix.shape[1] == 0:
        return _answer_without_columns(program)
    if not relaxed:
        program = with_whole_bounds(program)
    answer = _solve_once(program, options, observer, relaxed=relaxed, start=start, phase=phase)
    if answer.status not in ("infeasible_or_unbounded", "other_error"):
        return answer
    return _told_apart(program, options, observer, answer, relaxed=relaxed)


def _solve_once(
    program: Matrices,
    options: Options,
    observer: Observer,
    *,
    relaxed: bool,
    start: FloatArray | None = None,
    phase: str = "",
) -> Answer:
    import highspy  # loading it takes a tenth of a second that `bondwork --help` does not have

    scaled = scale(program)
    highs = highspy.Highs()
    highs.setOptionValue("output_flag", False)
    _set_options(highs, options)
    pass_program(highs, program, scaled, relaxed=relaxed)
    if start is not None and not relaxed:
        highs.setSolution(len(start), np.arange(len(start), dtype=np.int32), start)
    watch = _Watch(program, scaled, observer, phase)
    watch.attach(highs)
    watch.run(highs)
    return _read_answer(highs, program, scaled, relaxed=relaxed)


def _told_apart(
    program: Matrices, options: Options, observer: Observer, answer: Answer, *, relaxed: bool
) -> Answer:
    """Say what HiGHS could not: whether a program is infeasible, unbounded, or neither.

    Presolve stops at "infeasible or unbounded", and simplex ends some unbounded programs with a status of
    unknown. A feasible program with rational data is unbounded just where its relaxation has a direction that
    is free and that pays (R. R. Meyer, Mathematical Programming 7 (1974) 223-235): two programs tell.
    """
    nothing = np.zeros_like(program.objective)
    aimless = dataclasses.replace(program, objective=nothing, offset=0.0)
    some = _solve_once(aimless, options, observer, relaxed=relaxed)
    if some.status == "infeasible":
        return some
    if some.x is None:
        return answer
    direction = dataclasses.replace(
        program,
        offset=0.0,
        row_lower=np.where(np.isfinite(program.row_lower), 0.0, -np.inf),
        row_upper=np.where(np.isfinite(program.row_upper), 0.0, np.inf),
        lower=np.where(np.isfinite(program.lower), 0.0, -1.0),
        upper=np.where(np.isfinite(program.upper), 0.0, 1.0),
    )
    ray = _solve_once(direction, options, observer, relaxed=True)
    if ray.x is None or ray.status != "optimal":
        return answer
    if direction.value(ray.x) > RAY_TOLERANCE * float(np.abs(program.objective).max()):
        return Answer("dual_infeasible", some.x, math.inf)
    plain = dataclasses.replace(options, highs={**options.highs, "presolve": "off"})
    again = _solve_once(program, plain, observer, relaxed=relaxed)
    return answer if again.status in ("infeasible", "dual_infeasible") else again


def with_whole_bounds(program: Matrices) -> Matrices:
    """Return the program with whole bounds of whole columns.

    HiGHS 1.15 calls solutions optimal that are not where such a bound is a fraction: of ``x <= 0.13``, whole,
    it must be told ``x <= 0``. Means of scenarios have such bounds.
    """
    whole = program.integer
    lower = np.where(whole, np.ceil(program.lower - WHOLE_TOLERANCE), program.lower)
    upper = np.where(whole, np.floor(program.upper + WHOLE_TOLERANCE), program.upper)
    if np.any(lower > upper):  # no whole number between them: HiGHS says so of the bounds as they are
        return program
    if np.array_equal(lower, program.lower) and np.array_equal(upper, program.upper):
        return program
    return dataclasses.replace(program, lower=lower, upper=upper)


def _answer_without_columns(program: Matrices) -> Answer:
    feasible = bool(np.all(program.row_lower <= 0.0) and np.all(program.row_upper >= 0.0))
    if not feasible:
        return Answer("infeasible", None, -math.inf)
    return Answer("optimal", np.zeros(0), program.offset, np.zeros(len(program.row_lower)))


def _set_options(highs: highspy.Highs, options: Options) -> None:
    named: dict[str, Any] = {
        "time_limit": float(max(options.time_limit, 0.0)),
        "mip_rel_gap": float(options.mip_rel_gap),
        "threads": int(options.threads),
        "random_seed": int(options.random_seed),
    }
    if options.mip_rel_gap == 0.0:
        named["mip_abs_gap"] = 0.0  # otherwise HiGHS stops at an absolute 1e-6 all the same
    faults = []
    for name in FORBIDDEN_OPTIONS & options.highs.keys():
        expected = "an option that changes neither the meaning of the answer nor where output goes"
        faults.append(Fault(f"options.{name}", preview(options.highs[name]), expected))
    for name, value in {**named, **options.highs}.items():
        # HiGHS parses text for every type of option, but takes no whole number where it wants a fraction
        given = value if name in named else str(value).lower() if isinstance(value, bool) else str(value)
        if int(highs.setOptionValue(name, given)) != 0:
            faults.append(
                Fault(f"options.{name}", preview(value), "an option of HiGHS and a value that it takes")
            )
    if faults:
        raise InvalidInput(faults)


class _Watch:
    """Runs HiGHS in a thread of its own, passes progress on, and lets an interrupt end it gracefully.

    In a thread, because a signal reaches Python only between bytecodes: while HiGHS runs in the main thread,
    Ctrl-C would wait until it is done. Its task scheduler belongs to the thread, so a run may use another
    number of threads than the one before.
    """

    def __init__(self, program: Matrices, scaled: ScaledProgram, observer: Observer, phase: str) -> None:
        self.unit = 1.0 / scaled.objective_scale
        self.observer = observer
        self.phase = phase
        self.started = time.perf_counter()
        self.stopping = False
        self.done = threading.Event()
        self.error: BaseException | None = None

    def attach(self, highs: highspy.Highs) -> None:
        """Subscribe to HiGHS's callbacks."""
        highs.cbMipLogging += self._report
        highs.cbMipImprovingSolution += self._report
        highs.cbMipInterrupt += self._interrupt
        highs.cbSimplexInterrupt += self._interrupt
        highs.cbIpmInterrupt += self._interrupt

    def run(self, highs: highspy.Highs) -> None:
        """Run HiGHS to its end or to the first interrupt."""
        threading.Thread(target=self._run, args=(highs,), daemon=True).start()
        # not join: up to Python 3.12 an interrupted join takes the thread for dead (bpo-45274)
        while not self.done.is_set():
            try:
                self.done.wait(0.1)
            except KeyboardInterrupt:
                if self.stopping:
                    raise  # a second Ctrl-C means now
                self.stopping = True
        if self.error is not None:
            raise self.error

    def _run(self, highs: highspy.Highs) -> None:
        try:
            highs.run()
            highs.resetGlobalScheduler(False)
        except BaseException as error:
            self.error = error
        finally:
            self.done.set()

    def _report(self, event: Any) -> None:
        try:
            objective = event.data_out.mip_primal_bound * self.unit
            bound = event.data_out.mip_dual_bound * self.unit
            self.observer.report(
                Progress(
                    time.perf_counter() - self.started,
                    objective if math.isfinite(objective) else None,
                    bound if math.isfinite(bound) else None,
                    self.phase,
                )
            )
        except BaseException as error:
            self.error, self.stopping = error, True

    def _interrupt(self, event: Any) -> None:
        if self.stopping or self.observer.should_stop():
            event.interrupt()


def _read_answer(highs: highspy.Highs, program: Matrices, scaled: ScaledProgram, *, relaxed: bool) -> Answer:
    import highspy

    status = _status(highs.getModelStatus())
    info = highs.getInfo()
    integer = program.integer & (not relaxed)
    x = None
    if info.primal_solution_status == int(highspy.SolutionStatus.kSolutionStatusFeasible):
        x = np.array(highs.getSolution().col_value)
        x[integer] = np.round(x[integer])
        x = np.clip(x, program.lower, scaled.upper)
    if integer.any():
        # HiGHS reports a dual bound for integer programs only; after a linear one it would read 0
        bound = info.mip_dual_bound / scaled.objective_scale
        bound = -math.inf if status == "infeasible" else bound if math.isfinite(bound) else math.inf
        return Answer(status, x, bound)
    duals = None
    if status == "optimal":
        duals = np.array(highs.getSolution().row_dual) * scaled.row_scale / scaled.objective_scale
    elif status == "infeasible":
        _, has_ray, ray = highs.getDualRay()
        duals = np.array(ray) if has_ray else None
    bound = info.objective_function_value / scaled.objective_scale if status == "optimal" else math.inf
    return Answer(status, x, bound if status != "infeasible" else -math.inf, duals)


def _status(status: highspy.HighsModelStatus) -> Status:
    name = status.name.removeprefix("k")
    words: dict[str, Status] = {
        "Optimal": "optimal",
        "ModelEmpty": "optimal",
        "Infeasible": "infeasible",
        "Unbounded": "dual_infeasible",
        "UnboundedOrInfeasible": "infeasible_or_unbounded",
        "TimeLimit": "time_limit",
        "IterationLimit": "iteration_limit",
        "SolutionLimit": "solution_limit",
        "ObjectiveBound": "objective_limit",
        "ObjectiveTarget": "objective_limit",
        "MemoryLimit": "memory_limit",
        "Interrupt": "interrupted",
        "HighsInterrupt": "interrupted",
    }
    return words.get(name, "other_error")
