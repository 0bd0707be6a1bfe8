"""Planner sessions: planners that live in files of the service, one request at a time each."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import FastAPI, Path, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from bondwork.service.jobs import Overloaded
from bondwork.service.openapi import body_of, failures

if TYPE_CHECKING:
    import pathlib
    from collections.abc import AsyncIterator, Awaitable, Callable

    from bondwork.service.config import ServiceConfig
    from bondwork.service.work import Kind

    #: Does a piece of work in a worker process and waits: kind, body, options.
    Answered = Callable[[Request, Kind, bytes, dict[str, Any]], Awaitable[Response]]

    #: Reads a request's body; an empty one is refused.
    Body = Callable[[Request], Awaitable[bytes]]

PlannerName = Annotated[
    str,
    Path(min_length=1, max_length=100, pattern=r"^[A-Za-z0-9_-]+$", description="Letters, digits, - and _."),
]


class PlanOptions(BaseModel):
    """Options of a planner's round, as query parameters; names as for a solve."""

    model_config = ConfigDict(extra="forbid")

    round_id: str | None = Field(
        None, min_length=1, max_length=200, description="Asked again with it, a planned round is told again."
    )
    strategy: str = Field("auto", max_length=100)
    formulation: str = Field("highs", max_length=100)
    time_limit: float | None = Field(None, ge=0.0, allow_inf_nan=False, description="Seconds.")
    mip_rel_gap: float = Field(1e-4, ge=0.0, le=1e6, allow_inf_nan=False)
    threads: int = Field(0, ge=0, le=64)
    seed: int | None = Field(None, ge=0, lt=2**63)


class ResetOptions(BaseModel):
    """Query parameters of a reset."""

    model_config = ConfigDict(extra="forbid")

    id: str = Field(min_length=1, max_length=200, description="Of the reset: it is done once for each.")


class NoPlanner(Exception):
    """No planner of that name."""


class NoSessions(Exception):
    """The service keeps no planners."""


class Sessions:
    """The planners of a service: where their files are, and whose turn it is. Lives in one event loop."""

    def __init__(self, config: ServiceConfig) -> None:
        self._config = config
        self._locks: dict[str, tuple[asyncio.Lock, int]] = {}
        self._waiting = 0

    def file(self, name: str, *, there: bool = True) -> pathlib.Path:
        """Where a planner is.

        Raises
        ------
        NoSessions
            The service has no folder for them.
        NoPlanner
            It should be there and is not.
        """
        if self._config.planners is None:
            raise NoSessions
        path = self._config.planners / f"{name}.sqlite"
        if there and not path.is_file():
            raise NoPlanner(name)
        return path

    @asynccontextmanager
    async def turn(self, name: str) -> AsyncIterator[None]:
        """Wait until nobody else is served by this planner.

        Raises
        ------
        Overloaded
            Too many wait already.
        """
        if self._waiting >= self._config.waiting:
            raise Overloaded(f"{self._waiting} requests to planners wait already")
        lock, users = self._locks.get(name, (asyncio.Lock(), 0))
        self._locks[name] = lock, users + 1
        try:
            self._waiting += 1
            try:
                await lock.acquire()
            finally:
                self._waiting -= 1
            try:
                yield
            finally:
                lock.release()
        finally:
            lock, users = self._locks.pop(name)
            if users > 1:
                self._locks[name] = lock, users - 1


def add_sessions(app: FastAPI, config: ServiceConfig, answered: Answered, take: Body) -> None:
    """Add the routes of planners to a service.

    Parameters
    ----------
    app, config
        The service.
    answered, take
        How work is done and bodies are read there.
    """
    sessions = Sessions(config)
    patience = {"time_limit": config.default_time}

    async def served(
        request: Request, name: str, kind: Kind, body: bytes, options: dict[str, Any], *, there: bool = True
    ) -> Response:
        sessions.file(name, there=there)
        async with sessions.turn(name):
            file = sessions.file(name, there=there)  # it may have gone meanwhile
            return await answered(request, kind, body, {"file": str(file), **options})

    told = failures("PlannerState", missing=True)

    @app.put("/planners/{name}", openapi_extra=body_of("PlannerRequest"), responses=failures("PlannerState"))
    async def create_planner(request: Request, name: PlannerName) -> Response:
        """Make a planner; of one that is there, change what is asked for. Answers with its state."""
        return await served(request, name, "create", await take(request), patience, there=False)

    @app.get("/planners/{name}", responses=told)
    async def planner_state(request: Request, name: PlannerName) -> Response:
        """Tell accounts, open commitments, breaker and reputations."""
        return await served(request, name, "state", b"", patience)

    @app.delete("/planners/{name}", responses=told)
    async def delete_planner(request: Request, name: PlannerName) -> Response:
        """Delete a planner; answers with its last state."""
        return await served(request, name, "forget", b"", patience)

    planned = failures("Plan", missing=True)

    @app.post("/planners/{name}/plan", openapi_extra=body_of("Round"), responses=planned)
    async def plan_round(
        request: Request, name: PlannerName, options: Annotated[PlanOptions, Query()]
    ) -> Response:
        """Plan a round and commit to the plan; asked again, tells it again."""
        asked = options.model_dump()
        limit = config.default_time if options.time_limit is None else options.time_limit
        asked["time_limit"] = min(limit, config.most_time)
        return await served(request, name, "plan", await take(request), asked)

    seen = failures("TakenModel", missing=True)

    @app.post("/planners/{name}/observe", openapi_extra=body_of("OutcomesRequest"), responses=seen)
    async def observe_outcomes(request: Request, name: PlannerName) -> Response:
        """Take in how commitments ended: all of them, or none; each once."""
        return await served(request, name, "observe", await take(request), patience)

    @app.post("/planners/{name}/reset", responses=told)
    async def reset_breaker(
        request: Request, name: PlannerName, options: Annotated[ResetOptions, Query()]
    ) -> Response:
        """Close the breaker again, and forget the outcomes that opened it."""
        return await served(request, name, "reset", b"", patience | options.model_dump())
