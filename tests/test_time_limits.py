"""A time limit counts all of a call; without compiled code, or with too little time, there is a plan as well.

Times are asserted generously or not at all: machines are busy. ``benchmarks/time_limits.py`` measures them.
"""

from __future__ import annotations

import dataclasses
import time

import numpy as np
import pytest

import bondwork
from bondwork import horizon_solving, rehearsing
from bondwork.base.clock import Clock
from bondwork.base.compiled import NotKept
from bondwork.contracts import Solution
from bondwork.observing import Silence
from bondwork.plan import horizon_certifying
from bondwork.problem.generate import generate_round
from bondwork.strategies.lagrangian import strategy as lagrangian
from bondwork.strategies.lagrangian import uncompiled


def make(tasks=60, offers=5, **more):
    return generate_round(tasks=tasks, coprocessors=6, offers=offers, seed=3, **more)


class Kernels:
    """Compiled code that is there after so many looks; ``None``: never."""

    why_not = ""

    def __init__(self, looks, can_begin=True):
        self.looks = looks
        self.can_begin = can_begin
        self.begun = 0
        self.loaded = False

    def ready(self):
        if self.looks is None:
            return False
        self.looks -= 1
        return self.looks < 0

    def begin(self):
        self.begun += 1
        if not self.can_begin:
            self.why_not = "no folder can be written to"
        return self.can_begin

    def wait(self, should_stop):
        while not self.ready():
            if should_stop():
                return False
        return True

    def load(self, *, compiling=True):
        self.loaded = True
        return 0.0


@pytest.fixture
def cold(monkeypatch):
    """Return a function that puts other compiled code in the place of ours."""

    def put(kernels):
        monkeypatch.setattr(lagrangian, "_KERNELS", kernels)
        return kernels

    return put


def notes(plan):
    return "; ".join(plan.provenance.notes)


@pytest.mark.parametrize("can_begin", [True, False])
def test_without_compiled_code_there_is_a_plan_with_a_bound(cold, can_begin):
    kernels = cold(Kernels(None, can_begin))
    instance = bondwork.load(make())
    plan = bondwork.solve(instance, strategy="lagrangian", time_limit=3.0, mip_rel_gap=0.0)
    assert plan.verified
    assert plan.solution != "none"
    assert kernels.begun
    best = bondwork.solve(instance, strategy="extensive", mip_rel_gap=0.0).objective
    assert plan.bound >= best * (1 - 1e-9)
    assert plan.objective <= best * (1 + 1e-9)
    assert plan.status in ("optimal", "time_limit")
    assert "compiled code was not there in time" in notes(plan)
    assert "bondwork warm-up" in notes(plan)
    if not can_begin:
        assert "no folder can be written to" in notes(plan)


def test_tail_limits_hold_without_compiled_code(cold):
    cold(Kernels(None))
    document = make(risk_budget=40.0)
    plan = bondwork.solve(bondwork.load(document), strategy="lagrangian", time_limit=3.0)
    assert plan.verified
    assert plan.risk


def test_compiled_code_takes_over_where_it_is_there_in_time(cold, monkeypatch):
    monkeypatch.setattr(uncompiled, "LEAST_TO_LOAD", 0.0)
    kernels = cold(Kernels(3))
    monkeypatch.setattr(uncompiled.Uncompiled, "ask_highs", lambda self: None)
    instance = bondwork.load(make())
    plan = bondwork.solve(instance, strategy="lagrangian", time_limit=60.0, mip_rel_gap=0.01)
    assert kernels.loaded
    assert plan.verified
    assert plan.gap <= 0.01
    assert "compiled code" not in notes(plan)


def test_a_cache_that_promises_too_much_costs_no_limit(cold):
    """What it said is there would have to be compiled, for longer than the limit."""

    class Promising(Kernels):
        def ready(self):
            return not self.loaded

        def load(self, *, compiling=True):
            self.loaded = True  # not ready from now on
            assert not compiling
            raise NotKept("a kernel")

    kernels = cold(Promising(None))
    plan = bondwork.solve(bondwork.load(make()), strategy="lagrangian", time_limit=4.0)
    assert kernels.loaded
    assert plan.verified
    assert "compiled code was not there in time" in notes(plan)


def test_without_a_limit_a_first_solve_waits_and_gives_the_same_plan(cold):
    instance = bondwork.load(make())
    warm = bondwork.solve(instance, strategy="lagrangian", mip_rel_gap=0.01)
    kernels = cold(Kernels(5))
    first = bondwork.solve(instance, strategy="lagrangian", mip_rel_gap=0.01)
    assert kernels.loaded
    ignored = {"timing"}
    assert first.model_dump(exclude=ignored) == warm.model_dump(exclude=ignored)


