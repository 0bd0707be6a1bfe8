"""What a simulation is made of: every number that a network, its tasks and its policy need.

Plain dataclasses, each field with its meaning; `bondwork.simulation.schema` reads them from JSON. Amounts
are in currency, accounted for in millionths of it. A ``..._spread`` is the standard deviation of a lognormal
factor whose mean is 1, or of a normal term added to a logit; 0 makes everybody alike.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Le, Lt, MinLen

#: Smallest units in one unit of currency.
UNITS = 1_000_000

#: Largest amount: products of units and shares in millionths stay below 2**63.
LARGEST_AMOUNT = 1_000_000.0

#: Most tasks in one period: 1,000 columns a task still fit an index.
MOST_TASKS = 1_000_000

Share = Annotated[float, Ge(0.0), Le(1.0)]
BelowOne = Annotated[float, Ge(0.0), Lt(1.0)]
Quality = Annotated[float, Gt(0.0), Lt(1.0)]
Amount = Annotated[float, Ge(0.0), Le(LARGEST_AMOUNT)]
Spread = Annotated[float, Ge(0.0), Le(3.0)]
Quantity = Annotated[float, Ge(0.0), Le(1e9)]
Number = Annotated[float, Ge(-1e9), Le(1e9)]
Count = Annotated[int, Ge(1), Le(100_000)]
Letter = Literal["A", "B", "C", "D", "E", "F", "G", "H", "I"]

_KNOWN_FIELDS = {"extra": "forbid"}
_CHECKED = {"extra": "forbid", "strict": True, "allow_inf_nan": False}


@dataclass(frozen=True, slots=True)
class Operators:
    """Operators earn rewards, may execute tasks themselves, and lose stake.

    Attributes
    ----------
    number, slots
        How many there are at first, and how many there can be: newcomers take free slots. ``slots`` left
        out: as many as ``number``.
    stake, least_stake
        Stake at entry; whose stake falls below ``least_stake`` leaves and takes the rest along.
    restake
        Share of a period's gain that goes from balance to stake.
    capacity
        Work of its own per period; 0: never executes itself.
    cost
        Of executing one unit of work itself.
    quality
        Probability of a correct result in time of its own executions.
    entry, exit
        Expected newcomers a period (Poisson), and each operator's probability of leaving in a period.
    stake_limit
        Whether all slashing that a period's work could bring must be covered by stake at once (MODEL 2.4).
    """

    number: Count = 100
    slots: Count | None = None
    stake: Amount = 1000.0
    least_stake: Amount = 500.0
    restake: Share = 0.25
    capacity: Quantity = 4.0
    capacity_spread: Spread = 0.5
    cost: Amount = 4.0
    cost_spread: Spread = 0.2
    quality: Quality = 0.99
    quality_spread: Spread = 0.5
    entry: Quantity = 0.0
    exit: Share = 0.0
    stake_limit: bool = False

    __pydantic_config__ = _CHECKED


@dataclass(frozen=True, slots=True)
class Coprocessors:
    """Coprocessors do the work of others and post collateral.

    Attributes
    ----------
    number, slots, entry, exit
        As for operators.
    collateral
        At entry. What is forfeited is put back from the balance at each period's end, by the share ``top_up``
        of what is missing.
    capacity
        Work per period.
    cost
        Of one unit of work: what it bids, but for ``tasks.bid_spread``.
    quality, quality_spread, quality_persistence, quality_drift
        Probability of a correct result in time if no outage happens. Its logit differs by the spread, and
        wanders: next = mean + persistence * (logit - mean) + drift * standard normal.
    outage
        Probability that a coprocessor fails all it holds in a period.
    misbehaving, cheat, discount
        Share that misbehaves: it delivers a wrong result with probability ``cheat`` and bids ``discount``
        (a share) less.
    rational
        Whether it then cheats only where the work that it saves is worth more than the collateral that it
        would lose, times the chance of being caught.
    """

    number: Count = 100
    slots: Count | None = None
    collateral: Amount = 200.0
    top_up: Share = 1.0
    capacity: Quantity = 8.0
    capacity_spread: Spread = 0.4
    cost: Amount = 3.0
    cost_spread: Spread = 0.3
    quality: Quality = 0.985
    quality_spread: Spread = 0.7
    quality_persistence: Share = 0.99
    quality_drift: Spread = 0.05
    outage: Share = 0.002
    misbehaving: Share = 0.05
    cheat: Share = 0.1
    discount: BelowOne = 0.2
    rational: bool = False
    entry: Quantity = 0.0
    exit: Share = 0.0

    __pydantic_config__ = _CHECKED


@dataclass(frozen=True, slots=True)
class Tasks:
    """What is asked of the network.

    Attributes
    ----------
    per_period, arrivals
        How many tasks a period: exactly so many, or Poisson with that mean.
    work, work_spread
        Work of a task.
    reward, reward_spread
        Of one unit of work.
    offers
        Coprocessors that offer to do a task, drawn from all slots; those of empty slots do not.
    bid_spread
        How much bids differ from task to task.
    follow
        ``operators``: tasks belong to operators, and those of who has left are lost. ``network``: tasks go
        to whoever is there.
    reputation_exponent
        Clients choose operators with probabilities proportional to reputation to this power.
    replicas, quorum
        Executors of a task, and how many of them must succeed.
    second_chance
        Whether tasks that failed or were left are given away again in the same period, by the same policy,
        to whoever has room; who rescues a task gets its share of the forfeited collateral.
    """

    per_period: Annotated[float, Ge(0.0), Le(MOST_TASKS)] = 1010.0
    arrivals: Literal["fixed", "poisson"] = "fixed"
    work: Quantity = 1.0
    work_spread: Spread = 0.75
    reward: Amount = 10.0
    reward_spread: Spread = 0.2
    offers: Annotated[int, Ge(1), Le(1000)] = 10
    bid_spread: Spread = 0.1
    follow: Literal["operators", "network"] = "operators"
    reputation_exponent: Annotated[float, Ge(0.0), Le(1000.0)] = 10.0
    replicas: Annotated[int, Ge(1), Le(10)] = 1
    quorum: Annotated[int, Ge(1), Le(10)] = 1
    second_chance: bool = False

    __pydantic_config__ = _CHECKED


@dataclass(frozen=True, slots=True)
class Slashing:
    """What a failed task costs its operator: ``factor`` times its stake at that time, or the reward."""

    factor: Annotated[float, Ge(0.0), Le(1000.0)] = 0.03
    of: Literal["stake", "reward"] = "stake"

    __pydantic_config__ = _CHECKED


@dataclass(frozen=True, slots=True)
class Collateral:
    """What a coprocessor posts for a task, and where it goes on failure.

    Attributes
    ----------
    multiple
        Collateral as a multiple of the reward.
    burned, operator, rescuer, treasury
        Shares of forfeited collateral, which add up to 1, in whole millionths. Without a rescuer its share
        is burned.
    bid_paid
        Whether the price is paid always, or on success only.
    """

    multiple: Annotated[float, Ge(0.0), Le(1000.0)] = 1.0
    burned: Share = 0.5
    operator: Share = 0.5
    rescuer: Share = 0.0
    treasury: Share = 0.0
    bid_paid: Literal["always", "on_success"] = "always"

    __pydantic_config__ = _CHECKED


@dataclass(frozen=True, slots=True)
class Dependence:
    """Shares of variance of the factors that failures have in common (MODEL 3)."""

    common: Share = 0.05
    coprocessor: Share = 0.15

    __pydantic_config__ = _CHECKED


@dataclass(frozen=True, slots=True)
class Validators:
    """Independent validators who execute a share of the delivered results again.

    Attributes
    ----------
    share, catch
        Share of delegated results that is checked, and the probability that a check finds a wrong one.
    cost
        Of a check, as a share of the task's reward.
    harm
        What a wrong result that nobody caught costs its client, as a multiple of the reward.
    """

    share: Share = 0.1
    catch: Share = 0.9
    cost: Quantity = 0.3
    harm: Quantity = 1.0

    __pydantic_config__ = _CHECKED


@dataclass(frozen=True, slots=True)
class Reputation:
    """The model by which the network learns success probabilities; see `bondwork.reputation.models`.

    The same model, with states of its own, follows the operators.
    """

    model: Literal["gas", "forgetting", "ewma", "smoothed"] = "gas"
    parameters: dict[str, float] = field(
        default_factory=lambda: {"omega": 0.08, "beta": 0.98, "alpha": 0.1, "concentration": 100.0}
    )

    __pydantic_config__ = _CHECKED


@dataclass(frozen=True, slots=True)
class Adaptive:
    """How the load curve's parameters follow the score-driven state; see `market.adaptive_curve`."""

    omega: Number = 0.03
    beta: Annotated[float, Ge(0.0), Lt(1.0)] = 0.95
    alpha: Annotated[float, Ge(0.0), Le(1e9)] = 0.004
    variance: Annotated[float, Gt(0.0), Le(1e9)] = 0.04
    loadings: dict[Letter, float] = field(default_factory=lambda: {"A": 1.0, "C": 1.0})

    __pydantic_config__ = _CHECKED


