"""The plan: who does what, how good it is, and why. ``bondwork.plan/1``, in memory as on disk."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal, TypeAlias

from pydantic import ConfigDict, Field

from bondwork.contracts import Status, Voucher  # noqa: TC001 - pydantic reads it when it makes the class
from bondwork.problem.records import Record, Source, read_record
from bondwork.problem.schema import Constraint  # noqa: TC001 - likewise

if TYPE_CHECKING:
    import pandas as pd

FindingKind: TypeAlias = Literal["core", "commentary"]

#: Why nobody does a task.
Reason: TypeAlias = Literal[
    "no_eligible_offer",
    "not_worth_it",
    "worth_nothing",
    "no_room",
    "no_price",
    "kept_for_later",
    "unexplained",
]


#: The multipliers of a certificate as they are written one below the other.
_MULTIPLIERS = re.compile(r'^ {4}"multipliers": \[[^\]]*\]', re.MULTILINE)


def on_one_line(text: str) -> str:
    """Write the multipliers of a document's certificate one beside the other."""
    return _MULTIPLIERS.sub(_joined, text, count=1)


def _joined(found: re.Match[str]) -> str:
    return '    "multipliers": [' + re.sub(r"\s+", " ", found[0].split("[", 1)[1]).strip().lstrip()


class PlanRecord(Record):
    """A part of a plan or of a solution: fields that it does not know, of newer versions, are left aside."""

    model_config = ConfigDict(extra="ignore")


class Explanation(PlanRecord):
    """Why a task went where it went, at the plan's shadow prices. Amounts in currency."""

    worth: float = Field(description="Net reward less the price of what is used of every limit.")
    task_price: float = Field(description="Multiplier of the task's one-executor row.")
    runner_up: list[str] = Field(description="Next best offers for the task; empty where leaving it is.")
    operator: str | None = Field(description="Operator of the next best; null where leaving it is.")
    margin: float | None = Field(description="Worth less that of the next best; null where there is none.")


class Assignment(PlanRecord):
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
    explanation: Explanation | None = Field(None, description="Null without prices to explain it by.")


class NodeDecision(PlanRecord):
    """What is decided at a later node of the tree, once what leads there has been seen."""

    node: str = Field(description="Name of the node: what was seen on the way to it.")
    stage: int = Field(ge=1, description="The round itself is stage 0.")
    period: str | None = Field(None, description="The later period that the node belongs to, if any.")
    probability: float = Field(ge=0.0, le=1.0, description="Of reaching the node.")
    failed: list[str] = Field([], description="Tasks given away before whose executor was seen to fail.")
    failed_commitments: list[str] = Field([], description="Commitments that were seen to fail.")
    assignments: list[Assignment] = []


class Unassigned(PlanRecord):
    """A task that nobody does, and why."""

    task: str
    reason: Reason
    limits: list[str] = Field([], description="For no_room: the limits that leave no room.")


class ReplicaValue(PlanRecord):
    """What the best further executor would add to a task that may have several, limits left aside."""

    task: str
    executors: int = Field(ge=1, description="Executors that the task has.")
    offer: str = Field(description="Id of the offer that would add the most.")
    executor: str
    value_of_one_more: float = Field(description="Gain in expected net reward; negative where it costs.")


class OperatorShare(PlanRecord):
    """What the plan means for one operator: B[v], bids not deducted, and its expected slashing."""

    id: str
    expected_benefit: float
    expected_slashing: float


class Evaluation(PlanRecord):
    """What a first stage with its best second is worth: on its own scenarios, and on fresh ones."""

    in_sample: float = Field(description="On the outcomes of the solve: the objective.")
    out_of_sample: float | None = Field(
        description="On fresh scenarios, the second stage decided for each, or, where losses are limited, "
        "taken from the plan by a rule; null where interrupted."
    )
    standard_error: float | None = Field(description="Of out_of_sample.")
    scenarios: int = Field(ge=2, description="Fresh scenarios.")


class RiskValue(PlanRecord):
    """A risk limit and what the plan's loss measures under it, commitments included."""

    measure: Literal["expected", "cvar", "chance", "worst_case", "solvency", "ambiguous"]
    of: str = Field(description="network, or the id of an operator or coprocessor.")
    budget: float = Field(description="What the value may be; for chance and solvency the probability.")
    in_sample: float = Field(description="On the scenarios of the solve; expected losses exactly.")
    out_of_sample: float | None = Field(
        description="Exact where the losses can be listed, else on fresh scenarios; null for expected losses "
        "of one stage, and rescues whose every outcome is listed."
    )
    standard_error: float | None = Field(
        description="Of out_of_sample, and of expected losses that are an average over the rounds of a "
        "history; 0 where the value is exact."
    )
    holds: bool = Field(
        description="Whether the fresh value, or the expected loss, is within two standard errors of the "
        "limit."
    )
    calibrated: float | None = Field(None, description="In-sample budget, where calibration moved it.")


class Overcommitted(PlanRecord):
    """A limit that the commitments alone exceed: nothing that takes more of it was chosen."""

    limit: str
    budget: float = Field(description="The limit as the round states it; of chance limits the probability.")
    committed: float = Field(
        description="What the commitments alone take or measure, on the scenarios of the solve. Of "
        "collateral 0: what commitments hold is off free_collateral already."
    )


