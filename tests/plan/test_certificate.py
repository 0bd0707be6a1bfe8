"""Certificates: what a plan's multipliers prove, recomputed; and what is refused of them."""

from __future__ import annotations

import json
import math
from fractions import Fraction
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import bondwork
from bondwork.plan import recount_knapsack
from bondwork.plan.certificate import BadCertificate, Entry, read_entries, write_entries
from bondwork.plan.certifying import with_bound
from bondwork.plan.recount import Account, Recount
from bondwork.plan.recount_bound import BoundRecount
from bondwork.plan.recount_grid import slack_of_losses, slack_of_sum
from bondwork.plan.recount_knapsack import most_of_knapsack
from certificate_oracle import Proof
from oracle import Oracle
from rounds_strategy import examples, rounds

ROUNDS = Path(__file__).parents[2] / "data" / "rounds"

#: Share of the size of its terms by which the tolerance of rows widens a bound at most.
WIDER = Fraction(2, 10**9)


def solved(document: dict[str, Any], **options: Any) -> tuple[bondwork.Instance, bondwork.Plan]:
    instance = bondwork.load(document)
    return instance, bondwork.solve(instance, **options)


@examples(0.15)
@given(
    rounds(tails=False), st.sampled_from(["extensive", "relaxation", "greedy", "reverse-dutch", "lagrangian"])
)
def test_a_certificate_proves_what_exact_fractions_give_and_nothing_beats_it(document, strategy):
    instance, plan = solved(document, strategy=strategy, mip_rel_gap=0.0)
    certificate = plan.certificate
    if plan.status == "infeasible" or (certificate is not None and certificate.kind == "infeasibility"):
        if certificate is not None:
            below = Proof(document, certificate.multipliers).bound(earning=False)
            assert below is None or below < 0
        return
    assert certificate is not None and certificate.bound is not None, plan.provenance.notes
    proof = Proof(document, certificate.multipliers)
    exact = proof.bound()
    assert exact is not None
    size = max(abs(exact), proof.size)
    assert exact <= Fraction(certificate.bound) <= exact + WIDER * size
    best = Oracle(document).best()
    if best is not None:
        assert Fraction(certificate.bound) >= best.objective
    verdict = bondwork.verify(instance, plan)
    assert verdict.certified is not None and verdict.certified <= certificate.bound


@examples(0.1)
@given(rounds(tails=False, replicas=True))
def test_teams_are_columns_of_the_proof_too(document):
    _, plan = solved(document, strategy="extensive", mip_rel_gap=0.0)
    if plan.certificate is None or plan.certificate.bound is None:
        return
    proof = Proof(document, plan.certificate.multipliers)
    exact = proof.bound()
    assert exact is not None
    assert exact <= Fraction(plan.certificate.bound) <= exact + WIDER * max(abs(exact), proof.size)


@pytest.mark.parametrize("kind", ["sums", "tails", "second stage", "periods", "programs"])
def test_no_plan_of_a_round_as_people_write_them_beats_its_certificate(kind, monkeypatch):
    monkeypatch.syspath_prepend(str(ROUNDS.parents[1] / "benchmarks"))
    import certificates  # the benchmark that does so by the thousand

    plans = 0
    for seed in range(500, 512):
        tasks = tuple(certificates.Task(kind, seed, each) for each in certificates.STRATEGIES[kind])
        tally, faults = certificates.look_at(certificates.Work(tasks, math.inf))
        assert not faults
        plans += tally["bound"] + tally["infeasibility"]
    assert plans > 12


def three_tasks() -> dict[str, Any]:
    document: dict[str, Any] = json.loads((ROUNDS / "three-tasks.json").read_bytes())
    return document


def test_a_bound_that_is_not_what_the_multipliers_prove_is_refused():
    instance, plan = solved(three_tasks())
    document = json.loads(plan.to_json())
    document["certificate"]["bound"] -= 0.001
    verdict = bondwork.verify(instance, document)
    assert [each.what for each in verdict.violations] == ["certificate.bound"]
    document["certificate"]["bound"] += 1.0
    assert [each.what for each in bondwork.verify(instance, document).violations] == ["certificate.bound"]


