"""The lines of a stream: ``bondwork.stream/1``."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, RootModel, StringConstraints, TypeAdapter

from bondwork.plan.plan import Plan  # noqa: TC001 - pydantic reads it when it makes the class
from bondwork.planner.events import Fund  # noqa: TC001
from bondwork.planner.planner_schema import Given, Outcome, PlannerState
from bondwork.problem.schema_types import Id, Quantity  # noqa: TC001

STREAM_FORMAT = "bondwork.stream/1"

#: What a caller calls a line by; it comes back with the answer.
Label = Annotated[str, StringConstraints(max_length=10_000)] | int


class _Line(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class _Request(_Line):
    id: Label | None = Field(None, description="Comes back with the answer.")


class PlanRequest(_Request):
    """Decide a round and commit to the plan."""

    op: Literal["plan"]
    round: dict[str, Any] = Field(description="A bondwork.round/1.")
    round_id: Id | None = Field(None, description="Absent: made from the digest of the round.")


class PrepareRequest(_Request):
    """Give the round as it would be solved now."""

    op: Literal["prepare"]
    round: dict[str, Any] = Field(description="A bondwork.round/1.")


class ObserveRequest(_Request):
    """Tell how commitments ended."""

    op: Literal["observe"]
    outcomes: list[Outcome]


class MoveRequest(_Request):
    """Put stake or collateral in, or take it out, once for each key."""

    op: Literal["deposit", "withdraw"]
    key: Id
    member: Id
    amount: Quantity | Given
    fund: Fund | None = None


class StateRequest(_Request):
    """Tell the state."""

    op: Literal["state"]


class ResetRequest(_Request):
    """Close the breaker again, once for each key."""

    op: Literal["reset"]
    key: Id


Request = Annotated[
    PlanRequest | PrepareRequest | ObserveRequest | MoveRequest | StateRequest | ResetRequest,
    Field(discriminator="op"),
]

REQUESTS: TypeAdapter[
    PlanRequest | PrepareRequest | ObserveRequest | MoveRequest | StateRequest | ResetRequest
] = TypeAdapter(Request)


class FaultLine(_Line):
    """One fault: where, what was found, what was expected."""

    path: str
    found: str
    expected: str


class TakenLine(_Line):
    """Observations taken in, and those known already."""

    new: int
    repeated: int


class Reply(_Line):
    """The answer to one line: what was asked for, or why not."""

    format: Literal["bondwork.stream/1"] = "bondwork.stream/1"
    id: Label | None
    op: str | None
    ok: bool
    plan: Plan | None = None
    round_id: str | None = None
    round: dict[str, Any] | None = None
    taken: TakenLine | None = None
    state: PlannerState | None = None
    faults: list[FaultLine] | None = Field(None, description="What is wrong with the line.")
    reasons: list[str] | None = Field(None, description="Why a line that is well-formed was not honoured.")


class StreamLine(RootModel[Request | Reply]):
    """A line of a stream: a request in, or a reply out."""


def field_names() -> set[str]:
    """Every field name of a request, for hints about misspelt ones."""
    kinds: tuple[type[BaseModel], ...] = (
        PlanRequest,
        PrepareRequest,
        ObserveRequest,
        MoveRequest,
        ResetRequest,
        Outcome,
    )
    return {name for kind in kinds for name in kind.model_fields}