def test_whoever_stops_waiting_has_a_greedy_plan(cold):
    class Impatient(Silence):
        def should_stop(self):
            return True

    cold(Kernels(None))
    plan = bondwork.solve(bondwork.load(make()), strategy="lagrangian", observer=Impatient())
    assert plan.status == "interrupted"
    assert plan.solution == "feasible"
    assert plan.verified


def test_infeasible_rounds_are_infeasible_without_compiled_code(cold):
    cold(Kernels(None))
    document = make(tasks=12)
    for task in document["tasks"]:
        task["required"] = True
    for offer in document["offers"]:
        offer["work"] = dict.fromkeys(offer.get("work", {}), 1000.0)
    plan = bondwork.solve(bondwork.load(document), strategy="lagrangian", time_limit=10.0)
    assert plan.solution == "none" or plan.verified


@pytest.mark.parametrize("options", [{}, {"risk_budget": 40.0}, {"rescue": 2}])
@pytest.mark.parametrize("limit", [0.0, 1e-3])
def test_too_short_a_limit_gets_a_greedy_plan_that_says_so(limit, options):
    plan = bondwork.solve(bondwork.load(make(tasks=20, **options)), strategy="extensive", time_limit=limit)
    assert plan.verified
    assert plan.status == "time_limit"
    assert plan.solution == "feasible"
    assert rehearsing.TOO_SHORT in plan.provenance.notes
    assert plan.strategy == "greedy"
    assert plan.provenance.options["time_limit"] == limit


def test_the_clock_starts_where_it_is_told():
    instance = bondwork.load(make(tasks=20))
    early = bondwork.solve(
        instance, strategy="extensive", time_limit=60.0, begun=time.perf_counter() - 59.999
    )
    assert early.status == "time_limit"
    assert rehearsing.TOO_SHORT in early.provenance.notes
    late = bondwork.solve(instance, strategy="extensive", time_limit=60.0, mip_rel_gap=0.01)
    assert late.status == "optimal"


class Recorder:
    """A strategy that notes what time it was given, and uses it up."""

    summary = "For tests."
    given: float = 0.0

    def solve(self, program, options, observer):
        from bondwork.strategies.greedy import Greedy

        type(self).given = options.time_limit
        time.sleep(options.time_limit)
        return Greedy().solve(program, options, observer)


@pytest.mark.parametrize("options", [{}, {"risk_budget": 40.0}])
def test_time_is_kept_for_what_follows_the_strategy(monkeypatch, options):
    monkeypatch.setattr(bondwork.solving, "find_strategy", lambda name: Recorder())
    begun = time.perf_counter()
    plan = bondwork.solve(bondwork.load(make(**options)), time_limit=4.0)
    took = time.perf_counter() - begun
    assert plan.verified
    assert 0.0 < Recorder.given < 4.0
    assert took < 12.0  # 4.0 on a quiet machine


def test_a_clock_knows_what_is_left():
    clock = Clock(10.0, time.perf_counter() - 4.0)
    assert clock.left() == pytest.approx(6.0, abs=1.0)
    assert clock.left(3.0) == pytest.approx(3.0, abs=1.0)
    assert clock.left(100.0) == 0.0
    assert not Clock().limited
    assert Clock().left(5.0) == float("inf")


def test_rounds_with_periods_keep_their_limit():
    document = make(tasks=6)
    later = [{**task, "id": f"{task['id']}-later"} for task in document["tasks"]]
    offers = [{**offer, "task": f"{offer['task']}-later"} for offer in document["offers"]]
    document["periods"] = [{"id": "later", "at": 10.0, "tasks": later, "offers": offers}]
    plan = bondwork.solve(bondwork.load(document), time_limit=10.0)
    assert plan.verified
    assert plan.provenance.options["time_limit"] == 10.0


def with_periods(document, required=False):
    """The same tasks again, in one later period and in one behind that."""
    periods = []
    for at in (10.0, 20.0):
        tasks = [{**task, "id": f"{task['id']}@{at:g}"} for task in document["tasks"]]
        offers = [{**offer, "task": f"{offer['task']}@{at:g}"} for offer in document["offers"]]
        before = {"parent": periods[-1]["id"]} if periods else {}
        periods.append({"id": f"at {at:g}", "at": at, "tasks": tasks, "offers": offers, **before})
    tasks = [{**task, "required": required} for task in document["tasks"]]
    return {**document, "tasks": tasks, "periods": periods}


def small():
    """A round whose best plan of three periods is found in a second."""
    return generate_round(tasks=4, coprocessors=3, offers=3, seed=3)