def test_a_better_bound_than_the_proven_one_needs_somebody_who_vouches_for_it():
    document = json.loads((ROUNDS / "prover-market.json").read_bytes())
    instance, plan = solved(document)
    assert plan.certificate is not None and plan.certificate.vouched_by == "branch_and_bound"
    assert plan.bound is not None and plan.certificate.bound is not None
    assert plan.certificate.bound > plan.bound
    verdict = bondwork.verify(instance, plan)
    assert verdict.certified == plan.certificate.bound
    assert any("branch_and_bound" in each for each in verdict.unchecked)
    told = json.loads(plan.to_json())
    told["certificate"]["vouched_by"] = None
    assert [each.what for each in bondwork.verify(instance, told).violations] == ["certificate.vouched_by"]


@pytest.mark.parametrize(
    "multipliers",
    [
        ["capacity", 99, 0, 1.0],
        ["capacity", 0, 0, -1.0],
        ["stake", 0],
        ["weather", 0, 1.0],
        [1.0, 2.0],
        ["cvar", 0, 0, 1.0],
        ["deadline", 0, 5.0, 1.0],
        ["expected", 0, 0, 1.0],
        ["collateral", 0.5, 1.0],
        ["load", 0, 1.0],
        ["mean_risk", 0.0, 3],
        ["node", 1, "capacity", 0, 0, 1.0],
        ["node"],
        ["node", 1.0],
        ["node", -1],
        ["node", 1, 2],
        ["node", 10**400],
        ["window", 0, 0, 5.0, 1.0],
        ["task", 99, 1.0],
        ["task", 0, 1.0, "task", 0, 1.0],
        ["task", 0, -1.0],
        ["task", 0.5, 1.0],
        ["task", 0, 1, 1.0],
        ["node", 1, "task", 0, 1.0],
        ["task", 0, 1.0, "node", 1, "task", 1, 1.0],
        ["task", 0, 1.0, "node", 1, "capacity", 0, 0, 1.0],
        ["task", 0, 1.0, "capacity", 99, 0, 1.0],
        ["task", 0, 1.0, "window", 0, 0, 5.0, 1.0],
        ["task", 0, 1.0, "expected", 0, 99, 1.0],
    ],
)
def test_multipliers_of_nothing_are_refused_and_raise_nothing(multipliers):
    instance, plan = solved(three_tasks())
    document = json.loads(plan.to_json())
    document["certificate"]["multipliers"] = multipliers
    verdict = bondwork.verify(instance, document)
    # prices must be the multipliers that the certificate carries: where these are read, they are doubted too
    found = [each.what for each in verdict.violations if each.what != "prices"]
    assert found == ["certificate.multipliers"]


def test_a_plan_without_a_certificate_is_as_good_and_says_so():
    instance, plan = solved(three_tasks(), certificate="none")
    assert plan.certificate is None
    verdict = bondwork.verify(instance, plan)
    assert verdict
    assert "bound: no certificate" in verdict.unchecked


def test_the_multipliers_stand_on_one_line_and_read_back():
    _, plan = solved(three_tasks())
    assert plan.certificate is not None and plan.certificate.multipliers
    lines = [line for line in plan.to_json().splitlines() if '"multipliers"' in line]
    assert len(lines) == 1 and lines[0].endswith("]")
    assert bondwork.load_plan(plan.to_json().encode()) == plan


def required(stake: float, slashing: float) -> dict[str, Any]:
    tasks = [
        {"id": f"t-{k}", "operator": "op", "reward": 9, "slashing": slashing, "required": True}
        for k in range(3)
    ]
    offers = [
        {"task": f"t-{k}", "coprocessor": c, "bid": 1, "success_probability": 0.9}
        for k in range(3)
        for c in ("a", "b")
    ]
    return {
        "format": "bondwork.round/1",
        "operators": [{"id": "op", "stake": stake}],
        "coprocessors": [{"id": "a"}, {"id": "b"}],
        "tasks": tasks,
        "offers": offers,
    }


def test_infeasibility_of_the_relaxation_is_proven():
    instance, plan = solved(required(stake=10, slashing=4))
    assert plan.status == "infeasible"
    assert plan.certificate is not None and plan.certificate.kind == "infeasibility"
    verdict = bondwork.verify(instance, plan)
    assert verdict and not verdict.unchecked
    document = json.loads(plan.to_json())
    document["certificate"]["multipliers"] = ["stake", 0, 0.0]
    assert not bondwork.verify(instance, document)


