"""Rounds with tail limits against trying every choice: rows, generation and all formulations agree."""

from __future__ import annotations

import math

import pytest

import bondwork
from risk.by_hand import Brute, ceiling_of, limited, small_document

SCOPES = ["network", "operator", "coprocessor", {"operator": "op-1"}, {"coprocessor": "cp-2"}]
FORMS = ["rows", "cuts"]


def solved(document, **options):
    """A plan with a proof; a limit that is not convex is in rows whatever is asked for."""
    return bondwork.solve(bondwork.load(document), **{"mip_rel_gap": 0.0, "threads": 1, **options})


def tightened(document, measure, of, share=0.75, **more):
    """Add a limit below what the best choice without it measures, at least for one member."""
    others = document.get("risk", [])
    is_probability = measure in ("chance", "solvency")
    word = "probability" if is_probability else "budget"
    limit = {"measure": measure, "of": of, **more, word: 1.0 if is_probability else 1e6}
    free = Brute(limited(document, [*others, limit]))
    _, choice = free.best()
    value = max(free.value(limit, member, choice) for member in free.members(limit))
    assert value > 0.0
    # a probability is one that a whole number of scenarios can have
    limit[word] = (
        int(share * value * free.scenarios) / free.scenarios if is_probability else round(share * value, 3)
    )
    return limited(document, [*others, limit])


def cases():
    for seed, of in enumerate(SCOPES):
        scenarios = 16 << (seed % 3)
        tasks = 3 + seed % 3
        base = {"tasks": tasks, "scenarios": scenarios}
        name = of if isinstance(of, str) else next(iter(of.values()))
        yield pytest.param(seed, base, "cvar", of, {"level": 0.9}, id=f"cvar-{name}")
        yield pytest.param(seed + 10, base, "worst_case", of, {}, id=f"worst_case-{name}")
        yield pytest.param(seed + 20, base, "ambiguous", of, {"radius": 0.3}, id=f"ambiguous-{name}")
        yield pytest.param(seed + 30, base, "chance", of, {"budget": 7.5}, id=f"chance-{name}")
    for seed, of in enumerate(["coprocessor", {"coprocessor": "cp-1"}]):
        base = {"tasks": 5, "scenarios": 64 >> seed}
        yield pytest.param(seed + 40, base, "solvency", of, {}, id=f"solvency-{seed}")


def agree(document, plan):
    """The plan is the best of all choices, and measures what the choice measures."""
    brute = Brute(document)
    best = brute.best()
    if best is None:
        assert plan.status == "infeasible"
        return brute, None
    assert plan.status == "optimal", plan.conflict
    assert plan.verified
    choice = brute.chosen(plan)
    assert plan.objective == pytest.approx(best[0], rel=1e-6, abs=1e-7)
    assert brute.objective(choice) == pytest.approx(plan.objective, rel=1e-9, abs=1e-9)
    assert brute.keeps(choice)
    stated = iter(plan.risk)
    for limit in document["risk"]:
        for member in brute.members(limit):
            entry = next(stated)
            assert (entry.measure, entry.of) == (limit["measure"], member)
            assert entry.budget == ceiling_of(limit)
            assert entry.in_sample == pytest.approx(brute.value(limit, member, choice), rel=1e-9, abs=1e-12)
    return brute, choice


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("seed", "base", "measure", "of", "more"), list(cases()))
def test_one_limit(seed, base, measure, of, more, form):
    document = tightened(small_document(seed, **base), measure, of, **more)
    agree(document, solved(document, risk_form=form))


