"""The shape of a round in JSON: ``bondwork.round/1``. The boundary, and nothing past it.

These classes say which fields there are, of which type and range; what refers to what is checked where the
arrays are made (`bondwork.problem.assembly`). The published JSON Schema is generated from them.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Discriminator, Field, Tag, WithJsonSchema

from bondwork.problem.schema_types import (
    LARGEST,
    Amount,
    Balance,
    Id,
    Level,
    Number,
    Probability,
    Quantity,
    Record,
    Resources,
    Text,
    Whole,
    stage_number,
)

ROUND_FORMAT = "bondwork.round/1"


class OperatorWorth(Record):
    """What the room of an operator is worth to later rounds."""

    stake: Amount = Field(0.0, description="Currency per unit of stake that is exposed or slashed.")
    capacity: Resources = Field({}, description="Currency per unit of each resource for self-execution.")


class CoprocessorWorth(Record):
    """What the room of a coprocessor is worth to later rounds."""

    collateral: Amount = Field(0.0, description="Currency per unit of collateral that is held or lost.")
    capacity: Resources = Field({}, description="Currency per unit of each resource.")
    second: Amount = Field(0.0, description="Currency per second of work; of serial coprocessors.")


class Operator(Record):
    """An operator: earns rewards, is slashed."""

    id: Id
    stake: Amount | None = Field(None, description="Slashable stake in currency; absent: not limited.")
    capacity: Resources = Field({}, description="Free resources for self-execution; absent: not limited.")
    worth: OperatorWorth | None = Field(
        None, description="What a decision is charged for the room it takes to the end; absent: nothing."
    )


class LoadCurve(Record):
    """Load incentive f(x) with its nine parameters (paper, section 5)."""

    resource: Id = Field(description="Resource whose expected load is x.")
    scale: Number = Field(1.0, description="Currency for f = 1.")
    weight: Number = Field(0.0, description="How much of f the objective adds.")
    A: Number
    B: Number
    C: Number
    D: Number
    E: Number
    F: Number
    G: Number
    H: Number
    I: Number

    def parameters(self) -> tuple[float, float, float, float, float, float, float, float, float]:
        """Return A to I in order."""
        return (self.A, self.B, self.C, self.D, self.E, self.F, self.G, self.H, self.I)


class Coprocessor(Record):
    """A coprocessor: does the work and posts collateral."""

    id: Id
    capacity: Resources = Field({}, description="By resource; absent: not limited.")
    free_collateral: Balance | None = Field(
        None,
        description="Collateral left after the commitments, below 0 where they hold more than there is; "
        "absent: not limited.",
    )
    outage_probability: Probability = 0.0
    serial: bool = Field(False, description="Works on one task at a time.")
    free_at: Number | None = Field(None, description="Clock time from which a serial coprocessor is free.")
    load_curve: LoadCurve | None = None
    worth: CoprocessorWorth | None = Field(
        None, description="What a decision is charged for the room it takes to the end; absent: nothing."
    )


class _TaskTerms(Record):
    # claims, reward and slashing differ between this round's tasks and later periods'
    id: Id
    operator: Id | None = Field(None, description="The one operator that claims the task; or use claims.")
    minimum_collateral: Amount = 0.0
    work: Resources = {}
    deadline: Number | None = Field(None, description="Clock time; absent: none.")
    required: bool = False
    unassigned_cost: Amount = Field(0.0, description="Lost when the task is left.")
    replicas: Whole = Field(1, ge=1, le=1000, description="Most executors of the task.")
    quorum: Whole = Field(1, ge=1, le=1000, description="How many executors must succeed.")


class Claim(Record):
    """What one operator gains or loses with a task."""

    operator: Id
    reward: Amount = 0.0
    slashing: Amount = 0.0


class Task(_TaskTerms):
    """A task of the round. Either ``operator`` with ``reward`` and ``slashing``, or ``claims``."""

    reward: Amount | None = None
    slashing: Amount | None = None
    claims: list[Claim] | None = Field(None, description="Several operators' claims.")


class BetaProbability(Record):
    """An uncertain probability: Beta(m*nu, (1-m)*nu)."""

    mean: Probability
    concentration: Annotated[float, Field(gt=0.0, le=LARGEST, allow_inf_nan=False)]


SuccessProbability = Annotated[Probability | BetaProbability, Field(union_mode="left_to_right")]


class _OfferTerms(Record):
    task: Id
    coprocessor: Id
    success_probability: SuccessProbability
    id: Id | None = Field(None, description="Absent: task/coprocessor or task/coprocessor/operator.")
    operator: Id | None = Field(None, description="Absent: every operator that claims the task.")
    stage: Annotated[Literal[1, 2], BeforeValidator(stage_number)] = Field(
        1, description="2: may only rescue."
    )
    collateral: Amount = 0.0
    work: Resources | None = Field(None, description="Replaces the task's work.")
    duration: Quantity = Field(0.0, description="Seconds; for serial coprocessors.")


class Offer(_OfferTerms):
    """A coprocessor's offer for a task."""

    bid: Amount = 0.0


