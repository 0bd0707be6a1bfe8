"""What a round's limits leave beside its commitments, exactly, for `verify`.

Work, durations and expected losses may exceed a limit by the tolerance of rows, which is counted in where any
sum lies within it (`bondwork.plan.recount_grid`): a bound then holds for every plan that `verify` lets pass.
Money is counted as a ledger does and has no tolerance.
"""

from __future__ import annotations

import math
from fractions import Fraction
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from bondwork.base.money import all_in_units, in_units
from bondwork.base.tolerances import ROW
from bondwork.plan.certificate import BadCertificate, Entry
from bondwork.plan.recount_exact import blame_of, ledger, success_of
from bondwork.plan.recount_grid import SHARE, slack_of_losses, slack_of_sum

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bondwork.arrays import BoolArray, FloatArray, IntArray
    from bondwork.plan.recount import Recount
    from bondwork.plan.recount_teams import Team

NOTHING = Fraction(0)

#: Room for the tolerance and for rounding where it is only asked whether somebody fits at all.
WIDE = 1.0 + 4.0 * ROW


class Rooms:
    """Rooms of the limits of one round.

    Parameters
    ----------
    recount
        The round.
    ceilings
        What limits on expected losses are where they were tightened, by number of the limit and member.
    later
        Offers that may be chosen once outcomes are seen: their deadlines are limits as well.
    """

    def __init__(
        self,
        recount: Recount,
        ceilings: Mapping[tuple[int, int], float] | None = None,
        later: Sequence[int] = (),
    ) -> None:
        self.round = recount
        self.ceilings = ceilings or {}
        self._known: dict[
            tuple[str, tuple[int | float, ...]], tuple[str, tuple[int | float, ...], Fraction]
        ] = {}
        #: Whether amounts of a second stage are in the sums: whole ones now say nothing about those.
        self.staged = len(later) > 0
        self.deadlines = {c: set(times) for c, times in recount.deadlines.items()}
        for offer in later:
            c, due = recount.coprocessor[offer], recount.deadline[recount.task[offer]]
            if c >= 0 and recount.free_from[c] > -math.inf and math.isfinite(due):
                self.deadlines.setdefault(c, set()).add(due)

    def too_large(self, offers: IntArray) -> BoolArray:
        """Offers that take more of a limit than it leaves, each by itself; doubtful ones are not among them.

        Nobody can choose them, so they count for nothing in a bound.
        """
        instance = self.round.instance
        given, held = instance.offers, instance.commitments
        c, v = given.coprocessor[offers], given.operator[offers]
        delegated = c >= 0
        out: BoolArray = np.zeros(len(offers), dtype=bool)
        decimals = instance.decimals
        for owners, who, mine in (
            (instance.coprocessors, c, delegated),
            (instance.operators, v, ~delegated),
        ):
            if len(owners) and len(instance.resources):
                taken = np.zeros_like(owners.capacity)
                own = (held.coprocessor >= 0) == (owners is instance.coprocessors)
                whose = held.coprocessor if owners is instance.coprocessors else held.operator
                np.add.at(taken, whose[own], held.work[own])
                room = _wide(owners.capacity, taken)[np.where(mine, who, 0)]
                out |= mine & (given.work[offers] > room).any(axis=1)
        if len(instance.coprocessors):
            free = instance.coprocessors.free_collateral.copy()
            for limit in instance.risk:
                if limit.measure == "solvency":
                    free[slice(None) if limit.member is None else limit.member] = np.inf
            unlocked = [_units(each, decimals) for each in free.tolist()]
            posted = np.where(delegated, given.collateral[offers], 0.0)
            out |= _exceeds(posted, np.where(delegated, c, 0), unlocked, decimals)
            since = np.array(self.round.free_from)[np.where(delegated, c, 0)]
            deadline = instance.tasks.deadline[given.task[offers]]
            with np.errstate(invalid="ignore"):
                late = given.duration[offers] > (deadline - since) * WIDE
            out |= delegated & np.isfinite(since) & np.isfinite(deadline) & late
        if len(instance.operators):
            unit, stake = 10**decimals, instance.operators.stake.tolist()
            left = [_units(each, decimals, int(self._exposed(k) * unit)) for k, each in enumerate(stake)]
            out |= _exceeds(instance.claims.slashing[given.claim[offers]], v, left, decimals)
        return out

    def too_risky(self, offers: IntArray) -> BoolArray:
        """Offers, each a team of its own, whose expected loss alone is above what a limit on it leaves.

        Nobody can choose them either. With a second stage none is: a rescue may take a loss away.
        """
        instance = self.round.instance
        given = instance.offers
        loss = instance.claims.slashing[given.claim[offers]] * (1.0 - given.success_probability[offers])
        out: BoolArray = np.zeros(len(offers), dtype=bool)
        for number, limit in enumerate(instance.risk):
            if limit.measure != "expected" or not math.isfinite(limit.budget) or self.staged:
                continue
            whose = np.zeros(len(offers), dtype=np.int64)
            if limit.scope != "network":
                whose = (given.operator if limit.scope == "operator" else given.coprocessor)[offers]
            for who in np.unique(whose[whose >= 0]).tolist() if limit.member is None else [limit.member]:
                *_, room = self.of(Entry("expected", (number, who), 1.0))
                out |= (whose == who) & (loss > float(room) * WIDE)
        return out

    def of(self, entry: Entry) -> tuple[str, tuple[int | float, ...], Fraction]:
        """Word, owner and room of the limit that an entry is about.

        Raises
        ------
        BadCertificate
            The round has no such limit.
        """
        key = entry.word, entry.about
        if key not in self._known:
            self._known[key] = self._read(entry)
        return self._known[key]

    def _read(self, entry: Entry) -> tuple[str, tuple[int | float, ...], Fraction]:
        instance, about = self.round.instance, entry.about
        coprocessors, operators = instance.coprocessors, instance.operators
        match entry.word:
            case "capacity" | "own_capacity":
                owners = coprocessors if entry.word == "capacity" else operators
                who, k = _place(about[0], len(owners.ids)), _place(about[1], len(instance.resources))
                bound = float(owners.capacity[who, k])
                held, taken = self._work(entry), self.by_executor(entry.word, who)
                slack = self._slack(bound, held, instance.offers.work[taken, k])
                return entry.word, (who, k), self._left(bound, held, slack)
            case "collateral":
                c = _place(about[0], len(coprocessors.ids))
                if any(r.measure == "solvency" and r.member in (None, c) for r in instance.risk):
                    raise BadCertificate(f"coprocessor {c} has a solvency limit in place of collateral")
                free = float(coprocessors.free_collateral[c])
                return entry.word, (c,), max(ledger(_finite(free), instance.decimals), NOTHING)
            case "stake":
                v = _place(about[0], len(operators.ids))
                stake = ledger(_finite(float(operators.stake[v])), instance.decimals)
                return entry.word, (v,), max(stake - self._exposed(v), NOTHING)
            case "deadline":
                c = _place(about[0], len(coprocessors.ids))
                if about[1] not in self.deadlines.get(c, ()):
                    raise BadCertificate(f"coprocessor {c} has no deadline {about[1]:g}")
                end, free = float(about[1]), self.round.free_from[c]
                since = Fraction(end) - Fraction(free)
                durations = instance.offers.duration[self.by_executor("deadline", c)]
                amounts = np.concatenate([durations, [end, free]])
                slack = abs(since) * SHARE if self.staged else slack_of_sum(amounts, abs(since))
                return entry.word, (c, end), since + slack
            case "window":
                raise BadCertificate("a window from an earlier decision on: the round has no later periods")
        return self._expected(entry)

    def _expected(self, entry: Entry) -> tuple[str, tuple[int | float, ...], Fraction]:
        instance = self.round.instance
        number = _place(entry.about[0], len(instance.risk))
        limit = instance.risk[number]
        if limit.measure != "expected":
            raise BadCertificate(f"risk limit {number} is no limit on the expected loss")
        size = {"network": 1, "operator": len(instance.operators), "coprocessor": len(instance.coprocessors)}
        member = _place(entry.about[1], size[limit.scope])
        if limit.member not in (None, member):
            raise BadCertificate(f"risk limit {number} is not about member {member}")
        held = self._held_losses(limit.scope, member)
        budget = self.ceilings.get((number, member), limit.budget)
        slack = self._slack_of_losses(limit.scope, member, budget, held)
        return f"expected {limit.scope}", (member,), self._left(budget, held, slack)

    def _left(self, limit: float, held: Sequence[Fraction], slack: Fraction) -> Fraction:
        """Room beside the commitments, with the tolerance of rows; nothing where they take it all."""
        return max(Fraction(_finite(limit)) - sum(held, NOTHING), NOTHING) + slack

    def _slack(self, limit: float, held: Sequence[Fraction], taken: FloatArray) -> Fraction:
        """By how much more than a limit may be taken of it, in sums of what offers state."""
        most = max(abs(Fraction(_finite(limit))), sum(held, NOTHING))
        if self.staged:
            return most * SHARE
        return slack_of_sum(np.concatenate([taken, [float(each) for each in held], [limit]]), most)

    def _slack_of_losses(self, scope: str, member: int, limit: float, held: Sequence[Fraction]) -> Fraction:
        """The same of expected losses."""
        instance, teams = self.round.instance, self.round.teams
        most = max(abs(Fraction(_finite(limit))), sum(held, NOTHING))
        given, kept = instance.offers, instance.commitments
        mine, own = self._in_scope(scope, member), np.ones(len(kept), dtype=bool)
        if scope != "network":
            own = (kept.coprocessor if scope == "coprocessor" else kept.operator) == member
        executors = int(instance.tasks.replicas[given.task[mine]].max(initial=1))
        executors = max([executors, *map(len, teams.held())])
        if self.staged or (executors > 1 and (teams.tied or len(kept))):
            return most * SHARE
        slashing = np.concatenate([given.claim[mine], kept.claim[own]])
        p = np.concatenate([given.success_probability[mine], kept.success_probability[own]])
        limits = np.array([limit])
        return slack_of_losses(instance.claims.slashing[slashing], p, executors, limits, most)

    def by_executor(self, word: str, who: int) -> IntArray:
        """Eligible offers that an executor's own limits are about."""
        groups = self._by_self if word == "own_capacity" else self._by_coprocessor
        return groups.get(who, np.zeros(0, dtype=np.int64))

    def _in_scope(self, scope: str, member: int) -> IntArray:
        if scope == "coprocessor":
            return self.by_executor("expected", member)
        eligible = np.flatnonzero(np.array(self.round.eligible, dtype=bool))
        if scope == "network":
            return eligible
        found: IntArray = eligible[self.round.instance.offers.operator[eligible] == member]
        return found

    @cached_property
    def _by_coprocessor(self) -> dict[int, IntArray]:
        return _grouped(self.round, self.round.instance.offers.coprocessor)

    @cached_property
    def _by_self(self) -> dict[int, IntArray]:
        offers = self.round.instance.offers
        return _grouped(self.round, np.where(offers.coprocessor < 0, offers.operator, -1))

    def _work(self, entry: Entry) -> list[Fraction]:
        held = self.round.instance.commitments
        who, k = int(entry.about[0]), int(entry.about[1])
        delegated = held.coprocessor >= 0
        mine = held.coprocessor == who if entry.word == "capacity" else ~delegated & (held.operator == who)
        return [Fraction(each) for each in held.work[mine, k].tolist()]

    def _exposed(self, operator: int) -> Fraction:
        instance, held = self.round.instance, self.round.instance.commitments
        claims = {int(held.claim[team[0]]) for team in self.round.teams.held()}
        mine = (each for each in claims if instance.claims.operator[each] == operator)
        return sum(
            (ledger(float(instance.claims.slashing[each]), instance.decimals) for each in mine), NOTHING
        )

    def _held_losses(self, scope: str, member: int) -> list[Fraction]:
        instance, held = self.round.instance, self.round.instance.commitments
        losses = []
        for team in self.round.teams.held():
            success, blame = self._held_chances(team)
            slashing = Fraction(float(instance.claims.slashing[held.claim[team[0]]]))
            if scope == "coprocessor":
                mine = zip(team, blame, strict=True)
                losses += [slashing * each for k, each in mine if held.coprocessor[k] == member]
            elif scope == "network" or held.operator[team[0]] == member:
                losses.append(slashing * (1 - success))
        return losses

    def _held_chances(self, team: Team) -> tuple[Fraction, list[Fraction]]:
        teams, executor = self.round.teams, self.round.instance.commitments.coprocessor
        if len(team) > 1 and (teams.tied or len({int(executor[k]) for k in team}) < len(team)):
            success, blame = teams.held_chances(team)
            return Fraction(success), [Fraction(each) for each in blame]
        p = [Fraction(teams.held_p[k]) for k in team]
        needed = teams.held_quorum(team)
        return success_of(p, needed), blame_of(p, needed)