class Price(PlanRecord):
    """Shadow price of a limit: currency per unit of it; null where it has none."""

    limit: str
    price: float | None


class LoadShare(PlanRecord):
    """How loaded a coprocessor with a load curve is, commitments included, and what that earns it."""

    coprocessor: str
    resource: str
    load: float = Field(description="Expected work over capacity.")
    incentive: float = Field(description="scale * f(load), in currency; the objective adds weight times it.")


class IneligibleOffers(PlanRecord):
    """Triples of operator, coprocessor and task that could never be chosen, counted by reason."""

    minimum_collateral: int = Field(0, description="Collateral below the task's minimum.")
    deadline: int = Field(0, description="A serial coprocessor that is free only after the deadline.")


class Conflict(PlanRecord):
    """Why an infeasible round is infeasible: limits that cannot hold together."""

    limits: list[str]
    minimal: bool = Field(description="Whether any one of them, if left out, would let the others hold.")
    least: dict[str, float] = Field(
        {}, description="Least value of tail limits among them that the round's other limits allow."
    )


class Certificate(PlanRecord):
    """Multipliers by which anybody can recompute a bound, or that nothing is feasible, without a solver."""

    kind: Literal["bound", "infeasibility"]
    bound: float | None = Field(
        description="What the multipliers prove, in currency: no plan earns more; null for infeasibility."
    )
    vouched_by: Voucher | None = Field(
        None,
        description="Who says that the plan's bound holds where it is better than this one: branch and "
        "bound, exact knapsacks, a linear relaxation, or the strategy that the plan names in a way of its "
        "own; null where the multipliers prove all of it.",
    )
    multipliers: list[str | int | float] = Field(
        [],
        description="Entries one after the other: the word of a limit, positions in the round that say whose "
        "it is, its multiplier, and for limits on the tail pairs of a scenario and its weight. The word node "
        "and its number say which node of a tree the entries after it are about. In programs a multiplier "
        'that no double is stands as a fraction, such as "-1/3".',
    )


class Violation(PlanRecord):
    """Something about a plan that is not so."""

    what: str = Field(description="The limit or field.")
    found: str
    expected: str
    kind: FindingKind = Field(
        "core",
        description="core: about the decision, its limits and value. commentary: about what the plan says "
        "of it, such as reasons, prices, explanations and a conflict.",
    )

    def __str__(self) -> str:
        return f"{self.what}: found {self.found}, expected {self.expected}"


class Timing(PlanRecord):
    """Seconds of each step."""

    read: float = Field(0.0, ge=0.0)
    sample: float = Field(0.0, ge=0.0)
    build: float = Field(0.0, ge=0.0)
    solve: float = Field(0.0, ge=0.0)
    verify: float = Field(0.0, ge=0.0)


class Provenance(PlanRecord):
    """Where a plan comes from: enough to make it again."""

    bondwork: str
    highs: str
    input_sha256: str = Field(description="Digest of the round's content, whatever its layout.")
    tree_sha256: str | None = None
    history_sha256: str | None = Field(
        None, description="Digest of the history that outcomes were resampled from, where there was one."
    )
    seed: int = Field(ge=0)
    options: dict[str, bool | int | float | str | None] = {}
    notes: list[str] = Field([], description="Fallbacks and choices made on the way.")


class Plan(PlanRecord):
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
    objective_standard_error: float | None = Field(
        None,
        description="Of objective, where chances of teams in it are averages over the rounds of a history; "
        "null elsewhere.",
    )
    worth_taken: float | None = Field(
        None,
        description="Worth of the room that is taken to the end of the horizon, as expected: part of "
        "objective. Null where nobody states worth, or nothing is decided.",
    )
    assignments: list[Assignment] = []
    recourse: list[NodeDecision] = []
    constraints: list[Constraint] = Field(
        [], description="What was asked for beside the round: constraints, and offers fixed or forbidden."
    )
    unassigned: list[Unassigned] = []
    replica_values: list[ReplicaValue] = []
    operators: list[OperatorShare] = []
    loads: list[LoadShare] = []
    load_error: float = Field(
        0.0,
        ge=0.0,
        description="Part of the gap that load curves may cause: the bound follows them to this much.",
    )
    risk: list[RiskValue] = []
    overcommitted: list[Overcommitted] = Field(
        [], description="Limits that the commitments alone exceed: they never make a round infeasible."
    )
    prices: list[Price] = []
    prices_from: Literal["lp_relaxation", "lagrange_multipliers"] | None = None
    certificate: Certificate | None = Field(
        None, description="Proof of the bound, or that nothing is feasible; see docs/certificates.md."
    )
    ineligible_offers: IneligibleOffers = IneligibleOffers()
    conflict: Conflict | None = None
    stochastic: dict[str, float | str | None] | None = None
    evaluation: Evaluation | None = Field(None, description="Of rounds with a second stage.")
    timing: Timing = Timing()
    provenance: Provenance
    verified: bool = False
    violations: list[Violation] = []

    def to_json(self) -> str:
        """Write the plan as one JSON document; the same plan gives the same text."""
        text = self.model_dump_json(indent=2) + "\n"
        return on_one_line(text) if self.certificate else text

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


def load_plan(source: Source) -> Plan:
    """Read a plan from a path, from bytes or from a mapping.

    Raises
    ------
    InvalidInput
        With every fault of the input.
    """
    return read_record(Plan, source)