class SelfExecution(Record):
    """An operator that may execute a task itself."""

    task: Id
    operator: Id
    success_probability: SuccessProbability
    cost: Amount = 0.0


class Commitment(Record):
    """What an earlier round decided and still holds."""

    id: Id
    task: Id
    operator: Id
    executor: Id = Field(description="A coprocessor, or the operator itself.")
    success_probability: Probability
    collateral: Amount = 0.0
    work: Resources = {}
    release_at: Number | None = None


class CollateralSplit(Record):
    """Where a failed coprocessor's collateral goes; adds up to 1."""

    burned: Probability = 0.0
    operator: Probability = 0.0
    rescuer: Probability = 0.0
    treasury: Probability = 0.0


class Terms(Record):
    """Payment terms."""

    bid_paid: Literal["always", "on_success"] = "always"
    collateral_split: CollateralSplit = CollateralSplit(burned=1.0)
    collateral_rate: Quantity = Field(1.0, description="Worth of one collateral unit in currency.")


class OfOperator(Record):
    """One operator."""

    operator: Id


class OfCoprocessor(Record):
    """One coprocessor."""

    coprocessor: Id


def _form_of_scope(value: object) -> str | None:
    """Name the form that is meant; names that are no fields, so that a place in the input stays clear."""
    if isinstance(value, str):
        return "a word"
    if isinstance(value, OfOperator) or (isinstance(value, dict) and "operator" in value):
        return "one operator"
    if isinstance(value, OfCoprocessor) or (isinstance(value, dict) and "coprocessor" in value):
        return "one coprocessor"
    return None


def _scope(expected: str) -> Discriminator:
    return Discriminator(
        _form_of_scope, custom_error_type="scope", custom_error_message=expected, custom_error_context={}
    )


Of = Annotated[
    Annotated[Literal["network", "operator", "coprocessor"], Tag("a word")]
    | Annotated[OfOperator, Tag("one operator")]
    | Annotated[OfCoprocessor, Tag("one coprocessor")],
    _scope('"network", "operator", "coprocessor", {"operator": id} or {"coprocessor": id}'),
]
OfCoprocessors = Annotated[
    Annotated[Literal["coprocessor"], Tag("a word")] | Annotated[OfCoprocessor, Tag("one coprocessor")],
    _scope('"coprocessor" or {"coprocessor": id}'),
]


class ExpectedLimit(Record):
    """Expected loss at most the budget."""

    measure: Literal["expected"]
    budget: Amount
    of: Of = "network"


class CvarLimit(Record):
    """Conditional value at risk of the loss at most the budget."""

    measure: Literal["cvar"]
    budget: Amount
    level: Level = 0.95
    of: Of = "network"
    calibrate: bool = False


class ChanceLimit(Record):
    """Probability of a loss above the budget at most ``probability``."""

    measure: Literal["chance"]
    budget: Amount
    probability: Probability
    of: Of = "network"
    calibrate: bool = False


class WorstCaseLimit(Record):
    """Loss at most the budget in every scenario."""

    measure: Literal["worst_case"]
    budget: Amount
    of: Of = "network"
    calibrate: bool = False


class SolvencyLimit(Record):
    """Probability that forfeited collateral exceeds the free collateral at most ``probability``."""

    measure: Literal["solvency"]
    probability: Probability
    of: OfCoprocessors = "coprocessor"
    calibrate: bool = False


class AmbiguousLimit(Record):
    """Worst expected loss over a Wasserstein ball of ``radius`` at most the budget."""

    measure: Literal["ambiguous"]
    budget: Amount
    radius: Quantity
    of: Of = "network"
    calibrate: bool = False


Risk = Annotated[
    ExpectedLimit | CvarLimit | ChanceLimit | WorstCaseLimit | SolvencyLimit | AmbiguousLimit,
    Field(discriminator="measure"),
]


Ids = Annotated[Id | Annotated[list[Id], Field(min_length=1)], Field(union_mode="left_to_right")]


