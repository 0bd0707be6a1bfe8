"""What every row and column means, against a loop over the definition and a matrix written by hand."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings

import bondwork
from bondwork.problem.instance import NOBODY, Instance
from bondwork.problem.limits import LimitKind, Limits, enumerate_limits
from bondwork_models.cvxpy import CvxpyFormulation
from bondwork_models.highs import HighsFormulation
from bondwork_models.pyomo import PyomoFormulation
from models.rounds import random_round, rounds, small_round

if TYPE_CHECKING:
    from bondwork.contracts import Formulation

FORMULATIONS = [HighsFormulation, CvxpyFormulation, PyomoFormulation]
each_formulation = pytest.mark.parametrize("formulation", FORMULATIONS)


def counted(amount: float, decimals: int) -> float:
    """An amount's shortest text, rounded half to even to so many digits."""
    return float(Fraction(round(Fraction(repr(float(amount))) * 10**decimals), 10**decimals))


def taken(instance: Instance, limits: Limits, row: int, offer: int) -> float:
    """What choosing one offer takes of one limit, read off `LimitKind` one case at a time."""
    offers = instance.offers
    owner, detail = limits.owner[row], limits.detail[row]
    task, operator, coprocessor = offers.task[offer], offers.operator[offer], offers.coprocessor[offer]
    is_self = coprocessor == NOBODY
    slashing = instance.claims.slashing[offers.claim[offer]]
    loss = slashing * (1.0 - offers.success_probability[offer])
    match LimitKind(limits.kind[row]):
        case LimitKind.TASK:
            return 1.0 if task == owner else 0.0
        case LimitKind.CAPACITY:
            return offers.work[offer, detail] if not is_self and coprocessor == owner else 0.0
        case LimitKind.OPERATOR_CAPACITY:
            return offers.work[offer, detail] if is_self and operator == owner else 0.0
        case LimitKind.COLLATERAL:
            posted = counted(offers.collateral[offer], instance.decimals)
            return posted if not is_self and coprocessor == owner else 0.0
        case LimitKind.STAKE:
            return counted(slashing, instance.decimals) if operator == owner else 0.0
        case LimitKind.DEADLINE:
            in_time = instance.tasks.deadline[task] <= limits.deadline[row]
            return offers.duration[offer] if not is_self and coprocessor == owner and in_time else 0.0
        case LimitKind.EXPECTED_LOSS_NETWORK:
            return loss
        case LimitKind.EXPECTED_LOSS_OPERATOR:
            return loss if operator == owner else 0.0
        case LimitKind.EXPECTED_LOSS_COPROCESSOR:
            return loss if not is_self and coprocessor == owner else 0.0


def can_be_chosen(instance: Instance, offer: int) -> bool:
    offers, tasks = instance.offers, instance.tasks
    task, coprocessor = offers.task[offer], offers.coprocessor[offer]
    if offers.stage[offer] != 1 or task in instance.commitments.task:
        return False
    if coprocessor == NOBODY:
        return True
    if offers.collateral[offer] < tasks.minimum_collateral[task]:
        return False
    free = max(instance.coprocessors.free_at[coprocessor], instance.now)
    return not (instance.coprocessors.serial[coprocessor] and tasks.deadline[task] < free)


def worth(instance: Instance, offer: int) -> float:
    """What choosing an offer adds to the objective: its net reward, and its task is not left."""
    offers, claim, terms = instance.offers, instance.offers.claim[offer], instance.terms
    p = offers.success_probability[offer]
    is_self = offers.coprocessor[offer] == NOBODY
    paid = offers.bid[offer] * (p if terms.bid_paid == "on_success" and not is_self else 1.0)
    returned = terms.operator * terms.collateral_rate * offers.collateral[offer] * (1.0 - p)
    slashed = instance.claims.slashing[claim] * (1.0 - p)
    left = instance.tasks.unassigned_cost[offers.task[offer]]
    return instance.claims.reward[claim] * p - paid - slashed + returned + left


def check_against_loop(instance: Instance, formulation: type[Formulation]) -> None:
    program = formulation().build(instance)
    limits = enumerate_limits(instance)
    columns = [o for o in range(len(instance.offers)) if can_be_chosen(instance, o)]
    assert program.columns.tolist() == columns
    expected = [[taken(instance, limits, row, offer) for offer in columns] for row in range(len(limits))]
    np.testing.assert_allclose(
        program.matrix.toarray(), np.array(expected).reshape(len(limits), len(columns)), rtol=1e-12, atol=0
    )
    money = instance.claims.reward.max(initial=0.0) + instance.claims.slashing.max(initial=0.0)
    np.testing.assert_allclose(
        program.objective, [worth(instance, o) for o in columns], rtol=1e-12, atol=1e-12 * money
    )
    open_tasks = set(range(len(instance.tasks))) - set(instance.commitments.task.tolist())
    offset = -sum(instance.tasks.unassigned_cost[task] for task in open_tasks)
    assert program.offset == pytest.approx(offset, rel=1e-12)
    for name in ("kind", "owner", "detail", "deadline", "lower", "upper"):
        np.testing.assert_array_equal(getattr(program.limits, name), getattr(limits, name))
    np.testing.assert_allclose(program.row_lower, limits.lower, rtol=1e-12, atol=0)
    np.testing.assert_allclose(program.row_upper, limits.upper, rtol=1e-12, atol=0)
    assert program.integer.all()
    assert not program.lower.any()
    assert (program.upper == 1.0).all()


