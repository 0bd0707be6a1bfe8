"""The three formulations are one model: same matrix, bounds and objective, for rounds of every shape."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings

from bondwork.problem.limits import Limits, enumerate_limits
from bondwork_models import cvxpy as cvxpy_model
from bondwork_models import highs as highs_model
from bondwork_models import pyomo as pyomo_model
from models.rounds import random_round, rounds

if TYPE_CHECKING:
    from bondwork.contracts import Formulation
    from bondwork.problem.instance import Instance
    from bondwork.program.program import Program

CVXPY, HIGHS, PYOMO = (
    cvxpy_model.CvxpyFormulation,
    highs_model.HighsFormulation,
    pyomo_model.PyomoFormulation,
)


def check_same(one: Program, other: Program) -> None:
    assert one.matrix.shape == other.matrix.shape
    np.testing.assert_array_equal(one.matrix.indptr, other.matrix.indptr)
    np.testing.assert_array_equal(one.matrix.indices, other.matrix.indices)
    np.testing.assert_allclose(one.matrix.data, other.matrix.data, rtol=1e-12, atol=0)
    for name in ("row_lower", "row_upper", "lower", "upper", "objective"):
        np.testing.assert_allclose(getattr(one, name), getattr(other, name), rtol=1e-12, atol=0)
    np.testing.assert_array_equal(one.integer, other.integer)
    np.testing.assert_array_equal(one.columns, other.columns)
    assert one.offset == pytest.approx(other.offset, rel=1e-12, abs=0)


def check_form(program: Program) -> None:
    matrix = program.matrix
    assert matrix.format == "csr"
    assert matrix.has_canonical_format, "indices are sorted, and no entry is there twice"
    assert (matrix.data != 0.0).all()


@settings(max_examples=60, deadline=None)
@given(rounds())
def test_three_formulations_agree(instance: Instance) -> None:
    programs = [formulation().build(instance) for formulation in (HIGHS, CVXPY, PYOMO)]
    for program in programs:
        check_form(program)
        check_same(programs[0], program)


@pytest.mark.parametrize("formulation", [CVXPY, PYOMO])
@pytest.mark.parametrize("scale", [1e18, 1e-9])
def test_no_number_is_too_large_or_too_small(formulation: type[Formulation], scale: float) -> None:
    # powers of two, so that scaling is exact and the scaled program must be the program, scaled
    factor = 2.0 ** round(np.log2(scale))
    shape = {"operators": 2, "coprocessors": 4, "tasks": 10, "resources": 2}
    plain = formulation().build(random_round(3, **shape))
    scaled = formulation().build(random_round(3, **shape, money=factor, unit=factor))
    assert scaled.matrix.nnz == plain.matrix.nnz
    check_same(HIGHS().build(random_round(3, **shape, money=factor, unit=factor)), scaled)


@pytest.mark.parametrize("formulation", [CVXPY, HIGHS, PYOMO])
@pytest.mark.parametrize(
    ("tasks", "coprocessors"),
    [(0, 0), (0, 3), (4, 0), (4, 3)],
    ids=["empty", "no tasks", "no coprocessors", "no offers"],
)
def test_a_round_without_offers_keeps_its_rows(
    formulation: type[Formulation], tasks: int, coprocessors: int
) -> None:
    instance = random_round(1, operators=2, coprocessors=coprocessors, tasks=tasks, resources=2, density=0.0)
    program = formulation().build(instance)
    limits = enumerate_limits(instance)
    assert program.matrix.shape == (len(limits), 0)
    np.testing.assert_array_equal(program.row_lower, limits.lower)
    np.testing.assert_array_equal(program.row_upper, limits.upper)


@pytest.mark.parametrize("formulation", [CVXPY, PYOMO])
@pytest.mark.parametrize("lower", [lambda upper: upper - 1.0, lambda upper: upper], ids=["range", "equality"])
def test_rows_with_two_bounds(formulation: type[Formulation], lower, monkeypatch: pytest.MonkeyPatch) -> None:
    def bounded(instance: Instance) -> Limits:
        limits = enumerate_limits(instance)
        every_other = np.arange(len(limits)) % 2 == 0
        only_below = np.arange(len(limits)) % 5 == 0
        return replace(
            limits,
            lower=np.where(every_other, lower(limits.upper), limits.lower),
            upper=np.where(every_other & only_below, np.inf, limits.upper),
        )

    for module in (cvxpy_model, highs_model, pyomo_model):
        monkeypatch.setattr(module, "enumerate_limits", bounded)
    instance = random_round(5, operators=2, coprocessors=3, tasks=8, resources=2)
    check_same(HIGHS().build(instance), formulation().build(instance))


@pytest.mark.parametrize("formulation", [CVXPY, HIGHS, PYOMO])
def test_building_twice_gives_the_same_program(formulation: type[Formulation]) -> None:
    instance = random_round(11, operators=2, coprocessors=3, tasks=8, resources=1)
    check_same(formulation().build(instance), formulation().build(instance))
