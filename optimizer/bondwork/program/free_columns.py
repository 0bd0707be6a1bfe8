"""Multipliers under which columns free on both sides earn exactly nothing."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from bondwork.plan.certificate import BadCertificate
from bondwork.program.program_signs import SignRepair

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bondwork.program.program_bound import ProgramBound
    from bondwork.program.program_multipliers import Multiplier, Place

#: More free columns than this are not set right: fractions grow with each.
MOST_FREE = 60

#: How often columns that a correction has broken are taken in.
_TRIES = 4

#: A pivot smaller than this share of the largest is none.
_RANK = 1e-9


def project(
    bound: ProgramBound, multipliers: Mapping[Place, float], *, costs: bool
) -> dict[Place, Multiplier] | None:
    """Return multipliers, in the sense of the program, that prove a bound; ``None`` where no way was found.

    Parameters
    ----------
    multipliers
        Those of a solver, in the sense of the program.
    costs
        Whether columns cost what they cost, or nothing (for proofs that nothing is feasible).
    """
    found = bound.proven(multipliers, costs=costs)
    free = {column for column in range(len(bound.lower)) if _is_free(bound, column)}
    # columns that lack one bound may be held at exactly nothing, too, where the solver nearly does
    kept, near, reduced = free | set(found.loose), multipliers, found.reduced
    for _ in range(_TRIES):
        moved = _moved(bound, near, reduced, kept)
        if moved is None:
            break
        loose = _loose(bound, moved, costs)
        if loose is None or not loose - kept:
            return None if loose is None or loose else moved
        kept |= loose
    # or moved by hairs before: what they need leaves the free ones nearly right
    aside = SignRepair(bound, multipliers, costs=costs, leave=free).run()
    if aside is None:
        return None
    moved = _moved(bound, aside, bound.proven(aside, costs=costs).reduced, free)
    return moved if moved is not None and _loose(bound, moved, costs) == set() else None


def _loose(bound: ProgramBound, moved: Mapping[Place, Multiplier], costs: bool) -> set[int] | None:
    """Columns that earn without end; ``None`` where a multiplier is on a side where its row has no limit."""
    try:
        return set(bound.proven(moved, costs=costs).loose)
    except BadCertificate:
        return None


def _moved(
    bound: ProgramBound, near: Mapping[Place, float], reduced: Mapping[int, Fraction], columns: set[int]
) -> dict[Place, Multiplier] | None:
    """Multipliers under which some columns are worth exactly nothing; few of them move."""
    if len(columns) > MOST_FREE:
        return None
    kept = sorted(columns)
    number = {column: k for k, column in enumerate(kept)}
    entries: dict[Place, dict[int, Fraction]] = {}
    for place, row in bound.all_rows().items():
        mine: dict[int, Fraction] = {}
        for column, value in row.terms:
            if column in number:
                mine[number[column]] = mine.get(number[column], Fraction(0)) + value
        if mine:
            entries[place] = mine
    rooms = {place: _room(bound, place, near.get(place, 0.0), reduced, number) for place in entries}
    places = sorted(place for place, room in rooms.items() if room > 0.0)
    if not places:
        return None
    table = np.zeros((len(kept), len(places)))
    for k, place in enumerate(places):
        for at, value in entries[place].items():
            table[at, k] = float(value)
    most = max((room for room in rooms.values() if math.isfinite(room)), default=1.0)
    weight = np.array([min(rooms[place], most) for place in places])
    basis = [places[k] for k in _basis(table * weight)]
    lines = [[entries[place].get(at, Fraction(0)) for place in basis] for at in range(len(kept))]
    solved = _solve(lines, [reduced.get(column, Fraction(0)) for column in kept])
    if solved is None:
        return None
    moved: dict[Place, Multiplier] = dict(near)
    for place, by in zip(basis, solved, strict=True):
        moved[place] = bound.sign * by + Fraction(near.get(place, 0.0))
    return moved


def _is_free(bound: ProgramBound, column: int) -> bool:
    return bound.lower[column] is None and bound.upper[column] is None


def _room(
    bound: ProgramBound, place: Place, y: float, reduced: Mapping[int, Fraction], kept: Mapping[int, int]
) -> float:
    """How far a multiplier can move without breaking anything else."""
    row = bound.row(place)
    room = math.inf if row.lower is not None and row.upper is not None else abs(y)
    for column, value in row.terms:
        if column in kept or (bound.lower[column] is not None and bound.upper[column] is not None):
            continue
        room = min(room, abs(float(reduced.get(column, Fraction(0)) / value)))
    return room


def _basis(table: np.ndarray) -> list[int]:
    """Columns of a table that are independent, the longest first (Gram & Schmidt, with pivots)."""
    left, chosen = table.copy(), []
    largest = float(np.sqrt((left**2).sum(axis=0)).max(initial=0.0))
    for _ in range(len(table)):
        length = np.sqrt((left**2).sum(axis=0))
        at = int(np.argmax(length))
        if length[at] <= _RANK * largest or length[at] == 0.0:
            break
        chosen.append(at)
        direction = left[:, at] / length[at]
        left = left - np.outer(direction, direction @ left)
        left[:, at] = 0.0
    return chosen


def _solve(matrix: list[list[Fraction]], right: list[Fraction]) -> list[Fraction] | None:
    """Solve in fractions for as many unknowns as there are columns; ``None`` where that cannot be."""
    rows = [[*line, level] for line, level in zip(matrix, right, strict=True)]
    size = len(matrix[0]) if matrix else 0
    for k in range(size):
        pivot = next((i for i in range(k, len(rows)) if rows[i][k]), None)
        if pivot is None:
            return None
        rows[k], rows[pivot] = rows[pivot], rows[k]
        head = rows[k]
        for i, line in enumerate(rows):
            if i != k and line[k]:
                factor = line[k] / head[k]
                rows[i] = [a - factor * b if b else a for a, b in zip(line, head, strict=True)]
    if any(line[size] for line in rows[size:]):
        return None  # equations that contradict each other
    return [rows[k][size] / rows[k][k] for k in range(size)]