@pytest.mark.parametrize("limit", [0.0, 1e-3])
@pytest.mark.parametrize("strategy", ["auto", "extensive"])
def test_too_short_a_limit_gets_a_greedy_plan_of_all_periods(limit, strategy):
    instance = bondwork.load(with_periods(small()))
    plan = bondwork.solve(instance, strategy=strategy, time_limit=limit)
    assert plan.verified
    assert plan.status == "time_limit"
    assert plan.strategy == "greedy"
    assert plan.assignments
    assert plan.bound is None
    assert "greedy plan" in notes(plan)
    assert bondwork.verify(instance, plan)
    best = bondwork.solve(instance, mip_rel_gap=0.01)
    assert 0.0 < plan.objective <= best.bound * (1 + 1e-9)


def test_a_strategy_that_ends_with_periods_undecided_leaves_a_greedy_plan_with_its_bound(monkeypatch):
    from bondwork.contracts import ProgramDecision
    from bondwork.strategies.extensive import Extensive

    instance = bondwork.load(with_periods(small()))
    best = bondwork.solve(instance, mip_rel_gap=0.0).objective
    ended = ProgramDecision("time_limit", 2.0 * best, None)
    monkeypatch.setattr(Extensive, "solve_program", lambda *_: ended)
    plan = bondwork.solve(instance, strategy="extensive")
    assert plan.verified
    assert plan.assignments
    assert plan.status == "time_limit"
    assert plan.bound >= best
    assert plan.objective <= best * (1 + 1e-9)
    assert "this one is greedy" in notes(plan)


def test_what_is_required_comes_first_where_the_limit_is_too_short():
    document = small()
    for offer in document["offers"]:
        offer["bid"] = 1e6  # nobody would take it who need not
    instance = bondwork.load(with_periods(document, required=True))
    plan = bondwork.solve(instance, time_limit=0.0)
    assert plan.solution == "none" or len(plan.assignments) == 4
    assert plan.solution == "none" or plan.verified


def test_a_run_of_highs_that_overlooks_the_clock_is_left_to_itself(monkeypatch):
    import threading

    import numpy as np
    from scipy.sparse import csr_array

    from bondwork.contracts import Options
    from bondwork.program.matrices import Matrices
    from bondwork.solver import solving, watching

    released = threading.Event()
    monkeypatch.setattr(watching, "run", lambda highs: released.wait(60.0))
    one = np.ones(3)
    rows = csr_array(np.ones((1, 3)))
    program = Matrices(one, 0.0, rows, np.array([-np.inf]), np.array([2.0]), 0 * one, one, one > 0.0)
    began = time.perf_counter()
    answer = solving.solve_program(program, Options(time_limit=0.1), Silence())
    released.set()
    assert answer.status == "time_limit"
    assert answer.x is None
    assert answer.bound == float("inf")
    assert time.perf_counter() - began < 30.0


def test_a_run_of_highs_that_hears_no_interrupt_is_left_to_itself(monkeypatch):
    """HiGHS 1.16 does not end, nor ask whether to, where ``small_matrix_value=1`` empties a row."""
    import threading

    import numpy as np
    from scipy.sparse import csr_array

    from bondwork.contracts import Options
    from bondwork.program.matrices import Matrices
    from bondwork.solver import solving, watching

    class Stopping(Silence):
        asked = 0

        def should_stop(self):
            self.asked += 1
            return self.asked > 1  # not before it begins

    released = threading.Event()
    monkeypatch.setattr(watching, "run", lambda highs: released.wait(600.0))
    monkeypatch.setattr(watching, "DEAF", 0.0)
    monkeypatch.setattr(watching, "PATIENCE", 0.1)
    one = np.ones(3)
    rows = csr_array(np.ones((1, 3)))
    program = Matrices(one, 0.0, rows, np.array([-np.inf]), np.array([2.0]), 0 * one, one, one > 0.0)
    answer = solving.solve_program(program, Options(), Stopping())
    assert not released.is_set()
    released.set()
    assert (answer.status, answer.x) == ("interrupted", None)


def periods(replicas=1):
    later = make(tasks=6, offers=3)
    for task in later["tasks"]:
        task["replicas"] = replicas
    tasks = [{**each, "id": f"{each['id']}-later", "replicas": 1} for each in later["tasks"]]
    offers = [{**each, "task": f"{each['task']}-later"} for each in later["offers"]]
    return bondwork.load(later | {"periods": [{"id": "later", "at": 10.0, "tasks": tasks, "offers": offers}]})


def test_periods_whose_plan_takes_half_the_limit_to_verify_are_decided_greedily_at_once(monkeypatch):
    def nobody(*_given, **_more):
        raise AssertionError("no strategy is asked where it has no time")

    monkeypatch.setattr(horizon_solving, "_CHOICE", 1e3)
    monkeypatch.setattr(horizon_solving, "solve_stochastic", nobody)
    plan = bondwork.solve(periods(), time_limit=600.0)
    assert plan.verified
    assert plan.strategy == "greedy"
    assert "more than half of the time limit" in notes(plan)


