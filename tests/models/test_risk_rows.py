"""Tail limits, mean-risk objective and load incentives in each language's own algebra: one optimum."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cvxpy as cp
import numpy as np
import pyomo.environ as pyo
import pytest

import bondwork
from bondwork.contracts import Options
from bondwork.market.load_curve import LoadIncentive
from bondwork.observing import Silence
from bondwork.road import sample_risk
from bondwork.solver.solving import solve_program
from bondwork_models._compiled import Beside
from bondwork_models.cvxpy import CvxpyFormulation
from bondwork_models.highs import HighsFormulation
from bondwork_models.pyomo import PyomoFormulation
from market.curves import as_json
from risk.by_hand import Brute, limited, small_document

if TYPE_CHECKING:
    from bondwork.problem.instance import Instance
    from bondwork.program.program import Program
    from hand_made import Document

FORMULATIONS = [HighsFormulation, PyomoFormulation, CvxpyFormulation]
EXACT = Options(mip_rel_gap=0.0, threads=1)

LIMITS: dict[str, list[Document]] = {
    "cvar": [{"measure": "cvar", "level": 0.9, "budget": 9.0, "of": "network"}],
    "cvar of each operator": [{"measure": "cvar", "level": 0.75, "budget": 5.0, "of": "operator"}],
    "chance": [{"measure": "chance", "probability": 0.125, "budget": 7.5, "of": "network"}],
    "worst case": [{"measure": "worst_case", "budget": 12.0, "of": "coprocessor"}],
    "ambiguous": [{"measure": "ambiguous", "radius": 0.3, "budget": 6.0, "of": "network"}],
    "solvency": [{"measure": "solvency", "probability": 0.125, "of": "coprocessor"}],
    "out of reach": [{"measure": "chance", "probability": 0.0, "budget": 1e6, "of": "network"}],
}
LIMITS["all together"] = [each for name in list(LIMITS)[:5] for each in LIMITS[name]]
WEIGHTS = {"plain": 0.0, "mean-risk": 0.25}


def instance_of(limits: str, weight: str = "plain", *, unit: float = 1.0, loads: bool = False) -> Instance:
    document = limited(small_document(7, tasks=5, scenarios=16), LIMITS[limits])
    if limits == "solvency":
        for each in document["coprocessors"]:
            each["free_collateral"] = 6.0
    if WEIGHTS[weight]:
        document["objective"] = {"risk_weight": WEIGHTS[weight], "risk_level": 0.75}
    if loads:
        coprocessor = document["coprocessors"][0]
        coprocessor["capacity"] = {"gpu": 4.0}
        coprocessor["load_curve"] = as_json(LoadIncentive(), scale=5.0, weight=1.0)
        for task in document["tasks"]:
            task["work"] = {"gpu": 1.0}
    return bondwork.load(scaled(document, unit))


def scaled(document: Document, unit: float) -> Document:
    """The document with all amounts of currency in another unit."""
    money = {"reward", "slashing", "bid", "cost", "budget", "stake", "unassigned_cost"}

    def walk(value: object, key: str = "") -> object:
        if isinstance(value, dict):
            return {name: walk(each, name) for name, each in value.items()}
        if isinstance(value, list):
            return [walk(each, key) for each in value]
        return value * unit if key in money and isinstance(value, int | float) else value

    return walk(document)  # type: ignore[return-value]


def program_of(formulation: type, instance: Instance) -> Program:
    risk = sample_risk(instance)
    rows = range(len(risk.measures))
    return formulation().build(instance, risk.measures, rows, risk.teams, risk.mean_risk)


def optimum(program: Program) -> float:
    answer = solve_program(program, EXACT, Silence())
    assert answer.status == "optimal"
    return answer.bound


@pytest.mark.parametrize("weight", WEIGHTS)
@pytest.mark.parametrize("limits", LIMITS)
def test_one_optimum_in_all_formulations(limits: str, weight: str):
    instance = instance_of(limits, weight)
    programs = [program_of(formulation, instance) for formulation in FORMULATIONS]
    values = [optimum(program) for program in programs]
    assert values == pytest.approx([values[0]] * 3, rel=1e-6)
    if limits != "out of reach" or weight != "plain":
        # and it is the limits, or the price of risk, that make it what it is
        free = optimum(HighsFormulation().build(instance))
        assert values[0] < free - 1e-6
    relaxed = [solve_program(p, EXACT, Silence(), relaxed=True).bound for p in programs]
    assert relaxed == pytest.approx([relaxed[0]] * 3, rel=1e-6)
    for program in programs:
        assert program.lazy == ()
        assert [each.label for each in program.measures] == [each.label for each in programs[0].measures]
        assert (program.mean_risk is None) == (weight == "plain")


@pytest.mark.parametrize("weight", WEIGHTS)
@pytest.mark.parametrize(
    ("limits", "loads"), [*((limits, False) for limits in LIMITS), ("cvar", True), ("all together", True)]
)
def test_the_languages_own_way_to_highs(limits: str, weight: str, loads: bool):
    instance = instance_of(limits, weight, loads=loads)
    risk = sample_risk(instance)
    expected = optimum(program_of(HighsFormulation, instance))

    problem = CvxpyFormulation().problem(instance, risk.measures, teams=risk.teams, mean_risk=risk.mean_risk)
    assert problem.solve(solver=cp.HIGHS, mip_rel_gap=0.0) == pytest.approx(expected, rel=1e-6)

    model = PyomoFormulation().model(instance, risk.measures, teams=risk.teams, mean_risk=risk.mean_risk)
    solver = pyo.SolverFactory("appsi_highs")
    solver.highs_options = {"mip_rel_gap": 0.0}
    solver.solve(model)
    assert pyo.value(model.net_reward) == pytest.approx(expected, rel=1e-6)


def test_the_optimum_is_that_of_trying_every_choice():
    for limits in ("cvar", "chance", "ambiguous", "worst case"):
        document = limited(small_document(7, tasks=5, scenarios=16), LIMITS[limits])
        best = Brute(document).best()
        assert best is not None
        for formulation in FORMULATIONS:
            assert optimum(program_of(formulation, bondwork.load(document))) == pytest.approx(best[0])


@pytest.mark.parametrize("formulation", FORMULATIONS)
@pytest.mark.parametrize("unit", [2.0**60, 2.0**-30])
def test_money_in_any_unit(formulation: type, unit: float):
    plain = optimum(program_of(formulation, instance_of("all together", "mean-risk")))
    other = optimum(program_of(formulation, instance_of("all together", "mean-risk", unit=unit)))
    assert other == pytest.approx(unit * plain, rel=1e-6)


@pytest.mark.parametrize("formulation", FORMULATIONS)
def test_only_the_rows_asked_for_are_written(formulation: type):
    instance = instance_of("all together")
    risk = sample_risk(instance)
    last = len(risk.measures) - 1
    some = formulation().build(instance, risk.measures, [last], risk.teams)
    assert some.lazy == tuple(range(last))
    only = formulation().build(instance, risk.measures[last:], [0], risk.teams)
    assert optimum(some) == pytest.approx(optimum(only), rel=1e-9)
    none = formulation().build(instance, risk.measures, (), risk.teams)
    assert none.lazy == tuple(range(len(risk.measures)))
    assert len(none.columns) == none.choices


def test_strategies_need_not_know_who_wrote_the_rows():
    instance = instance_of("all together", "mean-risk", loads=True)
    plans = [
        bondwork.solve(instance, formulation=name, risk_form=form, mip_rel_gap=0.0, threads=1)
        for name, form in (("highs", "rows"), ("pyomo", "rows"), ("cvxpy", "rows"), ("pyomo", "cuts"))
    ]
    for plan in plans:
        assert plan.status == "optimal"
        assert plan.objective == pytest.approx(plans[0].objective, abs=plan.load_error + 1e-6)


def test_parts_have_names_in_pyomo():
    instance = instance_of("cvar", "mean-risk", loads=True)
    risk = sample_risk(instance)
    model = PyomoFormulation().model(instance, risk.measures, teams=risk.teams, mean_risk=risk.mean_risk)
    assert len(model.tail_limit[0].excess) == len(model.tail_limit[0].beyond) == 16
    assert model.tail_limit[0].limit.upper * risk.measures[0].loss.unit == pytest.approx(9.0)
    assert not hasattr(model.mean_risk, "limit")
    assert len(model.load_incentive.level) == 1


@pytest.mark.parametrize("formulation", [PyomoFormulation, CvxpyFormulation])
def test_a_measure_of_another_kind_is_refused(formulation: type):
    instance = instance_of("cvar")
    risk = sample_risk(instance)
    odd = type("Unknown", (), {"label": "odd of network"})()
    with pytest.raises(TypeError, match="odd of network"):
        formulation().build(instance, [*risk.measures, odd], [1], risk.teams)


def test_what_is_beside_a_program_is_noted():
    instance = instance_of("all together", "mean-risk", loads=True)
    program = program_of(HighsFormulation, instance)
    beside = Beside.of(program.limits, program.teams or sample_risk(instance).teams, program.measures, [1])
    noted = beside.noted(program)
    assert noted.lazy == (0, *range(2, len(program.measures)))
    np.testing.assert_allclose([t.amount for t in noted.loads], [5.0])
    assert [t.amount for t in program.loads] == [0.75 * 5.0]
