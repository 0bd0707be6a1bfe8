"""What happens to a planner, as events: written down once, never changed, and folded into its state.

Amounts are decimal texts, exact to the last digit that somebody gave; they become whole numbers of the
smallest unit where the ledger takes them in.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

#: How a piece of work ended; ``released``: it was never begun (another was faster), so nothing is owed.
Ending: TypeAlias = Literal["succeeded", "failed", "released"]

#: What is deposited or withdrawn: an operator's stake, or a coprocessor's free collateral.
Fund: TypeAlias = Literal["stake", "collateral"]


@dataclass(frozen=True, slots=True)
class Commitment:
    """A piece of work that was given away and is not settled yet.

    Attributes
    ----------
    id
        ``round/offer``.
    round, task, operator, executor, offer
        Where it was decided, and who does what for whom.
    kind
        ``delegated``, or ``self``: the operator does it.
    collateral, price, reward, slashing
        What is locked, paid, earned and slashed. The last two once for a task, however many do it.
    at
        Clock time of the decision.
    duration, deadline
        Seconds it takes and clock time it is due, as the round said.
    executors, quorum
        How many do the task, and how many of them must succeed.
    bid_paid, split
        Payment terms: when the price is due, and who gets forfeited collateral (burned, operator, rescuer,
        treasury).
    """

    id: str
    round: str
    task: str
    operator: str
    executor: str
    offer: str
    kind: Literal["delegated", "self"]
    collateral: str
    price: str
    reward: str
    slashing: str
    success_probability: float
    at: float
    duration: float = 0.0
    deadline: float | None = None
    work: dict[str, float] = field(default_factory=dict)
    executors: int = 1
    quorum: int = 1
    bid_paid: str = "always"
    split: tuple[float, float, float, float] = (1.0, 0.0, 0.0, 0.0)

    @property
    def group(self) -> str:
        """Name of the commitments that do the same task together."""
        return json.dumps([self.round, self.task])


@dataclass(frozen=True, slots=True)
class Planned:
    """A round was decided.

    Attributes
    ----------
    round, at
        Its id and clock time.
    operators, coprocessors
        Stake and free collateral of members not seen before; ``None``: not limited.
    adopted
        Commitments that the round brought along, made by somebody else.
    commitments
        Those that the plan makes.
    free_at
        When each serial coprocessor will have done what it was given.
    """

    round: str
    at: float
    operators: dict[str, str | None] = field(default_factory=dict)
    coprocessors: dict[str, str | None] = field(default_factory=dict)
    adopted: tuple[Commitment, ...] = ()
    commitments: tuple[Commitment, ...] = ()
    free_at: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Observed:
    """A commitment ended. ``given`` is the observation as it came, to know it again.

    ``held_until``: its collateral stays locked until the first round from then on.
    """

    commitment: str
    outcome: Ending
    given: str
    rescuer: str | None = None
    reward: str | None = None
    held_until: float | None = None


@dataclass(frozen=True, slots=True)
class Moved:
    """Stake or collateral came from outside, or went there (``amount`` below zero)."""

    fund: Fund
    member: str
    amount: str


@dataclass(frozen=True, slots=True)
class Configured:
    """What the planner is to do was said: its unit, its breaker, its reputation model.

    ``breaker`` and ``reputation`` are ``None`` where there is none.
    """

    decimals: int
    currency: str
    breaker: dict[str, Any] | None = None
    reputation: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Reset:
    """The breaker was closed again by hand."""


Event: TypeAlias = Planned | Observed | Moved | Configured | Reset

_KINDS: dict[str, type[Event]] = {
    "planned": Planned,
    "observed": Observed,
    "moved": Moved,
    "configured": Configured,
    "reset": Reset,
}
_NAMES = {kind: name for name, kind in _KINDS.items()}


def kind_of(event: Event) -> str:
    """Name of an event's kind."""
    return _NAMES[type(event)]


def event_to_json(event: Event) -> str:
    """Write an event down; the same event gives the same text.

    Examples
    --------
    >>> event_to_json(Moved("stake", "op-1", "2.5"))
    '{"amount":"2.5","event":"moved","fund":"stake","member":"op-1"}'
    """
    body = dataclasses.asdict(event) | {"event": kind_of(event)}
    return json.dumps(body, sort_keys=True, separators=(",", ":"), allow_nan=False)


def event_from_json(text: str) -> Event:
    """Read an event that `event_to_json` wrote."""
    body: dict[str, Any] = json.loads(text)
    kind = _KINDS[body.pop("event")]
    if kind is Planned:
        for name in ("adopted", "commitments"):
            body[name] = tuple(commitment_from(each) for each in body[name])
    return kind(**body)


def commitment_from(body: dict[str, Any]) -> Commitment:
    """Make a commitment from its fields, as JSON holds them."""
    return Commitment(**body | {"split": tuple(body["split"])})
