"""The plan: who does what, how good it is, and why. ``bondwork.plan/1``, in memory as on disk."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bondwork.contracts import Status  # noqa: TC001 - pydantic reads it when it makes the class
from bondwork.problem.document import parse_document
from bondwork.problem.faults import InvalidInput, faults_of_schema

if TYPE_CHECKING:
    import pandas as pd


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class Assignment(_Record):
    """One executor for one task. Amounts in currency, collateral in its own unit."""

    offer: str = Field(description="Id of the offer; task/operator for self-execution.")
    task: str
    operator: str
    executor: str = Field(description="The coprocessor, or the operator itself.")
    kind: Literal["delegated", "self"]
    bid: float = Field(description="Bid, or cost of self-execution.")
    price: float = Field(description="What is paid: the bid unless an auction says more.")
    collateral: float
    success_probability: float
    expected_net_reward: float
    expected_slashing: float


class Unassigned(_Record):
    """A task that nobody does, and why."""

    task: str
    reason: Literal["no_eligible_offer", "not_worth_it", "no_room"]
    limits: list[str] = Field([], description="For no_room: the limits that leave no room.")


class OperatorShare(_Record):
    """What the plan means for one operator: B[v], bids not deducted, and its expected slashing."""

    id: str
    expected_benefit: float
    expected_slashing: float


class RiskValue(_Record):
    """A risk limit and what the plan's loss measures under it, commitments included."""

    measure: Literal["expected", "cvar", "chance", "worst_case", "solvency", "ambiguous"]
    of: str = Field(description="network, or the id of an operator or coprocessor.")
    budget: float = Field(description="What the value may be; for chance and solvency the probability.")
    in_sample: float = Field(description="On the scenarios of the solve; expected losses exactly.")
    out_of_sample: float | None = Field(description="On fresh scenarios; null for expected losses.")
    standard_error: float | None = Field(description="Of out_of_sample.")
    holds: bool = Field(description="Whether the fresh value is within two standard errors of the limit.")
    calibrated: float | None = Field(None, description="In-sample budget, where it was tightened.")


class Price(_Record):
    """Shadow price of a limit: currency per unit of it; null where it has none."""

    limit: str
    price: float | None


class IneligibleOffers(_Record):
    """Triples of operator, coprocessor and task that could never be chosen, counted by reason."""

    minimum_collateral: int = Field(0, description="Collateral below the task's minimum.")
    deadline: int = Field(0, description="A serial coprocessor that is free only after the deadline.")


class Conflict(_Record):
    """Why an infeasible round is infeasible: limits that cannot hold together."""

    limits: list[str]
    minimal: bool = Field(description="Whether any one of them, if left out, would let the others hold.")
    least: dict[str, float] = Field(
        {}, description="Least value of tail limits among them that the round's other limits allow."
    )


class Violation(_Record):
    """Something about a plan that is not so."""

    what: str = Field(description="The limit or field.")
    found: str
    expected: str

    def __str__(self) -> str:
        return f"{self.what}: found {self.found}, expected {self.expected}"


class Timing(_Record):
    """Seconds of each step."""

    read: float = Field(0.0, ge=0.0)
    sample: float = Field(0.0, ge=0.0)
    build: float = Field(0.0, ge=0.0)
    solve: float = Field(0.0, ge=0.0)
    verify: float = Field(0.0, ge=0.0)


class Provenance(_Record):
    """Where a plan comes from: enough to make it again."""

    bondwork: str
    highs: str
    input_sha256: str = Field(description="Digest of the round's content, whatever its layout.")
    tree_sha256: str | None = None
    seed: int
    options: dict[str, bool | int | float | str | None] = {}
    notes: list[str] = Field([], description="Fallbacks and choices made on the way.")


class Plan(_Record):
    """The answer to a round.

    ``status`` says why the solve stopped, ``solution`` what it holds: two facts. ``objective`` and ``bound``
    are in currency, ``gap`` is (bound - objective) / max(abs(bound), abs(objective)); null where there is no
    plan or no bound.
    """

    format: Literal["bondwork.plan/1"] = "bondwork.plan/1"
    status: Status
    solution: Literal["optimal", "feasible", "none"]
    strategy: str
    formulation: str
    objective: float | None
    bound: float | None
    gap: float | None
    assignments: list[Assignment] = []
    recourse: list[Assignment] = []
    unassigned: list[Unassigned] = []
    operators: list[OperatorShare] = []
    risk: list[RiskValue] = []
    prices: list[Price] = []
    prices_from: Literal["lp_relaxation", "lagrange_multipliers"] | None = None
    ineligible_offers: IneligibleOffers = IneligibleOffers()
    conflict: Conflict | None = None
    stochastic: dict[str, float | str | None] | None = None
    timing: Timing = Timing()
    provenance: Provenance
    verified: bool = False
    violations: list[Violation] = []

    def to_json(self) -> str:
        """Write the plan as one JSON document; the same plan gives the same text."""
        return self.model_dump_json(indent=2) + "\n"

    def to_frame(self) -> pd.DataFrame:
        """Assignments as a table, one row each. Needs pandas: ``pip install 'bondwork[frame]'``.

        Returns
        -------
        pandas.DataFrame
            Columns as in `Assignment`, in the order of the plan.
        """
        try:
            import pandas as pd  # an extra, and slow to load
        except ModuleNotFoundError:
            raise ModuleNotFoundError("Plan.to_frame needs pandas: pip install 'bondwork[frame]'") from None
        return pd.DataFrame(
            [each.model_dump() for each in self.assignments], columns=list(Assignment.model_fields)
        )

    def is_usable(self) -> bool:
        """Whether there is something to carry out."""
        return self.solution != "none"


def load_plan(source: str | Path | bytes | Mapping[str, Any]) -> Plan:
    """Read a plan from a path, from bytes or from a mapping.

    Raises
    ------
    InvalidInput
        With every fault of the input.
    """
    if isinstance(source, Mapping):
        document: Any = dict(source)
    else:
        document = parse_document(source if isinstance(source, bytes) else Path(source).read_bytes())
    try:
        return Plan.model_validate(document)
    except ValidationError as error:
        names = {name for record in _Record.__subclasses__() for name in record.model_fields}
        raise InvalidInput(faults_of_schema(error.errors(include_url=False), document, names)) from None