@pytest.mark.parametrize("status", ["time_limit", "interrupted"])
def test_a_second_stage_that_no_strategy_decided_in_time_is_decided_greedily(monkeypatch, status):
    from bondwork.contracts import ProgramDecision
    from bondwork.strategies.extensive import Extensive

    instance = bondwork.load(make(tasks=6, offers=3, rescue=2))
    best = bondwork.solve(instance, strategy="extensive", mip_rel_gap=0.0).objective
    ended = ProgramDecision(status, 2.0 * best, None)
    monkeypatch.setattr(Extensive, "solve_program", lambda *_: ended)
    plan = bondwork.solve(instance, strategy="extensive")
    assert plan.verified
    assert bondwork.verify(instance, plan)
    assert (plan.status, plan.solution, plan.strategy) == (status, "feasible", "greedy")
    assert plan.assignments
    assert 0.0 < plan.objective <= best * (1 + 1e-9)
    assert plan.bound >= best
    assert "the strategy ended without a decision: this one is greedy" in notes(plan)


def test_periods_keep_time_for_a_greedy_decision_should_the_strategy_have_none(monkeypatch):
    ends, decide = [], horizon_solving.solve_stochastic

    def told(*given, clock, **more):
        ends.append(clock.limit)
        return decide(*given, clock=clock, **more)

    monkeypatch.setattr(horizon_solving, "solve_stochastic", told)
    for seconds in (0.0, 0.1):
        monkeypatch.setattr(horizon_solving, "_FILLED", seconds)
        assert bondwork.solve(periods(), time_limit=600.0, strategy="extensive").verified
    without, with_it = ends
    assert with_it < without - 20.0


def test_periods_keep_time_for_the_chances_of_teams_when_a_bound_is_proved(monkeypatch):
    monkeypatch.setattr(horizon_certifying, "_SECONDS_PER_TEAM", 1e3)
    alone, teams = (bondwork.solve(periods(each), time_limit=600.0) for each in (1, 2))
    assert alone.certificate is not None
    assert teams.verified
    assert teams.certificate is None
    assert "no certificate: no time was left for it" in notes(teams)


class CutShort:
    """A strategy that is cut short, with nothing or with less than a greedy choice earns."""

    summary = "For tests."
    status = "time_limit"

    def __init__(self, chooses):
        self.chooses = chooses

    def solve(self, program, options, observer):
        x = np.zeros(program.choices) if self.chooses else None
        return Solution(self.status, x, 1e9)


@pytest.mark.parametrize("chooses", [False, True])
@pytest.mark.parametrize("limit", [{}, {"risk_budget": 40.0}])
def test_whoever_is_cut_short_hands_out_no_less_than_greedy(monkeypatch, chooses, limit):
    instance = bondwork.load(make(tasks=20, **limit))
    greedy = bondwork.solve(instance, strategy="greedy", time_limit=600.0)
    monkeypatch.setattr(bondwork.solving, "find_strategy", lambda name: CutShort(chooses))
    plan = bondwork.solve(instance, time_limit=600.0)
    assert (plan.status, plan.strategy, plan.verified) == ("time_limit", "greedy", True)
    assert plan.objective == pytest.approx(greedy.objective, rel=1e-9)
    assert "no better choice was found in time than the greedy one" in notes(plan)
    assert rehearsing.TOO_SHORT not in plan.provenance.notes

    monkeypatch.setattr(CutShort, "status", "locally_solved")
    monkeypatch.setattr(bondwork.solving, "find_strategy", lambda name: CutShort(True))
    ended = bondwork.solve(instance, time_limit=600.0)
    assert ended.objective < greedy.objective  # who ends by itself is believed


@pytest.mark.parametrize(
    ("scenarios", "drawing", "took"),  # seconds of one processor, 3,200 offers
    [(128, 0.05, 0.72), (1024, 0.08, 0.6), (10_000, 0.6, 0.9)],
)
@pytest.mark.parametrize("slowness", [1.0, 3.0])
def test_what_scenarios_take_is_told_from_drawing_them(scenarios, drawing, took, slowness):
    document = generate_round(tasks=400, coprocessors=20, offers=8, seed=1, risk_budget=300.0)
    document["uncertainty"]["scenarios"] = scenarios
    instance = bondwork.load(document)
    instance = dataclasses.replace(instance, read_seconds=0.05 * slowness)
    expected = rehearsing.expected_seconds(instance, object(), drawing * slowness, 0.01 * slowness)
    assert 0.5 <= expected / (took * slowness) <= 2.0


def test_what_follows_is_tried_only_where_little_would_be_left():
    def never():
        raise AssertionError("a rehearsal")

    clock = Clock(100.0, time.perf_counter() - 10.0)
    assert rehearsing.rehearse(clock, 60.0, never) == (None, 60.0)
    with pytest.raises(AssertionError, match="a rehearsal"):
        rehearsing.rehearse(clock, 75.0, never)
