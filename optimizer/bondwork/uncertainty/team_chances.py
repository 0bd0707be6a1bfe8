"""How often a quorum of a team succeeds where outcomes depend on each other: integrals, not scenarios.

Members of a team are different executors, so that only the common factor ties them. Given it they are
independent, and the chance of a quorum is that of a Poisson binomial law; the average over the factor is
one-dimensional. Where its share is moderate, the trapezoidal rule on the whole line takes it with nodes that
all teams share; the difference to the rule with half the nodes says whether more are needed. Near a share of
1 chances are steps, and the average is taken piece by piece between them. Given a round of a history the
members are independent, too, and the average goes over the rounds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bondwork.uncertainty.common_factor import FactorModel, resampled_success
from bondwork.uncertainty.normal_nodes import SMOOTH, normal_pieces, normal_trapezoid, smooth_step

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bondwork.arrays import FloatArray, IntArray
    from bondwork.uncertainty.outcomes import OutcomeLaw

#: Halving the step squares the error of the rule at least: so near to each other, the finer one is exact.
_CLOSE = 1e-6

#: Cells (teams times nodes) of a table handled at a time: 2 MB each.
_CELLS = 1 << 18


@dataclass(frozen=True, slots=True, eq=False)
class Chances:
    """Chances of t teams with k members each.

    Attributes
    ----------
    success
        Shape (t,). Probability that the quorum is reached.
    blame
        Shape (t, k). Probability that it is not, and the member fails and none before it that is at the same
        executor.
    """

    success: FloatArray
    blame: FloatArray


def team_chances(law: OutcomeLaw, teams: IntArray, quorum: int, rates: FloatArray | None = None) -> Chances:
    """Chances of teams of one size whose members' outcomes depend on each other.

    Parameters
    ----------
    law
        Joint law of pieces of work.
    teams
        Shape (t, k). The pieces that each team does, of different executors.
    quorum
        How many must succeed.
    rates
        Failure rates of a history whose rounds are resampled, shape (rounds, executors): in place of the
        factor model.

    Notes
    -----
    The absolute error is below 1e-10; a history's average is exact for its rounds.

    Examples
    --------
    >>> from bondwork.uncertainty.dependence import Dependence
    >>> from bondwork.uncertainty.outcomes import OutcomeLaw
    >>> law = OutcomeLaw.of([0, 1], [0.5, 0.75], dependence=Dependence(common=1.0))
    >>> team_chances(law, np.array([[0, 1]]), 1).success.tolist()
    [0.75]
    """
    found = Chances(np.zeros(len(teams)), np.zeros(teams.shape))
    failing = 1.0 - law.success_probability
    if rates is not None:
        past = resampled_success(law, rates)
        equal = np.full(len(rates), 1.0 / len(rates))
        for rows in _blocks(len(teams), len(rates)):
            _average(found, rows, past[teams[rows]], equal, quorum)
    elif law.dependence.common <= SMOOTH:
        _integrate_shared(found, FactorModel.of(law), teams, quorum)
    else:
        _integrate_piecewise(found, FactorModel.of(law), teams, quorum)
    if quorum >= teams.shape[1]:  # who fails lets the team fail
        found.blame[:] = failing[teams]
    np.clip(found.success, 0.0, 1.0, out=found.success)
    np.clip(found.blame, 0.0, failing[teams], out=found.blame)
    return found


def _integrate_shared(found: Chances, model: FactorModel, teams: IntArray, quorum: int) -> None:
    """Trapezoidal rule with halved steps for those that need them."""
    slope = model.common / (1.0 - model.common)
    step = smooth_step(teams.shape[1] * slope)
    left = np.arange(len(teams))
    while len(left):
        factor, weight = normal_trapezoid(step)
        again = []
        for block in _blocks(len(left), len(factor)):
            rows = left[block]
            pieces, where = np.unique(teams[rows], return_inverse=True)
            table = model.success(pieces, factor)[where.reshape(teams[rows].shape)]
            coarse = _average(found, rows, table, weight, quorum)
            again.append(rows[coarse > _CLOSE])
        left = np.concatenate(again)
        step /= 2.0


def _integrate_piecewise(found: Chances, model: FactorModel, teams: IntArray, quorum: int) -> None:
    """Gauss-Legendre between the bends of a team's members; teams with the same first member go together."""
    bends: dict[int, FloatArray] = {}
    for rows in _alike(teams[:, 0]):
        for some in _blocks(len(rows), 4096):
            mine = rows[some]
            pieces, where = np.unique(teams[mine], return_inverse=True)
            for piece in pieces.tolist():
                if piece not in bends:
                    bends[piece] = model.bends(piece)
            factor, weight = normal_pieces([bends[piece] for piece in pieces.tolist()])
            table = model.success(pieces, factor)[where.reshape(teams[mine].shape)]
            _average(found, mine, table, weight, quorum)


def _average(
    found: Chances, rows: IntArray, table: FloatArray, weight: FloatArray, quorum: int
) -> FloatArray:
    """Write the averages of some teams down; return by how much every other node alone errs.

    ``table`` has shape (teams, members, nodes): how often each member succeeds.
    """
    size = table.shape[1]
    short = _short([table[:, member] for member in range(size)], quorum)
    failed = short @ weight
    found.success[rows] = 1.0 - failed
    apart: FloatArray = np.abs(failed - 2.0 * (short[:, ::2] @ weight[::2]))
    if quorum == 1:
        found.blame[rows] = failed[:, np.newaxis]
    elif quorum < size:
        for member in range(size):
            others = [table[:, each] for each in range(size) if each != member]
            found.blame[rows, member] = ((1.0 - table[:, member]) * _short(others, quorum)) @ weight
    return apart


def _short(p: list[FloatArray], quorum: int) -> FloatArray:
    """Probability that fewer than ``quorum`` of independent trials succeed; all of one shape."""
    if quorum == 1:
        failed = 1.0 - p[0]
        for each in p[1:]:
            failed = failed * (1.0 - each)
        return failed
    if quorum == len(p):
        all_of_them = p[0]
        for each in p[1:]:
            all_of_them = all_of_them * each
        return np.asarray(1.0 - all_of_them)
    counts = [1.0 - p[0], p[0]]
    for each in p[1:]:
        missed = 1.0 - each
        longer = [counts[0] * missed]
        longer += [counts[k] * missed + counts[k - 1] * each for k in range(1, min(len(counts), quorum))]
        if len(counts) < quorum:
            longer.append(counts[-1] * each)
        counts = longer
    return np.asarray(sum(counts[1:quorum], counts[0]))


def _blocks(count: int, width: int) -> Iterator[IntArray]:
    size = max(_CELLS // max(width, 1), 1)
    for first in range(0, count, size):
        yield np.arange(first, min(first + size, count))


def _alike(values: IntArray) -> list[IntArray]:
    """Positions of equal values, together."""
    order = np.argsort(values, kind="stable")
    cuts = np.flatnonzero(np.diff(values[order])) + 1
    return np.split(order, cuts)
