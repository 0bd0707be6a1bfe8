"""Certificates of rounds with later periods in which teams, or several commitments, do one task."""

from __future__ import annotations

import json
import math
import random
from typing import TYPE_CHECKING

import numpy as np
import pytest

import bondwork
from bondwork.plan.certificate import Entry
from bondwork.plan.horizon_certifying import _entries
from bondwork.plan.recount_horizon_bound import HorizonBound
from bondwork.problem.limits import LimitKind
from bondwork.program.extensive import extensive_form
from bondwork.program.horizon import horizon_program
from bondwork.uncertainty.horizon import ENDED, horizon_tree
from composition.features import make
from composition.judging import brute_force, read
from composition.oracle import TooLarge

if TYPE_CHECKING:
    from bondwork.arrays import BoolArray, FloatArray
    from bondwork.program.extensive import ExtensiveForm
    from bondwork.program.horizon import HorizonProgram

TEAMS = ("replicas", "quorum", "several commitments")
BESIDE = ("expected", "expected of operator", "expected of coprocessor", "random amounts", "serial deadlines")

#: Share of the size of a bound's terms by which the tolerance of rows, and of programs, may move it.
CLOSE = 1e-7


def rows_of_tasks(made: HorizonProgram, form: ExtensiveForm) -> BoolArray:
    found = np.zeros(len(form.matrices.row_upper), dtype=bool)
    for node, point in enumerate(made.tree.period.tolist()):
        if point != ENDED:
            kind, first = made.rows[point].limits.kind, int(form.row_start[node])
            found[first : first + len(kind)] = kind == LimitKind.TASK
    return found


def some_multipliers(form: ExtensiveForm, of_tasks: BoolArray, rng: random.Random) -> FloatArray:
    """Multipliers as somebody may put them there: any that are not below 0 prove something."""
    y = np.array([rng.choice([0.0, 0.0, 0.1, 0.5, 2.0]) * rng.random() for _ in of_tasks])
    y[of_tasks | ~np.isfinite(form.matrices.row_upper)] = 0.0
    return y


def relaxed(form: ExtensiveForm, of_tasks: BoolArray, y: FloatArray) -> tuple[float, float]:
    """What multipliers prove of the program's matrices, and the size of its terms."""
    given = form.matrices
    terms = [given.offset, *(y * np.where(y > 0.0, given.row_upper, 0.0)).tolist()]
    worth = given.objective - given.matrix.T @ y
    rows = given.matrix.tocsr()
    for row in np.flatnonzero(of_tasks).tolist():
        best = worth[rows.indices[rows.indptr[row] : rows.indptr[row + 1]]].max(initial=-math.inf)
        terms.append(best if given.row_lower[row] > 0.0 else max(best, 0.0))
    return math.fsum(terms), 1.0 + math.fsum(map(abs, terms))


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("beside", BESIDE)
@pytest.mark.parametrize("teams", TEAMS)
def test_multipliers_prove_no_less_than_is_earned_and_no_more_than_the_matrices(teams, beside, seed):
    given = make(("periods", "commitments", teams, beside), 50 + seed).document
    instance = read(given)
    made = horizon_program(horizon_tree(instance))
    form = extensive_form(made.program)
    of_tasks, proof = rows_of_tasks(made, form), HorizonBound(instance, made.tree, instance.uncertainty.seed)
    try:
        best = brute_force(instance, given)
    except TooLarge:
        best = None
    rng = random.Random(seed)
    for _ in range(6):
        y = some_multipliers(form, of_tasks, rng)
        bound, (most, size) = proof.bound(list(_entries(made, form, y))), relaxed(form, of_tasks, y)
        if bound is None:
            assert best is None
            continue
        # the proof leaves out teams that do not fit by themselves
        assert float(bound) <= made.unit * (most + CLOSE * size)
        if best is not None:
            assert float(bound) >= float(best) - 1e-9 * max(1.0, abs(float(best)))


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("teams", TEAMS)
def test_plans_of_teams_carry_a_certificate_that_verify_recomputes(teams, seed):
    given = make(("periods", teams, "expected"), 10 * seed).document
    instance = read(given)
    plan = bondwork.solve(instance, mip_rel_gap=0.0, certificate="full")
    assert plan.certificate is not None, plan.provenance.notes
    verdict = bondwork.verify(instance, json.loads(plan.to_json()))
    assert verdict
    assert verdict.certified == plan.certificate.bound
    if plan.objective is not None:
        lower = plan.model_dump(mode="json")
        lower["certificate"]["bound"] -= 0.01 * max(1.0, abs(plan.certificate.bound))
        assert not bondwork.verify(instance, lower)


#: Of two executors the first is released at the period, the second is not.
PARTS = {
    "format": "bondwork.round/1",
    "operators": [{"id": "op"}],
    "coprocessors": [{"id": name} for name in "abc"],
    "tasks": [{"id": "t", "operator": "op", "reward": 30, "slashing": 8, "replicas": 2}],
    "offers": [
        {"task": "t", "coprocessor": "a", "success_probability": 0.5},
        {"task": "t", "coprocessor": "b", "success_probability": 0.75, "duration": 100},
    ],
    "risk": [{"measure": "expected", "budget": 4}],
    "periods": [
        {
            "id": "p",
            "at": 10,
            "tasks": [{"id": "u", "operator": "op", "reward": 4, "slashing": 12}],
            "offers": [{"task": "u", "coprocessor": "c", "success_probability": 0.75}],
        }
    ],
}


def test_a_team_released_in_part_pays_for_what_was_seen():
    """By hand: where a failed a quarter of 8 is expected to be lost, where it succeeded nothing."""
    instance = bondwork.load(PARTS)
    tree = horizon_tree(instance)
    failed, well = (tree.names.index(f"p[{k}]") for k in (0, 1))
    proof = HorizonBound(instance, tree, 0)
    worth, later = 30 * 0.875 - 8 * 0.125, 4 * 0.75 - 12 * 0.25
    both, alone = worth, 30 * 0.75 - 8 * 0.25
    assert later == 0.0
    for node, taken in ((failed, 2), (well, 0)):
        for y in (1.0, 20.0):
            entries = [Entry("expected", (0, 0), y, node=node)]
            # whoever takes one executor pays for it by itself: of b as much, of a, which is released, nothing
            ways = (both - y * taken, alone - y * 2, 30 * 0.5 - 8 * 0.5)
            assert proof.bound(entries) == pytest.approx(4 * y + max(ways), rel=1e-8)