def odd_capacity() -> dict[str, Any]:
    """Two tasks of 3 on two coprocessors of 4 and a third of 2: only whole choices make it infeasible."""
    document = required(stake=1000, slashing=1)
    for task in document["tasks"]:
        task["work"] = {"gas": 3}
    for coprocessor in document["coprocessors"]:
        coprocessor["capacity"] = {"gas": 5}
    return document


def test_infeasibility_that_only_whole_choices_make_is_left_unchecked():
    instance, plan = solved(odd_capacity())
    assert plan.status == "infeasible" and plan.certificate is None
    verdict = bondwork.verify(instance, plan)
    assert verdict
    assert any("infeasib" in each for each in verdict.unchecked)


def test_a_plan_that_claims_infeasibility_of_a_feasible_round_is_refused_with_a_plan():
    impossible, plan = solved(odd_capacity())
    feasible = odd_capacity()
    feasible["coprocessors"][1]["capacity"] = {"gas": 6}
    instance = bondwork.load(feasible)
    document = json.loads(plan.to_json())
    document["provenance"]["input_sha256"] = instance.sha256
    verdict = bondwork.verify(instance, document)
    assert not verdict
    told = " ".join(map(str, verdict.violations))
    assert "feasible, with" in told and "by b" in told
    assert bondwork.verify(impossible, plan)


@given(
    st.lists(
        st.one_of(
            st.builds(
                lambda a, b, y, n: Entry("capacity", (a, b), y, (), n),
                st.integers(0, 9), st.integers(0, 9), st.floats(0, 1e300), st.sampled_from([0, 0, 1, 2]),
            ),
            st.builds(
                lambda n, y, w: Entry("cvar", (n, 0), y, tuple(w)),
                st.integers(0, 9), st.floats(0, 1e300),
                st.lists(
                    st.tuples(st.integers(0, 99), st.floats(0, 1e9)), max_size=3, unique_by=lambda w: w[0]
                ),
            ),
        ),
        max_size=4,
        unique_by=lambda entry: (entry.word, entry.about, entry.node),
    )
)  # fmt: skip
def test_entries_read_as_they_were_written(entries):
    assert read_entries(json.loads(json.dumps(write_entries(entries)))) == entries


def test_what_is_no_array_of_entries_is_refused():
    with pytest.raises(BadCertificate):
        read_entries([0.5])


@given(
    st.lists(st.integers(0, 40), min_size=1, max_size=6),
    st.integers(0, 60),
    st.sampled_from([Fraction(1), Fraction(1, 10), Fraction(1, 1000), Fraction(10) ** 18]),
)
def test_sums_of_numbers_with_few_digits_never_lie_in_the_tolerance(whole, limit, unit):
    """What `verify` lets pass exceeds a limit by no more than the slack that a bound counts with."""
    amounts = [float(each * unit) for each in whole]
    most = float(limit * unit)
    slack = slack_of_sum(np.array([*amounts, most]), Fraction(most))
    account = Account(most, amounts)
    if account.excess() <= account.tolerance():
        assert sum(map(Fraction, amounts)) <= Fraction(most) + slack
    assert slack <= Fraction(most) / 10**14


@given(
    st.lists(st.tuples(st.integers(0, 30), st.integers(0, 100)), min_size=1, max_size=5),
    st.integers(1, 60),
    st.sampled_from([Fraction(1), Fraction(1, 100), Fraction(10) ** 18]),
)
def test_expected_losses_in_per_cents_never_lie_in_the_tolerance(lost, limit, unit):
    slashing = np.array([float(amount * unit) for amount, _ in lost])
    p = np.array([float(Fraction(chance, 100)) for _, chance in lost])
    most = float(limit * unit)
    slack = slack_of_losses(slashing, p, 1, np.array([most]), Fraction(most))
    account = Account(most, (slashing * (1.0 - p)).tolist())
    exact = sum(Fraction(s) * (1 - Fraction(q)) for s, q in zip(slashing.tolist(), p.tolist(), strict=True))
    if account.excess() <= account.tolerance():
        assert exact <= Fraction(most) + slack
    assert slack <= Fraction(sum(slashing) + most) / 10**14


def test_odd_numbers_keep_the_tolerance():
    amounts = np.array([1.0 / 3.0, 2.0 / 3.0, 1.0])
    assert slack_of_sum(amounts, Fraction(1)) > Fraction(1, 10**9)
    chances = slack_of_losses(np.array([3.0]), np.array([1.0 / 3.0]), 1, np.array([1.0]), Fraction(1))
    assert chances > Fraction(1, 10**9)


