"""What came of rolling a round through its periods: ``bondwork.roll/1``, in memory as on disk."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from bondwork.contracts import Status  # noqa: TC001 - pydantic reads it when it makes the class
from bondwork.plan.plan import Assignment, Timing
from bondwork.problem.records import Record


class Settlement(Record):
    """One piece of work that ended, and who gets what: whole numbers of 10**-decimals of their unit.

    ``reward``, ``bid`` and ``slashed`` are currency, the rest is collateral.
    """

    offer: str = Field(description="Id of the offer, or of a commitment from before.")
    task: str
    operator: str
    executor: str
    decided_in: str | None = Field(description="Period of the decision; null for a commitment from before.")
    settled_in: str = Field(description="Period of the release; end for what the last period left.")
    succeeded: bool
    reward: int = Field(ge=0, description="To the operator.")
    bid: int = Field(ge=0, description="To the executor, by the terms; 0 for a commitment from before.")
    slashed: int = Field(ge=0, description="From the operator's stake.")
    returned: int = Field(ge=0, description="To the executor: all of it on success.")
    burned: int = Field(ge=0)
    to_operator: int = Field(ge=0)
    to_rescuer: int = Field(ge=0)
    to_treasury: int = Field(ge=0)


class RollStep(Record):
    """One decision that was carried out."""

    period: str = Field(description="Id of the period; this round for the first.")
    at: float
    status: Status
    strategy: str
    objective: float | None = Field(description="Expected net reward from here to the end of the horizon.")
    bound: float | None
    assignments: list[Assignment] = Field(description="What was carried out.")
    free_collateral: dict[str, float] = Field(
        description="Before the decision, by coprocessor; those without a limit left out."
    )
    stake: dict[str, float] = Field(
        description="Before the decision, by operator; those without a limit left out."
    )
    timing: Timing = Timing()


class Rolled(Record):
    """Every step, and the ledger of what was settled on the way."""

    format: Literal["bondwork.roll/1"] = "bondwork.roll/1"
    name: str
    currency: str
    decimals: int
    seed: int | None = Field(description="Of what was drawn; null where somebody else said what happened.")
    input_sha256: str
    steps: list[RollStep]
    ledger: list[Settlement]
    complete: bool = Field(description="Whether the end of the horizon was reached.")
    net_reward: float = Field(
        description="What the operators made of the ledger and of the tasks they left, in currency."
    )

    def to_json(self) -> str:
        """Write the report as one JSON document; the same report gives the same text."""
        return self.model_dump_json(indent=2) + "\n"
