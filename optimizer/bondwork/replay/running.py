"""A log played again: what another policy would have decided, round by round, and what came of it."""

from __future__ import annotations

import heapq
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

import numpy as np

from bondwork.market.priorities import MODES
from bondwork.planner.planner import Planner
from bondwork.problem.faults import Fault, InvalidInput
from bondwork.registry import strategy_names
from bondwork.repairing import VerificationFailure
from bondwork.replay.accounting import Account, Carried, account_of
from bondwork.uncertainty.sampling import sample_round
from bondwork.uncertainty.seeds import child, seed_sequence

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bondwork.arrays import BoolArray
    from bondwork.contracts import Observer
    from bondwork.plan.plan import Assignment, Plan
    from bondwork.planner.events import Ending
    from bondwork.replay.log import Entry, Log

#: What becomes of work whose outcome the log does not know: drawn by the law that the round states, or let go
#: as if it had never been given away.
Unknown: TypeAlias = Literal["model", "skip"]

#: Reputation model of the policy `planner`.
REPUTATION = "forgetting"


@dataclass(frozen=True, slots=True)
class PolicyRun:
    """What a policy did with a log.

    Attributes
    ----------
    name
        Of the policy.
    accounts
        One for each round of the log.
    tasks
        How many different tasks it gave away; released ones not counted.
    utilisation
        Mean over serial or capacity-limited coprocessors of the share of their room that was used, from the
        first round to the end of the last work; ``None`` where none is limited or no time passes.
    unusable
        Rounds for which it had no plan.
    seconds
        Processor time of all its decisions.
    """

    name: str
    accounts: tuple[Account, ...]
    tasks: int
    utilisation: float | None
    unusable: int
    seconds: float


def policy_names() -> list[str]:
    """Names of all policies: ``planner``, the broker's modes, and every strategy that decides rounds."""
    brokers = [f"broker-{mode.replace('_', '-')}" for mode in MODES]
    return ["planner", *brokers, *(name for name in strategy_names("rounds") if name != "broker")]


def make_policy(name: str, options: Mapping[str, Any]) -> Planner:
    """Make the planner that carries a policy out, with an empty ledger.

    Parameters
    ----------
    name
        ``planner`` learns reputations and decides by ``auto``; ``broker-MODE`` sorts as a prover's broker
        does; a strategy's name decides by it and learns nothing.
    options
        For `bondwork.solve`, the same for all policies.

    Raises
    ------
    InvalidInput
        No such policy.
    """
    if name not in policy_names():
        raise InvalidInput([Fault("policy", f'"{name}"', f"one of {', '.join(policy_names())}")])
    if name == "planner":
        return Planner(reputation=REPUTATION, **options)
    if name.startswith("broker-"):
        mode = name.removeprefix("broker-").replace("-", "_")
        return Planner(strategy="broker", settings={"order": mode}, **options)
    return Planner(strategy=name, **options)


def run_policy(
    log: Log,
    name: str,
    *,
    unknown: Unknown = "model",
    seed: int = 0,
    observer: Observer | None = None,
    **options: Any,
) -> PolicyRun:
    """Play a log again with one policy.

    Parameters
    ----------
    log
        From `bondwork.replay.log.read_log`.
    name
        See `make_policy`.
    unknown
        See `Unknown`. Drawn outcomes belong to the round and the offer, not to the policy: two policies that
        make the same choice see the same.
    seed
        Of what is drawn.
    observer, options
        For the solves.
    """
    if unknown not in get_args(Unknown):
        raise InvalidInput([Fault("unknown", f'"{unknown}"', "model or skip")])
    begun = time.process_time()
    with make_policy(name, options) as planner:
        run = _Run(log, planner, unknown, seed, observer)
        for number, entry in enumerate(log.entries):
            run.step(number, entry)
        run.settle(np.inf)
    return PolicyRun(
        name,
        tuple(run.accounts),
        len(run.taken),
        run.utilisation(),
        run.unusable,
        time.process_time() - begun,
    )


