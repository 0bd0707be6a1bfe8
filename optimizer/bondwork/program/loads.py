"""Load incentives in a program: exact in its value, by straight pieces in its rows (MODEL 2.7).

The load of a coprocessor is its expected work over its capacity: the work of its commitments and of what is
chosen, whether or not the results will be right. Its capacity row holds the very sum, so a load term refers
to that row and to nothing else about the round.

The pieces are never below ``amount * f``: a bound on the program is a bound on the exact problem, too far out
by the stated error at most. What a choice really earns is `LoadTerm.gain`.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from bondwork.arrays import sum_by_owner
from bondwork.market.load_curve import LOAD_TOLERANCE
from bondwork.market.piecewise import PiecewiseLinear, overestimate
from bondwork.problem.limits import LimitKind

if TYPE_CHECKING:
    from scipy.sparse import csr_array

    from bondwork.arrays import FloatArray, IntArray
    from bondwork.market.load_curve import LoadIncentive
    from bondwork.problem.instance import Instance
    from bondwork.problem.limits import Limits
    from bondwork.problem.teams import Teams
    from bondwork.risk.measure import Block

#: Loads that can move by less than this do not move: their coprocessor has no eligible offer with work.
NO_MOVE = 1e-12


@dataclass(frozen=True, slots=True, eq=False)
class LoadTerm:
    """What the load of one coprocessor adds to the objective.

    Attributes
    ----------
    row
        Row of its capacity among the program's limits.
    capacity
        In the unit of the resource.
    start
        Load of the commitments.
    incentive, amount
        The curve f, and what f = 1 is worth in currency.
    pieces
        ``amount * f`` by straight pieces over the loads that can be reached; ``None`` where the load cannot
        move.
    """

    row: int
    capacity: float
    start: float
    incentive: LoadIncentive
    amount: float
    pieces: PiecewiseLinear | None

    def move(self, work: float, more: float) -> tuple[float, float]:
        """What chosen ``work`` earns, in currency, and what it earns with ``more`` on top of it."""
        low, high = self.start + work / self.capacity, self.start + (work + more) / self.capacity
        return self.amount * self.incentive.at(low), self.amount * self.incentive.at(high)

    def scaled(self, factor: float) -> LoadTerm:
        """Return the term of an objective that is ``factor``, which is not negative, times as large."""
        pieces = None if self.pieces is None else self.pieces.scaled(factor)
        return dataclasses.replace(self, amount=factor * self.amount, pieces=pieces)


def load_terms(instance: Instance, limits: Limits, eligible: IntArray) -> tuple[LoadTerm, ...]:
    """List the load terms of a round, in the order of its coprocessors; none where no curve has a weight.

    Parameters
    ----------
    instance, limits
        The round and its rows.
    eligible
        Offers that can be chosen, in any order: they say how far each load can rise.
    """
    weighted = [
        (number, curve)
        for number, curve in enumerate(instance.coprocessors.load_curve)
        if curve is not None and curve.amount != 0.0
    ]
    if not weighted:
        return ()
    held, offers = instance.commitments, instance.offers
    eligible, size = np.unique(eligible), len(instance.coprocessors)
    rows = limits.of_kind(LimitKind.CAPACITY)
    row_of = {(int(limits.owner[row]), int(limits.detail[row])): int(row) for row in rows}
    terms = []
    for number, curve in weighted:
        k = curve.resource
        capacity = float(instance.coprocessors.capacity[number, k])
        start = math.fsum(held.work[held.coprocessor == number, k].tolist()) / capacity
        most = float(sum_by_owner(offers.coprocessor[eligible], offers.work[eligible, k], size)[number])
        end = min(max(start, 1.0), start + most / capacity)
        pieces = None
        if end > start + NO_MOVE:
            pieces = overestimate(curve.incentive, curve.amount, start, end, LOAD_TOLERANCE)
        terms.append(LoadTerm(row_of[number, k], capacity, start, curve.incentive, curve.amount, pieces))
    return tuple(terms)


@dataclass(frozen=True, slots=True, eq=False)
class Pieces:
    """The straight pieces of all load terms as columns and rows, with names for what they are.

    Each piece has a share ``used`` between 0 and 1; the load above its start is the sum of what is used.
    Within a concave run a maximisation uses steeper pieces first by itself. Where slopes rise a binary
    ``opened`` says whether the next run may be used: only once all pieces of the one before are used up (the
    incremental form; H. M. Markowitz & A. S. Manne, Econometrica 25 (1957) 84-110). P pieces, Q binaries, T
    terms whose load can move.

    Attributes
    ----------
    row, capacity
        Shape (T,). Capacity row, and capacity in the unit of the resource.
    length, gain, term
        Shape (P,). Length in units of load; what the whole piece earns, in currency; number of its term
        among the T, ascending.
    opens, needs
        Shape (P,). Binary that must be 1 before the piece may be used, or -1; binary that may only be 1 once
        the piece is used up, or -1.
    binaries
        Q.
    """

    row: IntArray
    capacity: FloatArray
    length: FloatArray
    gain: FloatArray
    term: IntArray
    opens: IntArray
    needs: IntArray
    binaries: int

    @classmethod
    def of(cls, terms: tuple[LoadTerm, ...]) -> Pieces:
        """Gather the pieces of load terms."""
        moving = [(term, term.pieces) for term in terms if term.pieces is not None]
        opens, needs, binaries = [], [], 0
        for _, pieces in moving:
            run = pieces.run
            last = int(run[-1])
            opens.append(np.where(run > 0, binaries + run - 1, -1))
            needs.append(np.where(run < last, binaries + run, -1))
            binaries += last
        empty = [np.zeros(0, dtype=np.int64)]
        return cls(
            row=np.array([term.row for term, _ in moving], dtype=np.int64),
            capacity=np.array([term.capacity for term, _ in moving]),
            length=np.concatenate([np.zeros(0), *(pieces.lengths for _, pieces in moving)]),
            gain=np.concatenate([np.zeros(0), *(np.diff(pieces.value) for _, pieces in moving)]),
            term=np.repeat(np.arange(len(moving)), [len(pieces.lengths) for _, pieces in moving]),
            opens=np.concatenate(empty + opens),
            needs=np.concatenate(empty + needs),
            binaries=binaries,
        )

    def block(self, work: csr_array) -> Block:
        """Rows and columns to put below and beside a program.

        Columns: the pieces used, then the binaries. Rows: the loads, then the pieces that must be used up
        before a binary may be 1, then those that a binary opens.

        Parameters
        ----------
        work
            Shape (T, n), CSR. What each of the program's n choices takes of each term's capacity row.
        """
        from scipy.sparse import block_array, coo_array, csr_array, diags_array

        from bondwork.risk.measure import Block

        terms, pieces, n = len(self.row), len(self.length), work.shape[1]
        load = diags_array(1.0 / self.capacity, format="csr") @ csr_array(work)
        used = coo_array((-self.length, (self.term, np.arange(pieces))), shape=(terms, pieces))
        before, after = np.flatnonzero(self.needs >= 0), np.flatnonzero(self.opens >= 0)
        piece = np.concatenate([before, after])
        binary = np.concatenate([self.needs[before], self.opens[after]])
        line, ones = np.arange(len(piece)), np.ones(len(piece))
        shares = coo_array((ones, (line, piece)), shape=(len(piece), pieces))
        opened = coo_array((-ones, (line, binary)), shape=(len(piece), self.binaries))
        rows: list[list[Any]] = [[load, used]]
        if self.binaries:
            rows = [
                [load, used, coo_array((terms, self.binaries))],
                [coo_array((len(piece), n)), shares, opened],
            ]
        matrix: Any = block_array(rows).tocsr()
        zeros, first, second = np.zeros(terms), len(before), len(after)
        return Block(
            matrix=matrix,
            row_lower=np.concatenate([zeros, np.zeros(first), np.full(second, -np.inf)]),
            row_upper=np.concatenate([zeros, np.full(first, np.inf), np.zeros(second)]),
            lower=np.zeros(pieces + self.binaries),
            upper=np.ones(pieces + self.binaries),
            integer=np.append(np.zeros(pieces, dtype=bool), np.ones(self.binaries, dtype=bool)),
            measured=np.append(self.gain, np.zeros(self.binaries)),
        )


def work_of_rows(limits: Limits, teams: Teams, rows: IntArray) -> csr_array:
    """What each team's members take of some capacity rows. Shape (len(rows), n), CSR."""
    from scipy.sparse import csr_array

    offers = limits.instance.offers
    coprocessor, team = offers.coprocessor[teams.member], teams.team
    parts = []
    for number, row in enumerate(rows.tolist()):
        mine = np.flatnonzero(coprocessor == limits.owner[row])
        work = offers.work[teams.member[mine], limits.detail[row]]
        parts.append((np.full(len(mine), number), team[mine], work))
    empty = np.zeros(0, dtype=np.int64)
    line, column = (np.concatenate([empty, *(part[k] for part in parts)]) for k in (0, 1))
    values = np.concatenate([np.zeros(0), *(part[2] for part in parts)])
    matrix = csr_array((values, (line, column)), shape=(len(rows), len(teams)))
    matrix.eliminate_zeros()
    return matrix


def start_value(terms: tuple[LoadTerm, ...]) -> float:
    """What the loads of the commitments alone earn, in currency."""
    return math.fsum(term.amount * term.incentive.at(term.start) for term in terms)


def load_error(terms: tuple[LoadTerm, ...]) -> float:
    """How far the pieces of all terms together are above the exact incentives at most, in currency."""
    return math.fsum(term.pieces.error for term in terms if term.pieces is not None)