@settings(max_examples=60, deadline=None)
@given(rounds())
def test_every_row_of_highs_against_a_loop(instance: Instance) -> None:
    check_against_loop(instance, HighsFormulation)


@each_formulation
def test_every_row_against_a_loop(formulation: type[Formulation]) -> None:
    instance = random_round(7, operators=3, coprocessors=4, tasks=12, resources=2)
    assert set(enumerate_limits(instance).kind) == set(LimitKind), "the round leaves a kind of row out"
    check_against_loop(instance, formulation)


@each_formulation
def test_small_round_by_hand(formulation: type[Formulation]) -> None:
    program = formulation().build(small_round())
    assert program.columns.tolist() == [0, 1, 2, 3, 4]
    rows = {
        # offers     0: op-0/cp-0  1: op-1/cp-1  2: op-0 itself  3: op-0/cp-1  4: op-0 itself
        "task t-0": ([1.0, 1.0, 1.0, 0.0, 0.0], -np.inf, 1.0),
        "task t-1": ([0.0, 0.0, 0.0, 1.0, 1.0], 1.0, 1.0),
        "task t-3": ([0.0, 0.0, 0.0, 0.0, 0.0], -np.inf, 1.0),
        "capacity compute of cp-0": ([2.0, 0.0, 0.0, 0.0, 0.0], -np.inf, 9.0),
        "capacity memory of cp-0": ([1.0, 0.0, 0.0, 0.0, 0.0], -np.inf, 6.0),
        "capacity memory of cp-1": ([0.0, 0.0, 0.0, 2.0, 0.0], -np.inf, 4.0),
        "capacity compute of op-0": ([0.0, 0.0, 2.5, 0.0, 1.0], -np.inf, 3.0),
        "collateral of cp-1": ([0.0, 16.0, 0.0, 4.0, 0.0], -np.inf, 30.0),
        "stake of op-0": ([32.0, 0.0, 32.0, 12.0, 12.0], -np.inf, 30.0),
        "deadline 200 of cp-1": ([0.0, 0.0, 0.0, 50.0, 0.0], -np.inf, 100.0),
        "deadline 400 of cp-1": ([0.0, 90.0, 0.0, 50.0, 0.0], -np.inf, 300.0),
        "expected loss of op-0": ([8.0, 0.0, 0.0, 1.5, 9.0], -np.inf, 10.0),
        "expected loss of network": ([8.0, 12.0, 0.0, 1.5, 9.0], -np.inf, 25.0),
        "expected loss of cp-0": ([8.0, 0.0, 0.0, 0.0, 0.0], -np.inf, 4.0),
        "expected loss of cp-1": ([0.0, 12.0, 0.0, 1.5, 0.0], -np.inf, 9.0),
    }
    assert [program.limits.label(row) for row in range(len(program.limits))] == list(rows)
    np.testing.assert_array_equal(program.matrix.toarray(), [row for row, _, _ in rows.values()])
    np.testing.assert_array_equal(program.row_lower, [lower for _, lower, _ in rows.values()])
    np.testing.assert_array_equal(program.row_upper, [upper for _, _, upper in rows.values()])
    # r*p - (p*b, or b itself) - s*(1-p) + 0.5*0.25*l*(1-p) + what leaving the task would have cost
    np.testing.assert_array_equal(
        program.objective,
        [
            12.0 - 3.0 - 8.0 + 0.25 + 2.0,
            10.0 - 3.0 - 12.0 + 1.0 + 2.0,
            16.0 - 3.0 - 0.0 + 0.0 + 2.0,
            7.0 - 1.75 - 1.5 + 0.0625 + 0.0,
            2.0 - 1.0 - 9.0 + 0.0 + 0.0,
        ],
    )
    assert program.offset == -2.5


@each_formulation
def test_money_is_written_as_the_ledger_counts_it(formulation: type[Formulation]) -> None:
    """0.15 is nothing at no decimals, 1.5 is 2 and 2.5 is 2: whoever solves the matrices solves our round."""
    instance = bondwork.load(
        {
            "format": "bondwork.round/1",
            "decimals": 0,
            "operators": [{"id": "op", "stake": 4.5}],
            "coprocessors": [{"id": "cp", "free_collateral": 3.7}],
            "tasks": [
                {"id": each, "operator": "op", "reward": 9, "slashing": slashing}
                for each, slashing in (("a", 1.5), ("b", 2.5), ("c", 0.15))
            ],
            "offers": [
                {"task": each, "coprocessor": "cp", "bid": 1, "collateral": posted, "success_probability": 1}
                for each, posted in (("a", 0.15), ("b", 1.5), ("c", 2.5))
            ],
        }
    )
    program = formulation().build(instance)
    rows = {program.limits.label(row): row for row in range(len(program.limits))}
    matrix = program.matrix.toarray()
    assert matrix[rows["collateral of cp"]].tolist() == [0.0, 2.0, 2.0]
    assert matrix[rows["stake of op"]].tolist() == [2.0, 2.0, 0.0]
    assert program.row_upper[[rows["collateral of cp"], rows["stake of op"]]].tolist() == [4.0, 4.0]
