"""Scaling before a solver: by powers of two, rows and objective near their sizes, impossible choices out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from scipy.sparse import csr_array

import bondwork
from bondwork.program.matrices import Matrices
from bondwork.program.scaling import OBJECTIVE_SIZE, scale
from rounds_strategy import Document, examples, rounds


def make_matrices(
    objective: list[float], matrix: list[list[float]], row_upper: list[float], **other: Any
) -> Matrices:
    """Return a program of whole columns between 0 and 1, unless said otherwise."""
    n = len(objective)
    fields: dict[str, Any] = {
        "objective": np.array(objective, dtype=float),
        "offset": 0.0,
        "matrix": csr_array(np.array(matrix, dtype=float).reshape(len(row_upper), n)),
        "row_lower": np.full(len(row_upper), -np.inf),
        "row_upper": np.array(row_upper, dtype=float),
        "lower": np.zeros(n),
        "upper": np.ones(n),
        "integer": np.ones(n, dtype=bool),
    }
    return Matrices(**fields | {name: np.array(value) for name, value in other.items()})


def is_power_of_two(values: Any) -> bool:
    return bool(np.all(np.frexp(values)[0] == 0.5))


@pytest.mark.parametrize("money", [1.0, 1e18, 1e-9, 3e-7])
def test_sizes_after_scaling(money: float):
    program = make_matrices(
        [3 * money, -7 * money, 0.0], [[1, 1, 1], [1e9, 3e8, 0], [0, 2e-7, 5e-8]], [1, 2e9, 1e-6]
    )
    scaled = scale(program)
    assert 2.0 ** (OBJECTIVE_SIZE - 1) <= np.abs(scaled.objective).max() < 2.0**OBJECTIVE_SIZE
    rows = np.repeat(np.arange(3), np.diff(program.matrix.indptr))
    for row in range(3):
        assert 0.5 <= np.abs(scaled.data[rows == row]).max() < 1.0
    assert is_power_of_two(scaled.objective_scale)
    assert is_power_of_two(scaled.row_scale)


@examples(0.5)
@given(document=rounds())
def test_scaling_rounds_nothing(document: Document):
    program = bondwork.build(bondwork.load(document))
    scaled = scale(program)
    assert is_power_of_two(scaled.row_scale)
    rows = np.repeat(np.arange(len(program.row_upper)), np.diff(program.matrix.indptr))
    gone = (scaled.upper == 0.0)[program.matrix.indices]
    np.testing.assert_array_equal(
        scaled.data[~gone] / scaled.row_scale[rows[~gone]], program.matrix.data[~gone]
    )
    np.testing.assert_array_equal(scaled.row_upper / scaled.row_scale, program.row_upper)
    np.testing.assert_array_equal(scaled.row_lower / scaled.row_scale, program.row_lower)
    np.testing.assert_array_equal(scaled.objective / scaled.objective_scale, program.objective)


def test_what_alone_exceeds_a_limit_is_out():
    program = make_matrices([1, 1, 1, 1], [[5, 4, 6, 0.5], [1, 1, 1, 1]], [5, 1])
    scaled = scale(program)
    assert scaled.upper.tolist() == [1, 1, 0, 1]
    assert program.upper.tolist() == [1, 1, 1, 1]
    # what is out has no part in the row, nor in its scale
    assert scaled.data[:4].tolist() == [0.625, 0.5, 0.0, 0.0625]


def test_a_huge_coefficient_that_is_out_does_not_spoil_the_row():
    scaled = scale(make_matrices([1, 1], [[1e18, 3.0]], [5]))
    assert scaled.upper.tolist() == [0, 1]
    assert scaled.row_scale.tolist() == [0.25]


@pytest.mark.parametrize(
    "other",
    [
        {"matrix": [[6, -1]]},  # the second makes room
        {"integer": [False, True]},  # a part of it fits
        {"lower": [1.0, 0.0]},  # it is there anyway: the solver is to say that nothing is possible
    ],
    ids=["negative coefficient", "not whole", "fixed"],
)
def test_what_may_fit_after_all_stays(other: dict[str, Any]):
    matrix = other.pop("matrix", [[6, 1]])
    program = make_matrices([1, 1], matrix, [5], **other)
    assert scale(program).upper.tolist() == [1, 1]


def test_rounding_is_no_reason_to_rule_out():
    assert scale(make_matrices([1], [[0.1 + 0.2]], [0.3])).upper.tolist() == [1]
    assert scale(make_matrices([1], [[0.300001]], [0.3])).upper.tolist() == [0]


def test_rows_without_coefficients_are_scaled_by_their_bounds():
    scaled = scale(make_matrices([1.0], [[0.0], [0.0], [1.0]], [-1e-12, 0.0, 1.0]))
    assert scaled.row_upper[0] <= -0.5
    assert scaled.row_upper[1:].tolist() == [0.0, 0.5]


def test_no_objective_is_left_alone():
    scaled = scale(make_matrices([0.0, 0.0], [[1, 1]], [1]))
    assert scaled.objective_scale == 1.0
    assert scale(make_matrices([], [], [])).objective_scale == 1.0