def test_what_would_lose_more_than_is_allowed_by_itself_is_no_way_out():
    """Solvers leave such offers out beforehand, and so give no multiplier to the limit: none is needed."""
    offer = {"task": "t", "success_probability": 0.5, "bid": 0}
    document: dict[str, Any] = {
        "format": "bondwork.round/1",
        "operators": [{"id": "op"}],
        "coprocessors": [{"id": "cp-1"}, {"id": "cp-2"}],
        "tasks": [{"id": "t", "operator": "op", "reward": 9, "slashing": 8, "required": True}],
        "offers": [offer | {"coprocessor": "cp-1"}, offer | {"coprocessor": "cp-2"}],
        "risk": [{"measure": "expected", "budget": 1}],
    }
    instance, plan = solved(document)
    assert plan.status == "infeasible"
    assert plan.certificate is not None and plan.certificate.kind == "infeasibility"
    assert bondwork.verify(instance, plan).refuted
    document["risk"][0]["budget"] = 4
    instance, plan = solved(document)
    assert plan.status == "optimal" and bondwork.verify(instance, plan).certified == 0.5


@examples(0.3)
@given(rounds(tails=False), st.data())
def test_multipliers_of_tasks_prove_what_trying_every_choice_of_each_executor_gives(document, data):
    instance = bondwork.load(document)
    prices = st.sampled_from([0.0, 0.5, 1.0, 2.0, 2.5, 7.0, 1.0 / 3.0])
    tokens: list[Any] = []
    recount = BoundRecount(Recount(instance, 0))
    for task, required in enumerate(recount.required().tolist()):
        u = data.draw(prices)
        tokens += ["task", task, -u if required and data.draw(st.booleans()) else u]
    for place in np.flatnonzero(np.isfinite(instance.coprocessors.free_collateral)).tolist():
        tokens += ["collateral", place, data.draw(prices)]
    for word, limited in (("capacity", instance.coprocessors), ("own_capacity", instance.operators)):
        for who, k in np.argwhere(np.isfinite(limited.capacity)).tolist():
            tokens += [word, who, k, data.draw(prices)]
    for place in np.flatnonzero(np.isfinite(instance.operators.stake)).tolist():
        tokens += ["stake", place, data.draw(prices)]
    bound = recount.bound(read_entries(tokens))
    proof = Proof(document, tokens)
    exact = proof.bound()
    assert (bound is None) == (exact is None)
    if bound is None or exact is None:
        return
    best = Oracle(document).best()
    assert best is None or bound >= best.objective
    size = sum((abs(team.gain) for t in proof.oracle.cost for team in proof.oracle.teams(t)), proof.size)
    assert exact <= bound <= exact + Fraction(1, 10**12) * size + WIDER * proof.size


def test_whole_choices_have_a_better_certificate_by_knapsacks():
    """Two tasks of work 2 for one executor with 3: one and a half in the relaxation, one in a knapsack."""
    document = odd_capacity()
    only = document["coprocessors"][0]["id"]
    document["coprocessors"] = [{"id": only, "capacity": {"gas": 3}}]
    tasks = [
        {**each, "required": False, "reward": 8, "slashing": 0, "work": {"gas": 2}}
        for each in document["tasks"][:2]
    ]
    offer = {"coprocessor": only, "bid": 0, "success_probability": 1}
    document |= {"tasks": tasks, "offers": [{**offer, "task": each["id"]} for each in tasks]}
    recount = BoundRecount(Recount(bondwork.load(document), 0))
    row = Entry("capacity", (0, 0), 4.0)
    assert recount.bound([row]) == 12
    assert 8 <= recount.bound([row, Entry("task", (0,), 0.0), Entry("task", (1,), 1e-300)]) <= 8 + 1e-12
    with pytest.raises(BadCertificate, match="may be left"):
        recount.bound([Entry("task", (0,), -1.0)])
    with pytest.raises(BadCertificate, match="no task 9"):
        recount.bound([Entry("task", (9,), 1.0)])


