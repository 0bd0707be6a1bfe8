"""What sample average approximation found, for files: ``bondwork.saa/1``."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, Field

if TYPE_CHECKING:
    from bondwork.program.evaluation import Evaluation
    from bondwork.program.optimality_gap import OptimalityGap
    from bondwork.program.saa import SaaResult


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class Replication(_Record):
    """One sample: its optimum (or the solver's bound of it), and what the decision is worth on it."""

    bound: float
    value: float | None = Field(description="Null where a scenario of the sample leaves no recourse.")


class Gap(_Record):
    """One-sided confidence interval [0, upper] of the decision's optimality gap."""

    estimate: float | None
    upper: float | None = Field(description="Null where the gap may be infinite.")
    standard_error: float | None
    quantile: float | None = Field(
        description="Student's t at the confidence, one degree of freedom fewer; null without replications."
    )
    confidence: float
    scenarios: int = Field(description="Of each sample.")
    statistical_bound: float | None = Field(
        description="Mean optimum of the samples: on average no worse than the true optimum, and no proof."
    )
    statistical_bound_error: float | None
    replications: list[Replication] = Field(description="Fewer than asked for where time was up.")


class Value(_Record):
    """Expected value of the decision on fresh scenarios."""

    objective: float | None = Field(description="Null where a scenario leaves no recourse, or time was up.")
    standard_error: float | None
    scenarios: int = Field(description="Different scenarios among the draws.")
    infeasible: list[str] = Field([], description="Scenarios that leave no recourse.")


class Round(_Record):
    """One round of the sequential rule."""

    scenarios: int
    upper: float | None


class SaaReport(_Record):
    """What sample average approximation found. Amounts in the unit and the sense of the program."""

    format: Literal["bondwork.saa/1"] = "bondwork.saa/1"
    name: str
    sense: Literal["max", "min"]
    first_stage: dict[str, float]
    value: Value
    gap: Gap
    candidates: list[float | None] = Field(description="What each candidate was worth where it was chosen.")
    rounds: list[Round]
    within_tolerance: bool | None = None
    status: str = Field("optimal", description="Why it ended: `optimal` where all was done that was asked.")
    notes: list[str] = Field([], description="What is missing.")

    def to_json(self) -> str:
        """Write the report as one JSON document; the same report gives the same text."""
        return self.model_dump_json(indent=2) + "\n"


def report_saa(name: str, result: SaaResult) -> SaaReport:
    """Write a result down."""
    # + 0.0 turns the solver's -0.0 into 0.0
    return SaaReport(
        name=name,
        sense=result.sense,
        first_stage=dict(zip(result.columns, (result.root + 0.0).tolist(), strict=True)),
        value=_value(result.value),
        gap=_gap(result.gap),
        candidates=[_finite(each) for each in result.candidates.tolist()],
        rounds=[Round(scenarios=n, upper=_finite(upper)) for n, upper in result.rounds],
        within_tolerance=result.within,
        status=result.status,
        notes=list(result.notes),
    )


def _value(found: Evaluation) -> Value:
    return Value(
        objective=_finite(found.objective),
        standard_error=found.standard_error,
        scenarios=len(found.values),
        infeasible=list(found.infeasible),
    )


def _gap(gap: OptimalityGap) -> Gap:
    pairs = zip(gap.bounds.tolist(), gap.values.tolist(), strict=True)
    return Gap(
        estimate=_finite(gap.estimate),
        upper=_finite(gap.upper),
        standard_error=_finite(gap.standard_error),
        quantile=_finite(gap.quantile),
        confidence=gap.confidence,
        scenarios=gap.scenarios,
        statistical_bound=gap.statistical_bound if gap.replications else None,
        statistical_bound_error=gap.statistical_bound_error if gap.replications else None,
        replications=[Replication(bound=bound, value=_finite(value)) for bound, value in pairs],
    )


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
