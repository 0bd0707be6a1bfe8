"""One round as arrays: what everything past the boundary works on.

Ids became indices once, by name; no array is aligned with another by accident of its place in the file.
All arrays are read-only. Absent limits are ``inf``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np

from bondwork.arrays import freeze_fields
from bondwork.market.load_curve import LoadIncentive

if TYPE_CHECKING:
    from bondwork.arrays import BoolArray, FloatArray, IntArray
    from bondwork.uncertainty.laws import Law

#: Index that stands for "nobody" where an index is expected.
NOBODY = -1


@dataclass(frozen=True, slots=True, eq=False)
class Operators:
    """The operators V: they earn rewards and are slashed.

    Attributes
    ----------
    ids
        V ids, in the order of the input.
    stake
        Shape (V,). Currency that can be slashed.
    capacity
        Shape (V, R). Free resources for self-execution, in the unit of each resource.
    """

    ids: tuple[str, ...]
    stake: FloatArray
    capacity: FloatArray

    def __post_init__(self) -> None:
        freeze_fields(self, "stake", "capacity")

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True, slots=True)
class LoadCurve:
    """The nine-parameter load incentive f(x) of a coprocessor (paper, section 5; MODEL 2.7).

    ``x`` is expected work over capacity of ``resource`` (an index), commitments included. ``scale`` is in
    currency; ``weight`` is how much of f the objective adds. ``parameters`` are A to I.
    """

    resource: int
    scale: float
    weight: float
    parameters: tuple[float, float, float, float, float, float, float, float, float]

    @property
    def incentive(self) -> LoadIncentive:
        """The curve itself."""
        return LoadIncentive(*self.parameters)

    @property
    def amount(self) -> float:
        """What f = 1 adds to the objective, in currency."""
        return self.weight * self.scale


@dataclass(frozen=True, slots=True, eq=False)
class Coprocessors:
    """The coprocessors C: they do the work and post collateral.

    Attributes
    ----------
    ids
        C ids, in the order of the input.
    capacity
        Shape (C, R).
    free_collateral
        Shape (C,). Collateral units left after the commitments.
    outage_probability
        Shape (C,). In [0, 1].
    serial
        Shape (C,), bool. Works on one task at a time.
    free_at
        Shape (C,). Clock time from which a serial coprocessor is free, in seconds.
    load_curve
        C entries, ``None`` where there is no load incentive.
    """

    ids: tuple[str, ...]
    capacity: FloatArray
    free_collateral: FloatArray
    outage_probability: FloatArray
    serial: BoolArray
    free_at: FloatArray
    load_curve: tuple[LoadCurve | None, ...]

    def __post_init__(self) -> None:
        freeze_fields(self, "capacity", "free_collateral", "outage_probability", "serial", "free_at")

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True, slots=True, eq=False)
class Tasks:
    """The tasks A of the round.

    Attributes
    ----------
    ids
        A ids, in the order of the input.
    minimum_collateral
        Shape (A,). Collateral units; an offer below it can never be chosen.
    deadline
        Shape (A,). Clock time in seconds.
    required
        Shape (A,), bool.
    unassigned_cost
        Shape (A,). Currency lost when the task is left.
    replicas, quorum
        Shape (A,), int. Most executors, and how many of them must succeed.
    """

    ids: tuple[str, ...]
    minimum_collateral: FloatArray
    deadline: FloatArray
    required: BoolArray
    unassigned_cost: FloatArray
    replicas: IntArray
    quorum: IntArray

    def __post_init__(self) -> None:
        freeze_fields(
            self, "minimum_collateral", "deadline", "required", "unassigned_cost", "replicas", "quorum"
        )

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True, slots=True, eq=False)
class Claims:
    """Who may be rewarded and slashed for which task: the pairs (v, a), L of them.

    Attributes
    ----------
    task, operator
        Shape (L,). Indices.
    reward, slashing
        Shape (L,). Currency: r[v,a] and s[v,a].
    """

    task: IntArray
    operator: IntArray
    reward: FloatArray
    slashing: FloatArray

    def __post_init__(self) -> None:
        freeze_fields(self, "task", "operator", "reward", "slashing")

    def __len__(self) -> int:
        return len(self.task)


@dataclass(frozen=True, slots=True, eq=False)
class Offers:
    """The triples (v, c, a) that are possible at all, O of them, self-executions included.

    An offer of the input without an operator stands here once for every operator that claims its task.

    Attributes
    ----------
    ids
        O ids of the input; triples that come from one input offer share its id.
    task, operator, claim
        Shape (O,). Indices; ``claim`` is the pair (operator, task) in `Claims`.
    coprocessor
        Shape (O,). Index, or `NOBODY` where the operator executes the task itself.
    stage
        Shape (O,), int. 1, or 2 for an offer that may only rescue.
    bid
        Shape (O,). Currency: the bid, or the cost of self-execution.
    collateral
        Shape (O,). Collateral units; 0 for self-execution.
    success_probability
        Shape (O,). Marginal probability of a correct result in time; the mean where it is a distribution.
    concentration
        Shape (O,). ``nu`` of Beta(m*nu, (1-m)*nu); ``inf`` where the probability is a number.
    duration
        Shape (O,). Seconds.
    work
        Shape (O, R). In the unit of each resource.
    """

    ids: tuple[str, ...]
    task: IntArray
    operator: IntArray
    claim: IntArray
    coprocessor: IntArray
    stage: IntArray
    bid: FloatArray
    collateral: FloatArray
    success_probability: FloatArray
    concentration: FloatArray
    duration: FloatArray
    work: FloatArray

    def __post_init__(self) -> None:
        freeze_fields(self, *(name for name in self.__slots__ if name != "ids"))

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def is_self(self) -> BoolArray:
        """Shape (O,). Whether the operator executes the task itself."""
        own: BoolArray = self.coprocessor == NOBODY
        return own


@dataclass(frozen=True, slots=True, eq=False)
class Commitments:
    """What earlier rounds decided and still holds (MODEL 2.8), K of them.

    Attributes
    ----------
    ids
        K ids.
    task, operator, claim
        Shape (K,). Indices.
    coprocessor
        Shape (K,). Index, or `NOBODY` where the operator executes the task itself.
    collateral
        Shape (K,). Collateral units, already taken off ``free_collateral``.
    work
        Shape (K, R). Still taken off capacity.
    success_probability
        Shape (K,).
    release_at
        Shape (K,). Clock time in seconds.
    """

    ids: tuple[str, ...]
    task: IntArray
    operator: IntArray
    claim: IntArray
    coprocessor: IntArray
    collateral: FloatArray
    work: FloatArray
    success_probability: FloatArray
    release_at: FloatArray

    def __post_init__(self) -> None:
        freeze_fields(self, *(name for name in self.__slots__ if name != "ids"))

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True, slots=True)
class Terms:
    """Payment terms (MODEL 2.5)."""

    bid_paid: Literal["always", "on_success"] = "always"
    burned: float = 1.0
    operator: float = 0.0
    rescuer: float = 0.0
    treasury: float = 0.0
    collateral_rate: float = 1.0


#: What a risk limit is about: everybody, each operator, each coprocessor, or one of them by index.
Scope = Literal["network", "operator", "coprocessor"]


@dataclass(frozen=True, slots=True)
class RiskLimit:
    """One entry of ``risk`` (MODEL 5). ``member`` is an index, or ``None`` for each one of the scope."""

    measure: Literal["expected", "cvar", "chance", "worst_case", "solvency", "ambiguous"]
    scope: Scope
    member: int | None = None
    budget: float = np.inf
    level: float = np.nan
    probability: float = np.nan
    radius: float = np.nan
    calibrate: bool = False


@dataclass(frozen=True, slots=True)
class ConstraintTerm:
    """What a constraint counts: of each chosen offer that fits, ``weight`` times an amount.

    Attributes
    ----------
    task, operator, executor, offer
        Ids of which an offer's must be one; ``None`` where any will do.
    amount
        ``count`` (1), a field of the offer, its claim's ``reward`` or ``slashing``, or ``work``.
    resource
        Of the work, else empty.
    """

    task: tuple[str, ...] | None
    operator: tuple[str, ...] | None
    executor: tuple[str, ...] | None
    offer: tuple[str, ...] | None
    amount: Literal["count", "bid", "collateral", "duration", "reward", "slashing", "work"]
    resource: str
    weight: float


@dataclass(frozen=True, slots=True)
class Constraint:
    """A linear condition of one's own on what is chosen.

    ``beside`` says that it is no part of the round: it was asked for in a solve, and stands in the plan.
    """

    name: str
    terms: tuple[ConstraintTerm, ...]
    sense: Literal["<=", ">=", "=="]
    bound: float
    beside: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class RoomWorth:
    """What the room is worth that decisions leave at the end of the horizon, in currency.

    Attributes
    ----------
    collateral, second
        Shape (C,). Of one unit of collateral, and of one second of a serial coprocessor.
    capacity
        Shape (C, R). Of one unit of each resource.
    stake
        Shape (V,). Of one unit of stake.
    own_capacity
        Shape (V, R). Of one unit of each resource, for self-execution.
    """

    collateral: FloatArray
    second: FloatArray
    capacity: FloatArray
    stake: FloatArray
    own_capacity: FloatArray

    def __post_init__(self) -> None:
        freeze_fields(self, *self.__slots__)


@dataclass(frozen=True, slots=True)
class Objective:
    """Mean-risk objective (1 - weight) * E[net reward] - weight * CVaR_level[loss] (MODEL 5)."""

    risk_weight: float = 0.0
    risk_level: float = 0.95


@dataclass(frozen=True, slots=True, eq=False)
class PastRates:
    """What a history says about the executors of a round; see `bondwork.uncertainty.bootstrap`.

    Attributes
    ----------
    rates
        Shape (T, coprocessors + operators). Failure rate of each in each of T past rounds.
    worked
        The same shape, bool. Where it had anything to do: its rate is else the mean of these.
    sha256
        Digest of the history.
    """

    rates: FloatArray
    worked: BoolArray
    sha256: str

    def __post_init__(self) -> None:
        freeze_fields(self, "rates", "worked")


@dataclass(frozen=True, slots=True)
class Uncertainty:
    """How outcomes depend on each other and how they are sampled (MODEL 3).

    ``history`` is no part of the round: scenarios are resampled from it where it is given.
    """

    common: float = 0.0
    coprocessor: float = 0.0
    sampling: str = "sobol"
    scenarios: int = 1024
    seed: int = 0
    history: PastRates | None = None


@dataclass(frozen=True, slots=True)
class AmountLaw:
    """An amount of a later period that is random: one draw for all its ``targets``.

    Attributes
    ----------
    kind
        What is random. Targets of ``reward`` and ``slashing`` are claims of the period, those of ``bid`` are
        offers: the triples that come from one offer of the input.
    targets
        Indices.
    law
        In currency; not negative, and no constant.
    """

    kind: Literal["reward", "slashing", "bid"]
    targets: tuple[int, ...]
    law: Law


@dataclass(frozen=True, slots=True, eq=False)
class Period:
    """A later node of the round's own tree (MODEL 4): its place, and what is decided there.

    Attributes
    ----------
    id
        Its name.
    parent, above
        Id and index of the period before it; ``None`` and `NOBODY` where that is the round itself. Parents
        stand before their children.
    at
        Clock time of the decision, in seconds.
    probability
        Given the parent.
    tasks, claims, offers
        As in `Instance`, with indices of their own among themselves and those of the round for operators,
        coprocessors and resources. Random amounts stand here with their means.
    laws
        The amounts that are random; they become known before the period's decision.
    """

    id: str
    parent: str | None
    above: int
    at: float
    probability: float
    tasks: Tasks
    claims: Claims
    offers: Offers
    laws: tuple[AmountLaw, ...] = ()


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Instance:
    """One round, checked, as immutable arrays (MODEL 1 and 2).

    Made by `bondwork.load` from JSON, or by `bondwork.from_arrays`. ``resources`` names the R columns of
    every ``work`` and ``capacity``; ``worth`` is ``None`` where nobody states one; ``sha256`` is the digest
    of the content, whatever its layout on disk.
    """

    name: str
    currency: str
    decimals: int
    now: float
    resources: tuple[str, ...]
    operators: Operators
    coprocessors: Coprocessors
    tasks: Tasks
    claims: Claims
    offers: Offers
    commitments: Commitments
    terms: Terms = field(default_factory=Terms)
    risk: tuple[RiskLimit, ...] = ()
    objective: Objective = field(default_factory=Objective)
    uncertainty: Uncertainty = field(default_factory=Uncertainty)
    periods: tuple[Period, ...] = ()
    constraints: tuple[Constraint, ...] = ()
    worth: RoomWorth | None = None
    sha256: str = ""
    read_seconds: float = field(default=0.0, compare=False)

    def __repr__(self) -> str:
        """Say how large the round is; its arrays would fill screens."""
        sizes = f"{len(self.tasks)} tasks, {len(self.offers)} offers, {len(self.coprocessors)} coprocessors"
        return f"Instance({self.name!r}, {sizes})"

    def executor_id(self, operator: int, coprocessor: int) -> str:
        """Id of the executor: the coprocessor, or the operator where it executes the task itself."""
        return self.operators.ids[operator] if coprocessor == NOBODY else self.coprocessors.ids[coprocessor]
