"""Rows of risk measures and of load incentives put below and beside the rows and columns of a round."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Literal

import numpy as np
from scipy.sparse import block_array, csr_array, vstack

from bondwork.program.loads import Pieces, start_value
from bondwork.program.program import BlockRows

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from bondwork.arrays import FloatArray, IntArray
    from bondwork.program.loads import LoadTerm
    from bondwork.program.program import Program
    from bondwork.risk.measure import Block, Cut, Measure


def with_measures(program: Program, measures: Sequence[Measure], in_rows: Collection[int]) -> Program:
    """Return a program that knows its tail limits, some of them as rows.

    Parameters
    ----------
    program
        Choices and limits only.
    measures
        Every tail limit of the round.
    in_rows
        Numbers of those whose rows are written down here; the others are lazy. What is not convex must be
        among them.
    """
    lazy = tuple(number for number in range(len(measures)) if number not in in_rows)
    result = dataclasses.replace(program, measures=tuple(measures), lazy=lazy)
    for number in sorted(in_rows):
        result = with_block(result, measures[number].block(), of=("measure", number))
    return result


def with_loads(program: Program, terms: tuple[LoadTerm, ...]) -> Program:
    """Return a program whose objective adds load incentives, by straight pieces.

    Parameters
    ----------
    program
        Choices and limits only, with the capacity rows that the terms refer to.
    terms
        See `bondwork.program.loads.load_terms`.
    """
    if not terms:
        return program
    pieces = Pieces.of(terms)
    loaded = dataclasses.replace(program, offset=program.offset + start_value(terms), loads=terms)
    return with_block(loaded, pieces.block(program.matrix[pieces.row]), of=("loads", -1), priced=-1.0)


def with_mean_risk(program: Program, weight: float, measure: Measure) -> Program:
    """Return a program whose objective is (1 - weight) times what it was, less weight times the measure."""
    scaled = dataclasses.replace(
        program,
        objective=(1.0 - weight) * program.objective,
        offset=(1.0 - weight) * program.offset,
        loads=tuple(term.scaled(1.0 - weight) for term in program.loads),
    )
    priced = with_block(scaled, measure.block(), of=("mean_risk", -1), priced=weight)
    return dataclasses.replace(priced, mean_risk=(weight, measure))


def with_block(
    program: Program,
    block: Block,
    *,
    of: tuple[Literal["measure", "mean_risk", "loads", "digits"], int],
    priced: float = 0.0,
) -> Program:
    """Return a program with a block's rows and auxiliary columns after its own.

    ``of`` says whose block it is, as in `bondwork.program.program.BlockRows`; ``priced`` times the block's
    measured value is taken off the objective.
    """
    rows, columns = program.matrix.shape
    auxiliaries = len(block.lower)
    n = block.matrix.shape[1] - auxiliaries
    # a block speaks of the choices, which come first, and of its own columns, which come last
    between = csr_array((block.matrix.shape[0], columns - n))
    matrix = block_array(
        [
            [program.matrix, csr_array((rows, auxiliaries))],
            [_beside(block.matrix[:, :n], between), block.matrix[:, n:]],
        ]
    )
    measured = block.measured if priced else np.zeros(auxiliaries)
    return dataclasses.replace(
        program,
        objective=np.append(program.objective, -priced * measured),
        matrix=matrix.tocsr(),
        row_lower=np.append(program.row_lower, block.row_lower),
        row_upper=np.append(program.row_upper, block.row_upper),
        lower=np.append(program.lower, block.lower),
        upper=np.append(program.upper, block.upper),
        integer=np.append(program.integer, block.integer),
        columns=np.append(program.columns, np.full(auxiliaries, -1)),
        blocks=(*program.blocks, BlockRows(*of, rows, block)),
    )


def with_cuts(program: Program, cuts: Sequence[Cut]) -> Program:
    """Return a program with cuts as rows after its own; they speak of the choices, which come first."""
    rows = []
    for cut in cuts:
        columns = np.flatnonzero(cut.normal)
        rows.append((columns, cut.normal[columns], cut.upper))
    return with_rows(program, rows)


def with_rows(program: Program, rows: Sequence[tuple[IntArray, FloatArray, float]]) -> Program:
    """Return a program with further rows after its own: columns, coefficients and upper bound of each."""
    line = np.repeat(np.arange(len(rows)), [len(columns) for columns, _, _ in rows])
    columns = np.concatenate([columns for columns, _, _ in rows])
    values = np.concatenate([values for _, values, _ in rows])
    more = csr_array((values, (line, columns)), shape=(len(rows), program.matrix.shape[1]))
    more.sort_indices()
    return dataclasses.replace(
        program,
        matrix=vstack([program.matrix, more]).tocsr(),
        row_lower=np.append(program.row_lower, np.full(len(rows), -np.inf)),
        row_upper=np.append(program.row_upper, [upper for _, _, upper in rows]),
    )


def _beside(left: csr_array, right: csr_array) -> csr_array:
    return left if right.shape[1] == 0 else block_array([[left, right]]).tocsr()
