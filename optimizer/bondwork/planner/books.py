"""A planner's state: the fold of its events, and nothing else.

The same events give the same books, byte for byte, whoever folds them and whenever: no clock, no file, no
random number comes in here.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from bondwork.market.settlement import (
    CoprocessorAccount,
    Ledger,
    Lock,
    OperatorAccount,
    Settled,
)
from bondwork.planner.breaker import Watch
from bondwork.planner.events import (
    Commitment,
    Configured,
    Ending,
    Event,
    Moved,
    Observed,
    Planned,
    Reset,
    commitment_from,
)
from bondwork.planner.reputations import (
    history_of,
    is_same_model,
    reputation_from,
    reputation_to_dict,
)
from bondwork.problem.instance import Terms
from bondwork.reputation.ledger import ReputationLedger


@dataclass(slots=True)
class Group:
    """The commitments that do one task: how many there are, and how they ended so far."""

    executors: int
    quorum: int
    open: int
    succeeded: int = 0
    failed: int = 0

    @property
    def is_done(self) -> bool:
        """Whether enough of them succeeded."""
        return self.succeeded >= self.quorum

    @property
    def is_decided(self) -> bool:
        """Whether the task is earned or slashed already; never while nobody has tried."""
        tried = self.succeeded + self.failed > 0
        return tried and (self.is_done or self.executors - self.failed < self.quorum)

    def end(self, outcome: Ending) -> bool:
        """Let one of them end; say whether that decides the task.

        One that was never begun does not count, and the quorum is at most what is left.
        """
        was_decided = self.is_decided
        self.open -= 1
        if outcome == "released":
            self.executors -= 1
            if not was_decided:
                self.quorum = max(1, min(self.quorum, self.executors))
        elif outcome == "succeeded":
            self.succeeded += 1
        else:
            self.failed += 1
        return self.is_decided and not was_decided


@dataclass(slots=True)
class Totals:
    """What was moved so far, in smallest units; ``forfeited`` is collateral."""

    reward: int = 0
    price: int = 0
    slashed: int = 0
    forfeited: int = 0
    shortfall: int = 0
    succeeded: int = 0
    failed: int = 0
    released: int = 0
    rounds: int = 0


@dataclass(slots=True)
class Books:
    """Everything that a planner knows.

    Attributes
    ----------
    ledger
        Accounts and locks.
    open
        Commitments that are not settled, by id, in the order they were made.
    groups
        By `Commitment.group`.
    held
        Ended commitments whose collateral stays locked, and until when on the clock.
    unlimited
        Members that rounds do not limit: their accounts are filled from outside as needed.
    free_at
        When each serial coprocessor will be free, by what it was given.
    watch
        The breaker; ``None`` where there is none.
    reputation
        ``None`` where there is none.
    pending
        Successes and trials by coprocessor since the last round: what the reputation takes in next.
    last_round
        The round planned last.
    """

    ledger: Ledger = field(default_factory=Ledger)
    currency: str = ""
    is_configured: bool = False
    open: dict[str, Commitment] = field(default_factory=dict)
    groups: dict[str, Group] = field(default_factory=dict)
    held: dict[str, float] = field(default_factory=dict)
    unlimited: set[str] = field(default_factory=set)
    free_at: dict[str, float] = field(default_factory=dict)
    watch: Watch | None = None
    reputation: ReputationLedger | None = None
    pending: dict[str, tuple[int, int]] = field(default_factory=dict)
    last_round: str | None = None
    now: float | None = None
    totals: Totals = field(default_factory=Totals)

    def apply(self, event: Event) -> None:
        """Take an event in.

        Raises
        ------
        Insolvent
            It locks more than there is; the books are then of no use any more.
        """
        match event:
            case Planned():
                self._plan(event)
            case Observed():
                self._observe(event)
            case Moved():
                self._move(event)
            case Configured():
                self._configure(event)
            case Reset():
                if self.watch is not None:
                    self.watch.reset()

    def seen_reputation(self) -> ReputationLedger | None:
        """Give the reputations with what is pending taken in; the books' own stay as they are."""
        if self.reputation is None or not self.pending:
            return self.reputation
        kept = self.reputation
        seen = ReputationLedger(kept.reputation, kept.executors, kept.state.copy(), kept.rounds)
        seen.update(history_of(self.pending))
        return seen

    def free_by(self, coprocessor: str, now: float) -> int:
        """Collateral that is free for a round at a clock time, in smallest units."""
        due = sum(
            self.ledger.locks[name].amount
            for name, until in self.held.items()
            if until <= now and self.ledger.locks[name].coprocessor == coprocessor
        )
        return self.ledger.coprocessors[coprocessor].free + due

    # --- one event each -----------------------------------------------------------------------------------

    def _configure(self, event: Configured) -> None:
        self.ledger.decimals = event.decimals
        self.currency = event.currency
        self.is_configured = True
        if event.breaker is None:
            self.watch = None
        else:
            loss = event.breaker["loss"]
            watch = self.watch or Watch()
            watch.loss = None if loss is None else self.ledger.units(loss)
            watch.failures, watch.over = event.breaker["failures"], event.breaker["over"]
            self.watch = watch
        told = event.reputation
        if told is None:
            self.reputation = None
        elif self.reputation is None or not is_same_model(self.reputation, told):
            self.reputation = reputation_from(told)

    def _plan(self, event: Planned) -> None:
        if self.pending and self.reputation is not None:
            self.reputation.update(history_of(self.pending))
        self.pending.clear()
        for name in [name for name, until in self.held.items() if until <= event.at]:
            self.ledger.release(name)
            del self.held[name]
        for name, amount in event.operators.items():
            self._meet(name, amount)
            self.ledger.operators.setdefault(name, OperatorAccount())
            if amount is not None:
                self.ledger.deposit_stake(name, amount)
        for name, amount in event.coprocessors.items():
            self._meet(name, amount)
            self.ledger.coprocessors.setdefault(name, CoprocessorAccount())
            if amount is not None:
                self.ledger.deposit_collateral(name, amount)
        for each in event.adopted:
            if each.kind == "delegated":  # its collateral is off the free collateral already
                self.ledger.deposit_collateral(each.executor, each.collateral)
            self._commit(each)
        for each in event.commitments:
            if each.executor in self.unlimited and each.kind == "delegated":
                self.ledger.deposit_collateral(each.executor, each.collateral)
            self._commit(each)
        self.free_at |= event.free_at
        self.last_round, self.now = event.round, event.at
        self.totals.rounds += 1

    def _meet(self, name: str, amount: str | None) -> None:
        if amount is None:
            self.unlimited.add(name)
        else:
            self.unlimited.discard(name)

    def _commit(self, each: Commitment) -> None:
        if each.kind == "delegated":
            self.ledger.lock(each.id, each.executor, each.collateral)
        self.open[each.id] = each
        group = self.groups.setdefault(each.group, Group(each.executors, each.quorum, 0))
        group.open += 1

    def _observe(self, event: Observed) -> None:
        work = self.open.pop(event.commitment)
        group = self.groups[work.group]
        tips = group.end(event.outcome)
        if group.open == 0:
            del self.groups[work.group]
        earned = work.reward if event.reward is None else event.reward
        reward = earned if tips and group.is_done else "0"
        slashing = work.slashing if tips and not group.is_done else "0"
        if work.operator in self.unlimited:
            for amount in (work.price, slashing):
                self.ledger.deposit_stake(work.operator, amount)
        self._settle(work, event, reward, slashing)
        if event.held_until is not None and work.kind == "delegated" and work.executor not in self.unlimited:
            self.ledger.lock(work.id, work.executor, work.collateral)
            self.held[work.id] = event.held_until
        self._empty_unlimited(work)
        if work.kind == "delegated" and event.outcome != "released":
            good, trials = self.pending.get(work.executor, (0, 0))
            self.pending[work.executor] = (good + (event.outcome == "succeeded"), trials + 1)
        if self.watch is not None and (event.outcome != "released" or slashing != "0"):
            show = f" of 10^-{self.ledger.decimals} {self.currency}".rstrip()
            slashed = self.ledger.units(slashing)
            self.watch.note(failed=event.outcome != "succeeded", slashed=slashed, show=show)

    def _settle(self, work: Commitment, event: Observed, reward: str, slashing: str) -> None:
        """Book one ending: what it earns, what is paid and slashed, what becomes of its lock."""
        ledger, totals, outcome = self.ledger, self.totals, event.outcome
        ledger.terms = Terms(work.bid_paid, *work.split)  # type: ignore[arg-type]  # checked with the round
        is_due = work.bid_paid == "always" or work.kind == "self" or outcome == "succeeded"
        price = work.price if is_due and outcome != "released" else "0"
        if outcome == "released":
            ledger.release(work.id)
        if outcome == "failed" or slashing != "0":
            locked = ledger.locks[work.id].amount if work.id in ledger.locks else 0
            settled: Settled = ledger.fail(
                work.id, work.operator, slashing=slashing, price=price, rescuer=event.rescuer
            )
            totals.forfeited += locked
        else:
            settled = ledger.succeed(work.id, work.operator, reward=reward, price=price)
        for name in ("reward", "price", "slashed", "shortfall"):
            setattr(totals, name, getattr(totals, name) + getattr(settled, name))
        setattr(totals, outcome, getattr(totals, outcome) + 1)

    def _empty_unlimited(self, work: Commitment) -> None:
        """Send back outside what accounts without a limit were filled with and do not need any more."""
        ledger = self.ledger
        if work.operator in self.unlimited:
            left = ledger.operators[work.operator].stake
            ledger.withdraw_stake(work.operator, ledger.amount(left))
        if work.kind == "delegated" and work.executor in self.unlimited:
            free = ledger.coprocessors[work.executor].free
            ledger.withdraw_collateral(work.executor, ledger.amount(free))

    def _move(self, event: Moved) -> None:
        amount, ledger = Decimal(event.amount), self.ledger
        self.unlimited.discard(event.member)
        match event.fund, amount >= 0:
            case "stake", True:
                ledger.deposit_stake(event.member, amount)
            case "stake", False:
                ledger.operators.setdefault(event.member, OperatorAccount())
                ledger.withdraw_stake(event.member, amount.copy_negate())
            case "collateral", True:
                ledger.deposit_collateral(event.member, amount)
            case "collateral", False:
                ledger.coprocessors.setdefault(event.member, CoprocessorAccount())
                ledger.withdraw_collateral(event.member, amount.copy_negate())

    # --- snapshots ----------------------------------------------------------------------------------------

    def to_dict(self) -> dict[str, Any]:
        """Everything, as JSON takes it."""
        ledger = self.ledger
        return {
            "currency": self.currency,
            "is_configured": self.is_configured,
            "decimals": ledger.decimals,
            "operators": {k: dataclasses.asdict(v) for k, v in ledger.operators.items()},
            "coprocessors": {k: dataclasses.asdict(v) for k, v in ledger.coprocessors.items()},
            "locks": {k: [v.coprocessor, v.amount] for k, v in ledger.locks.items()},
            "burned": ledger.burned,
            "treasury": ledger.treasury,
            "outside": ledger.outside,
            "open": [dataclasses.asdict(each) | {"split": list(each.split)} for each in self.open.values()],
            "groups": {k: dataclasses.asdict(v) for k, v in self.groups.items()},
            "held": self.held,
            "unlimited": sorted(self.unlimited),
            "free_at": self.free_at,
            "watch": None if self.watch is None else _watch_to_dict(self.watch),
            "reputation": None if self.reputation is None else reputation_to_dict(self.reputation),
            "pending": {k: list(v) for k, v in self.pending.items()},
            "last_round": self.last_round,
            "now": self.now,
            "totals": dataclasses.asdict(self.totals),
        }

    @classmethod
    def from_dict(cls, body: dict[str, Any]) -> Books:
        """Make books again from `to_dict`."""
        ledger = Ledger(
            decimals=body["decimals"],
            operators={k: OperatorAccount(**v) for k, v in body["operators"].items()},
            coprocessors={k: CoprocessorAccount(**v) for k, v in body["coprocessors"].items()},
            locks={k: Lock(*v) for k, v in body["locks"].items()},
            burned=body["burned"],
            treasury=body["treasury"],
            outside=body["outside"],
        )
        watch, told = body["watch"], body["reputation"]
        return cls(
            ledger=ledger,
            currency=body["currency"],
            is_configured=body["is_configured"],
            open={each["id"]: commitment_from(each) for each in body["open"]},
            groups={k: Group(**v) for k, v in body["groups"].items()},
            held=body["held"],
            unlimited=set(body["unlimited"]),
            free_at=body["free_at"],
            watch=None if watch is None else _watch_from_dict(watch),
            reputation=None if told is None else reputation_from(told),
            pending={k: (good, trials) for k, (good, trials) in body["pending"].items()},
            last_round=body["last_round"],
            now=body["now"],
            totals=Totals(**body["totals"]),
        )


def _watch_to_dict(watch: Watch) -> dict[str, Any]:
    return dataclasses.asdict(watch) | {"recent": [list(each) for each in watch.recent]}


def _watch_from_dict(body: dict[str, Any]) -> Watch:
    return Watch(**body | {"recent": [(failed, slashed) for failed, slashed in body["recent"]]})