def several(seed):
    """Limits of four kinds and two scopes at once, with a mean-risk objective for odd seeds."""
    document = small_document(seed, tasks=4, scenarios=32)
    risk = [
        {"measure": "cvar", "level": 0.8, "budget": 17.0, "of": "network"},
        {"measure": "ambiguous", "radius": 0.2, "budget": 6.0, "of": "operator"},
        {"measure": "worst_case", "budget": 20.5, "of": {"coprocessor": "cp-0"}},
        {"measure": "chance", "budget": 9.5, "probability": 0.15625, "of": "operator"},
        {"measure": "solvency", "probability": 0.0625, "of": {"coprocessor": "cp-1"}},
    ]
    aim = {"objective": {"risk_weight": 0.2, "risk_level": 0.75}} if seed % 2 else {}
    return limited(document, risk, **aim)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("seed", range(60, 66))
def test_several_limits(seed, form):
    document = several(seed)
    agree(document, solved(document, risk_form=form))


@pytest.mark.parametrize("formulation", ["highs", "pyomo", "cvxpy"])
@pytest.mark.parametrize("form", FORMS)
def test_all_formulations(formulation, form):
    for seed in (60, 61):
        document = several(seed)
        agree(document, solved(document, risk_form=form, formulation=formulation))


@pytest.mark.parametrize("formulation", ["pyomo", "cvxpy"])
@pytest.mark.parametrize("measure", ["cvar", "worst_case", "ambiguous", "chance", "solvency"])
def test_all_formulations_of_each_measure(formulation, measure):
    more = {
        "cvar": {"level": 0.7},
        "ambiguous": {"radius": 0.5},
        "chance": {"budget": 7.5},
    }
    of = "coprocessor" if measure == "solvency" else "operator"
    document = tightened(small_document(70, tasks=3, scenarios=16), measure, of, **more.get(measure, {}))
    for form in FORMS:
        agree(document, solved(document, risk_form=form, formulation=formulation))


@pytest.mark.parametrize("weight", [0.1, 0.5, 0.9, 1.0])
@pytest.mark.parametrize("level", [0.0, 0.8])
def test_the_mean_risk_objective(weight, level):
    aim = {"risk_weight": weight, "risk_level": level}
    document = small_document(80, tasks=4, scenarios=32)
    document = limited(document, [], objective=aim)
    agree(document, solved(document))


def test_a_risk_weight_and_a_cvar_limit_together():
    aim = {"risk_weight": 0.3, "risk_level": 0.9}
    document = limited(small_document(81, tasks=4, scenarios=32), [], objective=aim)
    document = tightened(document, "cvar", "network", share=0.8, level=0.7)
    for form in FORMS:
        agree(document, solved(document, risk_form=form))


@pytest.mark.parametrize("level", [0.0, 0.5, 0.97, 0.999])
def test_cvar_levels_where_the_edge_is_split_or_alone(level):
    document = tightened(small_document(90, tasks=4, scenarios=30), "cvar", "network", level=level)
    for form in FORMS:
        agree(document, solved(document, risk_form=form))


@pytest.mark.parametrize("radius", [0.0, 0.05, 1.0, 50.0])
def test_radii_from_the_expectation_to_everything_failing(radius):
    document = tightened(small_document(91, tasks=4, scenarios=32), "ambiguous", "network", radius=radius)
    for form in FORMS:
        agree(document, solved(document, risk_form=form))


@pytest.mark.parametrize("measure", ["cvar", "worst_case", "ambiguous"])
def test_a_budget_that_the_best_choice_reaches_exactly(measure):
    more = {"cvar": {"level": 0.9}, "ambiguous": {"radius": 0.4}}.get(measure, {})
    document = small_document(92, tasks=4, scenarios=32)
    exact = tightened(document, measure, "network", share=0.7, **more)
    brute = Brute(exact)
    _, choice = brute.best()
    exact["risk"][0]["budget"] = brute.value(exact["risk"][0], "network", choice)
    for form in FORMS:
        plan = solved(exact, risk_form=form)
        assert plan.objective == pytest.approx(brute.objective(choice), rel=1e-6)