@dataclass(frozen=True, slots=True)
class LoadCurve:
    """The load incentive f of the paper's section 5: ``scale`` is what f = 1 earns in a period.

    What f pays comes from outside; where f is negative the coprocessor pays, as far as its balance goes.
    """

    scale: Amount = 5.0
    parameters: dict[Letter, float] = field(default_factory=dict)
    adaptive: Adaptive | None = None

    __pydantic_config__ = _CHECKED


@dataclass(frozen=True, slots=True)
class Policy:
    """Who decides who does what.

    Attributes
    ----------
    name
        ``auction``: the paper's, on the fast road. Any installed strategy of rounds: each period becomes a
        round that `bondwork.solve` decides.
    clock
        Of the auction: the price falls, rises, or is ``posted`` at ``share`` of the reward.
    ticks, start, end
        How many prices the clock shows, from and to which share of the reward.
    share
        Of the reward, paid to the coprocessor where prices are posted.
    premium, margin, stay_away
        How coprocessors bid; see `bondwork.market.bidding.LoadAware`.
    settings, mip_rel_gap, threads, time_limit
        Of the strategy; see `bondwork.solve`. A time limit that is reached makes results depend on the
        machine.
    """

    name: Annotated[str, MinLen(1)] = "auction"
    clock: Literal["falling", "rising", "posted"] = "falling"
    ticks: Annotated[int, Ge(2), Le(100_000)] = 50
    start: Share = 1.0
    end: Share = 0.0
    share: Share = 0.5
    premium: Quantity = 0.25
    margin: Quantity = 0.5
    stay_away: Quantity = 0.95
    settings: dict[str, str] = field(default_factory=dict)
    mip_rel_gap: Quantity = 0.02
    threads: Annotated[int, Ge(0), Le(1024)] = 0
    time_limit: Annotated[float, Gt(0.0), Le(1e9)] | None = None

    __pydantic_config__ = _CHECKED


