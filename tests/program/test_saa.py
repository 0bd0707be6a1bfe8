"""Sample average approximation: intervals that cover what they should, on problems with known optima."""

from __future__ import annotations

import dataclasses
import io
import json
import math
import time
from typing import Any

import jsonschema
import numpy as np
import pytest
from scipy import stats

from bondwork.contracts import Options
from bondwork.importers.smps import read_smps, smps_sampler
from bondwork.observing import Silence
from bondwork.problem.faults import InvalidInput
from bondwork.program import optimality_gap as gap_module
from bondwork.program import saa as saa_module
from bondwork.program.evaluation import evaluate
from bondwork.program.optimality_gap import Unfinished, estimate_gap, gap_interval
from bondwork.program.resampling import sampler_of
from bondwork.program.saa import choose, solve_saa
from bondwork.program.saa_report import report_saa
from bondwork.program.stochastic import StochasticProgram
from bondwork.program.template import NodeTemplate
from bondwork.schemas import json_schema
from bondwork.strategies.saa import Saa
from program.stochastic_programs import toy

EXACT = Options(threads=1, mip_rel_gap=0.0)
PRICE, COST = 3.0, 1.0


def newsvendor(scenarios: int, seed: int) -> StochasticProgram:
    """Buy x at 1, sell min(x, d) at 3, d uniform on [0, 1]: best is x = 2/3, which earns 2/3."""
    demand = np.random.default_rng(seed).uniform(size=scenarios)
    buy = NodeTemplate.make(0, ["x"], cost=-COST, upper=5.0)
    sell = NodeTemplate.make(
        1, ["y"], ["stock"], cost=PRICE, row_upper=0.0, entries=[(0, 0, 0, -1.0), (0, 1, 0, 1.0)]
    )
    return StochasticProgram.from_changes(
        "newsvendor",
        "max",
        [buy, sell],
        parent=[-1] + [0] * scenarios,
        template=[0] + [1] * scenarios,
        conditional=[1.0] + [1.0 / scenarios] * scenarios,
        changes=[{}, *({("upper", 0): float(d)} for d in demand)],
    )


def true_value(x: float) -> float:
    return PRICE * (x - x * x / 2.0) - COST * x


def test_interval_covers_the_gap_of_a_newsvendor() -> None:
    x, confidence, experiments = 0.55, 0.9, 60
    truth = true_value(2.0 / 3.0) - true_value(x)
    found = [
        estimate_gap(newsvendor, np.array([x]), replications=6, scenarios=25, confidence=confidence,
                     seed=seed, options=EXACT)
        for seed in range(experiments)
    ]  # fmt: skip
    covered = np.mean([each.upper >= truth for each in found])
    assert covered >= confidence - 3.0 * math.sqrt(confidence * (1.0 - confidence) / experiments)
    # the mean optimum is too good, by no more than a sample of 25 explains, and the interval says something
    estimates = np.array([each.estimate for each in found])
    error = estimates.std(ddof=1) / math.sqrt(experiments)
    assert estimates.mean() >= truth - 3.0 * error
    assert np.median([each.upper for each in found]) < 10.0 * truth
    bounds = np.concatenate([each.bounds for each in found])
    assert bounds.mean() >= true_value(2.0 / 3.0) - 3.0 * bounds.std() / math.sqrt(len(bounds))


def test_bias_falls_with_the_size_of_the_samples() -> None:
    best = np.array([2.0 / 3.0])
    small, large = (
        estimate_gap(newsvendor, best, replications=12, scenarios=n, seed=1, options=EXACT).upper
        for n in (10, 200)
    )
    assert large < small / 3.0


def test_common_numbers_beat_independent_ones() -> None:
    gap = estimate_gap(newsvendor, np.array([0.6]), replications=12, scenarios=50, seed=2, options=EXACT)
    apart = math.hypot(gap.bounds.std(ddof=1), gap.values.std(ddof=1)) / math.sqrt(12)
    assert gap.standard_error < apart / 3.0


def test_every_ingredient_is_there() -> None:
    gap = gap_interval(
        np.array([6.0, 8.0, 7.0]), np.array([5.0, 5.5, 7.0]), sign=1.0, scenarios=9, confidence=0.975
    )
    assert gap.gaps.tolist() == [1.0, 2.5, 0.0]
    assert gap.quantile == pytest.approx(stats.t.ppf(0.975, 2))
    assert gap.upper == pytest.approx(gap.estimate + gap.quantile * np.std([1, 2.5, 0], ddof=1) / 3**0.5)
    assert gap.statistical_bound == 7.0
    less = gap_interval(
        np.array([-6.0, -8.0]), np.array([-5.0, -5.5]), sign=-1.0, scenarios=9, confidence=0.95
    )
    assert less.gaps.tolist() == [1.0, 2.5]


def test_no_recourse_is_an_infinite_gap() -> None:
    gap = gap_interval(np.array([6.0, 8.0]), np.array([5.0, -np.inf]), sign=1.0, scenarios=2, confidence=0.9)
    assert gap.upper == math.inf