@pytest.mark.parametrize("measure", ["cvar", "worst_case", "ambiguous"])
def test_a_budget_of_nothing_lets_only_the_certain_be_chosen(measure):
    more = {"cvar": {"level": 0.9}, "ambiguous": {"radius": 0.0}}.get(measure, {})
    document = small_document(93, tasks=3, scenarios=16, committed=False)
    document["offers"][0]["success_probability"] = 1.0
    document = limited(document, [{"measure": measure, "budget": 0.0, **more}])
    for form in FORMS:
        _, choice = agree(document, solved(document, risk_form=form))
        assert choice


@pytest.mark.parametrize("probability", [0.0, 0.25, 0.5, 1.0])
def test_a_chance_limit_holds_exactly_in_the_sample(probability):
    for seed in (94, 95):
        limit = {"measure": "chance", "budget": 10.0, "probability": probability, "of": "network"}
        document = limited(small_document(seed, tasks=4, scenarios=32, committed=False), [limit])
        brute, choice = agree(document, solved(document))
        over = sum(loss > 10.0 for loss in brute.losses(choice, "network", "network"))
        assert over <= probability * 32


# where no plan is


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("limit", "share"),
    [
        ({"measure": "cvar", "level": 0.9, "of": "network"}, 0.8),
        ({"measure": "worst_case", "of": "network"}, 0.8),
        ({"measure": "ambiguous", "radius": 0.5, "of": "network"}, 0.8),
        ({"measure": "chance", "budget": 9.0, "of": "network"}, 0.5),
        ({"measure": "solvency", "of": {"coprocessor": "cp-0"}}, 0.5),
        ({"measure": "cvar", "level": 0.5, "of": {"operator": "op-0"}}, 0.8),
    ],
    ids=lambda v: v["measure"] + "-" + str(v["of"])[:3] if isinstance(v, dict) else None,
)
def test_an_infeasible_round_names_the_limit_and_what_would_do(limit, share, form):
    document = small_document(100, tasks=3, scenarios=32)
    for task in document["tasks"][:3]:
        task["required"] = True
    if limit["measure"] == "solvency":  # everything goes to cp-0, which has next to nothing
        document["coprocessors"][0]["free_collateral"] = 1.0
        document["offers"] = [each for each in document["offers"] if each["coprocessor"] == "cp-0"]
        document["self_execution"] = []
    member = limit["of"] if isinstance(limit["of"], str) else next(iter(limit["of"].values()))
    word = "probability" if limit["measure"] in ("chance", "solvency") else "budget"
    open_document = limited(document, [limit | {word: 1.0 if word == "probability" else 1e6}])
    least = Brute(open_document).least(open_document["risk"][0], member)
    assert least > 0.0
    document = limited(document, [limit | {word: round(share * least, 9)}])
    assert Brute(document).best() is None

    plan = solved(document, risk_form=form)
    assert plan.status == "infeasible"
    assert plan.verified
    label = f"{limit['measure']} of {member}"
    assert label in plan.conflict.limits
    assert plan.conflict.minimal
    if limit["measure"] in ("cvar", "chance", "solvency"):
        assert plan.conflict.least[label] == pytest.approx(least, rel=1e-6)
    # a budget just above the least value has a plan
    document["risk"][0][word] = least * (1 + 1e-4)
    agree(document, solved(document, risk_form=form))


def test_a_conflict_leaves_out_limits_that_have_no_part_in_it():
    document = small_document(101, tasks=3, scenarios=32, committed=False)
    for task in document["tasks"]:
        task["required"] = True
    easy = {"measure": "worst_case", "budget": 1e4, "of": "operator"}
    hard = {"measure": "cvar", "level": 0.9, "budget": 0.5, "of": "network"}
    plan = solved(limited(document, [easy, hard]))
    assert "cvar of network" in plan.conflict.limits
    assert not [label for label in plan.conflict.limits if label.startswith("worst_case")]
    assert set(plan.conflict.limits) - {"cvar of network"} <= {f"task t-{t} required" for t in range(3)}