@dataclass(slots=True)
class _Run:
    log: Log
    planner: Planner
    unknown: Unknown
    seed: int
    observer: Observer | None
    accounts: list[Account] = field(default_factory=list)
    taken: set[str] = field(default_factory=set)
    unusable: int = 0
    used: dict[str, float] = field(default_factory=dict)
    busy_until: dict[str, float] = field(default_factory=dict)
    _due: list[tuple[float, int, str, Ending]] = field(default_factory=list)
    _made: int = 0

    def step(self, number: int, entry: Entry) -> None:
        """Settle what is due, decide a round, and see what comes of it."""
        self.settle(entry.instance.now if self.log.has_clock else float(number))
        if self.observer is not None and self.observer.should_stop():
            raise KeyboardInterrupt
        plan: Plan | None = None
        with suppress(VerificationFailure):  # nothing is given away by a plan that does not verify
            plan = self.planner.plan(_without(entry.document, self.taken), entry.id, observer=self.observer)
        if plan is None or not plan.is_usable():
            self.unusable += 1
            self.accounts.append(Account())
            return
        carried = self._carry_out(number, entry, plan)
        self.accounts.append(account_of(entry.instance, carried))

    def settle(self, until: float) -> None:
        """Tell the planner what is known by then."""
        outcomes = []
        while self._due and self._due[0][0] <= until:
            _, _, commitment, ending = heapq.heappop(self._due)
            outcomes.append({"commitment": commitment, "outcome": ending})
        if outcomes:
            self.planner.observe(outcomes)

    def _carry_out(self, number: int, entry: Entry, plan: Plan) -> list[Carried]:
        mine = [each for each in self.planner.commitments if each.round == entry.id]
        commitments = {(each.offer, each.operator, each.executor): each.id for each in mine}
        drawn: dict[tuple[str, str, str], bool] | None = None
        duration = _durations(entry)
        carried = []
        for each in plan.assignments:
            key = (each.offer, each.operator, each.executor)
            told = entry.outcome(each.offer, each.operator)
            if told is not None:
                ending: Ending = told.outcome
            elif self.unknown == "skip":
                ending = "released"
            else:
                drawn = _drawn(entry, self.seed, number) if drawn is None else drawn
                ending = "succeeded" if drawn[key] else "failed"
            done = entry.instance.now
            if ending != "released":
                self.taken.add(each.task)
                done = self._use(entry, each, duration[key])
            at = done if told is None or told.at is None else told.at
            due = at if self.log.has_clock else float(number + 1)
            self._made += 1
            heapq.heappush(self._due, (due, self._made, commitments[key], ending))
            carried.append(Carried(each, ending, told is not None))
        return carried

    def _use(self, entry: Entry, each: Assignment, seconds: float) -> float:
        """Give the time at which an assignment is done, and note the room that it takes."""
        now = entry.instance.now
        if each.kind == "self":
            return now + seconds
        coprocessors = entry.instance.coprocessors
        place = coprocessors.ids.index(each.executor)
        until = self.busy_until.get(each.executor, now)
        share = 0.0
        if coprocessors.serial[place]:
            share, done = 1.0, max(until, now) + seconds
        else:
            done = now + seconds
            capacity = coprocessors.capacity[place]
            work = entry.instance.offers.work[entry.instance.offers.ids.index(each.offer)]
            limited = np.isfinite(capacity) & (capacity > 0.0)
            if limited.any():
                share = float((work[limited] / capacity[limited]).max())
        self.used[each.executor] = self.used.get(each.executor, 0.0) + share * seconds
        self.busy_until[each.executor] = max(until, done)
        return done

    def utilisation(self) -> float | None:
        """See `PolicyRun`."""
        first, last = self.log.entries[0].instance.now, self.log.entries[-1].instance.now
        limited = set()
        for entry in self.log.entries:
            coprocessors = entry.instance.coprocessors
            some = coprocessors.serial | np.isfinite(coprocessors.capacity).any(axis=1)
            limited |= {coprocessors.ids[place] for place in np.flatnonzero(some).tolist()}
        passed = max(last, *self.busy_until.values(), last) - first
        if last <= first or not limited:
            return None
        return sum(self.used.get(name, 0.0) for name in sorted(limited)) / (passed * len(limited))


def _without(document: dict[str, Any], taken: set[str]) -> dict[str, Any]:
    """A round without tasks that were given away in an earlier one: it is the same piece of work."""
    if not any(task["id"] in taken for task in document["tasks"]):
        return document
    kept = {name: document[name] for name in document}
    kept["tasks"] = [task for task in document["tasks"] if task["id"] not in taken]
    for name in ("offers", "self_execution"):
        kept[name] = [each for each in document.get(name, []) if each["task"] not in taken]
    return kept


def _executors(entry: Entry) -> list[tuple[str, str, str]]:
    """Offer, operator and executor of every triple of the round."""
    instance = entry.instance
    offers = instance.offers
    found = []
    for name, v, c, own in zip(
        offers.ids,
        offers.operator.tolist(),
        offers.coprocessor.tolist(),
        offers.is_self.tolist(),
        strict=True,
    ):
        operator = instance.operators.ids[v]
        found.append((name, operator, operator if own else instance.coprocessors.ids[c]))
    return found


def _durations(entry: Entry) -> dict[tuple[str, str, str], float]:
    return dict(zip(_executors(entry), entry.instance.offers.duration.tolist(), strict=True))


def _drawn(entry: Entry, seed: int, number: int) -> dict[tuple[str, str, str], bool]:
    """One draw of all outcomes of a round by its own law, dependence and outages included."""
    sample = sample_round(
        entry.instance, scenarios=1, seed=child(seed_sequence(seed), number), method="monte_carlo"
    )
    failed: BoolArray = sample.offers.dense()[0]
    return dict(zip(_executors(entry), (~failed).tolist(), strict=True))
