"""The round once more, in plain Python: what `verify` believes instead of the formulations.

Shares no code with values, limits, formulations or strategies, on purpose. Reads the raw arrays of the
instance only; everything derived is derived here again (MODEL 1, 2 and 5).
"""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass, field
from decimal import ROUND_HALF_EVEN, Context, Decimal
from fractions import Fraction
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from bondwork.base.money import as_counted
from bondwork.base.tolerances import ROW
from bondwork.plan.recount_room import RoomRecount
from bondwork.plan.recount_teams import TeamRecount

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from bondwork.arrays import BoolArray, FloatArray
    from bondwork.plan.recount_constraints import ConstraintRecount
    from bondwork.plan.recount_teams import Team
    from bondwork.problem.instance import Instance

#: Sums that a plan states may differ from ours by this share of the size of their terms: far more than
#: adding in another order costs, far less than anything anybody would tamper with.
SUM_TOLERANCE = 1e-9


#: What tells a limit from all others: its word, what it is about, whose it is. Ids may hold any text, so that
#: two limits may print alike.
Key = tuple[str, str | float, str]


def label(key: Key) -> str:
    """Name of a limit as plans print it."""
    word, about, owner = key
    if word == "constraint":
        return f"constraint {about}"
    if isinstance(about, float):
        about = f"{about:.15g}"
    return f"{word} {about} of {owner}" if about else f"{word} of {owner}"


#: Share of its terms by which a sum of a few doubles may be wrong, and far more.
ROUGHLY = 1e-12

#: Digits for any amount of a round in units of any ledger.
_ANY_SIZE = Context(prec=400)


@lru_cache(maxsize=2**16)
def _whole_units(amount: float, decimals: int) -> int:
    """An amount in whole units of 10^-decimals, of its shortest decimal text, half to even."""
    number = Decimal(repr(float(amount))).scaleb(decimals, _ANY_SIZE)
    return int(number.to_integral_value(ROUND_HALF_EVEN, _ANY_SIZE))


def counted(amount: float, decimals: int) -> float:
    """An amount as the ledger counts it, where it is finer than its units."""
    return float(Fraction(_whole_units(amount, decimals), 10**decimals))


class _Sums(NamedTuple):
    """Sums of an account, of so many terms: excess (in units where it is money), and what rounding may do.

    ``roughly`` is the excess in doubles.
    """

    terms: tuple[int, int]
    over: float
    roughly: float
    largest: float
    strict: bool


