"""Time limits of rounds with second-stage offers: who gets how much, and what is handed out at last."""

from __future__ import annotations

import time

import numpy as np
import pytest

import bondwork
from bondwork import two_stages
from bondwork.base.clock import Clock
from bondwork.contracts import ProgramDecision
from bondwork.plan import two_stage_certifying
from bondwork.problem.generate import generate_round
from bondwork.rehearsing import TOO_SHORT, expected_with_rescues
from bondwork.strategies.l_shaped.strategy import LShaped

LONG = 600.0


@pytest.fixture(scope="module")
def instance():
    made = generate_round(tasks=6, coprocessors=3, offers=2, seed=1, rescue=2)
    made["uncertainty"]["scenarios"] = 16
    return bondwork.load(made)


@pytest.fixture(scope="module")
def greedy(instance):
    return bondwork.solve(instance, strategy="greedy", time_limit=LONG)


def cut_short(monkeypatch, root=None, status="time_limit"):
    """Have l-shaped end with a first stage, or none."""

    def solve_program(self, program, options, observer):
        x = None if root is None else np.full(len(program.templates[0].columns), root)
        return ProgramDecision(status, 1e6, x)

    monkeypatch.setattr(LShaped, "solve_program", solve_program)


def notes(plan):
    return "; ".join(plan.provenance.notes)


@pytest.mark.parametrize(
    ("root", "said"),
    [
        (None, "the strategy ended without a decision: this one is greedy"),
        (0.0, "l-shaped found no better plan in time than the greedy first stage"),
    ],
)
def test_a_strategy_that_is_cut_short_hands_out_what_is_greedy(monkeypatch, instance, greedy, root, said):
    cut_short(monkeypatch, root)
    plan = bondwork.solve(instance, strategy="l-shaped", time_limit=LONG)
    assert (plan.status, plan.solution, plan.strategy) == ("time_limit", "feasible", "greedy")
    assert plan.verified
    assert plan.objective == pytest.approx(greedy.objective, rel=1e-9)
    assert said in notes(plan)
    assert TOO_SHORT not in plan.provenance.notes
    assert plan.bound is not None and plan.bound >= plan.objective


def test_who_was_not_cut_short_is_believed(monkeypatch, instance, greedy):
    cut_short(monkeypatch, 0.0, "locally_solved")
    plan = bondwork.solve(instance, strategy="l-shaped", time_limit=LONG)
    assert plan.objective < greedy.objective
    assert "found no better plan" not in notes(plan)


def test_a_better_plan_of_a_strategy_that_is_cut_short_stands(monkeypatch, instance, greedy):
    best = bondwork.solve(instance, strategy="extensive", mip_rel_gap=0.0, time_limit=LONG)
    assert best.objective > greedy.objective
    chosen = {each.offer for each in best.assignments}

    def solve_program(self, program, options, observer):
        names = program.templates[0].columns
        root = np.array([float(any(name.endswith(each) for each in chosen)) for name in names])
        return ProgramDecision("time_limit", 1e6, root)

    monkeypatch.setattr(LShaped, "solve_program", solve_program)
    plan = bondwork.solve(instance, strategy="l-shaped", time_limit=LONG)
    assert plan.objective == pytest.approx(best.objective, rel=1e-9)
    assert "found no better plan" not in notes(plan)


def test_nothing_is_rehearsed_where_there_is_time(monkeypatch, instance):
    def never(self, note):
        raise AssertionError("a rehearsal")

    monkeypatch.setattr(two_stages.TwoStageRoad, "greedy", never)
    plan = bondwork.solve(instance, strategy="l-shaped", time_limit=LONG, mip_rel_gap=0.05)
    assert plan.verified
    assert plan.strategy == "l-shaped"


@pytest.mark.parametrize(
    ("second", "building", "measured", "tried"),
    [
        (0.05, 0.05, False, False),
        (0.05, 0.05, True, True),
        (0.3, 0.05, False, True),
        (0.05, 0.4, False, True),
    ],
)
def test_what_follows_is_tried_where_solving_would_have_little_left(second, building, measured, tried):
    clock = Clock(2.0, time.perf_counter() - 0.2)
    expected = expected_with_rescues(clock, second, building, measured=measured)
    assert (expected is None) == tried
    if expected is not None:
        assert expected.second >= second
        assert expected.evaluation > expected.second


def test_a_proof_that_takes_too_long_is_left_out(monkeypatch, instance):
    full = bondwork.solve(instance, strategy="extensive", time_limit=LONG, mip_rel_gap=0.05)
    assert len(full.certificate.multipliers) > 0
    monkeypatch.setattr(two_stage_certifying, "proving_seconds", lambda multipliers: 2 * LONG * multipliers)
    short = bondwork.solve(instance, strategy="extensive", time_limit=LONG, mip_rel_gap=0.05)
    assert short.verified
    assert short.certificate.vouched_by == "branch_and_bound"
    assert len(short.certificate.multipliers) == 0
