"""Every strategy on a round whose failed tasks can be given away again: a verified plan, or a refusal."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from typer.testing import CliRunner

import bondwork
from bondwork.cli import app
from bondwork.comparison.comparison import compare_study
from bondwork.comparison.study import make_study
from bondwork.contracts import Options
from bondwork.observing import Silence
from bondwork.problem.faults import InvalidInput, Refusal
from bondwork.problem.generate import generate_round
from bondwork.problem.rescues import find_rescues
from bondwork.program import two_stage_search
from bondwork.program.evaluation import evaluate
from bondwork.program.extensive import extensive_form
from bondwork.program.recourse import decide_second_stage, expected_gain
from bondwork.program.redelegation import observe, redelegate
from bondwork.program.round_sampling import round_sampler
from bondwork.program.saa import solve_saa
from bondwork.registry import find_formulation, strategy_names
from bondwork.strategies.extensive import Extensive

if TYPE_CHECKING:
    from pathlib import Path

    from bondwork.contracts import Progress

EXACT = ("auto", "extensive", "l-shaped", "highs-serial")
FIRST_STAGE_ONLY = ("greedy", "relaxation", "lagrangian")
AUCTIONS = ("dutch", "reverse-dutch", "first-price", "second-price")


def document(tasks: int = 6, scenarios: int = 16, **more: Any) -> dict[str, Any]:
    made = generate_round(tasks, 3, 2, 1, rescue=2, tightness=1.0)
    made["uncertainty"]["scenarios"] = scenarios
    return made | more


@pytest.fixture(scope="module")
def instance() -> bondwork.Instance:
    return bondwork.load(document())


@pytest.fixture(scope="module")
def best(instance: bondwork.Instance) -> float:
    found = bondwork.solve(instance, mip_rel_gap=0.0).objective
    assert found is not None
    return found


@pytest.mark.parametrize("strategy", EXACT)
def test_exact_strategies_find_the_best(instance: bondwork.Instance, best: float, strategy: str) -> None:
    plan = bondwork.solve(instance, strategy=strategy, mip_rel_gap=0.0)
    assert (plan.status, plan.verified) == ("optimal", True)
    assert plan.objective == pytest.approx(best, rel=1e-6)
    assert plan.bound == pytest.approx(best, rel=1e-6)


@pytest.mark.parametrize("strategy", [*FIRST_STAGE_ONLY, "expected-value", "saa"])
def test_the_others_find_plans_that_hold(instance: bondwork.Instance, best: float, strategy: str) -> None:
    plan = bondwork.solve(instance, strategy=strategy, time_limit=10.0)
    assert plan.verified
    assert plan.objective is not None and plan.objective <= best * (1.0 + 1e-6)
    assert plan.bound is None or plan.bound >= best * (1.0 - 1e-6)
    if strategy in FIRST_STAGE_ONLY:
        # what the certificate proves, and nobody else says
        assert plan.certificate is not None and plan.bound == plan.certificate.bound
        assert plan.certificate.vouched_by is None
        assert any("without regard to the second" in note for note in plan.provenance.notes)


def test_wait_and_see_is_a_bound_without_a_plan(instance: bondwork.Instance, best: float) -> None:
    plan = bondwork.solve(instance, strategy="wait-and-see")
    assert (plan.status, plan.solution, plan.objective) == ("locally_solved", "none", None)
    assert plan.bound is not None and plan.bound >= best
    worth = bondwork.solve(instance, mip_rel_gap=0.0, value=True).stochastic
    assert worth is not None
    # the same knowledge: what the chosen offers earn by luck included
    assert plan.bound == pytest.approx(worth["ws_bound"], rel=1e-4)


@pytest.mark.parametrize("strategy", AUCTIONS)
def test_auctions_refuse(instance: bondwork.Instance, strategy: str) -> None:
    with pytest.raises(Refusal, match="prices"):
        bondwork.solve(instance, strategy=strategy)


def test_every_other_installed_strategy_decides_or_refuses(instance: bondwork.Instance, best: float) -> None:
    known = {*EXACT, *FIRST_STAGE_ONLY, *AUCTIONS, "expected-value", "saa", "wait-and-see", "hedging"}
    others = [each for each in strategy_names() if each not in known and not each.startswith("highs-")]
    for strategy in others:
        try:
            plan = bondwork.solve(instance, strategy=strategy, time_limit=5.0)
        except Refusal:
            continue
        assert plan.verified or plan.solution == "none", strategy
        assert plan.objective is None or plan.objective <= best * (1.0 + 1e-6)


@pytest.mark.parametrize("strategy", ["l-shaped", "saa", "hedging"])
def test_limits_that_link_outcomes_are_refused(strategy: str) -> None:
    limited = document(risk=[{"measure": "cvar", "level": 0.9, "budget": 50.0}])
    with pytest.raises(Refusal, match="link"):
        bondwork.solve(bondwork.load(limited), strategy=strategy)


def test_settings_that_a_strategy_does_not_take_are_refused(instance: bondwork.Instance) -> None:
    with pytest.raises(InvalidInput, match="cuts"):
        bondwork.solve(instance, strategy="expected-value", settings={"cuts": "single"})


@pytest.mark.usefixtures("mpi")
def test_hedging_on_three_ranks_is_within_the_gap_that_it_reports() -> None:
    pytest.importorskip("mpisppy")
    instance = bondwork.load(document(5, 12))
    best = bondwork.solve(instance, mip_rel_gap=0.0).objective
    plan = bondwork.solve(
        instance, strategy="hedging", time_limit=7.0, mip_rel_gap=0.01, settings={"iterations": "3"}
    )
    assert plan.verified
    assert best is not None and plan.objective is not None and plan.bound is not None
    assert plan.gap is not None
    assert plan.objective <= best * (1.0 + 1e-6)
    assert plan.bound >= best * (1.0 - 1e-6)
    assert (best - plan.objective) / best <= plan.gap + 1e-6


# --- formulations ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("formulation", ["pyomo", "cvxpy"])
def test_formulations_write_both_stages(
    instance: bondwork.Instance, best: float, formulation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = find_formulation(formulation)
    nodes: list[int] = []
    write = type(written).extensive_form  # type: ignore[attr-defined]

    def watched(self: Any, program: Any) -> Any:
        nodes.append(len(program))
        form, ours = write(self, program), extensive_form(program)
        assert abs(form.matrices.matrix - ours.matrices.matrix).max() < 1e-9
        return form

    monkeypatch.setattr(type(written), "extensive_form", watched)
    plan = bondwork.solve(instance, formulation=formulation, mip_rel_gap=0.0)
    assert plan.objective == pytest.approx(best, rel=1e-6)
    assert len(nodes) == 1 and nodes[0] > 1
    monkeypatch.setattr(two_stage_search, "SMALL_FORM", 0)
    large = bondwork.solve(instance, formulation=formulation, mip_rel_gap=0.0)
    assert large.objective == pytest.approx(best, rel=1e-6)
    assert len(nodes) == 2


# --- limits of time and interruptions ----------------------------------------------------------------------


class Impatient:
    """Stops at the first incumbent."""

    def __init__(self) -> None:
        self.found = False

    def report(self, progress: Progress) -> None:
        self.found |= progress.objective is not None

    def should_stop(self) -> bool:
        return self.found


@pytest.mark.parametrize("limit", [0.0, 1.5])
def test_the_time_limit_covers_the_second_stage_and_fresh_scenarios(limit: float) -> None:
    made = generate_round(40, 6, 5, 3, rescue=2)
    made["uncertainty"]["scenarios"] = 64
    instance = bondwork.load(made)
    before = time.process_time()
    plan = bondwork.solve(instance, time_limit=limit, threads=1)
    # of a busy machine the clock says little: what is bounded is the work
    assert time.process_time() - before <= 6.0 + 2.0 * limit
    assert plan.status in ("time_limit", "optimal")
    if plan.solution != "none":
        assert plan.verified


def test_an_interrupt_keeps_the_best_plan(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(two_stage_search, "SMALL_FORM", 0)
    instance = bondwork.load(document(10, 24))
    plan = bondwork.solve(instance, observer=Impatient(), mip_rel_gap=0.0)
    assert plan.status == "interrupted"
    assert plan.verified
    assert plan.objective is not None
    assert plan.evaluation is not None and plan.evaluation.out_of_sample is None


def test_what_is_left_over_is_filled_greedily() -> None:
    made = generate_round(12, 3, 3, 1, rescue=2, tightness=0.6)
    made["uncertainty"]["scenarios"] = 8
    instance = bondwork.load(made)
    rescues = find_rescues(instance)
    first = find_formulation("highs").build(instance)
    model = redelegate(instance, first, observe(instance, rescues, 1), rescues)
    nothing = np.zeros(first.choices)  # all is left, and not all of it can be taken up
    exact = decide_second_stage(model, nothing, Options(mip_rel_gap=0.0), Silence())
    late = decide_second_stage(model, nothing, Options(time_limit=0.0), Silence())
    assert exact.unfinished == 0
    assert late.unfinished == len(model.outcomes) and late.status == "time_limit"
    assert exact.rescued is not None and late.rescued is not None
    assert np.all(expected_gain(model, late.rescued) <= expected_gain(model, exact.rescued) + 1e-9)
    # what was known is kept where it is better
    known = decide_second_stage(model, nothing, Options(time_limit=0.0), Silence(), exact.rescued)
    assert known.rescued is not None
    assert expected_gain(model, known.rescued) == pytest.approx(expected_gain(model, exact.rescued))


# --- samples and comparisons -------------------------------------------------------------------------------


def test_the_interval_of_a_round_holds_the_gap() -> None:
    instance = bondwork.load(document(4))
    sampler = round_sampler(instance)
    assert sampler(30, 4).sha256 == sampler(30, 4).sha256 != sampler(30, 5).sha256
    assert sampler(30, 4).conditional[1:].sum() == pytest.approx(1.0)
    found = solve_saa(sampler, scenarios=20, candidates=2, replications=3, evaluation=100, seed=2)
    assert set(found.columns) <= set(instance.offers.ids)
    wide = sampler(300, 77)
    optimum = Extensive().solve_program(wide, Options(mip_rel_gap=1e-4), Silence())
    value = evaluate(wide, found.root, draws=300)
    assert value.standard_error is not None
    assert optimum.bound - value.objective <= found.gap.upper + 3.0 * value.standard_error


def test_sampling_refuses_what_it_cannot_take_apart() -> None:
    limited = bondwork.load(document(risk=[{"measure": "cvar", "level": 0.9, "budget": 50.0}]))
    with pytest.raises(Refusal, match="link"):
        round_sampler(limited)
    alone = bondwork.load(generate_round(3, 2, 1, 1))
    with pytest.raises(Refusal, match="second-stage"):
        round_sampler(alone)


def test_the_command_samples_a_round(tmp_path: Path) -> None:
    path = tmp_path / "round.json"
    path.write_text(json.dumps(document(4, 8)))
    numbers = ["--scenarios", "10", "--candidates", "2", "--replications", "3", "--evaluate", "50", "--json"]
    out = CliRunner().invoke(app, ["saa", str(path), *numbers])
    assert out.exit_code == 0, out.output
    report = json.loads(out.stdout)
    assert report["sense"] == "max"
    assert report["gap"]["upper"] >= 0.0


def test_a_comparison_tells_what_the_model_is_worth() -> None:
    study = make_study(
        [document(4, 8)], strategies=["extensive", "greedy", "wait-and-see", "dutch"], value=True
    )
    rows = {row.contender: row for row in compare_study(study).rows}
    exact = rows["extensive"]
    assert exact.worth is not None and exact.worth.ws is not None
    assert exact.worth.rp == exact.objective
    assert exact.worth.evpi is not None and exact.worth.evpi >= -1e-6
    assert rows["greedy"].worth is not None
    assert rows["wait-and-see"].solution == "none"
    assert rows["wait-and-see"].bound is not None
    assert rows["dutch"].status == "refused"
