"""What the API says of its own documents: the published schemas, by name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel, ConfigDict, Field
from pydantic.json_schema import models_json_schema

from bondwork.comparison.comparison_schema import ComparisonFile
from bondwork.plan.plan import Plan
from bondwork.planner.planner_schema import PlannerState
from bondwork.problem.schema import Round
from bondwork.program.program_schema import Program
from bondwork.program.program_solution import ProgramSolution
from bondwork.service.requests import (
    ComparisonRequest,
    OutcomesRequest,
    PlannerRequest,
    SolutionVerificationRequest,
    VerificationRequest,
)

if TYPE_CHECKING:
    from fastapi import FastAPI


class FaultModel(BaseModel):
    """One fault of an input."""

    model_config = ConfigDict(extra="forbid")

    path: str
    found: str
    expected: str


class Failure(BaseModel):
    """Why there is no answer."""

    error: str = Field(description="One word: invalid_input, refused, over_time, ...")
    reasons: list[str] = []
    faults: list[FaultModel] = []
    found: dict[str, Any] | None = Field(
        None, description="For unverified: the plan, or the solution, that did not pass its check."
    )


class TakenModel(BaseModel):
    """Observations that were new, and those that were known."""

    model_config = ConfigDict(extra="forbid")

    new: int
    repeated: int


_MODELS: list[type[BaseModel]] = [
    Round,
    Plan,
    Program,
    ProgramSolution,
    ComparisonFile,
    VerificationRequest,
    SolutionVerificationRequest,
    ComparisonRequest,
    PlannerRequest,
    OutcomesRequest,
    PlannerState,
    TakenModel,
    Failure,
]


def body_of(*names: str) -> dict[str, Any]:
    """A body that is one of the named documents."""
    return {"requestBody": {"required": True, "content": _content(*names)}}


def failures(
    *names: str, done: bool = True, missing: bool = False, early: bool = False
) -> dict[int | str, dict[str, Any]]:
    """Responses of a route: the named documents, and what may go wrong.

    ``done``: the route answers with a document of the work; ``missing``: there may be no such job; ``early``:
    it may not be done yet.
    """
    found: dict[int | str, dict[str, Any]] = {}
    if done:
        content = _content(*names) if names else {"application/json": {"schema": {"type": "object"}}}
        found[200] = {"description": "The answer", "content": content}
    words = {
        401: "No token, or a wrong one",
        408: "The body came too slowly",
        413: "The body is too large",
        422: "Faults of the input, each with its path; or what cannot be honoured",
        500: "The work broke down; nobody else's did",
        503: "Too many requests wait",
        504: "No answer in time; the work was killed",
        507: "The work took too much memory",
    }
    if missing:
        words[404] = "No such job or planner"
    if early:
        words[409] = "The job goes on, or was cancelled before it began"
    for status, description in sorted(words.items()):
        found[status] = {"description": description, "content": _content("Failure")}
    return found


def document_api(app: FastAPI) -> None:
    """Put the published schemas under ``components``, where the routes refer to them."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = get_openapi(
                title=app.title, version=app.version, description=app.description, routes=app.routes
            )
            _, schemas = models_json_schema(
                [(model, "validation") for model in _MODELS], ref_template="#/components/schemas/{model}"
            )
            document.setdefault("components", {}).setdefault("schemas", {}).update(schemas["$defs"])
            app.openapi_schema = document
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]  # the way that FastAPI documents


def _content(*names: str) -> dict[str, Any]:
    references = [{"$ref": f"#/components/schemas/{name}"} for name in names]
    schema = references[0] if len(references) == 1 else {"anyOf": references}
    return {"application/json": {"schema": schema}}
