"""Rounds that state later decisions of which none can matter: every strategy decides what is left."""

from __future__ import annotations

from typing import Any

import pytest

import bondwork
from bondwork.program.round_sampling import round_sampler
from bondwork.program.saa import solve_saa
from hand_made import Document, make_round, offer

TASK = {"id": "t", "operator": "op", "reward": 8, "slashing": 4}
TAKERS = ("l-shaped", "hedging", "saa", "expected-value")


def with_late(**terms: Any) -> Document:
    late = offer("t", "other", 1, id="late", stage=2, success_probability=0.5) | terms
    return make_round(
        coprocessors=[{"id": "cp"}, {"id": "other"}],
        tasks=[TASK],
        offers=[offer("t", "cp", 1, success_probability=0.75), late],
    )


def with_period(**period: Any) -> Document:
    later = {"id": "next", "at": 600, "tasks": [], "offers": []} | period
    offers = [offer("t", "cp", 1, success_probability=0.75)]
    return make_round(
        coprocessors=[{"id": "cp"}, {"id": "other"}], tasks=[TASK], offers=offers, periods=[later]
    )


NOTHING_LATER = {
    "a rescue that never pays": with_late(bid=100),
    "a rescue that never succeeds": with_late(success_probability=0),
    "a rescue of too little collateral": with_late() | {"tasks": [TASK | {"minimum_collateral": 2}]},
    "an empty period": with_period(),
    "a period whose task nobody offers to do": with_period(tasks=[TASK | {"id": "u"}]),
}
NOTHING_LATER["a rescue of too little collateral"]["offers"][0]["collateral"] = 2

#: Later nodes that are there, and bring nothing.
NOTHING_GAINED = {
    "a period whose offer never succeeds": with_period(
        tasks=[TASK | {"id": "u"}], offers=[offer("u", "cp", 1, success_probability=0)]
    ),
    "a period whose offer never pays": with_period(
        tasks=[TASK | {"id": "u"}], offers=[offer("u", "cp", 100, success_probability=0.5)]
    ),
    "rescues that never pay beside a period": with_period(
        tasks=[TASK | {"id": "u"}],
        offers=[
            offer("u", "cp", 100, success_probability=0.5),
            offer("u", "other", 100, id="late", stage=2, success_probability=0.5),
        ],
    ),
    "a rescue in a period that is never reached": with_period(
        tasks=[TASK | {"id": "u"}], offers=[offer("u", "cp", 100, success_probability=0.5)]
    ),
}
NOTHING_GAINED["a rescue in a period that is never reached"]["periods"] += [
    {"id": "never", "at": 600, "probability": 0, "tasks": [TASK | {"id": "v"}],
     "offers": [offer("v", "other", 1, id="late", stage=2, success_probability=0.5)]}
]  # fmt: skip


@pytest.mark.parametrize("strategy", TAKERS)
@pytest.mark.parametrize("document", NOTHING_LATER.values(), ids=NOTHING_LATER.keys())
def test_strategies_of_programs_decide_the_stage_that_matters(document: Document, strategy: str):
    instance = bondwork.load(document)
    plan = bondwork.solve(instance, strategy=strategy)
    assert (plan.status, plan.objective, plan.bound) == ("optimal", 4.0, 4.0)
    assert plan.provenance.options["strategy"] == strategy
    assert any("nothing that is decided later can matter" in note for note in plan.provenance.notes)
    assert bondwork.verify(instance, plan)


@pytest.mark.parametrize("document", NOTHING_LATER.values(), ids=NOTHING_LATER.keys())
def test_knowing_everything_is_a_bound_without_a_plan(document: Document):
    instance = bondwork.load(document)
    plan = bondwork.solve(instance, strategy="wait-and-see")
    assert (plan.status, plan.solution, plan.bound) == ("locally_solved", "none", 4.0)
    assert bondwork.verify(instance, plan)


@pytest.mark.parametrize("document", NOTHING_LATER.values(), ids=NOTHING_LATER.keys())
def test_the_value_of_the_model_is_nothing(document: Document):
    plan = bondwork.solve(bondwork.load(document), value=True)
    assert (plan.status, plan.objective, plan.stochastic) == ("optimal", 4.0, None)
    assert any("EVPI and VSS are 0" in note for note in plan.provenance.notes)


@pytest.mark.parametrize("strategy", ["auto", "l-shaped"])
@pytest.mark.parametrize("document", NOTHING_GAINED.values(), ids=NOTHING_GAINED.keys())
def test_nodes_that_bring_nothing(document: Document, strategy: str):
    instance = bondwork.load(document)
    plan = bondwork.solve(instance, strategy=strategy)
    assert (plan.status, plan.objective) == ("optimal", 4.0)
    assert bondwork.verify(instance, plan)


def test_settings_are_those_of_the_strategy_that_was_asked_for():
    instance = bondwork.load(with_late(bid=100))
    assert bondwork.solve(instance, strategy="l-shaped", settings={"cuts": "single"}).objective == 4.0
    with pytest.raises(bondwork.InvalidInput, match="a setting of strategy l-shaped"):
        bondwork.solve(instance, strategy="l-shaped", settings={"rho": "1"})


def test_an_infeasible_stage_is_infeasible():
    document = with_late(bid=100) | {"tasks": [TASK | {"required": True}]}
    document["offers"] = document["offers"][1:]
    assert bondwork.solve(bondwork.load(document), strategy="l-shaped").status == "infeasible"


def test_a_round_of_one_stage_has_no_value_of_the_stochastic_model():
    document = make_round(tasks=[TASK], offers=[offer("t", "cp", 1, success_probability=0.75)])
    with pytest.raises(bondwork.Refusal, match="of one stage"):
        bondwork.solve(bondwork.load(document), value=True)


def test_rescues_that_could_pay_beside_a_period_are_refused():
    document = with_late()
    document["periods"] = NOTHING_GAINED["a period whose offer never pays"]["periods"]
    with pytest.raises(bondwork.Refusal, match="second-stage offers beside later periods"):
        bondwork.solve(bondwork.load(document))


def test_random_bids_may_pay_what_their_means_do_not():
    document = with_period(
        tasks=[TASK | {"id": "u"}],
        offers=[
            offer("u", "cp", 1, success_probability=0.5),
            offer(
                "u",
                "other",
                {"law": "values", "values": [0, 1000], "probabilities": [0.5, 0.5]},
                id="late",
                stage=2,
                success_probability=0.5,
            ),
        ],
    )
    with pytest.raises(bondwork.Refusal, match="second-stage offers beside later periods"):
        bondwork.solve(bondwork.load(document))


def test_samples_of_a_round_whose_rescues_never_pay_are_all_the_same():
    found = solve_saa(
        round_sampler(bondwork.load(with_late(bid=100))), scenarios=20, candidates=1, replications=3, seed=1
    )
    assert (found.root.tolist(), found.value.objective, found.gap.upper) == ([1.0], 4.0, 0.0)
