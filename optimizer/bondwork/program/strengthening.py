"""Rows that cut off fractions: what a yes-or-no choice may use that another choice must open first.

Take a row  sum a[j] y[j]  <=  sum b[k] z[k] + sum s  with y binary, z whole, nothing negative: facilities z
with capacity b that serve customers y, with overflow s. For each j on its own

    y[j]  <=  sum min(1, b[k] / a[j]) z[k] + sum s / a[j]

holds at every whole point: where some z[k] >= 1 has b[k] >= a[j], its term alone is 1; else no coefficient
was lowered that counts, and the row itself, divided by a[j], says the same. The linear relaxation of the
original row lets y[j] be 1 with z at a[j] / b[k]; this one does not. Solvers derive some of these rows while
they run; given all of them at once, the first relaxation is tight: the bound of SSLP 15_45_5 (minimised) goes
from -280.5 to -268.0, its optimum being -262.4, that of 5_25_50 from -160.1 to -126.9, its optimum -121.6.

References
----------
H. Marchand & L. A. Wolsey, Aggregation and mixed integer rounding to solve MIPs, Operations Research 49
(2001) 363-371. L. Ntaimo & S. Sen, The million-variable "march" for stochastic combinatorial optimization,
Journal of Global Optimization 32 (2005) 385-400.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import csr_array, vstack

from bondwork.program.matrices import Matrices

if TYPE_CHECKING:
    from bondwork.arrays import BoolArray, FloatArray, IntArray

#: Rows with more terms on the side that opens are left alone: their single rows would be long and weak.
MOST_OPENERS = 10

#: Entries added, as a multiple of those there are; rows are taken in order until it is reached.
MOST_GROWTH = 4


def strengthen(program: Matrices) -> tuple[Matrices, int]:
    """Add the rows of this module to a program, each implied by one of its rows at whole points.

    Parameters
    ----------
    program
        Any program; a linear one comes back as it is.

    Returns
    -------
    Matrices
        The program with further rows behind its own; same columns, same whole points, same optimum.
    int
        How many rows were added.

    Examples
    --------
    A facility of capacity 10 that serves three customers of 4: each only where it is open.

    >>> matrix = csr_array(np.array([[4.0, 4.0, 4.0, -10.0]]))
    >>> wide = np.zeros(4), np.ones(4)
    >>> program = Matrices(np.ones(4), 0.0, matrix, np.array([-np.inf]), np.zeros(1), *wide, np.ones(4, bool))
    >>> stronger, added = strengthen(program)
    >>> stronger.matrix.toarray()[1:].tolist()
    [[1.0, 0.0, 0.0, -1.0], [0.0, 1.0, 0.0, -1.0], [0.0, 0.0, 1.0, -1.0]]
    """
    stronger, origins = strengthen_with_origins(program)
    return stronger, len(origins)


def strengthen_with_origins(program: Matrices) -> tuple[Matrices, IntArray]:
    """Add the rows as `strengthen` does, and say whose row and user each is. Shape (added, 2)."""
    none = np.zeros((0, 2), dtype=np.int64)
    if not program.integer.any():
        return program, none
    found = [
        _single_rows(program, program.matrix.data, program.row_upper),
        _single_rows(program, -program.matrix.data, -program.row_lower),
    ]
    rows = [rows for rows, _ in found if rows.shape[0]]
    added = sum(each.shape[0] for each in rows)
    if not added:
        return program, none
    matrix = csr_array(vstack([program.matrix, *rows], format="csr"))
    matrix.sort_indices()
    stronger = Matrices(
        program.objective,
        program.offset,
        matrix,
        np.concatenate([program.row_lower, np.full(added, -np.inf)]),
        np.concatenate([program.row_upper, np.zeros(added)]),
        program.lower,
        program.upper,
        program.integer,
    )
    return stronger, np.concatenate([origins for _, origins in found])


def _single_rows(program: Matrices, data: FloatArray, limit: FloatArray) -> tuple[csr_array, IntArray]:
    """Rows ``y - sum of openers <= 0`` from the rows ``data @ x <= limit`` of the right form, and whose."""
    matrix = program.matrix
    count, width = matrix.shape
    row = np.repeat(np.arange(count), np.diff(matrix.indptr))
    column = matrix.indices.astype(np.int64)
    whole = program.integer[column]
    user = (data > 0.0) & whole & (program.upper[column] == 1.0)
    opener = data < 0.0
    openers = np.bincount(row[opener], minlength=count)
    fits = (limit == 0.0) & (openers > 0) & (openers <= MOST_OPENERS)
    fits[row[program.lower[column] < 0.0]] = False
    # something must be gained: an opener whose capacity is more than the user needs
    largest = np.zeros(count)
    np.maximum.at(largest, row[opener & whole], -data[opener & whole])
    user &= fits[row] & (largest[row] > data)
    user &= _affordable(user, openers[row], matrix.nnz)
    users = np.flatnonzero(user)
    rows = _assembled(users, np.flatnonzero(opener & fits[row]), row, column, data, whole, width)
    return rows, np.column_stack([row[users], column[users]])


def _affordable(user: BoolArray, length: IntArray, entries: int) -> BoolArray:
    """Which users come before the added entries outgrow the program."""
    return np.cumsum(np.where(user, length + 1, 0)) <= MOST_GROWTH * entries


def _assembled(
    user: IntArray,
    opener: IntArray,
    row: IntArray,
    column: IntArray,
    data: FloatArray,
    whole: BoolArray,
    width: int,
) -> csr_array:
    """One row for each user (an entry of the matrix), with every opener of the row that it stands in."""
    # openers are in the order of rows: those of one row are a run
    first = np.searchsorted(row[opener], row[user], side="left")
    length = np.searchsorted(row[opener], row[user], side="right") - first
    which = np.repeat(np.arange(len(user)), length)
    nth = np.arange(len(which)) - np.repeat(np.cumsum(length) - length, length)
    theirs = opener[np.repeat(first, length) + nth]
    share = -data[theirs] / data[user][which]
    share = np.where(whole[theirs], np.minimum(share, 1.0), share)
    lines = np.concatenate([np.arange(len(user)), which])
    places = np.concatenate([column[user], column[theirs]])
    values = np.concatenate([np.ones(len(user)), -share])
    return csr_array((values, (lines, places)), shape=(len(user), width))
