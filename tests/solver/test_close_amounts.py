"""Amounts close together, or near to nothing beside others: HiGHS calls no poor solution the best."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest
from scipy.sparse import csr_array

from bondwork.contracts import Options
from bondwork.observing import Silence
from bondwork.program.close_amounts import spread
from bondwork.program.matrices import Matrices
from bondwork.solver.solving import solve_program

OPTIONS = Options(mip_rel_gap=0.0, threads=1)


def make_program(random: np.random.Generator, kind: str) -> Matrices:
    """Draw up to eight choices and up to seven rows; ``near nothing`` or ``near each other``."""
    n, m, packs = int(random.integers(3, 9)), int(random.integers(1, 5)), int(random.integers(0, 4))
    big = float(random.choice([1.0, 100.0, 100.0, 1e6]))
    if kind == "near nothing":
        small = [big * 10.0 ** -random.uniform(5, 9.5), 0.00011, 0.9]
        room = np.full(m, big)
    else:
        small = [big * (1.0 + sign * 10.0 ** -random.uniform(5, 8)) for sign in (1, 1, -1)] + [big / 2]
        room = big * random.choice([1.0, 1.5, 2.0, 3.0], m)
    rows = random.choice([0.0, big, *small], (m, n))
    pairs = np.zeros((packs, n))
    for each in pairs:
        each[random.choice(n, 2, replace=False)] = 1.0
    matrix = csr_array(np.vstack([rows, pairs]))
    cost = random.choice([1.0, 2.0, 3.0, 3.4, 4.05, 5.0, 0.45], n)
    upper = np.append(room, np.ones(packs))
    nothing = np.full(m + packs, -np.inf)
    return Matrices(cost, 0.0, matrix, nothing, upper, np.zeros(n), np.ones(n), np.ones(n, dtype=bool))


def best_value(program: Matrices, slack: float) -> float:
    points = np.array(list(itertools.product([0.0, 1.0], repeat=len(program.objective))))
    kept = np.all(program.matrix @ points.T <= (program.row_upper * (1.0 + slack))[:, np.newaxis], axis=0)
    return float((points[kept] @ program.objective).max())


@pytest.mark.parametrize("kind", ["near nothing", "near each other"])
def test_close_amounts_lose_no_solution(kind: str) -> None:
    random = np.random.default_rng(3)
    for _ in range(70):
        program = make_program(random, kind)
        exact, lax = best_value(program, 1e-12), best_value(program, 1e-6)
        answer = solve_program(program, OPTIONS, Silence())
        assert answer.status == "optimal"
        assert exact * (1.0 - 1e-9) <= answer.bound <= lax * (1.0 + 1e-6)
        assert answer.x is not None
        assert exact * (1.0 - 1e-9) <= program.value(answer.x) <= lax * (1.0 + 1e-9)


def rows_of(*rows: list[float], upper: list[float], integer: list[bool] | None = None) -> Matrices:
    matrix = np.array(rows)
    m, n = matrix.shape
    whole = np.ones(n, dtype=bool) if integer is None else np.array(integer)
    nothing = np.full(m, -np.inf)
    return Matrices(
        np.ones(n), 0.0, csr_array(matrix), nothing, np.array(upper), np.zeros(n), np.ones(n), whole
    )


def test_only_rows_of_whole_columns_whose_amounts_are_close_are_made_larger() -> None:
    plain = rows_of([1.0, 2.0, 3.0], [100.0, 1.0, 0.0], upper=[4.0, 100.0])
    assert spread(plain).tolist() == [0, 0]
    close = rows_of(
        [100.0, 0.00011, 1.0],  # near nothing
        [100.0, 100.00011, 1.0],  # near each other
        [100.0, 50.0, 1.0],  # near the limit
        [1.0, 1e-13, 1.0],  # a rounding
        upper=[100.0, 300.0, 100.0001, 1.0],
    )
    assert (spread(close) > 0).tolist() == [True, True, True, False]
    assert spread(close).max() <= 20
    fraction = rows_of([100.0, 0.00011], upper=[100.0], integer=[True, False])
    assert spread(fraction).tolist() == [0]


def test_numbers_of_a_row_keep_digits() -> None:
    # the limit is a thousand times what one choice takes: made larger by 2**20 it would have too few left
    assert spread(rows_of([1.0, 1e-8], upper=[1000.0])).tolist() == [13]


@pytest.mark.parametrize(("little", "best"), [(0.00011, 1.0), (0.00009, 2.0)])
@pytest.mark.parametrize("tolerance", [1e-6, 1e-9])
def test_a_row_is_as_wide_as_what_is_verified(little: float, best: float, tolerance: float) -> None:
    # 100 and a little of 100: of programs a millionth of the row is let pass, of rounds nothing that counts
    program = dataclasses.replace(rows_of([100.0, little], upper=[100.0]), row_tolerance=tolerance)
    answer = solve_program(program, OPTIONS, Silence())
    best = best if tolerance == 1e-6 else 1.0
    assert answer.x is not None
    assert program.value(answer.x) == best
    assert answer.bound == pytest.approx(best)
