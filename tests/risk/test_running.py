"""Whether one more choice fits is asked of thousands: most are barred at once, with the same answers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import bondwork
from bondwork.plan import recount_risk
from bondwork.problem.generate import generate_round
from bondwork.program.filling import Filling, fill_greedily
from bondwork.registry import find_formulation
from bondwork.risk.running import RunningMeasure
from bondwork.road import draw_scenarios, write_program


def round_with(risk, *, tasks=30, slashing=None):
    document = generate_round(tasks=tasks, coprocessors=5, offers=4, seed=5)
    document["uncertainty"] = {"scenarios": 64, "seed": 2}
    document["risk"] = risk
    if slashing is not None:
        for task in document["tasks"]:
            task["slashing"] = slashing
    return bondwork.load(document)


def program_of(instance):
    return write_program(instance, find_formulation("highs"), draw_scenarios(instance, 2), "cuts")


KINDS = st.sampled_from(
    [
        {"measure": "cvar", "level": 0.9, "of": "network"},
        {"measure": "cvar", "level": 0.95, "of": {"operator": "op-0"}},
        {"measure": "cvar", "level": 0.5, "of": {"coprocessor": "cp-0"}},
        {"measure": "worst_case", "of": "network"},
        {"measure": "ambiguous", "radius": 0.1, "of": "network"},
    ]
)


@settings(max_examples=15, deadline=None)
@given(
    kind=KINDS,
    budget=st.sampled_from([0, 1, 30, 60, 100]),
    slashing=st.sampled_from([None, 0, 10]),
    seed=st.integers(0, 99),
)
def test_what_is_barred_does_not_fit_and_nothing_else_is(kind, budget, slashing, seed):
    instance = round_with([{**kind, "budget": budget}], slashing=slashing)
    program = program_of(instance).without_auxiliaries()
    random = np.random.default_rng(seed)
    for measure in program.measures:
        running = RunningMeasure(measure, np.zeros(program.choices))
        running._patience = 1
        x = np.zeros(program.choices)
        for column in random.permutation(program.choices).tolist():
            x[column] = 1.0
            fits = measure.value(x) <= measure.ceiling * (1.0 + 1e-9)
            assert running.fits(column) == fits
            if fits:
                running.add(column)
            else:
                x[column] = 0.0


def test_most_choices_are_barred_without_looking_at_every_scenario(monkeypatch):
    """A round whose tail limit is full: greedy choices, reasons and their check sort few losses."""
    instance = round_with(
        [{"measure": "cvar", "level": 0.9, "of": "network", "budget": 40}], tasks=120, slashing=10
    )
    tried, sorted_by_check = [], []
    plain, mean_of_worst = RunningMeasure._tried, recount_risk.mean_of_worst
    monkeypatch.setattr(
        RunningMeasure, "_tried", lambda self, *given: tried.append(given) or plain(self, *given)
    )
    monkeypatch.setattr(
        recount_risk, "mean_of_worst", lambda *given: sorted_by_check.append(given) or mean_of_worst(*given)
    )
    filled = fill_greedily(program_of(instance))
    chosen = int(filled.x.sum())
    assert 0 < chosen < 60
    assert len(tried) < len(instance.offers) / 2
    plan = bondwork.solve(instance, strategy="greedy")
    assert sum(each.reason == "no_room" for each in plan.unassigned) > 60
    assert plan.verified
    assert len(sorted_by_check) < len(instance.offers) / 2


@pytest.mark.parametrize("seed", range(3))
def test_rows_without_room_are_the_same_in_one_look(seed):
    instance = bondwork.load(generate_round(tasks=40, coprocessors=4, offers=4, seed=seed))
    program = find_formulation("highs").build(instance)
    filling = Filling(program, fill_greedily(program).x)
    columns = np.flatnonzero(filling.x == 0.0)
    found = filling.rows_without_room_of(columns)
    assert [sorted(each) for each in found] == [
        sorted(filling.rows_without_room(column).tolist()) for column in columns.tolist()
    ]
    assert any(found)
