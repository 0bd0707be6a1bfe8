"""The search for the best rescues of one outcome, against all choices there are; few need no HiGHS."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.sparse import csc_array

import bondwork
from bondwork.contracts import Options
from bondwork.observing import Silence
from bondwork.problem.generate import generate_round
from bondwork.problem.rescues import find_rescues
from bondwork.program import recourse
from bondwork.program.few_rescues import MOST_STEPS, FewRescues
from bondwork.program.redelegation import observe, redelegate
from bondwork.registry import find_formulation


def drawn(seed):
    """Rows of some coprocessors, and tasks with one to three rescues each. Amounts tie."""
    g = np.random.default_rng(seed)
    tasks, rows = int(g.integers(1, 6)), int(g.integers(1, 4))
    task = np.repeat(np.arange(tasks), g.integers(1, 4, tasks))
    needs = g.integers(0, 4, (rows, len(task))).astype(float)
    return needs, g.integers(1, 5, len(task)).astype(float), task, g.integers(0, 8, rows).astype(float)


def best_of_all(needs, cost, task, room):
    columns = [[None, *np.flatnonzero(task == each)] for each in np.unique(task)]
    worth = [0.0]
    for chosen in itertools.product(*columns):
        taken = [each for each in chosen if each is not None]
        if np.all(needs[:, taken].sum(axis=1) <= room):
            worth.append(float(cost[taken].sum()))
    return max(worth)


@pytest.mark.parametrize("seed", range(100))
def test_the_search_finds_the_best_of_all_choices(seed):
    needs, cost, task, room = drawn(seed)
    few = FewRescues(csc_array(needs), cost, task)
    alone = np.flatnonzero((needs <= room[:, np.newaxis]).all(axis=0)).tolist()
    chosen = few.best(alone, room.tolist(), MOST_STEPS)
    assert np.all(needs[:, chosen].sum(axis=1) <= room)
    assert len(set(task[chosen])) == len(chosen)
    assert cost[chosen].sum() == best_of_all(needs, cost, task, room)
    filled = few.filled(list(range(len(cost))), room.tolist())
    assert np.all(needs[:, filled].sum(axis=1) <= room)


def test_a_search_gives_up_where_there_are_many():
    g = np.random.default_rng(3)
    needs = g.uniform(1.0, 2.0, (1, 40))
    few = FewRescues(csc_array(needs), needs[0] + g.uniform(0.0, 0.01, 40), np.arange(40))
    assert few.best(list(range(40)), [20.0], MOST_STEPS) is None
    assert few.best(list(range(40)), [80.0], 0) == list(np.argsort(-np.array(few.cost), kind="stable"))
    assert few.best(list(range(40)), [20.0], 0) is None


def test_few_rescues_need_no_solver(monkeypatch):
    instance = bondwork.load(generate_round(40, 8, 4, 1, rescue=2))
    first = find_formulation("highs").build(instance)
    greedy = bondwork.solve(instance, strategy="greedy", time_limit=60.0)
    chosen = {each.offer for each in greedy.assignments}
    x = np.array([float(instance.offers.ids[j] in chosen) for j in first.columns.tolist()])
    model = redelegate(instance, first, observe(instance, find_rescues(instance), 1))
    own = recourse.decide_second_stage(model, x, Options(), Silence())

    monkeypatch.setattr(recourse, "MOST_STEPS", 0)
    asked = []
    real = recourse.solve_program
    monkeypatch.setattr(recourse, "solve_program", lambda *a, **k: asked.append(1) or real(*a, **k))
    other = recourse.decide_second_stage(model, x, Options(mip_rel_gap=0.0), Silence())
    assert asked  # without the search HiGHS has something to do
    assert (own.status, other.status) == ("optimal", "optimal")
    mine, theirs = (recourse.expected_gain(model, each.rescued) for each in (own, other))
    assert mine == pytest.approx(theirs, rel=1e-9)
    asked.clear()
    monkeypatch.setattr(recourse, "MOST_STEPS", MOST_STEPS)
    recourse.decide_second_stage(model, x, Options(), Silence())
    assert not asked
