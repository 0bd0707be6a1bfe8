"""Multipliers by which a strategy proves its bound, in the terms of the program and of its risk measures."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bondwork.arrays import FloatArray, IntArray
    from bondwork.program.program import BlockRows, Program
    from bondwork.risk.measure import Cut


@dataclass(frozen=True, slots=True, eq=False)
class TailProof:
    """Multipliers of one tail limit.

    Attributes
    ----------
    number
        Of the measure among the program's; -1 for the mean-risk objective.
    y
        Of the limit itself, currency per unit.
    places, weights
        Scenarios, for a Wasserstein ball columns of the program, and their multipliers.
    """

    number: int
    y: float
    places: IntArray
    weights: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class Proof:
    """What proves a bound by weak duality.

    Attributes
    ----------
    limits
        Shape (M,). Currency per unit of each of the program's limits; those of tasks are read with
        ``knapsacks`` only.
    tails
        Of tail limits and of the mean-risk objective.
    loads
        Shape (number of load terms,). Currency per unit of load.
    knapsacks
        Whether the bound is that of multipliers of tasks, with a knapsack for each executor.
    """

    limits: FloatArray
    tails: tuple[TailProof, ...] = ()
    loads: FloatArray | None = None
    knapsacks: bool = False


def proof_of(
    program: Program, row_duals: FloatArray, cuts: Iterable[tuple[int, int, Cut]] = ()
) -> Proof | None:
    """Read multipliers of a program's rows as a proof.

    Parameters
    ----------
    program
        The program that was solved. ``None`` comes back where nothing says what its further rows are.
    row_duals
        Shape (m,).
    cuts
        Measure, row and cut of what was generated.
    """
    if not is_described(program):
        return None
    duals = np.nan_to_num(row_duals, nan=0.0, posinf=0.0, neginf=0.0)
    loads = np.zeros(len(program.loads))
    tails = []
    for each in program.blocks:
        if each.kind == "loads":
            moving = [number for number, term in enumerate(program.loads) if term.pieces is not None]
            loads[moving] = -duals[each.first : each.first + len(moving)]
        elif each.kind != "digits":  # those say nothing but what a limit says exactly
            tails.append(_tail_of(program, each, duals))
    for number, row, cut in cuts:
        y = max(float(duals[row]), 0.0)
        if y and cut.weights is not None:
            places = np.flatnonzero(cut.weights)
            weights = y * cut.weights[places]
            if not program.measures[number].is_of_losses:
                places = program.measures[number].loss.columns[places]
            tails.append(TailProof(number, y, places, weights))
    return Proof(duals[: len(program.limits)], tuple(tails), loads)


def is_described(program: Program) -> bool:
    """Whether a program says what all its rows of risk measures and loads are."""
    kinds = {(each.kind, each.number) for each in program.blocks}
    wanted = {("measure", number) for number in range(len(program.measures)) if number not in program.lazy}
    if program.mean_risk is not None:
        wanted.add(("mean_risk", -1))
    if any(term.pieces is not None for term in program.loads):
        wanted.add(("loads", -1))
    return wanted <= kinds


def described(program: Program) -> Program:
    """Return a program with the same choices and limits whose other rows are written here, and so known.

    For formulations that write those rows in their own order. Rows that a formulation adds on its own are
    left out: the program is a relaxation then.
    """
    from bondwork.program.blocks import with_block
    from bondwork.program.loads import Pieces

    result = dataclasses.replace(program.without_auxiliaries(), lazy=program.lazy)
    if any(term.pieces is not None for term in program.loads):
        pieces = Pieces.of(program.loads)
        result = with_block(result, pieces.block(result.matrix[pieces.row]), of=("loads", -1), priced=-1.0)
    for number, measure in enumerate(program.measures):
        if number not in program.lazy:
            result = with_block(result, measure.block(), of=("measure", number))
    if program.mean_risk is not None:
        weight, measure = program.mean_risk
        result = with_block(result, measure.block(), of=("mean_risk", -1), priced=weight)
    return result


def _tail_of(program: Program, rows: BlockRows, duals: FloatArray) -> TailProof:
    """Multipliers of the rows of one measure."""
    block = rows.block
    mine = np.maximum(duals[rows.first : rows.first + len(block.row_lower)], 0.0) / block.unit
    if block.scenarios is None:  # a ball: a row for each amount, then the limit
        columns = program.measures[rows.number].loss.columns
        weights = mine[: len(columns)]
        kept = np.flatnonzero(weights)
        return TailProof(rows.number, float(mine[-1]), columns[kept], weights[kept])
    weights = mine[: len(block.scenarios)]
    y = float(mine[-1]) if len(mine) > len(weights) else float(weights.sum())
    kept = np.flatnonzero(weights)
    return TailProof(rows.number, y, block.scenarios[kept], weights[kept])