@pytest.mark.parametrize("sense", ["max", "min"])
def test_toy(sense: str) -> None:
    found = solve_saa(sampler_of(toy(sense)), scenarios=200, seed=5, options=EXACT)
    assert found.root == pytest.approx([6.0])
    sign = 1.0 if sense == "max" else -1.0
    assert abs(sign * found.value.objective - 6.0) <= 4.0 * found.value.standard_error
    assert found.gap.upper < 1.0
    assert found.gap.estimate == pytest.approx(0.0, abs=1e-6)  # the best decision of every sample is 6 too


def test_sequential_rule_grows_until_the_interval_is_short() -> None:
    found = solve_saa(newsvendor, scenarios=10, candidates=2, tolerance=0.03, seed=3, options=EXACT)
    sizes = [n for n, _ in found.rounds]
    assert found.within
    assert len(sizes) > 1
    assert sizes == [10 * 2**k for k in range(len(sizes))]
    assert found.gap.upper < 0.03 <= found.rounds[0][1] + 0.03 / math.sqrt(10)
    assert true_value(2.0 / 3.0) - true_value(float(found.root[0])) <= 0.03


def test_same_seed_same_result() -> None:
    first, second, other = (
        solve_saa(newsvendor, scenarios=10, candidates=2, replications=3, evaluation=50, seed=seed,
                  options=EXACT)
        for seed in (1, 1, 2)
    )  # fmt: skip
    assert report_saa("n", first).to_json() == report_saa("n", second).to_json()
    assert first.gap.bounds.tolist() != other.gap.bounds.tolist()


def test_lands(shared) -> None:
    files = [shared / "data" / "smps" / "electric" / f"LandS.{end}" for end in ("cor", "tim", "sto")]
    sampler = smps_sampler(*files)
    found = solve_saa(sampler, scenarios=60, seed=0, options=EXACT)
    whole = evaluate(read_smps(*files), found.root, EXACT)
    published = 397.751333
    assert whole.objective >= published - 1e-5
    assert whole.objective - published <= found.gap.upper
    assert found.gap.upper < 0.02 * published
    assert found.gap.statistical_bound <= published + 3.0 * found.gap.statistical_bound_error
    assert abs(found.value.objective - whole.objective) <= 4.0 * found.value.standard_error
    merged = sampler(40, 7)
    again = sampler(40, 7)
    assert merged.sha256 == again.sha256 == read_smps(*files, scenarios=40, seed=7).sha256


def test_strategy_on_lands(shared) -> None:
    files = [shared / "data" / "smps" / "electric" / f"LandS.{end}" for end in ("cor", "tim", "sto")]
    program = read_smps(*files)
    decision = Saa().solve_program(program, EXACT, Silence())
    value = evaluate(program, decision.root, EXACT).objective
    assert decision.status == "locally_solved"
    assert value <= 397.751333 * 1.01
    # minimised: what bounds the maximisation is the negated least cost
    assert decision.bound >= -397.751333
    assert any("statistical bound (no proof)" in note for note in decision.notes)


def test_strategy_with_one_scenario_proves_what_it_found() -> None:
    sure = dataclasses.replace(toy(), conditional=np.array([1.0, 0.0, 1.0]))
    decision = Saa().solve_program(sure, EXACT, Silence())
    assert decision.status == "optimal"
    assert decision.root == pytest.approx([6.0])
    assert decision.bound == pytest.approx(12.0)


def test_strategy_reports_what_is_infeasible_and_what_ran_out() -> None:
    never = NodeTemplate.make(1, ["y"], ["r"], cost=1.0, upper=1.0, row_lower=2.0, entries=[(0, 1, 0, 1.0)])
    program = StochasticProgram.from_changes(
        "never", "max", [NodeTemplate.make(0, ["x"], cost=-1.0), never], parent=[-1, 0], template=[0, 1],
        conditional=[1.0, 1.0], changes=[{}, {}],
    )  # fmt: skip
    decision = Saa().solve_program(program, EXACT, Silence())
    assert (decision.status, decision.bound, decision.root) == ("infeasible", -math.inf, None)
    decision = Saa().solve_program(toy(), dataclasses.replace(EXACT, time_limit=0.0), Silence())
    assert (decision.status, decision.bound, decision.root) == ("time_limit", math.inf, None)


def test_decisions_that_lack_recourse_somewhere_do_not_make_a_program_infeasible() -> None:
    """Samples may miss the one scenario of fifty in which what is best in them cannot stand."""
    take = NodeTemplate.make(0, ["x"], cost=1.0, upper=1.0)
    bear = NodeTemplate.make(
        1, ["y"], ["room"], cost=0.0, row_upper=1.0, entries=[(0, 0, 0, 1.0), (0, 1, 0, -1.0)]
    )
    program = StochasticProgram.from_changes(
        "rare", "max", [take, bear], parent=[-1] + [0] * 50, template=[0] + [1] * 50,
        conditional=[1.0] + [0.02] * 50,
        changes=[{}, *({("upper", 0): 0.0} for _ in range(49)), {("upper", 0): 0.0, ("row_upper", 0): 0.0}],
    )  # fmt: skip
    with pytest.raises(Unfinished) as told:
        choose(program, [np.array([1.0]), np.array([0.5])], EXACT, Silence())
    assert told.value.status == "locally_infeasible"


