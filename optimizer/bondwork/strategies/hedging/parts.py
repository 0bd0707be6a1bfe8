"""What hedging solves itself: the parts of a split, one after the other, by HiGHS.

Nothing that mpi-sppy says is believed where it can be worked out again: its incumbents are followed up here,
and its final prices give a bound here.
"""

from __future__ import annotations

import dataclasses
import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bondwork.observing import Silence
from bondwork.solver.solving import solve_program

if TYPE_CHECKING:
    from bondwork.arrays import FloatArray
    from bondwork.contracts import Observer, Options, Status
    from bondwork.strategies.hedging.splitting import Split


@dataclass(frozen=True, slots=True, eq=False)
class Beginning:
    """What the linear relaxations of the parts say, each on its own.

    Attributes
    ----------
    status
        ``optimal``; or why there is nothing to begin with.
    bound
        Bound of the whole maximisation, in the scale of the split: the expectation of the relaxations.
    wishes
        Shape (parts, root): what each part would have the root do.
    """

    status: Status
    bound: float
    wishes: FloatArray


def ask_parts(split: Split, options: Options, observer: Observer) -> Beginning:
    """Solve the linear relaxation of each part.

    The answer is ``infeasible`` if one of them is: the program then has no solution either. A part may be
    ``dual_infeasible`` though the program is not.
    """
    ends = time.perf_counter() + options.time_limit
    wishes = np.zeros((len(split.parts), split.root))
    bounds = np.zeros(len(split.parts))
    for number, part in enumerate(split.parts):
        left = dataclasses.replace(options, time_limit=max(ends - time.perf_counter(), 0.0))
        answer = solve_program(part, left, observer, relaxed=True, phase="each part alone")
        if answer.status != "optimal" or answer.x is None:
            nothing = -math.inf if answer.status == "infeasible" else math.inf
            return Beginning(answer.status, nothing, wishes)
        wishes[number], bounds[number] = answer.x[: split.root], answer.bound
    return Beginning("optimal", float(split.probability @ bounds), wishes)


def follow(
    split: Split, root: FloatArray, options: Options, time_limit: float = math.inf
) -> FloatArray | None:
    """Columns of the extensive form with the root held fixed; ``None`` where a part cannot follow it.

    Nobody can stop this: mpi-sppy has done as much before, and what it has found is not to be lost.

    Parameters
    ----------
    root
        Shape (split.root,). A solver's tolerance in it is taken out.
    time_limit
        Seconds; the limit of ``options`` is for other things.
    """
    ends = time.perf_counter() + time_limit
    first, count = split.parts[0], split.root
    clean = np.where(first.integer[:count], np.round(root), root)
    clean = np.clip(clean, first.lower[:count], first.upper[:count])
    found = []
    for part in split.parts:
        lower, upper = part.lower.copy(), part.upper.copy()
        lower[:count] = upper[:count] = clean
        fixed = dataclasses.replace(part, lower=lower, upper=upper)
        answer = solve_program(
            fixed, _finer(options, ends - time.perf_counter()), Silence(), phase="recourse"
        )
        if answer.x is None or answer.status == "dual_infeasible":
            return None
        found.append(answer.x)
    return split.put_together(found)


def value(split: Split, x: FloatArray) -> float:
    """Objective of columns of the extensive form, in the unit of the program."""
    worth = [part.value(own) for part, own in zip(split.parts, split.take_apart(x), strict=True)]
    return float(split.probability @ np.array(worth)) / split.scale


def priced_bound(split: Split, prices: FloatArray, options: Options, observer: Observer) -> float:
    """Bound of the whole maximisation by prices on the root's columns, in the unit of the program.

    Parameters
    ----------
    prices
        Shape (parts, root): what a part pays for a unit of each column, in the scale of the split. Their
        expectation is made 0, without which there is no bound.

    Returns
    -------
    float
        ``inf`` where a part was not solved.
    """
    ends = time.perf_counter() + options.time_limit
    fair = prices - split.probability @ prices
    bounds = np.zeros(len(split.parts))
    for number, part in enumerate(split.parts):
        objective = part.objective.copy()
        objective[: split.root] -= fair[number]
        left = _finer(options, ends - time.perf_counter())
        priced = dataclasses.replace(part, objective=objective)
        bounds[number] = solve_program(priced, left, observer, phase="bound by prices").bound
        if not math.isfinite(bounds[number]):
            return math.inf
    return float(split.probability @ bounds) / split.scale


def is_infeasible(split: Split, options: Options, observer: Observer) -> bool:
    """Whether a part has no solution even by itself, as far as the time allows to find out."""
    ends = time.perf_counter() + options.time_limit
    for part in split.parts:
        left = dataclasses.replace(options, time_limit=ends - time.perf_counter(), mip_rel_gap=math.inf)
        if solve_program(part, left, observer, phase="each part alone").status == "infeasible":
            return True
    return False


def _finer(options: Options, time_limit: float) -> Options:
    # errors of parts must leave room for the gap between bound and incumbent
    return dataclasses.replace(
        options, time_limit=max(time_limit, 0.0), mip_rel_gap=options.mip_rel_gap / 2.0
    )
