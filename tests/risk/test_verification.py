"""What a plan says about its tails is checked, and measured on scenarios that nobody has fitted it to."""

from __future__ import annotations

import functools
import json

import numpy as np
import pytest

import bondwork
from bondwork.calibration import tighter_factors
from bondwork.problem.generate import generate_round
from bondwork.problem.teams import teams_of_offers
from bondwork.risk.assessment import Assessment, assess
from bondwork.risk.limits import tail_measures
from bondwork.uncertainty.sampling import sample_round
from risk.by_hand import Brute, cvar_of, limited, small_document

LIMITS = [
    {"measure": "cvar", "level": 0.8, "budget": 15.5, "of": "network", "calibrate": True},
    {"measure": "ambiguous", "radius": 0.2, "budget": 9.0, "of": {"operator": "op-0"}},
    {"measure": "worst_case", "budget": 26.0, "of": {"coprocessor": "cp-0"}},
    {"measure": "chance", "budget": 9.5, "probability": 0.375, "of": {"operator": "op-1"}},
    {"measure": "solvency", "probability": 0.0625, "of": {"coprocessor": "cp-1"}},
    {"measure": "expected", "budget": 12.0, "of": "network"},
]


@functools.cache
def limited_round():
    return limited(small_document(200, tasks=5, scenarios=64), LIMITS)


@functools.cache
def honest_text():
    return solve(limited_round()).model_dump_json()


def solve(document, **options):
    return bondwork.solve(bondwork.load(document), **{"mip_rel_gap": 0.0, "threads": 1, **options})


def verdict(changes=lambda plan: None):
    """What `verify` says of the honest plan with changes."""
    plan = json.loads(honest_text())
    changes(plan)
    found = bondwork.verify(bondwork.load(limited_round()), plan)
    return [each.what for each in found.violations]


def test_the_honest_plan_passes():
    assert verdict() == []


NAMES = ["cvar of network", "ambiguous of op-0", "worst_case of cp-0", "chance of op-1", "solvency of cp-1"]


@pytest.mark.parametrize("number", range(5), ids=NAMES)
@pytest.mark.parametrize("word", ["in_sample", "out_of_sample", "standard_error", "budget", "holds"])
@pytest.mark.parametrize("factor", [0.999, 1.001])
def test_a_tampered_entry_is_rejected(number, word, factor):
    def change(plan):
        entry = plan["risk"][number]
        if word == "holds":
            entry[word] = not entry[word]
        elif entry[word] in (None, 0.0):
            entry[word] = factor
        else:
            entry[word] *= factor

    assert f"{word} of {NAMES[number]}" in verdict(change)


@pytest.mark.parametrize("word", ["out_of_sample", "standard_error"])
def test_an_entry_left_out_is_rejected(word):
    def change(plan):
        plan["risk"][0][word] = None

    assert f"{word} of cvar of network" in verdict(change)


@pytest.mark.parametrize("number", [1, 2, 3, 4, 5])
def test_a_calibration_that_was_not_asked_for_is_rejected(number):
    def change(plan):
        entry = plan["risk"][number]
        entry["calibrated"] = entry["budget"] * 0.9999

    assert any(what.startswith("calibrated of") for what in verdict(change))


def test_a_calibrated_budget_that_the_plan_is_over_is_rejected():
    def change(plan):
        plan["risk"][0]["calibrated"] = plan["risk"][0]["in_sample"] * 0.9

    assert "calibrated of cvar of network" in verdict(change)


def test_entries_that_are_missing_or_swapped_are_rejected():
    def drop(plan):
        plan["risk"].pop(2)

    def swap(plan):
        plan["risk"].reverse()

    def rename(plan):
        plan["risk"][2]["of"] = "cp-1"

    for change in (drop, swap, rename):
        assert "risk" in verdict(change)


def test_another_seed_in_the_plan_is_found_out():
    def change(plan):
        plan["provenance"]["seed"] += 1

    assert any(what.startswith("in_sample of") for what in verdict(change))


