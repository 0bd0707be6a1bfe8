"""What goes into a planner and what it tells of itself: observations, and ``bondwork.planner/1``."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, TypeAdapter, ValidationError

from bondwork.planner.events import Ending  # noqa: TC001 - pydantic reads it when it makes the class
from bondwork.problem.faults import InvalidInput, faults_of_schema
from bondwork.problem.schema_types import Id, Number, Quantity  # noqa: TC001

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bondwork.planner.books import Books

#: An amount of currency, exact.
Exact = Annotated[str, StringConstraints(pattern=r"^-?[0-9]+(\.[0-9]+)?$")]

#: An amount as it comes in: exact too, where it is a text.
Given = Annotated[str, StringConstraints(pattern=r"^[0-9]{1,151}(\.[0-9]{1,200})?$")]


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class Outcome(_Record):
    """How a commitment ended. Either ``commitment``, or ``task`` (and ``executor`` where several do it)."""

    outcome: Ending = Field(description="released: it was never begun, so nothing is owed.")
    id: Id | None = Field(None, description="Of the observation; absent: the commitment's id.")
    commitment: Id | None = Field(None, description="round/offer, as the state lists it.")
    task: Id | None = None
    executor: Id | None = None
    rescuer: Id | None = Field(None, description="Coprocessor that delivered late in its place.")
    reward: Quantity | Given | None = Field(
        None, description="What was earned, where it is not what was planned."
    )
    held_until: Number | None = Field(
        None, description="Clock time until which its collateral stays locked; not for failed ones."
    )


class OperatorState(_Record):
    """An operator's account; ``stake`` null: rounds do not limit it."""

    id: str
    stake: Exact | None
    balance: Exact


class CoprocessorState(_Record):
    """A coprocessor's account; ``free`` null: rounds do not limit it."""

    id: str
    free: Exact | None
    locked: Exact
    balance: Exact


class OpenCommitment(_Record):
    """A commitment that is not settled yet."""

    id: str
    round: str
    task: str
    operator: str
    executor: str
    kind: Literal["delegated", "self"]
    collateral: Exact
    price: Exact
    reward: Exact
    slashing: Exact
    success_probability: float
    at: float = Field(description="Clock time of the decision.")
    deadline: float | None


class HeldState(_Record):
    """Collateral of an ended commitment that is not free yet."""

    commitment: str
    until: float = Field(description="Clock time; the first round from then on has it free.")


class TotalsState(_Record):
    """What was moved so far, in currency; ``forfeited`` is collateral, ``shortfall`` what nobody paid."""

    reward: Exact
    price: Exact
    slashed: Exact
    forfeited: Exact
    shortfall: Exact
    burned: Exact
    treasury: Exact


class BreakerState(_Record):
    """The breaker: its limits, what the last outcomes came to, and why it is open."""

    open: bool
    reason: str | None
    loss: Exact | None
    failures: int | None
    over: int
    recent_loss: Exact
    recent_failures: int


class ReputationState(_Record):
    """What the reputation forecasts of a coprocessor."""

    id: str
    mean: float
    concentration: float


class PlannerState(_Record):
    """A planner's state. Amounts are decimal strings, exact."""

    format: Literal["bondwork.planner/1"]
    events: int = Field(ge=0, description="How many events it is the fold of.")
    currency: str
    decimals: int
    now: float | None = Field(description="Clock time of the last round.")
    rounds: int = Field(ge=0, description="Rounds planned.")
    last_round: str | None
    succeeded: int
    failed: int
    released: int
    operators: list[OperatorState]
    coprocessors: list[CoprocessorState]
    commitments: list[OpenCommitment]
    held: list[HeldState]
    totals: TotalsState
    imbalance: int = Field(description="Sum over all accounts in smallest units: 0.")
    breaker: BreakerState | None
    reputation: list[ReputationState]

    def to_json(self) -> str:
        """Write the state as one JSON document."""
        return self.model_dump_json(indent=2) + "\n"


_OUTCOMES = TypeAdapter(list[Outcome])


def read_outcomes(outcomes: Sequence[Mapping[str, Any] | Outcome]) -> list[Outcome]:
    """Check observations.

    Raises
    ------
    InvalidInput
        With every fault; paths begin at the list.
    """
    document: Any = [
        each.model_dump(exclude_none=True) if isinstance(each, Outcome) else each for each in outcomes
    ]
    try:
        return _OUTCOMES.validate_python(document)
    except ValidationError as error:
        faults = faults_of_schema(error.errors(include_url=False), document, Outcome.model_fields)
        raise InvalidInput(faults) from None


def outcome_to_json(outcome: Outcome) -> str:
    """Write an observation down as it came, to know it again."""
    return json.dumps(outcome.model_dump(exclude_none=True), sort_keys=True)


def state_of(books: Books, events: int) -> PlannerState:
    """Tell what books hold."""
    ledger, totals, watch = books.ledger, books.totals, books.watch

    def show(units: int) -> str:
        return format(ledger.amount(units), "f")

    seen = books.seen_reputation()
    forecast = None if seen is None else seen.forecast()
    return PlannerState(
        format="bondwork.planner/1",
        events=events,
        currency=books.currency,
        decimals=ledger.decimals,
        now=books.now,
        rounds=totals.rounds,
        last_round=books.last_round,
        succeeded=totals.succeeded,
        failed=totals.failed,
        released=totals.released,
        operators=[
            OperatorState(
                id=name,
                stake=None if name in books.unlimited else show(each.stake),
                balance=show(each.balance),
            )
            for name, each in ledger.operators.items()
        ],
        coprocessors=[
            CoprocessorState(
                id=name,
                free=None if name in books.unlimited else show(each.free),
                locked=show(each.locked),
                balance=show(each.balance),
            )
            for name, each in ledger.coprocessors.items()
        ],
        commitments=[
            OpenCommitment(**{name: getattr(each, name) for name in OpenCommitment.model_fields})
            for each in books.open.values()
        ],
        held=[HeldState(commitment=name, until=until) for name, until in books.held.items()],
        totals=TotalsState(
            **{
                name: show(getattr(totals, name))
                for name in TotalsState.model_fields
                if hasattr(totals, name)
            },
            burned=show(ledger.burned),
            treasury=show(ledger.treasury),
        ),
        imbalance=ledger.imbalance(),
        breaker=None
        if watch is None
        else BreakerState(
            open=watch.reason is not None,
            reason=watch.reason,
            loss=None if watch.loss is None else show(watch.loss),
            failures=watch.failures,
            over=watch.over,
            recent_loss=show(sum(slashed for _, slashed in watch.recent)),
            recent_failures=sum(failed for failed, _ in watch.recent),
        ),
        reputation=[]
        if seen is None or forecast is None
        else [
            ReputationState(id=name, mean=mean, concentration=size)
            for name, mean, size in zip(
                seen.executors, forecast.mean.tolist(), forecast.concentration.tolist(), strict=True
            )
        ],
    )
