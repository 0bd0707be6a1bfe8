"""What a replay came to: ``bondwork.replay/1``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bondwork.problem.document import parse_document
from bondwork.problem.faults import InvalidInput, faults_of_schema


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class Interval(_Record):
    """A value and its confidence interval; null where there are too few rounds for one."""

    value: float
    low: float | None
    high: float | None


class PolicyResult(_Record):
    """One policy on the log. Amounts in currency, over all rounds unless they say otherwise."""

    name: str
    profit: Interval
    slashed: Interval
    cvar: Interval = Field(description="Mean slashing of the worst rounds.")
    forfeited: float = Field(description="Collateral that failures cost coprocessors.")
    utilisation: float | None = Field(description="Share of serial or limited coprocessors' room.")
    tasks: int = Field(ge=0, description="Tasks given away.")
    succeeded: int = Field(ge=0, description="Assignments.")
    failed: int = Field(ge=0)
    released: int = Field(ge=0, description="Taken by somebody else, or of unknown outcome and skipped.")
    known: float | None = Field(description="Share of the assignments whose outcome the log knew.")
    unusable: int = Field(ge=0, description="Rounds without a plan.")
    seconds: float = Field(ge=0.0, description="Processor time.")
    profit_by_round: list[float]
    slashed_by_round: list[float]


class PolicyDifference(_Record):
    """A policy less the reference, round by round on the same outcomes."""

    name: str
    profit: Interval
    slashed: Interval


class Replay(_Record):
    """Policies on one log, side by side."""

    format: Literal["bondwork.replay/1"] = "bondwork.replay/1"
    log_sha256: str
    rounds: int
    tasks: int = Field(description="Different tasks in the log.")
    currency: str
    unknown: Literal["model", "skip"]
    seed: int
    level: float = Field(description="Of the CVaR.")
    confidence: float = Field(description="Of the intervals.")
    reference: str
    policies: list[PolicyResult]
    differences: list[PolicyDifference]

    def to_json(self) -> str:
        """Write it as one JSON document."""
        return self.model_dump_json(indent=2) + "\n"


def load_replay(source: str | Path | bytes) -> Replay:
    """Read what `Replay.to_json` wrote, from a path or bytes.

    Raises
    ------
    InvalidInput
        With every fault.
    """
    document: Any = parse_document(source if isinstance(source, bytes) else Path(source).read_bytes())
    try:
        return Replay.model_validate_json(json.dumps(document))
    except ValidationError as error:
        names = {*Replay.model_fields, *PolicyResult.model_fields, *Interval.model_fields}
        raise InvalidInput(faults_of_schema(error.errors(include_url=False), document, names)) from None