def test_a_forged_plan_over_its_limit_is_rejected():
    """The plan of the same round without the limit, with the limit's figures as they truly are."""
    document = limited_round()
    free = limited(document, [each for each in LIMITS if each["measure"] == "solvency"])
    plan = solve(free)
    brute = Brute(document)
    choice = brute.chosen(plan)
    assert brute.value(LIMITS[0], "network", choice) > LIMITS[0]["budget"]
    instance = bondwork.load(document)
    chosen = np.array(sorted(offer.number for offer in choice))
    entries = []
    for each in assess(instance, sample_round(instance), chosen, instance.uncertainty.seed):
        limit = instance.risk[each.limit]
        words = ("of", "in_sample", "out_of_sample", "standard_error", "holds")
        entry = {word: getattr(each, word) for word in words}
        entries.append({"measure": limit.measure, "budget": each.ceiling, "calibrated": None} | entry)
    forged = json.loads(plan.model_dump_json())
    forged["risk"] = entries
    forged["provenance"]["input_sha256"] = instance.sha256
    wrong = bondwork.verify(instance, forged).violations
    assert "cvar of network" in [each.what for each in wrong]
    # and with a number that would do: the figure itself is wrong
    forged["risk"][0]["in_sample"] = LIMITS[0]["budget"] * 0.99
    wrong = bondwork.verify(instance, forged).violations
    assert {"cvar of network", "in_sample of cvar of network"} <= {each.what for each in wrong}


def test_a_mean_risk_objective_cannot_be_overstated():
    document = limited(
        small_document(201, scenarios=32), [], objective={"risk_weight": 0.4, "risk_level": 0.9}
    )
    plan = json.loads(solve(document).model_dump_json())
    plan["objective"] *= 1.001
    plan["bound"] = plan["objective"]
    plan["gap"] = 0.0
    wrong = bondwork.verify(bondwork.load(document), plan).violations
    assert "objective" in [each.what for each in wrong]


# seeds


def without_timing(plan):
    return plan.model_copy(
        update={"timing": bondwork.load_plan(json.loads(honest_text())).timing}
    ).model_dump_json()


@pytest.mark.parametrize("form", ["rows", "cuts"])
def test_the_same_seed_gives_the_same_plan(form):
    one, other = (solve(limited_round(), risk_form=form) for _ in range(2))
    assert without_timing(one) == without_timing(other)


def test_another_seed_gives_other_scenarios():
    document = limited_round()
    given = document["uncertainty"]["seed"]
    same, other = solve(document, seed=given), solve(document, seed=given + 1)
    assert without_timing(same) == without_timing(bondwork.load_plan(json.loads(honest_text())))
    assert (same.provenance.seed, other.provenance.seed) == (given, given + 1)
    assert bondwork.verify(bondwork.load(document), other)
    brute = Brute(document, seed=given + 1)
    choice = brute.chosen(other)
    assert other.risk[0].in_sample == pytest.approx(brute.value(LIMITS[0], "network", choice), rel=1e-9)
    assert other.risk[0].in_sample != Brute(document).value(LIMITS[0], "network", choice)
    assert other.risk[0].out_of_sample != same.risk[0].out_of_sample


def test_a_limit_in_closed_form_is_not_sampled():
    entry = bondwork.load_plan(json.loads(honest_text())).risk[-1]
    assert (entry.measure, entry.out_of_sample, entry.standard_error) == ("expected", None, None)


# calibration


@functools.cache
def generated(*, calibrate, seed=5):
    """A round of 60 tasks whose CVaR budget is half of what the best plan without it has."""
    document = generate_round(60, 10, 5, seed=seed)
    document["uncertainty"]["scenarios"] = 256
    free = limited(document, [{"measure": "cvar", "level": 0.95, "budget": 1e9, "of": "network"}])
    budget = 0.5 * solve(free, strategy="relaxation").risk[0].in_sample
    limit = {"measure": "cvar", "level": 0.95, "budget": budget, "of": "network", "calibrate": calibrate}
    document = limited(document, [limit])
    return document, solve(document, strategy="relaxation")


