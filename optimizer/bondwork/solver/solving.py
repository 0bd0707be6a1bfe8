"""A program, whole or its linear relaxation, solved exactly.

Everything that is solved exactly in this house is solved here, whichever formulation wrote the program down.
"""

from __future__ import annotations

import dataclasses
import math
import time
from typing import TYPE_CHECKING

import numpy as np

from bondwork.base.tolerances import PROGRAM_ROW
from bondwork.program.close_amounts import spread
from bondwork.program.scaling import column_units, in_units, scale
from bondwork.solver.answer import Answer, read_answer
from bondwork.solver.apart import is_large, solve_apart
from bondwork.solver.asked import Asked
from bondwork.solver.options import set_solve_options
from bondwork.solver.passing import pass_program
from bondwork.solver.watching import Watch

if TYPE_CHECKING:
    from collections.abc import Callable

    from bondwork.arrays import BoolArray, FloatArray, IntArray
    from bondwork.contracts import Observer, Options
    from bondwork.program.matrices import Matrices

#: A bound of a whole column that is nearer to a whole number than this is meant to be that number.
WHOLE_TOLERANCE = 1e-9

#: By how much rows are made larger each time that they must hold more exactly, and at most; powers of two.
SHARPER, SHARPEST = 10, 20

#: What a direction must earn, as a share of the largest cost, to be one in which a program is unbounded.
RAY_TOLERANCE = 1e-6