# units


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("factor", [1e18, 2.0**-30])
def test_other_units_give_the_same_plan(factor, form):
    for seed in (60, 61, 62):
        document = several(seed)
        plan = solved(document, risk_form=form)
        scaled = in_units(document, factor)
        other = solved(scaled, risk_form=form)
        assert other.status == plan.status
        assert [a.offer for a in other.assignments] == [a.offer for a in plan.assignments]
        if plan.objective is not None:
            assert other.objective == pytest.approx(plan.objective * factor, rel=1e-6)


def in_units(document, factor):
    """The same round with every amount times ``factor``."""
    words = {"reward", "slashing", "bid", "cost", "collateral"}
    words |= {"free_collateral", "unassigned_cost", "budget"}

    def times(value, word=""):
        if isinstance(value, dict):
            return {key: times(each, key) for key, each in value.items()}
        if isinstance(value, list):
            return [times(each) for each in value]
        return value * factor if word in words else value

    return times(document)


# heuristics


@pytest.mark.parametrize("strategy", ["greedy", "relaxation"])
@pytest.mark.parametrize("form", FORMS)
def test_heuristics_keep_the_limits_and_stay_below_the_optimum(strategy, form):
    for seed in range(60, 68):
        document = several(seed)
        plan = solved(document, strategy=strategy, risk_form=form)
        brute = Brute(document)
        best = brute.best()
        if plan.solution == "none":
            assert best is None or plan.status == "locally_infeasible"
            continue
        choice = brute.chosen(plan)
        assert plan.verified
        assert brute.keeps(choice)
        assert choice in set(brute.choices())
        assert brute.objective(choice) == pytest.approx(plan.objective, rel=1e-9, abs=1e-9)
        assert plan.objective <= best[0] + 1e-7
        assert plan.bound >= best[0] - 1e-7
        assert math.isfinite(plan.bound)


# limits that share their name


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("first", [0, 1])
def test_two_limits_of_one_measure_on_one_scope(form, first):
    """The one that leaves no room must be told from the one that does, and each may have a price."""
    tight = {"measure": "cvar", "level": 0.9, "budget": 16.0, "of": "network"}
    for other in ({"level": 0.3, "budget": 900.0}, {"level": 0.0, "budget": 4.2}):
        limits = [tight, {"measure": "cvar", "of": "network", **other}]
        document = limited(small_document(129, tasks=5, scenarios=32), limits[first:] + limits[:first])
        plan = solved(document, risk_form=form)
        agree(document, plan)
        assert "cvar of network" in {label for each in plan.unassigned for label in each.limits}


def test_two_chance_limits_on_one_scope():
    document = small_document(112, tasks=4, scenarios=32)
    limits = [
        {"measure": "chance", "budget": 8.0, "probability": 0.5, "of": "network"},
        {"measure": "chance", "budget": 20.0, "probability": 0.1, "of": "network"},
    ]
    agree(limited(document, limits), solved(limited(document, limits)))


# amounts so close to the budget that a solver does not see the difference


@pytest.mark.parametrize("excess", [1e-3, 1e-4, 1e-7])
def test_a_loss_barely_above_the_budget_of_a_chance_limit(excess):
    document = small_document(120, tasks=3, scenarios=64, committed=False)
    for task in document["tasks"]:
        task["slashing"] = 10.0 * (1.0 + excess)
    limit = {"measure": "chance", "budget": 10.0, "probability": 0.05, "of": "network"}
    agree(limited(document, [limit]), solved(limited(document, [limit])))


@pytest.mark.parametrize("form", ["rows", "cuts"])
def test_a_budget_of_nothing_beside_amounts_of_very_different_size(form):
    document = small_document(121, tasks=3, scenarios=64, committed=False)
    document["tasks"][0] |= {"slashing": 1e6, "reward": 1e6}
    document["tasks"][1]["slashing"] = 0.25
    limit = {"measure": "cvar", "level": 0.9, "budget": 0.0, "of": "network"}
    agree(limited(document, [limit]), solved(limited(document, [limit]), risk_form=form))
