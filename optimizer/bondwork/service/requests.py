"""Bodies that are more than one document: where they come in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field

from bondwork.planner.planner_schema import Outcome  # noqa: TC001 - pydantic reads it
from bondwork.problem.records import Record, read_record


class VerificationRequest(Record):
    """A round, and a plan to check against it."""

    round: dict[str, Any] = Field(description="A bondwork.round/1.")
    plan: dict[str, Any] = Field(description="A bondwork.plan/1.")


class SolutionVerificationRequest(Record):
    """A stochastic program, and a solution to check against it."""

    program: dict[str, Any] = Field(description="A bondwork.program/1.")
    solution: dict[str, Any] = Field(description="A bondwork.solution/1.")


class ComparisonRequest(Record):
    """Rounds and stochastic programs, and the strategies to set side by side on them."""

    rounds: list[dict[str, Any]] = Field(min_length=1, max_length=100)
    strategies: list[str] = Field(["greedy", "relaxation", "extensive"], min_length=1, max_length=50)
    formulations: list[str] = Field(["highs"], min_length=1, max_length=10)
    replications: Annotated[int, Field(ge=1, le=1000)] = 1
    scenarios: Annotated[int, Field(ge=0, le=100_000)] = 5000


class BreakerRequest(Record):
    """When a planner stops; at least one of loss and failures."""

    loss: str | float | None = Field(None, description="Slashed by the last outcomes; more than 0.")
    failures: int | None = Field(None, ge=1)
    over: int = Field(100, ge=1, description="How many of the last outcomes count.")


class PlannerRequest(Record):
    """What a planner is to be; absent: as it is."""

    decimals: int | None = Field(None, ge=0, le=36, description="Unit of the ledger.")
    currency: str | None = Field(None, max_length=100)
    reputation: Literal["forgetting", "ewma", "smoothed", "gas"] | None = None
    breaker: BreakerRequest | None = None


class OutcomesRequest(Record):
    """How commitments ended."""

    outcomes: list[Outcome]


def parse_planner(document: Any) -> PlannerRequest:
    """Check what a planner is to be; every fault at its path."""
    return read_record(PlannerRequest, document)


def parse_outcomes(document: Any) -> OutcomesRequest:
    """Check the body of an observation; every fault at its path."""
    return read_record(OutcomesRequest, document)


def parse_verification(document: Any) -> VerificationRequest | SolutionVerificationRequest:
    """Check the body of a verification; every fault at its path."""
    if isinstance(document, Mapping) and not document.keys().isdisjoint({"program", "solution"}):
        return read_record(SolutionVerificationRequest, document)
    return read_record(VerificationRequest, document)


def parse_comparison(document: Any) -> ComparisonRequest:
    """Check the body of a comparison; every fault at its path."""
    return read_record(ComparisonRequest, document)