@given(st.data())
def test_a_knapsack_is_at_most_what_is_said(data):
    count, rows = data.draw(st.integers(0, 7)), data.draw(st.integers(1, 3))
    whole = st.integers(0, 6)
    profit = np.array(data.draw(st.lists(st.integers(-2, 9), min_size=count, max_size=count)), dtype=float)
    weight = np.array([[data.draw(whole) for _ in range(rows)] for _ in range(count)], dtype=float)
    room = np.array([data.draw(st.integers(0, 12)) for _ in range(rows)], dtype=float)
    price = np.array([data.draw(st.sampled_from([0.0, 0.5, 1.0, 3.0])) for _ in range(rows)])
    best = max(
        float(profit[list(some)].sum())
        for size in range(count + 1)
        for some in combinations(range(count), size)
        if np.all(weight.reshape(count, rows)[list(some)].sum(axis=0) <= room)
    )
    told = most_of_knapsack(profit, weight.reshape(count, rows), room, price, 10**6)
    assert best <= told <= best + 1e-12 * (1.0 + float(np.sum(np.abs(profit))) + float(price @ room))
    assert best <= most_of_knapsack(profit, weight.reshape(count, rows), room, price, 300)


def test_a_knapsack_is_worked_out_once_and_few_are_kept(monkeypatch):
    monkeypatch.setattr(recount_knapsack, "_KNOWN", {})
    monkeypatch.setattr(recount_knapsack, "_MOST_KNOWN", 3)
    asked: list[float] = []
    real = recount_knapsack._worked_out
    monkeypatch.setattr(recount_knapsack, "_worked_out", lambda *a: asked.append(a[0][0]) or real(*a))
    weight, room, price = np.array([[4.0], [3.0], [3.0]]), np.array([6.0]), np.array([1.6])
    for first in (6.0, 6.0, 11.0, 12.0, 13.0, 6.0):
        profit = np.array([first, 5.0, 5.0])
        assert most_of_knapsack(profit, weight, room, price, 10**6) == pytest.approx(max(10.0, first))
        assert len(recount_knapsack._KNOWN) <= 3
    assert asked == [6.0, 11.0, 12.0, 13.0, 6.0]


@pytest.mark.parametrize(("ends", "looked_at", "bound"), [(-1.0, 1, 12), (float("inf"), 2, 8)])
def test_where_time_is_up_the_proofs_recomputed_by_then_have_to_do(ends, looked_at, bound):
    class Proofs:
        seen = 0

        def bound(self, entries):
            self.seen += 1
            return Fraction(8 if entries else 12)

    plan = bondwork.solve(bondwork.load(ROUNDS / "three-tasks.json"), certificate="none")
    plan = plan.model_copy(update={"objective": 7.0, "bound": 20.0})
    proofs = Proofs()
    certified = with_bound(plan, proofs, [[], [Entry("stake", (0,), 1.0)]], "knapsack", ends)
    assert (certified.certificate.bound, proofs.seen) == (bound, looked_at)


def test_what_alone_is_the_worst_case_is_in_no_plan_and_in_no_bound():
    """A solver leaves such offers out, and its multipliers say nothing of them."""
    document = {
        "format": "bondwork.round/1",
        "operators": [{"id": "op"}],
        "coprocessors": [{"id": "cp"}],
        "tasks": [
            {"id": "old", "operator": "op", "reward": 0, "slashing": 6},
            {"id": "bold", "operator": "op", "reward": 40, "slashing": 10},
            {"id": "calm", "operator": "op", "reward": 8, "slashing": 0},
        ],
        "offers": [
            {"task": "bold", "coprocessor": "cp", "bid": 1, "success_probability": 0.5},
            {"task": "calm", "coprocessor": "cp", "bid": 1, "success_probability": 0.75},
        ],
        "commitments": [
            {"id": "k", "task": "old", "operator": "op", "executor": "cp", "success_probability": 0.5}
        ],
        "risk": [{"measure": "worst_case", "of": "network", "budget": 2}],
        "uncertainty": {"scenarios": 64},
    }
    instance, plan = solved(document, strategy="extensive", mip_rel_gap=0.0)
    assert (plan.objective, [each.task for each in plan.assignments]) == (5.0, ["calm"])
    assert plan.certificate is not None
    assert plan.certificate.bound == pytest.approx(5.0, rel=1e-9)
    assert bondwork.verify(instance, plan)


def test_a_knapsack_of_large_profits_and_no_price_is_worked_out():
    """A warning would be an error here."""
    profit, weight = np.array([3.0, 1e18]), np.array([[1.0], [1.0]])
    assert most_of_knapsack(profit, weight, np.array([1.0]), np.array([0.0]), 100) == pytest.approx(1e18)