def _grouped(recount: Recount, owner: IntArray) -> dict[int, IntArray]:
    """Eligible offers of each owner."""
    eligible = np.flatnonzero(np.array(recount.eligible, dtype=bool) & (owner >= 0))
    order = eligible[np.argsort(owner[eligible], kind="stable")]
    owners, starts = np.unique(owner[order], return_index=True)
    return dict(zip(owners.tolist(), np.split(order, starts[1:]), strict=False))


def _exceeds(amount: FloatArray, owner: IntArray, room: Sequence[float], decimals: int) -> BoolArray:
    """Whether amounts of money are above their owner's room, in ledger units: exactly where it is near."""
    limit = np.array([each / 10**decimals for each in room])[owner]
    near = np.isfinite(limit) & (amount > limit * (1.0 - 1e-12) - 2.0 * 10.0**-decimals)
    out: BoolArray = np.zeros(len(amount), dtype=bool)
    places = np.flatnonzero(near)
    units = all_in_units(amount[places], decimals)
    out[places] = [each > room[owner[place]] for each, place in zip(units, places.tolist(), strict=True)]
    return out


def _units(limit: float, decimals: int, held: int = 0) -> float:
    """What is left of money, in ledger units; infinite without a limit."""
    return math.inf if math.isinf(limit) else max(in_units(limit, decimals) - held, 0)


def _wide(limit: FloatArray, held: FloatArray) -> FloatArray:
    """What is left of limits, with room for tolerance and rounding."""
    with np.errstate(invalid="ignore"):
        left = np.maximum(limit - held, 0.0) + 4.0 * ROW * np.maximum(np.abs(limit), held)
    return np.where(np.isfinite(limit), left, np.inf)


def _place(number: int | float, size: int) -> int:
    if not 0 <= number < size:
        raise BadCertificate(f"position {number} of {size}")
    return int(number)


def _finite(limit: float) -> float:
    if not math.isfinite(limit):
        raise BadCertificate("a multiplier of a limit that the round does not have")
    return limit