@dataclass(slots=True)
class Account:
    """One limit of the round: its bound, what choices take of it, and what commitments take.

    Where it is money, ``decimals`` are those of the ledger, and amounts are compared as it counts them: an
    amount is its shortest decimal text, rounded half to even.
    """

    bound: float
    terms: list[float] = field(default_factory=list)
    held: list[float] = field(default_factory=list)
    decimals: int | None = None
    _known: _Sums | None = field(default=None, init=False, repr=False, compare=False)

    def total(self) -> float:
        """Return what choices and commitments take together."""
        return math.fsum([*self.terms, *self.held])

    def committed(self) -> float:
        """Return what the commitments alone take."""
        return math.fsum(self.held)

    def permitted(self) -> float:
        """Return what may be taken: the bound, or what the commitments alone take, which nothing undoes."""
        return max(self.bound, self.committed())

    def excess(self, *more: float) -> float:
        """Return by how much more is taken than may be, with ``more`` terms; negative where there is room."""
        if self.decimals is not None:
            over = int(self._sums().over) + sum(map(self._units, more))
            return float(Fraction(over, 10**self.decimals))
        return math.fsum([self._sums().over, *more])

    def tolerance(self, *more: float) -> float:
        """Return by how much it may be exceeded for rounding's sake, with ``more`` terms.

        Nothing where it is money, and nothing where commitments alone exceed it.
        """
        sums = self._sums()
        return 0.0 if sums.strict else ROW * max(sums.largest, *map(abs, more), 0.0)

    def exceeded_by(self, amount: float) -> tuple[bool, bool]:
        """Return whether one more term exceeds what may be taken, surely and within rounding.

        Doubles say so where they can; thousands of offers are asked about.
        """
        sums = self._sums()
        over = sums.roughly + amount
        doubt = ROUGHLY * (abs(sums.roughly) + abs(amount) + sums.largest)
        if self.decimals is not None:
            doubt += 10.0**-self.decimals
        margin = 0.0 if sums.strict else ROW * max(sums.largest, abs(amount))
        if abs(over) <= margin + doubt:
            over, margin = self.excess(amount), self.tolerance(amount)
        return over > margin, over > -margin

    def _sums(self) -> _Sums:
        """What is asked again and again; reckoned anew where terms have come."""
        count = len(self.terms), len(self.held)
        if self._known is not None and self._known.terms == count:
            return self._known
        if self.decimals is not None:
            held = sum(map(self._units, self.held))
            taken = sum(map(self._units, self.terms)) + held
            over_units = taken - max(self._units(self.bound), held)
            roughly = float(Fraction(over_units, 10**self.decimals))
            self._known = _Sums(count, over_units, roughly, 0.0, strict=True)
            return self._known
        exceeded = self.committed() > self.bound
        over = math.fsum(self.terms if exceeded else [*self.terms, *self.held, -self.bound])
        largest = max(map(abs, (self.permitted(), *self.terms, *self.held)))
        self._known = _Sums(count, over, over, largest, self.overcommitment()[0])
        return self._known

    def _units(self, amount: float) -> int:
        return _whole_units(amount, self.decimals or 0)

    def overcommitment(self) -> tuple[bool, bool]:
        """Return whether the commitments alone exceed the bound: surely, and perhaps, but for rounding."""
        above = math.fsum([*self.held, -self.bound])
        if self.decimals is not None:
            over = sum(map(self._units, self.held)) > self._units(self.bound)
            return over, over
        noise = SUM_TOLERANCE * max(abs(self.bound), math.fsum(map(abs, self.held)))
        return above > noise, above > -noise