def fresh_measure(document, plan, seed):
    """CVaR of a plan on scenarios of another seed: value and standard error."""
    instance = bondwork.load(document)
    number = {name: i for i, name in enumerate(instance.offers.ids)}
    chosen = np.array(sorted(number[each.offer] for each in plan.assignments))
    sample = sample_round(instance, scenarios=20_000, seed=seed, method="monte_carlo", offers=chosen)
    teams = teams_of_offers(instance, chosen)
    measure = tail_measures(instance, sample, teams, np.searchsorted(chosen, teams.member))[0]
    return measure.value(np.ones(len(chosen))), measure.standard_error(np.ones(len(chosen)))


def test_a_small_sample_flatters():
    document, plan = generated(calibrate=False)
    entry = plan.risk[0]
    assert entry.in_sample <= entry.budget * (1 + 1e-6)
    assert not entry.holds
    assert entry.calibrated is None
    value, error = fresh_measure(document, plan, seed=987654)
    assert value > entry.budget + 2 * error


def test_calibration_holds_on_scenarios_that_nobody_has_seen():
    """Within two standard errors in most rounds, and never far beyond.

    Calibration stops as soon as its own 20,000 scenarios are within two standard errors. Others have an
    error of their own: over 16 rounds with 5 seeds each, 6 of 80 were above two, at most 3.1; seed 5 is one.
    """
    excesses = []
    for seed in (3, 4, 5, 6):
        document, plan = generated(calibrate=True, seed=seed)
        entry = plan.risk[0]
        assert plan.verified
        assert entry.holds
        assert entry.calibrated < entry.budget
        assert entry.in_sample <= entry.calibrated * (1 + 1e-6)
        value, error = fresh_measure(document, plan, seed=987654)
        excesses.append((value - entry.budget) / error)
        # and no tighter than it must be
        assert entry.out_of_sample >= 0.85 * entry.budget
    assert sum(excess <= 2.0 for excess in excesses) >= 3
    assert max(excesses) <= 5.0


def test_calibration_costs_something():
    _, plan = generated(calibrate=True)
    _, flattered = generated(calibrate=False)
    assert plan.objective < flattered.objective


def test_calibration_leaves_a_limit_alone_that_holds():
    document = json.loads(json.dumps(limited_round()))
    document["risk"] = [LIMITS[0] | {"budget": 500.0}]
    entry = solve(document).risk[0]
    assert entry.holds
    assert entry.calibrated is None


def test_one_factor_for_all_members_of_a_calibrated_limit():
    limit = {"measure": "cvar", "level": 0.9, "budget": 9.0, "of": "operator", "calibrate": True}
    plan = solve(limited(small_document(213, tasks=5, scenarios=16), [limit]))
    assert all(entry.holds for entry in plan.risk)
    given = {entry.calibrated for entry in plan.risk}
    assert len(given) == 1
    assert given.pop() < 9.0
    assert all(entry.in_sample <= entry.calibrated for entry in plan.risk)


@pytest.mark.parametrize("form", ["rows", "cuts"])
@pytest.mark.parametrize("seed", [206, 207, 211])
def test_the_bound_of_a_calibrated_plan_is_about_its_moved_limits(seed, form):
    document = limited(small_document(seed, tasks=4, scenarios=32), [LIMITS[0] | {"budget": 12.0}])
    plan = solve(document, risk_form=form)
    assert plan.risk[0].holds
    moved = Brute(limited(document, [LIMITS[0] | {"budget": plan.risk[0].calibrated}]))
    best = moved.best()[0]
    assert plan.objective <= best + 1e-6
    assert plan.bound == pytest.approx(best, rel=1e-6)
    assert (plan.solution == "optimal") == (plan.objective == pytest.approx(best, rel=1e-6))


