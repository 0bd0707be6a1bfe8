"""The application: routes, and what they are documented to take and give."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import TYPE_CHECKING, Annotated, Any, Literal

from fastapi import FastAPI, Path, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.routing import Match

from bondwork.registry import describe_strategies, formulation_names
from bondwork.service.guards import Guard
from bondwork.service.jobs import Job, Jobs, Overloaded
from bondwork.service.openapi import body_of, document_api, failures
from bondwork.service.sessions import NoPlanner, NoSessions, add_sessions
from bondwork.service.work import Kind  # noqa: TC001 - pydantic reads it when it makes the class

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from bondwork.service.config import ServiceConfig


class SolveOptions(BaseModel):
    """Options of a solve, as query parameters; names as on the command line."""

    model_config = ConfigDict(extra="forbid")

    strategy: str = Field("auto", max_length=100)
    formulation: str = Field("highs", max_length=100)
    time_limit: float | None = Field(None, ge=0.0, allow_inf_nan=False, description="Seconds.")
    mip_rel_gap: float = Field(1e-4, ge=0.0, le=1e6, allow_inf_nan=False)
    threads: int = Field(0, ge=0, le=64)
    seed: int | None = Field(None, ge=0, lt=2**63)
    value: bool = False
    allow_violations: bool = False


class ComparisonOptions(BaseModel):
    """Options of every solve of a comparison, as query parameters."""

    model_config = ConfigDict(extra="forbid")

    time_limit: float | None = Field(
        None,
        ge=0.0,
        allow_inf_nan=False,
        description="Seconds for all solves together; those not begun by then are left out.",
    )
    mip_rel_gap: float = Field(1e-4, ge=0.0, le=1e6, allow_inf_nan=False)
    threads: int = Field(0, ge=0, le=64)
    seed: int | None = Field(None, ge=0, lt=2**63)


class JobProgress(BaseModel):
    """Where a solve stands."""

    seconds: float
    objective: float | None
    bound: float | None
    phase: str


class JobState(BaseModel):
    """A job."""

    id: str
    kind: Kind
    state: Literal["waiting", "running", "stopping", "done"]
    progress: JobProgress | None
    status: int | None = Field(description="HTTP status of the result, once there is one.")


class Health(BaseModel):
    """That the service is there, and how busy it is."""

    status: Literal["ok"]
    bondwork: str
    running: int
    waiting: int


JobId = Annotated[str, Path(max_length=100)]


def make_app(config: ServiceConfig) -> FastAPI:
    """Make the application of a service.

    Parameters
    ----------
    config
        Limits; who may ask.

    Notes
    -----
    The application holds its jobs in the event loop it runs in: one process serves, and starts a process for
    every piece of work. Do not put several server processes in front of one folder of results.
    """

    @asynccontextmanager
    async def living(app: FastAPI) -> AsyncIterator[None]:
        app.state.jobs = Jobs(config)
        yield
        await app.state.jobs.close()

    app = FastAPI(
        title="bondwork",
        version=version("bondwork"),
        description="Who does which slashable piece of work, with a proof of how good the plan is.",
        lifespan=living,
    )
    _add_solving(app, config)
    _add_jobs(app, config)
    _add_listing(app)
    add_sessions(app, config, _performed, _body)
    app.exception_handler(RequestValidationError)(_bad_query)
    app.exception_handler(Overloaded)(_overloaded)
    app.exception_handler(_NoJob)(_no_job)
    app.exception_handler(_NoBody)(_no_body)
    app.exception_handler(NoPlanner)(_no_planner)
    app.exception_handler(NoSessions)(_no_sessions)
    app.exception_handler(405)(_wrong_method)
    document_api(app)
    app.add_middleware(Guard, config=config)  # the last one added stands first
    return app


def _add_solving(app: FastAPI, config: ServiceConfig) -> None:
    """Work whose answer is waited for."""
    takes = body_of("Round", "Program")

    @app.post("/solve", openapi_extra=takes, responses=failures("Plan", "ProgramSolution"))
    async def solve(request: Request, options: Annotated[SolveOptions, Query()]) -> Response:
        """Solve a round or a stochastic program; answer with the plan."""
        return await _answered(request, "solve", _limited(options.model_dump(), config))

    @app.post("/check", openapi_extra=body_of("Round"), responses=failures())
    async def check(request: Request) -> Response:
        """Check a round: every fault at once, or what it holds."""
        return await _answered(request, "check", {})

    checked = body_of("VerificationRequest", "SolutionVerificationRequest")

    @app.post("/verify", openapi_extra=checked, responses=failures())
    async def verify(request: Request) -> Response:
        """Check a plan against its round, or a solution against its program, without a solver."""
        return await _answered(request, "verify", {})

    @app.post("/compare", openapi_extra=body_of("ComparisonRequest"), responses=failures("ComparisonFile"))
    async def compare(request: Request, options: Annotated[ComparisonOptions, Query()]) -> Response:
        """Set strategies side by side on rounds. For more than a few solves, make it a job."""
        return await _answered(request, "compare", _limited(options.model_dump(), config))


def _add_jobs(app: FastAPI, config: ServiceConfig) -> None:
    """Work that goes on while nobody waits."""
    takes, may_fail = body_of("Round", "Program"), failures(done=False)

    @app.post("/jobs/solve", status_code=202, openapi_extra=takes, responses=may_fail)
    async def solve_later(request: Request, options: Annotated[SolveOptions, Query()]) -> JobState:
        """Begin to solve; ask for the result later."""
        job = _jobs(request).start("solve", await _body(request), _limited(options.model_dump(), config))
        return JobState(**job.told())

    many = body_of("ComparisonRequest")

    @app.post("/jobs/compare", status_code=202, openapi_extra=many, responses=may_fail)
    async def compare_later(request: Request, options: Annotated[ComparisonOptions, Query()]) -> JobState:
        """Begin a comparison; ask for the result later."""
        job = _jobs(request).start("compare", await _body(request), _limited(options.model_dump(), config))
        return JobState(**job.told())

    @app.get("/jobs/{name}", responses=failures(done=False, missing=True))
    async def job_state(request: Request, name: JobId) -> JobState:
        """Say where a job is, with its incumbent and bound."""
        return JobState(**_found(request, name).told())

    @app.get("/jobs/{name}/result", responses=failures("Plan", "ComparisonFile", missing=True, early=True))
    async def job_result(request: Request, name: JobId) -> Response:
        """Hand out the answer that the work came to, with its own status; 409 while it goes on."""
        job = _found(request, name)
        if job.answer is None:
            return _failure(409, "not_done", f"the job is {job.state}")
        return Response(job.answer.body, job.answer.status, media_type="application/json")

    @app.delete("/jobs/{name}", responses=failures(done=False, missing=True))
    async def cancel(request: Request, name: JobId) -> JobState:
        """Ask a job to end with the best it has; its result stays to be read."""
        job = _found(request, name)
        _jobs(request).cancel(job)
        return JobState(**job.told())


def _add_listing(app: FastAPI) -> None:
    """What there is."""

    @app.get("/health", responses=failures(done=False))
    async def health(request: Request) -> Health:
        """Say that the service is there."""
        states = [job.state for job in _jobs(request).jobs.values()]
        return Health(
            status="ok",
            bondwork=version("bondwork"),
            running=sum(each in ("running", "stopping") for each in states),
            waiting=states.count("waiting"),
        )

    @app.get("/strategies", responses=failures(done=False))
    async def strategies() -> dict[str, Any]:
        """List strategies with what they do and take, and formulations."""
        described = {
            name: {"summary": each.summary, "takes": list(each.takes)}
            for name, each in describe_strategies().items()
        }
        return {"strategies": described, "formulations": formulation_names()}


def _limited(options: dict[str, Any], config: ServiceConfig) -> dict[str, Any]:
    """Fill in the time limit, and cut it to what the service allows."""
    asked = options["time_limit"]
    return options | {"time_limit": min(config.default_time if asked is None else asked, config.most_time)}


async def _answered(request: Request, kind: Kind, options: dict[str, Any]) -> Response:
    """Do the work on the request's body and wait."""
    return await _performed(request, kind, await _body(request), options)


