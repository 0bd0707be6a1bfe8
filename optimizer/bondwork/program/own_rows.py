"""Rows of a round's constraints, below those of its limits."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import csr_array, vstack

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bondwork.arrays import FloatArray, IntArray
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
    by_id: dict[str, list[int]] = {}
    if any(term.offer is not None for term in constraint.terms):
        for place, each in enumerate(instance.offers.ids):
            by_id.setdefault(each, []).append(place)
    for term in constraint.terms:
        mine = _meant(instance, term, by_id)
        total[mine] += term.weight * _amount(instance, term, mine)
    return total


def _meant(instance: Instance, term: ConstraintTerm, by_id: Mapping[str, Sequence[int]]) -> IntArray:
    """Places of the offers that a term is about: a term that names few looks at few."""
    offers = instance.offers
    mine: IntArray = np.arange(len(offers))
    if term.offer is not None:
        named = sorted({place for id_ in term.offer for place in by_id.get(id_, ())})
        mine = np.array(named, dtype=np.intp)
    if term.task is not None:
        mine = mine[np.isin(offers.task[mine], _places(instance.tasks.ids, term.task))]
    if term.operator is not None:
        mine = mine[np.isin(offers.operator[mine], _places(instance.operators.ids, term.operator))]
    if term.executor is not None:
        others = np.isin(offers.coprocessor[mine], _places(instance.coprocessors.ids, term.executor))
        whose = np.isin(offers.operator[mine], _places(instance.operators.ids, term.executor))
        mine = mine[others | (offers.is_self[mine] & whose)]
    return mine


def _amount(instance: Instance, term: ConstraintTerm, mine: IntArray) -> FloatArray:
    """What a term counts of some offers, before its weight."""
    offers, claims = instance.offers, instance.claims
    match term.amount:
        case "count":
            return np.ones(len(mine))
        case "work":
            work: FloatArray = offers.work[mine, instance.resources.index(term.resource)]
            return work
        case "reward" | "slashing":
            found: FloatArray = getattr(claims, term.amount)[offers.claim[mine]]
            return found
        case _:
            value: FloatArray = getattr(offers, term.amount)[mine]
            return value


def _places(ids: Sequence[str], wanted: Sequence[str]) -> list[int]:
    number = {each: place for place, each in enumerate(ids)}
    return [number[each] for each in wanted if each in number]
