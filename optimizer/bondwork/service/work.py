"""What a worker process does with a request: from the bytes of a body to a status and the bytes of an answer.

Runs in a process of its own: whatever a body does to it, it does to nobody else.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from bondwork.problem.faults import InvalidInput, Refusal, Unverified

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from bondwork.contracts import Observer, Progress

Kind: TypeAlias = Literal[
    "solve", "verify", "check", "compare", "create", "plan", "observe", "state", "reset", "forget"
]


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP status and a JSON document."""

    status: int
    body: str


def perform(kind: Kind, body: bytes, options: Mapping[str, Any], observer: Observer) -> Answer:
    """Do the work of a request; every failure that a client can understand is an answer.

    Parameters
    ----------
    kind
        What is asked.
    body
        The request's body.
    options
        Of the solve: ``time_limit`` and so on, checked already for type.
    observer
        Told of progress; asked whether to stop.
    """
    try:
        return _WORK[kind](body, dict(options), observer)
    except InvalidInput as error:
        faults = [{"path": f.path, "found": f.found, "expected": f.expected} for f in error.faults]
        return _failure(422, "invalid_input", faults=faults)
    except Refusal as error:
        return _failure(422, "refused", reasons=list(error.reasons))
    except Unverified as error:
        found = {} if error.outcome is None else {"found": json.loads(error.outcome.to_json())}
        return _failure(500, "unverified", reasons=[str(error)], **found)
    except MemoryError:
        return _failure(507, "out_of_memory", reasons=["the work took more memory than the service allows"])


def _failure(status: int, word: str, **more: Any) -> Answer:
    return Answer(status, json.dumps({"error": word, **more}) + "\n")


def _solve(body: bytes, options: dict[str, Any], observer: Observer) -> Answer:
    from bondwork.contracts import Options
    from bondwork.problem.document import parse_document
    from bondwork.problem.reading import read_document
    from bondwork.program.program_schema import is_program, load_program
    from bondwork.program.program_solving import solve_stochastic
    from bondwork.solving import LARGEST_RANDOM_SEED, solve

    document = parse_document(body)
    if not is_program(document):
        return Answer(200, solve(read_document(document), observer=observer, **options).to_json())
    program = load_program(document)
    choice = {name: options.pop(name) for name in ("strategy", "formulation", "value") if name in options}
    if choice.get("strategy") == "auto":
        choice["strategy"] = "extensive"
    options.pop("allow_violations", None)
    seed = options.pop("seed", None) or 0
    told = Options(random_seed=seed % LARGEST_RANDOM_SEED, **options)
    return Answer(200, solve_stochastic(program, told, observer, **choice).to_json())


def _verify(body: bytes, options: dict[str, Any], observer: Observer) -> Answer:
    from bondwork.plan.plan import load_plan
    from bondwork.plan.verify import verify
    from bondwork.problem.document import parse_document
    from bondwork.problem.reading import read_document
    from bondwork.program.program_schema import load_program
    from bondwork.program.program_verify import verify_solution
    from bondwork.service.requests import VerificationRequest, parse_verification

    del options, observer
    request = parse_verification(parse_document(body))
    if isinstance(request, VerificationRequest):
        verdict = verify(read_document(request.round), load_plan(request.plan))
    else:
        verdict = verify_solution(load_program(request.program), request.solution)
    document = {
        "format": "bondwork.verification/1",
        "verified": bool(verdict),
        "objective": verdict.objective,
        "certified": verdict.certified,
        "violations": [each.model_dump() for each in verdict.violations],
        "unchecked": list(verdict.unchecked),
    }
    return Answer(200, json.dumps(document, allow_nan=False) + "\n")


def _check(body: bytes, options: dict[str, Any], observer: Observer) -> Answer:
    from bondwork.problem.document import parse_document
    from bondwork.problem.reading import read_document
    from bondwork.problem.summary import summarise

    del options, observer
    summary = summarise(read_document(parse_document(body)))
    document = {"format": "bondwork.check/1", "valid": True, "faults": [], **summary}
    return Answer(200, json.dumps(document, allow_nan=False) + "\n")


class _Deadline:
    """An observer that also stops when the time of the whole comparison is over."""

    def __init__(self, observer: Observer, ends: float) -> None:
        self._observer = observer
        self._ends = ends

    def report(self, progress: Progress) -> None:
        self._observer.report(progress)

    def should_stop(self) -> bool:
        return time.monotonic() >= self._ends or self._observer.should_stop()


def _compare(body: bytes, options: dict[str, Any], observer: Observer) -> Answer:
    from bondwork.comparison.comparison import compare
    from bondwork.problem.document import parse_document
    from bondwork.service.requests import parse_comparison

    request = parse_comparison(parse_document(body))
    comparison = compare(
        request.rounds,
        strategies=request.strategies,
        formulations=request.formulations,
        replications=request.replications,
        scenarios=request.scenarios,
        seed=options.get("seed"),
        time_limit=options["time_limit"],
        mip_rel_gap=options.get("mip_rel_gap", 1e-4),
        threads=options.get("threads", 0),
        observer=_Deadline(observer, time.monotonic() + options["time_limit"]),
    )
    return Answer(200, comparison.to_json())


def _with_planner(body: bytes, options: dict[str, Any], observer: Observer, *, what: str) -> Answer:
    from bondwork.service import planner_work

    return Answer(200, getattr(planner_work, what)(body, options, observer))


_WORK: Mapping[Kind, Callable[[bytes, dict[str, Any], Observer], Answer]] = {
    "solve": _solve,
    "verify": _verify,
    "check": _check,
    "compare": _compare,
    "create": partial(_with_planner, what="create"),
    "plan": partial(_with_planner, what="plan"),
    "observe": partial(_with_planner, what="observe"),
    "state": partial(_with_planner, what="state"),
    "reset": partial(_with_planner, what="reset"),
    "forget": partial(_with_planner, what="forget"),
}