def test_calibration_does_not_come_back_with_the_same_plan():
    """A plan far below its ceiling in the sample and above it outside: the next ceiling must rule it out."""
    instance = bondwork.load(limited(small_document(201), [LIMITS[0] | {"budget": 12.0}]))
    flattered = Assessment(0, "network", 12.0, 4.73, 14.0, 0.1)
    factors = tighter_factors(instance, [flattered], {})
    assert factors[0] * 12.0 < 4.73


# what fresh scenarios say


def test_fresh_values_are_within_their_errors_of_a_large_sample():
    plan = bondwork.load_plan(json.loads(honest_text()))
    instance = bondwork.load(limited_round())
    number = {name: i for i, name in enumerate(instance.offers.ids)}
    chosen = np.array(sorted(number[each.offer] for each in plan.assignments))
    large = sample_round(instance, scenarios=400_000, seed=31, method="monte_carlo", offers=chosen)
    teams = teams_of_offers(instance, chosen)
    measures = tail_measures(instance, large, teams, np.searchsorted(chosen, teams.member))
    for entry, measure in zip(plan.risk, measures, strict=False):
        if entry.standard_error is not None:
            truth = measure.value(np.ones(len(chosen)))
            assert abs(entry.out_of_sample - truth) <= 5 * entry.standard_error + 1e-12


def test_standard_errors_are_what_other_seeds_show():
    """One choice on the fresh scenarios of 40 seeds, with limits that it exceeds now and then."""
    limits = [
        {"measure": "cvar", "level": 0.0, "budget": 1.0},
        {"measure": "cvar", "level": 0.95, "budget": 1.0, "of": {"operator": "op-1"}},
        {"measure": "ambiguous", "radius": 0.3, "budget": 1.0},
        {"measure": "chance", "budget": 9.5, "probability": 0.1},
        {"measure": "solvency", "probability": 0.1, "of": {"coprocessor": "cp-2"}},
    ]
    document = limited(small_document(200, tasks=5, scenarios=64), limits)
    document["coprocessors"][2]["free_collateral"] = 9.0
    instance = bondwork.load(document)
    chosen = np.array([each.number for each in Brute(document).offers if each.coprocessor == "cp-2"])
    sample = sample_round(instance)
    runs = [assess(instance, sample, chosen, seed) for seed in range(40)]
    for k in range(len(limits)):
        values = [run[k].out_of_sample for run in runs]
        errors = [run[k].standard_error for run in runs]
        assert min(errors) > 0.0
        # 40 samples tell a standard deviation to within 11%
        assert np.mean(errors) == pytest.approx(np.std(values, ddof=1), rel=0.4)


def test_the_fresh_cvar_is_that_of_its_scenarios():
    from bondwork.risk.assessment import FRESH_SCENARIOS, fresh_seed

    document = limited(small_document(204, scenarios=32), [LIMITS[0] | {"level": 0.95, "calibrate": False}])
    plan = solve(document)
    instance = bondwork.load(document)
    number = {name: i for i, name in enumerate(instance.offers.ids)}
    chosen = sorted(number[each.offer] for each in plan.assignments)
    seed = fresh_seed(instance.uncertainty.seed)
    fresh = sample_round(
        instance, scenarios=FRESH_SCENARIOS, seed=seed, method="monte_carlo", offers=np.array(chosen)
    )
    slashing = instance.claims.slashing[instance.offers.claim[chosen]]
    losses = fresh.offers.dense() @ slashing + fresh.commitments.dense() @ np.array([5.5])
    rounded = np.round(losses, 6)  # few distinct losses: the definition is quick
    values, counts = np.unique(rounded, return_counts=True)
    value = cvar_of(values.tolist(), (counts / counts.sum()).tolist(), 0.95)
    assert plan.risk[0].out_of_sample == pytest.approx(value, rel=1e-6)