@dataclass(frozen=True, slots=True)
class Rules:
    """One network under one policy: all that a replication needs but its number."""

    periods: Annotated[int, Ge(1), Le(1_000_000)] = 1000
    seed: Annotated[int, Ge(0)] = 0
    operators: Operators = field(default_factory=Operators)
    coprocessors: Coprocessors = field(default_factory=Coprocessors)
    tasks: Tasks = field(default_factory=Tasks)
    slashing: Slashing = field(default_factory=Slashing)
    collateral: Collateral = field(default_factory=Collateral)
    dependence: Dependence = field(default_factory=Dependence)
    validators: Validators = field(default_factory=Validators)
    reputation: Reputation = field(default_factory=Reputation)
    load_curve: LoadCurve = field(default_factory=LoadCurve)
    policy: Policy = field(default_factory=Policy)

    __pydantic_config__ = _CHECKED

    @property
    def operator_slots(self) -> int:
        """V: how many operators there can be."""
        return self.operators.slots or self.operators.number

    @property
    def coprocessor_slots(self) -> int:
        """C: how many coprocessors there can be."""
        return self.coprocessors.slots or self.coprocessors.number


@dataclass(frozen=True, slots=True)
class Variant:
    """The network with some numbers changed: ``changes`` maps dotted names to values."""

    name: Annotated[str, MinLen(1)]
    changes: dict[str, object] = field(default_factory=dict)

    __pydantic_config__ = _KNOWN_FIELDS
