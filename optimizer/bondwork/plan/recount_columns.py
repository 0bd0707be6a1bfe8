"""What a round can choose from, once more: every team with what it earns and what it takes, at given prices.

A team is worth its net reward less the price of all that it takes. That is worked out twice: for all teams in
doubles, with a bound on the error of each, and exactly for those few that may be the best of their task.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from bondwork.plan.recount_exact import blame_of, ledger, success_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from bondwork.arrays import BoolArray, FloatArray, IntArray
    from bondwork.plan.recount import Recount
    from bondwork.plan.recount_rooms import Rooms
    from bondwork.plan.recount_tail_prices import TailPrices
    from bondwork.problem.instance import Instance

#: Teams of tasks with replicas that are gone through; of more, the bound is not recomputed.
MOST_TEAMS = 20_000

#: Rounding error of a sum of n terms in doubles is at most (n + this) units in the last place of the sum of
#: their sizes: each term is a product of a few numbers.
TERM_ERROR = 16

NOTHING = Fraction(0)

#: Exact multipliers by what they are about.
Prices = dict[tuple[int | float, ...], Fraction]


class Uncheckable(Exception):
    """Something that is not recomputed; the message says what."""


class Columns:
    """The teams that a round can choose from.

    Parameters
    ----------
    recount
        The round.
    rooms
        What its limits leave: teams that do not fit by themselves are left out. ``None``: none is.
    break_alone
        Says which offers break a limit in a scenario by themselves.

    Attributes
    ----------
    start, member
        Members of column j are ``member[start[j]:start[j + 1]]``, offers of the round.
    task
        Shape (n,). Task of each column.
    """

    def __init__(
        self,
        recount: Recount,
        rooms: Rooms | None,
        break_alone: Callable[[IntArray], BoolArray] | None = None,
    ) -> None:
        self.round = recount
        instance = recount.instance
        eligible = np.flatnonzero(np.array(recount.eligible, dtype=bool))
        if rooms is not None:
            eligible = eligible[~rooms.too_large(eligible)]
        several = instance.tasks.replicas[instance.offers.task[eligible]] > 1
        singles = eligible[~several]
        if rooms is not None:
            singles = singles[~rooms.too_risky(singles)]
        if break_alone is not None:
            singles = singles[~break_alone(singles)]
        teams: list[tuple[int, ...]] = []
        shared: dict[int, list[int]] = {}
        for offer in eligible[several].tolist():
            shared.setdefault(recount.task[offer], []).append(offer)
        for offers in shared.values():
            for team in recount.teams.possible(offers):
                teams.append(team)
                if len(teams) > MOST_TEAMS:
                    raise Uncheckable(f"more than {MOST_TEAMS} teams of tasks with replicas")
        sizes = [1] * len(singles) + [len(team) for team in teams]
        self.start: IntArray = np.concatenate([[0], np.cumsum(np.array(sizes, dtype=np.int64))])
        more = np.array([offer for team in teams for offer in team], dtype=np.int64)
        self.member: IntArray = np.concatenate([singles, more]).astype(np.int64)
        self.first: IntArray = self.member[self.start[:-1]]
        self.task: IntArray = instance.offers.task[self.first]
        p = instance.offers.success_probability
        chances = [recount.teams.chances(team) for team in teams]
        self.success: FloatArray = np.concatenate([p[singles], [success for success, _ in chances]])
        self.blame: FloatArray = np.concatenate([1.0 - p[singles], *(blame for _, blame in chances)])

    def __len__(self) -> int:
        return len(self.task)

    def team(self, column: int) -> tuple[int, ...]:
        """Offers of a column."""
        return tuple(self.member[self.start[column] : self.start[column + 1]].tolist())

    def per_column(self, of_members: FloatArray) -> FloatArray:
        """Sums over the members of each column. Shape (n,)."""
        if len(self.member) == len(self):
            return of_members
        return np.add.reduceat(of_members, self.start[:-1])

    def exact_chances(self, column: int) -> tuple[Fraction, list[Fraction]]:
        """Success and blame of a column without rounding, where they are known in closed form."""
        team, teams = self.team(column), self.round.teams
        if len(team) == 1 == teams.quorum[teams.claim[team[0]]]:
            success = Fraction(self.round.p[team[0]])
            return success, [1 - success]
        if len(team) > 1 and teams.tied:
            chance, shares = teams.chances(team)
            return Fraction(chance), [Fraction(each) for each in shares]
        p = [Fraction(self.round.p[offer]) for offer in team]
        needed = teams.quorum[teams.claim[team[0]]]
        return success_of(p, needed), blame_of(p, needed)


class PricedColumns:
    """What columns are worth at prices.

    Parameters
    ----------
    columns
        The columns.
    prices
        Exact multipliers of the limits, by word.
    tails
        Prices of scenarios.
    earning
        Share of its net reward that a column counts with: 1, less where risk is weighed in, 0 for a proof
        that nothing is feasible.
    """

    def __init__(
        self, columns: Columns, prices: Mapping[str, Prices], tails: TailPrices, earning: Fraction
    ) -> None:
        self.columns = columns
        self.round = columns.round
        self.prices = prices
        self.tails = tails
        self.earning = earning
        self.due = _Due(prices.get("deadline", {}))

    # in doubles

    def rough(self) -> tuple[FloatArray, FloatArray]:
        """Worth of every column, and a bound on its error. Shapes (n,)."""
        with np.errstate(all="ignore"):
            worth, size, terms = self.sums()
            error = (terms + TERM_ERROR) * np.finfo(float).eps * size + 1e-300
        bad = ~(np.isfinite(worth) & np.isfinite(error))
        worth[bad], error[bad] = 0.0, np.inf
        return worth, error

    def sums(self) -> tuple[FloatArray, FloatArray, int]:
        """Worth of every column, the sum of the sizes of its terms, and how many these are at most."""
        columns, instance = self.columns, self.round.instance
        offers, claims = instance.offers, instance.claims
        claim, member = offers.claim[columns.first], columns.member
        slashing, failure = claims.slashing[claim], 1.0 - columns.success
        earning = float(self.earning)
        loss = slashing * failure
        stake = self._money_table("stake", len(instance.operators))[claims.operator[claim]]
        own = [
            earning * claims.reward[claim] * columns.success,
            -earning * loss,
            earning * instance.tasks.unassigned_cost[columns.task],
            -stake * self.round.exposed[claim],
            -loss * float(self._sum_of("expected", "network")),
            -loss * self._expected_table("operator")[claims.operator[claim]],
        ]
        worth = np.sum(own, axis=0)
        size = np.sum(np.abs(own), axis=0)
        for part in self._member_terms(member, np.repeat(slashing, np.diff(columns.start))):
            worth += columns.per_column(part)
            size += columns.per_column(np.abs(part))
        taken, sizes, most = self.tails.rough(columns)
        count = len(own) + 10 + len(instance.resources) * 2 + self.due.most + most
        return worth - taken, size + sizes, count + int(np.diff(columns.start).max(initial=1))

    def _member_terms(self, member: IntArray, slashing: FloatArray) -> list[FloatArray]:
        instance, columns, room = self.round.instance, self.columns, self.round.room
        offers, terms = instance.offers, instance.terms
        p, bid, posted = offers.success_probability[member], offers.bid[member], offers.collateral[member]
        coprocessor, operator = offers.coprocessor[member], offers.operator[member]
        delegated = coprocessor >= 0
        c = np.where(delegated, coprocessor, 0)
        earning = float(self.earning)
        paid = np.where(delegated, bid * p, bid) if terms.bid_paid == "on_success" else bid
        parts = [-earning * paid, earning * terms.operator * posted * terms.collateral_rate * (1.0 - p)]
        if not len(instance.coprocessors):
            delegated = np.zeros(len(member), dtype=bool)
        else:
            of_executor = self._expected_table("coprocessor")[c] * slashing * columns.blame
            parts.append(-np.where(delegated, of_executor, 0.0))
            price = self._money_table("collateral", len(instance.coprocessors))[c]
            parts.append(-np.where(delegated, price * self.round.posted[member], 0.0))
            if room.is_stated:
                second = np.broadcast_to(room.table("second"), len(instance.coprocessors))[c]
                parts.append(-np.where(delegated, earning * second * offers.duration[member], 0.0))
            parts.append(-self.due.rough(member, coprocessor, instance))
        for k in range(len(instance.resources)):
            work = offers.work[member, k]
            if len(instance.coprocessors):
                parts.append(-np.where(delegated, self._work_table("capacity", k)[c] * work, 0.0))
                parts.append(np.where(delegated, self._work_table("load", k)[c] * work, 0.0))
            own = self._work_table("own_capacity", k)[operator]
            parts.append(-np.where(delegated, 0.0, own * work))
        return parts

    def _table(self, word: str, size: int) -> FloatArray:
        table = np.zeros(size)
        for about, y in self.prices.get(word, {}).items():
            table[int(about[0])] = float(y)
        return table

    def _work_table(self, word: str, resource: int) -> FloatArray:
        instance = self.round.instance
        table = np.zeros(len(instance.operators if word == "own_capacity" else instance.coprocessors))
        for about, y in self.prices.get(word, {}).items():
            if about[1] == resource:
                table[int(about[0])] = float(y)
        if word != "load":
            table += float(self.earning) * self.round.room.table(word, resource)
        return table

    def _money_table(self, word: str, size: int) -> FloatArray:
        """Prices of stake or collateral, with what it is worth besides."""
        return self._table(word, size) + float(self.earning) * self.round.room.table(word)

    def _expected_table(self, scope: str) -> FloatArray:
        instance = self.round.instance
        table = np.zeros(len(instance.operators if scope == "operator" else instance.coprocessors))
        for about, y in self.prices.get(f"expected {scope}", {}).items():
            table[int(about[0])] = float(y)
        return table

    def _sum_of(self, word: str, scope: str) -> Fraction:
        return self.prices.get(f"{word} {scope}", {}).get((0,), NOTHING)

    # without rounding

    def exact(self, column: int) -> Fraction:
        """Worth of a column."""
        round_, instance = self.round, self.round.instance
        team = self.columns.team(column)
        success, blame = self.columns.exact_chances(column)
        v, slashing = round_.operator[team[0]], Fraction(round_.slashing[team[0]])
        loss = slashing * (1 - success)
        worth = -self.tails.exact(team)
        if self.earning:
            cost = Fraction(float(instance.tasks.unassigned_cost[round_.task[team[0]]]))
            worth += self.earning * (Fraction(round_.reward[team[0]]) * success - loss + cost)
            worth += self.earning * sum((self._net_of_member(offer) for offer in team), NOTHING)
            if (room := round_.room).is_stated:
                taken = sum((room.collateral(o) + room.working(o) for o in team), NOTHING)
                worth -= self.earning * (taken + room.stake(team[0], round_.slashing[team[0]]))
        if stake := self.prices.get("stake", {}).get((v,)):
            worth -= stake * ledger(round_.slashing[team[0]], instance.decimals)
        for scope, whose in (("network", 0), ("operator", v)):
            if price := self.prices.get(f"expected {scope}", {}).get((whose,)):
                worth -= price * loss
        for offer, share in zip(team, blame, strict=True):
            worth -= self._taken_by(offer, slashing * share)
        return worth

    def _net_of_member(self, offer: int) -> Fraction:
        round_, terms = self.round, self.round.instance.terms
        p, paid = Fraction(round_.p[offer]), Fraction(round_.bid[offer])
        if terms.bid_paid == "on_success" and round_.coprocessor[offer] >= 0:
            paid *= p
        if not terms.operator or not round_.collateral[offer]:
            return -paid
        back = Fraction(terms.operator) * Fraction(round_.collateral[offer])
        return back * Fraction(terms.collateral_rate) * (1 - p) - paid

    def _taken_by(self, offer: int, loss: Fraction) -> Fraction:
        """Price of what an executor takes of its own limits."""
        round_, c, prices = self.round, self.round.coprocessor[offer], self.prices
        taken = NOTHING
        if c < 0:
            for k, work in enumerate(round_.work[offer]):
                if work and (price := prices.get("own_capacity", {}).get((round_.operator[offer], k))):
                    taken += price * Fraction(work)
            return taken
        for k, work in enumerate(round_.work[offer]):
            if work and (price := prices.get("capacity", {}).get((c, k))):
                taken += price * Fraction(work)
            if work and (price := prices.get("load", {}).get((c, k))):
                taken -= price * Fraction(work)
        if price := prices.get("collateral", {}).get((c,)):
            taken += price * ledger(round_.collateral[offer], round_.instance.decimals)
        if price := prices.get("expected coprocessor", {}).get((c,)):
            taken += price * loss
        if price := self.due.exact(c, round_.deadline[round_.task[offer]]):
            taken += price * Fraction(round_.duration[offer])
        return taken


class _Due:
    """Prices of deadlines: an offer pays for its own deadline and all later ones of its coprocessor."""

    def __init__(self, prices: Prices) -> None:
        found: dict[int, list[tuple[float, Fraction]]] = {}
        for (c, time), y in prices.items():
            found.setdefault(int(c), []).append((float(time), y))
        self.times: dict[int, list[float]] = {}
        self.from_: dict[int, list[Fraction]] = {}
        for c, pairs in found.items():
            pairs.sort()
            self.times[c] = [time for time, _ in pairs]
            total, reached = NOTHING, [NOTHING]
            for _, y in reversed(pairs):
                total += y
                reached.append(total)
            self.from_[c] = reached[::-1]
        self.most = max(map(len, self.times.values()), default=0)

    def exact(self, coprocessor: int, deadline: float) -> Fraction:
        """Sum of the prices at and after a deadline."""
        times = self.times.get(coprocessor)
        if times is None or not math.isfinite(deadline):
            return NOTHING
        return self.from_[coprocessor][bisect_left(times, deadline)]

    def rough(self, member: IntArray, coprocessor: IntArray, instance: Instance) -> FloatArray:
        """Price of each offer's duration. Shape (m,)."""
        cost = np.zeros(len(member))
        if not self.times:
            return cost
        offers, tasks = instance.offers, instance.tasks
        deadline, duration = tasks.deadline[offers.task[member]], offers.duration[member]
        order = np.argsort(coprocessor, kind="stable")
        ordered = coprocessor[order]
        for c, times in self.times.items():
            mine = order[np.searchsorted(ordered, c) : np.searchsorted(ordered, c, side="right")]
            price = np.array([float(each) for each in self.from_[c]])
            place = np.searchsorted(np.array(times), deadline[mine])
            cost[mine] = np.where(np.isfinite(deadline[mine]), price[place] * duration[mine], 0.0)
        return cost