def test_limits_and_bad_numbers() -> None:
    with pytest.raises(Unfinished) as error:
        estimate_gap(newsvendor, np.array([0.5]), options=dataclasses.replace(EXACT, time_limit=0.0))
    assert error.value.status == "time_limit"
    with pytest.raises(InvalidInput) as faults:
        solve_saa(newsvendor, replications=1, candidates=0, confidence=1.0, tolerance=0.0, growth=1.0)
    assert {fault.path for fault in faults.value.faults} == {
        "replications", "candidates", "confidence", "tolerance", "growth",
    }  # fmt: skip


def overlook_the_clock(monkeypatch: pytest.MonkeyPatch, **answers: object) -> None:
    """Let parts of a search end as if time were up: ``answers`` are their names, and after how many calls."""
    for name, after in answers.items():
        real, calls = getattr(saa_module, name), iter(range(1000))

        def late(
            *given: Any, _real: Any = real, _calls: Any = calls, _after: Any = after, **more: Any
        ) -> Any:
            if next(_calls) >= _after:
                raise Unfinished("time_limit", "that")
            return _real(*given, **more)

        monkeypatch.setattr(saa_module, name, late)


@pytest.mark.parametrize(
    ("late", "note"),
    [
        ({"propose_root": 1}, ""),
        ({"choose": 0}, "the first candidate is kept: that: time limit"),
        ({"estimate_gap": 0}, "no interval of the gap: that: time limit"),
    ],
)
def test_what_was_found_in_time_is_handed_out(
    monkeypatch: pytest.MonkeyPatch, late: dict[str, int], note: str
) -> None:
    overlook_the_clock(monkeypatch, **late)
    found = solve_saa(newsvendor, scenarios=10, replications=3, evaluation=50, seed=1)
    assert math.isfinite(found.value.objective)
    assert note in found.notes or not note
    assert found.status == ("time_limit" if note else "optimal")
    report = report_saa("newsvendor", found)
    assert report.status == found.status
    assert report.gap.upper is not None or "estimate_gap" in late
    jsonschema.validate(json.loads(report.to_json()), json_schema("saa"))


def test_a_size_that_had_no_time_leaves_what_smaller_samples_told(monkeypatch: pytest.MonkeyPatch) -> None:
    overlook_the_clock(monkeypatch, estimate_gap=1)
    found = solve_saa(newsvendor, scenarios=10, replications=3, evaluation=50, tolerance=1e-9, seed=1)
    assert found.gap.replications == 3
    assert (found.within, found.status) == (False, "time_limit")
    assert len(found.rounds) == 2
    assert found.notes


def test_samples_of_the_gap_that_were_solved_in_time_make_its_interval(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real, calls = gap_module.bound_sample, iter(range(100))

    def late(*given: Any) -> float:
        if next(calls) >= 4:
            raise Unfinished("time_limit", "a sample")
        return real(*given)

    monkeypatch.setattr(gap_module, "bound_sample", late)
    assert estimate_gap(newsvendor, np.array([0.5]), options=EXACT).replications == 4
    found = solve_saa(newsvendor, scenarios=10, evaluation=50, seed=1)
    assert found.notes == ("no interval of the gap: a sample: time limit",)


def test_reading_counts_in_the_limit() -> None:
    with pytest.raises(Unfinished):
        solve_saa(
            newsvendor,
            options=dataclasses.replace(EXACT, time_limit=60.0),
            begun=time.perf_counter() - 60.0,
        )


def test_strategy_takes_its_settings() -> None:
    options = dataclasses.replace(EXACT, settings={"replications": "3", "scenarios": "1"})
    decision = Saa().solve_program(toy(copies=3), options, Silence())
    assert decision.notes[0].startswith("3 samples of 1 scenarios")
    with pytest.raises(InvalidInput) as error:
        Saa().solve_program(toy(), dataclasses.replace(EXACT, settings={"replications": "1"}), Silence())
    assert len(error.value.faults) == 1


CORE = """NAME farm
ROWS
 N cost
 G need
COLUMNS
    x cost 1
    y cost 5 need 1
RHS
    rhs need 1
BOUNDS
 UP bnd x 9
ENDATA
"""
TIME = "TIME farm\nPERIODS\n    x cost NOW\n    y need LATER\nENDATA\n"
STOCH = """STOCH farm
SCENARIOS DISCRETE
 SC low ROOT 0.5 LATER
    RHS need 1
 SC high ROOT 0.5 LATER
    RHS need 3
ENDATA
"""


def test_draws_of_scenario_files_do_not_depend_on_draws_before() -> None:
    files = [io.StringIO(text) for text in (CORE, TIME, STOCH)]
    sampler = smps_sampler(*files)
    first = sampler(30, 1)
    for seed in range(2, 6):
        sampler(2, seed)
    assert sampler(30, 1).sha256 == first.sha256
    shares = [sampler(30, seed).conditional[1] for seed in range(40)]
    assert np.mean(shares) == pytest.approx(0.5, abs=4.0 * 0.5 / math.sqrt(30 * 40))
