"""Rounds with later periods: against every policy, by hand, and by what must hold of any of them."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings

import bondwork
from bondwork.contracts import Options
from bondwork.program.horizon import horizon_program
from bondwork.program.horizon_luck import with_luck
from bondwork.program.program_solving import solve_stochastic
from bondwork.uncertainty.horizon import horizon_tree
from horizon_oracle import best_policy, rounds_far_apart, staged_rounds

FEW = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@FEW
@given(staged_rounds())
def test_the_solver_finds_the_best_policy_that_uses_what_it_sees(document):
    expected = best_policy(document)
    plan = bondwork.solve(bondwork.load(document), mip_rel_gap=0.0)
    if expected is None:
        assert plan.status == "infeasible"
    else:
        assert plan.objective == pytest.approx(expected, abs=1e-6)


@FEW
@given(rounds_far_apart())
def test_collateral_counts_to_the_last_unit_at_every_node(document):
    expected = best_policy(document)
    plan = bondwork.solve(bondwork.load(document), mip_rel_gap=0.0)
    assert not any("repaired" in note for note in plan.provenance.notes)
    if expected is None:
        assert plan.status == "infeasible"
    else:
        assert plan.objective == pytest.approx(expected, abs=1e-6)
        assert plan.bound >= expected - 1e-6


@pytest.mark.parametrize("strategy", ["extensive", "l-shaped", "expected-value", "saa"])
def test_a_unit_more_than_there_is_does_not_fit(strategy):
    # 1e18 + 1 into 1e18: now, later, and now with what is still held later
    whole = 10**18
    tasks = [TASK, {"id": "u", "operator": "op", "reward": 3}]
    offers = [offer(collateral=whole, duration=500), offer(task="u", collateral=1, duration=500)]
    later = {"id": "a", "at": 60, "tasks": tasks, "offers": offers}
    room = [{"id": "cp", "free_collateral": whole}]
    plan = solved(document(later, tasks=tasks, offers=offers, coprocessors=room), strategy=strategy)
    assert plan.verified
    assert not any("repaired" in note for note in plan.provenance.notes)
    everything = [*plan.assignments, *(each for node in plan.recourse for each in node.assignments)]
    assert sum(int(each.collateral) for each in everything) <= whole
    if strategy == "extensive":
        assert plan.objective == pytest.approx(0.75 * 4 if everything[0].collateral > 1 else 2 * 0.75 * 3)


TASK = {"id": "t", "operator": "op", "reward": 4}


def offer(**fields) -> dict:
    return {"task": "t", "coprocessor": "cp", "collateral": 2, "success_probability": 0.75} | fields


def document(*periods: dict, **fields) -> dict:
    return {
        "format": "bondwork.round/1",
        "operators": [{"id": "op"}],
        "coprocessors": [{"id": "cp", "free_collateral": 3}],
        "tasks": [TASK],
        "offers": [offer()],
        "periods": list(periods),
    } | fields


def period(id_: str, at: float, parent: str | None = None, reward: float = 4, **fields) -> dict:
    tasks = [TASK | {"reward": reward}]
    return {"id": id_, "at": at, "parent": parent, "tasks": tasks, "offers": [offer()]} | fields


def solved(given_: dict, **how) -> bondwork.Plan:
    return bondwork.solve(bondwork.load(given_), **{"mip_rel_gap": 0.0} | how)


def test_locked_released_and_slashed_by_hand():
    # until 90 the round's choice locks 2 of 3; at 100 a success frees them, a failure took them for good
    locks = document(period("a", 50, reward=6), period("b", 100, "a", reward=8), offers=[offer(duration=90)])
    plan = solved(locks)
    # now 3 and nothing at a; or nothing now and 4.5 at a; at b 6 if what was chosen before succeeded
    assert plan.objective == pytest.approx(4.5 + 0.75 * 6)
    assert (plan.assignments, [each.reason for each in plan.unassigned]) == ([], ["kept_for_later"])
    dear = solved(locks | {"tasks": [TASK | {"reward": 12}]})
    assert dear.objective == pytest.approx(9 + 0.75 * 6)
    assert {node.period for node in dear.recourse if node.assignments} == {"b"}
    # where the round's choice is done by then, all three may follow each other
    soon = document(period("a", 50, reward=5), period("b", 100, "a", reward=8))
    assert solved(soon).objective == pytest.approx(3 + 0.75 * 3.75 + 0.75 * 0.75 * 6)


def test_stake_is_slashed_along_the_tree():
    task = TASK | {"slashing": 6}
    given_ = document(
        period("a", 60, tasks=[task | {"reward": 9}]), tasks=[task | {"reward": 9}],
        operators=[{"id": "op", "stake": 10}], coprocessors=[{"id": "cp"}],
    )  # fmt: skip
    # 0.75 * 9 - 0.25 * 6 = 5.25 now; after a failure 4 of the stake are left, too few for another 6
    assert solved(given_).objective == pytest.approx(5.25 + 0.75 * 5.25)


def test_a_commitment_comes_back_if_it_succeeds():
    given_ = document(
        period("a", 60, reward=8),
        tasks=[{"id": "old", "operator": "op"}],
        offers=[],
        coprocessors=[{"id": "cp", "free_collateral": 1}],
        commitments=[{"id": "k", "task": "old", "operator": "op", "executor": "cp", "collateral": 1,
                      "success_probability": 0.5, "release_at": 60}],
    )  # fmt: skip
    plan = solved(given_)
    assert plan.objective == pytest.approx(0.5 * 6)
    assert [len(node.assignments) for node in plan.recourse] == [0, 1]
    assert [node.failed_commitments for node in plan.recourse] == [["k"], []]
    late = given_ | {"commitments": [given_["commitments"][0] | {"release_at": 61}]}
    assert solved(late).objective == 0.0


def test_what_was_seen_to_fail_is_named():
    plan = solved(document(period("a", 60)))
    assert [(node.node, node.failed) for node in plan.recourse] == [("a[0]", ["t"]), ("a[1]", [])]


@FEW
@given(staged_rounds())
def test_empty_periods_change_nothing(document):
    bare = document | {"periods": [{k: p[k] for k in ("id", "parent", "at", "probability") if k in p}
                                   for p in document["periods"]]}  # fmt: skip
    bare["periods"][0] |= {"tasks": [{"id": "x", "operator": "op", "unassigned_cost": 2}]}
    alone = document | {"periods": []}
    plan, one = solved(bare), solved(alone)
    assert plan.status == one.status
    if one.objective is not None:
        cost = 2 * bare["periods"][0].get("probability", 1.0)
        assert plan.objective == pytest.approx(one.objective - cost, abs=1e-6)


@FEW
@given(staged_rounds())
def test_looser_collateral_never_earns_less(document):
    plan = solved(document)
    looser = [each | {"free_collateral": each["free_collateral"] + 2} for each in document["coprocessors"]]
    more = solved(document | {"coprocessors": looser})
    if plan.objective is not None:
        assert more.objective >= plan.objective - 1e-6


def test_wei_and_ether_give_the_same_plan():
    given_ = document(period("a", 60, reward=5), operators=[{"id": "op", "stake": 320}])
    given_["tasks"] = [TASK | {"slashing": 1}]
    wei = document(period("a", 60, reward=5e18), operators=[{"id": "op", "stake": 320e18}])
    wei["tasks"] = [TASK | {"reward": 4e18, "slashing": 1e18}]
    for each in (wei["offers"], wei["periods"][0]["offers"]):
        each[0]["collateral"] = 2e18
    wei["coprocessors"] = [{"id": "cp", "free_collateral": 3e18}]
    one, other = solved(given_), solved(wei)
    assert other.objective == pytest.approx(one.objective * 1e18)
    assert [len(node.assignments) for node in other.recourse] == [len(n.assignments) for n in one.recourse]


def test_random_amounts_are_seen_before_the_decision():
    law = {"law": "values", "values": [1, 9], "probabilities": [0.5, 0.5]}
    dear = offer(bid={"law": "values", "values": [0, 5], "probabilities": [0.5, 0.5]}, collateral=0)
    given_ = document(
        {"id": "a", "at": 60, "tasks": [TASK | {"reward": law}], "offers": [dear]}, tasks=[], offers=[]
    )
    # 0.75, 6.75, nothing (0.75 - 5) and 1.75
    assert solved(given_).objective == pytest.approx((0.75 + 6.75 + 0 + 1.75) / 4)


def test_a_continuous_law_is_sampled_and_said_so():
    law = {"law": "lognormal", "mean": 4, "cv": 0.5}
    given_ = document(period("a", 60, tasks=[TASK | {"reward": law}])) | {"uncertainty": {"scenarios": 256}}
    plan = solved(given_)
    assert any("sample of 2" in note for note in plan.provenance.notes)
    assert plan.objective == pytest.approx(3 + 0.75 * 3, rel=0.05)
    other = solved(given_, seed=1)
    assert other.provenance.tree_sha256 != plan.provenance.tree_sha256
    assert solved(given_).model_copy(update={"timing": plan.timing}).to_json() == plan.to_json()


def test_a_common_cause_strikes_what_is_released_together():
    both = [offer(), offer(task="u")]
    given_ = document(
        period("a", 60, reward=12, offers=[offer(collateral=4)]),
        tasks=[TASK, TASK | {"id": "u"}], offers=both,
        coprocessors=[{"id": "cp", "free_collateral": 4}],
    )  # fmt: skip
    apart = solved(given_).objective
    together = solved(given_ | {"uncertainty": {"dependence": {"coprocessor": 0.6}}})
    # both must succeed for the last one: more likely where they fail together
    assert apart == pytest.approx(max(6 + 0.75**2 * 9, 9 + 0))
    assert together.objective > apart + 0.3


REFUSED = {
    "calibrated": {"risk": [{"measure": "cvar", "budget": 1, "calibrate": True}]},
    "bootstrap": {"uncertainty": {"sampling": "bootstrap"}},
    "second-stage": {"offers": [offer(stage=2, id="late")]},
    "replicas": {"tasks": [TASK | {"replicas": 2}], "coprocessors": [{"id": "cp"}, {"id": "other"}],
                 "offers": [offer(), offer(coprocessor="other", duration=90)],
                 "uncertainty": {"dependence": {"common": 0.5}}},
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
def test_what_no_tree_honours_is_refused(what):
    instance = bondwork.load(document(period("a", 60)) | REFUSED[what])
    with pytest.raises(bondwork.Refusal, match=what):
        bondwork.solve(instance)


@pytest.mark.parametrize("strategy", ["auto", "extensive", "l-shaped"])
def test_every_exact_strategy_for_programs_takes_it(strategy):
    plan = solved(document(period("a", 60)), strategy=strategy)
    assert plan.objective == pytest.approx(3 + 0.75 * 3)
    assert plan.bound == pytest.approx(plan.objective)


def test_a_strategy_that_only_bounds_makes_no_plan():
    plan = solved(document(period("a", 60)), strategy="wait-and-see")
    assert (plan.status, plan.solution, plan.assignments) == ("locally_solved", "none", [])
    assert plan.bound >= 3 + 0.75 * 3


def test_matrices_of_one_stage_are_refused():
    with pytest.raises(bondwork.Refusal, match="later periods"):
        bondwork.build(bondwork.load(document(period("a", 60))))


def test_what_later_periods_require_is_named_when_it_cannot_be():
    given_ = document(period("a", 60, tasks=[TASK | {"required": True}], offers=[]))
    plan = solved(given_)
    assert plan.status == "infeasible"
    assert plan.conflict.limits == ["task t required in a"]


@pytest.mark.parametrize(
    ("terms", "gain", "loss"),
    [
        # one coin of reward 10, slashing 2, bid 1; the collateral of 1 is burned, or comes back to half
        ({}, 9.0, -3.0),
        ({"bid_paid": "on_success"}, 9.0, -2.0),
        ({"collateral_split": {"operator": 0.5, "burned": 0.5}, "collateral_rate": 3}, 9.0, -1.5),
    ],
)
def test_perfect_information_knows_how_work_ends(terms: dict, gain: float, loss: float) -> None:
    """Known to fail, the coin is not tossed, and its collateral serves the next period, which is certain."""
    coin = {"task": "t", "coprocessor": "cp", "bid": 1, "collateral": 1, "success_probability": 0.5}
    sure = {"task": "u", "coprocessor": "cp", "bid": 2, "collateral": 1, "success_probability": 1}
    given_ = {
        "format": "bondwork.round/1",
        "operators": [{"id": "op"}],
        "coprocessors": [{"id": "cp", "free_collateral": 1}],
        "tasks": [{"id": "t", "operator": "op", "reward": 10, "slashing": 2}],
        "offers": [coin],
        "terms": terms,
        "periods": [
            {
                "id": "next",
                "at": 5,
                "tasks": [{"id": "u", "operator": "op", "reward": 4}],
                "offers": [sure],
            }
        ],
    }
    worth = solved(given_, value=True).stochastic
    assert worth is not None
    wait = 0.5 * (gain + 2.0) + 0.5 * 2.0
    plan = 0.5 * (gain + loss) + 0.5 * 2.0
    assert worth["ws"] == pytest.approx(wait)
    assert worth["rp"] == pytest.approx(max(plan, 2.0))
    assert worth["evpi"] == pytest.approx(wait - max(plan, 2.0))
    bound = solved(given_, strategy="wait-and-see")
    assert bound.solution == "none"
    assert bound.bound == pytest.approx(wait)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(staged_rounds())
def test_luck_has_no_expectation(document):
    """A program that counts outcomes as they turn out has the same optimum; knowing them earns no less."""
    made = horizon_program(horizon_tree(bondwork.load(document)))
    exact = Options(mip_rel_gap=0.0)
    plain = solve_stochastic(made.program, exact)
    lucky = solve_stochastic(with_luck(made), exact, value=True)
    assert lucky.status == plain.status
    if plain.objective is None:
        return
    assert lucky.objective == pytest.approx(plain.objective, abs=1e-6)
    assert lucky.stochastic is not None
    assert lucky.stochastic.ws is not None
    assert lucky.stochastic.ws >= plain.objective - 1e-6


def test_what_is_worth_nothing_up_to_a_rounding_is_worth_nothing() -> None:
    """0.85*1 - 0.15*2 - 0.55 and 0.7*10 - 0.3*10 - 4 are nothing, and a few 1e-16 in binary."""
    offer = {"coprocessor": "cp", "duration": 30}
    instance = bondwork.load(
        {
            "format": "bondwork.round/1",
            "operators": [{"id": "op"}],
            "coprocessors": [{"id": "cp", "free_collateral": 10}],
            "tasks": [{"id": "t", "operator": "op", "reward": 10, "slashing": 10}],
            "offers": [offer | {"task": "t", "bid": 4, "collateral": 1, "success_probability": 0.7}],
            "periods": [
                {
                    "id": "next",
                    "at": 60,
                    "tasks": [{"id": "n", "operator": "op", "reward": 1, "slashing": 2}],
                    "offers": [offer | {"task": "n", "bid": 0.55, "success_probability": 0.85}],
                }
            ],
        }
    )
    for strategy in ("extensive", "l-shaped"):
        plan = bondwork.solve(instance, strategy=strategy, mip_rel_gap=0.0)
        assert plan.status == "optimal"
        assert plan.objective == pytest.approx(0.0, abs=1e-14)
        assert plan.bound == pytest.approx(0.0, abs=1e-14)