async def _performed(request: Request, kind: Kind, body: bytes, options: dict[str, Any]) -> Response:
    """Do the work and wait; who hangs up ends it."""
    job = _jobs(request).start(kind, body, options)
    try:
        await job.finished.wait()
    except BaseException:
        _jobs(request).cancel(job)
        raise
    if job.answer is None:
        return _failure(500, "no_answer", "the job ended without one")
    return Response(job.answer.body, job.answer.status, media_type="application/json")


def _jobs(request: Request) -> Jobs:
    jobs: Jobs = request.app.state.jobs
    return jobs


class _NoJob(Exception):
    """No job of that id."""


class _NoBody(Exception):
    """A request that should have brought a document brought nothing."""


async def _body(request: Request) -> bytes:
    body = await request.body()
    if not body:
        raise _NoBody
    return body


def _found(request: Request, name: str) -> Job:
    job = _jobs(request).find(name)
    if job is None:
        raise _NoJob(name)
    return job


def _failure(status: int, word: str, reason: str) -> JSONResponse:
    return JSONResponse({"error": word, "reasons": [reason]}, status)


async def _no_job(_: Request, error: Exception) -> Response:
    return _failure(404, "no_job", f"no job {json.dumps(str(error)[:100])}")


async def _no_planner(_: Request, error: Exception) -> Response:
    return _failure(404, "no_planner", f"no planner {json.dumps(str(error)[:100])}")


async def _no_sessions(_request: Request, _error: Exception) -> Response:
    reason = "planners, as this service keeps none: start it with a folder for them"
    return _failure(422, "refused", reason)


async def _no_body(_request: Request, _error: Exception) -> Response:
    faults = [{"path": "body", "found": "nothing", "expected": "a JSON document"}]
    return JSONResponse({"error": "invalid_input", "faults": faults}, 422)


async def _wrong_method(request: Request, _error: Exception) -> Response:
    """Name every method of the path, whichever route has it."""
    allowed: set[str] = set()
    for route in request.app.routes:
        match, _ = route.matches(request.scope)
        if match is not Match.NONE:
            allowed |= route.methods or set()
    answer = _failure(405, "wrong_method", f"expected one of {', '.join(sorted(allowed))}")
    answer.headers["allow"] = ", ".join(sorted(allowed))
    return answer


async def _bad_query(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    faults = [
        {
            "path": ".".join(map(str, each["loc"])),
            "found": str(each.get("input"))[:100],
            "expected": each["msg"],
        }
        for each in error.errors()
    ]
    return JSONResponse({"error": "invalid_input", "faults": faults}, 422)


async def _overloaded(_: Request, error: Exception) -> Response:
    answer = _failure(503, "overloaded", str(error))
    answer.headers["retry-after"] = "5"
    return answer
