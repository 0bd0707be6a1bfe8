"""Finish what is left exactly: HiGHS on the columns that reduced-cost fixing could not remove.

A column whose forced choice brings the bound down to the incumbent is in no better plan (Posta, Ferland &
Michelon 2012 build their exact method for the generalised assignment problem on this). When few columns
survive, HiGHS solves the rest; the larger of its bound and the incumbent then bounds the whole program.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from bondwork.program.aggregation import solve_choices
from bondwork.program.cutting import CuttingPlanes
from bondwork.program.filling import Filling

if TYPE_CHECKING:
    from bondwork.arrays import BoolArray, FloatArray, IntArray
    from bondwork.contracts import Progress
    from bondwork.program.program import Program
    from bondwork.solver.answer import Answer
    from bondwork.strategies.lagrangian.session import Session


#: HiGHS looks at its clock between steps that can take longer than this: with less time it is not begun.
_LEAST_SECONDS = 0.2


class _Quiet:
    """Passes the wish to stop on; HiGHS's own progress is about the reduced program and stays unsaid."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def report(self, progress: Progress) -> None:
        """Ignore."""

    def should_stop(self) -> bool:
        """Whether the whole solve should stop."""
        return self._session.why_stop() is not None


def finish(session: Session, keep: BoolArray, seconds: float) -> bool:
    """Solve the program restricted to the columns in ``keep``, and say whether that settled all.

    The incumbent, if any, must have been the one that ``keep`` was computed with.
    """
    if seconds < _LEAST_SECONDS:
        return False
    program, shape = session.program, session.shape
    columns = np.sort(shape.columns[keep])
    if session.assigned is not None:
        columns = np.union1d(columns, shape.columns[session.assigned[session.assigned >= 0]])
    if program.measures:  # they know the columns by their numbers
        upper = np.zeros(len(program.objective))
        upper[columns] = program.upper[columns]
        reduced, columns = dataclasses.replace(program, upper=upper), np.arange(len(program.objective))
    else:
        reduced = _restrict(program, columns)
    return _finish_with_cuts(session, CuttingPlanes(reduced), columns, seconds)


def fill_last_room(program: Program, x: FloatArray) -> FloatArray:
    """Add to a plan whatever still earns something and fits, best first.

    A solve may be stopped between a better plan and its filling up, and what cuts held it to may be less than
    what a tail limit allows. As `bondwork.program.filling.fill_up`, but fast where hardly anything fits.
    """
    filling = Filling(program, x)
    core = filling.program
    fits = (core.objective > 0.0) & (x < 0.5) & (core.upper > 0.5)
    order = np.flatnonzero(fits & filling.may_fit())
    for column in order[np.argsort(-core.objective[order], kind="stable")].tolist():
        filling.add(column)
    return filling.x


def _finish_with_cuts(session: Session, cuts: CuttingPlanes, columns: IntArray, seconds: float) -> bool:
    """Solve the program of some columns again and again, with what its solutions break as further rows."""
    ends = session.seconds + seconds
    while True:
        # HiGHS stops by its own incumbent and bound; asking a tenth more leaves room for what scaling rounds.
        options = dataclasses.replace(
            session.options,
            time_limit=max(0.0, ends - session.seconds),
            mip_rel_gap=0.9 * session.options.mip_rel_gap,
        )
        start = None if session.x is None else session.x[columns]
        answer = solve_choices(cuts.matrices(), options, _Quiet(session), start=start)
        broken = 0
        if answer.x is not None:
            x = np.zeros(len(session.program.objective))
            x[columns] = answer.x[: len(columns)]
            session.offer_x(x, "finish")
            broken = cuts.separate(answer.x[: len(columns)])
        if not broken or answer.status != "optimal":
            return _settled(session, answer) and not broken
        _settled(session, dataclasses.replace(answer, status="other_error"))


def _settled(session: Session, answer: Answer) -> bool:
    """Take in what HiGHS says about the restricted program; says whether that settles the whole."""
    if answer.status == "infeasible":
        if session.assigned is None:
            session.status = "infeasible"
        return session.assigned is None
    if np.isfinite(answer.bound) and session.assigned is not None:
        scaled = (answer.bound - session.program.offset) / session.shape.unit
        session.offer_bound(max(scaled, session.value), "finish")
    if answer.status == "optimal" and session.assigned is not None:
        session.status = "optimal"
        return True
    return False


def _restrict(program: Program, columns: IntArray) -> Program:
    """Return the program with some of its choices; the others are 0."""
    matrix = program.matrix[:, columns]
    matrix.sort_indices()
    return dataclasses.replace(
        program,
        objective=program.objective[columns],
        matrix=matrix,
        lower=program.lower[columns],
        upper=program.upper[columns],
        integer=program.integer[columns],
        columns=program.columns[columns],
        teams=None if program.teams is None else program.teams.select(columns),
    )
