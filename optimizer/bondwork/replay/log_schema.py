"""One line of a log: ``bondwork.log/1``, a round and what became of its offers."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from bondwork.planner.events import Ending  # noqa: TC001 - pydantic reads it when it makes the class
from bondwork.problem.schema_types import Id, Number  # noqa: TC001

LOG_FORMAT = "bondwork.log/1"


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class LoggedOutcome(_Record):
    """What became of an offer, or would have."""

    offer: Id = Field(description="Id of the offer, as plans have it; task/operator for self-execution.")
    operator: Id | None = Field(None, description="Absent: whichever operator the offer is for.")
    outcome: Ending = Field(description="released: somebody else was faster, so nothing was owed.")
    at: Number | None = Field(
        None, description="Clock time at which it was known; absent: now and the offer's duration."
    )


class LogEntry(_Record):
    """A round of the past. One line of a log."""

    format: Literal["bondwork.log/1"]
    id: Id = Field(description="Of the round; once in a log.")
    round: dict[str, Any] = Field(description="A bondwork.round/1; its now gives the clock.")
    outcomes: list[LoggedOutcome] = Field([], description="Of work that was done.")
    potential: list[LoggedOutcome] = Field(
        [], description="Of work that was not done, where it is known all the same."
    )