class ConstraintTerm(Record):
    """What a constraint counts: of every chosen offer that fits all that is given, an amount."""

    task: Ids | None = Field(None, description="Only offers for this task, or for one of these; absent: all.")
    operator: Ids | None = Field(None, description="Only offers for this operator.")
    executor: Ids | None = Field(None, description="Only of this coprocessor, or operator by itself.")
    offer: Ids | None = Field(None, description="Only offers of this id.")
    amount: Literal["count", "bid", "collateral", "duration", "reward", "slashing"] = "count"
    resource: Id | None = Field(None, description="Count the offer's work of this resource instead.")
    weight: Number = Field(1.0, description="What the amount is multiplied by.")


class Constraint(Record):
    """A linear condition of one's own on what is chosen now; commitments do not count."""

    name: Id
    terms: list[ConstraintTerm] = Field(min_length=1)
    sense: Literal["<=", ">=", "=="]
    bound: Number


class Objective(Record):
    """Mean-risk objective."""

    risk_weight: Probability = 0.0
    risk_level: Level = 0.95


class Dependence(Record):
    """Common causes of failure: shares of variance."""

    copula: Literal["gaussian"] = "gaussian"
    common: Probability = 0.0
    coprocessor: Probability = 0.0


#: Ways to sample that need no plug-in.
SAMPLING = ("monte_carlo", "antithetic", "latin_hypercube", "sobol", "bootstrap")

# which plug-ins there are is no matter of the form: names are looked up where arrays are made
SamplingName = Annotated[
    Id,
    WithJsonSchema(
        {
            "anyOf": [
                {"enum": list(SAMPLING), "type": "string"},
                {"description": "Name of an installed plug-in.", "minLength": 1, "type": "string"},
            ]
        }
    ),
]


class Uncertainty(Record):
    """How outcomes depend on each other and how they are sampled."""

    dependence: Dependence = Dependence()
    sampling: SamplingName = "sobol"
    scenarios: Whole = Field(1024, ge=1, le=10_000_000)
    seed: Whole = Field(0, ge=0, lt=2**64)


class LognormalLaw(Record):
    """A lognormal amount."""

    law: Literal["lognormal"]
    mean: Amount
    cv: Quantity


class ValuesLaw(Record):
    """An amount that takes one of some values."""

    law: Literal["values"]
    values: list[Amount] = Field(min_length=1)
    probabilities: list[Probability] = Field(min_length=1)


Law = Annotated[LognormalLaw | ValuesLaw, Field(discriminator="law")]
RandomAmount = Annotated[Amount | Law, Field(union_mode="left_to_right")]


class PeriodClaim(Record):
    """A claim of a later period."""

    operator: Id
    reward: RandomAmount = 0.0
    slashing: RandomAmount = 0.0


class PeriodTask(_TaskTerms):
    """A task of a later period; its amounts may be laws."""

    reward: RandomAmount | None = None
    slashing: RandomAmount | None = None
    claims: list[PeriodClaim] | None = None


class PeriodOffer(_OfferTerms):
    """An offer of a later period; its bid may be a law."""

    bid: RandomAmount = 0.0


class Period(Record):
    """A later node of the tree; ``parent`` null is this round."""

    id: Id
    parent: Id | None = None
    at: Number
    probability: Probability = Field(1.0, description="Conditional on the parent.")
    tasks: list[PeriodTask] = []
    offers: list[PeriodOffer] = []
    self_execution: list[SelfExecution] = []


class Round(Record):
    """One round of allocation: who may do which task, at what terms, within which limits."""

    format: Literal["bondwork.round/1"]
    tasks: list[Task]
    name: Text = ""
    currency: Text = ""
    decimals: Whole = Field(18, ge=0, le=77, description="Ledgers count in 10^-decimals of the currency.")
    now: Number = Field(0.0, description="Clock time of the round in seconds.")
    operators: list[Operator] = []
    coprocessors: list[Coprocessor] = []
    offers: list[Offer] = []
    self_execution: list[SelfExecution] = []
    commitments: list[Commitment] = []
    terms: Terms = Terms()
    risk: list[Risk] = []
    constraints: list[Constraint] = []
    objective: Objective = Objective()
    uncertainty: Uncertainty = Uncertainty()
    periods: list[Period] = []


def field_names() -> frozenset[str]:
    """Every field name of the format, for hints about misspelt ones."""
    names: set[str] = set()
    pending: list[type[Record]] = [Record]
    while pending:
        record = pending.pop()
        names.update(record.model_fields)
        pending.extend(record.__subclasses__())
    return frozenset(names)
