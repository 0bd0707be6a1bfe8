"""Rolling a round through its periods: consistent with the plan over the tree, and a ledger that adds up."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

import bondwork
from bondwork.problem.advance import advance, due
from bondwork.problem.instance import NOBODY
from bondwork.rolling import Drawn, chosen_offers, law_of
from bondwork.uncertainty.joint_outcomes import list_outcomes
from composition.features import make
from horizon_oracle import staged_rounds

FEW = settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
TASK = {"id": "t", "operator": "op", "reward": 4, "slashing": 2}


def offer(**fields) -> dict:
    return {"task": "t", "coprocessor": "cp", "collateral": 2, "bid": 1, "success_probability": 0.75} | fields


def document(*periods: dict, **fields) -> dict:
    return {
        "format": "bondwork.round/1",
        "decimals": 2,
        "operators": [{"id": "op", "stake": 10}],
        "coprocessors": [{"id": "cp", "free_collateral": 5}],
        "tasks": [TASK],
        "offers": [offer()],
        "periods": list(periods),
    } | fields


def period(id_: str, at: float, parent: str | None = None, **fields) -> dict:
    return {"id": id_, "at": at, "parent": parent, "tasks": [TASK], "offers": [offer()]} | fields


class Fate:
    """Says what was written down beforehand."""

    def __init__(self, *outcomes: list[bool], amounts: tuple[float, ...] = ()) -> None:
        self.left = list(outcomes)
        self.given = amounts

    def next_period(self, instance, periods):
        return periods[0]

    def amounts(self, instance, number):
        return self.given

    def outcomes(self, instance, released, law):
        return np.array(self.left.pop(0))


def expected_by_rolling(instance: bondwork.Instance) -> float:
    """Expected net reward of planning again at every step, over everything that can happen."""
    plan = bondwork.solve(instance, mip_rel_gap=0.0)
    assert plan.is_usable(), plan.conflict
    chosen = chosen_offers(instance, plan)
    left = np.ones(len(instance.tasks), dtype=bool)
    left[instance.offers.task[chosen]] = left[instance.commitments.task] = False
    total = sum(each.expected_net_reward for each in plan.assignments)
    total -= instance.tasks.unassigned_cost[left].sum()
    for n, each in enumerate(instance.periods):
        if each.above != NOBODY:
            continue
        released = due(instance, chosen, n)
        outcomes, chance = list_outcomes(law_of(instance, released))
        laws = [zip(a.law.values, a.law.probabilities, strict=True) for a in each.laws]
        for way in itertools.product(*laws):
            likely = each.probability * math.prod(p for _, p in way)
            for outcome, p in zip(outcomes, chance.tolist(), strict=True):
                after = advance(instance, released, outcome, n, [value for value, _ in way])
                total += likely * p * expected_by_rolling(after)
    return total


@FEW
@given(staged_rounds())
def test_planning_again_earns_what_the_plan_promised(document):
    assume(not any(each.get("serial") for each in document["coprocessors"]))
    instance = bondwork.load(document)
    plan = bondwork.solve(instance, mip_rel_gap=0.0)
    assume(plan.is_usable())
    assert expected_by_rolling(instance) == pytest.approx(plan.objective, abs=1e-6)


SEVERAL = [("replicas",), ("quorum",), ("several commitments",), ("quorum", "several commitments", "value")]


@pytest.mark.parametrize("names", SEVERAL, ids="+".join)
@pytest.mark.parametrize("seed", range(2))
def test_what_is_left_of_a_team_is_planned_with_again(names, seed):
    instance = bondwork.load(make({"periods", *names}, seed).document)
    plan = bondwork.solve(instance, mip_rel_gap=0.0)
    assert expected_by_rolling(instance) == pytest.approx(plan.objective, abs=1e-6)


def team(*durations: float, **fields) -> dict:
    """A task for all of several executors, done one after the other."""
    names = "abc"[: len(durations)]
    return {
        "coprocessors": [{"id": name, "free_collateral": 5} for name in names],
        "tasks": [{"id": "t", "operator": "op", "reward": 90, "slashing": 2, "replicas": 3} | fields],
        "offers": [
            offer(coprocessor=name, duration=duration)
            for name, duration in zip(names, durations, strict=True)
        ],
    }


@pytest.mark.parametrize(
    ("quorum", "outcomes", "rewards", "slashed", "stakes"),
    [
        (2, ([True], [True], [False]), [0, 9000, 0], [0, 0, 0], [10, 10, 10]),
        (2, ([True], [False], [True]), [0, 0, 9000], [0, 0, 0], [10, 10, 10]),
        (2, ([False], [False], [True]), [0, 0, 0], [0, 200, 0], [10, 10, 8]),
        (3, ([False], [True], [True]), [0, 0, 0], [200, 0, 0], [10, 8, 8]),
    ],
)
def test_a_team_is_rewarded_or_slashed_once(quorum, outcomes, rewards, slashed, stakes):
    idle = {"tasks": [], "offers": []}
    periods = [period("p1", 60, **idle), period("p2", 120, "p1", **idle)]
    periods[1] |= {"tasks": [TASK], "offers": [offer(coprocessor="a", success_probability=1, bid=9)]}
    given_ = document(*periods, **team(0, 90, 500, quorum=quorum))
    rolled = bondwork.roll(bondwork.load(given_), nature=Fate(*outcomes), mip_rel_gap=0.0)
    assert rolled.complete
    assert [each.reward for each in rolled.ledger] == rewards
    assert [each.slashed for each in rolled.ledger] == slashed
    assert [step.stake["op"] for step in rolled.steps] == stakes
    assert [each.returned + each.burned for each in rolled.ledger] == [200, 200, 200]


def test_collateral_is_locked_then_returned_or_gone():
    # decided at 0 for 90 seconds: held at 60, released at 120
    held = document(period("a", 60), period("b", 120, "a"), offers=[offer(duration=90)])
    rolled = bondwork.roll(bondwork.load(held), nature=Fate([False, True], [True]), mip_rel_gap=0.0)
    assert [step.period for step in rolled.steps] == ["this round", "a", "b"]
    assert [step.free_collateral["cp"] for step in rolled.steps] == [5.0, 3.0, 3.0]
    # what a decides is released at b as well: of the two, the one of a comes first
    assert [each.decided_in for each in rolled.ledger] == ["a", "this round", "b"]
    assert [each.succeeded for each in rolled.ledger] == [False, True, True]
    assert [step.stake["op"] for step in rolled.steps] == [10.0, 10.0, 8.0]
    assert rolled.complete
    assert rolled.net_reward == pytest.approx(4 + 4 - 2 - 3)


def test_the_ledger_splits_what_is_lost():
    terms = {"collateral_split": {"burned": 0.25, "operator": 0.5, "rescuer": 0.0, "treasury": 0.25}}
    instance = bondwork.load(document(terms=terms, offers=[offer(collateral=0.99)]))
    (entry,) = bondwork.roll(instance, nature=Fate([False])).ledger
    # 99 units: 49.5 and twice 24.75, and what rounding leaves goes to the largest remainders
    assert (entry.to_operator, entry.to_treasury, entry.to_rescuer, entry.burned) == (49, 25, 0, 25)
    assert (entry.reward, entry.bid, entry.slashed, entry.returned) == (0, 100, 200, 0)
    assert (entry.decided_in, entry.settled_in) == ("this round", "end")


@pytest.mark.parametrize(("paid", "bid"), [("always", 100), ("on_success", 0)])
def test_a_failed_bid_is_paid_by_the_terms(paid, bid):
    instance = bondwork.load(document(terms={"bid_paid": paid}))
    (entry,) = bondwork.roll(instance, nature=Fate([False])).ledger
    assert entry.bid == bid


def test_commitments_from_before_are_settled_too():
    held = {"id": "k", "task": "old", "operator": "op", "executor": "cp", "collateral": 3,
            "success_probability": 0.5, "release_at": 60}  # fmt: skip
    old = {"id": "old", "operator": "op", "reward": 7, "slashing": 5}
    given_ = document(period("a", 60), commitments=[held], tasks=[old], offers=[])
    rolled = bondwork.roll(bondwork.load(given_), nature=Fate([True], [True]))
    assert [step.free_collateral["cp"] for step in rolled.steps] == [5.0, 8.0]
    assert (rolled.ledger[0].offer, rolled.ledger[0].decided_in, rolled.ledger[0].reward) == ("k", None, 700)
    lost = bondwork.roll(bondwork.load(given_), nature=Fate([False], [True]))
    assert [step.free_collateral["cp"] for step in lost.steps] == [5.0, 5.0]
    assert [step.stake["op"] for step in lost.steps] == [10.0, 5.0]


def test_random_amounts_turn_out():
    law = {"law": "values", "values": [0, 40], "probabilities": [0.5, 0.5]}
    random = document(period("a", 60, tasks=[TASK | {"reward": law}]))
    poor = bondwork.roll(bondwork.load(random), nature=Fate([True], amounts=(0.0,)))
    assert [len(step.assignments) for step in poor.steps] == [1, 0]
    rich = bondwork.roll(bondwork.load(random), nature=Fate([True], [True], amounts=(40.0,)))
    assert rich.ledger[1].reward == 4000


def test_the_same_seed_gives_the_same_report_and_another_one_another():
    instance = bondwork.load(document(period("a", 60), period("b", 120, "a")))
    one, again = (bondwork.roll(instance, seed=3) for _ in range(2))
    assert one.ledger == again.ledger
    ends = {tuple(e.succeeded for e in bondwork.roll(instance, seed=seed).ledger) for seed in range(8)}
    assert len(ends) > 1


def test_drawn_outcomes_have_their_probability():
    instance = bondwork.load(document())
    released = due(instance, np.array([0]), None)
    law = law_of(instance, released)
    drawn = [bool(Drawn(seed).outcomes(instance, released, law)[0]) for seed in range(400)]
    assert np.mean(drawn) == pytest.approx(0.75, abs=0.08)


def test_a_step_without_a_plan_ends_it():
    stuck = document(period("a", 60, tasks=[TASK | {"required": True}], offers=[]))
    rolled = bondwork.roll(bondwork.load(stuck), seed=0)
    assert (rolled.complete, [step.status for step in rolled.steps]) == (False, ["infeasible"])


def test_an_interrupted_step_is_not_carried_out():
    class Stop:
        def report(self, progress):
            pass

        def should_stop(self):
            return True

    rolled = bondwork.roll(bondwork.load(document(period("a", 60))), seed=0, observer=Stop())
    assert not rolled.complete
    assert (len(rolled.steps), rolled.ledger) == (1, [])


def test_what_cannot_be_rolled_is_refused():
    risky = document(risk=[{"measure": "cvar", "budget": 1, "calibrate": True}])
    with pytest.raises(bondwork.Refusal, match="limits that are calibrated"):
        bondwork.roll(bondwork.load(risky))


@pytest.mark.parametrize("seed", range(4))
def test_limits_on_tails_are_about_what_is_lost_from_then_on(seed):
    """Each step may lose what the limit allows, and no two at once."""
    limited = document(period("a", 60), risk=[{"measure": "worst_case", "budget": 5}])
    for part in (limited, limited["periods"][0]):
        for each in part["tasks"]:
            each["slashing"] = 4
    rolled = bondwork.roll(bondwork.load(limited), seed=seed)
    assert rolled.complete
    assert [len(step.assignments) for step in rolled.steps] == [1, 1]


def test_outcomes_of_another_number_are_no_outcomes():
    with pytest.raises(ValueError, match="expected"):
        bondwork.roll(bondwork.load(document()), nature=Fate([True, True]))


SPLITS = st.lists(st.integers(0, 10), min_size=4, max_size=4).filter(any)


@settings(max_examples=60, deadline=None)
@given(
    shares=SPLITS,
    collateral=st.sampled_from([0.05, 0.1, 0.3, 1, 7, 1e-18, 3e-18, 0.1 + 0.2, 123456.789, 1e18, 4.4e22]),
    decimals=st.sampled_from([0, 2, 6, 18]),
)
def test_a_forfeit_is_split_without_losing_a_unit(
    shares: list[int], collateral: float, decimals: int
) -> None:
    names = ("burned", "operator", "rescuer", "treasury")
    total = sum(shares)
    given_ = {
        "format": "bondwork.round/1",
        "decimals": decimals,
        "operators": [{"id": "op"}],
        "coprocessors": [{"id": "cp"}],
        "tasks": [{"id": "t", "operator": "op", "reward": 9, "required": True}],
        "offers": [{"task": "t", "coprocessor": "cp", "collateral": collateral, "success_probability": 0}],
        "terms": {"collateral_split": {n: s / total for n, s in zip(names, shares, strict=True)}},
    }
    (entry,) = bondwork.roll(bondwork.load(given_), seed=0).ledger
    parts = (entry.burned, entry.to_operator, entry.to_rescuer, entry.to_treasury)
    lost = round(Fraction(repr(collateral)) * 10**decimals)
    assert sum(parts) == lost
    assert entry.returned == 0
    for part, share in zip(parts, shares, strict=True):
        assert abs(part - Fraction(share, total) * lost) < 1 + Fraction(lost, 10**15)
