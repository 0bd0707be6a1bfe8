"""What each strategy promises, on rounds where the answer is known."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Never

import pytest
from hypothesis import given

import bondwork
from bondwork.contracts import Options
from bondwork.observing import Silence
from bondwork.problem.generate import generate_round
from bondwork.registry import find_strategy
from bondwork.strategies import auto
from bondwork.strategies.greedy import Greedy
from bondwork.strategies.lagrangian.errors import NotDecomposable
from hand_made import Document, make_round, market, offer
from oracle import Oracle
from rounds_strategy import examples, rounds

if TYPE_CHECKING:
    from bondwork import Plan

OURS = ["auto", "extensive", "greedy", "relaxation"]


def solve(document: Document, strategy: str, **options: Any) -> Plan:
    return bondwork.solve(bondwork.load(document), strategy=strategy, **{"mip_rel_gap": 0.0} | options)


#: Greedy takes the best offer first, and nothing is left for the other two, which are worth more together.
TEMPTING = make_round(
    coprocessors=[{"id": "cp", "capacity": {"gpu": 2}}],
    tasks=[
        {"id": name, "operator": "op", "reward": reward, "work": {"gpu": work}}
        for name, reward, work in (("large", 10, 2), ("one", 7, 1), ("two", 6, 1))
    ],
    offers=[offer(name, "cp", 1) for name in ("large", "one", "two")],
)

#: A required task that nobody wants and that needs the room of the others.
DEMANDING = make_round(
    coprocessors=[{"id": "cp", "free_collateral": 10}],
    tasks=[
        {"id": "dear", "operator": "op", "reward": 9},
        {"id": "needed", "operator": "op", "reward": 1, "required": True},
    ],
    offers=[offer("dear", "cp", 1, collateral=8), offer("needed", "cp", 3, collateral=4)],
)

#: Two required tasks: taking the better offer of the first leaves no room for the second.
TRAP = make_round(
    coprocessors=[{"id": "a", "free_collateral": 1}, {"id": "b"}],
    tasks=[{"id": name, "operator": "op", "reward": 8, "required": True} for name in ("x", "y")],
    offers=[
        offer("x", "a", 1, collateral=1),
        offer("x", "b", 5, collateral=1),
        offer("y", "a", 2, collateral=1),
    ],
)


def test_names():
    assert set(OURS) <= set(bondwork.strategy_names())
    assert {"highs", "cvxpy", "pyomo"} <= set(bondwork.formulation_names())


@pytest.mark.parametrize("name", OURS)
def test_every_strategy_says_what_it_does(name: str):
    assert len(find_strategy(name).summary) > 20


@pytest.mark.parametrize("kind", ["strategy", "formulation"])
def test_unknown_names_are_refused_with_the_known(kind: str):
    with pytest.raises(bondwork.InvalidInput, match=f'{kind}: found "best", expected one of '):
        bondwork.solve(bondwork.load(market()), **{kind: "best"})


def test_greedy_takes_the_best_first():
    plan = solve(TEMPTING, "greedy")
    assert [each.task for each in plan.assignments] == ["large"]
    assert (plan.status, plan.solution, plan.objective) == ("locally_solved", "feasible", 9.0)
    assert plan.bound == pytest.approx(20.0)
    assert solve(TEMPTING, "extensive").objective == 11.0


@pytest.mark.parametrize("strategy", OURS)
def test_required_tasks_come_first_although_they_lose(strategy: str):
    plan = solve(DEMANDING, strategy)
    assert [each.task for each in plan.assignments] == ["needed"]
    assert plan.objective == -2.0
    assert [(each.task, each.reason) for each in plan.unassigned] == [("dear", "no_room")]


def test_greedy_in_a_trap_has_no_plan_but_says_what_it_had():
    plan = solve(TRAP, "greedy")
    assert (plan.status, plan.solution) == ("locally_infeasible", "none")
    assert plan.assignments == []
    assert plan.verified
    assert plan.bound is not None
    assert plan.bound >= 9.0
    partial = solve(TRAP, "greedy", allow_violations=True)
    assert (partial.status, partial.solution, partial.verified) == ("locally_infeasible", "feasible", False)
    assert [each.offer for each in partial.assignments] == ["x/a"]
    assert "task y" in [each.what for each in partial.violations]


def test_exact_strategies_find_the_way_out_of_the_trap():
    for strategy in ("extensive", "auto"):
        plan = solve(TRAP, strategy)
        assert (plan.status, plan.objective) == ("optimal", 9.0)


@pytest.mark.parametrize("strategy", OURS)
def test_a_round_without_anything(strategy: str):
    plan = solve(make_round(operators=[], coprocessors=[], tasks=[]), strategy)
    assert (plan.objective, plan.bound, plan.gap) == (0.0, 0.0, 0.0)
    assert plan.verified


@pytest.mark.parametrize("strategy", OURS)
def test_a_round_in_which_nothing_pays(strategy: str):
    plan = solve(make_round(tasks=[{"id": "t", "operator": "op", "unassigned_cost": 2}]), strategy)
    assert plan.objective == -2.0
    assert plan.bound == pytest.approx(-2.0)
    assert plan.solution != "none"


@pytest.mark.parametrize("seed", range(3))
def test_bounds_and_plans_are_in_order_on_larger_rounds(seed: int):
    document = generate_round(tasks=25, coprocessors=5, offers=4, seed=seed)
    plans = {strategy: solve(document, strategy, mip_rel_gap=1e-4) for strategy in OURS}
    values = {name: plan.objective for name, plan in plans.items() if plan.objective is not None}
    bounds = {name: plan.bound for name, plan in plans.items() if plan.bound is not None}
    assert set(values) == set(bounds) == set(OURS)
    assert values["greedy"] <= values["relaxation"] <= values["extensive"] <= min(bounds.values())
    assert bounds["extensive"] <= bounds["relaxation"] <= bounds["greedy"]
    # HiGHS's own measure of the gap is by the objective
    assert bounds["extensive"] - values["extensive"] <= 1e-4 * values["extensive"] * (1 + 1e-9)


@examples(0.4)
@given(document=rounds())
def test_relaxation_never_earns_less_than_greedy(document: Document):
    instance = bondwork.load(document)
    greedy, relaxation = (bondwork.solve(instance, strategy=name) for name in ("greedy", "relaxation"))
    if greedy.objective is not None:
        assert relaxation.objective is not None
        assert relaxation.objective >= greedy.objective


@examples(0.4)
@given(document=rounds())
def test_no_offer_worth_it_is_left_where_there_is_room(document: Document):
    # a plan that stopped early may be poor, but not so poor
    instance = bondwork.load(document)
    plan = bondwork.solve(instance, time_limit=0.0)
    assert plan.status in ("time_limit", "infeasible", "optimal")
    assert plan.verified
    best = Oracle(document).best()
    if plan.objective is not None:
        assert best is not None
        assert plan.objective <= float(best.objective)
        assert plan.bound is None or plan.bound >= float(best.objective)


def test_auto_says_what_it_chose_and_why(monkeypatch: pytest.MonkeyPatch):
    plan = solve(market(), "auto")
    assert plan.strategy == "extensive"
    assert plan.provenance.options["strategy"] == "auto"
    assert plan.provenance.notes == ["auto chose extensive: 10 eligible offers"]
    monkeypatch.setattr(auto, "MOST_EXTENSIVE", 2)
    monkeypatch.setattr(auto, "Lagrangian", Greedy)
    assert solve(market(), "auto").provenance.notes == ["auto chose lagrangian: 10 eligible offers"]


def test_auto_records_what_it_falls_back_from(monkeypatch: pytest.MonkeyPatch):
    class Refusing:
        def solve(self, *_: object) -> Never:
            raise NotDecomposable("the round is a knot")

    monkeypatch.setattr(auto, "MOST_EXTENSIVE", 2)
    monkeypatch.setattr(auto, "Lagrangian", Refusing)
    refused = "lagrangian refused: the round is a knot"
    plan = solve(market(), "auto")
    assert plan.provenance.notes == [refused, "auto chose extensive: 10 eligible offers"]
    monkeypatch.setattr(auto, "LARGEST_EXTENSIVE", 2)
    plan = solve(market(), "auto")
    assert plan.provenance.notes == [refused, "auto chose relaxation: 10 eligible offers"]


def test_a_strategy_does_not_change_the_program():
    program = bondwork.build(bondwork.load(market()))
    before = {
        name: getattr(program, name).copy() for name in ("objective", "row_upper", "row_lower", "upper")
    }
    data = program.matrix.data.copy()
    for name in OURS:
        find_strategy(name).solve(program, Options(), Silence())
    for name, array in before.items():
        assert (getattr(program, name) == array).all()
    assert (program.matrix.data == data).all()
    with pytest.raises(ValueError, match="read-only"):
        program.objective[0] = 1.0


@pytest.mark.parametrize("strategy", OURS)
@pytest.mark.parametrize("formulation", ["highs", "cvxpy", "pyomo"])
def test_the_same_options_give_the_same_bytes(strategy: str, formulation: str):
    document = generate_round(tasks=25, coprocessors=5, offers=4, seed=3)

    def text() -> str:
        plan = solve(document, strategy, formulation=formulation, seed=7, mip_rel_gap=1e-4)
        return plan.model_copy(update={"timing": type(plan.timing)()}).to_json()

    assert text() == text()