def solve_program(
    program: Matrices,
    options: Options,
    observer: Observer,
    *,
    relaxed: bool = False,
    start: FloatArray | None = None,
    phase: str = "",
    worth: Callable[[FloatArray], float | None] | None = None,
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
    worth
        Where this is the whole that somebody watches: what an incumbent is worth, ``None`` where it is no
        solution of the whole; called in HiGHS's thread. Left out, reports hold neither incumbent nor bound.

    Raises
    ------
    InvalidInput
        For an option that HiGHS does not know or a value that it refuses.
    """
    if observer.should_stop():
        return Answer("interrupted", None, math.inf)
    if program.matrix.shape[1] == 0:
        return _answer_without_columns(program)
    asked = Asked(relaxed, start, phase, worth)
    unit = column_units(program)
    if unit is not None:
        return _solve_in_units(unit, program, options, observer, asked)
    if not relaxed:
        program = with_whole_bounds(program)
    deadline = time.perf_counter() + options.time_limit
    sharp = np.zeros(len(program.row_upper), dtype=np.int64) if relaxed else spread(program)
    if sharp.any():
        larger = dataclasses.replace(asked, sharp=sharp)
        answer = _solve_from(_as_wide_as_allowed(program, sharp), deadline, options, observer, larger)
    else:
        answer = _solve_from(program, deadline, options, observer, asked)
    while not relaxed and (loose := _loose_rows(program, answer) & (sharp < SHARPEST)).any():
        sharp = np.where(loose, np.minimum(sharp + SHARPER, SHARPEST), sharp)
        better = _sharper(program, sharp, deadline, options, observer, answer, asked)
        if better is answer:
            break
        answer = better
    if answer.status == "other_error":
        answer = _without_presolve(program, _until(deadline, options), observer, answer, relaxed=relaxed)
    if answer.status in ("infeasible_or_unbounded", "other_error"):
        answer = _told_apart(program, deadline, options, observer, answer, relaxed=relaxed)
    return answer


def _solve_in_units(
    unit: FloatArray, program: Matrices, options: Options, observer: Observer, asked: Asked
) -> Answer:
    """Solve with columns counted in units, powers of two; the answer is in those of the program."""
    start, worth = asked.start, asked.worth

    def worth_there(x: FloatArray) -> float | None:
        assert worth is not None
        return worth(x * unit)

    answer = solve_program(
        in_units(program, unit),
        options,
        observer,
        relaxed=asked.relaxed,
        start=None if start is None else start / unit[: len(start)],
        phase=asked.phase,
        worth=None if worth is None else worth_there,
    )
    return answer if answer.x is None else dataclasses.replace(answer, x=answer.x * unit)


def _until(deadline: float, options: Options) -> Options:
    return dataclasses.replace(options, time_limit=max(deadline - time.perf_counter(), 0.0))


def _solve_from(
    program: Matrices, deadline: float, options: Options, observer: Observer, asked: Asked
) -> Answer:
    """Solve from a start, and without it where the start came back as an optimum that it is not.

    HiGHS 1.16 does that where presolve alone solves the program: the bound is that of the optimum.
    """
    answer = _solve_once(program, options, observer, asked)
    if asked.start is None or asked.relaxed or not _falls_short(program, answer, options):
        return answer
    afresh = dataclasses.replace(asked, start=None)
    again = _solve_once(program, _until(deadline, options), observer, afresh)
    if again.x is None:
        return dataclasses.replace(answer, status=again.status)
    return again


def _falls_short(program: Matrices, answer: Answer, options: Options) -> bool:
    """Whether an answer is called optimal although its own bound is beyond it."""
    if answer.status != "optimal" or answer.x is None or not math.isfinite(answer.bound):
        return False
    size = float(np.abs(program.objective) @ np.abs(answer.x)) + abs(answer.bound)
    allowed = (1.5 * options.mip_rel_gap + PROGRAM_ROW) * size
    return answer.bound - program.value(answer.x) > allowed


def _solve_once(program: Matrices, options: Options, observer: Observer, asked: Asked) -> Answer:
    """Solve once, where it can be ended: large runs under a limit in a process of their own."""
    if is_large(program, options.time_limit):
        from bondwork.solver.construction import make_highs  # loads HiGHS

        set_solve_options(make_highs(), options)  # faults are told here
        answer = solve_apart(program, options, observer, asked)
        if answer is not None:
            return answer
    return solve_here(program, options, observer, asked)


def solve_here(program: Matrices, options: Options, observer: Observer, asked: Asked) -> Answer:
    """Solve once, in this process."""
    from bondwork.solver.construction import make_highs  # loads HiGHS

    relaxed, start, worth = asked.relaxed, asked.start, asked.worth
    scaled = scale(program, settled=True, sharp=asked.sharp)
    highs = make_highs()
    set_solve_options(highs, options)
    if options.time_limit <= 0.0:
        return Answer("time_limit", None, math.inf)  # some versions still solve what presolve can, others not
    if not pass_program(highs, program, scaled, relaxed=relaxed):
        return Answer("numerical_error", None, math.inf)
    if start is not None and not relaxed:
        within = np.clip(start, program.lower[: len(start)], scaled.upper[: len(start)])
        highs.setSolution(len(start), np.arange(len(start), dtype=np.int32), within)

    def told(x: FloatArray) -> float | None:
        assert worth is not None
        return worth(np.where(program.integer, np.round(x), x))

    told_by = None if worth is None else told
    watch = Watch(1.0 / scaled.objective_scale, options.time_limit, observer, asked.phase, told_by)
    watch.attach(highs)
    found: list[Answer] = []

    def read() -> None:
        found.append(read_answer(highs, program, scaled, watch.incumbent, relaxed=relaxed))

    watch.run(highs, read)
    if not watch.done.is_set():  # and so nothing was read, nor may be
        x = watch.incumbent
        x = None if x is None else np.where(program.integer, np.round(x), x)
        return Answer("interrupted" if watch.stopping or watch.asked else "time_limit", x, math.inf)
    return dataclasses.replace(found[0], status=watch.tell_apart(found[0].status))


def _as_wide_as_allowed(program: Matrices, sharp: IntArray) -> Matrices:
    """Widen rows that are made larger by what they may be exceeded by, where that is as much as 1e-6.

    In its own scale HiGHS lets them be exceeded by less: what verifies would be said not to exist.
    """
    if program.row_tolerance < PROGRAM_ROW:
        return program
    lower, upper = program.row_lower, program.row_upper
    share = program.row_tolerance * (1.0 - 1e-6)
    below, above = (sharp > 0) & np.isfinite(lower), (sharp > 0) & np.isfinite(upper)
    lower, upper = lower.copy(), upper.copy()
    lower[below] -= share * np.abs(lower[below])
    upper[above] += share * np.abs(upper[above])
    return dataclasses.replace(program, row_lower=lower, row_upper=upper)


def _loose_rows(program: Matrices, answer: Answer) -> BoolArray:
    """Rows that a solution breaks by more than they may be, though HiGHS lets it pass.

    Its tolerance is a share of a row's largest coefficient, ours one of the bound and of the terms.
    """
    if answer.x is None:
        return np.zeros(len(program.row_upper), dtype=bool)
    matrix, excess = program.matrix, program.excess(answer.x)
    size = np.zeros(len(excess))
    for bound in (program.row_lower, program.row_upper):
        size = np.maximum(size, np.where(np.isfinite(bound), np.abs(bound), 0.0))
    terms = np.abs(matrix.data * answer.x[matrix.indices])
    rows = np.repeat(np.arange(len(size)), np.diff(matrix.indptr))
    size = np.maximum(size, np.bincount(rows, terms, len(size)))
    allowed = np.full(len(size), program.row_tolerance)
    # where a column need not be whole, its last digits are the solver's
    allowed[rows[~program.integer[matrix.indices]]] = max(PROGRAM_ROW, program.row_tolerance)
    loose: BoolArray = excess > allowed * size
    return loose


def _sharper(
    program: Matrices,
    sharp: IntArray,
    deadline: float,
    options: Options,
    observer: Observer,
    answer: Answer,
    asked: Asked,
) -> Answer:
    """Solve again with some rows held to more exactly; ``answer`` where that leads nowhere."""
    plain = dataclasses.replace(options, highs={**options.highs, "presolve": "off"})
    for tried in (options, plain):
        left = _until(deadline, tried)
        if left.time_limit <= 0.0:
            break
        again = dataclasses.replace(asked, start=answer.x, sharp=sharp)
        found = _solve_from(program, deadline, left, observer, again)
        if found.status in ("other_error", "numerical_error"):
            break
        # presolve calls programs infeasible that only just are not
        if found.status != "infeasible" or tried is plain:
            return dataclasses.replace(found, bound=min(found.bound, answer.bound))
    return answer


def _without_presolve(
    program: Matrices, options: Options, observer: Observer, answer: Answer, *, relaxed: bool
) -> Answer:
    """Solve again without what most often goes wrong; what was found before is kept if nothing better is."""
    plain = dataclasses.replace(options, highs={**options.highs, "presolve": "off"})
    again = _solve_once(program, plain, observer, Asked(relaxed, answer.x))
    if again.status == "infeasible" and answer.x is not None:
        return answer
    if again.x is None and answer.x is not None:
        return dataclasses.replace(again, x=answer.x)
    return again


def _told_apart(
    program: Matrices,
    deadline: float,
    options: Options,
    observer: Observer,
    answer: Answer,
    *,
    relaxed: bool,
) -> Answer:
    """Say what HiGHS could not: whether a program is infeasible, unbounded, or neither.

    Presolve stops at "infeasible or unbounded", and simplex ends some unbounded programs with a status of
    unknown. A feasible program with rational data is unbounded just where its relaxation has a direction that
    is free and that pays (R. R. Meyer, Mathematical Programming 7 (1974) 223-235): two programs tell.
    """
    nothing = np.zeros_like(program.objective)
    aimless = dataclasses.replace(program, objective=nothing, offset=0.0)
    some = _solve_once(aimless, _until(deadline, options), observer, Asked(relaxed))
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
    ray = _solve_once(direction, _until(deadline, options), observer, Asked(relaxed=True))
    if ray.x is None or ray.status != "optimal":
        return answer
    if direction.value(ray.x) > RAY_TOLERANCE * float(np.abs(program.objective).max()):
        return Answer("dual_infeasible", some.x, math.inf)
    again = _without_presolve(program, _until(deadline, options), observer, answer, relaxed=relaxed)
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
