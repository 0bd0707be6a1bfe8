"""Small mixed-integer programs with numbers as people write them, and their optima by enumeration."""

from __future__ import annotations

import itertools
import math

import numpy as np
from scipy.sparse import csr_array

from bondwork.program.matrices import Matrices


def random_program(random: np.random.Generator) -> Matrices:
    """Draw a bounded program: up to three whole columns, up to two others, up to four rows.

    Whole and half coefficients, rows of any sense, bounds below 0 and bounds that are fractions, costs that
    are 0 and costs that tie.
    """
    whole, free = int(random.integers(0, 4)), int(random.integers(0, 3))
    n = max(whole + free, 1)
    integer = np.arange(n) < whole
    m = int(random.integers(0, 5))
    matrix = random.integers(-4, 9, (m, n)) * random.choice([0.0, 1.0, 1.0], (m, n)) / random.choice([1, 2])
    lower = np.where(random.random(n) < 0.3, -random.integers(1, 4, n), 0).astype(float)
    upper = lower + random.integers(0, 5, n) + np.where(random.random(n) < 0.2, 0.5, 0.0)
    middle = matrix @ (lower + upper) / 2.0
    room = np.round(random.uniform(-2.0, 6.0, m), 1)
    at_most, at_least = np.full(m, np.inf), np.full(m, -np.inf)
    sense = random.integers(0, 4, m)
    at_most[sense != 1] = np.round(middle + room, 1)[sense != 1]
    at_least[sense == 1] = np.round(middle - room, 1)[sense == 1]
    both = sense == 3
    at_least[both] = at_most[both] - np.abs(np.round(room[both], 0))
    cost = random.integers(-5, 6, n) * random.choice([1.0, 0.1, 1000.0])
    offset = float(random.integers(-3, 4))
    rows = csr_array(matrix.reshape(m, n))
    return Matrices(cost, offset, rows, at_least, at_most, lower, upper, integer)


def best_value(program: Matrices) -> float | None:
    """Optimum by enumeration of the whole columns and of the vertices of the others; ``None``: infeasible."""
    whole = np.flatnonzero(program.integer)
    others = np.flatnonzero(~program.integer)
    ranges = [range(math.ceil(program.lower[k]), math.floor(program.upper[k]) + 1) for k in whole]
    best = None
    for chosen in itertools.product(*ranges):
        x = np.zeros(len(program.lower))
        x[whole] = chosen
        for point in _vertices(program, others, x):
            x[others] = point
            if np.all(program.excess(x) <= 1e-9):
                best = max(program.value(x), -math.inf if best is None else best)
    return best


def _vertices(program: Matrices, others: np.ndarray, x: np.ndarray) -> list[np.ndarray]:
    """Candidates for a vertex of the polytope of the columns that are not whole."""
    count = len(others)
    if not count:
        return [np.zeros(0)]
    dense = program.matrix.toarray()
    rest = dense @ x - dense[:, others] @ x[others]
    normals, limits = [*np.eye(count), *np.eye(count)], [*program.lower[others], *program.upper[others]]
    for row, done, low, high in zip(dense, rest, program.row_lower, program.row_upper, strict=True):
        for limit in (low, high):
            if np.isfinite(limit):
                normals.append(row[others])
                limits.append(limit - done)
    found = []
    for places in itertools.combinations(range(len(limits)), count):
        matrix = np.array([normals[k] for k in places])
        if abs(np.linalg.det(matrix)) < 1e-9:
            continue
        point = np.linalg.solve(matrix, [limits[k] for k in places])
        if np.all(point >= program.lower[others] - 1e-9) and np.all(point <= program.upper[others] + 1e-9):
            found.append(point)
    return found


def feasible_program(random: np.random.Generator) -> tuple[Matrices, np.ndarray]:
    """Draw a larger program around a point that meets it, with coefficients of two decimals.

    Returns
    -------
    Matrices
        Up to twelve columns, up to ten rows, most of them nearly tight at the point.
    numpy.ndarray
        The point. Shape (n,).
    """
    n, m = int(random.integers(2, 13)), int(random.integers(1, 11))
    integer = random.random(n) < random.choice([0.0, 0.5, 1.0])
    bound = float(random.choice([1, 10, 100]))
    lower = np.where(random.random(n) < 0.5, -bound, 0.0)
    upper = np.full(n, bound)
    point = np.round(random.uniform(lower, upper), 2)
    point[integer] = np.round(point[integer])
    matrix = np.round(random.uniform(-100, 100, (m, n)), 2) * (random.random((m, n)) < 0.6)
    done = matrix @ point
    slack = np.round(random.uniform(0.0, 5.0, m), 2)
    cost = np.round(random.uniform(-30, 30, n), random.integers(0, 2))
    at_least = np.where(random.random(m) < 0.2, done - slack - 1.0, -np.inf)
    program = Matrices(cost, 0.0, csr_array(matrix), at_least, done + slack, lower, upper, integer)
    return program, point
