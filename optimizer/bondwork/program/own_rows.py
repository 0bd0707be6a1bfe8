"""Rows of a round's constraints, below those of its limits."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import csr_array, vstack

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bondwork.arrays import BoolArray, FloatArray
    from bondwork.problem.instance import Constraint, ConstraintTerm, Instance
    from bondwork.program.program import Program


def with_own_rows(program: Program, instance: Instance) -> Program:
    """Return a program that keeps a round's constraints, one row each, after its own rows."""
    if not instance.constraints:
        return program
    n, width = program.choices, program.matrix.shape[1]
    rows = np.zeros((len(instance.constraints), width))
    for row, each in zip(rows, instance.constraints, strict=True):
        amounts = amounts_of(instance, each)
        if program.teams is None:
            row[:n] = amounts[program.columns[:n]]
        else:
            teams = program.teams
            row[:n] = np.bincount(teams.team, amounts[teams.member], minlength=n)
    bound = np.array([each.bound for each in instance.constraints])
    sense = np.array([each.sense for each in instance.constraints])
    first = len(program.row_upper)
    names = [(first + i, f"constraint {each.name}") for i, each in enumerate(instance.constraints)]
    return dataclasses.replace(
        program,
        matrix=vstack([program.matrix, csr_array(rows)]).tocsr(),
        row_lower=np.append(program.row_lower, np.where(sense == "<=", -np.inf, bound)),
        row_upper=np.append(program.row_upper, np.where(sense == ">=", np.inf, bound)),
        names=(*program.names, *names),
    )


def amounts_of(instance: Instance, constraint: Constraint) -> FloatArray:
    """What a constraint counts of each offer. Shape (O,)."""
    total = np.zeros(len(instance.offers))
    for term in constraint.terms:
        mine = _fits(instance, term)
        total[mine] += term.weight * _amount(instance, term)[mine]
    return total


def _fits(instance: Instance, term: ConstraintTerm) -> BoolArray:
    offers = instance.offers
    fits = np.ones(len(offers), dtype=bool)
    if term.task is not None:
        fits &= np.isin(offers.task, _places(instance.tasks.ids, term.task))
    if term.operator is not None:
        fits &= np.isin(offers.operator, _places(instance.operators.ids, term.operator))
    if term.executor is not None:
        others = np.isin(offers.coprocessor, _places(instance.coprocessors.ids, term.executor))
        own = offers.is_self & np.isin(offers.operator, _places(instance.operators.ids, term.executor))
        fits &= others | own
    if term.offer is not None:
        wanted = frozenset(term.offer)
        fits &= np.fromiter((each in wanted for each in offers.ids), bool, len(offers))
    return fits


def _amount(instance: Instance, term: ConstraintTerm) -> FloatArray:
    offers, claims = instance.offers, instance.claims
    match term.amount:
        case "count":
            return np.ones(len(offers))
        case "work":
            return offers.work[:, instance.resources.index(term.resource)]
        case "reward" | "slashing":
            found: FloatArray = getattr(claims, term.amount)[offers.claim]
            return found
        case _:
            value: FloatArray = getattr(offers, term.amount)
            return value


def _places(ids: Sequence[str], wanted: Sequence[str]) -> list[int]:
    number = {each: place for place, each in enumerate(ids)}
    return [number[each] for each in wanted if each in number]