class Recount:
    """Facts about single offers of a round, and the limits with what a choice of offers takes of them.

    Parameters
    ----------
    instance
        The round.
    seed
        Seed of the plan's scenarios.
    """

    def __init__(self, instance: Instance, seed: int) -> None:
        self.instance = instance
        self.teams = TeamRecount(instance, seed)
        offers = instance.offers
        self.task: list[int] = offers.task.tolist()
        self.operator: list[int] = offers.operator.tolist()
        self.coprocessor: list[int] = offers.coprocessor.tolist()
        self.bid: list[float] = offers.bid.tolist()
        self.collateral: list[float] = offers.collateral.tolist()
        self.p: list[float] = offers.success_probability.tolist()
        self.duration: list[float] = offers.duration.tolist()
        self.work: list[list[float]] = offers.work.tolist()
        claim: list[int] = offers.claim.tolist()
        reward: list[float] = instance.claims.reward.tolist()
        slashing: list[float] = instance.claims.slashing.tolist()
        self.reward = [reward[each] for each in claim]
        self.slashing = [slashing[each] for each in claim]
        self.deadline: list[float] = instance.tasks.deadline.tolist()
        self.committed = set(instance.commitments.task.tolist())
        serial: list[bool] = instance.coprocessors.serial.tolist()
        free_at: list[float] = instance.coprocessors.free_at.tolist()
        self.free_from = [
            max(instance.now, at) if one_by_one else -math.inf
            for one_by_one, at in zip(serial, free_at, strict=True)
        ]
        # a tree has many nodes, each with a round: what is asked of every offer is asked of arrays
        delegated = offers.coprocessor >= 0
        self._below: BoolArray = delegated & self._posts_less()
        since = np.array([*self.free_from, -math.inf])[offers.coprocessor]  # -1, nobody's, is the last
        self._late: BoolArray = delegated & (instance.tasks.deadline[offers.task] < since)
        self.eligible = self._eligible()
        self.deadlines = self._deadlines()

    def _posts_less(self) -> BoolArray:
        """Offers whose collateral is below their task's minimum, as a ledger counts both."""
        posted = self.instance.offers.collateral
        demanded = self.instance.tasks.minimum_collateral[self.instance.offers.task]
        less: BoolArray = posted < demanded
        # what is two units apart is so in whole units, too
        for k in np.flatnonzero(less & (demanded - posted < 2.0 * 10.0**-self.instance.decimals)).tolist():
            less[k] = _whole_units(posted[k], self.instance.decimals) < _whole_units(
                demanded[k], self.instance.decimals
            )
        return less

    def below_minimum(self, offer: int) -> bool:
        """Whether the offer's collateral is below its task's minimum."""
        return bool(self._below[offer])

    def too_late(self, offer: int) -> bool:
        """Whether the offer's serial coprocessor is free only after the deadline."""
        return bool(self._late[offer])

    def _eligible(self) -> list[bool]:
        offers, tasks = self.instance.offers, self.instance.tasks
        open_ = np.ones(len(tasks), dtype=bool)
        open_[sorted(self.committed)] = False
        choosable = (offers.stage == 1) & open_[offers.task] & ~self._below & ~self._late
        # an executor with two offers for a task is still one executor
        width = len(self.instance.coprocessors) + 1
        pairs = np.unique(offers.claim[choosable] * width + offers.coprocessor[choosable] + 1)
        executors = np.bincount(pairs // width, minlength=len(self.instance.claims))
        enough = executors[offers.claim] >= tasks.quorum[offers.task]
        return (choosable & enough).tolist()  # type: ignore[no-any-return]

    def _deadlines(self) -> dict[int, set[float]]:
        """Deadlines of each serial coprocessor's offers."""
        found: dict[int, set[float]] = defaultdict(set)
        if all(each == -math.inf for each in self.free_from):
            return found
        for offer, c in enumerate(self.coprocessor):
            deadline = self.deadline[self.task[offer]]
            if c >= 0 and self.free_from[c] > -math.inf and math.isfinite(deadline) and self.eligible[offer]:
                found[c].add(deadline)
        return found

    def operator_id(self, offer: int) -> str:
        """Id of the operator."""
        return self.instance.operators.ids[self.operator[offer]]

    def executor_id(self, offer: int) -> str:
        """Id of who does the work."""
        c = self.coprocessor[offer]
        return self.operator_id(offer) if c < 0 else self.instance.coprocessors.ids[c]

    def paid_terms(self, offer: int, price: float) -> list[float]:
        """Return what an executor costs when ``price`` is agreed, and what of its collateral comes back."""
        terms, p = self.instance.terms, self.p[offer]
        delegated = self.coprocessor[offer] >= 0
        paid = price * p if terms.bid_paid == "on_success" and delegated else price
        back = terms.operator * self.collateral[offer] * terms.collateral_rate * (1.0 - p)
        return [-paid, back]

    def benefit_terms(self, team: Team) -> list[float]:
        """Return reward and slashing that a team's task brings, once for all of them (MODEL 2.6)."""
        success, _ = self.teams.chances(team)
        lost = self.slashing[team[0]] * (1.0 - success)
        return [self.reward[team[0]] * success, *(-term for term in self._to_a_rounding(team, lost))]

    def _to_a_rounding(self, team: Team, lost: float) -> list[float]:
        """Return a loss as terms of the size of the slashing: several chances are known to its rounding."""
        if len(team) == 1:
            return [lost]
        return [self.slashing[team[0]], lost - self.slashing[team[0]]]

    def net_terms(self, team: Team, price: Mapping[int, float]) -> list[float]:
        """Return the terms of a team's expected net reward at agreed prices (MODEL 2.5, 2.6)."""
        return self.benefit_terms(team) + [
            term for offer in team for term in self.paid_terms(offer, price[offer])
        ]

    def value_terms(self, team: Team, price: Mapping[int, float]) -> list[float]:
        """Return the terms of what a team adds to the objective of a round without later stages."""
        return self.net_terms(team, price) + self.room.terms(team)

    def newcomers(self, team: Team) -> list[int]:
        """Eligible offers of executors that could join a team."""
        claim, known = self.teams.claim, {self.coprocessor[offer] for offer in team}
        return [
            offer
            for offer, can in enumerate(self.eligible)
            if can and claim[offer] == claim[team[0]] and self.coprocessor[offer] not in known
        ]

    def newcomer_terms(self, team: Team, offer: int) -> list[float]:
        """Return the terms of what one more executor adds to a team's expected net reward."""
        grown = self.benefit_terms(tuple(sorted((*team, offer))))
        before = [-term for term in self.benefit_terms(team)]
        alone = self.paid_terms(offer, self.bid[offer]) + self.room.terms_of_members([offer])
        return grown + before + alone

    @cached_property
    def posted(self) -> FloatArray:
        """Collateral of each offer as a ledger counts it. Shape (O,)."""
        return as_counted(self.instance.offers.collateral, self.instance.decimals)

    @cached_property
    def exposed(self) -> FloatArray:
        """Slashing of each claim as a ledger counts it. Shape (L,)."""
        return as_counted(self.instance.claims.slashing, self.instance.decimals)

    @cached_property
    def room(self) -> RoomRecount:
        """What the room is worth that offers take."""
        return RoomRecount(self)

    def accounts(self, chosen: list[int]) -> dict[Key, Account]:
        """Every limit by its key, with what the chosen offers and the commitments take of it."""
        found = dict(self._limits())
        for team in self.teams.group(chosen):
            for key, amount in self.uses(team):
                if key in found:
                    found[key].terms.append(amount)
        for team in self.teams.held():
            for key, amount in self._held(team):
                if key in found:
                    found[key].held.append(amount)
        return found

    def _limits(self) -> Iterator[tuple[Key, Account]]:
        instance = self.instance
        for owners in (instance.coprocessors, instance.operators):
            capacity: list[list[float]] = owners.capacity.tolist()
            for name, row in zip(owners.ids, capacity, strict=True):
                for resource, bound in zip(instance.resources, row, strict=True):
                    if math.isfinite(bound):
                        yield ("capacity", resource, name), Account(bound)
        collateral: list[float] = instance.coprocessors.free_collateral.tolist()
        stake: list[float] = instance.operators.stake.tolist()
        for limit in instance.risk:
            if limit.measure == "solvency":  # replaces the collateral budget
                for c in range(len(collateral)) if limit.member is None else [limit.member]:
                    collateral[c] = math.inf
        for word, ids, bounds in (
            ("collateral", instance.coprocessors.ids, collateral),
            ("stake", instance.operators.ids, stake),
        ):
            for name, bound in zip(ids, bounds, strict=True):
                if math.isfinite(bound):
                    yield (word, "", name), Account(bound, decimals=instance.decimals)
        for c, deadlines in self.deadlines.items():
            for each in deadlines:
                yield ("deadline", each, instance.coprocessors.ids[c]), Account(each - self.free_from[c])
        yield from self._expected_loss_limits()
        yield from self.own.accounts()

    @cached_property
    def own(self) -> ConstraintRecount:
        """What offers count in the round's constraints."""
        from bondwork.plan.recount_constraints import ConstraintRecount  # it needs what stands here

        return ConstraintRecount(self)

    def _expected_loss_limits(self) -> Iterator[tuple[Key, Account]]:
        tightest: dict[Key, float] = {}
        for limit in self.instance.risk:
            if limit.measure == "expected":
                for member in self.members(limit.scope, limit.member):
                    key: Key = ("expected loss", "", member)
                    tightest[key] = min(limit.budget, tightest.get(key, math.inf))
        for key, budget in tightest.items():
            yield key, Account(budget)

    def members(self, scope: str, member: int | None) -> list[str]:
        """Whom a risk limit is about, by name."""
        if scope == "network":
            return ["network"]
        ids = self.instance.operators.ids if scope == "operator" else self.instance.coprocessors.ids
        return list(ids) if member is None else [ids[member]]

    def loss_account(self, name: str, chosen: list[int], budget: float) -> Account:
        """Account of the expected loss of one member or of the network, limited or not."""
        key = ("expected loss", "", name)
        teams = self.teams
        lost = [
            term
            for team in teams.group(chosen)
            for each, amount in self.uses(team)
            if each == key
            for term in self._to_a_rounding(team, amount)
        ]
        return Account(budget, lost, list(self.held_losses.get(name, [])))

    @cached_property
    def held_losses(self) -> dict[str, list[float]]:
        """Terms of what the commitments are expected to lose, by whose loss it is."""
        found: dict[str, list[float]] = defaultdict(list)
        for team in self.teams.held():
            most = float(self.instance.claims.slashing[self.instance.commitments.claim[team[0]]])
            for (word, _, name), amount in self._held(team):
                if word == "expected loss":
                    found[name] += [most, amount - most] if len(team) > 1 else [amount]
        return dict(found)

    def uses(self, team: Team) -> list[tuple[Key, float]]:
        """What choosing a team takes of which limits, one-executor rows aside."""
        operator, slashing = self.operator_id(team[0]), self.slashing[team[0]]
        success, blame = self.teams.chances(team)
        loss = slashing * (1.0 - success)
        used: list[tuple[Key, float]] = [
            (("stake", "", operator), slashing),
            (("expected loss", "", "network"), loss),
            (("expected loss", "", operator), loss),
        ]
        for offer, share in zip(team, blame, strict=True):
            used += self._uses_alone(offer, slashing * share)
        return used + self.own.uses(team)

    def _uses_alone(self, offer: int, loss: float) -> list[tuple[Key, float]]:
        """What an executor takes of its own limits; ``loss`` is that of the work given to it."""
        executor, c = self.executor_id(offer), self.coprocessor[offer]
        used: list[tuple[Key, float]] = [
            (("capacity", resource, executor), amount)
            for resource, amount in zip(self.instance.resources, self.work[offer], strict=True)
        ]
        if c >= 0:
            used.append((("collateral", "", executor), self.collateral[offer]))
            used.append((("expected loss", "", executor), loss))
            deadline = self.deadline[self.task[offer]]
            used += [
                (("deadline", each, executor), self.duration[offer])
                for each in self.deadlines.get(c, ())
                if deadline <= each
            ]
        return used

    def _held(self, team: Team) -> list[tuple[Key, float]]:
        """What commitments of one claim take; their collateral is already off the free collateral."""
        instance, held = self.instance, self.instance.commitments
        operator = instance.operators.ids[held.operator[team[0]]]
        slashing = float(instance.claims.slashing[held.claim[team[0]]])
        success, blame = self.teams.held_chances(team)
        loss = slashing * (1.0 - success)
        used: list[tuple[Key, float]] = [
            (("stake", "", operator), slashing),
            (("expected loss", "", "network"), loss),
            (("expected loss", "", operator), loss),
        ]
        for commitment, share in zip(team, blame, strict=True):
            c = int(held.coprocessor[commitment])
            executor = operator if c < 0 else instance.coprocessors.ids[c]
            used += [
                (("capacity", resource, executor), float(held.work[commitment, k]))
                for k, resource in enumerate(instance.resources)
            ]
            if c >= 0:
                used.append((("expected loss", "", executor), slashing * share))
        return used
